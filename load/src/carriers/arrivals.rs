//! When calls are meant to arrive: a pattern, and the instants it gives.
//!
//! The instants follow from the pattern and the seed alone, never from how fast anybody answers: a generator or an
//! exchange that falls behind changes what is measured, not what was meant. [`Arrivals::Closed`] is the one exception.
//! Nothing here waits.

use std::time::Duration;

use serde::Deserialize;

use crate::chance::Chance;

/// Highest rate a pattern may have, in calls per second.
pub const MAX_RATE: f64 = 1_000_000.0;
/// Longest of a pattern's parts, in seconds.
pub const MAX_PART_S: f64 = 604_800.0;
/// Most parts of [`Arrivals::Steps`].
pub const MAX_STEPS: usize = 1_000;
/// Most calls in one burst, or in flight.
pub const MAX_AT_ONCE: u32 = 100_000;

/// How calls arrive. Rates are calls per second.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Evenly spaced.
    Constant(f64),
    /// As people call: gaps are exponential.
    Poisson(f64),
    /// So many calls at the same instant, each time so many ms have passed, over a Poisson stream that may be 0.
    Bursts { every_ms: u64, calls: u32, base_rate: f64 },
    /// Poisson, at a rate that goes straight from one to the other and then stays there.
    Ramp { from: f64, to: f64, over_s: f64 },
    /// Poisson, at each rate for so many seconds. After the last there are no more calls.
    Steps(Vec<(f64, f64)>),
    /// The next call starts when one got its first answer: so many are always waiting for one. For finding out where
    /// saturation is, and for that only: a slow exchange is asked less often, which hides how slow it is.
    Closed { in_flight: u32 },
}

impl Arrivals {
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let rate = |name: &str, rate: f64| match rate.is_finite() && (0.0..=MAX_RATE).contains(&rate) {
            true => Ok(()),
            false => Err(format!("arrivals: {name} is {rate}; it must be 0 to {MAX_RATE} calls per second")),
        };
        let part = |name: &str, seconds: f64| match seconds.is_finite()
            && (0.001..=MAX_PART_S).contains(&seconds)
        {
            true => Ok(()),
            false => Err(format!("arrivals: {name} is {seconds}; it must be 0.001 to {MAX_PART_S} seconds")),
        };
        let at_once = |name: &str, calls: u32| match (1..=MAX_AT_ONCE).contains(&calls) {
            true => Ok(()),
            false => Err(format!("arrivals: {name} is {calls}; it must be 1 to {MAX_AT_ONCE}")),
        };
        match self {
            Arrivals::Constant(calls) => rate("constant", *calls),
            Arrivals::Poisson(calls) => rate("poisson", *calls),
            Arrivals::Bursts { every_ms, calls, base_rate } => {
                part("every_ms / 1000", *every_ms as f64 / 1_000.0)?;
                at_once("calls", *calls)?;
                rate("base_rate", *base_rate)
            }
            Arrivals::Ramp { from, to, over_s } => {
                rate("from", *from)?;
                rate("to", *to)?;
                part("over_s", *over_s)
            }
            Arrivals::Steps(steps) => {
                if !(1..=MAX_STEPS).contains(&steps.len()) {
                    return Err(format!(
                        "arrivals: steps has {} parts; 1 to {MAX_STEPS} are allowed",
                        steps.len()
                    ));
                }
                steps.iter().try_for_each(|(calls, seconds)| {
                    rate("a rate of steps", *calls)?;
                    part("a length of steps", *seconds)
                })
            }
            Arrivals::Closed { in_flight } => at_once("in_flight", *in_flight),
        }
    }

    /// The pieces of a stream whose rate changes: rate at the start, rate at the end, seconds.
    fn pieces(&self) -> Vec<(f64, f64, f64)> {
        match self {
            Arrivals::Constant(rate) | Arrivals::Poisson(rate) => vec![(*rate, *rate, f64::INFINITY)],
            Arrivals::Bursts { base_rate, .. } => vec![(*base_rate, *base_rate, f64::INFINITY)],
            Arrivals::Ramp { from, to, over_s } => vec![(*from, *to, *over_s), (*to, *to, f64::INFINITY)],
            Arrivals::Steps(steps) => steps.iter().map(|(rate, seconds)| (*rate, *rate, *seconds)).collect(),
            Arrivals::Closed { .. } => Vec::new(),
        }
    }
}

