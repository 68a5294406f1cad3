//! Several targets ring at once: who of them is held, and what one answer hands out.
//!
//! Each is an attempt of its own with a hold of its own; that one of them takes the call is seen to in `call`. Who may be
//! rung at all was settled in `decide`, like for every fixed price. A carrier that has one word on all of them is
//! understood here.

use super::Worker;
use super::decide::{Ctx, Prepared};
use super::progress::NotTaken;
use super::story::Taken;
use crate::call::Rung;
use crate::call::event::{CallEvent, EventKind};
use crate::call::image::Attempt;
use crate::carrier::{CarrierReply, StepEnd, StepReport};
use crate::domain::{Cause, EndedBy, Reason, Timestamp};
use crate::routing::ring_tree::Step;
use crate::state::live::{Live, Offered, Open};

impl Prepared<'_> {
    /// Whether whoever picks up in this step of the walk takes the call only by pressing a digit.
    pub(super) fn is_screened(&self, place: usize) -> bool {
        let step = self.way.walk.iter().find(|(at, _)| *at == place);
        matches!(step, Some((_, Step::Together(node))) if node.screen)
    }
}

impl Worker {
    /// Holds every open member of a step that rings several at once, in order; whoever cannot be held is left out. A test
    /// call dials no live target, so it is one of them.
    pub(super) async fn try_together(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        place: usize,
        screen: bool,
    ) -> Option<Taken> {
        let mut taken: Option<Taken> = None;
        for (step, target, offer) in prepared.static_answer.clone() {
            if step != place || !prepared.trail.is_open(target) {
                continue;
            }
            let amount = offer.price;
            let price = Some(amount);
            if ctx.request.test && taken.is_some() {
                prepared.trail.close(target, Reason::Test, price, None);
                continue;
            }
            match self.hold(ctx, &prepared.subject, target).await {
                Ok(held) => {
                    prepared.trail.close(target, Reason::Won, price, None);
                    let by = Taken::by(target, offer, amount, held, "static", Reason::Static);
                    let one = Taken { screen, ..by };
                    match &mut taken {
                        None => taken = Some(one),
                        Some(first) => first.together.push(one),
                    }
                }
                Err(refused) => prepared.trail.close(target, refused.reason, price, Some(refused.note)),
            }
        }
        taken
    }

    /// Puts what an answer hands out into the call: an attempt for each who rings.
    pub(super) fn hand_out(
        &self,
        ctx: &Ctx,
        prepared: &Prepared<'_>,
        open: &mut Open,
        taken: Option<Taken>,
        reply: &CarrierReply,
        now: Timestamp,
    ) {
        let (first, others) = match taken {
            None => (None, Vec::new()),
            Some(mut first) => {
                let others = std::mem::take(&mut first.together);
                (Some(first), others)
            }
        };
        open.offered.reserve_exact(1 + others.len());
        for (number, taken) in (ctx.attempt..).zip(std::iter::once(first).chain(others.into_iter().map(Some)))
        {
            let patience = self.patience(ctx, prepared, taken.as_ref().map(|taken| taken.target));
            // The address of test calls is nobody's who could be asked to press anything.
            let screened = taken.as_ref().is_some_and(|taken| taken.screen) && !ctx.request.test;
            let offered = Offered { attempt: number, ..self.offered(ctx, prepared, taken, reply, now) };
            let kind = self.kind(ctx, &offered);
            open.call.offer(Rung { number, step: ctx.step, kind, screened, patience }, now);
            open.offered.push(offered);
        }
    }
}

/// Keeps the carrier's name of a leg where it may have to be told from others.
pub(super) fn note_leg(live: &mut Live, attempt: Option<u32>, leg: Option<&String>) {
    let (Some(attempt), Some(leg), Some(open)) = (attempt, leg, live.open_mut()) else { return };
    let step = open.offered.iter().find(|offered| offered.attempt == attempt).map(|offered| offered.step);
    if open.offered.iter().filter(|offered| Some(offered.step) == step).count() < 2 {
        return;
    }
    for offered in open.offered.iter_mut().filter(|offered| offered.attempt == attempt) {
        offered.leg.get_or_insert_with(|| leg.clone());
    }
}

/// An end, whose it is, and what is recorded of it.
type Ended = (u32, CallEvent, String);

