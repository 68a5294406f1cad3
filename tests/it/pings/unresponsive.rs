//! Targets that stop answering: no longer waited for after five misses, probed, and back with their first answer.
//! Scenario 26.

use std::time::{Duration, Instant};

use load::bidders::{Behaviour, Bidders, Script};
use serde_json::{Value, json};

use super::{bidder, bids, call, decided_in_ms, hang_up, note, outcome};
use crate::support::{Exchange, Market, PATIENCE, eventually};

const DEADLINE_MS: f64 = 300.0;
/// More than the deadline plus what is decided in it: a target that is waited for would be noticed.
const SOON_MS: f64 = 250.0;

fn market(bidders: &Bidders, sick: &[&str]) -> Market {
    let members: Vec<String> = sick.iter().map(|name| format!("\"{name}\"")).collect();
    let mut market =
        Market::new(&format!("{{ sequential = [{{ auction = [{}] }}, \"desk\"] }}", members.join(", ")))
            .campaign(&format!("deadline_ms = {DEADLINE_MS}\npayout = {{ fixed = \"5.00\" }}"))
            .buyer("desk", "")
            .target("desk", "desk", "price = \"12.00\"\naddress = \"+15125550901\"");
    for name in sick {
        market = market.bidder(name, &bidders.url(name));
    }
    market
}

fn is_unresponsive(exchange: &Exchange, target: &str) -> bool {
    exchange.metric("outcry_target_unresponsive", &format!("target=\"{target}\"")) == 1.0
}

/// Calls, one after the other, until the target is not waited for any more; how many it took.
fn sideline(exchange: &Exchange, target: &str) -> usize {
    let mut calls = 0;
    eventually("the target is not waited for", || {
        hang_up(exchange, &call(exchange));
        calls += 1;
        is_unresponsive(exchange, target).then_some(calls)
    })
}

/// So many lines of the log say so: written after the metric is set, and read by a thread of its own.
fn is_logged(exchange: &Exchange, target: &str, words: &str, times: usize) {
    eventually("the log says so", || (logged(exchange, target, words) >= times).then_some(()));
    assert_eq!(logged(exchange, target, words), times, "{:?}", exchange.log());
}

fn logged(exchange: &Exchange, target: &str, words: &str) -> usize {
    let lines: Vec<Value> =
        exchange.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_target = lines.iter().filter(|line| line["target.id"] == target);
    of_target.filter(|line| line["message"].as_str().is_some_and(|said| said.contains(words))).count()
}

