//! Replies by the table, and replies nobody would write: scenario 19 of the field notes and rows B5 to B8.

use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::*;
use crate::bidder::document::DEPTH_MAX;
use crate::bidder::tests::{endpoint, target};
use crate::domain::draw::Draw;

const PING: PingId = PingId::from_bits(0x0190_0000_0000_7000_8000_0000_0000_0001);
const OURS: &str = "+18005550100";
const RECEIVED: Timestamp = Timestamp::from_micros(1_795_165_200_000_000);
const STEP: Money = Money::from_micros(10_000);

/// An endpoint that opens something of every kind, and too much of some.
fn open_endpoint() -> Endpoint {
    let number = |text: &str| E164::parse(text).expect("E.164");
    Endpoint {
        destinations: vec![
            DestinationRule::Number(number("+13035550111")),
            DestinationRule::Number(number("+442071838750")),
            DestinationRule::Number(number("+19005550100")),
            DestinationRule::Number(number(OURS)),
            DestinationRule::Prefix("+1718555".to_owned()),
            DestinationRule::Prefix("+1800".to_owned()),
            DestinationRule::SipHost("voip.example.com".to_owned()),
        ],
        ..endpoint()
    }
}

fn read_under(endpoint: &Endpoint, status: u16, body: &[u8]) -> Reply {
    let target = target(endpoint);
    let is_ours = |number: E164| number.reveal() == OURS;
    let terms = Terms {
        ping_id: PING,
        currency: "USD",
        money_step: STEP,
        target: &target,
        endpoint,
        is_ours: &is_ours,
    };
    read(&terms, status, &mut body.to_vec(), RECEIVED)
}

fn read_open(status: u16, body: &[u8]) -> Reply {
    read_under(&open_endpoint(), status, body)
}

/// `bid 25.50 60s 90s`, where named `to` an address; else the reason, where known with the amount.
fn outcome(reply: &Reply) -> String {
    let mut shown = String::new();
    match reply {
        Reply::Bid(bid) => {
            let life = bid.expires.since(RECEIVED).as_secs();
            write!(shown, "bid {} {life}s {}s", bid.amount, bid.min_duration.as_secs()).expect("memory");
            if let Some(address) = &bid.destination {
                write!(shown, " to {}", address.reveal()).expect("memory");
            }
        }
        Reply::NoBid(none) => {
            write!(shown, "{}", none.reason).expect("memory");
            if let Some(amount) = none.amount {
                write!(shown, " {amount}").expect("memory");
            }
        }
    }
    shown
}

