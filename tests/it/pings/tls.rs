//! Bid endpoints over TLS: the operator's own authority is believed, nobody else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::{call, decided_in_ms, hang_up, one_worker, outcome};
use crate::support::{Exchange, Folder, Market, eventually};

/// A private authority, with its certificate in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Folder, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let file = folder.path().join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), file }
    }

    /// A certificate for this name, as a server uses it.
    fn server(&self, name: &str, is_expired: bool) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.unwrap())
    }
}

/// A bidder that speaks TLS, bids 30.00 and keeps its connections.
struct TlsBidder {
    at: SocketAddr,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicU32,
    pings: AtomicU32,
    /// What the last ping said is left.
    told_ms: AtomicU32,
    /// Connections that ended as TLS wants it, and not with a cut.
    goodbyes: AtomicU32,
    stop: AtomicBool,
}

impl TlsBidder {
    fn start(config: Arc<ServerConfig>) -> TlsBidder {
        TlsBidder::start_slow(config, Duration::ZERO)
    }

    /// Lets everybody wait so long for the handshake.
    fn start_slow(config: Arc<ServerConfig>, slow: Duration) -> TlsBidder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (config, shared) = (Arc::clone(&config), Arc::clone(&shared));
                // Ends when the exchange closes the connection, at the latest with its process.
                std::thread::spawn(move || {
                    std::thread::sleep(slow);
                    serve(stream, config, &shared)
                });
            }
        });
        TlsBidder { at, seen, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("https://{}/bid", self.at)
    }

    fn pings(&self) -> u32 {
        self.seen.pings.load(Ordering::SeqCst)
    }
}

impl Drop for TlsBidder {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        // One more connection wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.at);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers pings until the exchange closes, or does not like our certificate.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, seen: &Seen) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let tls = ServerConnection::new(config).ok()?;
    let mut reader = BufReader::new(StreamOwned::new(tls, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                seen.goodbyes.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let ping: Value = serde_json::from_slice(&body).ok()?;
        seen.told_ms.store(ping["deadline_ms"].as_u64()?.try_into().ok()?, Ordering::SeqCst);
        seen.pings.fetch_add(1, Ordering::SeqCst);
        let reply = json!({"ping_id": ping["ping_id"], "bid": "30.00"}).to_string();
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{reply}", reply.len());
        reader.get_mut().write_all(reply.as_bytes()).ok()?;
    }
}

fn market(url: &str, more: &str) -> Market {
    Market::new(r#"{ sequential = [{ auction = ["secure"] }, "fixed"] }"#)
        .campaign("deadline_ms = 800\npayout = { fixed = \"5.00\" }")
        .buyer("secure", "")
        .target("secure", "secure", &format!("endpoint = {{ url = \"{url}\"{more} }}"))
        .buyer("fixed", "")
        .target("fixed", "fixed", "price = \"6.00\"")
}

fn trusting(authority: &Authority) -> String {
    format!(", ca_file = {:?}", authority.file.to_str().unwrap())
}

#[test]
fn a_bid_over_tls_wins_and_the_connection_is_kept() {
    let folder = Folder::new();
    let own = Authority::new(&folder, "own");
    let bidder = TlsBidder::start(own.server("127.0.0.1", false));
    let settings = one_worker() + "idle_ms = 3000\n";
    let exchange = Exchange::start_as(&market(&bidder.url(), &trusting(&own)), &settings);
    for n in 0..10 {
        let answer = call(&exchange);
        assert_eq!(outcome(&exchange, &answer, "secure"), "won 30.00", "call {n}");
        hang_up(&exchange, &answer);
    }
    assert_eq!(bidder.pings(), 10);
    let opened = exchange.metric("outcry_ping_connections_opened_total", r#"when="auction""#);
    let connections = bidder.seen.connections.load(Ordering::SeqCst);
    assert!(opened <= 2.0 && connections <= 4, "{opened} in auctions of {connections}");
    eventually("what lay idle too long is closed with a goodbye", || {
        (bidder.seen.goodbyes.load(Ordering::SeqCst) > 0).then_some(())
    });
    exchange.finish();
}

/// The time it took to connect is gone for the buyer, too.
#[test]
fn a_ping_that_waited_for_its_connection_tells_what_is_left() {
    let folder = Folder::new();
    let own = Authority::new(&folder, "own");
    let bidder = TlsBidder::start_slow(own.server("127.0.0.1", false), Duration::from_millis(300));
    let exchange = Exchange::start_as(&market(&bidder.url(), &trusting(&own)), &one_worker());
    let answer = call(&exchange);
    eventually("the ping came", || (bidder.pings() == 1).then_some(()));
    let told = bidder.seen.told_ms.load(Ordering::SeqCst);
    assert!(told <= 800 - 300 - 3, "{told} ms are not left");
    hang_up(&exchange, &answer);
    exchange.finish();
}

#[test]
fn a_server_that_does_not_prove_its_name_gets_no_ping() {
    let folder = Folder::new();
    let (own, other) = (Authority::new(&folder, "own"), Authority::new(&folder, "other"));
    let table = [
        ("another authority", own.server("127.0.0.1", false), trusting(&other)),
        ("no authority but the public ones", own.server("127.0.0.1", false), String::new()),
        ("another name", own.server("bids.example", false), trusting(&own)),
        ("expired", own.server("127.0.0.1", true), trusting(&own)),
    ];
    for (name, config, trust) in table {
        let bidder = TlsBidder::start(config);
        let exchange = Exchange::start(&market(&bidder.url(), &trust));
        let answer = call(&exchange);
        let (reason, row) = exchange.outcome(answer["call_id"].as_str().unwrap(), "secure");
        assert_eq!(reason, "tls", "{name}: {row}");
        assert!(row["note"].as_str().is_some_and(|note| note.contains("certificate")), "{name}: {row}");
        assert_eq!(answer["basis"], "static", "{name}: {answer:#}");
        assert_eq!(bidder.pings(), 0, "{name}");
        hang_up(&exchange, &answer);
        exchange.finish();
    }
}

/// Plain HTTP where TLS is expected fails at once; a server that is silent in the handshake costs the deadline.
#[test]
fn a_handshake_that_fails_or_stalls_ends_with_the_auction() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let exchange = Exchange::start(&market(&format!("https://{}/bid", silent.local_addr().unwrap()), ""));
    let answer = call(&exchange);
    assert_eq!(outcome(&exchange, &answer, "secure"), "connect");
    assert_eq!(answer["basis"], "static", "{answer:#}");
    assert!((800.0..1_400.0).contains(&decided_in_ms(&answer)), "{answer:#}");
    hang_up(&exchange, &answer);
    // The connections it opened ahead stall, too, and are given up.
    drop(silent);
    eventually("no connection is left", || {
        (exchange.metric("outcry_ping_connections", "") == 0.0).then_some(())
    });
    exchange.finish();

    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = plain.local_addr().unwrap();
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        // What the client still sends is read, so that the close is no reset.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let exchange = Exchange::start(&market(&format!("https://{at}/bid"), ""));
    let answer = call(&exchange);
    assert_eq!(outcome(&exchange, &answer, "secure"), "tls");
    hang_up(&exchange, &answer);
    answers.join().unwrap();
    exchange.finish();
}
