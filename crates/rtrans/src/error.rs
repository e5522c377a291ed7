//! `Error`: what can go wrong with a log, one kind for each thing that a caller would do differently.
//! Refuses to say less than which file, which record, and what to do about it.

use std::error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ids::TransId;

/// Why a call failed. Cloning is cheap: one failed sync answers many callers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused an operation; the message names the operation and the path.
    Io(Arc<io::Error>),
    /// The file system is full. Reads, positions and trims go on, and appends work again once there is room.
    DiskFull(Arc<io::Error>),
    /// The process, or the system, has no file handles left to open the next file. The same call works once there are
    /// some; after an append the log is as before.
    NoHandles(Arc<io::Error>),
    /// A write or sync failed before: nothing more is acknowledged until the log was opened anew, which checks its tail.
    Poisoned(Arc<io::Error>),
    /// Another process, or another `Log` of this one, writes to the directory.
    Locked {
        /// Its process id, where it is known.
        pid: Option<u32>,
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds no log.
    NotALog {
        /// The directory.
        path: PathBuf,
    },
    /// A log is there, and `Create::New` was asked for.
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A parameter is out of its bounds, or not the one that the log was created with.
    BadParameters {
        /// The parameter, named as in the metadata.
        name: &'static str,
        /// What was asked for.
        given: u64,
        /// What it has to be, in words.
        wanted: String,
    },
    /// The log was written in a format that this version does not know, or cannot be used in this way.
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// Bytes on disk are not what was written. Everything else stays readable.
    Corrupt(Corruption),
    /// The record was removed by a trim; the log begins later now.
    Trimmed {
        /// The first record that is still there.
        first: TransId,
    },
    /// The tail was rolled back while it was followed: records behind `after` are others now.
    RolledBack {
        /// The last record that stayed; `None` when all went.
        after: Option<TransId>,
    },
    /// Records up to the mark are final and cannot be rolled back.
    Finalized {
        /// The mark.
        upto: TransId,
    },
    /// The record is larger than the log takes.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The largest size that is taken.
        bytes_max: u64,
    },
    /// As many bytes as allowed are on their way to disk, and the options say not to wait.
    Full {
        /// The limit.
        in_flight_bytes_max: u64,
    },
    /// The log does not end where the conditional append expects it to.
    Conflict {
        /// What the caller expected to be the last record.
        expected: Option<TransId>,
        /// What is the last record.
        found: Option<TransId>,
    },
    /// A later writer has fenced off this one.
    Fenced {
        /// The epoch that the log is at.
        epoch: u64,
    },
    /// A consumer's name is not 1 to 64 of `A-Z a-z 0-9 . _ -`.
    BadName {
        /// The name.
        name: String,
    },
    /// A position lies beyond the last record.
    BeyondEnd {
        /// The position.
        id: TransId,
        /// The last record.
        last: Option<TransId>,
    },
    /// The log was closed, or follows no more.
    Closed,
}

/// Where bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The file, relative to the log's directory.
    pub path: PathBuf,
    /// Where in the file, in bytes, as far as it is known.
    pub offset: Option<u64>,
    /// The first and the last record that cannot be read because of it; `None` where no record is lost.
    pub ids: Option<(TransId, TransId)>,
    /// What was found and what was expected.
    pub what: String,
}

impl Corruption {
    pub(crate) fn at(path: &Path, offset: u64, what: impl Into<String>) -> Corruption {
        Corruption { path: path.to_owned(), offset: Some(offset), ids: None, what: what.into() }
    }

    pub(crate) fn of(path: &Path, what: impl Into<String>) -> Corruption {
        Corruption { path: path.to_owned(), offset: None, ids: None, what: what.into() }
    }

