//! One worker's connections to bid endpoints: kept warm, last used first, opened ahead of need.
//!
//! A connection comes back only when a reply was read to its end, so none is ever reused while it owes one. Dropping the
//! future of a request closes its connection (hyper does so); whoever wants to keep it keeps the future.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};

use super::endpoint::{Endpoint, NoAddress};
use super::opening::Openings;
use super::wire::{Failure, Reach, check_framing, collect, connect, failure, is_closed};
use crate::domain::{Reason, Timestamp};
use crate::runtime::Clock;
use crate::telemetry::event;

/// Seconds over which the need for connections is judged.
const WINDOW_S: usize = 60;
/// Largest number of concurrent pings told apart when judging the need.
const CONCURRENT_MAX: usize = 1_024;
/// Connections one endpoint may have opened ahead in one round of upkeep.
const AHEAD_MAX: usize = 32;

/// What bounds a worker's connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections of all workers together.
    pub connections: usize,
    /// How long an unused one is kept.
    pub idle: Duration,
    /// Time to connect, TLS included.
    pub connect: Duration,
}

/// The connections of one worker.
#[derive(Debug)]
pub struct Pool {
    /// By serial: what is opened or closed first must not depend on a hash.
    by_endpoint: Mutex<BTreeMap<usize, Shelf>>,
    open: Arc<AtomicUsize>,
    openings: Openings,
    limits: Limits,
    reach: Reach,
    clock: Clock,
}

/// What a connection is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    /// Pings to come.
    Ahead,
    /// A ping that waits for it.
    InAuction,
}

impl Opened {
    const fn as_str(self) -> &'static str {
        match self {
            Opened::Ahead => "ahead",
            Opened::InAuction => "auction",
        }
    }
}

/// What one worker has of one endpoint.
#[derive(Debug)]
struct Shelf {
    endpoint: Arc<Endpoint>,
    /// The last one back is the first one out.
    idle: VecDeque<Idle>,
    in_use: usize,
    opening: usize,
    need: Need,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Timestamp,
}

/// A connection that owes nothing.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Bytes read since the last request was sent.
    read: Arc<AtomicUsize>,
    _counted: Counted,
}

impl Connection {
    /// Whether nothing came since the last request was sent: a reply that began is that request's reply.
    fn is_untouched(&self) -> bool {
        self.read.load(Ordering::Relaxed) == 0
    }
}

/// One of the connections allowed in all.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many pings were out at once, over the last minute.
#[derive(Debug)]
struct Need {
    seconds: VecDeque<(i64, Vec<u32>)>,
}

impl Need {
    fn note(&mut self, concurrent: usize, now: Timestamp) {
        if self.seconds.back().is_none_or(|(second, _)| *second != now.seconds()) {
            if self.seconds.len() == WINDOW_S {
                self.seconds.pop_front();
            }
            self.seconds.push_back((now.seconds(), Vec::new()));
        }
        let Some((_, counts)) = self.seconds.back_mut() else { return };
        let at = concurrent.min(CONCURRENT_MAX);
        if counts.len() <= at {
            counts.resize(at + 1, 0);
        }
        counts[at] += 1;
    }

    /// p99 of the concurrent pings of the last minute and 30 % more, at least 1; 0 when there was none.
    fn connections(&mut self, now: Timestamp) -> usize {
        let start = now.seconds() - WINDOW_S as i64;
        while self.seconds.front().is_some_and(|(second, _)| *second <= start) {
            self.seconds.pop_front();
        }
        let widest = self.seconds.iter().map(|(_, counts)| counts.len()).max().unwrap_or(0);
        let total: u64 = self.seconds.iter().flat_map(|(_, counts)| counts).map(|n| u64::from(*n)).sum();
        let mut above = 0;
        for concurrent in (0..widest).rev() {
            above += self
                .seconds
                .iter()
                .filter_map(|(_, c)| c.get(concurrent))
                .map(|n| u64::from(*n))
                .sum::<u64>();
            if above * 100 > total {
                return (concurrent * 13).div_ceil(10).max(1);
            }
        }
        0
    }
}

/// A reply read to its end.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// When the request was handed to its connection.
    pub(super) written: Timestamp,
    /// When the last byte was read.
    pub(super) read: Timestamp,
}

