//! One connection to a bid endpoint on the wire: how it is made, asked and listened to, what its failures are called.
//!
//! Whoever asks owns the connection, so dropping the question closes it: once it is asked, no task and no queue stand between. Which
//! connection is used when is in `client`, where a reply ends in `reply`; what it means is in `bidder`.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
use super::reply::{Incoming, Whole};
use crate::auction::bid::Reply;
use crate::domain::Reason;

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
pub type Dialled = Pin<Box<dyn Future<Output = io::Result<DuplexStream>> + Send>>;

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
        let refused = |error: io::Error| Failure::noted(Reason::Connect, &error.kind().to_string());
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

    /// The peer hung up.
    pub(super) fn disconnected() -> Failure {
        Failure { reply: Reply::none(Reason::Disconnected), is_ours: false }
    }

    /// A failure of our own.
    pub(super) fn ours(reason: Reason, note: &str) -> Failure {
        Failure { reply: Reply::noted(reason, note), is_ours: true }
    }
}

/// A connection, up to the network or to a market in memory.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    incoming: Incoming,
}

/// What a question on a connection failed with; the connection is of no use afterwards.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) failure: Failure,
    /// The peer hung up before a byte of its reply came: it need not have read the question.
    pub(super) is_unanswered: bool,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Broken {
        Broken { failure, is_unanswered: false }
    }
}

impl Wire {
    /// Connects, TLS included.
    pub(super) async fn connect(
        reach: &Reach,
        endpoint: &Endpoint,
        address: SocketAddr,
    ) -> Result<Wire, Failure> {
        let transport = reach.transport(endpoint, address).await?;
        Ok(Wire { transport, incoming: Incoming::new() })
    }

    /// Writes a request, head and body at once, and reads the reply to its end.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Whole, Broken> {
        self.incoming.begin();
        if let Err(error) = self.write(request).await {
            return Err(self.broken(&error));
        }
        loop {
            match self.transport.read(self.incoming.room()?).await {
                Ok(0) => {
                    let is_unanswered = self.incoming.is_untouched();
                    return self.incoming.closed().map_err(|failure| Broken { failure, is_unanswered });
                }
                Ok(bytes) => {
                    if let Some(whole) = self.incoming.more(bytes)? {
                        return Ok(whole);
                    }
                }
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    async fn write(&mut self, request: &[u8]) -> io::Result<()> {
        self.transport.write_all(request).await?;
        // TLS may keep what the socket did not take; the others have nothing to do here.
        self.transport.flush().await
    }

    fn broken(&self, error: &io::Error) -> Broken {
        // TLS that does not decrypt is no end of a connection, but the wrong bytes on it.
        let failure = match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Failure::noted(Reason::Protocol, &error.to_string())
            }
            _ => Failure::disconnected(),
        };
        Broken { failure, is_unanswered: self.incoming.is_untouched() }
    }

    /// The body of the reply that was read last.
    pub(super) fn body(&mut self, whole: &Whole) -> &mut [u8] {
        self.incoming.body(whole)
    }

    /// Lets go of what the last reply needed, as far as the next will not.
    pub(super) fn rest(&mut self) {
        self.incoming.begin();
    }

    /// Whether nothing came since the last reply, the end of the connection included, as far as the runtime has told: it
    /// asks the system only if there is something. Enough to close early what is of no use; to use it, ask [`owe_nothing`].
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut into = ReadBuf::new(&mut byte);
        let look =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut self.transport).poll_read(cx, &mut into).is_pending()));
        at_once(look) == Poll::Ready(true)
    }
}

