//! Attempts: what each holds, what carriers told of it, and its end by the rules of events.

use std::collections::BTreeMap;
use std::time::Duration;

use outcry::capacity::{Basis, CapKey, Entity};
use outcry::domain::schedule::day_window;
use outcry::domain::{Catalog, Money, Node, Payout, Reason, Timestamp};
use outcry::records::row::{AttemptRow, EndFacts, EventRow};

use super::{Check, Promise, Sent, find};
use crate::sim::market::TWILIO;
use crate::sim::terms;
use crate::sim::world::CallPlan;

pub(super) const UNANSWERED_SLACK: Duration = Duration::from_secs(20);
const ANSWERED_SLACK: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Leg {
    /// Who rings; nobody of the market for the plan's own destination and for test calls.
    pub(super) target: Option<String>,
    pub(super) keys: Vec<CapKey>,
    pub(super) price: i64,
    pub(super) min_duration_ms: u64,
    pub(super) payout: Option<Payout>,
    pub(super) test: bool,
    /// Only its carrier's word that the two were bridged proves a talk.
    pub(super) proven: bool,
    pub(super) patience: (Duration, Duration),
    pub(super) answered: Option<Timestamp>,
    pub(super) bridged: Option<Timestamp>,
    pub(super) end: Option<End>,
    pub(super) judge_at: Option<Timestamp>,
    pub(super) expires: Timestamp,
    /// Until when news of a lost end may come.
    pub(super) news_until: Timestamp,
    pub(super) has_slot: bool,
    pub(super) expired: bool,
    pub(super) settled: bool,
    pub(super) billed: bool,
    /// The step that handed it out: those of one step ring at once.
    pub(super) step: u32,
    /// Whoever picks up must press a digit first.
    pub(super) screened: bool,
    /// It was settled as a talk.
    pub(super) talked: bool,
    /// Whose it is.
    pub(super) buyer: Option<String>,
    /// When we heard first that it no longer only rings, less what they had talked by then.
    pub(super) picked_up: Option<Timestamp>,
    /// When it was handed back last.
    pub(super) handed_back_at: Option<Timestamp>,
    /// It was settled as handed back.
    pub(super) handed_back: bool,
    /// Its carrier said how it calls its leg.
    pub(super) is_named: bool,
}

/// Who else rings for the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    None,
    Ring,
    /// One of them picked up.
    Answered,
    /// One of them has the caller.
    Took,
}

/// The others of this attempt's step.
pub(super) fn others(legs: &BTreeMap<u32, Leg>, number: u32) -> Others {
    let Some(step) = legs.get(&number).map(|leg| leg.step) else { return Others::None };
    let of = |leg: &Leg| match leg {
        leg if leg.has_the_caller() => Others::Took,
        leg if !leg.screened && leg.answered.is_some() => Others::Answered,
        _ => Others::Ring,
    };
    let mut found = legs.iter().filter(|(other, leg)| **other != number && leg.step == step);
    found.next().map_or(Others::None, |(_, first)| {
        found.fold(of(first), |most, (_, leg)| if (of(leg) as u8) > most as u8 { of(leg) } else { most })
    })
}

/// Whether the plan of this call screens whoever picks up at this target.
fn is_screened(catalog: &Catalog, row: &AttemptRow) -> bool {
    fn find(node: &Node, target: &str, catalog: &Catalog) -> bool {
        match node {
            Node::Sequential(children) => children.iter().any(|child| find(child, target, catalog)),
            Node::Weighted(children) => children.iter().any(|(_, child)| find(child, target, catalog)),
            Node::FirstMatch(branches) => branches.iter().any(|branch| find(&branch.node, target, catalog)),
            Node::Simultaneous(node) => {
                node.screen && node.members.iter().any(|ix| catalog.target(*ix).id.as_str() == target)
            }
            _ => false,
        }
    }
    let campaign = catalog.campaigns.iter().find(|one| row.keys.campaign.as_ref() == Some(&one.id));
    let target = row.target.as_ref().map_or("", |target| target.as_str());
    campaign.is_some_and(|campaign| find(&catalog.plan(campaign.plan).root, target, catalog))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) inferred: bool,
    pub(super) no_talk: bool,
    pub(super) at: Timestamp,
    pub(super) talk: u64,
    pub(super) cause: &'static str,
    pub(super) by: &'static str,
}

