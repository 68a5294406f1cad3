//! A scenario file: the market, the phases of a round, and the bars its figures must reach.
//!
//! ```toml
//! about = "Ten buyers, 200 calls a second"
//! rounds = 5
//!
//! [market]
//! deadline_ms = 100
//! bidders = [{ name = "b", count = 10, does = { kind = "bid", latency = { fixed_ms = 20 }, price_cents = [1000, 9000] } }]
//!
//! [[phase]]
//! name = "calm"
//! servers = ["exchange", "minimal", "afternoon"]
//! arrivals = { poisson = 200.0 }
//! seconds = 10
//!
//! [[bar]]
//! say = "added latency, net of the harness, against the minimal server"
//! figure = "calm.exchange.net_p50_us"
//! of = "calm.minimal.net_p50_us"
//! at_most = 1.75
//! ```
//!
//! What is read here is checked here; every fault names its key. Nothing is measured or started.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{glossary, rules};
use crate::bidders::script::BehaviourSpec;
use crate::bidders::{Behaviour, Script};
use crate::carriers::{Arrivals, Rates, Talk};

/// Bidders, fixed targets, idle targets and numbers a market may have.
pub const ENTITIES_MAX: usize = 200_000;
/// Deadlines an exchange takes: its carriers wait 1,000 ms, and 100 ms of these are for the way.
const DEADLINES_MS: std::ops::RangeInclusive<u64> = 50..=900;
/// Rounds of a scenario.
pub const ROUNDS_MAX: u32 = 100;
/// Longest phase, in seconds.
pub const SECONDS_MAX: u64 = 24 * 3600;

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub about: String,
    #[serde(default = "one_u64")]
    pub seed: u64,
    /// How often all phases are run; figures are medians over the rounds.
    #[serde(default = "one_u32")]
    pub rounds: u32,
    pub market: MarketSpec,
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
    #[serde(default, rename = "bar")]
    pub bars: Vec<Bar>,
    /// Folder of the file, which files it names are looked for in.
    #[serde(skip)]
    pub dir: PathBuf,
}

/// The market that every phase trades on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketSpec {
    /// The campaign's auction deadline.
    pub deadline_ms: u64,
    /// Tracking numbers; calls dial the first thousand of them.
    #[serde(default = "one_usize")]
    pub numbers: usize,
    pub bidders: Vec<BidderSpec>,
    /// Targets at a fixed price, tried in order when nobody bids.
    #[serde(default)]
    pub fixed: Vec<FixedSpec>,
    /// Further targets in the catalog that no plan names.
    #[serde(default)]
    pub idle_targets: usize,
    /// Lines added to the exchange's settings.
    #[serde(default)]
    pub settings: String,
    /// Shortest billable talk.
    #[serde(default = "ninety")]
    pub min_duration_s: u64,
    /// Every kind of rule is in use, and who must win stays as it is; see `rules`.
    #[serde(default)]
    pub rules: bool,
}

/// Bidders that are alike: `name-1`, `name-2`, … or, with a count of 1, just `name`. Buyer and target have that id.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BidderSpec {
    pub name: String,
    #[serde(default = "one_usize")]
    pub count: usize,
    pub does: BehaviourSpec,
    /// What it does once a phase's `turn` came.
    #[serde(default)]
    pub then: Option<BehaviourSpec>,
    /// Highest bid, in cents; default: the highest price it bids.
    #[serde(default)]
    pub max_bid_cents: Option<u32>,
    #[serde(default)]
    pub caps: Caps,
}

/// Targets at a fixed price that are alike, named as bidders are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedSpec {
    pub name: String,
    #[serde(default = "one_usize")]
    pub count: usize,
    pub price_cents: u32,
    #[serde(default)]
    pub caps: Caps,
}

/// Strict caps of a target.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    pub concurrency: Option<u32>,
    pub daily_billable: Option<u32>,
}

/// Who answers the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    Exchange,
    /// The exchange, every target with caps (`capped` of the phase).
    Capped,
    /// The exchange with every kind of rule in use, as `rules` of the market has it, but for caps by day on what can win:
    /// a unit of these waits for the journal.
    Ruled,
    /// The same with these, and the caps of `capped`.
    RuledCapped,
    /// The exchange without the market's idle targets and further numbers.
    Small,
    Minimal,
    Afternoon,
}

