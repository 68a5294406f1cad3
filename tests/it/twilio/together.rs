//! Several numbers in one `Dial`: whoever presses 1 takes the call, and only its leg proves a talk.

use super::lives::{Carrier, PUBLIC, SID, TOKEN, attribute, bridged, dialled, ended, start};
use crate::support::twilio::Twilio;
use crate::support::{Exchange, Market};

const WAITING: &str = "[calls]\nnext_within_s = 60\nlate_events_s = 5\n";

fn market(answer: &str) -> Market {
    let root = format!(
        "{{ sequential = [{{ simultaneous = [\"one\", \"two\"], answer = \"{answer}\" }}, \"three\"] }}"
    );
    let mut market = Market::new(&root);
    for (n, name) in ["one", "two", "three"].into_iter().enumerate() {
        let lines = format!("address = \"+1512555090{n}\"\nprice = \"{}.00\"\nconcurrency = 1", 20 + n);
        market = market.buyer(name, "").target(name, name, &lines);
    }
    market
}

/// Every value of this attribute in a document.
fn all(document: &str, name: &str) -> Vec<String> {
    let before = format!(" {name}=\"");
    let parts = document.split(&before).skip(1);
    parts.map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&")).collect()
}

/// The leg of an attempt asks what its callee is to hear, or says what was pressed.
fn screen(carrier: &Carrier<'_>, url: &str, leg: &str, digits: Option<&str>) -> String {
    let mut pairs = vec![("CallSid", leg), ("ParentCallSid", SID), ("CallStatus", "in-progress")];
    pairs.extend(digits.map(|digits| ("Digits", digits)));
    carrier.ask(url, &pairs)
}