impl Check {
    /// An attempt, by its own record.
    pub(super) fn leg(&self, n: u32, row: &AttemptRow, plan: &CallPlan, catalog: &Catalog) -> Leg {
        let now = self.clock.now();
        let is_rung_together =
            row.keys.campaign.as_ref().is_some_and(|campaign| plan.is_rung_together(campaign.as_str()));
        // The publisher keeps what the decision promised, whoever takes the call in the end; and the plan that is walked is
        // the decision's, whatever was reloaded since.
        let decided = self.calls.get(&n).and_then(|known| known.decided.as_ref());
        let decided_by = decided.map_or(catalog, |decided| &self.catalogs[&decided.catalog]);
        let mut leg = Leg {
            target: row.target.as_ref().map(|target| target.to_string()),
            keys: Vec::new(),
            price: row.price.map_or(0, Money::micros),
            min_duration_ms: 0,
            payout: None,
            test: row.test,
            proven: plan.carrier == TWILIO && row.target.is_some(),
            patience: (
                Duration::from_secs(30) + UNANSWERED_SLACK,
                Duration::from_secs(14_400) + ANSWERED_SLACK,
            ),
            answered: None,
            bridged: None,
            end: None,
            judge_at: None,
            expires: now,
            news_until: now,
            has_slot: false,
            expired: false,
            settled: false,
            billed: false,
            step: row.step,
            screened: is_rung_together && !row.test && is_screened(decided_by, row),
            talked: false,
            buyer: row.buyer.as_ref().map(ToString::to_string),
            picked_up: None,
            handed_back_at: None,
            handed_back: false,
            is_named: false,
        };
        if let Some(id) = &row.target {
            let target = find(catalog, id.as_str());
            let buyer = catalog.buyer(target.buyer);
            let said = self.calls.get(&n).into_iter().flat_map(|known| &known.said);
            let bid = said.filter(|said| said.target == id.as_str()).find_map(|said| said.bid.as_ref());
            let min = bid.and_then(|bid| bid.min_duration_s).map(Duration::from_secs);
            leg.min_duration_ms = min.unwrap_or(target.min_duration).as_millis() as u64;
            leg.patience = (target.ring + UNANSWERED_SLACK, target.max_talk + ANSWERED_SLACK);
            let line = catalog.numbers.iter().find(|line| line.number.reveal() == plan.to).expect("a line");
            leg.payout = Some(*decided_by.payout(line.publisher, line.campaign));
            if !row.test {
                let day = day_window(&buyer.zone, now).start;
                for entity in [Entity::Buyer(buyer.id.clone()), Entity::Target(target.id.clone())] {
                    let epoch = Timestamp::default();
                    leg.keys.push(CapKey {
                        entity: entity.clone(),
                        basis: Basis::Concurrency,
                        window: epoch,
                    });
                    leg.keys.push(CapKey { entity, basis: Basis::BillableDay, window: day });
                }
                leg.has_slot = true;
            }
        }
        leg.expires = now.after(leg.patience.0);
        leg.news_until = now.after(leg.patience.1);
        leg
    }

    /// Counts what was handed out against the limits it was handed out under.
    pub(super) fn hand_out(&mut self, n: u32, attempt: u32, catalog: &Catalog) {
        self.counts.attempts += 1;
        let known = self.known(n);
        let held_at = known.attempts.get(&attempt).map(|attempt| attempt.offered_at);
        if let (Some(leg), Some(held_at)) = (known.legs.get(&attempt).cloned(), held_at) {
            for key in &leg.keys {
                let (id, always, has_ranges) = match &key.entity {
                    Entity::Buyer(id) => {
                        let buyer = catalog.buyers.iter().find(|buyer| buyer.id == *id).expect("configured");
                        (id.as_str(), buyer.limits, !buyer.ranges.is_empty())
                    }
                    Entity::Target(id) => {
                        let target = find(catalog, id.as_str());
                        (id.as_str(), target.limits, !target.ranges.is_empty())
                    }
                };
                let limits = if has_ranges { terms::limits(id, always, held_at) } else { always };
                let limit = match key.basis {
                    Basis::Concurrency => limits.concurrency,
                    Basis::BillableDay => limits.daily_billable,
                };
                let units = self.units.entry(key.clone()).or_default();
                units.held += 1;
                let used = units.held + units.posted + units.unresolved;
                self.must(limit.is_none_or(|limit| used <= limit), Promise::Caps, || {
                    format!("call {n} is number {used} of {limit:?} for {key}")
                });
            }
        }
    }

    fn sent_by(&self, row: &EventRow) -> Option<Sent> {
        let n = *self.by_id.get(&row.call_id)?;
        let sent = self.sent.get(&(n, row.event_id.clone())).cloned();
        sent.or_else(|| self.said_of(n, &row.event_id))
    }