#[test]
fn a_hanging_target_is_not_waited_for_after_five_misses_and_is_back_when_it_heals() {
    let bidders =
        Bidders::start(1, vec![Script::new("sick", Behaviour::Hang), bidder("well", 10, 2_000)]).unwrap();
    let exchange = Exchange::start(&market(&bidders, &["sick", "well"]));
    // On the page before anything happened.
    assert!(exchange.has_metric("outcry_target_unresponsive") && !is_unresponsive(&exchange, "sick"));
    let calls = sideline(&exchange, "sick");
    // One by one: the fifth miss is booked when the fifth call is decided.
    assert!((5..=6).contains(&calls), "{calls} calls");
    assert!(!is_unresponsive(&exchange, "well"));
    let pings = bidders.stats("sick").pings;
    is_logged(&exchange, "sick", "only probed", 1);

    // Nobody waits; it is probed in every 125th auction, over both workers, or every two seconds.
    let (began, mut soon, mut asked, mut calls) = (Instant::now(), 0, 0, 0);
    while asked < 2 && began.elapsed() < PATIENCE {
        let answer = call(&exchange);
        assert_eq!(answer["targets"][0]["address"], "+15125550900", "{answer:#}");
        soon += usize::from(decided_in_ms(&answer) < SOON_MS);
        hang_up(&exchange, &answer);
        match outcome_now(&exchange, &answer, "sick").as_str() {
            "unresponsive" => {
                let note = note(&exchange, &answer, "sick");
                assert!(note.ends_with(" misses in a row\""), "{note}");
            }
            "pending" | "timeout" => asked += 1,
            other => panic!("{other}"),
        }
        calls += 1;
    }
    let took = began.elapsed();
    assert!(soon * 10 >= calls * 9, "{soon} of {calls} were decided without waiting");
    assert!(bidders.wait("sick", PATIENCE, |seen| seen.pings - pings == asked));
    // What was so before is not known here: a probe may be due at once.
    let most = 1 + calls as u64 / 125 + took.as_millis() as u64 / 2_000;
    assert!((2..=most).contains(&asked), "{asked} probes in {calls} calls and {took:?}");

    // The first answered probe brings it back.
    bidders.set("sick", bids(5, 6_000));
    let healed = Instant::now();
    eventually("it is waited for again", || {
        hang_up(&exchange, &call(&exchange));
        (!is_unresponsive(&exchange, "sick")).then_some(())
    });
    assert!(healed.elapsed() < Duration::from_secs(3), "{:?}", healed.elapsed());
    is_logged(&exchange, "sick", "waited for", 2);
    let answer = call(&exchange);
    assert_eq!(outcome(&exchange, &answer, "sick"), "won 60.00");
    hang_up(&exchange, &answer);
    for change in ["sidelined", "back"] {
        let label = format!("change=\"{change}\"");
        assert_eq!(exchange.metric("outcry_target_unresponsive_changes_total", &label), 1.0, "{change}");
    }
    assert_eq!(bidders.stats("sick").reused_while_owing, 0);
    exchange.finish();
}

/// Endpoints go down together, and come back together: the first that is back has the others asked in the next auction,
/// not each when its own two seconds are over.
#[test]
fn the_first_that_is_back_sets_off_probes_of_the_others() {
    let (first, others) = ("first", ["second", "third"]);
    let mut scripts: Vec<Script> = others.iter().map(|name| bidder(name, 5, 3_000)).collect();
    // Auctions as slow as that are far from 125 in two seconds: nobody is probed by turn.
    scripts.extend([Script::new(first, Behaviour::Hang), bidder("well", 60, 2_000)]);
    let bidders = Bidders::start(1, scripts).unwrap();
    let exchange = Exchange::start(&market(&bidders, &[first, "second", "third", "well"]));
    // A second and a half apart, by five deadlines: so much later are the others probed by themselves.
    sideline(&exchange, first);
    others.iter().for_each(|name| bidders.set(name, Behaviour::Hang));
    sideline(&exchange, "second");
    eventually("both are not waited for", || is_unresponsive(&exchange, "third").then_some(()));
    let before = others.map(|name| bidders.stats(name).pings);
    for name in [first].iter().chain(&others) {
        bidders.set(name, bids(5, 6_000));
    }
    eventually("the first is waited for again", || {
        hang_up(&exchange, &call(&exchange));
        (!is_unresponsive(&exchange, first)).then_some(())
    });
    // It may have come back while this call before was decided, or after it.
    hang_up(&exchange, &call(&exchange));
    for (name, pings) in others.iter().zip(before) {
        assert!(bidders.wait(name, PATIENCE, |seen| seen.pings > pings), "{name} is probed");
        eventually("it is waited for again", || (!is_unresponsive(&exchange, name)).then_some(()));
    }
    exchange.finish();
}

/// The outcome as soon as the store has the call, pending or not.
fn outcome_now(exchange: &Exchange, answer: &Value, target: &str) -> String {
    let id = answer["call_id"].as_str().unwrap();
    eventually("the call is in the store", || {
        let answer = exchange.get(&format!("/api/v1/calls/{id}"));
        let told = (answer.status == 200).then(|| answer.json())?;
        let rows = told["steps"][0]["outcomes"].as_array()?.clone();
        let row = rows.into_iter().find(|row| row["target"] == target)?;
        Some(row["reason"].as_str()?.to_owned())
    })
}

