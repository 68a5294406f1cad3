//! The check of outcomes: every target of every answered call has one, and it agrees with what the bidder saw.
//!
//! Who should have won is asked in `winner`, whether a cap was really full in `caps`.

use std::collections::HashMap;

use super::books::decimal;
use super::{Asked, Call, Case, Check, HELD_UP_OVERLOADED, Outcome, Price, StepBook};

/// Misses in a row after which an exchange may stop waiting for a bidder.
const MISSES: usize = 5;
/// How long after a reply in time everybody must know that the bidder is back.
const BACK_WITHIN_US: u64 = 50_000;
/// Longest after a miss that it may be noted: the deadline, and what a busy machine takes.
const NOTED_WITHIN_US: u64 = 100_000;
/// No miss is noted longer than this before the auction it was of ends.
const MISS_SPAN_US: u64 = 5_000_000;

/// When each target's bidder was heard in time, and when it may have missed.
pub(super) struct Health {
    heard_us: Vec<Vec<u64>>,
    /// From when and until when a miss may have been noted, by the latter.
    missed_us: Vec<Vec<(u64, u64)>>,
}

impl Health {
    pub(super) fn new(case: &Case<'_>) -> Health {
        let none = || vec![Vec::new(); case.market.targets.len()];
        let mut health = Health { heard_us: none(), missed_us: vec![Vec::new(); case.market.targets.len()] };
        for call in case.calls {
            let until = call.sent_us + case.deadline_us() + NOTED_WITHIN_US;
            let failed = failed(case, call);
            for (target, asked) in case.asked(call).iter().enumerate() {
                let in_time =
                    asked.filter(|asked| asked.replied_us.is_some_and(|at| at <= case.safe_us(call)));
                match (asked, in_time) {
                    // It broke off, or sent what nobody could read to its end: that is a miss, however soon it came.
                    (_, Some(replied)) if failed[target] && replied.bid_micros.is_none() => {
                        health.missed_us[target].push((call.sent_us, until));
                    }
                    (_, Some(Asked { replied_us: Some(at), .. })) => health.heard_us[target].push(at),
                    (Some(asked), _) => health.missed_us[target].push((asked.received_us, until)),
                    (None, _) if failed[target] => health.missed_us[target].push((call.sent_us, until)),
                    (None, _) => {}
                }
            }
        }
        health.heard_us.iter_mut().for_each(|times| times.sort_unstable());
        health.missed_us.iter_mut().for_each(|times| times.sort_unstable_by_key(|(_, until)| *until));
        health
    }

    /// Whether the target had missed often enough, when this call was decided, not to be waited for.
    pub(super) fn may_be_sidelined(&self, target: usize, call: &Call) -> bool {
        let heard = &self.heard_us[target];
        let known = heard.partition_point(|at| at + BACK_WITHIN_US <= call.sent_us);
        let last_heard = known.checked_sub(1).map_or(0, |at| heard[at]);
        let decided = call.answered_us.unwrap_or(u64::MAX);
        let missed = &self.missed_us[target];
        let from = missed.partition_point(|(_, until)| *until < last_heard);
        let until = decided.saturating_add(MISS_SPAN_US);
        let possible = missed[from..].iter().take_while(|(_, latest)| *latest < until);
        possible.filter(|(earliest, _)| *earliest <= decided).take(MISSES).count() == MISSES
    }
}

/// By target: nobody was there to see the ping, or what was sent could not be read to its end.
fn failed(case: &Case<'_>, call: &Call) -> Vec<bool> {
    let mut failed = vec![false; case.market.targets.len()];
    let outcomes = case.book(call).and_then(|book| book.first()).map_or(&[][..], |step| &step.outcomes);
    for outcome in outcomes {
        let Some(target) = case.target_of(outcome) else { continue };
        failed[target] |= matches!(
            outcome.reason.as_str(),
            "connect" | "tls" | "dns" | "disconnected" | "protocol" | "too_large" | "encoding" | "timeout"
        );
    }
    failed
}

