//! The recorder against a real store: order, what an answer promises, and what a fault costs. And the packed bytes.
//!
//! No test sleeps: faults are waited for on the channel of `on_fault`, and the waits of the recorder are short.

use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;

use super::fixture::{Folder, call_id, decided, event, trail, whole_call};
use super::sqlite::tests::refuse_event;
use super::sqlite::{Reader, Store};
use super::stored::StoredEvent;
use super::*;
use crate::domain::{Money, PingId, Reason};

const QUICK: Pace =
    Pace { commit_wait: Duration::from_secs(20), company: Duration::ZERO, retry: Duration::from_millis(1) };
/// Waits of commits are over before the fault is.
const IMPATIENT: Pace = Pace { commit_wait: Duration::from_millis(1), ..QUICK };

/// A recorder on a store in a folder of its own.
struct Bench {
    recorder: Recorder,
    writer: Writer,
    faults: mpsc::Receiver<String>,
    folder: Folder,
}

impl Bench {
    fn new(queue: usize, pace: Pace) -> Bench {
        Bench::with(queue, pace, |_| {})
    }

    fn with(queue: usize, pace: Pace, prepare: impl FnOnce(&Store)) -> Bench {
        let folder = Folder::new("recorder");
        let store = folder.open();
        store.conn().busy_timeout(Duration::ZERO).expect("a setting");
        prepare(&store);
        let (say, faults) = mpsc::channel();
        let (recorder, writer) = Recorder::start_paced(store, queue, pace, move |text| {
            drop(say.send(text.to_owned()));
        });
        Bench { recorder, writer, faults, folder }
    }

    /// The next thing said.
    fn fault(&self) -> String {
        self.faults.recv_timeout(Duration::from_secs(20)).expect("a fault is said")
    }

    /// Keeps the writer out until dropped or rolled back, as a full disk would.
    fn lock_out(&self) -> Connection {
        let other = Connection::open(self.folder.file()).expect("a second connection");
        other.busy_timeout(Duration::from_secs(20)).expect("a setting");
        other.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
        other
    }

    fn events(&self) -> Vec<StoredEvent> {
        Reader::open(&self.folder.file()).and_then(|reader| reader.whole(call_id(1))).expect("read").events
    }

    fn event_ids(&self) -> Vec<String> {
        self.events().into_iter().map(|event| event.event_id).collect()
    }

    fn finish(self) -> (Counters, Folder, Vec<String>) {
        self.writer.finish();
        (self.recorder.counters(), self.folder, self.faults.try_iter().collect())
    }
}

fn named(event_id: &str) -> Vec<Row> {
    vec![Row::Event(Box::new(event(1, event_id)))]
}

fn place(recorder: &Recorder) -> Slot {
    recorder.reserve().expect("a place")
}

#[tokio::test]
async fn a_commit_returns_when_another_connection_can_read_it() {
    let bench = Bench::new(16, QUICK);
    for n in 1..=20 {
        place(&bench.recorder).commit(whole_call(n)).await.expect("on disk");
        let reader = Reader::open(&bench.folder.file()).expect("a reader");
        let whole = reader.whole(call_id(n)).expect("a call");
        assert!(whole.call.is_some_and(|call| call.end.is_some()));
        assert_eq!(whole.entries.len(), 3);
    }
    let counters = bench.recorder.counters();
    assert_eq!((counters.committed, counters.queued, counters.batches), (220, 0, 20));
    let (_, _, faults) = bench.finish();
    assert_eq!(faults, [""; 0]);
}

