//! `Signal`: waking whoever waits for the log to move on.
//! Refuses to cost a writer anything while nobody waits.

use std::sync::PoisonError;
use std::task::Waker;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::sync::{Condvar, Mutex};

/// Futures that wait at a time. More find themselves woken at once, and look again.
#[cfg(feature = "async")]
const WAKERS_MAX: usize = 1 << 16;

/// Tells that something has moved.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// Threads and futures that wait, or are about to.
    waiting: AtomicUsize,
    /// Futures to wake. Held while a waiter looks for the last time, so that it is not told in between.
    wakers: Mutex<Vec<Waker>>,
    moved: Condvar,
    /// Nothing comes any more. Set before all are told of it, and looked at before they sleep.
    is_ended: AtomicBool,
}

impl Signal {
    /// Wakes everybody. What they are to see was published before.
    pub(crate) fn tell(&self) {
        // Pairs with the fence of a waiter: either it sees what was published, or it is counted here.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_all();
        self.waiting.fetch_sub(wakers.len(), Ordering::Relaxed);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Wakes everybody for the last time.
    pub(crate) fn end(&self) {
        self.is_ended.store(true, Ordering::Release);
        self.tell();
    }

    /// Waits until it is told, unless `is_there` says that there is something to see; at most for `timeout`. Returns
    /// whether that is over.
    pub(crate) fn wait(&self, timeout: Duration, is_there: impl Fn() -> bool) -> bool {
        let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut is_over = false;
        if !is_there() && !self.is_ended.load(Ordering::Acquire) {
            let waited = self.moved.wait_timeout(wakers, timeout).unwrap_or_else(PoisonError::into_inner);
            is_over = waited.1.timed_out();
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        is_over
    }

    /// Has a future woken when it is told, unless `is_there` says that there is something to see; returns that.
    #[cfg(feature = "async")]
    pub(crate) fn watch(&self, waker: &Waker, is_there: impl Fn() -> bool) -> bool {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !wakers.iter().any(|known| known.will_wake(waker)) && wakers.len() < WAKERS_MAX;
        if is_new {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        if is_there() || self.is_ended.load(Ordering::Acquire) {
            if is_new {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            return true;
        }
        if is_new {
            wakers.push(waker.clone());
        }
        false
    }
}
