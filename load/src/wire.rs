//! One accepted connection of a simulated bidder, byte by byte.
//!
//! Reads requests with a small parser of its own (`Content-Length` bodies only) and writes whatever bytes it is
//! told to: an HTTP library would refuse to send what broken buyers send. It judges nothing and records nothing.

use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest request head read, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// Largest request body read, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// Room made for a read: one that takes less than a whole ping costs a second system call.
const READ_ROOM: usize = 4 * 1024;
/// Longest a reply may hang or take to be written, in seconds; then the connection is closed.
const REPLY_LIMIT_S: u64 = 120;

pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// A request, read to its last byte at `received`. It keeps the bytes as they came: most requests are answered
/// without anyone asking for their headers.
#[derive(Clone)]
pub(crate) struct Request {
    head: Bytes,
    pub body: Bytes,
    pub received: Instant,
}

impl Request {
    pub fn method(&self) -> &[u8] {
        self.first_line().next().unwrap_or_default()
    }

    pub fn path(&self) -> &[u8] {
        self.first_line().nth(1).unwrap_or_default()
    }

    /// Names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        lines(&self.head)
            .skip(1)
            .filter_map(field)
            .map(|(name, value)| (owned(name).to_ascii_lowercase(), owned(value)))
            .collect()
    }

    fn first_line(&self) -> impl Iterator<Item = &[u8]> {
        lines(&self.head).next().unwrap_or_default().split(|byte| *byte == b' ')
    }
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
        Wire { stream, buffer: BytesMut::with_capacity(READ_ROOM) }
    }

    /// Reads the next request. Dropping the future loses no bytes.
    pub async fn request(&mut self) -> Incoming {
        loop {
            match take_request(&mut self.buffer) {
                Ok(Some(request)) => return Incoming::Request(request),
                Ok(None) => {}
                Err(NotARequest) => return Incoming::Bad,
            }
            make_room(&mut self.buffer);
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

    /// Writes all of it: in one system call where the kernel has room, as it has for a reply.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = match self.stream.try_write(bytes) {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let rest = &bytes[sent..];
        match timeout(Duration::from_secs(REPLY_LIMIT_S), self.stream.write_all(rest)).await {
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

fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < READ_ROOM / 2 {
        buffer.reserve(READ_ROOM);
    }
}

/// Cuts one complete request off the front of the buffer.
fn take_request(buffer: &mut BytesMut) -> Result<Option<Request>, NotARequest> {
    if buffer.is_empty() {
        return Ok(None);
    }
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\r\n\r\n"));
    let Some(head_len) = END.find(buffer).map(|at| at + 4) else {
        return if buffer.len() > HEAD_LIMIT { Err(NotARequest) } else { Ok(None) };
    };
    let head = &buffer[..head_len];
    let is_text = head.is_ascii() || std::str::from_utf8(head).is_ok();
    if !is_text || !lines(head).next().is_some_and(|line| line.contains(&b' ')) {
        return Err(NotARequest);
    }
    let body_len = body_len(head)?;
    if body_len > BODY_LIMIT {
        return Err(NotARequest);
    }
    if buffer.len() < head_len + body_len {
        return Ok(None);
    }
    let head = buffer.split_to(head_len).freeze();
    let body = buffer.split_to(body_len).freeze();
    Ok(Some(Request { head, body, received: Instant::now() }))
}

fn body_len(head: &[u8]) -> Result<usize, NotARequest> {
    // Spelled as clients mostly spell it, the length is found without taking the head apart.
    static LENGTH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\r\ncontent-length:"));
    let value = LENGTH.find(head).and_then(|at| lines(&head[at + LENGTH.needle().len()..]).next());
    let headers = || lines(head).skip(1).filter_map(field);
    let named = |wanted: &[u8]| headers().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    match value.or_else(|| Some(named(b"content-length")?.1)) {
        Some(value) => {
            let digits = std::str::from_utf8(value.trim_ascii()).ok();
            digits.and_then(|len| len.parse().ok()).ok_or(NotARequest)
        }
        None if named(b"transfer-encoding").is_some() => Err(NotARequest),
        None => Ok(0),
    }
}

/// A line's name as it came and its trimmed value.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// The lines of a head without their ends.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', head).map(move |end| {
        let line = &head[start..end];
        start = end + 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

/// Where `needle` first starts in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}

/// A whole response with a body. `headers` come as `Name: value` without line ends.
pub(crate) fn response(status: u16, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RESPONSE_HEAD + body.len());
    let mut say = |parts: &[&str]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
    let mut digits = Digits::default();
    say(&["HTTP/1.1 ", digits.of(u64::from(status)), " ", reason(status), "\r\n"]);
    for header in headers {
        say(&[header, "\r\n"]);
    }
    let has_body = status >= 200 && status != 204 && status != 304;
    if !has_body {
        say(&["\r\n"]);
        return bytes;
    }
    say(&["Content-Length: ", digits.of(body.len() as u64), "\r\n\r\n"]);
    bytes.extend_from_slice(body);
    bytes
}

/// Room for the head of most responses.
const RESPONSE_HEAD: usize = 128;

/// A number's decimal digits without an allocation.
#[derive(Default)]
pub(crate) struct Digits([u8; 20]);

impl Digits {
    pub fn of(&mut self, mut number: u64) -> &str {
        let mut at = self.0.len();
        loop {
            at -= 1;
            self.0[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return std::str::from_utf8(&self.0[at..]).unwrap_or_default();
            }
        }
    }
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
        assert_eq!((first.method(), first.path(), &first.body[..]), (&b"POST"[..], &b"/bid"[..], &b"{}"[..]));
        assert_eq!(first.headers()[2], ("webhook-id".to_owned(), "w1".to_owned()));
        let second = take_request(&mut buffer).ok().flatten().expect("complete");
        assert_eq!(second.path(), b"/x");
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

    #[test]
    fn odd_heads() {
        // head -> whether it is a request
        let table = [
            ("POST /bid HTTP/1.1\r\n\r\n", true),
            ("GET  HTTP/1.1\r\n\r\n", true),
            ("POST\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n", false),
            ("POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n", true),
            ("POST / HTTP/1.1\r\ncontent-length:\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nCONTENT-LENGTH : 0\r\ncontent-length: 0\r\n\r\n", true),
        ];
        for (head, expected) in table {
            let taken = take_request(&mut BytesMut::from(head.as_bytes()));
            assert_eq!(taken.is_ok_and(|request| request.is_some()), expected, "{head:?}");
        }
    }

    #[test]
    fn responses_are_framed() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_default();
        let whole = "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(text(response(200, &["X: y"], b"{}")), whole);
        assert_eq!(text(response(204, &[], b"ignored")), "HTTP/1.1 204 No Content\r\n\r\n");
        let mut digits = Digits::default();
        assert_eq!([0, 7, 10].map(|n| digits.of(n).to_owned()), ["0", "7", "10"]);
        assert_eq!(digits.of(u64::MAX), u64::MAX.to_string());
    }
}
