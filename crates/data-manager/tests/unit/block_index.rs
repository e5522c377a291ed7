//! Tests of the block index against a plain list. A failure here means that a block is answered with the wrong chunk, or
//! with none, or that a change shows in a snapshot taken before it.
//! Refuses to look at timing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::node::SLOTS_MAX;
use super::*;
use crate::chunk_ref::tests::resident;

/// What the index must answer: a list searched from end to end.
#[derive(Debug, Clone, Default)]
struct Model(BTreeMap<(u64, u64), u64>);

impl Model {
    fn find(&self, block: u64) -> Option<(u64, u64)> {
        let mut candidates = self.0.range(..=(block, u64::MAX)).rev();
        candidates.find(|&(_, &end)| block < end).map(|(&key, _)| key)
    }

    fn overlapping(&self, range: &Range<u64>) -> Vec<(u64, u64)> {
        let overlaps = |first: u64, end: u64| first.max(range.start) < end.min(range.end);
        self.0.iter().filter(|&(&(first, _), &end)| overlaps(first, end)).map(|(&key, _)| key).collect()
    }
}

/// One step of a history. Positions are taken modulo the number of chunks.
#[derive(Debug, Clone)]
enum Step {
    Insert { first: u64, length: u64 },
    Run { first: u64, length: u64, count: u64, is_backwards: bool },
    Remove(usize),
    RemoveRun { position: usize, count: usize },
    RemoveNothing { first: u64, sequence: u64 },
    Snapshot,
}

fn first_block() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0u64..200, 3 => 0u64..20_000, 1 => u64::MAX - 50..u64::MAX, 1 => any::<u64>()]
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1u64..5, 4 => 1u64..200, 1 => 1u64..=u64::MAX]
}

fn step() -> impl Strategy<Value = Step> {
    let run = (first_block(), 1u64..20, 1u64..150, any::<bool>());
    prop_oneof![
        6 => (first_block(), length()).prop_map(|(first, length)| Step::Insert { first, length }),
        4 => run.prop_map(|(first, length, count, is_backwards)| Step::Run { first, length, count, is_backwards }),
        4 => any::<usize>().prop_map(Step::Remove),
        2 => (any::<usize>(), 1usize..200).prop_map(|(position, count)| Step::RemoveRun { position, count }),
        1 => (first_block(), any::<u64>()).prop_map(|(first, sequence)| Step::RemoveNothing { first, sequence }),
        1 => Just(Step::Snapshot),
    ]
}

/// An index and its model, changed alike.
#[derive(Debug, Clone, Default)]
struct Both {
    index: BlockIndex,
    model: Model,
}

impl Both {
    fn insert(&mut self, first: u64, length: u64, sequence: u64) {
        let first = first.min(u64::MAX - 1);
        let end = first.saturating_add(length);
        self.index.insert(resident(1, first..end, sequence));
        self.model.0.insert((first, sequence), end);
    }

    fn remove(&mut self, position: usize) {
        let position = position % self.model.0.len().max(1);
        let Some((&(first, sequence), _)) = self.model.0.iter().nth(position) else { return };
        let removed = self.index.remove(first, sequence).expect("it is there");
        assert_eq!((removed.first(), removed.sequence()), (first, sequence));
        self.model.0.remove(&(first, sequence));
    }

    fn apply(&mut self, step: &Step, sequence: u64) {
        match *step {
            Step::Insert { first, length } => self.insert(first, length, sequence),
            Step::Run { first, length, count, is_backwards } => {
                for number in 0..count {
                    let number = if is_backwards { count - 1 - number } else { number };
                    self.insert(first.saturating_add(number * length), length, sequence + number);
                }
            }
            Step::Remove(position) => self.remove(position),
            Step::RemoveRun { position, count } => (0..count).for_each(|_| self.remove(position)),
            Step::RemoveNothing { first, sequence } => {
                let is_there = self.model.0.contains_key(&(first, sequence));
                assert!(is_there || self.index.remove(first, sequence).is_none());
            }
            Step::Snapshot => {}
        }
    }

    fn check(&self) {
        let keys: Vec<(u64, u64)> = self.model.0.keys().copied().collect();
        assert_eq!(self.index.iter().map(key).collect::<Vec<_>>(), keys);
        assert_eq!(self.index.is_empty(), keys.is_empty());
        for block in self.edges() {
            assert_eq!(self.index.find(block).map(key), self.model.find(block), "block {block}");
            for range in
                [block..block.saturating_add(1), block..block.saturating_add(100), 0..block, block..u64::MAX]
            {
                let found: Vec<_> = self.index.overlapping(range.clone()).map(key).collect();
                assert_eq!(found, self.model.overlapping(&range), "range {range:?}");
            }
        }
        if let Some(root) = &self.index.root {
            depth(root);
        }
    }

