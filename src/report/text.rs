//! A call explained to a person at a terminal.
//!
//! Every fact comes from the document; nothing is read here, and nothing is said that the document does not say.

use std::fmt::Write as _;

use super::explain::{
    Explained, ExplainedAttempt, ExplainedDecision, ExplainedEnd, ExplainedEvent, ExplainedLedger,
};
use super::print::{Cell, Column, Style, aligned, clean};
use super::rows::{OutcomeRow, StepRow, TurnRow};
use crate::domain::{Money, Reason};

impl Explained {
    /// The story for a person at a terminal.
    pub fn text(&self, style: Style) -> String {
        self.text_with(style, false)
    }

    /// The same, where wanted with every rule over every target.
    pub fn text_with(&self, style: Style, with_rules: bool) -> String {
        let mut page = Page { text: String::new(), style };
        page.call(self);
        match &self.decision {
            Some(decision) => page.decision(decision),
            None => page.section("DECISION", "not recorded"),
        }
        for step in &self.steps {
            page.step(step, &self.attempts);
            if with_rules {
                page.rules(step);
            }
        }
        if let (true, Some(fault)) = (with_rules, &self.rules_fault) {
            page.section("RULES", fault);
        }
        page.attempts(&self.attempts);
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
            let source = decision.geo_source.as_ref().map_or(String::new(), |by| format!(" (by {by})"));
            let state = word(&decision.state);
            facts.push(("caller", format!("{}, state {state}{source}", decision.caller)));
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

    fn step(&mut self, step: &StepRow, attempts: &[ExplainedAttempt]) {
        let state = if step.is_final { "" } else { ", outcomes still pending" };
        let summary = format!("plan {}, {} targets, {}{state}", step.plan, step.outcomes.len(), step.close);
        self.section(&format!("STEP {}", step.step), &summary);
        let mut facts = vec![
            ("asked", format!("after {:.1} ms", step.asked_in_ms)),
            ("closed", format!("after {:.1} ms", step.closed_in_ms)),
            ("seed", step.seed.clone()),
        ];
        if !step.turns.is_empty() {
            let turn =
                |turn: &TurnRow| format!("round robin {} from child {}", turn.node + 1, turn.first + 1);
            facts.push(("turns", step.turns.iter().map(turn).collect::<Vec<_>>().join(", ")));
        }
        if !step.tags.is_empty() {
            let tags: Vec<String> = step.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            facts.push(("tags", tags.join(" ")));
        }
        self.facts(&facts);
        let handed_out = attempts.iter().find(|attempt| attempt.step == step.step);
        let pays = handed_out.and_then(|attempt| attempt.price.as_deref());
        let verdict = format!("  {}", self.style.winner(&clean(&verdict(&step.outcomes, pays))));
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

    fn rules(&mut self, step: &StepRow) {
        self.section(&format!("RULES OF STEP {}", step.step), "each up to the one that decided");
        let columns =
            [Column::text("target"), Column::text("says"), Column::text("rule"), Column::text("saw")];
        let mut lines = Vec::new();
        for outcome in &step.outcomes {
            for rule in outcome.rules.iter().flatten() {
                lines.push(vec![
                    Cell::of(&outcome.target),
                    Cell::of(rule.says),
                    Cell::of(&rule.rule),
                    Cell::of(&rule.saw),
                ]);
            }
        }
        self.table(&columns, lines);
    }

    fn attempts(&mut self, attempts: &[ExplainedAttempt]) {
        if attempts.is_empty() {
            return self.section("ATTEMPTS", "none");
        }
        self.section("ATTEMPTS", &attempts.len().to_string());
        let columns = [
            Column::number("attempt"),
            Column::number("step"),
            Column::text("target"),
            Column::text("buyer"),
            Column::number("price"),
            Column::text("offered as"),
            Column::number("after ms"),
            Column::text("end"),
            Column::number("talk s"),
            Column::text("ended by"),
            Column::text("billable"),
            Column::text("what happened"),
        ];
        let rows = attempts.iter().map(|attempt| {
            let end = attempt.end.as_ref();
            vec![
                Cell::of(attempt.attempt),
                Cell::of(attempt.step),
                Cell::from(&attempt.target),
                Cell::from(&attempt.buyer),
                Cell::from(&attempt.price),
                Cell::of(format!("{}: {}", attempt.basis, attempt.reason)),
                Cell::tenths(Some(attempt.offered_after_ms)),
                Cell::from(&end.map(|end| &end.reason)),
                Cell::from(&end.map(|end| seconds(end.talk_ms))),
                Cell::from(&end.map(|end| &end.ended_by)),
                Cell::from(&end.map(|end| yes(end.billable))),
                Cell::of(end.map_or("Its end is not known yet.", |end| &end.meaning)),
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
        let facts = &end.facts;
        self.section("END", &format!("{}: {}", facts.reason, facts.meaning));
        let taken_by = match (&end.target, &end.buyer) {
            (Some(target), Some(buyer)) => format!("{target} of {buyer}"),
            _ => "nobody".to_owned(),
        };
        let mut lines = vec![
            ("ended", format!("{} by {}", facts.ended_at, facts.ended_by)),
            ("taken by", taken_by),
            ("connected", yes(facts.connected).to_owned()),
            ("talk", format!("{} s, from {}", seconds(facts.talk_ms), facts.talk_source)),
            ("billable", yes(facts.billable).to_owned()),
            ("payable", yes(facts.payable).to_owned()),
        ];
        if facts.negative_margin {
            lines.push(("margin", "below zero, as the campaign allows".to_owned()));
        }
        self.facts(&lines);
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

/// Who won the step, or who ring at once, over whom, and what it `pays` where that is less than its bid: one sentence above the table that has
/// every target's reason.
pub(super) fn verdict(outcomes: &[OutcomeRow], pays: Option<&str>) -> String {
    let won = [Reason::Won, Reason::Static].map(Reason::as_str);
    let winners: Vec<&OutcomeRow> =
        outcomes.iter().filter(|outcome| won.contains(&outcome.reason.as_str())).collect();
    let winner = match winners[..] {
        [] => return "no target won this step".to_owned(),
        [winner] => winner,
        [..] => {
            let named = winners.iter().map(|one| match &one.amount {
                Some(amount) => format!("{} with {amount}", one.target),
                None => one.target.clone(),
            });
            let named: Vec<String> = named.collect();
            return format!("{} ring at once: the first to be connected has the call", named.join(", "));
        }
    };
    let reduced = pays.filter(|pays| winner.amount.as_deref().is_some_and(|bid| bid != *pays));
    let reduced = reduced.map(|pays| format!(" and pays {pays}")).unwrap_or_default();
    let price = winner.amount.as_ref().map(|amount| format!(" with {amount}{reduced}")).unwrap_or_default();
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

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Milliseconds as seconds to three decimals.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
