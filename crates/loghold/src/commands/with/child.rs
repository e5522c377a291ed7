//! The command that is run for the user, and the signals that are passed on to it.
//! Refuses to end it: it ends itself, and its code becomes ours.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use crate::commands::with::cannot_run;
use crate::exit::{Exit, Failure, Outcome};

/// A signal that a user or a service manager ends a run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Interrupt,
    Terminate,
    HangUp,
    Quit,
}

impl Heard {
    /// How a run ends that hears it before there is a command.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Heard::Interrupt | Heard::Quit => Exit::Interrupted,
            Heard::Terminate | Heard::HangUp => Exit::Terminated,
        }
    }

    fn signal(self) -> Signal {
        match self {
            Heard::Interrupt => Signal::INT,
            Heard::Terminate => Signal::TERM,
            Heard::HangUp => Signal::HUP,
            Heard::Quit => Signal::QUIT,
        }
    }

    /// A terminal sends these to all that runs in its foreground: the command has it already.
    fn comes_from_a_terminal(self) -> bool {
        matches!(self, Heard::Interrupt | Heard::Quit) && std::io::stdin().is_terminal()
    }
}

/// Listens from the moment it is made.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Listener,
    terminate: Listener,
    hang_up: Listener,
    quit: Listener,
}

impl Signals {
    /// Needs a tokio runtime around it.
    pub(crate) fn listen() -> Outcome<Signals> {
        let of_kind = |kind| signal(kind).map_err(|error| Failure::io("listening for signals", &error));
        Ok(Signals {
            interrupt: of_kind(SignalKind::interrupt())?,
            terminate: of_kind(SignalKind::terminate())?,
            hang_up: of_kind(SignalKind::hangup())?,
            quit: of_kind(SignalKind::quit())?,
        })
    }

    pub(crate) async fn received(&mut self) -> Heard {
        tokio::select! {
            _ = self.interrupt.recv() => Heard::Interrupt,
            _ = self.terminate.recv() => Heard::Terminate,
            _ = self.hang_up.recv() => Heard::HangUp,
            _ = self.quit.recv() => Heard::Quit,
        }
    }
}

/// The command, running.
#[derive(Debug)]
pub(crate) struct Child {
    child: tokio::process::Child,
    name: String,
}

impl Child {
    /// Starts it with these variables set, or unset where `None`.
    pub(crate) fn start(
        words: &[OsString],
        variables: Vec<(&'static str, Option<OsString>)>,
    ) -> Outcome<Child> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Failure::usage("no command is given"));
        };
        let name = program.display().to_string();
        let mut command = tokio::process::Command::new(program);
        command.args(arguments);
        for (variable, value) in variables {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        let child = command.spawn().map_err(|error| cannot_run(&name, &error))?;
        Ok(Child { child, name })
    }

    /// Its exit code, or 128 and the number of the signal that ended it, as shells do.
    pub(crate) async fn ended(&mut self) -> Outcome<u8> {
        let waited = self.child.wait().await;
        let status = waited.map_err(|error| Failure::io(format!("waiting for {}", self.name), &error))?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    pub(crate) fn pass_on(&self, heard: Heard) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id
            && !heard.comes_from_a_terminal()
        {
            // One that has just ended needs it no more.
            kill_process(id, heard.signal()).unwrap_or_default();
        }
    }
}
