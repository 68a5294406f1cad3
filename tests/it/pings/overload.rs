//! More calls than a worker can decide: first nobody is asked, then new calls are refused; calls in progress are served.
//!
//! How much goodput that leaves is shown in a model beside `exchange::admission`; here, that the exchange does so at all.

use std::io::Write;
use std::net::TcpStream;

use load::bidders::Bidders;
use serde_json::json;

use super::{bidder, call, hang_up, one_worker, outcome};
use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::{Exchange, Market, eventually};

/// Connections of one wave, and requests on each.
const WAVE: (usize, usize) = (150, 40);

fn start(bidders: &Bidders, limits: &str) -> Exchange {
    let market = Market::new(r#"{ sequential = [{ auction = ["a"] }, "desk"] }"#)
        .campaign("deadline_ms = 900\npayout = { fixed = \"5.00\" }")
        .bidder("a", &bidders.url("a"))
        .buyer("desk", "")
        .target("desk", "desk", "price = \"12.00\"\naddress = \"+15125550901\"");
    Exchange::start_as(&market, &format!("{}[limits]\n{limits}", one_worker()))
}

/// Calls to a number that nobody has, all at once; their answers are in the connections.
fn wave(exchange: &Exchange) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for at in 0..WAVE.0 {
        let mut requests = Vec::new();
        for n in 0..WAVE.1 {
            let body =
                json!({"carrier_call_id": format!("wave-{at}-{n}"), "to": "+18005550199", "from": CALLER})
                    .to_string();
            let head = format!(
                "POST /v1/route HTTP/1.1\r\nhost: exchange\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            requests.extend_from_slice(head.as_bytes());
            requests.extend_from_slice(body.as_bytes());
        }
        let mut stream = TcpStream::connect(&exchange.traffic).unwrap();
        stream.write_all(&requests).unwrap();
        connections.push(stream);
    }
    connections
}

/// Everything is as it was: a call gets its auction.
fn calm(exchange: &Exchange) {
    let mut n = 0;
    eventually("a bid wins again", || {
        n += 1;
        let asked = json!({"carrier_call_id": format!("calm-{n}"), "to": NUMBER, "from": CALLER});
        let answer = exchange.route(&asked);
        (answer.status == 200).then(|| hang_up(exchange, &answer.json()))?;
        (outcome(exchange, &answer.json(), "a") == "won 20.00").then_some(())
    });
}

#[test]
fn a_late_worker_asks_nobody_and_answers_all_the_same() {
    let bidders = Bidders::start(1, vec![bidder("a", 5, 2_000)]).unwrap();
    let exchange = start(&bidders, "auction_delay_ms = 1\nanswer_delay_ms = 60000\n");
    let answer = eventually("a call comes while the worker is late", || {
        let connections = wave(&exchange);
        let answer = call(&exchange);
        hang_up(&exchange, &answer);
        drop(connections);
        (outcome(&exchange, &answer, "a") == "overload").then_some(answer)
    });
    assert_eq!((&answer["basis"], &answer["reason"]), (&json!("static"), &json!("static")));
    assert_eq!(answer["targets"][0]["address"], "+15125550901");
    assert_eq!(outcome(&exchange, &answer, "desk"), "won 12.00");
    assert!(exchange.metric("outcry_auctions_shed_total", r#"cause="delay""#) >= 1.0);
    assert_eq!(exchange.metric("outcry_auctions_shed_total", r#"cause="decisions""#), 0.0);
    assert_eq!(exchange.metric("outcry_requests_refused_total", "overloaded"), 0.0);
    calm(&exchange);
    exchange.finish();
}

#[test]
fn a_worker_that_cannot_even_answer_refuses_new_calls_and_serves_those_it_has() {
    let bidders = Bidders::start(1, vec![bidder("a", 5, 2_000)]).unwrap();
    let exchange = start(&bidders, "auction_delay_ms = 1\nanswer_delay_ms = 1\n");
    let known = json!({"carrier_call_id": "known", "to": NUMBER, "from": CALLER});
    let first = exchange.route(&known);
    let held = first.json();
    let ringing =
        |id: &str| json!({"event_id": id, "type": "ringing", "attempt": 1, "at": "2026-11-20T09:00:00Z"});
    let mut n = 0;
    let refused = eventually("a call comes while the worker is late", || {
        n += 1;
        let connections = wave(&exchange);
        let body = json!({"carrier_call_id": format!("refused-{n}"), "to": NUMBER, "from": CALLER});
        let answer = exchange.route(&body);
        // Never refused, however late we are: its caller is being sent somewhere by the answer that we gave.
        let repeated = exchange.route(&known);
        assert_eq!((repeated.status, &repeated.body), (200, &first.body));
        // Nor this: it is money.
        assert_eq!(exchange.event(&held, &ringing(&format!("ring-{n}"))).status, 200);
        drop(connections);
        if answer.status == 200 {
            hang_up(&exchange, &answer.json());
        }
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("overloaded")));
    assert!(exchange.metric("outcry_requests_refused_total", "overloaded") >= 1.0);
    eventually("calls are taken again", || {
        let answer = exchange.route(&json!({"carrier_call_id": "again", "to": NUMBER, "from": CALLER}));
        (answer.status == 200).then(|| hang_up(&exchange, &answer.json()))
    });
    hang_up(&exchange, &held);
    calm(&exchange);
    exchange.finish();
}
