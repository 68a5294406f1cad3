//! What a restart knows: the state that the journal's records add up to. One fold for both of its uses, a start and the
//! next snapshot.
//!
//! Of a call the last image counts, and its answers. They are kept as the bytes they came as: reading a tail of a
//! gigabyte may take two seconds, and most images are followed by a later one. A call that is forgotten leaves behind what
//! its holds have used (`Hold::leaves`). Capacity that was taken by a decision belongs to the call as soon as an image has
//! it; what no image has when there is no more to read was taken for a call of which nobody knows whether it was handed
//! out. Rows are not read here, and no clock counts here: one that was far ahead for an hour must not take the day's counts
//! away. Of each cap the windows that were counted in last are kept, whatever their days; which of them is today's is for
//! whoever restores them to say.

mod callers;

use std::collections::BTreeMap;

use super::entry::{
    self, COUNTS, Counts, DecodeError, ENTRY, Entry, HealthImage, Held, Kind, Packed, Put, Seen, Used,
    VERSION, Version,
};
use crate::capacity::hold::Hold;
use crate::capacity::{Basis, CapKey, Entity};
use crate::domain::change::Change;
use crate::domain::{CallId, CallerListId, HoldId, Timestamp};
use crate::state::callers::Content;
use crate::state::image::{AnswerImage, LiveImage};
use callers::FoldedLists;

/// Windows kept of one cap: more than can be open at once, and some that a wrong clock has made.
const WINDOWS: usize = 8;
/// Most caps in one record of a snapshot.
const CAPS_PER_RECORD: usize = 1_000;

/// The state after all records up to one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    seq: u64,
    calls: BTreeMap<CallId, Kept>,
    /// As many caps as ids were ever configured; of each the windows in the order they were last counted in.
    counts: BTreeMap<(Entity, Basis), Vec<(Timestamp, Used)>>,
    held: BTreeMap<HoldId, Held>,
    /// None before the first that were written: then there was a store and no journal, and what the store has of days and
    /// changes is not all taken over yet.
    changes: Option<Vec<Change>>,
    health: Vec<HealthImage>,
    callers: FoldedLists,
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
                    self.take_out(&key);
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
                if held.keys.iter().any(has_window) {
                    self.held.insert(held.id, *held);
                }
            }
            Seen::Other(Put::Voided(hold)) => drop(self.held.remove(&hold)),
            Seen::Other(Put::Changes(changes)) => self.changes = Some(changes),
            Seen::Other(Put::Health(health)) => self.health = health,
            Seen::Other(Put::Callers(part)) => self.callers.put(*part),
            Seen::Other(Put::Call(_) | Put::Answer(_)) => {}
        }
        Ok(())
    }

    /// What its holds have used is nobody's from now on.
    fn forget(&mut self, call: CallId) -> Result<(), DecodeError> {
        let Some(Kept { image: Some(image), .. }) = self.calls.remove(&call) else { return Ok(()) };
        for hold in entry::holds(image.version, &image.bytes)? {
            for (key, charge) in Hold::restored(hold).leaves() {
                self.count(key, Used::of(charge));
            }
        }
        Ok(())
    }

    fn count(&mut self, key: &CapKey, more: Used) {
        if !has_window(key) {
            return;
        }
        let mut used = self.take_out(key);
        used.posted = used.posted.saturating_add(more.posted);
        used.unresolved = used.unresolved.saturating_add(more.unresolved);
        let windows = self.counts.entry((key.entity.clone(), key.basis)).or_default();
        windows.push((key.window, used));
        if windows.len() > WINDOWS {
            let (window, _) = windows.remove(0);
            let over = CapKey { window, ..key.clone() };
            self.held.retain(|_, held| !held.keys.contains(&over));
        }
    }

    /// What a window has, which is then none of its cap's.
    fn take_out(&mut self, key: &CapKey) -> Used {
        let Some(windows) = self.counts.get_mut(&(key.entity.clone(), key.basis)) else {
            return Used::default();
        };
        let at = windows.iter().position(|(window, _)| *window == key.window);
        at.map_or_else(Used::default, |at| windows.remove(at).1)
    }

    /// The number of the last record taken.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What calls that nobody remembers have used: of a cap the last windows, of which some are over.
    pub fn counts(&self) -> impl Iterator<Item = (CapKey, Used)> {
        self.counts.iter().flat_map(|((entity, basis), windows)| {
            let of = move |(window, used): &(Timestamp, Used)| {
                (CapKey { entity: entity.clone(), basis: *basis, window: *window }, *used)
            };
            windows.iter().map(of)
        })
    }

    /// Capacity taken by decisions of which nobody knows whether they handed the call out: after a start it stays used, by
    /// what [`Held::leaves`] says. Some windows are over.
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

    /// Who is on which caller list.
    pub fn callers(&self) -> Vec<(CallerListId, Content)> {
        self.callers.contents().collect()
    }

    /// Hands out the records of a snapshot: kind, version and body of each. Another fold that takes them is this one.
    pub fn snapshot<E>(&self, mut put: impl FnMut(u8, u8, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut body = Vec::new();
        let caps: Vec<(CapKey, Used)> = self.counts().collect();
        for caps in caps.chunks(CAPS_PER_RECORD) {
            body.clear();
            Counts { caps: caps.to_vec() }.encode(&mut body);
            put(COUNTS, VERSION, &body)?;
        }
        let held = self.held.values().map(|held| Put::Held(Box::new(held.clone())));
        let laid = self.changes.clone().map(Put::Changes);
        let callers = self.callers.parts().map(|part| Put::Callers(Box::new(part)));
        for one in held.chain(laid).chain([Put::Health(self.health.clone())]).chain(callers) {
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

/// Whether the cap is one of a window: slots are not.
fn has_window(key: &CapKey) -> bool {
    match key.basis {
        Basis::Concurrency => false,
        Basis::BillableDay => true,
    }
}

#[cfg(test)]
mod tests;
