//! A call as Twilio lives it: signed forms to the webhooks, TwiML followed verb by verb, callbacks of the legs.
//!
//! What is signed and how is in `account`. Callbacks are sent once, as Twilio does. It follows what
//! documents of an exchange have in them (`Dial` of one target, `Say`, `Record`, `Redirect`, `Hangup`, `Reject`,
//! `Pause`, `Play`); any other verb is a bad answer. There is no fallback URL, no queue, no conference.

use std::time::Instant;

use super::account::{Form, SIGNATURE, Twilio, encoded, pair};
use super::ask::{BAD_ANSWER, Question, Verdict, VerdictTarget, status_kind};
use super::call::{Call, Fate, Letter, MAX_STEPS};
use super::plan::RING_MAX_S;
use super::text::rfc2822;
use super::twiml::{self, Element};
use crate::chance::Chance;
use crate::client::{Answer, FORM};
use crate::sent::{End, Report};
use crate::trace::CALL_TAG;

/// What Twilio rings longer than it is told, in seconds.
const RINGS_LONGER_S: u64 = 5;
/// Ring time without a `timeout`, in seconds.
const TIMEOUT_ASSUMED_S: u64 = 30;
/// Longest talk without a `timeLimit`, in seconds.
const TIME_LIMIT_S: u64 = 14_400;
/// How long a `Say` takes, in ms.
const SAY_MS: u64 = 5_000;

fn document(answer: &Answer) -> Option<Vec<Element>> {
    twiml::parse(str::from_utf8(&answer.body).ok()?)
}

/// The first verb that ends or connects the call says what the document is.
fn read(answer: &Answer) -> Result<Verdict<'_>, &'static str> {
    if answer.status != 200 {
        return Err(status_kind(answer.status));
    }
    let verbs = document(answer).ok_or(BAD_ANSWER)?;
    let has = |name: &str| verbs.iter().find(|verb| verb.name == name);
    let mut verdict = Verdict::default();
    if let Some(dial) = has("Dial") {
        verdict.action = "dial".into();
        let rings = dial.number("timeout").map(|timeout| timeout.saturating_add(RINGS_LONGER_S));
        verdict.targets.extend(dial.nouns.iter().take(1).map(|noun| VerdictTarget {
            attempt: 0,
            address: noun.text.clone().into(),
            ring_s: rings,
        }));
    } else if has("Record").is_some() {
        verdict.action = "voicemail".into();
    } else if has("Say").is_some() {
        verdict.action = "message".into();
    } else {
        verdict.action = "hangup".into();
    }
    Ok(verdict)
}

/// The caller's call, as `CallStatus` names it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Ringing,
    InProgress,
    Gone,
}

impl Caller {
    fn status(self) -> &'static str {
        match self {
            Caller::Ringing => "ringing",
            Caller::InProgress => "in-progress",
            Caller::Gone => "completed",
        }
    }
}

/// What a document came to.
enum After {
    /// This URL is asked what now.
    Ask(String, Form),
    Over,
}

struct Life<'c> {
    call: &'c mut Call,
    twilio: &'c Twilio,
    caller: Caller,
    attempts: u32,
    talked_s: u64,
}

/// Lives one call from its webhook to its last callback.
pub(super) async fn live(call: &mut Call, twilio: &Twilio, due: Instant) {
    let floor = call.floor.clone();
    let mut sid = Chance::new(floor.plan.seed, &["sid", &floor.plan.run, &call.number.to_string()]);
    call.id = format!("CA{:016x}{:016x}", sid.bits(), sid.bits());
    let form = incoming(call, twilio);
    let url = format!("{}{}", twilio.public_url, twilio.voice_path);
    let (place, signature, body) =
        (twilio.place(&floor, &url), twilio.signature(&url, &form), encoded(&form));
    let headers = [(SIGNATURE, signature.as_str())];
    let question = Question { url: &place, headers: &headers, content_type: FORM, body: body.as_bytes() };
    let first = call.ask_first(due, &question, read).await;
    let Some(answer) = first.filter(|_| floor.plan.lives) else { return };
    let mut life = Life { call, twilio, caller: Caller::Ringing, attempts: 0, talked_s: 0 };
    // Apart from the call's own future, which is moved when it is spawned.
    Box::pin(life.follow(answer)).await;
    Box::pin(life.status()).await;
}

