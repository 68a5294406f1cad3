//! Rows as a table for a person, as CSV for a spreadsheet, as JSON for a program.
//!
//! What is printed was written by carriers and buyers too, so a table shows no control characters and a CSV no
//! formulas. Where it is printed is the caller's business.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// An array of objects.
    Json,
    /// RFC 4180, the names of the fields first.
    Csv,
}

/// Whether headings and winners stand out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Characters only: for everything that is not a terminal.
    #[default]
    Plain,
    /// Bold headings, green winners.
    Colour,
}

impl Style {
    /// Colour on a terminal, none elsewhere.
    pub fn on(is_terminal: bool) -> Style {
        if is_terminal { Style::Colour } else { Style::Plain }
    }

    pub(super) fn heading(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn winner(self, text: &str) -> String {
        self.wrap("32", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// A row that can be printed.
pub trait Printed: Serialize {
    /// Its columns, in order.
    const COLUMNS: &'static [Column];

    /// Its cells, one per column.
    fn cells(&self) -> Vec<Cell>;
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    heading: &'static str,
    is_number: bool,
    is_in_tables: bool,
}

impl Column {
    /// A column of text, named as the field.
    pub const fn text(name: &'static str) -> Column {
        Column { name, heading: name, is_number: false, is_in_tables: true }
    }

    /// A column of numbers or amounts: right-aligned in tables, never quoted in CSV.
    pub const fn number(name: &'static str) -> Column {
        Column { is_number: true, ..Column::text(name) }
    }

    /// With another heading in tables.
    pub const fn headed(self, heading: &'static str) -> Column {
        Column { heading, ..self }
    }

    /// Left out of tables, which must fit a screen.
    pub const fn not_in_tables(self) -> Column {
        Column { is_in_tables: false, ..self }
    }
}

/// A cell; `None` is an absent value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell(Option<String>);

impl Cell {
    /// A value that is there.
    pub fn of(value: impl Display) -> Cell {
        Cell(Some(value.to_string()))
    }

    /// A number to one decimal, if there is one.
    pub fn tenths(value: Option<f64>) -> Cell {
        Cell(value.map(|value| format!("{value:.1}")))
    }
}

impl<T: Display> From<&Option<T>> for Cell {
    fn from(value: &Option<T>) -> Cell {
        Cell(value.as_ref().map(ToString::to_string))
    }
}

/// Prints rows; a total is the last line of a table and in no other format.
pub fn print<R: Printed>(
    out: &mut dyn Write,
    format: Format,
    style: Style,
    rows: &[R],
    total: Option<&R>,
) -> io::Result<()> {
    match format {
        Format::Table => print_table(out, style, rows, total),
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, rows)?;
            writeln!(out)
        }
        Format::Csv => print_csv(out, rows),
    }
}

fn print_table<R: Printed>(
    out: &mut dyn Write,
    style: Style,
    rows: &[R],
    total: Option<&R>,
) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "nothing to show");
    }
    let columns: Vec<Column> = R::COLUMNS.iter().copied().filter(|column| column.is_in_tables).collect();
    let lines = rows.iter().chain(total).map(|row| {
        let cells = R::COLUMNS.iter().zip(row.cells());
        cells.filter(|(column, _)| column.is_in_tables).map(|(_, cell)| cell).collect()
    });
    let lines = aligned(&columns, lines.collect());
    let (heading, lines) = lines.split_first().expect("the heading is always there");
    writeln!(out, "{}", style.heading(heading))?;
    for line in &lines[..rows.len()] {
        writeln!(out, "{line}")?;
    }
    for line in &lines[rows.len()..] {
        writeln!(out, "{}", style.heading(line))?;
    }
    Ok(())
}

/// The heading and one line per row, without line ends; numbers to the right.
pub(super) fn aligned(columns: &[Column], rows: Vec<Vec<Cell>>) -> Vec<String> {
    let mut grid = vec![columns.iter().map(|column| column.heading.to_owned()).collect::<Vec<_>>()];
    for row in rows {
        grid.push(
            row.into_iter().map(|cell| cell.0.map_or_else(|| "-".to_owned(), |text| clean(&text))).collect(),
        );
    }
    let width = |at: usize| grid.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut lines = Vec::with_capacity(grid.len());
    for line in &grid {
        let mut text = String::new();
        for ((cell, width), column) in line.iter().zip(&widths).zip(columns) {
            let gap = if text.is_empty() { "" } else { "  " };
            text.push_str(gap);
            let padding = " ".repeat(width - cell.chars().count());
            if column.is_number {
                text.push_str(&padding);
                text.push_str(cell);
            } else {
                text.push_str(cell);
                text.push_str(&padding);
            }
        }
        lines.push(text.trim_end().to_owned());
    }
    lines
}

/// Text that cannot steer a terminal: control and direction characters are replaced.
pub(super) fn clean(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

fn print_csv<R: Printed>(out: &mut dyn Write, rows: &[R]) -> io::Result<()> {
    let names: Vec<&str> = R::COLUMNS.iter().map(|column| column.name).collect();
    writeln!(out, "{}", names.join(","))?;
    for row in rows {
        let cells: Vec<String> =
            R::COLUMNS.iter().zip(row.cells()).map(|(column, cell)| csv_cell(column, cell)).collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

/// Spreadsheets run text that begins like a formula, so such text gets an apostrophe in front; a negative amount is a
/// number and stays one.
fn csv_cell(column: &Column, cell: Cell) -> String {
    let Some(mut text) = cell.0 else { return String::new() };
    if !column.is_number && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        text.insert(0, '\'');
    }
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
