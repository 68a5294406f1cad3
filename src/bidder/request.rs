//! A ping as it goes on the wire, head and body in one piece of memory.
//!
//! What it says is written by `Asking`. Here is only what can be done with it afterwards; nobody reads it back.

use super::sign::{self, SIGNATURE_LEN};
use crate::domain::{PingId, Timestamp};

/// Where in the body stands what is left: behind the version and the id, which are always as long.
const DEADLINE_AT: usize = br#"{"version":1,"ping_id":"01M7YM3YDEFD3APEDS5TSWHJKE","deadline_ms":"#.len();

/// A request, ready to be sent. It may hold a caller's number, so that no log gets to see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    bytes: Vec<u8>,
    /// Where its body begins.
    body: usize,
    ping: PingId,
    /// The time that is signed with it.
    made: Timestamp,
}

impl Request {
    /// These bytes, of which the last so many are the body.
    pub(super) fn new(bytes: Vec<u8>, body_len: usize, ping: PingId, made: Timestamp) -> Request {
        Request { body: bytes.len() - body_len, bytes, ping, made }
    }

    /// As it goes on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells the buyer what is left now, where the request could not leave when it was made, and signs it anew with the
    /// secret it was signed with. It stays as long as it was: a shorter number stands behind spaces, as JSON allows.
    pub fn retime(&mut self, deadline_ms: u32, secret: Option<&[u8]>) {
        let (head, body) = self.bytes.split_at_mut(self.body);
        let Some(number) = body.get_mut(DEADLINE_AT..) else { return };
        let width = number.iter().take_while(|byte| matches!(byte, b' ' | b'0'..=b'9')).count();
        // What is left only falls, so that it fits; it must never say more than is true.
        let most = 10_u32.checked_pow(width as u32).map_or(u32::MAX, |above| above - 1);
        let text = format!("{:>width$}", deadline_ms.min(most));
        number[..width].copy_from_slice(text.as_bytes());
        if let Some(secret) = secret {
            let signature = sign::sign(secret, &self.ping.to_string(), self.made.seconds(), body);
            // The last line of the head, and the empty one.
            let end = head.len() - b"\r\n\r\n".len();
            head[end - SIGNATURE_LEN..end].copy_from_slice(&signature);
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
impl Request {
    /// One that only has these bytes.
    pub(crate) fn plain(bytes: &[u8]) -> Request {
        Request::new(bytes.to_vec(), 0, PingId::from_bits(1), Timestamp::default())
    }
}
