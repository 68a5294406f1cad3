//! A market with every kind of rule in use, as `load` writes it: `check` has nothing to say of it, who must win is who
//! wins, and calls that are not as the rules ask for get nobody.

use std::sync::Arc;

use load::bidders::Bidders;
use load::carriers::{Arrivals, CallerArea, Carriers, Plan};
use load::tool::judge::{Api, Books, Call, CallBook, Market as Judged, Verdict, judge};
use load::tool::market::Market;
use load::tool::scenario::{Caps, Scenario, Server};
use load::tool::{rules, stage};
use load::trace::Trace;

use crate::support::{Exchange, Folder, PATIENCE, outcry};

/// A deadline that no bidder comes near, lateness that nobody minds, time to write: the machine is not ours alone.
const SCENARIO: &str = r#"
about = "A small market with rules"
[market]
deadline_ms = 900
rules = true
settings = "[calls]\nnext_within_s = 2\n[limits]\nauction_delay_ms = 10000\nanswer_delay_ms = 10000\n[journal]\nfree_percent = 0\nhold_ack_ms = 500\n"
bidders = [
  { name = "b", count = 5, does = { kind = "bid", latency = { lognormal = { median_ms = 10, sigma = 0.4, cap_ms = 50 } }, price_cents = [800, 4000], no_bid_bps = 6000 } },
  { name = "small", does = { kind = "bid", latency = { fixed_ms = 5 }, price_cents = [5000, 9000] }, caps = { concurrency = 1, daily_billable = 3 } },
]
fixed = [{ name = "f", count = 2, price_cents = 700, caps = { daily_billable = 2 } }]
[[phase]]
name = "lives"
servers = ["exchange"]
arrivals = { poisson = 100.0 }
seconds = 20
lives = true
time_scale = 1000.0
twilio = true
"#;

fn wait<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(task)
}

/// An exchange with the market and its lists of callers, and everybody around it.
struct Floor {
    scenario: Scenario,
    bidders: Bidders,
    exchange: Exchange,
}

impl Floor {
    fn open() -> Floor {
        let scenario = Scenario::read(SCENARIO, std::path::Path::new(".")).unwrap();
        let bidders = Bidders::start(1, scenario.scripts()).unwrap();
        bidders.remember(0);
        let folder = Folder::new();
        let endpoint = |id: &str| bidders.url(id);
        market(&scenario, &endpoint).write(folder.path()).unwrap();
        let exchange = Exchange::run(folder);
        let floor = Floor { scenario, bidders, exchange };
        let api = floor.api();
        wait(api.matches(&floor.judged("any"))).unwrap();
        wait(stage::list_callers(&api)).unwrap();
        floor
    }

    fn api(&self) -> Api {
        wait(Api::connect(&format!("http://{}", self.exchange.admin), None, false)).unwrap()
    }

    /// The market as the judge has it.
    fn judged(&self, run: &str) -> Judged {
        let market = market(&self.scenario, &|_| String::new()).judged(&self.scenario.phases[0]);
        Judged { tolerance_ms: Some(100), run: format!("-{run}-"), ..market }
    }

    /// The phase's calls, so many of them.
    fn plan(&self, run: &str, first_call: u64, calls: u64) -> Plan {
        let (phase, to) = (&self.scenario.phases[0], format!("http://{}", self.exchange.traffic));
        Plan {
            arrivals: Arrivals::Poisson(100.0),
            run: run.to_owned(),
            first_call,
            max_calls: Some(calls),
            ..stage::plan(&self.scenario, phase, Server::Exchange, &to, 1, 1.0)
        }
    }

