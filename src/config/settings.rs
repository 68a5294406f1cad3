//! `outcry.toml`: sockets, stores and limits. A change needs a restart; what is hot is in the catalog.
//!
//! Every key has a default, and paths are relative to the folder of the file. Only addresses and secrets can be
//! overridden by the environment, so that one file says what runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::file::{Field, Reader};
use super::problem::Problem;
use super::values::{digest, is_private};
use crate::capacity::HoldDurability;
use crate::domain::{Address, Money};
use crate::journal::{self, Backend};

/// Environment variables that win over the file, and the key each stands for. `OUTCRY_STORE_PATH` is relative to the
/// working directory. Beside these, only `secret = "env:NAME"` in the catalog reads the environment.
pub const ENVIRONMENT: [(&str, &str); 3] = [
    ("OUTCRY_CALL_TRAFFIC_LISTEN", "call_traffic.listen"),
    ("OUTCRY_ADMIN_LISTEN", "admin.listen"),
    ("OUTCRY_STORE_PATH", "store.path"),
];

/// Longest name of an admin key, in bytes.
const KEY_NAME_MAX: usize = 40;

/// How environment variables are looked up.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Everything `outcry.toml` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file it was read from.
    pub file: PathBuf,
    /// Folder of the catalog's files.
    pub catalog_dir: PathBuf,
    /// The listener of carriers, quotes and conversions.
    pub call_traffic: CallTraffic,
    /// The listener of operators.
    pub admin: Admin,
    /// The embedded store.
    pub store: Store,
    /// The journal.
    pub journal: Journaled,
    /// What the exchange takes on at once.
    pub limits: Limits,
    /// How buyers are asked.
    pub pings: Pings,
    /// Currency and rounding.
    pub money: MoneySettings,
    /// The log.
    pub log: Log,
    /// The life of calls.
    pub calls: Calls,
}

/// The listener of carriers, quotes and conversions.
#[derive(Clone, Debug)]
pub struct CallTraffic {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Absolute URL carriers reach it under, without a trailing slash.
    pub public_base_url: String,
    /// Worker threads; 0 is one less than the cores, at least 1.
    pub workers: usize,
    /// Most connections open at once.
    pub connections: usize,
    /// Certificate and key, if it speaks TLS itself.
    pub tls: Option<Tls>,
    /// A proxy in front of it ends TLS.
    pub behind_proxy: bool,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM file of the certificate chain.
    pub cert_file: PathBuf,
    /// PEM file of the private key.
    pub key_file: PathBuf,
}

/// The listener of operators.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate and key, if it speaks TLS itself.
    pub tls: Option<Tls>,
    /// A proxy in front of it ends TLS.
    pub behind_proxy: bool,
    /// Who may enter. Empty only on loopback: then everybody there is an operator.
    pub keys: Vec<AdminKey>,
}

/// A bearer key of the admin listener.
#[derive(Clone, Debug)]
pub struct AdminKey {
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// What it may do.
    pub role: Role,
    /// Who changes something with it, in the history; `operator-1` for the first of the list if it has none.
    pub name: String,
}

impl AdminKey {
    /// Whether it may do more than look.
    pub fn may_change(&self) -> bool {
        match self.role {
            Role::Operator => true,
            Role::Viewer => false,
        }
    }
}

/// What an admin key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Operator,
    /// Look.
    Viewer,
}

/// The embedded store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its file.
    pub path: PathBuf,
}

/// The journal, and what waits for it.
#[derive(Clone, Debug)]
pub struct Journaled {
    /// How it is kept.
    pub kept: journal::Settings,
    /// What a unit of a strict cap waits for before its call is handed out.
    pub hold_durability: HoldDurability,
    /// How long it waits.
    pub hold_ack: Duration,
}

