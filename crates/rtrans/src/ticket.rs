//! `Ticket`: the promise of an append that was not waited for.
//! Refuses to be needed: an append goes on when its ticket is dropped.

use std::sync::Arc;

use crate::append_batch::Appended;
use crate::commit::{Commit, Place};
use crate::error::Error;
use crate::ids::TransId;
use crate::options::Level;

/// An append on its way. Tickets of one producer are fulfilled in order.
///
/// One that fails for want of room leaves its id to the next append, and those may find room again: where a record must not
/// be passed over, each names the one before by [`Batch::expect_last`](crate::Batch::expect_last).
///
/// With the feature `async` it is a future as well, of any runtime.
///
/// ```
/// use rtrans::{Log, Options, TypeNo};
///
/// # let sim = host::sim::SimDisk::new(1);
/// # let log = Log::open_on(&sim.disk(), &host::Clock::system(), Options::default())?;
/// let tickets: Vec<_> = (0..100).map(|_| log.append_async(TypeNo(1), b"x")).collect::<Result<_, _>>()?;
/// for ticket in &tickets {
///     ticket.wait()?;
/// }
/// assert_eq!(log.last().map(|id| id.get()), Some(100));
/// # Ok::<(), rtrans::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "without waiting for it nothing is known of the append"]
pub struct Ticket {
    place: Place,
    level: Level,
    commit: Arc<Commit>,
}

impl Ticket {
    pub(crate) fn new(place: Place, level: Level, commit: &Arc<Commit>) -> Ticket {
        Ticket { place, level, commit: Arc::clone(commit) }
    }

    /// The first record's id, which it has unless the append fails; `None` for a batch without records.
    pub fn id(&self) -> Option<TransId> {
        TransId::new(self.place.first).filter(|_| self.place.first < self.place.next)
    }

    /// Whether the outcome is known.
    pub fn is_done(&self) -> bool {
        self.level == Level::Memory || self.place.round.outcome().is_some()
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// As of [`Log::append`](crate::Log::append): [`Error::DiskFull`], [`Error::Poisoned`].
    pub fn wait(&self) -> Result<Appended, Error> {
        let reached = match self.level {
            Level::Memory => Level::Memory,
            Level::Os | Level::Disk => self.commit.wait_for(&self.place)?,
        };
        Ok(self.appended(reached))
    }

    fn appended(&self, reached: Level) -> Appended {
        Appended { first: self.id(), count: self.place.next.saturating_sub(self.place.first), reached }
    }
}

#[cfg(feature = "async")]
impl Future for Ticket {
    type Output = Result<Appended, Error>;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        use std::task::Poll;
        if self.level == Level::Memory {
            return Poll::Ready(Ok(self.appended(Level::Memory)));
        }
        if !self.commit.has_threads() && self.place.round.outcome().is_none() {
            // Nobody else would lead the round.
            return Poll::Ready(self.wait());
        }
        if !self.place.round.watch(context.waker()) {
            return Poll::Pending;
        }
        let outcome =
            self.place.round.outcome().map_or(Err(Error::Closed), |outcome| outcome.of(self.place.needed));
        Poll::Ready(outcome.map(|reached| self.appended(reached)))
    }
}
