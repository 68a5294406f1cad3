//! What is wrong in a file: where, what, what is allowed, and what was probably meant.
//!
//! Plain text without colour, and never a secret: the part of a line that may hold one is cut from the excerpt.

use std::cell::{Cell, RefCell};
use std::fmt;

/// Most problems kept; the rest is counted.
pub const PROBLEMS_MAX: usize = 1_000;
/// What is said of a required key that is not there.
pub(super) const MISSING: &str = "is missing";
/// Longest excerpt kept, in characters.
const EXCERPT_MAX: usize = 160;
/// Longest line an excerpt is made of, in bytes.
const LINE_MAX: usize = 4_096;

/// One error or warning in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named on the way in; `$NAME` for an environment variable.
    pub file: String,
    /// Its line, from 1; 0 where the whole file or folder is meant.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// Dotted path of the key, such as `target.acme-phone.tier`; empty where there is none.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
    /// What is allowed instead; empty where that goes without saying.
    pub allowed: String,
    /// What was probably meant.
    pub hint: Option<String>,
    /// The line it stands in, or the part of it around the column.
    pub excerpt: String,
    /// The column within the excerpt, from 1; 0 where the excerpt does not show it.
    pub caret: usize,
}

impl Problem {
    /// A problem of a whole file.
    pub(super) fn of_file(file: &str, key: &str, what: impl Into<String>, allowed: &str) -> Problem {
        Problem {
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: key.to_owned(),
            what: what.into(),
            allowed: allowed.to_owned(),
            hint: None,
            excerpt: String::new(),
            caret: 0,
        }
    }
}

impl fmt::Display for Problem {
    /// `config/catalog/buyers.toml:12:3: target.acme-phone.teir: unknown key; allowed: …; did you mean "tier"?`, then
    /// the line and a caret under the column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; did you mean \"{hint}\"?")?;
        }
        if !self.excerpt.trim().is_empty() {
            write!(f, "\n  {}", self.excerpt)?;
            if self.caret > 0 {
                write!(f, "\n  {:>1$}", "^", self.caret)?;
            }
        }
        Ok(())
    }
}

/// Words in a key whose value is not repeated.
const SECRET_WORDS: [&str; 7] = ["secret", "digest", "password", "token", "_key", "apikey", "bearer"];

/// A line as an excerpt around a column, and the column in it, 0 if it is not shown. It holds no control characters,
/// is bounded, and ends behind a key that may hold a secret.
pub(super) fn excerpt(line: &str, column: usize) -> (String, usize) {
    if line.len() > LINE_MAX {
        return (String::new(), 0);
    }
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = match hidden_from(&clean) {
        Some(end) => format!("{} …", &clean[..end]),
        None => clean,
    };
    let skipped = if column <= EXCERPT_MAX { 0 } else { column - EXCERPT_MAX / 2 };
    let window: String = clean.chars().skip(skipped).take(EXCERPT_MAX).collect();
    let (window, caret) = match skipped {
        0 => (window, column),
        _ => (format!("…{window}"), column - skipped + 1),
    };
    let caret = if caret <= window.chars().count() + 1 { caret } else { 0 };
    (window, caret)
}

/// Where a text begins to hold what must not be repeated: the value of a secret, the user of a URL.
fn hidden_from(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let words = SECRET_WORDS.iter().flat_map(|word| lower.match_indices(word));
    let values = words.filter_map(|(at, word)| {
        let rest = &text[at + word.len()..];
        let after = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        // `secret_file` and its like hold a path.
        let names_a_file = rest[..rest.len() - after.len()].ends_with("_file");
        let after = after.trim_start_matches(['"', '\'', ' ']);
        (after.starts_with('=') && !names_a_file).then(|| text.len() - after.len() + 1)
    });
    let users = text.match_indices("://").filter_map(|(at, scheme)| {
        let start = at + scheme.len();
        let authority = text[start..].split(['/', ' ', '"', '\'']).next().unwrap_or("");
        authority.contains('@').then_some(start)
    });
    values.chain(users).min()
}

/// Collects problems up to [`PROBLEMS_MAX`].
#[derive(Default)]
pub(super) struct Sink {
    kept: RefCell<Vec<Problem>>,
    dropped: Cell<usize>,
}

