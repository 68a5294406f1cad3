//! The composition root: settings and catalog in, a running exchange out, and its orderly end. Names every part.
//!
//! ```text
//! accept      one thread: takes connections, hands each to the worker with the fewest
//! worker-N    decides; an auction never leaves its worker
//! admin       operators' listener, sweep, names, reload, levels
//! journal-*   append to the journal, sync it, prepare its segments, fold it
//! store       brings the store up to the journal
//! ```

mod laid;
mod listing;
mod office;
mod past;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::admin::Desk;
use crate::admin::order::ORDERS_MAX;
use crate::config::{self, Loaded, Settings};
use crate::domain::catalog::Secret;
use crate::domain::{CarrierIx, Catalog};
use crate::exchange::beside::Beside;
use crate::exchange::{Delays, Exchange, InForce, Rules, Worker};
use crate::http::{self, Counted, HandedOn, Served};
use crate::journal::{Found, OpenError};
use crate::listener::{self, Door, Manners};
use crate::ping::Pinger;
use crate::ping::client::{self, Pool};
use crate::ping::endpoint::{Endpoint, Endpoints, TrustError};
use crate::ping::wire::Reach;
use crate::records::recall::RecallError;
use crate::records::sqlite::Reader;
use crate::records::{COMMIT_WAIT, CommitError, Ending, sqlite};
use crate::replay::Stored;
use crate::runtime::{
    Clock, Entropy, Shutdown, behind_calls, chain, hex, random_bytes, run_here, run_worker,
};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::telemetry::event;
use crate::telemetry::{self, MetricsPage};
use laid::Laid;
use office::Office;
use past::Past;

/// How long a connection without a request is kept.
const IDLE: Duration = Duration::from_secs(75);
/// Connections that wait for one worker to take them.
const HANDED_ON_MAX: usize = 1_024;
/// Connections of the admin listener.
const ADMIN_CONNECTIONS: usize = 256;
/// How long the start waits for endpoints' names to resolve; those that take longer come later.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Bytes of a new caller key.
const CALLER_KEY_BYTES: usize = 32;

