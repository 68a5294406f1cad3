//! What a step was decided by, as records keep it: enough to say its verdicts anew, and nothing that is personal.
//!
//! Written after the answer is out. Read back in `replay` and by `report`.

use super::decide::Ctx;
use super::subject::{Subject, kept};
use super::trail::shown;
use crate::auction::bid::clean_note;
use crate::domain::FloorRow;
use crate::domain::plan::Branch;
use crate::records::row::FactsRow;
use crate::routing::kept::{SUB_ID, TAGS, ZIP, looks_at, tag};
use crate::routing::{Facts, Located, floor_row};

/// What is kept of the facts of a step.
pub(super) fn facts(ctx: &Ctx, subject: &Subject<'_>, facts: &Facts<'_>) -> FactsRow {
    let snapshot = &ctx.in_force.snapshot;
    let catalog = &snapshot.catalog;
    let mut not_kept = Vec::new();
    let zip3 = match facts.zip {
        Located::Unknown => None,
        Located::Impossible => Some(0),
        Located::At(zip, _) => {
            not_kept.push(ZIP.to_owned());
            Some((zip.number() / 100) as u16)
        }
    };
    if facts.sub_id.is_some_and(|sub_id| kept(sub_id, ctx.request.tail) != sub_id) {
        not_kept.push(SUB_ID.to_owned());
    }
    for one in subject.tags.iter() {
        if clean_note(&one.key) != *one.key {
            not_kept.push(TAGS.to_owned());
        } else if shown(&one.key, one.value.as_text()) != one.value.as_text() {
            not_kept.push(tag(&one.key));
        }
    }
    let branches = match snapshot.rules.branches[subject.plan_ix.at()].as_slice() {
        // Most plans have none, and most calls keep all that they look at.
        compiled if compiled.is_empty() || not_kept.is_empty() => Vec::new(),
        compiled => {
            let mut branches: Vec<&Branch> = Vec::new();
            subject.plan.root.branches(&mut branches);
            let is_open = |branch: &&&Branch| {
                branch.when.iter().any(|filter| looks_at(filter, &not_kept))
                    && compiled[branch.number].hold(facts)
            };
            branches.iter().filter(is_open).map(|branch| branch.number as u32).collect()
        }
    };
    let floors = subject.line.map(|line| (line.campaign, &catalog.campaign(line.campaign).floors));
    let lacks_floors = |rows: &Vec<FloorRow>| {
        rows.iter().any(|row| row.when.iter().any(|filter| looks_at(filter, &not_kept)))
    };
    let floor_row = floors
        .filter(|(_, rows)| lacks_floors(rows))
        .and_then(|(campaign, _)| floor_row(&snapshot.rules.floors, campaign, facts));
    FactsRow {
        at: ctx.arrived,
        catalog: (ctx.step > 1).then(|| catalog.digest.to_string()),
        state: subject.state.clone(),
        geo_source: subject.geo_source,
        country: facts.country.map(str::to_owned),
        area_code: facts.area_code,
        zip3,
        attestation: facts.attestation,
        has_number: facts.has_number,
        not_kept,
        branches,
        lists: facts.lists.iter().map(|list| catalog.caller_list(*list).id.to_string()).collect(),
        earlier_attempts: facts.earlier_attempts,
        floor_row: floor_row.map(|row| row as u32),
        verified: facts.verified,
    }
}
