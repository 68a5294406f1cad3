//! Opening hours and cap windows in a time zone. Both follow the local wall clock, and this is the one place
//! that knows what that means on the days the clocks change.
//!
//! Open or closed is decided by the time a clock on the wall shows: an hour that occurs twice is open both
//! times, an hour that is skipped is neither open nor in the way. A day is what lies between the first instants
//! of two dates: 23, 24 or 25 hours long, beginning at 01:00 where midnight is skipped.
//!
//! It deliberately reads no clock, no file and no environment: the instant is an argument and zones come from
//! the database built into the program, so that two nodes of one version agree. It knows the holidays it is told and
//! does not compute when something opens next.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::ToSpan;
use jiff::civil::{Date, date};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use super::time::Timestamp;

#[cfg(test)]
mod tests;
mod zones;

/// A time zone of the built-in database. Cheap to clone; equal if the names are.
#[derive(Clone)]
pub struct Zone {
    rules: TimeZone,
    /// What was asked for last, for all clones.
    last: Arc<LastOffset>,
}

/// Opening hours: the union of any number of ranges by weekday, and dates that follow hours of their own instead. No
/// ranges at all, beside dates, are always open but on these dates; nothing at all is never open.
///
/// A date of its own is ruled by what is said of it alone: nothing of the night before reaches into it. Its own last
/// hours run on past midnight like everybody's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hours {
    weekly: Vec<WeeklyRange>,
    /// Ascending by date; a span without a length is a closed day.
    dated: Vec<DatedRange>,
}

/// One line of opening hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HoursItem {
    /// `mon-fri 09:00-17:00`
    Weekly(WeeklyRange),
    /// `2026-12-24 09:00-12:00`, `2026-12-25 closed`
    Dated(DatedRange),
}

/// Hours of one date or of several that follow each other, or that they are closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DatedRange {
    first: Day,
    last: Day,
    /// As those of a [`WeeklyRange`]; `None` is closed.
    span: Option<(u16, u16)>,
}

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

/// A date, in days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Day(i32);

/// A set of weekdays, never empty. Bit 0 is Monday.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Days(u8);

/// What a clock on the wall shows: looked at once where many hours are held against it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wall {
    today: Day,
    weekday: Weekday,
    /// Minute of the day.
    minute: u16,
}

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
    let mut date = zone.rules.to_datetime(at).date();
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

impl Hours {
    /// Open at all times.
    #[must_use]
    pub fn always() -> Hours {
        let range = WeeklyRange { days: Days::DAILY, start: 0, end: DAY_MINUTES };
        Hours { weekly: vec![range], dated: Vec::new() }
    }

    /// Whether the wall clock of `zone` shows opening hours at `at`. A range's first minute is open, its end
    /// is not.
    #[must_use]
    pub fn is_open(&self, zone: &Zone, at: Timestamp) -> bool {
        self.hold(&zone.wall(at))
    }

    /// Whether these are opening hours by a clock that was looked at once.
    #[must_use]
    pub fn hold(&self, wall: &Wall) -> bool {
        let Wall { today, weekday, minute } = *wall;
        if self.is_dated(today) {
            return self.of(today).any(|(start, end)| minute >= start && (minute < end || end <= start));
        }
        // Nearly all hours have no dates, and need not know what yesterday was.
        if self.dated.is_empty() {
            return self.weekly.iter().any(|range| range.covers(weekday, minute));
        }
        let is_always = self.weekly.is_empty();
        let begun = self.weekly.iter().any(|range| range.begins_on(weekday, minute));
        let yesterday = Day(today.0 - 1);
        let runs_on = if self.is_dated(yesterday) {
            self.of(yesterday).any(|(start, end)| end <= start && minute < end)
        } else {
            self.weekly.iter().any(|range| range.runs_on_from(weekday.yesterday(), minute))
        };
        is_always || begun || runs_on
    }

    /// Whether dates have hours of their own.
    #[must_use]
    pub fn has_dates(&self) -> bool {
        !self.dated.is_empty()
    }

    fn is_dated(&self, date: Day) -> bool {
        self.dated.iter().any(|range| (range.first..=range.last).contains(&date))
    }

    /// The spans of a date of its own.
    fn of(&self, date: Day) -> impl Iterator<Item = (u16, u16)> {
        let on = move |range: &&DatedRange| (range.first..=range.last).contains(&date);
        self.dated.iter().filter(on).filter_map(|range| range.span)
    }

