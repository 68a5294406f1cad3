//! Reading one reply: bytes of a buyer in, a bid or one reason out.
//!
//! Stands for what the worker does for every reply of every auction while other replies wait behind it. Good replies
//! cost a quarter to one microsecond. The worst body is what a hostile buyer may send, 16 KiB, a quarter of a
//! millisecond: its length is bounded and so is the time, as long as no reader is quadratic. A regression to
//! milliseconds means that one is, and that one buyer can hold up the auctions of a whole worker.

use outcry::auction::bid::Reply;
use outcry::bidder::reply::{Terms, read};
use outcry::domain::{Money, PingId, Reason};

use crate::{Stopwatch, market};

/// Longest body taken.
const BODY: usize = 16 * 1_024;

pub fn run(watch: &mut Stopwatch) {
    let (target, endpoint) = (market::target("acme-main", 0), market::endpoint());
    let ping_id = PingId::from_bits(0x0193_4a5b_6c7d_7e8f_8a9b_acbd_cedf_e0f1);
    let terms = Terms {
        ping_id,
        currency: "USD",
        money_step: Money::from_micros(10_000),
        target: &target,
        endpoint: &endpoint,
        is_ours: &|_| false,
    };
    let bid_of = |amount: &str| {
        let amount = market::money(amount);
        move |reply: &Reply| matches!(reply, Reply::Bid(bid) if bid.amount == amount)
    };
    let refused = |reason: Reason| move |reply: &Reply| matches!(reply, Reply::NoBid(no_bid) if no_bid.reason == reason);
    let received = market::now();
    let mut measure = |name: &str, body: String, is_right: &dyn Fn(&Reply) -> bool| {
        watch.measure_on(
            name,
            || body.clone().into_bytes(),
            |mut body| {
                let reply = read(&terms, 200, &mut body, received);
                assert!(is_right(&reply), "{name}: {reply:?}");
                reply
            },
        );
    };

    measure("reply: a bid, as short as it goes", r#"{"bid":"25.50"}"#.to_owned(), &bid_of("25.50"));
    let full = format!(
        r#"{{"ping_id":"{ping_id}","bid":25.5,"currency":"USD","ttl_s":30,"min_duration_s":120,
            "destination":"+15125550900","buyer_ref":"a-1","debug":{{"score":0.87,"rules":[1,2,3]}}}}"#
    );
    measure("reply: a bid with all its terms", full, &bid_of("25.50"));
    let none = r#"{"bid":0,"reason":"closed for today"}"#.to_owned();
    measure("reply: no bid, with a word", none, &refused(Reason::NoBid));
    let page = "<html><body><h1>502 Bad Gateway</h1></body></html>".to_owned();
    measure("reply: a page of HTML", page, &refused(Reason::Malformed));

    // Keys are what the reader compares with each other: as many as fit, all different, none of ours.
    let mut keys = String::from("{\"bid\":\"25.50\"");
    for n in 0.. {
        let next = format!(",\"{n:x}\":0");
        if keys.len() + next.len() >= BODY {
            break;
        }
        keys += &next;
    }
    measure("reply: 16 KiB of keys", keys + "}", &bid_of("25.50"));
    let digits = format!("{{\"bid\":{}}}", "9".repeat(BODY - 8));
    measure("reply: 16 KiB of digits", digits, &refused(Reason::AboveMax));
}
