//! A step that was decided again, beside its record: what is the same, what differs, and what a reason rests on.

use super::given::PRICE_UNKNOWN;
use super::story::{Decided, Story};
use super::{ReplayedStep, ReplayedTarget, Winner, recorded_winner, shown};
use crate::domain::Reason;

impl Story<'_> {
    /// The step beside its record.
    pub(super) fn told(&self, decided: &Decided, digest: &str) -> ReplayedStep {
        let given = self.given;
        let mut targets: Vec<ReplayedTarget> = Vec::new();
        let mut won: Option<Winner> = None;
        for (ix, outcome) in self.trail.targets().into_iter().zip(self.trail.outcomes()) {
            let was = given.recorded(ix);
            // Nobody asked it then, or came to its price, so nobody knows what it would have said.
            let is_unknown =
                outcome.reason == Reason::Pending && was.is_none_or(|was| was.reason != Reason::Pending);
            let is_priced = outcome.reason == Reason::Won;
            if is_priced {
                // Of several that ring at once the first stands for all, as in the record.
                won.get_or_insert_with(|| Winner {
                    target: outcome.target.to_string(),
                    price: outcome.amount.map(shown),
                });
            }
            targets.push(ReplayedTarget {
                target: outcome.target.to_string(),
                buyer: outcome.buyer.to_string(),
                reason: if is_unknown { "unknown".to_owned() } else { outcome.reason.to_string() },
                amount: outcome.amount.map(shown),
                recorded: was.map(|was| was.reason.to_string()),
                recorded_amount: was.and_then(|was| was.amount).map(shown),
                by: match (is_unknown, self.by.get(&ix).copied()) {
                    (true, Some(PRICE_UNKNOWN)) => PRICE_UNKNOWN,
                    (true, _) => "unknown: it was not asked",
                    // Nobody comes to it here either.
                    (false, Some(PRICE_UNKNOWN) | None) => "decided",
                    (false, Some(by)) => by,
                },
                is_equal: !is_unknown
                    && was.is_some_and(|was| {
                        was.reason == outcome.reason && (!is_priced || was.amount == outcome.amount)
                    }),
            });
        }
        for missing in &given.trail.outcomes {
            if targets.iter().all(|target| target.target != missing.target) {
                let reason = Reason::from_code(missing.reason);
                targets.push(ReplayedTarget {
                    target: missing.target.clone(),
                    buyer: missing.buyer.clone(),
                    reason: "not in the step".to_owned(),
                    amount: None,
                    recorded: reason.map(|reason| reason.to_string()),
                    recorded_amount: missing.amount.map(shown),
                    by: "decided",
                    is_equal: false,
                });
            }
        }
        let recorded = recorded_winner(given.trail);
        let is_equal = won == recorded && targets.iter().all(|target| target.is_equal);
        ReplayedStep {
            step: given.trail.step,
            plan: given.plan.id.to_string(),
            catalog: digest.to_owned(),
            winner: won,
            recorded,
            reason: decided.reason.to_string(),
            is_equal,
            targets,
        }
    }
}
