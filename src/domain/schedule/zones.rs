//! Whether hours of two zones are ever open together.
//!
//! It goes through every difference that the two clocks have in the years of [`YEARS`]: one that holds for a week or longer by
//! comparing weeks, the hour in which only one of them was changed minute by minute. Of dates it knows as little as
//! [`Hours::meets`].

use std::collections::BTreeSet;

use jiff::civil::date;
use jiff::tz::TimeZone;

use super::{DAY_MINUTES, Hours, Weekday, WeeklyRange, Zone, from_jiff};
use crate::domain::Timestamp;

/// The years whose clocks are looked at, the last not included.
const YEARS: [i16; 2] = [2026, 2041];
const MINUTE_US: i64 = 60_000_000;
const WEEK_US: i64 = 7 * DAY_MINUTES as i64 * MINUTE_US;

impl Hours {
    /// Whether there may be a time at which both are open, each by a clock of its own zone.
    #[must_use]
    pub fn meets_in(&self, own: &Zone, other: &Hours, theirs: &Zone) -> bool {
        if own == theirs || self.opens_by_date() || other.opens_by_date() {
            return self.meets(other);
        }
        let changes = changes(own, theirs);
        let spans = || changes.windows(2).map(|span| (span[0], span[1]));
        let is_long = |(from, until): &(i64, i64)| until - from >= WEEK_US;
        let ahead = |zone: &Zone, at: i64| {
            let at = jiff::Timestamp::from_microsecond(at).expect("an instant of our years");
            zone.rules.to_offset(at).seconds() / 60
        };
        let shifts: BTreeSet<i32> =
            spans().filter(is_long).map(|(from, _)| ahead(theirs, from) - ahead(own, from)).collect();
        let meet = |shift: &i32| {
            self.weekly.iter().any(|range| other.weekly.iter().any(|other| range.meets_after(*other, *shift)))
        };
        let are_open = |at: i64| {
            let at = Timestamp::from_micros(at);
            self.is_open(own, at) && other.is_open(theirs, at)
        };
        let minutes = |(from, until): (i64, i64)| (from..until).step_by(MINUTE_US as usize);
        shifts.iter().any(meet) || spans().filter(|span| !is_long(span)).flat_map(minutes).any(are_open)
    }
}

impl WeeklyRange {
    /// Whether one begins within the other, where the other's clock is so many minutes ahead.
    fn meets_after(self, other: WeeklyRange, shift: i32) -> bool {
        self.begins_in(other, shift) || other.begins_in(self, -shift)
    }

    fn begins_in(self, other: WeeklyRange, shift: i32) -> bool {
        let day_minutes = i32::from(DAY_MINUTES);
        (0..7).filter(|day| self.days.contains(Weekday(*day))).any(|day| {
            let begins = i32::from(day) * day_minutes + i32::from(self.start) + shift;
            let minute = begins.rem_euclid(7 * day_minutes);
            other.covers(Weekday((minute / day_minutes) as u8), (minute % day_minutes) as u16)
        })
    }
}

/// When either clock is changed, between the first and the last instant of our years: microseconds, ascending.
fn changes(own: &Zone, theirs: &Zone) -> Vec<i64> {
    let [first, after] = YEARS.map(|year| {
        let begins = date(year, 1, 1).at(0, 0, 0, 0).to_zoned(TimeZone::UTC);
        begins.expect("a year of ours").timestamp()
    });
    let of = |zone: &Zone| -> Vec<i64> {
        let all = zone.rules.following(first).map(|change| change.timestamp());
        all.take_while(|at| *at < after).map(|at| from_jiff(at).micros()).collect()
    };
    let ends = [first, after].map(|at| from_jiff(at).micros());
    let all: BTreeSet<i64> = ends.into_iter().chain(of(own)).chain(of(theirs)).collect();
    all.into_iter().collect()
}
