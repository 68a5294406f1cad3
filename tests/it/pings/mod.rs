//! Buyers on the wire: what they are told, what is believed of what they say, and what none of them can do to a call.

mod contract;
mod early;
mod egress;
mod hostile;
mod late;
mod limits;
mod overload;
mod pool;
mod tls;
mod unresponsive;

use std::sync::atomic::{AtomicU32, Ordering};

use load::bidders::{Behaviour, Latency, Script};
use serde_json::{Value, json};

use crate::support::Exchange;
use crate::support::market::{CALLER, NUMBER, SETTINGS};

/// Bids this many cents after this many ms.
fn bids(latency_ms: u64, cents: u32) -> Behaviour {
    Behaviour::Bid {
        latency: Latency::Fixed(latency_ms),
        price_cents: (cents, cents),
        no_bid_bps: 0,
        ttl_s: None,
    }
}

fn bidder(name: &str, latency_ms: u64, cents: u32) -> Script {
    Script::new(name, bids(latency_ms, cents))
}

/// The settings every test has, with one worker: then all calls share one pool of connections. Ends inside `[pings]`.
fn one_worker() -> String {
    SETTINGS.replace("workers = 2", "workers = 1")
}

/// A new call to the number of the campaign `auto`.
fn call(exchange: &Exchange) -> Value {
    call_to(exchange, NUMBER)
}

/// A new call to this number; the answer, which says something to act on.
fn call_to(exchange: &Exchange, number: &str) -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = format!("CA{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let answer = exchange.route(&json!({"carrier_call_id": id, "to": number, "from": CALLER}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The caller hangs up before anybody answered: nothing is held any more.
fn hang_up(exchange: &Exchange, answer: &Value) {
    let ended = json!({"event_id": "end", "type": "ended", "attempt": 1, "at": "2026-11-20T09:00:01Z", "talk_ms": 0,
        "cause": "cancelled", "ended_by": "caller"});
    let taken = exchange.event(answer, &ended);
    assert_eq!(taken.status, 200, "{}", taken.text());
}

/// The final outcome of one target: `reason` or `reason amount`.
fn outcome(exchange: &Exchange, answer: &Value, target: &str) -> String {
    let (reason, row) = exchange.outcome(answer["call_id"].as_str().unwrap(), target);
    match row["amount"].as_str() {
        Some(amount) => format!("{reason} {amount}"),
        None => reason,
    }
}

/// The note beside the final outcome of one target.
fn note(exchange: &Exchange, answer: &Value, target: &str) -> String {
    exchange.outcome(answer["call_id"].as_str().unwrap(), target).1["note"].to_string()
}

fn decided_in_ms(answer: &Value) -> f64 {
    answer["decided_in_ms"].as_f64().unwrap_or_else(|| panic!("no decided_in_ms in {answer:#}"))
}
