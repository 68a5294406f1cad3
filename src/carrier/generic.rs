//! Our own JSON: `POST /v1/route` and the events of a call.
//!
//! Reads every fault of a request before refusing it; unknown fields are ignored, so that carriers may send more.

mod value;

use super::{
    Action, CallerLeg, CarrierReply, CarrierRequest, DialTarget, SCREEN_DIGIT, SCREEN_SAY, SCREEN_WAIT_S,
    StepEnd, StepReport,
};
use crate::call::event::{CallEvent, EventKind};
use crate::domain::state::state;
use crate::domain::{Address, Cause, E164, EndedBy, SetBy, TagValue, Tags, Tail, Timestamp, Verified};
use crate::json::{self, put};
use value::{Object, Value};

/// Longest `carrier_call_id` and `event_id`, in bytes.
pub const ID_MAX: usize = 128;
/// Longest text of a ZIP, in bytes: five digits, a sign and four more.
const ZIP_MAX: usize = 10;
/// Longest talk time taken, in milliseconds: a day.
const TALK_MAX_MS: u64 = 86_400_000;

/// Highest step a carrier can name.
const STEPS_MAX: u64 = 100;
/// Highest number of an attempt: as many steps as a campaign may have, each with as many as ring at once.
const ATTEMPTS_MAX: u64 = 160;
/// Most attempts reported at once.
const ENDS_MAX: usize = 16;
const TALK: &str = "whole milliseconds, at most a day";
const ATTEMPT: &str = "the number of the attempt, as the answer named it";
const STEP: &str = "the step of the answer that was carried out: 1 for the first";
const CAUSES: &str = "normal busy no_answer rejected failed cancelled";
const ENDERS: &str = "caller target carrier exchange unknown";

/// One fault of a request: where, what came (never of a personal field), what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierFault {
    /// JSON path.
    pub at: String,
    /// The value, unless it is personal.
    pub value: Option<String>,
    /// What is allowed.
    pub allowed: &'static str,
}

type Faults = Vec<CarrierFault>;

/// A carrier's event with its id and what `explain` shows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CarrierEvent {
    /// The carrier's id of the event.
    pub event_id: String,
    /// Its type as sent.
    pub kind: &'static str,
    /// The event as the call machine takes it.
    pub event: CallEvent,
    /// Cause, talk time and originator as text.
    pub detail: String,
    /// The carrier's name of the leg, where its later words are told apart by it.
    pub leg: Option<String>,
}

/// Reads a route request.
pub fn request(body: &[u8]) -> Result<CarrierRequest, Faults> {
    let object = object(body)?;
    let mut read = Reader { object: &object, faults: Vec::new() };
    let carrier_call_id = read.id("carrier_call_id");
    let to = read.to();
    let withheld = read.flag("withheld");
    let from = read.from(withheld);
    let geo = read.section("geo");
    let stir = read.section("stir");
    let request = CarrierRequest {
        carrier_call_id,
        to: to.unwrap_or(Address::Sip(String::new())),
        from,
        withheld,
        tail: read.tail(),
        sub_id: read.text("sub_id", ID_MAX),
        state: geo.and_then(|geo| state(geo.get("state")?.as_str()?)).map(str::to_owned),
        zip: geo.and_then(|geo| zip(geo.get("zip")?)),
        stir: stir
            .and_then(|stir| stir.get("attest")?.as_str())
            .filter(|a| ["A", "B", "C"].contains(a))
            .map(str::to_owned),
        stir_verified: read.verified(stir).unwrap_or_default(),
        consent: read.section("consent").is_some(),
        test: read.flag("test"),
        caller: CallerLeg::Ringing,
        tags: read.tags(),
    };
    if read.faults.is_empty() { Ok(request) } else { Err(read.faults) }
}

/// Reads an event.
pub fn event(body: &[u8]) -> Result<CarrierEvent, Faults> {
    let object = object(body)?;
    event_of(Reader { object: &object, faults: Vec::new() }, true)
}