/// What a report says of which attempts.
pub(super) fn ends_of(live: &Live, report: &StepReport) -> Result<Vec<Ended>, NotTaken> {
    let mut ends = Vec::with_capacity(report.ends.len());
    for end in &report.ends {
        match end.attempt {
            Some(attempt) if live.has_attempt(attempt) => ends.push(ended(attempt, end, None)),
            Some(_) => return Err(NotTaken::NoAttempt),
            None => ends.extend(of_the_step(live, report.step, end)?),
        }
    }
    Ok(ends)
}

fn ended(attempt: u32, end: &StepEnd, why: Option<(Cause, EndedBy)>) -> Ended {
    let Some((cause, ended_by)) = why else {
        return (attempt, CallEvent { attempt: Some(attempt), ..end.event.clone() }, end.detail.clone());
    };
    let kind = EventKind::Ended { cause, ended_by, talk_ms: None };
    let event = CallEvent { attempt: Some(attempt), at: end.event.at, kind };
    (attempt, event, format!("{}, by {}", cause.as_str(), ended_by.as_str()))
}

/// The end of a step by a carrier that names no attempt.
fn of_the_step(live: &Live, step: u32, end: &StepEnd) -> Result<Vec<Ended>, NotTaken> {
    let Some(open) = live.open() else {
        // Nothing comes of it any more, whosever it is.
        let last = live.latest().filter(|_| live.last_dialled() == step);
        return last.map(|attempt| vec![ended(attempt, end, None)]).ok_or(NotTaken::NoAttempt);
    };
    let of_step: Vec<&Offered> = open.offered.iter().filter(|offered| offered.step == step).collect();
    match of_step[..] {
        [] => Err(NotTaken::NoAttempt),
        [only] => Ok(vec![ended(only.attempt, end, None)]),
        _ => Ok(of_those_together(open, step, &of_step, end)),
    }
}

/// The one word on all that rang at once. Of those whose end is known already it is no news.
fn of_those_together(open: &Open, step: u32, of_step: &[&Offered], end: &StepEnd) -> Vec<Ended> {
    let unsettled: Vec<&Attempt> = open.call.unsettled(step).collect();
    let EventKind::Ended { cause, ended_by, .. } = end.event.kind else { return Vec::new() };
    if cause != Cause::Normal {
        return unsettled
            .into_iter()
            .map(|attempt| ended(attempt.number, end, Some(unconnected(attempt, cause, ended_by))))
            .collect();
    }
    let Some(talked) = who_talked(open, step, of_step, &unsettled, end) else {
        // Somebody did, and nobody knows who: the operator may find out.
        let nobody_knows = Some((Cause::Normal, EndedBy::Unknown));
        return unsettled.iter().map(|attempt| ended(attempt.number, end, nobody_knows)).collect();
    };
    let others = unsettled.iter().filter(|attempt| attempt.number != talked);
    let others = others.map(|attempt| ended(attempt.number, end, Some((Cause::Cancelled, EndedBy::Carrier))));
    std::iter::once(ended(talked, end, None)).chain(others).collect()
}

/// Whose talk it was: by the name of the leg, else by who took the call, else by who was the only one to pick up.
fn who_talked(
    open: &Open,
    step: u32,
    of_step: &[&Offered],
    unsettled: &[&Attempt],
    end: &StepEnd,
) -> Option<u32> {
    let named = of_step.iter().find(|offered| end.leg.is_some() && offered.leg == end.leg);
    let only = |those: Vec<u32>| if let [only] = those[..] { Some(only) } else { None };
    let answered = || only(unsettled.iter().filter(|a| a.answered.is_some()).map(|a| a.number).collect());
    let left = || only(unsettled.iter().map(|attempt| attempt.number).collect());
    named.map(|offered| offered.attempt).or_else(|| open.call.taker(step)).or_else(answered).or_else(left)
}

/// How one of those ended that nobody was connected to: by what is known of its own leg.
fn unconnected(attempt: &Attempt, cause: Cause, ended_by: EndedBy) -> (Cause, EndedBy) {
    match attempt.end.map(|end| end.cause) {
        _ if matches!(ended_by, EndedBy::Caller | EndedBy::Exchange) => (cause, ended_by),
        // It picked up, and did not take the call.
        _ if attempt.answered.is_some() => (Cause::Rejected, EndedBy::Target),
        Some(Cause::Busy) => (Cause::Busy, EndedBy::Target),
        Some(own) => (own, EndedBy::Carrier),
        None if cause == Cause::Rejected => (Cause::NoAnswer, EndedBy::Carrier),
        None => (cause, ended_by),
    }
}
