//! What a target's own terms come to for one call: its price where nobody is asked for it, and its floor.
//!
//! A fixed price and the base bid of a table differ by the hours of the target's ranges; rows of a table come before its
//! base. Whether the price is enough for anybody is for `auction`, and limits are claimed where capacity is held.

use super::Facts;
use super::bid_table::BidIndex;
use crate::domain::catalog::Pricing;
use crate::domain::time_range::range_at;
use crate::domain::{Catalog, Money, Reason, Target, TargetIx};

/// The terms of one target for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its price; `None` where it is asked for a bid, or its table has none for the call.
    pub price: Option<Money>,
    /// Lowest price accepted for it.
    pub floor: Money,
    /// What the price comes from.
    pub by: By,
    /// The range that counts now, by its place among the target's.
    pub range: Option<usize>,
}

/// What a price comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its endpoint is asked.
    Asking,
    /// The target's price, or its table's base bid, as it is always.
    Always,
    /// The same of the range that counts now.
    Range,
    /// A row of its table, by its place.
    Row(usize),
    /// No row holds, and there is no base bid.
    NoRow,
}

/// The tables of all targets that have one, by position.
pub fn compiled_tables(catalog: &Catalog) -> Vec<Option<BidIndex>> {
    let of = |target: &Target| match &target.pricing {
        Pricing::Table(table) => Some(BidIndex::new(table, &catalog.buyer(target.buyer).zone)),
        Pricing::Fixed(_) | Pricing::Endpoint(_) => None,
    };
    catalog.targets.iter().map(of).collect()
}

/// The terms of a target for this call.
pub fn terms(catalog: &Catalog, tables: &[Option<BidIndex>], ix: TargetIx, facts: &Facts<'_>) -> Terms {
    let target = catalog.target(ix);
    let range = range_at(&target.ranges, &catalog.buyer(target.buyer).zone, facts.now);
    let priced = range.and_then(|(_, range)| range.price);
    let always = |price| match priced {
        Some(price) => (Some(price), By::Range),
        None => (Some(price), By::Always),
    };
    let (price, by) = match &target.pricing {
        Pricing::Endpoint(_) => (None, By::Asking),
        Pricing::Fixed(price) => always(*price),
        Pricing::Table(table) => match tables[ix.at()].as_ref().and_then(|index| index.first(facts)) {
            Some(row) => (table.rows[row].bid, By::Row(row)),
            None => table.base.map_or((priced, if priced.is_some() { By::Range } else { By::NoRow }), always),
        },
    };
    let floor = range.and_then(|(_, range)| range.floor).unwrap_or(target.floor);
    Terms { price, floor, by, range: range.map(|(at, _)| at) }
}

impl Terms {
    /// Those of a target without table and ranges, which no call changes.
    pub fn plain(target: &Target) -> Terms {
        let (price, by) = match &target.pricing {
            Pricing::Fixed(price) => (Some(*price), By::Always),
            Pricing::Endpoint(_) => (None, By::Asking),
            Pricing::Table(_) => (None, By::NoRow),
        };
        Terms { price, floor: target.floor, by, range: None }
    }

    /// Why there is neither a price nor anybody to ask for one.
    pub const fn refusal(&self) -> Option<Reason> {
        match (self.price, self.by) {
            (Some(_), _) | (None, By::Asking) => None,
            (None, By::Row(_)) => Some(Reason::NoBid),
            (None, By::Always | By::Range | By::NoRow) => Some(Reason::NoRow),
        }
    }

    /// What records say of where the price comes from; nothing of a price that is always the same.
    pub fn note(&self, target: &Target) -> Option<String> {
        match (self.by, &target.pricing) {
            (By::Row(row), Pricing::Table(table)) => Some(table.name_of(row)),
            (By::Always, Pricing::Table(_)) => Some("base bid of the table".to_owned()),
            (By::Range, _) => {
                let range = self.range.and_then(|at| target.ranges.get(at));
                range.map(|range| format!("price of {}", range.hours))
            }
            (By::Asking | By::Always | By::NoRow | By::Row(_), _) => None,
        }
    }
}
