//! Lists against a model that is a set of pairs, and their limits.

use super::*;
use crate::domain::draw::Draw;

fn id(text: &str) -> CallerListId {
    CallerListId::parse(text).expect("a slug")
}

fn number(n: u64) -> E164 {
    E164::from_digits(15_125_550_000 + n).expect("a number")
}

fn prefix(text: &str) -> CallerPrefix {
    CallerPrefix::parse(text).expect("a prefix")
}

fn callers() -> Callers {
    Callers::new(CallerListKey::of(&[3; 16]))
}

fn asked(list: &str, verb: ListVerb, numbers: Vec<CallerDigest>, prefixes: Vec<CallerPrefix>) -> AskedOfList {
    AskedOfList { list: id(list), verb, named: Content { numbers, prefixes } }
}

fn change(callers: &Callers, asked: &AskedOfList) -> Result<Difference, NoRoom> {
    let lists = callers.load();
    let difference = lists.difference(asked)?;
    let next = lists.after(&asked.list, &difference);
    callers.put(next);
    Ok(difference)
}

/// Everything that is on them, as a start would find it.
fn contents(callers: &Callers) -> Vec<(CallerListId, Content)> {
    let lists = callers.load();
    let content = |counted: &Counted| {
        let slot = lists.slot(&counted.list).expect("it has somebody on it");
        (counted.list.clone(), lists.content(slot))
    };
    let mut all: Vec<_> = lists.counts().map(content).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[test]
fn lists_are_what_was_put_on_them() {
    const NAMES: [&str; 4] = ["dnc", "own", "late", "test"];
    const PREFIXES: [&str; 5] = ["+1*", "+1900*", "+151255500*", "+1512555001*", "+44*"];
    for seed in 0..60 {
        let mut draw = Draw::new(seed);
        let callers = callers();
        let mut model: BTreeSet<(&str, CallerDigest)> = BTreeSet::new();
        let mut prefixes: BTreeSet<(&str, CallerPrefix)> = BTreeSet::new();
        for _ in 0..30 {
            let list = NAMES[draw.below(4) as usize];
            let verb = ListVerb::ALL[draw.below(3) as usize];
            let many = [0, 1, 3, 60][draw.below(4) as usize];
            let numbers: Vec<_> = (0..many).map(|_| callers.digest(number(draw.below(100)))).collect();
            let named: Vec<_> =
                (0..draw.below(3)).map(|_| prefix(PREFIXES[draw.below(5) as usize])).collect();
            let (before, before_prefixes) = (model.clone(), prefixes.clone());
            if verb == ListVerb::Replace {
                model.retain(|(of, _)| *of != list);
                prefixes.retain(|(of, _)| *of != list);
            }
            for one in &numbers {
                if verb == ListVerb::Remove {
                    model.remove(&(list, *one))
                } else {
                    model.insert((list, *one))
                };
            }
            for one in &named {
                if verb == ListVerb::Remove {
                    prefixes.remove(&(list, *one))
                } else {
                    prefixes.insert((list, *one))
                };
            }
            let asked = asked(list, verb, numbers, named);
            let difference = change(&callers, &asked).expect("room");
            let added = model.difference(&before).count() + prefixes.difference(&before_prefixes).count();
            let removed = before.difference(&model).count() + before_prefixes.difference(&prefixes).count();
            let count = |content: &Content| content.numbers.len() + content.prefixes.len();
            assert_eq!(
                (count(&difference.added), count(&difference.removed)),
                (added, removed),
                "seed {seed}"
            );
            // The same again is no change.
            assert!(change(&callers, &asked).expect("room").is_empty(), "seed {seed}");
        }
        for list in NAMES {
            let counted = callers.load().count(&id(list));
            assert_eq!(counted.numbers, model.iter().filter(|(of, _)| *of == list).count(), "seed {seed}");
            assert_eq!(counted.prefixes, prefixes.iter().filter(|(of, _)| *of == list).count());
            for n in 0..110 {
                let by_number = model.contains(&(list, callers.digest(number(n))));
                let by_prefix = prefixes.iter().any(|(of, prefix)| {
                    *of == list && CallerPrefix::of(number(n), prefix.length()) == Some(*prefix)
                });
                let found = callers.has(&id(list), number(n));
                assert_eq!(found.is_some(), by_number || by_prefix, "seed {seed}: {list} {n}");
                assert_eq!(found == Some(OnBy::Number), by_number, "seed {seed}: {list} {n}");
            }
        }
        // What a start finds makes the same lists.
        let again = self::callers();
        again.put(Lists::of(contents(&callers)));
        assert_eq!(contents(&again), contents(&callers), "seed {seed}");
        assert_eq!(again.load().numbers(), model.len());
    }
}

/// As many changes as make several large tables of the small ones, of more than one list.
#[test]
fn large_lists_are_merged_on_the_way() {
    let callers = callers();
    let digests = |from: u64, to: u64| (from..to).map(|n| callers.digest(number(n))).collect::<Vec<_>>();
    for (list, from) in [("dnc", 0), ("own", 20_000), ("dnc", 30_000), ("own", 60_000)] {
        change(&callers, &asked(list, ListVerb::Add, digests(from, from + 30_000), Vec::new()))
            .expect("room");
    }
    change(&callers, &asked("dnc", ListVerb::Remove, digests(10_000, 40_000), Vec::new())).expect("room");
    change(&callers, &asked("dnc", ListVerb::Add, digests(39_999, 40_001), Vec::new())).expect("room");
    // Of dnc 0 to 9,999 and 39,999 to 59,999; of own 20,000 to 49,999 and 60,000 to 89,999.
    for n in (0..95_000).step_by(7).chain([9_999, 10_000, 39_998, 39_999, 59_999, 60_000]) {
        let on = |list| callers.has(&id(list), number(n)).is_some();
        assert_eq!(on("dnc"), n < 10_000 || (39_999..60_000).contains(&n), "{n}");
        assert_eq!(on("own"), (20_000..50_000).contains(&n) || (60_000..90_000).contains(&n), "{n}");
    }
    assert_eq!(callers.load().numbers(), 30_001 + 60_000);
    let all = contents(&callers);
    assert_eq!(all.iter().map(|(_, content)| content.numbers.len()).sum::<usize>(), 90_001);
}

#[test]
fn an_emptied_list_gives_its_place_away() {
    let callers = callers();
    let caller = callers.digest(number(1));
    for at in 0..3 * LISTS_MAX {
        let list = format!("day-{at}");
        change(&callers, &asked(&list, ListVerb::Add, vec![caller], Vec::new())).expect("room");
        assert!(callers.has(&id(&list), number(1)).is_some());
        change(&callers, &asked(&list, ListVerb::Remove, vec![caller], Vec::new())).expect("room");
        assert!(callers.has(&id(&list), number(1)).is_none());
    }
    assert_eq!(callers.load().counts().count(), 0);
}

#[test]
fn limits_are_said_and_nothing_is_done() {
    let callers = callers();
    let digests = |count: usize| (0..count as u64).map(|n| CallerDigest(n << 40)).collect::<Vec<_>>();
    let full = Content { numbers: digests(NUMBERS_MAX), prefixes: Vec::new() };
    callers.put(Lists::of([(id("dnc"), full)]));
    let bytes = callers.load().bytes();
    assert!(bytes < 11 * NUMBERS_MAX, "{bytes} bytes for {NUMBERS_MAX} callers");
    let one_more = asked("own", ListVerb::Add, digests(1), Vec::new());
    assert_eq!(change(&callers, &one_more), Err(NoRoom::Numbers(NUMBERS_MAX + 1)));
    change(&callers, &asked("dnc", ListVerb::Remove, digests(1), Vec::new())).expect("less is never refused");
    change(&callers, &one_more).expect("room for one");

    let prefixes = |count: usize| {
        let digits = 1_000_000_000..1_000_000_000 + count as u64;
        digits.map(|digits| CallerPrefix::from_digits(digits).expect("ten digits")).collect::<Vec<_>>()
    };
    let many = asked("own", ListVerb::Add, Vec::new(), prefixes(PREFIXES_MAX + 1));
    assert_eq!(change(&callers, &many), Err(NoRoom::Prefixes(PREFIXES_MAX + 1)));
    for at in 0..ALL_PREFIXES_MAX / PREFIXES_MAX {
        let list = format!("p-{at}");
        change(&callers, &asked(&list, ListVerb::Add, Vec::new(), prefixes(PREFIXES_MAX))).expect("room");
    }
    let one_more = asked("own", ListVerb::Add, Vec::new(), prefixes(1));
    assert_eq!(change(&callers, &one_more), Err(NoRoom::AllPrefixes(ALL_PREFIXES_MAX + 1)));

    let callers = self::callers();
    let each = |at: usize| (id(&format!("l-{at}")), Content { numbers: digests(1), prefixes: Vec::new() });
    callers.put(Lists::of((0..LISTS_MAX).map(each)));
    assert_eq!(change(&callers, &asked("own", ListVerb::Add, digests(1), Vec::new())), Err(NoRoom::Lists));
    change(&callers, &asked("l-7", ListVerb::Add, digests(2), Vec::new())).expect("it is one of them");
}
