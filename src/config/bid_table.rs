//! Bid tables: rows of a target and rows of CSV files.
//!
//! A row of a file says the same as one of the catalog, a column for each condition: an empty cell asks nothing. What
//! could never be reached, because a row before it takes every such call, is an error at its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entries::{CATALOG_BYTES_MAX, Entries};
use super::file::{Field, File, Source};
use super::filter::{row, used, whole_zip, zip_beginning};
use super::numbers::{Cell, Numbers, cells, lines};
use super::problem::{Sink, nearest, shown};
use super::settings::path;
use super::values::tag_key;
use crate::domain::bid_table::{BID_ROWS_MAX, BidRow, BidTable, Place};
use crate::domain::caller::TAG_VALUE_MAX;
use crate::domain::catalog::{Catalog, Pricing};
use crate::domain::filter::{Filter, TagTest, Text};
use crate::domain::state::STATES;
use crate::domain::{E164, Hours, Money};

/// Most rows that stand in the catalog itself; more belong into a file.
const INLINE_ROWS_MAX: usize = 1_000;
/// Most rows of all tables.
const ALL_ROWS_MAX: usize = 1_000_000;
/// Most columns of a file.
const COLUMNS_MAX: usize = 24;
/// Most sets of kinds of conditions that later rows are held against to see whether they are ever reached.
const SHAPES_MAX: usize = 64;
const COLUMNS: [&str; 11] = [
    "state",
    "area_code",
    "zip",
    "zip_prefix",
    "publisher",
    "campaign",
    "sub_id",
    "number",
    "tag:<key>",
    "hours",
    "bid",
];
const HEADER: &str = "a header of bid and any of state, area_code, zip, zip_prefix, publisher, campaign, sub_id, number, \
                      hours and tag:<key>";
const TABLE: &str =
    "{base = \"20.00\", rows = [{when = [filter, …], bid = \"25.50\"}, …], csv = \"bids.csv\"}";

/// The files of bid rows that the catalog's targets name.
pub(super) struct Files<'a> {
    read: BTreeMap<PathBuf, (&'a Sink, Source)>,
}

/// The rows of each file, by its path.
pub(super) type FileRows = BTreeMap<PathBuf, Vec<BidRow>>;

impl<'a> Files<'a> {
    /// Opens each once, however many targets name it.
    pub(super) fn open(entries: &Entries<'a>, dir: &Path) -> Files<'a> {
        let mut files = Files { read: BTreeMap::new() };
        let mut bytes = 0;
        for (_, target) in entries.targets.iter() {
            let Some(field) = target.peek("bids").and_then(|bids| bids.peek("csv")) else { continue };
            let named = field.raw().and_then(|value| value.as_str()).filter(|text| !text.is_empty());
            let Some(path) = named.map(|text| dir.join(text)) else {
                continue;
            };
            if files.read.contains_key(&path) {
                continue;
            }
            match Source::open(&path) {
                Ok(source) => {
                    bytes += source.text.len();
                    if bytes > CATALOG_BYTES_MAX {
                        field.wrong("makes the bid tables too large", "files of at most 64 MiB together");
                        break;
                    }
                    files.read.insert(path, (field.file.sink, source));
                }
                Err(problem) => {
                    field.wrong(format!("{} {}", problem.file, problem.what), "a file that can be read");
                }
            }
        }
        files
    }

    /// What they say, for the digest.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.read.values().map(|(_, source)| source)
    }

    /// Reads all of them.
    pub(super) fn rows(&self, entries: &Entries<'_>, numbers: &Numbers<'_>) -> FileRows {
        let read = |(path, (sink, source)): (&PathBuf, &(&Sink, Source))| {
            let file = File { source, sink };
            (path.clone(), Csv { file, entries, numbers }.read())
        };
        self.read.iter().map(read).collect()
    }
}

