//! One auction: a value that collects replies and answers who comes first. No futures, no clock, no network.
//!
//! Whoever runs it tells it what was read and when, and asks whether waiting can still change the winner. The ranking
//! can be had at any time, and again: who could not be held is struck, and the auction goes on without it. Who is
//! asked at all, and what a late bid is good for, is not its business.

pub mod bid;
pub mod rank;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::time::Duration;

use crate::domain::{Address, Bps, Money, Reason, Timestamp};
use bid::{NoBid, Reply};
use rank::Ranked;

/// The rules of one auction.
#[derive(Clone, Debug)]
pub struct Rules {
    /// When it closes: a reply counts if it was read to its end before this.
    pub closes: Timestamp,
    /// Lowest price of campaign and node.
    pub floor: Money,
    /// Lowest price that leaves the margin the campaign asks for.
    pub min_price: Money,
    /// A price that reaches this competes with the highest tier.
    pub takeover: Option<Money>,
    /// Life a bid must have left when the auction closes.
    pub guard: Duration,
    /// Seed of the draws.
    pub seed: u64,
    /// Settled as soon as nobody outstanding could still come first, instead of when everybody has answered.
    pub early: bool,
}

/// One member of an auction. Entrants stand in the order of their ids.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// Lower tiers only when no higher one takes the call.
    pub tier: u8,
    /// Lower first among equals.
    pub priority: u16,
    /// Share of the draw among equals.
    pub weight: u32,
    /// Moves the order, never the price.
    pub multiplier: Bps,
    /// The target's own floor.
    pub floor: Money,
    /// Its fixed price, or `None` when it is asked for a bid.
    pub fixed: Option<Offer>,
    /// The most it can bid; of a fixed price the price.
    pub ceiling: Money,
    /// Whether the auction waits for its reply; without that, its bid counts if it comes before the end.
    pub waited: bool,
}

/// A price with its terms, fixed or bid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What the buyer pays if the call is billable.
    pub price: Money,
    /// Shortest talk that is billable.
    pub min_duration: Duration,
    /// Where the call goes instead of the target's own address.
    pub destination: Option<Address>,
    /// When it can no longer be handed out; `None` for fixed prices.
    pub expires: Option<Timestamp>,
}

/// What an entrant without a place in the ranking gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// Position among the entrants.
    pub entrant: usize,
    /// The one reason; `Pending` while its reply is outstanding.
    pub reason: Reason,
    /// Its price, where it named one.
    pub amount: Option<Money>,
    /// The buyer's own word or the offending part.
    pub note: Option<String>,
}

/// Who comes first, and why the others do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// Best first.
    pub ranked: Vec<Ranked>,
    /// Everybody else.
    pub unplaced: Vec<Unplaced>,
}

/// Whether waiting can still change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// A reply that is waited for could still come first.
    Waiting,
    /// None could, or none is outstanding.
    Settled,
}

/// An open auction.
#[derive(Debug)]
pub struct Auction {
    rules: Rules,
    entrants: Vec<Entrant>,
    replies: Vec<Option<Reply>>,
    struck: Vec<bool>,
}

impl Auction {
    /// Opens an auction; entrants without a fixed price are outstanding until they reply.
    pub fn open(rules: Rules, entrants: Vec<Entrant>) -> Auction {
        let many = entrants.len();
        Auction { rules, entrants, replies: vec![None; many], struck: vec![false; many] }
    }

    /// Takes the reply of an entrant, read to its end at `at`. Only the first of each counts; one read at or after the
    /// close is not taken, and its sender stays outstanding.
    pub fn on_reply(&mut self, entrant: usize, reply: Reply, at: Timestamp) {
        if self.is_outstanding(entrant) && at < self.rules.closes {
            self.replies[entrant] = Some(reply);
        }
    }

    /// Takes an entrant out that came first and could not be held.
    pub fn strike(&mut self, entrant: usize) {
        self.struck[entrant] = true;
    }

    /// Whether the entrant was asked and has not answered.
    fn is_outstanding(&self, entrant: usize) -> bool {
        self.entrants[entrant].fixed.is_none() && self.replies[entrant].is_none()
    }

