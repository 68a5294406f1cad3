//! Steps whose pings were out when the process ended that asked: nobody reads their replies any more, so each of these
//! targets gets its one outcome from the next start.
//!
//! The store says which they are, as soon as it has all that the process before wrote and nothing of this one; what is
//! final goes the way of every row, by the journal. So it is written once: a start that is cut short before it is on
//! disk finds them as they were.

use super::entry::{self, Entry};
use super::row::Row;
use super::sqlite::{Reader, StoreError};
use super::stored::StoredTrail;
use crate::domain::Reason;

/// Steps read from the store, and written, at once.
const AT_ONCE: usize = 64;

/// Hands in the last outcomes of every step that has a pending one; says how many cannot be read.
pub(super) fn settle(reader: &Reader, hand_in: impl Fn(Entry)) -> Result<usize, StoreError> {
    let (mut after, mut unread) = (0, 0);
    loop {
        let trails = reader.pending_trails(after, AT_ONCE)?;
        let Some((last, _)) = trails.last() else { return Ok(unread) };
        after = last.seq;
        let count = trails.len();
        let rows: Vec<Row> = trails.into_iter().filter_map(|(trail, test)| settled(trail, test)).collect();
        unread += count - rows.len();
        hand_in(rows.into());
    }
}

/// The step as it stays; `None` where a word of it is not known to this version.
fn settled(trail: StoredTrail, test: bool) -> Option<Row> {
    let mut row = entry::trail(StoredTrail { is_final: true, ..trail }, test).ok()?;
    for outcome in row.outcomes.iter_mut().filter(|outcome| outcome.reason == Reason::Pending) {
        outcome.reason = Reason::Interrupted;
    }
    Some(Row::Trail(Box::new(row)))
}
