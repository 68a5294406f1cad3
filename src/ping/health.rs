//! How an endpoint has been answering lately, shared by all workers: five misses mean five, not five per worker.
//!
//! Observed only: nobody is skipped for it yet.

use std::sync::atomic::{AtomicU32, Ordering};

/// The record of one endpoint.
#[derive(Debug, Default)]
pub struct Health {
    misses_in_a_row: AtomicU32,
}

impl Health {
    /// A complete reply came in time.
    pub fn hit(&self) {
        self.misses_in_a_row.store(0, Ordering::Relaxed);
    }

    /// None came in time, or none at all.
    pub fn miss(&self) {
        // Saturating: at the top it stays there.
        let _ = self.misses_in_a_row.try_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
    }

    /// Pings since the last reply in time.
    pub fn misses_in_a_row(&self) -> u32 {
        self.misses_in_a_row.load(Ordering::Relaxed)
    }
}
