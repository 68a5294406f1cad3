//! What one record of the journal says: rows that happened, and what memory is rebuilt from. Versioned bytes of both.
//!
//! The structures that are written are private to their version and frozen once released: a change is a new version
//! beside the old one, and every version ever written can be read. The journal itself knows nothing of this.
//!
//! Unlike rows, images have callers' numbers whole, since the next steps of a call are taken by them. They are state and
//! not a report: files that hold them are for the exchange's own user alone (mode 0600), and whoever prints a record
//! prints its `Display`, which shows no text of a stranger.

mod v1;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::fmt;

use super::row::{Fact, FactsRow, Row, TrailRow};
use super::stored::{StoredFacts, StoredTrail};
use crate::auction::bid::clean_note;
use crate::capacity::hold::HoldImage;
use crate::capacity::{CapKey, Charge};
use crate::domain::caller_list::CallerPrefix;
use crate::domain::change::Change;
use crate::domain::{BuyerId, CallId, CallerListId, HoldId, TargetId, Timestamp};
use crate::state::callers::{Content, Difference};
use crate::state::image::{AnswerImage, LiveImage};

pub(super) use v1::{Packed, Seen, write_packed};

/// Kind of the records that say what happened.
pub const ENTRY: u8 = 1;
/// Kind of the records that say what calls nobody remembers have used.
pub const COUNTS: u8 = 2;
/// The version of both that is written today.
pub const VERSION: u8 = 1;

/// Things that happened together: all of them are on disk, or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// For the store.
    pub rows: Vec<Row>,
    /// For a restart, in order.
    pub state: Vec<Put>,
}

/// One change of what a restart rebuilds.
#[derive(Clone, Debug, PartialEq)]
pub enum Put {
    /// A call as it is now.
    Call(Box<LiveImage>),
    /// An answer that was given.
    Answer(Box<AnswerImage>),
    /// A call that nobody remembers any more.
    Forgotten(CallId),
    /// Capacity was taken for a call that has not been handed out yet.
    Held(Box<Held>),
    /// That capacity was given back: the call was not handed out.
    Voided(HoldId),
    /// All changes that are laid over the files.
    Changes(Vec<Change>),
    /// How all endpoints have been answering.
    Health(Vec<HealthImage>),
    /// A part of a change of a caller list.
    Callers(Box<ListPart>),
}

/// Most numbers in one part of a change of a caller list: a part is a record, and fits the smallest segments.
pub const LIST_PART_MAX: usize = 16_384;

/// A part of what differs on a caller list after a change. All parts of a change count, or none: they are there when the
/// last one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPart {
    /// The list.
    pub list: CallerListId,
    /// Its place among the parts; the first is 0.
    pub part: u32,
    /// Whether it is the last.
    pub is_last: bool,
    /// What differs.
    pub difference: Difference,
}

impl ListPart {
    /// A change in parts.
    pub fn of(list: &CallerListId, difference: &Difference) -> Vec<ListPart> {
        let Difference { added, removed } = difference;
        let numbers = added.numbers.chunks(LIST_PART_MAX).map(|numbers| Difference {
            added: Content { numbers: numbers.to_vec(), prefixes: Vec::new() },
            removed: Content::default(),
        });
        let gone = removed.numbers.chunks(LIST_PART_MAX).map(|numbers| Difference {
            added: Content::default(),
            removed: Content { numbers: numbers.to_vec(), prefixes: Vec::new() },
        });
        let only = |prefixes: &Vec<CallerPrefix>| Content { numbers: Vec::new(), prefixes: prefixes.clone() };
        let prefixes = Difference { added: only(&added.prefixes), removed: only(&removed.prefixes) };
        let parts: Vec<Difference> =
            numbers.chain(gone).chain([prefixes].into_iter().filter(|part| !part.is_empty())).collect();
        let last = parts.len().saturating_sub(1);
        let part = |(at, difference)| ListPart {
            list: list.clone(),
            part: at as u32,
            is_last: at == last,
            difference,
        };
        parts.into_iter().enumerate().map(part).collect()
    }
}

/// Capacity taken by a decision that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The hold.
    pub id: HoldId,
    /// The call it is for.
    pub call: CallId,
    /// What it takes a unit of.
    pub keys: Vec<CapKey>,
}

/// How one endpoint has been answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthImage {
    /// The target.
    pub target: TargetId,
    /// Its buyer.
    pub buyer: BuyerId,
    /// Where it is asked: another endpoint of the same target begins anew.
    pub endpoint: String,
    /// Pings since its last reply in time.
    pub misses_in_a_row: u32,
    /// When that was read.
    pub answered_at: Timestamp,
}

/// What calls that nobody remembers have used of caps: of a snapshot, or taken over from a store. A cap that comes again has
/// what was said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Each cap once.
    pub caps: Vec<(CapKey, Used)>,
}

