//! The carrier's bytes: its question, our answer, its report of an end, and whether Twilio signed.
//!
//! Stands for the first and the last thing of every decision, and for what every event costs before anybody knows which
//! call it is of. All are microseconds. The signature is the dearest: up to nine spellings of the URL are made, and an
//! HMAC for each until one fits, so a request that nobody signed costs the most. It is also what a stranger can make us
//! do without a key, and a regression there is a smaller flood that hurts.

use outcry::call::event::EventKind;
use outcry::carrier::generic::{event, reply, request};
use outcry::carrier::twilio::signature::{Signed, verify};
use outcry::carrier::{Action, CallerLeg, CarrierReply, DialTarget};
use outcry::domain::catalog::Secret;
use outcry::domain::{Address, CallId, Reason};

use crate::{Stopwatch, market};

const QUESTION: &[u8] = br#"{"carrier_call_id":"CA0123456789abcdef0123456789abcdef","to":"+18005550100",
    "from":"+15125550123","sub_id":"adgroup-7","geo":{"state":"TX","zip":"78701"},"stir":{"attest":"A"},
    "consent":{"source":"https://quotes.example/auto"},
    "tags":{"case":"collision","language":"en","injured":true,"represented":false,"age":44}}"#;
const ENDED: &[u8] = br#"{"event_id":"e-4","type":"ended","attempt":1,"at":"2026-11-20T15:01:47.250Z",
    "cause":"normal","ended_by":"target","talk_ms":96800}"#;

/// A ringing call as Twilio tells it, and its signature with the secret `12345`.
const VOICE: &[u8] = b"AccountSid=AC0123456789abcdef0123456789abcdef&ApiVersion=2010-04-01\
    &CallSid=CA0123456789abcdef0123456789abcdef&CallStatus=ringing&Called=%2B18005550100&CalledCity=&CalledCountry=US\
    &CalledState=&CalledZip=&Caller=%2B18185550123&CallerCity=LOS+ANGELES&CallerCountry=US&CallerState=CA\
    &CallerZip=91604&Direction=inbound&From=%2B18185550123&FromCity=LOS+ANGELES&FromCountry=US&FromState=CA\
    &FromZip=91604&StirVerstat=TN-Validation-Passed-A&To=%2B18005550100&ToCity=&ToCountry=US&ToState=&ToZip=";
const SIGNATURE: &[u8] = b"TcKJv4eoEIuYQ4H1EKjXoIaiX08=";
/// The signature of something else.
const OTHER: &[u8] = b"L/OH5YylLD5NRKLltdqwSvS0BnU=";

fn answer() -> CarrierReply {
    let address = Address::parse("+15125550900").expect("an address");
    let target =
        DialTarget { attempt: 1, address, role: "buyer", ring_s: 20, caller_id: None, screen: false };
    CarrierReply {
        call_id: CallId::from_bits(0x0193_4a5b_6c7d_7e8f_8a9b_acbd_cedf_e0f1),
        step: 1,
        action: Action::Dial(target),
        basis: "auction",
        reason: Reason::Won,
        valid_until: market::now(),
        max_talk_s: 14_400,
        caller: CallerLeg::Ringing,
        token: Some(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0),
        decided_us: 142_318,
    }
}

pub fn run(watch: &mut Stopwatch) {
    watch.measure("carrier: read a question", || {
        let asked = request(QUESTION).expect("a question");
        assert_eq!(asked.tags.iter().count(), 5);
        asked
    });
    let answer = answer();
    watch.measure("carrier: write an answer", || {
        let bytes = reply(&answer, "https://exchange.example");
        assert!(bytes.ends_with(b"142.318}"));
        bytes
    });
    watch.measure("carrier: read the report of an end", || {
        let read = event(ENDED).expect("an event");
        assert!(matches!(read.event.kind, EventKind::Ended { talk_ms: Some(96_800), .. }));
        read
    });
    let secrets = [Secret(b"12345".to_vec())];
    let signed = Signed {
        is_get: false,
        public_url: "https://exchange.example",
        path_and_query: "/twilio/voice",
        content_type: Some("application/x-www-form-urlencoded; charset=UTF-8"),
        body: VOICE,
        signature: Some(SIGNATURE),
        settings: None,
    };
    watch.measure("carrier: a request that Twilio signed", || assert!(verify(&signed, &secrets)));
    let forged = Signed { signature: Some(OTHER), ..signed };
    watch.measure("carrier: a request that nobody signed", || assert!(!verify(&forged, &secrets)));
}