/// Of which nothing came since the last reply, by what the system has for us now: the runtime learns of it only between
/// two turns, and what it has not told of yet would be read as the reply to the next ping. What is still on its way
/// nobody can see. The system is asked once for all.
pub(super) fn owe_nothing<'w>(wires: impl Iterator<Item = &'w mut Wire>) -> Vec<bool> {
    let most = wires.size_hint().1.unwrap_or_default();
    let mut owe_nothing = Vec::with_capacity(most);
    let (mut sockets, mut places) = (Vec::with_capacity(most), Vec::with_capacity(most));
    for wire in wires {
        // Behind a bare socket nothing is kept that the system would not tell of.
        let is_quiet = matches!(wire.transport, Transport::Tcp(_)) || wire.is_quiet();
        if let Some(socket) = wire.transport.socket().filter(|_| is_quiet) {
            sockets.push(PollFd::new(socket, PollFlags::IN));
            places.push(owe_nothing.len());
        }
        owe_nothing.push(is_quiet);
    }
    if !sockets.is_empty() {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let asked = retry_on_intr(|| poll(&mut sockets, Some(&at_once)));
        for (place, socket) in places.into_iter().zip(&sockets) {
            // An end of the connection and its errors are told too; of what nobody knows anything nothing is believed.
            owe_nothing[place] = asked.is_ok() && socket.revents().is_empty();
        }
    }
    owe_nothing
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Transport::Tls(stream) = &mut self.transport {
            // TLS wants a goodbye, or the peer takes it for a cut. Who cannot take it at once does without.
            let _ = at_once(poll_fn(|cx| Pin::new(&mut **stream).poll_shutdown(cx)));
        }
    }
}

/// What comes of it without waiting. Nobody is woken later, least of all the ping before; and a task that did much is
/// not told to pause by being told that nothing is there.
fn at_once<T>(what: impl Future<Output = T>) -> Poll<T> {
    let what = pin!(tokio::task::coop::unconstrained(what));
    what.poll(&mut Context::from_waker(Waker::noop()))
}

#[derive(Debug)]
enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Memory(DuplexStream),
}

