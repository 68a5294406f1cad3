//! Twilio Programmable Voice: what it asks and reports, as parameters of a form.
//!
//! Twilio names a call `CallSid` and holds it until a document says what to do; then it asks again when the `Dial` of
//! that document is over, and tells what became of each leg in requests of their own, in any order. Reads values only:
//! who signed them is in `signature`, the answers are in `twiml`. Unknown parameters are ignored, unknown words are
//! never taken for a talk.

pub mod form;
pub mod signature;
pub mod twiml;

use self::form::Form;
use super::generic::{CarrierFault, ID_MAX};
use super::{CallerLeg, CarrierRequest};
use crate::domain::state::state;
use crate::domain::{Address, Cause, E164, EndedBy, SetBy, TagValue, Tags, Tail, Timestamp, Verified};

/// Longest `CallSid` of a leg, in bytes: with a status it is the id of an event.
const LEG_SID_MAX: usize = 64;
/// Longest status repeated in the id of an event, in bytes.
const STATUS_MAX: usize = 32;
/// Longest duration taken, in seconds: a day.
const DURATION_MAX_S: u64 = 86_400;

/// What Twilio and the carriers before it put in `From` when the caller does not want its number known, `+` numbers
/// being such words typed on a keypad.
const WITHHELD: &[&str] = &[
    "anonymous",
    "restricted",
    "private",
    "blocked",
    "withheld",
    "+266696687",  // ANONYMOUS
    "+2562533",    // BLOCKED
    "+7378742833", // RESTRICTED
    "+737874883",  // seen for the same
];
/// What looks like a number and only says that none is known.
const NO_NUMBER: &[&str] = &[
    "+86282452253", // UNAVAILABLE
    "+8656696",     // UNKNOWN
    "+8566",
    "+464",
];

type Faults = Vec<CarrierFault>;

/// Reads the voice webhook: where to send this call? Lists every fault.
pub fn request(form: &Form) -> Result<CarrierRequest, Faults> {
    let mut read = Reader { form, faults: Vec::new() };
    let carrier_call_id = read.sid("CallSid", ID_MAX);
    let to = read.to();
    let from = Calling::of(form.get("From").unwrap_or(""));
    let country = form.get("FromCountry").unwrap_or("");
    let (stir, stir_verified) = attestation(form.get("StirVerstat").unwrap_or(""));
    let request = CarrierRequest {
        carrier_call_id,
        to,
        from: from.number,
        withheld: from.withheld,
        tail: from.tail,
        sub_id: None,
        state: form
            .get("FromState")
            .filter(|_| ["US", "CA"].contains(&country))
            .and_then(state)
            .map(str::to_owned),
        zip: form.get("FromZip").filter(|zip| country == "US" && is_zip(zip)).map(str::to_owned),
        stir,
        stir_verified,
        consent: false,
        test: false,
        caller: caller(form),
        tags: tags(form),
    };
    read.done(request)
}

/// The end of a `Dial`, and with it the question what now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialReport {
    /// The caller's call.
    pub call_sid: String,
    /// The call to the target; `None` if there was none.
    pub leg_sid: Option<String>,
    /// Where the caller is.
    pub caller: CallerLeg,
    /// What became of the attempt.
    pub end: LegReport,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegReport {
    /// Why.
    pub cause: Cause,
    /// Whose doing.
    pub ended_by: EndedBy,
    /// Talk time to the second; `None` if they did not talk or it was not said.
    pub talk_ms: Option<u64>,
}

/// Reads the request to a `Dial`'s action.
pub fn dial(form: &Form) -> Result<DialReport, Faults> {
    let mut read = Reader { form, faults: Vec::new() };
    let call_sid = read.sid("CallSid", ID_MAX);
    let caller = caller(form);
    let leg_sid = form.get("DialCallSid").filter(|sid| is_id(sid, LEG_SID_MAX)).map(str::to_owned);
    read.done(DialReport { call_sid, leg_sid, caller, end: end_of(form, caller) })
}

fn caller(form: &Form) -> CallerLeg {
    match form.get("CallStatus") {
        Some("ringing") => CallerLeg::Ringing,
        Some("in-progress") => CallerLeg::Answered,
        _ => CallerLeg::Gone,
    }
}

