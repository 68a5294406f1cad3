//! What a rule saw: the values that a call was judged by, for the operator, and what a buyer is shown of them.

use serde_json::{Value, json};

use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market};

/// Closed whenever this runs.
const SHUT: &str = "2000-01-01/2099-12-31 closed";

fn market() -> Market {
    let root = format!(
        r#"{{ sequential = [
            {{ sequential = ["shut"], hours = ["{SHUT}"], zone = "UTC" }},
            {{ first_match = [
                {{ when = [{{ state = ["OK"] }}], node = "oklahoman" }},
                {{ when = [{{ state = ["TX"] }}, {{ anonymous = false }}], node = {{ auction = ["low", "scaled", "over", "late"], takeover = "44.00" }} }},
                {{ node = "other" }},
            ] }}
        ] }}"#
    );
    let late = format!("price = \"90.00\"\nfilters = [{{ hours = [\"{SHUT}\"] }}]");
    let targets = [
        ("shut", "price = \"20.00\""),
        ("oklahoman", "price = \"20.00\""),
        ("low", "price = \"20.00\""),
        ("scaled", "price = \"22.00\"\nmultiplier = \"80%\""),
        ("over", "price = \"60.00\"\ntier = 3\nfilters = [{ stir_verified = [\"failed\"] }]"),
        ("late", &late),
        ("other", "price = \"20.00\""),
    ];
    targets
        .into_iter()
        .fold(Market::new(&root), |market, (name, lines)| market.buyer(name, "").target(name, name, lines))
}

/// The rules of a target as `says rule (saw)`.
fn rules(document: &Value, target: &str) -> Vec<String> {
    let outcomes = document.pointer("/steps/0/outcomes").or(document.get("outcomes"));
    let outcomes = outcomes.and_then(Value::as_array).expect("outcomes");
    let outcome = outcomes.iter().find(|outcome| outcome["target"] == target).expect("the target");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rules = outcome["rules"].as_array().expect("rules").iter();
    rules
        .map(|rule| format!("{} {} ({})", text(&rule["says"]), text(&rule["rule"]), text(&rule["saw"])))
        .collect()
}

#[test]
fn every_rule_shows_the_value_it_saw() {
    let exchange = Exchange::start(&market());
    let answer = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER,
        "stir": {"attest": "A", "verified": "failed"}}));
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("dial"), &json!("static")));
    let call = answer["call_id"].as_str().unwrap();
    let explained = exchange.explained(call);
    assert_eq!(explained["decision"]["geo_source"], "area_code");
    let told = exchange.cli(&["explain", call]);
    assert!(String::from_utf8(told.stdout).unwrap().contains("state TX (by area_code)"));

    let in_it = "yes branch 2 takes the call: state in TX, not anonymous (state TX, number shown)";
    for (target, row) in [
        ("oklahoman", "no branch 1 takes the call: state in OK (state TX)"),
        ("other", "no branch 3 takes the call: every call (branch 2: state TX, number shown)"),
        ("low", in_it),
        ("low", "no effective score (20.00)"),
        ("scaled", in_it),
        ("scaled", "no effective score (22.00 × 80% = 17.60)"),
        ("over", "yes tier 3 (60.00, takes over from 44.00 on)"),
        ("over", "yes stir_verified in failed (stir_verified failed)"),
    ] {
        let rules = rules(&explained, target);
        assert!(rules.iter().any(|one| one == row), "{target}: {row} is not in {rules:#?}");
    }
    // The clock, by which it is closed.
    let shut = rules(&explained, "shut");
    let closed = format!("no node is open {SHUT} in UTC (");
    assert!(shut.len() == 1 && shut[0].starts_with(&closed) && shut[0].contains(':'), "{shut:#?}");
    let note = exchange.outcome(call, "late").1["note"].clone();
    assert!(note.as_str().is_some_and(|note| note.ends_with(" in UTC") && note.contains(':')), "{note}");

    // A buyer hears neither how the plan is made nor what came of verifying the letter: its pings do not say.
    let cut = exchange.get(&format!("/api/v1/calls/{call}?as=buyer:over"));
    let own = rules(&cut.json(), "over");
    assert!(own.iter().any(|one| one == "yes stir_verified in failed ()"), "{own:#?}");
    assert!(own.iter().any(|one| one == "yes the operator's plan leads the call to it ()"), "{own:#?}");
    assert!(!cut.text().contains("branch") && !cut.text().contains("number shown"), "{}", cut.text());
    let offered = cut.json()["attempts"][0]["offered_at"].clone();
    assert_eq!(offered.as_str().map(str::len), Some("2026-11-20T09:00:00Z".len()), "{offered}");
    exchange.give_up(&answer);

    // The same of a call that nobody makes.
    let settings = exchange.folder.path().join("outcry.toml");
    let tried =
        ["plan", "try", "--to", NUMBER, "--from", CALLER, "--rules", "--config", settings.to_str().unwrap()];
    let told = String::from_utf8(crate::support::outcry(&tried).stdout).unwrap();
    for row in [
        "no       branch 1 takes the call: state in OK  (saw state TX)",
        "no       branch 3 takes the call: every call  (saw branch 2: state TX, number shown)",
        "yes      branch 2 takes the call: state in TX, not anonymous  (saw state TX, number shown)",
    ] {
        assert!(told.contains(row), "{row} is not in {told}");
    }
    exchange.finish();
}
