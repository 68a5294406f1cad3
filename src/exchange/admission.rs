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

/// The delay beyond which auctions are not begun. An auction takes about six turns, so its call waits some 40 ms longer
/// than on an idle worker, of which 5 are lost before the first ping. Turns of a worker with nothing to do are 1 to 2 ms
/// late.
pub const AUCTION_DELAY: Duration = Duration::from_millis(5);
/// The delay beyond which not even answers without pings can be carried. Answers take two turns, and the shortest wait
/// of a carrier is 1 s. Since a queue shows in the second late beat only, it may have grown to three times this by then.
pub const ANSWER_DELAY: Duration = Duration::from_millis(100);

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

/// What a worker takes on that has been so late for two beats: `runtime::pulse::Beats::standing`.
pub fn admitted(standing: Duration) -> Admitted {
    if standing > ANSWER_DELAY {
        Admitted::Nothing
    } else if standing > AUCTION_DELAY {
        Admitted::Answers
    } else {
        Admitted::Auctions
    }
}

#[cfg(test)]
mod tests;
