//! A whole scenario: rounds of phases on rotating servers, medians, bars, one table and one document.
//!
//! Servers are interleaved and their order rotates from round to round, so that a machine that is slower for a while is
//! slower for everybody. What one run is, is in `stage`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::judge::Verdict;
use super::place::{Cores, machine, on_cores};
use super::scenario::{Bar, Phase, Scenario};
use super::search::search;
use super::shipped::Source;
use super::stage::{Run, Stage};
use crate::carriers::Arrivals;

/// Figures of what must not happen in any round: a median would hide it.
const NEVER: [&str; 4] = ["wrong", "early", "unanswered", "refused"];
/// Rate at which the harness measures itself where a phase has none of its own.
const STRAIGHT_RATE: f64 = 200.0;

/// How a scenario is run.
pub struct Options {
    pub outcry: PathBuf,
    pub rounds: Option<u32>,
    /// Only phases of these names, and those whose rates they need.
    pub only: Vec<String>,
    /// Where the document goes.
    pub out: PathBuf,
}

/// Everything a scenario's run gave.
#[derive(Debug, Serialize)]
pub struct Report {
    pub scenario: String,
    pub about: String,
    /// FNV-1a of the scenario file's text, in hexadecimal.
    pub scenario_hash: String,
    pub seed: u64,
    pub rounds: u32,
    pub machine: String,
    pub cores: String,
    /// What the exchange says it is, and the size of its binary.
    pub build: String,
    pub runs: Vec<Run>,
    /// `phase.server.figure`, the median over the rounds.
    pub medians: BTreeMap<String, f64>,
    pub bars: Vec<Judged>,
    /// The judge was content with every run of the exchange.
    pub judge_green: bool,
}

/// A bar and what came of it.
#[derive(Debug, Serialize)]
pub struct Judged {
    pub say: String,
    pub figure: String,
    pub value: Option<f64>,
    /// What it had to reach.
    pub limit: Option<f64>,
    /// `value` over `of`, where there is one.
    pub ratio: Option<f64>,
    pub is_met: bool,
}

impl Report {
    /// Every bar met and every record in order.
    pub fn is_good(&self) -> bool {
        self.judge_green && self.bars.iter().all(|bar| bar.is_met)
    }
}

