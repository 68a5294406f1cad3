//! One worker's connections to bid endpoints: kept warm, last used first, opened ahead of need.
//!
//! A connection comes back only when a reply was read to its end, so none is ever reused while it owes one. Whoever asks
//! owns the connection: dropping the question closes it, and whoever wants to keep it keeps the future. A ping for which
//! none may be opened now stands in line for the next that comes back or may be opened after all.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::LEAST_TIME;
use super::endpoint::{Endpoint, NoAddress};
use super::opening::{Openings, Permit};
use super::wire::{Failure, Reach, Wire, owe_nothing};
use crate::bidder::request::Request;
use crate::domain::{Reason, Timestamp};
use crate::runtime::Clock;
use crate::telemetry::event;

/// Seconds over which the need for connections is judged.
const WINDOW_S: usize = 60;
/// Largest number of concurrent pings told apart when judging the need.
const CONCURRENT_MAX: usize = 1_024;
/// Connections one endpoint may have opened ahead in one round of upkeep.
const AHEAD_MAX: usize = 32;
/// Pings that stand in line for connections to one endpoint.
const IN_LINE_MAX: usize = 1_024;
/// From one that is opened ahead to the next: all at once would keep replies waiting that are there, and deadlines that
/// have come. As many a second as `opening` has for them.
const AHEAD_PACE: Duration = Duration::from_millis(2);
/// How often it is tried again whether one may be opened for who stands in line.
const LINE_PACE: Duration = Duration::from_millis(5);

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
    /// Somebody tries again for who stands in line.
    is_paced: AtomicBool,
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
    /// Being opened for whoever comes: ahead of need, or for the line.
    opening: usize,
    /// Pings that wait for a connection, the first in front.
    line: VecDeque<oneshot::Sender<Place>>,
    need: Need,
}

/// What a place in line brings: a connection, or why the one that was opened for it is not there.
type Place = Result<Connection, Failure>;

/// What opening a connection takes.
struct Room {
    address: SocketAddr,
    permit: Permit,
    counted: Counted,
}

/// Why a connection was not opened.
enum NotOpened {
    /// Too many are being opened, or were lately.
    NotNow,
    /// It could not be.
    Failed(Failure),
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> NotOpened {
        NotOpened::Failed(failure)
    }
}

impl Shelf {
    fn of(endpoint: &Arc<Endpoint>) -> Shelf {
        Shelf {
            endpoint: Arc::clone(endpoint),
            idle: VecDeque::new(),
            in_use: 0,
            opening: 0,
            line: VecDeque::new(),
            need: Need { seconds: VecDeque::new() },
        }
    }

    /// The one that was used last.
    fn next(&mut self) -> Option<Connection> {
        self.idle.pop_back().map(|idle| idle.connection)
    }

    /// Gives a connection to the first in line that is still there, or keeps it for the next ping.
    fn put(&mut self, mut connection: Connection, since: Timestamp) {
        while let Some(first) = self.line.pop_front() {
            match first.send(Ok(connection)) {
                Err(Ok(back)) => connection = back,
                _ => return,
            }
        }
        self.idle.push_back(Idle { connection, since });
    }

    /// The first in line that is still there is told why the one that was opened for it is not.
    fn fail(&mut self, mut failure: Failure) {
        while let Some(first) = self.line.pop_front() {
            match first.send(Err(failure)) {
                Err(Err(back)) => failure = back,
                _ => return,
            }
        }
    }

    /// A place in the line of one of its pings; none where nothing can come back, or the line is too long.
    fn stand_in_line(&mut self) -> Option<oneshot::Receiver<Place>> {
        // Whoever asks is one of those in use.
        let is_of_use = |shelf: &Shelf| shelf.comes_back(1) && shelf.line.len() < IN_LINE_MAX;
        if !is_of_use(self) {
            self.line.retain(|one| !one.is_closed());
            if !is_of_use(self) {
                return None;
            }
        }
        let (hand_over, place) = oneshot::channel();
        self.line.push_back(hand_over);
        Some(place)
    }

    /// None may be opened for who stands in line: where nothing comes back either, they are told.
    fn let_go_of_the_line(&mut self) {
        self.line.retain(|one| !one.is_closed());
        if !self.comes_back(0) {
            self.line.clear();
        }
    }

