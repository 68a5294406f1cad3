//! The check of caps: what was certainly held at once, or certainly owed in one day, is never above a limit, and who was
//! refused by capacity was full.
//!
//! Both in the direction that cannot accuse wrongly: an attempt certainly held from the answer read to the first word of
//! its end, and perhaps from the question sent to the acknowledgement.

use std::collections::{BTreeMap, HashMap};

use super::money::Owed;
use super::winner::Unfounded;
use super::{Attempt, Call, Case, Check, End, Said};

const DAY_US: u64 = 86_400_000_000;
/// How long an exchange may wait for late events before it gives back a unit, and some.
const LATE_EVENTS_US: u64 = 35_000_000;

/// Spans of one limit, as starts and ends.
#[derive(Default)]
struct Spans {
    starts: Vec<u64>,
    ends: Vec<u64>,
}

impl Spans {
    fn add(&mut self, from: u64, until: u64) {
        self.starts.push(from);
        self.ends.push(until);
    }

    fn sort(&mut self) {
        self.starts.sort_unstable();
        self.ends.sort_unstable();
    }

    /// Starts that found at least `limit` others in progress. An end at the moment of a start comes first.
    fn beyond(&self, limit: u32) -> u64 {
        let (mut ended, mut beyond) = (0, 0);
        for (started, at) in self.starts.iter().enumerate() {
            while self.ends.get(ended).is_some_and(|end| end <= at) {
                ended += 1;
            }
            beyond += u64::from((started + 1).saturating_sub(ended) > limit as usize);
        }
        beyond
    }

    /// No more than this was ever in progress between two moments.
    fn at_most(&self, from: u64, until: u64) -> usize {
        let started = self.starts.partition_point(|start| *start <= until);
        let ended = self.ends.partition_point(|end| *end < from);
        started.saturating_sub(ended)
    }
}

/// What is known of one target's use.
#[derive(Default)]
struct Use {
    sure: Spans,
    perhaps: Spans,
    /// Of each day.
    sure_units: HashMap<u64, Spans>,
    perhaps_units: HashMap<u64, Spans>,
}

/// The check, and refusals by capacity that cannot have been true.
pub(super) fn check(
    case: &Case<'_>,
    owed: &[Owed],
    counts: &mut BTreeMap<&'static str, i64>,
) -> (Check, Unfounded) {
    let mut check =
        Check::new("caps", "no limit was passed, and who was refused by capacity was full (days are UTC's)");
    let mut uses = uses(case, owed);
    for (target, used) in uses.iter_mut().enumerate() {
        let configured = &case.market.targets[target];
        used.sort();
        check.examined += u64::from(configured.concurrency.is_some());
        check.examined += u64::from(configured.daily_billable.is_some());
        if let Some(limit) = configured.concurrency {
            let beyond = used.sure.beyond(limit);
            if beyond > 0 {
                check.wrong(|| format!("{}: {beyond} calls beyond {limit} at once", configured.id));
            }
        }
        for (day, units) in &used.sure_units {
            let Some(limit) = configured.daily_billable else { continue };
            let beyond = units.beyond(limit);
            if beyond > 0 {
                check.wrong(|| {
                    format!("{}: {beyond} units beyond {limit} on day {day} since 1970", configured.id)
                });
            }
        }
    }
    let mut unfounded = Unfounded::new();
    for call in case.calls.iter().filter(|call| call.is_answered()) {
        let Some(step) = case.book(call).and_then(|book| book.first()) else { continue };
        for outcome in &step.outcomes {
            let word = outcome.reason.as_str();
            if !matches!(word, "cap" | "concurrency" | "hold_lost") {
                continue;
            }
            let Some(target) = case.target_of(outcome) else { continue };
            check.examined += 1;
            *counts.entry("refused by capacity").or_default() += 1;
            if !may_be_full(case, &uses[target], target, call, word) {
                unfounded.insert((call.number, target));
                check.wrong(|| {
                    format!(
                        "{}: {} was refused as {word} and had room",
                        call.carrier_call_id,
                        case.name(target)
                    )
                });
            }
        }
    }
    (check, unfounded)
}

fn may_be_full(case: &Case<'_>, used: &Use, target: usize, call: &Call, word: &str) -> bool {
    let (from, until) = (call.sent_us, call.answered_us.unwrap_or(u64::MAX));
    let configured = &case.market.targets[target];
    let at_once =
        || configured.concurrency.is_some_and(|limit| used.perhaps.at_most(from, until) >= limit as usize);
    let in_day = || {
        configured.daily_billable.is_some_and(|limit| {
            [from / DAY_US, until / DAY_US].iter().any(|day| {
                used.perhaps_units.get(day).map_or(0, |units| units.at_most(from, until)) >= limit as usize
            })
        })
    };
    match word {
        "concurrency" => at_once(),
        "cap" => in_day(),
        _ => at_once() || in_day(),
    }
}

impl Use {
    fn sort(&mut self) {
        self.sure.sort();
        self.perhaps.sort();
        self.sure_units.values_mut().chain(self.perhaps_units.values_mut()).for_each(Spans::sort);
    }

    fn attempt(&mut self, attempt: &Attempt, is_billed: bool, is_settled: bool) {
        let Attempt { asked_us, offered_us, ref end, .. } = *attempt;
        let told = end.as_ref().and_then(|end| end.told_us).unwrap_or(offered_us).max(offered_us);
        let taken = end.as_ref().and_then(|end| end.taken_us).unwrap_or(u64::MAX);
        if told > offered_us {
            self.sure.add(offered_us, told);
        }
        self.perhaps.add(asked_us, taken);
        let (first, last) = (asked_us / DAY_US, offered_us / DAY_US);
        if first == last && (is_billed || told > offered_us) {
            let until = if is_billed { u64::MAX } else { told };
            self.sure_units.entry(first).or_default().add(offered_us, until);
        }
        let may_wait = end.as_ref().is_some_and(waits_for_late_events);
        let given_back = match (is_billed || !is_settled, may_wait) {
            (true, _) => u64::MAX,
            (false, true) => taken.saturating_add(LATE_EVENTS_US),
            (false, false) => taken,
        };
        for day in first..=last {
            self.perhaps_units.entry(day).or_default().add(asked_us, given_back);
        }
    }
}

/// Its end says too little to be settled at once.
fn waits_for_late_events(end: &End) -> bool {
    end.stated_ms.is_none() && matches!(&*end.cause, "normal" | "failed") && end.bridged != Said::Taken
}

fn uses(case: &Case<'_>, owed: &[Owed]) -> Vec<Use> {
    let mut uses: Vec<Use> = case.market.targets.iter().map(|_| Use::default()).collect();
    for (call, owed) in case.calls.iter().zip(owed) {
        if call.status != 200 && call.status != 503 {
            // Nobody heard who was to take it.
            for used in &mut uses {
                used.perhaps.add(call.sent_us, u64::MAX);
                used.perhaps_units.entry(call.sent_us / DAY_US).or_default().add(call.sent_us, u64::MAX);
            }
        }
        for (at, attempt) in call.attempts.iter().enumerate() {
            let Some(target) = case.by_address.get(&*attempt.address) else { continue };
            let is_billed = matches!(owed, Owed::Bill { at: billed, .. } if *billed == at);
            uses[*target].attempt(attempt, is_billed, *owed != Owed::Unknown);
        }
    }
    uses
}
