//! The embedded store by itself: what is written, what is written once, and what is refused.

mod changes;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::{Money, Reason, Timestamp};
use crate::records::fixture::{
    Folder, NINE, attempt, billed, buyer, call_id, catalog, decided, ended, entries, event, keys, money,
    second_attempt, target, trail, two_attempts, unconnected, whole_call, write,
};
use crate::records::row::{AttemptRow, EndCounts, EndFacts, LedgerRow, Row};
use crate::records::stored::{
    CallQuery, PnlKey, StoredAttempt, StoredCall, StoredCatalog, StoredDecision, StoredEnd, StoredEndFacts,
    StoredEntry, StoredEvent, StoredFacts, StoredImbalance, StoredMoney, StoredOutcome, StoredPnl,
    StoredReasonCount, StoredTotals, StoredTrail, StoredUse,
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

/// An end as it comes back.
fn facts(end: EndFacts) -> StoredEndFacts {
    StoredEndFacts {
        ended_at: end.ended_at,
        reason: end.reason.code(),
        connected: end.connected,
        talk_ms: end.talk_ms,
        talk_source: end.talk_source.into(),
        ended_by: end.ended_by.into(),
        billable: end.billable,
        payable: end.payable,
        negative_margin: end.negative_margin,
    }
}

/// An attempt as it comes back.
fn as_stored(row: AttemptRow) -> StoredAttempt {
    StoredAttempt {
        call_id: row.keys.call_id,
        attempt: row.attempt,
        at: row.keys.at,
        campaign: row.keys.campaign.map(|id| id.to_string()),
        publisher: row.keys.publisher.map(|id| id.to_string()),
        step: row.step,
        test: row.test,
        offered_at: row.offered_at,
        basis: row.basis.into(),
        reason: row.reason.code(),
        target: row.target.map(|id| id.to_string()),
        buyer: row.buyer.map(|id| id.to_string()),
        price: row.price,
        catalog: row.catalog,
        end: row.end.map(facts),
    }
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
            facts: facts(ended.end),
        }),
        attempts: 1,
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
        turns: trail.turns,
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
        facts: trail.facts.map(|facts| StoredFacts {
            at: facts.at,
            catalog: facts.catalog,
            state: facts.state,
            geo_source: facts.geo_source.into(),
            country: facts.country,
            area_code: facts.area_code,
            zip3: facts.zip3,
            attestation: facts.attestation,
            has_number: facts.has_number,
            not_kept: facts.not_kept,
            branches: facts.branches,
            lists: facts.lists,
            earlier_attempts: facts.earlier_attempts,
            floor_row: facts.floor_row,
            verified: facts.verified,
        }),
    };
    assert_eq!(whole.trails, std::slice::from_ref(&stored));
    assert_eq!(reader.trails_after(0, 10).expect("steps"), [stored]);
    assert_eq!(whole.attempts, [as_stored(attempt(1, Some(billed())))]);
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
    let mut bare_attempt = attempt(1, None);
    bare_attempt.keys = bare.keys.clone();
    bare_attempt.target = None;
    bare_attempt.buyer = None;
    bare_attempt.price = None;
    let rows = [
        Row::Decided(Box::new(bare)),
        Row::Attempt(Box::new(bare_attempt.clone())),
        Row::Event(Box::new(bare_event)),
    ];
    write(&mut folder.open(), &rows);
    let whole = reader(&folder).whole(call_id(1)).expect("a call");
    let call = whole.call.expect("its line");
    assert_eq!((call.campaign, call.publisher, call.end), (None, None, None));
    let decision = call.decision.expect("its decision");
    assert_eq!((decision.sub_id, decision.caller_token, decision.state), (None, None, None));
    assert_eq!((decision.target, decision.buyer, decision.price), (None, None, None));
    assert_eq!(whole.attempts, [as_stored(bare_attempt)]);
    assert_eq!((whole.events[0].attempt, whole.events[0].at), (None, None));
}

