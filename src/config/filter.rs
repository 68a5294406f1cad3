//! Filters: which calls a target takes, as a list of conditions that must all hold.
//!
//! Everything that could never hold is an error here, where it stands in a file: unknown names, lists that name nothing,
//! two lists without a common value. How a call is judged is in `routing::filter`.

use regex::RegexBuilder;

use super::compare::{all_of, is_disjoint, plain};
use super::entries::Entries;
use super::file::{Field, Reader};
use super::numbers::Numbers;
use super::problem::shown;
use super::values::{hours, labels, states, zone};
use crate::domain::E164;
use crate::domain::caller::{TAG_KEY_MAX, TAG_VALUE_MAX};
use crate::domain::country::is_country;
use crate::domain::filter::{DEPTH_MAX, Filter, Pattern, Scalar, TagTest, Text};
use crate::domain::stir::Verified;
use crate::domain::zip::{Zip, states_between};

/// Most conditions of one target, at whatever depth.
pub(super) const CONDITIONS_MAX: usize = 1_000;
/// Memory one regular expression may take, compiled.
const PATTERN_BYTES: usize = 64 * 1024;
/// Farthest a filter may look, in miles.
const MILES_MAX: u64 = 3_000;

const LIST: &str =
    "a list of filters such as {state = [\"TX\"]}, {tag = \"age\", op = \">\", value = 64} or {not = {…}}";
const KINDS: &str = "one of state, country, area_code, zip, near, publisher, campaign, sub_id, number, tag, hours, stir, \
                     stir_verified, anonymous, all, any, not";
const OPS: &[(&str, Op)] = &[
    ("=", Op::Is),
    ("!=", Op::IsNot),
    ("in", Op::In),
    ("not_in", Op::NotIn),
    ("<", Op::Below),
    (">", Op::Above),
    ("between", Op::Between),
    ("exists", Op::Exists),
    ("matches", Op::Matches),
    ("prefix", Op::Prefix),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Is,
    IsNot,
    In,
    NotIn,
    Below,
    Above,
    Between,
    Exists,
    Matches,
    Prefix,
}

/// Reads the filters of a target; without them, none.
pub(super) fn filters(field: &Field<'_>, entries: &Entries<'_>, numbers: &Numbers<'_>) -> Vec<Filter> {
    read(field, Filters { entries, numbers, conditions: 0, has_zone: true })
}

/// Reads what a branch of a plan asks: filters too, of which hours name their zone.
pub(super) fn conditions(field: &Field<'_>, entries: &Entries<'_>, numbers: &Numbers<'_>) -> Vec<Filter> {
    refuse_nothing(field);
    read(field, Filters { entries, numbers, conditions: 0, has_zone: false })
}

/// Reads what a row of a bid table asks: filters too, of which hours are in the buyer's zone.
pub(super) fn row(field: &Field<'_>, entries: &Entries<'_>, numbers: &Numbers<'_>) -> Vec<Filter> {
    refuse_nothing(field);
    read(field, Filters { entries, numbers, conditions: 0, has_zone: true })
}

fn refuse_nothing(field: &Field<'_>) {
    if field.raw().and_then(|value| value.as_array()).is_some_and(|list| list.is_empty()) {
        field.wrong("names nothing", "at least one filter, or no `when` for every call");
    }
}

