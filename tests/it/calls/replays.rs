//! Recorded calls decided again: the same winner and reasons, by the catalogs of the store, whatever is in force now.

use load::bidders::{Behaviour, Bidders, Latency, NoBidForm};
use serde_json::{Value, json};

use crate::support::bids::{bid, bid_after, bidders, no_bid};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market, eventually, request};

const WAITING: &str = "[calls]\nnext_within_s = 60\n";

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

/// What `outcry replay` says, and whether it says that nothing differs.
fn replay(exchange: &Exchange, call: &str, args: &[&str]) -> (Value, bool) {
    let output = exchange.cli(&[&["replay", call, "--format", "json"], args].concat());
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(found["is_equal"], code == Some(0), "{found:#}");
    (found, code == Some(0))
}

fn reason(replayed: &Value, step: usize, target: &str) -> String {
    let targets = replayed["steps"][step]["targets"].as_array().unwrap();
    let found = targets.iter().find(|one| one["target"] == target).unwrap_or_else(|| panic!("{replayed:#}"));
    found["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_call_comes_out_as_it_was_recorded_and_otherwise_where_something_is_set() {
    let market = bidders([("a", bid("50")), ("b", bid("40")), ("c", bid("20")), ("d", no_bid())]);
    let mut plan = Market::new(r#"{ sequential = [{ auction = ["a", "b", "c", "d"] }, "desk", "texan"] }"#)
        .campaign("floor = \"30.00\"\npayout = { fixed = \"5.00\" }")
        .patient();
    for (n, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let url = market.url(name);
        let lines = format!("address = \"+1512555090{n}\"\nendpoint = {{ url = \"{url}\" }}");
        plan = plan.buyer(name, "").target(name, name, &lines);
    }
    let filters = "filters = [{ zip = [\"787*\"] }, { tag = \"case\", op = \"=\", value = \"theft\" }]";
    let plan = plan.target("desk", "a", "address = \"+15125550909\"\nprice = \"31.00\"").target(
        "texan",
        "b",
        &format!("address = \"+15125550910\"\nprice = \"90.00\"\n{filters}"),
    );
    let exchange = Exchange::start_with(&plan, WAITING);

    let asked = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER, "geo": {"zip": "78701"},
        "tags": {"case": "collision"}});
    let first = exchange.decide(&asked);
    let second = exchange.go_on(&first, json!({"cause": "busy", "ended_by": "target"}));
    let third = exchange.go_on(&second, json!({"cause": "busy", "ended_by": "target"}));
    exchange.go_on(&third, json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000}));
    let call = id(&first).to_owned();
    eventually("the last step is on disk", || {
        Some(exchange.explained(&call)).filter(|explained| explained["steps"][2].is_object())
    });

    // Whatever is in force now, it is decided by the catalog of its digest.
    let other = plan.clone().buyer("late", "").target("late", "late", "price = \"99.00\"");
    other.write_catalog(exchange.folder.path());
    let reloaded = request(&exchange.admin, "POST", "/api/v1/reload", None, b"");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());

    let (same, is_equal) = replay(&exchange, &call, &[]);
    assert!(is_equal, "{same:#}");
    let winners: Vec<&Value> =
        same["steps"].as_array().unwrap().iter().map(|step| &step["winner"]["target"]).collect();
    assert_eq!(winners, ["a", "b", "desk"]);
    let texan = same["steps"][0]["targets"].as_array().unwrap().last().unwrap();
    assert_eq!((&texan["reason"], &texan["by"]), (&json!("tag"), &json!("record: a fact was not kept")));

    // A floor that the winner does not reach: the desk's price reaches it.
    let (low, is_equal) = replay(&exchange, &call, &["--set", "target.a.floor=50.01"]);
    assert!(!is_equal);
    assert_eq!((reason(&low, 0, "a").as_str(), reason(&low, 0, "b").as_str()), ("below_floor", "won"));
    assert_eq!(low["steps"][0]["recorded"]["target"], "a");
    let (none, _) = replay(&exchange, &call, &["--set", "floor=60"]);
    assert_eq!(
        (reason(&none, 0, "a").as_str(), reason(&none, 0, "desk").as_str()),
        ("below_floor", "below_floor")
    );
    assert_eq!(none["steps"][0]["winner"], Value::Null);
    let (margin, _) = replay(&exchange, &call, &["--set", "payout=45", "--set", "floor=0"]);
    assert_eq!((reason(&margin, 0, "a").as_str(), reason(&margin, 0, "b").as_str()), ("won", "margin"));
    let (paused, _) = replay(&exchange, &call, &["--set", "buyer.a.paused=true"]);
    assert_eq!((reason(&paused, 0, "a").as_str(), reason(&paused, 0, "b").as_str()), ("buyer_paused", "won"));
    let table = exchange.cli(&["replay", &call, "--set", "buyer.a.paused=true"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("b at 40.00") && table.contains("and it was a at 50.00"), "{table}");

    for (args, code, says) in [
        (vec!["--set", "recovery_s=1"], 2, "one of floor=AMOUNT"),
        (vec!["--set", "target.nobody.paused=true"], 2, "nobody is no target"),
        (vec!["--set", "target.a.price=20"], 2, "it bids"),
    ] {
        let output = exchange.cli(&[&["replay", call.as_str()][..], &args].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.contains(says)), (Some(code), true), "{said}");
    }

    // What each rule said, and what is nobody else's business.
    let explained = exchange.explained(&call);
    let rules = |target: usize| -> Vec<(String, String)> {
        let rules = explained["steps"][0]["outcomes"][target]["rules"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rules.map(|rule| (text(&rule["rule"]), text(&rule["says"]))).collect()
    };
    let is = |rule: &str, says: &str| (rule.to_owned(), says.to_owned());
    assert!(rules(0).iter().all(|(_, says)| says == "yes"), "{:?}", rules(0));
    assert!(
        rules(0).contains(&is("floor campaign 30.00", "yes"))
            && rules(0).contains(&is("margin: at least 5.00", "yes")),
        "{:?}",
        rules(0)
    );
    assert_eq!(rules(1).last(), Some(&is("effective score", "no")));
    assert_eq!(rules(2).last(), Some(&is("floor campaign 30.00", "no")));
    assert_eq!(rules(3).last(), Some(&is("it bids", "no")));
    assert_eq!(rules(4).last(), Some(&is("order of the plan", "no")));
    assert_eq!(
        rules(5),
        [
            is("target is not paused", "yes"),
            is("buyer is not paused", "yes"),
            is("zip in 787*", "unknown"),
            is("tag case = theft", "no")
        ]
    );
    let told = exchange.cli(&["explain", &call, "--rules"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("RULES OF STEP 1") && told.contains("floor campaign 30.00"), "{told}");
    let cut = |whom: &str| exchange.get(&format!("/api/v1/calls/{call}?as={whom}"));
    let for_b = cut("buyer:b");
    let by_cli = exchange.cli(&["explain", &call, "--as", "buyer:b"]);
    assert_eq!(for_b.json(), serde_json::from_slice::<Value>(&by_cli.stdout).unwrap());
    let text = for_b.text();
    for secret in
        ["\"50.00\"", "desk", "\"a\"", "\"pub\"", "floor 30", "campaign 30", "least", "\"31.00\"", "+1512"]
    {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(
        for_b.json()["outcomes"][0]["rules"].as_array().unwrap().last().unwrap()["rule"],
        "effective score"
    );
    for secret in ["\"50.00\"", "\"31.00\"", "\"a\"", "\"b\"", "desk"] {
        let text = cut("publisher:pub").text();
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!((cut("buyer:late").status, cut("publisher:other").status, cut("b").status), (404, 404, 400));

    // The text that it was decided by.
    let digest = exchange.explained(&call)["decision"]["catalog"].as_str().unwrap().to_owned();
    let text = exchange.cli(&["replay", "--catalog", &digest]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("[target.texan]") && !text.contains("[target.late]"), "{text}");
    exchange.finish();
}

/// A market whose `bidders` bid at most so much each, in one auction with these terms.
fn auction(bidders: &Bidders, most: &[(&str, &str)], terms: &str, campaign: &str) -> Market {
    let names: Vec<&str> = most.iter().map(|(name, _)| *name).collect();
    let mut market = Market::new(&format!("{{ auction = {names:?}{terms} }}")).campaign(campaign);
    for (name, most) in most {
        let endpoint = format!("endpoint = {{ url = \"{}\", max_bid = \"{most}\" }}", bidders.url(name));
        market = market.buyer(name, "").target(name, name, &endpoint);
    }
    market
}

#[test]
fn a_bidder_that_was_not_needed_may_win_where_something_is_set() {
    const MOST: [(&str, &str); 3] = [("fast", "60.00"), ("mid", "60.00"), ("slow", "28.00")];
    // When slow answers | the auction's terms | the deadline | who takes the call without fast, if that is certain.
    for (slow, terms, deadline, expected) in [
        (bid_after(150, "25"), "", 900, Some(("slow", "25.00"))),
        (bid_after(150, "5"), "", 900, Some(("mid", "10.00"))),
        // It came after the deadline whenever it was asked.
        (bid_after(600, "25"), "", 300, Some(("mid", "10.00"))),
        // It said that it does not bid.
        (
            Behaviour::NoBid { latency: Latency::Fixed(150), form: NoBidForm::Status204 },
            "",
            900,
            Some(("mid", "10.00")),
        ),
        // Within the deadline, and not of this auction.
        (bid_after(450, "25"), ", timeout_ms = 250", 900, None),
        // It never answered.
        (Behaviour::Hang, "", 900, None),
    ] {
        let case = format!("{slow:?}{terms}");
        let market = bidders([("fast", bid("30")), ("mid", bid("10")), ("slow", slow)]);
        let lines = format!("payout = {{ fixed = \"1.00\" }}\ndeadline_ms = {deadline}");
        let exchange = Exchange::start(&auction(&market, &MOST, terms, &lines));
        let answer = exchange.decide(&ask("CA1"));
        exchange.give_up(&answer);
        let call = id(&answer);
        assert_eq!(exchange.outcome(call, "slow").0, "not_needed", "{case}");

        let (same, is_equal) = replay(&exchange, call, &[]);
        assert!(is_equal, "{case}: {same:#}");
        assert_eq!(reason(&same, 0, "slow"), "not_needed", "{case}");
        // Nothing that is set brings slow before fast.
        for set in ["target.fast.priority=5", "target.slow.floor=29", "target.mid.weight=3"] {
            let (same, is_equal) = replay(&exchange, call, &["--set", set]);
            assert!(is_equal, "{case}, {set}: {same:#}");
        }
        for set in ["fast.paused=true", "fast.floor=40", "fast.tier=5", "fast.multiplier=20%"] {
            let set = format!("target.{set}");
            let (found, is_equal) = replay(&exchange, call, &["--set", &set]);
            let step = &found["steps"][0];
            let table = exchange.cli(&["replay", call, "--set", &set]);
            let table = String::from_utf8(table.stdout).unwrap();
            assert!(!is_equal, "{case}, {set}: {found:#}");
            if let Some((target, price)) = expected {
                assert_eq!(step["winner"], json!({"target": target, "price": price}), "{case}, {set}");
                assert_eq!(step["could_win"], json!([]), "{case}, {set}");
                let said = format!("{target} at {price} (won), and it was fast at 30.00");
                assert!(table.contains(&said), "{case}, {set}: {table}");
            } else {
                assert_eq!((&step["winner"], &step["could_win"]), (&Value::Null, &json!(["slow"])));
                assert_eq!(step["leads"], json!({"target": "mid", "price": "10.00"}), "{case}, {set}");
                let says = (reason(&found, 0, "slow"), reason(&found, 0, "mid"));
                assert_eq!(says, ("unknown".into(), "unknown".into()), "{case}, {set}");
                let said = "not certain: slow was not needed then, and could win now; else mid at 10.00, \
                            and it was fast at 30.00";
                assert!(table.contains(said), "{case}, {set}: {table}");
            }
        }
        exchange.finish();
    }
}

#[test]
fn what_the_winner_pays_under_second_price_is_decided_again() {
    const MOST: [(&str, &str); 3] = [("best", "60.00"), ("next", "60.00"), ("slow", "12.00")];
    let lines = "pricing = \"second\"\nfloor = \"5.00\"\npayout = { fixed = \"1.00\" }";
    for slow in [bid_after(150, "11.50"), Behaviour::Hang] {
        let is_known = !matches!(slow, Behaviour::Hang);
        let market = bidders([("best", bid("37.74")), ("next", bid("13")), ("slow", slow)]);
        let exchange = Exchange::start_with(&auction(&market, &MOST, "", lines).patient(), WAITING);
        let test =
            exchange.decide(&json!({"carrier_call_id": "CA0", "to": NUMBER, "from": CALLER, "test": true}));
        let first = exchange.decide(&ask("CA1"));
        let second = exchange.go_on(&first, json!({"cause": "busy", "ended_by": "target"}));
        exchange.go_on(&second, json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000}));
        let call = id(&first);
        assert_eq!(exchange.outcome(call, "slow").0, "not_needed");

        for call in [call, id(&test)] {
            let (same, is_equal) = replay(&exchange, call, &[]);
            assert!(is_equal, "{same:#}");
            assert_eq!(same["steps"][0]["winner"], json!({"target": "best", "price": "13.00"}), "{same:#}");
        }
        for (set, price) in [
            ("target.best.floor=30", "30.00"),
            ("target.best.multiplier=50%", "26.00"),
            ("floor=13.50", "13.50"),
        ] {
            let (found, is_equal) = replay(&exchange, call, &["--set", set]);
            let step = &found["steps"][0];
            assert!(!is_equal, "{set}: {found:#}");
            assert_eq!(step["winner"], json!({"target": "best", "price": price}), "{set}");
            assert_eq!(step["recorded"], json!({"target": "best", "price": "13.00"}), "{set}");
            let table = String::from_utf8(exchange.cli(&["replay", call, "--set", set]).stdout).unwrap();
            let said = format!("best at {price} (won), and it was best at 13.00\n");
            assert!(table.contains(&said), "{set}: {table}");
        }
        // Who was not needed could come second now.
        let (found, is_equal) = replay(&exchange, call, &["--set", "target.next.paused=true"]);
        let step = &found["steps"][0];
        assert!(!is_equal, "{found:#}");
        let (price, could) =
            if is_known { (json!("11.50"), json!([])) } else { (Value::Null, json!(["slow"])) };
        assert_eq!((&step["winner"]["target"], &step["winner"]["price"]), (&json!("best"), &price));
        assert_eq!(step["could_price"], could, "{found:#}");
        let table = exchange.cli(&["replay", call, "--set", "target.next.paused=true"]);
        let table = String::from_utf8(table.stdout).unwrap();
        let said = "its price is not certain: slow was not needed then, and could set it now";
        assert_eq!(table.contains(said), !is_known, "{table}");
        exchange.finish();
    }
}

#[test]
fn several_whose_caller_left_before_they_rang_come_out_so_again() {
    let market = bidders([("slow", bid_after(400, "1"))]);
    let root = r#"{ sequential = ["desk", { auction = ["slow"] }, { simultaneous = ["one", "two"] }] }"#;
    let mut plan = Market::new(root).campaign("floor = \"10.00\"\npayout = { fixed = \"5.00\" }").patient();
    plan = plan.bidder("slow", &market.url("slow"));
    for name in ["desk", "one", "two"] {
        plan = plan.target(name, "slow", "price = \"20.00\"");
    }
    let exchange = Exchange::start_with(&plan, WAITING);
    let first = exchange.decide(&ask("CA1"));
    std::thread::scope(|scope| {
        let step = scope.spawn(|| exchange.go_on(&first, json!({"cause": "busy", "ended_by": "target"})));
        eventually("the second is asked", || (market.stats("slow").pings > 0).then_some(()));
        exchange.report(&first, "call_ended", 4_000, json!({"cause": "cancelled", "ended_by": "caller"}));
        step.join().unwrap()
    });
    eventually("the step is on disk", || {
        exchange.explained(id(&first))["steps"][1]["is_final"].as_bool().filter(|is_final| *is_final)
    });
    let (replayed, is_equal) = replay(&exchange, id(&first), &[]);
    assert!(is_equal, "{replayed:#}");
    let of = |target| reason(&replayed, 1, target);
    assert_eq!(
        (of("slow"), of("one"), of("two")),
        ("below_floor".into(), "caller_abandon".into(), of("one"))
    );
    exchange.finish();
}

#[test]
fn changes_made_at_run_time_and_ties_are_decided_again() {
    let market = bidders([("a", bid("20")), ("b", bid("20"))]);
    let mut plan = Market::new(r#"{ sequential = [{ auction = ["a", "b"] }, "desk"] }"#).patient();
    for name in ["a", "b"] {
        plan = plan.bidder(name, &market.url(name));
    }
    let exchange = Exchange::start(&plan.target("desk", "a", "price = \"9.00\""));
    let mut winners = std::collections::BTreeSet::new();
    // So many draws come out the same once in half a million times.
    const DRAWS: usize = 20;
    for n in 0..DRAWS + 4 {
        if n == DRAWS {
            let paused = request(&exchange.admin, "PATCH", "/api/v1/buyers/a", None, br#"{"paused": true}"#);
            assert_eq!(paused.status, 200, "{}", paused.text());
        }
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        exchange.give_up(&answer);
        let (replayed, is_equal) = replay(&exchange, id(&answer), &[]);
        assert!(is_equal, "{replayed:#}");
        if n < DRAWS {
            winners.insert(replayed["steps"][0]["winner"]["target"].to_string());
        } else {
            assert_eq!(reason(&replayed, 0, "a"), "buyer_paused");
        }
    }
    assert_eq!(winners.len(), 2, "the draw decides");
    exchange.finish();
}

#[test]
fn whether_an_attestation_was_verified_is_decided_again() {
    let market = Market::new(r#"{ sequential = ["proven", "claimed", "any"] }"#)
        .buyer("acme", "")
        .target("proven", "acme", "price = \"30.00\"\nfilters = [{ stir_verified = [\"passed\"] }]")
        .target("claimed", "acme", "price = \"20.00\"\nfilters = [{ stir = [\"A\"] }]")
        .target("any", "acme", "price = \"10.00\"");
    let exchange = Exchange::start(&market);
    for (at, (stir, winner, saw)) in [
        (json!({"attest": "A", "verified": "passed"}), "proven", ["stir_verified passed", ""]),
        (json!({"attest": "A"}), "claimed", ["stir_verified unverified", "stir A"]),
        (json!({"attest": "A", "verified": "unverified"}), "claimed", ["stir_verified unverified", "stir A"]),
        (json!({"attest": "A", "verified": "failed"}), "any", ["stir_verified failed", "stir A, failed"]),
        (json!({"verified": "failed"}), "any", ["stir_verified failed", "stir none"]),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = json!({"carrier_call_id": format!("CA{at}"), "to": NUMBER, "from": CALLER, "stir": stir});
        let answer = exchange.decide(&asked);
        exchange.give_up(&answer);
        let call = id(&answer);
        let explained = eventually("the step is on disk", || {
            Some(exchange.explained(call)).filter(|explained| explained["steps"][0].is_object())
        });
        for (target, saw) in saw.into_iter().enumerate().filter(|(_, saw)| !saw.is_empty()) {
            let rules = explained["steps"][0]["outcomes"][target]["rules"].as_array().unwrap();
            assert!(rules.iter().any(|rule| rule["saw"] == saw), "{stir}: {saw} is not in {rules:#?}");
        }
        let (same, is_equal) = replay(&exchange, call, &[]);
        assert!(is_equal, "{stir}: {same:#}");
        assert_eq!(same["steps"][0]["winner"]["target"], winner, "{stir}");
    }
    exchange.finish();
}

#[test]
fn a_table_over_a_fact_that_is_not_kept_bids_what_it_was_recorded_with() {
    // Rows by the whole ZIP and by a personal tag, of which records keep three digits and the name.
    let rows = r#"bids = { rows = [
        { when = [{ zip = ["78701"] }, { tag = "name", op = "=", value = "Ann" }], bid = "40.00" },
        { when = [{ zip = ["78702"] }], bid = "0" },
        { when = [{ zip = ["78703"] }], bid = "5.00" },
        { when = [{ tag = "name", op = "exists", value = true }], bid = "20.00" },
    ] }"#;
    let market = Market::new(r#"{ sequential = [{ auction = ["table", "desk"] }, "last"] }"#)
        .campaign("floor = \"6.00\"\npayout = { fixed = \"1.00\" }")
        .buyer("acme", "")
        .target("table", "acme", rows)
        .target("desk", "acme", "price = \"30.00\"")
        .target("last", "acme", rows);
    let exchange = Exchange::start(&market);
    // By the first row, by the last, by one that does not bid, by one below the floor, and by none.
    let by_record = "record: its price rests on a fact that was not kept";
    for (at, (zip, name, table, price, winner)) in [
        ("78701", Some("Ann"), "won", json!("40.00"), "table"),
        ("78701", Some("Bob"), "outbid", json!("20.00"), "desk"),
        ("78702", Some("Ann"), "no_bid", Value::Null, "desk"),
        ("78703", Some("Ann"), "below_floor", json!("5.00"), "desk"),
        ("78704", None, "no_row", Value::Null, "desk"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut asked =
            json!({"carrier_call_id": format!("CA{at}"), "to": NUMBER, "from": CALLER, "geo": {"zip": zip}});
        asked["tags"] = name.map_or(json!({}), |name| json!({"name": name}));
        let answer = exchange.decide(&asked);
        exchange.give_up(&answer);
        let call = id(&answer);
        let (same, is_equal) = replay(&exchange, call, &[]);
        assert!(is_equal, "{zip} {name:?}: {same:#}");
        let step = &same["steps"][0];
        let found = &step["targets"][0];
        assert_eq!(step["winner"]["target"], winner, "{zip} {name:?}");
        assert_eq!((&found["reason"], &found["amount"]), (&json!(table), &price), "{zip} {name:?}");
        assert_eq!(found["by"], by_record, "{zip} {name:?}");

        // What it was recorded with holds without the desk too.
        let (alone, _) = replay(&exchange, call, &["--set", "target.desk.paused=true"]);
        let takes_it = ["won", "outbid"].contains(&table);
        let expected = if takes_it { json!({"target": "table", "price": price}) } else { Value::Null };
        assert_eq!(alone["steps"][0]["winner"], expected, "{zip} {name:?}: {alone:#}");

        // Nobody came to the last one where somebody took the call before: what it bids is not in the record then.
        let pauses = ["--set", "target.desk.paused=true", "--set", "target.table.paused=true"];
        let (none, _) = replay(&exchange, call, &pauses);
        let last = &none["steps"][0]["targets"][2];
        assert_eq!(none["steps"][0]["winner"], Value::Null, "{none:#}");
        let said = (last["reason"].as_str().unwrap(), last["by"].as_str().unwrap());
        let expected = match table {
            "won" | "outbid" => ("unknown", "unknown: its price rests on a fact that was not kept"),
            refused => (refused, by_record),
        };
        assert_eq!(said, expected, "{zip} {name:?}: {none:#}");
    }
    exchange.finish();
}

#[test]
fn several_of_which_one_bids_what_nobody_knows_are_passed_over_for_it_alone() {
    // Records keep three digits of a ZIP, and the desk takes the call before anybody comes to the tables.
    let rows = r#"bids = { rows = [{ when = [{ zip = ["78701"] }], bid = "40.00" }] }"#;
    let root = r#"{ sequential = ["desk", { simultaneous = ["table", "phone", "other"] }, "last"] }"#;
    let market = Market::new(root)
        .campaign("floor = \"6.00\"\npayout = { fixed = \"1.00\" }")
        .buyer("acme", "")
        .target("desk", "acme", "price = \"30.00\"")
        .target("table", "acme", rows)
        .target("phone", "acme", "price = \"25.00\"")
        .target("other", "acme", rows)
        .target("last", "acme", "price = \"20.00\"");
    let exchange = Exchange::start(&market);
    let asked = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER, "geo": {"zip": "78701"}});
    let answer = exchange.decide(&asked);
    exchange.give_up(&answer);
    let (same, is_equal) = replay(&exchange, id(&answer), &[]);
    assert!(is_equal, "{same:#}");

    // Who is paused | who takes the call then | what the phone and the last one end with.
    let table: [(&[&str], Value, [&str; 2]); 3] = [
        (&["desk"], json!({"target": "phone", "price": "25.00"}), ["won", "not_reached"]),
        (&["desk", "phone"], json!({"target": "last", "price": "20.00"}), ["paused", "won"]),
        (&["desk", "phone", "last"], Value::Null, ["paused", "paused"]),
    ];
    for (paused, winner, [phone, last]) in table {
        let set: Vec<String> = paused.iter().map(|id| format!("target.{id}.paused=true")).collect();
        let args: Vec<&str> = set.iter().flat_map(|set| ["--set", set.as_str()]).collect();
        let (found, _) = replay(&exchange, id(&answer), &args);
        assert_eq!(found["steps"][0]["winner"], winner, "{paused:?}: {found:#}");
        assert_eq!(reason(&found, 0, "phone"), phone, "{paused:?}: {found:#}");
        assert_eq!(reason(&found, 0, "last"), last, "{paused:?}: {found:#}");
        for target in ["table", "other"] {
            let one = found["steps"][0]["targets"].as_array().unwrap().iter();
            let one = { one }.find(|one| one["target"] == target).unwrap();
            let said = (&one["reason"], &one["by"]);
            let expected = "unknown: its price rests on a fact that was not kept";
            assert_eq!(said, (&json!("unknown"), &json!(expected)), "{paused:?}: {found:#}");
        }
    }
    exchange.finish();
}
