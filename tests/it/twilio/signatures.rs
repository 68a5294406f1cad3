//! Requests signed by Twilio's library, and the same with any byte changed.

use outcry::carrier::twilio::form::Form;
use outcry::carrier::twilio::signature::{Signed, verify};
use outcry::domain::catalog::Secret;

use crate::support::twilio::Twilio;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OLD_TOKEN: &str = "fedcba9876543210fedcba9876543210";
const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

const PAIRS: &[(&str, &str)] = &[
    ("CallSid", "CA0123456789abcdef0123456789abcdef"),
    ("From", "+15125550123"),
    ("To", "+18005550100"),
    ("FromCity", " LOS ANGELES "),
    ("FromZip", ""),
    ("CallerName", "José O'Neil & Söhne ☎ 100%=a"),
    ("Tag", "b"),
    ("Tag", "a"),
    ("Tag", "b"),
    ("AAA", "\tx\r\n"),
];

/// A request as it goes over the wire.
#[derive(Clone)]
struct Sent {
    is_get: bool,
    public_url: &'static str,
    target: String,
    content_type: &'static str,
    body: Vec<u8>,
    signature: String,
    settings: Option<&'static str>,
}

impl Sent {
    fn is_taken(&self) -> bool {
        self.is_taken_with(&[TOKEN])
    }

    fn is_taken_with(&self, tokens: &[&str]) -> bool {
        let secrets: Vec<Secret> = tokens.iter().map(|token| Secret(token.as_bytes().to_vec())).collect();
        verify(&self.signed(), &secrets)
    }

    fn signed(&self) -> Signed<'_> {
        Signed {
            is_get: self.is_get,
            public_url: self.public_url,
            path_and_query: &self.target,
            content_type: Some(self.content_type),
            body: &self.body,
            signature: Some(self.signature.as_bytes()),
            settings: self.settings.map(str::as_bytes),
        }
    }
}

/// As a form is sent: everything escaped that may be.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let text = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    pairs.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect::<Vec<_>>().join("&")
}

fn post(
    twilio: &mut Twilio,
    signed_base: &str,
    public_url: &'static str,
    target: &str,
    settings: Option<&'static str>,
) -> Sent {
    let algorithm = if settings.is_some() { "HMAC_SHA256" } else { "HMAC_SHA1" };
    Sent {
        is_get: false,
        public_url,
        target: target.to_owned(),
        content_type: FORM,
        body: encoded(PAIRS).into(),
        signature: twilio.sign_form(&format!("{signed_base}{target}"), PAIRS, TOKEN, algorithm),
        settings,
    }
}

/// One of each form.
fn every_form(twilio: &mut Twilio) -> Vec<(&'static str, Sent)> {
    let shared = Some("key=webhooks_sharedkey_0123,algorithm=HMAC_SHA256");
    let base = "https://calls.example.com";
    let form = post(twilio, base, base, "/twilio/voice", None);
    let query = format!("/twilio/voice?{}", encoded(PAIRS));
    let get = Sent {
        is_get: true,
        signature: twilio.sign_url(&format!("{base}{query}"), TOKEN, "HMAC_SHA1"),
        target: query,
        content_type: "",
        body: Vec::new(),
        ..form.clone()
    };
    let json = r#"{"CallSid":"CA1","city":"Zürich"}"#;
    let hashed = |twilio: &mut Twilio, settings: Option<&'static str>, algorithm| {
        let (signature, url) = twilio.sign_json(&format!("{base}/twilio/events?a=1"), json, TOKEN, algorithm);
        let target = url.strip_prefix(base).unwrap().to_owned();
        Sent {
            target,
            content_type: "application/json",
            body: json.into(),
            signature,
            settings,
            ..form.clone()
        }
    };
    vec![
        ("JSON", hashed(twilio, None, "HMAC_SHA1")),
        ("JSON, shared key", hashed(twilio, shared, "HMAC_SHA256")),
        ("form, query", post(twilio, base, base, "/twilio/dial/01J/1?token=00ff&x=1", None)),
        ("form, shared key", post(twilio, base, base, "/twilio/voice", shared)),
        (
            "form, path prefix",
            post(twilio, "https://calls.example.com/in", "https://calls.example.com/in", "/voice", None),
        ),
        ("form, port dropped", post(twilio, base, "https://calls.example.com:8443", "/v", None)),
        (
            "form, port kept",
            post(twilio, "https://calls.example.com:8443", "https://calls.example.com:8443", "/v", None),
        ),
        ("form, port said", post(twilio, "https://calls.example.com:443", base, "/v", None)),
        ("form, http", post(twilio, "http://127.0.0.1:8080", "http://127.0.0.1:8080", "/v", None)),
        ("GET", get),
        ("form", form),
    ]
}

