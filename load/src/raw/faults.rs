//! The collection of hostile replies a test loops over: reliability rows B1 to B8 and the bodies of scenario 19.
//!
//! The expected outcomes are suggestions in the exchange's own words; the exchange defines what it really calls them.
//! TLS and DNS faults (B9, B10) and buyers that fail after winning (B12) are not here. What is slow, breaks off or never
//! ends (B1 to B4) is; the bodies of B5 are in `bodies`, what is wrong in the HTTP (B6 to B8) in `http`.

use super::Act;
use super::bodies::{b5_json, b5_numbers, b5_terms};
use super::http::{b6_status, b7_framing, b8_cross};
use crate::bidders::{Behaviour, ResetAt};
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

pub(super) const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: $LEN\r\n\r\n";
pub(super) const CHUNKED_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
/// The correct reply that faults are wrapped around.
pub(super) const BID: &str = r#"{"ping_id":"$PING_ID","bid":"25.50","ttl_s":30}"#;
/// A reply that would win, were it believed.
pub(super) const TRAP: &str = r#"{"ping_id":"$PING_ID","bid":"999.00","ttl_s":30}"#;

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

pub(super) fn say(head: &str, body: &[u8]) -> Act {
    Act::Say([head.as_bytes(), body].concat())
}

pub(super) fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

pub(super) fn acts(acts: impl Into<Vec<Act>>) -> Behaviour {
    Behaviour::Acts(acts.into())
}

fn flood(bytes: impl AsRef<[u8]>) -> Act {
    Act::Repeat { bytes: bytes.as_ref().to_vec(), every_ms: 0, limit_bytes: FLOOD_BYTES }
}

fn trickle(bytes: &str, every_ms: u64) -> Act {
    Act::Repeat { bytes: bytes.as_bytes().to_vec(), every_ms, limit_bytes: 1024 * 1024 }
}

/// A 200 that carries the bid and these header lines (each ending in CRLF) besides its length.
pub(super) fn with_headers(headers: &str) -> Behaviour {
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

/// A head whose length counts `body` with its id filled in: ids are 26 characters, the placeholder has 8.
pub(super) fn fixed_head(body: &str) -> String {
    HEAD.replace("$LEN", &(body.len() + PING_ID_CHARS - "$PING_ID".len()).to_string())
}

/// Characters of a ping's id.
pub(super) const PING_ID_CHARS: usize = 26;

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
