//! Scripted bid endpoints: real HTTP/1.1 servers on loopback, one port per bidder, all on one thread of their own.
//!
//! What a bidder answers and when depends on its script, its name, the seed and the call alone, so a run can be
//! repeated and an answer predicted ([`Behaviour::offer`]). A ping costs the thread little beside its two system
//! calls, so that the bidders are not what a measurement measures; [`Bidders::cpu`] tells what they did cost. They do not check signatures and know nothing of
//! auctions; they keep what they saw for others to judge. A path other than `/bid` (a win notice, say) is
//! answered with 200 and kept apart.

mod behaviour;
mod ping;
mod port;
mod record;
pub mod script;
mod turn;

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::seen::{Logbook, SeenLog};
use crate::trace::Trace;
pub use behaviour::{Behaviour, Latency, MAX_EMPIRICAL, MAX_EMPIRICAL_MS, NoBidForm, Offer, ResetAt};
use port::{Door, Port, attend, bind};
use record::Remembered;
pub use record::{BidderStats, SeenPing};
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
/// How often [`Bidders::wait`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

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

/// Running bidders. Dropping it stops them.
pub struct Bidders {
    /// In the order of the scripts.
    ports: Vec<Arc<Port>>,
    by_name: HashMap<String, usize>,
    trace: Arc<Trace>,
    logbook: Arc<Logbook>,
    threads: Vec<Thread>,
}

/// A thread that serves some of the ports.
struct Thread {
    /// Its own folder under `/proc`.
    task: Option<PathBuf>,
    stop: Option<oneshot::Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Bidders {
    /// Opens a port on 127.0.0.1 for every script; when this returns, all of them accept connections.
    pub fn start(seed: u64, scripts: Vec<Script>) -> io::Result<Bidders> {
        Bidders::start_at(seed, scripts, None, 1)
    }

    /// Like [`Bidders::start`], with the first script's bidder on this port, the second's on the next and so on, and
    /// with the ports dealt out to so many threads: one cannot keep up with every server.
    pub fn start_at(
        seed: u64,
        scripts: Vec<Script>,
        first_port: Option<u16>,
        threads: usize,
    ) -> io::Result<Bidders> {
        check(&scripts, first_port)?;
        let (trace, logbook) = (Arc::new(Trace::default()), Arc::new(Logbook::default()));
        let mut bidders = Bidders {
            ports: Vec::with_capacity(scripts.len()),
            by_name: HashMap::with_capacity(scripts.len()),
            trace,
            logbook,
            threads: Vec::new(),
        };
        let mut doors = Vec::with_capacity(scripts.len());
        for (index, script) in scripts.into_iter().enumerate() {
            // `check` has made sure that indexes and ports fit.
            let number = first_port.map_or(0, |first| first + index as u16);
            let socket = bind((Ipv4Addr::LOCALHOST, number).into()).map_err(|error| {
                let message = format!("port {number} for bidder {:?}: {error}", script.name);
                io::Error::new(error.kind(), message)
            })?;
            let (trace, logbook) = (bidders.trace.clone(), bidders.logbook.clone());
            let addr = socket.local_addr()?;
            let port = Arc::new(Port::new(seed, script, index as u16, addr, trace, logbook));
            doors.push((port.clone(), socket));
            if bidders.by_name.insert(port.name.clone(), index).is_some() {
                return Err(refused(format!("two bidders are named {:?}; names must differ", port.name)));
            }
            bidders.ports.push(port);
        }
        let mut shares: Vec<Vec<_>> = (0..threads.max(1)).map(|_| Vec::new()).collect();
        let count = shares.len();
        doors.into_iter().enumerate().for_each(|(at, door)| shares[at % count].push(door));
        for share in shares {
            bidders.run(share)?;
        }
        Ok(bidders)
    }

    /// Opens the doors on a thread of their own.
    fn run(&mut self, doors: Vec<(Arc<Port>, tokio::net::TcpSocket)>) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let (ready, opened) = std::sync::mpsc::sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("bidders".to_owned()).spawn(move || {
            let task = std::fs::read_link("/proc/thread-self").ok();
            runtime.block_on(async move {
                let doors: io::Result<Vec<_>> =
                    doors.into_iter().map(|(port, socket)| Ok((Door::open(&port, socket)?, port))).collect();
                let result = doors.map(|doors| {
                    for (door, port) in doors {
                        tokio::spawn(attend(port, door));
                    }
                    task
                });
                let failed = result.is_err();
                if ready.send(result).is_ok() && !failed {
                    let _ = stopped.await; // a dropped sender stops as well
                }
            });
            // Dropping the runtime drops every connection.
        })?;
        self.threads.push(Thread { task: None, stop: Some(stop), handle: Some(thread) });
        let ended = |_| io::Error::other("the bidders' thread ended before its ports were open");
        let task = opened.recv().map_err(ended)??.map(|task| Path::new("/proc").join(task));
        if let Some(thread) = self.threads.last_mut() {
            thread.task = task;
        }
        Ok(())
    }

