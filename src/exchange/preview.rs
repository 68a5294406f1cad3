//! What a call would meet: its facts, every rule over every target of its plan, and the static answer.
//!
//! Nobody is asked, nothing is held and nothing is remembered: what only a running exchange knows (bids, capacity, who
//! answers no pings) is not in it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::subject::Subject;
use crate::billing::{NEVER, min_price};
use crate::carrier::CarrierRequest;
use crate::domain::catalog::Pricing;
use crate::domain::{
    CallerListIx, Campaign, Catalog, Floor, FloorOf, Hours, Money, Reason, Target, TargetIx, Timestamp, Zone,
};
use crate::report::RuleRow;
use crate::routing::path::judge_paths;
use crate::routing::price::{By, Terms, terms};
use crate::routing::ring_tree::{Given, Left, Step, walk};
use crate::routing::shared::Shared;
use crate::routing::{Judged, Located, RuleBook, Truth, Verdict, floor, judge, screen};

/// A call as the catalog sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    /// The time it was asked for, RFC 3339.
    pub at: String,
    /// Campaign of the dialled number; absent where nobody configured it.
    pub campaign: Option<String>,
    /// Its publisher.
    pub publisher: Option<String>,
    /// The plan it would walk.
    pub plan: String,
    /// The hours that the campaign has it for; absent where it is the plan of all other times.
    pub plan_hours: Option<String>,
    /// Whether the campaign is paused, so that only the plan's terminal action is left.
    pub is_campaign_paused: bool,
    /// Why nobody may take the call, so that only the plan's terminal action is left.
    pub barred: Option<String>,
    /// Every rule about the whole call in the order in which they are held against it.
    pub rules: Vec<RuleRow>,
    /// Two-letter state of the caller.
    pub state: Option<String>,
    /// Where the state comes from: `ivr publisher carrier area_code none`.
    pub geo_source: &'static str,
    /// Two-letter country of the caller's number.
    pub country: Option<String>,
    /// Area code of the caller's number.
    pub area_code: Option<u16>,
    /// The caller's ZIP: `none`, `impossible`, `without a place` or `known`.
    pub zip: &'static str,
    /// Whose floor applies to the call, and how much it is; nodes and targets may have higher ones.
    pub floor: Option<String>,
    /// The lowest price that leaves the margin asked for; absent where nothing is.
    pub min_price: Option<String>,
    /// What the winner of an auction pays: `first` or `second`; absent where nobody configured the number.
    pub pricing: Option<&'static str>,
    /// Every target of the plan, in its order.
    pub targets: Vec<Tried>,
}

/// What the rules say of one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The target.
    pub target: String,
    /// Its buyer.
    pub buyer: String,
    /// What it would offer: its fixed price, or what its table bids (`none` where that is nothing); absent where it would
    /// be asked for a bid.
    pub price: Option<String>,
    /// `candidate`, or the reason it would be refused with.
    pub verdict: String,
    /// The value that decided.
    pub note: Option<String>,
    /// Every rule in the order in which they are held against a call.
    pub rules: Vec<RuleRow>,
}

/// What this call would meet at `now`.
///
/// Who is on which list only a running exchange knows: `lists` are those that the caller is said to be on, ascending.
pub fn preview(
    catalog: &Catalog,
    request: &CarrierRequest,
    lists: Vec<CallerListIx>,
    now: Timestamp,
) -> Preview {
    preview_by(catalog, &RuleBook::of(catalog), request, lists, now)
}

