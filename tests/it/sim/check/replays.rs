//! Every recorded call is decided again by its records and the catalogs they name, and comes out as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use outcry::domain::Money;
use outcry::exchange::replay::{NotReplayable, replay};
use outcry::records::row::{AttemptRow, DecidedRow, TrailRow};
use outcry::records::stored::{
    StoredAttempt, StoredCall, StoredDecision, StoredFacts, StoredMoney, StoredOutcome, StoredTrail,
    StoredWhole,
};

use super::{Check, Promise};

/// Calls of a world that are decided again.
const CALLS_MAX: usize = 3_000;

impl Check {
    /// Decides the calls of this world again.
    pub(super) fn replays(&mut self, calls: &BTreeSet<u32>) {
        let mut differing = None;
        for n in calls.iter().take(CALLS_MAX) {
            let Some(known) = self.calls.get(n) else { continue };
            let Some(decided) = known.decided.as_deref() else { continue };
            if known.trails.values().any(|trail| !trail.is_final) {
                continue;
            }
            let whole = StoredWhole {
                call: Some(stored_call(decided)),
                trails: known.trails.values().map(stored_trail).collect(),
                attempts: known.attempts.values().map(stored_attempt).collect(),
                events: Vec::new(),
                entries: Vec::new(),
            };
            let mut catalog_of = |digest: &str| {
                self.catalogs.get(digest).map(Arc::clone).ok_or_else(|| format!("no catalog {digest}"))
            };
            let told = match replay(&whole, Money::from_micros(10_000), &mut catalog_of) {
                Ok(replayed) if replayed.is_equal => {
                    self.counts.replayed += 1;
                    continue;
                }
                Ok(replayed) => {
                    let steps = replayed.steps.iter().filter(|step| !step.is_equal);
                    let wrong = steps.flat_map(|step| {
                        let targets = step.targets.iter().filter(|target| !target.is_equal);
                        targets.map(|one| format!("step {}: {one:?}", step.step)).collect::<Vec<_>>()
                    });
                    wrong.collect::<Vec<_>>().join("; ")
                }
                Err(NotReplayable::Failed) => continue,
                Err(error) => error.to_string(),
            };
            differing = Some(format!("call {n} does not come out as it was recorded: {told}"));
            break;
        }
        if let Some(what) = differing {
            self.broke(Promise::Replays, what);
        }
    }
}

fn stored_call(row: &DecidedRow) -> StoredCall {
    StoredCall {
        call_id: row.keys.call_id,
        at: row.keys.at,
        campaign: row.keys.campaign.as_ref().map(ToString::to_string),
        publisher: row.keys.publisher.as_ref().map(ToString::to_string),
        decision: Some(StoredDecision {
            carrier: row.carrier.to_string(),
            carrier_call_id: row.carrier_call_id.clone(),
            test: row.test,
            number: row.number.clone(),
            sub_id: row.sub_id.clone(),
            caller: row.caller.clone(),
            caller_token: row.caller_token,
            state: row.state.clone(),
            basis: row.basis.to_owned(),
            action: row.action.to_owned(),
            reason: row.reason.code(),
            target: row.target.as_ref().map(ToString::to_string),
            buyer: row.buyer.as_ref().map(ToString::to_string),
            price: row.price,
            decided_us: row.decided_us,
            overhead_us: row.overhead_us,
            catalog: row.catalog.clone(),
        }),
        end: None,
        attempts: 0,
        money: StoredMoney::default(),
    }
}

fn stored_trail(row: &TrailRow) -> StoredTrail {
    let facts = row.facts.clone().map(|facts| StoredFacts {
        at: facts.at,
        catalog: facts.catalog,
        state: facts.state,
        geo_source: facts.geo_source.to_owned(),
        country: facts.country,
        area_code: facts.area_code,
        zip3: facts.zip3,
        attestation: facts.attestation,
        has_number: facts.has_number,
        not_kept: facts.not_kept,
        branches: facts.branches,
        lists: facts.lists,
        earlier_attempts: facts.earlier_attempts,
        floor_row: facts.floor_row,
        verified: facts.verified,
    });
    let outcome = |outcome: &outcry::records::row::OutcomeRow| StoredOutcome {
        target: outcome.target.to_string(),
        buyer: outcome.buyer.to_string(),
        reason: outcome.reason.code(),
        amount: outcome.amount,
        ping: outcome.ping,
        latency_us: outcome.latency_us,
        note: outcome.note.clone(),
    };
    StoredTrail {
        seq: 0,
        call_id: row.keys.call_id,
        step: row.step,
        is_final: row.is_final,
        at: row.keys.at,
        campaign: row.keys.campaign.as_ref().map(ToString::to_string),
        publisher: row.keys.publisher.as_ref().map(ToString::to_string),
        seed: row.seed,
        close: row.close.to_owned(),
        asked_us: row.asked_us,
        closed_us: row.closed_us,
        plan: row.plan.clone(),
        tags: row.tags.clone(),
        outcomes: row.outcomes.iter().map(outcome).collect(),
        turns: row.turns.clone(),
        facts,
    }
}

fn stored_attempt(row: &AttemptRow) -> StoredAttempt {
    StoredAttempt {
        call_id: row.keys.call_id,
        attempt: row.attempt,
        at: row.keys.at,
        campaign: None,
        publisher: None,
        step: row.step,
        test: row.test,
        offered_at: row.offered_at,
        basis: row.basis.to_owned(),
        reason: row.reason.code(),
        target: row.target.as_ref().map(ToString::to_string),
        buyer: row.buyer.as_ref().map(ToString::to_string),
        price: row.price,
        catalog: row.catalog.clone(),
        end: None,
    }
}
