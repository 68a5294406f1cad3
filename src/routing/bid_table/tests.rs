//! Tables of rows and calls, and generated ones by the thousand: the index finds what trying every row in order finds.

use super::*;
use crate::domain::bid_table::{BidRow, Place};
use crate::domain::caller::{SetBy, TagValue};
use crate::domain::draw::Draw;
use crate::domain::filter::Scalar;
use crate::domain::zip::Zip;
use crate::domain::{Money, Tags, Timestamp};

const ZONE: &str = "America/Chicago";
const STATES: [&str; 5] = ["TX", "OK", "CA", "NY", "FL"];
const NUMBERS: [&str; 3] = ["+18005550100", "+18005550101", "+18885550102"];
const ZIPS: [u32; 6] = [78_701, 78_702, 78_610, 10_001, 90_210, 501];
const HOURS: [&str; 4] =
    ["mon-fri 09:00-17:00", "sat,sun 00:00-24:00", "fri 22:00-02:00", "daily 12:00-13:00"];

fn table(rows: Vec<Vec<Filter>>) -> BidTable {
    let row = |(at, when): (usize, Vec<Filter>)| BidRow {
        when,
        bid: Some(Money::from_micros(at as i64 + 1)),
        place: Place::Inline(at as u32 + 1),
    };
    BidTable { base: None, rows: rows.into_iter().enumerate().map(row).collect(), csv: None }
}

fn zone() -> Zone {
    Zone::load(ZONE).expect("a zone")
}

fn hours(text: &str) -> Hours {
    [Hours::parse_item(text).expect("hours")].into_iter().collect()
}

/// The obvious way: every row, in order.
fn scan(table: &BidTable, facts: &Facts<'_>) -> Option<usize> {
    table.rows.iter().position(|row| Compiled::new(&row.when, &zone()).hold(facts))
}

fn one<'a>(draw: &mut Draw, of: &[&'a str]) -> &'a str {
    of[draw.below(of.len() as u64) as usize]
}

fn some(draw: &mut Draw, of: &[&str]) -> Vec<String> {
    let many = if draw.below(4) == 0 { 1 + draw.below(3) } else { 1 };
    (0..many).map(|_| one(draw, of).to_owned()).collect()
}

/// Some condition; of a table without `odd` ones only those that a column can have.
fn filter(draw: &mut Draw, odd: bool) -> Filter {
    let tag = |key: &str, test| Filter::Tag(key.to_owned(), test);
    let values = ["a", "b", "c", "7", "12"];
    match draw.below(if odd { 17 } else { 10 }) {
        0 => Filter::State(some(draw, &STATES)),
        1 => Filter::AreaCode(vec![[512, 737, 212][draw.below(3) as usize]]),
        2 => {
            let zip = ZIPS[draw.below(6) as usize];
            Filter::Zip(vec![(zip, zip)])
        }
        3 => {
            let size = 10_u32.pow(1 + draw.below(4) as u32);
            let first = ZIPS[draw.below(6) as usize] / size * size;
            Filter::Zip(vec![(first, first + size - 1)])
        }
        4 => Filter::Publisher(some(draw, &["p1", "p2", "p3"])),
        5 => Filter::Campaign(some(draw, &["auto", "home"])),
        6 => Filter::SubId(some(draw, &["x", "y", "xy"]).into_iter().map(Text::Whole).collect()),
        7 => Filter::Number(some(draw, &NUMBERS).into_iter().map(Text::Whole).collect()),
        8 => tag("k", TagTest::In(some(draw, &values))),
        9 => tag("m", TagTest::In(some(draw, &values))),
        10 => Filter::Hours(hours(one(draw, &HOURS)), None),
        11 => Filter::Hours(hours(one(draw, &HOURS)), Zone::load("Asia/Tokyo")),
        12 => Filter::Not(Box::new(filter(draw, false))),
        13 => tag("k", TagTest::Above(Scalar::parse("5").expect("a number"))),
        14 => Filter::SubId(vec![Text::Beginning("x".to_owned())]),
        15 => Filter::Zip(vec![(78_701, 78_701), (10_000, 10_999)]),
        _ => Filter::Any(vec![filter(draw, false), Filter::Anonymous(true)]),
    }
}

fn when(draw: &mut Draw, odd: bool, most: u64) -> Vec<Filter> {
    (0..1 + draw.below(most)).map(|_| filter(draw, odd)).collect()
}

