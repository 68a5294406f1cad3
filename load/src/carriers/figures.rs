//! What carriers count: one tally for all calls, and the snapshot that others read.
//!
//! Counters and histograms only. What a figure means for an exchange is for the reader to judge.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Seconds that the recent figures of a snapshot look back.
pub const WINDOW_S: u64 = 10;

/// Figures so far. Counts are since the start.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Route requests, without duplicates.
    pub sent: u64,
    /// Valid answers to them.
    pub answered: u64,
    /// Arrivals skipped because too many calls were in progress.
    pub skipped: u64,
    /// Route and next requests without a valid answer, duplicates included, by kind: a transport fault (`connect`,
    /// `closed`, `timeout`, `too_large`, `url`), a status (`http_429` and `http_503` for overload, else `http_4xx`,
    /// `http_5xx`, `http_other`) or `bad_answer`.
    pub errors: BTreeMap<&'static str, u64>,
    /// First answers by action and by basis; unknown words count as `other`.
    pub actions: BTreeMap<&'static str, u64>,
    pub bases: BTreeMap<&'static str, u64>,
    pub in_progress: u64,
    /// Calls over, whatever came of them.
    pub ended: u64,
    /// Calls that were bridged at least once.
    pub bridged: u64,
    pub abandoned: u64,
    /// Calls cut off because the carriers were stopped.
    pub cut_off: u64,
    /// Attempts dialled, and those among them that were busy or not answered.
    pub attempts: u64,
    pub busy: u64,
    pub no_answer: u64,
    /// Next requests (second and further steps) sent.
    pub next_steps: u64,
    /// Events acknowledged with 200, without duplicates.
    pub events: u64,
    pub events_duplicated: u64,
    pub events_reordered: u64,
    /// Events left out on purpose.
    pub events_dropped: u64,
    /// Sent again because no 200 came.
    pub event_retries: u64,
    /// Never acknowledged, after all tries.
    pub events_refused: u64,
    /// Route and next requests sent twice, and those whose two valid answers were not the same bytes.
    pub routes_duplicated: u64,
    pub routes_differing: u64,
    /// From the intended arrival (open loop) to the whole answer.
    pub decision: Figures,
    /// What the exchange added; see [`Trace::added`](crate::trace::Trace::added). Only calls that somebody was pinged for.
    pub added: Figures,
    /// From the intended arrival to the sending: how late this simulator itself was.
    pub send_lag: Figures,
    /// From the sending to the whole answer: without what the simulator itself was late, and so kinder than
    /// `decision` to whoever is slow.
    pub since_sent: Figures,
    /// Processor time of the carriers' thread.
    pub cpu: Duration,
    pub elapsed: Duration,
}

/// One histogram, since the start and over the last [`WINDOW_S`] seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub total: Percentiles,
    pub recent: Percentiles,
}

/// Microseconds, to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    pub count: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

/// The distributions behind [`Figures`], in µs, of the whole run: 1 µs to 60 s to three digits.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// From the intended arrival to the whole answer.
    pub decision: Histogram<u64>,
    /// From the sending to the whole answer.
    pub since_sent: Histogram<u64>,
    /// What the exchange added.
    pub added: Histogram<u64>,
    /// From the intended arrival to the sending.
    pub send_lag: Histogram<u64>,
}

/// What all calls count in.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) counts: Snapshot,
    decision: Meter,
    added: Meter,
    send_lag: Meter,
    since_sent: Meter,
}

/// How long a first answer took.
#[derive(Clone, Copy)]
pub(super) struct Took {
    pub(super) from_due: Duration,
    pub(super) from_sent: Duration,
    /// None where the exchange asked nobody.
    pub(super) added: Option<Duration>,
}

impl Tally {
    pub(super) fn histograms(&self) -> Histograms {
        Histograms {
            decision: self.decision.total.clone(),
            since_sent: self.since_sent.total.clone(),
            added: self.added.total.clone(),
            send_lag: self.send_lag.total.clone(),
        }
    }

    pub(super) fn snapshot(&self, elapsed: Duration) -> Snapshot {
        let second = elapsed.as_secs();
        Snapshot {
            decision: self.decision.figures(second),
            added: self.added.figures(second),
            send_lag: self.send_lag.figures(second),
            since_sent: self.since_sent.figures(second),
            elapsed,
            ..self.counts.clone()
        }
    }

    pub(super) fn sent(&mut self, lag: Duration, second: u64) {
        self.counts.sent += 1;
        self.send_lag.record(lag, second);
    }

    /// Counts a call's first answer.
    pub(super) fn answered(&mut self, action: &str, basis: &str, took: Took, second: u64) {
        self.counts.answered += 1;
        *self.counts.actions.entry(known(action, &ACTIONS)).or_default() += 1;
        *self.counts.bases.entry(known(basis, &BASES)).or_default() += 1;
        self.decision.record(took.from_due, second);
        self.since_sent.record(took.from_sent, second);
        if let Some(added) = took.added {
            self.added.record(added, second);
        }
    }

    pub(super) fn error(&mut self, kind: &'static str) {
        *self.counts.errors.entry(kind).or_default() += 1;
    }
}

const ACTIONS: [&str; 5] = ["dial", "gather", "voicemail", "message", "hangup"];
const BASES: [&str; 5] = ["auction", "static", "quote", "redial", "terminal"];

fn known(word: &str, words: &[&'static str]) -> &'static str {
    words.iter().find(|known| **known == word).copied().unwrap_or("other")
}

/// A histogram in microseconds with a sliding window of whole seconds.
struct Meter {
    total: Histogram<u64>,
    recent: Vec<(u64, Histogram<u64>)>,
}

impl Default for Meter {
    fn default() -> Meter {
        let recent = (0..WINDOW_S).map(|_| (u64::MAX, new_histogram(2))).collect();
        Meter { total: new_histogram(3), recent }
    }
}

fn new_histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, digits)
        .expect("1 µs to 60 s with at most 3 digits are valid bounds")
}

impl Meter {
    fn record(&mut self, duration: Duration, second: u64) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.total.saturating_record(us);
        let (of, histogram) = &mut self.recent[(second % WINDOW_S) as usize];
        if *of != second {
            *of = second;
            histogram.reset();
        }
        histogram.saturating_record(us);
    }

    fn figures(&self, second: u64) -> Figures {
        let mut window = new_histogram(2);
        for (of, histogram) in &self.recent {
            if *of <= second && second - *of < WINDOW_S {
                window.add(histogram).expect("both have the same bounds");
            }
        }
        Figures { total: percentiles(&self.total), recent: percentiles(&window) }
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    Percentiles {
        count: histogram.len(),
        p50_us: histogram.value_at_quantile(0.50),
        p90_us: histogram.value_at_quantile(0.90),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_and_the_total_does_not() {
        let mut meter = Meter::default();
        meter.record(Duration::from_micros(100), 0);
        meter.record(Duration::from_micros(200), 5);
        let figures = meter.figures(9);
        assert_eq!((figures.total.count, figures.recent.count), (2, 2));
        let figures = meter.figures(10);
        assert_eq!((figures.total.count, figures.recent.count), (2, 1));
        meter.record(Duration::from_micros(300), 10);
        assert_eq!(meter.figures(10).recent.count, 2);
        assert_eq!(meter.figures(30).recent.count, 0);
    }
}
