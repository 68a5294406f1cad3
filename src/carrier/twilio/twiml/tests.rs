//! Every document, whole.

use super::*;
use crate::domain::{E164, Reason, Timestamp};

const CALLBACKS: Callbacks<'_> = Callbacks { base: "https://calls.example.com:8443/a&b", token: 0xfeed };
const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
const CALL: &str = "00000000000000000000000007";
const TOKEN: &str = "token=0000000000000000000000000000feed";

fn answer(action: Action) -> CarrierReply {
    CarrierReply {
        call_id: CallId::parse(CALL).expect("an id"),
        step: 2,
        action,
        basis: "auction",
        reason: Reason::Won,
        valid_until: Timestamp::default(),
        max_talk_s: 3_600,
        caller: CallerLeg::Ringing,
        token: Some(CALLBACKS.token),
        decided_us: 0,
    }
}

fn to(address: &str, ring_s: u64, caller_id: Option<&str>) -> Action {
    let address = match E164::parse(address) {
        Some(number) => Address::Number(number),
        None => Address::Sip(address.to_owned()),
    };
    Action::Dial(DialTarget {
        attempt: 3,
        address,
        role: "buyer",
        ring_s,
        caller_id: caller_id.and_then(E164::parse),
        screen: false,
    })
}

fn text(document: Vec<u8>) -> String {
    String::from_utf8(document).expect("UTF-8")
}

fn rendered(action: Action) -> String {
    text(reply(&answer(action), &CALLBACKS))
}

#[test]
fn a_number_is_dialled() {
    let wanted = format!(
        "{HEAD}<Response><Dial action=\"https://calls.example.com:8443/a&amp;b/twilio/dial/{CALL}/2?{TOKEN}\" \
         timeout=\"15\" answerOnBridge=\"true\" timeLimit=\"3600\" callerId=\"+15125550123\">\
         <Number statusCallback=\"https://calls.example.com:8443/a&amp;b/twilio/leg/{CALL}/3?{TOKEN}\" \
         statusCallbackEvent=\"initiated ringing answered completed\">+15125550999</Number></Dial></Response>"
    );
    assert_eq!(rendered(to("+15125550999", 20, Some("+15125550123"))), wanted);
}

#[test]
fn those_that_ring_at_once_stand_in_one_dial_each_with_its_own_urls() {
    let one = |attempt, address: &str, ring_s| {
        let Action::Dial(target) = to(address, ring_s, Some("+15125550123")) else { panic!("it dials") };
        DialTarget { attempt, screen: true, ..target }
    };
    let both = vec![one(3, "+15125550999", 20), one(4, "sip:a@b.example", 30)];
    let url = |what: &str, number| {
        format!("https://calls.example.com:8443/a&amp;b/twilio/{what}/{CALL}/{number}?{TOKEN}")
    };
    let noun = |name: &str, attempt, address: &str| {
        format!(
            "<{name} url=\"{}\" statusCallback=\"{}\" \
             statusCallbackEvent=\"initiated ringing answered completed\">{address}</{name}>",
            url("screen", attempt),
            url("leg", attempt)
        )
    };
    let wanted = format!(
        "{HEAD}<Response><Dial action=\"{}\" timeout=\"25\" answerOnBridge=\"true\" timeLimit=\"3600\" \
         callerId=\"+15125550123\">{}{}</Dial></Response>",
        url("dial", 2),
        noun("Number", 3, "+15125550999"),
        noun("Sip", 4, "sip:a@b.example")
    );
    assert_eq!(rendered(Action::DialAll(both)), wanted);
}

#[test]
fn whoever_picks_up_is_asked_for_a_digit_and_hung_up_on_without_one() {
    let wanted = format!(
        "{HEAD}<Response><Gather numDigits=\"1\" timeout=\"8\" action=\"https://x.example/s?token=1&amp;a=2\">\
         <Say>You have a call. Press 1 to take it.</Say></Gather><Hangup/></Response>"
    );
    assert_eq!(text(screen("https://x.example/s?token=1&a=2")), wanted);
}

#[test]
fn a_sip_address_is_dialled_with_its_headers() {
    let document = rendered(to("sip:sales@voip.example.com;transport=tls?X-A=1&X-B=é", 20, None));
    assert!(!document.contains("callerId"), "{document}");
    let noun = "completed\">sip:sales@voip.example.com;transport=tls?X-A=1&amp;X-B=é</Sip></Dial></Response>";
    assert!(document.ends_with(noun), "{document}");
}

#[test]
fn times_are_those_twilio_takes() {
    for (ring_s, timeout) in [(0, 5), (5, 5), (10, 5), (11, 6), (20, 15), (120, 115), (9_999, 600)] {
        let document = rendered(to("+15125550999", ring_s, None));
        assert!(document.contains(&format!(" timeout=\"{timeout}\" ")), "{ring_s}: {document}");
    }
    for (max_talk_s, limit) in [(0, 1), (60, 60), (14_400, 14_400), (86_400, 14_400)] {
        let answer = CarrierReply { max_talk_s, ..answer(to("+15125550999", 20, None)) };
        let document = text(reply(&answer, &CALLBACKS));
        assert!(document.contains(&format!(" timeLimit=\"{limit}\"")), "{max_talk_s}: {document}");
    }
}

#[test]
fn a_message_is_taken_and_asks_for_no_further_call() {
    let wanted = format!(
        "{HEAD}<Response><Say>Tom &amp; Zoë &lt;call&gt; back</Say>\
         <Record action=\"https://calls.example.com:8443/a&amp;b/twilio/done/{CALL}?{TOKEN}\" timeout=\"5\" \
         finishOnKey=\"#\" maxLength=\"180\" playBeep=\"true\" trim=\"trim-silence\"/><Hangup/></Response>"
    );
    assert_eq!(rendered(Action::Voicemail("Tom & Zoë <call> back".to_owned())), wanted);
}

#[test]
fn what_xml_cannot_hold_is_not_said() {
    let wanted = format!("{HEAD}<Response><Say>a   b \u{fffd} 日本 ☎ ]]&gt;</Say><Hangup/></Response>");
    assert_eq!(rendered(Action::Message("a\0\n\u{1}b \u{fffd} 日本 ☎ ]]>".to_owned())), wanted);
}

#[test]
fn only_a_caller_who_hears_ringing_is_rejected() {
    let hung_up = format!("{HEAD}<Response><Hangup/></Response>");
    for cause in HangupCause::ALL {
        let answer = |caller| CarrierReply { caller, ..answer(Action::Hangup(cause)) };
        assert_eq!(text(reply(&answer(CallerLeg::Answered), &CALLBACKS)), hung_up);
        assert_eq!(text(reply(&answer(CallerLeg::Gone), &CALLBACKS)), text(empty()));
        let verb = match cause.as_str() {
            "busy" => "<Reject reason=\"busy\"/>",
            "normal" => "<Hangup/>",
            _ => "<Reject reason=\"rejected\"/>",
        };
        let wanted = format!("{HEAD}<Response>{verb}</Response>");
        assert_eq!(text(reply(&answer(CallerLeg::Ringing), &CALLBACKS)), wanted, "{cause:?}");
    }
}

#[test]
fn documents_without_an_answer() {
    assert_eq!(text(empty()), format!("{HEAD}<Response></Response>"));
    assert_eq!(text(hangup()), format!("{HEAD}<Response><Hangup/></Response>"));
    let sorry = text(sorry());
    assert!(sorry.starts_with(&format!("{HEAD}<Response><Say>We are sorry")), "{sorry}");
    assert!(sorry.ends_with("</Say><Hangup/></Response>"), "{sorry}");
}
