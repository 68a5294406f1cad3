//! Asking buyers over the network: parallel pings, and the one `select!` that owns the deadline.
//!
//! What a ping says and what a reply means is in `bidder`; who wins, and whether waiting is of use, in `auction`. Here
//! is only the asking: when it starts, when it ends, what becomes of what is still out then, and what that says of a
//! target's health.

pub mod client;
pub mod egress;
pub mod endpoint;
pub mod health;
mod opening;
mod outstanding;
pub mod wire;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::Request;

use crate::auction::bid::Reply;
use crate::auction::{Auction, Progress};
use crate::bidder::reply::{Terms, read};
use crate::domain::{PingId, Reason, TargetIx, Timestamp};
use crate::runtime::Clock;
use crate::runtime::pulse::Pulse;
use crate::snapshot::Snapshot;
use crate::telemetry::event;
use client::Pool;
use endpoint::Endpoint;
use health::{Health, may_be_ours};
pub use outstanding::{Late, Outstanding};

/// One question, ready to be sent.
#[derive(Debug)]
pub struct Ask {
    /// Position among the auction's entrants.
    pub entrant: usize,
    /// The target asked.
    pub target: TargetIx,
    /// The ping.
    pub ping: PingId,
    /// Where it goes.
    pub endpoint: Arc<Endpoint>,
    /// Where it is booked whether a reply came in time.
    pub health: Arc<Health>,
    /// What it says.
    pub request: Request<Full<Bytes>>,
}

/// What came back for one question.
#[derive(Debug)]
struct Answered {
    /// Position among the auction's entrants.
    entrant: usize,
    /// From ping written to reply read; `None` without a complete reply.
    latency: Option<Duration>,
    reply: Reply,
    read: Timestamp,
}

/// How waiting for replies ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Everybody who was waited for has answered.
    AllReplied,
    /// Nobody who was still out could have come first.
    Early,
    /// The deadline came first.
    Deadline,
}

impl Close {
    /// The word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Close::AllReplied => "all_replied",
            Close::Early => "early",
            Close::Deadline => "deadline",
        }
    }
}

type Asking = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// The pings of one auction. Dropping them closes the connections of those that are out.
pub struct Asked {
    pinger: Pinger,
    pings: FuturesUnordered<Asking>,
    closes: Timestamp,
    /// Read to its end between the deadline and the moment the timer told of it.
    just_missed: Vec<Answered>,
    written: Arc<Written>,
    latencies: Vec<(usize, Duration)>,
}

/// How a worker asks.
#[derive(Clone, Debug)]
pub struct Pinger {
    /// Its connections.
    pub pool: Arc<Pool>,
    /// How late its worker is.
    pub pulse: Arc<Pulse>,
    clock: Clock,
    linger: Duration,
    lingering: Arc<AtomicUsize>,
    lingering_max: usize,
}

impl Pinger {
    /// A worker's own. `linger` is how long an outstanding ping keeps its connection, at most `lingering_max` at once.
    pub fn new(pool: Arc<Pool>, clock: Clock, linger: Duration, lingering_max: usize) -> Pinger {
        let pulse = Arc::new(Pulse::new(clock.clone()));
        Pinger { pool, pulse, clock, linger, lingering: Arc::default(), lingering_max }
    }

    /// Pings of this worker that linger now.
    pub fn lingering(&self) -> usize {
        self.lingering.load(Ordering::Relaxed)
    }

    /// Asks everybody at once; the pings leave with the first `gather`.
    pub fn ask(&self, snapshot: &Arc<Snapshot>, asks: Vec<Ask>, closes: Timestamp) -> Asked {
        let written = Arc::new(Written::default());
        let latencies = Vec::with_capacity(asks.len());
        let pings = asks
            .into_iter()
            .map(|one| {
                let (snapshot, mark) = (Arc::clone(snapshot), Arc::clone(&written));
                Box::pin(ask(self.clone(), snapshot, one, closes, mark)) as Asking
            })
            .collect();
        Asked { pinger: self.clone(), pings, closes, just_missed: Vec::new(), written, latencies }
    }
}

impl Asked {
    /// Hands each reply to the auction until it is settled or its deadline has come. To be called again when the winner
    /// could not be held.
    pub async fn gather(&mut self, auction: &mut Auction) -> Close {
        let clock = self.pinger.clock.clone();
        let mut deadline = pin!(clock.sleep_until(self.closes));
        loop {
            let is_settled = self.pings.is_empty() || auction.progress(clock.now()) == Progress::Settled;
            tokio::select! {
                // The deadline first: once it has come, nothing that is read counts, however much is ready. Replies that
                // are there before the end, so that a settled auction still takes them, and its pings have left.
                biased;
                () = &mut deadline => return Close::Deadline,
                Some(answered) = self.pings.next() => {
                    if answered.read >= self.closes {
                        self.just_missed.push(answered);
                        return Close::Deadline;
                    }
                    let Answered { entrant, latency, reply, read } = answered;
                    self.latencies.extend(latency.map(|latency| (entrant, latency)));
                    auction.on_reply(entrant, reply, read);
                }
                () = std::future::ready(()), if is_settled => {
                    let is_early = !self.pings.is_empty() && auction.awaited().next().is_some();
                    return if is_early { Close::Early } else { Close::AllReplied };
                }
            }
        }
    }

