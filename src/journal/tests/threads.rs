//! The threads of a running journal on a simulated disk that fails and fills up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::{Appender, Backend, Class, Disk, Found, Keeper, Payload, Settings, Waits, work};
use super::sim::{Faults, Sim};

const SEGMENT: u64 = 64 * 1024;
const WAIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Number(u64);

impl Payload for Number {
    fn class(&self) -> Class {
        Class::Money
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[1, 1]);
        out.extend_from_slice(format!("{:0900}", self.0).as_bytes());
    }
}

type Said = Arc<Mutex<Vec<String>>>;

fn settings(dirs: usize) -> Settings {
    let spare_dir = (dirs > 1).then(|| "/sim1".into());
    let segment_bytes = SEGMENT;
    Settings {
        spare_dir,
        segment_bytes,
        keep_bytes: 0,
        backend: Backend::Thread,
        ..Settings::in_dir("/sim0")
    }
}

fn start(disk: &Sim, dirs: usize) -> (Appender<Number>, Keeper, Said) {
    if disk.files(0).is_empty() {
        work::begin(&*disk.dirs()[0], &[9; 16]).unwrap();
    }
    let said = Said::default();
    let heard = Arc::clone(&said);
    let found = Found::on(&settings(dirs), disk.dirs(), false).unwrap();
    let (appender, keeper) = found.start(move |what| heard.lock().unwrap().push(what.to_owned())).unwrap();
    assert_eq!(keeper.counters().choice.disk, Disk::Sim);
    (appender, keeper, said)
}

type Waiting = Vec<oneshot::Receiver<Result<u64, super::super::AppendError>>>;

fn send(appender: &Appender<Number>, count: u64, next: &mut u64) -> Waiting {
    let mut waiting = Vec::new();
    for _ in 0..count {
        *next += 1;
        let (ack, heard) = oneshot::channel();
        appender.reserve().unwrap().send(Number(*next), Waits::Disk(ack));
        waiting.push(heard);
    }
    waiting
}

/// Until it holds, or for ever so long; the threads have their own pace.
fn eventually(keeper: &Keeper, what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        keeper.wait_durable_past(u64::MAX, Duration::from_millis(10));
    }
    panic!("{what} never came");
}

fn all_there(disk: &Sim, dirs: usize, last: u64) {
    let found = Found::on(&settings(dirs), disk.dirs(), false).unwrap();
    let bodies: Vec<_> = found.records_after(0).map(|read| read.unwrap().body).collect();
    let expected: Vec<_> = (1..=last).map(|number| format!("{number:0900}").into_bytes()).collect();
    assert!(bodies == expected, "{} of {last} are there", bodies.len());
}

#[test]
fn a_disk_that_fails_is_left_and_everything_is_acknowledged_in_the_end() {
    for (dirs, faults) in [
        (1, Faults { sync: 1, ..Faults::default() }),
        (2, Faults { write: 1, ..Faults::default() }),
        (2, Faults { dir: 1, ..Faults::default() }),
    ] {
        let disk = Sim::new(5, dirs, 400 * SEGMENT);
        let (appender, keeper, said) = start(&disk, dirs);
        let mut last = 0;
        for heard in send(&appender, 40, &mut last) {
            heard.blocking_recv().unwrap().unwrap();
        }
        let before = disk.happened();
        disk.set(faults);
        // Enough for a new segment, so that directories are synced too.
        let waiting = send(&appender, 80, &mut last);
        eventually(&keeper, "a fault", || disk.happened() > before + 1);
        disk.set(Faults::default());
        for (turn, heard) in waiting.into_iter().enumerate() {
            assert_eq!(heard.blocking_recv().unwrap(), Ok(41 + turn as u64));
        }
        eventually(&keeper, "the end of the fault", || {
            said.lock().unwrap().iter().any(|what| what.starts_with("the journal reaches the disk again"))
                || keeper.counters().poisoned == 0
        });
        assert!(keeper.counters().faults > 0);
        disk.power_cut();
        drop((appender, keeper.close(), keeper));
        all_there(&disk, dirs, last);
    }
}

#[test]
fn a_full_disk_takes_the_reserve_then_waits_and_heals() {
    let disk = Sim::new(6, 1, 400 * SEGMENT);
    let (appender, keeper, said) = start(&disk, 1);
    let mut last = 0;
    let has_reserve = || disk.files(0).iter().any(|(name, _)| name == "RESERVE");
    eventually(&keeper, "the reserve", has_reserve);
    disk.set_room(2 * SEGMENT);
    // Three segments' worth: the prepared one and the reserve take two of them.
    let waiting = send(&appender, 200, &mut last);
    eventually(&keeper, "the use of the reserve", || !has_reserve());
    eventually(&keeper, "a word", || {
        said.lock()
            .unwrap()
            .iter()
            .any(|what| what.starts_with("the next segment of the journal cannot be prepared"))
    });
    eventually(&keeper, "what fits", || keeper.durable_seq() > 100);
    assert!(keeper.durable_seq() < last, "there is no room for all of it");
    eventually(&keeper, "the guard of the disk", || keeper.counters().is_low);
    disk.set_room(400 * SEGMENT);
    for heard in waiting {
        heard.blocking_recv().unwrap().unwrap();
    }
    eventually(&keeper, "a new reserve", has_reserve);
    assert!(keeper.wait_durable_past(last - 1, WAIT));
    assert!(keeper.close().is_complete);
    drop((appender, keeper));
    all_there(&disk, 1, last);
}

#[test]
fn a_close_on_a_dead_disk_ends_and_says_what_is_not_written() {
    let disk = Sim::new(7, 1, 400 * SEGMENT);
    let (appender, keeper, _) = start(&disk, 1);
    let mut last = 0;
    for heard in send(&appender, 10, &mut last) {
        heard.blocking_recv().unwrap().unwrap();
    }
    disk.set(Faults { write: 1, sync: 1, ..Faults::default() });
    let waiting = send(&appender, 10, &mut last);
    let closed = keeper.close();
    assert!(!closed.is_complete);
    assert_eq!(closed.durable, 10);
    for heard in waiting {
        assert!(heard.blocking_recv().unwrap().is_err(), "nobody hears that it is on disk");
    }
}

/// Whoever finds that all is written ends the journal, and who reads along then takes what is known to be on disk for
/// everything: so nothing may be settled and not known.
#[test]
fn what_is_settled_is_known_to_be_on_disk() {
    let disk = Sim::new(8, 1, 4_000 * SEGMENT);
    let (appender, keeper, _) = start(&disk, 1);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut last = 0;
            while last < 2_000 {
                for heard in send(&appender, 1, &mut last) {
                    heard.blocking_recv().unwrap().unwrap();
                }
            }
        });
        while !sending.is_finished() {
            assert!(keeper.knows_what_is_settled());
        }
    });
    assert!(keeper.close().is_complete);
}
