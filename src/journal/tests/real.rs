//! The journal on a real directory, by threads and by io_uring.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::disk::{Dir, RealDir};
use super::super::format::{self, Header, Sort};
use super::super::log::{Log, Start};
use super::super::open::free;
use super::super::survey::{ID, MARK, RESERVE, SPARE, Tip};
use super::super::{
    Appender, Backend, Class, Found, Keeper, NotNow, OpenError, OpenFault, Payload, Settings, Waits, bench,
    record_limit, uring,
};

const SEGMENT: u64 = 64 * 1024;
const WAIT: Duration = Duration::from_secs(20);

/// A directory of its own, gone with the value.
pub(super) struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("outcry-journal-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn settings(&self, backend: Backend) -> Settings {
        Settings {
            segment_bytes: SEGMENT,
            keep_bytes: 0,
            queue_records: 1_000,
            backend,
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

#[derive(Debug)]
struct Note(Vec<u8>, Class);

impl Payload for Note {
    fn class(&self) -> Class {
        self.1
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[7, 1]);
        out.extend_from_slice(&self.0);
    }
}

fn note(number: usize) -> Note {
    Note(format!("note {number} {}", "x".repeat(number % 300)).into_bytes(), Class::Money)
}

type Said = Arc<Mutex<Vec<String>>>;

fn start(settings: &Settings) -> (Appender<Note>, Keeper, Said) {
    let said = Said::default();
    let heard = Arc::clone(&said);
    let found = Found::open(settings, false).unwrap();
    let (appender, keeper) = found.start(move |what| heard.lock().unwrap().push(what.to_owned())).unwrap();
    (appender, keeper, said)
}

fn backends() -> Vec<Backend> {
    // Where the system denies io_uring there is one.
    let uring = uring::probe().is_ok().then_some(Backend::Uring);
    [Some(Backend::Thread), uring].into_iter().flatten().collect()
}

fn on_disk(appender: &Appender<Note>, number: usize) -> u64 {
    let (ack, heard) = oneshot::channel();
    appender.reserve().unwrap().send(note(number), Waits::Disk(ack));
    heard.blocking_recv().unwrap().unwrap()
}

fn notes(settings: &Settings) -> Vec<Vec<u8>> {
    let found = Found::open(settings, false).unwrap();
    assert_eq!(found.cut(), None);
    found.records_after(0).map(|read| read.unwrap().body).collect()
}

#[test]
fn what_nobody_waits_for_is_synced_together_and_at_once_when_asked() {
    for backend in backends() {
        let folder = Folder::new();
        // Room enough: what a segment's end brings about is synced at once.
        let (appender, keeper, _) =
            start(&Settings { segment_bytes: 32 * 1024 * 1024, ..folder.settings(backend) });
        let began = Instant::now();
        let mut pushed = 0;
        while began.elapsed() < Duration::from_millis(200) {
            pushed += u64::from(appender.push(note(1)));
            // As it is written: what comes together shares a sync anyway.
            while appender.queued() > 0 {
                std::thread::yield_now();
            }
        }
        let most = began.elapsed().as_millis() as u64 / 10 + 2;
        let syncs = keeper.counters().syncs;
        assert!(syncs <= most, "{backend:?}: {syncs} syncs of {pushed} records, {most} are enough");
        // Somebody who waits for the disk is not kept waiting for company, nor is what came before.
        assert_eq!(on_disk(&appender, 1), pushed + 1);
        assert!(appender.push(note(1)));
        while keeper.hurry() < pushed + 2 {
            std::thread::yield_now();
        }
        assert!(keeper.wait_durable_past(pushed + 1, Duration::from_secs(20)));
        assert!(keeper.close().is_complete);
    }
}

#[test]
fn what_is_acknowledged_is_read_back_by_both_backends() {
    for backend in backends() {
        let folder = Folder::new();
        let settings = folder.settings(backend);
        let mut expected = Vec::new();
        for round in 0..3 {
            let (appender, keeper, said) = start(&settings);
            let before = expected.len() as u64;
            assert_eq!(keeper.durable_seq(), before);
            let mut waits = Vec::new();
            for turn in 0..600 {
                let number = expected.len();
                let (ack, heard) = oneshot::channel();
                let way = if turn % 2 == 0 { Waits::Kernel(ack) } else { Waits::Disk(ack) };
                appender.reserve().unwrap().send(note(number), way);
                expected.push(note(number).0);
                waits.push(heard);
            }
            for (turn, heard) in waits.into_iter().enumerate() {
                assert_eq!(heard.blocking_recv().unwrap(), Ok(before + turn as u64 + 1));
            }
            assert!(keeper.wait_durable_past(before + 599, WAIT), "round {round}");
            let mut tail = keeper.tail(0);
            let mut read = Vec::new();
            while read.len() < expected.len() {
                read.extend(tail.batch(10_000, WAIT).unwrap().unwrap());
            }
            assert!(read.iter().enumerate().all(|(at, read)| read.seq == at as u64 + 1));
            let bodies: Vec<_> = read.into_iter().map(|read| read.body).collect();
            assert!(bodies == expected, "{backend:?}: the tail gives what was written");
            let closed = keeper.close();
            assert!(closed.is_complete);
            assert_eq!(closed.durable, expected.len() as u64);
            assert_eq!(tail.batch(10_000, WAIT).unwrap(), None);
            assert_eq!(appender.reserve().unwrap_err(), NotNow::Closed);
            assert_eq!(*said.lock().unwrap(), Vec::<String>::new());
            let counters = keeper.counters();
            assert_eq!((counters.records, counters.faults, counters.poisoned), (600, 0, 0));
            assert!(counters.segments >= 2 && counters.syncs > 0, "{counters:?}");
        }
        assert!(notes(&settings) == expected);
    }
}

#[test]
fn a_full_queue_keeps_places_for_money_and_counts_what_it_drops() {
    let folder = Folder::new();
    let settings = Settings { queue_records: 16, ..folder.settings(Backend::Thread) };
    let (appender, keeper, _) = start(&settings);
    // Places that are given out and not used stand for records that wait.
    let held: Vec<_> = (0..14).map(|_| appender.reserve().unwrap()).collect();
    assert!(!appender.push(Note(Vec::new(), Class::Bulk)), "the last places are for money");
    let last: Vec<_> = (0..2).map(|_| appender.reserve().unwrap()).collect();
    assert_eq!(appender.reserve().unwrap_err(), NotNow::Full);
    assert!(!appender.push(note(0)));
    let counters = keeper.counters();
    assert_eq!((counters.dropped_bulk, counters.dropped_money), (1, 1));
    drop((held, last));
    assert!(appender.push(Note(Vec::new(), Class::Bulk)));
    assert!(keeper.wait_durable_past(0, WAIT));
    assert!(keeper.close().is_complete);
}

#[test]
fn snapshots_and_releases_make_room() {
    let folder = Folder::new();
    let settings = folder.settings(Backend::Thread);
    let (appender, keeper, _) = start(&settings);
    for number in 0..700 {
        on_disk(&appender, number);
    }
    let before = keeper.counters().segments;
    assert!(keeper.begin_snapshot(701).is_err(), "what is not on disk cannot be covered");
    let mut snapshot = keeper.begin_snapshot(600).unwrap();
    snapshot.put(3, 1, b"all that was").unwrap();
    snapshot.commit().unwrap();
    keeper.release(650);
    for _ in 0..200 {
        if keeper.counters().segments < before {
            break;
        }
        keeper.wait_durable_past(u64::MAX, Duration::from_millis(50));
    }
    assert!(keeper.counters().segments < before, "nothing was removed");
    assert!(keeper.close().is_complete);
    drop((appender, keeper));
    let found = Found::open(&settings, false).unwrap();
    assert!(found.first_seq() > 1 && found.first_seq() <= 601);
    let (covers, records) = found.snapshot().unwrap().unwrap();
    let records: Vec<_> = records.map(Result::unwrap).collect();
    assert_eq!((covers, records.len(), records[0].kind), (600, 1, 3));
    let rest: Vec<_> = found.records_after(600).map(|read| read.unwrap().body).collect();
    assert!(rest == (600..700).map(|number| note(number).0).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_fails_between_two_segments_passes_over_nothing() {
    let folder = Folder::new();
    let settings = folder.settings(Backend::Thread);
    let (appender, keeper, _) = start(&settings);
    let mut last = 0;
    for number in 0..700 {
        last = on_disk(&appender, number);
    }
    let second = settings.dir.join("0000000002.seg");
    let away = settings.dir.join("away");
    fs::rename(&second, &away).unwrap();
    let mut tail = keeper.tail(0);
    let all = usize::MAX;
    let first = tail.batch(all, WAIT).unwrap().unwrap();
    assert!(!first.is_empty() && first.len() < 700, "what lies before the fault: {}", first.len());
    assert!(tail.batch(all, WAIT).is_err());
    fs::rename(&away, &second).unwrap();
    let rest = tail.batch(all, WAIT).unwrap().unwrap();
    let seqs: Vec<u64> = first.iter().chain(&rest).map(|read| read.seq).collect();
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
    assert!(keeper.close().is_complete);
}

#[test]
fn a_snapshot_that_is_given_up_leaves_nothing_behind() {
    let folder = Folder::new();
    let settings = folder.settings(Backend::Thread);
    let (appender, keeper, _) = start(&settings);
    let seq = on_disk(&appender, 1);
    let mut snapshot = keeper.begin_snapshot(seq).unwrap();
    snapshot.put(3, 1, b"some of it").unwrap();
    let draft = settings.dir.join("snapshot.new");
    assert!(draft.exists());
    drop(snapshot);
    assert!(!draft.exists());
    assert!(keeper.close().is_complete);
}

#[test]
fn a_record_too_large_is_refused_and_the_others_go_on() {
    let folder = Folder::new();
    let (appender, keeper, said) = start(&folder.settings(Backend::Thread));
    let (ack, heard) = oneshot::channel();
    let large = Note(vec![1; SEGMENT as usize], Class::Money);
    appender.reserve().unwrap().send(large, Waits::Disk(ack));
    let error = heard.blocking_recv().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("the record has 65562 bytes and a segment takes "), "{error}");
    assert_eq!(on_disk(&appender, 1), 1);
    assert!(said.lock().unwrap()[0].starts_with("a record is lost: the record has 65562 bytes"));
    assert!(keeper.close().is_complete);
}

/// What lies in the directory, with contents.
fn image(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn refused(settings: &Settings, fault: OpenFault, says: &str) {
    let before = image(&settings.dir);
    let error = Found::open(settings, false).unwrap_err();
    let line = error.to_string();
    assert!(line.contains(says), "{line}");
    assert!(!line.contains('\n') && line.contains(';'), "one line, with what to do: {line}");
    assert_eq!(error.fault(), fault, "{line}");
    assert!(image(&settings.dir) == before, "it was touched: {line}");
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_in_one_line_and_left_alone() {
    let folder = Folder::new();
    let settings = folder.settings(Backend::Thread);
    fs::create_dir_all(&settings.dir).unwrap();
    fs::write(settings.dir.join("letter.txt"), "Dear").unwrap();
    refused(&settings, OpenFault::Setting, "it holds letter.txt and no identity");
    fs::write(settings.dir.join(ID), "an identity of something else").unwrap();
    refused(&settings, OpenFault::Setting, "is no journal");
    fs::remove_dir_all(&settings.dir).unwrap();

    let (appender, keeper, _) = start(&settings);
    on_disk(&appender, 1);
    let error = Found::open(&settings, false).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process; stop that one first"), "{error}");
    assert_eq!(error.fault(), OpenFault::Setting);
    assert_eq!(Found::read_only(&settings).unwrap().last_seq(), 1, "who only reads needs no lock");
    on_disk(&appender, 2);
    assert!(keeper.close().is_complete);
    drop((keeper, appender));

    let mut id = fs::read(settings.dir.join(ID)).unwrap();
    let good = id.clone();
    id[8..12].copy_from_slice(&(format::FORMAT + 1).to_le_bytes());
    let crc = crc32c::crc32c(&id[..28]);
    id[28..].copy_from_slice(&crc.to_le_bytes());
    fs::write(settings.dir.join(ID), id).unwrap();
    refused(&settings, OpenFault::Data, &format!("has format {}, this version reads", format::FORMAT + 1));
    fs::write(settings.dir.join(ID), good).unwrap();

    let segment = settings.dir.join("0000000001.seg");
    let bytes = fs::read(&segment).unwrap();
    let mut newer = bytes.clone();
    newer[8..12].copy_from_slice(&(format::FORMAT + 1).to_le_bytes());
    let crc = crc32c::crc32c(&newer[..68]);
    newer[68..72].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, newer).unwrap();
    refused(&settings, OpenFault::Data, "0000000001.seg has format");
    fs::write(&segment, &bytes).unwrap();

    let mark = fs::read(settings.dir.join(MARK)).unwrap();
    fs::remove_file(settings.dir.join(MARK)).unwrap();
    refused(&settings, OpenFault::Data, "MARK cannot be used: it is missing");
    fs::write(settings.dir.join(MARK), mark).unwrap();

    let large = Settings { segment_bytes: 1, ..settings.clone() };
    refused(&large, OpenFault::Setting, "journal.segment_bytes = 1 is out of range; 65536 to");
    assert_eq!(notes(&settings).len(), 2, "and all is as it was");
}

#[test]
fn a_loss_is_refused_until_somebody_accepts_it_and_numbers_are_not_given_out_again() {
    let folder = Folder::new();
    let settings = folder.settings(Backend::Thread);
    let (appender, keeper, _) = start(&settings);
    for number in 0..20 {
        on_disk(&appender, number);
    }
    assert!(keeper.close().is_complete);
    drop((appender, keeper));
    let segment = settings.dir.join("0000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let place = bytes.windows(8).position(|window| window == b"note 11 ").unwrap();
    bytes[place] ^= 4;
    fs::write(&segment, bytes).unwrap();
    refused(
        &settings,
        OpenFault::Data,
        "record 12 is missing or damaged, though records up to 20 had been on disk",
    );
    for round in 0..3 {
        let found = Found::open(&settings, round == 0).unwrap();
        assert_eq!(
            found.cut().is_some_and(|cut| cut.accepted && cut.seq == 12 && cut.records == 8),
            round == 0
        );
        assert_eq!(found.next_seq(), 21 + round);
        let kept: Vec<_> = found.records_after(0).map(|read| read.unwrap().seq).collect();
        assert_eq!(kept, (1..=11).chain(21..21 + round).collect::<Vec<_>>());
        let (appender, keeper) = found.start(|what| panic!("{what}")).unwrap();
        assert_eq!(on_disk(&appender, 1), 21 + round);
        assert!(keeper.close().is_complete);
    }
}

/// Numbers that were passed over stay so, also where the process ends before it writes a record.
#[test]
fn numbers_passed_over_are_not_given_out_again() {
    for unproven in [false, true] {
        let folder = Folder::new();
        let settings = folder.settings(Backend::Thread);
        let (appender, keeper, _) = start(&settings);
        for number in 0..20 {
            on_disk(&appender, number);
        }
        assert!(keeper.close().is_complete);
        drop((appender, keeper));
        if unproven {
            // As if the mark had not been written: the last records are written again at a start.
            fs::remove_file(settings.dir.join(MARK)).unwrap();
        }
        let mut found = Found::open(&settings, unproven).unwrap();
        assert_eq!((found.last_seq(), found.next_seq(), found.given_up()), (20, 21, 0));
        found.pass_over(30);
        assert_eq!((found.next_seq(), found.given_up()), (31, 10));
        let (appender, keeper) = found.start::<Note>(|what| panic!("{what}")).unwrap();
        assert!(keeper.close().is_complete, "nothing was written");
        drop((appender, keeper));
        for round in 0..3 {
            let found = Found::open(&settings, false).unwrap();
            assert_eq!((found.next_seq(), found.given_up()), (31 + round, 0), "unproven: {unproven}");
            let kept: Vec<_> = found.records_after(0).map(|read| read.unwrap().seq).collect();
            assert_eq!(kept, (1..=20).chain(31..31 + round).collect::<Vec<_>>());
            let (appender, keeper) = found.start(|what| panic!("{what}")).unwrap();
            assert_eq!(on_disk(&appender, 1), 31 + round);
            assert!(keeper.close().is_complete);
        }
    }
}

#[test]
fn a_disk_that_is_nearly_full_takes_money_only() {
    let folder = Folder::new();
    let settings = folder.settings(Backend::Thread);
    let (_, keeper, _) = start(&settings);
    assert!(keeper.close().is_complete);
    drop(keeper);
    let names: Vec<_> = image(&settings.dir).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&SPARE.to_owned()), "{names:?}");
    // Every disk has less than all of it free.
    let low = Settings { free_percent: 50, ..settings };
    let dir = RealDir::unlocked(&low.dir).unwrap();
    let space = dir.space().unwrap();
    let is_low = space.free * 2 < space.total;
    let (appender, keeper, said) = start(&low);
    for _ in 0..200 {
        if keeper.counters().total_bytes > 0 {
            break;
        }
        keeper.wait_durable_past(u64::MAX, Duration::from_millis(50));
    }
    assert_eq!(appender.push(Note(Vec::new(), Class::Bulk)), !is_low);
    assert!(appender.push(note(1)), "money goes on");
    assert_eq!(said.lock().unwrap().iter().any(|what| what.contains("bulk records are dropped")), is_low);
    assert!(keeper.close().is_complete);
    assert!(low.dir.join(RESERVE).exists(), "a reserve is kept");
}

/// Said before anything is made, of a journal that is there and of one that is not yet.
#[test]
fn a_disk_without_room_for_a_segment_is_refused() {
    let sim = super::sim::Sim::new(1, 1, SEGMENT + 1024 * 1024);
    let dirs = sim.dirs();
    assert!(free(&*dirs[0], Path::new("journal"), SEGMENT).is_ok());
    sim.set_room(SEGMENT + 1024 * 1024 - 1);
    let error = free(&*dirs[0], Path::new("journal"), SEGMENT).unwrap_err();
    assert_eq!(error.fault(), OpenFault::Setting);
    let said = error.to_string();
    assert!(said.starts_with("journal has 1114111 bytes free and the journal needs 1114112"), "{said}");
    assert!(said.contains("make room, or name another directory"), "{said}");
}

#[test]
fn the_largest_record_is_known_beforehand() {
    for segment_bytes in [SEGMENT, 1024 * 1024, 32 * 1024 * 1024, 1024 * 1024 * 1024] {
        let (id, tip, list) = ([0; 16], Tip::default(), Vec::new());
        let log = Log::<()>::new(Start { id, segment_bytes, tip, next: 1, number: 0, list });
        assert_eq!(record_limit(segment_bytes), log.record_limit() as u64);
    }
}

#[test]
fn the_head_of_a_segment_stays_as_it_is() {
    let header =
        Header { id: [7; 16], number: 3, epoch: 9, first: 11, follows: 10, durable: 8, chain: 0xabcd };
    let bytes = header.encode(Sort::Segment);
    assert_eq!(Header::decode(&bytes, Sort::Segment), Ok(header));
    assert_eq!(bytes.len(), 4096);
    let hex: String = bytes[..72].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "4f555443525953470100000007070707070707070707070707070707030000000000000009000000\
         0b000000000000000a000000000000000800000000000000cdab000002f9749c"
    );
}

#[test]
fn the_bench_measures_both_sides() {
    for backend in backends() {
        let folder = Folder::new();
        let settings = Settings { segment_bytes: 4 * 1024 * 1024, ..folder.settings(Backend::Auto) };
        let lasts = std::env::var("OUTCRY_JOURNAL_BENCH_MS").ok().and_then(|value| value.parse().ok());
        let lasts = Duration::from_millis(lasts.unwrap_or(200));
        let (figures, auto) = bench::run(&settings, &[backend], 500, lasts).unwrap();
        let [figures] = figures[..] else { panic!("one was asked for") };
        println!(
            "auto takes {auto}\n{figures:#?}\n{:.2} {:.2}",
            figures.throughput_ratio(),
            figures.commit_ratio()
        );
        assert!(figures.throughput_ratio() > 0.0 && figures.commit_ratio() > 0.0, "{figures:?}");
        assert!(!folder.0.join("journal.bench").exists(), "it cleans up");
    }
}
