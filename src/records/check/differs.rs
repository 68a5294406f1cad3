//! One row of the journal beside the row of the store that has its key: the first thing that differs, in words.

use std::fmt::Display;

use crate::domain::{CallId, Reason};
use crate::records::row::{
    AttemptRow, CallKeys, DecidedRow, EndFacts, EndedRow, EventRow, LedgerRow, ListedRow, Row, TrailRow,
};
use crate::records::sqlite::{Moment, StoreError};
use crate::records::stored::{
    StoredAttempt, StoredCall, StoredChange, StoredDecision, StoredEnd, StoredEndFacts, StoredEntry,
    StoredEvent, StoredFacts, StoredTrail,
};

/// What the store has of a row.
pub(super) enum Found {
    Same,
    Missing,
    Different(String),
}

/// Which of its call's rows it is, as far as the kind does not say it.
pub(super) fn name(row: &Row) -> String {
    match row {
        Row::Decided(_) => "the decision".to_owned(),
        Row::Trail(row) => format!("step {}", row.step),
        Row::Event(row) => match row.attempt {
            Some(attempt) => format!("{} of attempt {attempt}", row.kind),
            None => row.kind.to_owned(),
        },
        Row::Attempt(row) => format!("attempt {}", row.attempt),
        Row::Ended(_) => "the end".to_owned(),
        Row::Ledger(row) => format!("{} of {}", row.kind, row.group),
        Row::Catalog(row) => row.digest.clone(),
        Row::Change(row) => format!("{} {} {}", row.entity.kind(), row.entity.id(), row.key.as_str()),
        Row::Listed(row) => format!("{} {}", ListedRow::ENTITY, row.list),
    }
}

pub(super) fn call(row: &Row) -> Option<CallId> {
    match row {
        Row::Decided(row) => Some(row.keys.call_id),
        Row::Trail(row) => Some(row.keys.call_id),
        Row::Event(row) => Some(row.call_id),
        Row::Attempt(row) => Some(row.keys.call_id),
        Row::Ended(row) => Some(row.keys.call_id),
        Row::Ledger(row) => Some(row.keys.call_id),
        Row::Catalog(_) | Row::Change(_) | Row::Listed(_) => None,
    }
}

/// Looks the row up, and compares.
pub(super) fn difference(moment: &Moment<'_>, row: &Row) -> Result<Found, StoreError> {
    let mut differs = Differs(None);
    let is_there = match row {
        Row::Decided(row) => {
            let call = moment.call(row.keys.call_id)?;
            let found = call.as_ref().and_then(|call| Some((call, call.decision.as_ref()?)));
            found.map(|(call, decision)| differs.decided(row, call, decision)).is_some()
        }
        Row::Trail(row) => {
            moment.trail(row.keys.call_id, row.step)?.map(|found| differs.trail(row, &found)).is_some()
        }
        Row::Event(row) => moment
            .event(row.call_id, &row.event_id, row.kind, row.attempt)?
            .map(|found| differs.event(row, &found))
            .is_some(),
        Row::Attempt(row) => {
            moment.attempt(row.keys.call_id, row.attempt)?.map(|found| differs.attempt(row, &found)).is_some()
        }
        Row::Ended(row) => {
            let call = moment.call(row.keys.call_id)?;
            let found = call.as_ref().and_then(|call| Some((call, call.end.as_ref()?)));
            found.map(|(call, end)| differs.ended(row, call, end)).is_some()
        }
        Row::Ledger(row) => moment
            .entry(row.keys.call_id, &row.group, row.kind)?
            .map(|found| differs.ledger(row, &found))
            .is_some(),
        Row::Catalog(row) => {
            moment.catalog(&row.digest)?.map(|text| differs.hidden("its text", &row.text, &text)).is_some()
        }
        Row::Change(row) => moment.change(row)?.map(|found| differs.change(row, &found)).is_some(),
        Row::Listed(row) => moment.listed(row)?.map(|found| differs.listed(row, &found)).is_some(),
    };
    Ok(match (is_there, differs.0) {
        (false, _) => Found::Missing,
        (true, None) => Found::Same,
        (true, Some(what)) => Found::Different(what),
    })
}

