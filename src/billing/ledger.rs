//! Ledger entries: append-only, and the entries of one group sum to zero.
//!
//! What an account owes us is positive, what we owe it is negative; our margin is what balances the two. A correction
//! is a new group that points at the old one, never a changed entry.

use super::Settlement;
use crate::domain::Money;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Buyer to us.
    Revenue,
    /// Us to publisher.
    Payout,
    /// What is left.
    Margin,
}

impl Kind {
    /// The word in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Revenue => "revenue",
            Kind::Payout => "payout",
            Kind::Margin => "margin",
        }
    }
}

/// One entry: on whose account by its kind, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is; revenue is booked on the buyer, payout on the publisher, margin on the exchange.
    pub kind: Kind,
    /// Signed amount.
    pub amount: Money,
}

/// The entries of a settlement: none when nobody owes anything.
pub fn entries(settlement: &Settlement) -> Vec<Entry> {
    if !settlement.billable {
        return Vec::new();
    }
    let entries = vec![
        Entry { kind: Kind::Revenue, amount: settlement.revenue },
        Entry { kind: Kind::Payout, amount: settlement.payout.negated() },
        Entry { kind: Kind::Margin, amount: settlement.margin.negated() },
    ];
    assert_eq!(entries.iter().map(|e| i128::from(e.amount.micros())).sum::<i128>(), 0, "a group balances");
    entries
}
