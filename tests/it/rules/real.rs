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
use outcry::config::Problem;
use outcry::domain::catalog::Pricing;
use outcry::domain::draw::mix;
use outcry::domain::plan::AuctionNode;
use outcry::domain::{
    Address, CallerListIx, Campaign, Catalog, Money, PingId, Reason, Tags, Target, TargetIx, Terminal,
    Timestamp, TrackingNumber,
};
use outcry::exchange::preview::{Preview, preview_by};
use outcry::routing::price::{Terms as Priced, terms};
use outcry::routing::ring_tree::{Given, Step, Walk, walk};
use outcry::routing::shared::Shared;
use outcry::routing::{Facts, Located, RuleBook, Verdict, floor, screen};

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
        match load(market) {
            Ok(catalog) => {
                let book = RuleBook::of(&catalog);
                Ok(Real { catalog, book })
            }
            Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    /// What is wrong with the text: at which key, and what.
    pub fn faults(market: &Market) -> Vec<(String, String)> {
        let faults = load(market).err().unwrap_or_default();
        faults.into_iter().map(|fault| (fault.key, fault.what)).collect()
    }

    /// The call, and what `outcry plan try` says of it.
    pub fn tried(&self, call: &Call) -> Asked<'_> {
        let request = generic::request(call.json().as_bytes()).expect("a request");
        let at = Timestamp::from_micros(call.at * 1_000_000);
        let lists: Vec<CallerListIx> = (0..)
            .zip(&self.catalog.caller_lists)
            .filter(|(_, list)| call.lists.iter().any(|id| id == list.id.as_str()))
            .map(|(at, _)| CallerListIx(at))
            .collect();
        let preview = preview_by(&self.catalog, &self.book, &request, lists.clone(), at);
        let mut tags = request.tags.clone();
        let number = dialled(&self.catalog, &request);
        for (key, value) in number.iter().flat_map(|number| &number.tags) {
            tags.add(std::sync::Arc::clone(key), value.clone(), outcry::domain::SetBy::Number)
                .expect("few tags");
        }
        Asked {
            catalog: &self.catalog,
            book: &self.book,
            request,
            tags,
            lists,
            earlier: call.earlier,
            at,
            preview,
        }
    }
}

fn load(market: &Market) -> Result<Catalog, Vec<Problem>> {
    let folder = Folder::new();
    fs::write(folder.path().join("outcry.toml"), "").expect("a folder");
    fs::write(folder.path().join("catalog/market.toml"), market.to_string()).expect("a folder");
    let loaded = outcry::config::load(&folder.path().join("outcry.toml"))?;
    Ok(loaded.catalog)
}

/// A call to a market.
pub struct Asked<'a> {
    catalog: &'a Catalog,
    book: &'a RuleBook,
    request: CarrierRequest,
    tags: Tags,
    lists: Vec<CallerListIx>,
    earlier: u32,
    at: Timestamp,
    pub preview: Preview,
}

