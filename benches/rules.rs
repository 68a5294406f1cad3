//! The rule book on catalogs as operators write them: who may take a call of a usual plan and of the largest, and how long
//! reading a large catalog takes.
//!
//! The text is read by the configuration's own reader, so that what is measured is what a running exchange has. In the plan
//! of thirty every filter of every target holds, which is the most there is to do: a refused target stops at its first that
//! does not. Reading is only measured when asked for by name, `cargo bench -- load`: it takes seconds, and what reads is
//! the disk too.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outcry::config;
use outcry::domain::caller::SetBy;
use outcry::domain::catalog::PlanIx;
use outcry::domain::plan::Branch;
use outcry::domain::{Catalog, TagValue, Tags, Target, Timestamp};
use outcry::routing::filter::Compiled;
use outcry::routing::ring_tree::{Given, walk};
use outcry::routing::shared::{Shared, compiled};
use outcry::routing::{Facts, Located, Verdict, compiled_branches, screen};

use crate::Stopwatch;

/// Targets of a usual plan.
const USUAL: usize = 30;
/// Targets of the largest.
const LARGEST: usize = 10_000;
/// Numbers of a large catalog.
const NUMBERS: usize = 100_000;
/// Turns of reading; the median counts.
const TURNS: usize = 5;
/// Longest that reading may take.
const MOST: Duration = Duration::from_secs(3);

/// Eight filters of mixed kinds that hold for the call below.
const EIGHT: &str = r#"[
  { state = ["TX", "OK", "LA", "NM", "AR"] },
  { not = { publisher = ["clickforge", "callhaus"] } },
  { any = [{ near = "78701", miles = 50 }, { zip = ["750*", "752*", "770*", "772*", "782*"] }] },
  { area_code = [210, 214, 254, 281, 325, 361, 409, 432, 469, 512, 682, 713, 737, 806, 817, 830, 832, 903, 915, 936, 940, 956, 972, 979] },
  { hours = ["mon-fri 08:00-20:00", "sat 09:00-17:00", "2026-12-25 closed"] },
  { tag = "case", op = "in", value = ["collision", "truck", "slip", "theft"] },
  { tag = "age", op = "between", value = [21, 75] },
  { stir = ["A", "B"] },
]"#;

/// What every catalog here has; the plan's root and the targets come after it.
fn base(root: &str) -> String {
    format!(
        "default_plan = \"main\"\n[carrier.sw]\nkey_digest = \"sha256:{}\"\n\
         [campaign.auto]\nvertical = \"auto\"\nplan = \"main\"\npayout = {{ fixed = \"10.00\" }}\n\
         [publisher.metro]\nname = \"m\"\nzone = \"UTC\"\n[publisher.clickforge]\nname = \"c\"\nzone = \"UTC\"\n\
         [publisher.callhaus]\nname = \"c\"\nzone = \"UTC\"\n\
         [plan.main]\nroot = {root}\nterminal = {{ hangup = \"busy\" }}\n",
        "0".repeat(64)
    )
}

fn target(text: &mut String, at: usize, buyers: usize, filters: &str) {
    let written = write!(
        text,
        "[target.target-{at:05}]\nbuyer = \"buyer-{:03}\"\naddress = \"+1512555{:04}\"\n\
         endpoint = {{ url = \"https://bid.example/{at}\" }}\nfilters = {filters}\n",
        at % buyers,
        at % 10_000
    );
    written.expect("a string takes all");
}

fn buyers(text: &mut String, many: usize) {
    for at in 0..many {
        let written = writeln!(
            text,
            "[buyer.buyer-{at:03}]\nname = \"b\"\nzone = \"America/Chicago\"\ndaily_billable = 100"
        );
        written.expect("a string takes all");
    }
}

fn usual() -> String {
    let ids: Vec<String> = (0..USUAL).map(|at| format!("\"target-{at:05}\"")).collect();
    let mut text = base(&format!("{{ auction = [{}] }}", ids.join(", ")));
    buyers(&mut text, 10);
    (0..USUAL).for_each(|at| target(&mut text, at, 10, EIGHT));
    text
}

/// One target in five takes the caller's state, half of all look at a tag; ten auctions one after another.
fn largest() -> String {
    const STATES: [&str; 10] = ["TX", "CA", "FL", "NY", "IL", "OH", "GA", "NC", "MI", "PA"];
    let auction = |group: usize| {
        let ids: Vec<String> =
            (0..LARGEST / 10).map(|at| format!("\"target-{:05}\"", at * 10 + group)).collect();
        format!("{{ auction = [{}] }}", ids.join(", "))
    };
    let auctions: Vec<String> = (0..10).map(auction).collect();
    let mut text = base(&format!("{{ sequential = [{}] }}", auctions.join(", ")));
    buyers(&mut text, 200);
    for at in 0..LARGEST {
        let (one, other) = (STATES[at % 10], STATES[(at + 1) % 10]);
        let tag = "{ tag = \"case\", op = \"in\", value = [\"collision\", \"slip\", \"theft\"] }";
        let filters = match at % 2 {
            0 => format!("[{{ state = [\"{one}\", \"{other}\"] }}, {tag}]"),
            _ => format!("[{{ state = [\"{one}\", \"{other}\"] }}]"),
        };
        target(&mut text, at, 200, &filters);
    }
    text
}

