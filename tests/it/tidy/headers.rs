//! Every file says what it is before it says anything else, and no type is named after nothing in particular.

use super::{files, is_word, line_of, report, word};

/// Words that say that a type has no one job.
const EMPTY_WORDS: [&str; 3] = ["Manager", "Helper", "Util"];

#[test]
fn every_file_opens_with_what_it_is() {
    let sources = files(&["src", "load/src", "load/tests", "tests", "benches"], ".rs");
    let faults: Vec<String> = sources
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}:1: the file does not open with `//!` and what it is", source.path))
        .collect();
    report(&faults);
}

#[test]
fn no_type_is_a_manager_helper_or_util() {
    let mut faults = Vec::new();
    for source in files(&["src", "load/src", "load/tests", "tests", "benches"], ".rs") {
        for kind in ["struct ", "enum ", "trait ", "type ", "mod "] {
            for (at, _) in source.text.match_indices(kind) {
                let follows_a_word = at.checked_sub(1).is_some_and(|at| is_word(source.text.as_bytes()[at]));
                let name = word(&source.text[at + kind.len()..]);
                let lower = name.to_ascii_lowercase();
                let is_empty = EMPTY_WORDS.iter().any(|empty| lower.contains(&empty.to_ascii_lowercase()));
                if !follows_a_word && is_empty {
                    let line = line_of(&source.text, at);
                    faults.push(format!("{}:{line}: {name} says nothing of what it does", source.path));
                }
            }
        }
    }
    report(&faults);
}
