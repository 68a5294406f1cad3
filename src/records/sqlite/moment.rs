//! The store as it was at one moment, asked for single rows by their own keys. What they should say is not known here.
//!
//! A moment is one read transaction. The writer goes on meanwhile; what it adds stays in its log until the moment is over.

use rusqlite::{Transaction, params};

use super::lines::{
    ATTEMPT_COLUMNS, CALL_COLUMNS, ENTRY_COLUMNS, EVENT_COLUMNS, attempt, call, entry, event, key,
};
use super::read::{CHANGE_COLUMNS, change};
use super::{Place, Reader, StoreError, apply};
use crate::domain::change::Noted;
use crate::domain::{CallId, Timestamp};
use crate::records::row::ListedRow;
use crate::records::stored::{
    StoredAttempt, StoredCall, StoredChange, StoredEntry, StoredEvent, StoredImbalance, StoredTrail,
};

/// One moment of a store.
#[derive(Debug)]
pub struct Moment<'a> {
    pub(super) reader: &'a Reader,
    place: Place,
    _open: Transaction<'a>,
}

impl Reader {
    /// The store as it is now, for as long as the value lives. Until then this reader answers nothing else that spans
    /// several queries.
    pub fn moment(&self) -> Result<Moment<'_>, StoreError> {
        let fault = |source| StoreError::Read { what: "meta", source };
        let open = self.conn.unchecked_transaction().map_err(fault)?;
        // The first query is what fixes the moment.
        let place = apply::place(&self.conn).map_err(fault)?;
        Ok(Moment { reader: self, place, _open: open })
    }
}

impl Moment<'_> {
    /// How far the store is in which journal.
    pub fn place(&self) -> Place {
        self.place
    }

    /// A call: its decision, its end.
    pub fn call(&self, id: CallId) -> Result<Option<StoredCall>, StoreError> {
        let sql = format!("SELECT {CALL_COLUMNS} FROM call c WHERE c.call_id = ?1");
        self.one(self.reader.list("a call", &sql, params![key(id)], call))
    }

    /// A step of a call.
    pub fn trail(&self, id: CallId, step: u32) -> Result<Option<StoredTrail>, StoreError> {
        let sql = "SELECT seq, call_id, step, is_final, doc FROM trail WHERE call_id = ?1 AND step = ?2";
        self.one(self.reader.trails(sql, params![key(id), step]))
    }

    /// An event of a call.
    pub fn event(
        &self,
        id: CallId,
        event_id: &str,
        kind: &str,
        attempt: Option<u32>,
    ) -> Result<Option<StoredEvent>, StoreError> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM event WHERE call_id = ?1 AND event_id = ?2 AND kind = ?3 AND attempt = ?4"
        );
        let values = params![key(id), event_id, kind, attempt.unwrap_or(0)];
        self.one(self.reader.list("an event", &sql, values, event))
    }

    /// An attempt of a call.
    pub fn attempt(&self, id: CallId, number: u32) -> Result<Option<StoredAttempt>, StoreError> {
        let sql = format!("SELECT {ATTEMPT_COLUMNS} FROM attempt a WHERE a.call_id = ?1 AND a.attempt = ?2");
        self.one(self.reader.list("an attempt", &sql, params![key(id), number], attempt))
    }

    /// A ledger entry.
    pub fn entry(&self, id: CallId, group: &str, kind: &str) -> Result<Option<StoredEntry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY_COLUMNS} FROM ledger_entry e WHERE e.call_id = ?1 AND e.grp = ?2 AND e.kind = ?3"
        );
        self.one(self.reader.list("a ledger entry", &sql, params![key(id), group, kind], entry))
    }

    /// The text of a catalog, or of one part of it, by its name.
    pub fn catalog(&self, digest: &str) -> Result<Option<String>, StoreError> {
        Ok(self.reader.catalog_part(digest)?.map(|catalog| catalog.text))
    }

    /// An entry of the history of changes, by its key: entity, value and time.
    pub fn change(&self, noted: &Noted) -> Result<Option<StoredChange>, StoreError> {
        let sql = format!(
            "SELECT {CHANGE_COLUMNS} FROM change WHERE entity = ?1 AND id = ?2 AND item = ?3 AND at = ?4"
        );
        let at: Timestamp = noted.origin.at;
        let values = params![noted.entity.kind(), noted.entity.id(), noted.key.as_str(), at.micros()];
        self.one(self.reader.list("a change", &sql, values, change))
    }

    /// An entry of the same history about a caller list.
    pub fn listed(&self, row: &ListedRow) -> Result<Option<StoredChange>, StoreError> {
        let sql = format!(
            "SELECT {CHANGE_COLUMNS} FROM change WHERE entity = ?1 AND id = ?2 AND item = ?3 AND at = ?4"
        );
        let at: Timestamp = row.origin.at;
        let values = params![ListedRow::ENTITY, row.list.as_str(), ListedRow::ITEM, at.micros()];
        self.one(self.reader.list("a change of a caller list", &sql, values, change))
    }

    /// Groups of entries that do not sum to zero.
    pub fn imbalances(&self, limit: usize) -> Result<Vec<StoredImbalance>, StoreError> {
        self.reader.imbalances(limit)
    }

    /// Keys are unique: there is one or none.
    fn one<T>(&self, found: Result<Vec<T>, StoreError>) -> Result<Option<T>, StoreError> {
        Ok(found?.into_iter().next())
    }
}