/// Only `DialBridged=true` is a talk. A target that answered and was not bridged declined the call.
fn end_of(form: &Form, caller: CallerLeg) -> LegReport {
    let is_gone = caller == CallerLeg::Gone;
    if form.get("DialBridged") == Some("true") {
        let ended_by = if is_gone { EndedBy::Caller } else { EndedBy::Target };
        let talk_ms = seconds(form, "DialCallDuration").map(|s| s * 1_000);
        return LegReport { cause: Cause::Normal, ended_by, talk_ms };
    }
    let (cause, ended_by) = match form.get("DialCallStatus") {
        _ if is_gone => (Cause::Cancelled, EndedBy::Caller),
        Some("completed" | "answered") => (Cause::Rejected, EndedBy::Target),
        Some("busy") => (Cause::Busy, EndedBy::Target),
        Some("no-answer") => (Cause::NoAnswer, EndedBy::Carrier),
        Some("failed" | "canceled") => (Cause::Failed, EndedBy::Carrier),
        _ => (Cause::Failed, EndedBy::Unknown),
    };
    LegReport { cause, ended_by, talk_ms: None }
}

/// News of the leg to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegEvent {
    /// The caller's call.
    pub parent_sid: String,
    /// The leg.
    pub leg_sid: String,
    /// Its id, the same each time it is sent: the leg and its status.
    pub event_id: String,
    /// What happened.
    pub kind: LegKind,
    /// When, by Twilio's clock, to the second.
    pub at: Option<Timestamp>,
    /// Its place among the events of the leg, from 0.
    pub sequence: Option<u32>,
    /// Seconds from the answer to the end, a whisper included; with `completed` only.
    pub duration_s: Option<u64>,
}

/// What happened to a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegKind {
    /// It rings.
    Ringing,
    /// It was answered; not yet bridged.
    Answered,
    /// It is over.
    Over(Cause),
    /// Anything else: for the trail only.
    Noted,
}

/// Reads a leg's status callback.
pub fn leg(form: &Form) -> Result<LegEvent, Faults> {
    let mut read = Reader { form, faults: Vec::new() };
    let parent_sid = read.sid("ParentCallSid", ID_MAX);
    let leg_sid = read.sid("CallSid", LEG_SID_MAX);
    let is_word = |word: &&str| {
        word.len() <= STATUS_MAX && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let Some(status) = form.get("CallStatus").filter(is_word) else {
        read.fault("CallStatus", "a word such as initiated ringing in-progress completed");
        return Err(read.faults);
    };
    let kind = match status {
        "ringing" => LegKind::Ringing,
        "in-progress" | "answered" => LegKind::Answered,
        "completed" => LegKind::Over(Cause::Normal),
        "busy" => LegKind::Over(Cause::Busy),
        "no-answer" => LegKind::Over(Cause::NoAnswer),
        "failed" => LegKind::Over(Cause::Failed),
        "canceled" => LegKind::Over(Cause::Cancelled),
        _ => LegKind::Noted,
    };
    let event_id = format!("{leg_sid}:{status}");
    let sequence = form.get("SequenceNumber").and_then(|text| text.parse().ok());
    let duration_s = seconds(form, "CallDuration");
    read.done(LegEvent { parent_sid, leg_sid, event_id, kind, at: at(form), sequence, duration_s })
}

/// What the leg of a screened attempt asks once somebody picked up there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screened {
    /// The caller's call.
    pub parent_sid: String,
    /// The leg.
    pub leg_sid: String,
    /// What was pressed; `None` while nobody was asked to.
    pub digits: Option<String>,
}

/// Reads the request to a `Number`'s URL, or to the action of what it was told.
pub fn screen(form: &Form) -> Result<Screened, Faults> {
    let mut read = Reader { form, faults: Vec::new() };
    let parent_sid = read.sid("ParentCallSid", ID_MAX);
    let leg_sid = read.sid("CallSid", LEG_SID_MAX);
    let digits = form.get("Digits").filter(|digits| !digits.is_empty()).map(str::to_owned);
    read.done(Screened { parent_sid, leg_sid, digits })
}

/// News of the caller's own call, sent to the number's status callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStatus {
    /// The call.
    pub call_sid: String,
    /// It is over, whatever we know of its legs.
    pub is_over: bool,
    /// When, by Twilio's clock.
    pub at: Option<Timestamp>,
}

/// Reads a number's status callback.
pub fn status(form: &Form) -> Result<CallStatus, Faults> {
    let mut read = Reader { form, faults: Vec::new() };
    let call_sid = read.sid("CallSid", ID_MAX);
    let over = ["completed", "busy", "no-answer", "failed", "canceled"];
    let is_over = form.get("CallStatus").is_some_and(|status| over.contains(&status));
    read.done(CallStatus { call_sid, is_over, at: at(form) })
}

/// The voice webhook again, at the number's fallback URL, because the first answer did not come or could not be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// The question.
    pub request: CarrierRequest,
    /// Twilio's error.
    pub error_code: Option<u32>,
    /// The URL that failed.
    pub error_url: Option<String>,
    /// The document came and was of no use: the same again would be of none either.
    pub unusable: bool,
}

