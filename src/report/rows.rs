//! The documents that lists are made of, and how they come from what is stored.
//!
//! Field names are the words of the product; they are part of the admin API and of every CSV somebody has a script
//! for, so they are added to and not changed. All fields are ready to be shown; nothing is computed with them later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::print::{Cell, Column, Printed};
use super::rules::RuleRow;
use crate::domain::{Money, Reason};
use crate::records::stored::{PnlKey, StoredCall, StoredEntry, StoredOutcome, StoredPnl, StoredTrail};

/// What a P&L groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum By {
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

impl By {
    pub(super) fn key(self) -> PnlKey {
        match self {
            By::Buyer => PnlKey::Buyer,
            By::Target => PnlKey::Target,
            By::Publisher => PnlKey::Publisher,
            By::Campaign => PnlKey::Campaign,
            By::Hour => PnlKey::Hour,
        }
    }
}

/// Profit and loss.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Pnl {
    /// What it is grouped by.
    pub by: By,
    /// One line per group.
    pub rows: Vec<PnlRow>,
    /// All of them together.
    pub total: PnlRow,
}

/// One line of a P&L. Test calls are not in it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PnlRow {
    /// Slug, or the start of the hour; none for calls that have none.
    pub key: Option<String>,
    /// Calls that arrived.
    pub calls: i64,
    /// Calls ended.
    pub ended: i64,
    /// Calls in which target and caller were connected.
    pub connected: i64,
    /// Calls the buyer owes for.
    pub billable: i64,
    /// Talk time in minutes, to one decimal.
    pub talk_minutes: f64,
    /// Buyer to us.
    #[schema(example = "25.50")]
    pub revenue: String,
    /// Us to publisher.
    #[schema(example = "15.00")]
    pub payout: String,
    /// What is left.
    #[schema(example = "10.50")]
    pub margin: String,
    /// Margin as a share of revenue, to one decimal; none without revenue.
    pub margin_percent: Option<f64>,
}

/// One call in a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CallRow {
    /// The call.
    #[schema(example = "01JD3Z5QAX7Y8R2M4N6P8S0TVW")]
    pub call_id: String,
    /// Its arrival.
    #[schema(example = "2026-11-20T09:00:00.000Z")]
    pub at: String,
    /// The campaign, unless the number was unknown.
    pub campaign: Option<String>,
    /// The publisher, unless the number was unknown.
    pub publisher: Option<String>,
    /// The carrier that asked.
    pub carrier: Option<String>,
    /// Its name for the call.
    pub carrier_call_id: Option<String>,
    /// Never billed.
    pub test: Option<bool>,
    /// The number dialled.
    pub number: Option<String>,
    /// The publisher's label.
    pub sub_id: Option<String>,
    /// The caller, masked.
    #[schema(example = "+1512*****23")]
    pub caller: Option<String>,
    /// The caller's state.
    pub state: Option<String>,
    /// `auction static quote redial terminal`.
    pub basis: Option<String>,
    /// `dial gather voicemail message hangup`.
    pub action: Option<String>,
    /// Why this answer.
    pub reason: Option<String>,
    /// Who took the call, else who was to take it.
    pub target: Option<String>,
    /// Its buyer.
    pub buyer: Option<String>,
    /// How many attempts it has had.
    pub attempts: u32,
    /// The price held at the first decision.
    #[schema(example = "25.50")]
    pub price: Option<String>,
    /// From the request read to the answer ready, in milliseconds.
    pub decided_in_ms: Option<f64>,
    /// When it ended, by our clock.
    pub ended_at: Option<String>,
    /// How it ended: `billable`, or why not.
    pub end_reason: Option<String>,
    /// Whether target and caller were connected.
    pub connected: Option<bool>,
    /// Talk time in milliseconds.
    pub talk_ms: Option<u64>,
    /// `caller target carrier exchange unknown`.
    pub ended_by: Option<String>,
    /// Whether the buyer owes.
    pub billable: Option<bool>,
    /// Whether the publisher earns.
    pub payable: Option<bool>,
    /// Buyer to us.
    #[schema(example = "25.50")]
    pub revenue: String,
    /// Us to publisher.
    #[schema(example = "15.00")]
    pub payout: String,
    /// What is left.
    #[schema(example = "10.50")]
    pub margin: String,
}

