//! Money: integer micro-units of the deployment's one currency, and shares in basis points.
//!
//! No float goes in or comes out, nothing wraps, and every rounding has a name. Which currency it is stands in the
//! settings; this file does not know it.

use std::fmt;

const MICROS: i64 = 1_000_000;

/// An amount in micro-units. Signed, because ledger entries are; prices are checked to be positive where they enter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money {
    micros: i64,
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyError {
    /// Something other than digits with at most one point between them.
    NotPlainDecimal,
    /// More than six decimals where none may be lost.
    TooPrecise,
    /// Does not fit 64 bits of micro-units.
    TooLarge,
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MoneyError::NotPlainDecimal => "an amount is digits with at most one point, such as \"25.50\"",
            MoneyError::TooPrecise => "an amount has at most six decimals",
            MoneyError::TooLarge => "an amount is below 9,000,000,000,000",
        })
    }
}

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money { micros: 0 };

    /// An amount of `micros` micro-units.
    pub const fn from_micros(micros: i64) -> Money {
        Money { micros }
    }

    /// The amount in micro-units.
    pub const fn micros(self) -> i64 {
        self.micros
    }

    /// Reads a plain decimal such as `25.50`, exactly: no sign, exponent, symbol or grouping, at most six decimals.
    pub fn parse(text: &str) -> Result<Money, MoneyError> {
        let (amount, lost) = Money::parse_cut(text)?;
        if lost { Err(MoneyError::TooPrecise) } else { Ok(amount) }
    }

    /// Reads a plain decimal and cuts what stands beyond the sixth decimal, never rounding up. The flag says whether
    /// a non-zero digit was cut.
    pub fn parse_cut(text: &str) -> Result<(Money, bool), MoneyError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(MoneyError::NotPlainDecimal),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(MoneyError::NotPlainDecimal);
        }
        let mut micros: i64 = 0;
        for byte in whole.bytes() {
            micros = micros
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(byte - b'0')))
                .ok_or(MoneyError::TooLarge)?;
        }
        micros = micros.checked_mul(MICROS).ok_or(MoneyError::TooLarge)?;
        let mut place = MICROS / 10;
        for byte in fraction.bytes().take(6) {
            micros = micros.checked_add(i64::from(byte - b'0') * place).ok_or(MoneyError::TooLarge)?;
            place /= 10;
        }
        let lost = fraction.bytes().skip(6).any(|b| b != b'0');
        Ok((Money { micros }, lost))
    }

    /// The sum, or `None` where it does not fit.
    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.micros.checked_add(other.micros).map(Money::from_micros)
    }

    /// The same amount with the other sign.
    pub fn negated(self) -> Money {
        Money { micros: self.micros.saturating_neg() }
    }

    /// Whether more than nothing.
    pub fn is_positive(self) -> bool {
        self.micros > 0
    }

    /// Rounds towards zero to a multiple of `step`; a step of zero or less leaves the amount as it is.
    pub fn truncate_to(self, step: Money) -> Money {
        if step.micros <= 0 { self } else { Money { micros: self.micros - self.micros % step.micros } }
    }

    /// The share `part` of a positive amount, rounded down to the micro-unit.
    pub fn share_floor(self, part: Bps) -> Money {
        let micros = i128::from(self.micros) * i128::from(part.0) / i128::from(Bps::WHOLE.0);
        Money { micros: i64::try_from(micros).unwrap_or(i64::MAX) }
    }

    /// The amount times a ranking multiplier: a score, comparable with other scores and not an amount of money.
    pub fn score(self, multiplier: Bps) -> i128 {
        i128::from(self.micros) * i128::from(multiplier.0)
    }

    /// The highest amount, in whole micro-units, whose score by this multiplier is not above `score`.
    pub fn of_score_floor(score: i128, multiplier: Bps) -> Money {
        let micros = score.div_euclid(i128::from(multiplier.0.max(1)));
        Money { micros: i64::try_from(micros).unwrap_or(i64::MAX) }
    }
}

impl fmt::Display for Money {
    /// At least two decimals, more only where they are needed: `25.50`, `0.000001`, `-3.10`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.micros < 0 { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        let (whole, mut fraction) = (micros / MICROS as u64, micros % MICROS as u64);
        let mut places = 6;
        while places > 2 && fraction % 10 == 0 {
            fraction /= 10;
            places -= 1;
        }
        f.pad(&format!("{sign}{whole}.{fraction:0places$}"))
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Basis points: 10,000 are the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bps(pub u32);

impl Bps {
    /// The whole: 100 %.
    pub const WHOLE: Bps = Bps(10_000);
}

impl fmt::Display for Bps {
    /// A percentage, with decimals only where they are needed: `25%`, `12.50%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 100 {
            0 => write!(f, "{}%", self.0 / 100),
            cents => write!(f, "{}.{cents:02}%", self.0 / 100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_exactly() {
        let table = "
            0         0.00
            25.5      25.50
            25.50     25.50
            0.000001  0.000001
            12.345    12.345
            007       7.00
        ";
        for row in table.lines().filter(|row| !row.trim().is_empty()) {
            let mut cells = row.split_whitespace();
            let (text, printed) = (cells.next().expect("text"), cells.next().expect("printed"));
            assert_eq!(Money::parse(text).expect(text).to_string(), printed);
        }
        for bad in
            ["", ".", "1.", ".5", "-5", "+5", "1e3", "25,50", "$25", " 1", "1 ", "0x1", "NaN", "1.2.3", "٣"]
        {
            assert_eq!(Money::parse(bad), Err(MoneyError::NotPlainDecimal), "{bad:?}");
        }
        assert_eq!(Money::parse("1.0000001"), Err(MoneyError::TooPrecise));
        assert_eq!(Money::parse("1.0000000"), Ok(Money::from_micros(1_000_000)));
        assert_eq!(Money::parse("9223372036855"), Err(MoneyError::TooLarge));
        assert_eq!(Money::parse(&"9".repeat(1000)), Err(MoneyError::TooLarge));
    }

    #[test]
    fn cutting_never_rounds_up() {
        let (amount, lost) = Money::parse_cut("25.9999999").expect("a decimal");
        assert_eq!((amount.micros(), lost), (25_999_999, true));
        assert_eq!(amount.truncate_to(Money::from_micros(10_000)).to_string(), "25.99");
    }

    #[test]
    fn shares_round_down() {
        assert_eq!(Money::parse("10").expect("ten").share_floor(Bps(3_333)).to_string(), "3.333");
        assert_eq!(Money::from_micros(1).share_floor(Bps(9_999)), Money::ZERO);
        assert_eq!(Money::from_micros(-3_100_000).to_string(), "-3.10");
        let score = Money::from_micros(10_000_000).score(Bps::WHOLE);
        assert_eq!(Money::of_score_floor(score, Bps(15_000)).to_string(), "6.666666");
        assert_eq!(Money::of_score_floor(score, Bps::WHOLE).to_string(), "10.00");
        assert_eq!(Money::of_score_floor(i128::MAX, Bps(1)), Money::from_micros(i64::MAX));
    }
}
