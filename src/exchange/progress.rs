//! A carrier reports what happened to a call: the machine is told, capacity moves, money is booked, all of it on disk
//! before the carrier hears that we know.
//!
//! A place in the queue to the disk is taken first, so that nothing changes in memory that could not be written. Rows
//! are handed in under the call's lock and written in that order, so the answer to a duplicate implies the rows of the
//! original.

use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use super::subject::kept_id;
use super::together::note_leg;
use crate::billing::ledger::entries;
use crate::billing::{Settlement, lost_to_another, settle};
use crate::call::event::{CallEvent, Effect, EventKind};
use crate::capacity::hold::Changes;
use crate::carrier::generic::CarrierEvent;
use crate::domain::{
    AttemptEnd, CallId, CampaignId, CarrierId, EndCounts, EndedBy, Money, Reason, TalkSource, Timestamp,
};
use crate::records::CommitError;
use crate::records::entry::{Entry, Put};
use crate::records::row::{AttemptRow, CallKeys, EndFacts, EndedRow, EventRow, LedgerRow, Row};
use crate::state::calls::Answer;
use crate::state::image::{AnswerImage, LiveImage};
use crate::state::live::{Course, Live, Offered, Open, Taker};
use crate::telemetry::event;

/// Who speaks, and about which call.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The call.
    pub call: CallId,
    /// What its URLs carry; `None` of a carrier that proved otherwise that the call is its own.
    pub token: Option<u128>,
    /// The carrier, if it showed who it is.
    pub carrier: Option<CarrierId>,
    /// The carrier's name for the call, if it said so.
    pub carrier_call_id: Option<String>,
}

impl Claim {
    /// Who speaks knows the call's token, and is its carrier, about that call, if it says so. Where the carrier signs, only
    /// who showed to be that carrier is heard: the token stands in its logs.
    pub(super) fn admit(&self, live: &Live) -> Result<(), NotTaken> {
        if self.token.is_some_and(|token| !same(live.token, token)) {
            return Err(NotTaken::WrongToken);
        }
        let other_call = self.carrier_call_id.as_ref().is_some_and(|id| *id != live.key.carrier_call_id);
        match &self.carrier {
            Some(carrier) if *carrier != live.key.carrier || other_call => Err(NotTaken::OtherCarrier),
            Some(_) => Ok(()),
            None if self.token.is_some() && !live.signed => Ok(()),
            None => Err(NotTaken::WrongToken),
        }
    }
}

/// Why a report was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// No such call.
    Unknown,
    /// Another token than the call's.
    WrongToken,
    /// The call is another carrier's, or goes by another name there.
    OtherCarrier,
    /// The attempt was never handed out.
    NoAttempt,
    /// The step was never answered.
    NoStep,
    /// An attempt of the step has no end yet, and the request for the next one does not say how it ended.
    NoEnd(u32),
    /// It is not known to be on disk: the carrier must try again.
    NotDurable(CommitError),
}

/// What a change of a call leads to outside it.
#[derive(Default)]
pub(super) struct Aftermath {
    changes: Changes,
    pub(super) rows: Vec<Row>,
    /// The call as it is after it, for a restart.
    image: Option<Box<LiveImage>>,
    ends: Vec<End>,
    expired: bool,
}

/// What telemetry is told of an end.
struct End {
    reason: Reason,
    talk: Option<Duration>,
    revenue: Money,
    payout: Money,
}

impl Aftermath {
    /// What comes after it.
    pub(super) fn join(&mut self, later: Aftermath) {
        self.changes.extend(later.changes);
        self.rows.extend(later.rows);
        self.image = later.image.or(self.image.take());
        self.ends.extend(later.ends);
        self.expired |= later.expired;
    }

    /// Takes note of the call as it is now. To be done before it may be settled.
    pub(super) fn picture(&mut self, live: &Live) {
        self.image = live.image().map(Box::new).or(self.image.take());
    }

    /// What is to be written of it, with an answer that was given.
    pub(super) fn entry(&mut self, answer: Option<&Answer>) -> Entry {
        let image = self.image.take().map(Put::Call);
        let answer = answer.map(|answer| Put::Answer(Box::new(AnswerImage::of(answer))));
        Entry { rows: std::mem::take(&mut self.rows), state: image.into_iter().chain(answer).collect() }
    }
}

