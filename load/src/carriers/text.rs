//! Texts as they go over the wire: escaped JSON, form bodies, times. Nothing is read here.

use std::time::{SystemTime, UNIX_EPOCH};

/// Appends a JSON string with its quotes.
pub(super) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    if !text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\u{0}'..='\u{1f}' => {
                let code = letter as u32;
                out.push_str("\\u00");
                out.extend([code >> 4, code & 15].map(|digit| char::from_digit(digit, 16).unwrap_or('0')));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// Appends a member of an object, with a comma before it unless it is the first.
pub(super) fn push_member(out: &mut String, name: &str, text: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    push_json(out, name);
    out.push(':');
    push_json(out, text);
}

/// Appends text as forms have it.
#[cfg(feature = "twilio")]
pub(super) fn push_form(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => {
                out.push('%');
                let digits = [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
                out.extend(digits.into_iter().flatten().map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
}

/// A date of the calendar and a time of the day, UTC.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    /// Sunday is 0.
    #[cfg_attr(not(feature = "twilio"), expect(dead_code))]
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
    ms: u32,
}

impl Civil {
    fn of(time: SystemTime) -> Civil {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, ms) = (since_epoch.as_secs(), since_epoch.subsec_millis());
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        // Civil date from days since 1970-01-01, after Howard Hinnant's `civil_from_days`.
        let z = days + 719_468;
        let (era, of_era) = (z / 146_097, z % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        Civil { year, month, day, weekday: (days + 4) % 7, hour, minute, second, ms }
    }
}

/// UTC with milliseconds, as in `2026-11-20T09:00:00.000Z`.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second, ms, .. } = Civil::of(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// UTC to the second, as in `Fri, 20 Nov 2026 09:00:00 +0000`.
#[cfg(feature = "twilio")]
pub(super) fn rfc2822(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day, weekday, hour, minute, second, .. } = Civil::of(time);
    let (weekday, month) = (DAYS[weekday as usize], MONTHS[month as usize - 1]);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_rfc3339() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (1_795_165_200_007, "2026-11-20T09:00:00.007Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(unix_ms)), expected);
        }
    }

    #[cfg(feature = "twilio")]
    #[test]
    fn times_are_rfc2822_and_forms_are_escaped() {
        for (unix_s, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_165_200, "Fri, 20 Nov 2026 09:00:00 +0000"),
        ] {
            assert_eq!(rfc2822(UNIX_EPOCH + Duration::from_secs(unix_s)), expected);
        }
        let mut out = String::new();
        push_form(&mut out, "+1 a&b=ü~-._");
        assert_eq!(out, "%2B1+a%26b%3D%C3%BC%7E-._");
    }

    #[test]
    fn json_is_what_a_json_library_writes() {
        for text in ["", "plain", "\"quoted\"\\", "tab\tline\nnul\u{0}", "ü 🦀 \u{7f}", "</script>"] {
            let mut out = "{".to_owned();
            push_member(&mut out, text, text);
            push_member(&mut out, "b", text);
            out.push('}');
            let read: Vec<(String, String)> = {
                let value: serde_json::Value = serde_json::from_str(&out).unwrap();
                let members = value.as_object().unwrap().iter();
                members.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
            };
            assert!(read.contains(&(text.to_owned(), text.to_owned())), "{out}");
            assert!(read.contains(&("b".to_owned(), text.to_owned())), "{out}");
        }
    }
}
