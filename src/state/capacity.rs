//! The gauges of all caps, in sharded memory, and the guard that gives capacity back when a decision is dropped.
//!
//! Counting rules are in `capacity`; this file only finds the gauge and runs the rule under its shard's lock. A hold over
//! several caps takes them in sorted order, one at a time, so no map guard is ever held while another is taken.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::capacity::hold::{Changes, Hold};
use crate::capacity::{Basis, CapKey, Charge, Claim, Gauge, Move};
use crate::domain::{HoldId, Timestamp};

/// How long the gauge of a closed window is kept for late settlements.
const KEEP_CLOSED: Duration = Duration::from_secs(72 * 3_600);

/// All gauges of this node.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Keys are ids of our own catalog: nobody outside chooses them.
    map: DashMap<CapKey, Gauge, RandomState>,
}

impl Gauges {
    /// The first of these caps that has no unit left, without taking any.
    pub fn full(&self, claims: impl IntoIterator<Item = Claim>) -> Option<CapKey> {
        let full = |claim: &Claim| !self.read(&claim.key).has_room(claim.limit);
        claims.into_iter().find(full).map(|claim| claim.key)
    }

    /// The gauge's value now.
    pub fn read(&self, key: &CapKey) -> Gauge {
        self.map.get(key).map(|gauge| *gauge).unwrap_or_default()
    }

    /// Takes one unit of every cap, or none: then the first cap that had none left. `claims` are sorted.
    pub fn hold(self: &Arc<Self>, id: HoldId, claims: Vec<Claim>) -> Result<HoldGuard, CapKey> {
        debug_assert!(claims.is_sorted(), "keys are taken in sorted order");
        for (taken, claim) in claims.iter().enumerate() {
            // Most gauges are there: their keys are not copied to find them.
            let took = match self.map.get_mut(&claim.key) {
                Some(mut gauge) => gauge.take(claim.limit),
                None => self.map.entry(claim.key.clone()).or_default().take(claim.limit),
            };
            if !took {
                self.apply(claims[..taken].iter().map(|claim| (claim.key.clone(), Move::Void)).collect());
                return Err(claim.key.clone());
            }
        }
        let hold = Hold::new(id, claims.into_iter().map(|claim| claim.key).collect());
        Ok(HoldGuard { gauges: Arc::clone(self), hold: Some(hold) })
    }

    /// Makes the changes a hold asks for.
    pub fn apply(&self, changes: Changes) {
        for (key, change) in changes {
            self.map.entry(key).or_default().apply(change);
        }
    }

    /// Charges a gauge with units that were used before it was made.
    pub fn restore(&self, key: CapKey, posted: u32, unresolved: u32) {
        let mut gauge = self.map.entry(key).or_default();
        gauge.posted += posted;
        gauge.unresolved += unresolved;
    }

    /// Charges the gauges with what a hold has that was made before them.
    pub fn charge(&self, hold: &Hold) {
        hold.charges().for_each(|(key, charge)| self.charge_one(key, charge));
    }

    /// Charges one gauge.
    pub fn charge_one(&self, key: &CapKey, charge: Charge) {
        self.map.entry(key.clone()).or_default().charge(charge);
    }

    /// Units held over all caps: zero at rest.
    pub fn held(&self) -> u64 {
        self.map.iter().map(|gauge| u64::from(gauge.held)).sum()
    }

    /// Forgets idle gauges: unused concurrency, and windows long over.
    pub fn forget_idle(&self, now: Timestamp) {
        let day_over = now.before(KEEP_CLOSED);
        self.map.retain(|key, gauge| {
            let over = match key.basis {
                Basis::Concurrency => gauge.used() == 0,
                Basis::BillableDay => key.window < day_over,
            };
            !(over && gauge.is_idle())
        });
    }
}

/// Capacity held by a decision that is not finished: given back when dropped, unless kept.
#[derive(Debug)]
#[must_use]
pub struct HoldGuard {
    gauges: Arc<Gauges>,
    hold: Option<Hold>,
}

impl HoldGuard {
    /// The hold's id.
    pub fn id(&self) -> HoldId {
        self.hold.as_ref().expect("a guard has its hold until it is kept").id
    }

    /// What it has, sorted.
    pub fn keys(&self) -> Vec<CapKey> {
        let charges = self.hold.iter().flat_map(Hold::charges);
        let mut keys: Vec<CapKey> = charges.map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// The decision stands: the call owns the hold from here.
    pub fn keep(mut self) -> Hold {
        self.hold.take().expect("a guard has its hold until it is kept")
    }
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        if let Some(mut hold) = self.hold.take() {
            self.gauges.apply(hold.void());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::Entity;
    use crate::domain::BuyerId;

    fn claim(buyer: &str, basis: Basis, limit: u32) -> Claim {
        let entity = Entity::Buyer(BuyerId::parse(buyer).expect("a slug"));
        Claim { key: CapKey { entity, basis, window: Timestamp::default() }, limit }
    }

    #[test]
    fn a_dropped_guard_gives_everything_back_and_a_kept_one_nothing() {
        let gauges = Arc::new(Gauges::default());
        let claims = [claim("acme", Basis::Concurrency, 1), claim("acme", Basis::BillableDay, 5)];
        drop(gauges.hold(HoldId::from_bits(1), claims.to_vec()).expect("room"));
        assert_eq!(gauges.held(), 0);
        let mut hold = gauges.hold(HoldId::from_bits(2), claims.to_vec()).expect("room").keep();
        assert_eq!(gauges.held(), 2);
        let refused = gauges.hold(HoldId::from_bits(3), claims.to_vec()).expect_err("concurrency is used up");
        assert_eq!(refused.basis, Basis::Concurrency);
        gauges.apply(hold.post());
        assert_eq!((gauges.held(), gauges.read(&claims[1].key).posted), (0, 1));
    }

    #[test]
    fn a_hold_that_is_rebuilt_charges_what_it_had() {
        let gauges = Arc::new(Gauges::default());
        let claims = [claim("acme", Basis::Concurrency, 1), claim("acme", Basis::BillableDay, 5)];
        let hold = gauges.hold(HoldId::from_bits(1), claims.to_vec()).expect("room").keep();
        let again = Arc::new(Gauges::default());
        let mut hold = Hold::restored(hold.image());
        again.charge(&hold);
        assert_eq!(again.held(), 2);
        assert!(again.hold(HoldId::from_bits(2), claims.to_vec()).is_err(), "the slot is taken");
        again.apply(hold.post());
        assert_eq!((again.held(), again.read(&claims[1].key).posted), (0, 1));
    }

    #[test]
    fn a_hold_that_fails_half_way_takes_nothing() {
        let gauges = Arc::new(Gauges::default());
        let claims = [claim("acme", Basis::Concurrency, 9), claim("acme", Basis::BillableDay, 0)];
        assert!(gauges.hold(HoldId::from_bits(1), claims.to_vec()).is_err());
        assert_eq!(gauges.held(), 0);
    }

    #[test]
    fn eight_threads_never_pass_a_limit() {
        let gauges = Arc::new(Gauges::default());
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8u128)
                .map(|thread| {
                    let gauges = Arc::clone(&gauges);
                    scope.spawn(move || {
                        let claims = [claim("acme", Basis::BillableDay, 100)];
                        (0..1_000)
                            .filter_map(|n| {
                                gauges.hold(HoldId::from_bits(thread << 32 | n), claims.to_vec()).ok()
                            })
                            .map(HoldGuard::keep)
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(won, 100);
    }
}
