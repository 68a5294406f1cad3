//! A decision becomes an answer: what the carrier is told, the call as it lives on, and the rows that explain it.
//!
//! What was decided is not changed here any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::decide::{Ctx, Decided, Prepared, Taken};
use super::subject::{kept, record_token};
use super::trail::Trail;
use super::{Rules, Worker};
use crate::billing::Terms;
use crate::call::{Call, Patience};
use crate::carrier::{Action, CarrierReply, DialTarget, generic};
use crate::domain::catalog::Secret;
use crate::domain::{Address, HangupCause, Money, Reason, TargetIx, Terminal, Timestamp};
use crate::ping::Outstanding;
use crate::records::row::{DecidedRow, EndCounts, EndedRow, Row};
use crate::state::calls::{Answer, Live, Offered, Ticket};
use crate::telemetry::event;

/// How long after a decision its answer may be acted on, where no bid's life ends sooner: the slack of a hold.
const ANSWER_LIFE: Duration = Duration::from_secs(20);
/// Beyond the ring time an unanswered attempt keeps its hold.
const UNANSWERED_SLACK: Duration = Duration::from_secs(20);
/// Beyond the longest talk an answered attempt keeps its hold.
const ANSWERED_SLACK: Duration = Duration::from_secs(60);
/// Ring time and longest talk of a plan's own fallback destination.
const TERMINAL_RING: Duration = Duration::from_secs(30);
const TERMINAL_TALK: Duration = Duration::from_secs(14_400);

impl Worker {
    /// Not even the catalog could be asked: a polite end, without a record.
    pub(super) fn last_resort(&self, ctx: &Ctx, ticket: Ticket) {
        let now = self.exchange.clock.now();
        let reply = CarrierReply {
            call_id: ctx.call_id,
            step: 1,
            action: Action::Hangup(HangupCause::Congestion),
            basis: "terminal",
            reason: Reason::InternalError,
            valid_until: now.after(ANSWER_LIFE),
            max_talk_s: 0,
            events: None,
            decided_us: now.since(ctx.arrived).as_micros() as u64,
        };
        let mut live = Live {
            key: ctx.key(),
            at: ctx.arrived,
            campaign: None,
            publisher: None,
            caller: ctx.request.tail,
            test: ctx.request.test,
            token: self.exchange.entropy.token(),
            call: Call::new(),
            offered: Vec::new(),
            over_since: Some(now),
            looked_at: None,
            end_counted: true,
        };
        self.exchange.watch(ctx.call_id, &mut live, now);
        self.exchange.state.calls.open(ctx.call_id, live);
        let body = Bytes::from(generic::reply(&reply));
        ticket.finish(Arc::new(Answer { call_id: ctx.call_id, body, about: ctx.about }));
    }

    /// Opens the call, answers everybody who waits, and records.
    pub(super) fn finish(
        self: &Arc<Self>,
        ctx: &Ctx,
        prepared: Prepared<'_>,
        mut decided: Decided,
        ticket: Ticket,
    ) {
        let exchange = &self.exchange;
        let token = exchange.entropy.token();
        let now = exchange.clock.now();
        let own = decided.own_before + now.since(decided.own_since);
        let mut reply = self.reply(ctx, &prepared, &decided, token, now);
        let taken = decided.taken.take();
        let mut row = decided_row(ctx, &prepared, taken.as_ref(), &reply, exchange.rules.caller_key.clone());
        let mut live = self.live(ctx, &prepared, taken, &reply, token, now);
        let ended = live.over_since.map(|_| ended_at_once(ctx, &prepared, reply.reason, now));
        exchange.watch(ctx.call_id, &mut live, now);
        exchange.state.calls.open(ctx.call_id, live);
        let took = exchange.clock.now().since(ctx.arrived);
        reply.decided_us = took.as_micros() as u64;
        let body = Bytes::from(generic::reply(&reply));
        ticket.finish(Arc::new(Answer { call_id: ctx.call_id, body, about: ctx.about }));
        row.decided_us = reply.decided_us;
        row.overhead_us = decided.measured.then_some(own.as_micros() as u64);
        let own = (decided.pinged && decided.measured).then_some(own);
        event::decision_made(row.keys.campaign.as_ref(), reply.basis, reply.reason, took, own);
        self.record(row, ended, &prepared.trail);
        self.await_replies(prepared.trail, decided.outstanding);
    }

