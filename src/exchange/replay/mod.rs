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
use crate::records::stored::{StoredAttempt, StoredDecision, StoredOutcome, StoredTrail, StoredWhole};
use given::Given;
use story::{Carried, Story, Unwaited};

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
    /// Who takes the call, and what it pays; of several that ring at once the first of the plan. None where nobody does, and
    /// where `could_win` names anybody.
    pub winner: Option<Winner>,
    /// Who took it.
    pub recorded: Option<Winner>,
    /// Who takes it unless one of `could_win` does.
    pub leads: Option<Winner>,
    /// Who was not needed then and could come first now: the record does not say whether it does.
    pub could_win: Vec<String>,
    /// Who was not needed then and could set now what the winner pays.
    pub could_price: Vec<String>,
    /// Why the call got this answer; `unknown` where `could_win` names anybody.
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
    /// What it pays; none where that is not known.
    pub price: Option<String>,
}

/// One target of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayedTarget {
    /// The target.
    pub target: String,
    /// Its buyer.
    pub buyer: String,
    /// The reason it ends with; `unknown` where it would have been asked and was not, where its price is not known, or where
    /// that rests on a bid which was not needed then.
    pub reason: String,
    /// Its price, where it names one.
    pub amount: Option<String>,
    /// The reason that was recorded; none where it was not in the step.
    pub recorded: Option<String>,
    /// The price that was.
    pub recorded_amount: Option<String>,
    /// What the reason rests on: `decided`, or what was taken from the record.
    pub by: &'static str,
    /// Whether reason and, of the winner, price and what it pays are as they were recorded.
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

/// Decides all steps of a call again. `catalog_of` gives a catalog by its digest, as it was; second prices are cut to
/// multiples of `money_step`.
pub fn replay(
    whole: &StoredWhole,
    money_step: Money,
    catalog_of: &mut CatalogOf<'_>,
) -> Result<Replayed, NotReplayable> {
    Ok(decided(whole, money_step, catalog_of, None)?.0)
}

/// The same by catalogs that were changed: whose bid was not needed then may be needed now.
pub fn replay_changed(
    whole: &StoredWhole,
    money_step: Money,
    as_it_was: &mut CatalogOf<'_>,
    changed: &mut CatalogOf<'_>,
) -> Result<Replayed, NotReplayable> {
    let (_, unwaited) = decided(whole, money_step, as_it_was, None)?;
    Ok(decided(whole, money_step, changed, Some(&unwaited))?.0)
}

fn decided(
    whole: &StoredWhole,
    money_step: Money,
    catalog_of: &mut CatalogOf<'_>,
    then: Option<&Unwaited>,
) -> Result<(Replayed, Unwaited), NotReplayable> {
    let call =
        whole.call.as_ref().and_then(|call| call.decision.as_ref()).ok_or(NotReplayable::NoDecision)?;
    if whole.trails.is_empty() {
        return Err(NotReplayable::NoDecision);
    }
    let (mut steps, mut carried, mut unwaited) = (Vec::new(), Carried::default(), Unwaited::new());
    for (at, trail) in whole.trails.iter().enumerate() {
        let facts = trail.facts.as_ref().ok_or(NotReplayable::NoFacts(trail.step))?;
        if trail.outcomes.iter().any(|outcome| outcome.reason == Reason::InternalError.code()) {
            return Err(NotReplayable::Failed);
        }
        let digest = facts.catalog.as_ref().unwrap_or(&call.catalog);
        let catalog = catalog_of(digest).map_err(NotReplayable::Catalog)?;
        let given = Given::of(&catalog, trail, call, (money_step, paid(whole, trail, call)))?;
        carried.tried = whole
            .attempts
            .iter()
            .filter(|attempt| attempt.step < trail.step)
            .filter_map(|attempt| attempt.target.clone())
            .collect();
        let next = whole.trails.get(at + 1);
        let mut story = Story::of(&given, &carried, then);
        let decided = story.decide(&carried);
        steps.push(story.told(&decided, digest));
        unwaited.append(&mut story.unwaited);
        carried = story.onward(decided, next, carried);
    }
    let is_equal = steps.iter().all(|step| step.is_equal);
    let call_id = whole.trails[0].call_id.to_string();
    Ok((Replayed { call_id, is_equal, steps }, unwaited))
}

/// What who was handed the call in a step pays, by its attempt, or by the call's first decision.
fn paid(whole: &StoredWhole, trail: &StoredTrail, call: &StoredDecision) -> Option<Money> {
    let won = |outcome: &&StoredOutcome| outcome.reason == Reason::Won.code();
    let winner = Some(trail.outcomes.iter().find(won)?.target.as_str());
    let is_its = |attempt: &&StoredAttempt| attempt.step == trail.step && attempt.target.as_deref() == winner;
    let by_attempt = whole.attempts.iter().find(is_its).and_then(|attempt| attempt.price);
    let is_first = trail.step == 1 && call.target.as_deref() == winner;
    by_attempt.or(call.price.filter(|_| is_first))
}

fn shown(amount: Money) -> String {
    amount.to_string()
}
