//! Bid tables and ranges: what stands in a catalog's files, and what it makes a call cost.
//!
//! A case of [`check`] is a target's pricing, and below it one row per call with its price, floor and where the price comes
//! from behind `=>`. Chicago is six hours behind UTC; 2026-11-20 is a Friday.

use super::filters::called;
use super::*;
use crate::domain::TargetIx;
use crate::routing::price::{compiled_tables, terms};

const CSV: &str = "state,zip,zip_prefix,tag:case,hours,number,bid\n\
                   TX,78701,,,,,42.50\n\
                   TX,,787,theft,,,0\n\
                   \n\
                   TX,,787,,,,37\n\
                   ,,,,sat 10:00-14:00; sun 10:00-14:00,,33.123456\n\
                   ,,,,,+18005550100,20.00\n\
                   OK,,,,,,28.00\n";

fn folder(market: &str, csv: &str) -> Folder {
    Folder::new(&[("outcry.toml", ""), ("catalog/market.toml", market), ("catalog/bids.csv", csv)])
}

fn priced(pricing: &str) -> String {
    with("price = \"25.00\"", pricing)
}

fn load(market: &str, csv: &str) -> Catalog {
    folder(market, csv).load().unwrap_or_else(|problems| panic!("{}", rendered(&problems))).catalog
}

fn check(csv: &str, table: &str) {
    for case in table.split("\n\n") {
        let is_call = |line: &&str| line.contains("=>");
        let pricing: Vec<&str> = case.lines().map(str::trim).filter(|line| !is_call(line)).collect();
        let catalog = load(&priced(&pricing.join("\n")), csv);
        let at = catalog.targets.iter().position(|target| target.id.as_str() == "acme-phone").expect("it");
        let ix = TargetIx(at as u32);
        let tables = compiled_tables(&catalog);
        for row in case.lines().map(str::trim).filter(is_call) {
            let (call, expected) = row.split_once("=>").expect("a call => its price");
            let came = called(call.trim(), |facts| terms(&catalog, &tables, ix, facts));
            let price = came.price.map_or("none".to_owned(), |price| price.to_string());
            let note = came.note(catalog.target(ix)).unwrap_or_default();
            let refused = came.refusal().map_or(String::new(), |reason| format!(" {reason}"));
            let said = format!("{price} floor {}{refused} {note}", came.floor);
            assert_eq!(said.trim(), expected.trim(), "{pricing:?}: {call}");
        }
    }
}

#[test]
fn the_first_row_that_holds_is_bid() {
    check(
        CSV,
        r#"bids = { base = "9.00", rows = [{ when = [{ tag = "case", op = "=", value = "slip" }], bid = "50.00" }, { when = [{ tag = "age", op = ">", value = 64 }, { state = ["TX", "OK"] }], bid = "0" }], csv = "bids.csv" }
           state TX, zip 78701                        => 42.50 floor 0.00 row 2 of bids.csv
           state TX, zip 78701, tag case slip         => 50.00 floor 0.00 row 1 of the table
           state TX, zip 78701, tag age 70            => none floor 0.00 no_bid row 2 of the table
           state TX, zip 78701, tag age old           => 42.50 floor 0.00 row 2 of bids.csv
           state NY, tag age 70                       => 9.00 floor 0.00 base bid of the table
           state TX, zip 78702                        => 37.00 floor 0.00 row 5 of bids.csv
           state TX, zip 78702, tag case theft        => none floor 0.00 no_bid row 3 of bids.csv
           state TX, zip 7870x                        => 9.00 floor 0.00 base bid of the table
           at 2026-11-21T16:00Z                       => 33.123456 floor 0.00 row 6 of bids.csv
           at 2026-11-21T20:00Z                       => 9.00 floor 0.00 base bid of the table
           at 2026-11-21T16:00Z, state OK             => 33.123456 floor 0.00 row 6 of bids.csv
           number +18005550100, state OK              => 20.00 floor 0.00 row 7 of bids.csv
           state OK                                   => 28.00 floor 0.00 row 8 of bids.csv
           nothing                                    => 9.00 floor 0.00 base bid of the table

           bids = { csv = "bids.csv" }
           state OK                                   => 28.00 floor 0.00 row 8 of bids.csv
           nothing                                    => none floor 0.00 no_row

           bids = { rows = [{ when = [{ state = ["TX"] }], bid = "30.00" }, { bid = "11.00" }] }
           state TX                                   => 30.00 floor 0.00 row 1 of the table
           nothing                                    => 11.00 floor 0.00 row 2 of the table"#,
    );
}

