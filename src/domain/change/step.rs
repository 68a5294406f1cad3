//! From what an operator asks for to the changes that are laid afterwards, with the entries of their history.

use super::{CHANGES_MAX, Change, Dropped, Entity, Key, Origin, Value, differs_by_hours, value_of};
use crate::domain::{Catalog, Timestamp};

/// What somebody asks to be changed of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of whom.
    pub entity: Entity,
    /// New values by key, each key once; `None` lets the file's value count again.
    pub values: Vec<(Key, Option<Value>)>,
    /// Name of the admin key.
    pub actor: String,
    /// Who it was by their own account.
    pub by: Option<String>,
}

/// What happened to a value laid over the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A value was laid over the file's.
    Set(Value),
    /// It was taken back: the file's value counts again.
    TakenBack,
    /// The file was edited since: its value counts.
    FileWon,
}

impl Happened {
    /// The word in the history: `set taken_back file_won`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Happened::Set(_) => "set",
            Happened::TakenBack => "taken_back",
            Happened::FileWon => "file_won",
        }
    }

    /// The value, where one was laid.
    pub const fn value(self) -> Option<Value> {
        match self {
            Happened::Set(value) => Some(value),
            Happened::TakenBack | Happened::FileWon => None,
        }
    }
}

/// One entry of the history of changes: the last one of an entity and key says whether a change is laid over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Of whom.
    pub entity: Entity,
    /// Which value.
    pub key: Key,
    /// What happened to it.
    pub happened: Happened,
    /// What the file said at that time.
    pub file: Value,
    /// By whom and when.
    pub origin: Origin,
}

/// What comes of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// All changes that are laid afterwards.
    pub changes: Vec<Change>,
    /// What is new in the history; nothing when everything was so already.
    pub noted: Vec<Noted>,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoStep {
    /// The files know no such entity.
    Unknown,
    /// There are [`CHANGES_MAX`] changes already.
    Full,
}

/// Works out what was asked, all of it or nothing. A value that the file says anyway takes a change back; one that is
/// laid already stays its first author's.
pub fn step(files: &Catalog, changes: &[Change], asked: &Asked, at: Timestamp) -> Result<Step, NoStep> {
    let mut step = Step { changes: changes.to_vec(), noted: Vec::new() };
    for (key, wanted) in &asked.values {
        let file = value_of(files, &asked.entity, *key).ok_or(NoStep::Unknown)?;
        let is_new = |value: &Value| *value != file || differs_by_hours(files, &asked.entity, *key);
        let wanted = wanted.filter(is_new);
        let before = step.changes.iter().find(|change| change.is_of(&asked.entity, *key));
        if before.map(|change| change.value) == wanted {
            continue;
        }
        let origin = Origin { actor: asked.actor.clone(), by: asked.by.clone(), at };
        step.changes.retain(|change| !change.is_of(&asked.entity, *key));
        if let Some(value) = wanted {
            let (entity, origin) = (asked.entity.clone(), origin.clone());
            step.changes.push(Change { entity, value, file, origin });
        }
        let happened = wanted.map_or(Happened::TakenBack, Happened::Set);
        step.noted.push(Noted { entity: asked.entity.clone(), key: *key, happened, file, origin });
    }
    if step.changes.len() > CHANGES_MAX.max(changes.len()) { Err(NoStep::Full) } else { Ok(step) }
}

/// The changes that stay when a file's edit has overtaken some, and what the history says of those.
pub fn without(changes: &[Change], dropped: &[Dropped], at: Timestamp) -> Step {
    let stays = |change: &&Change| dropped.iter().all(|dropped| dropped.change != **change);
    let noted = |dropped: &Dropped| Noted {
        entity: dropped.change.entity.clone(),
        key: dropped.file.key(),
        happened: Happened::FileWon,
        file: dropped.file,
        origin: Origin { actor: "files".to_owned(), by: None, at },
    };
    Step {
        changes: changes.iter().filter(stays).cloned().collect(),
        noted: dropped.iter().map(noted).collect(),
    }
}
