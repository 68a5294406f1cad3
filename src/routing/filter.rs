//! Filters ready to judge calls: compiled when the catalog is loaded, nothing is interpreted per call.
//!
//! What is not known of a call is not equal to anything: a test of it does not hold, and its `not` does. What is there
//! and cannot be compared (a ZIP that is none, letters where a number is asked for) makes a test neither hold nor fail:
//! then `not` does not hold either, so that nothing is matched in silence.

use std::fmt;

use super::shared::{Own, Shared};
use crate::domain::caller::PERSONAL_TAGS;
use crate::domain::filter::{Filter, Scalar, TagTest, Text};
use crate::domain::zip::{Place, Zip};
use crate::domain::{CallerListIx, E164, Hours, Reason, Tags, Timestamp, Verified, Zone};

/// What is known of a call when targets are screened.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Two-letter state of the caller.
    pub state: Option<&'a str>,
    /// Two-letter country of the caller's number.
    pub country: Option<&'a str>,
    /// Area code of the caller's number.
    pub area_code: Option<u16>,
    /// Where the caller's ZIP is.
    pub zip: Located,
    /// Id of the publisher who sent the call.
    pub publisher: Option<&'a str>,
    /// Id of its campaign.
    pub campaign: Option<&'a str>,
    /// The publisher's label.
    pub sub_id: Option<&'a str>,
    /// The tracking number.
    pub dialled: Option<E164>,
    /// The attestation that is claimed for the caller's number: `A`, `B` or `C`.
    pub attestation: Option<char>,
    /// What came of verifying it.
    pub verified: Verified,
    /// The caller shows a valid number.
    pub has_number: bool,
    /// The lists that the caller is on, ascending.
    pub lists: &'a [CallerListIx],
    /// Its tags.
    pub tags: &'a Tags,
    /// The time of the decision.
    pub now: Timestamp,
    /// Attempts of the call that came to nothing so far.
    pub earlier_attempts: u32,
}

impl<'a> Facts<'a> {
    /// A call of which nothing but this is known.
    pub const fn bare(tags: &'a Tags, now: Timestamp) -> Facts<'a> {
        Facts {
            state: None,
            country: None,
            area_code: None,
            zip: Located::Unknown,
            publisher: None,
            campaign: None,
            sub_id: None,
            dialled: None,
            attestation: None,
            verified: Verified::Unverified,
            has_number: false,
            lists: &[],
            tags,
            now,
            earlier_attempts: 0,
        }
    }
}

/// What is known of the caller's ZIP; looked up once a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Located {
    /// No ZIP came.
    Unknown,
    /// What came is none.
    Impossible,
    /// A ZIP, and its middle if it has one.
    At(Zip, Option<Place>),
}

impl Located {
    /// Looks up what came as a ZIP.
    pub fn of(zip: Option<&str>) -> Located {
        match zip {
            None => Located::Unknown,
            Some(text) => Zip::parse(text).map_or(Located::Impossible, |zip| Located::At(zip, zip.place())),
        }
    }
}

/// What a test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// What came cannot be compared.
    Strange,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Truth {
        if holds { Truth::Yes } else { Truth::No }
    }
}

/// The filters of one target.
#[derive(Clone, Debug, Default)]
pub struct Compiled(pub(super) Vec<Own>);

/// A filter.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Box<Rule>),
    Test(Test),
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    State(Letters),
    Country(Letters),
    AreaCode(Box<Codes>),
    /// Ascending, apart from each other.
    Zip(Vec<(u32, u32)>),
    Near(Option<Place>, f64),
    Publisher(Texts),
    Campaign(Texts),
    SubId(Texts),
    Dialled(Vec<E164>, Vec<String>),
    Hours(Hours, Zone),
    /// Bits of `A`, `B`, `C` and of none.
    Attestation(u8),
    Verified(Vec<Verified>),
    Anonymous(bool),
    Tag {
        key: String,
        is_personal: bool,
        test: TagTest,
    },
}

