//! Calls in memory: decisions being taken, replies to repeats, and live calls with what their end needs.
//!
//! The key of a decision is (carrier, carrier's call id). The first request decides; every other one, on whatever worker
//! and however its connection fared, waits for the same bytes. Business rules are not here: the maps hold values of
//! `call`, `capacity` and `billing` and run closures on them under one shard's lock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use tokio::sync::{Notify, oneshot, watch};

use super::live::Live;
use crate::carrier::CarrierReply;
use crate::carrier::generic::Draft;
use crate::domain::{CallId, CarrierId, E164, Timestamp};

/// A decision's key: every carrier is a namespace of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The carrier.
    pub carrier: CarrierId,
    /// Its name for the call.
    pub carrier_call_id: String,
}

/// The answer all requests with one key get. Its bytes are made of nothing but what is kept here, so they are the same
/// for every request; the values are a third of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the carrier is told.
    pub reply: CarrierReply,
    /// What the URLs in it begin with.
    pub base: Arc<str>,
    /// What the first request was about: a repeat about something else is a conflict.
    pub about: u64,
}

/// What whoever asked first is told, with what was drafted of it.
pub type First = (Arc<Answer>, Option<Box<Draft>>);

/// Where a decision in progress will be told.
pub type Waiting = watch::Receiver<Option<Arc<Answer>>>;

#[derive(Debug)]
enum Slot {
    Deciding(Waiting),
    Decided(Arc<Answer>),
}

/// What a request finds.
#[derive(Debug)]
pub enum Begin {
    /// It is the first: decide, and finish the ticket. The answer comes here, with what was drafted of it.
    First(Ticket, oneshot::Receiver<First>),
    /// Wait for the one that decides.
    Wait(Waiting),
    /// The answer is known.
    Known(Arc<Answer>),
    /// As many calls in memory as there may be.
    Full,
}

/// An answer after the first one.
#[derive(Debug)]
pub enum Step {
    /// It is being decided.
    Deciding(Waiting),
    /// All requests for this step get it.
    Decided(Arc<Answer>),
}

/// Answers kept for repeats, for each call that may be in progress.
const KEPT_PER_CALL: usize = 2;

/// Forgotten calls that may stand in the queue of calls that are over before it is swept.
const SLACK: usize = 1_024;

/// Forgotten calls of which nobody was told yet; of more than these a restart finds out by itself.
const GONE_MAX: usize = 65_536;

/// Parts of a map of calls. One that grows moves all it has, while calls wait: of two million calls each part has two
/// thousand, moved within a fraction of a millisecond. In four parts, as there are on one core, it took 20 ms and more.
const PARTS: usize = 1_024;

/// All calls of this node.
#[derive(Debug)]
pub struct Calls {
    by_key: DashMap<Arc<CallKey>, Slot, RandomState>,
    /// How many there are: the map would look into every part.
    answers: AtomicUsize,
    /// Boxed: a map keeps room for more than it has.
    live: DashMap<CallId, Box<Live>, RandomState>,
    /// How many these are, in progress and over.
    kept: AtomicUsize,
    timers: Mutex<BinaryHeap<Reverse<(Timestamp, CallId)>>>,
    /// Calls that are over, the oldest first.
    over: Mutex<VecDeque<CallId>>,
    /// Calls whose decision is not recorded yet, and who calls.
    unnoted: DashMap<CallId, Option<E164>, RandomState>,
    /// Told whenever a call was noted; who waits looks whether it was its own.
    noting: Notify,
    in_progress: AtomicUsize,
    /// Decisions being taken: each may become a call in progress.
    deciding: AtomicUsize,
    forgotten_early: AtomicU64,
    /// Calls that were forgotten since somebody asked.
    gone: Mutex<Vec<CallId>>,
    limit: usize,
}

impl Calls {
    /// Room for `limit` calls in progress, and as many times `KEPT_PER_CALL` answers.
    pub fn new(limit: usize) -> Calls {
        Calls {
            by_key: many(),
            answers: AtomicUsize::new(0),
            live: many(),
            kept: AtomicUsize::new(0),
            timers: Mutex::new(BinaryHeap::new()),
            over: Mutex::new(VecDeque::new()),
            unnoted: DashMap::default(),
            noting: Notify::new(),
            in_progress: AtomicUsize::new(0),
            deciding: AtomicUsize::new(0),
            forgotten_early: AtomicU64::new(0),
            gone: Mutex::default(),
            limit,
        }
    }

