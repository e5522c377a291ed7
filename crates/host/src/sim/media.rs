//! The simulated disk as the handles see it: every call is counted, judged, traced, and refused after a crash.
//! It refuses to hold state of its own: it is a key to the shared one.

use std::fmt;
use std::io;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::Shared;
use super::content::PAGE_BYTES;
use super::fault::Verdict;
use super::names::FileId;
use super::state::State;
use crate::blocks::Blocks;
use crate::disk::{Entry, Space, Stat};
use crate::lock::LockError;
use crate::media::{Content, Held, HeldLock, Mapped, Media, Onto, Open, Watching};
use crate::path::invalid;

/// Offsets are signed in the system calls.
const OFFSET_MAX: u64 = i64::MAX.unsigned_abs();

/// The right to use the disk until the next crash.
#[derive(Clone)]
pub(super) struct SimMedia {
    shared: Shared,
    generation: u64,
}

/// How a sync ends: `Lost` marks everything clean without writing it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Written,
    Lost,
}

impl SimMedia {
    pub(super) fn new(shared: Shared, generation: u64) -> SimMedia {
        SimMedia { shared, generation }
    }

    fn call<T>(
        &self,
        what: impl fmt::Display,
        body: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.shared.state();
        self.check(&state)?;
        let done = match state.faults.admit(false) {
            Verdict::Go => body(&mut state),
            Verdict::Fail(error) | Verdict::Lose(error) => Err(error),
        };
        note(&mut state, &what, &done);
        done
    }

    /// The body is run also for a sync that fails, to mark what was to be written as clean.
    fn sync_call(
        &self,
        what: impl fmt::Display,
        body: impl FnOnce(&mut State, Sync) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.shared.state_for_sync();
        self.check(&state)?;
        let done = match state.faults.admit(true) {
            Verdict::Go => body(&mut state, Sync::Written),
            Verdict::Fail(error) => Err(error),
            Verdict::Lose(error) => body(&mut state, Sync::Lost).and(Err(error)),
        };
        note(&mut state, &what, &done);
        done
    }

    fn check(&self, state: &State) -> io::Result<()> {
        if self.generation == state.generation {
            Ok(())
        } else {
            Err(io::Error::other("the handle is from before the crash: take SimDisk::disk anew"))
        }
    }
}

impl Media for SimMedia {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(format_args!("create_dir {}", path.display()), |state| state.create_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.call(format_args!("list {}", path.display()), |state| state.list(path))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.call(format_args!("stat {}", path.display()), |state| state.stat(path))
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn Content>> {
        let id = self.call(format_args!("open {how:?} {}", path.display()), |state| {
            let id = state.open(path, how)?;
            let file = state.file(id)?;
            file.handles = file.handles.saturating_add(1);
            Ok(id)
        })?;
        Ok(Arc::new(SimFile { media: self.clone(), id, is_writable: how != Open::Read }))
    }

    fn rename(&self, from: &Path, to: &Path, onto: Onto) -> io::Result<()> {
        let what = format_args!("rename {} {}", from.display(), to.display());
        self.call(what, |state| state.rename(from, to, onto))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(format_args!("remove_file {}", path.display()), |state| state.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call(format_args!("remove_dir {}", path.display()), |state| state.remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sync_call(format_args!("sync_dir {}", path.display()), |state, sync| {
            let dir = state.live.find_dir(path)?;
            match sync {
                Sync::Written => state.sync_dir(dir),
                Sync::Lost => state.lose_dir(dir),
            }
            Ok(())
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_call("sync_all", |state, sync| {
            match sync {
                Sync::Written => state.sync_all(),
                Sync::Lost => state.lose_all(),
            }
            Ok(())
        })
    }

    fn space(&self) -> io::Result<Space> {
        self.call("space", |state| Ok(state.space()))
    }

    fn file_system(&self) -> io::Result<&'static str> {
        Ok("simulation")
    }

    fn watch(&self, path: &Path) -> io::Result<Box<dyn Watching>> {
        self.call(format_args!("watch {}", path.display()), |state| state.stat(path).map(|_| ()))?;
        Ok(Box::new(SimWatch))
    }

    fn lock(&self, path: &Path) -> Result<Held, LockError> {
        let what = format_args!("lock {}", path.display());
        let taken = self.call(what, |state| {
            let id = match state.open(path, Open::Edit) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => state.open(path, Open::Create)?,
                opened => opened?,
            };
            if let Some(pid) = state.locks.get(&id) {
                return Ok(Err(*pid));
            }
            state.locks.insert(id, process::id());
            Ok(Ok(id))
        });
        match taken {
            Ok(Ok(id)) => Ok(Box::new(SimLock { media: self.clone(), id })),
            Ok(Err(pid)) => Err(LockError::Held { pid: Some(pid) }),
            Err(error) => Err(LockError::Io(error)),
        }
    }
}

impl fmt::Debug for SimMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimMedia(generation {})", self.generation)
    }
}

#[derive(Debug)]
struct SimFile {
    media: SimMedia,
    id: FileId,
    is_writable: bool,
}

impl SimFile {
    /// A call that changes the file, up to the byte `end`.
    fn edit(
        &self,
        what: impl fmt::Display,
        end: u64,
        body: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> io::Result<()> {
        self.media.call(what, |state| {
            if !self.is_writable {
                return Err(Errno::BADF.into());
            }
            if end > OFFSET_MAX {
                return Err(invalid("the offset is beyond what a file can have"));
            }
            body(state)
        })
    }
}

impl Content for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let what = format_args!("read {} +{} {}", self.id.0, offset, buffer.len());
        self.media.call(what, |state| Ok(state.file(self.id)?.live.read(buffer, offset)))
    }

