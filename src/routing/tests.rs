//! Tables of screening and walks. A case is a catalog of `buyer`, `target` and `plan` rows, clauses split by `, `, and
//! below it one row per call or walk with what comes of it behind `=>`. A row starting with `#` is a comment.
//!
//! ```text
//! buyer  acme, zone America/New_York, hours mon-fri 09:00-17:00; sat 10:00-14:00, paused
//! target day of acme, hours daily 08:00-12:00, states TX CA, not_states NY, case is collision theft, lang is_not es
//! plan   sequential( day weighted( 3 day 1 night ) auction( day night ) )
//! call   2026-03-08T13:00Z, state TX, case collision    => day candidate, night closed in America/New_York
//! walk   7    => dial day, dial night, dial day, auction day night
//! ```
//!
//! A call is screened against every target of the catalog, in the order of the rows. A walk names its seed, and may name
//! the turns of round robins and its time: `walk 7, turns 0 2, at 2026-11-20T14:00Z`. After its steps come, where there is
//! anything to say, targets that ring shorter, who was left out and why, whose turn it was, and what ends it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::filter::Compiled;
use super::ring_tree::{Given, Step, walk};
use super::shared::{Shared, compiled};
use super::{Facts, Truth, Verdict, judge, screen};
use crate::domain::caller::{Address, SetBy, TagValue};
use crate::domain::catalog::{BuyerIx, Disclosure, Limits, PlanIx, Pricing};
use crate::domain::filter::{Filter, TagTest};
use crate::domain::plan::{AuctionNode, Branch, HangupCause, RoundRobin, Scope};
use crate::domain::{
    Bps, Buyer, BuyerId, CallerList, CallerListId, CallerListIx, Catalog, Hours, Money, Node, Plan, PlanId,
    Reason, Tags, Target, TargetId, TargetIx, Terminal, Timestamp, Zone,
};

struct World {
    catalog: Catalog,
    filters: Vec<Compiled>,
}

