//! The canary: distinctive callers, in every place a carrier may put them, and nowhere a trace of them afterwards.

use serde_json::{Value, json};

use crate::support::bids::{bid, bidders, no_bid};
use crate::support::market::NUMBER;
use crate::support::{Exchange, Market, files_of};

#[test]
fn a_callers_number_is_found_nowhere() {
    let bidders = bidders([("token", bid("21.00")), ("none", bid("20.00")), ("tags", no_bid())]);
    let endpoint = |name: &str| format!("endpoint = {{ url = \"{}\" }}", bidders.url(name));
    let filtered = "filters = [{ tag = \"case\", op = \"=\", value = \"collision\" }, { tag = \"name\", op = \"=\", value = \"Ann\" }]\n";
    let market = Market::new(r#"{ auction = ["token", "none", "tags", "picky", "nosy"] }"#)
        .patient()
        .buyer("token", "disclosure = \"token\"\n")
        .target("token", "token", &endpoint("token"))
        .buyer("none", "disclosure = \"none\"\n")
        .target("none", "none", &endpoint("none"))
        .buyer("tags", "personal_tags = [\"zip\"]\n")
        .target("tags", "tags", &endpoint("tags"))
        .buyer("picky", "")
        .target("picky", "picky", &format!("{filtered}price = \"1.00\""))
        .target(
            "nosy",
            "picky",
            "filters = [{ tag = \"name\", op = \"=\", value = \"Ann\" }]\nprice = \"1.00\"",
        );
    let exchange = Exchange::start(&market);
    let callers =
        ["5127391846", "3038264915", "2126483917", "7187364529", "3052938471", "6024817392", "4047519382"];
    let [plain, tag, sub_id, call_id, key, sip, unknown] = callers;
    let split = |digits: &str| format!("({}) {}-{}", &digits[..3], &digits[3..6], &digits[6..]);
    let asked = [
        json!({"carrier_call_id": "CA1", "to": NUMBER, "from": format!("+1{plain}"), "from_raw": format!("\"J\" <sip:+1{plain}@x>"),
            "headers": {"P-Asserted-Identity": format!("<sip:{plain}@x>")}}),
        json!({"carrier_call_id": "CA2", "to": NUMBER, "from": format!("+1{tag}"),
            "tags": {"case": format!("call me at {tag}"), "load_call": format!("+1{tag}"), "name": tag, "other": split(tag),
                "number": tag.parse::<u64>().unwrap()}}),
        json!({"carrier_call_id": "CA3", "to": NUMBER, "from": format!("+1{sub_id}"), "sub_id": format!("fb-{sub_id}")}),
        json!({"carrier_call_id": format!("leg-{call_id}-7"), "to": NUMBER, "from": format!("+1{call_id}"),
            "diverted_from": format!("+1{call_id}")}),
        json!({"carrier_call_id": "CA5", "to": NUMBER, "from": format!("+1{key}"), "tags": {format!("+1{key}"): "x"}}),
        json!({"carrier_call_id": "CA6", "to": format!("sip:{sip}@pbx.example"), "from": format!("+1{sip}")}),
        json!({"carrier_call_id": "CA7", "to": "+18005559999", "from": format!("+1{unknown}"), "sub_id": unknown}),
    ];
    let mut shown = Vec::new();
    for (n, asked) in asked.iter().enumerate() {
        let answer = exchange.decide(asked);
        let call = answer["call_id"].as_str().unwrap().to_owned();
        if answer["action"] == "dial" {
            let digits = callers[n];
            let url = format!("https://x.example/{digits}");
            for (n, event_id) in [format!("{digits}-1"), format!("{digits}-2")].into_iter().enumerate() {
                let more = json!({"event_id": event_id, "carrier_leg_id": digits, "recording": {"url": url}});
                exchange.report(&answer, "recording", n as i64, more);
            }
            exchange.talk(&answer, 91_000);
        }
        let explained = exchange.explained(&call);
        if answer["action"] == "dial" {
            let events = explained["events"].as_array().unwrap().len();
            assert_eq!(events, 6, "events whose ids are masked stay two events");
        }
        shown.push(("the explained call", explained.to_string()));
        for format in ["table", "json"] {
            let told = exchange.cli(&["explain", &call, "--format", format]);
            assert!(told.status.success());
            shown.push(("explain", String::from_utf8_lossy(&told.stdout).into_owned()));
        }
    }
    for path in ["/api/v1/calls", "/api/v1/outcomes", "/api/v1/ledger", "/metrics"] {
        shown.push((path, exchange.get(path).text()));
    }
    for format in ["table", "json", "csv"] {
        for verb in [&["calls"][..], &["pnl", "--by", "buyer"]] {
            let told = exchange.cli(&[verb, &["--format", format]].concat());
            assert!(told.status.success());
            shown.push((verb[0], String::from_utf8_lossy(&told.stdout).into_owned()));
        }
    }
    for name in ["token", "none", "tags"] {
        let pings = bidders.pings(name);
        assert!(pings.len() >= 5, "{name} was asked {} times", pings.len());
        for ping in pings {
            let body: Value = serde_json::from_str(&ping.body).unwrap();
            assert!(body["caller"].get("number").is_none_or(Value::is_null), "{body}");
            shown.push((name, format!("{:?} {}", ping.headers, ping.body)));
        }
    }
    let mut files = Vec::new();
    let mut look_at_files = |exchange: &Exchange| {
        for path in files_of(&exchange.folder) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push((name, String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()));
        }
    };
    look_at_files(&exchange);
    shown.push(("the log", exchange.log().join("\n")));
    assert!(files.iter().any(|(name, text)| name.ends_with("-wal") && text.len() > 10_000));
    shown.extend(files.iter().map(|(name, text)| (name.as_str(), text.clone())));
    for (_, text) in &mut shown {
        *text = without_long_numbers(text);
    }
    for digits in callers {
        let last = &digits[3..];
        let loose = format!("{}-{}", &last[..3], &last[3..]);
        for (place, text) in &shown {
            for trace in [last, &loose] {
                let at = text.find(trace);
                let near = at.map(|at| text[..at].chars().rev().take(80).collect::<Vec<_>>());
                let near: Option<String> = near.map(|chars| chars.into_iter().rev().collect());
                assert_eq!(near, None, "{trace} is in {place}, after this");
            }
        }
    }
    exchange.finish();
}

