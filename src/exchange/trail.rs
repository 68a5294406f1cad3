//! The explainable record of one step: what became of every target of the plan, built as the decision goes.
//!
//! A target is open until something is said about it; the first thing said stands. So each ends with exactly one
//! reason, whatever the story around it does.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::auction::bid::{NoBid, clean_note};
use crate::domain::caller::{PERSONAL_TAGS, Tag, TagValue};
use crate::domain::{Catalog, Money, PingId, PlanId, Reason, Tags, TargetIx};
use crate::ping::Late;
use crate::records::row::{CallKeys, FactsRow, OutcomeRow, TrailRow};
use crate::routing::ring_tree::Turn;

/// One target that may be given the call. What becomes of it is in the record, at the same place.
#[derive(Debug)]
struct Line {
    target: TargetIx,
    open: bool,
    /// The auction's end did not depend on its ping.
    not_needed: bool,
}

/// The record of one step.
#[derive(Debug)]
pub(super) struct Trail {
    row: TrailRow,
    lines: Vec<Line>,
    /// Where the line of each target is, ascending: a plan may have ten thousand.
    places: Vec<(TargetIx, usize)>,
}

impl Trail {
    /// All these targets open. `about` is the step, whether it is a test call's, and the seed of its draws.
    pub(super) fn open(
        keys: CallKeys,
        about: (u32, bool, u64),
        catalog: &Catalog,
        plan: &PlanId,
        targets: &[TargetIx],
    ) -> Trail {
        let (step, test, seed) = about;
        let line = |target: &TargetIx| Line { target: *target, open: true, not_needed: false };
        let outcome = |target: &TargetIx| {
            let configured = catalog.target(*target);
            OutcomeRow {
                target: configured.id.clone(),
                buyer: catalog.buyer(configured.buyer).id.clone(),
                reason: Reason::NotReached,
                amount: None,
                ping: None,
                latency_us: None,
                note: None,
            }
        };
        let row = TrailRow {
            keys,
            step,
            is_final: true,
            test,
            seed,
            close: "no_auction",
            asked_us: 0,
            closed_us: 0,
            plan: plan.to_string(),
            tags: Vec::new(),
            outcomes: targets.iter().map(outcome).collect(),
            turns: Vec::new(),
            facts: None,
        };
        let mut places: Vec<(TargetIx, usize)> = targets.iter().copied().zip(0..).collect();
        places.sort_unstable();
        Trail { row, lines: targets.iter().map(line).collect(), places }
    }

    /// Who and what it is about.
    pub(super) fn keys(&self) -> CallKeys {
        self.row.keys.clone()
    }

    /// Whether it is about a test call, which is in no count.
    pub(super) fn is_test(&self) -> bool {
        self.row.test
    }

    /// Who had their turn in the walk.
    pub(super) fn turned(&mut self, turns: &[Turn]) {
        self.row.turns = turns.to_vec();
    }

    /// What it was decided by, as far as that is kept.
    pub(super) fn keep(&mut self, tags: &Tags, facts: FactsRow) {
        self.row.tags = tags.iter().map(kept).collect();
        self.row.facts = Some(facts);
    }

    /// The targets, in the order of the plan.
    pub(super) fn targets(&self) -> Vec<TargetIx> {
        self.lines.iter().map(|line| line.target).collect()
    }

    fn place(&self, target: TargetIx) -> Option<usize> {
        let at = self.places.binary_search_by_key(&target, |(target, _)| *target).ok()?;
        Some(self.places[at].1)
    }

    fn line(&mut self, target: TargetIx) -> Option<(&mut Line, &mut OutcomeRow)> {
        let place = self.place(target)?;
        Some((&mut self.lines[place], &mut self.row.outcomes[place]))
    }

    fn outcome(&mut self, target: TargetIx) -> Option<&mut OutcomeRow> {
        self.line(target).map(|(_, outcome)| outcome)
    }

    /// Whether nothing was said about the target yet.
    pub(super) fn is_open(&self, target: TargetIx) -> bool {
        self.place(target).is_some_and(|place| self.lines[place].open)
    }

    /// The target's one reason, unless it has one.
    pub(super) fn close(
        &mut self,
        target: TargetIx,
        reason: Reason,
        amount: Option<Money>,
        note: Option<String>,
    ) {
        if let Some((line, outcome)) = self.line(target).filter(|(line, _)| line.open) {
            line.open = false;
            outcome.reason = reason;
            outcome.amount = amount.or(outcome.amount);
            outcome.note = note.or(outcome.note.take());
        }
    }

