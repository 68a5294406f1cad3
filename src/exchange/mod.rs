//! The stories: a carrier asks and is answered; a carrier reports and money follows; time passes.
//!
//! Each story calls the named steps of the engines and the parts of the shell in order. What is decided is in `routing`,
//! `auction`, `capacity`, `call` and `billing`; who speaks which bytes is in `carrier` and `bidder`.

pub mod admission;
mod answer;
mod ask;
mod bars;
pub mod beside;
pub mod decide;
pub mod hand_back;
mod held;
mod kept;
mod linger;
pub mod next;
mod owed;
pub mod preview;
mod prices;
pub mod progress;
pub mod replay;
pub mod restore;
mod since;
mod step;
mod story;
mod subject;
pub mod sweep;
mod together;
mod trail;
pub mod unknown;

use admission::Pass;
pub use admission::{Admitted, Delays};
pub use ask::Asking;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::bidder::sign;
use crate::capacity::HoldDurability;
use crate::domain::Address;
use crate::domain::caller_list::CallerListKey;
use crate::domain::catalog::Secret;
use crate::domain::change::Change;
use crate::ping::Pinger;
use crate::ping::endpoint::Endpoint;
use crate::ping::health::Health;
use crate::records::{CommitError, Recorder};
use crate::runtime::{Clock, Entropy, Shutdown, behind_others};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::state::callers::Callers;
use owed::Owed;
use unknown::UnknownReports;

/// What the settings say about decisions and calls.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Absolute URL carriers reach the exchange under, without a slash at its end.
    pub public_base_url: Arc<str>,
    /// Decisions with pings in progress at once; beyond it the static answer is given.
    pub decisions: usize,
    /// Most targets asked in one auction.
    pub auction_fan_out: usize,
    /// How late a worker may be for what.
    pub delays: Delays,
    /// How long an answer stays in memory after its call's end.
    pub keep_ended: Duration,
    /// How long an end without a talk time waits for reports that explain it.
    pub late_events: Duration,
    /// How long after a failed attempt a carrier may ask for the next step.
    pub next_within: Duration,
    /// Life a bid must have left when it is handed out.
    pub dial_guard: Duration,
    /// Where test calls go; they hang up without it.
    pub test_address: Option<Address>,
    /// Keys the tokens of callers and publishers.
    pub caller_key: Secret,
    /// What a unit of a strict cap waits for before its call is handed out.
    pub hold_durability: HoldDurability,
    /// How long it waits.
    pub hold_ack: Duration,
}

/// What decisions are taken by, swapped as one.
#[derive(Debug)]
pub struct InForce {
    /// The catalog and what was compiled from it.
    pub snapshot: Arc<Snapshot>,
    /// The shared sides of its bid endpoints, by target.
    pub endpoints: Vec<Option<Arc<Endpoint>>>,
    /// How each has been answering, by target.
    pub health: Vec<Option<Arc<Health>>>,
    /// Digest of the files' text, without changes.
    pub files: String,
    /// What was changed at run time, in the order it was; the catalog has it already.
    pub changes: Vec<Change>,
}

/// What every request needs, shared by all workers.
#[derive(Debug)]
pub struct Exchange {
    /// The catalog in force, loaded once per request.
    pub in_force: ArcSwap<InForce>,
    /// Capacity, calls and answers.
    pub state: State,
    /// Where records go.
    pub recorder: Recorder,
    /// The one clock.
    pub clock: Clock,
    /// Ids, seeds and tokens.
    pub entropy: Entropy,
    /// The rules of decisions and calls.
    pub rules: Rules,
    /// Reports about calls nobody knows.
    pub unknown: UnknownReports,
    /// Who is on which caller list.
    pub callers: Callers,
    owed: Owed,
    shutdown: Shutdown,
    slots: Arc<Semaphore>,
    /// Whoever looks at every call for one of them.
    searching: Arc<Semaphore>,
}

impl Exchange {
    /// Why calls should go elsewhere now; `None` when they should come.
    pub fn not_ready(&self) -> Option<&'static str> {
        if self.shutdown.has_begun() {
            return Some("The exchange is stopping.");
        }
        match self.recorder.reserve() {
            Ok(_) if self.recorder.is_failing() => {
                Some("The journal cannot be written at this moment; see the log.")
            }
            Ok(_) => None,
            Err(CommitError::QueueFull) => Some("The queue to the journal is full."),
            Err(_) => Some("The records are closed: the exchange must be started again."),
        }
    }

    /// Puts the parts together.
    pub fn new(
        in_force: InForce,
        state: State,
        recorder: Recorder,
        clock: Clock,
        entropy: Entropy,
        rules: Rules,
        shutdown: Shutdown,
    ) -> Exchange {
        let slots = Arc::new(Semaphore::new(rules.decisions));
        let in_force = ArcSwap::from_pointee(in_force);
        let searching = Arc::new(Semaphore::new(1));
        let unknown = UnknownReports::default();
        let owed = Owed::default();
        let callers = Callers::new(list_key(&rules.caller_key));
        Exchange {
            in_force,
            state,
            recorder,
            clock,
            entropy,
            rules,
            unknown,
            callers,
            owed,
            shutdown,
            slots,
            searching,
        }
    }
}

/// The key of digests on caller lists: one of this deployment's, for nothing else.
fn list_key(caller_key: &Secret) -> CallerListKey {
    let digest = sign::keyed(&caller_key.0, &[b"caller lists"]);
    CallerListKey::of(digest.first_chunk().expect("a digest has 32 bytes"))
}

/// One worker: the shared exchange and its own way of asking.
#[derive(Debug)]
pub struct Worker {
    /// What all workers share.
    pub exchange: Arc<Exchange>,
    /// Its connections to bid endpoints.
    pub pinger: Pinger,
    deciding: Arc<AtomicUsize>,
}

impl Worker {
    /// A worker that decides nothing yet.
    pub fn new(exchange: Arc<Exchange>, pinger: Pinger) -> Worker {
        Worker { exchange, pinger, deciding: Arc::default() }
    }

    /// What it takes on now.
    pub fn admitted(&self) -> Admitted {
        self.exchange.rules.delays.admitted(self.pinger.pulse.standing())
    }

    /// Lets what comes before this go first, of all that is ready.
    async fn in_pass(&self, pass: Pass) {
        let (delays, pulse) = (self.exchange.rules.delays, &self.pinger.pulse);
        behind_others(delays.others_first(pass, pulse.standing(), pulse.has_rested())).await;
    }

    /// Whether decisions or late replies are still owed their records.
    pub fn is_busy(&self) -> bool {
        self.deciding.load(Ordering::Relaxed) > 0 || self.pinger.lingering() > 0
    }
}

/// Counts a decision until dropped, whoever waits for it.
struct Deciding(Arc<AtomicUsize>);

impl Deciding {
    fn begin(deciding: &Arc<AtomicUsize>) -> Deciding {
        deciding.fetch_add(1, Ordering::Relaxed);
        Deciding(Arc::clone(deciding))
    }
}

impl Drop for Deciding {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
