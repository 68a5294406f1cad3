//! The answer document: every key of the contract, for every action there is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::bids::{bid, bidders};
use crate::support::market::{CALLER, NUMBER, OTHER_KEY};
use crate::support::{Exchange, Market};

const KEYS: [&str; 19] = [
    "action",
    "basis",
    "call_id",
    "decided_in_ms",
    "events",
    "gather",
    "hangup",
    "max_talk_s",
    "mode",
    "next",
    "play_after",
    "play_first",
    "reason",
    "record",
    "ringback",
    "step",
    "targets",
    "valid_until",
    "voicemail",
];
const TARGET_KEYS: [&str; 9] =
    ["address", "attempt", "caller_id", "headers", "kind", "ring_s", "role", "screen", "whisper"];

fn keys(document: &Value) -> BTreeSet<&str> {
    document.as_object().unwrap().keys().map(String::as_str).collect()
}

fn check_shape(answer: &Value) {
    assert_eq!(keys(answer), KEYS.into_iter().collect(), "{answer:#}");
    assert_eq!(answer["step"], 1);
    assert_eq!(answer["mode"], "one_at_a_time");
    assert_eq!(answer["record"], json!({"mode": "off", "channels": 2}));
    assert_eq!(answer["play_first"], json!([]));
    for nothing in ["ringback", "gather"] {
        assert!(answer[nothing].is_null(), "{nothing}");
    }
    // What is dialled may come to nothing; what ends the call is followed by nothing.
    assert_eq!(answer["next"].is_string(), answer["action"] == "dial", "{answer:#}");
    let id = answer["call_id"].as_str().unwrap();
    assert_eq!(id.len(), 26, "{id}");
    let events = answer["events"].as_str().unwrap();
    assert!(events.starts_with("http://127.0.0.1:") && events.len() <= 512, "{events}");
    assert!(events.contains(id));
    let valid = answer["valid_until"].as_str().unwrap();
    assert_eq!((valid.len(), &valid[19..20], &valid[23..]), (24, ".", "Z"), "{valid}");
    assert!(answer["decided_in_ms"].as_f64().unwrap() > 0.0);
    assert!(answer["max_talk_s"].as_u64().unwrap() > 0);
    for target in answer["targets"].as_array().unwrap() {
        assert_eq!(keys(target), TARGET_KEYS.into_iter().collect());
        assert_eq!(
            (&target["headers"], &target["whisper"], &target["screen"]),
            (&json!({}), &Value::Null, &Value::Null)
        );
    }
}

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

#[test]
fn a_dial_has_every_key() {
    let bidders = bidders([("acme", bid("21.00"))]);
    let lines = format!("ring_s = 33\nmax_talk_s = 1200\nendpoint = {{ url = \"{}\" }}", bidders.url("acme"));
    let market =
        Market::new(r#"{ auction = ["acme"] }"#).patient().buyer("acme", "").target("acme", "acme", &lines);
    let exchange = Exchange::start(&market);
    // Everything the contract names may come, and what it does not name is ignored.
    let asked = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER, "from_raw": null, "withheld": false,
        "at": "2026-11-20T09:00:00.000Z", "quote_id": null, "sub_id": "fb-77",
        "geo": {"state": "TX", "zip": "78701", "city": "Austin"},
        "stir": {"attest": "A", "verified": "passed", "diverted": false}, "diverted_from": null,
        "consent": {"at": "2026-11-20T08:59:00Z", "source": "https://x.example", "text_version": "3", "certificate": "c"},
        "headers": {}, "test": false, "tags": {"case": "collision", "age": 40, "insured": true}, "new_field": [1, {}]});
    let answer = exchange.decide(&asked);
    check_shape(&answer);
    assert_eq!(
        (&answer["action"], &answer["basis"], &answer["reason"]),
        (&json!("dial"), &json!("auction"), &json!("won"))
    );
    assert_eq!(answer["max_talk_s"], 1200);
    let target = &answer["targets"][0];
    assert_eq!(
        (&target["attempt"], &target["kind"], &target["role"], &target["ring_s"], &target["caller_id"]),
        (&json!(1), &json!("number"), &json!("buyer"), &json!(33), &json!(CALLER))
    );
    assert_eq!(
        (&answer["hangup"], &answer["voicemail"], &answer["play_after"]),
        (&Value::Null, &Value::Null, &json!([]))
    );

    let ping: Value = serde_json::from_str(&bidders.pings("acme")[0].body).unwrap();
    assert_eq!(
        (
            &ping["caller"]["state"],
            &ping["caller"]["zip3"],
            &ping["geo_source"],
            &ping["stir"],
            &ping["consent"]
        ),
        (&json!("TX"), &json!("787"), &json!("carrier"), &json!("A"), &json!(true))
    );
    assert_eq!(ping["tags"], json!({"case": "collision"}));
    exchange.give_up(&answer);

    // A letter that is known not to hold is passed on to nobody.
    let spoofed = json!({"carrier_call_id": "CA2", "to": NUMBER, "from": CALLER,
        "stir": {"attest": "A", "verified": "failed"}});
    exchange.give_up(&exchange.decide(&spoofed));
    let ping: Value = serde_json::from_str(&bidders.pings("acme")[1].body).unwrap();
    assert_eq!(ping.get("stir"), None, "{ping}");
    exchange.finish();
}

