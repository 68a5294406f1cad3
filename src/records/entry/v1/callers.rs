//! Caller lists in version 1: a part of a change, and a line of their history.

use serde::{Deserialize, Serialize};

use super::DecodeError;
use super::words::at;
use crate::domain::CallerListId;
use crate::domain::caller_list::{CallerDigest, CallerPrefix, ListVerb};
use crate::domain::change::Origin;
use crate::records::entry::ListPart;
use crate::records::row::ListedRow;
use crate::state::callers::{Content, Difference};

#[derive(Serialize, Deserialize)]
pub(super) struct ListPartV1<'a> {
    list: &'a str,
    part: u32,
    is_last: bool,
    #[serde(borrow)]
    added: ContentV1<'a>,
    #[serde(borrow)]
    removed: ContentV1<'a>,
}

/// Digests have eight bytes each, little-endian: numbers that are as good as drawn are no shorter otherwise.
#[derive(Serialize, Deserialize)]
struct ContentV1<'a> {
    digests: &'a [u8],
    prefixes: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ListedV1<'a> {
    list: &'a str,
    verb: VerbV1,
    added: u64,
    removed: u64,
    numbers: u64,
    prefixes: u64,
    actor: &'a str,
    by: Option<&'a str>,
    at: i64,
}

#[derive(Serialize, Deserialize)]
enum VerbV1 {
    Add,
    Remove,
    Replace,
}

impl<'a> ListPartV1<'a> {
    /// Hands it to `append`, with digests in the bytes that are written.
    pub(super) fn write(part: &ListPart, append: impl FnOnce(&ListPartV1<'_>)) {
        let (added, removed) = (bytes(&part.difference.added), bytes(&part.difference.removed));
        append(&ListPartV1 {
            list: part.list.as_str(),
            part: part.part,
            is_last: part.is_last,
            added: ContentV1::of(&added, &part.difference.added),
            removed: ContentV1::of(&removed, &part.difference.removed),
        });
    }

    pub(super) fn read(self) -> Result<ListPart, DecodeError> {
        Ok(ListPart {
            list: list(self.list)?,
            part: self.part,
            is_last: self.is_last,
            difference: Difference { added: self.added.read()?, removed: self.removed.read()? },
        })
    }
}

fn bytes(content: &Content) -> Vec<u8> {
    content.numbers.iter().flat_map(|CallerDigest(digest)| digest.to_le_bytes()).collect()
}

impl<'a> ContentV1<'a> {
    fn of(digests: &'a [u8], content: &Content) -> ContentV1<'a> {
        ContentV1 { digests, prefixes: content.prefixes.iter().map(|prefix| prefix.digits()).collect() }
    }

    fn read(self) -> Result<Content, DecodeError> {
        let (digests, []) = self.digests.as_chunks() else {
            return Err(DecodeError::Length { what: "the digests of a caller list" });
        };
        let prefix = |digits: u64| {
            CallerPrefix::from_digits(digits)
                .ok_or(DecodeError::Invalid { what: "a prefix of a caller list" })
        };
        Ok(Content {
            numbers: digests.iter().map(|bytes| CallerDigest(u64::from_le_bytes(*bytes))).collect(),
            prefixes: self.prefixes.into_iter().map(prefix).collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> ListedV1<'a> {
    pub(super) fn of(row: &'a ListedRow) -> ListedV1<'a> {
        ListedV1 {
            list: row.list.as_str(),
            verb: match row.verb {
                ListVerb::Add => VerbV1::Add,
                ListVerb::Remove => VerbV1::Remove,
                ListVerb::Replace => VerbV1::Replace,
            },
            added: row.added,
            removed: row.removed,
            numbers: row.numbers,
            prefixes: row.prefixes,
            actor: &row.origin.actor,
            by: row.origin.by.as_deref(),
            at: row.origin.at.micros(),
        }
    }

    pub(super) fn read(self) -> Result<ListedRow, DecodeError> {
        Ok(ListedRow {
            list: list(self.list)?,
            verb: match self.verb {
                VerbV1::Add => ListVerb::Add,
                VerbV1::Remove => ListVerb::Remove,
                VerbV1::Replace => ListVerb::Replace,
            },
            added: self.added,
            removed: self.removed,
            numbers: self.numbers,
            prefixes: self.prefixes,
            origin: Origin { actor: self.actor.to_owned(), by: self.by.map(str::to_owned), at: at(self.at) },
        })
    }
}

fn list(id: &str) -> Result<CallerListId, DecodeError> {
    CallerListId::parse(id).map_err(|_| DecodeError::Invalid { what: "the id of a caller list" })
}