#[tokio::test]
async fn success_means_that_everything_handed_in_before_is_on_disk() {
    let bench = Bench::new(64, QUICK);
    for round in 0..10 {
        // A place taken early is no place in the order.
        let slot = place(&bench.recorder);
        let before: Vec<String> = (0..5).map(|n| format!("{round}-{n}")).collect();
        for id in &before {
            bench.recorder.push(named(id));
        }
        slot.commit(named(&format!("{round}-z"))).await.expect("on disk");
        let ids = bench.event_ids();
        let tail: Vec<_> = ids[ids.len() - 6..].to_vec();
        assert_eq!(tail, [before, vec![format!("{round}-z")]].concat());
    }
    // A commit without rows is a barrier.
    bench.recorder.push(named("last"));
    place(&bench.recorder).commit(Vec::new()).await.expect("all before it");
    assert_eq!(bench.event_ids().last().map(String::as_str), Some("last"));
}

#[tokio::test]
async fn rows_are_handed_in_by_commit_even_if_nobody_waits() {
    let bench = Bench::new(16, QUICK);
    drop(place(&bench.recorder).commit(named("alone")));
    place(&bench.recorder).commit(Vec::new()).await.expect("all before it");
    assert_eq!(bench.event_ids(), ["alone"]);
}

#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let bench = Bench::new(4, QUICK);
    let slots: Vec<Slot> = (0..4).map(|_| place(&bench.recorder)).collect();
    assert_eq!(bench.recorder.reserve().err(), Some(CommitError::QueueFull));
    drop(slots);
    place(&bench.recorder).commit(named("e1")).await.expect("on disk");
    let recorder = bench.recorder.clone();
    let (counters, ..) = bench.finish();
    assert_eq!((counters.committed, counters.dropped), (1, 0));
    assert_eq!(recorder.reserve().err(), Some(CommitError::Closed));
    recorder.push(named("late"));
    assert_eq!(recorder.counters().dropped, 1);
    assert_eq!(recorder.counters().queued, 0);
}

#[tokio::test]
async fn while_the_store_cannot_be_written_the_queue_holds_and_the_order_stays() {
    let bench = Bench::new(16, IMPATIENT);
    let lock = bench.lock_out();
    // The head of the line is taken out and tried; from here on nothing leaves the queue.
    bench.recorder.push(named("head"));
    let said = bench.fault();
    assert!(
        said.starts_with("1 rows wait, the store cannot be written: cannot write to the store"),
        "{said}"
    );
    let committing = place(&bench.recorder).commit(named("a"));
    bench.recorder.push(named("b"));
    assert_eq!(committing.await, Err(CommitError::TimedOut));
    assert_eq!(place(&bench.recorder).commit(named("c")).await, Err(CommitError::TimedOut));
    // 13 places are left, two of them for commits only.
    for n in 0..20 {
        bench.recorder.push(named(&format!("p{n:02}")));
    }
    assert_eq!(bench.recorder.counters().dropped, 9);
    let last = [place(&bench.recorder), place(&bench.recorder)];
    assert_eq!(bench.recorder.reserve().err(), Some(CommitError::QueueFull));
    for (slot, id) in last.into_iter().zip(["y", "z"]) {
        assert_eq!(slot.commit(named(id)).await, Err(CommitError::TimedOut));
    }
    assert_eq!(bench.event_ids(), [""; 0]);
    assert_eq!(bench.recorder.counters().queued, 17);

    lock.execute_batch("ROLLBACK").expect("the fault ends");
    let mut said = bench.fault();
    while !said.starts_with("writing works again") {
        said = bench.fault();
    }
    let (counters, folder, _) = bench.finish();
    let events =
        Reader::open(&folder.file()).and_then(|reader| reader.whole(call_id(1))).expect("read").events;
    let ids: Vec<_> = events.iter().map(|event| event.event_id.as_str()).collect();
    let order: Vec<String> = ["head", "a", "b", "c"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..11).map(|n| format!("p{n:02}")))
        .chain(["y".to_owned(), "z".to_owned()])
        .collect();
    assert_eq!(ids, order);
    assert_eq!((counters.committed, counters.queued, counters.dropped), (17, 0, 9));
    assert!(counters.failed_batches >= 1);
}

