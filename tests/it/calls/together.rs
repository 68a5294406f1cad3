//! Several targets ring at once: one hold each, the first that has the caller takes the call, the others are free at once.

use serde_json::{Value, json};

use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market};

const WAITING: &str = "[calls]\nnext_within_s = 60\nlate_events_s = 5\n";

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

/// Two that ring at once with room for one call each, a third for one call behind them, and a desk without a limit.
fn market(answer: &str) -> Market {
    let root = format!(
        "{{ sequential = [{{ simultaneous = [\"one\", \"two\"], answer = \"{answer}\" }}, \"three\", \"desk\"] }}"
    );
    let mut market = Market::new(&root).campaign("payout = { fixed = \"5.00\" }\nattempts = 3");
    for (n, name) in ["one", "two", "three"].into_iter().enumerate() {
        let lines = format!(
            "address = \"+1512555090{n}\"\nprice = \"{}.00\"\nconcurrency = 1\ndaily_billable = 5",
            20 + n
        );
        market = market.buyer(name, "").target(name, name, &lines);
    }
    market.target("desk", "one", "address = \"+15125550909\"\nprice = \"11.00\"")
}

fn dialled(answer: &Value) -> Vec<(u64, &str)> {
    let targets = answer["targets"].as_array().unwrap().iter();
    targets.map(|one| (one["attempt"].as_u64().unwrap(), one["address"].as_str().unwrap())).collect()
}

fn tell(exchange: &Exchange, answer: &Value, kind: &str, attempt: u32, at_ms: i64, more: Value) {
    let mut told = json!({"attempt": attempt, "event_id": format!("{kind}-{attempt}")});
    told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    exchange.report(answer, kind, at_ms, told);
}

/// Target and reason of each attempt of a call that is over, in their order.
fn attempts(exchange: &Exchange, call: &str) -> Vec<(String, String)> {
    exchange.end(call);
    let explained = exchange.explained(call);
    let text = |value: &Value| value.as_str().unwrap_or("open").to_owned();
    let attempts = explained["attempts"].as_array().unwrap().iter();
    attempts.map(|one| (text(&one["target"]), text(&one["end"]["reason"]))).collect()
}

/// The caller of a call with one attempt leaves.
fn leave(exchange: &Exchange, answer: &Value) {
    exchange.report(answer, "ended", 1_000, json!({"cause": "cancelled", "ended_by": "caller"}));
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn the_first_that_is_bridged_takes_the_call_and_the_others_are_free_at_once() {
    let exchange = Exchange::start_with(&market("screen"), WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(dialled(&first), [(1, "+15125550900"), (2, "+15125550901")]);
    assert_eq!((&first["mode"], &first["basis"]), (&json!("all_at_once"), &json!("static")));
    let screen = json!({"say": "You have a call. Press 1 to take it.", "digits": "1", "wait_s": 8});
    assert_eq!((&first["targets"][0]["screen"], &first["targets"][1]["screen"]), (&screen, &screen));
    // Both are held: the next call goes to the third.
    let second = exchange.decide(&ask("CA2"));
    assert_eq!(dialled(&second), [(1, "+15125550902")]);
    assert_eq!((&second["mode"], &second["targets"][0]["screen"]), (&json!("one_at_a_time"), &Value::Null));
    leave(&exchange, &second);

    for attempt in [1, 2] {
        tell(&exchange, &first, "ringing", attempt, 500, json!({}));
    }
    tell(&exchange, &first, "answered", 1, 4_000, json!({}));
    tell(&exchange, &first, "answered", 2, 4_500, json!({}));
    tell(&exchange, &first, "bridged", 2, 6_000, json!({}));
    // The one that was not quick enough is free, screened like before though it is alone now.
    let third = exchange.decide(&ask("CA3"));
    assert_eq!(dialled(&third), [(1, "+15125550900")]);
    assert_eq!((&third["mode"], &third["targets"][0]["screen"]), (&json!("one_at_a_time"), &screen));
    // Whatever is reported of it any more is no news, a talk least of all.
    tell(&exchange, &first, "bridged", 1, 6_100, json!({}));
    tell(
        &exchange,
        &first,
        "ended",
        1,
        99_000,
        json!({"cause": "normal", "ended_by": "caller", "talk_ms": 92_000}),
    );
    assert_eq!(exchange.ledger(id(&first)), []);
    tell(
        &exchange,
        &first,
        "ended",
        2,
        101_000,
        json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000}),
    );
    let booked = pairs(&[("buyer:two", "21.00"), ("publisher:pub", "-5.00"), ("exchange", "-16.00")]);
    assert_eq!(exchange.ledger(id(&first)), booked);
    let end = exchange.end(id(&first));
    assert_eq!((&end["reason"], &end["target"]), (&json!("billable"), &json!("two")));
    assert_eq!(attempts(&exchange, id(&first)), pairs(&[("one", "other_answered"), ("two", "billable")]));
    assert_eq!(exchange.outcome(id(&first), "one").0, "won");
    assert_eq!(exchange.outcome(id(&first), "two").0, "won");
    assert_eq!(exchange.outcome(id(&third), "two").0, "concurrency");
    exchange.talk(&third, 90_000);
    exchange.finish();
}

