//! Pool: where blocking work of a task runs.
//! Refuses to queue it: the task waits for its own work.

/// How blocking work is kept from holding up other tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// The runtime has several threads: the others take over meanwhile.
    Threads,
    /// One thread does everything in turn, as simulations want it.
    Inline,
}

impl Pool {
    /// Runs work that may block on a disk or take milliseconds of a core.
    pub(crate) fn blocking<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            Pool::Threads => tokio::task::block_in_place(work),
            Pool::Inline => work(),
        }
    }
}
