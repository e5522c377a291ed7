//! A frame: one record as it lies in memory on its way to disk, and in the data files of format 2.
//! Refuses to be read as another record than the one that it was written as: its checksum depends on the id.

use crate::bytes::u32_at;
use crate::checksum::{crc32, crc32_of};

/// Bytes in front of each payload: check, length, type; four each.
pub(crate) const FRAME_HEAD_BYTES: usize = 12;

/// Where the bytes under the checksum begin in a frame.
const CHECKED_FROM: usize = 4;

/// What stands in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) check: u32,
    pub(crate) len: u32,
    pub(crate) type_no: u32,
}

impl FrameHead {
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<FrameHead> {
        Some(FrameHead { check: u32_at(bytes, 0)?, len: u32_at(bytes, 4)?, type_no: u32_at(bytes, 8)? })
    }

    /// Whether the payload is what was written under this id.
    pub(crate) fn covers(&self, id: u64, payload: &[u8]) -> bool {
        sum_of(self.len, self.type_no, payload) ^ mark_of(id) == self.check
    }
}

/// A whole frame in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) id: u64,
    pub(crate) type_no: u32,
    pub(crate) check: u32,
    pub(crate) payload: &'a [u8],
}

/// A record that has no id yet, with the checksum of all else: it is summed up before anybody is kept waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unframed<'a> {
    pub(crate) payload: &'a [u8],
    type_no: u32,
    /// The payload's length, which is bounded when the record is appended.
    len: u32,
    sum: u32,
}

impl<'a> Unframed<'a> {
    #[inline]
    pub(crate) fn new(type_no: u32, payload: &'a [u8]) -> Unframed<'a> {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        Unframed { payload, type_no, len, sum: sum_of(len, type_no, payload) }
    }

    /// Appends it to a buffer of frames under an id; returns its check.
    #[inline]
    pub(crate) fn push_to(&self, buffer: &mut Vec<u8>, id: u64) -> u32 {
        let check = self.sum ^ mark_of(id);
        buffer.reserve(FRAME_HEAD_BYTES.saturating_add(self.payload.len()));
        buffer.extend_from_slice(&check.to_le_bytes());
        buffer.extend_from_slice(&self.len.to_le_bytes());
        buffer.extend_from_slice(&self.type_no.to_le_bytes());
        buffer.extend_from_slice(self.payload);
        check
    }
}

/// The checksum of a record, without its id.
#[inline]
fn sum_of(len: u32, type_no: u32, payload: &[u8]) -> u32 {
    let fields = u64::from(len) | u64::from(type_no) << 32;
    crc32_of(&[&fields.to_le_bytes(), payload])
}

/// Reads and verifies the frame at the beginning of a buffer; `None` when it is not whole, or not this record.
#[inline]
pub(crate) fn read_frame(bytes: &[u8], id: u64) -> Option<(Frame<'_>, &[u8])> {
    let head = FrameHead::read(bytes)?;
    let end = FRAME_HEAD_BYTES.checked_add(head.len as usize)?;
    let (frame, rest) = bytes.split_at_checked(end)?;
    let is_whole = crc32(frame.get(CHECKED_FROM..)?) ^ mark_of(id) == head.check;
    let payload = frame.get(FRAME_HEAD_BYTES..)?;
    is_whole.then_some((Frame { id, type_no: head.type_no, check: head.check, payload }, rest))
}

/// Sums up the checks of a batch's records: a batch of old and new frames has another sum.
#[inline]
pub(crate) fn digest(sum: u32, check: u32) -> u32 {
    (sum.rotate_left(5) ^ check).wrapping_mul(0x9E37_79B1)
}

/// What an id adds to its record's checksum: a whole frame in the place of another is found out.
#[inline]
fn mark_of(id: u64) -> u32 {
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_back_under_its_own_id_only() {
        let mut buffer = Vec::new();
        let check = Unframed::new(7, b"hello").push_to(&mut buffer, 9);
        let (frame, rest) = read_frame(&buffer, 9).unwrap();
        assert_eq!(frame, Frame { id: 9, type_no: 7, check, payload: b"hello" });
        assert!(rest.is_empty());
        assert_eq!(read_frame(&buffer, 10), None);
        assert!(FrameHead::read(&buffer).unwrap().covers(9, b"hello"));
        assert!(!FrameHead::read(&buffer).unwrap().covers(9, b"hallo"));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_found() {
        let mut buffer = Vec::new();
        Unframed::new(3, b"some bytes").push_to(&mut buffer, 1);
        for bit in 0..buffer.len() * 8 {
            buffer[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_frame(&buffer, 1), None, "bit {bit}");
            buffer[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(read_frame(&[0; 64], 1), None);
    }
}