/// The instants of a pattern, counted from its start.
#[derive(Clone, Debug)]
pub struct Schedule {
    pieces: Vec<(f64, f64, f64)>,
    /// Exponential gaps; evenly spaced without.
    gaps: Option<Chance>,
    /// Calls that the stream's rate adds up to until its next one.
    volume: f64,
    stream: Option<f64>,
    bursts: Option<Bursts>,
}

#[derive(Clone, Debug)]
struct Bursts {
    every_ms: u64,
    calls: u32,
    /// The burst in progress, from 1, and its calls so far.
    nth: u64,
    given: u32,
}

impl Schedule {
    /// The schedule of a pattern. A closed loop has none: it is empty.
    pub fn new(arrivals: &Arrivals, seed: u64) -> Schedule {
        let is_even = matches!(arrivals, Arrivals::Constant(_));
        let bursts = match arrivals {
            Arrivals::Bursts { every_ms, calls, .. } => {
                Some(Bursts { every_ms: *every_ms, calls: *calls, nth: 1, given: 0 })
            }
            _ => None,
        };
        let gaps = (!is_even).then(|| Chance::new(seed, &["arrivals"]));
        let mut schedule = Schedule { pieces: arrivals.pieces(), gaps, volume: 0.0, stream: None, bursts };
        schedule.stream = schedule.next_of_stream();
        schedule
    }

    /// The next arrival, never before the one before it; none when there are no more.
    pub fn next_due(&mut self) -> Option<Duration> {
        let burst = self.bursts.as_ref().map(|bursts| (bursts.nth * bursts.every_ms) as f64 / 1_000.0);
        match (self.stream, burst) {
            (Some(stream), burst) if burst.is_none_or(|burst| stream < burst) => {
                self.stream = self.next_of_stream();
                Some(Duration::from_secs_f64(stream))
            }
            (_, Some(burst)) => {
                if let Some(bursts) = &mut self.bursts {
                    bursts.given += 1;
                    if bursts.given >= bursts.calls {
                        (bursts.nth, bursts.given) = (bursts.nth + 1, 0);
                    }
                }
                Some(Duration::from_secs_f64(burst))
            }
            (_, None) => None,
        }
    }

    fn next_of_stream(&mut self) -> Option<f64> {
        self.volume += self.gaps.as_mut().map_or(1.0, |gaps| gaps.exponential(1.0));
        when(&self.pieces, self.volume).filter(|seconds| *seconds < MAX_PART_S * MAX_STEPS as f64)
    }
}

