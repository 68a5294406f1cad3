//! The stopwatch shared by bidders and carriers: when each call's pings came in and when their replies went out.
//!
//! A call is known by the number in its tag `load_call`; the campaign must let that tag through to its pings.
//! All stamps come from one monotonic clock, so bidders and carriers must live in one process. The trace knows
//! nothing of who won: it only tells how long an exchange could not have answered yet.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The tag that carries a call's number from the carrier through the exchange into its pings.
pub const CALL_TAG: &str = "load_call";
/// Calls remembered; the oldest is dropped for the next.
pub const MAX_CALLS: usize = 65_536;
/// Pings remembered per call; more are counted, not timed.
pub const MAX_PINGS_PER_CALL: usize = 256;
/// What an exchange takes off the time left when it states `deadline_ms` in a ping.
pub const DEADLINE_MARGIN: Duration = Duration::from_millis(3);
/// An unanswered ping whose deadline lies further than this past the exchange's answer was not waited for: the
/// auction had closed early.
const EARLY_CLOSE_SLACK: Duration = Duration::from_millis(5);

/// Times of calls' pings. Shared as `Arc<Trace>`.
#[derive(Default)]
pub struct Trace {
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    by_number: HashMap<u64, CallTimes, BuildHasherDefault<NumberHasher>>,
    oldest_first: VecDeque<u64>,
}

/// Spreads the calls' numbers, which count up; the load chooses them, so nobody can aim for collisions.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let spread = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }
}

#[derive(Default)]
struct CallTimes {
    asked: u64,
    pings: Vec<PingTimes>,
}

struct PingTimes {
    deadline: Instant,
    replied: Option<Instant>,
}

/// Which ping of which call; given out when a ping is noted, wanted back when it is answered.
#[derive(Clone, Copy, Debug)]
pub struct PingMark {
    call: u64,
    index: usize,
}

/// What a call's bidders did, up to one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTrace {
    /// Pings received for the call so far.
    pub asked: u64,
    /// Of those, the ones with no reply written by the instant.
    pub unanswered: u64,
    /// The last reply written by the instant.
    pub last_reply: Option<Instant>,
    /// The latest deadline (ping received + its `deadline_ms` + 3 ms) of an unanswered ping, whether or not the
    /// exchange waited for it.
    pub latest_unanswered_deadline: Option<Instant>,
    /// Until when the exchange had something to wait for; none when it asked nobody.
    pub needed_until: Option<Instant>,
}

impl Trace {
    /// Notes a ping, received whole at `received`, that states `deadline_ms`.
    pub fn received(&self, call: u64, received: Instant, deadline_ms: u64) -> PingMark {
        let mut calls = self.lock();
        let calls = &mut *calls;
        let times = match calls.by_number.entry(call) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                calls.oldest_first.push_back(call);
                new.insert(CallTimes::default())
            }
        };
        times.asked += 1;
        let index = times.pings.len();
        if index < MAX_PINGS_PER_CALL {
            let left = Duration::from_millis(deadline_ms.min(60_000)) + DEADLINE_MARGIN;
            times.pings.push(PingTimes { deadline: received + left, replied: None });
        }
        if calls.oldest_first.len() > MAX_CALLS
            && let Some(oldest) = calls.oldest_first.pop_front()
        {
            calls.by_number.remove(&oldest);
        }
        PingMark { call, index }
    }

    /// Notes that the ping's reply is written. Bidders stamp this just *before* they hand the last bytes to the
    /// kernel: the reply can then never be read before it is noted, and the exchange's share is never understated.
    pub fn replied(&self, mark: PingMark, at: Instant) {
        let mut calls = self.lock();
        let times = calls.by_number.get_mut(&mark.call);
        if let Some(ping) = times.and_then(|times| times.pings.get_mut(mark.index)) {
            ping.replied = Some(at);
        }
    }

    /// What the call's bidders had done when the exchange's answer arrived at `answered`.
    pub fn call(&self, call: u64, answered: Instant) -> Option<CallTrace> {
        let calls = self.lock();
        let times = calls.by_number.get(&call)?;
        let mut seen = CallTrace {
            asked: times.asked,
            unanswered: 0,
            last_reply: None,
            latest_unanswered_deadline: None,
            needed_until: None,
        };
        for ping in &times.pings {
            match ping.replied.filter(|at| *at <= answered) {
                Some(at) => {
                    seen.last_reply = seen.last_reply.max(Some(at));
                    seen.needed_until = seen.needed_until.max(Some(at.min(ping.deadline)));
                }
                None => {
                    seen.unanswered += 1;
                    seen.latest_unanswered_deadline =
                        seen.latest_unanswered_deadline.max(Some(ping.deadline));
                    if ping.deadline <= answered + EARLY_CLOSE_SLACK {
                        seen.needed_until = seen.needed_until.max(Some(ping.deadline));
                    }
                }
            }
        }
        Some(seen)
    }

    /// The time the exchange added: from the last thing it had to wait for (the reply of the slowest bidder it
    /// needed, or the deadline of one that did not reply) to its answer. None when it asked nobody.
    pub fn added(&self, call: u64, answered: Instant) -> Option<Duration> {
        let until = self.call(call, answered)?.needed_until?;
        Some(answered.saturating_duration_since(until))
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn added_counts_from_the_last_thing_waited_for() {
        // (replies in ms after the start, the pings' deadline_ms, answer at) -> added ms
        type Row<'a> = (&'a str, &'a [Option<u32>], u64, u32, Option<u32>);
        let table: [Row; 6] = [
            ("all answered", &[Some(40), Some(90)], 497, 92, Some(2)),
            ("one hangs: its deadline counts", &[Some(40), None], 497, 504, Some(4)),
            ("early close: the hanging one was not needed", &[Some(40), None], 497, 41, Some(1)),
            ("a reply after the answer was not needed", &[Some(40), Some(60)], 497, 42, Some(2)),
            ("answered a hair before the estimate", &[None], 497, 499, Some(0)),
            ("a reply past its deadline counts up to the deadline", &[Some(503)], 497, 505, Some(5)),
        ];
        for (name, replies, deadline_ms, answer, expected) in table {
            let trace = Trace::default();
            let start = Instant::now();
            for reply in replies {
                let mark = trace.received(1, start, deadline_ms);
                if let Some(ms) = reply {
                    trace.replied(mark, start + MS * *ms);
                }
            }
            let added = trace.added(1, start + MS * answer);
            assert_eq!(added, expected.map(|ms| MS * ms), "{name}");
        }
    }

    #[test]
    fn nobody_asked_gives_nothing_and_the_oldest_call_is_dropped() {
        let trace = Trace::default();
        let now = Instant::now();
        assert_eq!(trace.call(1, now), None);
        for call in 0..=MAX_CALLS as u64 {
            trace.received(call, now, 100);
        }
        assert_eq!(trace.call(0, now), None);
        assert!(trace.call(1, now).is_some());
        for _ in 0..2 * MAX_PINGS_PER_CALL {
            trace.received(1, now, 100);
        }
        let seen = trace.call(1, now).expect("call 1 is remembered");
        assert_eq!(seen.asked, 1 + 2 * MAX_PINGS_PER_CALL as u64);
    }
}
