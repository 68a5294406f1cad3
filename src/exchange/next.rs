//! The next step of a call: its attempts ended without a talk, and the caller is still there.
//!
//! The carrier says how the attempts of its last answer ended, which counts as their report; then what the decision left
//! standing is tried, and after it the rest of the walk. Bids and terms are those of the decision; whether somebody may be
//! given the call is asked of the catalog in force now. Like a decision a step is a task of the exchange: the same request
//! again, on whatever worker, gets the same bytes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use super::answer::is_dial;
use super::decide::{Ctx, Prepared, Way};
use super::progress::{Aftermath, Claim, NotTaken, attempt_row, outcome};
use super::story::{Beaten, Decided};
use super::subject::Subject;
use super::{Asking, Deciding, InForce, Worker};
use crate::call::Onward;
use crate::call::event::CallEvent;
use crate::carrier::{Action, CallerLeg, CarrierReply, StepReport};
use crate::domain::plan::AuctionNode;
use crate::domain::{
    CallId, CampaignId, Carrier, CarrierIx, Catalog, HangupCause, Node, PublisherId, TargetId, TargetIx,
    Timestamp,
};
use crate::records::CommitError;
use crate::records::row::{EventRow, Row};
use crate::routing::ring_tree::Step;
use crate::state::calls::{self, Answer, Live, Waiting, wait};
use crate::state::rest::{Ahead, Rest};
use crate::telemetry::event;

/// A step that was given up is begun again this often.
const TRIES: usize = 3;

/// What a request for a step finds.
enum Begun {
    /// The answer is known; what it was written with may have to reach the disk first.
    Known(Arc<Answer>, Option<Written>),
    /// Somebody else decides.
    Wait(Waiting),
    /// It is the first.
    First(Waiting),
}

type Written = futures_util::future::BoxFuture<'static, Result<(), CommitError>>;

/// A step that is to be taken.
struct Job {
    call: CallId,
    carrier: CarrierIx,
    call_at: Timestamp,
    token: u128,
    asking: Asking,
    caller: CallerLeg,
    /// The step it becomes.
    step: u32,
    attempt: u32,
    onward: Onward,
    tried: Vec<TargetId>,
    whose: (Option<CampaignId>, Option<PublisherId>),
    rest: Box<Rest>,
    tell: watch::Sender<Option<Arc<Answer>>>,
}