pub(super) fn check(case: &Case<'_>, health: &Health) -> Check {
    let mut check = Check::new(
        "outcomes",
        "every configured target has one outcome, final, as its bidder saw it (excluded: of a worker held up in an overload, at most one in 10,000)",
    );
    for call in case.calls.iter().filter(|call| call.is_answered()) {
        let Some(book) = case.book(call) else {
            check.wrong(|| format!("{}: no outcomes", call.carrier_call_id));
            continue;
        };
        let firsts = book.steps.iter().filter(|step| step.step == 1).count();
        let Some(first) = book.first().filter(|_| firsts == 1) else {
            check.wrong(|| format!("{}: {firsts} first steps", call.carrier_call_id));
            continue;
        };
        let mut counts: HashMap<u16, u32> = HashMap::new();
        for outcome in &first.outcomes {
            *counts.entry(outcome.target).or_default() += 1;
        }
        for step in &book.steps {
            let open = step.outcomes.iter().filter(|o| matches!(o.reason.as_str(), "pending")).count();
            let strange = step.outcomes.iter().filter(|o| case.target_of(o).is_none()).count();
            let nameless = step.outcomes.iter().filter(|o| o.reason == super::Reason::UNKNOWN).count();
            check.holds(step.is_final && open + strange + nameless == 0, || {
                format!(
                    "{} step {}: {open} outcomes are pending, {strange} of unknown targets, {nameless} no word of the list",
                    call.carrier_call_id, step.step
                )
            });
        }
        let asked = case.asked(call);
        for (target, asked) in asked.iter().enumerate() {
            check.examined += 1;
            let mut of_target = first.outcomes.iter().filter(|o| case.target_of(o) == Some(target));
            let (outcome, more) = (of_target.next(), of_target.count());
            if outcome.is_some_and(|outcome| more == 0 && case.is_held_up(call, *asked, outcome.reason)) {
                check.excluded += 1;
                continue;
            }
            let fault = match outcome {
                None => Some("has no outcome".to_owned()),
                Some(_) if more > 0 => Some(format!("has {} outcomes", more + 1)),
                Some(outcome) => {
                    let view = View { case, health, call, step: first, target, asked: *asked };
                    view.fault(outcome).map(|why| format!("is {}: {why}", outcome.reason.as_str()))
                }
            };
            check.holds(fault.is_none(), || {
                format!("{}: {} {}", call.carrier_call_id, case.name(target), fault.unwrap_or_default())
            });
        }
        one_winner(case, call, first, &mut check);
    }
    check.few_excluded(HELD_UP_OVERLOADED);
    check
}

/// Who is `won` is who was told, and nobody else is.
fn one_winner(case: &Case<'_>, call: &Call, step: &StepBook, check: &mut Check) {
    let mut won: Vec<Option<usize>> =
        step.outcomes.iter().filter(|o| o.reason.as_str() == "won").map(|o| case.target_of(o)).collect();
    let told = call.attempts.iter().filter(|attempt| attempt.step == 1);
    // Several, where they ring at once.
    let mut told: Vec<Option<usize>> =
        told.filter_map(|told| case.by_address.get(&*told.address).copied()).map(Some).collect();
    won.sort_unstable();
    told.sort_unstable();
    check.holds(won == told, || {
        let name = told.first().copied().flatten().map_or("nobody", |told| case.name(told));
        format!("{}: {name} was told, and {} outcomes are won", call.carrier_call_id, won.len())
    });
}

/// One outcome with everything it must agree with.
struct View<'a> {
    case: &'a Case<'a>,
    health: &'a Health,
    call: &'a Call,
    step: &'a StepBook,
    target: usize,
    asked: Option<Asked>,
}

