//! A carrier asks, we answer: look up, screen, static answer in hand, ask, rank, hold, answer, record.
//!
//! A decision is the exchange's, not the connection's: a carrier that drops and asks again waits for the same one, on
//! whatever worker, and gets the same bytes. A bug inside it is fenced, and the static answer stands in.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use super::admission::{Admitted, Pass};
use super::ask::{Asking, entrant, fixed_offer};
use super::bars::Bars;
use super::beside::Beside;
use super::kept;
use super::prices::Prices;
use super::story::{is_limited, limited};
use super::subject::Subject;
use super::trail::Trail;
use super::{Deciding, InForce, Worker};
use crate::auction::bid::cleaned;
use crate::auction::{Auction, Offer, accept};
use crate::carrier::{CallerLeg, CarrierRequest};
use crate::domain::draw::mix;
use crate::domain::{
    Address, CallId, Campaign, Carrier, CarrierIx, Catalog, FloorOf, Money, Payout, PlanId, Reason, TargetIx,
    Terminal, Timestamp,
};
use crate::records::row::CallKeys;
use crate::routing::price::terms;
use crate::routing::ring_tree::{Given, Left, Step, Turn, Walk, walk};
use crate::routing::shared::Shared;
use crate::routing::{Facts, Refusal, floor_row, refusal};
use crate::state::calls::{Begin, CallKey, First, Ticket, wait};
use crate::telemetry::event;
use crate::telemetry::stage::{Laps, Stage};

/// Kept free between the end of an auction and the carrier's ceiling, for holding and answering.
const AFTER_AUCTION: Duration = Duration::from_millis(100);
/// A decision that was given up is begun again this often.
const TRIES: usize = 3;

/// Why a new call is not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// As many calls in memory as there may be, or three decisions in a row that came to nothing.
    Full,
    /// This worker is too late even for answers without pings.
    Overloaded,
}

/// One request while it is decided.
#[derive(Debug)]
pub(super) struct Ctx {
    pub(super) in_force: Arc<InForce>,
    pub(super) carrier: CarrierIx,
    pub(super) request: Arc<CarrierRequest>,
    /// Where the caller is.
    pub(super) caller: CallerLeg,
    /// The last byte of the request for this step was read: T0.
    pub(super) arrived: Timestamp,
    /// The same of the call's first request.
    pub(super) call_at: Timestamp,
    pub(super) call_id: CallId,
    pub(super) seed: u64,
    pub(super) about: u64,
    /// Whether anybody is asked, as far as the request says.
    pub(super) asking: Asking,
    /// What the call's URLs carry.
    pub(super) token: u128,
    /// The step that is decided.
    pub(super) step: u32,
    /// The number its first attempt would have.
    pub(super) attempt: u32,
    /// Longest its attempt may ring.
    pub(super) ring: Duration,
}

impl Ctx {
    pub(super) fn carrier(&self) -> &Carrier {
        self.in_force.snapshot.catalog.carrier(self.carrier)
    }

    /// The seed of an auction, by its place in the walk and, where it is held again, its step: draws that shared one would
    /// decide each other.
    pub(super) fn seed_of(&self, place: usize) -> u64 {
        seed_of(self.seed, self.step, place)
    }

    /// When the auctions of this step close: by the campaign's deadline, and in time for the carrier's ceiling.
    pub(super) fn closes(&self, subject: &Subject<'_>) -> Timestamp {
        let catalog = &self.in_force.snapshot.catalog;
        self.arrived.after(closes_within(catalog.carrier(self.carrier), subject.campaign(catalog)))
    }
}

/// How long auctions may take.
pub(super) fn closes_within(carrier: &Carrier, campaign: Option<&Campaign>) -> Duration {
    let ceiling = carrier.ceiling.saturating_sub(AFTER_AUCTION);
    campaign.map_or(ceiling, |campaign| campaign.deadline.min(ceiling))
}

/// Targets that ring no longer than so long.
pub(super) type Rings = Vec<(TargetIx, Duration)>;

