//! Who may take a call, and in which order: screening and the walk of the plan.
//!
//! Screening looks at the catalog and the call; whether there is capacity is asked afterwards, of the survivors only.
//! Nothing here asks a buyer anything.

pub mod filter;
pub mod ring_tree;

#[cfg(test)]
mod tests;

use crate::domain::{Catalog, Reason, TargetIx};
use filter::Compiled;
pub use filter::{Facts, Located};

/// What screening says of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be asked or dialled, capacity permitting.
    Candidate,
    /// It may not, for one reason, with the value that decided.
    Refused(Reason, Option<String>),
}

/// Judges one target. The order of the rules is published and decides which reason a target refused by several gets:
/// paused, buyer paused, closed, then its filters in the order written.
pub fn screen(catalog: &Catalog, filters: &[Compiled], target: TargetIx, facts: &Facts<'_>) -> Verdict {
    let the_target = catalog.target(target);
    let buyer = catalog.buyer(the_target.buyer);
    if the_target.paused {
        return Verdict::Refused(Reason::Paused, None);
    }
    if buyer.paused {
        return Verdict::Refused(Reason::BuyerPaused, None);
    }
    let open = [&buyer.hours, &the_target.hours]
        .into_iter()
        .flatten()
        .all(|hours| hours.is_open(&buyer.zone, facts.now));
    if !open {
        return Verdict::Refused(Reason::Closed, Some(format!("in {}", buyer.zone)));
    }
    match filters[target.at()].judge(facts) {
        Ok(()) => Verdict::Candidate,
        Err((reason, note)) => Verdict::Refused(reason, Some(note)),
    }
}
