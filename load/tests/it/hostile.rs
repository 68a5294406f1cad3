//! Every hostile reply does on the wire what its entry says, as far as a plain HTTP client can tell.

use std::fmt;
use std::time::Duration;

use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};
use load::client::{Answer, Fault};
use load::raw::{Hostile, hostile};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::bidders::{ping, ping_id};
use crate::plain_http;

#[tokio::test]
async fn each_entry_shows_its_fault() {
    let trap = Behaviour::NoBid { latency: Latency::Fixed(0), form: NoBidForm::Status204 };
    let trap = Bidders::start(1, vec![Script::new("trap", trap)]).unwrap();
    let entries = hostile(&trap.url("trap"));
    let scripts = entries.iter().map(|entry| Script::new(entry.name, entry.behaviour.clone())).collect();
    let bidders = Bidders::start(1, scripts).unwrap();
    let mut wrong = Vec::new();
    for (call, entry) in entries.iter().enumerate() {
        let slow = entry.expect.contains(&"timeout");
        let limit = Duration::from_millis(if slow { 250 } else { 10_000 });
        let call = call as u64;
        let result = plain_http::post(limit, &bidders.url(entry.name), ping(call)).await;
        if !fits(entry, &result, call) {
            let shown: String = format!("{result:?}").chars().take(300).collect();
            wrong.push(format!("{} {:?}: {shown}", entry.name, entry.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(trap.stats("trap").connections, 0);
}

/// Whether the client's view is one that can lead to an expected outcome.
fn fits(entry: &Hostile, result: &Result<Answer, Fault>, call: u64) -> bool {
    let may = |outcomes: &[&str]| entry.expect.iter().any(|expected| outcomes.contains(expected));
    match result {
        Err(Fault::Connect) => may(&["connect"]),
        Err(Fault::Timeout) => may(&["timeout"]),
        Err(Fault::TooLarge) => may(&["too_large"]),
        Err(Fault::Closed) => may(&["closed", "malformed", "too_large", "encoding", "connect"]),
        Err(Fault::Url) => false,
        Ok(answer) if answer.status == 200 => {
            let is_bid = is_plain_bid(&answer.body, &ping_id(call));
            // A correct bid must be expected as one, unless its head, its size or its lateness is the fault.
            let is_fine = may(&["bid", "late", "encoding", "too_large"]);
            if is_bid { is_fine } else { entry.expect != ["bid"] }
        }
        Ok(answer) if answer.status == 204 => may(&["no_bid"]),
        Ok(answer) if (300..400).contains(&answer.status) => may(&["redirect", "http_status"]),
        Ok(_) => may(&["http_status", "throttled"]),
    }
}

/// A bid of 25.50 for this ping, as a reader by the letter sees it.
fn is_plain_bid(body: &[u8], ping_id: &str) -> bool {
    let Ok(Fields(fields)) = serde_json::from_slice(body) else { return false };
    let is_once = |key: &str| fields.iter().filter(|(other, _)| other == key).count() == 1;
    let is_plain = |key: &str, value: &Value| match key {
        "bid" => is_price(value),
        "ping_id" => value == ping_id,
        "ttl_s" => value == 30,
        "currency" => value == "USD",
        key => !["destination", "min_duration_s"].contains(&key),
    };
    is_once("bid")
        && is_once("ping_id")
        && fields.iter().all(|(key, value)| is_once(key) && is_plain(key, value))
}

/// 25.50 when cut to cents.
fn is_price(value: &Value) -> bool {
    let number = match value {
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => text.parse().ok(),
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    number.is_some_and(|bid| (25.5..25.51).contains(&bid))
}

/// The fields of an object in their order, duplicates kept.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fields, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(FieldsVisitor)
    }
}
