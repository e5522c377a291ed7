//! Tests of the table of chunks by id. A failure here means a chunk that is here and not known, or memory that is wasted a
//! million times.
//! Refuses to look at timing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chunk_ref::tests::{places, record};

/// A chunk whose id is this number, in bytes that say little else.
fn chunk(number: u64) -> Arc<Resident> {
    let mut record = record(1, 0..1, number + 1);
    record.id = id(number);
    let place = places().0.of(&record).expect("directory 0 is there");
    Resident::new(&record, place)
}

fn id(number: u64) -> ChunkId {
    let mut id = [7; 32];
    id[24..].copy_from_slice(&number.to_be_bytes());
    id
}

fn sequences<'a>(chunks: impl IntoIterator<Item = &'a Arc<Resident>>) -> Vec<u64> {
    let mut sequences: Vec<u64> = chunks.into_iter().map(|chunk| chunk.sequence()).collect();
    sequences.sort_unstable();
    sequences
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_of_insertions_and_removals_leaves_what_a_map_has(
        reserved in 0usize..300,
        steps in proptest::collection::vec((0u64..400, 0usize..4), 1..1_500),
    ) {
        let (mut table, mut model) = (ById::new(), BTreeMap::new());
        table.reserve(reserved);
        for (number, what) in steps {
            if what == 0 {
                let removed = table.remove(&id(number));
                prop_assert_eq!(sequences(&removed), sequences(&model.remove(&number)));
            } else if table.get(&id(number)).is_none() {
                let chunk = chunk(number);
                table.insert(Arc::clone(&chunk));
                model.insert(number, chunk);
            }
        }
        prop_assert_eq!(table.len(), model.len());
        prop_assert_eq!(sequences(table.iter()), sequences(model.values()));
        for number in 0..400 {
            prop_assert_eq!(sequences(table.get(&id(number))), sequences(model.get(&number)));
        }
    }
}

#[test]
fn a_quarter_of_the_room_is_free_at_most_however_many_chunks_there_are() {
    let room = |table: &ById| table.full.capacity() + table.rest.capacity();
    let mut table = ById::new();
    for number in 0..5_000u64 {
        table.insert(chunk(number));
        assert!(room(&table) <= table.len() * 4 / 3 + 8, "{} for {} one by one", room(&table), table.len());
    }
    for count in 0..5_000 {
        let mut table = ById::new();
        table.reserve(count);
        assert!(room(&table) >= count);
        assert!(room(&table) <= count * 4 / 3 + 8, "{} for {count} at once", room(&table));
    }
}
