//! Snapshot: every visible chunk at one moment, by dataset and block, and the cell it is published through.
//! Refuses to make a reader wait: a reader takes what is published now, and a writer never changes that in place.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::block_index::BlockIndex;
use crate::chunk_ref::{ChunkRef, CoarseClock, Resident};
use crate::data_chunk::{BlockRange, DatasetId};
use crate::sync::ArcSwap;

/// The chunks of a range, pinned, as they were at one moment.
#[derive(Debug, Clone, Default)]
pub struct RangeView {
    /// All chunks with a block in the range, by first block. Where chunks overlap, all of them are here.
    pub chunks: Vec<ChunkRef>,
    /// The parts of the range that no chunk holds, in order.
    pub gaps: Vec<BlockRange>,
}

impl RangeView {
    /// Whether every block of the range is held.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }
}

/// All visible chunks at one moment. A clone shares the chunks' trees with the original.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    datasets: HashMap<Key, BlockIndex>,
}

/// A dataset's id in four words, which hash several times faster than 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key(u64, u64, u64, u64);

impl Key {
    fn of(id: &DatasetId) -> Key {
        let [a, b, c, d] = id.as_chunks::<8>().0 else { return Key(0, 0, 0, 0) };
        Key(u64::from_le_bytes(*a), u64::from_le_bytes(*b), u64::from_le_bytes(*c), u64::from_le_bytes(*d))
    }

    fn id(self) -> DatasetId {
        let mut id = [0; 32];
        for (bytes, word) in id.as_chunks_mut::<8>().0.iter_mut().zip([self.0, self.1, self.2, self.3]) {
            *bytes = word.to_le_bytes();
        }
        id
    }
}

impl Snapshot {
    /// Loads many chunks at once. Any order gives the same answers; by dataset, first block and sequence it is quick.
    pub(crate) fn from_sorted(residents: impl IntoIterator<Item = Arc<Resident>>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut residents = residents.into_iter().peekable();
        while let Some(next) = residents.peek() {
            let key = Key::of(next.dataset_id());
            let run = iter::from_fn(|| residents.next_if(|next| Key::of(next.dataset_id()) == key));
            match snapshot.datasets.entry(key) {
                Entry::Vacant(index) => {
                    index.insert(BlockIndex::from_sorted(run));
                }
                Entry::Occupied(mut index) => run.for_each(|resident| index.get_mut().insert(resident)),
            }
        }
        snapshot
    }

    /// Makes a chunk visible. No two chunks of a dataset have the same sequence.
    pub(crate) fn insert(&mut self, resident: Arc<Resident>) {
        self.datasets.entry(Key::of(resident.dataset_id())).or_default().insert(resident);
    }

    /// Hides a chunk. Does nothing if it is not visible.
    pub(crate) fn remove(&mut self, resident: &Resident) {
        if let Entry::Occupied(mut index) = self.datasets.entry(Key::of(resident.dataset_id())) {
            index.get_mut().remove(resident.first(), resident.sequence());
            if index.get().is_empty() {
                index.remove();
            }
        }
    }

    /// The chunk that answers for a block: the one with the highest first block, then the one published last.
    pub(crate) fn find(&self, dataset_id: &DatasetId, block: u64) -> Option<&Arc<Resident>> {
        self.datasets.get(&Key::of(dataset_id))?.find(block)
    }

    /// All chunks of a dataset that have a block in the range, in order.
    pub(crate) fn overlapping(
        &self,
        dataset_id: &DatasetId,
        range: Range<u64>,
    ) -> impl Iterator<Item = &Arc<Resident>> {
        self.datasets
            .get(&Key::of(dataset_id))
            .into_iter()
            .flat_map(move |index| index.overlapping(range.clone()))
    }

    /// The chunks of a range, pinned, and what is missing of it.
    pub(crate) fn find_range(
        &self,
        dataset_id: &DatasetId,
        range: Range<u64>,
        clock: &CoarseClock,
    ) -> RangeView {
        let mut view = RangeView::default();
        let mut held_until = range.start;
        for resident in self.overlapping(dataset_id, range.clone()) {
            if resident.first() > held_until {
                view.gaps.push(held_until..resident.first());
            }
            held_until = held_until.max(resident.end());
            view.chunks.push(ChunkRef::pin(resident, clock));
        }
        if held_until < range.end {
            view.gaps.push(held_until..range.end);
        }
        view
    }

    /// What is held of a dataset: the longest unbroken runs, in order.
    pub(crate) fn coverage(&self, dataset_id: &DatasetId) -> Vec<BlockRange> {
        let mut runs: Vec<BlockRange> = Vec::new();
        for resident in self.datasets.get(&Key::of(dataset_id)).into_iter().flat_map(BlockIndex::iter) {
            match runs.last_mut() {
                Some(run) if resident.first() <= run.end => run.end = run.end.max(resident.end()),
                _ => runs.push(resident.block_range()),
            }
        }
        runs
    }

    /// The datasets that have a visible chunk, in no order.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = DatasetId> {
        self.datasets.keys().map(|key| key.id())
    }

    /// All visible chunks: dataset by dataset, each in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resident>> {
        self.datasets.values().flat_map(BlockIndex::iter)
    }
}

/// The cell that readers look into: the current snapshot, and the time for pins.
#[derive(Debug, Default)]
pub(crate) struct Published {
    current: ArcSwap<Snapshot>,
    clock: CoarseClock,
}

impl Published {
    /// Shows readers a first snapshot.
    pub(crate) fn new(snapshot: Snapshot, clock: CoarseClock) -> Published {
        Published { current: ArcSwap::from_pointee(snapshot), clock }
    }

    /// Finds the chunk that answers for a block and pins it.
    pub(crate) fn find(&self, dataset_id: &DatasetId, block: u64) -> Option<ChunkRef> {
        // The guard keeps the snapshot, which keeps the chunk, until it is pinned.
        let snapshot = self.current.load();
        snapshot.find(dataset_id, block).map(|resident| ChunkRef::pin(resident, &self.clock))
    }

    /// See [`Snapshot::find_range`].
    pub(crate) fn find_range(&self, dataset_id: &DatasetId, range: Range<u64>) -> RangeView {
        self.load().find_range(dataset_id, range, &self.clock)
    }

    /// The current snapshot, to look at for longer. As long as it is held, chunks that were removed since stay on disk.
    pub(crate) fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Shows readers another snapshot. Writers take turns, under a lock of their own.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// The clock that pins take their time from.
    pub(crate) fn clock(&self) -> &CoarseClock {
        &self.clock
    }
}

#[cfg(test)]
#[path = "../tests/unit/snapshot.rs"]
mod tests;
