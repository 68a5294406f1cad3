//! The bytes of the journal: segment headers, records, the mark, the identity. Pure: bytes in, bytes out.
//!
//! All numbers are little-endian. A record is `len u32 | crc u32 | epoch u32 | lag u32 | seq u64 | kind u8 | version u8 |
//! body`; `len` counts all of it, so that zero is the end. The checksum (CRC-32C) covers everything but itself. `lag`
//! says how far what was known to be on disk lay behind when the record was written: a good record behind a bad one
//! thereby proves, or does not, that the bad one had been acknowledged.

/// What this build writes; it reads no newer one.
pub(super) const FORMAT: u32 = 1;
/// The oldest format this build reads.
pub(super) const OLDEST_FORMAT: u32 = 1;
/// Bytes before the first record of a segment; only the first 512-byte sector of them is used, so it is never torn.
pub(super) const HEADER_BYTES: u64 = 4096;
/// Bytes of a record before its body.
pub(super) const RECORD_HEAD: usize = 26;
/// Bytes of a record before what its payload writes (kind, version, body).
pub(super) const STAMP: usize = 24;
/// Bytes of one slot of the mark; the second begins a page later, so that one torn write spoils one of them.
const SLOT_BYTES: usize = 52;
const SLOT_STEP: usize = 4096;
/// Bytes of the whole mark.
pub(super) const MARK_BYTES: usize = 2 * SLOT_STEP;

const SEGMENT_MAGIC: &[u8; 8] = b"OUTCRYSG";
const SNAPSHOT_MAGIC: &[u8; 8] = b"OUTCRYSN";
const MARK_MAGIC: &[u8; 8] = b"OUTCRYMK";
const ID_MAGIC: &[u8; 8] = b"OUTCRYID";
const HEADER_USED: usize = 72;
const ID_BYTES: usize = 32;

/// Which log a file belongs to.
pub(super) type LogId = [u8; 16];

/// What a file begins with: a segment, or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Segment,
    Snapshot,
}

/// The head of a segment or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub id: LogId,
    /// Number of the segment; of a snapshot, the last record it covers.
    pub number: u64,
    /// Repeated in every record of the file; drawn anew for each, never zero.
    pub epoch: u32,
    /// Of the first record in this file.
    pub first: u64,
    /// The record this file goes on from: `first - 1`, but after a loss somebody accepted. What an older segment has
    /// beyond it does not count.
    pub follows: u64,
    /// The last record known to be on disk when this header was written.
    pub durable: u64,
    /// Checksum of the record `follows`.
    pub chain: u32,
}

/// What is wrong with the head of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Zeros, perhaps after the first part of a head: prepared, never begun, or never on disk.
    Blank,
    Alien,
    Version(u32),
    Damaged,
}

impl Header {
    pub fn encode(&self, sort: Sort) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES as usize);
        out.extend_from_slice(magic(sort));
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.follows.to_le_bytes());
        out.extend_from_slice(&self.durable.to_le_bytes());
        out.extend_from_slice(&self.chain.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.resize(HEADER_BYTES as usize, 0);
        out
    }

    pub fn decode(bytes: &[u8], sort: Sort) -> Result<Header, Fault> {
        let Some(used) = bytes.get(..HEADER_USED) else { return Err(Fault::Damaged) };
        if used.iter().all(|byte| *byte == 0) {
            return Err(Fault::Blank);
        }
        let is_whole = crc32c::crc32c(&used[..68]) == u32_at(used, 68);
        if !is_whole && used[HEADER_USED - 1] == 0 {
            // Cut short while it was written. If not, what follows it will tell.
            return Err(Fault::Blank);
        }
        if &used[..8] != magic(sort) {
            return Err(if is_whole { Fault::Damaged } else { Fault::Alien });
        }
        if !is_whole {
            return Err(Fault::Damaged);
        }
        let version = u32_at(used, 8);
        if !(OLDEST_FORMAT..=FORMAT).contains(&version) {
            return Err(Fault::Version(version));
        }
        let header = Header {
            id: array(&used[12..28]),
            number: u64_at(used, 28),
            epoch: u32_at(used, 36),
            first: u64_at(used, 40),
            follows: u64_at(used, 48),
            durable: u64_at(used, 56),
            chain: u32_at(used, 64),
        };
        if header.epoch == 0 || header.follows >= header.first {
            return Err(Fault::Damaged);
        }
        Ok(header)
    }
}

