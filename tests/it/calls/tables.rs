//! Bidders that are built in, and terms that differ by hours: what a call costs, who says so in the records, and which
//! limit counts.

use std::fs;

use outcry::domain::{Timestamp, Zone};
use serde_json::{Value, json};

use crate::support::bids::{bid, bidders, no_bid};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Folder, Market, request};

const CSV: &str = "state,tag:case,bid\nTX,collision,31.123456\nTX,theft,0\nTX,,22.50\nNY,,40.00\n";

fn ask(id: &str, case: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER, "tags": {"case": case}})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

fn start(market: &Market) -> Exchange {
    let folder = Folder::new();
    market.write(folder.path(), "");
    fs::write(folder.path().join("catalog/desk.csv"), CSV).unwrap();
    Exchange::run(folder)
}

/// Reason, amount and note of a target.
fn outcome(exchange: &Exchange, answer: &Value, target: &str) -> [String; 3] {
    let (reason, row) = exchange.outcome(id(answer), target);
    let text = |key: &str| row[key].as_str().unwrap_or("").to_owned();
    [reason, text("amount"), text("note")]
}

#[test]
fn a_table_bids_against_endpoints() {
    let bidders = bidders([("acme", bid("25.00"))]);
    let market = Market::new(r#"{ auction = ["acme", "desk"] }"#)
        .patient()
        .bidder("acme", &bidders.url("acme"))
        .buyer("bolt", "")
        .target("desk", "bolt", "bids = { csv = \"desk.csv\" }");
    let exchange = start(&market);

    let over = exchange.decide(&ask("CA1", "collision"));
    assert_eq!(outcome(&exchange, &over, "desk"), ["won", "31.123456", "row 2 of desk.csv"]);
    assert_eq!(exchange.outcome(id(&over), "acme").0, "outbid");
    // Billed to the millionth.
    exchange.talk(&over, 90_000);
    assert_eq!(exchange.ledger(id(&over))[0], ("buyer:bolt".to_owned(), "31.123456".to_owned()));

    let under = exchange.decide(&ask("CA2", "slip"));
    assert_eq!(outcome(&exchange, &under, "desk"), ["outbid", "22.50", "row 4 of desk.csv"]);
    assert_eq!(exchange.outcome(id(&under), "acme").0, "won");
    exchange.give_up(&under);

    let none = exchange.decide(&ask("CA3", "theft"));
    assert_eq!(outcome(&exchange, &none, "desk"), ["no_bid", "", "row 3 of desk.csv"]);
    exchange.give_up(&none);

    // Nobody in Oklahoma: no row, no base.
    let caller = json!({"carrier_call_id": "CA4", "to": NUMBER, "from": "+14055550123"});
    let other = exchange.decide(&caller);
    assert_eq!(outcome(&exchange, &other, "desk"), ["no_row", "", ""]);
    exchange.give_up(&other);
    exchange.finish();
}

#[test]
fn a_table_stands_in_the_static_answer_and_its_beaten_bid_for_the_next_attempt() {
    let bidders = bidders([("acme", bid("35.00")), ("mute", no_bid())]);
    let market = Market::new(r#"{ sequential = [{ auction = ["acme", "mute", "desk"] }, "line"] }"#)
        .patient()
        .bidder("acme", &bidders.url("acme"))
        .bidder("mute", &bidders.url("mute"))
        .buyer("bolt", "")
        .target("desk", "bolt", "address = \"+15125550901\"\nbids = { base = \"18.00\", csv = \"desk.csv\" }")
        .target("line", "bolt", "address = \"+15125550902\"\nbids = { base = \"12.00\", rows = [{ when = [{ state = [\"CA\"] }], bid = \"14.00\" }] }");
    let folder = Folder::new();
    market.write(folder.path(), "[calls]\nnext_within_s = 30\n");
    fs::write(folder.path().join("catalog/desk.csv"), CSV).unwrap();
    let exchange = Exchange::run(folder);
    let first = exchange.decide(&ask("CA1", "collision"));
    assert_eq!(first["reason"], "won");
    // The operator doubles the row: the offer that stands is still what it was.
    fs::write(
        exchange.settings().parent().unwrap().join("catalog/desk.csv"),
        CSV.replace("31.123456", "62.00"),
    )
    .unwrap();
    assert_eq!(request(&exchange.admin, "POST", "/api/v1/reload", None, b"").status, 200);
    let busy = json!({"cause": "busy", "ended_by": "target"});
    let second = exchange.go_on(&first, busy.clone());
    assert_eq!(second["targets"][0]["address"], "+15125550901");
    let third = exchange.go_on(&second, busy);
    assert_eq!(third["targets"][0]["address"], "+15125550902");
    let talked = json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000});
    exchange.go_on(&third, talked);
    let explained = exchange.explained(id(&first));
    let row = |step: usize, target: &str| {
        let rows = explained["steps"][step]["outcomes"].as_array().unwrap();
        rows.iter().find(|row| row["target"] == target).unwrap().clone()
    };
    assert_eq!(row(0, "desk")["reason"], "outbid");
    assert_eq!((&row(1, "desk")["reason"], &row(1, "desk")["amount"]), (&json!("won"), &json!("31.123456")));
    let base = row(2, "line");
    assert_eq!((&base["amount"], &base["note"]), (&json!("12.00"), &json!("base bid of the table")));
    assert_eq!(exchange.ledger(id(&first))[0], ("buyer:bolt".to_owned(), "12.00".to_owned()));
    exchange.finish();
}

