//! The durable trail: what happened, and what memory is rebuilt from, goes to the journal; the store reads it from there.
//!
//! Two ways in, one order. `push` is for what the exchange can afford to lose (what it loses is counted). `reserve` and
//! then `commit` are for what must not be acknowledged before it is safe: the place is taken before anything is
//! changed in memory, so that what belongs to a change cannot be refused after it. What has a place is written in
//! order, however long the disk is at fault. Nothing here logs or counts into metrics: faults go to the callback given
//! at the start, numbers are read from the `Recorder`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub mod check;
pub mod entry;
#[cfg(test)]
pub(crate) mod fixture;
pub mod fold;
mod keep;
pub mod known;
mod lost;
mod packed;
pub mod recall;
pub mod row;
pub mod seal;
mod ship;
pub mod sqlite;
pub mod stored;
#[cfg(test)]
mod tests;

use crate::domain::catalog::Secret;
use crate::journal::{
    self, AppendError, Appender, Class, Closed, Found, Hands, Keeper, NotNow, OpenError, Payload, Waits,
};
use entry::{COUNTS, Counts, ENTRY, Entry, Put, Record, VERSION};
use row::Row;
use seal::Seal;
use ship::{Shipped, Shipping};

pub use packed::UnpackError;

/// Longest a commit waits for the disk.
pub const COMMIT_WAIT: Duration = Duration::from_secs(5);

/// Where entries are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    appender: Appender<Sealed>,
    seal: Arc<Seal>,
    commit_wait: Duration,
    /// The journal and the store behind it; without them, whoever has the other end is the disk.
    behind: Option<Behind>,
}

#[derive(Clone, Debug)]
struct Behind {
    keeper: Keeper,
    shipped: Arc<Shipped>,
    held_back: Arc<AtomicU64>,
}

/// A place in the queue, held for one entry; dropped unused, it is given back.
#[derive(Debug)]
#[must_use = "a place not used is given back"]
pub struct Slot {
    place: journal::Slot<Sealed>,
    seal: Arc<Seal>,
    commit_wait: Duration,
}

/// The threads behind the recorder, to be finished at shutdown.
#[derive(Debug)]
#[must_use = "an orderly shutdown finishes the records"]
pub struct Ending {
    keeper: Keeper,
    threads: Vec<JoinHandle<()>>,
}

/// Why an entry is not known to be on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// From `reserve` only: nothing was handed in. Change nothing, answer "not now", let the peer come again.
    #[error("the queue of the records is full")]
    QueueFull,
    /// The exchange is shutting down. From `reserve`: nothing was handed in. From `commit`: nothing was written and
    /// nothing will be.
    #[error("the records are closed")]
    Closed,
    /// Nothing was written and nothing will be: the entry is at fault, a bug to be reported and useless to repeat.
    #[error("the entry could not be written: {0}")]
    Failed(String),
    /// Not known to be on disk yet, and still in the queue: it will be written in its order as soon as the disk can be.
    /// Do not acknowledge, do not undo, do not hand it in again (though each row has a key of its own, so that would
    /// add nothing).
    #[error("the entry is not on disk yet; it stays in the queue")]
    TimedOut,
}

/// What the records have done since the start.
#[derive(Clone, Debug)]
pub struct Counters {
    /// What the journal did.
    pub journal: journal::Counters,
    /// Entries handed in and not yet written.
    pub queued: usize,
    /// Records on disk that the store has not taken yet.
    pub store_behind: u64,
    /// Rows in the store.
    pub store_rows: u64,
    /// Transactions of the store that failed.
    pub store_failures: u64,
    /// Records that the store cannot take: a bug.
    pub store_refused: u64,
    /// Times that a snapshot was put off, since the disk is nearly full.
    pub snapshots_held_back: u64,
}

/// A record on its way to the journal.
#[derive(Debug)]
pub struct Sealed {
    /// The record.
    pub record: Record,
    seal: Arc<Seal>,
}

