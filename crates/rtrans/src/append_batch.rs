//! `Batch`: records that are appended in one step, and the conditions under which they are.
//! Refuses nothing itself: what is too large or comes too late is told when it is appended.

use crate::commit::ExpectLast;
use crate::frame::Unframed;
use crate::ids::{TransId, TypeNo};
use crate::options::Level;

/// Records that are appended together: after a crash all of them are there, or none.
///
/// ```
/// use rtrans::{Batch, Level, Log, Options, TypeNo};
///
/// # let sim = host::sim::SimDisk::new(1);
/// # let log = Log::open_on(&sim.disk(), &host::Clock::system(), Options::default())?;
/// let batch = Batch::new().push(TypeNo(1), b"debit").push(TypeNo(2), b"credit").expect_last(None);
/// let appended = log.append_batch(&batch)?;
/// assert_eq!((appended.first.map(|id| id.get()), appended.count), (Some(1), 2));
/// assert_eq!(appended.reached, Level::Disk);
/// # Ok::<(), rtrans::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch<'a> {
    pub(crate) records: Vec<Unframed<'a>>,
    pub(crate) positions: Vec<(String, TransId)>,
    pub(crate) level: Option<Level>,
    pub(crate) expect_last: Option<ExpectLast>,
    pub(crate) epoch: Option<u64>,
}

impl<'a> Batch<'a> {
    /// An empty batch.
    pub fn new() -> Batch<'a> {
        Batch::default()
    }

    /// With one more record.
    #[must_use]
    pub fn push(mut self, type_no: TypeNo, bytes: &'a [u8]) -> Batch<'a> {
        self.records.push(Unframed::new(type_no.0, bytes));
        self
    }

    /// At this level instead of the one in the options.
    #[must_use]
    pub fn level(self, level: Level) -> Batch<'a> {
        Batch { level: Some(level), ..self }
    }

    /// Only if this is the last record at that moment; `None`: only if the log is empty, or all of it was rolled back.
    #[must_use]
    pub fn expect_last(self, last: Option<TransId>) -> Batch<'a> {
        Batch { expect_last: Some(ExpectLast(last)), ..self }
    }

    /// Only if no writer of a higher epoch has taken over, see [`Log::fence`](crate::Log::fence).
    #[must_use]
    pub fn epoch(self, epoch: u64) -> Batch<'a> {
        Batch { epoch: Some(epoch), ..self }
    }

    /// Together with a position in another log.
    ///
    /// This is what exactly-once processing needs: a consumer that appends its results to this log notes here, in the
    /// same step, how far it has read the other one, and asks [`Log::position`](crate::Log::position) after a restart.
    /// A rollback of this log does not take such a position back: whoever rolls results back notes it anew. Format 1 has no
    /// place for it, and refuses the batch.
    #[must_use]
    pub fn position(mut self, name: &str, id: TransId) -> Batch<'a> {
        self.positions.push((name.to_owned(), id));
        self
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first of its records; `None` when it had none.
    pub first: Option<TransId>,
    /// How many records it had; they follow each other.
    pub count: u64,
    /// What it survives.
    pub reached: Level,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Its id.
    pub id: TransId,
    /// What it survives: the level that was asked for, or a higher one.
    pub reached: Level,
}
