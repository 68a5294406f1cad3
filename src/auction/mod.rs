//! One auction: a value that collects replies and answers who comes first. No futures, no clock, no network.
//!
//! Whoever runs it tells it what was read and when, and asks whether waiting can still change the winner. The ranking
//! can be had at any time, and again: who could not be held is struck, and the auction goes on without it. Who is
//! asked at all, and what a late bid is good for, is not its business.

pub mod bid;
pub mod rank;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::{Address, Bps, Money, PriceRule, Reason, Timestamp};
use bid::{NoBid, Reply};
use rank::{Key, Placed, Ranked};

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
    /// Settled as soon as nobody outstanding could still come first, instead of when everybody has answered. Under
    /// second price nobody may be outstanding who could come second either: that would be another price.
    pub early: bool,
    /// What the winner pays.
    pub price: PriceRule,
    /// Second prices are cut to multiples of this.
    pub money_step: Money,
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

/// What a bid that is outstanding could change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stake {
    /// It could come first.
    First,
    /// It could come second, which sets what the first one pays.
    Price,
    /// Nothing.
    Nothing,
}

/// An open auction.
#[derive(Debug)]
pub struct Auction {
    rules: Rules,
    entrants: Vec<Entrant>,
    replies: Vec<Option<Reply>>,
    struck: Vec<bool>,
    /// The prices that reach their floors, fixed or bid, in the order of `Key::order`: each is judged once, and not again
    /// at every reply.
    in_hand: Vec<InHand>,
}

/// A price that may be handed out while it lives.
#[derive(Clone, Copy, Debug)]
struct InHand {
    entrant: usize,
    key: Key,
    expires: Option<Timestamp>,
}

impl Auction {
    /// Opens an auction; entrants without a fixed price are outstanding until they reply.
    pub fn open(rules: Rules, entrants: Vec<Entrant>) -> Auction {
        let many = entrants.len();
        let (replies, struck, in_hand) = (vec![None; many], vec![false; many], Vec::with_capacity(many));
        let mut auction = Auction { rules, entrants, replies, struck, in_hand };
        for at in 0..many {
            if let Some(Offer { price, expires, .. }) = auction.entrants[at].fixed {
                auction.take_in_hand(at, price, expires);
            }
        }
        auction
    }

    /// Takes the reply of an entrant, read to its end at `at`. Only the first of each counts; one read at or after the
    /// close is not taken, and its sender stays outstanding.
    pub fn on_reply(&mut self, entrant: usize, reply: Reply, at: Timestamp) {
        if self.is_outstanding(entrant) && at < self.rules.closes {
            if let Reply::Bid(bid) = &reply {
                self.take_in_hand(entrant, bid.amount, Some(bid.expires));
            }
            self.replies[entrant] = Some(reply);
        }
    }

    fn take_in_hand(&mut self, entrant: usize, price: Money, expires: Option<Timestamp>) {
        if too_low(price, self.floors(&self.entrants[entrant])).is_none() {
            let key = self.key(entrant, price);
            let place = self.in_hand.partition_point(|other| other.key.order(&key).is_lt());
            self.in_hand.insert(place, InHand { entrant, key, expires });
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
        let all = self.entrants.iter().zip(&self.replies).enumerate();
        let is_out =
            |who: &Entrant, reply: &Option<Reply>| who.waited && who.fixed.is_none() && reply.is_none();
        all.filter(move |(_, (who, reply))| is_out(who, reply)).map(|(at, _)| at)
    }

    /// Whether a reply that is waited for could still come first, or set the price of who does.
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
        let top = best.map_or(0, |best| best.tier);
        let second = self.runner_up(now);
        let stake = |at| self.stake_of(at, self.entrants[at].ceiling, (best.as_ref(), second.as_ref(), top));
        match awaited.any(|at| stake(at) != Stake::Nothing) {
            true => Progress::Waiting,
            false => Progress::Settled,
        }
    }

