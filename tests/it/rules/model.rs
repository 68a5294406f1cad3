//! A market and a call as the tests know them, and the text that an operator or a carrier would write of them.
//!
//! Nothing here is a type of the exchange: what the second implementation reads is this, what the exchange reads is the text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

/// Amounts are micro-units, as everywhere; these are made of cents.
pub const CENT: i64 = 10_000;

/// A whole market.
#[derive(Clone, Debug)]
pub struct Market {
    pub buyers: Vec<Buyer>,
    pub targets: Vec<Target>,
    pub caller_lists: Vec<String>,
    /// Nodes that plans share, by name.
    pub groups: Vec<(String, Node)>,
    pub plans: Vec<Plan>,
    pub campaigns: Vec<Campaign>,
    pub publishers: Vec<Publisher>,
    pub numbers: Vec<Number>,
    /// Id of the plan of numbers that nobody configured.
    pub default_plan: String,
}

#[derive(Clone, Debug)]
pub struct Buyer {
    pub id: String,
    pub zone: &'static str,
    pub paused: bool,
    pub hours: Option<Hours>,
    /// Caller lists.
    pub suppressed: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub id: String,
    pub buyer: String,
    pub paused: bool,
    pub filters: Vec<Filter>,
    pub hours: Option<Hours>,
    pub floor: i64,
    pub tier: u8,
    pub priority: u16,
    pub weight: u32,
    /// Hundredths of a per cent.
    pub multiplier: u32,
    pub price: Price,
    pub ranges: Vec<Range>,
    /// Caller lists.
    pub suppressed: Vec<String>,
    /// Most attempts that came to nothing before it.
    pub earlier_attempts: Option<u32>,
}

/// Hours of the week with terms of their own.
#[derive(Clone, Debug)]
pub struct Range {
    pub hours: Hours,
    pub price: Option<i64>,
    pub floor: Option<i64>,
}

#[derive(Clone, Debug)]
pub enum Price {
    Fixed(i64),
    /// Highest bid taken, and seconds that a bid lives which names none.
    Bids(i64, u64),
    Table(Table),
}

/// What bids without being asked: the first row that holds, else the base.
#[derive(Clone, Debug)]
pub struct Table {
    pub base: Option<i64>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub when: Vec<Filter>,
    /// 0 is no bid.
    pub bid: i64,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub id: String,
    pub root: Option<Node>,
}

#[derive(Clone, Debug)]
pub enum Node {
    Target(String),
    Sequential(Vec<Node>),
    Weighted(Vec<(u32, Node)>),
    FirstMatch(Vec<Branch>),
    Auction(Auction),
    /// Who rings at once, and `answer` where it is written.
    Together(Vec<String>, Option<&'static str>),
    RoundRobin(Vec<Node>),
    Group(String),
    Action(Action),
    /// A node other than a target, with what its table says besides.
    Limited(Limits, Box<Node>),
}

/// The end of a way: its key and value.
pub type Action = (&'static str, &'static str);

/// What the plan does at its end, where it has one.
pub const BUSY: Action = ("hangup", "busy");

#[derive(Clone, Debug)]
pub struct Limits {
    pub hours: Option<(Hours, &'static str)>,
    /// Longest that a target below rings, in seconds.
    pub ring: Option<u64>,
}

impl Node {
    /// Whether every call that comes to it ends its way there.
    pub fn ends(&self, groups: &[(String, Node)]) -> bool {
        match self {
            Node::Action(_) => true,
            Node::Target(_) | Node::Auction(_) | Node::Together(..) => false,
            Node::Sequential(nodes) | Node::RoundRobin(nodes) => nodes.iter().any(|node| node.ends(groups)),
            Node::Weighted(nodes) => nodes.iter().any(|node| node.1.ends(groups)),
            Node::FirstMatch(branches) => {
                branches.last().is_some_and(|last| last.when.is_empty())
                    && branches.iter().all(|branch| branch.node.ends(groups))
            }
            Node::Group(id) => group(groups, id).ends(groups),
            Node::Limited(limits, node) => limits.hours.is_none() && node.ends(groups),
        }
    }
}

/// The group of this name.
pub fn group<'g>(groups: &'g [(String, Node)], id: &str) -> &'g Node {
    &groups.iter().find(|group| group.0 == id).expect("a group").1
}

