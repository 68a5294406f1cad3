//! The embedded store by itself: what is written, what is written once, and what is refused.

mod changes;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::{Money, Reason, Timestamp};
use crate::records::fixture::{
    Folder, NINE, buyer, call_id, catalog, decided, ended, entries, event, keys, money, target, trail,
    whole_call, write,
};
use crate::records::row::{EndCounts, LedgerRow};
use crate::records::stored::{
    CallQuery, PnlKey, StoredCall, StoredCatalog, StoredDecision, StoredEnd, StoredEntry, StoredEvent,
    StoredImbalance, StoredMoney, StoredOutcome, StoredPnl, StoredReasonCount, StoredTotals, StoredTrail,
};

fn reader(folder: &Folder) -> Reader {
    Reader::open(&folder.file()).expect("a reader")
}

/// Everything a reader can see, as text.
fn everything(folder: &Folder) -> String {
    let reader = reader(folder);
    let calls = reader.calls(&CallQuery::default(), 1_000).expect("calls");
    let wholes: Vec<_> = calls.iter().map(|call| reader.whole(call.call_id).expect("a call")).collect();
    let pnl = reader.pnl(PnlKey::Target, None, None).expect("pnl");
    let reasons = reader.reasons(None, None, 100).expect("reasons");
    format!("{wholes:?}{pnl:?}{reasons:?}{:?}", reader.totals().expect("totals"))
}

/// The start of the UTC hour this falls into.
fn hour_of(at: Timestamp) -> String {
    const HOUR: i64 = 3_600_000_000;
    Timestamp::from_micros(at.micros().div_euclid(HOUR) * HOUR).to_the_second()
}

#[test]
fn every_kind_of_row_comes_back_as_it_went_in() {
    let folder = Folder::new("round-trip");
    write(&mut folder.open(), &whole_call(1));
    let reader = reader(&folder);
    let whole = reader.whole(call_id(1)).expect("a call");
    let (decided, ended, trail) = (decided(1), ended(1), trail(1, true));
    let call = StoredCall {
        call_id: call_id(1),
        at: keys(1).at,
        campaign: Some("auto-us".into()),
        publisher: Some("p7".into()),
        decision: Some(StoredDecision {
            carrier: "tw".into(),
            carrier_call_id: decided.carrier_call_id,
            test: decided.test,
            number: decided.number,
            sub_id: decided.sub_id,
            caller: decided.caller,
            caller_token: decided.caller_token,
            state: decided.state,
            basis: decided.basis.into(),
            action: decided.action.into(),
            reason: decided.reason.code(),
            target: Some("acme-1".into()),
            buyer: Some("acme".into()),
            price: decided.price,
            decided_us: decided.decided_us,
            overhead_us: decided.overhead_us,
            catalog: decided.catalog,
        }),
        end: Some(StoredEnd {
            target: Some("acme-1".into()),
            buyer: Some("acme".into()),
            ended_at: ended.ended_at,
            reason: ended.reason.code(),
            connected: ended.connected,
            talk_ms: ended.talk_ms,
            talk_source: ended.talk_source.into(),
            ended_by: ended.ended_by.into(),
            billable: ended.billable,
            payable: ended.payable,
            negative_margin: ended.negative_margin,
        }),
        money: StoredMoney { revenue: money("25.50"), payout: money("15"), margin: money("10.50") },
    };
    assert_eq!(whole.call, Some(call.clone()));
    assert_eq!(reader.calls(&CallQuery::default(), 10).expect("calls"), [call]);
    let stored = StoredTrail {
        seq: 2,
        call_id: call_id(1),
        step: 1,
        is_final: true,
        at: trail.keys.at,
        campaign: Some("auto-us".into()),
        publisher: Some("p7".into()),
        seed: trail.seed,
        close: trail.close.into(),
        asked_us: trail.asked_us,
        closed_us: trail.closed_us,
        plan: trail.plan,
        tags: trail.tags,
        outcomes: trail
            .outcomes
            .into_iter()
            .map(|outcome| StoredOutcome {
                target: outcome.target.to_string(),
                buyer: outcome.buyer.to_string(),
                reason: outcome.reason.code(),
                amount: outcome.amount,
                ping: outcome.ping,
                latency_us: outcome.latency_us,
                note: outcome.note,
            })
            .collect(),
    };
    assert_eq!(whole.trails, std::slice::from_ref(&stored));
    assert_eq!(reader.trails_after(0, 10).expect("steps"), [stored]);
    let event = event(1, "e1");
    let stored = StoredEvent {
        call_id: event.call_id,
        event_id: event.event_id,
        attempt: event.attempt,
        kind: event.kind.into(),
        at: event.at,
        received: event.received,
        detail: event.detail,
    };
    assert_eq!(whole.events, [stored]);
    let stored: Vec<StoredEntry> = entries(1)
        .into_iter()
        .zip(1..)
        .map(|(entry, seq)| StoredEntry {
            seq,
            call_id: entry.keys.call_id,
            at: entry.keys.at,
            campaign: Some("auto-us".into()),
            publisher: Some("p7".into()),
            buyer: entry.buyer.to_string(),
            target: entry.target.to_string(),
            group: entry.group,
            kind: entry.kind.into(),
            account: entry.account,
            amount: entry.amount,
            booked_at: entry.booked_at,
        })
        .collect();
    assert_eq!(whole.entries, stored);
    assert_eq!(reader.entries_after(0, 10).expect("entries"), stored);
    assert_eq!(reader.entries_after(2, 10).expect("entries"), stored[2..]);
    let text = catalog();
    let stored = StoredCatalog { digest: text.digest, text: text.text, since: text.since };
    assert_eq!(reader.catalog("d1").expect("a catalog"), Some(stored));
    assert_eq!(reader.catalog("d2").expect("no catalog"), None);
    assert_eq!(reader.whole(call_id(2)).expect("nothing").call, None);
}

