//! The rules of a campaign about prices: what a winner pays, the floors that apply, the margin that must be left, and
//! what follows a failed attempt.
//!
//! Values only. The bar that a margin makes of a payout is worked out in `billing`, who comes first in `auction`.

use std::fmt;

use super::filter::Filter;
use super::money::{Bps, Money};

/// What the winner of an auction pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriceRule {
    /// Its own bid.
    #[default]
    First,
    /// What it takes to come before the runner-up, and no less than the floor that applied to it; never above its own
    /// bid. A fixed price is paid as it is: only bids are reduced.
    Second,
}

impl PriceRule {
    /// The word of the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            PriceRule::First => "first",
            PriceRule::Second => "second",
        }
    }
}

/// What follows an attempt that came to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFailure {
    /// The bids it has beaten, then the rest of the plan.
    #[default]
    NextBid,
    /// Its auction is held anew, without who was tried, then the rest of the plan.
    ReAuction,
}

impl AfterFailure {
    /// The word of the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            AfterFailure::NextBid => "next_bid",
            AfterFailure::ReAuction => "re_auction",
        }
    }
}

/// What must be left of a price after the payout: the stricter of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margin {
    /// This much.
    pub amount: Money,
    /// This part of the price; below the whole.
    pub percent: Bps,
}

impl Margin {
    /// An amount only.
    pub const fn of(amount: Money) -> Margin {
        Margin { amount, percent: Bps(0) }
    }
}

impl fmt::Display for Margin {
    /// As the catalog has it: `1.50`, `25%`, or `12.00 and 25%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.amount.is_positive(), self.percent.0) {
            (_, 0) => write!(f, "{}", self.amount),
            (false, _) => write!(f, "{}", self.percent),
            (true, _) => write!(f, "{} and {}", self.amount, self.percent),
        }
    }
}

/// A floor for some calls.
#[derive(Clone, Debug)]
pub struct FloorRow {
    /// All of them must hold.
    pub when: Vec<Filter>,
    /// Lowest price accepted then.
    pub floor: Money,
}

impl fmt::Display for FloorRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when: Vec<String> = self.when.iter().map(ToString::to_string).collect();
        write!(f, "{} when {}", self.floor, when.join(" and "))
    }
}

/// Whose floor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloorOf {
    /// The campaign's.
    Campaign,
    /// A row of the campaign's `floors`, counted from one.
    Row(usize),
    /// The publisher's.
    Publisher,
    /// The auction's.
    Node,
    /// The target's.
    Target,
}

impl fmt::Display for FloorOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FloorOf::Campaign => f.write_str("campaign"),
            FloorOf::Row(row) => write!(f, "campaign row {row}"),
            FloorOf::Publisher => f.write_str("publisher"),
            FloorOf::Node => f.write_str("node"),
            FloorOf::Target => f.write_str("target"),
        }
    }
}

/// The highest of the floors that apply, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Lowest price accepted.
    pub amount: Money,
    /// Whose it is.
    pub of: FloorOf,
}

impl Floor {
    /// The campaign's.
    pub const fn campaign(amount: Money) -> Floor {
        Floor { amount, of: FloorOf::Campaign }
    }

    /// The higher of this and another; of two that are level the one that was there first.
    #[must_use]
    pub fn or(self, of: FloorOf, amount: Money) -> Floor {
        if amount > self.amount { Floor { amount, of } } else { self }
    }
}

impl fmt::Display for Floor {
    /// What is noted of a price below it, such as `campaign 18.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.of, self.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_floor_counts_and_says_whose_it_is() {
        let money = |text| Money::parse(text).expect("an amount");
        let floor = Floor::campaign(money("12"));
        assert_eq!(floor.or(FloorOf::Node, money("11.99")).to_string(), "campaign 12.00");
        assert_eq!(floor.or(FloorOf::Node, money("12")).to_string(), "campaign 12.00");
        assert_eq!(floor.or(FloorOf::Publisher, money("12.01")).to_string(), "publisher 12.01");
        assert_eq!(floor.or(FloorOf::Row(2), money("30")).to_string(), "campaign row 2 30.00");
        assert_eq!(floor.or(FloorOf::Target, money("13")).or(FloorOf::Node, money("14")).of, FloorOf::Node);
    }

    #[test]
    fn margins_read_as_they_are_written() {
        let amount = Money::parse("12").expect("an amount");
        assert_eq!(Margin::of(amount).to_string(), "12.00");
        assert_eq!(Margin { amount: Money::ZERO, percent: Bps(2_500) }.to_string(), "25%");
        assert_eq!(Margin { amount, percent: Bps(1_250) }.to_string(), "12.00 and 12.50%");
    }
}
