//! What the rest of the process holds of a running journal: how far it is, what reads it, its counters, its end.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::append::{Bell, Intake, lock};
use super::cursor::{Cursor, Read, ReadError, Reader};
use super::disk::Dir;
use super::format::LogId;
use super::log::Log;
use super::snapshot::SnapshotWriter;
use super::survey::snapshot_name;
use super::{Ack, AppendError, Choice};

/// Buckets of `Counters::sync_micros`.
const BUCKETS: usize = 32;
/// A failed step is tried again after this long; at once if the last failure lies further back.
pub(super) const RETRY: Duration = Duration::from_millis(250);
/// Faults further apart are rare ones.
const RARE: Duration = Duration::from_secs(1);
/// A lasting fault is said again after this long.
const REPEAT: Duration = Duration::from_secs(10);

/// What the hands of a journal share.
pub(super) struct Core {
    pub dirs: Arc<[Arc<dyn Dir>]>,
    pub id: LogId,
    pub choice: Choice,
    pub keep_bytes: u64,
    pub segment_bytes: u64,
    pub log: Mutex<Log<Ack>>,
    pub writer: Arc<Bell>,
    pub syncer: Bell,
    pub house: Bell,
    pub intake: Arc<Intake>,
    /// No record comes any more but those that have a place.
    pub is_closing: AtomicBool,
    /// Nothing is written any more.
    pub has_ended: AtomicBool,
    /// What is written waits for company before it is synced.
    pub is_resting: AtomicBool,
    /// Somebody asks for what is written to be synced at once.
    pub is_hurried: AtomicBool,
    /// The last try to prepare a segment failed.
    pub is_unprepared: AtomicBool,
    /// Where segments are begun: index of the directory.
    pub place: AtomicUsize,
    pub tally: Tally,
    /// The last record on disk.
    durable: AtomicU64,
    /// Guards nothing: whoever waits for `durable` without a runtime sleeps on it.
    asleep: Mutex<()>,
    moved: Condvar,
    released: AtomicU64,
    snapshot: AtomicU64,
    on_fault: Box<dyn Fn(&str) + Send + Sync>,
    /// When each kind of fault was last said.
    said: Mutex<Vec<(&'static str, Instant)>>,
    failed: Mutex<Option<Instant>>,
    /// When the last write, sync or beginning of a segment failed.
    setback: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub batches: AtomicU64,
    pub syncs: AtomicU64,
    pub sync_micros: [AtomicU64; BUCKETS],
    pub faults: AtomicU64,
    pub free_bytes: AtomicU64,
    pub total_bytes: AtomicU64,
}

/// Counts since the start, and how things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// What writes, and why that.
    pub choice: Choice,
    /// Records taken, and their bytes with heads.
    pub records: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Writes.
    pub batches: u64,
    /// Syncs that went well.
    pub syncs: u64,
    /// Those by time taken: at `n`, syncs of less than 2^n microseconds and not less than half of it.
    pub sync_micros: [u64; BUCKETS],
    /// Writes, syncs and preparations that failed.
    pub faults: u64,
    /// Segments given up after a fault.
    pub poisoned: u64,
    /// Bulk records dropped for want of a place or of disk.
    pub dropped_bulk: u64,
    /// Records of money pushed without a place and dropped.
    pub dropped_money: u64,
    /// Bytes in memory that are not on disk.
    pub kept_bytes: u64,
    /// Segments there are.
    pub segments: u64,
    /// Bytes free on the disk.
    pub free_bytes: u64,
    /// Bytes of the disk.
    pub total_bytes: u64,
    /// Whether the disk is nearly full, so that bulk records are dropped.
    pub is_low: bool,
}

/// What to make a `Core` of.
pub(super) struct Parts {
    pub dirs: Arc<[Arc<dyn Dir>]>,
    pub id: LogId,
    pub choice: Choice,
    pub keep_bytes: u64,
    pub segment_bytes: u64,
    pub log: Log<Ack>,
    pub snapshot: u64,
    pub on_fault: Box<dyn Fn(&str) + Send + Sync>,
}