    /// What a bid of at most so much could change, or one at the ceiling of an outstanding entrant.
    pub fn stake(&self, entrant: usize, most: Option<Money>, now: Timestamp) -> Stake {
        if !self.is_outstanding(entrant) {
            return Stake::Nothing;
        }
        let (best, second) = (self.best(now), self.runner_up(now));
        let top = best.map_or(0, |best| best.tier);
        let most = most.unwrap_or(self.entrants[entrant].ceiling);
        self.stake_of(entrant, most, (best.as_ref(), second.as_ref(), top))
    }

    fn stake_of(
        &self,
        entrant: usize,
        most: Money,
        (best, second, top): (Option<&Key>, Option<&Key>, u8),
    ) -> Stake {
        if self.could_come_before(entrant, most, best, top) {
            Stake::First
        } else if self.rules.price == PriceRule::Second && self.could_come_before(entrant, most, second, top)
        {
            Stake::Price
        } else {
            Stake::Nothing
        }
    }

    /// The best offer in hand, before any draw: equals are equal in all that is compared here.
    fn best(&self, now: Timestamp) -> Option<Key> {
        let mut keys = self.alive(now).filter(|(at, _)| !self.struck[*at]).map(|(_, key)| key);
        let first = keys.next()?;
        let over = keys.filter(|key| key.takes_over);
        let best =
            over.fold(first, |best, key| if key.order_within_a_tier(&best).is_lt() { key } else { best });
        Some(Key { tier: first.tier, ..best })
    }

    /// The offer that comes after the best one, where that matters.
    fn runner_up(&self, now: Timestamp) -> Option<Key> {
        if self.rules.price == PriceRule::First {
            return None;
        }
        let left = || self.alive(now).filter(|(at, _)| !self.struck[*at]).map(|(_, key)| key);
        let top = left().map(|key| key.tier).min()?;
        let mut keys = left().map(|key| key.competing(top));
        let first = keys.next()?;
        let next = |(first, second): (Key, Option<Key>), key: Key| match second {
            _ if key.order(&first).is_lt() => (key, Some(first)),
            Some(second) if key.order(&second).is_ge() => (first, Some(second)),
            _ => (first, Some(key)),
        };
        keys.fold((first, None), next).1
    }

