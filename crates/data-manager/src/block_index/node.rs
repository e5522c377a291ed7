//! Nodes of the block index: leaves of chunks, and inner nodes that know how far each child reaches.
//! Refuses to know of snapshots: `Arc::make_mut` copies a node that somebody else holds, and nothing else does.

use std::ops::Range;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::chunk_ref::Resident;

/// Slots in a node. Few enough that copying one is cheap, enough that a hundred thousand chunks take three levels, of which
/// all but the leaves stay in the cache.
pub(super) const SLOTS_MAX: usize = 64;

/// So often is a place that was guessed put right by one, before a node is searched as a whole.
const STEPS_MAX: usize = 4;

/// A subtree. All leaves of a tree are equally deep.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// Chunks in order of first block and sequence.
    Leaf {
        /// No chunk here has more blocks than this, which ends a search backwards for one that reaches a block.
        longest: u64,
        chunks: Slots<Resident>,
    },
    /// Subtrees in the same order; at least one in a tree.
    Inner {
        children: Slots<Node>,
        /// `bounds[i]` is about `children[i]`. It lies elsewhere because finding a block hardly ever needs it.
        bounds: Box<ArrayVec<Bounds, SLOTS_MAX>>,
    },
}

pub(super) type Slots<T> = ArrayVec<Slot<T>, SLOTS_MAX>;

/// A chunk or a child, with what it is found by beside it, so that searching touches no other memory.
#[derive(Debug)]
pub(super) struct Slot<T> {
    /// A chunk's first block. Of a child: no chunk in it begins before this.
    pub(super) first: u64,
    pub(super) item: Arc<T>,
}

/// What is known of a child without looking into it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// With the slot's `first`: no key in the child is less, and every key in the child before is.
    pub(super) sequence: u64,
    /// The greatest end of all chunks in the child.
    pub(super) end: u64,
}

/// A node that has no parent yet, with what a parent keeps of it.
pub(super) struct Orphan {
    pub(super) slot: Slot<Node>,
    pub(super) bounds: Bounds,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Slot<T> {
        Slot { first: self.first, item: Arc::clone(&self.item) }
    }
}

impl Node {
    pub(super) fn leaf() -> Node {
        Node::Leaf { longest: 0, chunks: ArrayVec::new() }
    }

    /// An inner node over the next nodes of a level, as many as it takes.
    pub(super) fn over(nodes: impl Iterator<Item = Orphan>) -> Node {
        let (mut children, mut bounds) = (ArrayVec::new(), Box::new(ArrayVec::new()));
        for node in nodes.take(SLOTS_MAX) {
            children.push(node.slot);
            bounds.push(node.bounds);
        }
        Node::Inner { children, bounds }
    }

    /// The chunk with the highest key of those that contain the block.
    pub(super) fn find(&self, block: u64) -> Option<&Arc<Resident>> {
        // Straight down first: where ranges do not overlap, that is the only place where the chunk can be.
        let mut node = self;
        // Nothing is known of where the root's slots begin.
        let mut span = 0..0;
        loop {
            match node {
                Node::Leaf { longest, chunks } => {
                    let found = find_among(*longest, chunks, count_near(chunks, block, &span), block);
                    return if found.is_some() { found } else { self.find_anywhere(block) };
                }
                Node::Inner { children, bounds } => {
                    let count = count_near(children, block, &span);
                    let at = count.wrapping_sub(1);
                    let Some(child) = children.get(at) else { return self.find_anywhere(block) };
                    let end = match children.get(count) {
                        Some(next) => next.first,
                        None => bounds.get(at).map_or(0, |bounds| bounds.end),
                    };
                    span = child.first..end;
                    node = &child.item;
                }
            }
        }
    }

    /// As [`Node::find`], led by how far the children reach.
    fn find_anywhere(&self, block: u64) -> Option<&Arc<Resident>> {
        match self {
            Node::Leaf { longest, chunks } => find_among(*longest, chunks, count_until(chunks, block), block),
            Node::Inner { children, bounds } => {
                let count = count_until(children, block);
                // Only the last of these may hold chunks that begin after the block. The others hold none, so one that
                // reaches beyond the block answers for sure: two paths are walked at most, however ranges overlap.
                children
                    .iter()
                    .zip(bounds.iter())
                    .take(count)
                    .rev()
                    .filter(|(_, bounds)| bounds.end > block)
                    .find_map(|(child, _)| child.item.find_anywhere(block))
            }
        }
    }

    pub(super) fn contains(&self, first: u64, sequence: u64) -> bool {
        match self {
            Node::Leaf { chunks, .. } => position(chunks, first, sequence).is_some(),
            Node::Inner { children, bounds } => {
                let child = children.get(child_at(children, bounds, first, sequence));
                child.is_some_and(|child| child.item.contains(first, sequence))
            }
        }
    }

    /// The subtrees of an inner node that may hold chunks with a block in the range, in order.
    pub(super) fn children_in(&self, range: &Range<u64>) -> impl DoubleEndedIterator<Item = &Node> {
        let (children, bounds): (&[_], &[_]) = match self {
            Node::Leaf { .. } => (&[], &[]),
            Node::Inner { children, bounds } => (children, bounds),
        };
        let count = children.partition_point(|child| child.first < range.end);
        let start = range.start;
        let both = children.iter().zip(bounds).take(count);
        both.filter(move |(_, bounds)| bounds.end > start).map(|(child, _)| &*child.item)
    }

