//! What carriers do and hear, and what buyers see and say.

use std::time::Duration;

use bytes::Bytes;
use outcry::domain::Timestamp;
use serde_json::{Value, json};

use super::rest::SWEPT;
use super::{Check, Promise, SLACK, Said, Seen, Sent, Window};
use crate::sim::carriers::twilio::attribute;
use crate::sim::market::{CARRIERS, TWILIO};
use crate::sim::world::CallPlan;

/// A goodbye is said once its rows are on disk.
const COMMIT: Duration = Duration::from_secs(5);

impl Check {
    /// A request for a call is on its way; its last byte leaves now.
    pub fn asked(&mut self, plan: &CallPlan) {
        self.counts.requests += 1;
        self.known(plan.n);
    }

    /// A carrier heard this, so many milliseconds after its request.
    pub fn answered(&mut self, plan: &CallPlan, status: u16, body: &Bytes, took: Duration) {
        let n = plan.n;
        self.note(|| format!("answer {n} {status} {}", String::from_utf8_lossy(body)));
        self.counts.bytes += body.len() as u64;
        self.must(status == 200, Promise::Answered, || format!("call {n} heard {status}"));
        let ceiling = Duration::from_millis(CARRIERS[plan.carrier].2);
        self.must(took <= ceiling, Promise::Answered, || {
            format!("call {n} waited {} ms of {} ms", took.as_millis(), ceiling.as_millis())
        });
        let at = self.clock.now();
        match self.known(n).decided {
            Some(_) => self.in_time(n, 1, (at, took), Duration::ZERO),
            // An answer leaves before its records, which say when its auctions closed.
            None => self.known(n).unjudged.push((at, took)),
        }
        self.heard(plan, 1, body);
    }

    /// Who hears an answer, at such a time and so long after its request, hears it by the close of its auctions, or at once;
    /// `for_disk` later what the disk goes before.
    pub(super) fn in_time(
        &mut self,
        n: u32,
        step: u32,
        (at, took): (Timestamp, Duration),
        for_disk: Duration,
    ) {
        let at_once = at.before(took).after(for_disk);
        let closes = self.known(n).windows.get(&step).map_or(at_once, |window| window.closes);
        self.must(at <= closes.max(at_once).after(SLACK), Promise::InTime, || {
            format!("step {step} of call {n} was heard {} ms after its close", at.since(closes).as_millis())
        });
    }

    /// The answer of a step: the same bytes every time.
    fn heard(&mut self, plan: &CallPlan, step: u32, body: &Bytes) {
        let n = plan.n;
        match self.known(n).answers.get(&step).cloned() {
            None => {
                self.known(n).answers.insert(step, body.clone());
                self.agree(plan, step);
            }
            Some(first) => self.must(first == *body, Promise::SameBytes, || {
                format!("step {step} of call {n} heard {first:?} and then {body:?}")
            }),
        }
    }

    /// A carrier asks for the step after this one; what it tells of the attempts is registered with `sends`.
    pub fn asks_on(&mut self, plan: &CallPlan, step: u32) {
        self.counts.requests += 1;
        let now = self.clock.now();
        let catalog = self.current.clone().expect("a catalog is in force");
        let line = catalog.numbers.iter().find(|line| line.number.reveal() == plan.to);
        let known = self.known(plan.n);
        known.steps = known.steps.max(step);
        if let Some(line) = line {
            let ceiling = Duration::from_millis(CARRIERS[plan.carrier].2 - 100);
            let closes = now.after(catalog.campaign(line.campaign).deadline.min(ceiling));
            known.windows.entry(step + 1).or_insert(Window { arrived: now, closes });
        }
    }

    /// A carrier heard this about its next step.
    pub fn answered_on(&mut self, plan: &CallPlan, step: u32, status: u16, body: &Bytes, took: Duration) {
        let n = plan.n;
        self.note(|| format!("step {n} {step} {status} {}", String::from_utf8_lossy(body)));
        match status {
            200 => {
                let value = read(plan, body);
                // A plan's own hangup waits for the disk only where it is heard again.
                let is_again = self.known(n).answers.contains_key(&step);
                let says_so = is_again || value["hangup"]["cause"] == "normal" || plan.carrier == TWILIO;
                let is_goodbye = value["action"] == "hangup" && says_so;
                let heard = (self.clock.now(), took);
                self.in_time(n, step, heard, if is_goodbye { COMMIT } else { Duration::ZERO });
                self.heard(plan, step, body);
            }
            _ => self.acknowledged(n, "next", status),
        }
    }

