//! A catalog read anew from the text that its digest was taken over: the files as they were, and what was changed at run
//! time below them.
//!
//! Secrets and certificates were never in that text: what stands for them here signs nothing. Where hosts may be and how
//! large a record may be is not asked again. Meant for decisions of the past, never for new ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::problem::{Problem, Sink};
use super::settings::{SEGMENT_MB, Settings};
use crate::domain::Catalog;
use crate::domain::change;
use crate::runtime::hex;

/// Why a stored text makes no catalog.
#[derive(Debug, thiserror::Error)]
pub enum StoredFault {
    /// Its bytes are not those that were stored.
    #[error("the text of catalog {0} is not the one it was taken over: the store is damaged")]
    Damaged(String),
    /// It is not put together as this version does it.
    #[error("the text of catalog {digest} ends in something this version does not know, at byte {at}")]
    Unknown {
        /// Its digest.
        digest: String,
        /// Where.
        at: usize,
    },
    /// This version reads it otherwise.
    #[error("the text of catalog {digest} is no catalog to this version: {first}")]
    Refused {
        /// Its digest.
        digest: String,
        /// The first of its problems.
        first: Box<Problem>,
    },
}

thread_local! {
    /// The files of the stored text that is read on this thread: they stand for those on disk, whoever opens them.
    static FILES: RefCell<Option<BTreeMap<PathBuf, String>>> = const { RefCell::new(None) };
}

/// What a file holds while a stored text is read. One that is not in the text is a secret.
pub(super) fn text_of(path: &Path) -> Option<String> {
    FILES.with_borrow(|files| {
        let files = files.as_ref()?;
        Some(files.get(path).cloned().unwrap_or_else(|| stand_in(&path.display().to_string())))
    })
}

/// Whether a stored text is read.
pub(super) fn is_read() -> bool {
    FILES.with_borrow(Option::is_some)
}

/// The catalog's files of a stored text, in their order; `None` where those on disk are read.
pub(super) fn paths() -> Option<Vec<PathBuf>> {
    let is_toml = |path: &&PathBuf| path.extension().is_some_and(|end| end == "toml");
    FILES.with_borrow(|files| Some(files.as_ref()?.keys().filter(is_toml).cloned().collect()))
}

/// What stands for a secret: long enough, and no two the same.
fn stand_in(of: &str) -> String {
    hex(&Sha256::digest(of.as_bytes()))
}

/// The stored files are read instead of those on disk until this goes.
struct Reading;

impl Reading {
    fn begin(files: BTreeMap<PathBuf, String>) -> Reading {
        FILES.set(Some(files));
        Reading
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        FILES.set(None);
    }
}

/// The catalog whose text has this digest. `settings` say what no catalog says; the files need not be there any more.
pub fn load_stored(settings: &Settings, digest: &str, text: &str) -> Result<Arc<Catalog>, StoredFault> {
    if hex(&Sha256::digest(text.as_bytes())) != digest {
        return Err(StoredFault::Damaged(digest.to_owned()));
    }
    let (files, rest) = split(text, &settings.catalog_dir);
    let unknown = || StoredFault::Unknown { digest: digest.to_owned(), at: text.len() - rest.len() };
    let changes = if rest.is_empty() { Vec::new() } else { change::read_text(rest).ok_or_else(unknown)? };
    let mut settings = settings.clone();
    settings.pings.allow_private_addresses = true;
    settings.journal.kept.segment_bytes = SEGMENT_MB.end() * 1024 * 1024;
    let sink = Sink::default();
    let reading = Reading::begin(files);
    let read = super::catalog::read(&settings, &|name| Some(stand_in(name)), &sink);
    drop(reading);
    let Some((catalog, ..)) = read.filter(|_| sink.is_empty()) else {
        let first = sink.into_sorted().into_iter().next();
        let none = || Problem::of_file("the text", "", "makes none", "");
        return Err(StoredFault::Refused {
            digest: digest.to_owned(),
            first: Box::new(first.unwrap_or_else(none)),
        });
    };
    let (mut catalog, _) = change::lay(Arc::new(catalog), &changes);
    Arc::make_mut(&mut catalog).digest = digest.into();
    Ok(catalog)
}

/// The files of a text, each under its path, and what stands below them.
fn split<'t>(text: &'t str, dir: &Path) -> (BTreeMap<PathBuf, String>, &'t str) {
    let mut files = BTreeMap::new();
    let mut rest = text;
    while let Some((path, body, after)) = next_file(rest, dir) {
        files.insert(path, body.to_owned());
        rest = after;
    }
    (files, rest)
}

/// `# name (12 bytes)`, a line, so many bytes, and the end of a line.
fn next_file<'t>(text: &'t str, dir: &Path) -> Option<(PathBuf, &'t str, &'t str)> {
    let (head, rest) = text.strip_prefix("# ")?.split_once('\n')?;
    let (name, bytes) = head.strip_suffix(" bytes)")?.rsplit_once(" (")?;
    let body = rest.get(..bytes.parse().ok()?)?;
    Some((dir.join(name), body, rest[body.len()..].strip_prefix('\n')?))
}
