//! One run: bidders, one server, calls for a while, and everything that can be said of it afterwards.
//!
//! The order of phases and rounds is in `run`. Whatever was started here is stopped here.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::figures::{Figures, Frame, figures};
use super::market::{self, Market};
use super::place::{Cores, Cost, Server as Process, Speaks, on_cores};
use super::scenario::{Deed, Entity, EntityKind, Phase, Scenario, Server};
use super::{judge, rules};
use crate::bidders::{Behaviour, Bidders, Latency};
use crate::carriers::{
    Arrivals, CarrierKey, Carriers, Dialect, Outcome, Plan, Rates, Talk, Twilio, straight,
};
use crate::log::unix_us;
use crate::seen::Seen;
use crate::sent::Sent;

/// Calls kept for the judge in one run.
const SENT_MAX: usize = 2_000_000;
/// How long calls may go on after the last arrival.
const FINISH: Duration = Duration::from_secs(60);
/// A bidder that turned healthy is looked for in the pings of so long.
const HEAL_LOOK: Duration = Duration::from_secs(5);
/// How long an exchange's store may take to catch up.
const SETTLE: Duration = Duration::from_secs(120);
/// How often is looked whether it has.
const CATCH_UP_LOOK: Duration = Duration::from_millis(200);
/// How long the harness itself is measured.
const STRAIGHT: Duration = Duration::from_secs(4);

/// What runs are made with.
pub struct Stage<'a> {
    pub scenario: &'a Scenario,
    pub outcry: PathBuf,
    pub myself: PathBuf,
    pub cores: Cores,
    /// Folder for configurations and stores.
    pub folder: PathBuf,
    /// Asks the exchange's API.
    pub runtime: tokio::runtime::Runtime,
}

/// What a run gave.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub phase: String,
    pub server: Server,
    pub round: u32,
    pub figures: Figures,
    pub verdict: Option<judge::Verdict>,
}

/// A server that answers, and how it is asked and stopped.
struct Running {
    process: Process,
    base_url: String,
    /// The admin listener, of an exchange.
    admin: Option<judge::Api>,
}

