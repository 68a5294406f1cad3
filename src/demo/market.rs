//! The demo's market: the shipped catalog with its bid endpoints pointed at simulated buyers, and how those behave.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};
use load::carriers::{Arrivals, CallerArea, CarrierKey, Plan, Talk};
use sha2::{Digest, Sha256};

use super::DemoError;
use crate::domain::Catalog;
use crate::records::sqlite::{StoreError, discard};
use crate::runtime::{hex, random_bytes};

/// First line of what the demo writes: a folder whose settings do not begin so is somebody else's.
const MARK: &str = "# Written by `outcry demo`, which replaces this folder's configuration and store.";

/// The shipped catalog, file by file.
const CATALOG: &[(&str, &str)] = &[
    ("acme-auto-texas.csv", include_str!("../../config/catalog/acme-auto-texas.csv")),
    ("buyers.toml", include_str!("../../config/catalog/buyers.toml")),
    ("caller_lists.toml", include_str!("../../config/catalog/caller_lists.toml")),
    ("campaigns.toml", include_str!("../../config/catalog/campaigns.toml")),
    ("carriers.toml", include_str!("../../config/catalog/carriers.toml")),
    ("numbers.csv", include_str!("../../config/catalog/numbers.csv")),
    ("numbers.toml", include_str!("../../config/catalog/numbers.toml")),
    ("plans.toml", include_str!("../../config/catalog/plans.toml")),
    ("publishers.toml", include_str!("../../config/catalog/publishers.toml")),
    ("targets-auto.toml", include_str!("../../config/catalog/targets-auto.toml")),
    ("targets-home.toml", include_str!("../../config/catalog/targets-home.toml")),
    ("targets-legal.toml", include_str!("../../config/catalog/targets-legal.toml")),
    ("targets-medicare.toml", include_str!("../../config/catalog/targets-medicare.toml")),
];

/// One simulated buyer: its id in the catalog, what it is like in a few words, and what it does.
pub(super) struct Character {
    pub(super) buyer: &'static str,
    pub(super) like: &'static str,
    behaviour: Behaviour,
}

fn bidder(median_ms: f64, cap_ms: u64, price_cents: (u32, u32), no_bid_bps: u32) -> Behaviour {
    Behaviour::Bid {
        latency: Latency::Lognormal { median_ms, sigma: 0.4, cap_ms },
        price_cents,
        no_bid_bps,
        ttl_s: Some(30),
    }
}

/// The buyer that hangs and answers by turns: nobody waits for it while it hangs.
const MOODY: &str = "northstar-care";
/// How long it does each.
const MOOD: Duration = Duration::from_secs(20);

/// Lets the moody buyer do what it does at this time of the demo; `is_well` is what it does now.
pub(super) fn turn_mood(bidders: &Bidders, elapsed: Duration, is_well: &mut bool) {
    let to_be_well = (elapsed.as_secs() / MOOD.as_secs()) % 2 == 1;
    if to_be_well != std::mem::replace(is_well, to_be_well) {
        let well = bidder(45.0, 200, (2_200, 5_500), 1_500);
        bidders.set(MOODY, if to_be_well { well } else { Behaviour::Hang });
    }
}

/// A dozen buyers: most answer well, and every way of answering badly has one.
pub(super) fn characters() -> Vec<Character> {
    let one = |buyer, like, behaviour| Character { buyer, like, behaviour };
    let refusing = Behaviour::NoBid {
        latency: Latency::Fixed(15),
        form: NoBidForm::Zero { reason: "budget spent".to_owned() },
    };
    vec![
        one("acme-auto", "quick", bidder(18.0, 120, (1_600, 4_200), 1_200)),
        one("bolt-insurance", "steady", bidder(60.0, 250, (1_500, 5_200), 2_000)),
        one("cedar-mutual", "steady", bidder(35.0, 200, (1_500, 3_600), 1_500)),
        one("harbor-health", "quick", bidder(25.0, 150, (2_000, 6_500), 1_000)),
        one("lumen-senior", "slow, often late", bidder(380.0, 1_200, (2_500, 8_000), 500)),
        one(MOODY, "hangs, then heals", Behaviour::Hang),
        one("handy-pros", "quick", bidder(30.0, 150, (1_300, 3_800), 1_500)),
        one("rapid-roof", "refuses", refusing),
        one("summit-hvac", "sends garbage", Behaviour::Garbage),
        one("justice-line", "slow", bidder(150.0, 450, (3_000, 16_000), 2_500)),
        one("lawton-group", "dead port", Behaviour::DeadPort),
        one("open-line", "quick, cheap", bidder(12.0, 80, (1_300, 2_600), 3_000)),
    ]
}

/// Starts the buyers.
pub(super) fn start_bidders(seed: u64) -> io::Result<Bidders> {
    let scripts = characters().into_iter().map(|one| Script::new(one.buyer, one.behaviour)).collect();
    Bidders::start(seed, scripts)
}

/// Where the demo's files are.
pub(super) struct Files {
    pub(super) settings: PathBuf,
    pub(super) carriers: Vec<CarrierKey>,
}

