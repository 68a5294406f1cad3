//! What pings say, to whom they say it, and what never leaves.

use super::pseudonym::Pseudonyms;
use super::*;
use crate::domain::catalog::Limits;
use crate::domain::draw::Draw;
use crate::domain::{Address, Bps, BuyerId, BuyerIx, PublisherId, PublisherIx, SetBy, TargetId, Zone};

const NUMBER: &str = "+15125550123";

pub(super) fn endpoint() -> Endpoint {
    Endpoint {
        tls: true,
        host: "bids.example.com".to_owned(),
        port: 443,
        path: "/v2/bid?seat=7".to_owned(),
        secret: None,
        ca_file: None,
        max_bid: Money::from_micros(1_000_000_000),
        bid_ttl: Duration::from_secs(60),
        max_min_duration: Duration::from_secs(120),
        destinations: Vec::new(),
    }
}

pub(super) fn target(endpoint: &Endpoint) -> Target {
    Target {
        id: TargetId::parse("acme-auto").expect("a slug"),
        buyer: BuyerIx(0),
        address: Address::parse("+15125550999").expect("a number"),
        pricing: crate::domain::catalog::Pricing::Endpoint(endpoint.clone()),
        paused: false,
        filters: Vec::new(),
        hours: None,
        limits: Limits::default(),
        ranges: Vec::new(),
        floor: Money::ZERO,
        tier: 1,
        priority: 0,
        weight: 1,
        multiplier: Bps::WHOLE,
        min_duration: Duration::from_secs(90),
        ring: Duration::from_secs(20),
        max_talk: Duration::from_secs(14_400),
        earlier_attempts: None,
        suppressed_callers: Vec::new(),
    }
}

fn buyer(disclosure: Disclosure) -> Buyer {
    Buyer {
        id: BuyerId::parse("acme").expect("a slug"),
        name: "Acme".to_owned(),
        zone: Zone::load("America/Chicago").expect("a zone"),
        paused: false,
        hours: None,
        limits: Limits::default(),
        ranges: Vec::new(),
        disclosure,
        personal_tags: Vec::new(),
        show_floor: false,
        key_digest: None,
        hand_back: Duration::ZERO,
        suppressed_callers: Vec::new(),
    }
}

/// The policy of the words in the row: `token`, `none` or `full`, then `floor` and personal tags by name.
fn asking(policy: &str) -> Asking {
    let mut words = policy.split_whitespace();
    let mut buyer = buyer(match words.next() {
        Some("token") => Disclosure::Token,
        Some("none") => Disclosure::None,
        Some("full") => Disclosure::Full,
        other => panic!("no policy: {other:?}"),
    });
    for word in words {
        match word {
            "floor" => buyer.show_floor = true,
            personal => buyer.personal_tags.push(personal.to_owned()),
        }
    }
    let endpoint = endpoint();
    Asking::compile(b"exchange-key", &buyer, &target(&endpoint), &endpoint)
}

/// These tags, as a carrier sets them.
fn tags(words: &[(&str, TagValue)]) -> Tags {
    let mut tags = Tags::default();
    for (key, value) in words {
        tags.add(*key, value.clone(), SetBy::Carrier).expect("within the limits");
    }
    tags
}

fn text(text: &str) -> TagValue {
    TagValue::Text(text.into())
}

struct Facts {
    campaign: CampaignId,
    tags: Tags,
    ping_tags: Vec<String>,
}

impl Facts {
    fn new(words: &[(&str, TagValue)]) -> Facts {
        let campaign = CampaignId::parse("auto-us").expect("a slug");
        let ping_tags = words.iter().map(|(key, _)| (*key).to_owned()).collect();
        Facts { campaign, tags: tags(words), ping_tags }
    }

    fn ping(&self) -> Ping<'_> {
        Ping {
            ping_id: PingId::from_bits(0x0190_0000_0000_7000_8000_0000_0000_0001),
            deadline_ms: 487,
            test: false,
            campaign: &self.campaign,
            vertical: "auto",
            publisher_code: "p7k2m9qd",
            area_code: Some(512),
            state: Some("TX"),
            zip: Some("78701"),
            number: E164::parse(NUMBER),
            tail: Tail::of(NUMBER),
            token: Some("k1:9f"),
            geo_source: "area_code",
            stir: Some("A"),
            consent: true,
            tags: &self.tags,
            ping_tags: &self.ping_tags,
            currency: "USD",
            floor: Some(Money::from_micros(12_500_000)),
            at: Timestamp::parse("2026-11-20T09:00:00.987Z").expect("a moment"),
        }
    }
}

