//! Changes to nodes of the block index: insertion with splits, removal with merges.
//! Refuses to search for blocks, and to keep nodes evenly full: runs at either end leave full nodes, and that matters more.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::node::{Bounds, Node, Orphan, SLOTS_MAX, Slot, Slots, child_at, place_of, position};
use crate::chunk_ref::Resident;

/// A node with fewer slots than this is merged with a neighbour if it can be.
const SLOTS_SPARSE: usize = SLOTS_MAX / 4;

/// Two nodes with at most this many slots between them become one; the rest is room, so that it is not split at once.
const SLOTS_MERGED_MAX: usize = SLOTS_MAX / 4 * 3;

/// Puts a chunk in its place. A node that was full gives away its right part.
pub(super) fn insert(node: &mut Arc<Node>, resident: Arc<Resident>) -> Option<Orphan> {
    match Arc::make_mut(node) {
        Node::Leaf { longest, chunks } => {
            let (first, sequence) = (resident.first(), resident.sequence());
            let length = resident.end().saturating_sub(first);
            let at = place_of(chunks, first, sequence);
            let slot = Slot { first, item: resident };
            *longest = length.max(*longest);
            if !chunks.is_full() {
                chunks.insert(at, slot);
                return None;
            }
            let right = split(chunks, at, slot);
            *longest = longest_of(chunks);
            Some(Orphan::of(Arc::new(Node::Leaf { longest: longest_of(&right), chunks: right })))
        }
        Node::Inner { children, bounds } => {
            let orphan = insert_below(children, bounds, resident)?;
            let at = child_at(children, bounds, orphan.slot.first, orphan.bounds.sequence) + 1;
            if !children.is_full() {
                children.insert(at, orphan.slot);
                bounds.insert(at, orphan.bounds);
                return None;
            }
            let children = split(children, at, orphan.slot);
            let bounds = Box::new(split(bounds, at, orphan.bounds));
            Some(Orphan::of(Arc::new(Node::Inner { children, bounds })))
        }
    }
}

fn insert_below(
    children: &mut Slots<Node>,
    bounds: &mut ArrayVec<Bounds, SLOTS_MAX>,
    resident: Arc<Resident>,
) -> Option<Orphan> {
    let (first, sequence, end) = (resident.first(), resident.sequence(), resident.end());
    let at = child_at(children, bounds, first, sequence);
    let (slot, bounds) = children.get_mut(at).zip(bounds.get_mut(at))?;
    if (first, sequence) < (slot.first, bounds.sequence) {
        (slot.first, bounds.sequence) = (first, sequence);
    }
    let orphan = insert(&mut slot.item, resident);
    bounds.end = if orphan.is_some() { slot.item.end() } else { bounds.end.max(end) };
    orphan
}

/// Takes a chunk out. The node may be left empty, which the caller sees to.
pub(super) fn remove(node: &mut Arc<Node>, first: u64, sequence: u64) -> Option<Arc<Resident>> {
    match Arc::make_mut(node) {
        Node::Leaf { longest, chunks } => {
            let removed = chunks.remove(position(chunks, first, sequence)?);
            *longest = longest_of(chunks);
            Some(removed.item)
        }
        Node::Inner { children, bounds } => {
            let at = child_at(children, bounds, first, sequence);
            let (slot, its_bounds) = children.get_mut(at).zip(bounds.get_mut(at))?;
            let removed = remove(&mut slot.item, first, sequence)?;
            its_bounds.end = slot.item.end();
            let count = slot.item.len();
            if count == 0 {
                children.remove(at);
                bounds.remove(at);
            } else if count < SLOTS_SPARSE && !merge(children, bounds, at) {
                merge(children, bounds, at.wrapping_sub(1));
            }
            Some(removed)
        }
    }
}

/// Makes one child of the one at `at` and the one after it, if there are both and they fit.
fn merge(children: &mut Slots<Node>, bounds: &mut ArrayVec<Bounds, SLOTS_MAX>, at: usize) -> bool {
    let after = at.wrapping_add(1);
    let (Some(left), Some(right)) = (children.get(at), children.get(after)) else { return false };
    if left.item.len() + right.item.len() > SLOTS_MERGED_MAX {
        return false;
    }
    let (right, right_bounds) = (children.remove(after), bounds.remove(after));
    if let Some((left, left_bounds)) = children.get_mut(at).zip(bounds.get_mut(at)) {
        left_bounds.end = left_bounds.end.max(right_bounds.end);
        absorb(Arc::make_mut(&mut left.item), Arc::unwrap_or_clone(right.item));
    }
    true
}

/// Adds everything of the node to the right, which fits and is equally deep.
fn absorb(left: &mut Node, right: Node) {
    match (left, right) {
        (Node::Leaf { longest, chunks }, Node::Leaf { longest: right_longest, chunks: right }) => {
            *longest = right_longest.max(*longest);
            chunks.extend(right);
        }
        (Node::Inner { children, bounds }, Node::Inner { children: right, bounds: right_bounds }) => {
            children.extend(right);
            bounds.extend(*right_bounds);
        }
        (Node::Leaf { .. }, Node::Inner { .. }) | (Node::Inner { .. }, Node::Leaf { .. }) => {
            unreachable!("neighbours are equally deep")
        }
    }
}

/// Puts an item into a full array at `at` and returns the right part.
///
/// Runs of insertions at either end, as when a dataset grows or is filled in backwards, leave full arrays behind them.
fn split<T>(full: &mut ArrayVec<T, SLOTS_MAX>, at: usize, item: T) -> ArrayVec<T, SLOTS_MAX> {
    let cut = if at == 0 || at == SLOTS_MAX { at } else { SLOTS_MAX / 2 };
    let mut right: ArrayVec<T, SLOTS_MAX> = full.drain(cut..).collect();
    if at > cut || right.is_empty() {
        right.insert(at - cut, item);
    } else {
        full.insert(at, item);
    }
    right
}

pub(super) fn longest_of(chunks: &[Slot<Resident>]) -> u64 {
    chunks.iter().map(|slot| slot.item.end().saturating_sub(slot.first)).max().unwrap_or(0)
}
