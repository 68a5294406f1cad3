//! Rows in version 1. Their words are kept as words, ids of what is made at run time as 16 bytes, reasons as codes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::callers::ListedV1;
use super::changes::{ChangeKeyV1, EntityV1, ValueV1};
use super::words::{
    ACTION, BASIS, CLOSE, DigestV1, ENDED_BY, EVENT, GEO_SOURCE, LEDGER, TALK_SOURCE, at, buyer, campaign,
    carrier, money, publisher, reason, target,
};
use super::{DecodeError, Id, call_id, id};
use crate::domain::change::{Happened, Noted, Origin};
use crate::domain::{BuyerId, CampaignId, EndCounts, Money, PublisherId, TargetId};
use crate::records::packed::{self, UnpackError};
use crate::records::row::{
    AttemptRow, CallKeys, CatalogRow, DecidedRow, EndFacts, EndedRow, EventRow, Fact, FactsRow, LedgerRow,
    OutcomeRow, PackedTrail, Row, TrailRow,
};
use crate::records::stored::{StoredFacts, StoredOutcome, StoredTrail};

#[derive(Serialize, Deserialize)]
pub(super) enum RowV1<'a> {
    #[serde(borrow)]
    Decided(DecidedV1<'a>),
    Trail(TrailV1<'a>),
    Event(EventV1<'a>),
    Attempt(AttemptV1<'a>),
    Ended(EndedV1<'a>),
    Ledger(LedgerV1<'a>),
    Catalog(CatalogV1<'a>),
    Change(NotedV1<'a>),
    Listed(ListedV1<'a>),
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeysV1<'a> {
    call: Id,
    at: i64,
    #[serde(borrow)]
    campaign: Option<&'a str>,
    publisher: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DecidedV1<'a> {
    #[serde(borrow)]
    keys: KeysV1<'a>,
    carrier: &'a str,
    carrier_call_id: &'a str,
    test: bool,
    number: &'a str,
    sub_id: Option<&'a str>,
    caller: &'a str,
    caller_token: Option<u64>,
    state: Option<&'a str>,
    basis: &'a str,
    action: &'a str,
    reason: u16,
    target: Option<&'a str>,
    buyer: Option<&'a str>,
    price: Option<i64>,
    decided_us: u64,
    overhead_us: Option<u64>,
    catalog: DigestV1<'a>,
}

/// A step as the store has it: packed once, passed on as it is.
#[derive(Serialize, Deserialize)]
pub(super) struct TrailV1<'a> {
    call: Id,
    step: u32,
    is_final: bool,
    test: bool,
    #[serde(borrow, with = "bytes")]
    doc: Cow<'a, [u8]>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EventV1<'a> {
    call: Id,
    event_id: &'a str,
    attempt: Option<u32>,
    kind: &'a str,
    at: Option<i64>,
    received: i64,
    detail: &'a str,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AttemptV1<'a> {
    #[serde(borrow)]
    keys: KeysV1<'a>,
    attempt: u32,
    step: u32,
    test: bool,
    offered_at: i64,
    basis: &'a str,
    reason: u16,
    target: Option<&'a str>,
    buyer: Option<&'a str>,
    price: Option<i64>,
    catalog: DigestV1<'a>,
    end: Option<FactsV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct FactsV1<'a> {
    ended_at: i64,
    reason: u16,
    connected: bool,
    talk_ms: u64,
    talk_source: &'a str,
    ended_by: &'a str,
    billable: bool,
    payable: bool,
    negative_margin: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EndedV1<'a> {
    #[serde(borrow)]
    keys: KeysV1<'a>,
    target: Option<&'a str>,
    buyer: Option<&'a str>,
    end: FactsV1<'a>,
    counts: EndCountsV1,
}

/// What an end counts for.
#[derive(Serialize, Deserialize)]
pub(super) struct EndCountsV1 {
    ended: i64,
    connected: i64,
    billable: i64,
    talk_ms: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LedgerV1<'a> {
    #[serde(borrow)]
    keys: KeysV1<'a>,
    buyer: &'a str,
    target: &'a str,
    group: &'a str,
    kind: &'a str,
    account: &'a str,
    amount: i64,
    booked_at: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CatalogV1<'a> {
    #[serde(borrow)]
    digest: DigestV1<'a>,
    text: &'a str,
    since: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct NotedV1<'a> {
    #[serde(borrow)]
    entity: EntityV1<'a>,
    key: ChangeKeyV1,
    happened: HappenedV1,
    file: ValueV1,
    actor: &'a str,
    by: Option<&'a str>,
    at: i64,
}

#[derive(Serialize, Deserialize)]
enum HappenedV1 {
    Set(ValueV1),
    TakenBack,
    FileWon,
}

impl<'a> RowV1<'a> {
    pub(super) fn of(row: &'a Row) -> RowV1<'a> {
        match row {
            Row::Decided(row) => RowV1::Decided(DecidedV1::of(row)),
            Row::Trail(row) => RowV1::Trail(TrailV1::of(row)),
            Row::Event(row) => RowV1::Event(EventV1::of(row)),
            Row::Attempt(row) => RowV1::Attempt(AttemptV1::of(row)),
            Row::Ended(row) => RowV1::Ended(EndedV1::of(row)),
            Row::Ledger(row) => RowV1::Ledger(LedgerV1::of(row)),
            Row::Catalog(row) => RowV1::Catalog(CatalogV1::of(row)),
            Row::Change(noted) => RowV1::Change(NotedV1::of(noted)),
            Row::Listed(row) => RowV1::Listed(ListedV1::of(row)),
        }
    }

    pub(super) fn read(self) -> Result<Row, DecodeError> {
        Ok(match self {
            RowV1::Decided(row) => Row::Decided(Box::new(row.read()?)),
            RowV1::Trail(row) => Row::Trail(Box::new(row.read()?)),
            RowV1::Event(row) => Row::Event(Box::new(row.read()?)),
            RowV1::Attempt(row) => Row::Attempt(Box::new(row.read()?)),
            RowV1::Ended(row) => Row::Ended(Box::new(row.read()?)),
            RowV1::Ledger(row) => Row::Ledger(row.read()?),
            RowV1::Catalog(row) => Row::Catalog(row.read()),
            RowV1::Change(noted) => Row::Change(Box::new(noted.read()?)),
            RowV1::Listed(row) => Row::Listed(Box::new(row.read()?)),
        })
    }

    /// For the store, which has no use for a step taken apart.
    pub(super) fn fact(self) -> Result<Fact<'a>, DecodeError> {
        Ok(match self {
            RowV1::Trail(row) => Fact::Trail(row.packed()),
            row => Fact::Row(row.read()?),
        })
    }
}

impl<'a> KeysV1<'a> {
    fn of(keys: &'a CallKeys) -> KeysV1<'a> {
        KeysV1 {
            call: id(keys.call_id.bits()),
            at: keys.at.micros(),
            campaign: keys.campaign.as_ref().map(CampaignId::as_str),
            publisher: keys.publisher.as_ref().map(PublisherId::as_str),
        }
    }

    fn read(self) -> Result<CallKeys, DecodeError> {
        Ok(CallKeys {
            call_id: call_id(self.call),
            at: at(self.at),
            campaign: self.campaign.map(campaign).transpose()?,
            publisher: self.publisher.map(publisher).transpose()?,
        })
    }
}

impl<'a> DecidedV1<'a> {
    fn of(row: &'a DecidedRow) -> DecidedV1<'a> {
        DecidedV1 {
            keys: KeysV1::of(&row.keys),
            carrier: row.carrier.as_str(),
            carrier_call_id: &row.carrier_call_id,
            test: row.test,
            number: &row.number,
            sub_id: row.sub_id.as_deref(),
            caller: &row.caller,
            caller_token: row.caller_token,
            state: row.state.as_deref(),
            basis: BASIS.of(row.basis),
            action: ACTION.of(row.action),
            reason: row.reason.code(),
            target: row.target.as_ref().map(TargetId::as_str),
            buyer: row.buyer.as_ref().map(BuyerId::as_str),
            price: row.price.map(Money::micros),
            decided_us: row.decided_us,
            overhead_us: row.overhead_us,
            catalog: DigestV1::of(&row.catalog),
        }
    }

    fn read(self) -> Result<DecidedRow, DecodeError> {
        Ok(DecidedRow {
            keys: self.keys.read()?,
            carrier: carrier(self.carrier)?,
            carrier_call_id: self.carrier_call_id.to_owned(),
            test: self.test,
            number: self.number.to_owned(),
            sub_id: self.sub_id.map(str::to_owned),
            caller: self.caller.to_owned(),
            caller_token: self.caller_token,
            state: self.state.map(str::to_owned),
            basis: BASIS.read(self.basis)?,
            action: ACTION.read(self.action)?,
            reason: reason(self.reason)?,
            target: self.target.map(target).transpose()?,
            buyer: self.buyer.map(buyer).transpose()?,
            price: self.price.map(money),
            decided_us: self.decided_us,
            overhead_us: self.overhead_us,
            catalog: self.catalog.read(),
        })
    }
}

impl<'a> TrailV1<'a> {
    fn of(row: &'a TrailRow) -> TrailV1<'a> {
        debug_assert_eq!(CLOSE.of(row.close), row.close);
        let doc = packed::pack(row).expect("structures of known lengths always fit into memory");
        TrailV1 {
            call: id(row.keys.call_id.bits()),
            step: row.step,
            is_final: row.is_final,
            test: row.test,
            doc: Cow::Owned(doc),
        }
    }

    fn read(self) -> Result<TrailRow, DecodeError> {
        let what = "a trail";
        let unpacked = packed::unpack(0, call_id(self.call), self.step, self.is_final, &self.doc);
        let stored = unpacked.map_err(|error| match error {
            UnpackError::Damaged(source) => DecodeError::Damaged { what, source },
            UnpackError::UnknownVersion { found } => DecodeError::UnknownVersion { found },
            UnpackError::Empty | UnpackError::TooLong => DecodeError::Length { what },
        })?;
        trail(stored, self.test)
    }

    fn packed(self) -> PackedTrail<'a> {
        let TrailV1 { call, step, is_final, test, doc } = self;
        PackedTrail { call_id: call_id(call), step, is_final, test, doc }
    }
}

/// A step as it was when it was packed.
pub(super) fn trail(stored: StoredTrail, test: bool) -> Result<TrailRow, DecodeError> {
    Ok(TrailRow {
        keys: CallKeys {
            call_id: stored.call_id,
            at: stored.at,
            campaign: stored.campaign.as_deref().map(campaign).transpose()?,
            publisher: stored.publisher.as_deref().map(publisher).transpose()?,
        },
        step: stored.step,
        is_final: stored.is_final,
        test,
        seed: stored.seed,
        close: CLOSE.read(&stored.close)?,
        asked_us: stored.asked_us,
        closed_us: stored.closed_us,
        plan: stored.plan,
        tags: stored.tags,
        outcomes: stored.outcomes.into_iter().map(outcome).collect::<Result<_, _>>()?,
        turns: stored.turns,
        facts: stored.facts.map(facts).transpose()?,
    })
}

fn outcome(stored: StoredOutcome) -> Result<OutcomeRow, DecodeError> {
    Ok(OutcomeRow {
        target: target(&stored.target)?,
        buyer: buyer(&stored.buyer)?,
        reason: reason(stored.reason)?,
        amount: stored.amount,
        ping: stored.ping,
        latency_us: stored.latency_us,
        note: stored.note,
    })
}

/// What a step was decided by, as it was when it was packed.
pub(super) fn facts(stored: StoredFacts) -> Result<FactsRow, DecodeError> {
    Ok(FactsRow {
        at: stored.at,
        catalog: stored.catalog,
        state: stored.state,
        geo_source: GEO_SOURCE.read(&stored.geo_source)?,
        country: stored.country,
        area_code: stored.area_code,
        zip3: stored.zip3,
        attestation: stored.attestation,
        has_number: stored.has_number,
        not_kept: stored.not_kept,
        branches: stored.branches,
        lists: stored.lists,
        earlier_attempts: stored.earlier_attempts,
        floor_row: stored.floor_row,
        verified: stored.verified,
    })
}

/// Bytes with their number before them, copied and lent as a whole: as a sequence serde would take them one by one.
mod bytes {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ptr_arg, reason = "serde hands the field as it is")]
    pub fn serialize<S: Serializer>(bytes: &Cow<'_, [u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cow<'de, [u8]>, D::Error> {
        <&[u8]>::deserialize(from).map(Cow::Borrowed)
    }
}

impl<'a> EventV1<'a> {
    fn of(row: &'a EventRow) -> EventV1<'a> {
        EventV1 {
            call: id(row.call_id.bits()),
            event_id: &row.event_id,
            attempt: row.attempt,
            kind: EVENT.of(row.kind),
            at: row.at.map(|at| at.micros()),
            received: row.received.micros(),
            detail: &row.detail,
        }
    }

    fn read(self) -> Result<EventRow, DecodeError> {
        Ok(EventRow {
            call_id: call_id(self.call),
            event_id: self.event_id.to_owned(),
            attempt: self.attempt,
            kind: EVENT.read(self.kind)?,
            at: self.at.map(at),
            received: at(self.received),
            detail: self.detail.to_owned(),
        })
    }
}

impl<'a> AttemptV1<'a> {
    fn of(row: &'a AttemptRow) -> AttemptV1<'a> {
        AttemptV1 {
            keys: KeysV1::of(&row.keys),
            attempt: row.attempt,
            step: row.step,
            test: row.test,
            offered_at: row.offered_at.micros(),
            basis: BASIS.of(row.basis),
            reason: row.reason.code(),
            target: row.target.as_ref().map(TargetId::as_str),
            buyer: row.buyer.as_ref().map(BuyerId::as_str),
            price: row.price.map(Money::micros),
            catalog: DigestV1::of(&row.catalog),
            end: row.end.as_ref().map(FactsV1::of),
        }
    }

    fn read(self) -> Result<AttemptRow, DecodeError> {
        Ok(AttemptRow {
            keys: self.keys.read()?,
            attempt: self.attempt,
            step: self.step,
            test: self.test,
            offered_at: at(self.offered_at),
            basis: BASIS.read(self.basis)?,
            reason: reason(self.reason)?,
            target: self.target.map(target).transpose()?,
            buyer: self.buyer.map(buyer).transpose()?,
            price: self.price.map(money),
            catalog: self.catalog.read(),
            end: self.end.map(FactsV1::read).transpose()?,
        })
    }
}

impl<'a> FactsV1<'a> {
    fn of(end: &'a EndFacts) -> FactsV1<'a> {
        FactsV1 {
            ended_at: end.ended_at.micros(),
            reason: end.reason.code(),
            connected: end.connected,
            talk_ms: end.talk_ms,
            talk_source: TALK_SOURCE.of(end.talk_source),
            ended_by: ENDED_BY.of(end.ended_by),
            billable: end.billable,
            payable: end.payable,
            negative_margin: end.negative_margin,
        }
    }

    fn read(self) -> Result<EndFacts, DecodeError> {
        Ok(EndFacts {
            ended_at: at(self.ended_at),
            reason: reason(self.reason)?,
            connected: self.connected,
            talk_ms: self.talk_ms,
            talk_source: TALK_SOURCE.read(self.talk_source)?,
            ended_by: ENDED_BY.read(self.ended_by)?,
            billable: self.billable,
            payable: self.payable,
            negative_margin: self.negative_margin,
        })
    }
}

impl<'a> EndedV1<'a> {
    fn of(row: &'a EndedRow) -> EndedV1<'a> {
        EndedV1 {
            keys: KeysV1::of(&row.keys),
            target: row.target.as_ref().map(TargetId::as_str),
            buyer: row.buyer.as_ref().map(BuyerId::as_str),
            end: FactsV1::of(&row.end),
            counts: EndCountsV1::of(row.counts),
        }
    }

    fn read(self) -> Result<EndedRow, DecodeError> {
        Ok(EndedRow {
            keys: self.keys.read()?,
            target: self.target.map(target).transpose()?,
            buyer: self.buyer.map(buyer).transpose()?,
            end: self.end.read()?,
            counts: self.counts.read(),
        })
    }
}

impl EndCountsV1 {
    pub(super) const fn of(counts: EndCounts) -> EndCountsV1 {
        let EndCounts { ended, connected, billable, talk_ms } = counts;
        EndCountsV1 { ended, connected, billable, talk_ms }
    }

    pub(super) const fn read(self) -> EndCounts {
        let EndCountsV1 { ended, connected, billable, talk_ms } = self;
        EndCounts { ended, connected, billable, talk_ms }
    }
}

impl<'a> LedgerV1<'a> {
    fn of(row: &'a LedgerRow) -> LedgerV1<'a> {
        LedgerV1 {
            keys: KeysV1::of(&row.keys),
            buyer: row.buyer.as_str(),
            target: row.target.as_str(),
            group: &row.group,
            kind: LEDGER.of(row.kind),
            account: &row.account,
            amount: row.amount.micros(),
            booked_at: row.booked_at.micros(),
        }
    }

    fn read(self) -> Result<LedgerRow, DecodeError> {
        Ok(LedgerRow {
            keys: self.keys.read()?,
            buyer: buyer(self.buyer)?,
            target: target(self.target)?,
            group: self.group.to_owned(),
            kind: LEDGER.read(self.kind)?,
            account: self.account.to_owned(),
            amount: money(self.amount),
            booked_at: at(self.booked_at),
        })
    }
}

impl<'a> CatalogV1<'a> {
    fn of(row: &'a CatalogRow) -> CatalogV1<'a> {
        CatalogV1 { digest: DigestV1::of(&row.digest), text: &row.text, since: row.since.micros() }
    }

    fn read(self) -> CatalogRow {
        CatalogRow { digest: self.digest.read(), text: self.text.to_owned(), since: at(self.since) }
    }
}

impl<'a> NotedV1<'a> {
    fn of(noted: &'a Noted) -> NotedV1<'a> {
        NotedV1 {
            entity: EntityV1::of(&noted.entity),
            key: ChangeKeyV1::of(noted.key),
            happened: match noted.happened {
                Happened::Set(value) => HappenedV1::Set(ValueV1::of(value)),
                Happened::TakenBack => HappenedV1::TakenBack,
                Happened::FileWon => HappenedV1::FileWon,
            },
            file: ValueV1::of(noted.file),
            actor: &noted.origin.actor,
            by: noted.origin.by.as_deref(),
            at: noted.origin.at.micros(),
        }
    }

    fn read(self) -> Result<Noted, DecodeError> {
        let by = self.by.map(str::to_owned);
        Ok(Noted {
            entity: self.entity.read()?,
            key: self.key.read(),
            happened: match self.happened {
                HappenedV1::Set(value) => Happened::Set(value.read()?),
                HappenedV1::TakenBack => Happened::TakenBack,
                HappenedV1::FileWon => Happened::FileWon,
            },
            file: self.file.read()?,
            origin: Origin { actor: self.actor.to_owned(), by, at: at(self.at) },
        })
    }
}
