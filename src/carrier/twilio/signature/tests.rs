//! The published vectors, every form of a signed request, and ten thousand spoilt ones.

use super::*;

const TOKEN: &str = "12345";
const PARAMETERS: &str = "CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310\
    &To=%2B18005551212";
const MYAPP: &str = "/myapp.php?foo=1&bar=2";

fn post<'a>(public_url: &'a str, target: &'a str, body: &'a str, signature: &'a str) -> Signed<'a> {
    Signed {
        is_get: false,
        public_url,
        path_and_query: target,
        content_type: Some("application/x-www-form-urlencoded; charset=UTF-8"),
        body: body.as_bytes(),
        signature: Some(signature.as_bytes()),
        settings: None,
    }
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret(text.as_bytes().to_vec())).collect()
}

fn holds(request: &Signed<'_>) -> bool {
    verify(request, &secrets(&[TOKEN]))
}

/// The signature of a text that is written out, so that rows do not depend on what is tested.
fn signature(text: &str, secret: &str, is_sha256: bool) -> String {
    if is_sha256 {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(text.as_bytes());
        return STANDARD.encode(mac.finalize().into_bytes());
    }
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[test]
fn the_published_vectors_hold() {
    let first = post("https://example.com", MYAPP, PARAMETERS, "L/OH5YylLD5NRKLltdqwSvS0BnU=");
    let second = post("https://mycompany.com", MYAPP, PARAMETERS, "GvWf1cFY/Q7PnoempGyD5oXAezc=");
    let third = Signed {
        signature: Some(b"/Px0ZZziCxf9Zt7wehmYS+fbCh+oLQi2VrfCqcV1vPM="),
        settings: Some(b"key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"),
        ..second
    };
    for vector in [first, second, third] {
        assert!(holds(&vector));
        assert!(verify(&vector, &secrets(&["other", "67890", TOKEN])), "any of them may sign");
        assert!(!verify(&vector, &secrets(&["other", "12346"])));
        assert!(!verify(&vector, &[]));
        assert!(!holds(&Signed { signature: None, ..vector }));
    }
    assert!(!holds(&Signed { settings: None, ..third }), "the algorithm is that of the header");
    assert!(!holds(&Signed { public_url: "https://example.com", ..second }));
}

#[test]
fn every_form_of_a_request() {
    // What is signed, written out; public URL; path and query; what is wrong with it, if anything.
    let form_rows = [
        ("https://x.example/vA1B2", "https://x.example", "/v", "B=2&A=1", true),
        ("https://x.example/vA1B2", "https://x.example", "/v", "A=1&B=3", false),
        ("https://x.example/vA1A2B", "https://x.example", "/v", "A=2&B=&A=1&A=2", true),
        ("https://x.example/vA1A2A2B", "https://x.example", "/v", "A=2&B=&A=1&A=2", false),
        ("https://x.example/vB2a1é3", "https://x.example", "/v", "a=1&%C3%A9=3&B=2", true),
        ("https://x.example/vName  José\t", "https://x.example", "/v", "Name=++Jos%C3%A9%09", true),
        ("https://x.example/v", "https://x.example", "/v", "", true),
        ("https://x.example/v/A1", "https://x.example", "/v", "A=1", false),
        ("https://x.example/vA1", "https://x.example", "/v/", "A=1", false),
        ("http://x.example/vA1", "https://x.example", "/v", "A=1", false),
        // Ports: kept, dropped or said although it is the usual one.
        ("https://x.example:8443/vA1", "https://x.example:8443", "/v", "A=1", true),
        ("https://x.example/vA1", "https://x.example:8443", "/v", "A=1", true),
        ("https://x.example:443/vA1", "https://x.example", "/v", "A=1", true),
        ("http://x.example:80/vA1", "http://x.example", "/v", "A=1", true),
        ("http://x.example:443/vA1", "http://x.example", "/v", "A=1", false),
        ("https://x.example:8444/vA1", "https://x.example:8443", "/v", "A=1", false),
        ("https://[2001:db8::1]/vA1", "https://[2001:db8::1]:8443", "/v", "A=1", true),
        ("https://[2001:db8::1]:443/vA1", "https://[2001:db8::1]", "/v", "A=1", true),
        // Users and fragments are never signed; a path prefix is.
        ("https://x.example/vA1", "https://me:word@x.example", "/v", "A=1", true),
        ("https://x.example/vA1", "https://x.example", "/v#ct=1000", "A=1", true),
        ("https://x.example/v?k=1A1", "https://x.example", "/v?k=1#rc=2", "A=1", true),
        ("https://x.example/in/v?k=1A1", "https://x.example:8443/in", "/v?k=1", "A=1", true),
        // A query escaped otherwise than it was sent.
        ("https://x.example/v?n=O'BA1", "https://x.example", "/v?n=O'B", "A=1", true),
        ("https://x.example/v?n=O%27BA1", "https://x.example", "/v?n=O'B", "A=1", true),
        ("https://x.example/v?n=O'BA1", "https://x.example", "/v?n=O%27B", "A=1", true),
        ("https://x.example/v?n=O%20BA1", "https://x.example", "/v?n=O+B", "A=1", true),
        ("https://x.example/v?n=O'CA1", "https://x.example", "/v?n=O%27B", "A=1", false),
    ];
    for (signed, public_url, target, body, wanted) in form_rows {
        let signature = signature(signed, TOKEN, false);
        assert_eq!(holds(&post(public_url, target, body, &signature)), wanted, "{signed} of {target} {body}");
    }
}

#[test]
fn what_is_not_covered_is_refused() {
    let url = "https://x.example/v?A=1";
    let signature_of_url = signature(url, TOKEN, false);
    let plain = post("https://x.example", "/v?A=1", "", &signature_of_url);
    let get = Signed { is_get: true, content_type: None, ..plain };
    let forms: Vec<_> = get.form().expect("a form").iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert!(holds(&get) && forms == ["A=1"], "{forms:?}");
    assert!(!holds(&Signed { body: b"A=2", ..get }), "a body nobody signed");
    assert!(!holds(&Signed { body: b"{}", content_type: Some("application/json"), ..plain }));
    assert!(!holds(&Signed { body: b"A=2", content_type: None, ..plain }));
    assert!(!holds(&Signed { body: b"A=%zz", ..plain }));

    let body = r#"{"To":"+18005551212"}"#;
    let target = format!("/v?A=1&bodySHA256={}", hex(&Sha256::digest(body)));
    let signature = signature(&format!("https://x.example{target}"), TOKEN, false);
    let json = Signed {
        content_type: Some("application/json"),
        ..post("https://x.example", &target, body, &signature)
    };
    assert!(holds(&json));
    assert_eq!(json.form(), Ok(Form::default()), "JSON has no parameters");
    assert!(holds(&Signed { is_get: true, ..json }));
    assert!(!holds(&Signed { body: br#"{"To":"+18005551213"}"#, ..json }), "the hash is another");
    assert!(!holds(&Signed { content_type: Some("application/x-www-form-urlencoded"), ..json }));
    assert!(!holds(&Signed { path_and_query: &target.to_uppercase(), ..json }));
}

#[test]
fn headers_are_read_strictly() {
    let url = "https://x.example/vA1";
    let (sha1, sha256) = (signature(url, TOKEN, false), signature(url, TOKEN, true));
    for (settings, signature, wanted) in [
        ("", &sha1, true),
        ("key=SK1", &sha1, true),
        ("key=SK1,algorithm=", &sha1, true),
        ("key=SK1,algorithm=HMAC_SHA1", &sha1, true),
        ("key=SK1,algorithm=HMAC_SHA256", &sha256, true),
        (" algorithm = hmac_sha256 , key=SK1", &sha256, true),
        ("algorithm=HMAC_SHA256,algorithm=HMAC_SHA1", &sha256, true),
        ("algorithm=HMAC_SHA256,algorithm=HMAC_SHA1", &sha1, false),
        ("key=SK1,algorithm=HMAC_SHA256", &sha1, false),
        ("key=SK1,algorithm=HMAC_SHA1", &sha256, false),
        ("", &sha256, false),
        ("key=SK1,algorithm=HMAC_SHA512", &sha1, false),
        ("key=SK1,algorithm=none", &sha1, false),
        ("algorithm=HMAC-SHA1", &sha1, false),
    ] {
        let request = Signed {
            settings: Some(settings.as_bytes()),
            ..post("https://x.example", "/v", "A=1", signature)
        };
        assert_eq!(holds(&request), wanted, "{settings}");
    }
    assert!(!holds(&Signed { settings: Some(b"\xff"), ..post("https://x.example", "/v", "A=1", &sha1) }));
    for garbled in ["", "=", "AAAA", "not base64!", &sha1[..27], &format!("{sha1}\n"), &format!(" {sha1}")] {
        assert!(!holds(&post("https://x.example", "/v", "A=1", garbled)), "{garbled:?}");
    }
}

/// A request that can be spoilt in every part.
#[derive(Clone, PartialEq)]
struct Whole {
    is_get: bool,
    content_type: &'static str,
    target: Vec<u8>,
    body: Vec<u8>,
    signature: Vec<u8>,
    settings: Vec<u8>,
    secret: Vec<u8>,
}

impl Whole {
    fn new(is_get: bool, content_type: &'static str, target: &str, body: &str, settings: &str) -> Whole {
        let appended = match (is_get, content_type) {
            (false, FORM) => pairs(body.as_bytes()).expect("a form").concat(),
            _ => String::new(),
        };
        let signed = format!("https://x.example{target}{appended}");
        Whole {
            is_get,
            content_type,
            target: target.into(),
            body: body.into(),
            signature: signature(&signed, TOKEN, settings.contains("SHA256")).into(),
            settings: settings.into(),
            secret: TOKEN.into(),
        }
    }

    fn holds(&self) -> bool {
        let target = String::from_utf8_lossy(&self.target);
        let request = Signed {
            is_get: self.is_get,
            public_url: "https://x.example",
            path_and_query: &target,
            content_type: Some(self.content_type),
            body: &self.body,
            signature: Some(&self.signature),
            settings: Some(&self.settings),
        };
        verify(&request, &[Secret(self.secret.clone())])
    }

    /// What the request says, worked out without the code under test: two that say the same are one request. The
    /// parts of a form are joined as the scheme joins them, since it cannot tell where one ends and the next begins.
    fn says(&self) -> (String, Vec<u8>, String, Vec<u8>, Vec<u8>) {
        let target = String::from_utf8_lossy(&self.target).into_owned();
        let target = target.split('#').next().unwrap_or("").to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = loose(query.as_bytes());
        let parameters = pairs(&self.body).filter(|_| self.content_type == FORM && !self.is_get);
        let body = parameters.map_or(self.body.clone(), |pairs| pairs.concat().into_bytes());
        let settings = String::from_utf8_lossy(&self.settings);
        let mut parts = settings.split(',').map(|part| part.split_once('=').unwrap_or((part, "")));
        let named = parts.find(|(name, value)| name.trim() == "algorithm" && !value.trim().is_empty());
        let algorithm = named.map_or("HMAC_SHA1".to_owned(), |(_, value)| value.trim().to_ascii_uppercase());
        // HMAC fills a key up with zeros, so those at its end are no part of it.
        let end = self.secret.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        (format!("{path}?{query}"), body, algorithm, self.signature.clone(), self.secret[..end].to_vec())
    }
}

/// Escapes undone, one by one.
fn loose(text: &[u8]) -> String {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let code = text.get(at + 1..at + 3).and_then(|pair| str::from_utf8(pair).ok());
        let code = code.filter(|_| text[at] == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(code.unwrap_or(if text[at] == b'+' { b' ' } else { text[at] }));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Names with values of a form, sorted, each once; `None` where there is an escape that is none.
fn pairs(body: &[u8]) -> Option<Vec<String>> {
    let pieces = body.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    let mut pairs = Vec::new();
    for piece in pieces {
        let bad = |at: usize| {
            piece[at] == b'%'
                && !piece.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
        };
        if (0..piece.len()).any(bad) {
            return None;
        }
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        pairs.push((loose(halves.next().unwrap_or(b"")), loose(halves.next().unwrap_or(b""))));
    }
    pairs.sort();
    pairs.dedup();
    Some(pairs.into_iter().map(|(name, value)| name + &value).collect())
}

/// A little chance, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// One byte changed, taken out, put in or doubled.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let letters = b"0123456789abcdefABCDEF+-=&%?/#' HMAC_SHA,x\x00\xc3\xa9\xff";
        let letter = letters[self.below(letters.len())];
        let at = self.below(bytes.len() + 1);
        match (self.below(4), at < bytes.len()) {
            (0, true) => bytes[at] = letter,
            (1, true) => bytes[at] ^= 1 << self.below(8),
            (2, true) => drop(bytes.remove(at)),
            _ => bytes.insert(at, letter),
        }
    }
}

#[test]
fn ten_thousand_spoilt_requests_are_all_refused() {
    let json = r#"{"CallSid":"CA1","Digits":"12"}"#;
    let hashed = format!("/v?k=1&bodySHA256={}", hex(&Sha256::digest(json)));
    let shared = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256";
    let signed = [
        Whole::new(false, FORM, MYAPP, PARAMETERS, ""),
        Whole::new(false, FORM, "/twilio/voice", "B=+x&A=%C3%A9&B=y&C=&B=y", "key=SK1,algorithm=HMAC_SHA1"),
        Whole::new(false, FORM, "/twilio/dial/1/2?token=00ff", PARAMETERS, shared),
        Whole::new(true, "", "/v?CallSid=CA1&From=%2B1512&Name=O'Brien", "", ""),
        Whole::new(false, "application/json", &hashed, json, shared),
    ];
    signed.iter().for_each(|whole| assert!(whole.holds()));
    let mut dice = Dice(20_261_120);
    let (mut refused, mut the_same) = (0, 0);
    while refused < 12_000 {
        let good = &signed[dice.below(signed.len())];
        let mut spoilt = good.clone();
        match dice.below(6) {
            0 | 1 => dice.spoil(&mut spoilt.body),
            2 => dice.spoil(&mut spoilt.target),
            3 => dice.spoil(&mut spoilt.signature),
            4 => dice.spoil(&mut spoilt.secret),
            _ => dice.spoil(&mut spoilt.settings),
        }
        if spoilt.says() == good.says() {
            the_same += 1;
            assert!(the_same < 4_000, "too few of them say something else");
            continue;
        }
        let texts = [&spoilt.target, &spoilt.body, &spoilt.signature, &spoilt.settings, &spoilt.secret];
        assert!(!spoilt.holds(), "{:?}", texts.map(|text| String::from_utf8_lossy(text)));
        refused += 1;
    }
}
