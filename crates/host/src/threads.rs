//! Threads: whether the process may have some more, asked before libraries that panic or hang where there are none.
//! Refuses to keep any.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// What a runtime of tokio starts beside its workers as soon as some of them wait for the disk.
pub const RUNTIME_THREADS: usize = 4;

/// These threads only wait for each other.
const STACK_BYTES: usize = 64 << 10;

/// Fails as starting a thread would when the process may not have `count` more at once.
///
/// For whoever starts a runtime of tokio, which panics where it cannot start its workers, and stops for ever where it cannot
/// start those that take their place: [`RUNTIME_THREADS`].
///
/// # Errors
/// The system's own, with what to do, when there are too few.
pub fn expect_threads(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    let started = std::thread::scope(|scope| {
        // Held until all are there, so that none has ended by then.
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = || drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        let start = |_| Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, wait);
        let started: io::Result<Vec<_>> = (0..count).map(start).collect();
        drop(closed);
        // Each is waited for, so that the system has it back. None panics.
        started.map(|threads| threads.into_iter().for_each(|thread| drop(thread.join())))
    });
    started.map_err(|error| {
        let message = format!(
            "{count} more threads cannot be had at once ({error}): raise the limit of processes (`ulimit -u`, or the \
             container's pids limit)"
        );
        io::Error::new(error.kind(), message)
    })
}