/// Runs a table of `status | body | => outcome`; `$P` is the ping's id, `\u` and the like are JSON's own.
#[track_caller]
fn holds(table: &str) {
    let mut wrong = Vec::new();
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (given, expected) = row.rsplit_once("| =>").unwrap_or_else(|| panic!("no outcome: {row}"));
        let (status, body) = given.split_once('|').unwrap_or_else(|| panic!("no status: {row}"));
        let status = status.trim().parse().unwrap_or_else(|_| panic!("no status: {row}"));
        let body = body.trim().replace("$P", &PING.to_string());
        let found = outcome(&read_open(status, body.as_bytes()));
        if found != expected.trim() {
            wrong.push(format!("{row}\n    but was {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn prices_are_read_exactly_or_not_at_all() {
    holds(
        r#"
        200 | {"ping_id":"$P","bid":"25.50","ttl_s":30} | => bid 25.50 30s 90s
        200 | {"bid":"25.50"} | => bid 25.50 60s 90s
        200 | {"bid":25.50} | => bid 25.50 60s 90s
        200 | {"bid":25.5} | => bid 25.50 60s 90s
        200 | {"bid":25} | => bid 25.00 60s 90s
        200 | {"bid":2.55e1} | => bid 25.50 60s 90s
        200 | {"bid":255E-1} | => bid 25.50 60s 90s
        200 | {"bid":0.1} | => bid 0.10 60s 90s
        200 | {"bid":1.15} | => bid 1.15 60s 90s
        200 | {"bid":"0.29"} | => bid 0.29 60s 90s
        200 | {"bid":"25.999999"} | => bid 25.99 60s 90s
        200 | {"bid":25.999999} | => bid 25.99 60s 90s
        200 | {"bid":25.9999999999999999999} | => bid 25.99 60s 90s
        200 | {"bid":"25.9999999999999999999"} | => bid 25.99 60s 90s
        200 | {"bid":0.01} | => bid 0.01 60s 90s
        200 | {"bid":0.019999999} | => bid 0.01 60s 90s
        200 | {"bid":"007.5"} | => bid 7.50 60s 90s
        200 | {"bid":"\u00325.50"} | => bid 25.50 60s 90s
        200 | {"\u0062id":"25.50"} | => bid 25.50 60s 90s
        200 | {"\u0062id":25.5} | => bid 25.50 60s 90s
        200 | {"bid":1000} | => bid 1000.00 60s 90s
        200 | {"bid":1000.0000009} | => bid 1000.00 60s 90s
        200 | {"bid":1e3} | => bid 1000.00 60s 90s

        200 | {"bid":1000.000001} | => above_max 1000.000001
        200 | {"bid":"1000.01"} | => above_max 1000.01
        200 | {"bid":9e15} | => above_max
        200 | {"bid":"9000000000000000"} | => above_max
        200 | {"bid":1e308} | => above_max
        200 | {"bid":1e400} | => above_max
        200 | {"bid":1e999999999999999999999} | => above_max
        200 | {"bid":18446744073709551615} | => above_max
        200 | {"bid":18446744073709551641.5} | => above_max
        200 | {"bid":9223372036854.775807} | => above_max 9223372036854.775807

        200 | {"bid":0} | => no_bid
        200 | {"bid":0.00} | => no_bid
        200 | {"bid":0e400} | => no_bid
        200 | {"bid":"0"} | => no_bid
        200 | {"bid":"0.00"} | => no_bid
        200 | {"bid":0,"reason":"closed"} | => no_bid
        200 | {"bid":0,"reason":{"a":1}} | => no_bid
        200 | {"bid":0,"ttl_s":-1,"currency":"EUR","destination":7} | => no_bid
        200 | {"bid":0,"ping_id":"$P"} | => no_bid

        200 | {"bid":0.001} | => malformed 0.001
        200 | {"bid":"0.009999"} | => malformed 0.009999
        200 | {"bid":1e-9} | => malformed 0.00
        200 | {"bid":1e-99999999999999999999} | => malformed 0.00
        200 | {"bid":-5} | => malformed
        200 | {"bid":"-5"} | => malformed
        200 | {"bid":-0} | => malformed
        200 | {"bid":-0.0} | => malformed
        200 | {"bid":-1e308} | => malformed
        200 | {"bid":+5} | => malformed
        200 | {"bid":"+5"} | => malformed
        200 | {"bid":"$25.50"} | => malformed
        200 | {"bid":"25.50 USD"} | => malformed
        200 | {"bid":"€25"} | => malformed
        200 | {"bid":"25,50"} | => malformed
        200 | {"bid":25,50} | => malformed
        200 | {"bid":"1,025.50"} | => malformed
        200 | {"bid":"2_5"} | => malformed
        200 | {"bid":"2.55e1"} | => malformed
        200 | {"bid":"1e2"} | => malformed
        200 | {"bid":NaN} | => malformed
        200 | {"bid":"NaN"} | => malformed
        200 | {"bid":Infinity} | => malformed
        200 | {"bid":"Infinity"} | => malformed
        200 | {"bid":-Infinity} | => malformed
        200 | {"bid":true} | => malformed
        200 | {"bid":null} | => malformed
        200 | {"bid":[25.50]} | => malformed
        200 | {"bid":{"amount":25.50}} | => malformed
        200 | {"bid":""} | => malformed
        200 | {"bid":" 25.50"} | => malformed
        200 | {"bid":"25.50 "} | => malformed
        200 | {"bid":"."} | => malformed
        200 | {"bid":".50"} | => malformed
        200 | {"bid":"25."} | => malformed
        200 | {"bid":.50} | => malformed
        200 | {"bid":25.} | => malformed
        200 | {"bid":025.50} | => malformed
        200 | {"bid":"25.5.0"} | => malformed
        200 | {"bid":0x19} | => malformed
        200 | {"bid":"0x19"} | => malformed
        200 | {"bid":"25.50\u0000"} | => malformed
        200 | {"bid":"２５"} | => malformed
        200 | {"bid":"٢٥"} | => malformed
        200 | {"bid":"twenty"} | => malformed
        200 | {"bid":25.5.0} | => malformed
        200 | {"bid":1e} | => malformed
        200 | {"bid":1e1.5} | => malformed
        200 | {"bid":--5} | => malformed
        "#,
    );
}

#[test]
fn a_body_is_one_json_object_or_malformed() {
    holds(
        r#"
        200 | | => malformed
        200 | {} | => malformed
        200 | {"ping_id":"$P"} | => malformed
        200 | {"Bid":"25.50"} | => malformed
        200 | {"data":{"bid":"25.50"}} | => malformed
        200 | "25.50" | => malformed
        200 | 25.50 | => malformed
        200 | null | => malformed
        200 | [{"bid":"25.50"}] | => malformed
        200 | <!doctype html><html><body>It works!</body></html> | => malformed
        200 | {'bid':'25.50'} | => malformed
        200 | {bid:25.50} | => malformed
        200 | {"bid":"25.50" | => malformed
        200 | {"bid":"25.50 | => malformed
        200 | {"bid":"25.50",} | => malformed
        200 | {,"bid":"25.50"} | => malformed
        200 | {"bid" "25.50"} | => malformed
        200 | {"bid":"25.50"} {} | => malformed
        200 | {"bid":"25.50"}} | => malformed
        200 | {"bid":"25.50"}] | => malformed
        200 | {"bid":"25.50"}x | => malformed
        200 | {"bid":"25.50"},1 | => malformed
        200 | {"bid":25.50/**/} | => malformed
        200 | {"bid":25.50 "x":1} | => malformed
        200 | {"bid":25 .50} | => malformed
        200 | {"bid":2 5} | => malformed
        200 | {"bid":25.50,"x":tru1} | => malformed
        200 | {"bid":25.50,"x":nul} | => malformed
        200 | {"bid":25.50,"x":[1,2} | => malformed
        200 | {"bid":25.50,"x":01} | => malformed
        200 | {"bid":25.50,"x":-} | => malformed
        200 | {"bid":25.50,7:1} | => malformed
        200 | {"bid":25.50,"note":"\q"} | => malformed
        200 | {"bid":25.50,"note":"\ud800"} | => malformed
        200 | {"bid":25.50,"note":"\u12"} | => malformed
        200 | {"ping_id":"\ud800","bid":"25.50"} | => malformed

        200 | {"bid":"25.50","bid":"25.50"} | => malformed
        200 | {"bid":"25.50","bid":99} | => malformed
        200 | {"bid":25.50,"\u0062id":99} | => malformed
        200 | {"ping_id":"$P","bid":1,"ping_id":"$P"} | => malformed
        200 | {"bid":25.50,"ttl_s":30,"ttl_s":30} | => malformed
        200 | {"bid":25.50,"x":1,"x":2} | => malformed
        200 | {"bid":0,"bid":25.50} | => malformed

        200 | {"bid":25.50,"x":{"bid":99}} | => bid 25.50 60s 90s
        200 | {"x":{"bid":99},"bid":25.50} | => bid 25.50 60s 90s
        200 | {"x":["bid",99],"bid":25.50} | => bid 25.50 60s 90s
        200 | {"x":"\"bid\":99,","bid":25.50} | => bid 25.50 60s 90s
        200 | {"bid":25.50,"note":"ok","seat":{"id":[1,2]}} | => bid 25.50 60s 90s
        200 | {"bid":25.50,"note":1e400} | => bid 25.50 60s 90s
        200 | {"bid":25.50,"note":"\ud83d\ude00"} | => bid 25.50 60s 90s
        200 | {"bid":25.50,"note":"}]\\"} | => bid 25.50 60s 90s
        200 | { "bid" : 25.50 } | => bid 25.50 60s 90s
        "#,
    );
}

#[test]
fn terms_are_held_to_the_target() {
    holds(
        r#"
        200 | {"bid":5,"currency":"USD"} | => bid 5.00 60s 90s
        200 | {"bid":5,"currency":"EUR"} | => bad_currency 5.00
        200 | {"bid":5,"currency":"usd"} | => bad_currency 5.00
        200 | {"bid":5,"currency":""} | => bad_currency 5.00
        200 | {"bid":5,"currency":840} | => malformed 5.00
        200 | {"bid":5,"currency":null} | => malformed 5.00

        200 | {"bid":5,"ttl_s":30} | => bid 5.00 30s 90s
        200 | {"bid":5,"ttl_s":30.0} | => bid 5.00 30s 90s
        200 | {"bid":5,"ttl_s":3e1} | => bid 5.00 30s 90s
        200 | {"bid":5,"ttl_s":1} | => bid 5.00 5s 90s
        200 | {"bid":5,"ttl_s":5} | => bid 5.00 5s 90s
        200 | {"bid":5,"ttl_s":300} | => bid 5.00 300s 90s
        200 | {"bid":5,"ttl_s":301} | => bid 5.00 300s 90s
        200 | {"bid":5,"ttl_s":1e99} | => bid 5.00 300s 90s
        200 | {"bid":5,"ttl_s":0} | => malformed 5.00
        200 | {"bid":5,"ttl_s":-30} | => malformed 5.00
        200 | {"bid":5,"ttl_s":30.5} | => malformed 5.00
        200 | {"bid":5,"ttl_s":30.0000001} | => malformed 5.00
        200 | {"bid":5,"ttl_s":"30"} | => malformed 5.00
        200 | {"bid":5,"ttl_s":"soon"} | => malformed 5.00
        200 | {"bid":5,"ttl_s":[30]} | => malformed 5.00
        200 | {"bid":5,"ttl_s":true} | => malformed 5.00

        200 | {"bid":5,"min_duration_s":0} | => bid 5.00 60s 0s
        200 | {"bid":5,"min_duration_s":30} | => bid 5.00 60s 30s
        200 | {"bid":5,"min_duration_s":120} | => bid 5.00 60s 120s
        200 | {"bid":5,"min_duration_s":121} | => bad_terms 5.00
        200 | {"bid":5,"min_duration_s":86400} | => bad_terms 5.00
        200 | {"bid":5,"min_duration_s":1e400} | => bad_terms 5.00
        200 | {"bid":5,"min_duration_s":-1} | => malformed 5.00
        200 | {"bid":5,"min_duration_s":-0} | => malformed 5.00
        200 | {"bid":5,"min_duration_s":90.5} | => malformed 5.00
        200 | {"bid":5,"min_duration_s":"90"} | => malformed 5.00

        200 | {"bid":9e15,"currency":"EUR"} | => bad_currency
        200 | {"bid":5000,"ttl_s":-1} | => above_max 5000.00
        "#,
    );
}

#[test]
fn a_reply_to_another_ping_is_no_bid() {
    holds(
        r#"
        200 | {"ping_id":"01JZZZZZZZZZZZZZZZZZZZZZZZ","bid":"999.00"} | => ping_mismatch 999.00
        200 | {"ping_id":"01JZZZZZZZZZZZZZZZZZZZZZZZ","bid":0} | => ping_mismatch
        200 | {"ping_id":"","bid":"999.00"} | => ping_mismatch 999.00
        200 | {"ping_id":" $P","bid":"999.00"} | => ping_mismatch 999.00
        200 | {"ping_id":"$P0","bid":"999.00"} | => ping_mismatch 999.00
        200 | {"ping_id":1,"bid":"999.00"} | => malformed 999.00
        200 | {"ping_id":null,"bid":"999.00"} | => malformed 999.00
        200 | {"ping_id":["$P"],"bid":"999.00"} | => malformed 999.00
        "#,
    );
    let lower = format!(r#"{{"ping_id":"{}","bid":5}}"#, PING.to_string().to_lowercase());
    assert_eq!(outcome(&read_open(200, lower.as_bytes())), "bid 5.00 60s 90s", "ids are read in either case");
}

#[test]
fn destinations_are_the_targets_own_or_allowed_and_never_costly() {
    holds(
        r#"
        200 | {"bid":5,"destination":"+15125550999"} | => bid 5.00 60s 90s
        200 | {"bid":5,"destination":"+13035550111"} | => bid 5.00 60s 90s to +13035550111
        200 | {"bid":5,"destination":"+17185550123"} | => bid 5.00 60s 90s to +17185550123
        200 | {"bid":5,"destination":"+18005550123"} | => bid 5.00 60s 90s to +18005550123
        200 | {"bid":5,"destination":"sip:sales@voip.example.com"} | => bid 5.00 60s 90s to sip:sales@voip.example.com
        200 | {"bid":5,"destination":"sips:sales@VOIP.example.com:5061"} | => bid 5.00 60s 90s to sips:sales@VOIP.example.com:5061
        200 | {"bid":5,"destination":"sip:4501@voip.example.com"} | => bid 5.00 60s 90s to sip:4501@voip.example.com
        200 | {"bid":5,"destination":"sip:+13035550177@voip.example.com"} | => bid 5.00 60s 90s to sip:+13035550177@voip.example.com

        200 | {"bid":5,"destination":"+13035550112"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"+17185560123"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"+442071838750"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"+447700900123"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"+19005550100"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"+18009760100"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"+18005550100"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:x@192.0.2.1"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:x@evil-voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:x@voip.example.com.evil.example"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:x@voip.example.com@evil.example"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:+19005550100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:19005550100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:9005550100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:900-555-0100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:(900)555.0100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:9005550100:pw@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:+442071838750@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:442071838750@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:011442071838750@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:00442071838750@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:+18005550100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:8005550100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:%2b19005550100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:%39005550100@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:+999@voip.example.com"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"15125550999"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"tel:+15125550999"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"+15125550999\r\nX: y"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:a@voip.example.com;x=y"} | => bad_destination 5.00
        200 | {"bid":5,"destination":"sip:a@voip.example.com?Route=b"} | => bad_destination 5.00
        200 | {"bid":5,"destination":""} | => bad_destination 5.00
        200 | {"bid":5,"destination":15125550999} | => malformed 5.00
        200 | {"bid":5,"destination":null} | => malformed 5.00
        "#,
    );
    let closed = read_under(&endpoint(), 200, br#"{"bid":5,"destination":"+13035550111"}"#);
    assert_eq!(outcome(&closed), "bad_destination 5.00", "no list opens nothing");
}

#[test]
fn every_status_is_one_outcome_whatever_the_body() {
    holds(
        r#"
        204 | | => no_bid
        204 | {"bid":"999.00"} | => no_bid
        301 | {"bid":"999.00"} | => redirect
        302 | | => redirect
        303 | | => redirect
        304 | | => redirect
        307 | | => redirect
        308 | | => redirect
        400 | {"bid":"999.00"} | => http_status
        401 | | => http_status
        403 | {"bid":"999.00"} | => http_status
        404 | | => http_status
        429 | {"bid":"999.00"} | => throttled
        500 | {"bid":"999.00"} | => http_status
        502 | | => http_status
        503 | | => http_status
        101 | | => http_status
        201 | {"bid":"999.00"} | => http_status
        202 | {"bid":"999.00"} | => http_status
        206 | {"bid":"999.00"} | => http_status
        999 | {"bid":"999.00"} | => http_status
        0   | {"bid":"999.00"} | => http_status
        "#,
    );
}

#[test]
fn bytes_that_no_text_table_holds() {
    let with_note = |note: &[u8]| [br#"{"bid":"25.50","note":"#, note, b"}"].concat();
    let bid = r#"{"bid":"25.50"}"#;
    let nested = |open: &str, close: &str, n: usize| {
        with_note(format!("{}0{}", open.repeat(n), close.repeat(n)).as_bytes())
    };
    let keys = |n: usize| (0..n).fold(String::new(), |keys, n| keys + &format!(r#","k{n}":1"#));
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a byte order mark", [b"\xef\xbb\xbf", bid.as_bytes()].concat(), "malformed"),
        ("UTF-16", bid.encode_utf16().flat_map(u16::to_le_bytes).collect(), "malformed"),
        ("blank", b" \r\n\t".to_vec(), "malformed"),
        ("a trailing NUL", [bid.as_bytes(), b"\0"].concat(), "malformed"),
        ("trailing blanks", [b"\r\n ", bid.as_bytes(), b"\r\n\t "].concat(), "bid 25.50 60s 90s"),
        ("a trailing form feed", [bid.as_bytes(), b"\x0c"].concat(), "malformed"),
        ("invalid UTF-8", with_note(b"\"\xff\xfe\""), "malformed"),
        ("overlong UTF-8", with_note(b"\"\xc0\xaf\""), "malformed"),
        ("a surrogate in UTF-8", with_note(b"\"\xed\xa0\x80\""), "malformed"),
        ("invalid UTF-8 in a key", b"{\"bid\":5,\"\xf0\x28\x8c\x28\":1}".to_vec(), "malformed"),
        ("invalid UTF-8 behind a number", b"{\"bid\":5\xff}".to_vec(), "malformed"),
        ("a control character", with_note(b"\"\x01\""), "malformed"),
        ("a line break in a string", with_note(b"\"\n\""), "malformed"),
        ("a control character in a key", b"{\"bid\":5,\"a\x01\":1}".to_vec(), "malformed"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x02".to_vec(), "malformed"),
        ("a thousand digits", format!(r#"{{"bid":{}}}"#, "9".repeat(1_000)).into_bytes(), "above_max"),
        ("the same as a string", format!(r#"{{"bid":"{}"}}"#, "9".repeat(1_000)).into_bytes(), "above_max"),
        (
            "a thousand decimals",
            format!(r#"{{"bid":25.50{}}}"#, "0".repeat(990)).into_bytes(),
            "bid 25.50 60s 90s",
        ),
        (
            "a thousand nines",
            format!(r#"{{"bid":"0.{}"}}"#, "9".repeat(990)).into_bytes(),
            "bid 0.99 60s 90s",
        ),
        ("next to nothing", format!(r#"{{"bid":0.{}1}}"#, "0".repeat(998)).into_bytes(), "malformed 0.00"),
        ("31 arrays within", nested("[", "]", DEPTH_MAX - 1), "bid 25.50 60s 90s"),
        ("32 arrays within", nested("[", "]", DEPTH_MAX), "malformed"),
        ("31 objects within", nested("{\"a\":", "}", DEPTH_MAX - 1), "bid 25.50 60s 90s"),
        ("32 objects within", nested("{\"a\":", "}", DEPTH_MAX), "malformed"),
        ("8,000 arrays", nested("[", "]", 8_000), "malformed"),
        ("13,000 arrays left open", with_note("[".repeat(13_000).as_bytes()), "malformed"),
        ("2,500 objects left open", with_note("{\"a\":".repeat(2_500).as_bytes()), "malformed"),
        (
            "brackets in a string",
            with_note(format!("\"{}\"", "[{".repeat(2_000)).as_bytes()),
            "bid 25.50 60s 90s",
        ),
        ("a thousand keys", format!(r#"{{"bid":5{}}}"#, keys(1_000)).into_bytes(), "bid 5.00 60s 90s"),
        ("the last of them twice", format!(r#"{{"bid":5{},"k0":1}}"#, keys(1_000)).into_bytes(), "malformed"),
        ("a long key", format!(r#"{{"bid":5,"{}":1}}"#, "k".repeat(8_192)).into_bytes(), "bid 5.00 60s 90s"),
        ("50 MB of blanks", vec![b' '; 50_000_000], "malformed"),
    ];
    for (name, body, expected) in table {
        assert_eq!(outcome(&read_open(200, &body)), expected, "{name}");
    }
}

/// An overflowing stack is no panic but an abort: this one would take the whole test run with it.
#[test]
fn nesting_does_not_touch_the_stack_of_a_worker() {
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(|| {
        for open in ["[", "{\"a\":", "[{\"a\":", "{\"a\":["] {
            let body = format!("{{\"bid\":5,\"note\":{}", open.repeat(100_000));
            assert_eq!(outcome(&read_open(200, body.as_bytes())), "malformed");
        }
        let deepest =
            format!("{{\"bid\":5,\"x\":{}{}}}", "[".repeat(DEPTH_MAX - 1), "]".repeat(DEPTH_MAX - 1));
        assert_eq!(outcome(&read_open(200, deepest.as_bytes())), "bid 5.00 60s 90s");
    });
    thread.expect("a thread").join().expect("no panic");
}

#[test]
fn notes_say_why_and_hide_numbers() {
    let table = [
        (200, r#"{"bid":0,"reason":"closed"}"#, Some("closed")),
        (200, r#"{"bid":0,"reason":""}"#, None),
        (200, r#"{"bid":0,"reason":7}"#, None),
        (200, r#"{"bid":0,"reason":"dup of +1 512 555 0123"}"#, Some("dup of +1 512 ••• ••••")),
        (200, r#"{"bid":0,"reason":"\u001b[31m\r\n"}"#, Some(" [31m  ")),
        (200, r#"{"bid":"$25.50"}"#, Some("bid is no plain decimal: $25.50")),
        (200, r#"{"bid":-5}"#, Some("bid has a minus sign")),
        (200, r#"{"bid":1,"bid":2}"#, Some("duplicate key bid")),
        (200, r#"{"bid":1001}"#, Some("the maximum is 1000.00")),
        (200, r#"{"bid":0.001}"#, Some("bid is below the money step")),
        (200, r#"{"bid":1,"min_duration_s":300}"#, Some("the longest minimum is 120 s")),
        (200, r#"{"bid":1,"destination":"+13035550112"}"#, Some("+1303•••••••")),
        (200, r#"{"bid":1,"destination":"sip:13035550112@192.0.2.1"}"#, Some("sip:•••@192.0.2.1")),
        (200, "<html>", Some("not a JSON object")),
        (200, "{\"bid\":1", Some("not JSON")),
        (302, "", Some("status 302")),
        (503, "", Some("status 503")),
        (429, "", None),
        (204, "", None),
    ];
    for (status, body, expected) in table {
        let Reply::NoBid(none) = read_open(status, body.as_bytes()) else { panic!("a bid: {body}") };
        // The host of an address is a group of digits too, and shown as far as a note shows any.
        let expected = expected.map(|note| clean_note(note).into_owned());
        assert_eq!(none.note, expected, "{body}");
    }
    let long = format!(r#"{{"bid":0,"reason":"{}"}}"#, "é".repeat(8_000));
    let Reply::NoBid(none) = read_open(200, long.as_bytes()) else { panic!("a bid") };
    assert!(none.note.is_some_and(|note| note.len() <= crate::auction::bid::NOTE_MAX));
}

#[test]
fn the_settings_of_the_deployment_count() {
    let endpoint = Endpoint { bid_ttl: Duration::from_secs(900), ..endpoint() };
    let target = target(&endpoint);
    let nobody = |_: E164| false;
    let terms = |currency, money_step| Terms {
        ping_id: PING,
        currency,
        money_step,
        target: &target,
        endpoint: &endpoint,
        is_ours: &nobody,
    };
    let table = [
        ("EUR", 1, r#"{"bid":"25.1234567","currency":"EUR"}"#, "bid 25.123456 300s 90s"),
        ("EUR", 1, r#"{"bid":"25.12","currency":"USD"}"#, "bad_currency 25.12"),
        ("USD", 250_000, r#"{"bid":"25.99"}"#, "bid 25.75 300s 90s"),
        ("USD", 250_000, r#"{"bid":"0.24"}"#, "malformed 0.24"),
        ("USD", 0, r#"{"bid":0.000001}"#, "bid 0.000001 300s 90s"),
        ("USD", 0, r#"{"bid":0.0000009}"#, "malformed 0.00"),
    ];
    for (currency, step, body, expected) in table {
        let terms = terms(currency, Money::from_micros(step));
        assert_eq!(outcome(&read(&terms, 200, &mut body.as_bytes().to_vec(), RECEIVED)), expected, "{body}");
    }
}

/// The document as another parser sees it: the pairs of the outermost object, in order, duplicates kept.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pairs, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(PairsVisitor)
    }
}

/// What serde_json makes of a body.
enum Verdict {
    Document(Pairs),
    Refused,
    /// It knows no number beyond a float and stops there: it cannot say more.
    NoJudge,
}

fn judge_body(body: &[u8]) -> Verdict {
    let pairs = match serde_json::from_slice::<Pairs>(body) {
        Ok(pairs) => pairs,
        Err(error) if error.to_string().starts_with("number out of range") => return Verdict::NoJudge,
        Err(_) => return Verdict::Refused,
    };
    let mut keys: Vec<&String> = pairs.0.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    let is_repeated = keys.windows(2).any(|pair| pair[0] == pair[1]);
    let depth = 1 + pairs.0.iter().map(|(_, value)| depth(value)).max().unwrap_or(0);
    if is_repeated || depth > DEPTH_MAX { Verdict::Refused } else { Verdict::Document(pairs) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

const SEEDS: &[&str] = &[
    r#"{"ping_id":"$P","bid":"25.50","ttl_s":30}"#,
    r#"{"bid":25.5,"currency":"USD","min_duration_s":90}"#,
    r#"{"bid":0,"reason":"closed"}"#,
    r#"{"bid":1e2,"destination":"+13035550111","note":"\ud83d\ude00 \" \\ \u00e9"}"#,
    r#"{"bid":"999.999999","x":[1,-2.5,{"y":null,"z":[true,false,[[]]]}],"ttl_s":3e1}"#,
    r#"{"x":{"bid":7},"bid":0.1,"destination":"sip:sales@voip.example.com"}"#,
    r#"{"a":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],"bid":3}"#,
];

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "-",
    "+",
    ".",
    "e",
    "E",
    "0",
    "9",
    "1e400",
    "1e-400",
    "-0",
    "00",
    "null",
    "true",
    "NaN",
    "\"bid\":",
    "\"bid\":1,",
    ",\"bid\":\"2\"",
    "\\u0062id",
    "\\ud800",
    "\\udc00",
    "\\u0000",
    " ",
    "\n",
    "\t",
    "\x0c",
    "\0",
    "\x1f",
    "\u{feff}",
    "é",
    "[[[[[[[[",
    "]]]]]]]]",
    "{\"a\":",
    "99999999999999999999",
    "$",
    "/**/",
    "1000.01",
    "0.0000001",
    "\"ttl_s\":9,",
];

/// One body from the seeds, changed in one to four places.
fn mutant(draw: &mut Draw) -> Vec<u8> {
    const BODY_MAX: usize = 16 * 1024;
    let pick = |draw: &mut Draw, count: usize| draw.below(count as u64) as usize;
    let mut body = SEEDS[pick(draw, SEEDS.len())].replace("$P", &PING.to_string()).into_bytes();
    for _ in 0..=pick(draw, 3) {
        let at = pick(draw, body.len() + 1);
        let to = (at + pick(draw, 12)).min(body.len());
        match pick(draw, 12) {
            0 => body.truncate(at),
            1 => drop(body.drain(at..to)),
            2 => drop(body.splice(at..at, body[at..to].to_vec())),
            3 => {
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1 << pick(draw, 8);
                }
            }
            4 => {
                let other = SEEDS[pick(draw, SEEDS.len())].as_bytes();
                let from = pick(draw, other.len());
                drop(body.splice(at..to, other[from..].iter().copied()));
            }
            5..8 => drop(body.splice(at..to, PIECES[pick(draw, PIECES.len())].bytes())),
            // The gentle ones keep the document whole: another digit, or one more.
            _ => {
                let digits = |(at, byte): (usize, &u8)| byte.is_ascii_digit().then_some(at);
                let places: Vec<usize> = body.iter().enumerate().filter_map(digits).collect();
                if let Some(place) = places.get(pick(draw, places.len())).copied() {
                    let replaced = place..place + pick(draw, 2);
                    drop(body.splice(replaced, [b'0' + pick(draw, 10) as u8]));
                }
            }
        }
        body.truncate(BODY_MAX);
    }
    body
}

#[test]
fn mutants_are_judged_as_another_parser_judges_them() {
    const MUTANTS: usize = 20_000;
    let endpoint = open_endpoint();
    let mut draw = Draw::new(19);
    let (mut bids, mut refused, mut unjudged) = (0, 0, 0);
    for _ in 0..MUTANTS {
        let body = mutant(&mut draw);
        let shown = String::from_utf8_lossy(&body).into_owned();
        let accepted = Document::read(&mut body.clone()).is_ok();
        let reply = read_under(&endpoint, 200, &body);
        match judge_body(&body) {
            Verdict::NoJudge => unjudged += 1,
            Verdict::Refused => {
                refused += 1;
                assert!(!accepted, "only we take {shown:?}");
            }
            Verdict::Document(pairs) => {
                assert!(accepted, "only we refuse {shown:?}");
                if let Reply::Bid(bid) = &reply {
                    agrees(bid, &pairs, &shown);
                }
            }
        }
        match reply {
            Reply::Bid(bid) => {
                bids += 1;
                is_within(&bid, &endpoint, &shown);
            }
            Reply::NoBid(none) => {
                let is_named = matches!(none.reason, Reason::NoBid) || matches!(none.reason.code(), 200..300);
                assert!(is_named, "{} for {shown:?}", none.reason);
            }
        }
    }
    assert!(bids > MUTANTS / 20 && refused > MUTANTS / 4, "the mutants miss: {bids} bids, {refused} refused");
    assert!(unjudged < MUTANTS / 20, "{unjudged} without a judge");
}

fn is_within(bid: &Bid, endpoint: &Endpoint, shown: &str) {
    assert!(bid.amount.is_positive() && bid.amount <= endpoint.max_bid, "{} for {shown:?}", bid.amount);
    assert_eq!(bid.amount, bid.amount.truncate_to(STEP), "{shown:?}");
    assert!((TTL_S_MIN..=TTL_S_MAX).contains(&bid.expires.since(RECEIVED).as_secs()), "{shown:?}");
    assert!(bid.min_duration <= endpoint.max_min_duration, "{shown:?}");
}

/// The price the other parser saw is ours, give or take what was cut off.
fn agrees(bid: &Bid, pairs: &Pairs, shown: &str) {
    let named = pairs.0.iter().find(|(key, _)| key == "bid").map(|(_, value)| value);
    let price = match named {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let price = price.unwrap_or_else(|| panic!("no price in {shown:?}"));
    let cut = price - bid.amount.micros() as f64 / 1e6;
    assert!((-1e-6..0.01).contains(&cut), "{} for {shown:?}", bid.amount);
}
