//! A decision becomes an answer: what the carrier is told, the call as it lives on, and the rows that explain it.
//!
//! What was decided is not changed here any more.

use std::sync::Arc;
use std::time::Duration;

use super::decide::{Ctx, Prepared, Rings};
use super::progress::{Aftermath, attempt_row};
use super::story::{Decided, Taken};
use super::subject::{Subject, kept, record_token};
use super::{Rules, Worker};
use crate::auction::Offer;
use crate::billing::Terms;
use crate::call::{Call, Kind, Patience, Recovery};
use crate::carrier::generic::Draft;
use crate::carrier::{Action, CarrierReply, DialTarget};
use crate::domain::catalog::{CarrierDialect, Secret};
use crate::domain::{
    Address, Campaign, CampaignId, Carrier, Catalog, EndCounts, HangupCause, Money, Reason, TargetIx,
    Terminal, Timestamp,
};
use crate::records::row::{DecidedRow, EndFacts, EndedRow, Row};
use crate::routing::ring_tree::Step;
use crate::state::calls::{Answer, CallKey, Ticket};
use crate::state::live::{Course, Live, Offered, Open, Taker};
use crate::state::rest::{Ahead, AuctionAhead, Rest, STANDING_MAX, Standing, TogetherAhead};
use crate::telemetry::event::{self, Asked};
use crate::telemetry::stage::{Laps, Stage};

/// How long after a decision its answer may be acted on, where no bid's life ends sooner: the slack of a hold.
const ANSWER_LIFE: Duration = Duration::from_secs(20);
/// Beyond the ring time an unanswered attempt keeps its hold.
const UNANSWERED_SLACK: Duration = Duration::from_secs(20);
/// Beyond the longest talk an answered attempt keeps its hold.
const ANSWERED_SLACK: Duration = Duration::from_secs(60);
/// Ring time and longest talk of a plan's own fallback destination.
const TERMINAL_RING: Duration = Duration::from_secs(30);
const TERMINAL_TALK: Duration = Duration::from_secs(14_400);

/// What a decision told the carrier, and is still to be done.
pub(super) struct Told {
    pub(super) answer: Arc<Answer>,
    pub(super) at: Timestamp,
    laps: Laps,
}

/// The call of a decision as it was opened.
pub(super) struct Opened {
    /// Who was handed the call, and at which price.
    sold: Option<(TargetIx, Money)>,
    /// A call that its decision ended, as it was before it was let go of.
    ended: Aftermath,
}

impl Worker {
    /// Not even the catalog could be asked: a polite end, without a record.
    pub(super) fn last_resort(&self, ctx: &Ctx, mut ticket: Ticket) {
        let now = self.exchange.clock.now();
        let reply = CarrierReply {
            call_id: ctx.call_id,
            step: 1,
            action: Action::Hangup(HangupCause::Congestion),
            basis: "terminal",
            reason: Reason::InternalError,
            valid_until: now.after(ANSWER_LIFE),
            max_talk_s: 0,
            caller: ctx.caller,
            token: None,
            decided_us: now.since(ctx.arrived).as_micros() as u64,
        };
        let mut open = self.open(ctx, None);
        // Its end is nobody's record: it counts for nothing.
        let _ = open.call.close(now);
        let mut live = live(ctx, ticket.key(), None, open, now);
        self.exchange.watch(ctx.call_id, &mut live, now);
        self.exchange.state.calls.open(ctx.call_id, live);
        let answer = self.answer(ctx.carrier(), reply, ctx.about);
        ticket.tell_first(&answer, None);
        ticket.finish(&answer);
    }

    /// Answers whoever asked first. What that answer does not need is left for [`Worker::open_told`] and
    /// [`Worker::note`].
    pub(super) fn tell(
        &self,
        ctx: &Ctx,
        prepared: &Prepared<'_>,
        decided: &mut Decided,
        ticket: &mut Ticket,
    ) -> Told {
        let now = self.exchange.clock.now();
        let mut laps = decided.laps;
        laps.end(Stage::Hold, now);
        let mut reply = self.reply(ctx, prepared, decided, now);
        let ready = self.exchange.clock.now();
        laps.end(Stage::Answer, ready);
        reply.decided_us = ready.since(ctx.arrived).as_micros() as u64;
        let answer = self.answer(ctx.carrier(), reply, ctx.about);
        ticket.tell_first(&answer, decided.draft.take());
        Told { answer, at: now, laps }
    }

