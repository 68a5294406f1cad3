//! Which backend writes, and why: the one that is set, or for `auto` io_uring where the system allows it and a commit by
//! it costs little more than a bare write and sync. Commits are timed in `trial`; here is what follows from that.
//!
//! Threads are not timed. A commit by them has two wake-ups, and one by io_uring two more: so where these are nothing
//! beside a sync, it does not matter what writes, and else threads are quicker. Timed beside each other for so short a time
//! the two say less: on one machine io_uring took 1.0 to 2.0 times as long as threads from one start to the next, by where
//! the kernel put the thread that syncs for it, and 1.4 to 2.7 times as long as a bare loop in 119 starts of 120.

use std::fmt;
use std::time::Duration;

use super::disk::Dir;
use super::open::OpenError;
use super::trial::{self, Trial};
use super::{Backend, Disk, uring};

/// Pairs of commits without which a median says nothing, beside the first, which is one of its own.
const PAIRS_LEAST: usize = 3;
/// The median commit by io_uring is at most this many percent of the bare loop's: what the journal is to reach.
const PERCENT_MOST: u32 = 130;
/// A commit that takes as long as this leaves no time for so many pairs, and two wake-ups are nothing beside it.
const SLOW: Duration = Duration::from_millis(trial::LIMIT.as_millis() as u64 / 8);

/// What writes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What writes.
    pub disk: Disk,
    /// Why that.
    pub why: Why,
}

/// Why something writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is set.
    Set,
    /// The system refuses io_uring, and says this.
    Denied(String),
    /// A commit by io_uring takes about as long as a bare one.
    AsQuick(Medians),
    /// It takes longer.
    Slower(Medians),
    /// Commits take up to this long whatever writes, or none was done in the time there is.
    SlowDisk(Option<Duration>),
    /// Commits by io_uring could not be timed, for this reason.
    Untimed(String),
}

/// Median time of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medians {
    /// By io_uring.
    pub uring: Duration,
    /// By a bare loop.
    pub bare: Duration,
}

impl Why {
    /// Its word in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Why::Set => "set",
            Why::Denied(_) => "denied",
            Why::AsQuick(_) => "as_quick",
            Why::Slower(_) => "slower",
            Why::SlowDisk(_) => "slow_disk",
            Why::Untimed(_) => "untimed",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let against = |Medians { uring, bare }: Medians| {
            format!("{} us a commit against {} of a bare loop", uring.as_micros(), bare.as_micros())
        };
        write!(f, "{}: ", self.disk.name())?;
        match &self.why {
            Why::Set => f.write_str("it is set"),
            Why::Denied(why) => write!(f, "the system refuses io_uring ({why})"),
            Why::AsQuick(medians) => write!(f, "io_uring is as quick, {}", against(*medians)),
            Why::Slower(medians) => write!(f, "io_uring is slower, {}", against(*medians)),
            Why::SlowDisk(Some(took)) => {
                write!(f, "commits take up to {} ms, whatever writes", took.as_millis())
            }
            Why::SlowDisk(None) => {
                write!(f, "no commit was done in {} ms, whatever writes", trial::LIMIT.as_millis())
            }
            Why::Untimed(why) => write!(f, "io_uring could not be timed ({why})"),
        }
    }
}

/// What writes to this directory, where it is of the system.
pub(super) fn choose(backend: Backend, dir: &dyn Dir) -> Result<Choice, OpenError> {
    let set = |disk| Choice { disk, why: Why::Set };
    if dir.plain().is_none() {
        return Ok(set(Disk::Sim));
    }
    match (backend, uring::probe()) {
        (Backend::Thread, _) => Ok(set(Disk::Thread)),
        (Backend::Uring, Ok(())) => Ok(set(Disk::Uring)),
        (Backend::Uring, Err(why)) => Err(OpenError::UringDenied { why }),
        (Backend::Auto, Ok(())) => Ok(judged(&trial::run(dir, trial::LIMIT))),
        (Backend::Auto, Err(why)) => Ok(Choice { disk: Disk::Thread, why: Why::Denied(why) }),
    }
}

/// What `auto` takes after this.
fn judged(trial: &Trial) -> Choice {
    let why = if let Some(fault) = &trial.fault {
        Why::Untimed(fault.clone())
    } else if trial.bare.len().min(trial.uring.len()) > PAIRS_LEAST {
        let medians = Medians { uring: median(&trial.uring[1..]), bare: median(&trial.bare[1..]) };
        match medians.uring * 100 <= medians.bare * PERCENT_MOST {
            true => Why::AsQuick(medians),
            false => Why::Slower(medians),
        }
    } else {
        // Who is it that took so long?
        match trial.bare.iter().max() {
            Some(slowest) if *slowest < SLOW => Why::Untimed("it gave no answer in time".to_owned()),
            slowest => Why::SlowDisk(slowest.copied()),
        }
    };
    let disk = match why {
        Why::AsQuick(_) | Why::SlowDisk(_) => Disk::Uring,
        Why::Set | Why::Denied(_) | Why::Slower(_) | Why::Untimed(_) => Disk::Thread,
    };
    Choice { disk, why }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(times: &[u64]) -> Vec<Duration> {
        times.iter().map(|time| Duration::from_micros(*time)).collect()
    }

    #[test]
    fn io_uring_is_taken_where_it_is_as_quick() {
        let slow = SLOW.as_micros() as u64;
        let rows: [(&[u64], &[u64], &str); 10] = [
            (
                &[9, 120, 124, 900],
                &[9, 231, 20, 233],
                "thread: io_uring is slower, 231 us a commit against 124 of a bare loop",
            ),
            (
                &[9, 120, 124, 900],
                &[900, 161, 20, 500],
                "uring: io_uring is as quick, 161 us a commit against 124 of a bare loop",
            ),
            (
                &[100; 16],
                &[130; 16],
                "uring: io_uring is as quick, 130 us a commit against 100 of a bare loop",
            ),
            (
                &[100; 16],
                &[131; 16],
                "thread: io_uring is slower, 131 us a commit against 100 of a bare loop",
            ),
            // The disk had no time for three pairs.
            (&[], &[], "uring: no commit was done in 250 ms, whatever writes"),
            (&[200_000], &[], "uring: commits take up to 200 ms, whatever writes"),
            (&[slow, 20], &[slow], "uring: commits take up to 31 ms, whatever writes"),
            // It had, and io_uring had none.
            (&[slow - 1, 20], &[slow], "thread: io_uring could not be timed (it gave no answer in time)"),
            (&[100], &[], "thread: io_uring could not be timed (it gave no answer in time)"),
            (&[100; 4], &[100; 3], "thread: io_uring could not be timed (it gave no answer in time)"),
        ];
        for (bare, uring, says) in rows {
            let trial = Trial { bare: micros(bare), uring: micros(uring), fault: None };
            assert_eq!(judged(&trial).to_string(), says);
        }
        let times = micros(&[100; 16]);
        let fault = Some("no room".to_owned());
        let failed = judged(&Trial { bare: times.clone(), uring: times, fault });
        assert_eq!(failed.to_string(), "thread: io_uring could not be timed (no room)");
    }
}
