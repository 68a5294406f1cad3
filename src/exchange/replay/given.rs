//! What one recorded step is decided by: the facts that were kept, the catalog compiled, and what was recorded of targets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::NotReplayable;
use crate::domain::catalog::PlanIx;
use crate::domain::plan::{AuctionNode, Branch, RoundRobin};
use crate::domain::{BuyerId, CampaignId, Catalog, Money, Plan, PublisherId, Reason, TargetIx};
use crate::exchange::decide::closes_within;
use crate::exchange::subject::Line;
use crate::ping::Close;
use crate::records::known::Known;
use crate::records::row::CallKeys;
use crate::records::stored::{StoredDecision, StoredOutcome, StoredTrail};
use crate::routing::filter::Compiled;
use crate::routing::price::{By, Terms, terms};
use crate::routing::rules::{Phase, is_of};
use crate::routing::shared::Shared;
use crate::routing::{Facts, RuleBook, Verdict, screen, screen_by};

/// Said of a price that was recorded, and of one that nobody came to then.
const PRICE_RECORDED: &str = "record: its price rests on a fact that was not kept";
pub(super) const PRICE_UNKNOWN: &str = "unknown: its price rests on a fact that was not kept";

/// One step to decide again.
pub(super) struct Given<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) trail: &'a StoredTrail,
    pub(super) line: Option<Line<'a>>,
    pub(super) plan: &'a Plan,
    pub(super) test: bool,
    pub(super) money_step: Money,
    /// What who was handed the call pays for it, where the record says so.
    pub(super) paid: Option<Money>,
    /// The catalog's time for auctions of this step.
    deadline: Option<Duration>,
    known: Known<'a>,
    plan_ix: PlanIx,
    rules: RuleBook,
    recorded: BTreeMap<&'a str, &'a StoredOutcome>,
}

/// What was recorded of one target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded<'a> {
    pub(super) reason: Reason,
    pub(super) amount: Option<Money>,
    pub(super) note: Option<&'a str>,
    pub(super) was_asked: bool,
    latency: Option<Duration>,
}

/// What is known of a bid that an auction did not wait for.
pub(super) enum Late {
    /// None came in time.
    None,
    /// This came in time.
    Bid(Money),
    /// It may have come in time; its amount, where any came at all.
    Maybe(Option<Money>),
}

/// What screening says of a target, and why it could not say all of it by itself.
pub(super) enum Screened {
    /// Every rule was held against the facts.
    Decided(Verdict),
    /// A filter looks at a fact that is not kept: it says what it said then.
    Recorded(Verdict),
    /// The same, and it was not asked then: it is taken to hold.
    Assumed,
}

