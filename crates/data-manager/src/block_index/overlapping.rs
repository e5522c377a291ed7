//! Overlapping: a walk over the chunks of a block index that have a block in a range, in order.
//! Refuses to look into a subtree that cannot hold one.

use std::ops::Range;
use std::sync::Arc;

use super::node::Node;
use crate::chunk_ref::Resident;

/// The walk. It borrows the index, so it sees one state of it.
pub(super) struct Overlapping<'a> {
    range: Range<u64>,
    /// Subtrees still to be walked, the next one last.
    todo: Vec<&'a Node>,
    /// The leaf that is being walked, and the place in it.
    leaf: Option<(&'a Node, usize)>,
}

impl<'a> Overlapping<'a> {
    pub(super) fn new(root: Option<&'a Node>, range: Range<u64>) -> Overlapping<'a> {
        let todo = if range.is_empty() { Vec::new() } else { root.into_iter().collect() };
        Overlapping { range, todo, leaf: None }
    }
}

impl<'a> Iterator for Overlapping<'a> {
    type Item = &'a Arc<Resident>;

    fn next(&mut self) -> Option<&'a Arc<Resident>> {
        loop {
            if let Some((leaf, at)) = &mut self.leaf {
                if let Some(resident) = leaf.next_in(&self.range, at) {
                    return Some(resident);
                }
                self.leaf = None;
            }
            match self.todo.pop()? {
                leaf @ Node::Leaf { .. } => self.leaf = Some((leaf, 0)),
                inner @ Node::Inner { .. } => self.todo.extend(inner.children_in(&self.range).rev()),
            }
        }
    }
}
