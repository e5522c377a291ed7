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

/// The golden ratio's bits: odd, and without a pattern.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The ready chunks.
pub(crate) struct Roster {
    by_id: HashTable<Arc<Resident>>,
    seed: u64,
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
            seed: RandomState::new().hash_one(0),
            by_block: Snapshot::default(),
            places,
            bytes: 0,
            is_changed: true,
        }
    }

    /// Takes in what the start found. In order of dataset, first block and sequence it is faster than one by one.
    pub(crate) fn load(&mut self, residents: Vec<Arc<Resident>>) {
        let seed = self.seed;
        self.by_id.reserve(residents.len(), |resident| hash(seed, resident.id()));
        for resident in &residents {
            self.note(resident);
        }
        self.by_block = Snapshot::from_sorted(residents);
        self.is_changed = true;
    }

    fn note(&mut self, resident: &Arc<Resident>) {
        self.bytes = self.bytes.saturating_add(resident.bytes());
        let seed = self.seed;
        let hashed = hash(seed, resident.id());
        self.by_id.insert_unique(hashed, Arc::clone(resident), |other| hash(seed, other.id()));
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
        let hashed = hash(self.seed, id);
        let (resident, _) = self.by_id.find_entry(hashed, |resident| resident.id() == id).ok()?.remove();
        self.bytes = self.bytes.saturating_sub(resident.bytes());
        self.by_block.remove(&resident);
        self.is_changed = true;
        Some(resident)
    }

    pub(crate) fn get(&self, id: &ChunkId) -> Option<&Arc<Resident>> {
        self.by_id.find(hash(self.seed, id), |resident| resident.id() == id)
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

/// A seeded multiply-xor over the whole id, many times cheaper than the standard hash: ids are hashes themselves most of
/// the time. They may also be chosen, even so that they share most of their bytes: so every byte counts, and the seed
/// keeps whoever chooses them from knowing which ones meet.
fn hash(seed: u64, id: &ChunkId) -> u64 {
    id.as_chunks::<8>().0.iter().fold(seed, |state, word| {
        let word = state ^ u64::from_le_bytes(*word);
        let product = u128::from(word) * u128::from(MULTIPLIER);
        word.wrapping_mul(MULTIPLIER) ^ u64::try_from(product >> 64).unwrap_or_default()
    })
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster")
            .field("chunks", &self.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
