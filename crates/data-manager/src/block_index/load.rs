//! Load: makes a tree of many chunks at once, from the leaves up.
//! Refuses to sort: chunks that are out of order are handed back, to be inserted one by one.

use std::mem;
use std::sync::Arc;

use super::change::longest_of;
use super::node::{Node, Orphan, Slot, Slots};
use crate::chunk_ref::Resident;

/// The tree of all chunks that are in order, and those that are not.
pub(super) fn load(
    residents: impl IntoIterator<Item = Arc<Resident>>,
) -> (Option<Arc<Node>>, Vec<Arc<Resident>>) {
    let (mut level, mut strays) = (Vec::new(), Vec::new());
    let mut chunks = Slots::new();
    let mut last = (0, 0);
    for resident in residents {
        let key = (resident.first(), resident.sequence());
        if key < last {
            strays.push(resident);
            continue;
        }
        last = key;
        if chunks.is_full() {
            level.push(leaf_of(mem::take(&mut chunks)));
        }
        chunks.push(Slot { first: resident.first(), item: resident });
    }
    if !chunks.is_empty() {
        level.push(leaf_of(chunks));
    }
    while level.len() > 1 {
        let mut nodes = level.into_iter().peekable();
        level = Vec::new();
        while nodes.peek().is_some() {
            level.push(Orphan::of(Arc::new(Node::over(nodes.by_ref()))));
        }
    }
    (level.pop().map(|root| root.slot.item), strays)
}

fn leaf_of(chunks: Slots<Resident>) -> Orphan {
    Orphan::of(Arc::new(Node::Leaf { longest: longest_of(&chunks), chunks }))
}
