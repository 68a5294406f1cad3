//! Callers that somebody does not want: suppressed for a buyer or target, blocked for a campaign or publisher.
//!
//! Which lists a caller is on comes as a fact. A caller without a valid number is on none; who does not want those says so
//! by a filter.

use super::{Facts, Judged, Truth};
use crate::domain::{CallerListIx, Campaign, Catalog, Publisher, Target};

/// The first of these lists that the caller is on, who is on `own`.
fn first_on(lists: &[CallerListIx], own: &[CallerListIx]) -> Option<CallerListIx> {
    lists.iter().copied().find(|list| own.contains(list))
}

/// The list for which a target is not asked about the caller: its buyer's first, then its own.
pub(super) fn suppressed(catalog: &Catalog, target: &Target, facts: &Facts<'_>) -> Option<CallerListIx> {
    // Most calls are on no list, and there may be ten thousand targets to look at.
    if facts.lists.is_empty() {
        return None;
    }
    let buyers = &catalog.buyer(target.buyer).suppressed_callers;
    first_on(buyers, facts.lists).or_else(|| first_on(&target.suppressed_callers, facts.lists))
}

/// The list for which the whole call of a caller who is on `own` is not sold: the campaign's first, then the publisher's.
pub fn blocked(campaign: &Campaign, publisher: &Publisher, own: &[CallerListIx]) -> Option<CallerListIx> {
    first_on(&campaign.blocked_callers, own).or_else(|| first_on(&publisher.blocked_callers, own))
}

/// The value that decided: which list.
pub fn on_list(catalog: &Catalog, list: CallerListIx) -> String {
    format!("on {}", catalog.caller_list(list).id)
}

/// The rules of a target and its buyer, where they have any.
pub(super) fn judged(catalog: &Catalog, target: &Target, facts: &Facts<'_>) -> Vec<Judged> {
    let buyers = &catalog.buyer(target.buyer).suppressed_callers;
    let lists = [("buyer", buyers), ("target", &target.suppressed_callers)];
    let rule = |(whose, lists): (&str, &Vec<CallerListIx>)| {
        let names: Vec<&str> = lists.iter().map(|list| catalog.caller_list(*list).id.as_str()).collect();
        let on = first_on(lists, facts.lists);
        (!lists.is_empty()).then(|| Judged {
            rule: format!("caller is on no list of the {whose}: {}", names.join(", ")),
            truth: Truth::from(on.is_none()),
            saw: match on {
                Some(list) => on_list(catalog, list),
                None if facts.has_number => "on none".to_owned(),
                None => "no number: on none".to_owned(),
            },
        })
    };
    lists.into_iter().filter_map(rule).collect()
}
