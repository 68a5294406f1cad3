//! What differs between two catalogs, in lines an operator reads in a log.
//!
//! Compares what the catalogs mean, not their text. No line holds a secret, a key digest or a whole number other than
//! a tracking number: those are ours.

use std::fmt::{self, Display};

use crate::domain::Filter;
use crate::domain::bid_table::BidTable;
use crate::domain::caller::Address;
use crate::domain::catalog::{DestinationRule, Disclosure, Limits, Pricing};
use crate::domain::plan::{Branch, Scope};
use crate::domain::time_range::TimeRange;
use crate::domain::{
    Buyer, CallerList, CallerListIx, Campaign, Carrier, Catalog, E164, FloorRow, Hours, Margin, Money, Node,
    Payout, Plan, Publisher, Target, Terminal, TrackingNumber,
};

/// Most lines of a difference; the rest is counted.
pub const DIFF_LINES_MAX: usize = 500;
/// Longest value shown, in characters.
const SHOWN_MAX: usize = 80;

/// One line for each thing added, removed or changed, such as `target acme-phone: price 25.00 → 27.50`.
pub fn diff(old: &Catalog, new: &Catalog) -> Vec<String> {
    let mut lines = Vec::new();
    let default = |catalog: &Catalog| fact("default", &catalog.plan(catalog.default_plan).id);
    lines.extend(changed("plan", &default(old), &default(new)));
    let both = Both { old, new };
    both.compare(&mut lines, "carrier", |c| &c.carriers, |x| x.id.clone(), |_, x| carrier(x));
    both.compare(&mut lines, "campaign", |c| &c.campaigns, |x| x.id.clone(), campaign);
    both.compare(&mut lines, "publisher", |c| &c.publishers, |x| x.id.clone(), publisher);
    both.compare(&mut lines, "buyer", |c| &c.buyers, |x| x.id.clone(), buyer);
    both.compare(&mut lines, "target", |c| &c.targets, |x| x.id.clone(), target);
    both.compare(&mut lines, "plan", |c| &c.plans, |x| x.id.clone(), plan);
    both.compare(&mut lines, "caller_list", |c| &c.caller_lists, |x| x.id.clone(), |_, x| caller_list(x));
    both.compare(&mut lines, "number", |c| &c.numbers, |x| Ours(x.number), number);
    if lines.len() > DIFF_LINES_MAX {
        let more = lines.len() - DIFF_LINES_MAX;
        lines.truncate(DIFF_LINES_MAX);
        lines.push(format!("… and {more} more changes"));
    }
    lines
}

/// A tracking number, shown whole: it is ours.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ours(E164);

impl Display for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reveal())
    }
}

/// One value of an entry: as it is shown, and as it is compared.
struct Fact {
    name: &'static str,
    shown: String,
    exact: String,
}

fn fact(name: &'static str, value: &impl Display) -> Fact {
    let exact = value.to_string();
    Fact { name, shown: short(&exact), exact }
}

/// A value whose digits are not shown whole.
fn masked(name: &'static str, shown: String, exact: String) -> Fact {
    Fact { name, shown: short(&shown), exact }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Two catalogs.
struct Both<'a> {
    old: &'a Catalog,
    new: &'a Catalog,
}

impl<'a> Both<'a> {
    /// The lines of one kind of entries, which every catalog has sorted by `key`. The facts of one entry at a time: those of
    /// all entries are many times the catalog.
    fn compare<T: 'a, K: Ord + Display>(
        &self,
        lines: &mut Vec<String>,
        kind: &str,
        entries: impl Fn(&'a Catalog) -> &'a Vec<T>,
        key: impl Fn(&T) -> K,
        facts: impl Fn(&Catalog, &T) -> Vec<Fact>,
    ) {
        let (old, new) = (entries(self.old), entries(self.new));
        for entry in new {
            let name = format!("{kind} {}", key(entry));
            match old.binary_search_by_key(&key(entry), &key) {
                Err(_) => lines.push(format!("{name}: added")),
                Ok(at) => {
                    let (old, new) = (facts(self.old, &old[at]), facts(self.new, entry));
                    lines.extend(old.iter().zip(&new).filter_map(|(old, new)| changed(&name, old, new)));
                }
            }
        }
        let gone = old.iter().map(&key).filter(|id| new.binary_search_by_key(id, &key).is_err());
        lines.extend(gone.map(|id| format!("{kind} {id}: removed")));
    }
}