fn hours(text: &str) -> Hours {
    text.split(';').map(|range| Hours::parse_item(range).expect("a range")).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Every list there is, in the order of the catalog.
const LISTS: [&str; 3] = ["dnc", "own", "premium"];

fn caller_lists(text: &str) -> Vec<CallerListIx> {
    let at = |name: &str| LISTS.iter().position(|list| *list == name).expect("a list") as u32;
    text.split_whitespace().map(|name| CallerListIx(at(name))).collect()
}

fn buyer(row: &str) -> Buyer {
    let mut clauses = row.split(", ").map(str::trim);
    let name = clauses.next().expect("a name");
    let mut buyer = Buyer {
        id: BuyerId::parse(name).expect("a slug"),
        name: name.to_owned(),
        zone: Zone::load("UTC").expect("UTC"),
        paused: false,
        hours: None,
        limits: Limits::default(),
        ranges: Vec::new(),
        disclosure: Disclosure::Token,
        personal_tags: Vec::new(),
        show_floor: false,
        key_digest: None,
        hand_back: Duration::ZERO,
        suppressed_callers: Vec::new(),
    };
    for clause in clauses {
        match clause.split_once(' ') {
            None if clause == "paused" => buyer.paused = true,
            Some(("zone", zone)) => buyer.zone = Zone::load(zone).expect("a zone"),
            Some(("hours", text)) => buyer.hours = Some(hours(text)),
            Some(("suppresses", lists)) => buyer.suppressed_callers = caller_lists(lists),
            _ => panic!("unknown clause `{clause}`"),
        }
    }
    buyer
}

fn target(row: &str, buyers: &[Buyer]) -> Target {
    let mut clauses = row.split(", ").map(str::trim);
    let (name, owner) = clauses.next().and_then(|first| first.split_once(" of ")).expect("a name of a buyer");
    let owner = buyers.iter().position(|buyer| buyer.name == owner.trim()).expect("a buyer");
    let mut target = Target {
        id: TargetId::parse(name.trim()).expect("a slug"),
        buyer: BuyerIx(owner as u32),
        address: Address::parse("+15125550999").expect("an address"),
        pricing: Pricing::Fixed(Money::from_micros(20_000_000)),
        paused: false,
        filters: Vec::new(),
        hours: None,
        limits: Limits::default(),
        ranges: Vec::new(),
        floor: Money::ZERO,
        tier: 1,
        priority: 100,
        weight: 1,
        multiplier: Bps::WHOLE,
        min_duration: Duration::from_secs(90),
        ring: Duration::from_secs(20),
        max_talk: Duration::from_secs(14_400),
        earlier_attempts: None,
        suppressed_callers: Vec::new(),
    };
    for clause in clauses {
        let (key, rest) = clause.split_once(' ').unwrap_or((clause, ""));
        match (key, rest.split_once(' ')) {
            ("paused", None) => target.paused = true,
            ("hours", _) => target.hours = Some(hours(rest)),
            ("asks_hours", _) => target.filters.push(Filter::Hours(hours(rest), None)),
            ("suppresses", _) => target.suppressed_callers = caller_lists(rest),
            ("states", _) => target.filters.push(Filter::State(words(rest))),
            ("not_states", _) => target.filters.push(Filter::Not(Box::new(Filter::State(words(rest))))),
            (key, Some(("is", values))) => {
                target.filters.push(Filter::Tag(key.to_owned(), TagTest::In(words(values))));
            }
            (key, Some(("is_not", values))) => {
                target.filters.push(Filter::Tag(key.to_owned(), TagTest::NotIn(words(values))));
            }
            _ => panic!("unknown clause `{clause}`"),
        }
    }
    target
}

/// Reads one node from the front of the tokens: a target's name, or a strategy with its members in brackets.
fn node<'a>(tokens: &mut impl Iterator<Item = &'a str>, first: &str, targets: &[Target]) -> Node {
    let ix = |name: &str| {
        TargetIx(targets.iter().position(|target| target.id.as_str() == name).expect("a target") as u32)
    };
    match first {
        "auction(" => {
            let members = tokens.take_while(|token| *token != ")").map(ix).collect();
            Node::Auction(AuctionNode { members, floor: Money::ZERO, takeover: None, timeout: None })
        }
        "sequential(" => {
            let mut children = Vec::new();
            while let Some(token) = tokens.next().filter(|token| *token != ")") {
                children.push(node(tokens, token, targets));
            }
            Node::Sequential(children)
        }
        "weighted(" => {
            let mut children = Vec::new();
            while let Some(weight) = tokens.next().filter(|token| *token != ")") {
                let child = tokens.next().expect("a node behind its weight");
                children.push((weight.parse().expect("a weight"), node(tokens, child, targets)));
            }
            Node::Weighted(children)
        }
        "round_robin(" => {
            let mut children = Vec::new();
            while let Some(token) = tokens.next().filter(|token| *token != ")") {
                children.push(node(tokens, token, targets));
            }
            Node::RoundRobin(RoundRobin { number: 0, children })
        }
        // The first branch takes every call.
        "first_match(" => {
            let mut branches = Vec::new();
            while let Some(token) = tokens.next().filter(|token| *token != ")") {
                let node = node(tokens, token, targets);
                branches.push(Branch { number: 0, when: Vec::new(), node });
            }
            Node::FirstMatch(branches)
        }
        "open(" => {
            let range = format!("daily {}", tokens.next().expect("a range of times"));
            let first = tokens.next().expect("a node");
            let node = node(tokens, first, targets);
            assert_eq!(tokens.next(), Some(")"));
            let hours = Some((hours(&range), Zone::utc()));
            Node::Scope(Box::new(Scope { group: None, ring: None, hours, node }))
        }
        "ring(" => {
            let seconds = tokens.next().and_then(|seconds| seconds.parse().ok()).expect("seconds");
            let first = tokens.next().expect("a node");
            let node = node(tokens, first, targets);
            assert_eq!(tokens.next(), Some(")"));
            let ring = Some(Duration::from_secs(seconds));
            Node::Scope(Box::new(Scope { group: None, ring, hours: None, node }))
        }
        "busy" => Node::Terminal(Terminal::Hangup(HangupCause::Busy)),
        "rejected" => Node::Terminal(Terminal::Hangup(HangupCause::Rejected)),
        name => Node::Target(ix(name)),
    }
}

fn plan(row: &str, targets: &[Target]) -> Plan {
    let mut tokens = row.split_whitespace().collect::<Vec<_>>().into_iter();
    let first = tokens.next().expect("a node");
    let mut root = node(&mut tokens, first, targets);
    root.number();
    assert_eq!(tokens.next(), None, "one root");
    Plan { id: PlanId::parse("plan").expect("a slug"), root, terminal: Terminal::Hangup(HangupCause::Normal) }
}

/// The catalog of a case.
fn world(rows: &[(&str, &str)]) -> World {
    let of =
        |kind: &str| rows.iter().filter(|row| row.0 == kind).map(|row| row.1).collect::<Vec<_>>().into_iter();
    let buyers: Vec<Buyer> = of("buyer").map(buyer).collect();
    let targets: Vec<Target> = of("target").map(|row| target(row, &buyers)).collect();
    let plans = of("plan").map(|row| plan(row, &targets)).collect();
    let catalog = Catalog {
        digest: "".into(),
        carriers: Vec::new(),
        campaigns: Vec::new(),
        publishers: Vec::new(),
        buyers,
        targets,
        plans,
        numbers: Vec::new(),
        caller_lists: LISTS
            .iter()
            .map(|id| CallerList { id: CallerListId::parse(id).expect("a slug"), note: String::new() })
            .collect(),
        default_plan: PlanIx(0),
    };
    let filters = compiled(&catalog);
    World { catalog, filters }
}

