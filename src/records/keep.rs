//! Folds the journal into a snapshot now and then, so that a start reads little. It reads files only: the running exchange
//! is not asked, and a start folds the same records to the same state. What is left of a disk that is nearly full is for
//! the journal itself: a snapshot waits until it fits beside that.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::entry::ENTRY;
use super::fold::Fold;
use super::seal::Seal;
use crate::journal::{Counters, Keeper, Read};
use crate::runtime::{behind_calls, chain};

/// Bytes of records after which the next snapshot is made: a start reads about as many.
const EVERY_BYTES: u64 = 256 * 1024 * 1024;
/// How often their number is looked at, and the end of the journal.
const LOOK: Duration = Duration::from_millis(200);
/// After one that failed the next is made this much later.
const AGAIN_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes read from the journal at once.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bytes that a record of a snapshot has beside its body: its head and what seals it, rounded up.
const BESIDE_BODY: u64 = 64;

/// The one who makes snapshots.
pub(super) struct Folding<F> {
    keeper: Keeper,
    next: u64,
    free_percent: u8,
    /// What the next one needs, as far as is known.
    needs: u64,
    is_held_back: bool,
    held_back: Arc<AtomicU64>,
    seal: Arc<Seal>,
    say: F,
}

/// What became of a try.
enum Folded {
    Made,
    /// It takes this many bytes, and they are not to be had.
    NoRoom(u64),
    /// The journal was closed.
    Ended,
}

impl<F: Fn(&str)> Folding<F> {
    /// `tail_bytes` are not in a snapshot yet; `free_percent` of the disk are for the journal itself.
    pub fn of(keeper: &Keeper, tail_bytes: u64, free_percent: u8, seal: Arc<Seal>, say: F) -> Folding<F> {
        let (keeper, next) = (keeper.clone(), EVERY_BYTES.saturating_sub(tail_bytes));
        let held_back = Arc::default();
        Folding { keeper, next, free_percent, needs: 0, is_held_back: false, held_back, seal, say }
    }

    /// How often one was put off.
    pub fn held_back(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.held_back)
    }

    /// Until the journal is closed.
    pub fn run(mut self) {
        behind_calls();
        while !self.keeper.has_ended() {
            let counters = self.keeper.counters();
            let (bytes, free, total) = (counters.bytes, counters.free_bytes, counters.total_bytes);
            // The disk is asked once a second, and not yet.
            if bytes < self.next || total == 0 {
                std::thread::sleep(LOOK);
                continue;
            }
            if !leaves_room(free, total, self.free_percent, self.needs) {
                self.hold_back(free);
                std::thread::sleep(LOOK);
                continue;
            }
            match self.fold() {
                Ok(Folded::Made) => {
                    self.next = bytes + EVERY_BYTES;
                    self.needs = 0;
                    if std::mem::take(&mut self.is_held_back) {
                        (self.say)("there is room again: a snapshot of the journal was made");
                    }
                }
                Ok(Folded::NoRoom(needs)) => self.needs = needs,
                Ok(Folded::Ended) => {}
                Err(why) => {
                    (self.say)(&format!(
                        "no snapshot of the journal was made, so a start will read more of it: {why}"
                    ));
                    self.next = bytes + AGAIN_BYTES;
                }
            }
        }
    }

    /// Says and counts it once, until one was made.
    fn hold_back(&mut self, free: u64) {
        if !std::mem::replace(&mut self.is_held_back, true) {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            let percent = self.free_percent;
            (self.say)(&format!(
                "no snapshot of the journal is made while the disk has {free} bytes free, since {percent} % of it are for \
                 the journal itself: a start will read more of it; make room"
            ));
        }
    }

    fn fold(&self) -> Result<Folded, String> {
        let upto = self.keeper.durable_seq();
        let mut fold = Fold::default();
        let mut after = 0;
        if let Some((seq, reader)) = self.keeper.snapshot().map_err(|error| chain(&error))? {
            for record in reader {
                self.take(&mut fold, seq, record.map_err(|error| chain(&error))?)?;
            }
            after = seq;
        }
        let mut tail = self.keeper.tail(after.max(self.keeper.first_seq().saturating_sub(1)));
        while tail.after() < upto {
            if self.keeper.has_ended() {
                return Ok(Folded::Ended);
            }
            let read = tail.batch(BATCH_BYTES, LOOK).map_err(|error| chain(&error))?;
            let Some(read) = read else { return Ok(Folded::Ended) };
            for record in read.into_iter().filter(|record| record.seq <= upto) {
                self.take(&mut fold, record.seq, record)?;
            }
        }
        let needs = size_of(&fold);
        let Counters { free_bytes, total_bytes, .. } = self.keeper.counters();
        if !leaves_room(free_bytes, total_bytes, self.free_percent, needs) {
            return Ok(Folded::NoRoom(needs));
        }
        let mut writer = self.keeper.begin_snapshot(upto).map_err(|error| error.to_string())?;
        let mut sealed = Vec::new();
        let put = |kind: u8, version: u8, body: &[u8]| {
            sealed.clear();
            sealed.extend_from_slice(body);
            if kind == ENTRY {
                self.seal.close(&mut sealed, 0);
            }
            writer.put(kind, version, &sealed)
        };
        fold.snapshot(put).map_err(|error| error.to_string())?;
        writer.commit().map_err(|error| error.to_string())?;
        Ok(Folded::Made)
    }

    fn take(&self, fold: &mut Fold, seq: u64, mut record: Read) -> Result<(), String> {
        let opened = self.seal.open(record.kind, &mut record.body).map_err(|error| error.to_string())?;
        fold.apply(seq, record.kind, record.version, opened).map_err(|error| error.to_string())
    }
}

