//! One call of a simulated carrier, from the route request to its last event.
//!
//! The call does as the exchange's answer tells it and as its own draws have it: which attempts are busy, who hangs
//! up and when, and what of its events is lost, doubled or out of order.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Floor, RING_MAX_S, Talk};
use crate::chance::Chance;
use crate::client::{Answer, Fault};
use crate::trace::CALL_TAG;

/// Times an event is sent before it counts as lost.
pub const EVENT_TRIES: u32 = 5;
/// Steps (answers) a carrier follows within one call.
pub const MAX_STEPS: u32 = 8;
/// Pause before an event is sent again the first time, in ms; it doubles each time.
const EVENT_RETRY_MS: u64 = 100;
/// Ring time assumed when an answer states none, in seconds.
const RING_ASSUMED_S: u64 = 20;
/// Targets of one answer that are dialled.
const MAX_TARGETS: usize = 16;

/// The kind of an answer that is not what the carrier contract says.
const BAD_ANSWER: &str = "bad_answer";

/// Counts a call as in progress while it lives, also when it is cut off.
struct Presence {
    floor: Arc<Floor>,
    over: bool,
}

impl Presence {
    fn new(floor: &Arc<Floor>) -> Presence {
        floor.count(|counts| counts.in_progress += 1);
        Presence { floor: floor.clone(), over: false }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let over = self.over;
        self.floor.count(|counts| {
            counts.in_progress -= 1;
            if over { counts.ended += 1 } else { counts.cut_off += 1 }
        });
    }
}

/// The answer, as far as a carrier needs it.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    step: u32,
    action: String,
    #[serde(default)]
    basis: String,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    targets: Vec<Dialled>,
    #[serde(default)]
    max_talk_s: Option<u64>,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    events: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Dialled {
    attempt: u32,
    #[serde(default)]
    ring_s: Option<u64>,
}

impl Dialled {
    /// How long it may ring.
    fn rings_ms(&self) -> u64 {
        1_000 * self.ring_s.unwrap_or(RING_ASSUMED_S).min(RING_MAX_S)
    }
}

/// How an attempt goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Busy,
    NoAnswer,
    /// The caller leaves while it rings.
    Abandoned,
    Answered,
}

/// How the dialling of one answer went.
enum Dialling {
    /// The caller is gone.
    CallerGone { cause: &'static str, ended_by: &'static str },
    /// The caller is still there; what to tell the exchange.
    Over(Vec<Value>),
}

/// One call in progress.
struct Call {
    floor: Arc<Floor>,
    chance: Chance,
    number: u64,
    id: String,
    key: String,
    began: SystemTime,
    /// Uncompressed ms since it began.
    offset_ms: u64,
    events_url: Option<String>,
    event_count: u32,
    /// Events to be sent when the call is over: duplicates.
    afterwards: Vec<(String, Bytes)>,
    bridged: bool,
}

/// Lives one call from arrival to end.
pub(super) async fn live(floor: Arc<Floor>, number: u64, due: Instant) {
    let mut presence = Presence::new(&floor);
    let mut call = Call::new(floor, number);
    if let Some(told) = call.route(due).await {
        call.follow(told).await;
        call.send_afterwards().await;
    }
    presence.over = true;
}

impl Call {
    fn new(floor: Arc<Floor>, number: u64) -> Call {
        let mut chance = Chance::new(floor.plan.seed, &["call", &number.to_string()]);
        let carrier = chance.pick(&floor.plan.carriers).expect("the plan was checked to have a carrier");
        let id = format!("{}-{}-{number}", carrier.id, floor.plan.run);
        let key = carrier.key.clone();
        Call {
            floor,
            chance,
            number,
            id,
            key,
            began: SystemTime::now(),
            offset_ms: 0,
            events_url: None,
            event_count: 0,
            afterwards: Vec::new(),
            bridged: false,
        }
    }

