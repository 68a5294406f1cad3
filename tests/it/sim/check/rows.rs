//! Rows of decisions and attempts: what was decided, when, by which terms, and whether the carrier heard the same.

use std::time::Duration;

use outcry::domain::catalog::{Catalog, Pricing};
use outcry::domain::{PriceRule, Reason, Timestamp};
use outcry::records::row::{AttemptRow, DecidedRow, Row};
use serde_json::Value;

use super::heard::read;
use super::legs::UNANSWERED_SLACK;
use super::{Check, Promise, SLACK, Said, Window, find};
use crate::sim::market::{CARRIERS, TEST_ADDRESS, TWILIO};
use crate::sim::terms;
use crate::sim::world::CallPlan;

impl Check {
    /// Rows that leave for the disk together.
    pub fn rows(&mut self, rows: &[Row], plan: &dyn Fn(u32) -> CallPlan) {
        for row in rows {
            self.note(|| format!("row {row:?}"));
            match row {
                Row::Decided(row) => self.decided(row, plan),
                Row::Trail(row) => self.trail(row),
                Row::Event(row) => self.event(row),
                Row::Ended(row) => self.ended(row),
                Row::Ledger(row) => self.ledger(row),
                Row::Attempt(row) => self.attempt(row, plan),
                Row::Catalog(_) | Row::Change(_) | Row::Listed(_) => {}
            }
        }
        for row in rows {
            if let Row::Event(event) = row {
                self.must_be_judged(event.call_id);
            }
        }
        self.must_go_on(rows);
    }

    /// Rows that the disk has written.
    pub fn on_disk(&mut self, rows: &[Row]) {
        for row in rows {
            let Row::Event(row) = row else { continue };
            if let Some(n) = self.by_id.get(&row.call_id).copied() {
                let known = self.known(n);
                known.on_disk.insert(row.event_id.clone());
                known.hand_backs.on_disk += u32::from(row.kind == "handed_back");
            }
        }
    }

    fn decided(&mut self, row: &DecidedRow, plan: &dyn Fn(u32) -> CallPlan) {
        let Some(n) = row.carrier_call_id.strip_prefix("sim-").and_then(|n| n.parse::<u32>().ok()) else {
            return self.broke(Promise::Agrees, format!("nobody asked about {}", row.carrier_call_id));
        };
        let plan = plan(n);
        self.counts.calls += 1;
        let id = row.keys.call_id;
        let before = self.known(n).decided.is_some();
        self.must(!before, Promise::SameBytes, || format!("call {n} was decided twice"));
        self.must(row.reason != Reason::InternalError, Promise::NoBug, || {
            format!("call {n}: an internal error")
        });
        let Some(catalog) = self.catalogs.get(&row.catalog).cloned() else {
            return self.broke(Promise::Agrees, format!("call {n} was decided by an unknown catalog"));
        };
        let deadline = row.keys.campaign.as_ref().map(|id| {
            let campaign = catalog.campaigns.iter().find(|campaign| campaign.id == *id).expect("configured");
            campaign.deadline
        });
        let ceiling = Duration::from_millis(CARRIERS[plan.carrier].2 - 100);
        let closes = row.keys.at.after(deadline.map_or(ceiling, |deadline| deadline.min(ceiling)));
        let took = Duration::from_micros(row.decided_us);
        let most = closes.after(SLACK).since(row.keys.at);
        self.must(took <= most && self.clock.now() <= closes.after(SLACK), Promise::InTime, || {
            format!("call {n} was decided in {} µs of {} µs", took.as_micros(), most.as_micros())
        });
        self.by_id.insert(id, n);
        let known = self.known(n);
        known.windows.insert(1, Window { arrived: row.keys.at, closes });
        known.decided = Some(Box::new(row.clone()));
        for heard in std::mem::take(&mut known.unjudged) {
            self.in_time(n, 1, heard, Duration::ZERO);
        }
        self.agree(&plan, 1);
    }

