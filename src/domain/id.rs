//! Ids. Configured things carry slugs; things made at run time carry 128-bit time-ordered ids.
//!
//! Nothing here makes an id: run-time ids come from `runtime::Entropy`, so that a seed reproduces them. An id is no
//! secret; every route checks who owns what it names.

use std::fmt;
use std::sync::Arc;

/// Longest slug accepted, in bytes.
pub const SLUG_MAX: usize = 40;

/// What is wrong with a slug, in words that say what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlugError;

impl fmt::Display for SlugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id is 1 to {SLUG_MAX} of a-z, 0-9, '-', '_', starting with a letter or digit")
    }
}

fn slug(text: &str) -> Result<Arc<str>, SlugError> {
    let first_fits = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest_fits =
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    if first_fits && rest_fits && text.len() <= SLUG_MAX { Ok(text.into()) } else { Err(SlugError) }
}

macro_rules! slug_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text against the slug rules.
            pub fn parse(text: &str) -> Result<Self, SlugError> {
                slug(text).map(Self)
            }

            /// The slug as written in the catalog.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

slug_ids! {
    /// A carrier or switch; its calls are a namespace of their own.
    CarrierId;
    /// A campaign: one vertical, one plan.
    CampaignId;
    /// A publisher (source, affiliate, supplier).
    PublisherId;
    /// A buyer (the company).
    BuyerId;
    /// A target: one destination of a buyer.
    TargetId;
    /// A plan (the ring tree).
    PlanId;
    /// A list of callers that somebody does not want.
    CallerListId;
    /// A group: a node that plans share.
    GroupId;
}

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn crockford(value: u128) -> [u8; 26] {
    let mut text = [b'0'; 26];
    // Twelve digits at a time: shifting 128 bits for each takes several times as long.
    let mut left = value;
    for digits in text.rchunks_mut(12) {
        let mut part = left as u64;
        for slot in digits.iter_mut().rev() {
            *slot = CROCKFORD[(part & 31) as usize];
            part >>= 5;
        }
        left >>= 60;
    }
    text
}

/// The digit each byte stands for, 32 for those that stand for none.
const DIGITS: [u8; 256] = {
    let mut digits = [32; 256];
    let mut digit = 0;
    while digit < 32 {
        digits[CROCKFORD[digit] as usize] = digit as u8;
        digits[CROCKFORD[digit].to_ascii_lowercase() as usize] = digit as u8;
        digit += 1;
    }
    digits
};

fn from_crockford(text: &str) -> Option<u128> {
    // 26 digits have two bits more than an id.
    if text.len() != 26 || DIGITS[usize::from(text.as_bytes()[0])] > 7 {
        return None;
    }
    text.bytes().try_fold(0, |value: u128, byte| {
        let digit = DIGITS[usize::from(byte)];
        (digit < 32).then_some((value << 5) | u128::from(digit))
    })
}

macro_rules! run_time_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// Wraps 128 bits in UUIDv7 layout.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits; big-endian bytes are what the stores keep.
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// The 26 Crockford characters it is printed as.
            pub fn text(self) -> [u8; 26] {
                crockford(self.0)
            }

            /// Reads the 26 Crockford characters an id is printed as; `None` for anything else.
            pub fn parse(text: &str) -> Option<Self> {
                from_crockford(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&self.text()).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

run_time_ids! {
    /// One call, from the first decision to its end.
    CallId;
    /// One question to one target.
    PingId;
    /// Capacity held for one attempt.
    HoldId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse_back() {
        for bits in [0, 1, u128::MAX, 0x0190_0000_0000_7000_8000_0000_0000_0001] {
            let id = CallId::from_bits(bits);
            assert_eq!(CallId::parse(&id.to_string()), Some(id));
        }
        let bits = 0x0190_abcd_ef01_7234_8567_89ab_cdef_0123;
        let small = CallId::from_bits(bits).to_string().to_ascii_lowercase();
        assert_eq!(CallId::parse(&small).map(CallId::bits), Some(bits));
        for wrong in ['I', 'L', 'O', 'U', '-', '\u{7f}'] {
            assert_eq!(CallId::parse(&format!("0{wrong}{}", "0".repeat(24))), None, "{wrong}");
        }
        assert_eq!(CallId::parse("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"), None, "more than 128 bits");
        assert_eq!(CallId::parse("short"), None);
    }

    #[test]
    fn slugs_hold_to_their_alphabet() {
        for good in ["a", "acme-auto", "9lives", "a_b"] {
            assert!(BuyerId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Acme", "-a", "a b", "a.b", &"x".repeat(41)] {
            assert!(BuyerId::parse(bad).is_err(), "{bad}");
        }
    }
}
