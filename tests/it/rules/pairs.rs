//! Filters that no call passes together: what `outcry check` refuses for that, held against what the second implementation
//! says of calls.
//!
//! A pair that is refused although some call passes both keeps a good catalog out. Of plain lists of one kind the other way
//! round holds too: they are refused wherever they have nothing in common.

use std::collections::BTreeMap;

use super::judge::{Known, Says};
use super::model::{Filter, Test};
use super::real::Real;
use super::{make, told};

/// Markets, and calls to each.
const MARKETS: u64 = 1_000;
const CALLS: u64 = 60;

/// Pairs of which some must have been refused, and some not.
const MET: &str = "state state|country country|area_code area_code|zip zip|state zip|publisher publisher|campaign campaign|\
    stir stir|stir verified|verified verified|anonymous anonymous|sub_id sub_id|number number|hours hours|\
    tag in tag in|tag in tag not_in|tag in tag number|tag exists tag in|tag in tag prefix|tag in tag matches|\
    tag number tag number|tag exists tag exists|tag exists tag number|tag exists tag prefix|tag exists tag matches|\
    tag prefix tag prefix|not tag|not|any|not any|within all";

/// What a pair is made of, in the order of the words.
fn kind(two: &[Filter]) -> String {
    let word = |filter: &Filter| match filter {
        Filter::State(_) => "state",
        Filter::Country(_) => "country",
        Filter::AreaCode(_) => "area_code",
        Filter::Zip(_) => "zip",
        Filter::Publisher(_) => "publisher",
        Filter::Campaign(_) => "campaign",
        Filter::Stir(_) => "stir",
        Filter::Verified(_) => "verified",
        Filter::Anonymous(_) => "anonymous",
        Filter::Tag(_, Test::In(_) | Test::Is(_)) => "tag in",
        Filter::Tag(_, Test::NotIn(_) | Test::IsNot(_)) => "tag not_in",
        Filter::Tag(_, Test::Below(_) | Test::Above(_) | Test::Between(..)) => "tag number",
        Filter::Tag(_, Test::Exists(_)) => "tag exists",
        Filter::Tag(_, Test::Prefix(_)) => "tag prefix",
        Filter::Tag(_, Test::Matches(_)) => "tag matches",
        Filter::SubId(_) => "sub_id",
        Filter::Number(_) => "number",
        Filter::Hours(..) => "hours",
        Filter::Near(..) => "near",
        Filter::Not(part) => match &**part {
            Filter::Any(_) => "not any",
            Filter::Tag(..) => "not tag",
            _ => "not",
        },
        Filter::Any(_) => "any",
        Filter::All(_) => "all",
    };
    let mut words: Vec<&str> = two.iter().map(word).collect();
    words.sort_unstable();
    let joined = ["not any", "any", "not tag", "not"].into_iter().find(|word| words.contains(word));
    joined.map_or_else(|| words.join(" "), str::to_owned)
}

/// Whether two plain lists have nothing in common; `None` of what is no such pair.
fn are_apart(two: &[Filter]) -> Option<bool> {
    fn apart<T: PartialEq>(a: &[T], b: &[T]) -> Option<bool> {
        Some(a.iter().all(|one| !b.contains(one)))
    }
    match two {
        [Filter::State(a), Filter::State(b)]
        | [Filter::Country(a), Filter::Country(b)]
        | [Filter::Stir(a), Filter::Stir(b)]
        | [Filter::Verified(a), Filter::Verified(b)] => apart(a, b),
        [Filter::AreaCode(a), Filter::AreaCode(b)] => apart(a, b),
        [Filter::Publisher(a), Filter::Publisher(b)] | [Filter::Campaign(a), Filter::Campaign(b)] => {
            apart(a, b)
        }
        [Filter::Anonymous(a), Filter::Anonymous(b)] => Some(a != b),
        [Filter::SubId(a), Filter::SubId(b)] | [Filter::Number(a), Filter::Number(b)] => {
            Some(!a.iter().any(|one| b.iter().any(|other| may_fit(one, other))))
        }
        _ => None,
    }
}

/// Whether some text fits both of two texts or beginnings.
fn may_fit(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        (Some(beginning), None) => other.starts_with(beginning),
        (None, Some(beginning)) => one.starts_with(beginning),
        (None, None) => one == other,
    }
}

#[test]
fn what_is_refused_as_excluding_each_other_no_call_passes() {
    let seed = told("RULES_SEED").unwrap_or(1);
    // Of each kind: how many were refused, how many were not.
    let mut met: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for number in 0..MARKETS {
        let sound = make::market(seed, number);
        let market = make::with_pairs(seed, number, &sound);
        let faults = Real::faults(&market);
        let calls: Vec<_> = (0..CALLS).map(|call| make::call(seed, number, call, &sound)).collect();
        for (place, what) in &faults {
            let is_of_a_pair = place.starts_with("target.") && place.ends_with(".filters[1]");
            assert!(is_of_a_pair && what.contains("have no value in common"), "{place}: {what}\n{market}");
        }
        for target in &market.targets {
            let place = format!("target.{}.filters[1]", target.id);
            let is_refused = faults.iter().any(|fault| fault.0 == place);
            let pair: Vec<String> = target.filters.iter().map(ToString::to_string).collect();
            let two: Vec<Filter> = target.filters.iter().flat_map(Filter::all_of).cloned().collect();
            let is_nested = target.filters.iter().any(|filter| matches!(filter, Filter::All(_)));
            for kind in std::iter::once(kind(&two)).chain(is_nested.then(|| "within all".to_owned())) {
                met.entry(kind).or_default()[usize::from(!is_refused)] += 1;
            }
            if let Some(is_apart) = are_apart(&two) {
                assert_eq!(is_refused, is_apart, "Verdict broken: {pair:?} is refused {is_refused}");
            }
            let passes = |known: &Known<'_>| {
                target.filters.iter().all(|filter| known.says(filter, "UTC") == Says::Yes)
            };
            for call in calls.iter().filter(|_| is_refused) {
                assert!(
                    !passes(&Known::of(&market, call)),
                    "Verdict broken: {pair:?} is refused, and {call} passes"
                );
            }
        }
    }
    met.iter().for_each(|(kind, [refused, not])| println!("  {kind:<24} {refused:>6} {not:>6}"));
    let is_rare = |kind: &&str| met.get(*kind).is_none_or(|of_kind| of_kind.contains(&0));
    let rare: Vec<&str> = MET.split('|').map(str::trim).filter(is_rare).collect();
    // Another seed may miss one.
    assert!(rare.is_empty() || seed != 1, "never refused, or never anything else: {rare:?}");
}
