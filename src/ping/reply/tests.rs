//! Replies, row by row, at every split; and replies bent at random, which must come out the same however they come.

use super::*;
use crate::auction::bid::{NoBid, Reply};
use crate::domain::draw::Draw;

/// A reply as it comes, then what it is: status and body, and whether the connection is `kept`, was `left` before the
/// peer closed, or whether the reply ended when it `closed`; or the reason it is refused for, and the note.
const TABLE: &str = r#"
    HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}                                     => 200 {} kept
    HTTP/1.1 200\r\ncontent-length:2\r\n\r\n{}                                         => 200 {} kept
    HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n                                       => 200 kept
    HTTP/1.1 200 OK\r\nContent-Length:  2 \r\n\r\n{}                                   => 200 {} kept
    HTTP/1.1 200 OK\r\nX: caf\xe9\r\nContent-Length: 2\r\n\r\n{}                       => 200 {} kept
    \r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}                             => 200 {} kept
    HTTP/1.1 200 OK\nContent-Length: 2\n\n{}                                           => 200 {} kept
    HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}                                    => 999 {} kept
    HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: Identity\r\n\r\n{}       => 200 {} kept

    HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}x                                    => 200 {} left
    HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\r\n                                 => 200 {} left
    HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}                => 200 {} left
    HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\nConnection: keep-alive\r\n\r\n{} => 200 {} left
    HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}                                     => 200 {} left
    HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\n{}           => 200 {} kept
    HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, close\r\n\r\n{}    => 200 {} left
    HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n                             => 101 left

    HTTP/1.1 204 No Content\r\n\r\n                                                    => 204 kept
    HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n                               => 204 kept
    HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}                             => 204 left
    HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n                               => 204 left
    HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n                      => 204 left
    HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n                             => 204 left
    HTTP/1.1 304 Not Modified\r\n\r\n                                                  => 304 kept

    HTTP/1.1 200 OK\r\n\r\n{}                                                          => 200 {} closed
    HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n{}                                => 200 {} closed
    HTTP/1.0 200 OK\r\n\r\n{}                                                          => 200 {} closed
    HTTP/1.1 200 OK\r\n\r\n                                                            => 200 closed

    HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}        => 200 {} kept
    HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 X\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n => 204 kept
    HTTP/1.1 100 Continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n => 204 kept
    HTTP/1.1 100 Continue\r\n\r\n                                                      => disconnected

    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n          => 200 {} kept
    HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n001;a=b\r\n}\r\n0\r\n\r\n => 200 {} kept
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA \t;x\r\n{        }\r\n0\r\n\r\n => 200 {        } kept
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n                     => 200 kept
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\nC: d\r\n\r\n => 200 {} kept
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nx         => 200 {} left
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n => 200 left

    => disconnected
    HTTP/1.1 200 OK\r\nContent-Le                                                      => disconnected
    HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}                                     => disconnected
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n              => disconnected
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}                       => disconnected
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\n      => disconnected

    {"bid":"25.50"}                                                                    => protocol not HTTP/1.1
    HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\n{}                                     => protocol not HTTP/1.1
    HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}                                    => protocol not HTTP/1.1
    HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}                                     => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\n{}                            => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\n{}                       => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 2\r\n\r\n{}                              => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nA: b\x00c\r\nContent-Length: 2\r\n\r\n{}                        => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 2\r\n\r\n{}                          => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n{}                                        => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}                                    => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}                                    => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}                                   => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n{}                                       => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n\r\n{}                                    => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\n{}                                   => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n                    => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}                => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}                                  => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: x\r\nContent-Length: 2\r\n\r\n{}                => protocol not HTTP/1.1
    HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2, 2\r\n\r\n{}             => 200 {} kept
    HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n                     => protocol not HTTP/1.1

    HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n => protocol both Content-Length and Transfer-Encoding
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n0\r\n\r\n => protocol both Content-Length and Transfer-Encoding
    HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n               => encoding only chunked is accepted as a transfer coding
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n               => encoding only chunked is accepted as a transfer coding
    HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n => encoding only chunked is accepted as a transfer coding
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n => encoding only chunked is accepted as a transfer coding
    HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n                    => encoding only chunked is accepted as a transfer coding
    HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\nContent-Length: 2\r\n\r\n{}               => encoding only chunked is accepted as a transfer coding
    HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}           => encoding only identity is accepted
    HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{} => encoding only identity is accepted

    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n         => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n           => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 2\r\n{}\r\n0\r\n\r\n         => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n         => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n        => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 2\r\n{}\r\n0\r\n\r\n        => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n            => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n          => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\rb\r\n{}\r\n0\r\n\r\n     => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n          => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n            => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000002\r\n{}\r\n0\r\n\r\n => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n  => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n    => too_large body above 16 KiB
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\nC: d\r\n\r\n => protocol not a chunked body
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\n c\r\n\r\n => protocol not a chunked body

    HTTP/1.1 200 OK\r\nContent-Length: 16385\r\n\r\n                                   => too_large body above 16 KiB
    HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n                    => too_large body above 16 KiB
