//! A buyer hands back a call it was given: what it posts, read. Whether it may is decided in `exchange::hand_back`.

use serde::Deserialize;

use crate::auction::bid::cleaned;
use crate::domain::{CallId, E164};

/// Longest word on why, in bytes.
const NOTE_MAX: usize = 200;

/// What is handed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandBack {
    /// Which call.
    pub which: Which,
    /// The buyer's word on why, without anything that could be a phone number.
    pub note: String,
}

/// How a buyer names a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its id.
    Call(CallId),
    /// By who calls: the one call of this caller that is with the buyer.
    Caller(E164),
}

/// What is wrong in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandBackFault {
    /// Where.
    pub at: &'static str,
    /// What is allowed there.
    pub allowed: &'static str,
}

const WHOLE: &str =
    "an object {\"call_id\": \"01J…\"} or {\"caller\": \"+15125550123\"}, with \"reason\" if you like";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    call_id: Option<String>,
    caller: Option<String>,
    reason: Option<String>,
}

/// Reads the body: exactly one of `call_id` and `caller`, and optionally a `reason` of up to 200 bytes.
pub fn read(body: &[u8]) -> Result<HandBack, HandBackFault> {
    let fault = |at, allowed| HandBackFault { at, allowed };
    let body: Body = serde_json::from_slice(body).map_err(|_| fault("body", WHOLE))?;
    let which = match (body.call_id, body.caller) {
        (Some(call), None) => CallId::parse(&call).map(Which::Call).ok_or(fault(
            "call_id",
            "the id of a call, 26 characters, as pings and headers of SIP calls have it",
        ))?,
        (None, Some(caller)) => E164::parse(&caller)
            .map(Which::Caller)
            .ok_or(fault("caller", "the caller's number, such as +15125550123"))?,
        _ => return Err(fault("body", WHOLE)),
    };
    let note = body.reason.unwrap_or_default();
    if note.len() > NOTE_MAX {
        return Err(fault("reason", "at most 200 bytes"));
    }
    Ok(HandBack { which, note: cleaned(note) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let id = CallId::from_bits(7);
        let caller = E164::parse("+15125550123").expect("E.164");
        let good = |which, note: &str| Ok(HandBack { which, note: note.to_owned() });
        let bad = |at| Err(at);
        let rows = [
            (format!(r#"{{"call_id":"{id}"}}"#), good(Which::Call(id), "")),
            (
                r#"{"caller":"+15125550123","reason":"no agent"}"#.to_owned(),
                good(Which::Caller(caller), "no agent"),
            ),
            (
                r#"{"caller":"+15125550123","reason":"call 512-555-0123"}"#.to_owned(),
                good(Which::Caller(caller), "call 512-5••-••••"),
            ),
            (format!(r#"{{"call_id":"{id}","caller":"+15125550123"}}"#), bad("body")),
            ("{}".to_owned(), bad("body")),
            (r#"{"call":"1"}"#.to_owned(), bad("body")),
            ("[]".to_owned(), bad("body")),
            (r#"{"call_id":"x"}"#.to_owned(), bad("call_id")),
            (r#"{"caller":"512"}"#.to_owned(), bad("caller")),
            (format!(r#"{{"caller":"+15125550123","reason":"{}"}}"#, "x".repeat(201)), bad("reason")),
        ];
        for (body, expected) in rows {
            assert_eq!(read(body.as_bytes()).map_err(|fault| fault.at), expected, "{body}");
        }
    }
}
