//! A market under everyday calls, judged from outside: what `load judge` says of a real exchange, and whom it refuses to
//! judge.

use std::path::Path;
use std::sync::Arc;

use load::bidders::{Behaviour, Bidders, Latency, Script};
use load::carriers::{Arrivals, CarrierKey, Carriers, Dialect, Plan, Snapshot};
use load::tool::judge::{Api, Call, Market as Judged, Price, Refused, Target, Verdict, judge};
use load::tool::scenario::Scenario;
use load::tool::shipped::Source;
use load::tool::verbs::{self, Waiting};
use load::trace::Trace;

use crate::support::market::{KEY, NUMBER};
use crate::support::{Exchange, Folder, Market, PATIENCE};

const CALLS: u64 = 200;
const BIDDERS: [&str; 5] = ["ann", "bob", "cid", "dot", "eve"];

/// What each bidder's target takes at once and a day.
fn limits(name: &str) -> (Option<u32>, Option<u32>) {
    match name {
        "ann" => (Some(1), None),
        "bob" => (None, Some(3)),
        _ => (None, None),
    }
}

fn bidders() -> Bidders {
    let script = |(at, name): (usize, &&str)| {
        let latency = Latency::Lognormal { median_ms: 5.0 + 5.0 * at as f64, sigma: 0.5, cap_ms: 100 };
        let behaviour = Behaviour::Bid { latency, price_cents: (800, 4_000), no_bid_bps: 1_500, ttl_s: None };
        Script::new(*name, behaviour)
    };
    Bidders::start(7, BIDDERS.iter().enumerate().map(script).collect()).unwrap()
}

/// The market as the exchange has it. A deadline that no bidder here comes near: the machine is not ours alone.
fn configured(bidders: &Bidders) -> Market {
    let mut market = Market::new(
        r#"{ sequential = [{ auction = ["ann", "bob", "cid", "dot", "eve", "desk"] }, "last"] }"#,
    )
    .patient()
    .buyer("house", "")
    .target("desk", "house", "address = \"+15125550910\"\nprice = \"12.00\"")
    .target("last", "house", "address = \"+15125550911\"\nprice = \"6.00\"");
    for (at, name) in BIDDERS.into_iter().enumerate() {
        let (concurrency, daily) = limits(name);
        let mut lines = format!(
            "address = \"+1512555090{at}\"\nendpoint = {{ url = \"{}\", max_bid = \"40.00\" }}\n",
            bidders.url(name)
        );
        lines.extend(concurrency.map(|most| format!("concurrency = {most}\n")));
        lines.extend(daily.map(|most| format!("daily_billable = {most}\n")));
        market = market.buyer(name, "").target(name, name, &lines);
    }
    market
}

/// The same market as the judge has it.
fn judged(run: &str) -> Judged {
    let target = |id: &str, buyer: &str, place: usize, price, in_auction| {
        let (concurrency, daily_billable) = limits(id);
        Target {
            id: id.to_owned(),
            buyer: buyer.to_owned(),
            address: format!("+15125550{}", 900 + place),
            price,
            in_auction,
            barred: None,
            concurrency,
            daily_billable,
            min_duration_ms: 90_000,
        }
    };
    let bids = |at| Price::Bids { bidder: at as u16, max_micros: 40_000_000 };
    let mut targets: Vec<Target> =
        BIDDERS.iter().enumerate().map(|(at, name)| target(name, name, at, bids(at), true)).collect();
    targets.push(target("desk", "house", 10, Price::Fixed { micros: 12_000_000 }, true));
    targets.push(target("last", "house", 11, Price::Fixed { micros: 6_000_000 }, false));
    Judged {
        campaign: "auto".to_owned(),
        deadline_ms: 900,
        early_close: true,
        payout_micros: 5_000_000,
        min_margin_micros: Some(0),
        targets,
        tolerance_ms: Some(100),
        run: format!("-{run}-"),
        is_alone: true,
        ..Judged::default()
    }
}

fn plan(exchange: &Exchange) -> Plan {
    let carrier = CarrierKey { id: "sw".to_owned(), key: KEY.to_owned(), dialect: Dialect::Generic };
    Plan {
        arrivals: Arrivals::Poisson(100.0),
        time_scale: 1_000.0,
        run: "judged".to_owned(),
        max_calls: Some(CALLS),
        keep_sent: Some(CALLS as usize),
        ..Plan::new(format!("http://{}", exchange.traffic), carrier, vec![NUMBER.to_owned()])
    }
}