/// Reads an event of a call that the carrier knows by its own name, and that name. One that names no attempt is about the
/// last.
pub fn record(body: &[u8]) -> Result<(String, CarrierEvent), Faults> {
    let object = object(body)?;
    let mut read = Reader { object: &object, faults: Vec::new() };
    let carrier_call_id = read.id("carrier_call_id");
    Ok((carrier_call_id, event_of(read, false)?))
}

fn event_of(mut read: Reader<'_>, names_attempt: bool) -> Result<CarrierEvent, Faults> {
    let event_id = read.id("event_id");
    let at = read.time("at");
    let cause = read.word("cause", Cause::parse, CAUSES);
    let ended_by = read.word("ended_by", EndedBy::parse, ENDERS);
    let talk_ms = read.count("talk_ms", TALK_MAX_MS, TALK);
    let attempt = read.count("attempt", ATTEMPTS_MAX, ATTEMPT).map(|n| n as u32);
    let by = ended_by.unwrap_or(EndedBy::Unknown);
    let leg = ["ringing", "answered", "bridged", "ended"];
    let (kind, what) = match read.required("type") {
        Some("ringing") => ("ringing", EventKind::Ringing),
        Some("answered") => ("answered", EventKind::Answered),
        Some("bridged") => ("bridged", EventKind::Bridged),
        Some("ended") => {
            if cause.is_none() {
                read.fault(
                    "cause",
                    None,
                    "ended needs a cause: normal busy no_answer rejected failed cancelled",
                );
            }
            ("ended", EventKind::Ended { cause: cause.unwrap_or(Cause::Normal), ended_by: by, talk_ms })
        }
        Some("call_ended") => {
            ("call_ended", EventKind::CallEnded { cause: cause.unwrap_or(Cause::Normal), ended_by: by })
        }
        Some("recording") => ("recording", EventKind::Noted),
        Some("digits") => ("digits", EventKind::Noted),
        Some("cost") => ("cost", EventKind::Noted),
        other => {
            let allowed = "ringing answered bridged ended recording digits cost call_ended";
            read.fault("type", other.map(str::to_owned), allowed);
            ("", EventKind::Noted)
        }
    };
    if names_attempt && leg.contains(&kind) && attempt.is_none() {
        read.fault("attempt", None, ATTEMPT);
    }
    if !read.faults.is_empty() {
        return Err(read.faults);
    }
    let event = CallEvent { attempt, at: at.unwrap_or_default(), kind: what };
    Ok(CarrierEvent { event_id, kind, event, detail: detail(cause, ended_by, talk_ms), leg: None })
}

/// Reads a request for the next step. `now` stands in for a time the carrier does not tell, where no talk depends on it.
pub fn next(body: &[u8], now: Timestamp) -> Result<StepReport, Faults> {
    let object = object(body)?;
    let mut read = Reader { object: &object, faults: Vec::new() };
    let step = read.count("step", STEPS_MAX, STEP).map(|step| step as u32);
    if read.get("step").is_none() {
        read.fault("step", None, STEP);
    }
    let results = ["attempts_ended", "digits", "no_input", "played", "recorded"];
    let result = read.required("result");
    if !result.is_some_and(|word| results.contains(&word)) {
        read.fault("result", result.map(str::to_owned), "attempts_ended digits no_input played recorded");
    }
    let is_timed = read.get("at").is_some();
    let at = if is_timed { read.time("at") } else { None };
    let mut faults = read.faults;
    let ends = ends(&object, at.unwrap_or(now), &mut faults);
    if !is_timed && ends.iter().any(|end| needs_a_time(&end.event.kind)) {
        let allowed = "the carrier's time in RFC 3339, or talk_ms of each attempt that may have been a talk";
        faults.push(CarrierFault { at: "at".into(), value: None, allowed });
    }
    if faults.is_empty() {
        Ok(StepReport { step: step.unwrap_or(0), caller: CallerLeg::Ringing, ends })
    } else {
        Err(faults)
    }
}

/// Whether the talk is the difference to this end's time, which must then be the carrier's and not ours.
fn needs_a_time(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Ended { cause: Cause::Normal | Cause::Failed, talk_ms: None, .. })
}

