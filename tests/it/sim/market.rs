//! The market of every simulated world: four carriers, three campaigns, six buyers whose caps are soon used up.
//!
//! Read once from text by the real loader; what a world changes of it is an edit of the value, as a reload is a new one.

use std::fmt;
use std::fmt::Write;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use load::chance::Chance;
use outcry::domain::catalog::{PlanIx, Pricing};
use outcry::domain::{AfterFailure, Bps, Catalog, Margin, Money, Payout, Plan, PriceRule};
use sha2::{Digest, Sha256};

use super::attested;
use super::terms::{TABLES, bids, range_lines};
use crate::support::Folder;

/// Carriers: id, key, ceiling in milliseconds. The last one is Twilio.
pub const CARRIERS: [(&str, &str, u64); 4] = [
    ("sw-a", "key-of-sw-a", 1_000),
    ("sw-b", "key-of-sw-b", 800),
    ("sw-c", "key-of-sw-c", 1_500),
    ("tw", "0123456789abcdef0123456789abcdef", 1_200),
];
/// The place of Twilio among them.
pub const TWILIO: usize = 3;
/// The URL that Twilio knows us by.
pub const PUBLIC: &str = "https://calls";
/// Tracking numbers; the last belongs to nobody.
pub const NUMBERS: [&str; 7] = [
    "+18005550100",
    "+18005550101",
    "+18005550102",
    "+18005550103",
    "+18005550104",
    "+18005550105",
    "+18005550199",
];
/// The plans of each campaign.
const PLANS: [[&str; 2]; 3] = [["auto", "auto-turns"], ["home", "home-ends"], ["legal", "legal-turns"]];
/// Where test calls are sent.
pub const TEST_ADDRESS: &str = "+18005550999";
/// Targets with an endpoint: target, buyer, place of its endpoint, further lines.
const BIDDERS: [(&str, &str, u8, &str); 13] = [
    ("ant-auto", "ant", 1, "multiplier = \"105%\"\n"),
    ("ant-home", "ant", 1, "concurrency = 4\n"),
    ("bee-auto", "bee", 2, "daily_billable = 90\n"),
    ("bee-legal", "bee", 3, "min_duration_s = 30\n"),
    ("cat-auto", "cat", 4, "tier = 2\n"),
    ("cat-home", "cat", 5, "floor = \"20.00\"\n"),
    ("dog-auto", "dog", 6, "priority = 50\n"),
    ("dog-legal", "dog", 6, "tier = 2\nconcurrency = 3\n"),
    ("eel-home", "eel", 7, "filters = [{ state = [\"TX\", \"CA\", \"NY\"] }]\n"),
    ("eel-legal", "eel", 8, "min_duration_s = 60\n"),
    ("fox-auto", "fox", 9, "weight = 3\nsuppressed_callers = [\"known\"]\n"),
    ("fox-home", "fox", 9, "tier = 2\nweight = 2\n"),
    ("fox-legal", "fox", 9, "concurrency = 4\ndaily_billable = 80\n"),
];
/// Buyers and their lines.
const BUYERS: [(&str, &str); 6] = [
    ("ant", "zone = \"America/Chicago\"\nconcurrency = 16\ndaily_billable = 240\n"),
    (
        "bee",
        "zone = \"America/New_York\"\nconcurrency = 20\ndisclosure = \"full\"\npersonal_tags = [\"zip\"]\n",
    ),
    ("cat", "zone = \"America/Denver\"\ndaily_billable = 180\ndisclosure = \"none\"\n"),
    ("dog", "zone = \"America/Los_Angeles\"\nconcurrency = 12\nshow_floor = true\nhand_back_s = 25\n"),
    (
        "eel",
        "zone = \"UTC\"\nconcurrency = 10\ndaily_billable = 140\nsuppressed_callers = [\"known\"]\nhand_back_s = 0\n",
    ),
    ("fox", "zone = \"America/Chicago\"\n"),
];
/// Targets with a fixed price: target, buyer, price, further lines.
const FIXED: [(&str, &str, &str, &str); 7] = [
    ("ant-phone", "ant", "24.00", "concurrency = 3\n"),
    ("cat-phone", "cat", "21.00", "daily_billable = 60\n"),
    ("dog-phone", "dog", "30.00", "concurrency = 2\nmin_duration_s = 10\n"),
    ("eel-phone", "eel", "19.50", "filters = [{ not = { state = [\"NY\"] } }]\n"),
    ("fox-phone", "fox", "18.00", "concurrency = 6\n"),
    ("dog-desk", "dog", "17.50", "concurrency = 4\n"),
    ("fox-late", "fox", "16.00", "daily_billable = 150\n"),
];

