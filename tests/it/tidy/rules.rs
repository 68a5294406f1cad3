//! `docs/rules.md` is the table of rules, every reason that a rule gives is in it, and every example comes out as it says.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use outcry::carrier::{CallerLeg, CarrierRequest};
use outcry::domain::id::CallerListId;
use outcry::domain::{
    Address, CallId, CallerListIx, Catalog, E164, Money, PingId, Reason, SetBy, TagValue, Tags, Timestamp,
    Verified,
};
use outcry::exchange::preview::preview;
use outcry::exchange::replay::replay;
use outcry::records::row::Turn;
use outcry::records::stored::{
    StoredCall, StoredDecision, StoredFacts, StoredMoney, StoredOutcome, StoredTrail, StoredWhole,
};
use outcry::routing::rules::{Example, Phase, RULES, Rule, of};

use super::pages::{cell, page_says};
use crate::support::Folder;

/// What every example has around it.
const MARKET: &[(&str, &str)] = &[
    ("", "default_plan = \"nobody\""),
    (
        "[carrier.sw]",
        "key_digest = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"",
    ),
    ("[campaign.auto]", "vertical = \"auto\"\nplan = \"main\"\npayout = { fixed = \"5.00\" }"),
    ("[publisher.pub]", "name = \"Pub\"\nzone = \"UTC\""),
    ("[[number]]", "number = \"+18005550100\"\ncampaign = \"auto\"\npublisher = \"pub\""),
    ("[buyer.acme]", "name = \"Acme\"\nzone = \"UTC\""),
    ("[buyer.bolt]", "name = \"Bolt\"\nzone = \"UTC\""),
    ("[plan.nobody]", "terminal = { hangup = \"busy\" }"),
];

/// The market with an example's lines, those of a table that is there already put into it.
fn catalog_of(example: &Example) -> Catalog {
    let mut tables: Vec<(String, String)> =
        MARKET.iter().map(|(head, lines)| ((*head).to_owned(), format!("{lines}\n"))).collect();
    let mut at = 0;
    for line in example.catalog.lines() {
        if line.starts_with('[') {
            at = tables.iter().position(|(head, _)| head == line).unwrap_or_else(|| {
                tables.push((line.to_owned(), String::new()));
                tables.len() - 1
            });
        } else {
            writeln!(tables[at].1, "{line}").unwrap();
        }
    }
    let text: String = tables.iter().map(|(head, lines)| format!("{head}\n{lines}")).collect();
    let folder = Folder::new();
    std::fs::write(folder.path().join("outcry.toml"), "[pings]\nallow_private_addresses = true\n").unwrap();
    std::fs::write(folder.path().join("catalog/market.toml"), &text).unwrap();
    let loaded = outcry::config::load(&folder.path().join("outcry.toml"));
    loaded.unwrap_or_else(|problems| panic!("{}\n{text}", problems[0])).catalog
}

/// The call of an example, and when it comes.
fn call_of(example: &Example) -> (CarrierRequest, Timestamp) {
    let words: Vec<&str> = example.call.split(' ').collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        Some(words[at + 1].to_owned())
    };
    let mut tags = Tags::default();
    if let Some(tag) = value("--tag") {
        let (key, value) = tag.split_once('=').unwrap();
        tags.add(key, TagValue::Text(value.into()), SetBy::Carrier).unwrap();
    }
    let request = CarrierRequest {
        carrier_call_id: "example".to_owned(),
        to: Address::parse(&value("--to").unwrap()).unwrap(),
        from: value("--from").map(|from| E164::parse(&from).unwrap()),
        withheld: words.contains(&"--withheld"),
        tail: None,
        sub_id: value("--sub-id"),
        state: None,
        zip: None,
        stir: value("--stir"),
        stir_verified: value("--stir-verified")
            .map_or(Verified::Unverified, |it| Verified::parse(&it).unwrap()),
        consent: false,
        test: false,
        caller: CallerLeg::Ringing,
        tags,
    };
    let at = value("--at").unwrap_or_else(|| "2026-11-20T15:00:00Z".to_owned());
    (request, Timestamp::parse(&at).unwrap())
}

