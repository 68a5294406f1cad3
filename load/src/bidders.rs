//! Scripted bid endpoints: real HTTP/1.1 servers on loopback, one port per bidder, all on one thread of their own.
//!
//! What a bidder answers and when depends on its script, its name, the seed and the call alone, so a run can be
//! repeated and an answer predicted ([`Behaviour::offer`]). Bidders do not check signatures and know nothing of
//! auctions; they keep what they saw for others to judge. A path other than `/bid` (a win notice, say) is
//! answered with 200 and kept apart.

mod port;
mod turn;

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::chance::Chance;
use crate::raw::Act;
use crate::trace::Trace;
use port::{Door, Port, attend, bind};
pub(crate) use turn::{Flow, Turn};

/// Bidders in one [`Bidders`].
pub const MAX_BIDDERS: usize = 4_096;
/// Pings (and, apart from them, notices) remembered per bidder unless [`Bidders::remember`] says otherwise.
pub const PINGS_REMEMBERED: usize = 10_000;
/// Connections one bidder holds open; more are closed at once and counted.
pub const MAX_CONNECTIONS: usize = 4_096;
/// Path of the bid endpoint.
const BID_PATH: &str = "/bid";
/// Deadline assumed for a ping that states none, in ms.
const DEADLINE_ASSUMED_MS: u64 = 500;
/// Connections the kernel queues before they are accepted.
const BACKLOG: u32 = 1_024;
/// Longest [`Bidders::set`] waits for the port to be opened or shut.
const SET_LIMIT: Duration = Duration::from_secs(5);

/// One bidder: a name, unique among its peers, and what it does.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub behaviour: Behaviour,
}

impl Script {
    pub fn new(name: impl Into<String>, behaviour: Behaviour) -> Script {
        Script { name: name.into(), behaviour }
    }
}

/// What a bidder does with a ping. Latencies count from the ping's last byte.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Bids a price between the two bounds (cents, both included), or says no bid in `no_bid_bps` of 10,000 calls.
    Bid { latency: Latency, price_cents: (u32, u32), no_bid_bps: u32, ttl_s: Option<u32> },
    /// Never bids.
    NoBid { latency: Latency, form: NoBidForm },
    /// Reads the ping and never answers.
    Hang,
    /// Bids this long after the ping's own `deadline_ms` has passed. The exchange keeps a few ms of margin, so
    /// values below about 10 may still be in time.
    Late { past_deadline_ms: u64, price_cents: u32 },
    /// Resets the connection (RST).
    Reset(ResetAt),
    /// 200 with an HTML page.
    Garbage,
    /// This status and a small JSON body.
    Status(u16),
    /// A correct bid, written one byte per interval.
    SlowDrip { interval_ms: u64, price_cents: u32 },
    /// Writes exactly these bytes and keeps the connection open.
    Raw(Vec<u8>),
    /// Writes exactly these bytes, then closes (FIN).
    RawThenClose(Vec<u8>),
    /// Plays these acts for every ping.
    Acts(Vec<Act>),
    /// Nobody listens: connections are refused. Open ones are reset when a bidder is set to this.
    DeadPort,
    /// 200 with this JSON body; `$PING_ID` in it becomes the ping's id.
    Fixed { latency_ms: u64, body: String },
}

/// How long a bidder thinks.
#[derive(Clone, Copy, Debug)]
pub enum Latency {
    /// Always this many ms.
    Fixed(u64),
    /// Lognormal around the median, never above the cap.
    Lognormal { median_ms: f64, sigma: f64, cap_ms: u64 },
}

/// The two ways to say no bid.
#[derive(Clone, Debug)]
pub enum NoBidForm {
    /// 204 without a body.
    Status204,
    /// 200 with `bid` 0 and this reason.
    Zero { reason: String },
}

/// When a resetting bidder resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetAt {
    /// As soon as it has accepted the connection.
    Accept,
    /// After it has read the ping.
    Request,
}

/// What a bidder will answer: the draw behind a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub delay: Duration,
    /// None is no bid.
    pub price_cents: Option<u32>,
}

