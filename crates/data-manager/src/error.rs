//! What can go wrong for a caller, in kinds that say what to do next.
//! Refuses to grow a kind that no caller would treat differently.

use std::fmt;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call or its argument is wrong: fix it and call again.
    Invalid,
    /// The id is known already with other content: use another id.
    Conflict,
    /// There is no such chunk, dataset or block here.
    Missing,
    /// Another process owns the data directory.
    Locked,
    /// A disk has no room: free space, or raise the limit.
    Full,
    /// Something on disk is damaged: run verify.
    Corrupt,
    /// The source failed or refused; it is tried again in the background.
    Source,
    /// The time given ran out; what was asked for goes on.
    TimedOut,
    /// The data manager is closed: open it again.
    Closed,
    /// The operating system refused a file operation.
    Io,
}

/// An error of the hold: a kind to act on, and a message that names what happened to what.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of the hold's calls.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), source: None }
    }

    /// An operating system error, met while doing `what` (a phrase such as "creating the staging directory").
    pub(crate) fn io(what: impl fmt::Display, error: std::io::Error) -> Error {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Error { kind, message: format!("{what}: {error}"), source: Some(Box::new(error)) }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
