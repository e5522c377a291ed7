//! What a disk must be able to do, so that the real and the simulated one are interchangeable below the handles.
//! It refuses every convenience: compound operations are written once, above it, in `publish`.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::blocks::Blocks;
use crate::disk::{Entry, Space, Stat};
use crate::lock::LockError;

/// One directory tree. Paths arrive checked by `path::inside`: relative, plain components only; empty is the root.
pub(crate) trait Media: fmt::Debug + Send + Sync {
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn Content>>;
    fn rename(&self, from: &Path, to: &Path, onto: Onto) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    fn sync_all(&self) -> io::Result<()>;
    fn space(&self) -> io::Result<Space>;
    fn file_system(&self) -> io::Result<&'static str>;
    fn lock(&self, path: &Path) -> Result<Held, LockError>;
    fn watch(&self, path: &Path) -> io::Result<Box<dyn Watching>>;
}

/// The bytes of one open file.
pub(crate) trait Content: fmt::Debug + Send + Sync {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Reads past the cache, where that is possible.
    fn read_past_cache(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes whole blocks past the cache where that is possible, and the rest as any bytes.
    fn write_blocks(&self, blocks: &Blocks) -> io::Result<()>;
    /// Writes whole blocks past the cache, where that is possible.
    fn rewrite_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn preallocate(&self, len: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    /// Has the device begin with what [`Content::sync`] will wait for.
    fn begin_sync(&self) -> io::Result<()>;
    fn evict(&self) -> io::Result<()>;
    /// Maps the first `len` bytes; `None` where bytes are better read than mapped.
    fn map(&self, len: u64) -> io::Result<Option<Box<dyn Mapped>>>;
}

/// Bytes of a file that lie in memory.
pub(crate) trait Mapped: fmt::Debug + Send + Sync {
    /// Copies what is at `offset` now; `None` beyond the mapped length.
    fn copy_at(&self, buffer: &mut [u8], offset: u64) -> Option<()>;
}

/// Waits for somebody to change a file.
pub(crate) trait Watching: fmt::Debug + Send + Sync {
    /// Whether it changed since the last call, within the time.
    fn wait(&mut self, timeout: Duration) -> io::Result<bool>;
}

/// A lock that is held; dropping it unlocks.
pub(crate) type Held = Box<dyn HeldLock>;

/// What keeps a lock: nobody asks it anything, it only has to be dropped.
pub(crate) trait HeldLock: fmt::Debug + Send + Sync {}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Edit,
    /// A file that does not exist yet, to read and write.
    Create,
}

/// What a rename does with a target that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onto {
    /// It is refused.
    Nothing,
    /// A file takes the place of a file.
    File,
}
