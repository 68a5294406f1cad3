//! Changes of caller lists, as the office carries them out: worked out and merged where nobody waits, on disk before they
//! count.

use super::laid;
use super::office::{Office, handed_in, stored};
use crate::admin::order::{Listing, NotChanged};
use crate::domain::Timestamp;
use crate::domain::caller_list::ListVerb;
use crate::domain::change::Origin;
use crate::records::entry::{Entry, ListPart, Put};
use crate::records::row::{ListedRow, Row};
use crate::state::callers::{Content, Difference};
use crate::telemetry::event;

impl Office {
    /// Changes a list as was asked, all of it or nothing. As every change it counts when it is on disk, and where the disk
    /// does not answer in time it counts all the same, and whoever asked is told. `last` is when the last one was made:
    /// each has a moment of its own.
    pub(super) async fn list(&self, listing: Listing, last: &mut Timestamp) -> Result<ListedRow, NotChanged> {
        let Listing { asked, actor, by } = listing;
        let (list, verb) = (asked.list.clone(), asked.verb);
        let exchange = &self.exchange;
        let is_known = exchange.in_force.load().snapshot.catalog.caller_list_named(&list).is_some();
        let puts_on = verb == ListVerb::Add || asked.named != Content::default() && verb == ListVerb::Replace;
        // Who is on a list that the files do not have any more can be taken off it.
        if !is_known && puts_on {
            return Err(NotChanged::Unknown);
        }
        let lists = exchange.callers.load_full();
        // A million callers are merged in some ten milliseconds, which the operators' thread has other uses for.
        let worked_out = tokio::task::spawn_blocking(move || {
            let difference = lists.difference(&asked)?;
            let next = lists.after(&asked.list, &difference);
            Ok((difference, next))
        });
        let (difference, next) = worked_out
            .await
            .map_err(|error| NotChanged::NotStored(error.to_string()))?
            .map_err(NotChanged::NoRoom)?;
        let at = exchange.clock.now().max(Timestamp::from_micros(last.micros() + 1));
        let counted = next.count(&list);
        let count = |content: &Content| (content.numbers.len() + content.prefixes.len()) as u64;
        let row = ListedRow {
            list: list.clone(),
            verb,
            added: count(&difference.added),
            removed: count(&difference.removed),
            numbers: counted.numbers as u64,
            prefixes: counted.prefixes as u64,
            origin: Origin { actor, by, at },
        };
        if difference.is_empty() {
            // It was so already: then it waits for what made it so.
            let written = laid::commit(&exchange.recorder, vec![Entry::default()]);
            return stored(handed_in(written).await).map(|()| row);
        }
        let done = stored(handed_in(laid::commit(&exchange.recorder, entries(&row, &difference))).await);
        if let Err(NotChanged::NotStored(error)) = &done {
            event::records_fault(&format!("a caller list was not changed: {error}"));
            return Err(NotChanged::NotStored(error.clone()));
        }
        exchange.callers.put(next);
        *last = at;
        event::listed(&list, (row.added, row.removed), row.numbers + row.prefixes, &row.origin);
        done.map(|()| row)
    }

    /// How much is on each list, at a start.
    pub(super) fn tell_lists(&self) {
        for counted in self.exchange.callers.load().counts() {
            event::caller_list(&counted.list, (counted.numbers + counted.prefixes) as u64);
        }
    }
}

/// The parts of a change, the history with the last.
fn entries(row: &ListedRow, difference: &Difference) -> Vec<Entry> {
    let parts = ListPart::of(&row.list, difference);
    let entry = |part: ListPart| {
        let rows = if part.is_last { vec![Row::Listed(Box::new(row.clone()))] } else { Vec::new() };
        Entry { rows, state: vec![Put::Callers(Box::new(part))] }
    };
    parts.into_iter().map(entry).collect()
}