#[test]
fn ranges_change_price_base_and_floor() {
    check(
        CSV,
        r#"price = "25.00"
           floor = "10.00"
           ranges = [{ hours = ["mon-fri 17:00-20:00"], price = "30.00", floor = "26.00" }, { hours = ["mon-fri 08:00-12:00"], floor = "5.00" }, { hours = ["sat,sun 00:00-24:00"], concurrency = 2 }]
           at 2026-11-20T22:59:59Z  => 25.00 floor 10.00
           at 2026-11-20T23:00Z     => 30.00 floor 26.00 price of mon-fri 17:00-20:00
           at 2026-11-21T02:00Z     => 25.00 floor 10.00
           at 2026-11-20T14:00Z     => 25.00 floor 5.00
           at 2026-11-21T18:00Z     => 25.00 floor 10.00

           bids = { base = "9.00", csv = "bids.csv" }
           ranges = [{ hours = ["mon-fri 17:00-20:00"], price = "12.00" }]
           at 2026-11-20T23:00Z                => 12.00 floor 0.00 price of mon-fri 17:00-20:00
           at 2026-11-20T23:00Z, state OK      => 28.00 floor 0.00 row 8 of bids.csv
           at 2026-11-20T22:00Z                => 9.00 floor 0.00 base bid of the table

           bids = { csv = "bids.csv" }
           ranges = [{ hours = ["mon-fri 17:00-20:00"], price = "12.00" }]
           at 2026-11-20T23:00Z                => 12.00 floor 0.00 price of mon-fri 17:00-20:00
           at 2026-11-20T22:00Z                => none floor 0.00 no_row"#,
    );
}

#[test]
fn a_target_that_is_asked_has_ranges_without_a_price() {
    let range =
        |inner: &str| with("endpoint = {", &format!("floor = \"3.00\"\nranges = [{inner}]\nendpoint = {{"));
    let catalog = load(&range("{ hours = [\"mon-fri 17:00-20:00\"], floor = \"12.00\" }"), CSV);
    let tables = compiled_tables(&catalog);
    for (at, floor) in [("2026-11-20T23:00Z", "12.00"), ("2026-11-20T22:59:59Z", "3.00")] {
        let came = called(&format!("at {at}"), |facts| terms(&catalog, &tables, TargetIx(0), facts));
        assert_eq!(
            (came.price, came.floor.to_string().as_str(), came.refusal()),
            (None, floor, None),
            "{at}"
        );
    }
    let problems = folder(&range("{ hours = [\"mon-fri 17:00-20:00\"], price = \"12.00\" }"), CSV).load();
    let problems = problems.map(|_| ()).expect_err("a price");
    assert_eq!(
        problems.iter().map(brief).collect::<Vec<_>>(),
        ["target.acme-bid.ranges[0].price: is of no use: the endpoint is asked for a bid"]
    );
}

