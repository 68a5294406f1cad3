//! What happened to a call and had no place on the way to the disk: it stays with its call, in its order, and goes before
//! the call's next entry, or as soon as the sweep finds a place.
//!
//! So a carrier is not refused what waits for no disk, and nothing that memory says is left out of the records for good.
//! There is an end to it: beyond `OWED_MAX` an entry goes where it may be dropped, and is counted there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Exchange;
use crate::domain::CallId;
use crate::records::entry::{Entry, Put};

/// Most entries of all calls that are kept for want of a place.
const OWED_MAX: usize = 8_192;
/// Most calls whose entries are handed in before others get their turn.
const AT_ONCE: usize = 1_000;

/// The entries that had no place, by call.
#[derive(Debug, Default)]
pub(super) struct Owed {
    by_call: Mutex<BTreeMap<CallId, Vec<Entry>>>,
    /// How many there are: nearly always none, and then nobody takes the lock.
    entries: AtomicUsize,
}

impl Owed {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<CallId, Vec<Entry>>> {
        self.by_call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it, unless there are too many: then it is given back.
    fn keep(&self, call: CallId, entry: Entry) -> Result<(), Entry> {
        let mut by_call = self.lock();
        if self.entries.load(Ordering::Relaxed) >= OWED_MAX {
            return Err(entry);
        }
        by_call.entry(call).or_default().push(entry);
        self.entries.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What is owed of this call, in its order, and not any more.
    fn take(&self, call: CallId) -> Vec<Entry> {
        if self.entries.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut by_call = self.lock();
        let entries = by_call.remove(&call).unwrap_or_default();
        self.entries.fetch_sub(entries.len(), Ordering::Relaxed);
        entries
    }

    fn has(&self, call: CallId) -> bool {
        self.entries.load(Ordering::Acquire) > 0 && self.lock().contains_key(&call)
    }

    /// Some of the calls of which something is owed.
    fn calls(&self, most: usize) -> Vec<CallId> {
        if self.entries.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        self.lock().keys().copied().take(most).collect()
    }
}

impl Exchange {
    /// Entries of calls that wait for a place on the way to the disk.
    pub fn owed(&self) -> usize {
        self.owed.entries.load(Ordering::Relaxed)
    }

    /// Hands in what happened to a call and waits for nothing; without a place it is kept. Called under the call's lock, or
    /// while nobody else has anything to record about it: else an older image could follow a newer one.
    pub(super) fn hand_in(&self, call: CallId, entry: Entry) {
        if entry.is_empty() && !self.owed.has(call) {
            return;
        }
        match self.recorder.reserve() {
            Ok(slot) => slot.send(self.with_owed(call, entry)),
            Err(_) => self.owe(call, entry),
        }
    }

    /// Hands in what the exchange can do without, where the disk has room for it; not before what it belongs to.
    pub(super) fn explain(&self, call: CallId, entry: Entry) {
        match self.owed.has(call) {
            true if !entry.is_empty() => self.owe(call, entry),
            _ => self.recorder.push(entry),
        }
    }

    /// Keeps what had no place.
    pub(super) fn owe(&self, call: CallId, entry: Entry) {
        if let Err(entry) = self.owed.keep(call, entry) {
            self.recorder.push(entry);
        }
    }

    /// The call's next entry, behind what is owed of it. Called as `hand_in` is.
    pub(super) fn with_owed(&self, call: CallId, entry: Entry) -> Entry {
        let mut owed = self.owed.take(call).into_iter();
        let Some(first) = owed.next() else { return entry };
        owed.chain([entry]).fold(first, join)
    }

    /// Hands in what is owed, as far as there are places; of each call under its lock.
    pub(super) fn pay(&self) {
        for call in self.owed.calls(AT_ONCE) {
            let Ok(slot) = self.recorder.reserve() else { return };
            let mut slot = Some(slot);
            let is_live = self.state.calls.with(call, |_| {
                let entry = self.with_owed(call, Entry::default());
                if let Some(slot) = slot.take().filter(|_| !entry.is_empty()) {
                    slot.send(entry);
                }
            });
            if is_live.is_none() {
                self.write_off(call);
            }
        }
    }

    /// The call is forgotten: what is owed of it has its last chance.
    pub(super) fn write_off(&self, call: CallId) {
        self.owed.take(call).into_iter().for_each(|entry| self.recorder.push(entry));
    }

    /// Everything that is owed has its last chance: the exchange stops, and nobody decides or reports any more.
    pub fn write_off_all(&self) {
        loop {
            let calls = self.owed.calls(AT_ONCE);
            if calls.is_empty() {
                return;
            }
            calls.into_iter().for_each(|call| self.write_off(call));
        }
    }
}

/// Two entries of one call as one: all rows and answers in their order, and the later image.
fn join(mut before: Entry, later: Entry) -> Entry {
    let is_image = |put: &Put| matches!(put, Put::Call(_));
    before.rows.extend(later.rows);
    if later.state.iter().any(is_image) {
        before.state.retain(|put| !is_image(put));
    }
    before.state.extend(later.state);
    // Answers count where their call is known.
    before.state.sort_by_key(|put| !is_image(put));
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::entry::sample::Sampler;
    use crate::records::fixture::whole_call;
    use crate::state::image::LiveImage;

    fn call(n: u128) -> CallId {
        CallId::from_bits(n)
    }

    fn forgets(n: u128) -> Entry {
        Entry::put(Put::Forgotten(call(n)))
    }

    #[test]
    fn what_is_owed_has_an_end_and_comes_back_in_its_order() {
        let owed = Owed::default();
        for n in 0..OWED_MAX as u128 {
            assert_eq!(owed.keep(call(n % 2), forgets(n)), Ok(()));
        }
        assert_eq!(owed.keep(call(1), forgets(7)), Err(forgets(7)));
        let odd = owed.take(call(1));
        assert_eq!(odd.len(), OWED_MAX / 2);
        assert_eq!((&odd[0], &odd[1]), (&forgets(1), &forgets(3)));
        assert_eq!(owed.keep(call(1), forgets(7)), Ok(()));
        assert_eq!(owed.calls(10), [call(0), call(1)]);
        owed.take(call(0));
        assert_eq!(owed.take(call(1)), [forgets(7)]);
        assert_eq!((owed.entries.into_inner(), owed.by_call.into_inner().unwrap().len()), (0, 0));
    }

    #[test]
    fn entries_of_a_call_become_one_with_all_rows_and_answers_and_the_last_image() {
        let mut draw = Sampler::new(7);
        let images: [LiveImage; 2] = std::array::from_fn(|_| draw.live());
        let answers: [Put; 2] = std::array::from_fn(|_| Put::Answer(Box::new(draw.answer())));
        let image = |at: usize| Put::Call(Box::new(images[at].clone()));
        let rows = whole_call(1);
        let (some, others) = rows.split_at(2);
        let before = Entry { rows: some.to_vec(), state: vec![image(0), answers[0].clone()] };
        let later = |state: Vec<Put>| Entry { rows: others.to_vec(), state };
        let joined = join(before.clone(), later(vec![image(1), answers[1].clone()]));
        assert_eq!(joined.rows, rows);
        assert_eq!(joined.state, [image(1), answers[0].clone(), answers[1].clone()]);
        // What comes later may have none, of a call that is settled.
        assert_eq!(join(before.clone(), later(Vec::new())).state, before.state);
    }
}
