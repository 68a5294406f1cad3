//! One call from its arrival to the last entry of its ledger: why it went where it went, and who owes what.
//!
//! As a document for programs and as a text for a person. It repeats what was recorded and judges nothing again; to
//! decide the call anew is the business of `replay`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use utoipa::ToSchema;

use super::print::{Cell, Column, Style, aligned, clean};
use super::rows::{EntryRow, OutcomeRow, StepRow, meaning, ms, reason};
use crate::domain::{CallId, Money, Reason, Timestamp};
use crate::records::sqlite::{Reader, StoreError};
use crate::records::stored::{StoredDecision, StoredEnd, StoredEntry, StoredEvent, StoredMoney, StoredWhole};

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
    /// Its events, in the order they were received.
    pub events: Vec<ExplainedEvent>,
    /// Its end, when known.
    pub end: Option<ExplainedEnd>,
    /// Its money.
    pub ledger: ExplainedLedger,
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
    let StoredWhole { call, trails, events, entries } = reader.whole(call_id)?;
    if call.is_none() && trails.is_empty() && events.is_empty() && entries.is_empty() {
        return Ok(None);
    }
    let whose = call
        .as_ref()
        .map(|call| (call.at, &call.campaign, &call.publisher))
        .or_else(|| trails.first().map(|trail| (trail.at, &trail.campaign, &trail.publisher)))
        .or_else(|| entries.first().map(|entry| (entry.at, &entry.campaign, &entry.publisher)));
    let at = whose.map(|(at, ..)| at);
    let campaign = whose.and_then(|(_, campaign, _)| campaign.clone());
    let publisher = whose.and_then(|(.., publisher)| publisher.clone());
    let (decision, end, money) = call.map_or((None, None, sums(&entries)), |call| {
        (call.decision.map(ExplainedDecision::from), call.end.map(ExplainedEnd::from), call.money)
    });
    Ok(Some(Explained {
        call_id: call_id.to_string(),
        at: at.map(|at| at.to_string()),
        campaign,
        publisher,
        decision,
        steps: trails.into_iter().map(StepRow::from).collect(),
        events: events.into_iter().map(|event| explained_event(event, at)).collect(),
        end,
        ledger: explained_ledger(entries, money),
    }))
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
    let after = |arrival| u64::try_from(event.received.since(arrival).as_micros()).unwrap_or(u64::MAX);
    ExplainedEvent {
        after_ms: arrival.map(|arrival| ms(after(arrival))),
        event_id: event.event_id,
        kind: event.kind,
        attempt: event.attempt,
        at: event.at.map(|at| at.to_string()),
        received: event.received.to_string(),
        detail: event.detail,
    }
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

impl From<StoredEnd> for ExplainedEnd {
    fn from(end: StoredEnd) -> ExplainedEnd {
        ExplainedEnd {
            target: end.target,
            buyer: end.buyer,
            ended_at: end.ended_at.to_string(),
            reason: reason(end.reason),
            meaning: meaning(end.reason),
            connected: end.connected,
            talk_ms: end.talk_ms,
            talk_source: end.talk_source,
            ended_by: end.ended_by,
            billable: end.billable,
            payable: end.payable,
            negative_margin: end.negative_margin,
        }
    }
}

impl Explained {
    /// The story for a person at a terminal.
    pub fn text(&self, style: Style) -> String {
        let mut page = Page { text: String::new(), style };
        page.call(self);
        match &self.decision {
            Some(decision) => page.decision(decision),
            None => page.section("DECISION", "not recorded"),
        }
        for step in &self.steps {
            page.step(step);
        }
        page.events(&self.events);
        match &self.end {
            Some(end) => page.end(end),
            None => page.section("END", "not known yet"),
        }
        page.ledger(&self.ledger);
        page.text
    }
}

struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn section(&mut self, title: &str, summary: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let line = format!("{gap}{}  {}", self.style.heading(title), clean(summary));
        self.line(&line);
    }

    fn say(&mut self, text: &str) {
        self.line(&format!("  {}", clean(text)));
    }

    fn line(&mut self, text: &str) {
        writeln!(self.text, "{text}").expect("a string takes any text");
    }

    /// Names and values, the values below each other.
    fn facts(&mut self, facts: &[(&str, String)]) {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            self.say(&format!("{name:width$}  {value}"));
        }
    }

    fn table(&mut self, columns: &[Column], rows: Vec<Vec<Cell>>) {
        for (at, line) in aligned(columns, rows).iter().enumerate() {
            let line = if at == 0 { self.style.heading(line) } else { line.clone() };
            self.line(&format!("  {line}"));
        }
    }

    fn call(&mut self, call: &Explained) {
        self.section("CALL", &format!("{}, arrived {}", call.call_id, word(&call.at)));
        let mut facts = vec![("campaign", word(&call.campaign)), ("publisher", word(&call.publisher))];
        if let Some(decision) = &call.decision {
            facts.push(("number", decision.number.clone()));
            facts.push(("sub-id", word(&decision.sub_id)));
            facts.push(("caller", format!("{}, state {}", decision.caller, word(&decision.state))));
            facts.push(("carrier", format!("{}, its call {}", decision.carrier, decision.carrier_call_id)));
            facts.push(("catalog", decision.catalog.clone()));
            if decision.test {
                facts.push(("test", "yes: never billed".to_owned()));
            }
        }
        self.facts(&facts);
    }

    fn decision(&mut self, decision: &ExplainedDecision) {
        let mut summary = format!("{} by {}", decision.action, decision.basis);
        if let (Some(target), Some(buyer)) = (&decision.target, &decision.buyer) {
            write!(summary, ": {target} of {buyer}").expect("a string takes any text");
        }
        if let Some(price) = &decision.price {
            write!(summary, " at {price}").expect("a string takes any text");
        }
        self.section("DECISION", &summary);
        self.facts(&[
            ("reason", format!("{}: {}", decision.reason, decision.meaning)),
            (
                "took",
                match decision.overhead_in_ms {
                    Some(own) => {
                        format!("{:.1} ms, {own:.1} ms of it not waiting for buyers", decision.decided_in_ms)
                    }
                    None => {
                        format!("{:.1} ms, connections to buyers opened included", decision.decided_in_ms)
                    }
                },
            ),
        ]);
    }

    fn step(&mut self, step: &StepRow) {
        let state = if step.is_final { "" } else { ", outcomes still pending" };
        let summary = format!("plan {}, {} targets, {}{state}", step.plan, step.outcomes.len(), step.close);
        self.section(&format!("STEP {}", step.step), &summary);
        let mut facts = vec![
            ("asked", format!("after {:.1} ms", step.asked_in_ms)),
            ("closed", format!("after {:.1} ms", step.closed_in_ms)),
            ("seed", step.seed.clone()),
        ];
        if !step.tags.is_empty() {
            let tags: Vec<String> = step.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            facts.push(("tags", tags.join(" ")));
        }
        self.facts(&facts);
        let verdict = format!("  {}", self.style.winner(&clean(&verdict(&step.outcomes))));
        self.line(&verdict);
        let columns = [
            Column::text("target"),
            Column::text("buyer"),
            Column::text("reason"),
            Column::number("amount"),
            Column::number("latency ms"),
            Column::text("why"),
        ];
        let rows = step.outcomes.iter().map(|outcome| {
            let note = outcome.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            vec![
                Cell::of(&outcome.target),
                Cell::of(&outcome.buyer),
                Cell::of(&outcome.reason),
                Cell::from(&outcome.amount),
                Cell::tenths(outcome.latency_ms),
                Cell::of(format!("{}{note}", outcome.meaning)),
            ]
        });
        self.table(&columns, rows.collect());
    }

    fn events(&mut self, events: &[ExplainedEvent]) {
        let summary = if events.is_empty() { "none yet".to_owned() } else { format!("{}", events.len()) };
        self.section("EVENTS", &summary);
        if events.is_empty() {
            return;
        }
        let columns = [
            Column::number("after ms"),
            Column::text("type"),
            Column::number("attempt"),
            Column::text("carrier's time"),
            Column::text("event id"),
            Column::text("detail"),
        ];
        let rows = events.iter().map(|event| {
            vec![
                Cell::tenths(event.after_ms),
                Cell::of(&event.kind),
                Cell::from(&event.attempt),
                Cell::from(&event.at),
                Cell::of(&event.event_id),
                Cell::of(&event.detail),
            ]
        });
        self.table(&columns, rows.collect());
    }

    fn end(&mut self, end: &ExplainedEnd) {
        self.section("END", &format!("{}: {}", end.reason, end.meaning));
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let taken_by = match (&end.target, &end.buyer) {
            (Some(target), Some(buyer)) => format!("{target} of {buyer}"),
            _ => "nobody".to_owned(),
        };
        let mut facts = vec![
            ("ended", format!("{} by {}", end.ended_at, end.ended_by)),
            ("taken by", taken_by),
            ("connected", yes(end.connected)),
            (
                "talk",
                format!("{}.{:03} s, from {}", end.talk_ms / 1_000, end.talk_ms % 1_000, end.talk_source),
            ),
            ("billable", yes(end.billable)),
            ("payable", yes(end.payable)),
        ];
        if end.negative_margin {
            facts.push(("margin", "below zero, as the campaign allows".to_owned()));
        }
        self.facts(&facts);
    }

    fn ledger(&mut self, ledger: &ExplainedLedger) {
        if ledger.entries.is_empty() {
            return self.section("LEDGER", "no entries");
        }
        let balance = if ledger.is_balanced { "balanced" } else { "DOES NOT BALANCE: report this" };
        self.section(
            "LEDGER",
            &format!(
                "revenue {}, payout {}, margin {}; {balance}",
                ledger.revenue, ledger.payout, ledger.margin
            ),
        );
        let columns = [
            Column::text("group"),
            Column::text("kind"),
            Column::text("account"),
            Column::number("amount"),
            Column::text("booked at"),
        ];
        let mut rows: Vec<Vec<Cell>> = Vec::with_capacity(ledger.entries.len() + 1);
        for entry in &ledger.entries {
            rows.push(vec![
                Cell::of(&entry.group),
                Cell::of(&entry.kind),
                Cell::of(&entry.account),
                Cell::of(&entry.amount),
                Cell::of(&entry.booked_at),
            ]);
        }
        rows.push(vec![Cell::of("sum"), Cell::of(""), Cell::of(""), Cell::of(&ledger.sum), Cell::of("")]);
        self.table(&columns, rows);
    }
}

