//! Changes made at run time in version 1, as they are laid and as the history has them.

use serde::{Deserialize, Serialize};

use super::DecodeError;
use super::words::{at, buyer, campaign, target};
use crate::domain::change::{Change, Entity, Key, Origin, Value};

#[derive(Serialize, Deserialize)]
pub(super) struct ChangeV1<'a> {
    #[serde(borrow)]
    entity: EntityV1<'a>,
    value: ValueV1,
    file: ValueV1,
    actor: &'a str,
    by: Option<&'a str>,
    at: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) enum EntityV1<'a> {
    Buyer(&'a str),
    Target(&'a str),
    Campaign(&'a str),
}

#[derive(Serialize, Deserialize)]
pub(super) enum ChangeKeyV1 {
    Paused,
    Concurrency,
    DailyBillable,
}

#[derive(Serialize, Deserialize)]
pub(super) enum ValueV1 {
    Paused(bool),
    Concurrency(Option<u32>),
    DailyBillable(Option<u32>),
}

impl<'a> ChangeV1<'a> {
    pub(super) fn of(change: &'a Change) -> ChangeV1<'a> {
        ChangeV1 {
            entity: EntityV1::of(&change.entity),
            value: ValueV1::of(change.value),
            file: ValueV1::of(change.file),
            actor: &change.origin.actor,
            by: change.origin.by.as_deref(),
            at: change.origin.at.micros(),
        }
    }

    pub(super) fn read(self) -> Result<Change, DecodeError> {
        let by = self.by.map(str::to_owned);
        Ok(Change {
            entity: self.entity.read()?,
            value: self.value.read()?,
            file: self.file.read()?,
            origin: Origin { actor: self.actor.to_owned(), by, at: at(self.at) },
        })
    }
}

impl<'a> EntityV1<'a> {
    pub(super) fn of(entity: &'a Entity) -> EntityV1<'a> {
        match entity {
            Entity::Buyer(id) => EntityV1::Buyer(id.as_str()),
            Entity::Target(id) => EntityV1::Target(id.as_str()),
            Entity::Campaign(id) => EntityV1::Campaign(id.as_str()),
        }
    }

    pub(super) fn read(self) -> Result<Entity, DecodeError> {
        match self {
            EntityV1::Buyer(id) => buyer(id).map(Entity::Buyer),
            EntityV1::Target(id) => target(id).map(Entity::Target),
            EntityV1::Campaign(id) => campaign(id).map(Entity::Campaign),
        }
    }
}

impl ChangeKeyV1 {
    pub(super) const fn of(key: Key) -> ChangeKeyV1 {
        match key {
            Key::Paused => ChangeKeyV1::Paused,
            Key::Concurrency => ChangeKeyV1::Concurrency,
            Key::DailyBillable => ChangeKeyV1::DailyBillable,
        }
    }

    pub(super) const fn read(self) -> Key {
        match self {
            ChangeKeyV1::Paused => Key::Paused,
            ChangeKeyV1::Concurrency => Key::Concurrency,
            ChangeKeyV1::DailyBillable => Key::DailyBillable,
        }
    }
}

impl ValueV1 {
    pub(super) const fn of(value: Value) -> ValueV1 {
        match value {
            Value::Paused(paused) => ValueV1::Paused(paused),
            Value::Concurrency(most) => ValueV1::Concurrency(most),
            Value::DailyBillable(most) => ValueV1::DailyBillable(most),
        }
    }

    pub(super) fn read(self) -> Result<Value, DecodeError> {
        let limit = |key: Key, most: u32| {
            key.limit(most.into()).ok_or(DecodeError::Invalid { what: "the limit of a change" })
        };
        match self {
            ValueV1::Paused(paused) => Ok(Value::Paused(paused)),
            ValueV1::Concurrency(None) => Ok(Value::Concurrency(None)),
            ValueV1::DailyBillable(None) => Ok(Value::DailyBillable(None)),
            ValueV1::Concurrency(Some(most)) => limit(Key::Concurrency, most),
            ValueV1::DailyBillable(Some(most)) => limit(Key::DailyBillable, most),
        }
    }
}
