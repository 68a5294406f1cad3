//! What must hold in every world at every step, and the model it is held against.
//!
//! The model is told what carriers sent and heard (`heard`), what buyers saw and said, and every row that leaves for the
//! disk (`rows`, `trails`). It counts units and judges ends (`legs`), works out prices (`prices`) and books money (`money`) by a few lines of its own;
//! the exchange's gauges are only looked at to be compared (`rest`). The first thing that does not hold is kept: what
//! follows from it would only hide it.

mod hand_backs;
mod heard;
mod legs;
mod money;
mod prices;
mod replays;
mod rest;
mod rows;
mod schedules;
mod together;
mod trails;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outcry::capacity::CapKey;
use outcry::domain::catalog::Disclosure;
use outcry::domain::{CallId, Catalog, Target, Timestamp};
use outcry::records::row::{AttemptRow, DecidedRow, EndedRow, OutcomeRow, TrailRow};
use outcry::runtime::Clock;

use super::market::closes_early;
use hand_backs::HandBacks;
use legs::Leg;
use rest::Units;

pub use hand_backs::{Asked, Told};
pub use together::{Screened, Word};

/// What is promised of every world, and what would break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A carrier hears within its ceiling, whatever happens. Broken by an answer that is no 200, none at all, or a late one.
    Answered,
    /// A decision, of any step, is taken by the close of its auctions. Broken by waiting 3 ms longer, for whatever it is.
    InTime,
    /// A call is decided once, and every repeat gets the same bytes. Broken by a second decision or another body.
    SameBytes,
    /// Answer, record and terms say the same. Broken by another address, attempt or reason in one of them.
    Agrees,
    /// No limit in force at a decision is exceeded by what was handed out. Broken by one attempt too many, or by a gauge
    /// that counts one unit otherwise than the model.
    Caps,
    /// Every target of a plan has one outcome in one final record, and it is true. Broken by a target left out or told
    /// twice, a ping without an outcome, a reply judged that never came or came and was not judged, another amount.
    OneOutcome,
    /// Every call has one terminal record, and in time. Broken by none within two seconds of its time, one before its
    /// attempts ended, or a correction that counts the call again.
    OneEnd,
    /// Who owes what follows from what was reported, and every group balances. Broken by a cent.
    Money,
    /// A bid that landed after the close does not win; one that landed before it is not late. Broken by a millisecond.
    LateBid,
    /// A connection that owes a reply carries no further ping. Broken by a byte on it, or a ping that waited behind it.
    Owing,
    /// A caller's number reaches no buyer that may not see it. Broken by its ten digits anywhere in a ping.
    Privacy,
    /// What was acknowledged is on disk, what is unknown was kept its time, and what must be refused is. Broken by a 200
    /// before the disk wrote, a 503 while the disk is well, or a 404 about a call that is not forgotten yet.
    Durable,
    /// A start knows what the process before it knew. Broken by a unit, a call or an answer that is otherwise after it.
    Restart,
    /// When everything has ended nothing is held, open or waiting. Broken by a unit, call, ping, connection or row left.
    AtRest,
    /// The children of a round robin come first equally often. Broken by a call that takes two turns, or none.
    Turns,
    /// A buyer hands back its own calls, in time and unbilled; one it lets go of costs nothing and goes on. Broken by a call
    /// taken back that may not be, or by one refused that may.
    HandBack,
    /// A recorded call can be decided again. Broken by another winner or reason from the replies that were recorded.
    Replays,
    /// Nothing panics, behind a fence or not. Broken by one panic, or one `internal_error`.
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
    /// Of these decided again.
    pub replayed: u64,
    pub requests: u64,
    pub pings: u64,
    pub events: u64,
    pub attempts: u64,
    pub billable: u64,
    /// Of these by Twilio's word.
    pub proven: u64,
    pub bytes: u64,
    /// Events that were not on disk in time and came again.
    pub not_durable: u64,
    /// What buyers heard who handed a call back.
    pub hand_backs: BTreeMap<Told, u64>,
    /// What those heard who picked up at Twilio where the plan screens.
    pub screened: BTreeMap<Screened, u64>,
    /// Calls that were handed back and went on.
    pub gone_on: u64,
    /// Final outcomes of targets, and ends of calls, by reason.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.calls += other.calls;
        self.replayed += other.replayed;
        self.requests += other.requests;
        self.pings += other.pings;
        self.events += other.events;
        self.attempts += other.attempts;
        self.billable += other.billable;
        self.proven += other.proven;
        self.bytes += other.bytes;
        self.not_durable += other.not_durable;
        self.gone_on += other.gone_on;
        for (what, many) in &other.screened {
            *self.screened.entry(*what).or_insert(0) += many;
        }
        for (told, many) in &other.hand_backs {
            *self.hand_backs.entry(*told).or_insert(0) += many;
        }
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
    pub ping: String,
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
    /// When it happened; `None` where its carrier does not say, so that it counts from when it was received.
    pub at: Option<Timestamp>,
    pub end: Option<(&'static str, &'static str, Option<u64>)>,
}