/// When the rate has added up to so many calls; none when it never does.
fn when(pieces: &[(f64, f64, f64)], calls: f64) -> Option<f64> {
    let (mut left, mut passed) = (calls, 0.0);
    for (from, to, seconds) in pieces {
        let within = if seconds.is_infinite() { f64::INFINITY } else { (from + to) / 2.0 * seconds };
        if left > within {
            (left, passed) = (left - within, passed + seconds);
            continue;
        }
        // The area under a straight line: from·t + slope·t²/2 = left, solved so that no digits are lost.
        let slope = if seconds.is_infinite() { 0.0 } else { (to - from) / seconds };
        let root = (from * from + 2.0 * slope * left).max(0.0).sqrt();
        let after = 2.0 * left / (from + root);
        return after.is_finite().then_some(passed + after);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_adds_up() {
        let ramp = Arrivals::Ramp { from: 0.0, to: 10.0, over_s: 10.0 };
        let down = Arrivals::Ramp { from: 10.0, to: 0.0, over_s: 10.0 };
        let steps = Arrivals::Steps(vec![(10.0, 2.0), (0.0, 3.0), (100.0, 1.0)]);
        // pattern, calls, and the second at which that many have come, by hand
        let table = [
            (Arrivals::Constant(4.0), 1.0, Some(0.25)),
            (Arrivals::Poisson(4.0), 10.0, Some(2.5)),
            (Arrivals::Constant(0.0), 1.0, None),
            (ramp.clone(), 0.5, Some(1.0)), // t²/2
            (ramp.clone(), 12.5, Some(5.0)),
            (ramp.clone(), 50.0, Some(10.0)),
            (ramp, 60.0, Some(11.0)),
            (down.clone(), 37.5, Some(5.0)), // 10t - t²/2
            (down.clone(), 50.0, Some(10.0)),
            (down, 50.1, None),
            (steps.clone(), 20.0, Some(2.0)),
            (steps.clone(), 21.0, Some(5.01)),
            (steps.clone(), 120.0, Some(6.0)),
            (steps, 121.0, None),
            (Arrivals::Closed { in_flight: 3 }, 1.0, None),
        ];
        for (arrivals, calls, expected) in table {
            let seconds = when(&arrivals.pieces(), calls);
            let is_near = match (seconds, expected) {
                (Some(seconds), Some(expected)) => f64::abs(seconds - expected) < 1e-9,
                (seconds, expected) => seconds == expected,
            };
            assert!(is_near, "{arrivals:?} at {calls}: {seconds:?}, not {expected:?}");
        }
    }

    fn due_ms(arrivals: &Arrivals, count: usize) -> Vec<u128> {
        let mut schedule = Schedule::new(arrivals, 1);
        std::iter::from_fn(|| schedule.next_due()).take(count).map(|due| due.as_millis()).collect()
    }

    #[test]
    fn even_and_burst_schedules_by_hand() {
        let bursts = Arrivals::Bursts { every_ms: 500, calls: 3, base_rate: 0.0 };
        assert_eq!(due_ms(&Arrivals::Constant(4.0), 4), [250, 500, 750, 1_000]);
        assert_eq!(due_ms(&bursts, 7), [500, 500, 500, 1_000, 1_000, 1_000, 1_500]);
        assert_eq!(due_ms(&Arrivals::Constant(0.0), 4), []);
        assert_eq!(due_ms(&Arrivals::Closed { in_flight: 1 }, 4), []);
    }

    #[test]
    fn drawn_schedules_are_ordered_repeat_and_keep_their_rates() {
        // pattern, seconds looked at, calls on average within them
        let table = [
            (Arrivals::Poisson(1_000.0), 20.0, 20_000.0),
            (Arrivals::Bursts { every_ms: 100, calls: 50, base_rate: 500.0 }, 20.0, 20_000.0),
            (Arrivals::Ramp { from: 0.0, to: 2_000.0, over_s: 10.0 }, 20.0, 30_000.0),
            (Arrivals::Ramp { from: 0.0, to: 2_000.0, over_s: 10.0 }, 5.0, 2_500.0),
            (Arrivals::Steps(vec![(2_000.0, 5.0), (0.0, 5.0), (1_000.0, 5.0)]), 60.0, 15_000.0),
        ];
        for (arrivals, seconds, expected) in table {
            let mut schedule = Schedule::new(&arrivals, 7);
            let mut again = Schedule::new(&arrivals, 7);
            let (mut last, mut calls) = (Duration::ZERO, 0);
            while let Some(due) = schedule.next_due() {
                assert_eq!(again.next_due(), Some(due), "{arrivals:?}");
                assert!(due >= last, "{arrivals:?}: {due:?} after {last:?}");
                if due.as_secs_f64() >= seconds {
                    break;
                }
                (last, calls) = (due, calls + 1);
            }
            let off = (f64::from(calls) - expected).abs();
            assert!(off < 5.0 * expected.sqrt(), "{arrivals:?}: {calls} calls, not about {expected}");
        }
    }

    #[test]
    fn patterns_are_read_from_tables_and_wrong_ones_refused() {
        let read = |text: &str| serde_json::from_str::<Arrivals>(text);
        let table = [
            (r#"{"constant": 5}"#, Arrivals::Constant(5.0)),
            (r#"{"poisson": 0.5}"#, Arrivals::Poisson(0.5)),
            (r#"{"steps": [[10, 60], [20, 60.5]]}"#, Arrivals::Steps(vec![(10.0, 60.0), (20.0, 60.5)])),
            (r#"{"closed": {"in_flight": 8}}"#, Arrivals::Closed { in_flight: 8 }),
            (
                r#"{"ramp": {"from": 0, "to": 9, "over_s": 30}}"#,
                Arrivals::Ramp { from: 0.0, to: 9.0, over_s: 30.0 },
            ),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).unwrap(), expected, "{text}");
            assert_eq!(expected.check(), Ok(()), "{text}");
        }
        for unreadable in [r#"{"closed": {"in_flight": 8, "rate": 1}}"#, r#"{"Poisson": 1}"#] {
            assert!(read(unreadable).is_err(), "{unreadable}");
        }
        let wrong = [
            (Arrivals::Constant(-1.0), "constant is -1"),
            (Arrivals::Poisson(f64::NAN), "poisson is NaN"),
            (Arrivals::Ramp { from: 1.0, to: 1.0, over_s: 0.0 }, "over_s is 0"),
            (Arrivals::Steps(Vec::new()), "steps has 0 parts"),
            (Arrivals::Closed { in_flight: 0 }, "in_flight is 0"),
            (Arrivals::Bursts { every_ms: 0, calls: 1, base_rate: 1.0 }, "every_ms"),
        ];
        for (arrivals, word) in wrong {
            let error = arrivals.check().unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
