//! How many connections to bid endpoints one worker opens: so many at once, so many to each, so many a second.
//!
//! A connection costs the CPU time of ten pings, one with TLS that of several auctions. Where pings are late their
//! connections are wanted anew, and a worker that opens them all has no time left for pings: that is how exchanges
//! collapse. Which connection is opened when is in `client`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::Timestamp;

/// Connections that one worker may be opening at once.
const AT_ONCE_MAX: usize = 256;
/// Of these, to one endpoint: one that lets us wait keeps no other out.
const OF_ONE_MAX: usize = AT_ONCE_MAX / 4;
/// Connections that one worker may open in a second: some 7 % of its time, ten times that with TLS.
const EACH_SECOND_MAX: u32 = 1_000;
/// Connections that it may open in a row, after a start say.
const BURST_MAX: u32 = 1_000;
/// Of both limits, what is left to pings that wait for a connection: a half.
const FOR_AUCTIONS: u32 = 2;

/// One worker's allowance.
#[derive(Debug, Default)]
pub(super) struct Openings(Arc<Mutex<Open>>);

/// What is being opened, and what may be.
#[derive(Debug, Default)]
struct Open {
    now: usize,
    /// By serial, where any is: no more entries than connections being opened.
    by_endpoint: BTreeMap<usize, usize>,
    bucket: Option<Bucket>,
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
pub(super) struct Permit {
    open: Arc<Mutex<Open>>,
    endpoint: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.now = open.now.saturating_sub(1);
        if let Entry::Occupied(mut of_one) = open.by_endpoint.entry(self.endpoint) {
            *of_one.get_mut() -= 1;
            if *of_one.get() == 0 {
                of_one.remove();
            }
        }
    }
}

impl Openings {
    /// One more to the endpoint with this serial, if there may be one now. What is opened ahead of need leaves half of the
    /// allowance to pings that wait.
    pub(super) fn permit(&self, endpoint: usize, waited_for: bool, now: Timestamp) -> Option<Permit> {
        let (most, left_over) = match waited_for {
            true => (AT_ONCE_MAX, 0),
            false => (AT_ONCE_MAX / FOR_AUCTIONS as usize, FULL / u64::from(FOR_AUCTIONS)),
        };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = open.by_endpoint.get(&endpoint).copied().unwrap_or(0);
        if open.now >= most || of_one >= OF_ONE_MAX {
            return None;
        }
        let bucket = open.bucket.get_or_insert(Bucket { left: FULL, at: now });
        bucket.fill(now);
        bucket.left = bucket.left.checked_sub(ONE).filter(|left| *left >= left_over)?;
        open.now += 1;
        open.by_endpoint.insert(endpoint, of_one + 1);
        Some(Permit { open: Arc::clone(&self.0), endpoint })
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
        // As many endpoints as there are connections.
        let each = |waited: bool| move |n: usize| (n, waited);
        let open = |(n, waited)| openings.permit(n, waited, at(0));
        let mut ahead: Vec<Permit> = (0..).map(each(false)).map_while(open).collect();
        assert_eq!(ahead.len(), 128);
        let waited: Vec<Permit> = (0..).map(each(true)).map_while(open).collect();
        assert_eq!(waited.len(), 128);
        ahead.pop();
        assert!(openings.permit(0, false, at(0)).is_none(), "more than half is taken");
        let one = openings.permit(0, true, at(0));
        assert!(one.is_some() && openings.permit(0, true, at(0)).is_none(), "one place was given back");
    }

    #[test]
    fn an_endpoint_that_lets_us_wait_keeps_no_other_out() {
        let openings = Openings::default();
        let all_of =
            |n: usize| -> Vec<Permit> { (0..).map_while(|_| openings.permit(n, true, at(0))).collect() };
        let mut hang = all_of(7);
        assert_eq!(hang.len(), OF_ONE_MAX);
        assert!(openings.permit(7, false, at(0)).is_none(), "nor ahead of need");
        assert_eq!(all_of(8).len(), OF_ONE_MAX, "as many to another");
        hang.pop();
        let one = openings.permit(7, true, at(0));
        assert!(one.is_some() && openings.permit(7, true, at(0)).is_none(), "one place was given back");
        drop((hang, one));
        let open = openings.0.lock().expect("no panic");
        assert!(open.now == 0 && open.by_endpoint.is_empty(), "{open:?}");
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
            let opened =
                std::iter::from_fn(|| openings.permit(0, words[0] == "waited", now).map(drop)).count();
            assert_eq!(opened.to_string(), words[2], "{row}");
        }
    }
}