#[test]
fn what_is_absent_comes_back_absent() {
    let folder = Folder::new("absent");
    let (mut bare, mut bare_event) = (decided(1), event(1, "e1"));
    bare.keys.campaign = None;
    bare.keys.publisher = None;
    bare.sub_id = None;
    bare.caller_token = None;
    bare.state = None;
    bare.target = None;
    bare.buyer = None;
    bare.price = None;
    bare_event.attempt = None;
    bare_event.at = None;
    write(&mut folder.open(), &[Row::Decided(Box::new(bare)), Row::Event(Box::new(bare_event))]);
    let whole = reader(&folder).whole(call_id(1)).expect("a call");
    let call = whole.call.expect("its line");
    assert_eq!((call.campaign, call.publisher, call.end), (None, None, None));
    let decision = call.decision.expect("its decision");
    assert_eq!((decision.sub_id, decision.caller_token, decision.state), (None, None, None));
    assert_eq!((decision.target, decision.buyer, decision.price), (None, None, None));
    assert_eq!((whole.events[0].attempt, whole.events[0].at), (None, None));
}

#[test]
fn a_batch_applied_twice_changes_nothing() {
    let folder = Folder::new("twice");
    let mut store = folder.open();
    let rows = whole_call(1);
    let first = store.apply(1, &rows).expect("the first time");
    assert_eq!(first, Applied::Now { repeated: 0, conflicts: 0 });
    let once = everything(&folder);
    assert_eq!(store.apply(1, &rows).expect("again"), Applied::Before);
    assert_eq!(everything(&folder), once);
    store.close();

    let mut store = folder.open();
    assert_eq!(store.next_batch(), 2);
    assert_eq!(store.apply(1, &rows).expect("after reopening"), Applied::Before);
    assert_eq!(everything(&folder), once);
    // The same rows under a new number: their own keys keep them from counting again.
    let again = store.apply(2, &rows).expect("under another number");
    assert_eq!(again, Applied::Now { repeated: 9, conflicts: 0 });
    assert_eq!(everything(&folder), once.replace("batch_no: 1", "batch_no: 2"));
}

#[test]
fn a_gap_is_refused() {
    let folder = Folder::new("gap");
    let mut store = folder.open();
    let refused = store.apply(2, &whole_call(1)).expect_err("batch 1 is missing");
    assert_eq!(refused.to_string(), "batch 2 came where 1 is next: a batch is missing");
    assert_eq!(reader(&folder).totals().expect("totals"), StoredTotals::default());
    write(&mut store, &whole_call(1));
}