/// Why the exchange did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key of caller tokens.
    #[error("the caller key {path} cannot be {verb}: {source}")]
    CallerKey {
        /// Its file.
        path: String,
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A journal without the key that it is sealed with.
    #[error(
        "the caller key {path} is gone, and the journal {journal} is sealed with it: put it back from a copy, or move the \
         journal away to begin anew"
    )]
    CallerKeyGone {
        /// Its file.
        path: String,
        /// The journal's directory.
        journal: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] sqlite::StoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// A file of the journal that could be opened and not be read.
    #[error("the journal cannot be read: {why}; restore the file from a copy, or repair its disk")]
    Unread {
        /// Which file, where, and why.
        why: String,
    },
    /// A record of the journal.
    #[error("record {seq} of the journal: {why}")]
    Record {
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The first entry.
    #[error(
        "the journal does not take the catalog that comes into force: {0}; a larger `journal.segment_mb` or \
         `journal.queue` helps where it is too large, else see the disk"
    )]
    NotBegun(CommitError),
    /// The store has read what the journal does not have.
    #[error(
        "the store {store} has read the journal {journal} up to record {seq}, and that ends with record {last}: it is an \
         older copy, or its end is lost; put the later one back, or start once with --accept-loss to go on after record \
         {seq} with what the two have"
    )]
    JournalBehind {
        /// The store.
        store: String,
        /// The journal.
        journal: String,
        /// How far the store is.
        seq: u64,
        /// The end of the journal.
        last: u64,
    },
    /// An address.
    #[error(transparent)]
    Bind(#[from] listener::BindError),
    /// A certificate of a listener.
    #[error(transparent)]
    Tls(#[from] listener::TlsError),
    /// The authorities of a bid endpoint.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A thread or runtime.
    #[error("the system gave no thread or runtime: {0}")]
    System(#[from] std::io::Error),
}

impl From<RecallError> for StartError {
    fn from(error: RecallError) -> StartError {
        match error {
            RecallError::Read(error) => StartError::Unread { why: chain(&error) },
            RecallError::Record { seq, why } => StartError::Record { seq, why: why.to_string() },
            RecallError::Thread(error) => StartError::System(error),
        }
    }
}

/// A running exchange.
#[derive(Debug)]
pub struct Running {
    /// Where carriers reach it.
    pub call_traffic: SocketAddr,
    /// Where operators reach it.
    pub admin: SocketAddr,
    exchange: Arc<Exchange>,
    reload: Arc<Notify>,
    shutdown: Shutdown,
    threads: Vec<JoinHandle<()>>,
    records: Ending,
}

impl Running {
    /// Starts every part, in order; returns when connections are taken.
    /// `accept_loss` gives up what is damaged in the journal.
    pub fn start(loaded: Loaded, metrics: MetricsPage, accept_loss: bool) -> Result<Running, StartError> {
        let Loaded { mut settings, catalog, text, .. } = loaded;
        let shutdown = Shutdown::default();
        let clock = Clock::system();
        let found = Found::open(&settings.journal.kept, accept_loss)?;
        let caller_key = caller_key(&settings.pings.caller_key_file, &found, &settings.journal.kept.dir)?;
        let traffic = listener::bind(settings.call_traffic.listen)?;
        let admin = listener::bind(settings.admin.listen)?;
        let (traffic_at, admin_at) = (traffic.local_addr()?, admin.local_addr()?);
        name_the_port(&mut settings, traffic_at);
        let tls = |tls: &Option<config::Tls>| -> Result<Option<TlsAcceptor>, listener::TlsError> {
            tls.as_ref().map(|tls| listener::tls(&tls.cert_file, &tls.key_file)).transpose()
        };
        let (traffic_tls, admin_tls) = (tls(&settings.call_traffic.tls)?, tls(&settings.admin.tls)?);
        let endpoints = Arc::new(Endpoints::new(clock.clone(), settings.pings.allow_private_addresses));
        let past = Past::read(found, &settings, &caller_key, accept_loss)?;
        let next = Laid::at_start(catalog, text, past.changes(), clock.now());
        let (catalog, text) = next.laid.in_force();
        let endpoints_now = endpoints.prepare(&catalog)?;
        let in_force = in_force(&settings, &endpoints, endpoints_now, catalog, &next.laid, &caller_key);
        let (recorder, records, past) = past.go_on()?;
        let digest = in_force.snapshot.catalog.digest.clone();
        // Endpoints whose names are slower than this are asked as soon as they are known.
        let _ = run_here(async { tokio::time::timeout(FIRST_LOOK, endpoints.refresh()).await })?;
        let exchange = Arc::new(Exchange::new(
            in_force,
            State::new(settings.limits.live_calls),
            recorder,
            clock.clone(),
            Entropy::system(),
            rules(&settings, caller_key),
            shutdown.clone(),
        ));
        past.take_over(&exchange, &endpoints.health)?;
        // On disk before anything is decided. It comes after what was taken over from a store: by it the next start knows
        // that there is nothing more to take over.
        let begun = laid::entries(&next, &digest, &text, clock.now());
        let written = laid::commit(&exchange.recorder, begun).map_err(StartError::NotBegun)?;
        run_here(written)?.map_err(StartError::NotBegun)?;
        let open = Arc::new(AtomicUsize::new(0));
        let (workers, mut threads) = start_workers(&settings, &exchange, &open, traffic_tls, &shutdown)?;
        let pingers = workers.iter().map(|worker| worker.pinger.clone()).collect();
        let door = Door::new("call_traffic", settings.call_traffic.connections);
        threads.push(start_acceptor(traffic, &door, workers, &shutdown)?);
        let reload = Arc::new(Notify::new());
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let stored = Mutex::new(Stored::new(&settings));
        let desk = Desk::new(
            Arc::clone(&exchange),
            orders,
            metrics.clone(),
            settings.store.path.clone(),
            settings.admin.keys.clone(),
            Box::new(move |reader: &Reader, digest: &str| {
                stored.lock().unwrap_or_else(PoisonError::into_inner).catalog(reader, digest)
            }),
        );
        let office = Office {
            exchange: Arc::clone(&exchange),
            endpoints,
            settings_text: std::fs::read_to_string(&settings.file).unwrap_or_default(),
            settings,
            metrics,
            traffic_door: door,
            admin_door: Door::new("admin", ADMIN_CONNECTIONS),
            pingers,
            reload: Arc::clone(&reload),
            shutdown: shutdown.clone(),
        };
        let laid = next.laid;
        threads.push(spawn("admin", move || {
            // A reload that takes a second must not take it from calls.
            behind_calls();
            run_here(office.run(admin, admin_tls, desk, ordered, laid))
        })?);
        event::loaded(&digest, clock.now().seconds());
        office::tell(&next.noted, &next.dropped);
        tracing::info!(call_traffic = %traffic_at, admin = %admin_at, "the exchange takes calls");
        Ok(Running {
            call_traffic: traffic_at,
            admin: admin_at,
            exchange,
            reload,
            shutdown,
            threads,
            records,
        })
    }

    /// What every request needs: for the demo's view, which looks on from the same process.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// Reads the catalog again, in the background; what comes of it is logged and counted.
    pub fn reload(&self) {
        // A reload that is asked for already reads the files as they will be then: it is remembered once.
        self.reload.notify_one();
    }

    /// Takes no more calls, lets what was begun end, and returns when every record is written.
    pub fn stop(self) {
        self.shutdown.begin();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread ended in a panic");
            }
        }
        self.exchange.write_off_all();
        drop(self.exchange);
        let closed = self.records.finish();
        if closed.is_complete {
            tracing::info!("stopped");
        } else {
            tracing::error!(
                durable = closed.durable,
                "stopped, and the disk did not take all that was handed in"
            );
        }
    }
}

