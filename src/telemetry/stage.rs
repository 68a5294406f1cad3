//! The stages of one decision, one after the other: together they are all of it.
//!
//! Only adds up what it is told; the times are read where the stages end.

use std::time::Duration;

use crate::domain::Timestamp;

/// A part of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Last byte read to the decision's first turn: the request parsed, a repeat looked for, the wait for the turn.
    Read,
    /// Looked up, screened, the static answer walked.
    Prepare,
    /// Pings rendered, signed and written, connections opened where none waited.
    Ask,
    /// Last ping written to the end of the auction: the buyers' time.
    Wait,
    /// Ranked, held, and the rest of the plan walked.
    Hold,
    /// The call opened in memory, the answer told to whoever waits; they render it.
    Answer,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 6] =
        [Stage::Read, Stage::Prepare, Stage::Ask, Stage::Wait, Stage::Hold, Stage::Answer];

    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Prepare => "prepare",
            Stage::Ask => "ask",
            Stage::Wait => "wait",
            Stage::Hold => "hold",
            Stage::Answer => "answer",
        }
    }
}

/// How long each stage took so far.
#[derive(Clone, Copy, Debug)]
pub struct Laps {
    began: Timestamp,
    last: Timestamp,
    spent: [Duration; Stage::ALL.len()],
}

impl Laps {
    /// None yet, since `began`.
    pub fn since(began: Timestamp) -> Laps {
        Laps { began, last: began, spent: [Duration::ZERO; Stage::ALL.len()] }
    }

    /// What was done since the last end of a stage was this one, to `at`. A stage that comes again goes on.
    pub fn end(&mut self, stage: Stage, at: Timestamp) {
        self.spent[stage as usize] += at.since(self.last);
        self.last = self.last.max(at);
    }

    /// How long a stage took.
    pub fn spent(&self, stage: Stage) -> Duration {
        self.spent[stage as usize]
    }

    /// All stages together.
    pub fn whole(&self) -> Duration {
        self.last.since(self.began)
    }

    /// All but waiting for buyers.
    pub fn own(&self) -> Duration {
        self.whole().saturating_sub(self.spent(Stage::Wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up_to_the_decision() {
        // What ended, and when; a time before the last end adds nothing.
        let rows = [
            (Stage::Read, 3, 3),
            (Stage::Prepare, 10, 7),
            (Stage::Ask, 50, 40),
            (Stage::Wait, 300, 250),
            (Stage::Hold, 310, 10),
            (Stage::Ask, 330, 60),
            (Stage::Wait, 320, 250),
            (Stage::Hold, 340, 20),
            (Stage::Answer, 347, 7),
        ];
        let at = |us: i64| Timestamp::from_micros(1_000 + us);
        let mut laps = Laps::since(at(0));
        for (stage, ended, spent) in rows {
            laps.end(stage, at(ended));
            assert_eq!(laps.spent(stage), Duration::from_micros(spent), "{stage:?} at {ended}");
        }
        assert_eq!(Stage::ALL.iter().map(|stage| laps.spent(*stage)).sum::<Duration>(), laps.whole());
        assert_eq!((laps.whole().as_micros(), laps.own().as_micros()), (347, 97));
    }

    #[test]
    fn stages_stand_in_their_order() {
        Stage::ALL.iter().enumerate().for_each(|(at, stage)| assert_eq!(*stage as usize, at, "{stage:?}"));
    }
}
