//! kill -9 and a start on the same folder: calls go on, repeats hear the same bytes, caps, changes and health are what they
//! were; and what a start says when store and journal are not what it left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use load::bidders::{Behaviour, Bidders, Script};
use serde_json::{Value, json};

use crate::support::bids::{bid, bid_after, bidders};
use crate::support::market::{CALLER, NUMBER};
use crate::support::strace;
use crate::support::{Exchange, Folder, Market, eventually, http, outcry, path_of, request};

/// The caller waits for the next step.
const WAITING: &str = "[calls]\nnext_within_s = 30\n";

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

fn dialled(answer: &Value) -> &str {
    answer["targets"][0]["address"].as_str().unwrap_or("nobody")
}

fn busy() -> Value {
    json!({"cause": "busy", "ended_by": "target"})
}

/// Two buyers of one target each, tried in order; `lines` are those of the first.
fn market(lines: &str) -> Market {
    Market::new(r#"{ sequential = ["desk", "other"] }"#)
        .buyer("acme", lines)
        .target("desk", "acme", "price = \"20.00\"")
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"\naddress = \"+15125550901\"")
}

fn ended(talk_ms: i64) -> Value {
    json!({"event_id": "ended", "type": "ended", "attempt": 1, "at": "2026-11-20T09:01:35.000Z",
        "talk_ms": talk_ms, "cause": "normal", "ended_by": "caller"})
}

/// Reason of the target's refusal, or `won`; the call is given up.
fn outcome(exchange: &Exchange, call: &str, target: &str) -> String {
    let answer = exchange.decide(&ask(call));
    let reason = exchange.outcome(id(&answer), target).0;
    exchange.give_up(&answer);
    reason
}

#[test]
fn a_call_goes_on_and_is_settled_once() {
    let mut exchange = Exchange::start(&market("daily_billable = 3\nconcurrency = 2"));
    let ringing = exchange.decide(&ask("CA-ringing"));
    exchange.report(&ringing, "ringing", 0, json!({}));
    let talking = exchange.decide(&ask("CA-talking"));
    exchange.report(&talking, "answered", 1_000, json!({}));
    exchange.report(&talking, "bridged", 2_000, json!({}));
    for round in 0..2 {
        exchange = exchange.crash_and_restart();
        assert_eq!(exchange.remembered, 2.0 + f64::from(round));
        let levels = || exchange.metric("outcry_calls_active", "");
        eventually("both calls are in progress", || (levels() == 2.0).then_some(()));
        // Their slots are taken as before.
        assert_eq!(outcome(&exchange, &format!("CA-{round}"), "desk"), "concurrency");
    }
    for (answer, nth) in [(&talking, 1), (&ringing, 2)] {
        let taken = exchange.event(answer, &ended(93_000));
        assert_eq!(taken.status, 200, "{}", taken.text());
        let booked = exchange.ledger(id(answer));
        assert_eq!(booked.len(), 3, "{booked:?}");
        let end = exchange.end(id(answer));
        // A repeat changes nothing, before a further kill or after it.
        assert_eq!(exchange.event(answer, &ended(93_000)).status, 200);
        exchange = exchange.crash_and_restart();
        assert_eq!(exchange.event(answer, &ended(93_000)).status, 200);
        assert_eq!(exchange.event(answer, &ended(500_000)).status, 200);
        assert_eq!(exchange.ledger(id(answer)), booked, "Once broken: a repeat after a kill books again");
        assert_eq!(exchange.end(id(answer)), end, "Once broken: a repeat after a kill ends the call again");
        let explained = exchange.explained(id(answer));
        assert_eq!(explained["ledger"]["is_balanced"], true);
        let ends = explained["events"].as_array().unwrap().iter().filter(|event| event["type"] == "ended");
        assert_eq!(ends.count(), 1, "{explained:#}");
        let pnl = exchange.cli(&["pnl", "--by", "buyer", "--format", "json"]);
        let pnl: Value = serde_json::from_slice(&pnl.stdout).unwrap();
        let acme = pnl.as_array().unwrap().iter().find(|row| row["key"] == "acme").unwrap();
        assert_eq!((&acme["billable"], &acme["ended"]), (&json!(nth), &json!(nth)));
    }
    // Both slots are free, and of three units one is left.
    let last = exchange.decide(&ask("CA-last"));
    assert_eq!(exchange.outcome(id(&last), "desk").0, "won");
    exchange.talk(&last, 90_000);
    assert_eq!(outcome(&exchange, "CA-over", "desk"), "cap");
    exchange.finish();
}

