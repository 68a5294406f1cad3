//! How an attempt ended and whose doing it was: what the call machine finds out and billing judges by.

use super::time::Timestamp;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$each])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word of the carrier contract.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The value with this word.
            pub fn parse(text: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

words! {
    /// Why a leg ended.
    Cause {
        /// It was answered and hung up.
        Normal "normal",
        /// Busy.
        Busy "busy",
        /// Not answered in time.
        NoAnswer "no_answer",
        /// Refused.
        Rejected "rejected",
        /// Could not be set up.
        Failed "failed",
        /// Given up before an answer.
        Cancelled "cancelled",
    }
}

words! {
    /// Who ended it.
    EndedBy {
        /// The caller.
        Caller "caller",
        /// The target.
        Target "target",
        /// The carrier.
        Carrier "carrier",
        /// The exchange.
        Exchange "exchange",
        /// Nobody knows; never anybody's fault.
        Unknown "unknown",
    }
}

words! {
    /// Where a talk time comes from.
    TalkSource {
        /// The carrier said it.
        Carrier "carrier",
        /// Difference of the carrier's times of bridged and ended.
        EventTimes "event_times",
        /// Difference from answered, since bridged was never reported.
        Derived "derived",
        /// There was no talk.
        None "none",
    }
}

/// The end of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// Why.
    pub cause: Cause,
    /// Whose doing.
    pub ended_by: EndedBy,
    /// Whether target and caller were connected.
    pub connected: bool,
    /// Milliseconds they talked.
    pub talk_ms: u64,
    /// Where that figure comes from.
    pub talk_source: TalkSource,
    /// The carrier's time of the end.
    pub at: Timestamp,
    /// The buyer had handed the call back, and let go of it.
    pub handed_back: bool,
}

/// What an end adds to the hourly roll-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndCounts {
    /// Calls ended.
    pub ended: i64,
    /// Calls connected.
    pub connected: i64,
    /// Calls billable.
    pub billable: i64,
    /// Milliseconds talked.
    pub talk_ms: i64,
}

impl EndCounts {
    /// What is left of `self` when `before` was counted already.
    pub fn less(self, before: EndCounts) -> EndCounts {
        EndCounts {
            ended: self.ended - before.ended,
            connected: self.connected - before.connected,
            billable: self.billable - before.billable,
            talk_ms: self.talk_ms - before.talk_ms,
        }
    }
}
