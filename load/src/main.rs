//! `load`: bidders, calls, a judge and whole scenarios, for an exchange on this machine.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a load tool is all processes and clocks"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use load::tool::run::{self, Options};
use load::tool::yardstick;

/// Load for a call exchange: measures it, and checks what it did.
#[derive(Parser)]
#[command(name = "load", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs a scenario: starts what it needs, prints one table, writes one document; fails when a bar is missed.
    Run {
        /// Scenario file, such as load/scenarios/steady.toml, or the name of one of those.
        scenario: PathBuf,
        /// The exchange's binary; default: `outcry` beside this program.
        #[arg(long)]
        outcry: Option<PathBuf>,
        /// Rounds instead of the scenario's.
        #[arg(long)]
        rounds: Option<u32>,
        /// Only this phase, and what it needs; may be given again.
        #[arg(long)]
        only: Vec<String>,
        /// Folder of the document.
        #[arg(long, default_value = "target/load")]
        out: PathBuf,
    },
    /// One of the servers an exchange is compared with, until killed.
    Yardstick {
        kind: yardstick::Kind,
        /// A bidder: its socket, `=`, where its calls go.
        #[arg(long = "bidder", value_parser = yardstick::read_bidder)]
        bidders: Vec<yardstick::Bidder>,
        #[arg(long, default_value_t = 100)]
        deadline_ms: u64,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Run { scenario, outcry, rounds, only, out } => {
            run_scenario(scenario, outcry, rounds, only, out)
        }
        Verb::Yardstick { kind, bidders, deadline_ms } => {
            yardstick::serve(kind, bidders, Duration::from_millis(deadline_ms)).map(|()| true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_scenario(
    scenario: PathBuf,
    outcry: Option<PathBuf>,
    rounds: Option<u32>,
    only: Vec<String>,
    out: PathBuf,
) -> std::io::Result<bool> {
    let beside = std::env::current_exe()?.with_file_name("outcry");
    let options = Options { outcry: outcry.unwrap_or(beside), rounds, only, out };
    let report = run::run(&named(scenario), &options)?;
    println!("{}", run::table(&report));
    Ok(report.is_good())
}

/// A bare name is one of the scenarios that come with the tool.
fn named(scenario: PathBuf) -> PathBuf {
    if scenario.extension().is_some() || scenario.components().count() > 1 {
        return scenario;
    }
    PathBuf::from("load/scenarios").join(scenario).with_extension("toml")
}
