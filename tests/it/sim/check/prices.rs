//! Prices: what the winner of an auction pays by the rules of its campaign, worked out from the outcomes of its step, and the
//! floors and margins that every attempt must leave.

use outcry::domain::catalog::Pricing;
use outcry::domain::filter::Filter;
use outcry::domain::plan::AuctionNode;
use outcry::domain::{Campaign, Catalog, Node, Payout, PriceRule, Reason, Target};
use outcry::records::row::{AttemptRow, OutcomeRow, TrailRow};

use super::{Check, Promise, find};

const STEP: i128 = 10_000;

impl Check {
    /// The margin that is asked for when an attempt is handed out is left of what it pays, over what was promised.
    pub(super) fn leaves_the_margin(&mut self, n: u32, row: &AttemptRow, catalog: &Catalog) {
        let (Some(price), Some(campaign)) = (row.price, campaign(catalog, row.keys.campaign.as_ref())) else {
            return;
        };
        let payout = self.known(n).legs.get(&row.attempt).and_then(|leg| leg.payout);
        let (Some(margin), Some(payout)) = (campaign.min_margin, payout) else { return };
        let price = i128::from(price.micros());
        // Ten thousandths of micro-units, so that nothing is rounded.
        let left = match payout {
            Payout::Fixed(amount) => (price - i128::from(amount.micros())) * 10_000,
            Payout::Share(part) => price * (10_000 - i128::from(part.0)),
        };
        let holds = left >= i128::from(margin.amount.micros()) * 10_000
            && left >= price * i128::from(margin.percent.0);
        self.must(holds, Promise::Money, || {
            format!(
                "attempt {} of call {n} pays {price} over {payout:?}, and {margin} must be left",
                row.attempt
            )
        });
    }

    /// What the winner of an auction of this step pays.
    pub(super) fn pays(&mut self, n: u32, row: &TrailRow) {
        let known = self.calls.entry(n).or_default();
        let Some(attempt) = known.attempts.values().find(|attempt| attempt.step == row.step).cloned() else {
            return;
        };
        let state = known.decided.as_ref().and_then(|decided| decided.state.clone());
        let Some(catalog) = self.catalogs.get(&attempt.catalog).cloned() else { return };
        let won = row.outcomes.iter().find(|outcome| outcome.reason == Reason::Won);
        let (Some(won), Some(campaign)) = (won, campaign(&catalog, row.keys.campaign.as_ref())) else {
            return;
        };
        let (Some(bid), Some(price)) = (won.amount, attempt.price) else { return };
        let (bid, price) = (i128::from(bid.micros()), i128::from(price.micros()));
        let target = find(&catalog, won.target.as_str());
        let is_fixed = matches!(target.pricing, Pricing::Fixed(_));
        if is_fixed || campaign.price == PriceRule::First && won.ping.is_some() {
            return self
                .must(price == bid, Promise::Money, || format!("call {n} pays {price} of a bid of {bid}"));
        }
        // What stands from an earlier step was priced there, by those that were beaten then.
        if won.ping.is_none() {
            return self
                .must(price <= bid, Promise::Money, || format!("call {n} pays {price} of a bid of {bid}"));
        }
        let payout = self.known(n).legs.get(&attempt.attempt).and_then(|leg| leg.payout);
        let least =
            least(&catalog, campaign, row, target, state.as_deref()).max(bar(campaign, payout)).max(STEP);
        let reached =
            next(&catalog, row, won).map_or(0, |score| score / i128::from(target.multiplier.0) / STEP * STEP);
        let expected = reached.max(least).min(bid);
        self.must(price == expected, Promise::Money, || {
            format!("call {n} pays {price} instead of {expected} of a bid of {bid}: {:?}", row.outcomes)
        });
    }
}

fn campaign<'a>(catalog: &'a Catalog, id: Option<&outcry::domain::CampaignId>) -> Option<&'a Campaign> {
    catalog.campaigns.iter().find(|campaign| Some(&campaign.id) == id)
}

