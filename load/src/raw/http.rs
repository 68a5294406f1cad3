//! Replies that are wrong in their HTTP: statuses and redirects (B6), framing and encodings (B7), and replies to other pings
//! or to none (B8). What a bidder bids in them is always the same.

use super::Act;
use super::faults::{
    BID, CHUNKED_HEAD, HEAD, Hostile, PING_ID_CHARS, TRAP, acts, body, entry, fixed_head, redirect, say,
    send, with_headers,
};
use super::gzip::{gzip_bomb, gzip_stored};
use crate::bidders::{Behaviour, Latency, NoBidForm};

pub(super) fn b6_status(trap_url: &str) -> Vec<Hostile> {
    const STATUS: &[&str] = &["http_status"];
    const REDIRECT: &[&str] = &["redirect"];
    let none = Latency::Fixed(0);
    let status_with_bid = |line: &str| {
        let head = format!("HTTP/1.1 {line}\r\nContent-Length: $LEN\r\n\r\n");
        acts([say(&head, TRAP.as_bytes())])
    };
    let redirect_with_bid =
        format!("HTTP/1.1 302 Found\r\nLocation: {trap_url}\r\nContent-Length: $LEN\r\n\r\n");
    vec![
        entry(
            "B6",
            "no_bid_204",
            &["no_bid"],
            Behaviour::NoBid { latency: none.clone(), form: NoBidForm::Status204 },
        ),
        entry(
            "B6",
            "no_bid_zero",
            &["no_bid"],
            Behaviour::NoBid { latency: none.clone(), form: NoBidForm::Zero { reason: "closed".to_owned() } },
        ),
        entry("B6", "redirect_301", REDIRECT, redirect(301, trap_url)),
        entry("B6", "redirect_302", REDIRECT, redirect(302, trap_url)),
        entry("B6", "redirect_303", REDIRECT, redirect(303, trap_url)),
        entry("B6", "redirect_307", REDIRECT, redirect(307, trap_url)),
        entry("B6", "redirect_308", REDIRECT, redirect(308, trap_url)),
        entry("B6", "redirect_metadata", REDIRECT, redirect(307, "http://169.254.169.254/latest/meta-data/")),
        entry("B6", "redirect_file", REDIRECT, redirect(302, "file:///etc/passwd")),
        entry("B6", "redirect_with_bid", REDIRECT, acts([say(&redirect_with_bid, TRAP.as_bytes())])),
        entry("B6", "redirect_without_location", &["redirect", "http_status"], status_with_bid("302 Found")),
        entry("B6", "status_304", &["http_status", "redirect"], Behaviour::Status(304)),
        entry("B6", "status_400", STATUS, Behaviour::Status(400)),
        entry("B6", "status_401", STATUS, Behaviour::Status(401)),
        entry("B6", "status_403", STATUS, Behaviour::Status(403)),
        entry("B6", "status_404", STATUS, Behaviour::Status(404)),
        entry(
            "B6",
            "status_429_retry_after",
            &["http_status", "throttled"],
            acts([send("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")]),
        ),
        entry(
            "B6",
            "status_429_retry_never",
            &["http_status", "throttled"],
            acts([send(
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n",
            )]),
        ),
        entry("B6", "status_500", STATUS, Behaviour::Status(500)),
        entry("B6", "status_502", STATUS, Behaviour::Status(502)),
        entry("B6", "status_503", STATUS, Behaviour::Status(503)),
        entry("B6", "status_500_with_bid", STATUS, status_with_bid("500 Internal Server Error")),
        entry("B6", "status_403_with_bid", STATUS, status_with_bid("403 Forbidden")),
        entry("B6", "status_999", &["http_status", "malformed"], status_with_bid("999 Odd")),
        entry("B6", "status_000", &["malformed", "http_status", "closed"], status_with_bid("000 Odd")),
        entry("B6", "status_2000", &["malformed", "http_status", "closed"], status_with_bid("2000 Odd")),
        entry("B6", "no_reason_phrase", &["bid"], acts([say(&HEAD.replace(" OK", " "), BID.as_bytes())])),
        entry(
            "B6",
            "early_hints_then_bid",
            &["bid", "malformed", "http_status"],
            acts([say(
                &format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", fixed_head(BID)),
                BID.as_bytes(),
            )]),
        ),
        entry(
            "B6",
            "switching_protocols",
            &["http_status", "malformed", "closed", "timeout"],
            acts([
                send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
                Act::Hold,
            ]),
        ),
    ]
}

