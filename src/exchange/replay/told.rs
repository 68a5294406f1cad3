//! A step that was decided again, beside its record: what is the same, what differs, and what a reason rests on.

use super::given::PRICE_UNKNOWN;
use super::story::{Decided, Story};
use super::{ReplayedStep, ReplayedTarget, Winner, shown};
use crate::domain::{PriceRule, Reason, TargetIx};

/// Said of who would win if nobody came before it who was not needed then.
const LEADS: &str = "unknown: somebody not needed then could come first";

impl Story<'_> {
    /// Who was handed the call then, and what it pays.
    fn recorded_winner(&self) -> Option<Winner> {
        let won = Reason::Won.code();
        let found = self.given.trail.outcomes.iter().find(|outcome| outcome.reason == won)?;
        let bid = found.amount.filter(|_| self.pays_its_bid());
        Some(Winner { target: found.target.clone(), price: self.given.paid.or(bid).map(shown) })
    }

    fn pays_its_bid(&self) -> bool {
        self.bars.price == PriceRule::First
    }

    /// The step beside its record.
    pub(super) fn told(&self, decided: &Decided, digest: &str) -> ReplayedStep {
        let given = self.given;
        let mut targets: Vec<ReplayedTarget> = Vec::new();
        let mut won: Option<Winner> = None;
        let recorded = self.recorded_winner();
        for (ix, outcome) in self.trail.targets().into_iter().zip(self.trail.outcomes()) {
            let was = given.recorded(ix);
            // Nobody asked it then, or came to its price, so nobody knows what it would have said.
            let is_unknown =
                outcome.reason == Reason::Pending && was.is_none_or(|was| was.reason != Reason::Pending);
            let is_priced = outcome.reason == Reason::Won;
            // Of several that ring at once the first stands for all, as in the record.
            let is_first = is_priced && won.is_none();
            let mut pays_as_it_did = true;
            if is_first {
                let taken = decided.taken.filter(|(taken, ..)| *taken == ix);
                let pays = taken.map(|(_, pays, _)| pays).or(outcome.amount);
                // Beside a second price that the record does not tell none is claimed.
                let is_told = recorded.as_ref().is_none_or(|was| was.price.is_some()) || self.pays_its_bid();
                let is_known = self.could_price.is_empty() && is_told;
                let price = pays.filter(|_| is_known).map(shown);
                let target = outcome.target.to_string();
                pays_as_it_did =
                    recorded.as_ref().is_none_or(|was| was.target != target || was.price == price);
                won = Some(Winner { target, price });
            }
            let is_doubtful = is_priced && !self.could_win.is_empty();
            targets.push(ReplayedTarget {
                target: outcome.target.to_string(),
                buyer: outcome.buyer.to_string(),
                reason: match is_unknown || is_doubtful {
                    true => "unknown".to_owned(),
                    false => outcome.reason.to_string(),
                },
                amount: outcome.amount.map(shown),
                recorded: was.map(|was| was.reason.to_string()),
                recorded_amount: was.and_then(|was| was.amount).map(shown),
                by: match (is_unknown, self.by.get(&ix).copied()) {
                    _ if is_doubtful => LEADS,
                    (true, Some(by)) if by.starts_with("unknown") => by,
                    (true, _) => "unknown: it was not asked",
                    // Nobody comes to it here either.
                    (false, Some(PRICE_UNKNOWN) | None) => "decided",
                    (false, Some(by)) => by,
                },
                is_equal: !is_unknown
                    && !is_doubtful
                    && pays_as_it_did
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
        let ids = |all: &[TargetIx]| -> Vec<String> {
            all.iter().map(|ix| given.catalog.target(*ix).id.to_string()).collect()
        };
        let is_certain = self.could_win.is_empty();
        let is_equal = is_certain && won == recorded && targets.iter().all(|target| target.is_equal);
        let (winner, leads) = if is_certain { (won, None) } else { (None, won) };
        ReplayedStep {
            step: given.trail.step,
            plan: given.plan.id.to_string(),
            catalog: digest.to_owned(),
            winner,
            recorded,
            leads,
            could_win: ids(&self.could_win),
            could_price: ids(&self.could_price),
            reason: if is_certain { decided.reason.to_string() } else { "unknown".to_owned() },
            is_equal,
            targets,
        }
    }
}
