//! What must hold in every world at every step, and the model it is held against.
//!
//! The model is told what carriers sent and heard, what buyers saw and said, and every row that leaves for the disk. It
//! counts units, judges ends and books money by a few lines of its own; the exchange's gauges are only looked at to be
//! compared. The first thing that does not hold is kept: what follows from it would only hide it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outcry::capacity::{Basis, CapKey, Entity};
use outcry::domain::catalog::{Disclosure, Pricing};
use outcry::domain::schedule::day_window;
use outcry::domain::{
    CallId, Catalog, Money, Payout, PingId, Plan, Reason, Target, TargetIx, Terminal, Timestamp,
};
use outcry::records::row::{
    AttemptRow, DecidedRow, EndFacts, EndedRow, EventRow, LedgerRow, OutcomeRow, Row, TrailRow,
};
use outcry::runtime::Clock;
use outcry::state::capacity::Gauges;
use serde_json::Value;

use super::market::{CARRIERS, TEST_ADDRESS};
use super::world::CallPlan;

/// What is promised of every world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A carrier hears within its ceiling, whatever happens.
    Answered,
    /// A decision ends within 5 ms of the close of its auctions.
    InTime,
    /// A call is decided once, and every repeat gets the same bytes.
    SameBytes,
    /// Answer, record and terms say the same.
    Agrees,
    /// No limit in force at a decision is exceeded by what was handed out.
    Caps,
    /// Every target of a plan has one outcome in one final record.
    OneOutcome,
    /// Every call has one terminal record, and in time.
    OneEnd,
    /// Who owes what follows from what was reported, and every group balances.
    Money,
    /// A bid that landed after the close does not win; one that landed before it is not late.
    LateBid,
    /// A connection that owes a reply carries no further ping.
    Owing,
    /// A caller's number reaches no buyer that may not see it.
    Privacy,
    /// What was acknowledged was written.
    Durable,
    /// When everything has ended nothing is held, open or waiting.
    AtRest,
    /// No fence caught a bug.
    NoBug,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// Virtual time since the start.
    pub after: Duration,
    /// By what.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} broken after {} ms: {}", self.promise, self.after.as_millis(), self.what)
    }
}

/// How much happened.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub calls: u64,
    pub requests: u64,
    pub pings: u64,
    pub events: u64,
    pub attempts: u64,
    pub billable: u64,
    pub bytes: u64,
    /// Events that were not on disk in time and came again.
    pub not_durable: u64,
    /// Final outcomes of targets, and ends of calls, by reason.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.calls += other.calls;
        self.requests += other.requests;
        self.pings += other.pings;
        self.events += other.events;
        self.attempts += other.attempts;
        self.billable += other.billable;
        self.bytes += other.bytes;
        self.not_durable += other.not_durable;
        for (reason, many) in &other.reasons {
            *self.reasons.entry(reason).or_insert(0) += many;
        }
    }
}

/// A ping as its buyer saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub n: u32,
    pub target: String,
    pub ping: String,
    pub at: Timestamp,
    pub deadline_ms: u64,
    /// The connection had carried another before.
    pub is_reused: bool,
    /// It never came to a byte of an answer, so it may come again.
    pub is_void: bool,
}

/// A reply as its buyer sent it.
#[derive(Clone, Debug)]
pub struct Said {
    pub n: u32,
    pub target: String,
    /// When its last byte was written.
    pub landed: Timestamp,
    /// What it bids, where it is a bid as the contract has it.
    pub bid: Option<Bid>,
}

/// A bid.
#[derive(Clone, Debug)]
pub struct Bid {
    /// Cut to cents.
    pub micros: i64,
    pub min_duration_s: Option<u64>,
    pub destination: Option<String>,
}

/// An event as its carrier sent it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub n: u32,
    pub kind: &'static str,
    pub attempt: Option<u32>,
    pub at: Timestamp,
    pub end: Option<(&'static str, &'static str, Option<u64>)>,
}

/// One attempt, as the model knows it.
#[derive(Clone, Debug)]
struct Leg {
    /// Who rings; nobody of the market for the plan's own destination and for test calls.
    target: Option<String>,
    keys: Vec<CapKey>,
    price: i64,
    min_duration_ms: u64,
    payout: Option<Payout>,
    test: bool,
    patience: (Duration, Duration),
    answered: Option<Timestamp>,
    bridged: Option<Timestamp>,
    end: Option<End>,
    judge_at: Option<Timestamp>,
    expires: Timestamp,
    has_slot: bool,
    expired: bool,
    settled: bool,
    billed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    inferred: bool,
    no_talk: bool,
    at: Timestamp,
    talk: u64,
    cause: &'static str,
}

/// What one call has come to.
#[derive(Default)]
struct Known {
    /// What carriers heard, by step.
    answers: BTreeMap<u32, Bytes>,
    asked: Option<Timestamp>,
    decided: Option<Box<DecidedRow>>,
    /// When the auctions of each step close.
    closes: BTreeMap<u32, Timestamp>,
    /// Steps that were asked for after the first.
    steps: u32,
    pings: Vec<Seen>,
    said: Vec<Said>,
    finals: BTreeSet<u32>,
    trails: u32,
    outcomes: Vec<OutcomeRow>,
    legs: BTreeMap<u32, Leg>,
    /// Attempts that were handed out, by number.
    attempts: BTreeMap<u32, AttemptRow>,
    ends: Vec<EndedRow>,
    owed: Vec<(String, String, i64)>,
    booked: Vec<(String, String, i64)>,
    events: BTreeSet<String>,
}