#[test]
fn a_price_is_that_of_the_hour() {
    let market = Market::new(r#""desk""#).buyer("acme", "zone = \"Asia/Kolkata\"\n").target(
        "desk",
        "acme",
        "price = \"9.00\"\nranges = [\n\
         { hours = [\"daily 00:00-06:00\"], price = \"11.00\" }, { hours = [\"daily 06:00-12:00\"], price = \"12.00\" },\n\
         { hours = [\"daily 12:00-18:00\"], price = \"13.00\" }, { hours = [\"daily 18:00-24:00\"], price = \"14.00\" }]",
    );
    let exchange = Exchange::start(&market);
    let answer = exchange.decide(&ask("CA1", "x"));
    exchange.talk(&answer, 90_000);
    let explained = exchange.explained(id(&answer));
    let at = Timestamp::parse(explained["at"].as_str().unwrap()).unwrap();
    // `Fri 2026-11-20 09:00`
    let clock = Zone::load("Asia/Kolkata").unwrap().wall_clock(at);
    let hour: usize = clock[15..17].parse().unwrap();
    let (price, hours) = [
        ("11.00", "daily 00:00-06:00"),
        ("12.00", "daily 06:00-12:00"),
        ("13.00", "daily 12:00-18:00"),
        ("14.00", "daily 18:00-24:00"),
    ][hour / 6];
    assert_eq!(outcome(&exchange, &answer, "desk"), ["won", price, &format!("price of {hours}")]);
    assert_eq!(exchange.ledger(id(&answer))[0], ("buyer:acme".to_owned(), price.to_owned()));
    exchange.finish();
}

