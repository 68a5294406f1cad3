//! Hours that never meet, so that a target is never open: its own, its buyer's, those its filters ask for and those of
//! the nodes it stands in. Nodes within nodes are looked at where they are read, in `plan`.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::all_of;
use super::entries::Entries;
use super::problem::Problem;
use crate::domain::filter::Filter;
use crate::domain::{Buyer, Catalog, Hours, Node, Target, TargetIx, Zone};

/// Hours that filters ask for, with the zone that they name.
pub(super) fn asked(filters: &[Filter]) -> impl Iterator<Item = (&Hours, Option<&Zone>)> {
    filters.iter().flat_map(all_of).filter_map(|filter| match filter {
        Filter::Hours(hours, zone) => Some((hours, zone.as_ref())),
        _ => None,
    })
}

/// A target is open when its buyer is too and its filters let calls pass: where that never is, nobody meant it.
pub(super) fn refuse_never_open(catalog: &Catalog, entries: &Entries<'_>) {
    for (target, (_, field)) in catalog.targets.iter().zip(entries.targets.iter()) {
        let buyer = catalog.buyer(target.buyer);
        if let (Some(own), Some(buyers)) = (&target.hours, &buyer.hours)
            && !own.meets(buyers)
        {
            let what =
                format!("is never open: its hours are {own}, and those of buyer {} are {buyers}", buyer.id);
            field.wrong(what, "hours that lie within the buyer's for some time, or `paused = true`");
            continue;
        }
        let shut = asked(&target.filters).find_map(|(hours, zone)| {
            let zone = zone.unwrap_or(&buyer.zone);
            Some((hours, zone, shut_at(target, buyer, hours, zone)?))
        });
        if let Some((hours, zone, theirs)) = shut {
            let what = format!("is never open: a filter asks for {hours} in {zone}, and {theirs}");
            field.wrong(what, "filters whose hours lie within the others for some time, or `paused = true`");
        }
    }
}

/// Which hours of a target or its buyer never meet these.
fn shut_at(target: &Target, buyer: &Buyer, hours: &Hours, zone: &Zone) -> Option<String> {
    let never = |own: &&Hours| !own.meets_in(&buyer.zone, hours, zone);
    let own = target.hours.as_ref().filter(never);
    let own = own.map(|own| format!("its hours are {own} in {}", buyer.zone));
    let buyers = || {
        let hours = buyer.hours.as_ref().filter(never)?;
        Some(format!("those of buyer {} are {hours} in {}", buyer.id, buyer.zone))
    };
    own.or_else(buyers)
}

/// Targets that are closed whenever the nodes of plans that they stand in are there.
pub(super) fn never_met(catalog: &Catalog, entries: &Entries<'_>, into: &mut Vec<Problem>) {
    let mut places = Places { catalog, open: BTreeSet::new(), shut: BTreeMap::new() };
    for plan in &catalog.plans {
        places.look(&plan.root, &mut Vec::new());
    }
    let Places { open, shut, .. } = places;
    into.extend(shut.into_iter().filter(|(target, _)| !open.contains(target)).map(|(target, what)| {
        let allowed = "nodes and targets whose hours meet for some time";
        entries.targets.field(target.0).problem(what, allowed, None)
    }));
}

struct Places<'c> {
    catalog: &'c Catalog,
    /// Targets that stand somewhere where they may be open.
    open: BTreeSet<TargetIx>,
    /// What is said of those that stand where they never are.
    shut: BTreeMap<TargetIx, String>,
}

impl<'c> Places<'c> {
    /// `around` are the hours of the nodes and branches above.
    fn look(&mut self, node: &'c Node, around: &mut Vec<(&'c Hours, &'c Zone)>) {
        let before = around.len();
        match node {
            Node::Scope(scope) => {
                around.extend(scope.hours.as_ref().map(|(hours, zone)| (hours, zone)));
                self.look(&scope.node, around);
            }
            Node::FirstMatch(branches) => {
                for branch in branches {
                    around.extend(asked(&branch.when).filter_map(|(hours, zone)| Some((hours, zone?))));
                    self.look(&branch.node, around);
                    around.truncate(before);
                }
            }
            Node::Target(_) | Node::Auction(_) | Node::Simultaneous(_) => {
                let mut targets = Vec::new();
                node.targets(&mut targets);
                targets.into_iter().for_each(|target| self.stands(target, around));
            }
            Node::Sequential(_) | Node::Weighted(_) | Node::RoundRobin(_) | Node::Terminal(_) => {
                node.children().into_iter().for_each(|child| self.look(child, around));
            }
        }
        around.truncate(before);
    }

    fn stands(&mut self, ix: TargetIx, around: &[(&Hours, &Zone)]) {
        if self.open.contains(&ix) {
            return;
        }
        let target = self.catalog.target(ix);
        let buyer = self.catalog.buyer(target.buyer);
        let shut = around.iter().find_map(|(hours, zone)| {
            let theirs = shut_at(target, buyer, hours, zone)?;
            Some(format!("is never open where it stands: there calls come {hours} in {zone}, and {theirs}"))
        });
        match shut {
            Some(what) => drop(self.shut.entry(ix).or_insert(what)),
            None => drop(self.open.insert(ix)),
        }
    }
}
