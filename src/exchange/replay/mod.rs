//! A recorded call decided again, by the catalogs it was decided by and the replies that were recorded: the same functions
//! screen, walk, rank and judge prices. With a catalog that was changed it says what would have been.
//!
//! Timing is not replayed. What only the running exchange knew (replies, capacity, who could be asked) is taken from the
//! record, and so is the verdict of a filter that looks at a fact which records do not keep; each target says which.

mod given;
pub mod set;
mod story;
mod told;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Serialize;

use crate::domain::{Catalog, Money, Reason};
use crate::records::stored::{StoredOutcome, StoredTrail, StoredWhole};
use given::Given;
use story::{Carried, Story};

/// A call decided again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replayed {
    /// The call.
    pub call_id: String,
    /// Every step has the same winner, and every target the same reason.
    pub is_equal: bool,
    /// Its steps, in order.
    pub steps: Vec<ReplayedStep>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayedStep {
    /// Its number.
    pub step: u32,
    /// The plan it walked.
    pub plan: String,
    /// Digest of the catalog it was decided by.
    pub catalog: String,
    /// Who takes the call, and at which price; of several that ring at once the first of the plan.
    pub winner: Option<Winner>,
    /// Who took it.
    pub recorded: Option<Winner>,
    /// Why the call got this answer.
    pub reason: String,
    /// Whether all of it is as it was recorded.
    pub is_equal: bool,
    /// Its targets, in the order of the record.
    pub targets: Vec<ReplayedTarget>,
}

/// Who takes a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Winner {
    /// The target.
    pub target: String,
    /// Its price.
    pub price: Option<String>,
}

/// One target of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayedTarget {
    /// The target.
    pub target: String,
    /// Its buyer.
    pub buyer: String,
    /// The reason it ends with; `unknown` where it would have been asked and was not, or where its price is not known.
    pub reason: String,
    /// Its price, where it names one.
    pub amount: Option<String>,
    /// The reason that was recorded; none where it was not in the step.
    pub recorded: Option<String>,
    /// The price that was.
    pub recorded_amount: Option<String>,
    /// What the reason rests on: `decided`, or what was taken from the record.
    pub by: &'static str,
    /// Whether reason and, of the winner, price are as they were recorded.
    pub is_equal: bool,
}

/// Why a call cannot be decided again.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotReplayable {
    /// Nothing of its decision is there.
    #[error("the decision of this call is not in the store")]
    NoDecision,
    /// It was decided before facts were kept, or the exchange ended before they were.
    #[error("what step {0} was decided by is not in the store")]
    NoFacts(u32),
    /// A bug stood in its way; what was answered then is no rule's doing.
    #[error(
        "something failed inside the exchange when this call was decided: there is nothing to decide again"
    )]
    Failed,
    /// A catalog that is not there, or cannot be read.
    #[error("{0}")]
    Catalog(String),
    /// What the record names is not in the catalog that it names.
    #[error("step {step} names {what}, which catalog {digest} does not know")]
    Unknown {
        /// The step.
        step: u32,
        /// What.
        what: String,
        /// The catalog.
        digest: String,
    },
}

/// A catalog by its digest.
pub type CatalogOf<'a> = dyn FnMut(&str) -> Result<Arc<Catalog>, String> + 'a;

/// Decides all steps of a call again. `catalog_of` gives a catalog by its digest, changed or as it was; `money_step` is by
/// what a second price is above the next.
pub fn replay(
    whole: &StoredWhole,
    money_step: Money,
    catalog_of: &mut CatalogOf<'_>,
) -> Result<Replayed, NotReplayable> {
    let call =
        whole.call.as_ref().and_then(|call| call.decision.as_ref()).ok_or(NotReplayable::NoDecision)?;
    if whole.trails.is_empty() {
        return Err(NotReplayable::NoDecision);
    }
    let (mut steps, mut carried) = (Vec::new(), Carried::default());
    for (at, trail) in whole.trails.iter().enumerate() {
        let facts = trail.facts.as_ref().ok_or(NotReplayable::NoFacts(trail.step))?;
        if trail.outcomes.iter().any(|outcome| outcome.reason == Reason::InternalError.code()) {
            return Err(NotReplayable::Failed);
        }
        let digest = facts.catalog.as_ref().unwrap_or(&call.catalog);
        let catalog = catalog_of(digest).map_err(NotReplayable::Catalog)?;
        let given = Given::of(&catalog, trail, call, money_step)?;
        carried.tried = whole
            .attempts
            .iter()
            .filter(|attempt| attempt.step < trail.step)
            .filter_map(|attempt| attempt.target.clone())
            .collect();
        let next = whole.trails.get(at + 1);
        let mut story = Story::of(&given, &carried);
        let decided = story.decide(&carried);
        steps.push(story.told(&decided, digest));
        carried = story.onward(decided, next, carried);
    }
    let is_equal = steps.iter().all(|step| step.is_equal);
    let call_id = whole.trails[0].call_id.to_string();
    Ok(Replayed { call_id, is_equal, steps })
}

/// Who was handed the call in a step.
fn recorded_winner(trail: &StoredTrail) -> Option<Winner> {
    let won = |outcome: &&StoredOutcome| outcome.reason == Reason::Won.code();
    let found = trail.outcomes.iter().find(won)?;
    Some(Winner { target: found.target.clone(), price: found.amount.map(shown) })
}

fn shown(amount: Money) -> String {
    amount.to_string()
}
