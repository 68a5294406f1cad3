//! What carriers measure, keep and cost: patterns of arrivals, records of calls, histograms, the harness's own share.

use std::sync::Arc;
use std::time::Duration;

use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};
use load::carriers::{Arrivals, CarrierKey, Carriers, Outcome, Plan, Rates, straight};
use load::hgrm;
use load::sent::{Report, Sent, read, write};
use serde_json::{Value, json};

use crate::fake_exchange::{Asked, FakeExchange, Rules};

const LIMIT: Duration = Duration::from_secs(20);
const ALWAYS: u32 = 10_000;

/// Dials one target; `next` is there, and hangs up.
fn dial(asked: &Asked) -> (u16, Value) {
    let answer = json!({
        "call_id": "01J", "step": 1, "action": "dial", "basis": "auction", "reason": "won",
        "mode": "one_at_a_time", "max_talk_s": 14_400, "next": asked.next, "events": asked.events,
        "targets": [{ "attempt": 1, "address": "+15125550999", "kind": "number", "ring_s": 20 }],
    });
    (200, answer)
}

fn plan(exchange: &FakeExchange, calls: u64) -> Plan {
    let key = CarrierKey { id: "c1".to_owned(), key: "secret".to_owned(), ..CarrierKey::default() };
    let mut plan = Plan::new(exchange.url(), key, vec!["+18005550100".to_owned()]);
    plan.arrivals = Arrivals::Poisson(5_000.0);
    plan.max_calls = Some(calls);
    plan.time_scale = 100_000.0;
    plan.rates = Rates::default();
    plan.keep_sent = Some(1_000);
    plan
}

#[track_caller]
fn run(plan: Plan) -> Outcome {
    let carriers = Carriers::start(plan, Arc::default()).unwrap();
    assert!(carriers.wait(LIMIT), "the calls did not end: {:?}", carriers.snapshot());
    carriers.finish(LIMIT)
}

/// The one call of a run.
#[track_caller]
fn only(outcome: &Outcome) -> &Sent {
    assert_eq!((outcome.sent.len(), outcome.sent_overflow), (1, 0));
    &outcome.sent[0]
}

#[test]
fn a_slow_exchange_changes_latencies_and_no_arrival() {
    // 5 ms of each call and no two at once: 400 calls a second pile up.
    let exchange = FakeExchange::start(Rules::new(|asked| {
        std::thread::sleep(Duration::from_millis(5));
        dial(asked)
    }));
    // pattern, µs from the first to the last of 50 arrivals
    let table = [
        (Arrivals::Constant(400.0), 49 * 2_500),
        (Arrivals::Bursts { every_ms: 10, calls: 5, base_rate: 0.0 }, 9 * 10_000),
    ];
    for (arrivals, span) in table {
        let mut plan = plan(&exchange, 50);
        (plan.arrivals, plan.lives) = (arrivals, false);
        let Outcome { histograms, sent, figures, .. } = run(plan);
        assert_eq!((histograms.decision.len(), histograms.since_sent.len()), (50, 50));
        assert_eq!((figures.since_sent.total.count, histograms.send_lag.len()), (50, 50));
        assert!(histograms.decision.max() >= 100_000, "the last had to wait for those before it");
        assert!(histograms.decision.max() >= histograms.since_sent.max());
        for call in &sent {
            assert!(call.due_us <= call.sent_us && call.sent_us <= call.answered_us.unwrap(), "{call:?}");
        }
        let (first, last) =
            (sent.iter().map(|call| call.due_us).min(), sent.iter().map(|call| call.due_us).max());
        let took = last.unwrap() - first.unwrap();
        assert!(took.abs_diff(span) <= 50, "{took} µs, not {span}: arrivals wait for nobody");
    }
}

#[test]
fn without_lives_a_call_is_over_with_its_answer() {
    let exchange = FakeExchange::start(Rules::new(dial));
    let mut plan = plan(&exchange, 30);
    plan.lives = false;
    let outcome = run(plan);
    assert_eq!((outcome.figures.ended, outcome.figures.attempts, outcome.sent.len()), (30, 0, 30));
    assert!(exchange.seen().events.is_empty());
    assert!(outcome.sent.iter().all(|call| call.steps.len() == 1 && call.steps[0].ends.is_empty()));
}

