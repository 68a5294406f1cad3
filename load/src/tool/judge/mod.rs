//! The judge: compares what carriers sent and bidders saw with what the exchange says of it.
//!
//! It works everything out anew from the scenario and the public contracts: who had to win, what is owed, how many calls
//! a target had at once. It shares no code with an exchange, so that a mistake of the exchange cannot hide in it. It
//! knows markets of one kind: a plan of one auction, then fixed prices in their order, one tier. Of rules it knows who pays
//! what, which targets they bar from every call, and the word for that; all others they let every call through to.
//!
//! [`judge`] is a pure function; [`Api`] reads the books. Nothing here places a call.

mod api;
mod books;
mod calls;
mod caps;
mod heard;
mod money;
mod outcomes;
mod paid;
#[cfg(test)]
mod tests;
mod winner;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

pub use api::{Api, Refused, own};
pub use books::{
    Books, CallBook, Counters, Entry, Outcome, REASONS, Reason, Record, StepBook, decimal, micros,
};
use heard::Pings;

use crate::seen::Seen;
pub use heard::{Attempt, Call, End, Said};

/// Examples kept of what a check found wrong.
pub const EXAMPLES_MAX: usize = 10;
/// Around a deadline, and between two programs' stamps of one thing, nobody can say what came first: unless the market
/// says otherwise, in ms.
pub const TOLERANCE_MS: u64 = 10;
/// Calls that may be excluded from the check of the winner, so many of so many.
const EXCLUDED_MAX: (u64, u64) = (5, 1_000);
/// The same where a worker that is asked for more than it can reads replies late.
const EXCLUDED_OVERLOADED: (u64, u64) = (100, 1_000);
/// Outcomes of such a worker that may be `late` by more than is tolerated: what shares its core holds it up now and then.
const HELD_UP_OVERLOADED: (u64, u64) = (1, 10_000);

/// The scenario's market, as far as it can be judged by.
#[derive(Clone, Debug, Default)]
pub struct Market {
    pub campaign: String,
    pub deadline_ms: u64,
    /// Auctions may end before the deadline once nobody who is out could win.
    pub early_close: bool,
    pub floor_micros: i64,
    /// Whoever wins an auction pays what its bid needed, and not what it bid.
    pub second_price: bool,
    /// After a failed attempt the auction is held anew, with pings of its own.
    pub re_auction: bool,
    /// Fixed, per billable call.
    pub payout_micros: i64,
    /// What must be left of a price; none where anything may be.
    pub min_margin_micros: Option<i64>,
    /// Limits that every buyer has, and no run reaches.
    pub buyer_concurrency: Option<u32>,
    pub buyer_daily_billable: Option<u32>,
    /// In the order of the plan: the auction's first.
    pub targets: Vec<Target>,
    /// Where the plan sends calls that nobody took.
    pub terminal: Option<String>,
    /// Instead of [`TOLERANCE_MS`], where programs share cores with others.
    pub tolerance_ms: Option<u64>,
    /// Part of every `carrier_call_id` of this run, and of no other run's on the same exchange.
    pub run: String,
    /// Targets or buyers are paused and resumed while it runs.
    pub pauses: bool,
    /// Pings are skipped where there are more decisions at once than the exchange takes.
    pub overload: bool,
    /// Requests may be refused with 503.
    pub refusals: bool,
    /// Reports about calls nobody knows are part of the scenario.
    pub unknown_reports: bool,
    /// Nobody else uses the exchange, so that its counters are this run's.
    pub is_alone: bool,
}

/// A target of the plan.
#[derive(Clone, Debug)]
pub struct Target {
    pub id: String,
    pub buyer: String,
    /// Of this target alone.
    pub address: String,
    pub price: Price,
    /// A member of the auction; else it is tried after it.
    pub in_auction: bool,
    /// A rule of the market keeps every call from it, and this is the word for that.
    pub barred: Option<&'static str>,
    pub concurrency: Option<u32>,
    /// In days of UTC.
    pub daily_billable: Option<u32>,
    pub min_duration_ms: u64,
}

/// What a target pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    Fixed {
        micros: i64,
    },
    /// It bids; `bidder` is its number in what bidders saw.
    Bids {
        bidder: u16,
        max_micros: i64,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    pub checks: Vec<Check>,
    /// What was looked at, by name.
    pub counts: BTreeMap<&'static str, i64>,
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    /// What must be so.
    pub says: &'static str,
    pub examined: u64,
    pub wrong: u64,
    /// Could not be told, and why is in `says`.
    pub excluded: u64,
    pub examples: Vec<String>,
}

impl Check {
    fn new(name: &'static str, says: &'static str) -> Check {
        Check { name, says, examined: 0, wrong: 0, excluded: 0, examples: Vec::new() }
    }

    fn wrong(&mut self, example: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }

