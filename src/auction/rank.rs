//! Who comes first: tier, effective score, value, priority, seeded weighted draw, id.
//!
//! Ranking is a pure function of the bids and the seed. The multiplier moves the order, never what is bid; what is paid of
//! it is worked out in the auction.

use std::cmp::Ordering;

use super::Offer;
use crate::domain::draw::Draw;
use crate::domain::{Money, Reason};

/// An entrant with its price, in the order of the ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Position among the auction's entrants.
    pub entrant: usize,
    /// Its price, as it bid or as it is fixed, and its terms.
    pub offer: Offer,
    /// What it pays if it takes the call.
    pub pays: Money,
    tier: u8,
    score: i128,
}

impl Ranked {
    /// One that was written down: what [`Ranked::compared_by`] gave, with the rest.
    pub fn restored(entrant: usize, offer: Offer, (tier, score): (u8, i128), pays: Money) -> Ranked {
        Ranked { entrant, offer, pays, tier, score }
    }

    /// What it pays where at least `bar` is asked by now; `None` where that is more than it offers.
    pub fn pays_at_least(&self, bar: Money) -> Option<Money> {
        (self.offer.price >= bar).then_some(self.pays.max(bar))
    }

    /// The tier it competes at and its effective score.
    pub fn compared_by(&self) -> (u8, i128) {
        (self.tier, self.score)
    }

    /// Why this one lost to `winner`.
    pub fn lost_to(&self, winner: &Ranked) -> Reason {
        match (self.tier.cmp(&winner.tier), self.score.cmp(&winner.score)) {
            (Ordering::Greater, _) => Reason::LowerTier,
            (_, Ordering::Equal) => Reason::TieLost,
            _ => Reason::Outbid,
        }
    }
}

/// What two prices are compared by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) tier: u8,
    /// Competes with the highest tier on offer.
    pub(super) takes_over: bool,
    pub(super) score: i128,
    pub(super) price: Money,
    pub(super) priority: u16,
}

impl Key {
    /// The order of two that compete at the same tier, best first; level ones are told apart by a draw.
    pub(super) fn order_within_a_tier(&self, other: &Key) -> Ordering {
        (other.score.cmp(&self.score))
            .then_with(|| other.price.cmp(&self.price))
            .then_with(|| self.priority.cmp(&other.priority))
    }

    /// The same where the highest tier on offer is `top`.
    pub(super) fn competing(self, top: u8) -> Key {
        if self.takes_over { Key { tier: top, ..self } } else { self }
    }

    /// The order of two where nobody takes over.
    pub(super) fn order(&self, other: &Key) -> Ordering {
        self.tier.cmp(&other.tier).then_with(|| self.order_within_a_tier(other))
    }
}

/// An entrant with what its price is compared by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) entrant: usize,
    key: Key,
}

impl Placed {
    pub(super) fn with(self, offer: Offer, pays: Money) -> Ranked {
        Ranked { entrant: self.entrant, offer, pays, tier: self.key.tier, score: self.key.score }
    }

    pub(super) fn score(&self) -> i128 {
        self.key.score
    }
}

/// Sorts prices best first. One that takes over competes with the highest tier on offer. Among complete
/// equals the order is drawn by weight from `seed`; entrants stand in the order of their ids, so the draw is
/// reproducible. Who was struck makes no tier the highest, but is drawn with its equals as it was before: the next
/// one must not depend on a ticket that was used.
pub(super) fn rank(
    prices: impl Iterator<Item = (usize, Key)>,
    weight: impl Fn(usize) -> u32,
    seed: u64,
    is_struck: impl Fn(usize) -> bool,
) -> Vec<Placed> {
    let mut placed = Vec::with_capacity(prices.size_hint().1.unwrap_or(0));
    placed.extend(prices.map(|(entrant, key)| Placed { entrant, key }));
    let left = placed.iter().filter(|one| !is_struck(one.entrant));
    let top = left.map(|one| one.key.tier).min().unwrap_or(0);
    placed.iter_mut().for_each(|one| one.key = one.key.competing(top));
    placed.sort_unstable_by(|a, b| a.key.order(&b.key).then(a.entrant.cmp(&b.entrant)));
    let mut draw = Draw::new(seed);
    for equals in placed.chunk_by_mut(|a, b| a.key.order(&b.key).is_eq()) {
        if equals.len() > 1 {
            let weights: Vec<u32> = equals.iter().map(|one| weight(one.entrant)).collect();
            let drawn: Vec<Placed> = draw.weighted_order(&weights).iter().map(|at| equals[*at]).collect();
            equals.copy_from_slice(&drawn);
        }
    }
    placed
}
