//! The snapshot: the catalog and everything compiled from it, as one immutable value behind one swap.
//!
//! A request loads it once and decides by it; a call never holds it. Where it comes from is `config`.

use std::sync::Arc;

use crate::bidder::Asking;
use crate::domain::{Catalog, E164, Money, TargetIx};
use crate::routing::filter::Compiled;
use crate::routing::{compiled, compiled_branches, compiled_floors};

/// Everything a decision is taken by.
#[derive(Debug)]
pub struct Snapshot {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Compiled filters, by target.
    pub filters: Vec<Compiled>,
    /// What the branches of plans ask, by plan and number.
    pub branches: Vec<Vec<Compiled>>,
    /// When the rows of floors count, by campaign.
    pub floors: Vec<Vec<Compiled>>,
    /// How to ask each target, by target; `None` for fixed prices.
    pub asking: Vec<Option<Asking>>,
    /// Currency of every amount.
    pub currency: String,
    /// Bids are cut to multiples of this.
    pub money_step: Money,
}

impl Snapshot {
    /// Compiles a checked catalog; cannot fail. Callers' and publishers' pseudonyms are made from `key`.
    pub fn compile(catalog: Arc<Catalog>, currency: String, money_step: Money, key: &[u8]) -> Snapshot {
        let (filters, branches) = (compiled(&catalog), compiled_branches(&catalog));
        let floors = compiled_floors(&catalog);
        let asking = catalog
            .targets
            .iter()
            .map(|target| {
                target
                    .endpoint()
                    .map(|endpoint| Asking::compile(key, catalog.buyer(target.buyer), target, endpoint))
            })
            .collect();
        Snapshot { catalog, filters, branches, floors, asking, currency, money_step }
    }

    /// How to ask this target.
    pub fn asking(&self, target: TargetIx) -> Option<&Asking> {
        self.asking[target.at()].as_ref()
    }

    /// Whether a number is one of our tracking numbers: calls must not be sent back to us.
    pub fn is_ours(&self, number: E164) -> bool {
        self.catalog.number(number).is_some()
    }
}
