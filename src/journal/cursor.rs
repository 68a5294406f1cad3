//! Where the records are: the list of segments, and a reader that follows it from one to the next.
//!
//! A record may lie in two segments, when it was written again after a fault. The list says which one counts: an older
//! segment ends where a newer one goes on from.

use std::collections::VecDeque;
use std::sync::Arc;

use super::disk::Dir;
use super::format::{self, HEADER_BYTES, Header, Raw, Sort};
use super::walk::{Step, Walk};

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its number in the log.
    pub seq: u64,
    /// What it is.
    pub kind: u8,
    /// Which version of it.
    pub version: u8,
    /// Its content.
    pub body: Vec<u8>,
}

impl Read {
    /// What it takes in the journal, with its head.
    pub fn bytes(&self) -> u64 {
        (format::RECORD_HEAD + self.body.len()) as u64
    }
}

/// Records one behind the other in one piece of memory, for who reads very many.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    heads: Vec<Head>,
}

#[derive(Debug)]
struct Head {
    seq: u64,
    kind: u8,
    version: u8,
    length: usize,
}

/// A record of a block.
#[derive(Debug, PartialEq, Eq)]
pub struct Lent<'a> {
    /// Its number in the log.
    pub seq: u64,
    /// What it is.
    pub kind: u8,
    /// Which version of it.
    pub version: u8,
    /// Its content, which may be changed where it lies.
    pub body: &'a mut [u8],
}

impl Block {
    /// Its records, in their order.
    pub fn records(&mut self) -> impl Iterator<Item = Lent<'_>> {
        let mut rest = &mut self.bytes[..];
        self.heads.iter().map(move |&Head { seq, kind, version, length }| {
            let (body, behind) = std::mem::take(&mut rest).split_at_mut(length);
            rest = behind;
            Lent { seq, kind, version, body }
        })
    }

    /// Bytes of what is in them.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.heads.clear();
    }

    fn push(&mut self, raw: Raw<'_>) {
        let Raw { seq, kind, version, body, .. } = raw;
        self.heads.push(Head { seq, kind, version, length: body.len() });
        self.bytes.extend_from_slice(body);
    }
}

impl From<Raw<'_>> for Read {
    fn from(raw: Raw<'_>) -> Read {
        Read { seq: raw.seq, kind: raw.kind, version: raw.version, body: raw.body.to_vec() }
    }
}

/// A record that is known to be in the journal cannot be read from it.
#[derive(Debug, thiserror::Error)]
#[error("{file}, byte {at}: record {seq} cannot be read: {why}")]
pub struct ReadError {
    /// The file.
    pub file: String,
    /// Where in it.
    pub at: u64,
    /// Which record was expected.
    pub seq: u64,
    /// What is wrong.
    pub why: String,
}

/// A segment as the list knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Index of its directory.
    pub place: usize,
    pub header: Header,
    /// Of the file.
    pub bytes: u64,
}

impl Listed {
    pub fn name(&self) -> String {
        segment_name(self.header.number)
    }
}

/// The name of a segment's file.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:010}.seg")
}

/// The last record of the segment at `index` that counts; below its first if none does.
pub(super) fn end_of(list: &[Listed], index: usize) -> u64 {
    list[index + 1..].iter().map(|later| later.header.follows).min().unwrap_or(u64::MAX)
}

/// Whether any record of the segment at `index` counts, or could.
pub(super) fn is_live(list: &[Listed], index: usize) -> bool {
    list[index].header.first <= end_of(list, index)
}

/// A reader's place in the log.
#[derive(Debug)]
pub(super) struct Cursor {
    dirs: Arc<[Arc<dyn Dir>]>,
    /// The next record wanted.
    next: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    file: String,
    walk: Walk,
    /// The record that lies where the walk stands.
    at: u64,
}

impl Cursor {
    pub fn new(dirs: Arc<[Arc<dyn Dir>]>, after: u64) -> Cursor {
        Cursor { dirs, next: after + 1, open: None }
    }

    /// The last record given.
    pub fn after(&self) -> u64 {
        self.next - 1
    }

    /// Reads on, not past `limit`, until `bytes` of bodies came together; nothing only if there is nothing. The list
    /// must be no older than the limit.
    pub fn batch(&mut self, list: &[Listed], limit: u64, bytes: usize) -> Result<Vec<Read>, ReadError> {
        let mut batch = Vec::new();
        self.each(list, limit, bytes, |raw| batch.push(raw.into()))?;
        Ok(batch)
    }

