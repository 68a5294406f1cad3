//! How a call walks a plan: the tree unrolled into steps, with its weighted draws made.
//!
//! Which step is taken depends on bids, holds and what happened to earlier attempts; that is decided elsewhere. The
//! same plan and seed always give the same walk.

use crate::domain::draw::Draw;
use crate::domain::plan::{AuctionNode, Branch};
use crate::domain::{Node, Plan, TargetIx};

/// One step of a walk. After the last comes the plan's terminal action.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Ask these at once and take the best.
    Auction(&'a AuctionNode),
    /// Offer the call to this static target.
    Dial(TargetIx),
}

impl<'a> Step<'a> {
    /// The targets it asks or dials.
    pub fn targets(&self) -> &[TargetIx] {
        match self {
            Step::Auction(auction) => &auction.members,
            Step::Dial(target) => std::slice::from_ref(target),
        }
    }

    /// The step that a single node is; `None` for nodes with an order of their own.
    pub fn of(node: &'a Node) -> Option<Step<'a>> {
        match node {
            Node::Auction(auction) => Some(Step::Auction(auction)),
            Node::Target(target) => Some(Step::Dial(*target)),
            Node::Sequential(_) | Node::Weighted(_) | Node::FirstMatch(_) => None,
        }
    }
}

/// The steps of the plan for this seed and for a call that may take the branches of which `may_take` says so, by number.
pub fn walk<'a>(plan: &'a Plan, seed: u64, may_take: &dyn Fn(&Branch) -> bool) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    unroll(&plan.root, &mut Draw::new(seed), may_take, &mut steps);
    steps
}

fn unroll<'a>(
    node: &'a Node,
    draw: &mut Draw,
    may_take: &dyn Fn(&Branch) -> bool,
    steps: &mut Vec<Step<'a>>,
) {
    match node {
        Node::Sequential(children) => {
            children.iter().for_each(|child| unroll(child, draw, may_take, steps));
        }
        Node::Weighted(children) => {
            let weights: Vec<u32> = children.iter().map(|(weight, _)| *weight).collect();
            for at in draw.weighted_order(&weights) {
                unroll(&children[at].1, draw, may_take, steps);
            }
        }
        Node::FirstMatch(branches) => {
            if let Some(branch) = branches.iter().find(|branch| may_take(branch)) {
                unroll(&branch.node, draw, may_take, steps);
            }
        }
        Node::Auction(auction) => steps.push(Step::Auction(auction)),
        Node::Target(target) => steps.push(Step::Dial(*target)),
    }
}