/// Reads the table of a target.
pub(super) fn table(
    field: &Field<'_>,
    dir: &Path,
    files: &FileRows,
    (entries, numbers): (&Entries<'_>, &Numbers<'_>),
) -> Option<BidTable> {
    field.table(TABLE, |r| {
        let base = r.field("base");
        let base_bid = base.price();
        let csv = r.field("csv");
        let rows_at = r.field("rows");
        let (mut rows, places) = inline(&rows_at, entries, numbers);
        let has_rows =
            rows_at.raw().is_some_and(|value| value.as_array().is_none_or(|rows| !rows.is_empty()));
        if !has_rows && !csv.is_set() {
            r.wrong("has no rows", "`rows`, `csv` or both; `price` of the target where all calls have one");
        }
        let named = path(&csv, dir);
        if let Some(more) = named.as_ref().and_then(|path| files.get(path)) {
            rows.extend(more.iter().cloned());
        }
        if rows.len() > BID_ROWS_MAX {
            r.wrong(format!("has {} rows", rows.len()), &format!("at most {BID_ROWS_MAX}"));
        }
        // A file by itself was looked through when it was read.
        if !places.is_empty() {
            refuse_unreached(&rows, &places, &csv);
        }
        if base.is_set() && rows.iter().any(|row| row.when.is_empty()) {
            base.wrong("is never bid: a row takes every call", "no `base`, or no row without conditions");
        }
        let csv = csv.raw().and_then(|value| value.as_str()).map(Arc::from);
        Some(BidTable { base: base_bid, rows: rows.into(), csv })
    })?
}

fn refuse_unreached(rows: &[BidRow], places: &[Field<'_>], csv: &Field<'_>) {
    unreached(rows, &mut |row, before| match (row.place, before.place) {
        (Place::Inline(n), Place::Inline(m) | Place::Csv(m)) => {
            places[n as usize - 1].wrong(never_reached(before, &format!("row {m}")), REACHED);
        }
        (Place::Csv(line), Place::Inline(m)) => {
            csv.wrong(format!("line {line} {}", never_reached(before, &format!("row {m}"))), REACHED);
        }
        // The file says so itself.
        (Place::Csv(_), Place::Csv(_)) => {}
    });
}

/// The rows that stand in the catalog, and the place of each.
fn inline<'a>(
    field: &Field<'a>,
    entries: &Entries<'_>,
    numbers: &Numbers<'_>,
) -> (Vec<BidRow>, Vec<Field<'a>>) {
    let items = field.list("a list of {when = [filter, …], bid = \"25.50\"}");
    if items.len() > INLINE_ROWS_MAX {
        field.wrong(
            format!("has {} rows", items.len()),
            &format!("at most {INLINE_ROWS_MAX}; more in a file: `csv`"),
        );
        return (Vec::new(), items);
    }
    let mut rows = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let read = item.table("{when = [filter, …], bid = \"25.50\"}", |r| {
            let when = r.field("when");
            let has_when = when.is_set();
            let when = row(&when, entries, numbers);
            let bid = r.field("bid").required().money();
            // What is left of faulty conditions would take other calls.
            (!has_when || !when.is_empty()).then_some((when, bid?))
        });
        if let Some((when, bid)) = read.flatten() {
            let place = Place::Inline(at as u32 + 1);
            rows.push(BidRow { when, bid: Some(bid).filter(|bid| bid.is_positive()), place });
        }
    }
    (rows, items)
}

/// Says at which target there are more rows than all tables together may have: each has its own, of one file too.
pub(super) fn refuse_too_many(catalog: &Catalog, entries: &Entries<'_>) {
    let mut rows = 0;
    for (target, (_, field)) in catalog.targets.iter().zip(entries.targets.iter()) {
        let Pricing::Table(table) = &target.pricing else { continue };
        rows += table.rows.len();
        if rows > ALL_ROWS_MAX {
            let allowed =
                format!("at most {ALL_ROWS_MAX}, those of a file once for each target that names it");
            return field.wrong("makes the rows of all bid tables too many", &allowed);
        }
    }
}

/// Tells of each row that an earlier one takes all its calls, by their places: one with the same conditions, fewer of them
/// or none.
fn unreached<'r>(rows: &'r [BidRow], tell: &mut dyn FnMut(&'r BidRow, &'r BidRow)) {
    let asked: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.when.iter().map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect())
        .collect();
    let mut seen: BTreeMap<Vec<&str>, &BidRow> = BTreeMap::new();
    let mut shapes: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (row, asked) in rows.iter().zip(&asked) {
        let asked: Vec<(&str, &str)> = asked.iter().map(|filter| (kind(filter), filter.as_str())).collect();
        let of_shape = |shape: &Vec<&str>| -> Vec<&str> {
            asked.iter().filter(|(kind, _)| shape.contains(kind)).map(|(_, filter)| *filter).collect()
        };
        if let Some(before) = shapes.iter().find_map(|shape| seen.get(&of_shape(shape))) {
            tell(row, before);
            // Behind a row that takes every call all are the same fault.
            if before.when.is_empty() {
                return;
            }
            continue;
        }
        let kinds: Vec<&str> = asked.iter().map(|(kind, _)| *kind).collect();
        if shapes.len() < SHAPES_MAX || shapes.contains(&kinds) {
            shapes.insert(kinds);
            seen.insert(asked.iter().map(|(_, filter)| *filter).collect(), row);
        }
    }
}