/// Minutes of the day, in Chicago, at which the campaign `auto` takes no calls.
pub const AUTO_CLOSED: Range<i64> = 110..130;
/// Minutes of the day, in Denver, at which those of the publisher `pub-b` are not taken.
pub const PUB_B_CLOSED: Range<i64> = 40..60;
/// The plan of the campaign `legal` from 20:00 to 01:00 in New York.
pub const LATE_PLAN: &str = "legal-late";
/// Bidders whose auctions, always the first of their step, close so long after it began, unless the deadline is sooner.
const CLOSE_EARLY: [(&str, u64); 2] = [("ant-home", 130), ("cat-home", 130)];

/// How long after the step's beginning a target's auctions close that do so before the others.
pub fn closes_early(target: &str) -> Option<Duration> {
    let own = CLOSE_EARLY.iter().find(|(id, _)| *id == target);
    own.map(|(_, ms)| Duration::from_millis(*ms))
}

const CAMPAIGNS: &str = r#"
[campaign.auto]
vertical = "auto"
plan = "auto"
deadline_ms = 400
floor = "12.00"
payout = { fixed = "9.00" }
min_margin = "1.00"
ping_tags = ["n", "zip"]
zone = "America/Chicago"
hours = ["daily 02:10-01:50"]
blocked_callers = ["dnc"]

[caller_list.dnc]
[caller_list.known]

[campaign.home]
vertical = "home"
plan = "home"
deadline_ms = 300
floor = "9.50"
floors = [{ when = [{ state = ["NY", "CO"] }], floor = "15.25" }]
pricing = "second"
payout = { share = "60%" }
min_margin = { amount = "4.00", percent = "25%" }
ping_tags = ["n"]

[campaign.legal]
vertical = "legal"
plans = [{ plan = "legal-late", hours = ["daily 20:00-01:00"] }, { plan = "legal" }]
zone = "America/New_York"
deadline_ms = 700
floor = "15.00"
payout = { fixed = "17.00" }
negative_margin = "allow_and_flag"
recovery_s = 8
after_failure = "re_auction"
ping_tags = ["n", "case"]

[publisher.pub-a]
name = "Pub A"
zone = "America/New_York"
payouts = { auto = { fixed = "11.50" } }

[publisher.pub-b]
name = "Pub B"
zone = "America/Denver"
payouts = { home = { share = "62.5%" } }
hours = ["daily 01:00-00:40"]
blocked_callers = ["dnc"]
floor = "11.00"
floors = { auto = "13.00" }

[plan.auto]
root = { sequential = [
  { first_match = [{ when = [{ any = [
    { tag = "n", op = "prefix", value = "15" },
    { tag = "n", op = "prefix", value = "16" },
    { tag = "n", op = "prefix", value = "17" },
    { tag = "n", op = "prefix", value = "18" },
    { tag = "n", op = "prefix", value = "19" },
  ] }], node = { simultaneous = ["fox-late", "eel-phone", "dog-desk"] } }] },
  { auction = ["ant-auto", "bee-auto", "cat-auto", "dog-auto", "fox-auto", "fox-phone", "ant-table"], floor = "12.50", takeover = "55.00" },
  { weighted = [{ weight = 3, node = "ant-phone" }, { weight = 1, node = "cat-phone" }] },
] }
terminal = { voicemail = "Please leave your name." }

[plan.home]
root = { sequential = [
  { auction = ["ant-home", "cat-home"], timeout_ms = 130 },
  { auction = ["eel-home", "fox-home", "eel-phone"] },
  "eel-table",
  { first_match = [
    { when = [{ any = [{ sub_id = ["s"] }, { tag = "n", op = "prefix", value = "1" }] }], node = { simultaneous = ["fox-late", "ant-phone", "fox-phone"] } },
    { node = "fox-late" },
  ] },
] }
terminal = { dial = "+16025550160" }