impl Exchange {
    /// Takes a carrier's report. Detached: it runs to its end even when the carrier's connection drops.
    pub async fn report(self: &Arc<Self>, claim: Claim, reported: CarrierEvent) -> Result<(), NotTaken> {
        let exchange = Arc::clone(self);
        let told = tokio::spawn(async move { exchange.take_report(&claim, reported).await });
        told.await.unwrap_or_else(|_| {
            event::panicked("progress", "a carrier's event");
            Err(NotTaken::NotDurable(CommitError::Failed("an internal error".to_owned())))
        })
    }

    async fn take_report(&self, claim: &Claim, reported: CarrierEvent) -> Result<(), NotTaken> {
        let call = claim.call;
        self.state.calls.noted(call).await;
        let slot = self.recorder.reserve().map_err(NotTaken::NotDurable)?;
        let now = self.clock.now();
        let joined = self.state.calls.with(call, |live| {
            let mut aftermath = self.join(claim, live, &reported, now)?;
            let written = slot.commit(self.with_owed(call, aftermath.entry(None)));
            Ok((aftermath, live.campaign.clone(), written))
        });
        let (aftermath, campaign, written) = joined.unwrap_or(Err(NotTaken::Unknown))?;
        event::event_taken(reported.kind);
        self.follow(call, campaign.as_ref(), aftermath);
        written.await.map_err(|error| {
            event::commit_failed(&call.to_string(), &error.to_string());
            NotTaken::NotDurable(error)
        })
    }

    fn join(
        &self,
        claim: &Claim,
        live: &mut Live,
        reported: &CarrierEvent,
        now: Timestamp,
    ) -> Result<Aftermath, NotTaken> {
        claim.admit(live)?;
        let id = claim.call;
        let CallEvent { at, kind, .. } = reported.event;
        let of_a_leg = !matches!(kind, EventKind::CallEnded { .. } | EventKind::Noted);
        let last = live.latest().filter(|_| of_a_leg);
        let attempt = reported.event.attempt.or(last);
        if of_a_leg && attempt.is_none() {
            return Err(NotTaken::NoAttempt);
        }
        if attempt.is_some_and(|attempt| !live.has_attempt(attempt)) {
            return Err(NotTaken::NoAttempt);
        }
        note_leg(live, attempt, reported.leg.as_ref());
        let event = CallEvent { attempt, ..reported.event.clone() };
        let effects = live.tell(|call| call.on_event(&event, now));
        let mut aftermath = self.run(id, live, effects, now);
        aftermath.rows.insert(
            0,
            Row::Event(Box::new(EventRow {
                call_id: id,
                event_id: kept_id(&self.rules.caller_key, &reported.event_id, live.caller),
                attempt,
                kind: reported.kind,
                at: Some(at),
                received: now,
                detail: reported.detail.clone(),
            })),
        );
        aftermath.picture(live);
        self.watch(id, live, now);
        Ok(aftermath)
    }

    /// Lets time pass for one call; see `sweep`. `None` when the disk's queue is full, or the call's decision is not in it
    /// yet: then nothing has changed.
    pub(super) fn pass_time(self: &Arc<Self>, id: CallId, now: Timestamp) -> Option<()> {
        let slot = self.recorder.reserve().ok()?;
        if !self.state.calls.is_noted(id) {
            return None;
        }
        let passed = self.state.calls.with(id, |live| {
            let effects = live.tell(|call| call.on_time(now));
            let mut aftermath = self.run(id, live, effects, now);
            aftermath.picture(live);
            self.watch(id, live, now);
            let written =
                (!aftermath.rows.is_empty()).then(|| slot.commit(self.with_owed(id, aftermath.entry(None))));
            (aftermath, live.campaign.clone(), written)
        });
        let Some((aftermath, campaign, written)) = passed else { return Some(()) };
        self.follow(id, campaign.as_ref(), aftermath);
        if let Some(written) = written {
            tokio::spawn(async move {
                if let Err(error) = written.await {
                    event::commit_failed(&id.to_string(), &error.to_string());
                }
            });
        }
        Some(())
    }

