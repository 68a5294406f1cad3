//! A hold: the capacity of one attempt, from `held` to `posted`, `voided` or `expired`, once.
//!
//! Transitions return the changes to make to the gauges; whoever runs them does so. A hold that expired can still be
//! resolved once, when an event, a call record or the operator says what happened.

use super::{Basis, CapKey, Charge, Move};
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
    /// Slots it has; none once the leg is over.
    slots: Vec<CapKey>,
    /// Units it has, used ones included; none once they are free again.
    units: Vec<CapKey>,
}

/// A hold written down: plain values from which it is rebuilt exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldImage {
    /// Its id.
    pub id: HoldId,
    /// Where it is in its life.
    pub state: HoldState,
    /// It expired, and somebody said what happened since.
    pub resolved: bool,
    /// Slots it has.
    pub slots: Vec<CapKey>,
    /// Units it has, used ones included.
    pub units: Vec<CapKey>,
}

/// Changes to make to the gauges.
pub type Changes = Vec<(CapKey, Move)>;

impl Hold {
    /// A hold over keys whose units were taken.
    pub fn new(id: HoldId, keys: Vec<CapKey>) -> Hold {
        let many = keys.iter().filter(|key| key.basis == Basis::Concurrency).count();
        let (mut slots, mut units) = (Vec::with_capacity(many), Vec::with_capacity(keys.len() - many));
        for key in keys {
            if key.basis == Basis::Concurrency { &mut slots } else { &mut units }.push(key);
        }
        Hold { id, state: HoldState::Held, resolved: false, slots, units }
    }

    /// The hold as it is now.
    pub fn image(&self) -> HoldImage {
        let Hold { id, state, resolved, slots, units } = self.clone();
        HoldImage { id, state, resolved, slots, units }
    }

    /// The hold as it was. The gauges are charged with what it has by [`Hold::charges`].
    pub fn restored(image: HoldImage) -> Hold {
        let HoldImage { id, state, resolved, mut slots, mut units } = image;
        slots.shrink_to_fit();
        units.shrink_to_fit();
        Hold { id, state, resolved, slots, units }
    }

    /// What it has of which gauge now: what a gauge made anew is charged with.
    pub fn charges(&self) -> impl Iterator<Item = (&CapKey, Charge)> {
        let of_units = match (self.state, self.resolved) {
            (HoldState::Held, _) => Some(Charge::Held),
            (HoldState::Posted, _) | (HoldState::Expired, true) => Some(Charge::Posted),
            (HoldState::Expired, false) => Some(Charge::Unresolved),
            (HoldState::Voided, _) => None,
        };
        let slots = self.slots.iter().map(|key| (key, Charge::Held));
        slots.chain(self.units.iter().filter_map(move |key| Some((key, of_units?))))
    }

    /// What it leaves behind when its call is forgotten: what is used stays used, and of what was still held nobody will
    /// say what became of it.
    pub fn leaves(&self) -> impl Iterator<Item = (&CapKey, Charge)> {
        self.charges().filter_map(|(key, charge)| Some((key, charge.left_behind(key.basis)?)))
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
        changes.extend(self.units.iter().map(|key| (key.clone(), change)));
        // What is used stays the hold's, so that it can be told after a restart.
        if matches!(change, Move::Void | Move::ResolveVoid) {
            self.units = Vec::new();
        }
        changes
    }
}
