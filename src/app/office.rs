//! What runs beside call traffic, on the admin thread: the operators' listener, the sweep, names, levels, and orders: reloads
//! and changes, one after the other.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use super::laid::{self, Laid, entries};
use super::past;
use super::{FIRST_LOOK, IDLE, in_force};
use crate::admin::order::{FileFault, NotChanged, Order, Reloaded};
use crate::admin::{self, Desk};
use crate::config::{self, Problem, Settings};
use crate::domain::Timestamp;
use crate::domain::change::{Asked, Dropped, Happened, NoStep, Noted};
use crate::exchange::{Exchange, InForce};
use crate::listener::{self, Door, Manners};
use crate::ping::Pinger;
use crate::ping::endpoint::{Endpoints, REFRESH};
use crate::records::CommitError;
use crate::records::entry::{Entry, HealthImage, Put};
use crate::runtime::Shutdown;
use crate::telemetry::MetricsPage;
use crate::telemetry::event::{self, Levels, RecordLevels};

/// Longest an admin request may take.
const ADMIN_REQUEST: Duration = Duration::from_secs(60);
/// How often levels are told and samples are sorted into buckets.
const EVERY_SECOND: Duration = Duration::from_secs(1);

/// What runs beside call traffic, on the admin thread.
pub(super) struct Office {
    pub(super) exchange: Arc<Exchange>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) settings: Settings,
    /// The settings' file when they were read.
    pub(super) settings_text: String,
    pub(super) metrics: MetricsPage,
    pub(super) traffic_door: Arc<Door>,
    pub(super) admin_door: Arc<Door>,
    pub(super) pingers: Vec<Pinger>,
    /// Asks for a reload; asked for again before it began, it is one.
    pub(super) reload: Arc<Notify>,
    pub(super) shutdown: Shutdown,
}

impl Office {
    pub(super) async fn run(
        self,
        admin: std::net::TcpListener,
        tls: Option<TlsAcceptor>,
        desk: Desk,
        ordered: mpsc::Receiver<Order>,
        laid: Laid,
    ) {
        tokio::join!(
            self.serve_admin(admin, tls, desk),
            self.exchange.sweep(&self.shutdown),
            self.resolve(),
            self.tell_levels(),
            self.carry_out(ordered, laid),
        );
    }

