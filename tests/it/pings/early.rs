//! Auctions that end before everybody has answered: scenario 3, and what becomes of those who were not needed.

use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};
use serde_json::{Value, json};

use super::{bidder, call, decided_in_ms, hang_up, note, outcome};
use crate::support::strace::{Strace, by_threads};
use crate::support::{Exchange, Market, eventually};

/// Long, so that an early end is early on a busy machine too.
const DEADLINE_MS: f64 = 900.0;

/// Buyers A, of these lines, and B, that may bid at most so much; A's bid comes soon and B's much later.
fn market(bidders: &Bidders, campaign: &str, lines_of_a: &str, most_of_b: &str) -> Market {
    let endpoint = |name: &str, most: &str| {
        format!("endpoint = {{ url = \"{}\", max_bid = \"{most}\" }}", bidders.url(name))
    };
    Market::new(r#"{ auction = ["a", "b"] }"#)
        .campaign(&format!("deadline_ms = {DEADLINE_MS}\n{campaign}\npayout = {{ fixed = \"5.00\" }}"))
        .buyer("a", lines_of_a)
        .target("a", "a", &endpoint("a", "100.00"))
        .buyer("b", "")
        .target("b", "b", &endpoint("b", most_of_b))
}

fn step(exchange: &Exchange, answer: &Value) -> Value {
    exchange.explained(answer["call_id"].as_str().unwrap())["steps"][0].clone()
}

/// Scenario 3: A answers at 40 ms and B, who would answer at 600 ms, may not bid more.
#[test]
fn an_unbeatable_bid_decides_at_once_where_the_campaign_says_so() {
    let bidders = Bidders::start(1, vec![bidder("a", 40, 5_000), bidder("b", 600, 3_000)]).unwrap();
    // Setting, B's highest bid; how it closes, what becomes of B.
    let table = [
        ("", "49.99", "early", "not_needed 30.00"),
        ("", "50.00", "all_replied", "outbid 30.00"),
        ("early_close = false", "49.99", "all_replied", "outbid 30.00"),
    ];
    for (setting, max_bid, close, of_b) in table {
        let exchange = Exchange::start(&market(&bidders, setting, "", max_bid));
        let answer = call(&exchange);
        let took = decided_in_ms(&answer);
        let is_early = close == "early";
        assert_eq!(is_early, took < 600.0, "{setting} {max_bid}: {took} ms");
        assert!((40.0..DEADLINE_MS).contains(&took), "{setting} {max_bid}: {took} ms");
        assert_eq!(step(&exchange, &answer)["close"], close, "{setting} {max_bid}");
        assert_eq!(outcome(&exchange, &answer, "a"), "won 50.00");
        // The amount is kept: its reply came within the linger, and its connection is used again.
        assert_eq!(outcome(&exchange, &answer, "b"), of_b, "{setting} {max_bid}");
        hang_up(&exchange, &answer);
        let not_needed = exchange.metric("outcry_outcomes_total", r#"buyer="b",reason="not_needed""#);
        assert_eq!(not_needed, f64::from(u8::from(is_early)));
        exchange.finish();
    }
    let seen = bidders.stats("b");
    assert_eq!((seen.given_up, seen.reused_while_owing), (0, 0), "{seen:?}");
}

/// A bids soon, which settles it, but its unit cannot be secured before the deadline; meanwhile B answers in time.
#[test]
fn a_bid_that_comes_while_another_is_held_is_in_time() {
    let bidders = Bidders::start(1, vec![bidder("a", 2, 5_000), bidder("b", 60, 3_000)]).unwrap();
    let short = market(&bidders, "", "daily_billable = 100", "40.00")
        .plan("root = { auction = [\"a\", \"b\"], timeout_ms = 400 }\nterminal = { hangup = \"busy\" }");
    let exchange = Exchange::start_edited(&short, |settings| {
        by_threads(&settings).replace("[journal]\n", "[journal]\nhold_ack_ms = 500\n")
    });
    let tracer = Strace::no_write(&exchange);
    let answer = call(&exchange);
    drop(tracer);
    assert_eq!(outcome(&exchange, &answer, "a"), "hold_not_durable 50.00");
    assert_eq!(outcome(&exchange, &answer, "b"), "won 30.00");
    hang_up(&exchange, &answer);
    exchange.finish();
}

/// Who was not needed and never answered keeps that outcome; the miss is booked all the same.
#[test]
fn not_needed_is_the_outcome_whatever_comes_of_the_ping() {
    let refuses = Behaviour::NoBid {
        latency: Latency::Fixed(300),
        form: NoBidForm::Zero { reason: "budget spent".to_owned() },
    };
    let rows = [("hangs", Behaviour::Hang, "null"), ("refuses", refuses, r#""no_bid: budget spent""#)];
    for (what, behaviour, said) in rows {
        let bidders = Bidders::start(1, vec![bidder("a", 5, 5_000), Script::new("b", behaviour)]).unwrap();
        let exchange = Exchange::start(&market(&bidders, "", "", "20.00"));
        let answer = call(&exchange);
        assert!(decided_in_ms(&answer) < DEADLINE_MS / 2.0, "{what}: {answer:#}");
        assert_eq!(outcome(&exchange, &answer, "b"), "not_needed", "{what}");
        assert_eq!(note(&exchange, &answer, "b"), said, "{what}");
        hang_up(&exchange, &answer);
        exchange.finish();
    }
}

/// The winner of an early end may be taken by another call: then the auction goes on, and a later bid takes the call.
#[test]
fn when_the_winner_cannot_be_held_the_auction_goes_on() {
    const CALLS: usize = 6;
    let bidders = Bidders::start(1, vec![bidder("a", 200, 5_000), bidder("b", 500, 3_000)]).unwrap();
    let exchange = Exchange::start(&market(&bidders, "", "concurrency = 1\n", "40.00"));
    // All are asked while A has room; one of them gets it.
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..CALLS).map(|_| scope.spawn(|| call(&exchange))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let of = |answer: &Value| {
        let (a, b) = (outcome(&exchange, answer, "a"), outcome(&exchange, answer, "b"));
        (a, b, step(&exchange, answer)["close"].as_str().unwrap().to_owned())
    };
    let expected = |a: &str, b: &str, close: &str| (a.to_owned(), b.to_owned(), close.to_owned());
    let mut came: Vec<_> = answers.iter().map(of).collect();
    came.sort();
    // On a busy machine a call may come when A has no room any more: it is not asked, and that proves nothing.
    came.retain(|one| one.0 != "concurrency");
    assert_eq!(came.pop(), Some(expected("won 50.00", "not_needed 30.00", "early")));
    assert!(!came.is_empty(), "all others came too late");
    for one in came {
        assert_eq!(one, expected("hold_lost 50.00", "won 30.00", "all_replied"));
    }
    for answer in &answers {
        assert_eq!(answer["basis"], "auction", "{answer:#}");
        hang_up(&exchange, answer);
    }
    eventually("nothing lingers", || (exchange.metric("outcry_ping_lingering", "") == 0.0).then_some(()));
    exchange.finish();
}

/// What ends an auction early may be a fixed price; the static answer is then as good as before, and sooner.
#[test]
fn a_fixed_price_that_nobody_can_reach_is_taken_at_once() {
    let bidders = Bidders::start(1, vec![bidder("a", 600, 1_900)]).unwrap();
    let market = Market::new(r#"{ auction = ["a", "desk"] }"#)
        .campaign(&format!("deadline_ms = {DEADLINE_MS}\npayout = {{ fixed = \"5.00\" }}"))
        .buyer("a", "")
        .target("a", "a", &format!("endpoint = {{ url = \"{}\", max_bid = \"19.99\" }}", bidders.url("a")))
        .buyer("desk", "")
        .target("desk", "desk", "price = \"20.00\"\naddress = \"+15125550901\"");
    let exchange = Exchange::start(&market);
    let answer = call(&exchange);
    assert!(decided_in_ms(&answer) < 500.0, "{answer:#}");
    assert_eq!((&answer["basis"], &answer["reason"]), (&json!("static"), &json!("static")));
    assert_eq!(outcome(&exchange, &answer, "a"), "not_needed 19.00", "its ping was sent all the same");
    hang_up(&exchange, &answer);
    exchange.finish();
}
