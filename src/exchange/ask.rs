//! Opens one auction node: who is asked, what each is told, and what comes of it for the record. Who takes the call is
//! decided in `decide`.

use std::pin::pin;
use std::time::Duration;

use super::Worker;
use super::bars::Bars;
use super::decide::Ctx;
use super::linger::StillOut;
use super::prices::Prices;
use super::subject::Subject;
use super::trail::Trail;
use crate::auction::rank::Ranked;
use crate::auction::{Auction, Entrant, Offer, Progress, Ranking, Rules, Unplaced};
use crate::bidder::Ping;
use crate::bidder::pseudonym::Pseudonym;
use crate::domain::catalog::{Disclosure, Pricing};
use crate::domain::plan::AuctionNode;
use crate::domain::{Floor, FloorOf, Money, Reason, Target, TargetIx, Timestamp};
use crate::ping::{Ask, Asked, Close, LEAST_TIME, health, told_ms};
use crate::routing::price::Terms;
use crate::runtime::Clock;

/// Whether auctions ask, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// It asks.
    Open,
    /// Too many decisions are in progress.
    Overload,
    /// The carrier has no time for it, or our last answer was of no use to it.
    Fallback,
}

/// When an auction's pings went out.
#[derive(Clone, Copy)]
pub(super) struct Written {
    /// The last one.
    pub(super) last: Timestamp,
    /// No connection had to be opened first.
    pub(super) all_warm: bool,
}

/// An auction on its way.
#[derive(Debug)]
pub(super) struct Run {
    auction: Auction,
    /// The target of each entrant.
    members: Vec<TargetIx>,
    /// `None` when nobody is asked.
    pings: Option<Asked>,
    closes: Timestamp,
    /// What its offers were held against.
    bars: Bars,
    floor: Floor,
    /// Those of the entrants themselves.
    floors: Vec<Money>,
    close: Option<Close>,
    /// When it was last settled.
    pub(super) closed: Timestamp,
    /// Whether anybody bid acceptably.
    pub(super) has_bids: bool,
}

impl Run {
    /// Waits until the auction is settled or its deadline has come, and says who comes first. `leads` is told who does
    /// when one last reply is waited for. After a strike it can be asked again.
    pub(super) async fn settle(
        &mut self,
        clock: &Clock,
        mut leads: impl FnMut(TargetIx, &Offer),
    ) -> Option<Ranked> {
        if let Some(pings) = &mut self.pings {
            let one_is_left = |auction: &Auction, now| {
                if let Some(first) = auction.first(now) {
                    leads(self.members[first.entrant], &first.offer);
                }
            };
            self.close = Some(pings.gather(&mut self.auction, one_is_left).await);
        }
        self.closed = clock.now();
        self.has_bids |= self.auction.has_bid(self.closed);
        self.auction.first(self.closed)
    }

    /// Waits for `other`, and still reads what is replied.
    pub(super) async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        match &mut self.pings {
            Some(pings) => pings.during(pin!(other)).await,
            None => other.await,
        }
    }

    /// Who came first when it was last settled, and what became of everybody else.
    pub(super) fn ranking(&self) -> Ranking {
        self.auction.ranking(self.closed)
    }

    /// Whether another look could find what the last did not: a bid that settled the auction may have died since.
    pub(super) fn may_go_on(&self) -> bool {
        self.close == Some(Close::Early) && self.auction.progress(self.closed) == Progress::Waiting
    }

    /// The target of an entrant.
    pub(super) fn target(&self, entrant: usize) -> TargetIx {
        self.members[entrant]
    }

    /// Takes an entrant out that could not be held.
    pub(super) fn strike(&mut self, entrant: usize) {
        self.auction.strike(entrant);
    }

    /// When its pings went out; `None` when none did.
    pub(super) fn written(&self) -> Option<Written> {
        let pings = self.pings.as_ref()?;
        Some(Written { last: pings.last_written()?, all_warm: pings.all_warm() })
    }

    /// Whether anybody was asked.
    pub(super) fn has_asked(&self) -> bool {
        self.pings.is_some()
    }

    /// Ends it: who has no place gets its reason, a ping that is still out is `pending`. What is out is returned; with
    /// `is_joined` its bids join those that stand for the call's next attempts.
    pub(super) fn end(
        self,
        ctx: &Ctx,
        trail: &mut Trail,
        unplaced: Vec<Unplaced>,
        is_joined: bool,
    ) -> Option<StillOut> {
        for one in unplaced {
            let member = self.members[one.entrant];
            let own = self.floors[one.entrant];
            let note = one.note.or_else(|| self.bars.note(one.reason, self.floor.or(FloorOf::Target, own)));
            trail.close(member, one.reason, one.amount, note);
        }
        let (pings, close) = (self.pings?, self.close?);
        for (entrant, latency) in pings.latencies() {
            trail.replied(self.members[*entrant], *latency);
        }
        if close == Close::Early {
            self.auction.awaited().for_each(|entrant| trail.not_needed(self.members[entrant]));
        }
        let asked = pings.last_written().map_or(Duration::ZERO, |written| written.since(ctx.arrived));
        trail.closed(close.as_str(), asked, self.closed.since(ctx.arrived));
        let handed_out = is_joined.then_some((self.closes, self.closed));
        Some(StillOut::of(pings.release(), self.members, self.auction, handed_out))
    }
}

