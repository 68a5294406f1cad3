//! Who takes a call, and what everybody else is told: price, tier, filters, hours, pause, destinations.

use serde_json::{Value, json};

use load::bidders::{Behaviour, Bidders};

use crate::support::bids::{bid, bidders, no_bid};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market};

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

/// Starts an exchange in which every bidder has its lines beside its endpoint.
fn start(bidders: &Bidders, root: &str, campaign: Option<&str>, lines: &[(&str, &str)]) -> Exchange {
    let mut market = Market::new(root).patient();
    if let Some(campaign) = campaign {
        market = market.campaign(campaign);
    }
    for (n, (name, lines)) in lines.iter().enumerate() {
        let endpoint = format!("endpoint = {{ url = \"{}\" }}", bidders.url(name));
        let address = format!("address = \"+1512555090{n}\"");
        market = market.buyer(name, "").target(name, name, &format!("{address}\n{lines}\n{endpoint}"));
    }
    Exchange::start(&market)
}

/// The reasons of these targets in this call.
fn reasons<const N: usize>(exchange: &Exchange, answer: &Value, targets: [&str; N]) -> [String; N] {
    targets.map(|target| exchange.outcome(id(answer), target).0)
}

#[test]
fn nobody_bids_and_there_is_no_fallback() {
    // Scenario 21: an explicit action, and as many reasons as targets.
    let bidders = bidders([
        ("none", no_bid()),
        ("zero", bid("0")),
        ("garbage", Behaviour::Garbage),
        ("error", Behaviour::Status(500)),
        ("busy", Behaviour::Status(429)),
        ("dead", Behaviour::DeadPort),
        ("hangs", Behaviour::Hang),
        ("low", bid("3.00")),
    ]);
    let names = ["none", "zero", "garbage", "error", "busy", "dead", "hangs", "low"];
    let lines: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
    let root = format!("{{ auction = {names:?} }}");
    let exchange = start(&bidders, &root, Some("floor = \"4.00\"\npayout = { share = \"50%\" }"), &lines);
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(
        (&answer["action"], &answer["basis"], &answer["reason"], &answer["hangup"]),
        (&json!("hangup"), &json!("terminal"), &json!("no_taker"), &json!({"cause": "busy"}))
    );
    let explained = exchange.explained(id(&answer));
    let outcomes = explained["steps"][0]["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), names.len(), "one reason each, none unexplained");
    let expected =
        ["no_bid", "no_bid", "malformed", "http_status", "throttled", "connect", "timeout", "below_floor"];
    assert_eq!(reasons(&exchange, &answer, names), expected);
    assert_eq!(explained["steps"][0]["is_final"], true);
    assert_eq!(exchange.metric("outcry_outcomes_total", ""), names.len() as f64);
    exchange.finish();
}

#[test]
fn a_bid_below_the_floor_loses_and_the_floor_itself_wins() {
    let bidders = bidders([("acme", bid("9.99")), ("bolt", bid("10.00")), ("cedar", bid("30.00"))]);
    let exchange = start(
        &bidders,
        r#"{ auction = ["acme", "bolt", "cedar"] }"#,
        Some("floor = \"10.00\"\npayout = { fixed = \"1.00\" }"),
        &[("acme", ""), ("bolt", ""), ("cedar", "floor = \"30.01\"")],
    );
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(reasons(&exchange, &answer, ["acme", "bolt", "cedar"]), ["below_floor", "won", "below_floor"]);
    assert_eq!(exchange.outcome(id(&answer), "acme").1["amount"], "9.99");
    exchange.give_up(&answer);
    exchange.finish();
}

#[test]
fn a_higher_tier_wins_until_takeover() {
    // Scenario 20.
    for (second, winner, takeover) in
        [("45.00", "acme", true), ("55.00", "bolt", true), ("55.00", "acme", false)]
    {
        let bidders = bidders([("acme", bid("30.00")), ("bolt", bid(second))]);
        let takeover = if takeover { ", takeover = \"50.00\"" } else { "" };
        let root = format!("{{ auction = [\"acme\", \"bolt\"]{takeover} }}");
        // Both are heard to the end: which of them comes first is not what is asked here.
        let waits = Some("early_close = false\npayout = { fixed = \"1.00\" }");
        let exchange = start(&bidders, &root, waits, &[("acme", "tier = 1"), ("bolt", "tier = 2")]);
        let answer = exchange.decide(&ask("CA1"));
        let lost = if winner == "acme" { ["won", "lower_tier"] } else { ["outbid", "won"] };
        assert_eq!(reasons(&exchange, &answer, ["acme", "bolt"]), lost, "{second}{takeover}");
        exchange.give_up(&answer);
        exchange.finish();
    }
}

#[test]
fn a_multiplier_moves_the_order_and_not_the_price() {
    let bidders = bidders([("acme", bid("20.00")), ("bolt", bid("25.00"))]);
    let exchange = start(
        &bidders,
        r#"{ auction = ["acme", "bolt"] }"#,
        None,
        &[("acme", "multiplier = \"150%\""), ("bolt", "")],
    );
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(reasons(&exchange, &answer, ["acme", "bolt"]), ["won", "outbid"]);
    exchange.talk(&answer, 90_000);
    assert_eq!(exchange.ledger(id(&answer))[0], ("buyer:acme".to_owned(), "20.00".to_owned()));
    exchange.finish();
}

#[test]
fn equal_bids_are_told_apart_by_priority_then_by_weight() {
    let bidders = bidders([("acme", bid("20.00")), ("bolt", bid("20.00")), ("cedar", bid("20.00"))]);
    let root = r#"{ auction = ["acme", "bolt", "cedar"] }"#;
    let lines = [("acme", "priority = 20"), ("bolt", "priority = 10"), ("cedar", "priority = 30")];
    let exchange = start(&bidders, root, None, &lines);
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(reasons(&exchange, &answer, ["acme", "bolt", "cedar"]), ["tie_lost", "won", "tie_lost"]);
    exchange.give_up(&answer);
    exchange.finish();
    // Without a priority it is drawn, and nothing weighs nothing.
    let lines = [("acme", "weight = 0"), ("bolt", "weight = 0"), ("cedar", "weight = 5")];
    let exchange = start(&bidders, root, None, &lines);
    for n in 0..8 {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        assert_eq!(answer["targets"][0]["address"], "+15125550902");
        exchange.give_up(&answer);
    }
    exchange.finish();
}

#[test]
fn a_margin_below_zero_is_refused_or_flagged() {
    for (lines, refused) in [
        ("payout = { fixed = \"12.00\" }", true),
        ("payout = { fixed = \"12.00\" }\nnegative_margin = \"allow_and_flag\"", false),
    ] {
        let bidders = bidders([("acme", bid("11.99"))]);
        let exchange = start(&bidders, r#"{ auction = ["acme"] }"#, Some(lines), &[("acme", "")]);
        let answer = exchange.decide(&ask("CA1"));
        if refused {
            assert_eq!(answer["reason"], "no_taker");
            let (reason, row) = exchange.outcome(id(&answer), "acme");
            assert_eq!((reason.as_str(), &row["amount"]), ("margin", &json!("11.99")));
        } else {
            assert_eq!(answer["reason"], "won");
            exchange.talk(&answer, 90_000);
            assert_eq!(exchange.end(id(&answer))["negative_margin"], true);
            let booked = exchange.ledger(id(&answer));
            let amounts: Vec<&str> = booked.iter().map(|(_, amount)| amount.as_str()).collect();
            assert_eq!(amounts, ["11.99", "-12.00", "0.01"]);
        }
        exchange.finish();
    }
}

#[test]
fn a_minimum_margin_is_part_of_the_floor() {
    let bidders = bidders([("acme", bid("14.99")), ("bolt", bid("15.00"))]);
    let exchange = start(
        &bidders,
        r#"{ auction = ["acme", "bolt"] }"#,
        Some("payout = { fixed = \"12.00\" }\nmin_margin = \"3.00\""),
        &[("acme", ""), ("bolt", "")],
    );
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(reasons(&exchange, &answer, ["acme", "bolt"]), ["margin", "won"]);
    exchange.give_up(&answer);
    exchange.finish();
}

#[test]
fn callers_a_target_does_not_take_are_not_offered_to_it() {
    let names = ["texas", "not-texas", "collision", "not-collision", "any"];
    let scripts = names.map(|name| (name, bid("20.00")));
    let bidders = bidders(scripts);
    let exchange = start(
        &bidders,
        &format!("{{ auction = {names:?} }}"),
        None,
        &[
            ("texas", "filters = [{ state = [\"TX\"] }]"),
            ("not-texas", "filters = [{ not = { state = [\"TX\"] } }]"),
            (
                "collision",
                "filters = [{ tag = \"case\", op = \"in\", value = [\"collision\", \"rear-end\"] }]",
            ),
            ("not-collision", "filters = [{ tag = \"case\", op = \"!=\", value = \"collision\" }]"),
            ("any", "multiplier = \"200%\""),
        ],
    );
    let with = |id: &str, more: Value| {
        let mut asked = ask(id);
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        exchange.decide(&asked)
    };
    let table = [
        (json!({"tags": {"case": "collision"}}), ["outbid", "geo", "outbid", "tag", "won"]),
        (json!({"tags": {"case": "slip"}}), ["outbid", "geo", "tag", "outbid", "won"]),
        (json!({"geo": {"state": "NY"}}), ["geo", "outbid", "tag", "outbid", "won"]),
        (json!({"from": "+12125550123"}), ["geo", "outbid", "tag", "outbid", "won"]),
        (json!({"withheld": true}), ["geo", "outbid", "tag", "outbid", "won"]),
    ];
    for (n, (more, expected)) in table.into_iter().enumerate() {
        let answer = with(&format!("CA{n}"), more.clone());
        assert_eq!(reasons(&exchange, &answer, names), expected, "{more}");
        exchange.give_up(&answer);
    }
    let explained = exchange.get("/api/v1/outcomes").json();
    let notes = explained["steps"][0]["outcomes"].to_string();
    assert!(notes.contains("state TX") && notes.contains("case collision"), "{notes}");
    exchange.finish();
}

/// Every target of the plan has an outcome, those of branches that were not taken too; one that stands in both has one.
#[test]
fn a_plan_chooses_by_what_is_known_of_the_call() {
    let root = r#"{ first_match = [
        { when = [{ state = ["TX"] }, { not = { tag = "case", op = "=", value = "slip" } }], node = { sequential = ["texan", "both"] } },
        { when = [{ anonymous = true }], node = "unknown" },
        { node = { sequential = ["both", "other"] } },
    ] }"#;
    let names = ["texan", "both", "unknown", "other"];
    let market = names.into_iter().fold(Market::new(root).buyer("acme", ""), |market, name| {
        market.target(name, "acme", "price = \"20.00\"")
    });
    let exchange = Exchange::start(&market);
    let table = [
        (json!({}), ["won", "not_reached", "branch", "branch"]),
        (json!({"tags": {"case": "slip"}}), ["branch", "won", "branch", "not_reached"]),
        (json!({"geo": {"zip": "10001"}}), ["branch", "won", "branch", "not_reached"]),
        (json!({"withheld": true}), ["branch", "branch", "won", "branch"]),
    ];
    for (n, (more, expected)) in table.into_iter().enumerate() {
        let mut asked = ask(&format!("CA{n}"));
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = exchange.decide(&asked);
        assert_eq!(reasons(&exchange, &answer, names), expected, "{more}");
        exchange.give_up(&answer);
    }
    exchange.finish();
}

