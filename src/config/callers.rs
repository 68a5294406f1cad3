//! Caller lists: what they are called, and who does not want whoever is on them. Who is on them is in no file.

use super::entries::Entries;
use super::file::Field;
use super::target::NAME_MAX;
use crate::domain::{CallerList, CallerListId, CallerListIx};

/// Most lists that one entry names.
const NAMED_MAX: usize = 16;

/// Reads one list.
pub(super) fn list(id: &str, field: &Field<'_>) -> Option<CallerList> {
    field.table("a table", |r| {
        let note = r.field("note").label(NAME_MAX);
        Some(CallerList { id: CallerListId::parse(id).ok()?, note: note.unwrap_or_default() })
    })?
}

/// Reads the names of lists, each once; in the order of their positions.
pub(super) fn lists(field: &Field<'_>, entries: &Entries<'_>) -> Vec<CallerListIx> {
    let items = field.list("a list of caller lists such as [\"dnc\"]");
    if field.is_set() && (items.is_empty() || items.len() > NAMED_MAX) {
        let what =
            if items.is_empty() { "names nothing".to_owned() } else { format!("names {}", items.len()) };
        field.wrong(what, &format!("1 to {NAMED_MAX} caller lists, or none of this key"));
    }
    let mut named: Vec<CallerListIx> = Vec::new();
    for item in &items {
        let Some(at) = entries.caller_lists.named_by(item).map(CallerListIx) else { continue };
        if named.contains(&at) {
            item.wrong("stands twice", "each list once");
        } else {
            named.push(at);
        }
    }
    named.sort_unstable();
    named
}