#[derive(Clone, Debug)]
pub struct Branch {
    pub when: Vec<Filter>,
    pub node: Node,
}

#[derive(Clone, Debug)]
pub struct Auction {
    pub members: Vec<String>,
    pub floor: i64,
    pub takeover: Option<i64>,
    pub timeout_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: String,
    /// The plan of all times for which none is scheduled.
    pub plan: String,
    pub scheduled: Vec<(Hours, String)>,
    pub zone: &'static str,
    pub hours: Option<Hours>,
    pub paused: bool,
    pub deadline_ms: u64,
    pub early_close: bool,
    pub floor: i64,
    pub floors: Vec<FloorRow>,
    /// The winner of an auction pays what its bid needs.
    pub is_second: bool,
    /// Caller lists.
    pub blocked: Vec<String>,
    pub payout: Payout,
    /// `None` allows a loss.
    pub min_margin: Option<Margin>,
}

/// A floor for some calls.
#[derive(Clone, Debug)]
pub struct FloorRow {
    pub when: Vec<Filter>,
    pub floor: i64,
}

/// What must be left of a price after the payout.
#[derive(Clone, Copy, Debug)]
pub struct Margin {
    pub amount: i64,
    /// Hundredths of a per cent of the price.
    pub part: u32,
}

#[derive(Clone, Debug)]
pub enum Payout {
    Fixed(i64),
    /// Hundredths of a per cent.
    Share(u32),
}

#[derive(Clone, Debug)]
pub struct Publisher {
    pub id: String,
    pub zone: &'static str,
    pub hours: Option<Hours>,
    pub floor: i64,
    /// By campaign.
    pub floors: Vec<(String, i64)>,
    /// Caller lists.
    pub blocked: Vec<String>,
    pub payouts: Vec<(String, Payout)>,
}

#[derive(Clone, Debug)]
pub struct Number {
    pub number: String,
    pub campaign: String,
    pub publisher: String,
    pub sub_id: Option<String>,
    pub tags: Vec<(String, Value)>,
}

/// A tag's value as it is written in TOML and in JSON.
#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Number(String),
    Flag(bool),
}

pub type Hours = Vec<Line>;

/// One line of opening hours.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Monday first.
    Weekly([bool; 7], Span),
    /// First and last day since 1970; no span is closed.
    Dated(i64, i64, Option<Span>),
}