impl View<'_> {
    /// What does not agree.
    fn fault(&self, outcome: &Outcome) -> Option<String> {
        if let Some(word) = self.case.market.targets[self.target].barred {
            let is_barred = outcome.reason.as_str() == word && self.asked.is_none();
            return (!is_barred).then(|| format!("a rule bars it from every call: {word}"));
        }
        match self.case.market.targets[self.target].price {
            Price::Fixed { micros } => self.fixed(outcome, micros),
            Price::Bids { max_micros, .. } => self.bids(outcome, max_micros),
        }
    }

    fn fixed(&self, outcome: &Outcome, price: i64) -> Option<String> {
        let market = self.case.market;
        let may_be = match outcome.reason.as_str() {
            "won" | "not_reached" | "cap" | "concurrency" | "hold_lost" => true,
            "lower_tier" => !market.targets[self.target].in_auction,
            "outbid" | "tie_lost" => market.targets[self.target].in_auction,
            "below_floor" => price < market.floor_micros,
            "margin" => price < market.least_micros(),
            "paused" | "buyer_paused" => market.pauses,
            _ => false,
        };
        if !may_be {
            return Some("a fixed price cannot end so in this market".to_owned());
        }
        let is_right = outcome.amount_micros.is_none_or(|amount| amount == price);
        (!is_right).then(|| "the amount is not its price".to_owned())
    }

    fn bids(&self, outcome: &Outcome, max: i64) -> Option<String> {
        let market = self.case.market;
        let bid = self.asked.and_then(|asked| asked.bid_micros);
        let replied = self.asked.and_then(|asked| asked.replied_us);
        let in_time = replied.is_some_and(|at| at <= self.case.safe_us(self.call));
        let not_asked = || self.asked.map(|_| "it was asked".to_owned());
        match outcome.reason.as_str() {
            "won" | "outbid" | "tie_lost" | "hold_lost" => self.its_bid(outcome, bid, replied),
            "below_floor" if bid.is_some_and(|bid| bid >= market.floor_micros) => {
                Some("its bid reached the floor".to_owned())
            }
            "margin" if bid.is_some_and(|bid| bid >= market.least_micros()) => {
                Some("its bid left the margin".to_owned())
            }
            "below_floor" | "margin" => self.its_bid(outcome, bid, replied),
            "above_max" => (bid.is_none_or(|bid| bid <= max)).then(|| "its bid was not above".to_owned()),
            "no_bid" => match (bid, replied) {
                (Some(bid), _) => Some(format!("it bid {}", decimal(bid))),
                (None, None) => Some("it did not reply".to_owned()),
                (None, Some(_)) => None,
            },
            "late" | "timeout" => match replied {
                Some(at) if in_time => {
                    Some(format!("it replied {} µs after the request", at - self.call.sent_us))
                }
                None if outcome.reason.as_str() == "late" => Some("it never replied".to_owned()),
                Some(_) | None => None,
            },
            "not_needed" => self.not_needed(outcome, bid, replied),
            "unresponsive" => not_asked().or_else(|| {
                let is_fair = self.health.may_be_sidelined(self.target, self.call);
                (!is_fair).then(|| "it had not missed five pings in a row".to_owned())
            }),
            "cap" | "concurrency" => not_asked(),
            "not_reached" => Some("a member of the auction is always reached".to_owned()),
            "overload" if market.overload => not_asked(),
            "paused" | "buyer_paused" if market.pauses => None,
            "connect" | "tls" | "dns" | "disconnected" | "http_status" | "redirect" | "too_large"
            | "encoding" | "malformed" | "ping_mismatch" | "bad_terms" | "bad_destination"
            | "bad_currency" | "throttled" | "protocol" => match bid {
                Some(bid) if in_time => Some(format!("it bid {} in time", decimal(bid))),
                Some(_) | None => None,
            },
            _ => Some("nobody can end so in this market".to_owned()),
        }
    }

    /// It bid this, before the auction could end.
    fn its_bid(&self, outcome: &Outcome, bid: Option<i64>, replied: Option<u64>) -> Option<String> {
        let (Some(bid), Some(replied)) = (bid, replied) else { return Some("it never bid".to_owned()) };
        if outcome.amount_micros != Some(bid) {
            let amount = outcome.amount_micros.map_or("none".to_owned(), decimal);
            return Some(format!("the amount is {amount}, and it bid {}", decimal(bid)));
        }
        let decided = self.call.answered_us.unwrap_or(u64::MAX);
        (replied > decided).then(|| "it bid after the answer".to_owned())
    }

    fn not_needed(&self, outcome: &Outcome, bid: Option<i64>, replied: Option<u64>) -> Option<String> {
        // Written, and the bidder had closed its door or was too busy to read it.
        self.asked?;
        if !self.case.market.early_close && !self.health.may_be_sidelined(self.target, self.call) {
            return Some("auctions do not end early in this market".to_owned());
        }
        let closed = self.call.sent_us + self.step.closed_in_us;
        if replied.is_some_and(|at| at + self.case.tolerance_us() < closed) {
            return Some("it replied before the auction ended".to_owned());
        }
        let is_right = outcome.amount_micros.is_none_or(|amount| Some(amount) == bid);
        (!is_right).then(|| "the amount is not its bid".to_owned())
    }
}
