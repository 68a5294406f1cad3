//! Whole lives of Twilio calls: every request signed by Twilio's own library, every document rebuilt by it.

use std::cell::RefCell;
use std::fs;

use serde_json::{Value, json};

use crate::support::bids::{bid, bid_after, bidders};
use crate::support::market::{CALLER, NUMBER};
use crate::support::twilio::Twilio;
use crate::support::{Answer, Exchange, Folder, Market, eventually, path_of};

pub(super) const PUBLIC: &str = "https://calls.example.com";
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(super) const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210";
pub(super) const SID: &str = "CA0123456789abcdef0123456789abcdef";

/// A market that two Twilio carriers send calls to.
pub(super) fn start(market: Market, settings: &str) -> Exchange {
    let folder = Folder::new();
    let market = market.and(&format!(
        "[carrier.tw]\ndialect = \"twilio\"\npublic_url = \"{PUBLIC}\"\nsecrets = [{{ secret_file = \"tw.secret\" }}]\n\
         [carrier.tw-other]\ndialect = \"twilio\"\npublic_url = \"https://other.example.com\"\n\
         secrets = [{{ secret_file = \"other.secret\" }}]\n"
    ));
    market.write(folder.path(), settings);
    for place in [folder.path().join("catalog"), folder.path().to_owned()] {
        fs::write(place.join("tw.secret"), TOKEN).unwrap();
        fs::write(place.join("other.secret"), OTHER_TOKEN).unwrap();
    }
    Exchange::run(folder)
}

pub(super) fn ladder() -> Market {
    let mut market = Market::new(r#"{ sequential = ["one", "two", "three"] }"#);
    for (n, name) in ["one", "two", "three"].into_iter().enumerate() {
        let lines = format!("address = \"+1512555090{n}\"\nprice = \"{}.00\"\nconcurrency = 1", 20 + n);
        market = market.buyer(name, "").target(name, name, &lines);
    }
    market
}

/// Twilio, as far as this number is concerned.
pub(super) struct Carrier<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) library: RefCell<Twilio>,
}

impl<'a> Carrier<'a> {
    pub(super) fn of(exchange: &'a Exchange) -> Carrier<'a> {
        Carrier { exchange, library: RefCell::new(Twilio::start()) }
    }

    /// Posts a form to a URL of ours, signed with this token.
    pub(super) fn post_as(&self, token: &str, url: &str, pairs: &[(&str, &str)]) -> Answer {
        let signature = self.library.borrow_mut().sign_form(url, pairs, token, "HMAC_SHA1");
        self.send(url, pairs, &signature)
    }

    pub(super) fn send(&self, url: &str, pairs: &[(&str, &str)], signature: &str) -> Answer {
        crate::support::http::raw(&self.exchange.traffic, &self.sent(url, pairs, signature))
    }

    /// A request as it goes over the wire.
    pub(super) fn sent(&self, url: &str, pairs: &[(&str, &str)], signature: &str) -> Vec<u8> {
        let body: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let body = body.join("&");
        let sent = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nx-twilio-signature: {signature}\r\n\
             content-type: application/x-www-form-urlencoded; charset=UTF-8\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            path_of(url),
            self.exchange.traffic,
            body.len()
        );
        sent.into_bytes()
    }

