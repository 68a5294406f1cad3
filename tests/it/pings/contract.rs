//! What a ping says and to whom: the bid contract on the wire, its signature, and how much of the caller leaves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use load::bidders::{Bidders, SeenPing};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{bidder, hang_up};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Folder, Market};

/// The buyers, each named after its policy.
const POLICIES: [&str; 3] = ["token", "none", "full"];
const PLAIN_SECRET: &str = "a secret of at least 24 bytes, as it stands";

/// One call with everything a carrier can say, asked of a buyer of each policy. `token` is signed for with a secret in
/// the form of Standard Webhooks, `full` with a plain one, `none` with none.
fn asked() -> (Bidders, Value) {
    let bidders = Bidders::start(1, POLICIES.map(|name| bidder(name, 5, 2_000)).to_vec()).unwrap();
    let folder = Folder::new();
    let secret = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        format!(", secret_file = {:?}", file.to_str().unwrap())
    };
    let mut market = Market::new(r#"{ auction = ["token", "none", "full"] }"#)
        .campaign("deadline_ms = 900\nfloor = \"7.00\"\npayout = { fixed = \"5.00\" }\n");
    for name in POLICIES {
        let signed = match name {
            "token" => secret("whsec", &format!("whsec_{}\n", STANDARD.encode([7; 32]))),
            "full" => secret("plain", PLAIN_SECRET),
            _ => String::new(),
        };
        let shown = if name == "full" { "show_floor = true" } else { "" };
        market = market.buyer(name, &format!("disclosure = \"{name}\"\n{shown}")).target(
            name,
            name,
            &format!("endpoint = {{ url = \"{}\"{signed} }}", bidders.url(name)),
        );
    }
    let exchange = Exchange::start(&market);
    let call = json!({"carrier_call_id": format!("CA-{CALLER}"), "to": NUMBER, "from": CALLER, "sub_id": "fb-77",
        "from_raw": CALLER, "geo": {"state": "TX", "zip": "78701", "city": "Austin"},
        "stir": {"attest": "A", "verified": "passed", "diverted": false},
        "headers": {"X-From": CALLER},
        "tags": {"case": "call 512.555.0123", "load_call": 7, "name": "Ada Lovelace", "secret": "not named"}});
    let answer = exchange.route(&call);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    hang_up(&exchange, &answer);
    exchange.finish();
    (bidders, answer)
}

fn only_ping(bidders: &Bidders, name: &str) -> (SeenPing, Value) {
    let pings = bidders.pings(name);
    assert_eq!(pings.len(), 1, "{name}: {pings:?}");
    let ping = pings[0].clone();
    let body = serde_json::from_str(&ping.body).unwrap_or_else(|error| panic!("{error}: {}", ping.body));
    (ping, body)
}

