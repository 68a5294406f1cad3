//! `load calls`: a phase's calls, placed on an exchange that runs elsewhere, and how it answered.
//!
//! Bidders are in another process, so what the exchange itself added to a decision is not known here: both logs
//! together tell it.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::{Fault, Reach, Waiting, folder, judged, opened, percentiles, phase, runtime, write_hgrm};
use crate::carriers::{Arrivals, Carriers, Histograms, Snapshot};
use crate::sent::{self, Sent};
use crate::tool::market;
use crate::tool::scenario::{Phase, Scenario, Server};
use crate::tool::shipped::Source;
use crate::tool::stage;
use crate::trace::Trace;

/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long calls may go on after the last arrival.
const FINISH: Duration = Duration::from_secs(60);
/// Longest the exchange may take to say that it is one.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// What every problem document of an exchange begins its `type` with.
const PROBLEM: &str = "urn:outcry:problem:";

/// What `--help` tells.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the exchange takes calls, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    pub to: String,
    #[command(flatten)]
    pub reach: Reach,
    /// The phase whose calls are placed; default: the first.
    #[arg(long, value_name = "NAME")]
    pub phase: Option<String>,
    /// How long calls arrive, instead of as long as the phase says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub seconds: Option<u64>,
    /// Calls per second, arriving as people call, instead of the phase's arrivals.
    #[arg(long, value_name = "R", value_parser = rate)]
    pub rate: Option<f64>,
    /// File for what was sent and heard of every call, a line each: for `load judge --sent`.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Folder for decision.hgrm and since_sent.hgrm, in ms.
    #[arg(long, value_name = "DIR")]
    pub hgrm: Option<PathBuf>,
    /// Part of every call's name: letters, digits and dashes; default: a new one. The exchange knows a name again.
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub run: Option<String>,
    /// Number of the first call, where the bidders' log has had calls before.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub first_call: u64,
}

/// Calls per second.
pub fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.1..=100_000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0.1 to 100000".to_owned())
}

fn run_name(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain && (1..=40).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err("1 to 40 letters, digits and dashes".to_owned())
}

/// What came of it.
#[derive(Debug)]
pub struct Placed {
    pub scenario: String,
    pub phase: String,
    pub run: String,
    /// The exchange's own.
    pub version: String,
    pub figures: Snapshot,
    pub histograms: Histograms,
    /// Files that were written.
    pub wrote: Vec<PathBuf>,
}

/// Places the calls. `tell` hears the figures every second, and once more when the last call is over.
pub fn place(
    source: &Source,
    scenario: &Scenario,
    options: &Options,
    waiting: &mut Waiting,
    tell: &mut dyn FnMut(&Snapshot),
) -> Result<Placed, Fault> {
    let phase = wanted(source, scenario, options)?;
    let run = options.run.clone().unwrap_or_else(new_run);
    options.reach.own(&options.to)?;
    let asking = runtime()?;
    let api = asking.block_on(options.reach.connect(&judged(scenario, &phase, &run)))?;
    asking.block_on(takes_calls(&options.to))?;
    if scenario.is_ruled(Server::Exchange) {
        let listed = asking.block_on(stage::list_callers(&api));
        listed.map_err(|why| Fault::Configuration(why.to_string()))?;
    }
    let log = options.log.as_ref().map(|path| opened(path)).transpose()?;
    options.hgrm.as_ref().map(|dir| folder(dir)).transpose()?;

    let mut plan = stage::plan(scenario, &phase, Server::Exchange, &options.to, scenario.seed, 1.0);
    (plan.run, plan.first_call) = (run.clone(), options.first_call);
    plan.keep_sent = plan.keep_sent.filter(|_| log.is_some());
    let carriers = Carriers::start(plan, Arc::new(Trace::default()))?;
    let_live(&carriers, Duration::from_secs(phase.seconds), waiting, tell);
    let outcome = carriers.finish(Duration::ZERO);
    tell(&outcome.figures);

    let mut wrote = Vec::new();
    if let (Some(file), Some(path)) = (log, &options.log) {
        write_sent(file, &outcome.sent)
            .map_err(|error| Fault::Data(format!("{}: {error}", path.display())))?;
        wrote.push(path.clone());
        if outcome.sent_overflow > 0 {
            return Err(Fault::Data(format!(
                "{}: {} calls did not fit; place fewer, see --seconds and --rate",
                path.display(),
                outcome.sent_overflow
            )));
        }
    }
    if let Some(dir) = &options.hgrm {
        let Histograms { decision, since_sent, .. } = &outcome.histograms;
        wrote.extend(write_hgrm(dir, &[("decision", decision), ("since_sent", since_sent)])?);
    }
    Ok(Placed {
        scenario: source.name.clone(),
        phase: phase.name,
        run,
        version: api.version().to_owned(),
        figures: outcome.figures,
        histograms: outcome.histograms,
        wrote,
    })
}