impl World {
    fn name(&self, target: TargetIx) -> &str {
        self.catalog.target(target).id.as_str()
    }

    /// One verdict per target, in the order of the rows.
    fn call(&self, row: &str) -> String {
        let mut clauses = row.split(", ").map(str::trim);
        let now = clauses.next().and_then(Timestamp::parse).expect("an instant");
        let (mut state, mut tags, mut lists) = (None, Tags::default(), Vec::new());
        for clause in clauses {
            match clause.split_once(' ').expect("a key and a value") {
                ("state", two_letters) => state = Some(two_letters),
                ("on", names) => lists = caller_lists(names),
                (key, value) => {
                    tags.add(key, TagValue::Text(value.into()), SetBy::Carrier).expect("fits");
                }
            }
        }
        let facts = Facts { state, lists: &lists, ..Facts::bare(&tags, now) };
        let mut shared = Shared::default();
        for ix in (0..self.catalog.targets.len() as u32).map(TargetIx) {
            let holds =
                judge(&self.catalog, &self.filters, ix, &facts).iter().all(|one| one.truth == Truth::Yes);
            let is_candidate =
                screen(&self.catalog, &self.filters, ix, &facts, &mut shared) == Verdict::Candidate;
            assert_eq!(holds, is_candidate, "{}: the rules say what screening does", self.name(ix));
        }
        let mut verdict = |ix: TargetIx| match screen(&self.catalog, &self.filters, ix, &facts, &mut shared) {
            Verdict::Candidate => format!("{} candidate", self.name(ix)),
            Verdict::Refused(reason, None) => format!("{} {reason}", self.name(ix)),
            // What the clock shows stands in the row of the call.
            Verdict::Refused(Reason::Closed, Some(note)) => {
                let (clock, zone) = note.split_once(" in ").expect("a clock");
                assert_eq!(clock, Zone::load(zone).expect("a zone").wall_clock(now));
                format!("{} closed in {zone}", self.name(ix))
            }
            Verdict::Refused(reason, Some(note)) => format!("{} {reason} {note}", self.name(ix)),
        };
        (0..self.catalog.targets.len() as u32).map(|ix| verdict(TargetIx(ix))).collect::<Vec<_>>().join(", ")
    }

    fn walk(&self, row: &str) -> String {
        let mut clauses = row.split(", ").map(str::trim);
        let seed = clauses.next().and_then(|seed| seed.parse().ok()).expect("a seed");
        let (mut turns, mut now) = (Vec::new(), Timestamp::default());
        for clause in clauses {
            match clause.split_once(' ').expect("a key and a value") {
                ("turns", list) => turns = words(list).iter().map(|n| n.parse().expect("a turn")).collect(),
                ("at", instant) => now = Timestamp::parse(instant).expect("an instant"),
                other => panic!("unknown clause {other:?}"),
            }
        }
        let plan = self.catalog.plan(PlanIx(0));
        let walked = |turns: &dyn Fn(usize) -> u64| {
            walk(plan, Given { seed, now, may_take: &|_| true, turn: &mut |node| turns(node.number) })
        };
        let walk = walked(&|number| turns.get(number).copied().unwrap_or(0));
        let recorded = |number| walk.turns.iter().find(|turn| turn.node as usize == number);
        let again = walked(&|number| u64::from(recorded(number).expect("a turn").first));
        assert_eq!(
            format!("{again:?}"),
            format!("{walk:?}"),
            "the turns that are recorded lead the same way"
        );
        let name = |target: TargetIx| self.name(target);
        let mut said: Vec<String> = self.steps(&walk.steps).collect();
        said.extend(
            walk.rings.iter().map(|(target, ring)| format!("{} {} s", name(*target), ring.as_secs())),
        );
        said.extend(walk.left.iter().map(|left| match left.zone {
            Some(zone) => format!("{} {} in {zone}", name(left.target), left.reason),
            None => format!("{} {}", name(left.target), left.reason),
        }));
        said.extend(walk.turns.iter().map(|turn| format!("turn {} of {}", turn.first, turn.node)));
        if let Terminal::Hangup(cause) = walk.end
            && *cause != HangupCause::Normal
        {
            said.push(format!("end {}", cause.as_str()));
        }
        said.join(", ")
    }

    fn steps<'s>(&'s self, steps: &'s [Step<'s>]) -> impl Iterator<Item = String> + 's {
        steps.iter().map(|step| match step {
            Step::Dial(target) => format!("dial {}", self.name(*target)),
            Step::Auction(node) => {
                let names: Vec<&str> = node.members.iter().map(|ix| self.name(*ix)).collect();
                format!("auction {}", names.join(" "))
            }
            Step::Together(node) => {
                let names: Vec<&str> = node.members.iter().map(|ix| self.name(*ix)).collect();
                format!("together {}", names.join(" "))
            }
        })
    }
}