/// What the exchange takes on at once, and how long a request may take to arrive.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time to read a request's head.
    pub head: Duration,
    /// Time to read a request's body.
    pub body: Duration,
    /// Time for a whole request to arrive.
    pub request: Duration,
    /// Longest body, in bytes.
    pub body_bytes: usize,
    /// Decisions in progress; more get the static answer.
    pub decisions: usize,
    /// Calls in progress or being decided; for repeats up to twice as many answers are kept.
    pub live_calls: usize,
    /// Most targets pinged in one auction.
    pub auction_fan_out: usize,
    /// How late a worker may be to begin auctions; beyond it the static answer is given.
    pub auction_delay: Duration,
    /// How late a worker may be to answer at all; beyond it calls are refused.
    pub answer_delay: Duration,
}

/// How buyers are asked.
#[derive(Clone, Debug)]
pub struct Pings {
    /// Most connections to bid endpoints.
    pub connections: usize,
    /// How long an outstanding ping keeps its connection after its auction.
    pub linger: Duration,
    /// Most pings that linger at once.
    pub lingering: usize,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// Time to connect.
    pub connect: Duration,
    /// Bid endpoints may be on loopback and private networks.
    pub allow_private_addresses: bool,
    /// File of the secret caller tokens are keyed with.
    pub caller_key_file: PathBuf,
}

/// Currency and rounding.
#[derive(Clone, Debug)]
pub struct MoneySettings {
    /// ISO 4217 code.
    pub currency: String,
    /// Bids and shared payouts are multiples of this.
    pub money_step: Money,
}

/// The log.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// The least severe events shown.
    pub level: LogLevel,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Severity of log events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something may fail.
    Warn,
    /// What an operator follows.
    Info,
    /// What a developer follows.
    Debug,
}

/// The life of calls.
#[derive(Clone, Debug)]
pub struct Calls {
    /// How long replies stay in memory after a call's end.
    pub keep_ended: Duration,
    /// Grace for late events before an end without a measured talk time is settled.
    pub late_events: Duration,
    /// How long after a failed attempt a carrier may ask for the next step before the call counts as over.
    pub next_within: Duration,
    /// Life a bid must have left when it is handed out.
    pub dial_guard: Duration,
    /// Where test calls are sent.
    pub test_address: Option<Address>,
}

/// Reads the settings. `file` gives the folder paths are relative to.
pub(super) fn read(r: &Reader<'_>, file: &Path, env: Env<'_>) -> Settings {
    let base = file.parent().unwrap_or(Path::new(""));
    let catalog_dir = path(&r.field("catalog_dir"), base).unwrap_or_else(|| base.join("catalog"));
    let store = section(r, "store", |r| store(r, base, env));
    let caller_key = store.path.with_file_name("caller.key");
    let beside = store.path.with_extension("journal");
    Settings {
        file: file.to_owned(),
        catalog_dir,
        call_traffic: section(r, "call_traffic", |r| call_traffic(r, base, env)),
        admin: section(r, "admin", |r| admin(r, base, env)),
        store,
        journal: section(r, "journal", |r| journaled(r, base, &beside)),
        limits: section(r, "limits", limits),
        pings: section(r, "pings", |r| pings(r, base, &caller_key)),
        money: section(r, "money", money),
        log: section(r, "log", log),
        calls: section(r, "calls", calls),
    }
}

/// What deserves a warning in valid settings.
pub(super) fn warnings(settings: &Settings) -> Vec<Problem> {
    let traffic = &settings.call_traffic;
    if traffic.listen.ip().is_loopback() || !is_local(&traffic.public_base_url) {
        return Vec::new();
    }
    let what = format!("listening on {} but carriers are given {}", traffic.listen, traffic.public_base_url);
    let file = settings.file.display().to_string();
    vec![Problem::of_file(&file, "call_traffic.public_base_url", what, "the URL carriers reach it under")]
}

/// Sizes of segments, in MB. Whether the smallest will do is for the catalog to say.
pub(super) const SEGMENT_MB: RangeInclusive<u64> = 1..=1_024;

