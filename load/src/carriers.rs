//! Simulated carriers: open-loop callers that ask a real exchange over HTTP where to send each call, then live it.
//!
//! A call goes route → ringing → no answer, busy or answered → bridged → ended, with callers that abandon, answers
//! that hang up, and the noise of real carriers: duplicates of requests and events, events out of order, lost or
//! without a talk time. Waiting is compressed by [`Plan::time_scale`]; the times written into events are not. What a
//! call does depends on the plan's seed and the call's number alone. Carriers do not check what the exchange
//! charges; they count what it answered and how fast, and keep what they said if they are told to.
//!
//! When a call is to be sent follows from [`Plan::arrivals`] alone. The timer is 1 ms coarse: what is due by then is
//! sent at once, and latencies are told both from the intended instant and from the sending.

#[cfg(feature = "twilio")]
mod account;
mod arrivals;
mod ask;
mod call;
mod figures;
mod generic;
mod plan;
mod straight;
mod text;
#[cfg(feature = "twilio")]
mod twilio;
#[cfg(feature = "twilio")]
mod twiml;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use crate::client::Client;
use crate::cpu::ThreadCpu;
use crate::sent::{Keep, Sent};
use crate::trace::Trace;
#[cfg(feature = "twilio")]
pub use account::Twilio;
pub use arrivals::{Arrivals, Schedule};
pub use call::{EVENT_TRIES, MAX_STEPS};
use figures::Tally;
pub use figures::{Figures, Histograms, Percentiles, Snapshot, WINDOW_S};
pub use plan::{CallerArea, CarrierKey, Dialect, Plan, Rates, Talk};
pub use straight::straight;

/// Longest a carrier waits for an answer, in seconds.
pub const ANSWER_LIMIT_S: u64 = 15;
/// Most calls whose records are kept, whatever [`Plan::keep_sent`] says.
pub const MAX_SENT: usize = 4_000_000;
/// Calls started one after the other before those started get their turn.
const MAX_STARTED: u32 = 64;

/// Running carriers. Dropping it cuts off the calls in progress.
pub struct Carriers {
    floor: Arc<Floor>,
    orders: watch::Sender<Orders>,
    finished: Mutex<Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

/// All that a run of carriers leaves behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub figures: Snapshot,
    pub histograms: Histograms,
    /// The calls kept for [`Plan::keep_sent`] and not taken before, and how many did not fit.
    pub sent: Vec<Sent>,
    pub sent_overflow: u64,
}

/// What the owner wants.
#[derive(Clone, Copy)]
struct Orders {
    /// Instead of the plan's pattern.
    calls_per_second: Option<f64>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Place,
    /// No new calls; those in progress may end by then.
    Drain(Instant),
    Abort,
}

/// What is asked of whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errand {
    /// An exchange, where calls go.
    Calls,
    /// A bidder, what a call is worth: see [`straight`].
    Pings,
}

impl Carriers {
    /// Starts placing calls.
    pub fn start(plan: Plan, trace: Arc<Trace>) -> io::Result<Carriers> {
        Carriers::launch(plan, trace, Errand::Calls)
    }

