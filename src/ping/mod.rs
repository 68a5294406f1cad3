//! Asking buyers over the network: parallel pings, and the one `select!` that owns the deadline.
//!
//! What a ping says and what a reply means is in `bidder`; who wins is in `auction`. Here is only the asking: when it
//! starts, when it ends, and what becomes of what is still out then.

pub mod client;
pub mod egress;
pub mod endpoint;
pub mod health;
mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::Request;

use crate::auction::bid::{NoBid, Reply};
use crate::auction::{Auction, Progress};
use crate::bidder::reply::{Terms, read};
use crate::domain::{Money, PingId, Reason, TargetIx, Timestamp};
use crate::runtime::Clock;
use crate::snapshot::Snapshot;
use crate::telemetry::event;
use client::Pool;
use endpoint::Endpoint;

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
    /// Everybody asked has answered.
    AllReplied,
    /// The deadline came first.
    Deadline,
}

impl Close {
    /// The word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Close::AllReplied => "all_replied",
            Close::Deadline => "deadline",
        }
    }
}

/// An auction's pings when it closed.
#[derive(Debug)]
pub struct Gathered {
    /// How it ended.
    pub close: Close,
    /// Reply times of those who answered, by entrant.
    pub latencies: Vec<(usize, Duration)>,
    /// When the last ping was written; `None` when none was.
    pub last_written: Option<Timestamp>,
    /// Every ping found a connection waiting: the time to the last one is ours alone.
    pub all_warm: bool,
    /// What is still out.
    pub outstanding: Outstanding,
}

type Asking = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// Pings whose auction is over. Dropping them closes their connections; `finish` gives them their linger.
pub struct Outstanding {
    pings: FuturesUnordered<Asking>,
    /// Read to its end between the close and the moment the timer told of it.
    just_missed: Option<Answered>,
    lingering: Arc<AtomicUsize>,
    granted: usize,
    linger: Duration,
}

/// What became of a ping that was out when its auction closed.
#[derive(Debug, PartialEq, Eq)]
pub struct Late {
    /// Position among the auction's entrants.
    pub entrant: usize,
    /// `late` for a complete reply; the failure's own reason where nobody could be asked at all; else `timeout`.
    pub reason: Reason,
    /// The amount that came too late.
    pub amount: Option<Money>,
    /// From ping written to reply read, of complete replies.
    pub latency: Option<Duration>,
    /// What went wrong instead.
    pub note: Option<String>,
}

impl Late {
    fn of(answered: Answered) -> Late {
        let Answered { entrant, latency, reply, .. } = answered;
        let (amount, failure) = match reply {
            Reply::Bid(bid) => (Some(bid.amount), None),
            Reply::NoBid(NoBid { reason, amount, note }) => (amount, Some((reason, note))),
        };
        match (latency, failure) {
            (Some(_), _) => Late { entrant, reason: Reason::Late, amount, latency, note: None },
            (None, Some((reason @ (Reason::Connect | Reason::Tls | Reason::Dns), note))) => {
                Late { entrant, reason, amount: None, latency, note }
            }
            (None, failure) => {
                let note = failure.and_then(|(reason, note)| note.or(Some(reason.to_string())));
                Late { entrant, reason: Reason::Timeout, amount: None, latency, note }
            }
        }
    }
}

/// How a worker asks.
#[derive(Clone, Debug)]
pub struct Pinger {
    /// Its connections.
    pub pool: Arc<Pool>,
    clock: Clock,
    linger: Duration,
    lingering: Arc<AtomicUsize>,
    lingering_max: usize,
}

impl Pinger {
    /// A worker's own. `linger` is how long an outstanding ping keeps its connection, at most `lingering_max` at once.
    pub fn new(pool: Arc<Pool>, clock: Clock, linger: Duration, lingering_max: usize) -> Pinger {
        Pinger { pool, clock, linger, lingering: Arc::default(), lingering_max }
    }

    /// Pings of this worker that linger now.
    pub fn lingering(&self) -> usize {
        self.lingering.load(Ordering::Relaxed)
    }

