//! The ready chunks by id, in a table that stays nearly full however many there are. Pure.
//! Refuses to order them.

use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::chunk_ref::Resident;
use crate::data_chunk::ChunkId;

/// The golden ratio's bits: odd, and without a pattern.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Chunks by id.
///
/// A hash table doubles when it is full, and is half empty then. So what does not fit the first of these goes into the
/// second, which begins small; when both are full and equally large, they become one. A chunk takes 14 bytes in them at
/// the worst, and 20 in one table. Where chunks come and go it is up to 21 here too: what is removed leaves marks, which
/// count as room that is taken until the next growth.
pub(crate) struct ById {
    /// Grows only when `rest` is emptied into it.
    full: HashTable<Arc<Resident>>,
    /// What finds no room in `full`.
    rest: HashTable<Arc<Resident>>,
    seed: u64,
}

impl ById {
    pub(crate) fn new() -> ById {
        ById { full: HashTable::new(), rest: HashTable::new(), seed: RandomState::new().hash_one(0) }
    }

    /// Makes room for so many chunks at once, in place of growing on the way. Nothing is in it yet.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.full = HashTable::with_capacity(count);
        if self.full.capacity() / 8 * 7 > count {
            self.full = HashTable::with_capacity(self.full.capacity() / 2);
        }
        self.rest = HashTable::with_capacity(count.saturating_sub(self.full.capacity()));
    }

    /// Adds a chunk whose id is not there.
    pub(crate) fn insert(&mut self, resident: Arc<Resident>) {
        let seed = self.seed;
        let hashed = hash(seed, resident.id());
        let rehash = |resident: &Arc<Resident>| hash(seed, resident.id());
        let is_full = |table: &HashTable<_>| table.len() == table.capacity();
        if is_full(&self.full) && is_full(&self.rest) && self.rest.capacity() >= self.full.capacity() {
            // Exactly: with room for one more it would be half empty.
            self.full.reserve(self.rest.len(), rehash);
            for resident in mem::take(&mut self.rest) {
                self.full.insert_unique(rehash(&resident), resident, rehash);
            }
        }
        let table = if is_full(&self.full) { &mut self.rest } else { &mut self.full };
        table.insert_unique(hashed, resident, rehash);
    }

    pub(crate) fn remove(&mut self, id: &ChunkId) -> Option<Arc<Resident>> {
        let hashed = hash(self.seed, id);
        let is_it = |resident: &Arc<Resident>| resident.id() == id;
        let entry = match self.full.find_entry(hashed, is_it) {
            Ok(entry) => entry,
            Err(_) => self.rest.find_entry(hashed, is_it).ok()?,
        };
        Some(entry.remove().0)
    }

    pub(crate) fn get(&self, id: &ChunkId) -> Option<&Arc<Resident>> {
        let hashed = hash(self.seed, id);
        let is_it = |resident: &Arc<Resident>| resident.id() == id;
        self.full.find(hashed, is_it).or_else(|| self.rest.find(hashed, is_it))
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resident>> {
        self.full.iter().chain(&self.rest)
    }

    pub(crate) fn len(&self) -> usize {
        self.full.len() + self.rest.len()
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

#[cfg(test)]
#[path = "../../tests/unit/by_id.rs"]
mod tests;