/// Units of one cap that stay used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// For good.
    pub posted: u32,
    /// Until somebody says what happened, which nobody will.
    pub unresolved: u32,
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Of kind [`ENTRY`].
    Entry(Entry),
    /// Of kind [`COUNTS`].
    Counts(Counts),
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a later version, or not by us.
    #[error("a record of kind {kind}, of which this binary knows nothing: use the newer one that wrote it")]
    UnknownKind {
        /// Its kind.
        kind: u8,
    },
    /// Written by a later version.
    #[error(
        "a record of version {found}, and this binary reads up to {VERSION}: use the newer one that wrote it"
    )]
    UnknownVersion {
        /// Its version.
        found: u8,
    },
    /// A word from a closed list that is not in it.
    #[error("{field} is {word:?}, which this binary does not know: use the newer one that wrote it")]
    UnknownWord {
        /// What the word is of.
        field: &'static str,
        /// The word, cut and masked.
        word: String,
    },
    /// A code from a closed list that is not in it.
    #[error("{field} has the code {code}, which this binary does not know: use the newer one that wrote it")]
    UnknownCode {
        /// What the code is of.
        field: &'static str,
        /// The code.
        code: u16,
    },
    /// A value that nothing of ours can have.
    #[error(
        "{what} has a value it cannot have, though the checksum is right: use the binary that wrote the record"
    )]
    Invalid {
        /// What it is of.
        what: &'static str,
    },
    /// Not what its version says.
    #[error("{what} cannot be read, though the checksum is right: use the binary that wrote the record")]
    Damaged {
        /// Which part.
        what: &'static str,
        /// Where reading ended.
        source: postcard::Error,
    },
    /// The key is not the one it was sealed with, or it was changed.
    #[error(
        "a record is sealed with another key than this deployment's: put the caller key back that was there when it \
         was written"
    )]
    Sealed,
    /// More or less than its version says.
    #[error(
        "{what} does not end where it should, though the checksum is right: use the binary that wrote the record"
    )]
    Length {
        /// Which part.
        what: &'static str,
    },
}

impl Held {
    /// What it leaves behind where nobody knows what became of its call.
    pub fn leaves(&self) -> impl Iterator<Item = (&CapKey, Charge)> {
        self.keys.iter().filter_map(|key| Some((key, Charge::Held.left_behind(key.basis)?)))
    }
}

impl Used {
    /// One unit.
    pub const fn of(charge: Charge) -> Used {
        match charge {
            Charge::Posted => Used { posted: 1, unresolved: 0 },
            Charge::Held | Charge::Unresolved => Used { posted: 0, unresolved: 1 },
        }
    }
}

impl DecodeError {
    fn unknown_word(field: &'static str, word: &str) -> DecodeError {
        DecodeError::UnknownWord { field, word: clean_note(word).into_owned() }
    }
}

impl Entry {
    /// One change of what a restart rebuilds, and nothing for the store.
    pub fn put(put: Put) -> Entry {
        Entry { rows: Vec::new(), state: vec![put] }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.state.is_empty()
    }

    /// Appends the body of a record of kind [`ENTRY`] and version [`VERSION`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        v1::write_entry(&self.rows, &self.state, out);
    }
}

impl Counts {
    /// Appends the body of a record of kind [`COUNTS`] and version [`VERSION`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        v1::write_counts(&self.caps, out);
    }
}

/// The word for a kind; none for one that is not known.
pub fn kind_name(kind: u8) -> Option<&'static str> {
    match kind {
        ENTRY => Some("entry"),
        COUNTS => Some("counts"),
        _ => None,
    }
}

/// Reads the body of a record of this kind and version, all of it.
pub fn decode(kind: u8, version: u8, body: &[u8]) -> Result<Record, DecodeError> {
    match known(kind, version)? {
        (Kind::Counts, version) => counts(version, body).map(Record::Counts),
        (Kind::Entry, version @ Version::V1) => {
            let rows = v1::read_rows(body)?;
            let state = puts(version, body)?.map(|seen| v1::put(seen?)).collect::<Result<_, _>>()?;
            Ok(Record::Entry(Entry { rows, state }))
        }
    }
}

/// The rows of a record alone, for who keeps no state.
pub fn rows(kind: u8, version: u8, body: &[u8]) -> Result<Vec<Row>, DecodeError> {
    match known(kind, version)? {
        (Kind::Counts, _) => Ok(Vec::new()),
        (Kind::Entry, Version::V1) => v1::read_rows(body),
    }
}

/// The rows of a record, for the store.
pub fn facts(kind: u8, version: u8, body: &[u8]) -> Result<Vec<Fact<'_>>, DecodeError> {
    match known(kind, version)? {
        (Kind::Counts, _) => Ok(Vec::new()),
        (Kind::Entry, Version::V1) => v1::read_facts(body),
    }
}