fn rows(case: &str) -> Vec<(&str, &str)> {
    case.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').map(|(kind, rest)| (kind, rest.trim())).expect("a kind and clauses"))
        .collect()
}

fn check(table: &str) {
    for case in table.split("\n\n") {
        let rows = rows(case);
        let world = world(&rows);
        let mut asked = 0;
        for (kind, row) in &rows {
            let came = match *kind {
                "buyer" | "target" | "plan" => continue,
                "call" => World::call,
                "walk" => World::walk,
                other => panic!("unknown row `{other}`"),
            };
            let (question, expected) = row.split_once("=>").expect("a question => its answer");
            let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(
                came(&world, question.trim()).trim_end(),
                expected,
                "for `{kind} {question}` in\n{case}\n"
            );
            asked += 1;
        }
        assert!(asked > 0, "a case asks nothing:\n{case}");
    }
}

#[test]
fn a_pause_of_either_is_a_pause() {
    check(
        "buyer  acme
         buyer  bolt, paused
         target a1 of acme
         target a2 of acme, paused
         target b1 of bolt
         target b2 of bolt, paused
         call   2026-11-20T09:00Z  => a1 candidate, a2 paused, b1 buyer_paused, b2 paused",
    );
}

#[test]
fn hours_are_those_of_the_buyers_zone() {
    check(
        "# Buyer and target must both be open; the first minute is, the end is not. 14:00Z is 09:00 in New York.
         buyer  acme, zone America/New_York, hours mon-fri 09:00-17:00
         target all of acme
         target am of acme, hours daily 08:00-12:00
         call   2026-11-20T13:59:59.999999Z  => all closed in America/New_York, am closed in America/New_York
         call   2026-11-20T14:00Z            => all candidate, am candidate
         call   2026-11-20T16:59:59.999999Z  => all candidate, am candidate
         call   2026-11-20T17:00Z            => all candidate, am closed in America/New_York
         call   2026-11-20T21:59:59.999999Z  => all candidate, am closed in America/New_York
         call   2026-11-20T22:00Z            => all closed in America/New_York, am closed in America/New_York
         # Saturday
         call   2026-11-21T15:00Z            => all closed in America/New_York, am closed in America/New_York

         # The same instant, three zones: Friday 23:30 in New York is Saturday already in London and Tokyo.
         buyer  york, zone America/New_York, hours fri 09:00-24:00
         buyer  london, zone Europe/London, hours fri 09:00-24:00
         buyer  tokyo, zone Asia/Tokyo, hours sat 13:00-14:00
         target y of york
         target l of london
         target t of tokyo
         call   2026-11-21T04:30Z  => y candidate, l closed in Europe/London, t candidate
         call   2026-11-21T05:00Z  => y closed in America/New_York, l closed in Europe/London, t closed in Asia/Tokyo
         call   2026-11-20T23:59Z  => y candidate, l candidate, t closed in Asia/Tokyo

         # Over midnight: Friday night's hours end on Saturday morning, wherever UTC's midnight falls.
         buyer  tokyo, zone Asia/Tokyo
         buyer  pacific, zone America/Los_Angeles
         target t of tokyo, hours fri 22:00-02:00
         target p of pacific, hours fri 22:00-02:00
         call   2026-11-20T12:59Z  => t closed in Asia/Tokyo, p closed in America/Los_Angeles
         call   2026-11-20T13:00Z  => t candidate, p closed in America/Los_Angeles
         call   2026-11-20T16:59Z  => t candidate, p closed in America/Los_Angeles
         call   2026-11-20T17:00Z  => t closed in Asia/Tokyo, p closed in America/Los_Angeles
         call   2026-11-21T06:00Z  => t closed in Asia/Tokyo, p candidate
         call   2026-11-21T09:59Z  => t closed in Asia/Tokyo, p candidate
         call   2026-11-21T10:00Z  => t closed in Asia/Tokyo, p closed in America/Los_Angeles

         # Several ranges are a union; a union with another range's end does not close it.
         buyer  acme
         target a of acme, hours mon-fri 09:00-12:00; mon-fri 11:00-15:00; sat 10:00-11:00
         call   2026-11-20T12:00Z  => a candidate
         call   2026-11-20T15:00Z  => a closed in UTC
         call   2026-11-21T10:59Z  => a candidate",
    );
}

