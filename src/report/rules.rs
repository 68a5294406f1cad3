//! Every rule over every target of a recorded step, in their order, with the values they saw: judged anew by the catalog of
//! its digest and the facts that were kept, when somebody asks. Nothing of it is stored.
//!
//! What is taken from the record (capacity, replies, who came first) says what it said then; a filter that looks at a fact
//! that is not kept says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::billing::{NEVER, min_price};
use crate::domain::catalog::Pricing;
use crate::domain::plan::{AuctionNode, Branch};
use crate::domain::time_range::limits_at;
use crate::domain::{Bps, Catalog, Filter, Floor, FloorOf, Money, Node, Reason, TargetIx};
use crate::records::known::Known;
use crate::records::stored::{StoredOutcome, StoredTrail};
use crate::routing::path::judge_paths;
use crate::routing::price::{Terms, terms};
use crate::routing::rules::{PAUSED_SINCE, Phase, RULES, Rule, is_of};
use crate::routing::{Judged, RuleBook, Truth, floor_by, judge};

/// A catalog by its digest.
pub type CatalogOf<'a> = dyn FnMut(&str) -> Result<Arc<Catalog>, String> + 'a;

/// Said of a filter that looks at a fact which is not kept.
const NOT_KEPT: &str = "not kept: taken from the record";

/// One rule and what it says.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RuleRow {
    /// What it asks.
    #[schema(example = "state in TX OK")]
    pub rule: String,
    /// `yes`, `no`, `strange` where what came cannot be compared, `unknown` where the record does not say.
    #[schema(example = "no")]
    pub says: &'static str,
    /// The value it saw.
    #[schema(example = "state NM")]
    pub saw: String,
    /// What it is about, for those who may not see all of it.
    #[serde(skip)]
    pub(super) about: About,
}

/// What a rule is about, as far as not everybody may see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum About {
    /// What the operator holds against any call: on which of his lists a caller is concerns nobody else.
    WholeCall,
    /// What leads to a target in the operator's plan.
    Path,
    /// The caller or where the call came from.
    Filter(Filter),
    /// The lowest price that is taken: whose floor it is says where the call came from.
    Floor(Money),
    /// What must be left of a price.
    Margin,
    /// Nothing that is kept from anybody whose target it is about.
    Own,
}

impl RuleRow {
    /// What a rule of screening says.
    pub fn of(judged: Judged) -> RuleRow {
        RuleRow { rule: judged.rule, says: said(judged.truth), saw: judged.saw, about: About::Own }
    }

    fn new(rule: impl Into<String>, says: &'static str, saw: impl Into<String>) -> RuleRow {
        RuleRow { rule: rule.into(), says, saw: saw.into(), about: About::Own }
    }
}

/// The word for what a test says.
const fn said(truth: Truth) -> &'static str {
    match truth {
        Truth::Yes => "yes",
        Truth::No => "no",
        Truth::Strange => "strange",
    }
}

/// What the rules of one step are judged by.
pub(super) struct Judging<'a> {
    known: Known<'a>,
    rules: RuleBook,
    auctions: Vec<&'a AuctionNode>,
    /// The rules on the path to each target, of a call's first step: later ones walk what that left.
    paths: BTreeMap<TargetIx, Vec<Judged>>,
}

