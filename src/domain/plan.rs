//! The plan (ring tree) as data: nodes and what each does with its members.
//!
//! How a call walks a plan is in `routing::ring_tree`; this file only says what a plan is.

use std::collections::BTreeSet;
use std::time::Duration;

use super::caller::Address;
use super::catalog::TargetIx;
use super::filter::Filter;
use super::id::{GroupId, PlanId};
use super::money::Money;
use super::schedule::{Hours, Zone};

/// A named plan. Whatever its nodes do, every way through it ends with an action: a terminal node's, or its own.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name in the catalog.
    pub id: PlanId,
    /// The root of the tree.
    pub root: Node,
    /// What happens when nobody takes the call and no terminal node ended its way. A plan of which every way ends in a
    /// terminal node never comes to it.
    pub terminal: Terminal,
}

/// One node of a plan.
#[derive(Clone, Debug)]
pub enum Node {
    /// Children in the order written.
    Sequential(Vec<Node>),
    /// Children in an order drawn by weight, anew for each call.
    Weighted(Vec<(u32, Node)>),
    /// All members at once, endpoints by bid and static members at their fixed price; best first.
    Auction(AuctionNode),
    /// The first branch that the call may take; the others are as if they were not there.
    FirstMatch(Vec<Branch>),
    /// One static target.
    Target(TargetIx),
    /// Static targets that ring at once; one of them takes the call.
    Simultaneous(SimultaneousNode),
    /// Children in the order written, from another one on for each call.
    RoundRobin(RoundRobin),
    /// A node with limits of its own, or by a name of its own.
    Scope(Box<Scope>),
    /// The way through the plan ends here, with this action.
    Terminal(Terminal),
}

/// Children that take turns at coming first; after the last comes the first again.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    /// Its number among those of the plan, in the order written.
    pub number: usize,
    /// Who takes turns.
    pub children: Vec<Node>,
}

/// What holds for a node and all that is below it.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The group it is.
    pub group: Option<GroupId>,
    /// Longest that a target rings.
    pub ring: Option<Duration>,
    /// When it is there; at other times it is as if it were not. Always without.
    pub hours: Option<(Hours, Zone)>,
    /// The node.
    pub node: Node,
}

/// One branch of a node that chooses.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Its number among the branches of the plan, in the order written.
    pub number: usize,
    /// All of them must hold; none at all is every call.
    pub when: Vec<Filter>,
    /// What is done then.
    pub node: Node,
}

/// The members and rules of one auction.
#[derive(Clone, Debug)]
pub struct AuctionNode {
    /// Targets that take part.
    pub members: Vec<TargetIx>,
    /// Lowest price this node accepts, beside the campaign's and the target's own floors.
    pub floor: Money,
    /// A bid that reaches this competes with the highest tier, whatever its own.
    pub takeover: Option<Money>,
    /// It closes so long after its opening, if the campaign's deadline does not come first.
    pub timeout: Option<Duration>,
}

/// Targets that ring at once.
#[derive(Clone, Debug)]
pub struct SimultaneousNode {
    /// Who rings, in the order in which capacity is held.
    pub members: Vec<TargetIx>,
    /// Whoever picks up takes the call only by pressing a digit, so that no voicemail does.
    pub screen: bool,
}

impl Node {
    /// The nodes right below it, in the order written.
    pub fn children(&self) -> Vec<&Node> {
        match self {
            Node::Sequential(children) => children.iter().collect(),
            Node::RoundRobin(round_robin) => round_robin.children.iter().collect(),
            Node::Weighted(children) => children.iter().map(|(_, child)| child).collect(),
            Node::FirstMatch(branches) => branches.iter().map(|branch| &branch.node).collect(),
            Node::Scope(scope) => vec![&scope.node],
            Node::Auction(_) | Node::Simultaneous(_) | Node::Target(_) | Node::Terminal(_) => Vec::new(),
        }
    }

    /// Whether every call that comes to it ends its way there, if nobody takes it.
    pub fn ends(&self) -> bool {
        match self {
            Node::Terminal(_) => true,
            Node::Auction(_) | Node::Simultaneous(_) | Node::Target(_) => false,
            // All children are walked, in whatever order.
            Node::Sequential(_) | Node::Weighted(_) | Node::RoundRobin(_) => {
                self.children().into_iter().any(Node::ends)
            }
            Node::FirstMatch(branches) => {
                branches.last().is_some_and(|last| last.when.is_empty())
                    && branches.iter().all(|branch| branch.node.ends())
            }
            Node::Scope(scope) => scope.hours.is_none() && scope.node.ends(),
        }
    }

