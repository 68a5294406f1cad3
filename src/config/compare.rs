//! What filters say of each other: two that no call passes both, and one that holds wherever another does.
//!
//! Whatever is said here is so for every call; of the rest nothing is said. What cannot be compared passes neither a test
//! nor its `not`, as in `routing::filter`, and a call without a tag passes some tests of it.

use crate::domain::Hours;
use crate::domain::filter::{Filter, TagTest, Text};
use crate::domain::stir::Verified;
use crate::domain::zip::states_between;

/// Most branches or rows that one behind them is held against.
const AHEAD_MAX: usize = 256;

/// Branches or rows of which the first that holds counts, as they are read.
#[derive(Default)]
pub(super) struct Ahead(Vec<(usize, Filter)>);

impl Ahead {
    /// The number of one before that takes all calls of this one; else this one stands before the next.
    pub(super) fn taker(&mut self, number: usize, when: &[Filter]) -> Option<usize> {
        let asked = plain(&Filter::All(when.to_vec()));
        let taker = self.0.iter().find(|(_, before)| is_within(&asked, before));
        if let Some((taker, _)) = taker {
            return Some(*taker);
        }
        if self.0.len() < AHEAD_MAX {
            self.0.push((number, asked));
        }
        None
    }
}

/// The same filter, in which `not` stands only before a single test that has no other word for it.
pub(super) fn plain(filter: &Filter) -> Filter {
    match filter {
        Filter::All(parts) => Filter::All(parts.iter().map(plain).collect()),
        Filter::Any(parts) => Filter::Any(parts.iter().map(plain).collect()),
        Filter::Not(part) => refused(part),
        one => one.clone(),
    }
}

/// `not` of a filter.
fn refused(filter: &Filter) -> Filter {
    match filter {
        Filter::All(parts) => Filter::Any(parts.iter().map(refused).collect()),
        Filter::Any(parts) => Filter::All(parts.iter().map(refused).collect()),
        Filter::Not(part) => plain(part),
        Filter::Anonymous(wanted) => Filter::Anonymous(!wanted),
        Filter::Verified(states) => {
            let all = Verified::WORDS.iter().map(|(_, state)| *state);
            Filter::Verified(all.filter(|state| !states.contains(state)).collect())
        }
        Filter::Tag(key, TagTest::In(values)) => Filter::Tag(key.clone(), TagTest::NotIn(values.clone())),
        Filter::Tag(key, TagTest::NotIn(values)) => Filter::Tag(key.clone(), TagTest::In(values.clone())),
        Filter::Tag(key, TagTest::Exists(wanted)) => Filter::Tag(key.clone(), TagTest::Exists(!wanted)),
        one => Filter::Not(Box::new(one.clone())),
    }
}

/// What a filter asks for side by side: the parts of an `all`, at whatever depth, or itself.
pub(super) fn all_of(filter: &Filter) -> Vec<&Filter> {
    match filter {
        Filter::All(parts) => parts.iter().flat_map(all_of).collect(),
        one => vec![one],
    }
}

