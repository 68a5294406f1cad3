//! Twilio's own library, as a process: signs requests and judges documents. It is never the program under test.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The library behind `tests/tools/twilio.py`, which says what it can be asked.
pub struct Twilio {
    python: PathBuf,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Twilio {
    /// Starts it with the Python of `OUTCRY_PYTHON`, or the one that `tests/run.sh` sets up.
    pub fn start() -> Twilio {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("OUTCRY_PYTHON")
            .map_or(root.join("target/tools/python/bin/python"), PathBuf::from);
        let mut child = Command::new(&python)
            .arg(root.join("tests/tools/twilio.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing(&python, &error.to_string())));
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Twilio { python, child, questions, answers }
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
        let answer = self.ask(json!({"op": "rebuild", "twiml": twiml}));
        if answer["ok"] == true { Ok(()) } else { Err(answer["why"].as_str().expect("a reason").to_owned()) }
    }

    fn sign(&mut self, mut question: Value) -> (String, String) {
        question["op"] = "sign".into();
        let answer = self.ask(question);
        let text = |key: &str| answer[key].as_str().expect(key).to_owned();
        (text("signature"), text("url"))
    }

    fn ask(&mut self, question: Value) -> Value {
        let sent = writeln!(self.questions.as_mut().unwrap(), "{question}");
        let mut line = String::new();
        let read = sent.and_then(|()| self.answers.read_line(&mut line)).unwrap_or(0);
        assert!(read > 0, "{}", missing(&self.python, "it ended"));
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["error"].is_null(), "{question}: {answer}");
        answer
    }
}

impl Drop for Twilio {
    /// It ends by itself when nobody can ask any more.
    fn drop(&mut self) {
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}

fn missing(python: &std::path::Path, why: &str) -> String {
    format!(
        "{}: {why}. These tests need a Python with the packages of tests/tools/requirements.txt: tests/run.sh sets one \
         up, or name another in OUTCRY_PYTHON",
        python.display()
    )
}
