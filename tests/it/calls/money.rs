//! What is owed: the duration boundary, shares, and sums that agree wherever they are shown.

use serde_json::{Value, json};

use crate::support::bids::{bid, bidders};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market};

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

#[test]
fn the_minimum_duration_is_inclusive_to_the_millisecond() {
    // Scenario 9.
    let market = Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"");
    let exchange = Exchange::start(&market);
    for (talk_ms, reason) in
        [(1, "too_short"), (89_999, "too_short"), (90_000, "billable"), (90_001, "billable")]
    {
        let answer = exchange.decide(&ask(&format!("CA{talk_ms}")));
        exchange.report(&answer, "answered", 0, json!({}));
        exchange.report(&answer, "bridged", 10_000, json!({}));
        // The carrier's own figure wins over its clock, whatever that says.
        let end = json!({"cause": "normal", "ended_by": "caller", "talk_ms": talk_ms});
        exchange.report(&answer, "ended", 500_000, end);
        let end = exchange.end(id(&answer));
        assert_eq!((&end["reason"], &end["talk_ms"]), (&json!(reason), &json!(talk_ms)));
        let billable = reason == "billable";
        assert_eq!((&end["billable"], &end["payable"]), (&json!(billable), &json!(billable)));
        assert_eq!(exchange.ledger(id(&answer)).len(), if billable { 3 } else { 0 });
    }
    exchange.finish();
}

#[test]
fn a_targets_own_minimum_is_what_counts() {
    let market = Market::new(r#""desk""#).buyer("acme", "").target(
        "desk",
        "acme",
        "min_duration_s = 30\nprice = \"20.00\"",
    );
    let exchange = Exchange::start(&market);
    for (talk_ms, entries) in [(29_999, 0), (30_000, 3)] {
        let answer = exchange.decide(&ask(&format!("CA{talk_ms}")));
        exchange.talk(&answer, talk_ms);
        assert_eq!(exchange.ledger(id(&answer)).len(), entries);
    }
    exchange.finish();
}

#[test]
fn a_share_is_floored_to_the_cent_and_the_rest_is_margin() {
    for (share, price, payout, margin) in [
        ("60%", "25.51", "-15.30", "-10.21"),
        ("33.33%", "0.10", "-0.03", "-0.07"),
        ("100%", "7.77", "-7.77", "0.00"),
    ] {
        let bidders = bidders([("acme", bid(price))]);
        let market = Market::new(r#"{ auction = ["acme"] }"#)
            .patient()
            .campaign(&format!("payout = {{ share = \"{share}\" }}"))
            .bidder("acme", &bidders.url("acme"));
        let exchange = Exchange::start(&market);
        let answer = exchange.decide(&ask("CA1"));
        exchange.talk(&answer, 90_000);
        let booked = exchange.ledger(id(&answer));
        let amounts: Vec<&str> = booked.iter().map(|(_, amount)| amount.as_str()).collect();
        assert_eq!(amounts, [price, payout, margin], "{share}");
        exchange.finish();
    }
}

#[test]
fn a_bid_is_cut_to_the_cent_and_never_rounded_up() {
    let bidders = bidders([("acme", bid("25.509999"))]);
    let market = Market::new(r#"{ auction = ["acme"] }"#).patient().bidder("acme", &bidders.url("acme"));
    let exchange = Exchange::start(&market);
    let answer = exchange.decide(&ask("CA1"));
    exchange.talk(&answer, 90_000);
    assert_eq!(exchange.ledger(id(&answer))[0].1, "25.50");
    exchange.finish();
}

#[test]
fn a_publishers_own_terms_go_before_the_campaigns() {
    let market = Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"").and(
        "[publisher.star]\nname = \"Star\"\nzone = \"UTC\"\npayouts = { auto = { fixed = \"7.50\" } }\n\
             [[number]]\nnumber = \"+18005550200\"\ncampaign = \"auto\"\npublisher = \"star\"",
    );
    let exchange = Exchange::start(&market);
    for (n, (to, publisher, payout)) in
        [(NUMBER, "pub", "-5.00"), ("+18005550200", "star", "-7.50")].into_iter().enumerate()
    {
        let answer = exchange.decide(&json!({"carrier_call_id": format!("CA{n}"), "to": to, "from": CALLER}));
        exchange.talk(&answer, 90_000);
        let booked = exchange.ledger(id(&answer));
        assert_eq!(booked[1], (format!("publisher:{publisher}"), payout.to_owned()));
    }
    exchange.finish();
}

#[test]
fn sums_agree_wherever_they_are_shown() {
    let market = Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"");
    let exchange = Exchange::start(&market);
    let talks = [10_000, 90_000, 120_000, 0, 600_000];
    for (n, talk_ms) in talks.into_iter().enumerate() {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        exchange.talk(&answer, talk_ms);
    }
    for by in ["buyer", "target", "publisher", "campaign", "hour"] {
        let pnl = exchange.cli(&["pnl", "--by", by, "--format", "json"]);
        let pnl: Value = serde_json::from_slice(&pnl.stdout).unwrap();
        let rows = pnl.as_array().or_else(|| pnl["rows"].as_array()).unwrap();
        let sum = |key: &str| rows.iter().filter_map(|row| row[key].as_i64()).sum::<i64>();
        // At the turn of an hour there are two rows by hour; the total is the same.
        assert_eq!(
            (sum("calls"), sum("ended"), sum("connected"), sum("billable")),
            (5, 5, 4, 3),
            "{by}: {pnl}"
        );
        if by != "hour" {
            let row = &rows[0];
            assert_eq!(
                (&row["revenue"], &row["payout"], &row["margin"]),
                (&json!("60.00"), &json!("15.00"), &json!("45.00")),
                "{by}"
            );
            assert_eq!((&row["talk_minutes"], &row["margin_percent"]), (&json!(13.7), &json!(75.0)));
        }
    }
    assert_eq!(exchange.metric("outcry_revenue_micros_total", ""), 60_000_000.0);
    assert_eq!(exchange.metric("outcry_payout_micros_total", ""), 15_000_000.0);
    let calls = exchange.get("/api/v1/calls").json();
    let margins: Vec<&str> =
        calls["calls"].as_array().unwrap().iter().map(|call| call["margin"].as_str().unwrap()).collect();
    assert_eq!(margins, ["15.00", "0.00", "15.00", "15.00", "0.00"], "newest first");
    exchange.finish();
}