    /// A request that must be answered with a document; its text.
    pub(super) fn ask(&self, url: &str, pairs: &[(&str, &str)]) -> String {
        let answer = self.post_as(TOKEN, url, pairs);
        assert_eq!(answer.status, 200, "{url}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
        assert_eq!(self.library.borrow_mut().rebuild(&answer.body), Ok(()), "{}", answer.text());
        answer.text()
    }

    pub(super) fn voice(&self, sid: &str) -> String {
        self.ask(&format!("{PUBLIC}/twilio/voice"), &incoming(sid, &[]))
    }

    /// The action of a document: the `Dial` came to this.
    pub(super) fn dial(&self, document: &str, sid: &str, parent: &str, more: &[(&str, &str)]) -> String {
        self.ask(
            &attribute(document, "action"),
            &[&[("CallSid", sid), ("CallStatus", parent)], more].concat(),
        )
    }

    /// A leg's status callback.
    pub(super) fn leg(&self, document: &str, sid: &str, status: &str, more: &[(&str, &str)]) {
        let url = attribute(document, "statusCallback");
        let leg = format!("{sid}-leg");
        let pairs =
            [&[("CallSid", leg.as_str()), ("ParentCallSid", sid), ("CallStatus", status)], more].concat();
        let answer = self.post_as(TOKEN, &url, &pairs);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    pub(super) fn call_of(&self, document: &str) -> String {
        attribute(document, "action").split('/').nth(5).unwrap().to_owned()
    }
}

/// The parameters of a captured request, for this call.
pub(super) fn incoming<'a>(sid: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![
        ("AccountSid", "AC00000000000000000000000000000001"),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", sid),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", CALLER),
        ("Caller", CALLER),
        ("To", NUMBER),
        ("Called", NUMBER),
        ("FromCity", "AUSTIN"),
        ("FromState", "TX"),
        ("FromZip", "78701"),
        ("FromCountry", "US"),
        ("StirVerstat", "TN-Validation-Passed-A"),
        ("ToCity", ""),
    ];
    for (name, value) in more {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    pairs
}

pub(super) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