#[test]
fn closed_and_paused_targets_are_not_offered_calls() {
    // Two targets whose hours are each other's complement: at any moment one of them is open.
    let hours = |range: &str| format!("hours = [\"{range}\"]\nprice = \"20.00\"");
    let market = Market::new(r#"{ sequential = ["paused", "resting", "early", "late"] }"#)
        .buyer("acme", "")
        .target("paused", "acme", "paused = true\nprice = \"20.00\"")
        .target("early", "acme", &hours("mon-sun 00:00-12:00"))
        .target("late", "acme", &hours("mon-sun 12:00-24:00"))
        .buyer("bolt", "paused = true\n")
        .target("resting", "bolt", "price = \"20.00\"");
    let exchange = Exchange::start(&market);
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(answer["reason"], "static");
    let [paused, resting, early, late] = reasons(&exchange, &answer, ["paused", "resting", "early", "late"]);
    assert_eq!((paused.as_str(), resting.as_str()), ("paused", "buyer_paused"));
    // In the morning the later target is closed, in the afternoon the earlier one.
    let halves = [early.as_str(), late.as_str()];
    assert!([["won", "closed"], ["closed", "won"]].contains(&halves), "{halves:?}");
    exchange.give_up(&answer);
    exchange.finish();
}

#[test]
fn a_paused_campaign_asks_nobody() {
    let bidders = bidders([("acme", bid("20.00"))]);
    let exchange = start(
        &bidders,
        r#"{ auction = ["acme"] }"#,
        Some("paused = true\npayout = { fixed = \"1.00\" }"),
        &[("acme", "")],
    );
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("hangup"), &json!("campaign_paused")));
    assert_eq!(exchange.outcome(id(&answer), "acme").0, "campaign_paused");
    assert_eq!(bidders.stats("acme").pings, 0);
    exchange.finish();
}

