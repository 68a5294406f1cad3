//! Pings that are out when their step is decided: each gets its outcome, and a bid that came in time after an early end
//! joins the offers for the call's later attempts.
//!
//! What a late reply is worth is said by `ping`, who comes before whom by the auction itself, asked again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::decide::Ctx;
use super::progress::Aftermath;
use super::trail::Trail;
use super::{InForce, Worker};
use crate::auction::Auction;
use crate::domain::{CallId, TargetIx, Timestamp};
use crate::ping::Outstanding;
use crate::records::entry::Entry;
use crate::records::row::Row;
use crate::state::live::Open;
use crate::state::rest::{STANDING_MAX, Standing};
use crate::telemetry::event;

/// The pings of a step that are out when it is decided.
pub(super) struct StillOut {
    outstanding: Outstanding,
    /// The target of each entrant.
    members: Vec<TargetIx>,
    joining: Option<Joining>,
}

/// The auction whose winner was handed out.
struct Joining {
    auction: Auction,
    closes: Timestamp,
    /// When its winner was chosen.
    settled: Timestamp,
    /// Where its entrants stand among all members.
    first: usize,
    count: usize,
}

impl StillOut {
    /// Of one auction; if its winner was handed out, with when it closes and when that was chosen.
    pub(super) fn of(
        outstanding: Outstanding,
        members: Vec<TargetIx>,
        auction: Auction,
        handed_out: Option<(Timestamp, Timestamp)>,
    ) -> StillOut {
        let count = members.len();
        StillOut {
            outstanding,
            members,
            joining: handed_out.map(|(closes, settled)| Joining {
                auction,
                closes,
                settled,
                first: 0,
                count,
            }),
        }
    }

    /// Waits for `other`, a later auction of the same step, without losing sight of the pings of earlier ones.
    pub(super) async fn during<T>(out: &mut Option<StillOut>, other: Pin<&mut impl Future<Output = T>>) -> T {
        match out {
            Some(out) => out.outstanding.during(other).await,
            None => other.await,
        }
    }

    /// A later auction of the same step adds its pings.
    pub(super) fn merge(into: &mut Option<StillOut>, more: Option<StillOut>) {
        let Some(more) = more.filter(|more| !more.outstanding.is_empty()) else { return };
        match into {
            None => *into = Some(more),
            Some(all) => {
                let first = all.members.len();
                all.outstanding.join(more.outstanding, first);
                all.members.extend(more.members);
                all.joining = more.joining.map(|joining| Joining { first, ..joining });
            }
        }
    }
}

/// The step that a late bid may still help.
struct Helped {
    in_force: Arc<InForce>,
    call: CallId,
    step: u32,
    /// A bid has joined what stands in the call.
    is_changed: bool,
}

impl Worker {
    /// Hands in the call's first entry with the outcomes so far, and sees to it that every ping that is out gets its own.
    pub(super) fn record(self: &Arc<Self>, ctx: &Ctx, mut entry: Entry, trail: Trail, out: Option<StillOut>) {
        if trail.pending().is_empty() {
            count_outcomes(&trail, |_| true);
            entry.rows.push(Row::Trail(Box::new(trail.into_row())));
            return self.exchange.hand_in(ctx.call_id, entry);
        }
        entry.rows.push(Row::Trail(Box::new(trail.row())));
        self.exchange.hand_in(ctx.call_id, entry);
        self.see_out(ctx, trail, out);
    }

    /// Sees to it that every ping that is out gets its own outcome, where those so far are handed in.
    pub(super) fn see_out(self: &Arc<Self>, ctx: &Ctx, mut trail: Trail, out: Option<StillOut>) {
        let pending = trail.pending();
        count_outcomes(&trail, |target| !pending.contains(&target));
        if pending.is_empty() {
            return;
        }
        let (call, step) = (ctx.call_id, ctx.step);
        let helped = Helped { in_force: Arc::clone(&ctx.in_force), call, step, is_changed: false };
        match out {
            Some(out) => {
                let worker = Arc::clone(self);
                tokio::spawn(async move { worker.linger(out, trail, &pending, helped).await });
            }
            None => {
                // Nobody's reply can come any more.
                pending.iter().for_each(|target| trail.time_out(*target));
                self.record_final(&helped, trail, &pending);
            }
        }
    }

    /// Waits for late replies, then writes the outcomes that were pending.
    async fn linger(
        self: Arc<Self>,
        mut out: StillOut,
        mut trail: Trail,
        pending: &[TargetIx],
        mut helped: Helped,
    ) {
        while let Some(late) = out.outstanding.next().await {
            let target = out.members[late.entrant];
            if let Some(joining) = out.joining.as_mut().filter(|joining| {
                late.in_time && (joining.first..joining.first + joining.count).contains(&late.entrant)
            }) {
                let read = joining.closes.before(Duration::from_micros(1));
                joining.auction.on_reply(late.entrant - joining.first, late.reply.clone(), read);
                helped.is_changed |= self.join(joining, &out.members, &helped);
            }
            trail.resolve(target, late);
        }
        for target in pending {
            trail.time_out(*target);
        }
        self.record_final(&helped, trail, pending);
    }

    /// What stands for the next step of the call, ranked with what came; whether there still is a call that it helps.
    fn join(&self, joining: &Joining, members: &[TargetIx], helped: &Helped) -> bool {
        // As of then, like those that stand already: one that died since is told so when its turn comes.
        let ranking = joining.auction.ranking(joining.settled);
        let catalog = &helped.in_force.snapshot.catalog;
        let joined = self.exchange.state.calls.with(helped.call, |live| {
            let is_latest = live.steps.len() as u32 + 1 == helped.step;
            let Some(Open { rest: Some(rest), offered, .. }) = live.open_mut().filter(|_| is_latest) else {
                return false;
            };
            let standing = ranking.ranked.into_iter().map(|ranked| {
                let target = catalog.target(members[joining.first + ranked.entrant]);
                let buyer = catalog.buyer(target.buyer).id.clone();
                Standing { target: target.id.clone(), buyer, ranked, basis: "auction" }
            });
            let is_new = |standing: &Standing| {
                !offered.iter().any(|o| o.taker.as_ref().is_some_and(|taker| taker.target == standing.target))
            };
            Arc::make_mut(rest).standing = standing.filter(is_new).take(STANDING_MAX).collect();
            true
        });
        joined.unwrap_or(false)
    }

    /// Hands in the outcomes as they stay, with the call where it has changed by them: a start must know who stands too.
    fn record_final(&self, helped: &Helped, trail: Trail, pending: &[TargetIx]) {
        count_outcomes(&trail, |target| pending.contains(&target));
        let (exchange, call) = (&self.exchange, helped.call);
        let mut last = Aftermath::default();
        last.rows.push(Row::Trail(Box::new(trail.into_row())));
        if helped.is_changed {
            exchange.state.calls.with(call, |live| {
                last.picture(live);
                exchange.hand_in(call, last.entry(None));
            });
        }
        // Of a call that is known no more, or as it was, only the outcomes are left to be told.
        exchange.explain(call, last.entry(None));
    }
}

fn count_outcomes(trail: &Trail, counted: impl Fn(TargetIx) -> bool) {
    if trail.is_test() {
        return;
    }
    for (target, outcome) in trail.targets().into_iter().zip(trail.outcomes()) {
        if counted(target) {
            event::outcome(&outcome.buyer, outcome.reason);
        }
    }
}
