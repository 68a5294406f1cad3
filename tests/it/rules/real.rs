//! The exchange's side: the text is read as configuration and as a request, and its own engines are asked.
//!
//! What a running exchange does between them (who is held, which reply comes when) is done here by hand.

use std::fs;
use std::time::Duration;

use outcry::auction::bid::Reply as BidReply;
use outcry::auction::{Auction, Entrant, Offer, Progress, Rules, accept};
use outcry::bidder::reply::{Terms, read};
use outcry::billing::min_price;
use outcry::carrier::{CarrierRequest, generic};
use outcry::domain::catalog::Pricing;
use outcry::domain::draw::mix;
use outcry::domain::plan::AuctionNode;
use outcry::domain::{Campaign, Catalog, Money, PingId, Reason, Target, TargetIx, Timestamp};
use outcry::exchange::preview::{Preview, preview_by};
use outcry::routing::filter::Compiled;
use outcry::routing::ring_tree::{Given, Step, walk};
use outcry::routing::{Facts, Located, RuleBook};

use super::model::{Call, Market};
use super::rank::Fate;
use crate::support::Folder;

const GUARD: Duration = Duration::from_secs(5);

/// A market as the exchange has read it.
pub struct Real {
    catalog: Catalog,
    book: RuleBook,
}

impl Real {
    /// Reads the text as `outcry serve` does; `Err` has what is wrong with it.
    pub fn read(market: &Market) -> Result<Real, String> {
        let folder = Folder::new();
        fs::write(folder.path().join("outcry.toml"), "").map_err(|error| error.to_string())?;
        fs::write(folder.path().join("catalog/market.toml"), market.to_string())
            .map_err(|error| error.to_string())?;
        match outcry::config::load(&folder.path().join("outcry.toml")) {
            Ok(loaded) => {
                let book = RuleBook::of(&loaded.catalog);
                Ok(Real { catalog: loaded.catalog, book })
            }
            Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    /// The call, and what `outcry plan try` says of it.
    pub fn tried(&self, call: &Call) -> Asked<'_> {
        let request = generic::request(call.json().as_bytes()).expect("a request");
        let at = Timestamp::from_micros(call.at * 1_000_000);
        let preview = preview_by(&self.catalog, &self.book, &request, Vec::new(), at);
        Asked { catalog: &self.catalog, branches: &self.book.branches, request, at, preview }
    }
}

/// A call to a market.
pub struct Asked<'a> {
    catalog: &'a Catalog,
    branches: &'a [Vec<Compiled>],
    request: CarrierRequest,
    at: Timestamp,
    pub preview: Preview,
}