impl Sink {
    pub(super) fn push(&self, problem: Problem) {
        if self.is_full() {
            self.dropped.set(self.dropped.get() + 1);
        } else {
            self.kept.borrow_mut().push(problem);
        }
    }

    /// Takes back that a key is missing: it is there, misspelt, and that is said instead.
    pub(super) fn retract_missing(&self, file: &str, key: &str) {
        let mut kept = self.kept.borrow_mut();
        let said = kept.iter().rposition(|p| p.what == MISSING && p.key == key && p.file == file);
        if let Some(at) = said {
            kept.remove(at);
        }
    }

    fn is_full(&self) -> bool {
        self.kept.borrow().len() >= PROBLEMS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.borrow().is_empty()
    }

    /// Everything collected, by file and place.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut all = self.kept.into_inner();
        all.sort_by(|a, b| (&a.file, a.line, a.column, &a.key).cmp(&(&b.file, b.line, b.column, &b.key)));
        if self.dropped.get() > 0 {
            all.push(Problem::of_file(
                "…",
                "",
                format!("{} more problems not shown", self.dropped.get()),
                "",
            ));
        }
        all
    }
}

/// The candidate closest to `word`, if it is close enough to have been meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let word: Vec<char> = word.chars().take(60).collect();
    let far = (word.len() / 3).clamp(1, 3);
    let close = candidates.into_iter().filter(|c| c.len().abs_diff(word.len()) <= far);
    let scored = close.map(|c| (distance(&word, &c.chars().collect::<Vec<_>>()), c));
    let (steps, best) = scored.min_by_key(|(steps, _)| *steps)?;
    (steps <= far).then(|| best.to_owned())
}

/// Edit distance in which swapping two neighbours is one step.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(ca != cb)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// A value as it is repeated in a message: quoted, escaped, bounded, without the user of a URL.
pub(super) fn shown(text: &str) -> String {
    let open = hidden_from(text).map_or(text, |end| &text[..end]);
    let mut short: String = open.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_meant() {
        let keys = ["tier", "priority", "weight", "address", "price"];
        for (typed, meant) in [
            ("teir", Some("tier")),
            ("tire", Some("tier")),
            ("adress", Some("address")),
            ("prices", Some("price")),
            ("endpoint", None),
        ] {
            assert_eq!(nearest(typed, keys).as_deref(), meant, "{typed}");
        }
    }

    #[test]
    fn an_excerpt_shows_no_secret_and_no_control_character() {
        for (line, expected) in [
            ("\tsecret = \"hunter2\"", " secret = …"),
            ("endpoint = { url = \"x\", secret=\"hunter2\" }", "endpoint = { url = \"x\", secret= …"),
            ("keys = [{ \"digest\" = 'abc' }]", "keys = [{ \"digest\" = …"),
            ("secret_file = \"a\"", "secret_file = \"a\""),
            ("secret_file = \"a\", Secret = \"hunter2\"", "secret_file = \"a\", Secret = …"),
            ("api_key = \"hunter2\"", "api_key = …"),
            (
                "url = \"https://a.example/\", b = \"http://me:hunter2@a\"",
                "url = \"https://a.example/\", b = \"http:// …",
            ),
            ("tags = [{ key = \"case\", is = [] }]", "tags = [{ key = \"case\", is = [] }]"),
            ("a\u{1b}[31mb", "a [31mb"),
        ] {
            assert_eq!(excerpt(line, 1), (expected.to_owned(), 1));
        }
        assert_eq!(shown("https://me:hunter2@a.example"), "\"https://…\"");
    }

    #[test]
    fn an_excerpt_of_a_long_line_shows_the_column() {
        let line = format!("{}here{}", "a".repeat(400), "b".repeat(400));
        let (window, caret) = excerpt(&line, 401);
        assert_eq!(window.chars().skip(caret - 1).take(4).collect::<String>(), "here");
        assert!(window.chars().count() <= EXCERPT_MAX + 1);
        assert_eq!(excerpt(&"a".repeat(LINE_MAX + 1), 3), (String::new(), 0));
        assert_eq!(excerpt("secret = 'x', tier = 0", 15), ("secret = …".to_owned(), 0));
    }
}
