//! kill -9: what a carrier was told is known afterwards, and nothing is known twice.

use serde_json::{Value, json};

use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::{Exchange, Market, request};

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn market() -> Market {
    Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"")
}

#[test]
fn an_acknowledged_end_is_booked_exactly_once() {
    let mut exchange = Exchange::start(&market());
    let mut answers = Vec::new();
    for round in 0..3 {
        let answer = exchange.decide(&ask(&format!("CA{round}")));
        exchange.talk(&answer, 95_000);
        answers.push(answer);
        exchange = exchange.crash_and_restart();
        for answer in &answers {
            let call = answer["call_id"].as_str().unwrap();
            let booked = exchange.ledger(call);
            assert_eq!(booked.len(), 3, "round {round}: {booked:?}");
            // The carrier did not hear the answer and says it again: nothing is booked twice.
            let event = json!({"event_id": "ended", "type": "ended", "attempt": 1, "at": "2026-11-20T09:01:40Z",
                "talk_ms": 95_000, "cause": "normal", "ended_by": "caller"});
            let path = Exchange::events_path(answer);
            let again = request(&exchange.traffic, "POST", &path, Some(KEY), event.to_string().as_bytes());
            assert_eq!(again.status, 200, "a call of before the crash is known");
            assert_eq!(exchange.ledger(call), booked);
            let explained = exchange.get(&format!("/api/v1/calls/{call}")).json();
            assert_eq!(explained["events"].as_array().unwrap().len(), 4);
            assert_eq!(explained["end"]["reason"], "billable");
            assert_eq!(explained["ledger"]["is_balanced"], true);
        }
        let pnl = exchange.cli(&["pnl", "--by", "buyer", "--format", "json"]);
        let pnl: Value = serde_json::from_slice(&pnl.stdout).unwrap();
        let calls = answers.len() as i64;
        let revenue = format!("{}.00", 20 * calls);
        assert_eq!(
            (&pnl[0]["billable"], &pnl[0]["revenue"], &pnl[0]["ended"]),
            (&json!(calls), &json!(revenue), &json!(calls))
        );
    }
    exchange.finish();
}

#[test]
fn calls_that_talk_while_it_crashes_go_on() {
    let exchange = Exchange::start(&market());
    let talking: Vec<Value> = (0..20).map(|n| exchange.decide(&ask(&format!("CA{n}")))).collect();
    for answer in &talking {
        exchange.report(answer, "bridged", 1_000, json!({}));
    }
    let exchange = exchange.crash_and_restart();
    // Every acknowledged event is there.
    for answer in &talking {
        let call = answer["call_id"].as_str().unwrap();
        let explained = exchange.get(&format!("/api/v1/calls/{call}")).json();
        assert_eq!(explained["events"][0]["type"], "bridged", "{explained:#}");
        assert_eq!(explained["decision"]["target"], "desk", "what an event is about is on disk before it");
        assert!(explained["end"].is_null() && exchange.ledger(call).is_empty());
    }
    let next = exchange.decide(&ask("CA-next"));
    for answer in talking.iter().chain([&next]) {
        exchange.talk(answer, 90_000);
        assert_eq!(exchange.ledger(answer["call_id"].as_str().unwrap()).len(), 3);
    }
    exchange.finish();
}

/// A day has its cap however often the exchange is started in it.
#[test]
fn a_daily_cap_counts_on_through_a_restart() {
    let market = Market::new(r#"{ sequential = ["desk", "other"] }"#)
        .buyer("acme", "daily_billable = 2\n")
        .target("desk", "acme", "price = \"20.00\"")
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"");
    let mut exchange = Exchange::start(&market);
    let billed = exchange.decide(&ask("CA1"));
    exchange.talk(&billed, 90_000);
    // In progress when the exchange ends: its unit is taken until it says what it was.
    let talking = exchange.decide(&ask("CA2"));
    exchange.report(&talking, "bridged", 1_000, json!({}));
    for round in 0..2 {
        exchange = exchange.crash_and_restart();
        let next = exchange.decide(&ask(&format!("CA-after-{round}")));
        let (reason, row) = exchange.outcome(next["call_id"].as_str().unwrap(), "desk");
        assert_eq!(reason, "cap", "round {round}: {row}");
        exchange.talk(&next, 1_000);
    }
    // Another name for the target is no new day for its buyer.
    let renamed = Market::new(r#"{ sequential = ["front", "other"] }"#)
        .buyer("acme", "daily_billable = 2\n")
        .target("front", "acme", "price = \"20.00\"")
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"");
    renamed.write_catalog(exchange.folder.path());
    exchange = exchange.crash_and_restart();
    let next = exchange.decide(&ask("CA-renamed"));
    assert_eq!(exchange.outcome(next["call_id"].as_str().unwrap(), "front").0, "cap");
    exchange.talk(&next, 1_000);
    // The carrier does not report it any more in this test, and does so here.
    exchange.give_up(&talking);
    exchange.finish();
}