/// Scenario 17, the routing half: opening hours on the two days the clocks of New York change.
#[test]
fn hours_follow_the_wall_clock_when_it_changes() {
    check(
        "# 2026-03-08: 02:00 becomes 03:00 at 07:00Z. Nine o'clock comes an hour earlier in UTC, 02:30 never.
         buyer  acme, zone America/New_York
         target day of acme, hours daily 09:00-17:00
         target night of acme, hours daily 01:00-03:00
         target gap of acme, hours daily 02:15-02:45
         call   2026-03-07T13:59Z  => day closed in America/New_York, night closed in America/New_York, gap closed in America/New_York
         call   2026-03-07T14:00Z  => day candidate, night closed in America/New_York, gap closed in America/New_York
         call   2026-03-08T06:00Z  => day closed in America/New_York, night candidate, gap closed in America/New_York
         call   2026-03-08T06:59:59.999Z  => day closed in America/New_York, night candidate, gap closed in America/New_York
         call   2026-03-08T07:00Z  => day closed in America/New_York, night closed in America/New_York, gap closed in America/New_York
         call   2026-03-08T07:30Z  => day closed in America/New_York, night closed in America/New_York, gap closed in America/New_York
         call   2026-03-08T12:59Z  => day closed in America/New_York, night closed in America/New_York, gap closed in America/New_York
         call   2026-03-08T13:00Z  => day candidate, night closed in America/New_York, gap closed in America/New_York
         call   2026-03-08T21:00Z  => day closed in America/New_York, night closed in America/New_York, gap closed in America/New_York
         # The day after, 02:15 exists again.
         call   2026-03-09T06:15Z  => day closed in America/New_York, night candidate, gap candidate

         # 2026-11-01: 02:00 becomes 01:00 at 06:00Z. The repeated 01:30 is open both times, in between it is not.
         buyer  acme, zone America/New_York
         target night of acme, hours daily 01:00-03:00
         target half of acme, hours daily 01:15-01:45
         call   2026-11-01T04:59Z  => night closed in America/New_York, half closed in America/New_York
         call   2026-11-01T05:30Z  => night candidate, half candidate
         call   2026-11-01T05:45Z  => night candidate, half closed in America/New_York
         call   2026-11-01T06:00Z  => night candidate, half closed in America/New_York
         call   2026-11-01T06:30Z  => night candidate, half candidate
         call   2026-11-01T07:59Z  => night candidate, half closed in America/New_York
         call   2026-11-01T08:00Z  => night closed in America/New_York, half closed in America/New_York

         # Nine to five on both sides of the change.
         buyer  acme, zone America/New_York, hours daily 09:00-17:00
         target day of acme
         call   2026-10-31T13:00Z  => day candidate
         call   2026-11-01T13:30Z  => day closed in America/New_York
         call   2026-11-01T14:00Z  => day candidate
         call   2026-11-01T21:59Z  => day candidate
         call   2026-11-01T22:00Z  => day closed in America/New_York",
    );
}

#[test]
fn states_and_tags() {
    check(
        "# Naming states refuses an unknown one, excluding states does not.
         buyer  acme
         target any of acme
         target in of acme, states TX CA WY
         target out of acme, not_states TX AL
         target both of acme, states TX CA, not_states TX
         call   2026-11-20T09:00Z, state TX  => any candidate, in candidate, out geo state TX, both geo state TX
         call   2026-11-20T09:00Z, state CA  => any candidate, in candidate, out candidate, both candidate
         call   2026-11-20T09:00Z, state WY  => any candidate, in candidate, out candidate, both geo state WY
         call   2026-11-20T09:00Z, state AL  => any candidate, in geo state AL, out geo state AL, both geo state AL
         call   2026-11-20T09:00Z            => any candidate, in geo state unknown, out candidate, both geo state unknown
         # What is no state is one nobody named.
         call   2026-11-20T09:00Z, state tx  => any candidate, in geo state tx, out candidate, both geo state tx

         # The corners of the alphabet are states of their own.
         buyer  acme
         target aa of acme, states AA
         target zz of acme, states ZZ
         target cm of acme, states CM
         call   2026-11-20T09:00Z, state AA  => aa candidate, zz geo state AA, cm geo state AA
         call   2026-11-20T09:00Z, state ZZ  => aa geo state ZZ, zz candidate, cm geo state ZZ
         call   2026-11-20T09:00Z, state CM  => aa geo state CM, zz geo state CM, cm candidate
         call   2026-11-20T09:00Z, state CL  => aa geo state CL, zz geo state CL, cm geo state CL

         # An absent tag fails `is` and passes `is_not`; values are compared whole and as written.
         buyer  acme
         target is of acme, case is theft collision
         target not of acme, case is_not theft collision
         call   2026-11-20T09:00Z, case collision   => is candidate, not tag case collision
         call   2026-11-20T09:00Z, case theft       => is candidate, not tag case theft
         call   2026-11-20T09:00Z, case Collision   => is tag case Collision, not candidate
         call   2026-11-20T09:00Z, case collisions  => is tag case collisions, not candidate
         call   2026-11-20T09:00Z, lang collision   => is tag case absent, not candidate
         call   2026-11-20T09:00Z                   => is tag case absent, not candidate

         # All rules must hold; the first that does not is named.
         buyer  acme
         target a of acme, case is collision, lang is_not es, age is 30 31
         call   2026-11-20T09:00Z, case collision, lang en, age 30  => a candidate
         call   2026-11-20T09:00Z, case collision, age 31           => a candidate
         call   2026-11-20T09:00Z, case collision, lang es, age 29  => a tag lang es
         call   2026-11-20T09:00Z, case collision, lang en, age 29  => a tag age 29
         call   2026-11-20T09:00Z, lang es                          => a tag case absent",
    );
}

