//! What the journal is handed for a call: its image taken, an entry written, read whole, and folded into what a start
//! knows.
//!
//! The image is taken under the call's lock, for each decision and each report. Writing is done as often, off the
//! decision's path, by the one thread that has all workers' entries to write. Folding is done once for each record of a
//! tail at a start, which may take two seconds for a gigabyte. Entries are those that the tests pin: a decision of three
//! targets with its answer, a report, the end of a call.

use outcry::records::entry::{ENTRY, Put, Record, VERSION, decode};
use outcry::records::fold::Fold;
use outcry::state::live::Live;

use crate::Stopwatch;

const PINNED: &str = include_str!("../tests/fixtures/journal/entry-1.txt");

/// The bytes of a pinned entry.
pub fn body(name: &str) -> Vec<u8> {
    let line = PINNED.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let hex = line.expect("the file has it").as_bytes();
    let digit = |at: u8| char::from(at).to_digit(16).expect("a hex digit") as u8;
    hex.chunks(2).map(|two| digit(two[0]) << 4 | digit(two[1])).collect()
}

pub fn run(watch: &mut Stopwatch) {
    for name in ["opened", "answered", "ended"] {
        let body = body(name);
        let read = || match decode(ENTRY, VERSION, &body) {
            Ok(Record::Entry(entry)) => entry,
            other => panic!("an entry is read: {other:?}"),
        };
        let entry = read();
        let Put::Call(image) = &entry.state[0] else { panic!("the call comes first") };
        let live = Live::restored((**image).clone());
        watch.measure(&format!("journal: image, {name}"), || live.image());
        let mut out = Vec::with_capacity(2 * body.len());
        watch.measure(&format!("journal: write, {name}"), || {
            out.clear();
            entry.encode(&mut out);
            assert_eq!(out.len(), body.len());
        });
        watch.measure(&format!("journal: read, {name}"), read);
        let mut fold = Fold::default();
        watch.measure(&format!("journal: fold, {name}"), || {
            assert_eq!(fold.apply(1, ENTRY, VERSION, &body), Ok(()));
        });
        // None where somebody measures something else.
        assert!(fold.remembers() <= 1);
    }
}
