//! The catalog: who may send calls, who may take them, and on which terms, as one immutable value.
//!
//! Plain data after every check has passed; how files become a catalog is in `config`. Dense positions (`…Ix`) mean
//! something only inside the catalog that gave them out: what outlives a reload keeps slugs instead.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::bid_table::BidTable;
use super::caller::{Address, E164, TagValue};
use super::caller_list::CallerList;
use super::filter::Filter;
use super::id::{BuyerId, CallerListId, CampaignId, CarrierId, PlanId, PublisherId, TargetId};
use super::money::{Bps, Money};
use super::plan::Plan;
use super::price::{AfterFailure, Floor, FloorOf, FloorRow, Margin, PriceRule};
use super::schedule::{Hours, Zone};
use super::time::Timestamp;
use super::time_range::TimeRange;

macro_rules! positions {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The position as an index.
            pub const fn at(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

positions! {
    /// Position of a carrier.
    CarrierIx;
    /// Position of a campaign.
    CampaignIx;
    /// Position of a publisher.
    PublisherIx;
    /// Position of a buyer.
    BuyerIx;
    /// Position of a target.
    TargetIx;
    /// Position of a plan.
    PlanIx;
    /// Position of a caller list.
    CallerListIx;
}

/// Everything the exchange decides by. `digest` names its text.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// SHA-256 of the catalog's text, as lower-case hex.
    pub digest: Arc<str>,
    /// Carriers, sorted by id.
    pub carriers: Vec<Carrier>,
    /// Campaigns, sorted by id.
    pub campaigns: Vec<Campaign>,
    /// Publishers, sorted by id.
    pub publishers: Vec<Publisher>,
    /// Buyers, sorted by id.
    pub buyers: Vec<Buyer>,
    /// Targets, sorted by id.
    pub targets: Vec<Target>,
    /// Plans, sorted by id.
    pub plans: Vec<Plan>,
    /// Tracking numbers, sorted by number.
    pub numbers: Vec<TrackingNumber>,
    /// Caller lists, sorted by id. Who is on them is not said here.
    pub caller_lists: Vec<CallerList>,
    /// The plan of calls to numbers nobody configured.
    pub default_plan: PlanIx,
}

impl Catalog {
    /// The tracking number with these digits.
    pub fn number(&self, number: E164) -> Option<&TrackingNumber> {
        self.numbers.binary_search_by_key(&number, |n| n.number).ok().map(|at| &self.numbers[at])
    }

    /// The position of the carrier with this id.
    pub fn carrier_named(&self, id: &CarrierId) -> Option<CarrierIx> {
        self.carriers.binary_search_by(|carrier| carrier.id.cmp(id)).ok().map(|at| CarrierIx(at as u32))
    }

    /// The carrier at this position.
    pub fn carrier(&self, ix: CarrierIx) -> &Carrier {
        &self.carriers[ix.at()]
    }

    /// The campaign at this position.
    pub fn campaign(&self, ix: CampaignIx) -> &Campaign {
        &self.campaigns[ix.at()]
    }

    /// The publisher at this position.
    pub fn publisher(&self, ix: PublisherIx) -> &Publisher {
        &self.publishers[ix.at()]
    }

    /// The buyer at this position.
    pub fn buyer(&self, ix: BuyerIx) -> &Buyer {
        &self.buyers[ix.at()]
    }

    /// The target at this position.
    pub fn target(&self, ix: TargetIx) -> &Target {
        &self.targets[ix.at()]
    }

    /// The plan at this position.
    pub fn plan(&self, ix: PlanIx) -> &Plan {
        &self.plans[ix.at()]
    }

    /// The position of the caller list with this id.
    pub fn caller_list_named(&self, id: &CallerListId) -> Option<CallerListIx> {
        let at = self.caller_lists.binary_search_by(|list| list.id.cmp(id)).ok()?;
        Some(CallerListIx(at as u32))
    }

    /// The caller list at this position.
    pub fn caller_list(&self, ix: CallerListIx) -> &CallerList {
        &self.caller_lists[ix.at()]
    }

    /// Whether there is a plan of this name.
    pub fn has_plan(&self, id: &PlanId) -> bool {
        self.plans.binary_search_by(|plan| plan.id.cmp(id)).is_ok()
    }

    /// What the publisher earns on this campaign: its own terms, else the campaign's.
    pub fn payout(&self, publisher: PublisherIx, campaign: CampaignIx) -> &Payout {
        let own = self.publisher(publisher).payouts.iter().find(|(at, _)| *at == campaign);
        own.map_or(&self.campaign(campaign).payout, |(_, payout)| payout)
    }

    /// The floor of every call that the publisher sends to this campaign; rows of the campaign's `floors` come besides.
    pub fn floor(&self, publisher: PublisherIx, campaign: CampaignIx) -> Floor {
        let publisher = self.publisher(publisher);
        let own = publisher.floors.iter().find(|(at, _)| *at == campaign).map(|(_, floor)| *floor);
        let highest = own.unwrap_or_default().max(publisher.floor);
        Floor::campaign(self.campaign(campaign).floor).or(FloorOf::Publisher, highest)
    }
}

/// A secret: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a carrier speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarrierDialect {
    /// Our own JSON.
    Generic,
    /// Twilio's webhooks, and TwiML for an answer.
    Twilio,
}