/// What a step walks: the whole plan, or what earlier steps left of it.
pub(super) struct Way<'a> {
    /// Targets that may be given the call, in the order of the plan.
    pub(super) targets: Vec<TargetIx>,
    /// The steps of the walk, each with its place in the whole one.
    pub(super) walk: Vec<(usize, Step<'a>)>,
    /// Targets that the whole walk left out, and why.
    pub(super) left: Vec<Left<'a>>,
    /// Targets that ring no longer than this by their place in the plan.
    pub(super) rings: Rings,
    /// Who had their turn in it.
    pub(super) turns: Vec<Turn>,
    /// What the publisher was promised earlier.
    pub(super) promised: Option<Payout>,
    /// What happens when nobody takes the call: where the walk ends.
    pub(super) terminal: &'a Terminal,
    /// The plan's name.
    pub(super) plan: &'a PlanId,
}

/// A decision up to the point where somebody is asked: enough to answer from.
pub(super) struct Prepared<'a> {
    pub(super) subject: Subject<'a>,
    /// What is walked.
    pub(super) way: Way<'a>,
    pub(super) trail: Trail,
    /// What screening refused targets by.
    refused: Vec<(TargetIx, Refusal<'a>)>,
    pub(super) bars: Bars,
    /// What the targets ask for this call.
    pub(super) prices: Prices,
    /// What would be tried, in order, if nobody could be asked: by step of the walk.
    pub(super) static_answer: Vec<(usize, TargetIx, Offer)>,
    /// Why the whole call goes to the terminal action without trying anybody.
    pub(super) barred: Option<Reason>,
    /// What it took so far.
    pub(super) laps: Laps,
}

impl Worker {
    /// The answer to a route request whose last byte was read at `arrived`, with what was drafted of it, or why there is
    /// none. A call that is known is answered however late this worker is. A decision is taken `beside` the request, and goes on
    /// when that is dropped.
    pub async fn decide(
        self: &Arc<Self>,
        beside: &Beside,
        in_force: Arc<InForce>,
        carrier: CarrierIx,
        request: CarrierRequest,
        asking: Asking,
        arrived: Timestamp,
    ) -> Result<First, Undecided> {
        let key = Arc::new(CallKey {
            carrier: in_force.snapshot.catalog.carrier(carrier).id.clone(),
            carrier_call_id: request.carrier_call_id.clone(),
        });
        let about = about(&request);
        let request = Arc::new(request);
        for _ in 0..TRIES {
            let waiting = match self.exchange.state.calls.begin(&key) {
                Begin::Full => return Err(Undecided::Full),
                Begin::Known(answer) => {
                    event::repeated(if answer.about == about { "known" } else { "conflict" });
                    return Ok((answer, None));
                }
                Begin::Wait(waiting) => waiting,
                // Who asks for the fallback has been sent on once; the dropped ticket leaves the key to the next.
                Begin::First(..) if asking == Asking::Open && self.admitted() == Admitted::Nothing => {
                    return Err(Undecided::Overloaded);
                }
                Begin::First(ticket, told) => {
                    let ctx = Ctx {
                        in_force: Arc::clone(&in_force),
                        carrier,
                        caller: request.caller,
                        request: Arc::clone(&request),
                        arrived,
                        call_at: arrived,
                        call_id: self.exchange.entropy.call_id(arrived),
                        seed: self.exchange.entropy.bits(),
                        about,
                        asking,
                        token: self.exchange.entropy.token(),
                        step: 1,
                        attempt: 1,
                        ring: Duration::MAX,
                    };
                    let (worker, deciding) = (Arc::clone(self), Deciding::begin(&self.deciding));
                    beside.add(async move {
                        worker.take(ctx, ticket).await;
                        drop(deciding);
                    });
                    match told.await {
                        Ok(first) => return Ok(first),
                        Err(_) => continue,
                    }
                }
            };
            if let Some(answer) = wait(waiting).await {
                event::repeated(if answer.about == about { "waited" } else { "conflict" });
                return Ok((answer, None));
            }
        }
        Err(Undecided::Full)
    }