impl Transport {
    /// What the system is asked about; none where a pipe tells at once.
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Transport::Tcp(stream) => Some(stream),
            Transport::Tls(stream) => Some(stream.get_ref().0),
            Transport::Memory(_) => None,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Memory(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Barrier;
    use std::time::{Duration, Instant};

    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    const NO_BID: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

    /// A connection and its other end, with room for so many bytes on their way.
    fn pair(room: usize) -> (Wire, DuplexStream) {
        let (near, far) = tokio::io::duplex(room);
        (Wire { transport: Transport::Memory(near), incoming: Incoming::new() }, far)
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(test);
    }

    async fn asked(wire: &mut Wire, far: &mut DuplexStream, request: &[u8], reply: &[u8]) -> Whole {
        let mut heard = vec![0; request.len()];
        let answers = async {
            far.read_exact(&mut heard).await.expect("the request");
            far.write_all(reply).await.expect("written");
        };
        let (whole, ()) = futures_util::future::join(wire.ask(request), answers).await;
        assert_eq!(heard, request);
        whole.expect("a reply")
    }

    #[test]
    fn a_request_that_does_not_fit_is_written_piece_by_piece() {
        run(async {
            let (mut wire, mut far) = pair(7);
            for _ in 0..3 {
                let whole = asked(&mut wire, &mut far, &[b'x'; 1_000], NO_BID).await;
                assert_eq!((whole.status, whole.is_kept), (204, true));
                assert!(wire.is_quiet());
            }
        });
    }

    #[test]
    fn what_comes_while_it_lies_idle_is_noticed() {
        run(async {
            let (mut wire, mut far) = pair(4_096);
            assert!(asked(&mut wire, &mut far, b"x", NO_BID).await.is_kept && wire.is_quiet());
            far.write_all(NO_BID).await.expect("written");
            assert!(!wire.is_quiet(), "a reply nobody asked for");

            let (mut wire, mut far) = pair(4_096);
            assert!(asked(&mut wire, &mut far, b"x", NO_BID).await.is_kept && wire.is_quiet());
            drop(far);
            assert!(!wire.is_quiet(), "closed");

            // However much the task did before.
            let (mut wire, far) = pair(4_096);
            while tokio::task::coop::has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            drop(far);
            assert!(!wire.is_quiet(), "closed");
        });
    }

    /// What a server does once its reply is read, while the client's runtime has no turn to hear of it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Then {
        Nothing,
        Says(&'static [u8]),
        Closes,
    }

    /// Answers one request on this stream, then does as it is told and keeps what it has until the client is done.
    fn answer_once(mut stream: impl Read + Write, then: Then, turn: &Barrier) {
        stream.read_exact(&mut [0]).expect("the request");
        stream.write_all(NO_BID).expect("written");
        stream.flush().expect("flushed");
        turn.wait();
        let stream = match then {
            Then::Nothing => Some(stream),
            Then::Says(bytes) => {
                stream.write_all(bytes).expect("written");
                stream.flush().expect("flushed");
                Some(stream)
            }
            Then::Closes => {
                drop(stream);
                None
            }
        };
        turn.wait();
        turn.wait();
        drop(stream);
    }

    fn server_config() -> (ServerConfig, ClientConfig) {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a server");
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        (server, client)
    }

    /// What `owe_nothing` says after a reply and what the server does then, with no turn of the runtime in between.
    fn judged_after(is_tls: bool, then: Then) -> bool {
        let (server, client) = server_config();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let turn = Barrier::new(2);
        let mut owes_nothing = None;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (stream, _) = listener.accept().expect("a connection");
                if is_tls {
                    let tls = ServerConnection::new(Arc::new(server)).expect("a server");
                    answer_once(StreamOwned::new(tls, stream), then, &turn);
                } else {
                    answer_once(stream, then, &turn);
                }
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let tcp = TcpStream::connect(address).await.expect("a connection");
                let transport = if is_tls {
                    let name = ServerName::try_from("127.0.0.1").expect("a name");
                    let tls = TlsConnector::from(Arc::new(client)).connect(name, tcp).await;
                    Transport::Tls(Box::new(tls.expect("TLS")))
                } else {
                    Transport::Tcp(tcp)
                };
                let mut wire = Wire { transport, incoming: Incoming::new() };
                assert!(wire.ask(b"x").await.expect("a reply").is_kept);
                let owes_nothing_yet = |wire: &mut Wire| owe_nothing(std::iter::once(wire)) == [true];
                assert!(owes_nothing_yet(&mut wire), "it said what it had to");
                turn.wait();
                turn.wait();
                // The system may take its time, too, from one end to the other.
                let until = Instant::now() + Duration::from_secs(20);
                while then != Then::Nothing && owes_nothing_yet(&mut wire) && Instant::now() < until {
                    std::thread::yield_now();
                }
                owes_nothing = Some(owes_nothing_yet(&mut wire));
                turn.wait();
            });
        });
        owes_nothing.expect("judged")
    }

    /// A reply nobody asked for would be the next ping's, and with it the bid of one call another's.
    #[test]
    fn what_the_system_has_is_noticed_before_the_runtime_tells_of_it() {
        for is_tls in [false, true] {
            for (then, expected) in
                [(Then::Nothing, true), (Then::Says(NO_BID), false), (Then::Closes, false)]
            {
                assert_eq!(judged_after(is_tls, then), expected, "TLS {is_tls}, {then:?}");
            }
        }
    }

    #[test]
    fn who_hangs_up_without_a_word_may_be_asked_again() {
        // What came before the end: whether the ping may go out again.
        for (said, may_repeat) in
            [("", true), ("H", false), ("\r\n", false), ("HTTP/1.1 100 X\r\n\r\n", false)]
        {
            run(async {
                let (mut wire, mut far) = pair(4_096);
                far.write_all(said.as_bytes()).await.expect("written");
                drop(far.shutdown().await);
                let broken = wire.ask(b"x").await.expect_err("no reply");
                assert_eq!(broken.is_unanswered, may_repeat, "{said:?}");
                assert_eq!(broken.failure.reply, Reply::none(Reason::Disconnected), "{said:?}");
            });
        }
        run(async {
            let (mut wire, far) = pair(4_096);
            drop(far);
            assert!(wire.ask(b"x").await.expect_err("nobody there").is_unanswered);
        });
    }
}
