//! Images of calls in version 1: the call as it lives on, its machine, its attempts and its holds. Ids and numbers as
//! bytes, variants as codes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rest::RestV1;
use super::rows::EndCountsV1;
use super::words::{
    BASIS, Coded, DigestV1, PayoutV1, SpanV1, at, buyer, campaign, carrier, money, publisher, reason, target,
};
use super::{DecodeError, Id, hold_id, id};
use crate::billing::{Settlement, Terms};
use crate::call::image::{Attempt, CallImage, End};
use crate::call::{Kind, Patience, Recovery};
use crate::capacity::hold::{HoldImage, HoldState};
use crate::capacity::{Basis, CapKey, Entity};
use crate::domain::{
    AttemptEnd, CallId, CampaignId, Cause, EndedBy, PublisherId, Tail, TalkSource, Timestamp,
};
use crate::records::entry::HealthImage;
use crate::state::calls::CallKey;
use crate::state::image::{LiveImage, OfferedImage, TakerImage};

/// All but the call's id, which stands before it.
#[derive(Serialize, Deserialize)]
pub(super) struct CallV1<'a> {
    carrier: &'a str,
    carrier_call_id: &'a str,
    at: i64,
    campaign: Option<&'a str>,
    publisher: Option<&'a str>,
    caller: Option<[u8; 7]>,
    test: bool,
    token: Id,
    signed: bool,
    call: MachineV1,
    #[serde(borrow)]
    offered: Vec<OfferedV1<'a>>,
    rest: Option<RestV1<'a>>,
    said_goodbye: bool,
    over_since: Option<i64>,
    counted: Option<EndCountsV1>,
}

#[derive(Serialize, Deserialize)]
struct MachineV1 {
    attempts: Vec<LegV1>,
    early_hangup: SpanV1,
    most_attempts: u32,
    ring_budget: SpanV1,
    next_within: SpanV1,
    caller_gone: bool,
    closed: bool,
    next_by: Option<i64>,
    asked: bool,
    over: bool,
}

#[derive(Serialize, Deserialize)]
struct LegV1 {
    number: u32,
    kind: u8,
    ringing: Option<i64>,
    answered: Option<i64>,
    bridged: Option<i64>,
    end: Option<ToldEndV1>,
    rang: Option<SpanV1>,
    slots_free: bool,
    expired: bool,
    settled: Option<EndV1>,
    late_events: SpanV1,
    unanswered_for: SpanV1,
    answered_for: SpanV1,
    offered: i64,
    expires: i64,
    judge_at: Option<i64>,
    handed_back: Option<i64>,
    step: u32,
    screened: bool,
}

#[derive(Serialize, Deserialize)]
struct ToldEndV1 {
    at: i64,
    cause: u8,
    ended_by: u8,
    talk_ms: Option<u64>,
    inferred: bool,
}

#[derive(Serialize, Deserialize)]
struct EndV1 {
    cause: u8,
    ended_by: u8,
    connected: bool,
    talk_ms: u64,
    talk_source: u8,
    at: i64,
    handed_back: bool,
}

#[derive(Serialize, Deserialize)]
struct OfferedV1<'a> {
    attempt: u32,
    step: u32,
    at: i64,
    basis: &'a str,
    why: u16,
    #[serde(borrow)]
    catalog: DigestV1<'a>,
    taker: Option<TakerV1<'a>>,
    end: Option<(EndV1, Option<SettlementV1>)>,
    leg: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct TakerV1<'a> {
    target: &'a str,
    buyer: &'a str,
    price: i64,
    min_duration: SpanV1,
    payout: PayoutV1,
    money_step: i64,
    test: bool,
    #[serde(borrow)]
    hold: HoldV1<'a>,
}

#[derive(Serialize, Deserialize)]
struct HoldV1<'a> {
    hold: Id,
    state: u8,
    resolved: bool,
    #[serde(borrow)]
    slots: Vec<CapKeyV1<'a>>,
    units: Vec<CapKeyV1<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CapKeyV1<'a> {
    #[serde(borrow)]
    entity: CapEntityV1<'a>,
    basis: u8,
    window: i64,
}