fn magic(sort: Sort) -> &'static [u8; 8] {
    match sort {
        Sort::Segment => SEGMENT_MAGIC,
        Sort::Snapshot => SNAPSHOT_MAGIC,
    }
}

/// Makes room for the stamp of a record; kind, version and body are to follow, then `close`.
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; STAMP]);
    at
}

/// Ends the record begun at `at`.
pub(super) fn close(out: &mut [u8], at: usize, seq: u64) {
    let len = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    out[at + 16..at + 24].copy_from_slice(&seq.to_le_bytes());
}

/// Stamps whole records for the segment they are about to be written to; gives the checksum of the last one.
pub(super) fn stamp(bytes: &mut [u8], epoch: u32, durable: u64) -> u32 {
    let (mut at, mut crc) = (0, 0);
    while at < bytes.len() {
        let len = u32_at(bytes, at) as usize;
        let record = &mut bytes[at..at + len];
        let lag = u32::try_from(u64_at(record, 16).saturating_sub(durable)).unwrap_or(u32::MAX);
        record[8..12].copy_from_slice(&epoch.to_le_bytes());
        record[12..16].copy_from_slice(&lag.to_le_bytes());
        crc = checksum(record);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        at += len;
    }
    crc
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

/// One record as it lies in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    pub seq: u64,
    pub kind: u8,
    pub version: u8,
    pub body: &'a [u8],
    pub crc: u32,
    /// The last record that was known to be on disk when this one was written.
    pub durable: u64,
}

/// The length a record claims, if `head` could begin one of this epoch.
pub(super) fn claimed_len(head: &[u8], epoch: u32) -> Option<usize> {
    let len = u32_at(head, 0) as usize;
    (len >= RECORD_HEAD && u32_at(head, 8) == epoch).then_some(len)
}

/// Reads a whole record, if it is good.
pub(super) fn read(record: &[u8], epoch: u32) -> Option<Raw<'_>> {
    let is_good = record.len() >= RECORD_HEAD
        && claimed_len(record, epoch) == Some(record.len())
        && checksum(record) == u32_at(record, 4);
    if !is_good {
        return None;
    }
    let seq = u64_at(record, 16);
    let lag = u64::from(u32_at(record, 12));
    Some(Raw {
        seq,
        kind: record[24],
        version: record[25],
        body: &record[RECORD_HEAD..],
        crc: u32_at(record, 4),
        durable: seq.saturating_sub(lag),
    })
}

/// Where the slot of this turn lies in the mark, and its bytes.
pub(super) fn mark(id: &LogId, turn: u64, seq: u64) -> (u64, Vec<u8>) {
    let mut out = Vec::with_capacity(SLOT_BYTES);
    out.extend_from_slice(MARK_MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(id);
    out.extend_from_slice(&turn.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    ((turn % 2) * SLOT_STEP as u64, out)
}

/// The newest good slot: its turn and the record it names. `None` if no slot is good and of this log.
pub(super) fn read_mark(bytes: &[u8], id: &LogId) -> Option<(u64, u64)> {
    let slot = |at: usize| {
        let slot = bytes.get(at..at + SLOT_BYTES - 4)?;
        let is_good = &slot[..8] == MARK_MAGIC
            && crc32c::crc32c(&slot[..44]) == u32_at(slot, 44)
            && slot[12..28] == id[..];
        is_good.then(|| (u64_at(slot, 28), u64_at(slot, 36)))
    };
    slot(0).max(slot(SLOT_STEP))
}

/// The identity of a log.
pub(super) fn identity(id: &LogId) -> Vec<u8> {
    let mut out = Vec::with_capacity(ID_BYTES);
    out.extend_from_slice(ID_MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(id);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

pub(super) fn read_identity(bytes: &[u8]) -> Result<LogId, Fault> {
    if bytes.len() < 8 || &bytes[..8] != ID_MAGIC {
        return Err(Fault::Alien);
    }
    if bytes.len() != ID_BYTES || crc32c::crc32c(&bytes[..28]) != u32_at(bytes, 28) {
        return Err(Fault::Damaged);
    }
    let version = u32_at(bytes, 8);
    if !(OLDEST_FORMAT..=FORMAT).contains(&version) {
        return Err(Fault::Version(version));
    }
    Ok(array(&bytes[12..28]))
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(&bytes[at..at + 4]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(&bytes[at..at + 8]))
}
