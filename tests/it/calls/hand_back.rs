//! A buyer hands a call back: who may, until when, what it costs, and where the caller goes then.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::http::Answer;
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market, eventually, request};

const WAITING: &str = "[calls]\nnext_within_s = 60\n";
const KEYS: [&str; 2] = ["key-of-one", "key-of-two"];

/// Two fixed prices, tried in order; talks that end early are no reason to go on.
fn market(one: &str, target: &str) -> Market {
    let digest = |key: &str| -> String {
        Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let key = |key: &str| format!("key_digest = \"sha256:{}\"\n", digest(key));
    Market::new(r#"{ sequential = ["one", "two"] }"#)
        .campaign("recovery_s = 0\npayout = { fixed = \"5.00\" }")
        .buyer("one", &format!("{}{one}", key(KEYS[0])))
        .target("one", "one", &format!("address = \"+15125550901\"\nprice = \"20.00\"\n{target}"))
        .buyer("two", &key(KEYS[1]))
        .target("two", "two", "address = \"+15125550902\"\nprice = \"21.00\"\nconcurrency = 1")
}

fn decide(exchange: &Exchange, id: &str) -> Value {
    exchange.decide(&json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER}))
}

fn hand_back(exchange: &Exchange, key: Option<&str>, body: &Value) -> Answer {
    request(&exchange.traffic, "POST", "/v1/hand-back", key, body.to_string().as_bytes())
}

fn by_id(answer: &Value) -> Value {
    json!({"call_id": answer["call_id"], "reason": "no agent, call +1 512 555 0123"})
}

fn talk(ms: u64) -> Value {
    json!({"cause": "normal", "ended_by": "target", "talk_ms": ms})
}

#[test]
fn a_call_handed_back_costs_nothing_and_goes_on() {
    let exchange = Exchange::start_with(&market("", "concurrency = 1\ndaily_billable = 1"), WAITING);
    let first = decide(&exchange, "CA1");
    exchange.report(&first, "bridged", 1_000, json!({}));
    let back = hand_back(&exchange, Some(KEYS[0]), &by_id(&first));
    assert_eq!((back.status, back.text().as_str()), (200, "{}"));
    // It is said once more, and the buyer lets go; what it was told is on disk.
    assert_eq!(hand_back(&exchange, Some(KEYS[0]), &json!({"caller": CALLER})).status, 200);
    let exchange = exchange.crash_and_restart();
    let second = exchange.go_on(&first, talk(9_000));
    assert_eq!(second["targets"][0]["address"], "+15125550902", "{second}");
    exchange.go_on(&second, talk(95_000));
    let call = first["call_id"].as_str().unwrap();
    let explained = exchange.explained(call);
    let reason = |n: usize| explained["attempts"][n]["end"]["reason"].clone();
    assert_eq!((reason(0), reason(1)), (json!("handed_back"), json!("billable")));
    let booked = [("buyer:two", "21.00"), ("publisher:pub", "-5.00"), ("exchange", "-16.00")];
    assert_eq!(exchange.ledger(call), booked.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let events = explained["events"].as_array().unwrap();
    let told = events.iter().find(|event| event["type"] == "handed_back").expect("it is among the events");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.starts_with("no agent") && !detail.contains("0123"), "{detail}");
    // The slot and the unit of the day are free again.
    let next = decide(&exchange, "CA2");
    assert_eq!(next["targets"][0]["address"], "+15125550901");
    exchange.talk(&next, 1_000);
    exchange.finish();
}

#[test]
fn a_buyer_that_keeps_the_caller_has_handed_nothing_back() {
    let exchange = Exchange::start_with(&market("", ""), WAITING);
    let first = decide(&exchange, "CA1");
    exchange.report(&first, "bridged", 1_000, json!({}));
    assert_eq!(hand_back(&exchange, Some(KEYS[0]), &by_id(&first)).status, 200);
    let last = exchange.go_on(&first, talk(95_000));
    assert_eq!((&last["action"], &last["reason"]), (&json!("hangup"), &json!("billable")));
    exchange.finish();
}

#[test]
fn who_may_hand_back_what_and_until_when() {
    let exchange = Exchange::start_with(&market("", "min_duration_s = 0"), WAITING);
    let first = decide(&exchange, "CA1");
    let refused = |key: Option<&str>, body: &Value, status: u16, detail: &str| {
        let answer = hand_back(&exchange, key, body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(detail), "{}", answer.text());
    };
    refused(None, &by_id(&first), 401, "the buyer's key");
    refused(Some("another"), &by_id(&first), 401, "the buyer's key");
    refused(Some(KEYS[1]), &by_id(&first), 404, "No such call is with you");
    refused(Some(KEYS[1]), &json!({"caller": CALLER}), 404, "No such call is with you");
    refused(Some(KEYS[0]), &json!({}), 400, "call_id");
    refused(Some(KEYS[0]), &json!({"caller": "512"}), 400, "+15125550123");
    // While it rings it may go back however short a billable talk is.
    assert_eq!(hand_back(&exchange, Some(KEYS[0]), &by_id(&first)).status, 200);
    let other = decide(&exchange, "CA2");
    refused(Some(KEYS[0]), &json!({"caller": CALLER}), 409, "Several calls");
    exchange.report(&other, "bridged", 1_000, json!({}));
    refused(Some(KEYS[0]), &by_id(&other), 409, "billable");
    exchange.talk(&other, 95_000);
    refused(Some(KEYS[0]), &by_id(&other), 404, "No such call");
    let second = exchange.go_on(&first, json!({"cause": "rejected", "ended_by": "target"}));
    refused(Some(KEYS[0]), &by_id(&first), 404, "No such call is with you");
    exchange.go_on(&second, talk(95_000));
    exchange.finish();

    let exchange = Exchange::start_with(&market("hand_back_s = 0", ""), WAITING);
    let first = decide(&exchange, "CA1");
    assert_eq!(hand_back(&exchange, Some(KEYS[0]), &by_id(&first)).status, 409);
    exchange.talk(&first, 95_000);
    exchange.finish();
}

#[test]
fn a_target_takes_over_from_so_many_others() {
    let market = market("", "").target(
        "three",
        "two",
        "address = \"+15125550903\"\nprice = \"22.00\"\nearlier_attempts = 1",
    );
    let market = market
        .plan("root = { sequential = [\"one\", \"two\", \"three\"] }\nterminal = { hangup = \"busy\" }");
    let exchange = Exchange::start_with(&market, WAITING);
    let busy = || json!({"cause": "busy", "ended_by": "target"});
    let first = decide(&exchange, "CA1");
    let second = exchange.go_on(&first, busy());
    assert_eq!(second["targets"][0]["address"], "+15125550902");
    let third = exchange.go_on(&second, busy());
    assert_eq!((&third["action"], &third["reason"]), (&json!("hangup"), &json!("no_taker")));
    let call = first["call_id"].as_str().unwrap();
    let outcome = eventually("the step is on disk", || {
        Some(exchange.explained(call)["steps"][2]["outcomes"][0].clone()).filter(Value::is_object)
    });
    let told = ["target", "reason", "note"].map(|key| outcome[key].as_str().unwrap_or("").to_owned());
    assert_eq!(told, ["three", "earlier_attempts", "2"]);
    exchange.finish();
}
