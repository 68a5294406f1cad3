//! What Twilio sends, row by row: callers, reports of a `Dial`, news of legs.

use super::*;

const SID: &str = "CA0123456789abcdef0123456789abcdef";

/// A captured request with its numbers changed.
const VOICE: &str = "AccountSid=AC0123456789abcdef0123456789abcdef&ApiVersion=2010-04-01\
    &CallSid=CA0123456789abcdef0123456789abcdef&CallStatus=ringing&Called=%2B18005550100&CalledCity=&CalledCountry=US\
    &CalledState=&CalledZip=&Caller=%2B18185550123&CallerCity=LOS+ANGELES&CallerCountry=US&CallerState=CA\
    &CallerZip=91604&Direction=inbound&From=%2B18185550123&FromCity=LOS+ANGELES&FromCountry=US&FromState=CA\
    &FromZip=91604&StirVerstat=TN-Validation-Passed-A&To=%2B18005550100&ToCity=&ToCountry=US&ToState=&ToZip=";

fn form(text: &str) -> Form {
    Form::parse(text.as_bytes()).expect("a form")
}

/// A request with these parameters in the place of those of the same name.
fn voice(changed: &str) -> Form {
    let name = |piece: &str| piece.split('=').next().unwrap_or("").to_owned();
    let changed: Vec<&str> = changed.split('&').filter(|piece| !piece.is_empty()).collect();
    let kept = VOICE.split('&').filter(|piece| changed.iter().all(|new| name(new) != name(piece)));
    form(&kept.chain(changed.iter().copied()).collect::<Vec<_>>().join("&"))
}

fn asked(changed: &str) -> CarrierRequest {
    request(&voice(changed)).unwrap_or_else(|faults| panic!("{changed}: {faults:?}"))
}

