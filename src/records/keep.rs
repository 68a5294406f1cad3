//! Folds the journal into a snapshot now and then, so that a start reads little. It reads files only: the running exchange
//! is not asked, and a start folds the same records to the same state.

use std::sync::Arc;
use std::time::Duration;

use super::entry::ENTRY;
use super::fold::Fold;
use super::seal::Seal;
use crate::journal::{Keeper, Read};
use crate::runtime::chain;

/// Bytes of records after which the next snapshot is made: a start reads about as many.
const EVERY_BYTES: u64 = 256 * 1024 * 1024;
/// How often their number is looked at, and the end of the journal.
const LOOK: Duration = Duration::from_millis(200);
/// After one that failed the next is made this much later.
const AGAIN_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes read from the journal at once.
const BATCH_BYTES: usize = 1024 * 1024;
/// How far the priority of this thread is lowered.
const BEHIND_CALLS: i32 = 15;

/// The one who makes snapshots.
pub(super) struct Folding<F> {
    keeper: Keeper,
    next: u64,
    seal: Arc<Seal>,
    say: F,
}

impl<F: Fn(&str)> Folding<F> {
    /// `tail_bytes` are not in a snapshot yet.
    pub fn of(keeper: &Keeper, tail_bytes: u64, seal: Arc<Seal>, say: F) -> Folding<F> {
        Folding { keeper: keeper.clone(), next: EVERY_BYTES.saturating_sub(tail_bytes), seal, say }
    }

    /// Until the journal is closed.
    pub fn run(mut self) {
        // Where priorities cannot be lowered it is only that.
        let _ = rustix::process::nice(BEHIND_CALLS);
        while !self.keeper.has_ended() {
            let counters = self.keeper.counters();
            let bytes = counters.bytes;
            // What is left of a disk that is nearly full is for the journal itself.
            if bytes < self.next || counters.is_low {
                std::thread::sleep(LOOK);
                continue;
            }
            self.next = match self.fold() {
                Ok(()) => bytes + EVERY_BYTES,
                Err(why) => {
                    (self.say)(&format!(
                        "no snapshot of the journal was made, so a start will read more of it: {why}"
                    ));
                    bytes + AGAIN_BYTES
                }
            };
        }
    }

    fn fold(&self) -> Result<(), String> {
        let upto = self.keeper.durable_seq();
        let mut fold = Fold::default();
        let mut after = 0;
        if let Some((seq, reader)) = self.keeper.snapshot().map_err(|error| chain(&error))? {
            for record in reader {
                self.take(&mut fold, seq, &record.map_err(|error| chain(&error))?)?;
            }
            after = seq;
        }
        let mut tail = self.keeper.tail(after.max(self.keeper.first_seq().saturating_sub(1)));
        while tail.after() < upto {
            if self.keeper.has_ended() {
                return Ok(());
            }
            let read = tail.batch(BATCH_BYTES, LOOK).map_err(|error| chain(&error))?;
            let Some(read) = read else { return Ok(()) };
            for record in read.iter().filter(|record| record.seq <= upto) {
                self.take(&mut fold, record.seq, record)?;
            }
        }
        let mut writer = self.keeper.begin_snapshot(upto).map_err(|error| error.to_string())?;
        let mut sealed = Vec::new();
        let put = |kind: u8, version: u8, body: &[u8]| {
            sealed.clear();
            sealed.extend_from_slice(body);
            if kind == ENTRY {
                self.seal.close(&mut sealed, 0);
            }
            writer.put(kind, version, &sealed)
        };
        fold.snapshot(put).map_err(|error| error.to_string())?;
        writer.commit().map_err(|error| error.to_string())
    }

    fn take(&self, fold: &mut Fold, seq: u64, record: &Read) -> Result<(), String> {
        let opened = self.seal.open(record.kind, &record.body).map_err(|error| error.to_string())?;
        fold.apply(seq, record.kind, record.version, &opened).map_err(|error| error.to_string())
    }
}