/// A table that may be left out: then it is read as empty, so that defaults stand in one place.
fn section<'a, T>(r: &Reader<'a>, key: &'static str, read: impl Fn(&Reader<'_>) -> T) -> T {
    let field = r.field(key);
    match field.table("a table", &read) {
        Some(value) => value,
        None => field.file.table(field.path.clone(), 0..0, &Default::default(), read),
    }
}

fn call_traffic(r: &Reader<'_>, base: &Path, env: Env<'_>) -> CallTraffic {
    let listen = listen(&r.field("listen"), "OUTCRY_CALL_TRAFFIC_LISTEN", 8080, env);
    let tls = tls(&r.field("tls"), base);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let default_url = || match listen.ip().is_unspecified() {
        true => format!("{scheme}://127.0.0.1:{}", listen.port()),
        false => format!("{scheme}://{listen}"),
    };
    let traffic = CallTraffic {
        listen,
        public_base_url: base_url(&r.field("public_base_url")).unwrap_or_else(default_url),
        workers: r.field("workers").whole(0..=1_024).unwrap_or(0),
        connections: r.field("connections").whole(1..=1_000_000).unwrap_or(10_000),
        behind_proxy: r.field("behind_proxy").flag().unwrap_or(false),
        tls,
    };
    check_plain(r, traffic.listen, r.field("tls").is_set(), traffic.behind_proxy);
    traffic
}

fn admin(r: &Reader<'_>, base: &Path, env: Env<'_>) -> Admin {
    let admin = Admin {
        listen: listen(&r.field("listen"), "OUTCRY_ADMIN_LISTEN", 8081, env),
        tls: tls(&r.field("tls"), base),
        behind_proxy: r.field("behind_proxy").flag().unwrap_or(false),
        keys: admin_keys(&r.field("keys")),
    };
    check_plain(r, admin.listen, r.field("tls").is_set(), admin.behind_proxy);
    let named = r.field("keys").raw().and_then(DeValue::as_array).is_some_and(|keys| !keys.is_empty());
    if !named && !admin.listen.ip().is_loopback() {
        let what = format!("{} is not loopback and there is no key", admin.listen);
        r.wrong(what, "at least one of `keys`, or a loopback address in `listen`");
    }
    admin
}

fn admin_keys(field: &Field<'_>) -> Vec<AdminKey> {
    let allowed = "a list of {digest = \"sha256:…\", role = \"operator\", name = \"ann\"}";
    let roles = [("operator", Role::Operator), ("viewer", Role::Viewer)];
    let read = |(at, item): (usize, Field<'_>)| {
        item.table(allowed, |r| {
            let digest = digest(&r.field("digest").required());
            let role = r.field("role").required().choice(&roles);
            let name = r.field("name").label(KEY_NAME_MAX);
            let (digest, role) = (digest?, role?);
            let word = if role == Role::Operator { "operator" } else { "viewer" };
            Some(AdminKey { digest, role, name: name.unwrap_or_else(|| format!("{word}-{}", at + 1)) })
        })?
    };
    field.list(allowed).into_iter().enumerate().filter_map(read).collect()
}

fn store(r: &Reader<'_>, base: &Path, env: Env<'_>) -> Store {
    let written = path(&r.field("path"), base).unwrap_or_else(|| base.join("../data/outcry.db"));
    Store { path: env("OUTCRY_STORE_PATH").map_or(written, PathBuf::from) }
}

