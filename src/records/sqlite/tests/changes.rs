//! Changes made at run time: what comes back of them, and a store of the version before, which had none.

use super::super::Reader;
use crate::domain::Timestamp;
use crate::domain::change::{Change, Entity, Happened, Key, Noted, Origin, Value};
use crate::records::fixture::{Folder, write};
use crate::records::row::Row;

fn noted(second: i64, entity: &str, key: Key, happened: Happened, file: Value) -> Noted {
    let (kind, id) = entity.split_once(' ').expect("kind and id");
    Noted {
        entity: Entity::parse(kind, id).expect("an entity"),
        key,
        happened,
        file,
        origin: Origin {
            actor: "ops".to_owned(),
            by: Some("ann".to_owned()),
            at: Timestamp::from_micros(second * 1_000_000),
        },
    }
}

fn row(noted: &Noted) -> Row {
    Row::Change(Box::new(noted.clone()))
}

#[test]
fn of_every_value_the_last_entry_counts() {
    let folder = Folder::new("changes");
    let mut store = folder.open();
    let (no, yes) = (Value::Paused(false), Value::Paused(true));
    let five = Value::Concurrency(Some(5));
    let entries = [
        noted(1, "buyer acme", Key::Paused, Happened::Set(yes), no),
        noted(2, "target acme", Key::Paused, Happened::Set(yes), no),
        noted(3, "buyer acme", Key::Concurrency, Happened::Set(Value::Concurrency(None)), five),
        noted(4, "buyer bolt", Key::Paused, Happened::Set(yes), no),
        noted(5, "buyer acme", Key::Paused, Happened::TakenBack, no),
        noted(6, "buyer bolt", Key::Paused, Happened::FileWon, yes),
        noted(7, "buyer acme", Key::Concurrency, Happened::Set(Value::Concurrency(Some(9))), five),
    ];
    for entry in &entries {
        // In a batch of its own each, and once more: an entry has a key of its own.
        write(&mut store, &[row(entry)]);
        write(&mut store, &[row(entry)]);
    }
    let reader = Reader::open(&folder.file()).expect("a reader");
    let laid: Vec<Change> =
        reader.changes_laid().expect("changes").iter().filter_map(|stored| stored.change()).collect();
    let change = |of: &Noted| Change {
        entity: of.entity.clone(),
        value: of.happened.value().expect("a value"),
        file: of.file,
        origin: of.origin.clone(),
    };
    assert_eq!(laid, [change(&entries[1]), change(&entries[6])], "in the order they were made");
    let history = reader.changes_after(0, 100).expect("a history");
    let words: Vec<String> = history
        .iter()
        .map(|one| format!("{} {} {} {} {:?}", one.entity, one.id, one.key, one.happened, one.value))
        .collect();
    assert_eq!(words.len(), entries.len());
    assert_eq!(words[2], "buyer acme concurrency set Some(\"none\")");
    assert_eq!(words[5], "buyer bolt paused file_won None");
    assert_eq!(reader.changes_after(history[4].seq, 1).expect("a page"), history[5..6]);
}