    /// As `batch`, and hands out each record where it was read.
    fn each(
        &mut self,
        list: &[Listed],
        limit: u64,
        bytes: usize,
        mut take: impl FnMut(Raw<'_>),
    ) -> Result<(), ReadError> {
        let mut size = 0;
        while self.next <= limit && size < bytes {
            let wanted = (0..list.len()).find(|at| is_live(list, *at) && end_of(list, *at) >= self.next);
            let Some(index) = wanted else { break };
            let end = end_of(list, index).min(limit);
            let mut read_on = || {
                self.enter(&list[index])?;
                self.next = self.next.max(list[index].header.first);
                while self.next <= end && size < bytes {
                    self.one(|raw| {
                        size += raw.body.len() + format::RECORD_HEAD;
                        take(raw);
                    })?;
                }
                Ok(())
            };
            match read_on() {
                Ok(()) => {}
                // What was read before is handed out, or it would be passed over; the error comes again the next time.
                Err(_) if size > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the segment, unless it is the one that is open.
    fn enter(&mut self, listed: &Listed) -> Result<(), ReadError> {
        if self.open.as_ref().is_some_and(|open| open.number == listed.header.number) {
            return Ok(());
        }
        let dir = &self.dirs[listed.place];
        let file = dir.path().join(listed.name()).display().to_string();
        let opened = dir.open(&listed.name()).and_then(|found| Walk::new(found, &listed.header));
        match opened {
            Ok(walk) => {
                self.open = Some(Open { number: listed.header.number, file, walk, at: listed.header.first });
                Ok(())
            }
            Err(error) => Err(ReadError { file, at: HEADER_BYTES, seq: self.next, why: error.to_string() }),
        }
    }

    /// The next record, from the open segment.
    fn one(&mut self, take: impl FnOnce(Raw<'_>)) -> Result<(), ReadError> {
        let Some(open) = self.open.as_mut() else { unreachable!("a segment was entered") };
        let mut is_fresh = false;
        loop {
            let at = open.walk.at();
            let seq = open.at;
            let why = match open.walk.next(seq) {
                Ok(Step::Record(raw)) => {
                    open.at = seq + 1;
                    if seq < self.next {
                        continue;
                    }
                    self.next = seq + 1;
                    take(raw);
                    return Ok(());
                }
                // What was read ahead may be older than what was written since.
                Ok(Step::End | Step::Bad) if !is_fresh => {
                    open.walk.forget();
                    is_fresh = true;
                    continue;
                }
                Ok(Step::End) => "nothing is there".to_owned(),
                Ok(Step::Bad) => "what is there is not this record, or damaged".to_owned(),
                Err(error) => error.to_string(),
            };
            let file = open.file.clone();
            self.open = None;
            return Err(ReadError { file, at, seq, why });
        }
    }
}

/// Records in their order, up to the end of what was found at the start, or of a snapshot.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    batch: VecDeque<Read>,
}

#[derive(Debug)]
enum Source {
    Log { cursor: Cursor, list: Vec<Listed>, last: u64 },
    Snapshot { file: String, walk: Walk, next: u64 },
    Ended,
}

/// Bytes of bodies read at once.
const AHEAD: usize = 256 * 1024;

/// The kind that ends a snapshot; journals have no such kind.
pub(super) const END_KIND: u8 = 0;

impl Reader {
    pub(super) fn of_log(dirs: Arc<[Arc<dyn Dir>]>, list: Vec<Listed>, after: u64, last: u64) -> Reader {
        Reader {
            source: Source::Log { cursor: Cursor::new(dirs, after), list, last },
            batch: VecDeque::new(),
        }
    }

    pub(super) fn of_snapshot(dir: &dyn Dir, name: &str) -> Result<(Header, Reader), ReadError> {
        let file = dir.path().join(name).display().to_string();
        let fault = |why: String| ReadError { file: file.clone(), at: 0, seq: 0, why };
        let found = dir.open(name).map_err(|error| fault(error.to_string()))?;
        let mut head = vec![0; HEADER_BYTES as usize];
        let count = found.read_at(&mut head, 0).map_err(|error| fault(error.to_string()))?;
        let header = Header::decode(&head[..count], Sort::Snapshot).map_err(|why| match why {
            format::Fault::Version(version) => fault(format!("its format is {version}")),
            _ => fault("its head is damaged".to_owned()),
        })?;
        let walk = Walk::new(found, &header).map_err(|error| fault(error.to_string()))?;
        Ok((header, Reader { source: Source::Snapshot { file, walk, next: 1 }, batch: VecDeque::new() }))
    }

    /// Reads on into the block, which has nothing else then; whether there was anything. Nothing comes after an error.
    pub fn read_into(&mut self, block: &mut Block) -> Result<bool, ReadError> {
        block.clear();
        self.source.each(|raw| block.push(raw))?;
        Ok(!block.heads.is_empty())
    }
}

impl Iterator for Reader {
    type Item = Result<Read, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.is_empty()
            && let Err(error) = self.source.each(|raw| self.batch.push_back(raw.into()))
        {
            return Some(Err(error));
        }
        self.batch.pop_front().map(Ok)
    }
}

impl Source {
    /// Hands out some records; none at the end, and after an error.
    fn each(&mut self, take: impl FnMut(Raw<'_>)) -> Result<(), ReadError> {
        let read = match self {
            Source::Ended => Ok(true),
            Source::Log { cursor, list, last } => cursor.each(list, *last, AHEAD, take).map(|()| true),
            Source::Snapshot { file, walk, next } => each_of_snapshot(file, walk, next, take),
        };
        if !matches!(read, Ok(true)) {
            *self = Source::Ended;
        }
        read.map(|_| ())
    }
}

/// Hands out some records of a snapshot; whether there may be more.
fn each_of_snapshot(
    file: &str,
    walk: &mut Walk,
    next: &mut u64,
    mut take: impl FnMut(Raw<'_>),
) -> Result<bool, ReadError> {
    let mut size = 0;
    while size < AHEAD {
        let at = walk.at();
        let why = match walk.next(*next) {
            Ok(Step::Record(raw)) if raw.kind == END_KIND => return Ok(false),
            Ok(Step::Record(raw)) => {
                size += raw.body.len() + format::RECORD_HEAD;
                take(raw);
                *next += 1;
                continue;
            }
            // What was read before goes first; this comes again the next time.
            _ if size > 0 => break,
            Ok(Step::End) => "the snapshot has no end".to_owned(),
            Ok(Step::Bad) => "the record is damaged".to_owned(),
            Err(error) => error.to_string(),
        };
        return Err(ReadError { file: file.to_owned(), at, seq: *next, why });
    }
    Ok(true)
}
