//! Looking through what lies in the directories at a start: what is whole, where the log ends, what was lost.
//!
//! It reads and judges; it changes nothing. A power cut may leave any of the sectors that were written and not synced,
//! so a bad record is no proof of a loss by itself: it is one if anything says that the record had been on disk. That
//! says the mark, a snapshot, the head of a later segment, or a good record behind it. With such a proof the start is
//! refused; without, the tail is cut there.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::cursor::{Listed, Reader, end_of, is_live, segment_name};
use super::disk::Dir;
use super::format::{self, Fault, HEADER_BYTES, Header, LogId, Sort};
use super::open::OpenError;
use super::walk::{Beyond, Step, Walk};

pub(super) const ID: &str = "ID";
pub(super) const ID_NEW: &str = "ID.new";
pub(super) const MARK: &str = "MARK";
pub(super) const MARK_NEW: &str = "MARK.new";
pub(super) const SPARE: &str = "spare.seg";
pub(super) const SPARE_NEW: &str = "spare.new";
pub(super) const RESERVE: &str = "RESERVE";
pub(super) const RESERVE_NEW: &str = "RESERVE.new";
pub(super) const SNAPSHOT_NEW: &str = "snapshot.new";
pub(super) const AGAIN_NEW: &str = "again.new";
pub(super) const TRIAL: &str = "trial.new";

/// The name of a snapshot's file.
pub(super) fn snapshot_name(seq: u64) -> String {
    format!("snapshot-{seq:020}.snap")
}

/// Where the tail was cut off, because something was there that is no good record and was never acknowledged as on
/// disk; or, if `accepted`, because somebody accepted the loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: String,
    /// Where in it the good records end.
    pub at: u64,
    /// The first record that is not there.
    pub seq: u64,
    /// Bytes behind, up to the last that is not zero, later segments included.
    pub bytes: u64,
    /// Good records behind that are given up.
    pub records: u64,
    /// Whether they had been acknowledged.
    pub accepted: bool,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { file, at, seq, bytes, records, accepted } = self;
        let why = match accepted {
            true => format!("and {records} good ones behind, given up as was asked for"),
            false => "which nobody was told of: the end of a write that was cut off".to_owned(),
        };
        write!(f, "{file} ends at byte {at}: {bytes} bytes behind are no good record {seq}, {why}")
    }
}

/// Record and checksum to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tip {
    pub seq: u64,
    pub crc: u32,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// None: there is no journal yet.
    pub id: Option<LogId>,
    /// Segments with a head, in their order.
    pub segments: Vec<Listed>,
    /// The last record the newest snapshot covers.
    pub snapshot: Option<u64>,
    /// Turn and record of the mark.
    pub mark: (u64, u64),
    /// The last record proven to be on disk, and there: what comes after it is written again.
    pub tip: Tip,
    /// The last good record.
    pub last: u64,
    /// The number the next new record gets.
    pub next: u64,
    /// The first number with no record; the same, but for a loss that was accepted just now.
    pub wanted: u64,
    /// No segment has a higher number, with or without a head.
    pub number: u64,
    /// Segments without a head: number and place.
    pub blank: Vec<(u64, usize)>,
    pub cut: Option<Cut>,
    /// Good records read, for reports.
    pub records: u64,
}

