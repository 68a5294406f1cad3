//! What nodes of a plan say: whose turn it is, where a way ends, how long an auction waits and a target rings.

use load::bidders::Behaviour;
use serde_json::{Value, json};

use crate::support::bids::bidders;
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Folder, Market, outcry};

const PAYOUT: &str = "payout = { fixed = \"5.00\" }";
const WAITING: &str = "[calls]\nnext_within_s = 60\n";

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

/// The name of the target whose phone is rung.
fn rung(answer: &Value) -> &str {
    match answer["targets"][0]["address"].as_str() {
        Some("+15125550900") => "one",
        Some("+15125550901") => "two",
        Some("+15125550902") => "three",
        _ => "nobody",
    }
}

/// The caller hangs up while it rings: nothing follows.
fn leave(exchange: &Exchange, answer: &Value) {
    exchange.report(answer, "ended", 1_000, json!({"cause": "cancelled", "ended_by": "caller"}));
}

fn busy() -> Value {
    json!({"cause": "busy", "ended_by": "target"})
}

/// Three fixed prices, each with an address of its own.
fn phones(root: &str) -> Market {
    let mut market = Market::new(root).campaign(PAYOUT);
    for (n, name) in ["one", "two", "three"].into_iter().enumerate() {
        let lines = format!("address = \"+1512555090{n}\"\nprice = \"{}.00\"\nconcurrency = 1", 20 + n);
        market = market.buyer(name, "").target(name, name, &lines);
    }
    market
}

#[test]
fn calls_go_round() {
    let exchange = Exchange::start_with(&phones(r#"{ round_robin = ["one", "two", "three"] }"#), WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(rung(&first), "one");
    leave(&exchange, &first);
    // Neither a repeat nor a test call takes a turn.
    exchange.decide(&ask("CA1"));
    exchange.decide(&json!({"carrier_call_id": "CAT", "to": NUMBER, "from": CALLER, "test": true}));
    let second = exchange.decide(&ask("CA2"));
    assert_eq!(rung(&second), "two");
    // Its phone is busy: the next in the order of this call, whoever has had a turn meanwhile.
    let third = exchange.decide(&ask("CA3"));
    assert_eq!(rung(&third), "three");
    leave(&exchange, &third);
    let again = exchange.go_on(&second, busy());
    assert_eq!(rung(&again), "three");
    let again = exchange.go_on(&again, busy());
    assert_eq!(rung(&again), "one");
    assert_eq!(exchange.go_on(&again, busy())["action"], "hangup");
    let fourth = exchange.decide(&ask("CA4"));
    assert_eq!(rung(&fourth), "one");
    // Who has no room loses the turn to the next.
    let fifth = exchange.decide(&ask("CA5"));
    assert_eq!(rung(&fifth), "two");
    let sixth = exchange.decide(&ask("CA6"));
    assert_eq!(rung(&sixth), "three");
    leave(&exchange, &sixth);
    let seventh = exchange.decide(&ask("CA7"));
    assert_eq!(rung(&seventh), "three", "one and two are taken");
    assert_eq!(exchange.outcome(id(&seventh), "one").0, "concurrency");
    let turns = |answer: &Value| exchange.explained(id(answer))["steps"][0]["turns"].clone();
    assert_eq!(turns(&second), json!([{"node": 0, "first": 1}]));
    assert_eq!(turns(&seventh), json!([{"node": 0, "first": 0}]));
    for answer in [&fourth, &fifth, &seventh] {
        leave(&exchange, answer);
    }
    exchange.finish();
}

#[test]
fn a_branch_ends_in_its_own_voicemail() {
    let root = r#"{ first_match = [
        { when = [{ state = ["TX"] }], node = { sequential = ["one", { voicemail = "Texas is busy." }] } },
        { node = "two" },
    ] }"#;
    let exchange = Exchange::start_with(&phones(root), WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(rung(&first), "one");
    assert_eq!(exchange.outcome(id(&first), "two").0, "branch");
    let last = exchange.go_on(&first, busy());
    assert_eq!((&last["action"], &last["reason"]), (&json!("voicemail"), &json!("no_taker")));
    assert!(last.to_string().contains("Texas is busy."), "{last}");
    let other = json!({"carrier_call_id": "CA2", "to": NUMBER, "from": "+12125550123"});
    let first = exchange.decide(&other);
    assert_eq!(rung(&first), "two");
    assert_eq!(exchange.go_on(&first, busy())["hangup"], json!({"cause": "busy"}));
    exchange.finish();

    // A paused campaign's calls end where their way does.
    let paused = phones(root).campaign(&format!("{PAYOUT}\npaused = true"));
    let exchange = Exchange::start_with(&paused, WAITING);
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("voicemail"), &json!("campaign_paused")));
    let answer = exchange.decide(&json!({"carrier_call_id": "CA2", "to": NUMBER, "from": "+12125550123"}));
    assert_eq!(answer["hangup"], json!({"cause": "busy"}));
    exchange.finish();
}

