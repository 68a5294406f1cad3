//! The life of a call after its decision: a state machine over events in any order and any number of times.
//!
//! Facts are joined, not replayed: of each attempt the machine keeps the earliest ringing, answered and bridged, and one
//! end, so that duplicates and any order lead to the same result. It decides *when* an end is known well enough to be
//! judged; what it is worth is judged in `billing`, and what is done about it in `exchange`.

pub mod event;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::{AttemptEnd, Cause, EndedBy, TalkSource, Timestamp};
use event::{CallEvent, Effect, EventKind};

/// How long the machine waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For reports that may still explain an end without a talk time.
    pub late_events: Duration,
    /// For an answer: ring time and 20 s.
    pub unanswered: Duration,
    /// For the end of an answered leg: longest talk and 60 s.
    pub answered: Duration,
}

#[derive(Clone, Debug)]
struct Attempt {
    number: u32,
    ringing: Option<Timestamp>,
    answered: Option<Timestamp>,
    bridged: Option<Timestamp>,
    end: Option<End>,
    slots_free: bool,
    expired: bool,
    settled: bool,
    patience: Patience,
    offered: Timestamp,
    expires: Timestamp,
    judge_at: Option<Timestamp>,
}

/// An end as reported; an inferred one gives way to a reported one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    at: Timestamp,
    cause: Cause,
    ended_by: EndedBy,
    talk_ms: Option<u64>,
    inferred: bool,
}

/// A call that was decided.
#[derive(Clone, Debug, Default)]
pub struct Call {
    attempts: Vec<Attempt>,
}

impl Call {
    /// A call without attempts: its decision was its end.
    pub fn new() -> Call {
        Call::default()
    }

    /// An attempt was handed out at `now`.
    pub fn offer(&mut self, number: u32, patience: Patience, now: Timestamp) {
        self.attempts.push(Attempt {
            number,
            ringing: None,
            answered: None,
            bridged: None,
            end: None,
            slots_free: false,
            expired: false,
            settled: false,
            offered: now,
            expires: now.after(patience.unanswered),
            patience,
            judge_at: None,
        });
    }

    /// Whether every attempt is settled or was given up.
    pub fn is_over(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.settled || attempt.expired)
    }

    /// How long news may still come of an attempt whose end nobody reported: as long as an answered leg may last.
    pub fn news_until(&self) -> Option<Timestamp> {
        let lost = self.attempts.iter().filter(|attempt| attempt.expired && !attempt.settled);
        lost.map(|attempt| attempt.expires.max(attempt.offered.after(attempt.patience.answered))).max()
    }

    /// Whether the attempt exists.
    pub fn has_attempt(&self, number: u32) -> bool {
        self.attempts.iter().any(|attempt| attempt.number == number)
    }

    /// When `on_time` has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.attempts.iter().filter_map(Attempt::deadline).min()
    }

    /// Takes a report received at `now`.
    pub fn on_event(&mut self, event: &CallEvent, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for attempt in &mut self.attempts {
            let concerned = match event.kind {
                EventKind::CallEnded { .. } => true,
                _ => event.attempt == Some(attempt.number),
            };
            if concerned && !attempt.settled {
                attempt.join(event, now);
                attempt.conclude(now, &mut effects);
            }
        }
        effects
    }

    /// Does what waiting was for, once `now` has reached it.
    pub fn on_time(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for attempt in &mut self.attempts {
            if attempt.deadline().is_some_and(|deadline| deadline <= now) {
                attempt.conclude(now, &mut effects);
            }
        }
        effects
    }
}

impl Attempt {
    fn deadline(&self) -> Option<Timestamp> {
        match (self.settled, self.end.is_some(), self.expired) {
            (true, ..) | (_, false, true) => None,
            (_, true, _) => self.judge_at,
            (_, false, false) => Some(self.expires),
        }
    }

