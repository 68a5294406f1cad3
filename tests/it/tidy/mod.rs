//! The rules of the house that no compiler checks: who imports whom, how files begin, and that what is written down about
//! the program is what the program says.
//!
//! Pages made from code are compared with it. `UPDATE_DOCS=1 cargo test --test it tidy` writes them anew.

mod dashboards;
mod headers;
mod layers;
mod lockfile;
mod pages;
mod promql;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
struct Source {
    /// Its path from the root, with slashes.
    path: String,
    text: String,
}

/// Every file below these folders that ends so, in the order of their paths. A folder without one is a mistake in the
/// test that asks.
fn files(folders: &[&str], ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        let before = found.len();
        walk(&root().join(folder), ending, &mut found);
        assert!(found.len() > before, "{folder} has no file that ends in {ending}");
    }
    found.sort();
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        Source { path, text }
    };
    found.into_iter().map(source).collect()
}

fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, ending, found);
        } else if path.to_str().is_some_and(|path| path.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// The line a byte of the text stands in, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Whether the byte may be part of a Rust name or of a metric's.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The name the text begins with; empty if it begins with none.
fn word(text: &str) -> &str {
    let end = text.bytes().position(|byte| !is_word(byte)).unwrap_or(text.len());
    &text[..end]
}

/// Where this word stands in the text as a word of its own.
fn places<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_bounded = |at: usize| {
        let before = at.checked_sub(1).map(|at| text.as_bytes()[at]);
        let after = text.as_bytes().get(at + wanted.len());
        !before.is_some_and(is_word) && !after.is_some_and(|byte| is_word(*byte))
    };
    text.match_indices(wanted).map(|(at, _)| at).filter(move |at| is_bounded(*at))
}

/// Fails with every fault, one a line.
fn report(faults: &[String]) {
    assert!(faults.is_empty(), "{} found:\n{}\n", faults.len(), faults.join("\n"));
}
