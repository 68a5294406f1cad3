//! Tables of changes over a small catalog. Rows are steps, in order; behind `=>` is what is so afterwards.
//!
//! ```text
//! files  buyer acme paused=false concurrency=5 daily_billable=none   the files say this from now on
//! ask    buyer acme paused=true concurrency=file                    somebody asks; `file` takes a change back
//! ```
//!
//! The result lists what is noted in the history, then every value that differs from the files.

use std::collections::BTreeMap;

use super::*;
use crate::domain::catalog::{Buyer, Campaign, Disclosure, Payout, PlanIx, Pricing, Target};
use crate::domain::plan::{HangupCause, Node, Plan, Terminal};
use crate::domain::{Address, AfterFailure, Bps, BuyerIx, Money, PlanId, PriceRule, Zone};
use std::time::Duration;

fn entity(words: &[&str]) -> Entity {
    Entity::parse(words[0], words[1]).expect("an entity")
}

fn buyer(id: &BuyerId) -> Buyer {
    Buyer {
        id: id.clone(),
        name: id.to_string(),
        zone: Zone::load("UTC").expect("UTC"),
        paused: false,
        hours: None,
        limits: Limits::default(),
        ranges: Vec::new(),
        disclosure: Disclosure::Token,
        personal_tags: Vec::new(),
        show_floor: false,
        key_digest: None,
        hand_back: Duration::ZERO,
        suppressed_callers: Vec::new(),
    }
}

fn target(id: &TargetId) -> Target {
    Target {
        id: id.clone(),
        buyer: BuyerIx(0),
        address: Address::parse("+15125550900").expect("an address"),
        pricing: Pricing::Fixed(Money::from_micros(1)),
        paused: false,
        filters: Vec::new(),
        hours: None,
        limits: Limits::default(),
        ranges: Vec::new(),
        floor: Money::ZERO,
        tier: 1,
        priority: 1,
        weight: 1,
        multiplier: Bps(10_000),
        min_duration: Duration::ZERO,
        ring: Duration::ZERO,
        max_talk: Duration::ZERO,
        earlier_attempts: None,
        suppressed_callers: Vec::new(),
    }
}

fn campaign(id: &CampaignId) -> Campaign {
    Campaign {
        id: id.clone(),
        vertical: "auto".to_owned(),
        plan: PlanIx(0),
        paused: false,
        deadline: Duration::ZERO,
        floor: Money::ZERO,
        min_margin: None,
        payout: Payout::Fixed(Money::ZERO),
        ping_tags: Vec::new(),
        early_close: true,
        recovery: Duration::ZERO,
        attempts: 1,
        ring_budget: Duration::ZERO,
        zone: Zone::utc(),
        hours: None,
        scheduled: Vec::new(),
        price: PriceRule::First,
        floors: Vec::new(),
        after_failure: AfterFailure::NextBid,
        blocked_callers: Vec::new(),
    }
}

/// Files that say what the rows say.
fn files(rows: &[&str]) -> Catalog {
    let plan = Plan {
        id: PlanId::parse("main").expect("a slug"),
        root: Node::Sequential(Vec::new()),
        terminal: Terminal::Hangup(HangupCause::Busy),
    };
    let mut catalog = Catalog {
        digest: "files".into(),
        carriers: Vec::new(),
        campaigns: Vec::new(),
        publishers: Vec::new(),
        buyers: Vec::new(),
        targets: Vec::new(),
        plans: vec![plan],
        numbers: Vec::new(),
        caller_lists: Vec::new(),
        default_plan: PlanIx(0),
    };
    let rows: BTreeMap<Entity, Vec<&str>> = rows
        .iter()
        .map(|row| row.split_whitespace().collect::<Vec<_>>())
        .map(|words| (entity(&words), words[2..].to_vec()))
        .collect();
    for (entity, values) in rows {
        match &entity {
            Entity::Buyer(id) => catalog.buyers.push(buyer(id)),
            Entity::Target(id) => catalog.targets.push(target(id)),
            Entity::Campaign(id) => catalog.campaigns.push(campaign(id)),
        }
        for word in values {
            let (key, text) = word.split_once('=').expect("key=value");
            let key = Key::parse(key).expect("a key");
            put(&mut catalog, &entity, Value::parse(key, text).expect("a value"));
        }
    }
    catalog
}

fn asked(words: &[&str]) -> Asked {
    let values = words[2..].iter().map(|word| {
        let (key, text) = word.split_once('=').expect("key=value");
        let key = Key::parse(key).expect("a key");
        (key, (text != "file").then(|| Value::parse(key, text).expect("a value")))
    });
    Asked { entity: entity(words), values: values.collect(), actor: "ops".to_owned(), by: None }
}

fn noted(noted: &[Noted]) -> Vec<String> {
    let one = |noted: &Noted| {
        let value = noted.happened.value().map_or(String::new(), |value| format!(" {value}"));
        let (entity, key, word) = (&noted.entity, noted.key.as_str(), noted.happened.as_str());
        format!("{entity} {key} {word}{value}")
    };
    noted.iter().map(one).collect()
}

