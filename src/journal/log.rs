//! What is to be written where, what is to be synced, and who may be told: a state machine without a disk or a clock.
//!
//! One write and one sync may be under way at a time, side by side. A record counts as on disk when its segment, and the
//! directory of it, were synced after it was written, and every record before it counts too. After one failed write or
//! sync all segments that are open are given up: what is not on disk is written again, with the same numbers, to a new
//! one. Whoever drives it does what `next_write` and `next_sync` say and brings back what became of it; it never asks
//! for a second sync of a segment that failed one.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::cursor::{Listed, end_of};
use super::disk::{Dir, File};
use super::format::{self, HEADER_BYTES, Header, LogId};
use super::survey::Tip;

/// Bytes after which a batch is not made larger.
pub(super) const BATCH_BYTES: usize = 1024 * 1024;

/// Records to be written at once, and who waits for them.
#[derive(Debug)]
pub(super) struct Batch<A> {
    bytes: Vec<u8>,
    first: u64,
    last: u64,
    kernel: Vec<(u64, A)>,
    disk: Vec<(u64, A)>,
}

impl<A> Batch<A> {
    /// Written into memory that was used before.
    pub fn new(mut bytes: Vec<u8>) -> Batch<A> {
        bytes.clear();
        Batch { bytes, first: 0, last: 0, kernel: Vec::new(), disk: Vec::new() }
    }