/// Counters of one bidder since its start.
#[derive(Clone, Debug, Default)]
pub struct BidderStats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Connections closed at once because [`MAX_CONNECTIONS`] were open.
    pub refused_connections: u64,
    /// Requests that could not be read; their connections were closed.
    pub bad_requests: u64,
    /// Requests read on `/bid`.
    pub pings: u64,
    /// Requests read on any other path.
    pub notices: u64,
    /// Pings that were no JSON object of the bid contract (answered all the same).
    pub odd_pings: u64,
    /// Replies written to the last byte, of any kind.
    pub replies: u64,
    /// Correct bids among them.
    pub bids: u64,
    /// Correct no-bids among them.
    pub no_bids: u64,
    /// Pings whose connection the exchange closed before the reply was written.
    pub given_up: u64,
    /// Requests that arrived on a connection whose last reply was still owed. Must stay 0.
    pub reused_while_owing: u64,
    /// Headers of the last ping, names in lower case.
    pub last_headers: Vec<(String, String)>,
}

/// One request as it was seen.
#[derive(Clone, Debug)]
pub struct SeenPing {
    /// Number within its bidder, from 0, pings and notices counted together.
    pub seq: u64,
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub ping_id: Option<String>,
    /// The call's number from the tag `load_call`.
    pub call: Option<u64>,
    pub received: Instant,
    /// Just before the reply's last byte was written.
    pub replied: Option<Instant>,
    /// When the exchange closed the connection instead of waiting for the reply.
    pub given_up: Option<Instant>,
    /// The price of a correct bid, once replied.
    pub bid_cents: Option<u32>,
}

impl SeenPing {
    /// The value of a header, by its name in lower case (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Running bidders. Dropping it stops them.
pub struct Bidders {
    ports: HashMap<String, Arc<Port>>,
    trace: Arc<Trace>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bidders {
    /// Opens a port on 127.0.0.1 for every script; when this returns, all of them accept connections.
    pub fn start(seed: u64, scripts: Vec<Script>) -> io::Result<Bidders> {
        if scripts.len() > MAX_BIDDERS {
            let message = format!("{} bidders; at most {MAX_BIDDERS} are allowed", scripts.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let trace = Arc::new(Trace::default());
        let mut ports = HashMap::new();
        let mut doors = Vec::new();
        for script in scripts {
            let socket = bind((Ipv4Addr::LOCALHOST, 0).into())?;
            let port = Arc::new(Port::new(seed, script, socket.local_addr()?, trace.clone()));
            doors.push((port.clone(), socket));
            if let Some(twin) = ports.insert(port.name.clone(), port) {
                let message = format!("two bidders are named {:?}; names must differ", twin.name);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        let (stop, stopped) = oneshot::channel();
        let (ready, opened) = std::sync::mpsc::sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("bidders".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let doors: io::Result<Vec<_>> =
                    doors.into_iter().map(|(port, socket)| Ok((Door::open(&port, socket)?, port))).collect();
                let result = doors.map(|doors| {
                    for (door, port) in doors {
                        tokio::spawn(attend(port, door));
                    }
                });
                let failed = result.is_err();
                if ready.send(result).is_ok() && !failed {
                    let _ = stopped.await; // a dropped sender stops as well
                }
            });
            // Dropping the runtime drops every connection.
        })?;
        let bidders = Bidders { ports, trace, stop: Some(stop), thread: Some(thread) };
        match opened.recv() {
            Ok(Ok(())) => Ok(bidders),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the bidders' thread ended before its ports were open")),
        }
    }

    /// The bid endpoint's URL. Panics for a name that no script has, as do all that take a name.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}{BID_PATH}", self.port(name).addr)
    }

    /// A URL on the bidder's port for win notices.
    pub fn notice_url(&self, name: &str) -> String {
        format!("http://{}/notice", self.port(name).addr)
    }

    pub fn stats(&self, name: &str) -> BidderStats {
        self.port(name).record().stats.clone()
    }

    /// Waits until the bidder's counters satisfy `until`; false when the limit passed first.
    pub fn wait(&self, name: &str, limit: Duration, mut until: impl FnMut(&BidderStats) -> bool) -> bool {
        let port = self.port(name);
        let waited =
            port.record_changed.wait_timeout_while(port.record(), limit, |record| !until(&record.stats));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The last pings, oldest first.
    pub fn pings(&self, name: &str) -> Vec<SeenPing> {
        self.port(name).record().pings.iter().cloned().collect()
    }

    /// The last requests on other paths than the bid endpoint's, oldest first.
    pub fn notices(&self, name: &str) -> Vec<SeenPing> {
        self.port(name).record().notices.iter().cloned().collect()
    }

    /// Remembers this many pings (and notices) per bidder from now on. A remembered ping takes about 1.5 kB.
    pub fn remember(&self, pings_per_bidder: usize) {
        for port in self.ports.values() {
            port.record().keep = pings_per_bidder;
        }
    }

    /// Changes what a bidder does, from its next ping on. When this returns its port is open or shut accordingly.
    pub fn set(&self, name: &str, behaviour: Behaviour) {
        self.port(name).set(behaviour);
    }

    /// The stopwatch, to be handed to the carriers.
    pub fn trace(&self) -> Arc<Trace> {
        self.trace.clone()
    }

    /// Closes every connection and port.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.stop.take(); // dropping it is the signal
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the bidders' thread panicked; its message is above");
        }
    }

