//! One connection to a bid endpoint on the wire: how it is made, what it may make us read, what its failures are called.
//!
//! Which connection is used when is in `client`; what a reply means is in `bidder`.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
use crate::auction::bid::Reply;
use crate::domain::Reason;

/// Longest reply head, in bytes.
pub const HEAD_MAX: usize = 8 * 1024;
/// Longest reply body, in bytes.
pub const BODY_MAX: usize = 16 * 1024;
/// Most bytes read for one reply, framing and informational responses included: a peer that floods is cut off long
/// before it costs anybody time.
const READ_MAX: usize = 96 * 1024;

/// How addresses are reached.
#[derive(Clone)]
pub enum Reach {
    /// Over the network.
    Network,
    /// Through pipes within this process, for a market that is simulated: no socket, no TLS.
    Memory(Dial),
}

/// Makes the pipe to an address; whoever made it answers at its other end.
pub type Dial = Arc<dyn Fn(SocketAddr) -> Dialled + Send + Sync>;
/// A pipe on its way.
pub type Dialled = Pin<Box<dyn Future<Output = std::io::Result<DuplexStream>> + Send>>;

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reach::Network => "Network",
            Reach::Memory(_) => "Memory",
        })
    }
}

impl Reach {
    async fn transport(&self, endpoint: &Endpoint, address: SocketAddr) -> Result<Transport, Failure> {
        let refused = |error: std::io::Error| Failure::noted(Reason::Connect, &error.kind().to_string());
        let tcp = match self {
            Reach::Network => TcpStream::connect(address).await.map_err(refused)?,
            Reach::Memory(dial) => return dial(address).await.map(Transport::Memory).map_err(refused),
        };
        // A ping is one small write that must not wait for company; without the option it is only slower.
        let _ = tcp.set_nodelay(true);
        let Some(trust) = endpoint.trust() else { return Ok(Transport::Tcp(tcp)) };
        let handshake = TlsConnector::from(Arc::clone(&trust.config)).connect(trust.name.clone(), tcp);
        let tls = handshake.await.map_err(|error| Failure::noted(Reason::Tls, &error.to_string()))?;
        Ok(Transport::Tls(Box::new(tls)))
    }
}

/// What a request failed with.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reply: Reply,
    /// It failed for want of something of ours: it says nothing of the endpoint.
    pub(super) is_ours: bool,
}

impl Failure {
    pub(super) fn noted(reason: Reason, note: &str) -> Failure {
        Failure { reply: Reply::noted(reason, note), is_ours: false }
    }

    /// A failure of our own.
    pub(super) fn ours(reason: Reason, note: &str) -> Failure {
        Failure { reply: Reply::noted(reason, note), is_ours: true }
    }
}

pub(super) async fn connect(
    reach: &Reach,
    endpoint: &Endpoint,
    address: SocketAddr,
) -> Result<(http1::SendRequest<Full<Bytes>>, Arc<AtomicUsize>), Failure> {
    let transport = reach.transport(endpoint, address).await?;
    let read = Arc::new(AtomicUsize::new(0));
    let stream = Stream { transport, read: Arc::clone(&read) };
    let mut builder = http1::Builder::new();
    builder.max_header_size(HEAD_MAX).max_buf_size(HEAD_MAX + BODY_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| failure(&error))?;
    tokio::spawn(async move {
        // Whatever ends the connection is told to the request on it.
        let _ = connection.await;
    });
    poll_fn(|cx| sender.poll_ready(cx)).await.map_err(|error| failure(&error))?;
    Ok((sender, read))
}

/// Refuses codings nobody asked for, and a body with two lengths: hyper believes the chunks, whoever stands between
/// may believe the other, and then the rest would pass for the next reply.
pub(super) fn check_framing(headers: &HeaderMap) -> Result<(), Failure> {
    let all = |name, only: &[u8]| {
        headers.get_all(name).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(only))
    };
    if !all(CONTENT_ENCODING, b"identity") {
        return Err(Failure::noted(Reason::Encoding, "only identity is accepted"));
    }
    if !all(TRANSFER_ENCODING, b"chunked") {
        return Err(Failure::noted(Reason::Encoding, "only chunked is accepted as a transfer coding"));
    }
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Err(Failure::noted(Reason::Protocol, "both Content-Length and Transfer-Encoding"));
    }
    Ok(())
}

pub(super) async fn collect(mut body: hyper::body::Incoming) -> Result<Vec<u8>, Failure> {
    use http_body_util::BodyExt;
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure(&error))?;
        if let Some(data) = frame.data_ref() {
            if whole.len() + data.len() > BODY_MAX {
                return Err(Failure::noted(Reason::TooLarge, "body above 16 KiB"));
            }
            whole.extend_from_slice(data);
        }
    }
    Ok(whole)
}

/// The peer has hung up.
pub(super) fn is_closed(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || io_kind(error).is_some()
}

fn io_kind(error: &hyper::Error) -> Option<std::io::ErrorKind> {
    std::error::Error::source(error)?.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}

pub(super) fn failure(error: &hyper::Error) -> Failure {
    if io_kind(error) == Some(std::io::ErrorKind::FileTooLarge) {
        Failure::noted(Reason::TooLarge, "more than a reply may have")
    } else if error.is_parse_too_large() {
        Failure::noted(Reason::TooLarge, "head above 8 KiB")
    } else if error.is_parse() {
        Failure::noted(Reason::Protocol, "not HTTP/1.1")
    } else if error.is_user() || !is_about_the_connection(error) {
        Failure::noted(Reason::Protocol, &error.to_string())
    } else {
        Failure { reply: Reply::none(Reason::Disconnected), is_ours: false }
    }
}

fn is_about_the_connection(error: &hyper::Error) -> bool {
    let broken_body = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|io| {
            matches!(io.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
        });
    !broken_body
}

/// What hyper speaks over, with a limit on what one reply may make us read.
struct Stream {
    transport: Transport,
    read: Arc<AtomicUsize>,
}

enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Memory(DuplexStream),
}

/// The error of a peer that sent more than any reply may have.
fn flooded() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::FileTooLarge, "more than a reply may have")
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = match &mut this.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let more = buf.filled().len() - before;
        if this.read.fetch_add(more, Ordering::Relaxed) + more > READ_MAX {
            return Poll::Ready(Err(flooded()));
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Memory(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