/// Runs a scenario.
pub fn run(source: &Source, options: &Options) -> io::Result<Report> {
    let mut scenario = source.scenario().map_err(io::Error::other)?;
    if !options.only.is_empty() {
        keep_only(&mut scenario, &options.only)?;
    }
    let rounds = options.rounds.unwrap_or(scenario.rounds);
    // Before anything is bound: afterwards there seem to be fewer cores.
    let (machine, cores) = (machine(), Cores::choose()?);
    let folder = std::env::temp_dir().join(format!("outcry-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let build = build(&options.outcry)?;
    let stage = Stage {
        scenario: &scenario,
        outcry: options.outcry.clone(),
        myself: std::env::current_exe()?,
        cores: cores.clone(),
        folder: folder.clone(),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    // This thread as well, and whatever it starts: nothing of the load is where the server is.
    let runs = on_cores(&cores.load(), || rounds_of(&stage, rounds))??;
    // What a run left behind by a fault is of no use to anybody.
    let _ = std::fs::remove_dir_all(&folder);
    let medians = medians(&runs);
    let ran: Vec<&str> = scenario.phases.iter().map(|phase| phase.name.as_str()).collect();
    let of_run = |bar: &&Bar| ran.contains(&bar.figure.split('.').next().unwrap_or(""));
    let bars = scenario.bars.iter().filter(of_run).map(|bar| judged(bar, &medians)).collect();
    let judge_green = is_green(&runs);
    let report = Report {
        scenario: source.name.clone(),
        about: scenario.about.clone(),
        scenario_hash: format!("{:016x}", fnv(source.text.as_bytes())),
        seed: scenario.seed,
        rounds,
        machine,
        cores: cores.to_string(),
        build,
        runs,
        medians,
        bars,
        judge_green,
    };
    std::fs::create_dir_all(&options.out)?;
    let path = options.out.join(format!("{}.json", report.scenario));
    std::fs::write(&path, serde_json::to_vec_pretty(&report)?)?;
    Ok(report)
}

/// The judge was content with every run that it saw.
pub fn is_green(runs: &[Run]) -> bool {
    runs.iter().all(|run| run.verdict.as_ref().is_none_or(Verdict::is_green))
}

/// Every phase of every round, on every server of it.
fn rounds_of(stage: &Stage<'_>, rounds: u32) -> io::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for round in 0..rounds {
        for phase in &stage.scenario.phases {
            let straight = stage.straight_p50_us(rate(&phase.arrivals))?;
            let turn = round as usize % phase.servers.len();
            for server in phase.servers.iter().cycle().skip(turn).take(phase.servers.len()) {
                let of = phase.rate_of.as_ref().map(|of| of_round(&runs, of, round)).transpose()?;
                eprintln!("round {} of {rounds}: {} on {}", round + 1, phase.name, server.as_str());
                let one = |phase: &Phase, scale| {
                    let mut run = stage.run(phase, *server, round, scale)?;
                    let net = run.figures.get("added_p50_us").map(|p50| p50 - straight);
                    run.figures.insert("straight_p50_us", straight);
                    run.figures.extend(net.map(|net| ("net_p50_us", net)));
                    eprintln!("    {}", line(&run));
                    if let Some(verdict) = run.verdict.as_ref().filter(|verdict| !verdict.is_green()) {
                        eprintln!("{verdict}");
                    }
                    Ok(run)
                };
                match phase.search {
                    true => runs.extend(search(phase, one)?),
                    false => runs.push(one(phase, of.unwrap_or(1.0))?),
                }
            }
        }
    }
    Ok(runs)
}

/// A figure of an earlier phase in the same round.
fn of_round(runs: &[Run], name: &str, round: u32) -> io::Result<f64> {
    let mut parts = name.split('.');
    let (phase, server, figure) = (parts.next(), parts.next(), parts.next());
    let run = runs.iter().rev().find(|run| {
        run.round == round && Some(run.phase.as_str()) == phase && Some(run.server.as_str()) == server
    });
    let value = run.and_then(|run| run.figures.get(figure.unwrap_or("")));
    value.copied().ok_or_else(|| io::Error::other(format!("{name} is no figure of an earlier phase")))
}

fn keep_only(scenario: &mut Scenario, only: &[String]) -> io::Result<()> {
    let known: Vec<&str> = scenario.phases.iter().map(|phase| phase.name.as_str()).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        let what = format!("no phase is named {unknown}; there are {}", known.join(", "));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let needed: Vec<String> = scenario
        .phases
        .iter()
        .filter(|phase| only.contains(&phase.name))
        .filter_map(|phase| phase.rate_of.as_ref()?.split('.').next().map(str::to_owned))
        .collect();
    scenario.phases.retain(|phase| only.contains(&phase.name) || needed.contains(&phase.name));
    Ok(())
}

fn rate(arrivals: &Arrivals) -> f64 {
    match arrivals {
        Arrivals::Poisson(rate) | Arrivals::Constant(rate) if *rate > 1.0 && *rate <= 1_000.0 => *rate,
        _ => STRAIGHT_RATE,
    }
}

/// By phase and server: the median over the rounds, of what must never happen the worst.
fn medians(runs: &[Run]) -> BTreeMap<String, f64> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in runs {
        for (figure, value) in &run.figures {
            let name = format!("{}.{}.{figure}", run.phase, run.server.as_str());
            values.entry(name).or_default().push(*value);
        }
    }
    let one = |name: &str, mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        if NEVER.iter().any(|never| name.rsplit('.').next() == Some(never)) {
            return values[values.len() - 1];
        }
        let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        (lower + upper) / 2.0
    };
    values
        .into_iter()
        .map(|(name, values)| {
            let value = one(&name, values);
            (name, value)
        })
        .collect()
}

fn judged(bar: &Bar, medians: &BTreeMap<String, f64>) -> Judged {
    let value = medians.get(&bar.figure).copied();
    let of = bar.of.as_ref().map(|of| medians.get(of).copied());
    let base = match of {
        None => Some(1.0),
        Some(of) => of,
    };
    let limit = base.and_then(|base| Some(base * bar.at_most.or(bar.at_least)? + bar.plus));
    let is_met = match (value.zip(limit), bar.at_most) {
        (Some((value, limit)), Some(_)) => value <= limit,
        (Some((value, limit)), None) => value >= limit,
        (None, _) => value.is_none() && bar.or_none,
    };
    let ratio = value.zip(of.flatten()).map(|(value, of)| value / of);
    Judged { say: bar.say.clone(), figure: bar.figure.clone(), value, limit, ratio, is_met }
}

