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
use crate::billing::ledger::entries;
use crate::billing::{Settlement, settle};
use crate::call::event::{CallEvent, Effect};
use crate::capacity::hold::Changes;
use crate::carrier::generic::CarrierEvent;
use crate::domain::{
    AttemptEnd, CallId, CampaignId, CarrierId, EndedBy, Money, Reason, TalkSource, Timestamp,
};
use crate::records::CommitError;
use crate::records::row::{CallKeys, EndCounts, EndedRow, EventRow, LedgerRow, Row};
use crate::state::calls::{Live, Offered};
use crate::telemetry::event;

/// Why a report was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// No such call, or another token: who does not know one is not told the other.
    Unknown,
    /// The key belongs to another carrier than the call.
    OtherCarrier,
    /// The attempt was never handed out.
    NoAttempt,
    /// It is not known to be on disk: the carrier must try again.
    NotDurable(CommitError),
}

/// What a change of a call leads to outside it.
#[derive(Default)]
struct Aftermath {
    changes: Changes,
    rows: Vec<Row>,
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

impl Exchange {
    /// Takes a carrier's report. `carrier` is who showed a key, if anybody did. Detached: it runs to its end even when
    /// the carrier's connection drops.
    pub async fn report(
        self: &Arc<Self>,
        call: CallId,
        token: u128,
        carrier: Option<CarrierId>,
        reported: CarrierEvent,
    ) -> Result<(), NotTaken> {
        let exchange = Arc::clone(self);
        let told = tokio::spawn(async move { exchange.take_report(call, token, carrier, reported).await });
        told.await.unwrap_or_else(|_| {
            event::panicked("progress", "a carrier's event");
            Err(NotTaken::NotDurable(CommitError::Failed("an internal error".to_owned())))
        })
    }

