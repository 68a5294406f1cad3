//! What a start finds: journal and store, read before anything is begun, and taken over when the parts stand.

use std::sync::Arc;
use std::time::Instant;

use super::StartError;
use crate::config::Settings;
use crate::domain::catalog::Secret;
use crate::domain::change::Change;
use crate::exchange::Exchange;
use crate::exchange::restore::LONGEST_DAY;
use crate::journal::Found;
use crate::ping::health::{Missed, Register};
use crate::records::entry::HealthImage;
use crate::records::fold::Fold;
use crate::records::recall::{Recalled, recall};
use crate::records::seal::Seal;
use crate::records::sqlite::{Reader, Store};
use crate::records::stored::StoredUse;
use crate::records::{Ending, Recorder};
use crate::telemetry::event;

/// Journal and store as they were found.
pub(super) struct Past {
    found: Found,
    store: Store,
    seal: Seal,
    known: Known,
    changes: Vec<Change>,
    /// Bytes of the records that were folded.
    bytes: u64,
}

/// What memory is rebuilt from.
pub(super) enum Known {
    /// The journal; and the store, where that has read what the journal has lost.
    Journal(Box<Fold>, Option<Reader>),
    /// It has nothing yet: what the store has of the last hours.
    Store(Reader),
}

impl Past {
    /// Opens the store and reads what the journal has. Touches nothing of the journal. `accept_loss` goes on where the
    /// store has read what the journal does not have.
    pub(super) fn read(
        mut found: Found,
        settings: &Settings,
        caller_key: &Secret,
        accept_loss: bool,
    ) -> Result<Past, StartError> {
        let began = Instant::now();
        let seal = Seal::of(caller_key);
        let kept = &settings.journal.kept;
        let store = Store::open(&settings.store.path)?;
        let place = store.place();
        let is_ahead = place.journal != 0 && place.journal == found.id() && place.seq > found.last_seq();
        if is_ahead && place.seq >= found.next_seq() {
            if !accept_loss {
                return Err(StartError::JournalBehind {
                    store: settings.store.path.display().to_string(),
                    journal: kept.dir.display().to_string(),
                    seq: place.seq,
                    last: found.last_seq(),
                });
            }
            // The store passes over numbers it has seen: what comes now must not have them.
            found.pass_over(place.seq);
        }
        event::records_given_up(found.given_up(), found.next_seq());
        if place.journal != 0 && place.journal != found.id() {
            tracing::warn!(
                "the store has read another journal than {}: calls that were in progress then are not known",
                kept.dir.display()
            );
        }
        if let Some(cut) = found.cut() {
            tracing::warn!("the journal: {cut}");
        }
        let Recalled { fold, tail_bytes: bytes } = recall(&found, &seal)?;
        if !found.is_empty() {
            let took = began.elapsed().as_millis() as u64;
            tracing::info!(calls = fold.remembers(), bytes, took_ms = took, "the journal was read");
        }
        if !fold.has_begun() {
            // None yet, or one whose first start was cut short.
            let reader = Reader::open(&settings.store.path)?;
            let changes = changes_laid(&reader)?;
            return Ok(Past { found, store, seal, known: Known::Store(reader), changes, bytes });
        }
        let reader = is_ahead.then(|| Reader::open(&settings.store.path)).transpose()?;
        let changes = match &reader {
            Some(reader) => changes_laid(reader)?,
            None => fold.changes().to_vec(),
        };
        Ok(Past { found, store, seal, known: Known::Journal(Box::new(fold), reader), changes, bytes })
    }

    /// Changes made at run time, in their order.
    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Begins to write where it ended.
    pub(super) fn go_on(self) -> Result<(Recorder, Ending, Known), StartError> {
        let Past { found, store, seal, known, bytes, .. } = self;
        let (recorder, records) = Recorder::start(found, store, bytes, seal, event::records_fault)?;
        if let Some(counters) = recorder.counters() {
            event::journal_written_by(&counters.journal.choice.to_string());
        }
        Ok((recorder, records, known))
    }
}

/// The changes as the store has them.
fn changes_laid(reader: &Reader) -> Result<Vec<Change>, StartError> {
    let stored = reader.changes_laid()?;
    let known = stored.iter().filter_map(|stored| {
        let change = stored.change();
        if change.is_none() {
            tracing::warn!(seq = stored.seq, "a change in the store is not known to this version");
        }
        change
    });
    Ok(known.collect())
}

impl Known {
    /// Puts calls, answers, caps and health where they were.
    pub(super) fn take_over(self, exchange: &Arc<Exchange>, health: &Register) -> Result<(), StartError> {
        let now = exchange.clock.now();
        match self {
            Known::Journal(fold, reader) => {
                let seq = fold.seq();
                health.restore(&fold.health().iter().cloned().map(missed).collect::<Vec<_>>());
                let restored = exchange
                    .restore(&fold, now)
                    .map_err(|why| StartError::Record { seq, why: why.to_string() })?;
                if restored.orphaned > 0 {
                    tracing::warn!(
                        holds = restored.orphaned,
                        "units of caps were taken for calls of which nobody knows whether they were handed out: they stay used"
                    );
                }
                if let Some(reader) = reader {
                    exchange.restore_lost_caps(&reader.uses(now.before(LONGEST_DAY))?, &fold, now);
                }
                tracing::info!(
                    in_progress = restored.in_progress,
                    over = restored.over,
                    "calls are remembered"
                );
            }
            Known::Store(reader) => {
                let uses: Vec<StoredUse> = reader.uses(now.before(LONGEST_DAY))?;
                exchange.restore_caps(&uses, now);
            }
        }
        Ok(())
    }
}

/// As the journal has it.
pub(super) fn image(missed: Missed) -> HealthImage {
    let Missed { target, buyer, endpoint, misses_in_a_row, answered_at } = missed;
    HealthImage { target, buyer, endpoint, misses_in_a_row, answered_at }
}

fn missed(image: HealthImage) -> Missed {
    let HealthImage { target, buyer, endpoint, misses_in_a_row, answered_at } = image;
    Missed { target, buyer, endpoint, misses_in_a_row, answered_at }
}
