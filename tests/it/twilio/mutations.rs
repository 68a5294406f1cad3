//! Requests that Twilio signed, changed on their way: none is taken, each is counted, nothing happens.

use serde_json::json;

use super::lives::{Carrier, PUBLIC, SID, TOKEN, attribute, dialled, incoming, ladder, start};
use crate::support::http::raw;

/// Other bytes in the place of each byte between these two.
fn spoilt(sent: &[u8], from: usize, to: usize) -> impl Iterator<Item = Vec<u8>> {
    (from..to).map(|at| {
        let mut bytes = sent.to_vec();
        bytes[at] = if bytes[at] == b'Q' { b'q' } else { b'Q' };
        bytes
    })
}

fn find(sent: &[u8], what: &str) -> usize {
    let at = sent.windows(what.len()).position(|window| window == what.as_bytes());
    at.unwrap_or_else(|| panic!("no {what}")) + what.len()
}

#[test]
fn no_changed_request_is_taken() {
    let exchange = start(ladder(), "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let call = carrier.call_of(&first);
    let url = |path: &str| format!("{PUBLIC}/twilio/{path}");
    let more = [("ErrorCode", "12100"), ("ErrorUrl", "https://calls.example.com/twilio/voice")];
    let requests = [
        (url("voice"), incoming("CA-new", &[])),
        (url("fallback"), incoming(SID, &more)),
        (url("status"), vec![("CallSid", SID), ("CallStatus", "completed")]),
        (
            attribute(&first, "action"),
            vec![("CallSid", SID), ("CallStatus", "ringing"), ("DialCallStatus", "busy")],
        ),
        (
            attribute(&first, "statusCallback"),
            vec![("CallSid", "CA-leg"), ("ParentCallSid", SID), ("CallStatus", "in-progress")],
        ),
    ];
    let mut refused = 0;
    for (url, pairs) in &requests {
        let signature = carrier.library.borrow_mut().sign_form(url, pairs, TOKEN, "HMAC_SHA1");
        let sent = carrier.sent(url, pairs, &signature);
        let (path, after_path) = (find(&sent, "POST /twilio/"), find(&sent, " HTTP/1.1"));
        let (signed, body) = (find(&sent, "x-twilio-signature: "), find(&sent, "\r\n\r\n"));
        let spoilt = spoilt(&sent, path, after_path - " HTTP/1.1".len())
            .chain(spoilt(&sent, signed, signed + signature.len()))
            .chain(spoilt(&sent, body, sent.len()));
        for bytes in spoilt {
            let answer = raw(&exchange.traffic, &bytes);
            assert!([400, 403, 404].contains(&answer.status), "{}", String::from_utf8_lossy(&bytes));
            refused += 1;
        }
    }
    assert!(refused > 1_000, "{refused}");
    assert_eq!(exchange.metric("outcry_requests_refused_total", ""), f64::from(refused), "each is counted");
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 1.0);
    assert_eq!(exchange.metric("outcry_events_total", ""), 0.0);
    assert_eq!(exchange.get("/api/v1/unknown-reports").json()["reports"], json!([]));
    assert_eq!(exchange.explained(&call)["events"], json!([]));
    // What was signed is taken as it is.
    let second = carrier.dial(&first, SID, "ringing", &[("DialCallStatus", "busy")]);
    assert_eq!(dialled(&second), "+15125550901");
    carrier.dial(&second, SID, "completed", &[("DialCallStatus", "canceled")]);
    exchange.finish();
}
