//! What came into force while a call was decided: a decision keeps its terms, but whoever was paused since gets no call.
//!
//! Looked at when capacity is held, and only when another catalog is in force by then. Nothing here holds or counts.

use super::InForce;
use super::decide::Ctx;
use super::subject::Subject;
use crate::domain::change::{Entity, Key, Value, value_of};
use crate::domain::{Reason, TargetIx};

/// Why a target that was chosen is not handed the call.
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) note: String,
}

/// Who was paused between the beginning of a decision and its hold, by the catalog in force now; in the order of
/// screening. Who is not in it any more keeps the terms of the decision.
pub(super) fn paused_since(
    ctx: &Ctx,
    subject: &Subject<'_>,
    target: TargetIx,
    current: &InForce,
) -> Option<Reason> {
    let (before, now) = (&ctx.in_force.snapshot.catalog, &current.snapshot.catalog);
    let target = before.target(target);
    let is_paused = |entity: Entity| value_of(now, &entity, Key::Paused) == Some(Value::Paused(true));
    let campaign = subject.campaign(before).map(|campaign| campaign.id.clone());
    if campaign.is_some_and(|id| is_paused(Entity::Campaign(id))) {
        return Some(Reason::CampaignPaused);
    }
    if is_paused(Entity::Target(target.id.clone())) {
        return Some(Reason::Paused);
    }
    is_paused(Entity::Buyer(before.buyer(target.buyer).id.clone())).then_some(Reason::BuyerPaused)
}

/// Where the target stands in the catalog in force now, if it is there and still its buyer's.
pub(super) fn same_target(ctx: &Ctx, target: TargetIx, current: &InForce) -> Option<TargetIx> {
    let (before, now) = (&ctx.in_force.snapshot.catalog, &current.snapshot.catalog);
    let target = before.target(target);
    let at = now.targets.binary_search_by(|other| other.id.cmp(&target.id)).ok()?;
    let is_same_buyer = now.buyer(now.targets[at].buyer).id == before.buyer(target.buyer).id;
    is_same_buyer.then_some(TargetIx(at as u32))
}
