//! One call from its arrival to the last entry of its ledger: why it went where it went, and who owes what.
//!
//! The document for programs; `text` makes one for a person of it. It repeats what was recorded and judges nothing
//! again; to decide the call anew is the business of `replay`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::rows::{EntryRow, StepRow, meaning, ms, reason};
use super::rules::{CatalogOf, Judging};
use crate::domain::{CallId, Money, Timestamp};
use crate::records::known::Known;
use crate::records::sqlite::{Reader, StoreError};
use crate::records::stored::{
    StoredAttempt, StoredDecision, StoredEnd, StoredEndFacts, StoredEntry, StoredEvent, StoredMoney,
    StoredWhole,
};

/// Everything known of one call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Explained {
    /// The call.
    pub call_id: String,
    /// Its arrival; none when nothing but events of it is known.
    #[schema(example = "2026-11-20T09:00:00.000Z")]
    pub at: Option<String>,
    /// The campaign, unless the number was unknown.
    pub campaign: Option<String>,
    /// The publisher, unless the number was unknown.
    pub publisher: Option<String>,
    /// Its first decision; none when that was not recorded (yet).
    pub decision: Option<ExplainedDecision>,
    /// Its steps, in order.
    pub steps: Vec<StepRow>,
    /// Its attempts, in the order they were handed out.
    pub attempts: Vec<ExplainedAttempt>,
    /// Its events, in the order they were received.
    pub events: Vec<ExplainedEvent>,
    /// Its end, when known: that of the attempt that decided it.
    pub end: Option<ExplainedEnd>,
    /// Its money.
    pub ledger: ExplainedLedger,
    /// Why no rule is shown: the catalog it was decided by cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules_fault: Option<String>,
}

/// The first decision of a call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplainedDecision {
    /// The carrier that asked.
    pub carrier: String,
    /// Its name for the call.
    pub carrier_call_id: String,
    /// Never billed.
    pub test: bool,
    /// The number dialled.
    pub number: String,
    /// The publisher's label.
    pub sub_id: Option<String>,
    /// The caller, masked.
    #[schema(example = "+1512*****23")]
    pub caller: String,
    /// The caller's state.
    pub state: Option<String>,
    /// Where the place comes from: `ivr publisher carrier area_code none`.
    #[schema(example = "area_code")]
    pub geo_source: Option<String>,
    /// `auction static quote redial terminal`.
    pub basis: String,
    /// `dial gather voicemail message hangup`.
    pub action: String,
    /// Why this answer.
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    /// Who was to take the call.
    pub target: Option<String>,
    /// Its buyer.
    pub buyer: Option<String>,
    /// The price held.
    #[schema(example = "25.50")]
    pub price: Option<String>,
    /// From the request read to the answer ready, in milliseconds.
    pub decided_in_ms: f64,
    /// The share of it that is not waiting for buyers, in milliseconds; none when a connection had to be opened first.
    pub overhead_in_ms: Option<f64>,
    /// Digest of the catalog it was decided by.
    pub catalog: String,
}

/// One try at one target.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplainedAttempt {
    /// Its number within the call.
    pub attempt: u32,
    /// The step that handed it out.
    pub step: u32,
    /// The target; none for the plan's own last destination.
    pub target: Option<String>,
    /// Its buyer.
    pub buyer: Option<String>,
    /// The price held.
    #[schema(example = "25.50")]
    pub price: Option<String>,
    /// `auction static quote redial terminal`.
    pub basis: String,
    /// Why it was handed out.
    #[schema(example = "won")]
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    /// When it was handed out: the days of its caps are those of this moment.
    pub offered_at: String,
    /// From the arrival of the call to the attempt handed out, in milliseconds.
    pub offered_after_ms: f64,
    /// Digest of the catalog it was handed out by.
    pub catalog: String,
    /// Its end; none while it is in progress, or when the exchange ended before it.
    pub end: Option<ExplainedFacts>,
}

/// A carrier's event.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplainedEvent {
    /// The carrier's id of it.
    pub event_id: String,
    /// `ringing answered bridged ended …`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The attempt, for events of a leg.
    pub attempt: Option<u32>,
    /// The carrier's time.
    pub at: Option<String>,
    /// Our time.
    pub received: String,
    /// From the arrival of the call to the event received, in milliseconds.
    pub after_ms: Option<f64>,
    /// Its cause, talk time and originator.
    pub detail: String,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplainedEnd {
    /// Who took it.
    pub target: Option<String>,
    /// Its buyer.
    pub buyer: Option<String>,
    /// How it ended.
    #[serde(flatten)]
    pub facts: ExplainedFacts,
}

