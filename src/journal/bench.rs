//! How fast this disk takes records, beside a bare loop that writes and syncs the same batches into the same kind of
//! segment. What counts are the ratios: both sides meet the same disk in turns.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::disk::{Dir, File, RealDir};
use super::format::HEADER_BYTES;
use super::survey::{self, SPARE};
use super::{
    Appender, Backend, Choice, Class, Disk, Found, OpenError, Payload, Settings, Waits, choice, work,
};

/// Records that wait for the disk at once while throughput is measured.
const WAITERS: usize = 256;
/// Turns of journal and bare loop; medians are taken over them.
const TURNS: u32 = 5;

/// One side of the comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Side {
    /// Records that came to disk in a second, with many waiting at once.
    pub records_per_s: f64,
    /// Time from handing one record in to hearing that it is on disk, with nothing else going on: the median.
    pub commit_micros: f64,
    /// The same, one in a hundred is slower.
    pub commit_p99_micros: f64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// What wrote.
    pub disk: Disk,
    /// Bytes of a record with its head.
    pub record_bytes: usize,
    /// Records synced at once, on average: the batches of the bare loop.
    pub batch_records: f64,
    /// The journal.
    pub journal: Side,
    /// The bare loop.
    pub bare: Side,
    /// Records and commits measured on the side of the journal.
    pub records: u64,
    /// See `records`.
    pub commits: u64,
}

impl Figures {
    /// Throughput of the journal by that of the bare loop.
    pub fn throughput_ratio(&self) -> f64 {
        self.journal.records_per_s / self.bare.records_per_s
    }

    /// Median commit of the journal by that of the bare loop.
    pub fn commit_ratio(&self) -> f64 {
        self.journal.commit_micros / self.bare.commit_micros
    }
}

/// It is somebody else's, or was left behind by a measurement that was killed.
const IN_THE_WAY: &str =
    "this is where it would be measured, and what is there would be removed: move it away";

/// A record of nothing, with a body of so many bytes.
pub(super) struct Filling(pub usize);

impl Payload for Filling {
    fn class(&self) -> Class {
        Class::Money
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[255, 1]);
        out.resize(out.len() + self.0, 0xa5);
    }
}

/// Measures each of these backends, in a folder of its own beside the journal's directory, which it takes away afterwards;
/// `Auto` is what `auto` takes there. `body_bytes` is the size of a record's body. Also says what `auto` takes, and why.
pub fn run(
    settings: &Settings,
    backends: &[Backend],
    body_bytes: usize,
    lasts: Duration,
) -> Result<(Vec<Figures>, Choice), OpenError> {
    let folder = settings.dir.with_extension("bench");
    let fault = |error: io::Error| survey::io(&folder.display().to_string(), error);
    if let Some(beside) = folder.parent() {
        fs::create_dir_all(beside).map_err(fault)?;
    }
    fs::create_dir(&folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => fault(io::Error::new(error.kind(), IN_THE_WAY)),
        _ => fault(error),
    })?;
    let measured = measure_each(settings, backends, &folder, body_bytes, lasts);
    fs::remove_dir_all(&folder).map_err(fault)?;
    measured
}

fn measure_each(
    settings: &Settings,
    backends: &[Backend],
    folder: &Path,
    body_bytes: usize,
    lasts: Duration,
) -> Result<(Vec<Figures>, Choice), OpenError> {
    let fault = |error: io::Error| survey::io(&folder.display().to_string(), error);
    let taken = choice::choose(Backend::Auto, &RealDir::unlocked(folder).map_err(fault)?)?;
    // Not asked again by a start: it might hear another answer than the one that is said.
    let auto = match taken.disk {
        Disk::Uring => Backend::Uring,
        Disk::Thread | Disk::Sim => Backend::Thread,
    };
    let mut all = Vec::new();
    for asked in backends {
        let backend = if *asked == Backend::Auto { auto } else { *asked };
        let settings = Settings { backend, ..settings.clone() };
        let place = folder.join("turn");
        fs::create_dir(&place).map_err(fault)?;
        all.push(measure(&settings, &place, body_bytes, lasts)?);
        fs::remove_dir_all(&place).map_err(fault)?;
    }
    Ok((all, taken))
}

