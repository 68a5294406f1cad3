//! A small keep-alive HTTP/1.1 client for loopback: POST, wait for the whole answer, keep the connection.
//!
//! No TLS, no redirects, no proxies, no cookies. A request that fails on a kept connection before any answer came
//! is tried once more on a fresh one, so callers must only send what may be sent twice.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Idle connections kept per host and port.
const MAX_IDLE: usize = 1_024;
/// Hosts with idle connections kept.
const MAX_HOSTS: usize = 64;
/// Largest answer read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The client. One can serve any number of tasks of one tokio runtime.
pub struct Client {
    limit: Duration,
    idle: Mutex<HashMap<String, Vec<SendRequest<Full<Bytes>>>>>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// When the last byte was read.
    pub at: Instant,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not an `http` URL with a host.
    Url,
    Connect,
    /// The connection ended, or what came was no HTTP answer.
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

impl Client {
    /// A client that gives every request this long in all.
    pub fn new(limit: Duration) -> Client {
        Client { limit, idle: Mutex::default() }
    }

    /// Posts a JSON body, with a bearer key if one is given.
    pub async fn post(&self, url: &str, key: Option<&str>, body: Bytes) -> Result<Answer, Fault> {
        match tokio::time::timeout(self.limit, self.post_unlimited(url, key, body)).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Timeout),
        }
    }

    async fn post_unlimited(&self, url: &str, key: Option<&str>, body: Bytes) -> Result<Answer, Fault> {
        let uri: Uri = url.parse().map_err(|_| Fault::Url)?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or(Fault::Url)?;
        let place = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        if let Some(kept) = self.take(&place) {
            match self.exchange(kept, &place, request(&uri, &place, key, body.clone())?).await {
                Err(Fault::Closed) => {} // the other side may have closed it while it was idle
                done => return done,
            }
        }
        let fresh = connect(&place).await?;
        self.exchange(fresh, &place, request(&uri, &place, key, body)?).await
    }

    async fn exchange(
        &self,
        mut connection: SendRequest<Full<Bytes>>,
        place: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Fault> {
        connection.ready().await.map_err(|_| Fault::Closed)?;
        let response = connection.send_request(request).await.map_err(|_| Fault::Closed)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body =
            body.map_err(|error| if error.is::<hyper::Error>() { Fault::Closed } else { Fault::TooLarge })?;
        let at = Instant::now();
        self.keep(place, connection);
        Ok(Answer { status, body: body.to_bytes(), at })
    }

    fn take(&self, place: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle();
        let kept = idle.get_mut(place)?;
        while let Some(connection) = kept.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, place: &str, connection: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle();
        if idle.len() >= MAX_HOSTS && !idle.contains_key(place) {
            return;
        }
        let kept = idle.entry(place.to_owned()).or_default();
        if kept.len() < MAX_IDLE {
            kept.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<String, Vec<SendRequest<Full<Bytes>>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(uri: &Uri, place: &str, key: Option<&str>, body: Bytes) -> Result<Request<Full<Bytes>>, Fault> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path).header(header::HOST, place);
    request = request.header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    request.body(Full::new(body)).map_err(|_| Fault::Url)
}

async fn connect(place: &str) -> Result<SendRequest<Full<Bytes>>, Fault> {
    let stream = TcpStream::connect(place).await.map_err(|_| Fault::Connect)?;
    let _ = stream.set_nodelay(true); // a connection that refuses it is already gone
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Fault::Connect)?;
    tokio::spawn(async move {
        let _ = connection.await; // its end shows in the sender
    });
    Ok(sender)
}