/// What is wrong with a row that is never reached.
fn never_reached(before: &BidRow, its_place: &str) -> String {
    let takes = if before.when.is_empty() { "every call" } else { "all its calls" };
    format!("is never reached: {its_place} ({before}) takes {takes}")
}

pub(super) const REACHED: &str = "the row that asks more first, or only one of the two";

/// The words of a filter before its values: those of the same kind can be the same filter.
fn kind(filter: &str) -> &str {
    let words = if filter.starts_with("tag ") { 2 } else { 1 };
    filter.match_indices(' ').nth(words - 1).map_or(filter, |(end, _)| &filter[..end])
}

/// A file that is read.
struct Csv<'f, 'a, 'n> {
    file: File<'f>,
    entries: &'f Entries<'a>,
    numbers: &'f Numbers<'n>,
}

/// A column of the header.
#[derive(Clone, PartialEq, Eq)]
enum Column {
    Named(&'static str),
    Tag(String),
}

impl Csv<'_, '_, '_> {
    fn read(&self) -> Vec<BidRow> {
        let mut lines = lines(&self.file.source.text).filter(|(_, line)| !line.trim().is_empty());
        let (at, header) = lines.next().unwrap_or((0, ""));
        let Some(columns) = self.columns(at, header) else { return Vec::new() };
        let (mut rows, mut is_empty) = (Vec::new(), true);
        for (at, line) in lines {
            is_empty = false;
            let whole = Field::placed(self.file, String::new(), at..at + line.len());
            let cells = cells(at, line);
            if rows.len() == BID_ROWS_MAX {
                whole.wrong("is one row too many", &format!("at most {BID_ROWS_MAX} rows"));
                break;
            }
            if line.contains('"') {
                whole.wrong("has a quote", "plain cells between commas; no cell needs quotes");
            } else if cells.len() != columns.len() {
                let allowed = format!("{} as in the header", columns.len());
                whole.wrong(format!("has {} cells", cells.len()), &allowed);
            } else if let Some(row) = self.row(&columns, &cells, self.file.source.line(at)) {
                rows.push(row);
            }
        }
        if is_empty {
            Field::placed(self.file, String::new(), at..at)
                .wrong("has no rows", "at least one below the header");
        }
        unreached(&rows, &mut |row, before| {
            if let (Place::Csv(line), Place::Csv(earlier)) = (row.place, before.place) {
                let start = self.file.source.start(line as usize);
                let place = Field::placed(self.file, String::new(), start..start);
                place.wrong(never_reached(before, &format!("line {earlier}")), REACHED);
            }
        });
        rows
    }

    fn columns(&self, at: usize, header: &str) -> Option<Vec<Column>> {
        if header.is_empty() {
            Field::placed(self.file, String::new(), at..at).wrong("is empty", HEADER);
            return None;
        }
        let mut columns: Vec<Column> = Vec::new();
        for (name, span) in cells(at, header) {
            let place = Field::placed(self.file, String::new(), span);
            let column = match name.strip_prefix("tag:") {
                Some(key) => Column::Tag(tag_key(key, &place)?),
                None => match COLUMNS.iter().find(|column| **column == name) {
                    Some(column) => Column::Named(column),
                    None => {
                        let meant = nearest(name, COLUMNS);
                        place.wrong_meant(format!("{} is no column", shown(name)), HEADER, meant);
                        return None;
                    }
                },
            };
            if columns.contains(&column) {
                place.wrong(format!("{name} stands twice"), HEADER);
                return None;
            }
            columns.push(column);
        }
        let whole = Field::placed(self.file, String::new(), at..at + header.len());
        if columns.len() > COLUMNS_MAX {
            whole.wrong(format!("has {} columns", columns.len()), &format!("at most {COLUMNS_MAX}"));
            return None;
        }
        if !columns.contains(&Column::Named("bid")) {
            whole.wrong("there is no column bid", HEADER);
            return None;
        }
        Some(columns)
    }

