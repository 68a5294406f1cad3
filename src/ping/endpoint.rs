//! Bid endpoints as the workers share them: where their names point and whom they must prove to be.
//!
//! Names are resolved in the background and never inside an auction. A name that stops resolving keeps its last good
//! addresses for an hour. Connections are not here: each worker has its own, in `client`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::egress::may_reach;
use super::health::Register;
use crate::domain::catalog::Endpoint as Configured;
use crate::domain::{BuyerId, Catalog, Timestamp};
use crate::runtime::Clock;
use crate::telemetry::event;

/// How often names are looked up again.
pub const REFRESH: Duration = Duration::from_secs(30);
/// How long the last good addresses of a name stay in use.
const KEEP_GOOD: Duration = Duration::from_secs(3_600);
/// Longest a look-up may take.
const LOOKUP: Duration = Duration::from_secs(5);
/// Look-ups at once.
const LOOKUPS_AT_ONCE: usize = 16;
/// Addresses of one name that are kept.
const ADDRESSES_MAX: usize = 8;

/// What makes two endpoints share connections: scheme, host, port and trust. Buyers do not share even then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    buyer: BuyerId,
    tls: bool,
    host: String,
    port: u16,
    /// PEM of the authorities trusted instead of the public ones: its content, so that a reload sees a new one.
    authorities: Option<Vec<u8>>,
}

impl Key {
    fn of(buyer: &BuyerId, endpoint: &Configured) -> Result<Key, TrustError> {
        let read = |file: &String| {
            std::fs::read(file)
                .map_err(|error| TrustError::of(endpoint, format!("it cannot be read: {error}")))
        };
        Ok(Key {
            buyer: buyer.clone(),
            tls: endpoint.tls,
            host: endpoint.host.clone(),
            port: endpoint.port,
            authorities: endpoint.ca_file.as_ref().map(read).transpose()?,
        })
    }
}

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Names its connections in every worker.
    pub(super) serial: usize,
    /// Whose it is.
    pub buyer: BuyerId,
    host: String,
    port: u16,
    trust: Option<Trust>,
    addresses: ArcSwap<Addresses>,
    next: AtomicUsize,
    refusing: AtomicBool,
    /// The last look-up failed, and was told.
    unresolved: AtomicBool,
}

#[derive(Debug, Default)]
struct Addresses {
    usable: Vec<SocketAddr>,
    good_until: Timestamp,
    refused: bool,
}

/// What a TLS connection is checked against.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// Why an endpoint has no address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAddress {
    /// Its name does not resolve.
    Unknown,
    /// It resolves to addresses that are closed to pings.
    Refused,
}

/// An attempt to connect. Dropped before it came out, it failed: whoever waited for it gave up, and at an address that
/// does not answer every ping may give up before the time to connect is over.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    endpoint: &'a Endpoint,
    went_well: bool,
}

impl Attempt<'_> {
    /// It came out so.
    pub(super) fn end(mut self, well: bool) {
        self.went_well = well;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.endpoint.connected(self.went_well);
    }
}

impl Endpoint {
    /// The address to connect to now; the next call gives the next one.
    pub(super) fn address(&self, now: Timestamp) -> Result<SocketAddr, NoAddress> {
        let addresses = self.addresses.load();
        if addresses.usable.is_empty() || addresses.good_until < now {
            return Err(if addresses.refused { NoAddress::Refused } else { NoAddress::Unknown });
        }
        Ok(addresses.usable[self.next.load(Ordering::Relaxed) % addresses.usable.len()])
    }