    /// The entrants whose offer may be handed out now, in the order of their keys.
    fn alive(&self, now: Timestamp) -> impl Iterator<Item = (usize, Key)> + '_ {
        let until = now.after(self.rules.guard);
        let alive = move |one: &&InHand| !is_dying(one.expires, until);
        self.in_hand.iter().filter(alive).map(|one| (one.entrant, one.key))
    }

    /// Whether a bid of so much of an outstanding entrant would come before this offer in hand, or level with it; `top` is
    /// the highest tier of those in hand.
    fn could_come_before(&self, entrant: usize, most: Money, other: Option<&Key>, top: u8) -> bool {
        let who = &self.entrants[entrant];
        if too_low(most, self.floors(who)).is_some() {
            return false;
        }
        let Some(other) = other else { return true };
        let most = self.key(entrant, most);
        // Any acceptable bid of a higher tier leaves behind what has only its own tier to stand on; what takes over
        // rises with it.
        let outranks = most.tier < other.tier && !other.takes_over || most.takes_over && top < other.tier;
        let competes = most.tier <= other.tier || most.takes_over;
        outranks || competes && most.order_within_a_tier(other).is_le()
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

    /// The lowest price an entrant may come by, and the one that leaves the margin.
    fn floors(&self, who: &Entrant) -> (Money, Money) {
        (self.rules.floor.max(who.floor), self.rules.min_price)
    }

    /// Who comes first as things stand: what a decision waits for. Everybody else is in [`Auction::ranking`].
    pub fn first(&self, now: Timestamp) -> Option<Ranked> {
        self.ranked(&self.standing(now), 0)
    }

    /// Who comes first as things stand, and what becomes of everybody else. Who was struck has no place, and keeps its
    /// tickets in the draws it was in.
    pub fn ranking(&self, now: Timestamp) -> Ranking {
        let standing = self.standing(now);
        let mut ranked = Vec::with_capacity(standing.len());
        ranked.extend((0..standing.len()).filter_map(|place| self.ranked(&standing, place)));
        let is_struck = |entrant: usize| self.struck[entrant];
        let left = (0..self.entrants.len()).filter(|at| !is_struck(*at));
        let unplaced = left.filter_map(|entrant| {
            let NoBid { reason, amount, note } = self.no_bid(entrant, now)?;
            Some(Unplaced { entrant, reason, amount, note })
        });
        Ranking { ranked, unplaced: unplaced.collect() }
    }

    /// Whether anybody's bid may be handed out, and not only fixed prices.
    pub fn has_bid(&self, now: Timestamp) -> bool {
        let is_bid = |entrant: usize| self.entrants[entrant].fixed.is_none();
        self.alive(now).any(|(entrant, _)| is_bid(entrant) && !self.struck[entrant])
    }

    /// What may be handed out, best first, without who was struck.
    fn standing(&self, now: Timestamp) -> Vec<Placed> {
        let is_struck = |entrant: usize| self.struck[entrant];
        let weight = |entrant: usize| self.entrants[entrant].weight;
        let mut standing = rank::rank(self.alive(now), weight, self.rules.seed, is_struck);
        standing.retain(|one| !is_struck(one.entrant));
        standing
    }

    /// The one at a place, with what it pays.
    fn ranked(&self, standing: &[Placed], place: usize) -> Option<Ranked> {
        let one = standing.get(place)?;
        let offer = self.offer(one.entrant)?;
        let pays = self.pays(one.entrant, &offer, standing.get(place + 1));
        Some(one.with(offer, pays))
    }

    /// What an entrant pays who comes first with this offer, before `next`.
    ///
    /// Under second price a bid is reduced to what still reaches the score of who comes next, cut to the step of money,
    /// but neither below the floor and the margin that it was held against nor below one step: a bidder without a
    /// runner-up pays the floor.
    fn pays(&self, entrant: usize, offer: &Offer, next: Option<&Placed>) -> Money {
        let who = &self.entrants[entrant];
        if self.rules.price == PriceRule::First || who.fixed.is_some() {
            return offer.price;
        }
        let (floor, min_price) = self.floors(who);
        let least = floor.max(min_price).max(self.rules.money_step);
        let reached = next.map_or(Money::ZERO, |next| Money::of_score_floor(next.score(), who.multiplier));
        reached.truncate_to(self.rules.money_step).max(least).min(offer.price)
    }

    /// What an entrant offers, acceptable or not.
    fn offer(&self, entrant: usize) -> Option<Offer> {
        match (&self.entrants[entrant].fixed, &self.replies[entrant]) {
            (Some(offer), _) => Some(offer.clone()),
            (None, Some(Reply::Bid(bid))) => Some(Offer {
                price: bid.amount,
                min_duration: bid.min_duration,
                destination: bid.destination.clone(),
                expires: Some(bid.expires),
            }),
            (None, None | Some(Reply::NoBid(_))) => None,
        }
    }

    /// Why an entrant has no place; `None` where its offer may be handed out.
    fn no_bid(&self, entrant: usize, now: Timestamp) -> Option<NoBid> {
        let who = &self.entrants[entrant];
        let (price, expires) = match (&who.fixed, &self.replies[entrant]) {
            (Some(offer), _) => (offer.price, offer.expires),
            (None, Some(Reply::Bid(bid))) => (bid.amount, Some(bid.expires)),
            (None, Some(Reply::NoBid(no_bid))) => return Some(no_bid.clone()),
            (None, None) => return Some(NoBid { reason: Reason::Pending, amount: None, note: None }),
        };
        let reason = refusal(price, expires, self.floors(who), self.rules.guard, now)?;
        Some(NoBid { reason, amount: Some(price), note: None })
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
    floors: (Money, Money),
    guard: Duration,
    now: Timestamp,
) -> Option<Reason> {
    too_low(price, floors).or_else(|| is_dying(expires, now.after(guard)).then_some(Reason::Expired))
}

fn too_low(price: Money, (floor, min_price): (Money, Money)) -> Option<Reason> {
    if price < floor {
        Some(Reason::BelowFloor)
    } else if price < min_price {
        Some(Reason::Margin)
    } else {
        None
    }
}

/// Whether it does not live until then.
fn is_dying(expires: Option<Timestamp>, until: Timestamp) -> bool {
    expires.is_some_and(|expires| expires < until)
}