fn ends(object: &Object<'_>, at: Timestamp, faults: &mut Faults) -> Vec<StepEnd> {
    const ALLOWED: &str = "a list of at most 16 {attempt, cause, ended_by, talk_ms}";
    let listed = match object.get("attempts") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::List(listed)) if listed.len() <= ENDS_MAX => listed,
        Some(_) => {
            faults.push(CarrierFault { at: "attempts".into(), value: None, allowed: ALLOWED });
            return Vec::new();
        }
    };
    let mut ends = Vec::new();
    for (place, one) in listed.iter().enumerate() {
        let Value::Object(object) = one else {
            faults.push(CarrierFault { at: format!("attempts[{place}]"), value: None, allowed: ALLOWED });
            continue;
        };
        let mut read = Reader { object, faults: Vec::new() };
        let attempt = read.count("attempt", ATTEMPTS_MAX, ATTEMPT).map(|n| n as u32);
        let cause = read.word("cause", Cause::parse, CAUSES);
        let ended_by = read.word("ended_by", EndedBy::parse, ENDERS);
        let talk_ms = read.count("talk_ms", TALK_MAX_MS, TALK);
        if read.get("attempt").is_none() {
            read.fault("attempt", None, ATTEMPT);
        }
        if read.get("cause").is_none() {
            read.fault("cause", None, CAUSES);
        }
        let of_this =
            |fault: CarrierFault| CarrierFault { at: format!("attempts[{place}].{}", fault.at), ..fault };
        faults.extend(read.faults.into_iter().map(of_this));
        if let (Some(attempt), Some(cause)) = (attempt, cause) {
            let kind = EventKind::Ended { cause, ended_by: ended_by.unwrap_or(EndedBy::Unknown), talk_ms };
            let event = CallEvent { attempt: Some(attempt), at, kind };
            ends.push(StepEnd {
                attempt: Some(attempt),
                leg: None,
                event,
                detail: detail(Some(cause), ended_by, talk_ms),
            });
        }
    }
    ends
}

fn detail(cause: Option<Cause>, ended_by: Option<EndedBy>, talk_ms: Option<u64>) -> String {
    let mut detail = Vec::new();
    detail.extend(cause.map(|cause| cause.as_str().to_owned()));
    detail.extend(ended_by.map(|by| format!("by {}", by.as_str())));
    detail.extend(talk_ms.map(|ms| format!("talk {ms} ms")));
    detail.join(", ")
}

fn object(body: &[u8]) -> Result<Object<'_>, Faults> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(vec![CarrierFault { at: "body".into(), value: None, allowed: "a JSON object" }]),
        Err(error) => {
            let at = format!("body, line {} column {}", error.line(), error.column());
            Err(vec![CarrierFault { at, value: None, allowed: "a JSON object in UTF-8" }])
        }
    }
}

/// What came as a ZIP. What is no text, or too long a one, is a ZIP that is none: were it as if nothing had come, rules that
/// exclude ZIPs would take the call.
fn zip(value: &Value<'_>) -> Option<String> {
    let text = value.as_str().filter(|text| text.len() <= ZIP_MAX);
    (!matches!(value, Value::Null)).then(|| text.unwrap_or_default().to_owned())
}

/// Reads fields and notes every fault.
struct Reader<'a> {
    object: &'a Object<'a>,
    faults: Faults,
}

impl<'a> Reader<'a> {
    fn fault(&mut self, at: &str, value: Option<String>, allowed: &'static str) {
        self.faults.push(CarrierFault { at: at.to_owned(), value, allowed });
    }

