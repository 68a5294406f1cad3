//! The second implementation of order: the walk of a plan, auctions, and who takes the call, as docs/operators.md says it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::judge::{Known, Offers, Says, is_open};
use super::model::*;

/// A bid needs as much of its life when it is handed out, in milliseconds.
const GUARD_MS: u64 = 5_000;

/// Draws as docs/operators.md says them, "How draws are made".
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        stirred(self.0)
    }

    /// The order of these weights.
    fn order(&mut self, weights: &[u32]) -> Vec<usize> {
        let mut left: Vec<usize> = (0..weights.len()).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let sum: u128 = left.iter().map(|at| u128::from(weights[*at])).sum();
            let ticket = (u128::from(self.next()) * sum) >> 64;
            let mut passed = 0;
            let mut drawn = 0;
            for (place, at) in left.iter().enumerate() {
                passed += u128::from(weights[*at]);
                if ticket < passed {
                    drawn = place;
                    break;
                }
            }
            order.push(left.remove(drawn));
        }
        order
    }
}

fn stirred(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One step of a walk.
pub enum Step<'a> {
    Dial(&'a str),
    Auction(&'a Auction),
    /// Who rings at once, and whether whoever picks up has to press a digit.
    Together(&'a [String], bool),
}

/// A plan as a call walks it.
pub struct Walk<'a> {
    pub steps: Vec<Step<'a>>,
    /// The action at its end.
    pub end: Action,
    /// Who is left out, each for the first reason that was found. One of a choice may be in the steps all the same.
    pub left: Vec<(&'a str, &'static str)>,
    /// Longest that targets ring by their place, in seconds.
    pub rings: BTreeMap<&'a str, u64>,
    /// The round robins that it came to, and the child that came first at each.
    pub turns: Vec<(usize, usize)>,
}

/// The walk of a call.
pub fn walk<'a>(known: &Known<'a>) -> Walk<'a> {
    walk_of(known, known.call.seed, &|number| known.call.turn_of(number))
}

/// The same with other draws and turns.
pub fn walk_of<'a>(known: &Known<'a>, seed: u64, turn: &dyn Fn(usize) -> u64) -> Walk<'a> {
    let (left, rings, turns) = (Vec::new(), BTreeMap::new(), Vec::new());
    let walk = Walk { steps: Vec::new(), end: BUSY, left, rings, turns };
    let mut walker = Walker { known, draws: Draws::new(seed), turn, has_ended: false, walk };
    if let Some(root) = &known.plan().root {
        walker.down(root, 0, None);
    }
    walker.walk
}

struct Walker<'k, 'a> {
    known: &'k Known<'a>,
    draws: Draws,
    turn: &'k dyn Fn(usize) -> u64,
    has_ended: bool,
    walk: Walk<'a>,
}

