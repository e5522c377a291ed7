//! ^C and the polite kill, for commands that run in threads of their own.
//! Refuses to end the process at the first signal: what runs ends itself, consistent. The second one ends it.

use std::sync::{Arc, OnceLock};
use std::thread;

use crate::exit::{Exit, Failure, Outcome};
use crate::runtime::runtime;
use crate::stop_signal::StopSignal;

/// Whether a signal came. Cloning is cheap, and all clones know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    exit: Arc<OnceLock<Exit>>,
}

impl Stop {
    /// Listens from now on; calls `act` once a signal came.
    pub(crate) fn listen(act: impl FnOnce(Exit) + Send + 'static) -> Outcome<Stop> {
        let stop = Stop::default();
        let told = stop.clone();
        let runtime = runtime()?;
        let mut signals = runtime.block_on(async { StopSignal::listen() })?;
        let wait = move || {
            let exit = runtime.block_on(signals.received());
            // Only this thread sets it, and once.
            let _is_first = told.exit.set(exit);
            act(exit);
            let again = runtime.block_on(signals.received());
            std::process::exit(again as i32);
        };
        // It ends with the process.
        thread::Builder::new()
            .name("signals".to_string())
            .spawn(wait)
            .map(drop)
            .map_err(|error| Failure::io("starting a thread", &error))?;
        Ok(stop)
    }

    /// The exit code that belongs to the signal, once one came.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exit.get().copied()
    }
}