    /// Runs the machine's effects on the call itself and gathers what they mean outside it.
    pub(super) fn run(&self, id: CallId, live: &mut Live, effects: Vec<Effect>, now: Timestamp) -> Aftermath {
        let mut aftermath = Aftermath::default();
        for effect in effects {
            match effect {
                Effect::FreeSlots { attempt } => {
                    if let Some(taker) = taker(live, attempt) {
                        aftermath.changes.extend(taker.hold.free_slots());
                    }
                }
                Effect::Expire { attempt } => {
                    if let Some(taker) = taker(live, attempt) {
                        aftermath.changes.extend(taker.hold.expire());
                    }
                    aftermath.expired = true;
                    attempt_ended(id, live, attempt, lost_end(now), None, now, &mut aftermath);
                }
                Effect::Void { attempt, end } => {
                    let settlement = taker(live, attempt).map(|taker| {
                        aftermath.changes.extend(taker.hold.void());
                        lost_to_another()
                    });
                    attempt_ended(id, live, attempt, end, settlement, now, &mut aftermath);
                }
                Effect::Settle { attempt, end } => {
                    let other_billed = live.is_billed();
                    let settlement = taker(live, attempt).map(|taker| {
                        let settlement = settle(&taker.terms, &end, other_billed);
                        let hold = &mut taker.hold;
                        aftermath.changes.extend(if settlement.billable { hold.post() } else { hold.void() });
                        settlement
                    });
                    attempt_ended(id, live, attempt, end, settlement, now, &mut aftermath);
                }
                Effect::Over => {
                    live.over_since = Some(now);
                    call_ended(id, live, now, &mut aftermath);
                }
            }
        }
        aftermath
    }

    /// Moves capacity and tells what happened. Runs after the call's lock is released.
    pub(super) fn follow(&self, id: CallId, campaign: Option<&CampaignId>, aftermath: Aftermath) {
        self.state.gauges.apply(aftermath.changes);
        if aftermath.expired {
            event::hold_expired(&id.to_string());
        }
        for end in aftermath.ends {
            event::call_ended(campaign, end.reason, end.talk, end.revenue, end.payout);
        }
    }
}

fn taker(live: &mut Live, attempt: u32) -> Option<&mut Taker> {
    let offered = &mut live.open_mut()?.offered;
    offered.iter_mut().find(|offered| offered.attempt == attempt)?.taker.as_mut()
}

/// Equal in a time that does not depend on where two tokens differ.
fn same(a: u128, b: u128) -> bool {
    std::hint::black_box(a ^ b) == 0
}

/// What is known of an end nobody reported.
fn lost_end(now: Timestamp) -> AttemptEnd {
    AttemptEnd {
        cause: crate::domain::Cause::Failed,
        ended_by: EndedBy::Unknown,
        connected: false,
        talk_ms: 0,
        talk_source: TalkSource::None,
        at: now,
        handed_back: false,
    }
}

/// The end of one attempt: its row, and the money if anybody owes any. `settlement` is `None` for an end that was lost,
/// and for the plan's own destination.
fn attempt_ended(
    id: CallId,
    live: &mut Live,
    attempt: u32,
    end: AttemptEnd,
    settlement: Option<Settlement>,
    now: Timestamp,
    aftermath: &mut Aftermath,
) {
    let Live { campaign, course: Course::Open(open), .. } = live else { return };
    let (keys, test) = (keys(id, campaign, open), open.test);
    let Some(offered) = open.offered.iter_mut().find(|offered| offered.attempt == attempt) else { return };
    offered.end = Some((end, settlement));
    aftermath.rows.push(Row::Attempt(Box::new(attempt_row(&keys, test, offered, now))));
    if let (Some(settlement), Some(taker)) = (&settlement, &offered.taker) {
        aftermath.rows.extend(ledger(&keys, attempt, taker, settlement, now));
    }
}