    fn reply(
        &self,
        ctx: &Ctx,
        prepared: &Prepared<'_>,
        decided: &Decided,
        token: u128,
        now: Timestamp,
    ) -> CarrierReply {
        let (rules, taken) = (&self.exchange.rules, decided.taken.as_ref());
        let catalog = &ctx.in_force.snapshot.catalog;
        let action = action(ctx, prepared, taken, rules);
        let events = format!("{}/v1/calls/{}/events/{token:032x}", rules.public_base_url, ctx.call_id);
        CarrierReply {
            call_id: ctx.call_id,
            step: 1,
            basis: taken.filter(|_| is_dial(&action)).map_or("terminal", |taken| taken.basis),
            reason: match taken {
                _ if ctx.request.test => Reason::Test,
                Some(taken) => taken.reason,
                None => decided.reason,
            },
            valid_until: valid_until(taken, now),
            max_talk_s: taken.map_or(TERMINAL_TALK, |t| catalog.target(t.target).max_talk).as_secs(),
            events: Some(events),
            decided_us: 0,
            action,
        }
    }

    /// Hands in the decision, its outcomes so far, and its end if there is nothing to come.
    fn record(&self, row: DecidedRow, ended: Option<EndedRow>, trail: &Trail) {
        if let Some(ended) = ended.as_ref().filter(|_| !row.test) {
            event::call_ended(row.keys.campaign.as_ref(), ended.reason, None, Money::ZERO, Money::ZERO);
        }
        let mut rows = vec![Row::Decided(Box::new(row)), Row::Trail(Box::new(trail.row()))];
        rows.extend(ended.map(|ended| Row::Ended(Box::new(ended))));
        self.exchange.recorder.push(rows);
        let pending = trail.pending();
        count_outcomes(trail, |target| !pending.contains(&target));
    }

    /// Sees to it that every ping that is out gets its outcome.
    fn await_replies(self: &Arc<Self>, mut trail: Trail, outstanding: Option<(Outstanding, Vec<TargetIx>)>) {
        let pending = trail.pending();
        match outstanding {
            _ if pending.is_empty() => {}
            Some((outstanding, members)) => {
                let worker = Arc::clone(self);
                tokio::spawn(async move { worker.linger(outstanding, members, trail, pending).await });
            }
            None => {
                // Nobody's reply can come any more.
                pending.iter().for_each(|target| trail.time_out(*target));
                self.record_final(&trail, &pending);
            }
        }
    }

    /// Waits for late replies, then writes the outcomes that were pending.
    async fn linger(
        self: Arc<Self>,
        outstanding: Outstanding,
        members: Vec<TargetIx>,
        mut trail: Trail,
        pending: Vec<TargetIx>,
    ) {
        for late in outstanding.finish().await {
            trail.resolve(members[late.entrant], late);
        }
        for target in &pending {
            trail.time_out(*target);
        }
        self.record_final(&trail, &pending);
    }

    fn record_final(&self, trail: &Trail, pending: &[TargetIx]) {
        count_outcomes(trail, |target| pending.contains(&target));
        self.exchange.recorder.push(vec![Row::Trail(Box::new(trail.row()))]);
    }

    /// The call as it lives on in memory.
    fn live(
        &self,
        ctx: &Ctx,
        prepared: &Prepared<'_>,
        taken: Option<Taken>,
        reply: &CarrierReply,
        token: u128,
        now: Timestamp,
    ) -> Live {
        let catalog = &ctx.in_force.snapshot.catalog;
        let late_events = self.exchange.rules.late_events;
        let mut call = Call::new();
        let mut offered = Vec::new();
        let is_dialled = is_dial(&reply.action);
        if let Some(taken) = taken.filter(|_| is_dialled) {
            let target = catalog.target(taken.target);
            let patience = Patience {
                late_events,
                unanswered: target.ring + UNANSWERED_SLACK,
                answered: target.max_talk + ANSWERED_SLACK,
            };
            call.offer(1, patience, now);
            let line =
                prepared.subject.line.expect("a call to an unknown number is never offered to a target");
            offered.push(Offered {
                attempt: 1,
                target: target.id.clone(),
                buyer: catalog.buyer(target.buyer).id.clone(),
                terms: Terms {
                    price: taken.offer.price,
                    min_duration: taken.offer.min_duration,
                    payout: *catalog.payout(line.publisher, line.campaign),
                    money_step: ctx.in_force.snapshot.money_step,
                    test: ctx.request.test,
                },
                hold: taken.guard.keep(),
            });
        } else if is_dialled {
            let unanswered = TERMINAL_RING + UNANSWERED_SLACK;
            call.offer(
                1,
                Patience { late_events, unanswered, answered: TERMINAL_TALK + ANSWERED_SLACK },
                now,
            );
        }
        let over = call.is_over();
        Live {
            key: ctx.key(),
            at: ctx.arrived,
            campaign: prepared.subject.campaign(catalog).map(|campaign| campaign.id.clone()),
            publisher: prepared.subject.line.map(|line| catalog.publisher(line.publisher).id.clone()),
            caller: ctx.request.tail,
            test: ctx.request.test,
            token,
            call,
            offered,
            over_since: over.then_some(now),
            looked_at: None,
            end_counted: over,
        }
    }
}