pub(super) fn attribute(document: &str, name: &str) -> String {
    let start = document.find(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {document}"));
    let value = &document[start + name.len() + 2..];
    value[..value.find('"').unwrap()].replace("&amp;", "&")
}

pub(super) fn dialled(document: &str) -> &str {
    let start = document.find("\">+").map(|at| at + 2).unwrap_or_else(|| panic!("dials nobody: {document}"));
    document[start..].split('<').next().unwrap()
}

pub(super) fn bridged(seconds: &str) -> [(&str, &str); 3] {
    [("DialCallStatus", "completed"), ("DialBridged", "true"), ("DialCallDuration", seconds)]
}

pub(super) fn ended(document: &str) -> bool {
    document.ends_with("<Response><Hangup/></Response>")
}

pub(super) fn nothing(document: &str) -> bool {
    document.ends_with("<Response></Response>")
}

#[test]
fn a_call_goes_from_one_buyer_to_the_next_and_is_billed_once() {
    // T4: two targets, events out of order, the whole script twice.
    let exchange = start(ladder(), "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let script = || {
        let first = carrier.voice(SID);
        assert_eq!(dialled(&first), "+15125550900");
        assert_eq!(
            (attribute(&first, "timeout"), attribute(&first, "callerId")),
            ("15".to_owned(), CALLER.to_owned())
        );
        carrier.leg(&first, SID, "no-answer", &[("SequenceNumber", "2")]);
        carrier.leg(&first, SID, "ringing", &[("SequenceNumber", "1")]);
        let second = carrier.dial(
            &first,
            SID,
            "ringing",
            &[("DialCallStatus", "no-answer"), ("DialBridged", "false")],
        );
        assert_eq!(dialled(&second), "+15125550901");
        let time = ("Timestamp", "Sat, 21 Nov 2026 09:02:00 +0000");
        carrier.leg(&second, SID, "completed", &[("CallDuration", "97"), time]);
        carrier.leg(&second, SID, "in-progress", &[time]);
        let last = carrier.dial(&second, SID, "in-progress", &bridged("95"));
        assert!(ended(&last), "{last}");
        [first, second, last]
    };
    let once = script();
    let call = carrier.call_of(&once[0]);
    let booked = exchange.ledger(&call);
    assert_eq!(booked[0], ("buyer:two".to_owned(), "21.00".to_owned()));
    assert_eq!(script(), once, "the same question, the same bytes");
    assert_eq!(exchange.ledger(&call), booked);
    let explained = exchange.explained(&call);
    assert_eq!(explained["decision"]["carrier"], "tw");
    assert_eq!(explained["decision"]["state"], "TX");
    let ends: Vec<&Value> = explained["attempts"].as_array().unwrap().iter().map(|one| &one["end"]).collect();
    assert_eq!((&ends[0]["reason"], &ends[1]["reason"]), (&json!("no_answer"), &json!("billable")));
    assert_eq!(ends[1]["talk_ms"], 95_000);
    let events = explained["events"].as_array().unwrap();
    let over = events.iter().find(|event| event["type"] == "leg_over" && event["attempt"] == 2).unwrap();
    assert_eq!(
        (&over["at"], &over["detail"]),
        (&json!("2026-11-21T09:02:00.000Z"), &json!("normal, leg of 97 s"))
    );
    exchange.finish();
}

#[test]
fn only_a_bridged_dial_is_billed_and_who_ended_it_is_known() {
    let exchange = start(ladder(), "");
    let carrier = Carrier::of(&exchange);
    // What the action says: parent's status, its parameters; the reason of the attempt; and what the caller hears.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);
    let table: &[Row<'_>] = &[
        ("in-progress", &bridged("90"), "billable", "target", "hangup"),
        ("completed", &bridged("90"), "billable", "caller", "nothing"),
        ("in-progress", &bridged("89"), "too_short", "target", "hangup"),
        ("completed", &bridged("6"), "too_short", "caller", "nothing"),
        // They talked, and nobody says how long, or not so that it could be true.
        ("in-progress", &bridged("")[..], "unresolved", "unknown", "hangup"),
        ("completed", &bridged("-95"), "unresolved", "unknown", "nothing"),
        ("in-progress", &bridged("86401"), "unresolved", "unknown", "hangup"),
        // Scenario 7: the caller is gone while it rings, whatever the leg says.
        (
            "completed",
            &[("DialCallStatus", "canceled"), ("DialBridged", "false")],
            "caller_abandon",
            "caller",
            "nothing",
        ),
        ("completed", &[("DialCallStatus", "no-answer")], "caller_abandon", "caller", "nothing"),
        (
            "canceled",
            &[("DialCallStatus", "completed"), ("DialCallDuration", "300")],
            "caller_abandon",
            "caller",
            "nothing",
        ),
    ];
    for (n, (parent, dial, reason, by, heard)) in table.iter().enumerate() {
        let sid = format!("CA{n}");
        let first = carrier.voice(&sid);
        let last = carrier.dial(&first, &sid, parent, dial);
        assert!(if *heard == "hangup" { ended(&last) } else { nothing(&last) }, "{n}: {last}");
        let call = carrier.call_of(&first);
        assert_eq!(carrier.dial(&first, &sid, parent, dial), last, "{n}: the same question, the same bytes");
        let end = exchange.end(&call);
        assert_eq!((&end["reason"], &end["ended_by"]), (&json!(reason), &json!(by)), "{n}");
        assert_eq!(exchange.ledger(&call).is_empty(), *reason != "billable", "{n}");
        assert_eq!(exchange.explained(&call)["attempts"].as_array().unwrap().len(), 1, "{n}: no re-route");
    }
    exchange.finish();
}

#[test]
fn the_plans_own_destination_is_dialled_and_costs_nobody_anything() {
    let plan = "root = \"one\"\nterminal = { dial = \"+15125550977\" }";
    let exchange = start(ladder().plan(plan), "[calls]\nnext_within_s = 60\nlate_events_s = 0\n");
    let carrier = Carrier::of(&exchange);
    for (sid, parent, told, heard) in [
        ("CA1", "in-progress", &bridged("300")[..], ended as fn(&str) -> bool),
        ("CA2", "ringing", &[("DialCallStatus", "busy")], ended),
        ("CA3", "completed", &[("DialCallStatus", "canceled")], nothing),
    ] {
        let first = carrier.voice(sid);
        let last = carrier.dial(&first, sid, "ringing", &[("DialCallStatus", "no-answer")]);
        assert_eq!(dialled(&last), "+15125550977");
        carrier.leg(&last, sid, "in-progress", &[]);
        let end = carrier.dial(&last, sid, parent, told);
        assert!(heard(&end), "{sid}: {end}");
        let call = carrier.call_of(&first);
        let reason = exchange.end(&call)["reason"].clone();
        assert_eq!((reason, exchange.ledger(&call)), (json!("no_taker"), vec![]), "{sid}");
    }
    // A number nobody configured.
    let answer = carrier.ask(&format!("{PUBLIC}/twilio/voice"), &incoming("CA4", &[("To", "+18005559999")]));
    assert!(answer.ends_with("<Response><Say>Nobody is here.</Say><Hangup/></Response>"), "{answer}");
    exchange.finish();
}

#[test]
fn a_screened_call_that_was_declined_goes_on() {
    let exchange = start(ladder(), "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let mut document = carrier.voice(SID);
    for (status, expected) in [("completed", "+15125550901"), ("busy", "+15125550902")] {
        document =
            carrier.dial(&document, SID, "ringing", &[("DialCallStatus", status), ("DialBridged", "false")]);
        assert_eq!(dialled(&document), expected);
    }
    let last = carrier.dial(&document, SID, "ringing", &[("DialCallStatus", "failed")]);
    assert!(last.ends_with("<Response><Reject reason=\"busy\"/></Response>"), "the plan's end: {last}");
    exchange.finish();
}

#[test]
fn a_call_whose_action_never_came_is_closed_by_its_status() {
    let exchange = start(ladder(), "[calls]\nlate_events_s = 1\n");
    let carrier = Carrier::of(&exchange);
    let over = |sid: &str| {
        let pairs = [("CallSid", sid), ("CallStatus", "completed"), ("CallDuration", "100")];
        carrier.post_as(TOKEN, &format!("{PUBLIC}/twilio/status"), &pairs)
    };
    // Abandoned while it rang.
    let rang = carrier.voice("CA1");
    carrier.leg(&rang, "CA1", "ringing", &[]);
    assert_eq!(over("CA1").status, 204);
    assert_eq!(exchange.end(&carrier.call_of(&rang))["reason"], "caller_abandon");
    // Answered: whether they were bridged nobody knows, so nothing is billed until somebody says so.
    let answered = carrier.voice("CA2");
    let call = carrier.call_of(&answered);
    carrier.leg(&answered, "CA2", "in-progress", &[]);
    carrier.leg(&answered, "CA2", "completed", &[("CallDuration", "100")]);
    assert_eq!(over("CA2").status, 204);
    assert_eq!(exchange.end(&call)["reason"], "unresolved");
    assert_eq!(exchange.ledger(&call), []);
    let late = carrier.dial(&answered, "CA2", "completed", &bridged("95"));
    assert!(nothing(&late), "{late}");
    assert_eq!(exchange.ledger(&call).len(), 3);
    assert_eq!(exchange.end(&call)["reason"], "billable");
    // A call nobody knows.
    assert_eq!(over("CA3").status, 404);
    assert_eq!(exchange.get("/api/v1/unknown-reports").json()["reports"][0]["call"], "CA3");
    exchange.finish();
}

#[test]
fn the_fallback_keeps_a_decision_that_was_taken() {
    // T5 and T6: the first answer is still being decided when Twilio gives up on it.
    let market = bidders([("slow", bid_after(250, "40"))]);
    let plan = Market::new(r#"{ sequential = [{ auction = ["slow"] }, "desk"] }"#)
        .patient()
        .bidder("slow", &market.url("slow"))
        .target("desk", "slow", "address = \"+15125550909\"\nprice = \"20.00\"");
    let exchange = start(plan, "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let fallback = |sid: &str, code: &str, url: &str| {
        let more = [("ErrorCode", code), ("ErrorUrl", url)];
        carrier.ask(&format!("{PUBLIC}/twilio/fallback"), &incoming(sid, &more))
    };
    let voice = format!("{PUBLIC}/twilio/voice");
    let signature = carrier.library.borrow_mut().sign_form(&voice, &incoming("CA1", &[]), TOKEN, "HMAC_SHA1");
    let (first, second) = std::thread::scope(|scope| {
        let traffic = exchange.traffic.clone();
        let asked = scope.spawn({
            let exchange = &exchange;
            let (voice, signature) = (voice.clone(), signature.clone());
            move || {
                // A carrier of its own thread: only the signature is shared.
                let pairs = incoming("CA1", &[]);
                let body: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={}", escaped(v))).collect();
                let body = body.join("&");
                let _ = exchange;
                let head = format!(
                    "POST {} HTTP/1.1\r\nhost: x\r\nx-twilio-signature: {signature}\r\n\
                     content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{body}",
                    path_of(&voice),
                    body.len()
                );
                crate::support::http::raw(&traffic, head.as_bytes())
            }
        });
        eventually("the bidder is asked", || (!market.pings("slow").is_empty()).then_some(()));
        let second = fallback("CA1", "11200", &voice);
        (asked.join().unwrap().text(), second)
    });
    assert_eq!(first, second, "the decision in progress is awaited");
    assert_eq!(dialled(&first), "+15125550900");
    assert_eq!(market.pings("slow").len(), 1, "one auction");
    // No decision: only the static answer, at once, and nobody is asked.
    let fresh = fallback("CA2", "11205", &voice);
    assert_eq!(dialled(&fresh), "+15125550909");
    assert_eq!(market.pings("slow").len(), 1);
    assert_eq!(exchange.outcome(&carrier.call_of(&fresh), "slow").0, "fallback");
    assert_eq!(fallback("CA2", "11205", &voice), fresh);
    // Our document was of no use: its hold is let go, and the static answer takes its place, once.
    let instead = fallback("CA1", "12100", &voice);
    assert_eq!(dialled(&instead), "+15125550909");
    assert_eq!(fallback("CA1", "12100", &voice), instead);
    let end = eventually("the end of the first attempt is in the store", || {
        let end = exchange.explained(&carrier.call_of(&first))["attempts"][0]["end"].clone();
        (!end.is_null()).then_some(end)
    });
    assert_eq!((&end["reason"], &end["ended_by"]), (&json!("failed"), &json!("exchange")));
    // The action failed, and this request says what it would have said.
    let action = attribute(&fresh, "action");
    let more = [
        ("ErrorCode", "11200"),
        ("ErrorUrl", &action),
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
        ("DialCallDuration", "120"),
        ("CallStatus", "in-progress"),
    ];
    let last = carrier.ask(&format!("{PUBLIC}/twilio/fallback"), &incoming("CA2", &more));
    assert!(ended(&last), "{last}");
    assert_eq!(exchange.ledger(&carrier.call_of(&fresh)).len(), 3);
    assert_eq!(exchange.metric("outcry_fallbacks_total", ""), 6.0);
    carrier.dial(&instead, "CA1", "completed", &[("DialCallStatus", "no-answer")]);
    exchange.finish();
}

#[test]
fn callers_of_every_kind_are_answered() {
    let exchange =
        start(Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\""), "");
    let carrier = Carrier::of(&exchange);
    let odd: &[&[(&str, &str)]] = &[
        &[("From", "anonymous"), ("Caller", "anonymous")],
        &[("From", "+266696687")],
        &[("From", "client:alice")],
        &[("From", "sip:alice@pbx.example.com")],
        &[("From", "")],
        &[("Invented", "x"), ("Repeated", "")],
        &[("FromState", "Bavaria"), ("FromCountry", "DE")],
        &[("CallerName", "José & Söhne <☎>")],
    ];
    for (n, more) in odd.iter().enumerate() {
        let sid = format!("CA{n}");
        let mut pairs = incoming(&sid, more);
        pairs.extend([("Repeated", "a"), ("Repeated", "b")]);
        let document = carrier.ask(&format!("{PUBLIC}/twilio/voice"), &pairs);
        assert_eq!(dialled(&document), "+15125550900", "{more:?}");
        let call = carrier.call_of(&document);
        assert_eq!(exchange.explained(&call)["decision"]["carrier_call_id"], sid);
        carrier.dial(&document, &sid, "completed", &[("DialCallStatus", "canceled")]);
    }
    exchange.finish();
}

#[test]
fn foreign_and_forged_requests_change_nothing() {
    let exchange = start(ladder(), "[calls]\nnext_within_s = 60\n");
    let carrier = Carrier::of(&exchange);
    let first = carrier.voice(SID);
    let (action, leg) = (attribute(&first, "action"), attribute(&first, "statusCallback"));
    let busy = [("CallSid", SID), ("CallStatus", "ringing"), ("DialCallStatus", "busy")];
    let told = [("CallSid", "CA-leg"), ("ParentCallSid", SID), ("CallStatus", "completed")];
    // Signed by another carrier, for its own URL.
    let theirs = action.replace(PUBLIC, "https://other.example.com");
    assert_eq!(carrier.post_as(OTHER_TOKEN, &theirs, &busy).status, 403);
    // Signed for another URL, with another secret, or not at all.
    assert_eq!(carrier.post_as(OTHER_TOKEN, &action, &busy).status, 403);
    let elsewhere = carrier.library.borrow_mut().sign_form(&leg, &busy, TOKEN, "HMAC_SHA1");
    assert_eq!(carrier.send(&action, &busy, &elsewhere).status, 403);
    assert_eq!(carrier.send(&action, &busy, "").status, 403);
    // Replayed with one parameter more.
    let signature = carrier.library.borrow_mut().sign_form(&action, &busy, TOKEN, "HMAC_SHA1");
    let more = [&busy[..], &[("DialBridged", "true")]].concat();
    assert_eq!(carrier.send(&action, &more, &signature).status, 403);
    // Signed well, but about another call, without its token, or with another.
    let other = [("CallSid", "CA-other"), ("CallStatus", "ringing"), ("DialCallStatus", "busy")];
    assert_eq!(carrier.post_as(TOKEN, &action, &other).status, 403);
    let mut foreign = told;
    foreign[1].1 = "CA-other";
    assert_eq!(carrier.post_as(TOKEN, &leg, &foreign).status, 403);
    let bare = action.split('?').next().unwrap();
    assert_eq!(carrier.post_as(TOKEN, bare, &busy).status, 403);
    assert_eq!(carrier.post_as(TOKEN, &format!("{bare}?token={}", "0".repeat(32)), &busy).status, 403);
    // Unparsable, or of a step that was never given.
    assert_eq!(carrier.post_as(TOKEN, &action, &[("CallStatus", "ringing")]).status, 400);
    assert_eq!(carrier.post_as(TOKEN, &action.replace("/1?", "/7?"), &busy).status, 400);
    assert_eq!(carrier.post_as(TOKEN, &action.replace("/1?", "/x?"), &busy).status, 400);
    assert_eq!(carrier.post_as(TOKEN, &format!("{PUBLIC}/twilio/nothing"), &busy).status, 404);
    let refused = exchange.metric("outcry_requests_refused_total", "");
    assert_eq!(refused, 13.0);
    // Nothing of it counted.
    let explained = exchange.explained(&carrier.call_of(&first));
    assert_eq!(explained["events"], json!([]));
    assert_eq!(dialled(&carrier.dial(&first, SID, "ringing", &busy[2..])), "+15125550901");
    carrier.dial(&carrier.dial(&first, SID, "ringing", &busy[2..]), SID, "completed", &[]);
    exchange.finish();
}

#[test]
fn a_message_is_recorded_and_ends_the_call() {
    let market = Market::new(r#""desk""#)
        .plan("root = \"desk\"\nterminal = { voicemail = \"Leave & a <message>.\" }")
        .buyer("acme", "")
        .target("desk", "acme", "paused = true\nprice = \"20.00\"");
    let exchange = start(market, "");
    let carrier = Carrier::of(&exchange);
    let document = carrier.voice(SID);
    assert!(document.contains("<Say>Leave &amp; a &lt;message&gt;.</Say><Record "), "{document}");
    let done = attribute(&document, "action");
    let pairs = [("CallSid", SID), ("RecordingUrl", "https://api.example.com/r"), ("RecordingDuration", "7")];
    assert!(ended(&carrier.ask(&done, &pairs)));
    exchange.finish();
}

#[test]
fn bids_reach_a_twilio_caller() {
    let market = bidders([("acme", bid("25.50"))]);
    let plan = Market::new(r#"{ auction = ["acme"] }"#).patient().bidder("acme", &market.url("acme"));
    let exchange = start(plan, "");
    let carrier = Carrier::of(&exchange);
    let document = carrier.voice(SID);
    assert_eq!(dialled(&document), "+15125550900");
    carrier.dial(&document, SID, "completed", &bridged("100"));
    assert_eq!(
        exchange.ledger(&carrier.call_of(&document))[0],
        ("buyer:acme".to_owned(), "25.50".to_owned())
    );
    let ping: Value = serde_json::from_str(&market.pings("acme")[0].body).unwrap();
    assert_eq!(
        (&ping["stir"], &ping["caller"]["state"], &ping["geo_source"]),
        (&json!("A"), &json!("TX"), &json!("carrier"))
    );
    exchange.finish();
}