    /// Decides behind a fence, and tells everybody who waits: whoever asked first at once, the others when its answer has
    /// left.
    async fn take(self: Arc<Self>, ctx: Ctx, mut ticket: Ticket) {
        // Nothing is done with the call by its id while this is held.
        let _noting = self.exchange.state.calls.note(ctx.call_id, ctx.request.from);
        self.in_pass(Pass::Prepare).await;
        let prepare = AssertUnwindSafe(|| self.prepare_first(&ctx));
        let Ok(mut prepared) = std::panic::catch_unwind(prepare) else {
            event::panicked("prepare", "a decision could not be prepared");
            return self.last_resort(&ctx, ticket);
        };
        let mut decided = self.settled_story(&ctx, &mut prepared, Vec::new()).await;
        self.in_pass(Pass::Answer).await;
        let tell = AssertUnwindSafe(|| self.tell(&ctx, &prepared, &mut decided, &mut ticket));
        let Ok(told) = std::panic::catch_unwind(tell) else {
            return event::panicked("finish", "a decision could not be finished");
        };
        // The answer leaves first: whoever waits for it runs before this goes on. What is reported of the call meanwhile
        // waits for its `Noting`: it finds the call open, and comes after these records on the way to the disk.
        tokio::task::yield_now().await;
        let rest = AssertUnwindSafe(|| {
            let opened = self.open_told(&ctx, &prepared, &mut decided, (&told, ticket.key()));
            ticket.finish(&told.answer);
            self.exchange.look_after(ctx.call_id, told.at);
            self.note(&ctx, prepared, decided, told, opened);
        });
        if std::panic::catch_unwind(rest).is_err() {
            event::panicked("answered_not_recorded", "a decision was answered and could not be recorded");
        }
    }