#[test]
fn a_failed_batch_leaves_nothing_and_its_number_is_still_next() {
    let folder = Folder::new("failed");
    let mut store = folder.open();
    refuse_event(&store, "bad");
    let before = everything(&folder);
    let mut rows = whole_call(1);
    rows.push(Row::Event(Box::new(event(1, "bad"))));
    let refused = store.apply(1, &rows).expect_err("the last row is refused");
    assert!(refused.is_about_the_rows(), "{refused:?}");
    assert_eq!(everything(&folder), before);
    assert_eq!(
        store.apply(1, &whole_call(1)).expect("without it"),
        Applied::Now { repeated: 0, conflicts: 0 }
    );
    assert_eq!(reader(&folder).whole(call_id(1)).expect("a call").entries[0].account, "buyer:acme");
}

/// Makes the store refuse one event, as a broken row would be.
pub(in crate::records) fn refuse_event(store: &Store, event_id: &str) {
    let sql = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON event WHEN NEW.event_id = '{event_id}'
         BEGIN SELECT RAISE(ABORT, 'no such event'); END"
    );
    store.conn().execute_batch(&sql).expect("a trigger");
}

#[test]
fn a_final_trail_replaces_the_provisional_one_and_counts_once() {
    let folder = Folder::new("trail");
    let mut store = folder.open();
    let provisional = Row::Trail(Box::new(trail(1, false)));
    let last = Row::Trail(Box::new(trail(1, true)));
    write(&mut store, std::slice::from_ref(&provisional));
    let reader = reader(&folder);
    let steps = reader.whole(call_id(1)).expect("a call").trails;
    assert_eq!((steps.len(), steps[0].is_final, steps[0].outcomes[1].reason), (1, false, 0));
    assert!(
        reader.trails_after(0, 10).expect("steps").is_empty(),
        "a pending step has no place in the order"
    );
    assert!(reader.reasons(None, None, 10).expect("reasons").is_empty());
    // The final one, then everything again and in the wrong order.
    for rows in [vec![last.clone()], vec![last, provisional.clone()], vec![provisional]] {
        write(&mut store, &rows);
        let steps = reader.trails_after(0, 10).expect("steps");
        assert_eq!((steps.len(), steps[0].seq, steps[0].outcomes[1].reason), (1, 2, Reason::Outbid.code()));
        let count = |who: &str, reason: Reason| StoredReasonCount {
            buyer: who.into(),
            target: format!("{who}-1"),
            reason: reason.code(),
            count: 1,
        };
        let counts = [count("acme", Reason::Won), count("bolt", Reason::Outbid), count("core", Reason::Cap)];
        assert_eq!(reader.reasons(None, None, 10).expect("reasons"), counts);
    }
}

#[test]
fn an_end_before_its_decision_and_a_corrected_end_are_one_call() {
    let folder = Folder::new("end-first");
    let mut store = folder.open();
    write(&mut store, &[Row::Ended(Box::new(ended(1)))]);
    let reader = reader(&folder);
    let early = reader.whole(call_id(1)).expect("a call").call.expect("its line");
    assert!(early.decision.is_none() && early.end.is_some());
    let mut corrected = ended(1);
    corrected.talk_ms = 95_000;
    corrected.counts = EndCounts { talk_ms: 4_000, ..EndCounts::default() };
    write(&mut store, &[Row::Decided(Box::new(decided(1))), Row::Ended(Box::new(corrected.clone()))]);
    write(&mut store, &[Row::Ended(Box::new(corrected))]);
    let pnl = reader.pnl(PnlKey::Buyer, None, None).expect("pnl");
    assert_eq!(pnl.len(), 1);
    let line = &pnl[0];
    assert_eq!((line.calls, line.ended, line.connected, line.billable, line.talk_ms), (1, 1, 1, 1, 95_000));
}

