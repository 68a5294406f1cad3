//! Values with a form of their own: digests, secrets, URLs, decimals, hours, states, destinations.
//!
//! Each reads one field and reports what does not fit. Nothing here knows other entries of the catalog.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;

use base64::Engine;

use super::file::{Field, Reader};
use super::problem::{nearest, shown};
use super::settings::{Env, path};
use crate::domain::caller::TAG_KEY_MAX;
use crate::domain::catalog::{DestinationRule, Secret};
use crate::domain::state::STATES;
use crate::domain::{Address, Bps, E164, Hours, Money, Zone};

const SECRET_BYTES: RangeInclusive<usize> = 24..=256;
/// Most secrets of a carrier: one in use, one to come, and some room.
const SECRETS_MAX: usize = 4;
const HOST_MAX: usize = 253;
const PATH_MAX: usize = 2_048;

/// `sha256:` and 64 hexadecimal digits. The value is never repeated: somebody may have put the key itself here.
pub(super) fn digest(field: &Field<'_>) -> Option<[u8; 32]> {
    let allowed = "\"sha256:\" and 64 hexadecimal digits, as `outcry key` prints it";
    let text = field.text(allowed)?;
    let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.is_ascii());
    let mut bytes = [0; 32];
    let read = hex.is_some_and(|hex| {
        bytes.iter_mut().enumerate().all(|(n, byte)| {
            let pair = &hex[2 * n..2 * n + 2];
            let fits = pair.bytes().all(|b| b.is_ascii_hexdigit());
            fits && u8::from_str_radix(pair, 16).map(|value| *byte = value).is_ok()
        })
    });
    if !read {
        field.wrong("is not a digest", allowed);
        return None;
    }
    Some(bytes)
}

/// `secret_file = "…"` or `secret = "env:NAME"`, if either is there.
pub(super) fn secret(r: &Reader<'_>, base: &Path, env: Env<'_>) -> Option<Secret> {
    let (by_file, by_name) = (r.field("secret_file"), r.field("secret"));
    if by_file.is_set() && by_name.is_set() {
        by_name.wrong("stands beside `secret_file`", "one of the two");
        return None;
    }
    if by_file.is_set() {
        return secret_bytes(&by_file, &text_of_file(&by_file, base)?);
    }
    let allowed = "secret = \"env:NAME\" or secret_file = \"…\"";
    secret_bytes(&by_name, &text_of_env(&by_name, env, allowed)?)
}

/// A list of secrets, the current one first: `"env:NAME"` or `{ secret_file = "…" }`, each taken as it stands.
pub(super) fn secrets(field: &Field<'_>, base: &Path, env: Env<'_>) -> Vec<Secret> {
    let allowed = "a list such as [\"env:NAME\", { secret_file = \"…\" }], the current secret first";
    let items = field.list(allowed);
    let is_list = field.raw().is_some_and(|value| value.as_array().is_some());
    if is_list && !(1..=SECRETS_MAX).contains(&items.len()) {
        field.wrong(format!("has {} secrets", items.len()), &format!("1 to {SECRETS_MAX}"));
        return Vec::new();
    }
    let mut secrets = Vec::new();
    for item in items {
        let text = match item.raw().is_some_and(|value| value.is_table()) {
            true => item.table(allowed, |r| text_of_file(&r.field("secret_file").required(), base)).flatten(),
            false => text_of_env(&item, env, allowed),
        };
        let Some(secret) = text.and_then(|text| usable(&item, text.into_bytes())) else { continue };
        if secrets.contains(&secret) {
            item.wrong("is a secret that stands twice", "each once");
        } else {
            secrets.push(secret);
        }
    }
    secrets
}

