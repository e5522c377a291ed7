//! The program's own tokio runtime: one thread, for waiting and for asking sources.
//! Refuses to run the downloads; the hold has its own.

use tokio::runtime::{Builder, Runtime};

use crate::exit::{Failure, Outcome};

/// A runtime that goes on while the caller waits for something else.
pub(crate) fn runtime_with_a_thread() -> Outcome<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("origin")
        .enable_all()
        .build()
        .map_err(|error| Failure::io("starting a runtime", &error))
}

/// A runtime that runs while the caller waits for it.
pub(crate) fn runtime() -> Outcome<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("starting the runtime", &error))
}
