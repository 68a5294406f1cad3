//! A hold: the capacity of one attempt, from `held` to `posted`, `voided` or `expired`, once.
//!
//! Transitions return the changes to make to the gauges; whoever runs them does so. A hold that expired can still be
//! resolved once, when an event, a call record or the operator says what happened.

use super::{Basis, CapKey, Move};
use crate::domain::HoldId;

/// Where a hold is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// Its units are held.
    Held,
    /// The call was billable: capped units are used for good.
    Posted,
    /// It was not: everything is free again.
    Voided,
    /// Nobody said how it ended: slots are free, capped units unresolved.
    Expired,
}

/// Capacity held for one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    state: HoldState,
    resolved: bool,
    slots: Vec<CapKey>,
    units: Vec<CapKey>,
}

/// Changes to make to the gauges.
pub type Changes = Vec<(CapKey, Move)>;

impl Hold {
    /// A hold over keys whose units were taken.
    pub fn new(id: HoldId, keys: Vec<CapKey>) -> Hold {
        let (mut slots, mut units): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.basis == Basis::Concurrency);
        slots.shrink_to_fit();
        units.shrink_to_fit();
        Hold { id, state: HoldState::Held, resolved: false, slots, units }
    }

    /// Where it is.
    pub fn state(&self) -> HoldState {
        self.state
    }

    /// Frees the concurrency slots: the leg is over, whatever it will cost.
    #[must_use]
    pub fn free_slots(&mut self) -> Changes {
        std::mem::take(&mut self.slots).into_iter().map(|key| (key, Move::Void)).collect()
    }

    /// The call is billable. Nothing happens to a hold that left `held` already, but an expired one is resolved.
    #[must_use]
    pub fn post(&mut self) -> Changes {
        self.finish(HoldState::Posted, Move::Post, Move::ResolvePost)
    }

    /// The call is not billable.
    #[must_use]
    pub fn void(&mut self) -> Changes {
        self.finish(HoldState::Voided, Move::Void, Move::ResolveVoid)
    }

    /// Nobody said how the call ended.
    #[must_use]
    pub fn expire(&mut self) -> Changes {
        if self.state != HoldState::Held {
            return Vec::new();
        }
        self.state = HoldState::Expired;
        let mut changes = self.free_slots();
        changes.extend(self.units.iter().map(|key| (key.clone(), Move::Expire)));
        changes
    }

    fn finish(&mut self, to: HoldState, change: Move, resolution: Move) -> Changes {
        let mut changes = self.free_slots();
        let change = match self.state {
            HoldState::Held => {
                self.state = to;
                change
            }
            HoldState::Expired if !self.resolved => {
                self.resolved = true;
                resolution
            }
            HoldState::Posted | HoldState::Voided | HoldState::Expired => return changes,
        };
        changes.extend(std::mem::take(&mut self.units).into_iter().map(|key| (key, change)));
        changes
    }
}
