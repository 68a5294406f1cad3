//! Whether the store that a killed exchange left has the rows of the records up to its place, and no others.
//!
//! Events stand for all rows: each is handed in with its call's other rows in one record, which the store takes as a whole.

use std::collections::BTreeSet;
use std::fs;

use outcry::journal::{Found, Settings};
use outcry::records::entry;
use outcry::records::row::Row;
use outcry::records::seal::unsealed;
use rusqlite::Connection;

use super::Folder;

/// Looks at a copy: what is left is for the next start. The journal must keep all of its records.
pub fn check(left: &Folder, point: &str) {
    let copy = Folder::new();
    for name in ["outcry.db", "outcry.db-wal"] {
        // A store that was folded has no log beside it.
        let _ = fs::copy(left.path().join("store").join(name), copy.path().join(name));
    }
    let store = Connection::open(copy.path().join("outcry.db")).unwrap();
    let seq: i64 =
        store.query_row("SELECT value FROM meta WHERE key = 'journal_seq'", (), |row| row.get(0)).unwrap();
    let mut rows = store.prepare("SELECT call_id, event_id FROM event").unwrap();
    let stored: BTreeSet<([u8; 16], String)> =
        rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let expected = events_up_to(left, seq as u64);
    let lost = expected.difference(&stored).count();
    let early = stored.difference(&expected).count();
    assert!(
        lost == 0 && early == 0,
        "Together broken: {point}: the store says it has the records up to {seq}, lacks {lost} events of them and has \
         {early} of later ones"
    );
}

fn events_up_to(left: &Folder, seq: u64) -> BTreeSet<([u8; 16], String)> {
    let found = Found::read_only(&Settings::in_dir(left.path().join("store/outcry.journal"))).unwrap();
    assert_eq!(found.first_seq(), 1, "all records are kept");
    let read = found.records_after(0).map(Result::unwrap).take_while(|read| read.seq <= seq);
    let rows =
        read.flat_map(|read| entry::rows(read.kind, read.version, unsealed(read.kind, &read.body)).unwrap());
    let events = rows.filter_map(|row| match row {
        Row::Event(event) => Some((event.call_id.bits().to_be_bytes(), event.event_id)),
        _ => None,
    });
    events.collect()
}
