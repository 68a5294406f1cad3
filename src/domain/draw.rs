//! Seeded draws: the same seed gives the same order, on every machine and in every replay.
//!
//! Integer arithmetic only. The seed is made by the shell and recorded with the decision; this file draws from it and
//! knows no other source of chance.

/// A stream of draws (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The stream of this seed.
    pub const fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next number below `bound`; 0 for a bound of 0. The bias is below bound / 2⁶⁴.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Positions 0… in an order drawn by weight without putting back; weights of 0 come last, in their own order.
    pub fn weighted_order(&mut self, weights: &[u32]) -> Vec<usize> {
        let mut left: Vec<usize> = (0..weights.len()).collect();
        let mut order = Vec::with_capacity(weights.len());
        while !left.is_empty() {
            let total: u64 = left.iter().map(|at| u64::from(weights[*at])).sum();
            let mut ticket = self.below(total);
            let chosen = left
                .iter()
                .position(|at| {
                    let weight = u64::from(weights[*at]);
                    let hit = ticket < weight;
                    ticket = ticket.saturating_sub(weight);
                    hit
                })
                .unwrap_or(0);
            order.push(left.remove(chosen));
        }
        order
    }
}

/// Spreads 64 bits over 64 bits (the finaliser of SplitMix64).
pub const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_an_order() {
        assert_eq!(Draw::new(7).weighted_order(&[1; 8]), Draw::new(7).weighted_order(&[1; 8]));
        assert_ne!(Draw::new(7).weighted_order(&[1; 8]), Draw::new(8).weighted_order(&[1; 8]));
        assert_eq!(Draw::new(1).weighted_order(&[0, 0, 5]), [2, 0, 1]);
        assert!(Draw::new(1).weighted_order(&[]).is_empty());
    }

    #[test]
    fn first_places_follow_the_weights() {
        let first = (0..10_000).filter(|seed| Draw::new(*seed).weighted_order(&[3, 1])[0] == 0).count();
        assert!((7_300..7_700).contains(&first), "3 in 4 expected, got {first} of 10,000");
    }
}