    fn launch(plan: Plan, trace: Arc<Trace>, errand: Errand) -> io::Result<Carriers> {
        plan.check()?;
        let (orders, obeyed) = watch::channel(Orders { calls_per_second: None, phase: Phase::Place });
        let floor = Arc::new(Floor::new(plan, trace, errand));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, finished) = std::sync::mpsc::channel();
        let on_floor = floor.clone();
        let thread = std::thread::Builder::new().name("carriers".to_owned()).spawn(move || {
            let cpu = on_floor.cpu.get_or_init(ThreadCpu::here);
            runtime.block_on(place_calls(&on_floor, obeyed));
            drop(runtime); // with its connections
            cpu.spent(); // read once more, since the next one to ask comes too late
            drop(on_floor);
            drop(done); // closing it is the signal
        })?;
        Ok(Carriers { floor, orders, finished: Mutex::new(finished), thread: Some(thread) })
    }

    /// The figures so far.
    pub fn snapshot(&self) -> Snapshot {
        self.floor.snapshot()
    }

    /// The distributions so far.
    pub fn histograms(&self) -> Histograms {
        self.floor.tally().histograms()
    }

    /// Processor time of the carriers' thread so far.
    pub fn cpu(&self) -> Duration {
        self.floor.cpu_spent()
    }

    /// The calls over since the last time, as far as [`Plan::keep_sent`] has room for them, and how many did not fit.
    pub fn take_sent(&self) -> (Vec<Sent>, u64) {
        self.floor.keep().map_or_else(Default::default, |mut keep| keep.take())
    }

    /// Changes the arrivals to a Poisson stream of this rate; 0 pauses.
    pub fn set_rate(&self, calls_per_second: f64) {
        let rate = if calls_per_second.is_finite() { calls_per_second.max(0.0) } else { 0.0 };
        self.orders.send_modify(|orders| orders.calls_per_second = Some(rate));
    }

    /// Waits until all calls of [`Plan::max_calls`], or of a pattern that ends, have been placed and are over; false
    /// when the limit passed first.
    pub fn wait(&self, limit: Duration) -> bool {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }

    /// Places no more calls, waits up to `limit` for those in progress to end, cuts off the rest.
    pub fn stop(self, limit: Duration) -> Snapshot {
        self.finish(limit).figures
    }

    /// Stops likewise, and gives all there is.
    pub fn finish(mut self, limit: Duration) -> Outcome {
        self.order(Phase::Drain(Instant::now() + limit));
        self.join();
        let (sent, sent_overflow) = self.take_sent();
        Outcome { figures: self.snapshot(), histograms: self.histograms(), sent, sent_overflow }
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
async fn place_calls(floor: &Arc<Floor>, mut orders: watch::Receiver<Orders>) {
    let mut calls = JoinSet::new();
    let mut pace = Pace::new(&floor.plan.arrivals, floor.plan.seed);
    let mut placed = 0;
    while floor.plan.max_calls.is_none_or(|max| placed < max) {
        let arrival = tokio::select! {
            biased; // orders come before the next arrival
            changed = orders.changed() => {
                let Orders { calls_per_second, phase } = *orders.borrow_and_update();
                if changed.is_err() || phase != Phase::Place {
                    break;
                }
                if let Some(rate) = calls_per_second {
                    // Other draws than before, or each change would begin with the same gap.
                    let seed = floor.plan.seed.wrapping_add(placed + 1);
                    pace = Pace::new(&Arrivals::Poisson(rate), seed);
                }
                continue;
            }
            arrival = pace.next() => arrival,
        };
        let Some((due, permit)) = arrival else { break };
        while let Some(ended) = calls.try_join_next() {
            rethrow(ended);
        }
        if permit.is_some() && calls.len() >= floor.plan.max_in_progress {
            // A closed loop has no arrivals of its own that could be skipped: it waits for room.
            tokio::select! {
                biased; // an order is looked at where all are
                _ = orders.changed() => orders.mark_changed(),
                ended = calls.join_next() => if let Some(ended) = ended {
                    rethrow(ended);
                },
            }
            continue;
        }
        let number = floor.plan.first_call + placed;
        placed += 1;
        if calls.len() >= floor.plan.max_in_progress {
            floor.count(|counts| counts.skipped += 1);
            continue;
        }
        calls.spawn(call::live(floor.clone(), number, due, permit));
    }
    drain(&mut calls, orders).await;
    calls.shutdown().await;
}

/// Tells when the next call is due, and waits for it.
struct Pace {
    began: Instant,
    schedule: Schedule,
    next: Option<Duration>,
    ends: bool,
    closed: Option<Arc<Semaphore>>,
    /// Calls given since the last wait.
    started: u32,
}

impl Pace {
    fn new(arrivals: &Arrivals, seed: u64) -> Pace {
        let mut schedule = Schedule::new(arrivals, seed);
        let closed = match arrivals {
            Arrivals::Closed { in_flight } => Some(Arc::new(Semaphore::new(*in_flight as usize))),
            _ => None,
        };
        Pace {
            began: Instant::now(),
            next: schedule.next_due(),
            schedule,
            ends: matches!(arrivals, Arrivals::Steps(_)),
            closed,
            started: 0,
        }
    }

    /// The next arrival: when it is due, which may be past, and a permit to be given back with its first answer in a
    /// closed loop. None when the pattern ends. Dropping the future skips nothing.
    async fn next(&mut self) -> Option<(Instant, Option<OwnedSemaphorePermit>)> {
        if let Some(closed) = &self.closed {
            let permit = closed.clone().acquire_owned().await.ok()?;
            return Some((Instant::now(), Some(permit)));
        }
        let Some(after) = self.next else {
            if !self.ends {
                std::future::pending::<()>().await; // a rate of 0: only an order changes it
            }
            return None;
        };
        let due = self.began + after;
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
            self.started = 0;
        } else if self.started >= MAX_STARTED {
            tokio::task::yield_now().await;
            self.started = 0;
        }
        self.started += 1;
        self.next = self.schedule.next_due();
        Some((due, None))
    }
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
    errand: Errand,
    trace: Arc<Trace>,
    client: Client,
    /// The address calls are asked about, and each carrier's `Authorization`.
    route_url: String,
    bearers: Vec<String>,
    started: Instant,
    started_at: SystemTime,
    cpu: OnceLock<ThreadCpu>,
    tally: Mutex<Tally>,
    keep: Option<Mutex<Keep>>,
}

impl Floor {
    fn new(plan: Plan, trace: Arc<Trace>, errand: Errand) -> Floor {
        let keep = plan.keep_sent.map(|limit| Mutex::new(Keep::new(limit.min(MAX_SENT))));
        Floor {
            errand,
            trace,
            client: Client::new(Duration::from_secs(ANSWER_LIMIT_S)),
            route_url: format!("{}/v1/route", plan.base_url.trim_end_matches('/')),
            bearers: plan.carriers.iter().map(|carrier| format!("Bearer {}", carrier.key)).collect(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            cpu: OnceLock::new(),
            tally: Mutex::new(Tally::default()),
            keep,
            plan,
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) -> Option<MutexGuard<'_, Keep>> {
        Some(self.keep.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn second(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// µs of the Unix epoch, by one clock for the whole run.
    fn epoch_us(&self, at: Instant) -> u64 {
        let at = self.started_at + at.saturating_duration_since(self.started);
        at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
    }

    fn cpu_spent(&self) -> Duration {
        self.cpu.get().map_or(Duration::ZERO, ThreadCpu::spent)
    }

    fn snapshot(&self) -> Snapshot {
        let cpu = self.cpu_spent();
        Snapshot { cpu, ..self.tally().snapshot(self.started.elapsed()) }
    }

    fn count(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.tally().counts);
    }
}
