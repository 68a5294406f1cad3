//! A carrier asks, we answer: look up, screen, static answer in hand, ask, rank, hold, answer, record.
//!
//! A decision is a task of the exchange, not of the connection: a carrier that drops and asks again waits for the same
//! one, on whatever worker, and gets the same bytes. A bug inside it is fenced, and the static answer stands in.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::ask::{Asking, Bars, Run, entrant, fixed_offer};
use super::linger::StillOut;
use super::since::{PAUSED_SINCE, Refused, paused_since, same_target};
use super::subject::Subject;
use super::trail::Trail;
use super::{Deciding, InForce, Worker};
use crate::auction::bid::clean_note;
use crate::auction::rank::Ranked;
use crate::auction::{Auction, Offer, accept};
use crate::billing::min_price;
use crate::capacity::{Basis, CapKey, Claim, Entity, NO_LIMIT};
use crate::carrier::{CallerLeg, CarrierRequest};
use crate::domain::catalog::Limits;
use crate::domain::draw::mix;
use crate::domain::schedule::day_window;
use crate::domain::{
    CallId, Carrier, CarrierIx, Money, Payout, PlanId, Reason, TargetIx, Terminal, Timestamp,
};
use crate::records::row::CallKeys;
use crate::routing::ring_tree::{Step, walk};
use crate::routing::{Facts, Verdict, screen};
use crate::state::calls::{Answer, Begin, CallKey, Ticket, wait};
use crate::state::capacity::HoldGuard;
use crate::telemetry::event;

/// Kept free between the end of an auction and the carrier's ceiling, for holding and answering.
const AFTER_AUCTION: Duration = Duration::from_millis(100);
/// A decision that was given up is begun again this often.
const TRIES: usize = 3;

/// One request while it is decided.
#[derive(Debug)]
pub(super) struct Ctx {
    pub(super) in_force: Arc<InForce>,
    pub(super) carrier: CarrierIx,
    pub(super) request: Arc<CarrierRequest>,
    /// Where the caller is.
    pub(super) caller: CallerLeg,
    /// The last byte of the request was read: T0.
    pub(super) arrived: Timestamp,
    pub(super) call_id: CallId,
    pub(super) seed: u64,
    pub(super) about: u64,
    /// Whether anybody is asked, as far as the request says.
    pub(super) asking: Asking,
    /// What the call's URLs carry.
    pub(super) token: u128,
    /// The step that is decided.
    pub(super) step: u32,
    /// The number its attempt would have.
    pub(super) attempt: u32,
    /// Longest its attempt may ring.
    pub(super) ring: Duration,
}

impl Ctx {
    pub(super) fn key(&self) -> CallKey {
        CallKey {
            carrier: self.in_force.snapshot.catalog.carrier(self.carrier).id.clone(),
            carrier_call_id: self.request.carrier_call_id.clone(),
        }
    }

    pub(super) fn carrier(&self) -> &Carrier {
        self.in_force.snapshot.catalog.carrier(self.carrier)
    }

    /// The seed of an auction, by its place in the walk: draws that shared one would decide each other.
    pub(super) fn seed_of(&self, place: usize) -> u64 {
        mix(self.seed ^ (place as u64 + 1))
    }

    /// When the auctions of this step close: by the campaign's deadline, and in time for the carrier's ceiling.
    pub(super) fn closes(&self, subject: &Subject<'_>) -> Timestamp {
        let catalog = &self.in_force.snapshot.catalog;
        let ceiling = catalog.carrier(self.carrier).ceiling.saturating_sub(AFTER_AUCTION);
        let deadline = subject.campaign(catalog).map_or(ceiling, |campaign| campaign.deadline.min(ceiling));
        self.arrived.after(deadline)
    }
}

/// Who takes the call.
pub(super) struct Taken {
    pub(super) target: TargetIx,
    pub(super) offer: Offer,
    pub(super) guard: HoldGuard,
    pub(super) basis: &'static str,
    pub(super) reason: Reason,
}