impl Server {
    pub const fn as_str(self) -> &'static str {
        match self {
            Server::Exchange => "exchange",
            Server::Capped => "capped",
            Server::Ruled => "ruled",
            Server::RuledCapped => "ruled_capped",
            Server::Small => "small",
            Server::Minimal => "minimal",
            Server::Afternoon => "afternoon",
        }
    }

    /// Whether it is an exchange, with an API and records, and not a yardstick.
    pub const fn is_exchange(self) -> bool {
        !matches!(self, Server::Minimal | Server::Afternoon)
    }

    /// Whether it has every kind of rule in use, whatever the market says.
    pub const fn is_ruled(self) -> bool {
        matches!(self, Server::Ruled | Server::RuledCapped)
    }
}

/// One stretch of load on each of some servers, each freshly started.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub name: String,
    pub servers: Vec<Server>,
    pub arrivals: Arrivals,
    /// How long calls arrive and are counted.
    pub seconds: u64,
    /// Calls of the same kind before that, which do not count.
    #[serde(default = "two")]
    pub warm_up_s: u64,
    /// The rate of the warm-up, as a share of the phase's own; that of Poisson arrivals only, as the next two.
    #[serde(default)]
    pub warm_up_share: Option<f64>,
    /// Calls that go on arriving after the phase: to see whether the server comes back.
    #[serde(default)]
    pub after: Option<After>,
    /// Arrivals are those above, times this figure of an earlier phase: `capacity.exchange.per_s`.
    #[serde(default)]
    pub rate_of: Option<String>,
    /// Calls go on after the answer: ringing, talk, end. Else a call is over for its carrier once answered.
    #[serde(default)]
    pub lives: bool,
    /// Bidders answer at once, whatever the market says of their latency: to saturate a server with few calls in flight.
    #[serde(default)]
    pub prompt: bool,
    /// Waits of living calls are this many times shorter than life.
    #[serde(default = "one_f64")]
    pub time_scale: f64,
    #[serde(default)]
    pub talk: Option<Talk>,
    #[serde(default)]
    pub ring_s: Option<(u64, u64)>,
    #[serde(default)]
    pub rates: Option<Rates>,
    /// The carriers speak Twilio's dialect.
    #[serde(default)]
    pub twilio: bool,
    /// Caps that `capped` and `ruled_capped` give to every bidder.
    #[serde(default)]
    pub capped: Caps,
    /// What happens meanwhile, in seconds after the warm-up.
    #[serde(default)]
    pub at: Vec<Action>,
    /// The highest rate is looked for instead: steps of a tenth down from where a closed loop got to.
    #[serde(default)]
    pub search: bool,
    /// More calls than the exchange has auctions for: pings may be skipped, requests refused, replies read late. Whatever
    /// searches does so.
    #[serde(default)]
    pub overloads: bool,
}

/// A stretch of calls after a phase.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// Of the phase's rate.
    pub share: f64,
    pub seconds: u64,
}

/// Something done in the middle of a phase.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    pub s: u64,
    #[serde(rename = "do")]
    pub what: Deed,
    /// Again and again, with this many seconds between.
    #[serde(default)]
    pub every_s: Option<u64>,
}

/// What can be done in the middle of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Bidders with a `then` turn to it.
    Turn,
    /// The exchange reads its catalog again, with one more idle target.
    Reload,
}

/// What a figure must reach: `figure` <= `at_most` x `of` + `plus`, or >= `at_least` x `of`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    pub say: String,
    /// `phase.server.figure`
    pub figure: String,
    #[serde(default)]
    pub of: Option<String>,
    #[serde(default)]
    pub at_most: Option<f64>,
    #[serde(default)]
    pub at_least: Option<f64>,
    #[serde(default)]
    pub plus: f64,
    /// Met as well where the figure has no value, since there was nothing of the kind: a refusal, say.
    #[serde(default)]
    pub or_none: bool,
}

fn one_u64() -> u64 {
    1
}
fn one_u32() -> u32 {
    1
}
fn one_usize() -> usize {
    1
}
fn one_f64() -> f64 {
    1.0
}
fn two() -> u64 {
    2
}
fn ninety() -> u64 {
    90
}

/// A target of the market.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Id of buyer and target.
    pub id: String,
    /// Where its calls go.
    pub address: String,
    pub caps: Caps,
    pub kind: EntityKind,
}

/// How a target is priced.
#[derive(Clone, Debug)]
pub enum EntityKind {
    Bidder { does: Behaviour, then: Option<Behaviour>, max_bid_cents: u32 },
    Fixed { price_cents: u32 },
}

impl Phase {
    /// Keys that are given and change nothing: they multiply a rate, which only Poisson arrivals have.
    fn without_rate(&self) -> Vec<&'static str> {
        let given = [
            ("rate_of", self.rate_of.is_some()),
            ("warm_up_share", self.warm_up_share.is_some()),
            ("after", self.after.is_some()),
        ];
        let has_rate = matches!(self.arrivals, Arrivals::Poisson(_));
        given.into_iter().filter(|(_, is_given)| *is_given && !has_rate).map(|(key, _)| key).collect()
    }
}

