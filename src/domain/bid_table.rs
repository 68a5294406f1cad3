//! Bid tables: what a target that asks nobody bids for a call, by rows of conditions, the first that holds.
//!
//! Data only, every row checked. How the row of a call is found is in `routing::bid_table`, how a table is read in `config`.

use std::fmt;
use std::sync::Arc;

use super::filter::Filter;
use super::money::Money;

/// Most rows of one table, inline and of its file together.
pub const BID_ROWS_MAX: usize = 10_000;

/// The bids of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct BidTable {
    /// The bid where no row holds; `None` is no bid.
    pub base: Option<Money>,
    /// In the order in which they are tried: those of the catalog, then those of its CSV file. Shared, since a catalog is
    /// cloned whenever something is changed at run time.
    pub rows: Arc<[BidRow]>,
    /// The name of the CSV file, as people know it.
    pub csv: Option<Arc<str>>,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct BidRow {
    /// All must hold; none is every call.
    pub when: Vec<Filter>,
    /// The bid; `None` is no bid.
    pub bid: Option<Money>,
    /// Where it stands.
    pub place: Place,
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the rows of the catalog, from 1.
    Inline(u32),
    /// The line of the CSV file; its header is line 1.
    Csv(u32),
}

impl BidTable {
    /// The most it ever bids; `None` where it never does.
    pub fn highest(&self) -> Option<Money> {
        self.rows.iter().filter_map(|row| row.bid).chain(self.base).max()
    }

    /// How many rows it has, in words.
    pub fn size(&self) -> String {
        let rows = if self.rows.len() == 1 { "row" } else { "rows" };
        format!("{} {rows}", self.rows.len())
    }

    /// A row as records name it: `row 17 of acme-bids.csv`, `row 3 of the table`.
    pub fn name_of(&self, row: usize) -> String {
        match (self.rows.get(row).map(|row| row.place), &self.csv) {
            (Some(Place::Csv(line)), Some(csv)) => format!("row {line} of {csv}"),
            (Some(Place::Csv(n) | Place::Inline(n)), _) => format!("row {n} of the table"),
            (None, _) => "no row of the table".to_owned(),
        }
    }
}

/// What it asks and bids: `state in TX, tag age > 64: 25.50`.
impl fmt::Display for BidRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for filter in &self.when {
            write!(f, "{separator}{filter}")?;
            separator = ", ";
        }
        if self.when.is_empty() {
            f.write_str("every call")?;
        }
        match self.bid {
            Some(bid) => write!(f, ": {bid}"),
            None => f.write_str(": no bid"),
        }
    }
}
