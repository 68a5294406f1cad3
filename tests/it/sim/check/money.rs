//! Money: what an attempt is worth by its terms, what was booked for it, and the one end of each call.

use outcry::capacity::Basis;
use outcry::domain::{CallId, Payout, Reason};
use outcry::records::row::{AttemptRow, EndFacts, EndedRow, LedgerRow};

use super::legs::{Others, others};
use super::rest::SWEPT;
use super::{Check, Promise};

impl Check {
    pub(super) fn ended(&mut self, row: &EndedRow) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self
                .broke(Promise::OneEnd, format!("an end of {} before its decision", row.keys.call_id));
        };
        let now = self.clock.now();
        *self.counts.reasons.entry(row.end.reason.as_str()).or_insert(0) += 1;
        let known = self.calls.entry(n).or_default();
        known.ends.push(row.clone());
        let (at, first) = (known.ends.len(), known.ends.len() == 1);
        let test = known.decided.as_ref().is_some_and(|decided| decided.test);
        let counted = i64::from(first && !test);
        let is_left = known.legs.values().any(|leg| !leg.settled && !leg.expired);
        let (dialled, billed) = (known.legs.len(), known.legs.values().any(|leg| leg.billed));
        self.must(row.counts.ended == counted, Promise::OneEnd, || {
            format!("end {at} of call {n} is counted wrong")
        });
        self.must(row.end.ended_at <= now, Promise::OneEnd, || format!("call {n} ends in the future"));
        self.must(!is_left, Promise::OneEnd, || format!("call {n} ended before its attempts"));
        self.must(dialled > 0 || first && row.target.is_none(), Promise::OneEnd, || {
            format!("call {n} ended {at} times")
        });
        self.must(row.end.billable == billed, Promise::Money, || {
            format!("call {n}: billed {billed}, and {row:?}")
        });
    }

    /// The end of an attempt that was reported: what it is worth follows from its terms.
    pub(super) fn settled(&mut self, n: u32, attempt: &AttemptRow, row: &EndFacts, talk_ms: u64) {
        let known = self.calls.entry(n).or_default();
        let keys = attempt.keys.clone();
        let is_billed = known.legs.values().any(|leg| leg.billed);
        let Some(leg) = known.legs.get_mut(&attempt.attempt) else { return };
        let once = !leg.settled;
        leg.settled = true;
        let freed = leg.free();
        let is_long = talk_ms > 0 && talk_ms >= leg.min_duration_ms;
        // Of the attempts of one call at most one is billed.
        leg.handed_back = leg.lets_go(talk_ms);
        let billable = leg.target.is_some() && is_long && !leg.test && !is_billed && !leg.handed_back;
        leg.billed = billable;
        leg.talked = talk_ms > 0;
        let leg = leg.clone();
        if billable {
            let payout = match leg.payout {
                Some(Payout::Fixed(amount)) => amount.micros(),
                Some(Payout::Share(part)) => {
                    (i128::from(leg.price) * i128::from(part.0) / 10_000 / 10_000 * 10_000) as i64
                }
                None => 0,
            };
            let publisher = keys.publisher.as_ref().map(|publisher| format!("publisher:{publisher}"));
            let buyer = attempt.buyer.as_ref().map(|buyer| format!("buyer:{buyer}"));
            known.owed.extend([
                ("revenue".to_owned(), buyer.unwrap_or_default(), leg.price),
                ("payout".to_owned(), publisher.unwrap_or_default(), -payout),
                ("margin".to_owned(), "exchange".to_owned(), payout - leg.price),
            ]);
            self.counts.billable += 1;
            self.counts.proven += u64::from(leg.proven);
        }
        self.free(&freed);
        for key in leg.keys.iter().filter(|key| key.basis == Basis::BillableDay) {
            let units = self.units.entry(key.clone()).or_default();
            if leg.expired {
                units.unresolved -= 1;
            } else {
                units.held -= 1;
            }
            units.posted += u32::from(billable);
        }
        self.must(once, Promise::OneEnd, || format!("call {n} was settled twice"));
        let is_said = (row.reason == Reason::HandedBack) == leg.handed_back;
        self.must(is_said, Promise::HandBack, || {
            format!("an attempt of call {n} ended after {talk_ms} ms as {}: {leg:?}", row.reason)
        });
        let agrees = row.billable == billable && row.talk_ms == talk_ms && row.connected == (talk_ms > 0);
        self.must(agrees, Promise::Money, || {
            format!("call {n}: {talk_ms} ms of talk, billable {billable} by what was reported ({leg:?}); the record says {row:?}")
        });
    }

    pub(super) fn ledger(&mut self, row: &LedgerRow) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self.broke(Promise::Money, "money of an unknown call".to_owned());
        };
        self.known(n).booked.push((row.kind.to_owned(), row.account.clone(), row.amount.micros()));
    }

    /// After an event: what is known well enough was judged with it, and what is owed was booked with it.
    pub(super) fn must_be_judged(&mut self, id: CallId) {
        let now = self.clock.now();
        let Some(n) = self.by_id.get(&id).copied() else { return };
        let known = self.calls.entry(n).or_default();
        let is_left = known.legs.iter().any(|(number, leg)| {
            let others = others(&known.legs, *number);
            let is_lost = others == Others::Took || leg.is_lost(others);
            // What another of its step was told is no reason to look at one whose waiting is just over: the sweep does.
            let at = if others == Others::None { now } else { now.before(SWEPT) };
            !leg.settled && (is_lost || leg.judge(at, false, others).is_some())
        });
        let is_booked = known.owed == known.booked;
        let what = format!("call {n}: {:?} is owed and {:?} booked", known.owed, known.booked);
        self.must(!is_left, Promise::OneEnd, || format!("call {n} could be judged and was not"));
        self.must(is_booked, Promise::Money, || what);
    }
}
