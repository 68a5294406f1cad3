//! The recorder against a real journal and a real store: order, what an answer promises, and what a fault costs. And the
//! packed bytes.
//!
//! No test sleeps: faults are waited for on the channel of `on_fault`.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::fixture::{Folder, call_id, decided, event, trail, whole_call};
use super::sqlite::tests::refuse_event;
use super::sqlite::{Reader, Store};
use super::stored::{StoredEvent, StoredFacts, StoredTrail};
use super::*;
use crate::domain::{Money, PingId, Reason};
use crate::journal::{Backend, Settings};

/// Longest anything here may take.
const LONG: Duration = Duration::from_secs(20);

/// A recorder with a journal and a store in a folder of its own.
struct Bench {
    recorder: Recorder,
    ending: Ending,
    faults: mpsc::Receiver<String>,
    folder: Folder,
}

fn settings(folder: &Folder, queue: usize) -> Settings {
    Settings {
        segment_bytes: 256 * 1024,
        queue_records: queue,
        backend: Backend::Thread,
        ..Settings::in_dir(folder.path().join("journal"))
    }
}

impl Bench {
    fn new(queue: usize) -> Bench {
        Bench::on(Folder::new("recorder"), queue, |_| {})
    }

    fn on(folder: Folder, queue: usize, prepare: impl FnOnce(&Store)) -> Bench {
        let store = folder.open();
        store.conn().busy_timeout(Duration::ZERO).expect("a setting");
        prepare(&store);
        let (say, faults) = mpsc::channel();
        let found = Found::open(&settings(&folder, queue), false).expect("a journal");
        let (recorder, ending) =
            Recorder::start(found, store, 0, Seal::of(&Secret(vec![7; 32])), move |text: &str| {
                drop(say.send(text.to_owned()));
            })
            .expect("a start");
        Bench { recorder, ending, faults, folder }
    }

    /// The next thing said that begins so.
    fn said(&self, begin: &str) -> String {
        let until = Instant::now() + LONG;
        loop {
            let said = self.faults.recv_timeout(LONG).expect("a fault is said");
            if said.starts_with(begin) {
                return said;
            }
            assert!(Instant::now() < until, "{said:?} is said, and never {begin:?}");
        }
    }

    /// Keeps the store's writer out until dropped or rolled back, as a full disk would.
    fn lock_out(&self) -> Connection {
        let other = Connection::open(self.folder.file()).expect("a second connection");
        other.busy_timeout(LONG).expect("a setting");
        other.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
        other
    }

    async fn commit(&self, rows: Vec<Row>) {
        place(&self.recorder).commit(rows.into()).await.expect("on disk");
    }

    fn event_ids(&self) -> Vec<String> {
        event_ids(&self.folder)
    }

    fn finish(self) -> (Counters, Folder, Vec<String>) {
        assert!(self.ending.finish().is_complete);
        let counters = self.recorder.counters().expect("a journal");
        (counters, self.folder, self.faults.try_iter().collect())
    }
}

fn event_ids(folder: &Folder) -> Vec<String> {
    let events: Vec<StoredEvent> =
        Reader::open(&folder.file()).and_then(|reader| reader.whole(call_id(1))).expect("read").events;
    events.into_iter().map(|event| event.event_id).collect()
}

fn named(event_id: &str) -> Vec<Row> {
    vec![Row::Event(Box::new(event(1, event_id)))]
}

fn place(recorder: &Recorder) -> Slot {
    recorder.reserve().expect("a place")
}

#[tokio::test]
async fn who_was_acknowledged_finds_it_in_the_store() {
    let bench = Bench::new(16);
    for n in 1..=20 {
        bench.commit(whole_call(n)).await;
        assert!(bench.recorder.settled(LONG).await);
        let reader = Reader::open(&bench.folder.file()).expect("a reader");
        let whole = reader.whole(call_id(n)).expect("a call");
        assert!(whole.call.is_some_and(|call| call.end.is_some()));
        assert_eq!(whole.entries.len(), 3);
    }
    let (counters, _, faults) = bench.finish();
    assert_eq!((counters.journal.records, counters.store_rows, counters.store_behind), (20, 220, 0));
    assert_eq!(faults, [""; 0]);
}