/// The voice webhook's parameters.
fn incoming(call: &mut Call, twilio: &Twilio) -> Form {
    let floor = call.floor.clone();
    let caller = call.caller(&floor);
    let from = if caller.is_withheld { "anonymous".to_owned() } else { format!("+1{}", caller.digits) };
    let mut form = vec![
        pair("AccountSid", &twilio.account_sid),
        pair("ApiVersion", "2010-04-01"),
        pair("CallSid", &call.id),
        pair("CallStatus", Caller::Ringing.status()),
        pair("Called", caller.to),
        pair("Caller", &from),
        pair("Direction", "inbound"),
        pair("From", &from),
        pair("To", caller.to),
    ];
    form.push((format!("SipHeader_X-{CALL_TAG}").into(), call.number.to_string()));
    if let Some((state, zip)) = &caller.area.geo {
        form.extend([pair("FromCountry", "US"), pair("FromState", state), pair("FromZip", zip)]);
    }
    for (key, value) in caller.tags {
        form.push((format!("SipHeader_X-{key}").into(), value.to_owned()));
    }
    if let Some(attest) = caller.attest {
        form.push(pair("StirVerstat", format!("TN-Validation-Passed-{attest}")));
    }
    form
}

impl Life<'_> {
    /// Does as the documents say until the call is over.
    async fn follow(&mut self, mut answer: Answer) {
        for _ in 0..MAX_STEPS {
            let Some(verbs) = document(&answer) else { return };
            let After::Ask(url, form) = self.perform(&verbs).await else { return };
            match self.ask(&url, form).await {
                Some(further) if self.caller != Caller::Gone => answer = further,
                _ => return,
            }
        }
    }

    async fn perform(&mut self, verbs: &[Element]) -> After {
        for verb in verbs {
            match verb.name.as_str() {
                "Say" | "Play" | "Pause" => {
                    self.caller = Caller::InProgress;
                    self.call.pass(SAY_MS).await;
                }
                "Dial" => return self.dial(verb).await,
                "Record" => return self.record(verb).await,
                "Redirect" => return After::Ask(verb.text.trim().to_owned(), self.form(&[])),
                "Hangup" | "Reject" => return After::Over,
                _ => {
                    self.call.floor.tally().error(BAD_ANSWER);
                    return After::Over;
                }
            }
        }
        After::Over
    }

    async fn record(&mut self, verb: &Element) -> After {
        self.caller = Caller::InProgress;
        let longest_ms = verb.number("maxLength").unwrap_or(3_600).clamp(5, 3_600) * 1_000;
        let recorded_ms = self.call.chance.between(5_000, 40_000).min(longest_ms);
        self.call.pass(recorded_ms).await;
        let Some(action) = verb.attribute("action") else { return After::Over };
        let sid = self.call.id.replacen("CA", "RE", 1);
        let recording = format!("https://api.twilio.com/{}/{sid}", self.twilio.account_sid);
        let form = self.form(&[
            ("RecordingSid", sid),
            ("RecordingUrl", recording),
            ("RecordingDuration", (recorded_ms / 1_000).to_string()),
            ("Digits", "hangup".to_owned()),
        ]);
        After::Ask(action.to_owned(), form)
    }

    /// Rings the document's one target, and says what came of it.
    async fn dial(&mut self, verb: &Element) -> After {
        let Some(target) = verb.nouns.first() else {
            self.call.floor.tally().error(BAD_ANSWER);
            return After::Over;
        };
        self.attempts += 1;
        let timeout_s = verb.number("timeout").unwrap_or(TIMEOUT_ASSUMED_S).saturating_add(RINGS_LONGER_S);
        let rings_ms = 1_000 * timeout_s.min(RING_MAX_S);
        let mut leg = Leg::new(self.call, target, self.attempts);
        let fate = self.call.fate();
        self.leg(&mut leg, "initiated", 0).await;
        if fate != Fate::Busy {
            let setup_ms = self.call.setup_ms();
            self.call.pass(setup_ms).await;
            self.leg(&mut leg, "ringing", 0).await;
        }
        let (status, end) = match fate {
            Fate::Busy | Fate::NoAnswer => {
                let is_busy = fate == Fate::Busy;
                self.call.pass(if is_busy { 400 } else { rings_ms }).await;
                let (cause, ended_by, _) = self.call.count_failed(is_busy);
                (if is_busy { "busy" } else { "no-answer" }, self.end(cause, ended_by))
            }
            Fate::Abandoned => {
                let patience_ms = self.call.patience_ms(rings_ms);
                self.call.pass(patience_ms).await;
                self.call.floor.count(|counts| counts.abandoned += 1);
                self.caller = Caller::Gone;
                ("canceled", self.end("cancelled", "caller"))
            }
            Fate::Answered => {
                let ring_ms = self.call.ring_ms(rings_ms);
                self.call.pass(ring_ms).await;
                let limit_s = verb.number("timeLimit").unwrap_or(TIME_LIMIT_S);
                return self.talk(verb, leg, limit_s).await;
            }
        };
        self.leg(&mut leg, status, 0).await;
        let more = [("DialCallStatus", status.to_owned()), ("DialBridged", "false".to_owned())];
        self.action(verb, &leg, &more, end)
    }

    /// Answered and bridged at once, as there is no whisper; talked, ended.
    async fn talk(&mut self, verb: &Element, mut leg: Leg, limit_s: u64) -> After {
        self.caller = Caller::InProgress;
        let answered_at = self.call.now();
        let answered = match self.call.reorders() {
            true => None,
            false => Some(self.leg(&mut leg, "in-progress", 0).await),
        };
        self.call.count_bridged();
        let (talk_ms, by) = self.call.talk(limit_s);
        self.call.pass(talk_ms).await;
        let seconds = talk_ms / 1_000;
        self.talked_s += seconds;
        if by == "caller" {
            self.caller = Caller::Gone;
        }
        self.leg(&mut leg, "completed", seconds).await;
        let answered = match answered {
            Some(report) => report,
            None => self.leg_at(&mut leg, "in-progress", 0, answered_at).await,
        };
        // A talk cut off at its limit looks like one that the target ended.
        let end = self.end("normal", if by == "caller" { by } else { "target" });
        let end = End {
            talked_ms: talk_ms,
            talk_ms: Some(seconds * 1_000),
            answered: Some(answered),
            bridged: Some(Report::Unsent),
            ..end
        };
        let more = [
            ("DialCallStatus", "completed".to_owned()),
            ("DialBridged", "true".to_owned()),
            ("DialCallDuration", seconds.to_string()),
        ];
        self.action(verb, &leg, &more, end)
    }

    fn end(&self, cause: &'static str, ended_by: &'static str) -> End {
        End {
            attempt: self.attempts,
            cause: cause.into(),
            ended_by: ended_by.into(),
            talked_ms: 0,
            talk_ms: None,
            answered: None,
            bridged: None,
            ended: Report::Unsent,
            asked_on: Report::Unsent,
            told_us: None,
            taken_us: None,
        }
    }

    /// The question that follows a `Dial` tells its end; lost, nothing does.
    fn action(&mut self, verb: &Element, leg: &Leg, more: &[(&'static str, String)], end: End) -> After {
        let is_lost = self.call.loses();
        self.call.note_end(match is_lost {
            true => End { asked_on: Report::Lost, ..end },
            false => end,
        });
        let Some(action) = verb.attribute("action").filter(|_| !is_lost) else { return After::Over };
        let mut form = self.form(more);
        form.push(pair("DialCallSid", &leg.sid));
        After::Ask(action.to_owned(), form)
    }

    /// What every request about the caller's call has.
    fn form(&self, more: &[(&'static str, String)]) -> Form {
        let mut form = vec![
            pair("AccountSid", &self.twilio.account_sid),
            pair("CallSid", &self.call.id),
            pair("CallStatus", self.caller.status()),
        ];
        form.extend(more.iter().map(|(name, value)| pair(name, value)));
        form
    }

    async fn ask(&mut self, url: &str, form: Form) -> Option<Answer> {
        let floor = self.call.floor.clone();
        let (place, signature) = (self.twilio.place(&floor, url), self.twilio.signature(url, &form));
        let (headers, body) = ([(SIGNATURE, signature.as_str())], encoded(&form));
        let question = Question { url: &place, headers: &headers, content_type: FORM, body: body.as_bytes() };
        self.call.ask_on(&question, read, floor.plan.rates.duplicate_event_bps).await
    }

    /// Tells of a leg, if the document wants that told.
    async fn leg(&mut self, leg: &mut Leg, status: &'static str, duration_s: u64) -> Report {
        let at = self.call.now();
        self.leg_at(leg, status, duration_s, at).await
    }

    async fn leg_at(
        &mut self,
        leg: &mut Leg,
        status: &'static str,
        duration_s: u64,
        at: std::time::SystemTime,
    ) -> Report {
        let Some(url) = leg.callback.clone().filter(|_| leg.wants(status)) else { return Report::Unsent };
        let sequence = Leg::sequence(status);
        let mut form = vec![
            pair("AccountSid", &self.twilio.account_sid),
            pair("CallSid", &leg.sid),
            pair("ParentCallSid", &self.call.id),
            pair("CallStatus", status),
            pair("CallbackSource", "call-progress-events"),
            pair("Direction", "outbound-dial"),
            pair("To", &leg.address),
            pair("Timestamp", rfc2822(at)),
            pair("SequenceNumber", sequence.to_string()),
        ];
        if sequence == 3 {
            form.push(pair("CallDuration", duration_s.to_string()));
        }
        self.tell(&url, form).await
    }

    /// Tells that the caller's call is over.
    async fn status(&mut self) {
        let url = format!("{}{}", self.twilio.public_url, self.twilio.status_path);
        self.caller = Caller::Gone;
        let form = self.form(&[
            ("CallbackSource", "call-progress-events".to_owned()),
            ("CallDuration", self.talked_s.to_string()),
            ("Timestamp", rfc2822(self.call.now())),
            ("SequenceNumber", "0".to_owned()),
        ]);
        let report = self.tell(&url, form).await;
        self.call.note_over(report);
    }

    async fn tell(&mut self, url: &str, form: Form) -> Report {
        let letter = Letter {
            url: self.twilio.place(&self.call.floor, url),
            header: (SIGNATURE, self.twilio.signature(url, &form)),
            content_type: FORM,
            body: encoded(&form).into(),
            tries: 1,
            is_taken: |status| (200..300).contains(&status),
        };
        self.call.deliver(letter).await
    }
}

/// The call to a target.
struct Leg {
    sid: String,
    address: String,
    callback: Option<String>,
    events: String,
}

impl Leg {
    fn new(call: &Call, target: &Element, attempt: u32) -> Leg {
        // The caller's sid with other last digits.
        let (stem, last) = call.id.split_at(call.id.len() - 2);
        let last = u8::from_str_radix(last, 16).unwrap_or(0).wrapping_add(attempt as u8);
        Leg {
            sid: format!("{stem}{last:02x}"),
            address: target.text.trim().to_owned(),
            callback: target.attribute("statusCallback").map(str::to_owned),
            events: target.attribute("statusCallbackEvent").unwrap_or("completed").to_owned(),
        }
    }

    fn wants(&self, status: &str) -> bool {
        let event = match status {
            "initiated" | "ringing" => status,
            "in-progress" => "answered",
            _ => "completed",
        };
        self.events.split_ascii_whitespace().any(|wanted| wanted == event)
    }

    /// The place of a status among those of a leg.
    fn sequence(status: &str) -> u32 {
        match status {
            "initiated" => 0,
            "ringing" => 1,
            "in-progress" => 2,
            _ => 3,
        }
    }
}
