//! How late a worker's runtime is: a beat that is due every 10 ms, and how long after its time it came.
//!
//! A runtime takes its tasks in turn, so a beat waits as long as whatever else is to be done on the worker: its lateness
//! is the delay of the queue, whatever the queue is made of. A beat is late too where the system gave the worker no time,
//! with nothing in its queue; so it is also known how long the worker slept for want of anything to do. What follows from
//! it is decided elsewhere.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Clock;
use crate::domain::Timestamp;

/// How often the heart beats.
pub const BEAT: Duration = Duration::from_millis(10);
/// Beats that are remembered: 100 ms of them where none is late.
const BEATS_KEPT: usize = 10;
/// A worker that slept for one part in so many of the time had no queue.
const RESTED_PART: u32 = 10;

/// Whether a worker that slept for `slept` of `span` had time to spare.
pub fn has_rested(slept: Duration, span: Duration) -> bool {
    slept * RESTED_PART > span
}

/// The lateness of the last beats. Plain values: whoever knows the time tells it.
#[derive(Clone, Debug, Default)]
pub struct Beats {
    late: [Duration; BEATS_KEPT],
    count: usize,
    /// Whether the worker had time to spare between the last two.
    rested: bool,
}

impl Beats {
    /// A beat came so much after its time; `rested` is whether there was time to spare since the one before.
    pub fn note(&mut self, late: Duration, rested: bool) {
        self.rested = rested;
        self.late[self.count % BEATS_KEPT] = late;
        self.count += 1;
    }

    /// The beat that came `back` beats before the last.
    fn before_last(&self, back: usize) -> Duration {
        if self.count > back { self.late[(self.count - 1 - back) % BEATS_KEPT] } else { Duration::ZERO }
    }

    /// By how much two beats in a row were late at least, without time to spare between them; the second of them may be
    /// `overdue` now. One late beat is a hiccup: a queue that outlives it makes the next one late too.
    pub fn standing(&self, overdue: Duration, rested_since: bool) -> Duration {
        if rested_since {
            return Duration::ZERO;
        }
        let last = self.before_last(0);
        let of_the_last_two = if self.rested { Duration::ZERO } else { last.min(self.before_last(1)) };
        of_the_last_two.max(last.min(overdue))
    }

    /// The latest of the last ten beats, and of the one that may be `overdue` now.
    pub fn worst(&self, overdue: Duration) -> Duration {
        self.late.iter().copied().max().unwrap_or_default().max(overdue)
    }
}

/// One worker's heart. While nothing beats nothing is late.
#[derive(Debug)]
pub struct Pulse {
    clock: Clock,
    /// When the next beat is due, in microseconds; 0 while nothing beats.
    due: AtomicI64,
    beats: Mutex<Beats>,
    slept: Slept,
    /// The latest beat since somebody looked, in microseconds.
    peak: AtomicI64,
}

impl Pulse {
    /// A heart that does not beat yet.
    pub fn new(clock: Clock) -> Pulse {
        let (due, peak) = (AtomicI64::new(0), AtomicI64::new(0));
        Pulse { clock, due, beats: Mutex::default(), slept: Slept::default(), peak }
    }

    /// The worker goes to sleep: it has nothing to do.
    pub fn sleeps(&self) {
        self.slept.asleep_at.store(self.clock.now().micros(), Ordering::Relaxed);
    }

    /// There is something to do again.
    pub fn wakes(&self) {
        let asleep_at = Timestamp::from_micros(self.slept.asleep_at.load(Ordering::Relaxed));
        let slept = self.clock.now().since(asleep_at).as_micros() as u64;
        self.slept.since_beat.fetch_add(slept, Ordering::Relaxed);
    }

    /// Whether there was time to spare in this span, which began with the last beat.
    fn rested(&self, span: Duration) -> bool {
        has_rested(Duration::from_micros(self.slept.since_beat.load(Ordering::Relaxed)), span)
    }

