//! A small keep-alive HTTP/1.1 client for loopback: POST, wait for the whole answer, keep the connection.
//!
//! One write for each request and a parser of its own, since a generator that shares the machine with what it measures
//! has to be cheap. It reads bodies with a `Content-Length` only; anything else is no answer. No TLS, no redirects, no
//! proxies, no cookies, no 1xx. A request that fails on a kept connection before any byte of an answer came is tried
//! once more on a fresh one, so callers must only send what may be sent twice.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Idle connections kept per host and port.
const MAX_IDLE: usize = 1_024;
/// Hosts with idle connections kept.
const MAX_HOSTS: usize = 64;
/// Largest answer read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Largest head of an answer read, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Bytes asked for in one read.
const READ_BYTES: usize = 4 * 1024;

/// The type of a JSON body.
pub const JSON: &str = "application/json";
/// The type of a form body.
pub const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

/// The client. One can serve any number of tasks of one tokio runtime.
pub struct Client {
    limit: Duration,
    idle: Mutex<HashMap<String, Vec<Connection>>>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// When the request was handed to this client, before a connection was looked for.
    pub sent: Instant,
    /// When the last byte was read.
    pub at: Instant,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not an `http` URL with a host.
    Url,
    Connect,
    /// The connection ended, or what came was no HTTP answer with a length.
    Closed,
    Timeout,
    /// The answer was larger than 256 KiB.
    TooLarge,
}

impl Fault {
    pub fn label(self) -> &'static str {
        match self {
            Fault::Url => "url",
            Fault::Connect => "connect",
            Fault::Closed => "closed",
            Fault::Timeout => "timeout",
            Fault::TooLarge => "too_large",
        }
    }
}

/// A connection and the bytes read beyond the last answer, which end it.
struct Connection {
    stream: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
}

/// How an exchange of request and answer failed.
struct Failed {
    fault: Fault,
    /// Nothing came at all: an idle connection may just have been closed.
    is_silent: bool,
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    head_bytes: usize,
    body_bytes: usize,
    keep: bool,
}

impl Client {
    /// A client that gives every request this long in all.
    pub fn new(limit: Duration) -> Client {
        Client { limit, idle: Mutex::default() }
    }

    /// Posts a JSON body, with a bearer key if one is given.
    pub async fn post(&self, url: &str, key: Option<&str>, body: Bytes) -> Result<Answer, Fault> {
        match key {
            Some(key) => {
                let bearer = format!("Bearer {key}");
                self.send(url, &[("authorization", &bearer)], JSON, &body).await
            }
            None => self.send(url, &[], JSON, &body).await,
        }
    }