/// The first difference.
struct Differs(Option<String>);

impl Differs {
    /// Two values that may be shown.
    fn shown(&mut self, field: &str, journal: impl Display, store: impl Display) {
        if self.0.is_some() {
            return;
        }
        let (journal, store) = (journal.to_string(), store.to_string());
        if journal != store {
            self.0 = Some(format!("{field} is {store} in the store and {journal} in the journal"));
        }
    }

    /// Two values that somebody else wrote, or that are a caller's.
    fn hidden<T: PartialEq + ?Sized>(&mut self, field: &str, journal: &T, store: &T) {
        if self.0.is_none() && journal != store {
            self.0 = Some(format!("{field} differs"));
        }
    }

    fn keys(&mut self, keys: &CallKeys, (at, campaign, publisher): (impl Display, &Text, &Text)) {
        self.shown("arrival", keys.at, at);
        self.shown("campaign", or_none(&keys.campaign), or_none(campaign));
        self.shown("publisher", or_none(&keys.publisher), or_none(publisher));
    }

    fn decided(&mut self, row: &DecidedRow, call: &StoredCall, found: &StoredDecision) {
        self.keys(&row.keys, (call.at, &call.campaign, &call.publisher));
        self.shown("basis", row.basis, &found.basis);
        self.shown("action", row.action, &found.action);
        self.shown("reason", row.reason, reason(found.reason));
        self.shown("target", or_none(&row.target), or_none(&found.target));
        self.shown("buyer", or_none(&row.buyer), or_none(&found.buyer));
        self.shown("price", or_none(&row.price), or_none(&found.price));
        self.shown("test", row.test, found.test);
        self.shown("carrier", &row.carrier, &found.carrier);
        self.shown("catalog", &row.catalog, &found.catalog);
        self.shown("time to decide", row.decided_us, found.decided_us);
        self.shown("overhead", or_none(&row.overhead_us), or_none(&found.overhead_us));
        self.shown("state", or_none(&row.state), or_none(&found.state));
        self.hidden("the carrier's id", &row.carrier_call_id, &found.carrier_call_id);
        self.hidden("the number", &row.number, &found.number);
        self.hidden("the sub-id", &row.sub_id, &found.sub_id);
        self.hidden("the caller", &row.caller, &found.caller);
        self.hidden("the caller's token", &row.caller_token, &found.caller_token);
    }

    fn trail(&mut self, row: &TrailRow, found: &StoredTrail) {
        self.shown("final", row.is_final, found.is_final);
        self.keys(&row.keys, (found.at, &found.campaign, &found.publisher));
        self.shown("plan", &row.plan, &found.plan);
        self.shown("seed", row.seed, found.seed);
        self.shown("close", row.close, &found.close);
        self.shown("asked", row.asked_us, found.asked_us);
        self.shown("closed", row.closed_us, found.closed_us);
        self.hidden("the tags", &row.tags, &found.tags);
        self.hidden("the turns", &row.turns, &found.turns);
        self.shown("the number of targets", row.outcomes.len(), found.outcomes.len());
        for (at, (row, found)) in row.outcomes.iter().zip(&found.outcomes).enumerate() {
            let of = |field: &str| format!("{field} of target {}", at + 1);
            self.shown(&of("id"), &row.target, &found.target);
            self.shown(&of("buyer"), &row.buyer, &found.buyer);
            self.shown(&of("reason"), row.reason, reason(found.reason));
            self.shown(&of("amount"), or_none(&row.amount), or_none(&found.amount));
            self.shown(&of("ping"), or_none(&row.ping), or_none(&found.ping));
            self.shown(&of("latency"), or_none(&row.latency_us), or_none(&found.latency_us));
            self.hidden(&of("note"), &row.note, &found.note);
        }
        self.hidden("the facts", &row.facts, &found.facts.clone().and_then(StoredFacts::row));
    }