    fn row(&self, columns: &[Column], cells: &[Cell<'_>], line: usize) -> Option<BidRow> {
        let (mut when, mut bid) = (Vec::new(), None);
        let mut is_whole = true;
        for (column, (text, span)) in columns.iter().zip(cells) {
            let name = match column {
                Column::Named(name) => (*name).to_owned(),
                Column::Tag(key) => format!("tag:{key}"),
            };
            let place = Field::placed(self.file, name, span.clone());
            if *column == Column::Named("bid") {
                bid = self.bid(text, &place);
                is_whole &= bid.is_some();
            } else if !text.is_empty() {
                let filter = self.filter(column, text, &place);
                is_whole &= filter.is_some();
                when.extend(filter);
            }
        }
        let spans = when.iter().filter(|filter| matches!(filter, Filter::Zip(_))).count();
        if spans > 1 {
            let at = cells.first().map_or(0, |(_, span)| span.start);
            Field::placed(self.file, String::new(), at..at)
                .wrong("has a zip and a zip_prefix", "one of the two");
        }
        let bid = bid.filter(|_| is_whole)?;
        Some(BidRow { when, bid: Some(bid).filter(|bid| bid.is_positive()), place: Place::Csv(line as u32) })
    }

    fn bid(&self, text: &str, place: &Field<'_>) -> Option<Money> {
        let bid = Money::parse(text).ok();
        if bid.is_none() {
            let allowed = "an amount such as 25.50 with at most six decimals, or 0 for no bid";
            place.wrong(
                if text.is_empty() {
                    "is missing".to_owned()
                } else {
                    format!("{} does not fit", shown(text))
                },
                allowed,
            );
        }
        bid
    }

    fn filter(&self, column: &Column, text: &str, place: &Field<'_>) -> Option<Filter> {
        let one = || vec![text.to_owned()];
        let fit = |filter: Option<Filter>, allowed: &str| {
            if filter.is_none() {
                place.wrong(format!("{} does not fit", shown(text)), allowed);
            }
            filter
        };
        let label = || {
            let fits = text.len() <= TAG_VALUE_MAX && !text.chars().any(char::is_control);
            fits.then(|| text.to_owned())
        };
        let label_allowed = format!("text of at most {TAG_VALUE_MAX} bytes");
        match column {
            Column::Tag(key) => {
                fit(label().map(|text| Filter::Tag(key.clone(), TagTest::In(vec![text]))), &label_allowed)
            }
            Column::Named("state") => {
                fit(STATES.contains(&text).then(|| Filter::State(one())), "two capital letters, such as TX")
            }
            Column::Named("area_code") => {
                let code =
                    text.parse().ok().filter(|code: &u16| text.len() == 3 && (200..=999).contains(code));
                fit(code.map(|code| Filter::AreaCode(vec![code])), "an area code from 200 to 999")
            }
            Column::Named("zip") => {
                fit(whole_zip(text).map(|span| Filter::Zip(vec![span])), "a ZIP of five digits")
            }
            Column::Named("zip_prefix") => match zip_beginning(text) {
                Some(span) => used(span, place).map(|span| Filter::Zip(vec![span])),
                None => fit(None, "the first one to four digits of a ZIP"),
            },
            Column::Named("publisher") => {
                self.entries.publishers.find(text, place).map(|_| Filter::Publisher(one()))
            }
            Column::Named("campaign") => {
                self.entries.campaigns.find(text, place).map(|_| Filter::Campaign(one()))
            }
            Column::Named("sub_id") => {
                fit(label().map(|text| Filter::SubId(vec![Text::Whole(text)])), &label_allowed)
            }
            Column::Named("number") => {
                let number = E164::parse(text).filter(|number| self.numbers.has(*number));
                let filter = number.map(|number| Filter::Number(vec![Text::Whole(number.reveal())]));
                fit(filter, "one of the tracking numbers, such as +18005550100")
            }
            Column::Named(_) => self.hours(text, place),
        }
    }

    fn hours(&self, text: &str, place: &Field<'_>) -> Option<Filter> {
        let items: Result<Vec<_>, _> = text.split(';').map(|item| Hours::parse_item(item.trim())).collect();
        match items {
            Ok(items) => {
                let hours: Hours = items.into_iter().collect();
                if let Some((a, b)) = hours.overlap() {
                    let what = format!("says something of the same time twice: {a}, and {b}");
                    place.wrong(what, "ranges that do not overlap");
                }
                Some(Filter::Hours(hours, None))
            }
            Err(error) => {
                let allowed = format!("{}; several with `; ` between them", error.allowed);
                place.wrong(format!("{} {}", shown(&error.value), error.wrong), &allowed);
                None
            }
        }
    }
}
