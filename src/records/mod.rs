//! The durable trail: rows go in by a queue, one thread writes them, and money waits until it is on disk.
//!
//! Two ways in, one order. `push` is for what the exchange can afford to lose (what it loses is counted). `reserve` and
//! then `commit` are for what must not be acknowledged before it is safe: the place is taken before anything is
//! changed in memory, so that rows which belong to a change cannot be refused after it. What has a place is written in
//! order, however long the disk is at fault. Nothing here logs or counts into metrics: faults go to the callback given
//! at the start, numbers are read from the `Recorder`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

pub mod entry;
#[cfg(test)]
pub(crate) mod fixture;
pub mod fold;
mod packed;
pub mod row;
mod rows;
pub mod sqlite;
pub mod stored;
#[cfg(test)]
mod tests;
mod writer;

use row::Row;

pub use packed::UnpackError;
pub use rows::{Handed, Rows};

/// Longest a commit waits for its transaction.
pub const COMMIT_WAIT: Duration = Duration::from_secs(5);
/// The part of the queue only commits may use: one place in this many.
const RESERVE_PART: usize = 8;

/// Where rows are handed in. Cheap to clone; the writer ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Item>,
    reserve: usize,
    commit_wait: Duration,
    tally: Arc<Tally>,
}

/// A place in the queue, held for one commit; dropped unused, it is given back.
#[derive(Debug)]
#[must_use = "a place not used is given back"]
pub struct Slot {
    place: mpsc::OwnedPermit<Item>,
    commit_wait: Duration,
    tally: Arc<Tally>,
}

/// The writer thread, to be finished at shutdown.
#[derive(Debug)]
#[must_use = "an orderly shutdown finishes the writer"]
pub struct Writer {
    thread: JoinHandle<()>,
    closing: Arc<Notify>,
}

/// Why rows are not known to be on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// From `reserve` only: nothing was handed in. Change nothing, answer "not now", let the peer come again.
    #[error("the queue of the records is full")]
    QueueFull,
    /// The exchange is shutting down. From `reserve`: nothing was handed in. From `commit`: nothing was written and
    /// nothing will be.
    #[error("the records are closed")]
    Closed,
    /// Nothing was written and nothing will be: the rows are at fault (a bug to be reported, useless to repeat), or
    /// the store could not be written up to the end of the shutdown.
    #[error("the rows could not be written: {0}")]
    Failed(String),
    /// Not known to be on disk yet, and still in the queue: the rows will be written in their order as soon as the
    /// store can be. Do not acknowledge, do not undo, do not hand them in again (though each has a key of its own, so
    /// that would add nothing).
    #[error("the rows are not on disk yet; they stay in the queue")]
    TimedOut,
}

/// Rows handed in together; they are written in one transaction.
#[derive(Debug)]
struct Item {
    rows: Vec<Row>,
    /// Who waits for it; nobody, for pushed rows.
    ack: Option<oneshot::Sender<Result<(), CommitError>>>,
}

#[derive(Debug, Default)]
struct Tally {
    queued: AtomicU64,
    dropped: AtomicU64,
    committed: AtomicU64,
    batches: AtomicU64,
    failed_batches: AtomicU64,
    failing: AtomicBool,
}

impl Tally {
    /// A transaction of so many rows is on disk.
    fn written(&self, rows: u64) {
        self.queued.fetch_sub(rows, Ordering::Relaxed);
        self.committed.fetch_add(rows, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.failing.store(false, Ordering::Relaxed);
    }
}

/// What the recorder has done since its start, in rows unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Handed in and not yet written.
    pub queued: u64,
    /// Lost without anybody being told by `commit`: pushed when the queue was full or closed, refused by the store, or
    /// given up at the shutdown.
    pub dropped: u64,
    /// On disk.
    pub committed: u64,
    /// Transactions on disk.
    pub batches: u64,
    /// Tries of a transaction that failed.
    pub failed_batches: u64,
}

/// The waits of the recorder, in one place so that tests need not sit through them.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Longest a commit waits, and the writer for places given out before the shutdown.
    commit_wait: Duration,
    /// Longest that pushed rows wait for company.
    company: Duration,
    /// Between two tries of a transaction.
    retry: Duration,
}

const PACE: Pace =
    Pace { commit_wait: COMMIT_WAIT, company: Duration::from_millis(50), retry: Duration::from_millis(250) };

impl Recorder {
    /// Starts the one thread that writes to `store`. `queue` bounds what waits, counted in calls of `push` and
    /// `commit`; `on_fault` is told from that thread, in a sentence each, when writing fails, rows are lost, or
    /// writing works again.
    pub fn start(
        store: sqlite::Store,
        queue: usize,
        on_fault: impl Fn(&str) + Send + 'static,
    ) -> (Recorder, Writer) {
        Recorder::start_paced(store, queue, PACE, on_fault)
    }