fn leg(carrier: &Carrier<'_>, url: &str, leg: &str, status: &str) {
    let answer =
        carrier.post_as(TOKEN, url, &[("CallSid", leg), ("ParentCallSid", SID), ("CallStatus", status)]);
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn reasons(exchange: &Exchange, call: &str) -> Vec<String> {
    exchange.end(call);
    let explained = exchange.explained(call);
    let attempts = explained["attempts"].as_array().unwrap().iter();
    attempts.map(|one| one["end"]["reason"].as_str().unwrap_or("open").to_owned()).collect()
}

#[test]
fn whoever_presses_first_takes_the_call() {
    let exchange = start(market("screen"), WAITING);
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let call = carrier.call_of(&first);
    assert_eq!(first.matches("<Number ").count(), 2, "{first}");
    let (screens, legs) = (all(&first, "url"), all(&first, "statusCallback"));
    assert_eq!((screens.len(), legs.len()), (2, 2), "{first}");
    assert!(screens[1].starts_with(&format!("{PUBLIC}/twilio/screen/{call}/2?token=")), "{screens:?}");

    // A voicemail picks up, and two people; one of them presses something else.
    leg(&carrier, &legs[0], "L1", "in-progress");
    let asked = screen(&carrier, &screens[0], "L1", None);
    assert!(asked.contains("<Gather ") && asked.ends_with("<Hangup/></Response>"), "{asked}");
    assert_eq!(attribute(&asked, "action"), screens[0]);
    leg(&carrier, &legs[1], "L2", "in-progress");
    screen(&carrier, &screens[1], "L2", None);
    assert!(ended(&screen(&carrier, &screens[0], "L1", Some("9"))));
    let taken = screen(&carrier, &screens[1], "L2", Some("1"));
    assert!(taken.ends_with("<Response></Response>"), "{taken}");
    // Too late, and a repeat of the one in time.
    assert!(ended(&screen(&carrier, &screens[0], "L1", Some("1"))));
    assert!(ended(&screen(&carrier, &screens[0], "L1", None)));
    assert_eq!(screen(&carrier, &screens[1], "L2", Some("1")), taken);
    leg(&carrier, &legs[0], "L1", "completed");
    // The one who lost is free for another call.
    let second = carrier.voice("CA2");
    assert_eq!(dialled(&second), "+15125550900");
    carrier.dial(&second, "CA2", "completed", &[("DialCallStatus", "canceled")]);

    leg(&carrier, &legs[1], "L2", "completed");
    assert_eq!(exchange.ledger(&call), [], "a leg proves no talk");
    let over = [&bridged("95")[..], &[("DialCallSid", "L2")]].concat();
    assert!(ended(&carrier.dial(&first, SID, "in-progress", &over)));
    assert_eq!(reasons(&exchange, &call), ["other_answered", "billable"]);
    assert_eq!(exchange.end(&call)["target"], "two");
    assert_eq!(exchange.ledger(&call)[0], ("buyer:two".to_owned(), "21.00".to_owned()));
    exchange.finish();
}

#[test]
fn nobody_presses_and_the_next_is_rung() {
    let exchange = start(market("screen"), WAITING);
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let call = carrier.call_of(&first);
    let (screens, legs) = (all(&first, "url"), all(&first, "statusCallback"));
    leg(&carrier, &legs[0], "L1", "in-progress");
    screen(&carrier, &screens[0], "L1", None);
    leg(&carrier, &legs[0], "L1", "completed");
    leg(&carrier, &legs[1], "L2", "busy");
    let over = [("DialCallStatus", "no-answer"), ("DialBridged", "false"), ("DialCallSid", "L1")];
    let next = carrier.dial(&first, SID, "ringing", &over);
    assert_eq!((dialled(&next), all(&next, "url")), ("+15125550902", Vec::new()));
    carrier.dial(&next, SID, "completed", &[("DialCallStatus", "canceled")]);
    assert_eq!(reasons(&exchange, &call), ["rejected", "busy", "caller_abandon"]);
    exchange.finish();
}

#[test]
fn the_first_answer_takes_the_call_where_nobody_is_screened() {
    let exchange = start(market("first"), WAITING);
    let carrier = Carrier::of(&exchange);
    for (sid, told, expected) in [
        // By the name of the leg; by who was the only one to pick up; by nothing at all.
        (SID, vec![("L2", "in-progress"), ("L1", "no-answer")], ["other_answered", "billable"]),
        ("CA-unnamed", vec![("other", "in-progress")], ["other_answered", "billable"]),
        ("CA-nobody", vec![], ["unresolved", "unresolved"]),
    ] {
        let document = carrier.voice(sid);
        let call = carrier.call_of(&document);
        assert_eq!(all(&document, "url"), Vec::<String>::new(), "{document}");
        let legs = all(&document, "statusCallback");
        for (leg, status) in told {
            let url = if leg == "L1" { &legs[0] } else { &legs[1] };
            let pairs = [("CallSid", leg), ("ParentCallSid", sid), ("CallStatus", status)];
            assert_eq!(carrier.post_as(TOKEN, url, &pairs).status, 204);
        }
        let over = [&bridged("95")[..], &[("DialCallSid", "L2")]].concat();
        carrier.dial(&document, sid, "completed", &over);
        assert_eq!(reasons(&exchange, &call), expected, "{sid}");
    }
    exchange.finish();
}

#[test]
fn only_the_carrier_may_press() {
    let exchange = start(market("screen"), WAITING);
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let url = &all(&first, "url")[0];
    let pressed = [("CallSid", "L1"), ("ParentCallSid", SID), ("Digits", "1")];
    assert_eq!(carrier.send(url, &pressed, "bm90IHNpZ25lZA==").status, 403);
    let bare = url.split('?').next().unwrap();
    assert_eq!(carrier.post_as(TOKEN, bare, &pressed).status, 403, "no token");
    let other = [("CallSid", "L1"), ("ParentCallSid", "CA-other"), ("Digits", "1")];
    assert_eq!(carrier.post_as(TOKEN, url, &other).status, 403, "of another call");
    assert!(screen(&carrier, url, "L1", None).contains("<Gather "), "nobody has the caller yet");
    carrier.dial(&first, SID, "completed", &[("DialCallStatus", "canceled")]);
    assert_eq!(exchange.end(&carrier.call_of(&first))["reason"], "caller_abandon");
    exchange.finish();
}

/// What whoever picks up hears is TwiML, and so is a document with several numbers.
#[test]
fn documents_are_twiml() {
    use outcry::carrier::twilio::twiml;
    let mut library = Twilio::start();
    let document = twiml::screen("https://calls.example.com/twilio/screen/01J/1?token=0&a=b");
    assert_eq!(library.rebuild(&document), Ok(()), "{}", String::from_utf8_lossy(&document));
}
