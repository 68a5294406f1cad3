//! What a start takes over from the store: the units of daily caps that calls before it have used.
//!
//! Calls in progress are not taken over; their units count as unresolved, so that no day has more than its cap.

use std::time::Duration;

use super::Exchange;
use crate::capacity::{Basis, CapKey, Entity};
use crate::domain::Timestamp;
use crate::domain::schedule::day_window;
use crate::records::stored::StoredUse;

/// How far back a day that is not over can have begun: days have up to 25 hours.
pub const LONGEST_DAY: Duration = Duration::from_secs(26 * 3_600);

impl Exchange {
    /// Charges the caps of days that are not over at `now` with what the store knows. For an exchange that has not
    /// decided anything yet.
    pub fn restore_caps(&self, uses: &[StoredUse], now: Timestamp) {
        let in_force = self.in_force.load();
        let catalog = &in_force.snapshot.catalog;
        let charge = |entity, window, used: &StoredUse| {
            if used.quarter >= window {
                let key = CapKey { entity, basis: Basis::BillableDay, window };
                self.state.gauges.restore(key, used.posted, used.unresolved);
            }
        };
        for used in uses {
            // Each by itself: a target that was renamed or sold has used its old buyer's day all the same.
            let buyer = catalog.buyers.binary_search_by(|buyer| buyer.id.as_str().cmp(&used.buyer));
            if let Ok(buyer) = buyer.map(|at| &catalog.buyers[at]) {
                charge(Entity::Buyer(buyer.id.clone()), day_window(&buyer.zone, now).start, used);
            }
            let target = catalog.targets.binary_search_by(|target| target.id.as_str().cmp(&used.target));
            if let Ok(target) = target.map(|at| &catalog.targets[at]) {
                let zone = &catalog.buyer(target.buyer).zone;
                charge(Entity::Target(target.id.clone()), day_window(zone, now).start, used);
            }
        }
    }
}