impl Compiled {
    /// Compiles what the catalog says of a target whose buyer lives in this zone.
    pub fn new(filters: &[Filter], zone: &Zone) -> Compiled {
        Compiled(filters.iter().map(|filter| Own::alone(filter, zone)).collect())
    }

    /// Whether all of them hold.
    pub fn hold(&self, facts: &Facts<'_>) -> bool {
        self.0.iter().all(|own| own.rule.holds(facts) == Truth::Yes)
    }

    /// What refuses the call that `shared` is about: what decided of the first filter that does not hold.
    pub(super) fn refuses(&self, facts: &Facts<'_>, shared: &mut Shared) -> Option<Deciding<'_>> {
        let own = self.0.iter().find(|own| own.holds(facts, shared) != Truth::Yes)?;
        Some(Deciding(own.rule.deciding(facts)))
    }

    /// Whether there is no filter.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What all of them together say, with the value that the first saw that does not hold, or that all saw.
    pub fn met(&self, facts: &Facts<'_>) -> (Truth, String) {
        let mut seen = Vec::new();
        for (truth, saw) in self.verdicts(facts) {
            if truth != Truth::Yes {
                return (truth, saw);
            }
            seen.push(saw);
        }
        (Truth::Yes, seen.join(", "))
    }

    /// What each filter says, in their order, with the values that it saw.
    pub fn verdicts<'a>(&'a self, facts: &'a Facts<'a>) -> impl Iterator<Item = (Truth, String)> + 'a {
        self.0.iter().map(|Own { rule, .. }| {
            let seen = rule.deciding(facts).map_or(String::new(), |test| test.seen(facts).to_string());
            (rule.holds(facts), seen)
        })
    }
}

impl Rule {
    pub(super) fn new(filter: &Filter, zone: &Zone) -> Rule {
        let all = |parts: &[Filter]| parts.iter().map(|part| Rule::new(part, zone)).collect();
        Rule::Test(match filter {
            Filter::All(parts) => return Rule::All(all(parts)),
            Filter::Any(parts) => return Rule::Any(all(parts)),
            Filter::Not(part) => return Rule::Not(Box::new(Rule::new(part, zone))),
            Filter::State(states) => Test::State(Letters::of(states)),
            Filter::Country(countries) => Test::Country(Letters::of(countries)),
            Filter::AreaCode(codes) => Test::AreaCode(Box::new(Codes::of(codes))),
            Filter::Zip(spans) => Test::Zip(joined(spans)),
            Filter::Near(zip, miles) => Test::Near(zip.place(), Place::nearness_of(*miles)),
            Filter::Publisher(ids) => Test::Publisher(Texts::whole(ids)),
            Filter::Campaign(ids) => Test::Campaign(Texts::whole(ids)),
            Filter::SubId(texts) => Test::SubId(Texts::of(texts)),
            Filter::Number(texts) => dialled(texts),
            Filter::Hours(hours, own) => Test::Hours(hours.clone(), own.as_ref().unwrap_or(zone).clone()),
            Filter::Attestation(levels) => {
                Test::Attestation(levels.iter().fold(0, |bits, level| bits | level_bit(*level)))
            }
            Filter::Verified(states) => Test::Verified(states.clone()),
            Filter::Anonymous(wanted) => Test::Anonymous(*wanted),
            Filter::Tag(key, test) => Test::Tag {
                key: key.clone(),
                is_personal: PERSONAL_TAGS.iter().any(|personal| personal.eq_ignore_ascii_case(key)),
                test: in_order(test),
            },
        })
    }

