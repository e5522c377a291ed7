//! Pieces of one file that follow each other, gathered so that many go in one call.
//! Refuses calls of more than 64 KiB: larger ones are slower on some machines.

use super::handles::Handles;
use super::position::Key;
use crate::error::Error;

/// Bytes of one write, and so many are gathered.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// A gap of up to so many bytes is filled with zeros rather than skipped.
const GAP_BYTES_MAX: u64 = 4096;

/// Bytes on their way to one place.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// The file, and where in it the bytes go.
    place: Option<(Key, u64)>,
    bytes: Vec<u8>,
}

impl Gather {
    /// Adds pieces that follow each other from an offset on. Writes first what cannot be joined with them.
    pub(crate) fn push(
        &mut self,
        handles: &mut Handles,
        key: Key,
        offset: u64,
        pieces: &[&[u8]],
    ) -> Result<(), Error> {
        let len = pieces.iter().fold(0usize, |len, piece| len.saturating_add(piece.len()));
        match self.gap_to(key, offset) {
            Some(gap) if !self.is_full_for(key, len) => {
                self.bytes.resize(self.bytes.len().saturating_add(gap), 0);
            }
            _ => {
                self.flush(handles)?;
                self.place = Some((key, offset));
            }
        }
        for piece in pieces {
            if piece.len() >= WRITE_BYTES_MAX {
                self.write(handles)?;
                self.write_through(handles, piece)?;
            } else {
                self.bytes.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    /// Whether bytes for a file cannot be added without writing some first.
    pub(crate) fn is_full_for(&self, key: Key, len: usize) -> bool {
        let is_other = self.place.is_some_and(|(gathered, _)| gathered != key);
        is_other || (!self.bytes.is_empty() && self.bytes.len().saturating_add(len) > WRITE_BYTES_MAX)
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&mut self, handles: &mut Handles) -> Result<(), Error> {
        self.write(handles)?;
        self.place = None;
        Ok(())
    }

    /// Forgets what was gathered.
    pub(crate) fn clear(&mut self) {
        self.place = None;
        self.bytes.clear();
    }

    /// How many bytes are between what was gathered and an offset of the same file, when they are few.
    fn gap_to(&self, key: Key, offset: u64) -> Option<usize> {
        let (gathered, start) = self.place?;
        let gap = offset.checked_sub(start.saturating_add(self.bytes.len() as u64))?;
        (gathered == key && gap <= GAP_BYTES_MAX).then_some(usize::try_from(gap).ok()?)
    }

    fn write(&mut self, handles: &mut Handles) -> Result<(), Error> {
        let bytes = std::mem::take(&mut self.bytes);
        let written = self.write_through(handles, &bytes);
        // The buffer is used again.
        self.bytes = bytes;
        self.bytes.clear();
        written
    }

    /// Writes bytes behind those that were gathered and written.
    fn write_through(&mut self, handles: &mut Handles, bytes: &[u8]) -> Result<(), Error> {
        let Some((key, offset)) = &mut self.place else { return Ok(()) };
        for piece in bytes.chunks(WRITE_BYTES_MAX) {
            handles.written(*key)?.write_all_at(piece, *offset)?;
            *offset = offset.saturating_add(piece.len() as u64);
        }
        Ok(())
    }
}
