//! The catalog of the files as they are, the changes laid over it, and the one catalog in force that both make.
//!
//! Values only: the office commits what is to be kept and swaps what is to be in force.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::domain::Catalog;
use crate::domain::Timestamp;
use crate::domain::change::{self, Asked, Change, Dropped, NoStep, Noted};
use crate::records::entry::{Entry, Put};
use crate::records::row::{CatalogRow, Row};
use crate::records::{CommitError, Recorder};
use crate::runtime::hex;

/// Files and changes.
#[derive(Clone, Debug)]
pub(super) struct Laid {
    files: Arc<Catalog>,
    /// What the digest of the files was taken over.
    text: String,
    /// Changes, in the order they were made.
    pub(super) changes: Vec<Change>,
    /// When the last entry of the history was made: each has a moment of its own.
    last: Timestamp,
}

/// Files and changes as they will be, and what the history says of the way there.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) laid: Laid,
    pub(super) noted: Vec<Noted>,
    /// Changes that an edit of a file has overtaken.
    pub(super) dropped: Vec<Dropped>,
}

impl Laid {
    /// The files, and the changes that were laid over them.
    pub(super) fn at_start(files: Catalog, text: String, changes: &[Change], now: Timestamp) -> Next {
        let changes = changes.to_vec();
        let last = changes.iter().map(|change| change.origin.at).max().unwrap_or_default();
        Laid { files: Arc::new(files), text, changes, last }.at(now)
    }

    /// The same changes over files that were read anew.
    pub(super) fn over(&self, files: Catalog, text: String, now: Timestamp) -> Next {
        Laid { files: Arc::new(files), text, changes: self.changes.clone(), last: self.last }.at(now)
    }

    /// Without the changes that the files have overtaken.
    fn at(self, now: Timestamp) -> Next {
        let at = self.moment(now);
        let (_, dropped) = change::lay(Arc::clone(&self.files), &self.changes);
        let step = change::without(&self.changes, &dropped, at);
        Next { laid: Laid { changes: step.changes, last: at, ..self }, noted: step.noted, dropped }
    }

    /// What was asked, done.
    pub(super) fn with(&self, asked: &Asked, now: Timestamp) -> Result<Next, NoStep> {
        let at = self.moment(now);
        let step = change::step(&self.files, &self.changes, asked, at)?;
        let laid = Laid { changes: step.changes, last: at, ..self.clone() };
        Ok(Next { laid, noted: step.noted, dropped: Vec::new() })
    }

    fn moment(&self, now: Timestamp) -> Timestamp {
        now.max(Timestamp::from_micros(self.last.micros() + 1))
    }

    /// The digest of the files' text.
    pub(super) fn files_digest(&self) -> &str {
        &self.files.digest
    }

    /// The catalog in force, and the text its digest is taken over: that of the files, and below it the changes.
    pub(super) fn in_force(&self) -> (Arc<Catalog>, String) {
        let (mut catalog, _) = change::lay(Arc::clone(&self.files), &self.changes);
        let section = change::text(&self.files, &self.changes);
        if section.is_empty() {
            return (catalog, self.text.clone());
        }
        let text = format!("{}{section}", self.text);
        Arc::make_mut(&mut catalog).digest = hex(&Sha256::digest(text.as_bytes())).into();
        (catalog, text)
    }
}

/// What is written when this comes into force: the history, the text calls will name by its digest, and for a restart all
/// that is laid over the files. Parts of a long text come before, each by itself.
pub(super) fn entries(next: &Next, digest: &str, text: &str, since: Timestamp) -> Vec<Entry> {
    let mut parts: Vec<Row> =
        CatalogRow::in_parts(digest, text, since).into_iter().map(Row::Catalog).collect();
    let named = parts.pop();
    let changes = next.noted.iter().map(|noted| Row::Change(Box::new(noted.clone())));
    let last =
        Entry { rows: changes.chain(named).collect(), state: vec![Put::Changes(next.laid.changes.clone())] };
    parts.into_iter().map(|part| vec![part].into()).chain([last]).collect()
}

/// Hands them in, all or none: an error from here says that nothing was. What is returned waits until all are on disk.
pub(super) fn commit(
    recorder: &Recorder,
    entries: Vec<Entry>,
) -> Result<impl Future<Output = Result<(), CommitError>> + use<>, CommitError> {
    let mut slots = entries.iter().map(|_| recorder.reserve()).collect::<Result<Vec<_>, _>>()?;
    let (slot, mut parts) = (slots.pop(), entries);
    let last = parts.pop().unwrap_or_default();
    slots.into_iter().zip(parts).for_each(|(slot, part)| slot.send(part));
    // Handed in now, and not when somebody waits for it.
    let written = slot.map(|slot| slot.commit(last));
    Ok(async move {
        match written {
            Some(written) => written.await,
            None => Ok(()),
        }
    })
}
