//! What got lost between Twilio and us: a call that a restart forgot, a document that failed while the next one is being
//! decided; and who else may speak of its calls.

use serde_json::json;

use super::lives::{
    Carrier, PUBLIC, SID, TOKEN, attribute, bridged, dialled, ended, incoming, ladder, nothing, start,
};
use crate::support::bids::{bid_after, bidders};
use crate::support::market::KEY;
use crate::support::strace::{Strace, by_threads};
use crate::support::{Exchange, Market, eventually};

/// What fails with this error at this URL, and the rest of what Twilio says.
fn fallback(carrier: &Carrier<'_>, sid: &str, code: &str, url: &str, more: &[(&str, &str)]) -> String {
    let more = [&[("ErrorCode", code), ("ErrorUrl", url)], more].concat();
    carrier.ask(&format!("{PUBLIC}/twilio/fallback"), &incoming(sid, &more))
}

fn is_sorry(document: &str) -> bool {
    document.contains("<Response><Say>We are sorry, ") && document.ends_with("</Say><Hangup/></Response>")
}

#[test]
fn a_disk_that_does_not_answer_leaves_no_caller_without_a_document() {
    let folder = start(ladder(), "[calls]\nnext_within_s = 60\n").crash();
    let settings = folder.path().join("outcry.toml");
    std::fs::write(&settings, by_threads(&std::fs::read_to_string(&settings).unwrap())).unwrap();
    let exchange = Exchange::run(folder);
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let call = carrier.call_of(&first);
    exchange.explained(&call);
    let stuck = Strace::no_sync(&exchange);
    let told = [("CallSid", "CA-leg"), ("ParentCallSid", SID), ("CallStatus", "in-progress")];
    let (leg, last) = std::thread::scope(|scope| {
        let leg = scope.spawn(|| {
            let carrier = Carrier::of(&exchange);
            carrier.post_as(TOKEN, &attribute(&first, "statusCallback"), &told).status
        });
        let last = carrier.dial(&first, SID, "in-progress", &bridged("95"));
        (leg.join().unwrap(), last)
    });
    assert_eq!(leg, 503, "what only reports can be sent again");
    // It would not ask again, so nothing is gained by letting it wait for long.
    assert!(ended(&last), "{last}");
    drop(stuck);
    assert_eq!(carrier.dial(&first, SID, "in-progress", &bridged("95")), last);
    eventually("the talk is booked", || (exchange.ledger(&call).len() == 3).then_some(()));
    exchange.finish();
}

