//! The check of the winner: the best offer that was in time took the call.
//!
//! A bidder that decides the auction and replied around the deadline makes nobody's answer wrong: such calls are excluded
//! and counted, and may be few only.

use std::collections::{BTreeMap, HashSet};

use super::books::decimal;
use super::outcomes::Health;
use super::paid::paid;
use super::{Asked, Call, Case, Check, EXCLUDED_MAX, EXCLUDED_OVERLOADED, Price, Reason};

/// Refusals by capacity that cannot have been true, by call and target.
pub(super) type Unfounded = HashSet<(u64, usize)>;

/// What an auction must have come to.
#[derive(Debug, PartialEq, Eq)]
enum Right {
    /// One of these, at this price.
    Best { micros: i64, targets: Vec<usize> },
    /// The first fixed price after the auction, or nobody.
    After(Option<usize>),
    /// Around the deadline, nobody can tell.
    Excluded,
}

pub(super) fn check(
    case: &Case<'_>,
    health: &Health,
    unfounded: &Unfounded,
    counts: &mut BTreeMap<&'static str, i64>,
) -> Check {
    let mut check = Check::new(
        "winner",
        "the best offer in time took the call (excluded: who decides it replied around the deadline; at most 0.5 %, in an overload 10 %)",
    );
    for call in case.calls.iter().filter(|call| call.is_answered()) {
        let Some(step) = case.book(call).and_then(|book| book.first()) else { continue };
        check.examined += 1;
        let look = Look {
            case,
            health,
            unfounded,
            call,
            asked: case.asked(call),
            reasons: case.reasons(step),
            took: took(case, call),
        };
        let is_static = look.reasons.iter().flatten().any(|reason| reason.as_str() == "overload");
        *counts.entry(if is_static { "static" } else { "auctioned" }).or_default() += 1;
        match look.right() {
            Right::Excluded => check.excluded += 1,
            right => {
                let fault = look.fault(&right).or_else(|| look.not_waited_for());
                check.holds(fault.is_none(), || {
                    format!("{}: {}", call.carrier_call_id, fault.unwrap_or_default())
                });
            }
        }
    }
    check.few_excluded(match case.market.overload {
        true => EXCLUDED_OVERLOADED,
        false => EXCLUDED_MAX,
    });
    check
}

/// The target that the first answer names.
fn took(case: &Case<'_>, call: &Call) -> Option<usize> {
    let first = call.attempts.iter().find(|attempt| attempt.step == 1)?;
    case.by_address.get(&*first.address).copied()
}

struct Look<'a> {
    case: &'a Case<'a>,
    health: &'a Health,
    unfounded: &'a Unfounded,
    call: &'a Call,
    asked: Vec<Option<Asked>>,
    reasons: Vec<Option<Reason>>,
    took: Option<usize>,
}

