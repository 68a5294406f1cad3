//! Reading at a start what the journal has, the newest snapshot and the records after it, into one fold.
//!
//! On two threads, since a tail may have gigabytes: one reads, checks and opens what is sealed, the other adds up. Nothing
//! of the journal is changed, and nothing is passed over: a record that cannot be read ends it.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::entry::DecodeError;
use super::fold::Fold;
use super::seal::{Seal, unsealed};
use crate::journal::{Block, Found, Lent, ReadError};

/// Blocks that may wait to be added up, of a quarter of a megabyte each.
const AHEAD: usize = 8;

/// Why it was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// A file of the journal.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record that says nothing this version knows, or is sealed with another key.
    #[error("record {seq} of the journal: {why}")]
    Record {
        /// Its number; of a snapshot, that of the last one it covers.
        seq: u64,
        /// What is wrong with it.
        why: DecodeError,
    },
    /// The system gave no thread.
    #[error("the system gave no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the journal adds up to.
#[derive(Debug)]
pub struct Recalled {
    /// The state.
    pub fold: Fold,
    /// Bytes of the records after the newest snapshot.
    pub tail_bytes: u64,
}

/// A block whose records are as they were before they were sealed.
struct Opened {
    /// Of a snapshot, the number of the last record it covers.
    covers: Option<u64>,
    block: Block,
}

/// Reads all of it.
pub fn recall(found: &Found, seal: &Seal) -> Result<Recalled, RecallError> {
    let (put, opened) = sync_channel(AHEAD);
    // The memory of blocks that were added up is used again: as many as may wait, and the two in hand.
    let (emptied, empty) = channel();
    std::thread::scope(|scope| {
        let reading = std::thread::Builder::new()
            .name("journal-recall".to_owned())
            .spawn_scoped(scope, move || read(found, seal, &put, &empty))?;
        // Where this fails, nobody takes blocks any more, which ends the other.
        let fold = add_up(opened, &emptied)?;
        let tail_bytes = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Recalled { fold, tail_bytes })
    })
}

fn add_up(opened: Receiver<Opened>, emptied: &Sender<Block>) -> Result<Fold, RecallError> {
    let mut fold = Fold::default();
    for Opened { covers, mut block } in opened {
        for Lent { seq, kind, version, body } in block.records() {
            let seq = covers.unwrap_or(seq);
            // It was opened where it lies: what the seal had added stands behind it still.
            let applied = fold.apply(seq, kind, version, unsealed(kind, body));
            applied.map_err(|why| RecallError::Record { seq, why })?;
        }
        // Nobody takes it at the end.
        let _ = emptied.send(block);
    }
    Ok(fold)
}