impl Stage<'_> {
    /// The harness's own share of the added latency at a rate: its p50 in µs.
    pub fn straight_p50_us(&self, rate: f64) -> io::Result<f64> {
        let measured = harness(self.scenario, &self.cores, rate, STRAIGHT)?;
        Ok(measured.map_or(0.0, |(_, outcome)| outcome.histograms.added.value_at_quantile(0.5) as f64))
    }

    /// Runs one phase on one server. `scale` multiplies the arrivals.
    pub fn run(&self, phase: &Phase, server: Server, round: u32, scale: f64) -> io::Result<Run> {
        let bidders = bidders(self.scenario, &self.cores, phase.prompt)?;
        let span_s = phase.warm_up_s + phase.seconds + phase.after.map_or(0, |after| after.seconds);
        bidders.log(log_capacity(phase, scale, span_s, self.scenario.scripts().len()));
        let folder = self.folder.join(format!("{}-{}-{round}", phase.name, server.as_str()));
        let endpoint = |id: &str| bidders.url(id);
        let market = Market { scenario: self.scenario, server, capped: phase.capped, endpoint: &endpoint };
        let running = self.start(&market, &folder, &bidders)?;
        let seed = self.scenario.seed + u64::from(round);
        let mut plan = plan(self.scenario, phase, server, &running.base_url, seed, scale);
        if server == Server::Small {
            plan.numbers.truncate(1); // it has no other
        }
        let empty = running.process.cost()?.resident_bytes;
        let carriers = on_cores(&self.cores.carriers, || Carriers::start(plan, bidders.trace()))??;
        std::thread::sleep(Duration::from_secs(phase.warm_up_s));
        let before = Taken::take(&running.process, &bidders, &carriers)?;
        let begun = Instant::now();
        let turned = self.let_run(phase, &market, &folder, &running, &bidders, begun)?;
        let after = Taken::take(&running.process, &bidders, &carriers)?;
        let kept = match &running.admin {
            Some(api) => Some(self.block_on(api.level("outcry_calls_remembered"))?),
            None => None,
        };
        if let Some(stretch) = phase.after {
            std::thread::sleep(Duration::from_secs(stretch.seconds));
        }
        let outcome = carriers.finish(FINISH);
        // What is left to the store is part of what the phase cost, unless calls went on after it.
        let owed = match &running.admin {
            Some(api) if phase.after.is_none() && !phase.lives => {
                self.catch_up(api, &running.process, &after)?
            }
            Some(_) | None => Duration::ZERO,
        };
        let calls: Vec<judge::Call> = outcome.sent.iter().map(judge::Call::from).collect();
        let books = match &running.admin {
            Some(api) => Some(self.block_on(api.read(&calls, SETTLE))?),
            None => None,
        };
        // After the books: who replies late does so until everybody has an outcome.
        let seen = bidders.take_log();
        if outcome.sent_overflow + seen.overflow > 0 {
            let (calls, pings) = (outcome.sent_overflow, seen.overflow);
            return Err(io::Error::other(format!(
                "{calls} calls and {pings} pings did not fit into the logs"
            )));
        }
        let entities = self.scenario.entities();
        let frame = Frame {
            entities: &entities,
            seed: self.scenario.seed,
            deadline_us: 1_000 * self.scenario.market.deadline_ms,
            from_us: unix_us(begun),
            to_us: unix_us(begun + Duration::from_secs(phase.seconds)),
            is_exchange: server.is_exchange(),
            is_limited: phase.lives
                && entities.iter().any(|entity| entity.caps != super::scenario::Caps::default()),
            is_changing: turned.is_some(),
        };
        let mut figures = figures(&frame, &outcome.sent, &seen.seen);
        costs(&mut figures, &before, &after, owed);
        figures.extend(kept.map(|kept| {
            let grown = after.server.resident_bytes.saturating_sub(empty) as f64;
            ("bytes_per_call", grown / kept.max(1.0))
        }));
        figures.insert("send_lag_p99_us", outcome.histograms.send_lag.value_at_quantile(0.99) as f64);
        if let Some(at) = turned {
            figures.insert("healed_s", healed_s(&entities, &outcome.sent, &seen.seen, at));
        }
        let verdict = books.map(|books| judge::judge(&market.judged(phase), &calls, &seen.seen, &books));
        let peak = running.process.cost()?.peak_bytes;
        figures.insert("peak_mb", peak as f64 / 1e6);
        let log = running.process.log();
        if running.admin.is_some() && !running.process.stop()? {
            return Err(io::Error::other(format!("the exchange did not stop in order:\n{}", log.join("\n"))));
        }
        std::fs::remove_dir_all(&folder).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()), // a yardstick has none
            _ => Err(error),
        })?;
        Ok(Run { phase: phase.name.clone(), server, round, figures, verdict })
    }

    fn start(&self, market: &Market<'_>, folder: &Path, bidders: &Bidders) -> io::Result<Running> {
        let core = self.cores.server.as_slice();
        let kind = match market.server {
            Server::Exchange | Server::Capped | Server::Ruled | Server::RuledCapped | Server::Small => {
                market.write(folder)?;
                let mut command = Command::new(&self.outcry);
                command.args(["serve", "--config"]).arg(folder.join("outcry.toml"));
                let (process, (traffic, admin)) = Process::start(command, core, Speaks::Stderr, |line| {
                    let line: serde_json::Value = serde_json::from_str(line).ok()?;
                    Some((line["call_traffic"].as_str()?.to_owned(), line["admin"].as_str()?.to_owned()))
                })?;
                let base_url = format!("http://{traffic}");
                let api = self.block_on(judge::Api::connect(&format!("http://{admin}"), None, false))?;
                if market.is_ruled() {
                    self.block_on(list_callers(&api))?;
                }
                return Ok(Running { process, base_url, admin: Some(api) });
            }
            Server::Minimal => "minimal",
            Server::Afternoon => "afternoon",
        };
        let mut command = Command::new(&self.myself);
        command.args(["yardstick", kind, "--deadline-ms", &self.scenario.market.deadline_ms.to_string()]);
        for entity in self.scenario.entities() {
            if matches!(entity.kind, EntityKind::Bidder { .. }) {
                let url = bidders.url(&entity.id);
                let addr = url.trim_start_matches("http://").trim_end_matches("/bid");
                command.arg("--bidder").arg(format!("{addr}={}", entity.address));
            }
        }
        let (process, addr) = Process::start(command, core, Speaks::Stdout, |line| {
            line.strip_prefix("listening ").map(str::to_owned)
        })?;
        Ok(Running { process, base_url: format!("http://{addr}"), admin: None })
    }

    /// Lets calls arrive for as long as the phase says, and does meanwhile what it names; when bidders turned.
    fn let_run(
        &self,
        phase: &Phase,
        market: &Market<'_>,
        folder: &Path,
        running: &Running,
        bidders: &Bidders,
        begun: Instant,
    ) -> io::Result<Option<Instant>> {
        let mut due: Vec<(u64, Deed)> = Vec::new();
        for action in &phase.at {
            let every = action.every_s.unwrap_or(u64::MAX);
            let mut s = action.s;
            while s < phase.seconds {
                due.push((s, action.what));
                s = s.saturating_add(every);
            }
        }
        due.sort_by_key(|(s, _)| *s);
        let mut turned = None;
        let wait_until = |s: u64| {
            std::thread::sleep((begun + Duration::from_secs(s)).saturating_duration_since(Instant::now()));
        };
        for (nth, (s, deed)) in due.into_iter().enumerate() {
            wait_until(s);
            match deed {
                Deed::Turn => {
                    for entity in self.scenario.entities() {
                        if let EntityKind::Bidder { then: Some(then), .. } = entity.kind {
                            bidders.set(&entity.id, then);
                        }
                    }
                    turned = Some(Instant::now());
                }
                Deed::Reload => {
                    market.write_catalog(folder, nth + 1)?;
                    let Some(admin) = &running.admin else { continue };
                    self.block_on(admin.reload())?;
                }
            }
        }
        wait_until(phase.seconds);
        Ok(turned)
    }

    /// CPU that the exchange has spent since the end of a phase once its store has taken every record.
    fn catch_up(&self, api: &judge::Api, process: &Process, end: &Taken) -> io::Result<Duration> {
        let until = Instant::now() + SETTLE;
        while self.block_on(api.level("outcry_store_behind_records"))? > 0.0 && Instant::now() < until {
            std::thread::sleep(CATCH_UP_LOOK);
        }
        Ok(process.cost()?.whole.saturating_sub(end.server.whole))
    }

    fn block_on<T>(&self, asked: impl Future<Output = Result<T, judge::Refused>>) -> io::Result<T> {
        self.runtime.block_on(asked).map_err(|why| io::Error::other(why.to_string()))
    }
}

