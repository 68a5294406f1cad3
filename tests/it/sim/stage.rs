//! Puts one world together and plays its script: the exchange as `app` composes it, less its threads and sockets.
//!
//! One runtime, one worker. After every action, and after every slice of time between two, the model looks.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use outcry::capacity::HoldDurability;
use outcry::domain::catalog::Secret;
use outcry::domain::{Address, Catalog, Money, Timestamp};
use outcry::exchange::beside::Beside;
use outcry::exchange::{Delays, Exchange, InForce, Rules, Worker};
use outcry::http::{Limits, Served};
use outcry::journal::{Handed, Hands, Payload};
use outcry::listener::Manners;
use outcry::ping::Pinger;
use outcry::ping::client::{self, Pool};
use outcry::ping::endpoint::Endpoints;
use outcry::ping::wire::Reach;
use outcry::records::entry::{self, Record};
use outcry::records::fold::Fold;
use outcry::records::row::Row;
use outcry::records::seal::{Seal, unsealed};
use outcry::records::{Recorder, Sealed};
use outcry::runtime::{Clock, Entropy, Shutdown};
use outcry::snapshot::Snapshot;
use outcry::state::State;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::buyers::Buyers;
use super::carriers::Carriers;
use super::check::{Broken, Check, Counts, Promise, Times};
use super::market::{TEST_ADDRESS, base};
use super::world::{Action, Deed, Pace, call};

/// Longest slice of time between two looks.
const SLICE: Duration = Duration::from_secs(1);
/// A world whose calls are not over by then, after its last action, does not come to rest.
const TAIL: Duration = Duration::from_secs(16_000);
/// Rows that may wait for the disk.
pub const QUEUE: usize = 65_536;
/// Keys the tokens of callers.
pub const CALLER_KEY: [u8; 32] = [7; 32];
/// How long the exchange keeps a connection of a carrier that lies idle.
pub const IDLE: Duration = Duration::from_secs(75);

/// What came of a world.
pub struct Outcome {
    pub broken: Option<Broken>,
    pub counts: Counts,
    pub trace: Vec<String>,
}

/// Plays a script to its end, or to the first promise broken.
pub fn play(seed: u64, script: &[(usize, Action)], is_traced: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    count_panics();
    let panics = PANICS.get();
    runtime.block_on(async {
        let stage = Stage::set(seed, is_traced);
        stage.play(script).await;
        let mut check = stage.check.lock().unwrap();
        if PANICS.get() > panics {
            check.broke(Promise::NoBug, "a panic, caught or not".to_owned());
        }
        Outcome {
            broken: check.broken().cloned(),
            counts: check.counts.clone(),
            trace: std::mem::take(&mut check.trace),
        }
    })
}

thread_local! {
    /// Panics of the worlds played on this thread.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Fences catch panics, so they are counted where they begin.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |what| {
            PANICS.set(PANICS.get() + 1);
            before(what);
        }));
    });
}

/// A world on its stage.
pub(super) struct Stage {
    pub(super) seed: u64,
    pub(super) exchange: Arc<Exchange>,
    worker: Arc<Worker>,
    endpoints: Endpoints,
    pub(super) check: Arc<Mutex<Check>>,
    buyers: Arc<Buyers>,
    carriers: Arc<Carriers>,
    pub(super) disk: Arc<Disk>,
    pub(super) catalog: Mutex<Catalog>,
    pub(super) clock: Clock,
    pub(super) times: Times,
}

/// A restart is tried after so many deeds.
const RESTART_EVERY: usize = 250;