    /// A carrier is about to send an event, perhaps not for the first time.
    pub fn sends(&mut self, event_id: &str, sent: Sent) {
        self.counts.bytes += 150;
        self.sent.entry((sent.n, event_id.to_owned())).or_insert(sent);
    }

    /// A carrier heard this about its event; whether it may try again is its business.
    pub fn acknowledged(&mut self, n: u32, event_id: &str, status: u16) {
        self.note(|| format!("event {event_id} {status}"));
        self.counts.not_durable += u64::from(status == 503);
        let holds = match status {
            200 => self.known(n).on_disk.contains(event_id),
            404 => self.may_be_forgotten(n),
            503 => self.clock.now() <= self.stuck_until.after(SWEPT),
            _ => false,
        };
        self.must(holds, Promise::Durable, || format!("event {event_id} of call {n} heard {status}"));
    }

    /// Something that must be refused was answered so: a 404 is for wrong tokens and for calls that are forgotten.
    pub fn refused(&mut self, n: u32, what: &str, status: u16, expected: u16) {
        self.note(|| format!("refused {what} {status}"));
        let holds = status == expected || status == 404 && self.may_be_forgotten(n);
        self.must(holds, Promise::Durable, || {
            format!("{what} about call {n} heard {status} instead of {expected}")
        });
    }

    /// A call is kept for a while after its last end, and as long as news of a lost end may come.
    fn may_be_forgotten(&mut self, n: u32) -> bool {
        let (now, keep_ended) = (self.clock.now(), self.keep_ended);
        let known = self.known(n);
        let is_kept = known.ends.last().is_none_or(|end| end.end.ended_at.after(keep_ended) > now);
        let has_news = known.legs.values().any(|leg| leg.expired && !leg.settled && leg.news_until > now);
        !is_kept && !has_news
    }

    /// A ping was read to its end.
    pub fn pinged(&mut self, seen: Seen, disclosed: bool) {
        let n = seen.n;
        self.note(|| format!("ping {n} {} {} {}", seen.target, seen.ping, seen.deadline_ms));
        self.counts.pings += 1;
        self.must(!disclosed, Promise::Privacy, || format!("{} saw the caller of call {n}", seen.target));
        let known = self.known(n);
        let again = known.pings.iter().any(|other| other.ping == seen.ping && !other.is_void);
        let ping = seen.ping.clone();
        known.pings.push(seen);
        self.must(!again, Promise::OneOutcome, || format!("ping {ping} of call {n} came twice"));
    }

    /// The buyer gave no byte of an answer: the same ping may come on another connection.
    pub fn void(&mut self, n: u32, ping: &str) {
        for seen in self.known(n).pings.iter_mut().filter(|seen| seen.ping == ping) {
            seen.is_void = true;
        }
    }

    /// A reply's last byte was written.
    pub fn said(&mut self, said: Said) {
        let n = said.n;
        self.note(|| format!("reply {n} {} {:?}", said.target, said.bid));
        self.known(n).said.push(said);
    }
}

/// What an answer says, in the words of the generic API; of a document only what it is about and who is rung how.
pub(super) fn read(plan: &CallPlan, body: &Bytes) -> Value {
    if plan.carrier != TWILIO {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let document = String::from_utf8_lossy(body);
    let about = |name| attribute(&document, name).and_then(|url| url.split('?').next()).unwrap_or("");
    let number = |url: &str| url.split('?').next()?.rsplit('/').next()?.parse::<u32>().ok();
    // Twilio rings five seconds longer than it is told to, and is told five at least.
    let ring_s = attribute(&document, "timeout").and_then(|s| s.parse::<u64>().ok()).unwrap_or(0) + 5;
    let one = |noun: &str| {
        let attempt = attribute(noun, "statusCallback").and_then(number)?;
        let address = noun.split_once("\">").and_then(|(_, rest)| rest.split('<').next())?;
        let screen = attribute(noun, " url").map(|_| json!({"digits": "1"}));
        Some(json!({"attempt": attempt, "address": address, "ring_s": ring_s, "screen": screen}))
    };
    let targets: Vec<Value> = document.split("<Number").skip(1).filter_map(one).collect();
    let Some(step) = number(about("action")).filter(|_| !targets.is_empty()) else {
        return json!({"action": "hangup"});
    };
    let call = about("action").rsplit('/').nth(1).unwrap_or("");
    json!({"call_id": call, "step": step, "action": "dial", "targets": targets})
}
