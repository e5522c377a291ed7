//! Goal: the assignment that the hold is working towards, and how far it is. Pure.
//! Refuses to touch chunks: it says which are missing and which are to go.

use std::collections::HashSet;
use std::time::Duration;

use crate::assignment::Dropping;
use crate::data_chunk::ChunkId;

/// An assignment under way.
#[derive(Debug)]
pub(crate) struct Goal {
    id: String,
    members: HashSet<ChunkId>,
    missing: HashSet<ChunkId>,
    dropping: Dropping,
    /// Chunks that are here, not in the set, and still visible.
    draining: Vec<ChunkId>,
    applied_at: Option<Duration>,
}

impl Goal {
    pub(crate) fn new(id: String, members: HashSet<ChunkId>, dropping: Dropping) -> Goal {
        Goal { id, members, missing: HashSet::new(), dropping, draining: Vec::new(), applied_at: None }
    }

    pub(crate) fn contains(&self, id: &ChunkId) -> bool {
        self.members.contains(id)
    }

    pub(crate) fn missing_are(&mut self, is_missing: impl Fn(&ChunkId) -> bool) {
        self.missing = self.members.iter().filter(|id| is_missing(id)).copied().collect();
    }

    pub(crate) fn drops_at_once(&self) -> bool {
        self.dropping == Dropping::Now
    }

    pub(crate) fn drop_later(&mut self, draining: Vec<ChunkId>) {
        self.draining = draining;
    }

    /// A chunk became ready.
    pub(crate) fn reached(&mut self, id: &ChunkId) {
        self.missing.remove(id);
    }

    /// A ready chunk of the set was lost: the assignment is applied again when it is back.
    pub(crate) fn lost(&mut self, id: &ChunkId) {
        if self.members.contains(id) {
            self.missing.insert(*id);
            self.applied_at = None;
        }
    }

    /// A chunk was deleted by a call of its own, which is newer than the assignment.
    pub(crate) fn forget(&mut self, id: &ChunkId) {
        self.members.remove(id);
        self.missing.remove(id);
        self.draining.retain(|draining| draining != id);
    }

    /// A chunk was asked for by a call of its own, which is newer than the assignment.
    pub(crate) fn keep(&mut self, id: &ChunkId) {
        self.draining.retain(|draining| draining != id);
    }

    /// The assignment's id, once, when it has become applied.
    pub(crate) fn newly_applied(&mut self, now: Duration) -> Option<String> {
        if self.applied_at.is_some() || !self.missing.is_empty() {
            return None;
        }
        self.applied_at = Some(now);
        Some(self.id.clone())
    }

    /// The assignment's id while it is applied.
    pub(crate) fn applied(&self) -> Option<&str> {
        self.applied_at.map(|_| self.id.as_str())
    }

    fn drop_time(&self) -> Option<Duration> {
        match self.dropping {
            Dropping::Now => None,
            Dropping::AfterApplied(drain) => self.applied_at.map(|at| at.saturating_add(drain)),
        }
    }

    /// The chunks whose drain window is over; each is given once.
    pub(crate) fn due_drops(&mut self, now: Duration) -> Vec<ChunkId> {
        match self.drop_time() {
            Some(at) if at <= now => std::mem::take(&mut self.draining),
            _ => Vec::new(),
        }
    }

    /// When chunks are to be dropped.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        if self.draining.is_empty() { None } else { self.drop_time() }
    }
}
