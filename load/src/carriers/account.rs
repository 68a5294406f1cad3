//! An account with Twilio, and the forms that are signed with its secret: signed here by itself, as Twilio's documentation
//! says it is done. What is said in them is in `twilio`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::Floor;
use super::text::push_form;

/// An account, and how its number is set up.
#[derive(Clone, Debug)]
pub struct Twilio {
    pub account_sid: String,
    /// What requests are signed with.
    pub auth_token: String,
    /// What URLs of the exchange begin with, as they are signed, without a trailing slash. They are sent to the plan's
    /// `base_url`.
    pub public_url: String,
    /// Paths of the voice webhook, and of the status callback of the caller's call.
    pub voice_path: String,
    pub status_path: String,
}

impl Twilio {
    /// An account with the usual paths.
    pub fn new(
        account_sid: impl Into<String>,
        auth_token: impl Into<String>,
        public_url: impl Into<String>,
    ) -> Twilio {
        Twilio {
            account_sid: account_sid.into(),
            auth_token: auth_token.into(),
            public_url: public_url.into(),
            voice_path: "/twilio/voice".to_owned(),
            status_path: "/twilio/status".to_owned(),
        }
    }

    /// The base64 of the HMAC-SHA1 over the URL and the parameters, sorted by name.
    pub(super) fn signature(&self, url: &str, form: &Form) -> String {
        let mut sorted: Vec<&(Cow<'static, str>, String)> = form.iter().collect();
        sorted.sort();
        let mut mac = Hmac::<Sha1>::new_from_slice(self.auth_token.as_bytes()).expect("HMAC takes any key");
        mac.update(url.as_bytes());
        for (name, value) in sorted {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
        STANDARD.encode(mac.finalize().into_bytes())
    }

    /// Where a URL of the exchange is sent to.
    pub(super) fn place(&self, floor: &Floor, url: &str) -> String {
        match url.strip_prefix(&self.public_url) {
            Some(path) => format!("{}{path}", floor.plan.base_url.trim_end_matches('/')),
            None => url.to_owned(),
        }
    }
}

/// Parameters in the order they are sent.
pub(super) type Form = Vec<(Cow<'static, str>, String)>;

/// The header that a signature is in.
pub(super) const SIGNATURE: &str = "x-twilio-signature";

/// As the body of a request.
pub(super) fn encoded(form: &Form) -> String {
    let mut body = String::with_capacity(768);
    for (name, value) in form {
        if !body.is_empty() {
            body.push('&');
        }
        push_form(&mut body, name);
        body.push('=');
        push_form(&mut body, value);
    }
    body
}

/// A parameter.
pub(super) fn pair(name: &'static str, value: impl Into<String>) -> (Cow<'static, str>, String) {
    (name.into(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_documentation() {
        // The worked example of Twilio's page on webhook security.
        let twilio = Twilio::new("AC1", "12345", "https://mycompany.com");
        let form = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("To", "+18005551212"),
        ];
        let form = form.into_iter().rev().map(|(name, value)| pair(name, value)).collect();
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(twilio.signature(url, &form), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
    }
}
