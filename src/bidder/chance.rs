//! Seeded draws for the tests of this codec (SplitMix64). Tests only: the codec itself draws nothing.

/// A stream of draws; the same seed gives the same stream everywhere.
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (u128::from(self.bits()) * bound as u128 >> 64) as usize
    }
}