[plan.legal]
root = { sequential = [
  "dog-phone",
  { auction = ["bee-legal", "dog-legal", "eel-legal", "fox-legal"] },
  { first_match = [{ when = [{ any = [{ sub_id = ["s"] }, { tag = "n", op = "prefix", value = "1" }] }], node = { simultaneous = ["eel-phone", "cat-phone"], answer = "first" } }] },
] }
terminal = { hangup = "busy" }

[plan.legal-late]
root = { sequential = [{ auction = ["eel-legal", "bee-legal"], floor = "16.00" }, "dog-phone"] }
terminal = { voicemail = "We open at one." }
[group.auto-phones]
node = { round_robin = ["ant-phone", "cat-phone"], ring_s = 12 }

[plan.auto-turns]
root = { sequential = [
  { auction = ["ant-auto", "bee-auto", "cat-auto", "dog-auto", "fox-auto", "fox-phone"], floor = "12.50" },
  { group = "auto-phones" },
] }
terminal = { voicemail = "Please leave your name." }

[plan.home-ends]
root = { first_match = [
  { when = [{ state = ["TX", "CA"] }], node = { sequential = [
    { auction = ["ant-home", "cat-home"], timeout_ms = 130 },
    { round_robin = ["eel-phone", "fox-late"] },
    { message = "Everybody is busy." },
  ] } },
  { node = { sequential = [{ auction = ["eel-home", "fox-home"] }, "fox-late", { dial = "+16025550160" }] } },
] }

[plan.legal-turns]
root = { round_robin = [
  "dog-phone",
  { auction = ["bee-legal", "dog-legal", "eel-legal", "fox-legal"] },
  { first_match = [{ when = [{ state = ["NY"] }], node = { hangup = "congestion" } }] },
] }
terminal = { hangup = "busy" }

[plan.nobody]
terminal = { message = "Nobody is here." }
"#;

/// The key that a buyer hands calls back with.
pub fn buyer_key(id: &str) -> String {
    format!("key-of-{id}")
}

fn digest(key: &str) -> String {
    let digest: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digest}")
}

fn text() -> String {
    let mut text = "default_plan = \"nobody\"\n".to_owned();
    let (id, _, ceiling) = CARRIERS[TWILIO];
    writeln!(
        text,
        "[carrier.{id}]\ndialect = \"twilio\"\npublic_url = \"{PUBLIC}\"\nceiling_ms = {ceiling}\n\
         secrets = [{{ secret_file = \"tw.secret\" }}]"
    )
    .unwrap();
    for (id, key, ceiling) in &CARRIERS[..TWILIO] {
        let digest = digest(key);
        writeln!(text, "[carrier.{id}]\nkey_digest = \"{digest}\"\nceiling_ms = {ceiling}").unwrap();
    }
    text.push_str(CAMPAIGNS);
    for (at, number) in NUMBERS[..6].iter().enumerate() {
        let campaign = ["auto", "home", "legal"][at % 3];
        let publisher = ["pub-a", "pub-b"][at / 3];
        writeln!(
            text,
            "[[number]]\nnumber = \"{number}\"\ncampaign = \"{campaign}\"\npublisher = \"{publisher}\""
        )
        .unwrap();
    }
    for (id, lines) in BUYERS {
        let (ranges, key) = (range_lines(id), digest(&buyer_key(id)));
        writeln!(text, "[buyer.{id}]\nname = \"{id}\"\nkey_digest = \"{key}\"\n{lines}{ranges}").unwrap();
    }
    let common = "ring_s = 20\nmax_talk_s = 300";
    for (at, (id, buyer, place, lines)) in BIDDERS.iter().enumerate() {
        let asks = if *id == attested::PICKY { attested::ASKS } else { "" };
        let endpoint = format!(
            "{{ url = \"http://10.0.0.{place}:80/{id}\", max_bid = \"80.00\", max_min_duration_s = 120, \
             destinations = [\"+1512*\"] }}"
        );
        let min = if lines.contains("min_duration_s") { "" } else { "min_duration_s = 90\n" };
        writeln!(
            text,
            "[target.{id}]\nbuyer = \"{buyer}\"\naddress = \"+151255501{at:02}\"\nendpoint = {endpoint}\n{min}{asks}{lines}{common}"
        )
        .unwrap();
    }
    for (at, (id, buyer, price, lines)) in FIXED.iter().enumerate() {
        writeln!(
            text,
            "[target.{id}]\nbuyer = \"{buyer}\"\naddress = \"+130355502{at:02}\"\nprice = \"{price}\"\n{lines}{}{common}",
            range_lines(id)
        )
        .unwrap();
    }
    for (at, (id, buyer, lines)) in TABLES.iter().enumerate() {
        let (bids, ranges) = (bids(id), range_lines(id));
        writeln!(
            text,
            "[target.{id}]\nbuyer = \"{buyer}\"\naddress = \"+130355503{at:02}\"\nbids = {bids}\n{lines}{ranges}{common}"
        )
        .unwrap();
    }
    text
}