/// Splitmix64: rows differ, runs do not.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// The rows of one generated call.
fn generated(n: u64, draw: &mut Draw) -> Vec<Row> {
    let names = ["acme", "bolt", "core"];
    let mut keys = keys(n);
    keys.at = Timestamp::from_micros(NINE.micros() + draw.below(5 * 3_600_000_000) as i64);
    if draw.below(10) == 0 {
        keys.publisher = None;
    }
    let who = names[draw.below(3) as usize];
    let end_who = if draw.below(4) == 0 { names[draw.below(3) as usize] } else { who };
    let mut decided = decided(n);
    decided.keys = keys.clone();
    decided.test = draw.below(12) == 0;
    decided.buyer = Some(buyer(who));
    decided.target = Some(target(&format!("{who}-1")));
    let mut trail = trail(n, true);
    trail.keys = keys.clone();
    for outcome in &mut trail.outcomes {
        outcome.reason = Reason::ALL[draw.below(Reason::ALL.len() as u64) as usize];
    }
    let mut rows = vec![Row::Decided(Box::new(decided)), Row::Trail(Box::new(trail))];
    if draw.below(5) > 0 {
        let mut ended = ended(n);
        ended.keys = keys.clone();
        ended.buyer = Some(buyer(end_who));
        ended.target = Some(target(&format!("{end_who}-1")));
        ended.talk_ms = draw.below(400_000);
        ended.counts = EndCounts {
            ended: 1,
            connected: draw.below(2) as i64,
            billable: draw.below(2) as i64,
            talk_ms: ended.talk_ms as i64,
        };
        rows.push(Row::Ended(Box::new(ended)));
    }
    if draw.below(2) == 0 {
        let revenue = draw.below(90_000_000) as i64;
        let payout = draw.below(60_000_000) as i64;
        let amounts = [revenue, -payout, payout - revenue];
        rows.extend(entries(n).into_iter().zip(amounts).map(|(entry, amount)| {
            Row::Ledger(LedgerRow {
                keys: keys.clone(),
                buyer: buyer(end_who),
                target: target(&format!("{end_who}-1")),
                amount: Money::from_micros(amount),
                ..entry
            })
        }));
    }
    rows
}

#[test]
fn roll_ups_are_the_sums_of_the_rows() {
    for seed in 1..=3 {
        let folder = Folder::new("roll-ups");
        let mut store = folder.open();
        let mut draw = Draw(seed);
        let rows: Vec<Row> = (0..300).flat_map(|n| generated(n, &mut draw)).collect();
        // In batches of uneven size, a fifth of the rows a second time later on.
        let repeats: Vec<Row> = rows.iter().filter(|_| draw.below(5) == 0).cloned().collect();
        let mut rest: &[Row] = &[rows.clone(), repeats].concat();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at((1 + draw.below(90) as usize).min(rest.len()));
            write(&mut store, batch);
            rest = later;
        }
        let reader = reader(&folder);
        type Group = fn(&crate::records::row::CallKeys, &str, &str) -> String;
        let groups: [(PnlKey, Group); 5] = [
            (PnlKey::Buyer, |_, buyer, _| buyer.to_owned()),
            (PnlKey::Target, |_, _, target| target.to_owned()),
            (PnlKey::Publisher, |keys, _, _| {
                keys.publisher.as_ref().map(ToString::to_string).unwrap_or_default()
            }),
            (PnlKey::Campaign, |keys, _, _| {
                keys.campaign.as_ref().map(ToString::to_string).unwrap_or_default()
            }),
            (PnlKey::Hour, |keys, _, _| hour_of(keys.at)),
        ];
        for (key, group) in groups {
            let mut stored = reader.pnl(key, None, None).expect("pnl");
            stored.sort_by(|a, b| a.key.cmp(&b.key));
            assert_eq!(stored, sums(&rows, group), "seed {seed}, by {key:?}");
        }
        // Whole hours only, and adjoining spans add up.
        let ten = Timestamp::from_micros(NINE.micros() + 3_600_000_000);
        let calls = |from, to| {
            let lines = reader.pnl(PnlKey::Campaign, from, to).expect("pnl");
            lines.iter().map(|line| line.calls).sum::<i64>()
        };
        assert_eq!(calls(None, Some(ten)) + calls(Some(ten), None), calls(None, None));

        let mut outcomes: BTreeMap<(String, u16), i64> = BTreeMap::new();
        for row in &rows {
            if let Row::Trail(trail) = row {
                for outcome in &trail.outcomes {
                    *outcomes.entry((outcome.target.to_string(), outcome.reason.code())).or_default() += 1;
                }
            }
        }
        let stored = reader.reasons(None, None, usize::MAX).expect("reasons");
        let stored: BTreeMap<_, _> = stored.into_iter().map(|r| ((r.target, r.reason), r.count)).collect();
        assert_eq!(stored, outcomes, "seed {seed}");
        assert!(reader.imbalances(10).expect("imbalances").is_empty());
    }
}