#[test]
fn a_batch_applied_twice_changes_nothing() {
    let folder = Folder::new("twice");
    let mut store = folder.open();
    let rows = whole_call(1);
    let first = store.apply(1, &rows, Place::default()).expect("the first time");
    assert_eq!(first, Applied::Now { repeated: 0, conflicts: 0 });
    let once = everything(&folder);
    assert_eq!(store.apply(1, &rows, Place::default()).expect("again"), Applied::Before);
    assert_eq!(everything(&folder), once);
    store.close();

    let mut store = folder.open();
    assert_eq!(store.next_batch(), 2);
    assert_eq!(store.apply(1, &rows, Place::default()).expect("after reopening"), Applied::Before);
    assert_eq!(everything(&folder), once);
    // The same rows under a new number: their own keys keep them from counting again.
    let again = store.apply(2, &rows, Place::default()).expect("under another number");
    let is_known = again == Applied::Now { repeated: 11, conflicts: 0 };
    assert!(is_known, "Once broken: rows that came again are taken as new: {again:?}");
    assert_eq!(
        everything(&folder),
        once.replace("batch_no: 1", "batch_no: 2"),
        "Once broken: rows that came again count again"
    );
}

#[test]
fn a_gap_is_refused() {
    let folder = Folder::new("gap");
    let mut store = folder.open();
    let refused = store.apply(2, &whole_call(1), Place::default()).expect_err("batch 1 is missing");
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
    let refused = store.apply(1, &rows, Place::default()).expect_err("the last row is refused");
    assert!(refused.is_about_the_rows(), "{refused:?}");
    assert_eq!(everything(&folder), before);
    assert_eq!(
        store.apply(1, &whole_call(1), Place::default()).expect("without it"),
        Applied::Now { repeated: 0, conflicts: 0 }
    );
    assert_eq!(reader(&folder).whole(call_id(1)).expect("a call").entries[0].account, "buyer:acme");
}

/// Rows and the place they reach come together or not at all, wherever it breaks off: a place before its rows would lose them,
/// rows before their place would count again.
#[test]
fn rows_and_place_come_together_or_not_at_all() {
    let folder = Folder::new("together");
    let mut store = folder.open();
    let place = |seq| Place { journal: 7, seq };
    let first = store.apply(1, &whole_call(1), place(3)).expect("a first batch");
    assert_eq!(first, Applied::Now { repeated: 0, conflicts: 0 });
    let before = everything(&folder);
    let faults = [
        "INSERT ON event",
        "INSERT ON ledger_entry",
        "INSERT ON outcome_hour",
        "UPDATE ON meta WHEN NEW.key = 'batch_no'",
        "UPDATE ON meta WHEN NEW.key = 'journal_seq'",
    ];
    for fault in faults {
        let (verb, rest) = fault.split_once(" ON ").expect("a verb and a table");
        let (table, when) = rest.split_once(' ').unwrap_or((rest, ""));
        let sql = format!(
            "CREATE TRIGGER breaks BEFORE {verb} ON {table} {when} BEGIN SELECT RAISE(ABORT, 'here'); END"
        );
        store.conn().execute_batch(&sql).expect("a trigger");
        store.apply(2, &whole_call(2), place(5)).expect_err(fault);
        assert_eq!(everything(&folder), before, "Together broken: after a fault at {fault}");
        assert_eq!(store.place(), place(3), "Together broken: after a fault at {fault}");
        store.conn().execute_batch("DROP TRIGGER breaks").expect("no trigger");
        store.close();
        store = folder.open();
        assert_eq!(store.place(), place(3), "Together broken: reopened after a fault at {fault}");
    }
    // The catalog is there already.
    let applied = store.apply(2, &whole_call(2), place(5)).expect("nothing breaks now");
    assert_eq!(applied, Applied::Now { repeated: 1, conflicts: 0 });
    assert_eq!(
        (store.place(), reader(&folder).whole(call_id(2)).expect("a call").entries.len()),
        (place(5), 3)
    );
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
    corrected.end.talk_ms = 95_000;
    corrected.counts = EndCounts { talk_ms: 4_000, ..EndCounts::default() };
    write(&mut store, &[Row::Decided(Box::new(decided(1))), Row::Ended(Box::new(corrected.clone()))]);
    write(&mut store, &[Row::Ended(Box::new(corrected))]);
    let pnl = reader.pnl(PnlKey::Buyer, None, None).expect("pnl");
    assert_eq!(pnl.len(), 1);
    let line = &pnl[0];
    assert_eq!((line.calls, line.ended, line.connected, line.billable, line.talk_ms), (1, 1, 1, 1, 95_000));
}