impl Payload for Sealed {
    /// The rows that explain a decision and the health of endpoints can be done without; the rest is money or leads to it.
    fn class(&self) -> Class {
        let is_bulk = |row: &Row| matches!(row, Row::Decided(_) | Row::Trail(_));
        let is_hint = |put: &Put| matches!(put, Put::Health(_));
        match &self.record {
            Record::Entry(entry) if entry.rows.iter().all(is_bulk) && entry.state.iter().all(is_hint) => {
                Class::Bulk
            }
            Record::Entry(_) | Record::Counts(_) => Class::Money,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.record {
            Record::Entry(entry) => {
                out.extend_from_slice(&[ENTRY, VERSION]);
                let start = out.len();
                entry.encode(out);
                self.seal.close(out, start);
            }
            Record::Counts(counts) => {
                out.extend_from_slice(&[COUNTS, VERSION]);
                counts.encode(out);
            }
        }
    }
}

impl From<Vec<Row>> for Entry {
    fn from(rows: Vec<Row>) -> Entry {
        Entry { rows, state: Vec::new() }
    }
}

impl Recorder {
    /// Begins to write to the journal, to bring the store up to it and to fold it into snapshots. `on_fault` is told, in a
    /// sentence each, when something fails, is lost, or works again. `tail_bytes` were read since the last snapshot.
    pub fn start(
        found: Found,
        store: sqlite::Store,
        tail_bytes: u64,
        seal: Seal,
        on_fault: impl Fn(&str) + Clone + Send + Sync + 'static,
    ) -> Result<(Recorder, Ending), OpenError> {
        let before = found.last_seq();
        let free_percent = found.free_percent();
        let (appender, keeper) = found.start::<Sealed>(on_fault.clone())?;
        let seal = Arc::new(seal);
        let own = Recorder {
            appender: appender.clone(),
            seal: Arc::clone(&seal),
            commit_wait: COMMIT_WAIT,
            behind: None,
        };
        let (shipped, shipping) = Shipping::of(store, &keeper, (before, own), on_fault.clone());
        let folding = keep::Folding::of(&keeper, tail_bytes, free_percent, Arc::clone(&seal), on_fault);
        let held_back = folding.held_back();
        let threads = vec![
            thread("store", move || shipping.run()).map_err(no_thread)?,
            thread("journal-fold", move || folding.run()).map_err(no_thread)?,
        ];
        let behind = Behind { keeper: keeper.clone(), shipped, held_back };
        let recorder = Recorder { appender, seal, commit_wait: COMMIT_WAIT, behind: Some(behind) };
        Ok((recorder, Ending { keeper, threads }))
    }

    /// Hands every entry to whoever asks, with no thread, no journal and no store: time and order are the caller's. `queue`
    /// bounds what waits.
    pub fn by_hand(queue: usize) -> (Recorder, Hands<Sealed>) {
        let (appender, hands) = Appender::by_hand(queue);
        let seal = Arc::new(Seal::of(&Secret(Vec::new())));
        (Recorder { appender, seal, commit_wait: COMMIT_WAIT, behind: None }, hands)
    }

    /// Hands in an entry and goes on at once. Without a place (the last ones are for money alone), or closed, it is dropped
    /// and counted. One without anything in it is not written.
    pub fn push(&self, entry: Entry) {
        if !entry.is_empty() {
            self.appender.push(Sealed { record: Record::Entry(entry), seal: Arc::clone(&self.seal) });
        }
    }

    /// Hands in what caps have had before there was a journal.
    pub fn push_counts(&self, counts: Counts) {
        self.appender.push(Sealed { record: Record::Counts(counts), seal: Arc::clone(&self.seal) });
    }

    /// Takes a place in the queue, at once or not at all: only `QueueFull` and `Closed` are possible. Call it before
    /// the change in memory whose entry must not be lost. The order is that of `commit` and `push`, not of this. Hold a
    /// place briefly: the shutdown waits for it.
    pub fn reserve(&self) -> Result<Slot, CommitError> {
        match self.appender.reserve() {
            Ok(place) => Ok(Slot { place, seal: Arc::clone(&self.seal), commit_wait: self.commit_wait }),
            Err(NotNow::Full) => Err(CommitError::QueueFull),
            Err(NotNow::Closed) => Err(CommitError::Closed),
        }
    }