    /// Parses one line: days or dates, a space, hours.
    ///
    /// Days are `daily`, a day `sat`, a span `mon-fri` (or `fri-mon`), or several by comma `mon,wed,fri`; dates are
    /// `2026-12-25` or `2026-12-24/2026-12-26`. Hours are `09:00-17:00`, the end up to `24:00`; an end before the start
    /// is on the next day. Of dates they may be `closed`.
    pub fn parse_item(text: &str) -> Result<HoursItem, ScheduleError> {
        let mut words = text.split_whitespace();
        let (Some(days), Some(hours), None) = (words.next(), words.next(), words.next()) else {
            return Err(ScheduleError::new(text, "is not a range of opening hours", RANGE_ALLOWED));
        };
        if days.starts_with(|c: char| c.is_ascii_digit()) {
            return DatedRange::parse(days, hours).map(HoursItem::Dated);
        }
        WeeklyRange::parse(days, hours).map(HoursItem::Weekly)
    }

    /// Two lines that say something of the same minute; what one of them says is said in vain.
    #[must_use]
    pub fn overlap(&self) -> Option<(HoursItem, HoursItem)> {
        let pairs = |count: usize| (1..count).flat_map(|b| (0..b).map(move |a| (a, b)));
        let weekly = pairs(self.weekly.len()).map(|(a, b)| (self.weekly[a], self.weekly[b]));
        let weekly = weekly.filter(|(a, b)| a.meets(*b));
        let dated = pairs(self.dated.len()).map(|(a, b)| (self.dated[a], self.dated[b]));
        let dated = dated.filter(|(a, b)| a.collides(b));
        (weekly.map(|(a, b)| (HoursItem::Weekly(a), HoursItem::Weekly(b))))
            .chain(dated.map(|(a, b)| (HoursItem::Dated(a), HoursItem::Dated(b))))
            .next()
    }

    /// Whether there may be a time at which all of `open` are open and none of `closed` is, in one zone. Of dates it
    /// knows only that they make exceptions: where those could be such a time it says yes without looking further.
    #[must_use]
    pub fn may_hold(open: &[&Hours], closed: &[&Hours]) -> bool {
        let opens_by_date = |hours: &&Hours| hours.dated.iter().any(|range| range.span.is_some());
        if open.iter().any(opens_by_date) || closed.iter().any(|hours| !hours.dated.is_empty()) {
            return true;
        }
        // What is open changes where a range begins or ends.
        let ranges = open.iter().chain(closed).flat_map(|hours| &hours.weekly);
        let edges: Vec<u16> =
            ranges.flat_map(|range| [range.start, range.end % DAY_MINUTES]).chain([0]).collect();
        let holds = |day: Weekday, minute: u16| {
            open.iter().all(|hours| hours.weekly_holds(day, minute))
                && !closed.iter().any(|hours| hours.weekly_holds(day, minute))
        };
        (0..7).map(Weekday).any(|day| edges.iter().any(|minute| holds(day, *minute)))
    }

    /// Whether the ranges by weekday hold this minute; dates alone are exceptions of always.
    fn weekly_holds(&self, weekday: Weekday, minute: u16) -> bool {
        let is_always = self.weekly.is_empty() && !self.dated.is_empty();
        is_always || self.weekly.iter().any(|range| range.covers(weekday, minute))
    }

    /// Whether there may be a time at which both are open in one zone. Of hours with dates that are open it says yes
    /// without looking further.
    #[must_use]
    pub fn meets(&self, other: &Hours) -> bool {
        self.opens_by_date()
            || other.opens_by_date()
            || self.weekly.iter().any(|range| other.weekly.iter().any(|other| range.meets(*other)))
    }
}

impl Hours {
    /// Whether dates say more than when it is closed.
    fn opens_by_date(&self) -> bool {
        let is_always = self.weekly.is_empty() && !self.dated.is_empty();
        is_always || self.dated.iter().any(|range| range.span.is_some())
    }
}

impl FromIterator<HoursItem> for Hours {
    fn from_iter<I: IntoIterator<Item = HoursItem>>(items: I) -> Hours {
        let mut hours = Hours::default();
        for item in items {
            match item {
                HoursItem::Weekly(range) => hours.weekly.push(range),
                HoursItem::Dated(range) => hours.dated.push(range),
            }
        }
        hours.dated.sort_unstable();
        hours
    }
}

const FIRST_DAY: Date = date(1970, 1, 1);

impl Day {
    fn of(date: Date) -> Day {
        Day(FIRST_DAY.until(date).expect("days fit whatever dates there are").get_days())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&FIRST_DAY.saturating_add(self.0.days()), f)
    }
}

