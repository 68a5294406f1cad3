//! When campaigns and publishers take calls, and which plan they walk then: decided once, by the time the call came.

use serde_json::{Value, json};

use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market, outcry};

const WAITING: &str = "[calls]\nnext_within_s = 60\n";
const PAYOUT: &str = "payout = { fixed = \"5.00\" }";
/// Hours that hold at no time of these tests, and at every.
const NEVER: &str = "hours = [\"daily 00:00-24:00\", \"2000-01-01/2099-12-31 closed\"]";
const ALWAYS: &str = "hours = [\"daily 00:00-24:00\"]";

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

fn dialled(answer: &Value) -> &str {
    answer["targets"][0]["address"].as_str().unwrap_or("nobody")
}

fn busy() -> Value {
    json!({"cause": "busy", "ended_by": "target"})
}

/// Two targets for each of two plans, `main` and `night`, tried in order.
fn market(campaign: &str, publisher: &str) -> Market {
    let mut market = Market::new(r#"{ sequential = ["one", "two"] }"#)
        .campaign(campaign)
        .publisher(publisher)
        .buyer("acme", "");
    for (n, name) in ["one", "two", "three", "four"].into_iter().enumerate() {
        let lines = format!("address = \"+1512555090{}\"\nprice = \"20.00\"", n + 1);
        market = market.target(name, "acme", &lines);
    }
    market.and(
        "[plan.night]\nroot = { sequential = [\"three\", \"four\"] }\nterminal = { message = \"Good night.\" }",
    )
}

fn campaign(lines: &str) -> String {
    format!("{PAYOUT}\nzone = \"America/Chicago\"\n{lines}")
}

fn reload(exchange: &Exchange, market: &Market) {
    market.write_catalog(exchange.folder.path());
    let answer = crate::support::request(&exchange.admin, "POST", "/api/v1/reload", None, b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_closed_campaign_or_publisher_bars_the_call() {
    for (market, reason) in [
        (market(&campaign(NEVER), ""), "campaign_closed"),
        (market(&campaign(ALWAYS), NEVER), "publisher_closed"),
        // The order is published: campaign paused, campaign closed, publisher closed.
        (market(&campaign(NEVER), NEVER), "campaign_closed"),
        (market(&campaign(&format!("paused = true\n{NEVER}")), NEVER), "campaign_paused"),
    ] {
        let exchange = Exchange::start(&market);
        let answer = exchange.decide(&ask("CA1"));
        assert_eq!(
            (&answer["action"], &answer["basis"], &answer["reason"]),
            (&json!("hangup"), &json!("terminal"), &json!(reason))
        );
        for target in ["one", "two"] {
            assert_eq!(exchange.outcome(id(&answer), target).0, reason);
        }
        assert_eq!(exchange.end(id(&answer))["reason"], reason);
        let other = json!({"carrier_call_id": "CA2", "to": "+18005550177", "from": CALLER});
        assert_eq!(exchange.decide(&other)["reason"], "unknown_number");
        exchange.finish();
    }
}

#[test]
fn a_call_that_came_in_time_goes_on_after_closing_time() {
    let exchange = Exchange::start_with(&market(&campaign(ALWAYS), ALWAYS), WAITING);
    let first = exchange.decide(&ask("CA1"));
    assert_eq!(dialled(&first), "+15125550901");
    reload(&exchange, &market(&campaign(NEVER), NEVER));
    assert_eq!(exchange.decide(&ask("CA2"))["reason"], "campaign_closed");
    let second = exchange.go_on(&first, busy());
    assert_eq!((dialled(&second), &second["reason"]), ("+15125550902", &json!("static")));
    let talk = json!({"cause": "normal", "ended_by": "caller", "talk_ms": 95_000});
    assert_eq!(exchange.go_on(&second, talk)["reason"], "billable");
    assert_eq!(exchange.end(id(&first))["reason"], "billable");
    exchange.finish();
}

#[test]
fn a_call_stays_with_the_plan_it_began_with() {
    let plans =
        |day: &str| campaign(&format!("plans = [{{ plan = \"main\", {day} }}, {{ plan = \"night\" }}]"));
    // By day always but for one day long ago, since a plan that leaves nothing to those after it is an error.
    let day = market(&plans("hours = [\"daily 00:00-24:00\", \"2000-01-01 closed\"]"), "");
    let night = market(&plans(NEVER), "");
    let exchange = Exchange::start_with(&day, WAITING);
    let by_day = exchange.decide(&ask("CA1"));
    let late = exchange.decide(&ask("CA2"));
    assert_eq!((dialled(&by_day), dialled(&late)), ("+15125550901", "+15125550901"));

    reload(&exchange, &night);
    let by_night = exchange.decide(&ask("CA3"));
    assert_eq!(dialled(&by_night), "+15125550903");
    assert_eq!(dialled(&exchange.go_on(&by_day, busy())), "+15125550902");
    assert_eq!(dialled(&exchange.go_on(&by_night, busy())), "+15125550904");
    let plan_of = |exchange: &Exchange, answer: &Value, step: usize| {
        crate::support::eventually("the step is on disk", || {
            let explained = exchange.explained(id(answer));
            explained["steps"][step]["plan"].as_str().map(str::to_owned)
        })
    };
    for step in 0..2 {
        assert_eq!(plan_of(&exchange, &by_day, step), "main");
        assert_eq!(plan_of(&exchange, &by_night, step), "night");
    }
    assert_eq!(exchange.outcome(id(&by_night), "three").0, "won");

    // A start goes on so too, and every plan ends with its own action.
    let exchange = exchange.crash_and_restart();
    let second = exchange.go_on(&late, busy());
    assert_eq!(dialled(&second), "+15125550902");
    let last = exchange.go_on(&second, busy());
    assert_eq!((&last["action"], &last["reason"]), (&json!("hangup"), &json!("no_taker")));
    assert_eq!(plan_of(&exchange, &late, 2), "main");
    let new = exchange.decide(&ask("CA4"));
    let next = exchange.go_on(&new, busy());
    assert_eq!((dialled(&new), dialled(&next)), ("+15125550903", "+15125550904"));
    assert_eq!(exchange.go_on(&next, busy())["action"], "message");
}

#[test]
fn a_tried_call_says_its_plan_and_what_is_closed() {
    let lines = campaign(
        "hours = [\"mon-fri 08:00-20:00\"]\n\
         plans = [{ plan = \"main\", hours = [\"mon-fri 09:00-17:00\"] }, { plan = \"night\" }]",
    );
    let folder = crate::support::Folder::new();
    market(&lines, "hours = [\"2026-11-20 closed\"]").write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let verb = |args: &[&str]| {
        let output = outcry(&[&["plan"], args, &["--config", settings.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let tried = |at: &str, more: &[&str]| {
        verb(&[&["try", "--to", NUMBER, "--from", CALLER, "--at", at][..], more].concat())
    };
    // A Thursday in Chicago: UTC-6. Nothing bars it, and the plan says why it is this one.
    let told = tried("2026-11-19T16:00:00Z", &["--rules"]);
    assert!(told.contains("plan       main, that of mon-fri 09:00-17:00 in America/Chicago"), "{told}");
    assert!(!told.contains("barred") && told.contains("2 of 2 targets may take the call"), "{told}");
    assert!(
        told.contains(
            "yes      campaign is open mon-fri 08:00-20:00 in America/Chicago  (saw Thu 2026-11-19 10:00)"
        ),
        "{told}"
    );
    // After hours: the other plan. Later still the campaign is closed, and on Friday (by UTC) the publisher.
    let told = tried("2026-11-20T01:00:00Z", &["--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["plan"], &told["plan_hours"]), (&json!("night"), &Value::Null));
    assert_eq!(told["barred"], "publisher_closed");
    let told = tried("2026-11-20T03:00:00Z", &[]);
    assert!(told.contains("barred     campaign_closed: only the plan's terminal action is left"), "{told}");
    assert!(told.contains("(saw Thu 2026-11-19 21:00)") && told.contains("0 of 2 targets"), "{told}");
    let told = tried("2026-11-20T16:00:00Z", &[]);
    assert!(told.contains("plan       main") && told.contains("barred     publisher_closed"), "{told}");
    assert!(
        told.contains("no       publisher is open 2026-11-20 closed in UTC  (saw Fri 2026-11-20 16:00)"),
        "{told}"
    );

    let drawn = verb(&["show"]);
    assert!(drawn.contains("main\n│  campaign auto: mon-fri 09:00-17:00 in America/Chicago\n├─ "), "{drawn}");
    assert!(drawn.contains("night\n│  campaign auto: at all other times\n├─ "), "{drawn}");
    assert!(drawn.contains("nobody\n├─ "), "{drawn}");
}
