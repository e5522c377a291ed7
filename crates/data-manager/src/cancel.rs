//! Cancel: tells a running task to stop, at once and for good.
//! Refuses to wait for the task: it reports its own end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A switch that many may hold and anybody may throw, once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel {
    shared: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    is_thrown: AtomicBool,
    thrown: Notify,
}

impl Cancel {
    pub(crate) fn cancel(&self) {
        self.shared.is_thrown.store(true, Ordering::Release);
        self.shared.thrown.notify_waiters();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.shared.is_thrown.load(Ordering::Acquire)
    }

    /// Returns when the switch is thrown.
    pub(crate) async fn cancelled(&self) {
        let thrown = self.shared.thrown.notified();
        tokio::pin!(thrown);
        // Registered before the look, so that a throw between the two is not missed.
        thrown.as_mut().enable();
        if !self.is_cancelled() {
            thrown.await;
        }
    }
}