#[test]
fn a_bid_may_name_a_destination_it_was_allowed() {
    let reply = |destination: &str| Behaviour::Fixed {
        latency_ms: 2,
        body: format!(r#"{{"ping_id":"$PING_ID","bid":"20.00","destination":"{destination}"}}"#),
    };
    let bidders = bidders([("acme", reply("sip:queue7@pbx.acme.example")), ("bolt", reply("+15125550999"))]);
    let endpoint = |name: &str, allowed: &str| {
        let url = bidders.url(name);
        format!("endpoint = {{ url = \"{url}\", destinations = [\"{allowed}\"] }}")
    };
    let market = Market::new(r#"{ auction = ["acme", "bolt"] }"#)
        .patient()
        .buyer("acme", "")
        .target("acme", "acme", &endpoint("acme", "sip:pbx.acme.example"))
        .buyer("bolt", "")
        .target("bolt", "bolt", &endpoint("bolt", "+1303*"));
    let exchange = Exchange::start(&market);
    let answer = exchange.decide(&ask("CA1"));
    let target = &answer["targets"][0];
    assert_eq!((&target["address"], &target["kind"]), (&json!("sip:queue7@pbx.acme.example"), &json!("sip")));
    assert_eq!(reasons(&exchange, &answer, ["acme", "bolt"]), ["won", "bad_destination"]);
    exchange.give_up(&answer);
    exchange.finish();
}

#[test]
fn a_target_may_have_a_sip_address() {
    let market = Market::new(r#""desk""#).buyer("acme", "").target(
        "desk",
        "acme",
        "address = \"sip:sales@pbx.acme.example:5070\"\nprice = \"20.00\"",
    );
    let exchange = Exchange::start(&market);
    let answer = exchange.decide(&ask("CA1"));
    let target = &answer["targets"][0];
    assert_eq!(
        (&target["address"], &target["kind"], &answer["basis"]),
        (&json!("sip:sales@pbx.acme.example:5070"), &json!("sip"), &json!("static"))
    );
    exchange.talk(&answer, 90_000);
    assert_eq!(exchange.ledger(id(&answer)).len(), 3);
    exchange.finish();
}

#[test]
fn nobody_bids_and_the_ring_tree_takes_the_call() {
    let bidders = bidders([("acme", no_bid())]);
    let endpoint = format!("endpoint = {{ url = \"{}\" }}", bidders.url("acme"));
    let market = Market::new(r#"{ sequential = [{ auction = ["acme"] }, "desk", "next"] }"#)
        .patient()
        .buyer("acme", "")
        .target("acme", "acme", &endpoint)
        .buyer("bolt", "")
        .target("desk", "bolt", "address = \"+15125550901\"\nprice = \"9.00\"")
        .target("next", "bolt", "address = \"+15125550902\"\nprice = \"99.00\"");
    let exchange = Exchange::start(&market);
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(
        (&answer["basis"], &answer["reason"], &answer["targets"][0]["address"]),
        (&json!("static"), &json!("static"), &json!("+15125550901"))
    );
    assert_eq!(reasons(&exchange, &answer, ["acme", "desk", "next"]), ["no_bid", "won", "not_reached"]);
    exchange.give_up(&answer);
    exchange.finish();
}

/// Weights hold at every level: which node comes first says nothing about who wins a tie inside it.
#[test]
fn draws_of_one_walk_do_not_decide_each_other() {
    let root = r#"{ weighted = [
        { weight = 1, node = { auction = ["a1", "a2"] } }, { weight = 1, node = { auction = ["b1", "b2"] } } ] }"#;
    let mut market = Market::new(&root.replace('\n', " ")).buyer("acme", "");
    for id in ["a1", "a2", "b1", "b2"] {
        market = market.target(id, "acme", "price = \"20.00\"");
    }
    let exchange = Exchange::start(&market);
    let mut winners = std::collections::BTreeSet::new();
    // Each of the four wins with a chance of 1 in 4: to miss one in 80 calls is below 1 in a billion.
    for n in 0..80 {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        exchange.give_up(&answer);
        winners.insert(exchange.explained(id(&answer))["decision"]["target"].as_str().unwrap().to_owned());
    }
    assert_eq!(winners.len(), 4, "{winners:?}");
    exchange.finish();
}