/// A carrier or switch that asks where to send calls.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// Its id: the namespace of its calls.
    pub id: CarrierId,
    /// What it speaks.
    pub dialect: CarrierDialect,
    /// SHA-256 of its bearer key; `None` where it signs what it sends instead.
    pub key_digest: Option<[u8; 32]>,
    /// The URL it reaches us under and signs, without a trailing slash; of a dialect that signs.
    pub public_url: Option<Arc<str>>,
    /// What it may sign with, the current one first; of a dialect that signs.
    pub secrets: Vec<Secret>,
    /// Longest time from the request read to the answer written.
    pub ceiling: Duration,
}

/// A campaign.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Its vertical.
    pub vertical: String,
    /// Where its calls go at all times that are not scheduled.
    pub plan: PlanIx,
    /// Calls get the plan's terminal action.
    pub paused: bool,
    /// From the request read to the close of the auction.
    pub deadline: Duration,
    /// Whether the auction ends as soon as nobody outstanding could still win.
    pub early_close: bool,
    /// Lowest price accepted.
    pub floor: Money,
    /// What must be left of a price after the payout; `None` allows a loss (and says so in the records).
    pub min_margin: Option<Margin>,
    /// What publishers earn unless they have terms of their own.
    pub payout: Payout,
    /// Tags that leave in pings.
    pub ping_tags: Vec<String>,
    /// A talk that the target ended sooner goes on to the next target; zero turns that off. Below every minimum
    /// duration of its plan.
    pub recovery: Duration,
    /// Most attempts of one call.
    pub attempts: u32,
    /// Longest a caller hears ringing, over all attempts.
    pub ring_budget: Duration,
    /// Who is on one of these gets the plan's terminal action.
    pub blocked_callers: Vec<CallerListIx>,
    /// What the winner of an auction pays.
    pub price: PriceRule,
    /// Floors for some calls, beside `floor`: the first row that holds counts.
    pub floors: Vec<FloorRow>,
    /// What follows an attempt that came to nothing.
    pub after_failure: AfterFailure,
    /// Zone of its hours and of those of its plans; UTC where it has none.
    pub zone: Zone,
    /// When it takes calls; at other times they get the plan's terminal action.
    pub hours: Option<Hours>,
    /// Plans of their own hours: of those that are open the first, else `plan`.
    pub scheduled: Vec<(Hours, PlanIx)>,
}

impl Campaign {
    /// Every plan its calls may walk, in the order in which they are looked at.
    pub fn plans(&self) -> impl Iterator<Item = PlanIx> {
        self.scheduled.iter().map(|(_, plan)| *plan).chain([self.plan])
    }

    /// The plan of a call that comes at `at`.
    pub fn plan_at(&self, at: Timestamp) -> PlanIx {
        let open = self.scheduled.iter().find(|(hours, _)| hours.is_open(&self.zone, at));
        open.map_or(self.plan, |(_, plan)| *plan)
    }

    /// Whether it takes a call that comes at `at`.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.is_open(&self.zone, at))
    }
}

/// What a publisher earns for a billable call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payout {
    /// This much.
    Fixed(Money),
    /// This share of the revenue, rounded down to the money step.
    Share(Bps),
}

/// A publisher.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Its id.
    pub id: PublisherId,
    /// Display name.
    pub name: String,
    /// Zone of its statements and hours.
    pub zone: Zone,
    /// Its own terms by campaign.
    pub payouts: Vec<(CampaignIx, Payout)>,
    /// Who is on one of these gets the plan's terminal action.
    pub blocked_callers: Vec<CallerListIx>,
    /// Lowest price accepted for its calls.
    pub floor: Money,
    /// Lowest prices by campaign, beside `floor`.
    pub floors: Vec<(CampaignIx, Money)>,
    /// When its calls are taken; at other times they get the plan's terminal action.
    pub hours: Option<Hours>,
}

impl Publisher {
    /// Whether its calls are taken that come at `at`.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.is_open(&self.zone, at))
    }
}

/// A tracking number: exactly one campaign and publisher.
#[derive(Clone, Debug)]
pub struct TrackingNumber {
    /// The number callers dial.
    pub number: E164,
    /// Its campaign.
    pub campaign: CampaignIx,
    /// Its publisher.
    pub publisher: PublisherIx,
    /// The publisher's own label for it.
    pub sub_id: Option<String>,
    /// Tags every call to it carries unless the carrier sets them.
    pub tags: Vec<(Arc<str>, TagValue)>,
}

