//! Opening a journal: lock it, look through it, say in one line what is wrong. Nothing is touched before `start`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cursor::{Listed, ReadError, Reader};
use super::disk::{Dir, RealDir};
use super::format::{self, FORMAT, HEADER_BYTES, Header, LogId, OLDEST_FORMAT};
use super::log::{Batch, Start};
use super::survey::{self, Cut, RESERVE, SPARE, Survey, Tip, survey};
use super::{Backend, Settings, work};

/// Why a journal is not opened. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory holds something else.
    #[error(
        "{} is no journal: it holds {file} and no identity (file ID); name an empty directory, or the journal's own",
        dir.display()
    )]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// A file that has no business there.
        file: String,
    },
    /// It may not be written.
    #[error("{} cannot be written: {error}; give this user the right to, or name another directory", dir.display())]
    NotWritable {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There is no room for a segment.
    #[error(
        "{} has {free} bytes free and the journal needs {needed} for its next segment; make room, or name another directory",
        dir.display()
    )]
    Full {
        /// The directory.
        dir: PathBuf,
        /// Bytes there are.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// Another process has it.
    #[error("{} is in use by another process; stop that one first, or name another directory", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Written by a version this one does not read.
    #[error(
        "{file} has format {version}, this version reads {OLDEST_FORMAT} to {FORMAT}; start the version of outcry that wrote it"
    )]
    Version {
        /// The file.
        file: String,
        /// Its format.
        version: u32,
    },
    /// A file is damaged, or not the one that was written.
    #[error(
        "{file} cannot be used: {what}; restore it from a copy, or start once with --accept-loss to go on without what it holds"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// Records that had been acknowledged are not there.
    #[error(
        "{file}, byte {at}: record {seq} is missing or damaged, though records up to {proof} had been on disk, and {behind} good ones follow; restore the file from a copy, or start once with --accept-loss to give up everything from record {seq} on"
    )]
    Lost {
        /// The file.
        file: String,
        /// Where in it.
        at: u64,
        /// The first record that is not there.
        seq: u64,
        /// The last one that is known to have been on disk.
        proof: u64,
        /// Good records behind.
        behind: u64,
    },
    /// A setting is out of its range.
    #[error("{key} = {value} is out of range; {allowed}")]
    Setting {
        /// Which.
        key: &'static str,
        /// What it is.
        value: u64,
        /// What may be.
        allowed: &'static str,
    },
    /// io_uring was demanded and the system refuses it.
    #[error(
        "journal.backend = \"uring\", but the system refuses io_uring ({why}); allow it, or set \"auto\" or \"thread\""
    )]
    UringDenied {
        /// What the system says.
        why: String,
    },
    /// The disk or the system is at fault.
    #[error("{file}: {error}; check the disk and the rights of this user")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        error: io::Error,
    },
}

/// Who is to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFault {
    /// The configuration, or what it names: exit code 64.
    Setting,
    /// The data of the journal: exit code 65.
    Data,
}

impl OpenError {
    /// Whether configuration or data are at fault.
    pub fn fault(&self) -> OpenFault {
        match self {
            OpenError::NotOurs { .. }
            | OpenError::NotWritable { .. }
            | OpenError::Full { .. }
            | OpenError::InUse { .. }
            | OpenError::Setting { .. }
            | OpenError::UringDenied { .. } => OpenFault::Setting,
            OpenError::Version { .. }
            | OpenError::Damaged { .. }
            | OpenError::Lost { .. }
            | OpenError::Io { .. } => OpenFault::Data,
        }
    }
}

/// A journal that was looked through and found good, and is locked.
pub struct Found {
    pub(super) settings: Settings,
    pub(super) dirs: Arc<[Arc<dyn Dir>]>,
    pub(super) survey: Survey,
    /// Directories that are to be made, since they do not exist.
    pub(super) is_new: bool,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("survey", &self.survey).finish_non_exhaustive()
    }
}

impl Found {
    /// Locks the directories, checks everything, finds the end. Touches nothing.
    pub fn open(settings: &Settings, accept_loss: bool) -> Result<Found, OpenError> {
        settings.check()?;
        let mut dirs: Vec<Arc<dyn Dir>> = Vec::new();
        if !settings.dir.exists() {
            // Before anything is made: the folder that it will be in, or the next one above that is there.
            if let Some(above) = settings.dir.ancestors().skip(1).find(|above| above.is_dir()) {
                let above = RealDir::unlocked(above)
                    .map_err(|error| survey::io(&above.display().to_string(), error))?;
                usable(&above, &settings.dir, settings.segment_bytes)?;
            }
            let is_new = true;
            let survey = Survey { next: 1, ..Survey::default() };
            return Ok(Found { settings: settings.clone(), dirs: dirs.into(), survey, is_new });
        }
        for path in settings.paths().filter(|path| path.exists()) {
            let dir = lock(path)?;
            writable(&dir, path)?;
            dirs.push(Arc::new(dir));
        }
        let found = Found::on(settings, dirs.into(), accept_loss)?;
        room(&*found.dirs[0], settings.segment_bytes)?;
        Ok(found)
    }