/// With port 0 the system chose one: carriers must be told which.
fn name_the_port(settings: &mut Settings, bound: SocketAddr) {
    if settings.call_traffic.listen.port() == 0 {
        let url = &mut settings.call_traffic.public_base_url;
        if let Some(host) = url.strip_suffix(":0") {
            *url = format!("{host}:{}", bound.port());
        }
    }
}

/// What decisions are taken by: the catalog that `laid` makes, compiled.
fn in_force(
    settings: &Settings,
    known: &Endpoints,
    endpoints: Vec<Option<Arc<Endpoint>>>,
    catalog: Arc<Catalog>,
    laid: &Laid,
    caller_key: &Secret,
) -> InForce {
    let health = known.health.prepare(&catalog);
    let money = &settings.money;
    let snapshot =
        Arc::new(Snapshot::compile(catalog, money.currency.clone(), money.money_step, &caller_key.0));
    let (files, changes) = (laid.files_digest().to_owned(), laid.changes.clone());
    InForce { snapshot, endpoints, health, files, changes }
}

fn rules(settings: &Settings, caller_key: Secret) -> Rules {
    Rules {
        public_base_url: settings.call_traffic.public_base_url.as_str().into(),
        decisions: settings.limits.decisions,
        auction_fan_out: settings.limits.auction_fan_out,
        delays: Delays { auction: settings.limits.auction_delay, answer: settings.limits.answer_delay },
        keep_ended: settings.calls.keep_ended,
        late_events: settings.calls.late_events,
        next_within: settings.calls.next_within,
        dial_guard: settings.calls.dial_guard,
        test_address: settings.calls.test_address.clone(),
        caller_key,
        hold_durability: settings.journal.hold_durability,
        hold_ack: settings.journal.hold_ack,
    }
}

/// The key of caller tokens; made at the first start, since tokens must stay the same from then on.
fn caller_key(path: &Path, found: &Found, journal: &Path) -> Result<Secret, StartError> {
    let fault = |verb| move |source| StartError::CallerKey { path: path.display().to_string(), verb, source };
    match std::fs::read(path) {
        Ok(key) if key.len() >= CALLER_KEY_BYTES => Ok(Secret(key)),
        Ok(_) => {
            let short = std::io::Error::other("it has fewer than 32 bytes");
            Err(fault("read")(short))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if !found.is_empty() {
                let (path, journal) = (path.display().to_string(), journal.display().to_string());
                return Err(StartError::CallerKeyGone { path, journal });
            }
            let key: [u8; CALLER_KEY_BYTES] = random_bytes();
            let hex = hex(&key);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(fault("written"))?;
            }
            write_private(path, hex.as_bytes()).map_err(fault("written"))?;
            Ok(Secret(hex.into_bytes()))
        }
        Err(error) => Err(fault("read")(error)),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    // The journal is sealed with it: it must last at least as long.
    file.sync_all()?;
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn spawn(
    name: &str,
    run: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let label = name.to_owned();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = run() {
            tracing::error!(thread = label, error = %error, "a thread could not start its runtime");
        }
    })
}

