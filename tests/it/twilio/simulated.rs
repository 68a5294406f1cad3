//! Simulated Twilio calls against an exchange: what the carrier said of each, and what the exchange made of it, agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use load::carriers::{Arrivals, CarrierKey, Carriers, Dialect, Plan, Rates, Twilio};
use load::sent::{End, Report, Sent};
use serde_json::Value;

use super::lives::{PUBLIC, TOKEN, start};
use crate::support::market::NUMBER;
use crate::support::{Exchange, Market, PATIENCE};

const CALLS: u64 = 50;

fn market() -> Market {
    let mut market = Market::new(r#"{ sequential = ["one", "two", "three"] }"#);
    for (n, name) in ["one", "two", "three"].into_iter().enumerate() {
        let lines = format!("address = \"+1512555090{n}\"\nprice = \"{}.00\"", 20 + n);
        market = market.buyer(name, "").target(name, name, &lines);
    }
    market
}

#[test]
fn fifty_lives_end_as_their_carrier_says() {
    let exchange = start(market(), "[calls]\nnext_within_s = 60\n");
    let twilio = Twilio::new("AC00000000000000000000000000000001", TOKEN, PUBLIC);
    let key = CarrierKey { id: "tw".to_owned(), dialect: Dialect::Twilio(twilio), ..CarrierKey::default() };
    let mut plan = Plan::new(format!("http://{}", exchange.traffic), key, vec![NUMBER.to_owned()]);
    plan.arrivals = Arrivals::Constant(200.0);
    plan.max_calls = Some(CALLS);
    plan.time_scale = 2_000.0;
    plan.tags = vec![("case".to_owned(), vec!["collision".to_owned(), "glass & more".to_owned()])];
    plan.rates = Rates {
        busy_bps: 1_500,
        no_answer_bps: 1_500,
        duplicate_route_bps: 3_000,
        duplicate_event_bps: 3_000,
        reorder_bps: 2_000,
        ..Rates::everyday()
    };
    plan.keep_sent = Some(CALLS as usize);
    let carriers = Carriers::start(plan, Arc::default()).unwrap();
    assert!(carriers.wait(PATIENCE), "the calls did not end: {:?}", carriers.snapshot());
    let outcome = carriers.finish(PATIENCE);
    let figures = &outcome.figures;
    assert_eq!((figures.ended, figures.events_refused, figures.routes_differing), (CALLS, 0, 0));
    assert!(figures.errors.is_empty(), "{:?}", figures.errors);
    assert!(figures.routes_duplicated > 0 && figures.events_duplicated > 0 && figures.bridged > 0);

    let page = exchange.get("/api/v1/calls?limit=1000").json();
    let rows = page["calls"].as_array().unwrap().iter();
    let known: BTreeMap<&str, &str> = rows
        .map(|row| (row["carrier_call_id"].as_str().unwrap(), row["call_id"].as_str().unwrap()))
        .collect();
    assert_eq!(known.len() as u64, CALLS);
    let mut reasons = BTreeMap::new();
    for sent in &outcome.sent {
        assert_eq!((sent.status, sent.repeats_differ, sent.over), (200, 0, Some(Report::Acknowledged)));
        for reason in agree(&exchange, sent, known[&*sent.carrier_call_id]) {
            *reasons.entry(reason).or_insert(0) += 1;
        }
    }
    for reason in ["billable", "too_short", "busy", "no_answer", "caller_abandon"] {
        assert!(reasons.contains_key(reason), "no attempt ended {reason}: {reasons:?}");
    }
    exchange.finish();
}

/// Compares the attempts of a call; their reasons.
fn agree(exchange: &Exchange, sent: &Sent, call: &str) -> Vec<&'static str> {
    exchange.end(call);
    let explained = exchange.explained(call);
    let attempts = explained["attempts"].as_array().unwrap();
    let ends: Vec<&End> = sent.steps.iter().flat_map(|step| &step.ends).collect();
    assert_eq!(attempts.len(), ends.len(), "{explained:#} {sent:#?}");
    let mut reasons = Vec::new();
    for (attempt, end) in attempts.iter().zip(&ends) {
        let reason = reason(end);
        let made: &Value = &attempt["end"];
        assert_eq!(made["reason"], reason, "{explained:#} {sent:#?}");
        assert_eq!(made["ended_by"], *end.ended_by, "{explained:#} {sent:#?}");
        assert_eq!(made["talk_ms"].as_u64().filter(|ms| *ms > 0), end.talk_ms.filter(|ms| *ms > 0));
        reasons.push(reason);
    }
    let is_billed = !exchange.ledger(call).is_empty();
    assert_eq!(is_billed, reasons.contains(&"billable"), "{explained:#}");
    reasons
}

/// What the exchange has to call this end.
fn reason(end: &End) -> &'static str {
    match (&*end.cause, end.talk_ms) {
        ("normal", Some(90_000..)) => "billable",
        ("normal", _) => "too_short",
        ("busy", _) => "busy",
        ("no_answer", _) => "no_answer",
        ("cancelled", _) => "caller_abandon",
        other => panic!("no such end: {other:?}"),
    }
}
