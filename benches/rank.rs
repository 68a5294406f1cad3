//! One auction of 20: opened, every reply taken, closed and ranked.
//!
//! Stands for the widest auction one asks in practice. It runs between the last reply and the answer, inside the time
//! the carrier waits. A regression adds directly to every decision with pings; it is a few microseconds of a budget of
//! hundreds of milliseconds, so ten times slower means that ranking has begun to allocate or to compare by text.

use std::time::Duration;

use outcry::auction::bid::{Bid, Reply};
use outcry::auction::{Auction, Entrant, Progress, Rules};
use outcry::domain::{Bps, Money, PriceRule, Timestamp};

use crate::{Stopwatch, market};

const ENTRANTS: u32 = 20;

fn entrant(n: u32) -> Entrant {
    Entrant {
        tier: 1,
        priority: 100,
        weight: 1 + n % 3,
        multiplier: Bps::WHOLE,
        floor: Money::ZERO,
        fixed: None,
        ceiling: market::money("1000"),
        waited: true,
    }
}

fn open() -> Auction {
    let rules = Rules {
        closes: market::now().after(Duration::from_millis(500)),
        floor: market::money("5"),
        min_price: market::money("8"),
        takeover: None,
        guard: Duration::from_secs(2),
        seed: 7,
        early: true,
        price: PriceRule::First,
        money_step: Money::from_micros(10_000),
    };
    Auction::open(rules, (0..ENTRANTS).map(entrant).collect())
}

/// An auction about to take these bids.
fn with(price: impl Fn(u32) -> Money) -> (Auction, Vec<Reply>) {
    let bid = |n| Bid {
        amount: price(n),
        expires: market::now().after(Duration::from_secs(30)),
        destination: None,
        min_duration: Duration::from_secs(90),
    };
    (open(), (0..ENTRANTS).map(|n| Reply::Bid(bid(n))).collect())
}

/// Takes the replies and says how many are ranked.
fn decide((mut auction, replies): (Auction, Vec<Reply>), now: Timestamp) -> usize {
    for (at, reply) in replies.into_iter().enumerate() {
        // Whoever gathers asks after each reply whether that was enough.
        let wait = auction.progress(now) == Progress::Waiting;
        assert!(wait, "the next could bid more");
        auction.on_reply(at, reply, now);
    }
    assert_eq!(auction.progress(now), Progress::Settled);
    auction.ranking(now).ranked.len()
}

pub fn run(watch: &mut Stopwatch) {
    let now = market::now();
    let spread = |n: u32| Money::from_micros(6_000_000 + i64::from(n * 7 % ENTRANTS) * 1_000_000);
    watch.measure_on(
        "rank: 20 bids, all different",
        || with(spread),
        |auction| assert_eq!(decide(auction, now), 18),
    );
    // Complete equals are drawn by weight: the dearest order there is.
    let same = |_| market::money("25.50");
    watch.measure_on(
        "rank: 20 bids, all equal",
        || with(same),
        |auction| assert_eq!(decide(auction, now), 20),
    );
}