impl<'a> Asked<'a> {
    fn facts(&self) -> Facts<'_> {
        let number = dialled(self.catalog, &self.request);
        Facts {
            state: self.preview.state.as_deref(),
            country: self.preview.country.as_deref(),
            area_code: self.preview.area_code,
            zip: match Located::of(self.tags.get("zip")) {
                keyed @ Located::At(..) => keyed,
                other if self.request.zip.is_none() => other,
                _ => Located::of(self.request.zip.as_deref()),
            },
            publisher: self.preview.publisher.as_deref(),
            campaign: self.preview.campaign.as_deref(),
            sub_id: self.request.sub_id.as_deref().or(number.and_then(|number| number.sub_id.as_deref())),
            dialled: number.map(|number| number.number),
            attestation: self.request.stir.as_deref().and_then(|stir| stir.chars().next()),
            verified: self.request.stir_verified,
            has_number: self.request.from.is_some(),
            tags: &self.tags,
            now: self.at,
            earlier_attempts: self.earlier,
            lists: &self.lists,
        }
    }

    /// Its walk.
    pub fn walk(&self, call: &Call) -> Walk<'a> {
        let plan = self.catalog.plans.iter().position(|plan| plan.id.as_str() == self.preview.plan);
        let plan = plan.expect("the plan of the preview");
        let (branches, facts) = (&self.book.branches[plan], self.facts());
        let given = Given {
            seed: call.seed,
            now: self.at,
            may_take: &|branch| branches[branch.number].hold(&facts),
            turn: &mut |round_robin| call.turn_of(round_robin.number),
        };
        walk(&self.catalog.plans[plan], given)
    }

    /// What is said of a walk beside its steps: turns, how long targets ring by their place, its end.
    pub fn of_the_way(&self, walk: &Walk<'_>) -> Vec<String> {
        let mut said: Vec<String> =
            walk.turns.iter().map(|turn| format!("turn {} of {}", turn.node, turn.first)).collect();
        let mut rings: Vec<String> =
            walk.rings.iter().map(|(ix, ring)| format!("ring {} {}", self.id(*ix), ring.as_secs())).collect();
        rings.sort();
        said.extend(rings);
        said.push(match walk.end {
            Terminal::Dial(Address::Number(number)) => format!("end dial {}", number.reveal()),
            Terminal::Dial(Address::Sip(_)) => "end dial elsewhere".to_owned(),
            Terminal::Voicemail(text) => format!("end voicemail {text}"),
            Terminal::Message(text) => format!("end message {text}"),
            Terminal::Hangup(cause) => format!("end hangup {}", cause.as_str()),
        });
        said
    }

    pub fn id(&self, target: TargetIx) -> &'a str {
        self.catalog.target(target).id.as_str()
    }

    /// The terms of a target that may take the call or be asked.
    fn candidate(&self, target: TargetIx) -> Option<Priced> {
        let facts = self.facts();
        let shared = &mut Shared::default();
        let is_one = screen(self.catalog, &self.book.filters, target, &facts, shared) == Verdict::Candidate;
        let terms = terms(self.catalog, &self.book.tables, target, &facts);
        (is_one && terms.refusal().is_none()).then_some(terms)
    }

    /// What becomes of everybody, step by step, until somebody takes the call.
    pub fn story(&self, call: &Call, steps: &[Step<'a>]) -> Vec<Vec<Fate>> {
        let Some(number) = dialled(self.catalog, &self.request) else { return Vec::new() };
        let campaign = self.catalog.campaign(number.campaign);
        if self.preview.barred.is_some() {
            return Vec::new();
        }
        let payout = self.catalog.payout(number.publisher, number.campaign);
        let least = min_price(payout, campaign.min_margin);
        let whose = (number.publisher, number.campaign);
        let floor = floor(self.catalog, &self.book.floors, whose, &self.facts()).amount;
        let mut told = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            let fates = match step {
                Step::Dial(target) => self.dial(*target, floor, least, call).into_iter().collect(),
                Step::Auction(node) => self.auction(place, node, campaign, (floor, least), call),
                Step::Together(node) => {
                    node.members.iter().filter_map(|target| self.dial(*target, floor, least, call)).collect()
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

    fn dial(&self, ix: TargetIx, floor: Money, least: Money, call: &Call) -> Option<Fate> {
        let target = self.catalog.target(ix);
        let terms = self.candidate(ix)?;
        let offer = offer(target, &terms)?;
        let reason = match accept(&offer, floor.max(terms.floor), least, Duration::ZERO, self.at) {
            Err(reason) => reason,
            Ok(()) if call.full.contains(target.id.as_str()) => Reason::HoldLost,
            Ok(()) => Reason::Won,
        };
        let pays = (reason == Reason::Won).then_some(offer.price);
        Some(self.fate(ix, reason, Some(offer.price), pays))
    }

    fn fate(&self, target: TargetIx, reason: Reason, price: Option<Money>, pays: Option<Money>) -> Fate {
        Fate {
            target: self.id(target).to_owned(),
            reason: reason.to_string(),
            price: price.map(Money::micros),
            pays: pays.map(Money::micros),
        }
    }

    fn auction(
        &self,
        place: usize,
        node: &AuctionNode,
        campaign: &Campaign,
        (floor, least): (Money, Money),
        call: &Call,
    ) -> Vec<Fate> {
        let mut open: Vec<(TargetIx, Priced)> =
            node.members.iter().filter_map(|ix| Some((*ix, self.candidate(*ix)?))).collect();
        open.sort_unstable_by_key(|one| one.0);
        let members: Vec<TargetIx> = open.iter().map(|one| one.0).collect();
        let deadline = campaign.deadline;
        let closes = self.at.after(node.timeout.map_or(deadline, |timeout| timeout.min(deadline)));
        let rules = Rules {
            closes,
            floor: floor.max(node.floor),
            min_price: least,
            takeover: node.takeover,
            guard: GUARD,
            seed: mix(call.seed ^ (place as u64 + 1)),
            early: campaign.early_close,
            price: campaign.price,
            money_step: Money::from_micros(10_000),
        };
        let entrants = open.iter().map(|(ix, terms)| entrant(self.catalog.target(*ix), terms)).collect();
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
                        .map(|one| self.fate(members[one.entrant], one.reason, one.amount, None)),
                );
                break;
            };
            let ix = members[first.entrant];
            if call.full.contains(self.id(ix)) {
                fates.push(self.fate(ix, Reason::HoldLost, Some(first.offer.price), None));
                auction.strike(first.entrant);
                continue;
            }
            fates.push(self.fate(ix, Reason::Won, Some(first.offer.price), Some(first.pays)));
            fates.extend(rest.iter().map(|lost| {
                let (price, pays) = (Some(lost.offer.price), Some(lost.pays));
                self.fate(members[lost.entrant], lost.lost_to(first), price, pays)
            }));
            fates.extend(
                ranking
                    .unplaced
                    .into_iter()
                    .map(|one| self.fate(members[one.entrant], one.reason, one.amount, None)),
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

/// The number that was dialled, if somebody configured it.
fn dialled<'a>(catalog: &'a Catalog, request: &CarrierRequest) -> Option<&'a TrackingNumber> {
    match &request.to {
        Address::Number(number) => catalog.number(*number),
        Address::Sip(_) => None,
    }
}

/// What a target offers that nobody asks.
fn offer(target: &Target, terms: &Priced) -> Option<Offer> {
    let price = terms.price?;
    Some(Offer { price, min_duration: target.min_duration, destination: None, expires: None })
}

fn entrant(target: &Target, terms: &Priced) -> Entrant {
    Entrant {
        tier: target.tier,
        priority: target.priority,
        weight: target.weight,
        multiplier: target.multiplier,
        floor: terms.floor,
        fixed: offer(target, terms),
        ceiling: match &target.pricing {
            Pricing::Endpoint(endpoint) => endpoint.max_bid,
            Pricing::Fixed(_) | Pricing::Table(_) => terms.price.unwrap_or(Money::ZERO),
        },
        waited: true,
    }
}