    /// Looks through a journal without locking it, for who only reads; a process may be writing to it.
    pub fn read_only(settings: &Settings) -> Result<Found, OpenError> {
        let mut dirs: Vec<Arc<dyn Dir>> = Vec::new();
        for path in settings.paths() {
            let dir =
                RealDir::unlocked(path).map_err(|error| survey::io(&path.display().to_string(), error))?;
            dirs.push(Arc::new(dir));
        }
        Found::on(settings, dirs.into(), false)
    }

    pub(super) fn on(
        settings: &Settings,
        dirs: Arc<[Arc<dyn Dir>]>,
        accept_loss: bool,
    ) -> Result<Found, OpenError> {
        let survey = survey(&dirs, accept_loss)?;
        Ok(Found { settings: settings.clone(), dirs, survey, is_new: false })
    }

    /// What was cut off at the end, if anything was there.
    pub fn cut(&self) -> Option<&Cut> {
        self.survey.cut.as_ref()
    }

    /// Whether there was no journal yet.
    pub fn is_empty(&self) -> bool {
        self.survey.id.is_none()
    }

    /// Which journal it is: a number that no other has; 0 where there is none yet.
    pub fn id(&self) -> u64 {
        self.survey.id.as_ref().map_or(0, super::keeper::name)
    }

    /// The last record there is; 0 in an empty journal.
    pub fn last_seq(&self) -> u64 {
        self.survey.last
    }

    /// The number the next record will get: `last_seq() + 1`, but after a loss that was accepted, whose numbers are
    /// not given out again.
    pub fn next_seq(&self) -> u64 {
        self.survey.next
    }

    /// Gives out no number up to this one again: whoever reads the journal has seen it, though the record is lost. For a
    /// loss that was accepted.
    pub fn pass_over(&mut self, seq: u64) {
        self.survey.next = self.survey.next.max(seq + 1);
    }

    /// Numbers that were given out and have no record any more, which this start gives up.
    pub fn given_up(&self) -> u64 {
        self.survey.next.saturating_sub(self.survey.wanted.max(1))
    }

    /// Below this many percent of free disk only what must be written is.
    pub fn free_percent(&self) -> u8 {
        self.settings.free_percent
    }

    /// Segments, and good records read in them.
    pub fn counts(&self) -> (u64, u64) {
        (self.survey.segments.len() as u64, self.survey.records)
    }

    /// The oldest record that is kept.
    pub fn first_seq(&self) -> u64 {
        self.survey.segments.first().map_or(self.survey.next, |listed| listed.header.first)
    }

    /// The newest snapshot: the last record it covers, and its records.
    pub fn snapshot(&self) -> Result<Option<(u64, Reader)>, ReadError> {
        let Some(seq) = self.survey.snapshot else { return Ok(None) };
        let (_, reader) = Reader::of_snapshot(&*self.dirs[0], &survey::snapshot_name(seq))?;
        Ok(Some((seq, reader)))
    }

    /// The records after this one, up to `last_seq`.
    pub fn records_after(&self, seq: u64) -> Reader {
        Reader::of_log(Arc::clone(&self.dirs), self.survey.segments.clone(), seq, self.survey.last)
    }

