//! What an attempt is worth: billable, payable, revenue, payout, margin. A pure function of terms and end.
//!
//! Terms are frozen at the decision; a reload never changes what a call in flight will cost. Entries are in `ledger`.

pub mod ledger;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::{AttemptEnd, Bps, Cause, EndedBy, Margin, Money, Payout, Reason};

/// What was agreed when the call was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What the buyer pays if the call is billable.
    pub price: Money,
    /// Shortest talk that is billable, inclusive.
    pub min_duration: Duration,
    /// What the publisher earns if it is.
    pub payout: Payout,
    /// Shared payouts are cut to multiples of this.
    pub money_step: Money,
    /// Never billed.
    pub test: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The buyer owes.
    pub billable: bool,
    /// `billable`, or why not.
    pub reason: Reason,
    /// The publisher earns. Judged after billable: `payout_requires_billable`.
    pub payable: bool,
    /// Buyer to us.
    pub revenue: Money,
    /// Us to publisher.
    pub payout: Money,
    /// Revenue less payout, by subtraction, so that the three always add up.
    pub margin: Money,
}

/// Judges the end of an attempt by its terms. `other_billed`: another attempt of the same call is billed, and at most one is.
pub fn settle(terms: &Terms, end: &AttemptEnd, other_billed: bool) -> Settlement {
    match not_billable(terms, end).or_else(|| other_billed.then_some(Reason::AlreadyBilled)) {
        Some(reason) => Settlement {
            billable: false,
            reason,
            payable: false,
            revenue: Money::ZERO,
            payout: Money::ZERO,
            margin: Money::ZERO,
        },
        None => {
            let payout = match terms.payout {
                Payout::Fixed(amount) => amount,
                Payout::Share(part) => terms.price.share_floor(part).truncate_to(terms.money_step),
            };
            let margin = Money::from_micros(terms.price.micros().saturating_sub(payout.micros()));
            let payable = payout.is_positive();
            Settlement {
                billable: true,
                reason: Reason::Billable,
                payable,
                revenue: terms.price,
                payout,
                margin,
            }
        }
    }
}

/// Of an attempt that rang together with others, when another one has the caller: nobody owes anything for it.
pub const fn lost_to_another() -> Settlement {
    Settlement {
        billable: false,
        reason: Reason::OtherAnswered,
        payable: false,
        revenue: Money::ZERO,
        payout: Money::ZERO,
        margin: Money::ZERO,
    }
}

/// What no price reaches.
pub const NEVER: Money = Money::from_micros(i64::MAX);

/// The lowest price that leaves `min_margin` after the payout, amount and part alike; nothing is asked for with `None`.
/// [`NEVER`] where no price does: a share leaves the same part of every price.
pub fn min_price(payout: &Payout, min_margin: Option<Margin>) -> Money {
    let Some(Margin { amount, percent }) = min_margin else { return Money::ZERO };
    match payout {
        Payout::Fixed(payout) => {
            let for_amount = payout.checked_add(amount).unwrap_or(NEVER);
            for_amount.max(least_leaving(*payout, Bps::WHOLE.0.saturating_sub(percent.0)))
        }
        Payout::Share(part) => {
            let ours = Bps::WHOLE.0.saturating_sub(part.0);
            if ours < percent.0 { NEVER } else { least_leaving(amount, ours) }
        }
    }
}

/// The lowest price of which this many basis points are at least `amount`, rounded up to the micro-unit.
fn least_leaving(amount: Money, points: u32) -> Money {
    if !amount.is_positive() {
        return Money::ZERO;
    }
    if points == 0 {
        return NEVER;
    }
    let (whole, points) = (i128::from(Bps::WHOLE.0), i128::from(points));
    let micros = (i128::from(amount.micros()) * whole + points - 1) / points;
    i64::try_from(micros).map_or(NEVER, Money::from_micros)
}

fn not_billable(terms: &Terms, end: &AttemptEnd) -> Option<Reason> {
    if end.handed_back {
        return Some(Reason::HandedBack);
    }
    if !end.connected {
        return Some(undelivered(end));
    }
    if u128::from(end.talk_ms) < terms.min_duration.as_millis() {
        return Some(Reason::TooShort);
    }
    terms.test.then_some(Reason::Test)
}

/// Why nobody was connected, by cause and by whose doing it was. A caller who gave up while it rang is gone, even where
/// the carrier calls that no answer: never the buyer's fault.
fn undelivered(end: &AttemptEnd) -> Reason {
    match end.cause {
        Cause::Busy => Reason::Busy,
        Cause::Rejected => Reason::Rejected,
        Cause::Failed => Reason::Failed,
        Cause::NoAnswer | Cause::Cancelled | Cause::Normal if end.ended_by == EndedBy::Caller => {
            Reason::CallerAbandon
        }
        Cause::NoAnswer => Reason::NoAnswer,
        Cause::Cancelled | Cause::Normal => Reason::NotAnswered,
    }
}