    /// What there is to say besides: noted unless the target's end has a note of its own.
    pub(super) fn note(&mut self, target: TargetIx, note: Option<String>) {
        if let Some(outcome) = self.outcome(target).filter(|outcome| outcome.note.is_none()) {
            outcome.note = note;
        }
    }

    /// The target that was chosen is not handed the call: its caller left first.
    pub(super) fn withdraw(&mut self, target: TargetIx) {
        if let Some(outcome) = self.outcome(target).filter(|outcome| outcome.reason == Reason::Won) {
            outcome.reason = Reason::CallerAbandon;
        }
    }

    /// The target was asked.
    pub(super) fn asked(&mut self, target: TargetIx, ping: PingId) {
        if let Some(outcome) = self.outcome(target) {
            outcome.ping = Some(ping);
        }
    }

    /// The target's reply took this long.
    pub(super) fn replied(&mut self, target: TargetIx, latency: Duration) {
        if let Some(outcome) = self.outcome(target) {
            outcome.latency_us = Some(latency.as_micros() as u64);
        }
    }

    /// How waiting for replies ended, and when, after the request was read.
    pub(super) fn closed(&mut self, close: &'static str, asked: Duration, closed: Duration) {
        self.row.close = close;
        self.row.asked_us = asked.as_micros() as u64;
        self.row.closed_us = closed.as_micros() as u64;
    }

    /// The auction ended without the target's ping, which is out: whatever comes of it, that is its outcome.
    pub(super) fn not_needed(&mut self, target: TargetIx) {
        if let Some((line, _)) = self.line(target) {
            line.not_needed = true;
        }
    }

    /// A ping that was out gets its final outcome.
    pub(super) fn resolve(&mut self, target: TargetIx, late: Late) {
        let is_pending = |(_, outcome): &(_, &mut OutcomeRow)| outcome.reason == Reason::Pending;
        if let Some((line, outcome)) = self.line(target).filter(is_pending) {
            outcome.latency_us = late.latency.map(|latency| latency.as_micros() as u64);
            let NoBid { reason, amount, note } = late.outcome(!line.not_needed);
            (outcome.reason, outcome.amount, outcome.note) = (reason, amount, note);
        }
    }

    /// Nothing came of a ping that was out.
    pub(super) fn time_out(&mut self, target: TargetIx) {
        let is_pending = |(_, outcome): &(_, &mut OutcomeRow)| outcome.reason == Reason::Pending;
        if let Some((line, outcome)) = self.line(target).filter(is_pending) {
            outcome.reason = if line.not_needed { Reason::NotNeeded } else { Reason::Timeout };
        }
    }

    /// Targets whose ping is out.
    pub(super) fn pending(&self) -> Vec<TargetIx> {
        let outcomes = self.lines.iter().zip(&self.row.outcomes);
        outcomes
            .filter(|(_, outcome)| outcome.reason == Reason::Pending)
            .map(|(line, _)| line.target)
            .collect()
    }

    /// The outcomes, in the order of the plan.
    pub(super) fn outcomes(&self) -> &[OutcomeRow] {
        &self.row.outcomes
    }

    /// The record as it is now; final when no ping is out.
    pub(super) fn row(&self) -> TrailRow {
        judged(self.row.clone())
    }

    /// The record as it stays.
    pub(super) fn into_row(self) -> TrailRow {
        judged(self.row)
    }
}

fn judged(row: TrailRow) -> TrailRow {
    let is_final = row.outcomes.iter().all(|outcome| outcome.reason != Reason::Pending);
    TrailRow { is_final, ..row }
}

/// A tag as records keep it: its own texts, where nothing in them is hidden.
fn kept(tag: &Tag) -> (Arc<str>, Arc<str>) {
    let key = match clean_note(&tag.key) {
        Cow::Borrowed(_) => Arc::clone(&tag.key),
        Cow::Owned(key) => key.into(),
    };
    let value = match (shown(&tag.key, tag.value.as_text()), &tag.value) {
        (Cow::Borrowed(shown), TagValue::Text(text) | TagValue::Number(text)) if *shown == **text => {
            Arc::clone(text)
        }
        (shown, _) => shown.into(),
    };
    (key, value)
}

/// The value of a tag as records show it: personal ones not at all, in others nothing that could be a phone number.
pub(super) fn shown<'a>(key: &str, value: &'a str) -> Cow<'a, str> {
    let is_personal = PERSONAL_TAGS.iter().any(|personal| personal.eq_ignore_ascii_case(key));
    if is_personal { Cow::Borrowed("•••") } else { clean_note(value) }
}
