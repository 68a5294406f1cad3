//! What a store gives back: plain values, the same whichever store they come from.
//!
//! Slugs are text here, because the catalog that knew them may be gone, and reasons are codes, because a newer binary
//! may have written ones this one does not know. How they are shown is in `report`.

use std::fmt;
use std::sync::Arc;

use super::entry;
use super::row::{FactsRow, Turn};
use crate::domain::change::{Change, Entity, Key, Origin, Value};
use crate::domain::{CallId, Money, PingId, Timestamp, Verified};

/// A call as far as the store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCall {
    /// The call.
    pub call_id: CallId,
    /// Its arrival.
    pub at: Timestamp,
    /// The campaign, unless the number was unknown.
    pub campaign: Option<String>,
    /// The publisher, unless the number was unknown.
    pub publisher: Option<String>,
    /// Its first decision; `None` when that row has not come (yet).
    pub decision: Option<StoredDecision>,
    /// Its end, when known.
    pub end: Option<StoredEnd>,
    /// How many attempts it has had.
    pub attempts: u32,
    /// What its ledger entries sum to.
    pub money: StoredMoney,
}

/// The first decision of a call; the fields are those of `row::DecidedRow`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredDecision {
    pub carrier: String,
    pub carrier_call_id: String,
    pub test: bool,
    pub number: String,
    pub sub_id: Option<String>,
    pub caller: String,
    pub caller_token: Option<u64>,
    pub state: Option<String>,
    pub basis: String,
    pub action: String,
    pub reason: u16,
    pub target: Option<String>,
    pub buyer: Option<String>,
    pub price: Option<Money>,
    pub decided_us: u64,
    pub overhead_us: Option<u64>,
    pub catalog: String,
}

/// The end of a call; the fields are those of `row::EndedRow`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredEnd {
    pub target: Option<String>,
    pub buyer: Option<String>,
    pub facts: StoredEndFacts,
}

/// One try at one target; the fields are those of `row::AttemptRow`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredAttempt {
    pub call_id: CallId,
    pub attempt: u32,
    pub at: Timestamp,
    pub campaign: Option<String>,
    pub publisher: Option<String>,
    pub step: u32,
    pub test: bool,
    pub offered_at: Timestamp,
    pub basis: String,
    pub reason: u16,
    pub target: Option<String>,
    pub buyer: Option<String>,
    pub price: Option<Money>,
    pub catalog: String,
    pub end: Option<StoredEndFacts>,
}

/// How an attempt ended; the fields are those of `row::EndFacts`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredEndFacts {
    pub ended_at: Timestamp,
    pub reason: u16,
    pub connected: bool,
    pub talk_ms: u64,
    pub talk_source: String,
    pub ended_by: String,
    pub billable: bool,
    pub payable: bool,
    pub negative_margin: bool,
}

/// Sums of ledger entries, each with the sign a P&L shows: what buyers owe, what publishers earn, what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredMoney {
    /// Buyer to us.
    pub revenue: Money,
    /// Us to publisher.
    pub payout: Money,
    /// What is left.
    pub margin: Money,
}

/// The outcomes of one step; the fields are those of `row::TrailRow`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredTrail {
    /// Its place in the order of the store.
    pub seq: i64,
    pub call_id: CallId,
    pub step: u32,
    pub is_final: bool,
    pub at: Timestamp,
    pub campaign: Option<String>,
    pub publisher: Option<String>,
    pub seed: u64,
    pub close: String,
    pub asked_us: u64,
    pub closed_us: u64,
    pub plan: String,
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    pub outcomes: Vec<StoredOutcome>,
    pub turns: Vec<Turn>,
    pub facts: Option<StoredFacts>,
}

/// What a step was decided by; the fields are those of `row::FactsRow`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredFacts {
    pub at: Timestamp,
    pub catalog: Option<String>,
    pub state: Option<String>,
    pub geo_source: String,
    pub country: Option<String>,
    pub area_code: Option<u16>,
    pub zip3: Option<u16>,
    pub attestation: Option<char>,
    pub has_number: bool,
    pub not_kept: Vec<String>,
    pub branches: Vec<u32>,
    pub lists: Vec<String>,
    pub earlier_attempts: u32,
    pub floor_row: Option<u32>,
    pub verified: Verified,
}

impl StoredFacts {
    /// As they were written; `None` where a word of them is not known to this version.
    pub fn row(self) -> Option<FactsRow> {
        entry::facts_row(self).ok()
    }
}

/// How one target fared; the fields are those of `row::OutcomeRow`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredOutcome {
    pub target: String,
    pub buyer: String,
    pub reason: u16,
    pub amount: Option<Money>,
    pub ping: Option<PingId>,
    pub latency_us: Option<u64>,
    pub note: Option<String>,
}

/// A carrier's event; the fields are those of `row::EventRow`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredEvent {
    pub call_id: CallId,
    pub event_id: String,
    pub attempt: Option<u32>,
    pub kind: String,
    pub at: Option<Timestamp>,
    pub received: Timestamp,
    pub detail: String,
}