    /// Opens the call that whoever asked first was told of: it keeps what was held.
    pub(super) fn open_told(
        &self,
        ctx: &Ctx,
        prepared: &Prepared<'_>,
        decided: &mut Decided,
        (told, key): (&Told, &Arc<CallKey>),
    ) -> Opened {
        let (reply, now) = (&told.answer.reply, told.at);
        let taken = decided.taken.take();
        let sold = taken.as_ref().map(|taken| (taken.target, taken.price));
        let mut open = self.open(ctx, Some(prepared));
        if is_dial(&reply.action) {
            self.hand_out(ctx, prepared, &mut open, taken, reply, now);
        } else {
            let _ = open.call.close(now);
            open.counted = Some(counts_at_once(ctx));
        }
        let mut live = live(ctx, key, prepared.trail.keys().campaign, open, now);
        let mut ended = Aftermath::default();
        if live.over_since.is_some() {
            ended.picture(&live);
            live.settle();
        }
        self.exchange.state.calls.open(ctx.call_id, live);
        Opened { sold, ended }
    }

    /// Counts the decision, puts what later steps are taken by into the call, and records what was told.
    pub(super) fn note(
        self: &Arc<Self>,
        ctx: &Ctx,
        mut prepared: Prepared<'_>,
        mut decided: Decided,
        Told { answer, at, laps }: Told,
        Opened { sold, ended }: Opened,
    ) {
        let reply = &answer.reply;
        let campaign = prepared.subject.campaign(&ctx.in_force.snapshot.catalog).map(|campaign| &campaign.id);
        event::decision_made(campaign, reply.basis, reply.reason, &laps, decided.asked);
        if !is_dial(&reply.action) && !ctx.request.test {
            event::call_ended(campaign, reply.reason, None, Money::ZERO, Money::ZERO);
        }
        let mut aftermath = ended;
        decided.conclude(ctx, &mut prepared.trail);
        prepared.explain(ctx);
        let rows = if is_dial(&reply.action) {
            let (keys, rest) = (prepared.trail.keys(), Arc::new(self.rest(ctx, &prepared, &decided)));
            let attempts = self.exchange.state.calls.with(ctx.call_id, |live| {
                let open = live.open_mut()?;
                open.rest = Some(rest);
                let row = |offered| Row::Attempt(Box::new(attempt_row(&keys, open.test, offered, at)));
                let attempts: Vec<Row> = open.offered.iter().map(row).collect();
                aftermath.picture(live);
                Some(attempts)
            });
            attempts.flatten().unwrap_or_default()
        } else {
            vec![Row::Ended(Box::new(ended_at_once(ctx, &prepared, reply.reason, at)))]
        };
        let mut first = decided_row(ctx, &prepared, sold, reply, &self.exchange.rules.caller_key);
        first.decided_us = laps.whole().as_micros() as u64;
        first.overhead_us = (decided.asked != Asked::Cold).then_some(laps.own().as_micros() as u64);
        aftermath.rows.push(Row::Decided(Box::new(first)));
        aftermath.rows.extend(rows);
        self.record(ctx, aftermath.entry(Some(&answer)), prepared.trail, decided.out);
    }

    /// What all requests for this step get.
    pub(super) fn answer(&self, carrier: &Carrier, reply: CarrierReply, about: u64) -> Arc<Answer> {
        Arc::new(Answer { reply, base: Arc::clone(self.base(carrier)), about })
    }

    fn base<'a>(&'a self, carrier: &'a Carrier) -> &'a Arc<str> {
        carrier.public_url.as_ref().unwrap_or(&self.exchange.rules.public_base_url)
    }

