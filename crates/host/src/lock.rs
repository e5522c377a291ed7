//! `DirLock`: the guard that says one process owns a directory.
//! It refuses to break anybody's lock: the operating system ends the lock of a dead owner by itself.

use std::error::Error;
use std::fmt;
use std::io;

use crate::media::Held;

/// Ownership of a directory, from [`Disk::lock`](crate::Disk::lock). Dropping it unlocks.
#[derive(Debug)]
#[must_use = "the lock ends when this is dropped"]
pub struct DirLock {
    _held: Held,
}

impl DirLock {
    pub(crate) fn new(held: Held) -> DirLock {
        DirLock { _held: held }
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another owner is alive.
    Held {
        /// The owner's process id; `None` when it has not been written yet.
        pid: Option<u32>,
    },
    /// The lock file could not be opened, locked or written.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { pid: Some(pid) } => write!(f, "process {pid} holds the lock"),
            LockError::Held { pid: None } => f.write_str("another process holds the lock"),
            LockError::Io(error) => error.fmt(f),
        }
    }
}

impl Error for LockError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LockError::Held { .. } => None,
            LockError::Io(error) => error.source(),
        }
    }
}
