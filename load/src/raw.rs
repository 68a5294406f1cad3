//! Replies byte by byte: acts that a bidder plays for every ping, and the hostile replies made of them.
//!
//! An act does what it says on the wire and judges nothing. What hostile or broken buyers send is in [`hostile`].

mod bodies;
mod faults;
mod gzip;
mod http;

use std::time::{Duration, Instant};

use crate::bidders::{Flow, Turn};
use crate::wire::{Waited, Wire, find};
pub use faults::{Hostile, bid_value, bid_with, body, hostile, redirect};

/// Most bytes one [`Act::Repeat`] writes, whatever it asks for.
pub const REPEAT_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// An HTML page, as a misconfigured endpoint sends it.
pub const PAGE: &[u8] =
    b"<!doctype html><html><head><title>Welcome</title></head><body>It works!</body></html>";

/// Bodies in which a type or the shape is wrong, as [`Behaviour::WrongTypes`](crate::bidders::Behaviour::WrongTypes)
/// sends them; `$PING_ID` becomes the ping's id. None of them is a bid.
pub const WRONG_TYPES: [&str; 10] = [
    r#"{"ping_id":"$PING_ID","bid":[25.50]}"#,
    r#"{"ping_id":"$PING_ID","bid":{"amount":25.50}}"#,
    r#"{"ping_id":"$PING_ID","bid":true}"#,
    r#"{"ping_id":"$PING_ID","bid":"twenty"}"#,
    r#"{"ping_id":"$PING_ID","bid":"$25.50"}"#,
    r#"{"ping_id":"$PING_ID","bid":-25.50}"#,
    r#"{"ping_id":"$PING_ID","bid":"25.50","ttl_s":"soon"}"#,
    r#"{"ping_id":7,"bid":"25.50"}"#,
    r#"["$PING_ID","25.50"]"#,
    r#""25.50""#,
];

/// One step of a raw reply.
#[derive(Clone, Debug)]
pub enum Act {
    /// Writes exactly these bytes.
    Send(Vec<u8>),
    /// Writes these bytes with `$PING_ID` replaced by the ping's id, `$PREVIOUS_PING_ID` by that of the ping before
    /// it, and then `$LEN` by the number of bytes after the first empty line.
    Say(Vec<u8>),
    /// Waits this many ms.
    Wait { ms: u64 },
    /// Waits until this many ms after the ping's `deadline_ms` has passed.
    WaitPastDeadline { ms: u64 },
    /// Writes the bytes again and again, with a pause in ms between, up to `limit_bytes` in all (at most
    /// [`REPEAT_LIMIT_BYTES`]) or until the exchange closes.
    Repeat { bytes: Vec<u8>, every_ms: u64, limit_bytes: u64 },
    /// Waits until the exchange sends another request on this connection, or closes it.
    AwaitNextRequest,
    /// Waits until the exchange closes the connection (at most two minutes).
    Hold,
    /// Ends the connection with FIN.
    Close,
    /// Ends the connection with RST.
    Reset,
}

/// Plays the acts as the reply to one ping.
pub(crate) async fn play(acts: &[Act], turn: &mut Turn<'_>, wire: &mut Wire) -> Flow {
    // A reply that holds, floods or waits for more has no last byte that the exchange could be timed from.
    let endless = |act: &Act| matches!(act, Act::Hold | Act::Repeat { .. } | Act::AwaitNextRequest);
    let tells = |act: &Act| matches!(act, Act::Send(_) | Act::Say(_) | Act::Close | Act::Reset);
    let last = if acts.iter().any(endless) { None } else { acts.iter().rposition(tells) };
    for (at, act) in acts.iter().enumerate() {
        let final_act = last == Some(at);
        let flow = match act {
            Act::Send(bytes) => emit(turn, wire, bytes, final_act).await,
            Act::Say(template) => {
                let bytes = fill(template, &turn.ping_id, &turn.previous_ping_id);
                emit(turn, wire, &bytes, final_act).await
            }
            Act::Wait { ms } => pause(turn, wire, Instant::now() + Duration::from_millis(*ms)).await,
            Act::WaitPastDeadline { ms } => {
                let after = Duration::from_millis(turn.deadline_ms.saturating_add(*ms));
                pause(turn, wire, turn.received + after).await
            }
            Act::Repeat { bytes, every_ms, limit_bytes } => {
                repeat(wire, bytes, Duration::from_millis(*every_ms), *limit_bytes).await
            }
            Act::AwaitNextRequest => match wire.wait_for_more().await {
                Waited::Elapsed => Flow::Next,
                Waited::Closed => Flow::GivenUp,
            },
            Act::Hold => {
                let waited = wire.wait(None).await;
                turn.note_reuse(wire);
                if waited == Waited::Closed { Flow::GivenUp } else { Flow::Close }
            }
            Act::Close => Flow::Close,
            Act::Reset => Flow::Reset,
        };
        if final_act && matches!(flow, Flow::Close | Flow::Reset) {
            turn.replied();
        }
        if flow != Flow::Next {
            return flow;
        }
    }
    Flow::Next
}

async fn emit(turn: &mut Turn<'_>, wire: &mut Wire, bytes: &[u8], final_act: bool) -> Flow {
    if final_act {
        return turn.send(wire, bytes).await;
    }
    if wire.send(bytes).await.is_ok() { Flow::Next } else { Flow::GivenUp }
}

async fn pause(turn: &Turn<'_>, wire: &mut Wire, until: Instant) -> Flow {
    let after = until.saturating_duration_since(turn.received);
    if turn.wait(wire, after).await { Flow::Next } else { Flow::GivenUp }
}

async fn repeat(wire: &mut Wire, bytes: &[u8], every: Duration, limit_bytes: u64) -> Flow {
    let mut left = limit_bytes.min(REPEAT_LIMIT_BYTES);
    while left >= bytes.len() as u64 && !bytes.is_empty() {
        left -= bytes.len() as u64;
        tokio::task::coop::consume_budget().await; // a flood leaves the thread to other bidders now and then
        if wire.send(bytes).await.is_err() {
            return Flow::GivenUp;
        }
        if !every.is_zero() && wire.wait(Some(Instant::now() + every)).await == Waited::Closed {
            return Flow::GivenUp;
        }
    }
    Flow::Next
}

/// Fills a template; see [`Act::Say`].
fn fill(template: &[u8], ping_id: &str, previous_ping_id: &str) -> Vec<u8> {
    let bytes = replace(template, b"$PREVIOUS_PING_ID", previous_ping_id.as_bytes());
    let bytes = replace(&bytes, b"$PING_ID", ping_id.as_bytes());
    let blank = [&b"\r\n\r\n"[..], b"\n\n"].into_iter().find_map(|gap| Some(find(&bytes, gap)? + gap.len()));
    let Some(head_len) = blank else { return bytes };
    let (head, body) = bytes.split_at(head_len);
    let mut filled = replace(head, b"$LEN", body.len().to_string().as_bytes());
    filled.extend_from_slice(body);
    filled
}

fn replace(hay: &[u8], needle: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(hay.len());
    let mut rest = hay;
    while let Some(at) = find(rest, needle) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + needle.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        let filled = fill(b"H: $LEN\r\n\r\n{\"$PING_ID\",\"$PREVIOUS_PING_ID\"}", "abc", "de");
        assert_eq!(filled, b"H: 12\r\n\r\n{\"abc\",\"de\"}");
        assert_eq!(fill(b"no head $PING_ID", "abc", ""), b"no head abc");
        assert_eq!(fill(b"L: $LEN\n\n{}", "", ""), b"L: 2\n\n{}");
    }
}
