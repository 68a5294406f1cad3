//! Simulated carriers: open-loop callers that ask a real exchange over HTTP where to send each call, then live it.
//!
//! A call goes route → ringing → no answer, busy or answered → bridged → ended, with callers that abandon, answers
//! that hang up, and the noise of real carriers: duplicates of requests and events, events out of order, lost or
//! without a talk time. Waiting is compressed by [`Plan::time_scale`]; the times written into events are not. What a
//! call does depends on the plan's seed and the call's number alone. Carriers do not check what the exchange
//! charges; they count what it answered and how fast.

mod call;
mod figures;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::chance::Chance;
use crate::client::Client;
use crate::trace::Trace;
pub use call::{EVENT_TRIES, MAX_STEPS};
use figures::Tally;
pub use figures::{Figures, Percentiles, Snapshot, WINDOW_S};

/// Longest a carrier waits for an answer, in seconds.
pub const ANSWER_LIMIT_S: u64 = 15;
/// Longest talk a plan may cap at, in seconds.
const TALK_CAP_MAX_S: u64 = 86_400;
/// Longest ringing played, whatever an answer states, in seconds.
const RING_MAX_S: u64 = 3_600;

/// What to place, where, and how calls go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The exchange's call listener, such as `http://127.0.0.1:8080`.
    pub base_url: String,
    /// Each call comes from one of these.
    pub carriers: Vec<CarrierKey>,
    /// Arrivals per second: open loop, exponential gaps. [`Carriers::set_rate`] changes it.
    pub calls_per_second: f64,
    /// Tracking numbers to dial.
    pub numbers: Vec<String>,
    /// Where callers live.
    pub callers: Vec<CallerArea>,
    /// One value of each tag goes into every call, beside `load_call`.
    pub tags: Vec<(String, Vec<String>)>,
    /// Sub-ids to choose from; none sends no sub-id.
    pub sub_ids: Vec<String>,
    /// Waits are this many times shorter than life; 1 is real time.
    pub time_scale: f64,
    pub talk: Talk,
    /// Ring time of an answered call, in seconds, both bounds included; never beyond the target's ring timeout.
    pub ring_s: (u64, u64),
    pub rates: Rates,
    pub seed: u64,
    /// Part of every `carrier_call_id`: two runs against one exchange must differ in it.
    pub run: String,
    /// Number of the first call; runs that share a trace must not overlap.
    pub first_call: u64,
    /// Arrivals in all; without it they go on until stopped.
    pub max_calls: Option<u64>,
    /// Calls in progress at which an arrival is skipped, and counted as such.
    pub max_in_progress: usize,
    /// Marks every call as a test call.
    pub test: bool,
}

/// A carrier and the bearer key it presents, on events too.
#[derive(Clone, Debug)]
pub struct CarrierKey {
    pub id: String,
    pub key: String,
}

/// Where callers live. Their numbers are `+1`, the prefix and random digits.
#[derive(Clone, Debug)]
pub struct CallerArea {
    /// An area code, to which the fictional exchange 555 is added (10,000 callers), or an area code and an
    /// exchange.
    pub prefix: String,
    /// State and ZIP to state in the request.
    pub geo: Option<(String, String)>,
}

impl From<&str> for CallerArea {
    fn from(prefix: &str) -> CallerArea {
        CallerArea { prefix: prefix.to_owned(), geo: None }
    }
}

/// How long people talk: lognormal seconds, never above the cap.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    pub median_s: f64,
    pub sigma: f64,
    pub cap_s: u64,
}

/// How often things happen, each in 1 of 10,000.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// An attempt rings until its time is up.
    pub no_answer_bps: u32,
    pub busy_bps: u32,
    /// The caller leaves while it rings.
    pub abandon_bps: u32,
    /// An answered call is ended by the target, not the caller.
    pub target_ends_bps: u32,
    /// The caller's number is withheld.
    pub withheld_bps: u32,
    /// The route request is sent twice: half the time at once, half after the first answer.
    pub duplicate_route_bps: u32,
    /// An event is sent twice: half the time at once, half when the call is over.
    pub duplicate_event_bps: u32,
    /// `answered` is sent after `ended`.
    pub reorder_bps: u32,
    /// An event is never sent.
    pub lose_event_bps: u32,
    /// `ended` states no talk time, so that the events' times count.
    pub omit_talk_bps: u32,
}