    /// Posts a body of this type with further headers, which must be fit for a head as they are.
    pub async fn send(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        content_type: &str,
        body: &[u8],
    ) -> Result<Answer, Fault> {
        let sent = Instant::now();
        let exchanged = self.send_unlimited(sent, url, headers, content_type, body);
        match tokio::time::timeout(self.limit, exchanged).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Timeout),
        }
    }

    async fn send_unlimited(
        &self,
        sent: Instant,
        url: &str,
        headers: &[(&str, &str)],
        content_type: &str,
        body: &[u8],
    ) -> Result<Answer, Fault> {
        let (place, path) = split(url).ok_or(Fault::Url)?;
        if let Some(mut kept) = self.take(place) {
            kept.write_down(place, path, headers, content_type, body);
            match self.exchange(kept, place, sent).await {
                Err(Failed { fault: Fault::Closed, is_silent: true }) => {}
                done => return done.map_err(|failed| failed.fault),
            }
        }
        let mut fresh = Connection::open(place).await.ok_or(Fault::Connect)?;
        fresh.write_down(place, path, headers, content_type, body);
        self.exchange(fresh, place, sent).await.map_err(|failed| failed.fault)
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        place: &str,
        sent: Instant,
    ) -> Result<Answer, Failed> {
        let (head, body) = connection.exchange().await?;
        let at = Instant::now();
        if head.keep && connection.input.is_empty() {
            self.keep(place, connection);
        }
        Ok(Answer { status: head.status, body, sent, at })
    }

    /// The connection used last, which is the one least likely to have been closed.
    fn take(&self, place: &str) -> Option<Connection> {
        self.idle().get_mut(place)?.pop()
    }

    fn keep(&self, place: &str, connection: Connection) {
        let mut idle = self.idle();
        if let Some(kept) = idle.get_mut(place) {
            if kept.len() < MAX_IDLE {
                kept.push(connection);
            }
        } else if idle.len() < MAX_HOSTS {
            idle.insert(place.to_owned(), vec![connection]);
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<String, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn open(place: &str) -> Option<Connection> {
        let host = place.rsplit(']').next().unwrap_or(place);
        let stream = match host.contains(':') {
            true => TcpStream::connect(place).await.ok()?,
            false => TcpStream::connect(format!("{place}:80")).await.ok()?,
        };
        let _ = stream.set_nodelay(true); // a connection that refuses it is already gone
        Some(Connection { stream, input: BytesMut::new(), output: Vec::with_capacity(1_024) })
    }

    fn write_down(
        &mut self,
        place: &str,
        path: &str,
        headers: &[(&str, &str)],
        content_type: &str,
        body: &[u8],
    ) {
        let out = &mut self.output;
        out.clear();
        // Writing into a `Vec` cannot fail.
        let _ = write!(
            out,
            "POST {path} HTTP/1.1\r\nhost: {place}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    }

    /// Sends what was written down and reads the whole answer.
    async fn exchange(&mut self) -> Result<(Head, Bytes), Failed> {
        let gone = |is_silent| Failed { fault: Fault::Closed, is_silent };
        self.stream.write_all(&self.output).await.map_err(|_| gone(true))?;
        let head = loop {
            match take_head(&self.input) {
                Ok(Some(head)) => break head,
                Ok(None) => {}
                Err(fault) => return Err(Failed { fault, is_silent: false }),
            }
            self.read().await.ok_or_else(|| gone(self.input.is_empty()))?;
        };
        if head.body_bytes > MAX_ANSWER_BYTES {
            return Err(Failed { fault: Fault::TooLarge, is_silent: false });
        }
        let whole = head.head_bytes + head.body_bytes;
        while self.input.len() < whole {
            self.read().await.ok_or_else(|| gone(false))?;
        }
        let answer = self.input.split_to(whole).freeze();
        let body = answer.slice(head.head_bytes..);
        Ok((head, body))
    }

    async fn read(&mut self) -> Option<usize> {
        self.input.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.input).await.ok().filter(|bytes| *bytes > 0)
    }
}

/// Host with port, and path with query, of an `http` URL.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let rest = rest.split('#').next().unwrap_or(rest);
    let (place, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let port = place.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    let is_fine = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let has_host = !place.is_empty() && !place.starts_with(':') && !place.contains(['@', '?']);
    (has_host && is_fine && is_plain(place) && is_plain(path)).then_some((place, path))
}

/// The head at the start of the input; none when it is not here yet.
fn take_head(input: &[u8]) -> Result<Option<Head>, Fault> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if input.len() > MAX_HEAD_BYTES { Err(Fault::TooLarge) } else { Ok(None) };
    };
    let head = str::from_utf8(&input[..end]).map_err(|_| Fault::Closed)?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let (version, rest) = first.split_once(' ').ok_or(Fault::Closed)?;
    let status = rest.get(..3).and_then(|status| status.parse::<u16>().ok()).ok_or(Fault::Closed)?;
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || !(200..600).contains(&status) {
        return Err(Fault::Closed);
    }
    let (mut length, mut keep) = (None, version == "HTTP/1.1");
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Fault::Closed)?;
        let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        if name.is_empty() || value.bytes().any(is_control) {
            return Err(Fault::Closed);
        }
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let told = Some(value).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let told: usize = told.and_then(|text| text.parse().ok()).ok_or(Fault::Closed)?;
            if length.is_some_and(|length| length != told) {
                return Err(Fault::Closed);
            }
            length = Some(told);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Fault::Closed);
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            keep = false;
        }
    }
    let body_bytes = match (status, length) {
        (204 | 304, _) => 0,
        (_, Some(length)) => length,
        (_, None) => return Err(Fault::Closed),
    };
    Ok(Some(Head { status, head_bytes: end + 4, body_bytes, keep }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_or_refused() {
        let table = [
            ("http://127.0.0.1:8080/v1/route?a=b#c", Some(("127.0.0.1:8080", "/v1/route?a=b"))),
            ("http://localhost", Some(("localhost", "/"))),
            ("http://[::1]:80/x", Some(("[::1]:80", "/x"))),
            ("http://[::1]/x", Some(("[::1]", "/x"))),
            ("https://localhost/", None),
            ("http:///x", None),
            ("http://:80/x", None),
            ("http://a:port/x", None),
            ("http://a/x y", None),
            ("http://a/x\r\nb", None),
            ("", None),
        ];
        for (url, expected) in table {
            assert_eq!(split(url), expected, "{url}");
        }
    }

    #[test]
    fn heads_are_read_or_refused() {
        let ok = |status, body_bytes, keep| Ok(Some((status, body_bytes, keep)));
        let table = [
            ("200 OK\r\nContent-Length: 12\r\n\r\n", ok(200, 12, true)),
            ("200 \r\ncontent-length:0\r\nconnection: Close\r\n\r\n", ok(200, 0, false)),
            ("200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n", ok(200, 3, true)),
            ("204 No Content\r\n\r\n", ok(204, 0, true)),
            ("204 No Content\r\ncontent-length: 7\r\n\r\n", ok(204, 0, true)),
            ("200 OK\r\ncontent-le", Ok(None)),
            ("200 OK\r\n\r\n", Err(Fault::Closed)),
            ("200 OK\r\ncontent-length: +3\r\n\r\n", Err(Fault::Closed)),
            ("200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n", Err(Fault::Closed)),
            ("200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Err(Fault::Closed)),
            ("100 Continue\r\n\r\n", Err(Fault::Closed)),
            ("2 OK\r\ncontent-length: 0\r\n\r\n", Err(Fault::Closed)),
            ("200 OK\r\nno header\r\n\r\n", Err(Fault::Closed)),
            ("200 OK\r\n: nameless\r\ncontent-length: 0\r\n\r\n", Err(Fault::Closed)),
            ("200 OK\r\na: \0\r\ncontent-length: 0\r\n\r\n", Err(Fault::Closed)),
        ];
        for (head, expected) in table {
            let read = take_head(format!("HTTP/1.1 {head}").as_bytes());
            let read = read.map(|head| head.map(|head| (head.status, head.body_bytes, head.keep)));
            assert_eq!(read, expected, "{head}");
        }
        assert_eq!(take_head(b"SPDY/3 200\r\n\r\n"), Err(Fault::Closed));
        assert_eq!(take_head(&[b'a'; MAX_HEAD_BYTES + 1]), Err(Fault::TooLarge));
    }
}
