//! One batch, one transaction: every row at most once, and the roll-ups that follow from it.
//!
//! Each row has a key of its own beside the number of its batch, so a row that comes again in a later batch adds
//! nothing either. Roll-ups are gathered in memory first: a batch touches each hourly line once.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Applied, Place, StoreError};
use crate::domain::change::Noted;
use crate::domain::{CallId, Money, Timestamp};
use crate::records::packed::{self, Counted};
use crate::records::row::{
    AsFact, AttemptRow, CallKeys, CatalogRow, DecidedRow, EndedRow, EventRow, LedgerRow, ListedRow,
    PackedTrail, Row, TrailRow,
};

/// Hours are stored as their number since the epoch.
pub(super) const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// Texts remembered with their numbers; beyond it the memory starts afresh.
const WORDS_MAX: usize = 100_000;

/// The number of the last batch applied.
pub(super) fn last_batch(conn: &Connection) -> rusqlite::Result<u64> {
    let last: i64 = conn.query_row("SELECT value FROM meta WHERE key = 'batch_no'", (), |row| row.get(0))?;
    Ok(u64::try_from(last).unwrap_or(0))
}

/// How far the store is in which journal.
pub(super) fn place(conn: &Connection) -> rusqlite::Result<Place> {
    let number = |key: &str| -> rusqlite::Result<u64> {
        let value: i64 = conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))?;
        // Its 64 bits: half of all journals have a negative one.
        Ok(value as u64)
    };
    Ok(Place { journal: number("journal")?, seq: number("journal_seq")? })
}

/// Writes the rows, the roll-ups, the number and the place, or nothing.
pub(super) fn batch<'a>(
    conn: &mut Connection,
    words: &mut Words,
    batch_no: u64,
    rows: impl Iterator<Item = AsFact<'a>>,
    reaches: Place,
) -> Result<Applied, StoreError> {
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|source| StoreError::Write { source })?;
    let mut writing = Writing { tx: &tx, words, tally: Tally::default(), repeated: 0, conflicts: 0 };
    for row in rows {
        writing.fact(row)?;
    }
    let (repeated, conflicts) = (writing.repeated, writing.conflicts);
    writing.finish(batch_no, reaches).map_err(|source| StoreError::Write { source })?;
    tx.commit().map_err(|source| StoreError::Commit { source })?;
    Ok(Applied::Now { repeated, conflicts })
}

/// Texts that repeat, each written once and referred to by number. `""` is 0.
#[derive(Debug, Default)]
pub(super) struct Words {
    known: HashMap<Box<str>, i64, RandomState>,
}

impl Words {
    /// Drops what is remembered: a transaction that named new words was rolled back.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    fn number(&mut self, tx: &Transaction, text: &str) -> rusqlite::Result<i64> {
        if text.is_empty() {
            return Ok(0);
        }
        if let Some(number) = self.known.get(text) {
            return Ok(*number);
        }
        tx.prepare_cached("INSERT INTO word (text) VALUES (?1) ON CONFLICT (text) DO NOTHING")?
            .execute([text])?;
        let number: i64 =
            tx.prepare_cached("SELECT id FROM word WHERE text = ?1")?.query_row([text], |row| row.get(0))?;
        if self.known.len() >= WORDS_MAX {
            self.known.clear();
        }
        self.known.insert(text.into(), number);
        Ok(number)
    }
}

/// What a batch adds to the hourly roll-ups.
#[derive(Default)]
struct Tally {
    /// hour, campaign, publisher, buyer, target → the counts in the order of the table.
    pnl: BTreeMap<[i64; 5], [i64; 8]>,
    /// hour, campaign, buyer, target, reason → how often.
    outcomes: HashMap<[i64; 5], i64, RandomState>,
}

struct Writing<'a> {
    tx: &'a Transaction<'a>,
    words: &'a mut Words,
    tally: Tally,
    repeated: u64,
    conflicts: u64,
}

/// The columns every row about a call shares: hour, campaign, publisher.
struct Where {
    hour: i64,
    campaign: i64,
    publisher: i64,
}