/// The model.
pub struct Check {
    clock: Clock,
    start: Timestamp,
    late_events: Duration,
    linger: Duration,
    keep_ended: Duration,
    is_traced: bool,
    /// Every line of what happened, where it is wanted.
    pub trace: Vec<String>,
    pub counts: Counts,
    broken: Option<Broken>,
    catalogs: HashMap<String, Arc<Catalog>>,
    calls: BTreeMap<u32, Known>,
    by_id: HashMap<CallId, u32>,
    by_ping: HashMap<String, u32>,
    sent: HashMap<(u32, String), Sent>,
    current: Option<Arc<Catalog>>,
    units: BTreeMap<CapKey, Units>,
    open: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Units {
    held: u32,
    posted: u32,
    unresolved: u32,
}

/// The times of the exchange's rules that the model needs.
#[derive(Clone, Copy)]
pub struct Times {
    pub late_events: Duration,
    pub linger: Duration,
    pub keep_ended: Duration,
}

const UNANSWERED_SLACK: Duration = Duration::from_secs(20);
const ANSWERED_SLACK: Duration = Duration::from_secs(60);
/// How long after its time the sweep may look at a call.
const SWEPT: Duration = Duration::from_secs(2);
/// A goodbye is said once its rows are on disk.
const COMMIT: Duration = Duration::from_secs(5);
/// What a decision may take beyond the close.
const SLACK: Duration = Duration::from_millis(5);

impl Check {
    pub fn new(clock: Clock, times: Times, is_traced: bool) -> Check {
        Check {
            start: clock.now(),
            clock,
            late_events: times.late_events,
            linger: times.linger,
            keep_ended: times.keep_ended,
            is_traced,
            trace: Vec::new(),
            counts: Counts::default(),
            broken: None,
            catalogs: HashMap::new(),
            calls: BTreeMap::new(),
            by_id: HashMap::new(),
            by_ping: HashMap::new(),
            sent: HashMap::new(),
            current: None,
            units: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    /// The first promise that was broken.
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// Notes a broken promise, unless one was before.
    pub fn broke(&mut self, promise: Promise, what: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { promise, after: self.clock.now().since(self.start), what });
        }
    }

    fn must(&mut self, holds: bool, promise: Promise, what: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broke(promise, what());
        }
    }