/// Looks through the directories, the first of which is the journal's own.
pub(super) fn survey(dirs: &[Arc<dyn Dir>], accept_loss: bool) -> Result<Survey, OpenError> {
    let names = list(&*dirs[0])?;
    let mut survey = Survey { next: 1, ..Survey::default() };
    let Some(id) = identity(&*dirs[0], &names)? else { return Ok(survey) };
    survey.id = Some(id);
    survey.mark = match mark(&*dirs[0], &names, &id) {
        Ok(mark) => mark,
        Err(_) if accept_loss => (0, 0),
        Err(error) => return Err(error),
    };
    survey.snapshot = newest_snapshot(&*dirs[0], &names, &id)?;
    for (place, dir) in dirs.iter().enumerate() {
        let names = if place == 0 { names.clone() } else { list(&**dir)? };
        for name in names.iter().filter(|name| segment_number(name).is_some()) {
            match segment(place, &**dir, name, &id, accept_loss)? {
                Some(listed) => survey.segments.push(listed),
                None => survey.blank.push((segment_number(name).unwrap_or(0), place)),
            }
        }
    }
    survey.segments.sort_by_key(|listed| listed.header.number);
    for pair in survey.segments.windows(2) {
        if pair[0].header.number == pair[1].header.number {
            let file = dirs[pair[1].place].path().join(pair[1].name());
            return Err(damaged(
                &file.display().to_string(),
                "a segment of this number is in both directories",
            ));
        }
    }
    let numbers = survey.segments.iter().map(|listed| listed.header.number);
    survey.number = numbers.chain(survey.blank.iter().map(|(number, _)| *number)).max().unwrap_or(0);
    Looking { dirs, survey: &mut survey, known: VecDeque::new(), proof: 0, accept_loss }.walk()?;
    Ok(survey)
}

struct Looking<'a> {
    dirs: &'a [Arc<dyn Dir>],
    survey: &'a mut Survey,
    /// Records read, from the last one proven to be on disk.
    known: VecDeque<Tip>,
    /// The last record anything read so far says was on disk.
    proof: u64,
    accept_loss: bool,
}