    /// The field unless absent or null.
    fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.object.get(key).filter(|value| !matches!(value, Value::Null))
    }

    fn required(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str()
    }

    fn id(&mut self, key: &str) -> String {
        let fits = |text: &&str| (1..=ID_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        match self.required(key).filter(fits) {
            Some(id) => id.to_owned(),
            None => {
                self.fault(key, None, "a string of 1 to 128 bytes without control characters");
                String::new()
            }
        }
    }

    fn to(&mut self) -> Option<Address> {
        let to = self.required("to").and_then(Address::parse);
        if to.is_none() {
            self.fault("to", None, "a number in E.164 such as +18005550100, or sip:user@host");
        }
        to
    }

    fn from(&mut self, withheld: bool) -> Option<E164> {
        if withheld {
            return None;
        }
        match self.required("from") {
            // What is no number is a caller without a valid one: the call is worth more than its caller id.
            Some(text) => E164::parse(text),
            None => {
                self.fault("from", None, "a number in E.164 such as +15125550123, or withheld: true");
                None
            }
        }
    }

    fn tail(&self) -> Option<Tail> {
        let text = |key| self.get(key)?.as_str().and_then(Tail::of);
        text("from").or_else(|| text("from_raw"))
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.fault(key, Some(other.to_string()), "true or false");
                false
            }
        }
    }

    fn text(&mut self, key: &str, most: usize) -> Option<String> {
        match self.get(key)? {
            Value::Text(text) if text.len() <= most => Some(text.clone().into_owned()),
            _ => {
                self.fault(key, None, "a string of at most 128 bytes");
                None
            }
        }
    }

    fn section(&mut self, key: &str) -> Option<&'a Object<'a>> {
        match self.get(key)? {
            Value::Object(object) => Some(object),
            _ => {
                self.fault(key, None, "an object");
                None
            }
        }
    }

    fn verified(&mut self, stir: Option<&Object<'_>>) -> Option<Verified> {
        let value = stir?.get("verified").filter(|value| !matches!(value, Value::Null))?;
        let verified = value.as_str().and_then(Verified::parse);
        if verified.is_none() {
            self.fault("stir.verified", Some(value.to_string()), "passed, failed or unverified");
        }
        verified
    }

    fn time(&mut self, key: &str) -> Option<Timestamp> {
        let time = self.required(key).and_then(Timestamp::parse);
        if time.is_none() {
            self.fault(key, None, "the carrier's time in RFC 3339, such as 2026-11-20T09:00:00.000Z");
        }
        time
    }

    fn word<T>(&mut self, key: &str, parse: fn(&str) -> Option<T>, allowed: &'static str) -> Option<T> {
        let value = self.get(key)?;
        let word = value.as_str().and_then(parse);
        if word.is_none() {
            self.fault(key, Some(value.to_string()), allowed);
        }
        word
    }

    fn count(&mut self, key: &str, most: u64, allowed: &'static str) -> Option<u64> {
        let value = self.get(key)?;
        let count = value.as_u64().filter(|count| *count <= most);
        if count.is_none() {
            self.fault(key, Some(value.to_string()), allowed);
        }
        count
    }

    fn tags(&mut self) -> Tags {
        let mut tags = Tags::default();
        for (key, value) in self.section("tags").into_iter().flat_map(Object::iter) {
            let value = match value {
                Value::Text(text) => TagValue::Text(text.as_ref().into()),
                Value::Number(number) => TagValue::Number(number.to_string().into()),
                Value::Bool(flag) => TagValue::Bool(*flag),
                Value::Null => continue,
                Value::List(_) | Value::Object(_) => {
                    self.fault("tags", Some(key.to_owned()), "scalars: strings, numbers, true or false");
                    continue;
                }
            };
            if tags.add(key, value, SetBy::Carrier).is_err() {
                self.fault(
                    "tags",
                    Some(key.to_owned()),
                    "at most 50 tags, keys of 1 to 40 bytes, values of at most 256",
                );
            }
        }
        tags
    }
}

/// Room made for an answer; more is taken where its texts or URLs are long.
const ANSWER_ROOM: usize = 1_024;

/// The answer's bytes. Its URLs are under `base`, which has no slash at its end; `next` is for what is dialled.
pub fn reply(reply: &CarrierReply, base: &str) -> Vec<u8> {
    let (mut bytes, valid_until) = without_times(reply, base);
    finish(&mut bytes, valid_until, reply);
    bytes
}

/// An answer that would be right if nothing changed, written before it is known whether it is, but for its times.
#[derive(Debug)]
pub struct Draft {
    reply: CarrierReply,
    bytes: Vec<u8>,
    valid_until: usize,
}

impl Draft {
    /// Of this answer, whatever its times.
    pub fn of(reply: CarrierReply, base: &str) -> Draft {
        let (bytes, valid_until) = without_times(&reply, base);
        Draft { reply, bytes, valid_until }
    }

