//! A store beside the journal it was made of: intact, tampered with, behind, and of another journal.

use rusqlite::Connection;

use super::*;
use crate::domain::catalog::Secret;
use crate::domain::{Money, Reason};
use crate::journal::Backend;
use crate::records::Recorder;
use crate::records::fixture::{
    Folder, attempt, billed, call_id, catalog, decided, ended, entries, event, trail, two_attempts,
    unconnected, whole_call,
};
use crate::records::row::{CatalogRow, DecidedRow, EndCounts, EndFacts, EndedRow, EventRow, LedgerRow};
use crate::records::seal::Seal;

fn settings(folder: &Folder) -> Settings {
    Settings {
        segment_bytes: 64 * 1024,
        backend: Backend::Thread,
        ..Settings::in_dir(folder.path().join("journal"))
    }
}

/// One record for each of these, in the journal and in the store.
fn written(name: &str, records: Vec<Vec<Row>>) -> Folder {
    let folder = Folder::new(name);
    let found = Found::open(&settings(&folder), false).expect("a journal");
    let (recorder, ending) =
        Recorder::start(found, folder.open(), 0, Seal::of(&Secret(vec![7; 32])), |_| {}).expect("a start");
    for rows in records {
        recorder.push(rows.into());
    }
    assert!(ending.finish().is_complete);
    folder
}

fn three_calls() -> Folder {
    written("check", (1..=3).map(whole_call).collect())
}

fn checked(folder: &Folder) -> Checked {
    check(&settings(folder), &folder.file()).expect("both can be read")
}

fn tamper(folder: &Folder, sql: &str) {
    let changed = Connection::open(folder.file()).and_then(|store| store.execute(sql, ())).expect(sql);
    assert!(changed > 0, "{sql}");
}

/// Checked, missing, different.
fn tally(checked: &Checked, kind: Kind) -> (u64, u64, u64) {
    let tally = &checked.kinds[kind as usize];
    assert_eq!(tally.kind, kind);
    (tally.checked, tally.missing, tally.different)
}

#[test]
fn a_store_that_has_everything() {
    let checked = checked(&three_calls());
    assert!(checked.is_good());
    assert_eq!((checked.first, checked.upto, checked.behind), (1, 3, 0));
    let counts = Kind::ALL.map(|kind| tally(&checked, kind));
    let all = |count| (count, 0, 0);
    assert_eq!(counts, [3, 3, 3, 3, 3, 9, 1, 0].map(all));
    assert_eq!((checked.rows(), checked.examples.len()), (25, 0));
}

/// What comes twice: the store and this check must agree on which of them counts.
#[test]
fn rows_that_come_again_are_judged_as_the_store_takes_them() {
    let mut late = trail(1, true);
    late.seed += 1;
    let mut again = trail(2, false);
    again.seed += 1;
    let busy = unconnected(Reason::Busy);
    // What is counted already is taken back.
    let less = |end: &EndFacts| EndCounts {
        ended: 0,
        connected: i64::from(end.connected) - 1,
        billable: i64::from(end.billable) - 1,
        talk_ms: end.talk_ms as i64 - billed().talk_ms as i64,
    };
    let other = |mut row: LedgerRow| {
        row.amount = Money::from_micros(row.amount.micros() + 1);
        Row::Ledger(row)
    };
    let records = vec![
        whole_call(1),
        vec![
            Row::Trail(Box::new(late)),
            Row::Trail(Box::new(trail(1, false))),
            Row::Decided(Box::new(DecidedRow { action: "hangup", ..decided(1) })),
            Row::Event(Box::new(EventRow { detail: "another".to_owned(), ..event(1, "e1") })),
            Row::Event(Box::new(EventRow { attempt: None, ..event(1, "e1") })),
            Row::Attempt(Box::new(attempt(1, None))),
            Row::Ended(Box::new(EndedRow { counts: less(&busy), end: busy.clone(), ..ended(1) })),
            Row::Catalog(CatalogRow { since: call_time(), ..catalog() }),
        ],
        entries(1).into_iter().map(other).collect(),
        vec![Row::Trail(Box::new(trail(2, false))), Row::Trail(Box::new(again))],
        vec![Row::Attempt(Box::new(attempt(2, Some(billed()))))],
        vec![Row::Attempt(Box::new(attempt(2, Some(busy))))],
        two_attempts(3),
    ];
    let checked = checked(&written("check-again", records));
    assert_eq!(checked.examples, []);
    assert!(checked.is_good());
    assert_eq!(tally(&checked, Kind::Event), (2, 0, 0));
    assert_eq!(tally(&checked, Kind::Attempt), (4, 0, 0));
}