impl DatedRange {
    fn parse(dates: &str, hours: &str) -> Result<DatedRange, ScheduleError> {
        let (first, last) = dates.split_once('/').unwrap_or((dates, dates));
        let date = |text: &str| {
            let parsed = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
            parsed.map(Day::of).ok_or_else(|| ScheduleError::new(text, "is not a date", DATES_ALLOWED))
        };
        let (first, last) = (date(first)?, date(last)?);
        if last < first {
            return Err(ScheduleError::new(dates, "ends before it begins", DATES_ALLOWED));
        }
        let span = if hours == "closed" { None } else { Some(parse_span(hours)?) };
        Ok(DatedRange { first, last, span })
    }

    /// Whether both are said of one date, and of the same minutes or one of them that it is closed.
    fn collides(&self, other: &DatedRange) -> bool {
        if self.last < other.first || other.last < self.first {
            return false;
        }
        let end = |(start, end): (u16, u16)| if end <= start { end + DAY_MINUTES } else { end };
        match (self.span, other.span) {
            (Some(a), Some(b)) => a.0 < end(b) && b.0 < end(a),
            (None, _) | (_, None) => true,
        }
    }
}

impl WeeklyRange {
    fn parse(days: &str, hours: &str) -> Result<WeeklyRange, ScheduleError> {
        let days = Days::parse(days)?;
        let (start, end) = parse_span(hours)?;
        Ok(WeeklyRange { days, start, end })
    }

    fn covers(self, weekday: Weekday, minute: u16) -> bool {
        self.begins_on(weekday, minute) || self.runs_on_from(weekday.yesterday(), minute)
    }

    /// Whether hours that begin on this day hold this minute of it.
    fn begins_on(self, weekday: Weekday, minute: u16) -> bool {
        self.days.contains(weekday) && minute >= self.start && (minute < self.end || self.end <= self.start)
    }

    /// Whether hours that began on that day hold this minute of the next.
    fn runs_on_from(self, weekday: Weekday, minute: u16) -> bool {
        self.end <= self.start && self.days.contains(weekday) && minute < self.end
    }

    /// Whether there is a minute of the week in both: then one begins within the other.
    fn meets(self, other: WeeklyRange) -> bool {
        let begins_in = |a: WeeklyRange, b: WeeklyRange| {
            (0..7).map(Weekday).any(|day| a.days.contains(day) && b.covers(day, a.start))
        };
        begins_in(self, other) || begins_in(other, self)
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
        Some(Zone::of(zone))
    }

    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Zone {
        Zone::of(TimeZone::UTC)
    }

    fn of(rules: TimeZone) -> Zone {
        Zone { rules, last: Arc::default() }
    }

    /// What a clock of the zone shows at `at`.
    #[must_use]
    pub fn wall(&self, at: Timestamp) -> Wall {
        let at = in_range(at);
        let local = at.micros().div_euclid(SECOND) + self.last.of(&self.rules, at);
        let (day, second) = (local.div_euclid(DAY_S), local.rem_euclid(DAY_S));
        // The first day of all was a Thursday.
        let weekday = (day + 3).rem_euclid(7);
        Wall { today: Day(day as i32), weekday: Weekday(weekday as u8), minute: (second / 60) as u16 }
    }

    /// What the clock on the wall shows at `at`: `Fri 2026-11-20 09:00`.
    #[must_use]
    pub fn wall_clock(&self, at: Timestamp) -> String {
        self.rules.to_datetime(to_jiff(at)).strftime("%a %Y-%m-%d %H:%M").to_string()
    }

    /// The IANA name as the database spells it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.rules.iana_name().expect("load takes only zones with a name")
    }
}

/// The offset from UTC of the quarter of an hour that was asked for last: the hours of a whole market are held against
/// one instant, and finding it in the rules takes longer than the rest. The quarter, counted so that none is 0, above
/// [`OFFSET_BITS`] bits of the offset in seconds, counted likewise; 0 before the first.
#[derive(Debug, Default)]
struct LastOffset(AtomicU64);

const QUARTER_S: i64 = 15 * 60;
const OFFSET_BITS: u32 = 20;
/// More than any offset has seconds, in either direction.
const OFFSET_ZERO: i64 = 1 << (OFFSET_BITS - 1);
/// More than there are quarters, in either direction.
const QUARTER_ZERO: i64 = 1 << 40;

