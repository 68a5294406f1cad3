//! What a restart knows: the state that the journal's records add up to. One fold for both of its uses, a start and the
//! next snapshot.
//!
//! Of a call the last image counts, and its answers. They are kept as the bytes they came as: reading a tail of a
//! gigabyte may take two seconds, and most images are followed by a later one. A call that is forgotten leaves behind what
//! its holds have used (`Hold::leaves`). Capacity that was taken by a decision belongs to the call as soon as an image has
//! it; what no image has when there is no more to read was taken for a call of which nobody knows whether it was handed
//! out. Rows are not read here, and nothing is reckoned with the clock: windows of caps are over when there is one 48
//! hours younger.

use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::{
    self, COUNTS, Counts, DecodeError, ENTRY, Entry, HealthImage, Held, Kind, Packed, Put, Seen, Used,
    VERSION, Version,
};
use crate::capacity::hold::Hold;
use crate::capacity::{Basis, CapKey};
use crate::domain::change::Change;
use crate::domain::{CallId, HoldId, Timestamp};
use crate::state::image::{AnswerImage, LiveImage};

/// How much older than the youngest window of a cap another may be and still count: days have up to 25 hours.
const KEEP_WINDOWS: Duration = Duration::from_secs(48 * 3_600);
/// Most caps in one record of a snapshot.
const CAPS_PER_RECORD: usize = 1_000;

/// The state after all records up to one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    seq: u64,
    calls: BTreeMap<CallId, Kept>,
    counts: BTreeMap<CapKey, Used>,
    /// The start of the youngest window in `counts`.
    youngest: Timestamp,
    held: BTreeMap<HoldId, Held>,
    /// None before the first that were written: then there was a store and no journal, and what the store has of days and
    /// changes is not all taken over yet.
    changes: Option<Vec<Change>>,
    health: Vec<HealthImage>,
}

/// A call as its records have it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    image: Option<Bytes>,
    /// By step.
    answers: BTreeMap<u32, Bytes>,
}

/// Bytes of a put, with the version that reads them.
#[derive(Clone, Debug, PartialEq)]
struct Bytes {
    version: Version,
    bytes: Box<[u8]>,
}

impl Bytes {
    /// As today's version has them. With a second version older ones are read and written anew here.
    fn as_today(&self) -> &[u8] {
        match self.version {
            Version::V1 => &self.bytes,
        }
    }
}

/// A call that is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// The call.
    pub image: LiveImage,
    /// Its answers, in the order of their steps.
    pub answers: Vec<AnswerImage>,
}

impl Fold {
    /// Takes one record of the journal; of a snapshot all have the number of the last one it covers.
    pub fn apply(&mut self, seq: u64, kind: u8, version: u8, body: &[u8]) -> Result<(), DecodeError> {
        match entry::known(kind, version)? {
            (Kind::Counts, version) => {
                for (key, used) in entry::counts(version, body)?.caps {
                    // All that is known of it, and not what is added: taking over from a store may be begun twice.
                    self.counts.remove(&key);
                    self.count(&key, used);
                }
            }
            (Kind::Entry, version) => {
                for seen in entry::puts(version, body)? {
                    self.put(version, seen?)?;
                }
            }
        }
        self.seq = self.seq.max(seq);
        Ok(())
    }

    fn put(&mut self, version: Version, seen: Seen<'_>) -> Result<(), DecodeError> {
        let keep = |bytes: &[u8]| Bytes { version, bytes: bytes.into() };
        match seen {
            Seen::Call { call, holds, bytes } => {
                holds.iter().for_each(|hold| drop(self.held.remove(hold)));
                self.calls.entry(call).or_default().image = Some(keep(bytes));
            }
            Seen::Answer { call, step, bytes } => {
                // One of a call that was forgotten meanwhile brings it not back.
                if let Some(kept) = self.calls.get_mut(&call) {
                    kept.answers.insert(step, keep(bytes));
                }
            }
            Seen::Other(Put::Forgotten(call)) => self.forget(call)?,
            Seen::Other(Put::Held(held)) => {
                if held.keys.iter().any(|key| self.is_open(key)) {
                    self.held.insert(held.id, *held);
                }
            }
            Seen::Other(Put::Voided(hold)) => drop(self.held.remove(&hold)),
            Seen::Other(Put::Changes(changes)) => self.changes = Some(changes),
            Seen::Other(Put::Health(health)) => self.health = health,
            Seen::Other(Put::Call(_) | Put::Answer(_)) => {}
        }
        Ok(())
    }

