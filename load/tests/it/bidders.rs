//! Bidders as an exchange meets them.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use load::bidders::script::ScriptFile;
use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};
use load::client::{Client, Fault};
use load::log::{read_log, unix_us, write_log};
use load::seen::Seen;
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

#[tokio::test]
async fn the_log_has_every_ping_and_what_became_of_it() {
    let bid =
        Behaviour::Bid { latency: Latency::Fixed(5), price_cents: (250, 250), no_bid_bps: 0, ttl_s: None };
    let no_bid = Behaviour::NoBid { latency: Latency::Fixed(0), form: NoBidForm::Status204 };
    let scripts = [("hang", Behaviour::Hang), ("bid", bid), ("none", no_bid)];
    let scripts = scripts.into_iter().map(|(name, behaviour)| Script::new(name, behaviour)).collect();
    let bidders = Bidders::start(1, scripts).unwrap();
    bidders.remember(0);
    let client = Client::new(LIMIT);
    client.post(&bidders.url("bid"), None, ping(1)).await.unwrap();
    assert!(bidders.take_log().seen.is_empty(), "nothing is logged until it is asked for");

    bidders.log(3);
    let from = unix_us(Instant::now());
    client.post(&bidders.url("bid"), None, ping(2)).await.unwrap();
    client.post(&bidders.notice_url("bid"), None, ping(2)).await.unwrap();
    client.post(&bidders.url("none"), None, ping(2)).await.unwrap();
    let hasty = Client::new(Duration::from_millis(50));
    assert_eq!(hasty.post(&bidders.url("hang"), None, ping(2)).await.unwrap_err(), Fault::Timeout);
    let waited =
        tokio::task::spawn_blocking(move || (bidders.wait("hang", LIMIT, |s| s.given_up == 1), bidders));
    let (has_given_up, bidders) = waited.await.unwrap();
    assert!(has_given_up);
    client.post(&bidders.url("bid"), None, ping(3)).await.unwrap();
    client.post(&bidders.url("bid"), None, Bytes::from(r#"{"ping_id":"x"}"#)).await.unwrap();
    let to = unix_us(Instant::now());
    let log = bidders.take_log();

    assert_eq!((log.overflow, log.without_call), (1, 1));
    let names: Vec<&str> = bidders.names().collect();
    let fates = log.seen.iter().map(|seen| {
        let is_in_order = from <= seen.received_us && seen.replied_us.or(seen.given_up_us).unwrap() <= to;
        assert!(is_in_order, "{seen:?} is not between {from} and {to}");
        let replied_ms = seen.replied_us.map(|replied| (replied - seen.received_us) / 1_000 >= 5);
        (names[usize::from(seen.bidder)], seen.call, replied_ms, seen.given_up_us.is_some(), seen.bid_cents)
    });
    let expected = [
        ("bid", 2, Some(true), false, Some(250)),
        ("none", 2, Some(false), false, None),
        ("hang", 2, None, true, None),
    ];
    assert_eq!(fates.collect::<Vec<_>>(), expected);
    assert!(bidders.pings("bid").is_empty(), "nothing is remembered");
}

#[tokio::test]
async fn a_reply_still_owed_when_the_log_is_taken_is_not_in_the_next() {
    let bidders = start(1, Behaviour::Late { past_deadline_ms: 0, price_cents: 900 });
    bidders.log(10);
    let client = Client::new(LIMIT);
    let url = bidders.url("a");
    let asked = tokio::spawn(async move { client.post(&url, None, ping(1)).await });
    let waited = tokio::task::spawn_blocking(move || (bidders.wait("a", LIMIT, |s| s.pings == 1), bidders));
    let bidders = waited.await.unwrap().1;
    let owed = bidders.take_log();
    bidders.log(10);
    assert_eq!(asked.await.unwrap().unwrap().status, 200);
    assert_eq!((owed.seen.len(), owed.seen[0].replied_us), (1, None));
    assert!(bidders.take_log().seen.is_empty());
}

#[test]
fn a_written_log_reads_the_same() {
    let path = std::env::temp_dir().join(format!("load-seen-{}.jsonl", std::process::id()));
    let seen = |call, replied_us, given_up_us, bid_cents| {
        let (bidder, received_us) = (4_095, 1_772_471_045_000_001);
        Seen { call, bidder, received_us, replied_us, given_up_us, bid_cents }
    };
    let log = [seen(1, Some(1_772_471_045_000_900), None, Some(250)), seen(u64::MAX, None, Some(7), None)];
    write_log(&path, &log).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let second =
        r#"{"call":18446744073709551615,"bidder":4095,"received_us":1772471045000001,"given_up_us":7}"#;
    assert_eq!(text.lines().nth(1), Some(second));
    assert_eq!(read_log::<Seen>(&path).unwrap(), log);
    for (extra, said) in [
        (r#"{"call":1,"#.to_owned(), ":4: EOF"),
        (r#"{"call":1,"bidder":1}"#.to_owned(), ":4: missing field `received_us`"),
        (" ".repeat(70_000), ":4: a line of more than 65536 bytes"),
    ] {
        std::fs::write(&path, format!("{text}\n{extra}")).unwrap();
        let error = read_log::<Seen>(&path).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = read_log::<Seen>(&path).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("load-seen"), "{error}");
}

#[tokio::test]
async fn a_call_without_a_number_is_known_by_its_callers_token() {
    let behaviour =
        Behaviour::Bid { latency: Latency::Fixed(0), price_cents: (1, 999_999), no_bid_bps: 0, ttl_s: None };
    // the ping beside its id -> what its draws depend on
    let table = [
        (r#""caller":{"token":"k1:ab"}"#, "k1:ab"),
        (r#""deadline_ms":90,"caller":{"token":"k1:ab"},"tags":{"case":"x"}"#, "k1:ab"),
        (r#""caller":{"token":"k1:ab"},"tags":{"load_call":"77"}"#, "77"),
        (r#""deadline_ms":90,"caller":{"token":"k1:ab"},"tags":{"load_call":77}"#, "77"),
        (r#""caller":{"area_code":"512"}"#, "p1"),
    ];
    for remembered in [0, 10] {
        let bidders = start(9, behaviour.clone());
        bidders.remember(remembered);
        for (fields, key) in table {
            let body = Bytes::from(format!(r#"{{"ping_id":"p1",{fields}}}"#));
            let answer = Client::new(LIMIT).post(&bidders.url("a"), None, body).await.unwrap();
            let cents = behaviour.offer(9, "a", key, 500).price_cents.unwrap();
            let price = format!("{}.{:02}", cents / 100, cents % 100);
            let reply: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(reply, json!({"ping_id": "p1", "bid": price}), "{fields}");
        }
    }
}

#[tokio::test]
async fn wrong_types_are_no_bids_and_the_same_for_the_same_call() {
    let client = Client::new(LIMIT);
    let mut runs = Vec::new();
    for _ in 0..2 {
        let bidders = start(3, Behaviour::WrongTypes { latency: Latency::Fixed(0) });
        let mut bodies = Vec::new();
        for call in 0..60 {
            let answer = client.post(&bidders.url("a"), None, ping(call)).await.unwrap();
            assert_eq!(answer.status, 200);
            let reply: Value = serde_json::from_slice(&answer.body).unwrap();
            let is_bid = reply["ping_id"] == ping_id(call)
                && reply["bid"].as_str().is_some_and(|bid| bid.parse::<f64>().is_ok())
                && (reply["ttl_s"].is_null() || reply["ttl_s"].is_u64());
            assert!(!is_bid, "{reply} is a bid");
            bodies.push(String::from_utf8_lossy(&answer.body).replace(&ping_id(call), "$PING_ID"));
        }
        assert_eq!(bidders.stats("a").bids, 0);
        runs.push(bodies);
    }
    assert_eq!(runs[0], runs[1]);
    let sorts: HashSet<&str> = runs[0].iter().map(String::as_str).collect();
    assert_eq!(sorts, HashSet::from(load::raw::WRONG_TYPES), "each is sent now and then");
}

#[tokio::test]
async fn a_list_of_bidders_answers_as_it_says() {
    let latencies = std::env::temp_dir().join(format!("load-bidders-{}.txt", std::process::id()));
    std::fs::write(&latencies, "2\n3 # ms\n").unwrap();
    let list = json!({"bidder": [
        {"name": "fast", "count": 2, "behaviour":
            {"kind": "bid", "latency": {"empirical": latencies.file_name().unwrap().to_str()}, "price_cents": [100, 900]}},
        {"name": "none", "behaviour": {"kind": "no_bid"}},
        {"name": "dead", "behaviour": {"kind": "dead_port"}},
    ]});
    let file: ScriptFile = serde_json::from_value(list).unwrap();
    let scripts = file.scripts(&PathBuf::from(latencies.parent().unwrap())).unwrap();
    std::fs::remove_file(&latencies).unwrap();
    let bidders = Bidders::start(1, scripts.clone()).unwrap();
    assert_eq!(bidders.names().collect::<Vec<_>>(), ["fast-1", "fast-2", "none", "dead"]);
    let client = Client::new(LIMIT);
    for call in 0..10 {
        let answer = client.post(&bidders.url("fast-2"), None, ping(call)).await.unwrap();
        let offer = scripts[1].behaviour.offer(1, "fast-2", &call.to_string(), 200);
        assert!([2, 3].contains(&offer.delay.as_millis()), "{offer:?}");
        let seen = bidders.pings("fast-2").pop().unwrap();
        assert!(seen.replied.unwrap() - seen.received >= offer.delay);
        assert_eq!((answer.status, seen.bid_cents), (200, offer.price_cents));
    }
    assert_eq!(client.post(&bidders.url("none"), None, ping(1)).await.unwrap().status, 204);
    assert_eq!(client.post(&bidders.url("dead"), None, ping(1)).await.unwrap_err(), Fault::Connect);
}

#[test]
fn ports_follow_the_first_one() {
    let scripts = || vec![Script::new("a", Behaviour::Hang), Script::new("b", Behaviour::DeadPort)];
    // Others on this machine may take a port between the look and the start: then it is another's turn.
    let started = (0..50).find_map(|_| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Some((free, Bidders::start_at(1, scripts(), Some(free), 2).ok()?))
    });
    let (first, bidders) = started.expect("two free ports in a row");
    assert_eq!(bidders.url("a"), format!("http://127.0.0.1:{first}/bid"));
    assert_eq!(bidders.url("b"), format!("http://127.0.0.1:{}/bid", first + 1));

    let error = Bidders::start_at(1, scripts(), Some(first), 1).err().unwrap();
    let said = format!("port {first} for bidder \"a\": ");
    assert!(error.kind() == ErrorKind::AddrInUse && error.to_string().contains(&said), "{error}");
    for (first, said) in [(65_535, "there are 1 left"), (0, "1 to 65535")] {
        let error = Bidders::start_at(1, scripts(), Some(first), 1).err().unwrap();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn the_bidders_cpu_time_is_their_threads_alone() {
    let start_at = Instant::now();
    let bidders = start(1, bid(0));
    let before = bidders.cpu().unwrap();
    let client = Client::new(LIMIT);
    for call in 0..200 {
        client.post(&bidders.url("a"), None, ping(call)).await.unwrap();
    }
    let used = bidders.cpu().unwrap() - before;
    // Two system calls a ping take longer than a microsecond; one thread cannot use more than the time there was.
    assert!(used > Duration::from_micros(200) && used < start_at.elapsed(), "{used:?}");
}