    pub(super) fn event(&mut self, row: &EventRow) {
        self.counts.events += 1;
        if row.kind == "handed_back" {
            return self.took_back(row);
        }
        let (Some(n), Some(sent)) = (self.by_id.get(&row.call_id).copied(), self.sent_by(row)) else {
            return self.broke(Promise::Durable, format!("nobody sent event {}", row.event_id));
        };
        let at = sent.at.unwrap_or(row.received);
        let is_kind = match row.kind {
            "digits" => matches!(sent.kind, "bridged" | "noted"),
            kind => sent.kind == kind,
        };
        let same = sent.n == n && is_kind && sent.attempt == row.attempt && row.at == Some(at);
        self.must(same, Promise::Durable, || format!("event {} is not as it was sent", row.event_id));
        let late_events = self.late_events;
        let known = self.calls.entry(n).or_default();
        known.is_caller_gone |=
            sent.kind == "call_ended" || sent.end.is_some_and(|(_, by, _)| by == "caller");
        let mut freed = Vec::new();
        for (number, leg) in &mut known.legs {
            let is_concerned = sent.attempt.is_none_or(|attempt| attempt == *number);
            // What its carrier calls its leg is in the ids of what it says of it.
            leg.is_named |= is_concerned && row.event_id.starts_with('L');
            if is_concerned && !leg.settled {
                leg.join(&sent, at, row.received, late_events);
                if leg.end.is_some() {
                    freed.extend(leg.free());
                }
            }
        }
        self.free(&freed);
    }

    pub(super) fn free(&mut self, keys: &[CapKey]) {
        for key in keys {
            self.units.entry(key.clone()).or_default().held -= 1;
        }
    }

    /// The end of one attempt.
    pub(super) fn attempt_ended(&mut self, n: u32, row: &AttemptRow, end: &EndFacts) {
        let now = self.clock.now();
        let known = self.calls.entry(n).or_default();
        // Who asks for the next step waits for nothing more of the last.
        let is_over = known.steps >= row.step;
        let Some(leg) = known.legs.get(&row.attempt) else {
            return self.broke(Promise::OneEnd, format!("attempt {} of call {n} never was", row.attempt));
        };
        let others = others(&known.legs, row.attempt);
        if end.reason == Reason::OtherAnswered {
            let is_lost = others == Others::Took || leg.is_lost(others);
            let holds = is_lost && !end.billable && !end.connected;
            return self.lost(n, row.attempt, holds);
        }
        match leg.judge(now, false, others).or_else(|| leg.judge(now, is_over, others)) {
            None => self.expired(n, row.attempt, end, is_over),
            Some(talk_ms) => self.settled(n, row, end, talk_ms),
        }
    }

    /// Another one that rang at the same time has the caller: everything is free again.
    fn lost(&mut self, n: u32, attempt: u32, holds: bool) {
        let Some(leg) = self.calls.entry(n).or_default().legs.get_mut(&attempt) else { return };
        let once = !std::mem::replace(&mut leg.settled, true);
        let (freed, leg) = (leg.free(), leg.clone());
        *self.counts.reasons.entry(Reason::OtherAnswered.as_str()).or_insert(0) += 1;
        self.free(&freed);
        for key in leg.keys.iter().filter(|key| key.basis == Basis::BillableDay) {
            let units = self.units.entry(key.clone()).or_default();
            if leg.expired {
                units.unresolved -= 1;
            } else {
                units.held -= 1;
            }
        }
        self.must(once && holds, Promise::OneEnd, || {
            format!("attempt {attempt} of call {n} lost to another that did not take it: {leg:?}")
        });
    }

    /// The end of an attempt that nobody reported.
    fn expired(&mut self, n: u32, attempt: u32, row: &EndFacts, is_over: bool) {
        let now = self.clock.now();
        let known = self.calls.entry(n).or_default();
        let Some(leg) = known.legs.get_mut(&attempt) else { return };
        let reason = if leg.target.is_some() { Reason::Unresolved } else { Reason::NoTaker };
        let is_lost = leg.end.is_none() && leg.expires <= now;
        let is_unproven = leg.is_unproven() && (is_over || leg.judge_at.is_some_and(|at| at <= now));
        let is_due = (is_lost || is_unproven) && !leg.expired && row.reason == reason && !row.billable;
        leg.judge_at = None;
        let (freed, keys) = (leg.free(), leg.keys.clone());
        leg.expired = true;
        let what = format!("{leg:?} ended as {row:?}");
        self.free(&freed);
        for key in keys.iter().filter(|key| key.basis == Basis::BillableDay) {
            let units = self.units.entry(key.clone()).or_default();
            units.held -= 1;
            units.unresolved += 1;
        }
        self.must(is_due, Promise::OneEnd, || format!("call {n}: {what}"));
    }
}

