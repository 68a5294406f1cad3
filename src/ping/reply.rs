//! A reply out of bytes as they come: where its head and its body end, and what is refused before anybody looks inside.
//!
//! Pure: it is told what was read and that the peer closed, and reads nothing itself. How the bytes were split makes no
//! difference to what comes out. What leaves the end of a reply in doubt is refused, since the rest would pass for the
//! next reply. What a status and a body mean is in `bidder::reply`.

mod chunks;
mod head;

use std::ops::Range;

use chunks::{chunk_size, trailers};
use head::{Parsed, has_empty_line, parse};

use super::wire::Failure;
use crate::domain::Reason;

/// Longest reply head, in bytes.
pub const HEAD_MAX: usize = 8 * 1024;
/// Longest reply body, in bytes.
pub const BODY_MAX: usize = 16 * 1024;
/// Most bytes read for one reply, framing and informational responses included: a peer that floods is cut off long
/// before it costs anybody time.
const READ_MAX: usize = 96 * 1024;
/// Most header lines, and most trailer lines.
const HEADERS_MAX: usize = 100;
/// Longest line that gives the size of a chunk, its extensions included, its end not.
const CHUNK_LINE_MAX: usize = 256;
/// Digits of such a size: more would not fit 64 bits.
const CHUNK_DIGITS_MAX: usize = 16;
/// What a connection reads into at first: enough for nearly every bid.
const BUFFER_FIRST: usize = 1024;
/// What an idle connection keeps of it at most.
const BUFFER_KEPT: usize = 4 * 1024;
/// A head, a body, and trailers or the line of a chunk.
const BUFFER_MAX: usize = HEAD_MAX + BODY_MAX + HEAD_MAX + CHUNK_LINE_MAX;

/// A reply that is there to its last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) status: u16,
    /// Where its body stands: see `Incoming::body`.
    body: Range<usize>,
    /// Whether its connection may carry another: the reply says so, and nothing came behind it.
    pub(super) is_kept: bool,
}

impl Whole {
    /// Whether it only tells that the connection is closed for want of a request (408, RFC 9110 15.5.9), as servers do
    /// when one lay idle for long. A request on its way meanwhile was not read, and may be repeated on another.
    pub(super) fn says_unread(&self) -> bool {
        self.status == 408 && !self.is_kept
    }
}

/// The replies of one connection, one at a time, read into one buffer. What buyers say may name a caller.
pub(super) struct Incoming {
    /// Initialised throughout; what was read and is still of use stands up to `filled`.
    buffer: Vec<u8>,
    filled: usize,
    /// Bytes of this reply read so far.
    read: usize,
    /// Up to here, counted from where the head or the trailers begin, no end of them was found.
    looked: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A head begins here.
    Head(usize),
    Body(Body),
}

#[derive(Clone, Copy, Debug)]
struct Body {
    status: u16,
    may_keep: bool,
    framing: Framing,
    /// The body, as far as it is decoded.
    from: usize,
    to: usize,
    /// The first byte not decoded yet.
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunks(Chunk),
    UntilClose,
}

/// What of a chunked body comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size,
    Data(usize),
    DataEnd,
    Trailers,
}

impl Incoming {
    /// Nothing read yet.
    pub(super) fn new() -> Incoming {
        Incoming { buffer: Vec::new(), filled: 0, read: 0, looked: 0, state: State::Head(0) }
    }

    /// Forgets the reply before: what is read from now on belongs to the next.
    pub(super) fn begin(&mut self) {
        if self.buffer.len() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        (self.filled, self.read, self.looked, self.state) = (0, 0, 0, State::Head(0));
    }

    /// Whether nothing of this reply came.
    pub(super) fn is_untouched(&self) -> bool {
        self.read == 0
    }

    /// Where to read the next bytes to, never empty; fails when a reply may have no more.
    pub(super) fn room(&mut self) -> Result<&mut [u8], Failure> {
        let too_much = || Failure::noted(Reason::TooLarge, "more than a reply may have");
        if self.read >= READ_MAX {
            return Err(too_much());
        }
        if self.filled == self.buffer.len() {
            self.compact();
            let size = self.buffer.len();
            if self.filled >= size / 4 * 3 {
                self.buffer.resize((size * 2).clamp(BUFFER_FIRST, BUFFER_MAX), 0);
            }
        }
        let end = self.buffer.len().min(self.filled + READ_MAX - self.read);
        // No state waits for more than fits, so there is room; an empty slice would read as the end.
        if end == self.filled { Err(too_much()) } else { Ok(&mut self.buffer[self.filled..end]) }
    }

    /// So many bytes came into the room. The reply, if that was its end.
    pub(super) fn more(&mut self, bytes: usize) -> Result<Option<Whole>, Failure> {
        self.filled += bytes;
        self.read += bytes;
        loop {
            match self.state {
                State::Head(start) => match self.head(start)? {
                    Some(next) => (self.state, self.looked) = (next, 0),
                    None => return Ok(None),
                },
                State::Body(mut body) => {
                    let is_whole = self.body_goes_on(&mut body);
                    self.state = State::Body(body);
                    let is_kept = body.may_keep && body.at == self.filled;
                    let whole = Whole { status: body.status, body: body.from..body.to, is_kept };
                    return Ok(is_whole?.then_some(whole));
                }
            }
        }
    }

