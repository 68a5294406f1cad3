//! Signatures of what leaves for buyers, after Standard Webhooks, and the keyed digest the pseudonyms are made from.
//!
//! Signing only: nothing here draws an id, reads a clock or verifies a signature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a signature: `v1,` and the base64 of 32 bytes.
pub const SIGNATURE_LEN: usize = 3 + 44;

/// The `webhook-signature` header of a message: `v1,` and the base64 of HMAC-SHA256 over `{id}.{unix_seconds}.{body}`.
///
/// `id` and `unix_seconds` are the `webhook-id` and `webhook-timestamp` headers as sent; `secret` is the key itself,
/// already decoded from its `whsec_…` form; `body` is the exact bytes on the wire.
pub fn sign(secret: &[u8], id: &str, unix_seconds: i64, body: &[u8]) -> [u8; SIGNATURE_LEN] {
    let seconds = unix_seconds.to_string();
    let digest = keyed(secret, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
    let mut signature = *b"v1,--------------------------------------------";
    STANDARD.encode_slice(digest, &mut signature[3..]).expect("32 bytes are 44 characters");
    signature
}

/// HMAC-SHA256 of the parts, one after the other.
pub(crate) fn keyed(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    finish(start(key), parts)
}

/// An HMAC-SHA256 under a key, to be used again and again by clones.
pub(super) fn start(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// The digest of the parts, one after the other.
pub(super) fn finish(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Standard Webhooks reference libraries, computed a second time with another HMAC.
    #[test]
    fn signs_the_published_vector() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signature =
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, *b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
