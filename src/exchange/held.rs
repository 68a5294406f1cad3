//! Capacity taken by a decision, in memory and in the journal: given back here, it is given back there.
//!
//! Which caps an attempt takes a unit of is said in `story`, how they are counted in `capacity`.

use std::time::Duration;

use super::Worker;
use super::decide::Ctx;
use super::since::Refused;
use crate::capacity::hold::Hold;
use crate::capacity::{Basis, Claim, HoldDurability, NO_LIMIT};
use crate::domain::{HoldId, Reason, Timestamp};
use crate::records::Slot;
use crate::records::entry::{self, Entry, Put};
use crate::state::capacity::HoldGuard;
use crate::telemetry::event;

/// Kept free between the last hold and the carrier's ceiling, for answering.
const AFTER_HOLD: Duration = Duration::from_millis(20);

/// Capacity for one attempt; its cap windows are those of `at`. Dropped, it is given back.
pub(super) struct Held {
    guard: HoldGuard,
    pub(super) at: Timestamp,
    /// Where it is in the journal.
    noted: Option<Noted>,
}

/// Whether one of these is a unit of a limited day. After a restart nobody can say whether a slot of an unknown call is in
/// use: it is free. Units of a day stay used.
pub(super) fn is_strict(claims: &[Claim]) -> bool {
    claims.iter().any(|claim| claim.limit != NO_LIMIT && claim.key.basis == Basis::BillableDay)
}

impl Held {
    /// Capacity that nobody has to know of but us.
    pub(super) fn in_memory(guard: HoldGuard, at: Timestamp) -> Held {
        Held { guard, at, noted: None }
    }

    /// The decision stands: the call owns the hold from here.
    pub(super) fn keep(self) -> Hold {
        if let Some(noted) = self.noted {
            noted.keep();
        }
        self.guard.keep()
    }
}

/// A hold that the journal was told of, with the place that is needed to take it back there: whatever ends the decision,
/// the journal hears of it.
struct Noted {
    hold: HoldId,
    place: Option<Slot>,
}

impl Noted {
    fn keep(mut self) {
        self.place = None;
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            place.send(Entry::put(Put::Voided(self.hold)));
        }
    }
}

impl Worker {
    /// A unit of a strict cap is not handed out before the end of this process would not lose it; nobody waits for that
    /// longer than the carrier has time. What is not secured in time is given back, in memory here and in the journal.
    pub(super) async fn secure(&self, ctx: &Ctx, guard: HoldGuard, now: Timestamp) -> Result<Held, Refused> {
        let (rules, recorder) = (&self.exchange.rules, &self.exchange.recorder);
        if rules.hold_durability == HoldDurability::Lazy {
            return Ok(Held::in_memory(guard, now));
        }
        let held = entry::Held { id: guard.id(), call: ctx.call_id, keys: guard.keys() };
        let held = Entry::put(Put::Held(Box::new(held)));
        let left = ctx.arrived.after(ctx.carrier().ceiling.saturating_sub(AFTER_HOLD)).since(now);
        let limit = rules.hold_ack.min(left);
        // The place to take it back is taken before it is told: a disk that hangs must not keep the unit used.
        let secured = match (recorder.reserve(), recorder.reserve()) {
            (Ok(slot), Ok(place)) => {
                let noted = Noted { hold: guard.id(), place: Some(place) };
                let written = match rules.hold_durability {
                    HoldDurability::Disk => slot.commit_within(held, limit).await,
                    HoldDurability::Kernel | HoldDurability::Lazy => slot.secure(held, limit).await,
                };
                written.map(|()| noted)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        match secured {
            Ok(noted) => Ok(Held { guard, at: now, noted: Some(noted) }),
            Err(error) => {
                event::hold_not_durable();
                Err(Refused { reason: Reason::HoldNotDurable, note: error.to_string() })
            }
        }
    }
}
