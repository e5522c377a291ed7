//! Tests of snapshots and of the cell they are published through. A failure here means a range that is said to be held
//! and is not, or a reader that misses a chunk while writers change others.
//! Refuses to wait for time: threads run a fixed number of steps.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::chunk_ref::tests::resident;

fn snapshot(ranges: &[Range<u64>]) -> Snapshot {
    let numbered = (0..).zip(ranges);
    Snapshot::from_sorted(numbered.map(|(sequence, range)| resident(1, range.clone(), sequence)))
}

/// First blocks and ends.
type Pairs = Vec<(u64, u64)>;

/// The chunks and the gaps of a view.
fn view(snapshot: &Snapshot, range: Range<u64>) -> (Pairs, Pairs) {
    let view = snapshot.find_range(&[1; 32], range, &CoarseClock::default());
    assert_eq!(view.is_complete(), view.gaps.is_empty());
    let pair = |range: &BlockRange| (range.start, range.end);
    (
        view.chunks.iter().map(|chunk| pair(&chunk.block_range())).collect(),
        view.gaps.iter().map(pair).collect(),
    )
}

#[test]
fn a_range_is_answered_with_chunks_in_order_and_the_gaps_between_them() {
    let snapshot = snapshot(&[10..20, 20..30, 40..50]);
    assert_eq!(
        view(&snapshot, 0..60),
        (vec![(10, 20), (20, 30), (40, 50)], vec![(0, 10), (30, 40), (50, 60)])
    );
    assert_eq!(view(&snapshot, 15..45), (vec![(10, 20), (20, 30), (40, 50)], vec![(30, 40)]));
    assert_eq!(view(&snapshot, 30..40), (vec![], vec![(30, 40)]));
    assert_eq!(view(&snapshot, 29..30), (vec![(20, 30)], vec![]));
    assert_eq!(view(&snapshot, 30..30), (vec![], vec![]));
}

#[test]
fn all_chunks_that_overlap_are_in_a_view_and_their_gaps_are_what_none_holds() {
    let snapshot = snapshot(&[0..100, 10..20, 10..30, 150..160]);
    assert_eq!(view(&snapshot, 15..155), (vec![(0, 100), (10, 20), (10, 30), (150, 160)], vec![(100, 150)]));
}

#[test]
fn a_view_of_everything_reaches_the_last_block() {
    let snapshot = snapshot(&[0..5, u64::MAX - 5..u64::MAX]);
    assert_eq!(view(&snapshot, 0..u64::MAX).1, vec![(5, u64::MAX - 5)]);
}

#[test]
fn a_dataset_without_chunks_is_all_gap() {
    let view = Snapshot::default().find_range(&[9; 32], 3..7, &CoarseClock::default());
    assert!(view.chunks.is_empty());
    assert_eq!(view.gaps, std::slice::from_ref(&(3..7)));
    assert!(Snapshot::default().coverage(&[9; 32]).is_empty());
}

#[test]
fn adjacent_and_overlapping_chunks_are_one_run() {
    let snapshot = snapshot(&[0..10, 10..20, 15..40, 16..18, 41..50]);
    assert_eq!(snapshot.coverage(&[1; 32]), [0..40, 41..50]);
}

#[test]
fn a_dataset_is_known_as_long_as_it_has_a_chunk() {
    let chunks = [resident(3, 0..1, 1), resident(4, 0..1, 2), resident(4, 1..2, 3)];
    let mut snapshot = Snapshot::from_sorted(chunks.iter().map(Arc::clone));
    assert_eq!(snapshot.datasets().collect::<BTreeSet<_>>(), BTreeSet::from([[3; 32], [4; 32]]));
    snapshot.remove(&chunks[0]);
    snapshot.remove(&chunks[0]);
    snapshot.remove(&chunks[1]);
    assert_eq!((snapshot.datasets().collect::<Vec<_>>(), snapshot.iter().count()), (vec![[4; 32]], 1));
}

#[test]
fn chunks_load_in_any_order() {
    let in_order: Vec<_> =
        (0u8..200).map(|number| resident(number / 70, u64::from(number)..255, number.into())).collect();
    let mut shuffled = in_order.clone();
    shuffled.sort_by_key(|resident| resident.sequence() * 77 % 199);
    for chunks in [in_order, shuffled] {
        let snapshot = Snapshot::from_sorted(chunks);
        for dataset in 0u8..3 {
            let firsts: Vec<u64> =
                snapshot.overlapping(&[dataset; 32], 0..300).map(|found| found.first()).collect();
            let expected = (0u64..200).filter(|first| first / 70 == u64::from(dataset));
            assert_eq!(firsts, expected.collect::<Vec<_>>());
        }
    }
}

