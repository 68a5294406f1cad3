//! SIGTERM: what was begun ends, what is new goes elsewhere, and everything is on disk.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bids::{bid, bid_after, bidders};
use crate::support::http::{connect, read};
use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::{Exchange, Market, eventually};

#[test]
fn an_auction_under_way_is_answered_and_recorded() {
    let bidders = bidders([("slow", bid_after(400, "30.00")), ("quick", bid("10.00"))]);
    // Somebody takes the call even on a machine too busy for the bidders.
    let market = Market::new(r#"{ sequential = [{ auction = ["slow", "quick"] }, "desk"] }"#)
        .patient()
        .buyer("acme", "")
        .target("desk", "acme", "price = \"6.00\"")
        .bidder("slow", &bidders.url("slow"))
        .bidder("quick", &bidders.url("quick"));
    let mut exchange = Exchange::start(&market);
    let body = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}).to_string();
    let mut asking = connect(&exchange.traffic);
    let head = format!(
        "POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    asking.write_all(head.as_bytes()).unwrap();
    eventually("the slow bidder is asked", || (bidders.stats("slow").pings == 1).then_some(()));
    exchange.signal("TERM");
    // Who comes now finds nobody.
    eventually("no new connection is taken", || TcpStream::connect(&exchange.traffic).is_err().then_some(()));
    let answer = read(&mut asking);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["action"], "dial");
    exchange.wait();
    let call = answer["call_id"].as_str().unwrap();
    let told = exchange.cli(&["explain", call, "--format", "json"]);
    assert!(told.status.success(), "the call is in the store");
    let explained: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(explained["decision"]["reason"], answer["reason"]);
    assert_eq!(explained["steps"][0]["outcomes"].as_array().unwrap().len(), 3);
    assert_eq!(explained["steps"][0]["is_final"], true);
}

#[test]
fn late_replies_are_waited_for_so_that_every_outcome_is_final() {
    use load::bidders::Behaviour;
    let late = Behaviour::Late { past_deadline_ms: 200, price_cents: 9_900 };
    let bidders = bidders([("late", late), ("hangs", Behaviour::Hang), ("quick", bid("10.00"))]);
    let market = Market::new(r#"{ auction = ["late", "hangs", "quick"] }"#)
        .bidder("late", &bidders.url("late"))
        .bidder("hangs", &bidders.url("hangs"))
        .bidder("quick", &bidders.url("quick"));
    // The settings every test has end within `[pings]`.
    let mut exchange = Exchange::start_with(&market, "linger_ms = 3000\n");
    let answer = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}));
    let call = answer["call_id"].as_str().unwrap().to_owned();
    exchange.signal("TERM");
    exchange.wait();
    let told = exchange.cli(&["explain", &call, "--format", "json"]);
    let explained: Value = serde_json::from_slice(&told.stdout).unwrap();
    let text = explained["steps"].to_string();
    assert!(!text.contains("pending"), "{text}");
    assert_eq!(explained["steps"][0]["is_final"], true);
    let reason = |target: &str| {
        let rows = explained["steps"][0]["outcomes"].as_array().unwrap();
        rows.iter().find(|row| row["target"] == target).unwrap()["reason"].clone()
    };
    assert_eq!((reason("late"), reason("hangs")), (json!("late"), json!("timeout")));
}

/// Buyers that do not answer keep nobody: the call that is being decided is answered at its deadline, and what lingers
/// has its outcome before the end, though it might have had seconds more.
#[test]
fn buyers_that_hang_hold_up_no_end() {
    use load::bidders::Behaviour;
    let bidders = bidders([("hangs", Behaviour::Hang), ("quick", bid("10.00"))]);
    let market = Market::new(r#"{ auction = ["hangs", "quick"] }"#)
        .campaign("deadline_ms = 900\nearly_close = false\npayout = { fixed = \"5.00\" }")
        .bidder("hangs", &bidders.url("hangs"))
        .bidder("quick", &bidders.url("quick"));
    let mut exchange = Exchange::start_with(&market, "linger_ms = 5000\n");
    let first = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}));
    let body = json!({"carrier_call_id": "CA2", "to": NUMBER, "from": CALLER}).to_string();
    let mut asking = connect(&exchange.traffic);
    let head = format!(
        "POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    asking.write_all(head.as_bytes()).unwrap();
    eventually("it is asked again", || (bidders.stats("hangs").pings == 2).then_some(()));
    let began = Instant::now();
    exchange.signal("TERM");
    let answer = read(&mut asking);
    assert_eq!(answer.status, 200, "{}", answer.text());
    exchange.wait();
    // Two seconds, and what the journal, the store and a busy machine need.
    assert!(began.elapsed() < Duration::from_millis(4_000), "the end took {:?}", began.elapsed());
    for call in [&first, &answer.json()] {
        let told = exchange.cli(&["explain", call["call_id"].as_str().unwrap(), "--format", "json"]);
        let explained: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(explained["steps"][0]["is_final"], true, "{explained:#}");
        let rows = explained["steps"][0]["outcomes"].as_array().unwrap();
        let hangs = rows.iter().find(|row| row["target"] == "hangs").unwrap();
        assert_eq!(hangs["reason"], "timeout", "{hangs}");
    }
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let market = Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"");
    let mut exchange = Exchange::start(&market);
    let body = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}).to_string();
    let mut kept = connect(&exchange.traffic);
    let request = format!(
        "POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    kept.write_all(request.as_bytes()).unwrap();
    let silent = connect(&exchange.traffic);
    eventually("the call is recorded", || {
        (exchange.metric("outcry_decisions_total", "") == 1.0).then_some(())
    });
    let began = std::time::Instant::now();
    exchange.stop();
    assert!(began.elapsed().as_secs() < 8, "the end took {:?}", began.elapsed());
    assert_eq!(read(&mut kept).status, 200);
    drop(silent);
}

#[test]
fn ctrl_c_is_as_orderly() {
    let market = Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"");
    let mut exchange = Exchange::start(&market);
    let answer = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}));
    exchange.signal("INT");
    exchange.wait();
    eventually("it says so", || {
        exchange.log().last().is_some_and(|line| line.contains("stopped")).then_some(())
    });
    let told = exchange.cli(&["calls", "--format", "csv"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains(answer["call_id"].as_str().unwrap()));
}
