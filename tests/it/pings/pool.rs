//! Connections to bid endpoints: reused, opened ahead of need, replaced when the buyer closed them, given back.

use load::bidders::{Behaviour, Bidders, Script};
use load::raw::Act;
use serde_json::{Value, json};

use super::{bidder, bids, call, decided_in_ms, hang_up, note, one_worker, outcome};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market, PATIENCE, eventually};

fn one_buyer(settings: &str, script: Script) -> (Bidders, Exchange) {
    let name = script.name.clone();
    let bidders = Bidders::start(1, vec![script]).unwrap();
    let root = format!(r#"{{ sequential = [{{ auction = ["{name}"] }}, "fixed"] }}"#);
    let market = Market::new(&root)
        .campaign("deadline_ms = 900\npayout = { fixed = \"5.00\" }")
        .bidder(&name, &bidders.url(&name))
        .buyer("fixed", "")
        .target("fixed", "fixed", "price = \"6.00\"\naddress = \"+15125550901\"");
    (bidders, Exchange::start_as(&market, &(one_worker() + settings)))
}

fn opened(exchange: &Exchange, when: &str) -> f64 {
    exchange.metric("outcry_ping_connections_opened_total", &format!(r#"when="{when}""#))
}

#[test]
fn connections_are_reused() {
    let (bidders, exchange) = one_buyer("", bidder("a", 0, 2_000));
    for n in 0..50 {
        let answer = call(&exchange);
        assert_eq!(answer["reason"], "won", "call {n}: {answer:#}");
        hang_up(&exchange, &answer);
    }
    let seen = bidders.stats("a");
    assert_eq!((seen.pings, seen.bids, seen.reused_while_owing), (50, 50, 0), "{seen:?}");
    assert!(opened(&exchange, "auction") <= 2.0 && seen.connections <= 4, "{seen:?}");
    exchange.finish();
}

/// Calls at once, all hung up again.
fn burst(exchange: &Exchange, calls: usize) {
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..calls).map(|_| scope.spawn(|| call(exchange))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for answer in &answers {
        assert_eq!(answer["reason"], "won", "{answer:#}");
        hang_up(exchange, answer);
    }
}

#[test]
fn connections_are_opened_ahead_after_a_burst() {
    const CALLS: usize = 12;
    let (bidders, exchange) = one_buyer("", bidder("a", 100, 2_000));
    burst(&exchange, CALLS);
    eventually("more connections wait than the burst opened", || {
        let idle = bidders.stats("a").open_connections as f64;
        (opened(&exchange, "ahead") > 0.0 && idle > opened(&exchange, "auction")).then_some(())
    });
    let before = opened(&exchange, "auction");
    burst(&exchange, CALLS);
    assert_eq!(opened(&exchange, "auction"), before, "the second burst found all it needed");
    assert_eq!(bidders.stats("a").reused_while_owing, 0);
    exchange.finish();
}

/// Whether the close is seen before the next ping or only by it, the bid is there.
#[test]
fn a_buyer_that_closes_idle_connections_loses_no_bid() {
    const CALLS: u64 = 15;
    let reply =
        b"HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n{\"ping_id\":\"$PING_ID\",\"bid\":\"20.00\"}".to_vec();
    let reply = String::from_utf8(reply).unwrap().replace("43", "$LEN").into_bytes();
    let say = || Act::Say(reply.clone());
    let timeout = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let timeout = || Act::Send(timeout.clone());
    let table = [
        ("closes at once", vec![say(), Act::Close]),
        ("says 408 and closes", vec![say(), Act::Wait { ms: 1 }, timeout(), Act::Close]),
        ("says 408 as the next ping comes", vec![say(), Act::AwaitNextRequest, timeout(), Act::Close]),
        ("resets at once", vec![say(), Act::Wait { ms: 1 }, Act::Reset]),
        ("closes as the next ping comes", vec![say(), Act::AwaitNextRequest, Act::Close]),
        ("resets as the next ping comes", vec![say(), Act::AwaitNextRequest, Act::Reset]),
    ];
    let (bidders, exchange) = one_buyer("", bidder("a", 0, 2_000));
    for (name, acts) in table {
        bidders.set("a", Behaviour::Acts(acts));
        for n in 0..CALLS {
            let answer = call(&exchange);
            assert_eq!(outcome(&exchange, &answer, "a"), "won 20.00", "{name}, call {n}");
            hang_up(&exchange, &answer);
        }
    }
    exchange.finish();
}

#[test]
fn a_dead_port_is_connect_and_recovers() {
    let (bidders, exchange) = one_buyer("", bidder("a", 0, 2_000));
    for round in 0..3 {
        bidders.set("a", Behaviour::DeadPort);
        for n in 0..3 {
            let answer = call(&exchange);
            assert_eq!(outcome(&exchange, &answer, "a"), "connect", "round {round}, call {n}");
            assert_eq!(
                (&answer["basis"], &answer["targets"][0]["address"]),
                (&json!("static"), &json!("+15125550901"))
            );
            assert!(decided_in_ms(&answer) < 800.0, "nobody to wait for: {answer:#}");
            hang_up(&exchange, &answer);
        }
        bidders.set("a", bids(0, 2_000));
        let answer = call(&exchange);
        let (seen, note) = (bidders.stats("a"), note(&exchange, &answer, "a"));
        assert_eq!(outcome(&exchange, &answer, "a"), "won 20.00", "round {round}: {note}, {seen:?}");
        hang_up(&exchange, &answer);
    }
    exchange.finish();
}

/// The room for lingering pings is used up: the reply is given up at the deadline, and that is counted.
#[test]
fn without_room_to_linger_pings_end_at_the_deadline() {
    let (bidders, exchange) =
        one_buyer("lingering = 0\nlinger_ms = 5000\n", Script::new("a", Behaviour::Hang));
    for n in 1..=2 {
        let answer = call(&exchange);
        assert_eq!(answer["basis"], "static", "{answer:#}");
        assert!(bidders.wait("a", PATIENCE, |seen| seen.given_up == n), "{:?}", bidders.stats("a"));
        let ping = bidders.pings("a").pop().unwrap();
        let kept = ping.given_up.unwrap() - ping.received;
        assert!(kept.as_millis() < 4_000, "closed after {kept:?}, long before its linger would end");
        assert_eq!(outcome(&exchange, &answer, "a"), "timeout");
        assert_eq!(exchange.metric("outcry_ping_linger_overflow_total", ""), n as f64);
        hang_up(&exchange, &answer);
    }
    exchange.finish();
}

/// More connections than pings may have are not opened; the ping ends, the call does not.
#[test]
fn connections_are_bounded_in_all() {
    let (bidders, exchange) = one_buyer("connections = 2\n", Script::new("a", Behaviour::Hang));
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(|| call(&exchange))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let outcomes: Vec<String> = answers.iter().map(|answer| outcome(&exchange, answer, "a")).collect();
    let count = |word: &str| outcomes.iter().filter(|outcome| *outcome == word).count();
    assert_eq!((count("timeout"), count("connect")), (2, 4), "{outcomes:?}");
    assert_eq!(bidders.stats("a").pings, 2);
    for answer in &answers {
        assert_eq!(answer["basis"], "static", "{answer:#}");
        hang_up(&exchange, answer);
    }
    exchange.finish();
}

/// A bound that idle connections fill keeps no buyer out: the one idle longest makes room.
#[test]
fn an_idle_connection_makes_room_for_one_that_is_needed() {
    let bid = || Behaviour::Fixed { latency_ms: 0, body: r#"{"bid":"9.00"}"#.to_owned() };
    let bidders = Bidders::start(1, vec![Script::new("a", bid()), Script::new("b", bid())]).unwrap();
    let mut market = Market::new(r#"{ auction = ["a", "b"] }"#);
    for id in ["a", "b"] {
        let endpoint = format!("endpoint = {{ url = \"{}\" }}", bidders.url(id));
        let only = format!("filters = [{{ tag = \"case\", op = \"=\", value = \"{id}\" }}]");
        market = market.buyer(id, "").target(id, id, &format!("{endpoint}\n{only}"));
    }
    let exchange = Exchange::start_as(&market, &(one_worker() + "connections = 1\n"));
    for n in 0..6 {
        let case = ["a", "b"][n % 2];
        let asked = json!({"carrier_call_id": format!("CA{n}"), "to": NUMBER, "from": CALLER, "tags": {"case": case}});
        let answer = exchange.decide(&asked);
        assert_eq!(outcome(&exchange, &answer, case), "won 9.00", "call {n}");
        hang_up(&exchange, &answer);
    }
    exchange.finish();
}

/// Asked again is only who closed a waiting connection without a word: a reply that began, however badly, is its reply.
#[test]
fn a_reply_that_began_is_not_asked_for_again() {
    let head = || Act::Send(b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec());
    let flood = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(64);
    let table = [
        ("closes within the head", "disconnected", vec![head(), Act::Close]),
        ("resets within the head", "disconnected", vec![head(), Act::Wait { ms: 20 }, Act::Reset]),
        ("floods", "too_large", vec![Act::Repeat { bytes: flood, every_ms: 0, limit_bytes: 1_000_000 }]),
    ];
    for (name, expected, acts) in table {
        let (bidders, exchange) = one_buyer("", bidder("a", 0, 2_000));
        let answer = call(&exchange);
        assert_eq!(outcome(&exchange, &answer, "a"), "won 20.00", "{name}");
        hang_up(&exchange, &answer);
        bidders.set("a", Behaviour::Acts(acts));
        let answer = call(&exchange);
        assert_eq!(outcome(&exchange, &answer, "a"), expected, "{name}");
        assert_eq!(bidders.stats("a").pings, 2, "{name}: one ping per call");
        hang_up(&exchange, &answer);
        exchange.finish();
    }
}
