//! Opening hours and cap windows in a time zone. Both follow the local wall clock, and this is the one place
//! that knows what that means on the days the clocks change.
//!
//! Open or closed is decided by the time a clock on the wall shows: an hour that occurs twice is open both
//! times, an hour that is skipped is neither open nor in the way. A day is what lies between the first instants
//! of two dates: 23, 24 or 25 hours long, beginning at 01:00 where midnight is skipped.
//!
//! It deliberately reads no clock, no file and no environment: the instant is an argument and zones come from
//! the database built into the program, so that two nodes of one version agree. It knows no holidays and does
//! not compute when something opens next.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use super::time::Timestamp;

#[cfg(test)]
mod tests;

/// A time zone of the built-in database. Cheap to clone; equal if the names are.
#[derive(Clone)]
pub struct Zone(TimeZone);

/// Opening hours by weekday: the union of any number of [`WeeklyRange`]s. None at all is never open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WeeklyHours(Vec<WeeklyRange>);

/// The same hours on some days of the week: `mon-fri 09:00-17:00`. If the end is not after the start, each
/// day's range runs on past midnight: `fri 22:00-02:00` covers Saturday until 02:00.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WeeklyRange {
    days: Days,
    /// Minute of the day, below 1,440.
    start: u16,
    /// Minute of the day, exclusive, from 1 to 1,440; never the start.
    end: u16,
}

/// A set of weekdays, never empty. Bit 0 is Monday.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Days(u8);

/// A span of time: `start` belongs to it, `end` does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Window {
    /// The first instant in it.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

/// Text that is not opening hours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{value}` {wrong}; allowed: {allowed}")]
pub struct ScheduleError {
    /// The offending part, as written.
    pub value: String,
    /// What is wrong with it, to be read after the value.
    pub wrong: &'static str,
    /// What is taken instead.
    pub allowed: &'static str,
}

/// The local day that holds `at`: from the first instant of its date to the first instant of the next date.
///
/// The windows of a zone follow each other without gap or overlap. Where clocks go back over midnight, the
/// repeated end of the old date stays in the window of the date that had begun if any of that date had been
/// seen, so that a day never resumes after its successor began.
#[must_use]
pub fn day_window(zone: &Zone, at: Timestamp) -> Window {
    let at = to_jiff(at);
    let mut date = zone.0.to_datetime(at).date();
    let mut start = first_instant(zone, date);
    loop {
        let next = date.tomorrow().expect("to_jiff leaves days to spare");
        let end = first_instant(zone, next);
        if at < end {
            return Window { start: from_jiff(start), end: from_jiff(end) };
        }
        (date, start) = (next, end);
    }
}

impl Window {
    /// Whether this instant lies in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

impl WeeklyHours {
    /// Open at all times.
    #[must_use]
    pub fn always() -> WeeklyHours {
        WeeklyHours(vec![WeeklyRange { days: Days::DAILY, start: 0, end: DAY_MINUTES }])
    }

    /// Whether the wall clock of `zone` shows opening hours at `at`. A range's first minute is open, its end
    /// is not.
    #[must_use]
    pub fn is_open(&self, zone: &Zone, at: Timestamp) -> bool {
        let local = zone.0.to_datetime(to_jiff(at));
        let weekday = Weekday(local.weekday().to_monday_zero_offset().unsigned_abs());
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        self.0.iter().any(|range| range.covers(weekday, minute))
    }

    /// Parses one range: days, a space, hours.
    ///
    /// Days are `daily`, a day `sat`, a span `mon-fri` (or `fri-mon`), or several by comma `mon,wed,fri`.
    /// Hours are `09:00-17:00`, the end up to `24:00`; an end before the start is on the next day.
    pub fn parse_range(text: &str) -> Result<WeeklyRange, ScheduleError> {
        let mut words = text.split_whitespace();
        let (Some(days), Some(hours), None) = (words.next(), words.next(), words.next()) else {
            return Err(ScheduleError::new(text, "is not a range of opening hours", RANGE_ALLOWED));
        };
        WeeklyRange::parse(days, hours)
    }
}

impl FromIterator<WeeklyRange> for WeeklyHours {
    fn from_iter<I: IntoIterator<Item = WeeklyRange>>(ranges: I) -> WeeklyHours {
        WeeklyHours(ranges.into_iter().collect())
    }
}

impl WeeklyRange {
    /// Parses days and hours that are written apart; the forms are those of [`WeeklyHours::parse_range`].
    pub fn parse(days: &str, hours: &str) -> Result<WeeklyRange, ScheduleError> {
        let days = Days::parse(days)?;
        let Some((start, end)) = hours.split_once('-') else {
            return Err(ScheduleError::new(hours, "is not a span of hours", HOURS_ALLOWED));
        };
        let (start, end) = (parse_minute(start)?, parse_minute(end)?);
        if start == DAY_MINUTES {
            return Err(ScheduleError::new(hours, "starts at the end of the day", HOURS_ALLOWED));
        }
        if start == end {
            return Err(ScheduleError::new(hours, "has no length", HOURS_ALLOWED));
        }
        // 22:00-00:00 ends at midnight, which is 24:00 of its own day.
        Ok(WeeklyRange { days, start, end: if end == 0 { DAY_MINUTES } else { end } })
    }

    fn covers(self, weekday: Weekday, minute: u16) -> bool {
        if self.start < self.end {
            return self.days.contains(weekday) && (self.start..self.end).contains(&minute);
        }
        (self.days.contains(weekday) && minute >= self.start)
            || (self.days.contains(weekday.yesterday()) && minute < self.end)
    }
}

impl Days {
    const DAILY: Days = Days(0b111_1111);