    fn route_body(&mut self) -> Bytes {
        let plan = &self.floor.plan;
        let chance = &mut self.chance;
        let to = chance.pick(&plan.numbers).expect("the plan was checked to have a number");
        let area = chance.pick(&plan.callers).expect("the plan was checked to have a caller area");
        let mut digits = area.prefix.clone();
        if digits.len() == 3 {
            digits.push_str("555");
        }
        while digits.len() < 10 {
            digits.push(char::from(b'0' + chance.between(0, 9) as u8));
        }
        let mut tags = serde_json::Map::new();
        for (key, values) in &plan.tags {
            if let Some(value) = chance.pick(values) {
                tags.insert(key.clone(), value.as_str().into());
            }
        }
        tags.insert(CALL_TAG.to_owned(), self.number.to_string().into());
        let mut body =
            json!({ "carrier_call_id": self.id, "to": to, "at": rfc3339(self.began), "tags": tags });
        if chance.hits(plan.rates.withheld_bps) {
            body["from"] = Value::Null;
            body["withheld"] = true.into();
        } else {
            body["from"] = format!("+1{digits}").into();
        }
        if let Some((state, zip)) = &area.geo {
            body["geo"] = json!({ "state": state, "zip": zip });
        }
        if let Some(sub_id) = chance.pick(&plan.sub_ids) {
            body["sub_id"] = sub_id.as_str().into();
        }
        if plan.test {
            body["test"] = true.into();
        }
        body.to_string().into()
    }

    /// Asks where to send the call. None when there was no valid answer.
    async fn route(&mut self, due: Instant) -> Option<Told> {
        let body = self.route_body();
        let url = format!("{}/v1/route", self.floor.plan.base_url.trim_end_matches('/'));
        let twice = self.chance.hits(self.floor.plan.rates.duplicate_route_bps);
        let at_once = twice && self.chance.hits(5_000);
        self.floor.tally().sent(due.elapsed(), self.floor.second());
        let (answer, twin) = if at_once {
            let (answer, twin) = tokio::join!(self.post(&url, body.clone()), self.post(&url, body));
            (answer, Some(twin))
        } else {
            let answer = self.post(&url, body.clone()).await;
            let told = self.read_first(due, &answer);
            if !twice {
                return told;
            }
            let twin = self.post(&url, body).await;
            self.note_twin(&answer, &twin);
            return told;
        };
        if let Some(twin) = &twin {
            self.note_twin(&answer, twin);
        }
        self.read_first(due, &answer)
    }

    /// Compares two valid answers. A second one that is not valid is counted by its kind.
    fn note_twin(&self, answer: &Result<Answer, Fault>, twin: &Result<Answer, Fault>) {
        self.floor.count(|counts| counts.routes_duplicated += 1);
        let is_valid = self.read(twin).is_some();
        if let (true, Ok(answer), Ok(twin)) = (is_valid, answer, twin)
            && answer.status == 200
            && answer.body != twin.body
        {
            self.floor.count(|counts| counts.routes_differing += 1);
        }
    }

    fn read_first(&self, due: Instant, answer: &Result<Answer, Fault>) -> Option<Told> {
        let told = self.read(answer)?;
        if let Ok(answer) = answer {
            let added = self.floor.trace.added(self.number, answer.at);
            let took = answer.at.saturating_duration_since(due);
            self.floor.tally().answered(&told.action, &told.basis, took, added, self.floor.second());
        }
        Some(told)
    }

    fn read(&self, answer: &Result<Answer, Fault>) -> Option<Told> {
        let told = match answer {
            Ok(answer) if answer.status == 200 => {
                serde_json::from_slice(&answer.body).map_err(|_| BAD_ANSWER)
            }
            Ok(answer) => Err(match answer.status {
                429 => "http_429",
                503 => "http_503",
                400..=499 => "http_4xx",
                500..=599 => "http_5xx",
                _ => "http_other",
            }),
            Err(fault) => Err(fault.label()),
        };
        told.map_err(|kind| self.floor.tally().error(kind)).ok()
    }

    async fn post(&self, url: &str, body: Bytes) -> Result<Answer, Fault> {
        self.floor.client.post(url, Some(&self.key), body).await
    }

