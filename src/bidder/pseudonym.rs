//! Names that one buyer knows callers and publishers by: keyed, so that two buyers cannot join what they see.
//!
//! An unkeyed search through all numbers finds nothing. The key is the exchange's own and never leaves it. Nothing here
//! decides what a buyer may be told.

use std::sync::atomic::{AtomicU64, Ordering};

use hmac::Hmac;
use sha2::Sha256;

use super::sign::{finish, keyed, start};
use crate::domain::{BuyerId, E164, PublisherId, PublisherIx};

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
pub struct Pseudonyms {
    callers: Hmac<Sha256>,
    publishers: Hmac<Sha256>,
    /// Codes of publishers that were asked for last, each at its place: a market has far fewer publishers than calls. The
    /// publisher's number, counted from 1, above [`CODE_BITS`] bits of its code.
    codes: [AtomicU64; CODES_KEPT],
}

/// Codes that are kept.
const CODES_KEPT: usize = 8;
/// 8 characters of 5 bits.
const CODE_BITS: u32 = 40;

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl Pseudonyms {
    /// Those of `buyer` under the exchange's `key`.
    pub fn new(key: &[u8], buyer: &BuyerId) -> Pseudonyms {
        let derived = |purpose: &[u8]| start(&keyed(key, &[purpose, buyer.as_str().as_bytes()]));
        let codes = Default::default();
        Pseudonyms { callers: derived(b"caller-token"), publishers: derived(b"publisher-code"), codes }
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

    /// The publisher at this place of the catalog: 8 characters of Crockford's base 32 in lower case.
    pub fn publisher(&self, at: PublisherIx, publisher: &PublisherId) -> Pseudonym<8> {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let code = self.code(at, publisher);
        Pseudonym(std::array::from_fn(|place| ALPHABET[((code >> (35 - 5 * place)) & 31) as usize]))
    }

    fn code(&self, at: PublisherIx, publisher: &PublisherId) -> u64 {
        let (slot, number) = (&self.codes[at.at() % CODES_KEPT], at.at() as u64 + 1);
        let known = slot.load(Ordering::Relaxed);
        if known >> CODE_BITS == number {
            return known & ((1 << CODE_BITS) - 1);
        }
        let digest = finish(self.publishers.clone(), &[publisher.as_str().as_bytes()]);
        let code = digest[..5].iter().fold(0, |code, byte| (code << 8) | u64::from(*byte));
        if number < 1 << (u64::BITS - CODE_BITS) {
            slot.store(number << CODE_BITS | code, Ordering::Relaxed);
        }
        code
    }
}