#[tokio::test]
async fn a_commit_waits_out_a_short_fault() {
    let bench = Bench::new(16, QUICK);
    let lock = bench.lock_out();
    let committing = tokio::spawn(place(&bench.recorder).commit(named("a")));
    bench.fault();
    drop(lock);
    assert_eq!(committing.await.expect("no panic"), Ok(()));
    assert_eq!(bench.event_ids(), ["a"]);
}

#[tokio::test]
async fn a_row_at_fault_loses_only_what_was_handed_in_with_it() {
    let bench = Bench::with(16, QUICK, |store| refuse_event(store, "bad"));
    // Behind a lock they all gather into one batch.
    let lock = bench.lock_out();
    bench.recorder.push(named("head"));
    bench.fault();
    let first = place(&bench.recorder).commit(named("a"));
    let second = place(&bench.recorder).commit([named("bad"), named("b")].concat());
    bench.recorder.push(named("bad"));
    bench.recorder.push(named("c"));
    let third = place(&bench.recorder).commit(named("d"));
    drop(place(&bench.recorder).commit(named("bad")));
    drop(lock);
    assert_eq!(first.await, Ok(()));
    let refused = second.await.expect_err("at fault");
    assert_eq!(
        refused.to_string(),
        "the rows could not be written: cannot write to the store: no such event: Error code 1811: constraint failed"
    );
    assert_eq!(third.await, Ok(()));
    place(&bench.recorder).commit(Vec::new()).await.expect("all before it");
    assert_eq!(bench.event_ids(), ["head", "a", "c", "d"]);
    let (counters, _, faults) = bench.finish();
    // The push and the commit nobody waited for; whoever waited was told.
    assert_eq!((counters.dropped, counters.queued, counters.committed), (2, 0, 4));
    let refused: Vec<_> = faults.iter().filter(|said| said.contains("the store refuses them")).collect();
    assert_eq!(refused.len(), 1, "said once, not per row: {faults:?}");
    assert!(faults.last().is_some_and(|said| said.ends_with("2 since the start")), "{faults:?}");
}

#[tokio::test]
async fn the_shutdown_writes_what_is_queued() {
    let bench = Bench::new(1_024, QUICK);
    let slot = place(&bench.recorder);
    for n in 0..500 {
        bench.recorder.push(named(&format!("{n:03}")));
    }
    // A place given out before the shutdown is honoured in it.
    let late = std::thread::spawn({
        let recorder = bench.recorder.clone();
        move || {
            while recorder.reserve().err() != Some(CommitError::Closed) {
                std::thread::yield_now();
            }
            drop(slot.commit(named("slot")));
        }
    });
    let (counters, folder, faults) = bench.finish();
    late.join().expect("no panic");
    assert_eq!((counters.committed, counters.queued, counters.dropped), (501, 0, 0), "{faults:?}");
    assert!(!folder.path().join("records.db-wal").exists(), "what is left at rest is one file");
    drop(Store::open(&folder.file()).expect("the lock is free"));
}

#[tokio::test]
async fn a_store_that_stays_unwritable_ends_the_shutdown_with_a_count() {
    let bench = Bench::new(16, QUICK);
    let lock = bench.lock_out();
    bench.recorder.push(named("head"));
    bench.fault();
    bench.recorder.push([named("b"), named("c")].concat());
    let waiting = place(&bench.recorder).commit(named("d"));
    let recorder = bench.recorder.clone();
    let (counters, _folder, faults) = bench.finish();
    drop(lock);
    assert!(matches!(waiting.await, Err(CommitError::Failed(_))));
    assert_eq!((counters.dropped, counters.queued, counters.committed), (4, 0, 0));
    assert!(faults.last().is_some_and(|said| said.ends_with("4 since the start")), "{faults:?}");
    assert_eq!(recorder.reserve().err(), Some(CommitError::Closed));
}

