//! Stopwatch for the engines of a call: one binary, a module per engine, times printed and never asserted.
//!
//! ```text
//! cargo bench                     all of them
//! cargo bench -- reply            those whose name contains `reply`
//! cargo bench -- tail             how long a start takes that reads a gigabyte of the journal; only if asked for
//! cargo bench -- store           how fast SQLite takes rows, beside a bare loop; only if asked for
//! cargo bench -- load            how long reading a large catalog takes; only if asked for
//! cargo bench -- whole           how long a decision among ten thousand targets takes; only if asked for
//! cargo bench -- --quick          each a few times: whether they still run, not how fast
//! benches/count.sh                their instructions, against the baseline in benches/instructions.txt
//! ```
//!
//! Each measures one operation many times in rounds and prints the median round and the spread: the time per operation
//! below which 10 and 90 of 100 rounds lie. A wide spread means that the machine was busy: measure again. Whole-server
//! numbers are not here, they need a load generator and a machine to itself. What every operation returns is checked,
//! so a bench cannot become fast by no longer doing its work.
//!
//! Times need a quiet machine and eyes; instructions need neither. `--count` is for `count.sh`: each operation runs
//! `COUNTED` times inside [`counted`], where callgrind collects, and is then [`told`], where it dumps what it has. Inputs
//! are made and outputs dropped one by one around it, so that the allocator is soon in the same state whatever ran
//! before. Operations of several threads are left out: how often they meet is chance.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a stopwatch reads clocks and starts threads"
)]

mod bid_table;
mod callers;
mod carrier;
mod hold;
mod journal;
mod market;
mod ping;
mod rank;
mod reply;
mod rules;
mod screen;
mod settle;
mod store;
mod tail;
mod whole;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Rounds of a measurement.
const ROUNDS: usize = 41;
/// How long one round should take; operations are repeated until it does.
const ROUND: Duration = Duration::from_millis(10);
/// How long an operation runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);
/// Rounds of a quick run, of one operation each.
const QUICK_ROUNDS: usize = 3;
/// Most operations in a round: their inputs are all made before it.
const BATCH_MAX: usize = 100_000;

/// Runs of an operation before its instructions are counted: what is only done the first times is nobody's.
const UNCOUNTED: usize = 16;
/// Runs of an operation whose instructions are counted.
const COUNTED: usize = 32;

/// How the operations are run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Until the times are good.
    Timed,
    /// A few times.
    Quick,
    /// As often as is said, for somebody who counts.
    Counted,
}

/// What was asked for on the command line.
pub struct Stopwatch {
    way: Way,
    filter: Option<String>,
    measured: usize,
}

impl Stopwatch {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Stopwatch, String> {
        let mut watch = Stopwatch { way: Way::Timed, filter: None, measured: 0 };
        for argument in arguments {
            match argument.as_str() {
                "--quick" => watch.way = Way::Quick,
                "--count" => watch.way = Way::Counted,
                // cargo says so itself.
                "--bench" => {}
                _ if argument.starts_with('-') => return Err(format!("unknown option {argument}")),
                _ if watch.filter.is_some() => return Err("one name at most".to_owned()),
                _ => watch.filter = Some(argument),
            }
        }
        Ok(watch)
    }

