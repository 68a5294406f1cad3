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
mod reply;
mod round;
pub mod wire;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::auction::bid::Reply;
use crate::auction::{Auction, Progress};
use crate::bidder::request::Request;
use crate::domain::{PingId, TargetIx, Timestamp};
use crate::runtime::pulse::Pulse;
use crate::runtime::{Clock, Shutdown};
use crate::snapshot::Snapshot;
use client::Pool;
use endpoint::Endpoint;
use health::Health;
pub use outstanding::{Late, Outstanding};
use round::Round;

/// The way of a ping to a buyer and back that no measurement of ours sees: taken off the deadline a buyer is told.
const ON_THE_WAY: Duration = Duration::from_millis(3);
/// With less than this left a ping is not worth sending.
pub const LEAST_TIME: Duration = Duration::from_millis(10);

/// What a buyer is told that it has, where so much is left.
pub const fn told_ms(left: Duration) -> u32 {
    left.saturating_sub(ON_THE_WAY).as_millis() as u32
}

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
    pub request: Request,
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
    /// Read before the deadline of the auction that asked.
    in_time: bool,
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
    /// What has not left.
    asks: Vec<Ask>,
    pings: FuturesUnordered<Asking>,
    round: Arc<Round>,
    /// Read to its end, and unknown to the auction: it came while something else was waited for, or after the deadline.
    unheard: Vec<Answered>,
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
    /// Nothing lingers any more.
    let_go: Shutdown,
}

impl Pinger {
    /// A worker's own. `linger` is how long an outstanding ping keeps its connection, at most `lingering_max` at once.
    pub fn new(pool: Arc<Pool>, clock: Clock, linger: Duration, lingering_max: usize) -> Pinger {
        let pulse = Arc::new(Pulse::new(clock.clone()));
        let (lingering, let_go) = (Arc::default(), Shutdown::default());
        Pinger { pool, pulse, clock, linger, lingering, lingering_max, let_go }
    }

    /// Pings of this worker that linger now.
    pub fn lingering(&self) -> usize {
        self.lingering.load(Ordering::Relaxed)
    }

    /// Ends every linger, and each that begins from now on at once: who has not answered by now does not any more.
    pub fn let_go(&self) {
        self.let_go.begin();
    }

    /// Asks everybody at once; the pings leave with the first `gather`.
    pub fn ask(&self, snapshot: &Arc<Snapshot>, asks: Vec<Ask>, closes: Timestamp) -> Asked {
        let watched = asks.iter().map(|one| Arc::clone(&one.health));
        let pool = Arc::clone(&self.pool);
        let round = Arc::new(Round::new(
            pool,
            Arc::clone(snapshot),
            self.clock.clone(),
            Arc::clone(&self.pulse),
            watched,
            closes,
        ));
        let latencies = Vec::with_capacity(asks.len());
        let pings = FuturesUnordered::new();
        Asked { pinger: self.clone(), asks, pings, round, unheard: Vec::new(), latencies }
    }
}

impl Asked {
    /// Hands each reply to the auction until it is settled or its deadline has come. To be called again when the winner
    /// could not be held. What can be done while nothing else is to be done is done in `one_is_left`: one last reply is
    /// waited for.
    pub async fn gather(
        &mut self,
        auction: &mut Auction,
        one_is_left: impl FnMut(&Auction, Timestamp),
    ) -> Close {
        self.begin();
        // Tokio lets a task use its sockets 128 times in a turn and then tells it that nothing is there, which for more
        // pings than that means: sent a turn later, and not read before the deadline though it came. What a turn may cost
        // is bounded without that: by the number of pings, and by what one reply may have.
        tokio::task::coop::unconstrained(self.collect(auction, one_is_left)).await
    }

    /// Gives each ping its connection. Only now: none lies longer between being looked at and being used than it must.
    fn begin(&mut self) {
        if self.asks.is_empty() {
            return;
        }
        let asks = std::mem::take(&mut self.asks);
        let taken = self.pinger.pool.take(asks.iter().map(|one| &one.endpoint));
        let ask = |((at, one), taken)| Box::pin(Arc::clone(&self.round).ask(at, one, taken)) as Asking;
        self.pings = asks.into_iter().enumerate().zip(taken).map(ask).collect();
    }

    async fn collect(
        &mut self,
        auction: &mut Auction,
        mut one_is_left: impl FnMut(&Auction, Timestamp),
    ) -> Close {
        let clock = self.pinger.clock.clone();
        let mut deadline = pin!(clock.sleep_until(self.round.closes));
        // A reply came since there was time.
        let mut is_new = false;
        for answered in std::mem::take(&mut self.unheard) {
            is_new |= self.hear(auction, answered);
        }
        let mut progress = auction.progress(clock.now());
        loop {
            let is_settled = self.pings.is_empty() || progress == Progress::Settled;
            tokio::select! {
                // The deadline first: once it has come, nothing that is read counts, however much is ready. Replies that
                // are there before the end, so that a settled auction still takes them, and its pings have left.
                biased;
                () = &mut deadline => {
                    self.round.close();
                    return Close::Deadline;
                }
                Some(answered) = self.pings.next() => {
                    let read = answered.read;
                    if !self.hear(auction, answered) {
                        self.round.close();
                        return Close::Deadline;
                    }
                    progress = auction.progress(read);
                    is_new = true;
                }
                () = std::future::ready(()), if is_settled => {
                    let is_early = !self.pings.is_empty() && auction.awaited().next().is_some();
                    return if is_early { Close::Early } else { Close::AllReplied };
                }
                () = std::future::ready(()), if is_new => {
                    is_new = false;
                    if auction.awaited().count() == 1 {
                        one_is_left(auction, clock.now());
                    }
                }
            }
        }
    }

    /// Hands a reply to the auction, if it came in time for it.
    fn hear(&mut self, auction: &mut Auction, answered: Answered) -> bool {
        let in_time = answered.in_time;
        if in_time {
            let Answered { entrant, latency, reply, read, .. } = answered;
            self.latencies.extend(latency.map(|latency| (entrant, latency)));
            auction.on_reply(entrant, reply, read);
        } else {
            self.unheard.push(answered);
        }
        in_time
    }

    /// Goes on reading while something else is waited for: a reply is timed when it comes and not when somebody looks.
    /// The auction hears of it with the next `gather`.
    pub async fn during<T>(&mut self, mut other: Pin<&mut impl Future<Output = T>>) -> T {
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                Some(answered) = self.pings.next() => self.unheard.push(answered),
            }
        }
    }

    /// Reply times of those who answered, by entrant.
    pub fn latencies(&self) -> &[(usize, Duration)] {
        &self.latencies
    }

    /// When the last ping was written; `None` when none was.
    pub fn last_written(&self) -> Option<Timestamp> {
        self.round.last_written()
    }

    /// Every ping found a connection waiting: the time to the last one is ours alone.
    pub fn all_warm(&self) -> bool {
        self.round.all_warm()
    }

    /// Lets go of what is out.
    pub fn release(self) -> Outstanding {
        Outstanding::of(self)
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({})", self.asks.len() + self.pings.len())
    }
}

#[cfg(test)]
mod tests;