/// The offer of a target that is not asked: its price for this call.
pub(super) fn fixed_offer(target: &Target, terms: &Terms) -> Option<Offer> {
    let price = terms.price?;
    Some(Offer { price, min_duration: target.min_duration, destination: None, expires: None })
}

/// A target as it enters an auction.
pub(super) fn entrant(target: &Target, terms: &Terms) -> Entrant {
    Entrant {
        tier: target.tier,
        priority: target.priority,
        weight: target.weight,
        multiplier: target.multiplier,
        floor: terms.floor,
        fixed: fixed_offer(target, terms),
        ceiling: match &target.pricing {
            Pricing::Endpoint(endpoint) => endpoint.max_bid,
            Pricing::Fixed(_) | Pricing::Table(_) => terms.price.unwrap_or(Money::ZERO),
        },
        waited: true,
    }
}

impl Worker {
    /// Opens the auction of the node's open members, and asks them. Every member that cannot be asked has its reason
    /// afterwards.
    pub(super) fn auction(
        &self,
        ctx: &Ctx,
        subject: &Subject<'_>,
        (bars, prices): (Bars, &Prices),
        trail: &mut Trail,
        (place, node): (usize, &AuctionNode),
        asking: Asking,
    ) -> Box<Run> {
        let closes = ctx.closes(subject);
        let closes =
            node.timeout.map_or(closes, |timeout| closes.min(self.exchange.clock.now().after(timeout)));
        let mut members = node.members.clone();
        members.retain(|ix| trail.is_open(*ix));
        let catalog = &ctx.in_force.snapshot.catalog;
        // Where not everybody can be asked, those who would win first are.
        members.sort_unstable_by_key(|ix| (catalog.target(*ix).tier, catalog.target(*ix).priority, *ix));
        let probes = self.drop_unaskable(ctx, trail, &mut members, asking, closes);
        // Targets stand in the catalog sorted by id: the order in which ties are drawn.
        members.sort_unstable();
        let entrants: Vec<Entrant> = members
            .iter()
            .map(|ix| {
                let terms = prices.of(catalog, *ix);
                Entrant { waited: !probes.contains(ix), ..entrant(catalog.target(*ix), &terms) }
            })
            .collect();
        let floors = entrants.iter().map(|entrant| entrant.floor).collect();
        let floor = bars.floor.or(FloorOf::Node, node.floor);
        let now = self.exchange.clock.now();
        let mut asks = Vec::with_capacity(members.len());
        asks.extend(members.iter().enumerate().filter_map(|(at, ix)| {
            let own = floor.or(FloorOf::Target, prices.of(catalog, *ix).floor);
            self.question(ctx, subject, own, (at, *ix), (now, closes))
        }));
        asks.iter().for_each(|ask| trail.asked(ask.target, ask.ping));
        let rules = Rules {
            closes,
            floor: floor.amount,
            min_price: bars.min_price,
            takeover: node.takeover,
            guard: self.exchange.rules.dial_guard,
            seed: ctx.seed_of(place),
            early: subject.campaign(catalog).is_some_and(|campaign| campaign.early_close),
            price: bars.price,
            money_step: ctx.in_force.snapshot.money_step,
        };
        let asks = Some(asks).filter(|asks| !asks.is_empty());
        // Boxed: it is kept beyond the answer, and large.
        Box::new(Run {
            auction: Auction::open(rules, entrants),
            members,
            pings: asks.map(|asks| self.pinger.ask(&ctx.in_force.snapshot, asks, closes)),
            closes,
            bars,
            floor,
            floors,
            close: None,
            closed: ctx.arrived,
            has_bids: false,
        })
    }