    /// Places calls and judges them; with their books.
    fn place(&self, plan: Plan, market: &Judged) -> (Verdict, Books) {
        let api = self.api();
        self.bidders.log(10_000);
        let count = plan.max_calls.unwrap();
        let carriers = Carriers::start(plan, Arc::new(Trace::default())).unwrap();
        assert!(carriers.wait(PATIENCE), "the calls end");
        let calls: Vec<Call> = carriers.finish(PATIENCE).sent.iter().map(Call::from).collect();
        assert_eq!(calls.len() as u64, count);
        let books = wait(api.read(&calls, PATIENCE)).unwrap();
        (judge(market, &calls, &self.bidders.take_log().seen, &books), books)
    }
}

fn market<'a>(scenario: &'a Scenario, endpoint: &'a dyn Fn(&str) -> String) -> Market<'a> {
    Market { scenario, server: Server::Exchange, capped: Caps::default(), endpoint }
}

/// What calls with this in their names came to for a target, in their first steps.
fn words(books: &Books, named: &str, target: &str) -> Vec<&'static str> {
    let number = books.targets.iter().position(|name| &**name == target).unwrap();
    let is_named = |book: &&CallBook| book.records.iter().any(|r| r.carrier_call_id.contains(named));
    let steps = books.calls.values().filter(is_named).flat_map(|book| &book.steps);
    let outcomes = steps.filter(|step| step.step == 1).flat_map(|step| step.outcomes.iter());
    outcomes.filter(|o| usize::from(o.target) == number).map(|o| o.reason.as_str()).collect()
}