#[test]
fn an_attempt_is_what_was_last_known_of_it_in_any_order() {
    let pending = attempt(1, None);
    let busy = attempt(1, Some(unconnected(Reason::Busy)));
    let lost = attempt(1, Some(unconnected(Reason::Unresolved)));
    let sold = attempt(1, Some(billed()));
    let table: [(&[&AttemptRow], &AttemptRow, u64); 6] = [
        // rows in their order, what is left, how many of them were no news
        (&[&pending], &pending, 0),
        (&[&pending, &pending], &pending, 1),
        (&[&pending, &busy, &busy], &busy, 1),
        (&[&busy, &pending], &busy, 1),
        (&[&pending, &lost, &sold, &pending], &sold, 1),
        (&[&sold], &sold, 0),
    ];
    for (number, (rows, left, no_news)) in table.into_iter().enumerate() {
        let rows: Vec<Row> = rows.iter().map(|row| Row::Attempt(Box::new((*row).clone()))).collect();
        let expected = [as_stored(left.clone())];
        // As one batch, and each by itself.
        for size in [rows.len(), 1] {
            let folder = Folder::new("attempt");
            let mut store = folder.open();
            let repeated = rows.chunks(size).map(|batch| {
                match store.apply(store.next_batch(), batch, Place::default()) {
                    Ok(Applied::Now { repeated, .. }) => repeated,
                    other => panic!("row {number}: {other:?}"),
                }
            });
            assert_eq!(repeated.sum::<u64>(), no_news, "row {number} in batches of {size}");
            let reader = reader(&folder);
            assert_eq!(reader.whole(call_id(1)).expect("a call").attempts, expected, "row {number}");
            assert_eq!(reader.totals().expect("totals").attempts, 1, "row {number}");
        }
    }
}

#[test]
fn a_call_of_two_attempts_has_both_in_order_and_one_end() {
    let folder = Folder::new("two-attempts");
    let mut store = folder.open();
    let mut backwards = two_attempts(1);
    backwards.reverse();
    write(&mut store, &backwards);
    let once = everything(&folder);
    let reader = reader(&folder);
    let whole = reader.whole(call_id(1)).expect("a call");
    let busy = attempt(1, Some(unconnected(Reason::Busy)));
    assert_eq!(whole.attempts, [as_stored(busy), as_stored(second_attempt(1, Some(billed())))]);
    let call = whole.call.expect("its line");
    assert_eq!((call.attempts, call.end.and_then(|end| end.target)), (2, Some("bolt-1".to_owned())));
    // The same rows again, in the order they happened: nothing is news.
    let again = store.apply(2, &two_attempts(1), Place::default()).expect("again");
    assert_eq!(again, Applied::Now { repeated: 6, conflicts: 0 });
    assert_eq!(everything(&folder), once.replace("batch_no: 1", "batch_no: 2"));
}

