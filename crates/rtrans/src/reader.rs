//! `Reader`: all ways to read a log, for its writer and beside a writer in another process.
//! Refuses to change anything, and to return a record that was not verified.

use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use host::{Disk, Watch};

use crate::beside::{Beside, expect_dir};
use crate::commit::Commit;
use crate::consumer::ConsumerStatus;
use crate::error::Error;
use crate::follow::Follow;
use crate::ids::TransId;
use crate::options::Level;
use crate::parameters::Parameters;
use crate::record::{Record, micros_of};
use crate::scan::{Batches, Scan, ScanRev};
use crate::store::Shelf;

/// Reads a log. Cloning is cheap; all clones read the same log.
///
/// A reader of another process sees what was appended since it was opened after [`Reader::refresh`]; following,
/// scanning and [`Reader::last`] do that themselves.
///
/// ```
/// use rtrans::{Log, Options, Reader, TransId, TypeNo};
///
/// # let sim = host::sim::SimDisk::new(1);
/// # let disk = sim.disk();
/// let log = Log::open_on(&disk, &host::Clock::system(), Options::default())?;
/// log.append(TypeNo(1), b"hello")?;
///
/// let reader = Reader::open_on(&disk)?;
/// assert_eq!(reader.read(TransId::FIRST)?.map(|record| record.bytes), Some(b"hello".to_vec()));
/// assert_eq!(reader.scan(..).count(), 1);
/// # Ok::<(), rtrans::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    shelf: Shelf,
    parameters: Parameters,
    source: Source,
}

/// Where news come from.
#[derive(Clone, Debug)]
enum Source {
    /// The writer is this process.
    Commit(Arc<Commit>),
    /// The writer, if there is one, is another process.
    Files(Arc<Beside>),
}

impl Reader {
    /// Opens the log in a directory to read it, beside a writer or without one. It takes no lock and changes nothing.
    ///
    /// # Errors
    /// [`Error::NotALog`] when there is none; [`Error::Corrupt`] when its parameters are damaged.
    pub fn open(dir: impl AsRef<Path>) -> Result<Reader, Error> {
        let dir = dir.as_ref();
        // Opening a disk makes its directory; a reader makes nothing.
        expect_dir(dir)?;
        Reader::open_on(&Disk::open(dir)?)
    }

    /// Opens the log at the root of a disk to read it.
    pub fn open_on(disk: &Disk) -> Result<Reader, Error> {
        let beside = Arc::new(Beside::open(disk)?);
        Ok(Reader {
            shelf: beside.shelf().clone(),
            parameters: *beside.parameters(),
            source: Source::Files(beside),
        })
    }

    pub(crate) fn of_writer(shelf: Shelf, parameters: Parameters, commit: Arc<Commit>) -> Reader {
        Reader { shelf, parameters, source: Source::Commit(commit) }
    }

    /// The parameters that the log was created with.
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// The first record; `None` when there is none.
    pub fn first(&self) -> Option<TransId> {
        let (first, next) = self.shelf.bounds();
        TransId::new(first).filter(|_| first < next)
    }

    /// The last record; `None` when there is none. Records that lie in memory only are written first.
    pub fn last(&self) -> Option<TransId> {
        // What could not be written or seen is not there.
        drop(self.refresh());
        self.last_seen()
    }

    pub(crate) fn last_seen(&self) -> Option<TransId> {
        let (first, next) = self.shelf.bounds();
        TransId::new(next.saturating_sub(1)).filter(|_| first < next)
    }

    /// Makes everything readable that was appended until now, also by another process.
    pub fn refresh(&self) -> Result<(), Error> {
        match &self.source {
            Source::Commit(commit) => commit.flush(Level::Os),
            Source::Files(beside) => beside.refresh(),
        }
    }

    /// Reads one record: `None` when it is not there yet.
    ///
    /// # Errors
    /// [`Error::Trimmed`] when it is no longer there, [`Error::Corrupt`] when its bytes are damaged.
    pub fn read(&self, id: TransId) -> Result<Option<Record>, Error> {
        let (first, mut next) = self.shelf.bounds();
        if id.get() >= next {
            self.refresh()?;
            next = self.shelf.bounds().1;
        }
        if id.get() >= next {
            return Ok(None);
        }
        if let Some(first) = TransId::new(first).filter(|first| id < *first) {
            return Err(Error::Trimmed { first });
        }
        match self.shelf.read(id.get()) {
            Ok(record) => Ok(Some(record)),
            Err(error) => self.look_again(id, error),
        }
    }

    /// What a failed read means when the writer has trimmed, reused or rolled back meanwhile.
    #[cold]
    fn look_again(&self, id: TransId, error: Error) -> Result<Option<Record>, Error> {
        if !matches!(error, Error::Corrupt(_) | Error::Io(_)) || self.refresh().is_err() {
            return Err(error);
        }
        let (first, next) = self.shelf.bounds();
        match TransId::new(first) {
            Some(first) if id < first => Err(Error::Trimmed { first }),
            _ if id.get() >= next => Ok(None),
            _ => self.shelf.read(id.get()).map(Some),
        }
    }

