//! Caller lists as the admin API answers and the command line prints them: how much is on them, never who.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::print::{Cell, Column, Printed};

/// One caller list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListRow {
    /// Its id.
    #[schema(example = "dnc")]
    pub list: String,
    /// What the file says it is.
    pub note: String,
    /// Numbers on it.
    pub numbers: usize,
    /// Prefixes on it.
    pub prefixes: usize,
    /// It is not in the files now: nobody looks at it.
    pub is_idle: bool,
}

/// Every caller list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallerLists {
    /// Those of the files, then those that only have somebody on them, each by id.
    pub lists: Vec<ListRow>,
    /// Numbers on all of them.
    pub numbers: usize,
    /// Most numbers on all of them.
    pub numbers_max: usize,
}

/// What a change of a caller list did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListChanged {
    /// The list.
    #[schema(example = "dnc")]
    pub list: String,
    /// Numbers and prefixes that were not on it before.
    pub added: usize,
    /// Numbers and prefixes that are not on it any more.
    pub removed: usize,
    /// Numbers on it now.
    pub numbers: usize,
    /// Prefixes on it now.
    pub prefixes: usize,
}

/// Whether a caller is on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OnList {
    /// The list.
    #[schema(example = "dnc")]
    pub list: String,
    /// Whether it is.
    pub on: bool,
    /// By what: `number`, or the prefix.
    pub by: Option<String>,
}

impl Printed for ListRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("list"),
        Column::number("numbers"),
        Column::number("prefixes"),
        Column::text("note"),
        Column::text("is_idle").not_in_tables(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::of(&self.list),
            Cell::of(self.numbers),
            Cell::of(self.prefixes),
            Cell::of(&self.note),
            Cell::of(self.is_idle),
        ]
    }
}

impl Printed for ListChanged {
    const COLUMNS: &'static [Column] = &[
        Column::text("list"),
        Column::number("added"),
        Column::number("removed"),
        Column::number("numbers"),
        Column::number("prefixes"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::of(&self.list),
            Cell::of(self.added),
            Cell::of(self.removed),
            Cell::of(self.numbers),
            Cell::of(self.prefixes),
        ]
    }
}

impl Printed for OnList {
    const COLUMNS: &'static [Column] = &[Column::text("list"), Column::text("on"), Column::text("by")];

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::of(&self.list), Cell::of(if self.on { "yes" } else { "no" }), Cell::from(&self.by)]
    }
}
