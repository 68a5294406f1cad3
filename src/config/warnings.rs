//! What is allowed in a catalog but probably not meant.
//!
//! Looks at a catalog without errors; a warning never keeps it from being used.

use std::collections::BTreeSet;

use super::callers;
use super::entries::Entries;
use super::problem::Problem;
use super::settings::{Settings, is_local};
use super::{groups, openings, ways};
use crate::billing::min_price;
use crate::domain::catalog::{PlanIx, Pricing};
use crate::domain::plan::AuctionNode;
use crate::domain::{Campaign, Catalog, Money, Node, PriceRule, Target, TargetIx};

/// Every warning, by kind of entry and id.
pub(super) fn of(catalog: &Catalog, entries: &Entries<'_>, settings: &Settings) -> Vec<Problem> {
    let view = View { catalog, entries };
    let mut warnings = Vec::new();
    view.carriers(settings, &mut warnings);
    view.campaigns(&mut warnings);
    view.buyers_and_targets(&mut warnings);
    view.plans(settings, &mut warnings);
    groups::unused(catalog, entries, &mut warnings);
    ways::late_timeouts(catalog, entries, &mut warnings);
    view.floors(&mut warnings);
    view.short_lives(settings, &mut warnings);
    openings::never_met(catalog, entries, &mut warnings);
    callers::unused(catalog, entries, &mut warnings);
    warnings
}

struct View<'v, 'a> {
    catalog: &'v Catalog,
    entries: &'v Entries<'a>,
}

impl View<'_, '_> {
    /// A carrier that is told to come back to its own machine never comes.
    fn carriers(&self, settings: &Settings, into: &mut Vec<Problem>) {
        let listen = settings.call_traffic.listen;
        for (carrier, (_, field)) in self.catalog.carriers.iter().zip(self.entries.carriers.iter()) {
            if let Some(url) = carrier.public_url.as_ref().filter(|url| is_local(url))
                && !listen.ip().is_loopback()
            {
                let what = format!("is told to come back to {url}, while calls come in on {listen}");
                into.push(field.problem(what, "the `public_url` it reaches us under", None));
            }
        }
    }

    fn campaigns(&self, into: &mut Vec<Problem>) {
        let used: BTreeSet<_> = self.catalog.numbers.iter().map(|number| number.campaign.at()).collect();
        let unused = self.entries.campaigns.iter().enumerate().filter(|(at, _)| !used.contains(at));
        into.extend(unused.map(|(_, (_, field))| field.problem("has no number: it gets no calls", "", None)));
        let shut = self.catalog.campaigns.iter().zip(self.entries.campaigns.iter());
        into.extend(shut.filter(|(campaign, _)| self.sells_to_nobody(campaign)).map(|(_, (_, field))| {
            field.problem(
                "sells no call: at all its hours every target of its plans is closed",
                "hours at which a target and its buyer are open too",
                None,
            )
        }));
        // The lowest price there may be: of a fixed payout the margin is a floor as well.
        let has_no_floor = |campaign: &Campaign| {
            campaign.price == PriceRule::Second
                && !campaign.floor.max(min_price(&campaign.payout, campaign.min_margin)).is_positive()
        };
        let bare = self.catalog.campaigns.iter().zip(self.entries.campaigns.iter());
        into.extend(bare.filter(|(campaign, _)| has_no_floor(campaign)).map(|(_, (_, field))| {
            field.problem(
                "has second price and no floor: a bidder without a runner-up pays next to nothing",
                "a `floor`: it is what a bidder without a runner-up pays",
                None,
            )
        }));
    }

