//! The data record of format 1, and where in which data file a record goes.
//! Refuses to place anything where a number would overflow.

use super::position::Geometry;
use crate::bytes::{u32_at, u64_at};

/// Bytes in front of each payload: transid and checksum.
pub(crate) const DATA_HEAD_BYTES: usize = 12;

/// Offsets are signed in the system calls.
const OFFSET_MAX: u64 = i64::MAX.unsigned_abs();

/// What stands in front of a payload in a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataHead {
    pub(crate) transid: u64,
    pub(crate) checksum: u32,
}

impl DataHead {
    pub(crate) fn read(bytes: &[u8]) -> Option<DataHead> {
        Some(DataHead { transid: u64_at(bytes, 0)?, checksum: u32_at(bytes, 8)? })
    }

    pub(crate) fn encode(&self) -> [u8; DATA_HEAD_BYTES] {
        let mut bytes = [0; DATA_HEAD_BYTES];
        let (transid, checksum) = bytes.split_at_mut(8);
        transid.copy_from_slice(&self.transid.to_le_bytes());
        checksum.copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }
}

/// A block of a data file in some directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) blk: u64,
}

impl Geometry {
    /// How many blocks a record takes whose stored payload is so long.
    pub(crate) fn blocks_of(&self, len: u32) -> u64 {
        (DATA_HEAD_BYTES as u64).saturating_add(u64::from(len)).div_ceil(self.block.max(1))
    }

    /// Where a record goes when `free` is the first free block: there, or into the next file when this one would become
    /// too large. A record that is larger than a file goes alone into one.
    pub(crate) fn place(&self, free: Place, len: u32) -> Option<Place> {
        let end = free.blk.checked_add(self.blocks_of(len))?.checked_mul(self.block)?;
        if free.blk == 0 || end <= self.file_bytes_max {
            return Some(free);
        }
        Some(Place { file: free.file.checked_add(1)?, blk: 0 })
    }

    /// The first free block behind a record.
    pub(crate) fn behind(&self, place: Place, len: u32) -> Option<Place> {
        Some(Place { file: place.file, blk: place.blk.checked_add(self.blocks_of(len))? })
    }

    /// Where a place lies in its file; `None` when the record would end beyond what a file can have.
    pub(crate) fn offset_of(&self, place: Place, len: u32) -> Option<u64> {
        let offset = place.blk.checked_mul(self.block)?;
        let end = offset.checked_add(DATA_HEAD_BYTES as u64)?.checked_add(u64::from(len))?;
        (end <= OFFSET_MAX).then_some(offset)
    }
}

#[cfg(test)]
#[path = "../../tests/format1/placement.rs"]
mod tests;