#[test]
fn filters_that_several_targets_have_are_asked_once_for_each_zone() {
    let case = "buyer east, zone America/New_York
         buyer west, zone America/Los_Angeles
         target a of east, states TX CA, asks_hours mon-fri 09:00-17:00
         target b of west, states TX CA, asks_hours mon-fri 09:00-17:00, lang is en
         target c of east, asks_hours mon-fri 09:00-17:00, states TX CA
         target d of east, lang is en de, states CA TX";
    let filters = world(&rows(case)).filters;
    let rule = |target: usize, at: usize| Arc::as_ptr(&filters[target].0[at].rule);
    assert_eq!((rule(0, 0), rule(0, 0), rule(0, 1)), (rule(1, 0), rule(2, 1), rule(2, 0)), "one each");
    assert_ne!(rule(0, 1), rule(1, 1), "hours of another zone");
    assert_ne!(rule(0, 0), rule(3, 1), "written otherwise");
    check(&format!(
        "{case}
         call 2026-11-20T15:00Z, state TX, lang en => a candidate, b closed in America/Los_Angeles, c candidate, d candidate
         call 2026-11-20T18:00Z, state TX, lang de => a candidate, b tag lang de, c candidate, d candidate
         call 2026-11-20T18:00Z, state NY, lang en => a geo state NY, b geo state NY, c geo state NY, d geo state NY
         call 2026-11-20T23:00Z, state CA, lang fr => a closed in America/New_York, b tag lang fr, c closed in America/New_York, d tag lang fr"
    ));
}

#[test]
fn the_first_rule_of_the_published_order_names_the_reason() {
    check(
        "# paused, buyer paused, suppressed, closed, state, tags: each row heals the first ailment of the row before.
         buyer  shut, paused, hours mon 09:00-10:00, suppresses dnc
         buyer  picky, hours mon 09:00-10:00, suppresses dnc
         buyer  open, hours mon 09:00-10:00
         buyer  wide
         target t1 of shut, paused, states TX, case is collision
         target t2 of shut, states TX, case is collision
         target t2b of picky, states TX, case is collision
         target t3 of open, states TX, case is collision
         target t4 of wide, states TX, case is collision
         target t5 of wide, case is collision
         target t6 of wide
         call   2026-11-20T09:00Z, state NY, on dnc  => t1 paused, t2 buyer_paused, t2b suppressed on dnc, t3 closed in UTC, t4 geo state NY, t5 tag case absent, t6 candidate",
    );
}

#[test]
fn callers_on_lists_are_suppressed() {
    check(
        "# The buyer's lists come first, then the target's own; who is on no list is suppressed nowhere.
         buyer  acme, suppresses own dnc
         buyer  bolt
         target a of acme
         target b of acme, suppresses premium
         target c of bolt, suppresses premium
         target d of bolt
         call   2026-11-20T09:00Z                       => a candidate, b candidate, c candidate, d candidate
         call   2026-11-20T09:00Z, on own               => a suppressed on own, b suppressed on own, c candidate, d candidate
         call   2026-11-20T09:00Z, on dnc own           => a suppressed on own, b suppressed on own, c candidate, d candidate
         call   2026-11-20T09:00Z, on premium           => a candidate, b suppressed on premium, c suppressed on premium, d candidate
         call   2026-11-20T09:00Z, on dnc premium       => a suppressed on dnc, b suppressed on dnc, c suppressed on premium, d candidate",
    );
}