    /// Joins the decision of this key, or starts it.
    pub fn begin(self: &Arc<Self>, key: &Arc<CallKey>) -> Begin {
        // Room is looked for before the entry is locked, since it may take another key's entry, and only for a new key: a
        // repeat must not push its own answer out.
        let is_tight = self.in_progress() >= self.limit || self.remembered() >= self.answers_max();
        let is_new = is_tight && !self.by_key.contains_key(key);
        let full = is_new && (self.in_progress() >= self.limit || !self.has_room_for_an_answer());
        let key = Arc::clone(key);
        match self.by_key.entry(Arc::clone(&key)) {
            Entry::Occupied(slot) => match slot.get() {
                Slot::Deciding(waiting) => Begin::Wait(waiting.clone()),
                Slot::Decided(answer) => Begin::Known(Arc::clone(answer)),
            },
            Entry::Vacant(_) if full || !self.reserve() => Begin::Full,
            Entry::Vacant(slot) => {
                let (tell, waiting) = watch::channel(None);
                self.answers.fetch_add(1, Ordering::Relaxed);
                slot.insert(Slot::Deciding(waiting));
                let (first, told) = oneshot::channel();
                let first = Some(first);
                Begin::First(Ticket { calls: Arc::clone(self), key, first, tell, finished: false }, told)
            }
        }
    }

    /// The call a carrier knows by this name; waits for its decision if that is being taken.
    pub async fn find(&self, key: &CallKey) -> Option<CallId> {
        let waiting = match self.by_key.get(key)?.value() {
            Slot::Decided(answer) => return Some(answer.reply.call_id),
            Slot::Deciding(waiting) => waiting.clone(),
        };
        wait(waiting).await.map(|answer| answer.reply.call_id)
    }

    /// Whether the call's answer of this step is known, or being decided.
    pub fn has_answer(&self, id: CallId, step: u32) -> bool {
        self.live.get(&id).is_some_and(|live| step as usize <= live.steps.len() + 1)
    }

    /// The answer that was given for a step of a call; waits for it if it is being decided.
    pub async fn answer(&self, key: &CallKey, id: CallId, step: u32) -> Option<Arc<Answer>> {
        let waiting = if step <= 1 {
            match self.by_key.get(key)?.value() {
                Slot::Decided(answer) => return Some(Arc::clone(answer)),
                Slot::Deciding(waiting) => waiting.clone(),
            }
        } else {
            match self.live.get(&id)?.steps.get(step as usize - 2)? {
                Step::Decided(answer) => return Some(Arc::clone(answer)),
                Step::Deciding(waiting) => waiting.clone(),
            }
        };
        wait(waiting).await
    }

    fn answers_max(&self) -> usize {
        self.limit.saturating_mul(KEPT_PER_CALL)
    }

    /// Whether there is room for one more answer, made if need be by forgetting the call that was over first.
    fn has_room_for_an_answer(&self) -> bool {
        while self.remembered() >= self.answers_max() {
            let Some(oldest) = self.lock_over().pop_front() else { return false };
            if self.remove(oldest) {
                self.forgotten_early.fetch_add(1, Ordering::Relaxed);
            }
        }
        true
    }

    /// Counts one more decision, if the call it may become has room. Decisions count as calls, since an answer leaves
    /// before its call is open: a carrier that has it may ask for the next one at once.
    fn reserve(&self) -> bool {
        let others = self.deciding.fetch_add(1, Ordering::AcqRel);
        let has_room = others.saturating_add(self.in_progress()) < self.limit;
        if !has_room {
            self.deciding.fetch_sub(1, Ordering::AcqRel);
        }
        has_room
    }

    fn lock_over(&self) -> MutexGuard<'_, VecDeque<CallId>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call that nobody knows yet. What is returned is dropped when its decision is recorded.
    pub fn note(self: &Arc<Self>, id: CallId, caller: Option<E164>) -> Noting {
        self.unnoted.insert(id, caller);
        Noting { calls: Arc::clone(self), id }
    }

