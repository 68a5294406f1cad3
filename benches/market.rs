//! A market to measure on: buyers and targets as a catalog has them, in numbers no real one reaches.

use std::time::Duration;

use outcry::capacity::{Basis, CapKey, Claim, Entity, NO_LIMIT};
use outcry::domain::caller::SetBy;
use outcry::domain::catalog::{Disclosure, Endpoint, Limits, PlanIx, Pricing};
use outcry::domain::plan::HangupCause;
use outcry::domain::{
    Address, Bps, Buyer, BuyerId, BuyerIx, Catalog, Money, Node, Plan, PlanId, TagValue, Tags, Target,
    TargetId, TargetIx, Terminal, Timestamp, Zone,
};

/// A Friday morning in the United States.
pub fn now() -> Timestamp {
    Timestamp::parse("2026-11-20T15:00:00Z").expect("an instant")
}

/// An amount as people write it.
pub fn money(text: &str) -> Money {
    Money::parse(text).expect("an amount")
}

/// Tags of a call: what a carrier's IVR collects.
pub fn tags() -> Tags {
    let mut tags = Tags::default();
    let rows = [
        ("case", "collision"),
        ("language", "en"),
        ("injured", "yes"),
        ("represented", "no"),
        ("zip", "78701"),
    ];
    for (key, value) in rows {
        tags.add(key, TagValue::Text(value.into()), SetBy::Carrier).expect("fits");
    }
    tags
}

/// A buyer that is open, in a zone with daylight saving time.
pub fn buyer(id: &str) -> Buyer {
    Buyer {
        id: BuyerId::parse(id).expect("a slug"),
        name: id.to_owned(),
        zone: Zone::load("America/Chicago").expect("a zone"),
        paused: false,
        hours: None,
        limits: Limits::default(),
        ranges: Vec::new(),
        disclosure: Disclosure::Token,
        personal_tags: Vec::new(),
        show_floor: true,
        key_digest: None,
        hand_back: Duration::ZERO,
        suppressed_callers: Vec::new(),
    }
}

/// Where a target bids.
pub fn endpoint() -> Endpoint {
    Endpoint {
        tls: true,
        host: "bid.acme.example".to_owned(),
        port: 443,
        path: "/v1/bid?source=outcry".to_owned(),
        secret: None,
        ca_file: None,
        max_bid: money("500"),
        bid_ttl: Duration::from_secs(30),
        max_min_duration: Duration::from_secs(300),
        destinations: Vec::new(),
    }
}

/// A target that takes every call and bids.
pub fn target(id: &str, buyer: u32) -> Target {
    Target {
        id: TargetId::parse(id).expect("a slug"),
        buyer: BuyerIx(buyer),
        address: Address::parse("+15125550900").expect("an address"),
        pricing: Pricing::Endpoint(endpoint()),
        paused: false,
        filters: Vec::new(),
        hours: None,
        limits: Limits::default(),
        ranges: Vec::new(),
        floor: Money::ZERO,
        tier: 1,
        priority: 100,
        weight: 1,
        multiplier: Bps::WHOLE,
        min_duration: Duration::from_secs(90),
        ring: Duration::from_secs(20),
        max_talk: Duration::from_secs(14_400),
        earlier_attempts: None,
        suppressed_callers: Vec::new(),
    }
}

/// What every call takes of a buyer and a target: slots and units of the day of both, sorted.
pub fn claims() -> Vec<Claim> {
    let buyer = Entity::Buyer(BuyerId::parse("acme").expect("a slug"));
    let target = Entity::Target(TargetId::parse("acme-main").expect("a slug"));
    let of = |entity: Entity| {
        [Basis::Concurrency, Basis::BillableDay].map(|basis| {
            let window = match basis {
                Basis::Concurrency => Timestamp::default(),
                Basis::BillableDay => now(),
            };
            Claim { key: CapKey { entity: entity.clone(), basis, window }, limit: NO_LIMIT }
        })
    };
    let mut claims: Vec<Claim> = [buyer, target].into_iter().flat_map(of).collect();
    claims.sort();
    claims
}

/// A catalog of these, with the shortest plan there is.
pub fn catalog(buyers: Vec<Buyer>, targets: Vec<Target>) -> Catalog {
    let root = Node::Target(TargetIx(0));
    let terminal = Terminal::Hangup(HangupCause::Busy);
    Catalog {
        digest: "".into(),
        carriers: Vec::new(),
        campaigns: Vec::new(),
        publishers: Vec::new(),
        buyers,
        targets,
        plans: vec![Plan { id: PlanId::parse("main").expect("a slug"), root, terminal }],
        numbers: Vec::new(),
        caller_lists: Vec::new(),
        default_plan: PlanIx(0),
    }
}