/// What one call has come to.
#[derive(Default)]
struct Known {
    /// What carriers heard, by step.
    answers: BTreeMap<u32, Bytes>,
    decided: Option<Box<DecidedRow>>,
    /// When the first step was heard, and how long after its request, as long as its record is not there.
    unjudged: Vec<(Timestamp, Duration)>,
    /// When each step was asked for.
    windows: BTreeMap<u32, Window>,
    /// Steps that were asked for after the first.
    steps: u32,
    pings: Vec<Seen>,
    said: Vec<Said>,
    finals: BTreeSet<u32>,
    outcomes: Vec<OutcomeRow>,
    /// Its steps as they were written last.
    trails: BTreeMap<u32, TrailRow>,
    legs: BTreeMap<u32, Leg>,
    /// Attempts that were handed out, by number.
    attempts: BTreeMap<u32, AttemptRow>,
    ends: Vec<EndedRow>,
    owed: Vec<(String, String, i64)>,
    booked: Vec<(String, String, i64)>,
    /// Events that the disk has written.
    on_disk: BTreeSet<String>,
    hand_backs: HandBacks,
    /// What was said of all attempts of a step.
    words: BTreeMap<u32, Word>,
    /// Somebody said that the caller left.
    is_caller_gone: bool,
}

/// When a step was asked for, and when the last of its auctions closes.
#[derive(Clone, Copy, Debug)]
struct Window {
    arrived: Timestamp,
    closes: Timestamp,
}

impl Window {
    /// When the auction closes that this target bids in.
    fn closes_for(&self, target: &str) -> Timestamp {
        closes_early(target).map_or(self.closes, |own| self.closes.min(self.arrived.after(own)))
    }
}

impl Known {
    /// When the auction closed that a ping was of.
    fn closes(&self, ping: &str) -> Option<Timestamp> {
        let seen = self.pings.iter().find(|seen| seen.ping == ping)?;
        let window = self.windows.values().rev().find(|window| window.arrived <= seen.at)?;
        Some(window.closes_for(&seen.target))
    }
}

/// The model.
pub struct Check {
    seed: u64,
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
    sent: HashMap<(u32, String), Sent>,
    current: Option<Arc<Catalog>>,
    units: BTreeMap<CapKey, Units>,
    open: BTreeSet<u32>,
    /// How often each child came first, by plan and round robin.
    turns: BTreeMap<(String, u32), BTreeMap<u32, u64>>,
    /// Until when the disk writes nothing.
    stuck_until: Timestamp,
}

/// The times of the exchange's rules that the model needs.
#[derive(Clone, Copy)]
pub struct Times {
    pub late_events: Duration,
    pub linger: Duration,
    pub keep_ended: Duration,
}

/// What a decision may take beyond the close: timers count in milliseconds.
const SLACK: Duration = Duration::from_millis(2);

impl Check {
    pub fn new(seed: u64, clock: Clock, times: Times, is_traced: bool) -> Check {
        Check {
            seed,
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
            sent: HashMap::new(),
            current: None,
            units: BTreeMap::new(),
            open: BTreeSet::new(),
            turns: BTreeMap::new(),
            stuck_until: Timestamp::default(),
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

    /// The disk writes nothing until then.
    pub fn stuck(&mut self, until: Timestamp) {
        self.stuck_until = self.stuck_until.max(until);
    }

    /// A catalog came into force.
    pub fn in_force(&mut self, catalog: &Catalog) {
        self.note(|| format!("catalog {}", catalog.digest));
        let catalog = Arc::new(catalog.clone());
        self.current = Some(Arc::clone(&catalog));
        self.catalogs.insert(catalog.digest.to_string(), catalog);
    }

    fn known(&mut self, n: u32) -> &mut Known {
        self.calls.entry(n).or_default()
    }

    /// Whether the caller's number may reach the buyer of this target.
    pub fn may_see(catalog: &Catalog, target: &str) -> bool {
        catalog.buyer(find(catalog, target).buyer).disclosure == Disclosure::Full
    }
}

/// The target of this id.
pub fn find<'a>(catalog: &'a Catalog, id: &str) -> &'a Target {
    catalog.targets.iter().find(|target| target.id.as_str() == id).expect("a configured target")
}
