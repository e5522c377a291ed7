//! Writing again what a file holds, past the memory: a failed sync has left it there as if it were on disk.
//! Refuses to change a byte, and to know whether it is needed: who opens a log to write says from where on it may be.

use host::File;

use crate::error::Error;

/// Bytes that are written at a time, in whole blocks.
const WRITE_BYTES: usize = 64 << 10;

/// Writes a file again from the block on that a place lies in, and syncs it. Nobody else may write to it meanwhile.
///
/// The last block is written whole, for no less goes past the memory, and the file has its length again before the sync. A
/// crash in between leaves zeros behind its end.
pub(crate) fn rewrite(file: &File, from: u64) -> Result<(), Error> {
    let (len, block) = (file.len()?, File::BLOCK_BYTES as u64);
    let mut bytes = vec![0; WRITE_BYTES];
    let mut at = from.min(len.saturating_sub(1)) / block * block;
    while at < len {
        let count = usize::try_from(len.saturating_sub(at)).unwrap_or(WRITE_BYTES).min(WRITE_BYTES);
        let whole = count.next_multiple_of(File::BLOCK_BYTES);
        let (there, behind) = bytes.split_at_mut_checked(count).unwrap_or_default();
        file.read_exact_at(there, at)?;
        behind.fill(0);
        match file.rewrite_at(bytes.get(..whole).unwrap_or_default(), at).map_err(Error::from) {
            // There is no room for the rest of the last block, where blocks of the disk are smaller: it goes through the memory.
            Err(Error::DiskFull(_)) => file.rewrite_at(bytes.get(..count).unwrap_or_default(), at)?,
            written => written?,
        }
        at = at.saturating_add(whole as u64);
    }
    // In any case: a cut that the failed sync had to write is in memory alone as well.
    file.set_len(len)?;
    Ok(file.sync()?)
}