    /// An attempt was handed out, or its end is known.
    fn attempt(&mut self, row: &AttemptRow, plan: &dyn Fn(u32) -> CallPlan) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self
                .broke(Promise::OneEnd, format!("an attempt of {} before its decision", row.keys.call_id));
        };
        if let Some(end) = &row.end {
            return self.attempt_ended(n, row, end);
        }
        let Some(catalog) = self.catalogs.get(&row.catalog).cloned() else {
            return self.broke(Promise::Agrees, format!("call {n} was handed out by an unknown catalog"));
        };
        let plan = plan(n);
        self.late_bid(n, row, &catalog, &plan);
        if let Some(window) = self.known(n).windows.get(&row.step).copied() {
            let holds = window.arrived <= row.offered_at && row.offered_at <= window.closes.after(SLACK);
            self.must(holds, Promise::InTime, || {
                format!("step {} of call {n} was handed out at {} in {window:?}", row.step, row.offered_at)
            });
        }
        let leg = self.leg(n, row, &plan, &catalog);
        let known = self.known(n);
        let first = known.attempts.insert(row.attempt, row.clone()).is_none();
        let again = known
            .attempts
            .values()
            .filter(|other| other.target == row.target && other.target.is_some())
            .count();
        known.legs.insert(row.attempt, leg);
        self.must(first && again < 2, Promise::Agrees, || {
            format!("attempt {} of call {n} came again", row.attempt)
        });
        self.leaves_the_margin(n, row, &catalog);
        // Terms are those of the decision; whether there is room is asked of what is in force now.
        let current = self.current.clone().unwrap_or(catalog);
        self.hand_out(n, row.attempt, &current);
        self.open.insert(n);
        self.agree(&plan, row.step);
    }

    /// A bid wins only if it landed before the close, at what it said.
    fn late_bid(&mut self, n: u32, row: &AttemptRow, catalog: &Catalog, plan: &CallPlan) {
        let (Some(target), Some(price)) = (&row.target, row.price) else { return };
        let target = find(catalog, target.as_str());
        match &target.pricing {
            Pricing::Fixed(_) | Pricing::Table(_) => {
                let prices = self.asked_for(n, row, target.id.as_str(), catalog, plan);
                self.must(prices.contains(&Some(price.micros())), Promise::Money, || {
                    format!("call {n} went to {} at {price} instead of one of {prices:?}", target.id)
                });
            }
            Pricing::Endpoint(_) => {
                let known = self.calls.entry(n).or_default();
                // An offer of an earlier step may still stand, and who was asked again may have been late before.
                let said = &known.said;
                let bids = said.iter().filter(|said| said.target == target.id.as_str() && said.bid.is_some());
                let with_close = bids.map(|said| (said, known.closes(&said.ping).unwrap_or(row.keys.at)));
                let (in_time, late): (Vec<_>, Vec<_>) =
                    with_close.partition(|(said, closes)| said.landed < *closes);
                let (bid, closes) = in_time
                    .first()
                    .or(late.first())
                    .map_or((None, row.keys.at), |(said, at)| (Some(*said), *at));
                let in_time = bid.is_some_and(|said| said.landed < closes);
                // What is paid of it is held against the outcomes of its step.
                let digests = known.attempts.values().map(|attempt| attempt.catalog.as_str());
                let digests = digests.chain(known.decided.as_ref().map(|decided| decided.catalog.as_str()));
                let catalogs = digests.filter_map(|digest| self.catalogs.get(digest).map(|one| &**one));
                let is_second = catalogs.chain([catalog]).flat_map(|one| &one.campaigns).any(|campaign| {
                    Some(&campaign.id) == row.keys.campaign.as_ref() && campaign.price == PriceRule::Second
                });
                let is_paid = |micros: i64| micros == price.micros() || is_second && micros > price.micros();
                let agreed = bid.and_then(|said| said.bid.as_ref()).is_some_and(|bid| is_paid(bid.micros));
                let landed = bid.map(|said| said.landed.micros() - closes.micros());
                self.must(in_time, Promise::LateBid, || {
                    format!("call {n} went to {}, whose bid landed {landed:?} µs after the close", target.id)
                });
                self.must(agreed, Promise::Money, || format!("call {n}: {} never bid {price}", target.id));
            }
        }
    }

    /// What a target that is not asked may ask for: by its terms at the beginning of the step, and where it was beaten
    /// in an earlier one, at the beginning of that.
    fn asked_for(
        &self,
        n: u32,
        row: &AttemptRow,
        target: &str,
        catalog: &Catalog,
        plan: &CallPlan,
    ) -> Vec<Option<i64>> {
        let Some(known) = self.calls.get(&n) else { return Vec::new() };
        let at = |catalog: &Catalog, at: Timestamp| match &find(catalog, target).pricing {
            Pricing::Fixed(price) => Some(terms::price(target, price.micros(), at)),
            Pricing::Table(_) => terms::bid(target, plan, at),
            Pricing::Endpoint(_) => None,
        };
        let arrived = |step: u32| known.windows.get(&step).map_or(row.keys.at, |window| window.arrived);
        // Of a later step it is known when its carrier asked, which is a little before it was read.
        let mut prices = vec![at(catalog, arrived(row.step))];
        prices.extend((row.step > 1).then(|| at(catalog, row.offered_at)));
        for step in 1..row.step {
            let catalogs = known.decided.iter().map(|decided| &decided.catalog);
            let catalogs = catalogs.chain(known.attempts.values().map(|attempt| &attempt.catalog));
            prices.extend(catalogs.map(|digest| at(&self.catalogs[digest], arrived(step))));
        }
        prices
    }

    /// The carrier's bytes and the records of the step say the same.
    pub(super) fn agree(&mut self, plan: &CallPlan, step: u32) {
        let n = plan.n;
        let known = self.known(n);
        let (Some(answer), Some(row)) = (known.answers.get(&step).cloned(), known.decided.clone()) else {
            return;
        };
        let attempts: Vec<_> =
            known.attempts.values().filter(|attempt| attempt.step == step).cloned().collect();
        let said = known.said.clone();
        let value = read(plan, &answer);
        let dials = value["action"] == "dial";
        let is_twilio = plan.carrier == TWILIO;
        let same = value["call_id"] == row.keys.call_id.to_string() && value["step"] == step;
        // A document gives no reasons, and one that ends the call does not say which.
        let same = same || is_twilio && !dials;
        let first = if is_twilio {
            dials == (row.action == "dial")
        } else {
            value["action"] == row.action
                && value["basis"] == row.basis
                && value["reason"] == row.reason.as_str()
        };
        self.must(same && (step > 1 || first), Promise::Agrees, || {
            format!("call {n}: {value} is not {row:?}")
        });
        for (place, attempt) in attempts.iter().enumerate().filter(|_| dials) {
            self.agree_on(n, &value["targets"][place], attempt, &said);
        }
    }

    /// One who is rung, by the carrier's bytes and by the record.
    fn agree_on(&mut self, n: u32, target: &Value, attempt: &AttemptRow, said: &[Said]) {
        // What is left of the ring budget may be less than the target's own ring time.
        let rings = Duration::from_secs(target["ring_s"].as_u64().unwrap_or(0));
        let leg = self.known(n).legs.get_mut(&attempt.attempt);
        if let Some(leg) = leg.filter(|leg| leg.answered.is_none() && leg.bridged.is_none()) {
            leg.expires = leg.expires.min(attempt.offered_at.after(rings + UNANSWERED_SLACK));
        }
        // Unasked, a voicemail that picks up has the caller.
        let is_screened = self.known(n).legs.get(&attempt.attempt).is_some_and(|leg| leg.screened);
        let is_asked = target["screen"]["digits"] == "1";
        self.must(is_asked == is_screened, Promise::Agrees, || {
            format!("attempt {} of call {n} is screened {is_screened}, and {target}", attempt.attempt)
        });
        let address = target["address"].as_str().unwrap_or_default().to_owned();
        let expected = match &attempt.target {
            _ if attempt.test => TEST_ADDRESS.to_owned(),
            None => "+16025550160".to_owned(),
            Some(id) => {
                let catalog = &self.catalogs[&attempt.catalog];
                let bid =
                    said.iter().filter(|said| said.target == id.as_str()).find_map(|said| said.bid.as_ref());
                let chosen = bid.and_then(|bid| bid.destination.clone());
                chosen.unwrap_or_else(|| find(catalog, id.as_str()).address.reveal())
            }
        };
        let agrees = address == expected && target["attempt"] == attempt.attempt;
        let step = attempt.step;
        self.must(agrees, Promise::Agrees, || {
            format!("step {step} of call {n} was sent to another address than {:?} has", attempt.target)
        });
    }
}