impl Rates {
    /// A fair day on the network.
    pub fn everyday() -> Rates {
        Rates {
            no_answer_bps: 800,
            busy_bps: 300,
            abandon_bps: 400,
            target_ends_bps: 3_000,
            withheld_bps: 200,
            duplicate_route_bps: 100,
            duplicate_event_bps: 200,
            reorder_bps: 200,
            lose_event_bps: 0,
            omit_talk_bps: 1_000,
        }
    }
}

impl Plan {
    /// A plan with everyday rates, 10 calls per second, sped up 60 times, for ever.
    pub fn new(base_url: impl Into<String>, carrier: CarrierKey, numbers: Vec<String>) -> Plan {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Plan {
            base_url: base_url.into(),
            carriers: vec![carrier],
            calls_per_second: 10.0,
            numbers,
            callers: vec!["512".into(), "303".into(), "718".into()],
            tags: Vec::new(),
            sub_ids: Vec::new(),
            time_scale: 60.0,
            talk: Talk { median_s: 110.0, sigma: 0.9, cap_s: 3_600 },
            ring_s: (2, 12),
            rates: Rates::everyday(),
            seed: 1,
            run: format!("{:x}", since_epoch.as_millis()),
            first_call: 1,
            max_calls: None,
            max_in_progress: 10_000,
            test: false,
        }
    }

    fn check(&self) -> io::Result<()> {
        let wrong = |message: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, message.to_owned()));
        if self.carriers.is_empty() || self.numbers.is_empty() || self.callers.is_empty() {
            return wrong("a plan needs at least one carrier, one tracking number and one caller area");
        }
        if self.callers.iter().any(|area| !is_prefix(&area.prefix)) {
            return wrong("a caller area's prefix is 3 to 9 digits");
        }
        if !(self.time_scale.is_finite() && self.time_scale >= 0.001) {
            return wrong("time_scale must be at least 0.001");
        }
        let Talk { median_s, sigma, cap_s } = self.talk;
        if !(median_s.is_finite() && sigma.is_finite() && (1..=TALK_CAP_MAX_S).contains(&cap_s)) {
            return wrong("talk has a finite median and sigma and a cap of 1 to 86400 seconds");
        }
        if self.ring_s.0 > self.ring_s.1 || self.ring_s.1 > RING_MAX_S {
            return wrong("ring_s is a lower and an upper bound of at most 3600 seconds");
        }
        if !(self.calls_per_second.is_finite() && self.calls_per_second >= 0.0) {
            return wrong("calls_per_second must not be negative");
        }
        Ok(())
    }
}

fn is_prefix(prefix: &str) -> bool {
    (3..=9).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit())
}

