//! `StagingProgress`: how far one download is, readable without a lock while it runs.
//! Refuses to be exact in time: it is a display.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that the download writes and anybody reads.
#[derive(Debug, Default)]
pub(crate) struct StagingProgress {
    done_bytes: AtomicU64,
    /// `u64::MAX` while a file's length is unknown.
    total_bytes: AtomicU64,
}

impl StagingProgress {
    pub(crate) fn set(&self, done_bytes: u64, total_bytes: Option<u64>) {
        self.done_bytes.store(done_bytes, Ordering::Relaxed);
        self.total_bytes.store(total_bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn total_bytes(&self) -> Option<u64> {
        let total = self.total_bytes.load(Ordering::Relaxed);
        (total != u64::MAX).then_some(total)
    }
}