    /// Does as told, step by step, until the call is over.
    async fn follow(&mut self, mut told: Told) {
        for _ in 0..MAX_STEPS {
            if told.events.is_some() {
                self.events_url = told.events.take();
            }
            let step = told.step;
            let report = match told.action.as_str() {
                "dial" => match self.dial(&told).await {
                    Dialling::CallerGone { cause, ended_by } => {
                        return self.call_ended(cause, ended_by).await;
                    }
                    // Without a next step the ends of the attempts have said all there is.
                    Dialling::Over(_) if told.next.is_none() => return,
                    Dialling::Over(attempts) => json!({ "result": "attempts_ended", "attempts": attempts }),
                },
                "gather" => {
                    self.pass(3_000).await;
                    json!({ "result": "digits", "attempts": [], "digits": "1" })
                }
                "voicemail" => {
                    let recorded_ms = self.chance.between(5_000, 40_000);
                    self.pass(recorded_ms).await;
                    json!({ "result": "recorded", "attempts": [] })
                }
                "message" => {
                    self.pass(5_000).await;
                    json!({ "result": "played", "attempts": [] })
                }
                "hangup" => return self.call_ended("normal", "exchange").await,
                _ => {
                    self.floor.tally().error(BAD_ANSWER);
                    return self.call_ended("failed", "carrier").await;
                }
            };
            let Some(next) = told.next.take() else { return self.call_ended("normal", "carrier").await };
            match self.ask_next(&next, step, report).await {
                Some(answer) => told = answer,
                None => return self.call_ended("failed", "carrier").await,
            }
        }
        self.call_ended("failed", "carrier").await;
    }

    async fn ask_next(&mut self, url: &str, step: u32, mut report: Value) -> Option<Told> {
        report["step"] = step.into();
        report["at"] = self.at().into();
        self.floor.count(|counts| counts.next_steps += 1);
        let answer = self.post(url, report.to_string().into()).await;
        self.read(&answer)
    }

    async fn dial(&mut self, told: &Told) -> Dialling {
        let targets: Vec<Dialled> = told.targets.iter().take(MAX_TARGETS).cloned().collect();
        let max_talk_s = told.max_talk_s.unwrap_or(u64::MAX);
        if told.mode.as_deref() == Some("all_at_once") && targets.len() > 1 {
            return self.dial_all(&targets, max_talk_s).await;
        }
        let mut attempts = Vec::new();
        for target in &targets {
            self.floor.count(|counts| counts.attempts += 1);
            let rings_ms = target.rings_ms();
            match self.fate() {
                Fate::Busy => {
                    self.pass(400).await;
                    attempts.push(self.failed(target, Fate::Busy).await);
                }
                Fate::NoAnswer => {
                    self.ring(target).await;
                    self.pass(rings_ms).await;
                    attempts.push(self.failed(target, Fate::NoAnswer).await);
                }
                Fate::Abandoned => {
                    self.ring(target).await;
                    let patience_ms = self.chance.between(500, rings_ms.saturating_sub(500));
                    self.pass(patience_ms).await;
                    return self.abandon(&[target]).await;
                }
                Fate::Answered => {
                    self.ring(target).await;
                    let ring_ms = self.ring_ms(rings_ms);
                    self.pass(ring_ms).await;
                    return self.talk(target, max_talk_s, attempts).await;
                }
            }
        }
        Dialling::Over(attempts)
    }

    /// Rings everybody; the one that would pick up first gets the call, the others are cancelled.
    async fn dial_all(&mut self, targets: &[Dialled], max_talk_s: u64) -> Dialling {
        let mut attempts = Vec::new();
        let mut fates: Vec<(u64, Fate, &Dialled)> = Vec::new();
        for target in targets {
            self.floor.count(|counts| counts.attempts += 1);
            let rings_ms = target.rings_ms();
            let fate = self.fate();
            let at_ms = match fate {
                Fate::Busy => 0,
                Fate::NoAnswer => rings_ms,
                Fate::Abandoned => self.chance.between(500, rings_ms.saturating_sub(500)),
                Fate::Answered => self.ring_ms(rings_ms),
            };
            if fate != Fate::Busy {
                self.ring(target).await;
            }
            fates.push((at_ms, fate, target));
        }
        fates.sort_by_key(|(at_ms, _, _)| *at_ms);
        let mut passed_ms = 0;
        for (index, (at_ms, fate, target)) in fates.iter().enumerate() {
            self.pass(at_ms - passed_ms).await;
            passed_ms = *at_ms;
            match fate {
                Fate::Busy | Fate::NoAnswer => attempts.push(self.failed(target, *fate).await),
                Fate::Abandoned => {
                    let left: Vec<&Dialled> = fates[index..].iter().map(|(_, _, target)| *target).collect();
                    return self.abandon(&left).await;
                }
                Fate::Answered => {
                    for (_, _, other) in &fates[index + 1..] {
                        attempts.push(self.attempt_ended(other, "cancelled", "carrier", None, None).await);
                    }
                    return self.talk(target, max_talk_s, attempts).await;
                }
            }
        }
        Dialling::Over(attempts)
    }

