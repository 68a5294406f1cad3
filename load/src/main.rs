//! `load`: bidders, calls, a judge and whole scenarios, for an exchange on this machine.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a load tool is all processes and clocks")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
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