#[tokio::test]
async fn what_a_process_left_pending_gets_its_outcome_from_the_next_one_once() {
    let pending = |n| vec![Row::Decided(Box::new(decided(n))), Row::Trail(Box::new(trail(n, false)))];
    let reasons = |folder: &Folder, n| -> Vec<Option<Reason>> {
        let whole = Reader::open(&folder.file()).and_then(|reader| reader.whole(call_id(n))).expect("a call");
        whole.trails[0].outcomes.iter().map(|outcome| Reason::from_code(outcome.reason)).collect()
    };
    let own = [Some(Reason::Won), Some(Reason::Pending), Some(Reason::Cap)];
    let settled = [Some(Reason::Won), Some(Reason::Interrupted), Some(Reason::Cap)];
    let mut folder = Folder::new("recorder");
    for start in 1..=3 {
        let bench = Bench::on(folder, 16, |_| {});
        // Its own, which are pending with good reason, even where the store sees them at once.
        bench.commit(pending(start)).await;
        assert!(bench.recorder.settled(LONG).await);
        // Whatever was handed in meanwhile is on disk when this is.
        bench.commit(Vec::new()).await;
        assert!(bench.recorder.settled(LONG).await);
        assert_eq!(reasons(&bench.folder, start), own, "start {start}");
        for before in 1..start {
            assert_eq!(reasons(&bench.folder, before), settled, "start {start}");
        }
        let (counters, kept, faults) = bench.finish();
        // The call, the last look, and the outcomes of the start before, if there was one: nothing twice.
        assert_eq!((counters.journal.records, faults.len()), (2 + u64::from(start > 1), 0), "{faults:?}");
        folder = kept;
    }
    let reader = Reader::open(&folder.file()).expect("a reader");
    let counts = reader.reasons(None, None, 10).expect("counts");
    let interrupted = counts.iter().filter(|count| count.reason == Reason::Interrupted.code());
    assert_eq!(interrupted.map(|count| count.count).sum::<i64>(), 2);
}

#[tokio::test]
async fn success_means_that_everything_handed_in_before_is_on_disk_in_its_order() {
    let bench = Bench::new(64);
    let mut order = Vec::new();
    for round in 0..10 {
        // A place taken early is no place in the order.
        let slot = place(&bench.recorder);
        for n in 0..5 {
            order.push(format!("{round}-{n}"));
            bench.recorder.push(named(&format!("{round}-{n}")).into());
        }
        order.push(format!("{round}-z"));
        slot.commit(named(&format!("{round}-z")).into()).await.expect("on disk");
        assert!(bench.recorder.settled(LONG).await);
        assert_eq!(bench.event_ids(), order);
    }
    // A commit without rows is a barrier.
    bench.recorder.push(named("last").into());
    bench.commit(Vec::new()).await;
    assert!(bench.recorder.settled(LONG).await);
    assert_eq!(bench.event_ids().last().map(String::as_str), Some("last"));
}

#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let bench = Bench::new(16);
    let slots: Vec<Slot> = (0..16).map(|_| place(&bench.recorder)).collect();
    assert_eq!(bench.recorder.reserve().err(), Some(CommitError::QueueFull));
    bench.recorder.push(named("dropped").into());
    drop(slots);
    bench.commit(named("e1")).await;
    let recorder = bench.recorder.clone();
    let (counters, folder, _) = bench.finish();
    assert_eq!((counters.journal.records, counters.journal.dropped_money), (1, 1));
    assert_eq!(event_ids(&folder), ["e1"]);
    assert_eq!(recorder.reserve().err(), Some(CommitError::Closed));
}

#[tokio::test]
async fn a_store_that_cannot_be_written_keeps_nobody_waiting_and_follows_later() {
    let bench = Bench::new(16);
    let lock = bench.lock_out();
    let mut order = Vec::new();
    // Far more than the queue takes: what waits for the store waits in the journal.
    for n in 0..200 {
        order.push(format!("{n:03}"));
        bench.commit(named(&format!("{n:03}"))).await;
        if n == 0 {
            // Before more come: a slow machine would find several at once.
            bench.said("1 rows wait, the store cannot be written: cannot write to the store");
        }
    }
    assert!(!bench.recorder.settled(Duration::from_millis(1)).await);
    assert!(bench.recorder.counters().expect("a journal").store_behind > 0);
    lock.execute_batch("ROLLBACK").expect("the fault ends");
    bench.said("writing to the store works again");
    assert!(bench.recorder.settled(LONG).await);
    assert_eq!(bench.event_ids(), order);
    let (counters, ..) = bench.finish();
    assert_eq!((counters.store_rows, counters.store_refused, counters.queued), (200, 0, 0));
    assert!(counters.store_failures >= 1);
}

