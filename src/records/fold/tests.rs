//! Random histories of an exchange, told to the fold and to a model that keeps everything as values; and cut anywhere.
//!
//! The history moves holds by the rules of `capacity` and keeps gauges beside, as the exchange does. What a start makes of
//! the fold must be those gauges, but that units of decisions nobody finished are unresolved.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::capacity::hold::{Changes, HoldState};
use crate::capacity::{Charge, Entity, Gauge};
use crate::domain::draw::Draw;
use crate::domain::{BuyerId, TargetId};
use crate::records::entry::sample::Sampler;
use crate::state::image::{OfferedImage, TakerImage};

const DAY_US: i64 = 86_400_000_000;

/// What the history knows, as values.
struct World {
    draw: Draw,
    sampler: Sampler,
    /// Days since the start.
    day: i64,
    gauges: BTreeMap<CapKey, Gauge>,
    calls: BTreeMap<CallId, Remembered>,
    deciding: BTreeMap<HoldId, (CallId, Hold)>,
    /// Decisions that ended without a word, and will never be heard of.
    lost: usize,
    changes: Vec<Change>,
    health: Vec<HealthImage>,
}

fn slug<T: std::fmt::Debug>(parsed: Result<T, crate::domain::id::SlugError>) -> T {
    parsed.expect("a slug")
}

impl World {
    fn new(seed: u64) -> World {
        World {
            draw: Draw::new(seed),
            sampler: Sampler::new(seed ^ 0xabcd),
            day: 0,
            gauges: BTreeMap::new(),
            calls: BTreeMap::new(),
            deciding: BTreeMap::new(),
            lost: 0,
            changes: Vec::new(),
            health: Vec::new(),
        }
    }

    /// Takes a slot and a unit of one of two targets and its buyer.
    fn hold(&mut self) -> Hold {
        let target = slug(TargetId::parse(["one", "two"][self.draw.below(2) as usize]));
        let entities = [Entity::Buyer(slug(BuyerId::parse("acme"))), Entity::Target(target)];
        let window = Timestamp::from_micros(1_795_132_800_000_000 + self.day * DAY_US);
        let keys: Vec<CapKey> = entities
            .into_iter()
            .flat_map(|entity| {
                let slot = CapKey {
                    entity: entity.clone(),
                    basis: Basis::Concurrency,
                    window: Timestamp::default(),
                };
                [slot, CapKey { entity, basis: Basis::BillableDay, window }]
            })
            .collect();
        for key in &keys {
            assert!(self.gauges.entry(key.clone()).or_default().take(u32::MAX));
        }
        Hold::new(HoldId::from_bits(self.draw.bits().into()), keys)
    }

    fn moved(&mut self, changes: Changes) {
        for (key, change) in changes {
            self.gauges.get_mut(&key).expect("taken before").apply(change);
        }
    }

    fn a_call(&mut self) -> Option<CallId> {
        let at = self.draw.below(self.calls.len() as u64) as usize;
        self.calls.keys().nth(at).copied()
    }

    fn a_decision(&mut self) -> Option<HoldId> {
        let at = self.draw.below(self.deciding.len() as u64) as usize;
        self.deciding.keys().nth(at).copied()
    }

    fn offered(&mut self, hold: &Hold) -> OfferedImage {
        let (target, buyer) = (slug(TargetId::parse("one")), slug(BuyerId::parse("acme")));
        loop {
            let some = self.sampler.live().offered.pop();
            let Some(OfferedImage { taker: Some(taker), at, basis, why, catalog, end, .. }) = some else {
                continue;
            };
            let taker = TakerImage { target, buyer, hold: hold.image(), terms: taker.terms };
            return OfferedImage {
                attempt: 1,
                step: 1,
                at,
                basis,
                why,
                catalog,
                taker: Some(taker),
                end,
                leg: None,
            };
        }
    }

