//! Capacity: caps, concurrency, and the counting rules of a hold. Plain values; where gauges live is `state`.
//!
//! A strict cap bounds what is held plus what is posted plus what is unresolved, so a call in flight keeps its unit
//! and no interleaving of calls can pass the limit. A unit belongs to the window of its hold, however late it settles.

pub mod hold;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::domain::{BuyerId, Reason, TargetId, Timestamp};

/// Whose capacity it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// A buyer, over all its targets.
    Buyer(BuyerId),
    /// One target.
    Target(TargetId),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// Calls held, ringing or talking at once.
    Concurrency,
    /// Billable calls of one day in the entity's zone.
    BillableDay,
}

impl Basis {
    /// The reason a target is refused for when this is used up.
    pub const fn reason(self) -> Reason {
        match self {
            Basis::Concurrency => Reason::Concurrency,
            Basis::BillableDay => Reason::Cap,
        }
    }
}

/// Names one gauge: slugs and a window start, never a position, so that counts survive a reload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapKey {
    /// Whose.
    pub entity: Entity,
    /// What.
    pub basis: Basis,
    /// Start of the window; the epoch for concurrency.
    pub window: Timestamp,
}

impl fmt::Display for CapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entity {
            Entity::Buyer(id) => write!(f, "buyer {id}")?,
            Entity::Target(id) => write!(f, "target {id}")?,
        }
        f.write_str(match self.basis {
            Basis::Concurrency => " concurrency",
            Basis::BillableDay => " daily cap",
        })
    }
}

/// The limit of what has none: counted all the same.
pub const NO_LIMIT: u32 = u32::MAX;

/// What a unit of a strict cap survives when its call is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldDurability {
    /// The end of the process.
    Kernel,
    /// A power cut.
    Disk,
    /// Neither for certain: it is written soon.
    Lazy,
}

/// A key with the limit in force when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Which gauge.
    pub key: CapKey,
    /// Its limit by the catalog in force when it is claimed.
    pub limit: u32,
}

/// Units of one cap in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Held by calls in flight.
    pub held: u32,
    /// Used for good.
    pub posted: u32,
    /// Of calls whose end nobody reported: charged until somebody says what happened.
    pub unresolved: u32,
}

/// One change of a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A held unit is free again.
    Void,
    /// A held unit is used for good.
    Post,
    /// A held unit waits for news.
    Expire,
    /// An unresolved unit turned out unused.
    ResolveVoid,
    /// An unresolved unit turned out used.
    ResolvePost,
}

/// What a hold has of one gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// A unit held.
    Held,
    /// A unit used for good.
    Posted,
    /// A unit that waits for news.
    Unresolved,
}

impl Charge {
    /// What is left of it when nobody remembers the hold any more: slots are free, what is used stays used, and what was
    /// held counts as unresolved, since whether it was used will never be known.
    pub const fn left_behind(self, basis: Basis) -> Option<Charge> {
        match (basis, self) {
            (Basis::Concurrency, _) => None,
            (Basis::BillableDay, Charge::Posted) => Some(Charge::Posted),
            (Basis::BillableDay, Charge::Held | Charge::Unresolved) => Some(Charge::Unresolved),
        }
    }
}

impl Gauge {
    /// Counts what a hold has, for a gauge that is made anew: whatever the limit is now, it was taken.
    pub fn charge(&mut self, charge: Charge) {
        match charge {
            Charge::Held => self.held += 1,
            Charge::Posted => self.posted += 1,
            Charge::Unresolved => self.unresolved += 1,
        }
    }

    /// Units that count against the limit.
    pub fn used(&self) -> u32 {
        self.held + self.posted + self.unresolved
    }

    /// Whether a unit is left below `limit`.
    pub fn has_room(&self, limit: u32) -> bool {
        self.used() < limit
    }

    /// Takes one unit if there is one below `limit`.
    #[must_use]
    pub fn take(&mut self, limit: u32) -> bool {
        let room = self.has_room(limit);
        self.held += u32::from(room);
        room
    }

    /// Applies a change. Panics when the unit is not there: each is moved once by its hold, anything else is a bug
    /// that must not be counted on.
    pub fn apply(&mut self, change: Move) {
        let (from, to) = match change {
            Move::Void => (&mut self.held, None),
            Move::Post => (&mut self.held, Some(&mut self.posted)),
            Move::Expire => (&mut self.held, Some(&mut self.unresolved)),
            Move::ResolveVoid => (&mut self.unresolved, None),
            Move::ResolvePost => (&mut self.unresolved, Some(&mut self.posted)),
        };
        *from = from.checked_sub(1).expect("a unit moves once, out of where it is");
        if let Some(to) = to {
            *to += 1;
        }
    }

    /// Whether the gauge can be forgotten once its window is over: nothing in it will move any more.
    pub fn is_idle(&self) -> bool {
        self.held == 0 && self.unresolved == 0
    }
}
