//! `load`: bidders, calls, a judge and whole scenarios, for an exchange on this machine.
//!
//! Exit codes: 0 good, 1 the answer is no, 2 usage, 64 scenario or configuration, 65 data.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a load tool is all processes and clocks"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use load::tool::run;
use load::tool::verbs::{self, Fault, Waiting, bidders, calls, judge, scenarios, straight};
use load::tool::yardstick;

/// What the exit codes mean, in every help.
macro_rules! help {
    ($($example:literal),+) => {
        concat!(
            "Examples:\n", $("  ", $example, "\n",)+
            "\nExit codes: 0 good; 1 a bar missed, or not green; 2 usage; 64 the scenario is wrong, or the exchange is \
             configured for another; 65 no exchange there, or a log or figure that is not what it has to be"
        )
    };
}

/// Load for a call exchange: measures it, and checks what it did.
#[derive(Parser)]
#[command(name = "load", version, max_term_width = 100, after_help = help!("load scenarios", "load run steady"))]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs a scenario: starts what it needs, prints one table, writes one document; fails when a bar is missed.
    #[command(after_help = help!("load run steady", "load run ./mine.toml --rounds 1 --only calm"))]
    Run {
        /// A name that `load scenarios` lists, or the path of a file.
        scenario: PathBuf,
        #[command(flatten)]
        options: RunOptions,
    },
    /// Starts the bidders of a scenario, and writes the configuration of an exchange that asks them.
    #[command(after_help = help!(
        "load bidders steady --config /tmp/steady --log /tmp/seen.jsonl",
        "load bidders ./mine.toml --first-port 9001 --seconds 60"
    ))]
    Bidders {
        /// A name that `load scenarios` lists, or the path of a file.
        scenario: PathBuf,
        #[command(flatten)]
        options: bidders::Options,
    },
    /// Places the calls of a scenario's phase on an exchange that runs already: open loop, one table at the end.
    #[command(after_help = help!(
        "load calls steady --to http://127.0.0.1:8080 --admin http://127.0.0.1:8081 --log /tmp/sent.jsonl",
        "load calls burst --to http://127.0.0.1:8080 --admin http://127.0.0.1:8081 --seconds 5 --hgrm /tmp"
    ))]
    Calls {
        /// A name that `load scenarios` lists, or the path of a file.
        scenario: PathBuf,
        #[command(flatten)]
        options: calls::Options,
    },
    /// Measures the harness itself, straight against a bidder of its own.
    #[command(after_help = help!("load straight steady", "load straight steady --rate 1000 --seconds 10 --hgrm /tmp"))]
    Straight {
        /// A name that `load scenarios` lists, or the path of a file.
        scenario: PathBuf,
        #[command(flatten)]
        options: straight::Options,
    },
    /// Compares what carriers sent and bidders saw with what the exchange says of it.
    #[command(after_help = help!(
        "load judge steady --admin http://127.0.0.1:8081 --sent /tmp/sent.jsonl --seen /tmp/seen.jsonl",
        "load judge steady --admin http://127.0.0.1:8081 --sent sent.jsonl --seen seen.jsonl --alone --json verdict.json"
    ))]
    Judge {
        /// A name that `load scenarios` lists, or the path of a file.
        scenario: PathBuf,
        #[command(flatten)]
        options: judge::Options,
    },
    /// Lists the scenarios that come with the tool.
    #[command(after_help = help!("load scenarios", "load scenarios | grep cap"))]
    Scenarios,
    /// One of the servers an exchange is compared with, until killed.
    #[command(after_help = help!(
        "load yardstick minimal --bidder 127.0.0.1:9001=+15125550000",
        "load yardstick afternoon --bidder 127.0.0.1:9001=+15125550000 --deadline-ms 200"
    ))]
    Yardstick {
        kind: yardstick::Kind,
        /// A bidder: its socket, `=`, where its calls go.
        #[arg(long = "bidder", value_parser = yardstick::read_bidder)]
        bidders: Vec<yardstick::Bidder>,
        /// How long replies are waited for.
        #[arg(long, default_value_t = 100)]
        deadline_ms: u64,
    },
}

#[derive(clap::Args)]
struct RunOptions {
    /// The exchange's binary; default: `outcry` beside this program.
    #[arg(long)]
    outcry: Option<PathBuf>,
    /// Rounds instead of the scenario's.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Only this phase, and what it needs; may be given again.
    #[arg(long)]
    only: Vec<String>,
    /// Folder of the document.
    #[arg(long, default_value = "target/load")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match done(Arguments::parse().verb) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("load: {fault}");
            ExitCode::from(fault.code())
        }
    }
}

/// Whether the answer is yes.
fn done(verb: Verb) -> Result<bool, Fault> {
    match verb {
        Verb::Run { scenario, options } => run_scenario(&scenario, options),
        Verb::Bidders { scenario, options } => run_bidders(&scenario, &options),
        Verb::Calls { scenario, options } => {
            let (source, scenario) = verbs::scenario(&scenario)?;
            let mut tell = |now: &_| eprintln!("{}", calls::progress(now));
            let mut waiting = Waiting::for_signals()?;
            say(&calls::place(&source, &scenario, &options, &mut waiting, &mut tell)?.to_string());
            Ok(true)
        }
        Verb::Straight { scenario, options } => {
            say(&straight::measure(&verbs::scenario(&scenario)?.1, &options)?);
            Ok(true)
        }
        Verb::Judge { scenario, options } => {
            let (source, scenario) = verbs::scenario(&scenario)?;
            let found = judge::judge(&source, &scenario, &options)?;
            say(&found.to_string());
            Ok(found.verdict.is_green())
        }
        Verb::Scenarios => {
            say(&scenarios::list()?);
            Ok(true)
        }
        Verb::Yardstick { kind, bidders, deadline_ms } => {
            yardstick::serve(kind, bidders, Duration::from_millis(deadline_ms))?;
            Ok(true)
        }
    }
}

fn run_scenario(scenario: &Path, options: RunOptions) -> Result<bool, Fault> {
    let (source, _) = verbs::scenario(scenario)?;
    let beside = std::env::current_exe()?.with_file_name("outcry");
    let RunOptions { outcry, rounds, only, out } = options;
    let options = run::Options { outcry: outcry.unwrap_or(beside), rounds, only, out };
    let report = run::run(&source, &options)?;
    say(&format!("{}\n", run::table(&report)));
    Ok(report.is_good())
}

fn run_bidders(scenario: &Path, options: &bidders::Options) -> Result<bool, Fault> {
    let (_, scenario) = verbs::scenario(scenario)?;
    let mut waiting = Waiting::for_signals()?;
    let open = bidders::open(&scenario, options)?;
    say(&open.lines());
    if let Some(dir) = &options.config {
        eprintln!("outcry serve --config {}", dir.join("outcry.toml").display());
    }
    if options.seconds.is_none() {
        eprintln!("Ctrl-C stops");
    }
    waiting.wait(options.seconds.map(Duration::from_secs));
    say(&open.close()?);
    Ok(true)
}

/// Whoever reads the output may have read enough, as `head` does.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
