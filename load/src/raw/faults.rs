//! The collection of hostile replies a test loops over: reliability rows B1 to B8 and the bodies of scenario 19.
//!
//! The expected outcomes are suggestions in the exchange's own words; the exchange defines what it really calls them.
//! TLS and DNS faults (B9, B10) and buyers that fail after winning (B12) are not here. The bodies of B5 are in
//! `bodies`.

use super::Act;
use super::bodies::{b5_json, b5_numbers, b5_terms};
use super::gzip::{gzip_bomb, gzip_stored};
use crate::bidders::{Behaviour, Latency, NoBidForm, ResetAt};
use crate::wire::response;

/// What a flood writes before it falls silent: 512 times what an exchange should read of a reply.
const FLOOD_BYTES: u64 = 8 * 1024 * 1024;

/// One way to misbehave, or a correct reply that looks odd.
#[derive(Clone, Debug)]
pub struct Hostile {
    pub name: &'static str,
    /// Row of the fault list: `B1` to `B8`.
    pub row: &'static str,
    pub behaviour: Behaviour,
    /// Outcomes that make sense, the likeliest first. Where `bid` is among them the bid is worth exactly 25.50 after
    /// truncation to cents; where it is not, the reply must never win.
    pub expect: &'static [&'static str],
}

impl Hostile {
    /// Whether the reply may count as a bid (of 25.50).
    pub fn may_bid(&self) -> bool {
        self.expect.contains(&"bid")
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: $LEN\r\n\r\n";
const CHUNKED_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
/// The correct reply that faults are wrapped around.
pub(super) const BID: &str = r#"{"ping_id":"$PING_ID","bid":"25.50","ttl_s":30}"#;
/// A reply that would win, were it believed.
const TRAP: &str = r#"{"ping_id":"$PING_ID","bid":"999.00","ttl_s":30}"#;

/// A 200 with this body; `$PING_ID` is replaced.
pub fn body(body: impl AsRef<[u8]>) -> Behaviour {
    Behaviour::Acts(vec![say(HEAD, body.as_ref())])
}

/// A 200 whose body is a bid with this JSON text as the value of `bid`.
pub fn bid_value(json: &str) -> Behaviour {
    body(format!(r#"{{"ping_id":"$PING_ID","bid":{json},"ttl_s":30}}"#))
}

/// A bid of 25.50 with this text (`,"key":value`) added to the object.
pub fn bid_with(more: impl AsRef<[u8]>) -> Behaviour {
    let mut text = br#"{"ping_id":"$PING_ID","bid":"25.50","ttl_s":30"#.to_vec();
    text.extend_from_slice(more.as_ref());
    text.push(b'}');
    body(text)
}

/// A redirect to this URL.
pub fn redirect(status: u16, location: &str) -> Behaviour {
    let location = format!("Location: {location}");
    Behaviour::Acts(vec![Act::Send(response(status, &[&location], b""))])
}

fn say(head: &str, body: &[u8]) -> Act {
    Act::Say([head.as_bytes(), body].concat())
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

fn acts(acts: impl Into<Vec<Act>>) -> Behaviour {
    Behaviour::Acts(acts.into())
}

fn flood(bytes: impl AsRef<[u8]>) -> Act {
    Act::Repeat { bytes: bytes.as_ref().to_vec(), every_ms: 0, limit_bytes: FLOOD_BYTES }
}

fn trickle(bytes: &str, every_ms: u64) -> Act {
    Act::Repeat { bytes: bytes.as_bytes().to_vec(), every_ms, limit_bytes: 1024 * 1024 }
}

/// A 200 that carries the bid and these header lines (each ending in CRLF) besides its length.
fn with_headers(headers: &str) -> Behaviour {
    acts([say(&format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: $LEN\r\n\r\n"), BID.as_bytes())])
}

/// Every way to misbehave. Redirects point at `trap_url`, which nobody may ever ask.
pub fn hostile(trap_url: &str) -> Vec<Hostile> {
    let mut all = Vec::new();
    all.extend(b1_slow());
    all.extend(b2_reset());
    all.extend(b3_endless());
    all.extend(b4_drip());
    all.extend(b5_numbers());
    all.extend(b5_json());
    all.extend(b5_terms());
    all.extend(b6_status(trap_url));
    all.extend(b7_framing());
    all.extend(b8_cross());
    all
}

pub(super) fn entry(
    row: &'static str,
    name: &'static str,
    expect: &'static [&'static str],
    behaviour: Behaviour,
) -> Hostile {
    Hostile { name, row, behaviour, expect }
}

fn b1_slow() -> Vec<Hostile> {
    let half_body = || say("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", b"{\"ping_id\":\"$PING_ID\",");
    vec![
        entry("B1", "late", &["late"], Behaviour::Late { past_deadline_ms: 150, price_cents: 2_550 }),
        entry(
            "B1",
            "late_past_linger",
            &["timeout", "late"],
            Behaviour::Late { past_deadline_ms: 6_000, price_cents: 2_550 },
        ),
        entry("B1", "hang", &["timeout"], Behaviour::Hang),
        entry("B1", "hang_mid_head", &["timeout"], acts([send("HTTP/1.1 200 OK\r\nContent-"), Act::Hold])),
        entry("B1", "hang_mid_body", &["timeout"], acts([half_body(), Act::Hold])),
        entry(
            "B1",
            "late_rest_of_body",
            &["late"],
            acts([
                say(&fixed_head(BID), br#"{"ping_id":"$PING_ID""#),
                Act::WaitPastDeadline { ms: 150 },
                send(r#","bid":"25.50","ttl_s":30}"#),
            ]),
        ),
    ]
}

fn b2_reset() -> Vec<Hostile> {
    let half_body = || say("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", b"{\"ping_id\":\"$PING_ID\",");
    let half_head = || send("HTTP/1.1 200 OK\r\nContent-Ty");
    vec![
        entry("B2", "dead_port", &["connect"], Behaviour::DeadPort),
        entry("B2", "reset_at_accept", &["closed", "connect"], Behaviour::Reset(ResetAt::Accept)),
        entry("B2", "reset_after_request", &["closed"], Behaviour::Reset(ResetAt::Request)),
        entry("B2", "reset_mid_head", &["closed"], acts([half_head(), Act::Reset])),
        entry("B2", "reset_mid_body", &["closed"], acts([half_body(), Act::Reset])),
        entry("B2", "reset_after_body", &["bid", "closed"], acts([say(HEAD, BID.as_bytes()), Act::Reset])),
        entry("B2", "close_before_reply", &["closed"], acts([Act::Close])),
        entry("B2", "close_mid_head", &["closed", "malformed"], acts([half_head(), Act::Close])),
        entry("B2", "close_mid_body", &["closed", "malformed"], acts([half_body(), Act::Close])),
        entry("B2", "close_after_body", &["bid"], acts([say(HEAD, BID.as_bytes()), Act::Close])),
        entry(
            "B2",
            "close_mid_chunk",
            &["closed", "malformed"],
            acts([say(CHUNKED_HEAD, b"40\r\n{\"ping_id\":\"$PING_ID\","), Act::Close]),
        ),
        entry(
            "B2",
            "body_ends_at_close",
            &["bid"],
            acts([say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", BID.as_bytes()), Act::Close]),
        ),
    ]
}

fn b3_endless() -> Vec<Hostile> {
    const CUT: &[&str] = &["too_large", "malformed", "timeout"];
    let many: String = (0..300).map(|n| format!("X-Filler-{n}: {n}\r\n")).collect();
    let long = format!("X-Filler: {}\r\n", "a".repeat(64 * 1024));
    let padded = format!(r#","note":"{}""#, "a".repeat(20 * 1024));
    let full = format!(r#","note":"{}""#, "a".repeat(12 * 1024));
    vec![
        entry(
            "B3",
            "huge_body_declared",
            &["too_large"],
            acts([send("HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n"), flood([b' '; 16 * 1024])]),
        ),
        entry(
            "B3",
            "huge_body_declared_only",
            &["too_large", "timeout"],
            acts([send("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n"), Act::Hold]),
        ),
        entry(
            "B3",
            "endless_chunks",
            &["too_large"],
            acts([
                send(CHUNKED_HEAD),
                flood([&b"4000\r\n"[..], [b' '; 16 * 1024].as_slice(), b"\r\n"].concat()),
            ]),
        ),
        entry(
            "B3",
            "endless_one_byte_chunks",
            CUT,
            acts([send(CHUNKED_HEAD), flood("1\r\n \r\n".repeat(512))]),
        ),
        entry(
            "B3",
            "slow_one_byte_chunks",
            &["timeout"],
            acts([send(CHUNKED_HEAD), trickle("1\r\n \r\n", 5), Act::Hold]),
        ),
        entry(
            "B3",
            "endless_body_until_close",
            &["too_large"],
            acts([send("HTTP/1.1 200 OK\r\n\r\n"), flood([b' '; 16 * 1024])]),
        ),
        entry("B3", "body_over_the_cap", &["too_large"], bid_with(padded)),
        entry("B3", "body_under_the_cap", &["bid"], bid_with(full)),
        entry(
            "B3",
            "endless_header_line",
            CUT,
            acts([send("HTTP/1.1 200 OK\r\nX-Filler: "), flood([b'a'; 4096])]),
        ),
        entry(
            "B3",
            "endless_headers",
            CUT,
            acts([send("HTTP/1.1 200 OK\r\n"), flood("X-Filler: a\r\n".repeat(256))]),
        ),
        entry(
            "B3",
            "slow_headers",
            CUT,
            acts([send("HTTP/1.1 200 OK\r\n"), trickle("X-Filler: a\r\n", 20), Act::Hold]),
        ),
        entry("B3", "endless_status_line", CUT, acts([send("HTTP/1.1 200 "), flood([b'a'; 4096])])),
        entry("B3", "three_hundred_headers", CUT, with_headers(&many)),
        entry("B3", "long_header", CUT, with_headers(&long)),
        entry("B3", "endless_continue", CUT, acts([flood("HTTP/1.1 100 Continue\r\n\r\n".repeat(64))])),
        entry(
            "B3",
            "slow_continue",
            &["timeout", "malformed"],
            acts([trickle("HTTP/1.1 100 Continue\r\n\r\n", 10), Act::Hold]),
        ),
        entry(
            "B3",
            "endless_trailers",
            CUT,
            acts([say(CHUNKED_HEAD, b"2\r\n{}\r\n0\r\n"), flood("X-Filler: a\r\n".repeat(256))]),
        ),
        entry(
            "B3",
            "endless_chunk_extension",
            CUT,
            acts([send(CHUNKED_HEAD), send("2;"), flood([b'a'; 4096])]),
        ),
        entry("B3", "endless_chunk_size", CUT, acts([send(CHUNKED_HEAD), flood([b'0'; 4096])])),
    ]
}

fn b4_drip() -> Vec<Hostile> {
    vec![
        entry(
            "B4",
            "one_byte_per_second",
            &["timeout"],
            Behaviour::SlowDrip { interval_ms: 1_000, price_cents: 2_550 },
        ),
        entry(
            "B4",
            "one_byte_per_20_ms",
            &["timeout", "late"],
            Behaviour::SlowDrip { interval_ms: 20, price_cents: 2_550 },
        ),
    ]
}

fn b6_status(trap_url: &str) -> Vec<Hostile> {
    const STATUS: &[&str] = &["http_status"];
    const REDIRECT: &[&str] = &["redirect"];
    let none = Latency::Fixed(0);
    let status_with_bid = |line: &str| {
        let head = format!("HTTP/1.1 {line}\r\nContent-Length: $LEN\r\n\r\n");
        acts([say(&head, TRAP.as_bytes())])
    };
    let redirect_with_bid =
        format!("HTTP/1.1 302 Found\r\nLocation: {trap_url}\r\nContent-Length: $LEN\r\n\r\n");
    vec![
        entry(
            "B6",
            "no_bid_204",
            &["no_bid"],
            Behaviour::NoBid { latency: none.clone(), form: NoBidForm::Status204 },
        ),
        entry(
            "B6",
            "no_bid_zero",
            &["no_bid"],
            Behaviour::NoBid { latency: none.clone(), form: NoBidForm::Zero { reason: "closed".to_owned() } },
        ),
        entry("B6", "redirect_301", REDIRECT, redirect(301, trap_url)),
        entry("B6", "redirect_302", REDIRECT, redirect(302, trap_url)),
        entry("B6", "redirect_303", REDIRECT, redirect(303, trap_url)),
        entry("B6", "redirect_307", REDIRECT, redirect(307, trap_url)),
        entry("B6", "redirect_308", REDIRECT, redirect(308, trap_url)),
        entry("B6", "redirect_metadata", REDIRECT, redirect(307, "http://169.254.169.254/latest/meta-data/")),
        entry("B6", "redirect_file", REDIRECT, redirect(302, "file:///etc/passwd")),
        entry("B6", "redirect_with_bid", REDIRECT, acts([say(&redirect_with_bid, TRAP.as_bytes())])),
        entry("B6", "redirect_without_location", &["redirect", "http_status"], status_with_bid("302 Found")),
        entry("B6", "status_304", &["http_status", "redirect"], Behaviour::Status(304)),
        entry("B6", "status_400", STATUS, Behaviour::Status(400)),
        entry("B6", "status_401", STATUS, Behaviour::Status(401)),
        entry("B6", "status_403", STATUS, Behaviour::Status(403)),
        entry("B6", "status_404", STATUS, Behaviour::Status(404)),
        entry(
            "B6",
            "status_429_retry_after",
            &["http_status", "throttled"],
            acts([send("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")]),
        ),
        entry(
            "B6",
            "status_429_retry_never",
            &["http_status", "throttled"],
            acts([send(
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n",
            )]),
        ),
        entry("B6", "status_500", STATUS, Behaviour::Status(500)),
        entry("B6", "status_502", STATUS, Behaviour::Status(502)),
        entry("B6", "status_503", STATUS, Behaviour::Status(503)),
        entry("B6", "status_500_with_bid", STATUS, status_with_bid("500 Internal Server Error")),
        entry("B6", "status_403_with_bid", STATUS, status_with_bid("403 Forbidden")),
        entry("B6", "status_999", &["http_status", "malformed"], status_with_bid("999 Odd")),
        entry("B6", "status_000", &["malformed", "http_status", "closed"], status_with_bid("000 Odd")),
        entry("B6", "status_2000", &["malformed", "http_status", "closed"], status_with_bid("2000 Odd")),
        entry("B6", "no_reason_phrase", &["bid"], acts([say(&HEAD.replace(" OK", " "), BID.as_bytes())])),
        entry(
            "B6",
            "early_hints_then_bid",
            &["bid", "malformed", "http_status"],
            acts([say(
                &format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", fixed_head(BID)),
                BID.as_bytes(),
            )]),
        ),
        entry(
            "B6",
            "switching_protocols",
            &["http_status", "malformed", "closed", "timeout"],
            acts([
                send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
                Act::Hold,
            ]),
        ),
    ]
}

/// A head whose length counts `body` with its id filled in: ids are 26 characters, the placeholder has 8.
fn fixed_head(body: &str) -> String {
    HEAD.replace("$LEN", &(body.len() + PING_ID_CHARS - "$PING_ID".len()).to_string())
}

/// Characters of a ping's id.
const PING_ID_CHARS: usize = 26;

fn b7_framing() -> Vec<Hostile> {
    const ENCODING: &[&str] = &["encoding"];
    const BROKEN: &[&str] = &["malformed", "closed"];
    let encoded = |name: &str, body: &[u8]| {
        acts([say(
            &format!("HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nContent-Length: $LEN\r\n\r\n"),
            body,
        )])
    };
    let chunk =
        |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len() + PING_ID_CHARS - "$PING_ID".len());
    let chunked = |head: &str| acts([say(head, chunk(BID).as_bytes())]);
    vec![
        entry("B7", "gzip", ENCODING, encoded("gzip", &gzip_stored(br#"{"bid":"25.50"}"#))),
        entry("B7", "gzip_bomb", ENCODING, encoded("gzip", &gzip_bomb(12 * 1024))),
        entry("B7", "gzip_name_plain_body", ENCODING, encoded("gzip", BID.as_bytes())),
        entry("B7", "gzip_twice", ENCODING, encoded("gzip, gzip", &gzip_stored(&gzip_bomb(4 * 1024)))),
        entry("B7", "brotli", ENCODING, encoded("br", b"\x0b\x02\x80{}\x03")),
        entry("B7", "zstd", ENCODING, encoded("zstd", b"\x28\xb5\x2f\xfd\x04\x00\x11\x00\x00{}")),
        entry("B7", "deflate", ENCODING, encoded("deflate", b"\x78\x01\x01\x02\x00\xfd\xff{}")),
        entry("B7", "identity_encoding", &["bid", "encoding"], encoded("identity", BID.as_bytes())),
        entry("B7", "gzip_without_header", &["malformed"], body(gzip_stored(br#"{"bid":"25.50"}"#))),
        entry(
            "B7",
            "length_too_small",
            &["malformed"],
            acts([say(&HEAD.replace("$LEN", "20"), BID.as_bytes())]),
        ),
        entry(
            "B7",
            "length_too_large",
            &["timeout"],
            acts([say(&HEAD.replace("$LEN", "4000"), BID.as_bytes()), Act::Hold]),
        ),
        entry(
            "B7",
            "length_too_large_then_close",
            &["closed", "malformed"],
            acts([say(&HEAD.replace("$LEN", "4000"), BID.as_bytes()), Act::Close]),
        ),
        entry(
            "B7",
            "length_zero",
            &["malformed", "no_bid"],
            acts([say(&HEAD.replace("$LEN", "0"), BID.as_bytes())]),
        ),
        entry("B7", "length_negative", BROKEN, acts([say(&HEAD.replace("$LEN", "-1"), BID.as_bytes())])),
        entry(
            "B7",
            "length_plus",
            &["malformed", "closed", "bid"],
            acts([say(&HEAD.replace("$LEN", "+$LEN"), BID.as_bytes())]),
        ),
        entry("B7", "length_words", BROKEN, acts([say(&HEAD.replace("$LEN", "many"), BID.as_bytes())])),
        entry(
            "B7",
            "length_overflows",
            BROKEN,
            acts([say(&HEAD.replace("$LEN", "99999999999999999999999"), BID.as_bytes())]),
        ),
        entry("B7", "two_lengths_differ", BROKEN, with_headers("Content-Length: 5\r\n")),
        entry(
            "B7",
            "two_lengths_agree",
            &["malformed", "closed", "bid"],
            with_headers("Content-Length: $LEN\r\n"),
        ),
        entry(
            "B7",
            "length_list",
            &["malformed", "closed", "bid"],
            acts([say(&HEAD.replace("$LEN", "$LEN, $LEN"), BID.as_bytes())]),
        ),
        entry(
            "B7",
            "length_and_chunked",
            &["malformed", "closed", "bid"],
            chunked("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        entry("B7", "chunked", &["bid"], chunked(CHUNKED_HEAD)),
        entry(
            "B7",
            "chunked_not_last",
            &["malformed", "closed", "timeout", "encoding"],
            acts([
                say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", chunk(BID).as_bytes()),
                Act::Hold,
            ]),
        ),
        entry(
            "B7",
            "transfer_gzip",
            &["encoding", "malformed", "closed", "bid"],
            chunked("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        ),
        entry("B7", "chunk_size_bad", BROKEN, acts([say(CHUNKED_HEAD, b"zz\r\n{}\r\n0\r\n\r\n")])),
        entry(
            "B7",
            "chunk_size_overflows",
            BROKEN,
            acts([say(CHUNKED_HEAD, b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n")]),
        ),
        entry("B7", "chunk_longer_than_said", BROKEN, acts([say(CHUNKED_HEAD, b"1\r\n{}\r\n0\r\n\r\n")])),
        entry("B7", "http_0_9", BROKEN, acts([say("", BID.as_bytes()), Act::Close])),
        entry(
            "B7",
            "http_1_0_close",
            &["bid"],
            acts([
                say("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n", BID.as_bytes()),
                Act::Close,
            ]),
        ),
        entry(
            "B7",
            "http_1_0_chunked",
            &["malformed", "closed", "bid"],
            acts([say(&CHUNKED_HEAD.replace("1.1", "1.0"), chunk(BID).as_bytes()), Act::Close]),
        ),
        entry(
            "B7",
            "http_2_preface",
            BROKEN,
            acts([Act::Send(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec()), Act::Close]),
        ),
        entry(
            "B7",
            "http_3_0_version",
            BROKEN,
            acts([say(&HEAD.replace("HTTP/1.1", "HTTP/3.0"), BID.as_bytes())]),
        ),
        entry(
            "B7",
            "other_protocol",
            BROKEN,
            acts([send("220 mail.example.net ESMTP ready\r\n"), Act::Close]),
        ),
        entry(
            "B7",
            "tls_alert",
            BROKEN,
            acts([Act::Send(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()), Act::Close]),
        ),
        entry(
            "B7",
            "bare_line_feeds",
            &["bid", "malformed", "closed"],
            acts([say(&HEAD.replace("\r\n", "\n"), BID.as_bytes())]),
        ),
        entry("B7", "folded_header", &["malformed", "closed", "bid"], with_headers("X-Note: a\r\n b\r\n")),
        entry("B7", "space_before_colon", &["malformed", "closed", "bid"], with_headers("X-Note : a\r\n")),
        entry("B7", "nul_in_header", BROKEN, with_headers("X-Note: a\0b\r\n")),
        entry("B7", "nameless_header", BROKEN, with_headers(": a\r\n")),
        entry(
            "B7",
            "latin1_header",
            &["bid", "malformed", "closed"],
            acts([Act::Say(
                [&b"HTTP/1.1 200 OK\r\nX-Note: caf\xe9\r\nContent-Length: $LEN\r\n\r\n"[..], BID.as_bytes()]
                    .concat(),
            )]),
        ),
        entry(
            "B7",
            "connection_close",
            &["bid"],
            acts([
                say(&HEAD.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), BID.as_bytes()),
                Act::Close,
            ]),
        ),
        entry("B7", "connection_close_ignored", &["bid"], with_headers("Connection: close\r\n")),
        entry(
            "B7",
            "text_plain",
            &["bid", "malformed"],
            acts([say(&HEAD.replace("application/json", "text/plain"), BID.as_bytes())]),
        ),
        entry(
            "B7",
            "leading_empty_lines",
            &["bid", "malformed", "closed"],
            acts([Act::Say([b"\r\n\r\n", fixed_head(BID).as_bytes(), BID.as_bytes()].concat())]),
        ),
    ]
}

fn b8_cross() -> Vec<Hostile> {
    let other = |id: &str| body(format!(r#"{{"ping_id":"{id}","bid":"999.00","ttl_s":30}}"#));
    let twice = [&fixed_head(BID), BID, &fixed_head(TRAP), TRAP].concat().into_bytes();
    vec![
        entry("B8", "other_ping", &["ping_mismatch"], other("01JZZZZZZZZZZZZZZZZZZZZZZZ")),
        entry("B8", "previous_ping", &["ping_mismatch"], other("$PREVIOUS_PING_ID")),
        entry("B8", "lower_case_ping", &["ping_mismatch"], other("01jzzzzzzzzzzzzzzzzzzzzzzz")),
        entry("B8", "empty_ping", &["ping_mismatch", "malformed"], other("")),
        entry("B8", "padded_ping", &["ping_mismatch", "malformed"], other(" $PING_ID")),
        entry("B8", "number_ping", &["malformed", "ping_mismatch"], body(r#"{"ping_id":1,"bid":"999.00"}"#)),
        entry("B8", "null_ping", &["malformed", "ping_mismatch"], body(r#"{"ping_id":null,"bid":"999.00"}"#)),
        entry(
            "B8",
            "second_response_at_once",
            &["bid", "malformed", "closed"],
            acts([Act::Say(twice.clone())]),
        ),
        entry(
            "B8",
            "second_response_when_idle",
            &["bid"],
            acts([say(HEAD, BID.as_bytes()), Act::Wait { ms: 20 }, say(HEAD, TRAP.as_bytes())]),
        ),
        entry(
            "B8",
            "second_response_after_204",
            &["no_bid", "malformed", "closed"],
            acts([Act::Say(
                [b"HTTP/1.1 204 No Content\r\n\r\n", fixed_head(TRAP).as_bytes(), TRAP.as_bytes()].concat(),
            )]),
        ),
        entry(
            "B8",
            "body_after_204",
            &["no_bid", "malformed", "closed"],
            acts([say("HTTP/1.1 204 No Content\r\nContent-Length: $LEN\r\n\r\n", TRAP.as_bytes())]),
        ),
        entry(
            "B8",
            "late_reply_onto_the_next",
            &["timeout"],
            acts([Act::AwaitNextRequest, say(HEAD, TRAP.as_bytes())]),
        ),
        entry(
            "B8",
            "late_reply_then_trap",
            &["late", "timeout"],
            acts([Act::WaitPastDeadline { ms: 100 }, Act::Say(twice)]),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_is_covered_and_names_differ() {
        let all = hostile("http://127.0.0.1:1/trap");
        let names: HashSet<_> = all.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), all.len(), "two entries share a name");
        for row in ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8"] {
            assert!(all.iter().any(|entry| entry.row == row), "{row} has no entry");
        }
        assert!(all.iter().all(|entry| !entry.expect.is_empty()));
    }
}