/// A page of calls, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CallPage {
    /// The calls.
    pub calls: Vec<CallRow>,
    /// Where the next page begins; none at the end of the list.
    pub next: Option<String>,
}

/// One step of a call: every target of its plan with its one outcome.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StepRow {
    /// The call.
    pub call_id: String,
    /// The step.
    pub step: u32,
    /// Arrival of the call.
    pub at: String,
    /// The campaign, unless the number was unknown.
    pub campaign: Option<String>,
    /// The publisher, unless the number was unknown.
    pub publisher: Option<String>,
    /// The plan walked.
    pub plan: String,
    /// `false` while an outcome is still `pending`.
    pub is_final: bool,
    /// How waiting ended: `no_auction all_replied early deadline`.
    pub close: String,
    /// From the request read to the last ping written, in milliseconds.
    pub asked_in_ms: f64,
    /// From the request read to the end of the auction, in milliseconds.
    pub closed_in_ms: f64,
    /// Seed of the draws: an integer of 64 bits.
    pub seed: String,
    /// Tags the call carried, personal ones masked.
    pub tags: BTreeMap<String, String>,
    /// One per target of the plan.
    pub outcomes: Vec<OutcomeRow>,
    /// Who had their turn at the plan's round robins, in the order of the walk.
    pub turns: Vec<TurnRow>,
}

/// The child that came first at a round robin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct TurnRow {
    /// The node, by its number among the round robins of the plan in the order written, from 0.
    #[schema(example = 0)]
    pub node: u32,
    /// The place of the child, from 0.
    #[schema(example = 1)]
    pub first: u32,
}

/// How one target fared in one step.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OutcomeRow {
    /// The target.
    pub target: String,
    /// Its buyer.
    pub buyer: String,
    /// The one reason.
    #[schema(example = "outbid")]
    pub reason: String,
    /// What the reason means.
    #[schema(example = "A better effective score won.")]
    pub meaning: String,
    /// Its price, where it had one.
    #[schema(example = "20.00")]
    pub amount: Option<String>,
    /// The ping, where it was asked.
    pub ping_id: Option<String>,
    /// From ping written to reply read, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The value that decided, or the buyer's own word.
    pub note: Option<String>,
    /// Every rule that was held against the call, in their order, up to the one that decided; only in the document of one
    /// call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<RuleRow>>,
}

/// A page of steps, in the order their outcomes became final.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StepPage {
    /// The steps.
    pub steps: Vec<StepRow>,
    /// The cursor to go on with, now or later.
    pub next: i64,
}

/// One entry of the append-only ledger.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EntryRow {
    /// The call.
    pub call_id: String,
    /// Arrival of the call.
    pub at: String,
    /// The campaign, unless the number was unknown.
    pub campaign: Option<String>,
    /// The publisher, unless the number was unknown.
    pub publisher: Option<String>,
    /// Whose target.
    pub buyer: String,
    /// The target.
    pub target: String,
    /// What it is about, unique within the call. The entries of one group sum to zero.
    #[schema(example = "attempt/1")]
    pub group: String,
    /// `revenue payout margin`.
    pub kind: String,
    /// Who it is booked on.
    #[schema(example = "buyer:acme")]
    pub account: String,
    /// Signed: what the account owes us is positive, what we owe is negative.
    #[schema(example = "-15.00")]
    pub amount: String,
    /// When it was booked.
    pub booked_at: String,
}

/// A page of ledger entries, in the order of the store.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<EntryRow>,
    /// The cursor to go on with, now or later.
    pub next: i64,
}

/// The word for a stored code, which a newer version may have written.
pub(super) fn reason(code: u16) -> String {
    Reason::from_code(code).map_or_else(|| format!("reason {code}"), |reason| reason.to_string())
}

/// What a stored code means.
pub(super) fn meaning(code: u16) -> String {
    Reason::from_code(code).map_or("A reason this version does not know.", Reason::meaning).to_owned()
}

/// Microseconds as milliseconds to one decimal.
pub(super) fn ms(us: u64) -> f64 {
    us.saturating_add(50).div_euclid(100) as f64 / 10.0
}

