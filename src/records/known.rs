//! A recorded step as rules are judged by it anew: the facts that were kept, in terms of the catalog of its digest.
//!
//! Which facts are not kept is in the record, and so is what was decided by them; nothing is judged here.

use std::sync::Arc;

use super::stored::{StoredDecision, StoredFacts, StoredTrail};
use crate::domain::catalog::Pricing;
use crate::domain::{CallerListIx, Catalog, E164, Filter, SetBy, TagValue, Tags, Target, TrackingNumber};
use crate::routing::filter::Compiled;
use crate::routing::kept::looks_at;
use crate::routing::{Facts, Located, floor_row};

/// What is known of a recorded step.
#[derive(Debug)]
pub struct Known<'a> {
    /// The catalog it was decided by.
    pub catalog: &'a Catalog,
    /// The dialled number, where it was ours.
    pub number: Option<&'a TrackingNumber>,
    facts: &'a StoredFacts,
    sub_id: Option<&'a str>,
    tags: Tags,
    lists: Vec<CallerListIx>,
}

impl<'a> Known<'a> {
    /// Of a step and its call's decision; `None` where its facts are not there.
    pub fn of(catalog: &'a Catalog, trail: &'a StoredTrail, call: &'a StoredDecision) -> Option<Known<'a>> {
        let number = E164::parse(&call.number).and_then(|number| catalog.number(number));
        let mut tags = Tags::default();
        for (key, value) in &trail.tags {
            // One that does not fit was not kept as it came.
            let _ = tags.add(Arc::clone(key), TagValue::Text(Arc::clone(value)), SetBy::Carrier);
        }
        let facts = trail.facts.as_ref()?;
        let mut lists: Vec<CallerListIx> = (0..catalog.caller_lists.len() as u32).map(CallerListIx).collect();
        lists.retain(|ix| facts.lists.iter().any(|id| *id == *catalog.caller_list(*ix).id.as_str()));
        Some(Known {
            catalog,
            // A number that had another campaign by then was nobody's.
            number: number.filter(|_| trail.campaign.is_some()),
            facts,
            lists,
            sub_id: call.sub_id.as_deref(),
            tags,
        })
    }

    /// The facts, as far as they are kept.
    pub fn facts(&self) -> Facts<'_> {
        let (kept, catalog) = (self.facts, self.catalog);
        Facts {
            state: kept.state.as_deref(),
            country: kept.country.as_deref(),
            area_code: kept.area_code,
            // What looks at a ZIP that is not kept whole is not judged by this.
            zip: if kept.zip3 == Some(0) { Located::Impossible } else { Located::Unknown },
            publisher: self.number.map(|number| catalog.publisher(number.publisher).id.as_str()),
            campaign: self.number.map(|number| catalog.campaign(number.campaign).id.as_str()),
            sub_id: self.sub_id,
            dialled: self.number.map(|number| number.number),
            attestation: kept.attestation,
            verified: kept.verified,
            has_number: kept.has_number,
            lists: &self.lists,
            tags: &self.tags,
            now: kept.at,
            earlier_attempts: kept.earlier_attempts,
        }
    }

    /// Whether a filter looks at something that is not kept.
    pub fn lacks(&self, filter: &Filter) -> bool {
        looks_at(filter, &self.facts.not_kept)
    }

    /// The row of the campaign's floors that holds for the call, as it was recorded where one of them looks at what is not
    /// kept; `rows` are those of all campaigns, compiled.
    pub fn floor_row(&self, rows: &[Vec<Compiled>]) -> Option<usize> {
        let campaign = self.number?.campaign;
        let floors = &self.catalog.campaign(campaign).floors;
        match floors.iter().any(|row| row.when.iter().any(|filter| self.lacks(filter))) {
            true => self.facts.floor_row.map(|row| row as usize),
            false => floor_row(rows, campaign, &self.facts()),
        }
    }

    /// Whether a target's price rests on a fact that is not kept: a row of its table looks at one.
    pub fn lacks_price(&self, target: &Target) -> bool {
        let Pricing::Table(table) = &target.pricing else { return false };
        table.rows.iter().any(|row| row.when.iter().any(|filter| self.lacks(filter)))
    }

    /// Whether a branch that looks at such a fact was open to the call.
    pub fn was_open(&self, branch: usize) -> bool {
        self.facts.branches.contains(&(branch as u32))
    }
}
