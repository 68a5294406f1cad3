//! The head of a reply: its status, how its body is framed, and whether its connection may carry another.
//!
//! No stricter than hyper where nothing hangs on it, stricter where the end of the reply does.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};

use super::{BODY_MAX, Chunk, Framing, HEADERS_MAX, body_too_large};
use crate::domain::Reason;
use crate::ping::wire::Failure;

/// A head with its length; `None` besides where another follows: it was informational.
pub(super) struct Parsed {
    pub(super) len: usize,
    pub(super) rest: Option<(u16, bool, Framing)>,
}

/// A head, once it is whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Parsed>, Failure> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut head = Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut head, bytes, &mut lines);
    let len = match parsed {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Failure::noted(Reason::TooLarge, "head of more than 100 lines"));
        }
        Err(_) => return Err(not_http()),
    };
    let status = head.code.filter(|code| *code >= 100).ok_or_else(not_http)?;
    // 101 is the end of HTTP on this connection, not a word in between.
    if matches!(status, 100 | 102..=199) {
        return Ok(Some(Parsed { len, rest: None }));
    }
    let said = Said::of(head.headers, head.version == Some(1));
    let framing = said.framing(status)?;
    let announced = said.coded || !matches!(said.length, None | Some(Some(0)));
    let may_keep = match status {
        101 => false,
        // Whoever announces a body and may not send one might.
        204 | 304 if announced => false,
        _ => said.is_kept_alive && framing != Framing::UntilClose,
    };
    Ok(Some(Parsed { len, rest: Some((status, may_keep, framing)) }))
}

/// What a head says of its body and its connection.
struct Said {
    is_1_1: bool,
    is_kept_alive: bool,
    /// `Some(None)`: no number, or two that differ.
    length: Option<Option<u64>>,
    /// There is a `Transfer-Encoding`.
    coded: bool,
    /// It is `chunked`, once, and nothing else.
    only_chunked: bool,
    only_identity: bool,
}

impl Said {
    fn of(lines: &[httparse::Header<'_>], is_1_1: bool) -> Said {
        let mut said = Said {
            is_1_1,
            is_kept_alive: is_1_1,
            length: None,
            coded: false,
            only_chunked: true,
            only_identity: true,
        };
        let mut closes = false;
        for httparse::Header { name, value } in lines {
            if name.eq_ignore_ascii_case("content-length") {
                for number in value.split(|byte| *byte == b',') {
                    let number = digits(number.trim_ascii());
                    let is_same = said.length.is_none_or(|before| before == number);
                    said.length = Some(number.filter(|_| is_same));
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                said.only_chunked &= !said.coded && value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                said.coded = true;
            } else if name.eq_ignore_ascii_case("content-encoding") {
                said.only_identity &= value.trim_ascii().eq_ignore_ascii_case(b"identity");
            } else if name.eq_ignore_ascii_case("connection") {
                for word in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    closes |= word.eq_ignore_ascii_case(b"close");
                    said.is_kept_alive |= word.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        said.is_kept_alive &= !closes;
        said
    }

    /// How long the body is; refuses codings nobody asked for, and a body with two lengths: we would believe one,
    /// whoever stands between may believe the other, and then the rest would pass for the next reply.
    fn framing(&self, status: u16) -> Result<Framing, Failure> {
        let is_bodiless = matches!(status, 101 | 204 | 304);
        if !is_bodiless && (self.coded && !self.is_1_1 || !self.coded && self.length == Some(None)) {
            return Err(not_http());
        }
        if !self.only_identity {
            return Err(Failure::noted(Reason::Encoding, "only identity is accepted"));
        }
        if !self.only_chunked {
            return Err(Failure::noted(Reason::Encoding, "only chunked is accepted as a transfer coding"));
        }
        if self.coded && self.length.is_some() {
            return Err(Failure::noted(Reason::Protocol, "both Content-Length and Transfer-Encoding"));
        }
        match self.length.flatten().map(usize::try_from) {
            _ if is_bodiless => Ok(Framing::Length(0)),
            None if self.coded => Ok(Framing::Chunks(Chunk::Size)),
            None => Ok(Framing::UntilClose),
            Some(Ok(length)) if length <= BODY_MAX => Ok(Framing::Length(length)),
            Some(_) => Err(body_too_large()),
        }
    }
}

/// Digits and nothing else, as far as 64 bits go.
fn digits(text: &[u8]) -> Option<u64> {
    let one_more = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, one_more) }
}

/// Whether a line is empty, of those that end behind `looked`.
pub(super) fn has_empty_line(bytes: &[u8], looked: usize) -> bool {
    let from = looked.saturating_sub(2);
    (from..bytes.len())
        .any(|at| bytes[at] == b'\n' && matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

fn not_http() -> Failure {
    Failure::noted(Reason::Protocol, "not HTTP/1.1")
}
