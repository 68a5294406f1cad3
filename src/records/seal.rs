//! Seals the state in a record. Images of calls have callers' numbers and what carriers said of them, and files of the
//! journal end up in backups: without the key of this deployment's caller tokens nobody reads them. Rows are not sealed;
//! they have no numbers.
//!
//! ```text
//! sealed entry    bytes of the puts (u32) | puts, sealed | rows | nonce (12) | tag (16)
//! ```
//!
//! An entry without puts stands as it is. AES-256-GCM, from the library that TLS here uses.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use sha2::Sha256;

use super::entry::{DecodeError, ENTRY};
use crate::domain::catalog::Secret;
use crate::runtime::random_bytes;

/// Bytes of a tag.
const TAG: usize = 16;
/// What stands behind an entry with sealed puts.
const TRAILER: usize = NONCE_LEN + TAG;
/// Nonces drawn at once.
const DRAWN: usize = 64;
/// What sets this use of the key apart from others.
const PURPOSE: &[u8] = b"outcry journal state 1";

/// The key of this deployment.
pub struct Seal {
    key: LessSafeKey,
    nonces: Mutex<Vec<[u8; NONCE_LEN]>>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// By the key of caller tokens.
    pub fn of(secret: &Secret) -> Seal {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes keys of every length");
        mac.update(PURPOSE);
        let bytes = mac.finalize().into_bytes();
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("a digest of SHA-256 is as long as the key");
        Seal { key: LessSafeKey::new(key), nonces: Mutex::new(Vec::new()) }
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.is_empty() {
            let drawn: [u8; DRAWN * NONCE_LEN] = random_bytes();
            nonces.extend(drawn.as_chunks().0);
        }
        nonces.pop().expect("some were drawn")
    }

    /// Seals the entry that begins at `start` and ends with `out`.
    pub fn close(&self, out: &mut Vec<u8>, start: usize) {
        let Some(puts) = puts(&out[start..]) else { return };
        let nonce = self.nonce();
        let range = start + puts.start..start + puts.end;
        let sealed = self.key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut out[range],
        );
        let tag = sealed.expect("a record is far shorter than what may be sealed at once");
        out.extend_from_slice(&nonce);
        out.extend_from_slice(tag.as_ref());
    }

    /// The record as it was before it was sealed: it is opened where it lies. After an error nothing that lies there counts.
    pub fn open<'a>(&self, kind: u8, body: &'a mut [u8]) -> Result<&'a [u8], DecodeError> {
        let (plain, trailer) = body.split_at_mut(unsealed(kind, body).len());
        if trailer.is_empty() {
            return Ok(plain);
        }
        let short = DecodeError::Length { what: "a sealed entry" };
        let Some(puts) = puts(plain) else { return Err(short) };
        let Some((nonce, tag)) = trailer.split_first_chunk() else { return Err(short) };
        let tag = Tag::try_from(tag).map_err(|_| short)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place_separate_tag(nonce, Aad::empty(), tag, &mut plain[puts], 0..);
        opened.map_err(|_| DecodeError::Sealed)?;
        Ok(plain)
    }
}

/// The record without what the seal added: its rows can be read without a key.
pub fn unsealed(kind: u8, body: &[u8]) -> &[u8] {
    match (kind, puts(body)) {
        (ENTRY, Some(puts)) => &body[..body.len().saturating_sub(TRAILER).max(puts.end)],
        _ => body,
    }
}

/// Where the puts stand; `None` if there are none.
fn puts(body: &[u8]) -> Option<std::ops::Range<usize>> {
    let length = u32::from_le_bytes(*body.first_chunk()?) as usize;
    (length > 0 && length <= body.len() - 4).then(|| 4..4 + length)
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Entry, Put, Record, VERSION, decode, sample};
    use super::*;
    use crate::domain::CallId;

    fn sealed(seal: &Seal, entry: &Entry) -> Vec<u8> {
        let mut out = vec![7; 3];
        entry.encode(&mut out);
        seal.close(&mut out, 3);
        out.split_off(3)
    }

    #[test]
    fn what_is_sealed_is_read_with_its_key_alone() {
        let (ours, other) = (Seal::of(&Secret(vec![1; 32])), Seal::of(&Secret(vec![2; 32])));
        for entry in [sample::opened(), sample::answered(), sample::ended()] {
            let mut plain = Vec::new();
            entry.encode(&mut plain);
            let mut body = sealed(&ours, &entry);
            assert_eq!(unsealed(ENTRY, &body).len(), plain.len());
            assert_eq!(
                super::super::entry::rows(ENTRY, VERSION, unsealed(ENTRY, &body)),
                Ok(entry.rows.clone())
            );
            if !entry.state.is_empty() {
                assert_eq!(other.open(ENTRY, &mut body.clone()), Err(DecodeError::Sealed));
                assert_ne!(&body[..plain.len()], &plain[..]);
                assert_ne!(sealed(&ours, &entry), body, "no nonce is used twice");
            }
            let opened = ours.open(ENTRY, &mut body).expect("its key");
            assert_eq!(opened, plain);
            assert_eq!(decode(ENTRY, VERSION, opened), Ok(Record::Entry(entry.clone())));
        }
    }

    #[test]
    fn a_changed_byte_of_what_is_sealed_is_seen() {
        let seal = Seal::of(&Secret(vec![1; 32]));
        let entry = Entry::put(Put::Forgotten(CallId::from_bits(7)));
        let body = sealed(&seal, &entry);
        let puts = puts(&body).expect("a put");
        for at in puts.chain(body.len() - TRAILER..body.len()) {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(ENTRY, &mut changed), Err(DecodeError::Sealed), "byte {at}");
        }
    }

    #[test]
    fn hostile_lengths_do_not_panic() {
        let seal = Seal::of(&Secret(vec![1; 32]));
        for length in 0..64 {
            for byte in [0, 1, 0xff] {
                let _ = seal.open(ENTRY, &mut vec![byte; length]);
            }
            // A put of one byte, and so many behind it: nonce and tag have to be whole.
            let mut body = [&[1, 0, 0, 0, 7][..], &vec![0; length]].concat();
            let expected = match length {
                0 => Ok(()),
                TRAILER.. => Err(DecodeError::Sealed),
                _ => Err(DecodeError::Length { what: "a sealed entry" }),
            };
            assert_eq!(seal.open(ENTRY, &mut body).map(drop), expected, "{length} bytes");
        }
    }
}