    async fn take_report(
        &self,
        call: CallId,
        token: u128,
        carrier: Option<CarrierId>,
        reported: CarrierEvent,
    ) -> Result<(), NotTaken> {
        let slot = self.recorder.reserve().map_err(NotTaken::NotDurable)?;
        let now = self.clock.now();
        let joined = self.state.calls.with(call, |live| {
            let mut aftermath = self.join(call, live, token, carrier.as_ref(), &reported, now)?;
            let written = slot.commit(std::mem::take(&mut aftermath.rows));
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
        id: CallId,
        live: &mut Live,
        token: u128,
        carrier: Option<&CarrierId>,
        reported: &CarrierEvent,
        now: Timestamp,
    ) -> Result<Aftermath, NotTaken> {
        if !same(live.token, token) {
            return Err(NotTaken::Unknown);
        }
        if carrier.is_some_and(|carrier| *carrier != live.key.carrier) {
            return Err(NotTaken::OtherCarrier);
        }
        let CallEvent { attempt, at, .. } = reported.event;
        if attempt.is_some_and(|attempt| !live.call.has_attempt(attempt)) {
            return Err(NotTaken::NoAttempt);
        }
        let effects = live.call.on_event(&reported.event, now);
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
        self.watch(id, live, now);
        Ok(aftermath)
    }

    /// Lets time pass for one call; see `sweep`. `None` when the disk's queue is full: then nothing has changed.
    pub(super) fn pass_time(self: &Arc<Self>, id: CallId, now: Timestamp) -> Option<()> {
        let slot = self.recorder.reserve().ok()?;
        let passed = self.state.calls.with(id, |live| {
            let effects = live.call.on_time(now);
            let mut aftermath = self.run(id, live, effects, now);
            self.watch(id, live, now);
            let rows = std::mem::take(&mut aftermath.rows);
            let written = (!rows.is_empty()).then(|| slot.commit(rows));
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
    fn run(&self, id: CallId, live: &mut Live, effects: Vec<Effect>, now: Timestamp) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let settled = effects.iter().any(|effect| matches!(effect, Effect::Settle { .. }));
        for effect in effects {
            match effect {
                Effect::FreeSlots { attempt } => {
                    if let Some(offered) = offered(live, attempt) {
                        aftermath.changes.extend(offered.hold.free_slots());
                    }
                }
                Effect::Expire { attempt } => {
                    if let Some(offered) = offered(live, attempt) {
                        aftermath.changes.extend(offered.hold.expire());
                    }
                    aftermath.expired = true;
                    let end = lost_end(now);
                    ended(id, live, attempt, &end, None, now, &mut aftermath);
                }
                Effect::Settle { attempt, end } => {
                    let settlement = offered(live, attempt).map(|offered| {
                        let settlement = settle(&offered.terms, &end);
                        let hold = &mut offered.hold;
                        aftermath.changes.extend(if settlement.billable { hold.post() } else { hold.void() });
                        settlement
                    });
                    ended(id, live, attempt, &end, settlement, now, &mut aftermath);
                }
            }
        }
        if live.call.is_over() && (settled || live.over_since.is_none()) {
            live.over_since = Some(now);
        }
        aftermath
    }

    /// Moves capacity and tells what happened. Runs after the call's lock is released.
    fn follow(&self, id: CallId, campaign: Option<&CampaignId>, aftermath: Aftermath) {
        self.state.gauges.apply(aftermath.changes);
        if aftermath.expired {
            event::hold_expired(&id.to_string());
        }
        for end in aftermath.ends {
            event::call_ended(campaign, end.reason, end.talk, end.revenue, end.payout);
        }
    }
}

fn offered(live: &mut Live, attempt: u32) -> Option<&mut Offered> {
    live.offered.iter_mut().find(|offered| offered.attempt == attempt)
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
    }
}

/// The rows of an end: how it ended, and the money if anybody owes any. `settlement` is `None` for an end that was
/// lost, and for calls that went to the plan's own destination.
fn ended(
    id: CallId,
    live: &mut Live,
    attempt: u32,
    end: &AttemptEnd,
    settlement: Option<Settlement>,
    now: Timestamp,
    aftermath: &mut Aftermath,
) {
    let keys = CallKeys {
        call_id: id,
        at: live.at,
        campaign: live.campaign.clone(),
        publisher: live.publisher.clone(),
    };
    let who = live.offered.iter().find(|offered| offered.attempt == attempt);
    let reason = match (&settlement, who) {
        (Some(settlement), _) => settlement.reason,
        (None, Some(_)) => Reason::Unresolved,
        (None, None) => Reason::NoTaker,
    };
    let billable = settlement.is_some_and(|s| s.billable);
    let (revenue, payout) = settlement.map_or((Money::ZERO, Money::ZERO), |s| (s.revenue, s.payout));
    let first = !live.end_counted;
    live.end_counted = true;
    aftermath.rows.push(Row::Ended(Box::new(EndedRow {
        keys: keys.clone(),
        target: who.map(|offered| offered.target.clone()),
        buyer: who.map(|offered| offered.buyer.clone()),
        ended_at: now,
        reason,
        connected: end.connected,
        talk_ms: end.talk_ms,
        talk_source: end.talk_source.as_str(),
        ended_by: end.ended_by.as_str(),
        billable,
        payable: settlement.is_some_and(|s| s.payable),
        negative_margin: settlement.is_some_and(|s| s.margin.micros() < 0),
        counts: if live.test {
            EndCounts::default()
        } else {
            EndCounts {
                ended: i64::from(first),
                connected: i64::from(end.connected),
                billable: i64::from(billable),
                talk_ms: i64::try_from(end.talk_ms).unwrap_or(i64::MAX),
            }
        },
    })));
    if let (Some(settlement), Some(offered)) = (&settlement, who) {
        aftermath.rows.extend(ledger(&keys, offered, settlement, now));
    }
    if first || billable {
        let talk = end.connected.then(|| Duration::from_millis(end.talk_ms));
        aftermath.ends.push(End { reason, talk, revenue, payout });
    }
}

fn ledger(keys: &CallKeys, offered: &Offered, settlement: &Settlement, now: Timestamp) -> Vec<Row> {
    let row = |entry: crate::billing::ledger::Entry| {
        Row::Ledger(LedgerRow {
            keys: keys.clone(),
            buyer: offered.buyer.clone(),
            target: offered.target.clone(),
            group: format!("attempt/{}", offered.attempt),
            kind: entry.kind.as_str(),
            account: account(entry.kind, keys, offered),
            amount: entry.amount,
            booked_at: now,
        })
    };
    entries(settlement).into_iter().map(row).collect()
}

fn account(kind: crate::billing::ledger::Kind, keys: &CallKeys, offered: &Offered) -> String {
    use crate::billing::ledger::Kind;
    match (kind, &keys.publisher) {
        (Kind::Revenue, _) => format!("buyer:{}", offered.buyer),
        (Kind::Payout, Some(publisher)) => format!("publisher:{publisher}"),
        (Kind::Payout, None) | (Kind::Margin, _) => "exchange".to_owned(),
    }
}
