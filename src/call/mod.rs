//! The life of a call after its decision: a state machine over events in any order and any number of times.
//!
//! Facts are joined, not replayed: of each attempt the machine keeps the earliest ringing, answered and bridged, and one
//! end, so that duplicates and any order lead to the same result. Of attempts that ring at once the first that is known to
//! have the caller takes the call, and the others are over. It decides *when* an end is known well enough to be
//! judged, whether the call may go on to another attempt (`onward`), and when it is over; what an end is worth is judged
//! in `billing`, who the next attempt goes to and what is done about all of it in `exchange`.

mod attempt;
pub mod event;
pub mod image;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::{AttemptEnd, Cause, EndedBy, Timestamp};
use attempt::{Attempt, Company};
use event::{CallEvent, Effect, EventKind};

/// With less than this left of a call's ring budget nobody is rung any more.
const LEAST_RING: Duration = Duration::from_secs(8);

/// How long the machine waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For reports that may still explain an end without a talk time.
    pub late_events: Duration,
    /// For an answer: ring time and 20 s.
    pub unanswered: Duration,
    /// For the end of an answered leg: longest talk and 60 s.
    pub answered: Duration,
}

/// How far a call may go beyond its first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// A talk that the target ended sooner is not the end of the call; zero turns that off.
    pub early_hangup: Duration,
    /// Most attempts of one call; those that ring at once are one.
    pub attempts: u32,
    /// Longest a caller hears ringing, over all attempts.
    pub ring_budget: Duration,
    /// How long after an attempt the carrier may ask for the next step; zero is a carrier that never does.
    pub next_within: Duration,
}

/// What an attempt is, beside its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A target of a buyer.
    Target,
    /// A target whose carrier says by itself whether the two were bridged: nothing else proves a talk.
    ProvenTarget,
    /// The plan's own last destination: after it nothing comes.
    Terminal,
}

/// An attempt as it is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its number within the call.
    pub number: u32,
    /// The step that hands it out: those of one step ring at once, and one of them takes the call.
    pub step: u32,
    /// What it is.
    pub kind: Kind,
    /// Whoever picks up has to press a digit first.
    pub screened: bool,
    /// How long it waits for what.
    pub patience: Patience,
}

/// What follows when the attempts of a step are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// Another attempt, which may ring this long.
    Attempt {
        /// What is left of the ring budget.
        ring: Duration,
    },
    /// The plan's terminal action: attempts or ring budget are used up.
    Terminal,
    /// Nothing: the caller is gone, or the call had its talk.
    Finished,
}

/// A call that was decided.
#[derive(Clone, Debug)]
pub struct Call {
    attempts: Vec<Attempt>,
    recovery: Recovery,
    /// The caller hung up, or whoever reported thinks so.
    caller_gone: bool,
    /// The last answer was not one to dial: nothing comes after it.
    closed: bool,
    /// Until when the carrier may ask for the next step.
    next_by: Option<Timestamp>,
    /// It asked, and the answer is not out yet.
    asked: bool,
    over: bool,
}

impl Call {
    /// A call without attempts.
    pub fn new(recovery: Recovery) -> Call {
        Call {
            attempts: Vec::new(),
            recovery,
            caller_gone: false,
            closed: false,
            next_by: None,
            asked: false,
            over: false,
        }
    }

    /// An attempt was handed out at `now`.
    pub fn offer(&mut self, rung: Rung, now: Timestamp) {
        // Nearly all calls have one: room for four would be most of what is kept of them.
        self.attempts.reserve_exact(1);
        self.attempts.push(Attempt::new(rung, now));
        (self.next_by, self.asked, self.over) = (None, false, false);
    }

    /// The carrier was told something other than to dial: once its attempts are settled the call is over.
    pub fn close(&mut self, now: Timestamp) -> Vec<Effect> {
        (self.closed, self.asked) = (true, false);
        let mut effects = Vec::new();
        self.conclude(now, &mut effects);
        effects
    }

    /// Whether nothing more is to come: every attempt is settled or was given up, and no other will follow.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether nothing can come of it any more, whatever is reported: it is over, and every attempt's end is known.
    pub fn is_settled(&self) -> bool {
        self.over && self.attempts.iter().all(|attempt| attempt.settled().is_some())
    }

