//! The table of a data file: where its records and batches begin, kept in memory until it is written as `index.N`.
//! Refuses to know where it came from: appends and the scan of a recovery fill it alike.

use super::batch::BatchHead;
use crate::outgoing::BATCH_HEAD_BYTES;

/// The offset of what is lost.
pub(crate) const HOLE: u32 = u32::MAX;

/// Bytes in front of the frames of a batch.
pub(crate) const BATCH_HEAD: u32 = 48;
const _: () = assert!(BATCH_HEAD as usize == BATCH_HEAD_BYTES);

/// Where a batch begins, and which record of the file is its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchEntry {
    /// `HOLE` for a run of records that are lost.
    pub(crate) offset: u32,
    pub(crate) ordinal: u32,
    /// Microseconds since 1970.
    pub(crate) appended_at: u64,
}

/// A table that grows. Batches without records have no entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growing {
    is_batched: bool,
    /// Of each record; left empty when batches are compressed.
    pub(crate) offsets: Vec<u32>,
    pub(crate) types: Vec<u32>,
    pub(crate) batches: Vec<BatchEntry>,
    /// Where the data ends.
    pub(crate) end: u32,
    /// The number of the next batch.
    pub(crate) next_seq: u64,
}

impl Growing {
    pub(crate) fn new(is_batched: bool, end: u32, next_seq: u64) -> Growing {
        Growing { is_batched, end, next_seq, ..Growing::default() }
    }

    pub(crate) fn is_batched(&self) -> bool {
        self.is_batched
    }

    /// How many records there are, lost ones included.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.types.len()).unwrap_or(u32::MAX)
    }

    /// Adds a batch that begins at `offset`. `frames` tells where its records begin, counted from the first of them.
    pub(crate) fn push(
        &mut self,
        head: &BatchHead,
        offset: u32,
        frames: &[u32],
        types: impl IntoIterator<Item = u32>,
    ) {
        if head.count > 0 {
            let entry = BatchEntry { offset, ordinal: self.count(), appended_at: head.appended_at };
            self.batches.push(entry);
        }
        if !self.is_batched {
            let start = offset.saturating_add(BATCH_HEAD);
            self.offsets.extend(frames.iter().map(|frame| start.saturating_add(*frame)));
        }
        self.types.extend(types);
        self.next_seq = head.seq.saturating_add(1);
    }

    /// Adds records that are lost.
    pub(crate) fn push_hole(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        let appended_at = self.batches.last().map_or(0, |batch| batch.appended_at);
        self.batches.push(BatchEntry { offset: HOLE, ordinal: self.count(), appended_at });
        let len = self.types.len().saturating_add(count as usize);
        self.types.resize(len, 0);
        if !self.is_batched {
            self.offsets.resize(len, HOLE);
        }
    }

    /// The number of the batch that holds a record.
    pub(crate) fn batch_of(&self, ordinal: u32) -> Option<usize> {
        self.batches.partition_point(|batch| batch.ordinal <= ordinal).checked_sub(1)
    }
}