/// A worker as the acceptor sees it.
struct Place {
    pinger: Pinger,
    connections: Arc<AtomicUsize>,
    hand_on: mpsc::Sender<HandedOn>,
}

fn start_workers(
    settings: &Settings,
    exchange: &Arc<Exchange>,
    open: &Arc<AtomicUsize>,
    tls: Option<TlsAcceptor>,
    shutdown: &Shutdown,
) -> Result<(Vec<Place>, Vec<JoinHandle<()>>), StartError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = match settings.call_traffic.workers {
        0 => (cores - 1).max(1),
        count => count,
    };
    let pings = &settings.pings;
    let mut places = Vec::new();
    let mut threads = Vec::new();
    for n in 0..count {
        let limits =
            client::Limits { connections: pings.connections, idle: pings.idle, connect: pings.connect };
        let pool = Arc::new(Pool::new(limits, Arc::clone(open), Reach::Network, exchange.clock.clone()));
        // The setting bounds the whole exchange; each worker has its part of it.
        let lingering = pings.lingering.div_ceil(count);
        let pinger = Pinger::new(pool, exchange.clock.clone(), pings.linger, lingering);
        let served = Served {
            beside: Beside::default(),
            worker: Arc::new(Worker::new(Arc::clone(exchange), pinger.clone())),
            limits: http::Limits {
                body: settings.limits.body.min(settings.limits.request),
                body_bytes: settings.limits.body_bytes,
            },
            manners: Manners {
                name: "call_traffic",
                head: settings.limits.head,
                request: settings.limits.request + longest_ceiling(exchange) + COMMIT_WAIT,
                idle: IDLE,
            },
            tls: tls.clone(),
            shutdown: shutdown.clone(),
        };
        let (hand_on, arriving) = mpsc::channel(HANDED_ON_MAX);
        let pulse = Arc::clone(&pinger.pulse);
        let recorder = exchange.recorder.clone();
        threads.push(spawn(&format!("worker-{n}"), move || {
            recorder.wakes_before_sleep();
            run_worker(&pulse, move || recorder.before_sleep(), http::run(served, arriving))
        })?);
        places.push(Place { pinger, connections: Arc::default(), hand_on });
    }
    Ok((places, threads))
}

fn longest_ceiling(exchange: &Exchange) -> Duration {
    let in_force = exchange.in_force.load();
    let carriers = (0..in_force.snapshot.catalog.carriers.len()).map(|at| CarrierIx(at as u32));
    carriers.map(|ix| in_force.snapshot.catalog.carrier(ix).ceiling).max().unwrap_or_default()
}

fn start_acceptor(
    traffic: std::net::TcpListener,
    door: &Arc<Door>,
    workers: Vec<Place>,
    shutdown: &Shutdown,
) -> std::io::Result<JoinHandle<()>> {
    let (door, shutdown) = (Arc::clone(door), shutdown.clone());
    spawn("accept", move || {
        run_here(async move {
            let listener = TcpListener::from_std(traffic)?;
            listener::accept(listener, &door, &shutdown, |stream, entered| {
                // A worker that ended takes nothing any more and would always have the fewest.
                let alive = workers.iter().filter(|place| !place.hand_on.is_closed());
                let fewest = alive.min_by_key(|place| place.connections.load(Ordering::Relaxed));
                let (Some(place), Ok(stream)) = (fewest, stream.into_std()) else {
                    return event::connection_refused("call_traffic");
                };
                let counted = Counted::new(&place.connections);
                if place.hand_on.try_send(HandedOn { stream, entered, counted }).is_err() {
                    event::connection_refused("call_traffic");
                }
            })
            .await;
            Ok(())
        })?
    })
}

/// Starts logging as the settings say.
pub fn start_logs(settings: &Settings) {
    let format = match settings.log.format {
        config::LogFormat::Text => telemetry::LogFormat::Text,
        config::LogFormat::Json => telemetry::LogFormat::Json,
    };
    let level = match settings.log.level {
        config::LogLevel::Error => "error",
        config::LogLevel::Warn => "warn",
        config::LogLevel::Info => "info",
        config::LogLevel::Debug => "debug",
    };
    telemetry::start_logs(format, level);
}