#[test]
fn repeats_get_the_same_bytes() {
    let exchange = Exchange::start_with(&market(""), WAITING);
    let first = exchange.route(&ask("CA1"));
    let over = exchange.route(&ask("CA2"));
    exchange.talk(&over.json(), 90_000);
    let booked = exchange.ledger(id(&over.json()));
    let second = exchange.next(&first.json(), busy());
    let third = exchange.next(&second.json(), busy());
    assert_eq!(dialled(&second.json()), "+15125550901");
    assert_eq!(third.json()["action"], "hangup");
    // Of a call that was not asked about again before the kill.
    let quiet = exchange.route(&ask("CA3"));
    exchange.report(&quiet.json(), "ringing", 0, json!({}));
    let mut exchange = exchange.crash_and_restart();
    for _ in 0..2 {
        for (call, told) in [("CA1", &first), ("CA2", &over), ("CA3", &quiet)] {
            let again = exchange.route(&ask(call));
            assert_eq!((again.status, &again.body), (200, &told.body), "{call}");
        }
        for (asked, told) in [(&first, &second), (&second, &third)] {
            let again = exchange.next(&asked.json(), busy());
            assert_eq!((again.status, &again.body), (200, &told.body));
        }
        assert_eq!(exchange.event(&over.json(), &ended(500_000)).status, 200);
        assert_eq!(exchange.ledger(id(&over.json())), booked);
        exchange = exchange.crash_and_restart();
    }
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 0.0, "nothing was decided again");
    exchange.give_up(&quiet.json());
    exchange.next(&quiet.json(), json!({"cause": "cancelled", "ended_by": "caller"}));
    exchange.finish();
}

