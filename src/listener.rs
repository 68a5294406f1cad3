//! Listening sockets: who may connect, how long a peer may take, and the end of a connection at shutdown.
//!
//! hyper has no deadlines of its own for a request's arrival, so every connection is watched here: TLS and each head must
//! come within the head limit from its first byte (one that begins in the same packet as the request before it: within
//! the idle limit), an idle connection is closed, and a connection that does not end
//! after the signal to stop is ended. A head that is late, too large or no HTTP is answered here; what is served on the
//! connection is not known.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::problem::{Code, Problem};
use crate::runtime::Shutdown;
use crate::telemetry::event;

/// Longest request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Pause after the system had no socket or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What a connection above the limit hears.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// How long the last words to a slow peer may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a listener treats its connections.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Its name in metrics.
    pub name: &'static str,
    /// Longest a TLS handshake, and each request's head, may take.
    pub head: Duration,
    /// Longest a request may take from its head to its answer.
    pub request: Duration,
    /// How long a connection without a request is kept.
    pub idle: Duration,
}

/// Connections of one listener.
#[derive(Debug)]
pub struct Door {
    name: &'static str,
    most: usize,
    open: AtomicUsize,
}

/// A connection that counts against its listener's limit until dropped.
#[derive(Debug)]
pub struct Entered(Arc<Door>);

impl Door {
    /// A listener's count, for at most `most` connections.
    pub fn new(name: &'static str, most: usize) -> Arc<Door> {
        Arc::new(Door { name, most, open: AtomicUsize::new(0) })
    }

    fn enter(self: &Arc<Self>) -> Option<Entered> {
        let room = |open: usize| (open < self.most).then_some(open + 1);
        let entered = self.open.try_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        entered.then(|| Entered(Arc::clone(self)))
    }

    /// Tells the gauge how many are open.
    pub fn report(&self) {
        event::listener_connections(self.name, self.open.load(Ordering::Relaxed));
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The key of `Authorization: Bearer <key>`; the scheme is written in any case (RFC 9110).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Binds an address; says which one when it cannot.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| BindError { address, source })
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; choose another address in `listen`, or stop what uses it")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Accepts until the signal to stop and hands every connection on; what is above the limit is closed at once.
pub async fn accept(
    listener: TcpListener,
    door: &Arc<Door>,
    shutdown: &Shutdown,
    mut hand_on: impl FnMut(TcpStream, Entered),
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.wait() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => match door.enter() {
                Some(entered) => hand_on(stream, entered),
                None => {
                    event::connection_refused(door.name);
                    // Best effort, and no use where TLS is spoken: a peer that hears nothing tries elsewhere too.
                    let _ = stream.try_write(FULL);
                }
            },
            // Out of sockets or memory, or a peer that left at once: neither ends the listener.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves one connection to its end.
pub async fn serve<S, B>(
    stream: TcpStream,
    tls: Option<&TlsAcceptor>,
    manners: &Manners,
    shutdown: &Shutdown,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Answers are single small writes; without the option they are only slower.
    let _ = stream.set_nodelay(true);
    match tls {
        None => converse(stream, manners, shutdown, service).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(manners.head, tls.accept(stream)).await {
                converse(stream, manners, shutdown, service).await;
            }
        }
    }
}

/// Serves one connection in the clear to its end, over whatever carries its bytes.
pub async fn converse<I, S, B>(stream: I, manners: &Manners, shutdown: &Shutdown, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let watch = Watch::new();
    let watched = service_fn(|request| {
        watch.enter(Phase::Serving);
        let answer = service.call(request);
        async {
            let answer = answer.await;
            watch.enter(Phase::Idle);
            answer
        }
    });
    let io = TokioIo::new(Observed { stream, watch: &watch });
    let mut connection = http1::Builder::new().max_buf_size(HEAD_MAX).serve_connection(io, watched);
    let mut timer = std::pin::pin!(tokio::time::sleep_until(watch.due(manners)));
    let mut stop = std::pin::pin!(shutdown.wait());
    let mut stopping = false;
    let end = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(End::of(ended));
        }
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
            cx.waker().wake_by_ref();
        }
        let due = watch.due(manners);
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx).map(|()| if watch.phase() == Phase::Head { End::Slow } else { End::Quiet })
    });
    if let Some(problem) = end.await.problem() {
        event::request_refused(manners.name, problem.code);
        last_words(connection.into_parts().io.into_inner().stream, &problem).await;
    }
}

