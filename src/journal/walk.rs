//! Reading the records of one file in their order, and looking for good ones behind a bad one.
//!
//! It says what lies in the file. What a fault means, a torn tail or a loss, is judged by `survey`.

use std::io;
use std::sync::Arc;

use super::disk::File;
use super::format::{self, HEADER_BYTES, Header, RECORD_HEAD, Raw};

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;
/// Bytes looked through at once for good records behind a bad one.
const PAGE: usize = 4096;

/// A place in a file, with what was read ahead.
#[derive(Debug)]
pub(super) struct Walk {
    file: Arc<dyn File>,
    epoch: u32,
    size: u64,
    at: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    from: u64,
}

/// What lies at a place.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// The record that was expected.
    Record(Raw<'a>),
    /// No record: zeros, or the end of the file.
    End,
    /// Something that is not the record expected.
    Bad,
}

/// What lies behind the place where reading stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beyond {
    /// Bytes from there to the last that is not zero.
    pub bytes: u64,
    /// Good records with a number not below the expected one.
    pub good: u64,
    /// The highest number of those.
    pub highest: u64,
    /// The highest record any of them knew to be on disk.
    pub durable: u64,
}

impl Walk {
    pub fn new(file: Arc<dyn File>, header: &Header) -> io::Result<Walk> {
        let size = file.len()?;
        Ok(Walk { file, epoch: header.epoch, size, at: HEADER_BYTES, buffer: Vec::new(), from: HEADER_BYTES })
    }

    /// Where the next record begins.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Forgets what was read ahead: the file may have been written since.
    pub fn forget(&mut self) {
        self.buffer.clear();
        self.from = self.at;
    }

    /// The record with this number, if it lies here.
    pub fn next(&mut self, expected: u64) -> io::Result<Step<'_>> {
        if self.at + RECORD_HEAD as u64 > self.size {
            return Ok(Step::End);
        }
        let epoch = self.epoch;
        let Some(head) = self.fill(RECORD_HEAD)? else { return Ok(Step::End) };
        if format::u32_at(head, 0) == 0 {
            return Ok(Step::End);
        }
        let Some(len) = format::claimed_len(head, epoch) else { return Ok(Step::Bad) };
        if self.at + len as u64 > self.size {
            return Ok(Step::Bad);
        }
        if self.fill(len)?.is_none() {
            return Ok(Step::Bad);
        }
        let start = (self.at - self.from) as usize;
        match format::read(&self.buffer[start..start + len], epoch) {
            Some(raw) if raw.seq == expected => {
                self.at += len as u64;
                Ok(Step::Record(raw))
            }
            _ => Ok(Step::Bad),
        }
    }

    /// At least `need` bytes from the place on; `None` where the file ends before.
    fn fill(&mut self, need: usize) -> io::Result<Option<&[u8]>> {
        let start = (self.at - self.from) as usize;
        if self.buffer.len() < start + need {
            let ahead = BLOCK.max(need).min((self.size - self.at) as usize);
            self.buffer.resize(ahead, 0);
            let count = self.file.read_at(&mut self.buffer, self.at)?;
            self.buffer.truncate(count);
            self.from = self.at;
        }
        let start = (self.at - self.from) as usize;
        Ok(self.buffer.get(start..start + need))
    }

    /// Looks through the rest of the file for good records with `expected` or a higher number.
    pub fn beyond(&self, expected: u64) -> io::Result<Beyond> {
        let mut found = Beyond::default();
        let epoch = self.epoch.to_le_bytes();
        let mut page = vec![0; PAGE + RECORD_HEAD];
        let mut at = self.at;
        while at < self.size {
            let count = self.file.read_at(&mut page, at)?;
            let here = &page[..count];
            let Some(last) = here.iter().take(PAGE).rposition(|byte| *byte != 0) else {
                at += PAGE as u64;
                continue;
            };
            found.bytes = at + last as u64 + 1 - self.at;
            let mut next = at + PAGE as u64;
            for start in 0..PAGE.min(count.saturating_sub(RECORD_HEAD - 1)) {
                if here[start + 8..start + 12] != epoch {
                    continue;
                }
                if let Some(len) = self.take_good(&here[start..], at + start as u64, expected, &mut found)? {
                    next = at + start as u64 + len;
                    found.bytes = found.bytes.max(next - self.at);
                    break;
                }
            }
            at = next;
        }
        Ok(found)
    }

    /// Notes the good record at this place, if one lies there, and gives its length.
    fn take_good(&self, head: &[u8], at: u64, expected: u64, found: &mut Beyond) -> io::Result<Option<u64>> {
        let Some(len) = format::claimed_len(head, self.epoch) else { return Ok(None) };
        if at + len as u64 > self.size {
            return Ok(None);
        }
        let mut record = vec![0; len];
        let count = self.file.read_at(&mut record, at)?;
        let raw = (count == len).then(|| format::read(&record, self.epoch)).flatten();
        let Some(raw) = raw.filter(|raw| raw.seq >= expected) else { return Ok(None) };
        found.good += 1;
        found.highest = found.highest.max(raw.seq);
        found.durable = found.durable.max(raw.durable);
        Ok(Some(len as u64))
    }
}
