//! The other way out of the queue: rows for whoever asks, and the word that they are on disk whenever it pleases.
//!
//! No thread and no store: under a clock that is not the system's, whoever owns that clock is the disk. The queue, its
//! bound and its counts are those of the writer.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::row::Row;
use super::{Item, Tally};

/// The receiving end of the queue.
#[derive(Debug)]
pub struct Rows {
    pub(super) items: mpsc::Receiver<Item>,
    pub(super) tally: Arc<Tally>,
}

/// Rows handed in together. Dropped unwritten they are lost: who waits for them hears that the records are closed.
#[derive(Debug)]
#[must_use]
pub struct Handed {
    item: Item,
    tally: Arc<Tally>,
}

impl Rows {
    /// The next rows in the order in which they were handed in; `None` when every recorder is gone.
    pub async fn next(&mut self) -> Option<Handed> {
        let item = self.items.recv().await?;
        Some(Handed { item, tally: Arc::clone(&self.tally) })
    }
}

impl Handed {
    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.item.rows
    }

    /// They are on disk: tells who waits, if anybody still does.
    pub fn written(self) {
        self.tally.written(self.item.rows.len() as u64);
        if let Some(ack) = self.item.ack {
            // Whoever stopped waiting does not hear it.
            drop(ack.send(Ok(())));
        }
    }
}