#[test]
fn nobody_answers_and_the_next_is_rung() {
    let exchange = Exchange::start_with(&market("first"), WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(first["targets"][0]["screen"], Value::Null, "voicemail may take it");
    // Of one nothing is said.
    let half = json!({"step": 1, "result": "attempts_ended",
        "attempts": [{"attempt": 1, "cause": "busy", "ended_by": "target"}]});
    let refused = exchange.next_as(&first, &half);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("attempt 2"), "{}", refused.text());
    let both = json!({"step": 1, "result": "attempts_ended", "attempts": [
        {"attempt": 1, "cause": "busy", "ended_by": "target"},
        {"attempt": 2, "cause": "no_answer", "ended_by": "carrier"}]});
    let second = exchange.next_as(&first, &both).json();
    assert_eq!((dialled(&second), &second["step"]), (vec![(3, "+15125550902")], &json!(2)));
    let third = exchange.go_on(&second, json!({"cause": "busy", "ended_by": "target"}));
    assert_eq!(
        (dialled(&third), &third["step"]),
        (vec![(4, "+15125550909")], &json!(3)),
        "three steps, four attempts"
    );
    let last = exchange.go_on(&third, json!({"cause": "busy", "ended_by": "target"}));
    assert_eq!((&last["action"], &last["hangup"]["cause"]), (&json!("hangup"), &json!("busy")));
    let expected = pairs(&[("one", "busy"), ("two", "no_answer"), ("three", "busy"), ("desk", "busy")]);
    assert_eq!(attempts(&exchange, id(&first)), expected);
    assert_eq!(exchange.next_as(&first, &both).json(), second, "the same step again");
    exchange.finish();
}

#[test]
fn a_voicemail_that_presses_nothing_takes_no_call() {
    let exchange = Exchange::start_with(&market("screen"), WAITING);
    let first = exchange.decide(&ask("CA1"));
    tell(&exchange, &first, "answered", 1, 3_000, json!({}));
    tell(&exchange, &first, "ended", 1, 100_000, json!({"cause": "normal", "ended_by": "target"}));
    let rest = json!({"step": 1, "result": "attempts_ended", "at": "2026-11-20T09:02:00.000Z",
        "attempts": [{"attempt": 2, "cause": "no_answer", "ended_by": "carrier"}]});
    let second = exchange.next_as(&first, &rest).json();
    assert_eq!(dialled(&second), [(3, "+15125550902")]);
    assert_eq!(exchange.ledger(id(&first)), []);
    exchange.report(&second, "call_ended", 130_000, json!({"cause": "cancelled", "ended_by": "caller"}));
    exchange.report(
        &second,
        "ended",
        130_000,
        json!({"attempt": 3, "cause": "cancelled", "ended_by": "caller"}),
    );
    let expected = pairs(&[("one", "not_answered"), ("two", "no_answer"), ("three", "caller_abandon")]);
    assert_eq!(attempts(&exchange, id(&first)), expected);
    exchange.finish();
}

#[test]
fn a_caller_who_leaves_frees_everybody() {
    let exchange = Exchange::start_with(&market("screen"), WAITING);
    let first = exchange.decide(&ask("CA1"));
    exchange.report(&first, "call_ended", 3_000, json!({"cause": "cancelled", "ended_by": "caller"}));
    let second = exchange.decide(&ask("CA2"));
    assert_eq!(dialled(&second), [(1, "+15125550900"), (2, "+15125550901")]);
    for attempt in [1, 2] {
        tell(
            &exchange,
            &second,
            "ended",
            attempt,
            4_000,
            json!({"cause": "cancelled", "ended_by": "caller"}),
        );
        tell(&exchange, &first, "ended", attempt, 3_000, json!({"cause": "cancelled", "ended_by": "caller"}));
    }
    for answer in [&first, &second] {
        let expected = pairs(&[("one", "caller_abandon"), ("two", "caller_abandon")]);
        assert_eq!(attempts(&exchange, id(answer)), expected);
    }
    exchange.finish();
}

/// kill -9 while both ring: both holds are there again, and whoever is bridged then takes the call.
#[test]
fn a_kill_while_they_ring_changes_nothing() {
    let exchange = Exchange::start_with(&market("screen"), WAITING);
    let answer = exchange.route(&ask("CA1"));
    let first = answer.json();
    tell(&exchange, &first, "ringing", 1, 500, json!({}));
    let exchange = exchange.crash_and_restart();
    assert_eq!(exchange.route(&ask("CA1")).body, answer.body, "the same bytes");
    let second = exchange.decide(&ask("CA2"));
    assert_eq!(dialled(&second), [(1, "+15125550902")], "both are held");
    tell(&exchange, &first, "bridged", 1, 5_000, json!({}));
    exchange.explained(id(&second));
    let exchange = exchange.crash_and_restart();
    let third = exchange.decide(&ask("CA3"));
    assert_eq!(dialled(&third), [(1, "+15125550901")], "the other is free");
    tell(
        &exchange,
        &first,
        "ended",
        1,
        100_000,
        json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000}),
    );
    assert_eq!(attempts(&exchange, id(&first)), pairs(&[("one", "billable"), ("two", "other_answered")]));
    assert_eq!(exchange.ledger(id(&first)).len(), 3);
    for answer in [&second, &third] {
        leave(&exchange, answer);
    }
    exchange.finish();
}

#[test]
fn a_test_call_rings_its_own_address_once() {
    let settings = format!("{WAITING}test_address = \"+18005550999\"\n");
    let exchange = Exchange::start_with(&market("screen"), &settings);
    let mut asked = ask("CA1");
    asked["test"] = json!(true);
    let answer = exchange.decide(&asked);
    assert_eq!(dialled(&answer), [(1, "+18005550999")]);
    assert_eq!((&answer["mode"], &answer["targets"][0]["screen"]), (&json!("one_at_a_time"), &Value::Null));
    exchange.talk(&answer, 95_000);
    assert_eq!(exchange.ledger(id(&answer)), []);
    assert_eq!(exchange.outcome(id(&answer), "two").0, "test");
    assert_eq!(exchange.end(id(&answer))["reason"], "test");
    exchange.finish();
}
