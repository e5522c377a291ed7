//! Block index: the visible chunks of one dataset by block, as a copy-on-write tree.
//! Refuses to lock or to publish: a clone is a constant-time snapshot, and changing one leaves all others as they are.

mod change;
mod load;
mod node;
mod overlapping;

use std::ops::Range;
use std::sync::Arc;

use node::{Node, Orphan};
use overlapping::Overlapping;

use crate::chunk_ref::Resident;

/// The chunks of one dataset, ordered by first block, then by order of publication. Ranges may overlap.
///
/// A clone shares all nodes with the original. A change copies the nodes on its way that are shared, each once, however
/// many changes follow; nodes that nobody else holds are changed in place.
#[derive(Debug, Clone, Default)]
pub(crate) struct BlockIndex {
    root: Option<Arc<Node>>,
}

impl BlockIndex {
    /// Loads many chunks at once. Any order gives the same answers; by first block and sequence it is quick, and leaves
    /// are full.
    pub(crate) fn from_sorted(residents: impl IntoIterator<Item = Arc<Resident>>) -> BlockIndex {
        let (root, strays) = load::load(residents);
        let mut index = BlockIndex { root };
        for resident in strays {
            index.insert(resident);
        }
        index
    }

    /// Makes a chunk visible. The caller sees to it that no other chunk in the index has its sequence.
    pub(crate) fn insert(&mut self, resident: Arc<Resident>) {
        let root = self.root.get_or_insert_with(|| Arc::new(Node::leaf()));
        if let Some(right) = change::insert(root, resident) {
            let both = [Orphan::of(Arc::clone(root)), right];
            *root = Arc::new(Node::over(both.into_iter()));
        }
    }

    /// Hides the chunk with this first block and sequence, and hands it back; `None` if there is none.
    pub(crate) fn remove(&mut self, first: u64, sequence: u64) -> Option<Arc<Resident>> {
        let root = self.root.as_mut()?;
        // Looking before touching anything keeps a removal of nothing from copying a path.
        if !root.contains(first, sequence) {
            return None;
        }
        let removed = change::remove(root, first, sequence)?;
        if root.len() == 0 {
            self.root = None;
        }
        while let Some(child) = self.root.as_deref().and_then(Node::only_child) {
            self.root = Some(child);
        }
        Some(removed)
    }

    /// The chunk that answers for a block: of those that contain it the one with the highest first block, then the one
    /// published last.
    pub(crate) fn find(&self, block: u64) -> Option<&Arc<Resident>> {
        self.root.as_ref()?.find(block)
    }

    /// All chunks that have a block in common with the range, in order.
    pub(crate) fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = &Arc<Resident>> {
        Overlapping::new(self.root.as_deref(), range)
    }

    /// All chunks, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resident>> {
        Overlapping::new(self.root.as_deref(), 0..u64::MAX)
    }

    /// Whether there is no chunk.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

#[cfg(test)]
#[path = "../tests/unit/block_index.rs"]
mod tests;