    /// The blocks where answers change, thinned out.
    fn edges(&self) -> Vec<u64> {
        let thin = self.model.0.len() / 40 + 1;
        let around = |block: u64| [block.saturating_sub(1), block, block.saturating_add(1)];
        let ends = self.model.0.iter().step_by(thin).flat_map(|(&(first, _), &end)| [first, end]);
        ends.flat_map(around).chain([0, 100, u64::MAX - 1, u64::MAX]).collect()
    }
}

fn key(resident: &Arc<Resident>) -> (u64, u64) {
    (resident.first(), resident.sequence())
}

/// Checks what must hold of a node, and returns how deep it is.
fn depth(node: &Node) -> usize {
    match node {
        Node::Leaf { longest, chunks } => {
            assert!(!chunks.is_empty());
            for slot in chunks {
                assert_eq!(slot.first, slot.item.first());
                assert!(slot.item.end() - slot.first <= *longest);
            }
            1
        }
        Node::Inner { children, bounds } => {
            assert!(!children.is_empty());
            assert_eq!(children.len(), bounds.len());
            let below: Vec<usize> = children.iter().map(|child| depth(&child.item)).collect();
            assert!(below.iter().all(|depth| *depth == below[0]), "leaves are not equally deep: {below:?}");
            for (child, bounds) in children.iter().zip(bounds.iter()) {
                assert!((child.first, bounds.sequence) <= child.item.least());
                assert_eq!(bounds.end, child.item.end());
            }
            below[0] + 1
        }
    }
}

fn leaves<'a>(node: &'a Arc<Node>, into: &mut Vec<&'a Arc<Node>>) {
    match &**node {
        Node::Leaf { .. } => into.push(node),
        Node::Inner { children, .. } => children.iter().for_each(|child| leaves(&child.item, into)),
    }
}

fn leaves_of(index: &BlockIndex) -> Vec<&Arc<Node>> {
    let mut found = Vec::new();
    if let Some(root) = &index.root {
        leaves(root, &mut found);
    }
    found
}

