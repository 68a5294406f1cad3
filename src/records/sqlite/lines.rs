//! The columns of each kind of line, and the value made of them: a column's place is known here only.

use rusqlite::Row as Line;
use rusqlite::types::Type;

use crate::domain::{CallId, Money, Timestamp};
use crate::records::stored::{
    StoredAttempt, StoredCall, StoredDecision, StoredEnd, StoredEndFacts, StoredEntry, StoredEvent,
    StoredMoney,
};

pub(super) const CALL_COLUMNS: &str = "
  c.call_id, c.at, (SELECT text FROM word WHERE id = c.campaign), (SELECT text FROM word WHERE id = c.publisher),
  c.decided, (SELECT text FROM word WHERE id = c.carrier), c.carrier_call_id, c.test, c.number, c.sub_id, c.caller,
  c.caller_token, c.state, c.basis, c.action, c.reason, (SELECT text FROM word WHERE id = c.target),
  (SELECT text FROM word WHERE id = c.buyer), c.price, c.decided_us, c.overhead_us,
  (SELECT text FROM word WHERE id = c.catalog), c.ended_at, (SELECT text FROM word WHERE id = c.end_target),
  (SELECT text FROM word WHERE id = c.end_buyer), c.end_reason, c.connected, c.talk_ms, c.talk_source, c.ended_by,
  c.billable, c.payable, c.negative_margin,
  (SELECT coalesce(sum(amount), 0) FROM ledger_entry l WHERE l.call_id = c.call_id AND l.kind = 'revenue'),
  (SELECT coalesce(sum(amount), 0) FROM ledger_entry l WHERE l.call_id = c.call_id AND l.kind = 'payout'),
  (SELECT coalesce(sum(amount), 0) FROM ledger_entry l WHERE l.call_id = c.call_id AND l.kind = 'margin'),
  (SELECT count(*) FROM attempt a WHERE a.call_id = c.call_id)";

pub(super) const ATTEMPT_COLUMNS: &str = "
  a.call_id, a.attempt, a.at, (SELECT text FROM word WHERE id = a.campaign),
  (SELECT text FROM word WHERE id = a.publisher), a.step, a.test, a.offered_at, a.basis, a.reason,
  (SELECT text FROM word WHERE id = a.target), (SELECT text FROM word WHERE id = a.buyer), a.price,
  (SELECT text FROM word WHERE id = a.catalog), a.ended_at, a.end_reason, a.connected, a.talk_ms, a.talk_source,
  a.ended_by, a.billable, a.payable, a.negative_margin";

pub(super) const EVENT_COLUMNS: &str = "call_id, event_id, attempt, kind, at, received, detail";

pub(super) const ENTRY_COLUMNS: &str = "
  e.seq, e.call_id, e.at, (SELECT text FROM word WHERE id = e.campaign),
  (SELECT text FROM word WHERE id = e.publisher), (SELECT text FROM word WHERE id = e.buyer),
  (SELECT text FROM word WHERE id = e.target), e.grp, e.kind, (SELECT text FROM word WHERE id = e.account), e.amount,
  e.booked_at";

pub(super) fn call(line: &Line<'_>) -> rusqlite::Result<StoredCall> {
    let decided: bool = line.get(4)?;
    let ended: Option<i64> = line.get(22)?;
    Ok(StoredCall {
        call_id: call_id(line, 0)?,
        at: moment(line, 1)?,
        campaign: text(line, 2)?,
        publisher: text(line, 3)?,
        decision: decided.then(|| decision(line)).transpose()?,
        end: ended.map(|at| end(line, Timestamp::from_micros(at))).transpose()?,
        money: StoredMoney {
            revenue: money(line, 33)?,
            payout: money(line, 34)?.negated(),
            margin: money(line, 35)?.negated(),
        },
        attempts: line.get(36)?,
    })
}