#[test]
fn a_closed_loop_never_has_more_in_flight_and_steps_end_by_themselves() {
    let exchange = FakeExchange::start(Rules::new(dial));
    let mut closed = plan(&exchange, 200);
    (closed.arrivals, closed.lives) = (Arrivals::Closed { in_flight: 3 }, false);
    let outcome = run(closed);
    assert_eq!(outcome.figures.answered, 200);
    // Whether a fourth was sent before one of three was answered.
    let mut sent = outcome.sent;
    sent.sort_by_key(|call| call.sent_us);
    for (n, call) in sent.iter().enumerate().skip(3) {
        let before = sent[..n].iter().filter(|other| other.answered_us.unwrap() > call.sent_us).count();
        assert!(before < 3, "{before} others were waiting when call {n} was sent");
    }
    // Where the calls' lives are the limit, it waits and skips nobody.
    let mut full = plan(&exchange, 20);
    (full.arrivals, full.max_in_progress) = (Arrivals::Closed { in_flight: 3 }, 2);
    let figures = run(full).figures;
    assert_eq!((figures.ended, figures.skipped), (20, 0));
    let mut steps = plan(&exchange, 0);
    (steps.arrivals, steps.max_calls) = (Arrivals::Steps(vec![(2_000.0, 0.05), (500.0, 0.05)]), None);
    let placed = run(steps).figures.sent;
    assert!((60..200).contains(&placed), "125 are to be expected, not {placed}");
}

