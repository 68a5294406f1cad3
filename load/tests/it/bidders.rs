//! Bidders as an exchange meets them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};
use load::client::{Client, Fault};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(10);

pub fn ping(call: u64) -> Bytes {
    let body = json!({
        "version": 1, "ping_id": ping_id(call), "deadline_ms": 200, "tags": {"load_call": call.to_string()},
    });
    body.to_string().into()
}

pub fn ping_id(call: u64) -> String {
    format!("01J{call:023}")
}

fn bid(latency_ms: u64) -> Behaviour {
    let latency = Latency::Lognormal { median_ms: latency_ms as f64, sigma: 0.4, cap_ms: 50 };
    Behaviour::Bid { latency, price_cents: (1_000, 9_000), no_bid_bps: 2_000, ttl_s: Some(30) }
}

fn start(seed: u64, behaviour: Behaviour) -> Bidders {
    Bidders::start(seed, vec![Script::new("a", behaviour)]).unwrap()
}

#[tokio::test]
async fn the_same_seed_and_call_give_the_same_bid_and_delay() {
    let client = Client::new(LIMIT);
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let bidders = start(seed, bid(3));
        let mut replies = Vec::new();
        for call in 0..40 {
            let sent = Instant::now();
            let answer = client.post(&bidders.url("a"), None, ping(call)).await.unwrap();
            let offer = bid(3).offer(seed, "a", &call.to_string(), 200);
            assert!(sent.elapsed() >= offer.delay, "answered before its delay of {:?}", offer.delay);
            match offer.price_cents {
                None => assert_eq!(answer.status, 204),
                Some(cents) => {
                    let body: Value = serde_json::from_slice(&answer.body).unwrap();
                    let price = format!("{}.{:02}", cents / 100, cents % 100);
                    assert_eq!(body, json!({"ping_id": ping_id(call), "bid": price, "ttl_s": 30}));
                }
            }
            replies.push((answer.status, answer.body));
        }
        let stats = bidders.stats("a");
        assert_eq!((stats.pings, stats.connections), (40, 1), "one kept connection");
        assert_eq!(stats.bids + stats.no_bids, 40);
        assert!(stats.no_bids > 0 && stats.bids > 0);
        runs.push(replies);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn a_hanging_bidder_sees_the_exchange_give_up() {
    let bidders = start(1, Behaviour::Hang);
    let client = Client::new(Duration::from_millis(50));
    let fault = client.post(&bidders.url("a"), None, ping(5)).await.unwrap_err();
    assert_eq!(fault, Fault::Timeout);
    // The client's connection ends on this runtime: whoever blocks it waits in vain.
    let waited =
        tokio::task::spawn_blocking(move || (bidders.wait("a", LIMIT, |s| s.given_up == 1), bidders));
    let (has_given_up, bidders) = waited.await.unwrap();
    assert!(has_given_up);
    let seen = &bidders.pings("a")[0];
    assert!(seen.given_up.unwrap() >= seen.received + Duration::from_millis(40));
    assert_eq!((seen.replied, seen.call), (None, Some(5)));
    let trace = bidders.trace().call(5, Instant::now()).unwrap();
    assert_eq!((trace.asked, trace.unanswered), (1, 1));
    assert_eq!(trace.latest_unanswered_deadline, Some(seen.received + Duration::from_millis(203)));
}

#[tokio::test]
async fn a_late_bid_counts_from_the_pings_deadline() {
    let bidders = start(1, Behaviour::Late { past_deadline_ms: 30, price_cents: 2_550 });
    let client = Client::new(LIMIT);
    client.post(&bidders.url("a"), None, ping(1)).await.unwrap();
    let seen = &bidders.pings("a")[0];
    assert!(seen.replied.unwrap() - seen.received >= Duration::from_millis(230));
    assert_eq!(seen.bid_cents, Some(2_550));
}

#[tokio::test]
async fn a_port_dies_and_comes_back_under_the_same_url() {
    let bidders = start(1, bid(1));
    let client = Client::new(LIMIT);
    let url = bidders.url("a");
    client.post(&url, None, ping(1)).await.unwrap();
    for _ in 0..3 {
        bidders.set("a", Behaviour::DeadPort);
        assert_eq!(Client::new(LIMIT).post(&url, None, ping(2)).await.unwrap_err(), Fault::Connect);
        assert_eq!(client.post(&url, None, ping(2)).await.unwrap_err(), Fault::Connect, "kept ones die too");
        bidders.set("a", bid(1));
        client.post(&url, None, ping(3)).await.unwrap();
    }
    let dead = start(1, Behaviour::DeadPort);
    assert_eq!(client.post(&dead.url("a"), None, ping(1)).await.unwrap_err(), Fault::Connect);
}

#[tokio::test]
async fn behaviour_changes_from_the_next_ping_on() {
    let bidders = start(1, Behaviour::NoBid { latency: Latency::Fixed(0), form: NoBidForm::Status204 });
    let client = Client::new(LIMIT);
    let url = bidders.url("a");
    assert_eq!(client.post(&url, None, ping(1)).await.unwrap().status, 204);
    bidders.set("a", Behaviour::Fixed { latency_ms: 0, body: r#"{"is":"$PING_ID"}"#.to_owned() });
    let answer = client.post(&url, None, ping(2)).await.unwrap();
    assert_eq!(answer.body, format!(r#"{{"is":"{}"}}"#, ping_id(2)));
    bidders.set("a", Behaviour::Status(503));
    assert_eq!(client.post(&url, None, ping(3)).await.unwrap().status, 503);
    assert_eq!(bidders.stats("a").connections, 1);
}

#[tokio::test]
async fn notices_are_kept_apart_and_memory_is_bounded() {
    let bidders = start(1, bid(0));
    bidders.remember(3);
    let client = Client::new(LIMIT);
    for call in 0..5 {
        client.post(&bidders.url("a"), None, ping(call)).await.unwrap();
    }
    let notice = client.post(&bidders.notice_url("a"), Some("k"), Bytes::from(r#"{"won":1}"#)).await.unwrap();
    assert_eq!(notice.status, 200);
    let calls: Vec<_> = bidders.pings("a").iter().filter_map(|seen| seen.call).collect();
    assert_eq!(calls, [2, 3, 4]);
    let notices = bidders.notices("a");
    assert_eq!((notices.len(), notices[0].body.as_str()), (1, r#"{"won":1}"#));
    assert_eq!(notices[0].header("authorization"), Some("Bearer k"));
    assert_eq!(bidders.stats("a").pings, 5);
}

#[test]
fn two_bidders_of_one_name_are_refused() {
    let twins = vec![Script::new("a", Behaviour::Hang), Script::new("a", Behaviour::Garbage)];
    let error = Bidders::start(1, twins).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