/// What a buyer's pings say about the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// Area code, state, ZIP3 and a token keyed per buyer.
    Token,
    /// Nothing.
    None,
    /// The number and ZIP too.
    Full,
}

/// Highest limit on calls in progress.
pub const CONCURRENCY_MAX: u32 = 100_000;
/// Highest limit on billable calls of a day.
pub const DAILY_BILLABLE_MAX: u32 = 10_000_000;

/// Limits on calls in progress and on billable calls per day in the buyer's zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls held, ringing or talking at once.
    pub concurrency: Option<u32>,
    /// Billable calls a day; strict: a call in flight holds its unit.
    pub daily_billable: Option<u32>,
}

/// A buyer: the company.
#[derive(Clone, Debug)]
pub struct Buyer {
    /// Its id.
    pub id: BuyerId,
    /// Display name.
    pub name: String,
    /// Zone of its hours, windows and statements.
    pub zone: Zone,
    /// None of its targets is asked.
    pub paused: bool,
    /// When it takes calls; `None` is always.
    pub hours: Option<Hours>,
    /// Limits over all its targets.
    pub limits: Limits,
    /// Hours with other limits; apart from each other.
    pub ranges: Vec<TimeRange>,
    /// What its pings say about the caller.
    pub disclosure: Disclosure,
    /// Personal tags its pings may carry.
    pub personal_tags: Vec<String>,
    /// Whether its pings name the floor.
    pub show_floor: bool,
    /// It is not asked about who is on one of these.
    pub suppressed_callers: Vec<CallerListIx>,
    /// SHA-256 of the key it hands calls back with; `None` hands none back.
    pub key_digest: Option<[u8; 32]>,
    /// How long after a call was answered it may be handed back; zero turns that off.
    pub hand_back: Duration,
}

/// How a target is priced.
#[derive(Clone, Debug)]
pub enum Pricing {
    /// Always this price.
    Fixed(Money),
    /// What its bid endpoint answers.
    Endpoint(Endpoint),
    /// What its table says of the call: a bidder that is built in.
    Table(BidTable),
}

/// A buyer's bid endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// TLS or not.
    pub tls: bool,
    /// Host name or address literal, as written.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// Signs pings when there is one.
    pub secret: Option<Secret>,
    /// PEM file of the authorities trusted for it instead of the public ones.
    pub ca_file: Option<String>,
    /// Highest bid taken.
    pub max_bid: Money,
    /// Life of a bid that names none.
    pub bid_ttl: Duration,
    /// Longest minimum duration a bid may ask for.
    pub max_min_duration: Duration,
    /// Destinations a bid may name beside the target's own.
    pub destinations: Vec<DestinationRule>,
}

/// Destinations allowed in bids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationRule {
    /// Exactly this number.
    Number(E164),
    /// Numbers that begin so, plus sign included.
    Prefix(String),
    /// SIP addresses at this host.
    SipHost(String),
}

/// One destination of a buyer.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// Whose it is.
    pub buyer: BuyerIx,
    /// Where calls go.
    pub address: Address,
    /// Fixed price, endpoint or table.
    pub pricing: Pricing,
    /// Not asked.
    pub paused: bool,
    /// Which calls it takes: all must hold, and the first that does not says why.
    pub filters: Vec<Filter>,
    /// Its hours in the buyer's zone, beside the buyer's own.
    pub hours: Option<Hours>,
    /// Its limits, beside the buyer's own.
    pub limits: Limits,
    /// Hours with other terms, in the buyer's zone; apart from each other.
    pub ranges: Vec<TimeRange>,
    /// Lowest price accepted for it.
    pub floor: Money,
    /// Lower tiers only when no higher one takes the call.
    pub tier: u8,
    /// Lower first among equals.
    pub priority: u16,
    /// Share of the draw among equals.
    pub weight: u32,
    /// Ranking multiplier; the price stays as it is.
    pub multiplier: Bps,
    /// Shortest talk that is billable, inclusive.
    pub min_duration: Duration,
    /// How long it rings.
    pub ring: Duration,
    /// Longest talk.
    pub max_talk: Duration,
    /// It is not asked about who is on one of these, nor on its buyer's.
    pub suppressed_callers: Vec<CallerListIx>,
    /// Most attempts of a call that came to nothing before it; `None` takes over from any number.
    pub earlier_attempts: Option<u32>,
}

impl Target {
    /// Its endpoint, if it has one.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.pricing {
            Pricing::Endpoint(endpoint) => Some(endpoint),
            Pricing::Fixed(_) | Pricing::Table(_) => None,
        }
    }
}