/// The same for one of many calls to a catalog whose rules were compiled before.
pub fn preview_by(
    catalog: &Catalog,
    book: &RuleBook,
    request: &CarrierRequest,
    lists: Vec<CallerListIx>,
    now: Timestamp,
) -> Preview {
    let subject = Subject::of(catalog, request, now).on(lists);
    let facts = subject.facts(catalog, request, now);
    let targets = book.targets[subject.plan_ix.at()].clone();
    let branches = &book.branches[subject.plan_ix.at()];
    // Draws and turns are those of some call: who is left out by them is left out of this one.
    let given =
        Given { seed: 0, now, may_take: &|branch| branches[branch.number].hold(&facts), turn: &mut |_| 0 };
    let walk = walk(subject.plan, given);
    let steps = walk.steps.iter();
    let walked: BTreeMap<TargetIx, Money> =
        steps.flat_map(|step| step.targets().iter().map(|target| (*target, floor_of(step)))).collect();
    let left: BTreeMap<TargetIx, Left<'_>> =
        walk.left.iter().rev().map(|left| (left.target, *left)).collect();
    let paths = judge_paths(&subject.plan.root, now, &|branch| branches[branch.number].met(&facts));
    let (barred, rules) = whole(catalog, &subject, now);
    let bar = subject.line.map(|line| {
        let payout = catalog.payout(line.publisher, line.campaign);
        let least = min_price(payout, catalog.campaign(line.campaign).min_margin);
        (floor(catalog, &book.floors, (line.publisher, line.campaign), &facts), least)
    });
    let mut shared = Shared::default();
    let tried = |ix: TargetIx| {
        let left = left.get(&ix).filter(|_| !walked.contains_key(&ix));
        let (target, terms) = (catalog.target(ix), terms(catalog, &book.tables, ix, &facts));
        let (verdict, note) = match (left, screen(catalog, &book.filters, ix, &facts, &mut shared)) {
            _ if barred.is_some() => (barred.map_or(String::new(), |reason| reason.to_string()), None),
            (Some(left), _) => (left.reason.to_string(), left.zone.map(|zone| format!("in {zone}"))),
            (None, Verdict::Candidate) => match terms.refusal() {
                Some(reason) => (reason.to_string(), terms.note(target)),
                None => ("candidate".to_owned(), terms.note(target)),
            },
            (None, Verdict::Refused(reason, note)) => (reason.to_string(), note),
        };
        let on_its_path = paths.get(&ix).into_iter().flatten().cloned();
        let rules = on_its_path.chain(judge(catalog, &book.filters, ix, &facts));
        let mut rules: Vec<RuleRow> = rules.map(RuleRow::of).chain(price_rule(target, &terms)).collect();
        let node = walked.get(&ix).copied().unwrap_or_default();
        let priced = bar.and_then(|(floor, least)| priced(&terms, floor.or(FloorOf::Node, node), least));
        let (verdict, note) = match priced {
            Some((bars, refused)) => {
                rules.extend(bars);
                refused.filter(|_| verdict == "candidate").unwrap_or((verdict, note))
            }
            None => (verdict, note),
        };
        Tried { verdict, note, rules, ..named(catalog, ix, &terms) }
    };
    Preview {
        at: now.to_string(),
        campaign: facts.campaign.map(str::to_owned),
        publisher: facts.publisher.map(str::to_owned),
        plan: subject.plan.id.to_string(),
        plan_hours: subject.campaign(catalog).and_then(|campaign| hours_of_plan(campaign, now)),
        is_campaign_paused: subject.campaign(catalog).is_some_and(|campaign| campaign.paused),
        barred: barred.map(|reason| reason.to_string()),
        state: subject.state.clone(),
        geo_source: subject.geo_source,
        country: facts.country.map(str::to_owned),
        area_code: facts.area_code,
        zip: match facts.zip {
            Located::Unknown => "none",
            Located::Impossible => "impossible",
            Located::At(_, None) => "without a place",
            Located::At(_, Some(_)) => "known",
        },
        floor: bar.map(|(floor, _)| floor.to_string()),
        min_price: bar.map(|(_, least)| least).filter(|least| least.is_positive()).map(shown),
        pricing: subject.campaign(catalog).map(|campaign| campaign.price.as_str()),
        targets: targets.into_iter().map(tried).collect(),
        rules,
    }
}

