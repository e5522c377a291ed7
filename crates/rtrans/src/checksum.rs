//! CRC-32 (the one of zlib and PNG) in the ways in which logs use it.
//! Refuses any other sum: format 1 prescribes this one, and it is not slower than the memory that it reads.

use crc32fast::Hasher;

/// The CRC-32 of some bytes.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The CRC-32 of several pieces, as if they followed each other.
pub(crate) fn crc32_of(pieces: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize()
}
