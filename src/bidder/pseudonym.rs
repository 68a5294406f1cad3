//! Names that one buyer knows callers and publishers by: keyed, so that two buyers cannot join what they see.
//!
//! An unkeyed search through all numbers finds nothing. The key is the exchange's own and never leaves it. Nothing here
//! decides what a buyer may be told.

use hmac::Hmac;
use sha2::Sha256;

use super::sign::{finish, keyed, start};
use crate::domain::{BuyerId, E164, PublisherId};

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
    pub fn caller(&self, number: E164) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digest = finish(self.callers.clone(), &[number.reveal().as_bytes()]);
        let mut text = String::with_capacity(35);
        text.push_str("k1:");
        for byte in &digest[..16] {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }

    /// The publisher: 8 characters of Crockford's base 32 in lower case.
    pub fn publisher(&self, publisher: &PublisherId) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let digest = finish(self.publishers.clone(), &[publisher.as_str().as_bytes()]);
        let bits = digest[..5].iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        (0..8).map(|place| char::from(ALPHABET[((bits >> (35 - 5 * place)) & 31) as usize])).collect()
    }
}