    /// Entrants whose reply is waited for and outstanding.
    pub fn awaited(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.entrants.len()).filter(|at| self.entrants[*at].waited && self.is_outstanding(*at))
    }

    /// Whether a reply that is waited for could still come first.
    ///
    /// The best acceptable offer in hand stays the winner when each outstanding bid alone, at its sender's ceiling,
    /// would rank strictly below it: score and price only grow with the bid, and whether it competes at the highest
    /// tier does too. Several at once change nothing: each either competes with the winner and loses, or does not.
    pub fn progress(&self, now: Timestamp) -> Progress {
        let mut awaited = self.awaited().peekable();
        if awaited.peek().is_none() {
            return Progress::Settled;
        }
        if !self.rules.early {
            return Progress::Waiting;
        }
        let best = self.best(now);
        match awaited.any(|at| self.could_come_first(at, best.as_ref())) {
            true => Progress::Waiting,
            false => Progress::Settled,
        }
    }

    /// The best offer in hand, before any draw: equals are equal in all that is compared here.
    fn best(&self, now: Timestamp) -> Option<Key> {
        let keys = || {
            let left = (0..self.entrants.len()).filter(|at| !self.struck[*at]);
            left.filter_map(|at| self.in_hand(at, now).map(|price| self.key(at, price)))
        };
        let top = keys().map(|key| key.tier).min()?;
        let at_the_top = keys().filter(|key| key.takes_over || key.tier == top);
        at_the_top.min_by(Key::order_within_a_tier).map(|best| Key { tier: top, ..best })
    }

    /// Whether the highest bid of an outstanding entrant would come before the best offer in hand, or level with it.
    fn could_come_first(&self, entrant: usize, best: Option<&Key>) -> bool {
        let who = &self.entrants[entrant];
        if who.ceiling < self.rules.floor.max(who.floor).max(self.rules.min_price) {
            return false;
        }
        let Some(best) = best else { return true };
        let most = self.key(entrant, who.ceiling);
        // Any acceptable bid of a higher tier leaves behind what has only its own tier to stand on; what takes over
        // rises with it.
        let outranks = most.tier < best.tier && !best.takes_over;
        let competes = most.tier <= best.tier || most.takes_over;
        outranks || competes && most.order_within_a_tier(best).is_le()
    }

    fn key(&self, entrant: usize, price: Money) -> Key {
        let who = &self.entrants[entrant];
        Key {
            tier: who.tier,
            takes_over: self.rules.takeover.is_some_and(|bar| price >= bar),
            score: price.score(who.multiplier),
            price,
            priority: who.priority,
        }
    }

    /// The price of an entrant's acceptable offer.
    fn in_hand(&self, entrant: usize, now: Timestamp) -> Option<Money> {
        let who = &self.entrants[entrant];
        let (price, expires) = match (&who.fixed, &self.replies[entrant]) {
            (Some(offer), _) => (offer.price, offer.expires),
            (None, Some(Reply::Bid(bid))) => (bid.amount, Some(bid.expires)),
            (None, None | Some(Reply::NoBid(_))) => return None,
        };
        self.refusal(who, price, expires, now).is_none().then_some(price)
    }

    /// Who comes first as things stand. Who was struck has no place, and keeps its tickets in the draws it was in.
    pub fn ranking(&self, now: Timestamp) -> Ranking {
        let mut offers = Vec::new();
        let mut unplaced = Vec::new();
        for (at, entrant) in self.entrants.iter().enumerate() {
            match self.judge(entrant, self.replies[at].as_ref(), now) {
                Ok(offer) => offers.push((at, offer)),
                Err(NoBid { reason, amount, note }) => {
                    unplaced.push(Unplaced { entrant: at, reason, amount, note })
                }
            }
        }
        let is_struck = |entrant: usize| self.struck[entrant];
        let mut ranked = rank::rank(&self.entrants, offers, self.rules.takeover, self.rules.seed, is_struck);
        ranked.retain(|one| !is_struck(one.entrant));
        unplaced.retain(|one| !is_struck(one.entrant));
        Ranking { ranked, unplaced }
    }

    fn judge(&self, entrant: &Entrant, reply: Option<&Reply>, now: Timestamp) -> Result<Offer, NoBid> {
        let offer = match (&entrant.fixed, reply) {
            (Some(offer), _) => offer.clone(),
            (None, None) => return Err(NoBid { reason: Reason::Pending, amount: None, note: None }),
            (None, Some(Reply::NoBid(no_bid))) => return Err(no_bid.clone()),
            (None, Some(Reply::Bid(bid))) => Offer {
                price: bid.amount,
                min_duration: bid.min_duration,
                destination: bid.destination.clone(),
                expires: Some(bid.expires),
            },
        };
        match self.refusal(entrant, offer.price, offer.expires, now) {
            None => Ok(offer),
            Some(reason) => Err(NoBid { reason, amount: Some(offer.price), note: None }),
        }
    }

    fn refusal(
        &self,
        entrant: &Entrant,
        price: Money,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Reason> {
        let Rules { floor, min_price, guard, .. } = self.rules;
        refusal(price, expires, (floor.max(entrant.floor), min_price), guard, now)
    }
}

/// What two prices are compared by.
struct Key {
    tier: u8,
    takes_over: bool,
    score: i128,
    price: Money,
    priority: u16,
}

impl Key {
    /// The order of two that compete at the same tier, best first; level ones are told apart by a draw.
    fn order_within_a_tier(&self, other: &Key) -> Ordering {
        (other.score.cmp(&self.score))
            .then(other.price.cmp(&self.price))
            .then(self.priority.cmp(&other.priority))
    }
}

/// Whether a price may be handed out: above its floors, within the margin, alive long enough. Every attempt is judged
/// so, auctioned or not.
pub fn accept(
    offer: &Offer,
    floor: Money,
    min_price: Money,
    guard: Duration,
    now: Timestamp,
) -> Result<(), Reason> {
    refusal(offer.price, offer.expires, (floor, min_price), guard, now).map_or(Ok(()), Err)
}

fn refusal(
    price: Money,
    expires: Option<Timestamp>,
    (floor, min_price): (Money, Money),
    guard: Duration,
    now: Timestamp,
) -> Option<Reason> {
    if price < floor {
        Some(Reason::BelowFloor)
    } else if price < min_price {
        Some(Reason::Margin)
    } else if expires.is_some_and(|expires| expires < now.after(guard)) {
        Some(Reason::Expired)
    } else {
        None
    }
}