fn text_of_file(field: &Field<'_>, base: &Path) -> Option<String> {
    match super::file::Source::open(&path(field, base)?) {
        Ok(source) => Some(source.text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(problem) => {
            field.wrong(format!("{} {}", problem.file, problem.what), "a file that can be read");
            None
        }
    }
}

fn text_of_env(field: &Field<'_>, env: Env<'_>, allowed: &str) -> Option<String> {
    let Some(name) = field.text(allowed)?.strip_prefix("env:") else {
        field.wrong("is a literal secret, which must not stand in a file", allowed);
        return None;
    };
    let text = env(name);
    if text.is_none() {
        field.wrong(format!("the environment variable {name} is not set"), allowed);
    }
    text
}

/// The bytes a secret stands for: Base64 after `whsec_` (Standard Webhooks), else the text itself.
fn secret_bytes(field: &Field<'_>, text: &str) -> Option<Secret> {
    let bytes = match text.strip_prefix("whsec_") {
        Some(coded) => base64::engine::general_purpose::STANDARD.decode(coded).unwrap_or_default(),
        None => text.as_bytes().to_vec(),
    };
    usable(field, bytes)
}

fn usable(field: &Field<'_>, bytes: Vec<u8>) -> Option<Secret> {
    if !SECRET_BYTES.contains(&bytes.len()) {
        field.wrong("holds no usable secret", "24 to 256 bytes; where we sign also as whsec_ and Base64");
        return None;
    }
    Some(Secret(bytes))
}

/// A URL taken apart.
pub(super) struct Url {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// An absolute `http` or `https` URL without user or fragment.
pub(super) fn url(field: &Field<'_>) -> Option<Url> {
    let allowed = "http:// or https://, a host, an optional port and path; no user, no fragment";
    field.parse(allowed, |text| {
        let (tls, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = authority_parts(authority)?;
        let port =
            port.map_or(Some(if tls { 443 } else { 80 }), |port| port.parse().ok().filter(|p| *p > 0))?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let clean = path.bytes().all(|b| b.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&b));
        (clean && path.len() <= PATH_MAX).then(|| Url { tls, host: host.to_owned(), port, path })
    })
}

fn authority_parts(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let (host, rest) = authority.split_at(authority.find(']')? + 1);
        host[1..host.len() - 1].parse::<std::net::Ipv6Addr>().ok()?;
        return if rest.is_empty() {
            Some((host, None))
        } else {
            Some((host, Some(rest.strip_prefix(':')?)))
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    is_host(host).then_some((host, port))
}

fn is_host(host: &str) -> bool {
    let fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= HOST_MAX && host.split('.').all(fits)
}

/// Whether a host is, as written, on loopback or a private network. Names are checked again when they are resolved.
pub(super) fn is_private(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let v4 = |ip: std::net::Ipv4Addr| {
        let shared = ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
        ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || shared
    };
    match bare.parse() {
        Ok(IpAddr::V4(ip)) => v4(ip),
        Ok(IpAddr::V6(ip)) => {
            let mapped = ip.to_ipv4_mapped().is_some_and(v4);
            let local = ip.is_unique_local() || ip.is_unicast_link_local();
            mapped || local || ip.is_loopback() || ip.is_unspecified()
        }
        Err(_) => {
            let name = bare.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// A percentage with its sign, such as `60%`, in basis points.
pub(super) fn percent(field: &Field<'_>, range: RangeInclusive<u32>) -> Option<Bps> {
    let (low, high) = (range.start() / 100, range.end() / 100);
    let allowed = format!("a percentage in quotes from \"{low}%\" to \"{high}%\", at most two decimals");
    field.parse(&allowed, |text| {
        let micros = Money::parse(text.strip_suffix('%')?).ok()?.micros();
        let points = u32::try_from(micros / 10_000).ok().filter(|points| range.contains(points))?;
        (micros % 10_000 == 0).then_some(Bps(points))
    })
}

/// A tag's key, where it is the key of a table.
pub(super) fn tag_key(key: &str, place: &Field<'_>) -> Option<String> {
    let fits = (1..=TAG_KEY_MAX).contains(&key.len()) && !key.chars().any(char::is_control);
    if !fits {
        place.wrong(format!("{} is no key of a tag", shown(key)), &format!("1 to {TAG_KEY_MAX} bytes"));
    }
    fits.then(|| key.to_owned())
}

/// Labels of at most `max` bytes, each once.
pub(super) fn labels(field: &Field<'_>, max: usize, allowed: &str) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for item in field.list(allowed) {
        let Some(label) = item.label(max) else { continue };
        if labels.contains(&label) {
            item.wrong(format!("{} stands twice", shown(&label)), "each once");
        } else {
            labels.push(label);
        }
    }
    labels
}

/// A time zone by its IANA name.
pub(super) fn zone(field: &Field<'_>) -> Option<Zone> {
    field.parse("an IANA time zone, such as America/Chicago", Zone::load)
}

/// Opening hours: ranges such as `mon-fri 09:00-17:00`, and dates that differ. Absent is always open.
pub(super) fn hours(field: &Field<'_>) -> Option<Hours> {
    let allowed = "a list such as [\"mon-fri 09:00-17:00\", \"sat 10:00-14:00\"]";
    let items = field.list(allowed);
    if items.is_empty() {
        if matches!(field.raw(), Some(toml::de::DeValue::Array(named)) if named.is_empty()) {
            field.wrong("names no hours: it would never be open", "at least one range, or `paused = true`");
        }
        return None;
    }
    let range = |item: &Field<'_>| {
        let parsed = Hours::parse_item(item.text("a range such as \"mon-fri 09:00-17:00\"")?);
        if let Err(error) = &parsed {
            item.wrong(format!("{} {}", shown(&error.value), error.wrong), error.allowed);
        }
        parsed.ok()
    };
    let hours: Hours = items.iter().filter_map(range).collect();
    if let Some((a, b)) = hours.overlap() {
        field.wrong(
            format!("says something of the same time twice: {a}, and {b}"),
            "ranges that do not overlap",
        );
    }
    Some(hours)
}

/// Two-letter codes, each once.
pub(super) fn states(field: &Field<'_>) -> Vec<String> {
    let allowed = "two-letter codes of states, territories and provinces, such as [\"TX\", \"OK\"]";
    let mut states: Vec<String> = Vec::new();
    for item in field.list(allowed) {
        let Some(text) = item.text(allowed) else { continue };
        if !STATES.contains(&text) {
            let hint = nearest(&text.to_ascii_uppercase(), STATES.iter().copied())
                .filter(|meant| meant.eq_ignore_ascii_case(text));
            item.wrong_meant(format!("{} is no state", shown(text)), allowed, hint);
        } else if states.iter().any(|state| state == text) {
            item.wrong(format!("{text} stands twice"), "each state once");
        } else {
            states.push(text.to_owned());
        }
    }
    states
}

/// Where calls may be sent: a number of the country plan or a SIP address.
pub(super) fn address(field: &Field<'_>) -> Option<Address> {
    let address = field.parse("a number such as +15125550100, or sip:user@host", Address::parse)?;
    if let Address::Number(number) = &address
        && number.is_premium_or_international()
    {
        field.wrong(
            "is a premium or international number",
            "numbers of the North American plan, or a SIP address",
        );
        return None;
    }
    Some(address)
}

/// A destination a bid may name.
pub(super) fn destination(field: &Field<'_>) -> Option<DestinationRule> {
    let allowed = "a number +15125550100, a prefix +1512*, or sip:host; no premium or international numbers";
    field.parse(allowed, |text| {
        if let Some(host) = text.strip_prefix("sip:") {
            return is_host(host).then(|| DestinationRule::SipHost(host.to_owned()));
        }
        if let Some(prefix) = text.strip_suffix('*') {
            let digits = prefix.strip_prefix("+1")?;
            let fits = (1..=10).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            let costly = digits.starts_with("900") || digits.get(3..6) == Some("976");
            return (fits && !costly).then(|| DestinationRule::Prefix(prefix.to_owned()));
        }
        E164::parse(text).filter(|n| !n.is_premium_or_international()).map(DestinationRule::Number)
    })
}
