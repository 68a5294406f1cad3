//! The embedded store: one SQLite file in WAL mode, one writer, any number of readers.
//!
//! Batches carry consecutive numbers. Rows, hourly roll-ups, the number and the place in the journal that they reach go
//! into one transaction, and a number already applied is ignored: whoever feeds the store may repeat a batch after a crash
//! and nothing counts twice. A power cut may take the last transactions, whole: the journal has their rows. No table or
//! column is named outside this module. What the rows mean is in `row`, how they are shown in `report`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::packed::UnpackError;
use super::row::AsFact;

mod apply;
mod lines;
mod moment;
mod read;
mod schema;
mod sums;
#[cfg(test)]
pub(super) mod tests;

pub use moment::Moment;
pub use read::Reader;

/// The writer's side of the store. One per file: a lock beside the file keeps a second process out.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: PathBuf,
    words: apply::Words,
    next_batch: u64,
    place: Place,
    _lock: File,
}

/// How far a store is in which journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The journal it reads; 0 of a store that has read none.
    pub journal: u64,
    /// The last record it has taken.
    pub seq: u64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// Every reader sees it; a power cut may still take it, with the place it reached.
    Now {
        /// Rows that were there already, under their own keys.
        repeated: u64,
        /// Ledger rows whose key is there with another amount or account: the first stands. Always a bug upstream.
        conflicts: u64,
    },
    /// Its number had been applied before: nothing was written.
    Before,
}

/// What went wrong with the store, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every field is named in the message")]
pub enum StoreError {
    /// No file.
    #[error("no store at {path:?}: has `outcry serve` or `outcry demo` run with this configuration?")]
    Missing { path: PathBuf },
    /// The folder of the store.
    #[error("cannot make the folder {path:?} for the store")]
    MakeFolder { path: PathBuf, source: std::io::Error },
    /// A file of a store that was to go.
    #[error("cannot remove {path:?} of the store before")]
    Discard { path: PathBuf, source: std::io::Error },
    /// The lock beside the store.
    #[error("cannot use the lock {path:?} of the store: is its folder writable?")]
    Lock { path: PathBuf, source: std::io::Error },
    /// A second writer.
    #[error("another process writes to the store {path:?}: stop it, or configure another path")]
    InUse { path: PathBuf },
    /// The file itself.
    #[error("cannot open the store {path:?}")]
    Open { path: PathBuf, source: rusqlite::Error },
    /// Somebody else's file.
    #[error("{path:?} is not a store of outcry: configure another path")]
    NotAStore { path: PathBuf },
    /// A store of the future.
    #[error(
        "the store {path:?} has schema version {found}, this binary knows up to {known}: run the version of outcry \
         that wrote it, or a later one",
        known = schema::VERSION
    )]
    TooNew { path: PathBuf, found: i64 },
    /// A store of the past, and nobody who may write to it.
    #[error(
        "the store {path:?} has schema version {found}, this binary reads {known}: start `outcry serve` of this \
         version once with this configuration, it upgrades the store in place",
        known = schema::VERSION
    )]
    TooOld { path: PathBuf, found: i64 },
    /// Connection settings.
    #[error("cannot set up the store {path:?}")]
    Settings { path: PathBuf, source: rusqlite::Error },
    /// The write-ahead log.
    #[error(
        "the store {path:?} cannot use a write-ahead log (its journal mode stays {mode:?}): put it on a local disk"
    )]
    NoWal { path: PathBuf, mode: String },
    /// The tables.
    #[error("cannot create the tables of the store {path:?}")]
    Create { path: PathBuf, source: rusqlite::Error },
    /// The step from an older version.
    #[error(
        "cannot upgrade the store {path:?} from schema version {found} to {known}; it is as it was: see that its disk \
         has as much room again as the store takes, and start again",
        known = schema::VERSION
    )]
    Upgrade { path: PathBuf, found: i64, source: rusqlite::Error },
    /// A batch out of order.
    #[error("batch {got} came where {expected} is next: a batch is missing")]
    Gap { expected: u64, got: u64 },
    /// The rows of a batch.
    #[error("cannot write to the store")]
    Write { source: rusqlite::Error },
    /// The trail of a row.
    #[error("cannot pack the outcomes of a step")]
    Pack { source: postcard::Error },
    /// The end of the transaction.
    #[error("cannot commit to the store")]
    Commit { source: rusqlite::Error },
    /// A query.
    #[error("cannot read {what} from the store")]
    Read { what: &'static str, source: rusqlite::Error },
    /// A packed row.
    #[error("cannot read the outcomes of a step")]
    Unpack { source: UnpackError },
}