    /// The bytes of `reply` under the same base, if it differs from what was drafted in nothing but times.
    pub fn finish(mut self, reply: &CarrierReply) -> Option<Vec<u8>> {
        (self.reply.valid_until, self.reply.decided_us) = (reply.valid_until, reply.decided_us);
        if self.reply != *reply {
            return None;
        }
        finish(&mut self.bytes, self.valid_until, reply);
        Some(self.bytes)
    }
}

/// Writes the times into an answer without: one stands at its end, the other here.
fn finish(bytes: &mut Vec<u8>, valid_until: usize, reply: &CarrierReply) {
    reply.valid_until.write_over(bytes, valid_until);
    decided_in_ms(reply.decided_us, bytes);
    bytes.push(b'}');
}

/// The answer up to the number of `decided_in_ms`, and where the room for `valid_until` begins.
fn without_times(reply: &CarrierReply, base: &str) -> (Vec<u8>, usize) {
    let call_id = reply.call_id.text();
    let call = str::from_utf8(&call_id).unwrap_or_default();
    let token = reply.token.map(hexadecimal);
    let token = token.as_ref().and_then(|digits| str::from_utf8(digits).ok());
    let url = |what: &str, token: &str, into: &mut Vec<u8>| {
        json::quote_all(&[base, "/v1/calls/", call, what, token], into);
    };
    let targets = reply.action.targets();
    let (mut greeting, mut message, mut hangup) = (None, None, None);
    match &reply.action {
        Action::Dial(_) | Action::DialAll(_) => {}
        Action::Voicemail(text) => greeting = Some(text),
        Action::Message(text) => message = Some(text),
        Action::Hangup(cause) => hangup = Some(cause),
    }
    // By hand and in few pieces: the carrier waits for it.
    let mode: &[u8] =
        if matches!(reply.action, Action::DialAll(_)) { b"all_at_once" } else { b"one_at_a_time" };
    let (action, basis, reason) = (reply.action.as_str(), reply.basis, reply.reason.as_str());
    let mut bytes = Vec::with_capacity(ANSWER_ROOM);
    let into = &mut bytes;
    put(into, &[b"{\"call_id\":\"", &call_id, b"\",\"step\":"]);
    json::digits(reply.step.into(), into);
    put(into, &[b",\"action\":\"", action.as_bytes(), b"\",\"basis\":\"", basis.as_bytes()]);
    put(into, &[b"\",\"reason\":\"", reason.as_bytes(), b"\",\"mode\":\"", mode, b"\",\"valid_until\":\""]);
    let valid_until = into.len();
    put(into, &[&[b'0'; Timestamp::DIGITS], b"\",\"targets\":"]);
    list(targets, into, dialled);
    into.extend_from_slice(b",\"play_first\":[],\"ringback\":null,\"play_after\":");
    list(message.as_slice(), into, |text, into| one("say", text, into));
    into.extend_from_slice(b",\"record\":{\"mode\":\"off\",\"channels\":2},\"gather\":null,\"voicemail\":");
    or_null(greeting, into, |text, into| one("say", text, into));
    into.extend_from_slice(b",\"hangup\":");
    or_null(hangup, into, |cause, into| one("cause", cause.as_str(), into));
    into.extend_from_slice(b",\"max_talk_s\":");
    json::digits(reply.max_talk_s, into);
    into.extend_from_slice(b",\"next\":");
    let may_go_on = token.filter(|_| !targets.is_empty());
    or_null(may_go_on, into, |token, into| url("/next/", token, into));
    into.extend_from_slice(b",\"events\":");
    or_null(token, into, |token, into| url("/events/", token, into));
    into.extend_from_slice(b",\"decided_in_ms\":");
    (bytes, valid_until)
}

fn dialled(target: &DialTarget, into: &mut Vec<u8>) {
    into.extend_from_slice(b"{\"attempt\":");
    json::digits(target.attempt.into(), into);
    into.extend_from_slice(b",\"address\":");
    match &target.address {
        Address::Number(number) => quoted_number(*number, into),
        Address::Sip(address) => json::quote(address, into),
    }
    let (kind, role) = (target.address.kind(), target.role);
    put(into, &[b",\"kind\":\"", kind.as_bytes(), b"\",\"role\":\"", role.as_bytes(), b"\",\"ring_s\":"]);
    json::digits(target.ring_s, into);
    into.extend_from_slice(b",\"caller_id\":");
    or_null(target.caller_id, into, quoted_number);
    into.extend_from_slice(b",\"headers\":{},\"whisper\":null,\"screen\":");
    or_null(target.screen.then_some(()), into, |(), into| screen(into));
    into.push(b'}');
}

