//! `Selected`: records that were picked out of others, verified, in one buffer.
//! Refuses to pick them: the formats do, each in its way.

use std::ops::Range;
use std::time::SystemTime;

use crate::ids::{TransId, TypeNo};
use crate::record::{Record, RecordRef};

/// Room that is kept for what is selected next: some times what is read at a time, so that only a record that is larger
/// than usual has its room taken and given back.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Some records in order of their ids, which need not follow each other. It is filled again and again.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// What the records lie in, and whatever lies between them.
    pub(crate) bytes: Vec<u8>,
    rows: Vec<Row>,
    /// How many were given out.
    taken: usize,
}

#[derive(Clone, Debug)]
struct Row {
    id: TransId,
    type_no: TypeNo,
    appended_at: Option<SystemTime>,
    bytes: Range<usize>,
}

impl Selected {
    /// Forgets all, and keeps the room, but for what large records took.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.rows.clear();
        self.taken = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a record that lies elsewhere.
    pub(crate) fn push(&mut self, record: RecordRef<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record.bytes);
        let bytes = start..self.bytes.len();
        self.push_here(record.id, record.type_no, record.appended_at, bytes);
    }

    /// Adds a record whose payload lies in `bytes` already.
    pub(crate) fn push_here(
        &mut self,
        id: TransId,
        type_no: TypeNo,
        appended_at: Option<SystemTime>,
        bytes: Range<usize>,
    ) {
        self.rows.push(Row { id, type_no, appended_at, bytes });
    }

    /// The next record, with bytes of its own.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Record> {
        let row = self.rows.get(self.taken)?;
        self.taken = self.taken.wrapping_add(1);
        let bytes = self.bytes.get(row.bytes.clone()).unwrap_or_default().to_vec();
        Some(Record { id: row.id, type_no: row.type_no, appended_at: row.appended_at, bytes })
    }
}