/// Minutes of the day; an end that is not after the start lies on the next day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub start: u16,
    pub end: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    State(Vec<&'static str>),
    Country(Vec<&'static str>),
    AreaCode(Vec<u16>),
    Zip(Vec<String>),
    Near(String, u32),
    Publisher(Vec<String>),
    Campaign(Vec<String>),
    SubId(Vec<String>),
    Number(Vec<String>),
    Hours(Hours, Option<&'static str>),
    Stir(Vec<&'static str>),
    Verified(Vec<&'static str>),
    Anonymous(bool),
    Tag(String, Test),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Is(String),
    IsNot(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Below(String),
    Above(String),
    Between(String, String),
    Exists(bool),
    Matches(Pattern),
    Prefix(String),
}

/// Expressions whose meaning a few lines can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    Contains(String),
    Begins(String),
    Ends(String),
    Whole(Vec<String>),
    Digit,
}

/// A call, and what would be answered to its pings.
#[derive(Clone, Debug)]
pub struct Call {
    /// Seconds since 1970.
    pub at: i64,
    pub to: String,
    /// What is sent as the caller's number; `None` withholds it.
    pub from: Option<String>,
    pub zip: Option<String>,
    pub state: Option<String>,
    pub stir: Option<String>,
    pub verified: Option<&'static str>,
    pub sub_id: Option<String>,
    pub tags: Vec<(String, Value)>,
    pub seed: u64,
    /// How many calls came to the first round robin before; more came to those behind it.
    pub turn: u64,
    /// The caller lists that the caller is on.
    pub lists: Vec<String>,
    /// Attempts that came to nothing before.
    pub earlier: u32,
    /// By target; who is not in it never answers.
    pub replies: BTreeMap<String, Reply>,
    /// Targets whose capacity is gone when it is to be held.
    pub full: BTreeSet<String>,
}

/// What a buyer answers, and when: milliseconds after the call came.
#[derive(Clone, Debug)]
pub struct Reply {
    pub ms: u64,
    /// The amount as it is written, and the seconds it lives; `None` is no bid.
    pub bid: Option<(String, Option<u64>)>,
}

pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Year, month and day of a day since 1970, counted year by year.
pub fn date(mut day: i64) -> (i64, i64, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while day >= 365 + i64::from(is_leap(year)) {
        day -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    loop {
        let length = match month {
            2 => 28 + i64::from(is_leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day < length {
            return (year, month, day + 1);
        }
        day -= length;
        month += 1;
    }
}

/// `2026-11-20`.
pub fn iso(day: i64) -> String {
    let (year, month, day) = date(day);
    format!("{year}-{month:02}-{day:02}")
}

/// The time in RFC 3339.
pub fn rfc3339(at: i64) -> String {
    let second = at.rem_euclid(86_400);
    format!(
        "{}T{:02}:{:02}:{:02}Z",
        iso(at.div_euclid(86_400)),
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A key that names caller lists, if it names any.
fn callers(key: &str, lists: &[String]) -> String {
    if lists.is_empty() { String::new() } else { format!("{key} = {}\n", list(lists, |id| quoted(id))) }
}

fn list<T>(items: &[T], one: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(one).collect::<Vec<_>>().join(", "))
}

pub fn money(micros: i64) -> String {
    let cents = micros / CENT;
    format!("\"{}.{:02}\"", cents / 100, cents % 100)
}

fn percent(bps: u32) -> String {
    format!("\"{}.{:02}%\"", bps / 100, bps % 100)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = match self {
            Line::Weekly(days, span) => {
                let set: Vec<usize> = (0..7).filter(|day| days[*day]).collect();
                let run = set.windows(2).all(|pair| pair[1] == pair[0] + 1);
                match (set.len(), run) {
                    (7, _) => f.write_str("daily")?,
                    (2.., true) => write!(f, "{}-{}", DAYS[set[0]], DAYS[set[set.len() - 1]])?,
                    _ => f.write_str(&set.iter().map(|day| DAYS[*day]).collect::<Vec<_>>().join(","))?,
                }
                Some(span)
            }
            Line::Dated(first, last, span) if first == last => {
                f.write_str(&iso(*first))?;
                span.as_ref()
            }
            Line::Dated(first, last, span) => {
                write!(f, "{}/{}", iso(*first), iso(*last))?;
                span.as_ref()
            }
        };
        match span {
            Some(Span { start, end }) => {
                write!(f, " {:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
            }
            None => f.write_str(" closed"),
        }
    }
}

fn hours(lines: &Hours) -> String {
    list(lines, |line| quoted(&line.to_string()))
}

impl Pattern {
    fn text(&self) -> String {
        match self {
            Pattern::Contains(text) => text.clone(),
            Pattern::Begins(text) => format!("^{text}"),
            Pattern::Ends(text) => format!("{text}$"),
            Pattern::Whole(texts) => format!("^({})$", texts.join("|")),
            Pattern::Digit => "[0-9]".to_owned(),
        }
    }
}

/// A number as TOML has them, or in quotes: both are allowed, so both are written.
fn number(text: &str) -> String {
    let is_plain = text.parse::<i32>().is_ok();
    if is_plain || text.contains('.') && !text.ends_with('5') { text.to_owned() } else { quoted(text) }
}

impl Filter {
    /// What it asks for side by side, at whatever depth.
    pub fn all_of(&self) -> Vec<&Filter> {
        match self {
            Filter::All(parts) => parts.iter().flat_map(Filter::all_of).collect(),
            one => vec![one],
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = |texts: &[String]| list(texts, |text| quoted(text));
        let words = |words: &[&'static str]| list(words, |word| quoted(word));
        let group = |parts: &[Filter]| list(parts, |part| part.to_string());
        match self {
            Filter::All(parts) => write!(f, "{{ all = {} }}", group(parts)),
            Filter::Any(parts) => write!(f, "{{ any = {} }}", group(parts)),
            Filter::Not(part) => write!(f, "{{ not = {part} }}"),
            Filter::State(states) => write!(f, "{{ state = {} }}", words(states)),
            Filter::Country(countries) => write!(f, "{{ country = {} }}", words(countries)),
            Filter::AreaCode(codes) => write!(f, "{{ area_code = {} }}", list(codes, u16::to_string)),
            Filter::Zip(zips) => write!(f, "{{ zip = {} }}", texts(zips)),
            Filter::Near(zip, miles) => write!(f, "{{ near = {}, miles = {miles} }}", quoted(zip)),
            Filter::Publisher(ids) => write!(f, "{{ publisher = {} }}", texts(ids)),
            Filter::Campaign(ids) => write!(f, "{{ campaign = {} }}", texts(ids)),
            Filter::SubId(labels) => write!(f, "{{ sub_id = {} }}", texts(labels)),
            Filter::Number(numbers) => write!(f, "{{ number = {} }}", texts(numbers)),
            Filter::Hours(lines, None) => write!(f, "{{ hours = {} }}", hours(lines)),
            Filter::Hours(lines, Some(zone)) => {
                write!(f, "{{ hours = {}, zone = {} }}", hours(lines), quoted(zone))
            }
            Filter::Stir(levels) => write!(f, "{{ stir = {} }}", words(levels)),
            Filter::Verified(states) => write!(f, "{{ stir_verified = {} }}", words(states)),
            Filter::Anonymous(wanted) => write!(f, "{{ anonymous = {wanted} }}"),
            Filter::Tag(key, test) => {
                let (op, value) = match test {
                    Test::Is(value) => ("=", quoted(value)),
                    Test::IsNot(value) => ("!=", quoted(value)),
                    Test::In(values) => ("in", texts(values)),
                    Test::NotIn(values) => ("not_in", texts(values)),
                    Test::Below(limit) => ("<", number(limit)),
                    Test::Above(limit) => (">", number(limit)),
                    Test::Between(low, high) => ("between", format!("[{}, {}]", number(low), number(high))),
                    Test::Exists(wanted) => ("exists", wanted.to_string()),
                    Test::Matches(pattern) => ("matches", quoted(&pattern.text())),
                    Test::Prefix(text) => ("prefix", quoted(text)),
                };
                write!(f, "{{ tag = {}, op = {}, value = {value} }}", quoted(key), quoted(op))
            }
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Target(id) => f.write_str(&quoted(id)),
            Node::Sequential(nodes) => {
                write!(f, "{{ sequential = {} }}", list(nodes, |node| node.to_string()))
            }
            Node::Weighted(nodes) => {
                let one = |(weight, node): &(u32, Node)| format!("{{ weight = {weight}, node = {node} }}");
                write!(f, "{{ weighted = {} }}", list(nodes, one))
            }
            Node::FirstMatch(branches) => {
                let one = |branch: &Branch| match branch.when.is_empty() {
                    true => format!("{{ node = {} }}", branch.node),
                    false => {
                        let when = list(&branch.when, |filter| filter.to_string());
                        format!("{{ when = {when}, node = {} }}", branch.node)
                    }
                };
                write!(f, "{{ first_match = {} }}", list(branches, one))
            }
            Node::Auction(auction) => {
                write!(f, "{{ auction = {}", list(&auction.members, |id| quoted(id)))?;
                if auction.floor > 0 {
                    write!(f, ", floor = {}", money(auction.floor))?;
                }
                if let Some(takeover) = auction.takeover {
                    write!(f, ", takeover = {}", money(takeover))?;
                }
                if let Some(timeout_ms) = auction.timeout_ms {
                    write!(f, ", timeout_ms = {timeout_ms}")?;
                }
                f.write_str(" }")
            }
            Node::Together(ids, answer) => {
                let answer = answer.map_or(String::new(), |answer| format!(", answer = {}", quoted(answer)));
                write!(f, "{{ simultaneous = {}{answer} }}", list(ids, |id| quoted(id)))
            }
            Node::RoundRobin(nodes) => {
                write!(f, "{{ round_robin = {} }}", list(nodes, |node| node.to_string()))
            }
            Node::Group(id) => write!(f, "{{ group = {} }}", quoted(id)),
            Node::Action((key, value)) => write!(f, "{{ {key} = {} }}", quoted(value)),
            Node::Limited(limits, node) => {
                let node = node.to_string();
                f.write_str(node.strip_suffix(" }").unwrap_or(&node))?;
                if let Some(ring) = limits.ring {
                    write!(f, ", ring_s = {ring}")?;
                }
                if let Some((lines, zone)) = &limits.hours {
                    write!(f, ", hours = {}, zone = {}", hours(lines), quoted(zone))?;
                }
                f.write_str(" }")
            }
        }
    }
}

impl fmt::Display for Payout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payout::Fixed(amount) => write!(f, "{{ fixed = {} }}", money(*amount)),
            Payout::Share(bps) => write!(f, "{{ share = {} }}", percent(*bps)),
        }
    }
}

fn tags(tags: &[(String, Value)], between: &str) -> String {
    let one = |(key, value): &(String, Value)| {
        let value = match value {
            Value::Text(text) => quoted(text),
            Value::Number(text) => text.clone(),
            Value::Flag(flag) => flag.to_string(),
        };
        format!("{}{between}{value}", quoted(key))
    };
    format!("{{{}}}", tags.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// The catalog's text.
impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "default_plan = {}", quoted(&self.default_plan))?;
        writeln!(f, "[carrier.sw]\nkey_digest = \"sha256:{}\"\nceiling_ms = 5000", "0".repeat(64))?;
        for id in &self.caller_lists {
            writeln!(f, "[caller_list.{id}]")?;
        }
        for buyer in &self.buyers {
            writeln!(f, "[buyer.{}]\nname = \"b\"\nzone = {}", buyer.id, quoted(buyer.zone))?;
            f.write_str(&callers("suppressed_callers", &buyer.suppressed))?;
            if buyer.paused {
                writeln!(f, "paused = true")?;
            }
            if let Some(lines) = &buyer.hours {
                writeln!(f, "hours = {}", hours(lines))?;
            }
        }
        for (at, target) in self.targets.iter().enumerate() {
            target.write(f, at)?;
        }
        for (id, node) in &self.groups {
            writeln!(f, "[group.{id}]\nnode = {node}")?;
        }
        for plan in &self.plans {
            writeln!(f, "[plan.{}]", plan.id)?;
            if let Some(root) = &plan.root {
                writeln!(f, "root = {root}")?;
            }
            // One that no call could come to is an error.
            if !plan.root.as_ref().is_some_and(|root| root.ends(&self.groups)) {
                writeln!(f, "terminal = {}", Node::Action(BUSY))?;
            }
        }
        for campaign in &self.campaigns {
            campaign.write(f)?;
        }
        for publisher in &self.publishers {
            writeln!(f, "[publisher.{}]\nname = \"p\"\nzone = {}", publisher.id, quoted(publisher.zone))?;
            if let Some(lines) = &publisher.hours {
                writeln!(f, "hours = {}", hours(lines))?;
            }
            let floors: Vec<String> = publisher
                .floors
                .iter()
                .map(|(campaign, floor)| format!("{campaign} = {}", money(*floor)))
                .collect();
            writeln!(f, "floor = {}\nfloors = {{ {} }}", money(publisher.floor), floors.join(", "))?;
            f.write_str(&callers("blocked_callers", &publisher.blocked))?;
            let own: Vec<String> =
                publisher.payouts.iter().map(|(campaign, payout)| format!("{campaign} = {payout}")).collect();
            writeln!(f, "payouts = {{ {} }}", own.join(", "))?;
        }
        for number in &self.numbers {
            writeln!(f, "[[number]]\nnumber = {}", quoted(&number.number))?;
            writeln!(
                f,
                "campaign = {}\npublisher = {}",
                quoted(&number.campaign),
                quoted(&number.publisher)
            )?;
            if let Some(sub_id) = &number.sub_id {
                writeln!(f, "sub_id = {}", quoted(sub_id))?;
            }
            writeln!(f, "tags = {}", tags(&number.tags, " = "))?;
        }
        Ok(())
    }
}

impl Target {
    fn write(&self, f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
        writeln!(
            f,
            "[target.{}]\nbuyer = {}\naddress = \"+1512555{:04}\"",
            self.id,
            quoted(&self.buyer),
            1_000 + at
        )?;
        match &self.price {
            Price::Fixed(price) => writeln!(f, "price = {}", money(*price))?,
            Price::Table(table) => {
                let base = table.base.map_or(String::new(), |base| format!("base = {}, ", money(base)));
                let row = |row: &Row| match row.when.is_empty() {
                    true => format!("  {{ bid = {} }},\n", money(row.bid)),
                    false => {
                        let when = list(&row.when, |filter| filter.to_string());
                        format!("  {{ when = {when}, bid = {} }},\n", money(row.bid))
                    }
                };
                let rows: String = table.rows.iter().map(row).collect();
                writeln!(f, "bids = {{ {base}rows = [\n{rows}] }}")?;
            }
            Price::Bids(most, life) => writeln!(
                f,
                "endpoint = {{ url = \"https://bid.example/{}\", max_bid = {}, bid_ttl_s = {life} }}",
                self.id,
                money(*most)
            )?,
        }
        f.write_str(&callers("suppressed_callers", &self.suppressed))?;
        if let Some(most) = self.earlier_attempts {
            writeln!(f, "earlier_attempts = {most}")?;
        }
        if !self.ranges.is_empty() {
            let range = |range: &Range| {
                let price = range.price.map_or(String::new(), |price| format!(", price = {}", money(price)));
                let floor = range.floor.map_or(String::new(), |floor| format!(", floor = {}", money(floor)));
                format!("{{ hours = {}{price}{floor} }}", hours(&range.hours))
            };
            writeln!(f, "ranges = {}", list(&self.ranges, range))?;
        }
        if self.paused {
            writeln!(f, "paused = true")?;
        }
        if let Some(lines) = &self.hours {
            writeln!(f, "hours = {}", hours(lines))?;
        }
        if !self.filters.is_empty() {
            writeln!(f, "filters = {}", list(&self.filters, |filter| filter.to_string()))?;
        }
        writeln!(
            f,
            "floor = {}\ntier = {}\npriority = {}\nweight = {}\nmultiplier = {}",
            money(self.floor),
            self.tier,
            self.priority,
            self.weight,
            percent(self.multiplier)
        )
    }
}

impl Campaign {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "[campaign.{}]\nvertical = \"v\"\npaused = {}\ndeadline_ms = {}\nearly_close = {}\nfloor = {}",
            self.id,
            self.paused,
            self.deadline_ms,
            self.early_close,
            money(self.floor)
        )?;
        if self.scheduled.is_empty() {
            writeln!(f, "plan = {}", quoted(&self.plan))?;
        } else {
            let one = |(lines, plan): &(Hours, String)| {
                format!("  {{ plan = {}, hours = {} }},\n", quoted(plan), hours(lines))
            };
            let scheduled: String = self.scheduled.iter().map(one).collect();
            writeln!(f, "plans = [\n{scheduled}  {{ plan = {} }},\n]", quoted(&self.plan))?;
        }
        if self.hours.is_some() || !self.scheduled.is_empty() {
            writeln!(f, "zone = {}", quoted(self.zone))?;
        }
        if let Some(lines) = &self.hours {
            writeln!(f, "hours = {}", hours(lines))?;
        }
        if !self.floors.is_empty() {
            let one = |row: &FloorRow| {
                let when = list(&row.when, |filter| filter.to_string());
                format!("  {{ when = {when}, floor = {} }},\n", money(row.floor))
            };
            writeln!(f, "floors = [\n{}]", self.floors.iter().map(one).collect::<String>())?;
        }
        f.write_str(&callers("blocked_callers", &self.blocked))?;
        if self.is_second {
            writeln!(f, "pricing = \"second\"")?;
        }
        writeln!(f, "payout = {}", self.payout)?;
        match self.min_margin {
            Some(Margin { amount: 0, part: 0 }) => Ok(()),
            Some(Margin { amount, part: 0 }) => writeln!(f, "min_margin = {}", money(amount)),
            Some(Margin { amount: 0, part }) => writeln!(f, "min_margin = {}", percent(part)),
            Some(Margin { amount, part }) => {
                writeln!(f, "min_margin = {{ amount = {}, percent = {} }}", money(amount), percent(part))
            }
            None => writeln!(f, "negative_margin = \"allow_and_flag\""),
        }
    }
}

impl Call {
    /// How many calls came before to this round robin of a plan.
    pub fn turn_of(&self, number: usize) -> u64 {
        self.turn + number as u64 * 5
    }

    /// The request that the carrier sends.
    pub fn json(&self) -> String {
        let mut text = format!("{{\"carrier_call_id\":\"CA\",\"to\":{}", quoted(&self.to));
        let _ = match &self.from {
            Some(from) => write!(text, ",\"from\":{}", quoted(from)),
            None => write!(text, ",\"withheld\":true"),
        };
        let mut geo = Vec::new();
        geo.extend(self.zip.iter().map(|zip| format!("\"zip\":{}", quoted(zip))));
        geo.extend(self.state.iter().map(|state| format!("\"state\":{}", quoted(state))));
        if !geo.is_empty() {
            let _ = write!(text, ",\"geo\":{{{}}}", geo.join(","));
        }
        let mut stir = Vec::new();
        stir.extend(self.stir.iter().map(|letter| format!("\"attest\":{}", quoted(letter))));
        stir.extend(self.verified.iter().map(|verified| format!("\"verified\":{}", quoted(verified))));
        if !stir.is_empty() {
            let _ = write!(text, ",\"stir\":{{{}}}", stir.join(","));
        }
        if let Some(sub_id) = &self.sub_id {
            let _ = write!(text, ",\"sub_id\":{}", quoted(sub_id));
        }
        let _ = write!(text, ",\"tags\":{}}}", tags(&self.tags, ":"));
        text
    }
}

/// What a person needs to see of it.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, json) = (rfc3339(self.at), self.json());
        writeln!(f, "at {at} with seed {} and turn {}: {json}", self.seed, self.turn)?;
        for (target, reply) in &self.replies {
            match &reply.bid {
                Some((amount, life)) => {
                    writeln!(f, "  {target} bids {amount} after {} ms for {life:?} s", reply.ms)?;
                }
                None => writeln!(f, "  {target} does not bid, after {} ms", reply.ms)?,
            }
        }
        writeln!(f, "  full: {:?}, on lists: {:?}, attempts before: {}", self.full, self.lists, self.earlier)
    }
}
