//! The row of a call in a bid table of 10,000: what a built-in bidder costs a decision.
//!
//! Every decision pays it for each table of its plan before the first ping is written. Where all a row asks is in columns
//! it is a few look-ups, 2 µs at most; hours and the like are tried row by row, 100 µs at most, which is what `check` tells
//! of. The calls here are of the worst kind: no row holds but the last, or none.

use std::hint::black_box;

use outcry::domain::bid_table::{BidRow, BidTable, Place};
use outcry::domain::filter::{Filter, TagTest};
use outcry::domain::zip::Zip;
use outcry::domain::{Hours, Money, Zone};
use outcry::routing::bid_table::BidIndex;
use outcry::routing::{Facts, Located};

use crate::{Stopwatch, market};

const ROWS: usize = 10_000;
const STATES: [&str; 10] = ["CA", "FL", "NY", "IL", "OH", "GA", "NC", "MI", "PA", "TX"];

fn index(when: impl Fn(usize) -> Vec<Filter>) -> BidIndex {
    let row = |n: usize| BidRow {
        when: when(n),
        bid: Some(Money::from_micros(20_000_000)),
        place: Place::Inline(n as u32 + 1),
    };
    let table = BidTable { base: None, rows: (0..ROWS).map(row).collect(), csv: None };
    BidIndex::new(&table, &Zone::load("America/Chicago").expect("a zone"))
}

pub fn run(watch: &mut Stopwatch) {
    let tags = market::tags();
    let zip = Zip::parse("78701").expect("a ZIP");
    let facts = Facts {
        state: Some("TX"),
        area_code: Some(512),
        zip: Located::At(zip, zip.place()),
        publisher: Some("metro-media"),
        sub_id: Some("fb-77"),
        ..Facts::bare(&tags, market::now())
    };
    let state = |n: usize| Filter::State(vec![STATES[n % STATES.len()].to_owned()]);
    let tag = |key: &str, value: String| Filter::Tag(key.to_owned(), TagTest::In(vec![value]));
    let code = |n: usize| Filter::AreaCode(vec![200 + (n % 800) as u16]);
    let spot = |n: usize| Filter::Zip(vec![(n as u32 * 9, n as u32 * 9)]);
    // Six sets of columns, as a file of a large buyer has them: the finest first.
    let indexed = index(|n| match n % 6 {
        0 => vec![spot(n), tag("case", format!("case-{n}"))],
        1 => vec![spot(n)],
        2 => vec![Filter::Zip(vec![(n as u32 / 12 * 100, n as u32 / 12 * 100 + 99)]), code(n)],
        3 => vec![code(n), Filter::SubId(vec![outcry::domain::filter::Text::Whole(format!("fb-{n}"))])],
        4 => vec![state(n), Filter::Publisher(vec![format!("publisher-{n}")])],
        _ => vec![state(n), tag("case", format!("case-{n}"))],
    });
    assert_eq!(indexed.scanned().told(), None);
    watch.measure("bid table: 10,000 rows, all in columns", || {
        assert_eq!(indexed.first(black_box(&facts)), None);
    });
    let hours = |n: usize| -> Hours {
        let text = format!("mon-fri {:02}:{:02}-{:02}:30", n % 4, n % 29, n % 4 + 1);
        [Hours::parse_item(&text).expect("hours")].into_iter().collect()
    };
    let scanned = index(|n| vec![Filter::Hours(hours(n), None)]);
    assert!(scanned.scanned().told().is_some_and(|told| told.starts_with("up to 10000 rows")));
    watch.measure("bid table: 10,000 rows, tried one by one", || {
        assert_eq!(scanned.first(black_box(&facts)), None);
    });
}
