//! What the exchange takes on: more decisions than it may have open, more targets than one auction may ask.

use load::bidders::{Behaviour, Bidders, Script};
use serde_json::json;

use super::{bidder, call, decided_in_ms, hang_up, outcome};
use crate::support::market::SETTINGS;
use crate::support::{Exchange, Market, PATIENCE};

#[test]
fn a_decision_too_many_gets_the_static_answer_at_once() {
    let bidders = Bidders::start(1, vec![Script::new("h", Behaviour::Hang)]).unwrap();
    let market = Market::new(r#"{ sequential = [{ auction = ["h"] }, "fixed"] }"#)
        .campaign("deadline_ms = 900\npayout = { fixed = \"5.00\" }")
        .bidder("h", &bidders.url("h"))
        .buyer("fixed", "")
        .target("fixed", "fixed", "price = \"12.00\"\naddress = \"+15125550901\"");
    let exchange =
        Exchange::start_as(&market, &format!("{SETTINGS}linger_ms = 0\n[limits]\ndecisions = 1\n"));
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&exchange));
        assert!(bidders.wait("h", PATIENCE, |seen| seen.pings == 1), "the first call never asked");
        let second = call(&exchange);
        assert!(!first.is_finished(), "the second answer waited for the first: {second:#}");
        (first.join().unwrap(), second)
    });
    for (answer, expected) in [(&first, "timeout"), (&second, "overload")] {
        assert_eq!((&answer["basis"], &answer["reason"]), (&json!("static"), &json!("static")));
        assert_eq!(answer["targets"][0]["address"], "+15125550901");
        assert_eq!(outcome(&exchange, answer, "h"), expected);
        assert_eq!(outcome(&exchange, answer, "fixed"), "won 12.00");
    }
    assert!(decided_in_ms(&first) >= 900.0 && decided_in_ms(&second) < 800.0, "{first:#} {second:#}");
    assert_eq!(bidders.stats("h").pings, 1, "an overloaded exchange asks nobody");

    // The place is free again.
    let third = call(&exchange);
    assert_eq!(outcome(&exchange, &third, "h"), "timeout");
    [first, second, third].iter().for_each(|answer| hang_up(&exchange, answer));
    exchange.finish();
}

#[test]
fn an_auction_asks_as_many_as_it_may() {
    let scripts = vec![bidder("a", 5, 2_000), bidder("b", 5, 3_000), bidder("c", 5, 9_000)];
    let bidders = Bidders::start(1, scripts).unwrap();
    let market = Market::new(r#"{ auction = ["a", "b", "c"] }"#)
        .campaign("deadline_ms = 900\npayout = { fixed = \"5.00\" }")
        .bidder("a", &bidders.url("a"))
        .bidder("b", &bidders.url("b"))
        .bidder("c", &bidders.url("c"));
    let exchange = Exchange::start_with(&market, "[limits]\nauction_fan_out = 2\n");
    let answer = call(&exchange);
    let outcomes = ["a", "b", "c"].map(|name| outcome(&exchange, &answer, name));
    assert_eq!(outcomes, ["outbid 20.00", "won 30.00", "fan_out"]);
    assert_eq!(bidders.stats("c").connections, 0, "one too many was asked");
    hang_up(&exchange, &answer);
    exchange.finish();
}