    /// Something happens; what is told of it.
    fn turn(&mut self) -> Vec<Put> {
        match self.draw.below(20) {
            // A decision takes capacity, and says so first where a cap is strict.
            0..=3 => {
                let hold = self.hold();
                let call = self.sampler.call_id();
                let keys = [hold.image().slots, hold.image().units].concat();
                let held = Held { id: hold.image().id, call, keys };
                self.deciding.insert(held.id, (call, hold));
                vec![Put::Held(Box::new(held))]
            }
            // It comes to nothing.
            4 => {
                let Some(id) = self.a_decision() else { return Vec::new() };
                let (_, mut hold) = self.deciding.remove(&id).expect("it is there");
                let changes = hold.void();
                self.moved(changes);
                vec![Put::Voided(id)]
            }
            // The call is handed out.
            5..=8 => {
                let Some(id) = self.a_decision() else { return Vec::new() };
                let (call, hold) = self.deciding.remove(&id).expect("it is there");
                let mut image = self.sampler.live();
                image.id = call;
                image.offered = vec![self.offered(&hold)];
                let mut answer = self.sampler.answer();
                (answer.reply.call_id, answer.reply.step) = (call, 1);
                self.calls.insert(call, Remembered { image: image.clone(), answers: vec![answer.clone()] });
                vec![Put::Call(Box::new(image)), Put::Answer(Box::new(answer))]
            }
            // Another step, with another attempt that nobody wrote down before.
            9 => {
                let Some(id) = self.a_call() else { return Vec::new() };
                let hold = self.hold();
                let offered = self.offered(&hold);
                let mut answer = self.sampler.answer();
                let call = self.calls.get_mut(&id).expect("it is there");
                call.image.offered.push(offered);
                (answer.reply.call_id, answer.reply.step) = (id, call.answers.len() as u32 + 1);
                call.answers.push(answer.clone());
                vec![Put::Answer(Box::new(answer)), Put::Call(Box::new(call.image.clone()))]
            }
            // Its end, or what is known of it.
            10..=13 => {
                let Some(id) = self.a_call() else { return Vec::new() };
                let step = self.draw.below(4);
                let call = self.calls.get_mut(&id).expect("it is there");
                let mut changes = Vec::new();
                for offered in &mut call.image.offered {
                    let taker = offered.taker.as_mut().expect("each has one");
                    let mut hold = Hold::restored(taker.hold.clone());
                    changes.extend(match step {
                        0 => hold.free_slots(),
                        1 => hold.post(),
                        2 => hold.void(),
                        _ => hold.expire(),
                    });
                    taker.hold = hold.image();
                }
                call.image.said_goodbye = !call.image.said_goodbye;
                let put = Put::Call(Box::new(call.image.clone()));
                self.moved(changes);
                vec![put]
            }
            // It is over, and forgotten.
            14 | 15 => {
                let is_over = |call: &Remembered| {
                    let mut holds = call.image.offered.iter().filter_map(|one| one.taker.as_ref());
                    holds.all(|taker| taker.hold.state != HoldState::Held)
                };
                let Some(id) = self.a_call().filter(|id| is_over(&self.calls[id])) else {
                    return Vec::new();
                };
                self.calls.remove(&id);
                vec![Put::Forgotten(id)]
            }
            16 => {
                self.changes = self.sampler.changes();
                vec![Put::Changes(self.changes.clone())]
            }
            17 => {
                self.health = self.sampler.health();
                vec![Put::Health(self.health.clone())]
            }
            // A decision is never heard of again.
            18 => {
                let Some(id) = self.a_decision() else { return Vec::new() };
                let (_, mut hold) = self.deciding.remove(&id).expect("it is there");
                let changes = hold.expire();
                self.moved(changes);
                self.lost += 1;
                Vec::new()
            }
            _ => {
                self.day += i64::from(self.draw.below(3) == 0);
                Vec::new()
            }
        }
    }
}

/// What a start makes of it.
fn gauges(fold: &Fold) -> BTreeMap<CapKey, Gauge> {
    let mut gauges: BTreeMap<CapKey, Gauge> = BTreeMap::new();
    for (key, used) in fold.counts() {
        let gauge = gauges.entry(key).or_default();
        (gauge.posted, gauge.unresolved) = (used.posted, used.unresolved);
    }
    let mut charge = |key: &CapKey, charge: Charge| gauges.entry(key.clone()).or_default().charge(charge);
    for held in fold.orphaned() {
        held.leaves().for_each(|(key, one)| charge(key, one));
    }
    for call in fold.calls() {
        for taker in call.expect("it can be read").image.offered.into_iter().filter_map(|one| one.taker) {
            Hold::restored(taker.hold).charges().for_each(|(key, one)| charge(key, one));
        }
    }
    gauges
}

