//! Where records come in: a queue with an end, of which one place in eight is for money alone.
//!
//! It orders and bounds; numbers are given by whoever takes the records out.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{AppendError, Class, Payload, Waits};

/// The part of the queue only money may use: one place in this many.
const MONEY_PART: usize = 8;

/// Locks; what a panic left behind is whole, since every change of it is one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes one hand of the journal, whether it is a thread or a task.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
    notify: Notify,
}

impl Bell {
    /// Rings; a ring while nobody listens is heard by the next who does.
    pub fn ring(&self) {
        // Whoever wakes would find the lock taken.
        let was_rung = std::mem::replace(&mut *lock(&self.rung), true);
        if !was_rung {
            self.heard.notify_one();
            self.notify.notify_one();
        }
    }

    /// A thread waits for a ring, at most this long.
    pub fn wait(&self, limit: Duration) {
        let rung = lock(&self.rung);
        let waited = self.heard.wait_timeout_while(rung, limit, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }

    /// A task waits for a ring, however long.
    pub async fn rung(&self) {
        while !std::mem::take(&mut *lock(&self.rung)) {
            self.notify.notified().await;
        }
    }

    /// A task waits for a ring, at most this long.
    pub async fn listen(&self, limit: Duration) {
        if !std::mem::take(&mut *lock(&self.rung)) {
            // Whether it rang or time is over, the hand looks at everything.
            drop(tokio::time::timeout(limit, self.notify.notified()).await);
            *lock(&self.rung) = false;
        }
    }
}

/// Counts of what came in.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub dropped_bulk: AtomicU64,
    pub dropped_money: AtomicU64,
    /// The disk is nearly full: bulk is dropped.
    pub is_low: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Item<P> {
    pub payload: P,
    pub waits: Waits,
}

#[derive(Debug)]
struct Line<P> {
    items: VecDeque<Item<P>>,
    /// Places given out and not used yet.
    reserved: usize,
    is_closed: bool,
    has_ended: bool,
}

/// Records that a thread which rings when it goes to sleep hands in before it rings all the same.
const UNRUNG_MAX: usize = 16;

thread_local! {
    /// Whether this thread rings when it goes to sleep.
    static RINGS_LATER: Cell<bool> = const { Cell::new(false) };
}

/// The queue, between those who append and the one who writes.
#[derive(Debug)]
pub(super) struct Queue<P> {
    line: Mutex<Line<P>>,
    places: usize,
    /// Records handed in since somebody rang.
    unrung: AtomicUsize,
    pub bell: Arc<Bell>,
    pub intake: Arc<Intake>,
}

impl<P> Queue<P> {
    pub fn new(places: usize, bell: Arc<Bell>, intake: Arc<Intake>) -> Queue<P> {
        let line = Line { items: VecDeque::new(), reserved: 0, is_closed: false, has_ended: false };
        Queue { line: Mutex::new(line), places, unrung: AtomicUsize::new(0), bell, intake }
    }

    /// A record was handed in.
    fn announce(&self) {
        let is_let_be = RINGS_LATER.get() && self.unrung.fetch_add(1, Ordering::Relaxed) + 1 < UNRUNG_MAX;
        if !is_let_be {
            self.ring();
        }
    }

    fn ring(&self) {
        self.unrung.store(0, Ordering::Relaxed);
        self.bell.ring();
    }

    /// Takes what is queued, in its order.
    pub fn take(&self, into: &mut VecDeque<Item<P>>) {
        let mut line = lock(&self.line);
        if into.is_empty() {
            std::mem::swap(&mut line.items, into);
        }
    }

    /// Records that wait.
    pub fn len(&self) -> usize {
        lock(&self.line).items.len()
    }

    /// No further place is given out; those given out may be used. Whether nothing can come any more.
    pub fn close(&self) -> bool {
        let mut line = lock(&self.line);
        line.is_closed = true;
        line.reserved == 0 && line.items.is_empty()
    }

    /// Nothing is taken any more; whoever waits is told.
    pub fn end(&self) {
        let left = {
            let mut line = lock(&self.line);
            line.is_closed = true;
            line.has_ended = true;
            std::mem::take(&mut line.items)
        };
        for item in left {
            item.waits.refuse(AppendError::Closed);
        }
    }
}

impl Waits {
    pub(super) fn refuse(self, error: AppendError) {
        match self {
            Waits::Nothing => {}
            // Whoever stopped waiting does not hear it.
            Waits::Kernel(ack) | Waits::Disk(ack) => drop(ack.send(Err(error))),
        }
    }
}

/// Where records are handed in. Cheap to clone.
#[derive(Debug)]
pub struct Appender<P> {
    queue: Arc<Queue<P>>,
}

impl<P> Clone for Appender<P> {
    fn clone(&self) -> Self {
        Appender { queue: Arc::clone(&self.queue) }
    }
}

impl<P> Drop for Appender<P> {
    fn drop(&mut self) {
        // Whoever has the other end looks whether this was the last.
        self.queue.bell.ring();
    }
}

/// Why there is no place; nothing was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// Come again.
    #[error("the queue of the journal is full")]
    Full,
    /// The process ends.
    #[error("the journal is closed")]
    Closed,
}

