//! Plans: the tree of `root`, and what happens when nobody takes the call.
//!
//! A tree is checked as a whole: its depth, that no target stands in it twice, and that only auctions ask endpoints.

use std::collections::BTreeMap;

use super::entries::Entries;
use super::file::{Field, Reader};
use super::filter::conditions;
use super::numbers::Numbers;
use super::values::address;
use crate::domain::plan::{AuctionNode, Branch};
use crate::domain::{HangupCause, Money, Node, Plan, PlanId, TargetIx, Terminal};

/// Deepest tree, a root without children being 1 deep.
pub(super) const DEPTH_MAX: usize = 8;
/// Longest text a caller hears, in bytes.
pub(super) const TERMINAL_TEXT_MAX: usize = 500;
/// Highest weight.
pub(super) const WEIGHT_MAX: u64 = 1_000_000;

const NODE: &str = "\"target-id\", {sequential = […]}, {weighted = [{weight = 3, node = …}]}, {first_match = [{when = […], node = …}]} or {auction = […]}";
const TERMINAL: &str = "one of dial = \"+1…\", voicemail = \"text\", message = \"text\", hangup = \"busy\"";

/// Reads one plan.
pub(super) fn read(
    id: &str,
    field: &Field<'_>,
    entries: &Entries<'_>,
    numbers: &Numbers<'_>,
) -> Option<Plan> {
    field.table("a table", |r| {
        let root = r.field("root");
        let mut tree = Tree { entries, places: BTreeMap::new(), branches: 0 };
        // No root is a plan that goes straight to its terminal action.
        let root = if root.is_set() { tree.node(&root, 1) } else { Some(Node::Sequential(Vec::new())) };
        let terminal = r.field("terminal").required().table(TERMINAL, |r| terminal(r, numbers));
        Some(Plan { id: PlanId::parse(id).ok()?, root: root?, terminal: terminal.flatten()? })
    })?
}

struct Tree<'e, 'a> {
    entries: &'e Entries<'a>,
    /// Where each target of this plan stands.
    places: BTreeMap<u32, String>,
    /// Branches read so far.
    branches: usize,
}

