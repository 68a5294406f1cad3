//! Rows and folders for the tests of `records` and `report`. The numbers are made up; nothing here asserts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::row::{
    AttemptRow, CallKeys, CatalogRow, DecidedRow, EndCounts, EndFacts, EndedRow, EventRow, FactsRow,
    LedgerRow, OutcomeRow, Row, TrailRow, Turn,
};
use super::sqlite::{Place, Store};
use crate::domain::{
    BuyerId, CallId, CampaignId, CarrierId, Money, PingId, PublisherId, Reason, TargetId, Timestamp, Verified,
};

/// A folder of its own, gone with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("outcry-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("records.db")
    }

    pub fn open(&self) -> Store {
        Store::open(&self.file()).expect("a store")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Writes the rows as one batch.
pub fn write(store: &mut Store, rows: &[Row]) {
    let number = store.next_batch();
    let applied = store.apply(number, rows, Place::default()).expect("the batch is written");
    assert!(matches!(applied, super::sqlite::Applied::Now { .. }), "{applied:?}");
}

/// 2026-11-20T09:00:00Z.
pub const NINE: Timestamp = Timestamp::from_micros(1_795_165_200_000_000);

pub fn call_id(n: u64) -> CallId {
    CallId::from_bits(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

pub fn money(text: &str) -> Money {
    match text.strip_prefix('-') {
        Some(owed) => Money::parse(owed).expect("an amount").negated(),
        None => Money::parse(text).expect("an amount"),
    }
}

pub fn buyer(text: &str) -> BuyerId {
    BuyerId::parse(text).expect("a slug")
}

pub fn target(text: &str) -> TargetId {
    TargetId::parse(text).expect("a slug")
}

/// Call `n` arrives `n` seconds after nine.
pub fn keys(n: u64) -> CallKeys {
    CallKeys {
        call_id: call_id(n),
        at: Timestamp::from_micros(NINE.micros() + i64::try_from(n).expect("small") * 1_000_000),
        campaign: Some(CampaignId::parse("auto-us").expect("a slug")),
        publisher: Some(PublisherId::parse("p7").expect("a slug")),
    }
}

/// Won in an auction by `acme-1` at 25.50.
pub fn decided(n: u64) -> DecidedRow {
    DecidedRow {
        keys: keys(n),
        carrier: CarrierId::parse("tw").expect("a slug"),
        carrier_call_id: format!("CA{n}"),
        test: false,
        number: "+18005550100".to_owned(),
        sub_id: Some("fb-77".to_owned()),
        caller: "+1512*****23".to_owned(),
        caller_token: Some(u64::MAX - n),
        state: Some("TX".to_owned()),
        basis: "auction",
        action: "dial",
        reason: Reason::Won,
        target: Some(target("acme-1")),
        buyer: Some(buyer("acme")),
        price: Some(money("25.50")),
        decided_us: 41_700,
        overhead_us: Some(312),
        catalog: "d1".to_owned(),
    }
}

/// `acme-1` wins, `bolt-1` is outbid, `core-1` had no unit left; provisional: `bolt-1` is pending.
pub fn trail(n: u64, is_final: bool) -> TrailRow {
    let outcome = |name: &str, who: &str, reason, amount: Option<&str>, latency_us| OutcomeRow {
        target: target(name),
        buyer: buyer(who),
        reason,
        amount: amount.map(money),
        ping: amount.map(|_| PingId::from_bits(7)),
        latency_us,
        note: None,
    };
    let mut outcomes = vec![
        outcome("acme-1", "acme", Reason::Won, Some("25.50"), Some(31_040)),
        outcome("bolt-1", "bolt", Reason::Outbid, Some("20"), Some(38_000)),
        outcome("core-1", "core", Reason::Cap, None, None),
    ];
    outcomes[2].note = Some("50 of 50".to_owned());
    if !is_final {
        outcomes[1] = outcome("bolt-1", "bolt", Reason::Pending, None, None);
    }
    TrailRow {
        keys: keys(n),
        step: 1,
        is_final,
        test: false,
        seed: 42,
        close: "all_replied",
        asked_us: 200,
        closed_us: 41_300,
        plan: "main".to_owned(),
        tags: vec![("case".into(), "collision".into())],
        outcomes,
        turns: vec![Turn { node: 0, first: 1 }],
        facts: Some(FactsRow {
            at: keys(n).at,
            catalog: None,
            state: Some("TX".to_owned()),
            geo_source: "area_code",
            country: Some("US".to_owned()),
            area_code: Some(512),
            zip3: None,
            attestation: Some('A'),
            has_number: true,
            not_kept: Vec::new(),
            branches: Vec::new(),
            lists: Vec::new(),
            earlier_attempts: 0,
            floor_row: None,
            verified: Verified::Passed,
        }),
    }
}

pub fn event(n: u64, event_id: &str) -> EventRow {
    EventRow {
        call_id: call_id(n),
        event_id: event_id.to_owned(),
        attempt: Some(1),
        kind: "ended",
        at: Some(Timestamp::from_micros(NINE.micros() + 95_000_000)),
        received: Timestamp::from_micros(NINE.micros() + 95_250_000),
        detail: "normal, talk 91000 ms, by caller".to_owned(),
    }
}

/// Talked for 91 s and billed.
pub fn billed() -> EndFacts {
    EndFacts {
        ended_at: Timestamp::from_micros(NINE.micros() + 96_000_000),
        reason: Reason::Billable,
        connected: true,
        talk_ms: 91_000,
        talk_source: "carrier",
        ended_by: "caller",
        billable: true,
        payable: true,
        negative_margin: false,
    }
}

/// Nobody was connected.
pub fn unconnected(reason: Reason) -> EndFacts {
    EndFacts {
        ended_at: Timestamp::from_micros(NINE.micros() + 12_000_000),
        reason,
        connected: false,
        talk_ms: 0,
        talk_source: "none",
        ended_by: "target",
        billable: false,
        payable: false,
        negative_margin: false,
    }
}

pub fn ended(n: u64) -> EndedRow {
    EndedRow {
        keys: keys(n),
        target: Some(target("acme-1")),
        buyer: Some(buyer("acme")),
        end: billed(),
        counts: EndCounts { ended: 1, connected: 1, billable: 1, talk_ms: 91_000 },
    }
}

/// The attempt of `decided(n)`, handed out 41.7 ms after the arrival.
pub fn attempt(n: u64, end: Option<EndFacts>) -> AttemptRow {
    AttemptRow {
        keys: keys(n),
        attempt: 1,
        step: 1,
        test: false,
        offered_at: Timestamp::from_micros(keys(n).at.micros() + 41_700),
        basis: "auction",
        reason: Reason::Won,
        target: Some(target("acme-1")),
        buyer: Some(buyer("acme")),
        price: Some(money("25.50")),
        catalog: "d1".to_owned(),
        end,
    }
}

/// A second attempt, on `bolt-1` at 20.00, 12.3 s after the arrival.
pub fn second_attempt(n: u64, end: Option<EndFacts>) -> AttemptRow {
    AttemptRow {
        attempt: 2,
        step: 2,
        offered_at: Timestamp::from_micros(keys(n).at.micros() + 12_300_000),
        target: Some(target("bolt-1")),
        buyer: Some(buyer("bolt")),
        price: Some(money("20")),
        ..attempt(n, end)
    }
}

/// Revenue 25.50, payout 15.00, margin 10.50: they balance.
pub fn entries(n: u64) -> Vec<LedgerRow> {
    [("revenue", "buyer:acme", "25.50"), ("payout", "publisher:p7", "-15"), ("margin", "exchange", "-10.50")]
        .into_iter()
        .map(|(kind, account, amount)| LedgerRow {
            keys: keys(n),
            buyer: buyer("acme"),
            target: target("acme-1"),
            group: "attempt/1".to_owned(),
            kind,
            account: account.to_owned(),
            amount: money(amount),
            booked_at: Timestamp::from_micros(NINE.micros() + 96_000_000),
        })
        .collect()
}

pub fn catalog() -> CatalogRow {
    CatalogRow { digest: "d1".to_owned(), text: "# campaigns.toml\n".to_owned(), since: NINE }
}

/// Every kind of row of one call, in the order they happen.
pub fn whole_call(n: u64) -> Vec<Row> {
    let mut rows = vec![
        Row::Catalog(catalog()),
        Row::Decided(Box::new(decided(n))),
        Row::Trail(Box::new(trail(n, false))),
        Row::Trail(Box::new(trail(n, true))),
        Row::Attempt(Box::new(attempt(n, None))),
        Row::Event(Box::new(event(n, "e1"))),
    ];
    rows.extend(entries(n).into_iter().map(Row::Ledger));
    rows.push(Row::Attempt(Box::new(attempt(n, Some(billed())))));
    rows.push(Row::Ended(Box::new(ended(n))));
    rows
}

/// `acme-1` is busy, then `bolt-1` takes the call and is billed.
pub fn two_attempts(n: u64) -> Vec<Row> {
    let end = EndedRow { target: Some(target("bolt-1")), buyer: Some(buyer("bolt")), ..ended(n) };
    vec![
        Row::Decided(Box::new(decided(n))),
        Row::Attempt(Box::new(attempt(n, None))),
        Row::Attempt(Box::new(attempt(n, Some(unconnected(Reason::Busy))))),
        Row::Attempt(Box::new(second_attempt(n, None))),
        Row::Attempt(Box::new(second_attempt(n, Some(billed())))),
        Row::Ended(Box::new(end)),
    ]
}
