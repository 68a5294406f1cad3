//! Tracking numbers: `[[number]]` tables and the rows of CSV files, one set.
//!
//! CSV here is plain cells between commas under a header. Quotes are refused: nothing a number says needs them, and a
//! reader that guesses at them would move cells.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeValue;

use super::entries::Entries;
use super::file::{Field, File, Source};
use super::problem::{Sink, nearest, shown};
use super::values::tag_key;
use crate::domain::caller::{TAG_VALUE_MAX, TAGS_MAX};
use crate::domain::{Address, CampaignIx, Catalog, E164, Hours, PublisherIx, TagValue, TrackingNumber};

/// Most tracking numbers.
pub(super) const NUMBERS_MAX: usize = 500_000;
/// Longest sub-id, in bytes.
const SUB_ID_MAX: usize = 128;
const COLUMNS: [&str; 4] = ["number", "campaign", "publisher", "sub_id"];
const NUMBER_ALLOWED: &str = "a number such as +18005550100";

/// Our own numbers, and where each stands.
#[derive(Default)]
pub(super) struct Numbers<'a> {
    places: BTreeMap<E164, (&'a Source, usize)>,
    pub(super) read: Vec<TrackingNumber>,
    too_many: bool,
}

impl<'a> Numbers<'a> {
    /// Reads all of them; `csvs` are the files that `entries.csvs` names and that could be read.
    pub(super) fn read(entries: &Entries<'a>, csvs: &[File<'a>]) -> Numbers<'a> {
        let mut numbers = Numbers::default();
        for field in &entries.numbers {
            numbers.read_table(field, entries);
        }
        for file in csvs {
            numbers.read_csv(*file, entries);
        }
        numbers.read.sort_by_key(|number| number.number);
        numbers
    }

    /// Says so where a call would be sent back to us.
    pub(super) fn refuse_loop(&self, address: &Address, field: &Field<'_>) {
        if let Address::Number(number) = address
            && self.places.contains_key(number)
        {
            let what = "is one of the tracking numbers: calls would come back here";
            field.wrong(what, "a number that is not ours");
        }
    }

    /// Whether a number is one of them.
    pub(super) fn has(&self, number: E164) -> bool {
        self.places.contains_key(&number)
    }

    /// A number is sold while its publisher and its campaign are open: where their hours never meet, nobody meant that.
    /// Said once of those with the same two, where the first in its file stands.
    pub(super) fn refuse_never_open(&self, catalog: &Catalog, sink: &Sink) {
        let mut shut: BTreeMap<(PublisherIx, CampaignIx), Vec<(&Source, usize)>> = BTreeMap::new();
        let mut seen = BTreeMap::new();
        for number in &catalog.numbers {
            let both = (number.publisher, number.campaign);
            let is_shut = *seen.entry(both).or_insert_with(|| {
                let (publisher, campaign) =
                    (catalog.publisher(number.publisher), catalog.campaign(number.campaign));
                let hours = publisher.hours.as_ref().zip(campaign.hours.as_ref());
                hours.is_some_and(|(own, its)| !own.meets_in(&publisher.zone, its, &campaign.zone))
            });
            if let (true, Some(place)) = (is_shut, self.places.get(&number.number)) {
                shut.entry(both).or_default().push(*place);
            }
        }
        for ((publisher, campaign), places) in shut {
            let Some((source, at)) = places.iter().min_by_key(|(source, at)| (&source.name, *at)) else {
                continue;
            };
            let (publisher, campaign) = (catalog.publisher(publisher), catalog.campaign(campaign));
            let said = |hours: &Option<Hours>| hours.as_ref().map_or(String::new(), Hours::to_string);
            let others = match places.len() - 1 {
                0 => String::new(),
                1 => "; nor is one more number".to_owned(),
                more => format!("; nor are {more} more numbers"),
            };
            let what = format!(
                "is never open: the hours of publisher {} are {} in {}, and those of campaign {} are {} in {}{others}",
                publisher.id,
                said(&publisher.hours),
                publisher.zone,
                campaign.id,
                said(&campaign.hours),
                campaign.zone
            );
            let allowed = "hours of the publisher that lie within the campaign's for some time";
            sink.push(source.problem(&(*at..*at), "number", what, allowed, None));
        }
    }

    fn read_table(&mut self, field: &Field<'a>, entries: &Entries<'a>) {
        let read = field.table("a table [[number]]", |r| {
            let own = r.field("number").required();
            let number = own.parse(NUMBER_ALLOWED, E164::parse);
            let number = number.filter(|number| self.take(*number, &own));
            let campaign = entries.campaigns.named_by(&r.field("campaign").required());
            let publisher = entries.publishers.named_by(&r.field("publisher").required());
            let sub_id = r.field("sub_id").label(SUB_ID_MAX);
            let tags = tags(&r.field("tags"));
            Some(TrackingNumber {
                number: number?,
                campaign: CampaignIx(campaign?),
                publisher: PublisherIx(publisher?),
                sub_id,
                tags,
            })
        });
        self.read.extend(read.flatten());
    }

    /// Whether the number is new; a second place of it is said.
    fn take(&mut self, number: E164, field: &Field<'a>) -> bool {
        if let Some((source, at)) = self.places.get(&number) {
            let also = format!("stands twice: also at {}:{}", source.name, source.line(*at));
            field.wrong(also, "each number once");
            return false;
        }
        if self.places.len() >= NUMBERS_MAX {
            if !self.too_many {
                field.wrong("is one number too many", &format!("at most {NUMBERS_MAX}"));
            }
            self.too_many = true;
            return false;
        }
        self.places.insert(number, (field.file.source, field.offset()));
        true
    }

    fn read_csv(&mut self, file: File<'a>, entries: &Entries<'a>) {
        let mut lines = lines(&file.source.text).filter(|(_, line)| !line.trim().is_empty());
        let (at, header) = lines.next().unwrap_or((0, ""));
        let Some(columns) = header_columns(file, at, header) else { return };
        for (at, line) in lines {
            let cells = cells(at, line);
            if line.contains('"') {
                let quote = at + line.find('"').unwrap_or(0);
                let place = Field::placed(file, String::new(), quote..quote + 1);
                place.wrong("has a quote", "plain cells between commas; no cell needs quotes");
            } else if cells.len() != columns.len() {
                let place = Field::placed(file, String::new(), at..at + line.len());
                place.wrong(
                    format!("has {} cells", cells.len()),
                    &format!("{} as in the header", columns.len()),
                );
            } else {
                self.read_row(Row { file, columns: &columns, cells: &cells }, entries);
            }
        }
    }

    fn read_row(&mut self, row: Row<'a, '_>, entries: &Entries<'a>) {
        let number = row.cell("number").and_then(|(text, place)| {
            let number = E164::parse(text);
            if number.is_none() {
                place.wrong(format!("{} does not fit", shown(text)), NUMBER_ALLOWED);
            }
            number.filter(|number| self.take(*number, &place))
        });
        let campaign = row.cell("campaign").and_then(|(id, place)| entries.campaigns.find(id, &place));
        let publisher = row.cell("publisher").and_then(|(id, place)| entries.publishers.find(id, &place));
        let sub_id = row.cell("sub_id").filter(|(text, _)| !text.is_empty());
        if let Some((text, place)) = &sub_id
            && (text.len() > SUB_ID_MAX || text.chars().any(char::is_control))
        {
            place.wrong("does not fit", &format!("text of at most {SUB_ID_MAX} bytes"));
        }
        if let (Some(number), Some(campaign), Some(publisher)) = (number, campaign, publisher) {
            self.read.push(TrackingNumber {
                number,
                campaign: CampaignIx(campaign),
                publisher: PublisherIx(publisher),
                sub_id: sub_id.map(|(text, _)| text.to_owned()),
                tags: Vec::new(),
            });
        }
    }
}

