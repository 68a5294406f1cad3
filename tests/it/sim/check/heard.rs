//! What carriers do and hear, and what buyers see and say.

use std::time::Duration;

use bytes::Bytes;

use super::rest::SWEPT;
use super::{Check, Promise, Said, Seen, Sent};
use crate::sim::market::CARRIERS;
use crate::sim::world::CallPlan;

/// A goodbye is said once its rows are on disk.
const COMMIT: Duration = Duration::from_secs(5);

impl Check {
    /// A request for a call is on its way; its last byte leaves now.
    pub fn asked(&mut self, plan: &CallPlan) {
        self.counts.requests += 1;
        let now = self.clock.now();
        self.known(plan.n).asked.get_or_insert(now);
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
        self.heard(plan, 1, body);
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
            known.closes.entry(step + 1).or_insert(closes);
        }
    }

    /// A carrier heard this about its next step.
    pub fn answered_on(&mut self, plan: &CallPlan, step: u32, status: u16, body: &Bytes, took: Duration) {
        let n = plan.n;
        self.note(|| format!("step {n} {step} {status} {}", String::from_utf8_lossy(body)));
        match status {
            200 => {
                let most = Duration::from_millis(CARRIERS[plan.carrier].2) + COMMIT;
                self.must(took <= most, Promise::Answered, || {
                    format!("step {step} of call {n} waited {} ms", took.as_millis())
                });
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
        let now = self.clock.now();
        let keep_ended = self.keep_ended;
        let known = self.known(n);
        let (is_written, over) =
            (known.events.contains(event_id), known.ends.last().map(|end| end.end.ended_at));
        let what = || format!("event {event_id} of call {n} heard {status}");
        match status {
            200 => self.must(is_written, Promise::Durable, what),
            404 => self.must(
                over.is_some_and(|over| over.after(keep_ended) <= now.after(SWEPT)),
                Promise::Durable,
                what,
            ),
            503 => self.counts.not_durable += 1,
            _ => self.must(false, Promise::Durable, what),
        }
    }

    /// Something that must be refused was answered so.
    pub fn refused(&mut self, what: &str, status: u16, expected: u16) {
        self.note(|| format!("refused {what} {status}"));
        self.must(status == expected || status == 404, Promise::Durable, || {
            format!("{what} heard {status} instead of {expected}")
        });
    }

    /// A ping was read to its end.
    pub fn pinged(&mut self, seen: Seen, disclosed: bool) {
        let n = seen.n;
        self.note(|| format!("ping {n} {} {} {}", seen.target, seen.ping, seen.deadline_ms));
        self.counts.pings += 1;
        self.must(!disclosed, Promise::Privacy, || format!("{} saw the caller of call {n}", seen.target));
        let known = self.known(n);
        let again = known.pings.iter().any(|other| other.ping == seen.ping && !other.is_void);
        known.pings.push(seen.clone());
        self.by_ping.insert(seen.ping.clone(), n);
        self.must(!again, Promise::OneOutcome, || format!("ping {} of call {n} came twice", seen.ping));
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