    pub(super) fn holds(&self, facts: &Facts<'_>) -> Truth {
        match self {
            Rule::All(parts) => first(parts.iter().map(|part| part.holds(facts)), Truth::No, Truth::Yes),
            Rule::Any(parts) => first(parts.iter().map(|part| part.holds(facts)), Truth::Yes, Truth::No),
            Rule::Not(part) => match part.holds(facts) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                Truth::Strange => Truth::Strange,
            },
            Rule::Test(test) => test.holds(facts),
        }
    }

    /// The test that what this says rests on: the first that says what the whole does, else the first.
    fn deciding(&self, facts: &Facts<'_>) -> Option<&Test> {
        match self {
            Rule::Test(test) => Some(test),
            Rule::Not(part) => part.deciding(facts),
            Rule::All(parts) | Rule::Any(parts) => {
                let whole = self.holds(facts);
                let part = parts.iter().find(|part| part.holds(facts) == whole).or(parts.first())?;
                part.deciding(facts)
            }
        }
    }
}

/// `decisive` as soon as one says so; else strange if one is, else `otherwise`.
fn first(parts: impl Iterator<Item = Truth>, decisive: Truth, otherwise: Truth) -> Truth {
    let mut whole = otherwise;
    for part in parts {
        if part == decisive {
            return decisive;
        }
        if part == Truth::Strange {
            whole = Truth::Strange;
        }
    }
    whole
}

impl Test {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        match self {
            Test::State(states) => facts.state.is_some_and(|state| states.has(state)).into(),
            Test::Country(countries) => facts.country.is_some_and(|country| countries.has(country)).into(),
            Test::AreaCode(codes) => facts.area_code.is_some_and(|code| codes.has(code)).into(),
            Test::Zip(spans) => match facts.zip {
                Located::Unknown => Truth::No,
                Located::Impossible => Truth::Strange,
                Located::At(zip, _) => lies_in(spans, zip.number()).into(),
            },
            Test::Near(place, nearness) => match (facts.zip, place) {
                (Located::Unknown, _) => Truth::No,
                (Located::At(_, Some(there)), Some(here)) => (here.nearness(&there) >= *nearness).into(),
                (Located::Impossible | Located::At(..), _) => Truth::Strange,
            },
            Test::Publisher(ids) => facts.publisher.is_some_and(|id| ids.has(id)).into(),
            Test::Campaign(ids) => facts.campaign.is_some_and(|id| ids.has(id)).into(),
            Test::SubId(texts) => facts.sub_id.is_some_and(|sub_id| texts.has(sub_id)).into(),
            Test::Dialled(whole, beginnings) => facts
                .dialled
                .is_some_and(|number| {
                    whole.binary_search(&number).is_ok() || {
                        !beginnings.is_empty() && number.revealed(|number| begins_with(number, beginnings))
                    }
                })
                .into(),
            Test::Hours(hours, zone) => hours.is_open(zone, facts.now).into(),
            // A letter that failed verification is worth what none is.
            Test::Attestation(bits) => {
                (bits & level_bit(facts.verified.left_of(facts.attestation)) != 0).into()
            }
            Test::Verified(states) => states.contains(&facts.verified).into(),
            Test::Anonymous(wanted) => (facts.has_number != *wanted).into(),
            Test::Tag { key, test, .. } => tag_holds(test, facts.tags.get(key)),
        }
    }

    /// What a target is refused with that this test is not content with.
    fn reason(&self) -> Reason {
        match self {
            Test::State(_) | Test::Country(_) | Test::AreaCode(_) | Test::Zip(_) | Test::Near(..) => {
                Reason::Geo
            }
            Test::Publisher(_) | Test::Campaign(_) | Test::SubId(_) | Test::Dialled(..) => Reason::Source,
            Test::Hours(..) => Reason::Closed,
            Test::Attestation(_) | Test::Verified(_) => Reason::Attestation,
            Test::Anonymous(_) => Reason::Anonymous,
            Test::Tag { .. } => Reason::Tag,
        }
    }

    fn seen<'a>(&'a self, facts: &'a Facts<'a>) -> Seen<'a> {
        Seen { test: self, facts }
    }
}

/// The test that decided; none in a filter without any.
#[derive(Clone, Copy, Debug)]
pub struct Deciding<'a>(Option<&'a Test>);