/// What the binary says of itself.
fn build(outcry: &Path) -> io::Result<String> {
    let no = |why: String| io::Error::other(format!("{} is not the exchange: {why}", outcry.display()));
    let said = Command::new(outcry).arg("--version").output().map_err(|error| no(error.to_string()))?;
    let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    if !version.starts_with("outcry ") {
        return Err(no(format!("asked for its version it said {version:?}")));
    }
    Ok(format!(
        "{version}, {} bytes, fnv {:016x}",
        std::fs::metadata(outcry)?.len(),
        fnv(&std::fs::read(outcry)?)
    ))
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The columns of the table: figure, heading, decimals.
const COLUMNS: [(&str, &str, usize); 17] = [
    ("per_s", "answered/s", 0),
    ("goodput_per_s", "right/s", 0),
    ("unanswered", "no answer", 0),
    ("refused", "503", 0),
    ("refused_p99_ms", "503 p99 ms", 1),
    ("wrong", "wrong", 0),
    ("open_share", "open", 4),
    ("p50_ms", "p50 ms", 1),
    ("p99_ms", "p99 ms", 1),
    ("added_p50_us", "added p50 µs", 0),
    ("net_p50_us", "net µs", 0),
    ("added_p99_us", "p99 µs", 0),
    ("forced_p99_us", "forced p99", 0),
    ("cpu_workers_us", "worker µs", 1),
    ("cpu_whole_us", "whole µs", 1),
    ("connections_per_auction", "conns", 4),
    ("peak_mb", "MB", 0),
];

fn line(run: &Run) -> String {
    let shown = COLUMNS.iter().filter_map(|(name, heading, decimals)| {
        run.figures.get(name).map(|value| format!("{heading} {value:.decimals$}"))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The one table, for people.
pub fn table(report: &Report) -> String {
    let mut text = format!(
        "{}: {}\n{} rounds, seed {}, scenario {}\n{}; cores: {}\n{}\n\n",
        report.scenario,
        report.about,
        report.rounds,
        report.seed,
        report.scenario_hash,
        report.machine,
        report.cores,
        report.build
    );
    let mut rows: Vec<Vec<String>> = vec![
        ["phase", "server"].into_iter().chain(COLUMNS.map(|column| column.1)).map(str::to_owned).collect(),
    ];
    let mut seen = Vec::new();
    for run in &report.runs {
        let key = (run.phase.clone(), run.server);
        if seen.contains(&key) {
            continue;
        }
        let figure = |(name, _, decimals): (&str, &str, usize)| {
            let name = format!("{}.{}.{name}", run.phase, run.server.as_str());
            report.medians.get(&name).map_or("-".to_owned(), |value| format!("{value:.decimals$}"))
        };
        rows.push(
            [run.phase.clone(), run.server.as_str().to_owned()]
                .into_iter()
                .chain(COLUMNS.map(figure))
                .collect(),
        );
        seen.push(key);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            // Writing to a string cannot fail.
            let _ = if at < 2 { write!(text, "{cell:<width$}  ") } else { write!(text, "{cell:>width$}  ") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push('\n');
    for bar in &report.bars {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let ratio = bar.ratio.map_or(String::new(), |ratio| format!(", ratio {ratio:.3}"));
        let _ = writeln!(
            text,
            "{}  {}: {} against {}{ratio}",
            if bar.is_met { "met   " } else { "MISSED" },
            bar.say,
            number(bar.value),
            number(bar.limit),
        );
    }
    let _ = writeln!(
        text,
        "{}",
        if report.judge_green { "the judge is content with every run" } else { "the judge is NOT content" }
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_on_what_did_not_happen_is_missed_unless_it_need_not_happen() {
        let bar = |or_none, at_most, at_least| Bar {
            say: String::new(),
            figure: "triple.exchange.refused_p99_ms".to_owned(),
            of: None,
            at_most,
            at_least,
            plus: 0.0,
            or_none,
        };
        // the figure | at most | at least | met, or met with or_none
        let table = [
            (Some(99.0), Some(100.0), None, (true, true)),
            (Some(101.0), Some(100.0), None, (false, false)),
            (None, Some(100.0), None, (false, true)),
            (Some(99.0), None, Some(100.0), (false, false)),
            (Some(101.0), None, Some(100.0), (true, true)),
            (None, None, Some(100.0), (false, true)),
        ];
        for (value, at_most, at_least, (plain, or_none)) in table {
            let medians = value.map(|value| ("triple.exchange.refused_p99_ms".to_owned(), value));
            let medians = medians.into_iter().collect();
            let is_met = |or_none| judged(&bar(or_none, at_most, at_least), &medians).is_met;
            assert_eq!((is_met(false), is_met(true)), (plain, or_none), "{value:?} {at_most:?} {at_least:?}");
        }
        let of = Some("capacity.exchange.per_s".to_owned());
        let lacks_its_base = Bar { of, ..bar(true, Some(1.0), None) };
        let medians = [("triple.exchange.refused_p99_ms".to_owned(), 0.0)].into();
        assert!(!judged(&lacks_its_base, &medians).is_met, "it is the figure that may be missing");
    }
}
