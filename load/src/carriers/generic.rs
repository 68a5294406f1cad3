//! A call in the generic carrier JSON, from the route request to its last event.
//!
//! The call does as the exchange's answer tells it and as its own draws have it: which attempts are busy, who hangs
//! up and when, and what of its events is lost, doubled or out of order.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{BAD_ANSWER, Question, Verdict, VerdictTarget, status_kind};
use super::call::{Call, EVENT_TRIES, Fate, Letter, MAX_STEPS};
use super::plan::RING_MAX_S;
use super::text::{push_json, push_member};
use crate::client::{Answer, JSON};
use crate::sent::{End, Report};
use crate::trace::CALL_TAG;

/// Ring time assumed when an answer states none, in seconds.
const RING_ASSUMED_S: u64 = 20;
/// Targets of one answer that are dialled.
const MAX_TARGETS: usize = 16;
/// Room for a route request without a pause to find more.
const ROUTE_BYTES: usize = 512;

/// The answer, as far as a carrier needs it. Borrows from the body where it can.
#[derive(Debug, Deserialize)]
struct Told<'a> {
    #[serde(borrow, default)]
    call_id: Text<'a>,
    #[serde(default)]
    step: u32,
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow, default)]
    basis: Text<'a>,
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    mode: Option<Text<'a>>,
    #[serde(borrow, default)]
    targets: Vec<Dialled<'a>>,
    #[serde(default)]
    max_talk_s: Option<u64>,
    #[serde(borrow, default)]
    next: Option<Text<'a>>,
    #[serde(borrow, default)]
    events: Option<Text<'a>>,
}

/// A text that is copied only if it is escaped; `Option` would copy a bare `Cow` always.
#[derive(Clone, Debug, Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Clone, Debug, Deserialize)]
struct Dialled<'a> {
    attempt: u32,
    #[serde(borrow, default)]
    address: Text<'a>,
    #[serde(default)]
    ring_s: Option<u64>,
}

impl Dialled<'_> {
    /// How long it may ring.
    fn rings_ms(&self) -> u64 {
        1_000 * self.ring_s.unwrap_or(RING_ASSUMED_S).min(RING_MAX_S)
    }
}

fn read(answer: &Answer) -> Result<Verdict<'_>, &'static str> {
    if answer.status != 200 {
        return Err(status_kind(answer.status));
    }
    let told: Told<'_> = serde_json::from_slice(&answer.body).map_err(|_| BAD_ANSWER)?;
    let targets = told.targets.into_iter().map(|target| VerdictTarget {
        attempt: target.attempt,
        address: target.address.0,
        ring_s: target.ring_s,
    });
    Ok(Verdict {
        step: told.step,
        call_id: Some(told.call_id.0).filter(|id| !id.is_empty()),
        action: told.action.0,
        basis: told.basis.0,
        reason: told.reason.unwrap_or_default().0,
        targets: targets.collect(),
    })
}

/// How the dialling of one answer went.
enum Dialling {
    /// The caller is gone.
    CallerGone { cause: &'static str, ended_by: &'static str },
    /// The caller is still there; what to tell the exchange.
    Over(Vec<Value>),
}

/// How an attempt ended.
struct Ended {
    attempt: u32,
    cause: &'static str,
    ended_by: &'static str,
    sip_code: Option<u16>,
    talked_ms: Option<u64>,
    answered: Option<Report>,
    bridged: Option<Report>,
}

impl Ended {
    /// Before anybody answered.
    fn unanswered(target: &Dialled<'_>, cause: &'static str, ended_by: &'static str) -> Ended {
        let (attempt, answered, bridged) = (target.attempt, None, None);
        Ended { attempt, cause, ended_by, sip_code: None, talked_ms: None, answered, bridged }
    }
}

/// A call and what its dialect remembers of it.
struct Life<'c> {
    call: &'c mut Call,
    events_url: Option<String>,
    event_count: u32,
}