/// Two targets of one buyer on one port, one of them answering: health is the target's, not the connection's.
#[test]
fn health_is_per_target() {
    let bidders = Bidders::start(1, vec![Script::new("sick", Behaviour::Hang)]).unwrap();
    let away = bidders.notice_url("sick");
    let market = Market::new(r#"{ auction = ["sick", "other"] }"#)
        .campaign(&format!("deadline_ms = {DEADLINE_MS}\npayout = {{ fixed = \"5.00\" }}"))
        .bidder("sick", &bidders.url("sick"))
        .target("other", "sick", &format!("endpoint = {{ url = \"{away}\" }}"));
    let exchange = Exchange::start(&market);
    // Only the bid endpoint hangs; another path is answered, though not with a bid: that is a complete reply in time.
    eventually("the target is not waited for", || {
        call(&exchange);
        is_unresponsive(&exchange, "sick").then_some(())
    });
    let answer = call(&exchange);
    assert_eq!(outcome(&exchange, &answer, "other"), "malformed");
    assert!(!is_unresponsive(&exchange, "other"));
    exchange.finish();
}

/// When nobody answers any more the static answer is given at once; refused connections are misses too.
#[test]
fn when_every_endpoint_is_unresponsive_the_static_answer_is_given_at_once() {
    let scripts = vec![Script::new("dead", Behaviour::DeadPort), Script::new("hangs", Behaviour::Hang)];
    let bidders = Bidders::start(1, scripts).unwrap();
    let exchange = Exchange::start(&market(&bidders, &["dead", "hangs"]));
    for name in ["dead", "hangs"] {
        sideline(&exchange, name);
    }
    let answer = eventually("a call is decided without waiting", || {
        let answer = call(&exchange);
        hang_up(&exchange, &answer);
        assert_eq!((&answer["basis"], &answer["reason"]), (&json!("static"), &json!("static")));
        (decided_in_ms(&answer) < SOON_MS / 2.0).then_some(answer)
    });
    assert_eq!(outcome(&exchange, &answer, "desk"), "won 12.00");
    // A probe keeps its own failure.
    eventually("a probe of the dead port is explained", || {
        let answer = call(&exchange);
        hang_up(&exchange, &answer);
        (outcome(&exchange, &answer, "dead") == "connect").then_some(())
    });
    assert!(bidders.wait("hangs", PATIENCE, |seen| seen.reused_while_owing == 0));
    exchange.finish();
}

/// A reload forgets the health of no target that is still asked where it was, and begins anew where it was moved.
#[test]
fn health_survives_a_reload_unless_the_target_moved() {
    let bidders =
        Bidders::start(1, vec![Script::new("sick", Behaviour::Hang), bidder("well", 5, 2_000)]).unwrap();
    let before = market(&bidders, &["sick"]);
    let exchange = Exchange::start(&before);
    sideline(&exchange, "sick");
    let reload = |market: &Market| {
        let done = || exchange.metric("outcry_config_reloads_total", "result=\"done\"");
        let times = done();
        market.write_catalog(exchange.folder.path());
        exchange.signal("HUP");
        eventually("the reload is done", || (done() > times).then_some(()));
    };
    reload(&before.clone().and("[buyer.third]\nname = \"Third\"\nzone = \"UTC\"\n"));
    assert!(is_unresponsive(&exchange, "sick"));
    // The same target elsewhere.
    let moved = Market::new(r#"{ sequential = [{ auction = ["sick"] }, "desk"] }"#)
        .campaign(&format!("deadline_ms = {DEADLINE_MS}\npayout = {{ fixed = \"5.00\" }}"))
        .buyer("desk", "")
        .target("desk", "desk", "price = \"12.00\"\naddress = \"+15125550901\"")
        .bidder("sick", &bidders.url("well"));
    reload(&moved);
    assert!(!is_unresponsive(&exchange, "sick"));
    let answer = call(&exchange);
    assert_eq!(outcome(&exchange, &answer, "sick"), "won 20.00");
    hang_up(&exchange, &answer);
    exchange.finish();
}
