//! `Map`: the bytes of a file, read without a system call each.
//! It refuses to lend its bytes: another process may change them at any time, so that they are copied before they are believed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::failed;
use crate::file::File;
use crate::media::Mapped;

/// The first bytes of a file, mapped into memory. Made by [`File::map`]; it stays good when the file is renamed or removed,
/// and keeps no descriptor open.
///
/// The file must not be cut below the mapped length while the map lives: the system ends a process that touches
/// bytes which are no longer there. A map therefore suits files of fixed length only.
#[derive(Debug)]
pub struct Map {
    path: Arc<Path>,
    len: u64,
    bytes: Bytes,
}

#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(Box<dyn Mapped>),
    /// The simulation reads through, so that its faults reach every read.
    Read(File),
}

impl Map {
    pub(crate) fn new(path: Arc<Path>, len: u64, bytes: Bytes) -> Map {
        Map { path, len, bytes }
    }

    /// How many bytes are mapped.
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty map is as good as any other; callers compare the length"
    )]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills the buffer with what is at `offset` now. Beyond the mapped length it is `UnexpectedEof`.
    #[inline]
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.bytes {
            Bytes::Mapped(mapped) => {
                mapped.copy_at(buffer, offset).ok_or_else(|| self.beyond(buffer.len(), offset))
            }
            Bytes::Read(file) => file.read_exact_at(buffer, offset),
        }
    }

    #[cold]
    fn beyond(&self, wanted: usize, offset: u64) -> io::Error {
        let message =
            format!("{wanted} bytes from {offset} reach beyond the {} bytes that are mapped", self.len);
        failed("read", &self.path, io::Error::new(io::ErrorKind::UnexpectedEof, message))
    }
}