impl Core {
    pub fn new(parts: Parts) -> Core {
        Core {
            durable: AtomicU64::new(parts.log.durable()),
            dirs: parts.dirs,
            id: parts.id,
            choice: parts.choice,
            keep_bytes: parts.keep_bytes,
            segment_bytes: parts.segment_bytes,
            log: Mutex::new(parts.log),
            writer: Arc::default(),
            syncer: Bell::default(),
            house: Bell::default(),
            intake: Arc::default(),
            is_closing: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            is_resting: AtomicBool::new(false),
            is_hurried: AtomicBool::new(false),
            is_unprepared: AtomicBool::new(false),
            place: AtomicUsize::new(0),
            tally: Tally::default(),
            asleep: Mutex::new(()),
            moved: Condvar::new(),
            released: AtomicU64::new(0),
            snapshot: AtomicU64::new(parts.snapshot),
            on_fault: parts.on_fault,
            said: Mutex::new(Vec::new()),
            failed: Mutex::new(None),
            setback: Mutex::new(None),
        }
    }

    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Whether the next sync is to be at once.
    pub fn is_pressing(&self, log: &Log<Ack>) -> bool {
        log.is_pressing()
            || self.is_hurried.load(Ordering::Relaxed)
            || self.is_closing.load(Ordering::Acquire)
    }

    /// Whether whoever syncs would do so now, or does not know yet that something is written.
    pub fn wants_sync(&self) -> bool {
        !self.is_resting.load(Ordering::Relaxed) || self.is_pressing(&lock(&self.log))
    }

    /// Notes how far it is; whether that is further than before, so that readers are to be woken.
    pub fn reach(&self, durable: u64) -> bool {
        self.durable.fetch_max(durable, Ordering::AcqRel) < durable
    }

    pub fn wake_readers(&self) {
        let asleep = lock(&self.asleep);
        drop(asleep);
        self.moved.notify_all();
    }

