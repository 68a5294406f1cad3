//! The snapshot: the catalog and everything compiled from it, as one immutable value behind one swap.
//!
//! A request loads it once and decides by it; a call never holds it. Where it comes from is `config`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bidder::Asking;
use crate::domain::schedule::{Window, Zone, day_window};
use crate::domain::{BuyerIx, Catalog, E164, Money, TargetIx, Timestamp};
use crate::routing::RuleBook;

/// Everything a decision is taken by.
#[derive(Debug)]
pub struct Snapshot {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// The rules about who may take a call, compiled.
    pub rules: RuleBook,
    /// How to ask each target, by target; `None` for those that are not asked.
    pub asking: Vec<Option<Asking>>,
    /// Currency of every amount.
    pub currency: String,
    /// Bids are cut to multiples of this.
    pub money_step: Money,
    /// The day that is now, by buyer.
    days: Vec<Day>,
}

impl Snapshot {
    /// Compiles a checked catalog; cannot fail. Callers' and publishers' pseudonyms are made from `key`.
    pub fn compile(catalog: Arc<Catalog>, currency: String, money_step: Money, key: &[u8]) -> Snapshot {
        let rules = RuleBook::of(&catalog);
        let asking = catalog
            .targets
            .iter()
            .map(|target| {
                target
                    .endpoint()
                    .map(|endpoint| Asking::compile(key, catalog.buyer(target.buyer), target, endpoint))
            })
            .collect();
        let days = catalog.buyers.iter().map(|_| Day::default()).collect();
        Snapshot { catalog, rules, asking, currency, money_step, days }
    }

    /// When the day of `at` began where this buyer counts days.
    pub fn day_of(&self, buyer: BuyerIx, at: Timestamp) -> Timestamp {
        self.days[buyer.at()].of(&self.catalog.buyer(buyer).zone, at).start
    }

    /// How to ask this target.
    pub fn asking(&self, target: TargetIx) -> Option<&Asking> {
        self.asking[target.at()].as_ref()
    }

    /// Whether a number is one of our tracking numbers: calls must not be sent back to us.
    pub fn is_ours(&self, number: E164) -> bool {
        self.catalog.number(number).is_some()
    }
}

/// The day that was asked for last, in one zone: every hold asks for today's, and working it out takes longer than
/// everything else about a hold. Seconds of its start above [`LENGTH_BITS`] bits of its length; 0 before the first.
#[derive(Debug, Default)]
struct Day(AtomicU64);

const LENGTH_BITS: u32 = 24;
const SECOND: i64 = 1_000_000;

impl Day {
    fn of(&self, zone: &Zone, at: Timestamp) -> Window {
        if let Some(known) = unpack(self.0.load(Ordering::Relaxed)).filter(|day| day.contains(at)) {
            return known;
        }
        let day = day_window(zone, at);
        if let Some(packed) = pack(day) {
            self.0.store(packed, Ordering::Relaxed);
        }
        day
    }
}

/// `None` of a day that is not made of whole seconds, began before 1970 or is longer than half a year.
fn pack(day: Window) -> Option<u64> {
    let whole = |micros: i64| (micros % SECOND == 0).then_some(micros / SECOND);
    let start = u64::try_from(whole(day.start.micros())?).ok()?;
    let length = u64::try_from(whole(day.end.micros() - day.start.micros())?).ok()?;
    (start < 1 << (u64::BITS - LENGTH_BITS) && length < 1 << LENGTH_BITS)
        .then_some(start << LENGTH_BITS | length)
}

fn unpack(packed: u64) -> Option<Window> {
    let start = (packed >> LENGTH_BITS) as i64;
    let end = start + (packed & ((1 << LENGTH_BITS) - 1)) as i64;
    let at = |seconds: i64| Timestamp::from_micros(seconds * SECOND);
    (packed != 0).then(|| Window { start: at(start), end: at(end) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_that_is_kept_is_the_day_of_the_zone() {
        // New York's clocks change on 2026-03-08 and 2026-11-01; Samoa left out 2011-12-30.
        let hour = 3_600 * SECOND;
        for (zone, around) in [
            ("America/New_York", 1_772_953_200),
            ("America/New_York", 1_793_505_600),
            ("Pacific/Apia", 1_325_239_200),
        ] {
            let zone = Zone::load(zone).expect("a zone");
            let day = Day::default();
            // Forth and back: what is kept is of the last that asked.
            for hours in (-80..80).chain((-80..80).rev()) {
                let at = Timestamp::from_micros(around * SECOND + hours * hour + 7);
                assert_eq!(day.of(&zone, at), day_window(&zone, at), "{hours} hours from {around}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let utc = Zone::utc();
        let (day, before) = (Day::default(), Timestamp::from_micros(-5));
        assert_eq!(day.of(&utc, before), day_window(&utc, before));
        assert_eq!(day.0.load(Ordering::Relaxed), 0);
    }
}
