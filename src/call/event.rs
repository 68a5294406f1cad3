//! What carriers report about a call, and what follows from it.

use crate::domain::{AttemptEnd, Cause, EndedBy, Timestamp};

/// One report. `at` is the carrier's time: durations come from it, windows never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEvent {
    /// The attempt it is about; `None` for events of the caller's leg.
    pub attempt: Option<u32>,
    /// The carrier's time.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The target rings.
    Ringing,
    /// The target's leg was answered, perhaps by a whisper.
    Answered,
    /// Target and caller were connected: talk time starts.
    Bridged,
    /// The target's leg is over.
    Ended {
        /// Why.
        cause: Cause,
        /// Whose doing.
        ended_by: EndedBy,
        /// The carrier's own figure for the talk.
        talk_ms: Option<u64>,
    },
    /// The target's leg is over, by a report that is not the last word on it: one that says who ended it and how long
    /// they talked may follow.
    LegOver {
        /// Why.
        cause: Cause,
    },
    /// The caller's call is over.
    CallEnded {
        /// Why.
        cause: Cause,
        /// Whose doing.
        ended_by: EndedBy,
    },
    /// The buyer does not want the call it was given; `at` is our time. It still has to let go of the caller.
    HandedBack,
    /// Something the machine has no use for: kept in the records only.
    Noted,
}

/// What the exchange has to do; run in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The leg is over: free its concurrency slots.
    FreeSlots {
        /// The attempt.
        attempt: u32,
    },
    /// The end is known: judge it, move its units, book it.
    Settle {
        /// The attempt.
        attempt: u32,
        /// How it ended.
        end: AttemptEnd,
    },
    /// Another one that rang at the same time has the caller: give everything back. The end is known.
    Void {
        /// The attempt.
        attempt: u32,
        /// How it ended.
        end: AttemptEnd,
    },
    /// Nobody reported the end in time, or proved the talk: free the slots, keep the units as unresolved.
    Expire {
        /// The attempt.
        attempt: u32,
    },
    /// The call is over, or what was known of its end changed.
    Over,
}