fn call_time() -> crate::domain::Timestamp {
    decided(9).keys.at
}

#[test]
fn whatever_is_changed_in_the_store_is_found() {
    // Statement; kind; missing, different; what is said.
    let table = [
        (
            "DELETE FROM ledger_entry WHERE kind = 'payout' AND seq < 4",
            (Kind::Ledger, 1, 0),
            "ledger: payout of attempt/1 is not in the store (record 1)",
        ),
        (
            "UPDATE ledger_entry SET amount = amount + 1 WHERE kind = 'revenue' AND seq < 4",
            (Kind::Ledger, 0, 1),
            "amount is 25.500001 in the store and 25.50 in the journal",
        ),
        (
            "UPDATE ledger_entry SET account = 0 WHERE kind = 'margin'",
            (Kind::Ledger, 0, 3),
            "account is  in the store and exchange in the journal",
        ),
        ("DELETE FROM trail WHERE seq = 2", (Kind::Trail, 1, 0), "trail: step 1 is not in the store"),
        ("UPDATE trail SET is_final = 0", (Kind::Trail, 0, 3), "final is false in the store and true"),
        ("DELETE FROM event WHERE seq = 1", (Kind::Event, 1, 0), "ended of attempt 1 is not in the store"),
        ("UPDATE event SET detail = 'x' WHERE seq = 1", (Kind::Event, 0, 1), "its detail differs"),
        ("DELETE FROM attempt", (Kind::Attempt, 3, 0), "attempt 1 is not in the store"),
        (
            "UPDATE attempt SET price = 1000000",
            (Kind::Attempt, 0, 3),
            "price is 1.00 in the store and 25.50 in the journal",
        ),
        (
            "UPDATE attempt SET ended_at = NULL",
            (Kind::Attempt, 0, 3),
            "having an end is false in the store and true",
        ),
        ("UPDATE call SET ended_at = NULL", (Kind::Ended, 3, 0), "the end is not in the store"),
        (
            "UPDATE call SET end_reason = 303",
            (Kind::Ended, 0, 3),
            "reason is outbid in the store and billable in the journal",
        ),
        ("UPDATE call SET decided = 0", (Kind::Decided, 3, 0), "the decision is not in the store"),
        ("UPDATE call SET caller = '+15125550123'", (Kind::Decided, 0, 3), "the caller differs"),
        ("DELETE FROM catalog", (Kind::Catalog, 1, 0), "d1 is not in the store"),
        ("UPDATE catalog SET text = ''", (Kind::Catalog, 0, 1), "its text differs"),
    ];
    for (sql, (kind, missing, different), says) in table {
        let folder = three_calls();
        tamper(&folder, sql);
        let checked = checked(&folder);
        let found = tally(&checked, kind);
        assert_eq!((found.1, found.2), (missing, different), "{sql}: {:?}", checked.examples);
        assert_eq!(checked.off(), missing + different, "{sql}: {:?}", checked.examples);
        assert!(!checked.is_good(), "{sql}");
        let said = checked.examples[0].to_string();
        assert!(said.contains(says), "{sql}: {said}");
        assert!(!said.contains("5550123"), "{sql}: {said}");
        let is_call = kind != Kind::Catalog;
        assert_eq!(said.starts_with(&format!("call {}, ", call_id(1))), is_call, "{sql}: {said}");
        let is_unbalanced = matches!(kind, Kind::Ledger) && !sql.contains("account");
        assert_eq!(checked.imbalances.len(), usize::from(is_unbalanced), "{sql}");
    }
}

