//! When campaigns take calls, and which of their plans do: `hours`, and `plan` or `plans`.
//!
//! Grammar and meaning of hours are in `domain::schedule`; this says what of several schedules could never come true.

use super::entries::Entries;
use super::file::{Field, Reader};
use super::values::{hours, zone};
use crate::domain::catalog::PlanIx;
use crate::domain::{Hours, Zone};

/// Most plans of one campaign.
const PLANS_MAX: usize = 64;
const PLAN: &str = "{plan = \"<plan>\", hours = [\"mon-fri 09:00-17:00\"]}, and the last one without `hours`";

/// What a campaign says of time.
pub(super) struct Schedules {
    /// The plan of all times that are not scheduled.
    pub(super) plan: PlanIx,
    pub(super) scheduled: Vec<(Hours, PlanIx)>,
    pub(super) zone: Zone,
    pub(super) hours: Option<Hours>,
}

/// Reads all four keys, whatever is wrong with one of them.
pub(super) fn schedules(r: &Reader<'_>, entries: &Entries<'_>) -> Option<Schedules> {
    let open = r.field("hours");
    let own = hours(&open);
    let plans = plans(r, entries, own.as_ref().filter(|hours| is_some_time(hours)));
    let (at, has_plans) = (r.field("zone"), r.field("plans").is_set());
    let zone = zone(&at);
    if !at.is_set() && (open.is_set() || has_plans) {
        at.missing("an IANA time zone, such as America/Chicago: whose clock the hours go by");
    }
    let (scheduled, plan) = plans?;
    // What is not there is not asked for.
    Some(Schedules { plan, scheduled, zone: zone.unwrap_or_else(Zone::utc), hours: own })
}

fn plans(
    r: &Reader<'_>,
    entries: &Entries<'_>,
    open: Option<&Hours>,
) -> Option<(Vec<(Hours, PlanIx)>, PlanIx)> {
    let (one, several) = (r.field("plan"), r.field("plans"));
    if !several.is_set() {
        return Some((Vec::new(), PlanIx(entries.plans.named_by(&one.required())?)));
    }
    if one.is_set() {
        several.wrong("stands beside `plan`", "one of the two");
    }
    let items = several.long_list(PLAN);
    if items.is_empty() || items.len() > PLANS_MAX {
        if several.raw().is_some_and(|value| value.is_array()) {
            several.wrong(format!("names {} plans", items.len()), &format!("1 to {PLANS_MAX}: {PLAN}"));
        }
        return None;
    }
    let read: Option<Vec<_>> = items.iter().map(|item| scheduled(item, entries)).collect();
    let mut read = read?;
    if !are_reached(&items, &read, open) {
        return None;
    }
    let (_, plan) = read.pop()?;
    Some((read.into_iter().filter_map(|(hours, plan)| Some((hours?, plan))).collect(), plan))
}

/// A plan and its hours; nothing if either is not what it should be.
fn scheduled(item: &Field<'_>, entries: &Entries<'_>) -> Option<(Option<Hours>, PlanIx)> {
    item.table(PLAN, |r| {
        let plan = entries.plans.named_by(&r.field("plan").required());
        let at = r.field("hours");
        let hours = hours(&at).filter(is_some_time);
        let is_whole = hours.is_some() || !at.is_set();
        is_whole.then_some((hours, PlanIx(plan?)))
    })?
}

/// Where nothing could be read there are no hours to judge by: what is wrong with them is said.
fn is_some_time(hours: &Hours) -> bool {
    *hours != Hours::default()
}

/// Only the last plan takes all other times, and each must have a time that those before it leave.
fn are_reached(items: &[Field<'_>], read: &[(Option<Hours>, PlanIx)], open: Option<&Hours>) -> bool {
    let last = read.len() - 1;
    for (at, ((hours, _), item)) in read.iter().zip(items).enumerate() {
        if hours.is_none() && at < last {
            items[at + 1].wrong(
                "is never reached: the plan before takes all other times",
                "the one without `hours` last",
            );
            return false;
        }
        let before: Vec<&Hours> = read[..at].iter().filter_map(|(hours, _)| hours.as_ref()).collect();
        let within: Vec<&Hours> = open.into_iter().chain(hours).collect();
        if !Hours::may_hold(&within, &before) {
            item.wrong(
                "is never reached: at all its hours the campaign is closed or has another plan before it",
                "hours that the plans before it leave",
            );
            return false;
        }
    }
    if read[last].0.is_some() {
        items[last].wrong("has hours, and calls at other times would have no plan", PLAN);
        return false;
    }
    true
}