fn rendered(asking: &Asking, ping: &Ping<'_>) -> String {
    let mut body = Vec::new();
    asking.render(ping, &mut body);
    String::from_utf8(body).expect("UTF-8")
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_ping_is_the_one_of_the_contract() {
    let facts = Facts::new(&[("case", text("collision"))]);
    let ping = facts.ping();
    assert_eq!(
        rendered(&asking("token"), &ping).replace(&ping.ping_id.to_string(), "01J…"),
        "{\"version\":1,\"ping_id\":\"01J…\",\"deadline_ms\":487,\"test\":false,\
         \"campaign\":\"auto-us\",\"vertical\":\"auto\",\"publisher\":\"p7k2m9qd\",\"geo_source\":\"area_code\",\
         \"caller\":{\"area_code\":\"512\",\"state\":\"TX\",\"zip3\":\"787\",\"token\":\"k1:9f\"},\
         \"stir\":\"A\",\"consent\":true,\"tags\":{\"case\":\"collision\"},\"currency\":\"USD\",\
         \"min_duration_s\":90,\"at\":\"2026-11-20T09:00:00Z\"}"
    );
}

#[test]
fn a_request_is_its_head_and_body_in_one() {
    let signed_at = Timestamp::parse("2026-11-20T09:00:01Z").expect("a moment");
    // Bodies of three digits of bytes, and of four and five.
    for (more, digits) in [(0, 3), (2_000, 4), (20_000, 5)] {
        let (facts, vertical) = (Facts::new(&[]), "v".repeat(more));
        let ping = Ping { vertical: &vertical, ..facts.ping() };
        for secret in [None, Some(b"secret".as_slice())] {
            let request = asking("token").request(&ping, secret, signed_at);
            assert_eq!(format!("{request:?}"), format!("Request({} bytes)", request.bytes().len()));
            let request = String::from_utf8(request.bytes().to_vec()).expect("UTF-8");
            let (head, body) = request.split_once("\r\n\r\n").expect("an empty line");
            assert_eq!(body, rendered(&asking("token"), &ping));
            assert_eq!(body.len().to_string().len(), digits);
            let id = ping.ping_id.to_string();
            let signature = sign::sign(b"secret", &id, signed_at.seconds(), body.as_bytes());
            let signed = format!(
                "\r\nwebhook-id: {id}\r\nwebhook-timestamp: 1795165201\r\nwebhook-signature: {}",
                String::from_utf8_lossy(&signature)
            );
            assert_eq!(
                head,
                format!(
                    "POST /v2/bid?seat=7 HTTP/1.1\r\nhost: bids.example.com\r\ncontent-type: application/json\r\n\
                     accept-encoding: identity\r\nuser-agent: outcry/{}\r\ncontent-length: {}{}",
                    env!("CARGO_PKG_VERSION"),
                    body.len(),
                    if secret.is_some() { signed.as_str() } else { "" }
                )
            );
        }
    }
}

/// What leaves later says less, is as long, and is signed as it is.
#[test]
fn a_request_that_had_to_wait_tells_what_is_left_then() {
    let signed_at = Timestamp::parse("2026-11-20T09:00:01Z").expect("a moment");
    let facts = Facts::new(&[("case", text("collision"))]);
    for secret in [None, Some(b"secret".as_slice())] {
        let mut request = asking("token").request(&facts.ping(), secret, signed_at);
        let made = request.clone();
        for (left, said) in
            [(487, "487"), (401, "401"), (97, " 97"), (100, "100"), (0, "  0"), (5_000, "999")]
        {
            request.retime(left, secret);
            let text = String::from_utf8(request.bytes().to_vec()).expect("UTF-8");
            let expected = String::from_utf8(made.bytes().to_vec()).expect("UTF-8");
            let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
            let (head_then, body_then) = expected.split_once("\r\n\r\n").expect("an empty line");
            assert_eq!(body, body_then.replace(":487,", &format!(":{said},")));
            assert_eq!(json(body)["deadline_ms"], left.min(999));
            let id = facts.ping().ping_id.to_string();
            let [then, now] = [body_then, body].map(|body| {
                let signature = sign::sign(b"secret", &id, signed_at.seconds(), body.as_bytes());
                String::from_utf8_lossy(&signature).into_owned()
            });
            assert_eq!(head, head_then.replace(&then, &now), "{left} ms");
        }
    }
}

#[test]
fn each_policy_says_what_it_may_about_the_caller() {
    let token = r#"{"area_code":"512","state":"TX","zip3":"787","token":"k1:9f"}"#;
    let full = r#"{"area_code":"512","state":"TX","zip3":"787","token":"k1:9f","number":"+15125550123","zip":"78701"}"#;
    let facts = Facts::new(&[]);
    for (policy, caller) in [("token", token), ("none", "{}"), ("full", full)] {
        let ping = json(&rendered(&asking(policy), &facts.ping()));
        assert_eq!(ping["caller"], json(caller), "{policy}");
        assert!(ping.get("floor").is_none(), "{policy} shows no floor unless told to");
    }
    assert_eq!(json(&rendered(&asking("none floor"), &facts.ping()))["floor"], "12.50");
}

#[test]
fn absent_facts_are_left_out_and_short_zips_are_not_told_whole() {
    let facts = Facts::new(&[]);
    let bare = Ping {
        area_code: None,
        state: None,
        zip: None,
        number: None,
        tail: None,
        token: None,
        stir: None,
        floor: None,
        ..facts.ping()
    };
    for policy in ["token", "none", "full floor"] {
        let ping = json(&rendered(&asking(policy), &bare));
        assert_eq!(ping["caller"], json("{}"), "{policy}");
        assert!(ping.get("stir").is_none() && ping.get("floor").is_none(), "{policy}");
    }
    for (zip, zip3) in [("78701", Some("787")), ("78701-1234", Some("787")), ("787", None), ("7870", None)] {
        let ping = json(&rendered(&asking("token"), &Ping { zip: Some(zip), ..facts.ping() }));
        assert_eq!(ping["caller"]["zip3"].as_str(), zip3, "{zip}");
    }
    let early = json(&rendered(&asking("token"), &Ping { area_code: Some(7), ..facts.ping() }));
    assert_eq!(early["caller"]["area_code"], "007", "always three characters");
}

#[test]
fn tags_leave_by_the_campaigns_and_the_buyers_leave() {
    // the buyer's policy | in `ping_tags` | the tag | whether it leaves
    let table = "
        token      | case  | case  | yes
        none       | case  | case  | yes
        token      | other | case  | no
        token      | Case  | case  | no
        token      | email | email | no
        none       | email | email | no
        full       | email | email | no
        token email | email | email | yes
        token email | other | email | no
        token EMAIL | email | email | yes
        token      | ZIP   | ZIP   | no
        token zip  | ZIP   | ZIP   | yes
        token name | dob   | dob   | no
    ";
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let [policy, listed, key, leaves] = cells(row);
        let mut facts = Facts::new(&[(key, text("x"))]);
        facts.ping_tags = vec![listed.to_owned()];
        let ping = json(&rendered(&asking(policy), &facts.ping()));
        assert_eq!(ping["tags"].get(key).is_some(), leaves == "yes", "{row}");
    }
}

