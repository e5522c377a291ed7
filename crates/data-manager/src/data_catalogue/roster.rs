//! Roster: the chunks that are ready, by id and by block. Pure.
//! Refuses to decide which chunks those are.

use std::sync::Arc;

use crate::chunk_ref::{Places, Resident};
use crate::data_catalogue::by_id::ById;
use crate::data_catalogue::entry::Content;
use crate::data_chunk::ChunkId;
use crate::record::Record;
use crate::snapshot::Snapshot;

/// The ready chunks.
pub(crate) struct Roster {
    by_id: ById,
    by_block: Snapshot,
    places: Places,
    bytes: u64,
    /// Whether it has changed since the last snapshot was taken.
    is_changed: bool,
}

impl Roster {
    pub(crate) fn new(places: Places) -> Roster {
        Roster { by_id: ById::new(), by_block: Snapshot::default(), places, bytes: 0, is_changed: true }
    }

    /// Takes in what the start found. In order of dataset, first block and sequence it is faster than one by one.
    pub(crate) fn load(&mut self, residents: Vec<Arc<Resident>>) {
        self.by_id.reserve(residents.len());
        for resident in &residents {
            self.note(resident);
        }
        self.by_block = Snapshot::from_sorted(residents);
        self.is_changed = true;
    }

    fn note(&mut self, resident: &Arc<Resident>) {
        self.bytes = self.bytes.saturating_add(resident.bytes());
        self.by_id.insert(Arc::clone(resident));
    }

    /// A chunk in memory, not yet visible.
    pub(crate) fn resident(&mut self, record: &Record) -> Option<Arc<Resident>> {
        self.places.resident(record)
    }

    pub(crate) fn insert(&mut self, resident: Arc<Resident>) {
        self.note(&resident);
        self.by_block.insert(resident);
        self.is_changed = true;
    }

    /// The chunk that is given back is the roster's own pin on it.
    pub(crate) fn remove(&mut self, id: &ChunkId) -> Option<Arc<Resident>> {
        let resident = self.by_id.remove(id)?;
        self.bytes = self.bytes.saturating_sub(resident.bytes());
        self.by_block.remove(&resident);
        self.is_changed = true;
        Some(resident)
    }

    pub(crate) fn get(&self, id: &ChunkId) -> Option<&Arc<Resident>> {
        self.by_id.get(id)
    }

    pub(crate) fn content(resident: &Resident) -> Content {
        Content {
            dataset_id: *resident.dataset_id(),
            block_range: resident.block_range(),
            names: Arc::clone(resident.place().names()),
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ChunkId> {
        self.by_id.iter().map(|resident| *resident.id())
    }

    pub(crate) fn residents(&self) -> impl Iterator<Item = &Arc<Resident>> {
        self.by_id.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What readers are to see, if it has changed since the last call.
    pub(crate) fn changed(&mut self) -> Option<Snapshot> {
        std::mem::take(&mut self.is_changed).then(|| self.by_block.clone())
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster")
            .field("chunks", &self.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