    /// The next chunk of a leaf, at or after `at`, that has a block in the range; `at` moves behind it.
    pub(super) fn next_in(&self, range: &Range<u64>, at: &mut usize) -> Option<&Arc<Resident>> {
        let Node::Leaf { longest, chunks } = self else { return None };
        while let Some(slot) = chunks.get(*at) {
            if slot.first >= range.end {
                return None;
            }
            *at += 1;
            // The first test spares a look at chunks that begin too early to reach the range.
            if slot.first.saturating_add(*longest) > range.start && slot.item.end() > range.start {
                return Some(&slot.item);
            }
        }
        None
    }

    /// The child of an inner node that has no other, and so is not needed.
    pub(super) fn only_child(&self) -> Option<Arc<Node>> {
        match self {
            Node::Inner { children, .. } if children.len() == 1 => {
                children.first().map(|child| Arc::clone(&child.item))
            }
            Node::Inner { .. } | Node::Leaf { .. } => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Node::Leaf { chunks, .. } => chunks.len(),
            Node::Inner { children, .. } => children.len(),
        }
    }

    pub(super) fn end(&self) -> u64 {
        match self {
            Node::Leaf { chunks, .. } => chunks.iter().map(|slot| slot.item.end()).max().unwrap_or(0),
            Node::Inner { bounds, .. } => bounds.iter().map(|bounds| bounds.end).max().unwrap_or(0),
        }
    }

    /// The least key.
    pub(super) fn least(&self) -> (u64, u64) {
        match self {
            Node::Leaf { chunks, .. } => {
                chunks.first().map_or((0, 0), |slot| (slot.first, slot.item.sequence()))
            }
            Node::Inner { children, bounds } => children
                .first()
                .zip(bounds.first())
                .map_or((0, 0), |(slot, bounds)| (slot.first, bounds.sequence)),
        }
    }
}

impl Orphan {
    pub(super) fn of(node: Arc<Node>) -> Orphan {
        let (first, sequence) = node.least();
        Orphan { bounds: Bounds { sequence, end: node.end() }, slot: Slot { first, item: node } }
    }
}

/// How many slots begin at the block or before it.
///
/// Counting has no branch to mispredict, and all its loads are on their way at once: first one in each four slots, which
/// share a cache line, then within the four that are left.
#[inline]
fn count_until<T>(slots: &[Slot<T>], block: u64) -> usize {
    let (fours, rest) = slots.as_chunks::<4>();
    let whole = count(fours, |[_, _, _, last]| last.first <= block);
    let left = match fours.get(whole) {
        Some(four) => count(four, |slot| slot.first <= block),
        None => count(rest, |slot| slot.first <= block),
    };
    whole * 4 + left
}

/// As `filter` and `count`, without a test for overflow at each step.
fn count<T>(items: &[T], test: impl Fn(&T) -> bool) -> usize {
    items.iter().fold(0, |count: usize, item| count.wrapping_add(usize::from(test(item))))
}

/// The same, where the slots probably begin in `span`.
///
/// Chunks that follow each other are of much the same length, so the place is looked for where it would be if all of a
/// node were. That touches one or two cache lines in place of all, which counts in leaves: those of a million chunks are in
/// no cache.
#[inline]
fn count_near<T>(slots: &[Slot<T>], block: u64, span: &Range<u64>) -> usize {
    guess(slots, block, span).unwrap_or_else(|| count_until(slots, block))
}

#[inline]
fn guess<T>(slots: &[Slot<T>], block: u64, span: &Range<u64>) -> Option<usize> {
    let width = span.end.checked_sub(span.start)?;
    // The processor takes a node to be full, as most are, and asks for the slot before it has heard how full it is.
    let step = match slots.len() {
        SLOTS_MAX => width >> SLOTS_MAX.ilog2(),
        count => width / u64::try_from(count).ok()?.max(1),
    };
    let mut at = usize::try_from(block.checked_sub(span.start)? / step.max(1)).ok()?;
    for _ in 0..STEPS_MAX {
        if slots.get(at)?.first > block {
            at = at.checked_sub(1)?;
        } else if slots.get(at + 1).is_some_and(|next| next.first <= block) {
            at += 1;
        } else {
            return Some(at + 1);
        }
    }
    None
}

/// The chunk that answers for a block, where `count` chunks begin at it or before it.
#[inline]
fn find_among(longest: u64, chunks: &[Slot<Resident>], count: usize, block: u64) -> Option<&Arc<Resident>> {
    let (last, before) = chunks.get(..count)?.split_last()?;
    if block < last.item.end() {
        return Some(&last.item);
    }
    // Ends are looked up only where a chunk of the greatest length would reach.
    let near = before.iter().rev().take_while(|slot| block - slot.first < longest);
    near.map(|slot| &slot.item).find(|resident| block < resident.end())
}

/// Where the child is that holds this key, or would.
pub(super) fn child_at(children: &[Slot<Node>], bounds: &[Bounds], first: u64, sequence: u64) -> usize {
    let after = children
        .iter()
        .zip(bounds)
        .filter(|(child, bounds)| (child.first, bounds.sequence) <= (first, sequence));
    after.count().saturating_sub(1)
}

/// Where the chunk with this key is, or would be.
pub(super) fn place_of(chunks: &[Slot<Resident>], first: u64, sequence: u64) -> usize {
    chunks.partition_point(|slot| {
        slot.first < first || (slot.first == first && slot.item.sequence() < sequence)
    })
}

pub(super) fn position(chunks: &[Slot<Resident>], first: u64, sequence: u64) -> Option<usize> {
    let at = place_of(chunks, first, sequence);
    let slot = chunks.get(at)?;
    (slot.first == first && slot.item.sequence() == sequence).then_some(at)
}
