//! What the store knows, for people and programs: P&L, calls, outcomes, ledger, and the whole story of one call.
//!
//! The command line prints these documents and the admin API serialises them; both say the same in the same words.
//! Nothing here writes, knows SQL, or decides who may see what. Amounts are decimal strings, times RFC 3339, callers
//! masked as the rows are.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::{CallId, Timestamp};
use crate::records::sqlite::{Reader, StoreError};
use crate::records::stored::{CallQuery, StoredPnl};

mod callers;
mod changes;
mod cut;
mod explain;
mod print;
mod rows;
mod rules;
#[cfg(test)]
mod tests;
mod text;
mod upkeep;

pub use callers::{CallerLists, ListChanged, ListRow, OnList};
pub use changes::{Changes, EntityValues, NotedPage, NotedRow, Shown, ValueRow, changes, history, values};
pub use cut::{As, ForBuyer, ForPublisher, OwnAttempt, OwnEnd, OwnEntry, OwnOutcome, Told};
pub use explain::{
    Explained, ExplainedAttempt, ExplainedDecision, ExplainedEnd, ExplainedEvent, ExplainedFacts,
    ExplainedLedger, explain, explain_by,
};
pub use print::{Cell, Column, Format, Printed, Style, print};
pub use rows::{By, CallPage, CallRow, EntryPage, EntryRow, OutcomeRow, Pnl, PnlRow, StepPage, StepRow};
pub use rules::{CatalogOf, RuleRow};
pub use upkeep::{COMMIT_MOST, CheckedStore, JournalRow, SpeedRow, THROUGHPUT_LEAST, TallyRow};

/// Profit and loss of the calls that arrived in the whole hours from `since`'s to the one that ends at `until` or
/// later, grouped and, but for hours, the highest revenue first. Money is that of the calls, whenever it was booked.
pub fn pnl(
    reader: &Reader,
    by: By,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Pnl, StoreError> {
    let groups = reader.pnl(by.key(), since, until)?;
    let mut total = StoredPnl { key: "total".to_owned(), ..StoredPnl::default() };
    for group in &groups {
        rows::add(&mut total, group);
    }
    Ok(Pnl { by, rows: groups.into_iter().map(PnlRow::from).collect(), total: PnlRow::from(total) })
}

/// Calls, newest first, at most `limit`.
pub fn calls(reader: &Reader, query: &CallQuery, limit: usize) -> Result<CallPage, StoreError> {
    // One more than asked for tells whether the list goes on.
    let mut found = reader.calls(query, limit.saturating_add(1))?;
    let goes_on = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| goes_on).map(|last| call_cursor(last.at, last.call_id));
    Ok(CallPage { calls: found.into_iter().map(CallRow::from).collect(), next })
}

/// Steps whose outcomes are all final, in the order they became so, at most `limit` after `cursor` (0 at first). A
/// step comes once: reading on with each page's `next` sees every one.
pub fn outcomes(reader: &Reader, cursor: i64, limit: usize) -> Result<StepPage, StoreError> {
    let found = reader.trails_after(cursor, limit)?;
    let next = found.last().map_or(cursor, |last| last.seq);
    Ok(StepPage { steps: found.into_iter().map(StepRow::from).collect(), next })
}

/// Ledger entries in the order of the store, at most `limit` after `cursor` (0 at first). An entry comes once:
/// reading on with each page's `next` sees every one.
pub fn ledger(reader: &Reader, cursor: i64, limit: usize) -> Result<EntryPage, StoreError> {
    let found = reader.entries_after(cursor, limit)?;
    let next = found.last().map_or(cursor, |last| last.seq);
    Ok(EntryPage { entries: found.into_iter().map(EntryRow::from).collect(), next })
}

/// What `CallQuery::after` takes, from the `next` of a page; `None` for anything else.
pub fn read_call_cursor(cursor: &str) -> Option<(Timestamp, CallId)> {
    let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
    let (at, id) = bytes.split_at(8);
    let at = i64::from_be_bytes(at.try_into().ok()?);
    let id = u128::from_be_bytes(id.try_into().ok()?);
    Some((Timestamp::from_micros(at), CallId::from_bits(id)))
}

fn call_cursor(at: Timestamp, id: CallId) -> String {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&at.micros().to_be_bytes());
    bytes[8..].copy_from_slice(&id.bits().to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}
