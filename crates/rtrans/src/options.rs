//! `Options`: how a log is opened, and what the words in it mean.
//! Refuses settings that nobody would change: those are constants beside what they bound.

use host::Scheduling;

use crate::error::Error;
use crate::parameters::Parameters;

/// What an acknowledged record survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing: it lies in this process's memory, and is written within some milliseconds.
    Memory,
    /// The end of the process: it was handed to the system. A power cut may take it.
    Os,
    /// A power cut: it was synced.
    #[default]
    Disk,
}

impl Level {
    /// The word for it: `memory`, `os`, `disk`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Memory => "memory",
            Level::Os => "os",
            Level::Disk => "disk",
        }
    }
}

/// Whether a log is created where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Create {
    /// It is created when it is missing.
    #[default]
    IfMissing,
    /// It has to be there.
    Never,
    /// It must not be there.
    New,
}

/// What an append does while `in_flight_bytes_max` bytes are on their way to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits.
    #[default]
    Wait,
    /// It fails with [`Error::Full`].
    Refuse,
}

/// Who does what need not be done at once: preparing files, indexing full ones, writing what lies in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// Two threads of the log's own, and up to three that read while it is opened, one less than there are cores.
    #[default]
    Own,
    /// The calls themselves: nothing happens between them, which also makes simulations repeatable.
    None,
}

/// How a log is opened.
///
/// ```
/// use rtrans::{Level, Options};
///
/// let options = Options { level: Level::Os, ..Options::default() };
/// assert_eq!(options.record_bytes_max, 16 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The parameters. `None`: those that the log has; [`Parameters::format_2`] for a new one.
    pub parameters: Option<Parameters>,
    /// Whether to create the log.
    pub create: Create,
    /// The level of appends that name none.
    pub level: Level,
    /// The largest record, 1 byte to 1 GiB. Default 16 MiB.
    pub record_bytes_max: u32,
    /// How many bytes are gathered into one batch, 4 KiB to 16 MiB; a larger record or batch of yours is one by itself.
    /// Default 256 KiB.
    pub batch_bytes_max: u32,
    /// How many bytes may be on their way to disk, at least twice `batch_bytes_max`. Default 64 MiB.
    pub in_flight_bytes_max: usize,
    /// What an append does when that many are.
    pub when_full: WhenFull,
    /// Who does the chores.
    pub threads: Threads,
    /// What the log's own threads ask the system's scheduler for, which matters while the cores are busy. Default
    /// [`Scheduling::ShortSlice`], which takes nothing from anybody. The thread that commits gets this or the next lesser that
    /// is permitted, [`Metrics::scheduling`](crate::Metrics::scheduling) tells which; the one that prepares files gets a
    /// short slice at most, as it may work for long.
    ///
    /// Threads of callers are left alone. One that shall not wait for a core behind its own append asks for itself:
    /// `Scheduling::ShortSlice.apply_here()`. Where it does not, and is held up, the log's thread leads its group commits.
    pub scheduling: Scheduling,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            parameters: None,
            create: Create::IfMissing,
            level: Level::Disk,
            record_bytes_max: 16 << 20,
            batch_bytes_max: 256 << 10,
            in_flight_bytes_max: 64 << 20,
            when_full: WhenFull::Wait,
            threads: Threads::Own,
            scheduling: Scheduling::ShortSlice,
        }
    }
}

impl Options {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let bound = |name, given: u64, min: u64, max: u64| {
            if (min..=max).contains(&given) {
                return Ok(());
            }
            Err(Error::BadParameters { name, given, wanted: format!("it has to be {min} to {max}") })
        };
        bound("record_bytes_max", u64::from(self.record_bytes_max), 1, 1 << 30)?;
        bound("batch_bytes_max", u64::from(self.batch_bytes_max), 4 << 10, 16 << 20)?;
        let least = u64::from(self.batch_bytes_max).saturating_mul(2);
        bound("in_flight_bytes_max", self.in_flight_bytes_max as u64, least, u64::MAX)?;
        self.parameters.as_ref().map_or(Ok(()), Parameters::validate)
    }
}
