//! `File`: the handle to one open file, read and written at offsets.
//! It refuses to keep a position: two users of one handle cannot disturb each other.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::blocks::Blocks;
use crate::disk::failed;
use crate::map::{Bytes, Map};
use crate::media::Content;

/// An open file. Cloning is cheap, all clones are the same open file; it closes when the last one is dropped.
///
/// Renaming or removing the path does not disturb it.
#[derive(Clone)]
pub struct File {
    /// Where it was when it was opened: for messages only.
    path: Arc<Path>,
    content: Arc<dyn Content>,
}

impl File {
    /// What [`File::rewrite_at`] takes at least, at multiples of it, and what [`File::write_blocks`] writes past memory: the largest block of the usual file systems.
    pub const BLOCK_BYTES: usize = 4096;

    pub(crate) fn new(path: Arc<Path>, content: Arc<dyn Content>) -> File {
        File { path, content }
    }

    /// Reads what is there at `offset`, perhaps less than the buffer holds; 0 at or after the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.content.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map_err(|cause| self.failed("read", cause)),
            }
        }
    }

    /// Fills `blocks` from its offset on with what the device has, past what memory caches as far as the file system can; the end of
    /// the file may come first.
    ///
    /// It is for looking whether the device still has what was written, and for reading much without driving anything else out
    /// of memory.
    pub fn read_blocks(&self, blocks: &mut Blocks) -> io::Result<()> {
        let read = blocks.fill(|room, offset| {
            loop {
                match self.content.read_past_cache(room, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    done => return done,
                }
            }
        });
        read.map_err(|cause| self.failed("read", cause))
    }

    /// Fills the buffer from `offset`. A file that ends before is `UnexpectedEof`.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let wanted = buffer.len();
        let (mut rest, mut next) = (buffer, offset);
        while !rest.is_empty() {
            let read = self.read_at(rest, next)?;
            if read == 0 {
                let message = format!("the file ends before {wanted} bytes from {offset}");
                return Err(self.failed("read", io::Error::new(io::ErrorKind::UnexpectedEof, message)));
            }
            rest = rest.get_mut(read..).unwrap_or_default();
            next = next.saturating_add(read as u64);
        }
        Ok(())
    }

    /// Writes all the bytes at `offset`; a gap before them reads as zeros. Not durable before [`File::sync`].
    ///
    /// After an error any part of the bytes may have been written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.content.write_all_at(bytes, offset).map_err(|cause| self.failed("write", cause))
    }

    /// Writes what was gathered to its place, past what memory caches as far as it is whole blocks and the file system can. Not
    /// durable before [`File::sync`].
    ///
    /// It is for much that nobody reads soon: the bytes are copied once less and drive nothing else out of memory, and what the
    /// device refuses is an error here. The room is to be [preallocated](File::preallocate): a file that grows by such writes
    /// is slow. Whoever reads or writes the same bytes at the same time sees either of both.
    ///
    /// After an error any part of the bytes may have been written.
    pub fn write_blocks(&self, blocks: &Blocks) -> io::Result<()> {
        self.content.write_blocks(blocks).map_err(|cause| self.failed("write", cause))
    }

    /// Writes bytes again that are there, past what memory caches, where the file system can: [`File::BLOCK_BYTES`] at a
    /// time, or multiples of it. Not durable before [`File::sync`].
    ///
    /// It is for bytes that a failed sync may have left in memory only: ext4 takes their blocks for written since, and
    /// what is written to them in the usual way reads as zeros after a power cut, although a later sync worked. Nobody
    /// else uses the handle meanwhile.
    pub fn rewrite_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.content.rewrite_at(bytes, offset).map_err(|cause| self.failed("write again", cause))
    }

    /// How many bytes the file holds.
    #[expect(clippy::len_without_is_empty, reason = "asking costs a system call; callers compare the length")]
    pub fn len(&self) -> io::Result<u64> {
        self.content.len().map_err(|cause| self.failed("measure", cause))
    }

    /// Cuts the file, or extends it with zeros that take no room on the disk.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.content.set_len(len).map_err(|cause| self.failed("set the length of", cause))
    }

    /// Takes the room for `len` bytes, so that `StorageFull` comes now; extends a shorter file with zeros.
    ///
    /// Where the file system cannot reserve room, only the length changes.
    pub fn preallocate(&self, len: u64) -> io::Result<()> {
        self.content.preallocate(len).map_err(|cause| self.failed("preallocate", cause))
    }

    /// Makes the bytes and the length durable (not the name: [`Disk::sync_dir`](crate::Disk::sync_dir)).
    ///
    /// After an error nothing is known, and trying again proves nothing: the system marks what it failed to write as
    /// written. Treat the file as failed until it was read anew from the device ([`File::evict`]).
    pub fn sync(&self) -> io::Result<()> {
        self.content.sync().map_err(|cause| self.failed("sync", cause))
    }

    /// Has the device begin to write what is not durable yet, without waiting: a sync is still to come, and is shorter then.
    ///
    /// It is for many files that are synced one after the other. An error means what one of [`File::sync`] means.
    pub fn begin_sync(&self) -> io::Result<()> {
        self.content.begin_sync().map_err(|cause| self.failed("begin to sync", cause))
    }

    /// Drops what memory caches of the file, so that the next read comes from the device. Unsynced bytes stay.
    ///
    /// The simulation has no cache: nothing happens there.
    pub fn evict(&self) -> io::Result<()> {
        self.content.evict().map_err(|cause| self.failed("evict", cause))
    }

    /// Maps the first `len` bytes, to read them without a system call each. See [`Map`] for what must hold meanwhile.
    ///
    /// A file that is shorter is `UnexpectedEof`. The simulation reads through instead.
    pub fn map(&self, len: u64) -> io::Result<Map> {
        if self.len()? < len {
            let message = format!("the file is shorter than the {len} bytes to map");
            return Err(self.failed("map", io::Error::new(io::ErrorKind::UnexpectedEof, message)));
        }
        let mapped = self.content.map(len).map_err(|cause| self.failed("map", cause))?;
        let bytes = mapped.map_or_else(|| Bytes::Read(self.clone()), Bytes::Mapped);
        Ok(Map::new(Arc::clone(&self.path), len, bytes))
    }

    fn failed(&self, what: &'static str, cause: io::Error) -> io::Error {
        failed(what, &self.path, cause)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.path.display())
    }
}
