//! One auction: a value that collects replies and answers who comes first. No futures, no clock, no network.
//!
//! Whoever runs it tells it what was read and when, closes it once, and learns of every entrant either its place in
//! the ranking or the one reason it has none. What comes after the close is not its business any more.

pub mod bid;
pub mod rank;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::{Address, Bps, Money, Reason, TargetIx, Timestamp};
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
}

/// One member of an auction. Entrants stand in the order of their ids.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// The target.
    pub target: TargetIx,
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
    /// Replies are outstanding.
    Waiting,
    /// Everybody who was asked has answered.
    Settled,
}

/// An open auction.
#[derive(Debug)]
pub struct Auction {
    rules: Rules,
    entrants: Vec<Entrant>,
    replies: Vec<Option<Reply>>,
    outstanding: usize,
}

impl Auction {
    /// Opens an auction; entrants without a fixed price are outstanding until they reply.
    pub fn open(rules: Rules, entrants: Vec<Entrant>) -> Auction {
        let outstanding = entrants.iter().filter(|entrant| entrant.fixed.is_none()).count();
        Auction { rules, replies: vec![None; entrants.len()], entrants, outstanding }
    }

    /// Whether anybody's reply is outstanding.
    pub fn progress(&self) -> Progress {
        if self.outstanding == 0 { Progress::Settled } else { Progress::Waiting }
    }

    /// Takes the reply of an entrant, read to its end at `at`. Only the first of each counts; one read at or after the
    /// close is not taken, and its sender stays outstanding.
    pub fn on_reply(&mut self, entrant: usize, reply: Reply, at: Timestamp) -> Progress {
        let awaited = self.entrants[entrant].fixed.is_none() && self.replies[entrant].is_none();
        if awaited && at < self.rules.closes {
            self.replies[entrant] = Some(reply);
            self.outstanding -= 1;
        }
        self.progress()
    }

    /// Closes the auction: nothing enters it any more.
    pub fn close(self, now: Timestamp) -> Ranking {
        let mut offers = Vec::new();
        let mut unplaced = Vec::new();
        for (at, (entrant, reply)) in self.entrants.iter().zip(self.replies).enumerate() {
            match judge(&self.rules, entrant, reply, now) {
                Ok(offer) => offers.push((at, offer)),
                Err(NoBid { reason, amount, note }) => {
                    unplaced.push(Unplaced { entrant: at, reason, amount, note })
                }
            }
        }
        let ranked = rank::rank(&self.entrants, offers, self.rules.takeover, self.rules.seed);
        Ranking { ranked, unplaced }
    }
}

fn judge(rules: &Rules, entrant: &Entrant, reply: Option<Reply>, now: Timestamp) -> Result<Offer, NoBid> {
    let offer = match (&entrant.fixed, reply) {
        (Some(offer), _) => offer.clone(),
        (None, None) => return Err(NoBid { reason: Reason::Pending, amount: None, note: None }),
        (None, Some(Reply::NoBid(no_bid))) => return Err(no_bid),
        (None, Some(Reply::Bid(bid))) => Offer {
            price: bid.amount,
            min_duration: bid.min_duration,
            destination: bid.destination,
            expires: Some(bid.expires),
        },
    };
    accept(&offer, rules.floor.max(entrant.floor), rules.min_price, rules.guard, now)
        .map_err(|reason| NoBid { reason, amount: Some(offer.price), note: None })?;
    Ok(offer)
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
    if offer.price < floor {
        Err(Reason::BelowFloor)
    } else if offer.price < min_price {
        Err(Reason::Margin)
    } else if offer.expires.is_some_and(|expires| expires < now.after(guard)) {
        Err(Reason::Expired)
    } else {
        Ok(())
    }
}