#[test]
fn what_twilio_signs_is_taken() {
    let mut twilio = Twilio::start();
    for (form, sent) in every_form(&mut twilio) {
        assert!(sent.is_taken(), "{form}");
        assert!(sent.is_taken_with(&[OLD_TOKEN, TOKEN]), "{form}: any of the secrets may sign");
        assert!(!sent.is_taken_with(&[OLD_TOKEN]), "{form}: another secret");
        assert!(!sent.is_taken_with(&[]), "{form}: no secret");
        assert!(
            !verify(&Signed { signature: None, ..sent.signed() }, &[Secret(TOKEN.into())]),
            "{form}: no header"
        );
        let other = Sent { public_url: "https://calls.example.org", ..sent.clone() };
        assert!(!other.is_taken(), "{form}: another host");
        let algorithm = if sent.settings.is_some() { None } else { Some("algorithm=HMAC_SHA256") };
        assert!(!Sent { settings: algorithm, ..sent.clone() }.is_taken(), "{form}: another algorithm");
    }
}

#[test]
fn parameters_are_read_as_they_were_signed() {
    let mut twilio = Twilio::start();
    for (form, sent) in every_form(&mut twilio) {
        let read: Form = sent.signed().form().unwrap();
        let read: Vec<(&str, &str)> = read.iter().collect();
        let wanted = if form.starts_with("JSON") { &[] } else { PAIRS };
        assert_eq!(read, wanted, "{form}");
    }
}

/// What takes the place of each byte in turn; the separators of a form are among them.
const OTHERS: &[u8] = b"Qz7_&=";

#[test]
fn any_byte_changed_is_refused() {
    let mut twilio = Twilio::start();
    let mut refused = 0;
    for (form, sent) in every_form(&mut twilio) {
        let mut refuse = |what: &str, at: usize, spoilt: Sent| {
            assert!(!spoilt.is_taken(), "{form}: byte {at} of {what}");
            refused += 1;
        };
        let spoil = |bytes: &[u8], at: usize, other: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = other;
            bytes
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        for other in OTHERS.iter().copied() {
            let is_other = |byte: u8| byte != other;
            for at in (0..sent.body.len()).filter(|at| is_other(sent.body[*at])) {
                // The scheme joins names and values without separators: which of the two stands there it cannot tell.
                if b"&=".contains(&other) && b"&=".contains(&sent.body[at]) {
                    continue;
                }
                refuse("the body", at, Sent { body: spoil(&sent.body, at, other), ..sent.clone() });
            }
            let target = sent.target.as_bytes();
            for at in (0..target.len()).filter(|at| is_other(target[*at])) {
                refuse("the URL", at, Sent { target: text(spoil(target, at, other)), ..sent.clone() });
            }
            let signature = sent.signature.as_bytes();
            for at in (0..signature.len()).filter(|at| is_other(signature[*at])) {
                let signature = text(spoil(signature, at, other));
                refuse("the signature", at, Sent { signature, ..sent.clone() });
            }
        }
        for at in 0..TOKEN.len() {
            let token = text(spoil(TOKEN.as_bytes(), at, b'Q'));
            assert!(!sent.is_taken_with(&[&token]), "{form}: byte {at} of the secret");
        }
    }
    assert!(refused > 10_000, "{refused}");
}