    fn fate(&mut self) -> Fate {
        let rates = self.floor.plan.rates;
        if self.chance.hits(rates.busy_bps) {
            Fate::Busy
        } else if self.chance.hits(rates.no_answer_bps) {
            Fate::NoAnswer
        } else if self.chance.hits(rates.abandon_bps) {
            Fate::Abandoned
        } else {
            Fate::Answered
        }
    }

    /// When an answering target answers: at least a millisecond before its ring time is up.
    fn ring_ms(&mut self, rings_ms: u64) -> u64 {
        let (low, high) = self.floor.plan.ring_s;
        self.chance.between(low * 1_000, high * 1_000).min(rings_ms.saturating_sub(1))
    }

    async fn ring(&mut self, target: &Dialled) {
        let setup_ms = self.chance.between(200, 900);
        self.pass(setup_ms).await;
        self.event("ringing", Some(target.attempt), json!({})).await;
    }

    /// The caller leaves while these ring.
    async fn abandon(&mut self, ringing: &[&Dialled]) -> Dialling {
        self.floor.count(|counts| counts.abandoned += 1);
        for target in ringing {
            self.attempt_ended(target, "cancelled", "caller", None, None).await;
        }
        Dialling::CallerGone { cause: "cancelled", ended_by: "caller" }
    }

    /// The attempt failed before anybody answered.
    async fn failed(&mut self, target: &Dialled, fate: Fate) -> Value {
        let busy = fate == Fate::Busy;
        self.floor.count(|counts| if busy { counts.busy += 1 } else { counts.no_answer += 1 });
        let (cause, ended_by, sip_code) =
            if busy { ("busy", "target", 486) } else { ("no_answer", "carrier", 487) };
        self.attempt_ended(target, cause, ended_by, Some(sip_code), None).await
    }

    /// Answered, bridged, talked, ended.
    async fn talk(&mut self, target: &Dialled, max_talk_s: u64, mut attempts: Vec<Value>) -> Dialling {
        let rates = self.floor.plan.rates;
        let answered = self.make_event("answered", Some(target.attempt), json!({}));
        let reorder = self.chance.hits(rates.reorder_bps);
        let mut held_back = None;
        if reorder {
            self.floor.count(|counts| counts.events_reordered += 1);
            held_back = Some(answered);
        } else {
            self.deliver(answered).await;
        }
        let whisper_ms = self.chance.between(0, 1_500);
        self.pass(whisper_ms).await;
        if !self.bridged {
            self.bridged = true;
            self.floor.count(|counts| counts.bridged += 1);
        }
        self.event("bridged", Some(target.attempt), json!({})).await;
        let Talk { median_s, sigma, cap_s } = self.floor.plan.talk;
        let wished_ms = (self.chance.lognormal(median_s, sigma).clamp(0.001, cap_s as f64) * 1_000.0) as u64;
        let talk_ms = wished_ms.min(max_talk_s.saturating_mul(1_000));
        self.pass(talk_ms).await;
        let ended_by = if talk_ms < wished_ms {
            "carrier"
        } else if self.chance.hits(rates.target_ends_bps) {
            "target"
        } else {
            "caller"
        };
        attempts.push(self.attempt_ended(target, "normal", ended_by, None, Some(talk_ms)).await);
        if let Some(answered) = held_back {
            self.deliver(answered).await;
        }
        if ended_by == "caller" {
            return Dialling::CallerGone { cause: "normal", ended_by };
        }
        Dialling::Over(attempts)
    }