impl Deciding<'_> {
    /// What a target is refused with.
    pub(super) fn reason(&self) -> Reason {
        self.0.map_or(Reason::Tag, Test::reason)
    }

    /// The value that it saw of the facts it decided by.
    pub(super) fn seen(&self, facts: &Facts<'_>) -> String {
        self.0.map_or_else(|| "no condition".to_owned(), |test| test.seen(facts).to_string())
    }
}

/// A fact as a test saw it.
struct Seen<'a> {
    test: &'a Test,
    facts: &'a Facts<'a>,
}

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.facts;
        match self.test {
            Test::State(_) => write!(f, "state {}", facts.state.unwrap_or("unknown")),
            Test::Country(_) => write!(f, "country {}", facts.country.unwrap_or("unknown")),
            Test::AreaCode(_) => match facts.area_code {
                Some(code) => write!(f, "area_code {code:03}"),
                None => f.write_str("area_code unknown"),
            },
            // Of a ZIP no more is shown than pings may carry.
            Test::Zip(_) => match facts.zip {
                Located::Unknown => f.write_str("zip unknown"),
                Located::Impossible => f.write_str("zip is none"),
                Located::At(zip, _) => write!(f, "zip {:03}••", zip.number() / 100),
            },
            Test::Near(place, _) => match (facts.zip, place) {
                (Located::Unknown, _) => f.write_str("zip unknown"),
                (Located::Impossible, _) => f.write_str("zip is none"),
                (Located::At(_, Some(there)), Some(here)) => write!(f, "{:.0} miles", here.miles_to(&there)),
                (Located::At(..), _) => f.write_str("zip has no place"),
            },
            Test::Publisher(_) => write!(f, "publisher {}", facts.publisher.unwrap_or("unknown")),
            Test::Campaign(_) => write!(f, "campaign {}", facts.campaign.unwrap_or("unknown")),
            Test::SubId(_) => write!(f, "sub_id {}", facts.sub_id.unwrap_or("absent")),
            Test::Dialled(..) => match facts.dialled {
                Some(number) => write!(f, "number {}", number.reveal()),
                None => f.write_str("number unknown"),
            },
            Test::Hours(_, zone) => write!(f, "{} in {zone}", zone.wall_clock(facts.now)),
            Test::Attestation(_) => match (facts.attestation, facts.verified) {
                (Some(level), Verified::Failed) => write!(f, "stir {level}, failed"),
                (Some(level), Verified::Passed | Verified::Unverified) => write!(f, "stir {level}"),
                (None, _) => f.write_str("stir none"),
            },
            Test::Verified(_) => write!(f, "stir_verified {}", facts.verified.as_str()),
            Test::Anonymous(_) => f.write_str(if facts.has_number { "number shown" } else { "no number" }),
            Test::Tag { key, is_personal, test } => {
                let value = facts.tags.get(key);
                let shown = value.map_or("absent", |value| if *is_personal { "•••" } else { value });
                let fault = if tag_holds(test, value) == Truth::Strange { " is no number" } else { "" };
                write!(f, "{key} {shown}{fault}")
            }
        }
    }
}

fn tag_holds(test: &TagTest, value: Option<&str>) -> Truth {
    let has = |values: &[String]| {
        value.is_some_and(|value| values.binary_search_by(|one| one.as_str().cmp(value)).is_ok())
    };
    let number = |holds: &dyn Fn(Scalar) -> bool| match value {
        None => Truth::No,
        Some(text) => Scalar::parse(text).map_or(Truth::Strange, |number| holds(number).into()),
    };
    match test {
        TagTest::In(values) => has(values).into(),
        TagTest::NotIn(values) => (!has(values)).into(),
        TagTest::Below(limit) => number(&|number| number < *limit),
        TagTest::Above(limit) => number(&|number| number > *limit),
        TagTest::Between(low, high) => number(&|number| (*low..=*high).contains(&number)),
        TagTest::Exists(wanted) => (value.is_some() == *wanted).into(),
        TagTest::Matches(pattern) => value.is_some_and(|value| pattern.0.is_match(value)).into(),
        TagTest::Prefix(beginning) => value.is_some_and(|value| value.starts_with(beginning)).into(),
    }
}

