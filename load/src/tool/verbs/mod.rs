//! What the program's verbs do, one file for each; only the command line itself is elsewhere.
//!
//! A verb checks all that it is given before it starts anything. Its options are what `--help` tells of it.

pub mod bidders;
pub mod calls;
pub mod judge;
pub mod scenarios;
pub mod straight;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::judge::{Api, Market as Judged, own};
use super::market::Market;
use super::scenario::{Caps, Phase, Scenario, Server};
use super::shipped::Source;
use crate::carriers::Percentiles;
use crate::hgrm;

/// Where an admin key is looked for when none is given.
const KEY_VARIABLE: &str = "OUTCRY_KEY";

/// Why a verb did not do what it was asked to; each has an exit code of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An argument.
    Usage(String),
    /// The scenario, or an exchange that is configured for another.
    Configuration(String),
    /// Whatever was met or read is not what it has to be.
    Data(String),
}

impl Fault {
    /// As the exchange's own command line has them.
    pub const fn code(&self) -> u8 {
        match self {
            Fault::Usage(_) => 2,
            Fault::Configuration(_) => 64,
            Fault::Data(_) => 65,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Fault::Usage(what) | Fault::Configuration(what) | Fault::Data(what)) = self;
        f.write_str(what)
    }
}

impl std::error::Error for Fault {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::InvalidInput => Fault::Usage(error.to_string()),
            _ => Fault::Data(error.to_string()),
        }
    }
}

/// A scenario by its name or file.
pub fn scenario(named: &Path) -> Result<(Source, Scenario), Fault> {
    let source = Source::find(named).map_err(Fault::Configuration)?;
    let scenario = source.scenario().map_err(Fault::Configuration)?;
    Ok((source, scenario))
}

/// A phase by its name; without one, the first that the exchange takes part in.
pub fn phase(source: &Source, scenario: &Scenario, named: Option<&str>) -> Result<Phase, Fault> {
    let phases = || scenario.phases.iter();
    let found = match named {
        Some(name) => phases().find(|phase| phase.name == name),
        None => phases().find(|phase| phase.servers.contains(&Server::Exchange)),
    };
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = phases().map(|phase| phase.name.as_str()).collect();
        let wanted = named.map_or("--phase must name one".to_owned(), |name| format!("no phase {name:?}"));
        Fault::Usage(format!("{}: {wanted}; its phases are {}", source.told, names.join(", ")))
    })
}

/// How an exchange's operators' listener is reached.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// The exchange's admin listener, such as http://127.0.0.1:8081.
    #[arg(long, value_name = "URL")]
    pub admin: String,
    /// An admin key, where the exchange wants one; default: the environment variable OUTCRY_KEY.
    #[arg(long)]
    pub key: Option<String>,
    /// The exchange is not on this machine, and is mine.
    #[arg(long)]
    pub i_own_this: bool,
}

impl Reach {
    /// Finds the exchange, and makes sure that it has this market.
    async fn connect(&self, market: &Judged) -> Result<Api, Fault> {
        self.own(&self.admin)?;
        let of_environment = std::env::var(KEY_VARIABLE).ok();
        let key = self.key.as_deref().or(of_environment.as_deref());
        let api = Api::connect(&self.admin, key, self.i_own_this).await;
        let api = api.map_err(|why| {
            let advice = "start one with `load bidders SCENARIO --config DIR` and `outcry serve --config DIR/outcry.toml`";
            Fault::Data(format!("{why}; --admin is the admin listener of an exchange, with --key its admin key; {advice}"))
        })?;
        api.matches(market).await.map_err(|why| {
            let advice = "serve the configuration that `load bidders SCENARIO --config DIR` writes";
            Fault::Configuration(format!("{why}; {advice}"))
        })?;
        Ok(api)
    }

    fn own(&self, url: &str) -> Result<(), Fault> {
        own(url, self.i_own_this).map_err(|why| Fault::Usage(why.to_string()))
    }
}

/// The market of a phase, as an exchange must have it and a judge knows it.
fn judged(scenario: &Scenario, phase: &Phase, run: &str) -> Judged {
    let endpoint = |_: &str| String::new();
    let market = Market { scenario, server: Server::Exchange, capped: Caps::default(), endpoint: &endpoint };
    Judged { run: format!("-{run}-"), is_alone: false, ..market.judged(phase) }
}

/// A runtime for a few questions.
fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Waits, and hears of Ctrl-C and SIGTERM meanwhile.
pub struct Waiting {
    runtime: Runtime,
    signals: Option<(Signal, Signal)>,
}

impl Waiting {
    /// From now on a signal does not end the process, but whatever is waited for.
    pub fn for_signals() -> io::Result<Waiting> {
        let runtime = runtime()?;
        let entered = runtime.enter();
        let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(entered);
        Ok(Waiting { runtime, signals: Some(signals) })
    }

    /// Hears of nothing.
    pub fn deaf() -> io::Result<Waiting> {
        Ok(Waiting { runtime: runtime()?, signals: None })
    }

    /// Waits so long, for ever without a limit; true when a signal came first.
    pub fn wait(&mut self, limit: Option<Duration>) -> bool {
        let Waiting { runtime, signals } = self;
        runtime.block_on(async {
            let signalled = async {
                match signals {
                    Some((interrupt, terminate)) => tokio::select! {
                        biased; // either will do
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    },
                    None => std::future::pending().await,
                }
            };
            let over = async {
                match limit {
                    Some(limit) => tokio::time::sleep(limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased; // whoever wants to stop is not kept waiting
                () = signalled => true,
                () = over => false,
            }
        })
    }
}

/// A file that is to be written at the end, opened before anything begins.
fn opened(path: &Path) -> Result<File, Fault> {
    File::create(path)
        .map_err(|error| Fault::Usage(format!("{}: {error}; it is to be written", path.display())))
}

/// Writes `name.hgrm` for each into a folder, in ms; where they are.
fn write_hgrm(folder: &Path, all: &[(&str, &Histogram<u64>)]) -> Result<Vec<PathBuf>, Fault> {
    let mut paths = Vec::new();
    for (name, histogram) in all {
        let path = folder.join(format!("{name}.hgrm"));
        let written = File::create(&path).and_then(|file| {
            let mut out = BufWriter::new(file);
            hgrm::write(&mut out, histogram, 1_000.0)?;
            io::Write::flush(&mut out)
        });
        written.map_err(|error| Fault::Data(format!("{}: {error}", path.display())))?;
        paths.push(path);
    }
    Ok(paths)
}

fn folder(path: &Path) -> Result<(), Fault> {
    fs::create_dir_all(path).map_err(|error| Fault::Usage(format!("folder {}: {error}", path.display())))
}

/// Heading of rows of percentiles.
const HEADING: [&str; 6] = ["count", "p50", "p90", "p99", "p99.9", "max"];

/// Rows of percentiles under one heading, in ms.
fn percentiles(rows: &[(&str, &Percentiles)]) -> String {
    let mut text = format!("{:<12}", "ms");
    HEADING.iter().for_each(|cell| text.push_str(&format!(" {cell:>10}")));
    for (name, row) in rows {
        text.push_str(&format!("\n{name:<12} {:>10}", row.count));
        for us in [row.p50_us, row.p90_us, row.p99_us, row.p999_us, row.max_us] {
            text.push_str(&format!(" {:>10.3}", us as f64 / 1e3));
        }
    }
    text
}
