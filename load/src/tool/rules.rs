//! A market with every kind of rule in use: what stands in its catalog beside the plain one, what its calls say, and whom
//! its lists of callers have.
//!
//! Two kinds of targets show that the rules are at work. Those of the scenario have rules that hold for every call sent,
//! so that who must win stays as it is. Those of the house (`HOUSE`) would outbid everybody, and a rule bars each of
//! them from every call: the judge knows the word. What becomes of a call is not decided here.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::judge;
use super::market::{CAMPAIGN, dollars};
use super::scenario::Caps;
use crate::carriers::{CallerArea, Plan};

/// What begins the id of every target of the house; none of the scenario's may begin so.
pub const PREFIX: &str = "rule-";
/// The buyer of all of them.
const HOUSE_BUYER: &str = "rule-house";
/// Lowest price a scenario's bidders and fixed targets may have: with less, floors and margins would decide.
pub const LEAST_CENTS: u32 = 600;
/// Highest of them: what the house is barred from, it would win.
pub const MOST_CENTS: u32 = 90_000;
/// The highest of the floors: the campaign's. All others are below.
const FLOOR_CENTS: u32 = 520;
/// What must be left after the payout. 5 percent of a price are less wherever it decides.
const MARGIN_CENTS: u32 = 50;
/// Caps of who has none: no run gets there.
pub const ROOMY: Caps = Caps { concurrency: Some(100_000), daily_billable: Some(1_000_000) };
/// Callers on each of the two long lists.
pub const LISTED: usize = 100_000;
/// Lines of one request that fills a list.
const LINES_MAX: usize = 60_000;
/// Rows of the bid tables' file.
const ROWS: usize = 1_000;
/// Name of that file.
pub const TABLE: &str = "rows.csv";
const DAY_S: u64 = 86_400;

/// All the week, in several spans.
const OPEN: &str = r#"["mon-fri 00:00-08:30", "mon-fri 08:30-17:00", "mon-fri 17:00-24:00", "sat-sun 00:00-24:00", "2030-12-25 00:00-24:00"]"#;
/// Where callers live: area code, state, ZIP.
const PLACES: [(&str, &str, &str); 3] =
    [("512", "TX", "78701"), ("303", "CO", "80202"), ("718", "NY", "11201")];

/// A target of the house.
struct House {
    name: &'static str,
    price: HousePrice,
    /// Its lines, before the filters that all targets have; `CLOSED` stands for hours that do not come.
    lines: &'static str,
    /// Its own filter, asked first. Some call would pass it and those that all have: one from Oklahoma, with other tags;
    /// `check` refuses what nobody passes.
    filter: &'static str,
    at: Place,
    /// The word for what bars it; none is for those whom calls reach that nobody else takes.
    barred: Option<&'static str>,
}