/// What a step walks: the whole plan, or what earlier steps left of it.
pub(super) struct Way<'a> {
    /// Targets that may be given the call, in the order of the plan.
    pub(super) targets: Vec<TargetIx>,
    /// The steps of the walk, each with its place in the whole one.
    pub(super) walk: Vec<(usize, Step<'a>)>,
    /// What the publisher was promised earlier.
    pub(super) promised: Option<Payout>,
    /// What happens when nobody takes the call.
    pub(super) terminal: &'a Terminal,
    /// The plan's name.
    pub(super) plan: &'a PlanId,
}

/// A decision up to the point where somebody is asked: enough to answer from.
pub(super) struct Prepared<'a> {
    pub(super) subject: Subject<'a>,
    /// What is walked.
    pub(super) walk: Vec<(usize, Step<'a>)>,
    /// What the publisher was promised earlier.
    pub(super) promised: Option<Payout>,
    /// What happens when nobody takes the call.
    pub(super) terminal: &'a Terminal,
    /// The plan's name.
    pub(super) plan: &'a PlanId,
    pub(super) trail: Trail,
    pub(super) bars: Bars,
    /// What would be tried, in order, if nobody could be asked: by step of the walk.
    pub(super) static_answer: Vec<(usize, TargetIx, Offer)>,
    /// Why the whole call goes to the terminal action without trying anybody.
    pub(super) barred: Option<Reason>,
}

/// A decision.
pub(super) struct Decided {
    pub(super) taken: Option<Taken>,
    /// Why nobody took it.
    pub(super) reason: Reason,
    /// How many steps of the walk are done with.
    pub(super) walked: usize,
    /// Offers that the one taken has beaten, best first.
    pub(super) beaten: Vec<(TargetIx, Ranked, &'static str)>,
    /// Pings that are out.
    pub(super) out: Option<StillOut>,
    /// Ours alone: until the last ping was written, and from the event that ended the auction.
    pub(super) own_before: Duration,
    pub(super) own_since: Timestamp,
    pub(super) pinged: bool,
    /// No connection had to be opened for it: only then its own share is a measurement.
    pub(super) measured: bool,
}

impl Worker {
    /// The answer to a route request whose last byte was read at `arrived`; `None` when there is no room for another
    /// call. Detached: the decision goes on when the caller of this stops waiting.
    pub async fn decide(
        self: &Arc<Self>,
        in_force: Arc<InForce>,
        carrier: CarrierIx,
        request: CarrierRequest,
        asking: Asking,
        arrived: Timestamp,
    ) -> Option<Arc<Answer>> {
        let key = CallKey {
            carrier: in_force.snapshot.catalog.carrier(carrier).id.clone(),
            carrier_call_id: request.carrier_call_id.clone(),
        };
        let about = about(&request);
        for _ in 0..TRIES {
            let (kind, waiting) = match self.exchange.state.calls.begin(&key) {
                Begin::Full => return None,
                Begin::Known(answer) => {
                    event::repeated(if answer.about == about { "known" } else { "conflict" });
                    return Some(answer);
                }
                Begin::Wait(waiting) => (Some("waited"), waiting),
                Begin::First(ticket) => {
                    let waiting = ticket.waiting();
                    let ctx = Ctx {
                        in_force: Arc::clone(&in_force),
                        carrier,
                        caller: request.caller,
                        request: Arc::new(request.clone()),
                        arrived,
                        call_id: self.exchange.entropy.call_id(arrived),
                        seed: self.exchange.entropy.bits(),
                        about,
                        asking,
                        token: self.exchange.entropy.token(),
                        step: 1,
                        attempt: 1,
                        ring: Duration::MAX,
                    };
                    let worker = Arc::clone(self);
                    let deciding = Deciding::begin(&self.deciding);
                    tokio::spawn(async move {
                        worker.take(ctx, ticket).await;
                        drop(deciding);
                    });
                    (None, waiting)
                }
            };
            if let Some(answer) = wait(waiting).await {
                if let Some(kind) = kind {
                    event::repeated(if answer.about == about { kind } else { "conflict" });
                }
                return Some(answer);
            }
        }
        None
    }