fn changed(name: &str, old: &Fact, new: &Fact) -> Option<String> {
    if old.exact == new.exact {
        return None;
    }
    Some(match (old.name, new.exact.as_str()) {
        ("paused", "true") => format!("{name}: paused"),
        ("paused", _) => format!("{name}: resumed"),
        (fact, _) if old.shown == new.shown => format!("{name}: {fact} changed"),
        (fact, _) => format!("{name}: {fact} {} → {}", old.shown, new.shown),
    })
}

fn carrier(carrier: &Carrier) -> Vec<Fact> {
    let secrets: Vec<&[u8]> = carrier.secrets.iter().map(|secret| secret.0.as_slice()).collect();
    vec![
        masked("dialect", format!("{:?}", carrier.dialect).to_lowercase(), format!("{:?}", carrier.dialect)),
        masked("key_digest", set(carrier.key_digest.is_some()), format!("{:?}", carrier.key_digest)),
        fact("public_url", &carrier.public_url.as_deref().unwrap_or("none")),
        masked("secrets", format!("{} set", carrier.secrets.len()), format!("{secrets:?}")),
        fact("ceiling_ms", &carrier.ceiling.as_millis()),
    ]
}

fn campaign(catalog: &Catalog, campaign: &Campaign) -> Vec<Fact> {
    let margin = if campaign.min_margin.is_some() { "refuse" } else { "allow_and_flag" };
    vec![
        fact("vertical", &campaign.vertical),
        fact("plan", &plans(catalog, campaign)),
        fact("paused", &campaign.paused),
        fact("deadline_ms", &campaign.deadline.as_millis()),
        fact("early_close", &campaign.early_close),
        fact("floor", &campaign.floor),
        fact("negative_margin", &margin),
        fact("min_margin", &campaign.min_margin.unwrap_or(Margin::of(Money::ZERO))),
        fact("payout", &payout(&campaign.payout)),
        fact("ping_tags", &list(&campaign.ping_tags)),
        fact("recovery_s", &campaign.recovery.as_secs()),
        fact("attempts", &campaign.attempts),
        fact("ring_budget_s", &campaign.ring_budget.as_secs()),
        fact("zone", &campaign.zone),
        hours(campaign.hours.as_ref()),
        fact("pricing", &campaign.price.as_str()),
        fact("floors", &list(&campaign.floors.iter().map(FloorRow::to_string).collect::<Vec<_>>())),
        fact("after_failure", &campaign.after_failure.as_str()),
        callers("blocked_callers", catalog, &campaign.blocked_callers),
    ]
}

/// `day mon-fri 09:00-17:00, else night`.
fn plans(catalog: &Catalog, campaign: &Campaign) -> String {
    let id = |ix| &catalog.plan(ix).id;
    let scheduled = campaign.scheduled.iter().map(|(hours, plan)| format!("{} {hours}, else ", id(*plan)));
    format!("{}{}", scheduled.collect::<String>(), id(campaign.plan))
}

fn payout(payout: &Payout) -> String {
    match payout {
        Payout::Fixed(amount) => amount.to_string(),
        Payout::Share(part) => percent(part.0),
    }
}

fn publisher(catalog: &Catalog, publisher: &Publisher) -> Vec<Fact> {
    let own =
        publisher.payouts.iter().map(|(at, own)| format!("{} {}", catalog.campaign(*at).id, payout(own)));
    let floors = publisher.floors.iter().map(|(at, floor)| format!("{} {floor}", catalog.campaign(*at).id));
    vec![
        fact("name", &publisher.name),
        fact("zone", &publisher.zone),
        hours(publisher.hours.as_ref()),
        fact("payouts", &list(&own.collect::<Vec<_>>())),
        fact("floor", &publisher.floor),
        fact("floors", &list(&floors.collect::<Vec<_>>())),
        callers("blocked_callers", catalog, &publisher.blocked_callers),
    ]
}

/// Names of caller lists.
fn callers(name: &'static str, catalog: &Catalog, lists: &[CallerListIx]) -> Fact {
    fact(name, &list(&lists.iter().map(|at| catalog.caller_list(*at).id.to_string()).collect::<Vec<_>>()))
}

fn caller_list(list: &CallerList) -> Vec<Fact> {
    vec![fact("note", &list.note)]
}