    /// Reply times of those who answered, by entrant.
    pub fn latencies(&self) -> &[(usize, Duration)] {
        &self.latencies
    }

    /// When the last ping was written; `None` when none was.
    pub fn last_written(&self) -> Option<Timestamp> {
        match self.written.last.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }

    /// Every ping found a connection waiting: the time to the last one is ours alone.
    pub fn all_warm(&self) -> bool {
        !self.written.cold.load(Ordering::Relaxed)
    }

    /// Lets go of what is out.
    pub fn release(self) -> Outstanding {
        Outstanding::of(self)
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({})", self.pings.len())
    }
}

/// One ping from connection to judged reply. Owns all it needs: it may outlive its auction.
async fn ask(
    pinger: Pinger,
    snapshot: Arc<Snapshot>,
    ask: Ask,
    closes: Timestamp,
    written: Arc<Written>,
) -> Answered {
    let clock = pinger.clock.clone();
    let mut watched = Watched::new(&ask, &pinger, closes);
    let mark = |at: Timestamp, warm: bool| {
        written.last.fetch_max(at.micros(), Ordering::Relaxed);
        written.cold.fetch_or(!warm, Ordering::Relaxed);
    };
    let mut exchange = pin!(pinger.pool.exchange(&ask.endpoint, ask.request, closes, mark));
    let answer = tokio::select! {
        // A reply that is there when the deadline comes was read when it was read.
        biased;
        answer = &mut exchange => answer,
        () = clock.sleep_until(closes) => {
            watched.missed();
            exchange.await
        }
    };
    match answer {
        Ok(mut received) => {
            let latency = received.read.since(received.written);
            event::ping_replied(&ask.endpoint.buyer, latency);
            watched.answered(received.read);
            let reply = judge(&snapshot, ask.target, ask.ping, &mut received);
            Answered { entrant: ask.entrant, latency: Some(latency), reply, read: received.read }
        }
        Err(wire::Failure { reply, is_ours }) => {
            if is_ours {
                watched.says_nothing()
            } else {
                watched.missed()
            }
            Answered { entrant: ask.entrant, latency: None, reply, read: clock.now() }
        }
    }
}

fn judge(snapshot: &Snapshot, target: TargetIx, ping: PingId, received: &mut client::Received) -> Reply {
    let target = snapshot.catalog.target(target);
    let Some(endpoint) = target.endpoint() else { return Reply::none(Reason::Malformed) };
    let terms = Terms {
        ping_id: ping,
        currency: &snapshot.currency,
        money_step: snapshot.money_step,
        target,
        endpoint,
        is_ours: &|number| snapshot.is_ours(number),
    };
    read(&terms, received.status, &mut received.body, received.read)
}

/// What the pings of one auction tell of their sending.
#[derive(Default)]
struct Written {
    last: AtomicI64,
    cold: AtomicBool,
}

/// Books once, by the deadline, whether a complete reply came. Whatever the auction did: a ping that failed is a miss at
/// once, one without a reply when the deadline passes, and one that was dropped before it, could not be sent for want of
/// something of ours, or was not read in time by a late worker, says nothing.
struct Watched {
    health: Arc<Health>,
    clock: Clock,
    pulse: Arc<Pulse>,
    asked: Timestamp,
    closes: Timestamp,
    is_booked: bool,
}

impl Watched {
    fn new(ask: &Ask, pinger: &Pinger, closes: Timestamp) -> Watched {
        let (clock, pulse) = (pinger.clock.clone(), Arc::clone(&pinger.pulse));
        let asked = clock.now();
        Watched { health: Arc::clone(&ask.health), clock, pulse, asked, closes, is_booked: false }
    }

    fn answered(&mut self, read: Timestamp) {
        if read >= self.closes {
            self.missed();
        } else if !std::mem::replace(&mut self.is_booked, true) {
            self.health.hit(read);
        }
    }

    fn says_nothing(&mut self) {
        self.is_booked = true;
    }

    fn missed(&mut self) {
        let now = self.clock.now();
        // Not booked: what is seen of it later, when its linger is over say, may still be.
        if may_be_ours(self.pulse.worst(), now, self.closes) {
            return;
        }
        if !std::mem::replace(&mut self.is_booked, true) {
            self.health.miss(self.asked);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.clock.now() >= self.closes {
            self.missed();
        }
    }
}