    /// Whether no target of its plans is ever open when it is. One without targets says so itself.
    fn sells_to_nobody(&self, campaign: &Campaign) -> bool {
        let Some(hours) = &campaign.hours else { return false };
        let mut targets = Vec::new();
        campaign.plans().for_each(|plan| self.catalog.plan(plan).root.targets(&mut targets));
        let may_be_open = |target: &TargetIx| {
            let target = self.catalog.target(*target);
            let buyer = self.catalog.buyer(target.buyer);
            let mut both = [&target.hours, &buyer.hours].into_iter().flatten();
            both.all(|theirs| hours.meets_in(&campaign.zone, theirs, &buyer.zone))
        };
        !targets.is_empty() && !targets.iter().any(may_be_open)
    }

    fn buyers_and_targets(&self, into: &mut Vec<Problem>) {
        let buyers: BTreeSet<_> = self.catalog.targets.iter().map(|target| target.buyer.at()).collect();
        let idle = self.entries.buyers.iter().enumerate().filter(|(at, _)| !buyers.contains(at));
        into.extend(idle.map(|(_, (_, field))| field.problem("has no target", "", None)));

        let mut planned = Vec::new();
        self.catalog.plans.iter().for_each(|plan| plan.root.targets(&mut planned));
        let planned: BTreeSet<_> = planned.iter().map(|target| target.at()).collect();
        let idle = self.entries.targets.iter().enumerate().filter(|(at, _)| !planned.contains(at));
        into.extend(idle.map(|(_, (_, field))| field.problem("is in no plan", "", None)));
    }

    /// A bid is handed out with the guard's life left, so it must begin with more.
    fn short_lives(&self, settings: &Settings, into: &mut Vec<Problem>) {
        let guard = settings.calls.dial_guard;
        for (target, (_, field)) in self.catalog.targets.iter().zip(self.entries.targets.iter()) {
            let Some(endpoint) = target.endpoint().filter(|endpoint| endpoint.bid_ttl <= guard) else {
                continue;
            };
            let what = format!(
                "is never taken: its bids live {} s, and one is handed out with at least {} s left",
                endpoint.bid_ttl.as_secs(),
                guard.as_secs()
            );
            into.push(field.problem(what, "a `bid_ttl_s` above `calls.dial_guard_s`", None));
        }
    }

    fn plans(&self, settings: &Settings, into: &mut Vec<Problem>) {
        let mut used: BTreeSet<PlanIx> = self.catalog.campaigns.iter().flat_map(Campaign::plans).collect();
        used.insert(self.catalog.default_plan);
        for (ix, plan) in (0..).map(PlanIx).zip(&self.catalog.plans) {
            let field = self.entries.plans.field(ix.0);
            if !used.contains(&ix) {
                into.push(field.problem("is used by no campaign and is not the default", "", None));
            }
            if has_idle_weights(&plan.root) {
                into.push(field.problem("has a weighted node whose weights are all 0", "", None));
            }
            let asked = endpoints(self.catalog, &plan.root);
            if asked > settings.limits.auction_fan_out {
                let what = format!("bids are asked of {asked} targets, and the settings let in fewer");
                let allowed =
                    format!("`limits.auction_fan_out`, which is {}", settings.limits.auction_fan_out);
                into.push(field.problem(what, &allowed, None));
            }
        }
    }

    /// Prices that no campaign accepts where its plan offers them.
    fn floors(&self, into: &mut Vec<Problem>) {
        let mut taken = BTreeSet::new();
        let mut refused: Vec<(TargetIx, Bar, &Campaign)> = Vec::new();
        for (campaign, least) in self.catalog.campaigns.iter().zip(self.least_prices()) {
            let roots = campaign.plans().map(|plan| &self.catalog.plan(plan).root);
            for (target, floor) in roots.flat_map(offers) {
                let bar = least.with_floor(floor.max(lowest_floor(self.catalog.target(target))));
                if highest(self.catalog.target(target)) >= bar.price {
                    taken.insert(target);
                } else {
                    refused.push((target, bar, campaign));
                }
            }
        }
        let never = refused.into_iter().filter(|(target, ..)| !taken.contains(target));
        into.extend(never.map(|(target, bar, campaign)| {
            let price = highest(self.catalog.target(target));
            let key = match &self.catalog.target(target).pricing {
                Pricing::Fixed(_) => "price",
                Pricing::Endpoint(_) => "max_bid",
                Pricing::Table(_) => "highest bid",
            };
            let least = match bar.is_margin {
                true => {
                    format!("{}, the least that leaves the margin of campaign {}", bar.price, campaign.id)
                }
                false => format!("the floor {} of campaign {}", bar.price, campaign.id),
            };
            let what = format!("is never taken: its {key} {price} is below {least}");
            self.entries.targets.field(target.0).problem(what, "", None)
        }));
    }