impl<'a> Judging<'a> {
    pub(super) fn of(known: Known<'a>, trail: &StoredTrail) -> Judging<'a> {
        let plan = known.catalog.plans.iter().position(|plan| plan.id.as_str() == trail.plan);
        let rules = RuleBook::of(known.catalog);
        let (mut auctions, mut paths) = (Vec::new(), BTreeMap::new());
        if let Some(at) = plan {
            let root = &known.catalog.plans[at].root;
            find_auctions(root, &mut auctions);
            if trail.step == 1 {
                let facts = known.facts();
                let met = |branch: &Branch| match branch.when.iter().any(|filter| known.lacks(filter)) {
                    true => (known.was_open(branch.number).into(), NOT_KEPT.to_owned()),
                    false => rules.branches[at][branch.number].met(&facts),
                };
                paths = judge_paths(root, facts.now, &met);
            }
        }
        Judging { known, rules, auctions, paths }
    }

    /// The rules of one target, in their order, up to the one that decided. Empty for a target that is in no catalog.
    pub(super) fn rules(&self, outcome: &StoredOutcome) -> Vec<RuleRow> {
        let targets = &self.known.catalog.targets;
        let found = targets.binary_search_by(|target| target.id.as_str().cmp(&outcome.target));
        let (Ok(at), Some(reason)) = (found, Reason::from_code(outcome.reason)) else { return Vec::new() };
        let ix = TargetIx(at as u32);
        let note = outcome.note.as_deref().unwrap_or("");
        // Of a call that was lost before it began no target was looked at.
        let of_the_call = RULES.iter().find(|rule| rule.reason == reason && rule.phase == Phase::Call);
        if let Some(rule) = of_the_call.filter(|_| note != PAUSED_SINCE) {
            let saw = if note.is_empty() { reason.as_str() } else { note };
            return vec![RuleRow { about: About::WholeCall, ..RuleRow::new(rule.name, "no", saw) }];
        }
        let on_its_path = self.paths.get(&ix).into_iter().flatten().cloned();
        let mut rows: Vec<RuleRow> =
            on_its_path.map(|judged| RuleRow { about: About::Path, ..RuleRow::of(judged) }).collect();
        let left_out = RULES
            .iter()
            .find(|rule| rule.reason == reason && rule.phase == Phase::Plan && reason != Reason::NotReached);
        if let Some(rule) = left_out {
            if rows.iter().all(|row| row.says == "yes") {
                rows.push(RuleRow::new(rule.name, "no", note));
            }
            return rows;
        }
        rows.extend(self.screened(ix, reason, note));
        if rows.iter().any(|row| row.says == "no" || row.says == "strange") {
            return rows;
        }
        if is_of(reason, Phase::Screen) || is_of(reason, Phase::Call) {
            if rows.iter().all(|row| row.says == "yes") {
                rows.push(RuleRow::new("that is so when it is to be handed the call", "no", note));
            }
            return rows;
        }
        rows.extend(self.after_screening(ix, reason, outcome));
        rows
    }

    fn screened(&self, ix: TargetIx, reason: Reason, note: &str) -> Vec<RuleRow> {
        let facts = self.known.facts();
        let filters = &self.known.catalog.target(ix).filters;
        let mut rows: Vec<RuleRow> =
            judge(self.known.catalog, &self.rules.filters, ix, &facts).into_iter().map(RuleRow::of).collect();
        let first = rows.len() - filters.len();
        for (row, filter) in rows[first..].iter_mut().zip(filters) {
            row.about = About::Filter(filter.clone());
        }
        let is_lacking =
            |row: &RuleRow| matches!(&row.about, About::Filter(filter) if self.known.lacks(filter));
        let is_refused = is_of(reason, Phase::Screen);
        let lacking = rows.iter().filter(|row| is_lacking(row)).count();
        let others_hold = rows.iter().all(|row| row.says == "yes" || is_lacking(row));
        for row in &mut rows {
            if !is_lacking(row) {
                continue;
            }
            (row.says, row.saw) = match (is_refused, lacking == 1 && others_hold) {
                (false, _) => ("yes", NOT_KEPT.to_owned()),
                (true, true) => ("no", format!("{note}; {NOT_KEPT}")),
                (true, false) => ("unknown", NOT_KEPT.to_owned()),
            };
        }
        rows
    }

    /// What comes after screening, up to the rule that decided; everything for the winner.
    fn after_screening(&self, ix: TargetIx, reason: Reason, outcome: &StoredOutcome) -> Vec<RuleRow> {
        let catalog = self.known.catalog;
        let target = catalog.target(ix);
        let buyer = catalog.buyer(target.buyer);
        let is_asked = target.endpoint().is_some();
        let amount = outcome.amount.map_or(String::new(), |amount| amount.to_string());
        let now = self.known.facts().now;
        let limits = [(&target.limits, &target.ranges), (&buyer.limits, &buyer.ranges)]
            .map(|(always, ranges)| limits_at(always, ranges, &buyer.zone, now));
        let mut rows = Vec::new();
        for (at, rule) in RULES.iter().enumerate() {
            // Rules that refuse for one reason are one question to whoever reads them.
            let is_told = |earlier: &Rule| (earlier.phase, earlier.reason) == (rule.phase, rule.reason);
            if RULES[..at].iter().any(is_told) {
                continue;
            }
            let is_met = match rule.reason {
                Reason::Cap => limits.iter().any(|limits| limits.daily_billable.is_some()),
                Reason::Concurrency => limits.iter().any(|limits| limits.concurrency.is_some()),
                Reason::NoTaker => false,
                Reason::NoRow => matches!(target.pricing, Pricing::Table(_)),
                Reason::Expired => is_asked,
                _ => match rule.phase {
                    Phase::Call | Phase::Screen => false,
                    Phase::Ask | Phase::Reply => is_asked,
                    Phase::Plan => rule.reason == Reason::NotReached,
                    Phase::Capacity | Phase::Price | Phase::Rank | Phase::Hold => true,
                },
            };
            let decides = rule.reason == reason || rule.phase == Phase::Reply && reason.code() / 100 == 2;
            if !is_met && !decides {
                continue;
            }
            let saw = match (rule.phase, decides) {
                (Phase::Rank, _) => {
                    outcome.amount.map_or(String::new(), |amount| self.ranked_by(rule, ix, amount))
                }
                (Phase::Price, _) => amount.clone(),
                (Phase::Reply, true) => outcome.note.clone().unwrap_or_else(|| reason.to_string()),
                (Phase::Reply, false) => format!("bid {amount}").trim_end().to_owned(),
                (_, true) => outcome.note.clone().unwrap_or_default(),
                (_, false) => String::new(),
            };
            let says = match decides {
                true if reason == Reason::Pending => "unknown",
                true => "no",
                false => "yes",
            };
            let about = match rule.reason {
                Reason::BelowFloor => About::Floor(self.floor(ix).map_or(Money::ZERO, |floor| floor.amount)),
                Reason::Margin => About::Margin,
                _ => About::Own,
            };
            rows.push(RuleRow { about, ..RuleRow::new(self.named(rule, ix), says, saw) });
            if decides {
                break;
            }
        }
        rows
    }

    /// What a price is compared by under a rule of the ranking, where it is not the price alone.
    fn ranked_by(&self, rule: &Rule, ix: TargetIx, amount: Money) -> String {
        let multiplier = self.known.catalog.target(ix).multiplier;
        let takeover = self.auction(ix).and_then(|auction| auction.takeover);
        match (rule.reason, takeover) {
            (Reason::LowerTier, Some(bar)) if amount >= bar => format!("{amount}, takes over from {bar} on"),
            (Reason::LowerTier, Some(bar)) => format!("{amount}, would take over from {bar} on"),
            (Reason::Outbid, _) if multiplier != Bps::WHOLE => {
                let score = amount.score(multiplier) / i128::from(Bps::WHOLE.0);
                let score = Money::from_micros(i64::try_from(score).unwrap_or(i64::MAX));
                format!("{amount} × {multiplier} = {score}")
            }
            _ => amount.to_string(),
        }
    }

    /// The auction it stands in.
    fn auction(&self, ix: TargetIx) -> Option<&'a AuctionNode> {
        self.auctions.iter().find(|node| node.members.contains(&ix)).copied()
    }

