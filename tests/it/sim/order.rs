//! An answer leaves before its records, and yet nothing about its call is on the way to the disk before them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use outcry::bidder::hand_back::{HandBack, Which};
use outcry::carrier::generic;
use outcry::domain::{BuyerId, CallId, CarrierIx, E164, Timestamp};
use outcry::exchange::beside::Beside;
use outcry::exchange::hand_back::NotHandedBack;
use outcry::exchange::progress::Claim;
use outcry::exchange::{Asking, Worker};
use outcry::journal::Hands;
use outcry::ping::endpoint::Endpoints;
use outcry::ping::wire::Reach;
use outcry::records::entry::Record;
use outcry::records::row::Row;
use outcry::records::{Recorder, Sealed};
use outcry::runtime::{Clock, Shutdown};
use outcry::state::calls::CallKey;
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep, timeout};

use super::check::Times;
use super::market::{CARRIERS, NUMBERS, base};
use super::stage::{CALLER_KEY, in_force, worker};

/// Longer than the attempt rings, and its hold after that.
const UNANSWERED: Duration = Duration::from_secs(60);

/// A worker that asks nobody, and the disk behind it.
fn alone() -> (Arc<Worker>, Clock, JoinHandle<String>) {
    let clock = Clock::starting_at(Timestamp::parse("2026-11-20T18:00:00Z").expect("a time"));
    let times =
        Times { late_events: Duration::ZERO, linger: Duration::ZERO, keep_ended: Duration::from_secs(90) };
    let in_force = in_force(&Endpoints::new(clock.clone(), true), base().clone(), &CALLER_KEY);
    let (recorder, hands) = Recorder::by_hand(100);
    let nobody = Reach::Memory(Arc::new(|_| panic!("nobody is asked")));
    let worker = worker(1, &clock, in_force, times, recorder, nobody, &Shutdown::default());
    let disk = tokio::spawn(written(hands));
    (worker, clock, disk)
}

/// What comes to an exchange in the very moment in which a call's first answer is there; the kinds of rows in the order
/// in which they were handed in.
async fn recorded_when(news: &'static str) -> String {
    let (worker, clock, disk) = alone();
    let exchange = Arc::clone(&worker.exchange);

    let in_force = exchange.in_force.load_full();
    let carriers = &in_force.snapshot.catalog.carriers;
    let carrier =
        carriers.iter().position(|carrier| carrier.id.as_str() == CARRIERS[0].0).expect("configured");
    let carrier_call_id = "CA1".to_owned();
    // The plan of this number begins with a fixed price.
    let asked =
        format!("{{\"carrier_call_id\":\"{carrier_call_id}\",\"to\":\"{}\",\"withheld\":true}}", NUMBERS[2]);
    let request = generic::request(asked.as_bytes()).expect("a request");
    let key = CallKey { carrier: carriers[carrier].id.clone(), carrier_call_id };
    let (beside, carrier) = (Beside::default(), CarrierIx(carrier as u32));
    let decided = worker.decide(&beside, Arc::clone(&in_force), carrier, request, Asking::Open, clock.now());
    let answer = beside.along(decided).await.expect("an answer");
    assert_eq!(exchange.recorder.queued(), 0, "the answer waited for its records");

    let claim = Claim {
        call: answer.0.reply.call_id,
        token: None,
        carrier: Some(key.carrier),
        carrier_call_id: Some(key.carrier_call_id),
    };
    match news {
        "report" => {
            let event = br#"{"event_id":"e","type":"answered","at":"2026-11-20T18:00:00Z","attempt":1}"#;
            let taken = exchange.report(claim, generic::event(event).expect("an event")).await;
            assert!(taken.is_ok(), "a report: Durable broken: {taken:?}");
        }
        "next" => {
            let ends = br#"{"step":1,"result":"attempts_ended","at":"2026-11-20T18:00:00Z",
                "attempts":[{"attempt":1,"cause":"busy","ended_by":"target"}]}"#;
            let ends = generic::next(ends, clock.now()).expect("a request");
            let answer = worker.next(claim, ends, Asking::Fallback, clock.now()).await;
            assert!(answer.is_ok(), "the next step: Durable broken: {answer:?}");
        }
        "sweep" => {
            // Time passes before anybody else has a turn.
            assert_eq!(advance(UNANSWERED).now_or_never(), None);
            assert_eq!(exchange.sweep_once(), 0, "it is looked at only when its decision is recorded");
            assert_eq!(exchange.recorder.queued(), 0, "it was swept before its decision was recorded");
            sleep(UNANSWERED).await;
            assert_eq!(exchange.sweep_once(), 1, "its hold has ended");
        }
        other => panic!("no {other}"),
    }
    sleep(Duration::from_secs(1)).await;
    assert!(!worker.is_busy(), "a decision is over when it is recorded");
    drop((worker, exchange));
    disk.await.expect("the disk")
}

/// A disk that writes at once, up to the end of the exchange.
pub(super) async fn written(mut hands: Hands<Sealed>) -> String {
    let mut kinds = Vec::new();
    while let Some(handed) = hands.next().await {
        let Record::Entry(entry) = &handed.payload.record else { continue };
        kinds.extend(entry.rows.iter().map(|row| match row {
            Row::Decided(_) => "decided",
            Row::Trail(_) => "trail",
            Row::Attempt(row) if row.end.is_none() => "offered",
            Row::Attempt(_) => "attempt_ended",
            Row::Event(_) => "event",
            Row::Ended(_) => "ended",
            Row::Ledger(_) => "ledger",
            Row::Catalog(_) | Row::Change(_) | Row::Listed(_) => "catalog",
        }));
        handed.synced();
    }
    kinds.join(" ")
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_call_is_recorded_before_its_decision() {
    let table = "
        report | decided offered trail event
        next   | decided offered trail event attempt_ended ended trail
        sweep  | decided offered trail attempt_ended ended";
    for row in table.lines().filter(|row| !row.trim().is_empty()) {
        let (news, expected) = row.split_once('|').expect("what comes | what is recorded");
        // A task, as a connection is one: what a runtime itself waits for has its turn after all tasks.
        let recorded = tokio::spawn(recorded_when(news.trim())).await.expect(news);
        assert_eq!(recorded, expected.trim(), "{news}: Durable broken: this was recorded");
    }
}

/// A buyer may hand back by the caller before the call it was just given is open, while another call of that caller is.
#[tokio::test(start_paused = true)]
async fn a_caller_is_looked_for_when_its_decisions_are_recorded() {
    let (worker, _, _disk) = alone();
    let exchange = Arc::clone(&worker.exchange);
    let [caller, another] = ["+15125550123", "+15125550124"].map(|text| E164::parse(text).expect("a number"));
    let noting = exchange.state.calls.note(CallId::from_bits(1), Some(caller));
    let hand_back = |caller| {
        let asked = HandBack { which: Which::Caller(caller), note: String::new() };
        exchange.hand_back(BuyerId::parse("dog").expect("a slug"), asked)
    };
    assert_eq!(hand_back(another).await, Err(NotHandedBack::Unknown));
    let mut waits = Box::pin(hand_back(caller));
    assert!(timeout(UNANSWERED, &mut waits).await.is_err(), "its call is not known yet");
    drop(noting);
    assert_eq!(waits.await, Err(NotHandedBack::Unknown));
}