    /// Beats until dropped; to be run on the worker whose lateness it tells, as a task of its own.
    pub async fn beat(&self) {
        let _stops = Stops(self);
        loop {
            let due = self.clock.now().after(BEAT);
            self.due.store(due.micros(), Ordering::Relaxed);
            self.clock.sleep_until(due).await;
            let late = self.clock.now().since(due);
            self.lock().note(late, self.rested(BEAT + late));
            self.slept.since_beat.store(0, Ordering::Relaxed);
            self.peak.fetch_max(late.as_micros() as i64, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn overdue(&self) -> Duration {
        match self.due.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            due => self.clock.now().since(Timestamp::from_micros(due)),
        }
    }

    /// How long what comes now waits for its turn, as two beats in a row say: see `Beats::standing`.
    pub fn standing(&self) -> Duration {
        let overdue = self.overdue();
        let rested = overdue > Duration::ZERO && self.rested(BEAT + overdue);
        self.lock().standing(overdue, rested)
    }

    /// Whether the worker had time to spare between the last two beats.
    pub fn has_rested(&self) -> bool {
        self.lock().rested
    }

    /// How long anything had to wait for its turn lately: see `Beats::worst`.
    pub fn worst(&self) -> Duration {
        let overdue = self.overdue();
        self.lock().worst(overdue)
    }

    /// The worst since this was last asked.
    pub fn take_peak(&self) -> Duration {
        let peak = self.peak.swap(0, Ordering::Relaxed);
        Duration::from_micros(peak.unsigned_abs()).max(self.overdue())
    }
}

/// How long the worker slept for want of anything to do; told by its own thread.
#[derive(Debug, Default)]
struct Slept {
    asleep_at: AtomicI64,
    /// Since the last beat, in microseconds.
    since_beat: AtomicU64,
}

/// A heart that is dropped is not late.
struct Stops<'a>(&'a Pulse);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.due.store(0, Ordering::Relaxed);
        *self.0.lock() = Beats::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn ms(text: &str) -> Duration {
        Duration::from_millis(text.parse().expect("milliseconds"))
    }

    #[test]
    fn two_beats_in_a_row_are_a_queue_and_one_is_a_hiccup() {
        // Lateness of the beats so far, of the one that is due, `z` before those that came after some sleep: what stands,
        // and the worst.
        let table = "
                          | 0    => 0  0
                          | 500  => 0  500     # the first beat of all
            1 2 1         | 0    => 1  2
            1 900 1       | 0    => 1  900     # a hiccup
            1 900         | 0    => 1  900
            1 900         | 40   => 40 900     # which left a queue
            1 900 40      | 0    => 40 900
            1 900 40 1    | 0    => 1  900
            30 31         | 32   => 31 32
            30 31         | 0    => 30 31
            30 z31        | 0    => 0  31      # late, and nothing was waiting
            30 z31        | 32   => 31 32
            30 31         | z32  => 0  32
            z30 31        | 32   => 31 32
            90 1 1 1 1 1 1 1 1 1   | 0 => 1 90
            90 1 1 1 1 1 1 1 1 1 2 | 0 => 1 2  # ten are remembered";
        for row in table.lines().map(|row| row.split('#').next().unwrap_or_default()) {
            let Some((told, expected)) = row.split_once("=>") else { continue };
            let (beats, overdue) = told.split_once('|').expect("beats | overdue");
            let mut heard = Beats::default();
            let read = |text: &str| (ms(text.trim_start_matches('z')), text.starts_with('z'));
            for (late, rested) in beats.split_whitespace().map(read) {
                heard.note(late, rested);
            }
            let (overdue, rested) = read(overdue.trim());
            let standing = heard.standing(overdue, rested);
            let found = format!("{} {}", standing.as_millis(), heard.worst(overdue).as_millis());
            assert_eq!(found, expected.split_whitespace().collect::<Vec<_>>().join(" "), "{row}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_is_as_late_as_its_runtime() {
        let pulse = Arc::new(Pulse::new(Clock::system()));
        assert_eq!(pulse.worst(), Duration::ZERO, "nothing beats");
        let heart = Arc::clone(&pulse);
        let beating = tokio::spawn(async move { heart.beat().await });
        tokio::time::sleep(Duration::from_millis(95)).await;
        assert!(pulse.worst() < Duration::from_millis(2), "{pulse:?}");
        // Time passes and nobody gets a turn.
        for _ in 0..2 {
            tokio::time::advance(Duration::from_millis(60)).await;
            tokio::task::yield_now().await;
        }
        assert!(pulse.standing() >= Duration::from_millis(45), "{pulse:?}");
        assert!(pulse.take_peak() >= Duration::from_millis(45), "{pulse:?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(pulse.standing() < Duration::from_millis(2), "{pulse:?}");
        assert!(pulse.worst() >= Duration::from_millis(45), "it is remembered for a while: {pulse:?}");
        beating.abort();
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!((pulse.standing(), pulse.worst()), (Duration::ZERO, Duration::ZERO), "it was stopped");
    }

    #[test]
    fn a_worker_that_sleeps_now_and_then_has_no_queue() {
        for (slept_ms, span_ms, expected) in [(0, 10, false), (1, 10, false), (2, 10, true), (9, 200, false)]
        {
            let ms = Duration::from_millis;
            assert_eq!(has_rested(ms(slept_ms), ms(span_ms)), expected, "{slept_ms} of {span_ms} ms");
        }
        let pulse = Arc::new(Pulse::new(Clock::system()));
        let heart = Arc::clone(&pulse);
        let slept = crate::runtime::run_worker(&pulse, || {}, async move {
            let beats = Arc::clone(&heart);
            let beating = tokio::spawn(async move { beats.beat().await });
            tokio::time::sleep(BEAT * 3).await;
            let rested = heart.has_rested();
            beating.abort();
            rested
        });
        assert!(slept.is_ok_and(|rested| rested), "it slept most of the time: {pulse:?}");
    }
}