    fn read_past_cache(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        self.edit(format_args!("write {} +{} {}", self.id.0, offset, bytes.len()), end, |state| {
            if bytes.is_empty() {
                return Ok(());
            }
            state.allocate(self.id, end)?;
            state.file(self.id)?.write(bytes, offset);
            Ok(())
        })
    }

    fn write_blocks(&self, blocks: &Blocks) -> io::Result<()> {
        self.write_all_at(blocks.bytes(), blocks.offset())
    }

    fn rewrite_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        self.edit(format_args!("rewrite {} +{} {}", self.id.0, offset, bytes.len()), end, |state| {
            // A disk gives room by blocks: the rest of one that was begun takes none.
            if end > state.file(self.id)?.allocated.next_multiple_of(PAGE_BYTES) {
                state.allocate(self.id, end)?;
            }
            state.file(self.id)?.rewrite(bytes, offset);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.media.call(format_args!("len {}", self.id.0), |state| Ok(state.file(self.id)?.live.len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.edit(format_args!("set_len {} {len}", self.id.0), len, |state| {
            let file = state.file(self.id)?;
            file.allocated = file.allocated.min(len);
            file.set_len(len);
            Ok(())
        })
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.edit(format_args!("preallocate {} {len}", self.id.0), len, |state| {
            state.allocate(self.id, len)?;
            let file = state.file(self.id)?;
            if file.live.len() < len {
                file.set_len(len);
            }
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.media.sync_call(format_args!("sync {}", self.id.0), |state, sync| {
            let file = state.file(self.id)?;
            match sync {
                Sync::Written => file.sync(),
                Sync::Lost => file.lose(),
            }
            Ok(())
        })
    }

    /// A crash leaves any part of what was not synced, so that there is nothing to begin with.
    fn begin_sync(&self) -> io::Result<()> {
        self.media.call(format_args!("begin_sync {}", self.id.0), |_| Ok(()))
    }

    fn evict(&self) -> io::Result<()> {
        self.media.call(format_args!("evict {}", self.id.0), |_| Ok(()))
    }

    fn map(&self, _len: u64) -> io::Result<Option<Box<dyn Mapped>>> {
        Ok(None)
    }
}

/// Nobody else writes to a simulated disk, and its time stands still: a wait is over at once, and the caller looks.
#[derive(Debug)]
struct SimWatch;

impl Watching for SimWatch {
    fn wait(&mut self, _timeout: Duration) -> io::Result<bool> {
        Ok(false)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.media.shared.state();
        if self.media.check(&state).is_ok() {
            state.close(self.id);
        }
    }
}

#[derive(Debug)]
struct SimLock {
    media: SimMedia,
    id: FileId,
}

impl HeldLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.media.shared.state();
        if self.media.check(&state).is_ok() {
            state.locks.remove(&self.id);
        }
    }
}

fn note<T>(state: &mut State, what: &impl fmt::Display, done: &io::Result<T>) {
    let call = state.faults.calls();
    state.note(match done {
        Ok(_) => format!("{call} {what}"),
        Err(error) => format!("{call} {what}: {error}"),
    });
}
