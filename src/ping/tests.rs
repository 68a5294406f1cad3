//! A round among pipes, in which everybody has answered before being asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;

use super::client::Limits;
use super::wire::Reach;
use super::*;
use crate::auction::{Entrant, Rules};
use crate::domain::catalog::{Buyer, Disclosure, Limits as TargetLimits, PlanIx, Pricing};
use crate::domain::plan::{HangupCause, Node, Plan, Terminal};
use crate::domain::{
    Address, Bps, BuyerId, BuyerIx, Catalog, Money, PlanId, PriceRule, Target, TargetId, Zone,
};

/// More than a task may do in one turn by tokio's count, which is 128.
const MANY: usize = 200;

/// The shortest there is, with one target.
fn catalog() -> Catalog {
    let buyer = Buyer {
        id: BuyerId::parse("acme").expect("an id"),
        name: "Acme".to_owned(),
        zone: Zone::load("UTC").expect("UTC"),
        paused: false,
        hours: None,
        limits: TargetLimits::default(),
        ranges: Vec::new(),
        disclosure: Disclosure::None,
        personal_tags: Vec::new(),
        show_floor: false,
        key_digest: None,
        hand_back: Duration::ZERO,
        suppressed_callers: Vec::new(),
    };
    let price = Money::parse("1.00").expect("an amount");
    let target = Target {
        id: TargetId::parse("acme-main").expect("an id"),
        buyer: BuyerIx(0),
        address: Address::parse("+15125550901").expect("an address"),
        pricing: Pricing::Fixed(price),
        paused: false,
        filters: Vec::new(),
        hours: None,
        limits: TargetLimits::default(),
        ranges: Vec::new(),
        floor: Money::ZERO,
        tier: 1,
        priority: 100,
        weight: 1,
        multiplier: Bps::WHOLE,
        min_duration: Duration::ZERO,
        ring: Duration::from_secs(20),
        max_talk: Duration::from_secs(3_600),
        earlier_attempts: None,
        suppressed_callers: Vec::new(),
    };
    let (root, terminal) = (Node::Target(TargetIx(0)), Terminal::Hangup(HangupCause::Busy));
    Catalog {
        digest: "".into(),
        carriers: Vec::new(),
        campaigns: Vec::new(),
        publishers: Vec::new(),
        buyers: vec![buyer],
        targets: vec![target],
        plans: vec![Plan { id: PlanId::parse("main").expect("an id"), root, terminal }],
        numbers: Vec::new(),
        caller_lists: Vec::new(),
        default_plan: PlanIx(0),
    }
}

fn auction(closes: Timestamp) -> Auction {
    let entrant = Entrant {
        tier: 1,
        priority: 100,
        weight: 1,
        multiplier: Bps::WHOLE,
        floor: Money::ZERO,
        fixed: None,
        ceiling: Money::parse("500").expect("an amount"),
        waited: true,
    };
    let rules = Rules {
        closes,
        floor: Money::ZERO,
        min_price: Money::ZERO,
        takeover: None,
        guard: Duration::ZERO,
        seed: 1,
        early: false,
        price: PriceRule::First,
        money_step: Money::from_micros(10_000),
    };
    Auction::open(rules, vec![entrant; MANY])
}

/// Everybody has answered as soon as the connection is there.
fn pinger(clock: &Clock) -> Pinger {
    let far_ends = Mutex::new(Vec::new());
    let reach = Reach::Memory(Arc::new(move |_| {
        let (near, mut far) = tokio::io::duplex(1_024);
        let written = far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").now_or_never();
        written.expect("there is room").expect("written");
        far_ends.lock().expect("no panic").push(far);
        Box::pin(std::future::ready(Ok(near)))
    }));
    let second = Duration::from_secs(1);
    let limits = Limits { connections: MANY, idle: second, connect: second };
    let pool = Arc::new(Pool::new(limits, Arc::default(), reach, clock.clone()));
    Pinger::new(pool, clock.clone(), second, MANY)
}

#[test]
fn a_turn_reads_every_reply_that_is_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let clock = Clock::system();
        let step = Money::parse("0.01").expect("an amount");
        let snapshot = Arc::new(Snapshot::compile(Arc::new(catalog()), "USD".to_owned(), step, b"key"));
        let (buyer, target) = (BuyerId::parse("acme"), TargetId::parse("acme-main"));
        let health = Arc::new(Health::new(buyer.expect("an id"), target.expect("an id"), &Arc::default()));
        let at: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
        let asks = (0..MANY).map(|entrant| Ask {
            entrant,
            target: TargetIx(0),
            ping: PingId::from_bits(entrant as u128 + 1),
            endpoint: Endpoint::at(entrant, &[at]),
            health: Arc::clone(&health),
            request: Request::plain(b"x"),
        });
        let closes = clock.now().after(Duration::from_millis(500));
        let mut asked = pinger(&clock).ask(&snapshot, asks.collect(), closes);
        let close = asked.gather(&mut auction(closes), |_, _| {}).now_or_never();
        assert_eq!((close, asked.latencies().len()), (Some(Close::AllReplied), MANY));
    });
}
