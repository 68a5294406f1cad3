//! Runs one auction node: who is asked, what each is told, and the ranking that comes of it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};

use super::Worker;
use super::decide::Ctx;
use super::subject::Subject;
use super::trail::Trail;
use crate::auction::rank::Ranked;
use crate::auction::{Auction, Entrant, Offer, Rules};
use crate::bidder::{Ping, caller_token, publisher_code, sign};
use crate::domain::catalog::{Disclosure, Pricing};
use crate::domain::plan::AuctionNode;
use crate::domain::{Money, PingId, Reason, Target, TargetIx, Timestamp};
use crate::ping::{Ask, Outstanding};

/// The way of a ping to a buyer and back that no measurement of ours sees: taken off the deadline a buyer is told.
const ON_THE_WAY: Duration = Duration::from_millis(3);
/// With less than this left a ping is not worth sending.
const LEAST_TIME: Duration = Duration::from_millis(10);

/// The prices of one call's campaign that every offer is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bars {
    /// The campaign's floor.
    pub(super) floor: Money,
    /// Lowest price that leaves the margin asked for.
    pub(super) min_price: Money,
}

/// Why an auction asks nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// It asks.
    Open,
    /// Too many decisions are in progress.
    Overload,
}

/// When an auction's pings went out.
#[derive(Clone, Copy)]
pub(super) struct Written {
    /// The last one.
    pub(super) last: Timestamp,
    /// No connection had to be opened first.
    pub(super) all_warm: bool,
}

/// What an auction left behind.
pub(super) struct Run {
    /// Targets with an acceptable price, best first.
    pub(super) ranked: Vec<(TargetIx, Ranked)>,
    /// Whether anybody's bid is among them.
    pub(super) has_bids: bool,
    /// When the auction ended.
    pub(super) closed: Timestamp,
    /// Whether anybody was asked.
    pub(super) asked: bool,
    /// When its pings went out; `None` when none did.
    pub(super) written: Option<Written>,
    /// Pings that are still out.
    pub(super) outstanding: Option<(Outstanding, Vec<TargetIx>)>,
}

/// A fixed-price target's offer.
pub(super) fn fixed_offer(target: &Target) -> Option<Offer> {
    match target.pricing {
        Pricing::Fixed(price) => {
            Some(Offer { price, min_duration: target.min_duration, destination: None, expires: None })
        }
        Pricing::Endpoint(_) => None,
    }
}

/// A target as it enters an auction.
pub(super) fn entrant(ix: TargetIx, target: &Target) -> Entrant {
    Entrant {
        target: ix,
        tier: target.tier,
        priority: target.priority,
        weight: target.weight,
        multiplier: target.multiplier,
        floor: target.floor,
        fixed: fixed_offer(target),
    }
}

impl Worker {
    /// Asks the node's open members and ranks what came back. Every member that was not asked or has no acceptable
    /// price has its reason afterwards; a ping that is still out is `pending`.
    pub(super) async fn auction(
        &self,
        ctx: &Ctx,
        subject: &Subject<'_>,
        bars: Bars,
        trail: &mut Trail,
        (place, node): (usize, &AuctionNode),
        asking: Asking,
    ) -> Run {
        let closes = ctx.closes(subject);
        let mut members: Vec<TargetIx> =
            node.members.iter().copied().filter(|ix| trail.is_open(*ix)).collect();
        let catalog = &ctx.in_force.snapshot.catalog;
        // Where not everybody can be asked, those who would win first are.
        members.sort_unstable_by_key(|ix| (catalog.target(*ix).tier, catalog.target(*ix).priority, *ix));
        self.drop_unaskable(ctx, trail, &mut members, asking, closes);
        // Targets stand in the catalog sorted by id: the order in which ties are drawn.
        members.sort_unstable();
        let entrants: Vec<Entrant> = members.iter().map(|ix| entrant(*ix, catalog.target(*ix))).collect();
        let asks: Vec<Ask> = members
            .iter()
            .enumerate()
            .filter_map(|(at, ix)| self.question(ctx, subject, bars.floor.max(node.floor), at, *ix, closes))
            .collect();
        asks.iter().for_each(|ask| trail.asked(ask.target, ask.ping));
        let rules = Rules {
            closes,
            floor: bars.floor.max(node.floor),
            min_price: bars.min_price,
            takeover: node.takeover,
            guard: self.exchange.rules.dial_guard,
            seed: ctx.seed_of(place),
        };
        let mut auction = Auction::open(rules, entrants);
        let gathered = match asks.is_empty() {
            true => None,
            false => Some(self.pinger.gather(&ctx.in_force.snapshot, asks, &mut auction, closes).await),
        };
        let closed = self.exchange.clock.now();
        let ranking = auction.close(closed);
        for unplaced in ranking.unplaced {
            trail.close(members[unplaced.entrant], unplaced.reason, unplaced.amount, unplaced.note);
        }
        let has_bids = ranking.ranked.iter().any(|ranked| ranked.offer.expires.is_some());
        let ranked = ranking.ranked.into_iter().map(|ranked| (members[ranked.entrant], ranked)).collect();
        let Some(gathered) = gathered else {
            return Run { ranked, has_bids, closed, asked: false, written: None, outstanding: None };
        };
        for (entrant, latency) in gathered.latencies {
            trail.replied(members[entrant], latency);
        }
        let asked = gathered.last_written.map_or(Duration::ZERO, |written| written.since(ctx.arrived));
        trail.closed(gathered.close.as_str(), asked, closed.since(ctx.arrived));
        let outstanding = Some((gathered.outstanding, members));
        let written = gathered.last_written.map(|last| Written { last, all_warm: gathered.all_warm });
        Run { ranked, has_bids, closed, asked: true, written, outstanding }
    }

