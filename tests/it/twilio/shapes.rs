//! Requests in every shape: methods, parameters in the query, twice, too many or none at all, bodies that are no form.

use super::lives::{
    Carrier, PUBLIC, SID, TOKEN, attribute, dialled, escaped, incoming, ladder, nothing, start,
};
use crate::support::http::raw;
use crate::support::{Answer, path_of};

/// A request without a body, signed over its URL.
fn bare(carrier: &Carrier<'_>, method: &str, url: &str) -> Answer {
    let signature = carrier.library.borrow_mut().sign_url(url, TOKEN, "HMAC_SHA1");
    let head = format!(
        "{method} {} HTTP/1.1\r\nhost: x\r\nx-twilio-signature: {signature}\r\nconnection: close\r\n\r\n",
        path_of(url)
    );
    raw(&carrier.exchange.traffic, head.as_bytes())
}

fn with_query(url: &str, pairs: &[(&str, &str)]) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    format!("{url}{joint}{}", query.join("&"))
}

#[test]
fn a_life_in_queries_is_the_same_life() {
    let exchange = start(ladder(), "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let ask = |url: &str, pairs: &[(&str, &str)]| {
        let answer = bare(&carrier, "GET", &with_query(url, pairs));
        assert!([200, 204].contains(&answer.status), "{url}: {}", answer.text());
        answer.text()
    };
    let first =
        ask(&format!("{PUBLIC}/twilio/voice"), &incoming(SID, &[("Empty", ""), ("FromCity", "José O'Neil")]));
    assert_eq!(first, carrier.voice(SID), "the same question, by another method");
    let leg = [("CallSid", "CA-leg"), ("ParentCallSid", SID), ("CallStatus", "busy")];
    ask(&attribute(&first, "statusCallback"), &leg);
    let busy = [("CallSid", SID), ("CallStatus", "ringing"), ("DialCallStatus", "busy")];
    let second = ask(&attribute(&first, "action"), &busy);
    assert_eq!(dialled(&second), "+15125550901");
    let again = [("ErrorCode", "11200"), ("ErrorUrl", &*attribute(&first, "action"))];
    assert_eq!(ask(&format!("{PUBLIC}/twilio/fallback"), &incoming(SID, &again)), second);
    ask(&format!("{PUBLIC}/twilio/status"), &[("CallSid", SID), ("CallStatus", "completed")]);
    let gone = [("CallSid", SID), ("CallStatus", "completed"), ("DialCallStatus", "canceled")];
    assert!(nothing(&ask(&attribute(&second, "action"), &gone)));
    exchange.finish();
}

#[test]
fn other_methods_are_refused_everywhere() {
    let exchange = start(ladder(), "");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let urls = ["voice", "status", "fallback"].map(|path| format!("{PUBLIC}/twilio/{path}"));
    let made = ["action", "statusCallback"].map(|name| attribute(&first, name));
    for url in urls.iter().chain(&made) {
        let url = with_query(url, &incoming("CA-new", &[]));
        for method in ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = bare(&carrier, method, &url);
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST")), "{method} {url}");
        }
    }
    carrier.dial(&first, SID, "completed", &[("DialCallStatus", "canceled")]);
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 1.0);
    exchange.finish();
}

#[test]
fn parameters_that_are_repeated_too_many_or_not_signed_are_refused_or_read_once() {
    let exchange = start(ladder(), "");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let action = attribute(&first, "action");
    let voice = format!("{PUBLIC}/twilio/voice");
    // The first of two ids counts, and it is another call's.
    let two =
        [("CallSid", "CA-other"), ("CallSid", SID), ("CallStatus", "ringing"), ("DialCallStatus", "busy")];
    assert_eq!(carrier.post_as(TOKEN, &action, &two).status, 403);
    let many: Vec<(&str, &str)> = incoming("CA-many", &[]).into_iter().cycle().take(201).collect();
    assert_eq!(carrier.post_as(TOKEN, &voice, &many).status, 403);
    let long = "x".repeat(70_000);
    assert_eq!(carrier.post_as(TOKEN, &voice, &incoming("CA-long", &[("Long", &long)])).status, 413);
    assert_eq!(carrier.post_as(TOKEN, &voice, &[]).status, 400, "signed, and says nothing");
    // Parameters where the signature of a form does not cover them, or in a body that is none.
    let said = with_query(&voice, &incoming("CA-query", &[]));
    assert_eq!(carrier.post_as(TOKEN, &said, &[]).status, 400);
    let post = |url: &str, signature: &str, kind: &str, body: &str| {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nx-twilio-signature: {signature}\r\n{kind}content-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            path_of(url),
            body.len()
        );
        raw(&exchange.traffic, head.as_bytes()).status
    };
    let json = r#"{"CallSid":"CA-json","To":"+18005550100","CallStatus":"ringing"}"#;
    let (signature, hashed) = carrier.library.borrow_mut().sign_json(&voice, json, TOKEN, "HMAC_SHA1");
    assert_eq!(post(&hashed, &signature, "content-type: application/json\r\n", json), 400);
    assert_eq!(post(&hashed, &signature, "content-type: application/json\r\n", "{}"), 403);
    let signature = carrier.library.borrow_mut().sign_url(&voice, TOKEN, "HMAC_SHA1");
    assert_eq!(post(&voice, &signature, "content-type: application/json\r\n", json), 403);
    assert_eq!(post(&voice, &signature, "", "CallSid=CA-plain"), 403);
    assert_eq!(post(&voice, &signature, "content-type: application/x-www-form-urlencoded\r\n", "a=%zz"), 403);
    let shared =
        carrier.library.borrow_mut().sign_form(&voice, &incoming("CA-key", &[]), TOKEN, "HMAC_SHA256");
    assert_eq!(
        carrier.send(&voice, &incoming("CA-key", &[]), &shared).status,
        403,
        "the header names no SHA-256"
    );
    assert_eq!(exchange.metric("outcry_requests_refused_total", ""), 11.0);
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 1.0);
    // With it, it is taken.
    let sent = carrier.sent(&voice, &incoming("CA-key", &[]), &shared);
    let settings = "POST /twilio/voice HTTP/1.1\r\nx-twilio-webhooks-signature-settings: key=k,algorithm=HMAC_SHA256\r\n";
    let sent = String::from_utf8(sent).unwrap().replace("POST /twilio/voice HTTP/1.1\r\n", settings);
    let keyed = raw(&exchange.traffic, sent.as_bytes()).text();
    for (document, sid) in [(&first, SID), (&keyed, "CA-key")] {
        carrier.dial(document, sid, "completed", &[("DialCallStatus", "canceled")]);
    }
    exchange.finish();
}
