//! `Error`: what can go wrong between a log and its chunks, one kind for each thing that a caller would do differently.
//! Refuses to say less than which key, object, block or record, and what to do about it.

use std::error;
use std::fmt;

use rtrans::TransId;

/// Why a call failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The plan is wrong.
    Plan {
        /// The key, as it is written in the plan.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store failed.
    Store {
        /// The operation, the object and the cause.
        what: String,
        /// Whether the same call may succeed later.
        is_transient: bool,
    },
    /// The store lets a second writer replace what must be written once: chunks sealed into it could be lost.
    StoreRefused {
        /// What was seen.
        what: String,
    },
    /// An object of the store is not what was sealed.
    Damaged {
        /// Its name.
        name: String,
        /// What was found, and what was expected.
        what: String,
    },
    /// Sealing stopped, and goes on when somebody has decided what is right.
    Halted(Halt),
    /// The log failed.
    Log(rtrans::Error),
}

/// Why sealing stopped. What was sealed stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Halt {
    /// A block does not name the block before as its parent.
    ParentDiffers {
        /// The block.
        block: u64,
        /// The record that holds it.
        id: TransId,
        /// The hash of the block before.
        expected: String,
        /// What the block names.
        found: String,
    },
    /// A record names a block below the one before, or below the first block of the plan.
    NumberFell {
        /// The record.
        id: TransId,
        /// The block that it names.
        found: u64,
        /// The lowest that would fit.
        least: u64,
    },
    /// The numbers of blocks do not fit into 64 bits.
    NumberTooLarge {
        /// The record.
        id: TransId,
    },
    /// The log ends before what was sealed, or holds another record there: it was rolled back, or is another log.
    LogDiffers {
        /// The last record that was sealed.
        sealed: TransId,
        /// The last record of the log.
        last: Option<TransId>,
    },
    /// Records were trimmed before they were sealed.
    TrimmedUnsealed {
        /// The first record that is missing.
        next: TransId,
        /// The first record of the log.
        first: TransId,
    },
    /// The position in the log lies behind what the store holds: manifests are missing, or it is another store.
    StoreBehind {
        /// The position.
        position: TransId,
        /// The last record that the store holds.
        sealed: Option<TransId>,
    },
}

impl Error {
    /// An error of the plan.
    pub(crate) fn plan(key: impl Into<String>, what: impl Into<String>) -> Error {
        Error::Plan { key: key.into(), what: what.into() }
    }

    /// An object that is not what it should be.
    pub(crate) fn damaged(name: impl Into<String>, what: impl Into<String>) -> Error {
        Error::Damaged { name: name.into(), what: what.into() }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Store { is_transient, .. } => *is_transient,
            Error::Log(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl From<rtrans::Error> for Error {
    fn from(error: rtrans::Error) -> Error {
        Error::Log(error)
    }
}

impl From<Halt> for Error {
    fn from(halt: Halt) -> Error {
        Error::Halted(halt)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Plan { key, what } => write!(f, "the plan's {key}: {what}"),
            Error::Store { what, .. } => f.write_str(what),
            Error::StoreRefused { what } => write!(
                f,
                "the store does not keep the first of several writers of one name ({what}): a chunk that was sealed into \
                 it could be replaced; use one that enforces If-None-Match, such as AWS S3, Google Cloud Storage, \
                 Azure, R2 or Ceph"
            ),
            Error::Damaged { name, what } => write!(f, "{name}: {what}"),
            Error::Halted(halt) => write!(f, "sealing stopped: {halt}"),
            Error::Log(error) => write!(f, "the log: {error}"),
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Halt::ParentDiffers { block, id, expected, found } => write!(
                f,
                "block {block} (record {id}) names {found} as its parent, but the block before has the hash {expected}: \
                 roll the log back to where the two agree"
            ),
            Halt::NumberFell { id, found, least } => write!(
                f,
                "record {id} names block {found}, but {least} or more has to follow: roll the log back to before it"
            ),
            Halt::NumberTooLarge { id } => write!(f, "the block of record {id} does not fit into 64 bits"),
            Halt::LogDiffers { sealed, last } => write!(
                f,
                "record {sealed} was sealed, and the log (which ends at {}) does not hold it any more: it was rolled back \
                 below what was final, or it is another log",
                last.map_or_else(|| "none".to_owned(), |last| last.to_string())
            ),
            Halt::TrimmedUnsealed { next, first } => {
                write!(f, "record {next} was trimmed before it was sealed: the log begins at {first}")
            }
            Halt::StoreBehind { position, sealed } => write!(
                f,
                "the log says that records up to {position} are sealed, the store holds them up to {}: manifests are \
                 missing, or it is another store",
                sealed.map_or_else(|| "none".to_owned(), |sealed| sealed.to_string())
            ),
        }
    }
}

impl error::Error for Error {}