impl Looking<'_> {
    fn walk(&mut self) -> Result<(), OpenError> {
        let start = self.survey.snapshot.unwrap_or(0) + 1;
        self.proof = self.survey.mark.1.max(start - 1);
        self.survey.last = start - 1;
        let list = self.survey.segments.clone();
        let live: Vec<usize> = (0..list.len()).filter(|index| is_live(&list, *index)).collect();
        let begun = live.iter().position(|index| end_of(&list, *index) >= start).unwrap_or(live.len());
        for (turn, index) in live.iter().enumerate().skip(begun) {
            let (header, end) = (list[*index].header, end_of(&list, *index));
            let later = &live[turn + 1..];
            let file = self.file(&list[*index]);
            let opened = self.dirs[list[*index].place].open(&list[*index].name());
            let mut walk =
                opened.and_then(|file| Walk::new(file, &header)).map_err(|error| io(&file, error))?;
            self.proof = self.proof.max(header.durable.min(header.first - 1));
            let expected = self.survey.last + 1;
            if turn == begun {
                if header.follows >= start {
                    return self.hole(&list, &walk, &file, 0, later, expected);
                }
                self.known.push_back(Tip { seq: header.follows, crc: header.chain });
            }
            if let Some(before) = self.known.back().filter(|before| before.seq == header.follows)
                && before.crc != header.chain
            {
                return Err(damaged(
                    &file,
                    "it does not go on from the record before it: it is of another history",
                ));
            }
            let mut next = header.first;
            while next <= end {
                let Step::Record(raw) = walk.next(next).map_err(|error| io(&file, error))? else { break };
                self.proof = self.proof.max(raw.durable);
                self.known.push_back(Tip { seq: next, crc: raw.crc });
                while self.known.get(1).is_some_and(|second| second.seq <= self.proof) {
                    self.known.pop_front();
                }
                self.survey.records += 1;
                self.survey.last = self.survey.last.max(next);
                next += 1;
            }
            if next <= end {
                let expected = next.max(self.survey.last + 1).max(header.first);
                let at = walk.at();
                return self.hole(&list, &walk, &file, at, later, expected);
            }
        }
        if begun == live.len() {
            return self.end_without_segments();
        }
        self.finish(self.survey.last + 1);
        Ok(())
    }

    /// The records end before their time, or with the last segment: the end of the log, or a loss.
    fn hole(
        &mut self,
        list: &[Listed],
        walk: &Walk,
        file: &str,
        at: u64,
        later: &[usize],
        expected: u64,
    ) -> Result<(), OpenError> {
        let mut behind = walk.beyond(expected).map_err(|error| io(file, error))?;
        let mut follow = behind.highest.max(expected - 1);
        for index in later {
            let listed = &list[*index];
            self.proof = self.proof.max(listed.header.durable);
            follow = follow.max(listed.header.first - 1);
            let more = self.look_behind(listed, expected)?;
            behind.bytes += more.bytes;
            behind.good += more.good;
            behind.durable = behind.durable.max(more.durable);
            follow = follow.max(more.highest);
        }
        let last_number = later.last().map_or(0, |index| list[*index].header.number);
        for (number, place) in &self.survey.blank {
            let is_behind = *number > last_number && list.iter().all(|listed| listed.header.number < *number);
            if is_behind {
                behind.bytes += self.bytes_of_blank(*number, *place)?;
            }
        }
        self.proof = self.proof.max(behind.durable);
        let is_lost = self.proof >= expected;
        if is_lost && !self.accept_loss {
            return Err(OpenError::Lost {
                file: file.to_owned(),
                at,
                seq: expected,
                proof: self.proof,
                behind: behind.good,
            });
        }
        if is_lost || behind.bytes > 0 {
            let (bytes, records) = (behind.bytes, behind.good);
            self.survey.cut =
                Some(Cut { file: file.to_owned(), at, seq: expected, bytes, records, accepted: is_lost });
        }
        // What an earlier start gave up stays given up, also where nothing was written since.
        self.finish(expected);
        if is_lost {
            self.survey.next = follow.max(self.proof) + 1;
        }
        Ok(())
    }

    fn look_behind(&self, listed: &Listed, expected: u64) -> Result<Beyond, OpenError> {
        let file = self.dirs[listed.place].open(&listed.name());
        let found = file.and_then(|file| Walk::new(file, &listed.header)?.beyond(expected));
        found.map_err(|error| io(&self.file(listed), error))
    }

    /// Bytes that are not zero in a segment whose head never came to disk.
    fn bytes_of_blank(&self, number: u64, place: usize) -> Result<u64, OpenError> {
        let name = segment_name(number);
        let header = Header { id: [0; 16], number, epoch: 0, first: 1, follows: 0, durable: 0, chain: 0 };
        let found = self.dirs[place].open(&name).and_then(|file| Walk::new(file, &header)?.beyond(u64::MAX));
        let path = self.dirs[place].path().join(name).display().to_string();
        Ok(found.map_err(|error| io(&path, error))?.bytes)
    }

    fn end_without_segments(&mut self) -> Result<(), OpenError> {
        let expected = self.survey.last + 1;
        if self.proof >= expected && !self.accept_loss {
            let dir = self.dirs[0].path().display().to_string();
            return Err(OpenError::Lost { file: dir, at: 0, seq: expected, proof: self.proof, behind: 0 });
        }
        if self.proof >= expected {
            let file = self.dirs[0].path().display().to_string();
            self.survey.cut = Some(Cut { file, at: 0, seq: expected, bytes: 0, records: 0, accepted: true });
        }
        self.known.push_back(Tip { seq: self.survey.last, crc: 0 });
        self.finish(expected);
        self.survey.next = self.survey.next.max(self.proof + 1);
        Ok(())
    }

    fn finish(&mut self, wanted: u64) {
        self.survey.tip = self.known.front().copied().unwrap_or_default();
        self.survey.wanted = wanted;
        self.survey.next = wanted;
    }

    fn file(&self, listed: &Listed) -> String {
        self.dirs[listed.place].path().join(listed.name()).display().to_string()
    }
}

/// The number in the name of a segment; none if it is no such name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let is_number = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// The last record a snapshot covers, by its name.
pub(super) fn snapshot_seq(name: &str) -> Option<u64> {
    name.strip_prefix("snapshot-")?.strip_suffix(".snap")?.parse().ok()
}

fn list(dir: &dyn Dir) -> Result<Vec<String>, OpenError> {
    let mut names = dir.list().map_err(|error| io(&dir.path().display().to_string(), error))?;
    names.sort_unstable();
    Ok(names)
}

