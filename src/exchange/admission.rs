//! What a late worker still takes on: auctions while its queue is short, answers without pings beyond, at last only the
//! refusal that sends a call elsewhere.
//!
//! Decided by the delay of the worker's queue as it is now and by nothing it remembers. Such a limit acts like the end of
//! a bounded queue: the worker is never idle while calls get no auction, and whatever it takes waits about as long as the
//! limit says. A share that is learnt from past lateness was tried and does worse: an auction's replies come back a
//! tenth of a second after it was let in, too late for a controller that swings in that time (at twice the capacity it
//! lost a quarter of the auctions that the limit alone keeps, and the calls it let in waited twice as long).
//! How late a worker is, is measured in `runtime::pulse`.

use std::time::Duration;

/// What a worker takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Decisions with auctions.
    Auctions,
    /// Decisions that ask nobody.
    Answers,
    /// What belongs to calls that it has, and no new ones.
    Nothing,
}

/// How late a worker may be for what. An auction takes about six turns of its worker, an answer without pings two, and
/// a queue shows in the second late beat only: what a call waits for us is several times its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Beyond it no auctions are begun.
    pub auction: Duration,
    /// Beyond it not even answers without pings can be carried.
    pub answer: Duration,
}

impl Delays {
    /// What a worker takes on that was so late for two beats: `runtime::pulse::Beats::standing`.
    pub fn admitted(&self, standing: Duration) -> Admitted {
        if standing > self.answer {
            Admitted::Nothing
        } else if standing > self.auction {
            Admitted::Answers
        } else {
            Admitted::Auctions
        }
    }
}

/// What a decision comes to next. Of what is ready at once replies are read first, then answers leave, then new calls are
/// prepared, and all their pings leave last: whoever is sent several things one after the other is woken once, and
/// waking somebody is the dearest part of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// What it held is told to whoever asked.
    Answer,
    /// All that can be known without asking.
    Prepare,
    /// The pings of an auction.
    Ask,
}

/// One part of the delay beyond which no auctions are begun, up to which there is time to do like with like. Where others
/// wait long, whoever lets them go first waits as long again.
const SHORT_PART: u32 = 2;

impl Delays {
    /// How often others go first before this, on a worker that was so late, and has had time to spare or not. Where it
    /// has, there is seldom anybody else, and nothing to be saved.
    pub fn others_first(&self, pass: Pass, standing: Duration, rested: bool) -> u32 {
        match pass {
            _ if rested || standing * SHORT_PART > self.auction => 0,
            // Replies are being read now, answers come next.
            Pass::Prepare => 2,
            Pass::Answer | Pass::Ask => 1,
        }
    }
}

#[cfg(test)]
mod tests;