/// Hands on all records in blocks, opened. Gives the bytes of those that come after the snapshot.
fn read(
    found: &Found,
    seal: &Seal,
    opened: &SyncSender<Opened>,
    emptied: &Receiver<Block>,
) -> Result<u64, RecallError> {
    let mut tail_bytes = 0;
    let snapshot = found.snapshot()?;
    let after = snapshot.as_ref().map_or(0, |(covers, _)| *covers);
    let parts = snapshot.map(|(covers, records)| (Some(covers), records));
    for (covers, mut records) in parts.into_iter().chain([(None, found.records_after(after))]) {
        loop {
            let mut block = emptied.try_recv().unwrap_or_default();
            if !records.read_into(&mut block)? {
                break;
            }
            for Lent { seq, kind, body, .. } in block.records() {
                let seq = covers.unwrap_or(seq);
                seal.open(kind, body).map_err(|why| RecallError::Record { seq, why })?;
            }
            if covers.is_none() {
                tail_bytes += block.bytes();
            }
            if opened.send(Opened { covers, block }).is_err() {
                return Ok(tail_bytes);
            }
        }
    }
    Ok(tail_bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::CallId;
    use crate::domain::catalog::Secret;
    use crate::journal::{Backend, Class, Payload, Settings, Waits};
    use crate::records::entry::{ENTRY, Entry, Put, VERSION, sample};
    use crate::records::fixture::{Folder, NINE};
    use crate::records::row::{CatalogRow, Row};

    /// Of these, more than may wait to be added up.
    const RECORDS: u64 = 100;
    const LONG: usize = 40 * 1024;

    /// A record as it is written: kind, version, body.
    struct Raw(Vec<u8>);

    impl Payload for Raw {
        fn class(&self) -> Class {
            Class::Money
        }

        fn write(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0);
        }
    }

    fn ours() -> Seal {
        Seal::of(&Secret(vec![1; 32]))
    }

    /// An image of a call, with its answer, and a row that is long. Every third call is forgotten soon after.
    fn record(number: u64, seal: &Seal) -> Vec<u8> {
        let mut entry = sample::opened();
        for put in &mut entry.state {
            match put {
                Put::Call(image) => image.id = CallId::from_bits(number.into()),
                Put::Answer(answer) => answer.reply.call_id = CallId::from_bits(number.into()),
                _ => {}
            }
        }
        if number.is_multiple_of(3) {
            entry = Entry::put(Put::Forgotten(CallId::from_bits(u128::from(number) - 2)));
        }
        let text = "x".repeat(LONG);
        entry.rows = vec![Row::Catalog(CatalogRow { digest: "d".to_owned(), text, since: NINE })];
        let mut out = vec![ENTRY, VERSION];
        entry.encode(&mut out);
        seal.close(&mut out, 2);
        out
    }

    fn settings(folder: &Folder) -> Settings {
        let dir = folder.path().join("journal");
        Settings { segment_bytes: 1024 * 1024, backend: Backend::Thread, ..Settings::in_dir(dir) }
    }

    /// A journal of these records, with a snapshot of the first so many of them if that is not 0.
    fn journal(folder: &Folder, covers: u64, record: impl Fn(u64) -> Vec<u8>) -> Found {
        let found = Found::open(&settings(folder), false).expect("no journal yet");
        let (appender, keeper) = found.start::<Raw>(|what| panic!("{what}")).expect("a journal");
        for number in 1..=RECORDS {
            appender.reserve().expect("a place").send(Raw(record(number)), Waits::Nothing);
        }
        assert!(keeper.wait_durable_past(RECORDS - 1, Duration::from_secs(20)));
        if covers > 0 {
            let mut writer = keeper.begin_snapshot(covers).expect("a snapshot");
            for number in 1..=covers {
                let bytes = record(number);
                writer.put(bytes[0], bytes[1], &bytes[2..]).expect("room");
            }
            writer.commit().expect("room");
        }
        assert!(keeper.close().is_complete);
        drop((appender, keeper));
        Found::open(&settings(folder), false).expect("a journal")
    }

    #[test]
    fn what_is_recalled_is_what_the_records_add_up_to() {
        for covers in [0, 1, 70, RECORDS] {
            let folder = Folder::new("recall");
            let found = journal(&folder, covers, |number| record(number, &ours()));
            let mut expected = Fold::default();
            for number in 1..=RECORDS {
                let mut bytes = record(number, &ours());
                let body = ours().open(ENTRY, &mut bytes[2..]).expect("its key");
                expected.apply(number, ENTRY, VERSION, body).expect("a record");
            }
            let Recalled { fold, tail_bytes } = recall(&found, &ours()).expect("a whole journal");
            assert_eq!(fold, expected, "a snapshot of {covers}");
            assert!(fold.remembers() > 30);
            let bytes: usize = (covers + 1..=RECORDS).map(|number| record(number, &ours()).len() - 2).sum();
            assert_eq!(tail_bytes, bytes as u64);
        }
    }

    /// Whichever of the two threads meets it, and however much lies behind.
    #[test]
    fn the_first_record_that_cannot_be_read_is_named() {
        let other = Seal::of(&Secret(vec![2; 32]));
        let no_such_kind = |_: u64| vec![9, VERSION, 0];
        let no_such_put = |_: u64| {
            let mut out = vec![ENTRY, VERSION, 5, 0, 0, 0, 99, 0, 0, 0, 0, 0];
            ours().close(&mut out, 2);
            out
        };
        let sealed_by_another = |number: u64| record(number, &other);
        type Bad<'a> = &'a dyn Fn(u64) -> Vec<u8>;
        let faults: [(Bad<'_>, &str); 3] = [
            (&no_such_kind, "a record of kind 9"),
            (&no_such_put, "a put has the code 99"),
            (&sealed_by_another, "sealed with another key"),
        ];
        for (bad, why) in faults {
            for (at, covers) in [(1, 0), (50, 0), (RECORDS, 0), (80, 70), (20, 70)] {
                let folder = Folder::new("recall-bad");
                let spoilt = |number| if number == at { bad(number) } else { record(number, &ours()) };
                let found = journal(&folder, covers, spoilt);
                // Of a snapshot all records have the number of the last one it covers.
                let seq = at.max(covers);
                let error = recall(&found, &ours()).expect_err("a record that cannot be read").to_string();
                assert!(error.starts_with(&format!("record {seq} ")) && error.contains(why), "{at}: {error}");
            }
        }
    }

    /// A disk that gives other bytes than it gave a moment before, when everything was looked through.
    #[test]
    fn what_changes_after_it_was_found_good_is_seen() {
        let folder = Folder::new("recall-changed");
        let found = journal(&folder, 0, |number| record(number, &ours()));
        let path = settings(&folder).dir.join("0000000002.seg");
        let mut bytes = std::fs::read(&path).expect("a segment");
        bytes[8192] ^= 1;
        std::fs::write(&path, bytes).expect("a segment");
        let error = recall(&found, &ours()).expect_err("a changed record");
        assert!(matches!(error, RecallError::Read(_)), "{error}");
    }
}