/// The phase as it is placed here: without a warm-up, and nothing after it.
fn wanted(source: &Source, scenario: &Scenario, options: &Options) -> Result<Phase, Fault> {
    let mut phase = phase(source, scenario, options.phase.as_deref())?;
    if options.rate.is_none() && (phase.rate_of.is_some() || phase.search) {
        return Err(Fault::Usage(format!(
            "{}: phase {} takes its rate from what other runs reached, which only `load run` knows; give one with \
             --rate, or name another phase",
            source.told, phase.name
        )));
    }
    (phase.warm_up_s, phase.after) = (0, None);
    phase.seconds = options.seconds.unwrap_or(phase.seconds);
    if let Some(rate) = options.rate {
        phase.arrivals = Arrivals::Poisson(rate);
    }
    Ok(phase)
}

/// No two runs of a machine begin within one ms.
fn new_run() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}", since_epoch.as_millis())
}

/// Lets calls arrive for so long, then waits for those in progress to end; a signal ends the one and then the other.
fn let_live(carriers: &Carriers, span: Duration, waiting: &mut Waiting, tell: &mut dyn FnMut(&Snapshot)) {
    let arrivals_end = Instant::now() + span;
    while Instant::now() < arrivals_end {
        let left = arrivals_end.saturating_duration_since(Instant::now());
        if waiting.wait(Some(left.min(TELL_EVERY))) {
            break;
        }
        tell(&carriers.snapshot());
    }
    carriers.set_rate(0.0);
    let until = Instant::now() + FINISH;
    while Instant::now() < until && carriers.snapshot().in_progress > 0 {
        let looks_in = TELL_EVERY / 10;
        for _ in 0..10 {
            if waiting.wait(Some(looks_in)) {
                return;
            }
            if carriers.snapshot().in_progress == 0 {
                return;
            }
        }
        tell(&carriers.snapshot());
    }
}

fn write_sent(file: File, calls: &[Sent]) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    sent::write(&mut out, calls)?;
    out.flush()
}

/// Whether calls are taken there from the carrier of the scenario: by a request that is none, and decides nothing.
async fn takes_calls(to: &str) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(rename = "type")]
        kind: String,
    }
    let url = format!("{}/v1/route", to.trim_end_matches('/'));
    let not_outcry = |why: String| {
        Fault::Data(format!(
            "{to} takes no calls for an Outcry exchange: {why}; --to is its call traffic listener, such as \
             http://127.0.0.1:8080"
        ))
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LOOK_LIMIT)
        .build()
        .map_err(|error| Fault::Data(format!("no HTTP client: {error}")))?;
    let asked = client.post(&url).bearer_auth(market::KEY).body("{}").send().await;
    let answer = asked.map_err(|error| not_outcry(cause(&error)))?;
    let status = answer.status().as_u16();
    let is_ours = answer.json::<Problem>().await.is_ok_and(|problem| problem.kind.starts_with(PROBLEM));
    match (status, is_ours) {
        (401 | 403, true) => Err(Fault::Configuration(format!(
            "{to} does not know the scenario's carrier ({status}); serve the configuration that `load bidders SCENARIO \
             --config DIR` writes"
        ))),
        // The request is not valid, or nothing is taken at this moment.
        (400 | 422 | 503, true) => Ok(()),
        (_, true) => Err(not_outcry(format!("/v1/route answers {status}; its admin listener, perhaps"))),
        (_, false) => Err(not_outcry(format!("/v1/route answers {status} and no problem document"))),
    }
}

/// The last of the causes says most.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// A line of progress.
pub fn progress(now: &Snapshot) -> String {
    let recent = now.decision.recent;
    format!(
        "{:>5} s  sent {}  answered {}  errors {}  in progress {}  decision p50 {:.1} ms  p99 {:.1} ms",
        now.elapsed.as_secs(),
        now.sent,
        now.answered,
        now.errors.values().sum::<u64>(),
        now.in_progress,
        recent.p50_us as f64 / 1e3,
        recent.p99_us as f64 / 1e3,
    )
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = &self.figures;
        let Placed { scenario, phase, run, version, .. } = self;
        let seconds = now.elapsed.as_secs_f64();
        writeln!(f, "{scenario}, phase {phase}, run {run}: {seconds:.1} s on exchange {version}\n")?;
        let counted = |counts: &std::collections::BTreeMap<&str, u64>| -> String {
            let named: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            if named.is_empty() { "none".to_owned() } else { named.join(", ") }
        };
        writeln!(
            f,
            "calls        sent {}, answered {}, skipped {}, over {}, cut off {}",
            now.sent, now.answered, now.skipped, now.ended, now.cut_off
        )?;
        writeln!(f, "errors       {}", counted(&now.errors))?;
        writeln!(f, "actions      {}", counted(&now.actions))?;
        writeln!(f, "bases        {}", counted(&now.bases))?;
        writeln!(
            f,
            "lives        bridged {}, attempts {}, next steps {}, events {}, events refused {}\n",
            now.bridged, now.attempts, now.next_steps, now.events, now.events_refused
        )?;
        let rows = [
            ("decision", &now.decision.total),
            ("since sent", &now.since_sent.total),
            ("send lag", &now.send_lag.total),
        ];
        writeln!(f, "{}\n", percentiles(&rows))?;
        writeln!(
            f,
            "Added latency is not told here, since the bidders' replies are not known: `load judge` tells it from both logs."
        )?;
        self.wrote.iter().try_for_each(|path| writeln!(f, "wrote {}", path.display()))
    }
}