"#;

/// The rows: bytes, and what is expected.
fn rows() -> Vec<(Vec<u8>, &'static str)> {
    let rows = TABLE.lines().filter_map(|row| row.split_once("=>"));
    rows.map(|(bytes, expected)| (unescaped(bytes.trim()), expected.trim())).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escape = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escape {
            None => byte,
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.map_or(' ', char::from));
                u8::from_str_radix(&digits.iter().collect::<String>(), 16).expect("two hex digits")
            }
            Some(other) => panic!("no such escape: {}", char::from(other)),
        });
    }
    bytes
}

/// What comes of the bytes when they come in pieces of these lengths, and then the peer closes.
fn read(incoming: &mut Incoming, bytes: &[u8], mut pieces: impl FnMut() -> usize) -> String {
    incoming.begin();
    let mut rest = bytes;
    let result = loop {
        if rest.is_empty() {
            break incoming.closed().map(|whole| (whole, "closed"));
        }
        let room = match incoming.room() {
            Ok(room) => room,
            Err(failure) => break Err(failure),
        };
        assert!(!room.is_empty(), "an empty read would pass for the end");
        let piece = pieces().clamp(1, rest.len()).min(room.len());
        room[..piece].copy_from_slice(&rest[..piece]);
        rest = &rest[piece..];
        match incoming.more(piece) {
            Ok(None) => assert!(incoming.buffer.len() <= BUFFER_MAX),
            Ok(Some(whole)) => {
                let kept = if whole.is_kept { "kept" } else { "left" };
                break Ok((whole, kept));
            }
            Err(failure) => break Err(failure),
        }
    };
    match result {
        Ok((whole, how)) => {
            let body = String::from_utf8_lossy(incoming.body(&whole)).into_owned();
            let body = if body.is_empty() { body } else { format!(" {body}") };
            format!("{}{body} {how}", whole.status)
        }
        Err(Failure { reply: Reply::NoBid(NoBid { reason, note, .. }), .. }) => {
            note.map_or_else(|| reason.to_string(), |note| format!("{reason} {note}"))
        }
        Err(other) => panic!("no failure: {other:?}"),
    }
}

fn at_once(bytes: &[u8]) -> String {
    read(&mut Incoming::new(), bytes, || usize::MAX)
}

/// What is left of an outcome when what came behind the reply may have come later.
fn reply_of(outcome: &str) -> &str {
    outcome.trim_end_matches(" kept").trim_end_matches(" left")
}

