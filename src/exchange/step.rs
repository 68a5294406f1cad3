//! One step of a call after its first: what the decision left standing is tried, then the rest of its walk, by the catalog
//! in force now.
//!
//! Bids and terms are those of the decision. When a step is taken and who may ask for it is in `next`; how the walk goes
//! is in `story`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use super::answer::is_dial;
use super::decide::{Ctx, Prepared, Way};
use super::progress::{Aftermath, attempt_row};
use super::story::{Beaten, Decided, Taken};
use super::subject::Subject;
use super::{Asking, InForce, Worker};
use crate::call::Onward;
use crate::carrier::{Action, CallerLeg};
use crate::domain::plan::{AuctionNode, SimultaneousNode};
use crate::domain::{
    CallId, CampaignId, CarrierIx, Catalog, Node, PublisherId, TargetId, TargetIx, Timestamp,
};
use crate::records::row::Row;
use crate::routing::ring_tree::Step;
use crate::state::calls::{self, Answer};
use crate::state::rest::{Ahead, Rest, Standing};
use crate::telemetry::event;

/// A step that is to be taken.
pub(super) struct Job {
    pub(super) call: CallId,
    pub(super) carrier: CarrierIx,
    pub(super) call_at: Timestamp,
    pub(super) token: u128,
    pub(super) asking: Asking,
    pub(super) caller: CallerLeg,
    /// The step it becomes.
    pub(super) step: u32,
    pub(super) attempt: u32,
    pub(super) onward: Onward,
    pub(super) tried: Vec<TargetId>,
    pub(super) whose: (Option<CampaignId>, Option<PublisherId>),
    pub(super) rest: Arc<Rest>,
    pub(super) tell: watch::Sender<Option<Arc<Answer>>>,
}

impl Worker {
    /// Takes the step behind its fence, and tells everybody who waits.
    pub(super) async fn take_step(self: Arc<Self>, in_force: Arc<InForce>, job: Job, arrived: Timestamp) {
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
            let effects = live.tell(|call| call.close(now));
            let mut aftermath = self.exchange.run(call, live, effects, now);
            aftermath.picture(live);
            self.exchange.watch(call, live, now);
            self.exchange.hand_in(call, aftermath.entry(None));
            (aftermath, live.campaign.clone())
        });
        if let Some((aftermath, campaign)) = closed {
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
        // The lists of this moment: who was blocked or suppressed since is so from now on.
        let listed = self.exchange.callers.listed(catalog, ctx.request.from);
        let subject = Subject::of(catalog, &ctx.request, call_at).still(catalog, &whose).on(listed);
        let mut left = Left::of(catalog, (&rest.standing, &rest.walk, &rest.rings), &tried, onward);
        if asking == Asking::Fallback {
            left.standing.retain(|(.., basis)| *basis == "static");
        }
        let way = Way {
            targets: left.targets.clone(),
            walk: left.steps(),
            left: Vec::new(),
            rings: left.rings.clone(),
            turns: Vec::new(),
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
        decided.conclude(ctx, &mut prepared.trail);
        prepared.explain(ctx);
        let exchange = &self.exchange;
        let now = exchange.clock.now();
        let mut reply = self.reply(ctx, &prepared, &decided, now);
        reply.decided_us = now.since(ctx.arrived).as_micros() as u64;
        let mut taken = decided.taken.take();
        let rest = self.rest(ctx, &prepared, &decided);
        let told = exchange.state.calls.with(ctx.call_id, |live| {
            let mut aftermath = Aftermath::default();
            let campaign = live.campaign.clone();
            let goes_on = is_dial(&reply.action) && !live.is_caller_gone();
            let answer = if let Some(open) = live.open_mut().filter(|_| goes_on) {
                event::step_taken(campaign.as_ref(), reply.action.as_str(), reply.reason);
                let before = open.offered.len();
                self.hand_out(ctx, &prepared, open, taken.take(), &reply, now);
                let keys = prepared.trail.keys();
                let row = |offered| Row::Attempt(Box::new(attempt_row(&keys, open.test, offered, now)));
                aftermath.rows.extend(open.offered[before..].iter().map(row));
                open.rest = Some(Arc::new(rest));
                self.answer(ctx.carrier(), reply, ctx.about)
            } else {
                // Who was chosen is not handed out, as the caller left meanwhile.
                for taken in taken.iter().flat_map(Taken::all) {
                    prepared.trail.withdraw(taken.target);
                }
                let effects = live.tell(|call| call.close(now));
                aftermath = exchange.run(ctx.call_id, live, effects, now);
                if live.is_caller_gone() {
                    self.goodbye(live, ctx.carrier(), ctx.step, ctx.caller, now)
                } else {
                    live.said_goodbye |= matches!(reply.action, Action::Hangup(_));
                    event::step_taken(campaign.as_ref(), reply.action.as_str(), reply.reason);
                    self.answer(ctx.carrier(), reply, ctx.about)
                }
            };
            if let Some(slot) = live.steps.get_mut(ctx.step as usize - 2) {
                *slot = calls::Step::Decided(Arc::clone(&answer));
            }
            aftermath.picture(live);
            aftermath.rows.push(Row::Trail(Box::new(prepared.trail.row())));
            exchange.watch(ctx.call_id, live, now);
            exchange.hand_in(ctx.call_id, aftermath.entry(Some(&answer)));
            (answer, aftermath, campaign)
        });
        let Some((answer, aftermath, campaign)) = told else { return };
        tell.send_replace(Some(answer));
        exchange.follow(ctx.call_id, campaign.as_ref(), aftermath);
        self.see_out(ctx, prepared.trail, decided.out);
    }
}