/// A ledger entry; the fields are those of `row::LedgerRow`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredEntry {
    /// Its place in the order of the store.
    pub seq: i64,
    pub call_id: CallId,
    pub at: Timestamp,
    pub campaign: Option<String>,
    pub publisher: Option<String>,
    pub buyer: String,
    pub target: String,
    pub group: String,
    pub kind: String,
    pub account: String,
    pub amount: Money,
    pub booked_at: Timestamp,
}

/// Everything the store knows of one call, as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWhole {
    /// Its row; `None` when only parts of it have come.
    pub call: Option<StoredCall>,
    /// Its steps, in order.
    pub trails: Vec<StoredTrail>,
    /// Its attempts, in order.
    pub attempts: Vec<StoredAttempt>,
    /// Its events, in the order they were received.
    pub events: Vec<StoredEvent>,
    /// Its ledger entries, in the order they were booked.
    pub entries: Vec<StoredEntry>,
}

/// What a P&L groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PnlKey {
    /// The buyer.
    Buyer,
    /// The target.
    Target,
    /// The publisher.
    Publisher,
    /// The campaign.
    Campaign,
    /// The UTC hour of arrival.
    Hour,
}

/// One group of hourly counts, summed.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the words of the glossary")]
pub struct StoredPnl {
    /// Slug, or the start of the hour in RFC 3339; empty for calls that have none.
    pub key: String,
    pub calls: i64,
    pub ended: i64,
    pub connected: i64,
    pub billable: i64,
    pub talk_ms: i64,
    pub money: StoredMoney,
}

/// Units of daily caps that attempts of one quarter of an hour have used.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredUse {
    /// Slug of the buyer.
    pub buyer: String,
    /// Slug of its target.
    pub target: String,
    /// Start of the quarter of an hour in which they were handed out; the days of every time zone begin at one.
    pub quarter: Timestamp,
    /// Attempts that were billable.
    pub posted: u32,
    /// Attempts whose end is not known: in progress when the exchange ended, or never reported.
    pub unresolved: u32,
}

/// How often a target ended with a reason.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the words of the glossary")]
pub struct StoredReasonCount {
    pub buyer: String,
    pub target: String,
    pub reason: u16,
    pub count: i64,
}

/// A group of ledger entries that does not sum to zero: always a bug.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the words of the glossary")]
pub struct StoredImbalance {
    pub call_id: CallId,
    pub group: String,
    pub sum: Money,
}

/// Which calls to list, and from where; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct CallQuery {
    /// Slug of the campaign.
    pub campaign: Option<String>,
    /// Slug of the publisher.
    pub publisher: Option<String>,
    /// Slug of the buyer, of the decision or the end.
    pub buyer: Option<String>,
    /// Code of the reason, of the decision or the end.
    pub reason: Option<u16>,
    /// Arrived at this moment or later.
    pub since: Option<Timestamp>,
    /// Arrived before this moment.
    pub until: Option<Timestamp>,
    /// Only calls that come after this one in the list, newest first.
    pub after: Option<(Timestamp, CallId)>,
}

/// An hourly sum that is not what the rows add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSumOff {
    /// When the hour begins.
    pub hour: Timestamp,
    /// Of what: campaign, publisher and so on, in words.
    pub key: String,
    /// Which sum.
    pub sum: &'static str,
    /// As it is kept.
    pub kept: i64,
    /// By the rows.
    pub by_rows: i64,
}

impl fmt::Display for StoredSumOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoredSumOff { hour, key, sum, kept, by_rows } = self;
        write!(f, "hour {hour}, {key}: {sum} is {kept} in the sums and {by_rows} by the rows")
    }
}

/// The text of a catalog.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredCatalog {
    pub digest: String,
    pub text: String,
    pub since: Timestamp,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredTotals {
    /// The last batch applied.
    pub batch_no: i64,
    /// Calls.
    pub calls: i64,
    /// Calls with an end.
    pub ended: i64,
    /// Steps whose outcomes are final.
    pub steps: i64,
    /// Steps with outcomes still pending.
    pub pending_steps: i64,
    /// Attempts.
    pub attempts: i64,
    /// Carrier events.
    pub events: i64,
    /// Ledger entries.
    pub entries: i64,
}

/// One entry of the history of changes; the fields are those of `domain::change::Noted`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented where they are written")]
pub struct StoredChange {
    /// Its place in the order of the store.
    pub seq: i64,
    pub at: Timestamp,
    pub entity: String,
    pub id: String,
    pub key: String,
    pub happened: String,
    pub value: Option<String>,
    pub file: String,
    pub actor: String,
    pub by: Option<String>,
}

impl StoredChange {
    /// The change it laid; `None` if it laid none, or one this version does not know.
    pub fn change(&self) -> Option<Change> {
        let key = Key::parse(&self.key)?;
        Some(Change {
            entity: Entity::parse(&self.entity, &self.id)?,
            value: Value::parse(key, self.value.as_deref()?)?,
            file: Value::parse(key, &self.file)?,
            origin: Origin { actor: self.actor.clone(), by: self.by.clone(), at: self.at },
        })
    }
}
