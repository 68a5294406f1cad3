//! Callers with distinctive numbers, in every place where Twilio may put them, and nowhere a trace of them afterwards.

use super::lives::{Carrier, PUBLIC, TOKEN, attribute, dialled, escaped, incoming, ladder, start};
use crate::support::files_of;
use crate::support::market::NUMBER;

#[test]
fn a_callers_number_is_kept_nowhere() {
    let exchange = start(ladder(), "");
    let carrier = Carrier::of(&exchange);
    let callers = ["5127391846", "3038264915", "2126483917"];
    let mut shown = Vec::new();
    for (n, digits) in callers.iter().enumerate() {
        let (number, sid) = (format!("+1{digits}"), format!("CA{n}"));
        let spelt = format!("({}) {}-{}", &digits[..3], &digits[3..6], &digits[6..]);
        // As a number, as the user of a SIP address, and as nothing that could be one.
        let from =
            [number.clone(), format!("sip:{digits}@pbx.example"), format!("client:{digits}")][n].clone();
        let to = [NUMBER.to_owned(), NUMBER.to_owned(), format!("sip:{digits}@pbx.example")][n].clone();
        let error_url = format!("{PUBLIC}/twilio/voice?from={}", escaped(&number));
        let more = [
            ("From", &*from),
            ("Caller", &from),
            ("To", &to),
            ("CallerName", &spelt),
            ("ForwardedFrom", &number),
            ("SipHeader_X-Note", &spelt),
            ("SipHeader_X-Load", &number),
            ("SipHeader_P-Asserted-Identity", &number),
            ("ErrorCode", "11200"),
            ("ErrorUrl", &error_url),
        ];
        let document = carrier.ask(&format!("{PUBLIC}/twilio/fallback"), &incoming(&sid, &more));
        if n < 2 {
            assert!(!dialled(&document).is_empty());
            let call = carrier.call_of(&document);
            let leg = [
                ("CallSid", &*format!("leg-{digits}")),
                ("ParentCallSid", &sid),
                ("CallStatus", "ringing"),
                ("To", &number),
                ("From", &number),
            ];
            let url = attribute(&document, "statusCallback");
            assert_eq!(carrier.post_as(TOKEN, &url, &leg).status, 204);
            carrier.dial(&document, &sid, "completed", &[("DialCallStatus", "canceled"), ("From", &number)]);
            shown.push(("the explained call", exchange.explained(&call).to_string()));
        }
        let over = [("CallSid", &*format!("gone-{digits}")), ("CallStatus", "completed"), ("From", &number)];
        let refused = carrier.post_as(TOKEN, &format!("{PUBLIC}/twilio/status"), &over);
        shown.push(("a refusal", refused.text()));
        let nonsense = [("CallSid", &*sid), ("To", &spelt), ("From", &number)];
        shown.push(("a fault", carrier.post_as(TOKEN, &format!("{PUBLIC}/twilio/voice"), &nonsense).text()));
    }
    for path in ["/api/v1/calls", "/api/v1/outcomes", "/api/v1/unknown-reports", "/metrics"] {
        shown.push((path, exchange.get(path).text()));
    }
    shown.push(("the log", exchange.log().join("\n")));
    assert!(shown.last().unwrap().1.contains("fallback"), "the log was read");
    let folder = exchange.finish();
    for path in files_of(&folder) {
        let bytes = std::fs::read(path).unwrap();
        shown.push(("the store", String::from_utf8_lossy(&bytes).into_owned()));
    }
    for last in callers.map(|digits| &digits[3..]) {
        let loose = format!("{}-{}", &last[..3], &last[3..]);
        for (place, text) in &shown {
            assert!(!text.contains(last) && !text.contains(&loose), "{last} is in {place}");
        }
    }
}
