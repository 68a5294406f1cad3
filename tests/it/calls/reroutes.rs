//! What follows an attempt that came to nothing: the next step, to whom, at whose terms, and when nothing does.

use load::bidders::Behaviour;
use serde_json::{Value, json};

use crate::support::bids::{bid, bid_after, bidders, no_bid};
use crate::support::market::{CALLER, NUMBER};
use crate::support::strace::{Strace, by_threads};
use crate::support::{Exchange, Market, eventually, request};

const WAITING: &str = "[calls]\nnext_within_s = 60\n";

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

fn dialled(answer: &Value) -> &str {
    answer["targets"][0]["address"].as_str().unwrap_or("nobody")
}

/// The call with its second step: a step is answered before it is explained.
fn second_step(exchange: &Exchange, first: &Value) -> Value {
    eventually("the step is on disk", || {
        Some(exchange.explained(id(first))).filter(|explained| explained["steps"][1].is_object())
    })
}

fn busy() -> Value {
    json!({"cause": "busy", "ended_by": "target"})
}

/// Three fixed prices, each with an address of its own, tried in order.
fn ladder(campaign: &str) -> Market {
    let mut market = Market::new(r#"{ sequential = ["one", "two", "three"] }"#).campaign(campaign);
    for (n, name) in ["one", "two", "three"].into_iter().enumerate() {
        let lines = format!("address = \"+1512555090{n}\"\nprice = \"{}.00\"\nconcurrency = 1", 20 + n);
        market = market.buyer(name, "").target(name, name, &lines);
    }
    market
}

const PAYOUT: &str = "payout = { fixed = \"5.00\" }";

#[test]
fn a_failed_winner_is_followed_by_the_bids_that_still_stand() {
    // Scenario 4: A 50, B 40, C 20 under a floor of 30; then the static member of the plan.
    let market = bidders([("a", bid("50")), ("b", bid("40")), ("c", bid("20")), ("d", no_bid())]);
    let mut plan = Market::new(r#"{ sequential = [{ auction = ["a", "b", "c", "d"] }, "desk"] }"#)
        .campaign("floor = \"30.00\"\npayout = { fixed = \"5.00\" }")
        .patient();
    for (n, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let url = market.url(name);
        let lines =
            format!("address = \"+1512555090{n}\"\nconcurrency = 1\nendpoint = {{ url = \"{url}\" }}");
        plan = plan.buyer(name, "").target(name, name, &lines);
    }
    let plan = plan.target("desk", "a", "address = \"+15125550909\"\nprice = \"31.00\"");
    let exchange = Exchange::start_with(&plan, WAITING);

    let first = exchange.decide(&ask("CA1"));
    assert_eq!(
        (dialled(&first), &first["step"], &first["basis"]),
        ("+15125550900", &json!(1), &json!("auction"))
    );
    let second = exchange.go_on(&first, json!({"cause": "no_answer", "ended_by": "carrier", "talk_ms": 0}));
    assert_eq!(
        (dialled(&second), &second["step"], &second["basis"]),
        ("+15125550901", &json!(2), &json!("auction"))
    );
    assert_eq!(second["targets"][0]["attempt"], 2);
    let third = exchange.go_on(&second, busy());
    assert_eq!(
        (dialled(&third), &third["basis"], &third["reason"]),
        ("+15125550909", &json!("static"), &json!("static"))
    );
    let end = json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000});
    let last = exchange.go_on(&third, end);
    assert_eq!(
        (&last["action"], &last["reason"], &last["next"]),
        (&json!("hangup"), &json!("billable"), &Value::Null)
    );

    let call = id(&first);
    let booked = [("buyer:a", "31.00"), ("publisher:pub", "-5.00"), ("exchange", "-26.00")];
    assert_eq!(exchange.ledger(call), booked.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let explained = exchange.explained(call);
    let attempts: Vec<(&Value, &Value, &Value)> = explained["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["target"], &one["price"], &one["end"]["reason"]))
        .collect();
    let expected = [
        (json!("a"), json!("50.00"), json!("no_answer")),
        (json!("b"), json!("40.00"), json!("busy")),
        (json!("desk"), json!("31.00"), json!("billable")),
    ];
    assert_eq!(attempts, expected.iter().map(|(a, b, c)| (a, b, c)).collect::<Vec<_>>());
    assert_eq!(explained["end"]["reason"], "billable");
    assert_eq!(explained["end"]["target"], "desk");
    let steps = explained["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    let reason = |step: usize, target: &str| {
        let outcomes = steps[step]["outcomes"].as_array().unwrap().iter();
        outcomes
            .clone()
            .find(|row| row["target"] == target)
            .map(|row| row["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(reason(0, "b").as_deref(), Some("outbid"));
    assert_eq!(reason(1, "b").as_deref(), Some("won"));
    assert_eq!(
        (reason(1, "a"), reason(1, "c")),
        (None, None),
        "who was tried or lost for good is not in the step"
    );
    assert_eq!(exchange.metric("outcry_calls_ended_total", ""), 1.0);
    exchange.finish();
}

#[test]
fn the_same_step_again_gets_the_same_bytes() {
    let exchange = Exchange::start_with(&ladder(PAYOUT), WAITING);
    let first = exchange.decide(&ask("CA1"));
    let second = exchange.next(&first, busy());
    // Told otherwise the second time: the first word counts.
    let again = exchange.next(&first, json!({"cause": "normal", "ended_by": "caller", "talk_ms": 500_000}));
    assert_eq!((second.status, &second.body), (again.status, &again.body));
    let answers: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let second = second.json();
        let asks: Vec<_> = (0..8)
            .map(|_| {
                let (exchange, second) = (&exchange, second.clone());
                scope.spawn(move || exchange.next(&second, busy()).body)
            })
            .collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let third: Value = serde_json::from_slice(&answers[0]).unwrap();
    assert_eq!(dialled(&third), "+15125550902");
    let goodbye = exchange.next(&third, busy()).json();
    assert_eq!(
        (&goodbye["action"], &goodbye["hangup"]["cause"]),
        (&json!("hangup"), &json!("busy")),
        "the plan's end"
    );
    assert_eq!(exchange.ledger(id(&first)), []);
    assert_eq!(exchange.end(id(&first))["reason"], "busy");
    assert_eq!(exchange.explained(id(&first))["attempts"].as_array().unwrap().len(), 3);
    exchange.finish();
}

#[test]
fn the_old_hold_is_free_before_the_next_is_taken() {
    // One call at a time over the buyer: the second target of the same buyer can only ring once the first is let go.
    let market = Market::new(r#"{ sequential = ["one", "two"] }"#)
        .buyer("acme", "concurrency = 1")
        .target("one", "acme", "address = \"+15125550901\"\nprice = \"20.00\"")
        .target("two", "acme", "address = \"+15125550902\"\nprice = \"20.00\"");
    let exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(dialled(&exchange.decide(&ask("CA2"))), "nobody", "the buyer has its one call");
    let second = exchange.go_on(&first, busy());
    assert_eq!(dialled(&second), "+15125550902");
    exchange.go_on(&second, busy());
    exchange.finish();
}

#[test]
fn a_caller_who_left_is_followed_by_nothing() {
    // Scenario 7: told by the end of the leg, by the end of the call, or by `next` itself.
    let exchange = Exchange::start_with(&ladder(PAYOUT), WAITING);
    let gone = json!({"cause": "cancelled", "ended_by": "caller"});
    for how in ["leg", "call", "next"] {
        let first = exchange.decide(&ask(how));
        match how {
            "leg" => exchange.report(&first, "ended", 4_000, gone.clone()),
            "call" => exchange.report(&first, "call_ended", 4_000, gone.clone()),
            _ => {}
        }
        // The slot of the only call is free at once.
        if how != "next" {
            let other = exchange.decide(&ask(&format!("{how}-after")));
            assert_eq!(dialled(&other), "+15125550900", "{how}");
            exchange.report(&other, "ended", 4_000, gone.clone());
        }
        let last = exchange.go_on(&first, gone.clone());
        assert_eq!((&last["action"], &last["reason"]), (&json!("hangup"), &json!("caller_abandon")), "{how}");
        assert_eq!(exchange.end(id(&first))["reason"], "caller_abandon", "{how}");
        assert_eq!(exchange.ledger(id(&first)), [], "{how}");
    }
    exchange.finish();
}

#[test]
fn an_early_hang_up_goes_on_only_when_the_target_did_it() {
    // Scenario 8, with a threshold of 20 s.
    let exchange = Exchange::start_with(&ladder(&format!("{PAYOUT}\nrecovery_s = 20")), WAITING);
    let end = |by: &str, talk_ms: u64| json!({"cause": "normal", "ended_by": by, "talk_ms": talk_ms});
    for (n, (by, talk_ms, goes_on)) in [
        ("target", 6_000, true),
        ("target", 19_999, true),
        ("target", 20_000, false),
        ("caller", 6_000, false),
    ]
    .into_iter()
    .enumerate()
    {
        let first = exchange.decide(&ask(&format!("CA{n}")));
        let second = exchange.go_on(&first, end(by, talk_ms));
        assert_eq!(second["action"] == "dial", goes_on, "{by} after {talk_ms} ms");
        if goes_on {
            assert_eq!(dialled(&second), "+15125550901");
            exchange.go_on(&second, end("caller", 100_000));
            let accounts: Vec<String> = exchange.ledger(id(&first)).into_iter().map(|(a, _)| a).collect();
            assert_eq!(accounts, ["buyer:two", "publisher:pub", "exchange"], "the first buyer is not billed");
        } else {
            assert_eq!(second["reason"], "too_short");
        }
    }
    exchange.finish();
}

#[test]
fn at_most_one_attempt_is_billed() {
    let exchange = Exchange::start_with(&ladder(PAYOUT), &format!("{WAITING}late_events_s = 3600\n"));
    // Of the first attempt nothing was heard for so long that it counts as lost; then both turn out to have talked.
    let first = exchange.decide(&ask("CA1"));
    let second = exchange.go_on(&first, json!({"cause": "failed", "ended_by": "carrier"}));
    let talked = |attempt: u32| {
        json!({"attempt": attempt, "event_id": format!("late-{attempt}"), "cause": "normal", "ended_by": "caller",
            "talk_ms": 100_000})
    };
    exchange.report(&second, "ended", 110_000, talked(2));
    exchange.report(&second, "ended", 111_000, talked(1));
    let accounts: Vec<String> = exchange.ledger(id(&first)).into_iter().map(|(a, _)| a).collect();
    assert_eq!(accounts, ["buyer:two", "publisher:pub", "exchange"]);
    exchange.finish();
}

#[test]
fn what_next_knows_better_than_the_event_before_it_counts() {
    let exchange = Exchange::start_with(&ladder(PAYOUT), WAITING);
    // Picked up by a whisper and never put through: the time since the answer is no talk.
    let first = exchange.decide(&ask("CA1"));
    exchange.report(&first, "answered", 0, json!({}));
    exchange.report(&first, "ended", 100_000, json!({"cause": "normal", "ended_by": "target"}));
    let second = exchange.go_on(&first, json!({"cause": "normal", "ended_by": "target", "talk_ms": 0}));
    assert_eq!(dialled(&second), "+15125550901");
    exchange.go_on(&second, json!({"cause": "cancelled", "ended_by": "caller"}));
    assert_eq!(exchange.ledger(id(&first)), []);
    // Who left is told by `next` only.
    let first = exchange.decide(&ask("CA2"));
    exchange.report(&first, "ended", 4_000, json!({"cause": "no_answer"}));
    let last = exchange.go_on(&first, json!({"cause": "no_answer", "ended_by": "caller"}));
    assert_eq!(last["action"], "hangup");
    exchange.finish();
}

#[test]
fn a_caller_who_leaves_while_a_step_is_decided_is_handed_to_nobody() {
    let market = bidders([("slow", bid_after(400, "30"))]);
    let plan = Market::new(r#"{ sequential = ["desk", { auction = ["slow"] }] }"#)
        .patient()
        .campaign(PAYOUT)
        .buyer("acme", "")
        .target("desk", "acme", "price = \"20.00\"")
        .buyer("other", "concurrency = 1")
        .target("slow", "other", &format!("endpoint = {{ url = \"{}\" }}", market.url("slow")));
    let exchange = Exchange::start_with(&plan, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let last = std::thread::scope(|scope| {
        let step = scope.spawn(|| exchange.go_on(&first, busy()));
        eventually("the second is asked", || (market.stats("slow").pings > 0).then_some(()));
        exchange.report(&first, "call_ended", 4_000, json!({"cause": "cancelled", "ended_by": "caller"}));
        step.join().unwrap()
    });
    assert_eq!(
        (&last["action"], &last["step"], &last["reason"]),
        (&json!("hangup"), &json!(2), &json!("busy"))
    );
    let explained = second_step(&exchange, &first);
    assert_eq!(explained["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(explained["steps"][1]["outcomes"][0]["reason"], "caller_abandon");
    assert_eq!(exchange.metric("outcry_steps_total", "hangup"), 1.0);
    assert_eq!(exchange.metric("outcry_steps_total", "dial"), 0.0);
    exchange.finish();
}

#[test]
fn an_offer_stands_for_the_buyer_that_made_it() {
    let market = bidders([("best", bid("50")), ("sold", bid("40"))]);
    let mut plan = Market::new(r#"{ auction = ["best", "sold"] }"#)
        .campaign(&format!("{PAYOUT}\nearly_close = false"))
        .patient();
    for name in ["best", "sold"] {
        let lines = format!("endpoint = {{ url = \"{}\" }}", market.url(name));
        plan = plan.buyer(name, "").target(name, name, &lines);
    }
    let plan = plan.buyer("heir", "");
    let exchange = Exchange::start_with(&plan, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let sold = plan.text().replace("buyer = \"sold\"", "buyer = \"heir\"");
    assert_ne!(sold, plan.text());
    std::fs::write(exchange.folder.path().join("catalog/market.toml"), sold).unwrap();
    exchange.signal("HUP");
    eventually("the catalog is reloaded", || {
        (exchange.metric("outcry_config_reloads_total", "done") == 1.0).then_some(())
    });
    let second = exchange.go_on(&first, busy());
    assert_eq!(dialled(&second), "nobody", "what one buyer bid is not billed to another");
    exchange.finish();
}

#[test]
fn the_plans_end_is_that_of_the_decision_at_every_step() {
    let market = ladder(PAYOUT);
    let exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let moved = market.text().replace("busy", "rejected");
    assert_ne!(moved, market.text());
    std::fs::write(exchange.folder.path().join("catalog/market.toml"), moved).unwrap();
    exchange.signal("HUP");
    eventually("the catalog is reloaded", || {
        (exchange.metric("outcry_config_reloads_total", "done") == 1.0).then_some(())
    });
    let second = exchange.go_on(&first, busy());
    let third = exchange.go_on(&second, busy());
    let last = exchange.go_on(&third, busy());
    assert_eq!(last["hangup"]["cause"], "busy");
    exchange.finish();
}

#[test]
fn a_test_call_is_in_no_count_of_ends() {
    let settings = "test_address = \"+15125550777\"\n";
    let exchange = Exchange::start_with(&ladder(PAYOUT), &format!("[calls]\n{settings}"));
    let mut test = ask("CA1");
    test["test"] = json!(true);
    let answer = exchange.decide(&test);
    assert_eq!(answer["action"], "dial");
    exchange.report(
        &answer,
        "ended",
        95_000,
        json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000}),
    );
    assert_eq!(exchange.end(id(&answer))["reason"], "test");
    assert_eq!(exchange.metric("outcry_calls_ended_total", ""), 0.0);
    exchange.finish();
}

#[test]
fn attempts_and_ringing_are_bounded() {
    let exchange =
        Exchange::start_with(&ladder(&format!("{PAYOUT}\nattempts = 2\nring_budget_s = 30")), WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(first["targets"][0]["ring_s"], 20);
    let second = exchange.go_on(&first, busy());
    let ring = second["targets"][0]["ring_s"].as_u64().unwrap();
    assert!((8..=20).contains(&ring), "{ring}");
    let last = exchange.go_on(&second, busy());
    assert_eq!(
        (&last["action"], &last["reason"]),
        (&json!("hangup"), &json!("no_taker")),
        "two attempts, no more"
    );
    exchange.finish();
}

#[test]
fn who_may_be_given_the_call_is_asked_anew() {
    let market = ladder(PAYOUT);
    let exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    // Between the steps `two` is paused, and `three` gets dearer: the call is no bid of theirs, so the price of now counts.
    let paused = market.text().replace("price = \"21.00\"", "price = \"21.00\"\npaused = true");
    let paused = paused.replace("price = \"22.00\"", "price = \"27.00\"");
    std::fs::write(exchange.folder.path().join("catalog/market.toml"), paused).unwrap();
    exchange.signal("HUP");
    eventually("the catalog is reloaded", || {
        (exchange.metric("outcry_config_reloads_total", "done") == 1.0).then_some(())
    });
    let second = exchange.go_on(&first, busy());
    assert_eq!(dialled(&second), "+15125550902");
    exchange.go_on(&second, json!({"cause": "normal", "ended_by": "caller", "talk_ms": 90_000}));
    let explained = exchange.explained(id(&first));
    let outcomes = explained["steps"][1]["outcomes"].as_array().unwrap();
    let words: Vec<&str> = outcomes.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(words, ["paused", "won"], "{outcomes:#?}");
    assert_ne!(
        explained["attempts"][0]["catalog"], explained["attempts"][1]["catalog"],
        "both versions are recorded"
    );
    assert_eq!(exchange.ledger(id(&first))[0], ("buyer:three".to_owned(), "27.00".to_owned()));
    exchange.finish();
}

#[test]
fn a_later_auction_of_the_plan_asks_in_its_own_step() {
    let market = bidders([("early", bid("30")), ("late", bid("25"))]);
    let plan = Market::new(r#"{ sequential = [{ auction = ["early"] }, { auction = ["late"] }] }"#)
        .patient()
        .bidder("early", &market.url("early"))
        .bidder("late", &market.url("late"));
    let exchange = Exchange::start_with(&plan, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let explained = exchange.explained(id(&first));
    assert_eq!(explained["steps"][0]["outcomes"][1]["reason"], "not_reached");
    let second = exchange.go_on(&first, busy());
    assert_eq!((&second["action"], &second["basis"]), (&json!("dial"), &json!("auction")));
    exchange.go_on(&second, json!({"cause": "normal", "ended_by": "target", "talk_ms": 120_000}));
    assert_eq!(exchange.ledger(id(&first))[0], ("buyer:late".to_owned(), "25.00".to_owned()));
    exchange.finish();
}

#[test]
fn what_next_cannot_use_is_refused_and_changes_nothing() {
    let exchange = Exchange::start_with(&ladder(PAYOUT), WAITING);
    let first = exchange.decide(&ask("CA1"));
    let ended = json!({"attempt": 1, "cause": "busy", "ended_by": "target"});
    let whole = json!({"step": 1, "result": "attempts_ended", "attempts": [ended]});
    let with = |key: &str, value: Value| {
        let mut body = whole.clone();
        body[key] = value;
        body
    };
    for (body, at) in [
        (json!([]), "body"),
        (with("step", json!("one")), "step"),
        (with("step", json!(0)), "step"),
        (with("step", json!(2)), "step"),
        (with("result", json!("done")), "result"),
        (with("at", json!("yesterday")), "at"),
        // How long they talked would be by our clock.
        (with("attempts", json!([{"attempt": 1, "cause": "normal", "ended_by": "caller"}])), "at"),
        (with("attempts", json!([{"attempt": 1, "cause": "failed", "ended_by": "carrier"}])), "at"),
        (with("attempts", json!([])), "attempts"),
        (with("attempts", json!({})), "attempts"),
        (with("attempts", json!([{"attempt": 1}])), "attempts[0].cause"),
        (with("attempts", json!([{"attempt": 2, "cause": "busy"}])), "attempt"),
        (with("attempts", json!([{"attempt": 1, "cause": "bored"}])), "attempts[0].cause"),
        (with("attempts", json!([{"attempt": 1, "cause": "busy", "talk_ms": -1}])), "attempts[0].talk_ms"),
        (with("attempts", json!(vec![json!({"attempt": 1, "cause": "busy"}); 17])), "attempts"),
    ] {
        let refused = exchange.next_as(&first, &body);
        assert_eq!(refused.status, 400, "{body}: {}", refused.text());
        let errors = refused.json()["errors"].clone();
        assert!(errors.as_array().unwrap().iter().any(|error| error["at"] == at), "{body}: {errors}");
    }
    let url = first["next"].as_str().unwrap();
    let path = crate::support::path_of(&url.replace(id(&first), "00000000000000000000000001"));
    let unknown = request(&exchange.traffic, "POST", &path, None, whole.to_string().as_bytes());
    assert_eq!(unknown.status, 404);
    let kept = exchange.get("/api/v1/unknown-reports").json();
    assert_eq!(kept["reports"][0]["detail"], "busy, by target", "what it reported is kept for the operator");
    let other = request(
        &exchange.traffic,
        "POST",
        &crate::support::path_of(url),
        Some("key-of-other"),
        whole.to_string().as_bytes(),
    );
    assert_eq!(other.status, 403);
    let token = url.rsplit('/').next().unwrap();
    let forged = crate::support::path_of(&url.replace(token, &"0".repeat(32)));
    assert_eq!(request(&exchange.traffic, "POST", &forged, None, whole.to_string().as_bytes()).status, 404);
    // Nothing of it counted: the first attempt is what it was.
    let second = exchange.next_as(&first, &whole);
    assert_eq!(second.status, 200);
    assert_eq!(dialled(&second.json()), "+15125550901");
    exchange.next(&second.json(), json!({"cause": "cancelled", "ended_by": "caller"}));
    exchange.finish();
}

#[test]
fn a_call_record_settles_what_was_lost_and_only_once() {
    // Scenario 12: the end never came. The carrier's record knows the call by the carrier's own name.
    let market = Market::new(r#""desk""#).campaign("payout = { fixed = \"5.00\" }").buyer("acme", "").target(
        "desk",
        "acme",
        "price = \"20.00\"\nring_s = 5",
    );
    let exchange = Exchange::start(&market);
    let answer = exchange.decide(&ask("CA1"));
    let record = json!({"carrier_call_id": "CA1", "event_id": "cdr-1", "type": "ended", "cause": "normal",
        "ended_by": "caller", "talk_ms": 95_000, "at": "2026-11-20T09:02:00.000Z"});
    let send = |key: Option<&str>, body: &Value| {
        request(&exchange.traffic, "POST", "/v1/events", key, body.to_string().as_bytes())
    };
    assert_eq!(send(None, &record).status, 401);
    assert_eq!(
        send(Some("key-of-other"), &record).status,
        404,
        "another carrier's calls are a namespace of their own"
    );
    assert_eq!(send(Some("key-of-sw"), &record).status, 200);
    assert_eq!(send(Some("key-of-sw"), &record).status, 200);
    assert_eq!(exchange.ledger(id(&answer)).len(), 3);
    // A call nobody knows: refused, and kept for the operator, without what could be a number.
    let mut unknown = record.clone();
    unknown["carrier_call_id"] = json!("leg +15125550123");
    assert_eq!(send(Some("key-of-sw"), &unknown).status, 404);
    let kept = exchange.get("/api/v1/unknown-reports").json();
    assert_eq!(kept["reports"].as_array().unwrap().len(), 2);
    assert_eq!(kept["reports"][0]["carrier"], "sw");
    assert!(!kept.to_string().contains("5550123"), "{kept}");
    assert_eq!(exchange.metric("outcry_unknown_reports_total", "ended"), 2.0);
    exchange.finish();
}

#[test]
fn a_bid_that_came_after_an_early_end_serves_the_next_attempt() {
    let market =
        bidders([("quick", bid("50")), ("slow", bid_after(150, "40")), ("dear", bid_after(150, "44"))]);
    let mut plan = Market::new(r#"{ auction = ["quick", "slow", "dear"] }"#).patient();
    for (n, (name, most)) in [("quick", "60"), ("slow", "45"), ("dear", "45")].into_iter().enumerate() {
        let endpoint = format!("{{ url = \"{}\", max_bid = \"{most}.00\" }}", market.url(name));
        let lines = format!("address = \"+1512555090{n}\"\nendpoint = {endpoint}");
        plan = plan.buyer(name, "").target(name, name, &lines);
    }
    let exchange = Exchange::start_with(&plan, WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(dialled(&first), "+15125550900");
    // Both bids have come once their outcome is final.
    let explained = exchange.explained(id(&first));
    assert_eq!(explained["steps"][0]["close"], "early");
    let (reason, row) = exchange.outcome(id(&first), "slow");
    assert_eq!((reason.as_str(), &row["amount"]), ("not_needed", &json!("40.00")));
    let second = exchange.go_on(&first, busy());
    assert_eq!(
        (dialled(&second), &second["basis"]),
        ("+15125550902", &json!("auction")),
        "the better of the two"
    );
    let third = exchange.go_on(&second, busy());
    assert_eq!(dialled(&third), "+15125550901");
    exchange.go_on(&third, json!({"cause": "normal", "ended_by": "target", "talk_ms": 90_000}));
    assert_eq!(exchange.ledger(id(&first))[0], ("buyer:slow".to_owned(), "40.00".to_owned()));
    exchange.finish();
}

/// In time is what comes before its own auction closes, whichever of the step's auctions closed earlier.
#[test]
fn a_bid_in_time_for_its_own_auction_serves_the_next_attempt() {
    let market = bidders([("mute", Behaviour::Hang), ("quick", bid("50")), ("slow", bid_after(300, "40"))]);
    let root =
        r#"{ sequential = [{ auction = ["mute"], timeout_ms = 60 }, { auction = ["quick", "slow"] }] }"#;
    let mut plan = Market::new(root).patient();
    for (n, (name, most)) in [("mute", "60"), ("quick", "60"), ("slow", "45")].into_iter().enumerate() {
        let endpoint = format!("{{ url = \"{}\", max_bid = \"{most}.00\" }}", market.url(name));
        let lines = format!("address = \"+1512555090{n}\"\nendpoint = {endpoint}");
        plan = plan.buyer(name, "").target(name, name, &lines);
    }
    let exchange = Exchange::start_with(&plan, WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(dialled(&first), "+15125550901");
    assert_eq!(exchange.outcome(id(&first), "slow").0, "not_needed");
    assert_eq!(exchange.outcome(id(&first), "mute").0, "timeout");
    let second = exchange.go_on(&first, busy());
    assert_eq!((dialled(&second), &second["basis"]), ("+15125550902", &json!("auction")));
    exchange.go_on(&second, json!({"cause": "cancelled", "ended_by": "caller"}));
    exchange.finish();
}

#[test]
fn a_bid_that_died_meanwhile_is_skipped() {
    // Its life is 6 s; the guard asks for 5 s when it is handed out, so a step 2 s later finds it dead.
    let short =
        Behaviour::Fixed { latency_ms: 2, body: r#"{"ping_id":"$PING_ID","bid":"40","ttl_s":6}"#.to_owned() };
    let market = bidders([("best", bid("50")), ("short", short), ("long", bid("30"))]);
    let mut plan = Market::new(r#"{ auction = ["best", "short", "long"] }"#)
        .patient()
        .campaign("early_close = false\npayout = { fixed = \"5.00\" }\ndeadline_ms = 900");
    for (n, name) in ["best", "short", "long"].into_iter().enumerate() {
        let lines = format!("address = \"+1512555090{n}\"\nendpoint = {{ url = \"{}\" }}", market.url(name));
        plan = plan.buyer(name, "").target(name, name, &lines);
    }
    let exchange = Exchange::start_with(&plan, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let decided = std::time::Instant::now();
    eventually("the bid is too old", || (decided.elapsed().as_millis() > 1_500).then_some(()));
    let second = exchange.go_on(&first, busy());
    assert_eq!(dialled(&second), "+15125550902");
    exchange.go_on(&second, json!({"cause": "cancelled", "ended_by": "caller"}));
    let explained = second_step(&exchange, &first);
    let outcomes = explained["steps"][1]["outcomes"].as_array().unwrap();
    let words: Vec<&str> = outcomes.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(words, ["expired", "won"]);
    exchange.finish();
}

#[test]
fn no_caller_waits_for_a_disk_to_hear_the_next_target_ring() {
    // The journal cannot be written, and everything that can wait for it does.
    let market = Market::new(r#"{ sequential = ["one", "two"] }"#)
        .buyer("acme", "")
        .target("one", "acme", "address = \"+15125550900\"\nprice = \"20.00\"")
        .target("two", "acme", "address = \"+15125550901\"\nprice = \"20.00\"");
    let exchange = Exchange::start_edited(&market, |text| {
        by_threads(&text)
            .replace("[journal]\n", "[journal]\nqueue = 1024\n")
            .replace("next_within_s = 0", "next_within_s = 60")
    });
    let waiting = exchange.decide(&ask("CA-waiting"));
    exchange.explained(id(&waiting));
    let stuck = Strace::no_write(&exchange);
    let talk = json!({"cause": "normal", "ended_by": "caller", "talk_ms": 100_000});
    // What may be dropped leaves one place in eight to what may not; that takes the rest.
    (0..1_500).for_each(|n| drop(exchange.decide(&ask(&format!("CA{n}")))));
    std::thread::scope(|scope| {
        for n in 0..200 {
            let (exchange, waiting) = (&exchange, &waiting);
            let event =
                json!({"event_id": format!("e{n}"), "type": "digits", "at": "2026-11-20T09:00:00.000Z"});
            let thread = std::thread::Builder::new().stack_size(128 * 1024);
            thread.spawn_scoped(scope, move || exchange.event(waiting, &event).status).unwrap();
        }
        eventually("nothing more fits", || exchange.get("/readyz").text().contains("is full").then_some(()));
        let second = exchange.go_on(&waiting, busy());
        assert_eq!(dialled(&second), "+15125550901");
        // Nothing was billed, so nothing has to be safe before the carrier hears that it is over.
        let last = exchange.next(&second, json!({"cause": "cancelled", "ended_by": "caller"}));
        assert_eq!((last.status, &last.json()["action"]), (200, &json!("hangup")));
        // A talk is another matter.
        let talked = exchange.decide(&ask("CA-talked"));
        assert_eq!(exchange.next(&talked, talk.clone()).status, 503);
        drop(stuck);
        let told = || {
            let last = exchange.next(&talked, talk.clone());
            (last.status == 200).then(|| last.json())
        };
        assert_eq!(eventually("there is room again", told)["action"], "hangup");
        assert_eq!(exchange.ledger(id(&talked)).len(), 3);
    });
}
