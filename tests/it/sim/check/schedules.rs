//! Hours: which plan a call walks, and whether it may be taken at all, by the clocks of one November day.
//!
//! No zone is looked up here: nobody's clock changes in these worlds, so each is a fixed number of hours behind UTC.

use outcry::domain::{Catalog, Reason, Timestamp};
use outcry::records::row::TrailRow;

use super::{Check, Promise};
use crate::sim::callers;
use crate::sim::market::{AUTO_CLOSED, LATE_PLAN, PUB_B_CLOSED};

/// The minute of the day on a clock so many hours behind UTC.
fn minute(at: Timestamp, hours_behind: i64) -> i64 {
    at.micros().div_euclid(60_000_000).rem_euclid(1_440).wrapping_sub(hours_behind * 60).rem_euclid(1_440)
}

/// Why nobody may take a call that comes then, and the plan it walks.
fn expected(row: &TrailRow, catalog: &Catalog, is_blocked: bool) -> (Option<Reason>, String) {
    let at = row.keys.at;
    let Some(id) = &row.keys.campaign else { return (Some(Reason::UnknownNumber), "nobody".to_owned()) };
    let is_late = !(60..1_200).contains(&minute(at, 5));
    let campaign = catalog.campaigns.iter().find(|campaign| campaign.id == *id);
    let usual = campaign.map_or("", |campaign| catalog.plan(campaign.plan).id.as_str());
    let plan = if id.as_str() == "legal" && is_late { LATE_PLAN } else { usual };
    let is_paused = campaign.is_some_and(|campaign| campaign.paused);
    let publisher = row.keys.publisher.as_ref().map(|publisher| publisher.as_str());
    let barred = match () {
        () if is_paused => Some(Reason::CampaignPaused),
        () if is_blocked => Some(Reason::CallerBlocked),
        () if id.as_str() == "auto" && AUTO_CLOSED.contains(&minute(at, 6)) => Some(Reason::CampaignClosed),
        () if publisher == Some("pub-b") && PUB_B_CLOSED.contains(&minute(at, 7)) => {
            Some(Reason::PublisherClosed)
        }
        () => None,
    };
    (barred, plan.to_owned())
}

impl Check {
    /// Every step of a call walks the plan of its arrival, and its first one is barred exactly when it came out of hours.
    pub(super) fn schedule(&mut self, n: u32, row: &TrailRow) {
        let known = self.calls.entry(n).or_default();
        let Some(decided) = known.decided.clone() else { return };
        let is_blocked = callers::is_blocked(self.seed, n, row);
        let (barred, plan) = expected(row, &self.catalogs[&decided.catalog], is_blocked);
        self.must(row.plan == plan, Promise::Agrees, || {
            format!("step {} of call {n} walks {} and not {plan}", row.step, row.plan)
        });
        let closed = [Reason::CampaignClosed, Reason::PublisherClosed];
        let found = row.outcomes.iter().find(|outcome| match barred {
            Some(reason) if row.step == 1 => outcome.reason != reason,
            _ => closed.contains(&outcome.reason),
        });
        self.must(found.is_none(), Promise::Agrees, || {
            format!("call {n} came when it was barred by {barred:?}, and {found:?} in step {}", row.step)
        });
        let is_told = decided.test || barred.is_none_or(|reason| reason == decided.reason);
        self.must(is_told, Promise::Agrees, || {
            format!("call {n} is barred by {barred:?} and heard {}", decided.reason)
        });
    }
}
