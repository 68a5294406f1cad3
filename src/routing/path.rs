//! The path from a plan's root to each of its targets: the branches it stands in and the hours of the nodes around it, each
//! with what it says of a call. For whoever asks why; calls are led by `ring_tree`.

use std::collections::BTreeMap;

use super::{Judged, Truth};
use crate::domain::plan::{Branch, Scope};
use crate::domain::{Node, TargetIx, Timestamp};

/// What the conditions of a branch say, and the values they saw.
pub type Met<'a> = dyn Fn(&Branch) -> (Truth, String) + 'a;

/// Every rule on the path to each target, in order, up to the first that does not hold. Of a target that stands in several
/// branches, the path to the place where the call came to it, else to the first place. Targets without any are left out.
pub fn judge_paths(root: &Node, now: Timestamp, met: &Met<'_>) -> BTreeMap<TargetIx, Vec<Judged>> {
    let mut paths = Paths { now, met, found: BTreeMap::new() };
    paths.node(root, &mut Vec::new());
    paths.found
}

struct Paths<'a> {
    now: Timestamp,
    met: &'a Met<'a>,
    found: BTreeMap<TargetIx, Vec<Judged>>,
}

impl Paths<'_> {
    fn node(&mut self, node: &Node, before: &mut Vec<Judged>) {
        match node {
            Node::FirstMatch(branches) => self.branches(branches, before),
            Node::Scope(scope) => self.scope(scope, before),
            Node::Target(_) | Node::Auction(_) | Node::Simultaneous(_) => self.stand(node, before, true),
            Node::Sequential(_) | Node::Weighted(_) | Node::RoundRobin(_) | Node::Terminal(_) => {
                node.children().into_iter().for_each(|child| self.node(child, before));
            }
        }
    }

    fn branches(&mut self, branches: &[Branch], before: &mut Vec<Judged>) {
        let said: Vec<(Truth, String)> = branches.iter().map(|branch| (self.met)(branch)).collect();
        let taken = said.iter().position(|(truth, _)| *truth == Truth::Yes);
        for (at, (branch, (truth, saw))) in branches.iter().zip(&said).enumerate() {
            let conditions: Vec<String> = branch.when.iter().map(ToString::to_string).collect();
            let asks = if conditions.is_empty() { "every call".to_owned() } else { conditions.join(", ") };
            let (truth, saw) = match taken.filter(|taken| *taken < at) {
                Some(earlier) => (Truth::No, format!("branch {}: {}", earlier + 1, said[earlier].1)),
                None => (*truth, saw.clone()),
            };
            before.push(Judged { rule: format!("branch {} takes the call: {asks}", at + 1), truth, saw });
            match truth {
                Truth::Yes => self.node(&branch.node, before),
                Truth::No | Truth::Strange => self.stand(&branch.node, before, false),
            }
            before.pop();
        }
    }

    fn scope(&mut self, scope: &Scope, before: &mut Vec<Judged>) {
        let Some((hours, zone)) = &scope.hours else { return self.node(&scope.node, before) };
        let is_open = hours.is_open(zone, self.now);
        before.push(Judged {
            rule: format!("node is open {hours} in {zone}"),
            truth: is_open.into(),
            saw: zone.wall_clock(self.now),
        });
        if is_open {
            self.node(&scope.node, before);
        } else {
            self.stand(&scope.node, before, false);
        }
        before.pop();
    }

    /// All targets of the subtree stand behind these.
    fn stand(&mut self, node: &Node, path: &[Judged], is_met: bool) {
        if path.is_empty() {
            return;
        }
        let mut targets = Vec::new();
        node.targets(&mut targets);
        for target in targets {
            if is_met || !self.found.contains_key(&target) {
                self.found.insert(target, path.to_vec());
            }
        }
    }
}