/// The caller lists that the caller of an example is on.
fn on_lists(example: &Example, catalog: &Catalog) -> Vec<CallerListIx> {
    let words: Vec<&str> = example.call.split(' ').collect();
    let named = words.windows(2).filter(|pair| pair[0] == "--on-list");
    named.map(|pair| catalog.caller_list_named(&CallerListId::parse(pair[1]).unwrap()).unwrap()).collect()
}

/// What an example says of a call that was tried before, and of the turn that it has.
const EARLIER: &str = "earlier attempts";
const TURN: &str = "turn of the node";

fn outcome(target: &str, word: &str) -> StoredOutcome {
    let (word, amount) = word.split_once(' ').map_or((word, None), |(word, amount)| (word, Some(amount)));
    let reason = if word == "bid" { Reason::Outbid } else { Reason::parse(word).expect(word) };
    let is_asked = reason.code() / 100 != 1;
    StoredOutcome {
        target: target.to_owned(),
        buyer: String::new(),
        reason: reason.code(),
        amount: amount.map(|amount| Money::parse(amount).unwrap()),
        ping: is_asked.then(|| PingId::from_bits(7)),
        latency_us: None,
        note: None,
    }
}

/// What the call and each target end with.
fn verdicts(example: &Example) -> BTreeMap<String, String> {
    let catalog = catalog_of(example);
    let (request, at) = call_of(example);
    let lists = on_lists(example, &catalog);
    let seen = preview(&catalog, &request, lists.clone(), at);
    let stated = |name: &str| {
        let found = example.recorded.iter().find(|(who, _)| *who == name);
        found.map_or(0, |(_, number)| number.parse::<u32>().expect("a number"))
    };
    let Address::Number(number) = request.to else { panic!("examples dial numbers") };
    let decision = StoredDecision {
        carrier: "sw".to_owned(),
        carrier_call_id: "example".to_owned(),
        test: false,
        number: number.reveal(),
        sub_id: request.sub_id.clone(),
        caller: String::new(),
        caller_token: None,
        state: None,
        basis: String::new(),
        action: String::new(),
        reason: 0,
        target: None,
        buyer: None,
        price: None,
        decided_us: 0,
        overhead_us: None,
        catalog: catalog.digest.to_string(),
    };
    let id = CallId::from_bits(1);
    let trail = StoredTrail {
        seq: 1,
        call_id: id,
        step: 1,
        is_final: true,
        at,
        campaign: seen.campaign.clone(),
        publisher: seen.publisher.clone(),
        seed: 1,
        close: "all_replied".to_owned(),
        asked_us: 0,
        closed_us: 0,
        plan: seen.plan.clone(),
        tags: request.tags.iter().map(|tag| (tag.key.clone(), tag.value.as_text().into())).collect(),
        outcomes: example
            .recorded
            .iter()
            .filter(|(who, _)| ![EARLIER, TURN].contains(who))
            .map(|(target, word)| outcome(target, word))
            .collect(),
        turns: vec![Turn { node: 0, first: stated(TURN) }],
        facts: Some(StoredFacts {
            at,
            catalog: None,
            state: seen.state.clone(),
            geo_source: seen.geo_source.to_owned(),
            country: seen.country.clone(),
            area_code: seen.area_code,
            zip3: None,
            attestation: request.stir.as_deref().and_then(|stir| stir.chars().next()),
            has_number: request.from.is_some(),
            not_kept: Vec::new(),
            branches: Vec::new(),
            lists: lists.iter().map(|ix| catalog.caller_list(*ix).id.to_string()).collect(),
            earlier_attempts: stated(EARLIER),
            floor_row: None,
            verified: request.stir_verified,
        }),
    };
    let call = StoredCall {
        call_id: id,
        at,
        campaign: seen.campaign,
        publisher: seen.publisher,
        decision: Some(decision),
        end: None,
        attempts: 0,
        money: StoredMoney::default(),
    };
    let whole = StoredWhole {
        call: Some(call),
        trails: vec![trail],
        attempts: Vec::new(),
        events: Vec::new(),
        entries: Vec::new(),
    };
    let catalog = Arc::new(catalog);
    let replayed = replay(&whole, Money::from_micros(10_000), &mut |_| Ok(Arc::clone(&catalog))).unwrap();
    let step = &replayed.steps[0];
    let targets = step.targets.iter().map(|one| (one.target.clone(), one.reason.clone()));
    targets.chain([("the call".to_owned(), step.reason.clone())]).collect()
}