/// How a connection came to its end.
#[derive(Clone, Copy)]
enum End {
    /// As it should, or by the peer's doing.
    Quiet,
    /// A head did not come in time.
    Slow,
    /// A head was too large.
    Large,
    /// What came was no head.
    Garbled,
}

impl End {
    fn of(ended: hyper::Result<()>) -> End {
        match ended {
            Err(error) if error.is_parse_too_large() => End::Large,
            Err(error) if error.is_parse() => End::Garbled,
            Ok(()) | Err(_) => End::Quiet,
        }
    }

    fn problem(self) -> Option<Problem> {
        let (code, detail) = match self {
            End::Quiet => return None,
            End::Slow => (Code::Timeout, "The head of the request did not arrive in time."),
            End::Large => (Code::TooLarge, "The head of the request may have at most 16 KiB."),
            End::Garbled => (Code::Invalid, "What came is no HTTP/1.1 request."),
        };
        Some(Problem::new(code, detail))
    }
}

/// Tells a peer what was wrong with its head, outside hyper, which has no document for it.
async fn last_words(mut stream: impl AsyncWrite + Unpin, problem: &Problem) {
    let body = problem.to_json();
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        problem.status,
        problem.title,
        body.len()
    );
    let bytes = [head.as_bytes(), &body].concat();
    // A peer that does not even read has lost nothing it wanted.
    let _ = tokio::time::timeout(LAST_WORDS, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    })
    .await;
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A request's head, of which something may have come.
    Head,
    /// An answer of ours.
    Serving,
    /// The next request.
    Idle,
}

/// Where a connection is and since when; touched only by the task that polls it.
struct Watch {
    place: Mutex<(Phase, Instant)>,
    /// An answer of ours is not flushed yet. What hyper writes without one is its own bare word about a head it could
    /// not read; ours follows instead.
    owes: AtomicBool,
    /// hyper had such a word.
    swallowed: AtomicBool,
}

impl Watch {
    fn new() -> Watch {
        Watch {
            place: Mutex::new((Phase::Idle, Instant::now())),
            owes: AtomicBool::new(false),
            swallowed: AtomicBool::new(false),
        }
    }

    fn read(&self) -> (Phase, Instant) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = (phase, Instant::now());
        if phase == Phase::Serving {
            self.owes.store(true, Ordering::Relaxed);
        }
    }

    fn owes(&self) -> bool {
        self.owes.load(Ordering::Relaxed)
    }

    fn flushed(&self) {
        if self.phase() != Phase::Serving {
            self.owes.store(false, Ordering::Relaxed);
        }
    }

    fn phase(&self) -> Phase {
        self.read().0
    }

    fn due(&self, manners: &Manners) -> Instant {
        let (phase, since) = self.read();
        since
            + match phase {
                Phase::Head => manners.head,
                Phase::Serving => manners.request,
                Phase::Idle => manners.idle,
            }
    }
}

/// A stream that tells its watch when the first byte of a request comes.
struct Observed<'a, I> {
    stream: I,
    watch: &'a Watch,
}

impl<I: AsyncRead + Unpin> AsyncRead for Observed<'_, I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before && this.watch.phase() == Phase::Idle {
            this.watch.enter(Phase::Head);
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Observed<'_, I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        if !this.watch.owes() {
            this.watch.swallowed.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if flushed.is_ready() {
            this.watch.flushed();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.watch.phase() == Phase::Head || this.watch.swallowed.load(Ordering::Relaxed) {
            // Our last words come first; the stream is shut down after them, or dropped.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file} cannot be used for TLS: {what}")]
pub struct TlsError {
    file: String,
    what: String,
}

/// Reads certificate chain and key, both PEM.
pub fn tls(cert_file: &Path, key_file: &Path) -> Result<TlsAcceptor, TlsError> {
    let fault = |file: &Path, what: String| TlsError { file: file.display().to_string(), what };
    let chain = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(cert_file, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| fault(key_file, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| fault(cert_file, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