    fn parse(text: &str) -> Result<Days, ScheduleError> {
        if text.eq_ignore_ascii_case("daily") {
            return Ok(Days::DAILY);
        }
        let mut days = Days(0);
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Some(first), Some(last)) = (Weekday::parse(first), Weekday::parse(last)) else {
                return Err(ScheduleError::new(part, "is not a day of the week", DAYS_ALLOWED));
            };
            let mut day = first;
            days.insert(day);
            while day != last {
                day = day.tomorrow();
                days.insert(day);
            }
        }
        Ok(days)
    }

    fn insert(&mut self, day: Weekday) {
        self.0 |= 1 << day.0;
    }

    fn contains(self, day: Weekday) -> bool {
        self.0 & (1 << day.0) != 0
    }
}

impl Zone {
    /// Loads a zone by its IANA name, in any case (`america/new_york`); `None` if there is none of that name.
    #[must_use]
    pub fn load(name: &str) -> Option<Zone> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        // jiff's stand-in for "unknown" behaves as UTC and has no name: not something to bill by.
        zone.iana_name()?;
        Some(Zone(zone))
    }

    /// The IANA name as the database spells it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().expect("load takes only zones with a name")
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As `parse_range` reads it, in the shortest form: `mon-fri 09:00-17:00`.
impl fmt::Display for WeeklyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.start, self.end);
        write!(f, "{} {:02}:{:02}-{:02}:{:02}", self.days, start / 60, start % 60, end / 60, end % 60)
    }
}

/// The ranges in the order given, with `; ` between them; `never` if there are none.
impl fmt::Display for WeeklyHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("never");
        }
        for (i, range) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{range}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Days::DAILY {
            return f.write_str("daily");
        }
        let mut separator = "";
        let mut first = 0;
        while first < 7 {
            if !self.contains(Weekday(first)) {
                first += 1;
                continue;
            }
            let mut last = first;
            while last < 6 && self.contains(Weekday(last + 1)) {
                last += 1;
            }
            write!(f, "{separator}{}", Weekday(first).name())?;
            if last > first {
                write!(f, "-{}", Weekday(last).name())?;
            }
            separator = ",";
            first = last + 1;
        }
        Ok(())
    }
}

const DAY_MINUTES: u16 = 24 * 60;
const RANGE_ALLOWED: &str = "days, a space, hours, such as `mon-fri 09:00-17:00`";
const DAYS_ALLOWED: &str =
    "mon tue wed thu fri sat sun, a span such as `mon-fri`, several such as `mon,wed,fri`, or `daily`";
const HOURS_ALLOWED: &str =
    "start-end such as `09:00-17:00`, `00:00-24:00` for the whole day, `22:00-02:00` for past midnight";
const MINUTE_ALLOWED: &str = "HH:MM from 00:00 to 23:59, and 24:00 as an end";

/// 0 is Monday, 6 is Sunday.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Weekday(u8);

impl Weekday {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    fn parse(text: &str) -> Option<Weekday> {
        (0..7).map(Weekday).find(|day| day.name().eq_ignore_ascii_case(text))
    }

    fn name(self) -> &'static str {
        Weekday::NAMES[usize::from(self.0)]
    }

    fn tomorrow(self) -> Weekday {
        Weekday((self.0 + 1) % 7)
    }

    fn yesterday(self) -> Weekday {
        Weekday((self.0 + 6) % 7)
    }
}

impl ScheduleError {
    fn new(value: &str, wrong: &'static str, allowed: &'static str) -> ScheduleError {
        ScheduleError { value: value.to_owned(), wrong, allowed }
    }
}

/// `HH:MM` as the minute of the day, `24:00` included.
fn parse_minute(text: &str) -> Result<u16, ScheduleError> {
    let digits = match text.as_bytes() {
        [a, b, b':', c, d] => [*a, *b, *c, *d],
        _ => return Err(ScheduleError::new(text, "is not a time of day", MINUTE_ALLOWED)),
    };
    let [a, b, c, d] = digits.map(|digit| u16::from(digit.wrapping_sub(b'0')));
    let (hour, minute) = (a * 10 + b, c * 10 + d);
    let numeric = digits.iter().all(u8::is_ascii_digit);
    if !numeric || minute > 59 || hour * 60 + minute > DAY_MINUTES {
        return Err(ScheduleError::new(text, "is not a time of day", MINUTE_ALLOWED));
    }
    Ok(hour * 60 + minute)
}

/// The first instant at which a clock in `zone` shows `date` (or a later one, if the zone skipped the date).
fn first_instant(zone: &Zone, date: Date) -> jiff::Timestamp {
    let midnight = zone.0.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
    let offset = midnight.offset();
    let earlier = midnight.earlier().expect("to_jiff leaves days to spare");
    match offset {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => earlier,
        // Midnight is skipped, and `earlier` lies before the jump that skips it. What the clock shows after
        // the jump is the date's first instant, be that 01:00 or, where the jump began at 23:30, 00:30.
        AmbiguousOffset::Gap { .. } => {
            zone.0.following(earlier).next().expect("a gap is made by a transition").timestamp()
        }
    }
}

/// jiff covers the years -9999 to 9999; instants beyond, and so near that a day's end lies beyond, are taken
/// as the nearest it can work with. No clock of ours shows them.
fn to_jiff(at: Timestamp) -> jiff::Timestamp {
    const MARGIN_US: i64 = 4 * 86_400_000_000;
    let least = jiff::Timestamp::MIN.as_microsecond() + MARGIN_US;
    let most = jiff::Timestamp::MAX.as_microsecond() - MARGIN_US;
    jiff::Timestamp::from_microsecond(at.micros().clamp(least, most)).expect("clamped into range")
}

/// Transitions and midnights fall on whole seconds: nothing is cut off.
fn from_jiff(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_microsecond())
}