#[test]
fn datasets_that_differ_in_one_bit_are_kept_apart() {
    for bit in 0..256 {
        let mut id = [1; 32];
        id[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(Key::of(&id), Key::of(&[1; 32]));
        assert_eq!(Key::of(&id).id(), id);
    }
}

#[test]
fn what_is_found_stays_pinned_after_it_was_hidden() {
    let chunk = resident(1, 0..10, 1);
    let published = Published::new(Snapshot::from_sorted([Arc::clone(&chunk)]), CoarseClock::default());
    let weak = Arc::downgrade(&chunk);
    let pin = published.find(&[1; 32], 5).expect("it is visible");
    published.publish(Snapshot::default());
    drop(chunk);
    assert!(published.find(&[1; 32], 5).is_none());
    assert_eq!((pin.block_range(), Resident::pins_hidden(&weak)), (0..10, 1));
    drop(pin);
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_published_chunk_without_pins_has_the_owners_that_pins_are_counted_from() {
    let chunk = resident(1, 0..10, 1);
    let master = Snapshot::from_sorted([Arc::clone(&chunk)]);
    let published = Published::new(master.clone(), CoarseClock::default());
    assert_eq!(Resident::pins_visible(&chunk), 0, "the writer's index and the readers' are one");
    let view = published.find_range(&[1; 32], 0..10);
    assert_eq!(Resident::pins_visible(&chunk), 1);
    drop(view);
    published.publish(master);
    assert_eq!(Resident::pins_visible(&chunk), 0);
}

#[test]
fn a_reader_finds_a_block_at_every_moment_while_its_chunk_is_replaced() {
    const REPLACEMENTS: u64 = 3_000;
    let first = resident(1, 100..200, 1);
    let neighbours = (2..200).map(|number| resident(1, number * 1_000..number * 1_000 + 9, number));
    let mut master = Snapshot::from_sorted(neighbours.chain([Arc::clone(&first)]));
    let published = Published::new(master.clone(), CoarseClock::default());
    std::thread::scope(|threads| {
        let reader = || {
            let mut last_seen = 0;
            while last_seen < 1_000 + REPLACEMENTS {
                let pin = published.find(&[1; 32], 150).expect("one of the two is always visible");
                assert!(pin.block_range().contains(&150));
                let sequence = pin.resident().sequence();
                assert!(sequence >= last_seen, "a reader never goes back in time");
                last_seen = sequence;
            }
        };
        let readers = [threads.spawn(reader), threads.spawn(reader)];
        let mut old = first;
        for sequence in 1_001..=1_000 + REPLACEMENTS {
            let new = resident(1, 100..200, sequence);
            master.insert(Arc::clone(&new));
            published.publish(master.clone());
            master.remove(&old);
            published.publish(master.clone());
            old = new;
        }
        for reader in readers {
            assert!(reader.join().is_ok());
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gaps_and_coverage_agree_with_blocks_counted_one_by_one(
        ranges in proptest::collection::vec((0u64..60, 1u64..12), 0..12),
        start in 0u64..80,
        length in 0u64..80,
    ) {
        let ranges: Vec<_> = ranges.into_iter().map(|(first, length)| first..first + length).collect();
        let snapshot = snapshot(&ranges);
        let held: BTreeSet<u64> = ranges.iter().cloned().flatten().collect();
        let wanted = start..start + length;
        let (chunks, gaps) = view(&snapshot, wanted.clone());
        let missing: Vec<u64> = wanted.clone().filter(|block| !held.contains(block)).collect();
        prop_assert_eq!(gaps.iter().flat_map(|&(first, end)| first..end).collect::<Vec<_>>(), missing);
        let touching = ranges.iter().filter(|range| wanted.clone().any(|block| range.contains(&block)));
        prop_assert_eq!(chunks.len(), touching.count());
        let runs = snapshot.coverage(&[1; 32]);
        prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start), "runs are joined: {:?}", runs);
        prop_assert_eq!(runs.into_iter().flatten().collect::<BTreeSet<_>>(), held);
    }
}