impl StoreError {
    /// Whether the rows themselves are at fault, so that repeating them is useless; otherwise it is the disk, a lock
    /// or memory, and the same rows may pass later.
    pub fn is_about_the_rows(&self) -> bool {
        match self {
            StoreError::Pack { .. } | StoreError::Unpack { .. } => true,
            StoreError::Write { source } | StoreError::Commit { source } => matches!(
                source.sqlite_error_code(),
                None | Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
            ),
            StoreError::Missing { .. }
            | StoreError::MakeFolder { .. }
            | StoreError::Discard { .. }
            | StoreError::Lock { .. }
            | StoreError::InUse { .. }
            | StoreError::Open { .. }
            | StoreError::NotAStore { .. }
            | StoreError::TooNew { .. }
            | StoreError::TooOld { .. }
            | StoreError::Settings { .. }
            | StoreError::NoWal { .. }
            | StoreError::Create { .. }
            | StoreError::Upgrade { .. }
            | StoreError::Gap { .. }
            | StoreError::Read { .. } => false,
        }
    }
}

impl Store {
    /// Opens the store for writing, creating file, folder and tables where they are missing and upgrading those of an
    /// older version.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let lock = lock_beside(path)?;
        let mut conn =
            Connection::open(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        schema::prepare_writer(&mut conn, path)?;
        let last = apply::last_batch(&conn).map_err(|source| StoreError::Read { what: "meta", source })?;
        let place = apply::place(&conn).map_err(|source| StoreError::Read { what: "meta", source })?;
        let words = apply::Words::default();
        Ok(Store { conn, path: path.to_owned(), words, next_batch: last + 1, place, _lock: lock })
    }

    /// Writes the batch if its number is next, with the place it reaches. Returns when every reader sees the rows; on an
    /// error nothing of the batch is there and the number is still next.
    pub fn apply<'a, T>(
        &mut self,
        batch_no: u64,
        rows: &'a [T],
        reaches: Place,
    ) -> Result<Applied, StoreError>
    where
        AsFact<'a>: From<&'a T>,
    {
        if batch_no < self.next_batch {
            return Ok(Applied::Before);
        }
        if batch_no > self.next_batch {
            return Err(StoreError::Gap { expected: self.next_batch, got: batch_no });
        }
        let rows = rows.iter().map(AsFact::from);
        let outcome = apply::batch(&mut self.conn, &mut self.words, batch_no, rows, reaches);
        match outcome {
            Ok(_) => {
                self.next_batch += 1;
                self.place = reaches;
            }
            // What the failed transaction named is not in the store.
            Err(_) => self.words.forget(),
        }
        outcome
    }

    /// The number the next batch must carry.
    pub fn next_batch(&self) -> u64 {
        self.next_batch
    }

    /// How far it is in which journal.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folds the write-ahead log into the file, so that what is left at rest is one file. Best effort: readers may
    /// hold it back, and an unfolded log loses nothing.
    pub fn close(self) {
        let folded = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
        drop(folded);
    }

    #[cfg(test)]
    pub(crate) fn conn(&self) -> &Connection {
        &self.conn
    }
}

/// Removes the store at `path`, if there is one that nobody uses; its lock file stays.
pub fn discard(path: &Path) -> Result<(), StoreError> {
    let _lock = lock_beside(path)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Discard { path: file, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Takes the lock file beside the store: SQLite alone would let two processes number their batches alike.
fn lock_beside(path: &Path) -> Result<File, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|source| StoreError::MakeFolder { path: folder.to_owned(), source })?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let lock_path = PathBuf::from(name);
    let lock = |source| StoreError::Lock { path: lock_path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(lock)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(lock(source)),
    }
}

/// A reader's connection. Never creates anything.
fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)
        .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    schema::prepare_reader(&conn, path)?;
    Ok(conn)
}
