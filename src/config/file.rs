//! Spanned reading: a file, the tables in it, and the fields of a table, each knowing its place and its path.
//!
//! A read that fails says so in the sink and goes on, so one pass finds every fault. There is no serde here: a
//! derived reader stops at the first error of a table. What a table may hold is what its reader asks for; any other
//! key in it is unknown.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{MISSING, Problem, Sink, excerpt, nearest, shown};
use super::stored;
use crate::domain::Money;

/// Largest file read, in bytes.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most elements of a list; `[[number]]` has a bound of its own.
pub(super) const LIST_MAX: usize = 10_000;

pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A file's text and where its lines start.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(name: String, text: String) -> Source {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { name, text, starts }
    }

    /// Reads a whole file of at most [`FILE_BYTES_MAX`].
    pub(super) fn open(path: &Path) -> Result<Source, Box<Problem>> {
        let name = path.display().to_string();
        if let Some(text) = stored::text_of(path) {
            return Ok(Source::new(name, text));
        }
        let fault = |what: String, allowed| Box::new(Problem::of_file(&name, "", what, allowed));
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| fault(format!("cannot be read: {error}"), ""))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(fault("is too large".to_owned(), "files of at most 16 MiB"));
        }
        match String::from_utf8(bytes) {
            Ok(mut text) => {
                // Spreadsheets put a byte order mark before what they save as CSV.
                if text.starts_with('\u{feff}') {
                    text.drain(..'\u{feff}'.len_utf8());
                }
                Ok(Source::new(name, text))
            }
            Err(_) => Err(fault("is not UTF-8".to_owned(), "text in UTF-8")),
        }
    }

    /// The file as a table, and its first syntax error: then the table holds what could be made out.
    pub(super) fn parse(&self) -> (Spanned<DeTable<'_>>, Option<Problem>) {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        let first = errors.iter().min_by_key(|error| error.span().map_or(0, |span| span.start));
        let problem = first.map(|error| {
            let span = error.span().unwrap_or(0..0);
            self.problem(&span, "", format!("not TOML: {}", error.message().replace('\n', ", ")), "", None)
        });
        (table, problem)
    }

    /// The line this byte stands in, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// Where a line starts that this source has, counted from 1.
    pub(super) fn start(&self, line: usize) -> usize {
        self.starts[line - 1]
    }

    pub(super) fn problem(
        &self,
        span: &Range<usize>,
        key: &str,
        what: impl Into<String>,
        allowed: &str,
        hint: Option<String>,
    ) -> Problem {
        let offset = (0..=span.start.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at));
        let offset = offset.unwrap_or(0);
        let line = self.line(offset);
        let start = self.starts[line - 1];
        let whole = self.text[start..].lines().next().unwrap_or("");
        let column = self.text[start..offset].chars().count() + 1;
        let (excerpt, caret) = excerpt(whole, column);
        Problem {
            file: self.name.clone(),
            line,
            column,
            key: key.to_owned(),
            what: what.into(),
            allowed: allowed.to_owned(),
            hint,
            excerpt,
            caret,
        }
    }
}

/// A file being read and where its problems go.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) source: &'a Source,
    pub(super) sink: &'a Sink,
}

impl<'a> File<'a> {
    /// Reads a table that is all of the file.
    pub(super) fn root<T>(self, table: &'a DeTable<'a>, read: impl FnOnce(&Reader<'a>) -> T) -> T {
        self.table(String::new(), 0..0, table, read)
    }

    /// Reads a table, then reports every key nobody asked for.
    pub(super) fn table<'t, T>(
        self,
        path: String,
        at: Range<usize>,
        table: &'t DeTable<'t>,
        read: impl FnOnce(&Reader<'t>) -> T,
    ) -> T
    where
        'a: 't,
    {
        let reader = Reader { file: self, path, at, table, asked: RefCell::default() };
        let value = read(&reader);
        reader.report_unknown();
        value
    }
}

/// One table.
pub(super) struct Reader<'a> {
    file: File<'a>,
    path: String,
    at: Range<usize>,
    table: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Reader<'a> {
    /// The field of this name, there or not.
    pub(super) fn field(&self, key: &'static str) -> Field<'a> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        #[cfg(test)]
        super::tests::asked(&self.path, key);
        let value = self.table.get(key);
        let at = value.map_or(self.at.clone(), Spanned::span);
        Field { file: self.file, path: join(&self.path, key), value, at, required: false }
    }