#[test]
fn where_a_caller_is_says_who_knows_best() {
    const LOCAL: &str = "+18005550101";
    let bidders = bidders([("acme", bid("21.00"))]);
    let lines = "price = \"10.00\"\naddress = \"+15125550901\"\nfilters = [{ not = { zip = [\"787*\"] } }]";
    let market = Market::new(r#"{ auction = ["acme", "desk"] }"#)
        .patient()
        .bidder("acme", &bidders.url("acme"))
        .buyer("bolt", "")
        .target("desk", "bolt", lines)
        .and(&format!(
            "[[number]]\nnumber = \"{LOCAL}\"\ncampaign = \"auto\"\npublisher = \"pub\"\ntags = {{ zip = \"33131\" }}"
        ));
    let exchange = Exchange::start(&market);
    // What the carrier says of the place, the ZIP that was keyed in, the number: state, ZIP3, source and what a target
    // that takes no ZIP of 787 says. The caller's area code is of Texas.
    let (geo, none) = (|text: &str| serde_json::from_str::<Value>(text).unwrap(), Value::Null);
    let table = [
        (geo("{}"), &none, NUMBER, "TX - area_code", "outbid"),
        (geo(r#"{"state":"ny"}"#), &none, NUMBER, "NY - carrier", "outbid"),
        (geo(r#"{"state":"XX"}"#), &none, NUMBER, "TX - area_code", "outbid"),
        (geo(r#"{"state":"New York"}"#), &none, NUMBER, "TX - area_code", "outbid"),
        (geo(r#"{"state":"TX","zip":"10001"}"#), &none, NUMBER, "NY 100 carrier", "outbid"),
        (geo(r#"{"zip":"78701"}"#), &none, NUMBER, "TX 787 carrier", "geo (zip 787••)"),
        (geo(r#"{"zip":78701}"#), &none, NUMBER, "TX - area_code", "geo (zip is none)"),
        (geo(r#"{"zip":["78701"]}"#), &none, NUMBER, "TX - area_code", "geo (zip is none)"),
        (geo(r#"{"zip":null}"#), &none, NUMBER, "TX - area_code", "outbid"),
        (geo(r#"{"zip":"60601"}"#), &json!("10001"), NUMBER, "NY 100 ivr", "outbid"),
        (geo(r#"{"zip":"60601"}"#), &json!(10001), NUMBER, "NY 100 ivr", "outbid"),
        (geo(r#"{"zip":"60601"}"#), &json!("00000"), NUMBER, "IL 606 carrier", "outbid"),
        (geo("{}"), &json!("7870"), NUMBER, "TX - area_code", "geo (zip is none)"),
        (geo("{}"), &none, LOCAL, "FL 331 publisher", "outbid"),
        (geo(r#"{"zip":"60601"}"#), &none, LOCAL, "FL 331 publisher", "outbid"),
        (geo("{}"), &json!("10001"), LOCAL, "NY 100 ivr", "outbid"),
    ];
    for (n, (geo, keyed, to, place, verdict)) in table.into_iter().enumerate() {
        let mut asked = json!({"carrier_call_id": format!("CA{n}"), "to": to, "from": CALLER, "geo": geo});
        if !keyed.is_null() {
            asked["tags"] = json!({"zip": keyed});
        }
        let answer = exchange.decide(&asked);
        let ping: Value = serde_json::from_str(&bidders.pings("acme")[n].body).unwrap();
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let caller = &ping["caller"];
        let told = [word(&caller["state"]), word(&caller["zip3"]), word(&ping["geo_source"])].join(" ");
        assert_eq!(told, place, "{asked}");
        let (reason, row) = exchange.outcome(answer["call_id"].as_str().unwrap(), "desk");
        let note = row["note"].as_str().filter(|_| reason == "geo").map(|note| format!(" ({note})"));
        assert_eq!(format!("{reason}{}", note.unwrap_or_default()), verdict, "{asked}");
        exchange.give_up(&answer);
    }
    exchange.finish();
}

#[test]
fn every_terminal_action_has_its_form() {
    let table = [
        (r#"{ voicemail = "After the tone." }"#, "voicemail", "voicemail", json!({"say": "After the tone."})),
        (r#"{ message = "Call later." }"#, "message", "play_after", json!([{"say": "Call later."}])),
        (r#"{ hangup = "congestion" }"#, "hangup", "hangup", json!({"cause": "congestion"})),
        (r#"{ hangup = "unallocated" }"#, "hangup", "hangup", json!({"cause": "unallocated"})),
    ];
    for (terminal, action, key, value) in table {
        let exchange = Exchange::start(&Market::new("").plan(&format!("terminal = {terminal}")));
        let answer = exchange.decide(&ask("CA1"));
        check_shape(&answer);
        assert_eq!((&answer["action"], &answer[key]), (&json!(action), &value), "{terminal}");
        assert_eq!((&answer["basis"], &answer["reason"]), (&json!("terminal"), &json!("no_taker")));
        assert_eq!(answer["targets"], json!([]));
        for other in ["voicemail", "hangup"].into_iter().filter(|other| *other != key) {
            assert!(answer[other].is_null(), "{action} says {other}");
        }
        exchange.finish();
    }
}

#[test]
fn a_plan_may_end_at_a_destination_of_its_own() {
    let exchange = Exchange::start(&Market::new("").plan(r#"terminal = { dial = "+15125550777" }"#));
    let answer = exchange.decide(&ask("CA1"));
    check_shape(&answer);
    assert_eq!((&answer["action"], &answer["basis"]), (&json!("dial"), &json!("terminal")));
    let target = &answer["targets"][0];
    assert_eq!((&target["address"], &target["role"]), (&json!("+15125550777"), &json!("terminal")));
    // It is followed like any other, and nobody pays.
    let call = answer["call_id"].as_str().unwrap();
    exchange.talk(&answer, 200_000);
    let end = exchange.end(call);
    assert_eq!(
        (&end["billable"], &end["reason"], &end["talk_ms"]),
        (&json!(false), &json!("no_taker"), &json!(200_000))
    );
    assert!(exchange.ledger(call).is_empty());
    exchange.finish();
}

#[test]
fn an_unknown_number_takes_the_default_plan_and_is_recorded() {
    let bidders = bidders([("acme", bid("21.00"))]);
    let market = Market::new(r#"{ auction = ["acme"] }"#).patient().bidder("acme", &bidders.url("acme"));
    let exchange = Exchange::start(&market);
    for (id, to) in [("CA1", "+18005559999"), ("CA2", "sip:sales@pbx.example")] {
        let answer = exchange.decide(&json!({"carrier_call_id": id, "to": to, "from": CALLER}));
        check_shape(&answer);
        assert_eq!(
            (&answer["action"], &answer["reason"], &answer["basis"]),
            (&json!("message"), &json!("unknown_number"), &json!("terminal")),
            "{to}"
        );
        assert_eq!(answer["play_after"], json!([{"say": "Nobody is here."}]));
        let explained = exchange.explained(answer["call_id"].as_str().unwrap());
        assert_eq!(explained["decision"]["reason"], "unknown_number");
        assert!(explained["campaign"].is_null() && explained["publisher"].is_null());
        assert_eq!(explained["end"]["reason"], "unknown_number");
        // An event for an attempt that was never handed out.
        let event = json!({"event_id": "e", "type": "ringing", "attempt": 1, "at": "2026-11-20T09:00:00Z"});
        assert_eq!(exchange.event(&answer, &event).status, 400);
    }
    assert_eq!(bidders.stats("acme").pings, 0);
    assert_eq!(exchange.metric("outcry_decisions_total", r#"reason="unknown_number""#), 2.0);
    exchange.finish();
}

#[test]
fn a_withheld_caller_is_served_without_a_number() {
    let bidders = bidders([("acme", bid("21.00"))]);
    let market = Market::new(r#"{ auction = ["acme"] }"#).patient().bidder("acme", &bidders.url("acme"));
    let exchange = Exchange::start(&market);
    for (n, from) in [Value::Null, json!("anonymous"), json!(CALLER)].into_iter().enumerate() {
        let asked =
            json!({"carrier_call_id": format!("CA{n}"), "to": NUMBER, "from": from, "withheld": true});
        let answer = exchange.decide(&asked);
        assert_eq!(answer["reason"], "won");
        assert!(answer["targets"][0]["caller_id"].is_null(), "a withheld number is not shown to the target");
        let call = answer["call_id"].as_str().unwrap();
        assert_eq!(exchange.explained(call)["decision"]["caller"], "withheld");
        exchange.give_up(&answer);
    }
    for ping in bidders.pings("acme") {
        let ping: Value = serde_json::from_str(&ping.body).unwrap();
        assert!(ping["caller"].get("token").is_none_or(Value::is_null), "{ping}");
        assert_eq!(ping["geo_source"], "none");
    }
    exchange.finish();
}

/// A call is worth more than its caller id: what is no number is a caller without one.
#[test]
fn a_caller_without_a_valid_number_is_served() {
    let bidders = bidders([("acme", bid("21.00"))]);
    let market = Market::new(r#"{ auction = ["acme"] }"#).patient().bidder("acme", &bidders.url("acme"));
    let exchange = Exchange::start(&market);
    for (n, from) in ["anonymous", "5125557391", "+1 512 555 7391", ""].into_iter().enumerate() {
        let id = format!("5125557391-{n}");
        let answer = exchange.decide(&json!({"carrier_call_id": id, "to": NUMBER, "from": from}));
        assert_eq!(answer["reason"], "won", "{from}");
        assert!(answer["targets"][0]["caller_id"].is_null(), "{from}");
        let explained = exchange.explained(answer["call_id"].as_str().unwrap());
        assert_eq!(explained["decision"]["caller"], "no valid number");
        // Where it came with digits they are known again, and masked, in other fields.
        let is_masked = !explained.to_string().contains("5557391");
        assert_eq!(is_masked, from.contains("739"), "{from}: {explained}");
        exchange.give_up(&answer);
    }
    exchange.finish();
}

#[test]
fn a_test_call_dials_no_live_target_and_is_never_billed() {
    let market = |url: &str| Market::new(r#"{ auction = ["acme"] }"#).patient().bidder("acme", url);
    for test_address in [None, Some("+15125550666")] {
        let bidders = bidders([("acme", bid("21.00"))]);
        let settings =
            test_address.map(|to| format!("[calls]\ntest_address = \"{to}\"\n")).unwrap_or_default();
        let exchange = Exchange::start_with(&market(&bidders.url("acme")), &settings);
        let mut asked = ask("CA1");
        asked["test"] = json!(true);
        let answer = exchange.decide(&asked);
        check_shape(&answer);
        let call = answer["call_id"].as_str().unwrap();
        assert_eq!(answer["reason"], "test");
        let ping: Value = serde_json::from_str(&bidders.pings("acme")[0].body).unwrap();
        assert_eq!(ping["test"], true);
        match test_address {
            None => assert_eq!(answer["hangup"], json!({"cause": "normal"})),
            Some(to) => {
                let target = &answer["targets"][0];
                assert_eq!((&target["address"], &target["role"]), (&json!(to), &json!("terminal")));
                exchange.talk(&answer, 500_000);
            }
        }
        let end = exchange.end(call);
        assert_eq!((&end["reason"], &end["billable"]), (&json!("test"), &json!(false)));
        assert!(exchange.ledger(call).is_empty());
        assert_eq!(exchange.metric("outcry_revenue_micros_total", ""), 0.0);
        for by in ["buyer", "target", "publisher", "campaign", "hour"] {
            let pnl = exchange.cli(&["pnl", "--by", by, "--format", "json"]);
            let pnl: Value = serde_json::from_slice(&pnl.stdout).unwrap();
            let rows = pnl.as_array().or_else(|| pnl["rows"].as_array()).unwrap();
            assert!(rows.iter().all(|row| row["calls"] == 0 && row["ended"] == 0), "{by}: {pnl}");
        }
        exchange.finish();
    }
}

#[test]
fn one_id_of_two_carriers_is_two_calls() {
    let exchange = Exchange::start(&Market::new("").plan(r#"terminal = { hangup = "busy" }"#));
    let first = exchange.decide(&ask("CA1"));
    let second = exchange.route_as(OTHER_KEY, &ask("CA1")).json();
    assert_ne!(first["call_id"], second["call_id"]);
    for (answer, carrier) in [(&first, "sw"), (&second, "other")] {
        let explained = exchange.explained(answer["call_id"].as_str().unwrap());
        assert_eq!(explained["decision"]["carrier"], carrier);
    }
    assert_eq!(exchange.metric("outcry_repeats_total", ""), 0.0);
    exchange.finish();
}
