//! The first bytes of a data file of format 2: which file it is, of which log, and what its checksums start from.
//! Refuses bytes of another file: a head names its own number, so that a file which waits to be reused is no file yet.

use crate::bytes::{put, u16_at, u32_at, u64_at};
use crate::checksum::crc32;

/// How long a head is; the first batch begins at the next block behind it.
pub(crate) const SEGMENT_HEAD_BYTES: usize = 80;

const MAGIC: &[u8; 8] = b"LOGHOLD2";
const VERSION: u16 = 1;
const CHECKED: usize = SEGMENT_HEAD_BYTES - 4;

/// What a data file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// The number of the codec of its batches.
    pub(crate) codec: u16,
    /// The checksum of the file `metadata`, which has none.
    pub(crate) metadata_crc: u32,
    /// Tells logs apart.
    pub(crate) log_id: u64,
    /// Which data file of the log it is, over all directories, from 0.
    pub(crate) number: u64,
    /// Another one each time that a file is used; the checksums of its batches depend on it.
    pub(crate) generation: u64,
    /// The id of its first record. It takes the place of any record of an earlier file with that id or a higher one.
    pub(crate) first: u64,
    /// The sequence number of its first batch.
    pub(crate) first_seq: u64,
    /// All batches up to this one were durable when the file was begun.
    pub(crate) durable_seq: u64,
    /// Microseconds since 1970.
    pub(crate) created_at: u64,
    /// Which key encrypts it; 0 for none, which is all that this version knows.
    pub(crate) key_id: u32,
}

impl SegmentHead {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEAD_BYTES] {
        let mut bytes = [0; SEGMENT_HEAD_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 10, &self.codec.to_le_bytes());
        put(&mut bytes, 12, &self.metadata_crc.to_le_bytes());
        let numbers = [
            self.log_id,
            self.number,
            self.generation,
            self.first,
            self.first_seq,
            self.durable_seq,
            self.created_at,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            put(&mut bytes, 16 + index * 8, &number.to_le_bytes());
        }
        put(&mut bytes, 72, &self.key_id.to_le_bytes());
        let crc = crc32(bytes.get(..CHECKED).unwrap_or_default());
        put(&mut bytes, CHECKED, &crc.to_le_bytes());
        bytes
    }

    /// Reads the head of a data file; `None` when there is none: zeros, another log's version, a flipped bit.
    pub(crate) fn decode(bytes: &[u8]) -> Option<SegmentHead> {
        let bytes = bytes.get(..SEGMENT_HEAD_BYTES)?;
        let (checked, crc) = bytes.split_at_checked(CHECKED)?;
        if checked.get(..8)? != MAGIC || u32_at(crc, 0)? != crc32(checked) || u16_at(bytes, 8)? != VERSION {
            return None;
        }
        Some(SegmentHead {
            codec: u16_at(bytes, 10)?,
            metadata_crc: u32_at(bytes, 12)?,
            log_id: u64_at(bytes, 16)?,
            number: u64_at(bytes, 24)?,
            generation: u64_at(bytes, 32)?,
            first: u64_at(bytes, 40)?,
            first_seq: u64_at(bytes, 48)?,
            durable_seq: u64_at(bytes, 56)?,
            created_at: u64_at(bytes, 64)?,
            key_id: u32_at(bytes, 72)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_head_is_found() {
        let head = SegmentHead {
            codec: 3,
            metadata_crc: 4,
            log_id: 5,
            number: 6,
            generation: 7,
            first: 8,
            first_seq: 9,
            durable_seq: 10,
            created_at: 11,
            key_id: 0,
        };
        let mut bytes = head.encode();
        assert_eq!(SegmentHead::decode(&bytes), Some(head));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHead::decode(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