/// Every value in force that the files do not say.
fn differences(files: &Catalog, changes: &[Change]) -> Vec<String> {
    let (laid, dropped) = lay(Arc::new(files.clone()), changes);
    assert_eq!(dropped, [], "what was overtaken has been taken out");
    let entities = (files.buyers.iter().map(|buyer| Entity::Buyer(buyer.id.clone())))
        .chain(files.targets.iter().map(|target| Entity::Target(target.id.clone())))
        .chain(files.campaigns.iter().map(|campaign| Entity::Campaign(campaign.id.clone())));
    let mut found = Vec::new();
    for entity in entities {
        for key in Key::ALL {
            let (file, now) = (value_of(files, &entity, key), value_of(&laid, &entity, key));
            if let (true, Some(now)) = (file != now, now) {
                found.push(format!("{entity} {}={now}", key.as_str()));
            }
        }
    }
    found
}

fn run(story: &str) {
    let mut now = files(&[]);
    let mut changes: Vec<Change> = Vec::new();
    let mut at = Timestamp::default();
    for row in story.lines().map(str::trim).filter(|row| !row.is_empty()) {
        at = at.after(Duration::from_secs(1));
        let (does, wanted) = row.split_once("=>").expect("a result");
        let (verb, rest) = does.trim().split_once(' ').unwrap_or((does.trim(), ""));
        let said = match verb {
            "files" => {
                now =
                    files(&rest.split(',').map(str::trim).filter(|row| !row.is_empty()).collect::<Vec<_>>());
                let (_, dropped) = lay(Arc::new(now.clone()), &changes);
                let step = without(&changes, &dropped, at);
                changes = step.changes;
                noted(&step.noted)
            }
            "ask" => match step(&now, &changes, &asked(&rest.split_whitespace().collect::<Vec<_>>()), at) {
                Ok(step) => {
                    changes = step.changes;
                    noted(&step.noted)
                }
                Err(why) => vec![format!("{why:?}").to_lowercase()],
            },
            other => panic!("unknown verb {other}"),
        };
        let differences = differences(&now, &changes);
        let lines = text(&now, &changes).lines().count();
        let expected = if differences.is_empty() { 0 } else { differences.len() + 1 };
        assert_eq!(lines, expected, "the text says what differs: {row}");
        let found = format!("{} | {}", said.join(", "), differences.join(", "));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&found), words(wanted), "{row}");
    }
}