    /// Waits without a runtime; whether a record past `seq` is on disk. Ends early with the journal.
    fn wait_past(&self, seq: u64, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut asleep = lock(&self.asleep);
        loop {
            if self.durable() > seq {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.has_ended.load(Ordering::Acquire) {
                return false;
            }
            asleep = self.moved.wait_timeout(asleep, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn snapshot_is(&self, covers: u64) {
        self.snapshot.fetch_max(covers, Ordering::AcqRel);
        self.house.ring();
    }

    /// Up to where nobody needs records any more, and the newest snapshot.
    pub fn released(&self) -> (u64, u64) {
        let snapshot = self.snapshot.load(Ordering::Acquire);
        (self.released.load(Ordering::Acquire).min(snapshot), snapshot)
    }

    /// Says a fault of this kind, unless that was just done.
    pub fn say(&self, kind: &'static str, what: &dyn fmt::Display) {
        self.tally.faults.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        {
            let mut said = lock(&self.said);
            if let Some(known) = said.iter_mut().find(|known| known.0 == kind) {
                if now.duration_since(known.1) < REPEAT {
                    return;
                }
                known.1 = now;
            } else {
                said.push((kind, now));
            }
        }
        (self.on_fault)(&format!("{kind}: {what}"));
    }

    /// Says something that happens once.
    pub fn tell(&self, what: &str) {
        (self.on_fault)(what);
    }

    /// A write or sync failed: its segments are given up, and the next one is begun elsewhere if there is an elsewhere.
    pub fn failed(&self, kind: &'static str, error: &io::Error) {
        let place = self.place.load(Ordering::Relaxed);
        self.place.store((place + 1) % self.dirs.len(), Ordering::Relaxed);
        lock(&self.failed).get_or_insert_with(Instant::now);
        {
            let mut setback = lock(&self.setback);
            let is_again = setback.is_some_and(|at| at.elapsed() < RARE);
            let now = Instant::now();
            *setback = if is_again { Some(now) } else { now.checked_sub(RETRY) };
        }
        self.say(
            kind,
            &format_args!("{error}; nothing is acknowledged from that segment, a new one takes over"),
        );
        self.writer.ring();
        self.house.ring();
    }

    /// How long the next segment is not begun yet, so that a disk on which everything fails is not filled with segments
    /// that were given up. After a rare fault it is begun at once.
    pub fn pause(&self) -> Duration {
        lock(&self.setback).map_or(Duration::ZERO, |at| RETRY.saturating_sub(at.elapsed()))
    }

    /// Nothing can be written before there is another segment.
    pub fn stands_still(&self) {
        lock(&self.failed).get_or_insert_with(Instant::now);
    }

    /// A sync went well.
    pub fn works(&self, took: Duration) {
        self.tally.syncs.fetch_add(1, Ordering::Relaxed);
        let micros = took.as_micros() as u64;
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.tally.sync_micros[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        let since = lock(&self.failed).take();
        if let Some(since) = since {
            self.tell(&format!(
                "the journal reaches the disk again after {} ms",
                since.elapsed().as_millis()
            ));
        }
    }
}

/// A running journal. Cheap to clone.
#[derive(Clone)]
pub struct Keeper {
    core: Arc<Core>,
    hands: Arc<Hands>,
}

/// The threads; when nobody holds the journal any more they end by themselves.
struct Hands {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.core.is_closing.store(true, Ordering::Release);
        self.core.writer.ring();
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("durable", &self.durable_seq()).finish_non_exhaustive()
    }
}

/// How a journal was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was not written is to be said"]
pub struct Closed {
    /// The last record on disk.
    pub durable: u64,
    /// Whether everything handed in is on disk.
    pub is_complete: bool,
}

impl Keeper {
    pub(super) fn new(core: Arc<Core>, threads: Vec<JoinHandle<()>>) -> Keeper {
        let hands = Hands { core: Arc::clone(&core), threads: Mutex::new(threads) };
        Keeper { core, hands: Arc::new(hands) }
    }

    /// Which journal it is: a number that no other has.
    pub fn id(&self) -> u64 {
        name(&self.core.id)
    }

    /// The oldest record that is kept.
    pub fn first_seq(&self) -> u64 {
        let log = lock(&self.core.log);
        log.list().first().map_or(log.durable() + 1, |listed| listed.header.first)
    }

    /// Whether the last write or sync failed, or there is no segment to write to.
    pub fn is_failing(&self) -> bool {
        lock(&self.core.failed).is_some()
    }

    /// Whether nothing is written any more.
    pub fn has_ended(&self) -> bool {
        self.core.has_ended.load(Ordering::Acquire)
    }

    /// The newest snapshot: the last record it covers, and its records.
    pub fn snapshot(&self) -> Result<Option<(u64, Reader)>, ReadError> {
        let covers = self.core.snapshot.load(Ordering::Acquire);
        if covers == 0 {
            return Ok(None);
        }
        let (_, reader) = Reader::of_snapshot(&*self.core.dirs[0], &snapshot_name(covers))?;
        Ok(Some((covers, reader)))
    }

    /// The last record that is on disk.
    pub fn durable_seq(&self) -> u64 {
        self.core.durable()
    }

    /// The last record that is written or about to be. What is written goes to disk at once.
    pub fn hurry(&self) -> u64 {
        self.core.is_hurried.store(true, Ordering::Relaxed);
        let last = lock(&self.core.log).last();
        // One hand is both where threads write.
        self.core.writer.ring();
        self.core.syncer.ring();
        last
    }

    #[cfg(test)]
    pub(super) fn knows_what_is_settled(&self) -> bool {
        let log = lock(&self.core.log);
        self.core.durable() == log.durable()
    }

    /// Blocks until a record after `seq` is on disk; whether that happened in time.
    pub fn wait_durable_past(&self, seq: u64, limit: Duration) -> bool {
        self.core.wait_past(seq, limit)
    }

    /// The records after this one, as they come to disk. A record not released is there.
    pub fn tail(&self, after: u64) -> Tail {
        Tail { cursor: Cursor::new(Arc::clone(&self.core.dirs), after), core: Arc::clone(&self.core) }
    }

    /// Begins a snapshot that stands for all records up to this one, which must be on disk.
    pub fn begin_snapshot(&self, covers: u64) -> io::Result<SnapshotWriter> {
        if covers > self.durable_seq() {
            let (durable, what) = (self.durable_seq(), "cannot be covered by a snapshot");
            return Err(io::Error::other(format!("record {covers} {what}: the disk has up to {durable}")));
        }
        let epoch = super::drive::epoch();
        let core = Arc::clone(&self.core);
        SnapshotWriter::new(Arc::clone(&core.dirs[0]), core.id, covers, epoch, Some(core))
    }

    /// No reader needs records up to this one any more. What the newest snapshot covers too may go, beyond what is kept.
    pub fn release(&self, upto: u64) {
        self.core.released.fetch_max(upto, Ordering::AcqRel);
        self.core.house.ring();
    }

    /// What it did since the start.
    pub fn counters(&self) -> Counters {
        let (poisoned, kept, segments) = {
            let log = lock(&self.core.log);
            (log.poisoned(), log.kept() as u64, log.list().len() as u64)
        };
        let (tally, intake) = (&self.core.tally, &self.core.intake);
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            choice: self.core.choice.clone(),
            records: get(&tally.records),
            bytes: get(&tally.bytes),
            batches: get(&tally.batches),
            syncs: get(&tally.syncs),
            sync_micros: std::array::from_fn(|bucket| get(&tally.sync_micros[bucket])),
            faults: get(&tally.faults),
            poisoned,
            dropped_bulk: get(&intake.dropped_bulk),
            dropped_money: get(&intake.dropped_money),
            kept_bytes: kept,
            segments,
            free_bytes: get(&tally.free_bytes),
            total_bytes: get(&tally.total_bytes),
            is_low: intake.is_low.load(Ordering::Relaxed),
        }
    }

    /// Takes nothing new, brings what was handed in to disk, notes the end, and waits for all of that: blocking, for
    /// some seconds where the disk is at fault.
    pub fn close(&self) -> Closed {
        self.core.is_closing.store(true, Ordering::Release);
        self.core.writer.ring();
        let threads = std::mem::take(&mut *lock(&self.hands.threads));
        for thread in threads {
            if thread.join().is_err() {
                self.core.tell("a thread of the journal ended in a panic");
            }
        }
        let is_complete = lock(&self.core.log).is_settled();
        Closed { durable: self.durable_seq(), is_complete }
    }
}

/// A journal's identity as a number.
pub(super) fn name(id: &LogId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

impl Core {
    /// Nothing is written any more: tells everybody who waits.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        let left = lock(&self.log).waiting();
        for ack in left {
            // Whoever stopped waiting does not hear it.
            let _ = ack.send(Err(AppendError::Closed));
        }
        self.wake_readers();
        self.syncer.ring();
        self.house.ring();
    }
}

/// The records of a running journal, in their order, once they are on disk. It reads the files.
pub struct Tail {
    cursor: Cursor,
    core: Arc<Core>,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("after", &self.cursor.after()).finish_non_exhaustive()
    }
}

impl Tail {
    /// The last record given.
    pub fn after(&self) -> u64 {
        self.cursor.after()
    }

    /// The next records, about as many bytes of them; none after waiting that long. `None` at the end: the journal is
    /// closed and everything on disk was given.
    pub fn batch(&mut self, bytes: usize, wait: Duration) -> Result<Option<Vec<Read>>, ReadError> {
        let has_ended = self.core.has_ended.load(Ordering::Acquire);
        if !self.core.wait_past(self.cursor.after(), wait) {
            return Ok((!has_ended).then(Vec::new));
        }
        // First how far, then where: a list read later has every segment those records lie in.
        let durable = self.core.durable();
        let list = lock(&self.core.log).list().to_vec();
        self.cursor.batch(&list, durable, bytes).map(Some)
    }
}
