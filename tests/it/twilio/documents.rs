//! Every document we write, taken apart and built again by Twilio's library.

use outcry::carrier::twilio::twiml::{self, Callbacks};
use outcry::carrier::{Action, CallerLeg, CarrierReply, DialTarget};
use outcry::domain::{Address, CallId, E164, HangupCause, Reason, Timestamp};

use crate::support::twilio::Twilio;

fn dial(address: Address, caller_id: Option<&str>) -> Action {
    let caller_id = caller_id.and_then(E164::parse);
    Action::Dial(DialTarget { attempt: 1, address, role: "buyer", ring_s: 20, caller_id, screen: false })
}

fn actions() -> Vec<Action> {
    let number = || Address::parse("+15125550199").unwrap();
    let sip = |text: &str| Address::Sip(text.to_owned());
    let spoken = "Tom & Zoë <\"press\"> 'one' ]]> 日本 ☎ \u{1}\n now";
    let mut actions = vec![
        dial(number(), None),
        dial(number(), Some("+15125550123")),
        dial(Address::parse("sip:sales@voip.example.com:5061").unwrap(), Some("+15125550123")),
        dial(sip("sip:sales@voip.example.com;transport=tls?X-Outcry-Call=01J&X-Outcry-Ping=a%20b"), None),
        Action::Voicemail(spoken.to_owned()),
        Action::Message(spoken.to_owned()),
    ];
    let rung = |attempt, address| DialTarget {
        attempt,
        address,
        role: "buyer",
        ring_s: 20,
        caller_id: E164::parse("+15125550123"),
        screen: attempt > 1,
    };
    let sip_address = sip("sip:sales@voip.example.com;transport=tls");
    actions.push(Action::DialAll(vec![rung(1, number()), rung(2, number()), rung(3, sip_address)]));
    actions.extend(HangupCause::ALL.map(Action::Hangup));
    actions
}

#[test]
fn every_document_is_twiml() {
    let mut twilio = Twilio::start();
    let mut judge = |name: &str, document: Vec<u8>| {
        let verdict = twilio.rebuild(&document);
        assert_eq!(verdict, Ok(()), "{name}: {}", String::from_utf8_lossy(&document));
    };
    for base in ["https://calls.example.com", "https://calls.example.com:8443/in&out/é"] {
        let callbacks = Callbacks { base, token: u128::MAX };
        for action in actions() {
            let name = format!("{action:?}");
            let reply = CarrierReply {
                call_id: CallId::parse("00000000000000000000000007").unwrap(),
                step: 1,
                action,
                basis: "auction",
                reason: Reason::Won,
                valid_until: Timestamp::default(),
                max_talk_s: 3_600,
                caller: CallerLeg::Ringing,
                token: Some(u128::MAX),
                decided_us: 0,
            };
            for caller in [CallerLeg::Ringing, CallerLeg::Answered, CallerLeg::Gone] {
                judge(&name, twiml::reply(&CarrierReply { caller, ..reply.clone() }, &callbacks));
            }
        }
    }
    judge("empty", twiml::empty());
    judge("hangup", twiml::hangup());
    judge("sorry", twiml::sorry());
}

/// The judge itself: what is no TwiML it does not pass.
#[test]
fn what_is_no_twiml_is_told() {
    let mut twilio = Twilio::start();
    let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    for (body, why) in [
        ("<Response><hangup/></Response>", "<hangup> is not allowed in <Response>"),
        ("<Response><Dial Timeout=\"5\"/></Response>", "<Dial> has no attribute Timeout"),
        ("<Response><Dial><Say>x</Say></Dial></Response>", "<Say> is not allowed in <Dial>"),
        ("<Response><Hangup>x</Hangup></Response>", "<Hangup> holds no text"),
        ("<Response>x<Hangup/></Response>", "/Response: 'x' None built as None None"),
        ("<Reply/>", "the root is Reply {}"),
        ("<Response><Say>a & b</Say></Response>", "no XML: not well-formed"),
    ] {
        let told = twilio.rebuild(format!("{head}{body}").as_bytes());
        assert!(told.as_ref().is_err_and(|told| told.starts_with(why)), "{body}: {told:?}");
    }
    assert_eq!(twilio.rebuild(b"<Response/>"), Err("no declaration".to_owned()));
    assert_eq!(twilio.rebuild(format!("{head}<Response><Hangup/></Response>").as_bytes()), Ok(()));
}