    /// What its holds have used is nobody's from now on.
    fn forget(&mut self, call: CallId) -> Result<(), DecodeError> {
        let Some(Kept { image: Some(image), .. }) = self.calls.remove(&call) else { return Ok(()) };
        let takers = entry::image(image.version, &image.bytes)?.offered.into_iter();
        for taker in takers.filter_map(|offered| offered.taker) {
            for (key, charge) in Hold::restored(taker.hold).leaves() {
                self.count(key, Used::of(charge));
            }
        }
        Ok(())
    }

    fn count(&mut self, key: &CapKey, more: Used) {
        if !self.is_open(key) {
            return;
        }
        let used = self.counts.entry(key.clone()).or_default();
        used.posted = used.posted.saturating_add(more.posted);
        used.unresolved = used.unresolved.saturating_add(more.unresolved);
        if key.window > self.youngest {
            self.youngest = key.window;
            let oldest = self.oldest();
            self.counts.retain(|key, _| key.window >= oldest);
            self.held.retain(|_, held| held.keys.iter().any(|key| is_open(key, oldest)));
        }
    }

    fn oldest(&self) -> Timestamp {
        self.youngest.before(KEEP_WINDOWS)
    }

    fn is_open(&self, key: &CapKey) -> bool {
        is_open(key, self.oldest())
    }

    /// The number of the last record taken.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What calls that nobody remembers have used.
    pub fn counts(&self) -> impl Iterator<Item = (&CapKey, Used)> {
        self.counts.iter().map(|(key, used)| (key, *used))
    }

    /// Capacity taken by decisions of which nobody knows whether they handed the call out: after a start it stays used, by
    /// what [`Held::leaves`] says.
    pub fn orphaned(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    /// How many calls are remembered.
    pub fn remembers(&self) -> usize {
        self.calls.len()
    }

    /// The calls that are remembered, read one by one: gauges are charged with what their holds have.
    pub fn calls(&self) -> impl Iterator<Item = Result<Remembered, DecodeError>> {
        self.calls.values().filter_map(|kept| {
            let image = kept.image.as_ref()?;
            let read = || {
                let answers = kept.answers.values().map(|one| entry::answer(one.version, &one.bytes));
                Ok(Remembered {
                    image: entry::image(image.version, &image.bytes)?,
                    answers: answers.collect::<Result<_, _>>()?,
                })
            };
            Some(read())
        })
    }

    /// Whether an exchange has begun to decide by this journal. Until then a store that was there before it is taken over.
    pub fn has_begun(&self) -> bool {
        self.changes.is_some()
    }

    /// All changes that are laid over the files.
    pub fn changes(&self) -> &[Change] {
        self.changes.as_deref().unwrap_or_default()
    }

    /// How endpoints were answering.
    pub fn health(&self) -> &[HealthImage] {
        &self.health
    }

    /// Hands out the records of a snapshot: kind, version and body of each. Another fold that takes them is this one.
    pub fn snapshot<E>(&self, mut put: impl FnMut(u8, u8, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut body = Vec::new();
        let caps: Vec<(CapKey, Used)> = self.counts.iter().map(|(key, used)| (key.clone(), *used)).collect();
        for caps in caps.chunks(CAPS_PER_RECORD) {
            body.clear();
            Counts { caps: caps.to_vec() }.encode(&mut body);
            put(COUNTS, VERSION, &body)?;
        }
        let held = self.held.values().map(|held| Put::Held(Box::new(held.clone())));
        let laid = self.changes.clone().map(Put::Changes);
        for one in held.chain(laid).chain([Put::Health(self.health.clone())]) {
            body.clear();
            Entry { rows: Vec::new(), state: vec![one] }.encode(&mut body);
            put(ENTRY, VERSION, &body)?;
        }
        for kept in self.calls.values() {
            body.clear();
            let image = kept.image.as_ref().map(|image| Packed::Call(image.as_today()));
            let answers = kept.answers.values().map(|answer| Packed::Answer(answer.as_today()));
            entry::write_packed(image.into_iter().chain(answers), &mut body);
            put(ENTRY, VERSION, &body)?;
        }
        Ok(())
    }
}

/// Whether the key is one of a window that counts: slots have none.
fn is_open(key: &CapKey, oldest: Timestamp) -> bool {
    match key.basis {
        Basis::Concurrency => false,
        Basis::BillableDay => key.window >= oldest,
    }
}

#[cfg(test)]
mod tests;
