//! Whether the store has what the journal says: every row of the records that are kept, up to the one the store is at.
//!
//! Both are only read, and a process may be writing to both: of the store one moment is looked at. Where several rows have
//! one key, the one that should be in the store is found first (the last end, the final trail, the first of everything
//! else), then each is looked up by that key. What is shown of a difference is ids, amounts, reasons and states, never what
//! a stranger wrote. Rows older than what the journal keeps cannot be checked; sums by the hour are, against the rows of the
//! store, however old.

mod differs;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::path::{Path, PathBuf};

use super::entry::{self, DecodeError};
use super::row::{ListedRow, Row};
use super::seal::unsealed;
use super::sqlite::{Moment, Reader, StoreError};
use super::stored::{StoredImbalance, StoredSumOff};
use crate::domain::CallId;
use crate::journal::{Found, LookError, Settings, look};

/// Most differences that are described.
const EXAMPLES: usize = 10;
/// Most groups that do not sum to zero that are listed.
pub const IMBALANCES: usize = 100;
/// Most hourly sums of a kind that are listed.
pub const SUMS: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// The oldest record the journal keeps.
    pub first: u64,
    /// The last record the store has taken: rows after it are not checked.
    pub upto: u64,
    /// Records the store has not taken yet.
    pub behind: u64,
    /// One of each kind, in order.
    pub kinds: Vec<Tally>,
    /// The first differences.
    pub examples: Vec<Example>,
    /// Groups of ledger entries that do not sum to zero, at most [`IMBALANCES`].
    pub imbalances: Vec<StoredImbalance>,
    /// Hourly sums that are not those of the store's rows, at most [`SUMS`] of each kind.
    pub sums: Vec<StoredSumOff>,
}

/// What was found of one kind of row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Which.
    pub kind: Kind,
    /// Rows with a key of their own that should be in the store.
    pub checked: u64,
    /// Of these, not there.
    pub missing: u64,
    /// Of these, there and different.
    pub different: u64,
}

/// A row that is missing or different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The record of the journal.
    pub seq: u64,
    /// What kind of row.
    pub kind: Kind,
    /// Its call.
    pub call: Option<CallId>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Example { seq, kind, call, what } = self;
        match call {
            Some(call) => write!(f, "call {call}, {}: {what} (record {seq})", kind.name()),
            None => write!(f, "{}: {what} (record {seq})", kind.name()),
        }
    }
}

/// The kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the rows are called")]
pub enum Kind {
    Decided,
    Trail,
    Event,
    Attempt,
    Ended,
    Ledger,
    Catalog,
    Change,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] = [
        Kind::Decided,
        Kind::Trail,
        Kind::Event,
        Kind::Attempt,
        Kind::Ended,
        Kind::Ledger,
        Kind::Catalog,
        Kind::Change,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Decided => "decided",
            Kind::Trail => "trail",
            Kind::Event => "event",
            Kind::Attempt => "attempt",
            Kind::Ended => "ended",
            Kind::Ledger => "ledger",
            Kind::Catalog => "catalog",
            Kind::Change => "change",
        }
    }

    fn of(row: &Row) -> Kind {
        match row {
            Row::Decided(_) => Kind::Decided,
            Row::Trail(_) => Kind::Trail,
            Row::Event(_) => Kind::Event,
            Row::Attempt(_) => Kind::Attempt,
            Row::Ended(_) => Kind::Ended,
            Row::Ledger(_) => Kind::Ledger,
            Row::Catalog(_) => Kind::Catalog,
            Row::Change(_) | Row::Listed(_) => Kind::Change,
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] LookError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record.
    #[error("record {seq} of the journal: {why}")]
    Record {
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        why: DecodeError,
    },
    /// The two do not belong together.
    #[error(
        "the store {store:?} has read another journal than the one in {journal:?}: name the settings file that belongs to \
         both"
    )]
    Another {
        /// The store.
        store: PathBuf,
        /// The journal.
        journal: PathBuf,
    },
    /// The journal is an older copy.
    #[error(
        "the store {store:?} has read record {seq} and the journal in {journal:?} ends with {last}: it is an older copy; \
         put the later one back"
    )]
    Older {
        /// The store.
        store: PathBuf,
        /// Where it is.
        seq: u64,
        /// The journal.
        journal: PathBuf,
        /// Where it ends.
        last: u64,
    },
}

impl Checked {
    /// Whether the store has everything it should have by now, its books balance, and its sums are right.
    pub fn is_good(&self) -> bool {
        self.off() == 0 && self.imbalances.is_empty() && self.sums.is_empty()
    }

    /// Rows that were looked for.
    pub fn rows(&self) -> u64 {
        self.kinds.iter().map(|tally| tally.checked).sum()
    }

    /// Rows that are missing or different.
    pub fn off(&self) -> u64 {
        self.kinds.iter().map(|tally| tally.missing + tally.different).sum()
    }
}

/// Compares the store with the journal.
pub fn check(journal: &Settings, store: &Path) -> Result<Checked, CheckError> {
    let reader = Reader::open(store)?;
    // Before the journal: what the store has by then is in it.
    let moment = reader.moment()?;
    let place = moment.place();
    look(journal, |found| {
        if place.journal != 0 && place.journal != found.id() {
            return Err(CheckError::Another { store: store.to_owned(), journal: journal.dir.clone() });
        }
        // After a loss that was accepted numbers go on behind what was lost.
        let (seq, last) = (place.seq, found.next_seq() - 1);
        if seq > last {
            let (store, journal) = (store.to_owned(), journal.dir.clone());
            return Err(CheckError::Older { store, seq, journal, last });
        }
        Checking::of(&moment, found).run()
    })
}