    /// Says what is wrong with the table as a whole.
    pub(super) fn wrong(&self, what: impl Into<String>, allowed: &str) {
        self.file.sink.push(self.file.source.problem(&self.at, &self.path, what, allowed, None));
    }

    fn report_unknown(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if !asked.contains(&name) {
                let hint = nearest(name, asked.iter().copied());
                if let Some(meant) = &hint {
                    self.file.sink.retract_missing(&self.file.source.name, &join(&self.path, meant));
                }
                let path = join(&self.path, name);
                let problem =
                    self.file.source.problem(&key.span(), &path, "unknown key", &asked.join(", "), hint);
                self.file.sink.push(problem);
            }
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A value, or the place where it is missing.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) file: File<'a>,
    pub(super) path: String,
    value: Option<&'a Value<'a>>,
    at: Range<usize>,
    required: bool,
}

impl<'a> Field<'a> {
    /// A place that is no TOML value, such as a cell of a CSV row.
    pub(super) fn placed(file: File<'a>, path: String, at: Range<usize>) -> Field<'a> {
        Field { file, path, value: None, at, required: false }
    }

    /// Makes its absence an error.
    pub(super) fn required(mut self) -> Field<'a> {
        self.required = true;
        self
    }

    pub(super) fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// Says that it must be there.
    pub(super) fn missing(&self, allowed: &str) {
        self.wrong(MISSING, allowed);
    }

