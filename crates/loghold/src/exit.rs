//! How a run ends: the exit codes, and a failure with the words that go with it.
//! Refuses to print and to end the process; main does both.

use std::error::Error as _;
use std::process::ExitCode;
use std::{fmt, io};

use data_manager::data_source::{SourceError, SourceErrorKind};
use data_manager::error::{Error, ErrorKind};
use host::lacks_handles;

/// What the exit codes mean, as the help and the man page say it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    error
  2    the command line or its input is wrong
  3    not found
  4    incomplete: some of what was asked for is not at hand
  5    corrupt: damage was found and could not be healed
  6    a source fails
  7    disk full
  8    another process owns the data directory, or writes the log
  9    timed out
  126  the command of `with` cannot be run, 127: it is not there; else `with` ends as its command does
  130  stopped by ^C (SIGINT), 143 by SIGTERM: what was fetched is kept and used by the next run
  141  the reader of stdout went away";

/// The exit codes. Their numbers are an interface: scripts depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Error = 1,
    Usage = 2,
    NotFound = 3,
    Incomplete = 4,
    Corrupt = 5,
    SourceFails = 6,
    DiskFull = 7,
    Locked = 8,
    TimedOut = 9,
    NotRunnable = 126,
    NoCommand = 127,
    Interrupted = 130,
    PipeClosed = 141,
    Terminated = 143,
}

/// How a command that worked ends the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Own(Exit),
    /// As the command ended that was run for the user.
    OfCommand(u8),
}

impl From<Exit> for Ending {
    fn from(exit: Exit) -> Ending {
        Ending::Own(exit)
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> ExitCode {
        match ending {
            Ending::Own(exit) => exit.into(),
            Ending::OfCommand(code) => ExitCode::from(code),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a run ended without what it was asked for, and what the user can do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

const MORE_HANDLES: &str = "allow more open files: `ulimit -n 1024`";

/// The result of a command and of most of its parts.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// A refused or failed file operation, met while doing `what` (a phrase such as "reading chunks.json").
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Failure {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::DiskFull,
            _ => Exit::Error,
        };
        let failure = Failure::new(exit, format!("{what}: {error}"));
        if lacks_handles(error) { failure.hint(MORE_HANDLES) } else { failure }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let message = error.to_string();
        match error.kind() {
            ErrorKind::Invalid => Failure::usage(message),
            ErrorKind::Conflict => Failure::new(Exit::Error, message)
                .hint("an id names immutable content: give the new content a new id, or remove the old chunk first"),
            ErrorKind::Missing => Failure::new(Exit::NotFound, message),
            ErrorKind::Locked => Failure::new(Exit::Locked, message)
                .hint("one process at a time may own a data directory: end the other one, or use another --data-dir"),
            ErrorKind::Full => Failure::new(Exit::DiskFull, message)
                .hint("free some space and run the same command again: what was fetched is kept"),
            ErrorKind::Corrupt => {
                Failure::new(Exit::Corrupt, message).hint("run `loghold chunk verify` to find and heal damage")
            }
            ErrorKind::Source => Failure::new(Exit::SourceFails, message),
            ErrorKind::TimedOut => Failure::new(Exit::TimedOut, message),
            _ => {
                let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
                let is_absent = cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound);
                let exit = if is_absent { Exit::NotFound } else { Exit::Error };
                Failure { hint: cause.and_then(advice), ..Failure::new(exit, message) }
            }
        }
    }
}

/// What helps against an operating system that will not let a data directory be used.
fn advice(error: &io::Error) -> Option<String> {
    if lacks_handles(error) {
        return Some(MORE_HANDLES.to_string());
    }
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run as the user who owns the data directory: only its owner may read it"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount it writable: the data directory is locked by a file in it, also to be read"
        }
        io::ErrorKind::NotADirectory => "--data-dir names a directory",
        _ => return None,
    };
    Some(advice.to_string())
}

impl From<rtrans::Error> for Failure {
    fn from(error: rtrans::Error) -> Failure {
        use rtrans::Error as Log;
        let message = error.to_string();
        let (exit, hint) = match &error {
            Log::DiskFull(_) | Log::Full { .. } => (
                Exit::DiskFull,
                "what is in the log is kept: trims, and everything that only reads, work as before",
            ),
            Log::Locked { .. } => (Exit::Locked, "end the other process, or read the log beside it"),
            Log::NotALog { .. } => {
                (Exit::NotFound, "create one with `loghold log init`, or `append --create`")
            }
            Log::Corrupt(_) => (Exit::Corrupt, "run `loghold log check`"),
            Log::Poisoned(_) => (
                Exit::Error,
                "ids that were printed are safe; mend the disk, and go on behind the last record (`loghold log ls`)",
            ),
            Log::Trimmed { .. } | Log::BeyondEnd { .. } | Log::RolledBack { .. } => (Exit::NotFound, ""),
            Log::Io(error) => match error.kind() {
                io::ErrorKind::NotFound => (Exit::NotFound, ""),
                io::ErrorKind::PermissionDenied => (
                    Exit::Error,
                    "run as the user who owns the log; who may read its files can read, check and copy it",
                ),
                io::ErrorKind::ReadOnlyFilesystem => {
                    (Exit::Error, "mount it writable; a log there can be read, checked and copied as it is")
                }
                _ => (Exit::Error, ""),
            },
            Log::BadParameters { .. }
            | Log::BadName { .. }
            | Log::TooLarge { .. }
            | Log::Unsupported { .. } => (Exit::Usage, ""),
            _ => (Exit::Error, ""),
        };
        let failure = Failure::new(exit, message);
        if hint.is_empty() { failure } else { failure.hint(hint) }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        let exit = match error.kind {
            SourceErrorKind::Permanent => Exit::NotFound,
            SourceErrorKind::Refused => Exit::Usage,
            _ => Exit::SourceFails,
        };
        Failure::new(exit, error.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_comes_with_what_helps() {
        for (kind, words) in [
            (io::ErrorKind::PermissionDenied, "owns"),
            (io::ErrorKind::ReadOnlyFilesystem, "writable"),
            (io::ErrorKind::NotADirectory, "--data-dir"),
        ] {
            assert!(advice(&io::Error::from(kind)).unwrap().contains(words), "{kind}");
        }
        let no_handles = io::Error::from_raw_os_error(24);
        assert_eq!(advice(&no_handles).as_deref(), Some(MORE_HANDLES));
        assert_eq!(Failure::io("reading", &no_handles).hint.as_deref(), Some(MORE_HANDLES));
        assert_eq!(advice(&io::Error::other("else")), None);
        for (kind, words) in [
            (io::ErrorKind::PermissionDenied, "owns the log"),
            (io::ErrorKind::ReadOnlyFilesystem, "writable"),
        ] {
            let failure = Failure::from(rtrans::Error::from(io::Error::from(kind)));
            assert!(failure.exit == Exit::Error && failure.hint.unwrap().contains(words), "{kind}");
        }
    }
}
