//! Writes JSON objects, key after key, for what is written with every ping and every answer.
//!
//! Keys of ours are copied as they stand in the code; only text from elsewhere is looked at for what has to be escaped.
//! Reading JSON is not done here, and what is written seldom is better derived.

use std::fmt;
use std::io::Write;

/// A JSON object being written.
#[derive(Debug)]
pub struct Object<'a> {
    into: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Begins one at the end of `into`.
    pub fn open(into: &'a mut Vec<u8>) -> Object<'a> {
        into.push(b'{');
        Object { into, is_empty: true }
    }

    /// Writes a key of ours, which needs no escapes; what is appended next is its value.
    pub fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        debug_assert!(needs_no_escapes(key));
        self.part();
        self.into.push(b'"');
        self.into.extend_from_slice(key.as_bytes());
        self.into.extend_from_slice(b"\":");
        self.into
    }

    /// Writes a key that came from elsewhere; what is appended next is its value.
    pub fn foreign_key(&mut self, key: &str) -> &mut Vec<u8> {
        self.part();
        quote(key, self.into);
        self.into.push(b':');
        self.into
    }

    fn part(&mut self) {
        if !self.is_empty {
            self.into.push(b',');
        }
        self.is_empty = false;
    }

    /// A string.
    pub fn text(&mut self, key: &'static str, text: &str) {
        quote(text, self.key(key));
    }

    /// A string, and nothing without one.
    pub fn text_if(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// A string, and `null` without one.
    pub fn text_or_null(&mut self, key: &'static str, text: Option<&str>) {
        match text {
            Some(text) => self.text(key, text),
            None => self.raw(key, "null"),
        }
    }

    /// What shows itself without anything to escape: an id or an amount of ours.
    pub fn plain(&mut self, key: &'static str, text: impl fmt::Display) {
        write!(self.key(key), "\"{text}\"").expect("memory takes every write");
    }

    /// A whole number.
    pub fn number(&mut self, key: &'static str, number: impl Into<u64>) {
        digits(number.into(), self.key(key));
    }

    /// A word of ours, which needs no escapes.
    pub fn word(&mut self, key: &'static str, word: &'static str) {
        debug_assert!(needs_no_escapes(word));
        let into = self.key(key);
        into.push(b'"');
        into.extend_from_slice(word.as_bytes());
        into.push(b'"');
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str, flag: bool) {
        self.raw(key, if flag { "true" } else { "false" });
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, key: &'static str, json: &str) {
        self.key(key).extend_from_slice(json.as_bytes());
    }

    /// Ends it.
    pub fn close(self) {
        self.into.push(b'}');
    }
}

/// Appends what is JSON already, in pieces.
pub fn put(into: &mut Vec<u8>, pieces: &[&[u8]]) {
    pieces.iter().for_each(|piece| into.extend_from_slice(piece));
}

/// Appends the digits of a number: by hand, since `fmt` takes several times as long for it.
pub fn digits(mut number: u64, into: &mut Vec<u8>) {
    // As many as the largest has.
    let mut text = [0; 20];
    let mut at = text.len();
    while at == text.len() || number > 0 {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    into.extend_from_slice(&text[at..]);
}

/// Appends a JSON string, escaped.
pub fn quote(text: &str, into: &mut Vec<u8>) {
    if needs_no_escapes(text) {
        into.push(b'"');
        into.extend_from_slice(text.as_bytes());
        into.push(b'"');
    } else {
        serde_json::to_writer(into, text).expect("memory takes every write");
    }
}

/// Appends a JSON string of several parts, escaped.
pub fn quote_all(parts: &[&str], into: &mut Vec<u8>) {
    if parts.iter().all(|part| needs_no_escapes(part)) {
        into.push(b'"');
        parts.iter().for_each(|part| into.extend_from_slice(part.as_bytes()));
        into.push(b'"');
    } else {
        quote(&parts.concat(), into);
    }
}

/// Without an early end, so that many bytes are looked at at once.
fn needs_no_escapes(text: &str) -> bool {
    text.bytes().fold(true, |fits, byte| fits & (byte >= b' ') & (byte != b'"') & (byte != b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_a_parser_reads() {
        let odd = "a\"b\\c\u{0}\u{1f}\u{7f}\r\n\té…";
        let mut bytes = Vec::new();
        let mut object = Object::open(&mut bytes);
        object.text("odd", odd);
        object.text_if("absent", None);
        object.text_or_null("null", None);
        object.text_or_null("word", Some("word"));
        object.plain("plain", 7);
        object.number("number", u64::MAX);
        object.number("none", 0_u32);
        object.word("of_ours", "won");
        object.flag("flag", true);
        quote("value", object.foreign_key(odd));
        Object::open(object.key("inner")).close();
        object.close();
        let read: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let expected = serde_json::json!({
            "odd": odd, "null": null, "word": "word", "plain": "7", "number": u64::MAX,
            "none": 0, "of_ours": "won", "flag": true,
            odd: "value", "inner": {},
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn every_character_is_quoted_as_serde_quotes_it() {
        for c in (0..0x250_u32).chain(0x2020..0x2030).filter_map(char::from_u32) {
            let (text, mut ours) = (format!("a{c}b"), Vec::new());
            quote(&text, &mut ours);
            let (parts, mut joined) = ([&text[..1], &text[1..]], Vec::new());
            quote_all(&parts, &mut joined);
            assert_eq!(ours, joined, "{c:?}");
            assert_eq!(String::from_utf8(ours).ok(), serde_json::to_string(&text).ok(), "{c:?}");
        }
    }
}
