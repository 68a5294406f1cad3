//! What whoever takes a call pays: its own price, or under second price what its bid needed to come before the next one.
//!
//! Targets of a judged market have no multiplier of their own and bid in whole cents, so what a bid needs is the next
//! bid, and at least what may win. Who was before the winner had no room left, or the check of the winner says so; a
//! fixed price in the auction is taken to have room.

use std::ops::RangeInclusive;

use super::{Asked, Call, Case, Price};

/// The lowest and the highest that may be right: they are the same unless somebody replied around the deadline.
pub(super) type Paid = RangeInclusive<i64>;

/// What the attempt at this place must pay, if it is one of the market's targets and said a price.
pub(super) fn paid(case: &Case<'_>, call: &Call, at: usize) -> Option<Paid> {
    let attempt = &call.attempts[at];
    let target = case.by_address.get(&*attempt.address).copied()?;
    // Where auctions are held anew, an attempt was decided by the pings between its question and its answer.
    let asked = match case.market.re_auction {
        true => {
            case.asked_while(call, |ping| (attempt.asked_us..=attempt.offered_us).contains(&ping.received_us))
        }
        false => case.asked(call),
    };
    let own = case.price(target, &asked)?;
    if !case.market.second_price || !matches!(case.market.targets[target].price, Price::Bids { .. }) {
        return Some(own..=own);
    }
    let deadline_us = case.deadline_us();
    let safe = (attempt.asked_us + deadline_us).saturating_sub(case.tolerance_us());
    let first = asked.iter().flatten().map(|asked| asked.received_us).min();
    let late = first.unwrap_or(attempt.offered_us) + deadline_us;
    let least = case.market.least_micros();
    let next = |until: u64| {
        let others = asked.iter().enumerate().filter(|(other, _)| *other != target);
        others.filter_map(|(other, asked)| offer(case, other, *asked, until)).filter(|bid| *bid <= own).max()
    };
    let needs = |next: Option<i64>| next.unwrap_or(least).max(least).min(own);
    Some(needs(next(safe))..=needs(next(late)))
}

/// What this target of the auction offered until then, if it may win with it.
fn offer(case: &Case<'_>, target: usize, asked: Option<Asked>, until: u64) -> Option<i64> {
    let configured = &case.market.targets[target];
    let offer = match configured.price {
        Price::Fixed { micros } => micros,
        Price::Bids { max_micros, .. } => {
            let in_time = asked.filter(|asked| asked.replied_us.is_some_and(|at| at <= until));
            in_time?.bid_micros.filter(|bid| *bid <= max_micros)?
        }
    };
    let may_win = configured.in_auction && configured.barred.is_none() && offer >= case.market.least_micros();
    may_win.then_some(offer)
}