/// What a target of the house pays.
enum HousePrice {
    Fixed(u32),
    /// A table, and what it bids for every call.
    Table(&'static str, u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the auction, among the scenario's bidders.
    Auction,
    /// In a branch that no call takes.
    Branch,
    /// In a node that is closed.
    Closed,
    /// In a second auction, after the scenario's fixed prices.
    Second,
    /// In a group behind that.
    Group,
}

/// More than anybody bids.
const TOP: HousePrice = HousePrice::Fixed(99_000);

const fn barred(name: &'static str, word: &'static str, lines: &'static str, filter: &'static str) -> House {
    House { name, price: TOP, lines, filter, at: Place::Auction, barred: Some(word) }
}

/// The house, in the order of the plan.
const HOUSE: [House; 17] = [
    House { at: Place::Branch, ..barred("branch", "branch", "", "") },
    House { at: Place::Closed, ..barred("node", "node_closed", "", "") },
    barred("state", "geo", "", r#"{ any = [{ state = ["AK"] }, { all = [{ state = ["OK"] }] }] }"#),
    barred("near", "geo", "", r#"{ near = "99501", miles = 250 }"#),
    barred("sub-id", "source", "", r#"{ sub_id = ["print-*", "tv-9*"] }"#),
    barred("tag", "tag", "", r#"{ tag = "age", op = "between", value = [90, 99] }"#),
    barred("stir", "attestation", "", r#"{ any = [{ stir = ["none"] }, { state = ["OK"] }] }"#),
    barred("withheld", "anonymous", "", r#"{ any = [{ anonymous = true }, { state = ["OK"] }] }"#),
    barred("hours", "closed", "hours = [CLOSED]\n", ""),
    barred("filter-hours", "closed", "", r#"{ hours = [CLOSED], zone = "America/Denver" }"#),
    barred("listed", "suppressed", "suppressed_callers = [\"regulars\"]\n", ""),
    House {
        price: HousePrice::Table(
            r#"rows = [{ when = [{ tag = "product", op = "prefix", value = "home" }], bid = "990.00" }]"#,
            0,
        ),
        ..barred("row", "no_row", "", "")
    },
    // Its base would win; the rows of the file, by ZIP, are below the floor.
    House {
        price: HousePrice::Table(r#"base = "990.00", csv = "rows.csv""#, 505),
        ..barred("low", "below_floor", "", "")
    },
    House {
        name: "first",
        price: HousePrice::Table(
            r#"base = "990.00", rows = [{ when = [{ state = ["TX", "NY"] }], bid = "5.60" }, { when = [{ area_code = [303] }, { tag = "insured", op = "=", value = "yes" }], bid = "5.60" }]"#,
            560,
        ),
        lines: "",
        filter: "",
        at: Place::Second,
        barred: None,
    },
    // Dearer, of the second tier, and below the takeover.
    House {
        name: "second",
        price: HousePrice::Fixed(1_900),
        lines: "tier = 2\n",
        filter: "",
        at: Place::Second,
        barred: None,
    },
    House {
        name: "desk-1",
        price: HousePrice::Fixed(LEAST_CENTS),
        lines: "",
        filter: "",
        at: Place::Group,
        barred: None,
    },
    House {
        name: "desk-2",
        price: HousePrice::Fixed(LEAST_CENTS),
        lines: "",
        filter: "",
        at: Place::Group,
        barred: None,
    },
];

impl House {
    fn id(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    fn address(place: usize) -> String {
        format!("+1612555{place:04}")
    }
}

/// An hour of a day of the week that no run which begins now comes to, in any zone: three days from now.
fn closed() -> String {
    const DAYS: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let day = since_epoch.as_secs() / DAY_S + 3;
    format!("\"{} 10:00-11:00\"", DAYS[(day % 7) as usize])
}

/// What every target asks of a call, and every call sent has.
fn filters(first: &str) -> String {
    let zips: Vec<String> = (0..100).map(|at| format!("\"{}\"", 60_600 + at)).collect();
    let own = if first.is_empty() { String::new() } else { format!("  {first},\n") };
    format!(
        r#"filters = [
{own}  {{ anonymous = false }},
  {{ country = ["US"] }},
  {{ state = ["TX", "CO", "NY", "OK"] }},
  {{ area_code = [512, 737, 303, 718] }},
  {{ zip = [{}, "731*", "787*", "80202", "11201"] }},
  {{ any = [{{ near = "78701", miles = 50 }}, {{ near = "80202", miles = 50 }}, {{ near = "11201", miles = 50 }}] }},
  {{ publisher = ["pub"] }},
  {{ campaign = ["{CAMPAIGN}"] }},
  {{ sub_id = ["tv-*", "radio-1"] }},
  {{ number = ["+1833*"] }},
  {{ tag = "age", op = ">", value = 17 }},
  {{ tag = "age", op = "between", value = [18, 99] }},
  {{ tag = "insured", op = "in", value = ["yes", "true"] }},
  {{ tag = "product", op = "matches", value = "^auto-(full|basic)$" }},
  {{ hours = {OPEN}, zone = "America/New_York" }},
  {{ stir = ["A", "B"] }},
  {{ not = {{ any = [{{ state = ["AK", "HI"] }}, {{ tag = "attorney", op = "exists", value = true }}] }} }},
  {{ any = [{{ tag = "product", op = "=", value = "auto-full" }}, {{ all = [{{ tag = "product", op = "prefix", value = "auto" }}, {{ not = {{ sub_id = ["fb-*"] }} }}] }}] }},
]
"#,
        zips.join(", ")
    )
}

/// Lines of a target's rules: its own, its filter, and those that all have.
fn target(own: &str, filter: &str, price: Option<u32>, caps: Caps) -> String {
    let has = |key: &str| own.contains(key);
    let mut text = own.replace("CLOSED", &closed());
    for (key, line) in [
        ("hours", format!("hours = {OPEN}\n")),
        ("suppressed_callers", "suppressed_callers = [\"suppressed\"]\n".to_owned()),
        ("tier", "tier = 1\n".to_owned()),
    ] {
        if !has(key) {
            text.push_str(&line);
        }
    }
    text.push_str(
        "floor = \"5.00\"\npriority = 100\nweight = 1\nmultiplier = \"100%\"\nearlier_attempts = 16\n",
    );
    let price = price.map_or(String::new(), |cents| format!("price = \"{}\", ", dollars(cents)));
    let _ = writeln!(
        text,
        "ranges = [{{ hours = [\"mon-fri 09:00-17:00\", \"sat-sun 10:00-12:00\"], {price}floor = \"5.05\", {} }}]",
        limits(caps, ", ")
    );
    text.push_str(&filters(&filter.replace("CLOSED", &closed())));
    text
}

fn limits(caps: Caps, between: &str) -> String {
    let limit = |key: &str, limit: Option<u32>| limit.map(|limit| format!("{key} = {limit}"));
    let limits = [limit("concurrency", caps.concurrency), limit("daily_billable", caps.daily_billable)];
    limits.into_iter().flatten().collect::<Vec<_>>().join(between)
}

/// Lines of the rules of a target of the scenario; its price where that is fixed, and its caps.
pub fn of_target(price: Option<u32>, caps: Caps) -> String {
    target("", "", price, caps)
}

/// Lines of the rules of a buyer with these caps.
pub fn of_buyer(caps: Caps) -> String {
    format!(
        "hours = {OPEN}\nsuppressed_callers = [\"suppressed\"]\n{}\n\
         ranges = [{{ hours = [\"mon-fri 09:00-17:00\"], {} }}]\n",
        limits(caps, "\n"),
        limits(caps, ", ")
    )
}

/// Lines of the rules of the campaign, plans among them.
pub fn of_campaign() -> String {
    format!(
        r#"zone = "America/Chicago"
hours = {OPEN}
plans = [{{ plan = "elsewhere", hours = [{}] }}, {{ plan = "main" }}]
floor = "{}"
floors = [
  {{ when = [{{ state = ["TX"] }}, {{ hours = ["daily 06:00-20:00"], zone = "America/Chicago" }}], floor = "5.15" }},
  {{ when = [{{ tag = "product", op = "=", value = "auto-full" }}], floor = "5.10" }},
]
pricing = "second"
after_failure = "re_auction"
min_margin = {{ amount = "{}", percent = "5%" }}
blocked_callers = ["blocked"]
"#,
        closed(),
        dollars(FLOOR_CENTS),
        dollars(MARGIN_CENTS),
    )
}

/// Lines of the rules of the publisher.
pub fn of_publisher() -> String {
    format!(
        "hours = {OPEN}\nfloor = \"5.00\"\nfloors = {{ {CAMPAIGN} = \"5.05\" }}\nblocked_callers = [\"blocked\"]\n"
    )
}

/// Both plans: that of the calls, and that of another day. `bidders` and `fixed` are the scenario's targets, in quotes.
pub fn plans(bidders: &[String], fixed: &[String], deadline_ms: u64) -> String {
    let house = |at: Place| -> Vec<String> {
        HOUSE.iter().filter(|h| h.at == at).map(|h| format!("\"{}\"", h.id())).collect()
    };
    let members = [bidders, &house(Place::Auction)].concat().join(", ");
    let fixed = match fixed {
        [] => String::new(),
        fixed => format!(
            "    {{ sequential = [{}], ring_s = 60, hours = {OPEN}, zone = \"America/New_York\" }},\n",
            fixed.join(", ")
        ),
    };
    let (branch, closed_node) = (house(Place::Branch).join(", "), house(Place::Closed).join(", "));
    let (second, group) = (house(Place::Second).join(", "), house(Place::Group).join(", "));
    let closed = closed();
    format!(
        r#"[plan.main]
root = {{ first_match = [
  {{ when = [{{ any = [{{ state = ["AK", "HI"] }}, {{ country = ["CA"] }}] }}], node = {{ sequential = [{branch}] }} }},
  {{ when = [{{ number = ["+1833*"] }}, {{ not = {{ state = ["AK"] }} }}], node = {{ sequential = [
    {{ sequential = [{closed_node}], hours = [{closed}], zone = "America/Chicago" }},
    {{ auction = [{members}], floor = "5.10", takeover = "20.00", timeout_ms = {deadline_ms} }},
{fixed}    {{ auction = [{second}], floor = "5.10", takeover = "20.00" }},
    {{ weighted = [{{ weight = 1, node = {{ group = "desks" }} }}] }},
    {{ voicemail = "Please leave a message.", hours = [{closed}], zone = "America/Chicago" }},
  ] }} }},
  {{ node = {{ hangup = "rejected" }} }},
] }}
terminal = {{ hangup = "busy" }}
[group.desks]
node = {{ round_robin = [{group}] }}
[plan.elsewhere]
root = {{ simultaneous = [{group}], answer = "screen" }}
terminal = {{ voicemail = "Please leave a message." }}
[caller_list.blocked]
note = "Callers nobody wants"
[caller_list.suppressed]
note = "Callers whom buyers know"
[caller_list.regulars]
note = "Everybody who calls, by the beginnings of their numbers"
"#
    )
}

/// The house's buyer, with the caps of every buyer, and its targets.
pub fn house(min_duration_s: u64, caps: Caps) -> String {
    let mut text = format!("[buyer.{HOUSE_BUYER}]\nname = \"House\"\nzone = \"UTC\"\n{}", of_buyer(caps));
    for (place, one) in HOUSE.iter().enumerate() {
        let price = match &one.price {
            HousePrice::Fixed(cents) => format!("price = \"{}\"", dollars(*cents)),
            HousePrice::Table(table, _) => format!("bids = {{ {table} }}"),
        };
        let in_range = match &one.price {
            HousePrice::Fixed(cents) => Some(*cents),
            HousePrice::Table(..) => None,
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[target.{}]\nbuyer = \"{HOUSE_BUYER}\"\naddress = \"{}\"\n{price}\nmin_duration_s = {min_duration_s}\n{}\n{}",
            one.id(),
            House::address(place),
            limits(ROOMY, "\n"),
            target(one.lines, one.filter, in_range, ROOMY),
        );
    }
    text
}

/// The rows of the bid tables' file: by ZIP, those of the callers last.
pub fn rows() -> String {
    let mut csv = String::from("zip,tag:product,bid\n");
    for at in 0..ROWS {
        // Writing to a string cannot fail.
        let _ = writeln!(csv, "{},,{}", 90_000 + at, dollars(700 + at as u32));
    }
    for (_, _, zip) in PLACES {
        let _ = writeln!(csv, "{zip},home-full,990.00\n{zip},,5.05");
    }
    csv
}

/// What the judge has to know of a market with rules beside the scenario's own targets.
pub fn judged(market: &mut judge::Market, min_duration_ms: u64, caps: Caps) {
    let micros = |cents: u32| i64::from(cents) * 10_000;
    market.floor_micros = micros(FLOOR_CENTS);
    market.min_margin_micros = Some(micros(MARGIN_CENTS));
    (market.second_price, market.re_auction) = (true, true);
    (market.buyer_concurrency, market.buyer_daily_billable) = (caps.concurrency, caps.daily_billable);
    market.targets.extend(HOUSE.iter().enumerate().map(|(place, one)| {
        let (HousePrice::Fixed(cents) | HousePrice::Table(_, cents)) = one.price;
        judge::Target {
            id: one.id(),
            buyer: HOUSE_BUYER.to_owned(),
            address: House::address(place),
            price: judge::Price::Fixed { micros: micros(cents) },
            in_auction: one.at == Place::Auction,
            barred: one.barred,
            concurrency: ROOMY.concurrency,
            daily_billable: ROOMY.daily_billable,
            min_duration_ms,
        }
    }));
}

/// Has calls say what the rules look at, and every caller show a number.
pub fn told(plan: &mut Plan) {
    let area = |(prefix, state, zip): (&str, &str, &str)| CallerArea {
        prefix: prefix.to_owned(),
        geo: Some((state.to_owned(), zip.to_owned())),
    };
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    plan.callers = PLACES.map(area).to_vec();
    plan.tags = vec![
        ("age".to_owned(), texts(&["34", "51", "66"])),
        ("insured".to_owned(), texts(&["yes"])),
        ("product".to_owned(), texts(&["auto-full", "auto-basic"])),
    ];
    plan.sub_ids = texts(&["tv-1", "tv-2", "radio-1"]);
    plan.attests = texts(&["A", "B"]);
    plan.rates.withheld_bps = 0;
}

/// The sub-id of every number, for carriers that state none.
pub const SUB_ID: &str = "tv-1";

/// The lists of callers as an operator adds them: name, and lines of one request. Nobody who calls is on the long ones.
pub fn callers() -> Vec<(&'static str, String)> {
    let mut requests = Vec::new();
    for (list, area) in [("blocked", 907), ("suppressed", 808)] {
        for first in (0..LISTED).step_by(LINES_MAX) {
            let numbers = first..(first + LINES_MAX).min(LISTED);
            requests.push((list, numbers.map(|at| format!("+1{area}{}\n", 2_000_000 + at)).collect()));
        }
    }
    requests.push(("regulars", PLACES.iter().map(|(prefix, ..)| format!("+1{prefix}*\n")).collect()));
    requests
}
