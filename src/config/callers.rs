//! Caller lists: what they are called, and who does not want whoever is on them. Who is on them is in no file.

use std::collections::BTreeSet;

use super::entries::Entries;
use super::file::Field;
use super::problem::Problem;
use super::target::NAME_MAX;
use crate::domain::{CallerList, CallerListId, CallerListIx, Catalog};

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

/// Lists that nobody names: who is put on them is blocked nowhere.
pub(super) fn unused(catalog: &Catalog, entries: &Entries<'_>, into: &mut Vec<Problem>) {
    let blocked = catalog.campaigns.iter().map(|one| &one.blocked_callers);
    let blocked = blocked.chain(catalog.publishers.iter().map(|one| &one.blocked_callers));
    let suppressed = catalog.buyers.iter().map(|one| &one.suppressed_callers);
    let suppressed = suppressed.chain(catalog.targets.iter().map(|one| &one.suppressed_callers));
    let named: BTreeSet<usize> = blocked.chain(suppressed).flatten().map(|list| list.at()).collect();
    let unused = entries.caller_lists.iter().enumerate().filter(|(at, _)| !named.contains(at));
    into.extend(
        unused.map(|(_, (_, field))| field.problem("is named by nobody: it keeps no caller away", "", None)),
    );
}