    /// By campaign, the lowest price that its publishers' floors and payouts leave, whoever sends the call.
    fn least_prices(&self) -> Vec<Bar> {
        let mut least: Vec<Option<Bar>> = vec![None; self.catalog.campaigns.len()];
        for number in &self.catalog.numbers {
            let campaign = self.catalog.campaign(number.campaign);
            let payout = self.catalog.payout(number.publisher, number.campaign);
            let floor = self.catalog.floor(number.publisher, number.campaign).amount;
            let bar = Bar::of_margin(min_price(payout, campaign.min_margin)).with_floor(floor);
            let least = &mut least[number.campaign.at()];
            *least = Some(least.filter(|other| other.price <= bar.price).unwrap_or(bar));
        }
        let alone = |campaign: &Campaign| {
            Bar::of_margin(min_price(&campaign.payout, campaign.min_margin)).with_floor(campaign.floor)
        };
        let campaigns = self.catalog.campaigns.iter();
        campaigns.zip(least).map(|(campaign, least)| least.unwrap_or_else(|| alone(campaign))).collect()
    }
}

/// A price that offers must reach.
#[derive(Clone, Copy)]
struct Bar {
    price: Money,
    /// It is no floor: less would not leave the margin.
    is_margin: bool,
}

impl Bar {
    fn of_margin(price: Money) -> Bar {
        Bar { price, is_margin: true }
    }

    fn with_floor(self, floor: Money) -> Bar {
        if floor >= self.price { Bar { price: floor, is_margin: false } } else { self }
    }
}

/// The most a target ever pays.
fn highest(target: &Target) -> Money {
    let always = match &target.pricing {
        Pricing::Fixed(price) => *price,
        Pricing::Endpoint(endpoint) => endpoint.max_bid,
        Pricing::Table(table) => table.highest().unwrap_or(Money::ZERO),
    };
    target.ranges.iter().filter_map(|range| range.price).chain([always]).max().unwrap_or(always)
}

/// The floor of the target itself when it is lowest.
fn lowest_floor(target: &Target) -> Money {
    let in_ranges = target.ranges.iter().filter_map(|range| range.floor);
    in_ranges.chain([target.floor]).min().unwrap_or(target.floor)
}

/// Every target of a tree with the floor of the auction it is in.
fn offers(node: &Node) -> Vec<(TargetIx, Money)> {
    match node {
        Node::Auction(AuctionNode { members, floor, .. }) => members.iter().map(|m| (*m, *floor)).collect(),
        Node::Target(target) => vec![(*target, Money::ZERO)],
        Node::Simultaneous(node) => node.members.iter().map(|m| (*m, Money::ZERO)).collect(),
        other => other.children().into_iter().flat_map(offers).collect(),
    }
}

fn has_idle_weights(node: &Node) -> bool {
    let is_idle = matches!(node, Node::Weighted(children) if children.iter().all(|(weight, _)| *weight == 0));
    is_idle || node.children().into_iter().any(has_idle_weights)
}

fn endpoints(catalog: &Catalog, node: &Node) -> usize {
    let mut targets = Vec::new();
    node.targets(&mut targets);
    targets.iter().filter(|target| catalog.target(**target).endpoint().is_some()).count()
}
