//! What the winner pays, which floor stood in a bid's way, what must be left of a price, and who is asked after a failed
//! attempt.

use load::bidders::Bidders;
use outcry::domain::draw::{Draw, mix};
use serde_json::{Value, json};

use crate::support::bids::{bid, bidders, no_bid};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market, eventually, request};

const WAITING: &str = "[calls]\nnext_within_s = 60\n";

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

fn busy() -> Value {
    json!({"cause": "busy", "ended_by": "target"})
}

fn talked() -> Value {
    json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000})
}

/// A market of bidders, each with further lines, under a campaign with these.
fn market(bidders: &Bidders, root: &str, campaign: &str, lines: &[(&str, &str)]) -> Market {
    let mut market = Market::new(root).campaign(campaign).patient();
    for (n, (name, lines)) in lines.iter().enumerate() {
        let lines = format!(
            "address = \"+1512555090{n}\"\n{lines}\nendpoint = {{ url = \"{}\" }}",
            bidders.url(name)
        );
        market = market.buyer(name, "").target(name, name, &lines);
    }
    market
}

/// Target and price of every attempt.
fn attempts(explained: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let attempts = explained["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| (text(&attempt["target"]), text(&attempt["price"]))).collect()
}

/// Reason, amount and note of a target in a step.
fn outcome(explained: &Value, step: usize, target: &str) -> [String; 3] {
    let rows = explained["steps"][step]["outcomes"].as_array().unwrap();
    let row = rows.iter().find(|row| row["target"] == target);
    let row = row.unwrap_or_else(|| panic!("no {target} in step {step} of {explained:#}"));
    ["reason", "amount", "note"].map(|key| row[key].as_str().unwrap_or("-").to_owned())
}

/// How often each of three was asked.
fn pings(bidders: &Bidders) -> [usize; 3] {
    ["a", "b", "c"].map(|name| bidders.pings(name).len())
}

/// The call with so many steps: a step is answered before it is explained.
fn with_steps(exchange: &Exchange, first: &Value, many: usize) -> Value {
    eventually("the step is on disk", || {
        Some(exchange.explained(id(first))).filter(|explained| explained["steps"][many - 1].is_object())
    })
}

#[test]
fn second_price_is_what_is_recorded_and_billed() {
    let bidders = bidders([("a", bid("50")), ("b", bid("40")), ("c", bid("31.50")), ("d", no_bid())]);
    let lines = [("a", "multiplier = \"125%\""), ("b", ""), ("c", ""), ("d", "")];
    let campaign = "pricing = \"second\"\nfloor = \"30.00\"\npayout = { fixed = \"5.00\" }";
    let market = market(&bidders, r#"{ auction = ["a", "b", "c", "d"] }"#, campaign, &lines);
    let exchange = Exchange::start_with(&market, WAITING);

    // 40 by a multiplier of 125 %; then each pays what who comes after it bid, and the last the floor.
    let first = exchange.decide(&ask("CA1"));
    let second = exchange.go_on(&first, busy());
    let third = exchange.go_on(&second, busy());
    let last = exchange.go_on(&third, talked());
    assert_eq!(last["reason"], "billable");
    let explained = with_steps(&exchange, &first, 3);
    let prices = [("a", "32.00"), ("b", "31.50"), ("c", "30.00")];
    assert_eq!(attempts(&explained), prices.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(explained["decision"]["price"], "32.00");
    // What they bid stays what they bid.
    assert_eq!(outcome(&explained, 0, "a")[..2], ["won", "50.00"]);
    assert_eq!(outcome(&explained, 1, "b")[..2], ["won", "40.00"]);
    assert_eq!(outcome(&explained, 2, "c")[..2], ["won", "31.50"]);
    let booked = [("buyer:c", "30.00"), ("publisher:pub", "-5.00"), ("exchange", "-25.00")];
    assert_eq!(exchange.ledger(id(&first)), booked.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let said = String::from_utf8(exchange.cli(&["explain", id(&first)]).stdout).unwrap();
    assert!(said.contains("a won with 50.00 and pays 32.00 over 2 other offers"), "{said}");

    // A call that is talked at the first attempt is billed the price that was held.
    let only = exchange.decide(&ask("CA2"));
    exchange.talk(&only, 95_000);
    eventually("it is booked", || (exchange.ledger(id(&only)).len() == 3).then_some(()));
    assert_eq!(exchange.ledger(id(&only))[0], ("buyer:a".to_owned(), "32.00".to_owned()));
    exchange.finish();
}

/// The default: each attempt pays its own bid, whoever came after it.
#[test]
fn first_price_is_what_was_bid() {
    let bidders = bidders([("a", bid("50")), ("b", bid("40"))]);
    let market = market(
        &bidders,
        r#"{ auction = ["a", "b"] }"#,
        "payout = { fixed = \"5.00\" }",
        &[("a", ""), ("b", "")],
    );
    let exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let second = exchange.go_on(&first, busy());
    exchange.go_on(&second, talked());
    let explained = with_steps(&exchange, &first, 2);
    let prices = [("a", "50.00"), ("b", "40.00")];
    assert_eq!(attempts(&explained), prices.map(|(a, b)| (a.to_owned(), b.to_owned())));
    exchange.finish();
}

#[test]
fn the_highest_of_all_floors_counts_and_is_named() {
    let names = ["a", "b", "c", "d"];
    let bidders = bidders([("a", bid("21")), ("b", bid("24.99")), ("c", bid("29")), ("d", bid("31"))]);
    let campaign = "floor = \"20.00\"\npayout = { fixed = \"5.00\" }\n\
        floors = [\n\
          { when = [{ tag = \"case\", op = \"=\", value = \"collision\" }], floor = \"28.00\" },\n\
          { when = [{ state = [\"TX\"] }, { tag = \"case\", op = \"exists\", value = true }], floor = \"90.00\" },\n\
          { when = [{ state = [\"NY\"] }], floor = \"10.00\" },\n\
        ]";
    let lines = [("a", ""), ("b", ""), ("c", "floor = \"30.00\""), ("d", "")];
    let root = format!("{{ sequential = [{{ auction = {names:?}, floor = \"25.00\" }}, \"desk\"] }}");
    let market = market(&bidders, &root, campaign, &lines).target(
        "desk",
        "a",
        "address = \"+15125550909\"\nprice = \"19.00\"",
    );
    let text = market
        .text()
        .replace("name = \"Pub\"\n", "name = \"Pub\"\nfloor = \"22.00\"\nfloors = { auto = \"18.00\" }\n");
    let folder = crate::support::Folder::new();
    market.write(folder.path(), "");
    std::fs::write(folder.path().join("catalog/market.toml"), text).unwrap();
    let exchange = Exchange::run(folder);
    let with = |call: &str, more: Value| {
        let mut asked = ask(call);
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        exchange.decide(&asked)
    };
    // Call, then reason and note of a to d and of the fixed price behind the auction.
    let table = [
        (
            "CA1",
            json!({}),
            [
                "below_floor node 25.00",
                "below_floor node 25.00",
                "below_floor target 30.00",
                "won -",
                "below_floor publisher 22.00",
            ],
        ),
        (
            "CA2",
            json!({"tags": {"case": "collision"}}),
            [
                "below_floor campaign row 1 28.00",
                "below_floor campaign row 1 28.00",
                "below_floor target 30.00",
                "won -",
                "below_floor campaign row 1 28.00",
            ],
        ),
        (
            "CA3",
            json!({"tags": {"case": "slip"}}),
            [
                "below_floor campaign row 2 90.00",
                "below_floor campaign row 2 90.00",
                "below_floor campaign row 2 90.00",
                "below_floor campaign row 2 90.00",
                "below_floor campaign row 2 90.00",
            ],
        ),
        (
            "CA4",
            json!({"geo": {"state": "NY"}}),
            [
                "below_floor node 25.00",
                "below_floor node 25.00",
                "below_floor target 30.00",
                "won -",
                "below_floor publisher 22.00",
            ],
        ),
    ];
    for (call, more, expected) in table {
        let answer = with(call, more);
        let explained = exchange.explained(id(&answer));
        let said = ["a", "b", "c", "d", "desk"].map(|target| {
            let [reason, _, note] = outcome(&explained, 0, target);
            format!("{reason} {note}")
        });
        assert_eq!(said, expected, "{call}");
        if answer["action"] == "dial" {
            exchange.give_up(&answer);
        }
    }
    exchange.finish();
}

/// A ping that shows the floor shows the highest that applies to its target.
#[test]
fn pings_show_the_floor_of_their_call() {
    let bidders = bidders([("a", no_bid())]);
    let campaign = "floor = \"10.00\"\npayout = { fixed = \"5.00\" }\n\
        floors = [{ when = [{ state = [\"TX\"] }], floor = \"17.25\" }]";
    let market = Market::new(r#"{ auction = ["a"], floor = "12.00" }"#)
        .campaign(campaign)
        .patient()
        .buyer("a", "show_floor = true")
        .target("a", "a", &format!("endpoint = {{ url = \"{}\" }}", bidders.url("a")));
    let exchange = Exchange::start(&market);
    exchange.decide(&ask("CA1"));
    exchange.decide(&json!({"carrier_call_id": "CA2", "to": NUMBER, "from": "+12125550123"}));
    let told = |body: &str| serde_json::from_str::<Value>(body).unwrap()["floor"].clone();
    let floors: Vec<Value> = bidders.pings("a").iter().map(|ping| told(&ping.body)).collect();
    assert_eq!(floors, [json!("17.25"), json!("12.00")]);
    exchange.finish();
}

/// Scenario 22: of a bid of 40, 25 % and at least 12 must be left. At a payout of 28 it is, at one cent more it is not.
#[test]
fn the_stricter_of_two_margins_counts() {
    let table = [
        ("40", "{ fixed = \"28.00\" }", "{ amount = \"12.00\", percent = \"25%\" }", "won -"),
        ("40", "{ fixed = \"28.01\" }", "{ amount = \"12.00\", percent = \"25%\" }", "margin at least 40.01"),
        ("60", "{ fixed = \"45.00\" }", "{ amount = \"12.00\", percent = \"25%\" }", "won -"),
        (
            "60",
            "{ fixed = \"45.01\" }",
            "{ amount = \"12.00\", percent = \"25%\" }",
            "margin at least 60.013334",
        ),
        ("40", "{ share = \"70%\" }", "{ amount = \"12.00\", percent = \"25%\" }", "won -"),
        (
            "39.99",
            "{ share = \"70%\" }",
            "{ amount = \"12.00\", percent = \"25%\" }",
            "margin at least 40.00",
        ),
        ("16", "{ fixed = \"12.00\" }", "\"25%\"", "won -"),
        ("15.99", "{ fixed = \"12.00\" }", "\"25%\"", "margin at least 16.00"),
    ];
    for (amount, payout, margin, expected) in table {
        let bidders = bidders([("a", bid(amount))]);
        let campaign = format!("payout = {payout}\nmin_margin = {margin}");
        let exchange = Exchange::start(&market(&bidders, r#"{ auction = ["a"] }"#, &campaign, &[("a", "")]));
        let answer = exchange.decide(&ask("CA1"));
        let [reason, _, note] = outcome(&exchange.explained(id(&answer)), 0, "a");
        assert_eq!(format!("{reason} {note}"), expected, "{amount} {payout} {margin}");
        if reason == "won" {
            exchange.talk(&answer, 95_000);
            eventually("it is booked", || (exchange.ledger(id(&answer)).len() == 3).then_some(()));
        }
        exchange.finish();
    }
}

/// The margin of a later attempt is that of the catalog in force when it is made, over the payout that was promised.
#[test]
fn a_margin_that_was_raised_counts_for_the_next_attempt() {
    let bidders = bidders([("a", bid("40")), ("b", bid("30")), ("c", bid("20"))]);
    let lines = [("a", ""), ("b", ""), ("c", "")];
    let with = |margin: &str| {
        let campaign = format!(
            "pricing = \"second\"\nfloor = \"10.00\"\npayout = {{ fixed = \"12.00\" }}\nmin_margin = {margin}"
        );
        market(&bidders, r#"{ auction = ["a", "b", "c"] }"#, &campaign, &lines)
    };
    let exchange = Exchange::start_with(&with("\"1.00\""), WAITING);
    let reload = |margin: &str| {
        let text =
            with(margin).text().replace("payout = { fixed = \"12.00\" }", "payout = { fixed = \"9.00\" }");
        std::fs::write(exchange.settings().with_file_name("catalog").join("market.toml"), text).unwrap();
        assert_eq!(request(&exchange.admin, "POST", "/api/v1/reload", None, b"").status, 200);
    };
    // 12 were promised, whatever is paid for later calls: 13 and then 12 more must be left.
    let first = exchange.decide(&ask("CA1"));
    reload("\"13.00\"");
    let second = exchange.go_on(&first, busy());
    reload("\"19.00\"");
    let third = exchange.go_on(&second, busy());
    assert_eq!((&third["action"], &third["reason"]), (&json!("hangup"), &json!("no_taker")));
    let explained = with_steps(&exchange, &first, 3);
    // The bid of b leaves 18 of itself; its price of 20 is raised to what leaves 13.
    let prices = [("a", "30.00"), ("b", "25.00")];
    assert_eq!(attempts(&explained), prices.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(outcome(&explained, 2, "c"), ["margin", "20.00", "at least 31.00"]);
    exchange.finish();
}

/// With `re_auction` the auction of a failed attempt is held anew, without who was tried; then the walk goes on.
#[test]
fn after_a_failure_the_auction_is_held_anew() {
    let bidders = bidders([("a", bid("50")), ("b", bid("40")), ("c", bid("20"))]);
    let lines = [("a", ""), ("b", ""), ("c", "")];
    let campaign = "after_failure = \"re_auction\"\nfloor = \"30.00\"\npayout = { fixed = \"5.00\" }";
    let market =
        market(&bidders, r#"{ sequential = [{ auction = ["a", "b", "c"] }, "desk"] }"#, campaign, &lines)
            .target("desk", "a", "address = \"+15125550909\"\nprice = \"31.00\"");
    let exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let second = exchange.go_on(&first, busy());
    assert_eq!((&second["basis"], &second["reason"]), (&json!("auction"), &json!("won")));
    let third = exchange.go_on(&second, busy());
    assert_eq!((&third["basis"], &third["reason"]), (&json!("static"), &json!("static")));
    exchange.go_on(&third, talked());
    let explained = with_steps(&exchange, &first, 3);
    let prices = [("a", "50.00"), ("b", "40.00"), ("desk", "31.00")];
    assert_eq!(attempts(&explained), prices.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(outcome(&explained, 0, "b")[0], "outbid");
    assert_eq!(outcome(&explained, 1, "b")[0], "won");
    assert_eq!(outcome(&explained, 1, "c")[0], "below_floor");
    assert_eq!(outcome(&explained, 2, "c")[0], "below_floor");
    let asked = |target: &str| {
        let steps = explained["steps"].as_array().unwrap().iter();
        let rows = steps.flat_map(|step| step["outcomes"].as_array().unwrap());
        rows.filter(|row| row["target"] == target && row["ping_id"].is_string()).count()
    };
    assert_eq!(["a", "b", "c"].map(asked), [1, 2, 3], "who was tried is not asked again");
    assert_eq!(pings(&bidders), [1, 2, 3]);
    exchange.finish();
}

/// The attempts of a call bound how often its auction is held.
#[test]
fn auctions_that_are_held_anew_end_with_the_attempts() {
    let bidders = bidders([("a", bid("50")), ("b", bid("40")), ("c", bid("30"))]);
    let lines = [("a", ""), ("b", ""), ("c", "")];
    let campaign = "after_failure = \"re_auction\"\nattempts = 2\npayout = { fixed = \"5.00\" }";
    let market = market(&bidders, r#"{ auction = ["a", "b", "c"] }"#, campaign, &lines);
    let exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let second = exchange.go_on(&first, busy());
    let third = exchange.go_on(&second, busy());
    assert_eq!(third["action"], "hangup");
    assert_eq!(pings(&bidders), [1, 2, 2]);
    exchange.finish();
}

/// A tie is decided by a draw that anybody can make again from the record: its seed, its plan's place, the weights.
#[test]
fn the_winner_of_a_tie_follows_from_the_record() {
    let names = ["a", "b", "c"];
    let bidders = bidders(names.map(|name| (name, bid("20"))));
    let lines = [("a", "weight = 1"), ("b", "weight = 3"), ("c", "weight = 2")];
    let campaign = "attempts = 3\nafter_failure = \"re_auction\"\npayout = { fixed = \"5.00\" }";
    let market = market(&bidders, &format!("{{ auction = {names:?} }}"), campaign, &lines);
    let exchange = Exchange::start_with(&market, WAITING);
    let mut winners = std::collections::BTreeSet::new();
    for n in 0..12 {
        let first = exchange.decide(&ask(&format!("CA{n}")));
        let second = exchange.go_on(&first, busy());
        let mut left = vec![("a", 1), ("b", 3), ("c", 2)];
        for step in [0, 1] {
            let explained = with_steps(&exchange, &first, 2);
            let seed: u64 = explained["steps"][step]["seed"].as_str().unwrap().parse().unwrap();
            // The first and only auction of the walk; the step tells it from the same one held before.
            let seed = mix(seed ^ 1 ^ ((step as u64) << 32));
            let weights: Vec<u32> = left.iter().map(|(_, weight)| *weight).collect();
            let drawn = Draw::new(seed).weighted_order(&weights);
            let (won, _) = left[drawn[0]];
            assert_eq!(outcome(&explained, step, won)[0], "won", "step {step} of call {n}");
            for lost in &drawn[1..] {
                assert_eq!(outcome(&explained, step, left[*lost].0)[0], "tie_lost");
            }
            winners.insert(won);
            left.retain(|(name, _)| *name != won);
        }
        exchange.go_on(&second, talked());
    }
    assert!(winners.len() > 1, "{winners:?} only");
    exchange.finish();
}
