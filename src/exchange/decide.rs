//! A carrier asks, we answer: look up, screen, static answer in hand, ask, rank, hold, answer, record.
//!
//! A decision is a task of the exchange, not of the connection: a carrier that drops and asks again waits for the same
//! one, on whatever worker, and gets the same bytes. A bug inside it is fenced, and the static answer stands in.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use super::ask::{Asking, Bars, Run, entrant, fixed_offer};
use super::subject::{Subject, kept, record_token};
use super::trail::Trail;
use super::{InForce, Rules, Worker};
use crate::auction::bid::clean_note;
use crate::auction::rank::Ranked;
use crate::auction::{Auction, Offer, accept};
use crate::billing::{Terms, min_price};
use crate::call::{Call, Patience};
use crate::capacity::{Basis, CapKey, Claim, Entity, NO_LIMIT};
use crate::carrier::{Action, CarrierReply, CarrierRequest, DialTarget, generic};
use crate::domain::catalog::Limits;
use crate::domain::draw::mix;
use crate::domain::schedule::day_window;
use crate::domain::{Address, CallId, CarrierIx, HangupCause, Money, Reason, TargetIx, Terminal, Timestamp};
use crate::ping::Outstanding;
use crate::records::row::{CallKeys, DecidedRow, EndCounts, EndedRow, Row};
use crate::routing::ring_tree::{Step, walk};
use crate::routing::{Facts, Verdict, screen};
use crate::state::calls::{Answer, Begin, CallKey, Live, Offered, Ticket, wait};
use crate::state::capacity::HoldGuard;
use crate::telemetry::event;

/// Kept free between the end of an auction and the carrier's ceiling, for holding and answering.
const AFTER_AUCTION: Duration = Duration::from_millis(100);
/// How long after a decision its answer may be acted on, where no bid's life ends sooner: the slack of a hold.
const ANSWER_LIFE: Duration = Duration::from_secs(20);
/// Beyond the ring time an unanswered attempt keeps its hold.
const UNANSWERED_SLACK: Duration = Duration::from_secs(20);
/// Beyond the longest talk an answered attempt keeps its hold.
const ANSWERED_SLACK: Duration = Duration::from_secs(60);
/// Ring time and longest talk of a plan's own fallback destination.
const TERMINAL_RING: Duration = Duration::from_secs(30);
const TERMINAL_TALK: Duration = Duration::from_secs(14_400);
/// A decision that was given up is begun again this often.
const TRIES: usize = 3;

/// One request while it is decided.
#[derive(Debug)]
pub(super) struct Ctx {
    pub(super) in_force: Arc<InForce>,
    pub(super) carrier: CarrierIx,
    pub(super) request: CarrierRequest,
    /// The last byte of the request was read: T0.
    pub(super) arrived: Timestamp,
    pub(super) call_id: CallId,
    pub(super) seed: u64,
    about: u64,
}

