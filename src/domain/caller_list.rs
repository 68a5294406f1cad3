//! Caller lists: named sets of callers that a campaign, publisher, buyer or target does not want. Their names stand in the
//! catalog; who is on them changes at run time and is no part of it.
//!
//! A caller on a list is a digest under this deployment's key, so that a list is of no use to whoever finds it. A prefix
//! names nobody and is kept as it is. What holds a million of them is in `state`; where changes are kept is for others.

mod lines;

use std::fmt;
use std::hash::Hasher;

use super::caller::E164;
use super::id::CallerListId;

pub use lines::{LINES_FAULTS_MAX, LineFault, Lines, read_lines};

/// Most lists in a catalog, and most lists that have anybody on them.
pub const LISTS_MAX: usize = 1_000;
/// Most callers on all lists together.
pub const NUMBERS_MAX: usize = 4_000_000;
/// Most prefixes of one list.
pub const PREFIXES_MAX: usize = 10_000;
/// Most prefixes of all lists together.
pub const ALL_PREFIXES_MAX: usize = 100_000;
/// Longest prefix, in digits: a longer one names a person nearly as well as a number does.
pub const PREFIX_DIGITS_MAX: u32 = 10;

/// A list as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerList {
    /// Its id.
    pub id: CallerListId,
    /// What it is, for people.
    pub note: String,
}

/// The key of digests, of which none can be told from another deployment's.
#[derive(Clone, Copy)]
pub struct CallerListKey(u64, u64);

impl CallerListKey {
    /// A key of these bytes.
    pub fn of(bytes: &[u8; 16]) -> CallerListKey {
        let bits = u128::from_le_bytes(*bytes);
        CallerListKey(bits as u64, (bits >> 64) as u64)
    }

    /// What a list has of a caller: 64 bits of SipHash-2-4, a keyed function made for short inputs. It tells two of four
    /// million callers apart but for one call in 10^12.
    #[expect(
        deprecated,
        reason = "the one hasher of std with a fixed algorithm and a key: what is on disk must stay true"
    )]
    pub fn digest(&self, caller: E164) -> CallerDigest {
        let mut hasher = std::hash::SipHasher::new_with_keys(self.0, self.1);
        hasher.write(&caller.digits().to_le_bytes());
        CallerDigest(hasher.finish())
    }
}

impl fmt::Debug for CallerListKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(key of caller lists)")
    }
}

/// A caller as lists have it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerDigest(pub u64);

impl fmt::Debug for CallerDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(digest of a caller)")
    }
}

/// The first digits of numbers: `+1900*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerPrefix {
    length: u32,
    digits: u64,
}

impl CallerPrefix {
    /// Reads a plus and 1 to [`PREFIX_DIGITS_MAX`] digits, the first not zero, with or without a star.
    pub fn parse(text: &str) -> Option<CallerPrefix> {
        let digits = text.strip_prefix('+')?;
        let digits = digits.strip_suffix('*').unwrap_or(digits);
        let plausible = (1..=PREFIX_DIGITS_MAX as usize).contains(&digits.len()) && !digits.starts_with('0');
        if !plausible || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(CallerPrefix { length: digits.len() as u32, digits: digits.parse().ok()? })
    }

    /// The prefix of a number with so many digits; `None` where the number is no longer than that.
    pub fn of(caller: E164, length: u32) -> Option<CallerPrefix> {
        let digits = caller.digits();
        let beyond = (digits.ilog10() + 1).checked_sub(length).filter(|beyond| *beyond > 0 && length > 0)?;
        Some(CallerPrefix { length, digits: digits / 10_u64.pow(beyond) })
    }

    /// How many digits it has.
    pub const fn length(self) -> u32 {
        self.length
    }

    /// The digits as a number; with none of them zero in front they are all of it.
    pub const fn digits(self) -> u64 {
        self.digits
    }

    /// The prefix with these digits; `None` for none or too many.
    pub fn from_digits(digits: u64) -> Option<CallerPrefix> {
        let length = digits.checked_ilog10()? + 1;
        (length <= PREFIX_DIGITS_MAX).then_some(CallerPrefix { length, digits })
    }
}

impl fmt::Display for CallerPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}*", self.digits)
    }
}

/// What is done with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListVerb {
    /// These are on it too.
    Add,
    /// These are not on it.
    Remove,
    /// These and nobody else are on it.
    Replace,
}

impl ListVerb {
    /// All of them.
    pub const ALL: [ListVerb; 3] = [ListVerb::Add, ListVerb::Remove, ListVerb::Replace];

    /// The word in the history: `added removed replaced`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ListVerb::Add => "added",
            ListVerb::Remove => "removed",
            ListVerb::Replace => "replaced",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<ListVerb> {
        ListVerb::ALL.into_iter().find(|verb| verb.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> E164 {
        E164::parse(text).expect("E.164")
    }

    /// What is on disk is only true as long as the function stays what it is.
    #[test]
    fn digests_are_siphash_and_keyed() {
        // By an implementation that is not ours, under the key of the function's reference.
        let key = CallerListKey::of(&std::array::from_fn(|at| at as u8));
        assert_eq!(key.digest(number("+15125550123")).0, 0x3b46_e2a6_5d13_f6c2);
        let other = CallerListKey::of(&[7; 16]);
        assert_ne!(key.digest(number("+15125550123")), other.digest(number("+15125550123")));
        assert_ne!(key.digest(number("+15125550123")), key.digest(number("+15125550124")));
        assert!(!format!("{key:?} {:?}", key.digest(number("+15125550123"))).contains(char::is_numeric));
    }

    #[test]
    fn prefixes_are_read_and_found_in_numbers() {
        // Prefix, number, whether the number begins with it.
        let table = [
            ("+1*", "+15125550123", true),
            ("+1", "+15125550123", true),
            ("+1900*", "+19005550123", true),
            ("+1900*", "+15125550123", false),
            ("+44*", "+442071838750", true),
            ("+4*", "+442071838750", true),
            ("+1512555012*", "+15125550123", true),
            ("+1512555013*", "+15125550123", false),
            ("+1234567*", "+1234567", false),
            ("+12345678*", "+1234567", false),
            ("+123456*", "+1234567", true),
        ];
        for (prefix, caller, begins) in table {
            let read = CallerPrefix::parse(prefix).expect(prefix);
            assert_eq!(
                CallerPrefix::of(number(caller), read.length()) == Some(read),
                begins,
                "{prefix} {caller}"
            );
            assert_eq!(CallerPrefix::from_digits(read.digits()), Some(read));
            assert_eq!(CallerPrefix::parse(&read.to_string()), Some(read));
        }
        for bad in ["", "*", "+*", "+", "1900*", "+0900*", "+19x*", "+19**", "+15125550123*", "+1 900*"] {
            assert_eq!(CallerPrefix::parse(bad), None, "{bad:?}");
        }
        assert_eq!(CallerPrefix::from_digits(0), None);
        assert_eq!(CallerPrefix::from_digits(15_125_550_123), None);
    }
}