/// All combinations of the five ailments: the verdict is the first of them in the published order, and only that.
#[test]
fn every_target_of_a_plan_ends_with_exactly_one_verdict() {
    let ailments: [(Reason, &str, &str); 5] = [
        (Reason::Paused, "", ", paused"),
        (Reason::BuyerPaused, ", paused", ""),
        (Reason::Closed, ", hours mon 09:00-10:00", ""),
        (Reason::Geo, "", ", states TX"),
        (Reason::Tag, "", ", case is collision"),
    ];
    let mut case = String::new();
    let mut expected = Vec::new();
    let has = |combination: usize, at: usize| combination & (1 << at) != 0;
    for combination in 0..1 << ailments.len() {
        let of_it = || (0..ailments.len()).filter(move |at| has(combination, *at));
        let on_buyer: String = of_it().map(|at| ailments[at].1).collect();
        let on_target: String = of_it().map(|at| ailments[at].2).collect();
        case +=
            &format!("buyer b{combination}{on_buyer}\ntarget t{combination} of b{combination}{on_target}\n");
        expected.push(of_it().next().map(|at| ailments[at].0));
    }
    let members: Vec<String> = (0..expected.len()).map(|combination| format!("t{combination}")).collect();
    let (dialled, asked) = members.split_at(7);
    case += &format!("plan sequential( {} auction( {} ) )", dialled.join(" "), asked.join(" "));
    let world = world(&rows(&case));

    let mut of_plan = Vec::new();
    world.catalog.plan(PlanIx(0)).root.targets(&mut of_plan);
    let (tags, now) = (Tags::default(), Timestamp::parse("2026-11-20T09:00Z").expect("an instant"));
    let facts = Facts { state: Some("NY"), ..Facts::bare(&tags, now) };
    let (mut verdicts, mut shared) = (BTreeMap::new(), Shared::default());
    for target in of_plan {
        let verdict = match screen(&world.catalog, &world.filters, target, &facts, &mut shared) {
            Verdict::Candidate => None,
            Verdict::Refused(reason, _) => Some(reason),
        };
        assert_eq!(verdicts.insert(target, verdict), None, "{} judged twice", world.name(target));
    }
    assert_eq!(verdicts.into_values().collect::<Vec<_>>(), expected);
}

#[test]
fn walks_unroll_plans() {
    let four = "buyer  acme
         target a of acme
         target b of acme
         target c of acme
         target d of acme";
    for (tree, walks) in [
        ("a", "walk 0 => dial a"),
        ("sequential( )", "walk 0 =>"),
        ("weighted( )", "walk 0 =>"),
        ("auction( )", "walk 0 => auction"),
        (
            "sequential( c a b )",
            "walk 0 => dial c, dial a, dial b
             walk 1 => dial c, dial a, dial b",
        ),
        // All members at once are one step, in the order written; what is static stands behind it.
        ("sequential( auction( b a c ) d )", "walk 0 => auction b a c, dial d"),
        // Drawn by weight, and the rest behind: a call that fails at the first goes on to the second.
        (
            "weighted( 70 a 30 b )",
            "walk 0 => dial b, dial a
             walk 1 => dial a, dial b
             walk 1 => dial a, dial b",
        ),
        (
            "weighted( 1 a 1 b 1 c )",
            "walk 0 => dial c, dial a, dial b
             walk 1 => dial b, dial c, dial a
             walk 3 => dial a, dial c, dial b",
        ),
        // Weight 0 is the last resort, in the order written.
        (
            "weighted( 0 d 0 a 1 c )",
            "walk 0 => dial c, dial d, dial a
             walk 9 => dial c, dial d, dial a",
        ),
        // A drawn subtree stays together and in its own order.
        (
            "sequential( weighted( 70 sequential( a b ) 30 auction( c d ) ) a )",
            "walk 0 => auction c d, dial a, dial b, dial a
             walk 1 => dial a, dial b, auction c d, dial a",
        ),
        (
            "sequential( sequential( sequential( a ) ) auction( b ) sequential( ) c )",
            "walk 5 => dial a, auction b, dial c",
        ),
    ] {
        check(&format!("{four}\nplan {tree}\n{walks}"));
    }
}

/// Whatever is drawn, every place of the plan is walked once, and one seed is one walk.
#[test]
fn a_walk_loses_nobody_and_follows_its_seed() {
    let world = world(&rows(
        "buyer  acme
         target a of acme
         target b of acme
         target c of acme
         target d of acme
         target e of acme
         target f of acme
         plan   weighted( 1 sequential( a weighted( 3 b 1 c ) ) 2 auction( d e ) 0 weighted( 1 f 5 a ) )",
    ));
    let plan = world.catalog.plan(PlanIx(0));
    let mut of_plan = Vec::new();
    plan.root.targets(&mut of_plan);
    of_plan.sort_unstable();
    let mut walks = BTreeMap::new();
    for seed in 0..2_000 {
        let mut walked = Vec::new();
        let given = Given { seed, now: Timestamp::default(), may_take: &|_| true, turn: &mut |_| 0 };
        for step in walk(plan, given).steps {
            match step {
                Step::Auction(node) => walked.extend(&node.members),
                Step::Together(node) => walked.extend(&node.members),
                Step::Dial(target) => walked.push(target),
            }
        }
        walked.sort_unstable();
        assert_eq!(walked, of_plan, "seed {seed}");
        assert_eq!(world.walk(&seed.to_string()), world.walk(&seed.to_string()), "seed {seed}");
        *walks.entry(world.walk(&seed.to_string())).or_insert(0) += 1;
    }
    assert_eq!(walks.len(), 2 * 2 * 2, "every combination of the three draws comes up: {walks:?}");
}

