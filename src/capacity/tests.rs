//! Stories of holds: one row per step, and behind `=>` what it answers. No `=>` means nothing changed.
//!
//! ```text
//! limits acme concurrency 2 daily 100 zone America/New_York      a buyer; `acme/one` is a target of it
//! at     2026-11-20T23:58-05:00                                  the time of what follows
//! hold   h1 acme/one    => held                                  or the cap that has no unit left
//! free   h1             => void buyer acme concurrency           the leg is over
//! post   h1             => post buyer acme daily cap             also: void, expire
//! gauge  acme daily     => held 0 posted 1 unresolved 0 idle     of the window that is open now
//! state  h1             => posted
//! ```
//!
//! A hold of `acme/one` claims every limit of buyer and target in sorted order, and on the first refusal gives back what
//! it took. After each row every gauge is compared with a second bookkeeping (one word per hold and cap) and no cap may
//! be over the highest limit it ever had.

use std::collections::BTreeMap;

use super::hold::{Changes, Hold, HoldState};
use super::{Basis, CapKey, Charge, Claim, Entity, Gauge, Move};
use crate::domain::draw::Draw;
use crate::domain::schedule::day_window;
use crate::domain::{BuyerId, HoldId, Reason, TargetId, Timestamp, Zone};

/// Where the second bookkeeping has the unit of one hold in one cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Held,
    Posted,
    Unresolved,
    Free,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Free,
    Post,
    Void,
    Expire,
}

impl Step {
    fn parse(word: &str) -> Option<Step> {
        match word {
            "free" => Some(Step::Free),
            "post" => Some(Step::Post),
            "void" => Some(Step::Void),
            "expire" => Some(Step::Expire),
            _ => None,
        }
    }