/// The other end of an `Appender` that no journal stands behind: under a clock that is not the system's, whoever owns
/// that clock is the disk.
#[derive(Debug)]
pub struct Hands<P> {
    queue: Arc<Queue<P>>,
    items: VecDeque<Item<P>>,
    next: u64,
}

/// A record that was handed in. Dropped, whoever waits for it hears that the journal is closed.
#[derive(Debug)]
#[must_use]
pub struct Handed<P> {
    /// What was handed in.
    pub payload: P,
    seq: u64,
    waits: Waits,
}

impl<P> Hands<P> {
    /// The next record, in the order in which they were handed in; `None` when every appender is gone.
    pub async fn next(&mut self) -> Option<Handed<P>> {
        loop {
            if let Some(Item { payload, waits }) = self.items.pop_front() {
                self.next += 1;
                return Some(Handed { payload, seq: self.next, waits });
            }
            self.queue.take(&mut self.items);
            if self.items.is_empty() {
                if Arc::strong_count(&self.queue) == 1 {
                    return None;
                }
                self.queue.bell.rung().await;
            }
        }
    }
}

impl<P> Handed<P> {
    /// It survives the end of the process: who waits for that hears so.
    pub fn written(&mut self) {
        match std::mem::replace(&mut self.waits, Waits::Nothing) {
            // Whoever stopped waiting does not hear it.
            Waits::Kernel(ack) => {
                let _ = ack.send(Ok(self.seq));
            }
            waits @ (Waits::Disk(_) | Waits::Nothing) => self.waits = waits,
        }
    }

    /// It survives a power cut: everybody hears so.
    pub fn synced(self) {
        if let Waits::Kernel(ack) | Waits::Disk(ack) = self.waits {
            // Whoever stopped waiting does not hear it.
            let _ = ack.send(Ok(self.seq));
        }
    }
}

impl<P: Payload> Appender<P> {
    /// Records for whoever has the other end, with no thread and no disk. `places` bounds what waits.
    pub fn by_hand(places: usize) -> (Appender<P>, Hands<P>) {
        let queue = Arc::new(Queue::new(places, Arc::default(), Arc::default()));
        let hands = Hands { queue: Arc::clone(&queue), items: VecDeque::new(), next: 0 };
        (Appender { queue }, hands)
    }

    pub(super) fn new(queue: Arc<Queue<P>>) -> Appender<P> {
        Appender { queue }
    }

    /// Hands a record in and waits for nothing; without a place it is dropped and counted. Whether it was taken.
    pub fn push(&self, payload: P) -> bool {
        let class = payload.class();
        let intake = &self.queue.intake;
        let is_refused = class == Class::Bulk && intake.is_low.load(Ordering::Relaxed);
        if !is_refused {
            let mut line = lock(&self.queue.line);
            let taken = line.items.len() + line.reserved;
            if !line.is_closed && taken < self.queue.places - self.kept_for_money(class) {
                line.items.push_back(Item { payload, waits: Waits::Nothing });
                drop(line);
                self.queue.announce();
                return true;
            }
        }
        let counter = match class {
            Class::Bulk => &intake.dropped_bulk,
            Class::Money => &intake.dropped_money,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn kept_for_money(&self, class: Class) -> usize {
        match class {
            Class::Bulk => self.queue.places / MONEY_PART,
            Class::Money => 0,
        }
    }

    /// Takes a place for a record of money before anything is changed, so that it cannot be refused after.
    pub fn reserve(&self) -> Result<Slot<P>, NotNow> {
        let mut line = lock(&self.queue.line);
        if line.is_closed {
            return Err(NotNow::Closed);
        }
        if line.items.len() + line.reserved >= self.queue.places {
            return Err(NotNow::Full);
        }
        line.reserved += 1;
        Ok(Slot { queue: Arc::clone(&self.queue), is_used: false })
    }

    /// Records that wait to be written.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// From here on this thread rings when it goes to sleep, for all that it has handed in by then: it has to say so, by
    /// `ring_before_sleep`. A bell for every record would give its processor away in the middle of what it does.
    pub fn rings_before_sleep(&self) {
        RINGS_LATER.set(true);
    }

    /// This thread goes to sleep.
    pub fn ring_before_sleep(&self) {
        if self.queue.unrung.load(Ordering::Relaxed) > 0 {
            self.queue.ring();
        }
    }
}

/// A place in the queue; dropped unused, it is given back.
#[derive(Debug)]
#[must_use = "a place not used is given back"]
pub struct Slot<P> {
    queue: Arc<Queue<P>>,
    is_used: bool,
}

impl<P: Payload> Slot<P> {
    /// Hands the record in. Whoever waits hears `AppendError::Closed` if the journal has ended meanwhile.
    pub fn send(mut self, payload: P, waits: Waits) {
        self.is_used = true;
        let mut line = lock(&self.queue.line);
        line.reserved -= 1;
        if line.has_ended {
            drop(line);
            waits.refuse(AppendError::Closed);
            return;
        }
        line.items.push_back(Item { payload, waits });
        drop(line);
        self.queue.announce();
    }
}

impl<P> Drop for Slot<P> {
    fn drop(&mut self) {
        if !self.is_used {
            let mut line = lock(&self.queue.line);
            line.reserved -= 1;
            // Only a close waits for places to be given back.
            if line.is_closed {
                drop(line);
                self.queue.bell.ring();
            }
        }
    }
}