/// Adds up two lines of a P&L.
pub(super) fn add(sum: &mut StoredPnl, more: &StoredPnl) {
    let plus = |a: Money, b: Money| Money::from_micros(a.micros().saturating_add(b.micros()));
    sum.calls = sum.calls.saturating_add(more.calls);
    sum.ended = sum.ended.saturating_add(more.ended);
    sum.connected = sum.connected.saturating_add(more.connected);
    sum.billable = sum.billable.saturating_add(more.billable);
    sum.talk_ms = sum.talk_ms.saturating_add(more.talk_ms);
    sum.money.revenue = plus(sum.money.revenue, more.money.revenue);
    sum.money.payout = plus(sum.money.payout, more.money.payout);
    sum.money.margin = plus(sum.money.margin, more.money.margin);
}

/// `part` of a positive `whole` in tenths of a percent, half rounded away from zero.
fn per_mille(part: Money, whole: Money) -> Option<i64> {
    if !whole.is_positive() {
        return None;
    }
    let (part, whole) = (i128::from(part.micros()), i128::from(whole.micros()));
    i64::try_from((part * 2_000 + part.signum() * whole) / (2 * whole)).ok()
}

impl From<StoredPnl> for PnlRow {
    fn from(line: StoredPnl) -> PnlRow {
        let StoredPnl { key, calls, ended, connected, billable, talk_ms, money } = line;
        PnlRow {
            key: Some(key).filter(|key| !key.is_empty()),
            calls,
            ended,
            connected,
            billable,
            talk_minutes: talk_ms.saturating_add(3_000).div_euclid(6_000) as f64 / 10.0,
            revenue: money.revenue.to_string(),
            payout: money.payout.to_string(),
            margin: money.margin.to_string(),
            margin_percent: per_mille(money.margin, money.revenue).map(|tenths| tenths as f64 / 10.0),
        }
    }
}

impl From<StoredCall> for CallRow {
    fn from(call: StoredCall) -> CallRow {
        let StoredCall { call_id, at, campaign, publisher, decision, end, attempts, money } = call;
        let mut row = CallRow {
            call_id: call_id.to_string(),
            at: at.to_string(),
            campaign,
            publisher,
            carrier: None,
            carrier_call_id: None,
            test: None,
            number: None,
            sub_id: None,
            caller: None,
            state: None,
            basis: None,
            action: None,
            reason: None,
            target: None,
            buyer: None,
            attempts,
            price: None,
            decided_in_ms: None,
            ended_at: None,
            end_reason: None,
            connected: None,
            talk_ms: None,
            ended_by: None,
            billable: None,
            payable: None,
            revenue: money.revenue.to_string(),
            payout: money.payout.to_string(),
            margin: money.margin.to_string(),
        };
        if let Some(decision) = decision {
            row.carrier = Some(decision.carrier);
            row.carrier_call_id = Some(decision.carrier_call_id);
            row.test = Some(decision.test);
            row.number = Some(decision.number);
            row.sub_id = decision.sub_id;
            row.caller = Some(decision.caller);
            row.state = decision.state;
            row.basis = Some(decision.basis);
            row.action = Some(decision.action);
            row.reason = Some(reason(decision.reason));
            row.target = decision.target;
            row.buyer = decision.buyer;
            row.price = decision.price.map(|price| price.to_string());
            row.decided_in_ms = Some(ms(decision.decided_us));
        }
        if let Some(end) = end {
            row.ended_at = Some(end.facts.ended_at.to_string());
            row.end_reason = Some(reason(end.facts.reason));
            row.connected = Some(end.facts.connected);
            row.talk_ms = Some(end.facts.talk_ms);
            row.ended_by = Some(end.facts.ended_by);
            row.billable = Some(end.facts.billable);
            row.payable = Some(end.facts.payable);
            if end.target.is_some() {
                row.target = end.target;
                row.buyer = end.buyer;
            }
        }
        row
    }
}

impl From<StoredTrail> for StepRow {
    fn from(trail: StoredTrail) -> StepRow {
        StepRow {
            call_id: trail.call_id.to_string(),
            step: trail.step,
            at: trail.at.to_string(),
            campaign: trail.campaign,
            publisher: trail.publisher,
            plan: trail.plan,
            is_final: trail.is_final,
            close: trail.close,
            asked_in_ms: ms(trail.asked_us),
            closed_in_ms: ms(trail.closed_us),
            seed: trail.seed.to_string(),
            tags: trail.tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            outcomes: trail.outcomes.into_iter().map(OutcomeRow::from).collect(),
            turns: trail
                .turns
                .into_iter()
                .map(|turn| TurnRow { node: turn.node, first: turn.first })
                .collect(),
        }
    }
}