/// Measures the harness itself at a rate: straight at the scenario's first bidder, which is named with it. None where
/// there are no bidders.
pub fn harness(
    scenario: &Scenario,
    cores: &Cores,
    rate: f64,
    span: Duration,
) -> io::Result<Option<(String, Outcome)>> {
    let bidders = bidders(scenario, cores, false)?;
    let Some(first) = bidders.names().next().map(str::to_owned) else { return Ok(None) };
    let url = bidders.url(&first);
    let outcome = on_cores(&cores.carriers, || straight(&url, rate, span, bidders.trace()))??;
    Ok(Some((first, outcome)))
}

fn bidders(scenario: &Scenario, cores: &Cores, prompt: bool) -> io::Result<Bidders> {
    let mut scripts = scenario.scripts();
    for script in scripts.iter_mut().filter(|_| prompt) {
        if let Behaviour::Bid { latency, .. } | Behaviour::Flaky { latency, .. } = &mut script.behaviour {
            *latency = Latency::Fixed(0);
        }
    }
    let cores = &cores.bidders;
    let start = || Bidders::start_at(scenario.seed, scripts, None, cores.len());
    let bidders = on_cores(cores, start)??;
    bidders.remember(0);
    Ok(bidders)
}

/// What carriers do in a phase. `scale` multiplies the arrivals.
pub fn plan(
    scenario: &Scenario,
    phase: &Phase,
    server: Server,
    base_url: &str,
    seed: u64,
    scale: f64,
) -> Plan {
    let mut carriers = vec![CarrierKey {
        id: market::CARRIER.to_owned(),
        key: market::KEY.to_owned(),
        dialect: Dialect::Generic,
    }];
    if phase.twilio {
        let twilio =
            Twilio::new("AC0123456789abcdef0123456789abcdef", market::TWILIO_TOKEN, market::TWILIO_URL);
        let (id, key) = (market::TWILIO_CARRIER.to_owned(), String::new());
        carriers.push(CarrierKey { id, key, dialect: Dialect::Twilio(twilio) });
    }
    let lone = carriers.remove(0);
    let mut plan = Plan {
        carriers: std::iter::once(lone.clone()).chain(carriers).collect(),
        arrivals: arrivals(phase, scale),
        lives: phase.lives,
        time_scale: phase.time_scale,
        talk: phase.talk.unwrap_or(Talk { median_s: 110.0, sigma: 0.9, cap_s: 3_600 }),
        rates: match (phase.rates, phase.lives) {
            (Some(rates), _) => rates,
            (None, true) => Rates::everyday(),
            (None, false) => Rates::default(),
        },
        ring_s: phase.ring_s.unwrap_or((2, 12)),
        seed,
        run: market::RUN.to_owned(),
        max_in_progress: SENT_MAX,
        keep_sent: Some(SENT_MAX),
        ..Plan::new(base_url, lone, market::dialled(scenario))
    };
    if scenario.is_ruled(server) {
        rules::told(&mut plan);
    }
    plan
}

/// Fills the lists of callers of a market with rules, as an operator does.
pub async fn list_callers(api: &judge::Api) -> Result<(), judge::Refused> {
    for (list, lines) in rules::callers() {
        api.add_callers(list, lines).await?;
    }
    Ok(())
}

/// What everybody has spent so far.
struct Taken {
    at: Instant,
    server: Cost,
    bidders: Duration,
    carriers: Duration,
    connections: u64,
    pings: u64,
}