/// One sum changed by hand, a line gone, a line too many: each is found, and named by hour, key and number.
#[test]
fn sums_that_are_not_those_of_the_rows_are_found() {
    let hour = "hour 2026-11-20T09:00:00.000Z, campaign auto-us, ";
    let pnl = "publisher p7, buyer acme, target acme-1: ";
    let table = [
        (
            "UPDATE pnl_hour SET revenue = revenue + 1 WHERE buyer > 0",
            "revenue is 76500001 in the sums and 76500000",
        ),
        ("UPDATE pnl_hour SET payout = payout - 5 WHERE buyer > 0", "payout is "),
        ("UPDATE pnl_hour SET margin = 0 WHERE buyer > 0", "margin is 0 in the sums and "),
        ("UPDATE pnl_hour SET calls = 4 WHERE buyer > 0", "calls is 4 in the sums and 3 by the rows"),
        ("UPDATE pnl_hour SET ended = 2 WHERE buyer > 0", "ended is 2 in the sums and 3 by the rows"),
        ("UPDATE pnl_hour SET connected = 0 WHERE buyer > 0", "connected is 0 in the sums and 3 by the rows"),
        ("UPDATE pnl_hour SET billable = 4 WHERE buyer > 0", "billable is 4 in the sums and 3 by the rows"),
        ("UPDATE pnl_hour SET talk_ms = 7 WHERE buyer > 0", "talk_ms is 7 in the sums and "),
        ("UPDATE pnl_hour SET hour = hour + 1", "calls is 0 in the sums and 3 by the rows"),
        ("DELETE FROM pnl_hour", "calls is 0 in the sums and 3 by the rows"),
        (
            "UPDATE outcome_hour SET count = count + 1 WHERE reason = 1",
            "outcomes is 4 in the sums and 3 by the rows",
        ),
        ("DELETE FROM outcome_hour WHERE reason = 1", "outcomes is 0 in the sums and 3 by the rows"),
        (
            "UPDATE outcome_hour SET reason = 2 WHERE reason = 1",
            "outcomes is 0 in the sums and 3 by the rows",
        ),
    ];
    for (sql, says) in table {
        let folder = three_calls();
        assert!(checked(&folder).is_good());
        tamper(&folder, sql);
        let checked = checked(&folder);
        assert!(!checked.is_good() && checked.off() == 0, "{sql}");
        let said: Vec<String> = checked.sums.iter().map(ToString::to_string).collect();
        let is_said = |line: &String| line.starts_with(hour) && line.contains(says);
        let line = said.iter().find(|line| is_said(line)).unwrap_or_else(|| panic!("{sql}: {said:#?}"));
        let is_money =
            ["revenue is", "payout is", "margin is", "calls is"].iter().any(|sum| says.starts_with(sum));
        assert!(!is_money || line.contains(pnl), "{sql}: {line}");
    }
}

#[test]
fn examples_are_few_and_counts_are_whole() {
    let folder = written("check-many", (1..=20).map(whole_call).collect());
    tamper(&folder, "UPDATE ledger_entry SET amount = 0");
    let checked = checked(&folder);
    assert_eq!(tally(&checked, Kind::Ledger), (60, 0, 60));
    assert_eq!(checked.examples.len(), EXAMPLES);
    assert!(checked.imbalances.is_empty(), "they still sum to zero: only the journal knows");
}

#[test]
fn what_the_store_has_not_taken_is_not_missing() {
    let folder = three_calls();
    tamper(&folder, "DELETE FROM ledger_entry WHERE seq > 3");
    tamper(&folder, "DELETE FROM attempt WHERE call_id <> (SELECT min(call_id) FROM attempt)");
    tamper(&folder, "UPDATE meta SET value = 1 WHERE key = 'journal_seq'");
    let checked = checked(&folder);
    assert_eq!((checked.off(), checked.imbalances.len()), (0, 0), "{:?}", checked.examples);
    assert_eq!((checked.upto, checked.behind, tally(&checked, Kind::Ledger)), (1, 2, (3, 0, 0)));
}

#[test]
fn a_store_of_another_journal_is_not_compared() {
    let folder = three_calls();
    tamper(&folder, "UPDATE meta SET value = 4 WHERE key = 'journal_seq'");
    let older = check(&settings(&folder), &folder.file()).unwrap_err();
    assert!(matches!(older, CheckError::Older { seq: 4, last: 3, .. }), "{older}");
    tamper(&folder, "UPDATE meta SET value = value + 1 WHERE key = 'journal'");
    let another = check(&settings(&folder), &folder.file()).unwrap_err();
    assert!(matches!(another, CheckError::Another { .. }), "{another}");
    // A store that has read none at all has everything before it.
    tamper(&folder, "UPDATE meta SET value = 0 WHERE key IN ('journal', 'journal_seq')");
    let checked = checked(&folder);
    assert_eq!((checked.upto, checked.behind, checked.rows()), (0, 3, 0));
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = three_calls();
    let nowhere = Settings::in_dir(folder.path().join("nowhere"));
    let none = check(&nowhere, &folder.file()).unwrap_err();
    assert!(matches!(none, CheckError::Journal(LookError::Missing { .. })), "{none}");
    let none = check(&settings(&folder), &folder.path().join("nowhere.db")).unwrap_err();
    assert!(matches!(none, CheckError::Store(StoreError::Missing { .. })), "{none}");
}
