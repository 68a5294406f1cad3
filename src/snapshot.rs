//! The snapshot: the catalog and everything compiled from it, as one immutable value behind one swap.
//!
//! A request loads it once and decides by it; a call never holds it. Where it comes from is `config`.

use std::sync::Arc;

use crate::bidder::Asking;
use crate::domain::{Catalog, E164, Money, TargetIx};
use crate::routing::RuleBook;

/// Everything a decision is taken by.
#[derive(Debug)]
pub struct Snapshot {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// The rules about who may take a call, compiled.
    pub rules: RuleBook,
    /// How to ask each target, by target; `None` for those that are not asked.
    pub asking: Vec<Option<Asking>>,
    /// Currency of every amount.
    pub currency: String,
    /// Bids are cut to multiples of this.
    pub money_step: Money,
}

impl Snapshot {
    /// Compiles a checked catalog; cannot fail. Callers' and publishers' pseudonyms are made from `key`.
    pub fn compile(catalog: Arc<Catalog>, currency: String, money_step: Money, key: &[u8]) -> Snapshot {
        let rules = RuleBook::of(&catalog);
        let asking = catalog
            .targets
            .iter()
            .map(|target| {
                target
                    .endpoint()
                    .map(|endpoint| Asking::compile(key, catalog.buyer(target.buyer), target, endpoint))
            })
            .collect();
        Snapshot { catalog, rules, asking, currency, money_step }
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
