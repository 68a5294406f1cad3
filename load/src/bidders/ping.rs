//! What a bidder reads of a ping: its id, its deadline and what its draws depend on.
//!
//! It does not check the ping against the contract: that is for tests of the exchange, which look at the body.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::wire::Digits;

/// What a bidder reads of a ping.
#[derive(Deserialize)]
pub(super) struct Ping<'a> {
    #[serde(borrow)]
    pub ping_id: Cow<'a, str>,
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    #[serde(default)]
    tags: Tags,
    #[serde(default, borrow)]
    caller: Option<Caller<'a>>,
}

#[derive(Default, Deserialize)]
struct Tags {
    /// [`CALL_TAG`](crate::trace::CALL_TAG).
    #[serde(default)]
    load_call: CallTag,
}

#[derive(Deserialize)]
struct Caller<'a> {
    #[serde(default, borrow)]
    token: Option<Cow<'a, str>>,
}

impl<'a> Ping<'a> {
    /// None for what is no JSON object of the bid contract.
    pub fn read(body: &'a [u8]) -> Option<Ping<'a>> {
        // Checked once as a whole, strings need not be checked one by one.
        serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
    }

    /// The fields of a ping that bidders mostly get, found without reading the rest: it has them once, a call's
    /// number among them, and no blanks. None when it looks otherwise; then it is to be read. A quotation mark
    /// within a string is escaped, so no name of a field can be found there. What is broken elsewhere stays unseen.
    pub fn glance(body: &'a [u8]) -> Option<Ping<'a>> {
        static FIELDS: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| {
            ["\"ping_id\":\"", "\"deadline_ms\":", "\"load_call\":"]
                .map(|name| Finder::new(name).into_owned())
        });
        let object = body.strip_prefix(b"{")?.strip_suffix(b"}")?;
        let [ping_id, deadline_ms, load_call] =
            FIELDS.each_ref().map(|name| Some(&object[name.find(object)? + name.needle().len()..]));
        let ping_id = ping_id?;
        let ping_id = &ping_id[..memchr::memchr(b'"', ping_id)?];
        if !ping_id.iter().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (load_call, is_quoted) = match load_call?.strip_prefix(b"\"") {
            Some(text) => (text, true),
            None => (load_call?, false),
        };
        let (call, rest) = number(load_call)?;
        let rest = if is_quoted { rest.strip_prefix(b"\"")? } else { rest };
        let (deadline_ms, after_deadline) = number(deadline_ms?)?;
        if ![rest, after_deadline].iter().all(|rest| matches!(rest.first(), None | Some(b',' | b'}'))) {
            return None;
        }
        Some(Ping {
            ping_id: Cow::Borrowed(std::str::from_utf8(ping_id).ok()?),
            deadline_ms: Some(deadline_ms),
            tags: Tags { load_call: CallTag(Some(call)) },
            caller: None,
        })
    }

    pub fn call(&self) -> Option<u64> {
        self.tags.load_call.0
    }

    /// What draws depend on: the call's number, else the caller's token, else the ping's id.
    pub fn key<'k>(&'k self, digits: &'k mut Digits) -> &'k str {
        let token = || self.caller.as_ref().and_then(|caller| caller.token.as_deref());
        match self.call() {
            Some(call) => digits.of(call),
            None => token().unwrap_or(&self.ping_id),
        }
    }
}

/// A call's number, as a JSON number or as its digits; any other value is a tag of someone else's.
#[derive(Clone, Copy, Default)]
struct CallTag(Option<u64>);

impl<'de> Deserialize<'de> for CallTag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<CallTag, D::Error> {
        from.deserialize_any(CallTagVisitor).map(CallTag)
    }
}

struct CallTagVisitor;

impl<'de> Visitor<'de> for CallTagVisitor {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Option<u64>, E> {
        Ok(Some(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<u64>, E> {
        Ok(text.parse().ok())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<u64>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<u64>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// The digits that come first, and what follows them.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let len = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at(len);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body is read as: id, deadline, key.
    fn told(ping: Option<Ping<'_>>) -> Option<(String, Option<u64>, String)> {
        let ping = ping?;
        let key = ping.key(&mut Digits::default()).to_owned();
        Some((ping.ping_id.into_owned(), ping.deadline_ms, key))
    }

    #[test]
    fn pings_are_read_and_a_glance_says_the_same() {
        const NONE: Option<(&str, Option<u64>, &str)> = None;
        // (body, is a glance enough, what it says)
        let table = [
            (
                r#"{"ping_id":"p1","deadline_ms":90,"tags":{"load_call":7}}"#,
                true,
                Some(("p1", Some(90), "7")),
            ),
            (
                r#"{"tags":{"load_call":"007","x":"y"},"ping_id":"p1","deadline_ms":90}"#,
                true,
                Some(("p1", Some(90), "7")),
            ),
            (
                r#"{"x":"\"ping_id\":\"q\"","ping_id":"p1","deadline_ms":9,"tags":{"load_call":1}}"#,
                true,
                Some(("p1", Some(9), "1")),
            ),
            (
                r#"{"ping_id":"p1","deadline_ms":90,"tags":{"load_call":"7x"}}"#,
                false,
                Some(("p1", Some(90), "p1")),
            ),
            (
                r#"{"ping_id":"p1","deadline_ms":90,"tags":{"load_call":[7]}}"#,
                false,
                Some(("p1", Some(90), "p1")),
            ),
            (
                r#"{"ping_id":"p1","deadline_ms":90,"tags":{"load_call":{"a":1}}}"#,
                false,
                Some(("p1", Some(90), "p1")),
            ),
            (
                r#"{"ping_id":"p1","deadline_ms":90,"tags":{"load_call":null}}"#,
                false,
                Some(("p1", Some(90), "p1")),
            ),
            (
                r#"{"ping_id":"p1","tags":{"load_call":-1.5},"caller":{"token":"k1:a"}}"#,
                false,
                Some(("p1", None, "k1:a")),
            ),
            (r#"{"ping_id":"p1","caller":{"area_code":"512"}}"#, false, Some(("p1", None, "p1"))),
            (r#"{"ping_id":"p1","caller":null,"tags":{}}"#, false, Some(("p1", None, "p1"))),
            (
                r#"{"ping_id":"a\"b","deadline_ms":9,"tags":{"load_call":1}}"#,
                false,
                Some(("a\"b", Some(9), "1")),
            ),
            (
                r#"{"ping_id": "p1", "deadline_ms": 9, "tags": {"load_call": 1}}"#,
                false,
                Some(("p1", Some(9), "1")),
            ),
            (r#"{"ping_id":"p1","deadline_ms":1e3,"tags":{"load_call":1}}"#, false, NONE),
            (r#"{"ping_id":"p1","deadline_ms":9,"tags":{"load_call":1}}x"#, false, NONE),
            (r#"{"deadline_ms":9,"tags":{"load_call":1}}"#, false, NONE),
            ("[]", false, NONE),
            ("", false, NONE),
        ];
        for (body, is_enough, expected) in table {
            let expected = expected.map(|(id, ms, key)| (id.to_owned(), ms, key.to_owned()));
            assert_eq!(told(Ping::read(body.as_bytes())), expected, "{body}");
            let glanced = told(Ping::glance(body.as_bytes()));
            assert_eq!(glanced, expected.filter(|_| is_enough), "a glance at {body}");
        }
    }
}
