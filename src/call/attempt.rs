//! One attempt of a call: what is known of its leg, and when that is enough to judge its end.
//!
//! What follows for the call is in the module above.

use std::time::Duration;

use super::event::{CallEvent, Effect, EventKind};
use super::{Kind, Patience, Rung};
use crate::domain::{AttemptEnd, Cause, EndedBy, TalkSource, Timestamp};

/// How long a buyer that handed a call back may take to hang up: a talk that goes on is no call handed back.
const LETTING_GO: Duration = Duration::from_secs(15);

/// What is known of an attempt. Only its call changes it; the fields are open so that it can be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number within the call.
    pub number: u32,
    /// What it is.
    pub kind: Kind,
    /// The earliest time it was said to ring.
    pub ringing: Option<Timestamp>,
    /// The earliest time it was said to be answered.
    pub answered: Option<Timestamp>,
    /// The earliest time it was said to be bridged.
    pub bridged: Option<Timestamp>,
    /// The best word on its end so far.
    pub end: Option<End>,
    /// How long it rang, by our clock; `None` while it may.
    pub rang: Option<Duration>,
    /// Its slots were freed.
    pub slots_free: bool,
    /// It was given up: nobody reported its end in time, or proved the talk.
    pub expired: bool,
    /// Its end, once it is judged.
    pub settled: Option<AttemptEnd>,
    /// How long it waits for what.
    pub patience: Patience,
    /// When it was handed out.
    pub offered: Timestamp,
    /// When it is given up.
    pub expires: Timestamp,
    /// When its end is judged by what is known of it.
    pub judge_at: Option<Timestamp>,
    /// When its buyer last handed the call back, by our clock.
    pub handed_back: Option<Timestamp>,
    /// The step that handed it out: those of one step ring at once.
    pub step: u32,
    /// Whoever picks up has to press a digit first: an answer alone is no talk.
    pub screened: bool,
}

/// An end as reported; an inferred one gives way to a reported one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The carrier's time.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Whose doing.
    pub ended_by: EndedBy,
    /// The carrier's own figure for the talk.
    pub talk_ms: Option<u64>,
    /// Concluded from the end of something else.
    pub inferred: bool,
}

/// Who else rings for the same step, and how they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// Nobody.
    Alone,
    /// Others, of whom nobody is known to have picked up.
    Ringing,
    /// Others, of whom one has.
    Answered,
}

/// What an end is known to be.
enum Judged {
    /// Known well enough.
    End(AttemptEnd),
    /// Whether they talked may still be reported.
    Waiting,
    /// They may have talked, and nobody proved it in time.
    Unproven,
    /// It was let go of because another one picked up.
    Lost,
}

