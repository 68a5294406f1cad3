//! Bids after the deadline and bidders that never answer: scenarios 1 and 2.

use std::time::Duration;

use load::bidders::{Behaviour, Bidders, Script};
use serde_json::json;

use super::{bidder, call, decided_in_ms, hang_up, one_worker, outcome};
use crate::support::{Exchange, Market, PATIENCE, eventually};

const DEADLINE_MS: f64 = 300.0;
/// What a machine that does other things too may add to a decision.
const SLACK_MS: f64 = 300.0;

/// A bids 20.00 and B 60.00, each after this many ms.
fn late_market(a_ms: u64, b_ms: u64, deadline_ms: f64) -> (Bidders, Exchange) {
    let bidders = Bidders::start(1, vec![bidder("a", a_ms, 2_000), bidder("b", b_ms, 6_000)]).unwrap();
    let market = Market::new(r#"{ auction = ["a", "b"] }"#)
        .campaign(&format!("deadline_ms = {deadline_ms}\npayout = {{ fixed = \"5.00\" }}"))
        .bidder("a", &bidders.url("a"))
        .bidder("b", &bidders.url("b"));
    let exchange = Exchange::start_as(&market, &one_worker());
    (bidders, exchange)
}

/// Scenario 1: A bids at 180 ms, B at 420 ms, the auction closes at 300 ms.
#[test]
fn a_late_bid_is_recorded_and_loses_and_its_connection_is_kept() {
    let (bidders, exchange) = late_market(180, 420, DEADLINE_MS);
    let calls = 4;
    for n in 0..calls {
        let answer = call(&exchange);
        let took = decided_in_ms(&answer);
        assert!((DEADLINE_MS..DEADLINE_MS + SLACK_MS).contains(&took), "call {n}: {took} ms");
        let id = answer["call_id"].as_str().unwrap();
        let (reason, late) = exchange.outcome(id, "b");
        assert_eq!((reason.as_str(), &late["amount"]), ("late", &json!("60.00")), "call {n}: {late}");
        let latency = late["latency_ms"].as_f64().unwrap();
        assert!(latency >= 415.0, "call {n}: {late}");
        assert_eq!(outcome(&exchange, &answer, "a"), "won 20.00", "call {n}");
        assert_eq!(exchange.explained(id)["steps"][0]["close"], "deadline", "call {n}");
        for (at, kind) in ["answered", "bridged"].into_iter().enumerate() {
            let event = json!({"event_id": format!("e{at}"), "type": kind, "attempt": 1, "at": "2026-11-20T09:00:00Z"});
            assert_eq!(exchange.event(&answer, &event).status, 200);
        }
        let ended = json!({"event_id": "e9", "type": "ended", "attempt": 1, "at": "2026-11-20T09:01:32Z",
            "talk_ms": 92_000, "cause": "normal", "ended_by": "caller"});
        assert_eq!(exchange.event(&answer, &ended).status, 200);
    }
    let ledger = exchange.get("/api/v1/ledger").text();
    assert_eq!(ledger.matches("buyer:a").count(), calls, "{ledger}");
    assert_eq!(ledger.matches("buyer:b").count(), 0, "{ledger}");
    assert_eq!(exchange.metric("outcry_outcomes_total", r#"buyer="b",reason="late""#), calls as f64);

    let seen = bidders.stats("b");
    assert_eq!((seen.pings, seen.bids, seen.given_up), (4, 4, 0), "{seen:?}");
    assert_eq!(seen.reused_while_owing, 0, "{seen:?}");
    // The other connections, if any, were opened ahead and never used.
    let opened = exchange.metric("outcry_ping_connections_opened_total", r#"buyer="b",when="auction""#);
    assert_eq!(opened, 1.0, "{seen:?}");
    exchange.finish();
}

/// While B still owes its reply to one call, the next call's ping must not land behind it.
#[test]
fn a_connection_that_owes_a_reply_is_not_used() {
    let (bidders, exchange) = late_market(100, 1_200, 900.0);
    let answers: Vec<_> = (0..4).map(|_| call(&exchange)).collect();
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(outcome(&exchange, answer, "b"), "late 60.00", "call {n}");
        assert_eq!(outcome(&exchange, answer, "a"), "won 20.00", "call {n}");
        hang_up(&exchange, answer);
    }
    let seen = bidders.stats("b");
    assert_eq!((seen.reused_while_owing, seen.bids, seen.given_up), (0, 4, 0), "{seen:?}");
    exchange.finish();
}

/// Scenario 2.
#[test]
fn when_every_endpoint_hangs_the_static_buyer_takes_the_call_at_the_deadline() {
    const LINGER_MS: u64 = 1_000;
    const HANGING: [&str; 3] = ["h1", "h2", "h3"];
    let scripts = HANGING.map(|name| Script::new(name, Behaviour::Hang)).to_vec();
    let bidders = Bidders::start(1, scripts).unwrap();
    let mut market = Market::new(r#"{ sequential = [{ auction = ["h1", "h2", "h3"] }, "fixed"] }"#)
        .buyer("fixed", "")
        .target("fixed", "fixed", "price = \"12.00\"\naddress = \"+15125550901\"");
    for name in HANGING {
        market = market.bidder(name, &bidders.url(name));
    }
    let exchange = Exchange::start_as(&market, &(one_worker() + &format!("linger_ms = {LINGER_MS}\n")));
    let answer = call(&exchange);
    assert_eq!(
        (&answer["targets"][0]["address"], &answer["basis"], &answer["reason"]),
        (&json!("+15125550901"), &json!("static"), &json!("static"))
    );
    let took = decided_in_ms(&answer);
    assert!((DEADLINE_MS..DEADLINE_MS + SLACK_MS).contains(&took), "{took} ms");
    for name in HANGING {
        assert_eq!(outcome(&exchange, &answer, name), "timeout", "{name}");
        assert!(bidders.wait(name, PATIENCE, |seen| seen.given_up == 1), "{:?}", bidders.stats(name));
        let ping = &bidders.pings(name)[0];
        let told: u64 =
            serde_json::from_str::<serde_json::Value>(&ping.body).unwrap()["deadline_ms"].as_u64().unwrap();
        let kept = ping.given_up.unwrap() - ping.received;
        // The ping was received a little later than it was rendered, on a busy machine more than a little.
        let least = Duration::from_millis(told + LINGER_MS - 600);
        assert!(kept >= least, "{name}: closed after {kept:?}, told {told} ms, linger {LINGER_MS} ms");
    }
    assert_eq!(outcome(&exchange, &answer, "fixed"), "won 12.00");
    hang_up(&exchange, &answer);
    eventually("no ping is out, and what is open was opened ahead", || {
        let lingering = exchange.metric("outcry_ping_lingering", "");
        let open = exchange.metric("outcry_ping_connections", "");
        let seen: u64 = HANGING.iter().map(|name| bidders.stats(name).open_connections).sum();
        (lingering == 0.0 && open == seen as f64 && seen <= 2 * HANGING.len() as u64).then_some(())
    });
    for name in HANGING {
        assert_eq!(bidders.stats(name).reused_while_owing, 0);
    }
    exchange.finish();
}
