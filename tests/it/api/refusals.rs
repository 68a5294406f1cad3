//! Requests that are refused: which status, what the document says, and that nothing else happened.

use std::io::Write;

use serde_json::{Value, json};

use crate::support::http::{connect, raw, read};
use crate::support::market::{CALLER, KEY, NUMBER, OTHER_KEY};
use crate::support::{Answer, Exchange, Market, eventually, request};

fn start(settings: &str) -> Exchange {
    let market = Market::new(r#""desk""#).buyer("acme", "concurrency = 10\ndaily_billable = 10\n").target(
        "desk",
        "acme",
        "price = \"20.00\"",
    );
    Exchange::start_with(&market, settings)
}

/// A problem document with this status and code; its body.
fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body = answer.json();
    assert_eq!(body["type"], format!("urn:outcry:problem:{code}"));
    assert_eq!((&body["status"], &body["code"]), (&json!(status), &json!(code)));
    for text in ["title", "detail"] {
        assert!(body[text].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    }
    body
}

/// That `count` requests were refused with `code` and no call is known.
fn nothing_happened(exchange: Exchange, counts: &[(&str, f64)]) {
    for (code, count) in counts {
        let label = format!(r#"listener="call_traffic",code="{code}""#);
        assert_eq!(exchange.metric("outcry_requests_refused_total", &label), *count, "{code}");
    }
    let refused = exchange.metric("outcry_requests_refused_total", "call_traffic");
    assert_eq!(refused, counts.iter().map(|(_, count)| count).sum::<f64>());
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 0.0);
    assert_eq!(exchange.get("/api/v1/calls").json()["calls"], json!([]));
    assert_eq!(exchange.get("/api/v1/outcomes").json()["steps"], json!([]));
    exchange.finish();
}

fn route(exchange: &Exchange, body: &str) -> Answer {
    request(&exchange.traffic, "POST", "/v1/route", Some(KEY), body.as_bytes())
}

/// Where the faults of a document are.
fn places(body: &Value) -> Vec<&str> {
    body["errors"].as_array().unwrap().iter().map(|fault| fault["at"].as_str().unwrap()).collect()
}

#[test]
fn what_is_no_request_is_refused_with_every_fault_at_once() {
    let exchange = start("");
    let mut count = 0.0;
    let mut refuse = |body: &str| {
        count += 1.0;
        problem(&route(&exchange, body), 400, "invalid")
    };
    for body in
        ["", "{", "nonsense", "[]", "null", "7", "\"x\"", "{\"carrier_call_id\":\"CA1\",}", "{\"a\":1}}"]
    {
        let document = refuse(body);
        assert!(places(&document)[0].starts_with("body"), "{document}");
    }
    assert_eq!(places(&refuse("{}")), ["carrier_call_id", "to", "from"]);
    let wrong = json!({"carrier_call_id": 7, "to": "12", "from": ["x"], "withheld": "yes", "sub_id": 4, "geo": [],
        "stir": "A", "consent": true, "test": 1, "tags": {"list": [1], "object": {}}});
    let document = refuse(&wrong.to_string());
    // `withheld` that is neither true nor false does not excuse a caller.
    for place in
        ["carrier_call_id", "to", "from", "withheld", "sub_id", "geo", "stir", "consent", "test", "tags"]
    {
        assert!(places(&document).contains(&place), "{place} is not in {document:#}");
    }
    assert_eq!(places(&document).iter().filter(|place| **place == "tags").count(), 2);
    for verified in [json!("yes"), json!(true), json!({}), json!("")] {
        let call = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER, "stir": {"attest": "A", "verified": verified}});
        assert_eq!(places(&refuse(&call.to_string())), ["stir.verified"], "{verified}");
    }
    for fault in document["errors"].as_array().unwrap() {
        assert!(fault["allowed"].as_str().is_some_and(|allowed| !allowed.is_empty()));
    }
    let long = "x".repeat(129);
    let one = |key: &str, value: Value| {
        let mut asked = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER});
        asked[key] = value;
        asked.to_string()
    };
    let table = [
        ("carrier_call_id", json!("")),
        ("carrier_call_id", json!(long)),
        ("carrier_call_id", json!("a\nb")),
        ("carrier_call_id", Value::Null),
        ("to", json!("sip:nobody")),
        ("to", json!("8005550100")),
        ("from", json!(5125550123_u64)),
        ("from", Value::Null),
        ("sub_id", json!(long)),
        ("tags", json!({"k": "v".repeat(257)})),
        ("tags", json!({"k".repeat(41): "v"})),
        ("tags", Value::Object((0..51).map(|n| (format!("k{n}"), json!(n))).collect())),
    ];
    for (key, value) in table {
        assert_eq!(places(&refuse(&one(key, value.clone())))[0], key, "{value}");
    }
    nothing_happened(exchange, &[("invalid", count)]);
}