    /// A line of the trace.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.is_traced {
            let at = self.clock.now().since(self.start).as_micros();
            self.trace.push(format!("{at} {}", line()));
        }
    }

    /// A catalog came into force.
    pub fn in_force(&mut self, catalog: &Catalog) {
        self.note(|| format!("catalog {}", catalog.digest));
        let catalog = Arc::new(catalog.clone());
        self.current = Some(Arc::clone(&catalog));
        self.catalogs.insert(catalog.digest.clone(), catalog);
    }

    fn known(&mut self, n: u32) -> &mut Known {
        self.calls.entry(n).or_default()
    }

    // What carriers do and hear.

    /// A request for a call is on its way; its last byte leaves now.
    pub fn asked(&mut self, plan: &CallPlan) {
        self.counts.requests += 1;
        let now = self.clock.now();
        self.known(plan.n).asked.get_or_insert(now);
    }

    /// A carrier heard this, so many milliseconds after its request.
    pub fn answered(&mut self, plan: &CallPlan, status: u16, body: &Bytes, took: Duration) {
        let n = plan.n;
        self.note(|| format!("answer {n} {status} {}", String::from_utf8_lossy(body)));
        self.counts.bytes += body.len() as u64;
        self.must(status == 200, Promise::Answered, || format!("call {n} heard {status}"));
        let ceiling = Duration::from_millis(CARRIERS[plan.carrier].2);
        self.must(took <= ceiling, Promise::Answered, || {
            format!("call {n} waited {} ms of {} ms", took.as_millis(), ceiling.as_millis())
        });
        self.heard(plan, 1, body);
    }

    /// The answer of a step: the same bytes every time.
    fn heard(&mut self, plan: &CallPlan, step: u32, body: &Bytes) {
        let n = plan.n;
        match self.known(n).answers.get(&step).cloned() {
            None => {
                self.known(n).answers.insert(step, body.clone());
                self.agree(plan, step);
            }
            Some(first) => self.must(first == *body, Promise::SameBytes, || {
                format!("step {step} of call {n} heard {first:?} and then {body:?}")
            }),
        }
    }

    /// A carrier asks for the step after this one; what it tells of the attempts is registered with `sends`.
    pub fn asks_on(&mut self, plan: &CallPlan, step: u32) {
        self.counts.requests += 1;
        let now = self.clock.now();
        let catalog = self.current.clone().expect("a catalog is in force");
        let line = catalog.numbers.iter().find(|line| line.number.reveal() == plan.to);
        let known = self.known(plan.n);
        known.steps = known.steps.max(step);
        if let Some(line) = line {
            let ceiling = Duration::from_millis(CARRIERS[plan.carrier].2 - 100);
            let closes = now.after(catalog.campaign(line.campaign).deadline.min(ceiling));
            known.closes.entry(step + 1).or_insert(closes);
        }
    }

    /// A carrier heard this about its next step.
    pub fn answered_on(&mut self, plan: &CallPlan, step: u32, status: u16, body: &Bytes, took: Duration) {
        let n = plan.n;
        self.note(|| format!("step {n} {step} {status} {}", String::from_utf8_lossy(body)));
        match status {
            200 => {
                let most = Duration::from_millis(CARRIERS[plan.carrier].2) + COMMIT;
                self.must(took <= most, Promise::Answered, || {
                    format!("step {step} of call {n} waited {} ms", took.as_millis())
                });
                self.heard(plan, step, body);
            }
            _ => self.acknowledged(n, "next", status),
        }
    }

    /// A carrier is about to send an event, perhaps not for the first time.
    pub fn sends(&mut self, event_id: &str, sent: Sent) {
        self.counts.bytes += 150;
        self.sent.entry((sent.n, event_id.to_owned())).or_insert(sent);
    }

    /// A carrier heard this about its event; whether it may try again is its business.
    pub fn acknowledged(&mut self, n: u32, event_id: &str, status: u16) {
        self.note(|| format!("event {event_id} {status}"));
        let now = self.clock.now();
        let keep_ended = self.keep_ended;
        let known = self.known(n);
        let (is_written, over) =
            (known.events.contains(event_id), known.ends.last().map(|end| end.end.ended_at));
        let what = || format!("event {event_id} of call {n} heard {status}");
        match status {
            200 => self.must(is_written, Promise::Durable, what),
            404 => self.must(
                over.is_some_and(|over| over.after(keep_ended) <= now.after(SWEPT)),
                Promise::Durable,
                what,
            ),
            503 => self.counts.not_durable += 1,
            _ => self.must(false, Promise::Durable, what),
        }
    }

    /// Something that must be refused was answered so.
    pub fn refused(&mut self, what: &str, status: u16, expected: u16) {
        self.note(|| format!("refused {what} {status}"));
        self.must(status == expected || status == 404, Promise::Durable, || {
            format!("{what} heard {status} instead of {expected}")
        });
    }

    // What buyers see and say.

    /// A ping was read to its end.
    pub fn pinged(&mut self, seen: Seen, disclosed: bool) {
        let n = seen.n;
        self.note(|| format!("ping {n} {} {} {}", seen.target, seen.ping, seen.deadline_ms));
        self.counts.pings += 1;
        self.must(!disclosed, Promise::Privacy, || format!("{} saw the caller of call {n}", seen.target));
        let known = self.known(n);
        let again = known.pings.iter().any(|other| other.ping == seen.ping && !other.is_void);
        known.pings.push(seen.clone());
        self.by_ping.insert(seen.ping.clone(), n);
        self.must(!again, Promise::OneOutcome, || format!("ping {} of call {n} came twice", seen.ping));
    }

    /// The buyer gave no byte of an answer: the same ping may come on another connection.
    pub fn void(&mut self, n: u32, ping: &str) {
        for seen in self.known(n).pings.iter_mut().filter(|seen| seen.ping == ping) {
            seen.is_void = true;
        }
    }

    /// A ping that finds a connection is with its buyer at once: one that comes later waited behind something.
    fn on_its_way(&mut self, n: u32, row: &TrailRow) {
        let known = self.calls.entry(n).or_default();
        let closes = known.closes.get(&row.step).copied().unwrap_or(row.keys.at);
        let pings = row.outcomes.iter().filter_map(|outcome| outcome.ping.map(|ping| ping.to_string()));
        let mut behind = None;
        for ping in pings {
            let mut seen = known.pings.iter().filter(|seen| seen.ping == ping);
            // Of one that came twice the first was on a connection that its peer was closing.
            if let (Some(seen), None) = (seen.next(), seen.next()) {
                let rendered = closes.before(Duration::from_millis(seen.deadline_ms + 3));
                let waited = seen.at.since(rendered);
                if seen.is_reused && waited > Duration::from_millis(3) {
                    behind = Some((seen.target.clone(), waited));
                }
            }
        }
        if let Some((target, waited)) = behind {
            let waited = waited.as_millis();
            self.broke(
                Promise::Owing,
                format!(
                    "a ping of call {n} reached {target} {waited} ms after it was made, on a used connection"
                ),
            );
        }
    }

    /// A reply's last byte was written.
    pub fn said(&mut self, said: Said) {
        let n = said.n;
        self.note(|| format!("reply {n} {} {:?}", said.target, said.bid));
        self.known(n).said.push(said);
    }

    // What is written down.

    /// Rows that leave for the disk together.
    pub fn rows(&mut self, rows: &[Row], plan: &dyn Fn(u32) -> CallPlan) {
        for row in rows {
            self.note(|| format!("row {row:?}"));
            match row {
                Row::Decided(row) => self.decided(row, plan),
                Row::Trail(row) => self.trail(row),
                Row::Event(row) => self.event(row),
                Row::Ended(row) => self.ended(row),
                Row::Ledger(row) => self.ledger(row),
                Row::Attempt(row) => self.attempt(row, plan),
                Row::Catalog(_) | Row::Change(_) => {}
            }
        }
        for row in rows {
            if let Row::Event(event) = row {
                self.must_be_judged(event.call_id);
            }
        }
    }

    fn decided(&mut self, row: &DecidedRow, plan: &dyn Fn(u32) -> CallPlan) {
        let Some(n) = row.carrier_call_id.strip_prefix("sim-").and_then(|n| n.parse::<u32>().ok()) else {
            return self.broke(Promise::Agrees, format!("nobody asked about {}", row.carrier_call_id));
        };
        let plan = plan(n);
        self.counts.calls += 1;
        let id = row.keys.call_id;
        let before = self.known(n).decided.is_some();
        self.must(!before, Promise::SameBytes, || format!("call {n} was decided twice"));
        self.must(row.reason != Reason::InternalError, Promise::NoBug, || {
            format!("call {n}: an internal error")
        });
        let Some(catalog) = self.catalogs.get(&row.catalog).cloned() else {
            return self.broke(Promise::Agrees, format!("call {n} was decided by an unknown catalog"));
        };
        let deadline = row.keys.campaign.as_ref().map(|id| {
            let campaign = catalog.campaigns.iter().find(|campaign| campaign.id == *id).expect("configured");
            campaign.deadline
        });
        let ceiling = Duration::from_millis(CARRIERS[plan.carrier].2 - 100);
        let closes = row.keys.at.after(deadline.map_or(ceiling, |deadline| deadline.min(ceiling)));
        let took = Duration::from_micros(row.decided_us);
        let most = closes.after(SLACK).since(row.keys.at);
        self.must(took <= most && self.clock.now() <= closes.after(SLACK), Promise::InTime, || {
            format!("call {n} was decided in {} µs of {} µs", took.as_micros(), most.as_micros())
        });
        self.by_id.insert(id, n);
        let known = self.known(n);
        known.closes.insert(1, closes);
        known.decided = Some(Box::new(row.clone()));
        self.agree(&plan, 1);
    }

    /// An attempt was handed out, or its end is known.
    fn attempt(&mut self, row: &AttemptRow, plan: &dyn Fn(u32) -> CallPlan) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self
                .broke(Promise::OneEnd, format!("an attempt of {} before its decision", row.keys.call_id));
        };
        if let Some(end) = &row.end {
            return self.attempt_ended(n, row, end);
        }
        let Some(catalog) = self.catalogs.get(&row.catalog).cloned() else {
            return self.broke(Promise::Agrees, format!("call {n} was handed out by an unknown catalog"));
        };
        let plan = plan(n);
        self.late_bid(n, row, &catalog);
        let leg = self.leg(n, row, &plan, &catalog);
        let known = self.known(n);
        let first = known.attempts.insert(row.attempt, row.clone()).is_none();
        let again = known
            .attempts
            .values()
            .filter(|other| other.target == row.target && other.target.is_some())
            .count();
        known.legs.insert(row.attempt, leg);
        self.must(first && again < 2, Promise::Agrees, || {
            format!("attempt {} of call {n} came again", row.attempt)
        });
        // Terms are those of the decision; whether there is room is asked of what is in force now.
        let current = self.current.clone().unwrap_or(catalog);
        self.hand_out(n, row.attempt, &current);
        self.open.insert(n);
        self.agree(&plan, row.step);
    }

    /// A bid wins only if it landed before the close, at what it said.
    fn late_bid(&mut self, n: u32, row: &AttemptRow, catalog: &Catalog) {
        let (Some(target), Some(price)) = (&row.target, row.price) else { return };
        let target = find(catalog, target.as_str());
        match &target.pricing {
            Pricing::Fixed(fixed) => {
                // An offer that was beaten stands at the price of the decision.
                let decided = self.calls.get(&n).and_then(|known| known.decided.as_ref());
                let stood = decided.map(|decided| find(&self.catalogs[&decided.catalog], target.id.as_str()));
                let stands = stood
                    .is_some_and(|stood| matches!(stood.pricing, Pricing::Fixed(before) if before == price));
                let agreed = *fixed == price || row.step > 1 && stands;
                self.must(agreed, Promise::Money, || {
                    format!("call {n} went to {} at {price} instead of {fixed}", target.id)
                });
            }
            Pricing::Endpoint(_) => {
                let known = self.calls.entry(n).or_default();
                // An offer of an earlier step may still stand.
                let said = &known.said;
                let closes =
                    known.closes.range(..=row.step).next_back().map_or(row.keys.at, |(_, closes)| *closes);
                let bid = said.iter().find(|said| said.target == target.id.as_str() && said.bid.is_some());
                let in_time = bid.is_some_and(|said| said.landed < closes);
                let agreed =
                    bid.and_then(|said| said.bid.as_ref()).is_some_and(|bid| bid.micros == price.micros());
                let landed = bid.map(|said| said.landed.micros() - closes.micros());
                self.must(in_time, Promise::LateBid, || {
                    format!("call {n} went to {}, whose bid landed {landed:?} µs after the close", target.id)
                });
                self.must(agreed, Promise::Money, || format!("call {n}: {} never bid {price}", target.id));
            }
        }
    }

    /// An attempt, by its own record.
    fn leg(&self, n: u32, row: &AttemptRow, plan: &CallPlan, catalog: &Catalog) -> Leg {
        let now = self.clock.now();
        let mut leg = Leg {
            target: row.target.as_ref().map(|target| target.to_string()),
            keys: Vec::new(),
            price: row.price.map_or(0, Money::micros),
            min_duration_ms: 0,
            payout: None,
            test: row.test,
            patience: (
                Duration::from_secs(30) + UNANSWERED_SLACK,
                Duration::from_secs(14_400) + ANSWERED_SLACK,
            ),
            answered: None,
            bridged: None,
            end: None,
            judge_at: None,
            expires: now,
            has_slot: false,
            expired: false,
            settled: false,
            billed: false,
        };
        if let Some(id) = &row.target {
            let target = find(catalog, id.as_str());
            let buyer = catalog.buyer(target.buyer);
            let said = self.calls.get(&n).into_iter().flat_map(|known| &known.said);
            let bid = said.filter(|said| said.target == id.as_str()).find_map(|said| said.bid.as_ref());
            let min = bid.and_then(|bid| bid.min_duration_s).map(Duration::from_secs);
            leg.min_duration_ms = min.unwrap_or(target.min_duration).as_millis() as u64;
            leg.patience = (target.ring + UNANSWERED_SLACK, target.max_talk + ANSWERED_SLACK);
            let line = catalog.numbers.iter().find(|line| line.number.reveal() == plan.to).expect("a line");
            // The publisher keeps what the decision promised, whoever takes the call in the end.
            let decided = self.calls.get(&n).and_then(|known| known.decided.as_ref());
            let promised = decided.map_or(catalog, |decided| &self.catalogs[&decided.catalog]);
            leg.payout = Some(*promised.payout(line.publisher, line.campaign));
            if !row.test {
                let day = day_window(&buyer.zone, now).start;
                for entity in [Entity::Buyer(buyer.id.clone()), Entity::Target(target.id.clone())] {
                    let epoch = Timestamp::default();
                    leg.keys.push(CapKey {
                        entity: entity.clone(),
                        basis: Basis::Concurrency,
                        window: epoch,
                    });
                    leg.keys.push(CapKey { entity, basis: Basis::BillableDay, window: day });
                }
                leg.has_slot = true;
            }
        }
        leg.expires = now.after(leg.patience.0);
        leg
    }

    /// Counts what was handed out against the limits it was handed out under.
    fn hand_out(&mut self, n: u32, attempt: u32, catalog: &Catalog) {
        self.counts.attempts += 1;
        if let Some(leg) = self.known(n).legs.get(&attempt).cloned() {
            for key in &leg.keys {
                let limits = match &key.entity {
                    Entity::Buyer(id) => {
                        catalog.buyers.iter().find(|buyer| buyer.id == *id).map(|buyer| buyer.limits)
                    }
                    Entity::Target(id) => Some(find(catalog, id.as_str()).limits),
                };
                let limits = limits.expect("configured");
                let limit = match key.basis {
                    Basis::Concurrency => limits.concurrency,
                    Basis::BillableDay => limits.daily_billable,
                };
                let units = self.units.entry(key.clone()).or_default();
                units.held += 1;
                let used = units.held + units.posted + units.unresolved;
                self.must(limit.is_none_or(|limit| used <= limit), Promise::Caps, || {
                    format!("call {n} is number {used} of {limit:?} for {key}")
                });
            }
        }
    }

    /// The carrier's bytes and the records of the step say the same.
    fn agree(&mut self, plan: &CallPlan, step: u32) {
        let n = plan.n;
        let known = self.known(n);
        let (Some(answer), Some(row)) = (known.answers.get(&step).cloned(), known.decided.clone()) else {
            return;
        };
        let attempt = known.attempts.values().find(|attempt| attempt.step == step).cloned();
        let said = known.said.clone();
        let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let same = value["call_id"] == row.keys.call_id.to_string() && value["step"] == step;
        let first = value["action"] == row.action
            && value["basis"] == row.basis
            && value["reason"] == row.reason.as_str();
        self.must(same && (step > 1 || first), Promise::Agrees, || {
            format!("call {n}: {value} is not {row:?}")
        });
        let Some(attempt) = attempt.filter(|_| value["action"] == "dial") else { return };
        // What is left of the ring budget may be less than the target's own ring time.
        let rings = Duration::from_secs(value["targets"][0]["ring_s"].as_u64().unwrap_or(0));
        let leg = self.known(n).legs.get_mut(&attempt.attempt);
        if let Some(leg) = leg.filter(|leg| leg.answered.is_none() && leg.bridged.is_none()) {
            leg.expires = leg.expires.min(attempt.offered_at.after(rings + UNANSWERED_SLACK));
        }
        let address = value["targets"][0]["address"].as_str().unwrap_or_default().to_owned();
        let expected = match &attempt.target {
            _ if attempt.test => TEST_ADDRESS.to_owned(),
            None => "+16025550160".to_owned(),
            Some(id) => {
                let catalog = &self.catalogs[&attempt.catalog];
                let bid =
                    said.iter().filter(|said| said.target == id.as_str()).find_map(|said| said.bid.as_ref());
                let chosen = bid.and_then(|bid| bid.destination.clone());
                chosen.unwrap_or_else(|| find(catalog, id.as_str()).address.reveal())
            }
        };
        let agrees = address == expected && value["targets"][0]["attempt"] == attempt.attempt;
        self.must(agrees, Promise::Agrees, || {
            format!("step {step} of call {n} was sent to another address than {:?} has", attempt.target)
        });
    }

    fn trail(&mut self, row: &TrailRow) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self
                .broke(Promise::OneOutcome, format!("a trail of {} before its decision", row.keys.call_id));
        };
        let (linger, known) = (self.linger, self.calls.entry(n).or_default());
        let decided = known.decided.as_ref().expect("decided, since its id is known");
        let catalog = &self.catalogs[&decided.catalog];
        let planned = planned(catalog, &row.plan);
        let closes = known.closes.get(&row.step).copied().unwrap_or(row.keys.at);
        let named: Vec<&str> = row.outcomes.iter().map(|outcome| outcome.target.as_str()).collect();
        let mut faults = Vec::new();
        if known.finals.contains(&row.step) {
            faults.push("it was final before".to_owned());
        }
        let is_part =
            named.iter().enumerate().all(|(at, one)| planned.contains(one) && !named[..at].contains(one));
        if row.step == 1 && named != planned || !is_part {
            faults.push(format!("it names {named:?} and the plan has {planned:?}"));
        }
        let pending = row.outcomes.iter().filter(|outcome| outcome.reason == Reason::Pending).count();
        if row.is_final != (pending == 0) {
            faults.push(format!("{pending} outcomes are pending"));
        }
        let won: Vec<&str> =
            row.outcomes.iter().filter(|o| o.reason == Reason::Won).map(|o| o.target.as_str()).collect();
        // What a later step found is not handed out to a caller who left meanwhile.
        let handed_out = known.attempts.values().find(|attempt| attempt.step == row.step);
        let took = match handed_out {
            Some(attempt) => attempt.target.as_ref(),
            None => decided.target.as_ref(),
        };
        let is_known = row.step == 1 || handed_out.is_some();
        if is_known && won != took.map(|target| target.as_str()).into_iter().collect::<Vec<_>>() {
            faults.push(format!("{won:?} won and {took:?} took it"));
        }
        let mut late = Vec::new();
        if row.is_final {
            for outcome in &row.outcomes {
                let asked = outcome.ping.is_some();
                let said =
                    known.said.iter().find(|said| said.target == outcome.target.as_str()).filter(|_| asked);
                let Some(said) = said else { continue };
                let is_late = matches!(outcome.reason, Reason::Late | Reason::Timeout);
                let in_time = said.landed < closes;
                let ended = row.keys.at.after(Duration::from_micros(row.closed_us)).min(closes);
                // Of a walk with two auctions nobody says when the first one ended.
                let is_told_when = row.step == 1 && row.plan != "home";
                let lingers =
                    if is_told_when { ended.after(linger).before(Duration::from_millis(5)) } else { closes };
                let is_told = matches!(outcome.reason, Reason::Late | Reason::NotNeeded);
                if in_time && is_late || !in_time && said.landed < lingers && !is_told {
                    late.push(format!(
                        "call {n}: the reply of {} landed {} µs after the close and is {}",
                        outcome.target,
                        said.landed.micros() - closes.micros(),
                        outcome.reason
                    ));
                }
            }
            known.finals.insert(row.step);
            known.outcomes.extend(row.outcomes.iter().cloned());
        }
        known.trails += 1;
        if row.is_final {
            self.on_its_way(n, row);
            for outcome in &row.outcomes {
                *self.counts.reasons.entry(outcome.reason.as_str()).or_insert(0) += 1;
            }
        }
        for fault in faults {
            self.broke(Promise::OneOutcome, format!("the trail of call {n}: {fault}"));
        }
        for fault in late {
            self.broke(Promise::LateBid, fault);
        }
    }

    fn sent_by(&self, row: &EventRow) -> Option<Sent> {
        let n = *self.by_id.get(&row.call_id)?;
        self.sent.get(&(n, row.event_id.clone())).cloned()
    }

    fn event(&mut self, row: &EventRow) {
        self.counts.events += 1;
        let (Some(n), Some(sent)) = (self.by_id.get(&row.call_id).copied(), self.sent_by(row)) else {
            return self.broke(Promise::Durable, format!("nobody sent event {}", row.event_id));
        };
        let same =
            sent.n == n && sent.kind == row.kind && sent.attempt == row.attempt && Some(sent.at) == row.at;
        self.must(same, Promise::Durable, || format!("event {} is not as it was sent", row.event_id));
        let late_events = self.late_events;
        let known = self.calls.entry(n).or_default();
        known.events.insert(row.event_id.clone());
        let mut freed = Vec::new();
        for (number, leg) in &mut known.legs {
            let is_concerned = sent.attempt.is_none_or(|attempt| attempt == *number);
            if is_concerned && !leg.settled {
                leg.join(&sent, row.received, late_events);
                if leg.end.is_some() {
                    freed.extend(leg.free());
                }
            }
        }
        self.free(&freed);
    }

    fn free(&mut self, keys: &[CapKey]) {
        for key in keys {
            self.units.entry(key.clone()).or_default().held -= 1;
        }
    }

    fn ended(&mut self, row: &EndedRow) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self
                .broke(Promise::OneEnd, format!("an end of {} before its decision", row.keys.call_id));
        };
        let now = self.clock.now();
        *self.counts.reasons.entry(row.end.reason.as_str()).or_insert(0) += 1;
        let known = self.calls.entry(n).or_default();
        known.ends.push(row.clone());
        let (at, first) = (known.ends.len(), known.ends.len() == 1);
        let test = known.decided.as_ref().is_some_and(|decided| decided.test);
        let counted = i64::from(first && !test);
        let is_left = known.legs.values().any(|leg| !leg.settled && !leg.expired);
        let (dialled, billed) = (known.legs.len(), known.legs.values().any(|leg| leg.billed));
        self.must(row.counts.ended == counted, Promise::OneEnd, || {
            format!("end {at} of call {n} is counted wrong")
        });
        self.must(row.end.ended_at <= now, Promise::OneEnd, || format!("call {n} ends in the future"));
        self.must(!is_left, Promise::OneEnd, || format!("call {n} ended before its attempts"));
        self.must(dialled > 0 || first && row.target.is_none(), Promise::OneEnd, || {
            format!("call {n} ended {at} times")
        });
        self.must(row.end.billable == billed, Promise::Money, || {
            format!("call {n}: billed {billed}, and {row:?}")
        });
    }

    /// The end of one attempt.
    fn attempt_ended(&mut self, n: u32, row: &AttemptRow, end: &EndFacts) {
        let now = self.clock.now();
        let known = self.calls.entry(n).or_default();
        // Who asks for the next step waits for nothing more of the last.
        let is_over = known.steps >= row.step;
        let Some(leg) = known.legs.get(&row.attempt) else {
            return self.broke(Promise::OneEnd, format!("attempt {} of call {n} never was", row.attempt));
        };
        match leg.judge(now, false).or_else(|| leg.judge(now, is_over)) {
            None => self.expired(n, row.attempt, end, now),
            Some(talk_ms) => self.settled(n, row, end, talk_ms),
        }
    }

    /// The end of an attempt that nobody reported.
    fn expired(&mut self, n: u32, attempt: u32, row: &EndFacts, now: Timestamp) {
        let known = self.calls.entry(n).or_default();
        let Some(leg) = known.legs.get_mut(&attempt) else { return };
        let reason = if leg.target.is_some() { Reason::Unresolved } else { Reason::NoTaker };
        let is_due =
            leg.end.is_none() && !leg.expired && leg.expires <= now && row.reason == reason && !row.billable;
        let (freed, keys) = (leg.free(), leg.keys.clone());
        leg.expired = true;
        let what = format!("{leg:?} ended as {row:?}");
        self.free(&freed);
        for key in keys.iter().filter(|key| key.basis == Basis::BillableDay) {
            let units = self.units.entry(key.clone()).or_default();
            units.held -= 1;
            units.unresolved += 1;
        }
        self.must(is_due, Promise::OneEnd, || format!("call {n}: {what}"));
    }

    /// The end of an attempt that was reported: what it is worth follows from its terms.
    fn settled(&mut self, n: u32, attempt: &AttemptRow, row: &EndFacts, talk_ms: u64) {
        let known = self.calls.entry(n).or_default();
        let keys = attempt.keys.clone();
        let is_billed = known.legs.values().any(|leg| leg.billed);
        let Some(leg) = known.legs.get_mut(&attempt.attempt) else { return };
        let once = !leg.settled;
        leg.settled = true;
        let freed = leg.free();
        let is_long = talk_ms > 0 && talk_ms >= leg.min_duration_ms;
        // Of the attempts of one call at most one is billed.
        let billable = leg.target.is_some() && is_long && !leg.test && !is_billed;
        leg.billed = billable;
        let leg = leg.clone();
        if billable {
            let payout = match leg.payout {
                Some(Payout::Fixed(amount)) => amount.micros(),
                Some(Payout::Share(part)) => {
                    (i128::from(leg.price) * i128::from(part.0) / 10_000 / 10_000 * 10_000) as i64
                }
                None => 0,
            };
            let publisher = keys.publisher.as_ref().map(|publisher| format!("publisher:{publisher}"));
            let buyer = attempt.buyer.as_ref().map(|buyer| format!("buyer:{buyer}"));
            known.owed.extend([
                ("revenue".to_owned(), buyer.unwrap_or_default(), leg.price),
                ("payout".to_owned(), publisher.unwrap_or_default(), -payout),
                ("margin".to_owned(), "exchange".to_owned(), payout - leg.price),
            ]);
            self.counts.billable += 1;
        }
        self.free(&freed);
        for key in leg.keys.iter().filter(|key| key.basis == Basis::BillableDay) {
            let units = self.units.entry(key.clone()).or_default();
            if leg.expired {
                units.unresolved -= 1;
            } else {
                units.held -= 1;
            }
            units.posted += u32::from(billable);
        }
        self.must(once, Promise::OneEnd, || format!("call {n} was settled twice"));
        let agrees = row.billable == billable && row.talk_ms == talk_ms && row.connected == (talk_ms > 0);
        self.must(agrees, Promise::Money, || {
            format!("call {n}: {talk_ms} ms of talk, billable {billable} by what was reported ({leg:?}); the record says {row:?}")
        });
    }

    fn ledger(&mut self, row: &LedgerRow) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self.broke(Promise::Money, "money of an unknown call".to_owned());
        };
        self.known(n).booked.push((row.kind.to_owned(), row.account.clone(), row.amount.micros()));
    }

    /// After an event: what is known well enough was judged with it, and what is owed was booked with it.
    fn must_be_judged(&mut self, id: CallId) {
        let now = self.clock.now();
        let Some(n) = self.by_id.get(&id).copied() else { return };
        let known = self.calls.entry(n).or_default();
        let is_left = known.legs.values().any(|leg| !leg.settled && leg.judge(now, false).is_some());
        let is_booked = known.owed == known.booked;
        let what = format!("call {n}: {:?} is owed and {:?} booked", known.owed, known.booked);
        self.must(!is_left, Promise::OneEnd, || format!("call {n} could be judged and was not"));
        self.must(is_booked, Promise::Money, || what);
    }

    // Now and then, and at the end.

    /// Looks at everything that is open.
    pub fn look(&mut self, gauges: &Gauges) {
        let now = self.clock.now();
        let calls = &self.calls;
        self.open.retain(|n| calls[n].legs.values().any(|leg| !leg.settled && !leg.expired));
        let overdue = self.open.iter().copied().find(|n| {
            self.calls[n].legs.values().any(|leg| {
                let due =
                    if leg.end.is_some() { leg.judge_at } else { Some(leg.expires).filter(|_| !leg.expired) };
                !leg.settled && due.is_some_and(|due| due.after(SWEPT) < now)
            })
        });
        if let Some(n) = overdue {
            self.broke(Promise::OneEnd, format!("call {n} is overdue"));
        }
        self.compare(gauges, "");
    }

    fn compare(&mut self, gauges: &Gauges, when: &str) {
        for (key, units) in self.units.clone() {
            let gauge = gauges.read(&key);
            let theirs = Units { held: gauge.held, posted: gauge.posted, unresolved: gauge.unresolved };
            self.must(theirs == units, Promise::Caps, || {
                format!("{key} has {theirs:?} and should have {units:?}{when}")
            });
        }
    }

    /// Looks at everything once nothing is to come any more.
    pub fn at_rest(&mut self, gauges: &Gauges, calls: &BTreeSet<u32>) {
        let held = gauges.held();
        self.must(held == 0, Promise::AtRest, || format!("{held} units are held"));
        self.compare(gauges, " at rest");
        let (mut owed, mut booked) = (BTreeMap::new(), BTreeMap::new());
        for n in calls {
            let known = self.calls.entry(*n).or_default();
            let Some(decided) = &known.decided else {
                self.broke(Promise::SameBytes, format!("call {n} was never decided"));
                continue;
            };
            let last = known.ends.last().map(|end| end.end.reason);
            let is_ended =
                !known.ends.is_empty() && known.legs.values().all(|leg| leg.settled || leg.expired);
            let asked: BTreeSet<&str> = known.pings.iter().map(|seen| seen.ping.as_str()).collect();
            let told: BTreeSet<String> = known
                .outcomes
                .iter()
                .filter_map(|outcome| outcome.ping)
                .map(|ping: PingId| ping.to_string())
                .collect();
            let unknown = asked.iter().find(|ping| !told.contains(**ping)).map(|ping| (*ping).to_owned());
            let is_final =
                known.finals.contains(&1) && known.attempts.values().all(|a| known.finals.contains(&a.step));
            let (is_heard, trails) = (known.answers.contains_key(&1), known.trails);
            for (_, account, amount) in &known.owed {
                *owed.entry(account.clone()).or_insert(0) += amount;
            }
            for (_, account, amount) in &known.booked {
                *booked.entry(account.clone()).or_insert(0) += amount;
            }
            let sum: i64 = known.booked.iter().map(|(_, _, amount)| amount).sum();
            let what = format!("call {n} ({}) ended in {last:?}", decided.reason);
            self.must(is_ended, Promise::OneEnd, || what);
            self.must(is_final, Promise::OneOutcome, || {
                format!("call {n} has {trails} trails and none is final")
            });
            self.must(unknown.is_none(), Promise::OneOutcome, || {
                format!("ping {unknown:?} of call {n} has no outcome")
            });
            self.must(is_heard, Promise::Answered, || format!("call {n} never heard an answer"));
            self.must(sum == 0, Promise::Money, || format!("the entries of call {n} sum to {sum}"));
        }
        self.must(owed == booked, Promise::Money, || format!("{owed:?} is owed and {booked:?} is booked"));
    }

    /// Whether the caller's number may reach the buyer of this target.
    pub fn may_see(catalog: &Catalog, target: &str) -> bool {
        catalog.buyer(find(catalog, target).buyer).disclosure == Disclosure::Full
    }
}

