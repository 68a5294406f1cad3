//! Changes made at run time: single values that operators laid over what the files say, and what comes of both.
//!
//! A change knows what the file said when it was made. A file that says something else later was edited since, and the
//! edit wins: the change is dropped. A change whose entity is gone lies idle, so that a buyer who is paused stays paused
//! when a file comes back. Who may change what, and where changes are kept, is for others.

mod step;

use std::fmt;
use std::sync::Arc;

use super::catalog::{CONCURRENCY_MAX, Catalog, DAILY_BILLABLE_MAX, Limits};
use super::id::{BuyerId, CampaignId, TargetId};
use super::time::Timestamp;
use super::time_range::TimeRange;

pub use step::{Asked, Happened, NoStep, Noted, Step, step, without};

/// Most changes laid over a catalog at once.
pub const CHANGES_MAX: usize = 10_000;

/// What can be changed at run time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    /// A buyer, over all its targets.
    Buyer(BuyerId),
    /// One target.
    Target(TargetId),
    /// A campaign.
    Campaign(CampaignId),
}

impl Entity {
    /// Reads what `kind` and `id` give.
    pub fn parse(kind: &str, id: &str) -> Option<Entity> {
        match kind {
            "buyer" => BuyerId::parse(id).ok().map(Entity::Buyer),
            "target" => TargetId::parse(id).ok().map(Entity::Target),
            "campaign" => CampaignId::parse(id).ok().map(Entity::Campaign),
            _ => None,
        }
    }

    /// `buyer target campaign`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Entity::Buyer(_) => "buyer",
            Entity::Target(_) => "target",
            Entity::Campaign(_) => "campaign",
        }
    }

    /// Its slug.
    pub fn id(&self) -> &str {
        match self {
            Entity::Buyer(id) => id.as_str(),
            Entity::Target(id) => id.as_str(),
            Entity::Campaign(id) => id.as_str(),
        }
    }

    /// What can be changed of it.
    pub const fn keys(&self) -> &'static [Key] {
        match self {
            Entity::Buyer(_) | Entity::Target(_) => &[Key::Paused, Key::Concurrency, Key::DailyBillable],
            Entity::Campaign(_) => &[Key::Paused],
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.id())
    }
}

/// Which value of an entity, by the name it has in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Not asked, nothing handed out.
    Paused,
    /// Calls at once.
    Concurrency,
    /// Billable calls a day.
    DailyBillable,
}

impl Key {
    /// Every key.
    pub const ALL: [Key; 3] = [Key::Paused, Key::Concurrency, Key::DailyBillable];

    /// Its name in the files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Key::Paused => "paused",
            Key::Concurrency => "concurrency",
            Key::DailyBillable => "daily_billable",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.as_str() == text)
    }

    /// What its values may be, in words.
    pub fn allowed(self) -> String {
        match self {
            Key::Paused => "true or false".to_owned(),
            Key::Concurrency => {
                format!("a whole number from 1 to {CONCURRENCY_MAX}, or \"none\" for no limit")
            }
            Key::DailyBillable => {
                format!("a whole number from 1 to {DAILY_BILLABLE_MAX}, or \"none\" for no limit")
            }
        }
    }

    /// A limit of this many, where the key is a limit and takes it.
    pub fn limit(self, most: u64) -> Option<Value> {
        let within = |max: u32| u32::try_from(most).ok().filter(|most| (1..=max).contains(most));
        match self {
            Key::Paused => None,
            Key::Concurrency => within(CONCURRENCY_MAX).map(|most| Value::Concurrency(Some(most))),
            Key::DailyBillable => within(DAILY_BILLABLE_MAX).map(|most| Value::DailyBillable(Some(most))),
        }
    }
}

/// A value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Whether it is paused.
    Paused(bool),
    /// Calls at once; `None` is no limit.
    Concurrency(Option<u32>),
    /// Billable calls a day; `None` is no limit.
    DailyBillable(Option<u32>),
}

