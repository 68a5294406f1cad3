//! The next step of a call: its attempts ended without a talk, and the caller is still there.
//!
//! The carrier says how the attempts of its last answer ended, which counts as their report; whether anything may follow
//! is said by the call's machine. Like a decision a step goes on when nobody waits for it: the same request again, on whatever
//! worker, gets the same bytes. What is tried in it is in `step`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::progress::{Aftermath, Claim, NotTaken};
use super::step::Job;
use super::together::ends_of;
use super::{Asking, Deciding, Worker};
use crate::call::Onward;
use crate::call::event::EventKind;
use crate::carrier::{Action, CallerLeg, CarrierReply, StepReport};
use crate::domain::{CallId, Carrier, Cause, HangupCause, Timestamp};
use crate::records::CommitError;
use crate::records::entry::Entry;
use crate::records::row::{EventRow, Row};
use crate::state::calls::{self, Answer, Waiting, wait};
use crate::state::live::Live;
use crate::telemetry::event;

/// A step that was given up is begun again this often.
const TRIES: usize = 3;

/// Longest that a carrier which never asks twice is kept waiting for a disk.
const A_MOMENT: Duration = Duration::from_secs(1);

/// What a request for a step finds.
enum Begun {
    /// The answer is known; what it was written with may have to reach the disk first, for so long.
    Known(Arc<Answer>, Option<(Written, Duration)>),
    /// Somebody else decides.
    Wait(Waiting),
    /// It is the first.
    First(Waiting),
}

type Written = BoxFuture<'static, Result<(), CommitError>>;

impl Worker {
    /// The answer to a carrier that asks for the step after `report.step`, read to its end at `arrived`.
    pub async fn next(
        self: &Arc<Self>,
        claim: Claim,
        report: StepReport,
        asking: Asking,
        arrived: Timestamp,
    ) -> Result<Arc<Answer>, NotTaken> {
        self.exchange.state.calls.noted(claim.call).await;
        for _ in 0..TRIES {
            let begin = AssertUnwindSafe(|| self.begin_next(&claim, &report, asking, arrived));
            let begun = std::panic::catch_unwind(begin).unwrap_or_else(|_| {
                event::panicked("step", "a request for the next step of a call");
                Err(internal_error())
            })?;
            let waiting = match begun {
                Begun::Known(answer, None) => return Ok(answer),
                Begun::Known(answer, Some((written, patience))) => {
                    return match tokio::time::timeout(patience, written).await {
                        Ok(Ok(())) => Ok(answer),
                        Err(_) => Ok(answer),
                        Ok(Err(error)) => {
                            event::commit_failed(&claim.call.to_string(), &error.to_string());
                            Err(NotTaken::NotDurable(error))
                        }
                    };
                }
                Begun::Wait(waiting) | Begun::First(waiting) => waiting,
            };
            if let Some(answer) = wait(waiting).await {
                return Ok(answer);
            }
        }
        Err(internal_error())
    }

    /// Takes the report under the call's lock, and starts the step if something may follow.
    fn begin_next(
        self: &Arc<Self>,
        claim: &Claim,
        report: &StepReport,
        asking: Asking,
        arrived: Timestamp,
    ) -> Result<Begun, NotTaken> {
        let exchange = &self.exchange;
        let slot = exchange.recorder.reserve();
        let now = exchange.clock.now();
        let in_force = exchange.in_force.load_full();
        let mut job = None;
        let joined = exchange.state.calls.with(claim.call, |live| {
            claim.admit(live)?;
            let carrier =
                in_force.snapshot.catalog.carrier_named(&live.key.carrier).ok_or(NotTaken::Unknown)?;
            if let Some(begun) = known(live, report)? {
                let begun = match begun {
                    // What the first to hear it had to wait for, this one has to as well.
                    Begun::Known(answer, _) if live.said_goodbye && live.is_billed() => {
                        let slot = slot.map_err(NotTaken::NotDurable)?;
                        let written = slot.commit(exchange.with_owed(claim.call, Entry::default()));
                        Begun::Known(answer, Some((Box::pin(written), patience(live))))
                    }
                    begun => begun,
                };
                return Ok((begun, Aftermath::default(), live.campaign.clone()));
            }
            // What may end in money needs its place on the way to the disk; a caller who is to hear the next target ring
            // does not wait for a disk, and what is to be written of it waits for a place.
            let slot = match slot {
                Err(full) if may_be_a_talk(live, report) => return Err(NotTaken::NotDurable(full)),
                slot => slot.ok(),
            };
            let hand_in = |entry: Entry| -> Option<Written> {
                match slot {
                    Some(slot) => Some(Box::pin(slot.commit(exchange.with_owed(claim.call, entry)))),
                    None => {
                        exchange.owe(claim.call, entry);
                        None
                    }
                }
            };
            let mut aftermath = self.take_ends(claim.call, live, report, now)?;
            aftermath.picture(live);
            let (tell, waiting) = watch::channel(None);
            let step = live.steps.len() as u32 + 2;
            let onward = live.onward();
            // The call keeps it until the step is taken: whatever is written down of it meanwhile, a step that was not
            // taken when the process ended is taken anew.
            let rest = live.open().and_then(|open| open.rest.clone());
            let begun = match (onward, rest, live.open()) {
                (Onward::Attempt { .. } | Onward::Terminal, Some(rest), Some(open)) => {
                    let tried = open.offered.iter().filter_map(|o| Some(o.taker.as_ref()?.target.clone()));
                    job = Some(Job {
                        call: claim.call,
                        carrier,
                        call_at: open.at,
                        token: live.token,
                        asking,
                        caller: report.caller,
                        step,
                        attempt: open.call.attempts() + 1,
                        onward,
                        tried: tried.collect(),
                        whose: (live.campaign.clone(), open.publisher.clone()),
                        rest,
                        tell,
                    });
                    live.steps.push(calls::Step::Deciding(waiting.clone()));
                    drop(hand_in(aftermath.entry(None)));
                    Begun::First(waiting)
                }
                _ => {
                    let effects = live.tell(|call| call.close(now));
                    let closing = exchange.run(claim.call, live, effects, now);
                    aftermath.join(closing);
                    let answer = self.goodbye(
                        live,
                        in_force.snapshot.catalog.carrier(carrier),
                        step,
                        report.caller,
                        now,
                    );
                    live.steps.push(calls::Step::Decided(Arc::clone(&answer)));
                    aftermath.picture(live);
                    let written = hand_in(aftermath.entry(Some(&answer)));
                    // Where nothing was billed, nothing has to be safe before the goodbye is said.
                    let written = written.filter(|_| live.is_billed());
                    Begun::Known(answer, written.map(|written| (written, patience(live))))
                }
            };
            exchange.watch(claim.call, live, now);
            Ok((begun, aftermath, live.campaign.clone()))
        });
        let (begun, aftermath, campaign) = joined.unwrap_or(Err(NotTaken::Unknown))?;
        exchange.follow(claim.call, campaign.as_ref(), aftermath);
        if let Some(job) = job {
            let (worker, deciding) = (Arc::clone(self), Deciding::begin(&self.deciding));
            tokio::spawn(async move {
                worker.take_step(in_force, job, arrived).await;
                drop(deciding);
            });
        }
        Ok(begun)
    }