#[test]
fn a_floor_of_the_hour_is_what_a_bid_must_reach() {
    let bidders = bidders([("acme", bid("25.00"))]);
    let lines = format!(
        "floor = \"20.00\"\nranges = [{{ hours = [\"daily 00:00-24:00\"], floor = \"25.01\" }}]\nendpoint = {{ url = \"{}\" }}",
        bidders.url("acme")
    );
    let market = Market::new(r#"{ auction = ["acme"] }"#)
        .patient()
        .buyer("acme", "show_floor = true\n")
        .target("acme", "acme", &lines);
    let exchange = Exchange::start(&market);
    let answer = exchange.decide(&ask("CA1", "x"));
    assert_eq!(outcome(&exchange, &answer, "acme"), ["below_floor", "25.00", "target 25.01"]);
    let asked = bidders.pings("acme")[0].body.clone();
    assert!(asked.contains("\"floor\":\"25.01\""), "{asked}");
    exchange.finish();
}

/// A limit of the hours that are now counts instead of the one of always, of target and buyer, and a change at run time
/// instead of both.
#[test]
fn the_limit_is_that_of_the_hour_until_it_is_changed() {
    // Whatever the time is, it lies in these.
    let always = "hours = [\"daily 00:00-24:00\"]";
    let market = Market::new(r#""desk""#)
        .buyer("acme", &format!("concurrency = 9\nranges = [{{ {always}, concurrency = 2 }}]\n"))
        .target("desk", "acme", &format!("price = \"20.00\"\nranges = [{{ {always}, concurrency = 1 }}]"));
    let exchange = Exchange::start(&market);
    let limit = |path: &str, most: Value| {
        let body = json!({"concurrency": most}).to_string();
        let answer = request(&exchange.admin, "PATCH", &format!("/api/v1/{path}"), None, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let mut open = vec![exchange.decide(&ask("CA1", "x"))];
    let mut call = |name: &str| {
        let answer = exchange.decide(&ask(name, "x"));
        let note = outcome(&exchange, &answer, "desk")[2].clone();
        if answer["action"] == "dial" {
            open.push(answer);
        }
        note
    };
    assert_eq!(call("CA2"), "target desk concurrency");
    // For good, whatever the hour: then the buyer's is next.
    limit("targets/desk", json!(5));
    assert_eq!(call("CA3"), "");
    assert_eq!(call("CA4"), "buyer acme concurrency");
    // The value of the file, said at run time, counts at all hours too.
    limit("buyers/acme", json!(9));
    assert_eq!(call("CA5"), "");
    limit("buyers/acme", Value::Null);
    assert_eq!(call("CA6"), "buyer acme concurrency");
    open.iter().for_each(|answer| exchange.give_up(answer));
    exchange.finish();
}

#[test]
fn check_and_plan_show_tables_and_ranges() {
    let rows =
        "rows = [{ when = [{ state = [\"TX\"] }, { hours = [\"daily 00:00-24:00\"] }], bid = \"30.00\" }]";
    let market = Market::new(r#"{ sequential = ["desk", "line"] }"#)
        .buyer("acme", "")
        .target("desk", "acme", "bids = { base = \"18.00\", csv = \"desk.csv\" }")
        .target("line", "acme", &format!(
            "bids = {{ {rows} }}\nranges = [{{ hours = [\"sat,sun 10:00-12:00\"], floor = \"12.00\", daily_billable = 7 }}]"
        ));
    let exchange = start(&market);
    let said = |args: &[&str]| {
        let output = exchange.cli(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let checked = said(&["check"]);
    assert!(checked.contains("bids of desk: 4 rows, every row found by its columns"), "{checked}");
    assert!(checked.contains("bids of line: 1 row, up to 1 row tried one by one for hours"), "{checked}");
    let drawn = said(&["plan", "show", "main"]);
    assert!(drawn.contains("bids by 4 rows, base 18.00\n"), "{drawn}");
    assert!(drawn.contains("bids by 1 row, base none, up to 1 row tried one by one for hours\n"), "{drawn}");
    assert!(drawn.contains("   in sat-sun 10:00-12:00: floor 12.00, daily_billable 7\n"), "{drawn}");
    let tried = said(&[
        "plan",
        "try",
        "--to",
        NUMBER,
        "--from",
        CALLER,
        "--tag",
        "case=collision",
        "--rules",
        "--at",
        "2026-11-21T11:00:00Z",
    ]);
    assert!(tried.contains("31.123456  candidate    row 2 of desk.csv"), "{tried}");
    assert!(
        tried.contains(
            "has a bid for the call: row 1 of the table, in range sat-sun 10:00-12:00: floor 12.00"
        ) && tried.contains("(saw price 30.00, floor 12.00)"),
        "{tried}"
    );
    let theft = said(&["plan", "try", "--to", NUMBER, "--from", CALLER, "--tag", "case=theft"]);
    assert!(
        theft.contains("no_bid") && theft.contains("no       has a bid for the call: row 3 of desk.csv"),
        "{theft}"
    );
    exchange.finish();
}
