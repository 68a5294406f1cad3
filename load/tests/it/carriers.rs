//! Carriers as an exchange meets them: a fake one answers, so that every figure has a known cause.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};
use load::carriers::{Arrivals, CallerArea, CarrierKey, Carriers, EVENT_TRIES, Plan, Rates, Snapshot, Talk};
use load::trace::Trace;
use serde_json::{Value, json};

use crate::fake_exchange::{Asked, FakeExchange, Rules};

const LIMIT: Duration = Duration::from_secs(20);
const ALWAYS: u32 = 10_000;

/// The answer of an exchange without second steps: `next` is null.
fn dial(asked: &Asked, targets: usize) -> Value {
    let targets: Vec<Value> = (1..=targets)
        .map(|attempt| json!({ "attempt": attempt, "address": "+15125550999", "kind": "number", "ring_s": 20 }))
        .collect();
    json!({
        "call_id": "01J", "step": 1, "action": "dial", "basis": "auction", "reason": "won",
        "mode": "one_at_a_time", "targets": targets, "hangup": null, "max_talk_s": 14_400,
        "next": null, "events": asked.events,
    })
}

fn dials(targets: usize) -> Rules {
    Rules::new(move |asked| (200, dial(asked, targets)))
}

/// So many calls, at once and in a hurry, in which nothing goes wrong.
fn plan(exchange: &FakeExchange, calls: u64) -> Plan {
    let key = CarrierKey { id: "c1".to_owned(), key: "secret".to_owned(), ..CarrierKey::default() };
    let mut plan = Plan::new(exchange.url(), key, vec!["+18005550100".to_owned()]);
    plan.arrivals = Arrivals::Poisson(5_000.0);
    plan.max_calls = Some(calls);
    plan.time_scale = 100_000.0;
    plan.rates = Rates::default();
    plan.run = "t".to_owned();
    plan
}

/// Runs a plan to its end.
#[track_caller]
fn run(plan: Plan) -> Snapshot {
    run_traced(plan, Arc::default())
}

#[track_caller]
fn run_traced(plan: Plan, trace: Arc<Trace>) -> Snapshot {
    let carriers = Carriers::start(plan, trace).unwrap();
    assert!(carriers.wait(LIMIT), "the calls did not end: {:?}", carriers.snapshot());
    let figures = carriers.stop(LIMIT);
    assert_eq!((figures.in_progress, figures.cut_off), (0, 0));
    figures
}

/// What a call's events say, without ids and times: `ended 1 busy/target`.
fn words(events: &[Value]) -> Vec<String> {
    let word = |event: &Value| {
        let mut word = event["type"].as_str().unwrap().to_owned();
        if let Some(attempt) = event["attempt"].as_u64() {
            word += &format!(" {attempt}");
        }
        if let Some(cause) = event["cause"].as_str() {
            word += &format!(" {cause}/{}", event["ended_by"].as_str().unwrap());
        }
        word
    };
    events.iter().map(word).collect()
}