#[test]
fn each_row_is_what_it_is() {
    for (bytes, expected) in rows() {
        assert_eq!(at_once(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_split_makes_no_difference() {
    // One for all: what the reply before left in the buffer makes no difference either.
    let mut incoming = Incoming::new();
    for (bytes, expected) in rows() {
        let row = String::from_utf8_lossy(&bytes);
        let byte_by_byte = read(&mut incoming, &bytes, || 1);
        assert_eq!(reply_of(&byte_by_byte), reply_of(expected), "byte by byte: {row:?}");
        for split in 1..bytes.len() {
            let mut first = Some(split);
            let came = read(&mut incoming, &bytes, || first.take().unwrap_or(usize::MAX));
            assert_eq!(reply_of(&came), reply_of(expected), "split at {split}: {row:?}");
        }
    }
}

#[test]
fn what_is_bent_at_random_is_the_same_however_it_comes() {
    let rows = rows();
    let mut draw = Draw::new(0x5eed);
    let mut incoming = Incoming::new();
    let words: Vec<&[u8]> =
        vec![b"\r\n", b"\r\n\r\n", b"\n", b"0\r\n", b"chunked", b"HTTP/1.1 100 X\r\n\r\n", b":", b"9"];
    let mut whole = 0;
    for _ in 0..20_000 {
        let mut bytes = rows[draw.below(rows.len() as u64) as usize].0.clone();
        for _ in 0..=draw.below(3) {
            let at = draw.below(bytes.len() as u64 + 1) as usize;
            let to = (at + draw.below(6) as usize).min(bytes.len());
            match draw.below(4) {
                0 => drop(bytes.drain(at..to)),
                1 => bytes.insert(at, draw.bits() as u8),
                2 => {
                    drop(bytes.splice(at..at, words[draw.below(words.len() as u64) as usize].iter().copied()))
                }
                _ => {
                    let again = bytes[at..to].to_vec();
                    drop(bytes.splice(at..at, again));
                }
            }
        }
        let expected = at_once(&bytes);
        whole += usize::from(expected.starts_with(|first: char| first.is_ascii_digit()));
        for most in [1, 7, 64] {
            let came = read(&mut incoming, &bytes, || 1 + draw.below(most) as usize);
            let row = String::from_utf8_lossy(&bytes);
            assert_eq!(reply_of(&came), reply_of(&expected), "pieces of up to {most}: {row:?}");
        }
    }
    assert!(whole > 1_000, "hardly any was a reply: {whole}");
}

/// As long as a reply may be, and one more.
#[test]
fn every_limit_is_where_it_says() {
    let ok = |more: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{more}\r\n\r\n{body}");
    let chunked = |body: &str| ok("Transfer-Encoding: chunked", body);
    let head = |bytes: usize| {
        let rest = "HTTP/1.1 204 OK\r\nA: \r\n\r\n".len();
        format!("HTTP/1.1 204 OK\r\nA: {}\r\n\r\n", "a".repeat(bytes - rest))
    };
    let lines = |count: usize| format!("HTTP/1.1 204 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
    let body = |bytes: usize| "x".repeat(bytes);
    let ones = |count: usize| chunked(&("1\r\nx\r\n".repeat(count) + "0\r\n\r\n"));
    let early = |count: usize| "HTTP/1.1 100 X\r\n\r\n".repeat(count);
    let fits = READ_MAX / early(1).len();
    let trailer =
        |bytes: usize| chunked(&format!("0\r\nA: {}\r\n\r\n", "a".repeat(bytes - "A: \r\n\r\n".len())));
    let line = |bytes: usize| chunked(&format!("0;{}\r\n\r\n", "a".repeat(bytes - 2)));
    let length = |bytes: usize| ok(&format!("Content-Length: {bytes}"), &body(bytes));
    let table = [
        ("a head", head(HEAD_MAX), "204 kept"),
        ("a head and a byte", head(HEAD_MAX + 1), "too_large head above 8 KiB"),
        ("header lines", lines(HEADERS_MAX), "204 kept"),
        ("a header line more", lines(HEADERS_MAX + 1), "too_large head of more than 100 lines"),
        (
            "no end of a head",
            "HTTP/1.1 200 OK\r\n".to_owned() + &body(HEAD_MAX),
            "too_large head above 8 KiB",
        ),
        ("a body", length(BODY_MAX), &format!("200 {} kept", body(BODY_MAX))),
        ("a body and a byte", length(BODY_MAX + 1), "too_large body above 16 KiB"),
        ("a body until it closes", ok("A: b", &body(BODY_MAX)), &format!("200 {} closed", body(BODY_MAX))),
        ("and a byte", ok("A: b", &body(BODY_MAX + 1)), "too_large body above 16 KiB"),
        ("chunks", ones(16_000), &format!("200 {} kept", body(16_000))),
        ("too many chunks", ones(BODY_MAX + 1), "too_large more than a reply may have"),
        (
            "a chunk",
            chunked(&format!("4000\r\n{}\r\n0\r\n\r\n", body(BODY_MAX))),
            &format!("200 {} kept", body(BODY_MAX)),
        ),
        (
            "a chunk and a byte",
            chunked(&format!("4001\r\n{}", body(BODY_MAX + 1))),
            "too_large body above 16 KiB",
        ),
        ("a line of a chunk", line(CHUNK_LINE_MAX), "200 kept"),
        ("a line and a byte", line(CHUNK_LINE_MAX + 1), "protocol not a chunked body"),
        ("a trailer", trailer(HEAD_MAX), "200 kept"),
        ("a trailer and a byte", trailer(HEAD_MAX + 1), "protocol not a chunked body"),
        ("trailers", chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX))), "200 kept"),
        (
            "too many trailers",
            chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1))),
            "protocol not a chunked body",
        ),
        ("informational", early(fits), "disconnected"),
        ("too much of it", early(fits + 1), "too_large more than a reply may have"),
        (
            "all at its longest",
            format!(
                "{}{}",
                early(100),
                chunked(&format!("4000\r\n{}\r\n0\r\nA: {}\r\n\r\n", body(BODY_MAX), body(HEAD_MAX - 7)))
            ),
            &format!("200 {} kept", body(BODY_MAX)),
        ),
    ];
    let mut draw = Draw::new(1);
    for (name, bytes, expected) in table {
        let mut incoming = Incoming::new();
        let came = read(&mut incoming, bytes.as_bytes(), || usize::MAX);
        assert!(came == expected, "{name}: {:.100}", came);
        for most in [1, 1_000, 20_000] {
            let came = read(&mut incoming, bytes.as_bytes(), || 1 + draw.below(most) as usize);
            assert!(reply_of(&came) == reply_of(expected), "{name} in pieces of up to {most}: {:.100}", came);
        }
        incoming.begin();
        assert!(incoming.buffer.len() <= BUFFER_KEPT, "{name}: {} bytes kept", incoming.buffer.len());
    }
}

#[test]
fn what_a_buyer_said_is_in_no_debug_output() {
    let mut incoming = Incoming::new();
    let said = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n+15125550123";
    incoming.room().expect("room")[..said.len()].copy_from_slice(said);
    assert!(incoming.more(said.len()).expect("no fault").is_none());
    let shown = format!("{incoming:?}");
    assert!(shown.starts_with("Incoming(52 bytes, ") && shown.len() < 300, "{shown}");
    incoming.begin();
    assert_eq!(format!("{incoming:?}"), "Incoming(0 bytes, Head(0))");
}