#[test]
fn the_next_step_is_that_of_the_same_decision() {
    let bidders = bidders([("best", bid("30.00")), ("second", bid("25.00")), ("third", bid("20.00"))]);
    let market = Market::new(r#"{ auction = ["best", "second", "third"] }"#)
        .patient()
        .bidder("best", &bidders.url("best"))
        .bidder("second", &bidders.url("second"))
        .bidder("third", &bidders.url("third"));
    let mut exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    let call = id(&first).to_owned();
    assert_eq!(exchange.outcome(&call, "best").0, "won");
    let mut answer = first;
    for (step, winner) in [(1, "second"), (2, "third")] {
        exchange.report(
            &answer,
            "ended",
            i64::from(step) * 1_000,
            json!({"event_id": format!("end-{step}"),
            "attempt": step, "cause": "busy", "ended_by": "target"}),
        );
        exchange = exchange.crash_and_restart();
        answer = exchange.go_on(&answer, busy());
        assert_eq!(answer["action"], "dial", "{answer:#}");
        // What explains the step is written down after it is answered.
        let rows = eventually("the step is explained", || {
            exchange.explained(&call)["steps"][step as usize]["outcomes"].as_array().cloned()
        });
        let won = rows.iter().find(|row| row["reason"] == "won").map(|row| row["target"].as_str().unwrap());
        assert_eq!(won, Some(winner), "{rows:#?}");
    }
    for name in ["best", "second", "third"] {
        assert_eq!(bidders.stats(name).pings, 1, "{name} is asked once");
    }
    let end = json!({"event_id": "end-3", "attempt": 3, "cause": "normal", "ended_by": "caller", "talk_ms": 90_000});
    exchange.report(&answer, "ended", 100_000, end);
    assert_eq!(exchange.ledger(&call).len(), 3);
    exchange.finish();
}

/// What is reported of the call while its step is being decided does not take the step away from it.
#[test]
fn a_step_that_was_being_decided_is_decided_anew_and_answered_once() {
    let bidders = bidders([("slow", Behaviour::Hang)]);
    let market = Market::new(r#"{ sequential = ["desk", { auction = ["slow"] }, "other"] }"#)
        .patient()
        .buyer("acme", "")
        .target("desk", "acme", "price = \"20.00\"")
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"\naddress = \"+15125550901\"")
        .bidder("slow", &bidders.url("slow"));
    let mut exchange = Exchange::start_with(&market, WAITING);
    let first = exchange.decide(&ask("CA1"));
    // An answer may leave before its call is on disk.
    exchange.explained(id(&first));
    for (round, more) in [false, true].into_iter().enumerate() {
        let pings = bidders.stats("slow").pings;
        let (address, path) = (exchange.traffic.clone(), path_of(first["next"].as_str().unwrap()));
        let body = json!({"step": 1, "result": "attempts_ended", "at": "2026-11-20T09:00:30.000Z",
            "attempts": [{"attempt": 1, "cause": "busy", "ended_by": "target"}]});
        let asking = std::thread::spawn(move || {
            http::try_request(&address, "POST", &path, None, body.to_string().as_bytes())
        });
        eventually("the step is being decided", || (bidders.stats("slow").pings > pings).then_some(()));
        if more {
            exchange.report(&first, "ringing", 500, json!({"event_id": format!("late-{round}")}));
        }
        let folder = exchange.crash();
        assert!(asking.join().unwrap().is_none(), "killed before it was decided");
        exchange = Exchange::run(folder);
    }
    bidders.set("slow", bid_after(5, "15.00"));
    let second = exchange.next(&first, busy());
    let told = second.json();
    assert_eq!((&told["action"], &told["step"]), (&json!("dial"), &json!(2)), "{told:#}");
    assert_eq!(exchange.next(&first, busy()).body, second.body);
    // What explains it is on disk a little after it is answered.
    let attempts = || exchange.explained(id(&first))["attempts"].as_array().unwrap().len();
    eventually("the step is explained", || (attempts() > 1).then_some(()));
    assert_eq!(attempts(), 2);
    assert_eq!(bidders.stats("slow").pings, 3, "once in each of three processes");
    let gone = json!({"cause": "cancelled", "ended_by": "caller"});
    exchange.next(&told, gone);
    exchange.finish();
}

/// A best bid that comes soon and ends the auction, and another target that may not bid as much.
fn early(bidders: &Bidders) -> Market {
    let endpoint = |name: &str, most: &str| {
        format!("endpoint = {{ url = \"{}\", max_bid = \"{most}\" }}", bidders.url(name))
    };
    Market::new(r#"{ auction = ["first", "second"] }"#)
        .campaign("deadline_ms = 900\npayout = { fixed = \"5.00\" }")
        .buyer("acme", "")
        .target("first", "acme", &endpoint("first", "100.00"))
        .buyer("bolt", "")
        .target("second", "bolt", &format!("{}\naddress = \"+15125550901\"", endpoint("second", "49.99")))
}

#[test]
fn a_bid_that_came_after_an_early_end_stands_for_the_next_step_after_a_kill_too() {
    let bidders = bidders([("first", bid("50.00")), ("second", bid_after(200, "30.00"))]);
    let exchange = Exchange::start_with(&early(&bidders), WAITING);
    let answer = exchange.decide(&ask("CA1"));
    let (reason, row) = exchange.outcome(id(&answer), "second");
    assert_eq!((reason.as_str(), &row["amount"]), ("not_needed", &json!("30.00")), "{row}");
    let exchange = exchange.crash_and_restart();
    let next = exchange.go_on(&answer, busy());
    assert_eq!(dialled(&next), "+15125550901", "{next:#}");
    exchange.next(&next, json!({"cause": "cancelled", "ended_by": "caller"}));
    exchange.finish();
}

/// Nobody reads the reply to a ping that was out when the process was killed.
#[test]
fn a_ping_that_was_out_gets_its_one_outcome_after_a_kill() {
    let bidders = bidders([("first", bid("50.00")), ("second", Behaviour::Hang)]);
    let exchange = Exchange::start_with(&early(&bidders), &format!("linger_ms = 5000\n{WAITING}"));
    let answer = exchange.decide(&ask("CA1"));
    exchange.report(&answer, "ringing", 0, json!({}));
    let steps = |exchange: &Exchange| exchange.explained(id(&answer))["steps"].clone();
    let page = exchange.get(&format!("/api/v1/calls/{}", id(&answer))).json();
    assert_eq!(page["steps"][0]["outcomes"][1]["reason"], "pending", "{page:#}");
    let mut exchange = exchange.crash_and_restart();
    assert_eq!(exchange.outcome(id(&answer), "first").0, "won");
    assert_eq!(exchange.outcome(id(&answer), "second").0, "interrupted");
    let told = steps(&exchange);
    exchange = exchange.crash_and_restart();
    assert_eq!(steps(&exchange), told);
    exchange.next(&answer, json!({"cause": "cancelled", "ended_by": "caller"}));
    exchange.finish();
}

/// However often it is killed, no more than the cap is handed out.
#[test]
fn a_daily_cap_holds_over_several_kills() {
    let mut exchange = Exchange::start(&market("daily_billable = 5"));
    let mut handed = Vec::new();
    for round in 0..8 {
        let answer = exchange.decide(&ask(&format!("CA{round}")));
        let is_desk = dialled(&answer) == "+15125550900";
        assert_eq!(is_desk, round < 5, "round {round}");
        match round {
            // One is billed, one is not worth its unit, the others are still talking.
            0 => exchange.talk(&answer, 90_000),
            _ if is_desk => exchange.report(&answer, "bridged", 1_000, json!({})),
            _ => exchange.give_up(&answer),
        }
        if is_desk {
            handed.push(answer);
        }
        exchange = exchange.crash_and_restart();
    }
    // A unit that comes back is there again, once.
    exchange.report(
        &handed[1],
        "ended",
        3_000,
        json!({"cause": "normal", "ended_by": "caller", "talk_ms": 1}),
    );
    exchange = exchange.crash_and_restart();
    let again = exchange.decide(&ask("CA-again"));
    assert_eq!(dialled(&again), "+15125550900");
    exchange.talk(&again, 90_000);
    assert_eq!(outcome(&exchange, "CA-full", "desk"), "cap");
    for answer in &handed[2..] {
        assert_eq!(exchange.event(answer, &ended(90_000)).status, 200);
        exchange = exchange.crash_and_restart();
    }
    assert_eq!(outcome(&exchange, "CA-full-too", "desk"), "cap");
    let booked: usize = handed.iter().chain([&again]).map(|answer| exchange.ledger(id(answer)).len()).sum();
    assert_eq!(booked, 15, "five calls");
    exchange.finish();
}

fn patch(exchange: &Exchange, path: &str, body: &Value) {
    let path = format!("/api/v1/{path}");
    let answer = request(&exchange.admin, "PATCH", &path, None, body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn changes(exchange: &Exchange) -> usize {
    exchange.get("/api/v1/changes").json()["changes"].as_array().unwrap().len()
}

#[test]
fn changes_survive_and_so_does_a_target_that_does_not_answer() {
    let bidders = crate::support::bids::bidders([("sick", Behaviour::Hang), ("well", bid("15.00"))]);
    let market = Market::new(r#"{ sequential = ["desk", { auction = ["sick", "well"] }] }"#)
        .buyer("acme", "")
        .target("desk", "acme", "price = \"20.00\"")
        .bidder("sick", &bidders.url("sick"))
        .bidder("well", &bidders.url("well"));
    let mut exchange = Exchange::start(&market);
    patch(&exchange, "targets/desk", &json!({"paused": true}));
    patch(&exchange, "buyers/well", &json!({"daily_billable": 1_000}));
    let is_sidelined =
        |exchange: &Exchange| exchange.metric("outcry_target_unresponsive", "target=\"sick\"") == 1.0;
    let mut calls = 0;
    let mut call = |exchange: &Exchange| {
        calls += 1;
        let answer = exchange.decide(&ask(&format!("CA{calls}")));
        assert_ne!(answer["basis"], "static", "the desk is paused: {answer:#}");
        exchange.give_up(&answer);
        answer
    };
    eventually("the target is not waited for", || {
        call(&exchange);
        is_sidelined(&exchange).then_some(())
    });
    call(&exchange);
    // Levels are told right after health is handed to the journal.
    let decided = exchange.metric("outcry_decisions_total", "");
    eventually("it is handed in", || {
        (exchange.metric("outcry_calls_remembered", "") == decided).then_some(())
    });
    // On disk before what is acknowledged behind it.
    call(&exchange);
    for _ in 0..2 {
        exchange = exchange.crash_and_restart();
        assert_eq!(changes(&exchange), 2);
        assert!(is_sidelined(&exchange), "before anybody was asked");
        let (pings, began) = (bidders.stats("sick").pings, Instant::now());
        for _ in 0..3 {
            call(&exchange);
        }
        // A miss was not waited for: at most a probe has been sent, and another two seconds later.
        assert!(bidders.stats("sick").pings <= pings + 1 + began.elapsed().as_secs() / 2);
    }
    bidders.set("sick", bid("30.00"));
    eventually("it is back", || {
        call(&exchange);
        (!is_sidelined(&exchange)).then_some(())
    });
    exchange.finish();
}

fn journal(folder: &Path) -> PathBuf {
    folder.join("store/outcry.journal")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn warned(exchange: &Exchange, words: &str) -> bool {
    exchange.log().iter().any(|line| line.contains("\"WARN\"") && line.contains(words))
}

/// As the version before the journal left it; and as it is when the journal was lost.
#[test]
fn a_store_without_a_journal_is_taken_over() {
    let exchange = Exchange::start(&market("daily_billable = 4\nconcurrency = 3"));
    patch(&exchange, "buyers/acme", &json!({"daily_billable": 3}));
    let billed = exchange.decide(&ask("CA1"));
    exchange.talk(&billed, 90_000);
    let talking = exchange.decide(&ask("CA2"));
    exchange.report(&talking, "bridged", 1_000, json!({}));
    // Everything that was acknowledged is in the store when this is.
    assert_eq!(exchange.ledger(id(&billed)).len(), 3);
    let folder = exchange.crash();
    fs::remove_dir_all(journal(folder.path())).unwrap();
    let mut exchange = Exchange::run(folder);
    assert!(warned(&exchange, "another journal"), "{:#?}", exchange.log());
    for round in 0..2 {
        assert_eq!(changes(&exchange), 1);
        assert_eq!(exchange.event(&talking, &ended(90_000)).status, 404, "it is not known any more");
        assert_eq!(exchange.ledger(id(&billed)).len(), 3);
        if round == 0 {
            let third = exchange.decide(&ask("CA3"));
            assert_eq!(exchange.outcome(id(&third), "desk").0, "won");
            exchange.talk(&third, 90_000);
        }
        let (call, target) = (format!("CA-full-{round}"), "desk");
        assert_eq!(outcome(&exchange, &call, target), "cap", "one billed, one unresolved, one billed since");
        exchange = exchange.crash_and_restart();
    }
    exchange.finish();
}

#[test]
fn a_store_that_was_deleted_is_made_again() {
    let exchange = Exchange::start(&market(""));
    let calls: Vec<Value> = (0..5).map(|n| exchange.decide(&ask(&format!("CA{n}")))).collect();
    calls.iter().for_each(|answer| exchange.talk(answer, 90_000));
    let open = exchange.decide(&ask("CA-open"));
    exchange.report(&open, "ringing", 0, json!({}));
    let page = |exchange: &Exchange, call: &Value| exchange.explained(id(call));
    let before: Vec<Value> = calls.iter().chain([&open]).map(|call| page(&exchange, call)).collect();
    let folder = exchange.crash();
    for file in fs::read_dir(folder.path().join("store")).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("outcry.db") {
            fs::remove_file(path).unwrap();
        }
    }
    let exchange = Exchange::run(folder);
    for (call, before) in calls.iter().chain([&open]).zip(&before) {
        assert_eq!(&page(&exchange, call), before);
    }
    calls.iter().for_each(|call| assert_eq!(exchange.ledger(id(call)).len(), 3));
    exchange.give_up(&open);
    exchange.finish();
}

/// Every file of a folder with its bytes.
fn listing(path: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(path).into_iter().flatten().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// `outcry serve` that must refuse with this code and one line, and touch nothing in the journal's folder.
fn refused(folder: &Folder, code: i32, words: &[&str]) {
    let settings = folder.path().join("outcry.toml");
    let before = listing(&journal(folder.path()));
    let output = outcry(&["serve", "--config", settings.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    let plain: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(plain.len(), 1, "one line: {said}");
    words.iter().for_each(|word| assert!(plain[0].contains(word), "{word}: {said}"));
    assert!(before == listing(&journal(folder.path())), "nothing is touched");
}

#[test]
fn an_older_copy_of_the_journal_is_refused() {
    let exchange = Exchange::start(&market(""));
    let first = exchange.decide(&ask("CA1"));
    exchange.talk(&first, 90_000);
    let folder = exchange.finish();
    let old = folder.path().join("old");
    copy(&journal(folder.path()), &old);
    let exchange = Exchange::run(folder);
    let second = exchange.decide(&ask("CA2"));
    exchange.talk(&second, 90_000);
    assert_eq!(exchange.ledger(id(&second)).len(), 3);
    let folder = exchange.finish();
    let new = folder.path().join("new");
    copy(&journal(folder.path()), &new);
    fs::remove_dir_all(journal(folder.path())).unwrap();
    copy(&old, &journal(folder.path()));
    refused(&folder, 65, &["older copy", "outcry.db", "put the later one back", "--accept-loss"]);
    fs::remove_dir_all(journal(folder.path())).unwrap();
    copy(&new, &journal(folder.path()));
    let exchange = Exchange::run(folder);
    assert_eq!(exchange.ledger(id(&second)).len(), 3);
    exchange.finish();
}

/// A catalog whose text is larger than a segment, and the smallest segments there may be: it starts, again and again, takes
/// changes, and the store has the text.
#[test]
fn a_catalog_larger_than_a_segment_is_kept_in_parts() {
    let folder = Folder::new();
    market("").write(folder.path(), "");
    let settings = fs::read_to_string(folder.path().join("outcry.toml")).unwrap();
    assert!(settings.contains("segment_mb = 1\n"), "{settings}");
    let line = format!("# {}é\n", "large ".repeat(150));
    let large = line.repeat(2 * 1024 * 1024 / line.len());
    fs::write(folder.path().join("catalog/notes.toml"), &large).unwrap();
    let mut exchange = Exchange::run(folder);
    for round in 0..2 {
        patch(&exchange, "buyers/bolt", &json!({"daily_billable": 7 + round}));
        let answer = exchange.decide(&ask(&format!("CA{round}")));
        exchange.talk(&answer, 90_000);
        exchange = exchange.crash_and_restart();
        assert_eq!(changes(&exchange), 1);
    }
    assert_eq!(exchange.metric("outcry_journal_faults_total", ""), 0.0, "{:#?}", exchange.log());
    let told = exchange.cli(&["records", "check"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let folder = exchange.finish();
    let store = outcry::records::sqlite::Reader::open(&folder.path().join("store/outcry.db")).unwrap();
    let newest = store.calls(&Default::default(), 1).unwrap().remove(0).decision.unwrap().catalog;
    let kept = store.catalog(&newest).unwrap().expect("the text of the catalog it was decided by");
    assert!(kept.text.contains(&large) && kept.text.len() > large.len(), "{} bytes", kept.text.len());
}

/// The journal has lost its end, and the store has read it: what the store has counts, once.
#[test]
fn a_journal_that_ends_before_the_store_can_be_gone_on_with() {
    let exchange = Exchange::start(&market("daily_billable = 3"));
    let first = exchange.decide(&ask("CA1"));
    exchange.talk(&first, 90_000);
    let folder = exchange.finish();
    let old = folder.path().join("old");
    copy(&journal(folder.path()), &old);
    let exchange = Exchange::run(folder);
    let second = exchange.decide(&ask("CA2"));
    exchange.talk(&second, 90_000);
    patch(&exchange, "buyers/bolt", &json!({"daily_billable": 7}));
    assert_eq!(exchange.ledger(id(&second)).len(), 3);
    let folder = exchange.finish();
    fs::remove_dir_all(journal(folder.path())).unwrap();
    copy(&old, &journal(folder.path()));
    refused(&folder, 65, &["--accept-loss"]);
    let exchange = Exchange::run_without_what_is_lost(folder);
    assert!(warned(&exchange, "are given up as was asked for"), "{:#?}", exchange.log());
    let lost = exchange.metric("outcry_journal_given_up_records", "");
    assert!(lost >= 5.0, "{lost}");
    // Killed before anything else happens, it goes on where it was: nothing is asked for again.
    let mut exchange = exchange.crash_and_restart();
    assert_eq!(exchange.metric("outcry_journal_given_up_records", ""), 0.0);
    assert_eq!(changes(&exchange), 1, "a change that only the store has stands");
    for answer in [&first, &second] {
        assert_eq!(exchange.ledger(id(answer)).len(), 3);
    }
    // Two of three are used up, by the journal and by the store.
    let third = exchange.decide(&ask("CA3"));
    assert_eq!(exchange.outcome(id(&third), "desk").0, "won");
    exchange.talk(&third, 90_000);
    for round in 0..2 {
        let over = outcome(&exchange, &format!("CA4-{round}"), "desk");
        assert_eq!(over, "cap", "round {round}");
        exchange = exchange.crash_and_restart();
    }
    assert_eq!(exchange.ledger(id(&third)).len(), 3);
    let told = exchange.cli(&["records", "check"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    exchange.finish();
}

#[test]
fn a_journal_that_is_not_to_be_used_is_named() {
    let exchange = Exchange::start(&market(""));
    let answer = exchange.decide(&ask("CA1"));
    exchange.talk(&answer, 90_000);
    // Another process with another store, and this journal.
    let other = Folder::new();
    let settings = fs::read_to_string(exchange.settings()).unwrap();
    let path = journal(exchange.folder.path());
    let shared = settings.replace("[journal]\n", &format!("[journal]\npath = \"{}\"\n", path.display()));
    market("").write_as(other.path(), &shared);
    refused(&other, 64, &["outcry.journal", "in use by another process"]);
    let folder = exchange.finish();
    // Somebody else's folder.
    let foreign = Folder::new();
    market("").write(foreign.path(), "");
    fs::create_dir_all(journal(foreign.path())).unwrap();
    fs::write(journal(foreign.path()).join("notes.txt"), "not ours").unwrap();
    refused(&foreign, 64, &["is no journal", "notes.txt"]);
    // Without its identity, of a version to come, and damaged.
    let identity = journal(folder.path()).join("ID");
    let good = fs::read(&identity).unwrap();
    fs::remove_file(&identity).unwrap();
    refused(&folder, 64, &["is no journal"]);
    let mut newer = good[..28].to_vec();
    newer[8] += 1;
    newer.extend_from_slice(&crc32c::crc32c(&newer).to_le_bytes());
    fs::write(&identity, newer).unwrap();
    refused(
        &folder,
        65,
        &["ID has format 2", "this version reads 1 to 1", "start the version of outcry that wrote it"],
    );
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    fs::write(&identity, bad).unwrap();
    refused(&folder, 65, &["ID", "restore it from a copy"]);
    fs::write(&identity, good).unwrap();
    // A hole where acknowledged records were.
    let mut segments: Vec<PathBuf> = fs::read_dir(journal(folder.path()))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("0000"))
        .collect();
    segments.sort();
    let mut holed = fs::read(&segments[0]).unwrap();
    holed[4_096 + 200] ^= 0x40;
    fs::write(&segments[0], holed).unwrap();
    refused(&folder, 65, &["--accept-loss", "missing or damaged"]);
    // Gone on without it: the store has what it read before, and what comes now is kept.
    let exchange = Exchange::run_without_what_is_lost(folder);
    assert_eq!(exchange.ledger(id(&answer)).len(), 3);
    let next = exchange.decide(&ask("CA2"));
    exchange.talk(&next, 90_000);
    let exchange = exchange.crash_and_restart();
    for answer in [&answer, &next] {
        assert_eq!(exchange.ledger(id(answer)).len(), 3);
    }
    assert_eq!(exchange.event(&next, &ended(90_000)).status, 200);
    exchange.finish();
}

/// `outcry serve` behind a shell that mounts something in a name space of its own first; none where the system forbids that.
fn serve_mounted(folder: &Folder, mount: &str) -> Option<std::process::Output> {
    let run = |script: &str| {
        Command::new("unshare").args(["--map-root-user", "--mount", "sh", "-c", script]).output().ok()
    };
    let path = journal(folder.path());
    run(&format!("{mount} {}", path.display())).filter(|output| output.status.success())?;
    let serve = format!(
        "{mount} {} && exec {} serve --config {}",
        path.display(),
        env!("CARGO_BIN_EXE_outcry"),
        folder.path().join("outcry.toml").display()
    );
    run(&serve)
}

/// One line that says what to do, and nothing is touched: no room, a disk that is read-only, no right to write.
#[test]
fn a_directory_that_takes_nothing_is_named() {
    let exchange = Exchange::start(&market(""));
    let answer = exchange.decide(&ask("CA1"));
    exchange.talk(&answer, 90_000);
    let folder = exchange.finish();
    let one_line = |output: &std::process::Output, code: i32, words: &[&str]| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let plain: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
        assert_eq!(plain.len(), 1, "one line: {said}");
        words.iter().for_each(|word| assert!(plain[0].contains(word), "{word}: {said}"));
    };
    let before = listing(&journal(folder.path()));
    // A disk of a megabyte, and one that is read-only, where the journal should be.
    let small = serve_mounted(&folder, "mount -t tmpfs -o size=1m none");
    let read_only = serve_mounted(&folder, "mount -t tmpfs -o ro none");
    match (small, read_only) {
        (Some(small), Some(read_only)) => {
            one_line(
                &small,
                64,
                &["outcry.journal has", "bytes free", "make room, or name another directory"],
            );
            one_line(
                &read_only,
                64,
                &["outcry.journal cannot be written", "Read-only", "name another directory"],
            );
        }
        _ => println!("this system mounts nothing for a test; the rest is tested all the same"),
    }
    let traced = |inject: &str| {
        let mut command = strace::from_the_start(inject);
        command.arg("--config").arg(folder.path().join("outcry.toml")).output().unwrap()
    };
    let denied = traced("access,faccessat,faccessat2:error=EACCES");
    one_line(&denied, 64, &["outcry.journal cannot be written", "give this user the right to"]);
    assert!(before == listing(&journal(folder.path())), "nothing is touched");
    // A journal that is not there yet is not begun where it cannot be.
    fs::rename(journal(folder.path()), folder.path().join("kept")).unwrap();
    fs::remove_file(folder.path().join("store/outcry.db")).unwrap();
    let denied = traced("access,faccessat,faccessat2:error=EACCES");
    one_line(&denied, 64, &["outcry.journal cannot be written"]);
    assert!(!journal(folder.path()).exists() && !folder.path().join("store/outcry.db").exists());
    fs::rename(folder.path().join("kept"), journal(folder.path())).unwrap();
    let exchange = Exchange::run(folder);
    assert_eq!(exchange.ledger(id(&answer)).len(), 3, "and all is as it was");
    exchange.finish();
}

#[test]
fn a_second_signal_stops_at_once_and_loses_nothing() {
    let bidders = load::bidders::Bidders::start(1, vec![Script::new("hangs", Behaviour::Hang)]).unwrap();
    let market = Market::new(r#"{ sequential = ["desk", { auction = ["hangs"] }] }"#)
        .patient()
        .buyer("acme", "concurrency = 1")
        .target("desk", "acme", "price = \"20.00\"")
        .bidder("hangs", &bidders.url("hangs"));
    let mut exchange = Exchange::start_with(&market, "linger_ms = 5000\n");
    let talking = exchange.decide(&ask("CA1"));
    exchange.report(&talking, "bridged", 1_000, json!({}));
    let (address, body) = (exchange.traffic.clone(), ask("CA2").to_string());
    let asking = std::thread::spawn(move || {
        let key = Some(crate::support::market::KEY);
        http::try_request(&address, "POST", "/v1/route", key, body.as_bytes())
    });
    eventually("a call is being decided", || (bidders.stats("hangs").pings == 1).then_some(()));
    exchange.signal("TERM");
    for address in [exchange.traffic.clone(), exchange.admin.clone()] {
        eventually("nobody is let in", || std::net::TcpStream::connect(&address).is_err().then_some(()));
    }
    // The first was heard by now, so that this is the second; and it is enough.
    let began = Instant::now();
    exchange.signal("TERM");
    let code = eventually("it stops at once", || exchange.ended());
    assert_eq!(code, 1, "{:?}", exchange.log());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(asking.join());
    let exchange = Exchange::run(exchange.crash());
    assert_eq!(exchange.event(&talking, &ended(90_000)).status, 200);
    assert_eq!(exchange.ledger(id(&talking)).len(), 3);
    exchange.finish();
}