    fn start_paced(
        store: sqlite::Store,
        queue: usize,
        pace: Pace,
        on_fault: impl Fn(&str) + Send + 'static,
    ) -> (Recorder, Writer) {
        let (recorder, receive) = Recorder::open(queue, pace.commit_wait);
        let closing = Arc::new(Notify::new());
        let thread = {
            let (tally, closing) = (Arc::clone(&recorder.tally), Arc::clone(&closing));
            std::thread::Builder::new()
                .name("records".to_owned())
                .spawn(move || writer::run(store, receive, &closing, pace, &tally, &on_fault))
                .expect("the system can start one thread")
        };
        (recorder, Writer { thread, closing })
    }

    /// Hands every row to whoever asks, with no thread and no store: time and order are the caller's. `queue` is as
    /// for `start`.
    pub fn to_rows(queue: usize) -> (Recorder, Rows) {
        let (recorder, items) = Recorder::open(queue, PACE.commit_wait);
        let rows = Rows { items, tally: Arc::clone(&recorder.tally) };
        (recorder, rows)
    }

    fn open(queue: usize, commit_wait: Duration) -> (Recorder, mpsc::Receiver<Item>) {
        let queue = queue.max(1);
        let (send, receive) = mpsc::channel(queue);
        let recorder =
            Recorder { queue: send, reserve: queue / RESERVE_PART, commit_wait, tally: Arc::default() };
        (recorder, receive)
    }

    /// Hands in rows and goes on at once. When the queue is full (but for the part kept for commits) or closed they
    /// are dropped and counted.
    pub fn push(&self, rows: Vec<Row>) {
        let count = rows.len() as u64;
        if count == 0 {
            return;
        }
        let fits = self.queue.capacity() > self.reserve;
        // Counted before they can be taken out, so that the count never passes below zero.
        self.tally.queued.fetch_add(count, Ordering::Relaxed);
        if !fits || self.queue.try_send(Item { rows, ack: None }).is_err() {
            self.tally.queued.fetch_sub(count, Ordering::Relaxed);
            self.tally.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Takes a place in the queue, at once or not at all: only `QueueFull` and `Closed` are possible. Call it before
    /// the change in memory whose rows must not be lost. The order of rows is that of `commit` and `push`, not of
    /// this. Hold a place briefly: the shutdown waits for it.
    pub fn reserve(&self) -> Result<Slot, CommitError> {
        match self.queue.clone().try_reserve_owned() {
            Ok(place) => Ok(Slot { place, commit_wait: self.commit_wait, tally: Arc::clone(&self.tally) }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(CommitError::QueueFull),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(CommitError::Closed),
        }
    }

    /// Whether the last try to write failed for want of a disk, a lock or memory: what is handed in waits.
    pub fn is_failing(&self) -> bool {
        self.tally.failing.load(Ordering::Relaxed)
    }

    /// All the numbers at once.
    pub fn counters(&self) -> Counters {
        Counters {
            queued: self.tally.queued.load(Ordering::Relaxed),
            dropped: self.tally.dropped.load(Ordering::Relaxed),
            committed: self.tally.committed.load(Ordering::Relaxed),
            batches: self.tally.batches.load(Ordering::Relaxed),
            failed_batches: self.tally.failed_batches.load(Ordering::Relaxed),
        }
    }
}

impl Slot {
    /// Hands in the rows at once, before the returned future is first polled. The future waits until their
    /// transaction is on disk, at most `COMMIT_WAIT`; dropping it withdraws nothing. Success means that everything
    /// handed in before is on disk too, but for what was counted as dropped. Without rows it only waits for that.
    pub fn commit(self, rows: Vec<Row>) -> impl Future<Output = Result<(), CommitError>> + Send + use<> {
        let Slot { place, commit_wait, tally } = self;
        let (ack, written) = oneshot::channel();
        let count = rows.len() as u64;
        tally.queued.fetch_add(count, Ordering::Relaxed);
        drop(place.send(Item { rows, ack: Some(ack) }));
        async move {
            match tokio::time::timeout(commit_wait, written).await {
                Ok(Ok(outcome)) => outcome,
                // The writer answers every item it takes: this one came after its end.
                Ok(Err(_)) => {
                    tally.queued.fetch_sub(count, Ordering::Relaxed);
                    Err(CommitError::Closed)
                }
                Err(_) => Err(CommitError::TimedOut),
            }
        }
    }
}

impl Writer {
    /// Refuses new rows, writes what is queued (with a few last tries if the store cannot be written, then it is
    /// counted as dropped), closes the store and returns. Blocks: call it off the runtime's threads.
    pub fn finish(self) {
        self.closing.notify_one();
        // The thread reports its own faults; a panic in it has been printed by the panic hook.
        drop(self.thread.join());
    }
}