/// The gauges of the exchange, where decisions that are not finished are lost.
fn gauges_after_a_start(world: &World) -> BTreeMap<CapKey, Gauge> {
    let mut gauges = world.gauges.clone();
    for (_, hold) in world.deciding.values() {
        for (key, change) in hold.clone().expire() {
            gauges.get_mut(&key).expect("taken before").apply(change);
        }
    }
    gauges
}

fn apply(fold: &mut Fold, seq: u64, state: Vec<Put>) {
    let mut body = Vec::new();
    Entry { rows: Vec::new(), state }.encode(&mut body);
    fold.apply(seq, ENTRY, VERSION, &body).expect("what was written is read");
}

fn of_snapshot(fold: &Fold) -> (Fold, usize) {
    let (mut again, mut records) = (Fold::default(), 0);
    fold.snapshot(|kind, version, body| {
        records += 1;
        again.apply(fold.seq(), kind, version, body)
    })
    .expect("a snapshot is read");
    (again, records)
}

#[test]
fn a_start_knows_what_the_exchange_knew() {
    let (mut lost, mut forgotten, mut days) = (0, 0, 0);
    for seed in 0..60 {
        let (mut world, mut fold) = (World::new(seed), Fold::default());
        for seq in 1..=250 {
            let mut puts = world.turn();
            if seq % 5 == 0 {
                puts.extend(world.turn());
            }
            forgotten += puts.iter().filter(|put| matches!(put, Put::Forgotten(_))).count();
            apply(&mut fold, seq, puts);
        }
        let remembered: Vec<Remembered> = fold.calls().collect::<Result<_, _>>().expect("all can be read");
        let expected: Vec<&Remembered> = world.calls.values().collect();
        assert_eq!(remembered.iter().collect::<Vec<_>>(), expected, "seed {seed}");
        assert_eq!(fold.remembers(), world.calls.len());
        assert_eq!((fold.changes(), fold.health()), (&world.changes[..], &world.health[..]), "seed {seed}");
        let (restored, known) = (gauges(&fold), gauges_after_a_start(&world));
        let keys: BTreeSet<&CapKey> = restored.keys().chain(known.keys()).collect();
        // A cap's last windows are kept, and each day here has its calls: those of the last two days are among them.
        let open = Timestamp::from_micros(1_795_132_800_000_000 + (world.day - 2) * DAY_US);
        for key in keys.into_iter().filter(|key| has_window(key) && key.window >= open) {
            let of = |gauges: &BTreeMap<CapKey, Gauge>| gauges.get(key).copied().unwrap_or_default();
            assert_eq!(of(&restored), of(&known), "seed {seed}: {key} of {}", key.window);
        }
        let slots = |gauges: &BTreeMap<CapKey, Gauge>| {
            let slots = gauges.iter().filter(|(key, _)| key.basis == Basis::Concurrency);
            slots
                .map(|(key, gauge)| (key.clone(), gauge.held))
                .filter(|(_, held)| *held > 0)
                .collect::<Vec<_>>()
        };
        assert_eq!(slots(&restored), slots(&known), "seed {seed}");
        (lost, days) = (lost + world.lost, days + world.day);
    }
    assert!(lost > 100 && forgotten > 300 && days > 200, "{lost} lost, {forgotten} forgotten, {days} days");
}

#[test]
fn a_snapshot_stands_for_what_it_covers() {
    let mut snapshots = 0;
    for seed in 0..30 {
        let (mut world, mut whole) = (World::new(seed), Fold::default());
        // Folds that were begun from a snapshot somewhere on the way.
        let mut begun: Vec<Fold> = Vec::new();
        for seq in 1..=160 {
            let puts = world.turn();
            for fold in begun.iter_mut().chain([&mut whole]) {
                apply(fold, seq, puts.clone());
            }
            if seq % 8 == 0 {
                let (again, records) = of_snapshot(&whole);
                assert!(records > whole.remembers());
                assert_eq!(again, whole, "seed {seed}, {seq}");
                begun.push(again);
                snapshots += 1;
            }
        }
        for fold in &begun {
            assert_eq!(fold, &whole, "seed {seed}");
        }
        // A snapshot of a snapshot with its tail.
        assert_eq!(of_snapshot(&begun[0]).0, whole, "seed {seed}");
    }
    assert_eq!(snapshots, 600);
}

fn key(day: i64) -> CapKey {
    let entity = Entity::Buyer(slug(BuyerId::parse("acme")));
    CapKey { entity, basis: Basis::BillableDay, window: Timestamp::from_micros(day * DAY_US) }
}

