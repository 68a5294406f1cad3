//! Looking at a journal that is being written, and taking one away.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::journal::{Backend, Class, OpenFault, Payload};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("outcry-look-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn settings(&self) -> Settings {
        Settings {
            segment_bytes: 64 * 1024,
            keep_bytes: 128 * 1024,
            backend: Backend::Thread,
            free_percent: 0,
            ..Settings::in_dir(self.0.join("journal"))
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

struct Note;

impl Payload for Note {
    fn class(&self) -> Class {
        Class::Money
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[7, 1]);
        out.resize(out.len() + 200, 0xa5);
    }
}

/// Reads everything that is kept; how many records there are, and the last.
fn read_all(found: &Found) -> Result<(u64, u64), LookError> {
    let mut last = found.first_seq() - 1;
    let mut count = 0;
    for read in found.records_after(last) {
        let read = read.map_err(LookError::Read)?;
        (count, last) = (count + 1, read.seq);
    }
    Ok((count, last))
}

/// Segments come and go meanwhile, and the end is never where it was: none of it is taken for damage.
#[test]
fn what_a_writer_does_meanwhile_is_no_damage() {
    let folder = Folder::new();
    let settings = folder.settings();
    let (appender, keeper) = Found::open(&settings, false).unwrap().start::<Note>(|_| {}).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    appender.push(Note);
                }
                keeper.begin_snapshot(keeper.durable_seq()).unwrap().commit().unwrap();
                keeper.release(keeper.durable_seq());
                std::thread::yield_now();
            }
        });
        let (mut seen, mut went_back) = (0, false);
        let until = Instant::now() + Duration::from_secs(20);
        // Until the writer has gone through some twenty segments.
        let mut looked = Ok(());
        while seen < 6_000 && looked.is_ok() && Instant::now() < until {
            // A panic in here would leave the writer running.
            looked = look(&settings, read_all).map(|(_, last)| {
                went_back |= last < seen;
                seen = last;
            });
        }
        is_over.store(true, Ordering::Relaxed);
        looked.unwrap();
        assert!(seen >= 6_000 && !went_back, "{seen}");
    });
    assert!(keeper.close().is_complete);
}

#[test]
fn what_is_damaged_is_so_at_every_look() {
    let folder = Folder::new();
    let settings = folder.settings();
    let missing = look(&settings, read_all).unwrap_err();
    assert!(missing.to_string().contains("no journal at"), "{missing}");
    let (appender, keeper) = Found::open(&settings, false).unwrap().start::<Note>(|_| {}).unwrap();
    for _ in 0..50 {
        appender.push(Note);
    }
    assert!(keeper.close().is_complete);
    assert_eq!(look(&settings, read_all).unwrap(), (50, 50));
    let file = settings.dir.join("0000000001.seg");
    let good = fs::read(&file).unwrap();
    let mut bytes = good.clone();
    bytes[4096 + 3 * 226 + 100] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let damaged = look(&settings, read_all).unwrap_err();
    assert!(matches!(&damaged, LookError::Open(OpenError::Lost { seq: 4, .. })), "{damaged}");
    fs::write(&file, &good).unwrap();
    assert_eq!(look(&settings, read_all).unwrap(), (50, 50));
}

#[test]
fn a_journal_is_taken_away_when_nobody_uses_it_and_nothing_else_is_there() {
    let folder = Folder::new();
    let settings = folder.settings();
    discard(&settings.dir).expect("none is as good as gone");
    let (appender, keeper) = Found::open(&settings, false).unwrap().start::<Note>(|_| {}).unwrap();
    appender.push(Note);
    let used = discard(&settings.dir).unwrap_err();
    assert!(matches!(used, OpenError::InUse { .. }), "{used}");
    assert!(keeper.close().is_complete);
    drop((appender, keeper));

    let diary = settings.dir.join("diary.txt");
    fs::write(&diary, "mine").unwrap();
    let before = fs::read_dir(&settings.dir).unwrap().count();
    let refused = discard(&settings.dir).unwrap_err();
    assert!(refused.to_string().contains("diary.txt"), "{refused}");
    assert_eq!(refused.fault(), OpenFault::Setting);
    assert_eq!(fs::read_dir(&settings.dir).unwrap().count(), before);
    let alien = discard(&folder.0).unwrap_err();
    assert!(matches!(alien, OpenError::NotOurs { .. }), "{alien}");

    fs::remove_file(&diary).unwrap();
    discard(&settings.dir).unwrap();
    assert_eq!(fs::read_dir(&settings.dir).unwrap().count(), 0);
    assert_eq!(Found::open(&settings, false).unwrap().last_seq(), 0);
}