impl Writing<'_> {
    fn fact(&mut self, fact: AsFact<'_>) -> Result<(), StoreError> {
        let is_new = match fact {
            AsFact::Trail(trail) => self.trail(trail)?,
            AsFact::Row(Row::Trail(row)) => {
                let doc = packed::pack(row).map_err(|source| StoreError::Pack { source })?;
                let TrailRow { step, is_final, test, .. } = **row;
                let doc = doc.into();
                self.trail(&PackedTrail { call_id: row.keys.call_id, step, is_final, test, doc })?
            }
            AsFact::Row(row) => self.row(row).map_err(|source| StoreError::Write { source })?,
        };
        self.repeated += u64::from(!is_new);
        Ok(())
    }

    /// Any but a step.
    fn row(&mut self, row: &Row) -> rusqlite::Result<bool> {
        match row {
            Row::Decided(row) => self.decided(row),
            Row::Trail(_) => Ok(false),
            Row::Event(row) => self.event(row),
            Row::Attempt(row) => self.attempt(row),
            Row::Ended(row) => self.ended(row),
            Row::Ledger(row) => self.ledger(row),
            Row::Catalog(row) => self.catalog(row),
            Row::Change(row) => self.change(row),
            Row::Listed(row) => self.listed(row),
        }
    }

    /// The call's line, or its decision beside an end that came first. Test calls stay out of the P&L.
    fn decided(&mut self, row: &DecidedRow) -> rusqlite::Result<bool> {
        let place = self.place(&row.keys)?;
        let carrier = self.words.number(self.tx, row.carrier.as_str())?;
        let (buyer, target) = self.who(row.buyer.as_ref(), row.target.as_ref())?;
        let catalog = self.words.number(self.tx, &row.catalog)?;
        let changed = self
            .tx
            .prepare_cached(
                "INSERT INTO call (call_id, at, campaign, publisher, decided, carrier, carrier_call_id, test, number,
                   sub_id, caller, caller_token, state, basis, action, reason, target, buyer, price, decided_us,
                   overhead_us, catalog)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                   ?20, ?21)
                 ON CONFLICT (call_id) DO UPDATE SET decided = 1, carrier = excluded.carrier,
                   carrier_call_id = excluded.carrier_call_id, test = excluded.test, number = excluded.number,
                   sub_id = excluded.sub_id, caller = excluded.caller, caller_token = excluded.caller_token,
                   state = excluded.state, basis = excluded.basis, action = excluded.action,
                   reason = excluded.reason, target = excluded.target, buyer = excluded.buyer,
                   price = excluded.price, decided_us = excluded.decided_us, overhead_us = excluded.overhead_us,
                   catalog = excluded.catalog
                 WHERE decided = 0",
            )?
            .execute(params![
                id(row.keys.call_id),
                row.keys.at.micros(),
                place.campaign,
                place.publisher,
                carrier,
                row.carrier_call_id,
                row.test,
                row.number,
                row.sub_id,
                row.caller,
                row.caller_token.map(|token| token as i64),
                row.state,
                row.basis,
                row.action,
                row.reason.code(),
                target,
                buyer,
                row.price.map(Money::micros),
                int(row.decided_us),
                row.overhead_us.map(int),
                catalog,
            ])?;
        if changed == 1 && !row.test {
            self.count(&place, buyer, target, [1, 0, 0, 0, 0, 0, 0, 0]);
        }
        Ok(changed == 1)
    }

    /// A final row takes the place of a provisional one, at the end of the order; after it nothing replaces it.
    fn trail(&mut self, row: &PackedTrail<'_>) -> Result<bool, StoreError> {
        let is_new = self.trail_line(row).map_err(|source| StoreError::Write { source })?;
        if is_new && row.is_final && !row.test {
            let step = Counted::of(&row.doc).map_err(|source| StoreError::Unpack { source })?;
            let counted = self.outcomes(&step);
            counted.map_err(|source| StoreError::Write { source })?;
        }
        Ok(is_new)
    }

    fn trail_line(&mut self, row: &PackedTrail<'_>) -> rusqlite::Result<bool> {
        let changed = self
            .tx
            .prepare_cached(
                "INSERT INTO trail (call_id, step, is_final, doc) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (call_id, step) DO UPDATE SET seq = excluded.seq, is_final = excluded.is_final,
                   doc = excluded.doc
                 WHERE is_final = 0",
            )?
            .execute(params![id(row.call_id), row.step, row.is_final, row.doc])?;
        Ok(changed == 1)
    }

    fn outcomes(&mut self, step: &Counted<'_>) -> rusqlite::Result<()> {
        let (hour, campaign) = (hour(step.at()), self.words.number(self.tx, step.campaign().unwrap_or(""))?);
        for (buyer, target, reason) in step.outcomes() {
            let buyer = self.words.number(self.tx, buyer)?;
            let target = self.words.number(self.tx, target)?;
            let key = [hour, campaign, buyer, target, i64::from(reason)];
            *self.tally.outcomes.entry(key).or_default() += 1;
        }
        Ok(())
    }

    fn event(&mut self, row: &EventRow) -> rusqlite::Result<bool> {
        let added = self
            .tx
            .prepare_cached(
                "INSERT INTO event (call_id, event_id, kind, attempt, at, received, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (call_id, event_id, kind, attempt) DO NOTHING",
            )?
            .execute(params![
                id(row.call_id),
                row.event_id,
                row.kind,
                row.attempt.unwrap_or(0),
                row.at.map(Timestamp::micros),
                row.received.micros(),
                row.detail,
            ])?;
        Ok(added == 1)
    }

    /// The attempt as it is known now. One without an end is older news than one with an end.
    fn attempt(&mut self, row: &AttemptRow) -> rusqlite::Result<bool> {
        let place = self.place(&row.keys)?;
        let (buyer, target) = self.who(row.buyer.as_ref(), row.target.as_ref())?;
        let catalog = self.words.number(self.tx, &row.catalog)?;
        let end = row.end.as_ref();
        let changed = self
            .tx
            .prepare_cached(
                "INSERT INTO attempt (call_id, attempt, at, campaign, publisher, step, test, offered_at, basis,
                   reason, target, buyer, price, catalog, ended_at, end_reason, connected, talk_ms, talk_source,
                   ended_by, billable, payable, negative_margin)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
                   ?21, ?22, ?23)
                 ON CONFLICT (call_id, attempt) DO UPDATE SET ended_at = excluded.ended_at,
                   end_reason = excluded.end_reason, connected = excluded.connected, talk_ms = excluded.talk_ms,
                   talk_source = excluded.talk_source, ended_by = excluded.ended_by, billable = excluded.billable,
                   payable = excluded.payable, negative_margin = excluded.negative_margin
                 WHERE excluded.ended_at IS NOT NULL
                   AND (ended_at, end_reason, connected, talk_ms, talk_source, ended_by, billable, payable,
                     negative_margin)
                   IS NOT (excluded.ended_at, excluded.end_reason, excluded.connected, excluded.talk_ms,
                     excluded.talk_source, excluded.ended_by, excluded.billable, excluded.payable,
                     excluded.negative_margin)",
            )?
            .execute(params![
                id(row.keys.call_id),
                row.attempt,
                row.keys.at.micros(),
                place.campaign,
                place.publisher,
                row.step,
                row.test,
                row.offered_at.micros(),
                row.basis,
                row.reason.code(),
                target,
                buyer,
                row.price.map(Money::micros),
                catalog,
                end.map(|end| end.ended_at.micros()),
                end.map(|end| end.reason.code()),
                end.map(|end| end.connected),
                end.map(|end| int(end.talk_ms)),
                end.map(|end| end.talk_source),
                end.map(|end| end.ended_by),
                end.map(|end| end.billable),
                end.map(|end| end.payable),
                end.map(|end| end.negative_margin),
            ])?;
        Ok(changed == 1)
    }

    /// The end of the call; one that says what is stored already adds nothing, counts included.
    fn ended(&mut self, row: &EndedRow) -> rusqlite::Result<bool> {
        let place = self.place(&row.keys)?;
        let end = &row.end;
        let (buyer, target) = self.who(row.buyer.as_ref(), row.target.as_ref())?;
        let changed = self
            .tx
            .prepare_cached(
                "INSERT INTO call (call_id, at, campaign, publisher, decided, ended_at, end_target, end_buyer,
                   end_reason, connected, talk_ms, talk_source, ended_by, billable, payable, negative_margin)
                 VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
                 ON CONFLICT (call_id) DO UPDATE SET ended_at = excluded.ended_at,
                   end_target = excluded.end_target, end_buyer = excluded.end_buyer,
                   end_reason = excluded.end_reason, connected = excluded.connected, talk_ms = excluded.talk_ms,
                   talk_source = excluded.talk_source, ended_by = excluded.ended_by, billable = excluded.billable,
                   payable = excluded.payable, negative_margin = excluded.negative_margin
                 WHERE (ended_at, end_target, end_buyer, end_reason, connected, talk_ms, talk_source, ended_by,
                     billable, payable, negative_margin)
                   IS NOT (excluded.ended_at, excluded.end_target, excluded.end_buyer, excluded.end_reason,
                     excluded.connected, excluded.talk_ms, excluded.talk_source, excluded.ended_by,
                     excluded.billable, excluded.payable, excluded.negative_margin)",
            )?
            .execute(params![
                id(row.keys.call_id),
                row.keys.at.micros(),
                place.campaign,
                place.publisher,
                end.ended_at.micros(),
                target,
                buyer,
                end.reason.code(),
                end.connected,
                int(end.talk_ms),
                end.talk_source,
                end.ended_by,
                end.billable,
                end.payable,
                end.negative_margin,
            ])?;
        let counts = row.counts;
        if changed == 1 {
            let add = [0, counts.ended, counts.connected, counts.billable, counts.talk_ms, 0, 0, 0];
            self.count(&place, buyer, target, add);
        }
        Ok(changed == 1)
    }

    /// An entry and its money. An entry of a kind the P&L has no column for is kept and balances, no more.
    fn ledger(&mut self, row: &LedgerRow) -> rusqlite::Result<bool> {
        let place = self.place(&row.keys)?;
        let (buyer, target) = self.who(Some(&row.buyer), Some(&row.target))?;
        let account = self.words.number(self.tx, &row.account)?;
        let call_id = id(row.keys.call_id);
        let amount = row.amount.micros();
        let added = self
            .tx
            .prepare_cached(
                "INSERT INTO ledger_entry (call_id, grp, kind, at, campaign, publisher, buyer, target, account,
                   amount, booked_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (call_id, grp, kind) DO NOTHING",
            )?
            .execute(params![
                call_id,
                row.group,
                row.kind,
                row.keys.at.micros(),
                place.campaign,
                place.publisher,
                buyer,
                target,
                account,
                amount,
                row.booked_at.micros(),
            ])?;
        if added == 0 {
            let stored: (i64, i64) = self
                .tx
                .prepare_cached(
                    "SELECT amount, account FROM ledger_entry WHERE call_id = ?1 AND grp = ?2 AND kind = ?3",
                )?
                .query_row(params![call_id, row.group, row.kind], |found| {
                    Ok((found.get(0)?, found.get(1)?))
                })?;
            self.conflicts += u64::from(stored != (amount, account));
            return Ok(false);
        }
        let owed = amount.saturating_neg();
        match row.kind {
            "revenue" => self.count(&place, buyer, target, [0, 0, 0, 0, 0, amount, 0, 0]),
            "payout" => self.count(&place, buyer, target, [0, 0, 0, 0, 0, 0, owed, 0]),
            "margin" => self.count(&place, buyer, target, [0, 0, 0, 0, 0, 0, 0, owed]),
            _ => {}
        }
        Ok(true)
    }

    fn catalog(&mut self, row: &CatalogRow) -> rusqlite::Result<bool> {
        let added = self
            .tx
            .prepare_cached(
                "INSERT INTO catalog (digest, text, since) VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO NOTHING",
            )?
            .execute(params![row.digest, row.text, row.since.micros()])?;
        Ok(added == 1)
    }

    fn change(&mut self, row: &Noted) -> rusqlite::Result<bool> {
        let added = self
            .tx
            .prepare_cached(
                "INSERT INTO change (at, entity, id, item, happened, value, file_value, actor, asked_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (entity, id, item, at) DO NOTHING",
            )?
            .execute(params![
                row.origin.at.micros(),
                row.entity.kind(),
                row.entity.id(),
                row.key.as_str(),
                row.happened.as_str(),
                row.happened.value().map(|value| value.to_string()),
                row.file.to_string(),
                row.origin.actor,
                row.origin.by,
            ])?;
        Ok(added == 1)
    }

    /// A line of the same history: none that says what is laid over the files.
    fn listed(&mut self, row: &ListedRow) -> rusqlite::Result<bool> {
        let added = self
            .tx
            .prepare_cached(
                "INSERT INTO change (at, entity, id, item, happened, value, file_value, actor, asked_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (entity, id, item, at) DO NOTHING",
            )?
            .execute(params![
                row.origin.at.micros(),
                ListedRow::ENTITY,
                row.list.as_str(),
                ListedRow::ITEM,
                row.verb.as_str(),
                row.value(),
                ListedRow::FILE,
                row.origin.actor,
                row.origin.by,
            ])?;
        Ok(added == 1)
    }

    fn place(&mut self, keys: &CallKeys) -> rusqlite::Result<Where> {
        let campaign = self.words.number(self.tx, keys.campaign.as_ref().map_or("", |id| id.as_str()))?;
        let publisher = self.words.number(self.tx, keys.publisher.as_ref().map_or("", |id| id.as_str()))?;
        Ok(Where { hour: hour(keys.at), campaign, publisher })
    }

    fn who(
        &mut self,
        buyer: Option<&crate::domain::BuyerId>,
        target: Option<&crate::domain::TargetId>,
    ) -> rusqlite::Result<(i64, i64)> {
        let buyer = self.words.number(self.tx, buyer.map_or("", |id| id.as_str()))?;
        let target = self.words.number(self.tx, target.map_or("", |id| id.as_str()))?;
        Ok((buyer, target))
    }

    fn count(&mut self, place: &Where, buyer: i64, target: i64, add: [i64; 8]) {
        if add == [0; 8] {
            return;
        }
        let key = [place.hour, place.campaign, place.publisher, buyer, target];
        let sums = self.tally.pnl.entry(key).or_default();
        for (sum, more) in sums.iter_mut().zip(add) {
            *sum = sum.saturating_add(more);
        }
    }

    /// The roll-ups, then the number.
    fn finish(self, batch_no: u64, reaches: Place) -> rusqlite::Result<()> {
        let mut pnl = self.tx.prepare_cached(
            "INSERT INTO pnl_hour (hour, campaign, publisher, buyer, target, calls, ended, connected, billable,
               talk_ms, revenue, payout, margin)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (hour, campaign, publisher, buyer, target) DO UPDATE SET calls = calls + excluded.calls,
               ended = ended + excluded.ended, connected = connected + excluded.connected,
               billable = billable + excluded.billable, talk_ms = talk_ms + excluded.talk_ms,
               revenue = revenue + excluded.revenue, payout = payout + excluded.payout,
               margin = margin + excluded.margin",
        )?;
        for ([hour, campaign, publisher, buyer, target], [a, b, c, d, e, f, g, h]) in &self.tally.pnl {
            pnl.execute(params![hour, campaign, publisher, buyer, target, a, b, c, d, e, f, g, h])?;
        }
        let mut outcomes = self.tx.prepare_cached(
            "INSERT INTO outcome_hour (hour, campaign, buyer, target, reason, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (hour, campaign, buyer, target, reason) DO UPDATE SET count = count + excluded.count",
        )?;
        // In the order of the table.
        let mut lines: Vec<([i64; 5], i64)> = self.tally.outcomes.into_iter().collect();
        lines.sort_unstable();
        for ([hour, campaign, buyer, target, reason], count) in lines {
            outcomes.execute(params![hour, campaign, buyer, target, reason, count])?;
        }
        let mut meta = self.tx.prepare_cached("UPDATE meta SET value = ?2 WHERE key = ?1")?;
        meta.execute(params!["batch_no", int(batch_no)])?;
        meta.execute(params!["journal", reaches.journal as i64])?;
        meta.execute(params!["journal_seq", int(reaches.seq)])?;
        Ok(())
    }
}

fn hour(at: Timestamp) -> i64 {
    at.micros().div_euclid(MICROS_PER_HOUR)
}

fn id(call_id: CallId) -> [u8; 16] {
    call_id.bits().to_be_bytes()
}

/// Counts and durations never come near the limit; one that would is cut there.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
