//! How a call walks a plan: the tree unrolled into steps, with its weighted draws made.
//!
//! Which step is taken depends on bids, holds and what happened to earlier attempts; that is decided elsewhere. The
//! same plan and seed always give the same walk.

use crate::domain::draw::Draw;
use crate::domain::plan::AuctionNode;
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
    /// The step that a single node is; `None` for nodes with an order of their own.
    pub fn of(node: &'a Node) -> Option<Step<'a>> {
        match node {
            Node::Auction(auction) => Some(Step::Auction(auction)),
            Node::Target(target) => Some(Step::Dial(*target)),
            Node::Sequential(_) | Node::Weighted(_) => None,
        }
    }
}

/// The steps of the plan for this seed.
pub fn walk(plan: &Plan, seed: u64) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    unroll(&plan.root, &mut Draw::new(seed), &mut steps);
    steps
}

fn unroll<'a>(node: &'a Node, draw: &mut Draw, steps: &mut Vec<Step<'a>>) {
    match node {
        Node::Sequential(children) => children.iter().for_each(|child| unroll(child, draw, steps)),
        Node::Weighted(children) => {
            let weights: Vec<u32> = children.iter().map(|(weight, _)| *weight).collect();
            for at in draw.weighted_order(&weights) {
                unroll(&children[at].1, draw, steps);
            }
        }
        Node::Auction(auction) => steps.push(Step::Auction(auction)),
        Node::Target(target) => steps.push(Step::Dial(*target)),
    }
}