#[test]
fn faults_of_tables_and_ranges_are_named_where_they_stand() {
    let table = |inner: &str| format!("bids = {{ {inner} }}");
    let range = |inner: &str| format!("price = \"25.00\"\nranges = [{inner}]");
    let rows: Vec<(String, &str)> = vec![
        (table(""), "bids: has no rows"),
        (table("base = \"0\", csv = \"bids.csv\""), "bids.base: is nothing"),
        (table("rows = []"), "bids: has no rows"),
        (table("csv = \"none.csv\""), "bids.csv: "),
        (table("bace = \"1\", csv = \"bids.csv\""), "bids.bace: unknown key (base?)"),
        (table("rows = [{ bid = \"x\" }]"), "bids.rows[0].bid: \"x\" does not fit"),
        (table("rows = [{ when = [], bid = \"1\" }]"), "bids.rows[0].when: names nothing"),
        (table("rows = [{ when = [{ state = [\"XX\"] }], bid = \"1\" }]"), "bids.rows[0].when[0].state[0]"),
        (
            table("rows = [{ when = [{ number = [\"+1800\"] }], bid = \"1\" }]"),
            "bids.rows[0].when[0].number[0]",
        ),
        (table("rows = [{ when = [{ state = [\"TX\"] }] }]"), "bids.rows[0].bid: is missing"),
        (
            table(
                "rows = [{ when = [{ state = [\"TX\"] }], bid = \"1\" }, { when = [{ state = [\"TX\"] }], bid = \"2\" }]",
            ),
            "bids.rows[1]: is never reached: row 1 (state in TX: 1.00) takes all its calls",
        ),
        (
            table(
                "rows = [{ when = [{ state = [\"TX\"] }], bid = \"1\" }, { when = [{ zip = [\"787*\"] }, { state = [\"TX\"] }], bid = \"2\" }]",
            ),
            "bids.rows[1]: is never reached: row 1 (state in TX: 1.00) takes all its calls",
        ),
        (
            table("rows = [{ bid = \"1\" }, { when = [{ state = [\"TX\"] }], bid = \"2\" }]"),
            "bids.rows[1]: is never reached: row 1 (every call: 1.00) takes every call",
        ),
        (table("rows = [{ bid = \"1\" }], csv = \"bids.csv\""), "bids.csv: line 2 is never reached: row 1"),
        (table("base = \"5\", rows = [{ bid = \"1\" }]"), "bids.base: is never bid: a row takes every call"),
        (table("rows = [{ bid = \"0\" }]"), "bids: never bids"),
        (format!("price = \"1\"\n{}", table("csv = \"bids.csv\"")), "bids: stands beside `price`"),
        (range("{ hours = [\"mon 09:00-17:00\"] }"), "ranges[0]: changes nothing"),
        (range("{ price = \"1\" }"), "ranges[0].hours: is missing"),
        (range("{ hours = [\"2026-12-24 09:00-12:00\"], price = \"1\" }"), "ranges[0].hours: names dates"),
        (range(""), "ranges: names no range"),
        (
            range(
                "{ hours = [\"mon-fri 09:00-17:00\"], price = \"1\" }, { hours = [\"fri 16:00-18:00\"], price = \"2\" }",
            ),
            "ranges[1]: overlaps target.acme-phone.ranges[0]: fri 16:00-18:00 and mon-fri 09:00-17:00",
        ),
        (
            range("{ hours = [\"mon 09:00-17:00\"], concurrency = 0 }"),
            "ranges[0].concurrency: is 0: no call would ever pass it",
        ),
        (
            "price = \"25.00\"\ndaily_billable = 0".to_owned(),
            "daily_billable: is 0: no call would ever pass it",
        ),
        (
            format!(
                "hours = [\"sat 09:00-17:00\"]\n{}",
                range("{ hours = [\"mon-fri 09:00-17:00\"], price = \"1\" }")
            ),
            "target.acme-phone: has a range that never counts, mon-fri 09:00-17:00: the hours of the target are sat",
        ),
    ];
    for (pricing, expected) in rows {
        let problems = folder(&priced(&pricing), CSV).load().map(|_| ()).expect_err(&pricing);
        let said: Vec<String> = problems.iter().map(brief).collect();
        assert_eq!(said.len(), 1, "{pricing}: {said:#?}");
        let expected = if expected.starts_with("target.") {
            expected.to_owned()
        } else {
            format!("target.acme-phone.{expected}")
        };
        assert!(said[0].starts_with(&expected), "{pricing}: {said:#?}");
    }
    let buyers = [
        (
            "hours = [\"sat 09:00-17:00\"]\nranges = [{ hours = [\"mon 09:00-17:00\"], concurrency = 1 }]",
            "buyer.acme: has a range that never counts",
        ),
        (
            "ranges = [{ hours = [\"mon 09:00-17:00\"], price = \"1\" }]",
            "buyer.acme.ranges[0].price: unknown key",
        ),
        ("concurrency = 0", "buyer.acme.concurrency: is 0: no call would ever pass it"),
    ];
    for (lines, expected) in buyers {
        let market = with("name = \"Acme\"", &format!("name = \"Acme\"\n{lines}"));
        let problems = folder(&market, CSV).load().map(|_| ()).expect_err(lines);
        assert!(
            problems.iter().map(brief).any(|one| one.starts_with(expected)),
            "{lines}: {}",
            rendered(&problems)
        );
    }
}

