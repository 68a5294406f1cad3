//! Concurrency and caps: what is held, when it is free again, and what a caller is told meanwhile.

use serde_json::{Value, json};

use crate::support::bids::{bid, bid_after, bidders};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market};

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

#[test]
fn a_ringing_call_holds_a_slot_until_its_caller_is_gone() {
    // Scenario 6: concurrency 5, 4 talking and 1 ringing.
    let bidders = bidders([("acme", bid("21.00"))]);
    let endpoint = format!("endpoint = {{ url = \"{}\" }}", bidders.url("acme"));
    let market = Market::new(r#"{ auction = ["acme"] }"#)
        .patient()
        .buyer("acme", "concurrency = 5\n")
        .target("acme", "acme", &endpoint);
    let exchange = Exchange::start(&market);
    let calls: Vec<Value> = (0..5).map(|n| exchange.decide(&ask(&format!("CA{n}")))).collect();
    assert!(calls.iter().all(|answer| answer["reason"] == "won"));
    for talking in &calls[..4] {
        exchange.report(talking, "bridged", 1_000, json!({}));
    }
    exchange.report(&calls[4], "ringing", 1_000, json!({}));

    let refused = exchange.decide(&ask("CA-sixth"));
    assert_eq!((&refused["action"], &refused["reason"]), (&json!("hangup"), &json!("no_taker")));
    let (reason, row) = exchange.outcome(id(&refused), "acme");
    assert_eq!((reason.as_str(), &row["note"]), ("concurrency", &json!("buyer acme concurrency")));
    assert_eq!(bidders.stats("acme").pings, 5, "who has no room is not asked");

    // The slot is free when the event is answered: the very next call gets it.
    let gone = json!({"cause": "cancelled", "ended_by": "caller"});
    exchange.report(&calls[4], "ended", 9_000, gone);
    let next = exchange.decide(&ask("CA-seventh"));
    assert_eq!(next["reason"], "won");
    let end = exchange.end(id(&calls[4]));
    assert_eq!(
        (&end["reason"], &end["billable"], &end["connected"], &end["ended_by"]),
        (&json!("caller_abandon"), &json!(false), &json!(false), &json!("caller"))
    );
    assert!(exchange.ledger(id(&calls[4])).is_empty());
    for open in calls[..4].iter().chain([&next]) {
        exchange.talk(open, 95_000);
    }
    exchange.finish();
}

#[test]
fn a_call_that_ends_on_the_callers_leg_frees_the_slot_too() {
    let market = Market::new(r#""desk""#).buyer("acme", "concurrency = 1\n").target(
        "desk",
        "acme",
        "price = \"20.00\"",
    );
    let exchange = Exchange::start_with(&market, "[calls]\nlate_events_s = 1\n");
    let first = exchange.decide(&ask("CA1"));
    exchange.report(&first, "ringing", 1_000, json!({}));
    assert_eq!(exchange.decide(&ask("CA2"))["reason"], "no_taker");
    exchange.report(&first, "call_ended", 8_000, json!({"cause": "normal", "ended_by": "caller"}));
    let second = exchange.decide(&ask("CA3"));
    assert_eq!(second["reason"], "static");
    // What it was is judged after the wait for reports that may still explain it.
    let end = exchange.end(id(&first));
    assert_eq!(
        (&end["reason"], &end["billable"], &end["ended_by"]),
        (&json!("caller_abandon"), &json!(false), &json!("caller"))
    );
    exchange.give_up(&second);
    exchange.finish();
}

#[test]
fn a_daily_cap_counts_what_is_in_flight() {
    for entity in ["buyer", "target"] {
        let cap = "daily_billable = 1\n";
        let (buyer, target) = if entity == "buyer" { (cap, "") } else { ("", cap) };
        let market = Market::new(r#"{ sequential = ["desk", "other"] }"#)
            .buyer("acme", buyer)
            .target("desk", "acme", &format!("{target}price = \"20.00\""))
            .buyer("bolt", "")
            .target("other", "bolt", "price = \"9.00\"\naddress = \"+15125550901\"");
        let exchange = Exchange::start(&market);
        let took = |answer: &Value| answer["targets"][0]["address"].as_str().unwrap().to_owned();
        let (desk, other) = ("+15125550900", "+15125550901");

        let first = exchange.decide(&ask("CA1"));
        assert_eq!(took(&first), desk);
        exchange.report(&first, "bridged", 1_000, json!({}));
        let second = exchange.decide(&ask("CA2"));
        assert_eq!(took(&second), other, "the first call may still become the one");
        let (reason, row) = exchange.outcome(id(&second), "desk");
        let name = if entity == "buyer" { "buyer acme" } else { "target desk" };
        assert_eq!(
            (reason, row["note"].as_str().unwrap()),
            ("cap".to_owned(), &*format!("{name} daily cap"))
        );

        // Too short: the unit is free again.
        exchange.report(
            &first,
            "ended",
            50_000,
            json!({"cause": "normal", "ended_by": "caller", "talk_ms": 49_000}),
        );
        let third = exchange.decide(&ask("CA3"));
        assert_eq!(took(&third), desk);
        // Billable: it is gone for the day.
        exchange.talk(&third, 90_000);
        let fourth = exchange.decide(&ask("CA4"));
        assert_eq!(took(&fourth), other);
        assert_eq!(exchange.outcome(id(&fourth), "desk").0, "cap");
        assert_eq!(exchange.ledger(id(&third))[0], ("buyer:acme".to_owned(), "20.00".to_owned()));
        exchange.give_up(&second);
        exchange.give_up(&fourth);
        exchange.finish();
    }
}

#[test]
fn calls_at_once_never_pass_a_cap() {
    let market = Market::new(r#"{ sequential = ["desk"] }"#).buyer("acme", "daily_billable = 5\n").target(
        "desk",
        "acme",
        "price = \"20.00\"",
    );
    let exchange = Exchange::start(&market);
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..24)
            .map(|n| {
                let exchange = &exchange;
                scope.spawn(move || exchange.decide(&ask(&format!("CA{n}"))))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let dialled: Vec<&Value> = answers.iter().filter(|answer| answer["action"] == "dial").collect();
    assert_eq!(dialled.len(), 5);
    for refused in answers.iter().filter(|answer| answer["action"] != "dial") {
        let (reason, _) = exchange.outcome(id(refused), "desk");
        assert!(["cap", "hold_lost"].contains(&reason.as_str()), "{reason}");
    }
    dialled.iter().for_each(|answer| exchange.talk(answer, 120_000));
    assert_eq!(exchange.metric("outcry_revenue_micros_total", ""), 100_000_000.0);
    assert_eq!(exchange.decide(&ask("CA-last"))["reason"], "no_taker");
    exchange.finish();
}

#[test]
fn a_thousand_calls_at_once_share_one_last_unit() {
    // Scenario 5 on one node: a cap of 100, 99 of it used, and every decision is still open when the others begin.
    let market = bidders([("acme", bid_after(400, "50.00"))]);
    let plan = Market::new(r#"{ sequential = [{ auction = ["acme"] }, "rest"] }"#)
        .patient()
        .buyer("acme", "daily_billable = 100")
        .target("acme", "acme", &format!("endpoint = {{ url = \"{}\" }}", market.url("acme")))
        .buyer("others", "")
        .target("rest", "others", "address = \"+15125550909\"\nprice = \"20.00\"");
    let exchange = Exchange::start(&plan);
    let decide_all = |prefix: &str, calls: usize| -> Vec<Value> {
        std::thread::scope(|scope| {
            let place = |n: usize| {
                let (exchange, id) = (&exchange, format!("{prefix}{n}"));
                let thread = std::thread::Builder::new().stack_size(128 * 1024);
                thread.spawn_scoped(scope, move || exchange.decide(&ask(&id))).unwrap()
            };
            let threads: Vec<_> = (0..calls).map(place).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    };
    let is_acme = |answer: &&Value| answer["targets"][0]["address"] == "+15125550900";
    let used = decide_all("used", 99);
    assert!(used.iter().all(|answer| is_acme(&answer)));
    let end = json!({"cause": "normal", "ended_by": "caller", "talk_ms": 90_000});
    used.iter().for_each(|answer| exchange.report(answer, "ended", 90_000, end.clone()));

    let raced = decide_all("raced", 1_000);
    let won: Vec<&Value> = raced.iter().filter(is_acme).collect();
    assert_eq!(won.len(), 1);
    let elsewhere = raced.iter().filter(|answer| answer["targets"][0]["address"] == "+15125550909").count();
    assert_eq!(elsewhere, 999, "every other call goes to somebody else");
    exchange.report(won[0], "ended", 90_000, end.clone());
    let revenue = exchange.metric("outcry_revenue_micros_total", "");
    assert_eq!(revenue, 100.0 * 50_000_000.0);
    let cap = exchange.decide(&ask("after"));
    assert_eq!(exchange.outcome(id(&cap), "acme").0, "cap");
    let gone = json!({"cause": "cancelled", "ended_by": "caller"});
    for answer in raced.iter().chain([&cap]).filter(|answer| !is_acme(answer)) {
        exchange.report(answer, "ended", 1_000, gone.clone());
    }
    exchange.finish();
}

#[test]
fn a_test_call_takes_no_unit() {
    let market = Market::new(r#""desk""#).buyer("acme", "daily_billable = 1\nconcurrency = 1\n").target(
        "desk",
        "acme",
        "price = \"20.00\"",
    );
    let exchange = Exchange::start_with(&market, "[calls]\ntest_address = \"sip:echo@lab.example\"\n");
    let mut test = ask("CA1");
    test["test"] = json!(true);
    let test = exchange.decide(&test);
    assert_eq!(test["targets"][0]["address"], "sip:echo@lab.example");
    let live = exchange.decide(&ask("CA2"));
    assert_eq!(live["reason"], "static");
    exchange.give_up(&test);
    exchange.give_up(&live);
    exchange.finish();
}