/// Whether no call passes both of two plain filters. A ZIP is in one state; an area code may be of a caller elsewhere.
pub(super) fn is_disjoint(a: &Filter, b: &Filter) -> bool {
    fn apart<T: PartialEq>(a: &[T], b: &[T]) -> bool {
        !a.iter().any(|one| b.contains(one))
    }
    if let (Some((key, one)), Some((other_key, other))) = (Asked::of(a), Asked::of(b)) {
        return key == other_key && one.is_disjoint(other);
    }
    match (a, b) {
        (Filter::Any(parts), other) | (other, Filter::Any(parts)) => {
            parts.iter().all(|part| is_disjoint(part, other))
        }
        (Filter::All(parts), other) | (other, Filter::All(parts)) => {
            parts.iter().any(|part| is_disjoint(part, other))
        }
        (taken, Filter::Not(refused)) | (Filter::Not(refused), taken) => is_within(taken, refused),
        (Filter::State(a), Filter::State(b))
        | (Filter::Country(a), Filter::Country(b))
        | (Filter::Publisher(a), Filter::Publisher(b))
        | (Filter::Campaign(a), Filter::Campaign(b)) => apart(a, b),
        (Filter::AreaCode(a), Filter::AreaCode(b)) => apart(a, b),
        (Filter::SubId(a), Filter::SubId(b)) | (Filter::Number(a), Filter::Number(b)) => {
            !a.iter().any(|one| b.iter().any(|other| one.is_within(other) || other.is_within(one)))
        }
        (Filter::Attestation(a), Filter::Attestation(b)) => apart(a, b),
        (Filter::Verified(a), Filter::Verified(b)) => apart(a, b),
        // A letter that failed verification is none.
        (Filter::Attestation(levels), Filter::Verified(states))
        | (Filter::Verified(states), Filter::Attestation(levels)) => {
            !levels.contains(&None) && *states == [Verified::Failed]
        }
        (Filter::Anonymous(a), Filter::Anonymous(b)) => a != b,
        (Filter::Zip(a), Filter::Zip(b)) => {
            !a.iter().any(|(first, last)| b.iter().any(|(low, high)| first <= high && low <= last))
        }
        (Filter::Zip(spans), Filter::State(states)) | (Filter::State(states), Filter::Zip(spans)) => {
            let mut of_zips = spans.iter().flat_map(|span| states_between(*span));
            !of_zips.any(|state| states.iter().any(|one| one == state))
        }
        // Of the buyer's zone nothing is known here but that it is one.
        (Filter::Hours(a, own), Filter::Hours(b, its)) => own == its && !a.meets(b),
        _ => false,
    }
}

/// Whether every call that passes a plain filter passes the other too.
pub(super) fn is_within(taken: &Filter, other: &Filter) -> bool {
    fn within<T: PartialEq>(these: &[T], those: &[T]) -> bool {
        these.iter().all(|one| those.contains(one))
    }
    if let (Some((key, one)), Some((other_key, other))) = (Asked::of(taken), Asked::of(other)) {
        return key == other_key && one.is_within(other);
    }
    match (taken, other) {
        (Filter::Any(parts), _) => parts.iter().all(|part| is_within(part, other)),
        (_, Filter::All(parts)) => parts.iter().all(|part| is_within(taken, part)),
        (Filter::All(own), Filter::Any(its)) => {
            own.iter().any(|part| is_within(part, other)) || its.iter().any(|part| is_within(taken, part))
        }
        (Filter::All(parts), _) => parts.iter().any(|part| is_within(part, other)),
        (_, Filter::Any(parts)) => parts.iter().any(|part| is_within(taken, part)),
        (Filter::Not(a), Filter::Not(b)) => a == b || is_judged_with(b, a) && is_within(b, a),
        (_, Filter::Not(refused)) => is_judged_with(refused, taken) && is_disjoint(taken, refused),
        (Filter::State(a), Filter::State(b))
        | (Filter::Country(a), Filter::Country(b))
        | (Filter::Publisher(a), Filter::Publisher(b))
        | (Filter::Campaign(a), Filter::Campaign(b)) => within(a, b),
        (Filter::AreaCode(a), Filter::AreaCode(b)) => within(a, b),
        (Filter::SubId(a), Filter::SubId(b)) | (Filter::Number(a), Filter::Number(b)) => {
            a.iter().all(|one: &Text| b.iter().any(|other| one.is_within(other)))
        }
        (Filter::Attestation(a), Filter::Attestation(b)) => within(a, b),
        (Filter::Verified(a), Filter::Verified(b)) => within(a, b),
        (Filter::Attestation(levels), Filter::Verified(states)) => {
            !levels.contains(&None) && within(&[Verified::Passed, Verified::Unverified], states)
        }
        (Filter::Verified(states), Filter::Attestation(levels)) => {
            levels.contains(&None) && *states == [Verified::Failed]
        }
        (Filter::Zip(a), Filter::Zip(b)) => {
            let mut spans = b.clone();
            spans.sort_unstable();
            a.iter().all(|span| is_covered(*span, &spans))
        }
        (Filter::Zip(spans), Filter::State(states)) => {
            let mut of_zips = spans.iter().flat_map(|span| states_between(*span));
            of_zips.all(|state| states.iter().any(|one| one == state))
        }
        (Filter::Hours(a, own), Filter::Hours(b, its)) => own == its && !Hours::may_hold(&[a], &[b]),
        _ => taken == other,
    }
}