/// How a call or an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplainedFacts {
    /// When, by our clock.
    pub ended_at: String,
    /// `billable`, or why not.
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    /// Whether target and caller were connected.
    pub connected: bool,
    /// Talk time in milliseconds.
    pub talk_ms: u64,
    /// Where the talk time comes from: `carrier event_times derived none`.
    pub talk_source: String,
    /// `caller target carrier exchange unknown`.
    pub ended_by: String,
    /// Whether the buyer owes.
    pub billable: bool,
    /// Whether the publisher earns.
    pub payable: bool,
    /// What is left came out below zero although the campaign allows it.
    pub negative_margin: bool,
}

/// The ledger of a call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplainedLedger {
    /// Its entries, in the order they were booked.
    pub entries: Vec<EntryRow>,
    /// Their sum.
    #[schema(example = "0.00")]
    pub sum: String,
    /// Whether every group sums to zero; if not, something is wrong in the exchange.
    pub is_balanced: bool,
    /// Buyer to us.
    pub revenue: String,
    /// Us to publisher.
    pub payout: String,
    /// What is left.
    pub margin: String,
}

/// Reads the whole story of a call; `None` when the store has nothing of it.
pub fn explain(reader: &Reader, call_id: CallId) -> Result<Option<Explained>, StoreError> {
    Ok(explained(call_id, reader.whole(call_id)?))
}

/// The same, with every rule over every target: `catalog_of` gives a catalog by its digest.
pub fn explain_by(
    reader: &Reader,
    call_id: CallId,
    catalog_of: &mut CatalogOf<'_>,
) -> Result<Option<Explained>, StoreError> {
    let whole = reader.whole(call_id)?;
    let Some(mut document) = explained(call_id, whole.clone()) else { return Ok(None) };
    let decision = whole.call.as_ref().and_then(|call| call.decision.as_ref());
    for (step, trail) in document.steps.iter_mut().zip(&whole.trails) {
        let (Some(decision), Some(facts)) = (decision, &trail.facts) else { continue };
        let catalog = match catalog_of(facts.catalog.as_ref().unwrap_or(&decision.catalog)) {
            Ok(catalog) => catalog,
            Err(fault) => {
                document.rules_fault = Some(fault);
                continue;
            }
        };
        let Some(known) = Known::of(&catalog, trail, decision) else { continue };
        let judging = Judging::of(known, trail);
        for (row, outcome) in step.outcomes.iter_mut().zip(&trail.outcomes) {
            row.rules = Some(judging.rules(outcome));
        }
    }
    Ok(Some(document))
}

fn explained(call_id: CallId, whole: StoredWhole) -> Option<Explained> {
    let StoredWhole { call, trails, attempts, events, entries } = whole;
    let is_unknown = call.is_none() && trails.is_empty() && attempts.is_empty();
    if is_unknown && events.is_empty() && entries.is_empty() {
        return None;
    }
    let whose = call
        .as_ref()
        .map(|call| (call.at, &call.campaign, &call.publisher))
        .or_else(|| trails.first().map(|trail| (trail.at, &trail.campaign, &trail.publisher)))
        .or_else(|| attempts.first().map(|attempt| (attempt.at, &attempt.campaign, &attempt.publisher)))
        .or_else(|| entries.first().map(|entry| (entry.at, &entry.campaign, &entry.publisher)));
    let at = whose.map(|(at, ..)| at);
    let campaign = whose.and_then(|(_, campaign, _)| campaign.clone());
    let publisher = whose.and_then(|(.., publisher)| publisher.clone());
    let geo_source = trails.first().and_then(|trail| Some(trail.facts.as_ref()?.geo_source.clone()));
    let (decision, end, money) = call.map_or((None, None, sums(&entries)), |call| {
        let decision = call.decision.map(ExplainedDecision::from);
        let decision = decision.map(|decision| ExplainedDecision { geo_source, ..decision });
        (decision, call.end.map(ExplainedEnd::from), call.money)
    });
    Some(Explained {
        call_id: call_id.to_string(),
        at: at.map(|at| at.to_string()),
        campaign,
        publisher,
        decision,
        steps: trails.into_iter().map(StepRow::from).collect(),
        attempts: attempts.into_iter().map(ExplainedAttempt::from).collect(),
        events: events.into_iter().map(|event| explained_event(event, at)).collect(),
        end,
        ledger: explained_ledger(entries, money),
        rules_fault: None,
    })
}

