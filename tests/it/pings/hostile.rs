//! Every hostile reply we know of, each against a healthy buyer: rows B1 to B8, scenario 19, and the nesting bomb.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};
use load::raw::{Hostile, bid_with, hostile};
use serde_json::Value;

use super::{bidder, bids, call, call_to, decided_in_ms, hang_up, one_worker, outcome};
use crate::support::{Exchange, Market, PATIENCE};

/// Long, so that a busy machine does not make the healthy buyer late.
const DEADLINE_MS: u32 = 900;
/// What a machine that does other things too may add to a decision.
const SLACK_MS: f64 = 600.0;
/// Calls at once.
const CALLERS: usize = 8;

#[test]
fn a_healthy_buyer_is_never_harmed_by_a_hostile_one() {
    let trap = Behaviour::NoBid { latency: Latency::Fixed(0), form: NoBidForm::Status204 };
    let trap = Bidders::start(1, vec![Script::new("trap", trap)]).unwrap();
    let mut entries = hostile(&trap.url("trap"));
    // Those that take longest first.
    entries.sort_by_key(|entry| !entry.expect.iter().any(|word| ["timeout", "late"].contains(word)));
    let mut scripts: Vec<Script> =
        entries.iter().map(|entry| Script::new(entry.name, entry.behaviour.clone())).collect();
    scripts.push(bidder("healthy", 5, 500));
    let bidders = Bidders::start(1, scripts).unwrap();
    let mut market = Market::new(r#"{ auction = ["healthy"] }"#).bidder("healthy", &bidders.url("healthy"));
    for (at, entry) in entries.iter().enumerate() {
        let (id, number) = (entry.name, number(at));
        market = market.bidder(id, &bidders.url(id)).and(&format!(
            "[campaign.{id}]\nvertical = \"auto\"\nplan = \"{id}\"\ndeadline_ms = {DEADLINE_MS}\n\
             payout = {{ fixed = \"1.00\" }}\n\
             [[number]]\nnumber = \"{number}\"\ncampaign = \"{id}\"\npublisher = \"pub\"\n\
             [plan.{id}]\nroot = {{ auction = [\"{id}\", \"healthy\"] }}\nterminal = {{ hangup = \"busy\" }}"
        ));
    }
    let exchange = Exchange::start_as(&market, &(one_worker() + "linger_ms = 500\n"));

    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while let Some((at, entry)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    entries.get(at).map(|entry| (at, entry))
                } {
                    // The second call meets whatever the first left in the pool.
                    for round in ["first", "second"] {
                        let answer = call_to(&exchange, &number(at));
                        if let Err(why) = judge(&exchange, entry, round, &answer) {
                            wrong.lock().unwrap().push(format!("{} {round}: {why}", entry.name));
                        }
                        if answer["action"] == "dial" {
                            hang_up(&exchange, &answer);
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} entries:\n{}", wrong.len(), entries.len(), wrong.join("\n"));
    assert_eq!(trap.stats("trap").connections, 0, "a redirect was followed");
    for entry in &entries {
        let seen = bidders.stats(entry.name);
        // Its reply was whole; that it goes on talking 20 ms later nobody can know.
        if entry.name != "second_response_when_idle" {
            assert_eq!(seen.reused_while_owing, 0, "{}: {seen:?}", entry.name);
        }
        assert_eq!(seen.bad_requests, 0, "{}: {seen:?}", entry.name);
    }
    exchange.finish();
}

fn number(at: usize) -> String {
    format!("+1800556{at:04}")
}

/// Whether one decision is one the entry may lead to; if not, what it was.
fn judge(exchange: &Exchange, entry: &Hostile, round: &str, answer: &Value) -> Result<(), String> {
    let explained = exchange.explained(answer["call_id"].as_str().unwrap());
    let decision = &explained["decision"];
    let said = outcome(exchange, answer, entry.name);
    let healthy = outcome(exchange, answer, "healthy");
    let note = &exchange.outcome(answer["call_id"].as_str().unwrap(), entry.name).1["note"];
    let evidence = format!(
        "{said} (note {note}), expected {:?}; healthy {healthy}; answer {} of {} at {}, {} ms",
        entry.expect,
        answer["action"],
        decision["target"],
        decision["price"],
        decided_in_ms(answer)
    );
    let reason = said.split(' ').next().unwrap_or_default();
    let is_fine = match reason {
        "won" => {
            entry.may_bid()
                && said == "won 25.50"
                && healthy == "outbid 5.00"
                && decision["target"] == entry.name
                && decision["price"] == "25.50"
        }
        _ => {
            let expected = entry.expect.iter().any(|word| means(word, reason))
                // An endless trailer or chunk extension is refused as HTTP, not as JSON.
                || (entry.row == "B3" && reason == "protocol");
            // What it said to the ping before may stand in for the answer to this one: then it names the other ping.
            let is_crossed = entry.row == "B8" && round == "second" && reason == "ping_mismatch";
            (expected || is_crossed)
                && healthy == "won 5.00"
                && decision["target"] == "healthy"
                && decision["price"] == "5.00"
        }
    };
    let is_in_time = decided_in_ms(answer) <= f64::from(DEADLINE_MS) + SLACK_MS;
    if is_fine && is_in_time && answer["action"] == "dial" { Ok(()) } else { Err(evidence) }
}

/// Whether an outcome is what an entry's word stands for.
fn means(word: &str, reason: &str) -> bool {
    match word {
        "bid" => reason == "won",
        "closed" => ["disconnected", "protocol"].contains(&reason),
        word => word == reason,
    }
}

/// Row B7: what another reader of the same bytes would read otherwise is not believed, and its connection not kept.
#[test]
fn ambiguous_framing_is_no_bid_and_ends_the_connection() {
    let body = r#"{"bid":"25.50"}"#;
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let reply = |headers: &str, body: &str| {
        Behaviour::Raw(format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}").into_bytes())
    };
    let length = format!("Content-Length: {}", body.len());
    let table = [
        ("plain", "won 25.50", reply(&length, body)),
        ("chunked", "won 25.50", reply("Transfer-Encoding: chunked", &chunks)),
        ("both", "protocol", reply("Content-Length: 5\r\nTransfer-Encoding: chunked", &chunks)),
        ("both_turned", "protocol", reply("Transfer-Encoding: chunked\r\nContent-Length: 25", &chunks)),
        ("gzip_below", "encoding", reply("Transfer-Encoding: gzip, chunked", &chunks)),
        ("gzip_beside", "encoding", reply("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", &chunks)),
        (
            "chunked_twice",
            "encoding",
            reply("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", &chunks),
        ),
        // Nothing may follow, and something is announced: whether it comes is not waited for.
        (
            "empty_with_length",
            "no_bid",
            Behaviour::Raw(b"HTTP/1.1 204 No Content\r\nContent-Length: 15\r\n\r\n".to_vec()),
        ),
        (
            "gzip_second",
            "encoding",
            reply(&format!("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n{length}"), body),
        ),
    ];
    let bidders = Bidders::start(1, vec![Script::new("odd", Behaviour::Hang), bidder("healthy", 5, 500)]);
    let bidders = bidders.unwrap();
    let market = Market::new(r#"{ auction = ["odd", "healthy"] }"#)
        .campaign("deadline_ms = 900\npayout = { fixed = \"1.00\" }")
        .bidder("odd", &bidders.url("odd"))
        .bidder("healthy", &bidders.url("healthy"));
    let exchange = Exchange::start_as(&market, &one_worker());
    for (name, expected, behaviour) in table {
        // A whole reply in between: who sends five in a row that are not read to their end is not asked any more.
        bidders.set("odd", bids(5, 2_550));
        hang_up(&exchange, &call(&exchange));
        bidders.set("odd", behaviour);
        for round in 0..3 {
            let before = bidders.stats("odd");
            let answer = call(&exchange);
            assert_eq!(outcome(&exchange, &answer, "odd"), expected, "{name}, round {round}");
            let is_kept = expected == "won 25.50";
            // Closed on refusal: what was open before is open still, and no more.
            let settled = bidders.wait("odd", PATIENCE, |now| {
                is_kept
                    || now.open_connections < now.connections - before.connections + before.open_connections
            });
            assert!(settled, "{name}, round {round}: {before:?} then {:?}", bidders.stats("odd"));
            hang_up(&exchange, &answer);
        }
    }
    exchange.finish();
}

/// Row E1: a parser that recurses over this ends the process, not the thread.
#[test]
fn a_nesting_bomb_does_not_end_the_process() {
    let note = |text: String| bid_with(format!(r#","note":{text}"#));
    let bombs = [
        ("arrays", note("[".repeat(15_000))),
        ("closed", note("[".repeat(7_500) + &"]".repeat(7_500))),
        ("objects", note(r#"{"a":"#.repeat(3_000))),
        ("mixed", note(r#"[{"a":"#.repeat(2_400))),
    ];
    let bidders = Bidders::start(1, vec![Script::new("bomb", Behaviour::Hang), bidder("healthy", 5, 500)]);
    let bidders = bidders.unwrap();
    let market = Market::new(r#"{ auction = ["bomb", "healthy"] }"#)
        .campaign("deadline_ms = 900\npayout = { fixed = \"1.00\" }")
        .bidder("bomb", &bidders.url("bomb"))
        .bidder("healthy", &bidders.url("healthy"));
    let exchange = Exchange::start(&market);
    for (name, behaviour) in bombs {
        bidders.set("bomb", behaviour);
        let answer = call(&exchange);
        assert_eq!(outcome(&exchange, &answer, "bomb"), "malformed", "{name}");
        assert_eq!(outcome(&exchange, &answer, "healthy"), "won 5.00", "{name}");
        hang_up(&exchange, &answer);
    }
    exchange.finish();
}
