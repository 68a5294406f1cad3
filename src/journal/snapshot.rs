//! Writing a snapshot: records that stand for all of the log up to one of it. It is there whole or not at all.
//!
//! What the records are is for the caller to know; the newest snapshot is read back by `Found::snapshot`.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::cursor::END_KIND;
use super::disk::{Dir, File};
use super::format::{self, HEADER_BYTES, Header, LogId, Sort};
use super::keeper::Core;
use super::survey::{SNAPSHOT_NEW, snapshot_name};

/// Bytes gathered before they are written.
const AHEAD: usize = 256 * 1024;

/// A snapshot that is being written; dropped before `commit`, it never was.
pub struct SnapshotWriter {
    draft: Draft,
    core: Option<Arc<Core>>,
}

impl fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWriter").field("covers", &self.draft.header.number).finish_non_exhaustive()
    }
}

impl SnapshotWriter {
    pub(super) fn new(
        dir: Arc<dyn Dir>,
        id: LogId,
        covers: u64,
        epoch: u32,
        core: Option<Arc<Core>>,
    ) -> io::Result<Self> {
        Ok(SnapshotWriter { draft: Draft::new(dir, id, covers, epoch)?, core })
    }

    /// Adds a record; kind 0 is taken.
    pub fn put(&mut self, kind: u8, version: u8, body: &[u8]) -> io::Result<()> {
        debug_assert_ne!(kind, END_KIND);
        self.draft.put(kind, version, body)
    }

    /// Makes it the newest snapshot, on disk. Older ones, and segments only they needed, go with the next `release`.
    pub fn commit(mut self) -> io::Result<()> {
        let covers = self.draft.header.number;
        self.draft.commit()?;
        if let Some(core) = &self.core {
            core.snapshot_is(covers);
        }
        Ok(())
    }
}

struct Draft {
    dir: Arc<dyn Dir>,
    file: Arc<dyn File>,
    header: Header,
    at: u64,
    next: u64,
    buffer: Vec<u8>,
    has_name: bool,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.has_name {
            // The room it takes may be what the journal waits for. A start would take it away too.
            drop(self.dir.remove(SNAPSHOT_NEW));
        }
    }
}

impl Draft {
    fn new(dir: Arc<dyn Dir>, id: LogId, covers: u64, epoch: u32) -> io::Result<Draft> {
        let file = dir.create(SNAPSHOT_NEW)?;
        let header = Header { id, number: covers, epoch, first: 1, follows: 0, durable: covers, chain: 0 };
        file.write_at(&header.encode(Sort::Snapshot), 0)?;
        Ok(Draft { dir, file, header, at: HEADER_BYTES, next: 1, buffer: Vec::new(), has_name: false })
    }

    fn put(&mut self, kind: u8, version: u8, body: &[u8]) -> io::Result<()> {
        let at = format::begin(&mut self.buffer);
        self.buffer.extend_from_slice(&[kind, version]);
        self.buffer.extend_from_slice(body);
        format::close(&mut self.buffer, at, self.next);
        self.next += 1;
        if self.buffer.len() >= AHEAD { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        format::stamp(&mut self.buffer, self.header.epoch, 0);
        self.file.write_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        self.put(END_KIND, 0, &[])?;
        self.flush()?;
        self.file.sync()?;
        self.dir.rename(SNAPSHOT_NEW, &snapshot_name(self.header.number))?;
        self.has_name = true;
        self.dir.sync()
    }
}
