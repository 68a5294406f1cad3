//! Whose turn it is at the round robins of every plan: how many calls came to each. In memory only, so that a start
//! begins with the first child of each again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::PlanId;

/// By plan, the calls that came to each of its round robins, by number: a plan that is read again goes on where it was.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<PlanId, Vec<u64>>>);

impl Turns {
    /// How many calls came to this node before the one that comes now.
    pub fn take(&self, plan: &PlanId, number: usize) -> u64 {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !plans.contains_key(plan) {
            plans.insert(plan.clone(), Vec::new());
        }
        let Some(counts) = plans.get_mut(plan) else { return 0 };
        if counts.len() <= number {
            counts.resize(number + 1, 0);
        }
        let before = counts[number];
        counts[number] = before.wrapping_add(1);
        before
    }

    /// As `take`, for a call that does not count.
    pub fn next(&self, plan: &PlanId, number: usize) -> u64 {
        let plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.get(plan).and_then(|counts| counts.get(number)).copied().unwrap_or(0)
    }

    /// Forgets plans that are gone.
    pub fn keep(&self, is_there: impl Fn(&PlanId) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|plan, _| is_there(plan));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_counts_for_itself_and_a_plan_that_is_gone_begins_anew() {
        let turns = Turns::default();
        let (a, b) = (PlanId::parse("a").expect("a slug"), PlanId::parse("b").expect("a slug"));
        assert_eq!([turns.take(&a, 1), turns.take(&a, 1), turns.take(&a, 0)], [0, 1, 0]);
        assert_eq!([turns.next(&a, 1), turns.next(&a, 1), turns.next(&b, 7)], [2, 2, 0]);
        turns.keep(|plan| *plan == b);
        assert_eq!(turns.take(&a, 1), 0);
    }
}
