//! Reading the embedded store, on a connection of its own: the list of queries a second store would have to answer.
//!
//! Read-only by flag and by setting; each query is one snapshot and short, so the writer is never held up and its log
//! can be folded in. What is shown, and in which words, is in `report`.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row as Line, ToSql, params};

use super::apply::MICROS_PER_HOUR;
use super::lines::{
    ATTEMPT_COLUMNS, CALL_COLUMNS, ENTRY_COLUMNS, EVENT_COLUMNS, attempt, call, call_id, entry, event, key,
    moment, money,
};
use super::{StoreError, open_read_only};
use crate::domain::{CallId, Reason, Timestamp};
use crate::records::packed;
use crate::records::row::CatalogRow;
use crate::records::stored::{
    CallQuery, PnlKey, StoredCall, StoredCatalog, StoredChange, StoredEntry, StoredImbalance, StoredMoney,
    StoredPnl, StoredReasonCount, StoredTotals, StoredTrail, StoredUse, StoredWhole,
};

/// A reader of the embedded store.
#[derive(Debug)]
pub struct Reader {
    pub(super) conn: Connection,
}

pub(super) const CHANGE_COLUMNS: &str =
    "seq, at, entity, id, item, happened, value, file_value, actor, asked_by";

impl Reader {
    /// Opens the store that is at `path`; it is never created here.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        Ok(Reader { conn: open_read_only(path)? })
    }

    /// Hourly counts by one key, over the whole hours that begin at `from`'s hour or later and before `to`.
    pub fn pnl(
        &self,
        key: PnlKey,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Vec<StoredPnl>, StoreError> {
        let (column, shown) = match key {
            PnlKey::Buyer => ("buyer", "(SELECT text FROM word WHERE id = p.buyer)"),
            PnlKey::Target => ("target", "(SELECT text FROM word WHERE id = p.target)"),
            PnlKey::Publisher => ("publisher", "(SELECT text FROM word WHERE id = p.publisher)"),
            PnlKey::Campaign => ("campaign", "(SELECT text FROM word WHERE id = p.campaign)"),
            PnlKey::Hour => ("hour", "strftime('%Y-%m-%dT%H:%M:%SZ', p.hour * 3600, 'unixepoch')"),
        };
        let order = if key == PnlKey::Hour { "p.hour" } else { "sum(p.revenue) DESC, sum(p.calls) DESC, 1" };
        let sql = format!(
            "SELECT {shown}, sum(p.calls), sum(p.ended), sum(p.connected), sum(p.billable), sum(p.talk_ms),
               sum(p.revenue), sum(p.payout), sum(p.margin)
             FROM pnl_hour p WHERE p.hour >= ?1 AND p.hour < ?2 GROUP BY p.{column} ORDER BY {order}"
        );
        self.list("the P&L", &sql, params![hour_from(from), hour_to(to)], |line| {
            Ok(StoredPnl {
                key: line.get(0)?,
                calls: line.get(1)?,
                ended: line.get(2)?,
                connected: line.get(3)?,
                billable: line.get(4)?,
                talk_ms: line.get(5)?,
                money: StoredMoney {
                    revenue: money(line, 6)?,
                    payout: money(line, 7)?,
                    margin: money(line, 8)?,
                },
            })
        })
    }

    /// Calls, newest first.
    pub fn calls(&self, query: &CallQuery, limit: usize) -> Result<Vec<StoredCall>, StoreError> {
        let sql = format!(
            "SELECT {CALL_COLUMNS} FROM call c
             WHERE c.at >= ?1 AND c.at < ?2 AND (c.at, c.call_id) < (?3, ?4)
               AND (?5 IS NULL OR c.campaign = (SELECT id FROM word WHERE text = ?5))
               AND (?6 IS NULL OR c.publisher = (SELECT id FROM word WHERE text = ?6))
               AND (?7 IS NULL OR (SELECT id FROM word WHERE text = ?7) IN (c.buyer, c.end_buyer))
               AND (?8 IS NULL OR ?8 IN (c.reason, c.end_reason))
             ORDER BY c.at DESC, c.call_id DESC LIMIT ?9"
        );
        let (after_at, after_id) =
            query.after.map_or((i64::MAX, [0xff; 16]), |(at, id)| (at.micros(), key(id)));
        // The end of the range is where a page begins: the index is entered there, and nothing newer is passed over.
        let values = params![
            query.since.map_or(i64::MIN, Timestamp::micros),
            query.until.map_or(i64::MAX, Timestamp::micros).min(after_at.saturating_add(1)),
            after_at,
            after_id,
            query.campaign,
            query.publisher,
            query.buyer,
            query.reason,
            rows(limit),
        ];
        self.list("calls", &sql, values, call)
    }

    /// Everything about one call, as of one moment.
    pub fn whole(&self, call_id: CallId) -> Result<StoredWhole, StoreError> {
        let what = "a call";
        let snapshot =
            self.conn.unchecked_transaction().map_err(|source| StoreError::Read { what, source })?;
        let sql = format!("SELECT {CALL_COLUMNS} FROM call c WHERE c.call_id = ?1");
        let found = self.list(what, &sql, params![key(call_id)], call)?;
        let trails = self.trails(
            "SELECT seq, call_id, step, is_final, doc FROM trail WHERE call_id = ?1 ORDER BY step",
            params![key(call_id)],
        )?;
        let sql = format!("SELECT {ATTEMPT_COLUMNS} FROM attempt a WHERE a.call_id = ?1 ORDER BY a.attempt");
        let attempts = self.list("the attempts of a call", &sql, params![key(call_id)], attempt)?;
        let sql = format!("SELECT {EVENT_COLUMNS} FROM event WHERE call_id = ?1 ORDER BY received, seq");
        let events = self.list("the events of a call", &sql, params![key(call_id)], event)?;
        let sql = format!("SELECT {ENTRY_COLUMNS} FROM ledger_entry e WHERE e.call_id = ?1 ORDER BY e.seq");
        let entries = self.list("the ledger of a call", &sql, params![key(call_id)], entry)?;
        snapshot.finish().map_err(|source| StoreError::Read { what, source })?;
        Ok(StoredWhole { call: found.into_iter().next(), trails, attempts, events, entries })
    }

    /// Final steps after a place in the order of the store, oldest first.
    pub fn trails_after(&self, seq: i64, limit: usize) -> Result<Vec<StoredTrail>, StoreError> {
        self.trails(
            "SELECT seq, call_id, step, is_final, doc FROM trail WHERE seq > ?1 AND is_final = 1
             ORDER BY seq LIMIT ?2",
            params![seq, rows(limit)],
        )
    }

    /// Steps with pending outcomes after a place in the order of the store, oldest first, and whether each is a test call's.
    pub fn pending_trails(&self, seq: i64, limit: usize) -> Result<Vec<(StoredTrail, bool)>, StoreError> {
        let trails = self.trails(
            "SELECT seq, call_id, step, is_final, doc FROM trail WHERE seq > ?1 AND is_final = 0
             ORDER BY seq LIMIT ?2",
            params![seq, rows(limit)],
        )?;
        let sql = "SELECT coalesce(test, 0) FROM call WHERE call_id = ?1";
        let is_test = |trail: &StoredTrail| {
            let found: Vec<bool> =
                self.list("a call", sql, params![key(trail.call_id)], |line| line.get(0))?;
            Ok(found.contains(&true))
        };
        trails.into_iter().map(|trail| is_test(&trail).map(|test| (trail, test))).collect()
    }

    /// Ledger entries after a place in the order of the store, oldest first.
    pub fn entries_after(&self, seq: i64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        let sql =
            format!("SELECT {ENTRY_COLUMNS} FROM ledger_entry e WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2");
        self.list("the ledger", &sql, params![seq, rows(limit)], entry)
    }

    /// How targets ended, over whole hours: per target its `top` most frequent reasons, most frequent first.
    pub fn reasons(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        top: usize,
    ) -> Result<Vec<StoredReasonCount>, StoreError> {
        self.list(
            "reasons",
            "WITH sums AS (SELECT buyer, target, reason, sum(count) AS n FROM outcome_hour
                 WHERE hour >= ?1 AND hour < ?2 GROUP BY buyer, target, reason),
               ranked AS (SELECT *, row_number() OVER (PARTITION BY buyer, target ORDER BY n DESC, reason) AS place
                 FROM sums)
             SELECT b.text, t.text, r.reason, r.n FROM ranked r
               JOIN word b ON b.id = r.buyer JOIN word t ON t.id = r.target
             WHERE r.place <= ?3 ORDER BY b.text, t.text, r.place",
            params![hour_from(from), hour_to(to), rows(top)],
            |line| {
                Ok(StoredReasonCount {
                    buyer: line.get(0)?,
                    target: line.get(1)?,
                    reason: line.get(2)?,
                    count: line.get(3)?,
                })
            },
        )
    }

    /// What attempts handed out at `since` or later use of daily caps.
    pub fn uses(&self, since: Timestamp) -> Result<Vec<StoredUse>, StoreError> {
        self.list(
            "the use of caps",
            "SELECT b.text, t.text, a.offered_at / 900000000 * 900000000 AS quarter,
               total(a.billable), total(a.ended_at IS NULL OR a.end_reason = ?2)
             FROM attempt a JOIN word b ON b.id = a.buyer JOIN word t ON t.id = a.target
             WHERE a.offered_at >= ?1 AND a.test = 0 AND a.target > 0
             GROUP BY a.buyer, a.target, quarter",
            params![since.micros(), Reason::Unresolved.code()],
            |line| {
                Ok(StoredUse {
                    buyer: line.get(0)?,
                    target: line.get(1)?,
                    quarter: moment(line, 2)?,
                    posted: line.get::<_, f64>(3)? as u32,
                    unresolved: line.get::<_, f64>(4)? as u32,
                })
            },
        )
    }

    /// Groups of entries that do not sum to zero; looks at the whole ledger.
    pub fn imbalances(&self, limit: usize) -> Result<Vec<StoredImbalance>, StoreError> {
        self.list(
            "the balance of the ledger",
            "SELECT call_id, grp, sum(amount) FROM ledger_entry GROUP BY call_id, grp HAVING sum(amount) <> 0 LIMIT ?1",
            params![rows(limit)],
            |line| {
                Ok(StoredImbalance { call_id: call_id(line, 0)?, group: line.get(1)?, sum: money(line, 2)? })
            },
        )
    }

    /// How much the store holds; counts whole tables.
    pub fn totals(&self) -> Result<StoredTotals, StoreError> {
        self.conn
            .query_row(
                "SELECT (SELECT value FROM meta WHERE key = 'batch_no'), (SELECT count(*) FROM call),
                   (SELECT count(*) FROM call WHERE ended_at IS NOT NULL),
                   (SELECT count(*) FROM trail WHERE is_final = 1), (SELECT count(*) FROM trail WHERE is_final = 0),
                   (SELECT count(*) FROM attempt), (SELECT count(*) FROM event), (SELECT count(*) FROM ledger_entry)",
                (),
                |line| {
                    Ok(StoredTotals {
                        batch_no: line.get(0)?,
                        calls: line.get(1)?,
                        ended: line.get(2)?,
                        steps: line.get(3)?,
                        pending_steps: line.get(4)?,
                        attempts: line.get(5)?,
                        events: line.get(6)?,
                        entries: line.get(7)?,
                    })
                },
            )
            .map_err(|source| StoreError::Read { what: "totals", source })
    }

    /// The text of a catalog by its digest, all its parts put together.
    pub fn catalog(&self, digest: &str) -> Result<Option<StoredCatalog>, StoreError> {
        let Some(mut catalog) = self.catalog_part(digest)? else { return Ok(None) };
        for at in 1.. {
            let Some(part) = self.catalog_part(&CatalogRow::part_name(digest, at))? else { break };
            catalog.text.push_str(&part.text);
        }
        Ok(Some(catalog))
    }

    /// One part of such a text by its name.
    pub(super) fn catalog_part(&self, digest: &str) -> Result<Option<StoredCatalog>, StoreError> {
        self.conn
            .query_row("SELECT digest, text, since FROM catalog WHERE digest = ?1", [digest], |line| {
                Ok(StoredCatalog { digest: line.get(0)?, text: line.get(1)?, since: moment(line, 2)? })
            })
            .optional()
            .map_err(|source| StoreError::Read { what: "a catalog", source })
    }

    /// What is laid over the files, in the order in which it was changed: of every entity and key the last entry, where
    /// that laid a value.
    pub fn changes_laid(&self) -> Result<Vec<StoredChange>, StoreError> {
        let sql = format!(
            "SELECT {CHANGE_COLUMNS} FROM change
             WHERE seq IN (SELECT max(seq) FROM change GROUP BY entity, id, item) AND happened = 'set' ORDER BY seq"
        );
        self.list("the changes", &sql, params![], change)
    }

    /// The history of changes after a place in the order of the store, oldest first.
    pub fn changes_after(&self, seq: i64, limit: usize) -> Result<Vec<StoredChange>, StoreError> {
        let sql = format!("SELECT {CHANGE_COLUMNS} FROM change WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        self.list("the history of changes", &sql, params![seq, rows(limit)], change)
    }

    #[cfg(test)]
    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    pub(super) fn list<T>(
        &self,
        what: &'static str,
        sql: &str,
        values: &[&dyn ToSql],
        read: impl FnMut(&Line<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let all = || {
            let mut statement = self.conn.prepare_cached(sql)?;
            let lines = statement.query_map(values, read)?;
            lines.collect::<rusqlite::Result<Vec<T>>>()
        };
        all().map_err(|source| StoreError::Read { what, source })
    }

    pub(super) fn trails(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<StoredTrail>, StoreError> {
        let packed = self.list("outcomes", sql, values, |line| {
            Ok((line.get(0)?, call_id(line, 1)?, line.get(2)?, line.get(3)?, line.get::<_, Vec<u8>>(4)?))
        })?;
        packed
            .into_iter()
            .map(|(seq, call_id, step, is_final, doc)| packed::unpack(seq, call_id, step, is_final, &doc))
            .collect::<Result<_, _>>()
            .map_err(|source| StoreError::Unpack { source })
    }
}

pub(super) fn change(line: &Line<'_>) -> rusqlite::Result<StoredChange> {
    Ok(StoredChange {
        seq: line.get(0)?,
        at: moment(line, 1)?,
        entity: line.get(2)?,
        id: line.get(3)?,
        key: line.get(4)?,
        happened: line.get(5)?,
        value: line.get(6)?,
        file: line.get(7)?,
        actor: line.get(8)?,
        by: line.get(9)?,
    })
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn hour_from(from: Option<Timestamp>) -> i64 {
    from.map_or(i64::MIN, |from| from.micros().div_euclid(MICROS_PER_HOUR))
}

/// The first hour not counted: one that has begun before `to` is counted whole.
fn hour_to(to: Option<Timestamp>) -> i64 {
    to.map_or(i64::MAX, |to| to.micros().saturating_add(MICROS_PER_HOUR - 1).div_euclid(MICROS_PER_HOUR))
}