    /// Takes out, with their reason, members that would have to be asked and cannot be, and those that answer no pings.
    /// Returns of the latter those that are asked all the same, to see whether they have come back.
    fn drop_unaskable(
        &self,
        ctx: &Ctx,
        trail: &mut Trail,
        members: &mut Vec<TargetIx>,
        asking: Asking,
        closes: Timestamp,
    ) -> Vec<TargetIx> {
        let now = self.exchange.clock.now();
        let time_left = closes.since(now) >= LEAST_TIME;
        let is_asking = asking == Asking::Open && time_left;
        let turn = if is_asking { self.turn_among(ctx, members, now) } else { None };
        let (mut asked, mut probes) = (0, Vec::new());
        members.retain(|ix| {
            let Some(health) = &ctx.in_force.health[ix.at()] else { return true };
            let has_room = asked < self.exchange.rules.auction_fan_out;
            let refused = match asking {
                Asking::Overload => Some((Reason::Overload, None)),
                Asking::Fallback => Some((Reason::Fallback, None)),
                Asking::Open if !time_left => Some((Reason::NoTime, None)),
                Asking::Open if !health.is_waited_for() => {
                    // Claimed only when it will be asked: for a while there is no other.
                    if has_room && health.claim_probe(now, turn == Some(*ix)) {
                        probes.push(*ix);
                        None
                    } else {
                        let note = format!("{} misses in a row", health.misses_in_a_row());
                        Some((Reason::Unresponsive, Some(note)))
                    }
                }
                Asking::Open if !has_room => Some((Reason::FanOut, None)),
                Asking::Open => None,
            };
            match refused {
                Some((reason, note)) => {
                    trail.close(*ix, reason, None, note);
                    false
                }
                None => {
                    asked += 1;
                    true
                }
            }
        });
        probes
    }

    /// Whose turn it is to be probed, of the members that nobody waits for and that there is room for. Counts the auction
    /// if there are any.
    fn turn_among(&self, ctx: &Ctx, members: &[TargetIx], now: Timestamp) -> Option<TargetIx> {
        let mut room = self.exchange.rules.auction_fan_out;
        let asked = members.iter().filter_map(|ix| Some((*ix, ctx.in_force.health[ix.at()].as_deref()?)));
        let probed = asked.filter(|(_, health)| {
            let is_waited_for = health.is_waited_for();
            room = room.saturating_sub(usize::from(is_waited_for));
            !is_waited_for && room > 0
        });
        health::turn(probed, now)
    }

    /// The question to one target, which knows the floor that counts for it; `None` for those that are not asked.
    fn question(
        &self,
        ctx: &Ctx,
        subject: &Subject<'_>,
        floor: Floor,
        (entrant, ix): (usize, TargetIx),
        (now, closes): (Timestamp, Timestamp),
    ) -> Option<Ask> {
        let snapshot = &ctx.in_force.snapshot;
        let asking = snapshot.asking(ix)?;
        let target = snapshot.catalog.target(ix);
        let configured = target.endpoint()?;
        let buyer = snapshot.catalog.buyer(target.buyer);
        let line = subject.line?;
        let endpoint = ctx.in_force.endpoints[ix.at()].clone()?;
        let health = ctx.in_force.health[ix.at()].clone()?;
        let campaign = snapshot.catalog.campaign(line.campaign);
        let publisher =
            asking.pseudonyms().publisher(line.publisher, &snapshot.catalog.publisher(line.publisher).id);
        let ping = self.exchange.entropy.ping_id(now);
        let token = match (buyer.disclosure, ctx.request.from) {
            (Disclosure::None, _) | (_, None) => None,
            (Disclosure::Token | Disclosure::Full, Some(number)) => Some(asking.pseudonyms().caller(number)),
        };
        let facts = Ping {
            ping_id: ping,
            deadline_ms: told_ms(closes.since(now)),
            test: ctx.request.test,
            campaign: &campaign.id,
            vertical: &campaign.vertical,
            publisher_code: publisher.as_str(),
            area_code: subject.area_code,
            state: subject.state.as_deref(),
            zip: subject.zip(&ctx.request),
            number: ctx.request.from,
            tail: ctx.request.tail,
            token: token.as_ref().map(Pseudonym::as_str),
            geo_source: subject.geo_source,
            // A letter that is known not to hold is not passed on as if it did.
            stir: ctx.request.stir_verified.left_of(ctx.request.stir.as_deref()),
            consent: ctx.request.consent,
            tags: &subject.tags,
            ping_tags: &campaign.ping_tags,
            currency: &snapshot.currency,
            floor: Some(floor.amount),
            at: ctx.arrived,
        };
        let secret = configured.secret.as_ref().map(|secret| secret.0.as_slice());
        let request = asking.request(&facts, secret, now);
        Some(Ask { entrant, target: ix, ping, endpoint, health, request })
    }
}
