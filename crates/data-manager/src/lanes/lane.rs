//! Lane: the right to have one request open, and what is told of that request.
//! Refuses to decide who is next: the lanes do, whenever something of it changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Shared;
use super::hedges::Hedge;
use crate::data_source::{SourceError, SourceErrorKind};

/// The right to have one request open to one source. Dropping it gives it to the next in turn.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) source: String,
    pub(super) number: u64,
    pub(super) started: Duration,
    /// How long its first byte took, once it is here.
    pub(super) first_byte: Duration,
    pub(super) load: u32,
    pub(super) is_counted: bool,
    pub(super) is_answered: bool,
    /// What it costs while it is only beside another one.
    pub(super) hedge: Option<Hedge>,
    pub(super) is_reported: bool,
    /// Told when this request is to give way.
    pub(super) told: Arc<Notify>,
}

impl Lane {
    /// The request waits long for its next byte: others may start meanwhile.
    pub(crate) fn overdue(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            let now = self.shared.clock.monotonic();
            let mut inner = self.shared.lock();
            inner.counted -= 1;
            inner.load -= self.load;
            inner.moving -= u32::from(self.is_answered);
            if let Some(state) = inner.sources.get_mut(&self.source) {
                if !self.is_answered {
                    state.overdue.insert((self.started, self.number));
                }
                // If this is the probe, it says nothing for so long that another may.
                state.health.on_cancelled(now);
            }
            self.shared.grant(inner);
        }
    }

    /// The request is still silent: from now on it gives way to others when too many requests are open. Returns when it
    /// is to do so.
    pub(crate) async fn give_way(&mut self) {
        self.yields();
        self.told.notified().await;
    }

    fn yields(&mut self) {
        // A word that came too late last time is not for this time.
        self.told = Arc::default();
        let mut inner = self.shared.lock();
        inner.yielding.insert(self.number, (self.source.clone(), Arc::clone(&self.told)));
        self.shared.grant(inner);
    }

    /// The first byte is here.
    pub(crate) fn answered(&mut self) {
        self.moves();
        self.is_reported = true;
        let now = self.shared.clock.monotonic();
        self.first_byte = now.saturating_sub(self.started);
        let mut inner = self.shared.lock();
        let is_first = !std::mem::replace(&mut self.is_answered, true);
        inner.moving += u32::from(is_first);
        if let Some(state) = inner.sources.get_mut(&self.source) {
            state.answered += usize::from(is_first);
            state.answered_at = Some(now);
            state.outrun_before = state.outrun_before.max(self.started);
            state.health.on_success(self.first_byte);
        }
    }

    /// It moves bytes, for the first time or again.
    pub(crate) fn moves(&mut self) {
        let mut inner = self.shared.lock();
        if !std::mem::replace(&mut self.is_counted, true) {
            inner.counted += 1;
            inner.load += self.load;
            inner.moving += u32::from(self.is_answered);
            if let Some(state) = inner.sources.get_mut(&self.source) {
                state.overdue.remove(&(self.started, self.number));
            }
        }
        inner.forget_silent(self.number);
        // Somebody else may be told to give way in its place.
        self.shared.grant(inner);
    }

    /// It goes on in the place of the request that it was made beside.
    pub(crate) fn takes_over(&mut self) {
        if let Some(hedge) = self.hedge.take() {
            self.shared.lock().hedges.took_over(hedge);
        }
    }

    /// Bytes of the body came in.
    pub(crate) fn received(&self, bytes: u64) {
        let now = self.shared.clock.monotonic();
        let mut inner = self.shared.lock();
        inner.fetched_bytes = inner.fetched_bytes.saturating_add(bytes);
        // Long bodies may keep the window full for minutes in which no lane is asked for: who waits is seen here.
        if inner.is_window_short() {
            inner.window.is_short();
        }
        let moving = inner.load_whole();
        if inner.window.on_bytes(now, bytes, moving) {
            self.shared.grant(inner);
        }
    }

    /// Its body has come whole, in so much time of waiting for it.
    pub(crate) fn delivered(&self, bytes: u64, waited: Duration) {
        if let Some(state) = self.shared.lock().sources.get_mut(&self.source) {
            state.health.on_body(bytes, self.first_byte, waited);
        }
    }

    /// The request was not answered in time.
    pub(crate) fn was_silent(&mut self, error: &SourceError, random: u64) {
        self.is_reported = true;
        let now = self.shared.clock.monotonic();
        let mut inner = self.shared.lock();
        let Some(state) = inner.sources.get_mut(&self.source) else { return };
        state.health.on_silence(now, error, random);
    }

    /// The request failed. `is_first` is whether its object has not failed before: one that fails for ever must not close
    /// the source for the others, and neither must one that fails while the source answers others.
    pub(crate) fn failed(&mut self, error: &SourceError, is_first: bool, random: u64) {
        self.is_reported = true;
        let now = self.shared.clock.monotonic();
        let mut inner = self.shared.lock();
        let Some(state) = inner.sources.get_mut(&self.source) else { return };
        let answered_others = state.answered_at.is_some_and(|at| at > self.started);
        if error.kind == SourceErrorKind::Transient && (answered_others || !is_first) {
            state.health.on_known_failure(now, error);
        } else {
            state.health.on_failure(now, error, random);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let now = self.shared.clock.monotonic();
        let mut inner = self.shared.lock();
        inner.open -= 1;
        if self.is_counted {
            inner.counted -= 1;
            inner.load -= self.load;
            inner.moving -= u32::from(self.is_answered);
            inner.window.on_end();
        }
        if let Some(hedge) = self.hedge {
            inner.hedges.close(hedge);
        }
        inner.forget_silent(self.number);
        if let Some(state) = inner.sources.get_mut(&self.source) {
            state.open -= 1;
            state.answered -= usize::from(self.is_answered);
            state.overdue.remove(&(self.started, self.number));
            if !self.is_reported {
                state.health.on_cancelled(now);
            }
        }
        self.shared.grant(inner);
    }
}