    /// What is known before anybody is asked by the first step of a call.
    fn prepare_first<'a>(&self, ctx: &'a Ctx) -> Prepared<'a> {
        let catalog = &ctx.in_force.snapshot.catalog;
        let listed = self.exchange.callers.listed(catalog, ctx.request.from);
        let subject = Subject::of(catalog, &ctx.request, ctx.call_at).on(listed);
        let targets = ctx.in_force.snapshot.rules.targets[subject.plan_ix.at()].clone();
        let Walk { steps, end, left, rings, turns } = self.walk(ctx, &subject);
        let way = Way {
            targets,
            walk: steps.into_iter().enumerate().collect(),
            left,
            rings,
            turns,
            promised: None,
            terminal: end,
            plan: &subject.plan.id,
        };
        self.prepare(ctx, subject, way)
    }

    /// The walk of the call's plan, by the branches it may take. Calls that no target may be given take no turn.
    fn walk<'a>(&self, ctx: &Ctx, subject: &Subject<'a>) -> Walk<'a> {
        let snapshot = &ctx.in_force.snapshot;
        let facts = subject.facts(&snapshot.catalog, &ctx.request, ctx.arrived);
        let branches = &snapshot.rules.branches[subject.plan_ix.at()];
        let (turns, plan) = (&self.exchange.state.turns, &subject.plan.id);
        let counts =
            subject.barred(&snapshot.catalog, (ctx.call_at, ctx.step)).is_none() && !ctx.request.test;
        let given = Given {
            seed: ctx.seed,
            now: ctx.arrived,
            may_take: &|branch| branches[branch.number].hold(&facts),
            turn: &mut |node| {
                if counts { turns.take(plan, node.number) } else { turns.next(plan, node.number) }
            },
        };
        walk(subject.plan, given)
    }

    /// Everything that can be known without asking anybody.
    pub(super) fn prepare<'a>(&self, ctx: &'a Ctx, subject: Subject<'a>, way: Way<'a>) -> Prepared<'a> {
        let mut laps = Laps::since(ctx.arrived);
        laps.end(Stage::Read, self.exchange.clock.now());
        let snapshot = &ctx.in_force.snapshot;
        let catalog = &snapshot.catalog;
        let campaign = subject.campaign(catalog);
        let keys = CallKeys {
            call_id: ctx.call_id,
            at: ctx.call_at,
            campaign: campaign.map(|campaign| campaign.id.clone()),
            publisher: subject.line.map(|line| catalog.publisher(line.publisher).id.clone()),
        };
        let about = (ctx.step, ctx.request.test, ctx.seed);
        let mut trail = Trail::open(keys, about, catalog, way.plan, &way.targets);
        trail.turned(&way.turns);
        let line = subject.line.as_ref();
        let facts = facts(ctx, &subject);
        let row = line.and_then(|line| floor_row(&snapshot.rules.floors, line.campaign, &facts));
        let bars = Bars::of(catalog, (line, row), way.promised);
        let barred = subject.barred(catalog, (ctx.call_at, ctx.step));
        if let Some((reason, note)) = barred {
            let barred = Some(reason);
            for target in trail.targets() {
                trail.close(target, reason, None, note.clone());
            }
            let (static_answer, prices, refused) = (Vec::new(), Prices::default(), Vec::new());
            return Prepared { subject, way, trail, refused, bars, prices, static_answer, barred, laps };
        }
        let barred = None;
        leave_out(&way.walk, &way.left, &mut trail);
        let refused = self.screen(ctx, &facts, &mut trail);
        let terms = |ix: TargetIx| terms(catalog, &snapshot.rules.tables, ix, &facts);
        let prices = Prices::settle(catalog, &way.walk, &mut trail, &terms);
        let about = (ctx.seed, ctx.step, ctx.arrived, snapshot.money_step);
        let static_answer = static_answer(catalog, about, &way.walk, (bars, &prices), &mut trail);
        laps.end(Stage::Prepare, self.exchange.clock.now());
        Prepared { subject, way, trail, refused, bars, prices, static_answer, barred, laps }
    }

    /// Refuses every target that may not take the call: first by what the catalog says, which is returned, then by
    /// capacity.
    fn screen<'a>(&self, ctx: &'a Ctx, facts: &Facts<'_>, trail: &mut Trail) -> Vec<(TargetIx, Refusal<'a>)> {
        let snapshot = &ctx.in_force.snapshot;
        let (mut shared, mut refused) = (Shared::default(), Vec::new());
        for ix in trail.targets() {
            match refusal(&snapshot.catalog, &snapshot.rules.filters[ix.at()], ix, facts, &mut shared) {
                // Whoever was left out has its reason.
                Some(refusal) if trail.is_open(ix) => {
                    trail.close(ix, refusal.reason(), None, None);
                    refused.push((ix, refusal));
                }
                Some(_) => {}
                // What has no limit is never full; most targets of most markets have none.
                None if !is_limited(&snapshot.catalog, ix) => {}
                None => {
                    let limited = limited(&ctx.in_force, ix, ctx.arrived);
                    if let Some(key) = self.exchange.state.gauges.full(limited) {
                        trail.close(ix, key.basis.reason(), None, Some(key.to_string()));
                    }
                }
            }
        }
        refused
    }
}

impl Prepared<'_> {
    /// Says of the step what nobody needs before its answer is out: by which values targets were refused, what prices come
    /// from, and the facts that are kept.
    pub(super) fn explain(&mut self, ctx: &Ctx) {
        let catalog = &ctx.in_force.snapshot.catalog;
        let facts = facts(ctx, &self.subject);
        for (ix, refusal) in self.refused.drain(..) {
            // The value of a tag is foreign text.
            self.trail.note(ix, refusal.note(catalog, &facts).map(cleaned));
        }
        self.prices.note(catalog, &mut self.trail);
        self.trail.keep(&self.subject.tags, kept::facts(ctx, &self.subject, &facts));
    }
}