impl Stage {
    fn set(seed: u64, is_traced: bool) -> Stage {
        // Days begin within the first hours of a world, in one zone after the other.
        let start = Timestamp::parse("2026-11-20T04:40:00Z").expect("a time");
        let clock = Clock::starting_at(start.after(Duration::from_secs(seed % 5 * 3_600)));
        let times = Times {
            late_events: Duration::from_secs(10),
            linger: Duration::from_millis(1_000),
            keep_ended: Duration::from_secs(90),
        };
        let check = Arc::new(Mutex::new(Check::new(seed, clock.clone(), times, is_traced)));
        let buyers = Buyers::new(seed, clock.clone(), Arc::clone(&check));
        let shutdown = Shutdown::default();
        let endpoints = Endpoints::new(clock.clone(), true);
        let (recorder, hands) = Recorder::by_hand(QUEUE);
        let disk = Disk::start(hands, seed, clock.clone(), Arc::clone(&check));
        let catalog = Catalog { digest: "sim-0".into(), ..base().clone() };
        check.lock().unwrap().in_force(&catalog);
        let in_force = in_force(&endpoints, catalog.clone(), &CALLER_KEY);
        let dial = Arc::clone(&buyers);
        let reach = Reach::Memory(Arc::new(move |address| dial.dial(address)));
        let worker = worker(seed, &clock, in_force, times, recorder, reach, &shutdown);
        let (exchange, pool) = (Arc::clone(&worker.exchange), Arc::clone(&worker.pinger.pool));
        let served = Served {
            beside: Beside::default(),
            worker: Arc::clone(&worker),
            limits: Limits { body: Duration::from_secs(5), body_bytes: 65_536 },
            manners: Manners {
                name: "call_traffic",
                head: Duration::from_secs(5),
                request: Duration::from_secs(16),
                idle: IDLE,
            },
            tls: None,
            shutdown: shutdown.clone(),
        };
        let on_stage = clock.clone();
        let carriers = Carriers::new(served, clock, Arc::clone(&check));
        let swept = Arc::clone(&exchange);
        tokio::spawn(async move { swept.sweep(&shutdown).await });
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                pool.upkeep();
            }
        });
        Stage {
            seed,
            exchange,
            worker,
            endpoints,
            check,
            buyers,
            carriers,
            disk,
            catalog: Mutex::new(catalog),
            clock: on_stage,
            times,
        }
    }

    async fn play(&self, script: &[(usize, Action)]) {
        let start = Instant::now();
        let mut calls = BTreeSet::new();
        let mut told = BTreeMap::new();
        self.put_on_lists(script);
        for (place, action) in script {
            let at = start + Duration::from_millis(action.at_ms);
            while at - Instant::now() > SLICE {
                sleep(SLICE).await;
                self.look();
            }
            sleep_until(at).await;
            self.look();
            if place % RESTART_EVERY == 0 {
                self.try_a_restart().await;
            }
            if self.is_broken() {
                return;
            }
            match &action.deed {
                Deed::Call(n) => {
                    calls.insert(*n);
                    let plan = Arc::new(call(self.seed, *n));
                    told.insert(*n, tokio::spawn(Arc::clone(&self.carriers).call(plan)));
                }
                Deed::Reload(edit) => {
                    let mut catalog = self.catalog.lock().unwrap();
                    edit.apply(&mut catalog);
                    catalog.digest = format!("sim-{}", place + 1).into();
                    self.check.lock().unwrap().in_force(&catalog);
                    self.exchange.in_force.store(Arc::new(in_force(
                        &self.endpoints,
                        catalog.clone(),
                        &self.exchange.rules.caller_key.0,
                    )));
                }
                Deed::Mood { place, mood, for_ms } => self.buyers.turn(*place, *mood, *for_ms),
                Deed::Disk { pace, for_ms } => self.disk.turn(*pace, *for_ms),
            }
        }
        let until = Instant::now() + TAIL;
        while !self.is_at_rest() && Instant::now() < until {
            sleep(SLICE).await;
            self.look();
            if self.is_broken() {
                return;
            }
        }
        // What is still on its way to a carrier or to a call that is over.
        for _ in 0..200 {
            sleep(SLICE).await;
            self.look();
        }
        for (n, task) in told {
            if let Err(error) = task.await {
                self.check.lock().unwrap().broke(Promise::NoBug, format!("the carrier of call {n}: {error}"));
            }
        }
        self.try_a_restart().await;
        self.end(&calls);
    }

    fn look(&self) {
        self.check.lock().unwrap().look(&self.exchange.state.gauges);
    }

    fn is_broken(&self) -> bool {
        self.check.lock().unwrap().broken().is_some()
    }

    fn is_at_rest(&self) -> bool {
        !self.worker.is_busy() && self.exchange.state.calls.in_progress() == 0
    }

    fn end(&self, calls: &BTreeSet<u32>) {
        let mut check = self.check.lock().unwrap();
        check.at_rest(&self.exchange.state.gauges, calls);
        let fold = self.disk.fold.lock().unwrap();
        let left = [
            ("calls in progress", self.exchange.state.calls.in_progress() as u64),
            ("pings that linger", self.worker.pinger.lingering() as u64),
            ("connections to buyers", self.worker.pinger.pool.connections() as u64),
            ("records not written", self.exchange.recorder.queued() as u64),
            ("records without a place", self.exchange.owed() as u64),
            ("holds that nobody kept or gave back", fold.orphaned().count() as u64),
        ];
        for (what, many) in left {
            if many > 0 {
                check.broke(Promise::AtRest, format!("{many} {what}"));
            }
        }
        // What a restart would know, from what was written down alone, is what is known here.
        let kept = (fold.remembers(), self.exchange.state.calls.remembered());
        if kept.0 != kept.1 {
            check.broke(Promise::Durable, format!("a restart remembers {} calls of {}", kept.0, kept.1));
        }
        for (key, used) in fold.counts() {
            let gauge = self.exchange.state.gauges.read(&key);
            if (gauge.posted, gauge.unresolved) != (used.posted, used.unresolved) {
                let what = format!("a restart reckons {key} with {used:?} and it is at {gauge:?}");
                check.broke(Promise::Durable, what);
            }
        }
    }
}