fn decision(line: &Line<'_>) -> rusqlite::Result<StoredDecision> {
    Ok(StoredDecision {
        carrier: line.get(5)?,
        carrier_call_id: line.get(6)?,
        test: line.get(7)?,
        number: line.get(8)?,
        sub_id: line.get(9)?,
        caller: line.get(10)?,
        caller_token: line.get::<_, Option<i64>>(11)?.map(|token| token as u64),
        state: line.get(12)?,
        basis: line.get(13)?,
        action: line.get(14)?,
        reason: line.get(15)?,
        target: text(line, 16)?,
        buyer: text(line, 17)?,
        price: line.get::<_, Option<i64>>(18)?.map(Money::from_micros),
        decided_us: count(line, 19)?,
        overhead_us: line.get::<_, Option<i64>>(20)?.and_then(|us| u64::try_from(us).ok()),
        catalog: line.get(21)?,
    })
}

fn end(line: &Line<'_>, ended_at: Timestamp) -> rusqlite::Result<StoredEnd> {
    Ok(StoredEnd { target: text(line, 23)?, buyer: text(line, 24)?, facts: end_facts(line, 25, ended_at)? })
}

/// The columns of an end from its reason, in column `from`, on: calls and attempts have them in the same order.
fn end_facts(line: &Line<'_>, from: usize, ended_at: Timestamp) -> rusqlite::Result<StoredEndFacts> {
    Ok(StoredEndFacts {
        ended_at,
        reason: line.get(from)?,
        connected: line.get(from + 1)?,
        talk_ms: count(line, from + 2)?,
        talk_source: line.get(from + 3)?,
        ended_by: line.get(from + 4)?,
        billable: line.get(from + 5)?,
        payable: line.get(from + 6)?,
        negative_margin: line.get(from + 7)?,
    })
}

pub(super) fn attempt(line: &Line<'_>) -> rusqlite::Result<StoredAttempt> {
    let ended: Option<i64> = line.get(14)?;
    Ok(StoredAttempt {
        call_id: call_id(line, 0)?,
        attempt: line.get(1)?,
        at: moment(line, 2)?,
        campaign: text(line, 3)?,
        publisher: text(line, 4)?,
        step: line.get(5)?,
        test: line.get(6)?,
        offered_at: moment(line, 7)?,
        basis: line.get(8)?,
        reason: line.get(9)?,
        target: text(line, 10)?,
        buyer: text(line, 11)?,
        price: line.get::<_, Option<i64>>(12)?.map(Money::from_micros),
        catalog: line.get(13)?,
        end: ended.map(|at| end_facts(line, 15, Timestamp::from_micros(at))).transpose()?,
    })
}

pub(super) fn event(line: &Line<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        call_id: call_id(line, 0)?,
        event_id: line.get(1)?,
        attempt: Some(line.get(2)?).filter(|attempt| *attempt != 0),
        kind: line.get(3)?,
        at: line.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
        received: moment(line, 5)?,
        detail: line.get(6)?,
    })
}

pub(super) fn entry(line: &Line<'_>) -> rusqlite::Result<StoredEntry> {
    Ok(StoredEntry {
        seq: line.get(0)?,
        call_id: call_id(line, 1)?,
        at: moment(line, 2)?,
        campaign: text(line, 3)?,
        publisher: text(line, 4)?,
        buyer: line.get(5)?,
        target: line.get(6)?,
        group: line.get(7)?,
        kind: line.get(8)?,
        account: line.get(9)?,
        amount: money(line, 10)?,
        booked_at: moment(line, 11)?,
    })
}

pub(super) fn key(call_id: CallId) -> [u8; 16] {
    call_id.bits().to_be_bytes()
}

pub(super) fn call_id(line: &Line<'_>, column: usize) -> rusqlite::Result<CallId> {
    let bytes: [u8; 16] = line.get(column)?;
    Ok(CallId::from_bits(u128::from_be_bytes(bytes)))
}

pub(super) fn moment(line: &Line<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    line.get(column).map(Timestamp::from_micros)
}

pub(super) fn money(line: &Line<'_>, column: usize) -> rusqlite::Result<Money> {
    line.get(column).map(Money::from_micros)
}

/// Word 0 is "none".
fn text(line: &Line<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(line.get::<_, Option<String>>(column)?.filter(|text| !text.is_empty()))
}

fn count(line: &Line<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = line.get(column)?;
    u64::try_from(value)
        .map_err(|why| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(why)))
}
