//! The steps that touch the disk, one function each, the same for every driver and for the simulation.
//!
//! No step is repeated after a failed sync on the file that failed: a kernel may have dropped what it could not write
//! and say that all is well the next time.

use std::io;
use std::sync::Arc;

use super::cursor::segment_name;
use super::disk::{Dir, File};
use super::format::{self, Header, LogId, Sort};
use super::log::{SyncJob, WriteJob};
use super::survey::{AGAIN_NEW, ID, ID_NEW, MARK, MARK_NEW, RESERVE, RESERVE_NEW, SPARE, SPARE_NEW};

/// Bytes of zeros written at once.
const ZEROS: usize = 1024 * 1024;

/// Writes a batch where it belongs.
pub(super) fn write(job: &WriteJob) -> io::Result<()> {
    job.file.write_at(&job.bytes, job.at)
}

/// Syncs a segment, and its directory if its name is not known to be on disk.
pub(super) fn sync(job: &SyncJob) -> io::Result<()> {
    job.file.sync()?;
    if let Some(dir) = &job.dir {
        dir.sync()?;
    }
    Ok(())
}

/// Makes the prepared segment the one of this header. Neither name nor header are on disk before its first sync.
pub(super) fn open_segment(dir: &dyn Dir, header: &Header, name: &str) -> io::Result<Arc<dyn File>> {
    dir.rename(SPARE, name)?;
    let opened = dir.open(name).and_then(|file| {
        file.write_at(&header.encode(Sort::Segment), 0)?;
        Ok(file)
    });
    if opened.is_err() {
        // Without a head it is nothing; a start would take it away too.
        drop(dir.remove(name));
    }
    opened
}

/// Prepares a segment: zeros that are on disk, so that syncing what is written over them moves no metadata.
pub(super) fn prepare(dir: &dyn Dir, bytes: u64) -> io::Result<()> {
    zeros(dir, SPARE_NEW, SPARE, bytes)
}

/// Keeps a segment's room for when the disk is full.
pub(super) fn reserve(dir: &dyn Dir, bytes: u64) -> io::Result<()> {
    zeros(dir, RESERVE_NEW, RESERVE, bytes)
}

/// Makes the reserve the prepared segment.
pub(super) fn use_reserve(dir: &dyn Dir) -> io::Result<()> {
    dir.rename(RESERVE, SPARE)?;
    dir.sync()
}

fn zeros(dir: &dyn Dir, draft: &str, name: &str, bytes: u64) -> io::Result<()> {
    let filled = (|| {
        let file = dir.create(draft)?;
        let block = vec![0; ZEROS.min(bytes as usize)];
        let mut at = 0;
        while at < bytes {
            let count = (bytes - at).min(block.len() as u64);
            file.write_at(&block[..count as usize], at)?;
            at += count;
        }
        file.sync()
    })();
    if let Err(error) = filled {
        // Room taken in vain is given back; a later try begins anew either way.
        drop(dir.remove(draft));
        return Err(error);
    }
    dir.rename(draft, name)?;
    dir.sync()
}

/// Writes a small file so that after a power cut it is there whole or not at all.
fn put(dir: &dyn Dir, draft: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = dir.create(draft)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    dir.rename(draft, name)?;
    dir.sync()
}

/// Writes a whole segment, which gets its name when its records are on disk.
pub(super) fn put_again(dir: &dyn Dir, header: &Header, records: &[u8]) -> io::Result<()> {
    let mut bytes = header.encode(Sort::Segment);
    bytes.extend_from_slice(records);
    put(dir, AGAIN_NEW, &segment_name(header.number), &bytes)
}

/// Begins a journal: the mark first, so that one which has an identity has a mark.
pub(super) fn begin(dir: &dyn Dir, id: &LogId) -> io::Result<()> {
    whole_mark(dir, id, 0, 0)?;
    put(dir, ID_NEW, ID, &format::identity(id))
}

fn whole_mark(dir: &dyn Dir, id: &LogId, turn: u64, seq: u64) -> io::Result<()> {
    let mut bytes = vec![0; format::MARK_BYTES];
    let (at, slot) = format::mark(id, turn, seq);
    bytes[at as usize..at as usize + slot.len()].copy_from_slice(&slot);
    put(dir, MARK_NEW, MARK, &bytes)
}

/// The mark: the last record known to be on disk, written now and then.
#[derive(Debug)]
pub(super) struct Mark {
    id: LogId,
    turn: u64,
    seq: u64,
    file: Option<Arc<dyn File>>,
}

impl Mark {
    /// As it was found.
    pub fn new(id: LogId, turn: u64, seq: u64) -> Mark {
        Mark { id, turn, seq, file: None }
    }

    /// The record it names.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Moves it on. After a fault the next one is a new file, since the old one's pages cannot be trusted.
    pub fn put(&mut self, dir: &dyn Dir, seq: u64) -> io::Result<()> {
        self.turn += 1;
        match self.file.take() {
            None => {
                whole_mark(dir, &self.id, self.turn, seq)?;
                self.file = Some(dir.open(MARK)?);
            }
            Some(file) => {
                let (at, slot) = format::mark(&self.id, self.turn, seq);
                file.write_at(&slot, at)?;
                file.sync()?;
                self.file = Some(file);
            }
        }
        self.seq = seq;
        Ok(())
    }
}