fn faults(read: Result<impl std::fmt::Debug, Faults>) -> String {
    read.expect_err("faults").into_iter().map(|fault| fault.at).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_captured_request_is_read() {
    let read = asked("");
    assert_eq!(
        read,
        CarrierRequest {
            carrier_call_id: SID.to_owned(),
            to: Address::parse("+18005550100").expect("a number"),
            from: E164::parse("+18185550123"),
            withheld: false,
            tail: Tail::of("5550123"),
            sub_id: None,
            state: Some("CA".to_owned()),
            zip: Some("91604".to_owned()),
            stir: Some("A".to_owned()),
            stir_verified: Verified::Passed,
            consent: false,
            test: false,
            caller: CallerLeg::Ringing,
            tags: Tags::default(),
        }
    );
}

#[test]
fn callers_are_numbers_withheld_or_unknown() {
    // From, the number, whether it is withheld, the digits by which foreign text gives it away.
    let rows = "
        %2B15125550123                          | +15125550123  | known    | 5550123
        %2B442071838750                         | +442071838750 | known    | 1838750
        anonymous                               | -             | withheld | -
        Anonymous                               | -             | withheld | -
        RESTRICTED                              | -             | withheld | -
        private                                 | -             | withheld | -
        %2B266696687                            | -             | withheld | -
        %2B2562533                              | -             | withheld | -
        %2B7378742833                           | -             | withheld | -
        %2B737874883                            | -             | withheld | -
        sip%3Aanonymous%40anonymous.invalid     | -             | withheld | -
        %2B86282452253                          | -             | known    | -
        %2B8656696                              | -             | known    | -
        %2B8566                                 | -             | known    | -
        %2B464                                  | -             | known    | -
        unknown                                 | -             | known    | -
        client%3Aalice                          | -             | known    | -
        client%3A15125550123                    | -             | known    | 5550123
        sip%3Aalice%40edge.example.com          | -             | known    | -
        sip%3A%2B15125550123%40192.0.2.44%3A5060| -             | known    | 5550123
        15125550123                             | -             | known    | 5550123
        +15125550123                            | -             | known    | 5550123
                                                | -             | known    | -
    ";
    for row in rows.lines().filter(|row| row.contains('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [from, number, known, digits] = cells[..] else { panic!("{row}") };
        let read = asked(&format!("From={from}"));
        assert_eq!(read.from.map_or("-".to_owned(), E164::reveal), number, "{row}");
        assert_eq!(read.withheld, known == "withheld", "{row}");
        assert_eq!(read.tail, Tail::of(digits), "{row}");
    }
}

#[test]
fn destinations_places_and_attestations() {
    // What is changed, and: to, state, ZIP, attestation with what came of verifying it.
    let rows = "
        To=sip%3Aauto%40x.sip.twilio.com                  | sip:auto@x.sip.twilio.com      | CA | 91604 | A passed
        To=sip%3Aauto%40x.example%3A5061%3Btransport%3Dtls| sip:auto@x.example:5061        | CA | 91604 | A passed
        To=sip%3Aauto%40x.example%3FX-A%3D1               | sip:auto@x.example             | CA | 91604 | A passed
        FromCountry=CA&FromState=ON&FromZip=M5V2T6        | +18005550100                   | ON | -     | A passed
        FromCountry=GB&FromState=CA                       | +18005550100                   | -  | -     | A passed
        FromCountry=                                      | +18005550100                   | -  | -     | A passed
        FromState=&FromZip=                               | +18005550100                   | -  | -     | A passed
        FromState=ca&FromZip=91604-1234                   | +18005550100                   | CA | 91604-1234 | A passed
        FromState=California&FromZip=nine                 | +18005550100                   | -  | -     | A passed
        StirVerstat=TN-Validation-Passed-B                | +18005550100                   | CA | 91604 | B passed
        StirVerstat=TN-Validation-Passed-C-Diverted       | +18005550100                   | CA | 91604 | C passed
        StirVerstat=TN-Validation-Failed-A                | +18005550100                   | CA | 91604 | A failed
        StirVerstat=TN-Validation-Failed                  | +18005550100                   | CA | 91604 | - failed
        StirVerstat=No-TN-Validation                      | +18005550100                   | CA | 91604 | - unverified
        StirVerstat=TN-Validation-Passed-D                | +18005550100                   | CA | 91604 | - unverified
        StirVerstat=NULL                                  | +18005550100                   | CA | 91604 | - unverified
        StirVerstat=                                      | +18005550100                   | CA | 91604 | - unverified
        StirVerstat=TN-Validation-Failed-B-Diverted       | +18005550100                   | CA | 91604 | B failed
        StirVerstat=TN-Validation-Passed-A-Passthrough    | +18005550100                   | CA | 91604 | A passed
        StirVerstat=TN-Validation-Failed-C-Passthrough    | +18005550100                   | CA | 91604 | C failed
        StirVerstat=TN-Validation-Passed                  | +18005550100                   | CA | 91604 | - unverified
        StirVerstat=TN-Validation-Passed-A-Other          | +18005550100                   | CA | 91604 | - unverified
        StirVerstat=tn-validation-passed-a                | +18005550100                   | CA | 91604 | - unverified
    ";
    for row in rows.lines().filter(|row| row.contains('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [changed, to, state, zip, stir] = cells[..] else { panic!("{row}") };
        let read = asked(changed);
        let text = |value: Option<String>| value.unwrap_or("-".to_owned());
        let stir_of = format!("{} {}", text(read.stir), read.stir_verified.as_str());
        let found = (read.to.reveal(), text(read.state), text(read.zip), stir_of);
        assert_eq!(found, (to.to_owned(), state.to_owned(), zip.to_owned(), stir.to_owned()), "{row}");
    }
}

#[test]
fn sip_headers_are_tags_where_they_fit() {
    let long = "v".repeat(257);
    let read = asked(&format!(
        "SipHeader_X-Case=collision&SipHeader_x-case=other&SipHeader_X-Sub+Id=a%26b&SipHeader_X-Empty=&SipHeader_X-=y\
         &SipHeader_Subject=z&SipHeader_X-Long={long}&X-Other=1&SipHeader_X-%0A=1"
    ));
    let tags: Vec<_> =
        read.tags.iter().map(|tag| (tag.key.as_ref(), tag.value.as_text(), tag.set_by)).collect();
    assert_eq!(tags, [("case", "collision", SetBy::Carrier), ("sub id", "a&b", SetBy::Carrier)]);
    let many: String = (0..60).map(|n| format!("&SipHeader_X-K{n}=v")).collect();
    assert_eq!(asked(&many).tags.iter().count(), crate::domain::caller::TAGS_MAX);
}

#[test]
fn every_fault_is_listed_and_no_value_repeated() {
    let wrong = request(&voice("CallSid=a%00b&To=15125550123&From=x")).expect_err("faults");
    assert_eq!(wrong.iter().map(|fault| fault.at.as_str()).collect::<Vec<_>>(), ["CallSid", "To"]);
    assert!(wrong.iter().all(|fault| fault.value.is_none()), "{wrong:?}");
    for (changed, wanted) in [
        ("CallSid=", "CallSid"),
        (&format!("CallSid={}", "a".repeat(129)), "CallSid"),
        ("To=", "To"),
        ("To=client%3Aalice", "To"),
        ("To=sip%3Aa%40b%0D%0AX", "To"),
        ("To=+18005550100", "To"),
    ] {
        assert_eq!(faults(request(&voice(changed))), wanted, "{changed}");
    }
    assert_eq!(faults(request(&Form::default())), "CallSid To");
    assert_eq!(faults(dial(&Form::default())), "CallSid");
    assert_eq!(faults(status(&Form::default())), "CallSid");
    assert_eq!(faults(fallback(&Form::default())), "CallSid To");
    assert_eq!(faults(leg(&Form::default())), "ParentCallSid CallSid CallStatus");
    assert_eq!(faults(leg(&form("ParentCallSid=p&CallSid=c&CallStatus=No+Answer"))), "CallStatus");
}

#[test]
fn ends_of_a_dial() {
    // CallStatus, DialCallStatus, DialBridged, DialCallDuration: the caller, why, by whom, how long.
    let rows = "
        in-progress | completed | true  | 95     | Answered | normal    | target  | 95000
        in-progress | answered  | true  | 95     | Answered | normal    | target  | 95000
        in-progress | completed | true  | 0      | Answered | normal    | target  | 0
        in-progress | completed | true  |        | Answered | normal    | target  | -
        in-progress | completed | true  | -3     | Answered | normal    | target  | -
        in-progress | completed | true  | 9m     | Answered | normal    | target  | -
        in-progress | completed | true  | 86401  | Answered | normal    | target  | -
        in-progress | busy      | true  | 4      | Answered | normal    | target  | 4000
        completed   | completed | true  | 95     | Gone       | normal    | caller  | 95000
        failed      | failed    | true  | 12     | Gone       | normal    | caller  | 12000
        completed   | completed | false | 95     | Gone       | cancelled | caller  | -
        completed   | no-answer | false |        | Gone       | cancelled | caller  | -
        completed   | canceled  |       |        | Gone       | cancelled | caller  | -
        canceled    | busy      | false |        | Gone       | cancelled | caller  | -
        no-answer   |           |       |        | Gone       | cancelled | caller  | -
        queued      | busy      | false |        | Gone       | cancelled | caller  | -
                    | busy      | false |        | Gone       | cancelled | caller  | -
        ringing     | completed | false | 7      | Ringing    | rejected  | target  | -
        in-progress | completed | false | 7      | Answered | rejected  | target  | -
        in-progress | answered  |       | 7      | Answered | rejected  | target  | -
        ringing     | completed | True  | 7      | Ringing    | rejected  | target  | -
        ringing     | completed | 1     | 7      | Ringing    | rejected  | target  | -
        ringing     | busy      | false |        | Ringing    | busy      | target  | -
        ringing     | busy      |       |        | Ringing    | busy      | target  | -
        ringing     | no-answer | false |        | Ringing    | no_answer | carrier | -
        ringing     | failed    | false |        | Ringing    | failed    | carrier | -
        ringing     | canceled  | false |        | Ringing    | failed    | carrier | -
        ringing     |           | false |        | Ringing    | failed    | unknown | -
        ringing     | BUSY      | false |        | Ringing    | failed    | unknown | -
        in-progress | exploded  |       |        | Answered | failed    | unknown | -
    ";
    for row in rows.lines().filter(|row| row.contains('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [parent, leg, bridged, duration, caller, cause, by, talk] = cells[..] else { panic!("{row}") };
        let read = dial(&form(&format!(
            "CallSid={SID}&CallStatus={parent}&DialCallStatus={leg}&DialBridged={bridged}&DialCallDuration={duration}"
        )))
        .expect("a report");
        assert_eq!((read.call_sid.as_str(), read.leg_sid), (SID, None), "{row}");
        let talk_ms = read.end.talk_ms.map_or("-".to_owned(), |ms| ms.to_string());
        let found = (read.end.cause.as_str(), read.end.ended_by.as_str(), talk_ms.as_str());
        assert_eq!((format!("{:?}", read.caller).as_str(), found), (caller, (cause, by, talk)), "{row}");
    }
    let read = dial(&form(&format!("CallSid={SID}&DialCallSid=CAb"))).expect("a report");
    assert_eq!(read.leg_sid.as_deref(), Some("CAb"));
}

#[test]
fn news_of_legs() {
    // CallStatus, the other parameters: what happened, when, its place, how long.
    let rows = "
        initiated   | SequenceNumber=0                                           | Noted           | -                    | 0 | -
        queued      |                                                            | Noted           | -                    | - | -
        ringing     | Timestamp=Fri,+20+Nov+2026+09:00:01+%2B0000&SequenceNumber=1 | Ringing       | 2026-11-20T09:00:01Z | 1 | -
        in-progress | Timestamp=Fri,+20+Nov+2026+10:00:05+%2B0100&SequenceNumber=2 | Answered      | 2026-11-20T09:00:05Z | 2 | -
        answered    | Timestamp=2026-11-20T09:00:05Z&SequenceNumber=two          | Answered        | -                    | - | -
        completed   | Timestamp=Fri,+20+Nov+2026+09:01:40+%2B0000&CallDuration=95 | Over(Normal)   | 2026-11-20T09:01:40Z | - | 95
        busy        | CallDuration=0                                             | Over(Busy)      | -                    | - | 0
        no-answer   | CallDuration=99999                                         | Over(NoAnswer)  | -                    | - | -
        failed      | Timestamp=Fri,+20+Nov+2026+09:00                           | Over(Failed)    | -                    | - | -
        canceled    | Timestamp=soon                                             | Over(Cancelled) | -                    | - | -
        transferred |                                                            | Noted           | -                    | - | -
    ";
    for row in rows.lines().filter(|row| row.contains('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [status, more, kind, at, sequence, duration] = cells[..] else { panic!("{row}") };
        let text = format!("CallSid=CAleg&ParentCallSid={SID}&CallStatus={status}&{more}");
        let read = leg(&form(&text)).expect("news");
        assert_eq!((read.parent_sid.as_str(), read.leg_sid.as_str()), (SID, "CAleg"), "{row}");
        assert_eq!(read.event_id, format!("CAleg:{status}"), "{row}");
        assert_eq!(format!("{:?}", read.kind), kind, "{row}");
        assert_eq!(read.at.map_or("-".to_owned(), Timestamp::to_the_second), at, "{row}");
        assert_eq!(read.sequence.map_or("-".to_owned(), |n| n.to_string()), sequence, "{row}");
        assert_eq!(read.duration_s.map_or("-".to_owned(), |s| s.to_string()), duration, "{row}");
    }
}

#[test]
fn news_of_the_call() {
    for (word, is_over) in [
        ("completed", true),
        ("busy", true),
        ("no-answer", true),
        ("failed", true),
        ("canceled", true),
        ("in-progress", false),
        ("ringing", false),
        ("", false),
    ] {
        let text =
            format!("CallSid={SID}&CallStatus={word}&Timestamp=Fri%2C+20+Nov+2026+09%3A01%3A40+%2B0000");
        let at = Timestamp::parse("2026-11-20T09:01:40Z");
        assert_eq!(status(&form(&text)), Ok(CallStatus { call_sid: SID.to_owned(), is_over, at }), "{word}");
    }
}

#[test]
fn fallbacks_say_whether_our_document_was_of_use() {
    for (code, error_code, unusable) in [
        ("11200", Some(11_200), false),
        ("11205", Some(11_205), false),
        ("12100", Some(12_100), true),
        ("12200", Some(12_200), true),
        ("13214", Some(13_214), true),
        ("14000", Some(14_000), false),
        ("31000", Some(31_000), false),
        ("", None, false),
        ("many", None, false),
    ] {
        let read = fallback(&voice(&format!("ErrorCode={code}&ErrorUrl=https%3A%2F%2Fx.example%2Fvoice")))
            .expect("a fallback");
        assert_eq!((read.error_code, read.unusable), (error_code, unusable), "{code}");
        assert_eq!(read.error_url.as_deref(), Some("https://x.example/voice"));
        assert_eq!(read.request, asked(""));
    }
}