/// Running carriers. Dropping it cuts off the calls in progress.
pub struct Carriers {
    floor: Arc<Floor>,
    orders: watch::Sender<Orders>,
    finished: Mutex<Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the owner wants.
#[derive(Clone, Copy)]
struct Orders {
    calls_per_second: f64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Place,
    /// No new calls; those in progress may end by then.
    Drain(Instant),
    Abort,
}

impl Carriers {
    /// Starts placing calls.
    pub fn start(plan: Plan, trace: Arc<Trace>) -> io::Result<Carriers> {
        plan.check()?;
        let orders = Orders { calls_per_second: plan.calls_per_second, phase: Phase::Place };
        let (orders, obeyed) = watch::channel(orders);
        let floor = Arc::new(Floor {
            plan,
            trace,
            client: Client::new(Duration::from_secs(ANSWER_LIMIT_S)),
            started: Instant::now(),
            tally: Mutex::new(Tally::default()),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, finished) = std::sync::mpsc::channel();
        let on_floor = floor.clone();
        let thread = std::thread::Builder::new().name("carriers".to_owned()).spawn(move || {
            runtime.block_on(place_calls(on_floor, obeyed));
            drop(done); // closing it is the signal
        })?;
        Ok(Carriers { floor, orders, finished: Mutex::new(finished), thread: Some(thread) })
    }

    /// The figures so far.
    pub fn snapshot(&self) -> Snapshot {
        self.floor.snapshot()
    }

    /// Changes the arrival rate; 0 pauses.
    pub fn set_rate(&self, calls_per_second: f64) {
        let rate = if calls_per_second.is_finite() { calls_per_second.max(0.0) } else { 0.0 };
        self.orders.send_modify(|orders| orders.calls_per_second = rate);
    }

    /// Waits until all of [`Plan::max_calls`] have been placed and are over; false when the limit passed first.
    pub fn wait(&self, limit: Duration) -> bool {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }

    /// Places no more calls, waits up to `limit` for those in progress to end, cuts off the rest.
    pub fn stop(mut self, limit: Duration) -> Snapshot {
        self.order(Phase::Drain(Instant::now() + limit));
        self.join();
        self.floor.snapshot()
    }

    fn order(&self, phase: Phase) {
        self.orders.send_modify(|orders| orders.phase = phase);
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the carriers' thread panicked; its message is above");
        }
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        self.order(Phase::Abort);
        self.join();
    }
}

/// Places calls until ordered otherwise, then lets them end.
async fn place_calls(floor: Arc<Floor>, mut orders: watch::Receiver<Orders>) {
    let mut calls = JoinSet::new();
    let mut gaps = Chance::new(floor.plan.seed, &["arrivals"]);
    let mut due = Instant::now();
    let mut placed = 0;
    while floor.plan.max_calls.is_none_or(|max| placed < max) {
        let Orders { calls_per_second, phase } = *orders.borrow_and_update();
        if phase != Phase::Place {
            break;
        }
        if calls_per_second <= 0.0 {
            if orders.changed().await.is_err() {
                break;
            }
            due = Instant::now();
            continue;
        }
        let next = due + Duration::from_secs_f64(gaps.exponential(calls_per_second).min(3_600.0));
        tokio::select! {
            biased; // orders come before the next arrival
            _ = orders.changed() => {
                due = Instant::now();
                continue;
            }
            () = tokio::time::sleep_until(next.into()) => due = next,
        }
        while let Some(ended) = calls.try_join_next() {
            rethrow(ended);
        }
        let number = floor.plan.first_call + placed;
        placed += 1;
        if calls.len() >= floor.plan.max_in_progress {
            floor.count(|counts| counts.skipped += 1);
            continue;
        }
        calls.spawn(call::live(floor.clone(), number, due));
    }
    drain(&mut calls, orders).await;
    calls.shutdown().await;
}

/// Waits for the calls to end, as long as the orders allow.
async fn drain(calls: &mut JoinSet<()>, mut orders: watch::Receiver<Orders>) {
    while !calls.is_empty() {
        let limit = match orders.borrow_and_update().phase {
            Phase::Place => None,
            Phase::Drain(until) => Some(until),
            Phase::Abort => return,
        };
        let limit_passed = async {
            match limit {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // an order to abort is obeyed at once
            changed = orders.changed() => if changed.is_err() {
                return;
            },
            () = limit_passed => return,
            ended = calls.join_next() => if let Some(ended) = ended {
                rethrow(ended);
            },
        }
    }
}

/// A bug in the simulator must not look like a quiet exchange.
fn rethrow(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// What all calls share.
struct Floor {
    plan: Plan,
    trace: Arc<Trace>,
    client: Client,
    started: Instant,
    tally: Mutex<Tally>,
}

impl Floor {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn second(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    fn snapshot(&self) -> Snapshot {
        self.tally().snapshot(self.started.elapsed())
    }

    fn count(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.tally().counts);
    }
}