/// Reads a fallback request.
pub fn fallback(form: &Form) -> Result<Fallback, Faults> {
    let request = request(form)?;
    let error_code: Option<u32> = form.get("ErrorCode").and_then(|code| code.parse().ok());
    let error_url = form.get("ErrorUrl").map(str::to_owned);
    // 12xxx: not a valid document. 13xxx: a verb that could not be carried out. 11xxx: it never arrived.
    let unusable = error_code.is_some_and(|code| (12_000..14_000).contains(&code));
    Ok(Fallback { request, error_code, error_url, unusable })
}

/// Who calls, as far as that is a number.
struct Calling {
    number: Option<E164>,
    withheld: bool,
    tail: Option<Tail>,
}

impl Calling {
    /// Whatever is no number is a caller without one: the call is worth more than its caller id.
    fn of(text: &str) -> Calling {
        let sip = text.strip_prefix("sip:").or_else(|| text.strip_prefix("sips:"));
        let name = sip.map_or(text, |rest| rest.split('@').next().unwrap_or(rest));
        let withheld = WITHHELD.iter().any(|word| name.eq_ignore_ascii_case(word));
        if withheld || NO_NUMBER.contains(&name) {
            return Calling { number: None, withheld, tail: None };
        }
        Calling { number: E164::parse(text), withheld, tail: Tail::of(name) }
    }
}

fn is_zip(text: &str) -> bool {
    (5..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Letter and verification of `TN-Validation-Passed-A` and `TN-Validation-Failed`, whoever signed: the carrier of the caller,
/// the one that forwards (`-Diverted`), or one whose signature was passed on (`-Passthrough`). Any other word says nothing.
fn attestation(verstat: &str) -> (Option<String>, Verified) {
    const NOTHING: (Option<String>, Verified) = (None, Verified::Unverified);
    let Some(result) = verstat.strip_prefix("TN-Validation-") else { return NOTHING };
    let signed =
        ["-Diverted", "-Passthrough"].iter().find_map(|by| result.strip_suffix(by)).unwrap_or(result);
    let (verified, letter) = match signed.split_once('-') {
        Some(("Passed", letter)) => (Verified::Passed, letter),
        Some(("Failed", letter)) => (Verified::Failed, letter),
        None if signed == "Failed" => return (None, Verified::Failed),
        _ => return NOTHING,
    };
    match letter {
        "A" | "B" | "C" => (Some(letter.to_owned()), verified),
        _ => NOTHING,
    }
}

/// Headers of the INVITE, `SipHeader_X-Case`, as tags, `case`. Header names know no case; one that does not fit is
/// left out, as it is not Twilio's doing.
fn tags(form: &Form) -> Tags {
    let mut tags = Tags::default();
    for (name, value) in form.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(header) = name.strip_prefix("SipHeader_").map(str::to_ascii_lowercase) else { continue };
        let Some(key) = header.strip_prefix("x-").filter(|key| !key.chars().any(char::is_control)) else {
            continue;
        };
        let _ = tags.add(key, TagValue::Text(value.into()), SetBy::Carrier);
    }
    tags
}

fn at(form: &Form) -> Option<Timestamp> {
    form.get("Timestamp").and_then(Timestamp::parse_rfc2822)
}

fn seconds(form: &Form, name: &str) -> Option<u64> {
    form.get(name)?.parse().ok().filter(|seconds| *seconds <= DURATION_MAX_S)
}

fn is_id(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Reads parameters and notes every fault. Values are not repeated: each may be personal.
struct Reader<'a> {
    form: &'a Form,
    faults: Faults,
}

impl Reader<'_> {
    fn fault(&mut self, at: &str, allowed: &'static str) {
        self.faults.push(CarrierFault { at: at.to_owned(), value: None, allowed });
    }

    fn sid(&mut self, name: &str, most: usize) -> String {
        match self.form.get(name).filter(|text| is_id(text, most)) {
            Some(sid) => sid.to_owned(),
            None => {
                self.fault(name, "Twilio's id of a call, such as CA and 32 hexadecimal digits");
                String::new()
            }
        }
    }

    /// What was dialled, without the parameters and headers of a SIP URI.
    fn to(&mut self) -> Address {
        let plain = |text: &str| {
            let host = text.find('@').unwrap_or(text.len());
            let end = text[host..].find([';', '?']).map_or(text.len(), |at| host + at);
            Address::parse(&text[..end])
        };
        match self.form.get("To").and_then(plain) {
            Some(address) => address,
            None => {
                self.fault("To", "a number in E.164 such as +18005550100, or sip:user@host");
                Address::Sip(String::new())
            }
        }
    }

    fn done<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }
}

#[cfg(test)]
mod tests;
