//! Reports of carriers: in any order, twice, incomplete, late.

use serde_json::{Value, json};

use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market, eventually};

fn market() -> Market {
    Market::new(r#""desk""#).buyer("acme", "concurrency = 50\n").target("desk", "acme", "price = \"20.00\"")
}

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

/// What is booked for a billable call of this market.
fn booked() -> Vec<(String, String)> {
    [("buyer:acme", "20.00"), ("publisher:pub", "-5.00"), ("exchange", "-15.00")]
        .map(|(account, amount)| (account.to_owned(), amount.to_owned()))
        .to_vec()
}

#[test]
fn order_and_repetition_change_nothing() {
    // Scenario 11: every order of the four reports, each twice.
    let exchange = Exchange::start(&market());
    let report = |answer: &Value, kind: &str| match kind {
        "ringing" => exchange.report(answer, kind, 1_000, json!({})),
        "answered" => exchange.report(answer, kind, 3_000, json!({})),
        "bridged" => exchange.report(answer, kind, 4_000, json!({})),
        _ => {
            let end = json!({"cause": "normal", "ended_by": "target", "talk_ms": 91_000});
            exchange.report(answer, kind, 95_000, end);
        }
    };
    let orders = [
        ["ringing", "answered", "bridged", "ended"],
        ["ended", "bridged", "answered", "ringing"],
        ["ended", "ringing", "answered", "bridged"],
        ["bridged", "ended", "ringing", "answered"],
    ];
    let mut ends = Vec::new();
    for (n, order) in orders.into_iter().enumerate() {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        for kind in order.into_iter().chain(order) {
            report(&answer, kind);
            report(&answer, kind);
        }
        assert_eq!(exchange.ledger(id(&answer)), booked(), "{order:?}");
        let explained = exchange.explained(id(&answer));
        assert_eq!(explained["events"].as_array().unwrap().len(), 4, "a repeated event is kept once");
        assert_eq!(explained["ledger"]["is_balanced"], true);
        let mut end = explained["end"].clone();
        end["ended_at"] = Value::Null;
        ends.push(end);
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:#?}");
    assert_eq!(exchange.metric("outcry_calls_ended_total", ""), 4.0);
    exchange.finish();
}

#[test]
fn a_repeated_end_under_another_id_books_nothing_more() {
    let exchange = Exchange::start(&market());
    let answer = exchange.decide(&ask("CA1"));
    exchange.talk(&answer, 100_000);
    for (event_id, talk_ms) in [("again", 100_000), ("longer", 400_000), ("shorter", 10)] {
        let end = json!({"event_id": event_id, "cause": "normal", "ended_by": "caller", "talk_ms": talk_ms});
        exchange.report(&answer, "ended", 105_000, end);
    }
    exchange.report(&answer, "call_ended", 106_000, json!({}));
    assert_eq!(exchange.ledger(id(&answer)), booked());
    assert_eq!(exchange.end(id(&answer))["talk_ms"], 100_000);
    exchange.finish();
}

#[test]
fn without_a_talk_time_the_carriers_own_times_count() {
    // Long wait for late events: with both times known there is nothing to wait for.
    let exchange = Exchange::start_with(&market(), "[calls]\nlate_events_s = 3600\n");
    for (n, (bridged, ended, reason)) in
        [(4_000, 94_000, "billable"), (4_000, 93_999, "too_short")].into_iter().enumerate()
    {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        exchange.report(&answer, "answered", 1_000, json!({}));
        exchange.report(&answer, "bridged", bridged, json!({}));
        exchange.report(&answer, "ended", ended, json!({"cause": "normal", "ended_by": "caller"}));
        let end = exchange.end(id(&answer));
        assert_eq!(
            (&end["reason"], &end["talk_ms"], &end["talk_source"]),
            (&json!(reason), &json!(ended - bridged), &json!("event_times"))
        );
    }
    // The end came first; the report that explains it comes later.
    let answer = exchange.decide(&ask("CA-late"));
    exchange.report(&answer, "ended", 100_000, json!({"cause": "normal", "ended_by": "caller"}));
    assert!(exchange.ledger(id(&answer)).is_empty());
    exchange.report(&answer, "bridged", 5_000, json!({}));
    assert_eq!(exchange.ledger(id(&answer)), booked());
    assert_eq!(exchange.end(id(&answer))["talk_ms"], 95_000);
    exchange.finish();
}

#[test]
fn an_end_that_nothing_explains_is_judged_after_the_wait() {
    for wait in [0, 1] {
        let exchange = Exchange::start_with(&market(), &format!("[calls]\nlate_events_s = {wait}\n"));
        // Answered but never bridged: derived, and said so.
        let derived = exchange.decide(&ask("CA1"));
        exchange.report(&derived, "answered", 2_000, json!({}));
        exchange.report(&derived, "ended", 97_000, json!({"cause": "normal", "ended_by": "caller"}));
        // Nothing but the end.
        let unknown = exchange.decide(&ask("CA2"));
        exchange.report(&unknown, "ended", 97_000, json!({"cause": "normal", "ended_by": "target"}));
        let end = exchange.end(id(&derived));
        assert_eq!(
            (&end["reason"], &end["talk_ms"], &end["talk_source"]),
            (&json!("billable"), &json!(95_000), &json!("derived"))
        );
        assert_eq!(exchange.ledger(id(&derived)), booked());
        let end = exchange.end(id(&unknown));
        assert_eq!(
            (&end["reason"], &end["connected"], &end["talk_source"]),
            (&json!("not_answered"), &json!(false), &json!("none"))
        );
        // What comes after the judgement is kept and changes nothing.
        exchange.report(&unknown, "bridged", 1_000, json!({}));
        assert!(exchange.ledger(id(&unknown)).is_empty());
        exchange.finish();
    }
}

#[test]
fn a_target_that_was_not_reached_has_its_reason() {
    // A failure may have ended a talk that is reported later: here nothing is waited for.
    let exchange = Exchange::start_with(&market(), "[calls]\nlate_events_s = 0");
    let table = [
        ("busy", "carrier", "busy"),
        ("no_answer", "carrier", "no_answer"),
        ("no_answer", "caller", "caller_abandon"),
        ("rejected", "target", "rejected"),
        ("failed", "carrier", "failed"),
        ("cancelled", "caller", "caller_abandon"),
        ("cancelled", "exchange", "not_answered"),
        ("cancelled", "unknown", "not_answered"),
    ];
    for (n, (cause, by, reason)) in table.into_iter().enumerate() {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        exchange.report(&answer, "ringing", 1_000, json!({}));
        exchange.report(&answer, "ended", 21_000, json!({"cause": cause, "ended_by": by}));
        let end = exchange.end(id(&answer));
        assert_eq!(
            (&end["reason"], &end["connected"], &end["billable"], &end["payable"], &end["ended_by"]),
            (&json!(reason), &json!(false), &json!(false), &json!(false), &json!(by)),
            "{cause} by {by}"
        );
        assert!(exchange.ledger(id(&answer)).is_empty());
    }
    assert_eq!(exchange.metric("outcry_calls_ended_total", r#"reason="caller_abandon""#), 2.0);
    exchange.finish();
}

#[test]
fn what_the_machine_has_no_use_for_is_kept() {
    let exchange = Exchange::start(&market());
    let answer = exchange.decide(&ask("CA1"));
    let recording =
        json!({"recording": {"id": "r1", "url": "https://x.example/r1", "channels": 2, "duration_ms": 5}});
    exchange.report(&answer, "recording", 1_000, recording);
    exchange.report(&answer, "digits", 1_100, json!({"digits": "1"}));
    exchange.report(&answer, "cost", 1_200, json!({"cost": {"amount": "0.01", "currency": "USD"}}));
    exchange.report(&answer, "call_ended", 2_000, json!({"attempt": null, "ended_by": "caller"}));
    exchange.give_up(&answer);
    let explained = exchange.explained(id(&answer));
    let kinds: Vec<&str> =
        explained["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["recording", "digits", "cost", "call_ended", "ended"]);
    assert_eq!(exchange.end(id(&answer))["reason"], "rejected");
    exchange.finish();
}

#[test]
fn an_event_that_is_answered_is_on_disk() {
    let exchange = Exchange::start(&market());
    let answer = exchange.decide(&ask("CA1"));
    exchange.report(&answer, "ringing", 1_000, json!({}));
    // No waiting here: the carrier was told.
    let explained = exchange.get(&format!("/api/v1/calls/{}", id(&answer))).json();
    assert_eq!(explained["events"][0]["type"], "ringing");
    exchange.give_up(&answer);
    eventually("the call is over", || (exchange.metric("outcry_calls_active", "") == 0.0).then_some(()));
    exchange.finish();
}

#[test]
fn times_of_a_broken_clock_break_nothing() {
    let exchange = Exchange::start_with(&market(), "[calls]\nlate_events_s = 0\n");
    let times = [
        ("0002-01-01T00:00:00Z", "9998-12-31T23:59:59.999Z"),
        ("9998-12-31T23:59:59.999Z", "0002-01-01T00:00:00Z"),
        ("2026-11-20T09:00:05+05:30", "2026-11-20T09:00:05-08:00"),
        ("2026-11-20T09:00:05Z", "2026-11-20T09:00:04Z"),
    ];
    for (n, (bridged, ended)) in times.into_iter().enumerate() {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        exchange.report(&answer, "bridged", 0, json!({"at": bridged}));
        exchange.report(&answer, "ended", 0, json!({"at": ended, "cause": "normal", "ended_by": "caller"}));
        let end = exchange.end(id(&answer));
        let talked = end["talk_ms"].as_u64().unwrap();
        assert_eq!(end["billable"].as_bool().unwrap(), talked >= 90_000, "{end}");
        let explained = exchange.explained(id(&answer));
        assert_eq!(explained["ledger"]["is_balanced"], true);
        // Every way to look at it still works.
        for args in [&["explain", id(&answer)][..], &["calls"], &["pnl"]] {
            assert!(exchange.cli(args).status.success(), "{bridged} {ended}");
        }
    }
    exchange.finish();
}