/// A row of a CSV file under the columns of its header.
struct Row<'a, 'r> {
    file: File<'a>,
    columns: &'r [&'static str],
    cells: &'r [Cell<'a>],
}

impl<'a> Row<'a, '_> {
    fn cell(&self, column: &'static str) -> Option<(&'a str, Field<'a>)> {
        let at = self.columns.iter().position(|c| *c == column)?;
        let (text, span) = &self.cells[at];
        Some((*text, Field::placed(self.file, column.to_owned(), span.clone())))
    }
}

/// A cell without the blanks around it, and its place.
pub(super) type Cell<'a> = (&'a str, Range<usize>);

/// Lines without their ends, and where each starts.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    })
}

pub(super) fn cells(start: usize, line: &str) -> Vec<Cell<'_>> {
    let mut at = start;
    let span = |cell: &str| {
        let from = at + cell.len() - cell.trim_start().len();
        at += cell.len() + 1;
        from..from + cell.trim().len()
    };
    let spans: Vec<Range<usize>> = line.split(',').map(span).collect();
    spans.into_iter().map(|span| (&line[span.start - start..span.end - start], span)).collect()
}

/// The columns a header names, in its order; `None` if it cannot be used.
fn header_columns(file: File<'_>, at: usize, header: &str) -> Option<Vec<&'static str>> {
    let allowed = "a header: number,campaign,publisher and optionally sub_id";
    if header.is_empty() {
        Field::placed(file, String::new(), at..at).wrong("is empty", allowed);
        return None;
    }
    let mut columns = Vec::new();
    for (name, span) in cells(at, header) {
        let place = Field::placed(file, String::new(), span);
        match COLUMNS.iter().find(|column| **column == name) {
            Some(column) if columns.contains(column) => place.wrong(format!("{name} stands twice"), allowed),
            Some(column) => columns.push(*column),
            None => {
                place.wrong_meant(format!("{} is no column", shown(name)), allowed, nearest(name, COLUMNS));
                return None;
            }
        }
    }
    if let Some(column) = COLUMNS[..3].iter().find(|column| !columns.contains(*column)) {
        let place = Field::placed(file, String::new(), at..at + header.len());
        place.wrong(format!("there is no column {column}"), allowed);
        return None;
    }
    Some(columns)
}

/// Tags every call to a number carries.
fn tags(field: &Field<'_>) -> Vec<(Arc<str>, TagValue)> {
    let entries = field.entries("a table of strings, numbers and booleans");
    if entries.len() > TAGS_MAX {
        field.wrong(format!("has {} tags", entries.len()), &format!("at most {TAGS_MAX}"));
        return Vec::new();
    }
    entries.iter().filter_map(|(key, value)| Some((tag_key(key, value)?.into(), tag_value(value)?))).collect()
}

fn tag_value(field: &Field<'_>) -> Option<TagValue> {
    let value = match field.raw()? {
        DeValue::String(text) => Some(TagValue::Text(text.as_ref().into())),
        DeValue::Boolean(flag) => Some(TagValue::Bool(*flag)),
        // As JSON writes it: no plus sign, no other radix, no infinity.
        DeValue::Integer(number) if number.radix() == 10 => json_number(number.as_str()),
        DeValue::Float(number) => json_number(number.as_str()),
        DeValue::Integer(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    };
    let value = value.filter(|value| value.as_text().len() <= TAG_VALUE_MAX);
    if value.is_none() {
        let allowed = format!("a string, a plain number or a boolean of at most {TAG_VALUE_MAX} bytes");
        field.wrong("is no value of a tag", &allowed);
    }
    value
}

fn json_number(text: &str) -> Option<TagValue> {
    let text = text.strip_prefix('+').unwrap_or(text);
    text.ends_with(|c: char| c.is_ascii_digit()).then(|| TagValue::Number(text.into()))
}