/// Lives one call from arrival to end.
pub(super) async fn live(call: &mut Call, due: Instant) {
    let floor = call.floor.clone();
    let body = route_body(call);
    let headers = [("authorization", floor.bearers[call.carrier].as_str())];
    let question =
        Question { url: &floor.route_url, headers: &headers, content_type: JSON, body: body.as_bytes() };
    let first = call.ask_first(due, &question, read).await;
    if let Some(answer) = first.filter(|_| floor.plan.lives) {
        // Apart from the call's own future: that is moved when it is spawned, and most calls of a load test have no life.
        Box::pin(Life { call, events_url: None, event_count: 0 }.follow(answer)).await;
    }
}

/// The route request, written by hand: it is sent thousands of times a second.
fn route_body(call: &mut Call) -> String {
    let floor = call.floor.clone();
    let caller = call.caller(&floor);
    let mut body = String::with_capacity(ROUTE_BYTES);
    body.push('{');
    push_member(&mut body, "carrier_call_id", &call.id);
    push_member(&mut body, "to", caller.to);
    push_member(&mut body, "at", &call.at());
    // Writing into a `String` cannot fail.
    let _ = match caller.is_withheld {
        true => write!(body, r#","from":null,"withheld":true"#),
        false => write!(body, r#","from":"+1{}""#, caller.digits),
    };
    body.push_str(r#","tags":{"#);
    for (key, value) in &caller.tags {
        push_member(&mut body, key, value);
    }
    push_member(&mut body, CALL_TAG, &call.number.to_string());
    body.push('}');
    if let Some((state, zip)) = &caller.area.geo {
        body.push_str(r#","geo":{"#);
        push_member(&mut body, "state", state);
        push_member(&mut body, "zip", zip);
        body.push('}');
    }
    if let Some(sub_id) = caller.sub_id {
        body.push_str(r#","sub_id":"#);
        push_json(&mut body, sub_id);
    }
    if let Some(attest) = caller.attest {
        body.push_str(r#","stir":{"#);
        push_member(&mut body, "attest", attest);
        body.push('}');
    }
    if floor.plan.test {
        body.push_str(r#","test":true"#);
    }
    body.push('}');
    body
}

impl Life<'_> {
    /// Does as told, step by step, until the call is over.
    async fn follow(&mut self, mut answer: Answer) {
        for _ in 0..MAX_STEPS {
            // It was read before, so it can be read.
            let Ok(told) = serde_json::from_slice::<Told<'_>>(&answer.body) else { return };
            if let Some(events) = &told.events {
                self.events_url = Some(events.0.to_string());
            }
            let report = match told.action.0.as_ref() {
                "dial" => match self.dial(&told).await {
                    Dialling::CallerGone { cause, ended_by } => {
                        return self.call_ended(cause, ended_by).await;
                    }
                    // Without a next step the ends of the attempts have said all there is.
                    Dialling::Over(_) if told.next.is_none() => return,
                    Dialling::Over(attempts) => json!({ "result": "attempts_ended", "attempts": attempts }),
                },
                "gather" => {
                    self.call.pass(3_000).await;
                    json!({ "result": "digits", "attempts": [], "digits": "1" })
                }
                "voicemail" => {
                    let recorded_ms = self.call.chance.between(5_000, 40_000);
                    self.call.pass(recorded_ms).await;
                    json!({ "result": "recorded", "attempts": [] })
                }
                "message" => {
                    self.call.pass(5_000).await;
                    json!({ "result": "played", "attempts": [] })
                }
                "hangup" => return self.call_ended("normal", "exchange").await,
                _ => {
                    self.call.floor.tally().error(BAD_ANSWER);
                    return self.call_ended("failed", "carrier").await;
                }
            };
            let Some(next) = &told.next else { return self.call_ended("normal", "carrier").await };
            match self.ask_next(&next.0, told.step, report).await {
                Some(further) => answer = further,
                None => return self.call_ended("failed", "carrier").await,
            }
        }
        self.call_ended("failed", "carrier").await;
    }

    async fn ask_next(&mut self, url: &str, step: u32, mut report: Value) -> Option<Answer> {
        report["step"] = step.into();
        report["at"] = self.call.at().into();
        let floor = self.call.floor.clone();
        let headers = [("authorization", floor.bearers[self.call.carrier].as_str())];
        let body = report.to_string();
        let question = Question { url, headers: &headers, content_type: JSON, body: body.as_bytes() };
        self.call.ask_on(&question, read, floor.plan.rates.duplicate_route_bps).await
    }

    async fn dial(&mut self, told: &Told<'_>) -> Dialling {
        let targets = &told.targets[..told.targets.len().min(MAX_TARGETS)];
        let max_talk_s = told.max_talk_s.unwrap_or(u64::MAX);
        if told.mode.as_ref().is_some_and(|mode| mode.0 == "all_at_once") && targets.len() > 1 {
            return self.dial_all(targets, max_talk_s).await;
        }
        let mut attempts = Vec::new();
        for target in targets {
            let rings_ms = target.rings_ms();
            match self.call.fate() {
                Fate::Busy => {
                    self.call.pass(400).await;
                    attempts.push(self.failed(target, Fate::Busy).await);
                }
                Fate::NoAnswer => {
                    self.ring(target).await;
                    self.call.pass(rings_ms).await;
                    attempts.push(self.failed(target, Fate::NoAnswer).await);
                }
                Fate::Abandoned => {
                    self.ring(target).await;
                    let patience_ms = self.call.patience_ms(rings_ms);
                    self.call.pass(patience_ms).await;
                    return self.abandon(&[target]).await;
                }
                Fate::Answered => {
                    self.ring(target).await;
                    let ring_ms = self.call.ring_ms(rings_ms);
                    self.call.pass(ring_ms).await;
                    return self.talk(target, max_talk_s, attempts).await;
                }
            }
        }
        Dialling::Over(attempts)
    }

    /// Rings everybody; the one that would pick up first gets the call, the others are cancelled.
    async fn dial_all(&mut self, targets: &[Dialled<'_>], max_talk_s: u64) -> Dialling {
        let mut attempts = Vec::new();
        let mut fates = Vec::new();
        for target in targets {
            let rings_ms = target.rings_ms();
            let fate = self.call.fate();
            let at_ms = match fate {
                Fate::Busy => 0,
                Fate::NoAnswer => rings_ms,
                Fate::Abandoned => self.call.patience_ms(rings_ms),
                Fate::Answered => self.call.ring_ms(rings_ms),
            };
            if fate != Fate::Busy {
                self.ring(target).await;
            }
            fates.push((at_ms, fate, target));
        }
        fates.sort_by_key(|(at_ms, _, _)| *at_ms);
        let mut passed_ms = 0;
        for (index, (at_ms, fate, target)) in fates.iter().enumerate() {
            self.call.pass(at_ms - passed_ms).await;
            passed_ms = *at_ms;
            match fate {
                Fate::Busy | Fate::NoAnswer => attempts.push(self.failed(target, *fate).await),
                Fate::Abandoned => {
                    let left: Vec<&Dialled<'_>> =
                        fates[index..].iter().map(|(_, _, target)| *target).collect();
                    return self.abandon(&left).await;
                }
                Fate::Answered => {
                    for (_, _, other) in &fates[index + 1..] {
                        let cancelled = Ended::unanswered(other, "cancelled", "carrier");
                        attempts.push(self.attempt_ended(cancelled).await);
                    }
                    return self.talk(target, max_talk_s, attempts).await;
                }
            }
        }
        Dialling::Over(attempts)
    }

    async fn ring(&mut self, target: &Dialled<'_>) {
        let setup_ms = self.call.setup_ms();
        self.call.pass(setup_ms).await;
        self.event("ringing", Some(target.attempt), json!({})).await;
    }

    /// The caller leaves while these ring.
    async fn abandon(&mut self, ringing: &[&Dialled<'_>]) -> Dialling {
        self.call.floor.count(|counts| counts.abandoned += 1);
        for target in ringing {
            self.attempt_ended(Ended::unanswered(target, "cancelled", "caller")).await;
        }
        Dialling::CallerGone { cause: "cancelled", ended_by: "caller" }
    }

    /// The attempt failed before anybody answered.
    async fn failed(&mut self, target: &Dialled<'_>, fate: Fate) -> Value {
        let (cause, ended_by, sip_code) = self.call.count_failed(fate == Fate::Busy);
        let ended = Ended::unanswered(target, cause, ended_by);
        self.attempt_ended(Ended { sip_code: Some(sip_code), ..ended }).await
    }

    /// Answered, bridged, talked, ended.
    async fn talk(&mut self, target: &Dialled<'_>, max_talk_s: u64, mut attempts: Vec<Value>) -> Dialling {
        let answered = self.make_event("answered", Some(target.attempt), json!({}));
        let (answered, held_back) = match self.call.reorders() {
            true => (Report::Unsent, Some(answered)),
            false => (self.deliver(answered).await, None),
        };
        let whisper_ms = self.call.chance.between(0, 1_500);
        self.call.pass(whisper_ms).await;
        self.call.count_bridged();
        let bridged = self.event("bridged", Some(target.attempt), json!({})).await;
        let (talk_ms, ended_by) = self.call.talk(max_talk_s);
        self.call.pass(talk_ms).await;
        let ended = Ended {
            talked_ms: Some(talk_ms),
            answered: Some(answered),
            bridged: Some(bridged),
            ..Ended::unanswered(target, "normal", ended_by)
        };
        attempts.push(self.attempt_ended(ended).await);
        if let Some(answered) = held_back {
            let report = self.deliver(answered).await;
            self.call.amend_end(|end| end.answered = Some(report));
        }
        if ended_by == "caller" {
            return Dialling::CallerGone { cause: "normal", ended_by };
        }
        Dialling::Over(attempts)
    }

    /// Sends `ended` for an attempt; gives what the next request says of it.
    async fn attempt_ended(&mut self, ended: Ended) -> Value {
        let Ended { attempt, cause, ended_by, sip_code, talked_ms, answered, bridged } = ended;
        let mut more = json!({ "cause": cause, "ended_by": ended_by });
        if let Some(code) = sip_code {
            more["sip_code"] = code.into();
        }
        let omits = talked_ms.is_some() && self.call.chance.hits(self.call.floor.plan.rates.omit_talk_bps);
        let talk_ms = talked_ms.filter(|_| !omits);
        if let Some(talk_ms) = talk_ms {
            more["talk_ms"] = talk_ms.into();
        }
        let told = self.call.now_us();
        let reported = self.event("ended", Some(attempt), more).await;
        let taken = self.call.now_us();
        let talked_ms = talked_ms.unwrap_or(0);
        self.call.note_end(End {
            attempt,
            cause: cause.into(),
            ended_by: ended_by.into(),
            talked_ms,
            talk_ms,
            answered,
            bridged,
            ended: reported,
            asked_on: Report::Unsent,
            told_us: Some(told).filter(|_| matches!(reported, Report::Acknowledged | Report::Refused)),
            taken_us: Some(taken).filter(|_| reported == Report::Acknowledged),
        });
        json!({ "attempt": attempt, "cause": cause, "ended_by": ended_by, "talk_ms": talked_ms })
    }

    async fn call_ended(&mut self, cause: &str, ended_by: &str) {
        let more = json!({ "cause": cause, "ended_by": ended_by });
        let report = self.event("call_ended", None, more).await;
        self.call.note_over(report);
    }

    async fn event(&mut self, kind: &str, attempt: Option<u32>, more: Value) -> Report {
        let event = self.make_event(kind, attempt, more);
        self.deliver(event).await
    }

    fn make_event(&mut self, kind: &str, attempt: Option<u32>, more: Value) -> String {
        self.event_count += 1;
        let id = &self.call.id;
        let mut event = more;
        event["event_id"] = format!("{id}-{}", self.event_count).into();
        event["type"] = kind.into();
        event["at"] = self.call.at().into();
        if let Some(attempt) = attempt {
            event["attempt"] = attempt.into();
            event["carrier_leg_id"] = format!("{id}-leg{attempt}").into();
        }
        event.to_string()
    }

    async fn deliver(&mut self, event: String) -> Report {
        let Some(url) = self.events_url.clone() else { return Report::Unsent };
        let bearer = self.call.floor.bearers[self.call.carrier].clone();
        let letter = Letter {
            url,
            header: ("authorization", bearer),
            content_type: JSON,
            body: event.into(),
            tries: EVENT_TRIES,
            is_taken: |status| status == 200,
        };
        self.call.deliver(letter).await
    }
}