/// What the store sums up for calls it has a line of.
fn sums(entries: &[StoredEntry]) -> StoredMoney {
    let of = |kind: &str| {
        let amounts = entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.amount.micros());
        Money::from_micros(amounts.fold(0, i64::saturating_add))
    };
    StoredMoney { revenue: of("revenue"), payout: of("payout").negated(), margin: of("margin").negated() }
}

fn explained_event(event: StoredEvent, arrival: Option<Timestamp>) -> ExplainedEvent {
    ExplainedEvent {
        after_ms: arrival.map(|arrival| after_ms(arrival, event.received)),
        event_id: event.event_id,
        kind: event.kind,
        attempt: event.attempt,
        at: event.at.map(|at| at.to_string()),
        received: event.received.to_string(),
        detail: event.detail,
    }
}

/// From the arrival of the call to a moment of it, in milliseconds.
fn after_ms(arrival: Timestamp, at: Timestamp) -> f64 {
    ms(u64::try_from(at.since(arrival).as_micros()).unwrap_or(u64::MAX))
}

fn explained_ledger(entries: Vec<StoredEntry>, money: StoredMoney) -> ExplainedLedger {
    let mut groups: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in &entries {
        let sum = groups.entry(&entry.group).or_default();
        *sum = sum.saturating_add(entry.amount.micros());
    }
    let sum = groups.values().copied().fold(0, i64::saturating_add);
    ExplainedLedger {
        is_balanced: groups.values().all(|sum| *sum == 0),
        sum: Money::from_micros(sum).to_string(),
        revenue: money.revenue.to_string(),
        payout: money.payout.to_string(),
        margin: money.margin.to_string(),
        entries: entries.into_iter().map(EntryRow::from).collect(),
    }
}

impl From<StoredDecision> for ExplainedDecision {
    fn from(decision: StoredDecision) -> ExplainedDecision {
        ExplainedDecision {
            carrier: decision.carrier,
            carrier_call_id: decision.carrier_call_id,
            test: decision.test,
            number: decision.number,
            sub_id: decision.sub_id,
            caller: decision.caller,
            state: decision.state,
            geo_source: None,
            basis: decision.basis,
            action: decision.action,
            reason: reason(decision.reason),
            meaning: meaning(decision.reason),
            target: decision.target,
            buyer: decision.buyer,
            price: decision.price.map(|price| price.to_string()),
            decided_in_ms: ms(decision.decided_us),
            overhead_in_ms: decision.overhead_us.map(ms),
            catalog: decision.catalog,
        }
    }
}

impl From<StoredAttempt> for ExplainedAttempt {
    fn from(attempt: StoredAttempt) -> ExplainedAttempt {
        ExplainedAttempt {
            attempt: attempt.attempt,
            step: attempt.step,
            target: attempt.target,
            buyer: attempt.buyer,
            price: attempt.price.map(|price| price.to_string()),
            basis: attempt.basis,
            reason: reason(attempt.reason),
            meaning: meaning(attempt.reason),
            offered_at: attempt.offered_at.to_string(),
            offered_after_ms: after_ms(attempt.at, attempt.offered_at),
            catalog: attempt.catalog,
            end: attempt.end.map(ExplainedFacts::from),
        }
    }
}

impl From<StoredEnd> for ExplainedEnd {
    fn from(end: StoredEnd) -> ExplainedEnd {
        ExplainedEnd { target: end.target, buyer: end.buyer, facts: ExplainedFacts::from(end.facts) }
    }
}

impl From<StoredEndFacts> for ExplainedFacts {
    fn from(facts: StoredEndFacts) -> ExplainedFacts {
        ExplainedFacts {
            ended_at: facts.ended_at.to_string(),
            reason: reason(facts.reason),
            meaning: meaning(facts.reason),
            connected: facts.connected,
            talk_ms: facts.talk_ms,
            talk_source: facts.talk_source,
            ended_by: facts.ended_by,
            billable: facts.billable,
            payable: facts.payable,
            negative_margin: facts.negative_margin,
        }
    }
}
