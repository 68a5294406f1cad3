//! How each target has been answering lately, and so whether auctions wait for it. Shared by all workers: five misses
//! mean five, not five per worker.
//!
//! A target that missed five pings in a row is only probed: asked now and then, without anybody waiting. Its first
//! complete reply in time brings it back. A probe that nobody answers costs a connection, so all targets share as many as
//! few auctions may have, in turn, and no target waits for long. What counts as a miss is decided where pings are, in
//! `ping`; who is asked and for how long, in `exchange` and `auction`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::{BuyerId, Catalog, Target, TargetId, Timestamp};
use crate::telemetry::event;

/// Misses in a row after which a target is no longer waited for.
pub const MISSES_MAX: u32 = 5;
/// Least time between two probes of one target, over all workers.
pub const PROBE_REST: Duration = Duration::from_millis(250);
/// A target that was not probed for so long is in the next auction that could ask it, whoever's turn it is.
pub const PROBE_LATEST: Duration = Duration::from_secs(2);
/// Auctions that could probe somebody, of all workers, for one that does so by turn.
pub const AUCTIONS_PER_PROBE: u32 = 125;

/// A worker that was no later than this has read what was there.
const LATE_MAX: Duration = Duration::from_millis(10);

/// Whether a ping without a reply by `now` may be missed through our own fault: the worker was so `late` lately that what
/// came before the deadline may not have been read yet. Reading takes a second turn after the one that learns of it.
pub fn may_be_ours(late: Duration, now: Timestamp, closes: Timestamp) -> bool {
    late > LATE_MAX && now >= closes && now.before(late * 2) < closes
}

/// What all targets that are only probed share.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// Auctions that could probe somebody, since the last probe.
    auctions: AtomicU32,
    /// When a target last answered that was only probed before; 0 before the first.
    somebody_back_at: AtomicI64,
}

/// The record of one target.
#[derive(Debug)]
pub struct Health {
    buyer: BuyerId,
    target: TargetId,
    misses_in_a_row: AtomicU32,
    /// When the last complete reply in time was read; 0 before the first.
    answered_at: AtomicI64,
    /// When the last probe was claimed, or the ping asked that was one miss too many.
    probed_at: AtomicI64,
    probes: Arc<Probes>,
}

impl Health {
    pub(super) fn new(buyer: BuyerId, target: TargetId, probes: &Arc<Probes>) -> Health {
        Health {
            buyer,
            target,
            misses_in_a_row: AtomicU32::new(0),
            answered_at: AtomicI64::new(0),
            probed_at: AtomicI64::new(0),
            probes: Arc::clone(probes),
        }
    }

    /// A complete reply came in time, at `read`: whatever was missed before is forgotten. Buyers go down together, with
    /// a platform, a path or a host: the first that is back sets off a probe of all others.
    pub fn hit(&self, read: Timestamp) {
        self.answered_at.fetch_max(read.micros(), Ordering::Relaxed);
        let missed = self.misses_in_a_row.swap(0, Ordering::Relaxed);
        if missed >= MISSES_MAX {
            self.probes.somebody_back_at.fetch_max(read.micros(), Ordering::Relaxed);
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
            self.probed_at.fetch_max(asked.micros(), Ordering::Relaxed);
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

    /// Claims the probe that is due, for one of all who ask: it is this target's turn, or it was not probed for long, or
    /// not since somebody came back.
    pub fn claim_probe(&self, now: Timestamp, is_its_turn: bool) -> bool {
        let has_turn = is_its_turn && self.probes.take_turn();
        let back_at = self.probes.somebody_back_at.load(Ordering::Relaxed);
        let is_due = |last: i64| {
            let is_due = has_turn || last <= now.before(PROBE_LATEST).micros() || last < back_at;
            (is_due && has_rested(last, now)).then_some(now.micros())
        };
        let is_claimed = self.probed_at.try_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_ok();
        if is_claimed {
            self.probes.auctions.store(0, Ordering::Relaxed);
        }
        is_claimed
    }
}

impl Probes {
    /// For one of all who would.
    fn take_turn(&self) -> bool {
        let taken = |auctions: u32| (auctions >= AUCTIONS_PER_PROBE).then_some(0);
        self.auctions.try_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

/// Whether a target whose last probe was then may have another.
fn has_rested(last: i64, now: Timestamp) -> bool {
    last <= now.before(PROBE_REST).micros()
}

/// Counts an auction that could probe these targets, and says whose turn it is, if anybody's: of those that may have
/// another probe the one whose last is longest ago.
pub fn turn<'a, T>(probed: impl Iterator<Item = (T, &'a Health)>, now: Timestamp) -> Option<T> {
    let mut probed = probed.peekable();
    let (_, first) = probed.peek()?;
    // Past the top it begins anew: a turn later.
    let auctions = first.probes.auctions.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    if auctions < AUCTIONS_PER_PROBE {
        return None;
    }
    let last = probed.map(|(who, health)| (who, health.probed_at.load(Ordering::Relaxed)));
    last.filter(|(_, last)| has_rested(*last, now)).min_by_key(|(_, last)| *last).map(|(who, _)| who)
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
pub struct Register {
    known: Mutex<HashMap<Key, Arc<Health>>>,
    probes: Arc<Probes>,
}

impl Register {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Health>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
            let begin = || Arc::new(Health::new(buyer, target.id.clone(), &self.probes));
            let health = health.unwrap_or_else(begin);
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

    /// Three that share their probes.
    fn targets() -> [Health; 3] {
        let probes = Arc::default();
        let buyer = || BuyerId::parse("acme").expect("an id");
        ["a", "b", "c"].map(|id| Health::new(buyer(), TargetId::parse(id).expect("an id"), &probes))
    }

    /// An auction of these targets: who is probed in it.
    fn auction<'a>(asked: &[&'a Health], now: Timestamp) -> Vec<&'a TargetId> {
        let probed = || asked.iter().filter(|health| !health.is_waited_for());
        let turn = turn(probed().map(|health| (&health.target, *health)), now);
        let claimed = probed().filter(|health| health.claim_probe(now, turn == Some(&health.target)));
        claimed.map(|health| &health.target).collect()
    }

