//! What a start takes over from the process before it: calls with their answers and holds, and what daily caps have had.
//!
//! Everything comes from the journal (`records::fold`). Where there was none yet, the use of daily caps comes from the
//! store: calls in progress then are not taken over, and their units count as unresolved, so that no day has more than
//! its cap. So it does where the journal has lost what the store has read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use crate::capacity::{Basis, CapKey, Entity};
use crate::carrier::Action;
use crate::domain::Timestamp;
use crate::domain::schedule::day_window;
use crate::records::entry::{Counts, DecodeError, Used};
use crate::records::fold::{Fold, Remembered};
use crate::records::stored::StoredUse;
use crate::state::callers::Lists;
use crate::state::calls::{Answer, Step};
use crate::state::image::AnswerImage;
use crate::state::live::Live;

/// How far back a day that is not over can have begun: days have up to 25 hours.
pub const LONGEST_DAY: Duration = Duration::from_secs(26 * 3_600);

/// What was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Calls in progress.
    pub in_progress: usize,
    /// Calls that are over, with answers to repeats.
    pub over: usize,
    /// Holds of decisions of which nobody knows whether they were told.
    pub orphaned: usize,
}

impl Exchange {
    /// Takes over what the journal knows, at `now`. For an exchange that has not decided anything yet.
    pub fn restore(self: &Arc<Self>, fold: &Fold, now: Timestamp) -> Result<Restored, DecodeError> {
        let mut restored = Restored::default();
        let gauges = &self.state.gauges;
        // Also windows that are over, or not begun: our clock may be wrong now, and the sweep lets go of the old ones.
        for (key, used) in fold.counts() {
            gauges.restore(key, used.posted, used.unresolved);
        }
        self.callers.put(Lists::of(fold.callers()));
        let day_over = now.before(LONGEST_DAY);
        for held in fold.orphaned() {
            restored.orphaned += usize::from(held.keys.iter().any(|key| key.window >= day_over));
            held.leaves().for_each(|(key, charge)| gauges.charge_one(key, charge));
        }
        for remembered in fold.calls() {
            let over = self.remember(remembered?, now);
            *(if over { &mut restored.over } else { &mut restored.in_progress }) += 1;
        }
        Ok(restored)
    }

    /// Puts a call back; whether it is over.
    fn remember(self: &Arc<Self>, Remembered { image, answers }: Remembered, now: Timestamp) -> bool {
        let mut live = Live::restored(image);
        let holds = live.open().into_iter().flat_map(|open| &open.offered);
        for hold in holds.filter_map(|offered| Some(&offered.taker.as_ref()?.hold)) {
            self.state.gauges.charge(hold);
        }
        let id = live.id;
        let effects = live.tell(|call| call.on_restart(now));
        let mut aftermath = self.run(id, &mut live, effects, now);
        if !aftermath.rows.is_empty() {
            aftermath.picture(&live);
            self.hand_in(id, aftermath.entry(None));
        }
        self.follow(id, live.campaign.as_ref(), aftermath);
        let over = live.over_since.is_some();
        let answers: Vec<Arc<Answer>> =
            answers.into_iter().map(AnswerImage::restored).map(Arc::new).collect();
        // An answer for which there was no room is missing, and none behind it can be told by its place.
        let of_step = |step: usize| answers.iter().find(|answer| answer.reply.step as usize == step).cloned();
        let first = of_step(1);
        live.steps = (2..).map_while(of_step).map(Step::Decided).collect();
        // A goodbye that was said after the call was settled is in no image.
        let said = |step: &Step| matches!(step, Step::Decided(answer) if matches!(answer.reply.action, Action::Hangup(_)));
        live.said_goodbye |= live.steps.last().is_some_and(said);
        self.watch(id, &mut live, now);
        self.state.calls.restore(live, first);
        over
    }

    /// Charges the caps of days that are not over at `now` with what the store knows, for a journal that has nothing yet, and
    /// writes that down in it.
    pub fn restore_caps(&self, uses: &[StoredUse], now: Timestamp) {
        let caps = self.caps_of(uses, now);
        for (key, used) in &caps {
            self.state.gauges.restore(key.clone(), used.posted, used.unresolved);
        }
        self.write_down(caps);
    }

    /// Charges those caps with what the store knows and the journal has lost, after `restore`. No call is counted twice: a
    /// cap has what the one says or what the other says, whichever is more.
    pub fn restore_lost_caps(&self, uses: &[StoredUse], fold: &Fold, now: Timestamp) {
        let mut caps = self.caps_of(uses, now);
        caps.retain(|key, used| {
            let known = self.state.gauges.read(key);
            let lost = (used.posted + used.unresolved).saturating_sub(known.used());
            let posted = used.posted.saturating_sub(known.posted).min(lost);
            *used = Used { posted, unresolved: lost - posted };
            self.state.gauges.restore(key.clone(), used.posted, used.unresolved);
            lost > 0
        });
        // What is written down of a cap stands for all that forgotten calls have had of it.
        for (key, counted) in fold.counts() {
            if let Some(used) = caps.get_mut(&key) {
                used.posted += counted.posted;
                used.unresolved += counted.unresolved;
            }
        }
        self.write_down(caps);
    }

    fn write_down(&self, caps: BTreeMap<CapKey, Used>) {
        if !caps.is_empty() {
            self.recorder.push_counts(Counts { caps: caps.into_iter().collect() });
        }
    }

    /// What of days that are not over at `now` has been used, as the store has it.
    fn caps_of(&self, uses: &[StoredUse], now: Timestamp) -> BTreeMap<CapKey, Used> {
        let in_force = self.in_force.load();
        let catalog = &in_force.snapshot.catalog;
        let mut caps = BTreeMap::<CapKey, Used>::new();
        let mut charge = |entity, window, used: &StoredUse| {
            if used.quarter >= window {
                let cap = caps.entry(CapKey { entity, basis: Basis::BillableDay, window }).or_default();
                cap.posted += used.posted;
                cap.unresolved += used.unresolved;
            }
        };
        for used in uses {
            // Each by itself: a target that was renamed or sold has used its old buyer's day all the same.
            let buyer = catalog.buyers.binary_search_by(|buyer| buyer.id.as_str().cmp(&used.buyer));
            if let Ok(buyer) = buyer.map(|at| &catalog.buyers[at]) {
                charge(Entity::Buyer(buyer.id.clone()), day_window(&buyer.zone, now).start, used);
            }
            let target = catalog.targets.binary_search_by(|target| target.id.as_str().cmp(&used.target));
            if let Ok(target) = target.map(|at| &catalog.targets[at]) {
                let zone = &catalog.buyer(target.buyer).zone;
                charge(Entity::Target(target.id.clone()), day_window(zone, now).start, used);
            }
        }
        caps
    }
}