#[test]
fn a_ping_is_what_the_contract_says() {
    let (bidders, answer) = asked();
    for name in POLICIES {
        let (ping, body) = only_ping(&bidders, name);
        assert_eq!((ping.method.as_str(), ping.path.as_str()), ("POST", "/bid"));
        assert_eq!(ping.header("accept-encoding"), Some("identity"), "{:?}", ping.headers);
        assert_eq!(ping.header("content-type"), Some("application/json"));
        assert_eq!(ping.header("content-length"), Some(ping.body.len().to_string().as_str()));
        let host = bidders.url(name).replace("http://", "").replace("/bid", "");
        assert_eq!(ping.header("host"), Some(host.as_str()));

        let mut keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let mut expected = vec![
            "at",
            "campaign",
            "caller",
            "consent",
            "currency",
            "deadline_ms",
            "geo_source",
            "min_duration_s",
            "ping_id",
            "publisher",
            "stir",
            "tags",
            "test",
            "version",
            "vertical",
        ];
        expected.extend((name == "full").then_some("floor"));
        expected.sort_unstable();
        assert_eq!(keys, expected, "{name}: {}", ping.body);
        let fixed =
            ["version", "test", "campaign", "vertical", "stir", "consent", "currency", "min_duration_s"];
        let values: Vec<&Value> = fixed.iter().map(|key| &body[*key]).collect();
        let expected = json!([1, false, "auto", "auto", "A", false, "USD", 90]);
        assert_eq!(json!(values), expected, "{name}: {}", ping.body);
        let left = body["deadline_ms"].as_u64().unwrap();
        assert!((500..=897).contains(&left), "900 ms less the way and our own share: {left}");
        let at = body["at"].as_str().unwrap();
        assert!(at.len() == 20 && at.ends_with('Z'), "to the second: {at}");
        assert_eq!(body["ping_id"].as_str().map(str::len), Some(26), "{}", ping.body);
        assert!(!ping.body.contains(answer["call_id"].as_str().unwrap()), "{}", ping.body);
    }
    assert_eq!(only_ping(&bidders, "full").1["floor"], "7.00");

    // What buyers see cannot be joined.
    for key in ["ping_id", "publisher"] {
        let mut seen = POLICIES.map(|name| only_ping(&bidders, name).1[key].as_str().unwrap().to_owned());
        seen.sort_unstable();
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{key}: {seen:?}");
        assert!(seen.iter().all(|seen| seen != "pub"), "{seen:?}");
    }
}

#[test]
fn a_ping_is_signed_with_the_buyers_secret() {
    let (bidders, _) = asked();
    for (name, secret) in [("token", &[7; 32][..]), ("full", PLAIN_SECRET.as_bytes())] {
        let (ping, body) = only_ping(&bidders, name);
        let header = |key| ping.header(key).unwrap_or_else(|| panic!("{name}: no {key}: {:?}", ping.headers));
        let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
        assert_eq!(Some(id), body["ping_id"].as_str());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let age = now.abs_diff(at.parse().unwrap());
        assert!(age <= 60, "signed {age} s from now");
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{id}.{at}.{}", ping.body).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(header("webhook-signature"), expected, "{name}: {}", ping.body);
    }
    let (unsigned, _) = only_ping(&bidders, "none");
    let signed: Vec<_> = unsigned.headers.iter().filter(|(key, _)| key.starts_with("webhook-")).collect();
    assert!(signed.is_empty(), "without a secret nothing is signed: {signed:?}");
}

#[test]
fn the_callers_number_leaves_only_where_the_policy_says_so() {
    let (bidders, _) = asked();
    let caller = |name: &str| only_ping(&bidders, name).1["caller"].clone();
    let token = caller("token")["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("k1:") && token.len() == 35, "{token}");
    assert_eq!(caller("token"), json!({"area_code": "512", "state": "TX", "zip3": "787", "token": token}));
    assert_eq!(caller("none"), json!({}));
    let full = caller("full");
    assert_eq!((&full["number"], &full["zip"]), (&json!(CALLER), &json!("78701")));
    assert_ne!(full["token"], token, "a token is keyed per buyer");

    for name in POLICIES {
        let (ping, body) = only_ping(&bidders, name);
        let everything = format!("{} {:?} {}", ping.path, ping.headers, ping.body);
        let digits: String = ping.body.chars().filter(char::is_ascii_digit).collect();
        if name == "full" {
            assert!(everything.contains(CALLER), "{everything}");
            assert_eq!(body["tags"], json!({"case": "call 512.555.0123", "load_call": 7}));
        } else {
            assert!(!everything.contains("5550123") && !digits.contains("5125550123"), "{everything}");
            assert!(!everything.contains("78701"), "{everything}");
            assert_eq!(body["tags"], json!({"load_call": 7}), "a tag that spells the number stays here");
        }
        // Not named by the campaign, or personal and not named by the buyer.
        for kept in ["Lovelace", "not named", "fb-77", "Austin", "CA-"] {
            assert!(!everything.contains(kept), "{name}: {kept} left: {everything}");
        }
    }
}