/// The same sums, the slow way.
fn sums(rows: &[Row], group: fn(&crate::records::row::CallKeys, &str, &str) -> String) -> Vec<StoredPnl> {
    let mut sums: BTreeMap<String, StoredPnl> = BTreeMap::new();
    let mut line = |keys, buyer: &str, target: &str, add: &dyn Fn(&mut StoredPnl)| {
        let key = group(keys, buyer, target);
        let sum = sums.entry(key.clone()).or_insert_with(|| StoredPnl { key, ..StoredPnl::default() });
        add(sum);
    };
    let who = |id: &Option<crate::domain::BuyerId>| id.as_ref().map(ToString::to_string).unwrap_or_default();
    let what =
        |id: &Option<crate::domain::TargetId>| id.as_ref().map(ToString::to_string).unwrap_or_default();
    for row in rows {
        match row {
            Row::Decided(row) if !row.test => {
                line(&row.keys, &who(&row.buyer), &what(&row.target), &|sum| sum.calls += 1);
            }
            Row::Ended(row) => line(&row.keys, &who(&row.buyer), &what(&row.target), &|sum| {
                sum.ended += row.counts.ended;
                sum.connected += row.counts.connected;
                sum.billable += row.counts.billable;
                sum.talk_ms += row.counts.talk_ms;
            }),
            Row::Ledger(row) => line(&row.keys, row.buyer.as_str(), row.target.as_str(), &|sum| {
                let (field, sign) = match row.kind {
                    "revenue" => (&mut sum.money.revenue, 1),
                    "payout" => (&mut sum.money.payout, -1),
                    _ => (&mut sum.money.margin, -1),
                };
                *field = Money::from_micros(field.micros() + sign * row.amount.micros());
            }),
            Row::Decided(_) | Row::Trail(_) | Row::Event(_) | Row::Catalog(_) | Row::Change(_) => {}
        }
    }
    sums.into_values().collect()
}

#[test]
fn a_forged_imbalance_is_found() {
    let folder = Folder::new("imbalance");
    let mut store = folder.open();
    write(&mut store, &whole_call(1));
    write(&mut store, &whole_call(2));
    assert!(reader(&folder).imbalances(10).expect("imbalances").is_empty());
    let forged = "UPDATE ledger_entry SET amount = amount + 1 WHERE kind = 'payout' AND seq <= 3";
    assert_eq!(store.conn().execute(forged, ()).expect("forged"), 1);
    let found = reader(&folder).imbalances(10).expect("imbalances");
    let sum = Money::from_micros(1);
    assert_eq!(found, [StoredImbalance { call_id: call_id(1), group: "attempt/1".into(), sum }]);
}

#[test]
fn a_ledger_key_with_other_content_is_a_conflict_and_the_first_stands() {
    let folder = Folder::new("conflict");
    let mut store = folder.open();
    write(&mut store, &whole_call(1));
    let mut other = entries(1).remove(0);
    other.amount = money("99");
    let applied = store.apply(2, &[Row::Ledger(other)]).expect("applied");
    assert_eq!(applied, Applied::Now { repeated: 1, conflicts: 1 });
    assert_eq!(reader(&folder).entries_after(0, 1).expect("entries")[0].amount, money("25.50"));
}