/// The identity; none in a directory that is empty, or was left in the middle of a first start.
pub(super) fn identity(dir: &dyn Dir, names: &[String]) -> Result<Option<LogId>, OpenError> {
    if !names.iter().any(|name| name == ID) {
        let begun = [ID_NEW, MARK, MARK_NEW, "lost+found"];
        return match names.iter().find(|name| !begun.contains(&name.as_str())) {
            None => Ok(None),
            Some(name) => Err(OpenError::NotOurs { dir: dir.path().to_owned(), file: name.clone() }),
        };
    }
    let file = dir.path().join(ID).display().to_string();
    let bytes = whole(dir, ID).map_err(|error| io(&file, error))?;
    match format::read_identity(&bytes) {
        Ok(id) => Ok(Some(id)),
        Err(Fault::Version(version)) => Err(OpenError::Version { file, version }),
        Err(Fault::Alien | Fault::Blank) => {
            Err(OpenError::NotOurs { dir: dir.path().to_owned(), file: ID.to_owned() })
        }
        Err(Fault::Damaged) => Err(damaged(&file, "its checksum is wrong")),
    }
}

fn mark(dir: &dyn Dir, names: &[String], id: &LogId) -> Result<(u64, u64), OpenError> {
    let file = dir.path().join(MARK).display().to_string();
    if !names.iter().any(|name| name == MARK) {
        return Err(damaged(&file, "it is missing, and it says where the log ended"));
    }
    let bytes = whole(dir, MARK).map_err(|error| io(&file, error))?;
    format::read_mark(&bytes, id)
        .ok_or_else(|| damaged(&file, "neither of its slots is whole and of this journal"))
}

/// A small file.
fn whole(dir: &dyn Dir, name: &str) -> std::io::Result<Vec<u8>> {
    const LIMIT: usize = 64 * 1024;
    let mut bytes = vec![0; LIMIT];
    let count = dir.open(name)?.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn newest_snapshot(dir: &dyn Dir, names: &[String], id: &LogId) -> Result<Option<u64>, OpenError> {
    let Some((seq, name)) = names.iter().filter_map(|name| Some((snapshot_seq(name)?, name))).max() else {
        return Ok(None);
    };
    let file = dir.path().join(name).display().to_string();
    let (header, records) = Reader::of_snapshot(dir, name).map_err(|error| damaged(&file, &error.why))?;
    if header.id != *id || header.number != seq {
        return Err(damaged(&file, "it is of another journal, or under another's name"));
    }
    for record in records {
        record.map_err(|error| damaged(&file, &format!("byte {}: {}", error.at, error.why)))?;
    }
    Ok(Some(seq))
}

/// The head of a segment; none if it has none.
fn segment(
    place: usize,
    dir: &dyn Dir,
    name: &str,
    id: &LogId,
    accept_loss: bool,
) -> Result<Option<Listed>, OpenError> {
    let path = dir.path().join(name).display().to_string();
    let file = dir.open(name).map_err(|error| io(&path, error))?;
    let mut head = vec![0; HEADER_BYTES as usize];
    let count = file.read_at(&mut head, 0).map_err(|error| io(&path, error))?;
    let bytes = file.len().map_err(|error| io(&path, error))?;
    match Header::decode(&head[..count], Sort::Segment) {
        Ok(header) if header.id != *id => Err(damaged(&path, "it is of another journal")),
        Ok(header) if segment_number(name) != Some(header.number) => {
            Err(damaged(&path, &format!("inside it is segment {}: it was renamed or swapped", header.number)))
        }
        Ok(header) => Ok(Some(Listed { place, header, bytes })),
        Err(Fault::Blank) => Ok(None),
        Err(Fault::Version(version)) => Err(OpenError::Version { file: path, version }),
        Err(_) if accept_loss => Ok(None),
        Err(Fault::Alien) => Err(damaged(&path, "it is no segment of a journal")),
        Err(Fault::Damaged) => Err(damaged(&path, "its head is damaged")),
    }
}

pub(super) fn damaged(file: &str, what: &str) -> OpenError {
    OpenError::Damaged { file: file.to_owned(), what: what.to_owned() }
}

pub(super) fn io(file: &str, error: std::io::Error) -> OpenError {
    OpenError::Io { file: file.to_owned(), error }
}