#[tokio::test]
async fn the_writer_ends_with_its_last_recorder() {
    let Bench { recorder, writer, folder, .. } = Bench::new(16, QUICK);
    recorder.push(vec![Row::Decided(Box::new(decided(1)))]);
    drop(recorder);
    writer.thread.join().expect("it ends by itself");
    assert_eq!(Reader::open(&folder.file()).and_then(|reader| reader.totals()).expect("totals").calls, 1);
}

#[tokio::test]
async fn the_writer_ends_with_its_last_recorder_even_in_a_fault() {
    let bench = Bench::new(16, QUICK);
    let lock = bench.lock_out();
    bench.recorder.push(named("head"));
    bench.fault();
    let Bench { recorder, faults, writer, folder } = bench;
    drop(recorder);
    let said = faults.recv_timeout(Duration::from_secs(20)).expect("it gives up");
    assert_eq!(said, "1 rows were lost, 1 since the start");
    writer.thread.join().expect("no panic");
    drop((lock, folder));
}

/// Bytes of version 1 as released: they are in people's stores, so they never change.
const V1: &str = "01\
    8099f381afacb00601076175746f2d7573010270372a0b616c6c5f7265706c696564c801d4c202046d61696e01046361\
    736509636f6c6c6973696f6e030661636d652d310461636d650101c0e5a8180100000000000000000000000000000007\
    01c0f2010006626f6c742d3104626f6c74af020180b48913010000000000000000000000000000000701f0a802000663\
    6f72652d3104636f72656900000001083530206f66203530";

#[test]
fn packed_bytes_are_pinned_and_read_back() {
    let row = trail(1, true);
    let bytes = packed::pack(&row).expect("packed");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, V1);
    let read = packed::unpack(9, call_id(1), 1, true, &bytes).expect("read");
    assert_eq!((read.seq, read.step, read.is_final, read.seed, read.plan.as_str()), (9, 1, true, 42, "main"));
    assert_eq!((read.asked_us, read.closed_us, read.close.as_str()), (200, 41_300, "all_replied"));
    assert_eq!((read.at, read.tags), (row.keys.at, row.tags));
    let won = &read.outcomes[0];
    assert_eq!((won.target.as_str(), won.reason), ("acme-1", Reason::Won.code()));
    assert_eq!((won.amount, won.ping), (Some(Money::from_micros(25_500_000)), Some(PingId::from_bits(7))));
    assert_eq!(read.outcomes[2].note.as_deref(), Some("50 of 50"));
}

#[test]
fn garbage_is_refused_without_a_panic() {
    let unpack = |bytes: &[u8]| packed::unpack(1, call_id(1), 1, true, bytes);
    assert!(matches!(unpack(&[]), Err(UnpackError::Empty)));
    for found in [0, 2, 255] {
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
async fn rows_for_whoever_asks_keep_their_order_and_are_acknowledged_when_it_pleases() {
    let (recorder, mut rows) = Recorder::to_rows(8);
    recorder.push(vec![Row::Event(Box::new(event(1, "pushed")))]);
    let mut written = std::pin::pin!(
        recorder.reserve().expect("room").commit(vec![Row::Event(Box::new(event(1, "kept")))])
    );
    let first = rows.next().await.expect("what was pushed");
    assert!(matches!(&first.rows()[0], Row::Event(row) if row.event_id == "pushed"));
    first.written();
    let second = rows.next().await.expect("what was committed");
    let early = tokio::time::timeout(Duration::from_secs(1), &mut written).await;
    assert!(early.is_err(), "nobody said that it is on disk");
    second.written();
    assert_eq!(written.await, Ok(()));
    let never = recorder.reserve().expect("room").commit(Vec::new());
    assert_eq!(never.await, Err(CommitError::TimedOut), "a disk that says nothing for five seconds");
    let counters = recorder.counters();
    assert_eq!((counters.committed, counters.queued, counters.batches, counters.dropped), (2, 0, 2, 0));
}