/// What bars the whole call, and every rule that might have.
fn whole(catalog: &Catalog, subject: &Subject<'_>, now: Timestamp) -> (Option<Reason>, Vec<RuleRow>) {
    let barred = subject.barred(catalog, (now, 1)).map(|(reason, _)| reason);
    let Some(line) = subject.line else { return (barred, Vec::new()) };
    let (campaign, publisher) = (catalog.campaign(line.campaign), catalog.publisher(line.publisher));
    let is_paused = campaign.paused;
    let mut rules = vec![RuleRow::of(Judged {
        rule: "campaign is not paused".to_owned(),
        truth: Truth::from(!is_paused),
        saw: if is_paused { "paused" } else { "not paused" }.to_owned(),
    })];
    let listed = subject.blocked(catalog);
    if !campaign.blocked_callers.is_empty() || !publisher.blocked_callers.is_empty() {
        rules.push(RuleRow::of(Judged {
            rule: "caller is on no list of blocked callers".to_owned(),
            truth: Truth::from(listed.is_none()),
            saw: listed.unwrap_or_else(|| "on none".to_owned()),
        }));
    }
    let open = |whose: &str, hours: &Hours, zone: &Zone| {
        RuleRow::of(Judged {
            rule: format!("{whose} is open {hours} in {zone}"),
            truth: Truth::from(hours.is_open(zone, now)),
            saw: zone.wall_clock(now),
        })
    };
    rules.extend(campaign.hours.iter().map(|hours| open("campaign", hours, &campaign.zone)));
    rules.extend(publisher.hours.iter().map(|hours| open("publisher", hours, &publisher.zone)));
    (barred, rules)
}

fn hours_of_plan(campaign: &Campaign, now: Timestamp) -> Option<String> {
    let (hours, _) = campaign.scheduled.iter().find(|(hours, _)| hours.is_open(&campaign.zone, now))?;
    Some(format!("{hours} in {}", campaign.zone))
}

/// The floor of the auction that a step is.
fn floor_of(step: &Step<'_>) -> Money {
    match step {
        Step::Auction(node) => node.floor,
        Step::Dial(_) | Step::Together(_) => Money::ZERO,
    }
}

fn shown(least: Money) -> String {
    if least == NEVER { "no price leaves the margin".to_owned() } else { least.to_string() }
}

/// What a fixed price is held against, and why it is refused if it is; of a bid nothing is known before it comes.
type Priced = ([RuleRow; 2], Option<(String, Option<String>)>);

fn priced(terms: &Terms, floor: Floor, least: Money) -> Option<Priced> {
    let price = terms.price?;
    let floor = floor.or(FloorOf::Target, terms.floor);
    let (reaches, leaves) = (price >= floor.amount, price >= least);
    let ruled =
        |rule: String, holds: bool| RuleRow::of(Judged { rule, truth: holds.into(), saw: price.to_string() });
    let rules = [
        ruled(format!("price reaches the floor: {floor}"), reaches),
        ruled(format!("price leaves the margin: at least {}", shown(least)), leaves),
    ];
    let refused = match (reaches, leaves) {
        (false, _) => Some((Reason::BelowFloor.to_string(), Some(floor.to_string()))),
        (true, false) => Some((Reason::Margin.to_string(), Some(format!("at least {}", shown(least))))),
        (true, true) => None,
    };
    Some((rules, refused))
}

/// What the target's price is decided by, where it is not always the same.
fn price_rule(target: &Target, terms: &Terms) -> Option<RuleRow> {
    let is_table = matches!(target.pricing, Pricing::Table(_));
    let range = terms.range.and_then(|at| target.ranges.get(at));
    if !is_table && range.is_none() {
        return None;
    }
    let mut rule =
        if is_table { "has a bid for the call" } else { "has a price or floor of these hours" }.to_owned();
    if let Some(note) = terms.note(target) {
        rule = format!("{rule}: {note}");
    }
    if let Some(range) = range {
        rule = format!("{rule}, in range {range}");
    }
    let saw = match (terms.price, terms.by) {
        (Some(price), _) => format!("price {price}, floor {}", terms.floor),
        (None, By::Asking) => format!("floor {}", terms.floor),
        (None, By::Row(_)) => "a bid of 0".to_owned(),
        (None, By::Always | By::Range | By::NoRow) => "no row that holds, and no base".to_owned(),
    };
    Some(RuleRow::of(Judged { rule, truth: Truth::from(terms.refusal().is_none()), saw }))
}

fn named(catalog: &Catalog, ix: TargetIx, terms: &Terms) -> Tried {
    let target = catalog.target(ix);
    Tried {
        target: target.id.to_string(),
        buyer: catalog.buyer(target.buyer).id.to_string(),
        price: match terms.by {
            By::Asking => None,
            By::Always | By::Range | By::Row(_) | By::NoRow => {
                Some(terms.price.map_or("none".to_owned(), |price| price.to_string()))
            }
        },
        verdict: String::new(),
        note: None,
        rules: Vec::new(),
    }
}
