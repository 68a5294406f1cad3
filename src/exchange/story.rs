//! The story of one step: what stands is tried, then the plan is walked, until somebody's capacity is held.
//!
//! Auctions are opened and asked in `ask`; who may take part was settled in `decide`. Whatever happens here, a bug
//! included, ends with something to answer.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;

use super::admission::{Admitted, Pass};
use super::ask::Run;
use super::decide::{Ctx, Prepared, Rings};
use super::held::{Held, is_strict};
use super::linger::StillOut;
use super::since::{Refused, paused_since, same_target};
use super::subject::Subject;
use super::trail::Trail;
use super::{Asking, InForce, Worker};
use crate::auction::rank::Ranked;
use crate::auction::{Offer, Ranking};
use crate::capacity::{Basis, CapKey, Claim, Entity, NO_LIMIT};
use crate::carrier::generic::Draft;
use crate::domain::catalog::Limits;
use crate::domain::time_range::limits_at;
use crate::domain::{AfterFailure, Campaign, Catalog, Money, Reason, TargetIx, Timestamp};
use crate::routing::ring_tree::Step;
use crate::routing::rules::PAUSED_SINCE;
use crate::telemetry::event::{self, Asked};
use crate::telemetry::stage::{Laps, Stage};

/// An offer that was beaten, and what an answer by it rests on.
pub(super) type Beaten = (TargetIx, Ranked, &'static str);

/// Who takes the call.
pub(super) struct Taken {
    pub(super) target: TargetIx,
    pub(super) offer: Offer,
    /// What its buyer pays if the call is billable.
    pub(super) price: Money,
    pub(super) held: Held,
    pub(super) basis: &'static str,
    pub(super) reason: Reason,
    /// Whoever picks up takes the call only by pressing a digit.
    pub(super) screen: bool,
    /// Who rings at the same time, in the order of the plan.
    pub(super) together: Vec<Taken>,
}

impl Taken {
    /// One that rings alone, and has the caller when it picks up.
    pub(super) fn by(
        target: TargetIx,
        offer: Offer,
        price: Money,
        held: Held,
        basis: &'static str,
        reason: Reason,
    ) -> Taken {
        Taken { target, offer, price, held, basis, reason, screen: false, together: Vec::new() }
    }

    /// It and who rings with it.
    pub(super) fn all(&self) -> impl Iterator<Item = &Taken> {
        std::iter::once(self).chain(&self.together)
    }
}

/// A decision.
pub(super) struct Decided {
    pub(super) taken: Option<Taken>,
    /// Why nobody took it.
    pub(super) reason: Reason,
    /// How many steps of the walk are done with.
    pub(super) walked: usize,
    /// Offers that the one taken has beaten, best first.
    pub(super) beaten: Vec<Beaten>,
    /// Pings that are out.
    pub(super) out: Option<StillOut>,
    /// What it took so far.
    pub(super) laps: Laps,
    pub(super) asked: Asked,
    /// The answer by who led before the last bid.
    pub(super) draft: Option<Box<Draft>>,
    /// The auction that was won.
    won: Option<Won>,
}

/// An auction whose winner is held, and of which everybody else has no reason yet.
struct Won {
    run: Box<Run>,
    /// What an answer by one of its offers rests on.
    basis: &'static str,
    /// Whether what was beaten stands for later attempts.
    stands: bool,
}

impl Decided {
    /// Nothing was tried yet.
    fn nobody(prepared: &Prepared<'_>) -> Decided {
        Decided {
            taken: None,
            reason: prepared.barred.unwrap_or(Reason::NoTaker),
            walked: 0,
            beaten: Vec::new(),
            out: None,
            laps: prepared.laps,
            asked: Asked::Nobody,
            draft: None,
            won: None,
        }
    }

    /// Ends the auction that was won: everybody else in it has a reason afterwards. No answer needs it, and the carrier
    /// waits for one; what is recorded and what later steps are taken by does.
    pub(super) fn conclude(&mut self, ctx: &Ctx, trail: &mut Trail) {
        let Some(won) = self.won.take() else { return };
        let Won { run, basis, stands } = won;
        let Ranking { ranked, unplaced } = run.ranking();
        let mut ranked = ranked.into_iter();
        if let Some(first) = ranked.next() {
            self.beaten.reserve(if stands { ranked.len() } else { 0 });
            for lost in ranked {
                let target = run.target(lost.entrant);
                trail.close(target, lost.lost_to(&first), Some(lost.offer.price), None);
                if stands {
                    self.beaten.push((target, lost, basis));
                }
            }
        }
        StillOut::merge(&mut self.out, run.end(ctx, trail, unplaced, stands));
    }
}

impl Worker {
    /// The story behind its fence.
    pub(super) async fn settled_story(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        standing: Vec<Beaten>,
    ) -> Decided {
        // Written to where it is: a decision that waits is as large as what it holds, and it would hold this twice.
        let mut decided = Decided::nobody(prepared);
        let story = AssertUnwindSafe(self.story(ctx, prepared, standing, &mut decided)).catch_unwind().await;
        if story.is_err() {
            event::panicked("decide", "the static answer stands in");
            // What it held is free for the static answer.
            drop(decided);
            decided = self.stand_in(ctx, prepared).await;
        }
        decided
    }

    /// Tries the offers that stand from an earlier step, then walks on: auctions ask, static targets are tried, the first
    /// that can be held takes the call.
    async fn story(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        standing: Vec<Beaten>,
        decided: &mut Decided,
    ) {
        if prepared.barred.is_some() {
            return;
        }
        self.try_standing(ctx, prepared, standing, decided).await;
        if decided.taken.is_some() {
            return;
        }
        let (asking, _slot) = self.may_ask(ctx, prepared);
        for place in 0..prepared.way.walk.len() {
            let (at, step) = prepared.way.walk[place];
            decided.walked += 1;
            decided.taken = match step {
                Step::Dial(_) => self.try_static(ctx, prepared, |step| step == at).await,
                Step::Together(node) => self.try_together(ctx, prepared, at, node.screen).await,
                Step::Auction(node) => {
                    let (subject, terms) = (&prepared.subject, (prepared.bars, &prepared.prices));
                    let run = self.auction(ctx, subject, terms, &mut prepared.trail, (at, node), asking);
                    if run.has_asked() {
                        self.in_pass(Pass::Ask).await;
                    }
                    let asked = (&prepared.subject, &prepared.way.rings);
                    self.try_ranked(ctx, asked, &mut prepared.trail, run, decided).await
                }
            };
            if decided.taken.is_some() {
                break;
            }
        }
    }

    /// Whether this step's auctions ask, and the place they need among decisions with pings, for as long as it is taken.
    fn may_ask(&self, ctx: &Ctx, prepared: &Prepared<'_>) -> (Asking, Option<OwnedSemaphorePermit>) {
        let is_asked = |ix: &TargetIx| ctx.in_force.health[ix.at()].is_some() && prepared.trail.is_open(*ix);
        let mut steps = prepared.way.walk.iter().map(|(_, step)| step);
        let has_bidders =
            steps.any(|step| matches!(step, Step::Auction(node) if node.members.iter().any(is_asked)));
        if ctx.asking != Asking::Open || !has_bidders {
            return (ctx.asking, None);
        }
        if self.admitted() != Admitted::Auctions {
            event::auctions_shed("delay");
            return (Asking::Overload, None);
        }
        match Arc::clone(&self.exchange.slots).try_acquire_owned() {
            Ok(slot) => (Asking::Open, Some(slot)),
            Err(_) => {
                event::auctions_shed("decisions");
                (Asking::Overload, None)
            }
        }
    }

    /// Splits the time so far into ours and the buyers': an auction that asked nobody was all ours, and of one that had
    /// to open connections nobody can say.
    fn note_run(run: &Run, decided: &mut Decided) {
        if !run.has_asked() {
            return;
        }
        let written = run.written();
        decided.laps.end(Stage::Ask, written.map_or(run.closed, |written| written.last));
        decided.laps.end(Stage::Wait, run.closed);
        let all_warm = written.is_some_and(|written| written.all_warm);
        decided.asked = if all_warm && decided.asked != Asked::Cold { Asked::Warm } else { Asked::Cold };
    }

    /// Tries the static answer's targets of the chosen steps, in order.
    async fn try_static(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        chosen: impl Fn(usize) -> bool,
    ) -> Option<Taken> {
        for place in 0..prepared.static_answer.len() {
            let (step, target, _) = prepared.static_answer[place];
            if !chosen(step) || !prepared.trail.is_open(target) {
                continue;
            }
            let offer = prepared.static_answer[place].2.clone();
            match self.hold(ctx, &prepared.subject, target).await {
                Ok(held) => {
                    prepared.trail.close(target, Reason::Won, Some(offer.price), None);
                    let (price, screen) = (offer.price, prepared.is_screened(step));
                    return Some(Taken {
                        screen,
                        ..Taken::by(target, offer, price, held, "static", Reason::Static)
                    });
                }
                Err(refused) => {
                    prepared.trail.close(target, refused.reason, Some(offer.price), Some(refused.note));
                }
            }
        }
        None
    }

    /// Tries the offers that an earlier step left standing, in their order, as far as they hold now.
    async fn try_standing(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        standing: Vec<Beaten>,
        decided: &mut Decided,
    ) {
        let handed_out_until = ctx.arrived.after(self.exchange.rules.dial_guard);
        let mut first: Option<Ranked> = None;
        for (target, ranked, basis) in standing {
            let price = Some(ranked.offer.price);
            if !prepared.trail.is_open(target) {
                continue;
            }
            if ranked.offer.expires.is_some_and(|expires| expires < handed_out_until) {
                prepared.trail.close(target, Reason::Expired, price, None);
                continue;
            }
            if let Some(first) = &first {
                prepared.trail.close(target, ranked.lost_to(first), price, None);
                decided.beaten.push((target, ranked, basis));
                continue;
            }
            // The margin is judged again at every attempt, by what is asked for now.
            let bars = prepared.bars;
            let Some(pays) = ranked.pays_at_least(bars.min_price) else {
                let note = bars.note(Reason::Margin, bars.floor);
                prepared.trail.close(target, Reason::Margin, price, note);
                continue;
            };
            match self.hold(ctx, &prepared.subject, target).await {
                Ok(held) => {
                    prepared.trail.close(target, Reason::Won, price, None);
                    let reason = if basis == "auction" { Reason::Won } else { Reason::Static };
                    let offer = ranked.offer.clone();
                    decided.taken = Some(Taken::by(target, offer, pays, held, basis, reason));
                    first = Some(ranked);
                }
                Err(refused) => prepared.trail.close(target, refused.reason, price, Some(refused.note)),
            }
        }
    }

    /// Runs the auction to its end: as soon as it is settled, who comes first is held. Who cannot be is struck, and the
    /// auction goes on without it, with the bids that came meanwhile. Who comes after the winner is told in
    /// [`Decided::conclude`].
    async fn try_ranked(
        &self,
        ctx: &Ctx,
        (subject, rings): (&Subject<'_>, &Rings),
        trail: &mut Trail,
        mut run: Box<Run>,
        decided: &mut Decided,
    ) -> Option<Taken> {
        let draft = &mut decided.draft;
        let won = loop {
            let leads = |target, offer: &Offer| *draft = self.draft(ctx, (subject, rings), target, offer);
            let first = {
                let settled = pin!(run.settle(&self.exchange.clock, leads));
                StillOut::during(&mut decided.out, settled).await
            };
            let Some(first) = first else {
                if run.may_go_on() {
                    continue;
                }
                break None;
            };
            let (target, price) = (run.target(first.entrant), Some(first.offer.price));
            match run.during(self.hold(ctx, subject, target)).await {
                Ok(held) => {
                    trail.close(target, Reason::Won, price, None);
                    break Some((target, first, held));
                }
                Err(refused) => {
                    trail.close(target, refused.reason, price, Some(refused.note));
                    run.strike(first.entrant);
                }
            }
        };
        Self::note_run(&run, decided);
        let Some((target, Ranked { offer, pays, .. }, held)) = won else {
            let unplaced = run.ranking().unplaced;
            StillOut::merge(&mut decided.out, run.end(ctx, trail, unplaced, false));
            return None;
        };
        let (basis, reason) =
            if run.has_bids { ("auction", Reason::Won) } else { ("static", Reason::Static) };
        // Where the auction is held anew after a failed attempt, nothing of this one stands.
        let stands = !asks_anew(subject.campaign(&ctx.in_force.snapshot.catalog));
        decided.walked -= usize::from(!stands);
        decided.won = Some(Won { run, basis, stands });
        Some(Taken::by(target, offer, pays, held, basis, reason))
    }

    /// Holds what the target takes now, in the windows of now; a test call takes nothing. The decision keeps its terms,
    /// but a catalog that came into force since is heard: who was paused meanwhile gets no call, and its limits count.
    pub(super) async fn hold(
        &self,
        ctx: &Ctx,
        subject: &Subject<'_>,
        target: TargetIx,
    ) -> Result<Held, Refused> {
        let now = self.exchange.clock.now();
        let current = self.exchange.in_force.load();
        let is_same = Arc::ptr_eq(&current, &ctx.in_force);
        if !is_same && let Some(reason) = paused_since(ctx, subject, target, &current) {
            return Err(Refused { reason, note: PAUSED_SINCE.to_owned() });
        }
        let claims = match (ctx.request.test, is_same) {
            (true, _) => Vec::new(),
            (false, true) => claims(&ctx.in_force, target, now).into(),
            (false, false) => match same_target(ctx, target, &current) {
                Some(there) => claims(&current, there, now).into(),
                None => claims(&ctx.in_force, target, now).into(),
            },
        };
        let is_strict = is_strict(&claims);
        let taken = self.exchange.state.gauges.hold(self.exchange.entropy.hold_id(now), claims);
        match taken {
            Ok(guard) if is_strict => self.secure(ctx, guard, now).await,
            Ok(guard) => Ok(Held::in_memory(guard, now)),
            Err(key) => Err(Refused { reason: Reason::HoldLost, note: key.to_string() }),
        }
    }

    /// What answers when the story failed: the static answer, held like any other.
    async fn stand_in(&self, ctx: &Ctx, prepared: &mut Prepared<'_>) -> Decided {
        let taken = self.try_static(ctx, prepared, |_| true).await;
        for target in prepared.trail.targets() {
            prepared.trail.close(target, Reason::InternalError, None, None);
        }
        Decided {
            taken: taken.map(|taken| Taken { reason: Reason::InternalError, ..taken }),
            reason: Reason::InternalError,
            walked: prepared.way.walk.len(),
            ..Decided::nobody(prepared)
        }
    }
}

/// Whether the auction of a failed attempt is held anew, without who was tried.
pub(super) fn asks_anew(campaign: Option<&Campaign>) -> bool {
    campaign.is_some_and(|campaign| campaign.after_failure == AfterFailure::ReAuction)
}

/// Whether the target or its buyer has any limit, at whatever time.
pub(super) fn is_limited(catalog: &Catalog, ix: TargetIx) -> bool {
    let target = catalog.target(ix);
    let buyer = catalog.buyer(target.buyer);
    let in_ranges = target.ranges.iter().chain(&buyer.ranges).map(|range| &range.limits);
    [&target.limits, &buyer.limits].into_iter().chain(in_ranges).any(|limits| limits != &Limits::default())
}

/// What handing a call to this target now takes, in the order in which capacity is taken. What has no limit is counted
/// too: one that a reload sets must know what is in progress and what the day has had. A cap has one gauge whatever the
/// range: the limit is that of the moment, what is counted is the whole day's.
pub(super) fn claims(in_force: &InForce, ix: TargetIx, now: Timestamp) -> [Claim; 4] {
    caps(in_force, ix, now).map(|(whose, basis, limit)| claim(in_force, ix, (whose, basis), limit, now))
}

/// Those of them that have a limit now.
pub(super) fn limited(in_force: &InForce, ix: TargetIx, now: Timestamp) -> impl Iterator<Item = Claim> {
    let caps = caps(in_force, ix, now).into_iter().filter(|(.., limit)| limit.is_some());
    caps.map(move |(whose, basis, limit)| claim(in_force, ix, (whose, basis), limit, now))
}

/// Whose a cap is.
#[derive(Clone, Copy)]
enum Whose {
    Buyer,
    Target,
}

/// The caps that a target's calls count for, and their limits now, in their order.
fn caps(in_force: &InForce, ix: TargetIx, now: Timestamp) -> [(Whose, Basis, Option<u32>); 4] {
    let catalog = &in_force.snapshot.catalog;
    let target = catalog.target(ix);
    let buyer = catalog.buyer(target.buyer);
    let of_buyer = limits_at(&buyer.limits, &buyer.ranges, &buyer.zone, now);
    let of_target = limits_at(&target.limits, &target.ranges, &buyer.zone, now);
    [
        (Whose::Buyer, Basis::Concurrency, of_buyer.concurrency),
        (Whose::Buyer, Basis::BillableDay, of_buyer.daily_billable),
        (Whose::Target, Basis::Concurrency, of_target.concurrency),
        (Whose::Target, Basis::BillableDay, of_target.daily_billable),
    ]
}

fn claim(
    in_force: &InForce,
    ix: TargetIx,
    (whose, basis): (Whose, Basis),
    limit: Option<u32>,
    now: Timestamp,
) -> Claim {
    let catalog = &in_force.snapshot.catalog;
    let target = catalog.target(ix);
    let entity = match whose {
        Whose::Buyer => Entity::Buyer(catalog.buyer(target.buyer).id.clone()),
        Whose::Target => Entity::Target(target.id.clone()),
    };
    let window = match basis {
        Basis::Concurrency => Timestamp::default(),
        Basis::BillableDay => in_force.snapshot.day_of(target.buyer, now),
    };
    Claim { key: CapKey { entity, basis, window }, limit: limit.unwrap_or(NO_LIMIT) }
}