    /// Sends `ended` for an attempt; gives what the next request says of it.
    async fn attempt_ended(
        &mut self,
        target: &Dialled,
        cause: &str,
        ended_by: &str,
        sip_code: Option<u16>,
        talk_ms: Option<u64>,
    ) -> Value {
        let mut more = json!({ "cause": cause, "ended_by": ended_by });
        if let Some(code) = sip_code {
            more["sip_code"] = code.into();
        }
        if let Some(talk_ms) = talk_ms
            && !self.chance.hits(self.floor.plan.rates.omit_talk_bps)
        {
            more["talk_ms"] = talk_ms.into();
        }
        self.event("ended", Some(target.attempt), more).await;
        json!({
            "attempt": target.attempt, "cause": cause, "ended_by": ended_by, "talk_ms": talk_ms.unwrap_or(0),
        })
    }

    async fn call_ended(&mut self, cause: &str, ended_by: &str) {
        self.event("call_ended", None, json!({ "cause": cause, "ended_by": ended_by })).await;
    }

    async fn event(&mut self, kind: &str, attempt: Option<u32>, more: Value) {
        let event = self.make_event(kind, attempt, more);
        self.deliver(event).await;
    }

    fn make_event(&mut self, kind: &str, attempt: Option<u32>, more: Value) -> Bytes {
        self.event_count += 1;
        let mut event = more;
        event["event_id"] = format!("{}-{}", self.id, self.event_count).into();
        event["type"] = kind.into();
        event["at"] = self.at().into();
        if let Some(attempt) = attempt {
            event["attempt"] = attempt.into();
            event["carrier_leg_id"] = format!("{}-leg{attempt}", self.id).into();
        }
        event.to_string().into()
    }

    async fn deliver(&mut self, event: Bytes) {
        let Some(url) = self.events_url.clone() else { return };
        let rates = self.floor.plan.rates;
        if self.chance.hits(rates.lose_event_bps) {
            self.floor.count(|counts| counts.events_dropped += 1);
            return;
        }
        if self.send_event(&url, &event).await {
            self.floor.count(|counts| counts.events += 1);
        }
        if !self.chance.hits(rates.duplicate_event_bps) {
            return;
        }
        if self.chance.hits(5_000) {
            self.send_duplicate(&url, &event).await;
        } else {
            self.afterwards.push((url, event));
        }
    }

    async fn send_afterwards(&mut self) {
        for (url, event) in std::mem::take(&mut self.afterwards) {
            self.send_duplicate(&url, &event).await;
        }
    }

    async fn send_duplicate(&self, url: &str, event: &Bytes) {
        self.floor.count(|counts| counts.events_duplicated += 1);
        self.send_event(url, event).await;
    }

    /// Sends until acknowledged, a bounded number of times.
    async fn send_event(&self, url: &str, event: &Bytes) -> bool {
        for tries in 0..EVENT_TRIES {
            if tries > 0 {
                self.floor.count(|counts| counts.event_retries += 1);
                tokio::time::sleep(Duration::from_millis(EVENT_RETRY_MS << (tries - 1))).await;
            }
            match self.post(url, event.clone()).await {
                Ok(answer) if answer.status == 200 => return true,
                Ok(answer) if (400..500).contains(&answer.status) && answer.status != 429 => break,
                Ok(_) | Err(_) => {}
            }
        }
        self.floor.count(|counts| counts.events_refused += 1);
        false
    }

    /// Lets this much of the call's life pass.
    async fn pass(&mut self, ms: u64) {
        self.offset_ms += ms;
        let wait = Duration::from_millis(ms).div_f64(self.floor.plan.time_scale);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// The call's own time, uncompressed.
    fn at(&self) -> String {
        rfc3339(self.began + Duration::from_millis(self.offset_ms))
    }
}

/// UTC with milliseconds, as in `2026-11-20T09:00:00.000Z`.
fn rfc3339(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, ms) = (since_epoch.as_secs(), since_epoch.subsec_millis());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970-01-01, after Howard Hinnant's `civil_from_days`.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc3339() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (1_795_165_200_007, "2026-11-20T09:00:00.007Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(unix_ms)), expected);
        }
    }
}