/// What the carrier is told to do.
fn action(ctx: &Ctx, prepared: &Prepared<'_>, taken: Option<&Taken>, rules: &Rules) -> Action {
    let catalog = &ctx.in_force.snapshot.catalog;
    let dial = |address: Address, role, ring: Duration| {
        let caller_id = ctx.request.from;
        Action::Dial(DialTarget { attempt: 1, address, role, ring_s: ring.as_secs(), caller_id })
    };
    match taken {
        _ if ctx.request.test => match &rules.test_address {
            Some(address) => dial(address.clone(), "terminal", TERMINAL_RING),
            None => Action::Hangup(HangupCause::Normal),
        },
        Some(taken) => {
            let target = catalog.target(taken.target);
            let address = taken.offer.destination.clone().unwrap_or_else(|| target.address.clone());
            dial(address, "buyer", target.ring)
        }
        None => match &prepared.subject.plan.terminal {
            Terminal::Dial(address) => dial(address.clone(), "terminal", TERMINAL_RING),
            Terminal::Voicemail(greeting) => Action::Voicemail(greeting.clone()),
            Terminal::Message(text) => Action::Message(text.clone()),
            Terminal::Hangup(cause) => Action::Hangup(*cause),
        },
    }
}

fn is_dial(action: &Action) -> bool {
    matches!(action, Action::Dial(_))
}

fn valid_until(taken: Option<&Taken>, now: Timestamp) -> Timestamp {
    let life = now.after(ANSWER_LIFE);
    taken.and_then(|taken| taken.offer.expires).map_or(life, |expires| expires.min(life))
}

fn decided_row(
    ctx: &Ctx,
    prepared: &Prepared<'_>,
    taken: Option<&Taken>,
    reply: &CarrierReply,
    caller_key: Secret,
) -> DecidedRow {
    let catalog = &ctx.in_force.snapshot.catalog;
    let request = &ctx.request;
    let target = taken.map(|taken| catalog.target(taken.target));
    let number = match &prepared.subject.line {
        Some(line) => line.number.number.reveal(),
        None => request.to.to_string(),
    };
    let of_number = prepared.subject.line.and_then(|line| line.number.sub_id.clone());
    DecidedRow {
        keys: prepared.trail.keys(),
        carrier: catalog.carrier(ctx.carrier).id.clone(),
        carrier_call_id: kept(&request.carrier_call_id, request.tail),
        test: request.test,
        number,
        sub_id: request.sub_id.clone().or(of_number).map(|sub_id| kept(&sub_id, request.tail)),
        caller: match request.from {
            Some(number) => number.to_string(),
            None if request.withheld => "withheld".to_owned(),
            None => "no valid number".to_owned(),
        },
        caller_token: request.from.map(|number| record_token(&caller_key, number)),
        state: prepared.subject.state.clone(),
        basis: reply.basis,
        action: reply.action.as_str(),
        reason: reply.reason,
        target: target.map(|target| target.id.clone()),
        buyer: target.map(|target| catalog.buyer(target.buyer).id.clone()),
        price: taken.map(|taken| taken.offer.price),
        decided_us: 0,
        overhead_us: None,
        catalog: catalog.digest.clone(),
    }
}

/// The end of a call whose decision was its end.
fn ended_at_once(ctx: &Ctx, prepared: &Prepared<'_>, reason: Reason, now: Timestamp) -> EndedRow {
    EndedRow {
        keys: prepared.trail.keys(),
        target: None,
        buyer: None,
        ended_at: now,
        reason,
        connected: false,
        talk_ms: 0,
        talk_source: "none",
        ended_by: "exchange",
        billable: false,
        payable: false,
        negative_margin: false,
        counts: EndCounts { ended: i64::from(!ctx.request.test), ..EndCounts::default() },
    }
}

fn count_outcomes(trail: &Trail, counted: impl Fn(TargetIx) -> bool) {
    if trail.is_test() {
        return;
    }
    for (target, outcome) in trail.targets().into_iter().zip(trail.outcomes()) {
        if counted(target) {
            event::outcome(&outcome.buyer, outcome.reason);
        }
    }
}
