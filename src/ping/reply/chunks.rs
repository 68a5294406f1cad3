//! What stands between the chunks of a body, and behind the last one.

use httparse::Status;

use super::{CHUNK_DIGITS_MAX, CHUNK_LINE_MAX, HEAD_MAX, HEADERS_MAX};
use crate::domain::Reason;
use crate::ping::wire::Failure;

/// The line before a chunk: its length with its end, and the size it gives; `None` while it is not whole.
pub(super) fn chunk_size(raw: &[u8]) -> Result<Option<(usize, u64)>, Failure> {
    let count = raw.iter().take(CHUNK_DIGITS_MAX).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = raw[..count]
        .iter()
        .fold(0, |size, byte| size << 4 | u64::from(char::from(*byte).to_digit(16).unwrap_or_default()));
    let (mut in_extension, mut at) = (false, count);
    while let Some(byte) = raw.get(at) {
        match byte {
            _ if count == 0 || at > CHUNK_LINE_MAX => return Err(bad_chunks()),
            b'\r' => match raw.get(at + 1) {
                Some(b'\n') => return Ok(Some((at + 2, size))),
                Some(_) => return Err(bad_chunks()),
                None => return Ok(None),
            },
            b'\n' => return Err(bad_chunks()),
            b';' => in_extension = true,
            b' ' | b'\t' => {}
            _ if in_extension => {}
            _ => return Err(bad_chunks()),
        }
        at += 1;
    }
    Ok(None)
}

/// What stands behind the last chunk: its length with the empty line that ends it; `None` while that is not there.
pub(super) fn trailers(raw: &[u8], looked: usize) -> Result<Option<usize>, Failure> {
    if raw.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let window = &raw[..raw.len().min(HEAD_MAX)];
    let from = looked.saturating_sub(3).min(window.len());
    let Some(end) = window[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
        return if window.len() == HEAD_MAX { Err(bad_chunks()) } else { Ok(None) };
    };
    let lines = &window[..from + end + 4];
    // Half a line end is the end of a line to some.
    let is_bare = |at: usize| lines[at] == b'\n' && (at == 0 || lines[at - 1] != b'\r');
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(lines, &mut fields) {
        Ok(Status::Complete((used, _))) if used == lines.len() && !(0..used).any(is_bare) => Ok(Some(used)),
        _ => Err(bad_chunks()),
    }
}

pub(super) fn bad_chunks() -> Failure {
    Failure::noted(Reason::Protocol, "not a chunked body")
}