/// Some call: each fact is there or not, and may be none that any row names.
fn with_call<T>(draw: &mut Draw, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
    let mut tags = Tags::default();
    for key in ["k", "m"] {
        if draw.below(3) > 0 {
            let value = one(draw, &["a", "b", "c", "7", "12", "zz"]);
            tags.add(key, TagValue::Text(value.into()), SetBy::Carrier).expect("fits");
        }
    }
    let maybe = |draw: &mut Draw| draw.below(4) > 0;
    let at = 1_795_000_000_000_000 + draw.below(7 * 86_400) as i64 * 1_000_000;
    let bare = Facts::bare(&tags, Timestamp::from_micros(at));
    let facts = Facts {
        state: maybe(draw).then(|| one(draw, &["TX", "OK", "CA", "NY", "FL", "WA"])),
        area_code: maybe(draw).then(|| [512, 737, 212, 907][draw.below(4) as usize]),
        zip: match draw.below(5) {
            0 => Located::Unknown,
            1 => Located::Impossible,
            _ => Located::At(Zip::of(ZIPS[draw.below(6) as usize]).expect("a ZIP"), None),
        },
        publisher: maybe(draw).then(|| one(draw, &["p1", "p2", "p3", "p4"])),
        campaign: maybe(draw).then(|| one(draw, &["auto", "home", "legal"])),
        sub_id: maybe(draw).then(|| one(draw, &["x", "y", "xy", "z"])),
        dialled: maybe(draw).then(|| E164::parse(one(draw, &NUMBERS)).expect("a number")),
        has_number: maybe(draw),
        ..bare
    };
    ask(&facts)
}

#[test]
fn the_index_finds_what_trying_every_row_finds() {
    let (mut found, mut missed, mut columns_only) = (0, 0, 0);
    for seed in 0..3_000 {
        let mut draw = Draw::new(seed);
        let odd = seed % 3 > 0;
        let rows = 1 + draw.below(if seed % 10 == 0 { 400 } else { 30 });
        let most = 1 + draw.below(5);
        let mut all: Vec<Vec<Filter>> = (0..rows).map(|_| when(&mut draw, odd, most)).collect();
        if seed % 17 == 0 {
            let at = draw.below(rows) as usize;
            all[at] = Vec::new();
        }
        let table = table(all);
        let index = BidIndex::new(&table, &zone());
        columns_only += usize::from(index.scanned().told().is_none());
        for call in 0..20 {
            with_call(&mut draw, |facts| {
                let (indexed, scanned) = (index.first(facts), scan(&table, facts));
                assert_eq!(indexed, scanned, "seed {seed}, call {call}: {facts:?}\n{table:#?}");
                *(if scanned.is_some() { &mut found } else { &mut missed }) += 1;
            });
        }
    }
    assert!(found > 20_000 && missed > 5_000 && columns_only > 300, "{found} {missed} {columns_only}");
}

#[test]
fn limits_of_the_index_change_nothing_but_the_time() {
    let tag = |n: u64, value: String| Filter::Tag(format!("t{n}"), TagTest::In(vec![value]));
    let mut draw = Draw::new(7);
    // Every second row has a set of columns of its own, of thirty columns, and some have lists too long to unfold.
    let rows: Vec<Vec<Filter>> = (0..600)
        .map(|row| {
            let mut filters: Vec<Filter> =
                (0..30).filter(|_| draw.below(6) == 0).map(|n| tag(n, format!("v{}", row % 3))).collect();
            if row % 11 == 0 {
                let many = (0..70).map(|n| format!("v{n}")).collect();
                filters.push(Filter::Tag("many".to_owned(), TagTest::In(many)));
            }
            filters
        })
        .collect();
    let rows: Vec<Vec<Filter>> = rows.into_iter().filter(|row| !row.is_empty()).collect();
    let table = table(rows);
    let index = BidIndex::new(&table, &zone());
    assert!(index.groups.len() <= GROUPS_MAX && index.columns.len() <= COLUMNS_MAX);
    let said = index.scanned().told().expect("not everything is indexed");
    assert!(said.contains("more sets of columns than are indexed"), "{said}");
    let mut found = 0;
    for _ in 0..2_000 {
        let mut tags = Tags::default();
        for n in (0..30).filter(|_| draw.below(3) > 0) {
            let value = TagValue::Text(format!("v{}", n % 3).into());
            tags.add(format!("t{n}"), value, SetBy::Carrier).expect("fits");
        }
        tags.add("many", TagValue::Text("v69".into()), SetBy::Carrier).expect("fits");
        let facts = Facts::bare(&tags, Timestamp::default());
        assert_eq!(index.first(&facts), scan(&table, &facts));
        found += usize::from(index.first(&facts).is_some());
    }
    assert!(found > 1_000, "{found}");
}

#[test]
fn what_is_tried_row_by_row_is_named() {
    let state = |state: &str| Filter::State(vec![state.to_owned()]);
    let day = || Filter::Hours(hours("mon-fri 09:00-17:00"), None);
    let rows = [
        (vec![vec![state("TX")], vec![state("OK")], vec![Filter::Zip(vec![(78_700, 78_799)])]], None),
        (
            vec![vec![state("TX"), day()], vec![state("OK"), day()], vec![state("TX")]],
            Some("up to 1 row tried one by one for hours"),
        ),
        (
            vec![vec![day()], vec![Filter::Not(Box::new(state("TX")))], vec![state("TX"), day()]],
            Some("up to 3 rows tried one by one for hours, not"),
        ),
    ];
    for (rows, expected) in rows {
        let told = BidIndex::new(&table(rows.clone()), &zone()).scanned().told();
        assert_eq!(told.as_deref(), expected, "{rows:?}");
    }
}
