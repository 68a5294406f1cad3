//! Scenario 13: the same request again gets the same bytes, however it comes.

use std::io::Write;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::bids::{bid_after, bidders};
use crate::support::http::connect;
use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::{Exchange, Market, eventually};

fn asked() -> Value {
    json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER})
}

fn market(acme: &str, bolt: &str) -> Market {
    let lines = |url: &str| format!("endpoint = {{ url = \"{url}\" }}");
    Market::new(r#"{ auction = ["acme", "bolt"] }"#)
        .patient()
        .buyer("acme", "concurrency = 1\n")
        .target("acme", "acme", &lines(acme))
        .buyer("bolt", "concurrency = 1\n")
        .target("bolt", "bolt", &lines(bolt))
}

#[test]
fn the_same_request_again_gets_the_same_bytes() {
    let bidders = bidders([("acme", bid_after(2, "20.00")), ("bolt", bid_after(2, "25.00"))]);
    let exchange = Exchange::start(&market(&bidders.url("acme"), &bidders.url("bolt")));
    let first = exchange.route(&asked());
    assert_eq!(first.status, 200);
    for _ in 0..3 {
        assert_eq!(exchange.route(&asked()).body, first.body);
    }
    // Other words about the same call change nothing, and are no conflict.
    let mut more = asked();
    more["tags"] = json!({"case": "other"});
    assert_eq!(exchange.route(&more).body, first.body);
    // Whoever asked first hears before its answer is kept for others: a repeat in that moment still waits for it.
    let repeats = |kind: &str| exchange.metric("outcry_repeats_total", &format!("kind=\"{kind}\""));
    assert_eq!(repeats("known") + repeats("waited"), 4.0);

    // Another number under the same id gets the first answer, and is counted.
    for (key, value) in [("to", "+18005559999"), ("from", "+15125550124")] {
        let mut other = asked();
        other[key] = json!(value);
        assert_eq!(exchange.route(&other).body, first.body, "{key}");
    }
    assert_eq!(exchange.metric("outcry_repeats_total", r#"kind="conflict""#), 2.0);

    // After its end, too.
    let answer = first.json();
    exchange.talk(&answer, 95_000);
    assert_eq!(exchange.route(&asked()).body, first.body);
    assert_eq!((bidders.stats("acme").pings, bidders.stats("bolt").pings), (1, 1));
    assert_eq!(exchange.get("/api/v1/calls").json()["calls"].as_array().unwrap().len(), 1);
    exchange.finish();
}

#[test]
fn twenty_duplicates_at_once_wait_for_one_decision() {
    const AT_ONCE: usize = 20;
    let bidders = bidders([("acme", bid_after(150, "20.00")), ("bolt", bid_after(150, "25.00"))]);
    let exchange = Exchange::start(&market(&bidders.url("acme"), &bidders.url("bolt")));
    let start = Barrier::new(AT_ONCE);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            exchange.route(&asked())
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(answers[0].json()["reason"], "won");
    assert_eq!((bidders.stats("acme").pings, bidders.stats("bolt").pings), (1, 1));
    let repeats = exchange.metric("outcry_repeats_total", "");
    assert_eq!(repeats, (AT_ONCE - 1) as f64);
    assert_eq!(exchange.metric("outcry_repeats_total", "conflict"), 0.0);
    // One hold: a slot and a unit of the day each of bolt and of its target, limited or not.
    eventually("one hold is held", || (exchange.metric("outcry_holds_units", "") == 4.0).then_some(()));
    exchange.give_up(&answers[0].json());
    exchange.finish();
}

#[test]
fn a_connection_lost_before_the_answer_loses_nothing() {
    let bidders = bidders([("acme", bid_after(150, "20.00")), ("bolt", bid_after(150, "25.00"))]);
    let exchange = Exchange::start(&market(&bidders.url("acme"), &bidders.url("bolt")));
    let body = asked().to_string();
    let mut stream = connect(&exchange.traffic);
    let head = format!(
        "POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    eventually("the bidders are asked", || (bidders.stats("bolt").pings == 1).then_some(()));
    drop(stream);
    let retried = exchange.route(&asked());
    assert_eq!((retried.status, &retried.json()["reason"]), (200, &json!("won")));
    assert_eq!(exchange.route(&asked()).body, retried.body);
    assert_eq!((bidders.stats("acme").pings, bidders.stats("bolt").pings), (1, 1));
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 1.0);
    exchange.give_up(&retried.json());
    exchange.finish();
}