impl Ctx {
    fn key(&self) -> CallKey {
        CallKey {
            carrier: self.in_force.snapshot.catalog.carrier(self.carrier).id.clone(),
            carrier_call_id: self.request.carrier_call_id.clone(),
        }
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
struct Taken {
    target: TargetIx,
    offer: Offer,
    guard: HoldGuard,
    basis: &'static str,
    reason: Reason,
}

/// A decision up to the point where somebody is asked: enough to answer from.
struct Prepared<'a> {
    subject: Subject<'a>,
    trail: Trail,
    bars: Bars,
    /// What would be tried, in order, if nobody could be asked: by step of the walk.
    static_answer: Vec<(usize, TargetIx, Offer)>,
    /// Why the whole call goes to the terminal action without trying anybody.
    barred: Option<Reason>,
}

/// A decision.
struct Decided {
    taken: Option<Taken>,
    /// Why nobody took it.
    reason: Reason,
    outstanding: Option<(Outstanding, Vec<TargetIx>)>,
    /// Ours alone: until the last ping was written, and from the event that ended the auction.
    own_before: Duration,
    own_since: Timestamp,
    pinged: bool,
    /// No connection had to be opened for it: only then its own share is a measurement.
    measured: bool,
}

impl Worker {
    /// The answer to a route request whose last byte was read at `arrived`; `None` when there is no room for another
    /// call. Detached: the decision goes on when the caller of this stops waiting.
    pub async fn decide(
        self: &Arc<Self>,
        in_force: Arc<InForce>,
        carrier: CarrierIx,
        request: CarrierRequest,
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
                        request: request.clone(),
                        arrived,
                        call_id: self.exchange.entropy.call_id(arrived),
                        seed: self.exchange.entropy.bits(),
                        about,
                    };
                    let worker = Arc::clone(self);
                    tokio::spawn(async move { worker.take(ctx, ticket).await });
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
        let prepared = std::panic::catch_unwind(AssertUnwindSafe(|| self.prepare(&ctx)));
        let Ok(mut prepared) = prepared else {
            event::panicked("prepare", "a decision could not be prepared");
            return self.last_resort(&ctx, ticket);
        };
        let story = AssertUnwindSafe(self.story(&ctx, &mut prepared)).catch_unwind().await;
        let decided = story.unwrap_or_else(|_| {
            event::panicked("decide", "the static answer stands in");
            self.stand_in(&ctx, &mut prepared)
        });
        let finish = AssertUnwindSafe(|| self.finish(&ctx, prepared, decided, ticket));
        if std::panic::catch_unwind(finish).is_err() {
            event::panicked("finish", "a decision could not be finished");
        }
    }

