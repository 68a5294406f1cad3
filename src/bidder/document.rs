//! The JSON document of a reply: its known fields, each with its type, out of bytes a stranger sent.
//!
//! Two readers, each for what it is good at. Our own scan comes first and takes one pass: it bounds the nesting before
//! any parser sees it, finds duplicate keys, and reads every number exactly, leaving a plain `0` padded with blanks in
//! its place. simd-json then judges the whole document (grammar, UTF-8, escapes, trailing bytes) and decodes the
//! strings. So no number ever passes through a float, and a number too large for one cannot spoil a document whose
//! other fields are good. Replacing a well-formed number by another, with the same neighbours, makes no invalid
//! document valid. What the fields *mean* is in `reply`.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::decimal::Decimal;

/// Deepest nesting taken, the outermost object included.
pub(super) const DEPTH_MAX: usize = 32;

/// Why a body is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It does not begin with an object: HTML, a bare number, a byte order mark.
    NotAnObject,
    /// Nested deeper than `DEPTH_MAX`.
    TooDeep,
    /// The outermost object names this key twice.
    DuplicateKey(String),
    /// Anything else that is not JSON.
    NotJson,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::NotAnObject => f.write_str("not a JSON object"),
            Flaw::TooDeep => write!(f, "nested deeper than {DEPTH_MAX}"),
            Flaw::DuplicateKey(key) => write!(f, "duplicate key {key}"),
            Flaw::NotJson => f.write_str("not JSON"),
        }
    }
}

/// The value of one field, as far as a reply can use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// The key is not there.
    #[default]
    Absent,
    /// A string, decoded.
    Text(&'a str),
    /// A number, exactly.
    Number(Decimal),
    /// `null`, `true`, `false`, an array or an object.
    Other,
}

/// The fields of the bid contract; all others are checked and dropped.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    #[serde(borrow, default)]
    pub(super) bid: Said<'a>,
    #[serde(borrow, default)]
    pub(super) ping_id: Said<'a>,
    #[serde(borrow, default)]
    pub(super) currency: Said<'a>,
    #[serde(borrow, default)]
    pub(super) ttl_s: Said<'a>,
    #[serde(borrow, default)]
    pub(super) min_duration_s: Said<'a>,
    #[serde(borrow, default)]
    pub(super) destination: Said<'a>,
    #[serde(borrow, default)]
    pub(super) reason: Said<'a>,
}

impl<'a> Document<'a> {
    /// Reads a body, overwriting it.
    pub(super) fn read(body: &'a mut [u8]) -> Result<Document<'a>, Flaw> {
        let fields = scan(body)?;
        let numbers = Numbers::of(body, &fields)?;
        let mut document: Document<'a> = simd_json::serde::from_slice(body).map_err(|_| Flaw::NotJson)?;
        document.restore(&numbers);
        Ok(document)
    }

    /// Puts the numbers back that the parser saw as `0`.
    fn restore(&mut self, numbers: &Numbers) {
        let slots = [
            (&mut self.bid, numbers.bid),
            (&mut self.ttl_s, numbers.ttl_s),
            (&mut self.min_duration_s, numbers.min_duration_s),
        ];
        for (said, number) in slots {
            if let Some(number) = number {
                *said = Said::Number(number);
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SaidVisitor)
    }
}

/// Takes any JSON value. Numbers count as `Other` here: `Document::restore` has the exact ones.
struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Said::Text(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Said::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Said::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Said::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Said::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Said::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Said::Other)
    }
}

/// The numbers of the outermost object that a reply can use.
#[derive(Default)]
struct Numbers {
    bid: Option<Decimal>,
    ttl_s: Option<Decimal>,
    min_duration_s: Option<Decimal>,
}

impl Numbers {
    /// Finds them by their keys, unescaped, and refuses a key that comes twice. Sorting keeps a body full of keys cheap.
    fn of(body: &[u8], fields: &[Field]) -> Result<Numbers, Flaw> {
        let mut numbers = Numbers::default();
        let mut keys = Vec::with_capacity(fields.len());
        for field in fields {
            let key = field.key(body)?;
            match key.as_ref() {
                b"bid" => numbers.bid = field.number,
                b"ttl_s" => numbers.ttl_s = field.number,
                b"min_duration_s" => numbers.min_duration_s = field.number,
                _ => {}
            }
            keys.push(key);
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Flaw::DuplicateKey(String::from_utf8_lossy(&pair[0]).into_owned())),
            None => Ok(numbers),
        }
    }
}

/// One field of the outermost object, as the scan finds it.
struct Field {
    /// Where its key stands, quotes included.
    quoted: Range<usize>,
    /// Its value, if that is a number.
    number: Option<Decimal>,
}

impl Field {
    /// The key, unescaped.
    fn key<'b>(&self, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Flaw> {
        let bare = &body[self.quoted.start + 1..self.quoted.end - 1];
        if !bare.contains(&b'\\') {
            return Ok(Cow::Borrowed(bare));
        }
        let key: String = serde_json::from_slice(&body[self.quoted.clone()]).map_err(|_| Flaw::NotJson)?;
        Ok(Cow::Owned(key.into_bytes()))
    }
}

/// Passes over the document once: bounds its depth, blanks its numbers, and lists the fields of its outermost object.
/// Leaves everything else to the parser.
fn scan(body: &mut [u8]) -> Result<Vec<Field>, Flaw> {
    if body.iter().find(|byte| !is_blank(**byte)) != Some(&b'{') {
        return Err(Flaw::NotAnObject);
    }
    let mut fields: Vec<Field> = Vec::new();
    let (mut at, mut depth, mut key_is_next) = (0, 0_usize, false);
    while let Some(&byte) = body.get(at) {
        let mut end = at + 1;
        match byte {
            b'{' | b'[' if depth == DEPTH_MAX => return Err(Flaw::TooDeep),
            b'{' | b'[' => {
                depth += 1;
                key_is_next = depth == 1;
            }
            b'}' | b']' => depth = depth.checked_sub(1).ok_or(Flaw::NotJson)?,
            b',' => key_is_next = depth == 1,
            b'"' => {
                end = string_end(body, at).ok_or(Flaw::NotJson)?;
                if key_is_next {
                    fields.push(Field { quoted: at..end, number: None });
                    key_is_next = false;
                }
            }
            b'-' | b'0'..=b'9' => {
                end = number_end(body, at);
                let number = Decimal::read(&body[at..end]).ok_or(Flaw::NotJson)?;
                body[at] = b'0';
                body[at + 1..end].fill(b' ');
                if let (1, Some(field)) = (depth, fields.last_mut()) {
                    field.number = Some(number);
                }
            }
            _ => {}
        }
        at = end;
    }
    Ok(fields)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Just behind the closing quote of the string that begins at `start`.
fn string_end(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match body.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Just behind the last byte that is neither blank nor punctuation: what follows a number directly is part of the error.
fn number_end(body: &[u8], start: usize) -> usize {
    let stops = |byte: &u8| is_blank(*byte) || b",:]}[{\"".contains(byte);
    body[start..].iter().position(stops).map_or(body.len(), |length| start + length)
}
