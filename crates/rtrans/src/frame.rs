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
        let fields = u64::from(self.len) | u64::from(self.type_no) << 32;
        crc32_of(&[&fields.to_le_bytes(), payload]) ^ mark_of(id) == self.check
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

/// Appends a record to a buffer of frames; returns its check.
#[inline]
pub(crate) fn push_frame(buffer: &mut Vec<u8>, id: u64, type_no: u32, payload: &[u8], len: u32) -> u32 {
    let start = buffer.len();
    buffer.reserve(FRAME_HEAD_BYTES.saturating_add(payload.len()));
    // The check is known once the rest is there.
    buffer.extend_from_slice(&[0; CHECKED_FROM]);
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&type_no.to_le_bytes());
    buffer.extend_from_slice(payload);
    let check = crc32(buffer.get(start.wrapping_add(CHECKED_FROM)..).unwrap_or_default()) ^ mark_of(id);
    if let Some(place) = buffer.get_mut(start..start.wrapping_add(CHECKED_FROM)) {
        place.copy_from_slice(&check.to_le_bytes());
    }
    check
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
        let check = push_frame(&mut buffer, 9, 7, b"hello", 5);
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
        push_frame(&mut buffer, 1, 3, b"some bytes", 10);
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