    /// Adds a record, whose kind, version and body `write` appends; gives its size, or takes it back if that is above
    /// the limit.
    pub fn add(&mut self, seq: u64, limit: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, usize> {
        let at = format::begin(&mut self.bytes);
        write(&mut self.bytes);
        let size = self.bytes.len() - at;
        if size > limit || size < format::RECORD_HEAD {
            self.bytes.truncate(at);
            return Err(size);
        }
        format::close(&mut self.bytes, at, seq);
        if self.first == 0 {
            self.first = seq;
        }
        self.last = seq;
        Ok(size)
    }

    /// Somebody waits until the record is in the kernel's hands.
    pub fn wait_for_kernel(&mut self, seq: u64, ack: A) {
        self.kernel.push((seq, ack));
    }

    /// Somebody waits until the record is on disk.
    pub fn wait_for_disk(&mut self, seq: u64, ack: A) {
        self.disk.push((seq, ack));
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The number of its first record; 0 if there is none.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Its bytes, to be stamped.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A write to be done.
#[derive(Debug)]
pub(super) struct WriteJob {
    pub file: Arc<dyn File>,
    pub at: u64,
    /// To be given back.
    pub bytes: Vec<u8>,
}

/// A sync to be done: the file, and then its directory where that is due.
#[derive(Debug)]
pub(super) struct SyncJob {
    pub file: Arc<dyn File>,
    pub dir: Option<Arc<dyn Dir>>,
    covers: u64,
}

/// What a writer does next.
#[derive(Debug)]
pub(super) enum Next {
    Nothing,
    /// Bring a segment with this header to `opened`.
    Segment(Header),
    Write(WriteJob),
}

/// A segment that is written to, or not synced to its end.
#[derive(Debug)]
struct Segment {
    number: u64,
    epoch: u32,
    file: Arc<dyn File>,
    dir: Arc<dyn Dir>,
    is_named: bool,
    /// Where the next batch goes.
    at: u64,
    bytes: u64,
    /// The last record written.
    written: u64,
    /// The last record a sync covered.
    synced: u64,
}

#[derive(Debug)]
struct Chunk<A> {
    batch: Batch<A>,
    number: u64,
    last_crc: u32,
    is_written: bool,
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Log<A> {
    id: LogId,
    segment_bytes: u64,
    /// The last record that is on disk and there.
    tip: Tip,
    /// The last number known to be on disk.
    durable: u64,
    /// The last segment begun.
    number: u64,
    list: Vec<Listed>,
    open: VecDeque<Segment>,
    /// Written or being written, not on disk, in their order.
    flight: VecDeque<Chunk<A>>,
    /// Not written, or to be written again.
    todo: VecDeque<Batch<A>>,
    /// Bytes in both.
    kept: usize,
    /// The last record written whose being on disk somebody waits for.
    awaited: u64,
    is_writing: bool,
    is_syncing: bool,
    has_failed: bool,
    poisoned: u64,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// Bytes of the last batch: what the next one will need.
    room: usize,
}

/// Buffers kept for further batches.
const SPARE_BUFFERS: usize = 4;

/// What to begin with.
#[derive(Debug)]
pub(super) struct Start {
    pub id: LogId,
    pub segment_bytes: u64,
    pub tip: Tip,
    /// The number of the next new record.
    pub next: u64,
    pub number: u64,
    pub list: Vec<Listed>,
}

impl<A> Log<A> {
    pub fn new(start: Start) -> Log<A> {
        let durable = start.next - 1;
        Log {
            id: start.id,
            segment_bytes: start.segment_bytes,
            tip: start.tip,
            durable,
            number: start.number,
            list: start.list,
            open: VecDeque::new(),
            flight: VecDeque::new(),
            kept: 0,
            awaited: 0,
            todo: VecDeque::new(),
            is_writing: false,
            is_syncing: false,
            has_failed: false,
            poisoned: 0,
            spare: Vec::new(),
            room: 0,
        }
    }

    /// The last record that is on disk.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether a write is under way.
    pub fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// Bytes in memory that are not on disk.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Whether everything handed in is on disk.
    pub fn is_settled(&self) -> bool {
        self.todo.is_empty() && self.flight.is_empty()
    }

    /// The last record there is, on disk or not.
    pub fn last(&self) -> u64 {
        let flight = self.flight.back().map(|chunk| &chunk.batch);
        self.todo.back().or(flight).map_or(self.durable, |batch| batch.last)
    }

    /// Whether something is written that is not on disk and no sync is under way.
    pub fn has_unsynced(&self) -> bool {
        let is_unsynced = |segment: &Segment| segment.written != segment.synced;
        !self.is_syncing && self.open.iter().any(is_unsynced)
    }

    /// Whether the next sync is to be at once: somebody waits for it, or much would come to wait for it.
    pub fn is_pressing(&self) -> bool {
        self.awaited > self.durable || self.open.len() > 1 || self.kept >= self.batch_limit()
    }

    /// Segments given up so far.
    pub fn poisoned(&self) -> u64 {
        self.poisoned
    }

    /// Segments begun, in their order.
    pub fn list(&self) -> &[Listed] {
        &self.list
    }

    /// Bytes after which a batch is not made larger.
    pub fn batch_limit(&self) -> usize {
        BATCH_BYTES.min((self.segment_bytes - HEADER_BYTES) as usize / 4)
    }

    /// The largest record: a batch that has nearly reached its limit takes it and still fits into a segment.
    pub fn record_limit(&self) -> usize {
        (self.segment_bytes - HEADER_BYTES) as usize - self.batch_limit()
    }

    /// Everybody who still waits, taken out: nothing will be written any more.
    pub fn waiting(&mut self) -> Vec<A> {
        let batches = self.flight.iter_mut().map(|chunk| &mut chunk.batch).chain(&mut self.todo);
        batches
            .flat_map(|batch| batch.kernel.drain(..).chain(batch.disk.drain(..)))
            .map(|(_, ack)| ack)
            .collect()
    }

    /// Memory for a batch.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(self.room))
    }

    /// Takes records that go on where the last ones ended.
    pub fn push(&mut self, batch: Batch<A>) {
        if batch.bytes.is_empty() {
            return;
        }
        self.room = batch.bytes.len();
        self.kept += self.room;
        self.todo.push_back(batch);
    }

    /// What to write now. A batch is stamped for its segment here.
    pub fn next_write(&mut self) -> Next {
        if self.is_writing || self.has_failed {
            return Next::Nothing;
        }
        let Some(first) = self.todo.front() else { return Next::Nothing };
        let size = first.bytes.len() as u64;
        let fits = |segment: &&mut Segment| segment.at + size <= segment.bytes;
        let Some(segment) = self.open.back_mut().filter(fits) else {
            return Next::Segment(self.next_header());
        };
        let Some(mut batch) = self.todo.pop_front() else { return Next::Nothing };
        let last_crc = format::stamp(&mut batch.bytes, segment.epoch, self.durable);
        let job = WriteJob {
            file: Arc::clone(&segment.file),
            at: segment.at,
            bytes: std::mem::take(&mut batch.bytes),
        };
        self.flight.push_back(Chunk { batch, number: segment.number, last_crc, is_written: false });
        self.is_writing = true;
        Next::Write(job)
    }

    /// The header of the next segment; its epoch is for the driver to draw.
    fn next_header(&self) -> Header {
        let tip =
            self.flight.back().map_or(self.tip, |chunk| Tip { seq: chunk.batch.last, crc: chunk.last_crc });
        let first = self.todo.front().map_or(self.durable + 1, |batch| batch.first);
        let (follows, chain) = (tip.seq, tip.crc);
        Header {
            id: self.id,
            number: self.number + 1,
            epoch: 0,
            first,
            follows,
            durable: self.durable,
            chain,
        }
    }

    /// A segment is there, named and with its header written, though neither is on disk.
    pub fn opened(&mut self, header: Header, file: Arc<dyn File>, place: usize, dir: Arc<dyn Dir>) {
        self.number = header.number;
        self.list.push(Listed { place, header, bytes: self.segment_bytes });
        self.open.push_back(Segment {
            number: header.number,
            epoch: header.epoch,
            file,
            dir,
            is_named: false,
            at: HEADER_BYTES,
            bytes: self.segment_bytes,
            written: header.first - 1,
            synced: header.first - 1,
        });
    }

    /// The segment of this number was begun and could not be: the number is not used again.
    pub fn not_opened(&mut self, header: Header) {
        self.number = header.number;
        self.has_failed = true;
        self.settle();
    }

    /// What became of the write. Gives who may be told that the kernel has their records.
    pub fn wrote(&mut self, bytes: Vec<u8>, result: &io::Result<()>) -> Vec<(u64, A)> {
        self.is_writing = false;
        let size = bytes.len() as u64;
        self.has_failed |= result.is_err();
        let Some(chunk) = self.flight.back_mut() else { return Vec::new() };
        chunk.batch.bytes = bytes;
        if self.has_failed {
            self.settle();
            return Vec::new();
        }
        chunk.is_written = true;
        if !chunk.batch.disk.is_empty() {
            self.awaited = chunk.batch.last;
        }
        if let Some(segment) = self.open.back_mut() {
            segment.at += size;
            segment.written = chunk.batch.last;
        }
        std::mem::take(&mut chunk.batch.kernel)
    }

    /// What to sync now: the oldest segment that needs it, so that the order on disk is the order of the records.
    pub fn next_sync(&mut self) -> Option<SyncJob> {
        if self.is_syncing || self.has_failed {
            return None;
        }
        while self.open.len() > 1 && self.is_done(0) {
            self.open.pop_front();
        }
        let segment = self.open.front()?;
        if segment.written == segment.synced {
            return None;
        }
        self.is_syncing = true;
        let dir = (!segment.is_named).then(|| Arc::clone(&segment.dir));
        Some(SyncJob { file: Arc::clone(&segment.file), dir, covers: segment.written })
    }

    /// Whether nothing more comes to this segment and everything in it is on disk.
    fn is_done(&self, index: usize) -> bool {
        let segment = &self.open[index];
        segment.written == segment.synced && self.flight.iter().all(|chunk| chunk.number != segment.number)
    }

    /// What became of the sync. Gives who may be told that their records are on disk.
    pub fn synced(&mut self, job: &SyncJob, result: &io::Result<()>) -> Vec<(u64, A)> {
        self.is_syncing = false;
        self.has_failed |= result.is_err();
        let mut acks = Vec::new();
        if self.has_failed {
            self.settle();
            return acks;
        }
        let Some(segment) = self.open.front_mut() else { return acks };
        segment.synced = job.covers;
        segment.is_named |= job.dir.is_some();
        while let Some(mut chunk) =
            self.flight.pop_front_if(|chunk| chunk.is_written && chunk.batch.last <= job.covers)
        {
            self.durable = chunk.batch.last;
            self.tip = Tip { seq: chunk.batch.last, crc: chunk.last_crc };
            self.kept -= chunk.batch.bytes.len();
            acks.append(&mut chunk.batch.kernel);
            acks.append(&mut chunk.batch.disk);
            if self.spare.len() < SPARE_BUFFERS {
                self.spare.push(chunk.batch.bytes);
            }
        }
        acks
    }

    /// Once nothing is under way, gives up every open segment: what is not on disk is to be written again.
    fn settle(&mut self) {
        if self.is_writing || self.is_syncing {
            return;
        }
        self.has_failed = false;
        self.poisoned += self.open.len().max(1) as u64;
        self.open.clear();
        while let Some(chunk) = self.flight.pop_back() {
            self.todo.push_front(chunk.batch);
        }
    }

    /// Takes segments from the list that are not needed any more; gives them to be removed in this order.
    pub fn release(&mut self, upto: u64, keep_bytes: u64) -> Vec<Listed> {
        let mut total: u64 = self.list.iter().map(|listed| listed.bytes).sum();
        let mut gone = Vec::new();
        let mut index = 0;
        // Only the oldest: without what supersedes it, what an older one has beyond its end would count again.
        let mut is_oldest = true;
        while index + 1 < self.list.len() {
            let (header, end) = (self.list[index].header, end_of(&self.list, index));
            let is_open = self.open.iter().any(|open| open.number == header.number);
            let is_needless = is_oldest && end <= upto.min(self.durable) && total > keep_bytes;
            if !is_open && (is_needless || self.is_covered(index)) {
                total -= self.list[index].bytes;
                gone.push(self.list.remove(index));
            } else {
                is_oldest = false;
                index += 1;
            }
        }
        gone
    }

    /// Whether no record of it counts, and a newer segment that is on disk supersedes all that it does.
    fn is_covered(&self, index: usize) -> bool {
        let header = self.list[index].header;
        let covers = |later: &Listed| {
            later.header.follows <= header.follows && later.header.first <= self.durable.min(header.first)
        };
        self.list[index + 1..].iter().any(covers)
    }
}