fn buyer(catalog: &Catalog, buyer: &Buyer) -> Vec<Fact> {
    let disclosure = match buyer.disclosure {
        Disclosure::Token => "token",
        Disclosure::None => "none",
        Disclosure::Full => "full",
    };
    let [concurrency, daily] = limits(&buyer.limits);
    vec![
        fact("name", &buyer.name),
        fact("zone", &buyer.zone),
        fact("paused", &buyer.paused),
        hours(buyer.hours.as_ref()),
        concurrency,
        daily,
        ranges(&buyer.ranges),
        fact("disclosure", &disclosure),
        fact("personal_tags", &list(&buyer.personal_tags)),
        fact("show_floor", &buyer.show_floor),
        masked("key_digest", set(buyer.key_digest.is_some()), format!("{:?}", buyer.key_digest)),
        fact("hand_back_s", &buyer.hand_back.as_secs()),
        callers("suppressed_callers", catalog, &buyer.suppressed_callers),
    ]
}

fn limits(limits: &Limits) -> [Fact; 2] {
    let text = |limit: Option<u32>| limit.map_or("none".to_owned(), |limit| limit.to_string());
    [fact("concurrency", &text(limits.concurrency)), fact("daily_billable", &text(limits.daily_billable))]
}

fn hours(hours: Option<&Hours>) -> Fact {
    fact("hours", &hours.map_or("always".to_owned(), ToString::to_string))
}

fn target(catalog: &Catalog, target: &Target) -> Vec<Fact> {
    let [concurrency, daily] = limits(&target.limits);
    let mut facts = vec![
        fact("buyer", &catalog.buyer(target.buyer).id),
        address("address", &target.address),
        fact("paused", &target.paused),
        fact("filters", &list(&target.filters.iter().map(Filter::to_string).collect::<Vec<_>>())),
        hours(target.hours.as_ref()),
        concurrency,
        daily,
        ranges(&target.ranges),
        fact("floor", &target.floor),
        fact("tier", &target.tier),
        fact("priority", &target.priority),
        fact("weight", &target.weight),
        fact("multiplier", &percent(target.multiplier.0)),
        fact("min_duration_s", &target.min_duration.as_secs()),
        fact("ring_s", &target.ring.as_secs()),
        fact("max_talk_s", &target.max_talk.as_secs()),
        fact("earlier_attempts", &target.earlier_attempts.map_or("any".to_owned(), |most| most.to_string())),
        callers("suppressed_callers", catalog, &target.suppressed_callers),
    ];
    facts.extend(pricing(&target.pricing));
    facts
}

fn ranges(ranges: &[TimeRange]) -> Fact {
    let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    fact("ranges", &if ranges.is_empty() { "none".to_owned() } else { ranges.join("; ") })
}

/// A table as it is shown, and all of it as it is compared.
fn bids(table: &BidTable) -> Fact {
    let base = table.base.map_or("none".to_owned(), |base| base.to_string());
    let rows: Vec<String> = table.rows.iter().map(ToString::to_string).collect();
    let shown = format!("{}, base {base}", table.size());
    let exact = format!("{base} {:?}\n{}", table.csv, rows.join("\n"));
    masked("bids", shown, exact)
}

/// Price, endpoint and table first, whichever of them it is: where that changes, what belongs to an endpoint goes unsaid.
fn pricing(pricing: &Pricing) -> Vec<Fact> {
    let endpoint = match pricing {
        Pricing::Fixed(price) => {
            return vec![fact("price", price), fact("endpoint", &"none"), fact("bids", &"none")];
        }
        Pricing::Table(table) => return vec![fact("price", &"none"), fact("endpoint", &"none"), bids(table)],
        Pricing::Endpoint(endpoint) => endpoint,
    };
    let scheme = if endpoint.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}:{}{}", endpoint.host, endpoint.port, endpoint.path);
    // A query may hold a key.
    let shown = url.split('?').next().unwrap_or("").to_owned();
    let secret = endpoint.secret.as_ref().map(|secret| &secret.0);
    vec![
        fact("price", &"none"),
        masked("endpoint", shown, url),
        fact("bids", &"none"),
        masked("secret", set(secret.is_some()), format!("{secret:?}")),
        fact("ca_file", &endpoint.ca_file.as_deref().unwrap_or("none")),
        fact("max_bid", &endpoint.max_bid),
        fact("bid_ttl_s", &endpoint.bid_ttl.as_secs()),
        fact("max_min_duration_s", &endpoint.max_min_duration.as_secs()),
        destinations(&endpoint.destinations),
    ]
}

fn destinations(rules: &[DestinationRule]) -> Fact {
    let shown = rules.iter().map(|rule| match rule {
        DestinationRule::Number(number) => number.to_string(),
        DestinationRule::Prefix(prefix) => format!("{prefix}*"),
        DestinationRule::SipHost(host) => format!("sip:{host}"),
    });
    let exact = rules.iter().map(|rule| match rule {
        DestinationRule::Number(number) => number.reveal(),
        DestinationRule::Prefix(text) | DestinationRule::SipHost(text) => text.clone(),
    });
    masked("destinations", list(&shown.collect::<Vec<_>>()), list(&exact.collect::<Vec<_>>()))
}