impl Look<'_> {
    /// It may not take the call, and rightly.
    fn is_out(&self, target: usize) -> bool {
        if self.case.market.targets[target].barred.is_some() {
            return true;
        }
        match self.reasons[target].map_or("", Reason::as_str) {
            "cap" | "concurrency" | "hold_lost" => !self.unfounded.contains(&(self.call.number, target)),
            "paused" | "buyer_paused" => self.case.market.pauses,
            _ => false,
        }
    }

    fn right(&self) -> Right {
        let market = self.case.market;
        let (safe, late) = (self.case.safe_us(self.call), self.case.late_us(self.call, &self.asked));
        let (mut sure, mut perhaps) = (Vec::new(), Vec::new());
        for (target, configured) in market.targets.iter().enumerate() {
            let Some(micros) = self.case.price(target, &self.asked).filter(|m| *m >= market.least_micros())
            else {
                continue;
            };
            if !configured.in_auction || self.is_out(target) {
                continue;
            }
            match (configured.price, self.asked[target].and_then(|asked| asked.replied_us)) {
                (Price::Fixed { .. }, _) => sure.push((micros, target)),
                (Price::Bids { max_micros, .. }, Some(_)) if micros > max_micros => {}
                (Price::Bids { .. }, Some(replied)) => {
                    let answered = self.call.answered_us.unwrap_or(u64::MAX);
                    // Who is not waited for counts only if the auction happens to go on so long.
                    let is_alone = replied + self.case.tolerance_us() > answered
                        && self.health.may_be_sidelined(target, self.call)
                        && self.took != Some(target);
                    let is_held_up = self.reasons[target]
                        .is_some_and(|reason| self.case.is_held_up(self.call, self.asked[target], reason));
                    if is_alone || replied > late {
                    } else if replied <= safe && !is_held_up {
                        sure.push((micros, target));
                    } else {
                        perhaps.push((micros, target));
                    }
                }
                (Price::Bids { .. }, None) => {}
            }
        }
        let best = sure.iter().map(|(micros, _)| *micros).max();
        if perhaps.iter().any(|(micros, _)| best.is_none_or(|best| *micros >= best)) {
            return Right::Excluded;
        }
        match best {
            Some(micros) => {
                let of_best = sure.iter().filter(|(price, _)| *price == micros);
                Right::Best { micros, targets: of_best.map(|(_, target)| *target).collect() }
            }
            None => Right::After(self.first_after()),
        }
    }

    /// The first fixed price after the auction that may take the call.
    fn first_after(&self) -> Option<usize> {
        let market = self.case.market;
        (0..market.targets.len()).find(|target| {
            let configured = &market.targets[*target];
            let is_good = match configured.price {
                Price::Fixed { micros } => micros >= market.least_micros(),
                Price::Bids { .. } => false,
            };
            !configured.in_auction && is_good && !self.is_out(*target)
        })
    }

    fn fault(&self, right: &Right) -> Option<String> {
        let told = self.took.map_or("nobody", |target| self.case.name(target));
        match right {
            Right::Excluded => None,
            Right::Best { targets, .. } if self.took.is_some_and(|took| targets.contains(&took)) => None,
            Right::Best { micros, targets } => {
                let name = targets.first().map_or("", |target| self.case.name(*target));
                Some(format!("{told} took it, and {name} offered {} in time", decimal(*micros)))
            }
            Right::After(expected) if *expected == self.took => None,
            Right::After(expected) => {
                let name = expected.map_or("nobody", |target| self.case.name(target));
                Some(format!("{told} took it without the best offer, and {name} was next"))
            }
        }
    }

    /// The answer came before the deadline while somebody was out that could still have won.
    fn not_waited_for(&self) -> Option<String> {
        let answered = self.call.answered_us?;
        if answered >= self.case.safe_us(self.call) {
            return None;
        }
        // Under second price who may still come second may change the price, and is waited for, too.
        let first = self.call.attempts.iter().position(|attempt| attempt.step == 1);
        let price = first.and_then(|at| paid(self.case, self.call, at)).map(|price| *price.end());
        let of_auction = self.took.is_some_and(|took| self.case.market.targets[took].in_auction);
        let price = price.filter(|_| of_auction).unwrap_or(i64::MIN);
        self.asked.iter().enumerate().find_map(|(target, asked)| {
            let asked = asked.as_ref()?;
            let Price::Bids { max_micros, .. } = self.case.market.targets[target].price else { return None };
            let is_out = asked.replied_us.is_none_or(|replied| replied > answered);
            let was_waiting =
                matches!(self.reasons[target]?.as_str(), "not_needed" | "timeout" | "late" | "pending");
            let is_fault = is_out
                && was_waiting
                && (max_micros > price || !self.case.market.early_close)
                && !self.health.may_be_sidelined(target, self.call);
            is_fault.then(|| {
                format!("{} was not waited for and may bid {}", self.case.name(target), decimal(max_micros))
            })
        })
    }
}