impl Value {
    /// Its key.
    pub const fn key(self) -> Key {
        match self {
            Value::Paused(_) => Key::Paused,
            Value::Concurrency(_) => Key::Concurrency,
            Value::DailyBillable(_) => Key::DailyBillable,
        }
    }

    /// Reads what `Display` writes.
    pub fn parse(key: Key, text: &str) -> Option<Value> {
        match (key, text) {
            (Key::Paused, "true") => Some(Value::Paused(true)),
            (Key::Paused, "false") => Some(Value::Paused(false)),
            (Key::Concurrency, "none") => Some(Value::Concurrency(None)),
            (Key::DailyBillable, "none") => Some(Value::DailyBillable(None)),
            (Key::Paused | Key::Concurrency | Key::DailyBillable, text) => {
                let plain = text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|_| plain).and_then(|most| key.limit(most))
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Paused(paused) => write!(f, "{paused}"),
            Value::Concurrency(None) | Value::DailyBillable(None) => f.write_str("none"),
            Value::Concurrency(Some(most)) | Value::DailyBillable(Some(most)) => write!(f, "{most}"),
        }
    }
}

/// Who made a change, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of the admin key, `local` without keys, `files` where the edit of a file decided.
    pub actor: String,
    /// Who it was by their own account.
    pub by: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// One value laid over the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of whom.
    pub entity: Entity,
    /// What counts instead of the file's value.
    pub value: Value,
    /// What the file said when the change was made.
    pub file: Value,
    /// By whom and when.
    pub origin: Origin,
}

impl Change {
    /// Whether it is about this value.
    pub fn is_of(&self, entity: &Entity, key: Key) -> bool {
        self.entity == *entity && self.value.key() == key
    }
}

/// A change that a later edit of its file has overtaken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The change as it was made.
    pub change: Change,
    /// What the file says now.
    pub file: Value,
}

/// The value of an entity in a catalog; `None` where there is no such entity or it has no such key.
pub fn value_of(catalog: &Catalog, entity: &Entity, key: Key) -> Option<Value> {
    let (paused, limits): (bool, Option<&Limits>) = match entity {
        Entity::Buyer(id) => {
            let at = catalog.buyers.binary_search_by(|buyer| buyer.id.cmp(id)).ok()?;
            (catalog.buyers[at].paused, Some(&catalog.buyers[at].limits))
        }
        Entity::Target(id) => {
            let at = catalog.targets.binary_search_by(|target| target.id.cmp(id)).ok()?;
            (catalog.targets[at].paused, Some(&catalog.targets[at].limits))
        }
        Entity::Campaign(id) => {
            let at = catalog.campaigns.binary_search_by(|campaign| campaign.id.cmp(id)).ok()?;
            (catalog.campaigns[at].paused, None)
        }
    };
    match key {
        Key::Paused => Some(Value::Paused(paused)),
        Key::Concurrency => limits.map(|limits| Value::Concurrency(limits.concurrency)),
        Key::DailyBillable => limits.map(|limits| Value::DailyBillable(limits.daily_billable)),
    }
}

/// Whether the files say something else of this limit at some hours, so that the same value at all hours is a change.
fn differs_by_hours(catalog: &Catalog, entity: &Entity, key: Key) -> bool {
    let ranges = match entity {
        Entity::Buyer(id) => catalog.buyers.iter().find(|buyer| buyer.id == *id).map(|buyer| &buyer.ranges),
        Entity::Target(id) => {
            catalog.targets.iter().find(|target| target.id == *id).map(|target| &target.ranges)
        }
        Entity::Campaign(_) => None,
    };
    ranges.into_iter().flatten().any(|range| match key {
        Key::Paused => false,
        Key::Concurrency => range.limits.concurrency.is_some(),
        Key::DailyBillable => range.limits.daily_billable.is_some(),
    })
}

