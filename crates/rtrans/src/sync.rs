//! Locks, atomics and threads that wait, of what callers share in a group commit; in one kind of test, those of a scheduler.
//! Refuses to add anything: code is written as with the library's own.

#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) use std::thread;

/// The scheduler runs all threads of a test on one, and chooses at each operation of these which goes on. They are for the
/// tests in `interleavings` alone: outside of them they panic.
#[cfg(all(test, feature = "interleavings"))]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};