    async fn serve_admin(&self, admin: std::net::TcpListener, tls: Option<TlsAcceptor>, desk: Desk) {
        let listener = match TcpListener::from_std(admin) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(error = %error, "the admin listener could not start"),
        };
        let manners =
            Manners { name: "admin", head: self.settings.limits.head, request: ADMIN_REQUEST, idle: IDLE };
        let router = admin::router(desk);
        listener::accept(listener, &self.admin_door, &self.shutdown, |stream, entered| {
            let service = TowerToHyperService::new(router.clone());
            let (tls, manners, shutdown) = (tls.clone(), manners.clone(), self.shutdown.clone());
            tokio::spawn(async move {
                listener::serve(stream, tls.as_ref(), &manners, &shutdown, service).await;
                drop(entered);
            });
        })
        .await;
    }

    async fn resolve(&self) {
        while self.pause(REFRESH).await {
            tokio::select! {
                biased;
                () = self.shutdown.wait() => return,
                () = self.endpoints.refresh() => {}
            }
        }
    }

    /// Waits; `false` when the signal to stop came first.
    async fn pause(&self, span: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.shutdown.wait() => false,
            () = tokio::time::sleep(span) => true,
        }
    }

    async fn tell_levels(&self) {
        let mut syncs = [0; 32];
        let mut missed = Vec::new();
        while self.pause(EVERY_SECOND).await {
            let exchange = &self.exchange;
            self.tell_records(&mut syncs);
            self.note_health(&mut missed);
            event::levels(Levels {
                calls_active: exchange.state.calls.in_progress(),
                calls_remembered: exchange.state.calls.remembered(),
                answers_forgotten: exchange.state.calls.forgotten_early(),
                units_held: exchange.state.gauges.held(),
                ping_connections: self.pingers.first().map_or(0, |pinger| pinger.pool.connections()),
                ping_lingering: self.pingers.iter().map(Pinger::lingering).sum(),
                worker_lateness: self
                    .pingers
                    .iter()
                    .map(|one| one.pulse.take_peak())
                    .max()
                    .unwrap_or_default(),
                clock_offset_us: exchange.clock.slew(),
            });
            self.traffic_door.report();
            self.admin_door.report();
            self.metrics.upkeep();
        }
    }

    /// How the records are doing; `syncs` are those that were told before.
    fn tell_records(&self, syncs: &mut [u64; 32]) {
        let Some(records) = self.exchange.recorder.counters() else { return };
        let journal = records.journal;
        let new = std::array::from_fn(|bucket| journal.sync_micros[bucket] - syncs[bucket]);
        *syncs = journal.sync_micros;
        event::record_levels(&RecordLevels {
            backend: journal.choice.disk.name(),
            backend_why: journal.choice.why.name(),
            queued: records.queued + self.exchange.owed(),
            dropped_bulk: journal.dropped_bulk,
            dropped_money: journal.dropped_money,
            records: journal.records,
            bytes: journal.bytes,
            syncs: new,
            faults: journal.faults,
            poisoned: journal.poisoned,
            snapshots_held_back: records.snapshots_held_back,
            segments: journal.segments,
            free: journal.free_bytes as f64 / journal.total_bytes.max(1) as f64,
            store_behind: records.store_behind,
            store_failures: records.store_failures,
            store_refused: records.store_refused,
        });
    }

    /// Writes down which targets do not answer, where that is not what was written before.
    fn note_health(&self, before: &mut Vec<HealthImage>) {
        let now: Vec<HealthImage> = self.endpoints.health.missed().into_iter().map(past::image).collect();
        if now != *before {
            self.exchange.recorder.push(Entry::put(Put::Health(now.clone())));
            *before = now;
        }
    }

    /// Carries out orders one after the other, and reloads whenever that is asked for. What was in force before is
    /// dropped here once nobody uses it, so that no worker pays for it.
    async fn carry_out(&self, mut ordered: mpsc::Receiver<Order>, mut laid: Laid) {
        let mut retired: Vec<Arc<InForce>> = Vec::new();
        let mut listed_at = Timestamp::default();
        self.tell_lists();
        loop {
            // Orders before reloads: somebody waits for them, and a pause must not wait for names to resolve.
            let before = tokio::select! {
                biased;
                () = self.shutdown.wait() => return,
                Some(order) = ordered.recv() => match order {
                    Order::Change(asked, told) => {
                        let (before, done) = self.change(&mut laid, &asked).await;
                        // Who asked may be gone; what was done is done.
                        let _ = told.send(done);
                        before
                    }
                    Order::Callers(listing, told) => {
                        // As above.
                        let _ = told.send(self.list(*listing, &mut listed_at).await);
                        None
                    }
                    Order::Reload(told) => {
                        let (before, done) = self.reload_once(&mut laid).await;
                        let _ = told.send(done);
                        before
                    }
                },
                () = self.reload.notified() => self.reload_once(&mut laid).await.0,
                () = tokio::time::sleep(EVERY_SECOND), if !retired.is_empty() => None,
            };
            retired.extend(before);
            retired.retain(|in_force| Arc::strong_count(in_force) > 1);
        }
    }

    /// Changes what was asked, all of it or nothing, and returns what it replaced. It is in force when it is on disk; a
    /// disk that does not answer in time does not keep a pause from counting, and whoever asked is told.
    async fn change(&self, laid: &mut Laid, asked: &Asked) -> (Option<Arc<InForce>>, Result<(), NotChanged>) {
        let now = self.exchange.clock.now();
        let next = match laid.with(asked, now) {
            Ok(next) => next,
            Err(NoStep::Unknown) => return (None, Err(NotChanged::Unknown)),
            Err(NoStep::Full) => return (None, Err(NotChanged::Full)),
        };
        let recorder = &self.exchange.recorder;
        if next.noted.is_empty() {
            // It was so already: then it waits for what made it so.
            return (None, stored(handed_in(laid::commit(recorder, vec![Entry::default()])).await));
        }
        let before = self.exchange.in_force.load_full();
        let key = &self.exchange.rules.caller_key;
        let (catalog, text) = next.laid.in_force();
        let digest = catalog.digest.clone();
        // The same targets have the same endpoints: a pause must not fail for a certificate that is gone.
        let in_force =
            in_force(&self.settings, &self.endpoints, before.endpoints.clone(), catalog, &next.laid, key);
        let done = stored(handed_in(laid::commit(recorder, entries(&next, &digest, &text, now))).await);
        if let Err(NotChanged::NotStored(error)) = &done {
            event::records_fault(&format!("a change was not made: {error}"));
            return (None, done);
        }
        self.exchange.in_force.store(Arc::new(in_force));
        tell(&next.noted, &[]);
        *laid = next.laid;
        (Some(before), done)
    }

    /// Settings are for the next start; whoever edits them and reloads hears so.
    fn look_at_settings(&self) {
        let file = &self.settings.file;
        if std::fs::read_to_string(file).ok().as_deref() != Some(self.settings_text.as_str()) {
            let problems = config::load_settings(file).err().unwrap_or_default();
            event::settings_changed(&problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }

    /// Swaps in the catalog of the files with the changes laid over it, or tells every fault of it and changes nothing.
    /// Returns what it replaced.
    async fn reload_once(&self, laid: &mut Laid) -> (Option<Arc<InForce>>, Result<Reloaded, Vec<FileFault>>) {
        self.look_at_settings();
        match self.read_again(laid).await {
            Ok((before, reloaded)) => (Some(before), Ok(reloaded)),
            Err(faults) => {
                let lines: Vec<String> = faults.iter().map(|(line, _)| line.clone()).collect();
                event::reload_refused(&lines);
                (None, Err(faults.into_iter().map(|(_, fault)| fault).collect()))
            }
        }
    }

    async fn read_again(
        &self,
        laid: &mut Laid,
    ) -> Result<(Arc<InForce>, Reloaded), Vec<(String, FileFault)>> {
        let whole = |what: String| vec![(what.clone(), FileFault { at: "catalog".to_owned(), what })];
        let settings = self.settings.clone();
        let read = tokio::task::spawn_blocking(move || config::load_catalog(&settings)).await;
        let read = read.map_err(|error| whole(format!("the files could not be read: {error}")))?;
        let (files, text, warnings) =
            read.map_err(|problems| problems.iter().map(fault).collect::<Vec<_>>())?;
        let now = self.exchange.clock.now();
        let next = laid.over(files, text, now);
        let key = &self.exchange.rules.caller_key;
        let (catalog, text) = next.laid.in_force();
        let endpoints = self.endpoints.prepare(&catalog).map_err(|error| whole(error.to_string()))?;
        for warning in warnings {
            tracing::warn!(warning = %warning, "configuration warning");
        }
        let before = self.exchange.in_force.load_full();
        let changes = config::diff(&before.snapshot.catalog, &catalog);
        let in_force = in_force(&self.settings, &self.endpoints, endpoints, catalog, &next.laid, key);
        // New names that take longer are asked as soon as they are known.
        let _ = tokio::time::timeout(FIRST_LOOK, self.endpoints.refresh()).await;
        let digest = in_force.snapshot.catalog.digest.clone();
        self.record(entries(&next, &digest, &text, now)).await;
        self.exchange.in_force.store(Arc::new(in_force));
        tell(&next.noted, &next.dropped);
        *laid = next.laid;
        event::reloaded(&digest, &changes, now.seconds());
        Ok((before, Reloaded { digest: digest.to_string(), changes }))
    }

    /// Calls will name the catalog by its digest, so its text is not left to chance. A change that is over and not noted is
    /// found so again at the next start.
    async fn record(&self, entries: Vec<Entry>) {
        if let Err(error) = handed_in(laid::commit(&self.exchange.recorder, entries)).await {
            event::records_fault(&format!(
                "what a reload brought into force is not known to be on disk: {error}"
            ));
        }
    }
}

/// Waits for what was handed in, if it was.
pub(super) async fn handed_in(
    written: Result<impl Future<Output = Result<(), CommitError>>, CommitError>,
) -> Result<(), CommitError> {
    written?.await
}

/// Whether what was handed in may be acknowledged.
pub(super) fn stored(written: Result<(), CommitError>) -> Result<(), NotChanged> {
    match written {
        Ok(()) => Ok(()),
        Err(CommitError::TimedOut) => Err(NotChanged::NotKnownToBeStored),
        Err(error @ (CommitError::QueueFull | CommitError::Closed | CommitError::Failed(_))) => {
            Err(NotChanged::NotStored(error.to_string()))
        }
    }
}

/// Logs what was changed, by whom, and which changes an edit of a file has overtaken.
pub(super) fn tell(noted: &[Noted], dropped: &[Dropped]) {
    for noted in noted.iter().filter(|noted| noted.happened != Happened::FileWon) {
        event::changed(noted);
    }
    for dropped in dropped {
        event::change_dropped(dropped);
    }
}

/// A fault as the log has it, and as the API says it.
fn fault(problem: &Problem) -> (String, FileFault) {
    let place = match problem.line {
        0 => problem.file.clone(),
        line => format!("{}:{line}:{}", problem.file, problem.column),
    };
    let at = if problem.key.is_empty() { place } else { format!("{place}: {}", problem.key) };
    let allowed =
        if problem.allowed.is_empty() { String::new() } else { format!("; allowed: {}", problem.allowed) };
    let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!("; did you mean \"{hint}\"?"));
    (problem.to_string(), FileFault { at, what: format!("{}{allowed}{hint}", problem.what) })
}