fn journaled(r: &Reader<'_>, base: &Path, beside: &Path) -> Journaled {
    let megabytes = |key, range, default: u64| r.field(key).whole(range).unwrap_or(default) * 1024 * 1024;
    let backends = [("auto", Backend::Auto), ("uring", Backend::Uring), ("thread", Backend::Thread)];
    let durabilities =
        [("kernel", HoldDurability::Kernel), ("disk", HoldDurability::Disk), ("lazy", HoldDurability::Lazy)];
    Journaled {
        kept: journal::Settings {
            dir: path(&r.field("path"), base).unwrap_or_else(|| beside.to_owned()),
            spare_dir: path(&r.field("spare_path"), base),
            segment_bytes: megabytes("segment_mb", SEGMENT_MB, 32),
            keep_bytes: megabytes("keep_mb", 64..=1_048_576, 1_024),
            backend: r.field("backend").choice(&backends).unwrap_or(Backend::Auto),
            queue_records: r.field("queue").whole(1_024..=10_000_000).unwrap_or(65_536),
            free_percent: r.field("free_percent").whole(0..=50).unwrap_or(5),
        },
        hold_durability: r.field("hold_durability").choice(&durabilities).unwrap_or(HoldDurability::Kernel),
        hold_ack: r.field("hold_ack_ms").millis(1..=500).unwrap_or(Duration::from_millis(20)),
    }
}

fn limits(r: &Reader<'_>) -> Limits {
    let millis = |key, default| r.field(key).millis(100..=120_000).unwrap_or(Duration::from_millis(default));
    let late = |key, default| r.field(key).millis(1..=60_000).unwrap_or(Duration::from_millis(default));
    let (auction_delay, answer_delay) = (late("auction_delay_ms", 5), late("answer_delay_ms", 100));
    if answer_delay < auction_delay {
        let what = format!(
            "`answer_delay_ms` = {} refuses calls that `auction_delay_ms` = {} would still auction",
            answer_delay.as_millis(),
            auction_delay.as_millis()
        );
        r.wrong(what, "`answer_delay_ms` of at least `auction_delay_ms` (left out: 100 and 5)");
    }
    Limits {
        head: millis("head_ms", 5_000),
        body: millis("body_ms", 5_000),
        request: millis("request_ms", 10_000),
        body_bytes: r.field("body_bytes").whole(1_024..=16_777_216).unwrap_or(65_536),
        decisions: r.field("decisions").whole(1..=1_000_000).unwrap_or(10_000),
        live_calls: r.field("live_calls").whole(1..=10_000_000).unwrap_or(200_000),
        auction_fan_out: r.field("auction_fan_out").whole(1..=10_000).unwrap_or(100),
        auction_delay,
        answer_delay,
    }
}

fn pings(r: &Reader<'_>, base: &Path, caller_key: &Path) -> Pings {
    let millis = |key, range, default| r.field(key).millis(range).unwrap_or(Duration::from_millis(default));
    Pings {
        connections: r.field("connections").whole(1..=1_000_000).unwrap_or(8_192),
        linger: millis("linger_ms", 0..=5_000, 1_000),
        lingering: r.field("lingering").whole(0..=1_000_000).unwrap_or(4_096),
        idle: millis("idle_ms", 1_000..=600_000, 60_000),
        connect: millis("connect_ms", 10..=5_000, 1_000),
        allow_private_addresses: r.field("allow_private_addresses").flag().unwrap_or(false),
        caller_key_file: path(&r.field("caller_key_file"), base).unwrap_or_else(|| caller_key.to_owned()),
    }
}

fn money(r: &Reader<'_>) -> MoneySettings {
    let currency = r.field("currency").parse("three upper-case letters, such as \"USD\"", |text| {
        let fits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
        fits.then(|| text.to_owned())
    });
    MoneySettings {
        currency: currency.unwrap_or_else(|| "USD".to_owned()),
        money_step: r.field("money_step").price().unwrap_or(Money::from_micros(10_000)),
    }
}

fn log(r: &Reader<'_>) -> Log {
    use LogLevel::{Debug, Error, Info, Warn};
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [("error", Error), ("warn", Warn), ("info", Info), ("debug", Debug)];
    Log {
        format: r.field("format").choice(&formats).unwrap_or(LogFormat::Text),
        level: r.field("level").choice(&levels).unwrap_or(Info),
    }
}