#[tokio::test]
async fn a_row_at_fault_loses_only_its_own_record_and_is_counted() {
    let bench = Bench::on(Folder::new("recorder"), 16, |store| refuse_event(store, "bad"));
    // Behind a lock they all gather into one batch.
    let lock = bench.lock_out();
    bench.commit(named("head")).await;
    bench.said("1 rows wait");
    bench.commit(named("a")).await;
    bench.commit([named("bad"), named("b")].concat()).await;
    bench.commit(named("c")).await;
    drop(lock);
    bench.said("the store refuses record 3 of the journal: cannot write to the store: no such event");
    assert!(bench.recorder.settled(LONG).await);
    assert_eq!(bench.event_ids(), ["head", "a", "c"]);
    let (counters, ..) = bench.finish();
    assert_eq!((counters.store_refused, counters.store_rows), (1, 3));
}

#[tokio::test]
async fn the_shutdown_writes_what_is_queued() {
    let bench = Bench::new(1_024);
    let slot = place(&bench.recorder);
    for n in 0..500 {
        bench.recorder.push(named(&format!("{n:03}")).into());
    }
    // A place given out before the shutdown is honoured in it.
    let late = std::thread::spawn({
        let recorder = bench.recorder.clone();
        move || {
            while recorder.reserve().err() != Some(CommitError::Closed) {
                std::thread::yield_now();
            }
            slot.send(named("slot").into());
        }
    });
    let (counters, folder, faults) = bench.finish();
    late.join().expect("no panic");
    assert_eq!((counters.store_rows, counters.store_behind), (501, 0), "{faults:?}");
    assert!(!folder.path().join("records.db-wal").exists(), "what is left at rest is one file");
    drop(Store::open(&folder.file()).expect("the lock is free"));
}

#[tokio::test]
async fn what_the_store_could_not_take_it_takes_at_the_next_start_once() {
    let bench = Bench::new(64);
    bench.commit(whole_call(1)).await;
    assert!(bench.recorder.settled(LONG).await);
    let lock = bench.lock_out();
    bench.commit(whole_call(2)).await;
    bench.recorder.push(vec![Row::Decided(Box::new(decided(3)))].into());
    let (counters, folder, _) = bench.finish();
    drop(lock);
    assert_eq!((counters.store_rows, counters.store_behind), (11, 2));
    let bench = Bench::on(folder, 64, |_| {});
    bench.commit(Vec::new()).await;
    assert!(bench.recorder.settled(LONG).await);
    let (counters, folder, _) = bench.finish();
    assert_eq!(counters.store_rows, 12, "not again what it had");
    let totals = Reader::open(&folder.file()).and_then(|reader| reader.totals()).expect("totals");
    assert_eq!((totals.calls, totals.ended, totals.entries), (3, 2, 6));
}

#[tokio::test]
async fn a_store_that_was_deleted_is_made_again_from_the_journal() {
    let bench = Bench::new(64);
    for n in 1..=30 {
        bench.commit(whole_call(n)).await;
    }
    let (_, folder, _) = bench.finish();
    let totals =
        |folder: &Folder| Reader::open(&folder.file()).and_then(|reader| reader.totals()).expect("totals");
    let before = totals(&folder);
    super::sqlite::discard(&folder.file()).expect("gone");
    let bench = Bench::on(folder, 64, |_| {});
    bench.commit(Vec::new()).await;
    assert!(bench.recorder.settled(LONG).await);
    let (_, folder, _) = bench.finish();
    let after = totals(&folder);
    assert_eq!(
        (after.calls, after.ended, after.entries, after.events),
        (before.calls, before.ended, before.entries, before.events)
    );
    assert_eq!(before.calls, 30);
}

/// Bytes of version 1: they are in stores, so they never change.
const V1: &str = "01\
    8099f381afacb00601076175746f2d7573010270372a0b616c6c5f7265706c696564c801d4c202046d61696e01046361\
    736509636f6c6c6973696f6e030661636d652d310461636d650101c0e5a8180100000000000000000000000000000007\
    01c0f2010006626f6c742d3104626f6c74af020180b48913010000000000000000000000000000000701f0a802000663\
    6f72652d3104636f72656900000001083530206f66203530";
