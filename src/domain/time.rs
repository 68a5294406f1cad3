//! Moments. The core is told the time, it never looks: every function that needs it takes `now`.
//!
//! No clock and no time zone here; zones belong to `schedule`.

use std::fmt;
use std::time::Duration;

/// A moment in UTC, in microseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `us` microseconds after the epoch.
    pub const fn from_micros(us: i64) -> Self {
        Timestamp(us)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads RFC 3339 with any offset; `None` for anything else, a moment without an offset included.
    pub fn parse(text: &str) -> Option<Timestamp> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Timestamp(t.as_microsecond()))
    }

    /// Reads RFC 2822, such as `Fri, 20 Nov 2026 09:00:00 +0000`; `None` for anything else.
    pub fn parse_rfc2822(text: &str) -> Option<Timestamp> {
        jiff::fmt::rfc2822::parse(text).ok().map(|zoned| Timestamp(zoned.timestamp().as_microsecond()))
    }

    /// The moment `span` later.
    pub fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier.
    pub fn before(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; nothing if it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 UTC to the second, as pings carry it.
    pub fn to_the_second(self) -> String {
        self.at_the_second(str::to_owned)
    }

    /// The same without memory of its own.
    pub fn at_the_second<T>(self, to: impl FnOnce(&str) -> T) -> T {
        match self.digits() {
            Some(mut digits) => {
                digits[19] = b'Z';
                to(text(&digits[..20]))
            }
            None => to(&self.beyond()),
        }
    }

    /// How long nearly every moment is when it is printed.
    pub const DIGITS: usize = 24;

    /// Writes what it is printed as over the [`Timestamp::DIGITS`] bytes from `at` on; what is longer or shorter moves
    /// what follows.
    pub fn write_over(self, bytes: &mut Vec<u8>, at: usize) {
        match self.digits() {
            Some(digits) => bytes[at..at + Self::DIGITS].copy_from_slice(&digits),
            None => drop(bytes.splice(at..at + Self::DIGITS, self.beyond().into_bytes())),
        }
    }

    /// RFC 3339 UTC with milliseconds; `None` outside of the years 0 to 9999.
    fn digits(self) -> Option<[u8; Self::DIGITS]> {
        let moment = jiff::Timestamp::from_microsecond(self.0).ok()?;
        let civil = jiff::tz::Offset::UTC.to_datetime(moment);
        let year = u16::try_from(civil.year()).ok()?;
        let two = |number: i8| u16::from(number.unsigned_abs());
        let mut digits = *b"0000-00-00T00:00:00.000Z";
        let parts = [
            (0..4, year),
            (5..7, two(civil.month())),
            (8..10, two(civil.day())),
            (11..13, two(civil.hour())),
            (14..16, two(civil.minute())),
            (17..19, two(civil.second())),
            (20..23, civil.millisecond().unsigned_abs()),
        ];
        for (place, mut number) in parts {
            for digit in digits[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        Some(digits)
    }

    /// A moment no calendar of ours reaches.
    fn beyond(self) -> String {
        format!("{}us", self.0)
    }
}

fn text(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).expect("digits and signs are ASCII")
}

impl fmt::Display for Timestamp {
    /// RFC 3339 UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digits() {
            Some(digits) => f.pad(text(&digits)),
            None => f.pad(&self.beyond()),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses() {
        let moment = Timestamp::parse("2026-11-20T09:00:00.25+01:00").expect("RFC 3339");
        assert_eq!(moment.to_string(), "2026-11-20T08:00:00.250Z");
        assert_eq!(moment.to_the_second(), "2026-11-20T08:00:00Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(format!("{:>26}", Timestamp(i64::MAX)), "     9223372036854775807us");
        assert_eq!(Timestamp::parse("2026-11-20T08:00:00"), None, "no offset, no moment");
        let mail = |text| Timestamp::parse_rfc2822(text).map(Timestamp::to_the_second);
        let nine = Some("2026-11-20T09:00:00Z".to_owned());
        assert_eq!(mail("Fri, 20 Nov 2026 10:00:00 +0100"), nine);
        assert_eq!(mail("Fri, 20 Nov 2026 09:00:00 GMT"), nine);
        assert_eq!(mail("2026-11-20T09:00:00Z"), None, "another format");
        assert_eq!(moment.since(moment.after(Duration::from_secs(1))), Duration::ZERO);
    }
}
