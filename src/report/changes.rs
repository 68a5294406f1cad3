//! What is laid over the files, what is in force of one entity, and the history of both: the documents the admin API
//! answers and the command line prints.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::print::{Cell, Column, Printed};
use crate::domain::Catalog;
use crate::domain::change::{Change, Entity, Value, value_of};
use crate::records::sqlite::{Reader, StoreError};
use crate::records::stored::StoredChange;

/// A value as it is written: `true` or `false`, a whole number, or `"none"` for no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Shown {
    /// Paused or not.
    Flag(bool),
    /// A limit.
    Number(u32),
    /// `none`, and values of other versions.
    Word(String),
}

impl From<Value> for Shown {
    fn from(value: Value) -> Shown {
        match value {
            Value::Paused(paused) => Shown::Flag(paused),
            Value::Concurrency(Some(most)) | Value::DailyBillable(Some(most)) => Shown::Number(most),
            Value::Concurrency(None) | Value::DailyBillable(None) => Shown::Word("none".to_owned()),
        }
    }
}

impl Shown {
    fn stored(text: &str) -> Shown {
        match (text, text.parse()) {
            ("true", _) => Shown::Flag(true),
            ("false", _) => Shown::Flag(false),
            (_, Ok(number)) => Shown::Number(number),
            (_, Err(_)) => Shown::Word(text.to_owned()),
        }
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Shown::Flag(flag) => write!(f, "{flag}"),
            Shown::Number(number) => write!(f, "{number}"),
            Shown::Word(word) => f.write_str(word),
        }
    }
}

/// One value of one entity: what is in force, what the file says, and whose change it is where the two differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValueRow {
    /// `buyer target campaign`.
    #[schema(example = "buyer")]
    pub entity: String,
    /// Its id.
    #[schema(example = "acme")]
    pub id: String,
    /// `paused concurrency daily_billable`.
    #[schema(example = "paused")]
    pub key: String,
    /// What is in force.
    pub value: Shown,
    /// What the file says.
    pub file: Shown,
    /// Whose change it is: the name of an admin key, or `local`; none where the file's value is in force.
    pub actor: Option<String>,
    /// Who it was by their own account.
    pub by: Option<String>,
    /// When it was changed.
    pub at: Option<String>,
    /// The change waits for its entity, which is not in the files now.
    pub is_idle: bool,
}

/// What can be changed at run time of one entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntityValues {
    /// `buyer target campaign`.
    pub entity: String,
    /// Its id.
    pub id: String,
    /// Whose target it is.
    pub buyer: Option<String>,
    /// Its values, one of each key.
    pub values: Vec<ValueRow>,
}

/// Everything that is laid over the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    /// Digest of the catalog in force.
    pub catalog: String,
    /// Digest of the files it was made of, as `outcry check` prints it.
    pub files: String,
    /// The changes, in the order they were made.
    pub changes: Vec<ValueRow>,
}

/// One entry of the history of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotedRow {
    /// When.
    pub at: String,
    /// `buyer target campaign`.
    pub entity: String,
    /// Its id.
    pub id: String,
    /// `paused concurrency daily_billable`.
    pub key: String,
    /// `set`, `taken_back`, or `file_won` where the file was edited later.
    pub happened: String,
    /// The value that was set.
    pub value: Option<Shown>,
    /// What the file said.
    pub file: Shown,
    /// The name of an admin key, `local`, or `files`.
    pub actor: String,
    /// Who it was by their own account.
    pub by: Option<String>,
}

/// A page of the history, in the order of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotedPage {
    /// The entries.
    pub changes: Vec<NotedRow>,
    /// The cursor to go on with, now or later.
    pub next: i64,
}

fn changed(change: &Change, is_idle: bool) -> ValueRow {
    ValueRow {
        entity: change.entity.kind().to_owned(),
        id: change.entity.id().to_owned(),
        key: change.value.key().as_str().to_owned(),
        value: change.value.into(),
        file: change.file.into(),
        actor: Some(change.origin.actor.clone()),
        by: change.origin.by.clone(),
        at: Some(change.origin.at.to_string()),
        is_idle,
    }
}

/// What is laid over the files to make this catalog.
pub fn changes(catalog: &Catalog, files: &str, changes: &[Change]) -> Changes {
    let is_idle = |change: &Change| value_of(catalog, &change.entity, change.value.key()).is_none();
    Changes {
        catalog: catalog.digest.to_string(),
        files: files.to_owned(),
        changes: changes.iter().map(|change| changed(change, is_idle(change))).collect(),
    }
}

/// The values of an entity of this catalog, in which the changes are laid already; `None` if it has no such entity.
pub fn values(catalog: &Catalog, changes: &[Change], entity: &Entity) -> Option<EntityValues> {
    let row = |key| {
        let value = value_of(catalog, entity, key)?;
        let change = changes.iter().find(|change| change.is_of(entity, key));
        Some(change.map_or_else(|| unchanged(entity, value), |change| changed(change, false)))
    };
    let buyer = match entity {
        Entity::Target(id) => {
            let at = catalog.targets.binary_search_by(|target| target.id.cmp(id)).ok()?;
            Some(catalog.buyer(catalog.targets[at].buyer).id.to_string())
        }
        Entity::Buyer(_) | Entity::Campaign(_) => None,
    };
    Some(EntityValues {
        entity: entity.kind().to_owned(),
        id: entity.id().to_owned(),
        buyer,
        values: entity.keys().iter().map(|key| row(*key)).collect::<Option<_>>()?,
    })
}

fn unchanged(entity: &Entity, value: Value) -> ValueRow {
    ValueRow {
        entity: entity.kind().to_owned(),
        id: entity.id().to_owned(),
        key: value.key().as_str().to_owned(),
        value: value.into(),
        file: value.into(),
        actor: None,
        by: None,
        at: None,
        is_idle: false,
    }
}

/// The history of changes after a place in the order of the store, oldest first.
pub fn history(reader: &Reader, cursor: i64, limit: usize) -> Result<NotedPage, StoreError> {
    let found = reader.changes_after(cursor, limit)?;
    let next = found.last().map_or(cursor, |last| last.seq);
    Ok(NotedPage { changes: found.into_iter().map(noted).collect(), next })
}

fn noted(stored: StoredChange) -> NotedRow {
    NotedRow {
        at: stored.at.to_string(),
        entity: stored.entity,
        id: stored.id,
        key: stored.key,
        happened: stored.happened,
        value: stored.value.as_deref().map(Shown::stored),
        file: Shown::stored(&stored.file),
        actor: stored.actor,
        by: stored.by,
    }
}

impl Printed for ValueRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("entity"),
        Column::text("id"),
        Column::text("key"),
        Column::text("value"),
        Column::text("file"),
        Column::text("actor"),
        Column::text("by"),
        Column::text("at"),
        Column::text("is_idle").not_in_tables(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::of(&self.entity),
            Cell::of(&self.id),
            Cell::of(&self.key),
            Cell::of(&self.value),
            Cell::of(&self.file),
            Cell::from(&self.actor),
            Cell::from(&self.by),
            Cell::from(&self.at),
            Cell::of(self.is_idle),
        ]
    }
}
