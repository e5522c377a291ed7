//! Writing again what a file holds, past the memory: a failed sync has left it there as if it were on disk.
//! Refuses to change a byte, and to know whether it is needed: who opens a log to write says from where on it may be.

use std::iter;
use std::mem;
use std::ops::Range;

use host::File;

use crate::error::Error;

/// Bytes that are written at a time, in whole blocks.
const WRITE_BYTES: usize = 64 << 10;

/// What lies between two multiples of this is read before any of it is written.
///
/// A write past the memory takes whole folios out of it, and they may reach beyond what is written. What a failed sync has left in memory counts
/// as written, and is lost with them. A folio begins at a multiple of its length, which is a power of two, and 2 MiB at most where pages
/// have 4 KiB.
const WINDOW_BYTES: u64 = 32 << 20;

/// Writes a file again from the block on that a place lies in, and syncs it. Nobody else may write to it meanwhile.
///
/// The last block is written whole, for no less goes past the memory, and the file has its length again before the sync. A
/// crash in between leaves zeros behind its end.
pub(crate) fn rewrite(file: &File, from: u64) -> Result<(), Error> {
    let (len, block) = (file.len()?, File::BLOCK_BYTES as u64);
    let from = from.min(len.saturating_sub(1)) / block * block;
    for window in windows(from..len) {
        let count = bytes_in(&window);
        let mut bytes = vec![0; count.next_multiple_of(File::BLOCK_BYTES)];
        file.read_exact_at(bytes.get_mut(..count).unwrap_or_default(), window.start)?;
        match write_again(file, &bytes, window.start) {
            // There is no room for the rest of the last block, where blocks of the disk are smaller: it goes through the memory.
            Err(Error::DiskFull(_)) => {
                write_again(file, bytes.get(..count).unwrap_or_default(), window.start)?;
            }
            written => written?,
        }
    }
    // In any case: a cut that the failed sync had to write is in memory alone as well.
    file.set_len(len)?;
    Ok(file.sync()?)
}

/// The parts of a range of which each is to be read whole before any of it is written.
pub(crate) fn windows(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut start = range.start;
    iter::from_fn(move || {
        let end = (start / WINDOW_BYTES + 1).saturating_mul(WINDOW_BYTES).min(range.end);
        (start < range.end).then(|| mem::replace(&mut start, end)..end)
    })
}

/// How long the bytes of a window are.
pub(crate) fn bytes_in(window: &Range<u64>) -> usize {
    usize::try_from(window.end.saturating_sub(window.start)).unwrap_or(usize::MAX)
}

/// Writes what was read of a window to where it was.
pub(crate) fn write_again(file: &File, bytes: &[u8], offset: u64) -> Result<(), Error> {
    let mut at = offset;
    for piece in bytes.chunks(WRITE_BYTES) {
        file.rewrite_at(piece, at)?;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(())
}