/// Who won the step, and over whom: one sentence above the table that has every target's reason.
pub(super) fn verdict(outcomes: &[OutcomeRow]) -> String {
    let won = [Reason::Won, Reason::Static].map(Reason::as_str);
    let Some(winner) = outcomes.iter().find(|outcome| won.contains(&outcome.reason.as_str())) else {
        return "no target won this step".to_owned();
    };
    let price = winner.amount.as_ref().map(|amount| format!(" with {amount}")).unwrap_or_default();
    let beaten = [Reason::Outbid, Reason::TieLost, Reason::LowerTier].map(Reason::as_str);
    let mut offers: Vec<&OutcomeRow> =
        outcomes.iter().filter(|outcome| beaten.contains(&outcome.reason.as_str())).collect();
    offers.sort_by_key(|outcome| {
        std::cmp::Reverse(outcome.amount.as_deref().and_then(|amount| Money::parse(amount).ok()))
    });
    let Some(next) = offers.first() else {
        return format!("{} won{price}: no other offer stood", winner.target);
    };
    let amount = next.amount.as_ref().map(|amount| format!(" with {amount}")).unwrap_or_default();
    let others = if offers.len() == 1 { "1 other offer" } else { &format!("{} other offers", offers.len()) };
    format!(
        "{} won{price} over {others}, the highest {}{amount} ({})",
        winner.target, next.target, next.reason
    )
}

fn word(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| "-".to_owned())
}