impl Worker {
    /// The answer to a carrier that asks for the step after `report.step`, read to its end at `arrived`.
    pub async fn next(
        self: &Arc<Self>,
        claim: Claim,
        report: StepReport,
        asking: Asking,
        arrived: Timestamp,
    ) -> Result<Arc<Answer>, NotTaken> {
        for _ in 0..TRIES {
            let begin = AssertUnwindSafe(|| self.begin_next(&claim, &report, asking, arrived));
            let begun = std::panic::catch_unwind(begin).unwrap_or_else(|_| {
                event::panicked("step", "a request for the next step of a call");
                Err(internal_error())
            })?;
            let waiting = match begun {
                Begun::Known(answer, None) => return Ok(answer),
                Begun::Known(answer, Some(written)) => {
                    return match written.await {
                        Ok(()) => Ok(answer),
                        Err(error) => {
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
        let slot = exchange.recorder.reserve().map_err(NotTaken::NotDurable)?;
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
                    Begun::Known(answer, _) if live.said_goodbye => {
                        Begun::Known(answer, Some(Box::pin(slot.commit(Vec::new()))))
                    }
                    begun => begun,
                };
                return Ok((begun, Aftermath::default(), live.campaign.clone()));
            }
            let mut aftermath = self.take_ends(claim.call, live, report, now)?;
            let (tell, waiting) = watch::channel(None);
            let onward = if live.billed().is_some() { Onward::Finished } else { live.call.onward() };
            let step = live.steps.len() as u32 + 2;
            let begun = match (onward, live.rest.take()) {
                (Onward::Attempt { .. } | Onward::Terminal, Some(rest)) => {
                    live.steps.push(calls::Step::Deciding(waiting.clone()));
                    let tried = live.offered.iter().filter_map(|o| Some(o.taker.as_ref()?.target.clone()));
                    job = Some(Job {
                        call: claim.call,
                        carrier,
                        call_at: live.at,
                        token: live.token,
                        asking,
                        caller: report.caller,
                        step,
                        attempt: live.call.attempts() + 1,
                        onward,
                        tried: tried.collect(),
                        whose: (live.campaign.clone(), live.publisher.clone()),
                        rest,
                        tell,
                    });
                    // What does not end in money need not be on disk before the next target rings.
                    drop(slot.commit(std::mem::take(&mut aftermath.rows)));
                    Begun::First(waiting)
                }
                _ => {
                    let effects = live.call.close(now);
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
                    let rows = std::mem::take(&mut aftermath.rows);
                    let written: Written = Box::pin(slot.commit(rows));
                    Begun::Known(answer, Some(written))
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
        let of_step = live.offered.iter().find(|offered| offered.step == report.step).map(|o| o.attempt);
        let mut ends = Vec::with_capacity(report.ends.len());
        for end in &report.ends {
            let attempt = end.attempt.or(of_step).filter(|attempt| live.call.has_attempt(*attempt));
            ends.push((attempt.ok_or(NotTaken::NoAttempt)?, end));
        }
        let told = |open: &u32| ends.iter().any(|(attempt, _)| attempt == open);
        if let Some(attempt) = live.call.open().find(|open| !told(open)) {
            return Err(NotTaken::NoEnd(attempt));
        }
        let mut effects = Vec::new();
        let mut rows = Vec::new();
        for (attempt, end) in ends {
            let told = CallEvent { attempt: Some(attempt), ..end.event.clone() };
            effects.extend(live.call.on_event(&told, now));
            rows.push(Row::Event(Box::new(EventRow {
                call_id: id,
                event_id: format!("next/{}/{attempt}", report.step),
                attempt: Some(attempt),
                kind: "ended",
                at: Some(end.event.at),
                received: now,
                detail: end.detail.clone(),
            })));
        }
        effects.extend(live.call.on_step_over(now));
        let mut aftermath = self.exchange.run(id, live, effects, now);
        rows.append(&mut aftermath.rows);
        aftermath.rows = rows;
        Ok(aftermath)
    }

    /// What a call hears after which nothing follows.
    fn goodbye(
        &self,
        live: &mut Live,
        carrier: &Carrier,
        step: u32,
        caller: CallerLeg,
        now: Timestamp,
    ) -> Arc<Answer> {
        let reason = outcome(live, now);
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
        self.answer(carrier, &reply, 0)
    }

    /// Takes the step behind its fence, and tells everybody who waits.
    async fn take_step(self: Arc<Self>, in_force: Arc<InForce>, job: Job, arrived: Timestamp) {
        let (call, step) = (job.call, job.step);
        let story =
            AssertUnwindSafe(Arc::clone(&self).step_story(in_force, job, arrived)).catch_unwind().await;
        if story.is_err() {
            event::panicked("step", "a step of a call; the carrier hears a goodbye when it asks again");
            self.give_up(call, step);
        }
    }

    /// After a bug: nothing follows, and the next request for the step hears so.
    fn give_up(&self, call: CallId, step: u32) {
        let now = self.exchange.clock.now();
        let closed = self.exchange.state.calls.with(call, |live| {
            let at = step.saturating_sub(2) as usize;
            // An answer that is out stands, whatever went wrong after it.
            if !matches!(live.steps.get(at), Some(calls::Step::Deciding(_))) {
                return (Aftermath::default(), live.campaign.clone());
            }
            live.steps.truncate(at);
            let effects = live.call.close(now);
            let aftermath = self.exchange.run(call, live, effects, now);
            self.exchange.watch(call, live, now);
            (aftermath, live.campaign.clone())
        });
        if let Some((mut aftermath, campaign)) = closed {
            self.exchange.recorder.push(std::mem::take(&mut aftermath.rows));
            self.exchange.follow(call, campaign.as_ref(), aftermath);
        }
    }

    async fn step_story(self: Arc<Self>, in_force: Arc<InForce>, job: Job, arrived: Timestamp) {
        let Job {
            call,
            carrier,
            call_at,
            token,
            asking,
            caller,
            step,
            attempt,
            onward,
            tried,
            whose,
            rest,
            tell,
        } = job;
        let ring = match onward {
            Onward::Attempt { ring } => ring,
            Onward::Terminal | Onward::Finished => Duration::ZERO,
        };
        let seed = rest.seed;
        let ctx = Ctx {
            in_force: Arc::clone(&in_force),
            carrier,
            request: Arc::clone(&rest.request),
            caller,
            arrived,
            call_at,
            call_id: call,
            seed,
            about: 0,
            asking,
            token,
            step,
            attempt,
            ring,
        };
        let catalog = &in_force.snapshot.catalog;
        let subject = Subject::of(catalog, &ctx.request).still(catalog, &whose);
        let mut left = Left::of(catalog, &rest, &tried, onward);
        if asking == Asking::Fallback {
            left.standing.retain(|(.., basis)| *basis == "static");
        }
        let way = Way {
            targets: left.targets.clone(),
            walk: left.steps(),
            promised: rest.payout,
            terminal: &rest.terminal,
            plan: &rest.plan,
        };
        let mut prepared = self.prepare(&ctx, subject, way);
        let decided = self.settled_story(&ctx, &mut prepared, left.standing.clone()).await;
        self.finish_step(&ctx, prepared, decided, &tell);
    }

    /// Hands out what was decided, unless the caller left meanwhile.
    fn finish_step(
        self: &Arc<Self>,
        ctx: &Ctx,
        mut prepared: Prepared<'_>,
        mut decided: Decided,
        tell: &watch::Sender<Option<Arc<Answer>>>,
    ) {
        let exchange = &self.exchange;
        let now = exchange.clock.now();
        let mut reply = self.reply(ctx, &prepared, &decided, now);
        reply.decided_us = now.since(ctx.arrived).as_micros() as u64;
        let mut taken = decided.taken.take();
        let rest = self.rest(ctx, &prepared, &decided);
        let patience = self.patience(ctx, &prepared, taken.as_ref().map(|taken| taken.target));
        let mut rows = Vec::new();
        // The end of a call is not for the queue that may drop.
        let slot = exchange.recorder.reserve().ok();
        let told = exchange.state.calls.with(ctx.call_id, |live| {
            let mut aftermath = Aftermath::default();
            let answer = if is_dial(&reply.action) && !live.call.is_caller_gone() {
                event::step_taken(live.campaign.as_ref(), reply.action.as_str(), reply.reason);
                let offered = self.offered(ctx, &prepared, taken.take(), &reply, now);
                rows.push(Row::Attempt(Box::new(attempt_row(
                    &prepared.trail.keys(),
                    live.test,
                    &offered,
                    now,
                ))));
                live.call.offer(ctx.attempt, self.kind(ctx, &offered), patience, now);
                live.offered.push(offered);
                live.rest = Some(Box::new(rest));
                self.answer(ctx.carrier(), &reply, ctx.about)
            } else {
                let effects = live.call.close(now);
                aftermath = exchange.run(ctx.call_id, live, effects, now);
                if let Some(slot) = slot.filter(|_| !aftermath.rows.is_empty()) {
                    drop(slot.commit(std::mem::take(&mut aftermath.rows)));
                }
                if live.call.is_caller_gone() {
                    self.goodbye(live, ctx.carrier(), ctx.step, ctx.caller, now)
                } else {
                    live.said_goodbye |= matches!(reply.action, Action::Hangup(_));
                    event::step_taken(live.campaign.as_ref(), reply.action.as_str(), reply.reason);
                    self.answer(ctx.carrier(), &reply, ctx.about)
                }
            };
            if let Some(slot) = live.steps.get_mut(ctx.step as usize - 2) {
                *slot = calls::Step::Decided(Arc::clone(&answer));
            }
            exchange.watch(ctx.call_id, live, now);
            (answer, aftermath, live.campaign.clone())
        });
        let Some((answer, mut aftermath, campaign)) = told else { return };
        tell.send_replace(Some(answer));
        rows.append(&mut aftermath.rows);
        exchange.follow(ctx.call_id, campaign.as_ref(), aftermath);
        // Who was chosen and not handed out, as the caller left meanwhile.
        if let Some(taken) = taken.take() {
            prepared.trail.withdraw(taken.target);
        }
        self.record(ctx, rows, prepared.trail, decided.out);
    }
}

fn internal_error() -> NotTaken {
    NotTaken::NotDurable(CommitError::Failed("an internal error".to_owned()))
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

/// What is left of a decision, in terms of the catalog in force now.
struct Left {
    targets: Vec<TargetIx>,
    standing: Vec<Beaten>,
    walk: Vec<(usize, Node)>,
}

impl Left {
    /// Who was tried is not tried again, and who is gone from the catalog cannot be.
    fn of(catalog: &Catalog, rest: &Rest, tried: &[TargetId], onward: Onward) -> Left {
        let mut left = Left { targets: Vec::new(), standing: Vec::new(), walk: Vec::new() };
        if onward == Onward::Terminal {
            return left;
        }
        let find = |id: &TargetId| {
            let at = catalog.targets.binary_search_by(|target| target.id.cmp(id)).ok()?;
            (!tried.contains(id)).then_some(TargetIx(at as u32))
        };
        for standing in &rest.standing {
            let is_same_buyer = |ix: &TargetIx| catalog.buyer(catalog.target(*ix).buyer).id == standing.buyer;
            let found = find(&standing.target).filter(is_same_buyer);
            left.standing.extend(found.map(|ix| (ix, standing.ranked.clone(), standing.basis)));
        }
        left.targets.extend(left.standing.iter().map(|(ix, ..)| *ix));
        for (place, ahead) in &rest.walk {
            let node = match ahead {
                Ahead::Dial(id) => find(id).map(Node::Target),
                Ahead::Auction { members, floor, takeover } => Some(Node::Auction(AuctionNode {
                    members: members.iter().filter_map(find).collect(),
                    floor: *floor,
                    takeover: *takeover,
                })),
            };
            if let Some(node) = node {
                node.targets(&mut left.targets);
                left.walk.push((*place, node));
            }
        }
        let mut seen = Vec::new();
        left.targets.retain(|ix| {
            !seen.contains(ix) && {
                seen.push(*ix);
                true
            }
        });
        left
    }

    fn steps(&self) -> Vec<(usize, Step<'_>)> {
        self.walk.iter().filter_map(|(place, node)| Some((*place, Step::of(node)?))).collect()
    }
}