#[test]
fn a_buyer_that_repeats_the_number_it_was_told_puts_it_nowhere() {
    use load::bidders::Behaviour;
    let (digits, last) = ("5127391846", "7391846");
    let says = |body: String| Behaviour::Fixed { latency_ms: 2, body };
    let scripts = [
        ("reason", says(format!(r#"{{"ping_id":"$PING_ID","bid":0,"reason":"+1{digits} is blocked"}}"#))),
        ("mismatch", says(format!(r#"{{"ping_id":"{digits}","bid":"20.00"}}"#))),
        ("price", says(format!(r#"{{"ping_id":"$PING_ID","bid":"+1{digits}"}}"#))),
        ("currency", says(format!(r#"{{"ping_id":"$PING_ID","bid":"20.00","currency":"{digits}"}}"#))),
        ("place", says(format!(r#"{{"ping_id":"$PING_ID","bid":"20.00","destination":"+1{digits}"}}"#))),
        (
            "user",
            says(format!(r#"{{"ping_id":"$PING_ID","bid":"20.00","destination":"sip:{digits}@x.example"}}"#)),
        ),
        (
            "page",
            Behaviour::Raw(
                format!("HTTP/1.1 500 {digits}\r\nx-{digits}: {digits}\r\ncontent-length: 0\r\n\r\n")
                    .into_bytes(),
            ),
        ),
        ("status", Behaviour::Raw(format!("HTTP/{digits} 200 OK\r\n\r\n").into_bytes())),
    ];
    let names = scripts.each_ref().map(|(name, _)| *name);
    let bidders = bidders(scripts);
    let mut market = Market::new(&format!("{{ auction = {names:?} }}")).patient();
    for name in names {
        let endpoint = format!("endpoint = {{ url = \"{}\" }}", bidders.url(name));
        market = market.buyer(name, "disclosure = \"full\"\n").target(name, name, &endpoint);
    }
    let exchange = Exchange::start(&market);
    let answer =
        exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": format!("+1{digits}")}));
    let call = answer["call_id"].as_str().unwrap();
    let explained = exchange.explained(call);
    for row in explained["steps"][0]["outcomes"].as_array().unwrap() {
        assert!(!["won", "timeout"].contains(&row["reason"].as_str().unwrap()), "{row}");
    }
    assert!(bidders.pings("reason")[0].body.contains(digits), "a full buyer is told");
    let told = exchange.cli(&["explain", call]);
    let mut shown = vec![
        explained.to_string(),
        exchange.get("/metrics").text(),
        exchange.log().join("\n"),
        String::from_utf8_lossy(&told.stdout).into_owned(),
    ];
    for path in files_of(&exchange.folder) {
        let bytes = std::fs::read(path).unwrap();
        shown.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    for text in shown {
        let text = without_long_numbers(&text);
        let at = text.find(last);
        let near = at.map(|at| text[..at].chars().rev().take(80).collect::<Vec<_>>());
        assert_eq!(near.map(|near| near.into_iter().rev().collect::<String>()), None);
    }
    exchange.finish();
}

/// Seeds and the like have more digits than any phone number: by chance they could spell one.
fn without_long_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        if run.len() < 17 {
            kept.push_str(&run);
        }
        run.clear();
        kept.push(c);
    }
    kept
}
