//! What happens because time passes: lost ends expire, waiting ends are judged, old answers are forgotten.

use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use crate::runtime::Shutdown;

/// How often timers are looked at.
const EVERY: Duration = Duration::from_millis(250);
/// Most calls looked at before others get their turn.
const AT_ONCE: usize = 1_000;
/// How often idle gauges are forgotten, in rounds.
const GAUGES_EVERY: u32 = 240;
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
                _ = ticks.tick() => self.sweep_once(),
            }
            round = round.wrapping_add(1);
            if round.is_multiple_of(GAUGES_EVERY) {
                self.state.gauges.forget_idle(self.clock.now());
            }
        }
    }

    /// Looks at every call whose time has come, up to a bound.
    pub fn sweep_once(self: &Arc<Self>) {
        let now = self.clock.now();
        for id in self.state.calls.due(now, AT_ONCE) {
            let is_old = self.state.calls.with(id, |live| {
                live.over_since.is_some_and(|over| over.after(self.rules.keep_ended) <= now)
            });
            match is_old {
                Some(true) => self.state.calls.forget(id),
                Some(false) if self.pass_time(id, now).is_none() => {
                    self.state.calls.arm(now.after(AGAIN), id);
                }
                Some(false) | None => {}
            }
        }
    }
}