    /// Whether any is out or being opened, but for so many; everybody in line is one of those in use.
    fn comes_back(&self, but: usize) -> bool {
        self.opening > 0 || self.in_use > self.line.len() + but
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Timestamp,
}

/// A connection that owes nothing. Boxed: it is handed on with every ping, and a ping that is out should be small.
#[derive(Debug)]
struct Connection {
    wire: Box<Wire>,
    _counted: Counted,
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
pub(super) struct Received<'a> {
    pub(super) status: u16,
    /// In the connection's own buffer; may be overwritten.
    pub(super) body: &'a mut [u8],
    /// When the request was handed to its connection.
    pub(super) written: Timestamp,
    /// When the last byte was read.
    pub(super) read: Timestamp,
}

impl Pool {
    /// Empty. `open` counts the connections of all workers.
    pub fn new(limits: Limits, open: Arc<AtomicUsize>, reach: Reach, clock: Clock) -> Pool {
        let openings = Openings::default();
        let (by_endpoint, is_paced) = (Mutex::new(BTreeMap::new()), AtomicBool::new(false));
        Pool { by_endpoint, open, openings, is_paced, limits, reach, clock }
    }

    /// Counts one more in use of each endpoint; with the connection that was used last, of those that wait.
    pub(super) fn take<'e>(
        self: &Arc<Self>,
        endpoints: impl Iterator<Item = &'e Arc<Endpoint>>,
    ) -> Vec<Taken> {
        let now = self.clock.now();
        let mut shelves = self.lock();
        let mut taken: Vec<Taken> = endpoints
            .map(|endpoint| {
                let shelf = shelves.entry(endpoint.serial).or_insert_with(|| Shelf::of(endpoint));
                shelf.in_use += 1;
                shelf.need.note(shelf.in_use, now);
                let in_use = InUse { pool: Arc::clone(self), serial: endpoint.serial, is_over: false };
                Taken { in_use, waiting: shelf.next() }
            })
            .collect();
        // Whoever said something meanwhile said it to nobody, and whoever left is gone: the next, until all are clean.
        let mut unasked: Vec<&mut Taken> = taken.iter_mut().collect();
        unasked.retain(|one| one.waiting.is_some());
        while !unasked.is_empty() {
            let wires = unasked.iter_mut().filter_map(|one| one.waiting.as_mut()).map(|one| &mut *one.wire);
            let mut are_clean = owe_nothing(wires).into_iter();
            unasked.retain_mut(|one| {
                let is_clean = are_clean.next() == Some(true);
                if !is_clean {
                    one.waiting = shelves.get_mut(&one.in_use.serial).and_then(Shelf::next);
                }
                !is_clean && one.waiting.is_some()
            });
        }
        taken
    }

