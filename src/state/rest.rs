//! What the next steps of a call are taken by: plain values with slugs, since a call never holds the catalog it was
//! decided by. Whether they still hold is asked of the catalog in force when a step is taken, in `exchange`.

use std::sync::Arc;
use std::time::Duration;

use crate::auction::rank::Ranked;
use crate::carrier::CarrierRequest;
use crate::domain::{BuyerId, Money, Payout, PlanId, TargetId, Terminal};

/// Bids kept for later attempts of one call; the lowest are let go.
pub const STANDING_MAX: usize = 16;

/// What is left of a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    /// What the carrier asked.
    pub request: Arc<CarrierRequest>,
    /// The plan that is walked.
    pub plan: PlanId,
    /// Its last action.
    pub terminal: Terminal,
    /// What the publisher was promised; `None` for calls to unknown numbers.
    pub payout: Option<Payout>,
    /// Seed of its draws.
    pub seed: u64,
    /// Offers that were beaten by the one handed out, best first.
    pub standing: Vec<Standing>,
    /// The rest of the walk, each step with its place in the whole one, which draws are seeded by.
    pub walk: Vec<(usize, Ahead)>,
    /// Targets that ring no longer than this by their place in the plan.
    pub rings: Vec<(TargetId, Duration)>,
}

/// An offer that lost and may still be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub target: TargetId,
    /// Who pays: the offer is nobody else's, whoever has the target later.
    pub buyer: BuyerId,
    /// Its terms, and its place in the order.
    pub ranked: Ranked,
    /// What an answer by it rests on: `auction` or `static`.
    pub basis: &'static str,
}

/// One step of a walk that was not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Offer the call to this static target.
    Dial(TargetId),
    /// Ask these at once. Boxed: of a long walk most steps are static targets.
    Auction(Box<AuctionAhead>),
    /// Ring these at once.
    Together(Box<TogetherAhead>),
}

/// Static targets that were not rung yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TogetherAhead {
    /// Who rings.
    pub members: Vec<TargetId>,
    /// Whoever picks up takes the call only by pressing a digit.
    pub screen: bool,
}

/// An auction that was not held yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuctionAhead {
    /// Who takes part.
    pub members: Vec<TargetId>,
    /// Lowest price it accepts.
    pub floor: Money,
    /// What competes with the highest tier.
    pub takeover: Option<Money>,
    /// How long after its opening it closes at the latest.
    pub timeout: Option<Duration>,
}
