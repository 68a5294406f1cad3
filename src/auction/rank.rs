//! Who comes first: tier, effective score, value, priority, seeded weighted draw, id.
//!
//! Ranking is a pure function of the bids and the seed. The multiplier moves the order, never the price (first price:
//! the buyer pays its own bid).

use std::cmp::Ordering;

use super::{Entrant, Offer};
use crate::domain::draw::Draw;
use crate::domain::{Money, Reason};

/// An entrant with its price, in the order of the ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Position among the auction's entrants.
    pub entrant: usize,
    /// Its price and terms.
    pub offer: Offer,
    tier: u8,
    score: i128,
}

impl Ranked {
    /// Why this one lost to `winner`.
    pub fn lost_to(&self, winner: &Ranked) -> Reason {
        match (self.tier.cmp(&winner.tier), self.score.cmp(&winner.score)) {
            (Ordering::Greater, _) => Reason::LowerTier,
            (_, Ordering::Equal) => Reason::TieLost,
            _ => Reason::Outbid,
        }
    }
}

/// Sorts offers best first. A price that reaches `takeover` competes with the highest tier on offer. Among complete
/// equals the order is drawn by weight from `seed`; entrants stand in the order of their ids, so the draw is
/// reproducible. Who was struck makes no tier the highest, but is drawn with its equals as it was before: the next
/// one must not depend on a ticket that was used.
pub fn rank(
    entrants: &[Entrant],
    offers: Vec<(usize, Offer)>,
    takeover: Option<Money>,
    seed: u64,
    is_struck: impl Fn(usize) -> bool,
) -> Vec<Ranked> {
    let left = offers.iter().filter(|(at, _)| !is_struck(*at));
    let top = left.map(|(at, _)| entrants[*at].tier).min().unwrap_or(0);
    let mut ranked: Vec<Ranked> = offers
        .into_iter()
        .map(|(entrant, offer)| {
            let who = &entrants[entrant];
            let takes_over = takeover.is_some_and(|bar| offer.price >= bar);
            let tier = if takes_over { top } else { who.tier };
            Ranked { entrant, tier, score: offer.price.score(who.multiplier), offer }
        })
        .collect();
    let before_the_draw = |a: &Ranked, b: &Ranked| {
        a.tier
            .cmp(&b.tier)
            .then(b.score.cmp(&a.score))
            .then(b.offer.price.cmp(&a.offer.price))
            .then(entrants[a.entrant].priority.cmp(&entrants[b.entrant].priority))
    };
    ranked.sort_by(|a, b| before_the_draw(a, b).then(a.entrant.cmp(&b.entrant)));
    let mut draw = Draw::new(seed);
    let mut start = 0;
    while start < ranked.len() {
        let equals =
            ranked[start..].iter().take_while(|one| before_the_draw(&ranked[start], one).is_eq()).count();
        if equals > 1 {
            let group = &mut ranked[start..start + equals];
            let weights: Vec<u32> = group.iter().map(|one| entrants[one.entrant].weight).collect();
            let drawn: Vec<Ranked> =
                draw.weighted_order(&weights).iter().map(|at| group[*at].clone()).collect();
            group.clone_from_slice(&drawn);
        }
        start += equals;
    }
    ranked
}
