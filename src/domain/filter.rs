//! Which calls somebody takes, as the catalog says it: conditions on what is known of a call, nested.
//!
//! Data only, every part checked. How a call is judged by it is in `routing::filter`, how it is read in `config`.

use std::fmt;

use super::schedule::{Hours, Zone};
use super::stir::Verified;
use super::zip::Zip;

/// Deepest nesting of `all`, `any` and `not`, a plain condition being 1 deep.
pub const DEPTH_MAX: usize = 8;

/// One filter: a condition, or several joined.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every one holds.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The caller's state is one of these: two letters.
    State(Vec<String>),
    /// The country of the caller's number is one of these: two letters.
    Country(Vec<String>),
    /// The area code of the caller's number is one of these.
    AreaCode(Vec<u16>),
    /// The caller's ZIP lies in one of these spans, first and last included.
    Zip(Vec<(u32, u32)>),
    /// The middle of the caller's ZIP is at most so many miles from that of this one.
    Near(Zip, u32),
    /// The call came from one of these publishers.
    Publisher(Vec<String>),
    /// The call is of one of these campaigns.
    Campaign(Vec<String>),
    /// The publisher's label of the call is one of these.
    SubId(Vec<Text>),
    /// The caller dialled one of these tracking numbers.
    Number(Vec<Text>),
    /// The clock of this zone, or of the buyer's where none is named, shows one of these hours.
    Hours(Hours, Option<Zone>),
    /// The attestation of the caller's number is one of these; `None`: there is none, or it failed verification.
    Attestation(Vec<Option<char>>),
    /// Verification of the caller's number came to one of these.
    Verified(Vec<Verified>),
    /// The caller shows no valid number, or does.
    Anonymous(bool),
    /// A tag, by its key, is as the operator says.
    Tag(String, TagTest),
}

/// Text that is looked for: whole, or as a beginning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// Exactly this.
    Whole(String),
    /// Whatever begins with this.
    Beginning(String),
}

/// What is asked of a tag's value.
#[derive(Clone, Debug, PartialEq)]
pub enum TagTest {
    /// It is one of these, letter by letter.
    In(Vec<String>),
    /// It is none of these, or the call has no such tag.
    NotIn(Vec<String>),
    /// It is a number below this.
    Below(Scalar),
    /// It is a number above this.
    Above(Scalar),
    /// It is a number from the first to the second, both included.
    Between(Scalar, Scalar),
    /// The call has such a tag, or has none.
    Exists(bool),
    /// It contains what this expression describes.
    Matches(Pattern),
    /// It begins with this.
    Prefix(String),
}

/// A regular expression that was compiled once: matching takes time linear in the value, whatever the expression.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A plain decimal number as tags carry them, in millionths; digits beyond the sixth decimal are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scalar(i64);

impl Scalar {
    /// Reads `64`, `-3`, `2.5`: digits, at most six behind the point; `None` for anything else, exponents included.
    pub fn parse(text: &str) -> Option<Scalar> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(part) || part.len() > 6 {
            return None;
        }
        let millionths = part.parse::<i64>().ok()? * 10_i64.pow(6 - part.len() as u32);
        let size = whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(millionths)?;
        Some(Scalar(if is_negative { -size } else { size }))
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, part) = (size / 1_000_000, size % 1_000_000);
        match part {
            0 => write!(f, "{sign}{whole}"),
            _ => write!(f, "{sign}{whole}.{}", format!("{part:06}").trim_end_matches('0')),
        }
    }
}

impl TagTest {
    /// What it says of a tag's value, or of a call without the tag; `None` where the value cannot be compared.
    pub fn says(&self, value: Option<&str>) -> Option<bool> {
        let number = |holds: &dyn Fn(Scalar) -> bool| match value {
            None => Some(false),
            Some(text) => Scalar::parse(text).map(holds),
        };
        let has = |values: &[String]| value.is_some_and(|value| values.iter().any(|one| one == value));
        match self {
            TagTest::In(values) => Some(has(values)),
            TagTest::NotIn(values) => Some(!has(values)),
            TagTest::Below(limit) => number(&|number| number < *limit),
            TagTest::Above(limit) => number(&|number| number > *limit),
            TagTest::Between(low, high) => number(&|number| (*low..=*high).contains(&number)),
            TagTest::Exists(wanted) => Some(value.is_some() == *wanted),
            TagTest::Matches(pattern) => Some(value.is_some_and(|value| pattern.0.is_match(value))),
            TagTest::Prefix(beginning) => Some(value.is_some_and(|value| value.starts_with(beginning))),
        }
    }

