//! The program's own tokio runtime: one thread, for waiting and for asking sources.
//! Refuses to run the downloads; the hold has its own.

use std::io;

use host::{RUNTIME_HANDLES, RUNTIME_THREADS, expect_handles, expect_threads};
use tokio::runtime::{Builder, Runtime};

use crate::exit::{Failure, Outcome};

/// A runtime that goes on while the caller waits for something else.
pub(crate) fn runtime_with_a_thread() -> Outcome<Runtime> {
    expect_handles(RUNTIME_HANDLES).map_err(|error| failed(&error))?;
    // tokio panics where it cannot start one.
    expect_threads(1 + RUNTIME_THREADS).map_err(|error| failed(&error))?;
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("origin")
        .enable_all()
        .build()
        .map_err(|error| failed(&error))
}

/// A runtime that runs while the caller waits for it.
pub(crate) fn runtime() -> Outcome<Runtime> {
    expect_handles(RUNTIME_HANDLES).map_err(|error| failed(&error))?;
    Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> Failure {
    Failure::io("starting the runtime", error)
}