fn calls(r: &Reader<'_>) -> Calls {
    let seconds = |key, range, default| r.field(key).seconds(range).unwrap_or(Duration::from_secs(default));
    Calls {
        keep_ended: seconds("keep_ended_s", 10..=86_400, 600),
        late_events: seconds("late_events_s", 0..=3_600, 30),
        next_within: seconds("next_within_s", 0..=300, 10),
        dial_guard: seconds("dial_guard_s", 0..=60, 5),
        test_address: r
            .field("test_address")
            .parse("a number such as +15125550100 or sip:user@host", Address::parse),
    }
}

fn listen(field: &Field<'_>, variable: &str, port: u16, env: Env<'_>) -> SocketAddr {
    let allowed = format!("an address and port, such as 127.0.0.1:{port}");
    let written = field.parse(&allowed, |text| text.parse().ok());
    let given = env(variable).and_then(|text| {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let what = format!("{text:?} does not fit");
            field.file.sink.push(Problem::of_file(&format!("${variable}"), &field.path, what, &allowed));
        }
        parsed
    });
    given.or(written).unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
}

fn check_plain(r: &Reader<'_>, listen: SocketAddr, tls: bool, behind_proxy: bool) {
    if !listen.ip().is_loopback() && !tls && !behind_proxy {
        let what = format!("plain HTTP on {listen}, which is not loopback");
        r.wrong(what, "`tls = {cert_file, key_file}`, or `behind_proxy = true` where a proxy ends TLS");
    }
}

fn tls(field: &Field<'_>, base: &Path) -> Option<Tls> {
    let (cert, key) = field.table("{cert_file = \"…\", key_file = \"…\"}", |r| {
        let (cert, key) = (r.field("cert_file").required(), r.field("key_file").required());
        (certificates(&cert, base), private_key(&key, base))
    })?;
    Some(Tls { cert_file: cert?, key_file: key? })
}

/// A path, relative to the folder of the file it stands in.
pub(super) fn path(field: &Field<'_>, base: &Path) -> Option<PathBuf> {
    field.parse("a path", |text| (!text.is_empty()).then(|| base.join(text)))
}

/// The path of a PEM file with at least one certificate.
pub(super) fn certificates(field: &Field<'_>, base: &Path) -> Option<PathBuf> {
    pem(field, base, "a PEM file with at least one certificate", |text| {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        found.is_ok_and(|found| !found.is_empty())
    })
}

/// The path of a PEM file with a private key.
fn private_key(field: &Field<'_>, base: &Path) -> Option<PathBuf> {
    pem(field, base, "a PEM file with a private key", |text| PrivateKeyDer::from_pem_slice(text).is_ok())
}

fn pem(field: &Field<'_>, base: &Path, allowed: &str, fits: fn(&[u8]) -> bool) -> Option<PathBuf> {
    let path = path(field, base)?;
    if super::stored::is_read() {
        return Some(path);
    }
    let what = match std::fs::read(&path) {
        Ok(text) if fits(&text) => return Some(path),
        Ok(_) => format!("{} is no such file", path.display()),
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    };
    field.wrong(what, allowed);
    None
}

/// Whether a URL leads to the machine of whoever opens it.
pub(super) fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.split([':', '/']).next().unwrap_or("");
    let is_loopback = |ip: Ipv4Addr| ip.is_loopback();
    rest.starts_with("[::1]") || host == "localhost" || host.parse().is_ok_and(is_loopback)
}

/// An absolute URL that paths are put behind.
pub(super) fn base_url(field: &Field<'_>) -> Option<String> {
    field.parse("an absolute http(s) URL without a trailing slash, at most 256 bytes", |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let clean = rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#@\"<>\\".contains(&b));
        let fits = clean && !rest.is_empty() && !rest.starts_with('/') && !rest.ends_with('/');
        (fits && text.len() <= 256).then(|| text.to_owned())
    })
}

/// Whether bid endpoints at this host are refused by these settings.
pub(super) fn refuses_host(settings: &Settings, host: &str) -> bool {
    !settings.pings.allow_private_addresses && is_private(host)
}
