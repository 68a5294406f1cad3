//! Bodies of replies: prices, documents and terms as buyers get them wrong (row B5, scenario 19).

use super::faults::{BID, Hostile, bid_value, bid_with, body, entry};
use crate::bidders::Behaviour;

/// Values of `bid`.
pub(super) fn b5_numbers() -> Vec<Hostile> {
    const MALFORMED: &[&str] = &["malformed"];
    const ZERO: &[&str] = &["no_bid", "malformed"];
    const ABOVE: &[&str] = &["above_max", "malformed"];
    const BID_OK: &[&str] = &["bid"];
    let nines = "9".repeat(1_000);
    let long_fraction = format!("25.50{}", "0".repeat(990));
    let long_tiny = format!("0.{}1", "0".repeat(998));
    let quoted = |text: &str| format!("\"{text}\"");
    let table: Vec<(&'static str, &'static [&'static str], String)> = vec![
        ("bid_string", BID_OK, quoted("25.50")),
        ("bid_number", BID_OK, "25.5".into()),
        ("bid_exponent", BID_OK, "2.55e1".into()),
        ("bid_seventh_decimal_is_cut", BID_OK, "25.5000009".into()),
        ("bid_never_rounds_up", BID_OK, quoted("25.509999")),
        ("bid_number_never_rounds_up", BID_OK, "25.509999".into()),
        ("bid_dollar_sign", MALFORMED, quoted("$25.50")),
        ("bid_currency_code", MALFORMED, quoted("25.50 USD")),
        ("bid_comma", MALFORMED, quoted("25,50")),
        ("bid_bare_comma", MALFORMED, "25,50".into()),
        ("bid_thousands", MALFORMED, quoted("1,025.50")),
        ("bid_underscore", MALFORMED, quoted("2_5.50")),
        ("bid_negative", MALFORMED, "-5".into()),
        ("bid_negative_string", MALFORMED, quoted("-5")),
        ("bid_negative_huge", MALFORMED, "-1e308".into()),
        ("bid_plus", MALFORMED, "+5".into()),
        ("bid_plus_string", MALFORMED, quoted("+25.50")),
        ("bid_negative_zero", ZERO, "-0.0".into()),
        ("bid_zero", ZERO, "0".into()),
        ("bid_zero_string", ZERO, quoted("0.00")),
        ("bid_below_a_micro", ZERO, "1e-9".into()),
        ("bid_below_a_cent", ZERO, "0.001".into()),
        ("bid_nan", MALFORMED, "NaN".into()),
        ("bid_nan_string", MALFORMED, quoted("NaN")),
        ("bid_infinity", MALFORMED, "Infinity".into()),
        ("bid_infinity_string", MALFORMED, quoted("Infinity")),
        ("bid_negative_infinity", MALFORMED, "-Infinity".into()),
        ("bid_1e400", ABOVE, "1e400".into()),
        ("bid_1e308", ABOVE, "1e308".into()),
        ("bid_9e15", ABOVE, "9e15".into()),
        ("bid_above_max", ABOVE, "1000.01".into()),
        ("bid_u64_max", ABOVE, "18446744073709551615".into()),
        ("bid_u64_wraps", ABOVE, "18446744073709551641.5".into()),
        ("bid_thousand_digits", ABOVE, nines.clone()),
        ("bid_thousand_digit_string", ABOVE, quoted(&nines)),
        ("bid_thousand_decimals", &["bid", "malformed"], long_fraction.clone()),
        ("bid_thousand_decimal_string", &["bid", "malformed"], quoted(&long_fraction)),
        ("bid_tiny", ZERO, long_tiny),
        ("bid_huge_exponent", ABOVE, "1e999999999999999999999".into()),
        ("bid_tiny_exponent", ZERO, "1e-999999999999999999999".into()),
        ("bid_exponent_string", MALFORMED, quoted("2.55e1")),
        ("bid_true", MALFORMED, "true".into()),
        ("bid_null", &["malformed", "no_bid"], "null".into()),
        ("bid_empty", MALFORMED, quoted("")),
        ("bid_space", MALFORMED, quoted(" 25.50")),
        ("bid_trailing_space", MALFORMED, quoted("25.50 ")),
        ("bid_point_only", MALFORMED, quoted(".")),
        ("bid_no_whole_part", MALFORMED, quoted(".50")),
        ("bid_no_decimals", MALFORMED, quoted("25.")),
        ("bid_two_points", MALFORMED, quoted("25.5.0")),
        ("bid_leading_zero_number", MALFORMED, "025.50".into()),
        ("bid_leading_zero_string", &["malformed", "bid"], quoted("025.50")),
        ("bid_hex", MALFORMED, quoted("0x19")),
        ("bid_words", MALFORMED, quoted("twenty")),
        ("bid_wide_digits", MALFORMED, quoted("\u{ff12}\u{ff15}")),
        ("bid_arabic_digits", MALFORMED, quoted("\u{0662}\u{0665}")),
        ("bid_nul", MALFORMED, quoted("25.50\\u0000")),
        ("bid_array", MALFORMED, "[25.50]".into()),
        ("bid_object", MALFORMED, r#"{"amount":25.50}"#.into()),
    ];
    table.into_iter().map(|(name, expect, value)| entry("B5", name, expect, bid_value(&value))).collect()
}

/// Bodies that are wrong as JSON, or odd.
pub(super) fn b5_json() -> Vec<Hostile> {
    const MALFORMED: &[&str] = &["malformed"];
    let nested = |open: &str, n: usize| format!(r#","note":{}"#, open.repeat(n));
    let closed = |n: usize| format!(r#","note":{}{}"#, "[".repeat(n), "]".repeat(n));
    let bom = [&b"\xef\xbb\xbf"[..], BID.as_bytes()].concat();
    let utf16: Vec<u8> = BID.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let trailing = |text: &[u8]| body([BID.as_bytes(), text].concat());
    let long_key = format!(r#","{}":1"#, "k".repeat(8 * 1024));
    let many_keys: String = (0..1_000).map(|n| format!(r#","k{n}":1"#)).collect();
    vec![
        entry("B5", "html", MALFORMED, Behaviour::Garbage),
        entry("B5", "empty_body", &["malformed", "no_bid"], body("")),
        entry("B5", "spaces_only", MALFORMED, body("   ")),
        entry("B5", "half_json", MALFORMED, body(r#"{"ping_id":"$PING_ID","bid":"25.50""#)),
        entry("B5", "empty_object", &["malformed", "no_bid", "ping_mismatch"], body("{}")),
        entry("B5", "no_bid_key", &["malformed", "no_bid"], body(r#"{"ping_id":"$PING_ID","ttl_s":30}"#)),
        entry(
            "B5",
            "wrong_case_keys",
            &["malformed", "no_bid", "ping_mismatch"],
            body(r#"{"Ping_Id":"$PING_ID","Bid":"25.50"}"#),
        ),
        entry("B5", "array_body", MALFORMED, body(format!("[{BID}]"))),
        entry("B5", "string_body", MALFORMED, body(r#""25.50""#)),
        entry("B5", "number_body", MALFORMED, body("25.50")),
        entry("B5", "null_body", MALFORMED, body("null")),
        entry("B5", "single_quotes", MALFORMED, body("{'ping_id':'$PING_ID','bid':'25.50'}")),
        entry("B5", "trailing_comma", MALFORMED, bid_with(",")),
        entry("B5", "comment", MALFORMED, bid_with("/* best offer */")),
        entry("B5", "duplicate_bid", MALFORMED, bid_with(r#","bid":"99.00""#)),
        entry("B5", "duplicate_bid_escaped", MALFORMED, bid_with(r#","\u0062id":"99.00""#)),
        entry("B5", "duplicate_ping_id", MALFORMED, bid_with(r#","ping_id":"$PING_ID""#)),
        entry("B5", "duplicate_ignored_key", &["malformed", "bid"], bid_with(r#","x":1,"x":2"#)),
        entry("B5", "two_documents", MALFORMED, trailing(BID.as_bytes())),
        entry("B5", "trailing_bytes", MALFORMED, trailing(b"}")),
        entry("B5", "trailing_nul", MALFORMED, trailing(b"\0")),
        entry("B5", "trailing_newline", &["bid"], trailing(b"\r\n")),
        entry("B5", "byte_order_mark", &["malformed", "bid"], body(bom)),
        entry("B5", "utf16", MALFORMED, body(utf16)),
        entry("B5", "invalid_utf8_ignored_field", MALFORMED, bid_with(b",\"note\":\"\xff\xfe\xc0\x80\"")),
        entry("B5", "invalid_utf8_key", MALFORMED, bid_with(b",\"\xf0\x28\x8c\x28\":1")),
        entry("B5", "overlong_utf8", MALFORMED, bid_with(b",\"note\":\"\xc0\xaf\"")),
        entry("B5", "lone_surrogate_ignored_field", &["malformed", "bid"], bid_with(r#","note":"\ud800""#)),
        entry(
            "B5",
            "lone_surrogate_ping_id",
            &["malformed", "ping_mismatch"],
            body(r#"{"ping_id":"\ud800","bid":"25.50"}"#),
        ),
        entry("B5", "control_character", MALFORMED, bid_with(b",\"note\":\"\x01\"")),
        entry("B5", "bad_escape", MALFORMED, bid_with(r#","note":"\q""#)),
        entry("B5", "nested_13000_arrays", &["too_large", "malformed"], bid_with(nested("[", 13_000))),
        entry("B5", "nested_13000_closed", &["too_large", "malformed"], bid_with(closed(13_000))),
        entry("B5", "nested_8000_under_the_cap", MALFORMED, bid_with(closed(8_000))),
        entry("B5", "nested_2500_objects", MALFORMED, bid_with(nested(r#"{"a":"#, 2_500))),
        entry("B5", "nested_1100_closed", MALFORMED, bid_with(closed(1_100))),
        entry("B5", "nested_mixed", MALFORMED, bid_with(nested(r#"[{"a":"#, 2_000))),
        entry("B5", "nested_4_closed", &["bid"], bid_with(closed(4))),
        entry(
            "B5",
            "brackets_in_a_string",
            &["bid"],
            bid_with(format!(r#","note":"{}""#, "[{".repeat(2_000))),
        ),
        entry("B5", "long_key", &["bid", "malformed"], bid_with(long_key)),
        entry("B5", "thousand_keys", &["bid", "malformed"], bid_with(many_keys)),
        entry("B5", "huge_number_ignored_field", &["malformed", "bid"], bid_with(r#","note":1e400"#)),
        entry("B5", "unknown_fields", &["bid"], bid_with(r#","note":"ok","seat":{"id":[1,2]}"#)),
        entry("B5", "escaped_price", &["bid"], body(r#"{"ping_id":"$PING_ID","bid":"\u00325.50"}"#)),
    ]
}

/// Fields beside the price.
pub(super) fn b5_terms() -> Vec<Hostile> {
    const MALFORMED: &[&str] = &["malformed"];
    let terms = |more: &str| body(format!(r#"{{"ping_id":"$PING_ID","bid":"25.50"{more}}}"#));
    vec![
        entry("B5", "currency_same", &["bid"], terms(r#","currency":"USD""#)),
        entry("B5", "currency_other", &["bad_currency"], terms(r#","currency":"EUR""#)),
        entry(
            "B5",
            "currency_lower_case",
            &["bad_currency", "malformed", "bid"],
            terms(r#","currency":"usd""#),
        ),
        entry("B5", "currency_number", &["malformed", "bad_currency"], terms(r#","currency":840"#)),
        entry("B5", "ttl_missing", &["bid"], terms("")),
        entry("B5", "ttl_string", &["malformed", "bid"], terms(r#","ttl_s":"30""#)),
        entry("B5", "ttl_words", MALFORMED, terms(r#","ttl_s":"soon""#)),
        entry("B5", "ttl_negative", MALFORMED, terms(r#","ttl_s":-30"#)),
        entry("B5", "ttl_huge", &["bid", "malformed"], terms(r#","ttl_s":1e99"#)),
        entry("B5", "ttl_array", MALFORMED, terms(r#","ttl_s":[30]"#)),
        entry("B5", "destination_foreign", &["bad_destination"], terms(r#","destination":"+447700900123""#)),
        entry("B5", "destination_premium", &["bad_destination"], terms(r#","destination":"+19005550100""#)),
        entry("B5", "destination_sip", &["bad_destination"], terms(r#","destination":"sip:x@192.0.2.1""#)),
        entry(
            "B5",
            "destination_injection",
            &["bad_destination", "malformed"],
            terms(r#","destination":"+15125550100\r\nX: y""#),
        ),
        entry(
            "B5",
            "destination_number",
            &["malformed", "bad_destination"],
            terms(r#","destination":15125550100"#),
        ),
        entry("B5", "min_duration_above_limit", &["bad_terms"], terms(r#","min_duration_s":86400"#)),
        entry("B5", "min_duration_negative", &["malformed", "bad_terms"], terms(r#","min_duration_s":-1"#)),
        entry("B5", "min_duration_words", &["malformed", "bad_terms"], terms(r#","min_duration_s":"long""#)),
        entry(
            "B5",
            "reason_object",
            &["malformed", "no_bid"],
            body(r#"{"ping_id":"$PING_ID","bid":0,"reason":{"a":1}}"#),
        ),
        entry(
            "B5",
            "reason_long",
            &["no_bid", "malformed"],
            body(format!(r#"{{"ping_id":"$PING_ID","bid":0,"reason":"{}"}}"#, "x".repeat(8_000))),
        ),
        entry(
            "B5",
            "reason_control",
            &["no_bid", "malformed"],
            body(r#"{"ping_id":"$PING_ID","bid":0,"reason":"\u001b[31m\r\n"}"#),
        ),
    ]
}