fn cells(row: &str) -> [&str; 4] {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    cells.try_into().unwrap_or_else(|_| panic!("four cells: {row}"))
}

#[test]
fn tag_values_keep_their_types_and_cannot_break_out() {
    let facts = Facts::new(&[
        ("quote", text("a\"},\"bid\":\"1\\")),
        ("lines", text("a\r\nb\u{0}")),
        ("age", TagValue::Number("42".into())),
        ("huge", TagValue::Number("1e400".into())),
        ("odd", TagValue::Number("1,\"x\":2".into())),
        ("insured", TagValue::Bool(true)),
    ]);
    let ping = rendered(&asking("token"), &facts.ping());
    assert!(ping.contains(r#""age":42,"huge":1e400,"#), "numbers keep their text: {ping}");
    let tags = &json(&ping.replace("1e400", "0"))["tags"];
    assert_eq!(tags["quote"], "a\"},\"bid\":\"1\\");
    assert_eq!(tags["lines"], "a\r\nb\u{0}");
    assert_eq!(tags["odd"], "1,\"x\":2", "what is no number leaves as text");
    assert_eq!(tags["insured"], true);
    assert_eq!(tags.as_object().map(serde_json::Map::len), Some(6));
}

#[test]
fn the_callers_number_hidden_in_a_tag_does_not_leave() {
    let hiding = [
        text("+15125550123"),
        text("5125550123"),
        text("555-0123"),
        text("(512) 555 01 23"),
        text("call 512.555.0123 after six"),
        text("tel:+1-512-555-0123;ext=4"),
        text("https://example.com/?ani=%2B15125550123"),
        text("5x1x2x5x5x5x0x1x2x3"),
        text("512\u{ff15}\u{ff15}\u{ff15}\u{ff10}\u{ff11}\u{ff12}\u{ff13}"),
        text("\u{0665}\u{0665}\u{0665}\u{0660}\u{0661}\u{0662}\u{0663}"),
        text("512555\u{ff10}123"),
        TagValue::Number("15125550123".into()),
        TagValue::Number("1.5125550123e10".into()),
    ];
    for value in hiding {
        let facts = Facts::new(&[("memo", value.clone()), ("case", text("collision"))]);
        for policy in ["token", "none", "token email name"] {
            let ping = json(&rendered(&asking(policy), &facts.ping()));
            assert_eq!(ping["tags"], json(r#"{"case":"collision"}"#), "{policy} {value:?}");
        }
        let ping = json(&rendered(&asking("full"), &facts.ping()));
        assert!(ping["tags"].get("memo").is_some(), "full tells it anyway: {value:?}");
    }
    for harmless in ["2026-11-20T09:00:00Z", "1997", "policy 5550124", "512", "a1b2c3"] {
        let facts = Facts::new(&[("memo", text(harmless))]);
        let ping = json(&rendered(&asking("token"), &facts.ping()));
        assert_eq!(ping["tags"]["memo"], harmless);
    }
}

/// Calls with every fact drawn, the number strewn over tags in every form, under every policy.
#[test]
fn no_ping_but_a_full_one_carries_the_number() {
    let mut draw = Draw::new(4);
    for _ in 0..2_000 {
        let digits = format!("1{}{:07}", 200 + draw.below(800), 2_000_000 + draw.below(8_000_000));
        let number = E164::parse(&format!("+{digits}")).expect("E.164");
        let (area, rest) = (&digits[1..4], &digits[4..]);
        let forms = [
            digits.clone(),
            format!("+{digits}"),
            format!("({area}) {}-{}", &rest[..3], &rest[3..]),
            format!("{area}.{}.{}", &rest[..3], &rest[3..]),
            format!("x{rest}y"),
            rest.chars().map(|c| format!("{c} ")).collect(),
        ];
        let mut drawn = |key: &'static str| (key, text(&forms[draw.below(forms.len() as u64) as usize]));
        let words = [drawn("a"), drawn("email"), drawn("b"), ("n", TagValue::Number(digits.as_str().into()))];
        let facts = Facts::new(&words);
        let ping = Ping { number: Some(number), tail: Tail::of(&number.reveal()), ..facts.ping() };
        for policy in ["token", "none", "token email", "none floor name email zip"] {
            let shown = rendered(&asking(policy), &ping);
            // Ids, codes and times are ours; what could carry digits of the caller's is the rest.
            let shown = shown.replace(&ping.ping_id.to_string(), "");
            let plain: String = shown.chars().filter(char::is_ascii_digit).collect();
            assert!(!plain.contains(rest), "{policy} tells {rest}: {shown}");
        }
        let shown = rendered(&asking("full"), &ping);
        assert!(shown.contains(&format!("\"number\":\"+{digits}\"")), "{shown}");
    }
}

#[test]
fn pseudonyms_differ_by_buyer_and_by_key() {
    let number = |text: &str| E164::parse(text).expect("E.164");
    let buyer = |id: &str| BuyerId::parse(id).expect("a slug");
    let publisher = |id: &str| PublisherId::parse(id).expect("a slug");
    let key = b"exchange-key".as_slice();

    let token = Pseudonyms::new(key, &buyer("acme")).caller(number(NUMBER));
    assert_eq!(
        token,
        Pseudonyms::new(key, &buyer("acme")).caller(number(NUMBER)),
        "the same caller is known again"
    );
    let digits = token.as_str().strip_prefix("k1:").expect("the version of the name");
    assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token:?}");
    let others = [
        Pseudonyms::new(key, &buyer("zenith")).caller(number(NUMBER)),
        Pseudonyms::new(b"another-key", &buyer("acme")).caller(number(NUMBER)),
        Pseudonyms::new(key, &buyer("acme")).caller(number("+15125550124")),
    ];
    assert!(!others.contains(&token));

    let code = Pseudonyms::new(key, &buyer("acme")).publisher(PublisherIx(0), &publisher("north"));
    assert_eq!(code, Pseudonyms::new(key, &buyer("acme")).publisher(PublisherIx(0), &publisher("north")));
    assert!(code.as_str().bytes().all(|b| b"0123456789abcdefghjkmnpqrstvwxyz".contains(&b)), "{code:?}");
    let others = [
        Pseudonyms::new(key, &buyer("zenith")).publisher(PublisherIx(0), &publisher("north")),
        Pseudonyms::new(b"another-key", &buyer("acme")).publisher(PublisherIx(0), &publisher("north")),
        Pseudonyms::new(key, &buyer("acme")).publisher(PublisherIx(0), &publisher("south")),
    ];
    assert!(!others.contains(&code));
}

#[test]
fn codes_that_are_kept_are_those_of_their_publishers() {
    let names = Pseudonyms::new(b"exchange-key", &BuyerId::parse("acme").expect("a slug"));
    let afresh = |at: u32, id: &PublisherId| {
        Pseudonyms::new(b"exchange-key", &BuyerId::parse("acme").expect("a slug"))
            .publisher(PublisherIx(at), id)
    };
    // Far more than are kept, some of them with the same place, and the last two with numbers that are too large to be kept.
    let order = (0..40).chain((0..40).rev()).chain([3, 11, 3, 3, 19, 1 << 24, (1 << 24) + 8, 1 << 24]);
    for at in order {
        let id = PublisherId::parse(&format!("publisher-{at}")).expect("a slug");
        assert_eq!(names.publisher(PublisherIx(at), &id), afresh(at, &id), "{at}");
    }
}

/// Computed with another implementation of HMAC-SHA256.
#[test]
fn pseudonyms_are_pinned() {
    let buyer = BuyerId::parse("acme").expect("a slug");
    let number = E164::parse(NUMBER).expect("E.164");
    let publisher = PublisherId::parse("north").expect("a slug");
    assert_eq!(
        Pseudonyms::new(b"exchange-key", &buyer).caller(number).as_str(),
        "k1:a3b1985b1f0fc36a1c0e639edd4a57a7"
    );
    assert_eq!(
        Pseudonyms::new(b"exchange-key", &buyer).publisher(PublisherIx(0), &publisher).as_str(),
        "r8t8xsxw"
    );
}

#[test]
fn the_host_header_names_ports_only_where_needed() {
    // tls | host | port | header
    let table = "
        yes | bids.example.com | 443  | bids.example.com
        yes | bids.example.com | 8443 | bids.example.com:8443
        yes | bids.example.com | 80   | bids.example.com:80
        no  | bids.example.com | 80   | bids.example.com
        no  | 127.0.0.1        | 9000 | 127.0.0.1:9000
        no  | ::1              | 80   | [::1]
        yes | [2001:db8::1]    | 8443 | [2001:db8::1]:8443
    ";
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let [tls, host, port, header] = cells(row);
        let endpoint = Endpoint {
            tls: tls == "yes",
            host: host.to_owned(),
            port: port.parse().expect("a port"),
            ..endpoint()
        };
        let asking =
            Asking::compile(b"exchange-key", &buyer(Disclosure::Token), &target(&endpoint), &endpoint);
        let head = format!("POST /v2/bid?seat=7 HTTP/1.1\r\nhost: {header}\r\n");
        let facts = Facts::new(&[]);
        let request = asking.request(&facts.ping(), None, Timestamp::default());
        let request = request.bytes();
        assert!(request.starts_with(head.as_bytes()), "{row}: {}", String::from_utf8_lossy(request));
    }
}