/// What makes a row one of its own.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Decided(CallId),
    Trail(CallId, u32),
    Event(CallId, Box<str>, &'static str, Option<u32>),
    Attempt(CallId, u32),
    Ended(CallId),
    Ledger(CallId, Box<str>, &'static str),
    Catalog(Box<str>),
    Change(&'static str, Box<str>, &'static str, i64),
}

impl Key {
    fn of(row: &Row) -> Key {
        match row {
            Row::Decided(row) => Key::Decided(row.keys.call_id),
            Row::Trail(row) => Key::Trail(row.keys.call_id, row.step),
            Row::Event(row) => Key::Event(row.call_id, row.event_id.as_str().into(), row.kind, row.attempt),
            Row::Attempt(row) => Key::Attempt(row.keys.call_id, row.attempt),
            Row::Ended(row) => Key::Ended(row.keys.call_id),
            Row::Ledger(row) => Key::Ledger(row.keys.call_id, row.group.as_str().into(), row.kind),
            Row::Catalog(row) => Key::Catalog(row.digest.as_str().into()),
            Row::Change(row) => {
                let (entity, at) = (&row.entity, row.origin.at.micros());
                Key::Change(entity.kind(), entity.id().into(), row.key.as_str(), at)
            }
            Row::Listed(row) => {
                let (list, at) = (row.list.as_str().into(), row.origin.at.micros());
                Key::Change(ListedRow::ENTITY, list, ListedRow::ITEM, at)
            }
        }
    }
}

/// The row that should be in the store: its record, its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ruling {
    seq: u64,
    at: usize,
    is_final: bool,
}

impl Ruling {
    /// Whether a later row of the same key takes its place.
    fn yields_to(self, row: &Row) -> bool {
        match row {
            Row::Trail(_) => !self.is_final,
            Row::Attempt(row) => row.end.is_some(),
            Row::Ended(_) => true,
            Row::Decided(_)
            | Row::Event(_)
            | Row::Ledger(_)
            | Row::Catalog(_)
            | Row::Change(_)
            | Row::Listed(_) => false,
        }
    }
}

struct Checking<'a> {
    moment: &'a Moment<'a>,
    found: &'a Found,
    checked: Checked,
}

impl<'a> Checking<'a> {
    fn of(moment: &'a Moment<'a>, found: &'a Found) -> Checking<'a> {
        let (first, upto) = (found.first_seq(), moment.place().seq);
        let behind = found.last_seq().saturating_sub(upto);
        let none = |kind| Tally { kind, checked: 0, missing: 0, different: 0 };
        let kinds = Kind::ALL.map(none).to_vec();
        Checking { moment, found, checked: Checked { first, upto, behind, kinds, ..Checked::default() } }
    }

    fn run(mut self) -> Result<Checked, CheckError> {
        // As large as the number of rows that are kept: some hundred bytes each.
        let mut rulings: HashMap<Key, Ruling> = HashMap::new();
        each(self.found, self.checked.upto, |seq, at, row| {
            let is_final = matches!(row, Row::Trail(trail) if trail.is_final);
            let ruling = Ruling { seq, at, is_final };
            match rulings.entry(Key::of(row)) {
                Slot::Vacant(slot) => drop(slot.insert(ruling)),
                Slot::Occupied(mut slot) if slot.get().yields_to(row) => drop(slot.insert(ruling)),
                Slot::Occupied(_) => {}
            }
            Ok(())
        })?;
        each(self.found, self.checked.upto, |seq, at, row| {
            let rules = rulings.get(&Key::of(row)).is_some_and(|rule| (rule.seq, rule.at) == (seq, at));
            if rules { self.look_up(seq, row) } else { Ok(()) }
        })?;
        self.checked.imbalances = self.moment.imbalances(IMBALANCES)?;
        self.checked.sums = self.moment.sums_off(SUMS)?;
        Ok(self.checked)
    }

    fn look_up(&mut self, seq: u64, row: &Row) -> Result<(), CheckError> {
        let kind = Kind::of(row);
        let found = differs::difference(self.moment, row)?;
        let tally = &mut self.checked.kinds[kind as usize];
        tally.checked += 1;
        let what = match found {
            differs::Found::Same => return Ok(()),
            differs::Found::Missing => {
                tally.missing += 1;
                format!("{} is not in the store", differs::name(row))
            }
            differs::Found::Different(what) => {
                tally.different += 1;
                format!("{}: {what}", differs::name(row))
            }
        };
        if self.checked.examples.len() < EXAMPLES {
            let call = differs::call(row);
            self.checked.examples.push(Example { seq, kind, call, what });
        }
        Ok(())
    }
}

/// Hands out the rows of the records that are kept, up to one.
fn each(
    found: &Found,
    upto: u64,
    mut take: impl FnMut(u64, usize, &Row) -> Result<(), CheckError>,
) -> Result<(), CheckError> {
    for read in found.records_after(found.first_seq().saturating_sub(1)) {
        let read = read.map_err(LookError::Read)?;
        if read.seq > upto {
            break;
        }
        let rows = entry::rows(read.kind, read.version, unsealed(read.kind, &read.body))
            .map_err(|why| CheckError::Record { seq: read.seq, why })?;
        for (at, row) in rows.iter().enumerate() {
            take(read.seq, at, row)?;
        }
    }
    Ok(())
}