    /// Joins a report with what is known; commutative and idempotent until the attempt is settled.
    fn join(&mut self, event: &CallEvent, now: Timestamp) {
        let earliest = |known: Option<Timestamp>| Some(known.map_or(event.at, |known| known.min(event.at)));
        // Only what is news prolongs the wait for an end: a repeated report would hold the slot for ever.
        let news = match event.kind {
            EventKind::Answered => self.answered.is_none() && self.bridged.is_none(),
            EventKind::Bridged => self.bridged.is_none(),
            EventKind::Ringing | EventKind::Ended { .. } | EventKind::CallEnded { .. } | EventKind::Noted => {
                false
            }
        };
        match event.kind {
            EventKind::Ringing => self.ringing = earliest(self.ringing),
            EventKind::Answered => self.answered = earliest(self.answered),
            EventKind::Bridged => self.bridged = earliest(self.bridged),
            EventKind::Ended { cause, ended_by, talk_ms } => {
                self.join_end(End { at: event.at, cause, ended_by, talk_ms, inferred: false }, now);
            }
            EventKind::CallEnded { cause, ended_by } => {
                self.join_end(End { at: event.at, cause, ended_by, talk_ms: None, inferred: true }, now);
            }
            EventKind::Noted => {}
        }
        if news {
            self.expires = self.expires.max(now.after(self.patience.answered));
        }
    }

    /// A reported end beats an inferred one, one with a talk time beats one without, then the earlier one counts.
    fn join_end(&mut self, new: End, now: Timestamp) {
        let rank =
            |end: &End| (end.inferred, end.talk_ms.is_none(), end.at, end.talk_ms, end.cause, end.ended_by);
        if self.end.is_none_or(|known| rank(&new) < rank(&known)) {
            self.end = Some(new);
        }
        self.judge_at.get_or_insert(now.after(self.patience.late_events));
    }

    /// Says what follows from what is known at `now`.
    fn conclude(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(end) = self.end else {
            if !self.expired && self.expires <= now {
                self.expired = true;
                self.slots_free = true;
                effects.push(Effect::Expire { attempt: self.number });
            }
            return;
        };
        if !self.slots_free {
            self.slots_free = true;
            effects.push(Effect::FreeSlots { attempt: self.number });
        }
        let waited = self.judge_at.is_some_and(|judge_at| judge_at <= now);
        if let Some(end) = self.judged(end, waited) {
            self.settled = true;
            effects.push(Effect::Settle { attempt: self.number, end });
        }
    }

    /// The end, if it is known well enough: with a talk time, with a cause that excludes one, with both times of it, or
    /// after waiting long enough.
    fn judged(&self, end: End, waited: bool) -> Option<AttemptEnd> {
        let never_connected = |talk_source| AttemptEnd {
            cause: end.cause,
            ended_by: end.ended_by,
            connected: false,
            talk_ms: 0,
            talk_source,
            at: end.at,
        };
        let talked = |talk_ms: u64, talk_source| AttemptEnd {
            connected: talk_ms > 0,
            talk_ms,
            ..never_connected(talk_source)
        };
        // Nobody talks longer than a leg may last, whatever a carrier's clock says.
        let longest = self.patience.answered;
        let since = |start: Timestamp| (end.at.since(start).min(longest).as_micros() / 1_000) as u64;
        if let Some(talk_ms) = end.talk_ms {
            return Some(talked(talk_ms, TalkSource::Carrier));
        }
        // Of a cause other than these two nobody talked; a failure may have ended a talk.
        if !matches!(end.cause, Cause::Normal | Cause::Failed) && !end.inferred {
            return Some(never_connected(TalkSource::None));
        }
        if end.cause == Cause::Failed && self.bridged.is_none() && !end.inferred {
            return waited.then(|| never_connected(TalkSource::None));
        }
        match (self.bridged, self.answered) {
            (Some(bridged), _) if !end.inferred || waited => {
                Some(talked(since(bridged), TalkSource::EventTimes))
            }
            (None, Some(answered)) if waited => Some(talked(since(answered), TalkSource::Derived)),
            (None, None) if waited => Some(never_connected(TalkSource::None)),
            _ => None,
        }
    }
}
