//! The thread that writes: gathers what is queued, applies it as one batch, and answers those who wait.
//!
//! It outlives every fault. While the disk or a lock is at fault the same batch is tried again and again and nothing
//! else leaves the queue, so the order holds and the queue bounds what waits. When a row is at fault the batch is
//! written item by item and only that item is lost. It does not decide what may be lost: its callers did, by `push` or
//! `commit`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot};

use super::row::Row;
use super::sqlite::{Applied, Store, StoreError};
use super::{CommitError, Item, Pace, Tally};
use crate::runtime::chain;

/// Rows after which a batch is not made larger.
const BATCH_ROWS: usize = 1_000;
/// Tries to write once the shutdown has begun, before what is left is given up.
const LAST_TRIES: u32 = 4;
/// A lasting fault is reported this often.
const REPEAT: Duration = Duration::from_secs(10);

/// Runs until every sender is gone or `closing` is notified, then writes what is left.
pub(super) fn run(
    store: Store,
    queue: mpsc::Receiver<Item>,
    closing: &Notify,
    pace: Pace,
    tally: &Tally,
    on_fault: &dyn Fn(&str),
) {
    let timer = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a timer needs nothing from the system");
    let mut queue = Queue { items: queue, closing, is_closing: false, pace, timer: &timer };
    let mut writing =
        Writing { store, tally, faults: Faults::new(on_fault), last_tries: LAST_TRIES, gave_up: None };
    while let Some(items) = queue.gather() {
        writing.write(items, &mut queue);
        writing.faults.lost(tally.dropped.load(Ordering::Relaxed));
    }
    writing.faults.end(tally.dropped.load(Ordering::Relaxed));
    writing.store.close();
}

/// The receiving end, with everything that is waited for.
struct Queue<'a> {
    items: mpsc::Receiver<Item>,
    closing: &'a Notify,
    is_closing: bool,
    pace: Pace,
    timer: &'a Runtime,
}

impl Queue<'_> {
    /// What is queued, after waiting for a first item and, if nobody waits for it, a little for company. `None` at the
    /// end.
    fn gather(&mut self) -> Option<Vec<Item>> {
        let timer = self.timer;
        timer.block_on(async {
            let first = self.next().await?;
            let mut is_awaited = first.ack.is_some();
            let mut rows = first.rows.len();
            let mut batch = vec![first];
            let until = tokio::time::Instant::now() + self.pace.company;
            while rows < BATCH_ROWS {
                let item = match self.items.try_recv() {
                    Ok(item) => item,
                    Err(_) if is_awaited => break,
                    Err(_) => match tokio::time::timeout_at(until, self.items.recv()).await {
                        Ok(Some(item)) => item,
                        Ok(None) | Err(_) => break,
                    },
                };
                is_awaited |= item.ack.is_some();
                rows += item.rows.len();
                batch.push(item);
            }
            Some(batch)
        })
    }

    async fn next(&mut self) -> Option<Item> {
        if !self.is_closing {
            // The end first, or rows that keep coming would put it off; what is queued is written all the same.
            tokio::select! {
                biased;
                () = self.closing.notified() => self.close(),
                item = self.items.recv() => return item,
            }
        }
        // Places given out before the close are waited for, but not for ever.
        tokio::time::timeout(self.pace.commit_wait, self.items.recv()).await.ok().flatten()
    }

    fn close(&mut self) {
        self.is_closing = true;
        self.items.close();
    }

    /// Waits until the same batch is worth another try; the begin of the shutdown cuts it short.
    fn pause(&mut self) {
        let timer = self.timer;
        timer.block_on(async {
            tokio::select! {
                biased;
                () = self.closing.notified(), if !self.is_closing => self.close(),
                () = tokio::time::sleep(self.pace.retry) => {}
            }
        });
    }

    /// Whether nothing new can come: no try may then be the last but for a few.
    fn is_ending(&self) -> bool {
        self.is_closing || self.items.is_closed()
    }
}

struct Writing<'a> {
    store: Store,
    tally: &'a Tally,
    faults: Faults<'a>,
    last_tries: u32,
    /// Why what is left at the shutdown is not tried any more.
    gave_up: Option<String>,
}

/// Rows that are not in the store and will not be.
struct Unwritten {
    is_about_the_rows: bool,
    why: String,
}