/// What an earlier step left: the offers that stand, the walk, and who rings no longer than what.
pub(super) type LeftBehind<'a> = (&'a [Standing], &'a [(usize, Ahead)], &'a [(TargetId, Duration)]);

/// What is left of a decision, in terms of the catalog in force now.
pub(super) struct Left {
    pub(super) targets: Vec<TargetIx>,
    pub(super) standing: Vec<Beaten>,
    walk: Vec<(usize, Node)>,
    rings: Vec<(TargetIx, Duration)>,
}

impl Left {
    /// Who was tried is not tried again, and who is gone from the catalog cannot be.
    pub(super) fn of(
        catalog: &Catalog,
        (standing, walk, rings): LeftBehind<'_>,
        tried: &[TargetId],
        onward: Onward,
    ) -> Left {
        let mut left =
            Left { targets: Vec::new(), standing: Vec::new(), walk: Vec::new(), rings: Vec::new() };
        if onward == Onward::Terminal {
            return left;
        }
        let find = |id: &TargetId| {
            let at = catalog.targets.binary_search_by(|target| target.id.cmp(id)).ok()?;
            (!tried.contains(id)).then_some(TargetIx(at as u32))
        };
        for standing in standing {
            let is_same_buyer = |ix: &TargetIx| catalog.buyer(catalog.target(*ix).buyer).id == standing.buyer;
            let found = find(&standing.target).filter(is_same_buyer);
            left.standing.extend(found.map(|ix| (ix, standing.ranked.clone(), standing.basis)));
        }
        left.targets.extend(left.standing.iter().map(|(ix, ..)| *ix));
        for (place, ahead) in walk {
            let node = match ahead {
                Ahead::Dial(id) => find(id).map(Node::Target),
                Ahead::Auction(auction) => Some(Node::Auction(AuctionNode {
                    members: auction.members.iter().filter_map(find).collect(),
                    floor: auction.floor,
                    takeover: auction.takeover,
                    timeout: auction.timeout,
                })),
                Ahead::Together(together) => Some(Node::Simultaneous(SimultaneousNode {
                    members: together.members.iter().filter_map(find).collect(),
                    screen: together.screen,
                })),
            };
            if let Some(node) = node {
                node.targets(&mut left.targets);
                left.walk.push((*place, node));
            }
        }
        left.rings.extend(rings.iter().filter_map(|(id, ring)| Some((find(id)?, *ring))));
        let mut seen = Vec::new();
        left.targets.retain(|ix| {
            !seen.contains(ix) && {
                seen.push(*ix);
                true
            }
        });
        left
    }

    pub(super) fn steps(&self) -> Vec<(usize, Step<'_>)> {
        self.walk.iter().filter_map(|(place, node)| Some((*place, Step::of(node)?))).collect()
    }
}