impl Attempt {
    pub(super) fn new(rung: Rung, now: Timestamp) -> Attempt {
        let Rung { number, step, kind, screened, patience } = rung;
        Attempt {
            number,
            kind,
            ringing: None,
            answered: None,
            bridged: None,
            end: None,
            rang: None,
            slots_free: false,
            expired: false,
            settled: None,
            offered: now,
            expires: now.after(patience.unanswered),
            patience,
            judge_at: None,
            handed_back: None,
            step,
            screened,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn settled(&self) -> Option<&AttemptEnd> {
        self.settled.as_ref()
    }

    /// Whether it is settled or was given up.
    pub(super) fn is_over(&self) -> bool {
        self.settled.is_some() || self.expired
    }

    pub(super) fn has_end(&self) -> bool {
        self.settled.is_some() || self.end.is_some_and(|end| !end.inferred)
    }

    /// Something was said of its end, and it is not judged.
    pub(super) fn has_end_to_judge(&self) -> bool {
        self.settled.is_none() && self.end.is_some()
    }

    /// How long it rang: what was given it, while nobody said anything.
    pub(super) fn rang(&self) -> Duration {
        self.rang.unwrap_or(self.patience.unanswered)
    }

    pub(super) fn news_until(&self) -> Option<Timestamp> {
        let lost = self.expired && self.settled.is_none();
        lost.then(|| self.expires.max(self.offered.after(self.patience.answered)))
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match (self.settled.is_some(), self.end.is_some(), self.expired) {
            (true, ..) | (_, false, true) => None,
            (_, true, _) => self.judge_at,
            (_, false, false) => Some(self.expires),
        }
    }

    /// Whether the caller is its own: they are connected, or were.
    pub(super) fn has_the_caller(&self) -> bool {
        self.settled.map_or(self.bridged.is_some(), |end| end.connected)
    }

    /// Since when, by the carrier's clock; one that is settled stays what it was.
    pub(super) fn taken_at(&self) -> (bool, Timestamp, u32) {
        let at = self.bridged.or(self.settled.map(|end| end.at)).unwrap_or_default();
        (self.settled.is_none(), at, self.number)
    }

    /// Whether somebody picked up who need not do more than that.
    pub(super) fn is_answered(&self) -> bool {
        self.has_the_caller() || !self.screened && self.answered.is_some()
    }

    pub(super) fn on_event(
        &mut self,
        event: &CallEvent,
        now: Timestamp,
        company: Company,
        effects: &mut Vec<Effect>,
    ) {
        if self.settled.is_none() {
            self.join(event, now);
            self.conclude(now, company, effects);
        }
    }

    /// Another one of its step has the caller, since `at`: whatever is reported of this one any more, it is over.
    pub(super) fn void(&mut self, at: Timestamp, now: Timestamp, effects: &mut Vec<Effect>) {
        let at = self.end.map_or(at, |end| end.at);
        let end = AttemptEnd {
            cause: Cause::Cancelled,
            ended_by: EndedBy::Exchange,
            connected: false,
            talk_ms: 0,
            talk_source: TalkSource::None,
            at,
            handed_back: false,
        };
        self.rang.get_or_insert(now.since(self.offered));
        self.slots_free = true;
        self.settled = Some(end);
        effects.push(Effect::Void { attempt: self.number, end });
    }

    /// What could not be heard until `now` may be on its way.
    pub(super) fn wait_again(&mut self, now: Timestamp) {
        let at_least = now.after(self.patience.late_events);
        self.expires = self.expires.max(at_least);
        self.judge_at = self.judge_at.map(|judge_at| judge_at.max(at_least));
    }

    /// Judges an end that is known by what is known of it.
    pub(super) fn stop_waiting(&mut self, now: Timestamp, company: Company, effects: &mut Vec<Effect>) {
        if self.settled.is_none() && self.end.is_some() {
            self.judge_at = Some(self.judge_at.map_or(now, |judge_at| judge_at.min(now)));
            self.conclude(now, company, effects);
        }
    }

    /// Joins a report with what is known; commutative and idempotent until the attempt is settled.
    fn join(&mut self, event: &CallEvent, now: Timestamp) {
        let earliest = |known: Option<Timestamp>| Some(known.map_or(event.at, |known| known.min(event.at)));
        // Only what is news prolongs the wait for an end: a repeated report would hold the slot for ever.
        let news = match event.kind {
            EventKind::Answered => self.answered.is_none() && self.bridged.is_none(),
            EventKind::Bridged => self.bridged.is_none(),
            EventKind::Ringing
            | EventKind::Ended { .. }
            | EventKind::LegOver { .. }
            | EventKind::CallEnded { .. }
            | EventKind::HandedBack
            | EventKind::Noted => false,
        };
        match event.kind {
            EventKind::Ringing => self.ringing = earliest(self.ringing),
            EventKind::Answered => self.answered = earliest(self.answered),
            EventKind::Bridged => self.bridged = earliest(self.bridged),
            EventKind::Ended { cause, ended_by, talk_ms } => {
                self.join_end(End { at: event.at, cause, ended_by, talk_ms, inferred: false }, now);
            }
            EventKind::LegOver { cause } => {
                // Only a leg that was answered ends like that, whether or not that was reported.
                if cause == Cause::Normal {
                    self.answered = earliest(self.answered);
                }
                let ended_by = EndedBy::Unknown;
                self.join_end(End { at: event.at, cause, ended_by, talk_ms: None, inferred: true }, now);
            }
            EventKind::CallEnded { cause, ended_by } => {
                self.join_end(End { at: event.at, cause, ended_by, talk_ms: None, inferred: true }, now);
            }
            EventKind::HandedBack => self.handed_back = self.handed_back.max(Some(event.at)),
            EventKind::Noted => {}
        }
        if !matches!(event.kind, EventKind::Ringing | EventKind::HandedBack | EventKind::Noted) {
            let talked = match event.kind {
                EventKind::Ended { talk_ms, .. } => Duration::from_millis(talk_ms.unwrap_or(0)),
                _ => Duration::ZERO,
            };
            self.rang.get_or_insert(now.since(self.offered).saturating_sub(talked));
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
    pub(super) fn conclude(&mut self, now: Timestamp, company: Company, effects: &mut Vec<Effect>) {
        let Some(end) = self.end else {
            if self.expires <= now {
                self.expire(effects);
            }
            return;
        };
        let waited = self.judge_at.is_some_and(|judge_at| judge_at <= now);
        match self.judged(end, waited, company) {
            Judged::End(end) => {
                self.free(effects);
                self.settled = Some(end);
                effects.push(Effect::Settle { attempt: self.number, end });
            }
            Judged::Waiting => self.free(effects),
            Judged::Lost => self.void(end.at, now, effects),
            Judged::Unproven => {
                self.judge_at = None;
                self.expire(effects);
            }
        }
    }

    /// How long they had talked at `now`, by our clock; `None` while nobody said that it was answered.
    pub(super) fn talked_at(&self, now: Timestamp) -> Option<Duration> {
        let is_connected = self.answered.is_some() || self.bridged.is_some();
        self.rang.filter(|_| is_connected).map(|rang| now.since(self.offered.after(rang)))
    }

    /// Whether its buyer handed the call back and, with a talk of this length, did not keep the caller all the same.
    fn lets_go(&self, talk_ms: u64) -> bool {
        self.handed_back.is_some_and(|at| {
            let until = self.talked_at(at).unwrap_or_default() + LETTING_GO;
            u128::from(talk_ms) <= until.as_millis()
        })
    }

    fn free(&mut self, effects: &mut Vec<Effect>) {
        if !self.slots_free {
            self.slots_free = true;
            effects.push(Effect::FreeSlots { attempt: self.number });
        }
    }

    fn expire(&mut self, effects: &mut Vec<Effect>) {
        if !self.expired {
            self.expired = true;
            self.slots_free = true;
            effects.push(Effect::Expire { attempt: self.number });
        }
    }

    /// The end, if it is known well enough: with a talk time, with a cause that excludes one, with both times of it, or
    /// after waiting long enough.
    fn judged(&self, end: End, waited: bool, company: Company) -> Judged {
        let never_connected = |talk_source| AttemptEnd {
            cause: end.cause,
            ended_by: end.ended_by,
            connected: false,
            talk_ms: 0,
            talk_source,
            at: end.at,
            handed_back: self.lets_go(0),
        };
        let talked = |talk_ms: u64, talk_source| AttemptEnd {
            connected: talk_ms > 0,
            talk_ms,
            handed_back: self.lets_go(talk_ms),
            ..never_connected(talk_source)
        };
        let if_waited = |end: AttemptEnd| if waited { Judged::End(end) } else { Judged::Waiting };
        // Nobody talks longer than a leg may last, whatever a carrier's clock says.
        let longest = self.patience.answered;
        let since = |start: Timestamp| (end.at.since(start).min(longest).as_micros() / 1_000) as u64;
        let is_unheard = self.answered.or(self.bridged).is_none() && end.talk_ms.unwrap_or(0) == 0;
        if company != Company::Alone && is_unheard && end.ended_by != EndedBy::Caller {
            match (end.cause, company) {
                // Whoever still rings when another picks up is cancelled, which some carriers call no answer.
                (Cause::Cancelled, Company::Answered) => return Judged::Lost,
                (Cause::NoAnswer, Company::Answered) if end.inferred => return Judged::Lost,
                // That another one did may not be reported yet.
                (Cause::Cancelled, _) => return if_waited(never_connected(TalkSource::None)),
                // What its carrier says of all of them together is no better word on this one.
                (Cause::Busy | Cause::NoAnswer | Cause::Rejected, _) => {
                    return Judged::End(never_connected(TalkSource::None));
                }
                (Cause::Normal | Cause::Failed, _) => {}
            }
        }
        if let Some(talk_ms) = end.talk_ms {
            return Judged::End(talked(talk_ms, TalkSource::Carrier));
        }
        // Of a cause other than these two nobody talked; a failure may have ended a talk.
        let may_have_talked = matches!(end.cause, Cause::Normal | Cause::Failed);
        let is_told = !end.inferred && end.cause != Cause::Normal;
        if is_told && (!may_have_talked || self.kind == Kind::ProvenTarget) {
            return Judged::End(never_connected(TalkSource::None));
        }
        if self.kind == Kind::ProvenTarget {
            let talked_maybe = may_have_talked && (self.answered.is_some() || !end.inferred);
            return match waited {
                true if talked_maybe => Judged::Unproven,
                _ => if_waited(never_connected(TalkSource::None)),
            };
        }
        if end.cause == Cause::Failed && self.bridged.is_none() && !end.inferred {
            return if_waited(never_connected(TalkSource::None));
        }
        match (self.bridged, self.answered) {
            (Some(bridged), _) if !end.inferred => {
                Judged::End(talked(since(bridged), TalkSource::EventTimes))
            }
            (Some(bridged), _) => if_waited(talked(since(bridged), TalkSource::EventTimes)),
            // Where a digit is asked for, voicemail answers too.
            (None, Some(_)) if self.screened => if_waited(never_connected(TalkSource::None)),
            (None, Some(answered)) => if_waited(talked(since(answered), TalkSource::Derived)),
            (None, None) => if_waited(never_connected(TalkSource::None)),
        }
    }
}