    /// What the step does to a unit: the counting rules once more, told cap by cap.
    fn moves(self, basis: Basis, unit: Unit) -> Unit {
        match (self, basis, unit) {
            (_, _, Unit::Posted | Unit::Free) => unit,
            (_, Basis::Concurrency, _) => Unit::Free,
            (Step::Free, Basis::BillableDay, _) => unit,
            (Step::Post, Basis::BillableDay, _) => Unit::Posted,
            (Step::Void, Basis::BillableDay, _) => Unit::Free,
            (Step::Expire, Basis::BillableDay, _) => Unit::Unresolved,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Limit {
    concurrency: Option<u32>,
    daily: Option<u32>,
}

/// Gauges as a store would keep them, and the second bookkeeping.
struct World {
    now: Timestamp,
    zones: BTreeMap<String, Zone>,
    limits: BTreeMap<String, Limit>,
    gauges: BTreeMap<CapKey, Gauge>,
    peaks: BTreeMap<CapKey, u32>,
    holds: BTreeMap<String, Hold>,
    units: BTreeMap<(String, CapKey), Unit>,
}

fn entity(name: &str) -> Entity {
    match name.split_once('/') {
        None => Entity::Buyer(BuyerId::parse(name).expect("a slug")),
        Some((_, target)) => Entity::Target(TargetId::parse(target).expect("a slug")),
    }
}

fn in_words(changes: &Changes) -> String {
    let word = |change: &Move| match change {
        Move::Void => "void",
        Move::Post => "post",
        Move::Expire => "expire",
        Move::ResolveVoid => "resolve_void",
        Move::ResolvePost => "resolve_post",
    };
    changes.iter().map(|(key, change)| format!("{} {key}", word(change))).collect::<Vec<_>>().join(", ")
}

impl World {
    fn new() -> World {
        World {
            now: Timestamp::parse("2026-11-20T12:00Z").expect("an instant"),
            zones: BTreeMap::new(),
            limits: BTreeMap::new(),
            gauges: BTreeMap::new(),
            peaks: BTreeMap::new(),
            holds: BTreeMap::new(),
            units: BTreeMap::new(),
        }
    }

    /// The gauge of this limit now: the day of the buyer's zone, for its targets too.
    fn key(&self, name: &str, basis: Basis) -> CapKey {
        let window = match basis {
            Basis::Concurrency => Timestamp::default(),
            Basis::BillableDay => {
                let buyer = name.split('/').next().expect("a buyer");
                let utc = Zone::load("UTC").expect("UTC");
                day_window(self.zones.get(buyer).unwrap_or(&utc), self.now).start
            }
        };
        CapKey { entity: entity(name), basis, window }
    }

    /// The limits a hold of this target is claimed under, sorted.
    fn claims(&self, target: &str) -> Vec<Claim> {
        let buyer = target.split('/').next().expect("a buyer");
        let mut names = vec![target, buyer];
        names.dedup();
        let mut claims = Vec::new();
        for name in names {
            let limit = self.limits.get(name).cloned().unwrap_or_default();
            let both = [(Basis::BillableDay, limit.daily), (Basis::Concurrency, limit.concurrency)];
            claims.extend(
                both.into_iter()
                    .filter_map(|(basis, limit)| Some(Claim { key: self.key(name, basis), limit: limit? })),
            );
        }
        claims.sort();
        claims
    }

    fn hold(&mut self, name: &str, target: &str) -> Result<(), CapKey> {
        let claims = self.claims(target);
        for (taken, claim) in claims.iter().enumerate() {
            let peak = self.peaks.entry(claim.key.clone()).or_default();
            *peak = (*peak).max(claim.limit);
            if !self.gauges.entry(claim.key.clone()).or_default().take(claim.limit) {
                for claim in &claims[..taken] {
                    self.gauges.get_mut(&claim.key).expect("just taken").apply(Move::Void);
                }
                return Err(claim.key.clone());
            }
        }
        let keys: Vec<CapKey> = claims.into_iter().map(|claim| claim.key).collect();
        for key in &keys {
            self.units.insert((name.to_owned(), key.clone()), Unit::Held);
        }
        let id = HoldId::from_bits(self.holds.len() as u128);
        assert_eq!(self.holds.insert(name.to_owned(), Hold::new(id, keys)), None, "{name} is taken");
        Ok(())
    }

    fn step(&mut self, step: Step, name: &str) -> Changes {
        let hold = self.holds.get_mut(name).expect("a hold");
        let changes = match step {
            Step::Free => hold.free_slots(),
            Step::Post => hold.post(),
            Step::Void => hold.void(),
            Step::Expire => hold.expire(),
        };
        for (key, change) in &changes {
            self.gauges.get_mut(key).expect("a gauge that was taken from").apply(*change);
        }
        for ((_, key), unit) in self.units.iter_mut().filter(|((of, _), _)| of == name) {
            *unit = step.moves(key.basis, *unit);
        }
        changes
    }

    /// The strict promise, and that both bookkeepings agree.
    fn invariants(&self) {
        let mut kept: BTreeMap<&CapKey, Gauge> = BTreeMap::new();
        for ((_, key), unit) in &self.units {
            let gauge = kept.entry(key).or_default();
            match unit {
                Unit::Held => gauge.held += 1,
                Unit::Posted => gauge.posted += 1,
                Unit::Unresolved => gauge.unresolved += 1,
                Unit::Free => {}
            }
        }
        // What the holds say that they have is all there is, before and after they were written down.
        let mut charged: BTreeMap<CapKey, Gauge> = BTreeMap::new();
        let mut left: BTreeMap<CapKey, Gauge> = BTreeMap::new();
        for hold in self.holds.values() {
            let again = Hold::restored(hold.image());
            assert_eq!(again, *hold);
            let into = |gauges: &mut BTreeMap<CapKey, Gauge>, (key, charge): (&CapKey, Charge)| {
                gauges.entry(key.clone()).or_default().charge(charge);
            };
            again.charges().for_each(|one| into(&mut charged, one));
            again.leaves().for_each(|one| into(&mut left, one));
        }
        for (key, gauge) in &self.gauges {
            let kept = kept.get(key).copied().unwrap_or_default();
            assert_eq!(charged.get(key).copied().unwrap_or_default(), kept, "{key} by its holds");
            let of_left = left.get(key).copied().unwrap_or_default();
            let expected = match key.basis {
                Basis::Concurrency => Gauge::default(),
                Basis::BillableDay => {
                    Gauge { held: 0, posted: kept.posted, unresolved: kept.unresolved + kept.held }
                }
            };
            assert_eq!(of_left, expected, "{key} when its holds are forgotten");
            assert_eq!(*gauge, kept, "{key} from {:?}", key.window);
            assert!(gauge.used() <= self.peaks[key], "{key} is over its limit: {gauge:?}");
            assert_eq!(gauge.used(), gauge.held + gauge.posted + gauge.unresolved);
            assert!(
                key.basis == Basis::BillableDay || gauge.posted + gauge.unresolved == 0,
                "slots come back"
            );
        }
    }

    fn row(&mut self, words: &[&str]) -> String {
        let field = |key| words.iter().position(|word| *word == key).map(|at| words[at + 1]);
        let basis = |word| match word {
            "concurrency" => Basis::Concurrency,
            "daily" => Basis::BillableDay,
            other => panic!("unknown basis `{other}`"),
        };
        match words[0] {
            "limits" => {
                let units = |key| field(key).map(|text| text.parse().expect("units"));
                let limit = Limit { concurrency: units("concurrency"), daily: units("daily") };
                self.limits.insert(words[1].to_owned(), limit);
                if let Some(zone) = field("zone") {
                    self.zones.insert(words[1].to_owned(), Zone::load(zone).expect("a zone"));
                }
                String::new()
            }
            "at" => {
                self.now = Timestamp::parse(words[1]).expect("an instant");
                String::new()
            }
            "hold" => {
                self.hold(words[1], words[2]).map_or_else(|key| key.to_string(), |()| "held".to_owned())
            }
            "gauge" => {
                let gauge =
                    self.gauges.get(&self.key(words[1], basis(words[2]))).copied().unwrap_or_default();
                let idle = if gauge.is_idle() { " idle" } else { "" };
                let Gauge { held, posted, unresolved } = gauge;
                format!("held {held} posted {posted} unresolved {unresolved}{idle}")
            }
            "state" => match self.holds[words[1]].state() {
                HoldState::Held => "held".to_owned(),
                HoldState::Posted => "posted".to_owned(),
                HoldState::Voided => "voided".to_owned(),
                HoldState::Expired => "expired".to_owned(),
            },
            other => {
                let step = Step::parse(other).unwrap_or_else(|| panic!("unknown row `{other}`"));
                in_words(&self.step(step, words[1]))
            }
        }
    }
}

fn check(table: &str) {
    for story in table.split("\n\n") {
        let mut world = World::new();
        for row in story.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
            let (step, expected) = row.split_once("=>").unwrap_or((row, ""));
            let came = world.row(&step.split_whitespace().collect::<Vec<_>>());
            assert_eq!(came, expected.trim(), "at `{row}` in\n{story}\n");
            world.invariants();
        }
    }
}

#[test]
fn a_hold_ends_once() {
    check(
        "limits acme concurrency 1 daily 5
         hold   h1 acme        => held
         gauge  acme concurrency => held 1 posted 0 unresolved 0
         gauge  acme daily     => held 1 posted 0 unresolved 0
         state  h1             => held
         post   h1             => void buyer acme concurrency, post buyer acme daily cap
         state  h1             => posted
         gauge  acme concurrency => held 0 posted 0 unresolved 0 idle
         gauge  acme daily     => held 0 posted 1 unresolved 0 idle
         # Posted for good: nothing moves it any more.
         post   h1
         void   h1
         expire h1
         free   h1
         state  h1             => posted
         gauge  acme daily     => held 0 posted 1 unresolved 0 idle

         limits acme concurrency 1 daily 5
         hold   h1 acme        => held
         void   h1             => void buyer acme concurrency, void buyer acme daily cap
         state  h1             => voided
         gauge  acme daily     => held 0 posted 0 unresolved 0 idle
         void   h1
         post   h1
         expire h1
         free   h1
         state  h1             => voided
         gauge  acme daily     => held 0 posted 0 unresolved 0 idle

         # Expired: the slot is free, the unit stays charged, and the gauge is kept, until it is resolved, once.
         limits acme concurrency 1 daily 5
         hold   h1 acme        => held
         expire h1             => void buyer acme concurrency, expire buyer acme daily cap
         state  h1             => expired
         gauge  acme concurrency => held 0 posted 0 unresolved 0 idle
         gauge  acme daily     => held 0 posted 0 unresolved 1
         expire h1
         free   h1
         gauge  acme daily     => held 0 posted 0 unresolved 1
         post   h1             => resolve_post buyer acme daily cap
         state  h1             => expired
         gauge  acme daily     => held 0 posted 1 unresolved 0 idle
         post   h1
         void   h1
         expire h1
         gauge  acme daily     => held 0 posted 1 unresolved 0 idle

         limits acme concurrency 1 daily 5
         hold   h1 acme        => held
         expire h1             => void buyer acme concurrency, expire buyer acme daily cap
         void   h1             => resolve_void buyer acme daily cap
         gauge  acme daily     => held 0 posted 0 unresolved 0 idle
         post   h1
         gauge  acme daily     => held 0 posted 0 unresolved 0 idle

         # Nothing limited: nothing held, and it still ends once.
         hold   h1 acme        => held
         free   h1
         post   h1
         void   h1
         state  h1             => posted",
    );
}

/// Scenario 6: a ringing call takes its slot, and the slot is free with the end of the leg.
#[test]
fn slots_are_free_with_the_leg_and_units_with_the_settlement() {
    check(
        "limits acme concurrency 5
         hold   t1 acme        => held
         hold   t2 acme        => held
         hold   t3 acme        => held
         hold   t4 acme        => held
         hold   ringing acme   => held
         hold   next acme      => buyer acme concurrency
         free   ringing        => void buyer acme concurrency
         hold   next acme      => held
         hold   more acme      => buyer acme concurrency
         # What settles later frees nothing twice.
         void   ringing
         hold   more acme      => buyer acme concurrency

         # Between the end of the leg and the settlement only the unit is held.
         limits acme concurrency 1 daily 2
         hold   h1 acme        => held
         free   h1             => void buyer acme concurrency
         free   h1
         state  h1             => held
         gauge  acme concurrency => held 0 posted 0 unresolved 0 idle
         gauge  acme daily     => held 1 posted 0 unresolved 0
         hold   h2 acme        => held
         free   h2             => void buyer acme concurrency
         hold   h3 acme        => buyer acme daily cap
         post   h1             => post buyer acme daily cap
         void   h2             => void buyer acme daily cap
         hold   h3 acme        => held
         # The clock gives up on a leg that had ended: the unit is unresolved, the slot of the others is theirs.
         free   h3             => void buyer acme concurrency
         expire h3             => expire buyer acme daily cap
         gauge  acme concurrency => held 0 posted 0 unresolved 0 idle
         gauge  acme daily     => held 0 posted 1 unresolved 1",
    );
}

#[test]
fn a_strict_cap_counts_what_is_held_posted_and_unresolved() {
    check(
        "limits acme daily 3
         hold   h1 acme        => held
         hold   h2 acme        => held
         hold   h3 acme        => held
         # A call in flight keeps its unit ...
         hold   h4 acme        => buyer acme daily cap
         # ... as does a billable one ...
         post   h1             => post buyer acme daily cap
         hold   h4 acme        => buyer acme daily cap
         # ... and one whose end nobody reported.
         expire h2             => expire buyer acme daily cap
         hold   h4 acme        => buyer acme daily cap
         gauge  acme daily     => held 1 posted 1 unresolved 1
         # What was not billable is free again, at once or resolved.
         void   h3             => void buyer acme daily cap
         hold   h4 acme        => held
         hold   h5 acme        => buyer acme daily cap
         void   h2             => resolve_void buyer acme daily cap
         hold   h5 acme        => held
         post   h4             => post buyer acme daily cap
         post   h5             => post buyer acme daily cap
         gauge  acme daily     => held 0 posted 3 unresolved 0 idle
         hold   h6 acme        => buyer acme daily cap

         # A limit of nothing takes nothing.
         limits acme daily 0
         hold   h1 acme        => buyer acme daily cap
         limits acme concurrency 0
         hold   h1 acme        => buyer acme concurrency

         # A reload changes the limit in force for the next hold, never what is counted.
         limits acme daily 2
         hold   h1 acme        => held
         hold   h2 acme        => held
         limits acme daily 1
         hold   h3 acme        => buyer acme daily cap
         void   h1             => void buyer acme daily cap
         hold   h3 acme        => buyer acme daily cap
         limits acme daily 3
         hold   h3 acme        => held
         hold   h4 acme        => held
         hold   h5 acme        => buyer acme daily cap
         limits acme
         hold   h5 acme        => held
         gauge  acme daily     => held 3 posted 0 unresolved 0",
    );
}

#[test]
fn a_hold_takes_every_cap_of_target_and_buyer_or_none() {
    check(
        "# The first in sorted order that has no unit left is named: buyer before target, slots before days.
         limits acme concurrency 3 daily 9
         limits acme/one concurrency 1 daily 2
         limits acme/two daily 1
         hold   h1 acme/one    => held
         hold   h2 acme/one    => target one concurrency
         gauge  acme concurrency => held 1 posted 0 unresolved 0
         gauge  acme daily     => held 1 posted 0 unresolved 0
         gauge  acme/one daily => held 1 posted 0 unresolved 0
         hold   h2 acme/two    => held
         hold   h3 acme/two    => target two daily cap
         gauge  acme concurrency => held 2 posted 0 unresolved 0
         gauge  acme daily     => held 2 posted 0 unresolved 0
         post   h1             => void buyer acme concurrency, void target one concurrency, post buyer acme daily cap, post target one daily cap
         hold   h3 acme/one    => held
         free   h3             => void buyer acme concurrency, void target one concurrency
         hold   h4 acme/one    => target one daily cap
         gauge  acme/one concurrency => held 0 posted 0 unresolved 0 idle
         # A target without limits of its own has its buyer's.
         hold   h5 acme/free   => held
         hold   h6 acme/free   => held
         hold   h7 acme/free   => buyer acme concurrency
         hold   h7 acme/one    => buyer acme concurrency

         # Another buyer's target is another matter.
         limits acme concurrency 1
         limits bolt concurrency 1
         hold   h1 acme/one    => held
         hold   h2 bolt/two    => held
         hold   h3 bolt/two    => buyer bolt concurrency",
    );
}

/// Scenarios 10 and 17: a unit belongs to the window of its hold, and a window is a day of the buyer's zone.
#[test]
fn a_unit_belongs_to_the_window_of_its_hold() {
    check(
        "# Offered at 23:58, settled after midnight: the old day's unit.
         limits acme daily 1 zone America/New_York
         at     2026-11-20T23:58-05:00
         hold   h1 acme        => held
         hold   h2 acme        => buyer acme daily cap
         at     2026-11-21T00:20-05:00
         gauge  acme daily     => held 0 posted 0 unresolved 0 idle
         hold   h3 acme        => held
         post   h1             => post buyer acme daily cap
         gauge  acme daily     => held 1 posted 0 unresolved 0
         void   h3             => void buyer acme daily cap
         at     2026-11-20T12:00-05:00
         gauge  acme daily     => held 0 posted 1 unresolved 0 idle

         # Expired, and resolved three days later: still the day of the hold, which is kept for it until then.
         limits acme daily 1 zone America/New_York
         at     2026-11-20T12:00-05:00
         hold   h1 acme        => held
         expire h1             => expire buyer acme daily cap
         at     2026-11-23T12:00-05:00
         hold   h2 acme        => held
         at     2026-11-20T12:00-05:00
         gauge  acme daily     => held 0 posted 0 unresolved 1
         post   h1             => resolve_post buyer acme daily cap
         gauge  acme daily     => held 0 posted 1 unresolved 0 idle
         at     2026-11-23T12:00-05:00
         gauge  acme daily     => held 1 posted 0 unresolved 0

         # Midnight is the buyer's: 04:59Z and 05:00Z are two days in New York, one in London.
         limits york daily 1 zone America/New_York
         limits london daily 1 zone Europe/London
         at     2026-11-20T04:59:59.999Z
         hold   y1 york/a      => held
         hold   l1 london/b    => held
         at     2026-11-20T05:00Z
         hold   y2 york/a      => held
         hold   l2 london/b    => buyer london daily cap
         at     2026-11-21T00:00Z
         hold   l2 london/b    => held
         hold   y3 york/a      => buyer york daily cap

         # A target's day is its buyer's.
         limits acme zone America/New_York
         limits acme/one daily 1
         at     2026-11-20T23:59:59-05:00
         hold   h1 acme/one    => held
         hold   h2 acme/one    => target one daily cap
         at     2026-11-21T00:00-05:00
         hold   h2 acme/one    => held

         # 23 hours: one cap from 05:00Z to 04:00Z.
         limits acme daily 1 zone America/New_York
         at     2026-03-08T05:00Z
         hold   h1 acme        => held
         at     2026-03-09T03:59:59Z
         hold   h2 acme        => buyer acme daily cap
         at     2026-03-09T04:00Z
         hold   h2 acme        => held

         # 25 hours: the repeated hour resets nothing.
         limits acme daily 2 zone America/New_York
         at     2026-11-01T05:30Z
         hold   h1 acme        => held
         at     2026-11-01T06:30Z
         hold   h2 acme        => held
         at     2026-11-02T04:59:59Z
         hold   h3 acme        => buyer acme daily cap
         at     2026-11-02T05:00Z
         hold   h3 acme        => held

         # Slots know no days.
         limits acme concurrency 1 zone America/New_York
         at     2026-11-20T23:59-05:00
         hold   h1 acme        => held
         at     2026-11-21T00:01-05:00
         hold   h2 acme        => buyer acme concurrency",
    );
}

#[test]
fn claims_have_one_order() {
    let mut world = World::new();
    world.row(&["limits", "acme", "concurrency", "3", "daily", "9"]);
    world.row(&["limits", "acme/aaa", "concurrency", "1", "daily", "2"]);
    let mut claims = world.claims("acme/aaa");
    world.row(&["at", "2026-11-21T12:00Z"]);
    claims.extend(world.claims("acme/aaa").into_iter().filter(|one| one.key.basis == Basis::BillableDay));
    let mut draw = Draw::new(5);
    for _ in 0..100 {
        let mut shuffled: Vec<Claim> =
            draw.weighted_order(&[1; 6]).into_iter().map(|at| claims[at].clone()).collect();
        shuffled.sort();
        let keys: Vec<String> = shuffled.iter().map(|one| one.key.to_string()).collect();
        let expected = "buyer acme concurrency, buyer acme daily cap, buyer acme daily cap, \
            target aaa concurrency, target aaa daily cap, target aaa daily cap";
        assert_eq!(keys.join(", "), expected);
        assert!(
            shuffled.iter().zip(&shuffled[1..]).all(|(a, b)| a.key < b.key),
            "no key twice, days in order"
        );
    }
}

#[test]
fn each_basis_has_its_reason() {
    assert_eq!(Basis::Concurrency.reason(), Reason::Concurrency);
    assert_eq!(Basis::BillableDay.reason(), Reason::Cap);
}

/// A unit that is not there is a bug in the caller: no count goes below nothing or wraps.
#[test]
fn a_unit_that_is_not_there_cannot_be_moved() {
    let other = Gauge { held: 0, posted: 3, unresolved: 0 };
    for change in [Move::Void, Move::Post, Move::Expire, Move::ResolveVoid, Move::ResolvePost] {
        let moved = std::panic::catch_unwind(|| {
            let mut gauge = other;
            gauge.apply(change);
        });
        assert!(moved.is_err(), "{change:?} out of nowhere");
    }
}

/// Many calls at once, in any interleaving, with doubled steps and passing days: after every step the counts agree
/// with the second bookkeeping and no cap is exceeded; at rest no unit is held.
#[test]
fn no_interleaving_passes_a_limit_or_loses_a_unit() {
    for seed in 0..60 {
        let mut draw = Draw::new(seed);
        let mut world = World::new();
        let targets = ["acme/one", "acme/two", "bolt/three", "bolt/four", "cord/five"];
        for (name, zone) in [("acme", "America/New_York"), ("bolt", "Asia/Tokyo"), ("cord", "UTC")] {
            let (slots, units) = ((1 + draw.below(4)).to_string(), (1 + draw.below(9)).to_string());
            world.row(&["limits", name, "concurrency", &slots, "daily", &units, "zone", zone]);
        }
        for name in &targets[..4] {
            let (slots, units) = ((1 + draw.below(3)).to_string(), (1 + draw.below(6)).to_string());
            world.row(&["limits", name, "concurrency", &slots, "daily", &units]);
        }
        let (mut made, mut held, mut refused, mut doubled) = (Vec::<String>::new(), 0, 0, 0);
        for n in 0..250 {
            if draw.below(3) == 0 || made.is_empty() {
                let name = format!("h{n}");
                let target = targets[draw.below(targets.len() as u64) as usize];
                match world.hold(&name, target) {
                    Ok(()) => {
                        made.push(name);
                        held += 1;
                    }
                    Err(_) => refused += 1,
                }
            } else {
                let name = made[draw.below(made.len() as u64) as usize].clone();
                let step =
                    [Step::Free, Step::Post, Step::Void, Step::Void, Step::Expire][draw.below(5) as usize];
                let _changes = world.step(step, &name);
                world.invariants();
                if draw.below(4) == 0 {
                    assert_eq!(world.step(step, &name), [], "{step:?} of {name} twice, seed {seed}");
                    doubled += 1;
                }
            }
            if draw.below(50) == 0 {
                world.now = world.now.after(std::time::Duration::from_secs(6 * 3_600));
            }
            world.invariants();
        }
        assert!(
            held > 5 && refused > 5 && doubled > 5,
            "seed {seed} proves nothing: {held} {refused} {doubled}"
        );
        for name in &made {
            let _changes = world.step(Step::Expire, name);
            let _changes = world.step(if draw.below(2) == 0 { Step::Post } else { Step::Void }, name);
        }
        world.invariants();
        for (key, gauge) in &world.gauges {
            assert!(
                gauge.held == 0 && gauge.unresolved == 0 && gauge.is_idle(),
                "{key} at rest, seed {seed}"
            );
        }
    }
}

/// Scenario 5, the counting half: of a thousand that want the last unit exactly one gets it, and once it is used no
/// other ever does.
#[test]
fn the_last_unit_is_taken_once() {
    let mut world = World::new();
    world.row(&["limits", "acme", "daily", "100"]);
    for n in 0..99 {
        assert_eq!(world.hold(&format!("used{n}"), "acme"), Ok(()));
        assert_eq!(world.step(Step::Post, &format!("used{n}")).len(), 1);
    }
    let won: Vec<String> =
        (0..1_000).map(|n| format!("h{n}")).filter(|name| world.hold(name, "acme").is_ok()).collect();
    assert_eq!(won.len(), 1);
    world.invariants();
    assert_eq!(world.row(&["gauge", "acme", "daily"]), "held 1 posted 99 unresolved 0");
    let _changes = world.step(Step::Post, &won[0]);
    assert!(world.hold("late", "acme").is_err());
}