/// A folder of its own with a configuration; gone with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn with(name: &str, text: &str, numbers: usize) -> Folder {
        let path = std::env::temp_dir().join(format!("outcry-bench-rules-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("catalog")).expect("a folder");
        // A record of a step with so many targets needs larger segments than usual.
        fs::write(path.join("outcry.toml"), "[journal]\nsegment_mb = 64\n").expect("written");
        let text =
            if numbers > 0 { format!("numbers_csv = \"numbers.csv\"\n{text}") } else { text.to_owned() };
        fs::write(path.join("catalog/market.toml"), text).expect("written");
        let mut csv = "number,campaign,publisher,sub_id\n".to_owned();
        for at in 0..numbers {
            writeln!(csv, "+1800{:07},auto,metro,geo-{at}", 2_000_000 + at).expect("a string takes all");
        }
        fs::write(path.join("catalog/numbers.csv"), csv).expect("written");
        Folder(path)
    }

    pub fn settings(&self) -> PathBuf {
        self.0.join("outcry.toml")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(settings: &Path) -> Catalog {
    match config::load(settings) {
        Ok(loaded) => loaded.catalog,
        Err(faults) => panic!("{}", faults.iter().map(ToString::to_string).collect::<String>()),
    }
}

/// A catalog in force, as far as rules need it.
struct InForce {
    catalog: Catalog,
    filters: Vec<Compiled>,
    branches: Vec<Vec<Compiled>>,
}

impl InForce {
    fn of(name: &str, text: &str) -> InForce {
        let catalog = read(&Folder::with(name, text, 0).settings());
        let (filters, branches) = (compiled(&catalog), compiled_branches(&catalog));
        InForce { catalog, filters, branches }
    }

    /// The same as if no target asked for what another asks for.
    fn apart(self) -> InForce {
        let zone = |target: &Target| &self.catalog.buyer(target.buyer).zone;
        let alone = |target: &Target| Compiled::new(&target.filters, zone(target));
        let filters = self.catalog.targets.iter().map(alone).collect();
        InForce { filters, ..self }
    }

    /// How many targets of the walk may take the call.
    fn candidates(&self, facts: &Facts<'_>) -> usize {
        let branches = &self.branches[0];
        let plan = self.catalog.plan(PlanIx(0));
        let may_take = |branch: &Branch| branches[branch.number].hold(facts);
        let given = Given { seed: 7, now: facts.now, may_take: &may_take, turn: &mut |_| 0 };
        let steps = walk(plan, given).steps;
        let mut shared = Shared::default();
        let mut may = |ix| screen(&self.catalog, &self.filters, ix, facts, &mut shared) == Verdict::Candidate;
        steps.iter().flat_map(|step| step.targets()).filter(|ix| may(**ix)).count()
    }
}

pub fn run(watch: &mut Stopwatch) {
    let mut tags = Tags::default();
    for (key, value) in [("language", "en"), ("case", "collision"), ("age", "44"), ("injured", "yes")] {
        tags.add(key, TagValue::Text(value.into()), SetBy::Carrier).expect("few tags");
    }
    // A Friday morning in Texas.
    let now = Timestamp::parse("2026-11-20T15:00:00Z").expect("a time");
    let facts = Facts {
        state: Some("TX"),
        country: Some("US"),
        area_code: Some(512),
        zip: Located::of(Some("78704")),
        publisher: Some("metro"),
        campaign: Some("auto"),
        attestation: Some('A'),
        has_number: true,
        ..Facts::bare(&tags, now)
    };
    let usual = InForce::of("usual", &usual());
    watch.measure("rules: 30 targets, the same 8 filters hold", || {
        assert_eq!(usual.candidates(&facts), USUAL);
    });
    let usual = usual.apart();
    watch.measure("rules: 30 targets, 8 filters that hold each", || {
        assert_eq!(usual.candidates(&facts), USUAL);
    });
    let largest = InForce::of("largest", &largest());
    watch.measure("rules: 10,000 targets, screened and walked", || {
        assert_eq!(largest.candidates(&facts), LARGEST / 5);
    });
}

/// Reads a large catalog a few times. Apart from the rest: `cargo bench -- load`.
pub fn run_load(is_quick: bool) {
    let folder = Folder::with("load", &largest(), if is_quick { 1_000 } else { NUMBERS });
    let mut times: Vec<Duration> = (0..if is_quick { 1 } else { TURNS })
        .map(|_| {
            let began = Instant::now();
            let catalog = read(&folder.settings());
            let filters = compiled(&catalog);
            let took = began.elapsed();
            assert_eq!((catalog.targets.len(), filters.len()), (LARGEST, LARGEST));
            took
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2];
    let word = if median <= MOST { "met" } else { "missed" };
    println!(
        "load: {LARGEST} targets and {} numbers    median {median:.2?} of {times:.2?}; at most {MOST:?}: {word}",
        if is_quick { 1_000 } else { NUMBERS }
    );
}
