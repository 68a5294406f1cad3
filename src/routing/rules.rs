//! The rules by which a target is refused, passed over or beaten, in the order in which they are held against a call:
//! what each asks, of what, and where it is configured. `docs/rules.md` is made of it.
//!
//! Descriptions only: what a rule does is in the engine that its phase names. Each has an example that is carried out by a
//! test. A new rule is a row here; a test names the reasons that have none.

use crate::domain::Reason;

/// When a rule is held against a call, and what deciding a recorded call anew does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Of the whole call, before any target is looked at. Decided anew.
    Call,
    /// The walk of the plan. Decided anew.
    Plan,
    /// What the catalog says of a target, and what is known of the call. Decided anew, but for facts that are not kept.
    Screen,
    /// Capacity, and whatever else only the running exchange knew. Taken from the record.
    Capacity,
    /// Whether a bidder can be asked. Taken from the record.
    Ask,
    /// What the bidder answered. Taken from the record.
    Reply,
    /// Whether a price may be handed out. Decided anew.
    Price,
    /// Who comes first. Decided anew.
    Rank,
    /// Whether the one who came first can be handed the call. Taken from the record.
    Hold,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Phase; 9] = [
        Phase::Call,
        Phase::Plan,
        Phase::Screen,
        Phase::Capacity,
        Phase::Ask,
        Phase::Reply,
        Phase::Price,
        Phase::Rank,
        Phase::Hold,
    ];

    /// Its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Phase::Call => "The whole call",
            Phase::Plan => "The walk of the plan",
            Phase::Screen => "Screening",
            Phase::Capacity => "Capacity",
            Phase::Ask => "Whether a bidder is asked",
            Phase::Reply => "What a bidder answers",
            Phase::Price => "Whether a price may be handed out",
            Phase::Rank => "Who comes first",
            Phase::Hold => "Whether it can be handed out",
        }
    }

    /// Whether `outcry replay` decides it anew; else it takes the recorded verdict.
    pub const fn is_decided_anew(self) -> bool {
        matches!(self, Phase::Call | Phase::Plan | Phase::Screen | Phase::Price | Phase::Rank)
    }
}

/// What is noted of a target that was paused while its call was decided: by it the same reason, which is otherwise one of the
/// whole call or of screening, is known for one of the hold.
pub const PAUSED_SINCE: &str = "paused while the call was decided";

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// When it is asked. Rules of one phase stand in the order in which they are.
    pub phase: Phase,
    /// Its name.
    pub name: &'static str,
    /// What a target, or the call, is refused with.
    pub reason: Reason,
    /// What it asks.
    pub asks: &'static str,
    /// What it is measured in; empty where that says itself.
    pub unit: &'static str,
    /// Where it is configured; empty where it is not.
    pub configured: &'static str,
    /// One case of it.
    pub example: Example,
}

/// A case of a rule: what the catalog says, which call comes, what is known otherwise, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// Lines of a catalog, beside those that every example has.
    pub catalog: &'static str,
    /// The call, in the arguments of `outcry plan try`.
    pub call: &'static str,
    /// What the record says of targets, as far as that is not decided anew: target, then `bid 20.00` or a reason.
    pub recorded: &'static [(&'static str, &'static str)],
    /// Targets and what they end with.
    pub verdicts: &'static [(&'static str, Reason)],
}

/// The rules of a reason.
pub fn of(reason: Reason) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(move |rule| rule.reason == reason)
}

/// Whether this reason is one of this phase.
pub fn is_of(reason: Reason, phase: Phase) -> bool {
    of(reason).any(|rule| rule.phase == phase)
}

mod table;
pub use table::RULES;
