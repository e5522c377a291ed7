//! `Blocks`: bytes of one place in a file, in memory as a disk takes and gives them without a copy.
//! It refuses to grow, and to know a file: it is handed to one.

use std::io;

use crate::file::File;

/// Bytes of one place in a file, gathered for [`File::write_blocks`] or read by [`File::read_blocks`].
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
    /// A block more than there is room for, so that blocks of it can be chosen that lie where blocks do.
    memory: Box<[u8]>,
    begin: usize,
    end: usize,
    /// Where the first byte belongs.
    offset: u64,
}

impl Blocks {
    /// Takes memory for `bytes_max` bytes, and for more up to the end of a block. The first belongs at `offset`.
    #[must_use]
    pub fn new(bytes_max: usize, offset: u64) -> Blocks {
        let room = bytes_max.saturating_add(into_block(offset)).max(1).next_multiple_of(File::BLOCK_BYTES);
        let memory = vec![0; room.saturating_add(File::BLOCK_BYTES)].into_boxed_slice();
        let mut blocks = Blocks { memory, begin: 0, end: 0, offset };
        blocks.restart(offset);
        blocks
    }

    /// Forgets the bytes; the next one belongs at `offset`.
    pub fn restart(&mut self, offset: u64) {
        self.begin = self.first_block() + into_block(offset);
        self.end = self.begin;
        self.offset = offset;
    }

    /// Takes bytes as far as there is room, and says how many.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let (taken, _) = bytes.split_at(bytes.len().min(room.len()));
        if let Some(place) = room.get_mut(..taken.len()) {
            place.copy_from_slice(taken);
        }
        self.end += taken.len();
        taken.len()
    }

    /// Takes what `read` gives, from the offset that it is told, until there is no room or it gives nothing.
    pub(crate) fn fill(
        &mut self,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<()> {
        while !self.is_full() {
            let next = self.offset.saturating_add(self.len() as u64);
            let read = read(self.room(), next)?;
            if read == 0 {
                break;
            }
            self.end += read;
        }
        Ok(())
    }

    /// What was taken, in order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.begin..self.end).unwrap_or_default()
    }

    /// Where in the file the first byte belongs.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes were taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.begin
    }

    /// Whether nothing was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == self.begin
    }

    /// Whether nothing more would be taken. Then the bytes end where a block of the file does.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.end == self.last_end()
    }

    /// One that begins within a block has as much less, so that what follows begins with a block.
    fn room(&mut self) -> &mut [u8] {
        let last_end = self.last_end();
        self.memory.get_mut(self.end..last_end).unwrap_or_default()
    }

    fn first_block(&self) -> usize {
        // Where the place is not known, speed is lost and nothing else.
        self.memory.as_ptr().align_offset(File::BLOCK_BYTES) % File::BLOCK_BYTES
    }

    fn last_end(&self) -> usize {
        self.first_block() + self.memory.len() - File::BLOCK_BYTES
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
    fn bytes_lie_in_memory_as_in_the_file_up_to_the_end_of_a_block() {
        for offset in [0, 1, 4_095, 4_096, (1 << 40) + 77] {
            let mut blocks = Blocks::new(20_000, 0);
            blocks.restart(offset);
            let mut taken = 0;
            while !blocks.is_full() {
                taken += blocks.take(&[u8::try_from(taken % 251).unwrap(); 777]);
                assert_eq!(blocks.len(), taken);
            }
            assert_eq!(blocks.bytes().as_ptr().addr() % File::BLOCK_BYTES, into_block(offset));
            assert_eq!(taken, 20_480 - into_block(offset));
            assert_eq!(blocks.take(&[1]), 0);
        }
    }

    #[test]
    fn a_fill_asks_for_what_is_missing_until_nothing_comes() {
        let file: Vec<u8> = (0..9_000).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut asked = Vec::new();
        let mut blocks = Blocks::new(5_000, 4_000);
        let read = |room: &mut [u8], offset: u64| {
            asked.push((offset, room.len()));
            let rest = &file[usize::try_from(offset).unwrap().min(file.len())..];
            let count = rest.len().min(room.len()).min(3_000);
            room[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        };
        blocks.fill(read).unwrap();
        assert_eq!(asked, [(4_000, 8_288), (7_000, 5_288), (9_000, 3_288)]);
        assert_eq!(blocks.bytes(), &file[4_000..]);
    }
}
