//! One accepted connection of a simulated bidder, byte by byte.
//!
//! Reads requests with a small parser of its own (`Content-Length` bodies only) and writes whatever bytes it is
//! told to: an HTTP library would refuse to send what broken buyers send. It judges nothing and records nothing.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest request head read, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// Largest request body read, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// Longest a reply may hang or take to be written, in seconds; then the connection is closed.
const REPLY_LIMIT_S: u64 = 120;

pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// A request, read to its last byte at `received`.
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub received: Instant,
}

pub(crate) enum Incoming {
    Request(Request),
    Closed,
    /// Not a request this parser takes.
    Bad,
}

/// How a wait before or within a reply ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Elapsed,
    /// The peer closed the connection.
    Closed,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Wire {
        // A connection that cannot take these options is already gone; the first read says so.
        let _ = stream.set_nodelay(true);
        Wire { stream, buffer: BytesMut::with_capacity(4 * 1024) }
    }

    /// Reads the next request. Dropping the future loses no bytes.
    pub async fn request(&mut self) -> Incoming {
        loop {
            match take_request(&mut self.buffer) {
                Ok(Some(request)) => return Incoming::Request(request),
                Ok(None) => {}
                Err(NotARequest) => return Incoming::Bad,
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Incoming::Closed,
                Ok(_) => {}
            }
        }
    }

    /// Whether bytes of a further request are already here.
    pub fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Waits until `until` (or the reply limit), unless the peer closes first. What arrives meanwhile is kept.
    pub async fn wait(&mut self, until: Option<Instant>) -> Waited {
        let limit = Instant::now() + Duration::from_secs(REPLY_LIMIT_S);
        let sleep = tokio::time::sleep_until(until.unwrap_or(limit).min(limit).into());
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased; // a close that came before the time was up is a close
                read = self.stream.read_buf(&mut self.buffer), if self.buffer.len() < BODY_LIMIT => match read {
                    Ok(0) | Err(_) => return Waited::Closed,
                    Ok(_) => {}
                },
                () = &mut sleep => return Waited::Elapsed,
            }
        }
    }

    /// Waits for the first byte of a further request (or the reply limit).
    pub async fn wait_for_more(&mut self) -> Waited {
        if self.has_more() {
            return Waited::Elapsed;
        }
        let read = timeout(Duration::from_secs(REPLY_LIMIT_S), self.stream.read_buf(&mut self.buffer)).await;
        match read {
            Ok(Ok(n)) if n > 0 => Waited::Elapsed,
            Ok(_) | Err(_) => Waited::Closed,
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match timeout(Duration::from_secs(REPLY_LIMIT_S), self.stream.write_all(bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Ends the connection with FIN.
    pub async fn close(&mut self) {
        let _ = self.stream.shutdown().await; // already closed by the peer is closed too
    }

    /// Ends the connection with RST, once dropped.
    pub fn reset(self) {
        let _ = self.stream.set_zero_linger(); // on failure the peer sees FIN; nothing else can be done
    }
}

struct NotARequest;

/// Cuts one complete request off the front of the buffer.
fn take_request(buffer: &mut BytesMut) -> Result<Option<Request>, NotARequest> {
    let Some(head_len) = find(buffer, b"\r\n\r\n").map(|at| at + 4) else {
        return if buffer.len() > HEAD_LIMIT { Err(NotARequest) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&buffer[..head_len]).map_err(|_| NotARequest)?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path)) = (first.next(), first.next()) else { return Err(NotARequest) };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body_len = match headers.iter().find(|(name, _)| name == "content-length") {
        Some((_, value)) => value.parse::<usize>().map_err(|_| NotARequest)?,
        None if headers.iter().any(|(name, _)| name == "transfer-encoding") => return Err(NotARequest),
        None => 0,
    };
    if body_len > BODY_LIMIT {
        return Err(NotARequest);
    }
    if buffer.len() < head_len + body_len {
        return Ok(None);
    }
    let (method, path) = (method.to_owned(), path.to_owned());
    buffer.advance(head_len);
    let body = buffer.split_to(body_len).freeze();
    Ok(Some(Request { method, path, headers, body, received: Instant::now() }))
}

/// Where `needle` first starts in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

/// A whole response with a body. `headers` come as `Name: value` without line ends.
pub(crate) fn response(status: u16, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let has_body = status >= 200 && status != 204 && status != 304;
    if has_body {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    if has_body {
        bytes.extend_from_slice(body);
    }
    bytes
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_whole_and_pipelined_ones_stay() {
        let mut buffer = BytesMut::from(
            &b"POST /bid HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nWebhook-Id: w1\r\n\r\n{}GET /x HTTP/1.1\r\n\r\n"[..],
        );
        let first = take_request(&mut buffer).ok().flatten().expect("complete");
        assert_eq!(
            (first.method.as_str(), first.path.as_str(), &first.body[..]),
            ("POST", "/bid", &b"{}"[..])
        );
        assert_eq!(first.headers[2], ("webhook-id".to_owned(), "w1".to_owned()));
        let second = take_request(&mut buffer).ok().flatten().expect("complete");
        assert_eq!(second.path, "/x");
        assert!(buffer.is_empty());
    }

    #[test]
    fn incomplete_waits_and_oversized_is_refused() {
        let mut buffer = BytesMut::from(&b"POST /bid HTTP/1.1\r\nContent-Length: 5\r\n\r\n{}"[..]);
        assert!(matches!(take_request(&mut buffer), Ok(None)));
        let mut buffer = BytesMut::from(&b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n"[..]);
        assert!(take_request(&mut buffer).is_err());
        let mut buffer = BytesMut::from(&vec![b'a'; HEAD_LIMIT + 1][..]);
        assert!(take_request(&mut buffer).is_err());
    }
}