    /// Asks everybody at once and hands each reply to the auction, until all have answered or it is `closes`.
    pub async fn gather(
        &self,
        snapshot: &Arc<Snapshot>,
        asks: Vec<Ask>,
        auction: &mut Auction,
        closes: Timestamp,
    ) -> Gathered {
        let written = Arc::new(Written::default());
        let mut pings: FuturesUnordered<Asking> = asks
            .into_iter()
            .map(|one| {
                let (snapshot, mark) = (Arc::clone(snapshot), Arc::clone(&written));
                Box::pin(ask(self.clone(), snapshot, one, closes, mark)) as Asking
            })
            .collect();
        let mut deadline = std::pin::pin!(self.clock.sleep_until(closes));
        let mut latencies = Vec::with_capacity(pings.len());
        let mut just_missed = None;
        let close = loop {
            tokio::select! {
                // The deadline first: once it has come, nothing that is read counts, however much is ready.
                biased;
                () = &mut deadline => break Close::Deadline,
                answered = pings.next() => match answered {
                    None => break Close::AllReplied,
                    Some(answered) if answered.read >= closes => {
                        just_missed = Some(answered);
                        break Close::Deadline;
                    }
                    Some(Answered { entrant, latency, reply, read }) => {
                        latencies.extend(latency.map(|latency| (entrant, latency)));
                        if auction.on_reply(entrant, reply, read) == Progress::Settled {
                            break Close::AllReplied;
                        }
                    }
                },
            }
        };
        let last_written = match written.last.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Timestamp::from_micros(micros)),
        };
        let all_warm = !written.cold.load(Ordering::Relaxed);
        Gathered {
            close,
            latencies,
            last_written,
            all_warm,
            outstanding: self.outstanding(pings, just_missed),
        }
    }

    /// All of an auction's outstanding pings linger, or none: half an explanation helps nobody.
    fn outstanding(&self, pings: FuturesUnordered<Asking>, just_missed: Option<Answered>) -> Outstanding {
        let wanted = pings.len();
        let room = |now: usize| Some(now + wanted).filter(|then| *then <= self.lingering_max);
        let granted = self.lingering.try_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        let lingering = Arc::clone(&self.lingering);
        let mut outstanding =
            Outstanding { pings, just_missed, lingering, granted: wanted, linger: self.linger };
        if !granted {
            event::linger_overflow(wanted);
            outstanding.granted = 0;
            outstanding.pings.clear();
        }
        outstanding
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
    let mut watched = Watched { endpoint: Arc::clone(&ask.endpoint), hit: false };
    let mark = |at: Timestamp, warm: bool| {
        written.last.fetch_max(at.micros(), Ordering::Relaxed);
        written.cold.fetch_or(!warm, Ordering::Relaxed);
    };
    let answer = pinger.pool.exchange(&ask.endpoint, ask.request, closes, mark).await;
    match answer {
        Ok(mut received) => {
            let latency = received.read.since(received.written);
            event::ping_replied(&ask.endpoint.buyer, latency);
            watched.hit = received.read < closes;
            let reply = judge(&snapshot, ask.target, ask.ping, &mut received);
            Answered { entrant: ask.entrant, latency: Some(latency), reply, read: received.read }
        }
        Err(wire::Failure(reply)) => {
            Answered { entrant: ask.entrant, latency: None, reply, read: pinger.clock.now() }
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

/// Books a miss unless a reply came in time; an abandoned ping is one too.
struct Watched {
    endpoint: Arc<Endpoint>,
    hit: bool,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.hit { self.endpoint.health.hit() } else { self.endpoint.health.miss() }
    }
}

impl Outstanding {
    /// Whether nothing is out.
    pub fn is_empty(&self) -> bool {
        self.pings.is_empty() && self.just_missed.is_none()
    }

    /// Waits out the linger: complete replies are returned and their connections kept, the others are closed. Who is
    /// not among the returned ended in `timeout`.
    pub async fn finish(mut self) -> Vec<Late> {
        let mut late: Vec<Late> = self.just_missed.take().map(Late::of).into_iter().collect();
        let until = tokio::time::Instant::now() + self.linger;
        while let Ok(Some(answered)) = tokio::time::timeout_at(until, self.pings.next()).await {
            late.push(Late::of(answered));
        }
        late
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.lingering.fetch_sub(self.granted, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Outstanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outstanding({})", self.pings.len())
    }
}