    /// Everything that can be known without asking anybody.
    fn prepare<'a>(&self, ctx: &'a Ctx) -> Prepared<'a> {
        let snapshot = &ctx.in_force.snapshot;
        let catalog = &snapshot.catalog;
        let subject = Subject::of(catalog, &ctx.request);
        let campaign = subject.campaign(catalog);
        let keys = CallKeys {
            call_id: ctx.call_id,
            at: ctx.arrived,
            campaign: campaign.map(|campaign| campaign.id.clone()),
            publisher: subject.line.map(|line| catalog.publisher(line.publisher).id.clone()),
        };
        let mut trail = Trail::open(keys, catalog, subject.plan, ctx.seed, &subject.tags);
        let bars = match (campaign, subject.line) {
            (Some(campaign), Some(line)) => {
                let payout = catalog.payout(line.publisher, line.campaign);
                Bars { floor: campaign.floor, min_price: min_price(payout, campaign.min_margin) }
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
            return Prepared { subject, trail, bars, static_answer: Vec::new(), barred };
        }
        self.screen(ctx, &subject, &mut trail);
        let static_answer = self.static_answer(ctx, &subject, bars, &mut trail);
        Prepared { subject, trail, bars, static_answer, barred }
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
        subject: &Subject<'_>,
        bars: Bars,
        trail: &mut Trail,
    ) -> Vec<(usize, TargetIx, Offer)> {
        let catalog = &ctx.in_force.snapshot.catalog;
        let mut answer = Vec::new();
        for (at, step) in walk(subject.plan, ctx.seed).into_iter().enumerate() {
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
                    };
                    let entrants = members.iter().map(|ix| entrant(*ix, catalog.target(*ix))).collect();
                    let (ranking, _) = Auction::open(rules, entrants).close(ctx.arrived);
                    answer.extend(ranking.ranked.into_iter().map(|r| (at, members[r.entrant], r.offer)));
                }
            }
        }
        answer
    }

    /// Walks the plan: auctions ask, static targets are tried, the first that can be held takes the call.
    async fn story(&self, ctx: &Ctx, prepared: &mut Prepared<'_>) -> Decided {
        let mut decided = Decided {
            taken: None,
            reason: prepared.barred.unwrap_or(Reason::NoTaker),
            outstanding: None,
            own_before: Duration::ZERO,
            own_since: ctx.arrived,
            pinged: false,
            measured: true,
        };
        if prepared.barred.is_some() {
            return decided;
        }
        let slot = Arc::clone(&self.exchange.slots).try_acquire_owned();
        let asking = if slot.is_ok() { Asking::Open } else { Asking::Overload };
        for (at, step) in walk(prepared.subject.plan, ctx.seed).into_iter().enumerate() {
            decided.taken = match step {
                Step::Dial(_) => self.try_static(ctx, prepared, |step| step == at),
                Step::Auction(node) => {
                    let (subject, bars) = (&prepared.subject, prepared.bars);
                    let run = self.auction(ctx, subject, bars, &mut prepared.trail, (at, node), asking).await;
                    Self::note_run(&run, &mut decided);
                    let taken = self.try_ranked(ctx, prepared, &run);
                    merge(&mut decided.outstanding, run.outstanding);
                    taken
                }
            };
            if decided.taken.is_some() {
                break;
            }
        }
        decided
    }

    /// Splits the time so far into ours and the buyers': an auction that sent nothing was all ours.
    fn note_run(run: &Run, decided: &mut Decided) {
        let Some(written) = run.written else { return };
        decided.own_before += written.last.since(decided.own_since);
        decided.own_since = run.closed;
        decided.measured = written.all_warm && decided.measured;
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
            match self.hold(ctx, target) {
                Ok(guard) => {
                    prepared.trail.close(target, Reason::Won, Some(offer.price), None);
                    return Some(Taken { target, offer, guard, basis: "static", reason: Reason::Static });
                }
                Err(key) => {
                    let note = Some(key.to_string());
                    prepared.trail.close(target, Reason::HoldLost, Some(offer.price), note);
                }
            }
        }
        None
    }

    /// Tries an auction's ranking in order; who comes after the winner lost to it.
    fn try_ranked(&self, ctx: &Ctx, prepared: &mut Prepared<'_>, run: &Run) -> Option<Taken> {
        let mut winner: Option<(&Ranked, Taken)> = None;
        for (target, ranked) in &run.ranked {
            let price = Some(ranked.offer.price);
            if let Some((first, _)) = &winner {
                prepared.trail.close(*target, ranked.lost_to(first), price, None);
                continue;
            }
            match self.hold(ctx, *target) {
                Ok(guard) => {
                    prepared.trail.close(*target, Reason::Won, price, None);
                    let (basis, reason) =
                        if run.has_bids { ("auction", Reason::Won) } else { ("static", Reason::Static) };
                    let offer = ranked.offer.clone();
                    winner = Some((ranked, Taken { target: *target, offer, guard, basis, reason }));
                }
                Err(key) => prepared.trail.close(*target, Reason::HoldLost, price, Some(key.to_string())),
            }
        }
        winner.map(|(_, taken)| taken)
    }

    /// Holds what the target takes now, in the windows of now; a test call takes nothing.
    fn hold(&self, ctx: &Ctx, target: TargetIx) -> Result<HoldGuard, CapKey> {
        let now = self.exchange.clock.now();
        let claims = if ctx.request.test { Vec::new() } else { claims(&ctx.in_force, target, now) };
        self.exchange.state.gauges.hold(self.exchange.entropy.hold_id(now), &claims)
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
            outstanding: None,
            own_before: Duration::ZERO,
            own_since: ctx.arrived,
            pinged: false,
            measured: true,
        }
    }

    /// Not even the catalog could be asked: a polite end, without a record.
    fn last_resort(&self, ctx: &Ctx, ticket: Ticket) {
        let now = self.exchange.clock.now();
        let reply = CarrierReply {
            call_id: ctx.call_id,
            step: 1,
            action: Action::Hangup(HangupCause::Congestion),
            basis: "terminal",
            reason: Reason::InternalError,
            valid_until: now.after(ANSWER_LIFE),
            max_talk_s: 0,
            events: None,
            decided_us: now.since(ctx.arrived).as_micros() as u64,
        };
        let live = Live {
            key: ctx.key(),
            at: ctx.arrived,
            campaign: None,
            publisher: None,
            caller: ctx.request.tail,
            test: ctx.request.test,
            token: self.exchange.entropy.token(),
            call: Call::new(),
            offered: Vec::new(),
            over_since: Some(now),
            end_counted: true,
        };
        self.exchange.state.calls.open(ctx.call_id, live);
        self.exchange.state.calls.arm(now.after(self.exchange.rules.keep_ended), ctx.call_id);
        let body = Bytes::from(generic::reply(&reply));
        ticket.finish(Arc::new(Answer { call_id: ctx.call_id, body, about: ctx.about }));
    }

    /// Opens the call, answers everybody who waits, and records.
    fn finish(self: &Arc<Self>, ctx: &Ctx, mut prepared: Prepared<'_>, decided: Decided, ticket: Ticket) {
        let exchange = &self.exchange;
        let catalog = &ctx.in_force.snapshot.catalog;
        let token = exchange.entropy.token();
        let now = exchange.clock.now();
        let action = action(ctx, &prepared, decided.taken.as_ref(), &exchange.rules);
        let reason = match &decided.taken {
            _ if ctx.request.test => Reason::Test,
            Some(taken) => taken.reason,
            None => decided.reason,
        };
        let own = decided.own_before + now.since(decided.own_since);
        let taken = decided.taken;
        let mut reply = CarrierReply {
            call_id: ctx.call_id,
            step: 1,
            basis: taken.as_ref().filter(|_| is_dial(&action)).map_or("terminal", |taken| taken.basis),
            reason,
            valid_until: valid_until(taken.as_ref(), now),
            max_talk_s: taken.as_ref().map_or(TERMINAL_TALK, |t| catalog.target(t.target).max_talk).as_secs(),
            events: Some(format!(
                "{}/v1/calls/{}/events/{token:032x}",
                exchange.rules.public_base_url, ctx.call_id
            )),
            decided_us: 0,
            action,
        };
        let mut decided_row =
            decided_row(ctx, &prepared, taken.as_ref(), &reply, exchange.rules.caller_key.clone());
        let live = self.live(ctx, &prepared, taken, &reply, token, now);
        let ended = live.over_since.map(|_| ended_at_once(ctx, &prepared, reason, now));
        let campaign = prepared.subject.campaign(catalog).map(|campaign| campaign.id.clone());
        let timer = live.call.next_deadline().unwrap_or(now.after(exchange.rules.keep_ended));
        exchange.state.calls.open(ctx.call_id, live);
        exchange.state.calls.arm(timer, ctx.call_id);
        let took = exchange.clock.now().since(ctx.arrived);
        reply.decided_us = took.as_micros() as u64;
        let body = Bytes::from(generic::reply(&reply));
        ticket.finish(Arc::new(Answer { call_id: ctx.call_id, body, about: ctx.about }));
        decided_row.decided_us = reply.decided_us;
        decided_row.overhead_us = own.as_micros() as u64;
        let mut rows = vec![Row::Decided(Box::new(decided_row)), Row::Trail(Box::new(prepared.trail.row()))];
        if let Some(ended) = ended {
            event::call_ended(campaign.as_ref(), reason, None, Money::ZERO, Money::ZERO);
            rows.push(Row::Ended(Box::new(ended)));
        }
        exchange.recorder.push(rows);
        event::decision_made(
            campaign.as_ref(),
            reply.basis,
            reason,
            took,
            (decided.pinged && decided.measured).then_some(own),
        );
        let pending = prepared.trail.pending();
        count_outcomes(&prepared.trail, |target| !pending.contains(&target));
        match decided.outstanding {
            Some((outstanding, members)) if !pending.is_empty() => {
                let worker = Arc::clone(self);
                let trail = prepared.trail;
                tokio::spawn(async move { worker.linger(outstanding, members, trail, pending).await });
            }
            _ => {
                // Nobody's reply can come any more.
                for target in &pending {
                    prepared.trail.resolve(*target, Reason::Timeout, None, None);
                }
                if !pending.is_empty() {
                    self.record_final(&prepared.trail, &pending);
                }
            }
        }
    }

    /// Waits for late replies, then writes the outcomes that were pending.
    async fn linger(
        self: Arc<Self>,
        outstanding: Outstanding,
        members: Vec<TargetIx>,
        mut trail: Trail,
        pending: Vec<TargetIx>,
    ) {
        for late in outstanding.finish().await {
            trail.resolve(members[late.entrant], Reason::Late, late.amount, Some(late.latency));
        }
        for target in &pending {
            trail.resolve(*target, Reason::Timeout, None, None);
        }
        self.record_final(&trail, &pending);
    }

    fn record_final(&self, trail: &Trail, pending: &[TargetIx]) {
        count_outcomes(trail, |target| pending.contains(&target));
        self.exchange.recorder.push(vec![Row::Trail(Box::new(trail.row()))]);
    }

    /// The call as it lives on in memory.
    fn live(
        &self,
        ctx: &Ctx,
        prepared: &Prepared<'_>,
        taken: Option<Taken>,
        reply: &CarrierReply,
        token: u128,
        now: Timestamp,
    ) -> Live {
        let catalog = &ctx.in_force.snapshot.catalog;
        let late_events = self.exchange.rules.late_events;
        let mut call = Call::new();
        let mut offered = Vec::new();
        let is_dialled = is_dial(&reply.action);
        if let Some(taken) = taken.filter(|_| is_dialled) {
            let target = catalog.target(taken.target);
            let patience = Patience {
                late_events,
                unanswered: target.ring + UNANSWERED_SLACK,
                answered: target.max_talk + ANSWERED_SLACK,
            };
            call.offer(1, patience, now);
            let line =
                prepared.subject.line.expect("a call to an unknown number is never offered to a target");
            offered.push(Offered {
                attempt: 1,
                target: target.id.clone(),
                buyer: catalog.buyer(target.buyer).id.clone(),
                terms: Terms {
                    price: taken.offer.price,
                    min_duration: taken.offer.min_duration,
                    payout: *catalog.payout(line.publisher, line.campaign),
                    money_step: ctx.in_force.snapshot.money_step,
                    test: ctx.request.test,
                },
                hold: taken.guard.keep(),
            });
        } else if is_dialled {
            let unanswered = TERMINAL_RING + UNANSWERED_SLACK;
            call.offer(
                1,
                Patience { late_events, unanswered, answered: TERMINAL_TALK + ANSWERED_SLACK },
                now,
            );
        }
        let over = call.is_over();
        Live {
            key: ctx.key(),
            at: ctx.arrived,
            campaign: prepared.subject.campaign(catalog).map(|campaign| campaign.id.clone()),
            publisher: prepared.subject.line.map(|line| catalog.publisher(line.publisher).id.clone()),
            caller: ctx.request.tail,
            test: ctx.request.test,
            token,
            call,
            offered,
            over_since: over.then_some(now),
            end_counted: over,
        }
    }
}