#[derive(Serialize, Deserialize)]
enum CapEntityV1<'a> {
    Buyer(&'a str),
    Target(&'a str),
}

#[derive(Serialize, Deserialize)]
struct SettlementV1 {
    billable: bool,
    reason: u16,
    payable: bool,
    revenue: i64,
    payout: i64,
    margin: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HealthV1<'a> {
    target: &'a str,
    buyer: &'a str,
    endpoint: &'a str,
    misses_in_a_row: u32,
    answered_at: i64,
}

fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::micros)
}

impl<'a> CallV1<'a> {
    pub(super) fn of(image: &'a LiveImage) -> CallV1<'a> {
        CallV1 {
            carrier: image.key.carrier.as_str(),
            carrier_call_id: &image.key.carrier_call_id,
            at: image.at.micros(),
            campaign: image.campaign.as_ref().map(CampaignId::as_str),
            publisher: image.publisher.as_ref().map(PublisherId::as_str),
            caller: image.caller.map(Tail::digits),
            test: image.test,
            token: id(image.token),
            signed: image.signed,
            call: MachineV1::of(&image.call),
            offered: image.offered.iter().map(OfferedV1::of).collect(),
            rest: image.rest.as_deref().map(RestV1::of),
            said_goodbye: image.said_goodbye,
            over_since: micros(image.over_since),
            counted: image.counted.map(EndCountsV1::of),
        }
    }

    pub(super) fn read(self, call: CallId) -> Result<LiveImage, DecodeError> {
        let carrier_call_id = self.carrier_call_id.to_owned();
        Ok(LiveImage {
            id: call,
            key: Arc::new(CallKey { carrier: carrier(self.carrier)?, carrier_call_id }),
            at: at(self.at),
            campaign: self.campaign.map(campaign).transpose()?,
            publisher: self.publisher.map(publisher).transpose()?,
            caller: self.caller.map(tail).transpose()?,
            test: self.test,
            token: u128::from_be_bytes(self.token),
            signed: self.signed,
            call: self.call.read()?,
            offered: self.offered.into_iter().map(OfferedV1::read).collect::<Result<_, _>>()?,
            rest: self.rest.map(|rest| rest.read().map(Arc::new)).transpose()?,
            said_goodbye: self.said_goodbye,
            over_since: self.over_since.map(at),
            counted: self.counted.map(EndCountsV1::read),
        })
    }

    /// Its holds, and nothing else of it.
    pub(super) fn holds(self) -> Result<Vec<HoldImage>, DecodeError> {
        self.offered.into_iter().filter_map(|offered| Some(offered.taker?.hold.read())).collect()
    }
}

pub(super) fn tail(digits: [u8; 7]) -> Result<Tail, DecodeError> {
    Tail::from_digits(digits).ok_or(DecodeError::Invalid { what: "the tail of a number" })
}

impl MachineV1 {
    fn of(call: &CallImage) -> MachineV1 {
        MachineV1 {
            attempts: call.attempts.iter().map(LegV1::of).collect(),
            early_hangup: SpanV1::of(call.recovery.early_hangup),
            most_attempts: call.recovery.attempts,
            ring_budget: SpanV1::of(call.recovery.ring_budget),
            next_within: SpanV1::of(call.recovery.next_within),
            caller_gone: call.caller_gone,
            closed: call.closed,
            next_by: micros(call.next_by),
            asked: call.asked,
            over: call.over,
        }
    }

