//! Connections: kept, crowded, and used by peers that are careless with HTTP and JSON.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::support::bids::{bid_after, bidders};
use crate::support::http::{connect, raw, read};
use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::{Exchange, Market, eventually, request};

fn market() -> Market {
    Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"")
}

fn post(path: &str, more: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n{more}\r\n{body}",
        body.len()
    )
}

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

#[test]
fn one_connection_carries_many_requests_refused_ones_included() {
    let exchange = Exchange::start(&market());
    let mut stream = connect(&exchange.traffic);
    let (first, last) = (ask("CA1").to_string(), ask("CA2").to_string());
    // Written at once; the answers come in the same order.
    let requests = [
        post("/v1/route", "", &first),
        post("/v1/route", "", "{}"),
        post("/nothing", "", "{}"),
        post("/v1/route", "", &first),
        post("/v1/route", "connection: close\r\n", &last),
    ];
    stream.write_all(requests.concat().as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let statuses: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "400", "404", "200", "200"]);
    for id in ["CA1", "CA2"] {
        exchange.give_up(&exchange.decide(&ask(id)));
    }
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 2.0);
    exchange.finish();
}

#[test]
fn above_its_limit_a_listener_closes_at_once() {
    let exchange = Exchange::start_edited(&market(), |text| {
        text.replace("[call_traffic]\n", "[call_traffic]\nconnections = 2\n")
    });
    let held: Vec<_> = (0..2).map(|_| connect(&exchange.traffic)).collect();
    let mut third = connect(&exchange.traffic);
    let mut nothing = Vec::new();
    // Closed at once, with a word where there is time for one: a carrier takes its fallback.
    let _ = third.read_to_end(&mut nothing);
    assert!(nothing.is_empty() || nothing.starts_with(b"HTTP/1.1 503"));
    assert_eq!(exchange.metric("outcry_connections_refused_total", "call_traffic"), 1.0);
    drop(held);
    let answer = eventually("there is room again", || {
        let mut stream = connect(&exchange.traffic);
        let body = ask("CA1").to_string();
        stream.write_all(post("/v1/route", "connection: close\r\n", &body).as_bytes()).ok()?;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        if head.starts_with("HTTP/1.1 503") {
            return None;
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Some(serde_json::from_str::<Value>(body).unwrap())
    });
    // A carrier sees a connection closed before its place is free.
    let ended = json!({
        "event_id": "ended", "type": "ended", "at": "2026-11-20T09:00:01Z", "attempt": 1,
        "cause": "rejected", "ended_by": "carrier",
    });
    eventually("there is room for its end", || {
        let taken = exchange.event(&answer, &ended).status;
        assert!([200, 503].contains(&taken), "{taken}");
        (taken == 200).then_some(())
    });
    exchange.finish();
}

#[test]
fn beyond_its_decisions_it_answers_from_the_ring_tree() {
    let bidders = bidders([("slow", bid_after(400, "30.00"))]);
    let endpoint = format!("endpoint = {{ url = \"{}\" }}", bidders.url("slow"));
    let market = Market::new(r#"{ sequential = [{ auction = ["slow"] }, "desk"] }"#)
        .patient()
        .buyer("slow", "")
        .target("slow", "slow", &endpoint)
        .buyer("acme", "")
        .target("desk", "acme", "price = \"20.00\"");
    let exchange = Exchange::start_with(&market, "[limits]\ndecisions = 1\n");
    // Repeated on a machine so busy that the first auction ends before the second call comes.
    let mut n = 0;
    eventually("a call comes while another is decided", || {
        n += 1;
        let pings = bidders.stats("slow").pings;
        let (first, second) = std::thread::scope(|scope| {
            let deciding = scope.spawn(|| exchange.decide(&ask(&format!("first-{n}"))));
            eventually("the bidder is asked", || (bidders.stats("slow").pings > pings).then_some(()));
            let second = exchange.decide(&ask(&format!("second-{n}")));
            (deciding.join().unwrap(), second)
        });
        let is_proof = first["reason"] == "won" && second["reason"] == "static";
        if is_proof {
            let call = second["call_id"].as_str().unwrap();
            assert_eq!(exchange.outcome(call, "slow").0, "overload");
            assert_eq!(exchange.outcome(call, "desk").0, "won");
        }
        exchange.give_up(&first);
        exchange.give_up(&second);
        is_proof.then_some(())
    });
    exchange.finish();
}

#[test]
fn bodies_of_every_oddity_get_an_answer() {
    let exchange = Exchange::start(&market());
    let refuse = |body: &[u8]| {
        let answer = request(&exchange.traffic, "POST", "/v1/route", Some(KEY), body);
        assert_eq!((answer.status, answer.json()["code"].clone()), (400, json!("invalid")));
    };
    refuse(&[0xff, 0xfe, 0x00]);
    refuse("[".repeat(60_000).as_bytes());
    refuse("{\"a\":".repeat(10_000).as_bytes());
    refuse(b"{\"carrier_call_id\":\"\xff\",\"to\":\"+18005550100\",\"from\":\"+15125550123\"}");
    refuse(b"{\"carrier_call_id\":\"\\ud800\",\"to\":\"+18005550100\",\"from\":\"+15125550123\"}");
    refuse(b"1e999999");
    refuse(b"\xef\xbb\xbf{}");
    // Odd, but JSON: an id with quotes, a tag of every script, numbers no double can hold.
    let odd = r#"{"carrier_call_id":"'; DROP TABLE call; --\"","to":"+18005550100","from":"+15125550123",
        "tags":{"ключ":"значение","n":123456789012345678901234567890.5,"e":1e300,"emoji":"☎️","nothing":null}}"#;
    let answer = request(&exchange.traffic, "POST", "/v1/route", Some(KEY), odd.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let explained = exchange.explained(answer["call_id"].as_str().unwrap());
    assert_eq!(explained["decision"]["carrier_call_id"], "'; DROP TABLE call; --\"");
    assert_eq!(explained["steps"][0]["tags"]["ключ"], "значение");
    exchange.give_up(&answer);
    exchange.finish();
}

#[test]
fn what_is_no_http_ends_its_connection_only() {
    let exchange = Exchange::start(&market());
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\n\r\n",
    ] {
        let mut stream = connect(&exchange.traffic);
        stream.write_all(garbage).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let said = String::from_utf8_lossy(&bytes);
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("urn:outcry:problem:invalid"), "{said}");
        assert_eq!(said.matches("HTTP/1.1").count(), 2, "one answer, which names the protocol: {said}");
    }
    // Garbage behind a good request, in one packet: the answer, then the word about the rest.
    let mut stream = connect(&exchange.traffic);
    let both = [post("/v1/route", "", "{}").into_bytes(), b"\x16\x03\x01 nonsense\r\n\r\n".to_vec()].concat();
    stream.write_all(&both).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let said = String::from_utf8_lossy(&bytes);
    assert_eq!(said.matches("urn:outcry:problem:invalid").count(), 2, "{said}");
    let long = format!("POST /v1/route HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(20_000));
    let answer = raw(&exchange.traffic, long.as_bytes());
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("too_large")));
    let mut stream = connect(&exchange.traffic);
    let body = ask("CA1").to_string();
    // What large clients send before a body: they wait for the go-ahead.
    let head = post("/v1/route", "expect: 100-continue\r\nconnection: close\r\n", &body);
    stream.write_all(head.strip_suffix(&body).unwrap().as_bytes()).unwrap();
    let mut ahead = [0; 25];
    stream.read_exact(&mut ahead).unwrap();
    assert_eq!(&ahead, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    let answer = read(&mut stream);
    assert_eq!(answer.status, 200);
    exchange.give_up(&answer.json());
    exchange.finish();
}

#[test]
fn the_scheme_of_a_key_is_written_in_any_case() {
    let exchange = Exchange::start(&market());
    let body = ask("CA1").to_string();
    for scheme in ["bearer", "BEARER", "Bearer "] {
        let request = post("/v1/route", "connection: close\r\n", &body).replace("Bearer", scheme);
        assert_eq!(raw(&exchange.traffic, request.as_bytes()).status, 200, "{scheme:?}");
    }
    let request = post("/v1/route", "connection: close\r\n", &body).replace("Bearer ", "Bearer");
    assert_eq!(raw(&exchange.traffic, request.as_bytes()).status, 401);
    exchange.give_up(&exchange.decide(&ask("CA1")));
    exchange.finish();
}