/// With its values in the order in which they are looked up.
fn in_order(test: &TagTest) -> TagTest {
    let mut test = test.clone();
    if let TagTest::In(values) | TagTest::NotIn(values) = &mut test {
        values.sort_unstable();
    }
    test
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values
}

fn level_bit(level: Option<char>) -> u8 {
    match level {
        Some('A') => 1,
        Some('B') => 2,
        Some('C') => 4,
        Some(_) => 0,
        None => 8,
    }
}

/// Spans ascending, those that touch made one.
fn joined(spans: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut whole: Vec<(u32, u32)> = Vec::new();
    for (first, last) in sorted(spans.iter().copied()) {
        match whole.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => whole.push((first, last)),
        }
    }
    whole
}

fn lies_in(spans: &[(u32, u32)], number: u32) -> bool {
    let at = spans.partition_point(|(_, last)| *last < number);
    spans.get(at).is_some_and(|(first, _)| *first <= number)
}

/// Two letters as one of 676 bits.
#[derive(Clone, Debug, Default)]
pub(super) struct Letters([u64; 11]);

impl Letters {
    fn bit(code: &str) -> Option<usize> {
        match code.as_bytes() {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Some(usize::from(a - b'A') * 26 + usize::from(b - b'A')),
            _ => None,
        }
    }

    fn of(codes: &[String]) -> Letters {
        let mut set = Letters::default();
        for bit in codes.iter().filter_map(|code| Letters::bit(code)) {
            set.0[bit / 64] |= 1 << (bit % 64);
        }
        set
    }

    fn has(&self, code: &str) -> bool {
        Letters::bit(code).is_some_and(|bit| self.0[bit / 64] & (1 << (bit % 64)) != 0)
    }
}

/// Numbers below 1,000 as bits.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes([u64; 16]);

impl Codes {
    fn of(codes: &[u16]) -> Codes {
        let mut set = Codes::default();
        for code in codes.iter().map(|code| usize::from(*code)).filter(|code| *code < 1_000) {
            set.0[code / 64] |= 1 << (code % 64);
        }
        set
    }

    fn has(&self, code: u16) -> bool {
        let code = usize::from(code);
        code < 1_000 && self.0[code / 64] & (1 << (code % 64)) != 0
    }
}

/// Texts, whole ones and beginnings, each ascending.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    whole: Vec<String>,
    beginnings: Vec<String>,
}

impl Texts {
    fn of(texts: &[Text]) -> Texts {
        let (mut whole, mut beginnings) = (Vec::new(), Vec::new());
        for text in texts {
            match text {
                Text::Whole(text) => whole.push(text.clone()),
                Text::Beginning(text) => beginnings.push(text.clone()),
            }
        }
        Texts { whole: sorted(whole.into_iter()), beginnings }
    }

    fn whole(texts: &[String]) -> Texts {
        Texts { whole: sorted(texts.iter().cloned()), beginnings: Vec::new() }
    }

    fn has(&self, text: &str) -> bool {
        self.whole.binary_search_by(|one| one.as_str().cmp(text)).is_ok()
            || begins_with(text, &self.beginnings)
    }
}

fn begins_with(text: &str, beginnings: &[String]) -> bool {
    beginnings.iter().any(|beginning| text.starts_with(beginning.as_str()))
}

/// Numbers are compared as numbers: as text only by their beginnings. That they are some was checked when they were read.
fn dialled(texts: &[Text]) -> Test {
    let Texts { whole, beginnings } = Texts::of(texts);
    Test::Dialled(sorted(whole.iter().filter_map(|text| E164::parse(text))), beginnings)
}
