//! How many connections to bid endpoints one worker opens: so many at once and so many a second, apart from auctions.
//!
//! A connection costs the CPU time of ten pings, one with TLS that of several auctions. Where pings are late their
//! connections are wanted anew, and a worker that opens them all has no time left for pings: that is how exchanges
//! collapse. Which connection is opened when is in `client`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::wire::Failure;
use crate::domain::{Reason, Timestamp};
use crate::telemetry::event;

/// Connections that one worker may be opening at once.
const AT_ONCE_MAX: usize = 256;
/// Connections that one worker may open in a second: some 7 % of its time, ten times that with TLS.
const EACH_SECOND_MAX: u32 = 1_000;
/// Connections that it may open in a row, after a start say.
const BURST_MAX: u32 = 1_000;
/// Of both limits, what is left to pings that wait for a connection: a half.
const FOR_AUCTIONS: u32 = 2;

/// One worker's allowance.
#[derive(Debug, Default)]
pub(super) struct Openings {
    now: Arc<AtomicUsize>,
    bucket: Mutex<Option<Bucket>>,
}

/// What may be opened in a row still: it fills with time.
#[derive(Debug)]
struct Bucket {
    /// In millionths of a connection.
    left: u64,
    at: Timestamp,
}

const ONE: u64 = 1_000_000;
const FULL: u64 = BURST_MAX as u64 * ONE;

impl Bucket {
    fn fill(&mut self, now: Timestamp) {
        let more = now.since(self.at).min(Duration::from_secs(60)).as_micros() as u64;
        self.left = FULL.min(self.left + more * u64::from(EACH_SECOND_MAX));
        self.at = self.at.max(now);
    }
}

/// A connection that is being opened, until dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Openings {
    /// One more, if there may be one now. What is opened ahead of need leaves half of the allowance to pings that wait.
    pub(super) fn begin(&self, waited_for: bool, now: Timestamp) -> Result<Permit, Failure> {
        self.permit(waited_for, now).ok_or_else(|| {
            event::connection_not_opened();
            Failure::ours(Reason::Connect, "too many connections are being opened")
        })
    }

    fn permit(&self, waited_for: bool, now: Timestamp) -> Option<Permit> {
        let (most, left_over) = match waited_for {
            true => (AT_ONCE_MAX, 0),
            false => (AT_ONCE_MAX / FOR_AUCTIONS as usize, FULL / u64::from(FOR_AUCTIONS)),
        };
        let room = |now: usize| (now < most).then_some(now + 1);
        self.now.try_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        let permit = Permit(Arc::clone(&self.now));
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = bucket.get_or_insert(Bucket { left: FULL, at: now });
        bucket.fill(now);
        bucket.left = bucket.left.checked_sub(ONE).filter(|left| *left >= left_over)?;
        Some(permit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000).after(Duration::from_millis(ms))
    }

    #[test]
    fn so_many_at_once_and_half_of_them_ahead() {
        let openings = Openings::default();
        let mut ahead: Vec<Permit> = std::iter::from_fn(|| openings.permit(false, at(0))).collect();
        assert_eq!(ahead.len(), 128);
        let waited: Vec<Permit> = std::iter::from_fn(|| openings.permit(true, at(0))).collect();
        assert_eq!(waited.len(), 128);
        ahead.pop();
        assert!(openings.permit(false, at(0)).is_none(), "more than half is taken");
        let one = openings.permit(true, at(0));
        assert!(one.is_some() && openings.permit(true, at(0)).is_none(), "one place was given back");
    }

    #[test]
    fn so_many_in_a_row_and_then_so_many_a_second() {
        // What wants a connection, when, and how many it gets, each opened before the next.
        let table = "
            ahead  0      500
            waited 0      500
            waited 0      0
            waited 1      1
            waited 100    99
            ahead  400    0
            waited 400    300
            ahead  1100   200
            waited 1100   500
            ahead  9000   500
            waited 9000   500
            waited 8000   0     # a clock that was moved back gives nothing";
        let openings = Openings::default();
        for row in table.lines().filter_map(|row| row.split('#').next()).filter(|row| !row.trim().is_empty())
        {
            let words: Vec<&str> = row.split_whitespace().collect();
            let now = at(words[1].parse().expect("milliseconds"));
            let opened = std::iter::from_fn(|| openings.permit(words[0] == "waited", now).map(drop)).count();
            assert_eq!(opened.to_string(), words[2], "{row}");
        }
        assert!(openings.begin(true, at(8_000)).is_err_and(|failure| failure.is_ours));
    }
}
