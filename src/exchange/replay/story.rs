//! The story of one recorded step, told again: what stood is tried, then the plan is walked. Its order is that of
//! `exchange::story`; replies and holds are those of the record instead of futures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::given::{Given, Late, PRICE_UNKNOWN, Recorded, Screened};
use crate::auction::bid::{Bid, NoBid, Reply, cleaned};
use crate::auction::rank::Ranked;
use crate::auction::{Auction, Rules, Stake};
use crate::call::Onward;
use crate::domain::plan::AuctionNode;
use crate::domain::{Money, Payout, Reason, TargetId, TargetIx, Timestamp};
use crate::exchange::answer::ahead;
use crate::exchange::ask::entrant;
use crate::exchange::bars::Bars;
use crate::exchange::decide::{leave_out, seed_of, static_answer};
use crate::exchange::prices::Prices;
use crate::exchange::step::Left;
use crate::exchange::story::{Beaten, asks_anew};
use crate::exchange::subject::barred;
use crate::exchange::trail::Trail;
use crate::records::stored::StoredTrail;
use crate::routing::Verdict;
use crate::routing::ring_tree::{self, Step, walk};
use crate::routing::rules::{PAUSED_SINCE, Phase, is_of};
use crate::state::rest::{Ahead, STANDING_MAX, Standing};

/// What is left of a bid's life where the record does not say that it had too little: enough.
const LIFE: Duration = Duration::from_secs(3_600);

/// Said of who was not needed and would be now, where the record does not prove what came of it in time.
const COULD_WIN: &str = "unknown: it was not needed then, and could win now";
const COULD_PRICE: &str = "unknown: it was not needed then, and could set the price now";

/// Targets that were not needed though they could have come first, by step: nobody waited for them.
pub(super) type Unwaited = BTreeSet<(u32, String)>;

/// What one step leaves to the next.
#[derive(Default)]
pub(super) struct Carried {
    standing: Vec<Standing>,
    walk: Vec<(usize, Ahead)>,
    payout: Option<Payout>,
    /// Targets that had an attempt before.
    pub(super) tried: Vec<String>,
}

/// A step while it is decided again.
pub(super) struct Story<'a> {
    pub(super) given: &'a Given<'a>,
    left: Option<Left>,
    pub(super) trail: Trail,
    pub(super) bars: Bars,
    prices: Prices,
    /// What reasons that were not decided anew rest on.
    pub(super) by: BTreeMap<TargetIx, &'static str>,
    /// Those of the call as it was; `None` while it is that which is decided again.
    then: Option<&'a Unwaited>,
    pub(super) unwaited: Unwaited,
    /// Who could come first for all that is known, and who could set the price.
    pub(super) could_win: Vec<TargetIx>,
    pub(super) could_price: Vec<TargetIx>,
}