pub(super) fn b7_framing() -> Vec<Hostile> {
    const ENCODING: &[&str] = &["encoding"];
    const BROKEN: &[&str] = &["malformed", "closed"];
    let encoded = |name: &str, body: &[u8]| {
        acts([say(
            &format!("HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nContent-Length: $LEN\r\n\r\n"),
            body,
        )])
    };
    let chunk =
        |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len() + PING_ID_CHARS - "$PING_ID".len());
    let chunked = |head: &str| acts([say(head, chunk(BID).as_bytes())]);
    vec![
        entry("B7", "gzip", ENCODING, encoded("gzip", &gzip_stored(br#"{"bid":"25.50"}"#))),
        entry("B7", "gzip_bomb", ENCODING, encoded("gzip", &gzip_bomb(12 * 1024))),
        entry("B7", "gzip_name_plain_body", ENCODING, encoded("gzip", BID.as_bytes())),
        entry("B7", "gzip_twice", ENCODING, encoded("gzip, gzip", &gzip_stored(&gzip_bomb(4 * 1024)))),
        entry("B7", "brotli", ENCODING, encoded("br", b"\x0b\x02\x80{}\x03")),
        entry("B7", "zstd", ENCODING, encoded("zstd", b"\x28\xb5\x2f\xfd\x04\x00\x11\x00\x00{}")),
        entry("B7", "deflate", ENCODING, encoded("deflate", b"\x78\x01\x01\x02\x00\xfd\xff{}")),
        entry("B7", "identity_encoding", &["bid", "encoding"], encoded("identity", BID.as_bytes())),
        entry("B7", "gzip_without_header", &["malformed"], body(gzip_stored(br#"{"bid":"25.50"}"#))),
        entry(
            "B7",
            "length_too_small",
            &["malformed"],
            acts([say(&HEAD.replace("$LEN", "20"), BID.as_bytes())]),
        ),
        entry(
            "B7",
            "length_too_large",
            &["timeout"],
            acts([say(&HEAD.replace("$LEN", "4000"), BID.as_bytes()), Act::Hold]),
        ),
        entry(
            "B7",
            "length_too_large_then_close",
            &["closed", "malformed"],
            acts([say(&HEAD.replace("$LEN", "4000"), BID.as_bytes()), Act::Close]),
        ),
        entry(
            "B7",
            "length_zero",
            &["malformed", "no_bid"],
            acts([say(&HEAD.replace("$LEN", "0"), BID.as_bytes())]),
        ),
        entry("B7", "length_negative", BROKEN, acts([say(&HEAD.replace("$LEN", "-1"), BID.as_bytes())])),
        entry(
            "B7",
            "length_plus",
            &["malformed", "closed", "bid"],
            acts([say(&HEAD.replace("$LEN", "+$LEN"), BID.as_bytes())]),
        ),
        entry("B7", "length_words", BROKEN, acts([say(&HEAD.replace("$LEN", "many"), BID.as_bytes())])),
        entry(
            "B7",
            "length_overflows",
            BROKEN,
            acts([say(&HEAD.replace("$LEN", "99999999999999999999999"), BID.as_bytes())]),
        ),
        entry("B7", "two_lengths_differ", BROKEN, with_headers("Content-Length: 5\r\n")),
        entry(
            "B7",
            "two_lengths_agree",
            &["malformed", "closed", "bid"],
            with_headers("Content-Length: $LEN\r\n"),
        ),
        entry(
            "B7",
            "length_list",
            &["malformed", "closed", "bid"],
            acts([say(&HEAD.replace("$LEN", "$LEN, $LEN"), BID.as_bytes())]),
        ),
        entry(
            "B7",
            "length_and_chunked",
            &["malformed", "closed", "bid"],
            chunked("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        entry("B7", "chunked", &["bid"], chunked(CHUNKED_HEAD)),
        entry(
            "B7",
            "chunked_not_last",
            &["malformed", "closed", "timeout", "encoding"],
            acts([
                say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", chunk(BID).as_bytes()),
                Act::Hold,
            ]),
        ),
        entry(
            "B7",
            "transfer_gzip",
            &["encoding", "malformed", "closed", "bid"],
            chunked("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        ),
        entry("B7", "chunk_size_bad", BROKEN, acts([say(CHUNKED_HEAD, b"zz\r\n{}\r\n0\r\n\r\n")])),
        entry(
            "B7",
            "chunk_size_overflows",
            BROKEN,
            acts([say(CHUNKED_HEAD, b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n")]),
        ),
        entry("B7", "chunk_longer_than_said", BROKEN, acts([say(CHUNKED_HEAD, b"1\r\n{}\r\n0\r\n\r\n")])),
        entry("B7", "http_0_9", BROKEN, acts([say("", BID.as_bytes()), Act::Close])),
        entry(
            "B7",
            "http_1_0_close",
            &["bid"],
            acts([
                say("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n", BID.as_bytes()),
                Act::Close,
            ]),
        ),
        entry(
            "B7",
            "http_1_0_chunked",
            &["malformed", "closed", "bid"],
            acts([say(&CHUNKED_HEAD.replace("1.1", "1.0"), chunk(BID).as_bytes()), Act::Close]),
        ),
        entry(
            "B7",
            "http_2_preface",
            BROKEN,
            acts([Act::Send(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec()), Act::Close]),
        ),
        entry(
            "B7",
            "http_3_0_version",
            BROKEN,
            acts([say(&HEAD.replace("HTTP/1.1", "HTTP/3.0"), BID.as_bytes())]),
        ),
        entry(
            "B7",
            "other_protocol",
            BROKEN,
            acts([send("220 mail.example.net ESMTP ready\r\n"), Act::Close]),
        ),
        entry(
            "B7",
            "tls_alert",
            BROKEN,
            acts([Act::Send(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()), Act::Close]),
        ),
        entry(
            "B7",
            "bare_line_feeds",
            &["bid", "malformed", "closed"],
            acts([say(&HEAD.replace("\r\n", "\n"), BID.as_bytes())]),
        ),
        entry("B7", "folded_header", &["malformed", "closed", "bid"], with_headers("X-Note: a\r\n b\r\n")),
        entry("B7", "space_before_colon", &["malformed", "closed", "bid"], with_headers("X-Note : a\r\n")),
        entry("B7", "nul_in_header", BROKEN, with_headers("X-Note: a\0b\r\n")),
        entry("B7", "nameless_header", BROKEN, with_headers(": a\r\n")),
        entry(
            "B7",
            "latin1_header",
            &["bid", "malformed", "closed"],
            acts([Act::Say(
                [&b"HTTP/1.1 200 OK\r\nX-Note: caf\xe9\r\nContent-Length: $LEN\r\n\r\n"[..], BID.as_bytes()]
                    .concat(),
            )]),
        ),
        entry(
            "B7",
            "connection_close",
            &["bid"],
            acts([
                say(&HEAD.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), BID.as_bytes()),
                Act::Close,
            ]),
        ),
        entry("B7", "connection_close_ignored", &["bid"], with_headers("Connection: close\r\n")),
        entry(
            "B7",
            "text_plain",
            &["bid", "malformed"],
            acts([say(&HEAD.replace("application/json", "text/plain"), BID.as_bytes())]),
        ),
        entry(
            "B7",
            "leading_empty_lines",
            &["bid", "malformed", "closed"],
            acts([Act::Say([b"\r\n\r\n", fixed_head(BID).as_bytes(), BID.as_bytes()].concat())]),
        ),
    ]
}

pub(super) fn b8_cross() -> Vec<Hostile> {
    let other = |id: &str| body(format!(r#"{{"ping_id":"{id}","bid":"999.00","ttl_s":30}}"#));
    let twice = [&fixed_head(BID), BID, &fixed_head(TRAP), TRAP].concat().into_bytes();
    vec![
        entry("B8", "other_ping", &["ping_mismatch"], other("01JZZZZZZZZZZZZZZZZZZZZZZZ")),
        entry("B8", "previous_ping", &["ping_mismatch"], other("$PREVIOUS_PING_ID")),
        entry("B8", "lower_case_ping", &["ping_mismatch"], other("01jzzzzzzzzzzzzzzzzzzzzzzz")),
        entry("B8", "empty_ping", &["ping_mismatch", "malformed"], other("")),
        entry("B8", "padded_ping", &["ping_mismatch", "malformed"], other(" $PING_ID")),
        entry("B8", "number_ping", &["malformed", "ping_mismatch"], body(r#"{"ping_id":1,"bid":"999.00"}"#)),
        entry("B8", "null_ping", &["malformed", "ping_mismatch"], body(r#"{"ping_id":null,"bid":"999.00"}"#)),
        entry(
            "B8",
            "second_response_at_once",
            &["bid", "malformed", "closed"],
            acts([Act::Say(twice.clone())]),
        ),
        entry(
            "B8",
            "second_response_when_idle",
            &["bid"],
            acts([say(HEAD, BID.as_bytes()), Act::Wait { ms: 20 }, say(HEAD, TRAP.as_bytes())]),
        ),
        entry(
            "B8",
            "second_response_after_204",
            &["no_bid", "malformed", "closed"],
            acts([Act::Say(
                [b"HTTP/1.1 204 No Content\r\n\r\n", fixed_head(TRAP).as_bytes(), TRAP.as_bytes()].concat(),
            )]),
        ),
        entry(
            "B8",
            "body_after_204",
            &["no_bid", "malformed", "closed"],
            acts([say("HTTP/1.1 204 No Content\r\nContent-Length: $LEN\r\n\r\n", TRAP.as_bytes())]),
        ),
        entry(
            "B8",
            "late_reply_onto_the_next",
            &["timeout"],
            acts([Act::AwaitNextRequest, say(HEAD, TRAP.as_bytes())]),
        ),
        entry(
            "B8",
            "late_reply_then_trap",
            &["late", "timeout"],
            acts([Act::WaitPastDeadline { ms: 100 }, Act::Say(twice)]),
        ),
    ]
}