    /// Joins how the attempts ended with what is known of them; from here on nothing more is waited for.
    fn take_ends(
        &self,
        id: CallId,
        live: &mut Live,
        report: &StepReport,
        now: Timestamp,
    ) -> Result<Aftermath, NotTaken> {
        let ends = ends_of(live, report)?;
        let told = |open: &u32| ends.iter().any(|(attempt, ..)| attempt == open);
        if let Some(attempt) = live.open().and_then(|open| open.call.open().find(|open| !told(open))) {
            return Err(NotTaken::NoEnd(attempt));
        }
        let mut effects = Vec::new();
        let mut rows = Vec::new();
        for (attempt, told, detail) in ends {
            effects.extend(live.tell(|call| call.on_event(&told, now)));
            rows.push(Row::Event(Box::new(EventRow {
                call_id: id,
                event_id: format!("next/{}/{attempt}", report.step),
                attempt: Some(attempt),
                kind: "ended",
                at: Some(told.at),
                received: now,
                detail,
            })));
        }
        effects.extend(live.tell(|call| call.on_step_over(now)));
        let mut aftermath = self.exchange.run(id, live, effects, now);
        rows.append(&mut aftermath.rows);
        aftermath.rows = rows;
        Ok(aftermath)
    }

    /// What a call hears after which nothing follows.
    pub(super) fn goodbye(
        &self,
        live: &mut Live,
        carrier: &Carrier,
        step: u32,
        caller: CallerLeg,
        now: Timestamp,
    ) -> Arc<Answer> {
        let reason = live.outcome();
        event::step_taken(live.campaign.as_ref(), "hangup", reason);
        let reply = CarrierReply {
            call_id: live.id,
            caller,
            step,
            action: Action::Hangup(HangupCause::Normal),
            basis: "terminal",
            reason,
            valid_until: now,
            max_talk_s: 0,
            token: Some(live.token),
            decided_us: 0,
        };
        live.said_goodbye = true;
        self.answer(carrier, reply, 0)
    }
}

/// How long a goodbye waits for its money to be on disk: to the end, for a carrier that asks again when it hears nothing;
/// for one that does not, no longer than a caller would notice.
fn patience(live: &Live) -> Duration {
    if live.signed { A_MOMENT } else { Duration::MAX }
}

/// Whether what is reported may turn out to have been a talk.
fn may_be_a_talk(live: &Live, report: &StepReport) -> bool {
    let is_talk = |kind: &EventKind| match kind {
        EventKind::Ended { talk_ms: Some(talk_ms), .. } => *talk_ms > 0,
        EventKind::Ended { cause, .. } => matches!(cause, Cause::Normal | Cause::Failed),
        _ => true,
    };
    live.open().is_some_and(|open| open.call.awaits_news())
        || report.ends.iter().any(|end| is_talk(&end.event.kind))
}

/// The answer to a step that was asked for before.
fn known(live: &Live, report: &StepReport) -> Result<Option<Begun>, NotTaken> {
    let current = live.steps.len() as u32 + 1;
    let at = match report.step {
        0 => return Err(NotTaken::NoStep),
        step if step > current => return Err(NotTaken::NoStep),
        // After a goodbye there is nothing else to say.
        step if step == current && live.said_goodbye => live.steps.len().saturating_sub(1),
        step if step == current => return Ok(None),
        step => step as usize - 1,
    };
    Ok(live.steps.get(at).map(|step| match step {
        calls::Step::Deciding(waiting) => Begun::Wait(waiting.clone()),
        calls::Step::Decided(answer) => Begun::Known(Arc::clone(answer), None),
    }))
}

fn internal_error() -> NotTaken {
    NotTaken::NotDurable(CommitError::Failed("an internal error".to_owned()))
}