/// What version 2 has beside that: the turns of round robins, and what the step was decided by.
const V2: &str = "010001018099f381afacb006000102545809617265615f636f64650102555301800400010141010000000000\
    0101";

#[test]
fn packed_bytes_are_pinned_and_read_back() {
    let row = trail(1, true);
    let bytes = packed::pack(&row).expect("packed");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, format!("02{}{V2}", &V1[2..]));
    let old: Vec<u8> = (0..V1.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&V1[at..at + 2], 16).expect("hex digits"))
        .collect();
    let old = packed::unpack(9, call_id(1), 1, true, &old).expect("read");
    assert_eq!(old.facts, None);
    let read = packed::unpack(9, call_id(1), 1, true, &bytes).expect("read");
    assert_eq!((&read.turns, &old.turns), (&row.turns, &Vec::new()));
    assert_eq!(StoredTrail { turns: Vec::new(), facts: None, ..read.clone() }, old);
    assert_eq!((read.seq, read.step, read.is_final, read.seed, read.plan.as_str()), (9, 1, true, 42, "main"));
    assert_eq!((read.asked_us, read.closed_us, read.close.as_str()), (200, 41_300, "all_replied"));
    assert_eq!((read.at, read.tags), (row.keys.at, row.tags));
    let won = &read.outcomes[0];
    assert_eq!((won.target.as_str(), won.reason), ("acme-1", Reason::Won.code()));
    assert_eq!((won.amount, won.ping), (Some(Money::from_micros(25_500_000)), Some(PingId::from_bits(7))));
    assert_eq!(read.outcomes[2].note.as_deref(), Some("50 of 50"));
    assert_eq!((&old.outcomes, old.seed), (&read.outcomes, read.seed));
    assert_eq!(read.facts.and_then(StoredFacts::row), row.facts);
}

#[test]
fn garbage_is_refused_without_a_panic() {
    let unpack = |bytes: &[u8]| packed::unpack(1, call_id(1), 1, true, bytes);
    assert!(matches!(unpack(&[]), Err(UnpackError::Empty)));
    for found in [0, 3, 255] {
        let refused = unpack(&[found, 0, 0]).expect_err("unknown");
        assert!(matches!(refused, UnpackError::UnknownVersion { found: f } if f == found), "{refused}");
    }
    let good = packed::pack(&trail(1, true)).expect("packed");
    for length in 1..good.len() {
        assert!(unpack(&good[..length]).is_err(), "cut to {length} bytes");
    }
    assert!(matches!(unpack(&[good.as_slice(), &[0]].concat()), Err(UnpackError::TooLong)));
    // Each byte changed in every bit: whatever comes of it, no panic; and lengths of the sky allocate nothing.
    for place in 1..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[place] ^= 1 << bit;
            drop(unpack(&bytes));
        }
    }
    let mut huge = good[..1].to_vec();
    huge.extend([0xff; 64]);
    assert!(unpack(&huge).is_err());
}

#[tokio::test(start_paused = true)]
async fn entries_for_whoever_asks_keep_their_order_and_are_acknowledged_when_it_pleases() {
    let (recorder, mut hands) = Recorder::by_hand(8);
    recorder.push(named("pushed").into());
    let mut written = std::pin::pin!(place(&recorder).commit(named("kept").into()));
    let mut secured = std::pin::pin!(place(&recorder).secure(Entry::default(), Duration::from_secs(9)));
    assert_eq!(hands.next().await.expect("one").payload.record, Record::Entry(named("pushed").into()));
    let mut second = hands.next().await.expect("two");
    second.written();
    let early = tokio::time::timeout(Duration::from_secs(1), &mut written).await;
    assert!(early.is_err(), "nobody said that it is on disk");
    let mut third = hands.next().await.expect("three");
    third.written();
    assert_eq!(secured.as_mut().await, Ok(()), "nobody has to say that it is on disk");
    second.synced();
    assert_eq!(written.await, Ok(()));
    let never = place(&recorder).commit(Entry::default());
    assert_eq!(never.await, Err(CommitError::TimedOut), "a disk that says nothing for five seconds");
}