fn wait<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(task)
}

#[test]
fn everyday_calls_are_judged_green_and_a_wrong_cent_is_not() {
    let bidders = bidders();
    let exchange = Exchange::start_with(&configured(&bidders), "[calls]\nnext_within_s = 2\n");
    let market = judged("judged");
    let admin = format!("http://{}", exchange.admin);
    let api = wait(Api::connect(&admin, None, false)).unwrap();
    wait(api.matches(&market)).unwrap();

    bidders.log(CALLS as usize * BIDDERS.len() * 2);
    let carriers = Carriers::start(plan(&exchange), Arc::new(Trace::default())).unwrap();
    assert!(carriers.wait(PATIENCE), "the calls end");
    let sent = carriers.finish(PATIENCE).sent;
    let calls: Vec<Call> = sent.iter().map(Call::from).collect();
    assert_eq!(calls.len() as u64, CALLS);
    let mut books = wait(api.read(&calls, PATIENCE)).unwrap();
    let seen = bidders.take_log().seen;

    let verdict = judge(&market, &calls, &seen, &books);
    assert!(verdict.is_green(), "{verdict}");
    assert_eq!(verdict.counts["auctioned"], CALLS as i64, "{verdict}");
    let is_used = |name| verdict.counts.get(name).is_some_and(|count| *count > 0);
    assert!(is_used("billable") && is_used("refused by capacity"), "{verdict}");

    // The same books with one cent moved from our margin to a buyer are red.
    let booked = books.calls.values_mut().find(|book| !book.entries.is_empty()).unwrap();
    for (kind, cents) in [("revenue", 1), ("margin", -1)] {
        let entry = booked.entries.iter_mut().find(|entry| &*entry.kind == kind).unwrap();
        entry.micros += cents * 10_000;
    }
    let verdict: Verdict = judge(&market, &calls, &seen, &books);
    assert!(verdict.check("money").unwrap().wrong > 0, "{verdict}");
    exchange.finish();
}

#[test]
fn what_is_not_the_scenarios_exchange_is_refused() {
    let bidders = bidders();
    let exchange = Exchange::start(&configured(&bidders));
    let connect = |url: &str| wait(Api::connect(url, None, false));
    let why = |refused: Result<Api, Refused>| refused.err().unwrap().to_string();

    let bidder = bidders.url("ann").replace("/bid", "");
    for url in [format!("http://{}", exchange.traffic), bidder] {
        let told = why(connect(&url));
        assert!(told.starts_with(&format!("{url} is not an Outcry exchange: /metrics answers ")), "{told}");
    }
    let told = why(connect("http://127.0.0.1:1"));
    assert!(told.contains("is not an Outcry exchange") && told.contains("refused"), "{told}");
    let told = why(connect("http://exchange.example:8081"));
    assert!(told.contains("exchange.example is not this machine"), "{told}");
    assert!(why(connect("exchange")).contains("is no URL"));

    let api = connect(&format!("http://{}", exchange.admin)).unwrap();
    assert_eq!(api.version(), env!("CARGO_PKG_VERSION"));
    type Change = fn(&mut Judged);
    let table: [(&str, Change); 4] = [
        ("target ann has concurrency 1, here 2", |m| m.targets[0].concurrency = Some(2)),
        ("target cid has daily_billable \"none\", here 9", |m| m.targets[2].daily_billable = Some(9)),
        ("target zoe is unknown there", |m| m.targets[3].id = "zoe".to_owned()),
        ("campaign health is unknown there", |m| m.campaign = "health".to_owned()),
    ];
    for (expected, change) in table {
        let mut market = judged("any");
        change(&mut market);
        let told = wait(api.matches(&market)).unwrap_err().to_string();
        assert!(told.contains(expected), "{expected:?} is not in {told:?}");
    }
    assert_eq!(wait(api.matches(&judged("any"))), Ok(()));
    exchange.finish();
}