/// An exchange with one worker.
pub fn worker(
    seed: u64,
    clock: &Clock,
    in_force: InForce,
    times: Times,
    recorder: Recorder,
    reach: Reach,
    shutdown: &Shutdown,
) -> Arc<Worker> {
    let rules = Rules {
        public_base_url: "http://exchange".into(),
        // In some worlds so few that many calls get the static answer.
        decisions: if seed.is_multiple_of(4) { 3 } else { 10_000 },
        auction_fan_out: if seed.is_multiple_of(3) { 3 } else { 100 },
        delays: Delays { auction: Duration::from_millis(5), answer: Duration::from_millis(100) },
        keep_ended: times.keep_ended,
        late_events: times.late_events,
        next_within: Duration::from_secs(8),
        dial_guard: Duration::from_secs(5),
        test_address: Address::parse(TEST_ADDRESS),
        caller_key: Secret(CALLER_KEY.to_vec()),
        hold_durability: HoldDurability::Kernel,
        hold_ack: Duration::from_millis(20),
    };
    let (state, entropy) = (State::new(100_000), Entropy::seeded(seed));
    let exchange = Exchange::new(in_force, state, recorder, clock.clone(), entropy, rules, shutdown.clone());
    let limits = client::Limits {
        connections: if seed.is_multiple_of(7) { 40 } else { 8_192 },
        idle: Duration::from_secs(20),
        connect: Duration::from_millis(1_000),
    };
    let pool = Arc::new(Pool::new(limits, Arc::new(AtomicUsize::new(0)), reach, clock.clone()));
    let pinger = Pinger::new(pool, clock.clone(), times.linger, 4_096);
    Arc::new(Worker::new(Arc::new(exchange), pinger))
}

/// A catalog as it comes into force.
pub fn in_force(known: &Endpoints, catalog: Catalog, caller_key: &[u8]) -> InForce {
    let endpoints = known.prepare(&catalog).expect("endpoints without authorities of their own");
    let step = Money::from_micros(10_000);
    let (health, files) = (known.health.prepare(&catalog), catalog.digest.clone());
    let snapshot = Arc::new(Snapshot::compile(Arc::new(catalog), "USD".to_owned(), step, caller_key));
    InForce { snapshot, endpoints, health, files: files.to_string(), changes: Vec::new() }
}

fn rows(record: &Record) -> &[Row] {
    match record {
        Record::Entry(entry) => &entry.rows,
        Record::Counts(_) => &[],
    }
}

/// The disk: shows every row to the model as it is handed in, and writes it when it pleases.
pub(super) struct Disk {
    clock: Clock,
    check: Arc<Mutex<Check>>,
    pace: Mutex<(Pace, Timestamp)>,
    seal: Seal,
    /// What a start would read.
    pub(super) fold: Mutex<Fold>,
}

impl Disk {
    fn start(mut hands: Hands<Sealed>, seed: u64, clock: Clock, check: Arc<Mutex<Check>>) -> Arc<Disk> {
        let pace = Mutex::new((Pace::Usual, clock.now()));
        let disk = Arc::new(Disk {
            pace,
            clock,
            check: Arc::clone(&check),
            fold: Mutex::default(),
            seal: Seal::of(&Secret(Vec::new())),
        });
        let read = Arc::clone(&disk);
        let (hand_on, mut waiting) = mpsc::unbounded_channel::<Handed<Sealed>>();
        tokio::spawn(async move {
            while let Some(mut handed) = hands.next().await {
                check.lock().unwrap().rows(rows(&handed.payload.record), &|n| call(seed, n));
                read.read(&handed.payload);
                handed.written();
                if hand_on.send(handed).is_err() {
                    return;
                }
            }
        });
        let writer = Arc::clone(&disk);
        tokio::spawn(async move {
            while let Some(first) = waiting.recv().await {
                writer.write().await;
                let mut next = Some(first);
                while let Some(handed) = next {
                    writer.check.lock().unwrap().on_disk(rows(&handed.payload.record));
                    handed.synced();
                    next = waiting.try_recv().ok();
                }
            }
        });
        disk
    }

    /// As a start reads it: from its bytes.
    fn read(&self, sealed: &Sealed) {
        let mut bytes = Vec::new();
        sealed.write(&mut bytes);
        let ([kind, version], body) = bytes.split_first_chunk_mut().expect("kind and version come first");
        let (kind, version) = (*kind, *version);
        let mut fold = self.fold.lock().unwrap();
        let seq = fold.seq() + 1;
        let again = entry::rows(kind, version, unsealed(kind, body)).expect("its rows can be read");
        assert_eq!(again, rows(&sealed.record));
        let opened = self.seal.open(kind, body).expect("the key of all that is handed in by hand");
        fold.apply(seq, kind, version, opened).expect("what was written can be read");
    }

    fn turn(&self, pace: Pace, for_ms: u64) {
        let until = self.clock.now().after(Duration::from_millis(for_ms));
        *self.pace.lock().unwrap() = (pace, until);
        if pace == Pace::Stuck {
            self.check.lock().unwrap().stuck(until);
        }
    }

    /// One transaction.
    async fn write(&self) {
        let now = self.clock.now();
        let (pace, until) = *self.pace.lock().unwrap();
        let took = match pace {
            Pace::Slow if now < until => Duration::from_millis(700),
            Pace::Stuck if now < until => until.since(now),
            Pace::Usual | Pace::Slow | Pace::Stuck => Duration::from_millis(3),
        };
        sleep(took).await;
    }
}