#[test]
fn faults_of_files_have_a_line_and_a_column() {
    for (csv, expected) in [
        ("", "1:1: is empty"),
        ("state,bit\nTX,1\n", "1:7: \"bit\" is no column"),
        ("state,state,bid\nTX,TX,1\n", "1:7: state stands twice"),
        ("state,zip\nTX,78701\n", "1:1: there is no column bid"),
        ("state,bid\n", "1:1: has no rows"),
        ("state,bid\nTX\n", "2:1: has 1 cells"),
        ("state,bid\n\"TX\",1\n", "2:1: has a quote"),
        ("state,bid\nTX,1\nXX,2\n", "3:1: state: \"XX\" does not fit"),
        ("state,bid\nTX,\n", "2:4: bid: is missing"),
        ("state,bid\nTX,-1\n", "2:4: bid: \"-1\" does not fit"),
        ("state,bid\nTX,1.2345678\n", "2:4: bid: \"1.2345678\" does not fit"),
        ("area_code,bid\n51,1\n", "2:1: area_code: \"51\" does not fit"),
        ("zip,bid\n00000,1\n", "2:1: zip: \"00000\" does not fit"),
        ("zip_prefix,bid\n000,1\n", "2:1: zip_prefix: would never hold: no ZIP begins so"),
        ("\u{feff}state,bid\nTX,1\nXX,2\n", "3:1: state: \"XX\" does not fit"),
        ("\u{feff}state,bit\nTX,1\n", "1:7: \"bit\" is no column"),
        ("zip_prefix,bid\n78701,1\n", "2:1: zip_prefix: \"78701\" does not fit"),
        ("zip,zip_prefix,bid\n78701,787,1\n", "2:1: has a zip and a zip_prefix"),
        ("publisher,bid\nmetros,1\n", "2:1: publisher: \"metros\" is no publisher"),
        ("campaign,bid\nautos,1\n", "2:1: campaign: \"autos\" is no campaign"),
        ("number,bid\n+18005550199,1\n", "2:1: number: \"+18005550199\" does not fit"),
        ("hours,bid\nmon 9-17,1\n", "2:1: hours: "),
        (
            "state,bid\nTX,1\nOK,2\nTX,3\n",
            "4:1: is never reached: line 2 (state in TX: 1.00) takes all its calls",
        ),
        ("state,zip,bid\n,,1\nTX,,2\n", "3:1: is never reached: line 2 (every call: 1.00) takes every call"),
    ] {
        let problems =
            folder(&priced("bids = { csv = \"bids.csv\" }"), csv).load().map(|_| ()).expect_err(csv);
        let text = rendered(&problems);
        let first = text.lines().next().expect("a problem");
        let (_, place) = first.split_once("bids.csv:").expect(first);
        let (_, said) = expected.split_once(": ").expect("a place");
        assert!(place.starts_with(expected) || place.contains(said), "{csv}: {text}");
        assert!(place.starts_with(expected.split(": ").next().expect("a place")), "{csv}: {text}");
        assert_eq!(problems.len(), 1, "{csv}: {text}");
    }
    let long: String = (0..10_001).map(|n| format!("x{n},1\n")).collect();
    let market = priced("bids = { csv = \"bids.csv\" }");
    let problems = folder(&market, &format!("tag:n,bid\n{long}")).load().map(|_| ()).expect_err("too many");
    assert!(
        problems[0].to_string().contains("bids.csv:10002:1: is one row too many"),
        "{}",
        rendered(&problems)
    );
    let most = long.trim_end().rsplit_once('\n').expect("rows").0;
    let whole = folder(&market, &format!("tag:n,bid\n{most}\n")).load().expect("as many as may be");
    assert!(whole.text.contains("# bids.csv ("), "the digest is taken over bid rows too");
}

/// Each target that names a file has all its rows: so many targets are too many.
#[test]
fn all_tables_together_have_a_limit() {
    let rows: String = (0..10_000).map(|n| format!("x{n},1\n")).collect();
    let mut market = priced("bids = { csv = \"bids.csv\" }");
    for n in 0..100 {
        market += &format!(
            "[target.t{n:03}]\nbuyer = \"acme\"\naddress = \"+1512555{n:04}\"\nbids = {{ csv = \"bids.csv\" }}\n"
        );
    }
    let problems = folder(&market, &format!("tag:n,bid\n{rows}")).load().map(|_| ()).expect_err("too many");
    assert_eq!(
        problems.iter().map(brief).collect::<Vec<_>>(),
        ["target.t099: makes the rows of all bid tables too many"]
    );
}

#[test]
fn a_reload_says_that_bids_or_ranges_changed() {
    let old = load(&priced("bids = { base = \"9.00\", csv = \"bids.csv\" }"), CSV);
    let rows = [
        ("bids = { base = \"9.00\", csv = \"bids.csv\" }", CSV.replace("42.50", "43.50"), "bids changed"),
        (
            "bids = { base = \"9.50\", csv = \"bids.csv\" }",
            CSV.to_owned(),
            "bids 6 rows, base 9.00 → 6 rows, base 9.50",
        ),
        (
            "bids = { base = \"9.00\", csv = \"bids.csv\" }\nranges = [{ hours = [\"mon 09:00-17:00\"], price = \"1.5\" }]",
            CSV.to_owned(),
            "ranges none → mon 09:00-17:00: price 1.50",
        ),
    ];
    for (pricing, csv, expected) in rows {
        let new = load(&priced(pricing), &csv);
        assert_eq!(diff(&old, &new), [format!("target acme-phone: {expected}")]);
        assert_ne!(old.digest, new.digest);
    }
    let fixed = load(&priced("price = \"25.00\""), CSV);
    assert_eq!(
        diff(&old, &fixed),
        [
            "target acme-phone: price none → 25.00".to_owned(),
            "target acme-phone: bids 6 rows, base 9.00 → none".to_owned()
        ]
    );
}