#[test]
fn check_has_nothing_to_say_of_a_market_with_every_rule() {
    let scenario = Scenario::read(SCENARIO, std::path::Path::new(".")).unwrap();
    let folder = Folder::new();
    market(&scenario, &|id| format!("http://127.0.0.1:9/{id}")).write(folder.path()).unwrap();
    let config = folder.path().join("outcry.toml");
    let output = outcry(&["check", "--config", config.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("is good: 0 warnings"), "{said}");
    let scanned: Vec<&str> = said.lines().filter(|line| line.contains("bids of rule-")).collect();
    assert_eq!(scanned.len(), 3, "{said}");
}

#[test]
fn with_every_rule_in_use_who_must_win_wins() {
    let floor = Floor::open();
    let (verdict, books) = floor.place(floor.plan("ruled", 1, 200), &floor.judged("ruled"));
    assert!(verdict.is_green(), "{verdict}");
    assert_eq!(verdict.counts["auctioned"], 200, "{verdict}");
    let is_used = |name| verdict.counts.get(name).is_some_and(|count| *count > 0);
    assert!(is_used("billable") && is_used("refused by capacity"), "{verdict}");
    // Everybody behind the auction had his turn: fixed prices first, then the tables.
    for target in ["b-1", "small", "f-1", "f-2", "rule-first"] {
        assert!(words(&books, "", target).contains(&"won"), "{target} never won");
    }
    // And each rule that bars somebody did, in every call: were it not asked, 990 dollars would have won.
    let barred = floor.judged("ruled").targets.into_iter().filter_map(|t| Some((t.id, t.barred?)));
    let mut bars: Vec<&str> = Vec::new();
    for (target, word) in barred {
        let words = words(&books, "", &target);
        assert!(words.len() == 200 && words.iter().all(|found| *found == word), "{target}: {words:?}");
        bars.push(word);
    }
    bars.sort_unstable();
    bars.dedup();
    let expected = [
        "anonymous",
        "attestation",
        "below_floor",
        "branch",
        "closed",
        "geo",
        "no_row",
        "node_closed",
        "source",
        "suppressed",
        "tag",
    ];
    assert_eq!(bars, expected);
    floor.exchange.finish();
}

#[test]
fn calls_that_are_not_as_the_rules_ask_for_get_nobody() {
    type Change = fn(&mut Plan);
    // of the call | what is changed in it | what keeps it from everybody | of those whom other rules bar as well, who ends
    // with that nevertheless
    let table: [(&str, Change, &str, IsBefore); 10] = [
        ("place", |plan| plan.callers = vec![area("512", "WA", "98101")], "geo", price),
        ("zip", |plan| plan.callers = vec![area("512", "TX", "79901")], "geo", price),
        ("age", |plan| plan.tags[0].1 = vec!["100".to_owned()], "tag", price),
        ("untagged", |plan| plan.tags.clear(), "tag", price),
        ("product", |plan| plan.tags[2].1 = vec!["auto-none".to_owned()], "tag", price),
        ("sub-id", |plan| plan.sub_ids = vec!["fb-1".to_owned()], "source", price),
        ("attest", |plan| plan.attests = vec!["C".to_owned()], "attestation", price),
        // Who shows no number is on no list.
        (
            "withheld",
            |plan| plan.rates.withheld_bps = 10_000,
            "anonymous",
            |bar| price(bar) || bar == "suppressed",
        ),
        ("blocked", |plan| plan.callers = vec![area("907200000", "TX", "78701")], "caller_blocked", |_| true),
        (
            "suppressed",
            |plan| plan.callers = vec![area("808200000", "TX", "78701")],
            "suppressed",
            |bar| !["branch", "node_closed"].contains(&bar),
        ),
    ];
    let floor = Floor::open();
    for (at, (name, change, word, is_before)) in table.into_iter().enumerate() {
        let mut plan = floor.plan(name, 1_000 * (at as u64 + 1), 3);
        plan.carriers.truncate(1); // Twilio states no sub-id
        change(&mut plan);
        let mut market = floor.judged(name);
        for target in &mut market.targets {
            if target.barred.is_none_or(is_before) {
                target.barred = Some(word);
            }
        }
        let (verdict, books) = floor.place(plan, &market);
        assert!(verdict.is_green(), "{name}: {verdict}");
        for target in ["b-1", "small", "f-1", "rule-first"] {
            assert_eq!(words(&books, &format!("-{name}-"), target), [word; 3], "{name}, {target}");
        }
    }
    floor.exchange.finish();
}

/// Whether a call that is refused for something else is refused before it comes to what bars a target.
type IsBefore = fn(&str) -> bool;

/// What is looked at after all filters.
fn price(bar: &str) -> bool {
    ["no_row", "below_floor"].contains(&bar)
}

fn area(prefix: &str, state: &str, zip: &str) -> CallerArea {
    CallerArea { prefix: prefix.to_owned(), geo: Some((state.to_owned(), zip.to_owned())) }
}

/// What a scenario with rules may not have.
#[test]
fn prices_and_names_that_rules_would_decide_by_are_refused() {
    for (from, to, expected) in [
        (
            "price_cents = 700",
            "price_cents = 599",
            "f-1: with rules, prices are 600 to 90000 cents; 599 is not",
        ),
        ("[800, 4000]", "[300, 4000]", "b-1: with rules, prices are 600 to 90000 cents; 300 is not"),
        ("[5000, 9000]", "[5000, 99999]", "small: with rules, prices are 600 to 90000 cents; 99999 is not"),
        ("\"small\"", "\"rule-small\"", "rule-small: with rules, names that begin with rule- are taken"),
    ] {
        assert!(SCENARIO.contains(from), "{from:?} is not in the scenario");
        let text = SCENARIO.replacen(from, to, 1);
        let fault = Scenario::read(&text, std::path::Path::new(".")).unwrap_err();
        assert!(fault.contains(expected), "{expected:?} is not in {fault:?}");
        let plain = text.replace("rules = true\n", "");
        assert!(Scenario::read(&plain, std::path::Path::new(".")).is_ok(), "{to}: without rules it may");
        let on_a_server = plain.replace("\"exchange\"", "\"ruled\"");
        let fault = Scenario::read(&on_a_server, std::path::Path::new(".")).unwrap_err();
        assert!(fault.contains(expected), "{expected:?} is not in {fault:?}");
    }
    assert!(rules::callers().iter().all(|(_, lines)| lines.len() <= 1 << 20), "a request is at most 1 MiB");
}