impl<'a> Given<'a> {
    pub(super) fn of(
        catalog: &'a Catalog,
        trail: &'a StoredTrail,
        call: &'a StoredDecision,
        (money_step, paid): (Money, Option<Money>),
    ) -> Result<Given<'a>, NotReplayable> {
        let unknown = |what: String| NotReplayable::Unknown {
            step: trail.step,
            what,
            digest: catalog.digest.to_string(),
        };
        let plan_ix = catalog.plans.iter().position(|plan| plan.id.as_str() == trail.plan);
        let plan_ix = plan_ix.ok_or_else(|| unknown(format!("plan {}", trail.plan)))?;
        let known = Known::of(catalog, trail, call).ok_or(NotReplayable::NoFacts(trail.step))?;
        let line = known.number.map(Line::of);
        if trail.campaign.is_some() && line.is_none() {
            return Err(unknown("a number".to_owned()));
        }
        Ok(Given {
            catalog,
            trail,
            line,
            plan: &catalog.plans[plan_ix],
            test: call.test,
            money_step,
            paid,
            deadline: deadline(catalog, call, line.as_ref()),
            known,
            plan_ix: PlanIx(plan_ix as u32),
            rules: RuleBook::of(catalog),
            recorded: trail.outcomes.iter().map(|outcome| (outcome.target.as_str(), outcome)).collect(),
        })
    }

    /// Who and what it is about, for its record.
    pub(super) fn keys(&self) -> CallKeys {
        CallKeys {
            call_id: self.trail.call_id,
            at: self.trail.at,
            campaign: self.trail.campaign.as_deref().and_then(|id| CampaignId::parse(id).ok()),
            publisher: self.trail.publisher.as_deref().and_then(|id| PublisherId::parse(id).ok()),
        }
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        self.known.facts()
    }

    pub(super) fn recorded(&self, ix: TargetIx) -> Option<Recorded<'_>> {
        let found = self.recorded.get(self.catalog.target(ix).id.as_str())?;
        let reason = Reason::from_code(found.reason)?;
        let was_asked = found.ping.is_some();
        let latency = found.latency_us.map(Duration::from_micros);
        Some(Recorded { reason, amount: found.amount, note: found.note.as_deref(), was_asked, latency })
    }

    /// What the record proves of a bid that was not needed. It says how long the reply took and when the step's last ping
    /// was written, both cut to microseconds, not when this one was.
    pub(super) fn late(&self, node: &AuctionNode, was: &Recorded<'_>) -> Late {
        if was.note.is_some() {
            return Late::None;
        }
        let (Some(amount), Some(latency), Some(deadline)) = (was.amount, was.latency, self.deadline) else {
            return Late::Maybe(was.amount);
        };
        let closes = node.timeout.map_or(deadline, |timeout| timeout.min(deadline));
        let written = Duration::from_micros(self.trail.asked_us + 2);
        // A probe is not waited for, and only of an auction that ended early others were not needed.
        match self.trail.close == Close::Early.as_str() && written + latency <= closes {
            true => Late::Bid(amount),
            false if latency >= deadline => Late::None,
            false => Late::Maybe(Some(amount)),
        }
    }

    /// Whether all who were waited for in this auction had answered when it ended: who was not needed was a probe.
    pub(super) fn has_only_probes(&self, node: &AuctionNode) -> bool {
        let is_in = |id: &str| node.members.iter().any(|ix| self.catalog.target(*ix).id.as_str() == id);
        let mut asked = self.trail.outcomes.iter().filter(|outcome| outcome.ping.is_some());
        self.trail.close == Close::AllReplied.as_str() && asked.all(|outcome| is_in(&outcome.target))
    }

    /// Whether a call with these facts may take the branch.
    pub(super) fn may_take(&self, branch: &Branch) -> bool {
        if branch.when.iter().any(|filter| self.known.lacks(filter)) {
            return self.known.was_open(branch.number);
        }
        self.rules.branches[self.plan_ix.at()][branch.number].hold(&self.facts())
    }

    /// The turn that the call had at a round robin.
    pub(super) fn turn(&self, node: &RoundRobin) -> u64 {
        let had = self.trail.turns.iter().find(|turn| turn.node as usize == node.number);
        had.map_or(0, |turn| u64::from(turn.first))
    }

    /// The row of the campaign's floors that holds for the call.
    pub(super) fn floor_row(&self) -> Option<usize> {
        self.known.floor_row(&self.rules.floors)
    }

    /// What a target's own terms come to. Where a row of its table looks at a fact that is not kept, the price is the one
    /// that was recorded.
    pub(super) fn terms(&self, ix: TargetIx) -> Terms {
        let terms = terms(self.catalog, &self.rules.tables, ix, &self.facts());
        if !self.known.lacks_price(self.catalog.target(ix)) {
            return terms;
        }
        let (price, by) = match self.recorded(ix) {
            Some(Recorded { amount: Some(amount), .. }) => (Some(amount), By::Always),
            Some(Recorded { reason: Reason::NoBid, .. }) => (None, By::Row(0)),
            Some(Recorded { reason: Reason::NoRow, .. }) => (None, By::NoRow),
            // Nobody came to it then: as if it were asked, and nobody knows what it would have said.
            Some(_) | None => (None, By::Asking),
        };
        Terms { price, by, ..terms }
    }

    /// What a target's price rests on where a row of its table looks at a fact that is not kept.
    pub(super) fn price_by(&self, ix: TargetIx) -> Option<&'static str> {
        if !self.known.lacks_price(self.catalog.target(ix)) {
            return None;
        }
        Some(if self.terms(ix).by == By::Asking { PRICE_UNKNOWN } else { PRICE_RECORDED })
    }

    /// What screening says of a target.
    pub(super) fn screened(&self, ix: TargetIx) -> Screened {
        let (facts, target, mut shared) = (self.facts(), self.catalog.target(ix), Shared::default());
        let is_kept = |filter: &&_| !self.known.lacks(filter);
        let Some(first) = target.filters.iter().position(|filter| !is_kept(&filter)) else {
            return Screened::Decided(screen(self.catalog, &self.rules.filters, ix, &facts, &mut shared));
        };
        let zone = &self.catalog.buyer(target.buyer).zone;
        let before = Compiled::new(&target.filters[..first], zone);
        match screen_by(self.catalog, &before, ix, &facts, &mut shared) {
            Verdict::Candidate => {}
            refused @ Verdict::Refused(..) => return Screened::Decided(refused),
        }
        let recorded = self.recorded(ix);
        if let Some(Recorded { reason, note, .. }) =
            recorded.filter(|recorded| is_of_a_filter(recorded.reason))
        {
            return Screened::Recorded(Verdict::Refused(reason, note.map(str::to_owned)));
        }
        let rest: Vec<_> = target.filters[first..].iter().filter(is_kept).cloned().collect();
        match screen_by(self.catalog, &Compiled::new(&rest, zone), ix, &facts, &mut shared) {
            refused @ Verdict::Refused(..) => Screened::Decided(refused),
            Verdict::Candidate if recorded.is_some_and(|recorded| was_screened(recorded.reason)) => {
                Screened::Recorded(Verdict::Candidate)
            }
            Verdict::Candidate => Screened::Assumed,
        }
    }

    /// The id of a target's buyer.
    pub(super) fn buyer(&self, ix: TargetIx) -> &BuyerId {
        &self.catalog.buyer(self.catalog.target(ix).buyer).id
    }
}

/// Within which the auctions of a call close, unless they have less.
fn deadline(catalog: &Catalog, call: &StoredDecision, line: Option<&Line<'_>>) -> Option<Duration> {
    let carrier = catalog.carriers.iter().find(|carrier| carrier.id.as_str() == call.carrier)?;
    Some(closes_within(carrier, line.map(|line| catalog.campaign(line.campaign))))
}

/// Refused by a filter: what comes before them does not.
fn is_of_a_filter(reason: Reason) -> bool {
    let is_before =
        matches!(reason, Reason::Paused | Reason::BuyerPaused | Reason::Suppressed | Reason::EarlierAttempts);
    is_of(reason, Phase::Screen) && !is_before
}

/// Left out by the walk of the plan.
fn is_left_out(reason: Reason) -> bool {
    is_of(reason, Phase::Plan) && reason != Reason::NotReached
}

/// Whether a target that ended so had been asked all its filters.
fn was_screened(reason: Reason) -> bool {
    !is_of(reason, Phase::Screen) && !is_of(reason, Phase::Call) && !is_left_out(reason)
}