#[test]
fn a_group_is_shared_and_an_auction_closes_before_the_deadline() {
    let bidders = bidders([("slow", Behaviour::Hang)]);
    let root = r#"{ sequential = [{ auction = ["slow"], timeout_ms = 60 }, { group = "desks" }] }"#;
    let group = "[group.desks]\nnode = { sequential = [\"one\", { weighted = [{ weight = 1, node = \"two\" }], ring_s = 30 }], ring_s = 7 }\n";
    let market = phones(root)
        .campaign(&format!("{PAYOUT}\ndeadline_ms = 900"))
        .target("slow", "one", &format!("endpoint = {{ url = \"{}\" }}", bidders.url("slow")))
        .and(group);
    let exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!((rung(&first), &first["targets"][0]["ring_s"]), ("one", &json!(7)));
    let second = exchange.go_on(&first, busy());
    assert_eq!((rung(&second), &second["targets"][0]["ring_s"]), ("two", &json!(7)));
    assert_eq!(exchange.go_on(&second, busy())["action"], "hangup");
    let step = exchange.explained(id(&first))["steps"][0].clone();
    assert_eq!(step["close"], "deadline");
    let closed = step["closed_in_ms"].as_f64().unwrap();
    assert!((60.0..850.0).contains(&closed), "closed after {closed} ms");
    let told: Value = serde_json::from_str(&bidders.pings("slow")[0].body).unwrap();
    assert!(told["deadline_ms"].as_u64().unwrap() <= 60, "{told}");
    exchange.finish();
}

#[test]
fn nodes_are_drawn_and_tried() {
    let root = r#"{ sequential = [
        { round_robin = ["one", "two"], hours = ["daily 09:00-17:00"], zone = "UTC" },
        { group = "last" },
    ] }"#;
    let market = phones(root)
        .and("[group.last]\nnode = { sequential = [\"three\", { dial = \"+16025550160\" }], ring_s = 9 }\n");
    let market = market.plan(&format!("root = {}", root.replace('\n', " ")));
    let folder = Folder::new();
    market.write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let said = |args: &[&str]| {
        let out = outcry(&[args, &["--config", settings.to_str().unwrap()]].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let drawn = said(&["plan", "show", "main"]);
    for line in [
        "├─ open daily 09:00-17:00 in UTC\n",
        "└─ round robin\n",
        "└─ group last\n",
        "└─ rings 9 s at most\n",
        "└─ end: dial +1602",
    ] {
        assert!(drawn.contains(line), "{line}: {drawn}");
    }
    assert!(!drawn.contains("otherwise") && !drawn.contains("5550160"), "{drawn}");
    let at = |time| said(&["plan", "try", "--to", NUMBER, "--from", CALLER, "--at", time]);
    let (night, day) = (at("2026-11-20T20:00:00Z"), at("2026-11-20T10:00:00Z"));
    assert!(night.contains("node_closed  in UTC") && night.contains("1 of 3 targets"), "{night}");
    assert!(day.contains("3 of 3 targets"), "{day}");
}