fn measure(
    settings: &Settings,
    folder: &Path,
    body_bytes: usize,
    lasts: Duration,
) -> Result<Figures, OpenError> {
    let fault = |error: io::Error| survey::io(&folder.display().to_string(), error);
    let mine = Settings {
        dir: folder.join("journal"),
        spare_dir: None,
        free_percent: 0,
        keep_bytes: 2 * settings.segment_bytes,
        ..settings.clone()
    };
    // A fault of this disk shows in the figures, or as an error of the bare loop.
    let (appender, keeper) = Found::open(&mine, false)?.start::<Filling>(|_| {})?;
    let bare = folder.join("bare");
    fs::create_dir_all(&bare).map_err(fault)?;
    let dir = RealDir::lock(&bare).map_err(fault)?;
    work::prepare(&dir, settings.segment_bytes).map_err(fault)?;
    let mut loops =
        Bare { file: dir.open(SPARE).map_err(fault)?, at: HEADER_BYTES, end: settings.segment_bytes };

    let record = super::format::RECORD_HEAD + body_bytes;
    let turn = lasts / (TURNS * 4);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut our_commits, mut their_commits) = (Vec::new(), Vec::new());
    let (mut records, mut batch) = (0, 1.0);
    for _ in 0..TURNS {
        let before = keeper.counters();
        let (count, took) = many(&appender, body_bytes, turn);
        let after = keeper.counters();
        records += count;
        ours.push(count as f64 / took.as_secs_f64());
        batch = (after.records - before.records) as f64 / (after.syncs - before.syncs).max(1) as f64;
        keeper.release(keeper.durable_seq());

        let bytes = vec![0xa5; (batch.round().max(1.0) as usize) * record];
        let (count, took) = loops.many(&bytes, turn).map_err(fault)?;
        theirs.push(count as f64 * bytes.len() as f64 / record as f64 / took.as_secs_f64());

        one_by_one(&appender, body_bytes, turn, &mut our_commits);
        loops.one_by_one(&bytes[..record], turn, &mut their_commits).map_err(fault)?;
    }
    let commits = our_commits.len() as u64;
    let disk = keeper.counters().choice.disk;
    let _ = keeper.close();
    Ok(Figures {
        disk,
        record_bytes: record,
        batch_records: batch,
        journal: side(&mut ours, &mut our_commits),
        bare: side(&mut theirs, &mut their_commits),
        records,
        commits,
    })
}

fn side(rates: &mut [f64], commits: &mut [f64]) -> Side {
    Side {
        records_per_s: quantile(rates, 0.5),
        commit_micros: quantile(commits, 0.5),
        commit_p99_micros: quantile(commits, 0.99),
    }
}

fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}

/// Many records under way at once; how many came to disk.
fn many(appender: &Appender<Filling>, body_bytes: usize, lasts: Duration) -> (u64, Duration) {
    let began = Instant::now();
    let (mut waiting, mut done) = (VecDeque::new(), 0);
    while began.elapsed() < lasts {
        while waiting.len() < WAITERS
            && let Ok(slot) = appender.reserve()
        {
            let (ack, heard) = oneshot::channel();
            slot.send(Filling(body_bytes), Waits::Disk(ack));
            waiting.push_back(heard);
        }
        // Whoever comes to disk with the first of them is taken out with it.
        if let Some(first) = waiting.pop_front() {
            done += u64::from(matches!(first.blocking_recv(), Ok(Ok(_))));
        }
        while let Some(next) = waiting.front_mut()
            && let Ok(heard) = next.try_recv()
        {
            done += u64::from(heard.is_ok());
            waiting.pop_front();
        }
    }
    for heard in waiting {
        done += u64::from(matches!(heard.blocking_recv(), Ok(Ok(_))));
    }
    (done, began.elapsed())
}

fn one_by_one(appender: &Appender<Filling>, body_bytes: usize, lasts: Duration, commits: &mut Vec<f64>) {
    let began = Instant::now();
    while began.elapsed() < lasts {
        let Ok(slot) = appender.reserve() else { return };
        let (ack, heard) = oneshot::channel();
        let sent = Instant::now();
        slot.send(Filling(body_bytes), Waits::Disk(ack));
        if matches!(heard.blocking_recv(), Ok(Ok(_))) {
            commits.push(sent.elapsed().as_secs_f64() * 1e6);
        }
    }
}

/// The same writes and syncs with nothing around them, into one prepared segment again and again.
struct Bare {
    file: std::sync::Arc<dyn File>,
    at: u64,
    end: u64,
}

impl Bare {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.at + bytes.len() as u64 > self.end {
            self.at = HEADER_BYTES;
        }
        self.file.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.file.sync()
    }

    fn many(&mut self, bytes: &[u8], lasts: Duration) -> io::Result<(u64, Duration)> {
        let began = Instant::now();
        let mut batches = 0;
        while began.elapsed() < lasts {
            self.put(bytes)?;
            batches += 1;
        }
        Ok((batches, began.elapsed()))
    }

    fn one_by_one(&mut self, bytes: &[u8], lasts: Duration, commits: &mut Vec<f64>) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < lasts {
            let sent = Instant::now();
            self.put(bytes)?;
            commits.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        Ok(())
    }
}
