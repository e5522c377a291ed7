//! A round: one group commit, as those see it who wait for it.
//! Refuses to wake anybody before its outcome is known.

use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::error::Error;
use crate::options::Level;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, Thread};

/// How a round ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// What its records survive.
    pub(crate) level: Level,
    /// Records below are in the log, others are not.
    pub(crate) upto: u64,
    /// Why others are not.
    pub(crate) error: Option<Error>,
    /// When it was known.
    pub(crate) ended_at: Duration,
}

impl Outcome {
    /// What became of an entry that needs the records before this one.
    pub(crate) fn of(&self, needed: u64) -> Result<Level, Error> {
        match &self.error {
            Some(error) if needed > self.upto => Err(error.clone()),
            _ => Ok(self.level),
        }
    }
}

/// One group commit.
#[derive(Debug, Default)]
pub(crate) struct Round {
    outcome: OnceLock<Outcome>,
    /// Futures to wake. Taken for memory work only.
    wakers: Mutex<Vec<Waker>>,
}

impl Round {
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// Has a future woken at the end, unless the end is there; returns whether it is.
    pub(crate) fn watch(&self, waker: &Waker) -> bool {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock that the end takes: a waker is not put behind the last one that is woken.
        if self.outcome.get().is_some() {
            return true;
        }
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        false
    }

    /// Waits for the end of a round that somebody leads, as a future would.
    pub(crate) fn wait(&self) -> &Outcome {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            self.watch(&waker);
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            thread::park();
        }
    }

    /// Ends the round, and wakes everybody.
    pub(crate) fn end(&self, outcome: Outcome, seats: &[Arc<Seat>]) {
        let wakers = {
            let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            // A round ends once: a second outcome would be a bug, and the first one is what was acted on.
            drop(self.outcome.set(outcome));
            std::mem::take(&mut *wakers)
        };
        for seat in seats {
            seat.thread.unpark();
        }
        for waker in wakers {
            waker.wake();
        }
    }
}

/// A thread that waits for a round, and may be asked to lead it.
#[derive(Debug)]
pub(crate) struct Seat {
    thread: Thread,
    is_leader: AtomicBool,
}

impl Seat {
    pub(crate) fn new() -> Arc<Seat> {
        Arc::new(Seat { thread: thread::current(), is_leader: AtomicBool::new(false) })
    }

    /// Makes the thread lead the round that it waits for.
    pub(crate) fn appoint(&self) {
        self.is_leader.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Whether the thread has been asked to lead; true once.
    pub(crate) fn is_appointed(&self) -> bool {
        self.is_leader.swap(false, Ordering::AcqRel)
    }

    /// Waits until somebody wakes the thread, for whatever reason.
    pub(crate) fn wait() {
        thread::park();
    }
}

/// Wakes a thread as a future is woken.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