#[test]
fn without_room_for_another_call_the_fallback_has_something_to_say() {
    let exchange = start(ladder(), "[limits]\nlive_calls = 1\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let voice = format!("{PUBLIC}/twilio/voice");
    let refused = carrier.post_as(TOKEN, &voice, &incoming("CA2", &[]));
    assert_eq!(refused.status, 503, "another host may still take it");
    assert!(is_sorry(&fallback(&carrier, "CA2", "11200", &voice, &[])));
    carrier.dial(&first, SID, "completed", &[("DialCallStatus", "canceled")]);
    exchange.finish();
}

#[test]
fn a_status_that_is_no_end_ends_nothing() {
    let exchange = start(ladder(), "[calls]\nlate_events_s = 0\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let status = |word: &str| {
        let pairs = [("CallSid", SID), ("CallStatus", word)];
        assert_eq!(carrier.post_as(TOKEN, &format!("{PUBLIC}/twilio/status"), &pairs).status, 204);
    };
    for word in ["ringing", "in-progress", "invented"] {
        status(word);
    }
    let second = carrier.dial(&first, SID, "ringing", &[("DialCallStatus", "busy")]);
    assert_eq!(dialled(&second), "+15125550901");
    status("completed");
    assert_eq!(exchange.end(&carrier.call_of(&first))["reason"], "caller_abandon");
    exchange.finish();
}

#[test]
fn a_token_alone_says_nothing_of_a_call_whose_carrier_signs() {
    let exchange = start(ladder(), "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let call = carrier.call_of(&first);
    let token = attribute(&first, "action").split("token=").nth(1).unwrap().to_owned();
    let talk = json!({"event_id": "e1", "type": "ended", "attempt": 1, "at": "2026-11-20T09:00:00.000Z",
        "cause": "normal", "ended_by": "caller", "talk_ms": 120_000});
    let over = json!({"step": 1, "result": "attempts_ended", "at": "2026-11-20T09:00:00.000Z",
        "attempts": [{"attempt": 1, "cause": "normal", "ended_by": "caller", "talk_ms": 120_000}]});
    for (what, body) in [("events", &talk), ("next", &over)] {
        let path = format!("/v1/calls/{call}/{what}/{token}");
        for (key, status) in [(None, 404), (Some(KEY), 403)] {
            let answer =
                crate::support::request(&exchange.traffic, "POST", &path, key, body.to_string().as_bytes());
            assert_eq!(answer.status, status, "{what}: {}", answer.text());
        }
    }
    assert_eq!(exchange.explained(&call)["events"], json!([]));
    let second = carrier.dial(&first, SID, "ringing", &[("DialCallStatus", "busy")]);
    assert_eq!(dialled(&second), "+15125550901", "the first has no end yet");
    carrier.dial(&second, SID, "completed", &[("DialCallStatus", "canceled")]);
    assert_eq!(exchange.ledger(&call), []);
    exchange.finish();
}

#[test]
fn a_step_that_is_being_decided_is_awaited_by_the_fallback() {
    let market = bidders([("slow", bid_after(250, "40"))]);
    let plan = Market::new(r#"{ sequential = ["desk", { auction = ["slow"] }] }"#)
        .patient()
        .bidder("slow", &market.url("slow"))
        .target("desk", "slow", "address = \"+15125550909\"\nprice = \"20.00\"");
    let exchange = start(plan, "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    assert_eq!(dialled(&first), "+15125550909");
    let action = attribute(&first, "action");
    let busy = [("CallSid", SID), ("CallStatus", "ringing"), ("DialCallStatus", "busy")];
    let signature = carrier.library.borrow_mut().sign_form(&action, &busy, TOKEN, "HMAC_SHA1");
    let mut stream = crate::support::http::connect(&exchange.traffic);
    std::io::Write::write_all(&mut stream, &carrier.sent(&action, &busy, &signature)).unwrap();
    eventually("the bidder is asked", || (!market.pings("slow").is_empty()).then_some(()));
    let instead = fallback(&carrier, SID, "11200", &action, &[]);
    assert_eq!(dialled(&instead), "+15125550900");
    assert_eq!(crate::support::http::read(&mut stream).text(), instead, "one step, one answer");
    assert_eq!(market.pings("slow").len(), 1);
    carrier.dial(&instead, SID, "completed", &[("DialCallStatus", "canceled")]);
    exchange.finish();
}

#[test]
fn a_document_of_no_use_is_followed_by_fixed_prices_only() {
    let market = bidders([("asked", bid_after(2, "40"))]);
    let plan = Market::new(r#"{ sequential = ["desk", { auction = ["asked"] }, "last"] }"#)
        .bidder("asked", &market.url("asked"))
        .target("desk", "asked", "address = \"+15125550909\"\nprice = \"20.00\"")
        .target("last", "asked", "address = \"+15125550908\"\nprice = \"19.00\"");
    let exchange = start(plan, "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    assert_eq!(dialled(&first), "+15125550909");
    let voice = format!("{PUBLIC}/twilio/voice");
    let instead = fallback(&carrier, SID, "13214", &voice, &[]);
    assert_eq!(dialled(&instead), "+15125550908");
    assert_eq!(market.pings("asked").len(), 0, "nobody is asked");
    // That one failed too, and so does what says that nobody is left: there is something to hear all the same.
    let end = fallback(&carrier, SID, "12100", &attribute(&first, "action"), &[]);
    assert!(end.contains("<Reject reason=\"busy\"/>"), "{end}");
    let sorry = fallback(&carrier, SID, "12100", &attribute(&instead, "action"), &[]);
    assert_eq!(sorry, end, "after a goodbye there is nothing else to say");
    exchange.finish();
}

#[test]
fn after_a_message_the_fallback_does_not_begin_anew() {
    let market = ladder().plan("root = \"one\"\nterminal = { voicemail = \"Please leave a message.\" }");
    let exchange = start(market, "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let record = carrier.dial(&first, SID, "ringing", &[("DialCallStatus", "no-answer")]);
    let done = attribute(&record, "action");
    assert!(ended(&fallback(&carrier, SID, "11200", &done, &[("CallStatus", "in-progress")])));
    // Nor where the document before it never came: that is the message still.
    let again = fallback(&carrier, SID, "11200", &attribute(&first, "action"), &[]);
    assert_eq!(again, record);
    // Nor where it came and was of no use: nothing comes after it.
    assert!(is_sorry(&fallback(&carrier, SID, "12100", &attribute(&first, "action"), &[])));
    exchange.finish();
}

/// The first target is busy.
const BUSY: [(&str, &str); 1] = [("DialCallStatus", "busy")];

#[test]
fn a_call_goes_on_after_a_restart() {
    let exchange = start(ladder(), "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let call = carrier.call_of(&first);
    let known = |exchange: &Exchange, steps: usize| {
        eventually("the step is on disk", || {
            (exchange.explained(&call)["steps"].as_array()?.len() == steps).then_some(())
        });
    };
    known(&exchange, 1);
    drop(carrier);
    let exchange = exchange.crash_and_restart();
    let carrier = Carrier::of(&exchange);
    assert_eq!(carrier.voice(SID), first, "asked again it says the same");
    // The first target is busy, the second is another, and asked again it is the same.
    let second = carrier.dial(&first, SID, "in-progress", &BUSY);
    assert!(!dialled(&second).is_empty() && dialled(&second) != dialled(&first), "{second}");
    known(&exchange, 2);
    drop(carrier);
    let exchange = exchange.crash_and_restart();
    let carrier = Carrier::of(&exchange);
    assert_eq!(carrier.dial(&first, SID, "in-progress", &BUSY), second);
    let last = carrier.dial(&second, SID, "in-progress", &bridged("120"));
    assert!(ended(&last), "{last}");
    drop(carrier);
    let exchange = exchange.crash_and_restart();
    let carrier = Carrier::of(&exchange);
    assert_eq!(carrier.dial(&second, SID, "in-progress", &bridged("120")), last);
    assert_eq!(exchange.ledger(&call).len(), 3, "billed once");
    exchange.finish();
}

#[test]
fn a_call_whose_journal_was_lost_is_ended_and_never_begun_anew() {
    let settings = "[calls]\nnext_within_s = 60\n";
    let exchange = start(ladder(), settings);
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let (call, action) = (carrier.call_of(&first), attribute(&first, "action"));
    exchange.explained(&call);
    drop(carrier);
    let folder = exchange.crash();
    std::fs::remove_dir_all(folder.path().join("store/outcry.journal")).unwrap();
    let exchange = Exchange::run(folder);
    let carrier = Carrier::of(&exchange);
    // The talk that nobody is billed for is at least there to be read.
    let last = carrier.dial(&first, SID, "in-progress", &bridged("120"));
    assert!(ended(&last), "{last}");
    let kept = || exchange.get("/api/v1/unknown-reports").json()["reports"].clone();
    let newest = kept()[0].clone();
    assert_eq!((&newest["call"], &newest["carrier"]), (&json!(call), &json!("tw")), "{newest}");
    assert_eq!(newest["detail"], "normal, by target, talk 120000 ms");
    assert!(nothing(&carrier.dial(&first, SID, "completed", &bridged("120"))));
    // News of its legs, and of itself, and the end of a message.
    let told = [("CallSid", "CA-leg"), ("ParentCallSid", SID), ("CallStatus", "completed")];
    assert_eq!(carrier.post_as(TOKEN, &attribute(&first, "statusCallback"), &told).status, 404);
    let over = [("CallSid", SID), ("CallStatus", "completed")];
    assert_eq!(carrier.post_as(TOKEN, &format!("{PUBLIC}/twilio/status"), &over).status, 404);
    let done = action.replace("/dial/", "/done/").replace("/1?", "?");
    assert!(ended(&carrier.ask(&done, &[("CallSid", SID)])));
    // The fallback for its action: who talked, may have talked or is gone is sent to nobody else.
    let there = ("CallStatus", "in-progress");
    let talked = [&bridged("120")[..], &[there]].concat();
    assert!(ended(&fallback(&carrier, SID, "11200", &action, &talked)));
    assert!(ended(&fallback(&carrier, SID, "11200", &action, &[there])));
    let left = [("DialCallStatus", "busy"), ("CallStatus", "completed")];
    assert!(nothing(&fallback(&carrier, SID, "11200", &action, &left)));
    assert_eq!(kept().as_array().unwrap().len(), 8);
    assert_eq!(exchange.metric("outcry_decisions_total", ""), 0.0);
    // Who was not served yet gets the static answer.
    let instead = fallback(&carrier, SID, "11200", &action, &[("DialCallStatus", "busy"), there]);
    assert_eq!(dialled(&instead), "+15125550900");
    carrier.dial(&instead, SID, "completed", &[("DialCallStatus", "canceled")]);
    exchange.finish();
}
