//! A ping as it goes on the wire, head and body in one piece of memory.
//!
//! What it says is written by `Asking`. Here is only what can be done with it afterwards; nobody reads it back.

/// A request, ready to be sent. It may hold a caller's number, so that no log gets to see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request(Vec<u8>);

impl Request {
    /// These bytes.
    pub(super) fn new(bytes: Vec<u8>) -> Request {
        Request(bytes)
    }

    /// As it goes on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} bytes)", self.0.len())
    }
}