fn counted(fold: &Fold) -> Vec<(i64, u32, u32)> {
    fold.counts().map(|(key, used)| (key.window.micros() / DAY_US, used.posted, used.unresolved)).collect()
}

fn count(fold: &mut Fold, day: i64) {
    let mut body = Vec::new();
    Counts { caps: vec![(key(day), Used { posted: 2, unresolved: 1 })] }.encode(&mut body);
    fold.apply(1, COUNTS, VERSION, &body).expect("counts");
}

fn held(day: i64) -> Vec<Put> {
    let (id, call) = (HoldId::from_bits(day as u128), CallId::from_bits(1));
    vec![Put::Held(Box::new(Held { id, call, keys: vec![key(day)] }))]
}

#[test]
fn windows_that_are_long_over_are_let_go() {
    let mut fold = Fold::default();
    apply(&mut fold, 1, held(20_000));
    apply(&mut fold, 1, held(20_001));
    count(&mut fold, 20_001);
    count(&mut fold, 20_000);
    count(&mut fold, 20_001);
    assert_eq!(
        counted(&fold),
        [(20_000, 2, 1), (20_001, 2, 1)],
        "counts are what there is, not what is added"
    );
    for day in 20_002..20_002 + WINDOWS as i64 - 2 {
        count(&mut fold, day);
    }
    assert_eq!((counted(&fold).len(), fold.orphaned().count()), (WINDOWS, 2));
    count(&mut fold, 20_100);
    let days: Vec<i64> = counted(&fold).iter().map(|(day, ..)| *day).collect();
    assert_eq!((days.len(), days[0], days[WINDOWS - 1]), (WINDOWS, 20_001, 20_100));
    assert_eq!(fold.orphaned().map(|held| held.id.bits()).collect::<Vec<_>>(), [20_001]);
}

/// A clock that was years ahead, for one call or for a week of days, takes nothing away from the days before and after it.
#[test]
fn a_wrong_clock_takes_no_day_away() {
    let mut fold = Fold::default();
    count(&mut fold, 20_000);
    apply(&mut fold, 1, held(20_000));
    for wrong in 0..WINDOWS as i64 - 2 {
        count(&mut fold, 40_000 + 30 * wrong);
        // The clock is right again, and the day goes on.
        count(&mut fold, 20_000);
    }
    count(&mut fold, 20_001);
    for fold in [&fold, &of_snapshot(&fold).0] {
        let known = counted(fold);
        assert!(known.contains(&(20_000, 2, 1)) && known.contains(&(20_001, 2, 1)), "{known:?}");
        assert_eq!(fold.orphaned().count(), 1);
    }
    // Nor does one that is far behind.
    count(&mut fold, 0);
    assert!(counted(&fold).contains(&(20_001, 2, 1)));
}

#[test]
fn what_cannot_be_read_is_said() {
    let mut fold = Fold::default();
    assert_eq!(fold.apply(1, 3, 1, &[]), Err(DecodeError::UnknownKind { kind: 3 }));
    assert_eq!(fold.apply(1, ENTRY, 2, &[]), Err(DecodeError::UnknownVersion { found: 2 }));
    assert_eq!(fold.apply(1, ENTRY, 1, &[9]), Err(DecodeError::Length { what: "an entry" }));
    assert_eq!(fold, Fold::default(), "and nothing is taken of it");
    // Of a call that nobody remembers there is nothing to say.
    apply(&mut fold, 2, vec![Put::Forgotten(CallId::from_bits(1)), Put::Voided(HoldId::from_bits(1))]);
    assert_eq!((fold.remembers(), fold.seq()), (0, 2));
}

/// Bytes of an image are not read before somebody asks, and then what is wrong with them is said.
#[test]
fn an_image_is_read_when_it_is_asked_for() {
    let mut body = Vec::new();
    let image = Sampler::new(3).live();
    Entry { rows: Vec::new(), state: vec![Put::Call(Box::new(image))] }.encode(&mut body);
    // The last byte of the put: the rest is the number of rows, none.
    let last = body.len() - 2;
    body[last] = 0xee;
    let mut fold = Fold::default();
    assert_eq!(fold.apply(1, ENTRY, VERSION, &body), Ok(()));
    assert!(fold.calls().any(|call| call.is_err()));
}