fn node_of<'a>(node: &'a Node, catalog: &Catalog, target: &str) -> Option<&'a AuctionNode> {
    match node {
        Node::Sequential(children) => children.iter().find_map(|child| node_of(child, catalog, target)),
        Node::Weighted(children) => children.iter().find_map(|(_, child)| node_of(child, catalog, target)),
        Node::Auction(auction) => {
            auction.members.iter().any(|ix| catalog.target(*ix).id.as_str() == target).then_some(auction)
        }
        Node::RoundRobin(turns) => turns.children.iter().find_map(|child| node_of(child, catalog, target)),
        Node::FirstMatch(branches) => {
            branches.iter().find_map(|branch| node_of(&branch.node, catalog, target))
        }
        Node::Scope(scope) => node_of(&scope.node, catalog, target),
        Node::Simultaneous(_) | Node::Target(_) | Node::Terminal(_) => None,
    }
}

fn node<'a>(catalog: &'a Catalog, row: &TrailRow, target: &str) -> Option<&'a AuctionNode> {
    let plan = catalog.plans.iter().find(|plan| plan.id.as_str() == row.plan)?;
    node_of(&plan.root, catalog, target)
}

/// The highest floor that applies.
fn least(
    catalog: &Catalog,
    campaign: &Campaign,
    row: &TrailRow,
    target: &Target,
    state: Option<&str>,
) -> i128 {
    let holds = |filter: &Filter| match filter {
        Filter::State(states) => state.is_some_and(|state| states.iter().any(|one| one == state)),
        other => panic!("this market has no floors by {other}"),
    };
    let by_row = campaign.floors.iter().find(|row| row.when.iter().all(holds)).map(|row| row.floor);
    let publisher = catalog.publishers.iter().find(|one| Some(&one.id) == row.keys.publisher.as_ref());
    let of_publisher = publisher.into_iter().flat_map(|publisher| {
        let own = publisher.floors.iter().filter(|(at, _)| catalog.campaign(*at).id == campaign.id);
        own.map(|(_, floor)| *floor).chain([publisher.floor])
    });
    let of_node = node(catalog, row, target.id.as_str()).map(|node| node.floor);
    let floors = [campaign.floor, target.floor].into_iter().chain(by_row).chain(of_publisher).chain(of_node);
    floors.map(|floor| i128::from(floor.micros())).max().unwrap_or(0)
}

/// The lowest price that leaves the margin.
fn bar(campaign: &Campaign, payout: Option<Payout>) -> i128 {
    let (Some(margin), Some(payout)) = (campaign.min_margin, payout) else { return 0 };
    let (amount, percent) = (i128::from(margin.amount.micros()), i128::from(margin.percent.0));
    let up = |whole: i128, part: i128| (whole * 10_000 + part - 1) / part;
    match payout {
        Payout::Fixed(fixed) => {
            let fixed = i128::from(fixed.micros());
            (fixed + amount).max(up(fixed, 10_000 - percent))
        }
        Payout::Share(share) => up(amount, 10_000 - i128::from(share.0)),
    }
}

/// The score of who would have come next.
fn next(catalog: &Catalog, row: &TrailRow, won: &OutcomeRow) -> Option<i128> {
    let lost = [Reason::Outbid, Reason::TieLost, Reason::LowerTier];
    let takeover = node(catalog, row, won.target.as_str()).and_then(|node| node.takeover);
    let all = || {
        row.outcomes.iter().filter(|outcome| lost.contains(&outcome.reason) || outcome.target == won.target)
    };
    let tier = |outcome: &OutcomeRow| find(catalog, outcome.target.as_str()).tier;
    let top = all().map(tier).min()?;
    let place = |outcome: &OutcomeRow| {
        let amount = outcome.amount.expect("who lost offered something");
        let target = find(catalog, outcome.target.as_str());
        let is_top = takeover.is_some_and(|bar| amount >= bar);
        let score = i128::from(amount.micros()) * i128::from(target.multiplier.0);
        (if is_top { top } else { target.tier }, -score, -amount.micros(), target.priority)
    };
    all().filter(|outcome| outcome.target != won.target).map(place).min().map(|(_, score, ..)| -score)
}