#[test]
fn a_change_counts_until_it_is_taken_back() {
    run("
        files buyer acme, target desk, campaign auto => |
        ask buyer acme paused=true             => buyer acme paused set true | buyer acme paused=true
        ask buyer acme paused=true             => | buyer acme paused=true
        ask buyer acme paused=file             => buyer acme paused taken_back |
        ask buyer acme paused=file             => |
        ask campaign auto paused=true          => campaign auto paused set true | campaign auto paused=true
        ask campaign auto paused=false         => campaign auto paused taken_back |
        ask target desk concurrency=3 paused=true => target desk concurrency set 3, target desk paused set true \
            | target desk paused=true, target desk concurrency=3
        ask target desk concurrency=4          => target desk concurrency set 4 \
            | target desk paused=true, target desk concurrency=4
    ");
}

#[test]
fn no_limit_is_a_value_and_not_the_files() {
    run("
        files buyer acme concurrency=5 daily_billable=9 => |
        ask buyer acme concurrency=none        => buyer acme concurrency set none | buyer acme concurrency=none
        ask buyer acme concurrency=5           => buyer acme concurrency taken_back |
        ask buyer acme daily_billable=none     => buyer acme daily_billable set none | buyer acme daily_billable=none
        ask buyer acme daily_billable=file     => buyer acme daily_billable taken_back |
    ");
}

#[test]
fn an_edit_of_the_same_key_wins_and_no_other() {
    run("
        files buyer acme concurrency=5         => |
        ask buyer acme paused=true concurrency=2 => buyer acme paused set true, buyer acme concurrency set 2 \
            | buyer acme paused=true, buyer acme concurrency=2
        files buyer acme concurrency=5 daily_billable=7 => | buyer acme paused=true, buyer acme concurrency=2
        files buyer acme concurrency=6         => buyer acme concurrency file_won | buyer acme paused=true
        files buyer acme concurrency=5         => | buyer acme paused=true
        files buyer acme paused=true           => buyer acme paused file_won |
    ");
}

#[test]
fn who_is_gone_is_paused_when_they_come_back() {
    run("
        files buyer acme, buyer bolt           => |
        ask buyer acme paused=true             => buyer acme paused set true | buyer acme paused=true
        files buyer bolt                       => |
        ask buyer acme paused=file             => unknown |
        files buyer acme                       => | buyer acme paused=true
        files buyer bolt                       => |
        files buyer acme paused=true           => buyer acme paused file_won |
    ");
}

#[test]
fn what_cannot_be_changed_changes_nothing() {
    run("
        files campaign auto, buyer acme        => |
        ask buyer nobody paused=true           => unknown |
        ask target acme paused=true            => unknown |
        ask campaign auto concurrency=5        => unknown |
        ask campaign auto paused=true concurrency=5 => unknown |
    ");
}

#[test]
fn there_are_never_more_than_the_most() {
    let ids: Vec<String> = (0..=CHANGES_MAX).map(|n| format!("target t{n}")).collect();
    let files = files(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let mut changes = Vec::new();
    for id in &ids[..CHANGES_MAX] {
        let entity = entity(&id.split_whitespace().collect::<Vec<_>>());
        let origin = Origin { actor: "ops".to_owned(), by: None, at: Timestamp::default() };
        changes.push(Change { entity, value: Value::Paused(true), file: Value::Paused(false), origin });
    }
    let ask = |row: &str| {
        step(&files, &changes, &asked(&row.split_whitespace().collect::<Vec<_>>()), Timestamp::default())
    };
    assert_eq!(ask(&format!("{} paused=true", ids[CHANGES_MAX])), Err(NoStep::Full));
    assert!(ask("target t0 paused=false").is_ok(), "one fewer");
}

#[test]
fn values_are_written_and_read_alike() {
    for (key, text, fits) in [
        (Key::Paused, "true", true),
        (Key::Paused, "false", true),
        (Key::Paused, "none", false),
        (Key::Paused, "1", false),
        (Key::Concurrency, "none", true),
        (Key::Concurrency, "1", true),
        (Key::Concurrency, "100000", true),
        (Key::Concurrency, "100001", false),
        (Key::Concurrency, "0", false),
        (Key::Concurrency, "+1", false),
        (Key::Concurrency, "true", false),
        (Key::DailyBillable, "10000000", true),
        (Key::DailyBillable, "10000001", false),
        (Key::DailyBillable, "99999999999999999999", false),
        (Key::DailyBillable, "", false),
    ] {
        let value = Value::parse(key, text);
        assert_eq!(value.is_some(), fits, "{} {text}", key.as_str());
        if let Some(value) = value {
            assert_eq!((value.key(), value.to_string().as_str()), (key, text));
        }
    }
}

/// A limit that is changed counts at all hours, even one that the files say of all other hours; the other limit of the
/// ranges, and their prices, stay.
#[test]
fn a_changed_limit_counts_in_every_range() {
    let mut files = files(&["buyer acme", "target desk concurrency=9"]);
    let hours =
        [crate::domain::Hours::parse_item("mon-fri 17:00-20:00").expect("hours")].into_iter().collect();
    let limits = Limits { concurrency: Some(5), daily_billable: Some(50) };
    let price = Some(Money::from_micros(7));
    files.targets[0].ranges = vec![TimeRange { hours, price, floor: None, limits }];
    let mut changes = Vec::new();
    // What is asked, and the range's limits afterwards.
    for (row, concurrency, daily_billable) in [
        ("target desk concurrency=4", None, Some(50)),
        ("target desk concurrency=9", None, Some(50)),
        ("target desk daily_billable=none", None, None),
        ("target desk concurrency=file", Some(5), None),
        ("target desk paused=false daily_billable=file", Some(5), Some(50)),
    ] {
        let asked = asked(&row.split_whitespace().collect::<Vec<_>>());
        let step = step(&files, &changes, &asked, Timestamp::default()).expect("it is known");
        assert_eq!(step.noted.len(), 1, "{row}");
        changes = step.changes;
        let (laid, dropped) = lay(Arc::new(files.clone()), &changes);
        let range = &laid.targets[0].ranges[0];
        assert_eq!((range.limits, range.price), (Limits { concurrency, daily_billable }, price), "{row}");
        assert_eq!(dropped, [], "{row}");
    }
    assert_eq!(changes, [], "all is taken back");
}

#[test]
fn the_text_of_changes_is_read_back() {
    let files = files(&["buyer acme", "target desk", "campaign auto"]);
    let origin = Origin { actor: String::new(), by: None, at: Timestamp::default() };
    let changes: Vec<Change> = [
        ("buyer acme", Value::Paused(true), Value::Paused(false)),
        ("campaign auto", Value::Paused(true), Value::Paused(false)),
        ("target desk", Value::Concurrency(Some(3)), Value::Concurrency(None)),
        ("target desk", Value::DailyBillable(None), Value::DailyBillable(Some(10))),
    ]
    .into_iter()
    .map(|(of, value, file)| {
        let entity = entity(&of.split_whitespace().collect::<Vec<_>>());
        Change { entity, value, file, origin: origin.clone() }
    })
    .collect();
    let written = text(&files, &changes);
    assert_eq!(read_text(&written), Some(changes), "{written}");
    for bad in ["", "# changes", "# changes made at run time\n# buyer acme: paused = maybe (file: false)\n"] {
        assert_eq!(read_text(bad), None, "{bad:?}");
    }
}