    /// Reads records in order. A range without a beginning begins at the first record that is there.
    ///
    /// It ends with the records that are there when it begins. A damaged record is an error, behind which it goes on.
    pub fn scan(&self, range: impl RangeBounds<TransId>) -> Scan {
        Scan::new(self.batches(range))
    }

    /// Reads records in order, many at a time and without an allocation for each: the fastest way.
    pub fn batches(&self, range: impl RangeBounds<TransId>) -> Batches {
        let refreshed = self.refresh();
        let (from, end) = self.resolve(&range);
        Batches::new(self.shelf.clone(), from, end, refreshed.err())
    }

    /// Reads records from the last to the first.
    pub fn scan_rev(&self, range: impl RangeBounds<TransId>) -> ScanRev {
        let refreshed = self.refresh();
        let (from, end) = self.resolve(&range);
        ScanRev::new(self.clone(), from, end, refreshed.err())
    }

    /// Reads the last `count` records, in order.
    pub fn tail(&self, count: u64) -> Scan {
        let last = self.last().map_or(0, TransId::get);
        let from = last.saturating_sub(count).saturating_add(1).max(self.shelf.bounds().0);
        match TransId::new(from).filter(|_| count > 0) {
            Some(from) => self.scan(from..),
            None => Scan::new(Batches::new(self.shelf.clone(), 1, 1, None)),
        }
    }

    /// The first record that was appended at this time or later, by the writer's clock; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Unsupported`] in format 1, which keeps no times.
    pub fn seek_time(&self, time: SystemTime) -> Result<Option<TransId>, Error> {
        self.refresh()?;
        self.shelf.seek_time(micros_of(time))
    }

    /// Reads records from `from` on, and waits for those to come: woken by the writer, in any process.
    ///
    /// Beside a writer in this process it sleeps until then. Beside one in another process it is woken by the system, and
    /// looks four times a second besides: for its stop, and for a log that came, or was put in the place of this one.
    pub fn follow(&self, from: TransId) -> Follow {
        Follow::new(self.clone(), from)
    }

    /// How far each consumer has got.
    pub fn consumers(&self) -> Result<Vec<ConsumerStatus>, Error> {
        self.refresh()?;
        let last = self.last_seen();
        let positions = match &self.source {
            Source::Commit(commit) => commit.inspect(|store| store.memory().positions.clone())?,
            Source::Files(beside) => beside.positions()?,
        };
        Ok(positions.into_iter().map(|(name, position)| ConsumerStatus::new(&name, position, last)).collect())
    }

    /// Records that a repair has given up: the first and the last of each run. Reading one is an error all the same.
    pub fn gaps(&self) -> Result<Vec<(TransId, TransId)>, Error> {
        let lost = match &self.source {
            Source::Commit(commit) => commit.inspect(|store| store.memory().lost.clone())?,
            Source::Files(beside) => beside.lost(),
        };
        let first = self.shelf.bounds().0;
        let ids = |(from, last): (u64, u64)| TransId::new(from.max(first)).zip(TransId::new(last));
        Ok(lost.into_iter().filter_map(ids).filter(|(from, last)| from <= last).collect())
    }

    fn resolve(&self, range: &impl RangeBounds<TransId>) -> (u64, u64) {
        let (first, next) = self.shelf.bounds();
        let from = match range.start_bound() {
            Bound::Included(id) => id.get(),
            Bound::Excluded(id) => id.get().saturating_add(1),
            Bound::Unbounded => first,
        };
        let end = match range.end_bound() {
            Bound::Included(id) => id.get().saturating_add(1),
            Bound::Excluded(id) => id.get(),
            Bound::Unbounded => next,
        };
        (from, end.min(next))
    }

    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub(crate) fn commit(&self) -> Option<&Arc<Commit>> {
        match &self.source {
            Source::Commit(commit) => Some(commit),
            Source::Files(_) => None,
        }
    }

    pub(crate) fn beside(&self) -> Option<&Arc<Beside>> {
        match &self.source {
            Source::Commit(_) => None,
            Source::Files(beside) => Some(beside),
        }
    }

    /// Waits until the log may have moved on, at most for `timeout`; returns how much of that is over.
    pub(crate) fn wait(
        &self,
        watch: &mut Option<Watch>,
        timeout: Duration,
        is_there: impl Fn() -> bool,
    ) -> Result<Duration, Error> {
        match &self.source {
            Source::Commit(commit) => {
                if let Some(Error::Closed) = commit.failure() {
                    // What came between the caller's look and the end comes first.
                    return if is_there() { Ok(Duration::ZERO) } else { Err(Error::Closed) };
                }
                Ok(commit.wait_for_news(timeout, is_there))
            }
            Source::Files(beside) => beside.wait(watch, timeout, is_there),
        }
    }
}
