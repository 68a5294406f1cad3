//! The walking skeleton: one call from the carrier's question to the ledger.

use load::bidders::{Behaviour, Bidders, Script};
use serde_json::json;

use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market};

#[test]
fn a_call_is_auctioned_answered_talked_and_booked() {
    let bid = |bid: &str| Behaviour::Fixed {
        latency_ms: 5,
        body: format!(r#"{{"ping_id":"$PING_ID","bid":"{bid}"}}"#),
    };
    let scripts = vec![Script::new("acme", bid("20.00")), Script::new("bolt", bid("25.50"))];
    let bidders = Bidders::start(1, scripts).unwrap();
    let market = Market::new(r#"{ auction = ["acme", "bolt"] }"#)
        .bidder("acme", &bidders.url("acme"))
        .bidder("bolt", &bidders.url("bolt"));
    let exchange = Exchange::start(&market);

    let asked =
        json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER, "tags": {"case": "collision"}});
    let answer = exchange.route(&asked);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(
        (&answer["action"], &answer["basis"], &answer["reason"], &answer["step"]),
        (&json!("dial"), &json!("auction"), &json!("won"), &json!(1))
    );
    assert_eq!(answer["targets"][0]["address"], "+15125550900");

    for (n, kind) in ["ringing", "answered", "bridged"].into_iter().enumerate() {
        let event = json!({"event_id": format!("e{n}"), "type": kind, "attempt": 1, "at": format!("2026-11-20T09:00:0{n}Z")});
        assert_eq!(exchange.event(&answer, &event).status, 200);
    }
    let ended = json!({"event_id": "e9", "type": "ended", "attempt": 1, "at": "2026-11-20T09:01:32Z", "talk_ms": 90_000,
        "cause": "normal", "ended_by": "caller"});
    assert_eq!(exchange.event(&answer, &ended).status, 200);

    // The ended event was answered, so its money is on disk now: no waiting.
    let ledger = exchange.get("/api/v1/ledger").json();
    let entries: Vec<(&str, &str)> = ledger["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["account"].as_str().unwrap(), entry["amount"].as_str().unwrap()))
        .collect();
    assert_eq!(entries, [("buyer:bolt", "25.50"), ("publisher:pub", "-5.00"), ("exchange", "-20.50")]);
    let call = answer["call_id"].as_str().unwrap();
    assert_eq!(exchange.outcome(call, "acme").0, "outbid");
    assert_eq!(exchange.outcome(call, "bolt").0, "won");
    exchange.finish();
}
