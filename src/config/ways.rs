//! Ways through a plan: where one is left without a terminal action, and auctions that wait longer than they may.
//!
//! Looks at trees that were read; what is never reached is said where they are read, in `plan`.

use super::entries::Entries;
use super::problem::Problem;
use crate::domain::{Catalog, Node};

/// A way by which a call leaves the tree without having come to a terminal node, in words; `None` if there is none.
pub(super) fn open(node: &Node, path: &str) -> Option<String> {
    if node.ends() {
        return None;
    }
    match node {
        Node::Sequential(children) => {
            children.last().and_then(|last| open(last, &format!("{path}.sequential[{}]", children.len() - 1)))
        }
        Node::RoundRobin(all) => {
            let last = all.children.last()?;
            open(last, &format!("{path}.round_robin[{}]", all.children.len() - 1))
        }
        Node::Weighted(children) => {
            let (_, last) = children.last()?;
            open(last, &format!("{path}.weighted[{}].node", children.len() - 1))
        }
        Node::FirstMatch(branches) => {
            let mut ways = branches.iter().enumerate();
            let way = ways.find_map(|(at, one)| open(&one.node, &format!("{path}.first_match[{at}].node")));
            Some(way.unwrap_or_else(|| format!("no branch of {path} takes the call")))
        }
        Node::Scope(scope) => {
            let path = match &scope.group {
                Some(group) => format!("{path} (group {group})"),
                None => path.to_owned(),
            };
            Some(open(&scope.node, &path).unwrap_or_else(|| format!("{path} is closed")))
        }
        Node::Auction(_) | Node::Simultaneous(_) | Node::Target(_) | Node::Terminal(_) => {
            Some(format!("nobody takes the call at {path}"))
        }
    }
}

/// Auctions that would wait longer than the campaign lets them: the deadline comes first.
pub(super) fn late_timeouts(catalog: &Catalog, entries: &Entries<'_>, into: &mut Vec<Problem>) {
    for (campaign, (_, field)) in catalog.campaigns.iter().zip(entries.campaigns.iter()) {
        let late = campaign.plans().find_map(|plan| {
            let plan = catalog.plan(plan);
            Some((plan, longest(&plan.root).filter(|timeout| *timeout > campaign.deadline)?))
        });
        let Some((plan, timeout)) = late else { continue };
        let what = format!(
            "has a deadline_ms of {}, before the timeout_ms of {} of an auction in plan {}: the deadline counts",
            campaign.deadline.as_millis(),
            timeout.as_millis(),
            plan.id
        );
        into.push(field.problem(what, "", None));
    }
}

fn longest(node: &Node) -> Option<std::time::Duration> {
    let own = if let Node::Auction(auction) = node { auction.timeout } else { None };
    node.children().into_iter().filter_map(longest).chain(own).max()
}