/// A deadline that no bidder comes near, and lives of a second.
const SMALL: &str = r#"
about = "A small market"
[market]
deadline_ms = 900
settings = "[calls]\nnext_within_s = 2\n"
bidders = [
  { name = "b", count = 5, does = { kind = "bid", latency = { lognormal = { median_ms = 10, sigma = 0.4, cap_ms = 50 } }, price_cents = [800, 4000], no_bid_bps = 500 } },
]
fixed = [{ name = "f", count = 2, price_cents = 700 }]
[[phase]]
name = "lives"
servers = ["exchange"]
arrivals = { poisson = 100.0 }
seconds = 20
lives = true
time_scale = 200.0
"#;

/// As `load bidders`, `load calls` and `load judge` do it, each with what the one before left behind.
#[test]
fn the_verbs_of_load_bring_a_run_from_bidders_to_a_verdict() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("small.toml"), SMALL).unwrap();
    let (source, scenario) = verbs::scenario(&folder.path().join("small.toml")).unwrap();
    let file = |name: &str| folder.path().join(name);
    let (sent, seen, json) = (file("sent.jsonl"), file("seen.jsonl"), file("verdict.json"));
    let free = "127.0.0.1:0".parse().unwrap();
    let options = verbs::bidders::Options {
        first_port: None,
        config: Some(folder.path().to_owned()),
        traffic: free,
        admin: free,
        log: Some(seen.clone()),
        seconds: None,
        threads: 1,
    };
    let open = verbs::bidders::open(&scenario, &options).unwrap();
    assert_eq!(open.lines().lines().count(), 5);
    let (hgrm, exchange) = (file("hgrm"), Exchange::run(folder));
    let reach = verbs::Reach { admin: format!("http://{}", exchange.admin), key: None, i_own_this: false };
    let mut calls = verbs::calls::Options {
        to: format!("http://{}", exchange.traffic),
        reach: reach.clone(),
        phase: None,
        seconds: Some(2),
        rate: Some(20.0),
        log: Some(sent.clone()),
        hgrm: Some(hgrm.clone()),
        run: None,
        first_call: 1,
    };
    let mut told = 0;
    let mut place = |source: &Source, scenario: &Scenario, options: &verbs::calls::Options| {
        let mut tell = |_: &Snapshot| told += 1;
        verbs::calls::place(source, scenario, options, &mut Waiting::deaf().unwrap(), &mut tell)
    };

    // Another scenario's, and the wrong one of two listeners.
    let (other_source, other) = verbs::scenario(Path::new("cap-race")).unwrap();
    let why = place(&other_source, &other, &calls).unwrap_err();
    assert!(why.to_string().contains("target b-1 has concurrency \"none\", here 40"), "{why}");
    assert_eq!(why.code(), 64);
    let right = std::mem::replace(&mut calls.to, reach.admin.clone());
    let why = place(&source, &scenario, &calls).unwrap_err();
    assert!(why.to_string().contains("takes no calls for an Outcry exchange"), "{why}");
    assert_eq!(why.code(), 65);
    calls.to = right;

    let placed = place(&source, &scenario, &calls).unwrap();
    let figures = &placed.figures;
    assert!(figures.sent > 10 && figures.answered == figures.sent && figures.bridged > 0, "{placed}");
    assert_eq!((figures.cut_off, figures.in_progress), (0, 0), "{placed}");
    assert_eq!(placed.wrote, [sent.clone(), hgrm.join("decision.hgrm"), hgrm.join("since_sent.hgrm")]);
    assert!(placed.wrote.iter().all(|path| path.metadata().unwrap().len() > 0));
    assert!(told >= 3, "progress was told {told} times");
    open.close().unwrap();

    let options = verbs::judge::Options {
        reach,
        sent,
        seen,
        phase: None,
        run: None,
        alone: true,
        json: Some(json.clone()),
    };
    let found = verbs::judge::judge(&source, &scenario, &options).unwrap();
    assert!(found.verdict.is_green(), "{found}");
    assert_eq!(found.run, placed.run);
    assert!(found.verdict.counts["auctioned"] > 10 && found.figures["added_p50_us"] > 0.0, "{found}");
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(document["run"], placed.run.as_str());

    // Without one of the calls, the books have one that nobody sent.
    let text = std::fs::read_to_string(&options.sent).unwrap();
    std::fs::write(&options.sent, text.split_once('\n').unwrap().1).unwrap();
    let found = verbs::judge::judge(&source, &scenario, &options).unwrap();
    assert!(found.verdict.check("recorded").unwrap().wrong > 0, "{found}");
    exchange.finish();
}
