//! The committer: the log's own thread, which leads the group commits that no caller leads.
//! Refuses to lead unasked: it sleeps until it is appointed, or until records have lain in memory for long enough.

use std::sync::OnceLock;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, Thread};

/// How long records may lie in memory before they are written, when nobody asks for them.
const LINGER: Duration = Duration::from_millis(5);

/// What the committer is asked to do.
#[derive(Debug, Default)]
pub(crate) struct CommitterSeat {
    /// Set before anybody else sees the seat.
    pub(crate) thread: OnceLock<Thread>,
    pub(crate) is_appointed: AtomicBool,
    pub(crate) is_lingering: AtomicBool,
    pub(crate) is_done: AtomicBool,
}

impl CommitterSeat {
    pub(crate) fn appoint(&self) {
        if !self.is_appointed.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    pub(crate) fn linger(&self) {
        if !self.is_lingering.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Leads what it is asked to lead, until it is told that it is done. `lead` leads a round, unless somebody does.
    pub(crate) fn serve(&self, lead: impl Fn(), is_pending: impl Fn() -> bool) {
        while !self.is_done.load(Ordering::Acquire) {
            if self.is_appointed.swap(false, Ordering::AcqRel) {
                lead();
            } else if self.is_lingering.swap(false, Ordering::AcqRel) {
                thread::park_timeout(LINGER);
                if is_pending() {
                    lead();
                }
            } else {
                thread::park();
            }
        }
    }
}