/// Whether a test can be compared wherever the other can.
fn is_judged_with(test: &Filter, other: &Filter) -> bool {
    match test {
        Filter::Zip(_) => matches!(other, Filter::Zip(_)),
        Filter::Near(..) | Filter::Tag(..) => false,
        _ => true,
    }
}

/// Whether ascending spans leave nothing of this one.
fn is_covered((first, last): (u32, u32), spans: &[(u32, u32)]) -> bool {
    let reached = |next: u32, (low, high): &(u32, u32)| if *low <= next { next.max(high + 1) } else { next };
    spans.iter().fold(first, reached) > last
}

/// What is asked of a tag, or that it is not so.
#[derive(Clone, Copy)]
struct Asked<'f> {
    test: &'f TagTest,
    is_so: bool,
}

impl<'f> Asked<'f> {
    fn of(filter: &'f Filter) -> Option<(&'f str, Asked<'f>)> {
        let (filter, is_so) = match filter {
            Filter::Not(part) => (&**part, false),
            one => (one, true),
        };
        let Filter::Tag(key, test) = filter else { return None };
        Some((key, Asked { test, is_so }))
    }

    fn passes(self, value: Option<&str>) -> bool {
        self.test.says(value) == Some(self.is_so)
    }

    /// All that pass, where those are a few values or only calls without the tag.
    fn few(self) -> Option<Vec<Option<&'f str>>> {
        match (self.test, self.is_so) {
            (TagTest::In(values), true) => Some(values.iter().map(|value| Some(value.as_str())).collect()),
            (TagTest::Exists(false), true) => Some(vec![None]),
            _ => None,
        }
    }

    fn is_disjoint(self, other: Asked<'_>) -> bool {
        if let Some(few) = self.few() {
            return !few.iter().any(|value| other.passes(*value));
        }
        if let Some(few) = other.few() {
            return !few.iter().any(|value| self.passes(*value));
        }
        match (self.is_so, other.is_so) {
            (true, true) => are_apart(self.test, other.test),
            (true, false) => is_part(self.test, other.test),
            (false, true) => is_part(other.test, self.test),
            // A call without the tag passes both.
            (false, false) => false,
        }
    }

    fn is_within(self, other: Asked<'_>) -> bool {
        if let Some(few) = self.few() {
            return few.iter().all(|value| other.passes(*value));
        }
        match (other.test, other.is_so) {
            (TagTest::NotIn(values), true) => !values.iter().any(|value| self.passes(Some(value))),
            (TagTest::Exists(true), true) => !self.passes(None),
            _ => match (self.is_so, other.is_so) {
                (true, true) => is_part(self.test, other.test),
                (true, false) => are_apart(self.test, other.test),
                (false, true) => false,
                (false, false) => is_part(other.test, self.test),
            },
        }
    }
}

/// Whether no value passes two tests, and each that passes one can be compared by the other.
fn are_apart(a: &TagTest, b: &TagTest) -> bool {
    match (a, b) {
        (TagTest::Prefix(a), TagTest::Prefix(b)) => !a.starts_with(b) && !b.starts_with(a),
        _ => match (a.span(), b.span()) {
            (Some((first, last)), Some((low, high))) => first > high || low > last,
            _ => false,
        },
    }
}

/// Whether each value that passes the first passes the second, and both can compare the same values.
fn is_part(a: &TagTest, b: &TagTest) -> bool {
    match (a, b) {
        (TagTest::Prefix(a), TagTest::Prefix(b)) => a.starts_with(b),
        _ => match (a.span(), b.span()) {
            (Some((first, last)), Some((low, high))) => low <= first && last <= high,
            _ => a == b,
        },
    }
}