    /// Sends a request and reads the reply to its end; `judge` says what it is worth. Not sent when no connection is there
    /// `LEAST_TIME` before `until`. A connection that the peer closed while it lay idle, with a 408 or without a word, is
    /// replaced, once. `leaves` is told when the request does and whether a connection was waiting, and may change what it
    /// says.
    pub(super) async fn exchange<T>(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        Taken { in_use, mut waiting }: Taken,
        request: &mut Request,
        until: Timestamp,
        leaves: impl Fn(&mut Request, Timestamp, bool),
        judge: impl FnOnce(Received<'_>) -> T,
    ) -> Result<T, Failure> {
        let mut now = self.clock.now();
        if now >= until {
            if let Some(connection) = waiting {
                in_use.give_back(connection, now);
            }
            // Nobody was too slow to connect or to answer: a late worker of ours came to it only now.
            return Err(Failure::ours(Reason::NoTime, "its turn came after the deadline"));
        }
        let mut is_again = false;
        loop {
            let is_warm = waiting.is_some();
            let (mut connection, is_reused) = match waiting.take() {
                Some(connection) => (connection, true),
                None => {
                    // Boxed: nearly every ping is a question on a connection that waits, and should be no larger.
                    let (opened, from_line) = Box::pin(self.opened_or_next(endpoint, until)).await?;
                    now = self.clock.now();
                    if until.since(now) < LEAST_TIME {
                        in_use.give_back(opened, now);
                        // Who stood in line waited for us, and not for who was to be connected to.
                        let failure = if from_line { Failure::ours } else { Failure::noted };
                        return Err(failure(Reason::Connect, "not connected in time for the deadline"));
                    }
                    (opened, from_line)
                }
            };
            leaves(request, now, is_warm);
            let asked = connection.wire.ask(request.bytes()).await;
            let is_unread = match &asked {
                Ok(whole) => whole.says_unread(),
                Err(broken) => broken.is_unanswered,
            };
            // Closed before it could read anything: the one case in which a ping is sent again.
            // After the deadline it would only cost a connection that others need.
            if is_reused && is_unread && !is_again && self.clock.now() < until {
                is_again = true;
                continue;
            }
            let whole = asked.map_err(|broken| broken.failure)?;
            let read = self.clock.now();
            let body = connection.wire.body(&whole);
            let judged = judge(Received { status: whole.status, body, written: now, read });
            if whole.is_kept {
                in_use.give_back(connection, read);
            }
            return Ok(judged);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Shelf>> {
        self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is opened for a ping, or, where none may be now, the next that is there; and whether it stood in
    /// line for it.
    async fn opened_or_next(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        until: Timestamp,
    ) -> Result<(Connection, bool), Failure> {
        match self.open(endpoint, Opened::InAuction).await {
            Ok(connection) => {
                // What was used of the allowance is free for who is in line.
                self.open_for_the_line(endpoint);
                return Ok((connection, false));
            }
            Err(NotOpened::Failed(failure)) => return Err(failure),
            Err(NotOpened::NotNow) => {}
        }
        let not_now = || Failure::ours(Reason::Connect, "too many connections are being opened");
        loop {
            let left = until.since(self.clock.now()).saturating_sub(LEAST_TIME);
            let place = self.lock().get_mut(&endpoint.serial).and_then(Shelf::stand_in_line);
            let place = place.ok_or_else(not_now)?;
            self.keep_pace();
            let next = tokio::time::timeout(left, place).await;
            let Ok(Ok(came)) = next else { return Err(not_now()) };
            let mut connection = came?;
            if owe_nothing(std::iter::once(&mut *connection.wire)) == [true] {
                return Ok((connection, true));
            }
        }
    }

    /// Tries for every line, now and again until all are empty, whether one may be opened: what else may have used up the
    /// allowance tells nobody when it is done.
    fn keep_pace(self: &Arc<Self>) {
        if self.is_paced.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            for turn in 0.. {
                tokio::time::sleep(LINE_PACE).await;
                let mut waited_for = pool.waited_for();
                if waited_for.is_empty() {
                    return;
                }
                // No endpoint comes first every time.
                let first = turn % waited_for.len();
                waited_for.rotate_left(first);
                waited_for.iter().for_each(|endpoint| pool.open_for_the_line(endpoint));
            }
        });
    }

    /// The endpoints with a line. Without any, nobody keeps pace from now on.
    fn waited_for(&self) -> Vec<Arc<Endpoint>> {
        let mut shelves = self.lock();
        let in_line = shelves.values_mut().filter_map(|shelf| {
            shelf.line.retain(|one| !one.is_closed());
            (!shelf.line.is_empty()).then(|| Arc::clone(&shelf.endpoint))
        });
        let waited_for: Vec<_> = in_line.collect();
        if waited_for.is_empty() {
            self.is_paced.store(false, Ordering::Relaxed);
        }
        waited_for
    }

    /// Opens one for who stands in line, unless as many are on their way or none may be.
    fn open_for_the_line(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
        let is_wanted = |shelf: &&mut Shelf| shelf.line.len() > shelf.opening;
        if self.lock().get_mut(&endpoint.serial).filter(is_wanted).is_none() {
            return;
        }
        let room = self.room(endpoint, Opened::InAuction);
        if let Some(shelf) = self.lock().get_mut(&endpoint.serial) {
            match &room {
                Ok(_) => shelf.opening += 1,
                Err(_) => shelf.let_go_of_the_line(),
            }
        }
        let Ok(room) = room else { return };
        let (pool, endpoint) = (Arc::clone(self), Arc::clone(endpoint));
        tokio::spawn(async move {
            match pool.connect(&endpoint, room, Opened::InAuction).await {
                Ok(connection) => {
                    pool.shelve(&endpoint, Some(connection));
                    pool.open_for_the_line(&endpoint);
                }
                Err(failure) => {
                    pool.shelve(&endpoint, None);
                    if let Some(shelf) = pool.lock().get_mut(&endpoint.serial) {
                        shelf.fail(failure);
                    }
                }
            }
        });
    }

    /// One that was being opened is there, or is not coming.
    fn shelve(&self, endpoint: &Endpoint, opened: Option<Connection>) {
        let now = self.clock.now();
        if let Some(shelf) = self.lock().get_mut(&endpoint.serial) {
            shelf.opening = shelf.opening.saturating_sub(1);
            if let Some(connection) = opened {
                shelf.put(connection, now);
            }
        }
    }

    async fn open(&self, endpoint: &Arc<Endpoint>, when: Opened) -> Result<Connection, NotOpened> {
        let room = self.room(endpoint, when).inspect_err(|why| {
            if let NotOpened::NotNow = why {
                event::connection_not_opened();
            }
        })?;
        Ok(self.connect(endpoint, room, when).await?)
    }

    /// What opening one takes, if there may be one now.
    fn room(&self, endpoint: &Endpoint, when: Opened) -> Result<Room, NotOpened> {
        // First, since all else is taken from others.
        let address = endpoint.address(self.clock.now()).map_err(|why| match why {
            NoAddress::Unknown => Failure::noted(Reason::Dns, "the name does not resolve"),
            NoAddress::Refused => Failure::noted(Reason::Dns, "the address is closed to pings"),
        })?;
        let permit = self.openings.permit(endpoint.serial, when == Opened::InAuction, self.clock.now());
        let permit = permit.ok_or(NotOpened::NotNow)?;
        let counted = self.count_one(when)?;
        Ok(Room { address, permit, counted })
    }

    async fn connect(
        &self,
        endpoint: &Arc<Endpoint>,
        Room { address, permit, counted }: Room,
        when: Opened,
    ) -> Result<Connection, Failure> {
        let attempt = endpoint.attempt();
        let connecting = Wire::connect(&self.reach, endpoint, address);
        let wire = match tokio::time::timeout(self.limits.connect, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(Failure::noted(Reason::Connect, "no connection in time")),
        };
        drop(permit);
        attempt.end(wire.is_ok());
        let wire = wire?;
        event::connection_opened(&endpoint.buyer, when.as_str());
        Ok(Connection { wire: Box::new(wire), _counted: counted })
    }

    /// Room for one more connection; for one that an auction waits for, made if need be by closing the one that lay idle
    /// longest.
    fn count_one(&self, when: Opened) -> Result<Counted, Failure> {
        let most = self.limits.connections;
        let room = |open: usize| (open < most).then_some(open + 1);
        let count = || self.open.try_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if count() || when == Opened::InAuction && self.close_the_longest_idle() && count() {
            return Ok(Counted(Arc::clone(&self.open)));
        }
        Err(Failure::ours(Reason::Connect, "as many connections as pings may have"))
    }

    /// Whether there was one.
    fn close_the_longest_idle(&self) -> bool {
        let mut shelves = self.lock();
        let oldest = shelves.values_mut().filter(|shelf| !shelf.idle.is_empty());
        let oldest = oldest.min_by_key(|shelf| shelf.idle.front().map(|idle| idle.since));
        oldest.is_some_and(|shelf| shelf.idle.pop_front().is_some())
    }

    /// Closes what lay idle too long and opens what will be needed. Call it once a second.
    pub fn upkeep(self: &Arc<Self>) {
        let now = self.clock.now();
        let mut wanted = Vec::new();
        self.lock().retain(|_, shelf| {
            let oldest = now.before(self.limits.idle);
            shelf.idle.retain_mut(|idle| idle.since > oldest && idle.connection.wire.is_quiet());
            let need = shelf.need.connections(now);
            let have = shelf.idle.len() + shelf.in_use + shelf.opening;
            // Where the last attempt failed, only a ping that needs a connection tries again.
            let most = if shelf.endpoint.is_refusing() { 0 } else { AHEAD_MAX };
            let missing = need.saturating_sub(have).min(most);
            shelf.opening += missing;
            wanted.extend(std::iter::repeat_n(Arc::clone(&shelf.endpoint), missing));
            need > 0 || have > 0
        });
        for (n, endpoint) in (0..).zip(wanted) {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(AHEAD_PACE * n).await;
                let opened = pool.open(&endpoint, Opened::Ahead).await;
                pool.shelve(&endpoint, opened.ok());
            });
        }
    }

    /// Connections open now, of all workers.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A place among the pings that are out to an endpoint, and the connection that waited for it.
pub(super) struct Taken {
    in_use: InUse,
    waiting: Option<Connection>,
}

/// A ping that is out.
struct InUse {
    pool: Arc<Pool>,
    serial: usize,
    is_over: bool,
}

impl InUse {
    /// Hands its connection to the next ping; one on which more came is closed.
    fn give_back(mut self, mut connection: Connection, now: Timestamp) {
        connection.wire.rest();
        let is_quiet = connection.wire.is_quiet();
        self.is_over = true;
        if let Some(shelf) = self.pool.lock().get_mut(&self.serial) {
            shelf.in_use = shelf.in_use.saturating_sub(1);
            if is_quiet {
                shelf.put(connection, now);
            }
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Some(shelf) = self.pool.lock().get_mut(&self.serial) {
            shelf.in_use = shelf.in_use.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
