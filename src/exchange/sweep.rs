//! What happens because time passes: lost ends expire, waiting ends are judged, old answers are forgotten.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use crate::domain::{CallId, Timestamp};
use crate::records::entry::{Entry, Put};
use crate::runtime::Shutdown;
use crate::state::live::Live;
use crate::telemetry::event;

/// How often timers are looked at.
const EVERY: Duration = Duration::from_millis(250);
/// Most calls looked at before others get their turn.
const AT_ONCE: usize = 1_000;
/// How often idle gauges are forgotten, in rounds.
const GAUGES_EVERY: u32 = 240;
/// Farthest ahead that a call's next look is set.
const FARTHEST: Duration = Duration::from_secs(600);
/// When a call could not be looked at because the disk's queue was full, it is looked at again after this.
const AGAIN: Duration = Duration::from_secs(1);

impl Exchange {
    /// Sweeps until the signal to stop.
    pub async fn sweep(self: &Arc<Self>, shutdown: &Shutdown) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round: u32 = 0;
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                _ = ticks.tick() => {
                    // As long as there is more than one round takes, others only get their turn in between.
                    while self.sweep_once() == AT_ONCE && !shutdown.has_begun() {
                        tokio::task::yield_now().await;
                    }
                }
            }
            round = round.wrapping_add(1);
            if round.is_multiple_of(GAUGES_EVERY) {
                self.state.gauges.forget_idle(self.clock.now());
                let in_force = self.in_force.load();
                self.state.turns.keep(|plan| in_force.snapshot.catalog.has_plan(plan));
            }
        }
    }

    /// Looks at every call whose time has come, up to a bound; returns how many it were. Each behind a fence of its own:
    /// a bug in one must not stop the others' time.
    pub fn sweep_once(self: &Arc<Self>) -> usize {
        self.pay();
        let now = self.clock.now();
        let due = self.state.calls.due(now, AT_ONCE);
        let looks = due.len();
        for (at, id) in due {
            let look = AssertUnwindSafe(|| self.look_at(id, at, now));
            if std::panic::catch_unwind(look).is_err() {
                event::panicked("sweep", "a call whose time had come");
            }
        }
        self.note_forgotten();
        looks
    }

    /// Says that calls were forgotten, so that no restart brings them back and no snapshot keeps them. What is lost of it
    /// a restart forgets anew.
    fn note_forgotten(&self) {
        let gone = self.state.calls.take_gone();
        for some in gone.chunks(AT_ONCE) {
            some.iter().for_each(|call| self.write_off(*call));
            let state = some.iter().copied().map(Put::Forgotten).collect();
            self.recorder.push(Entry { rows: Vec::new(), state });
        }
    }

    /// Forgets the call, or lets its time pass. A time that was set before a sooner one came means nothing any more.
    fn look_at(self: &Arc<Self>, id: CallId, at: Timestamp, now: Timestamp) {
        let is_old = self.state.calls.with(id, |live| {
            (live.looked_at == Some(at)).then(|| {
                live.looked_at = None;
                self.forgettable_at(live).is_some_and(|old| old <= now)
            })
        });
        match is_old.flatten() {
            Some(true) => self.state.calls.forget(id),
            Some(false) if self.pass_time(id, now).is_none() => {
                self.state.calls.with(id, |live| self.look_again(id, live, now.after(AGAIN), now));
            }
            Some(false) | None => {}
        }
    }

    /// When the call may be forgotten: some time after it was over, and not while news of a lost end may come.
    fn forgettable_at(&self, live: &Live) -> Option<Timestamp> {
        let over = live.over_since.filter(|_| next_deadline(live).is_none())?;
        let kept = over.after(self.rules.keep_ended);
        Some(live.open().and_then(|open| open.call.news_until()).map_or(kept, |news| kept.max(news)))
    }

    /// Has a call looked at in time that was opened without.
    pub(super) fn look_after(&self, id: CallId, now: Timestamp) {
        self.state.calls.with(id, |live| self.watch(id, live, now));
    }

    /// Has the call looked at when something is due with it, and what is of no use any more let go.
    pub(super) fn watch(&self, id: CallId, live: &mut Live, now: Timestamp) {
        live.settle();
        let times = [next_deadline(live), self.forgettable_at(live)];
        if let Some(at) = times.into_iter().flatten().min() {
            self.look_again(id, live, at, now);
        }
    }

    /// Sets the call's next look unless a sooner one is set. Far ones are set anew on the way, so that calls that are
    /// long forgotten leave nothing behind.
    fn look_again(&self, id: CallId, live: &mut Live, at: Timestamp, now: Timestamp) {
        let at = at.min(now.after(FARTHEST));
        if live.looked_at.is_none_or(|set| at < set) {
            live.looked_at = Some(at);
            self.state.calls.arm(at, id);
        }
    }
}

fn next_deadline(live: &Live) -> Option<Timestamp> {
    live.open().and_then(|open| open.call.next_deadline())
}