/// A kind that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Entry,
    Counts,
}

/// A version that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
}

pub(super) fn known(kind: u8, version: u8) -> Result<(Kind, Version), DecodeError> {
    let kind = match kind {
        ENTRY => Kind::Entry,
        COUNTS => Kind::Counts,
        kind => return Err(DecodeError::UnknownKind { kind }),
    };
    match version {
        1 => Ok((kind, Version::V1)),
        found => Err(DecodeError::UnknownVersion { found }),
    }
}

/// The puts of an entry, as far as they have to be read.
pub(super) fn puts(
    version: Version,
    body: &[u8],
) -> Result<impl Iterator<Item = Result<Seen<'_>, DecodeError>>, DecodeError> {
    match version {
        Version::V1 => v1::puts(body),
    }
}

/// A step of the store as the row it was.
pub(super) fn trail(stored: StoredTrail, test: bool) -> Result<TrailRow, DecodeError> {
    v1::trail(stored, test)
}

/// What a step of the store was decided by, as the row it was.
pub(super) fn facts_row(stored: StoredFacts) -> Result<FactsRow, DecodeError> {
    v1::facts(stored)
}

pub(super) fn counts(version: Version, body: &[u8]) -> Result<Counts, DecodeError> {
    match version {
        Version::V1 => v1::read_counts(body).map(|caps| Counts { caps }),
    }
}

/// The image whose bytes were seen.
pub(super) fn image(version: Version, bytes: &[u8]) -> Result<LiveImage, DecodeError> {
    match version {
        Version::V1 => v1::image(bytes),
    }
}

/// The holds of the image whose bytes were seen.
pub(super) fn holds(version: Version, bytes: &[u8]) -> Result<Vec<HoldImage>, DecodeError> {
    match version {
        Version::V1 => v1::holds(bytes),
    }
}

/// The answer whose bytes were seen.
pub(super) fn answer(version: Version, bytes: &[u8]) -> Result<AnswerImage, DecodeError> {
    match version {
        Version::V1 => v1::answer(bytes),
    }
}

impl fmt::Display for Record {
    /// One line with ids, states and counts, and nothing that a stranger wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Entry(entry) => {
                let words: Vec<String> =
                    entry.rows.iter().map(row_in_words).chain(entry.state.iter().map(put_in_words)).collect();
                f.write_str(&words.join("; "))
            }
            Record::Counts(counts) => write!(f, "counts of {} caps", counts.caps.len()),
        }
    }
}

fn row_in_words(row: &Row) -> String {
    match row {
        Row::Decided(row) => {
            format!("row decided {} {} {} {}", row.keys.call_id, row.basis, row.action, row.reason)
        }
        Row::Trail(row) => {
            let word = if row.is_final { "final" } else { "pending" };
            format!("row trail {} step {} {word} {} targets", row.keys.call_id, row.step, row.outcomes.len())
        }
        Row::Event(row) => format!("row event {} {}", row.call_id, row.kind),
        Row::Attempt(row) => {
            let end = row.end.as_ref().map_or("open", |end| end.reason.as_str());
            format!("row attempt {}/{} {end}", row.keys.call_id, row.attempt)
        }
        Row::Ended(row) => format!("row ended {} {}", row.keys.call_id, row.end.reason),
        Row::Ledger(row) => format!("row ledger {} {} {}", row.keys.call_id, row.kind, row.amount),
        Row::Catalog(row) => format!("row catalog of {} bytes", row.text.len()),
        Row::Change(row) => {
            format!("row change {} {} {}", row.entity, row.key.as_str(), row.happened.as_str())
        }
        Row::Listed(row) => {
            format!("row listed {} {}: {}", row.list, row.verb.as_str(), row.value())
        }
    }
}

fn put_in_words(put: &Put) -> String {
    match put {
        Put::Call(image) => {
            let word = if image.over_since.is_some() { "over" } else { "open" };
            format!("call {} {word} {} attempts", image.id, image.offered.len())
        }
        Put::Answer(answer) => {
            let reply = &answer.reply;
            format!("answer {} step {} {}", reply.call_id, reply.step, reply.action.as_str())
        }
        Put::Forgotten(call) => format!("forgotten {call}"),
        Put::Held(held) => format!("held {} for {} of {} caps", held.id, held.call, held.keys.len()),
        Put::Voided(hold) => format!("voided {hold}"),
        Put::Changes(changes) => format!("{} changes", changes.len()),
        Put::Health(health) => format!("health of {} endpoints", health.len()),
        Put::Callers(part) => {
            let Difference { added, removed } = &part.difference;
            let count = |content: &Content| content.numbers.len() + content.prefixes.len();
            let last = if part.is_last { ", the last" } else { "" };
            format!(
                "callers on {}: part {}, {} added, {} removed{last}",
                part.list,
                part.part,
                count(added),
                count(removed)
            )
        }
    }
}
