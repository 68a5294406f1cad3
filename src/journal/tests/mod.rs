//! The journal against a simulated disk that loses, tears and refuses, and against the real one.

mod corrupt;
mod power;
mod real;
mod sim;
mod threads;
mod trial;

/// The seeds of a campaign: this many, or `OUTCRY_JOURNAL_SEEDS`; from 1 on, or `OUTCRY_JOURNAL_FIRST`.
pub(super) fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("OUTCRY_JOURNAL_FIRST").unwrap_or(1);
    first..first + number("OUTCRY_JOURNAL_SEEDS").unwrap_or(count)
}

/// A sequence of draws; one seed gives one sequence.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit.max(1) as u64) as usize
    }

    /// Once in `many` times.
    pub fn once_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}