fn address(name: &'static str, address: &Address) -> Fact {
    masked(name, address.to_string(), address.reveal())
}

fn plan(catalog: &Catalog, plan: &Plan) -> Vec<Fact> {
    let root = |whole| node(catalog, &plan.root, whole);
    let end = |whole| if plan.root.ends() { "none".to_owned() } else { action(&plan.terminal, whole) };
    vec![masked("root", root(false), root(true)), masked("terminal", end(false), end(true))]
}

/// What a terminal action does, with its number whole or not.
fn action(terminal: &Terminal, whole: bool) -> String {
    match terminal {
        Terminal::Dial(to) if whole => format!("dial {}", to.reveal()),
        Terminal::Dial(to) => format!("dial {to}"),
        Terminal::Voicemail(text) => format!("voicemail {text:?}"),
        Terminal::Message(text) => format!("message {text:?}"),
        Terminal::Hangup(cause) => format!("hangup {}", cause.as_str()),
    }
}

/// What holds for a node and all below it.
fn held_to(scope: &Scope) -> String {
    let group = scope.group.as_ref().map(|group| format!("group {group}"));
    let ring = scope.ring.map(|ring| format!("ring_s {}", ring.as_secs()));
    let hours = scope.hours.as_ref().map(|(hours, zone)| format!("hours {hours} in {zone}"));
    [group, ring, hours].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn node(catalog: &Catalog, tree: &Node, whole: bool) -> String {
    let node = |child: &Node| node(catalog, child, whole);
    match tree {
        Node::Sequential(children) => {
            let children: Vec<_> = children.iter().map(node).collect();
            format!("sequential({})", children.join(", "))
        }
        Node::Weighted(children) => {
            let children: Vec<_> =
                children.iter().map(|(w, child)| format!("{w}: {}", node(child))).collect();
            format!("weighted({})", children.join(", "))
        }
        Node::Auction(auction) => {
            let members: Vec<_> = auction.members.iter().map(|m| catalog.target(*m).id.to_string()).collect();
            let takeover = auction.takeover.map_or(String::new(), |takeover| format!(" takeover {takeover}"));
            let timeout = auction
                .timeout
                .map_or(String::new(), |timeout| format!(" timeout_ms {}", timeout.as_millis()));
            format!("auction(floor {}{takeover}{timeout}: {})", auction.floor, members.join(", "))
        }
        Node::FirstMatch(branches) => {
            let branches: Vec<_> =
                branches.iter().map(|branch| format!("{}: {}", asked(branch), node(&branch.node))).collect();
            format!("first_match({})", branches.join(", "))
        }
        Node::Target(target) => catalog.target(*target).id.to_string(),
        Node::RoundRobin(round_robin) => {
            let children: Vec<_> = round_robin.children.iter().map(node).collect();
            format!("round_robin({})", children.join(", "))
        }
        Node::Scope(scope) => format!("{}({})", held_to(scope), node(&scope.node)),
        Node::Terminal(terminal) => action(terminal, whole),
        Node::Simultaneous(together) => {
            let members: Vec<_> =
                together.members.iter().map(|m| catalog.target(*m).id.to_string()).collect();
            let answer = if together.screen { "screen" } else { "first" };
            format!("simultaneous(answer {answer}: {})", members.join(", "))
        }
    }
}

fn asked(branch: &Branch) -> String {
    let when: Vec<_> = branch.when.iter().map(Filter::to_string).collect();
    if when.is_empty() { "otherwise".to_owned() } else { when.join(" and ") }
}

fn number(catalog: &Catalog, number: &TrackingNumber) -> Vec<Fact> {
    let tags: Vec<_> = number.tags.iter().map(|(key, value)| format!("{key}={}", value.as_text())).collect();
    vec![
        fact("campaign", &catalog.campaign(number.campaign).id),
        fact("publisher", &catalog.publisher(number.publisher).id),
        fact("sub_id", &number.sub_id.as_deref().unwrap_or("none")),
        fact("tags", &list(&tags)),
    ]
}

fn set(is_set: bool) -> String {
    if is_set { "set".to_owned() } else { "none".to_owned() }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(" ") }
}

fn percent(points: u32) -> String {
    match points % 100 {
        0 => format!("{}%", points / 100),
        cents => format!("{}.{cents:02}%", points / 100),
    }
}