#[test]
fn units_of_daily_caps_are_those_of_attempts() {
    const QUARTER: i64 = 900_000_000;
    let later = |row: AttemptRow, quarters: i64| AttemptRow {
        offered_at: Timestamp::from_micros(NINE.micros() + quarters * QUARTER),
        ..row
    };
    let lost = || Some(unconnected(Reason::Unresolved));
    let mut rows: Vec<AttemptRow> = vec![
        // Before what is asked for.
        later(attempt(1, Some(billed())), -1),
        // Quarter 0: acme-1 busy, bolt-1 billed; a call in progress and a lost one at acme-1.
        attempt(2, Some(unconnected(Reason::Busy))),
        second_attempt(2, Some(billed())),
        attempt(3, None),
        attempt(4, lost()),
        // A call that arrived in quarter 0, its second attempt handed out in quarter 1.
        attempt(5, Some(billed())),
        later(second_attempt(5, None), 1),
        // A test, and the plan's own destination.
        AttemptRow { test: true, ..attempt(6, None) },
        AttemptRow { target: None, buyer: None, ..attempt(7, None) },
    ];
    // The last microsecond of a quarter, and the first of the next.
    rows.push(later(attempt(8, Some(billed())), 3));
    rows.push(AttemptRow {
        offered_at: Timestamp::from_micros(NINE.micros() + 3 * QUARTER - 1),
        ..attempt(9, Some(billed()))
    });
    let rows: Vec<Row> = rows.into_iter().map(|row| Row::Attempt(Box::new(row))).collect();
    let folder = Folder::new("uses");
    let mut store = folder.open();
    write(&mut store, &rows);
    write(&mut store, &rows);
    let line = |who: &str, quarters: i64, posted, unresolved| StoredUse {
        buyer: who.to_owned(),
        target: format!("{who}-1"),
        quarter: Timestamp::from_micros(NINE.micros() + quarters * QUARTER),
        posted,
        unresolved,
    };
    let mut uses = reader(&folder).uses(NINE).expect("uses");
    uses.sort_by(|a, b| (&a.buyer, a.quarter).cmp(&(&b.buyer, b.quarter)));
    let expected = [
        line("acme", 0, 1, 2),
        line("acme", 2, 1, 0),
        line("acme", 3, 1, 0),
        line("bolt", 0, 1, 0),
        line("bolt", 1, 0, 1),
    ];
    assert_eq!(uses, expected);
}

/// A file as version 1 left it.
fn version_1(folder: &Folder) {
    let old = Connection::open(folder.file()).expect("a file");
    old.execute_batch(include_str!("version-1.sql")).expect("the rows of version 1");
}

#[test]
fn a_store_of_version_1_is_upgraded_with_everything_in_it() {
    let folder = Folder::new("version-1");
    version_1(&folder);
    let mut store = folder.open();
    assert_eq!(store.next_batch(), 2);
    let reader = reader(&folder);
    let totals = StoredTotals {
        batch_no: 1,
        calls: 7,
        ended: 3,
        steps: 1,
        pending_steps: 1,
        attempts: 5,
        events: 1,
        entries: 3,
    };
    assert_eq!(reader.totals().expect("totals"), totals);
    let attempts = |n| reader.whole(call_id(n)).expect("a call").attempts;
    let at_arrival = |n, end| AttemptRow { offered_at: keys(n).at, ..attempt(n, end) };
    assert_eq!(attempts(1), [as_stored(at_arrival(1, Some(billed())))]);
    assert_eq!(attempts(2), [as_stored(at_arrival(2, None))]);
    let lost =
        EndFacts { ended_at: billed().ended_at, ended_by: "unknown", ..unconnected(Reason::Unresolved) };
    assert_eq!(attempts(3), [as_stored(at_arrival(3, Some(lost)))]);
    assert_eq!(attempts(4), [], "nobody was dialled");
    assert_eq!(
        attempts(5),
        [as_stored(AttemptRow { test: true, reason: Reason::Test, ..at_arrival(5, None) })]
    );
    let own = AttemptRow {
        basis: "terminal",
        reason: Reason::NoTaker,
        target: None,
        buyer: None,
        price: None,
        ..at_arrival(6, None)
    };
    assert_eq!(attempts(6), [as_stored(own)]);
    assert_eq!((attempts(7), attempts(8)), (vec![], vec![]), "no decision, no attempt");
    let uses = reader.uses(NINE).expect("uses");
    let unit =
        StoredUse { buyer: "acme".into(), target: "acme-1".into(), quarter: NINE, posted: 1, unresolved: 2 };
    assert_eq!(uses, [unit]);
    // The rest is what the same rows are in a new store.
    let fresh = Folder::new("version-1-fresh");
    let mut rows = whole_call(1);
    rows.retain(|row| !matches!(row, Row::Attempt(_)));
    for row in &mut rows {
        // Nobody took turns then.
        if let Row::Trail(trail) = row {
            trail.turns.clear();
        }
    }
    rows.push(Row::Attempt(Box::new(at_arrival(1, Some(billed())))));
    // What steps were decided by was not written then.
    for row in &mut rows {
        if let Row::Trail(trail) = row {
            trail.facts = None;
        }
    }
    write(&mut fresh.open(), &rows);
    let new = Reader::open(&fresh.file()).expect("a reader");
    assert_eq!(reader.whole(call_id(1)).expect("a call"), new.whole(call_id(1)).expect("a call"));
    assert_eq!(reader.catalog("d1").expect("read"), new.catalog("d1").expect("read"));
    assert_eq!(reader.reasons(None, None, 10).expect("read"), new.reasons(None, None, 10).expect("read"));
    let pnl = &reader.pnl(PnlKey::Buyer, None, None).expect("pnl")[0];
    assert_eq!((pnl.calls, pnl.ended, pnl.billable, pnl.money.revenue), (3, 3, 2, money("25.50")));
    // And it goes on: the call in progress ends after all.
    write(&mut store, &[Row::Attempt(Box::new(attempt(2, Some(billed()))))]);
    assert_eq!(reader.uses(NINE).expect("uses")[0].posted, 2);
}

