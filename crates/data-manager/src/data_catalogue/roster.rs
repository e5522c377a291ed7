//! Roster: the chunks that are ready, by id and by block. Pure.
//! Refuses to decide which chunks those are.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::chunk_ref::{Places, Resident};
use crate::data_catalogue::entry::Content;
use crate::data_chunk::ChunkId;
use crate::record::Record;
use crate::snapshot::Snapshot;

/// The ready chunks.
pub(crate) struct Roster {
    by_id: HashTable<Arc<Resident>>,
    hasher: RandomState,
    by_block: Snapshot,
    places: Places,
    bytes: u64,
    /// Whether it has changed since the last snapshot was taken.
    is_changed: bool,
}

impl Roster {
    pub(crate) fn new(places: Places) -> Roster {
        Roster {
            by_id: HashTable::new(),
            hasher: RandomState::new(),
            by_block: Snapshot::default(),
            places,
            bytes: 0,
            is_changed: true,
        }
    }

    /// Takes in what the start found, in order of dataset, first block and sequence: faster than one by one.
    pub(crate) fn load(&mut self, records: impl ExactSizeIterator<Item = Record>) {
        self.by_id.reserve(records.len(), |resident| self.hasher.hash_one(resident.id()));
        let mut residents = Vec::with_capacity(records.len());
        for record in records {
            if let Some(resident) = self.resident(&record) {
                self.note(&resident);
                residents.push(resident);
            }
        }
        self.by_block = Snapshot::from_sorted(residents);
        self.is_changed = true;
    }

    fn note(&mut self, resident: &Arc<Resident>) {
        self.bytes = self.bytes.saturating_add(resident.bytes());
        let hash = self.hasher.hash_one(resident.id());
        self.by_id.insert_unique(hash, Arc::clone(resident), |other| self.hasher.hash_one(other.id()));
    }

    /// A chunk in memory, not yet visible.
    pub(crate) fn resident(&mut self, record: &Record) -> Option<Arc<Resident>> {
        self.places.of(record).map(|place| Resident::new(record, place))
    }

    pub(crate) fn insert(&mut self, resident: Arc<Resident>) {
        self.note(&resident);
        self.by_block.insert(resident);
        self.is_changed = true;
    }

    /// The chunk that is given back is the roster's own pin on it.
    pub(crate) fn remove(&mut self, id: &ChunkId) -> Option<Arc<Resident>> {
        let hash = self.hasher.hash_one(id);
        let (resident, _) = self.by_id.find_entry(hash, |resident| resident.id() == id).ok()?.remove();
        self.bytes = self.bytes.saturating_sub(resident.bytes());
        self.by_block.remove(&resident);
        self.is_changed = true;
        Some(resident)
    }

    pub(crate) fn get(&self, id: &ChunkId) -> Option<&Arc<Resident>> {
        self.by_id.find(self.hasher.hash_one(id), |resident| resident.id() == id)
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
