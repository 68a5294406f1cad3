//! Who may take a call, and in which order: screening and the walk of the plan.
//!
//! Screening looks at the catalog and the call; whether there is capacity is asked afterwards, of the survivors only.
//! Nothing here asks a buyer anything.

pub mod bid_table;
pub mod filter;
pub mod kept;
pub mod path;
pub mod price;
pub mod ring_tree;
pub mod rules;
pub mod shared;
mod suppress;

#[cfg(test)]
mod tests;

use crate::domain::{
    CallerListIx, CampaignIx, Catalog, Floor, FloorOf, FloorRow, Hours, Plan, PublisherIx, Reason, TargetIx,
    Zone,
};
use bid_table::BidIndex;
use filter::{Compiled, Deciding};
pub use filter::{Facts, Located, Truth};
use price::compiled_tables;
use shared::{Shared, compiled};
pub use suppress::{blocked, on_list};

/// What screening says of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be asked or dialled, capacity permitting.
    Candidate,
    /// It may not, for one reason, with the value that decided.
    Refused(Reason, Option<String>),
}

/// What the rules of a catalog were compiled to.
#[derive(Debug)]
pub struct RuleBook {
    /// The filters of targets, by target.
    pub filters: Vec<Compiled>,
    /// Every target of a plan, by plan: `Node::targets`.
    pub targets: Vec<Vec<TargetIx>>,
    /// What the branches of plans ask, by plan and number.
    pub branches: Vec<Vec<Compiled>>,
    /// When the rows of floors count, by campaign.
    pub floors: Vec<Vec<Compiled>>,
    /// Bid tables, by target; `None` where it has none.
    pub tables: Vec<Option<BidIndex>>,
}

impl RuleBook {
    /// Compiles the rules of a checked catalog; cannot fail.
    pub fn of(catalog: &Catalog) -> RuleBook {
        RuleBook {
            filters: compiled(catalog),
            targets: catalog.plans.iter().map(targets).collect(),
            branches: compiled_branches(catalog),
            floors: compiled_floors(catalog),
            tables: compiled_tables(catalog),
        }
    }
}

fn targets(plan: &Plan) -> Vec<TargetIx> {
    let mut targets = Vec::new();
    plan.root.targets(&mut targets);
    targets
}

/// What the branches of every plan ask, by the plan's position and the branch's number.
pub fn compiled_branches(catalog: &Catalog) -> Vec<Vec<Compiled>> {
    let utc = Zone::utc();
    let of = |plan: &Plan| {
        let mut branches = Vec::new();
        plan.root.branches(&mut branches);
        // Hours in a plan name their zone: whose it would be otherwise nobody could say.
        branches.into_iter().map(|branch| Compiled::new(&branch.when, &utc)).collect()
    };
    catalog.plans.iter().map(of).collect()
}

/// When each row of floors counts, by the campaign's position.
pub fn compiled_floors(catalog: &Catalog) -> Vec<Vec<Compiled>> {
    let utc = Zone::utc();
    let of = |row: &FloorRow| Compiled::new(&row.when, &utc);
    catalog.campaigns.iter().map(|campaign| campaign.floors.iter().map(of).collect()).collect()
}

/// The floor of a call to this campaign from this publisher: the highest of the campaign's, of the first of its rows
/// that holds, and of the publisher's. Those of nodes and targets come besides.
pub fn floor(
    catalog: &Catalog,
    rows: &[Vec<Compiled>],
    (publisher, campaign): (PublisherIx, CampaignIx),
    facts: &Facts<'_>,
) -> Floor {
    floor_by(catalog, (publisher, campaign), floor_row(rows, campaign, facts))
}

/// The first row of the campaign's floors that holds.
pub fn floor_row(rows: &[Vec<Compiled>], campaign: CampaignIx, facts: &Facts<'_>) -> Option<usize> {
    rows[campaign.at()].iter().position(|when| when.hold(facts))
}

/// The floor of a call for which this row of the campaign's floors holds.
pub fn floor_by(
    catalog: &Catalog,
    (publisher, campaign): (PublisherIx, CampaignIx),
    row: Option<usize>,
) -> Floor {
    let floor = catalog.floor(publisher, campaign);
    match row.and_then(|row| Some((row, catalog.campaign(campaign).floors.get(row)?))) {
        Some((row, of_row)) => floor.or(FloorOf::Row(row + 1), of_row.floor),
        None => floor,
    }
}

/// Judges one target. The order of the rules is published and decides which reason a target refused by several gets:
/// paused, buyer paused, suppressed, closed, earlier attempts, then its filters in the order written. `shared` is what was
/// said of the same facts by the same filters before.
pub fn screen(
    catalog: &Catalog,
    filters: &[Compiled],
    target: TargetIx,
    facts: &Facts<'_>,
    shared: &mut Shared,
) -> Verdict {
    screen_by(catalog, &filters[target.at()], target, facts, shared)
}

