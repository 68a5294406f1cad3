//! The JSON document of a reply: its known fields, each with its type, out of bytes a stranger sent.
//!
//! Two readers, each for what it is good at. Our own scan comes first and takes one pass: it bounds the nesting before
//! any parser sees it, and reads every number exactly, leaving a plain `0` padded with blanks in its place. simd-json
//! then judges the whole document (grammar, UTF-8, escapes, trailing bytes) and decodes its strings, keys included: where
//! two are the same, no field is believed. So no number ever passes through a float, and a number too large for one cannot spoil a document whose
//! other fields are good. Replacing a well-formed number by another, with the same neighbours, makes no invalid
//! document valid. What the fields *mean* is in `reply`.

use std::cell::RefCell;
use std::fmt;

use simd_json::{Buffers, Node, Tape, fill_tape};

use super::decimal::Decimal;

/// Deepest nesting taken, the outermost object included.
pub(super) const DEPTH_MAX: usize = 32;
/// Fields that are looked at without memory of their own; a reply by the contract has fewer.
const FIELDS_USUAL: usize = 12;

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
#[derive(Default)]
pub(super) struct Document<'a> {
    pub(super) bid: Said<'a>,
    pub(super) ping_id: Said<'a>,
    pub(super) currency: Said<'a>,
    pub(super) ttl_s: Said<'a>,
    pub(super) min_duration_s: Said<'a>,
    pub(super) destination: Said<'a>,
    pub(super) reason: Said<'a>,
}

/// What a document is read in.
struct Scratch {
    buffers: Buffers,
    /// Empty between two documents.
    tape: Tape<'static>,
    numbers: Vec<Option<Decimal>>,
}

thread_local! {
    /// Kept from one document to the next: making it anew costs more than most documents do.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        buffers: Buffers::default(),
        tape: Tape(Vec::new()),
        numbers: Vec::new(),
    });
}

impl<'a> Document<'a> {
    /// Reads a body, overwriting it.
    pub(super) fn read(body: &'a mut [u8]) -> Result<Document<'a>, Flaw> {
        SCRATCH.with_borrow_mut(|Scratch { buffers, tape, numbers }| {
            numbers.clear();
            scan(body, numbers)?;
            let mut nodes = std::mem::replace(tape, Tape(Vec::new())).reset();
            let document = match fill_tape(body, buffers, &mut nodes) {
                Ok(()) => Document::of(&nodes.0, numbers),
                Err(_) => Err(Flaw::NotJson),
            };
            *tape = nodes.reset();
            document
        })
    }

    /// The fields of a document, by what the parser lists of it and the scan of their numbers.
    fn of(nodes: &[Node<'a>], numbers: &[Option<Decimal>]) -> Result<Document<'a>, Flaw> {
        let fields = Fields { left: nodes.get(1..).unwrap_or_default() };
        let mut document = Document::default();
        let (mut few, mut many) = ([""; FIELDS_USUAL], Vec::new());
        let keys = match few.get_mut(..numbers.len()) {
            Some(few) => few,
            None => {
                many.resize(numbers.len(), "");
                many.as_mut_slice()
            }
        };
        let mut read = 0;
        // Both list the fields of the outermost object, in the order of the document.
        for ((key, said), number) in fields.zip(numbers) {
            if let Some(slot) = document.slot(key) {
                *slot = number.map_or(said, Said::Number);
            }
            keys[read] = key;
            read += 1;
        }
        // Sorting keeps a body full of keys cheap.
        let keys = &mut keys[..read];
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Flaw::DuplicateKey(pair[0].to_owned())),
            None => Ok(document),
        }
    }

    fn slot(&mut self, key: &str) -> Option<&mut Said<'a>> {
        Some(match key {
            "bid" => &mut self.bid,
            "ping_id" => &mut self.ping_id,
            "currency" => &mut self.currency,
            "ttl_s" => &mut self.ttl_s,
            "min_duration_s" => &mut self.min_duration_s,
            "destination" => &mut self.destination,
            "reason" => &mut self.reason,
            _ => return None,
        })
    }
}

/// The fields of the outermost object, as the parser lists what stands in it: each key, decoded, and its value. A number
/// is `Other` here: the scan has the exact ones.
struct Fields<'n, 'a> {
    left: &'n [Node<'a>],
}

impl<'a> Iterator for Fields<'_, 'a> {
    type Item = (&'a str, Said<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let [Node::String(key), value, rest @ ..] = self.left else { return None };
        let (said, inner) = match value {
            Node::String(text) => (Said::Text(text), 0),
            Node::Object { count, .. } | Node::Array { count, .. } => (Said::Other, *count),
            Node::Static(_) => (Said::Other, 0),
        };
        self.left = rest.get(inner..)?;
        Some((key, said))
    }
}

/// Passes over the document once: bounds its depth, blanks its numbers, and adds for each field of its outermost object
/// whether it is a number, and which. Leaves everything else to the parser.
fn scan(body: &mut [u8], numbers: &mut Vec<Option<Decimal>>) -> Result<(), Flaw> {
    if body.iter().find(|byte| !is_blank(**byte)) != Some(&b'{') {
        return Err(Flaw::NotAnObject);
    }
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
                    numbers.push(None);
                    key_is_next = false;
                }
            }
            b'-' | b'0'..=b'9' => {
                end = number_end(body, at);
                let number = Decimal::read(&body[at..end]).ok_or(Flaw::NotJson)?;
                body[at] = b'0';
                body[at + 1..end].fill(b' ');
                if let (1, Some(last)) = (depth, numbers.last_mut()) {
                    *last = Some(number);
                }
            }
            _ => {}
        }
        at = end;
    }
    Ok(())
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Just behind the closing quote of the string that begins at `start`.
fn string_end(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += body.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if body[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Just behind the last byte that is neither blank nor punctuation: what follows a number directly is part of the error.
fn number_end(body: &[u8], start: usize) -> usize {
    let stops = |byte: &u8| is_blank(*byte) || b",:]}[{\"".contains(byte);
    body[start..].iter().position(stops).map_or(body.len(), |length| start + length)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use simd_json::{Deserializer, Implementation};

    /// Without its feature `runtime-detection` it reads byte by byte, everywhere and in silence.
    #[test]
    fn the_parser_uses_what_the_cpu_has() {
        assert_ne!(Deserializer::algorithm(), Implementation::Native);
    }
}