/// The market before anything is changed.
pub fn base() -> &'static Catalog {
    static BASE: OnceLock<Catalog> = OnceLock::new();
    BASE.get_or_init(|| {
        let folder = Folder::new();
        std::fs::write(folder.path().join("outcry.toml"), "[pings]\nallow_private_addresses = true\n")
            .unwrap();
        std::fs::write(folder.path().join("catalog/market.toml"), text()).unwrap();
        for place in [folder.path().to_owned(), folder.path().join("catalog")] {
            std::fs::write(place.join("tw.secret"), CARRIERS[TWILIO].1).unwrap();
        }
        let loaded = outcry::config::load(&folder.path().join("outcry.toml"));
        loaded
            .unwrap_or_else(|faults| panic!("{}", faults.iter().map(|f| f.to_string()).collect::<String>()))
            .catalog
    })
}

/// Addresses of bid endpoints, by their last byte.
pub fn places() -> u8 {
    BIDDERS.iter().map(|(_, _, place, _)| *place).max().unwrap_or(0)
}

/// One change of the market, as an operator makes it in a file before a reload.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// A buyer's limits.
    BuyerLimits { buyer: usize, concurrency: Option<u32>, daily_billable: Option<u32> },
    /// A target's limits.
    TargetLimits { target: usize, concurrency: Option<u32>, daily_billable: Option<u32> },
    /// Pauses a target or lets it go on.
    TargetPaused(usize, bool),
    /// Pauses a buyer or lets it go on.
    BuyerPaused(usize, bool),
    /// Pauses a campaign or lets it go on.
    CampaignPaused(usize, bool),
    /// The price of a fixed target, in cents.
    Price(usize, i64),
    /// What a campaign pays, in cents.
    Payout(usize, i64),
    /// A campaign's deadline, in milliseconds.
    Deadline(usize, u64),
    /// What the winners of a campaign's auctions pay, and what follows a failed attempt.
    Rules(usize, PriceRule, AfterFailure),
    /// The margin a campaign asks for, in cents and in percent.
    Margin(usize, i64, u32),
    /// Which of its plans a campaign's calls walk.
    Plan(usize, usize),
}

impl Edit {
    /// Some change of this market.
    pub fn draw(chance: &mut Chance) -> Edit {
        let base = base();
        let mut one = |of: usize| chance.between(0, of as u64 - 1) as usize;
        let (buyer, target, campaign) = (one(base.buyers.len()), one(base.targets.len()), one(3));
        let fixed: Vec<usize> = (0..base.targets.len())
            .filter(|at| matches!(base.targets[*at].pricing, Pricing::Fixed(_)))
            .collect();
        let priced = fixed[one(fixed.len())];
        let mut limit = |low, high| (!chance.hits(1_500)).then(|| chance.between(low, high) as u32);
        let (few, many) = (limit(1, 20), limit(20, 400));
        match chance.between(0, 15) {
            0..=2 => Edit::BuyerLimits { buyer, concurrency: few, daily_billable: many },
            3 | 4 => Edit::TargetLimits { target, concurrency: few, daily_billable: many },
            5 | 6 => Edit::TargetPaused(target, chance.hits(3_000)),
            7 => Edit::BuyerPaused(buyer, chance.hits(2_000)),
            8 => Edit::CampaignPaused(campaign, chance.hits(1_500)),
            9 => Edit::Price(priced, chance.between(1_400, 4_000) as i64),
            10 => Edit::Payout(campaign, chance.between(500, 1_800) as i64),
            11 => Edit::Deadline(campaign, chance.between(60, 700)),
            12 => {
                let price = if chance.hits(5_000) { PriceRule::First } else { PriceRule::Second };
                let after = if chance.hits(5_000) { AfterFailure::NextBid } else { AfterFailure::ReAuction };
                Edit::Rules(campaign, price, after)
            }
            13 => Edit::Plan(campaign, chance.between(0, 1) as usize),
            _ => Edit::Margin(campaign, chance.between(0, 600) as i64, chance.between(0, 35) as u32),
        }
    }

