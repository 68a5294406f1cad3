//! The journal: a log of records in segments, the one place where what must not be lost is written down first.
//!
//! It knows nothing of what is in a record. Two acknowledgements are never mixed: *kernel* (the write returned: it
//! survives the end of the process) and *disk* (the sync returned: it survives a power cut). One hand appends whatever
//! is queued, another syncs what is written, so a slow disk delays disk acknowledgements only. After a failed write or
//! sync nothing is acknowledged from that segment any more: what is not on disk is written again, with the same
//! numbers, to a new one. Nothing here logs or counts into metrics: faults go to the callback given at the start,
//! numbers are read from the `Keeper`.
//!
//! How the parts stand: `format` has the bytes; `walk` and `cursor` read; `survey` judges what is found at a start, and
//! `open` says it; `log` is the state machine; `work` does its steps on a `disk`; `append` is where records come in,
//! `drive` has the threads, `uring` does their work by io_uring; `choice` says which of them, by what `trial` has timed;
//! `keeper` is what the rest of the process holds; `look` is for who only reads.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use tokio::sync::oneshot;

mod append;
pub mod bench;
mod choice;
mod cursor;
mod disk;
mod drive;
mod format;
mod house;
mod keeper;
mod log;
mod look;
mod open;
mod snapshot;
mod survey;
#[cfg(test)]
mod tests;
mod trial;
mod uring;
mod walk;
mod work;

pub use append::{Appender, Handed, Hands, NotNow, Slot};
pub use choice::{Choice, Medians, Why};
pub use cursor::{Block, Lent, Read, ReadError, Reader};
pub use keeper::{Closed, Counters, Keeper, Tail};
pub use look::{LookError, discard, look};
pub use open::{Found, OpenError, OpenFault};
pub use snapshot::SnapshotWriter;
pub use survey::Cut;

/// The smallest segment, in bytes.
const SEGMENT_LEAST: u64 = 64 * 1024;
/// The largest segment, in bytes.
const SEGMENT_MOST: u64 = 1024 * 1024 * 1024;
/// Room for what is small: the mark, directories.
const SLACK_BYTES: u64 = 1024 * 1024;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its directory.
    pub dir: PathBuf,
    /// Another, on another disk: where segments go when this one fails.
    pub spare_dir: Option<PathBuf>,
    /// Size of a segment.
    pub segment_bytes: u64,
    /// Segments nobody needs any more are kept up to this many bytes, for rebuilding what reads them.
    pub keep_bytes: u64,
    /// What writes.
    pub backend: Backend,
    /// Records that may wait to be written; one in eight places is for money alone.
    pub queue_records: usize,
    /// Below this many percent of free disk bulk records are dropped.
    pub free_percent: u8,
}

/// The largest record that a segment of this size takes: one that nearly fills a batch still fits.
pub const fn record_limit(segment_bytes: u64) -> u64 {
    let room = segment_bytes - format::HEADER_BYTES;
    let batch = if room / 4 < log::BATCH_BYTES as u64 { room / 4 } else { log::BATCH_BYTES as u64 };
    room - batch
}

impl Settings {
    /// The defaults, in this directory.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Settings {
        Settings {
            dir: dir.into(),
            spare_dir: None,
            segment_bytes: 64 * 1024 * 1024,
            keep_bytes: 1024 * 1024 * 1024,
            backend: Backend::Auto,
            queue_records: 65_536,
            free_percent: 5,
        }
    }
}

/// What writes, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where the system allows it and a start finds it about as quick as a bare loop, else threads.
    Auto,
    /// io_uring, or no start.
    Uring,
    /// Threads.
    Thread,
}

/// What writes, as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// One thread appends, another syncs.
    Thread,
    /// Both are tasks on one thread, by io_uring.
    Uring,
    /// A simulated one, in the tests of this module.
    Sim,
}

impl Disk {
    /// Its name in configuration, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Disk::Thread => "thread",
            Disk::Uring => "uring",
            Disk::Sim => "sim",
        }
    }
}

/// What becomes a record.
pub trait Payload: Send + 'static {
    /// Whether it may be dropped when there is no room.
    fn class(&self) -> Class;
    /// Appends kind (not 0), version and body.
    fn write(&self, out: &mut Vec<u8>);
}

/// How dear a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Dropped, and counted, when the queue or the disk is nearly full.
    Bulk,
    /// Kept as long as there is any place.
    Money,
}

/// What whoever hands a record in waits for.
#[derive(Debug)]
pub enum Waits {
    /// Nothing.
    Nothing,
    /// That it survives the end of the process.
    Kernel(Ack),
    /// That it survives a power cut.
    Disk(Ack),
}

/// Hears the number of the record, or why it is not written.
pub type Ack = oneshot::Sender<Result<u64, AppendError>>;

/// Why a record is not written and will not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The journal was closed before it was its turn; or the disk failed up to the end.
    #[error("the journal is closed")]
    Closed,
    /// It could not be written down: a bug of its payload.
    #[error("the record cannot be written down: a bug")]
    Unwritable,
    /// It does not fit into a segment.
    #[error("the record has {bytes} bytes and a segment takes {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}
