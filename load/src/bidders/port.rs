//! A bidder's port: listening or shut, its connections, and the record of what came in.
//!
//! What a request is answered with is in `turn`.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::record::{Counters, Record};
use super::turn::{Flow, JSON, Turn, answer};
use super::{BACKLOG, Behaviour, BidderStats, MAX_CONNECTIONS, PINGS_REMEMBERED, ResetAt, SET_LIMIT, Script};
use crate::seen::Logbook;
use crate::trace::Trace;
use crate::wire::{Incoming, Wire, response};

/// One bidder's port, shared between its tasks and the owner.
pub(super) struct Port {
    pub(super) name: String,
    /// Its place in the order of the scripts.
    pub(super) index: u16,
    pub(super) seed: u64,
    pub(super) addr: SocketAddr,
    pub(super) trace: Arc<Trace>,
    pub(super) logbook: Arc<Logbook>,
    pub(super) counters: Counters,
    setting: watch::Sender<Setting>,
    applied: Mutex<u64>,
    applied_changed: Condvar,
    record: Mutex<Record>,
}

#[derive(Clone)]
struct Setting {
    version: u64,
    behaviour: Arc<Behaviour>,
}

impl Port {
    pub(super) fn new(
        seed: u64,
        script: Script,
        index: u16,
        addr: SocketAddr,
        trace: Arc<Trace>,
        logbook: Arc<Logbook>,
    ) -> Port {
        let setting = Setting { version: 0, behaviour: Arc::new(script.behaviour) };
        Port {
            name: script.name,
            index,
            seed,
            addr,
            trace,
            logbook,
            counters: Counters::default(),
            setting: watch::Sender::new(setting),
            applied: Mutex::new(0),
            applied_changed: Condvar::new(),
            record: Mutex::new(Record::new(PINGS_REMEMBERED)),
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> BidderStats {
        let mut stats = self.counters.read();
        stats.last_headers =
            self.record().pings.back().map(|seen| seen.request.headers()).unwrap_or_default();
        stats
    }

    pub(super) fn set(&self, behaviour: Behaviour) {
        let mut version = 0;
        self.setting.send_modify(|setting| {
            setting.version += 1;
            setting.behaviour = Arc::new(behaviour);
            version = setting.version;
        });
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        // On a timeout the thread is gone or stuck; the next request on the port will show it.
        let _ = self.applied_changed.wait_timeout_while(applied, SET_LIMIT, |applied| *applied < version);
    }

    fn applied(&self, version: u64) {
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = version;
        self.applied_changed.notify_all();
    }
}

/// A port that listens, or one that is only kept from others.
pub(super) enum Door {
    Open(TcpListener),
    Shut(TcpSocket),
}

impl Door {
    pub(super) fn open(port: &Port, socket: TcpSocket) -> io::Result<Door> {
        if port.setting.borrow().behaviour.is_dead() {
            return Ok(Door::Shut(socket));
        }
        Ok(Door::Open(socket.listen(BACKLOG)?))
    }
}

pub(super) fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Accepts a bidder's connections, opening and shutting its port as its behaviour changes.
pub(super) async fn attend(port: Arc<Port>, door: Door) {
    let mut setting = port.setting.subscribe();
    let mut door = Some(door);
    loop {
        let Setting { version, behaviour } = setting.borrow_and_update().clone();
        let is_dead = behaviour.is_dead();
        door = match door.take() {
            Some(Door::Shut(socket)) if !is_dead => socket.listen(BACKLOG).ok().map(Door::Open),
            Some(Door::Open(listener)) if is_dead => {
                drop(listener); // the port must be free before it can be bound again
                bind(port.addr).ok().map(Door::Shut)
            }
            None => bind(port.addr).and_then(|socket| Door::open(&port, socket)).ok(),
            fits @ Some(Door::Open(_) | Door::Shut(_)) => fits,
        };
        if door.is_none() {
            // A listener lives on for a moment in a process that is being spawned; until then the change is not done.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        port.applied(version);
        let Some(Door::Open(listener)) = &door else {
            if setting.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            biased; // a change of behaviour comes before the next connection
            changed = setting.changed() => if changed.is_err() {
                return;
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(&port, stream),
                // Out of file descriptors, most likely: give others a moment to free some.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

fn admit(port: &Arc<Port>, stream: TcpStream) {
    let counters = &port.counters;
    counters.connections.up();
    if counters.open_connections.get() >= MAX_CONNECTIONS as u64 {
        counters.refused_connections.up();
        return;
    }
    counters.open_connections.up();
    let port = port.clone();
    tokio::spawn(async move {
        serve(&port, stream).await;
        port.counters.open_connections.down();
    });
}

/// Serves one connection until either side ends it.
async fn serve(port: &Port, stream: TcpStream) {
    let mut wire = Wire::new(stream);
    let mut setting = port.setting.subscribe();
    if matches!(*setting.borrow_and_update().behaviour, Behaviour::Reset(ResetAt::Accept)) {
        return wire.reset();
    }
    let flow = tokio::select! {
        biased; // a bidder that dies answers nobody
        () = died(&mut setting) => Flow::Reset,
        flow = converse(port, &mut wire) => flow,
    };
    match flow {
        Flow::Next | Flow::GivenUp => {}
        Flow::Close => wire.close().await,
        Flow::Reset => wire.reset(),
    }
}

/// Answers one request after the other, until there are no more or an answer ends the connection.
async fn converse(port: &Port, wire: &mut Wire) -> Flow {
    // Of its own: looking whether it has changed is one atomic load, copying the behaviour is more.
    let mut setting = port.setting.subscribe();
    let mut behaviour = setting.borrow_and_update().behaviour.clone();
    loop {
        let request = match wire.request().await {
            Incoming::Request(request) => request,
            Incoming::Closed => return Flow::GivenUp,
            Incoming::Bad => {
                port.counters.bad_requests.up();
                return Flow::GivenUp;
            }
        };
        if setting.has_changed().unwrap_or(false) {
            behaviour = setting.borrow_and_update().behaviour.clone();
        }
        let mut turn = Turn::new(port, &behaviour, request);
        let flow = if turn.is_ping {
            answer(&mut turn, wire, &behaviour).await
        } else {
            turn.send(wire, &response(200, &[JSON], b"{}")).await
        };
        match flow {
            Flow::Next => {}
            Flow::GivenUp => {
                turn.given_up();
                return flow;
            }
            Flow::Close | Flow::Reset => return flow,
        }
    }
}

/// Ends when the bidder is set to [`Behaviour::DeadPort`].
async fn died(setting: &mut watch::Receiver<Setting>) {
    // The sender lives as long as the port does, so this cannot fail while anyone waits.
    if setting.wait_for(|setting| setting.behaviour.is_dead()).await.is_err() {
        std::future::pending().await
    }
}