    fn port(&self, name: &str) -> &Port {
        match self.ports.get(name) {
            Some(port) => port,
            None => panic!("no bidder is named {name:?}"),
        }
    }
}

impl Drop for Bidders {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Latency {
    fn draw(self, chance: &mut Chance) -> Duration {
        match self {
            Latency::Fixed(ms) => Duration::from_millis(ms),
            Latency::Lognormal { median_ms, sigma, cap_ms } => {
                let ms = chance.lognormal(median_ms, sigma).clamp(0.0, cap_ms as f64);
                Duration::from_micros((ms * 1_000.0) as u64)
            }
        }
    }
}

impl Behaviour {
    /// What a bidder of this name and behaviour answers to the call `key` (its `load_call`, else the ping's id).
    /// The delay of behaviours that never reply is zero.
    pub fn offer(&self, seed: u64, bidder: &str, key: &str, deadline_ms: u64) -> Offer {
        let mut chance = Chance::new(seed, &[bidder, key]);
        match self {
            Behaviour::Bid { latency, price_cents: (low, high), no_bid_bps, ttl_s: _ } => {
                let delay = latency.draw(&mut chance);
                let declined = chance.hits(*no_bid_bps);
                let price = chance.between(u64::from(*low), u64::from(*high)) as u32;
                Offer { delay, price_cents: (!declined).then_some(price) }
            }
            Behaviour::NoBid { latency, form: _ } => {
                Offer { delay: latency.draw(&mut chance), price_cents: None }
            }
            Behaviour::Late { past_deadline_ms, price_cents } => Offer {
                delay: Duration::from_millis(deadline_ms.saturating_add(*past_deadline_ms)),
                price_cents: Some(*price_cents),
            },
            Behaviour::SlowDrip { interval_ms: _, price_cents } => {
                Offer { delay: Duration::ZERO, price_cents: Some(*price_cents) }
            }
            Behaviour::Fixed { latency_ms, body: _ } => {
                Offer { delay: Duration::from_millis(*latency_ms), price_cents: None }
            }
            Behaviour::Hang
            | Behaviour::Reset(_)
            | Behaviour::Garbage
            | Behaviour::Status(_)
            | Behaviour::Raw(_)
            | Behaviour::RawThenClose(_)
            | Behaviour::Acts(_)
            | Behaviour::DeadPort => Offer { delay: Duration::ZERO, price_cents: None },
        }
    }

    fn is_dead(&self) -> bool {
        matches!(self, Behaviour::DeadPort)
    }
}
