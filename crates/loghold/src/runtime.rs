//! The program's own tokio runtime: one thread, for waiting and for asking sources.
//! Refuses to run the downloads; the hold has its own.

use tokio::runtime::{Builder, Runtime};

use crate::exit::{Failure, Outcome};

pub(crate) fn runtime() -> Outcome<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("starting the runtime", &error))
}