    fn read(self) -> Result<CallImage, DecodeError> {
        Ok(CallImage {
            attempts: self.attempts.into_iter().map(LegV1::read).collect::<Result<_, _>>()?,
            recovery: Recovery {
                early_hangup: self.early_hangup.read()?,
                attempts: self.most_attempts,
                ring_budget: self.ring_budget.read()?,
                next_within: self.next_within.read()?,
            },
            caller_gone: self.caller_gone,
            closed: self.closed,
            next_by: self.next_by.map(at),
            asked: self.asked,
            over: self.over,
        })
    }
}

impl LegV1 {
    fn of(attempt: &Attempt) -> LegV1 {
        LegV1 {
            number: attempt.number,
            kind: attempt.kind.code(),
            ringing: micros(attempt.ringing),
            answered: micros(attempt.answered),
            bridged: micros(attempt.bridged),
            end: attempt.end.map(ToldEndV1::of),
            rang: attempt.rang.map(SpanV1::of),
            slots_free: attempt.slots_free,
            expired: attempt.expired,
            settled: attempt.settled.map(EndV1::of),
            late_events: SpanV1::of(attempt.patience.late_events),
            unanswered_for: SpanV1::of(attempt.patience.unanswered),
            answered_for: SpanV1::of(attempt.patience.answered),
            offered: attempt.offered.micros(),
            expires: attempt.expires.micros(),
            judge_at: micros(attempt.judge_at),
            handed_back: micros(attempt.handed_back),
            step: attempt.step,
            screened: attempt.screened,
        }
    }

    fn read(self) -> Result<Attempt, DecodeError> {
        Ok(Attempt {
            number: self.number,
            kind: Kind::read(self.kind)?,
            ringing: self.ringing.map(at),
            answered: self.answered.map(at),
            bridged: self.bridged.map(at),
            end: self.end.map(ToldEndV1::read).transpose()?,
            rang: self.rang.map(SpanV1::read).transpose()?,
            slots_free: self.slots_free,
            expired: self.expired,
            settled: self.settled.map(EndV1::read).transpose()?,
            patience: Patience {
                late_events: self.late_events.read()?,
                unanswered: self.unanswered_for.read()?,
                answered: self.answered_for.read()?,
            },
            offered: at(self.offered),
            expires: at(self.expires),
            judge_at: self.judge_at.map(at),
            handed_back: self.handed_back.map(at),
            step: self.step,
            screened: self.screened,
        })
    }
}

impl ToldEndV1 {
    fn of(end: End) -> ToldEndV1 {
        ToldEndV1 {
            at: end.at.micros(),
            cause: end.cause.code(),
            ended_by: end.ended_by.code(),
            talk_ms: end.talk_ms,
            inferred: end.inferred,
        }
    }

    fn read(self) -> Result<End, DecodeError> {
        Ok(End {
            at: at(self.at),
            cause: Cause::read(self.cause)?,
            ended_by: EndedBy::read(self.ended_by)?,
            talk_ms: self.talk_ms,
            inferred: self.inferred,
        })
    }
}

impl EndV1 {
    fn of(end: AttemptEnd) -> EndV1 {
        EndV1 {
            cause: end.cause.code(),
            ended_by: end.ended_by.code(),
            connected: end.connected,
            talk_ms: end.talk_ms,
            talk_source: end.talk_source.code(),
            at: end.at.micros(),
            handed_back: end.handed_back,
        }
    }