    /// Whether somebody wants this one.
    fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter))
    }

    /// Measures `run` on inputs of `prepare`, which is not measured.
    pub fn measure_on<I, O>(
        &mut self,
        name: &str,
        mut prepare: impl FnMut() -> I,
        mut run: impl FnMut(I) -> O,
    ) {
        if self.way == Way::Counted {
            return self.count(name, prepare, run);
        }
        let mut round = |operations: usize| {
            let inputs: Vec<I> = (0..operations).map(|_| prepare()).collect();
            let mut outputs = Vec::with_capacity(operations);
            let start = Instant::now();
            for input in inputs {
                outputs.push(run(black_box(input)));
            }
            let took = start.elapsed();
            // Values are dropped after the clock has stopped.
            drop(black_box(outputs));
            took
        };
        self.measure_rounds(name, 1, &mut round);
    }

    /// Measures `run`.
    pub fn measure<O>(&mut self, name: &str, mut run: impl FnMut() -> O) {
        self.measure_on(name, || (), |()| run());
    }

    fn count<I, O>(&mut self, name: &str, mut prepare: impl FnMut() -> I, mut run: impl FnMut(I) -> O) {
        if !self.wants(name) {
            return;
        }
        self.measured += 1;
        for at in 0..UNCOUNTED + COUNTED {
            let mut input = Some(prepare());
            let mut output = None;
            let mut once = || output = input.take().map(|input| run(black_box(input)));
            if at < UNCOUNTED {
                once()
            } else {
                counted(&mut once)
            }
            drop(black_box(output));
        }
        told(name);
    }

    /// Measures rounds of so many operations, each timed by `round` itself; times are shown by the pieces in each. They
    /// are not for counting.
    pub fn measure_rounds(&mut self, name: &str, pieces: usize, round: &mut dyn FnMut(usize) -> Duration) {
        if !self.wants(name) || self.way == Way::Counted {
            return;
        }
        self.measured += 1;
        let (rounds, operations) =
            if self.way == Way::Quick { (QUICK_ROUNDS, 1) } else { (ROUNDS, warm_up(round)) };
        let mut times: Vec<f64> =
            (0..rounds).map(|_| round(operations).as_nanos() as f64 / (operations * pieces) as f64).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: usize| shown(times[(rounds - 1) * share / 100]);
        println!(
            "{name:<44} {:>10}   {:>10} to {:<10} {rounds} rounds of {operations}",
            at(50),
            at(10),
            at(90)
        );
    }
}

/// What is counted from outside, by the name of this function.
#[inline(never)]
fn counted(once: &mut dyn FnMut()) {
    once();
    // Not a jump to `once`: callgrind looks for a call and its return.
    black_box(());
}

/// Where what was counted so far is written down from outside, by the name of this function.
#[inline(never)]
fn told(name: &str) {
    println!("{COUNTED} {name}");
}

/// Runs it until it is warm and says how many operations fill a round.
fn warm_up(round: &mut dyn FnMut(usize) -> Duration) -> usize {
    let start = Instant::now();
    let mut operations = 1;
    loop {
        let took = round(operations).max(Duration::from_nanos(1));
        let wanted = operations as f64 * ROUND.as_secs_f64() / took.as_secs_f64();
        if start.elapsed() >= WARM_UP {
            return (wanted as usize).clamp(1, BATCH_MAX);
        }
        operations = (wanted as usize).clamp(1, BATCH_MAX).min(operations * 2);
    }
}

/// Nanoseconds in a unit fit to read.
fn shown(nanos: f64) -> String {
    match nanos {
        _ if nanos < 1e3 => format!("{nanos:.1} ns"),
        _ if nanos < 1e6 => format!("{:.2} µs", nanos / 1e3),
        _ => format!("{:.2} ms", nanos / 1e6),
    }
}

fn main() -> ExitCode {
    let mut watch = match Stopwatch::from_arguments(std::env::args().skip(1)) {
        Ok(watch) => watch,
        Err(error) => {
            eprintln!("{error}; allowed: --quick or --count, and one name to filter by");
            return ExitCode::from(2);
        }
    };
    let is_quick = watch.way == Way::Quick;
    match watch.filter.as_deref() {
        Some("tail") => {
            tail::run(is_quick);
            return ExitCode::SUCCESS;
        }
        Some("store") => {
            store::run(is_quick);
            return ExitCode::SUCCESS;
        }
        Some("whole") => {
            whole::run(is_quick);
            return ExitCode::SUCCESS;
        }
        Some("load") => {
            rules::run_load(is_quick);
            return ExitCode::SUCCESS;
        }
        None if is_quick => {
            tail::run(true);
            store::run(true);
            rules::run_load(true);
            whole::run(true);
        }
        Some(_) | None => {}
    }
    if watch.way != Way::Counted {
        println!("{:<44} {:>10}   {:>10} to {:<10}", "operation", "median", "10 %", "90 %");
    }
    carrier::run(&mut watch);
    screen::run(&mut watch);
    rules::run(&mut watch);
    callers::run(&mut watch);
    bid_table::run(&mut watch);
    rank::run(&mut watch);
    ping::run(&mut watch);
    reply::run(&mut watch);
    hold::run(&mut watch);
    settle::run(&mut watch);
    journal::run(&mut watch);
    if watch.measured == 0 {
        eprintln!("no bench has that name");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