/// What was decided.
pub(super) struct Decided {
    /// Who takes the call, and what it pays.
    pub(super) taken: Option<(TargetIx, Money, &'static str)>,
    pub(super) reason: Reason,
    walked: usize,
    walk: Vec<(usize, Ahead)>,
    beaten: Vec<Beaten>,
    /// The auction whose winner was handed out, for bids that came after its end and in time.
    ended: Option<(Auction, Vec<TargetIx>)>,
}

impl<'a> Story<'a> {
    pub(super) fn of(given: &'a Given<'a>, carried: &Carried, then: Option<&'a Unwaited>) -> Story<'a> {
        let catalog = given.catalog;
        let left = (given.trail.step > 1).then(|| {
            let tried: Vec<TargetId> =
                carried.tried.iter().filter_map(|id| TargetId::parse(id).ok()).collect();
            // Of a step that only ends the call nothing was left.
            let onward = match given.trail.outcomes.is_empty() {
                true => Onward::Terminal,
                false => Onward::Attempt { ring: Duration::ZERO },
            };
            Left::of(catalog, (&carried.standing, &carried.walk, &[]), &tried, onward)
        });
        let targets = left.as_ref().map_or_else(
            || {
                let mut targets = Vec::new();
                given.plan.root.targets(&mut targets);
                targets
            },
            |left| left.targets.clone(),
        );
        let about = (given.trail.step, given.test, given.trail.seed);
        let trail = Trail::open(given.keys(), about, catalog, &given.plan.id, &targets);
        let bars = Bars::of(catalog, (given.line.as_ref(), given.floor_row()), carried.payout);
        Story {
            given,
            left,
            trail,
            bars,
            prices: Prices::default(),
            by: BTreeMap::new(),
            then,
            unwaited: Unwaited::new(),
            could_win: Vec::new(),
            could_price: Vec::new(),
        }
    }

    /// Decides the step.
    pub(super) fn decide(&mut self, carried: &Carried) -> Decided {
        let given = self.given;
        let facts = given.facts();
        let left = self.left.take();
        let (walked, left_out): (Vec<(usize, Step<'_>)>, _) = match &left {
            Some(left) => (left.steps(), Vec::new()),
            None => {
                let walk = walk(
                    given.plan,
                    ring_tree::Given {
                        seed: given.trail.seed,
                        now: facts.now,
                        may_take: &|branch| given.may_take(branch),
                        turn: &mut |node| given.turn(node),
                    },
                );
                (walk.steps.into_iter().enumerate().collect(), walk.left)
            }
        };
        let mut decided = Decided {
            taken: None,
            reason: Reason::NoTaker,
            walked: 0,
            walk: walked.iter().map(|(place, step)| (*place, ahead(given.catalog, step))).collect(),
            beaten: Vec::new(),
            ended: None,
        };
        let (line, step) = (given.line, given.trail.step);
        if let Some((reason, _)) = barred(given.catalog, line, facts.lists, (given.trail.at, step)) {
            self.trail.targets().into_iter().for_each(|ix| self.trail.close(ix, reason, None, None));
            decided.reason = reason;
            return decided;
        }
        debug_assert!(step > 1 || carried.standing.is_empty(), "nothing stands before the first step");
        leave_out(&walked, &left_out, &mut self.trail);
        self.screen();
        self.prices = self.settle(&walked);
        let about = (given.trail.seed, step, facts.now, given.money_step);
        let terms = (self.bars, &self.prices);
        let static_answer = static_answer(given.catalog, about, &walked, terms, &mut self.trail);
        self.try_standing(left.as_ref().map_or(&[], |left| &left.standing), &mut decided);
        for (place, step) in walked {
            if decided.taken.is_some() {
                break;
            }
            decided.walked += 1;
            self.pass_over_unknown(step);
            match step {
                Step::Dial(ix) => {
                    let offered = static_answer.iter().find(|(at, target, _)| (*at, *target) == (place, ix));
                    if let Some((.., offer)) = offered.filter(|_| self.trail.is_open(ix))
                        && self.hold(ix, offer.price)
                    {
                        decided.taken = Some((ix, offer.price, "static"));
                    }
                }
                Step::Together(_) => {
                    for (_, ix, offer) in static_answer.iter().filter(|(at, ..)| *at == place) {
                        if !self.trail.is_open(*ix) {
                            continue;
                        }
                        // Of a test call one rings.
                        if given.test && decided.taken.is_some() {
                            self.trail.close(*ix, Reason::Test, Some(offer.price), None);
                        } else if self.hold(*ix, offer.price) && decided.taken.is_none() {
                            decided.taken = Some((*ix, offer.price, "static"));
                        }
                    }
                }
                Step::Auction(node) => self.try_auction(place, node, &mut decided),
            }
        }
        decided.reason = match decided.taken {
            _ if given.test => Reason::Test,
            Some((.., "static")) => Reason::Static,
            Some(_) => Reason::Won,
            None => Reason::NoTaker,
        };
        // Who was chosen is not handed the call where its caller had left, be it one or all of those to ring at once.
        if decided.taken.is_some() {
            let was_left = |ix: &TargetIx| {
                given.recorded(*ix).is_some_and(|recorded| recorded.reason == Reason::CallerAbandon)
            };
            for ix in self.trail.targets().into_iter().filter(was_left) {
                self.trail.withdraw(ix);
                self.by.insert(ix, "record: the caller had left");
            }
        }
        decided
    }

    fn screen(&mut self) {
        for ix in self.trail.targets().into_iter().filter(|ix| self.trail.is_open(*ix)).collect::<Vec<_>>() {
            let verdict = match self.given.screened(ix) {
                Screened::Decided(verdict) => verdict,
                Screened::Recorded(verdict) => {
                    self.by.insert(ix, "record: a fact was not kept");
                    verdict
                }
                Screened::Assumed => {
                    self.by.insert(ix, "assumed: a fact was not kept");
                    Verdict::Candidate
                }
            };
            match (verdict, self.given.recorded(ix)) {
                (Verdict::Refused(reason, note), _) => {
                    self.trail.close(ix, reason, None, note.map(cleaned));
                }
                (Verdict::Candidate, Some(was)) if is_of(was.reason, Phase::Capacity) => {
                    self.take(ix, was, "record: capacity");
                }
                (Verdict::Candidate, _) => {}
            }
        }
    }

    /// What the targets ask for.
    fn settle(&mut self, walk: &[(usize, Step<'_>)]) -> Prices {
        let given = self.given;
        for ix in walk.iter().flat_map(|(_, step)| step.targets()).copied() {
            if let Some(by) = given.price_by(ix).filter(|_| self.trail.is_open(ix)) {
                self.by.insert(ix, by);
            }
        }
        let prices = Prices::settle(given.catalog, walk, &mut self.trail, &|ix| given.terms(ix));
        prices.note(given.catalog, &mut self.trail);
        prices
    }

    /// Who is dialled at a price that nobody knows may take the call or not: it is pending, as if it were asked.
    fn pass_over_unknown(&mut self, step: Step<'_>) {
        let is_dialled = matches!(step, Step::Dial(_) | Step::Together(_));
        for ix in step.targets().iter().copied().filter(|_| is_dialled) {
            if self.by.get(&ix) == Some(&PRICE_UNKNOWN) {
                self.trail.close(ix, Reason::Pending, None, None);
            }
        }
    }

    /// The recorded verdict, as it is.
    fn take(&mut self, ix: TargetIx, was: Recorded<'_>, by: &'static str) {
        self.trail.close(ix, was.reason, was.amount, was.note.map(str::to_owned));
        self.by.insert(ix, by);
    }

    /// Whether the target was held, as far as the record says otherwise; then it has won.
    fn hold(&mut self, ix: TargetIx, price: Money) -> bool {
        let was = self.given.recorded(ix);
        let is_refused =
            |was: &Recorded<'_>| is_of(was.reason, Phase::Hold) || was.note == Some(PAUSED_SINCE);
        match was.filter(is_refused) {
            Some(was) => {
                self.trail.close(ix, was.reason, Some(price), was.note.map(str::to_owned));
                self.by.insert(ix, "record: not held");
                false
            }
            None => {
                self.trail.close(ix, Reason::Won, Some(price), None);
                true
            }
        }
    }

    fn try_standing(&mut self, standing: &[Beaten], decided: &mut Decided) {
        let mut first: Option<&Ranked> = None;
        for (ix, ranked, basis) in standing {
            let (price, was) = (ranked.offer.price, self.given.recorded(*ix));
            // Where the carrier asked its fallback, nothing that was bid was tried.
            let is_passed_over = was.is_some_and(|was| was.reason == Reason::NotReached);
            if !self.trail.is_open(*ix) || is_passed_over {
                continue;
            }
            if let Some(was) = was.filter(|was| was.reason == Reason::Expired) {
                self.take(*ix, was, "record: the bid was too old");
            } else if let Some(first) = first {
                self.trail.close(*ix, ranked.lost_to(first), Some(price), None);
                decided.beaten.push((*ix, ranked.clone(), basis));
            } else if let Some(pays) = ranked.pays_at_least(self.bars.min_price) {
                if self.hold(*ix, price) {
                    decided.taken = Some((*ix, pays, basis));
                    first = Some(ranked);
                }
            } else {
                self.trail.close(*ix, Reason::Margin, Some(price), None);
            }
        }
    }

    fn try_auction(&mut self, place: usize, node: &AuctionNode, decided: &mut Decided) {
        let given = self.given;
        let at = given.facts().now;
        let mut members: Vec<TargetIx> =
            node.members.iter().copied().filter(|ix| self.trail.is_open(*ix)).collect();
        members.retain(|ix| match given.recorded(*ix).filter(|was| is_of(was.reason, Phase::Ask)) {
            Some(was) if given.catalog.target(*ix).endpoint().is_some() => {
                self.take(*ix, was, "record: not asked");
                false
            }
            Some(_) | None => true,
        });
        members.sort_unstable();
        let rules = Rules {
            closes: at.after(LIFE),
            floor: self.bars.floor.amount.max(node.floor),
            min_price: self.bars.min_price,
            takeover: node.takeover,
            guard: Duration::ZERO,
            seed: seed_of(given.trail.seed, given.trail.step, place),
            early: false,
            price: self.bars.price,
            money_step: given.money_step,
        };
        let catalog = given.catalog;
        let entrants =
            members.iter().map(|ix| entrant(catalog.target(*ix), &self.prices.of(catalog, *ix))).collect();
        let mut auction = Auction::open(rules, entrants);
        for (entrant, ix) in members.iter().enumerate() {
            if let Some(reply) = given.recorded(*ix).and_then(|was| reply(was, at)) {
                if matches!(reply, Reply::NoBid(_)) {
                    self.by.insert(*ix, "record: its reply");
                }
                auction.on_reply(entrant, reply, at);
            }
        }
        let (mut has_bids, mut placed) = (false, None);
        while placed.is_none() {
            self.hear_late(&mut auction, (node, &members));
            let ranking = auction.ranking(at);
            has_bids |= ranking.ranked.iter().any(|ranked| ranked.offer.expires.is_some());
            let basis = if has_bids { "auction" } else { "static" };
            let Some((first, rest)) = ranking.ranked.split_first() else {
                placed = Some(ranking);
                continue;
            };
            let (ix, price) = (members[first.entrant], first.offer.price);
            if !self.hold(ix, price) {
                auction.strike(first.entrant);
                continue;
            }
            decided.taken = Some((ix, first.pays, basis));
            for lost in rest {
                let ix = members[lost.entrant];
                self.trail.close(ix, lost.lost_to(first), Some(lost.offer.price), None);
                decided.beaten.push((ix, lost.clone(), basis));
            }
            placed = Some(ranking);
        }
        self.doubt(&auction, (node, &members));
        for one in placed.map(|ranking| ranking.unplaced).unwrap_or_default() {
            let ix = members[one.entrant];
            if !self.trail.is_open(ix) {
                continue;
            }
            match given.recorded(ix).filter(|was| one.reason == Reason::Pending && was.was_asked) {
                Some(was) => self.take(ix, was, "record: its reply"),
                None => self.trail.close(ix, one.reason, one.amount, one.note),
            }
        }
        if decided.taken.is_none() {
            return;
        }
        if asks_anew(given.line.map(|line| catalog.campaign(line.campaign))) {
            // The next step holds it again, and nothing of this one stands.
            decided.walked -= 1;
            decided.beaten.clear();
        } else {
            decided.ended = Some((auction, members));
        }
    }

    /// Who was not needed, with what is known of its bid and what that could change.
    fn needed(
        &self,
        auction: &Auction,
        (node, members): (&AuctionNode, &[TargetIx]),
    ) -> Vec<(usize, Late, Stake)> {
        let given = self.given;
        if given.has_only_probes(node) {
            return Vec::new();
        }
        let stake = |(entrant, ix): (usize, &TargetIx)| {
            let was = given.recorded(*ix).filter(|was| was.was_asked && was.reason == Reason::NotNeeded)?;
            let late = given.late(node, &was);
            let most = match late {
                Late::None => return None,
                Late::Bid(amount) => Some(amount),
                Late::Maybe(amount) => amount,
            };
            let stake = auction.stake(entrant, most, given.facts().now);
            let is_new = self.then.is_none_or(|then| !then.contains(&self.key(*ix)));
            (is_new && stake != Stake::Nothing).then_some((entrant, late, stake))
        };
        members.iter().enumerate().filter_map(stake).collect()
    }

    fn key(&self, ix: TargetIx) -> (u32, String) {
        (self.given.trail.step, self.given.catalog.target(ix).id.to_string())
    }

    /// Bids that came in time and were not needed then, as far as they are now.
    fn hear_late(&mut self, auction: &mut Auction, (node, members): (&AuctionNode, &[TargetIx])) {
        let needed = self.needed(auction, (node, members));
        if self.then.is_none() {
            let keys: Vec<_> = needed.iter().map(|(entrant, ..)| self.key(members[*entrant])).collect();
            self.unwaited.extend(keys);
            return;
        }
        let at = self.given.facts().now;
        for (entrant, late, _) in needed {
            if let Late::Bid(amount) = late {
                auction.on_reply(entrant, bid(amount, at.after(LIFE)), at);
                self.by.insert(members[entrant], "record: its bid came in time");
            }
        }
    }

    /// Who was not needed then, could change who wins now or what that one pays, and nobody knows.
    fn doubt(&mut self, auction: &Auction, (node, members): (&AuctionNode, &[TargetIx])) {
        if self.then.is_none() {
            return;
        }
        let first = auction.first(self.given.facts().now);
        let is_bid = first.is_some_and(|first| first.offer.expires.is_some());
        for (entrant, _, stake) in self.needed(auction, (node, members)) {
            let ix = members[entrant];
            let by = match stake {
                Stake::First => {
                    self.could_win.push(ix);
                    COULD_WIN
                }
                Stake::Price if is_bid => {
                    self.could_price.push(ix);
                    COULD_PRICE
                }
                Stake::Price | Stake::Nothing => continue,
            };
            let amount = self.given.recorded(ix).and_then(|was| was.amount);
            self.trail.close(ix, Reason::Pending, amount, None);
            self.by.insert(ix, by);
        }
    }

    /// What the next step finds.
    pub(super) fn onward(&self, decided: Decided, next: Option<&StoredTrail>, carried: Carried) -> Carried {
        let given = self.given;
        let standing = |ix: TargetIx, ranked: Ranked, basis| {
            let target = given.catalog.target(ix).id.clone();
            Standing { target, buyer: given.buyer(ix).clone(), ranked, basis }
        };
        let all: Vec<Standing> =
            decided.beaten.into_iter().map(|(ix, r, basis)| standing(ix, r, basis)).collect();
        let walk = decided.walk[decided.walked..].to_vec();
        let payout = carried.payout.or_else(|| {
            let line = given.line?;
            Some(*given.catalog.payout(line.publisher, line.campaign))
        });
        let mut onward = Carried { standing: all, walk, payout, tried: Vec::new() };
        // Bids that came after an early end and in time: the next step has them, and the record says so.
        if let (Some((mut auction, members)), Some(next)) = (decided.ended, next) {
            let at = given.facts().now;
            let mut has_joined = false;
            for (entrant, ix) in members.iter().enumerate() {
                let id = given.catalog.target(*ix).id.as_str();
                let was = given.recorded(*ix).filter(|was| was.reason == Reason::NotNeeded);
                if let Some(amount) = was.and_then(|was| was.amount)
                    && next.outcomes.iter().any(|outcome| outcome.target == id)
                {
                    auction.on_reply(entrant, bid(amount, at.after(LIFE)), at);
                    has_joined = true;
                }
            }
            if has_joined {
                let ranked = auction.ranking(at).ranked.into_iter();
                onward.standing = ranked
                    .map(|ranked| standing(members[ranked.entrant], ranked, "auction"))
                    .filter(|one| {
                        decided.taken.is_none_or(|(ix, ..)| given.catalog.target(ix).id != one.target)
                    })
                    .filter(|one| carried.tried.iter().all(|tried| tried != one.target.as_str()))
                    .collect();
            }
        }
        onward.standing.truncate(STANDING_MAX);
        onward
    }
}

/// What a bidder answered, by its record; `None` where it was not asked, or a bid came when it was not needed any more.
fn reply(was: Recorded<'_>, at: Timestamp) -> Option<Reply> {
    if !was.was_asked || was.reason == Reason::NotNeeded {
        return None;
    }
    let is_answer =
        is_of(was.reason, Phase::Reply) || was.reason.code() / 100 == 2 || was.reason == Reason::Pending;
    match was.amount.filter(|_| !is_answer) {
        // What it lived is not recorded, only whether that was enough.
        Some(amount) if was.reason == Reason::Expired => Some(bid(amount, at.before(LIFE))),
        Some(amount) => Some(bid(amount, at.after(LIFE))),
        None => {
            let (reason, note) = (was.reason, was.note.map(str::to_owned));
            Some(Reply::NoBid(NoBid { reason, amount: was.amount, note }))
        }
    }
}

fn bid(amount: Money, expires: Timestamp) -> Reply {
    Reply::Bid(Bid { amount, expires, destination: None, min_duration: Duration::ZERO })
}