impl<'a> Walker<'_, 'a> {
    /// `robins` is how many round robins are written before the node.
    fn down(&mut self, node: &'a Node, robins: usize, ring: Option<u64>) {
        let market = self.known.market;
        if self.has_ended {
            return self.leave(node, "plan_ended");
        }
        let before = |children: &[&'a Node], at: usize| -> usize {
            children[..at].iter().map(|child| robins_in(child, market)).sum()
        };
        match node {
            Node::Target(id) => {
                self.walk.rings.extend(ring.map(|ring| (id.as_str(), ring)));
                self.walk.steps.push(Step::Dial(id));
            }
            Node::Auction(auction) => {
                let rings = auction.members.iter().filter_map(|id| Some((id.as_str(), ring?)));
                self.walk.rings.extend(rings);
                self.walk.steps.push(Step::Auction(auction));
            }
            Node::Together(ids, answer) => {
                self.walk.rings.extend(ids.iter().filter_map(|id| Some((id.as_str(), ring?))));
                self.walk.steps.push(Step::Together(ids, *answer != Some("first")));
            }
            Node::Sequential(_) => {
                let children = children(node, market);
                (0..children.len())
                    .for_each(|at| self.down(children[at], robins + before(&children, at), ring));
            }
            Node::Weighted(nodes) => {
                let children = children(node, market);
                let weights: Vec<u32> = nodes.iter().map(|node| node.0).collect();
                for at in self.draws.order(&weights) {
                    self.down(children[at], robins + before(&children, at), ring);
                }
            }
            Node::RoundRobin(_) => {
                let children = children(node, market);
                let many = children.len();
                let first = ((self.turn)(robins) % many as u64) as usize;
                self.walk.turns.push((robins, first));
                for at in (0..many).map(|place| (first + place) % many) {
                    self.down(children[at], robins + 1 + before(&children, at), ring);
                }
            }
            Node::FirstMatch(branches) => {
                let children = children(node, market);
                let taken = branches.iter().position(|branch| self.known.may_take(branch));
                if let Some(at) = taken {
                    self.down(children[at], robins + before(&children, at), ring);
                }
                let others = (0..children.len()).filter(|at| Some(*at) != taken);
                others.for_each(|at| self.leave(children[at], "branch"));
            }
            Node::Group(id) => self.down(group(&market.groups, id), robins, ring),
            Node::Action(action) => {
                self.walk.end = *action;
                self.has_ended = true;
            }
            Node::Limited(limits, node) => {
                let is_shut = |(hours, zone): &(Hours, &str)| !is_open(hours, zone, self.known.call.at);
                if limits.hours.as_ref().is_some_and(is_shut) {
                    return self.leave(node, "node_closed");
                }
                let ring = limits.ring.map_or(ring, |own| Some(ring.map_or(own, |ring| ring.min(own))));
                self.down(node, robins, ring);
            }
        }
    }

    fn leave(&mut self, node: &'a Node, reason: &'static str) {
        let mut all = Vec::new();
        targets_of(node, self.known.market, &mut all);
        self.walk.left.extend(all.into_iter().map(|id| (id, reason)));
    }
}

/// The nodes right below one.
fn children<'a>(node: &'a Node, market: &'a Market) -> Vec<&'a Node> {
    match node {
        Node::Target(_) | Node::Auction(_) | Node::Together(..) | Node::Action(_) => Vec::new(),
        Node::Sequential(nodes) | Node::RoundRobin(nodes) => nodes.iter().collect(),
        Node::Weighted(nodes) => nodes.iter().map(|node| &node.1).collect(),
        Node::FirstMatch(branches) => branches.iter().map(|branch| &branch.node).collect(),
        Node::Group(id) => vec![group(&market.groups, id)],
        Node::Limited(_, node) => vec![node],
    }
}

/// How many round robins a node is and has below it.
fn robins_in(node: &Node, market: &Market) -> usize {
    let below: usize = children(node, market).into_iter().map(|child| robins_in(child, market)).sum();
    below + usize::from(matches!(node, Node::RoundRobin(_)))
}

/// Every target of a plan in the order written; what stands in several branches comes once.
pub fn targets<'a>(plan: &'a Plan, market: &'a Market) -> Vec<&'a str> {
    let mut all = Vec::new();
    if let Some(root) = &plan.root {
        targets_of(root, market, &mut all);
    }
    all
}

/// The same of a node.
pub fn targets_of<'a>(node: &'a Node, market: &'a Market, all: &mut Vec<&'a str>) {
    let mut add = |id: &'a str| {
        if !all.contains(&id) {
            all.push(id);
        }
    };
    match node {
        Node::Target(id) => add(id),
        Node::Auction(auction) => auction.members.iter().for_each(|id| add(id)),
        Node::Together(ids, _) => ids.iter().for_each(|id| add(id)),
        _ => children(node, market).into_iter().for_each(|child| targets_of(child, market, all)),
    }
}