    /// What to begin writing with. First comes a segment that gets its name when it is on disk. It brings the records
    /// that are there and not proven to be on disk: they may have been acknowledged, and a sync that failed before may
    /// have left them in memory only. And it ends for ever what does not count from here on: after a kill that could
    /// otherwise come back with a power cut that takes what supersedes it.
    pub(super) fn begin(&self, id: LogId, epoch: u32) -> Result<Start, OpenError> {
        let survey = &self.survey;
        let mut start = Start {
            id,
            segment_bytes: self.settings.segment_bytes,
            tip: survey.tip,
            next: survey.next,
            number: survey.number,
            list: survey.segments.clone(),
        };
        if survey.segments.is_empty() && survey.next == survey.snapshot.unwrap_or(0) + 1 {
            return Ok(start);
        }
        let mut batch = Batch::<()>::new(Vec::new());
        for record in self.records_after(survey.tip.seq) {
            let record = record.map_err(|error| survey::damaged(&error.file, &error.why))?;
            let added = batch.add(record.seq, usize::MAX, |out| {
                out.extend_from_slice(&[record.kind, record.version]);
                out.extend_from_slice(&record.body);
            });
            debug_assert!(added.is_ok());
        }
        let is_empty = batch.bytes() == 0;
        let first = if is_empty { survey.next } else { batch.first() };
        let mut bytes = batch.into_bytes();
        let Tip { seq: follows, crc: chain } = survey.tip;
        let header = Header { id, number: survey.number + 1, epoch, first, follows, durable: follows, chain };
        let crc = format::stamp(&mut bytes, epoch, follows);
        let dir = &*self.dirs[0];
        let written = work::put_again(dir, &header, &bytes).or_else(|error| {
            // The disk may be full: the reserve is for such a time, and is made anew when there is room.
            dir.remove(RESERVE).map_err(|_| error)?;
            work::put_again(dir, &header, &bytes)
        });
        written.map_err(|error| survey::io(&dir.path().display().to_string(), error))?;
        start.number = header.number;
        start.list.push(Listed { place: 0, header, bytes: HEADER_BYTES + bytes.len() as u64 });
        if !is_empty {
            start.tip = Tip { seq: survey.last, crc };
            if survey.next > survey.last + 1 {
                // Another that is empty says from which number on, also where nothing is written any more.
                let (number, first) = (header.number + 1, survey.next);
                let (follows, chain) = (survey.last, crc);
                let header = Header { number, first, follows, chain, durable: follows, ..header };
                work::put_again(dir, &header, &[])
                    .map_err(|error| survey::io(&dir.path().display().to_string(), error))?;
                start.number = number;
                start.list.push(Listed { place: 0, header, bytes: HEADER_BYTES });
            }
        }
        Ok(start)
    }
}

pub(super) fn lock(path: &Path) -> Result<RealDir, OpenError> {
    RealDir::lock(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse { dir: path.to_owned() },
        io::ErrorKind::PermissionDenied => OpenError::NotWritable { dir: path.to_owned(), error },
        _ => survey::io(&path.display().to_string(), error),
    })
}

/// Whether a segment can be begun: there is a prepared one, the reserve, or room.
fn room(dir: &dyn Dir, segment_bytes: u64) -> Result<(), OpenError> {
    let file = dir.path().display().to_string();
    let names = dir.list().map_err(|error| survey::io(&file, error))?;
    if names.iter().any(|name| name == SPARE || name == RESERVE) {
        return Ok(());
    }
    free(dir, dir.path(), segment_bytes)
}

/// Whether the journal `of` can be begun in this directory.
fn usable(dir: &RealDir, of: &Path, segment_bytes: u64) -> Result<(), OpenError> {
    writable(dir, of)?;
    free(dir, of, segment_bytes)
}

fn writable(dir: &RealDir, of: &Path) -> Result<(), OpenError> {
    dir.check_writable().map_err(|error| OpenError::NotWritable { dir: of.to_owned(), error })
}

/// Whether there is room for a segment.
pub(super) fn free(dir: &dyn Dir, of: &Path, segment_bytes: u64) -> Result<(), OpenError> {
    let free = dir.space().map_err(|error| survey::io(&of.display().to_string(), error))?.free;
    let needed = segment_bytes + super::SLACK_BYTES;
    if free < needed {
        return Err(OpenError::Full { dir: of.to_owned(), free, needed });
    }
    Ok(())
}

impl Settings {
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.dir.as_path()).chain(self.spare_dir.as_deref())
    }

    fn check(&self) -> Result<(), OpenError> {
        let range = |key, value: u64, is_good: bool, allowed| {
            if is_good { Ok(()) } else { Err(OpenError::Setting { key, value, allowed }) }
        };
        let segment = self.segment_bytes;
        range(
            "journal.segment_bytes",
            segment,
            (super::SEGMENT_LEAST..=super::SEGMENT_MOST).contains(&segment),
            "65536 to 1073741824 are allowed",
        )?;
        let queue = self.queue_records as u64;
        range(
            "journal.queue_records",
            queue,
            (16..=10_000_000).contains(&queue),
            "16 to 10000000 are allowed",
        )?;
        let percent = u64::from(self.free_percent);
        range("journal.free_percent", percent, percent <= 50, "0 to 50 are allowed")?;
        if self.backend == Backend::Uring {
            super::uring::probe().map_err(|why| OpenError::UringDenied { why })?;
        }
        Ok(())
    }
}