    /// How long news may still come of an attempt whose end nobody reported: as long as an answered leg may last.
    pub fn news_until(&self) -> Option<Timestamp> {
        self.attempts.iter().filter_map(Attempt::news_until).max()
    }

    /// Whether the caller hung up, as far as anybody said.
    pub fn is_caller_gone(&self) -> bool {
        self.caller_gone
    }

    /// Whether an attempt has ended of which more may be heard.
    pub fn awaits_news(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.has_end() && attempt.settled().is_none())
    }

    /// The attempt with this number, while it may be going on: how long it has talked at `now`, if it was answered.
    pub fn talked(&self, number: u32, now: Timestamp) -> Option<Option<Duration>> {
        let attempt = self.attempts.iter().find(|a| a.number == number && !a.has_end() && !a.is_over())?;
        Some(attempt.talked_at(now))
    }

    /// Whether the attempt may still take the call, or has it: it did not end, and no other that rang with it has the
    /// caller.
    pub fn may_take(&self, number: u32) -> bool {
        self.attempts.iter().any(|attempt| attempt.number == number && attempt.settled().is_none())
    }

    /// The attempt of this step that is known to have the caller.
    pub fn taker(&self, step: u32) -> Option<u32> {
        self.attempts.iter().find(|a| a.step == step && a.has_the_caller()).map(|attempt| attempt.number)
    }

    /// The attempts of a step whose end is not judged.
    pub fn unsettled(&self, step: u32) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.step == step && attempt.settled().is_none())
    }

    /// Attempts that may be going on.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        self.attempts.iter().filter(|a| !a.has_end() && !a.is_over()).map(|attempt| attempt.number)
    }

    /// How many attempts there were.
    pub fn attempts(&self) -> u32 {
        self.attempts.len() as u32
    }

    /// When `on_time` has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let waits = self.next_by.filter(|_| !self.over && !self.asked);
        self.attempts.iter().filter_map(Attempt::deadline).chain(waits).min()
    }

    /// Takes a report received at `now`.
    pub fn on_event(&mut self, event: &CallEvent, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        let of_the_caller = matches!(event.kind, EventKind::CallEnded { .. });
        self.caller_gone |=
            of_the_caller || matches!(event.kind, EventKind::Ended { ended_by: EndedBy::Caller, .. });
        for at in 0..self.attempts.len() {
            if of_the_caller || event.attempt == Some(self.attempts[at].number) {
                let company = self.company(at);
                self.attempts[at].on_event(event, now, company, &mut effects);
            }
        }
        self.award(now, &mut effects);
        self.conclude(now, &mut effects);
        effects
    }

    /// The carrier asks for the next step: of the attempts so far nothing more is waited for. Until the answer is told by
    /// `offer` or `close` the call is not over.
    pub fn on_step_over(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.asked = true;
        for at in 0..self.attempts.len() {
            let company = self.company(at);
            self.attempts[at].stop_waiting(now, company, &mut effects);
        }
        self.award(now, &mut effects);
        self.conclude(now, &mut effects);
        effects
    }

    /// Does what waiting was for, once `now` has reached it.
    pub fn on_time(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for at in 0..self.attempts.len() {
            if self.attempts[at].deadline().is_some_and(|deadline| deadline <= now) {
                let company = self.company(at);
                self.attempts[at].conclude(now, company, &mut effects);
            }
        }
        self.award(now, &mut effects);
        self.conclude(now, &mut effects);
        effects
    }

    /// The exchange was started again. Nobody could report or ask while it was down, so everybody has their time from now
    /// on; and a step that was being decided is not any more: the carrier may ask for it anew.
    pub fn on_restart(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        (self.asked, self.next_by) = (false, None);
        self.attempts.iter_mut().for_each(|attempt| attempt.wait_again(now));
        self.conclude(now, &mut effects);
        effects
    }

    /// What follows now that the attempts so far are over.
    pub fn onward(&self) -> Onward {
        let Some(last) = self.attempts.last() else { return Onward::Finished };
        let goes_on = !self.recovery.next_within.is_zero()
            && !self.caller_gone
            && !self.closed
            && last.kind() != Kind::Terminal
            && self.may_go_on_after(last.step);
        if !goes_on {
            return Onward::Finished;
        }
        // Those that ring at once the caller hears as one.
        let (mut steps, mut rang) = (0, Duration::ZERO);
        for together in self.attempts.chunk_by(|one, other| one.step == other.step) {
            steps += 1;
            rang += together.iter().map(Attempt::rang).max().unwrap_or_default();
        }
        let ring = self.recovery.ring_budget.saturating_sub(rang);
        if steps >= self.recovery.attempts || ring < LEAST_RING {
            return Onward::Terminal;
        }
        Onward::Attempt { ring }
    }

    /// Whether a call goes on after the attempts of this step: by the one that had the caller, else if any of them was
    /// nobody's goodbye. Never while the end of one of them is not known.
    fn may_go_on_after(&self, step: u32) -> bool {
        let mut goes_on = false;
        for attempt in self.attempts.iter().filter(|attempt| attempt.step == step) {
            let Some(end) = attempt.settled() else { return false };
            let may = may_go_on(end, self.recovery.early_hangup);
            if end.connected {
                return may;
            }
            goes_on |= may;
        }
        goes_on
    }

    /// Who rings for the same step as the attempt at this place.
    fn company(&self, at: usize) -> Company {
        // Nearly all calls ring one target at a time.
        let step = self.attempts[at].step;
        let mut company = Company::Alone;
        for other in self.attempts.iter().enumerate().filter(|(other, a)| *other != at && a.step == step) {
            if other.1.is_answered() {
                return Company::Answered;
            }
            company = Company::Ringing;
        }
        company
    }

    /// Of those that ring at once one takes the call: the first that is known to have the caller; of several that came to
    /// be known at once, the one that was connected first by the carrier's own clock. The others are over.
    fn award(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.attempts.len() < 2 {
            return;
        }
        for at in 0..self.attempts.len() {
            let (step, company) = (self.attempts[at].step, self.company(at));
            // What is known of the others may be what its own end waited for.
            if company == Company::Answered && self.attempts[at].has_end_to_judge() {
                self.attempts[at].conclude(now, company, effects);
            }
            if self.attempts[at].settled.is_some() {
                continue;
            }
            let is_its = |other: &&Attempt| {
                other.step == step && other.number != self.attempts[at].number && other.has_the_caller()
            };
            let took = self.attempts.iter().filter(is_its).min_by_key(|other| other.taken_at());
            let Some(took) = took else { continue };
            let beats = !self.attempts[at].has_the_caller() || took.taken_at() < self.attempts[at].taken_at();
            if beats {
                let since = took.taken_at().1;
                self.attempts[at].void(since, now, effects);
            }
        }
    }

    /// Says that the call is over when it is, and again when an end that was lost is settled after all.
    fn conclude(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let settled =
            effects.iter().any(|effect| matches!(effect, Effect::Settle { .. } | Effect::Void { .. }));
        if self.over {
            if settled {
                effects.push(Effect::Over);
            }
            return;
        }
        if self.asked || !self.attempts.iter().all(Attempt::is_over) {
            return;
        }
        let wait = self.recovery.next_within;
        let by = match self.onward() {
            Onward::Finished => now,
            Onward::Attempt { .. } | Onward::Terminal => *self.next_by.get_or_insert(now.after(wait)),
        };
        if by <= now {
            self.over = true;
            effects.push(Effect::Over);
        }
    }
}

/// Whether a call goes on after an attempt that ended so: busy, no answer, refusal and failure always, a talk only when
/// the target ended it sooner than `early`, or its buyer handed the call back. Never when the caller was the one who left,
/// never when nobody knows.
fn may_go_on(end: &AttemptEnd, early: Duration) -> bool {
    if end.handed_back {
        return end.ended_by != EndedBy::Caller;
    }
    if end.connected {
        let talk = Duration::from_millis(end.talk_ms);
        return end.ended_by == EndedBy::Target && talk < early;
    }
    match end.cause {
        Cause::Busy | Cause::NoAnswer | Cause::Rejected | Cause::Failed => end.ended_by != EndedBy::Caller,
        // Picked up and never bridged: the target did not want it.
        Cause::Normal => end.ended_by == EndedBy::Target,
        Cause::Cancelled => false,
    }
}