    /// Where it stands, as `file:line`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file.source.name, self.file.source.line(self.at.start))
    }

    /// Where it starts in its file, in bytes.
    pub(super) fn offset(&self) -> usize {
        self.at.start
    }

    /// Says what is wrong with it.
    pub(super) fn wrong(&self, what: impl Into<String>, allowed: &str) {
        self.wrong_meant(what, allowed, None);
    }

    pub(super) fn wrong_meant(&self, what: impl Into<String>, allowed: &str, hint: Option<String>) {
        self.file.sink.push(self.problem(what, allowed, hint));
    }

    pub(super) fn problem(&self, what: impl Into<String>, allowed: &str, hint: Option<String>) -> Problem {
        self.file.source.problem(&self.at, &self.path, what, allowed, hint)
    }

    /// The value; where it is missing and required, that is said.
    fn given(&self, allowed: &str) -> Option<&'a DeValue<'a>> {
        if self.required && self.value.is_none() {
            self.wrong(MISSING, allowed);
        }
        self.value.map(Spanned::get_ref)
    }

    fn wrong_type(&self, value: &DeValue<'_>, allowed: &str) {
        let article = if matches!(value, DeValue::Integer(_) | DeValue::Array(_)) { "an" } else { "a" };
        self.wrong(format!("is {article} {}", value.type_str()), allowed);
    }

    /// A string.
    pub(super) fn text(&self, allowed: &str) -> Option<&'a str> {
        let value = self.given(allowed)?;
        if value.as_str().is_none() {
            self.wrong_type(value, allowed);
        }
        value.as_str()
    }

    /// A number as it is written, with or without quotes.
    pub(super) fn number(&self, allowed: &str) -> Option<&'a str> {
        match self.given(allowed)? {
            DeValue::Integer(number) => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            DeValue::String(text) => Some(text),
            other => {
                self.wrong_type(other, allowed);
                None
            }
        }
    }

    /// A string that `read` understands.
    pub(super) fn parse<T>(&self, allowed: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(allowed)?;
        let value = read(text);
        if value.is_none() {
            self.wrong(format!("{} does not fit", shown(text)), allowed);
        }
        value
    }

    /// A line of text of 1 to `max` bytes.
    pub(super) fn label(&self, max: usize) -> Option<String> {
        self.parse(&format!("text of 1 to {max} bytes on one line"), |text| {
            let fits = (1..=max).contains(&text.trim().len()) && text.len() <= max;
            (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
        })
    }

    /// An amount of money, written as a string.
    pub(super) fn money(&self) -> Option<Money> {
        self.parse("an amount in quotes with at most six decimals, such as \"25.50\"", |text| {
            Money::parse(text).ok()
        })
    }

    /// An amount above nothing.
    pub(super) fn price(&self) -> Option<Money> {
        let amount = self.money()?;
        if !amount.is_positive() {
            self.wrong("is nothing", "an amount above 0");
        }
        Some(amount)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        let value = self.given("true or false")?;
        if value.as_bool().is_none() {
            self.wrong_type(value, "true or false");
        }
        value.as_bool()
    }

    /// A whole number within the range.
    pub(super) fn whole<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Option<T> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.given(&allowed)?;
        let Some(integer) = value.as_integer() else {
            self.wrong_type(value, &allowed);
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fitting = number.filter(|n| range.contains(n)).and_then(|n| T::try_from(n).ok());
        if fitting.is_none() {
            self.wrong(format!("{integer} is out of range"), &allowed);
        }
        fitting
    }

    /// A span of milliseconds.
    pub(super) fn millis(&self, range: RangeInclusive<u64>) -> Option<Duration> {
        self.whole(range).map(Duration::from_millis)
    }

    /// A span of whole seconds.
    pub(super) fn seconds(&self, range: RangeInclusive<u64>) -> Option<Duration> {
        self.whole(range).map(Duration::from_secs)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let text = self.text(&names.join(", "))?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.wrong_meant(format!("{} is unknown", shown(text)), &names.join(", "), nearest(text, names));
        }
        found
    }

    /// The elements of an array of at most [`LIST_MAX`]; none if it is missing.
    pub(super) fn list(&self, allowed: &str) -> Vec<Field<'a>> {
        let items = self.long_list(allowed);
        if items.len() > LIST_MAX {
            self.wrong(format!("has {} elements", items.len()), &format!("at most {LIST_MAX}"));
            return Vec::new();
        }
        items
    }

    /// The elements of an array that is bounded by whoever reads it.
    pub(super) fn long_list(&self, allowed: &str) -> Vec<Field<'a>> {
        match self.given(allowed) {
            Some(DeValue::Array(items)) => items.iter().enumerate().map(|(n, v)| self.item(n, v)).collect(),
            Some(other) => {
                self.wrong_type(other, allowed);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn item(&self, n: usize, value: &'a Value<'a>) -> Field<'a> {
        let path = format!("{}[{n}]", self.path);
        Field { file: self.file, path, value: Some(value), at: value.span(), required: true }
    }

    /// Reads it as a table of known keys.
    pub(super) fn table<T>(&self, allowed: &str, read: impl FnOnce(&Reader<'a>) -> T) -> Option<T> {
        match self.given(allowed)? {
            DeValue::Table(table) => Some(self.file.table(self.path.clone(), self.at.clone(), table, read)),
            other => {
                self.wrong_type(other, allowed);
                None
            }
        }
    }

    /// The entries of a table whose keys are free, each placed at its key.
    pub(super) fn entries(&self, allowed: &str) -> Vec<(&'a str, Field<'a>)> {
        let table = match self.given(allowed) {
            Some(DeValue::Table(table)) => table,
            Some(other) => {
                self.wrong_type(other, allowed);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let entry = |(key, value): (&'a Spanned<_>, &'a Value<'a>)| {
            let key: (&'a std::borrow::Cow<'a, str>, Range<usize>) = (key.get_ref(), key.span());
            let path = join(&self.path, key.0);
            let field = Field { file: self.file, path, value: Some(value), at: key.1, required: true };
            (key.0.as_ref(), field)
        };
        table.iter().map(entry).collect()
    }

    /// The field of this name, if it is a table that has it: a look ahead, nothing is reported and nothing counts as read.
    pub(super) fn peek(&self, key: &'static str) -> Option<Field<'a>> {
        let value = self.raw()?.as_table()?.get(key)?;
        let path = join(&self.path, key);
        Some(Field { file: self.file, path, value: Some(value), at: value.span(), required: false })
    }

    /// Whether it is a table with this key: a look ahead, nothing is reported.
    pub(super) fn has(&self, key: &str) -> bool {
        self.raw().and_then(DeValue::as_table).is_some_and(|table| table.contains_key(key))
    }

    /// The value as TOML has it.
    pub(super) fn raw(&self) -> Option<&'a DeValue<'a>> {
        self.value.map(Spanned::get_ref)
    }
}