    #[must_use]
    pub(crate) fn losing(self, first: TransId, last: TransId) -> Corruption {
        Corruption { ids: Some((first, last)), ..self }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of a file that is gone not even the name may be known.
        if !self.path.as_os_str().is_empty() {
            write!(f, "{}", self.path.display())?;
            if let Some(offset) = self.offset {
                write!(f, " at byte {offset}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.what)?;
        match self.ids {
            Some((first, last)) if first == last => write!(f, " (record {first})"),
            Some((first, last)) => write!(f, " (records {first} to {last})"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// An error of the system, told apart where callers act differently.
    pub(crate) fn io(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull(Arc::new(error)),
            _ if host::lacks_handles(&error) => Error::NoHandles(Arc::new(error)),
            _ => Error::Io(Arc::new(error)),
        }
    }

    /// Every failure is final but those that left the log as it was: what reached the disk is not known any more.
    pub(crate) fn poison(self) -> Error {
        match self {
            Error::Io(error) => Error::Poisoned(error),
            other => other,
        }
    }

    /// The same error, of a step that must not be tried again: what it left behind is not known.
    pub(crate) fn unclean(self) -> Error {
        match self {
            Error::DiskFull(error) | Error::NoHandles(error) => Error::Io(error),
            other => other,
        }
    }

    /// Whether an append that failed has left the log as it was, so that the log goes on.
    pub(crate) fn is_harmless(&self) -> bool {
        matches!(self, Error::DiskFull(_) | Error::NoHandles(_))
    }

    /// Whether trying the same call later may succeed without anybody doing anything to this log.
    pub fn is_transient(&self) -> bool {
        self.is_harmless() || matches!(self, Error::Full { .. } | Error::Locked { .. })
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::io(error)
    }
}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Error {
        Error::Corrupt(corruption)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::DiskFull(error) => write!(f, "{error}: free some room and append again; reads go on"),
            Error::NoHandles(error) => {
                write!(
                    f,
                    "{error}: no file handle left: close files or raise the limit (ulimit -n), and try again"
                )
            }
            Error::Poisoned(error) => write!(
                f,
                "nothing more is taken, because a write failed ({error}): close the log, mend the disk, and open it \
                 again, which checks what really reached the disk"
            ),
            Error::Locked { pid: Some(pid), path } => {
                write!(f, "process {pid} writes to the log in {}: one writer at a time", path.display())
            }
            Error::Locked { pid: None, path } => {
                write!(f, "another process writes to the log in {}: one writer at a time", path.display())
            }
            Error::NotALog { path } => {
                write!(f, "{} holds no log: create one, or mend the path", path.display())
            }
            Error::Exists { path } => write!(f, "{} holds a log already", path.display()),
            Error::BadParameters { name, given, wanted } => {
                write!(f, "{name} is {given}, but {wanted}")
            }
            Error::Unsupported { what, instead } => write!(f, "{what}: {instead}"),
            Error::Corrupt(corruption) => write!(f, "damaged: {corruption}"),
            Error::Trimmed { first } => write!(f, "the record was trimmed: the log begins at {first}"),
            Error::RolledBack { after: Some(after) } => {
                write!(f, "the log was rolled back: what followed record {after} is gone")
            }
            Error::RolledBack { after: None } => f.write_str("the log was rolled back to nothing"),
            Error::Finalized { upto } => {
                write!(f, "records up to {upto} are final and cannot be rolled back")
            }
            Error::TooLarge { bytes, bytes_max } => {
                write!(f, "{bytes} bytes are more than the {bytes_max} that one record or batch may have")
            }
            Error::Full { in_flight_bytes_max } => {
                write!(f, "{in_flight_bytes_max} bytes are on their way to disk already: try again later")
            }
            Error::Conflict { expected, found } => {
                write!(f, "the last record is {}, not {}", or_none(*found), or_none(*expected))
            }
            Error::Fenced { epoch } => {
                write!(f, "a writer of epoch {epoch} has taken over: this one must stop")
            }
            Error::BadName { name } => {
                write!(f, "{name:?} is no consumer's name: use 1 to 64 of A-Z a-z 0-9 . _ -")
            }
            Error::BeyondEnd { id, last } => {
                write!(f, "{id} lies beyond the last record, {}", or_none(*last))
            }
            Error::Closed => f.write_str("the log is closed"),
        }
    }
}

fn or_none(id: Option<TransId>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Io(error) | Error::DiskFull(error) | Error::NoHandles(error) | Error::Poisoned(error) => {
                error.source()
            }
            _ => None,
        }
    }
}
