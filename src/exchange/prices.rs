//! The terms of the targets of one step: worked out once, by the facts of the call at the time of the decision.
//!
//! They are for the steps of the walk that are still to be taken. An offer that stands from an earlier step stands at the
//! price it was made at, whatever its table says by now.

use super::trail::Trail;
use crate::domain::catalog::Pricing;
use crate::domain::{Catalog, Target, TargetIx};
use crate::routing::price::Terms;
use crate::routing::ring_tree::Step;

/// What the targets of a step ask for, ascending; those with a fixed price that no hour changes are not in it.
#[derive(Debug, Default)]
pub(super) struct Prices(Vec<(TargetIx, Terms)>);

impl Prices {
    /// Works out by `terms` those that differ from call to call, and closes the line of who has no price for this call.
    pub(super) fn settle(
        catalog: &Catalog,
        walk: &[(usize, Step<'_>)],
        trail: &mut Trail,
        terms: &dyn Fn(TargetIx) -> Terms,
    ) -> Prices {
        let mut prices = Prices::default();
        let differs =
            |target: &Target| matches!(target.pricing, Pricing::Table(_)) || !target.ranges.is_empty();
        for ix in walk.iter().flat_map(|(_, step)| step.targets()).copied() {
            let target = catalog.target(ix);
            if !differs(target) || !trail.is_open(ix) {
                continue;
            }
            let terms = terms(ix);
            if let Some(reason) = terms.refusal() {
                trail.close(ix, reason, None, None);
            }
            prices.0.push((ix, terms));
        }
        prices.0.sort_unstable_by_key(|(ix, _)| *ix);
        // Who has several places in the walk asks for the same at each.
        prices.0.dedup_by_key(|(ix, _)| *ix);
        prices
    }

    /// Notes what they come from, where a target's end has no note of its own.
    pub(super) fn note(&self, catalog: &Catalog, trail: &mut Trail) {
        for (ix, terms) in &self.0 {
            trail.note(*ix, terms.note(catalog.target(*ix)));
        }
    }

    /// The terms of a target.
    pub(super) fn of(&self, catalog: &Catalog, ix: TargetIx) -> Terms {
        match self.0.binary_search_by_key(&ix, |(ix, _)| *ix) {
            Ok(at) => self.0[at].1,
            Err(_) => Terms::plain(catalog.target(ix)),
        }
    }
}
