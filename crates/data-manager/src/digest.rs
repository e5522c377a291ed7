//! The BLAKE3 digest of a file whose segments arrive in any order.
//! Refuses to read files, and to give a digest for bytes that it has not seen.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::data_chunk::{hex_id, parse_hex_id};

/// How a file is cut for fetching, resuming and hashing; the last segment may be shorter.
///
/// A power of two of BLAKE3's 1,024-byte chunks, so that each segment is a subtree of the file's hash tree.
pub(crate) const SEGMENT_BYTES: u64 = 1 << 20;

/// What stands for a segment in its file's hash tree; for a file of one segment it is the file's digest.
pub(crate) type ChainingValue = [u8; 32];

/// A digest as text: 64 lower-case hex digits.
pub(crate) fn hex_digest(digest: &[u8; 32]) -> String {
    hex_id(digest).split_off(2)
}

/// Reads 64 hex digits of either case.
pub(crate) fn parse_hex_digest(text: &str) -> Option<[u8; 32]> {
    if text.len() == 64 { parse_hex_id(text) } else { None }
}

/// How many segments a file has. An empty file has none.
pub(crate) fn segment_count(file_len: u64) -> u64 {
    file_len.div_ceil(SEGMENT_BYTES)
}

/// How many bytes a segment has; 0 past the end of the file.
pub(crate) fn segment_len(index: u64, file_len: u64) -> u64 {
    segment_len_of(index, file_len, SEGMENT_BYTES)
}

/// The digest of a file from the values of all its segments, in order. `None` when their number is another one.
pub(crate) fn file_hash(file_len: u64, segments: &[ChainingValue]) -> Option<[u8; 32]> {
    (u64::try_from(segments.len()).ok()? == segment_count(file_len)).then(|| root(segments))
}

/// Hashes one segment of a file as its bytes come in.
#[derive(Debug, Clone)]
pub(crate) struct SegmentHasher {
    hasher: blake3::Hasher,
    /// Of the segment, not of what the peer sends: more than this never reaches the hasher.
    missing_bytes: u64,
    is_overrun: bool,
    /// The file has one segment: its hash tree has no other root.
    is_root: bool,
}

impl SegmentHasher {
    /// A hasher for segment `index` of a file of `file_len` bytes.
    pub(crate) fn new(index: u64, file_len: u64) -> SegmentHasher {
        SegmentHasher::with_segment_bytes(index, file_len, SEGMENT_BYTES)
    }

    fn with_segment_bytes(index: u64, file_len: u64, segment_bytes: u64) -> SegmentHasher {
        let mut hasher = blake3::Hasher::new();
        // A segment past the end misses no bytes and, not being a root, never gives a value.
        hasher.set_input_offset(index.checked_mul(segment_bytes).unwrap_or_default());
        SegmentHasher {
            hasher,
            missing_bytes: segment_len_of(index, file_len, segment_bytes),
            is_overrun: false,
            is_root: index == 0 && file_len <= segment_bytes,
        }
    }

    /// Takes the segment's next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let wanted = usize::try_from(self.missing_bytes).unwrap_or(usize::MAX);
        let taken = bytes.get(..wanted).unwrap_or(bytes);
        self.is_overrun |= taken.len() < bytes.len();
        self.missing_bytes =
            self.missing_bytes.saturating_sub(u64::try_from(taken.len()).unwrap_or(u64::MAX));
        self.hasher.update(taken);
    }

    /// The segment's value; `None` when it got more or fewer bytes than the segment has.
    pub(crate) fn finish(&self) -> Option<ChainingValue> {
        if self.missing_bytes > 0 || self.is_overrun {
            return None;
        }
        if self.is_root {
            return Some(*self.hasher.finalize().as_bytes());
        }
        (self.hasher.count() > 0).then(|| self.hasher.finalize_non_root())
    }
}

fn segment_len_of(index: u64, file_len: u64, segment_bytes: u64) -> u64 {
    let offset = index.saturating_mul(segment_bytes);
    file_len.saturating_sub(offset).min(segment_bytes)
}

fn root(segments: &[ChainingValue]) -> [u8; 32] {
    match segments {
        [] => *blake3::hash(&[]).as_bytes(),
        [only] => *only,
        _ => {
            let (left, right) = segments.split_at(left_segments(segments.len()));
            *merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes()
        }
    }
}

/// BLAKE3 trees are left-heavy: the left half is the largest power of two that leaves something for the right.
fn left_segments(segment_count: usize) -> usize {
    segment_count.next_power_of_two() / 2
}

fn subtree(segments: &[ChainingValue]) -> ChainingValue {
    if let [only] = segments {
        return *only;
    }
    let (left, right) = segments.split_at(left_segments(segments.len()));
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

#[cfg(test)]
#[path = "../tests/unit/digest.rs"]
mod tests;