    /// A check that looked at nothing has shown nothing: one of those that every run must have something for is wrong then.
    fn not_empty(&mut self, calls: u64, answered: u64) {
        match self.name {
            "answered" => self.holds(answered > 0, || format!("of {calls} calls none was answered")),
            "recorded" | "outcomes" | "winner" if answered > 0 && self.examined == 0 => {
                self.wrong(|| format!("{answered} calls were answered, and there was nothing to examine"));
            }
            _ => {}
        }
    }

    /// No more may be excluded than this share, or the check has shown too little.
    fn few_excluded(&mut self, (most, of): (u64, u64)) {
        let (excluded, examined) = (self.excluded, self.examined);
        self.holds(excluded * of <= examined * most, || {
            format!("{excluded} of {examined} are excluded, more than {most} in {of}")
        });
    }

    fn holds(&mut self, is_so: bool, example: impl FnOnce() -> String) {
        if !is_so {
            self.wrong(example);
        }
    }
}

impl Verdict {
    /// Nothing is wrong.
    pub fn is_green(&self) -> bool {
        self.checks.iter().all(|check| check.wrong == 0)
    }

    /// The check of this name.
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |check: &Check| if check.wrong == 0 { "ok" } else { "WRONG" };
        writeln!(
            f,
            "{:<12} {:<5} {:>10} {:>8} {:>8}  what must be so",
            "check", "", "examined", "wrong", "excluded"
        )?;
        for check in &self.checks {
            let Check { name, says, examined, wrong, excluded, examples } = check;
            writeln!(f, "{name:<12} {:<5} {examined:>10} {wrong:>8} {excluded:>8}  {says}", mark(check))?;
            for example in examples {
                writeln!(f, "{:<18} {example}", "")?;
            }
            let more = wrong.saturating_sub(examples.len() as u64);
            if more > 0 {
                writeln!(f, "{:<18} and {more} more", "")?;
            }
        }
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "{}", counts.join(", "))
    }
}

impl Market {
    /// The lowest price that may win.
    fn least_micros(&self) -> i64 {
        let margin = self.min_margin_micros.map_or(0, |margin| self.payout_micros.saturating_add(margin));
        self.floor_micros.max(margin)
    }

    /// Says what cannot be judged by.
    pub fn check(&self) -> Result<(), Refused> {
        let mut addresses = HashMap::new();
        let mut bidders = HashMap::new();
        for target in &self.targets {
            if let Some(other) = addresses.insert(&target.address, &target.id) {
                let address = &target.address;
                return Err(Refused::new(format!(
                    "targets {other} and {} share the address {address}: a judge cannot tell them apart",
                    target.id
                )));
            }
            if let Price::Bids { bidder, .. } = target.price {
                if let Some(other) = bidders.insert(bidder, &target.id) {
                    return Err(Refused::new(format!(
                        "targets {other} and {} share bidder {bidder}",
                        target.id
                    )));
                }
                if !target.in_auction {
                    return Err(Refused::new(format!("target {} bids outside of the auction", target.id)));
                }
            }
        }
        if self.targets.len() > usize::from(u16::MAX) {
            return Err(Refused::new(format!(
                "{} targets are more than a judge numbers",
                self.targets.len()
            )));
        }
        Ok(())
    }
}

/// Everything the checks look at, joined.
struct Case<'a> {
    market: &'a Market,
    calls: &'a [Call],
    books: &'a Books,
    pings: Pings<'a>,
    /// Targets of the market by address, by bidder, and by number in the books.
    by_address: HashMap<&'a str, usize>,
    by_bidder: HashMap<u16, usize>,
    by_book: Vec<Option<usize>>,
    /// Books by the carrier's name for the call, where its dialect does not tell the exchange's.
    by_name: HashMap<&'a str, &'a CallBook>,
}

/// What is known of a target's ping for one call.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    received_us: u64,
    replied_us: Option<u64>,
    bid_micros: Option<i64>,
}