#[test]
fn first_places_follow_the_weights_of_each_node() {
    let world = world(&rows(
        "buyer  acme
         target a of acme
         target b of acme
         target c of acme
         plan   weighted( 1 a 3 weighted( 4 b 1 c ) )",
    ));
    let mut first = BTreeMap::new();
    for seed in 0..10_000 {
        *first.entry(world.walk(&seed.to_string())[.."dial a".len()].to_owned()).or_insert(0) += 1;
    }
    for (step, expected) in [("dial a", 2_500), ("dial b", 6_000), ("dial c", 1_500)] {
        let came: i32 = first[step];
        assert!((came - expected).abs() < 200, "{step}: {came} of 10,000, expected about {expected}");
    }
}

/// Scenario 21: nobody takes it, so the terminal action remains, and every configured target has its one reason.
#[test]
fn with_no_candidate_left_every_target_has_said_why() {
    check(
        "buyer  acme, paused
         buyer  bolt, zone America/New_York, hours mon-fri 09:00-17:00
         buyer  cord
         target a1 of acme
         target a2 of acme, paused
         target b1 of bolt
         target c1 of cord, states CA
         target c2 of cord, not_states TX
         target c3 of cord, case is theft
         call   2026-11-22T15:00Z, state TX, case collision  => a1 buyer_paused, a2 paused, b1 closed in America/New_York, c1 geo state TX, c2 geo state TX, c3 tag case collision",
    );
}

#[test]
fn a_round_robin_begins_with_the_next_child_for_each_call() {
    check(
        "buyer  acme
         target a of acme
         target b of acme
         target c of acme
         plan   round_robin( a b c )
         walk   7             => dial a, dial b, dial c, turn 0 of 0
         walk   7, turns 1    => dial b, dial c, dial a, turn 1 of 0
         walk   7, turns 2    => dial c, dial a, dial b, turn 2 of 0
         walk   9, turns 3    => dial a, dial b, dial c, turn 0 of 0
         walk   9, turns 3002 => dial c, dial a, dial b, turn 2 of 0

         # Each node has turns of its own, and one in a branch that is not taken has none.
         buyer  acme
         target a of acme
         target b of acme
         target c of acme
         target d of acme
         plan   sequential( round_robin( a b ) round_robin( c d ) )
         walk   7, turns 1 0 => dial b, dial a, dial c, dial d, turn 1 of 0, turn 0 of 1
         walk   7, turns 0 5 => dial a, dial b, dial d, dial c, turn 0 of 0, turn 1 of 1

         buyer  acme
         target a of acme
         target b of acme
         target c of acme
         plan   sequential( first_match( a round_robin( b c ) ) )
         walk   7, turns 1 => dial a, b branch, c branch",
    );
}

#[test]
fn a_terminal_node_ends_the_way() {
    check(
        "# What comes behind it is not reached, wherever it stands.
         buyer  acme
         target a of acme
         target b of acme
         plan   round_robin( a busy b )
         walk   7          => dial a, b plan_ended, turn 0 of 0, end busy
         walk   7, turns 1 => b plan_ended, a plan_ended, turn 1 of 0, end busy
         walk   7, turns 2 => dial b, dial a, turn 2 of 0, end busy

         buyer  acme
         target a of acme
         target b of acme
         plan   sequential( first_match( sequential( a busy ) b ) b )
         walk   7 => dial a, b branch, b plan_ended, end busy

         # A weight of nothing comes last.
         buyer  acme
         target a of acme
         plan   sequential( weighted( 0 busy 5 a ) )
         walk   1 => dial a, end busy
         walk   2 => dial a, end busy

         buyer  acme
         target a of acme
         plan   sequential( a rejected )
         walk   1 => dial a, end rejected",
    );
}

#[test]
fn a_closed_node_is_as_if_it_were_not_there() {
    check(
        "buyer  acme
         target a of acme
         target b of acme
         plan   sequential( open( 09:00-17:00 sequential( a busy ) ) b )
         walk   7, at 2026-11-20T09:00Z => dial a, b plan_ended, end busy
         walk   7, at 2026-11-20T17:00Z => dial b, a node_closed in UTC

         # A closed round robin has no turn.
         buyer  acme
         target a of acme
         target b of acme
         plan   open( 09:00-17:00 round_robin( a b ) )
         walk   7, turns 1, at 2026-11-20T08:59Z => a node_closed in UTC, b node_closed in UTC
         walk   7, turns 1, at 2026-11-20T12:00Z => dial b, dial a, turn 1 of 0",
    );
}

#[test]
fn the_smallest_ring_time_on_the_way_counts() {
    check(
        "buyer  acme
         target a of acme
         target b of acme
         target c of acme
         plan   sequential( ring( 20 sequential( ring( 8 a ) ring( 30 auction( b ) ) ) ) c )
         walk   7 => dial a, auction b, dial c, a 8 s, b 20 s",
    );
}
