//! How a call walks a plan: the tree unrolled into steps, with its weighted draws made and its turns taken.
//!
//! Which step is taken depends on bids, holds and what happened to earlier attempts; that is decided elsewhere. The
//! same plan, seed, time, branches and turns always give the same walk.

use std::time::Duration;

use crate::domain::draw::Draw;
use crate::domain::plan::{AuctionNode, Branch, RoundRobin, SimultaneousNode};
use crate::domain::{Node, Plan, Reason, TargetIx, Terminal, Timestamp, Zone};

/// One step of a walk. After the last comes the action that ends it.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Ask these at once and take the best.
    Auction(&'a AuctionNode),
    /// Offer the call to this static target.
    Dial(TargetIx),
    /// Ring these static targets at once.
    Together(&'a SimultaneousNode),
}

impl<'a> Step<'a> {
    /// The targets it asks or dials.
    pub fn targets(&self) -> &[TargetIx] {
        match self {
            Step::Auction(auction) => &auction.members,
            Step::Dial(target) => std::slice::from_ref(target),
            Step::Together(node) => &node.members,
        }
    }

    /// The step that a single node is; `None` for nodes with an order of their own.
    pub fn of(node: &'a Node) -> Option<Step<'a>> {
        match node {
            Node::Auction(auction) => Some(Step::Auction(auction)),
            Node::Target(target) => Some(Step::Dial(*target)),
            Node::Simultaneous(node) => Some(Step::Together(node)),
            Node::Sequential(_)
            | Node::Weighted(_)
            | Node::FirstMatch(_)
            | Node::RoundRobin(_)
            | Node::Scope(_)
            | Node::Terminal(_) => None,
        }
    }
}

/// What a walk depends on beside the plan.
pub struct Given<'g> {
    /// Seed of its draws.
    pub seed: u64,
    /// The time of the decision.
    pub now: Timestamp,
    /// Whether the call may take a branch.
    pub may_take: &'g dyn Fn(&Branch) -> bool,
    /// How many calls came to this node before. Asked once for each that the walk comes to.
    pub turn: &'g mut dyn FnMut(&RoundRobin) -> u64,
}

/// The child that had its turn at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The node, by its number among the round robins of the plan.
    pub node: u32,
    /// The place of the child that came first, from 0. Given as the turn of the node it leads to the same walk.
    pub first: u32,
}

/// A target that the walk does not come to, and why.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// Which.
    pub target: TargetIx,
    /// Why.
    pub reason: Reason,
    /// The zone of the hours that decided.
    pub zone: Option<&'a Zone>,
}

/// A plan as one call walks it.
#[derive(Debug)]
pub struct Walk<'a> {
    /// Its steps.
    pub steps: Vec<Step<'a>>,
    /// What happens after them: what the terminal node says that ended the walk, or else the plan.
    pub end: &'a Terminal,
    /// Targets it leaves out, each for the first reason that was found. One of a choice may be among the steps all the same.
    pub left: Vec<Left<'a>>,
    /// Targets that ring no longer than this by their place in the plan.
    pub rings: Vec<(TargetIx, Duration)>,
    /// Who had their turn.
    pub turns: Vec<Turn>,
}

/// The walk of the plan.
pub fn walk<'a>(plan: &'a Plan, given: Given<'_>) -> Walk<'a> {
    let walk = Walk {
        steps: Vec::new(),
        end: &plan.terminal,
        left: Vec::new(),
        rings: Vec::new(),
        turns: Vec::new(),
    };
    let draw = Draw::new(given.seed);
    let mut unrolling = Unrolling { walk, given, draw, ring: None, has_ended: false };
    unrolling.node(&plan.root);
    unrolling.walk
}

struct Unrolling<'a, 'g> {
    walk: Walk<'a>,
    given: Given<'g>,
    draw: Draw,
    /// Longest that targets ring here.
    ring: Option<Duration>,
    /// A terminal node was come to.
    has_ended: bool,
}

impl<'a> Unrolling<'a, '_> {
    fn node(&mut self, node: &'a Node) {
        if self.has_ended {
            return self.leave(node, Reason::PlanEnded, None);
        }
        match node {
            Node::Sequential(children) => children.iter().for_each(|child| self.node(child)),
            Node::Weighted(children) => {
                let weights: Vec<u32> = children.iter().map(|(weight, _)| *weight).collect();
                for at in self.draw.weighted_order(&weights) {
                    self.node(&children[at].1);
                }
            }
            Node::RoundRobin(round_robin) => self.in_turn(round_robin),
            Node::FirstMatch(branches) => {
                let taken = branches.iter().position(|branch| (self.given.may_take)(branch));
                if let Some(taken) = taken {
                    self.node(&branches[taken].node);
                }
                let others = branches.iter().enumerate().filter(|(at, _)| Some(*at) != taken);
                others.for_each(|(_, branch)| self.leave(&branch.node, Reason::Branch, None));
            }
            Node::Auction(auction) => self.step(Step::Auction(auction)),
            Node::Target(target) => self.step(Step::Dial(*target)),
            Node::Simultaneous(node) => self.step(Step::Together(node)),
            Node::Scope(scope) => {
                if let Some((hours, zone)) = &scope.hours
                    && !hours.is_open(zone, self.given.now)
                {
                    return self.leave(&scope.node, Reason::NodeClosed, Some(zone));
                }
                let outer = self.ring;
                self.ring = [outer, scope.ring].into_iter().flatten().min();
                self.node(&scope.node);
                self.ring = outer;
            }
            Node::Terminal(terminal) => {
                self.walk.end = terminal;
                self.has_ended = true;
            }
        }
    }

    fn in_turn(&mut self, round_robin: &'a RoundRobin) {
        let children = &round_robin.children;
        if children.is_empty() {
            return;
        }
        let first = ((self.given.turn)(round_robin) % children.len() as u64) as usize;
        self.walk.turns.push(Turn { node: round_robin.number as u32, first: first as u32 });
        let (later, sooner) = children.split_at(first);
        sooner.iter().chain(later).for_each(|child| self.node(child));
    }

    fn step(&mut self, step: Step<'a>) {
        if let Some(ring) = self.ring {
            self.walk.rings.extend(step.targets().iter().map(|target| (*target, ring)));
        }
        self.walk.steps.push(step);
    }

    fn leave(&mut self, node: &Node, reason: Reason, zone: Option<&'a Zone>) {
        let mut targets = Vec::new();
        node.targets(&mut targets);
        self.walk.left.extend(targets.into_iter().map(|target| Left { target, reason, zone }));
    }
}
