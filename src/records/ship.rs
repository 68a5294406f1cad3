//! The store as a reader of the journal: takes the rows of records that are on disk, and notes how far it is in the same
//! transaction.
//!
//! A store that cannot be written costs disk and keeps nobody waiting: what it has not taken stays in the journal. When the
//! rows of a record are at fault the batch is written record by record and only that one is lost, and counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::row::Fact;
use super::seal::unsealed;
use super::sqlite::{Applied, Place, Reader, Store, StoreError};
use super::{Recorder, entry, lost};
use crate::journal::{Keeper, Read, Tail};
use crate::runtime::{behind_calls, chain};

/// Rows after which a batch is not made larger.
const BATCH_ROWS: usize = 1_000;
/// Bytes read from the journal at once.
const BATCH_BYTES: usize = 1024 * 1024;
/// Longest that rows wait for company while nobody asks for them.
const COMPANY: Duration = Duration::from_millis(50);
/// How often a quiet journal is looked at, and the end of it.
const LOOK: Duration = Duration::from_millis(200);
/// Between two tries of a transaction.
const RETRY: Duration = Duration::from_millis(250);
/// Tries to write once the journal is closed, before what is left is left to the next start.
const LAST_TRIES: u32 = 4;
/// A lasting fault is reported this often.
const REPEAT: Duration = Duration::from_secs(10);

/// How far the store is.
#[derive(Debug)]
pub(super) struct Shipped {
    through: watch::Sender<u64>,
    /// The last record that somebody waits for.
    wanted: AtomicU64,
    thread: OnceLock<Thread>,
    rows: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
}

impl Shipped {
    /// The last record the store has taken.
    pub fn through(&self) -> u64 {
        *self.through.borrow()
    }

    /// Rows written.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Transactions that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Records whose rows the store cannot take.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits until the store has this record, at most so long; whether it has.
    pub async fn reaches(&self, seq: u64, limit: Duration) -> bool {
        let mut through = self.through.subscribe();
        if *through.borrow_and_update() >= seq {
            return true;
        }
        self.wanted.fetch_max(seq, Ordering::AcqRel);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        let has = through.wait_for(|through| *through >= seq);
        matches!(tokio::time::timeout(limit, has).await, Ok(Ok(_)))
    }
}

/// The one who writes to the store.
pub(super) struct Shipping<F> {
    store: Store,
    tail: Tail,
    journal: u64,
    keeper: Keeper,
    shipped: Arc<Shipped>,
    faults: Faults<F>,
    last_tries: u32,
    /// The last record of the process before this one, until what it left unfinished is settled, and where that is
    /// handed in.
    before: Option<(u64, Recorder)>,
}

/// A record and its rows.
struct Taken<'a> {
    seq: u64,
    rows: Vec<Fact<'a>>,
}

