//! A judge of `tests/tools` as a process: one JSON object a line, question and answer. It is never the program under test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A program of `tests/tools`, which says itself what it can be asked.
pub struct Judge {
    python: PathBuf,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    /// Starts it with the Python of `OUTCRY_PYTHON`, or the one that `tests/run.sh` sets up.
    pub fn start(program: &str) -> Judge {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("OUTCRY_PYTHON")
            .map_or(root.join("target/tools/python/bin/python"), PathBuf::from);
        let mut child = Command::new(&python)
            .arg(root.join("tests/tools").join(program))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing(&python, &error.to_string())));
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Judge { python, child, questions, answers }
    }

    /// Its answer, which is no error.
    pub fn ask(&mut self, question: &Value) -> Value {
        let sent = writeln!(self.questions.as_mut().unwrap(), "{question}");
        let mut line = String::new();
        let read = sent.and_then(|()| self.answers.read_line(&mut line)).unwrap_or(0);
        assert!(read > 0, "{}", missing(&self.python, "it ended"));
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["error"].is_null(), "{question}: {answer}");
        answer
    }
}

impl Drop for Judge {
    /// It ends by itself when nobody can ask any more.
    fn drop(&mut self) {
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}

fn missing(python: &Path, why: &str) -> String {
    format!(
        "{}: {why}. These tests need a Python with the packages of tests/tools/requirements.txt: tests/run.sh sets one \
         up, or name another in OUTCRY_PYTHON",
        python.display()
    )
}