    /// Takes out, with their reason, members that would have to be asked and cannot be.
    fn drop_unaskable(
        &self,
        ctx: &Ctx,
        trail: &mut Trail,
        members: &mut Vec<TargetIx>,
        asking: Asking,
        closes: Timestamp,
    ) {
        let time_left = closes.since(self.exchange.clock.now()) >= LEAST_TIME;
        let mut asked = 0;
        members.retain(|ix| {
            if ctx.in_force.snapshot.asking(*ix).is_none() {
                return true;
            }
            let refused = match asking {
                Asking::Overload => Some(Reason::Overload),
                Asking::Open if !time_left => Some(Reason::NoTime),
                Asking::Open if asked >= self.exchange.rules.auction_fan_out => Some(Reason::FanOut),
                Asking::Open => None,
            };
            match refused {
                Some(reason) => trail.close(*ix, reason, None, None),
                None => asked += 1,
            }
            refused.is_none()
        });
    }

    /// The question to one target; `None` for fixed prices.
    fn question(
        &self,
        ctx: &Ctx,
        subject: &Subject<'_>,
        floor: Money,
        entrant: usize,
        ix: TargetIx,
        closes: Timestamp,
    ) -> Option<Ask> {
        let snapshot = &ctx.in_force.snapshot;
        let asking = snapshot.asking(ix)?;
        let target = snapshot.catalog.target(ix);
        let configured = target.endpoint()?;
        let buyer = snapshot.catalog.buyer(target.buyer);
        let line = subject.line?;
        let endpoint = ctx.in_force.endpoints[ix.at()].clone()?;
        let campaign = snapshot.catalog.campaign(line.campaign);
        let publisher = &snapshot.catalog.publisher(line.publisher).id;
        let now = self.exchange.clock.now();
        let ping = self.exchange.entropy.ping_id(now);
        let key = &self.exchange.rules.caller_key.0;
        let token = match (buyer.disclosure, ctx.request.from) {
            (Disclosure::None, _) | (_, None) => None,
            (Disclosure::Token | Disclosure::Full, Some(number)) => {
                Some(caller_token(key, &buyer.id, number))
            }
        };
        let facts = Ping {
            ping_id: ping,
            deadline_ms: closes.since(now).saturating_sub(ON_THE_WAY).as_millis() as u32,
            test: ctx.request.test,
            campaign: &campaign.id,
            vertical: &campaign.vertical,
            publisher_code: &publisher_code(key, &buyer.id, publisher),
            area_code: subject.area_code,
            state: subject.state.as_deref(),
            zip: ctx.request.zip.as_deref(),
            number: ctx.request.from,
            tail: ctx.request.tail,
            token: token.as_deref(),
            geo_source: subject.geo_source,
            stir: ctx.request.stir.as_deref(),
            consent: ctx.request.consent,
            tags: &subject.tags,
            ping_tags: &campaign.ping_tags,
            currency: &snapshot.currency,
            floor: Some(floor.max(target.floor)),
            at: ctx.arrived,
        };
        let mut body = Vec::with_capacity(512);
        asking.render(&facts, &mut body);
        let request =
            signed(asking, configured.secret.as_ref().map(|secret| secret.0.as_slice()), ping, now, body);
        Some(Ask { entrant, target: ix, ping, endpoint, request })
    }
}

fn signed(
    asking: &crate::bidder::Asking,
    secret: Option<&[u8]>,
    ping: PingId,
    now: Timestamp,
    body: Vec<u8>,
) -> Request<Full<Bytes>> {
    let id = ping.to_string();
    let mut request = Request::post(asking.path())
        .header(HOST, asking.host_header())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT_ENCODING, "identity")
        .header(USER_AGENT, concat!("outcry/", env!("CARGO_PKG_VERSION")));
    if let Some(secret) = secret {
        request = request
            .header("webhook-id", &id)
            .header("webhook-timestamp", now.seconds())
            .header("webhook-signature", sign::sign(secret, &id, now.seconds(), &body));
    }
    request
        .body(Full::new(Bytes::from(body)))
        .expect("configured paths and hosts were checked when they were loaded")
}