/// The end of the call, or what is now known of it. Nothing follows any more.
fn call_ended(id: CallId, live: &mut Live, now: Timestamp, aftermath: &mut Aftermath) {
    let Live { campaign, course: Course::Open(open), .. } = live else { return };
    open.rest = None;
    let Some(decisive) = open.decisive() else { return };
    let Some(end) = end_facts(decisive, now) else { return };
    let settlement = decisive.end.as_ref().and_then(|(_, settlement)| *settlement);
    let counts = match open.test {
        true => EndCounts::default(),
        false => EndCounts {
            ended: 1,
            connected: i64::from(end.connected),
            billable: i64::from(end.billable),
            talk_ms: i64::try_from(end.talk_ms).unwrap_or(i64::MAX),
        },
    };
    let before = open.counted.unwrap_or_default();
    if !open.test && (open.counted.is_none() || counts != before) {
        let (revenue, payout) = settlement.map_or((Money::ZERO, Money::ZERO), |s| (s.revenue, s.payout));
        let talk = end.connected.then(|| Duration::from_millis(end.talk_ms));
        aftermath.ends.push(End { reason: end.reason, talk, revenue, payout });
    }
    aftermath.rows.push(Row::Ended(Box::new(EndedRow {
        keys: keys(id, campaign, open),
        target: decisive.taker.as_ref().map(|taker| taker.target.clone()),
        buyer: decisive.taker.as_ref().map(|taker| taker.buyer.clone()),
        end,
        counts: counts.less(before),
    })));
    open.counted = Some(counts);
}

fn keys(id: CallId, campaign: &Option<CampaignId>, open: &Open) -> CallKeys {
    CallKeys { call_id: id, at: open.at, campaign: campaign.clone(), publisher: open.publisher.clone() }
}

/// How an attempt ended, as records have it; `None` while it goes on.
fn end_facts(offered: &Offered, now: Timestamp) -> Option<EndFacts> {
    let (end, settlement) = offered.end.as_ref()?;
    Some(EndFacts {
        ended_at: now,
        reason: offered.outcome()?,
        connected: end.connected,
        talk_ms: end.talk_ms,
        talk_source: end.talk_source.as_str(),
        ended_by: end.ended_by.as_str(),
        billable: settlement.is_some_and(|s| s.billable),
        payable: settlement.is_some_and(|s| s.payable),
        negative_margin: settlement.is_some_and(|s| s.margin.micros() < 0),
    })
}

/// An attempt as records have it.
pub(super) fn attempt_row(keys: &CallKeys, test: bool, offered: &Offered, now: Timestamp) -> AttemptRow {
    AttemptRow {
        keys: keys.clone(),
        attempt: offered.attempt,
        step: offered.step,
        test,
        offered_at: offered.at,
        basis: offered.basis,
        reason: offered.why,
        target: offered.taker.as_ref().map(|taker| taker.target.clone()),
        buyer: offered.taker.as_ref().map(|taker| taker.buyer.clone()),
        price: offered.taker.as_ref().map(|taker| taker.terms.price),
        catalog: offered.catalog.to_string(),
        end: end_facts(offered, now),
    }
}

fn ledger(keys: &CallKeys, attempt: u32, taker: &Taker, settlement: &Settlement, now: Timestamp) -> Vec<Row> {
    let row = |entry: crate::billing::ledger::Entry| {
        Row::Ledger(LedgerRow {
            keys: keys.clone(),
            buyer: taker.buyer.clone(),
            target: taker.target.clone(),
            group: format!("attempt/{attempt}"),
            kind: entry.kind.as_str(),
            account: account(entry.kind, keys, taker),
            amount: entry.amount,
            booked_at: now,
        })
    };
    entries(settlement).into_iter().map(row).collect()
}

fn account(kind: crate::billing::ledger::Kind, keys: &CallKeys, taker: &Taker) -> String {
    use crate::billing::ledger::Kind;
    match (kind, &keys.publisher) {
        (Kind::Revenue, _) => format!("buyer:{}", taker.buyer),
        (Kind::Payout, Some(publisher)) => format!("publisher:{publisher}"),
        (Kind::Payout, None) | (Kind::Margin, _) => "exchange".to_owned(),
    }
}