/// The same by these filters of the target.
pub fn screen_by(
    catalog: &Catalog,
    filters: &Compiled,
    target: TargetIx,
    facts: &Facts<'_>,
    shared: &mut Shared,
) -> Verdict {
    match refusal(catalog, filters, target, facts, shared) {
        None => Verdict::Candidate,
        Some(refusal) => Verdict::Refused(refusal.reason(), refusal.note(catalog, facts)),
    }
}

/// What a target is refused by. Its value can be told later, by the same facts: nobody needs it before the answer.
#[derive(Clone, Copy, Debug)]
pub enum Refusal<'a> {
    /// The target is paused.
    Paused,
    /// Its buyer is.
    BuyerPaused,
    /// The caller is on this list of the target's or the buyer's.
    Suppressed(CallerListIx),
    /// It or its buyer is closed, by a clock of this zone.
    Closed(&'a Zone),
    /// More attempts came to nothing than it takes calls after.
    EarlierAttempts,
    /// A filter does not hold.
    Filter(Deciding<'a>),
}

impl Refusal<'_> {
    /// The one reason.
    pub fn reason(&self) -> Reason {
        match self {
            Refusal::Paused => Reason::Paused,
            Refusal::BuyerPaused => Reason::BuyerPaused,
            Refusal::Suppressed(_) => Reason::Suppressed,
            Refusal::Closed(_) => Reason::Closed,
            Refusal::EarlierAttempts => Reason::EarlierAttempts,
            Refusal::Filter(deciding) => deciding.reason(),
        }
    }

    /// The value that decided, of the facts it was judged by. It may be foreign text.
    pub fn note(&self, catalog: &Catalog, facts: &Facts<'_>) -> Option<String> {
        match self {
            Refusal::Paused | Refusal::BuyerPaused => None,
            Refusal::Suppressed(list) => Some(on_list(catalog, *list)),
            Refusal::Closed(zone) => Some(format!("{} in {zone}", zone.wall_clock(facts.now))),
            Refusal::EarlierAttempts => Some(facts.earlier_attempts.to_string()),
            Refusal::Filter(deciding) => Some(deciding.seen(facts)),
        }
    }
}

/// What refuses the target, by the first rule in the order of [`screen`]; `None` for a candidate.
pub fn refusal<'a>(
    catalog: &'a Catalog,
    filters: &'a Compiled,
    target: TargetIx,
    facts: &Facts<'_>,
    shared: &mut Shared,
) -> Option<Refusal<'a>> {
    let the_target = catalog.target(target);
    let buyer = catalog.buyer(the_target.buyer);
    if the_target.paused {
        return Some(Refusal::Paused);
    }
    if buyer.paused {
        return Some(Refusal::BuyerPaused);
    }
    if let Some(list) = suppress::suppressed(catalog, the_target, facts) {
        return Some(Refusal::Suppressed(list));
    }
    let is_open = |hours: &Hours| hours.is_open(&buyer.zone, facts.now);
    if ![&buyer.hours, &the_target.hours].into_iter().flatten().all(is_open) {
        return Some(Refusal::Closed(&buyer.zone));
    }
    if the_target.earlier_attempts.is_some_and(|most| facts.earlier_attempts > most) {
        return Some(Refusal::EarlierAttempts);
    }
    filters.refuses(facts, shared).map(Refusal::Filter)
}

/// One rule over one target, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What it asks.
    pub rule: String,
    /// What it says.
    pub truth: Truth,
    /// The value it saw.
    pub saw: String,
}

/// Every rule of one target in the order of [`screen`], which refuses it by the first that does not hold.
pub fn judge(catalog: &Catalog, filters: &[Compiled], target: TargetIx, facts: &Facts<'_>) -> Vec<Judged> {
    let the_target = catalog.target(target);
    let buyer = catalog.buyer(the_target.buyer);
    let paused = |whose: &str, paused: bool| Judged {
        rule: format!("{whose} is not paused"),
        truth: Truth::from(!paused),
        saw: if paused { "paused".to_owned() } else { "not paused".to_owned() },
    };
    let mut rules = vec![paused("target", the_target.paused), paused("buyer", buyer.paused)];
    rules.extend(suppress::judged(catalog, the_target, facts));
    for (whose, hours) in [("buyer", &buyer.hours), ("target", &the_target.hours)] {
        let Some(hours) = hours else { continue };
        rules.push(Judged {
            rule: format!("{whose} is open {hours} in {}", buyer.zone),
            truth: Truth::from(hours.is_open(&buyer.zone, facts.now)),
            saw: buyer.zone.wall_clock(facts.now),
        });
    }
    if let Some(most) = the_target.earlier_attempts {
        rules.push(Judged {
            rule: format!("at most {most} attempts came to nothing before"),
            truth: Truth::from(facts.earlier_attempts <= most),
            saw: facts.earlier_attempts.to_string(),
        });
    }
    let verdicts = filters[target.at()].verdicts(facts);
    let of_filters = the_target.filters.iter().zip(verdicts);
    rules.extend(of_filters.map(|(filter, (truth, saw))| Judged { rule: filter.to_string(), truth, saw }));
    rules
}
