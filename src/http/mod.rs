//! Call traffic: one worker's connections, and the route table on one page. Raw hyper, nothing else on it.

mod api;
mod buyers;
mod reply;
mod twilio;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::exchange::Worker;
use crate::exchange::beside::Beside;
use crate::listener::{self, Entered, Manners};
use crate::problem::{Code, Problem};
use crate::runtime::Shutdown;
use reply::Answer;

/// How often a worker looks after its connections to bid endpoints.
const UPKEEP: Duration = Duration::from_secs(1);
/// Longest a worker goes on after the signal to stop: every auction is over by then.
const DRAIN: Duration = Duration::from_secs(2);
/// From when on it waits for no late reply, so that what is still out has its outcome, and its record, by the end.
const LET_GO: Duration = Duration::from_millis(1_800);

/// How requests are read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest a body may take to arrive.
    pub body: Duration,
    /// Longest body, in bytes.
    pub body_bytes: usize,
}

/// What the connections of one worker share.
#[derive(Clone)]
pub struct Served {
    /// Decides.
    pub worker: Arc<Worker>,
    /// How requests are read.
    pub limits: Limits,
    /// How connections are treated.
    pub manners: Manners,
    /// TLS, if this listener ends it.
    pub tls: Option<TlsAcceptor>,
    /// The signal to stop.
    pub shutdown: Shutdown,
    /// Decisions, for each connection its own.
    pub beside: Beside,
}

/// A connection on its way from the acceptor to a worker.
pub struct HandedOn {
    /// The connection.
    pub stream: std::net::TcpStream,
    /// Its place in the listener's count.
    pub entered: Entered,
    /// Its place in the worker's count.
    pub counted: Counted,
}

/// Counts one connection of a worker until dropped.
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// One more.
    pub fn new(connections: &Arc<AtomicUsize>) -> Counted {
        connections.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs one worker until the signal to stop and its last connection.
pub async fn run(served: Served, mut arriving: mpsc::Receiver<HandedOn>) {
    let pulse = Arc::clone(&served.worker.pinger.pulse);
    let heart = tokio::spawn(async move { pulse.beat().await });
    let mut connections = JoinSet::new();
    let mut upkeep = tokio::time::interval(UPKEEP);
    upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = served.shutdown.wait() => break,
            Some(handed_on) = arriving.recv() => {
                connections.spawn(connection(served.clone(), handed_on));
            }
            Some(_) = connections.join_next() => {}
            _ = upkeep.tick() => served.worker.pinger.pool.upkeep(),
        }
    }
    let let_go = async {
        tokio::time::sleep(LET_GO).await;
        served.worker.pinger.let_go();
        std::future::pending::<()>().await;
    };
    let drained = async {
        while connections.join_next().await.is_some() {}
        // Decisions and late replies go on without their connection; their records are still owed.
        while served.worker.is_busy() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        biased;
        () = drained => {}
        () = let_go => {}
        () = tokio::time::sleep(DRAIN) => {
            tracing::warn!("a worker stopped with connections or decisions still open");
        }
    }
    heart.abort();
}

async fn connection(served: Served, handed_on: HandedOn) {
    let HandedOn { stream, entered, counted } = handed_on;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let served = Served { beside: Beside::default(), ..served };
    let service = service_fn(async |request| Ok(answer(&served, request).await));
    let all = listener::serve(stream, served.tls.as_ref(), &served.manners, &served.shutdown, service);
    served.beside.along(all).await;
    drop((entered, counted));
}

/// Serves one connection in the clear over whatever carries its bytes: a proxy's stream, or a pipe in memory.
pub async fn converse(served: Served, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let served = Served { beside: Beside::default(), ..served };
    let service = service_fn(async |request| Ok(answer(&served, request).await));
    served.beside.along(listener::converse(stream, &served.manners, &served.shutdown, service)).await;
}

/// The route table.
async fn answer(served: &Served, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let done = match (request.method(), segments.as_slice()) {
        (&Method::POST, ["v1", "route"]) => api::route(served, request).await,
        (&Method::POST, ["v1", "calls", call, "events", token]) => {
            api::event(served, request, call, token).await
        }
        (&Method::POST, ["v1", "calls", call, "next", token]) => {
            api::next(served, request, call, token).await
        }
        (&Method::POST, ["v1", "events"]) => api::record(served, request).await,
        (&Method::POST, ["v1", "hand-back"]) => buyers::hand_back(served, request).await,
        (_, ["twilio", route @ ..]) => twilio::answer(served, request, route).await,
        (_, ["v1", "route" | "events" | "hand-back"] | ["v1", "calls", _, "events" | "next", _]) => {
            Err(Problem::new(Code::MethodNotAllowed, "Use POST."))
        }
        _ => Err(Problem::new(
            Code::NotFound,
            "Call traffic is POST /v1/route, the events and next URLs of its answers, POST /v1/events, POST /v1/hand-back of buyers, and /twilio/voice.",
        )),
    };
    let methods = if segments.first() == Some(&"twilio") { twilio::METHODS } else { "POST" };
    done.unwrap_or_else(|problem| reply::problem(&problem, methods))
}