    fn event(&mut self, row: &EventRow, found: &StoredEvent) {
        self.shown("the carrier's time", or_none(&row.at), or_none(&found.at));
        self.shown("our time", row.received, found.received);
        self.hidden("its detail", &row.detail, &found.detail);
    }

    fn attempt(&mut self, row: &AttemptRow, found: &StoredAttempt) {
        self.keys(&row.keys, (found.at, &found.campaign, &found.publisher));
        self.shown("price", or_none(&row.price), or_none(&found.price));
        self.shown("target", or_none(&row.target), or_none(&found.target));
        self.shown("buyer", or_none(&row.buyer), or_none(&found.buyer));
        self.shown("basis", row.basis, &found.basis);
        self.shown("reason", row.reason, reason(found.reason));
        self.shown("step", row.step, found.step);
        self.shown("test", row.test, found.test);
        self.shown("handed out", row.offered_at, found.offered_at);
        self.shown("catalog", &row.catalog, &found.catalog);
        match (&row.end, &found.end) {
            (Some(end), Some(found)) => self.end(end, found),
            (end, found) => self.shown("having an end", end.is_some(), found.is_some()),
        }
    }

    fn ended(&mut self, row: &EndedRow, call: &StoredCall, found: &StoredEnd) {
        self.keys(&row.keys, (call.at, &call.campaign, &call.publisher));
        self.shown("target", or_none(&row.target), or_none(&found.target));
        self.shown("buyer", or_none(&row.buyer), or_none(&found.buyer));
        self.end(&row.end, &found.facts);
    }

    fn end(&mut self, end: &EndFacts, found: &StoredEndFacts) {
        self.shown("reason", end.reason, reason(found.reason));
        self.shown("billable", end.billable, found.billable);
        self.shown("payable", end.payable, found.payable);
        self.shown("negative margin", end.negative_margin, found.negative_margin);
        self.shown("connected", end.connected, found.connected);
        self.shown("talk time", end.talk_ms, found.talk_ms);
        self.shown("talk source", end.talk_source, &found.talk_source);
        self.shown("ended by", end.ended_by, &found.ended_by);
        self.shown("time", end.ended_at, found.ended_at);
    }

    fn ledger(&mut self, row: &LedgerRow, found: &StoredEntry) {
        self.shown("amount", row.amount, found.amount);
        self.shown("account", &row.account, &found.account);
        self.keys(&row.keys, (found.at, &found.campaign, &found.publisher));
        self.shown("buyer", &row.buyer, &found.buyer);
        self.shown("target", &row.target, &found.target);
        self.shown("time", row.booked_at, found.booked_at);
    }

    fn listed(&mut self, row: &ListedRow, found: &StoredChange) {
        self.shown("what happened", row.verb.as_str(), &found.happened);
        self.shown("value", row.value(), or_none(&found.value));
        self.hidden("who did it", &row.origin.actor, &found.actor);
        self.hidden("who asked for it", &row.origin.by, &found.by);
    }

    fn change(&mut self, row: &crate::domain::change::Noted, found: &StoredChange) {
        self.shown("what happened", row.happened.as_str(), &found.happened);
        self.shown("value", or_none(&row.happened.value()), or_none(&found.value));
        self.shown("the file's value", row.file, &found.file);
        self.hidden("who did it", &row.origin.actor, &found.actor);
        self.hidden("who asked for it", &row.origin.by, &found.by);
    }
}

type Text = Option<String>;

fn or_none<T: Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn reason(code: u16) -> String {
    Reason::from_code(code).map_or_else(|| format!("code {code}"), |reason| reason.as_str().to_owned())
}