impl<'a> Case<'a> {
    fn new(market: &'a Market, calls: &'a [Call], seen: &'a [Seen], books: &'a Books) -> Case<'a> {
        let targets = || market.targets.iter().enumerate();
        let nameless = calls.iter().any(|call| call.call_id.is_none());
        let books_named = books.calls.values().filter(|_| nameless);
        let by_name =
            books_named.flat_map(|book| book.records.iter().map(move |r| (&*r.carrier_call_id, book)));
        let by_id: HashMap<&str, usize> = targets().map(|(at, target)| (&*target.id, at)).collect();
        Case {
            market,
            calls,
            books,
            pings: Pings::new(seen),
            by_address: targets().map(|(at, target)| (&*target.address, at)).collect(),
            by_bidder: targets()
                .filter_map(|(at, target)| match target.price {
                    Price::Bids { bidder, .. } => Some((bidder, at)),
                    Price::Fixed { .. } => None,
                })
                .collect(),
            by_name: by_name.collect(),
            by_book: books.targets.iter().map(|name| by_id.get(&**name).copied()).collect(),
        }
    }

    fn book(&self, call: &Call) -> Option<&'a CallBook> {
        match &call.call_id {
            Some(call_id) => self.books.calls.get(call_id),
            None => self.by_name.get(&*call.carrier_call_id).copied(),
        }
    }

    fn target_of(&self, outcome: &Outcome) -> Option<usize> {
        self.by_book.get(usize::from(outcome.target)).copied().flatten()
    }

    /// The first step's reasons by target; none where a target has not exactly one.
    fn reasons(&self, step: &StepBook) -> Vec<Option<Reason>> {
        let mut reasons = vec![None; self.market.targets.len()];
        for outcome in &step.outcomes {
            if let Some(target) = self.target_of(outcome) {
                reasons[target] = Some(outcome.reason);
            }
        }
        reasons
    }

    /// What each target's bidder did with the call, in its first auction. A ping that came twice counts by its last reply.
    fn asked(&self, call: &Call) -> Vec<Option<Asked>> {
        let anew = call.attempts.iter().find(|attempt| self.market.re_auction && attempt.step > 1);
        let until_us = anew.map_or(u64::MAX, |anew| anew.asked_us);
        self.asked_while(call, |ping| ping.received_us < until_us)
    }

    /// The same by those of the call's pings.
    fn asked_while(&self, call: &Call, is_of: impl Fn(&Seen) -> bool) -> Vec<Option<Asked>> {
        let mut asked: Vec<Option<Asked>> = vec![None; self.market.targets.len()];
        for ping in self.pings.of(call.number).filter(|ping| is_of(ping)) {
            let Some(target) = self.by_bidder.get(&ping.bidder) else { continue };
            let known =
                asked[*target].get_or_insert(Asked { received_us: ping.received_us, ..Asked::default() });
            if ping.replied_us >= known.replied_us {
                known.replied_us = ping.replied_us;
                known.bid_micros = ping.bid_cents.map(|cents| i64::from(cents) * 10_000);
            }
        }
        asked
    }

    /// An overloaded worker read the reply of this target later than is tolerated.
    fn is_held_up(&self, call: &Call, asked: Option<Asked>, reason: Reason) -> bool {
        let replied = asked.and_then(|asked| asked.replied_us);
        self.market.overload
            && reason.as_str() == "late"
            && replied.is_some_and(|at| at <= self.safe_us(call))
    }

    fn tolerance_us(&self) -> u64 {
        self.market.tolerance_ms.unwrap_or(TOLERANCE_MS) * 1_000
    }

    fn deadline_us(&self) -> u64 {
        self.market.deadline_ms * 1_000
    }

    /// A reply written by then was in time.
    fn safe_us(&self, call: &Call) -> u64 {
        (call.sent_us + self.deadline_us()).saturating_sub(self.tolerance_us())
    }

    /// A reply written after this was late: the exchange had the request when it sent the first ping of it.
    fn late_us(&self, call: &Call, asked: &[Option<Asked>]) -> u64 {
        let first = asked.iter().flatten().map(|asked| asked.received_us).min();
        first.or(call.answered_us).unwrap_or(call.sent_us) + self.deadline_us()
    }

    /// What a target offers for this call, in micro-units, as far as it said so.
    fn price(&self, target: usize, asked: &[Option<Asked>]) -> Option<i64> {
        match self.market.targets[target].price {
            Price::Fixed { micros } => Some(micros),
            Price::Bids { .. } => asked[target].and_then(|asked| asked.bid_micros),
        }
    }

    fn name(&self, target: usize) -> &'a str {
        &self.market.targets[target].id
    }
}

/// Compares. The carriers' calls are all of the run, in any order.
pub fn judge(market: &Market, calls: &[Call], seen: &[Seen], books: &Books) -> Verdict {
    let case = Case::new(market, calls, seen, books);
    let mut counts = BTreeMap::new();
    let owed = money::owed(&case);
    let (caps, refusals) = caps::check(&case, &owed, &mut counts);
    let health = outcomes::Health::new(&case);
    let mut checks = vec![
        calls::answered(&case, &mut counts),
        calls::recorded(&case),
        outcomes::check(&case, &health),
        winner::check(&case, &health, &refusals, &mut counts),
        money::check(&case, &owed, &mut counts),
        caps,
        calls::repeats(&case),
        calls::unexplained(&case, &mut counts),
    ];
    let answered = calls.iter().filter(|call| call.is_answered()).count() as u64;
    checks.iter_mut().for_each(|check| check.not_empty(calls.len() as u64, answered));
    Verdict { checks, counts }
}