impl Leg {
    /// The slots that are free now, once.
    fn free(&mut self) -> Vec<CapKey> {
        let had = std::mem::take(&mut self.has_slot);
        self.keys.iter().filter(|key| had && key.basis == Basis::Concurrency).cloned().collect()
    }

    fn join(&mut self, sent: &Sent, received: Timestamp, late_events: Duration) {
        let earliest = |known: Option<Timestamp>| Some(known.map_or(sent.at, |known| known.min(sent.at)));
        let is_news = match sent.kind {
            "answered" => self.answered.is_none() && self.bridged.is_none(),
            "bridged" => self.bridged.is_none(),
            _ => false,
        };
        match sent.kind {
            "answered" => self.answered = earliest(self.answered),
            "bridged" => self.bridged = earliest(self.bridged),
            _ => {}
        }
        if is_news {
            self.expires = self.expires.max(received.after(self.patience.1));
        }
        if let Some((cause, _, talk)) = sent.end {
            let inferred = sent.kind == "call_ended";
            let talk = talk.filter(|_| !inferred);
            let end = End { inferred, no_talk: talk.is_none(), at: sent.at, talk: talk.unwrap_or(0), cause };
            self.end = Some(self.end.map_or(end, |known| known.min(end)));
            self.judge_at.get_or_insert(received.after(late_events));
        }
    }