#[test]
fn every_example_comes_out_as_it_says() {
    for rule in RULES {
        let found = verdicts(&rule.example);
        for (who, reason) in rule.example.verdicts {
            assert_eq!(found.get(*who).map(String::as_str), Some(reason.as_str()), "{}: {who}", rule.name);
        }
        let is_shown = rule.example.verdicts.iter().any(|(_, reason)| *reason == rule.reason);
        assert!(is_shown, "the example of {} does not show {}", rule.name, rule.reason);
    }
}

/// Ends that no rule gives: what took the call, what failed, and what was only tested.
const NO_RULES: [Reason; 3] = [Reason::Static, Reason::InternalError, Reason::Test];

#[test]
fn every_reason_of_a_rule_is_in_the_table() {
    for reason in Reason::ALL.iter().filter(|reason| matches!(reason.code() / 100, 1 | 3 | 5)) {
        let is_there = of(*reason).next().is_some();
        assert_eq!(is_there, !NO_RULES.contains(reason), "{reason}: a row of src/routing/rules/table.rs");
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { cell(text) }
}

fn example(page: &mut String, rule: &Rule) {
    writeln!(
        page,
        "\n**{}**\n\n```toml\n{}```\n\n```text\n{}",
        rule.name, rule.example.catalog, rule.example.call
    )
    .unwrap();
    for (target, word) in rule.example.recorded {
        writeln!(page, "{target}: {word}").unwrap();
    }
    let verdicts: Vec<String> =
        rule.example.verdicts.iter().map(|(who, reason)| format!("{who}: {reason}")).collect();
    writeln!(page, "→ {}\n```", verdicts.join(", ")).unwrap();
}

#[test]
fn the_rules_page_is_the_table_of_rules() {
    let mut page = String::from(
        "# Rules\n\n\
         Every rule that is held against a call and its targets, in the order in which they are (but that of the plan, which\n\
         ends what no earlier node left). A target that is refused by several ends with the first one's [reason](reasons.md). `outcry explain CALL --rules` shows what each said of a call\n\
         and the value it saw, `outcry plan try` what they would say, and `outcry replay CALL` decides a recorded call by them\n\
         again. This page is made from `src/routing/rules/table.rs`, and a test carries out every example.\n\n\
         What is not known of a call is equal to nothing: a condition on it does not hold, and its `not` does. What came and\n\
         cannot be compared (a ZIP that is none, letters where a number is asked for) makes a condition neither hold nor fail:\n\
         its `not` does not hold either. Of `all`, `any` and `not` the condition that decided gives the reason.\n\n\
         Each example has around it: campaign `auto` with plan `main` and a payout of 5.00, publisher `pub` with the number\n\
         `+18005550100`, and buyers `acme` and `bolt` in UTC. Below the lines of the catalog stands the call, as `outcry plan\n\
         try` takes it, then what is known otherwise (bids, capacity), then what becomes of it.\n",
    );
    for phase in Phase::ALL {
        let rules: Vec<&Rule> = RULES.iter().filter(|rule| rule.phase == phase).collect();
        let replayed = if phase.is_decided_anew() { "decides it anew" } else { "takes it from the record" };
        write!(
            page,
            "\n## {}\n\n`outcry replay` {replayed}.\n\n| rule | asks whether | measured in | configured by | reason |\n\
             |---|---|---|---|---|\n",
            phase.title()
        )
        .unwrap();
        for rule in &rules {
            writeln!(
                page,
                "| {} | {} | {} | {} | `{}` |",
                rule.name,
                cell(rule.asks),
                or_dash(rule.unit),
                or_dash(rule.configured),
                rule.reason
            )
            .unwrap();
        }
        rules.iter().for_each(|rule| example(&mut page, rule));
    }
    page_says("docs/rules.md", &page);
}
