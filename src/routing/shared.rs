//! Filters that several targets have: compiled once, and asked once of a call.
//!
//! Targets of one market ask for much the same, so that most of what screening would ask was asked for the target before.
//! What a filter says and why is `filter`'s; nothing here outlives the screening of one call.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::filter::{Compiled, Facts, Rule, Truth};
use crate::domain::filter::Filter;
use crate::domain::{Catalog, Zone};

/// Most filters whose verdicts are kept while a call is screened, those that most targets have.
const SHARED_MAX: usize = 1_024;

/// One filter of a target.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) rule: Arc<Rule>,
    /// Its number among those that several targets have.
    number: Option<u16>,
}

impl Own {
    /// One that nobody is known to have besides.
    pub(super) fn alone(filter: &Filter, zone: &Zone) -> Own {
        Own { rule: Arc::new(Rule::new(filter, zone)), number: None }
    }

    /// What it says of the call that `shared` is about.
    pub(super) fn holds(&self, facts: &Facts<'_>, shared: &mut Shared) -> Truth {
        let Some(number) = self.number.map(usize::from) else { return self.rule.holds(facts) };
        if let Some(Some(truth)) = shared.0.get(number) {
            return *truth;
        }
        let truth = self.rule.holds(facts);
        if shared.0.len() <= number {
            shared.0.resize(number + 1, None);
        }
        shared.0[number] = Some(truth);
        truth
    }
}

/// What shared filters said of one call: of the same facts, and by the filters of one catalog. Made anew for each.
#[derive(Debug, Default)]
pub struct Shared(Vec<Option<Truth>>);

/// A filter with whom it may be shared.
struct Known<'a> {
    filter: &'a Filter,
    zone: &'a Zone,
    rule: Arc<Rule>,
    targets: usize,
}

/// The filters of every target, by its position.
pub fn compiled(catalog: &Catalog) -> Vec<Compiled> {
    let mut known: Vec<Known<'_>> = Vec::new();
    let mut by_digest: BTreeMap<u64, usize> = BTreeMap::new();
    // Which filter of the known ones each is; none where another has its digest.
    let mut places: Vec<Vec<Option<usize>>> = Vec::with_capacity(catalog.targets.len());
    for target in &catalog.targets {
        let zone = &catalog.buyer(target.buyer).zone;
        let mut place = |filter| {
            let at = *by_digest.entry(digest(filter, zone)).or_insert_with(|| {
                known.push(Known { filter, zone, rule: Arc::new(Rule::new(filter, zone)), targets: 0 });
                known.len() - 1
            });
            let one = &mut known[at];
            let is_same = one.filter == filter && (one.zone == zone || !rests_on_zone(filter));
            is_same.then(|| {
                one.targets += 1;
                at
            })
        };
        places.push(target.filters.iter().map(&mut place).collect());
    }
    let numbers = numbers(&known);
    let own = |filter, place: Option<usize>, zone| match place {
        Some(at) => Own { rule: Arc::clone(&known[at].rule), number: numbers.get(&at).copied() },
        None => Own::alone(filter, zone),
    };
    let of_target = catalog.targets.iter().zip(places);
    let compile = of_target.map(|(target, places)| {
        let zone = &catalog.buyer(target.buyer).zone;
        let filters = target.filters.iter().zip(places);
        Compiled(filters.map(|(filter, place)| own(filter, place, zone)).collect())
    });
    compile.collect()
}

/// The numbers of those that several targets have, the most frequent first.
fn numbers(known: &[Known<'_>]) -> BTreeMap<usize, u16> {
    let mut several: Vec<usize> = (0..known.len()).filter(|at| known[*at].targets > 1).collect();
    several.sort_by_key(|at| Reverse(known[*at].targets));
    several.into_iter().take(SHARED_MAX).zip(0..).collect()
}

/// What a filter is found by, with the zone where it has hours and names none. A list of ZIPs may be long: its text is
/// not kept.
fn digest(filter: &Filter, zone: &Zone) -> u64 {
    struct Text(DefaultHasher);
    impl Write for Text {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut text = Text(DefaultHasher::new());
    let written =
        if rests_on_zone(filter) { write!(text, "{filter} {zone}") } else { write!(text, "{filter}") };
    written.expect("a hasher takes all");
    text.0.finish()
}

/// Whether it depends on the zone of the buyer.
fn rests_on_zone(filter: &Filter) -> bool {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().any(rests_on_zone),
        Filter::Not(part) => rests_on_zone(part),
        Filter::Hours(_, own) => own.is_none(),
        _ => false,
    }
}