#[test]
fn an_upgraded_store_has_the_tables_of_a_new_one() {
    let (old, new) = (Folder::new("old"), Folder::new("new"));
    version_1(&old);
    let tables = |store: &Store| -> Vec<(String, Option<String>)> {
        let sql = "SELECT name, sql FROM sqlite_schema ORDER BY name";
        let mut statement = store.conn().prepare(sql).expect("a query");
        let lines = statement.query_map((), |line| Ok((line.get(0)?, line.get(1)?))).expect("tables");
        lines.collect::<Result<_, _>>().expect("tables")
    };
    assert_eq!(tables(&old.open()), tables(&new.open()));
    // A second start finds nothing to do.
    let before = everything(&old);
    drop(old.open());
    assert_eq!(everything(&old), before);
}

#[test]
fn a_reader_of_an_older_store_is_told_what_to_do() {
    let folder = Folder::new("too-old");
    version_1(&folder);
    let refused = Reader::open(&folder.file()).expect_err("nobody upgraded it").to_string();
    assert!(refused.contains("has schema version 1, this binary reads 3: start `outcry serve`"), "{refused}");
    folder.open().close();
    assert_eq!(reader(&folder).totals().expect("totals").calls, 7);
}

#[test]
fn an_upgrade_that_fails_leaves_the_store_as_it_was() {
    let folder = Folder::new("upgrade-fails");
    version_1(&folder);
    let old = Connection::open(folder.file()).expect("the file");
    // The table can be created, the rows of version 1 cannot be taken over.
    old.execute_batch("UPDATE call SET basis = NULL WHERE carrier_call_id = 'CA5'").expect("a row at fault");
    let refused = Store::open(&folder.file()).expect_err("no basis").to_string();
    assert!(refused.contains("from schema version 1 to 3; it is as it was"), "{refused}");
    let number = |sql| old.query_row(sql, (), |row| row.get::<_, i64>(0)).expect(sql);
    assert_eq!(number("PRAGMA user_version"), 1);
    assert_eq!(number("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'attempt%'"), 0);
    old.execute_batch("UPDATE call SET basis = 'auction' WHERE carrier_call_id = 'CA5'").expect("mended");
    drop(folder.open());
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
        ended.end.talk_ms = draw.below(400_000);
        ended.counts = EndCounts {
            ended: 1,
            connected: draw.below(2) as i64,
            billable: draw.below(2) as i64,
            talk_ms: ended.end.talk_ms as i64,
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
            Row::Decided(_)
            | Row::Trail(_)
            | Row::Event(_)
            | Row::Attempt(_)
            | Row::Catalog(_)
            | Row::Change(_)
            | Row::Listed(_) => {}
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
    let applied = store.apply(2, &[Row::Ledger(other)], Place::default()).expect("applied");
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
fn a_power_cut_takes_whole_transactions_at_most_by_the_settings_of_the_store() {
    let folder = Folder::new("settings");
    let store = folder.open();
    let text = |sql| store.conn().query_row(sql, (), |row| row.get::<_, String>(0)).expect(sql);
    let number = |sql| store.conn().query_row(sql, (), |row| row.get::<_, i64>(0)).expect(sql);
    assert_eq!(text("PRAGMA journal_mode"), "wal");
    assert_eq!(number("PRAGMA synchronous"), 1, "NORMAL: the journal has what is lost");
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
    assert!(newer.contains("schema version 99, this binary knows up to 3"), "{newer}");
}
