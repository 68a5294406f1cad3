//! Hours with terms of their own, of targets and buyers, and limits.
//!
//! That a range lies within the hours of its target and buyer is checked where both are known, in `catalog`.

use super::file::{Field, Reader};
use super::values::hours;
use crate::domain::catalog::{CONCURRENCY_MAX, DAILY_BILLABLE_MAX, Limits};
use crate::domain::time_range::{RANGES_MAX, TimeRange};

/// What a range may say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Limits.
    Buyer,
    /// Limits, a floor, and a price if it has one that is not asked for.
    Target { has_price: bool },
}

const BUYERS: &str = "a list of {hours = [\"mon-fri 17:00-20:00\"], concurrency = 5, daily_billable = 50}";
const TARGETS: &str =
    "a list of {hours = [\"mon-fri 17:00-20:00\"], price = \"30.00\", floor = \"25.00\", concurrency = 5}";

/// Limits that count at all hours.
pub(super) fn limits(r: &Reader<'_>) -> Limits {
    read_limits(r, "`paused = true`")
}

fn read_limits(r: &Reader<'_>, instead: &str) -> Limits {
    let limit = |key, most: u32| {
        let field = r.field(key);
        if field.raw().and_then(|value| value.as_integer()).is_some_and(|number| number.as_str() == "0") {
            field.wrong("is 0: no call would ever pass it", &format!("at least 1, or {instead}"));
            return None;
        }
        field.whole(1..=most.into())
    };
    Limits {
        concurrency: limit("concurrency", CONCURRENCY_MAX),
        daily_billable: limit("daily_billable", DAILY_BILLABLE_MAX),
    }
}

/// The ranges of a target or buyer; without them, none.
pub(super) fn ranges(field: &Field<'_>, of: Of) -> Vec<TimeRange> {
    let allowed = if of == Of::Buyer { BUYERS } else { TARGETS };
    let items = field.list(allowed);
    if field.is_set() && items.is_empty() && field.raw().is_some_and(|value| value.as_array().is_some()) {
        field.wrong("names no range", allowed);
    }
    if items.len() > RANGES_MAX {
        field.wrong(format!("has {} ranges", items.len()), &format!("at most {RANGES_MAX}"));
        return Vec::new();
    }
    let mut ranges: Vec<(&Field<'_>, TimeRange)> = Vec::new();
    for item in &items {
        let Some(range) = item.table(allowed, |r| range(item, r, of)).flatten() else { continue };
        if let Some((other, earlier)) = ranges.iter().find(|(_, earlier)| earlier.hours.meets(&range.hours)) {
            let what = format!("overlaps {}: {} and {}", other.path, range.hours, earlier.hours);
            item.wrong(what, "ranges of which one counts at a time");
        }
        ranges.push((item, range));
    }
    ranges.into_iter().map(|(_, range)| range).collect()
}

fn range(item: &Field<'_>, r: &Reader<'_>, of: Of) -> Option<TimeRange> {
    let at = r.field("hours").required();
    let hours = hours(&at);
    if hours.as_ref().is_some_and(|hours| hours.has_dates()) {
        at.wrong("names dates", "hours of the week, such as \"mon-fri 17:00-20:00\"");
    }
    let limits = read_limits(r, "`hours` of target or buyer without this time");
    let (price, floor) = match of {
        Of::Buyer => (None, None),
        Of::Target { has_price } => {
            let price = r.field("price");
            if price.is_set() && !has_price {
                price.wrong(
                    "is of no use: the endpoint is asked for a bid",
                    "`floor`, `concurrency` or `daily_billable`",
                );
            }
            (price.price(), r.field("floor").money())
        }
    };
    let terms: &[&str] = match of {
        Of::Buyer => &["concurrency", "daily_billable"],
        Of::Target { .. } => &["price", "floor", "concurrency", "daily_billable"],
    };
    if !terms.iter().any(|key| item.has(key)) {
        r.wrong("changes nothing", if of == Of::Buyer { BUYERS } else { TARGETS });
    }
    Some(TimeRange { hours: hours?, price, floor, limits })
}