impl Writing<'_> {
    /// Writes the items as one batch, or each by itself when one of them is at fault, and answers everyone who waits.
    fn write(&mut self, items: Vec<Item>, queue: &mut Queue) {
        let mut rows = Vec::with_capacity(items.iter().map(|item| item.rows.len()).sum());
        let mut parts = Vec::with_capacity(items.len());
        for item in items {
            parts.push((item.rows.len(), item.ack));
            rows.extend(item.rows);
        }
        let Err(unwritten) = self.apply(&rows, queue) else {
            for ack in parts.into_iter().filter_map(|(_, ack)| ack) {
                // Whoever stopped waiting does not hear it.
                drop(ack.send(Ok(())));
            }
            return;
        };
        if unwritten.is_about_the_rows && parts.len() > 1 {
            let mut rows = rows.into_iter();
            for (count, ack) in parts {
                self.write(vec![Item { rows: rows.by_ref().take(count).collect(), ack }], queue);
            }
            return;
        }
        if unwritten.is_about_the_rows {
            self.faults.refused(rows.len(), &unwritten.why);
        }
        for (count, ack) in parts {
            self.lose(count, ack, &unwritten.why);
        }
    }

    /// Applies the rows as the next batch, as often as it takes; only rows at fault and the shutdown end it otherwise.
    fn apply(&mut self, rows: &[Row], queue: &mut Queue) -> Result<(), Unwritten> {
        loop {
            if let Some(why) = &self.gave_up {
                return Err(Unwritten { is_about_the_rows: false, why: why.clone() });
            }
            if rows.is_empty() {
                return Ok(());
            }
            let Err(error) = self.try_once(rows) else { return Ok(()) };
            if error.is_about_the_rows() {
                return Err(Unwritten { is_about_the_rows: true, why: chain(&error) });
            }
            self.faults.failed(&error, rows.len());
            self.faults.lost(self.tally.dropped.load(Ordering::Relaxed));
            if queue.is_ending() {
                self.last_tries -= 1;
            }
            if self.last_tries == 0 {
                self.gave_up = Some(chain(&error));
            } else {
                queue.pause();
            }
        }
    }

    fn try_once(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let number = self.store.next_batch();
        match self.store.apply(number, rows) {
            Ok(Applied::Now { conflicts, .. }) => {
                self.tally.written(rows.len() as u64);
                self.faults.written(conflicts);
                Ok(())
            }
            Ok(Applied::Before) => unreachable!("the number was asked for just before"),
            Err(error) => {
                self.tally.failed_batches.fetch_add(1, Ordering::Relaxed);
                self.tally.failing.store(!error.is_about_the_rows(), Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Tells who waits; what nobody is told is counted.
    fn lose(&mut self, count: usize, ack: Option<Ack>, why: &str) {
        let count = count as u64;
        self.tally.queued.fetch_sub(count, Ordering::Relaxed);
        let is_told = ack.is_some_and(|ack| ack.send(Err(CommitError::Failed(why.to_owned()))).is_ok());
        if !is_told || self.gave_up.is_some() {
            self.tally.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

type Ack = oneshot::Sender<Result<(), CommitError>>;

/// Says what goes wrong once when it begins, now and then while it lasts, and once when it is over.
struct Faults<'a> {
    say: &'a dyn Fn(&str),
    failing_since: Option<Instant>,
    failed_said: Option<Instant>,
    refused_said: Option<Instant>,
    lost: u64,
    lost_said: Option<Instant>,
}

impl<'a> Faults<'a> {
    fn new(say: &'a dyn Fn(&str)) -> Self {
        Faults { say, failing_since: None, failed_said: None, refused_said: None, lost: 0, lost_said: None }
    }

    fn failed(&mut self, error: &StoreError, rows: usize) {
        self.failing_since.get_or_insert_with(Instant::now);
        if is_due(&mut self.failed_said) {
            (self.say)(&format!("{rows} rows wait, the store cannot be written: {}", chain(error)));
        }
    }

    fn refused(&mut self, rows: usize, why: &str) {
        if is_due(&mut self.refused_said) {
            (self.say)(&format!("{rows} rows handed in together are lost, the store refuses them: {why}"));
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
            (self.say)(&format!("writing works again after {} ms", since.elapsed().as_millis()));
        }
    }

    fn lost(&mut self, dropped: u64) {
        if dropped > self.lost && is_due(&mut self.lost_said) {
            (self.say)(&format!("{} rows were lost, {dropped} since the start", dropped - self.lost));
            self.lost = dropped;
        }
    }

    fn end(&mut self, dropped: u64) {
        self.lost_said = None;
        self.lost(dropped);
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
