//! What a reading gives back: lines, and an account of what they covered.
//! Refuses to leave open what was not there: blocks without records and records that are gone are told.

use std::ops::Range;

use rtrans::{Record, TransId};
use serde_json::{Map, Value};

/// One line of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A record as it was appended, of a dataset that keeps them.
    Record {
        /// Its block.
        block: u64,
        /// The record.
        record: Record,
    },
    /// A row of a typed table, or of the table of rejected records, of a dataset that keeps nothing else.
    Row {
        /// Its block.
        block: u64,
        /// The record that it was made of.
        id: TransId,
        /// The table, named as its file without `.parquet`.
        table: String,
        /// The columns.
        values: Map<String, Value>,
    },
    /// What was read of the log's head behind this record is void: it was rolled back, and what took its place follows.
    RolledBack {
        /// The last record that stayed.
        after: Option<TransId>,
    },
}

impl Line {
    /// The block; `None` of a rollback.
    pub fn block(&self) -> Option<u64> {
        match self {
            Line::Record { block, .. } | Line::Row { block, .. } => Some(*block),
            Line::RolledBack { .. } => None,
        }
    }

    /// The record; `None` of a rollback.
    pub fn id(&self) -> Option<TransId> {
        match self {
            Line::Record { record, .. } => Some(record.id),
            Line::Row { id, .. } => Some(*id),
            Line::RolledBack { .. } => None,
        }
    }
}

/// What a reading has covered until now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// The first block with a line.
    pub first: Option<u64>,
    /// The last block with a line.
    pub last: Option<u64>,
    /// How many lines there were, without those of rollbacks.
    pub lines: u64,
    /// Blocks of the wanted range, up to the last one, that have no line.
    pub gaps: Vec<Range<u64>>,
    /// Records that are neither in a chunk nor in the log any more, first and last.
    pub lost: Vec<(TransId, TransId)>,
}

impl Covered {
    /// Notes a line of a block. Blocks never fall, but after a rollback.
    pub(crate) fn add(&mut self, wanted: &Range<u64>, block: u64) {
        let free = self.last.map_or(wanted.start, |last| last.saturating_add(1));
        if block > free {
            self.gaps.push(free..block);
        }
        self.first.get_or_insert(block);
        self.last = self.last.max(Some(block));
        self.lines = self.lines.saturating_add(1);
    }

    /// Takes back blocks from this one on.
    pub(crate) fn take_back(&mut self, from: u64) {
        self.gaps.retain_mut(|gap| {
            gap.end = gap.end.min(from);
            gap.start < gap.end
        });
        self.last = self.last.map(|last| last.min(from.saturating_sub(1)));
        if self.first.is_some_and(|first| first >= from) {
            (self.first, self.last) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_lies_between_lines() {
        let mut covered = Covered::default();
        for block in [7, 7, 8, 20] {
            covered.add(&(5..100), block);
        }
        assert_eq!((covered.first, covered.last, covered.lines), (Some(7), Some(20), 4));
        assert_eq!(covered.gaps, [5..7, 9..20]);
        covered.take_back(10);
        assert_eq!((covered.last, covered.gaps.as_slice()), (Some(9), [5..7, 9..10].as_slice()));
        covered.take_back(5);
        assert_eq!((covered.first, covered.last), (None, None));
    }
}
