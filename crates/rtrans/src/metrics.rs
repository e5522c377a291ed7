//! Counters of a log: plain numbers that any exporter can read.
//! Refuses to cost more than an addition to a number each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use host::Scheduling;

use crate::frame::Unframed;

/// What a log has done since it was opened. All numbers only grow.
///
/// `wake_micros / wakes` beside `sync_micros / syncs` tells whether durable appends wait for the disk or for a core: on an idle
/// machine a caller is woken within some ten microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Records that were taken.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Calls that took them.
    pub appends: u64,
    /// Group commits that were synced.
    pub syncs: u64,
    /// Callers that waited for those, so that `sync_waiters / syncs` is the mean size of a cohort.
    pub sync_waiters: u64,
    /// Time that the syncs took in all, in microseconds.
    pub sync_micros: u64,
    /// The longest sync, in microseconds.
    pub sync_micros_max: u64,
    /// Time from the end of a sync until a waiting caller ran again, in microseconds, over all callers.
    pub wake_micros: u64,
    /// The longest of them, in microseconds.
    pub wake_micros_max: u64,
    /// Callers of which that is known.
    pub wakes: u64,
    /// Group commits that the log's own thread led because callers got no core in time.
    pub handed_over: u64,
    /// What that thread has asked the scheduler for and got. As [`Scheduling::Inherited`] until it runs for the first time.
    pub scheduling: Scheduling,
}

/// The numbers, while they grow.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    records: AtomicU64,
    bytes: AtomicU64,
    appends: AtomicU64,
    syncs: AtomicU64,
    sync_waiters: AtomicU64,
    sync_micros: AtomicU64,
    sync_micros_max: AtomicU64,
    wake_micros: AtomicU64,
    wake_micros_max: AtomicU64,
    wakes: AtomicU64,
    handed_over: AtomicU64,
    /// Set once, by the thread itself.
    pub(crate) scheduling: OnceLock<Scheduling>,
}

impl Counters {
    pub(crate) fn note_put(&self, records: &[Unframed<'_>]) {
        let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        add(&self.records, records.len() as u64);
        add(&self.bytes, bytes as u64);
        add(&self.appends, 1);
    }

    pub(crate) fn note_sync(&self, waiters: usize, took: Duration) {
        let micros = micros(took);
        add(&self.syncs, 1);
        add(&self.sync_waiters, waiters as u64);
        add(&self.sync_micros, micros);
        self.sync_micros_max.fetch_max(micros, Ordering::Relaxed);
    }

    /// Called by the callers that were woken, side by side.
    pub(crate) fn note_wake(&self, took: Duration) {
        let micros = micros(took);
        self.wake_micros.fetch_add(micros, Ordering::Relaxed);
        self.wake_micros_max.fetch_max(micros, Ordering::Relaxed);
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_handed_over(&self) {
        add(&self.handed_over, 1);
    }

    /// Whether the log's own thread runs sooner than one that has asked for nothing.
    pub(crate) fn is_prompt(&self) -> bool {
        self.scheduling.get().is_some_and(|scheduling| *scheduling > Scheduling::Inherited)
    }

    pub(crate) fn read(&self) -> Metrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            records: read(&self.records),
            bytes: read(&self.bytes),
            appends: read(&self.appends),
            syncs: read(&self.syncs),
            sync_waiters: read(&self.sync_waiters),
            sync_micros: read(&self.sync_micros),
            sync_micros_max: read(&self.sync_micros_max),
            wake_micros: read(&self.wake_micros),
            wake_micros_max: read(&self.wake_micros_max),
            wakes: read(&self.wakes),
            handed_over: read(&self.handed_over),
            scheduling: self.scheduling.get().copied().unwrap_or_default(),
        }
    }
}

/// These counters are only written by who holds the queue's lock or leads: an addition need not be atomic, only visible.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
