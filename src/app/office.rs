//! What runs beside call traffic, on the admin thread: the operators' listener, the sweep, names, levels, the reload.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{FIRST_LOOK, IDLE, in_force};
use crate::admin::{self, Desk};
use crate::config::{self, Settings};
use crate::exchange::{Exchange, InForce};
use crate::listener::{self, Door, Manners};
use crate::ping::Pinger;
use crate::ping::endpoint::{Endpoints, REFRESH};
use crate::records::row::{CatalogRow, Row};
use crate::runtime::Shutdown;
use crate::telemetry::MetricsPage;
use crate::telemetry::event::{self, Levels};

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
    pub(super) shutdown: Shutdown,
}

impl Office {
    pub(super) async fn run(
        self,
        admin: std::net::TcpListener,
        tls: Option<TlsAcceptor>,
        desk: Desk,
        asked: mpsc::Receiver<()>,
    ) {
        tokio::join!(
            self.serve_admin(admin, tls, desk),
            self.exchange.sweep(&self.shutdown),
            self.resolve(),
            self.tell_levels(),
            self.reload(asked),
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
        while self.pause(EVERY_SECOND).await {
            let exchange = &self.exchange;
            let records = exchange.recorder.counters();
            event::levels(Levels {
                calls_active: exchange.state.calls.in_progress(),
                calls_remembered: exchange.state.calls.remembered(),
                answers_forgotten: exchange.state.calls.forgotten_early(),
                units_held: exchange.state.gauges.held(),
                records_queued: usize::try_from(records.queued).unwrap_or(usize::MAX),
                records_dropped: records.dropped,
                ping_connections: self.pingers.first().map_or(0, |pinger| pinger.pool.connections()),
                ping_lingering: self.pingers.iter().map(Pinger::lingering).sum(),
                clock_offset_us: exchange.clock.slew(),
            });
            self.traffic_door.report();
            self.admin_door.report();
            self.metrics.upkeep();
        }
    }

    /// Reads the catalog whenever it is asked to. What was in force before is dropped here once nobody uses it, so that
    /// no worker pays for it.
    async fn reload(&self, mut asked: mpsc::Receiver<()>) {
        let mut retired: Vec<Arc<InForce>> = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.wait() => return,
                Some(()) = asked.recv() => retired.extend(self.reload_once().await),
                () = tokio::time::sleep(EVERY_SECOND), if !retired.is_empty() => {}
            }
            retired.retain(|in_force| Arc::strong_count(in_force) > 1);
        }
    }

    /// Calls will name the catalog by its digest, so its text is not left to chance.
    async fn record_catalog(&self, row: CatalogRow) {
        let written = match self.exchange.recorder.reserve() {
            Ok(slot) => slot.commit(vec![Row::Catalog(row)]).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            event::store_fault(&format!("the catalog's text is not known to be on disk: {error}"));
        }
    }

    /// Settings are for the next start; whoever edits them and reloads hears so.
    fn look_at_settings(&self) {
        let file = &self.settings.file;
        if std::fs::read_to_string(file).ok().as_deref() != Some(self.settings_text.as_str()) {
            let problems = config::load_settings(file).err().unwrap_or_default();
            event::settings_changed(&problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }

    /// Swaps in the catalog of the files, or logs every fault of it and changes nothing. Returns what it replaced.
    async fn reload_once(&self) -> Option<Arc<InForce>> {
        self.look_at_settings();
        let settings = self.settings.clone();
        let read = tokio::task::spawn_blocking(move || config::load_catalog(&settings)).await.ok()?;
        let (catalog, text, warnings) = match read {
            Ok(read) => read,
            Err(problems) => {
                event::reload_refused(&problems.iter().map(ToString::to_string).collect::<Vec<_>>());
                return None;
            }
        };
        let before = self.exchange.in_force.load_full();
        let changes = config::diff(&before.snapshot.catalog, &catalog);
        let in_force = match in_force(&self.settings, &self.endpoints, catalog) {
            Ok(in_force) => in_force,
            Err(error) => {
                event::reload_refused(&[error.to_string()]);
                return None;
            }
        };
        for warning in warnings {
            tracing::warn!(warning = %warning, "configuration warning");
        }
        // New names that take longer are asked as soon as they are known.
        let _ = tokio::time::timeout(FIRST_LOOK, self.endpoints.refresh()).await;
        let now = self.exchange.clock.now();
        let digest = in_force.snapshot.catalog.digest.clone();
        self.record_catalog(CatalogRow { digest: digest.clone(), text, since: now }).await;
        self.exchange.in_force.store(Arc::new(in_force));
        event::reloaded(&digest, &changes, now.seconds());
        Some(before)
    }
}