/// A later auction of the same step adds its pings to those still out.
fn merge(into: &mut Option<(Outstanding, Vec<TargetIx>)>, more: Option<(Outstanding, Vec<TargetIx>)>) {
    if let Some((outstanding, members)) = more.filter(|(outstanding, _)| !outstanding.is_empty()) {
        debug_assert!(into.is_none(), "auctions of one step share their deadline: only one can run into it");
        *into = Some((outstanding, members));
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

/// What the carrier is told to do.
fn action(ctx: &Ctx, prepared: &Prepared<'_>, taken: Option<&Taken>, rules: &Rules) -> Action {
    let catalog = &ctx.in_force.snapshot.catalog;
    let dial = |address: Address, role, ring: Duration| {
        let caller_id = ctx.request.from;
        Action::Dial(DialTarget { attempt: 1, address, role, ring_s: ring.as_secs(), caller_id })
    };
    match taken {
        _ if ctx.request.test => match &rules.test_address {
            Some(address) => dial(address.clone(), "terminal", TERMINAL_RING),
            None => Action::Hangup(HangupCause::Normal),
        },
        Some(taken) => {
            let target = catalog.target(taken.target);
            let address = taken.offer.destination.clone().unwrap_or_else(|| target.address.clone());
            dial(address, "buyer", target.ring)
        }
        None => match &prepared.subject.plan.terminal {
            Terminal::Dial(address) => dial(address.clone(), "terminal", TERMINAL_RING),
            Terminal::Voicemail(greeting) => Action::Voicemail(greeting.clone()),
            Terminal::Message(text) => Action::Message(text.clone()),
            Terminal::Hangup(cause) => Action::Hangup(*cause),
        },
    }
}

fn is_dial(action: &Action) -> bool {
    matches!(action, Action::Dial(_))
}

fn valid_until(taken: Option<&Taken>, now: Timestamp) -> Timestamp {
    let life = now.after(ANSWER_LIFE);
    taken.and_then(|taken| taken.offer.expires).map_or(life, |expires| expires.min(life))
}

fn decided_row(
    ctx: &Ctx,
    prepared: &Prepared<'_>,
    taken: Option<&Taken>,
    reply: &CarrierReply,
    caller_key: crate::domain::catalog::Secret,
) -> DecidedRow {
    let catalog = &ctx.in_force.snapshot.catalog;
    let request = &ctx.request;
    let target = taken.map(|taken| catalog.target(taken.target));
    let number = match &prepared.subject.line {
        Some(line) => line.number.number.reveal(),
        None => request.to.to_string(),
    };
    let of_number = prepared.subject.line.and_then(|line| line.number.sub_id.clone());
    DecidedRow {
        keys: prepared.trail.keys(),
        carrier: catalog.carrier(ctx.carrier).id.clone(),
        carrier_call_id: kept(&request.carrier_call_id, request.tail),
        test: request.test,
        number,
        sub_id: request.sub_id.clone().or(of_number).map(|sub_id| kept(&sub_id, request.tail)),
        caller: request.from.map_or_else(|| "withheld".to_owned(), |number| number.to_string()),
        caller_token: request.from.map(|number| record_token(&caller_key, number)),
        state: prepared.subject.state.clone(),
        basis: reply.basis,
        action: reply.action.as_str(),
        reason: reply.reason,
        target: target.map(|target| target.id.clone()),
        buyer: target.map(|target| catalog.buyer(target.buyer).id.clone()),
        price: taken.map(|taken| taken.offer.price),
        decided_us: 0,
        overhead_us: 0,
        catalog: catalog.digest.clone(),
    }
}

/// The end of a call whose decision was its end.
fn ended_at_once(ctx: &Ctx, prepared: &Prepared<'_>, reason: Reason, now: Timestamp) -> EndedRow {
    EndedRow {
        keys: prepared.trail.keys(),
        target: None,
        buyer: None,
        ended_at: now,
        reason,
        connected: false,
        talk_ms: 0,
        talk_source: "none",
        ended_by: "exchange",
        billable: false,
        payable: false,
        negative_margin: false,
        counts: EndCounts { ended: i64::from(!ctx.request.test), ..EndCounts::default() },
    }
}

fn count_outcomes(trail: &Trail, counted: impl Fn(TargetIx) -> bool) {
    for (target, outcome) in trail.targets().into_iter().zip(trail.outcomes()) {
        if counted(target) {
            event::outcome(&outcome.buyer, outcome.reason);
        }
    }
}