/// The number whole, as [`E164::reveal`] has it.
fn quoted_number(number: E164, into: &mut Vec<u8>) {
    into.extend_from_slice(b"\"+");
    json::digits(number.digits(), into);
    into.push(b'"');
}

/// What whoever picks up has to do before the caller is connected.
fn screen(into: &mut Vec<u8>) {
    let mut object = json::Object::open(into);
    object.text("say", SCREEN_SAY);
    object.text("digits", SCREEN_DIGIT);
    object.number("wait_s", SCREEN_WAIT_S);
    object.close();
}

/// An object of one text.
fn one(key: &'static str, text: &str, into: &mut Vec<u8>) {
    let mut object = json::Object::open(into);
    object.text(key, text);
    object.close();
}

fn list<T>(members: &[T], into: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    into.push(b'[');
    for (at, member) in members.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        write(member, into);
    }
    into.push(b']');
}

fn or_null<T>(value: Option<T>, into: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    match value {
        Some(value) => write(value, into),
        None => into.extend_from_slice(b"null"),
    }
}

/// Milliseconds with as many decimals as there are, one at least: `142.318`, `142.0`.
fn decided_in_ms(micros: u64, into: &mut Vec<u8>) {
    json::digits(micros / 1_000, into);
    let decimals = [micros / 100 % 10, micros / 10 % 10, micros % 10].map(|digit| b'0' + digit as u8);
    let zeros = decimals.iter().rev().take(2).take_while(|digit| **digit == b'0').count();
    into.push(b'.');
    into.extend_from_slice(&decimals[..decimals.len() - zeros]);
}