    /// Numbers branches and round robins anew, in the order written.
    pub fn number(&mut self) {
        self.number_from(&mut 0, &mut 0);
    }

    fn number_from(&mut self, branches: &mut usize, round_robins: &mut usize) {
        match self {
            Node::Sequential(children) => {
                children.iter_mut().for_each(|child| child.number_from(branches, round_robins));
            }
            Node::Weighted(children) => {
                children.iter_mut().for_each(|(_, child)| child.number_from(branches, round_robins));
            }
            Node::RoundRobin(round_robin) => {
                round_robin.number = *round_robins;
                *round_robins += 1;
                let children = round_robin.children.iter_mut();
                children.for_each(|child| child.number_from(branches, round_robins));
            }
            Node::FirstMatch(all) => {
                for branch in all {
                    branch.number = *branches;
                    *branches += 1;
                    branch.node.number_from(branches, round_robins);
                }
            }
            Node::Scope(scope) => scope.node.number_from(branches, round_robins),
            Node::Auction(_) | Node::Simultaneous(_) | Node::Target(_) | Node::Terminal(_) => {}
        }
    }

    /// Every target of the subtree, in the order written; one that stands in several branches of a choice comes once.
    pub fn targets(&self, into: &mut Vec<TargetIx>) {
        match self {
            Node::Sequential(children) => children.iter().for_each(|child| child.targets(into)),
            Node::Weighted(children) => children.iter().for_each(|(_, child)| child.targets(into)),
            Node::Auction(auction) => into.extend(&auction.members),
            Node::Target(target) => into.push(*target),
            Node::RoundRobin(round_robin) => {
                round_robin.children.iter().for_each(|child| child.targets(into))
            }
            Node::Simultaneous(node) => into.extend(&node.members),
            Node::Scope(scope) => scope.node.targets(into),
            Node::Terminal(_) => {}
            Node::FirstMatch(branches) => {
                let mut found = Vec::new();
                branches.iter().for_each(|branch| branch.node.targets(&mut found));
                let mut seen = BTreeSet::new();
                into.extend(found.into_iter().filter(|target| seen.insert(*target)));
            }
        }
    }

    /// Every branch of the subtree, in the order of their numbers.
    pub fn branches<'a>(&'a self, into: &mut Vec<&'a Branch>) {
        match self {
            Node::FirstMatch(branches) => {
                for branch in branches {
                    into.push(branch);
                    branch.node.branches(into);
                }
            }
            Node::Sequential(children) => children.iter().for_each(|child| child.branches(into)),
            Node::Weighted(children) => children.iter().for_each(|(_, child)| child.branches(into)),
            Node::RoundRobin(round_robin) => {
                round_robin.children.iter().for_each(|child| child.branches(into));
            }
            Node::Scope(scope) => scope.node.branches(into),
            Node::Auction(_) | Node::Simultaneous(_) | Node::Target(_) | Node::Terminal(_) => {}
        }
    }
}

/// What happens to a call that nobody takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// Dial this address; nobody is billed.
    Dial(Address),
    /// Let the caller leave a message after the greeting.
    Voicemail(String),
    /// Say this, then hang up.
    Message(String),
    /// Hang up with this cause.
    Hangup(HangupCause),
}

/// Causes a carrier is told to hang up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangupCause {
    /// User busy.
    Busy,
    /// Call rejected.
    Rejected,
    /// Unallocated number.
    Unallocated,
    /// Network congestion.
    Congestion,
    /// Normal clearing.
    Normal,
}

impl HangupCause {
    /// All causes.
    pub const ALL: [HangupCause; 5] = [
        HangupCause::Busy,
        HangupCause::Rejected,
        HangupCause::Unallocated,
        HangupCause::Congestion,
        HangupCause::Normal,
    ];

    /// The word of the carrier contract and the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            HangupCause::Busy => "busy",
            HangupCause::Rejected => "rejected",
            HangupCause::Unallocated => "unallocated",
            HangupCause::Congestion => "congestion",
            HangupCause::Normal => "normal",
        }
    }
}