    /// The talk in milliseconds, once enough is known to bill by it.
    fn judge(&self, now: Timestamp, is_over: bool) -> Option<u64> {
        let end = self.end?;
        let waited = is_over || self.judge_at.is_some_and(|at| at <= now);
        let since = |start: Timestamp| (end.at.since(start).min(self.patience.1).as_micros() / 1_000) as u64;
        match (end.no_talk, end.cause, self.bridged, self.answered) {
            (false, ..) => Some(end.talk),
            (_, "busy" | "no_answer" | "rejected" | "cancelled", ..) if !end.inferred => Some(0),
            (_, "failed", None, _) if !end.inferred => waited.then_some(0),
            (.., Some(bridged), _) if !end.inferred || waited => Some(since(bridged)),
            (.., None, Some(answered)) if waited => Some(since(answered)),
            (.., None, None) if waited => Some(0),
            _ => None,
        }
    }
}

/// The target of this id.
pub fn find<'a>(catalog: &'a Catalog, id: &str) -> &'a Target {
    catalog.targets.iter().find(|target| target.id.as_str() == id).expect("a configured target")
}

fn planned<'a>(catalog: &'a Catalog, plan: &str) -> Vec<&'a str> {
    let plan: &Plan = catalog.plans.iter().find(|one| one.id.to_string() == plan).expect("a configured plan");
    let mut targets: Vec<TargetIx> = Vec::new();
    plan.root.targets(&mut targets);
    debug_assert!(
        !targets.is_empty() || matches!(plan.terminal, Terminal::Message(_)),
        "only one plan is empty"
    );
    targets.into_iter().map(|ix| catalog.target(ix).id.as_str()).collect()
}
