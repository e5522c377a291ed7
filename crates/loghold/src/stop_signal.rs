//! ^C and the polite kill, as something to wait for.
//! Refuses to end the process: what runs ends itself and keeps what it has.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure, Outcome};

/// Listens from the moment it is made.
#[derive(Debug)]
pub(crate) struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    /// Needs a tokio runtime around it.
    pub(crate) fn listen() -> Outcome<StopSignal> {
        let of_kind = |kind| signal(kind).map_err(|error| Failure::io("listening for ^C", &error));
        Ok(StopSignal {
            interrupt: of_kind(SignalKind::interrupt())?,
            terminate: of_kind(SignalKind::terminate())?,
        })
    }

    /// Waits for a signal; gives the exit code that belongs to it.
    pub(crate) async fn received(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}