    /// Puts a decided call among the live ones.
    pub fn open(&self, id: CallId, live: Live) {
        let is_over = live.over_since.is_some();
        // Counted before it is there: whoever removes it finds it counted.
        self.kept.fetch_add(1, Ordering::Relaxed);
        if self.live.insert(id, Box::new(live)).is_some() {
            self.kept.fetch_sub(1, Ordering::Relaxed);
        }
        if is_over {
            self.lock_over().push_back(id);
        } else {
            self.in_progress.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts a call from before a restart back, with the answer to its first request.
    pub fn restore(&self, live: Live, first: Option<Arc<Answer>>) {
        if let Some(answer) = first {
            self.answers.fetch_add(1, Ordering::Relaxed);
            if self.by_key.insert(Arc::clone(&live.key), Slot::Decided(answer)).is_some() {
                self.answers.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.open(live.id, live);
    }

    /// Waits until the call is open and the records of its decision are handed in, or nothing is known of it: its answer
    /// leaves before. Who has to do with a call by its id waits for this first. Once over, it is over for good.
    pub async fn noted(&self, id: CallId) {
        loop {
            // What is told from here on is not missed.
            let told = self.noting.notified();
            if self.is_noted(id) {
                return;
            }
            told.await;
        }
    }

    /// The same for every call of this caller. Who looks for calls by their caller waits for this first.
    pub async fn noted_of(&self, caller: E164) {
        let of_caller = self.unnoted.iter().filter(|call| *call.value() == Some(caller));
        let calls: Vec<CallId> = of_caller.map(|call| *call.key()).collect();
        for call in calls {
            self.noted(call).await;
        }
    }

    /// Whether nothing is awaited of the call's decision, as far as its records go.
    pub fn is_noted(&self, id: CallId) -> bool {
        !self.unnoted.contains_key(&id)
    }

    /// Runs `with` on a live call, under its shard's lock.
    pub fn with<R>(&self, id: CallId, with: impl FnOnce(&mut Live) -> R) -> Option<R> {
        let done = self.live.get_mut(&id).map(|mut live| {
            let was_over = live.over_since.is_some();
            let result = with(live.value_mut());
            (result, !was_over && live.over_since.is_some())
        });
        let (result, ended) = done?;
        if ended {
            self.in_progress.fetch_sub(1, Ordering::Relaxed);
            self.lock_over().push_back(id);
        }
        Some(result)
    }

    /// Calls of which this is true, `most` of them. Looks at every call, and so is not for a thread that decides.
    pub fn found(&self, most: usize, is: impl Fn(&Live) -> bool) -> Vec<CallId> {
        self.live.iter().filter(|live| is(live.value())).map(|live| *live.key()).take(most).collect()
    }

    /// Removes a call and its answer.
    pub fn forget(&self, id: CallId) {
        self.remove(id);
        // Calls are forgotten in about the order in which they were over; where they are not, what is gone is swept out
        // once it is more than what is there.
        let mut over = self.lock_over();
        while over.front().is_some_and(|oldest| !self.live.contains_key(oldest)) {
            over.pop_front();
        }
        if over.len() > 2 * self.kept.load(Ordering::Relaxed) + SLACK {
            over.retain(|id| self.live.contains_key(id));
        }
    }

    fn remove(&self, id: CallId) -> bool {
        match self.live.remove(&id) {
            Some((_, live)) => {
                self.kept.fetch_sub(1, Ordering::Relaxed);
                let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
                if gone.len() < GONE_MAX {
                    gone.push(id);
                }
                drop(gone);
                // The key may be another call's by now, where this one's answer was not known after a restart.
                let is_its_own = |_: &Arc<CallKey>, slot: &Slot| matches!(slot, Slot::Decided(answer) if answer.reply.call_id == id);
                self.drop_answer(&live.key, is_its_own)
            }
            None => false,
        }
    }

    /// Whether there was such an answer.
    fn drop_answer(&self, key: &Arc<CallKey>, is: impl FnOnce(&Arc<CallKey>, &Slot) -> bool) -> bool {
        let was_there = self.by_key.remove_if(key, is).is_some();
        if was_there {
            self.answers.fetch_sub(1, Ordering::Relaxed);
        }
        was_there
    }

    /// Calls that were forgotten since this was asked last, for whatever reason.
    pub fn take_gone(&self) -> Vec<CallId> {
        std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the sweep look at the call at `at`.
    pub fn arm(&self, at: Timestamp, id: CallId) {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner).push(Reverse((at, id)));
    }

    /// Calls whose time has come and the time that was set, at most `most` of them.
    pub fn due(&self, now: Timestamp, most: usize) -> Vec<(Timestamp, CallId)> {
        let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while due.len() < most && timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            due.extend(timers.pop().map(|Reverse(due)| due));
        }
        due
    }

    /// Calls decided and not over.
    pub fn in_progress(&self) -> usize {
        self.in_progress.load(Ordering::Relaxed)
    }

    /// Answers forgotten before their time because there was no room for another.
    pub fn forgotten_early(&self) -> u64 {
        self.forgotten_early.load(Ordering::Relaxed)
    }

    /// Answers kept for repeats, decisions being taken included.
    pub fn remembered(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }
}

/// A map of as many as there may be calls.
fn many<K: Eq + Hash, V>() -> DashMap<K, V, RandomState> {
    DashMap::with_capacity_and_hasher_and_shard_amount(0, RandomState::default(), PARTS)
}

/// The duty to answer everybody who waits for one decision. Dropped unfinished, it lets the next request decide anew.
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    calls: Arc<Calls>,
    key: Arc<CallKey>,
    first: Option<oneshot::Sender<First>>,
    tell: watch::Sender<Option<Arc<Answer>>>,
    finished: bool,
}

impl Ticket {
    /// The key of the decision.
    pub fn key(&self) -> &Arc<CallKey> {
        &self.key
    }

    /// The decision stands: tells whoever asked first, if it still listens.
    pub fn tell_first(&mut self, answer: &Arc<Answer>, draft: Option<Box<Draft>>) {
        if let Some(first) = self.first.take() {
            let _ = first.send((Arc::clone(answer), draft));
        }
    }

    /// Tells everybody else, from now on.
    pub fn finish(mut self, answer: &Arc<Answer>) {
        self.finished = true;
        let calls = &self.calls;
        if let Some(mut slot) = calls.by_key.get_mut(&self.key) {
            *slot = Slot::Decided(Arc::clone(answer));
        }
        // The call may have been forgotten already: then its answer is not kept either. Looked at after it was kept, so
        // that whoever forgets meanwhile finds it.
        if !calls.live.contains_key(&answer.reply.call_id) {
            calls.drop_answer(&self.key, |_, _| true);
        }
        self.tell.send_replace(Some(Arc::clone(answer)));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.finished {
            self.calls.drop_answer(&self.key, |_, _| true);
        }
        // After the call was opened: until then one of the two counts it.
        self.calls.deciding.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A call whose decision is not recorded yet, nor it itself perhaps open. Dropped, it is, or will never be.
#[derive(Debug)]
#[must_use = "whoever is to record more about the call waits for its end"]
pub struct Noting {
    calls: Arc<Calls>,
    id: CallId,
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.calls.unnoted.remove(&self.id);
        self.calls.noting.notify_waiters();
    }
}

/// Waits for somebody else's decision; `None` when it was given up.
pub async fn wait(mut waiting: Waiting) -> Option<Arc<Answer>> {
    waiting.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::call::{Call, Recovery};
    use crate::carrier::{Action, CallerLeg};
    use crate::domain::{HangupCause, Reason};
    use crate::state::live::{Course, Open};

    fn live(n: u32, over: bool) -> (CallId, Live) {
        let key =
            CallKey { carrier: CarrierId::parse("sw").expect("a slug"), carrier_call_id: format!("CA{n}") };
        let live = Live {
            id: CallId::from_bits(u128::from(n)),
            key: Arc::new(key),
            campaign: None,
            caller: None,
            token: 0,
            signed: false,
            course: Course::Open(Box::new(Open {
                at: Timestamp::default(),
                publisher: None,
                test: false,
                call: Call::new(Recovery {
                    early_hangup: Duration::ZERO,
                    attempts: 1,
                    ring_budget: Duration::ZERO,
                    next_within: Duration::ZERO,
                }),
                offered: Vec::new(),
                rest: None,
                counted: None,
            })),
            steps: Vec::new(),
            said_goodbye: false,
            over_since: over.then(Timestamp::default),
            looked_at: None,
        };
        (CallId::from_bits(u128::from(n)), live)
    }

    fn answer(call_id: CallId) -> Answer {
        let reply = CarrierReply {
            call_id,
            step: 1,
            action: Action::Hangup(HangupCause::Normal),
            basis: "terminal",
            reason: Reason::NoTaker,
            valid_until: Timestamp::default(),
            max_talk_s: 0,
            caller: CallerLeg::Ringing,
            token: None,
            decided_us: 0,
        };
        Answer { reply, base: "http://127.0.0.1".into(), about: 0 }
    }

    fn decide(calls: &Arc<Calls>, n: u32, over: bool) -> bool {
        let (id, live) = live(n, over);
        match calls.begin(&live.key) {
            Begin::First(ticket, _) => {
                calls.open(id, live);
                ticket.finish(&Arc::new(answer(id)));
                true
            }
            Begin::Full => false,
            Begin::Wait(_) | Begin::Known(_) => panic!("CA{n} is known"),
        }
    }

    #[test]
    fn calls_that_are_over_never_keep_a_new_one_out() {
        let calls = Arc::new(Calls::new(10));
        for n in 0..100 {
            assert!(decide(&calls, n, true), "call {n}");
        }
        assert_eq!((calls.remembered(), calls.in_progress(), calls.forgotten_early()), (20, 0, 80));
        let (_, newest) = live(99, true);
        assert!(matches!(calls.begin(&newest.key), Begin::Known(_)), "the oldest went first");
        for n in 100..110 {
            assert!(decide(&calls, n, false), "call {n}");
        }
        assert!(!decide(&calls, 110, false), "ten are in progress");
        calls.with(CallId::from_bits(100), |live| live.over_since = Some(Timestamp::default()));
        assert!(decide(&calls, 111, false), "one of them is over");
    }

    #[test]
    fn a_decision_counts_as_the_call_it_may_become() {
        let calls = Arc::new(Calls::new(2));
        let [(one, first), (_, second), (_, third)] = [live(1, false), live(2, false), live(3, false)];
        let Begin::First(ticket, _) = calls.begin(&first.key) else { panic!("the first decides") };
        let Begin::First(given_up, _) = calls.begin(&second.key) else { panic!("and the second") };
        assert!(matches!(calls.begin(&third.key), Begin::Full), "two are being decided");
        assert!(matches!(calls.begin(&first.key), Begin::Wait(_)), "a repeat needs no room");
        drop(given_up);
        calls.open(one, first);
        ticket.finish(&Arc::new(answer(one)));
        assert_eq!(calls.in_progress(), 1);
        assert!(decide(&calls, 3, false), "there is room for one beside it");
        assert!(!decide(&calls, 4, false));
    }

    #[test]
    fn a_repeat_never_pushes_its_own_answer_out() {
        let calls = Arc::new(Calls::new(10));
        for n in 0..20 {
            assert!(decide(&calls, n, true), "call {n}");
        }
        let (_, oldest) = live(0, true);
        assert!(matches!(calls.begin(&oldest.key), Begin::Known(_)));
        assert_eq!((calls.remembered(), calls.forgotten_early()), (20, 0));
    }

    #[test]
    fn the_queue_of_calls_that_are_over_is_bounded_by_what_is_kept() {
        let calls = Arc::new(Calls::new(10_000));
        for n in 0..10_000 {
            assert!(decide(&calls, n, true), "call {n}");
            // The first is kept for long, as one whose end was lost; those behind it go.
            if n > 0 {
                calls.forget(CallId::from_bits(u128::from(n)));
            }
        }
        assert_eq!(calls.remembered(), 1);
        assert_eq!((calls.take_gone().len(), calls.take_gone().len()), (9_999, 0), "each is told once");
        assert!(calls.lock_over().len() <= SLACK + 3, "{}", calls.lock_over().len());
    }

    #[test]
    fn what_is_counted_is_what_is_there() {
        let calls = Arc::new(Calls::new(1_000));
        let agrees = |what: &str| {
            assert_eq!(calls.remembered(), calls.by_key.len(), "{what}");
            assert_eq!(calls.kept.load(Ordering::Relaxed), calls.live.len(), "{what}");
        };
        let [(_, given_up), (_, deciding)] = [live(1, false), live(2, false)];
        let Begin::First(ticket, _) = calls.begin(&given_up.key) else { panic!("the first decides") };
        drop(ticket);
        agrees("given up");
        let Begin::First(ticket, _) = calls.begin(&deciding.key) else { panic!("the first decides") };
        assert!(matches!(calls.begin(&deciding.key), Begin::Wait(_)));
        agrees("being decided");
        // Of a start: twice the same, and one whose answer is not known, whose key another call takes.
        for n in [3, 3, 4] {
            let (id, live) = live(n, n == 4);
            calls.restore(live, (n == 3).then(|| Arc::new(answer(id))));
            agrees("restored");
        }
        let (other, mut of_the_same_key) = live(5, false);
        of_the_same_key.key = live(4, true).1.key;
        calls.restore(of_the_same_key, Some(Arc::new(answer(other))));
        for n in [4, 3, 3, 9, 5] {
            calls.forget(CallId::from_bits(n));
            agrees("forgotten");
        }
        let (id, opened) = live(2, false);
        calls.open(id, opened);
        calls.forget(id);
        ticket.finish(&Arc::new(answer(id)));
        agrees("forgotten before its answer was kept");
        assert_eq!((calls.remembered(), calls.live.len()), (0, 0));
    }

    #[test]
    fn who_has_more_to_record_waits_until_the_decision_is() {
        let calls = Arc::new(Calls::new(10));
        let ((one, first), (two, second)) = (live(1, false), live(2, true));
        let [caller, another] =
            ["+15125550123", "+15125550124"].map(|number| E164::parse(number).expect("a number"));
        let (noting, other) = (calls.note(one, Some(caller)), calls.note(two, None));
        let mut before_it_is_open = Box::pin(calls.noted(one));
        assert_eq!((&mut before_it_is_open).now_or_never(), None);
        calls.open(one, first);
        calls.open(two, second);
        assert_eq!(before_it_is_open.now_or_never(), None);
        let (mut early, mut also) = (Box::pin(calls.noted(one)), Box::pin(calls.noted(one)));
        let mut search = Box::pin(calls.noted_of(caller));
        assert_eq!(((&mut early).now_or_never(), (&mut also).now_or_never()), (None, None));
        assert_eq!(((&mut search).now_or_never(), calls.noted_of(another).now_or_never()), (None, Some(())));
        drop(other);
        assert_eq!(calls.noted(two).now_or_never(), Some(()), "a call that is over at once is noted too");
        assert_eq!((&mut early).now_or_never(), None, "that was another call");
        drop(noting);
        assert_eq!((early.now_or_never(), also.now_or_never()), (Some(()), Some(())));
        assert_eq!((search.now_or_never(), calls.noted_of(caller).now_or_never()), (Some(()), Some(())));
        assert_eq!(calls.noted(one).now_or_never(), Some(()));
        assert_eq!(calls.noted(CallId::from_bits(3)).now_or_never(), Some(()), "nobody knows it");
    }

    #[test]
    fn a_call_that_is_forgotten_before_its_answer_is_kept_leaves_nothing() {
        let calls = Arc::new(Calls::new(10));
        let (one, first) = live(1, true);
        let Begin::First(mut ticket, mut told) = calls.begin(&first.key) else { panic!("the first decides") };
        calls.open(one, first);
        let answer = Arc::new(answer(one));
        ticket.tell_first(&answer, None);
        let first = told.try_recv().map(|(told, _)| told);
        assert_eq!(first.as_ref(), Ok(&answer), "whoever asked first does not wait for the others");
        calls.forget(one);
        ticket.finish(&answer);
        assert_eq!(calls.remembered(), 0);
    }

    #[test]
    fn a_ticket_dropped_unfinished_lets_the_next_request_decide() {
        let calls = Arc::new(Calls::new(10));
        let (_, first) = live(1, false);
        let Begin::First(ticket, _) = calls.begin(&first.key) else { panic!("the first decides") };
        assert!(matches!(calls.begin(&first.key), Begin::Wait(_)));
        drop(ticket);
        assert!(matches!(calls.begin(&first.key), Begin::First(..)));
    }
}
