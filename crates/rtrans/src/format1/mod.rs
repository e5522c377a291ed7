//! Format 1: the tree of the original program, byte for byte, written so that it survives a crash.
//! Refuses what the format cannot carry: times, batches that are atomic, a checksum over everything.
//!
//! | Where | What |
//! |---|---|
//! | [`position`], [`entry`], [`data`], [`ruby`], [`verdict`] | pure: where things lie, how they look, what a crash left |
//! | [`files`], [`stored`], [`look`], [`recognise`] | reading one record; finding the ends; telling who wrote the log |
//! | [`shelf`] | what readers share |
//! | [`writer`], [`gather`], [`handles`], [`behind`], [`cut`] | what the one writer does |
//! | [`doubtful`] | what a crash may have torn, and where it did |
//! | [`recover`] | opening to write |
//! | [`audit`] | reading all of it, to say what is not as it was written |

mod audit;
mod behind;
mod cut;
mod data;
mod doubtful;
mod entry;
mod files;
mod gather;
mod handles;
mod look;
mod position;
mod recognise;
mod recover;
mod ruby;
mod shelf;
mod stored;
mod verdict;
mod writer;

use std::sync::Arc;

use host::Disk;

use crate::error::Error;
use crate::parameters::Parameters;
use crate::recovery::Recovery;

pub(crate) use audit::{audit, snapshot};
pub(crate) use shelf::Shelf;
pub(crate) use verdict::Attested;
pub(crate) use writer::Writer;

/// A log that was opened to write.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) writer: Writer,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) recovery: Recovery,
}

/// Opens a log to write, and mends its end. The caller holds the lock and has read the parameters.
///
/// `attested` is the highest record that is known to have been durable, 0 for none; `None` when nobody knows, as for a
/// log that another program has written. What is bad behind it was torn by a crash and is cut; what is bad up to it is
/// damage, which is reported and never cut. When nobody knows, only what is bad at the very end is cut.
///
/// # Errors
/// [`Error::Unsupported`] for logs of the original program; [`Error::BadParameters`].
pub(crate) fn open(
    disk: &Disk,
    parameters: &Parameters,
    attested: impl Into<Option<u64>>,
) -> Result<Opened, Error> {
    let attested = attested.into().map_or(Attested::Unknown, Attested::Upto);
    recover::open(disk, parameters, attested)
}

#[cfg(test)]
#[path = "../../tests/format1/mod.rs"]
mod tests;