impl From<StoredOutcome> for OutcomeRow {
    fn from(outcome: StoredOutcome) -> OutcomeRow {
        OutcomeRow {
            target: outcome.target,
            buyer: outcome.buyer,
            reason: reason(outcome.reason),
            meaning: meaning(outcome.reason),
            amount: outcome.amount.map(|amount| amount.to_string()),
            ping_id: outcome.ping.map(|ping| ping.to_string()),
            latency_ms: outcome.latency_us.map(ms),
            note: outcome.note,
            rules: None,
        }
    }
}

impl From<StoredEntry> for EntryRow {
    fn from(entry: StoredEntry) -> EntryRow {
        EntryRow {
            call_id: entry.call_id.to_string(),
            at: entry.at.to_string(),
            campaign: entry.campaign,
            publisher: entry.publisher,
            buyer: entry.buyer,
            target: entry.target,
            group: entry.group,
            kind: entry.kind,
            account: entry.account,
            amount: entry.amount.to_string(),
            booked_at: entry.booked_at.to_string(),
        }
    }
}

impl Printed for PnlRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("key"),
        Column::number("calls"),
        Column::number("ended"),
        Column::number("connected"),
        Column::number("billable"),
        Column::number("talk_minutes").headed("talk min"),
        Column::number("revenue"),
        Column::number("payout"),
        Column::number("margin"),
        Column::number("margin_percent").headed("margin %"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::from(&self.key),
            Cell::of(self.calls),
            Cell::of(self.ended),
            Cell::of(self.connected),
            Cell::of(self.billable),
            Cell::tenths(Some(self.talk_minutes)),
            Cell::of(&self.revenue),
            Cell::of(&self.payout),
            Cell::of(&self.margin),
            Cell::tenths(self.margin_percent),
        ]
    }
}

impl Printed for CallRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("at"),
        Column::text("call_id"),
        Column::text("campaign"),
        Column::text("publisher"),
        Column::text("carrier").not_in_tables(),
        Column::text("carrier_call_id").not_in_tables(),
        Column::text("test").not_in_tables(),
        Column::text("number").not_in_tables(),
        Column::text("sub_id").not_in_tables(),
        Column::text("caller"),
        Column::text("state").not_in_tables(),
        Column::text("basis").not_in_tables(),
        Column::text("action").not_in_tables(),
        Column::text("reason"),
        Column::text("target"),
        Column::text("buyer").not_in_tables(),
        Column::number("attempts"),
        Column::number("price"),
        Column::number("decided_in_ms").not_in_tables(),
        Column::text("ended_at").not_in_tables(),
        Column::text("end_reason").headed("end"),
        Column::text("connected").not_in_tables(),
        Column::number("talk_ms"),
        Column::text("ended_by").not_in_tables(),
        Column::text("billable").not_in_tables(),
        Column::text("payable").not_in_tables(),
        Column::number("revenue"),
        Column::number("payout"),
        Column::number("margin"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::of(&self.at),
            Cell::of(&self.call_id),
            Cell::from(&self.campaign),
            Cell::from(&self.publisher),
            Cell::from(&self.carrier),
            Cell::from(&self.carrier_call_id),
            Cell::from(&self.test),
            Cell::from(&self.number),
            Cell::from(&self.sub_id),
            Cell::from(&self.caller),
            Cell::from(&self.state),
            Cell::from(&self.basis),
            Cell::from(&self.action),
            Cell::from(&self.reason),
            Cell::from(&self.target),
            Cell::from(&self.buyer),
            Cell::of(self.attempts),
            Cell::from(&self.price),
            Cell::tenths(self.decided_in_ms),
            Cell::from(&self.ended_at),
            Cell::from(&self.end_reason),
            Cell::from(&self.connected),
            Cell::from(&self.talk_ms),
            Cell::from(&self.ended_by),
            Cell::from(&self.billable),
            Cell::from(&self.payable),
            Cell::of(&self.revenue),
            Cell::of(&self.payout),
            Cell::of(&self.margin),
        ]
    }
}