    /// Makes it.
    pub fn apply(self, catalog: &mut Catalog) {
        let cents = |cents: i64| Money::from_micros(cents * 10_000);
        match self {
            Edit::BuyerLimits { buyer, concurrency, daily_billable } => {
                catalog.buyers[buyer].limits.concurrency = concurrency;
                catalog.buyers[buyer].limits.daily_billable = daily_billable;
            }
            Edit::TargetLimits { target, concurrency, daily_billable } => {
                catalog.targets[target].limits.concurrency = concurrency;
                catalog.targets[target].limits.daily_billable = daily_billable;
            }
            Edit::TargetPaused(target, paused) => catalog.targets[target].paused = paused,
            Edit::BuyerPaused(buyer, paused) => catalog.buyers[buyer].paused = paused,
            Edit::CampaignPaused(campaign, paused) => catalog.campaigns[campaign].paused = paused,
            Edit::Price(target, price) => catalog.targets[target].pricing = Pricing::Fixed(cents(price)),
            Edit::Payout(campaign, payout) => {
                catalog.campaigns[campaign].payout = Payout::Fixed(cents(payout))
            }
            Edit::Deadline(campaign, ms) => catalog.campaigns[campaign].deadline = Duration::from_millis(ms),
            Edit::Rules(campaign, price, after) => {
                catalog.campaigns[campaign].price = price;
                catalog.campaigns[campaign].after_failure = after;
            }
            Edit::Margin(campaign, amount, percent) => {
                let margin = Margin { amount: cents(amount), percent: Bps(percent * 100) };
                catalog.campaigns[campaign].min_margin = Some(margin);
            }
            Edit::Plan(campaign, which) => {
                let named = |plan: &Plan| plan.id.as_str() == PLANS[campaign][which];
                let at = catalog.plans.iter().position(named).expect("a plan of the market");
                catalog.campaigns[campaign].plan = PlanIx(at as u32);
            }
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = base();
        match self {
            Edit::BuyerLimits { buyer, concurrency, daily_billable } => {
                write!(f, "{} concurrency {concurrency:?} daily {daily_billable:?}", base.buyers[*buyer].id)
            }
            Edit::TargetLimits { target, concurrency, daily_billable } => {
                write!(f, "{} concurrency {concurrency:?} daily {daily_billable:?}", base.targets[*target].id)
            }
            Edit::TargetPaused(target, paused) => write!(f, "{} paused {paused}", base.targets[*target].id),
            Edit::BuyerPaused(buyer, paused) => write!(f, "{} paused {paused}", base.buyers[*buyer].id),
            Edit::CampaignPaused(at, paused) => write!(f, "{} paused {paused}", base.campaigns[*at].id),
            Edit::Price(target, cents) => write!(f, "{} price {cents} cents", base.targets[*target].id),
            Edit::Payout(at, cents) => write!(f, "{} pays {cents} cents", base.campaigns[*at].id),
            Edit::Deadline(at, ms) => write!(f, "{} deadline {ms} ms", base.campaigns[*at].id),
            Edit::Rules(at, price, after) => {
                let id = &base.campaigns[*at].id;
                write!(f, "{id} has {} price and after a failure {}", price.as_str(), after.as_str())
            }
            Edit::Margin(at, cents, percent) => {
                write!(f, "{} leaves {cents} cents and {percent} %", base.campaigns[*at].id)
            }
            Edit::Plan(at, which) => write!(f, "{} by plan {}", base.campaigns[*at].id, PLANS[*at][*which]),
        }
    }
}