/// What stands before each target on its way: every branch and every node's hours around it, in order, up to the first that
/// does not let the call pass. Of one in several branches, where the call comes to it, else where it is written first.
pub fn ways<'a>(known: &Known<'a>) -> BTreeMap<&'a str, Vec<Says>> {
    let mut places = Vec::new();
    if let Some(root) = &known.plan().root {
        places_of(known, root, &[], &mut places);
    }
    let mut ways: BTreeMap<&str, Vec<Says>> = BTreeMap::new();
    for (id, way) in places {
        let comes = |way: &[Says]| way.iter().all(|says| *says == Says::Yes);
        match ways.get(id) {
            Some(before) if comes(before) || !comes(&way) => {}
            _ => drop(ways.insert(id, way)),
        }
    }
    for way in ways.values_mut() {
        let passed = way.iter().position(|says| *says != Says::Yes);
        way.truncate(passed.map_or(way.len(), |at| at + 1));
    }
    ways
}

/// Every target below a node, with all that stands before it.
fn places_of<'a>(known: &Known<'a>, node: &'a Node, way: &[Says], places: &mut Vec<(&'a str, Vec<Says>)>) {
    let children = children(node, known.market);
    match node {
        Node::Target(id) => places.push((id, way.to_vec())),
        Node::Auction(Auction { members: ids, .. }) | Node::Together(ids, _) => {
            places.extend(ids.iter().map(|id| (id.as_str(), way.to_vec())));
        }
        Node::FirstMatch(branches) => {
            let mut is_taken = false;
            for (branch, child) in branches.iter().zip(children) {
                let says = if is_taken { Says::No } else { known.branch_says(branch) };
                is_taken |= says == Says::Yes;
                places_of(known, child, &[way, &[says]].concat(), places);
            }
        }
        Node::Limited(Limits { hours: Some((hours, zone)), .. }, child) => {
            let says = if is_open(hours, zone, known.call.at) { Says::Yes } else { Says::No };
            places_of(known, child, &[way, &[says]].concat(), places);
        }
        _ => children.into_iter().for_each(|child| places_of(known, child, way, places)),
    }
}

/// What becomes of one target.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fate {
    pub target: String,
    pub reason: String,
    /// Its price, where one was named.
    pub price: Option<i64>,
    /// What it pays if it takes the call.
    pub pays: Option<i64>,
}

/// `acme won 24.00 pays 18.00`
impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.target, self.reason)?;
        self.price.map_or(Ok(()), |price| write!(f, " {}", money(price)))?;
        self.pays.map_or(Ok(()), |pays| write!(f, " pays {}", money(pays)))
    }
}

/// What becomes of everybody whom a walk comes to, step by step, until somebody takes the call.
pub fn story(known: &Known<'_>) -> Vec<Vec<Fate>> {
    told(known, known.campaign().is_some_and(|campaign| campaign.early_close))
}

/// Who takes the call, at which price, if every auction waits for all until it closes.
pub fn taker_of_the_patient(known: &Known<'_>) -> Option<(String, Option<i64>)> {
    taker(&told(known, false))
}

/// Who takes the call, and what it pays.
pub fn taker(story: &[Vec<Fate>]) -> Option<(String, Option<i64>)> {
    let won = story.iter().flatten().find(|fate| fate.reason == "won")?;
    Some((won.target.clone(), won.pays))
}

fn told(known: &Known<'_>, is_early: bool) -> Vec<Vec<Fate>> {
    let Some(campaign) = known.campaign().filter(|_| known.barred().is_none()) else { return Vec::new() };
    let mut told = Vec::new();
    for (place, step) in walk(known).steps.iter().enumerate() {
        let fates = match step {
            Step::Dial(id) => dial(known, id).into_iter().collect(),
            // Each by itself, in the order written: all that can be held ring.
            Step::Together(ids, _) => ids.iter().filter_map(|id| dial(known, id)).collect(),
            Step::Auction(auction) => {
                let seed = stirred(known.call.seed ^ (place as u64 + 1));
                Open { is_early, ..Open::of(known, campaign, auction, seed) }.run()
            }
        };
        let is_over = fates.iter().any(|fate| fate.reason == "won");
        told.push(fates);
        if is_over {
            break;
        }
    }
    told
}