/// Whether a disk still has what is kept of it for the journal itself, when so many bytes more are taken.
fn leaves_room(free: u64, total: u64, percent: u8, more: u64) -> bool {
    u128::from(free.saturating_sub(more)) * 100 >= u128::from(total) * u128::from(percent)
}

/// About how many bytes a snapshot of it has.
fn size_of(fold: &Fold) -> u64 {
    let mut bytes = 0;
    let counted: Result<(), Infallible> = fold.snapshot(|_, _, body| {
        bytes += body.len() as u64 + BESIDE_BODY;
        Ok(())
    });
    let Ok(()) = counted;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CallId;
    use crate::domain::catalog::Secret;
    use crate::journal::{Backend, Found, Settings};
    use crate::records::Recorder;
    use crate::records::entry::{Entry, Put};
    use crate::records::fixture::Folder;
    use std::sync::Mutex;
    use std::time::Instant;

    #[test]
    fn what_is_for_the_journal_itself_is_left_to_it() {
        // Free, total, percent, what is asked for: whether it may be taken.
        let table = [
            (50, 1_000, 5, 0, true),
            (49, 1_000, 5, 0, false),
            (60, 1_000, 5, 10, true),
            (60, 1_000, 5, 11, false),
            (5, 1_000, 5, 10, false),
            (5, 1_000, 0, 10, true),
        ];
        for row in table {
            let (free, total, percent, more, expected) = row;
            assert_eq!(leaves_room(free, total, percent, more), expected, "{row:?}");
        }
    }

    /// A disk that is nearly full gets no snapshot, and that is said and counted once.
    #[test]
    fn a_snapshot_waits_for_room() {
        for percent in [0, 50] {
            let folder = Folder::new("keep");
            let settings = Settings {
                segment_bytes: 64 * 1024,
                backend: Backend::Thread,
                free_percent: percent,
                ..Settings::in_dir(folder.path().join("journal"))
            };
            let said = Arc::new(Mutex::new(Vec::new()));
            let heard = Arc::clone(&said);
            let say = move |what: &str| heard.lock().expect("no panic").push(what.to_owned());
            let found = Found::open(&settings, false).expect("a journal");
            // As if much had been read at the start: the next snapshot is due at once.
            let (recorder, ending) =
                Recorder::start(found, folder.open(), EVERY_BYTES, Seal::of(&Secret(vec![7; 32])), say)
                    .expect("a start");
            recorder.push(Entry::put(Put::Forgotten(CallId::from_bits(1))));
            let is_there = || {
                let names = std::fs::read_dir(&settings.dir).expect("its folder");
                names.flatten().any(|file| file.file_name().to_string_lossy().ends_with(".snap"))
            };
            let has_decided = || is_there() || recorder.counters().is_some_and(|c| c.snapshots_held_back > 0);
            let until = Instant::now() + Duration::from_secs(20);
            while !has_decided() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            let Counters { free_bytes, total_bytes, .. } = recorder.counters().expect("a journal").journal;
            // Nearly every disk has less than half of it free, or more: either way one of the two happens.
            let expected = leaves_room(free_bytes, total_bytes, percent, 1_000);
            assert_eq!(is_there(), expected, "{percent} %");
            let held = recorder.counters().expect("a journal").snapshots_held_back;
            assert_eq!(held, u64::from(!expected));
            assert!(ending.finish().is_complete);
            assert_eq!(is_there(), expected, "nor at the end");
            let said = said.lock().expect("no panic");
            let times = said.iter().filter(|what| what.contains("no snapshot of the journal is made while"));
            assert_eq!(times.count(), usize::from(!expected), "{said:?}");
        }
    }
}