impl Leg {
    /// The slots that are free now, once.
    pub(super) fn free(&mut self) -> Vec<CapKey> {
        let had = std::mem::take(&mut self.has_slot);
        self.keys.iter().filter(|key| had && key.basis == Basis::Concurrency).cloned().collect()
    }

    fn join(&mut self, sent: &Sent, at: Timestamp, received: Timestamp, late_events: Duration) {
        let earliest = |known: Option<Timestamp>| Some(known.map_or(at, |known| known.min(at)));
        let is_news = match sent.kind {
            "answered" => self.answered.is_none() && self.bridged.is_none(),
            "bridged" => self.bridged.is_none(),
            _ => false,
        };
        match sent.kind {
            "answered" => self.answered = earliest(self.answered),
            // Only a leg that was answered is completed.
            "leg_over" if sent.end.is_some_and(|(cause, ..)| cause == "normal") => {
                self.answered = earliest(self.answered);
            }
            "bridged" => self.bridged = earliest(self.bridged),
            _ => {}
        }
        if !matches!(sent.kind, "ringing" | "noted") {
            let talk = sent.end.and_then(|(.., talk)| talk).filter(|_| sent.kind == "ended");
            self.picked_up.get_or_insert(received.before(Duration::from_millis(talk.unwrap_or(0))));
        }
        if is_news {
            self.expires = self.expires.max(received.after(self.patience.1));
        }
        if let Some((cause, by, talk)) = sent.end {
            let inferred = matches!(sent.kind, "call_ended" | "leg_over");
            let talk = talk.filter(|_| !inferred);
            let end = End { inferred, no_talk: talk.is_none(), at, talk: talk.unwrap_or(0), cause, by };
            self.end = Some(self.end.map_or(end, |known| known.min(end)));
            self.judge_at.get_or_insert(received.after(late_events));
        }
    }

    /// They may have talked, and nobody will say so.
    fn is_unproven(&self) -> bool {
        let may_have = |end: &End| {
            matches!(end.cause, "normal" | "failed") && (self.answered.is_some() || !end.inferred)
        };
        self.proven && self.end.as_ref().is_some_and(may_have)
    }

    pub(super) fn has_the_caller(&self) -> bool {
        if self.settled { self.talked } else { self.bridged.is_some() }
    }

    /// Nobody picked up, and it was not the caller who left.
    fn is_unheard(&self, end: &End) -> bool {
        self.answered.is_none() && self.bridged.is_none() && end.talk == 0 && end.by != "caller"
    }

    /// It was let go of while another was answered.
    pub(super) fn is_lost(&self, others: Others) -> bool {
        let is_let_go = |end: &End| {
            self.is_unheard(end) && (end.cause == "cancelled" || end.cause == "no_answer" && end.inferred)
        };
        matches!(others, Others::Answered | Others::Took) && self.end.as_ref().is_some_and(is_let_go)
    }

    /// The talk in milliseconds, once enough is known to bill by it.
    pub(super) fn judge(&self, now: Timestamp, is_over: bool, others: Others) -> Option<u64> {
        let end = self.end?;
        let waited = is_over || self.judge_at.is_some_and(|at| at <= now);
        if others != Others::None && self.is_unheard(&end) {
            match end.cause {
                "cancelled" => return waited.then_some(0),
                "busy" | "no_answer" | "rejected" => return Some(0),
                _ => {}
            }
        }
        let since = |start: Timestamp| (end.at.since(start).min(self.patience.1).as_micros() / 1_000) as u64;
        if self.proven && end.no_talk {
            let is_told = !end.inferred && end.cause != "normal";
            return (is_told || waited && !self.is_unproven()).then_some(0);
        }
        match (end.no_talk, end.cause, self.bridged, self.answered) {
            (false, ..) => Some(end.talk),
            (_, "busy" | "no_answer" | "rejected" | "cancelled", ..) if !end.inferred => Some(0),
            (_, "failed", None, _) if !end.inferred => waited.then_some(0),
            (.., Some(bridged), _) if !end.inferred || waited => Some(since(bridged)),
            (.., None, Some(_)) if waited && self.screened => Some(0),
            (.., None, Some(answered)) if waited => Some(since(answered)),
            (.., None, None) if waited => Some(0),
            _ => None,
        }
    }
}