impl Scenario {
    /// Reads and checks a scenario; every fault in one message.
    pub fn read(text: &str, dir: &Path) -> Result<Scenario, String> {
        let mut scenario: Scenario = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.dir = dir.to_owned();
        let faults = scenario.faults();
        if faults.is_empty() { Ok(scenario) } else { Err(faults.join("\n")) }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |good: bool, what: String| {
            if !good {
                faults.push(what);
            }
        };
        check(
            (1..=ROUNDS_MAX).contains(&self.rounds),
            format!("rounds: {}; 1 to {ROUNDS_MAX} are allowed", self.rounds),
        );
        let market = &self.market;
        let (deadline_ms, numbers, idle) = (market.deadline_ms, market.numbers, market.idle_targets);
        let deadline = format!("market.deadline_ms: {deadline_ms}; 50 to 900 are allowed");
        check(DEADLINES_MS.contains(&deadline_ms), deadline);
        let allowed = format!("market.numbers: {numbers}; 1 to {ENTITIES_MAX} are allowed");
        check((1..=ENTITIES_MAX).contains(&numbers), allowed);
        check(idle <= 9_999, format!("market.idle_targets: {idle}; at most 9999 are allowed"));
        for spec in &market.bidders {
            for behaviour in std::iter::once(&spec.does).chain(&spec.then) {
                let fault = behaviour.behaviour(&self.dir).err();
                check(fault.is_none(), format!("bidder {}: {}", spec.name, fault.unwrap_or_default()));
            }
        }
        let entities = self.entities();
        check(
            !entities.is_empty() && entities.len() <= 1_000,
            "market: 1 to 1000 bidders and fixed targets".to_owned(),
        );
        let ids: BTreeSet<&str> = entities.iter().map(|entity| entity.id.as_str()).collect();
        check(ids.len() == entities.len(), "market: names must differ".to_owned());
        self.rules_faults(&entities).into_iter().for_each(|fault| check(false, fault));
        let mut names = BTreeSet::new();
        for phase in &self.phases {
            let name = &phase.name;
            // Before its own name is known: no phase can wait for a figure of its own.
            let of_earlier =
                phase.rate_of.iter().all(|of| names.contains(of.split('.').next().unwrap_or("")));
            check(of_earlier, format!("phase {name}: rate_of names a figure of an earlier phase"));
            check(names.insert(name.as_str()), format!("phase {name:?} stands twice"));
            check(!name.contains('.') && !name.is_empty(), format!("phase {name:?}: a name without dots"));
            check(!phase.servers.is_empty(), format!("phase {name}: servers must name at least one"));
            check(
                (1..=SECONDS_MAX).contains(&phase.seconds),
                format!("phase {name}: seconds is {}; 1 to {SECONDS_MAX} are allowed", phase.seconds),
            );
            let warm_up = format!("phase {name}: warm_up_s is {}; at most 600 is allowed", phase.warm_up_s);
            check(phase.warm_up_s <= 600, warm_up);
            let arrivals = phase.arrivals.check().err();
            check(arrivals.is_none(), format!("phase {name}: {}", arrivals.unwrap_or_default()));
            let scale = phase.time_scale;
            check(
                scale.is_finite() && scale >= 0.001,
                format!("phase {name}: time_scale is {scale}; 0.001 or more is allowed"),
            );
            check(
                !phase.search || phase.overloads,
                format!(
                    "phase {name}: search tries rates that are too high, and is judged so: give overloads = true"
                ),
            );
            // A search finds its own rate, and would read this one and drop it.
            check(
                !phase.search || phase.rate_of.is_none(),
                format!("phase {name}: rate_of and search both say what the rate is; leave one of them out"),
            );
            let named = phase.rate_of.iter().all(|of| of.rsplit('.').next().is_some_and(glossary::knows));
            check(named, format!("phase {name}: rate_of: {}", glossary::allowed()));
            for key in phase.without_rate() {
                check(
                    false,
                    format!(
                        "phase {name}: {key} is for arrivals = {{ poisson = … }} only; give these, or leave {key} out"
                    ),
                );
            }
            let alone = phase.servers.iter().all(|server| server.is_exchange());
            check(
                !phase.lives || alone,
                format!("phase {name}: yardsticks know no events, so nothing lives"),
            );
        }
        for Bar { say, figure, of, at_most, at_least, .. } in &self.bars {
            check(at_most.is_some() != at_least.is_some(), format!("bar {say:?}: at_most or at_least"));
            for figure in std::iter::once(figure).chain(of) {
                let parts: Vec<&str> = figure.split('.').collect();
                let phase = self.phases.iter().find(|phase| Some(&phase.name.as_str()) == parts.first());
                let known = phase.is_some_and(|phase| {
                    parts.len() == 3 && phase.servers.iter().any(|server| server.as_str() == parts[1])
                });
                let named = parts.last().is_some_and(|name| glossary::knows(name));
                check(!known || named, format!("bar {say:?}: {figure}: {}", glossary::allowed()));
                check(known, format!("bar {say:?}: {figure} is not <phase>.<server of it>.<figure>"));
            }
        }
        faults
    }

