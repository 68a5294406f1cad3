//! `load judge`: what carriers and bidders kept of a run, compared with what the exchange says of it.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::{Fault, Reach, judged, opened, phase, runtime};
use crate::log::read_log;
use crate::seen::Seen;
use crate::sent::{self, Sent};
use crate::tool::figures::{Figures, Frame, figures};
use crate::tool::judge::{Call, Verdict, judge as compare};
use crate::tool::market::CARRIER;
use crate::tool::scenario::{Caps, Phase, Scenario};
use crate::tool::shipped::Source;

/// How long an exchange's store may take to catch up.
const SETTLE: Duration = Duration::from_secs(60);
/// How long before and after a run's own records its pings may have come, in µs.
const AROUND_US: u64 = 5_000_000;

/// What `--help` tells.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub reach: Reach,
    /// What `load calls --log` wrote.
    #[arg(long, value_name = "FILE")]
    pub sent: PathBuf,
    /// What `load bidders --log` wrote, once they were stopped.
    #[arg(long, value_name = "FILE")]
    pub seen: PathBuf,
    /// The phase whose calls they are; default: the first.
    #[arg(long, value_name = "NAME")]
    pub phase: Option<String>,
    /// The run, as `load calls` named it; default: that of the calls in the file.
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// Nobody else has used the exchange since it started, so that its counters are this run's and must agree too.
    #[arg(long)]
    pub alone: bool,
    /// File for all of it, as one JSON document.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Found {
    pub scenario: String,
    pub phase: String,
    pub run: String,
    pub verdict: Verdict,
    /// From the two logs.
    pub figures: Figures,
}

/// Reads and compares.
pub fn judge(source: &Source, scenario: &Scenario, options: &Options) -> Result<Found, Fault> {
    let phase = phase(source, scenario, options.phase.as_deref())?;
    let sent = read_sent(&options.sent)?;
    let (run, seen) = (run_of(&sent, options)?, read_log::<Seen>(&options.seen)?);
    let seen = of_this_run(&sent, seen);
    let mut market = judged(scenario, &phase, &run);
    market.is_alone = options.alone;
    let asking = runtime()?;
    let mut api = asking.block_on(options.reach.connect(&market))?;
    if options.alone {
        api.from_its_start();
    }
    let json = options.json.as_ref().map(|path| opened(path)).transpose()?;
    let calls: Vec<Call> = sent.iter().map(Call::from).collect();
    let books = asking.block_on(api.read(&calls, SETTLE)).map_err(|why| Fault::Data(why.to_string()))?;
    let verdict = compare(&market, &calls, &seen, &books);
    let figures = told(scenario, &phase, &sent, &seen);
    let found = Found { scenario: source.name.clone(), phase: phase.name, run, verdict, figures };
    if let Some(file) = json {
        serde_json::to_writer_pretty(file, &found)
            .map_err(|error| Fault::Data(format!("--json: {error}")))?;
    }
    Ok(found)
}

fn read_sent(path: &Path) -> Result<Vec<Sent>, Fault> {
    let wrong = |error: std::io::Error| Fault::Data(format!("{}: {error}", path.display()));
    let sent = sent::read(BufReader::new(File::open(path).map_err(wrong)?)).map_err(wrong)?;
    if sent.is_empty() {
        return Err(Fault::Data(format!(
            "{}: there is no call in it; see `load calls --log`",
            path.display()
        )));
    }
    Ok(sent)
}

/// The name between carrier and number in a call's own.
fn run_of(sent: &[Sent], options: &Options) -> Result<String, Fault> {
    if let Some(run) = &options.run {
        return Ok(run.clone());
    }
    let of = |call: &Sent| {
        let rest = call.carrier_call_id.strip_prefix(&*call.carrier)?.strip_prefix('-')?;
        Some(rest.strip_suffix(&call.number.to_string())?.strip_suffix('-')?.to_owned())
    };
    let found = sent.iter().filter(|call| &*call.carrier == CARRIER).find_map(of);
    found.ok_or_else(|| {
        let path = options.sent.display();
        Fault::Usage(format!(
            "{path}: its calls do not tell their run; name it with --run, as `load calls` did"
        ))
    })
}

/// Pings of other runs have the same numbers, and another time.
fn of_this_run(sent: &[Sent], mut seen: Vec<Seen>) -> Vec<Seen> {
    let first = sent.iter().map(|call| call.sent_us).min().unwrap_or(0);
    let ends = sent.iter().flat_map(|call| {
        call.steps.iter().map(|step| step.answered_us).chain(call.answered_us).chain([call.sent_us])
    });
    let last = ends.max().unwrap_or(u64::MAX);
    let span = first.saturating_sub(AROUND_US)..=last.saturating_add(AROUND_US);
    seen.retain(|ping| span.contains(&ping.received_us));
    seen
}

/// The figures of all calls in the log.
fn told(scenario: &Scenario, phase: &Phase, sent: &[Sent], seen: &[Seen]) -> Figures {
    let entities = scenario.entities();
    let due = || sent.iter().map(|call| call.due_us);
    let frame = Frame {
        seed: scenario.seed,
        deadline_us: 1_000 * scenario.market.deadline_ms,
        from_us: due().min().unwrap_or(0),
        to_us: due().max().unwrap_or(0) + 1,
        is_exchange: true,
        is_limited: phase.lives && entities.iter().any(|entity| entity.caps != Caps::default()),
        is_changing: false,
        entities: &entities,
    };
    figures(&frame, sent, seen)
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { scenario, phase, run, verdict, figures } = self;
        writeln!(f, "{scenario}, phase {phase}, run {run}\n\n{verdict}")?;
        let us = |name: &str| figures.get(name).map_or("-".to_owned(), |value| format!("{value:.0}"));
        writeln!(
            f,
            "added latency: p50 {} µs, p90 {} µs, p99 {} µs of {} auctions",
            us("added_p50_us"),
            us("added_p90_us"),
            us("added_p99_us"),
            us("auctioned")
        )?;
        writeln!(f, "{}", if verdict.is_green() { "all in order" } else { "NOT in order" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_of_other_runs_are_left_out() {
        let call = Sent { sent_us: 100_000_000, answered_us: Some(100_050_000), ..Sent::default() };
        let ping = |received_us| Seen {
            call: 1,
            bidder: 0,
            received_us,
            replied_us: None,
            given_up_us: None,
            bid_cents: None,
        };
        let seen = [40_000_000, 100_001_000, 200_000_000].map(ping).to_vec();
        let kept: Vec<u64> = of_this_run(&[call], seen).iter().map(|ping| ping.received_us).collect();
        assert_eq!(kept, [100_001_000]);
    }
}