    /// The answer by an offer of an auction that leads, drafted while the last bid is waited for. `None` where there is
    /// nothing to gain by it.
    pub(super) fn draft(
        &self,
        ctx: &Ctx,
        (subject, rings): (&Subject<'_>, &Rings),
        target: TargetIx,
        offer: &Offer,
    ) -> Option<Box<Draft>> {
        let catalog = &ctx.in_force.snapshot.catalog;
        if ctx.request.test || ctx.step > 1 || ctx.carrier().dialect != CarrierDialect::Generic {
            return None;
        }
        let reply = CarrierReply {
            call_id: ctx.call_id,
            step: ctx.step,
            action: Action::Dial(rung(ctx, (subject, rings), ctx.attempt, target, offer, false)),
            basis: "auction",
            reason: Reason::Won,
            valid_until: ctx.arrived,
            max_talk_s: catalog.target(target).max_talk.as_secs(),
            caller: ctx.caller,
            token: Some(ctx.token),
            decided_us: 0,
        };
        Some(Box::new(Draft::of(reply, self.base(ctx.carrier()))))
    }

    pub(super) fn reply(
        &self,
        ctx: &Ctx,
        prepared: &Prepared<'_>,
        decided: &Decided,
        now: Timestamp,
    ) -> CarrierReply {
        let (rules, taken) = (&self.exchange.rules, decided.taken.as_ref());
        let catalog = &ctx.in_force.snapshot.catalog;
        let action = action(ctx, prepared, taken, rules);
        CarrierReply {
            call_id: ctx.call_id,
            step: ctx.step,
            basis: taken.filter(|_| is_dial(&action)).map_or("terminal", |taken| taken.basis),
            reason: match taken {
                _ if ctx.request.test => Reason::Test,
                Some(taken) => taken.reason,
                None => decided.reason,
            },
            valid_until: valid_until(taken, now),
            max_talk_s: longest_talk(catalog, taken).as_secs(),
            caller: ctx.caller,
            token: Some(ctx.token),
            decided_us: 0,
            action,
        }
    }

    /// The call as it begins, without an attempt.
    fn open(&self, ctx: &Ctx, prepared: Option<&Prepared<'_>>) -> Open {
        let catalog = &ctx.in_force.snapshot.catalog;
        let line = prepared.and_then(|prepared| prepared.subject.line);
        Open {
            at: ctx.call_at,
            publisher: line.map(|line| catalog.publisher(line.publisher).id.clone()),
            test: ctx.request.test,
            call: Call::new(self.recovery(line.map(|line| catalog.campaign(line.campaign)))),
            offered: Vec::new(),
            rest: None,
            counted: None,
        }
    }

    fn recovery(&self, campaign: Option<&Campaign>) -> Recovery {
        Recovery {
            early_hangup: campaign.map_or(Duration::ZERO, |campaign| campaign.recovery),
            attempts: campaign.map_or(1, |campaign| campaign.attempts),
            ring_budget: campaign.map_or(TERMINAL_RING, |campaign| campaign.ring_budget),
            next_within: self.exchange.rules.next_within,
        }
    }

    /// What later steps are taken by.
    pub(super) fn rest(&self, ctx: &Ctx, prepared: &Prepared<'_>, decided: &Decided) -> Rest {
        let catalog = &ctx.in_force.snapshot.catalog;
        let id = |ix: &TargetIx| catalog.target(*ix).id.clone();
        let standing = decided.beaten.iter().take(STANDING_MAX);
        Rest {
            request: Arc::clone(&ctx.request),
            plan: prepared.way.plan.clone(),
            terminal: prepared.way.terminal.clone(),
            payout: prepared.way.promised.or_else(|| {
                let line = prepared.subject.line?;
                Some(*catalog.payout(line.publisher, line.campaign))
            }),
            seed: ctx.seed,
            standing: standing
                .map(|(ix, ranked, basis)| Standing {
                    target: id(ix),
                    buyer: catalog.buyer(catalog.target(*ix).buyer).id.clone(),
                    ranked: ranked.clone(),
                    basis,
                })
                .collect(),
            walk: prepared.way.walk[decided.walked..]
                .iter()
                .map(|(place, step)| (*place, ahead(catalog, step)))
                .collect(),
            rings: prepared.way.rings.iter().map(|(ix, ring)| (id(ix), *ring)).collect(),
        }
    }

    /// The attempt that an answer hands out, by the terms of now.
    pub(super) fn offered(
        &self,
        ctx: &Ctx,
        prepared: &Prepared<'_>,
        taken: Option<Taken>,
        reply: &CarrierReply,
        now: Timestamp,
    ) -> Offered {
        let catalog = &ctx.in_force.snapshot.catalog;
        let at = taken.as_ref().map_or(now, |taken| taken.held.at);
        let taker = taken.map(|taken| {
            let target = catalog.target(taken.target);
            let line =
                prepared.subject.line.expect("a call to an unknown number is never offered to a target");
            let payout = prepared.way.promised.unwrap_or(*catalog.payout(line.publisher, line.campaign));
            Taker {
                target: target.id.clone(),
                buyer: catalog.buyer(target.buyer).id.clone(),
                terms: Terms {
                    price: taken.price,
                    min_duration: taken.offer.min_duration,
                    payout,
                    money_step: ctx.in_force.snapshot.money_step,
                    test: ctx.request.test,
                },
                hold: taken.held.keep(),
            }
        });
        Offered {
            attempt: ctx.attempt,
            step: ctx.step,
            at,
            basis: reply.basis,
            why: reply.reason,
            catalog: catalog.digest.clone(),
            taker,
            end: None,
            leg: None,
        }
    }

    /// How the machine takes the attempt.
    pub(super) fn kind(&self, ctx: &Ctx, offered: &Offered) -> Kind {
        match (&offered.taker, ctx.carrier().dialect) {
            (None, _) => Kind::Terminal,
            (Some(_), CarrierDialect::Generic) => Kind::Target,
            (Some(_), CarrierDialect::Twilio) => Kind::ProvenTarget,
        }
    }

    /// How long what is waited for with an attempt that rings so long.
    pub(super) fn patience(&self, ctx: &Ctx, prepared: &Prepared<'_>, taken: Option<TargetIx>) -> Patience {
        let late_events = self.exchange.rules.late_events;
        let (ring, talk) = match taken {
            Some(target) => {
                let asked = (&prepared.subject, &prepared.way.rings);
                (ring(ctx, asked, target), ctx.in_force.snapshot.catalog.target(target).max_talk)
            }
            None => (TERMINAL_RING, TERMINAL_TALK),
        };
        Patience { late_events, unanswered: ring + UNANSWERED_SLACK, answered: talk + ANSWERED_SLACK }
    }
}

/// A step of the walk as a call keeps it.
pub(super) fn ahead(catalog: &Catalog, step: &Step<'_>) -> Ahead {
    let id = |ix: &TargetIx| catalog.target(*ix).id.clone();
    match step {
        Step::Dial(target) => Ahead::Dial(id(target)),
        Step::Together(node) => Ahead::Together(Box::new(TogetherAhead {
            members: node.members.iter().map(id).collect(),
            screen: node.screen,
        })),
        Step::Auction(node) => Ahead::Auction(Box::new(AuctionAhead {
            members: node.members.iter().map(id).collect(),
            floor: node.floor,
            takeover: node.takeover,
            timeout: node.timeout,
        })),
    }
}

/// The call as it lives on in memory.
fn live(ctx: &Ctx, key: &Arc<CallKey>, campaign: Option<CampaignId>, open: Open, now: Timestamp) -> Live {
    Live {
        id: ctx.call_id,
        key: Arc::clone(key),
        campaign,
        caller: ctx.request.tail,
        token: ctx.token,
        signed: ctx.carrier().dialect == CarrierDialect::Twilio,
        over_since: open.call.is_over().then_some(now),
        course: Course::Open(Box::new(open)),
        steps: Vec::new(),
        said_goodbye: false,
        looked_at: None,
    }
}

/// What the carrier is told to do.
fn action(ctx: &Ctx, prepared: &Prepared<'_>, taken: Option<&Taken>, rules: &Rules) -> Action {
    let asked = (&prepared.subject, &prepared.way.rings);
    let terminal = |address: &Address, ring: Duration| DialTarget {
        attempt: ctx.attempt,
        address: address.clone(),
        role: "terminal",
        ring_s: ring.as_secs(),
        caller_id: ctx.request.from,
        screen: false,
    };
    match taken {
        _ if ctx.request.test => match &rules.test_address {
            Some(address) => {
                // As long as the target would: its attempt is waited for no longer.
                let ring = taken.map_or(TERMINAL_RING, |taken| ring(ctx, asked, taken.target));
                Action::Dial(terminal(address, ring))
            }
            None => Action::Hangup(HangupCause::Normal),
        },
        Some(taken) => {
            let of = |(attempt, taken): (u32, &Taken)| {
                rung(ctx, asked, attempt, taken.target, &taken.offer, taken.screen)
            };
            match taken.together.is_empty() {
                true => Action::Dial(of((ctx.attempt, taken))),
                false => Action::DialAll((ctx.attempt..).zip(taken.all()).map(of).collect()),
            }
        }
        None => match prepared.way.terminal {
            Terminal::Dial(address) => Action::Dial(terminal(address, TERMINAL_RING)),
            Terminal::Voicemail(greeting) => Action::Voicemail(greeting.clone()),
            Terminal::Message(text) => Action::Message(text.clone()),
            Terminal::Hangup(cause) => Action::Hangup(*cause),
        },
    }
}

/// A target that is rung by its offer.
fn rung(
    ctx: &Ctx,
    asked: (&Subject<'_>, &Rings),
    attempt: u32,
    target: TargetIx,
    offer: &Offer,
    screen: bool,
) -> DialTarget {
    let configured = &ctx.in_force.snapshot.catalog.target(target).address;
    DialTarget {
        attempt,
        address: offer.destination.as_ref().unwrap_or(configured).clone(),
        role: "buyer",
        ring_s: ring(ctx, asked, target).as_secs(),
        caller_id: ctx.request.from,
        screen,
    }
}

/// How long the target rings: its own time, as far as its place in the plan allows, within what is left of the call's budget.
fn ring(ctx: &Ctx, (subject, rings): (&Subject<'_>, &Rings), target: TargetIx) -> Duration {
    let catalog = &ctx.in_force.snapshot.catalog;
    let budget = subject.campaign(catalog).map_or(Duration::MAX, |campaign| campaign.ring_budget);
    let of_place = rings.iter().find(|(ix, _)| *ix == target).map_or(Duration::MAX, |(_, ring)| *ring);
    catalog.target(target).ring.min(of_place).min(ctx.ring).min(budget)
}

pub(super) fn is_dial(action: &Action) -> bool {
    matches!(action, Action::Dial(_) | Action::DialAll(_))
}

/// How long the call may last: as long as each may talk who is rung.
fn longest_talk(catalog: &Catalog, taken: Option<&Taken>) -> Duration {
    let talks = taken.into_iter().flat_map(Taken::all).map(|taken| catalog.target(taken.target).max_talk);
    talks.min().unwrap_or(TERMINAL_TALK)
}

fn valid_until(taken: Option<&Taken>, now: Timestamp) -> Timestamp {
    let life = now.after(ANSWER_LIFE);
    taken.and_then(|taken| taken.offer.expires).map_or(life, |expires| expires.min(life))
}

fn decided_row(
    ctx: &Ctx,
    prepared: &Prepared<'_>,
    sold: Option<(TargetIx, Money)>,
    reply: &CarrierReply,
    caller_key: &Secret,
) -> DecidedRow {
    let catalog = &ctx.in_force.snapshot.catalog;
    let request = &ctx.request;
    let target = sold.map(|(target, _)| catalog.target(target));
    let number = match &prepared.subject.line {
        Some(line) => line.number.number.reveal(),
        None => request.to.to_string(),
    };
    let of_number = prepared.subject.line.and_then(|line| line.number.sub_id.as_deref());
    let sub_id = request.sub_id.as_deref().or(of_number);
    DecidedRow {
        keys: prepared.trail.keys(),
        carrier: catalog.carrier(ctx.carrier).id.clone(),
        carrier_call_id: kept(&request.carrier_call_id, request.tail).into_owned(),
        test: request.test,
        number,
        sub_id: sub_id.map(|sub_id| kept(sub_id, request.tail).into_owned()),
        caller: match request.from {
            Some(number) => number.to_string(),
            None if request.withheld => "withheld".to_owned(),
            None => "no valid number".to_owned(),
        },
        caller_token: request.from.map(|number| record_token(caller_key, number)),
        state: prepared.subject.state.clone(),
        basis: reply.basis,
        action: reply.action.as_str(),
        reason: reply.reason,
        target: target.map(|target| target.id.clone()),
        buyer: target.map(|target| catalog.buyer(target.buyer).id.clone()),
        price: sold.map(|(_, price)| price),
        decided_us: 0,
        overhead_us: None,
        catalog: catalog.digest.to_string(),
    }
}

/// The end of a call whose decision was its end.
fn ended_at_once(ctx: &Ctx, prepared: &Prepared<'_>, reason: Reason, now: Timestamp) -> EndedRow {
    EndedRow {
        keys: prepared.trail.keys(),
        target: None,
        buyer: None,
        end: EndFacts {
            ended_at: now,
            reason,
            connected: false,
            talk_ms: 0,
            talk_source: "none",
            ended_by: "exchange",
            billable: false,
            payable: false,
            negative_margin: false,
        },
        counts: counts_at_once(ctx),
    }
}

/// What it counts for.
fn counts_at_once(ctx: &Ctx) -> EndCounts {
    EndCounts { ended: i64::from(!ctx.request.test), ..EndCounts::default() }
}