/// Milliseconds of the day.
fn at_ms(event: &Value) -> i64 {
    let at = event["at"].as_str().unwrap();
    assert_eq!((at.len(), &at[10..11], &at[23..]), (24, "T", "Z"), "{at}");
    let number = |from: usize, to: usize| at[from..to].parse::<i64>().unwrap();
    ((number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1_000 + number(20, 23)
}

/// From the first to the second, across midnight too.
fn between_ms(first: &Value, second: &Value) -> i64 {
    (at_ms(second) - at_ms(first)).rem_euclid(86_400_000)
}

#[test]
fn every_answered_dial_gets_its_events() {
    let exchange = FakeExchange::start(dials(1));
    let mut plan = plan(&exchange, 60);
    plan.rates.target_ends_bps = 4_000;
    let figures = run(plan);
    let seen = exchange.seen();
    assert_eq!((figures.sent, figures.answered, figures.ended), (60, 60, 60));
    assert_eq!((figures.attempts, figures.bridged), (60, 60));
    assert_eq!((figures.actions["dial"], figures.bases["auction"]), (60, 60));
    assert_eq!((figures.decision.total.count, figures.added.total.count), (60, 0), "nobody was pinged");
    assert_eq!((&figures.errors, figures.events_refused), (&BTreeMap::new(), 0));
    assert_eq!((seen.routes.len(), seen.events.len()), (60, 60));
    assert_eq!(figures.events, seen.events.values().map(|events| events.len() as u64).sum::<u64>());
    let mut by_target = 0;
    for events in seen.events.values() {
        let (by_caller, by_other): (&[&str], &[&str]) = (
            &["ringing 1", "answered 1", "bridged 1", "ended 1 normal/caller", "call_ended normal/caller"],
            &["ringing 1", "answered 1", "bridged 1", "ended 1 normal/target"],
        );
        let words = words(events);
        assert!(words == by_caller || words == by_other, "{words:?}");
        by_target += u64::from(words == by_other);
        assert_eq!(Some(between_ms(&events[2], &events[3])), events[3]["talk_ms"].as_i64());
    }
    assert!((10..40).contains(&by_target), "4 in 10 end at the target, here {by_target} of 60");
}

#[test]
fn a_failed_attempt_without_a_next_step_says_how_it_ended_and_nothing_more() {
    let busy = Rates { busy_bps: ALWAYS, ..Rates::default() };
    let silent = Rates { no_answer_bps: ALWAYS, ..Rates::default() };
    let hasty = Rates { abandon_bps: ALWAYS, ..Rates::default() };
    let table: [(Rates, &str, usize, &[&str]); 6] = [
        (busy, "one_at_a_time", 1, &["ended 1 busy/target"]),
        (busy, "in_order", 2, &["ended 1 busy/target", "ended 2 busy/target"]),
        (silent, "one_at_a_time", 1, &["ringing 1", "ended 1 no_answer/carrier"]),
        (
            hasty,
            "one_at_a_time",
            2,
            &["ringing 1", "ended 1 cancelled/caller", "call_ended cancelled/caller"],
        ),
        (
            silent,
            "all_at_once",
            2,
            &["ringing 1", "ringing 2", "ended 1 no_answer/carrier", "ended 2 no_answer/carrier"],
        ),
        (busy, "all_at_once", 2, &["ended 1 busy/target", "ended 2 busy/target"]),
    ];
    for (rates, mode, targets, expected) in table {
        let exchange = FakeExchange::start(Rules::new(move |asked| {
            let mut answer = dial(asked, targets);
            answer["mode"] = mode.into();
            (200, answer)
        }));
        let mut plan = plan(&exchange, 3);
        plan.rates = rates;
        let figures = run(plan);
        assert_eq!((figures.ended, figures.bridged, figures.next_steps), (3, 0, 0));
        assert!(figures.errors.is_empty(), "{:?}", figures.errors);
        for events in exchange.seen().events.values() {
            assert_eq!(words(events), expected, "{mode}");
        }
        assert_eq!(exchange.seen().events.len(), 3);
    }
}

#[test]
fn of_all_that_ring_one_gets_the_call() {
    let exchange = FakeExchange::start(Rules::new(|asked| {
        let mut answer = dial(asked, 3);
        answer["mode"] = "all_at_once".into();
        (200, answer)
    }));
    run(plan(&exchange, 5));
    for events in exchange.seen().events.values() {
        let words = words(events);
        let count = |what: &str| words.iter().filter(|word| word.contains(what)).count();
        assert_eq!((count("ringing"), count("answered"), count("bridged")), (3, 1, 1), "{words:?}");
        assert_eq!((count("cancelled/carrier"), count("ended")), (2, 4), "{words:?}");
    }
}

#[test]
fn a_next_step_is_asked_for_where_there_is_one() {
    let mut rules = Rules::new(|asked| {
        let mut answer = dial(asked, 2);
        answer["next"] = asked.next.as_str().into();
        (200, answer)
    });
    rules.next = Box::new(|asked| {
        assert_eq!(asked.request["step"], 1);
        (200, json!({ "step": 2, "action": "hangup", "basis": "terminal", "hangup": { "cause": "normal" } }))
    });
    let exchange = FakeExchange::start(rules);
    let mut plan = plan(&exchange, 4);
    plan.rates.busy_bps = ALWAYS;
    let figures = run(plan);
    assert_eq!((figures.next_steps, figures.busy, figures.ended), (4, 8, 4));
    let seen = exchange.seen();
    assert_eq!(seen.nexts.len(), 4);
    for next in &seen.nexts {
        let attempts = json!([
            { "attempt": 1, "cause": "busy", "ended_by": "target", "talk_ms": 0 },
            { "attempt": 2, "cause": "busy", "ended_by": "target", "talk_ms": 0 },
        ]);
        assert_eq!((&next["result"], &next["attempts"]), (&json!("attempts_ended"), &attempts));
    }
    for events in seen.events.values() {
        assert_eq!(words(events).last().map(String::as_str), Some("call_ended normal/exchange"));
    }
}

#[test]
fn both_answers_to_a_duplicate_are_compared() {
    type Case = (fn(&Asked) -> (u16, Value), u64, BTreeMap<&'static str, u64>);
    let table: [Case; 3] = [
        (|asked| (200, dial(asked, 1)), 0, BTreeMap::new()),
        (
            |asked| {
                let mut answer = dial(asked, 1);
                answer["decided_in_ms"] = asked.nth.into();
                (200, answer)
            },
            20,
            BTreeMap::new(),
        ),
        (
            |asked| if asked.nth == 0 { (200, dial(asked, 1)) } else { (503, json!({})) },
            0,
            BTreeMap::from([("http_503", 20)]),
        ),
    ];
    for (route, differing, errors) in table {
        let exchange = FakeExchange::start(Rules::new(route));
        let mut plan = plan(&exchange, 20);
        plan.rates.duplicate_route_bps = ALWAYS;
        let figures = run(plan);
        let seen = exchange.seen();
        assert_eq!((figures.sent, figures.routes_duplicated, seen.routes.len()), (20, 20, 40));
        assert_eq!((figures.routes_differing, figures.errors), (differing, errors));
        for first in &seen.routes {
            let twins = seen.routes.iter().filter(|route| *route == first).count();
            assert_eq!(twins, 2, "a duplicate is the same request");
        }
    }
}

#[test]
fn without_an_events_address_no_event_is_sent() {
    let exchange = FakeExchange::start(Rules::new(|asked| {
        let mut answer = dial(asked, 1);
        answer["events"] = Value::Null;
        (200, answer)
    }));
    let mut plan = plan(&exchange, 10);
    plan.rates.duplicate_event_bps = ALWAYS;
    let figures = run(plan);
    assert_eq!((figures.ended, figures.bridged), (10, 10));
    assert_eq!((figures.events, figures.events_duplicated, figures.events_refused), (0, 0, 0));
    assert!(exchange.seen().events.is_empty());
}

#[test]
fn waits_are_compressed_and_the_times_in_events_are_not() {
    let exchange = FakeExchange::start(dials(1));
    let mut plan = plan(&exchange, 1);
    plan.time_scale = 2_000.0;
    plan.talk = Talk { median_s: 600.0, sigma: 0.0, cap_s: 3_600 };
    let began = Instant::now();
    run(plan);
    let took = began.elapsed();
    let seen = exchange.seen();
    let events = seen.events.values().next().unwrap();
    assert_eq!(events[3]["talk_ms"].as_i64().map(|ms| (ms + 500) / 1_000), Some(600));
    assert_eq!(Some(between_ms(&events[2], &events[3])), events[3]["talk_ms"].as_i64());
    assert!(took >= Duration::from_millis(300), "ten minutes are 300 ms at 2,000, not {took:?}");
    assert!(took < Duration::from_secs(20), "ten minutes took {took:?}");
}

#[test]
fn stop_ends_within_its_limit_and_leaves_nothing_behind() {
    for limit in [Duration::ZERO, Duration::from_millis(30)] {
        let exchange = FakeExchange::start(dials(1));
        let mut plan = plan(&exchange, 8);
        plan.time_scale = 1.0;
        plan.max_calls = None;
        let trace = Arc::new(Trace::default());
        let carriers = Carriers::start(plan, trace.clone()).unwrap();
        assert!(exchange.wait(LIMIT, |seen| seen.routes.len() >= 8));
        let began = Instant::now();
        let figures = carriers.stop(limit);
        let took = began.elapsed();
        assert!(took >= limit && took < limit + Duration::from_secs(5), "{took:?} for {limit:?}");
        assert!(figures.cut_off >= 8, "calls of minutes were cut off: {figures:?}");
        assert_eq!((figures.in_progress, figures.sent), (0, figures.ended + figures.cut_off));
        assert_eq!(Arc::strong_count(&trace), 1, "the thread and its calls are gone");
        assert!(exchange.wait(LIMIT, |seen| seen.open_connections == 0), "so are their connections");
    }
}

#[test]
fn dropped_carriers_are_gone_at_once() {
    let exchange = FakeExchange::start(dials(1));
    let mut plan = plan(&exchange, 8);
    plan.time_scale = 1.0;
    let trace = Arc::new(Trace::default());
    let carriers = Carriers::start(plan, trace.clone()).unwrap();
    assert!(exchange.wait(LIMIT, |seen| seen.routes.len() == 8));
    drop(carriers);
    assert_eq!(Arc::strong_count(&trace), 1);
}

/// A request and its call's events: each in words, its time since the first, its talk time.
type Life = (Value, Vec<(String, i64, Value)>);

/// The lives of all calls, without what tells runs apart.
fn lives(exchange: &FakeExchange, run: &str) -> BTreeMap<String, Life> {
    let seen = exchange.seen();
    let life = |route: &Value| {
        let id = route["carrier_call_id"].as_str().unwrap();
        let events = seen.events.get(id).map_or(&[][..], Vec::as_slice);
        let first = events.iter().map(at_ms).min().unwrap_or(0);
        let told = |(word, event): (String, &Value)| {
            (word, (at_ms(event) - first).rem_euclid(86_400_000), event["talk_ms"].clone())
        };
        let mut request = route.clone();
        request.as_object_mut().unwrap().remove("at");
        let number = id.replace(run, "");
        request["carrier_call_id"] = number.as_str().into();
        (number, (request, words(events).into_iter().zip(events).map(told).collect()))
    };
    seen.routes.iter().map(life).collect()
}

#[test]
fn a_seed_is_a_set_of_calls() {
    let mut runs = Vec::new();
    for (seed, name) in [(7, "one"), (7, "two"), (8, "three")] {
        let exchange = FakeExchange::start(dials(2));
        let mut plan = plan(&exchange, 80);
        plan.seed = seed;
        plan.run = name.to_owned();
        plan.rates = Rates { lose_event_bps: 500, ..Rates::everyday() };
        plan.tags = vec![("case".to_owned(), vec!["collision".to_owned(), "glass".to_owned()])];
        plan.sub_ids = vec!["a".to_owned(), "b".to_owned()];
        run(plan);
        runs.push(lives(&exchange, name));
    }
    assert_eq!(runs[0].len(), 80);
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[test]
fn calls_say_of_the_caller_what_the_plan_has() {
    let plain = FakeExchange::start(dials(1));
    run(plan(&plain, 3));
    let says_nothing =
        |request: &Value| ["stir", "geo", "sub_id"].iter().all(|key| request.get(key).is_none());
    assert!(plain.seen().routes.iter().all(says_nothing));

    let exchange = FakeExchange::start(dials(1));
    let mut told = plan(&exchange, 20);
    let geo = Some(("TX".to_owned(), "78701".to_owned()));
    told.callers = vec![CallerArea { prefix: "512".to_owned(), geo }];
    told.tags = vec![("age".to_owned(), vec!["51".to_owned()])];
    (told.sub_ids, told.attests) = (vec!["tv-1".to_owned()], vec!["A".to_owned(), "B".to_owned()]);
    run(told);
    let mut attests = Vec::new();
    for request in &exchange.seen().routes {
        attests.push(request["stir"]["attest"].as_str().unwrap().to_owned());
        assert_eq!(request["geo"], json!({ "state": "TX", "zip": "78701" }));
        assert_eq!((&request["sub_id"], &request["tags"]["age"]), (&json!("tv-1"), &json!("51")));
        assert!(request["from"].as_str().unwrap().starts_with("+1512555"), "{request}");
    }
    assert_eq!(attests.len(), 20);
    attests.sort_unstable();
    attests.dedup();
    assert_eq!(attests, ["A", "B"]);
}

#[test]
fn problems_are_counted_by_kind() {
    let exchange = FakeExchange::start(Rules::new(|asked| {
        let number: usize = asked.request["tags"]["load_call"].as_str().unwrap().parse().unwrap();
        let statuses = [400, 401, 409, 429, 500, 502, 503, 302, 200, 200];
        let odd = if number.is_multiple_of(2) { json!({ "action": 7 }) } else { json!("dial") };
        (statuses[(number - 1) % statuses.len()], odd)
    }));
    let figures = run(plan(&exchange, 20));
    let expected = [
        ("bad_answer", 4),
        ("http_429", 2),
        ("http_4xx", 6),
        ("http_503", 2),
        ("http_5xx", 4),
        ("http_other", 2),
    ];
    assert_eq!(figures.errors, BTreeMap::from(expected));
    assert_eq!((figures.sent, figures.answered, figures.ended), (20, 0, 20));
    assert_eq!((figures.decision.total.count, figures.attempts, figures.events), (0, 0, 0));

    let mut plan = plan(&exchange, 3);
    drop(exchange);
    plan.first_call = 100;
    assert_eq!(run(plan).errors, BTreeMap::from([("connect", 3)]));
}

#[test]
fn an_unknown_action_ends_the_call() {
    let exchange = FakeExchange::start(Rules::new(|asked| {
        let mut answer = dial(asked, 1);
        answer["action"] = "teleport".into();
        (200, answer)
    }));
    let figures = run(plan(&exchange, 2));
    assert_eq!((figures.actions["other"], figures.errors["bad_answer"]), (2, 2));
    for events in exchange.seen().events.values() {
        assert_eq!(words(events), ["call_ended failed/carrier"]);
    }
}

#[test]
fn the_noise_of_carriers_is_made_and_counted() {
    let noisy = |rates: Rates| {
        let exchange = FakeExchange::start(dials(1));
        let mut plan = plan(&exchange, 10);
        plan.rates = Rates { target_ends_bps: ALWAYS, ..rates };
        (run(plan), exchange)
    };
    let (figures, exchange) = noisy(Rates { duplicate_event_bps: ALWAYS, ..Rates::default() });
    assert_eq!((figures.events, figures.events_duplicated), (40, 40));
    for events in exchange.seen().events.values() {
        for event in events {
            assert_eq!(events.iter().filter(|twin| *twin == event).count(), 2, "{event}");
        }
    }
    let (figures, exchange) = noisy(Rates { reorder_bps: ALWAYS, ..Rates::default() });
    assert_eq!(figures.events_reordered, 10);
    for events in exchange.seen().events.values() {
        assert_eq!(words(events), ["ringing 1", "bridged 1", "ended 1 normal/target", "answered 1"]);
        assert!(between_ms(&events[3], &events[2]) < 43_200_000, "it says when it really was");
    }
    let (figures, exchange) = noisy(Rates { lose_event_bps: ALWAYS, ..Rates::default() });
    assert_eq!((figures.events, figures.events_dropped), (0, 40));
    assert!(exchange.seen().events.is_empty());
    let (_, exchange) = noisy(Rates { omit_talk_bps: ALWAYS, ..Rates::default() });
    assert!(exchange.seen().events.values().all(|events| events[3].get("talk_ms").is_none()));
}

#[test]
fn events_are_sent_until_acknowledged_or_refused() {
    // status of the first, second, … delivery | acknowledged, retried, refused, of 1 event each of 2 calls
    type Case = (fn(u64) -> u16, u64, u64, u64);
    let table: [Case; 4] = [
        (|nth| if nth < 2 { 503 } else { 200 }, 2, 4, 0),
        (|nth| if nth < 1 { 429 } else { 200 }, 2, 2, 0),
        (|_| 404, 0, 0, 2),
        (|_| 500, 0, 2 * u64::from(EVENT_TRIES - 1), 2),
    ];
    for (event_status, events, retries, refused) in table {
        let exchange = FakeExchange::start(Rules { event_status, ..dials(1) });
        let mut plan = plan(&exchange, 2);
        plan.rates.busy_bps = ALWAYS;
        let figures = run(plan);
        assert_eq!(
            (figures.events, figures.event_retries, figures.events_refused),
            (events, retries, refused)
        );
    }
}

#[test]
fn added_latency_is_what_the_exchange_took_after_the_last_reply() {
    const THINKS: u64 = 40;
    for adds in [0, 30] {
        let latency = Latency::Fixed(THINKS);
        let bidder = Behaviour::NoBid { latency, form: NoBidForm::Status204 };
        let bidders = Bidders::start(1, vec![Script::new("b", bidder)]).unwrap();
        let (ping, adds) = (Some(bidders.url("b")), Duration::from_millis(adds));
        let exchange = FakeExchange::start(Rules { ping, adds, ..dials(1) });
        let mut plan = plan(&exchange, 10);
        plan.arrivals = Arrivals::Poisson(200.0);
        let figures = run_traced(plan, bidders.trace());
        let (decision, added) = (figures.decision.total, figures.added.total);
        assert_eq!((decision.count, added.count), (10, 10));
        let us = |ms: u64| ms * 1_000;
        let own = adds.as_micros() as u64;
        assert!(added.p50_us >= own * 99 / 100, "{added:?}");
        assert!(decision.p50_us >= (us(THINKS) + own) * 99 / 100, "{decision:?}");
        // A slow machine adds to both; the bidder's time is in one of them only.
        assert!(added.max_us <= decision.max_us - us(THINKS) * 9 / 10, "{added:?} {decision:?}");
    }
}

#[test]
fn arrivals_above_the_limit_are_skipped_and_a_rate_of_zero_pauses() {
    let exchange = FakeExchange::start(dials(1));
    let mut plan = plan(&exchange, 10);
    (plan.max_in_progress, plan.time_scale, plan.arrivals) = (1, 1.0, Arrivals::Poisson(0.0));
    let carriers = Carriers::start(plan, Arc::default()).unwrap();
    assert!(!carriers.wait(Duration::from_millis(20)));
    assert_eq!(carriers.snapshot().sent, 0);
    carriers.set_rate(5_000.0);
    assert!(exchange.wait(LIMIT, |seen| seen.events.values().any(|events| !events.is_empty())));
    let began = Instant::now();
    while carriers.snapshot().skipped < 9 && began.elapsed() < LIMIT {
        std::thread::yield_now();
    }
    let figures = carriers.stop(Duration::ZERO);
    assert_eq!((figures.skipped, figures.sent, figures.cut_off), (9, 1, 1));
}

#[test]
fn plans_that_cannot_be_placed_are_refused() {
    let exchange = FakeExchange::start(dials(1));
    type Case = (&'static str, fn(&mut Plan));
    let table: [Case; 8] = [
        ("carrier", |plan| plan.carriers.clear()),
        ("tracking number", |plan| plan.numbers.clear()),
        ("prefix", |plan| plan.callers = vec!["5".into()]),
        ("time_scale", |plan| plan.time_scale = 0.0),
        ("time_scale", |plan| plan.time_scale = f64::NAN),
        ("arrivals: poisson is -1", |plan| plan.arrivals = Arrivals::Poisson(-1.0)),
        ("talk", |plan| plan.talk.cap_s = 0),
        ("ring_s", |plan| plan.ring_s = (9, 3)),
    ];
    for (word, change) in table {
        let mut plan = plan(&exchange, 1);
        change(&mut plan);
        let error = Carriers::start(plan, Arc::default()).err().unwrap();
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}
