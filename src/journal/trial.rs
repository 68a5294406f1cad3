//! A few commits by io_uring and by a bare loop, timed by turns at a start: for `choice`, which judges them.
//!
//! By io_uring means a journal without a house, of the very hands that write a real one. Both sides write to one file of
//! zeros in the journal's own directory. It has no name from its beginning on, so that nothing of it is left by a kill; a
//! kill before that leaves a draft, which a start removes. Number and time are bounded: after the limit nothing is begun
//! any more, and nothing is waited for but one sync of the bare loop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::bench::Filling;
use super::choice::{Choice, Why};
use super::disk::{Dir, File, Space};
use super::drive::{self, Syncer};
use super::format::RECORD_HEAD;
use super::keeper::{Core, Parts};
use super::log::{Log, Start};
use super::survey::{TRIAL, Tip};
use super::{Appender, Disk, Keeper, SEGMENT_LEAST, Waits, uring};

/// Commits of each side, after the first, which begins a segment.
const PAIRS: usize = 16;
/// Longest that a start waits for all of them.
pub(super) const LIMIT: Duration = Duration::from_millis(250);
/// Size of a record's body: about that of an event's.
const BODY: usize = 512;

/// What was timed.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Commits by a bare loop, the first one included.
    pub bare: Vec<Duration>,
    /// By io_uring, as many or one less.
    pub uring: Vec<Duration>,
    /// Why there may be no more: what the disk says.
    pub fault: Option<String>,
}

/// Times commits in this directory, by turns, for about so long. io_uring must be allowed.
pub(super) fn run(dir: &dyn Dir, limit: Duration) -> Trial {
    let mut trial = Trial::default();
    if let Err(error) = timed(dir, Instant::now() + limit, &mut trial) {
        trial.fault = Some(error.to_string());
    }
    trial
}

fn timed(dir: &dyn Dir, until: Instant, trial: &mut Trial) -> io::Result<()> {
    let scratch = Scratch::new(dir)?;
    let mut bare = Bare { file: Arc::clone(&scratch.file), at: SEGMENT_LEAST };
    let mut ring = Ring::begin(scratch)?;
    for _ in 0..=PAIRS {
        if Instant::now() >= until {
            break;
        }
        trial.bare.push(bare.commit()?);
        match ring.commit(until) {
            Some(took) => trial.uring.push(took),
            None if ring.keeper.is_failing() => return Err(io::Error::other("the disk fails")),
            None => break,
        }
    }
    Ok(())
}

/// Write and sync, with nothing around them.
struct Bare {
    file: Arc<dyn File>,
    at: u64,
}

impl Bare {
    fn commit(&mut self) -> io::Result<Duration> {
        let bytes = [0xa5; RECORD_HEAD + BODY];
        let began = Instant::now();
        self.file.write_at(&bytes, self.at)?;
        self.file.sync()?;
        self.at += bytes.len() as u64;
        Ok(began.elapsed())
    }
}

/// A journal that io_uring writes.
struct Ring {
    appender: Appender<Filling>,
    keeper: Keeper,
    sent: u64,
}

impl Ring {
    fn begin(scratch: Scratch) -> io::Result<Ring> {
        let (id, tip, list) = ([0; 16], Tip::default(), Vec::new());
        let start = Start { id, segment_bytes: SEGMENT_LEAST, tip, next: 1, number: 0, list };
        let core = Arc::new(Core::new(Parts {
            dirs: Arc::new([Arc::new(scratch)]),
            id,
            choice: Choice { disk: Disk::Uring, why: Why::Set },
            keep_bytes: 0,
            segment_bytes: SEGMENT_LEAST,
            log: Log::new(start),
            snapshot: 0,
            on_fault: Box::new(|_| {}),
        }));
        let (appender, writer) = drive::queue(&core, PAIRS, 1);
        let syncer = Syncer::new(Arc::clone(&core));
        let hands = thread::Builder::new().name("journal-trial".to_owned());
        let hands = hands.spawn(move || uring::run(writer, syncer))?;
        Ok(Ring { appender, keeper: Keeper::new(core, vec![hands]), sent: 0 })
    }

    /// How long one record takes that comes alone; none if it is not on disk by then.
    fn commit(&mut self, until: Instant) -> Option<Duration> {
        let began = Instant::now();
        // Somebody waits for it, or it would not be synced at once.
        let (ack, _heard) = oneshot::channel();
        self.appender.reserve().ok()?.send(Filling(BODY), Waits::Disk(ack));
        self.sent += 1;
        let is_done = self.keeper.wait_durable_past(self.sent - 1, until.saturating_duration_since(began));
        is_done.then(|| began.elapsed())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Else it would be waited for: it ends when the disk lets go of it.
        if self.keeper.durable_seq() == self.sent {
            let _ = self.keeper.close();
        }
    }
}

/// A directory in which every file is the same, which has no name.
#[derive(Debug)]
struct Scratch {
    path: PathBuf,
    file: Arc<dyn File>,
}

impl Scratch {
    /// Zeros that are on disk, as those of a prepared segment: room for one of the ring, and behind it for the bare loop.
    fn new(dir: &dyn Dir) -> io::Result<Scratch> {
        let file = dir.create(TRIAL)?;
        dir.remove(TRIAL)?;
        file.write_at(&vec![0; 2 * SEGMENT_LEAST as usize], 0)?;
        file.sync()?;
        Ok(Scratch { path: dir.path().join(TRIAL), file })
    }
}

impl Dir for Scratch {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn open(&self, _: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::clone(&self.file))
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::clone(&self.file))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space::default())
    }

    fn plain(&self) -> Option<&fs::File> {
        self.file.plain()
    }
}