impl Pool {
    /// Empty. `open` counts the connections of all workers.
    pub fn new(limits: Limits, open: Arc<AtomicUsize>, reach: Reach, clock: Clock) -> Pool {
        let openings = Openings::default();
        Pool { by_endpoint: Mutex::new(BTreeMap::new()), open, openings, limits, reach, clock }
    }

    /// Sends a request and reads the reply to its end. Not sent when no connection is up before `until`. A connection
    /// that the peer closed while it lay idle is replaced once. `written` is told when, and whether a
    /// connection was waiting.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        request: Request<Full<Bytes>>,
        until: Timestamp,
        written: impl Fn(Timestamp, bool),
    ) -> Result<Received, Failure> {
        let in_use = self.use_one(endpoint);
        let mut request = request;
        for reused in [true, false] {
            let mut connection = match if reused { self.take_idle(endpoint) } else { None } {
                Some(connection) => connection,
                None if reused => continue,
                None => self.open(endpoint, Opened::InAuction).await?,
            };
            let sent = self.clock.now();
            if sent >= until {
                self.put_back(endpoint, connection);
                return Err(Failure::noted(Reason::Connect, "not connected before the deadline"));
            }
            // Kept for the one case in which the peer had closed a connection before it could read anything.
            let again = reused.then(|| request.clone());
            written(sent, reused);
            connection.read.store(0, Ordering::Relaxed);
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let received = self.read(response, sent).await?;
                    drop(in_use);
                    self.put_back(endpoint, connection);
                    return Ok(received);
                }
                Err(mut error) => {
                    let was_sent = error.take_message().is_none();
                    let may_repeat = !was_sent || connection.is_untouched() && is_closed(error.error());
                    match again.filter(|_| may_repeat) {
                        Some(again) => request = again,
                        None => return Err(failure(error.error())),
                    }
                }
            }
        }
        Err(Failure::noted(Reason::Disconnected, "the connection was closed"))
    }

    async fn read(
        &self,
        response: Response<hyper::body::Incoming>,
        written: Timestamp,
    ) -> Result<Received, Failure> {
        let status = response.status();
        check_framing(response.headers())?;
        let body = match status {
            StatusCode::NO_CONTENT => Vec::new(),
            _ => collect(response.into_body()).await?,
        };
        Ok(Received { status: status.as_u16(), body, written, read: self.clock.now() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Shelf>> {
        self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_shelf<R>(&self, endpoint: &Arc<Endpoint>, with: impl FnOnce(&mut Shelf) -> R) -> R {
        let mut shelves = self.lock();
        with(shelves.entry(endpoint.serial).or_insert_with(|| Shelf {
            endpoint: Arc::clone(endpoint),
            idle: VecDeque::new(),
            in_use: 0,
            opening: 0,
            need: Need { seconds: VecDeque::new() },
        }))
    }

    fn use_one(self: &Arc<Self>, endpoint: &Arc<Endpoint>) -> InUse {
        let now = self.clock.now();
        self.with_shelf(endpoint, |shelf| {
            shelf.in_use += 1;
            shelf.need.note(shelf.in_use, now);
        });
        InUse { pool: Arc::clone(self), serial: endpoint.serial }
    }

    fn take_idle(&self, endpoint: &Arc<Endpoint>) -> Option<Connection> {
        self.with_shelf(endpoint, |shelf| {
            while let Some(idle) = shelf.idle.pop_back() {
                if idle.connection.sender.is_ready() {
                    return Some(idle.connection);
                }
            }
            None
        })
    }

    /// Shelves the connection once hyper says it is ready again; a reply that ended it ends here.
    fn put_back(self: &Arc<Self>, endpoint: &Arc<Endpoint>, mut connection: Connection) {
        if connection.sender.is_ready() {
            let since = self.clock.now();
            self.with_shelf(endpoint, |shelf| shelf.idle.push_back(Idle { connection, since }));
            return;
        }
        let (pool, endpoint) = (Arc::clone(self), Arc::clone(endpoint));
        tokio::spawn(async move {
            let ready = tokio::time::timeout(pool.limits.connect, connection.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                let since = pool.clock.now();
                pool.with_shelf(&endpoint, |shelf| shelf.idle.push_back(Idle { connection, since }));
            }
        });
    }

    async fn open(&self, endpoint: &Arc<Endpoint>, when: Opened) -> Result<Connection, Failure> {
        let opening = self.openings.begin(when == Opened::InAuction, self.clock.now())?;
        let counted = self.count_one(when)?;
        let address = endpoint.address(self.clock.now()).map_err(|why| match why {
            NoAddress::Unknown => Failure::noted(Reason::Dns, "the name does not resolve"),
            NoAddress::Refused => Failure::noted(Reason::Dns, "the address is closed to pings"),
        })?;
        let sender =
            match tokio::time::timeout(self.limits.connect, connect(&self.reach, endpoint, address)).await {
                Ok(connected) => connected,
                Err(_) => Err(Failure::noted(Reason::Connect, "no connection in time")),
            };
        drop(opening);
        endpoint.connected(sender.is_ok());
        let (sender, read) = sender?;
        event::connection_opened(&endpoint.buyer, when.as_str());
        Ok(Connection { sender, read, _counted: counted })
    }

    /// Room for one more connection; for one that an auction waits for, made if need be by closing the one that lay idle
    /// longest.
    fn count_one(&self, when: Opened) -> Result<Counted, Failure> {
        let most = self.limits.connections;
        let room = |open: usize| (open < most).then_some(open + 1);
        for _ in 0..2 {
            if self.open.try_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok() {
                return Ok(Counted(Arc::clone(&self.open)));
            }
            if when == Opened::InAuction {
                self.close_the_longest_idle();
            }
        }
        Err(Failure::ours(Reason::Connect, "as many connections as pings may have"))
    }

    fn close_the_longest_idle(&self) {
        let mut shelves = self.lock();
        let oldest = shelves.values_mut().filter(|shelf| !shelf.idle.is_empty());
        if let Some(shelf) = oldest.min_by_key(|shelf| shelf.idle.front().map(|idle| idle.since)) {
            shelf.idle.pop_front();
        }
    }

    /// Closes what lay idle too long and opens what will be needed. Call it once a second.
    pub fn upkeep(self: &Arc<Self>) {
        let now = self.clock.now();
        let mut wanted = Vec::new();
        self.lock().retain(|_, shelf| {
            let oldest = now.before(self.limits.idle);
            shelf.idle.retain(|idle| idle.since > oldest && !idle.connection.sender.is_closed());
            let need = shelf.need.connections(now);
            let have = shelf.idle.len() + shelf.in_use + shelf.opening;
            // Where the last attempt failed, only a ping that needs a connection tries again.
            let most = if shelf.endpoint.is_refusing() { 0 } else { AHEAD_MAX };
            let missing = need.saturating_sub(have).min(most);
            shelf.opening += missing;
            wanted.extend(std::iter::repeat_n(Arc::clone(&shelf.endpoint), missing));
            need > 0 || have > 0
        });
        for endpoint in wanted {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                let opened = pool.open(&endpoint, Opened::Ahead).await;
                pool.with_shelf(&endpoint, |shelf| shelf.opening = shelf.opening.saturating_sub(1));
                if let Ok(connection) = opened {
                    pool.put_back(&endpoint, connection);
                }
            });
        }
    }

    /// Connections open now, of all workers.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A ping that is out.
struct InUse {
    pool: Arc<Pool>,
    serial: usize,
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(shelf) = self.pool.lock().get_mut(&self.serial) {
            shelf.in_use = shelf.in_use.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_need_is_the_p99_of_a_minute_and_a_third_more() {
        let second = |s: i64| Timestamp::from_micros(s * 1_000_000);
        let mut need = Need { seconds: VecDeque::new() };
        assert_eq!(need.connections(second(0)), 0, "never used");
        need.note(1, second(0));
        assert_eq!(need.connections(second(0)), 2, "1 and 30 %, rounded up");
        for n in 0..1_000 {
            need.note(if n < 980 { 3 } else { 10 }, second(1));
        }
        assert_eq!(need.connections(second(2)), 13, "2 % of the pings saw 10 at once");
        for n in 0..100_000 {
            need.note(if n == 0 { 10 } else { 3 }, second(5));
        }
        assert_eq!(need.connections(second(59)), 4, "10 at once is below the 99th percentile now");
        assert_eq!(need.connections(second(90)), 0, "nothing asked for a minute");
        need.note(5_000, second(91));
        assert_eq!(need.connections(second(91)), (CONCURRENT_MAX * 13).div_ceil(10), "bounded");
    }
}
