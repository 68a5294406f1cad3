//! Draws that depend on names and numbers only: a small hash (FNV-1a) seeds a small generator (SplitMix64).
//!
//! The same seed and the same parts give the same draws on every machine, whatever order the calls come in. This
//! is for simulation: nothing here is fit for secrets, and the quality is that of a test tool.

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The stream for a seed and a list of parts, such as a bidder's name and a call's number. `["ab", "c"]` and
    /// `["a", "bc"]` are different streams.
    pub fn new(seed: u64, parts: &[&str]) -> Chance {
        let mut hash = FNV_OFFSET;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        seed.to_le_bytes().into_iter().for_each(&mut eat);
        for part in parts {
            part.bytes().for_each(&mut eat);
            eat(0xff); // never occurs in UTF-8, so it separates
        }
        Chance { state: hash }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from `low` to `high`, both included; `low` when the bounds are the wrong way round.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = u128::from(high.saturating_sub(low)) + 1;
        low + ((u128::from(self.bits()) * width) >> 64) as u64
    }

    /// True in `bps` of 10,000 cases.
    pub fn hits(&mut self, bps: u32) -> bool {
        self.between(0, 9_999) < u64::from(bps)
    }

    /// One of the items, or none when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let last = items.len().checked_sub(1)?;
        items.get(self.between(0, last as u64) as usize)
    }

    /// A number with the given median whose logarithm is normal with deviation `sigma`.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// A waiting time with mean `1 / rate`, in seconds when the rate is per second.
    pub fn exponential(&mut self, rate: f64) -> f64 {
        -(1.0 - self.unit()).ln() / rate
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn same_parts_same_stream() {
        let draws = |parts: &[&str]| {
            let mut chance = Chance::new(7, parts);
            (0..4).map(|_| chance.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draws(&["ab", "c"]), draws(&["ab", "c"]));
        assert_ne!(draws(&["ab", "c"]), draws(&["a", "bc"]));
    }

    #[test]
    fn distributions_are_near_their_parameters() {
        let mut chance = Chance::new(1, &[]);
        let n = 20_000;
        let mut slow: Vec<f64> = (0..n).map(|_| chance.lognormal(80.0, 0.5)).collect();
        slow.sort_by(f64::total_cmp);
        assert!((78.0..82.0).contains(&slow[n / 2]), "median {}", slow[n / 2]);
        let mean = (0..n).map(|_| chance.exponential(10.0)).sum::<f64>() / n as f64;
        assert!((0.097..0.103).contains(&mean), "mean {mean}");
        let hits = (0..n).filter(|_| chance.hits(2_500)).count();
        assert!((4_800..5_200).contains(&hits), "hits {hits}");
        assert!((0..n).all(|_| (3..=5).contains(&chance.between(3, 5))));
        assert_eq!(chance.between(9, 3), 9);
    }
}
