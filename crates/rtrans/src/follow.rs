//! `Follow`: reading on and on, woken by the writer.
//! Refuses to poll, and to hide a rollback: records that were read and are gone are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host::Watch;

use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::reader::Reader;
use crate::record::{IntoRecords, Record};

/// About how many bytes are read at a time.
const RUN_BYTES: usize = 256 << 10;

/// Records from one on, and those to come, from [`Reader::follow`].
///
/// As an iterator it waits for the next record, and ends when it is stopped or the log is closed in this process.
/// After a rollback below what it has read it says [`Error::RolledBack`] once, and goes on with what took the place.
///
/// ```
/// use std::time::Duration;
/// use rtrans::{Log, Options, TransId, TypeNo};
///
/// # let sim = host::sim::SimDisk::new(1);
/// # let log = Log::open_on(&sim.disk(), &host::Clock::system(), Options::default())?;
/// let mut follow = log.follow(TransId::FIRST);
/// log.append(TypeNo(1), b"news")?;
/// assert_eq!(follow.next_within(Duration::from_secs(1))?.map(|record| record.bytes), Some(b"news".to_vec()));
/// assert_eq!(follow.next_within(Duration::ZERO)?, None);
/// # Ok::<(), rtrans::Error>(())
/// ```
#[derive(Debug)]
pub struct Follow {
    reader: Reader,
    next: u64,
    rolled: u64,
    records: Option<IntoRecords>,
    /// What tells of writes by another process.
    watch: Option<Watch>,
    /// To be told before anything else.
    error: Option<Error>,
    is_stopped: Arc<AtomicBool>,
}

/// Ends a [`Follow`] from another thread.
#[derive(Clone, Debug)]
pub struct FollowStop {
    is_stopped: Arc<AtomicBool>,
    reader: Reader,
}

impl FollowStop {
    /// Lets the follower end within a quarter of a second; at once when the writer is this process.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        if let Some(commit) = self.reader.commit() {
            commit.moved.tell();
        }
    }
}

impl Follow {
    pub(crate) fn new(reader: Reader, from: TransId) -> Follow {
        let rolled = reader.shelf().rolled();
        Follow {
            reader,
            next: from.get(),
            rolled,
            records: None,
            watch: None,
            error: None,
            is_stopped: Arc::default(),
        }
    }

    /// What ends this follower from another thread.
    pub fn stop_handle(&self) -> FollowStop {
        FollowStop { is_stopped: Arc::clone(&self.is_stopped), reader: self.reader.clone() }
    }

    /// The record that comes next.
    pub fn position(&self) -> Option<TransId> {
        TransId::new(self.next)
    }

    /// The next record if it comes within this time; `None` when it does not, or the follower was stopped.
    ///
    /// # Errors
    /// [`Error::RolledBack`], [`Error::Trimmed`] and [`Error::Corrupt`] are told once each, then it goes on behind.
    /// [`Error::Closed`] when the log was closed in this process.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Record>, Error> {
        let mut left = timeout;
        loop {
            if let Some(record) = self.look()? {
                return Ok(Some(record));
            }
            if left.is_zero() || self.is_stopped.load(Ordering::Acquire) {
                return Ok(None);
            }
            let (next, rolled, reader) = (self.next, self.rolled, &self.reader);
            let is_stopped = &self.is_stopped;
            let line = reader.shelf();
            let waited = reader.wait(&mut self.watch, left, || {
                line.bounds().1 > next || line.rolled() != rolled || is_stopped.load(Ordering::Acquire)
            })?;
            left = left.saturating_sub(waited);
        }
    }

    /// Has an error told once more.
    pub(crate) fn put_back(&mut self, error: Error) {
        self.error = Some(error);
    }

    /// The next record if it is there.
    pub(crate) fn look(&mut self) -> Result<Option<Record>, Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.reader.shelf().rolled() != self.rolled {
            self.look_back()?;
        }
        if let Some(record) = self.records.as_mut().and_then(Iterator::next) {
            self.next = record.id.get().saturating_add(1);
            return Ok(Some(record));
        }
        let line = self.reader.shelf();
        let (mut first, mut next) = line.bounds();
        if self.next >= next {
            self.reader.refresh()?;
            (first, next) = line.bounds();
            if line.rolled() != self.rolled {
                self.look_back()?;
            }
        }
        if let Some(first) = TransId::new(first).filter(|first| self.next < first.get()) {
            self.next = first.get();
            return Err(Error::Trimmed { first });
        }
        if self.next >= next {
            return Ok(None);
        }
        match self.reader.shelf().run(self.next, next, RUN_BYTES, Vec::new()) {
            Ok(batch) => {
                let mut records = batch.into_iter();
                let record = records.next();
                self.records = Some(records);
                self.next = self.next.saturating_add(1);
                Ok(record)
            }
            Err(Error::Corrupt(corruption)) => {
                self.next = self.behind(&corruption);
                Err(Error::Corrupt(corruption))
            }
            Err(error) => Err(error),
        }
    }

    fn behind(&self, corruption: &Corruption) -> u64 {
        let last = corruption.ids.map_or(self.next, |(_, last)| last.get());
        last.max(self.next).saturating_add(1)
    }

    /// Takes note of rollbacks; an error when they went below what was read.
    fn look_back(&mut self) -> Result<(), Error> {
        let line = self.reader.shelf();
        let (seen, after) = (line.rolled(), line.rolled_after(self.rolled));
        self.rolled = seen;
        self.records = None;
        match after {
            Some(after) if after.saturating_add(1) < self.next => {
                self.next = after.saturating_add(1);
                Err(Error::RolledBack { after: TransId::new(after) })
            }
            _ => Ok(()),
        }
    }
}

impl Iterator for Follow {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Result<Record, Error>> {
        loop {
            match self.next_within(Duration::MAX) {
                Ok(Some(record)) => return Some(Ok(record)),
                Ok(None) if self.is_stopped.load(Ordering::Acquire) => return None,
                Ok(None) => {}
                Err(Error::Closed) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(feature = "async")]
impl futures_core::Stream for Follow {
    type Item = Result<Record, Error>;

    /// Woken by the writer of this process. A log that another process writes cannot wake a future without a thread:
    /// there the stream is an error, and `next_within` in a thread of one's own is the way.
    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Record, Error>>> {
        use std::task::Poll;
        let follow = self.get_mut();
        loop {
            match follow.look() {
                Ok(Some(record)) => return Poll::Ready(Some(Ok(record))),
                Err(Error::Closed) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(None) => {}
            }
            let Some(commit) = follow.reader.commit() else {
                return Poll::Ready(Some(Err(Error::Unsupported {
                    what: "a log that another process writes wakes no futures",
                    instead: "use `next_within` in a thread",
                })));
            };
            let (next, rolled, line) = (follow.next, follow.rolled, follow.reader.shelf());
            // What came between the look and the end comes first.
            let is_ended = matches!(commit.failure(), Some(Error::Closed)) && line.bounds().1 <= next;
            if is_ended || follow.is_stopped.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
            let is_stopped = &follow.is_stopped;
            let is_there =
                || line.bounds().1 > next || line.rolled() != rolled || is_stopped.load(Ordering::Acquire);
            if !commit.moved.watch(context.waker(), is_there) {
                return Poll::Pending;
            }
        }
    }
}