#[test]
fn what_a_call_said_and_heard_is_kept() {
    let exchange = FakeExchange::start(Rules::new(dial));
    // rates | cause by, answered, bridged, ended, asked on, steps, over
    type Row = (Rates, &'static str, Option<Report>, Option<Report>, Report, Report, usize);
    let none = Rates::default();
    let ended = Report::Acknowledged;
    let table: [Row; 6] = [
        (none, "normal caller", Some(ended), Some(ended), ended, Report::Unsent, 1),
        (
            Rates { target_ends_bps: ALWAYS, ..none },
            "normal target",
            Some(ended),
            Some(ended),
            ended,
            ended,
            2,
        ),
        (
            Rates { target_ends_bps: ALWAYS, lose_event_bps: ALWAYS, ..none },
            "normal target",
            Some(Report::Lost),
            Some(Report::Lost),
            Report::Lost,
            ended,
            2,
        ),
        (
            Rates { reorder_bps: ALWAYS, ..none },
            "normal caller",
            Some(ended),
            Some(ended),
            ended,
            Report::Unsent,
            1,
        ),
        (Rates { busy_bps: ALWAYS, ..none }, "busy target", None, None, ended, ended, 2),
        (Rates { abandon_bps: ALWAYS, ..none }, "cancelled caller", None, None, ended, Report::Unsent, 1),
    ];
    for (rates, cause, answered, bridged, ended, asked_on, steps) in table {
        let mut plan = plan(&exchange, 1);
        plan.rates = rates;
        let outcome = run(plan);
        let call = only(&outcome);
        assert_eq!((&*call.carrier, &*call.to, call.status), ("c1", "+18005550100", 200));
        assert_eq!((call.call_id.as_deref(), &call.fault, call.cut_off), (Some("01J"), &None, false));
        assert_eq!(call.steps.len(), steps, "{cause}");
        let first = &call.steps[0];
        let told = (first.told.action.as_str(), first.told.basis.as_str(), first.told.reason.as_str());
        assert_eq!(
            (told, first.told.targets[0].address.as_str()),
            (("dial", "auction", "won"), "+15125550999")
        );
        let [end] = &first.ends[..] else { panic!("{cause}: {first:?}") };
        assert_eq!(format!("{} {}", end.cause, end.ended_by), cause);
        assert_eq!(
            (end.answered, end.bridged, end.ended, end.asked_on),
            (answered, bridged, ended, asked_on)
        );
        assert_eq!(end.talk_ms.is_some(), end.bridged.is_some(), "{cause}");
        let lost = if rates.lose_event_bps > 0 { Report::Lost } else { Report::Acknowledged };
        assert_eq!(call.over, Some(lost), "{cause}");
        let mut text = Vec::new();
        write(&mut text, &outcome.sent).unwrap();
        assert_eq!(read(&text[..]).unwrap(), outcome.sent);
    }
}

#[test]
fn faults_repeats_and_what_has_no_room_are_kept_or_counted() {
    let refusing = FakeExchange::start(Rules::new(|_| (503, json!({}))));
    let outcome = run(plan(&refusing, 1));
    let call = only(&outcome);
    assert_eq!((call.status, call.fault.as_deref(), call.steps.len()), (503, Some("http_503"), 0));

    let mut nobody = plan(&refusing, 1);
    nobody.base_url = "http://127.0.0.1:1".to_owned();
    let outcome = run(nobody);
    let call = only(&outcome);
    assert_eq!((call.status, call.fault.as_deref(), call.answered_us), (0, Some("connect"), None));

    for (differs, expected) in [(false, (2, 0)), (true, (2, 1))] {
        let exchange = FakeExchange::start(Rules::new(move |asked| {
            let (status, mut answer) = dial(asked);
            if differs {
                answer["decided_in_ms"] = asked.nth.into();
            }
            (status, answer)
        }));
        let mut plan = plan(&exchange, 1);
        (plan.rates.duplicate_route_bps, plan.rates.busy_bps) = (ALWAYS, ALWAYS);
        let outcome = run(plan);
        let call = only(&outcome);
        assert_eq!((call.repeats, call.repeats_differ), expected, "the route and the next request");
    }

    let exchange = FakeExchange::start(Rules::new(dial));
    let mut small = plan(&exchange, 5);
    small.keep_sent = Some(2);
    let outcome = run(small);
    assert_eq!((outcome.sent.len(), outcome.sent_overflow), (2, 3));

    let mut long = plan(&exchange, 1);
    long.time_scale = 1.0;
    let carriers = Carriers::start(long, Arc::default()).unwrap();
    assert!(exchange.wait(LIMIT, |seen| seen.routes.len() > 5));
    let outcome = carriers.finish(Duration::ZERO);
    assert!(only(&outcome).cut_off);
}

#[test]
fn straight_at_a_bidder_is_the_harness_alone() {
    const THINKS_MS: u64 = 20;
    let behaviour = Behaviour::NoBid { latency: Latency::Fixed(THINKS_MS), form: NoBidForm::Status204 };
    let bidders = Bidders::start(1, vec![Script::new("b", behaviour)]).unwrap();
    let span = Duration::from_millis(300);
    let outcome = straight(&bidders.url("b"), 200.0, span, bidders.trace()).unwrap();
    let pings = bidders.stats("b").pings;
    assert!((20..150).contains(&pings), "60 are to be expected, not {pings}");
    let histograms = &outcome.histograms;
    assert_eq!((histograms.added.len(), histograms.decision.len()), (pings, pings));
    assert_eq!(outcome.figures.errors.len(), 0, "{:?}", outcome.figures.errors);
    // The bidder's own time is in the one and not in the other.
    assert!(histograms.since_sent.min() >= THINKS_MS * 1_000 * 99 / 100);
    let (added, all) =
        (histograms.added.value_at_quantile(0.5), histograms.since_sent.value_at_quantile(0.5));
    assert!(added + THINKS_MS * 900 <= all, "{added} of {all} µs");
    assert!(outcome.figures.cpu > Duration::ZERO || !cfg!(target_os = "linux"));
    let mut text = Vec::new();
    hgrm::write(&mut text, &histograms.added, 1_000.0).unwrap();
    assert!(String::from_utf8(text).unwrap().contains(&format!("Total count    = {pings:12}]")));
}