impl<'a> Asked<'a> {
    /// The steps of its walk.
    pub fn walk(&self, call: &Call) -> Vec<Step<'a>> {
        let plan = self.catalog.plans.iter().position(|plan| plan.id.as_str() == self.preview.plan);
        let plan = plan.expect("the plan of the preview");
        let branches = &self.branches[plan];
        let number = match &self.request.to {
            outcry::domain::Address::Number(number) => self.catalog.number(*number),
            outcry::domain::Address::Sip(_) => None,
        };
        let mut tags = self.request.tags.clone();
        for (key, value) in number.iter().flat_map(|number| &number.tags) {
            tags.add(key, value.clone(), outcry::domain::SetBy::Number).expect("few tags");
        }
        let facts = Facts {
            state: self.preview.state.as_deref(),
            country: self.preview.country.as_deref(),
            area_code: self.preview.area_code,
            zip: Located::of(self.request.zip.as_deref()),
            publisher: self.preview.publisher.as_deref(),
            campaign: self.preview.campaign.as_deref(),
            sub_id: self.request.sub_id.as_deref().or(number.and_then(|number| number.sub_id.as_deref())),
            dialled: number.map(|number| number.number),
            attestation: self.request.stir.as_deref().and_then(|stir| stir.chars().next()),
            has_number: self.request.from.is_some(),
            tags: &tags,
            now: self.at,
            earlier_attempts: 0,
            lists: &[],
        };
        let given = Given {
            seed: call.seed,
            now: self.at,
            may_take: &|branch| branches[branch.number].hold(&facts),
            turn: &mut |_| 0,
        };
        walk(&self.catalog.plans[plan], given).steps
    }

    pub fn id(&self, target: TargetIx) -> &'a str {
        self.catalog.target(target).id.as_str()
    }

    fn is_candidate(&self, target: TargetIx) -> bool {
        let id = self.id(target);
        self.preview.targets.iter().any(|tried| tried.target == id && tried.verdict == "candidate")
    }

    /// What becomes of everybody, step by step, until somebody takes the call.
    pub fn story(&self, call: &Call, steps: &[Step<'a>]) -> Vec<Vec<Fate>> {
        let number = match &self.request.to {
            outcry::domain::Address::Number(number) => self.catalog.number(*number),
            outcry::domain::Address::Sip(_) => None,
        };
        let Some(number) = number else { return Vec::new() };
        let campaign = self.catalog.campaign(number.campaign);
        if campaign.paused {
            return Vec::new();
        }
        let payout = self.catalog.payout(number.publisher, number.campaign);
        let least = min_price(payout, campaign.min_margin);
        let mut told = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            let fates = match step {
                Step::Dial(target) => self.dial(*target, campaign, least, call).into_iter().collect(),
                Step::Auction(node) => self.auction(place, node, campaign, least, call),
                Step::Together(_) => unreachable!("generated markets ring nobody together"),
            };
            let is_over = fates.iter().any(|fate| fate.reason == "won");
            told.push(fates);
            if is_over {
                break;
            }
        }
        told
    }

    fn dial(&self, ix: TargetIx, campaign: &Campaign, least: Money, call: &Call) -> Option<Fate> {
        let target = self.catalog.target(ix);
        let offer = fixed(target).filter(|_| self.is_candidate(ix))?;
        let reason = match accept(&offer, campaign.floor.max(target.floor), least, Duration::ZERO, self.at) {
            Err(reason) => reason,
            Ok(()) if call.full.contains(target.id.as_str()) => Reason::HoldLost,
            Ok(()) => Reason::Won,
        };
        Some(self.fate(ix, reason, Some(offer.price)))
    }

    fn fate(&self, target: TargetIx, reason: Reason, price: Option<Money>) -> Fate {
        Fate {
            target: self.id(target).to_owned(),
            reason: reason.to_string(),
            price: price.map(Money::micros),
        }
    }

    fn auction(
        &self,
        place: usize,
        node: &AuctionNode,
        campaign: &Campaign,
        least: Money,
        call: &Call,
    ) -> Vec<Fate> {
        let mut members: Vec<TargetIx> =
            node.members.iter().copied().filter(|ix| self.is_candidate(*ix)).collect();
        members.sort_unstable();
        let closes = self.at.after(campaign.deadline);
        let rules = Rules {
            closes,
            floor: campaign.floor.max(node.floor),
            min_price: least,
            takeover: node.takeover,
            guard: GUARD,
            seed: mix(call.seed ^ (place as u64 + 1)),
            early: campaign.early_close,
            price: campaign.price,
            money_step: Money::from_micros(10_000),
        };
        let entrants = members.iter().map(|ix| entrant(self.catalog.target(*ix))).collect();
        let mut auction = Auction::open(rules, entrants);
        let mut coming: Vec<(u64, usize)> = Vec::new();
        for (entrant, ix) in members.iter().enumerate() {
            if let Some(reply) = call.replies.get(self.id(*ix))
                && self.catalog.target(*ix).endpoint().is_some()
            {
                coming.push((reply.ms, entrant));
            }
        }
        coming.sort_unstable();
        let mut coming = coming.into_iter().peekable();
        let (mut now, mut fates) = (self.at, Vec::new());
        loop {
            while now < closes && auction.progress(now) == Progress::Waiting {
                match coming.next() {
                    Some((ms, entrant)) => {
                        let at = self.at.after(Duration::from_millis(ms));
                        auction.on_reply(entrant, self.reply(members[entrant], call, at), at);
                        now = at.min(closes);
                    }
                    None => now = closes,
                }
            }
            let ranking = auction.ranking(now);
            let Some((first, rest)) = ranking.ranked.split_first() else {
                fates.extend(
                    ranking
                        .unplaced
                        .into_iter()
                        .map(|one| self.fate(members[one.entrant], one.reason, one.amount)),
                );
                break;
            };
            let ix = members[first.entrant];
            if call.full.contains(self.id(ix)) {
                fates.push(self.fate(ix, Reason::HoldLost, Some(first.offer.price)));
                auction.strike(first.entrant);
                continue;
            }
            fates.push(self.fate(ix, Reason::Won, Some(first.offer.price)));
            fates.extend(
                rest.iter().map(|lost| {
                    self.fate(members[lost.entrant], lost.lost_to(first), Some(lost.offer.price))
                }),
            );
            fates.extend(
                ranking
                    .unplaced
                    .into_iter()
                    .map(|one| self.fate(members[one.entrant], one.reason, one.amount)),
            );
            break;
        }
        fates.sort();
        fates
    }

    /// What a buyer's bytes are read as.
    fn reply(&self, ix: TargetIx, call: &Call, at: Timestamp) -> BidReply {
        let target = self.catalog.target(ix);
        let endpoint = target.endpoint().expect("a bidder");
        let terms = Terms {
            ping_id: PingId::from_bits(1),
            currency: "USD",
            money_step: Money::from_micros(10_000),
            target,
            endpoint,
            is_ours: &|_| false,
        };
        let (status, body) = match &call.replies[self.id(ix)].bid {
            None => (204, String::new()),
            Some((amount, None)) => (200, format!("{{\"bid\":\"{amount}\"}}")),
            Some((amount, Some(life))) => (200, format!("{{\"bid\":\"{amount}\",\"ttl_s\":{life}}}")),
        };
        read(&terms, status, &mut body.into_bytes(), at)
    }
}

fn fixed(target: &Target) -> Option<Offer> {
    match target.pricing {
        Pricing::Fixed(price) => {
            Some(Offer { price, min_duration: target.min_duration, destination: None, expires: None })
        }
        Pricing::Endpoint(_) => None,
        Pricing::Table(_) => unreachable!("generated markets have no bid tables"),
    }
}

fn entrant(target: &Target) -> Entrant {
    Entrant {
        tier: target.tier,
        priority: target.priority,
        weight: target.weight,
        multiplier: target.multiplier,
        floor: target.floor,
        fixed: fixed(target),
        ceiling: match &target.pricing {
            Pricing::Fixed(price) => *price,
            Pricing::Endpoint(endpoint) => endpoint.max_bid,
            Pricing::Table(_) => unreachable!("generated markets have no bid tables"),
        },
        waited: true,
    }
}
