//! A JSON number read exactly from its text: sign, micro-units cut at the sixth decimal, and what was cut.
//!
//! Integer arithmetic only. A float never holds the number, so 0.1 is a tenth, 25.9999999 does not become 26, and a
//! number of any length or exponent costs no more steps than it has digits.

/// What a JSON number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// It has a minus sign, `-0` included.
    pub(super) is_negative: bool,
    /// Every digit is a zero, whatever the exponent.
    pub(super) is_zero: bool,
    /// Its size in micro-units without the sign, cut at the sixth decimal; `None` where 64 bits do not hold it.
    pub(super) micros: Option<i64>,
    /// A digit other than zero stood beyond the sixth decimal.
    pub(super) was_cut: bool,
}

/// Exponents beyond this are as good as this one: no body is long enough to make up for it.
const EXPONENT_MAX: i64 = 1_000_000_000_000;

impl Decimal {
    /// Reads a number by the grammar of RFC 8259; `None` for any other text.
    pub(super) fn read(text: &[u8]) -> Option<Decimal> {
        let (is_negative, rest) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, rest) = digits(rest)?;
        if whole.len() > 1 && whole[0] == b'0' {
            return None;
        }
        let (fraction, rest) = match rest.strip_prefix(b".") {
            Some(rest) => digits(rest)?,
            None => (&rest[..0], rest),
        };
        let exponent = exponent(rest)?;
        Some(Decimal::of(is_negative, whole, fraction, exponent))
    }

    /// The number as whole units, saturating; `None` where it has a fraction. `30`, `30.0` and `3e1` are the same.
    pub(super) fn units(&self) -> Option<u64> {
        match self.micros {
            Some(micros) if self.was_cut || micros % 1_000_000 != 0 => None,
            Some(micros) => u64::try_from(micros / 1_000_000).ok(),
            None => Some(u64::MAX),
        }
    }

    fn of(is_negative: bool, whole: &[u8], fraction: &[u8], exponent: i64) -> Decimal {
        let length = whole.len() + fraction.len();
        // How many digits stand before the place of a micro-unit; the rest is cut, missing ones are zeros.
        let kept = exponent.saturating_add(whole.len() as i64).saturating_add(6).max(0);
        let cut_at = usize::try_from(kept).unwrap_or(usize::MAX).min(length);
        let mut micros = Some(0_i64);
        for byte in whole.iter().chain(fraction).take(cut_at) {
            micros = micros.and_then(|m| m.checked_mul(10)?.checked_add(i64::from(byte - b'0')));
        }
        let mut missing = kept - cut_at as i64;
        while missing > 0 && micros.is_some_and(|m| m != 0) {
            micros = micros.and_then(|m| m.checked_mul(10));
            missing -= 1;
        }
        let has_more = |from| whole.iter().chain(fraction).skip(from).any(|byte| *byte != b'0');
        Decimal { is_negative, is_zero: !has_more(0), micros, was_cut: has_more(cut_at) }
    }
}