    /// What a market with rules cannot have: prices that these would decide by.
    fn rules_faults(&self, entities: &[Entity]) -> Vec<String> {
        let mut servers = self.phases.iter().flat_map(|phase| &phase.servers);
        if !self.market.rules && !servers.any(|server| server.is_ruled()) {
            return Vec::new();
        }
        let (least, most) = (rules::LEAST_CENTS, rules::MOST_CENTS);
        let mut faults = Vec::new();
        for Entity { id, kind, .. } in entities {
            if id.starts_with(rules::PREFIX) {
                faults.push(format!(
                    "market: {id}: with rules, names that begin with {} are taken",
                    rules::PREFIX
                ));
            }
            let prices = match kind {
                EntityKind::Fixed { price_cents } => vec![*price_cents],
                EntityKind::Bidder { does, then, max_bid_cents } => {
                    let lowest = then.iter().chain([does]).filter_map(lowest_price);
                    lowest.chain([*max_bid_cents]).collect()
                }
            };
            if let Some(price) = prices.into_iter().find(|price| !(least..=most).contains(price)) {
                faults.push(format!(
                    "market: {id}: with rules, prices are {least} to {most} cents; {price} is not"
                ));
            }
        }
        faults
    }

    /// Whether the market has every kind of rule in use on this server, and its calls say what rules look at.
    pub fn is_ruled(&self, server: Server) -> bool {
        self.market.rules || server.is_ruled()
    }

    /// Every target in the plan: bidders in the order of the file, then fixed prices.
    pub fn entities(&self) -> Vec<Entity> {
        let mut entities = Vec::new();
        for spec in &self.market.bidders {
            let (Ok(does), then) = (spec.does.behaviour(&self.dir), spec.then.as_ref()) else { continue };
            let then = then.and_then(|then| then.behaviour(&self.dir).ok());
            let highest = then.iter().chain([&does]).map(highest_price).max().unwrap_or(0);
            let max_bid_cents = spec.max_bid_cents.unwrap_or(highest.max(1));
            for id in ids(&spec.name, spec.count) {
                let address = format!("+1512555{:04}", entities.len());
                let kind = EntityKind::Bidder { does: does.clone(), then: then.clone(), max_bid_cents };
                entities.push(Entity { id, address, caps: spec.caps, kind });
            }
        }
        for spec in &self.market.fixed {
            for id in ids(&spec.name, spec.count) {
                let address = format!("+1512555{:04}", entities.len());
                let kind = EntityKind::Fixed { price_cents: spec.price_cents };
                entities.push(Entity { id, address, caps: spec.caps, kind });
            }
        }
        entities
    }

    /// The bidders, as [`crate::bidders::Bidders`] starts them.
    pub fn scripts(&self) -> Vec<Script> {
        let scripts = self.entities().into_iter().filter_map(|entity| match entity.kind {
            EntityKind::Bidder { does, .. } => Some(Script::new(entity.id, does)),
            EntityKind::Fixed { .. } => None,
        });
        scripts.collect()
    }
}

fn ids(name: &str, count: usize) -> Vec<String> {
    if count == 1 { vec![name.to_owned()] } else { (1..=count).map(|n| format!("{name}-{n}")).collect() }
}

fn highest_price(does: &Behaviour) -> u32 {
    match does {
        Behaviour::Bid { price_cents: (_, high), .. } | Behaviour::Flaky { price_cents: (_, high), .. } => {
            *high
        }
        Behaviour::Late { price_cents, .. } | Behaviour::SlowDrip { price_cents, .. } => *price_cents,
        _ => 100_000,
    }
}

/// The lowest price it ever bids, if it says so.
fn lowest_price(does: &Behaviour) -> Option<u32> {
    match does {
        Behaviour::Bid { price_cents: (low, _), .. } | Behaviour::Flaky { price_cents: (low, _), .. } => {
            Some(*low)
        }
        Behaviour::Late { price_cents, .. } | Behaviour::SlowDrip { price_cents, .. } => Some(*price_cents),
        _ => None,
    }
}
