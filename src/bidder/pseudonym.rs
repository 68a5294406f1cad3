//! Names that one buyer knows callers and publishers by: keyed, so that two buyers cannot join what they see.
//!
//! An unkeyed search through all numbers finds nothing. The key is the exchange's own and never leaves it. Nothing here
//! decides what a buyer may be told.

use hmac::Hmac;
use sha2::Sha256;

use super::sign::{finish, keyed, start};
use crate::domain::{BuyerId, E164, PublisherId};

/// A name of so many characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pseudonym<const N: usize>([u8; N]);

impl<const N: usize> Pseudonym<N> {
    /// As pings carry it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

impl<const N: usize> std::fmt::Debug for Pseudonym<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The pseudonyms of one buyer; its keys are derived once, since each ping needs two of them.
#[derive(Clone)]
pub struct Pseudonyms {
    callers: Hmac<Sha256>,
    publishers: Hmac<Sha256>,
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl Pseudonyms {
    /// Those of `buyer` under the exchange's `key`.
    pub fn new(key: &[u8], buyer: &BuyerId) -> Pseudonyms {
        let derived = |purpose: &[u8]| start(&keyed(key, &[purpose, buyer.as_str().as_bytes()]));
        Pseudonyms { callers: derived(b"caller-token"), publishers: derived(b"publisher-code") }
    }

    /// The caller: `k1:` and 32 hex digits of HMAC-SHA256, cut to 16 bytes.
    pub fn caller(&self, number: E164) -> Pseudonym<35> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digest = number.revealed(|number| finish(self.callers.clone(), &[number.as_bytes()]));
        let mut text = *b"k1:00000000000000000000000000000000";
        for (byte, digits) in digest.iter().zip(text[3..].as_chunks_mut().0) {
            *digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        Pseudonym(text)
    }

    /// The publisher: 8 characters of Crockford's base 32 in lower case.
    pub fn publisher(&self, publisher: &PublisherId) -> Pseudonym<8> {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let digest = finish(self.publishers.clone(), &[publisher.as_str().as_bytes()]);
        let bits = digest[..5].iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        Pseudonym(std::array::from_fn(|place| ALPHABET[((bits >> (35 - 5 * place)) & 31) as usize]))
    }
}