    /// An attempt to connect came out so. After a failure the next one goes to the next address.
    fn connected(&self, well: bool) {
        self.refusing.store(!well, Ordering::Relaxed);
        if !well {
            self.next.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An attempt to connect begins.
    pub(super) fn attempt(&self) -> Attempt<'_> {
        Attempt { endpoint: self, went_well: false }
    }

    /// Whether the last attempt to connect failed.
    pub(super) fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// What its connections are checked against; `None` without TLS.
    pub(super) fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// One with these addresses and no TLS.
    #[cfg(test)]
    pub(super) fn at(serial: usize, addresses: &[SocketAddr]) -> Arc<Endpoint> {
        let good_until = Timestamp::from_micros(i64::MAX / 2);
        Arc::new(Endpoint {
            serial,
            buyer: BuyerId::parse("acme").expect("an id"),
            host: "bids.example.com".to_owned(),
            port: 80,
            trust: None,
            addresses: ArcSwap::from_pointee(Addresses {
                usable: addresses.to_vec(),
                good_until,
                refused: false,
            }),
            next: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            unresolved: AtomicBool::new(false),
        })
    }

    fn literal(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Counts a failed look-up; the log hears of the first in a row.
    fn lost(&self, error: &str) {
        event::resolve_failed(&self.host, error, !self.unresolved.swap(true, Ordering::Relaxed));
    }

    fn learn(&self, found: &[IpAddr], allow_private: bool, now: Timestamp) {
        let usable: Vec<SocketAddr> = found
            .iter()
            .filter(|address| may_reach(**address, allow_private))
            .take(ADDRESSES_MAX)
            .map(|address| SocketAddr::new(*address, self.port))
            .collect();
        let refused = usable.is_empty() && !found.is_empty();
        let good_until = now.after(KEEP_GOOD);
        self.addresses.store(Arc::new(Addresses { usable, good_until, refused }));
    }
}

/// Every endpoint that some catalog in use names.
#[derive(Debug)]
pub struct Endpoints {
    /// How the targets behind them have been answering.
    pub health: Register,
    known: Mutex<HashMap<Key, Weak<Endpoint>>>,
    public: Arc<ClientConfig>,
    clock: Clock,
    allow_private: bool,
    serials: AtomicUsize,
}

/// Why an endpoint's authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the authorities in {file} cannot be used for {host}: {what}")]
pub struct TrustError {
    file: String,
    host: String,
    what: String,
}

impl TrustError {
    fn of(endpoint: &Configured, what: String) -> TrustError {
        let file = endpoint.ca_file.clone().unwrap_or_else(|| "the public list".to_owned());
        TrustError { file, host: endpoint.host.clone(), what }
    }
}

impl Endpoints {
    /// None yet. `allow_private` lets pings go to loopback and private networks.
    pub fn new(clock: Clock, allow_private: bool) -> Endpoints {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Endpoints {
            health: Register::default(),
            known: Mutex::default(),
            public: Arc::new(client_config(roots)),
            clock,
            allow_private,
            serials: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Endpoint>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shared sides of a catalog's endpoints, by target; `None` for fixed prices. One that another catalog in use
    /// names too stays the same, with its connections. Fails when an authority file is of no use.
    pub fn prepare(&self, catalog: &Catalog) -> Result<Vec<Option<Arc<Endpoint>>>, TrustError> {
        let mut known = self.lock();
        known.retain(|_, endpoint| endpoint.strong_count() > 0);
        let mut prepared = Vec::with_capacity(catalog.targets.len());
        for target in &catalog.targets {
            let Some(configured) = target.endpoint() else {
                prepared.push(None);
                continue;
            };
            let key = Key::of(&catalog.buyer(target.buyer).id, configured)?;
            let endpoint = match known.get(&key).and_then(Weak::upgrade) {
                Some(endpoint) => endpoint,
                None => Arc::new(self.make(&key).map_err(|what| TrustError::of(configured, what))?),
            };
            known.insert(key, Arc::downgrade(&endpoint));
            prepared.push(Some(endpoint));
        }
        Ok(prepared)
    }

    /// Looks up every name once, a few at a time. Call it every `REFRESH`.
    pub async fn refresh(&self) {
        let endpoints: Vec<Arc<Endpoint>> = self.lock().values().filter_map(Weak::upgrade).collect();
        futures_util::stream::iter(endpoints)
            .for_each_concurrent(LOOKUPS_AT_ONCE, |endpoint| async move { self.look_up(&endpoint).await })
            .await;
    }

    async fn look_up(&self, endpoint: &Endpoint) {
        if endpoint.literal().is_some() {
            return;
        }
        let found =
            tokio::time::timeout(LOOKUP, tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)));
        match found.await {
            Ok(Ok(found)) => {
                let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                endpoint.learn(&found, self.allow_private, self.clock.now());
                if endpoint.unresolved.swap(false, Ordering::Relaxed) {
                    event::resolved_again(&endpoint.host);
                }
            }
            Ok(Err(error)) => endpoint.lost(&error.to_string()),
            Err(_) => endpoint.lost("no answer in time"),
        }
    }

    fn make(&self, key: &Key) -> Result<Endpoint, String> {
        let endpoint = Endpoint {
            serial: self.serials.fetch_add(1, Ordering::Relaxed),
            buyer: key.buyer.clone(),
            host: key.host.clone(),
            port: key.port,
            trust: if key.tls { Some(self.trust(key)?) } else { None },
            addresses: ArcSwap::default(),
            next: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            unresolved: AtomicBool::new(false),
        };
        if let Some(address) = endpoint.literal() {
            // A literal has no other address to change to, so it never expires.
            endpoint.learn(&[address], self.allow_private, Timestamp::from_micros(i64::MAX / 2));
        }
        Ok(endpoint)
    }

    fn trust(&self, key: &Key) -> Result<Trust, String> {
        let name = ServerName::try_from(key.host.trim_matches(['[', ']']).to_owned())
            .map_err(|error| error.to_string())?;
        let Some(pem) = &key.authorities else {
            return Ok(Trust { config: Arc::clone(&self.public), name });
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("it holds no certificate".to_owned());
        }
        Ok(Trust { config: Arc::new(client_config(roots)), name })
    }
}

fn client_config(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