/// The digits the text begins with, at least one, and what follows.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The exponent that makes up the rest of a number, 0 if nothing is left.
fn exponent(text: &[u8]) -> Option<i64> {
    let Some(rest) = text.strip_prefix(b"e").or_else(|| text.strip_prefix(b"E")) else {
        return text.is_empty().then_some(0);
    };
    let (is_negative, rest) = match rest {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, rest),
    };
    let (figures, b"") = digits(rest)? else { return None };
    let size = figures.iter().fold(0, |size: i64, byte| {
        size.saturating_mul(10).saturating_add(i64::from(byte - b'0')).min(EXPONENT_MAX)
    });
    Some(if is_negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Money;
    use crate::domain::draw::Draw;

    #[test]
    fn reads_numbers_exactly() {
        // text | micro-units, `-` where they do not fit | what else is true of it
        let table = "
            0 | 0 | zero
            -0 | 0 | negative zero
            -0.0e5 | 0 | negative zero
            0e99999999999999999999 | 0 | zero
            0.1 | 100000 |
            0.10 | 100000 |
            25.50 | 25500000 |
            25.9999999 | 25999999 | cut
            25.9999990 | 25999999 |
            1e2 | 100000000 |
            1E+2 | 100000000 |
            255e-1 | 25500000 |
            0.0000001 | 0 | cut
            0.0000001e1 | 1 |
            1e-7 | 0 | cut
            1e-99999999999999999999 | 0 | cut
            9e15 | - |
            9e12 | 9000000000000000000 |
            9223372036854.775807 | 9223372036854775807 |
            9223372036854.775808 | - |
            1e400 | - |
            1e99999999999999999999 | - |
            -5 | 5000000 | negative
        ";
        for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let number = Decimal::read(cells[0].as_bytes()).expect(row);
            let micros = number.micros.map_or("-".to_owned(), |m| m.to_string());
            let mut traits = Vec::new();
            for (word, holds) in
                [("negative", number.is_negative), ("zero", number.is_zero), ("cut", number.was_cut)]
            {
                if holds {
                    traits.push(word);
                }
            }
            assert_eq!((micros.as_str(), traits.join(" ").as_str()), (cells[1], cells[2]), "{row}");
        }
    }

    #[test]
    fn takes_the_grammar_and_nothing_else() {
        for bad in [
            "", "-", "+1", "01", "-01", "1.", ".5", "1.e2", "1e", "1e+", "1e2.5", "1,5", "0x1", "1_0", "NaN",
            "1-", "--1", "1e2e3", "1.2.3", "٣",
        ] {
            assert_eq!(Decimal::read(bad.as_bytes()), None, "{bad:?}");
        }
        for (long, fits) in [("9".repeat(1_000), false), (format!("0.{}", "9".repeat(16_000)), true)] {
            let number = Decimal::read(long.as_bytes()).expect("a number");
            assert_eq!(number.micros.is_some(), fits);
        }
        let balanced = format!("0.{}1e1001", "0".repeat(1_000));
        assert_eq!(Decimal::read(balanced.as_bytes()).map(|n| n.micros), Some(Some(1_000_000)));
    }

    #[test]
    fn whole_units_are_judged_by_value() {
        for (text, units) in [
            ("30", Some(30)),
            ("30.0", Some(30)),
            ("3e1", Some(30)),
            ("30.5", None),
            ("30.0000001", None),
            ("1e400", Some(u64::MAX)),
        ] {
            assert_eq!(Decimal::read(text.as_bytes()).and_then(|n| n.units()), units, "{text}");
        }
    }

    /// Moves the point as text and lets `Money` read the result: another way to the same number.
    #[test]
    fn agrees_with_a_point_moved_by_hand() {
        let mut chance = Draw::new(19);
        for _ in 0..50_000 {
            let whole = (1 + chance.below(999_999_999)).to_string();
            let whole = &whole[..=chance.below(whole.len() as u64) as usize];
            let fraction: String =
                (0..chance.below(12)).map(|_| char::from(b'0' + chance.below(10) as u8)).collect();
            let shift = chance.below(25) as i64 - 12;
            let point = if fraction.is_empty() { "" } else { "." };
            let text = format!("{whole}{point}{fraction}e{shift}");
            let (zeros, place) = ("0".repeat(16), 16 + whole.len() as i64 + shift);
            let spread = format!("{zeros}{whole}{fraction}{zeros}");
            let (left, right) = spread.split_at(usize::try_from(place).expect("within the zeros"));
            let number = Decimal::read(text.as_bytes()).expect("a number");
            match Money::parse_cut(&format!("{left}.{right}")) {
                Ok((amount, lost)) => {
                    assert_eq!((number.micros, number.was_cut), (Some(amount.micros()), lost), "{text}");
                }
                Err(_) => assert_eq!(number.micros, None, "{text}"),
            }
        }
    }
}
