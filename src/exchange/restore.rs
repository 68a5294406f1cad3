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
        for used in uses {
            let by_id = catalog.targets.binary_search_by(|target| target.id.as_str().cmp(&used.target));
            let Ok(target) = by_id.map(|at| &catalog.targets[at]) else { continue };
            let buyer = catalog.buyer(target.buyer);
            let window = day_window(&buyer.zone, now).start;
            if buyer.id.as_str() != used.buyer || used.quarter < window {
                continue;
            }
            for entity in [Entity::Buyer(buyer.id.clone()), Entity::Target(target.id.clone())] {
                let key = CapKey { entity, basis: Basis::BillableDay, window };
                self.state.gauges.restore(key, used.posted, used.unresolved);
            }
        }
    }
}