impl LastOffset {
    /// The offset in seconds.
    fn of(&self, rules: &TimeZone, at: Timestamp) -> i64 {
        let quarter = at.micros().div_euclid(QUARTER_S * SECOND);
        let known = self.0.load(Ordering::Relaxed);
        if known >> OFFSET_BITS == (quarter + QUARTER_ZERO) as u64 {
            return (known & ((1 << OFFSET_BITS) - 1)) as i64 - OFFSET_ZERO;
        }
        let offset = |micros| i64::from(rules.to_offset(to_jiff(Timestamp::from_micros(micros))).seconds());
        let first = offset(quarter * QUARTER_S * SECOND);
        // One in which the clocks change is not kept.
        if first == offset((quarter + 1) * QUARTER_S * SECOND - 1) {
            let packed = (quarter + QUARTER_ZERO) << OFFSET_BITS | (first + OFFSET_ZERO);
            self.0.store(packed as u64, Ordering::Relaxed);
        }
        offset(at.micros())
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

/// As `parse_item` reads it, in the shortest form: `mon-fri 09:00-17:00`, `2026-12-25 closed`.
impl fmt::Display for HoursItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = match self {
            HoursItem::Weekly(range) => {
                write!(f, "{} ", range.days)?;
                Some((range.start, range.end))
            }
            HoursItem::Dated(DatedRange { first, last, span }) => {
                write!(f, "{first}")?;
                if last > first {
                    write!(f, "/{last}")?;
                }
                f.write_str(" ")?;
                *span
            }
        };
        match span {
            Some((start, end)) => {
                write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
            }
            None => f.write_str("closed"),
        }
    }
}

/// The ranges in the order given and then the dates, with `; ` between them; `never` if there are none.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weekly = self.weekly.iter().copied().map(HoursItem::Weekly);
        let mut separator = "";
        for item in weekly.chain(self.dated.iter().copied().map(HoursItem::Dated)) {
            write!(f, "{separator}{item}")?;
            separator = "; ";
        }
        if separator.is_empty() { f.write_str("never") } else { Ok(()) }
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
const DAY_S: i64 = 86_400;
/// In microseconds.
const SECOND: i64 = 1_000_000;
const RANGE_ALLOWED: &str = "days or dates, a space, hours, such as `mon-fri 09:00-17:00`, `2026-12-24 09:00-12:00` or `2026-12-25 closed`";
const DATES_ALLOWED: &str =
    "a date such as `2026-12-25`, or the first and last of several: `2026-12-24/2026-12-26`";
const DAYS_ALLOWED: &str =
    "mon tue wed thu fri sat sun, a span such as `mon-fri`, several such as `mon,wed,fri`, or `daily`";
const HOURS_ALLOWED: &str =
    "start-end such as `09:00-17:00`, `00:00-24:00` for the whole day, `22:00-02:00` for past midnight";
const MINUTE_ALLOWED: &str = "HH:MM from 00:00 to 23:59, and 24:00 as an end";

/// 0 is Monday, 6 is Sunday.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

/// `HH:MM-HH:MM` as minutes of the day, the end not after the start if it is on the next one.
fn parse_span(hours: &str) -> Result<(u16, u16), ScheduleError> {
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
    Ok((start, if end == 0 { DAY_MINUTES } else { end }))
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
    let midnight = zone.rules.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
    let offset = midnight.offset();
    let earlier = midnight.earlier().expect("to_jiff leaves days to spare");
    match offset {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => earlier,
        // Midnight is skipped, and `earlier` lies before the jump that skips it. What the clock shows after
        // the jump is the date's first instant, be that 01:00 or, where the jump began at 23:30, 00:30.
        AmbiguousOffset::Gap { .. } => {
            zone.rules.following(earlier).next().expect("a gap is made by a transition").timestamp()
        }
    }
}

/// jiff covers the years -9999 to 9999; instants beyond, and so near that a day's end lies beyond, are taken
/// as the nearest it can work with. No clock of ours shows them.
fn in_range(at: Timestamp) -> Timestamp {
    const MARGIN_US: i64 = 4 * DAY_S * SECOND;
    let least = jiff::Timestamp::MIN.as_microsecond() + MARGIN_US;
    let most = jiff::Timestamp::MAX.as_microsecond() - MARGIN_US;
    Timestamp::from_micros(at.micros().clamp(least, most))
}

fn to_jiff(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(in_range(at).micros()).expect("it is in range")
}

/// Transitions and midnights fall on whole seconds: nothing is cut off.
fn from_jiff(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_microsecond())
}