#[test]
fn a_refusal_repeats_nothing_personal() {
    let exchange = start("");
    let secret = "5125557391";
    let wrong = json!({"carrier_call_id": null, "to": format!("{secret}x"), "from": secret, "withheld": format!("+1{secret}"),
        "sub_id": [secret], "test": secret, "geo": secret, "tags": {format!("+1{secret}"): [1], "name": {"a": secret}}});
    let answer = route(&exchange, &wrong.to_string());
    problem(&answer, 400, "invalid");
    assert!(!answer.text().contains("5557391"), "{}", answer.text());
    // A body that is no JSON is not quoted either.
    let answer = route(&exchange, &format!("{{\"from\": \"{secret}\" oops"));
    assert!(!answer.text().contains("5557391"), "{}", answer.text());
    assert!(!exchange.log().join("\n").contains("5557391"));
    nothing_happened(exchange, &[("invalid", 2.0)]);
}

#[test]
fn who_may_not_ask_is_told_so() {
    let exchange = start("");
    let body = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}).to_string();
    let ask = |key: Option<&str>| request(&exchange.traffic, "POST", "/v1/route", key, body.as_bytes());
    for key in [None, Some("nobody's"), Some("")] {
        let answer = ask(key);
        problem(&answer, 401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let basic = format!(
        "POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Basic abc\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    problem(&raw(&exchange.traffic, basic.as_bytes()), 401, "unauthorized");
    nothing_happened(exchange, &[("unauthorized", 4.0)]);
}

#[test]
fn wrong_paths_and_methods_are_named() {
    let exchange = start("");
    let ask = |method, path| request(&exchange.traffic, method, path, Some(KEY), b"{}");
    for method in ["GET", "PUT", "DELETE"] {
        let answer = ask(method, "/v1/route");
        problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    problem(&ask("GET", "/v1/calls/x/events/y"), 405, "method_not_allowed");
    for path in [
        "/",
        "/v1",
        "/v1/route/",
        "/v2/route",
        "/v1/calls/x/events",
        "/metrics",
        "/api/v1/calls",
        "//v1/route",
    ] {
        problem(&ask("POST", path), 404, "not_found");
    }
    nothing_happened(exchange, &[("method_not_allowed", 4.0), ("not_found", 8.0)]);
}

#[test]
fn an_oversize_body_is_refused_and_its_connection_closed() {
    let exchange = start("[limits]\nbody_bytes = 1024\n");
    let head = |more: &str| {
        format!("POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n{more}\r\n\r\n")
    };
    // Announced: refused before a byte of it came.
    let mut stream = connect(&exchange.traffic);
    stream.write_all(head("content-length: 1025").as_bytes()).unwrap();
    let answer = read(&mut stream);
    problem(&answer, 413, "too_large");
    assert_eq!(answer.header("connection"), Some("close"));
    // In pieces, of which nobody said how many come.
    let mut stream = connect(&exchange.traffic);
    stream.write_all(head("transfer-encoding: chunked").as_bytes()).unwrap();
    let piece = format!("200\r\n{}\r\n", " ".repeat(512));
    for _ in 0..3 {
        let _ = stream.write_all(piece.as_bytes());
    }
    let answer = read(&mut stream);
    problem(&answer, 413, "too_large");
    assert_eq!(answer.header("connection"), Some("close"));
    nothing_happened(exchange, &[("too_large", 2.0)]);
}

#[test]
fn a_body_of_the_largest_size_and_in_pieces_is_taken() {
    let exchange = start("[limits]\nbody_bytes = 1024\n");
    let mut body = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}).to_string();
    body.push_str(&" ".repeat(1_024 - body.len()));
    assert_eq!(route(&exchange, &body).status, 200);
    let (a, b) = body.split_at(100);
    let chunked = format!(
        "POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\
         connection: close\r\n\r\n{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n",
        a.len(),
        b.len()
    );
    let answer = raw(&exchange.traffic, chunked.as_bytes());
    assert_eq!(answer.status, 200);
    exchange.give_up(&answer.json());
    exchange.finish();
}

#[test]
fn a_slow_peer_is_told_and_left() {
    let exchange = start("[limits]\nhead_ms = 200\nbody_ms = 200\n");
    // A head that never ends.
    let mut stream = connect(&exchange.traffic);
    stream.write_all(b"POST /v1/route HTTP/1.1\r\nhost: x\r\n").unwrap();
    problem(&read(&mut stream), 408, "timeout");
    // A body that never ends.
    let mut stream = connect(&exchange.traffic);
    let head = format!(
        "POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 500\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let answer = read(&mut stream);
    problem(&answer, 408, "timeout");
    assert_eq!(answer.header("connection"), Some("close"));
    // A body that ends early gets no call either.
    let mut stream = connect(&exchange.traffic);
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    eventually("all connections are over", || {
        let open = exchange.metric("outcry_listener_connections", r#"listener="call_traffic""#);
        (open == 0.0).then_some(())
    });
    let refused = |code: &str| {
        exchange.metric("outcry_requests_refused_total", &format!(r#"listener="call_traffic",code="{code}""#))
    };
    assert_eq!(refused("timeout"), 2.0);
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 0.0);
    exchange.finish();
}

#[test]
fn an_event_is_taken_only_from_who_may_report_it() {
    let exchange = start("");
    let answer = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}));
    let path = Exchange::events_path(&answer);
    let event = |attempt: u32| {
        json!({"event_id": "e1", "type": "ended", "attempt": attempt, "at": "2026-11-20T09:00:00Z", "cause": "busy"})
            .to_string()
    };
    let post = |path: &str, key, body: &str| request(&exchange.traffic, "POST", path, key, body.as_bytes());
    problem(&post(&path, Some(OTHER_KEY), &event(1)), 403, "forbidden");
    problem(&post(&path, Some("nobody's"), &event(1)), 401, "unauthorized");
    let (front, token) = path.rsplit_once('/').unwrap();
    let last = if token.ends_with('0') { "1" } else { "0" };
    let near = format!("{front}/{}{last}", &token[..31]);
    let call = answer["call_id"].as_str().unwrap();
    let elsewhere =
        path.replace(call, &format!("{}{}", &call[..25], if call.ends_with('0') { "1" } else { "0" }));
    let bad_paths = [
        near,
        elsewhere,
        format!("{front}/{}", &token[1..]),
        format!("{front}/+{}", &token[1..]),
        format!("{front}/"),
    ];
    for path in &bad_paths {
        problem(&post(path, None, &event(1)), 404, "not_found");
    }
    for attempt in [0, 2, 100] {
        let document = problem(&post(&path, None, &event(attempt)), 400, "invalid");
        assert_eq!(document["errors"][0]["at"], "attempt");
    }
    let document = problem(&post(&path, None, "{}"), 400, "invalid");
    assert_eq!(places(&document), ["event_id", "at", "type"]);
    let wrong = json!({"event_id": "e", "type": "ended", "at": "yesterday", "talk_ms": -1, "cause": "bored", "ended_by": 3});
    let document = problem(&post(&path, None, &wrong.to_string()), 400, "invalid");
    for place in ["at", "talk_ms", "cause", "ended_by", "attempt"] {
        assert!(places(&document).contains(&place), "{place} is not in {document:#}");
    }
    // Nothing of all this is known of the call, and it still waits for its end.
    let explained = exchange.explained(call);
    assert_eq!((&explained["events"], &explained["end"]), (&json!([]), &Value::Null));
    assert_eq!(exchange.metric("outcry_events_total", ""), 0.0);
    for (code, count) in [("forbidden", 1.0), ("unauthorized", 1.0), ("not_found", 5.0), ("invalid", 5.0)] {
        let label = format!(r#"listener="call_traffic",code="{code}""#);
        assert_eq!(exchange.metric("outcry_requests_refused_total", &label), count, "{code}");
    }
    // Its own key is as good as none.
    assert_eq!(post(&path, Some(KEY), &event(1)).status, 200);
    exchange.finish();
}

#[test]
fn without_room_for_another_call_the_carrier_is_sent_away_at_once() {
    let exchange = start("[limits]\nlive_calls = 1\n");
    let ask = |id: &str| json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER});
    let first = exchange.route(&ask("CA1"));
    let refused = exchange.route(&ask("CA2"));
    problem(&refused, 503, "unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(exchange.route(&ask("CA1")).body, first.body, "a repeat needs no room");
    exchange.give_up(&first.json());
    exchange.finish();
}