/// 32 hexadecimal digits.
fn hexadecimal(bits: u128) -> [u8; 32] {
    std::array::from_fn(|at| b"0123456789abcdef"[(bits >> (124 - 4 * at) & 0xf) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallId, HangupCause, Reason};

    fn answer(action: Action, token: Option<u128>, decided_us: u64) -> String {
        let answer = CarrierReply {
            call_id: CallId::from_bits(1),
            step: 2,
            action,
            basis: "auction",
            reason: Reason::Won,
            valid_until: Timestamp::from_micros(1_500_000),
            max_talk_s: 14_400,
            caller: CallerLeg::Ringing,
            token,
            decided_us,
        };
        String::from_utf8(reply(&answer, "https://x.example")).expect("UTF-8")
    }

    /// What stands in every answer, with the parts that differ in their places.
    fn expected(action: &str, parts: [&str; 7]) -> String {
        let [targets, after, voicemail, hangup, next, events, ms] = parts;
        format!(
            "{{\"call_id\":\"00000000000000000000000001\",\"step\":2,\"action\":\"{action}\",\"basis\":\"auction\",\
             \"reason\":\"won\",\"mode\":\"one_at_a_time\",\"valid_until\":\"1970-01-01T00:00:01.500Z\",\
             \"targets\":[{targets}],\"play_first\":[],\"ringback\":null,\"play_after\":[{after}],\
             \"record\":{{\"mode\":\"off\",\"channels\":2}},\"gather\":null,\"voicemail\":{voicemail},\
             \"hangup\":{hangup},\"max_talk_s\":14400,\"next\":{next},\"events\":{events},\"decided_in_ms\":{ms}}}"
        )
    }

    #[test]
    fn every_answer_has_every_key() {
        let dial = |address: &str, caller_id: Option<&str>| {
            Action::Dial(DialTarget {
                attempt: 3,
                address: Address::parse(address).expect("an address"),
                role: "buyer",
                ring_s: 20,
                caller_id: caller_id.and_then(E164::parse),
                screen: false,
            })
        };
        let target = |address: &str, kind: &str, caller_id: &str| {
            format!(
                "{{\"attempt\":3,\"address\":\"{address}\",\"kind\":\"{kind}\",\"role\":\"buyer\",\"ring_s\":20,\
                 \"caller_id\":{caller_id},\"headers\":{{}},\"whisper\":null,\"screen\":null}}"
            )
        };
        let url = |what: &str| {
            format!(
                "\"https://x.example/v1/calls/00000000000000000000000001/{what}/000000000000000000000000000000ff\""
            )
        };
        let (next, events) = (url("next"), url("events"));
        let (number, sip) =
            (target("+15125550900", "number", "null"), target("sip:a@b.example", "sip", "\"+18005550100\""));
        let null = "null";
        assert_eq!(
            answer(dial("+15125550900", None), Some(255), 142_318),
            expected("dial", [&number, "", null, null, &next, &events, "142.318"])
        );
        assert_eq!(
            answer(dial("sip:a@b.example", Some("+18005550100")), None, 142_300),
            expected("dial", [&sip, "", null, null, null, null, "142.3"])
        );
        assert_eq!(
            answer(Action::Voicemail("say \"hi\"".to_owned()), Some(255), 142_000),
            expected("voicemail", ["", "", r#"{"say":"say \"hi\""}"#, null, null, &events, "142.0"])
        );
        assert_eq!(
            answer(Action::Message("bye".to_owned()), Some(255), 10),
            expected("message", ["", r#"{"say":"bye"}"#, null, null, null, &events, "0.01"])
        );
        assert_eq!(
            answer(Action::Hangup(HangupCause::Busy), None, 0),
            expected("hangup", ["", "", null, r#"{"cause":"busy"}"#, null, null, "0.0"])
        );
    }

    #[test]
    fn a_draft_becomes_the_answer_it_is_of_or_none() {
        let answer = |ring_s, valid_until, decided_us| CarrierReply {
            call_id: CallId::from_bits(77),
            step: 1,
            action: Action::Dial(DialTarget {
                attempt: 1,
                address: Address::parse("sip:a@b.example").expect("an address"),
                role: "buyer",
                ring_s,
                caller_id: E164::parse("+18005550100"),
                screen: false,
            }),
            basis: "auction",
            reason: Reason::Won,
            valid_until: Timestamp::from_micros(valid_until),
            max_talk_s: 14_400,
            caller: CallerLeg::Ringing,
            token: Some(255),
            decided_us,
        };
        let base = "https://x.example";
        // The last is a moment that no calendar reaches, and longer or shorter than others.
        for (valid_until, decided_us) in [(1_500_000, 142_318), (1_795_165_201_000_000, 7), (i64::MAX, 0)] {
            let draft = || Draft::of(answer(20, 0, 0), base);
            let wanted = answer(20, valid_until, decided_us);
            let finished = draft().finish(&wanted).and_then(|bytes| String::from_utf8(bytes).ok());
            assert_eq!(finished, String::from_utf8(reply(&wanted, base)).ok());
            assert_eq!(draft().finish(&answer(25, valid_until, decided_us)), None, "another ring time");
        }
    }

    #[test]
    fn those_that_ring_at_once_are_listed_with_what_they_have_to_press() {
        let target = |attempt, screen| DialTarget {
            attempt,
            address: Address::parse("+15125550900").expect("an address"),
            role: "buyer",
            ring_s: 20,
            caller_id: None,
            screen,
        };
        let text = answer(Action::DialAll(vec![target(2, true), target(3, false)]), Some(255), 0);
        let listed = |attempt: u32, screen: &str| {
            format!(
                "{{\"attempt\":{attempt},\"address\":\"+15125550900\",\"kind\":\"number\",\"role\":\"buyer\",\
                 \"ring_s\":20,\"caller_id\":null,\"headers\":{{}},\"whisper\":null,\"screen\":{screen}}}"
            )
        };
        let screen = r#"{"say":"You have a call. Press 1 to take it.","digits":"1","wait_s":8}"#;
        let targets = format!("\"targets\":[{},{}]", listed(2, screen), listed(3, "null"));
        assert!(text.contains("\"action\":\"dial\"") && text.contains("\"mode\":\"all_at_once\""), "{text}");
        assert!(text.contains(&targets), "{text}");
    }
}