    /// Whether the journal cannot be written at this moment: what is handed in waits.
    pub fn is_failing(&self) -> bool {
        self.behind.as_ref().is_some_and(|behind| behind.keeper.is_failing())
    }

    /// Waits, at most so long, until the store has everything that is on disk now, or is written and will be at once;
    /// whether it has. Who was acknowledged before it asked finds it there. A disk at fault is not waited for.
    pub async fn settled(&self, limit: Duration) -> bool {
        let Some(Behind { keeper, shipped, .. }) = &self.behind else { return true };
        let seq = if keeper.is_failing() { keeper.durable_seq() } else { keeper.hurry() };
        shipped.reaches(seq, limit).await
    }

    /// From here on this thread wakes the journal when it goes to sleep itself, by `before_sleep`, and not for each entry.
    pub fn wakes_before_sleep(&self) {
        self.appender.rings_before_sleep();
    }

    /// This thread goes to sleep: what it has handed in is to be written now.
    pub fn before_sleep(&self) {
        self.appender.ring_before_sleep();
    }

    /// Entries that wait to be written.
    pub fn queued(&self) -> usize {
        self.appender.queued()
    }

    /// All the numbers at once; `None` where there is no journal behind it.
    pub fn counters(&self) -> Option<Counters> {
        let Behind { keeper, shipped, held_back } = self.behind.as_ref()?;
        let journal = keeper.counters();
        Some(Counters {
            queued: self.queued(),
            store_behind: keeper.durable_seq().saturating_sub(shipped.through()),
            store_rows: shipped.rows(),
            store_failures: shipped.failures(),
            store_refused: shipped.refused(),
            snapshots_held_back: held_back.load(Ordering::Relaxed),
            journal,
        })
    }
}

impl Slot {
    /// Hands in the entry at once, before the returned future is first polled. The future waits until it is on disk, at most
    /// `COMMIT_WAIT`; dropping it withdraws nothing. Success means that everything handed in before is on disk too, but
    /// for what was counted as dropped.
    pub fn commit(self, entry: Entry) -> impl Future<Output = Result<(), CommitError>> + Send + use<> {
        let limit = self.commit_wait;
        self.commit_within(entry, limit)
    }

    /// As `commit`, at most so long.
    pub fn commit_within(
        self,
        entry: Entry,
        limit: Duration,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + use<> {
        let (ack, written) = oneshot::channel();
        self.hand_in(entry, Waits::Disk(ack));
        answered(written, limit)
    }

    /// As `commit`, and waits only until the end of this process would not lose it, at most so long.
    pub fn secure(
        self,
        entry: Entry,
        limit: Duration,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + use<> {
        let (ack, written) = oneshot::channel();
        self.hand_in(entry, Waits::Kernel(ack));
        answered(written, limit)
    }

    /// As `commit`, and waits for nothing.
    pub fn send(self, entry: Entry) {
        self.hand_in(entry, Waits::Nothing);
    }

    fn hand_in(self, entry: Entry, waits: Waits) {
        self.place.send(Sealed { record: Record::Entry(entry), seal: self.seal }, waits);
    }
}

async fn answered(
    written: oneshot::Receiver<Result<u64, AppendError>>,
    limit: Duration,
) -> Result<(), CommitError> {
    match tokio::time::timeout(limit, written).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(error @ (AppendError::TooLarge { .. } | AppendError::Unwritable)))) => {
            Err(CommitError::Failed(error.to_string()))
        }
        Ok(Ok(Err(AppendError::Closed)) | Err(_)) => Err(CommitError::Closed),
        Err(_) => Err(CommitError::TimedOut),
    }
}

impl Ending {
    /// Refuses new entries, brings what is queued to disk, lets the store follow, and returns how the journal was closed.
    /// Blocks: call it off the runtime's threads.
    pub fn finish(self) -> Closed {
        let closed = self.keeper.close();
        for thread in self.threads {
            // A thread reports its own faults; a panic in it has been printed by the panic hook.
            drop(thread.join());
        }
        closed
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn no_thread(error: std::io::Error) -> OpenError {
    OpenError::Io { file: "a thread".to_owned(), error }
}