    /// The first and the last number that it takes, in millionths; `None` where it asks for no number.
    pub fn span(&self) -> Option<(i128, i128)> {
        let millionths = |number: &Scalar| i128::from(number.0);
        match self {
            TagTest::Below(limit) => Some((i64::MIN.into(), millionths(limit) - 1)),
            TagTest::Above(limit) => Some((millionths(limit) + 1, i64::MAX.into())),
            TagTest::Between(low, high) => Some((millionths(low), millionths(high))),
            TagTest::In(_)
            | TagTest::NotIn(_)
            | TagTest::Exists(_)
            | TagTest::Matches(_)
            | TagTest::Prefix(_) => None,
        }
    }
}

impl Text {
    /// Whether whatever this is found in, the other is found in too.
    pub fn is_within(&self, other: &Text) -> bool {
        match (self, other) {
            (Text::Whole(one), Text::Whole(other)) => one == other,
            (Text::Beginning(_), Text::Whole(_)) => false,
            (Text::Whole(one) | Text::Beginning(one), Text::Beginning(other)) => one.starts_with(other),
        }
    }

    /// Reads `fb-77`, or `fb-*` for a beginning. A star elsewhere is a star.
    pub fn parse(text: &str) -> Text {
        match text.strip_suffix('*') {
            Some(beginning) => Text::Beginning(beginning.to_owned()),
            None => Text::Whole(text.to_owned()),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Whole(text) => f.write_str(text),
            Text::Beginning(text) => write!(f, "{text}*"),
        }
    }
}

/// As a person would say it: `state in TX OK`, `not(area_code in 512)`, `tag age > 64`.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::All(parts) => group(f, "all", parts),
            Filter::Any(parts) => group(f, "any", parts),
            Filter::Not(part) => write!(f, "not({part})"),
            Filter::State(states) => listed(f, "state", states),
            Filter::Country(countries) => listed(f, "country", countries),
            Filter::AreaCode(codes) => listed(f, "area_code", codes),
            Filter::Zip(spans) => listed(f, "zip", spans.iter().map(|span| Span(*span))),
            Filter::Near(zip, miles) => write!(f, "within {miles} miles of {zip}"),
            Filter::Publisher(ids) => listed(f, "publisher", ids),
            Filter::Campaign(ids) => listed(f, "campaign", ids),
            Filter::SubId(texts) => listed(f, "sub_id", texts),
            Filter::Number(texts) => listed(f, "number", texts),
            Filter::Hours(hours, Some(zone)) => write!(f, "hours {hours} in {zone}"),
            Filter::Hours(hours, None) => write!(f, "hours {hours}"),
            Filter::Attestation(levels) => listed(f, "stir", levels.iter().map(|level| level.unwrap_or('-'))),
            Filter::Verified(states) => listed(f, "stir_verified", states.iter().map(|state| state.as_str())),
            Filter::Anonymous(true) => f.write_str("anonymous"),
            Filter::Anonymous(false) => f.write_str("not anonymous"),
            Filter::Tag(key, test) => write!(f, "tag {key} {test}"),
        }
    }
}

impl fmt::Display for TagTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagTest::In(values) if values.len() == 1 => write!(f, "= {}", values[0]),
            TagTest::In(values) => listed(f, "in", values),
            TagTest::NotIn(values) if values.len() == 1 => write!(f, "!= {}", values[0]),
            TagTest::NotIn(values) => listed(f, "not_in", values),
            TagTest::Below(number) => write!(f, "< {number}"),
            TagTest::Above(number) => write!(f, "> {number}"),
            TagTest::Between(low, high) => write!(f, "between {low} {high}"),
            TagTest::Exists(true) => f.write_str("exists"),
            TagTest::Exists(false) => f.write_str("does not exist"),
            TagTest::Matches(pattern) => write!(f, "matches {}", pattern.0),
            TagTest::Prefix(text) => write!(f, "prefix {text}"),
        }
    }
}

/// A span of ZIPs as it was written: `78701`, `787*`, or first and last.
struct Span((u32, u32));

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.0;
        if first == last {
            return write!(f, "{first:05}");
        }
        let digits = (1..5).find(|left| {
            let size = 10_u32.pow(*left);
            last - first + 1 == size && first % size == 0
        });
        match digits {
            Some(left) => write!(f, "{:0width$}*", first / 10_u32.pow(left), width = 5 - left as usize),
            None => write!(f, "{first:05}-{last:05}"),
        }
    }
}

fn group(f: &mut fmt::Formatter<'_>, word: &str, parts: &[Filter]) -> fmt::Result {
    write!(f, "{word}(")?;
    for (at, part) in parts.iter().enumerate() {
        write!(f, "{}{part}", if at == 0 { "" } else { ", " })?;
    }
    f.write_str(")")
}

fn listed<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    values: impl IntoIterator<Item = T>,
) -> fmt::Result {
    f.write_str(word)?;
    if word != "in" && word != "not_in" {
        f.write_str(" in")?;
    }
    values.into_iter().try_for_each(|value| write!(f, " {value}"))
}
