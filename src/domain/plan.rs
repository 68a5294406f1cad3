//! The plan (ring tree) as data: nodes and what each does with its members.
//!
//! How a call walks a plan is in `routing::ring_tree`; this file only says what a plan is.

use std::collections::BTreeSet;

use super::caller::Address;
use super::catalog::TargetIx;
use super::filter::Filter;
use super::id::PlanId;
use super::money::Money;

/// A named plan. Whatever its nodes do, it ends with its terminal action.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name in the catalog.
    pub id: PlanId,
    /// The root of the tree.
    pub root: Node,
    /// What happens when nobody takes the call.
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
}

impl Node {
    /// Every target of the subtree, in the order written; one that stands in several branches of a choice comes once.
    pub fn targets(&self, into: &mut Vec<TargetIx>) {
        match self {
            Node::Sequential(children) => children.iter().for_each(|child| child.targets(into)),
            Node::Weighted(children) => children.iter().for_each(|(_, child)| child.targets(into)),
            Node::Auction(auction) => into.extend(&auction.members),
            Node::Target(target) => into.push(*target),
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
            Node::Sequential(children) => children.iter().for_each(|child| child.branches(into)),
            Node::Weighted(children) => children.iter().for_each(|(_, child)| child.branches(into)),
            Node::FirstMatch(branches) => {
                for branch in branches {
                    into.push(branch);
                    branch.node.branches(into);
                }
            }
            Node::Auction(_) | Node::Target(_) => {}
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
