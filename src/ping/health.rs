//! How each target has been answering lately, and so whether auctions wait for it. Shared by all workers: five misses
//! mean five, not five per worker.
//!
//! A target that missed five pings in a row is only probed: asked now and then, without anybody waiting. Its first
//! complete reply in time brings it back. What counts as a miss is decided where pings are, in `ping`; who is asked
//! and for how long, in `exchange` and `auction`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::{BuyerId, Catalog, Target, TargetId, Timestamp};
use crate::telemetry::event;

/// Misses in a row after which a target is no longer waited for.
pub const MISSES_MAX: u32 = 5;
/// Least time between two probes of one target, over all workers.
pub const PROBE_EVERY: Duration = Duration::from_millis(250);

/// A worker that was no later than this has read what was there.
const LATE_MAX: Duration = Duration::from_millis(10);

/// Whether a ping without a reply by `now` may be missed through our own fault: the worker was so `late` lately that what
/// came before the deadline may not have been read yet. Reading takes a second turn after the one that learns of it.
pub fn may_be_ours(late: Duration, now: Timestamp, closes: Timestamp) -> bool {
    late > LATE_MAX && now >= closes && now.before(late * 2) < closes
}

/// The record of one target.
#[derive(Debug)]
pub struct Health {
    buyer: BuyerId,
    target: TargetId,
    misses_in_a_row: AtomicU32,
    /// When the last complete reply in time was read; 0 before the first.
    answered_at: AtomicI64,
    /// When the last probe was claimed.
    probed_at: AtomicI64,
}

impl Health {
    pub(super) fn new(buyer: BuyerId, target: TargetId) -> Health {
        Health {
            buyer,
            target,
            misses_in_a_row: AtomicU32::new(0),
            answered_at: AtomicI64::new(0),
            probed_at: AtomicI64::new(0),
        }
    }

    /// A complete reply came in time, at `read`: whatever was missed before is forgotten.
    pub fn hit(&self, read: Timestamp) {
        self.answered_at.fetch_max(read.micros(), Ordering::Relaxed);
        let missed = self.misses_in_a_row.swap(0, Ordering::Relaxed);
        if missed >= MISSES_MAX {
            event::responsive_again(&self.buyer, &self.target, missed);
        }
    }

    /// The ping asked at `asked` got no complete reply in time. One that was asked before the last answer says nothing
    /// of the time since: it does not count.
    pub fn miss(&self, asked: Timestamp) {
        if asked.micros() <= self.answered_at.load(Ordering::Relaxed) {
            return;
        }
        // Saturating: at the top it stays there.
        let one_more = |misses: u32| misses.checked_add(1);
        let before = self.misses_in_a_row.try_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if before == Ok(MISSES_MAX - 1) {
            event::unresponsive(&self.buyer, &self.target, MISSES_MAX);
        }
    }

    /// Pings since the last reply in time.
    pub fn misses_in_a_row(&self) -> u32 {
        self.misses_in_a_row.load(Ordering::Relaxed)
    }

    /// Whether auctions wait for it.
    pub fn is_waited_for(&self) -> bool {
        self.misses_in_a_row() < MISSES_MAX
    }

    /// Claims the probe that is due, for one of all who ask.
    pub fn claim_probe(&self, now: Timestamp) -> bool {
        let is_due = |last: i64| (last <= now.before(PROBE_EVERY).micros()).then_some(now.micros());
        self.probed_at.try_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_ok()
    }
}

/// What makes a target the same after a reload: its id and where it is asked.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    target: TargetId,
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Key {
    fn of(target: &Target) -> Option<Key> {
        let at = target.endpoint()?;
        let (host, path) = (at.host.clone(), at.path.clone());
        Some(Key { target: target.id.clone(), tls: at.tls, host, port: at.port, path })
    }

    fn url(&self) -> String {
        let Key { tls, host, port, path, .. } = self;
        format!("{}://{host}:{port}{path}", if *tls { "https" } else { "http" })
    }
}

/// A target that has missed pings since its last reply in time, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The target.
    pub target: TargetId,
    /// Its buyer.
    pub buyer: BuyerId,
    /// Where it is asked.
    pub endpoint: String,
    /// Pings since its last reply in time.
    pub misses_in_a_row: u32,
    /// When that was read.
    pub answered_at: Timestamp,
}

/// The records of all targets that the catalog in force asks.
#[derive(Debug, Default)]
pub struct Register(Mutex<HashMap<Key, Arc<Health>>>);

impl Register {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Health>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The targets that have missed pings, in the order of their ids.
    pub fn missed(&self) -> Vec<Missed> {
        let known = self.lock();
        let missed = known.iter().filter(|(_, health)| health.misses_in_a_row() > 0);
        let mut missed: Vec<Missed> = missed
            .map(|(key, health)| Missed {
                target: health.target.clone(),
                buyer: health.buyer.clone(),
                endpoint: key.url(),
                misses_in_a_row: health.misses_in_a_row(),
                answered_at: Timestamp::from_micros(health.answered_at.load(Ordering::Relaxed)),
            })
            .collect();
        missed.sort_unstable_by(|a, b| (&a.target, &a.endpoint).cmp(&(&b.target, &b.endpoint)));
        missed
    }

    /// Takes over what was missed before a restart, of targets that are asked where they were.
    pub fn restore(&self, missed: &[Missed]) {
        let known = self.lock();
        for (key, health) in known.iter() {
            let url = key.url();
            let of_it = |missed: &&Missed| missed.target == health.target && missed.endpoint == url;
            if let Some(missed) = missed.iter().find(of_it).filter(|missed| missed.buyer == health.buyer) {
                health.misses_in_a_row.store(missed.misses_in_a_row, Ordering::Relaxed);
                health.answered_at.store(missed.answered_at.micros(), Ordering::Relaxed);
                event::target_unresponsive(&health.buyer, &health.target, !health.is_waited_for());
            }
        }
    }