#[test]
fn pages_of_calls_are_complete_and_filters_hold() {
    let folder = Folder::new("pages");
    let mut rows: Vec<Row> = (0..25).flat_map(whole_call).collect();
    // Two calls of the same microsecond: the id decides.
    let mut twin = decided(30);
    twin.keys.at = keys(7).at;
    twin.buyer = Some(buyer("bolt"));
    twin.reason = Reason::Static;
    rows.push(Row::Decided(Box::new(twin)));
    write(&mut folder.open(), &rows);
    let reader = reader(&folder);
    let (mut seen, mut query) = (Vec::new(), CallQuery::default());
    loop {
        let page = reader.calls(&query, 4).expect("calls");
        query.after = page.last().map(|call| (call.at, call.call_id));
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|call| (call.at, call.call_id)));
    }
    assert_eq!(seen.len(), 26);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 26);
    let count = |query: CallQuery| reader.calls(&query, 100).expect("calls").len();
    assert_eq!(count(CallQuery { buyer: Some("bolt".into()), ..CallQuery::default() }), 1);
    assert_eq!(count(CallQuery { buyer: Some("nobody".into()), ..CallQuery::default() }), 0);
    assert_eq!(count(CallQuery { reason: Some(Reason::Static.code()), ..CallQuery::default() }), 1);
    assert_eq!(count(CallQuery { reason: Some(Reason::Billable.code()), ..CallQuery::default() }), 25);
    assert_eq!(count(CallQuery { campaign: Some("auto-us".into()), ..CallQuery::default() }), 26);
    assert_eq!(count(CallQuery { publisher: Some("p8".into()), ..CallQuery::default() }), 0);
    assert_eq!(
        count(CallQuery { since: Some(keys(7).at), until: Some(keys(9).at), ..CallQuery::default() }),
        3
    );
}

#[test]
fn the_store_is_durable_by_its_settings() {
    let folder = Folder::new("settings");
    let store = folder.open();
    let text = |sql| store.conn().query_row(sql, (), |row| row.get::<_, String>(0)).expect(sql);
    let number = |sql| store.conn().query_row(sql, (), |row| row.get::<_, i64>(0)).expect(sql);
    assert_eq!(text("PRAGMA journal_mode"), "wal");
    assert_eq!(number("PRAGMA synchronous"), 2, "FULL");
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let folder = Folder::new("lock");
    let mut store = folder.open();
    let refused = Store::open(&folder.file()).expect_err("one writer per file").to_string();
    assert!(refused.starts_with("another process writes to the store"), "{refused}");
    assert!(refused.ends_with("stop it, or configure another path"), "{refused}");
    let reader = reader(&folder);
    write(&mut store, &whole_call(1));
    assert_eq!(reader.totals().expect("totals").calls, 1, "read while the writer is there");
    let denied = reader.conn().execute("DELETE FROM call", ()).expect_err("read-only");
    assert_eq!(denied.sqlite_error_code(), Some(ErrorCode::ReadOnly));
    store.close();
    drop(folder.open());
    assert_eq!(Reader::open(&folder.file()).expect("at rest").totals().expect("totals").calls, 1);
}

#[test]
fn other_files_are_refused_in_words() {
    let folder = Folder::new("other");
    let missing = Reader::open(&folder.file()).expect_err("nothing there").to_string();
    assert!(missing.starts_with("no store at") && missing.contains("outcry serve"), "{missing}");
    assert!(!folder.file().exists(), "a reader creates nothing");

    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).and_then(|c| c.execute_batch("CREATE TABLE x (y)")).expect("a foreign file");
    assert!(matches!(Store::open(&foreign), Err(StoreError::NotAStore { .. })));
    assert!(matches!(Reader::open(&foreign), Err(StoreError::NotAStore { .. })));

    let text = folder.path().join("text.db");
    std::fs::write(&text, "x".repeat(4_096)).expect("a file");
    assert!(matches!(Store::open(&text), Err(StoreError::Open { .. })));

    let store = folder.open();
    store.conn().execute_batch("PRAGMA user_version = 99").expect("a later version");
    drop(store);
    let newer = Store::open(&folder.file()).expect_err("too new").to_string();
    assert!(newer.contains("schema version 99, this binary knows up to 2"), "{newer}");
}
