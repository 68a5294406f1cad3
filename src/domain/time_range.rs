//! Hours of the week with terms of their own: another price, floor or limit while they last.
//!
//! Data, and which range counts at an instant. What a price is decided by besides is in `routing::price`; limits are claimed
//! in `exchange`.

use std::fmt;

use super::catalog::Limits;
use super::money::Money;
use super::schedule::{Hours, Zone};
use super::time::Timestamp;

/// Most ranges of one target or buyer.
pub const RANGES_MAX: usize = 24;

/// Terms that count during some hours, in the buyer's zone, instead of those that count always. What it does not name stays
/// as it is always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// When; weekly.
    pub hours: Hours,
    /// The fixed price, or the base bid of a table; never of a buyer.
    pub price: Option<Money>,
    /// Lowest price accepted; never of a buyer.
    pub floor: Option<Money>,
    /// Limits. What they count is counted through all ranges of a day.
    pub limits: Limits,
}

/// The range that counts at this instant: ranges of one entity do not overlap.
pub fn range_at<'r>(ranges: &'r [TimeRange], zone: &Zone, at: Timestamp) -> Option<(usize, &'r TimeRange)> {
    if ranges.is_empty() {
        return None;
    }
    let wall = zone.wall(at);
    ranges.iter().enumerate().find(|(_, range)| range.hours.hold(&wall))
}

/// The limits at this instant: those of the range that counts, else those that count always.
pub fn limits_at(always: &Limits, ranges: &[TimeRange], zone: &Zone, at: Timestamp) -> Limits {
    let own = range_at(ranges, zone, at).map(|(_, range)| range.limits).unwrap_or_default();
    Limits {
        concurrency: own.concurrency.or(always.concurrency),
        daily_billable: own.daily_billable.or(always.daily_billable),
    }
}

/// `mon-fri 17:00-20:00: price 30.00, floor 25.00, concurrency 5`.
impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.hours)?;
        let mut separator = " ";
        let mut say = |name: &str, value: Option<&dyn fmt::Display>| match value {
            Some(value) => {
                let said = write!(f, "{separator}{name} {value}");
                separator = ", ";
                said
            }
            None => Ok(()),
        };
        say("price", self.price.as_ref().map(|price| price as &dyn fmt::Display))?;
        say("floor", self.floor.as_ref().map(|floor| floor as &dyn fmt::Display))?;
        say("concurrency", self.limits.concurrency.as_ref().map(|most| most as &dyn fmt::Display))?;
        say("daily_billable", self.limits.daily_billable.as_ref().map(|most| most as &dyn fmt::Display))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(hours: &str, limits: Limits) -> TimeRange {
        let hours = hours.split("; ").map(|item| Hours::parse_item(item).expect("hours")).collect();
        TimeRange { hours, price: None, floor: None, limits }
    }

    #[test]
    fn limits_are_those_of_the_range_of_the_instant() {
        let always = Limits { concurrency: Some(9), daily_billable: None };
        let ranges = [
            range("mon-fri 17:00-20:00", Limits { concurrency: Some(5), daily_billable: Some(50) }),
            range("fri 22:00-02:00; sun 10:00-11:00", Limits { concurrency: None, daily_billable: Some(7) }),
        ];
        let zone = Zone::load("America/Chicago").expect("a zone");
        let rows = [
            // Chicago is six hours behind UTC. 2026-11-20 is a Friday.
            ("2026-11-20T22:59:59Z", Some(9), None),
            ("2026-11-20T23:00:00Z", Some(5), Some(50)),
            ("2026-11-21T01:59:59Z", Some(5), Some(50)),
            ("2026-11-21T02:00:00Z", Some(9), None),
            ("2026-11-21T04:00:00Z", Some(9), Some(7)),
            ("2026-11-21T07:59:00Z", Some(9), Some(7)),
            ("2026-11-21T08:00:00Z", Some(9), None),
        ];
        for (at, concurrency, daily_billable) in rows {
            let limits = limits_at(&always, &ranges, &zone, Timestamp::parse(at).expect("an instant"));
            assert_eq!(limits, Limits { concurrency, daily_billable }, "{at}");
        }
        assert_eq!(ranges[0].to_string(), "mon-fri 17:00-20:00: concurrency 5, daily_billable 50");
    }
}
