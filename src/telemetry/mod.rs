//! What operators see: logs and metrics. Facts are in `event`, metrics are defined in `names`.

pub mod event;
mod hot;
pub mod names;
pub mod stage;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Level;

use names::{METRICS, MetricKind};

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. Does nothing if logging was started before.
pub fn start_logs(format: LogFormat, level: &str) {
    let level = level.parse::<Level>().unwrap_or(Level::INFO);
    let builder =
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// The page Prometheus reads.
#[derive(Clone)]
pub struct MetricsPage(PrometheusHandle);

impl MetricsPage {
    /// Installs the recorder for this process and describes every metric.
    pub fn install() -> Result<MetricsPage, String> {
        let mut builder = PrometheusBuilder::new();
        for def in METRICS.iter().filter(|def| def.kind == MetricKind::Histogram) {
            let matcher = Matcher::Full(def.name.to_owned());
            builder =
                builder.set_buckets_for_metric(matcher, def.buckets).map_err(|error| error.to_string())?;
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
        describe();
        begin_at_zero();
        hot::begin();
        Ok(MetricsPage(handle))
    }

    /// The page.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves queued samples into their buckets; call it once a second, or memory grows until the page is read.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn describe() {
    for def in METRICS {
        match def.kind {
            MetricKind::Counter => metrics::describe_counter!(def.name, def.help),
            MetricKind::Gauge => metrics::describe_gauge!(def.name, def.help),
            MetricKind::Histogram => metrics::describe_histogram!(def.name, def.help),
        }
    }
    metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Puts on the page what should never happen before it does: a counter that is first seen at 1 has not increased, as
/// Prometheus sees it, and the first panic would not show.
fn begin_at_zero() {
    for def in METRICS.iter().filter(|def| def.kind == MetricKind::Counter && def.labels.is_empty()) {
        metrics::counter!(def.name).increment(0);
    }
    for place in event::FENCES {
        metrics::counter!(names::PANICS, "where" => place).increment(0);
    }
    for cause in event::SHED_FOR {
        metrics::counter!(names::AUCTIONS_SHED, "cause" => cause).increment(0);
    }
    for result in ["done", "refused"] {
        metrics::counter!(names::RELOADS, "result" => result).increment(0);
    }
}
