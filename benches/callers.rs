//! Looking a caller up on lists of a million callers: what every decision does once there are caller lists.
//!
//! A decision does it once, and again at every further step; the bar is a microsecond. Ten times slower would still not
//! be felt by a caller, but it would mean that the table is searched instead of looked into. Nearly every caller is on no
//! list, so that is measured, beside one who is. Numbers are drawn over the whole table, so that memory has to be
//! fetched as it would be.

use std::time::Instant;

use outcry::domain::caller_list::{CallerListKey, CallerPrefix};
use outcry::domain::{CallerList, CallerListId, CallerListIx, E164};
use outcry::records::entry::{ENTRY, Entry, ListPart, Put, VERSION};
use outcry::records::fold::Fold;
use outcry::state::callers::{Callers, Content, Difference, Lists};

use crate::{Stopwatch, Way, market};

const LISTS: u64 = 4;
const EACH: u64 = 250_000;
const PREFIXES: u64 = 1_000;
const START: &str = "callers: a start with 1,000,000";
const STRANGER: &str = "callers: looked up in 1,000,000, on none";
const LISTED: &str = "callers: looked up in 1,000,000, on one";
/// Callers looked for, in turn.
const LOOKED_FOR: usize = 1 << 16;

fn number(n: u64) -> E164 {
    // As far apart as numbers of a country are.
    E164::from_digits(12_000_000_000 + n.wrapping_mul(7_919) % 8_000_000_000).expect("eleven digits")
}

fn contents(callers: &Callers) -> Vec<(CallerListId, Content)> {
    let content = |list: u64| {
        let mut numbers: Vec<_> = (0..EACH).map(|n| callers.digest(number(list * EACH + n))).collect();
        numbers.sort_unstable();
        let prefix = |n| CallerPrefix::from_digits(440_000 + 10 * list + 100 * n).expect("six digits");
        let prefixes = (0..PREFIXES / LISTS).map(prefix).collect();
        (id(list), Content { numbers, prefixes })
    };
    (0..LISTS).map(content).collect()
}

/// The records of a snapshot that has them, and what a start makes of those: bytes to lists that are looked into.
fn records(callers: &Callers) -> Vec<Vec<u8>> {
    let parts = contents(callers)
        .into_iter()
        .flat_map(|(list, added)| ListPart::of(&list, &Difference { added, removed: Content::default() }));
    let record = |part| {
        let mut body = Vec::new();
        Entry::put(Put::Callers(Box::new(part))).encode(&mut body);
        body
    };
    parts.map(record).collect()
}

fn start(records: &[Vec<u8>]) -> Lists {
    let mut fold = Fold::default();
    for record in records {
        fold.apply(1, ENTRY, VERSION, record).expect("what was written is read");
    }
    Lists::of(fold.callers())
}

fn id(list: u64) -> CallerListId {
    CallerListId::parse(&format!("list-{list}")).expect("a slug")
}

pub fn run(watch: &mut Stopwatch) {
    if ![START, STRANGER, LISTED].iter().any(|name| watch.wants(name)) {
        return;
    }
    let callers = Callers::new(CallerListKey::of(&[7; 16]));
    let mut catalog = market::catalog(Vec::new(), Vec::new());
    catalog.caller_lists = (0..LISTS).map(|list| CallerList { id: id(list), note: String::new() }).collect();
    let records = records(&callers);
    watch.measure_rounds(START, 1, &mut |operations| {
        let start = Instant::now();
        for _ in 0..operations {
            assert_eq!(self::start(&records).numbers() as u64, LISTS * EACH);
        }
        start.elapsed()
    });
    let lists = start(&records);
    let (entries, bytes) = (lists.numbers(), lists.bytes());
    assert!(bytes <= 64 * 1024 * 1024, "{bytes} bytes for {entries} callers");
    callers.put(lists);
    if watch.way != Way::Counted {
        println!("callers: {entries} on {LISTS} lists take {:.1} MB", bytes as f64 / 1e6);
    }

    let draw = |count: u64, from: u64| -> Vec<E164> {
        (0..LOOKED_FOR as u64).map(|n| number(from + n.wrapping_mul(0x9e37_79b9) % count)).collect()
    };
    let mut at = 0;
    let strangers = draw(1_000_000, LISTS * EACH);
    watch.measure(STRANGER, || {
        at = (at + 1) % LOOKED_FOR;
        assert_eq!(callers.listed(&catalog, Some(strangers[at])), []);
    });
    let listed = draw(EACH, 0);
    watch.measure(LISTED, || {
        at = (at + 1) % LOOKED_FOR;
        assert_eq!(callers.listed(&catalog, Some(listed[at])), [CallerListIx(0)]);
    });
}
