//! The table of a data file: where its records and batches begin, kept in memory until it is written as `index.N`.
//! Refuses to know where it came from: appends and the scan of a recovery fill it alike.

use std::ops::Range;
use std::sync::Arc;

use super::batch::BatchHead;
use super::index_file::IndexFile;
use super::segment::narrow;
use crate::error::Error;
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
    /// The records that are lost, in order.
    holes: Vec<Range<u32>>,
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
        self.holes.push(self.count()..self.count().saturating_add(count));
        let len = self.types.len().saturating_add(count as usize);
        self.types.resize(len, 0);
        if !self.is_batched {
            self.offsets.resize(len, HOLE);
        }
    }

    /// As of [`IndexFile::find`].
    fn find(&self, types: &[u32], (from, end): (u32, u32), count_max: usize) -> (Vec<u32>, u32) {
        let end = end.min(self.count());
        let column = self.types.get(from as usize..end.max(from) as usize).unwrap_or_default();
        let column = (from..end).zip(column);
        let found: Vec<u32> = match types {
            [one] => column.filter(|row| row.1 == one).map(|row| row.0).take(count_max).collect(),
            _ => column.filter(|row| types.contains(row.1)).map(|row| row.0).take(count_max).collect(),
        };
        let next = if found.len() < count_max { end } else { found.last().map_or(end, |last| last + 1) };
        (found, next)
    }

    /// The number of the batch that holds a record.
    pub(crate) fn batch_of(&self, ordinal: u32) -> Option<usize> {
        self.batches.partition_point(|batch| batch.ordinal <= ordinal).checked_sub(1)
    }
}

/// Where records begin.
#[derive(Debug)]
pub(crate) enum Table {
    Growing(Growing),
    Sealed(Arc<IndexFile>),
}

/// Records of one batch that a run takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) offset: u32,
    /// They end here, or before.
    pub(crate) end: u32,
    pub(crate) count: u32,
    pub(crate) appended_at: u64,
}

/// Where a record lies that is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) ordinal: u32,
    /// As of [`Table::offset`].
    pub(crate) offset: Option<u32>,
    pub(crate) appended_at: u64,
}

impl Table {
    /// Where a record's frame begins: `HOLE` when it is lost, `None` when batches are compressed.
    #[inline]
    pub(crate) fn offset(&self, ordinal: u32) -> Result<Option<u32>, Error> {
        match self {
            Table::Growing(growing) if growing.is_batched() => Ok(None),
            Table::Growing(growing) => {
                Ok(Some(growing.offsets.get(ordinal as usize).copied().unwrap_or(HOLE)))
            }
            Table::Sealed(index) if index.is_batched() => Ok(None),
            Table::Sealed(index) => Ok(Some(index.offset(ordinal)?)),
        }
    }

    pub(crate) fn batch(&self, number: usize) -> Result<Option<BatchEntry>, Error> {
        match self {
            Table::Growing(growing) => Ok(growing.batches.get(number).copied()),
            Table::Sealed(index) => Ok(index.batch(narrow(number as u64))?),
        }
    }

    pub(crate) fn count(&self) -> u32 {
        match self {
            Table::Growing(growing) => growing.count(),
            Table::Sealed(index) => index.head().count,
        }
    }

    /// Where the data ends.
    pub(crate) fn end(&self) -> u32 {
        match self {
            Table::Growing(growing) => growing.end,
            Table::Sealed(index) => index.head().end,
        }
    }

    /// The batch that holds a record, and its number.
    pub(crate) fn batch_of(&self, ordinal: u32) -> Result<Option<(usize, BatchEntry)>, Error> {
        if ordinal >= self.count() {
            return Ok(None);
        }
        let number = match self {
            Table::Growing(growing) => growing.batch_of(ordinal),
            Table::Sealed(index) => index.batch_of(ordinal)?,
        };
        let Some(number) = number else { return Ok(None) };
        Ok(self.batch(number)?.map(|batch| (number, batch)))
    }

    /// The batches, or parts of them, with the records from `ordinal` to `end` that begin before `limit`.
    pub(crate) fn pieces(&self, ordinal: u32, end: u32, limit: u32) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::new();
        let Some((mut number, mut batch)) = self.batch_of(ordinal)? else { return Ok(pieces) };
        let mut from = ordinal;
        loop {
            let next = self.batch(number.saturating_add(1))?;
            let behind = next.map_or_else(|| self.count(), |next| next.ordinal);
            let upto = behind.min(end);
            let offset = if from == batch.ordinal {
                batch.offset.saturating_add(BATCH_HEAD)
            } else {
                self.offset(from)?.unwrap_or(HOLE)
            };
            let stop = match next {
                _ if upto < behind => self.offset(upto)?,
                next => next.map(|next| next.offset),
            };
            let stop = stop.filter(|stop| *stop != HOLE).unwrap_or_else(|| self.end());
            let count = upto.saturating_sub(from);
            pieces.push(Piece { offset, end: stop, count, appended_at: batch.appended_at });
            match next {
                Some(next) if next.offset != HOLE && next.offset < limit && next.ordinal < end => {
                    (number, batch, from) = (number.saturating_add(1), next, next.ordinal);
                }
                _ => return Ok(pieces),
            }
        }
    }

    /// The first record from `from` to the one before `end` that is lost, or has no place in the table.
    pub(crate) fn first_lost(&self, (from, end): (u32, u32)) -> Option<u32> {
        let holes = match self {
            Table::Growing(growing) => growing.holes.as_slice(),
            Table::Sealed(index) => index.holes(),
        };
        let hole = holes.get(holes.partition_point(|hole| hole.end <= from));
        let first = hole.map_or(u32::MAX, |hole| hole.start).min(self.count()).max(from);
        (first < end).then_some(first)
    }

    /// Finds records from `from` to the one before `end` that may be of one of these types, at most `count_max`, and the
    /// one with which the search goes on: `from` when nothing leads to that one.
    pub(crate) fn find(
        &self,
        types: &[u32],
        (from, end): (u32, u32),
        count_max: usize,
    ) -> Result<(Vec<Spot>, u32), Error> {
        let (ordinals, next) = match self {
            Table::Growing(growing) => growing.find(types, (from, end), count_max),
            Table::Sealed(index) => index.find(types, (from, end), count_max)?,
        };
        let mut spots = Vec::with_capacity(ordinals.len());
        // Records that follow each other are mostly of one batch.
        let mut batch = (0..0, 0);
        for ordinal in ordinals {
            if !batch.0.contains(&ordinal) {
                // Nothing leads to it: the search goes on there, and is told.
                let Some((number, found)) = self.batch_of(ordinal)? else { return Ok((spots, ordinal)) };
                let behind = self.batch(number.saturating_add(1))?.map_or(u32::MAX, |next| next.ordinal);
                batch = (found.ordinal..behind, found.appended_at);
            }
            spots.push(Spot { ordinal, offset: self.offset(ordinal)?, appended_at: batch.1 });
        }
        Ok((spots, next))
    }
}
