//! Histograms as text: the percentile distribution (`.hgrm`) that HdrHistogram's own plotter reads.
//!
//! The levels are those of HdrHistogram's other implementations: five steps in each half of the way that is left to
//! 100 %. Values are divided by a unit, as the plotter wants milliseconds of microseconds.

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Steps within each half of the way to 100 %, as everywhere.
const TICKS_PER_HALF: u32 = 5;

/// Writes the distribution; each value divided by `unit`, so 1,000 makes ms of µs.
pub fn write(out: &mut impl Write, histogram: &Histogram<u64>, unit: f64) -> io::Result<()> {
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut below = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        below += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / unit, step.quantile_iterated_to());
        write!(out, "{value:12.3} {quantile:2.12} {below:10}")?;
        if quantile < 1.0 {
            write!(out, " {:14.2}", 1.0 / (1.0 - quantile))?;
        }
        writeln!(out)?;
    }
    let (mean, deviation) = match histogram.is_empty() {
        true => (0.0, 0.0),
        false => (histogram.mean() / unit, histogram.stdev() / unit),
    };
    writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    let max = histogram.max() as f64 / unit;
    writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", histogram.len())?;
    let buckets = histogram.buckets();
    writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {:12}]", sub_buckets(histogram.sigfig()))
}

/// Counters within one power of two: enough to tell twice ten to the number of digits.
fn sub_buckets(digits: u8) -> u64 {
    (2 * 10u64.pow(u32::from(digits))).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: &[u64]) -> String {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        let mut out = Vec::new();
        write(&mut out, &histogram, 1_000.0).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn three_values_by_hand() {
        // 0.5, 1 and 2 ms, a third each. The levels go in fifths of each half of what is left; once the last value is
        // reached the next level is 1. The deviation is the root of (667² + 167² + 833²) / 3.
        let expected = [
            "       Value     Percentile TotalCount 1/(1-Percentile)",
            "",
            "       0.500 0.000000000000          1           1.00",
            "       0.500 0.100000000000          1           1.11",
            "       0.500 0.200000000000          1           1.25",
            "       0.500 0.300000000000          1           1.43",
            "       1.000 0.400000000000          2           1.67",
            "       1.000 0.500000000000          2           2.00",
            "       1.000 0.550000000000          2           2.22",
            "       1.000 0.600000000000          2           2.50",
            "       1.000 0.650000000000          2           2.86",
            "       2.000 0.700000000000          3           3.33",
            "       2.000 1.000000000000          3",
            "#[Mean    =        1.167, StdDeviation   =        0.624]",
            "#[Max     =        2.000, Total count    =            3]",
            "#[Buckets =           16, SubBuckets     =         2048]",
        ];
        let text = text(&[500, 1_000, 2_000]);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert!(text.ends_with("]\n"));
    }

    #[test]
    fn without_values_there_are_only_head_and_foot() {
        let text = text(&[]);
        assert_eq!(text.lines().filter(|line| !line.is_empty()).count(), 4, "{text}");
        assert!(text.contains("Total count    =            0]"), "{text}");
    }
}