fn read(field: &Field<'_>, mut read: Filters<'_, '_>) -> Vec<Filter> {
    let filters: Vec<(Field<'_>, Filter)> = field
        .list(LIST)
        .into_iter()
        .filter_map(|item| {
            let filter = read.filter(&item, 1)?;
            Some((item, filter))
        })
        .collect();
    if read.conditions > CONDITIONS_MAX {
        field.wrong(format!("has {} conditions", read.conditions), &format!("at most {CONDITIONS_MAX}"));
    }
    refuse_exclusive(&filters);
    filters.into_iter().map(|(_, filter)| filter).collect()
}

/// Says of each filter that it excludes one before it, or one part of it another.
fn refuse_exclusive(filters: &[(Field<'_>, Filter)]) {
    let plain: Vec<(&Field<'_>, Filter)> =
        filters.iter().map(|(item, filter)| (item, plain(filter))).collect();
    let mut before: Vec<(&Field<'_>, &Filter)> = Vec::new();
    for (item, filter) in &plain {
        let mut is_said = false;
        for part in all_of(filter) {
            let other = before.iter().find(|(_, other)| is_disjoint(other, part));
            if let (Some((other, _)), false) = (other, is_said) {
                let pair = match other.path == item.path {
                    true => "asks for two things that".to_owned(),
                    false => format!("and {}", other.path),
                };
                item.wrong(
                    format!("{pair} have no value in common: no call passes both"),
                    "filters that some call passes",
                );
                is_said = true;
            }
            before.push((item, part));
        }
    }
}

struct Filters<'e, 'a> {
    entries: &'e Entries<'a>,
    numbers: &'e Numbers<'a>,
    conditions: usize,
    /// Hours without a zone of their own have one: the buyer's.
    has_zone: bool,
}

impl Filters<'_, '_> {
    fn filter(&mut self, field: &Field<'_>, depth: usize) -> Option<Filter> {
        if depth > DEPTH_MAX {
            field.wrong(format!("is nested {depth} deep"), &format!("at most {DEPTH_MAX}"));
            return None;
        }
        self.conditions += 1;
        field.table("a filter: a table of one condition", |r| self.condition(r, depth))?
    }

    fn condition(&mut self, r: &Reader<'_>, depth: usize) -> Option<Filter> {
        type Read = fn(&mut Filters<'_, '_>, &Reader<'_>, &Field<'_>, usize) -> Option<Filter>;
        let kinds: [(&str, Read); 17] = [
            ("state", |_, _, field, _| some(state_codes(field)).map(Filter::State)),
            ("country", |_, _, field, _| some(countries(field)).map(Filter::Country)),
            ("area_code", |_, _, field, _| some(area_codes(field)).map(Filter::AreaCode)),
            ("zip", |_, _, field, _| some(zips(field)).map(Filter::Zip)),
            ("near", |_, r, field, _| near(r, field)),
            ("publisher", |read, _, field, _| some(read.publishers(field)).map(Filter::Publisher)),
            ("campaign", |read, _, field, _| some(read.campaigns(field)).map(Filter::Campaign)),
            ("sub_id", |_, _, field, _| some(texts(field)).map(Filter::SubId)),
            ("number", |read, _, field, _| some(read.numbers_of(field)).map(Filter::Number)),
            ("tag", |_, r, field, _| tag(r, field)),
            ("hours", |read, r, field, _| {
                let (hours, zone_at) = (hours(field), r.field("zone"));
                if !read.has_zone && !zone_at.is_set() {
                    zone_at.missing("an IANA time zone: a plan has none of its own");
                }
                let zone = if zone_at.is_set() { Some(zone(&zone_at)?) } else { None };
                Some(Filter::Hours(hours?, zone))
            }),
            ("stir", |_, _, field, _| some(levels(field)).map(Filter::Attestation)),
            ("stir_verified", |_, _, field, _| some(verifications(field)).map(Filter::Verified)),
            ("anonymous", |_, _, field, _| field.flag().map(Filter::Anonymous)),
            ("all", |read, _, field, depth| some(read.parts(field, depth)).map(Filter::All)),
            ("any", |read, _, field, depth| some(read.parts(field, depth)).map(Filter::Any)),
            ("not", |read, _, field, depth| {
                read.filter(field, depth + 1).map(|part| Filter::Not(Box::new(part)))
            }),
        ];
        let mut given =
            kinds.iter().map(|(key, read)| (r.field(key), read)).filter(|(field, _)| field.is_set());
        let Some((field, read)) = given.next() else {
            r.wrong("says no condition", KINDS);
            return None;
        };
        if let Some((more, _)) = given.next() {
            more.wrong("is a second condition in one filter", "a filter of its own: all filters must hold");
            return None;
        }
        read(self, r, &field, depth)
    }

    fn parts(&mut self, field: &Field<'_>, depth: usize) -> Vec<Filter> {
        let items = not_empty(field, LIST);
        items.iter().filter_map(|item| self.filter(item, depth + 1)).collect()
    }

    fn publishers(&self, field: &Field<'_>) -> Vec<String> {
        let index = &self.entries.publishers;
        self.ids(field, &|item| index.named_by(item).is_some())
    }

    fn campaigns(&self, field: &Field<'_>) -> Vec<String> {
        let index = &self.entries.campaigns;
        self.ids(field, &|item| index.named_by(item).is_some())
    }

    /// A whole number that is none of ours would never be dialled.
    fn numbers_of(&self, field: &Field<'_>) -> Vec<Text> {
        let list = "a list of tracking numbers and beginnings, such as [\"+18005550100\", \"+1888*\"]";
        let allowed = "one of the tracking numbers, such as +18005550100, or a beginning such as \"+1888*\"";
        once(not_empty(field, list), |item| {
            item.parse(allowed, |text| {
                let digits = text.strip_prefix('+')?;
                let fits = match digits.strip_suffix('*') {
                    Some(digits) => {
                        (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
                    }
                    None => E164::parse(text).is_some_and(|number| {
                        self.numbers.has(number) || self.entries.unread.contains(digits)
                    }),
                };
                fits.then(|| Text::parse(text))
            })
        })
    }

    fn ids(&self, field: &Field<'_>, is_known: &dyn Fn(&Field<'_>) -> bool) -> Vec<String> {
        let known = |item: &Field<'_>| {
            let id = item.text("an id")?;
            is_known(item).then(|| id.to_owned())
        };
        once(not_empty(field, "a list of ids"), known)
    }
}

/// What is left of a list with a fault in it is no filter: it would say something else.
fn some<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

/// The elements of a list that must name something.
fn not_empty<'a>(field: &Field<'a>, allowed: &str) -> Vec<Field<'a>> {
    refuse_empty(field, allowed);
    field.list(allowed)
}

fn refuse_empty(field: &Field<'_>, allowed: &str) {
    if field.raw().and_then(|value| value.as_array()).is_some_and(|list| list.is_empty()) {
        field.wrong("names nothing: it would never hold", allowed);
    }
}

/// What `read` makes of each element; each value once.
fn once<T: PartialEq>(items: Vec<Field<'_>>, read: impl Fn(&Field<'_>) -> Option<T>) -> Vec<T> {
    let mut values = Vec::new();
    for item in items {
        let Some(value) = read(&item) else { continue };
        if values.contains(&value) {
            item.wrong("stands twice", "each once");
        } else {
            values.push(value);
        }
    }
    values
}

fn state_codes(field: &Field<'_>) -> Vec<String> {
    refuse_empty(field, "two-letter codes of states, territories and provinces");
    states(field)
}

fn countries(field: &Field<'_>) -> Vec<String> {
    let allowed = "two-letter codes of countries, such as [\"US\", \"CA\"]";
    once(not_empty(field, allowed), |item| {
        item.parse(allowed, |text| is_country(text).then(|| text.to_owned()))
    })
}

fn area_codes(field: &Field<'_>) -> Vec<u16> {
    once(not_empty(field, "a list of area codes, such as [512, 737]"), |item| item.whole(200..=999))
}

/// `78701` is one ZIP, `787*` all that begin so.
fn zips(field: &Field<'_>) -> Vec<(u32, u32)> {
    let allowed = "a list of ZIPs and beginnings, such as [\"78701\", \"787*\"]";
    once(not_empty(field, allowed), |item| {
        let span = item.parse(allowed, |text| match text.strip_suffix('*') {
            Some(beginning) => zip_beginning(beginning),
            None => whole_zip(text),
        })?;
        used(span, item)
    })
}

/// The span of one ZIP of five digits.
pub(super) fn whole_zip(text: &str) -> Option<(u32, u32)> {
    let zip = Zip::parse(text).filter(|_| text.len() == 5)?.number();
    Some((zip, zip))
}

/// The span of all ZIPs that begin with these one to four digits.
pub(super) fn zip_beginning(text: &str) -> Option<(u32, u32)> {
    let is_beginning = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let size = 10_u32.pow(5_u32.checked_sub(u32::try_from(text.len()).ok()?)?);
    let first = text.parse::<u32>().ok().filter(|_| is_beginning)? * size;
    Some((first, first + size - 1))
}

/// A span with ZIPs in it; that none begins so is said.
pub(super) fn used(span: (u32, u32), place: &Field<'_>) -> Option<(u32, u32)> {
    let is_used = states_between(span).next().is_some();
    if !is_used {
        place.wrong("would never hold: no ZIP begins so", "the beginning of some ZIP");
    }
    is_used.then_some(span)
}

fn near(r: &Reader<'_>, field: &Field<'_>) -> Option<Filter> {
    let zip = field.parse("a ZIP of five digits with an area of its own", |text| {
        Zip::parse(text).filter(|zip| text.len() == 5 && zip.place().is_some())
    });
    let miles = r.field("miles").required().whole(1..=MILES_MAX);
    Some(Filter::Near(zip?, miles?))
}

fn texts(field: &Field<'_>) -> Vec<Text> {
    let allowed = "a list of labels and beginnings, such as [\"tv-auto\", \"fb-*\"]";
    once(not_empty(field, allowed), |item| item.label(TAG_VALUE_MAX).map(|text| Text::parse(&text)))
}

fn levels(field: &Field<'_>) -> Vec<Option<char>> {
    let words = [("A", Some('A')), ("B", Some('B')), ("C", Some('C')), ("none", None)];
    once(not_empty(field, "a list of A, B, C and none"), |item| item.choice(&words))
}

fn verifications(field: &Field<'_>) -> Vec<Verified> {
    let allowed = "a list of passed, failed and unverified";
    once(not_empty(field, allowed), |item| item.choice(&Verified::WORDS))
}

fn tag(r: &Reader<'_>, field: &Field<'_>) -> Option<Filter> {
    let key = field.label(TAG_KEY_MAX);
    let op = r.field("op").required().choice(OPS);
    let value = r.field("value").required();
    let number = |field: &Field<'_>| scalar(field);
    let test = match op? {
        Op::Is => TagTest::In(vec![text(&value)?]),
        Op::IsNot => TagTest::NotIn(vec![text(&value)?]),
        Op::In => TagTest::In(some(values(&value))?),
        Op::NotIn => TagTest::NotIn(some(values(&value))?),
        Op::Below => TagTest::Below(number(&value)?),
        Op::Above => TagTest::Above(number(&value)?),
        Op::Between => {
            let allowed = "two numbers, such as [18, 64]";
            let ends: Vec<Scalar> = value.list(allowed).iter().filter_map(number).collect();
            let [low, high] = ends[..] else {
                value.wrong("is no span", allowed);
                return None;
            };
            if low > high {
                value.wrong(format!("ends at {high} before it begins at {low}"), "the lower number first");
                return None;
            }
            TagTest::Between(low, high)
        }
        Op::Exists => TagTest::Exists(value.flag()?),
        Op::Matches => TagTest::Matches(pattern(&value)?),
        Op::Prefix => TagTest::Prefix(text(&value)?),
    };
    Some(Filter::Tag(key?, test))
}

fn values(field: &Field<'_>) -> Vec<String> {
    let allowed = "a list of values";
    refuse_empty(field, allowed);
    labels(field, TAG_VALUE_MAX, allowed)
}

fn text(field: &Field<'_>) -> Option<String> {
    field.label(TAG_VALUE_MAX)
}

/// A number of TOML, or one in quotes.
fn scalar(field: &Field<'_>) -> Option<Scalar> {
    let allowed = "a number such as 64 or \"2.5\", at most six decimals";
    let read = field.number(allowed)?;
    let number = Scalar::parse(read);
    if number.is_none() {
        field.wrong(format!("{} does not fit", shown(read)), allowed);
    }
    number
}

fn pattern(field: &Field<'_>) -> Option<Pattern> {
    let text = field.text("a regular expression")?;
    match RegexBuilder::new(text).size_limit(PATTERN_BYTES).build() {
        Ok(regex) => Some(Pattern(regex)),
        Err(error) => {
            let line = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            let said = line.strip_prefix("error: ").unwrap_or(&line);
            field.wrong(
                format!("{} is no regular expression: {said}", shown(text)),
                "one without look-around and back references, at most 64 KiB when compiled",
            );
            None
        }
    }
}