    /// Rows of events at milliseconds, of the targets `a`, `b` and `c`: `miss <who> <asked>`, `misses <count> <who> <asked>`,
    /// `hit <who> <read>`, `auctions <of whom> <from>..<until> <every>`; after `=>` what is so then: `waited` or `sidelined`
    /// with the misses in a row, or who was probed when.
    fn check(table: &str) {
        for case in table.split("\n\n") {
            let targets = targets();
            let whom = |who: &str| targets.iter().filter(|one| who.contains(one.target.as_str())).collect();
            let of = |who: &str| -> &Health {
                let found: Vec<&Health> = whom(who);
                found.first().expect("a target")
            };
            let rows = case.lines().map(|line| line.split('#').next().unwrap_or_default());
            for row in rows.filter(|row| !row.trim().is_empty()) {
                let (happened, expected) = row.split_once("=>").unwrap_or((row, ""));
                let words: Vec<&str> = happened.split_whitespace().collect();
                match words[..] {
                    ["miss", who, asked] => of(who).miss(at(asked)),
                    ["misses", count, who, asked] => {
                        (0..count.parse().expect("a number")).for_each(|_: u32| of(who).miss(at(asked)));
                    }
                    ["hit", who, read] => of(who).hit(at(read)),
                    ["auctions", who, span, every] => {
                        let (from, until) = span.split_once("..").expect("a span");
                        let asked: Vec<&Health> = whom(who);
                        let (mut now, mut came) = (at(from), Vec::new());
                        while now < at(until) {
                            let ms = now.since(at("0")).as_millis();
                            came.extend(auction(&asked, now).iter().map(|who| format!("{who}@{ms}")));
                            now = now.after(Duration::from_millis(every.parse().expect("milliseconds")));
                        }
                        let expected: Vec<&str> = expected.split_whitespace().collect();
                        assert_eq!(came, expected, "{row} in:\n{case}");
                        continue;
                    }
                    _ => panic!("no such event: {row}"),
                }
                let health = of(words[words.len() - 2]);
                let state = if health.is_waited_for() { "waited" } else { "sidelined" };
                if !expected.is_empty() {
                    let came = format!("{state} {}", health.misses_in_a_row());
                    assert_eq!(came, expected.trim(), "{row} in:\n{case}");
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
            "misses 4 a 10    => waited 4
             miss a 20        => sidelined 5
             misses 2 a 30    => sidelined 7
             hit a 400        => waited 0
             misses 4 a 410   => waited 4        # back means five again
             miss a 420       => sidelined 5

             misses 4 a 10    => waited 4        # in a row
             hit a 20         => waited 0
             misses 4 a 30    => waited 4",
        );
    }

    #[test]
    fn a_miss_asked_before_the_last_answer_does_not_count() {
        check(
            "misses 5 a 10    => sidelined 5     # pings that were out when it healed
             hit a 900        => waited 0
             misses 9 a 899   => waited 0
             misses 9 a 900   => waited 0
             misses 5 a 901   => sidelined 5

             hit a 900        => waited 0        # answers read out of order
             hit a 300        => waited 0
             misses 5 a 600   => waited 0",
        );
    }

    #[test]
    fn few_auctions_probe_somebody_and_turns_go_round() {
        check(
            "auctions abc 0..9000 1                                  # nobody needs it
             misses 5 a 9000
             auctions bc 9000..9999 1
             misses 5 b 9999
             auctions bc 10000..10249 1 =>                           # the ping that was one too many is as good as a probe
             auctions abc 10249..10250 1 => a@10249

             misses 5 a 0
             misses 5 b 1
             misses 5 c 2
             auctions abc 5..3000 5 => a@625 b@1250 c@1875 a@2500    # every 125th of 200 a second

             misses 5 a 0
             auctions abc 1..1001 1 => a@250 a@500 a@750 a@1000      # however many there are

             misses 5 a 0
             misses 5 b 0
             auctions a 1..125 1 =>
             auctions b 125..126 1 =>                                # its turn, and it has to rest
             auctions c 126..250 1 =>                                # who is waited for is not in the way
             auctions b 250..251 1 => b@250
             auctions ab 251..375 1 =>                               # nothing was saved up
             auctions ab 375..376 1 => a@375

             misses 5 a 0
             misses 5 b 0
             auctions ab 250..374 1 =>
             auctions b 374..375 1 => b@374                          # the others of that auction do not matter
             auctions ab 375..499 1 =>
             auctions ab 499..500 1 => a@499",
        );
    }

    #[test]
    fn nobody_is_left_without_a_probe_for_long() {
        check(
            "misses 5 a 0
             misses 5 b 500
             auctions ab 100..6000 100 => a@2000 b@2500 a@4000 b@4500

             misses 5 a 0
             misses 5 b 0
             auctions ab 5000..5001 1 => a@5000 b@5000
             auctions ab 6999..7001 1 => a@7000 b@7000

             misses 5 a 0                                            # a probe of its own time counts as one by turn
             misses 5 b 1000
             auctions ab 1990..3105 10 => a@2000 b@3000
             auctions ab 3110..4260 10 => a@4000",
        );
    }

    #[test]
    fn the_first_that_is_back_sets_off_a_probe_of_the_others() {
        check(
            "misses 5 a 0
             misses 5 b 0
             misses 5 c 1000
             auctions abc 1100..1110 10 =>
             hit a 1110           => waited 0
             auctions abc 1120..1130 10 => b@1120
             auctions abc 1130..1250 10 =>                           # each may have another after a quarter of a second
             auctions abc 1250..1260 10 => c@1250
             auctions abc 1260..3200 10 => b@2500                    # once
             hit a 3200           => waited 0                        # it was not away
             auctions abc 3200..3250 10 =>
             hit b 3250           => waited 0
             auctions abc 3250..3260 10 => c@3250
             misses 5 a 3300
             auctions abc 3300..3500 10 =>                           # who went since does not hear of it
             hit c 3500           => waited 0
             auctions abc 3500..3600 10 => a@3550",
        );
    }

    #[test]
    fn a_probe_is_claimed_by_one_of_many() {
        let targets = targets();
        let [a, b, c] = &targets;
        targets.iter().for_each(|health| (0..MISSES_MAX).for_each(|_| health.miss(at("0"))));
        let claims = |now: Timestamp| {
            let mut claimed = std::thread::scope(|scope| {
                let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| auction(&[a, b, c], now))).collect();
                asking.into_iter().flat_map(|one| one.join().expect("no panic")).collect::<Vec<_>>()
            });
            claimed.sort_unstable();
            claimed.iter().map(|who| who.as_str()).collect::<String>()
        };
        assert_eq!(claims(at("2000")), "abc");
        for (ms, who) in [("2250", "a"), ("2500", "b"), ("2750", "c")] {
            (0..AUCTIONS_PER_PROBE).for_each(|_| assert!(auction(&[a, b, c], at("2001")).is_empty()));
            assert_eq!(claims(at(ms)), who, "at {ms} ms");
        }
    }
}