/// The facts that the targets of a step are screened by.
fn facts<'f>(ctx: &'f Ctx, subject: &'f Subject<'_>) -> Facts<'f> {
    let facts = subject.facts(&ctx.in_force.snapshot.catalog, &ctx.request, ctx.arrived);
    Facts { earlier_attempts: ctx.attempt.saturating_sub(1), ..facts }
}

/// The seed of the draws of an auction, by its place in the walk and, where it is held again, its step: draws that shared
/// one would decide each other.
pub(super) fn seed_of(seed: u64, step: u32, place: usize) -> u64 {
    mix(seed ^ (place as u64 + 1) ^ (u64::from(step.saturating_sub(1)) << 32))
}

/// Gives those that the walk left out their reason.
pub(super) fn leave_out(walk: &[(usize, Step<'_>)], left: &[Left<'_>], trail: &mut Trail) {
    // Most plans leave nobody out.
    if left.is_empty() {
        return;
    }
    // In most of the others they are few, and the walk is long.
    let mut nowhere: BTreeSet<TargetIx> = left.iter().map(|left| left.target).collect();
    for target in walk.iter().flat_map(|(_, step)| step.targets()) {
        nowhere.remove(target);
    }
    for left in left.iter().filter(|left| nowhere.contains(&left.target)) {
        trail.close(left.target, left.reason, None, left.zone.map(|zone| format!("in {zone}")));
    }
}

/// The walk in which every bid endpoint said no bid. Fixed prices that may not be handed out get their reason.
pub(super) fn static_answer(
    catalog: &Catalog,
    (seed, number, arrived, money_step): (u64, u32, Timestamp, Money),
    walk: &[(usize, Step<'_>)],
    (bars, prices): (Bars, &Prices),
    trail: &mut Trail,
) -> Vec<(usize, TargetIx, Offer)> {
    let mut answer = Vec::new();
    for (at, step) in walk.iter().copied() {
        match step {
            Step::Dial(_) | Step::Together(_) => {
                for ix in step.targets().iter().copied() {
                    let (target, terms) = (catalog.target(ix), prices.of(catalog, ix));
                    let offer = fixed_offer(target, &terms).filter(|_| trail.is_open(ix));
                    let Some(offer) = offer else { continue };
                    let floor = bars.floor.or(FloorOf::Target, terms.floor);
                    match accept(&offer, floor.amount, bars.min_price, Duration::ZERO, arrived) {
                        Ok(()) => answer.push((at, ix, offer)),
                        Err(reason) => trail.close(ix, reason, Some(offer.price), bars.note(reason, floor)),
                    }
                }
            }
            Step::Auction(node) => {
                let is_fixed = |ix: &TargetIx| trail.is_open(*ix) && prices.of(catalog, *ix).price.is_some();
                let mut members: Vec<TargetIx> = node.members.iter().copied().filter(is_fixed).collect();
                if members.is_empty() {
                    continue;
                }
                members.sort_unstable();
                let rules = crate::auction::Rules {
                    closes: arrived,
                    floor: bars.floor.amount.max(node.floor),
                    min_price: bars.min_price,
                    takeover: node.takeover,
                    guard: Duration::ZERO,
                    seed: seed_of(seed, number, at),
                    early: false,
                    price: bars.price,
                    money_step,
                };
                let entrants =
                    members.iter().map(|ix| entrant(catalog.target(*ix), &prices.of(catalog, *ix))).collect();
                let ranking = Auction::open(rules, entrants).ranking(arrived);
                answer.extend(ranking.ranked.into_iter().map(|r| (at, members[r.entrant], r.offer)));
            }
        }
    }
    answer
}

/// What a repeat must be about too.
fn about(request: &CarrierRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &request.to {
        Address::Number(number) => number.revealed(|number| number.hash(&mut hasher)),
        Address::Sip(address) => address.hash(&mut hasher),
    }
    request.from.map(|from| from.digits()).hash(&mut hasher);
    hasher.finish()
}