impl Taken {
    fn take(server: &Process, bidders: &Bidders, carriers: &Carriers) -> io::Result<Taken> {
        let stats: Vec<_> = bidders.names().map(|name| bidders.stats(name)).collect();
        Ok(Taken {
            at: Instant::now(),
            server: server.cost()?,
            bidders: bidders.cpu()?,
            carriers: carriers.cpu(),
            connections: stats.iter().map(|stats| stats.connections).sum(),
            pings: stats.iter().map(|stats| stats.pings).sum(),
        })
    }
}

/// Adds what it cost between two moments, by auction, ping and second; `owed` is what was spent on it afterwards.
fn costs(figures: &mut Figures, before: &Taken, after: &Taken, owed: Duration) {
    let seconds = (after.at - before.at).as_secs_f64();
    let answered = figures.get("answered").copied().unwrap_or(0.0).max(1.0);
    let auctions = figures.get("auctioned").copied().unwrap_or(0.0).max(1.0);
    let us = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e6;
    let whole = us(before.server.whole, after.server.whole);
    // A yardstick is one thread, its only worker.
    let worker = |cost: &Cost| match cost.of_threads("worker") {
        Duration::ZERO => cost.whole,
        workers => workers,
    };
    let workers = us(worker(&before.server), worker(&after.server));
    let pings = (after.pings - before.pings).max(1) as f64;
    for (name, value) in [
        ("cpu_whole_us", (whole + owed.as_secs_f64() * 1e6) / answered),
        ("cpu_owed_us", owed.as_secs_f64() * 1e6 / answered),
        ("cpu_workers_us", workers / answered),
        ("cpu_busy", whole / 1e6 / seconds),
        ("bidders_us_per_ping", us(before.bidders, after.bidders) / pings),
        ("bidders_busy", us(before.bidders, after.bidders) / 1e6 / seconds),
        ("carriers_us_per_call", us(before.carriers, after.carriers) / answered),
        ("carriers_busy", us(before.carriers, after.carriers) / 1e6 / seconds),
        ("connections_per_auction", (after.connections - before.connections) as f64 / auctions),
        ("resident_mb", after.server.resident_bytes as f64 / 1e6),
    ] {
        figures.insert(name, value);
    }
}

/// After bidders turned: how long until every one that turned had answered a ping that an answer waited for.
fn healed_s(entities: &[Entity], sent: &[Sent], seen: &[Seen], at: Instant) -> f64 {
    let at_us = unix_us(at);
    let answered: std::collections::HashMap<u64, u64> =
        sent.iter().filter_map(|call| Some((call.number, call.answered_us?))).collect();
    let turned = entities.iter().enumerate().filter(|(_, entity)| {
        matches!(&entity.kind, EntityKind::Bidder { then: Some(Behaviour::Bid { .. }), .. })
    });
    // A probe is answered as well; that it is waited for again shows in two pings of different calls close together.
    let waited_since = turned.map(|(bidder, _)| {
        let mut pings: Vec<u64> = seen
            .iter()
            .filter(|ping| usize::from(ping.bidder) == bidder && ping.received_us >= at_us)
            .filter(|ping| ping.replied_us.zip(answered.get(&ping.call)).is_some_and(|(r, a)| r <= *a))
            .map(|ping| ping.received_us)
            .collect();
        pings.sort_unstable();
        let close = pings.windows(2).find(|pair| pair[1] - pair[0] < 100_000);
        close.map_or(HEAL_LOOK.as_secs_f64(), |pair| (pair[0] - at_us) as f64 / 1e6)
    });
    waited_since.fold(0.0, f64::max)
}

/// The arrivals of a whole run: the warm-up, the phase, and what comes after it.
fn arrivals(phase: &Phase, scale: f64) -> Arrivals {
    let (warm_up, seconds) = (phase.warm_up_s as f64, phase.seconds as f64);
    match &phase.arrivals {
        Arrivals::Poisson(rate) => {
            let rate = rate * scale;
            let mut steps = vec![(rate * phase.warm_up_share.unwrap_or(1.0), warm_up), (rate, seconds)];
            steps.extend(phase.after.map(|after| (rate * after.share, after.seconds as f64)));
            steps.retain(|(_, seconds)| *seconds > 0.0);
            Arrivals::Steps(steps)
        }
        other => other.clone(),
    }
}

/// Room for every ping there may be, within reason.
fn log_capacity(phase: &Phase, scale: f64, span_s: u64, bidders: usize) -> usize {
    let rate = match phase.arrivals {
        Arrivals::Poisson(rate) | Arrivals::Constant(rate) => rate * scale,
        _ => 20_000.0,
    };
    ((rate * 1.2 + 100.0) * span_s as f64 * bidders as f64) as usize
}
