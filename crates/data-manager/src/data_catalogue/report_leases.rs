//! What State does for leases: who may be leased, what an end sets free, what is held back. Pure.
//! Refuses to keep leases; [`Leases`](crate::data_catalogue::leases::Leases) does.

use std::sync::Arc;
use std::time::Duration;

use crate::chunk_ref::ChunkRef;
use crate::data_catalogue::effects::Effects;
use crate::data_catalogue::entry::Actual;
use crate::data_catalogue::leases::{LeaseChange, LeaseWork, Moment};
use crate::data_catalogue::state::State;
use crate::data_chunk::{ChunkId, hex_id};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::lease::LeaseStatus;

impl State {
    /// Takes a lease on pinned chunks: their pins keep them here until it is written.
    pub(crate) fn take_lease(
        &mut self,
        names: (&str, &str),
        chunks: &[ChunkRef],
        lifetime: Duration,
        at: Moment,
        effects: &mut Effects,
    ) -> Result<LeaseChange> {
        if let Some(stranger) = chunks.iter().find(|chunk| !self.is_ours(chunk)) {
            let message = format!("chunk {} is not one of this hold's", hex_id(&stranger.id()));
            return Err(Error::new(ErrorKind::Missing, message));
        }
        let mut ids: Vec<ChunkId> = chunks.iter().map(ChunkRef::id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut dirs: Vec<u16> = chunks.iter().map(|chunk| chunk.resident().place().dir()).collect();
        dirs.sort_unstable();
        dirs.dedup();
        effects.wakes = true;
        self.leases.take(names, (ids, dirs), lifetime, at)
    }

    /// Whether a pin is on what this catalogue knows under the chunk's id: ready, or hidden and waiting for its pins.
    fn is_ours(&self, chunk: &ChunkRef) -> bool {
        let resident = chunk.resident();
        match self.entries.get(resident.id()).map(|entry| &entry.actual) {
            Some(Actual::Retired { resident: held, .. }) => {
                std::ptr::eq(held.as_ptr(), Arc::as_ptr(resident))
            }
            _ => self.roster.get(resident.id()).is_some_and(|held| Arc::ptr_eq(held, resident)),
        }
    }

    /// A data directory has written or removed a lease's file, or could not.
    pub(crate) fn lease_noted(
        &mut self,
        work: &LeaseWork,
        result: std::result::Result<(), (ErrorKind, String)>,
        now: Duration,
        effects: &mut Effects,
    ) {
        if let Some(ended) = self.leases.noted(work, result, now) {
            effects.events.push(Event::LeaseEnded(ended.to_string()));
            self.collect_unpinned();
        }
        effects.is_news = true;
        effects.wakes = true;
    }

    /// All leases, and what each holds back.
    pub(crate) fn lease_statuses(&self, at: Moment) -> Vec<LeaseStatus> {
        let hidden_bytes = |id: &ChunkId| match self.entries.get(id).map(|entry| &entry.actual) {
            Some(Actual::Retired { record, .. }) => Some((record.dir, record.bytes)),
            _ => None,
        };
        let status = |(listed, dirs): (crate::data_catalogue::leases::Listed, &[u16])| {
            let held_back: Vec<u64> = if listed.damage.is_some() {
                let all = self.entries.keys().filter_map(hidden_bytes);
                all.filter(|(dir, _)| dirs.contains(dir)).map(|(_, bytes)| bytes).collect()
            } else {
                listed.lease.chunks.iter().filter_map(hidden_bytes).map(|(_, bytes)| bytes).collect()
            };
            let taken_ms = crate::lease::milliseconds_of(listed.lease.taken);
            LeaseStatus {
                age: Duration::from_millis(at.wall_ms.saturating_sub(taken_ms)),
                ends_in: listed.ends_in,
                held_back_chunks: u64::try_from(held_back.len()).unwrap_or(u64::MAX),
                held_back_bytes: held_back.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
                damage: listed.damage,
                lease: listed.lease,
            }
        };
        self.leases.list(at.now).into_iter().map(status).collect()
    }
}