/// Writes the demo's configuration, and removes the store of an earlier demo.
pub(super) fn write(folder: &Path, port: u16, bidders: &Bidders) -> Result<Files, DemoError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| DemoError::Write { path, source }
    };
    let settings = folder.join("config/outcry.toml");
    if folder.exists() && fs::read_dir(folder).map_err(fault(folder))?.next().is_some() {
        let ours = fs::read_to_string(&settings).is_ok_and(|text| text.starts_with(MARK));
        if !ours {
            return Err(DemoError::NotOurs(folder.to_owned()));
        }
    }
    let (catalog, store) = (folder.join("config/catalog"), folder.join("store"));
    for folder in [&catalog, &store] {
        fs::create_dir_all(folder).map_err(fault(folder))?;
    }
    match discard(&store.join("outcry.db")) {
        Err(StoreError::InUse { .. }) => return Err(DemoError::Running(folder.to_owned())),
        done => done?,
    }
    fs::write(&settings, settings_text(port)).map_err(fault(&settings))?;
    let mut carriers = Vec::new();
    for (name, text) in CATALOG {
        let text = point_at(bidders, text);
        let text = match *name {
            "carriers.toml" => with_keys(&text, &mut carriers),
            "buyers.toml" => around_the_clock(&text),
            _ => text,
        };
        let path = catalog.join(name);
        fs::write(&path, text).map_err(fault(&path))?;
    }
    Ok(Files { settings, carriers })
}

fn settings_text(port: u16) -> String {
    let admin = if port == 0 { 0 } else { port + 1 };
    format!(
        "{MARK}\n\
         # The catalog beside it is the shipped one; its bid endpoints are simulated buyers on this machine.\n\n\
         [call_traffic]\nlisten = \"127.0.0.1:{port}\"\n\n\
         [admin]\nlisten = \"127.0.0.1:{admin}\"\n\n\
         [store]\npath = \"../store/outcry.db\"\n\n\
         # It writes little, all of which its figures need: on a nearly full disk, too.\n[journal]\nfree_percent = 0\n\n\
         # The simulated buyers are on loopback.\n[pings]\nallow_private_addresses = true\n\n\
         # Only errors: the view needs the screen.\n[log]\nlevel = \"error\"\n\n\
         # Calls are compressed in time.\n[calls]\nlate_events_s = 2\n"
    )
}

/// Points every `https://bid.<buyer>.example/…` at that buyer's simulator, and lets the tag leave by which the
/// simulators time the exchange.
fn point_at(bidders: &Bidders, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        match line.split_once("https://bid.") {
            Some((before, rest)) if !line.trim_start().starts_with('#') => {
                let (buyer, after) = rest.split_once(".example").unwrap_or((rest, ""));
                let after = after.find('"').map_or("", |end| &after[end..]);
                out.push_str(&format!("{before}{}{after}", bidders.url(buyer)));
            }
            _ => out.push_str(&line.replace("ping_tags = [", "ping_tags = [\"load_call\", ")),
        }
        out.push('\n');
    }
    out
}

/// Buyers whose hours would hide, at some times of day, that one buyer is slow and one refuses.
const OPEN_IN_THE_DEMO: [&str; 2] = ["[buyer.lumen-senior]", "[buyer.rapid-roof]"];

/// Takes the hours off those buyers; the others keep theirs.
fn around_the_clock(text: &str) -> String {
    let mut section = "";
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        section = if line.starts_with('[') { line } else { section };
        if !(line.starts_with("hours") && OPEN_IN_THE_DEMO.contains(&section)) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Gives every carrier a key of this demo.
fn with_keys(text: &str, carriers: &mut Vec<CarrierKey>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut id = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("[carrier.") {
            id = rest.trim_end_matches(']');
        }
        if line.starts_with("key_digest") {
            let key = hex(&random_bytes::<16>());
            let digest = hex(&Sha256::digest(key.as_bytes()));
            out.push_str(&format!("key_digest = \"sha256:{digest}\"\n"));
            carriers.push(CarrierKey { id: id.to_owned(), key, ..CarrierKey::default() });
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// What the simulated carriers do: calls from all over the country to every tracking number, 60 times faster than life.
pub(super) fn calls(
    base_url: String,
    carriers: Vec<CarrierKey>,
    catalog: &Catalog,
    per_second: f64,
    seed: u64,
) -> Option<Plan> {
    let numbers = catalog.numbers.iter().map(|number| number.number.reveal()).collect();
    let first = carriers.first()?.clone();
    let mut plan = Plan::new(base_url, first, numbers);
    plan.carriers = carriers;
    plan.arrivals = Arrivals::Poisson(per_second);
    plan.seed = seed;
    plan.talk = Talk { median_s: 120.0, sigma: 0.8, cap_s: 1_800 };
    let areas = ["512", "303", "718", "213", "305", "602", "312", "404", "206", "615", "713", "917"];
    plan.callers = areas.into_iter().map(CallerArea::from).collect();
    let tag = |key: &str, values: &[&str]| (key.to_owned(), values.iter().map(|v| (*v).to_owned()).collect());
    plan.tags = vec![
        tag("insured", &["yes", "no"]),
        tag("case", &["collision", "premises", "workplace"]),
        tag("service", &["roof", "hvac", "plumbing"]),
        tag("homeowner", &["yes", "no"]),
    ];
    plan.sub_ids = vec!["fb-77".to_owned(), "search-3".to_owned(), "radio".to_owned()];
    Some(plan)
}

/// Longest the demo waits at its end for calls in progress.
pub(super) const LAST_CALLS: Duration = Duration::from_secs(4);
