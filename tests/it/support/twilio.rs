//! Twilio's own library, as a process: signs requests and judges documents. It is never the program under test.

use serde_json::{Value, json};

use super::python::Judge;

/// The library behind `tests/tools/twilio.py`, which says what it can be asked.
pub struct Twilio(Judge);

impl Twilio {
    /// Starts it.
    pub fn start() -> Twilio {
        Twilio(Judge::start("twilio.py"))
    }

    /// The signature of a form sent to this URL.
    pub fn sign_form(&mut self, url: &str, pairs: &[(&str, &str)], token: &str, algorithm: &str) -> String {
        let params: Vec<[&str; 2]> = pairs.iter().map(|(name, value)| [*name, *value]).collect();
        self.sign(json!({"url": url, "params": params, "token": token, "algorithm": algorithm})).0
    }

    /// The signature of a URL that is asked with `GET`.
    pub fn sign_url(&mut self, url: &str, token: &str, algorithm: &str) -> String {
        self.sign(json!({"url": url, "token": token, "algorithm": algorithm})).0
    }

    /// The signature of a JSON body, and the URL with its hash.
    pub fn sign_json(&mut self, url: &str, body: &str, token: &str, algorithm: &str) -> (String, String) {
        self.sign(json!({"url": url, "json": body, "token": token, "algorithm": algorithm}))
    }

    /// Whether a document is TwiML and nothing else: built again by the library it is the same.
    pub fn rebuild(&mut self, document: &[u8]) -> Result<(), String> {
        let twiml = str::from_utf8(document).expect("a document is UTF-8");
        let answer = self.0.ask(&json!({"op": "rebuild", "twiml": twiml}));
        if answer["ok"] == true { Ok(()) } else { Err(answer["why"].as_str().expect("a reason").to_owned()) }
    }

    fn sign(&mut self, mut question: Value) -> (String, String) {
        question["op"] = "sign".into();
        let answer = self.0.ask(&question);
        let text = |key: &str| answer[key].as_str().expect(key).to_owned();
        (text("signature"), text("url"))
    }
}
