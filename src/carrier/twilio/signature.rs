//! Whether a request was signed with a secret of the account: every form of `X-Twilio-Signature`.
//!
//! The scheme joins names and values without separators, so it cannot tell `ab=c` from `a=bc`, nor the order and number
//! of equal values; nothing here can. What it does not cover at all is refused: a body that is neither a form nor
//! hashed in the URL. Read parameters with [`Signed::form`] only, which gives those that are covered.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::form::{Form, FormError};
use crate::domain::catalog::Secret;

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-twilio-signature";
/// The header that names the algorithm where a shared key signs.
pub const SETTINGS_HEADER: &str = "x-twilio-webhooks-signature-settings";

const FORM: &str = "application/x-www-form-urlencoded";

/// A request as received, and the URL it was sent to.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    /// A `GET`: its parameters are in the query. Anything else has them in the body.
    pub is_get: bool,
    /// What Twilio puts before path and query: scheme, host, port and path prefix, without a trailing slash.
    pub public_url: &'a str,
    /// Path and query exactly as received.
    pub path_and_query: &'a str,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
    /// The [`SIGNATURE_HEADER`].
    pub signature: Option<&'a [u8]>,
    /// The [`SETTINGS_HEADER`].
    pub settings: Option<&'a [u8]>,
}

impl Signed<'_> {
    /// The parameters that the signature covers: of the query for `GET`, of a form's body otherwise. A body that is no
    /// form, JSON say, has none.
    pub fn form(&self) -> Result<Form, FormError> {
        match (self.is_get, self.is_form()) {
            (true, _) => Form::parse(query(self.path_and_query).as_bytes()),
            (false, true) => Form::parse(self.body),
            (false, false) => Ok(Form::default()),
        }
    }

    fn is_form(&self) -> bool {
        let kind = self.content_type.unwrap_or("").split(';').next().unwrap_or("");
        kind.trim().eq_ignore_ascii_case(FORM)
    }

    /// What is appended to the URL before it is signed; `None` where the body is not covered.
    fn appended(&self) -> Option<String> {
        if !self.is_get && self.is_form() {
            return Form::parse(self.body).ok().map(|form| joined(&form));
        }
        let query = Form::parse(query(self.path_and_query).as_bytes()).ok()?;
        let covered = match query.get("bodySHA256") {
            Some(hash) => hash == hex(&Sha256::digest(self.body)),
            None => self.body.is_empty(),
        };
        covered.then(String::new)
    }
}

/// Whether one of the secrets signed this request. Compares in constant time.
pub fn verify(request: &Signed<'_>, secrets: &[Secret]) -> bool {
    let Some(signature) = request.signature.and_then(|text| STANDARD.decode(text).ok()) else { return false };
    let Some(algorithm) = algorithm(request.settings) else { return false };
    let Some(appended) = request.appended() else { return false };
    let urls = urls(request.public_url, request.path_and_query);
    let signs = |secret: &Secret, url: &str| {
        let parts = [url.as_bytes(), appended.as_bytes()];
        match algorithm {
            Algorithm::Sha1 => is_signed::<Hmac<Sha1>>(secret, parts, &signature),
            Algorithm::Sha256 => is_signed::<Hmac<Sha256>>(secret, parts, &signature),
        }
    };
    urls.iter().any(|url| secrets.iter().any(|secret| signs(secret, url)))
}

fn is_signed<M: Mac + KeyInit>(secret: &Secret, parts: [&[u8]; 2], signature: &[u8]) -> bool {
    let mut mac = <M as KeyInit>::new_from_slice(&secret.0).expect("HMAC takes keys of every length");
    parts.iter().for_each(|part| Mac::update(&mut mac, part));
    mac.verify_slice(signature).is_ok()
}

enum Algorithm {
    Sha1,
    Sha256,
}

/// The algorithm of `key=…,algorithm=HMAC_SHA256`. Without one it is that of auth tokens; `None` is one we do not know.
fn algorithm(settings: Option<&[u8]>) -> Option<Algorithm> {
    let settings = str::from_utf8(settings.unwrap_or_default()).ok()?;
    let mut named = settings.split(',').filter_map(|part| part.split_once('='));
    let named = named.find(|(name, value)| name.trim() == "algorithm" && !value.trim().is_empty());
    match named.map(|(_, value)| value.trim()) {
        None => Some(Algorithm::Sha1),
        Some(word) if word.eq_ignore_ascii_case("HMAC_SHA1") => Some(Algorithm::Sha1),
        Some(word) if word.eq_ignore_ascii_case("HMAC_SHA256") => Some(Algorithm::Sha256),
        Some(_) => None,
    }
}

/// Names in the order of their bytes, each directly before its value; of equal pairs one, of a repeated name its values
/// in order. That is the order of distinct pairs.
fn joined(form: &Form) -> String {
    let pairs: BTreeSet<(&str, &str)> = form.iter().collect();
    pairs.into_iter().flat_map(|(name, value)| [name, value]).collect()
}

/// The URLs that may have been signed, likeliest first. Twilio drops the port of https and keeps that of http, never
/// signs a user, and some of its senders escape a query otherwise than they send it: the official libraries for Python
/// and Node accept the same.
fn urls(public_url: &str, path_and_query: &str) -> Vec<String> {
    let (scheme, rest) = public_url.split_once("://").unwrap_or(("https", public_url));
    let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let after_host = authority.rfind(']').unwrap_or(0);
    let host = authority[after_host..].find(':').map_or(authority, |at| &authority[..after_host + at]);
    let default_port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let authorities = [authority.to_owned(), host.to_owned(), format!("{host}:{default_port}")];

    let received = path_and_query.split('#').next().unwrap_or(path_and_query);
    let mut urls: Vec<String> = Vec::new();
    for target in [received.to_owned(), escaped(received), requoted(received)] {
        for authority in &authorities {
            let url = format!("{scheme}://{authority}{prefix}{target}");
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
    }
    urls
}

fn query(path_and_query: &str) -> &str {
    let received = path_and_query.split('#').next().unwrap_or(path_and_query);
    received.split_once('?').map_or("", |(_, query)| query)
}

/// As a browser writes what stands unescaped in a URL.
fn escaped(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    escape(path, |byte| !b" \"#<>?^`{}".contains(&byte)) + &escape(query, |byte| !b" \"#<>'".contains(&byte))
}

/// With a query decoded and escaped anew as Node's `querystring` does it; unchanged where it cannot be decoded.
fn requoted(target: &str) -> String {
    let (Some((path, query)), true) = (target.split_once('?'), target.contains(['%', '+', '\''])) else {
        return target.to_owned();
    };
    let Ok(form) = Form::parse(query.as_bytes()) else { return target.to_owned() };
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._!~*'()".contains(&byte);
    let pairs = form.iter().map(|(name, value)| format!("{}={}", escape(name, keep), escape(value, keep)));
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// Escapes control characters, what is not ASCII, and what is not to be kept.
fn escape(text: &str, keep: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (b' '..=b'~').contains(&byte) && keep(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
