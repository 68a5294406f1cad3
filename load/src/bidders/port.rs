//! A bidder's port: listening or shut, its connections, and the record of what came in.
//!
//! What a request is answered with is in `turn`.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::turn::{Flow, JSON, Turn, answer};
use super::{
    BACKLOG, BID_PATH, Behaviour, BidderStats, MAX_CONNECTIONS, PINGS_REMEMBERED, ResetAt, SET_LIMIT, Script,
    SeenPing,
};
use crate::trace::Trace;
use crate::wire::{Incoming, Wire, response};

/// One bidder's port, shared between its tasks and the owner.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) addr: SocketAddr,
    pub(super) trace: Arc<Trace>,
    setting: watch::Sender<Setting>,
    applied: Mutex<u64>,
    applied_changed: Condvar,
    record: Mutex<Record>,
    pub(super) record_changed: Condvar,
}

#[derive(Clone)]
struct Setting {
    version: u64,
    behaviour: Arc<Behaviour>,
}

pub(super) struct Record {
    pub(super) stats: BidderStats,
    pub(super) pings: VecDeque<SeenPing>,
    pub(super) notices: VecDeque<SeenPing>,
    pub(super) keep: usize,
    pub(super) next_seq: u64,
    pub(super) last_ping_id: String,
}

impl Port {
    pub(super) fn new(seed: u64, script: Script, addr: SocketAddr, trace: Arc<Trace>) -> Port {
        let setting = Setting { version: 0, behaviour: Arc::new(script.behaviour) };
        let record = Record {
            stats: BidderStats::default(),
            pings: VecDeque::new(),
            notices: VecDeque::new(),
            keep: PINGS_REMEMBERED,
            next_seq: 0,
            last_ping_id: "00000000000000000000000000".to_owned(),
        };
        Port {
            name: script.name,
            seed,
            addr,
            trace,
            setting: watch::Sender::new(setting),
            applied: Mutex::new(0),
            applied_changed: Condvar::new(),
            record: Mutex::new(record),
            record_changed: Condvar::new(),
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record and tells those who wait for a change.
    pub(super) fn note<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let result = change(&mut self.record());
        self.record_changed.notify_all();
        result
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
    let admitted = port.note(|record| {
        let room = record.stats.open_connections < MAX_CONNECTIONS as u64;
        record.stats.connections += 1;
        let counter =
            if room { &mut record.stats.open_connections } else { &mut record.stats.refused_connections };
        *counter += 1;
        room
    });
    if !admitted {
        return;
    }
    let port = port.clone();
    tokio::spawn(async move {
        serve(&port, stream).await;
        port.note(|record| record.stats.open_connections -= 1);
    });
}

/// Serves one connection until either side ends it.
async fn serve(port: &Port, stream: TcpStream) {
    let mut wire = Wire::new(stream);
    let mut setting = port.setting.subscribe();
    if matches!(*setting.borrow_and_update().behaviour, Behaviour::Reset(ResetAt::Accept)) {
        return wire.reset();
    }
    loop {
        let incoming = tokio::select! {
            biased; // a bidder that dies answers nobody
            () = died(&mut setting) => return wire.reset(),
            incoming = wire.request() => incoming,
        };
        let request = match incoming {
            Incoming::Request(request) => request,
            Incoming::Closed => return,
            Incoming::Bad => {
                port.note(|record| record.stats.bad_requests += 1);
                return;
            }
        };
        let behaviour = port.setting.borrow().behaviour.clone();
        let mut turn = Turn::new(port, &request);
        let flow = if request.path == BID_PATH {
            tokio::select! {
                biased; // a bidder that dies answers nobody
                () = died(&mut setting) => Flow::Reset,
                flow = answer(&mut turn, &mut wire, &behaviour) => flow,
            }
        } else {
            turn.send(&mut wire, &response(200, &[JSON], b"{}")).await
        };
        match flow {
            Flow::Next => {}
            Flow::GivenUp => {
                turn.given_up();
                return;
            }
            Flow::Close => return wire.close().await,
            Flow::Reset => return wire.reset(),
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