    /// The peer closed: the end of a reply that said so, or of one that will never be whole.
    pub(super) fn closed(&mut self) -> Result<Whole, Failure> {
        match self.state {
            State::Body(Body { status, framing: Framing::UntilClose, from, .. }) => {
                return Ok(Whole { status, body: from..self.filled, is_kept: false });
            }
            // What could not have become a head is no head that was cut off.
            State::Head(start) => _ = parse(&self.buffer[start..self.filled])?,
            State::Body(_) => {}
        }
        Err(Failure::disconnected())
    }

    /// The body of a reply, until the next begins.
    pub(super) fn body(&mut self, whole: &Whole) -> &mut [u8] {
        &mut self.buffer[whole.body.clone()]
    }

    /// What follows the head that begins here; `None` while it is not whole.
    fn head(&mut self, start: usize) -> Result<Option<State>, Failure> {
        let window = &self.buffer[start..self.filled.min(start + HEAD_MAX)];
        // A head that drips is not parsed with every byte: at first, then when it may have ended.
        let is_due = self.looked == 0 || window.len() == HEAD_MAX || has_empty_line(window, self.looked);
        self.looked = window.len();
        match if is_due { parse(window)? } else { None } {
            Some(Parsed { len, rest: None }) => Ok(Some(State::Head(start + len))),
            Some(Parsed { len, rest: Some((status, may_keep, framing)) }) => {
                let from = start + len;
                Ok(Some(State::Body(Body { status, may_keep, framing, from, to: from, at: from })))
            }
            None if window.len() == HEAD_MAX => Err(Failure::noted(Reason::TooLarge, "head above 8 KiB")),
            None => Ok(None),
        }
    }

    /// Takes what came for the body; says whether it is whole.
    fn body_goes_on(&mut self, body: &mut Body) -> Result<bool, Failure> {
        match body.framing {
            Framing::Length(length) => {
                let is_whole = self.filled - body.from >= length;
                if is_whole {
                    (body.to, body.at) = (body.from + length, body.from + length);
                }
                Ok(is_whole)
            }
            Framing::UntilClose if self.filled - body.from > BODY_MAX => Err(body_too_large()),
            Framing::UntilClose => Ok(false),
            Framing::Chunks(mut chunk) => {
                let is_whole = self.chunks_go_on(body, &mut chunk);
                body.framing = Framing::Chunks(chunk);
                is_whole
            }
        }
    }

    fn chunks_go_on(&mut self, body: &mut Body, chunk: &mut Chunk) -> Result<bool, Failure> {
        loop {
            let raw = &self.buffer[body.at..self.filled];
            match *chunk {
                Chunk::Size => {
                    let Some((used, size)) = chunk_size(raw)? else { return Ok(false) };
                    body.at += used;
                    let left = BODY_MAX - (body.to - body.from);
                    *chunk = match usize::try_from(size) {
                        Ok(0) => Chunk::Trailers,
                        Ok(size) if size <= left => Chunk::Data(size),
                        _ => return Err(body_too_large()),
                    };
                }
                Chunk::Data(size) => {
                    let here = raw.len().min(size);
                    self.buffer.copy_within(body.at..body.at + here, body.to);
                    (body.at, body.to) = (body.at + here, body.to + here);
                    if here < size {
                        *chunk = Chunk::Data(size - here);
                        return Ok(false);
                    }
                    *chunk = Chunk::DataEnd;
                }
                Chunk::DataEnd => match raw {
                    [] | [b'\r'] => return Ok(false),
                    [b'\r', b'\n', ..] => (body.at, *chunk) = (body.at + 2, Chunk::Size),
                    _ => return Err(chunks::bad_chunks()),
                },
                Chunk::Trailers => {
                    let ended = trailers(raw, self.looked)?;
                    self.looked = raw.len();
                    body.at += ended.unwrap_or(0);
                    return Ok(ended.is_some());
                }
            }
        }
    }

    /// Moves what is still of use to the front: the head is read, and so is what stood around chunks.
    fn compact(&mut self) {
        match &mut self.state {
            State::Head(start) => {
                self.buffer.copy_within(*start..self.filled, 0);
                self.filled -= *start;
                *start = 0;
            }
            // Of a body without chunks nothing is decoded before its end: its bytes are the raw ones.
            State::Body(body) => {
                let decoded = body.to - body.from;
                self.buffer.copy_within(body.from..body.to, 0);
                self.buffer.copy_within(body.at..self.filled, decoded);
                self.filled = decoded + (self.filled - body.at);
                (body.from, body.to, body.at) = (0, decoded, decoded);
            }
        }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Incoming({} bytes, {:?})", self.filled, self.state)
    }
}

fn body_too_large() -> Failure {
    Failure::noted(Reason::TooLarge, "body above 16 KiB")
}

#[cfg(test)]
mod tests;
