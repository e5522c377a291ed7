//! `Blocks`: bytes on their way to a file, in memory as a disk takes them without a copy.
//! It refuses to grow, and to write itself: who fills it says when it is full.

use crate::file::File;

/// Bytes gathered for one place in a file, for [`File::write_blocks`].
///
/// A byte lies at the same place in a block of memory as in its block of the file, which is what a device asks for that takes
/// bytes from where they are.
///
/// ```
/// use host::{Blocks, File};
///
/// let mut blocks = Blocks::new(5_000, 100);
/// assert_eq!(blocks.take(&[7; 10_000]), 2 * File::BLOCK_BYTES - 100, "it ends where a block does");
/// assert!(blocks.is_full());
/// blocks.restart(8_192);
/// assert!(blocks.is_empty());
/// ```
#[derive(Debug)]
pub struct Blocks {
    /// What is before `begin` only brings the bytes to their place. It never has more than its capacity, and so never moves.
    memory: Vec<u8>,
    begin: usize,
    bytes_max: usize,
    /// Where the first byte belongs.
    offset: u64,
}

impl Blocks {
    /// Takes memory for `bytes_max` bytes, and for more up to the end of a block. The first belongs at `offset`.
    #[must_use]
    pub fn new(bytes_max: usize, offset: u64) -> Blocks {
        let bytes_max =
            bytes_max.saturating_add(into_block(offset)).max(1).next_multiple_of(File::BLOCK_BYTES);
        let memory = Vec::with_capacity(bytes_max.saturating_add(File::BLOCK_BYTES));
        let mut blocks = Blocks { memory, begin: 0, bytes_max, offset };
        blocks.restart(offset);
        blocks
    }

    /// Forgets the bytes; the next one belongs at `offset`.
    pub fn restart(&mut self, offset: u64) {
        // Where the place is not known, speed is lost and nothing else.
        let aligned = self.memory.as_ptr().align_offset(File::BLOCK_BYTES) % File::BLOCK_BYTES;
        self.begin = aligned + into_block(offset);
        self.offset = offset;
        self.memory.clear();
        self.memory.resize(self.begin, 0);
    }

    /// Takes bytes as far as there is room, and says how many.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let (taken, _) = bytes.split_at(bytes.len().min(self.room()));
        self.memory.extend_from_slice(taken);
        taken.len()
    }

    /// What was taken, in order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.begin..).unwrap_or_default()
    }

    /// Where in the file the first byte belongs.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes were taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.len() - self.begin
    }

    /// Whether nothing was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing more would be taken. Then the bytes end where a block of the file does.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// One that begins within a block takes as much less, so that what follows begins with a block.
    fn room(&self) -> usize {
        self.bytes_max.saturating_sub(into_block(self.offset)).saturating_sub(self.len())
    }
}

/// How far into its block of a file a byte is.
pub(crate) fn into_block(offset: u64) -> usize {
    usize::try_from(offset % File::BLOCK_BYTES as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_in_memory_as_in_the_file_and_never_move() {
        for offset in [0, 1, 4_095, 4_096, (1 << 40) + 77] {
            let mut blocks = Blocks::new(20_000, 0);
            blocks.restart(offset);
            let memory = blocks.bytes().as_ptr();
            let mut taken = 0;
            while !blocks.is_full() {
                assert_eq!(blocks.bytes().as_ptr(), memory);
                taken += blocks.take(&[u8::try_from(taken % 251).unwrap(); 777]);
                assert_eq!(blocks.len(), taken);
            }
            assert_eq!(memory.addr() % File::BLOCK_BYTES, into_block(offset));
            assert_eq!((offset + taken as u64) % File::BLOCK_BYTES as u64, 0, "it ends with a block");
            assert_eq!(taken, 20_480 - into_block(offset));
            assert_eq!(blocks.take(&[1]), 0);
        }
    }
}