impl<F: Fn(&str)> Shipping<F> {
    /// From where the store is in this journal; one that read another begins with what is kept. `before` is the last record
    /// that was found at the start, and where something more is handed in.
    pub fn of(store: Store, keeper: &Keeper, before: (u64, Recorder), say: F) -> (Arc<Shipped>, Shipping<F>) {
        let (place, journal, kept) = (store.place(), keeper.id(), keeper.first_seq().saturating_sub(1));
        let faults = Faults { say, failing_since: None, failed_said: None, refused_said: None };
        let after = match place.journal == journal {
            true if place.seq < kept => {
                (faults.say)(&format!(
                    "the store has the records up to {} and the journal keeps those after {kept}: what lies between is \
                     in neither",
                    place.seq
                ));
                kept
            }
            true => place.seq,
            false => kept,
        };
        let shipped = Arc::new(Shipped {
            through: watch::Sender::new(after),
            wanted: AtomicU64::new(0),
            thread: OnceLock::new(),
            rows: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        // What is already there is not needed for the store.
        keeper.release(after);
        let tail = keeper.tail(after);
        let (keeper, known) = (keeper.clone(), Arc::clone(&shipped));
        let last_tries = LAST_TRIES;
        let before = Some(before);
        (known, Shipping { store, tail, journal, keeper, shipped, faults, last_tries, before })
    }

    /// Until the journal is closed and the store has all of it, or cannot be written any more.
    pub fn run(mut self) {
        behind_calls();
        // Set once, here.
        let _ = self.shipped.thread.set(std::thread::current());
        self.settle_lost();
        while self.last_tries > 0 {
            match self.tail.batch(BATCH_BYTES, LOOK) {
                Ok(None) => break,
                Ok(Some(read)) if read.is_empty() => {}
                Ok(Some(read)) => self.take(read),
                Err(error) => {
                    self.faults.failed(&format!("the journal cannot be read: {}", chain(&error)));
                    self.pause();
                }
            }
        }
        self.store.close();
    }

    fn take(&mut self, read: Vec<Read>) {
        let mut batch = Vec::new();
        let mut rows = 0;
        for record in &read {
            if self.before.as_ref().is_some_and(|(last, _)| record.seq > *last) {
                // What this process has asked is not lost: it is not looked at.
                self.write(std::mem::take(&mut batch));
                rows = 0;
                self.settle_lost();
            }
            let taken = match entry::facts(record.kind, record.version, unsealed(record.kind, &record.body)) {
                Ok(rows) => Taken { seq: record.seq, rows },
                Err(error) => {
                    self.shipped.refused.fetch_add(1, Ordering::Relaxed);
                    self.faults.refused(&format!("record {} of the journal: {error}", record.seq));
                    Taken { seq: record.seq, rows: Vec::new() }
                }
            };
            rows += taken.rows.len();
            batch.push(taken);
            if rows >= BATCH_ROWS {
                self.write(std::mem::take(&mut batch));
                rows = 0;
            }
        }
        self.write(batch);
        self.settle_lost();
        self.wait_for_company();
    }

    /// Gives the steps that the process before this one left pending their last outcomes, once the store has all of them.
    fn settle_lost(&mut self) {
        let through = self.shipped.through();
        let Some((_, recorder)) = self.before.take_if(|(last, _)| through >= *last) else { return };
        let settled = Reader::open(self.store.path())
            .and_then(|reader| lost::settle(&reader, |entry| recorder.push(entry)));
        let why = match settled {
            Ok(0) => return,
            Ok(unread) => format!("{unread} of them cannot be read by this version"),
            Err(error) => chain(&error),
        };
        (self.faults.say)(&format!(
            "outcomes that were pending at the last end stay so until the next start: {why}"
        ));
    }

    /// Writes the records as one batch, or each by itself when the rows of one are at fault.
    fn write(&mut self, batch: Vec<Taken<'_>>) {
        let Some(last) = batch.last().map(|taken| taken.seq) else { return };
        let count = batch.len();
        let (seqs, rows): (Vec<(u64, usize)>, Vec<Vec<Fact<'_>>>) =
            batch.into_iter().map(|taken| ((taken.seq, taken.rows.len()), taken.rows)).unzip();
        let mut rows: Vec<Fact<'_>> = rows.into_iter().flatten().collect();
        match self.apply(&rows, last) {
            Ok(()) => {}
            Err(_) if count > 1 => {
                for (seq, count) in seqs {
                    let rest = rows.split_off(count);
                    self.write(vec![Taken { seq, rows: std::mem::replace(&mut rows, rest) }]);
                }
            }
            Err(why) => {
                self.shipped.refused.fetch_add(1, Ordering::Relaxed);
                self.faults.refused(&format!("record {last} of the journal: {why}"));
                // The next transaction passes over it.
                self.reached(last);
            }
        }
    }

    /// Writes the rows, as often as it takes; an error is about the rows. At the end of the process it gives up: the next
    /// start goes on from where the store is.
    fn apply(&mut self, rows: &[Fact<'_>], last: u64) -> Result<(), String> {
        loop {
            if self.last_tries == 0 {
                return Ok(());
            }
            let place = Place { journal: self.journal, seq: last };
            let error = match self.store.apply(self.store.next_batch(), rows, place) {
                Ok(Applied::Now { conflicts, .. }) => {
                    self.faults.written(conflicts);
                    self.shipped.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
                    self.reached(last);
                    return Ok(());
                }
                Ok(Applied::Before) => unreachable!("the number was asked for just before"),
                Err(error) => error,
            };
            self.shipped.failures.fetch_add(1, Ordering::Relaxed);
            if error.is_about_the_rows() {
                return Err(chain(&error));
            }
            self.faults.failed(&cannot(rows.len(), &error));
            self.pause();
        }
    }

    fn reached(&self, seq: u64) {
        self.shipped.through.send_replace(seq);
        self.keeper.release(seq);
    }

    fn pause(&mut self) {
        if self.keeper.has_ended() {
            self.last_tries -= 1;
        }
        if self.last_tries > 0 {
            std::thread::sleep(RETRY);
        }
    }

    /// A little, so that a transaction is worth its while, unless somebody waits for what comes next.
    fn wait_for_company(&self) {
        let until = Instant::now() + COMPANY;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let is_wanted = self.shipped.wanted.load(Ordering::Acquire) > self.shipped.through();
            if left.is_zero() || is_wanted || self.keeper.has_ended() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}

fn cannot(rows: usize, error: &StoreError) -> String {
    format!("{rows} rows wait, the store cannot be written: {}", chain(error))
}

/// Says what goes wrong once when it begins, now and then while it lasts, and once when it is over.
struct Faults<F> {
    say: F,
    failing_since: Option<Instant>,
    failed_said: Option<Instant>,
    refused_said: Option<Instant>,
}

impl<F: Fn(&str)> Faults<F> {
    fn failed(&mut self, what: &str) {
        self.failing_since.get_or_insert_with(Instant::now);
        if is_due(&mut self.failed_said) {
            (self.say)(what);
        }
    }

    fn refused(&mut self, what: &str) {
        if is_due(&mut self.refused_said) {
            (self.say)(&format!("the store refuses {what}"));
        }
    }

    fn written(&mut self, conflicts: u64) {
        if conflicts > 0 {
            (self.say)(&format!(
                "{conflicts} ledger entries came again with another amount or account; the first ones stand"
            ));
        }
        if let Some(since) = self.failing_since.take() {
            self.failed_said = None;
            (self.say)(&format!("writing to the store works again after {} ms", since.elapsed().as_millis()));
        }
    }
}

/// Whether to say it (again), noting that it is said.
fn is_due(said: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = said.is_none_or(|said| now.duration_since(said) >= REPEAT);
    if is_due {
        *said = Some(now);
    }
    is_due
}