/// `count` chunks of ten blocks each, one after the other.
fn row(count: u64) -> BlockIndex {
    BlockIndex::from_sorted((0..count).map(|number| resident(1, number * 10..number * 10 + 10, number)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_of_insertions_and_removals_answers_as_a_plain_list_does(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut both = Both::default();
        let mut snapshots = Vec::new();
        for (number, step) in (0u64..).zip(&steps) {
            both.apply(step, number * 1_000);
            if matches!(step, Step::Snapshot) {
                both.check();
                snapshots.push(both.clone());
            }
        }
        both.check();
        for snapshot in snapshots {
            snapshot.check();
        }
        for position in 0..both.model.0.len() {
            both.remove(position * 7_919);
        }
        prop_assert!(both.index.root.is_none(), "an index of nothing has no nodes");
    }
}

#[test]
fn a_range_holds_its_first_block_and_not_its_end() {
    let index = BlockIndex::from_sorted([resident(1, 10..20, 1)]);
    let held: Vec<u64> = (0..30).filter(|block| index.find(*block).is_some()).collect();
    assert_eq!(held, (10..20).collect::<Vec<_>>());
}

#[test]
fn the_last_block_that_can_be_held_is_found_and_the_one_after_is_not() {
    let index =
        BlockIndex::from_sorted([resident(1, u64::MAX - 1..u64::MAX, 1), resident(1, 0..u64::MAX, 2)]);
    assert_eq!(index.find(u64::MAX - 1).map(key), Some((u64::MAX - 1, 1)));
    assert_eq!(index.find(u64::MAX - 2).map(key), Some((0, 2)));
    assert!(index.find(u64::MAX).is_none());
}

#[test]
fn of_chunks_that_contain_a_block_the_one_that_begins_last_answers_then_the_one_published_last() {
    let index = BlockIndex::from_sorted([
        resident(1, 0..100, 9),
        resident(1, 40..60, 3),
        resident(1, 40..60, 5),
        resident(1, 40..45, 7),
    ]);
    let answers: Vec<u64> =
        [39, 40, 44, 45, 59, 60].map(|block| index.find(block).unwrap().sequence()).to_vec();
    assert_eq!(answers, [9, 7, 7, 5, 5, 9]);
}

#[test]
fn a_chunk_that_spans_all_answers_where_thousands_of_later_ones_leave_gaps() {
    let mut index =
        BlockIndex::from_sorted((1..5_000).map(|number| resident(1, number * 10..number * 10 + 5, number)));
    index.insert(resident(1, 0..1_000_000, 7_777));
    for block in [7, 16, 25_007, 49_999, 999_999] {
        assert_eq!(index.find(block).map(|found| found.sequence()), Some(7_777), "block {block}");
    }
    assert_eq!(index.find(25_003).map(|found| found.first()), Some(25_000));
}

#[test]
fn an_empty_range_overlaps_nothing() {
    let index = row(100);
    for range in [0..0, 55..55, u64::MAX..u64::MAX, Range { start: 60, end: 50 }] {
        assert_eq!(index.overlapping(range.clone()).count(), 0, "{range:?}");
    }
}

#[test]
fn chunks_that_arrive_in_order_fill_their_leaves_in_either_direction() {
    let count = 10 * SLOTS_MAX * SLOTS_MAX;
    let (mut forwards, mut backwards) = (BlockIndex::default(), BlockIndex::default());
    let chunks: Vec<_> = row(count as u64).iter().cloned().collect();
    for (next, previous) in chunks.iter().zip(chunks.iter().rev()) {
        forwards.insert(Arc::clone(next));
        backwards.insert(Arc::clone(previous));
    }
    for index in [forwards, backwards] {
        assert_eq!(leaves_of(&index).len(), count / SLOTS_MAX);
    }
}

#[test]
fn chunks_that_come_out_of_order_are_loaded_too() {
    let chunks: Vec<_> =
        (0..3_000).map(|number| resident(1, number * 1_013 % 1_000..4_000, 3_000 - number)).collect();
    let mut sorted: Vec<_> = chunks.iter().map(key).collect();
    sorted.sort_unstable();
    let index = BlockIndex::from_sorted(chunks);
    assert_eq!(index.iter().map(key).collect::<Vec<_>>(), sorted);
    depth(index.root.as_ref().unwrap());
}

#[test]
fn chunks_that_are_loaded_at_once_fill_all_leaves_but_the_last() {
    for count in
        [0, 1, SLOTS_MAX - 1, SLOTS_MAX, SLOTS_MAX + 1, SLOTS_MAX * SLOTS_MAX, SLOTS_MAX * SLOTS_MAX + 1]
    {
        let index = row(count as u64);
        assert_eq!(leaves_of(&index).len(), count.div_ceil(SLOTS_MAX));
        assert_eq!(index.iter().count(), count);
        index.root.as_ref().map(|root| depth(root));
    }
}

#[test]
fn a_change_copies_one_leaf_and_shares_all_others() {
    let old = row(10_000);
    let mut new = old.clone();
    new.remove(50_000, 5_000).unwrap();
    new.insert(resident(1, 50_001..50_002, 10_001));
    let shared = |a: &BlockIndex, b: &BlockIndex| {
        leaves_of(a).iter().filter(|leaf| leaves_of(b).iter().any(|other| Arc::ptr_eq(leaf, other))).count()
    };
    assert_eq!(shared(&new, &old), leaves_of(&old).len() - 1);
    assert_eq!(old.find(50_000).map(key), Some((50_000, 5_000)));
    assert!(new.find(50_000).is_none());
}

#[test]
fn removing_what_is_not_there_copies_nothing() {
    let old = row(10_000);
    let mut new = old.clone();
    for (first, sequence) in [(50_000, 1), (50_001, 5_000), (u64::MAX, 0), (0, 1)] {
        assert!(new.remove(first, sequence).is_none());
    }
    assert!(Arc::ptr_eq(old.root.as_ref().unwrap(), new.root.as_ref().unwrap()));
}

#[test]
fn an_index_that_lost_most_of_its_chunks_lost_most_of_its_leaves() {
    let mut index = row(20_000);
    for number in (0..20_000).filter(|number| number % 50 != 0) {
        index.remove(number * 10, number).unwrap();
    }
    let left: Vec<u64> = index.iter().map(|resident| resident.sequence()).collect();
    assert_eq!(left, (0..20_000).step_by(50).collect::<Vec<_>>());
    assert_eq!(depth(index.root.as_ref().unwrap()), 2);
    assert!(leaves_of(&index).len() < 60, "{} leaves for 400 chunks", leaves_of(&index).len());
}