    fn terms(&self, ix: TargetIx) -> Terms {
        terms(self.known.catalog, &self.rules.tables, ix, &self.known.facts())
    }

    /// The highest of the floors that count for this target.
    fn floor(&self, ix: TargetIx) -> Option<Floor> {
        let number = self.known.number?;
        let of_node = self.auction(ix).map_or(Money::ZERO, |node| node.floor);
        let row = self.known.floor_row(&self.rules.floors);
        let floor = floor_by(self.known.catalog, (number.publisher, number.campaign), row);
        Some(floor.or(FloorOf::Node, of_node).or(FloorOf::Target, self.terms(ix).floor))
    }

    /// A rule with the bar it sets for this target.
    fn named(&self, rule: &Rule, ix: TargetIx) -> String {
        let catalog = self.known.catalog;
        let Some(number) = self.known.number else { return rule.name.to_owned() };
        let campaign = catalog.campaign(number.campaign);
        match rule.reason {
            Reason::BelowFloor => {
                self.floor(ix).map_or(rule.name.to_owned(), |floor| format!("{} {floor}", rule.name))
            }
            Reason::Margin => {
                let payout = catalog.payout(number.publisher, number.campaign);
                match min_price(payout, campaign.min_margin) {
                    NEVER => format!("{}: no price leaves it", rule.name),
                    least => format!("{}: at least {least}", rule.name),
                }
            }
            Reason::LowerTier => format!("{} {}", rule.name, catalog.target(ix).tier),
            _ => rule.name.to_owned(),
        }
    }
}

fn find_auctions<'a>(node: &'a Node, into: &mut Vec<&'a AuctionNode>) {
    if let Node::Auction(auction) = node {
        into.push(auction);
    }
    node.children().into_iter().for_each(|child| find_auctions(child, into));
}
