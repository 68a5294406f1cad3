//! What every decision counts, without looking its series up each time: the page's registry hashes a name with all its
//! labels and takes a lock, which costs more than the count.
//!
//! Series without labels from configuration are looked up once in the process, the others once in each thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::OnceLock;
use std::time::Duration;

use foldhash::fast::RandomState;
use metrics::{Counter, Histogram, counter, histogram};

use super::event::SHED_FOR;
use super::names as name;
use super::stage::Stage;
use crate::domain::{BuyerId, CampaignId, Reason};

/// Buyers or campaigns whose series one thread keeps. Ids come from the catalog, so more are only met by many reloads.
const KEPT_MAX: usize = 4_096;

/// Series with fixed labels.
pub(super) struct Fixed {
    pub(super) decision: Histogram,
    pub(super) overhead: Histogram,
    pub(super) stages: [Histogram; Stage::ALL.len()],
    /// By what auctions are shed for.
    pub(super) shed: [Counter; SHED_FOR.len()],
}

static FIXED: OnceLock<Fixed> = OnceLock::new();

/// Looks up what is looked up once; to be called when the page is there, since what is looked up before counts nothing.
pub(super) fn begin() {
    FIXED.get_or_init(|| Fixed {
        decision: histogram!(name::DECISION_SECONDS),
        overhead: histogram!(name::OVERHEAD_SECONDS),
        stages: Stage::ALL.map(|stage| histogram!(name::STAGE_SECONDS, "stage" => stage.as_str())),
        shed: SHED_FOR.map(|cause| counter!(name::AUCTIONS_SHED, "cause" => cause)),
    });
}

/// Series with fixed labels; `None` where there is no page and nothing is counted.
pub(super) fn fixed() -> Option<&'static Fixed> {
    FIXED.get()
}

/// Series of one thread, by what is configured and then by labels from closed enums, of which few are met.
struct Kept<K, L, S>(HashMap<K, Vec<(L, S)>, RandomState>);

impl<K: Hash + Eq + Clone, L: PartialEq, S> Kept<K, L, S> {
    fn new() -> Kept<K, L, S> {
        Kept(HashMap::default())
    }

    fn get(&mut self, key: &K, label: L, find: impl FnOnce() -> S) -> &S {
        if !self.0.contains_key(key) {
            if self.0.len() >= KEPT_MAX {
                self.0.clear();
            }
            self.0.insert(key.clone(), Vec::new());
        }
        // A key is not copied to find what is there.
        let series = self.0.get_mut(key).expect("it is there, or was just put there");
        let known = series.iter().position(|(known, _)| *known == label);
        let at = known.unwrap_or_else(|| {
            series.push((label, find()));
            series.len() - 1
        });
        &series[at].1
    }
}

type Decisions = Kept<Option<CampaignId>, (&'static str, Reason), Counter>;

thread_local! {
    static DECISIONS: RefCell<Decisions> = RefCell::new(Kept::new());
    static OUTCOMES: RefCell<Kept<BuyerId, Reason, Counter>> = RefCell::new(Kept::new());
    static PINGS: RefCell<Kept<BuyerId, (), Histogram>> = RefCell::new(Kept::new());
}

/// One more decision.
pub(super) fn count_decision(campaign: Option<&CampaignId>, basis: &'static str, reason: Reason) {
    if fixed().is_none() {
        return;
    }
    DECISIONS.with_borrow_mut(|kept| {
        let find = || {
            let campaign = super::event::campaign_label(campaign);
            counter!(name::DECISIONS, "campaign" => campaign, "basis" => basis, "reason" => reason.as_str())
        };
        kept.get(&campaign.cloned(), (basis, reason), find).increment(1);
    });
}

/// One more outcome.
pub(super) fn count_outcome(buyer: &BuyerId, reason: Reason) {
    if fixed().is_none() {
        return;
    }
    OUTCOMES.with_borrow_mut(|kept| {
        let find = || counter!(name::OUTCOMES, "buyer" => buyer.to_string(), "reason" => reason.as_str());
        kept.get(buyer, reason, find).increment(1);
    });
}

/// One more reply.
pub(super) fn time_reply(buyer: &BuyerId, took: Duration) {
    if fixed().is_none() {
        return;
    }
    PINGS.with_borrow_mut(|kept| {
        let find = || histogram!(name::PING_SECONDS, "buyer" => buyer.to_string());
        kept.get(buyer, (), find).record(took);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_looked_up_once_and_no_more_are_kept_than_may_be() {
        let mut kept: Kept<usize, &str, usize> = Kept::new();
        let mut found = 0;
        for (key, label) in [(1, "won"), (1, "late"), (2, "won"), (1, "won"), (2, "won"), (1, "late")] {
            let series = *kept.get(&key, label, || {
                found += 1;
                key * 10 + label.len()
            });
            assert_eq!(series, key * 10 + label.len());
        }
        assert_eq!(found, 3);
        for key in 0..2 * KEPT_MAX {
            kept.get(&key, "won", || key);
            assert!(kept.0.len() <= KEPT_MAX);
        }
        assert_eq!(*kept.get(&(2 * KEPT_MAX - 1), "won", || 0), 2 * KEPT_MAX - 1, "the latest are kept");
    }
}