    /// The records of a catalog's targets, by target; `None` for fixed prices. A target that is asked where it was asked
    /// before keeps its record; the others begin as if they had answered.
    pub fn prepare(&self, catalog: &Catalog) -> Vec<Option<Arc<Health>>> {
        let mut known = self.lock();
        let mut kept = HashMap::new();
        let mut prepared = Vec::with_capacity(catalog.targets.len());
        for target in &catalog.targets {
            let Some(key) = Key::of(target) else {
                prepared.push(None);
                continue;
            };
            let buyer = catalog.buyer(target.buyer).id.clone();
            let health = known.remove(&key).filter(|health| health.buyer == buyer);
            let health = health.unwrap_or_else(|| Arc::new(Health::new(buyer, target.id.clone())));
            kept.insert(key, Arc::clone(&health));
            prepared.push(Some(health));
        }
        // Nobody asks these any more: their last word must not stay on the page as an alarm.
        known.values().for_each(|gone| event::target_unresponsive(&gone.buyer, &gone.target, false));
        for health in kept.values() {
            event::target_unresponsive(&health.buyer, &health.target, !health.is_waited_for());
        }
        *known = kept;
        prepared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: &str) -> Timestamp {
        Timestamp::from_micros(1_000_000_000).after(Duration::from_millis(ms.parse().expect("milliseconds")))
    }

    /// Rows of events at milliseconds: `miss <asked>`, `hit <read>`, `probe <now>`; after `=>` what is so then: `waited` or
    /// `sidelined` with the misses in a row, or for a probe whether it was claimed.
    fn check(table: &str) {
        for case in table.split("\n\n") {
            let health =
                Health::new(BuyerId::parse("acme").expect("an id"), TargetId::parse("bid").expect("an id"));
            let rows = case.lines().map(|line| line.split('#').next().unwrap_or_default());
            for row in rows.filter(|row| !row.trim().is_empty()) {
                let (happened, expected) = row.split_once("=>").unwrap_or((row, ""));
                let words: Vec<&str> = happened.split_whitespace().collect();
                let mut came = String::new();
                match words[..] {
                    ["miss", asked] => health.miss(at(asked)),
                    ["misses", count, asked] => {
                        (0..count.parse().expect("a number")).for_each(|_: u32| health.miss(at(asked)));
                    }
                    ["hit", read] => health.hit(at(read)),
                    ["probe", now] => {
                        came = if health.claim_probe(at(now)) { "claimed " } else { "refused " }.into()
                    }
                    _ => panic!("no such event: {row}"),
                }
                came += if health.is_waited_for() { "waited" } else { "sidelined" };
                came += &format!(" {}", health.misses_in_a_row());
                if !expected.is_empty() {
                    assert_eq!(
                        came,
                        expected.split_whitespace().collect::<Vec<_>>().join(" "),
                        "{row} in:\n{case}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_late_worker_did_not_read_is_no_miss() {
        // How late it was lately, when the miss would be booked, and whether it may be ours; the auction closed at 300.
        let table = "
            0    300  no
            2    301  no      # as timers are
            10   305  no
            11   300  may_be
            11   321  may_be
            11   322  no      # had it been there, it would have been read
            80   330  may_be
            80   299  no      # it failed before the deadline
            80   1300 no      # the linger is over";
        let rows = table.lines().filter_map(|row| row.split('#').next()).map(str::trim);
        for row in rows.filter(|row| !row.is_empty()) {
            let words: Vec<&str> = row.split_whitespace().collect();
            let late = at(words[0]).since(at("0"));
            let expected = words[2] == "may_be";
            assert_eq!(may_be_ours(late, at(words[1]), at("300")), expected, "{row}");
        }
    }

    #[test]
    fn five_misses_in_a_row_and_the_first_answer_back() {
        check(
            "misses 4 10    => waited 4
             miss 20        => sidelined 5
             misses 2 30    => sidelined 7
             hit 400        => waited 0
             misses 4 410   => waited 4        # back means five again
             miss 420       => sidelined 5

             misses 4 10    => waited 4        # in a row
             hit 20         => waited 0
             misses 4 30    => waited 4",
        );
    }

    #[test]
    fn a_miss_asked_before_the_last_answer_does_not_count() {
        check(
            "misses 5 10    => sidelined 5     # pings that were out when it healed
             hit 900        => waited 0
             misses 9 899   => waited 0
             misses 9 900   => waited 0
             misses 5 901   => sidelined 5

             hit 900        => waited 0        # answers read out of order
             hit 300        => waited 0
             misses 5 600   => waited 0",
        );
    }

    #[test]
    fn a_probe_is_claimed_every_quarter_of_a_second() {
        check(
            "probe 0        => claimed waited 0
             probe 0        => refused waited 0
             probe 249      => refused waited 0
             probe 250      => claimed waited 0   # from the last one claimed
             probe 499      => refused waited 0
             probe 10000    => claimed waited 0
             probe 10100    => refused waited 0",
        );
    }

    #[test]
    fn a_probe_is_claimed_by_one_of_many() {
        let health =
            Health::new(BuyerId::parse("acme").expect("an id"), TargetId::parse("bid").expect("an id"));
        let claims = |now: Timestamp| {
            std::thread::scope(|scope| {
                let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| health.claim_probe(now))).collect();
                asking
                    .into_iter()
                    .map(|one| one.join().is_ok_and(|claimed| claimed))
                    .filter(|claimed| *claimed)
                    .count()
            })
        };
        for ms in ["0", "250", "500"] {
            assert_eq!(claims(at(ms)), 1, "at {ms} ms");
        }
    }
}