impl Tree<'_, '_> {
    fn node(&mut self, field: &Field<'_>, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            field.wrong(format!("is nested {depth} deep"), &format!("at most {DEPTH_MAX}"));
            return None;
        }
        if field.raw().is_some_and(|value| value.is_table()) {
            return field.table(NODE, |r| self.strategy(r, depth))?;
        }
        field.text(NODE)?;
        self.leaf(field)
    }

    fn leaf(&mut self, field: &Field<'_>) -> Option<Node> {
        let target = self.target(field)?;
        let entry = self.entries.targets.field(target.0);
        if entry.has("endpoint") && !entry.has("price") && !entry.has("bids") {
            let allowed = "targets with a `price` or a table of `bids`; those with an `endpoint` take part in {auction = […]}";
            field.wrong("has no fixed price: it bids, and nobody asks for bids here", allowed);
            return None;
        }
        Some(Node::Target(target))
    }

    fn target(&mut self, field: &Field<'_>) -> Option<TargetIx> {
        let target = self.entries.targets.named_by(field)?;
        if let Some(place) = self.places.get(&target) {
            field.wrong(format!("stands twice in this plan: also at {place}"), "each target once per plan");
            return None;
        }
        self.places.insert(target, field.place());
        Some(TargetIx(target))
    }

    fn strategy(&mut self, r: &Reader<'_>, depth: usize) -> Option<Node> {
        let (sequential, weighted) = (r.field("sequential"), r.field("weighted"));
        let (first_match, auction) = (r.field("first_match"), r.field("auction"));
        match (sequential.is_set(), weighted.is_set(), first_match.is_set(), auction.is_set()) {
            (true, false, false, false) => {
                let children = children(&sequential, "a list of nodes");
                Some(Node::Sequential(children.iter().filter_map(|f| self.node(f, depth + 1)).collect()))
            }
            (false, true, false, false) => {
                let children = children(&weighted, "a list of {weight = 3, node = …}");
                Some(Node::Weighted(children.iter().filter_map(|f| self.weighted(f, depth)).collect()))
            }
            (false, false, true, false) => {
                let branches = children(&first_match, "a list of {when = […], node = …}");
                Some(Node::FirstMatch(self.branches(&branches, depth)))
            }
            (false, false, false, true) => {
                let members = children(&auction, "a list of targets");
                let members = members.iter().filter_map(|f| self.target(f)).collect();
                let floor = r.field("floor").money().unwrap_or(Money::ZERO);
                Some(Node::Auction(AuctionNode { members, floor, takeover: r.field("takeover").price() }))
            }
            (false, false, false, false) => {
                sequential.missing(NODE);
                None
            }
            _ => {
                r.wrong("is more than one kind of node", NODE);
                None
            }
        }
    }

    /// Only one branch is taken, so a target may stand in several.
    fn branches(&mut self, fields: &[Field<'_>], depth: usize) -> Vec<Branch> {
        let before = self.places.clone();
        let mut all = before.clone();
        let mut branches = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            self.places = before.clone();
            let branch = self.branch(field, depth);
            all.append(&mut self.places);
            let takes_all = branch.as_ref().is_some_and(|branch| branch.when.is_empty());
            branches.extend(branch);
            if takes_all && at + 1 < fields.len() {
                fields[at + 1].wrong(
                    "is never reached: the branch before takes every call",
                    "the one without `when` last",
                );
            }
        }
        self.places = all;
        branches
    }

    fn branch(&mut self, field: &Field<'_>, depth: usize) -> Option<Branch> {
        field.table("{when = […], node = …}", |r| {
            let number = self.branches;
            self.branches += 1;
            let when = r.field("when");
            let has_when = when.is_set();
            let when = conditions(&when, self.entries);
            let node = r.field("node");
            if !node.is_set() {
                node.missing(NODE);
            }
            let node = node.is_set().then(|| self.node(&node, depth + 1)).flatten();
            // What is left of faulty conditions would take other calls.
            (!has_when || !when.is_empty()).then_some(Branch { number, when, node: node? })
        })?
    }

    fn weighted(&mut self, field: &Field<'_>, depth: usize) -> Option<(u32, Node)> {
        field.table("{weight = 3, node = …}", |r| {
            let weight = r.field("weight").required().whole(0..=WEIGHT_MAX);
            let node = r.field("node");
            if !node.is_set() {
                node.missing(NODE);
            }
            let node = node.is_set().then(|| self.node(&node, depth + 1)).flatten();
            Some((weight?, node?))
        })?
    }
}

/// The elements of a list that must not be empty.
fn children<'a>(field: &Field<'a>, allowed: &str) -> Vec<Field<'a>> {
    let children = field.list(allowed);
    if field.raw().and_then(|value| value.as_array()).is_some_and(|list| list.is_empty()) {
        field.wrong("is empty", allowed);
    }
    children
}

fn terminal(r: &Reader<'_>, numbers: &Numbers<'_>) -> Option<Terminal> {
    let (dial, hangup) = (r.field("dial"), r.field("hangup"));
    let (voicemail, message) = (r.field("voicemail"), r.field("message"));
    let causes = HangupCause::ALL.map(|cause| (cause.as_str(), cause));
    match [&dial, &voicemail, &message, &hangup].map(|field| field.is_set()) {
        [true, false, false, false] => {
            let address = address(&dial)?;
            numbers.refuse_loop(&address, &dial);
            Some(Terminal::Dial(address))
        }
        [false, true, false, false] => voicemail.label(TERMINAL_TEXT_MAX).map(Terminal::Voicemail),
        [false, false, true, false] => message.label(TERMINAL_TEXT_MAX).map(Terminal::Message),
        [false, false, false, true] => hangup.choice(&causes).map(Terminal::Hangup),
        [false, false, false, false] => {
            hangup.missing(TERMINAL);
            None
        }
        [true, ..] | [_, true, ..] | [_, _, true, _] => {
            r.wrong("is more than one action", TERMINAL);
            None
        }
    }
}