/// Lays one value. A limit counts at all hours then: those of ranges are the files', and step back for it.
fn put(catalog: &mut Catalog, entity: &Entity, value: Value) {
    type Laid<'c> = (&'c mut bool, Option<(&'c mut Limits, &'c mut Vec<TimeRange>)>);
    let found: Option<Laid<'_>> = match entity {
        Entity::Buyer(id) => {
            let at = catalog.buyers.binary_search_by(|buyer| buyer.id.cmp(id)).ok();
            at.map(|at| &mut catalog.buyers[at])
                .map(|buyer| (&mut buyer.paused, Some((&mut buyer.limits, &mut buyer.ranges))))
        }
        Entity::Target(id) => {
            let at = catalog.targets.binary_search_by(|target| target.id.cmp(id)).ok();
            at.map(|at| &mut catalog.targets[at])
                .map(|target| (&mut target.paused, Some((&mut target.limits, &mut target.ranges))))
        }
        Entity::Campaign(id) => {
            let at = catalog.campaigns.binary_search_by(|campaign| campaign.id.cmp(id)).ok();
            at.map(|at| (&mut catalog.campaigns[at].paused, None))
        }
    };
    let Some((paused, limits)) = found else { return };
    match (value, limits) {
        (Value::Paused(value), _) => *paused = value,
        (Value::Concurrency(most), Some((limits, ranges))) => {
            limits.concurrency = most;
            ranges.iter_mut().for_each(|range| range.limits.concurrency = None);
        }
        (Value::DailyBillable(most), Some((limits, ranges))) => {
            limits.daily_billable = most;
            ranges.iter_mut().for_each(|range| range.limits.daily_billable = None);
        }
        (Value::Concurrency(_) | Value::DailyBillable(_), None) => {}
    }
}

/// The catalog with the changes laid over it, in their order, and those that an edit of a file has overtaken. The digest
/// is left as it was. Where nothing is laid it is the same catalog, not a second one.
pub fn lay(mut catalog: Arc<Catalog>, changes: &[Change]) -> (Arc<Catalog>, Vec<Dropped>) {
    let mut dropped = Vec::new();
    let mut laid = Vec::new();
    // Judged by the files before any of them is laid, so that no change is taken for an edit.
    for change in changes {
        match value_of(&catalog, &change.entity, change.value.key()) {
            Some(file) if file != change.file => dropped.push(Dropped { change: change.clone(), file }),
            Some(_) => laid.push(change),
            None => {}
        }
    }
    for change in laid {
        put(Arc::make_mut(&mut catalog), &change.entity, change.value);
    }
    (catalog, dropped)
}

/// The changes in force over these files as readable lines, empty without any: what stands under the files' text, so
/// that the digest of what calls were decided by tells changes too. Who and when is history, not terms: the same terms
/// again have the same text.
pub fn text(files: &Catalog, changes: &[Change]) -> String {
    let in_force = |change: &&Change| value_of(files, &change.entity, change.value.key()).is_some();
    let mut lines: Vec<String> = changes
        .iter()
        .filter(in_force)
        .map(|change| {
            let key = change.value.key().as_str();
            format!("# {}: {key} = {} (file: {})\n", change.entity, change.value, change.file)
        })
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    lines.sort();
    format!("# changes made at run time\n{}", lines.concat())
}

/// Reads what [`text`] writes; `None` if it is anything else. Who made them and when is not in it.
pub fn read_text(section: &str) -> Option<Vec<Change>> {
    let mut lines = section.lines();
    if lines.next()? != "# changes made at run time" {
        return None;
    }
    let change = |line: &str| {
        let (entity, rest) = line.strip_prefix("# ")?.split_once(": ")?;
        let (kind, id) = entity.split_once(' ')?;
        let (key, values) = rest.split_once(" = ")?;
        let (value, file) = values.strip_suffix(')')?.split_once(" (file: ")?;
        let key = Key::parse(key)?;
        Some(Change {
            entity: Entity::parse(kind, id)?,
            value: Value::parse(key, value)?,
            file: Value::parse(key, file)?,
            origin: Origin { actor: String::new(), by: None, at: Timestamp::default() },
        })
    };
    lines.map(change).collect()
}

#[cfg(test)]
mod tests;
