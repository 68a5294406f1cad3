//! The bidders' log: one small record for every ping, kept in memory until a judge takes it.
//!
//! It holds what a judge needs to know who should have won and whom the exchange had to wait for, not the ping
//! itself; that is what [`Bidders::pings`](crate::bidders::Bidders::pings) is for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::log::{MAX_LOGGED, unix_us};

/// What one bidder did with one ping. Times are µs since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The call's number from the tag `load_call`.
    pub call: u64,
    /// The bidder's place in the order of the scripts, from 0.
    pub bidder: u16,
    /// The ping was read to its last byte.
    pub received_us: u64,
    /// Just before the reply's last byte was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replied_us: Option<u64>,
    /// The exchange closed the connection instead of waiting for the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up_us: Option<u64>,
    /// The price of a correct bid, once replied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bid_cents: Option<u32>,
}

/// A log as it is taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenLog {
    /// In the order in which the pings came in.
    pub seen: Vec<Seen>,
    /// Pings that found the log full.
    pub overflow: u64,
    /// Pings without a call's number, which no judge could tell apart.
    pub without_call: u64,
}

/// The log while it is written.
#[derive(Default)]
pub(crate) struct Logbook {
    is_open: AtomicBool,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// Counts the times the log was taken: a mark of an earlier one points nowhere.
    volume: u32,
    capacity: usize,
    log: SeenLog,
}

/// Which record; given out when a ping is noted, wanted back when it is answered.
#[derive(Clone, Copy)]
pub(crate) struct LogMark {
    volume: u32,
    index: usize,
}

impl Logbook {
    /// Starts an empty log of this many records, at most [`MAX_LOGGED`].
    pub fn open(&self, capacity: usize) {
        let capacity = capacity.min(MAX_LOGGED);
        // All of it at once: growing would stall every bidder in the middle of a run. The kernel gives memory only
        // for what is written.
        let log = SeenLog { seen: Vec::with_capacity(capacity), ..SeenLog::default() };
        let mut pages = self.pages();
        pages.volume += 1;
        pages.capacity = capacity;
        pages.log = log;
        self.is_open.store(true, Ordering::Release);
    }

    /// What is logged so far; nothing more is logged until the next [`Logbook::open`].
    pub fn take(&self) -> SeenLog {
        let mut pages = self.pages();
        self.is_open.store(false, Ordering::Release);
        pages.volume += 1;
        std::mem::take(&mut pages.log)
    }

    pub fn received(&self, call: Option<u64>, bidder: u16, received: Instant) -> Option<LogMark> {
        if !self.is_open.load(Ordering::Acquire) {
            return None;
        }
        let received_us = unix_us(received);
        let mut pages = self.pages();
        if !self.is_open.load(Ordering::Acquire) {
            return None; // taken a moment ago
        }
        let (volume, index) = (pages.volume, pages.log.seen.len());
        let Some(call) = call else {
            pages.log.without_call += 1;
            return None;
        };
        if index >= pages.capacity {
            pages.log.overflow += 1;
            return None;
        }
        let (replied_us, given_up_us, bid_cents) = (None, None, None);
        pages.log.seen.push(Seen { call, bidder, received_us, replied_us, given_up_us, bid_cents });
        Some(LogMark { volume, index })
    }

    /// Changes a record, unless the log was taken meanwhile.
    pub fn edit(&self, mark: LogMark, change: impl FnOnce(&mut Seen)) {
        let mut pages = self.pages();
        if pages.volume == mark.volume
            && let Some(seen) = pages.log.seen.get_mut(mark.index)
        {
            change(seen);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_counts_and_a_taken_one_is_left_alone() {
        let book = Logbook::default();
        let now = Instant::now();
        assert!(book.received(Some(1), 0, now).is_none(), "closed until it is opened");
        book.open(2);
        let marks: Vec<_> = (0..4).filter_map(|call| book.received(Some(call), 3, now)).collect();
        assert!(book.received(None, 3, now).is_none());
        book.edit(marks[1], |seen| seen.bid_cents = Some(250));
        let taken = book.take();
        assert_eq!((taken.overflow, taken.without_call), (2, 1));
        assert_eq!(taken.seen.iter().map(|seen| seen.bid_cents).collect::<Vec<_>>(), [None, Some(250)]);
        assert!(book.received(Some(1), 0, now).is_none(), "closed again");
        book.open(2);
        assert!(book.received(Some(9), 0, now).is_some());
        book.edit(marks[0], |seen| seen.bid_cents = Some(1));
        assert_eq!(book.take().seen[0].bid_cents, None, "a mark of the first log changed the second");
    }
}
