//! `load bidders`: a scenario's bid endpoints, and the configuration of an exchange that asks them.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Fault, folder, opened};
use crate::bidders::Bidders;
use crate::log::{MAX_LOGGED, write_log};
use crate::tool::market::{Listen, MARK, Market};
use crate::tool::scenario::{Caps, Scenario, Server};

/// What `--help` tells.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Port of the first bidder; the others follow. Without it the system chooses.
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    pub first_port: Option<u16>,
    /// Folder for an exchange's configuration with these bidders: settings and catalog.
    #[arg(long, value_name = "DIR")]
    pub config: Option<PathBuf>,
    /// In the configuration: where the exchange takes calls. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = loopback)]
    pub traffic: SocketAddr,
    /// In the configuration: where it takes its operators' requests. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = loopback)]
    pub admin: SocketAddr,
    /// File for what every ping was answered with, a line each: for `load judge --seen`.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Stop by itself after this many seconds.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub seconds: Option<u64>,
    /// Threads to serve on: one carries tens of thousands of pings per second.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
}

/// The key in the configuration is known to everybody.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let addr: SocketAddr =
        text.parse().map_err(|_| "an address and a port, such as 127.0.0.1:8080".to_owned())?;
    if addr.ip().is_loopback() {
        return Ok(addr);
    }
    Err("an address of this machine only, such as 127.0.0.1: the configuration's key is no secret".to_owned())
}

/// Bidders at work.
pub struct Open {
    bidders: Bidders,
    log: Option<PathBuf>,
}

/// Starts them, and writes the configuration if one is wanted.
pub fn open(scenario: &Scenario, options: &Options) -> Result<Open, Fault> {
    if let Some(dir) = &options.config {
        ours(dir)?;
    }
    if let Some(path) = &options.log {
        opened(path)?;
    }
    let threads = usize::from(options.threads);
    let bidders = Bidders::start_at(scenario.seed, scenario.scripts(), options.first_port, threads)
        .map_err(|error| Fault::Usage(format!("{error}; see --first-port")))?;
    bidders.remember(0);
    if options.log.is_some() {
        bidders.log(MAX_LOGGED);
    }
    if let Some(dir) = &options.config {
        let endpoint = |id: &str| bidders.url(id);
        let market =
            Market { scenario, server: Server::Exchange, capped: Caps::default(), endpoint: &endpoint };
        let listen = Listen { traffic: options.traffic, admin: options.admin };
        let written = folder(dir).and_then(|()| Ok(market.write_at(dir, &listen)?));
        written.map_err(|error| Fault::Usage(format!("--config {}: {error}", dir.display())))?;
    }
    Ok(Open { bidders, log: options.log.clone() })
}

/// Settings that somebody else wrote are not replaced.
fn ours(dir: &Path) -> Result<(), Fault> {
    match fs::read_to_string(dir.join("outcry.toml")) {
        Ok(text) if !text.starts_with(MARK) => Err(Fault::Usage(format!(
            "--config {}: the outcry.toml in it is not of `load`, and is not replaced; name another folder",
            dir.display()
        ))),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Fault::Usage(format!("--config {}: {error}", dir.display()))),
    }
}

impl Open {
    /// A line for each: its name and where it is asked.
    pub fn lines(&self) -> String {
        self.bidders.names().map(|name| format!("{name} {}\n", self.bidders.url(name))).collect()
    }

    /// Stops them, writes the log, and tells what they did.
    pub fn close(self) -> Result<String, Fault> {
        let cpu = self.bidders.cpu();
        let stats: Vec<_> =
            self.bidders.names().map(|name| (name.to_owned(), self.bidders.stats(name))).collect();
        let mut text = format!(
            "{:<20} {:>10} {:>10} {:>10} {:>12}\n",
            "bidder", "pings", "replies", "bids", "connections"
        );
        let mut total = [0; 4];
        for (name, stats) in &stats {
            let row = [stats.pings, stats.replies, stats.bids, stats.connections];
            let [pings, replies, bids, connections] = row;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<20} {pings:>10} {replies:>10} {bids:>10} {connections:>12}");
            (0..4).for_each(|at| total[at] += row[at]);
        }
        let [pings, replies, bids, connections] = total;
        let _ = writeln!(text, "{:<20} {pings:>10} {replies:>10} {bids:>10} {connections:>12}", "all");
        if let (Ok(cpu), true) = (cpu, pings > 0) {
            let _ = writeln!(text, "CPU {:.2} µs per ping", cpu.as_secs_f64() * 1e6 / pings as f64);
        }
        if let Some(path) = &self.log {
            let log = self.bidders.take_log();
            write_log(path, &log.seen)?;
            let _ = writeln!(text, "wrote {} pings to {}", log.seen.len(), path.display());
            if log.overflow + log.without_call > 0 {
                return Err(Fault::Data(format!(
                    "{text}{} pings did not fit into the log and {} named no call: nobody can judge by it",
                    log.overflow, log.without_call
                )));
            }
        }
        self.bidders.stop();
        Ok(text)
    }
}