fn target<'a>(known: &Known<'a>, id: &str) -> &'a Target {
    known.market.targets.iter().find(|target| target.id == id).expect("a target")
}

fn dial(known: &Known<'_>, id: &str) -> Option<Fate> {
    let target = target(known, id);
    let Offers::Price(price) = known.offers(target) else { return None };
    if known.verdict(target, known.call.earlier) != "candidate" {
        return None;
    }
    let reason = match too_low(known, known.floor().max(known.own_floor(target)), price) {
        Some(reason) => reason,
        None if known.call.full.contains(id) => "hold_lost",
        None => "won",
    };
    let pays = (reason == "won").then_some(price);
    Some(Fate { target: id.to_owned(), reason: reason.to_owned(), price: Some(price), pays })
}

/// Below the floor, or without the margin.
fn too_low(known: &Known<'_>, floor: i64, price: i64) -> Option<&'static str> {
    if price < floor {
        return Some("below_floor");
    }
    if known.leaves_margin(price) { None } else { Some("margin") }
}

/// One member of an auction with what is known of it so far.
#[derive(Clone)]
struct Entrant<'a> {
    target: &'a Target,
    /// The highest floor that applies to it.
    floor: i64,
    /// Its price, and until when it may be handed out: milliseconds after the call came.
    price: Option<(i64, Option<u64>)>,
    /// Why it has none; nothing while it is outstanding.
    refused: Option<(&'static str, Option<i64>)>,
    is_struck: bool,
}

struct Open<'k, 'a> {
    known: &'k Known<'a>,
    campaign: &'a Campaign,
    node: &'a Auction,
    seed: u64,
    /// Whether it is over when nobody outstanding could still be first.
    is_early: bool,
    /// In the order of their ids.
    entrants: Vec<Entrant<'a>>,
}

/// One that may be handed out, with the tier it competes at.
struct Standing {
    entrant: usize,
    tier: u8,
    score: i128,
    price: i64,
    priority: u16,
}

impl<'k, 'a> Open<'k, 'a> {
    fn of(known: &'k Known<'a>, campaign: &'a Campaign, node: &'a Auction, seed: u64) -> Open<'k, 'a> {
        let mut members: Vec<&Target> = node.members.iter().map(|id| target(known, id)).collect();
        members.retain(|target| known.verdict(target, known.call.earlier) == "candidate");
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let floor = known.floor().max(node.floor);
        let entrant = |target: &'a Target| {
            let price = match known.offers(target) {
                Offers::Price(price) => Some((price, None)),
                Offers::Asked => None,
                Offers::Nothing(_) => return None,
            };
            let floor = floor.max(known.own_floor(target));
            Some(Entrant { target, floor, price, refused: None, is_struck: false })
        };
        let entrants = members.into_iter().filter_map(entrant).collect();
        Open { known, campaign, node, seed, is_early: campaign.early_close, entrants }
    }

    /// Replies are taken in the order in which they come until none could change the winner; then who is first is held, and
    /// who cannot be is out.
    fn run(mut self) -> Vec<Fate> {
        let deadline = self.campaign.deadline_ms;
        let closes = self.node.timeout_ms.map_or(deadline, |timeout| timeout.min(deadline));
        let replies = &self.known.call.replies;
        let mut coming: Vec<(u64, usize)> = Vec::new();
        for (at, entrant) in self.entrants.iter().enumerate() {
            if let (Price::Bids(..), Some(reply)) = (&entrant.target.price, replies.get(&entrant.target.id))
                && reply.ms < closes
            {
                coming.push((reply.ms, at));
            }
        }
        coming.sort();
        coming.reverse();
        let mut now = 0;
        let mut fates = Vec::new();
        loop {
            while now < closes && self.is_waiting(now) {
                match coming.pop() {
                    Some((ms, at)) => {
                        now = ms;
                        self.take(at, &replies[&self.entrants[at].target.id]);
                    }
                    None => now = closes,
                }
            }
            let standing = self.standing(now);
            let Some(first) = standing.iter().find(|one| !self.entrants[one.entrant].is_struck) else {
                break;
            };
            let id = &self.entrants[first.entrant].target.id;
            let fate = |target: &str, reason: &str, price: i64, pays: Option<i64>| Fate {
                target: target.to_owned(),
                reason: reason.to_owned(),
                price: Some(price),
                pays,
            };
            if self.known.call.full.contains(id) {
                fates.push(fate(id, "hold_lost", first.price, None));
                let struck = first.entrant;
                self.entrants[struck].is_struck = true;
                continue;
            }
            let left: Vec<&Standing> =
                standing.iter().filter(|one| !self.entrants[one.entrant].is_struck).collect();
            for (place, one) in left.iter().enumerate() {
                let entrant = &self.entrants[one.entrant];
                let reason = if one.entrant == first.entrant {
                    "won"
                } else if one.tier > first.tier {
                    "lower_tier"
                } else if one.score == first.score {
                    "tie_lost"
                } else {
                    "outbid"
                };
                let pays = self.pays(one, left.get(place + 1).copied());
                fates.push(fate(&entrant.target.id, reason, one.price, Some(pays)));
            }
            break;
        }
        for entrant in self.entrants.iter().filter(|entrant| !entrant.is_struck) {
            if !fates.iter().any(|fate| fate.target == entrant.target.id) {
                let (reason, price) = self.unplaced(entrant, now);
                let target = entrant.target.id.clone();
                fates.push(Fate { target, reason: reason.to_owned(), price, pays: None });
            }
        }
        fates.sort();
        fates
    }

    /// Takes a reply as docs/buyers.md says.
    fn take(&mut self, at: usize, reply: &Reply) {
        let entrant = &mut self.entrants[at];
        let Price::Bids(most, usual_life) = entrant.target.price else { panic!("a bidder") };
        let Some((text, life)) = &reply.bid else {
            entrant.refused = Some(("no_bid", None));
            return;
        };
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if !is_plain(whole) || !is_plain(part) {
            entrant.refused = Some(("malformed", None));
            return;
        }
        let micros = format!("{whole}{:0<6}", part.chars().take(6).collect::<String>());
        let micros: i64 = micros.parse().expect("digits");
        let amount = micros / CENT * CENT;
        entrant.refused = if text.chars().all(|c| c == '0' || c == '.') {
            Some(("no_bid", None))
        } else if micros > most {
            Some(("above_max", Some(micros)))
        } else if amount == 0 {
            Some(("malformed", Some(micros)))
        } else {
            let life = life.unwrap_or(usual_life).clamp(5, 300) * 1_000;
            entrant.price = Some((amount, Some(reply.ms + life)));
            None
        };
    }

    /// What a bid needs to come before whoever is next.
    fn pays(&self, one: &Standing, next: Option<&Standing>) -> i64 {
        let Entrant { target, floor, .. } = self.entrants[one.entrant];
        if !self.campaign.is_second || !matches!(target.price, Price::Bids(..)) {
            return one.price;
        }
        let needed = next.map_or(0, |next| next.score / i128::from(target.multiplier));
        let needed = i64::try_from(needed).expect("an amount") / CENT * CENT;
        needed.max(floor).max(self.known.least_leaving()).max(CENT).min(one.price)
    }

    fn is_alive(until: Option<u64>, now: u64) -> bool {
        until.is_none_or(|until| until >= now + GUARD_MS)
    }

    /// The price of one that may be handed out now.
    fn acceptable(&self, entrant: &Entrant<'_>, now: u64) -> Option<i64> {
        let (price, until) = entrant.price?;
        let refused = too_low(self.known, entrant.floor, price);
        if refused.is_none() && Self::is_alive(until, now) { Some(price) } else { None }
    }

    fn unplaced(&self, entrant: &Entrant<'_>, now: u64) -> (&'static str, Option<i64>) {
        match (entrant.price, entrant.refused) {
            (Some((price, until)), _) => {
                let low = too_low(self.known, entrant.floor, price);
                let dying = (!Self::is_alive(until, now)).then_some("expired");
                (low.or(dying).expect("it was not placed"), Some(price))
            }
            (None, Some(refused)) => refused,
            (None, None) => ("pending", None),
        }
    }

    /// Everybody who may be handed out, best first, those who were struck in their places: they keep their tickets.
    fn standing(&self, now: u64) -> Vec<Standing> {
        let mut all: Vec<Standing> = Vec::new();
        for (at, entrant) in self.entrants.iter().enumerate() {
            if let Some(price) = self.acceptable(entrant, now) {
                all.push(Standing {
                    entrant: at,
                    tier: entrant.target.tier,
                    score: i128::from(price) * i128::from(entrant.target.multiplier),
                    price,
                    priority: entrant.target.priority,
                });
            }
        }
        let is_left = |one: &&Standing| !self.entrants[one.entrant].is_struck;
        let Some(top) = all.iter().filter(is_left).map(|one| one.tier).min() else { return Vec::new() };
        for one in &mut all {
            if self.node.takeover.is_some_and(|takeover| one.price >= takeover) {
                one.tier = top;
            }
        }
        // A stable sort keeps equals in the order of their ids.
        all.sort_by(compared);
        let mut draws = Draws::new(self.seed);
        let mut drawn = Vec::new();
        while !all.is_empty() {
            let many = all.iter().take_while(|one| compared(one, &all[0]) == Ordering::Equal).count();
            let mut equals: Vec<Option<Standing>> = all.drain(..many).map(Some).collect();
            if many == 1 {
                drawn.extend(equals.pop().flatten());
                continue;
            }
            let weight =
                |one: &Option<Standing>| self.entrants[one.as_ref().expect("there").entrant].target.weight;
            let weights: Vec<u32> = equals.iter().map(weight).collect();
            drawn.extend(draws.order(&weights).into_iter().filter_map(|at| equals[at].take()));
        }
        drawn
    }

    /// Whether somebody who has not answered could still change who is first, or second where that is another price: each is
    /// tried with the most it may bid. A tie counts, as a draw would decide it; and so does one who only makes its tier the
    /// highest, with which those compete that take over.
    fn is_waiting(&self, now: u64) -> bool {
        let outstanding: Vec<usize> = (0..self.entrants.len())
            .filter(|at| self.entrants[*at].price.is_none() && self.entrants[*at].refused.is_none())
            .collect();
        if !self.is_early {
            return !outstanding.is_empty();
        }
        let is_left = |one: &&Standing| !self.entrants[one.entrant].is_struck;
        let places = if self.campaign.is_second { 2 } else { 1 };
        let now_first: Vec<usize> =
            self.standing(now).iter().filter(is_left).take(places).map(|one| one.entrant).collect();
        outstanding.into_iter().any(|at| {
            let mut tried = Open { entrants: self.entrants.clone(), ..*self };
            let Price::Bids(most, _) = self.entrants[at].target.price else { panic!("a bidder") };
            tried.entrants[at].price = Some((most, None));
            let standing = tried.standing(now);
            let Some(own) = standing.iter().find(|one| one.entrant == at) else { return false };
            let then_first: Vec<&Standing> = standing.iter().filter(is_left).take(places).collect();
            then_first.iter().any(|one| compared(one, own) == Ordering::Equal)
                || then_first.iter().map(|one| one.entrant).ne(now_first.iter().copied())
        })
    }
}

/// Tier, effective score, price, priority.
fn compared(one: &Standing, other: &Standing) -> Ordering {
    (one.tier, -one.score, -one.price, one.priority).cmp(&(
        other.tier,
        -other.score,
        -other.price,
        other.priority,
    ))
}