    /// Decides behind a fence, and tells everybody who waits.
    async fn take(self: Arc<Self>, ctx: Ctx, ticket: Ticket) {
        let prepared = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let subject = Subject::of(&ctx.in_force.snapshot.catalog, &ctx.request);
            let mut targets = Vec::new();
            subject.plan.root.targets(&mut targets);
            let walk = walk(subject.plan, ctx.seed).into_iter().enumerate().collect();
            let (terminal, plan) = (&subject.plan.terminal, &subject.plan.id);
            self.prepare(&ctx, subject, Way { targets, walk, promised: None, terminal, plan })
        }));
        let Ok(mut prepared) = prepared else {
            event::panicked("prepare", "a decision could not be prepared");
            return self.last_resort(&ctx, ticket);
        };
        let decided = self.settled_story(&ctx, &mut prepared, Vec::new()).await;
        let finish = AssertUnwindSafe(|| self.finish(&ctx, prepared, decided, ticket));
        if std::panic::catch_unwind(finish).is_err() {
            event::panicked("finish", "a decision could not be finished");
        }
    }

    /// The story behind its fence.
    pub(super) async fn settled_story(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        standing: Vec<(TargetIx, Ranked, &'static str)>,
    ) -> Decided {
        let story = AssertUnwindSafe(self.story(ctx, prepared, standing)).catch_unwind().await;
        story.unwrap_or_else(|_| {
            event::panicked("decide", "the static answer stands in");
            self.stand_in(ctx, prepared)
        })
    }

    /// Everything that can be known without asking anybody.
    pub(super) fn prepare<'a>(&self, ctx: &'a Ctx, subject: Subject<'a>, way: Way<'a>) -> Prepared<'a> {
        let snapshot = &ctx.in_force.snapshot;
        let catalog = &snapshot.catalog;
        let campaign = subject.campaign(catalog);
        let Way { targets, walk, promised, terminal, plan } = way;
        let keys = CallKeys {
            call_id: ctx.call_id,
            at: ctx.arrived,
            campaign: campaign.map(|campaign| campaign.id.clone()),
            publisher: subject.line.map(|line| catalog.publisher(line.publisher).id.clone()),
        };
        let about = (ctx.step, ctx.request.test, ctx.seed);
        let mut trail = Trail::open(keys, about, catalog, plan, targets, &subject.tags);
        let bars = match (campaign, subject.line) {
            (Some(campaign), Some(line)) => {
                let payout = promised.unwrap_or(*catalog.payout(line.publisher, line.campaign));
                Bars { floor: campaign.floor, min_price: min_price(&payout, campaign.min_margin) }
            }
            _ => Bars { floor: Money::ZERO, min_price: Money::ZERO },
        };
        let barred = match campaign {
            None => Some(Reason::UnknownNumber),
            Some(campaign) if campaign.paused => Some(Reason::CampaignPaused),
            Some(_) => None,
        };
        if let Some(reason) = barred {
            for target in trail.targets() {
                trail.close(target, reason, None, None);
            }
            let static_answer = Vec::new();
            return Prepared { subject, walk, promised, terminal, plan, trail, bars, static_answer, barred };
        }
        self.screen(ctx, &subject, &mut trail);
        let static_answer = self.static_answer(ctx, &walk, bars, &mut trail);
        Prepared { subject, walk, promised, terminal, plan, trail, bars, static_answer, barred }
    }

    /// Refuses every target that may not take the call: first by what the catalog says, then by capacity.
    fn screen(&self, ctx: &Ctx, subject: &Subject<'_>, trail: &mut Trail) {
        let snapshot = &ctx.in_force.snapshot;
        let facts = Facts { state: subject.state.as_deref(), tags: &subject.tags, now: ctx.arrived };
        for ix in trail.targets() {
            match screen(&snapshot.catalog, &snapshot.filters, ix, &facts) {
                // The note shows a tag's value, which is foreign text.
                Verdict::Refused(reason, note) => {
                    trail.close(ix, reason, None, note.map(|note| clean_note(&note)));
                }
                Verdict::Candidate => {
                    let claims = claims(&ctx.in_force, ix, ctx.arrived);
                    if let Some(key) = self.exchange.state.gauges.full(&claims) {
                        trail.close(ix, key.basis.reason(), None, Some(key.to_string()));
                    }
                }
            }
        }
    }

    /// The walk in which every bid endpoint said no bid. Fixed prices that may not be handed out get their reason.
    fn static_answer(
        &self,
        ctx: &Ctx,
        walk: &[(usize, Step<'_>)],
        bars: Bars,
        trail: &mut Trail,
    ) -> Vec<(usize, TargetIx, Offer)> {
        let catalog = &ctx.in_force.snapshot.catalog;
        let mut answer = Vec::new();
        for (at, step) in walk.iter().copied() {
            match step {
                Step::Dial(ix) => {
                    let target = catalog.target(ix);
                    let Some(offer) = fixed_offer(target).filter(|_| trail.is_open(ix)) else { continue };
                    let floor = bars.floor.max(target.floor);
                    match accept(&offer, floor, bars.min_price, Duration::ZERO, ctx.arrived) {
                        Ok(()) => answer.push((at, ix, offer)),
                        Err(reason) => trail.close(ix, reason, Some(offer.price), None),
                    }
                }
                Step::Auction(node) => {
                    let is_fixed =
                        |ix: &TargetIx| trail.is_open(*ix) && fixed_offer(catalog.target(*ix)).is_some();
                    let mut members: Vec<TargetIx> = node.members.iter().copied().filter(is_fixed).collect();
                    members.sort_unstable();
                    let rules = crate::auction::Rules {
                        closes: ctx.arrived,
                        floor: bars.floor.max(node.floor),
                        min_price: bars.min_price,
                        takeover: node.takeover,
                        guard: Duration::ZERO,
                        seed: ctx.seed_of(at),
                        early: false,
                    };
                    let entrants = members.iter().map(|ix| entrant(catalog.target(*ix))).collect();
                    let ranking = Auction::open(rules, entrants).ranking(ctx.arrived);
                    answer.extend(ranking.ranked.into_iter().map(|r| (at, members[r.entrant], r.offer)));
                }
            }
        }
        answer
    }

    /// Tries the offers that stand from an earlier step, then walks on: auctions ask, static targets are tried, the first
    /// that can be held takes the call.
    async fn story(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        standing: Vec<(TargetIx, Ranked, &'static str)>,
    ) -> Decided {
        let mut decided = Decided {
            taken: None,
            reason: prepared.barred.unwrap_or(Reason::NoTaker),
            walked: 0,
            beaten: Vec::new(),
            out: None,
            own_before: Duration::ZERO,
            own_since: ctx.arrived,
            pinged: false,
            measured: true,
        };
        if prepared.barred.is_some() {
            return decided;
        }
        self.try_standing(ctx, prepared, standing, &mut decided);
        if decided.taken.is_some() {
            return decided;
        }
        let slot = Arc::clone(&self.exchange.slots).try_acquire_owned();
        let asking = if slot.is_ok() { ctx.asking } else { Asking::Overload };
        for (at, step) in prepared.walk.clone() {
            decided.walked += 1;
            decided.taken = match step {
                Step::Dial(_) => self.try_static(ctx, prepared, |step| step == at),
                Step::Auction(node) => {
                    let (subject, bars) = (&prepared.subject, prepared.bars);
                    let run = self.auction(ctx, subject, bars, &mut prepared.trail, (at, node), asking);
                    self.try_ranked(ctx, &prepared.subject, &mut prepared.trail, run, &mut decided).await
                }
            };
            if decided.taken.is_some() {
                break;
            }
        }
        decided
    }

    /// Splits the time so far into ours and the buyers': an auction that asked nobody was all ours, and of one that had
    /// to open connections nobody can say.
    fn note_run(run: &Run, decided: &mut Decided) {
        if !run.has_asked() {
            return;
        }
        let written = run.written();
        if let Some(written) = written {
            decided.own_before += written.last.since(decided.own_since);
        }
        decided.measured &= written.is_some_and(|written| written.all_warm);
        decided.own_since = run.closed;
        decided.pinged = true;
    }

    /// Tries the static answer's targets of the chosen steps, in order.
    fn try_static(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        chosen: impl Fn(usize) -> bool,
    ) -> Option<Taken> {
        for (step, target, offer) in prepared.static_answer.clone() {
            if !chosen(step) || !prepared.trail.is_open(target) {
                continue;
            }
            match self.hold(ctx, &prepared.subject, target) {
                Ok(guard) => {
                    prepared.trail.close(target, Reason::Won, Some(offer.price), None);
                    return Some(Taken { target, offer, guard, basis: "static", reason: Reason::Static });
                }
                Err(refused) => {
                    prepared.trail.close(target, refused.reason, Some(offer.price), Some(refused.note));
                }
            }
        }
        None
    }

    /// Tries the offers that an earlier step left standing, in their order, as far as they hold now.
    fn try_standing(
        &self,
        ctx: &Ctx,
        prepared: &mut Prepared<'_>,
        standing: Vec<(TargetIx, Ranked, &'static str)>,
        decided: &mut Decided,
    ) {
        let handed_out_until = ctx.arrived.after(self.exchange.rules.dial_guard);
        for (target, ranked, basis) in standing {
            let price = Some(ranked.offer.price);
            if !prepared.trail.is_open(target) {
                continue;
            }
            if ranked.offer.expires.is_some_and(|expires| expires < handed_out_until) {
                prepared.trail.close(target, Reason::Expired, price, None);
                continue;
            }
            if decided.taken.is_some() {
                decided.beaten.push((target, ranked, basis));
                continue;
            }
            match self.hold(ctx, &prepared.subject, target) {
                Ok(guard) => {
                    prepared.trail.close(target, Reason::Won, price, None);
                    let reason = if basis == "auction" { Reason::Won } else { Reason::Static };
                    decided.taken = Some(Taken { target, offer: ranked.offer, guard, basis, reason });
                }
                Err(refused) => prepared.trail.close(target, refused.reason, price, Some(refused.note)),
            }
        }
        for (target, ranked, _) in &decided.beaten {
            prepared.trail.close(*target, Reason::Outbid, Some(ranked.offer.price), None);
        }
    }

    /// Runs the auction to its end: as soon as it is settled, who comes first is held. Who cannot be is struck, and the
    /// auction goes on without it, with the bids that came meanwhile. Who comes after the winner lost to it.
    async fn try_ranked(
        &self,
        ctx: &Ctx,
        subject: &Subject<'_>,
        trail: &mut Trail,
        mut run: Run,
        decided: &mut Decided,
    ) -> Option<Taken> {
        let (taken, unplaced) = loop {
            let ranking = run.settle(&self.exchange.clock).await;
            let Some((first, rest)) = ranking.ranked.split_first() else {
                if run.may_go_on() {
                    continue;
                }
                break (None, ranking.unplaced);
            };
            let (target, price) = (run.target(first.entrant), Some(first.offer.price));
            match self.hold(ctx, subject, target) {
                Ok(guard) => {
                    trail.close(target, Reason::Won, price, None);
                    let (basis, reason) =
                        if run.has_bids { ("auction", Reason::Won) } else { ("static", Reason::Static) };
                    for lost in rest {
                        let reason = lost.lost_to(first);
                        trail.close(run.target(lost.entrant), reason, Some(lost.offer.price), None);
                        decided.beaten.push((run.target(lost.entrant), lost.clone(), basis));
                    }
                    let offer = first.offer.clone();
                    break (Some(Taken { target, offer, guard, basis, reason }), ranking.unplaced);
                }
                Err(refused) => {
                    trail.close(target, refused.reason, price, Some(refused.note));
                    run.strike(first.entrant);
                }
            }
        };
        Self::note_run(&run, decided);
        StillOut::merge(&mut decided.out, run.end(ctx, trail, unplaced, taken.is_some()));
        taken
    }

    /// Holds what the target takes now, in the windows of now; a test call takes nothing. The decision keeps its terms,
    /// but a catalog that came into force since is heard: who was paused meanwhile gets no call, and its limits count.
    fn hold(&self, ctx: &Ctx, subject: &Subject<'_>, target: TargetIx) -> Result<HoldGuard, Refused> {
        let now = self.exchange.clock.now();
        let current = self.exchange.in_force.load();
        let is_same = Arc::ptr_eq(&current, &ctx.in_force);
        if !is_same && let Some(reason) = paused_since(ctx, subject, target, &current) {
            return Err(Refused { reason, note: PAUSED_SINCE.to_owned() });
        }
        let claims = match (ctx.request.test, is_same) {
            (true, _) => Vec::new(),
            (false, true) => claims(&ctx.in_force, target, now),
            (false, false) => match same_target(ctx, target, &current) {
                Some(there) => claims(&current, there, now),
                None => claims(&ctx.in_force, target, now),
            },
        };
        let taken = self.exchange.state.gauges.hold(self.exchange.entropy.hold_id(now), &claims);
        taken.map_err(|key| Refused { reason: Reason::HoldLost, note: key.to_string() })
    }

    /// What answers when the story failed: the static answer, held like any other.
    fn stand_in(&self, ctx: &Ctx, prepared: &mut Prepared<'_>) -> Decided {
        let taken = self.try_static(ctx, prepared, |_| true);
        for target in prepared.trail.targets() {
            prepared.trail.close(target, Reason::InternalError, None, None);
        }
        Decided {
            taken: taken.map(|taken| Taken { reason: Reason::InternalError, ..taken }),
            reason: Reason::InternalError,
            walked: prepared.walk.len(),
            beaten: Vec::new(),
            out: None,
            own_before: Duration::ZERO,
            own_since: ctx.arrived,
            pinged: false,
            measured: true,
        }
    }
}

/// What a repeat must be about too.
fn about(request: &CarrierRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    (request.to.reveal(), request.from.map(|from| from.digits())).hash(&mut hasher);
    hasher.finish()
}

/// What handing a call to this target now takes, in the order in which capacity is taken. What has no limit is counted
/// too: one that a reload sets must know what is in progress and what the day has had.
fn claims(in_force: &InForce, ix: TargetIx, now: Timestamp) -> Vec<Claim> {
    let catalog = &in_force.snapshot.catalog;
    let target = catalog.target(ix);
    let buyer = catalog.buyer(target.buyer);
    let day = day_window(&buyer.zone, now).start;
    let mut claims = Vec::new();
    let mut add = |entity: Entity, limits: &Limits| {
        let mut claim = |basis, window, limit: Option<u32>| {
            let key = CapKey { entity: entity.clone(), basis, window };
            claims.push(Claim { key, limit: limit.unwrap_or(NO_LIMIT) });
        };
        claim(Basis::Concurrency, Timestamp::default(), limits.concurrency);
        claim(Basis::BillableDay, day, limits.daily_billable);
    };
    add(Entity::Buyer(buyer.id.clone()), &buyer.limits);
    add(Entity::Target(target.id.clone()), &target.limits);
    claims.sort();
    claims
}