    /// The bidders' names in the order of their scripts: a [`Seen::bidder`](crate::seen::Seen::bidder) is a place
    /// in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.ports.iter().map(|port| port.name.as_str())
    }

    /// CPU time the bidders' threads have used so far. An error where the system does not tell.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.threads.iter().map(Thread::cpu).sum()
    }

    /// Logs every ping from now on, this many at most and never more than
    /// [`MAX_LOGGED`](crate::log::MAX_LOGGED). What was logged before is dropped.
    pub fn log(&self, capacity: usize) {
        self.logbook.open(capacity);
    }

    /// What was logged since [`Bidders::log`], and ends the log. A ping whose reply is still owed is in it
    /// without one.
    pub fn take_log(&self) -> SeenLog {
        self.logbook.take()
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
        self.port(name).stats()
    }

    /// Waits until the bidder's counters satisfy `until`; false when the limit passed first. It looks every
    /// millisecond, so that the bidders need not tell anyone of every ping.
    pub fn wait(&self, name: &str, limit: Duration, mut until: impl FnMut(&BidderStats) -> bool) -> bool {
        let port = self.port(name);
        let start = Instant::now();
        loop {
            let too_late = start.elapsed() >= limit;
            if until(&port.stats()) {
                return true;
            }
            if too_late {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The last pings, oldest first.
    pub fn pings(&self, name: &str) -> Vec<SeenPing> {
        self.port(name).record().pings.iter().map(Remembered::seen).collect()
    }

    /// The last requests on other paths than the bid endpoint's, oldest first.
    pub fn notices(&self, name: &str) -> Vec<SeenPing> {
        self.port(name).record().notices.iter().map(Remembered::seen).collect()
    }

    /// Remembers this many pings (and notices) per bidder from now on. A remembered ping takes about 1.5 kB; with 0
    /// a ping costs the least.
    pub fn remember(&self, pings_per_bidder: usize) {
        for port in &self.ports {
            port.record().keep(pings_per_bidder);
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
        self.threads.iter_mut().for_each(|thread| drop(thread.stop.take())); // dropping it is the signal
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take()
                && handle.join().is_err()
                && !std::thread::panicking()
            {
                panic!("a thread of the bidders panicked; its message is above");
            }
        }
    }

    fn port(&self, name: &str) -> &Port {
        match self.by_name.get(name) {
            Some(index) => &self.ports[*index],
            None => panic!("no bidder is named {name:?}"),
        }
    }
}

impl Thread {
    fn cpu(&self) -> io::Result<Duration> {
        let task = self.task.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let text = std::fs::read_to_string(task.join("schedstat"))?;
        let ns = text.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok());
        ns.map(Duration::from_nanos).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Bidders {
    fn drop(&mut self) {
        self.halt();
    }
}

fn check(scripts: &[Script], first_port: Option<u16>) -> io::Result<()> {
    if scripts.len() > MAX_BIDDERS {
        return Err(refused(format!("{} bidders; at most {MAX_BIDDERS} are allowed", scripts.len())));
    }
    let room = first_port.map(|first| usize::from(u16::MAX - first) + 1);
    match (first_port, room) {
        (Some(0), _) => Err(refused("the first port is 0; 1 to 65535 are allowed, or none".to_owned())),
        (Some(first), Some(room)) if room < scripts.len() => {
            let message = format!("{} bidders from port {first} on; there are {room} left", scripts.len());
            Err(refused(message))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

fn refused(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