    fn read(self) -> Result<AttemptEnd, DecodeError> {
        Ok(AttemptEnd {
            cause: Cause::read(self.cause)?,
            ended_by: EndedBy::read(self.ended_by)?,
            connected: self.connected,
            talk_ms: self.talk_ms,
            talk_source: TalkSource::read(self.talk_source)?,
            at: at(self.at),
            handed_back: self.handed_back,
        })
    }
}

impl<'a> OfferedV1<'a> {
    fn of(offered: &'a OfferedImage) -> OfferedV1<'a> {
        OfferedV1 {
            attempt: offered.attempt,
            step: offered.step,
            at: offered.at.micros(),
            basis: BASIS.of(offered.basis),
            why: offered.why.code(),
            catalog: DigestV1::of(&offered.catalog),
            taker: offered.taker.as_ref().map(TakerV1::of),
            end: offered
                .end
                .as_ref()
                .map(|(end, settlement)| (EndV1::of(*end), settlement.map(SettlementV1::of))),
            leg: offered.leg.as_deref(),
        }
    }

    fn read(self) -> Result<OfferedImage, DecodeError> {
        let end = |(end, settlement): (EndV1, Option<SettlementV1>)| {
            Ok((end.read()?, settlement.map(SettlementV1::read).transpose()?))
        };
        Ok(OfferedImage {
            attempt: self.attempt,
            step: self.step,
            at: at(self.at),
            basis: BASIS.read(self.basis)?,
            why: reason(self.why)?,
            catalog: self.catalog.read().into(),
            taker: self.taker.map(TakerV1::read).transpose()?,
            end: self.end.map(end).transpose()?,
            leg: self.leg.map(str::to_owned),
        })
    }
}

impl<'a> TakerV1<'a> {
    fn of(taker: &'a TakerImage) -> TakerV1<'a> {
        TakerV1 {
            target: taker.target.as_str(),
            buyer: taker.buyer.as_str(),
            price: taker.terms.price.micros(),
            min_duration: SpanV1::of(taker.terms.min_duration),
            payout: PayoutV1::of(&taker.terms.payout),
            money_step: taker.terms.money_step.micros(),
            test: taker.terms.test,
            hold: HoldV1::of(&taker.hold),
        }
    }

    fn read(self) -> Result<TakerImage, DecodeError> {
        Ok(TakerImage {
            target: target(self.target)?,
            buyer: buyer(self.buyer)?,
            terms: Terms {
                price: money(self.price),
                min_duration: self.min_duration.read()?,
                payout: self.payout.read(),
                money_step: money(self.money_step),
                test: self.test,
            },
            hold: self.hold.read()?,
        })
    }
}

impl<'a> HoldV1<'a> {
    fn of(hold: &'a HoldImage) -> HoldV1<'a> {
        HoldV1 {
            hold: id(hold.id.bits()),
            state: hold.state.code(),
            resolved: hold.resolved,
            slots: hold.slots.iter().map(CapKeyV1::of).collect(),
            units: hold.units.iter().map(CapKeyV1::of).collect(),
        }
    }

    fn read(self) -> Result<HoldImage, DecodeError> {
        Ok(HoldImage {
            id: hold_id(self.hold),
            state: HoldState::read(self.state)?,
            resolved: self.resolved,
            slots: self.slots.into_iter().map(CapKeyV1::read).collect::<Result<_, _>>()?,
            units: self.units.into_iter().map(CapKeyV1::read).collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> CapKeyV1<'a> {
    pub(super) fn of(key: &'a CapKey) -> CapKeyV1<'a> {
        CapKeyV1 {
            entity: match &key.entity {
                Entity::Buyer(id) => CapEntityV1::Buyer(id.as_str()),
                Entity::Target(id) => CapEntityV1::Target(id.as_str()),
            },
            basis: key.basis.code(),
            window: key.window.micros(),
        }
    }

    pub(super) fn read(self) -> Result<CapKey, DecodeError> {
        Ok(CapKey {
            entity: match self.entity {
                CapEntityV1::Buyer(id) => Entity::Buyer(buyer(id)?),
                CapEntityV1::Target(id) => Entity::Target(target(id)?),
            },
            basis: Basis::read(self.basis)?,
            window: at(self.window),
        })
    }
}

impl SettlementV1 {
    fn of(settlement: Settlement) -> SettlementV1 {
        SettlementV1 {
            billable: settlement.billable,
            reason: settlement.reason.code(),
            payable: settlement.payable,
            revenue: settlement.revenue.micros(),
            payout: settlement.payout.micros(),
            margin: settlement.margin.micros(),
        }
    }

    fn read(self) -> Result<Settlement, DecodeError> {
        Ok(Settlement {
            billable: self.billable,
            reason: reason(self.reason)?,
            payable: self.payable,
            revenue: money(self.revenue),
            payout: money(self.payout),
            margin: money(self.margin),
        })
    }
}

impl<'a> HealthV1<'a> {
    pub(super) fn of(health: &'a HealthImage) -> HealthV1<'a> {
        HealthV1 {
            target: health.target.as_str(),
            buyer: health.buyer.as_str(),
            endpoint: &health.endpoint,
            misses_in_a_row: health.misses_in_a_row,
            answered_at: health.answered_at.micros(),
        }
    }

    pub(super) fn read(self) -> Result<HealthImage, DecodeError> {
        Ok(HealthImage {
            target: target(self.target)?,
            buyer: buyer(self.buyer)?,
            endpoint: self.endpoint.to_owned(),
            misses_in_a_row: self.misses_in_a_row,
            answered_at: at(self.answered_at),
        })
    }
}
