//! Tests of the catalogue's snapshot: written, read back, damaged.
//! Fails when a snapshot loses or invents a record, when damage goes unseen, or when it costs more than its page.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::index_journal::{JournalEntry, decode_journal, journal_header, journal_record};

fn entry(dataset: u8, first: u64, sequence: u64) -> IndexEntry<'static> {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&sequence.to_le_bytes());
    IndexEntry {
        id,
        dataset_id: [dataset; 32],
        block_range: first..first + 10,
        bytes: 1_000 + sequence,
        sequence,
        names: "blocks.parquet/logs.parquet",
        foreign_path: None,
    }
}

fn encode(generation: u64, entries: &[IndexEntry<'_>]) -> Vec<u8> {
    let mut builder = SnapshotBuilder::new(generation);
    for entry in entries {
        builder.push(entry);
    }
    builder.finish()
}

/// The good records, and the numbers of those that are not.
fn read<'a>(snapshot: &IndexSnapshot<'a>) -> (Vec<IndexEntry<'a>>, Vec<Range<usize>>) {
    let (mut good, mut damaged) = (Vec::new(), Vec::new());
    for record in snapshot.records() {
        match record {
            Ok(record) => good.push(record.entry),
            Err(numbers) => damaged.push(numbers),
        }
    }
    (good, damaged)
}

fn one(numbers: Range<usize>) -> Vec<Range<usize>> {
    vec![numbers]
}

fn small() -> Vec<IndexEntry<'static>> {
    let other = IndexEntry { names: "a", foreign_path: Some("top/0-9-abc"), ..entry(2, 0, 4) };
    vec![entry(1, 0, 1), entry(1, 10, 2), entry(1, 10, 3), other, entry(9, 5, 5)]
}

/// Two pages and a bit, in two datasets that meet in the second page.
fn three_pages() -> Vec<IndexEntry<'static>> {
    let records = u64::try_from(2 * PAGE_RECORDS + 100).expect("fits");
    (0..records).map(|number| entry(if number < 20_000 { 1 } else { 2 }, number * 10, number)).collect()
}

/// The bytes of a hex dump in the format's documentation.
fn documented_bytes(fence: &str) -> Vec<u8> {
    let page = include_str!("../../../../docs/formats/chunk.md");
    let (_, from) = page.split_once(fence).expect("the fence is in the page");
    let (dump, _) = from.split_once("```").expect("the fence ends");
    let digits = dump.lines().flat_map(|line| {
        let (bytes, _) = line.split_once('|').unwrap_or((line, ""));
        bytes.split_whitespace().skip(1)
    });
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("two hex digits")).collect()
}

fn documented_entry() -> IndexEntry<'static> {
    IndexEntry {
        id: [1; 32],
        dataset_id: [7; 32],
        block_range: 0..36,
        bytes: 1_048_576,
        sequence: 5,
        names: "blocks.parquet",
        foreign_path: None,
    }
}

#[test]
fn the_documented_snapshot_is_what_is_written_and_read() {
    let bytes = documented_bytes("```hexdump-snapshot");
    assert_eq!(encode(3, &[documented_entry()]), bytes);
    let snapshot = IndexSnapshot::decode(&bytes).expect("good");
    assert_eq!((snapshot.generation(), snapshot.count()), (3, 1));
    assert_eq!(read(&snapshot), (vec![documented_entry()], Vec::new()));
}

#[test]
fn the_documented_journal_is_what_is_written_and_read() {
    let bytes = documented_bytes("```hexdump-journal");
    let entries = vec![JournalEntry::Publishing(documented_entry()), JournalEntry::Deleting([1; 32])];
    let records = entries.iter().flat_map(|entry| journal_record(3, entry));
    assert_eq!(journal_header(3).into_iter().chain(records).collect::<Vec<u8>>(), bytes);
    assert_eq!(decode_journal(&bytes, 3), (entries, bytes.len()));
}

#[test]
fn a_snapshot_without_records_is_a_header() {
    let file = encode(8, &[]);
    assert_eq!(file.len(), HEADER_BYTES);
    let snapshot = IndexSnapshot::decode(&file).expect("good");
    assert_eq!((snapshot.generation(), snapshot.count(), snapshot.records().count()), (8, 0, 0));
}

#[test]
fn records_come_back_in_order_and_share_their_names() {
    let file = encode(1, &small());
    let snapshot = IndexSnapshot::decode(&file).expect("good");
    assert_eq!(read(&snapshot), (small(), Vec::new()));
    let sets: Vec<u32> = snapshot.records().map(|record| record.expect("good").name_set).collect();
    assert_eq!(sets, [0, 0, 0, 1, 0]);
    assert_eq!(snapshot.name_sets()[1], NameSet { names: "a", foreign_path: Some("top/0-9-abc") });
}

#[test]
fn the_largest_numbers_are_kept_or_cut_to_what_six_bytes_hold() {
    let largest = IndexEntry {
        block_range: u64::MAX - 1..u64::MAX,
        bytes: SIX_BYTES_MAX,
        sequence: SIX_BYTES_MAX,
        ..entry(1, 0, 0)
    };
    let beyond = IndexEntry { bytes: u64::MAX, sequence: u64::MAX, ..largest.clone() };
    let whole = IndexEntry { block_range: 0..u64::MAX, ..entry(1, 0, 0) };
    for given in [&largest, &beyond] {
        let file = encode(u64::MAX, &[whole.clone(), given.clone()]);
        let snapshot = IndexSnapshot::decode(&file).expect("good");
        assert_eq!(read(&snapshot), (vec![whole.clone(), largest.clone()], Vec::new()));
    }
}

#[test]
fn any_flipped_bit_is_found() {
    let good = encode(1, &small());
    let body = good.len() - small().len() * RECORD_BYTES;
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut damaged = good.clone();
            damaged[at] ^= 1 << bit;
            match IndexSnapshot::decode(&damaged) {
                Err(_) => assert!(at < body, "byte {at}, bit {bit} is in the body"),
                Ok(snapshot) => {
                    assert!(at >= body, "byte {at}, bit {bit} is not in the body");
                    assert_eq!(read(&snapshot), (Vec::new(), one(0..small().len())));
                }
            }
        }
    }
}

#[test]
fn a_snapshot_cut_anywhere_gives_nothing_wrong() {
    let good = encode(1, &small());
    let body = good.len() - small().len() * RECORD_BYTES;
    for len in 0..good.len() {
        match IndexSnapshot::decode(&good[..len]) {
            Err(_) => assert!(len < body, "cut at {len}"),
            Ok(snapshot) => assert_eq!(read(&snapshot), (Vec::new(), one(0..small().len())), "cut at {len}"),
        }
    }
    let longer = [&good[..], &[0]].concat();
    assert!(IndexSnapshot::decode(&longer).is_err());
}

#[test]
fn damage_costs_one_page() {
    let entries = three_pages();
    let good = encode(1, &entries);
    let body = good.len() - entries.len() * RECORD_BYTES;
    for page in 0..3 {
        let mut damaged = good.clone();
        damaged[body + page * PAGE_RECORDS * RECORD_BYTES + 70] ^= 1;
        let lost = page * PAGE_RECORDS..entries.len().min((page + 1) * PAGE_RECORDS);
        let kept = [&entries[..lost.start], &entries[lost.end..]].concat();
        let snapshot = IndexSnapshot::decode(&damaged).expect("its tables are good");
        let (read_entries, read_damage) = read(&snapshot);
        assert_eq!(read_damage, [lost]);
        assert!(read_entries == kept, "page {page}");
    }
    let cut = &good[..body + (2 * PAGE_RECORDS + 1) * RECORD_BYTES + 5];
    let snapshot = IndexSnapshot::decode(cut).expect("its tables are good");
    let (read_entries, read_damage) = read(&snapshot);
    assert_eq!(read_damage, one(2 * PAGE_RECORDS..entries.len()));
    assert!(read_entries == entries[..2 * PAGE_RECORDS]);
}

#[test]
fn records_that_are_out_of_order_are_not_believed() {
    let entries = [entry(1, 10, 5), entry(1, 10, 5), entry(1, 0, 1), entry(2, 0, 1)];
    let file = encode(1, &entries);
    let snapshot = IndexSnapshot::decode(&file).expect("good");
    let (good, damaged) = read(&snapshot);
    assert_eq!(damaged, one(1..2), "after a bad record the order begins anew");
    assert_eq!(good, [entries[0].clone(), entries[2].clone(), entries[3].clone()]);
    for unsorted in
        [[entry(2, 0, 1), entry(1, 0, 2)].as_slice(), &[entry(1, 0, 1), entry(2, 0, 1), entry(1, 5, 2)]]
    {
        assert!(IndexSnapshot::decode(&encode(1, unsorted)).is_err(), "a dataset stands twice or too late");
    }
}

#[test]
fn a_record_without_blocks_is_not_believed() {
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    for block_range in [5..5, 6..5] {
        let file = encode(1, &[IndexEntry { block_range, ..entry(1, 0, 1) }]);
        assert_eq!(read(&IndexSnapshot::decode(&file).expect("good")), (Vec::new(), one(0..1)));
    }
}

#[test]
fn names_and_paths_that_break_a_rule_are_not_believed() {
    let long = "x/".repeat(PATH_BYTES_MAX);
    let bad: [(&str, Option<&str>); 12] = [
        ("", None),
        ("../x", None),
        ("a//b", None),
        ("b/a", None),
        ("a/A", None),
        ("_chunk.json", None),
        ("a", Some("")),
        ("a", Some("/etc")),
        ("a", Some("x/../y")),
        ("a", Some("x//y")),
        ("a", Some("x\0y")),
        ("a", Some(&long)),
    ];
    for (names, foreign_path) in bad {
        let file = encode(1, &[IndexEntry { names, foreign_path, ..entry(1, 0, 1) }]);
        assert!(IndexSnapshot::decode(&file).is_err(), "{names} {foreign_path:?}");
    }
}

/// A header with these numbers and sums that fit, and nothing behind it but `rest`.
fn crafted(count: u64, datasets: u32, name_sets: u32, names_len: u64, rest: &[u8]) -> Vec<u8> {
    let mut file = [&SNAPSHOT_MAGIC[..], &1u64.to_le_bytes(), &count.to_le_bytes()].concat();
    file.extend_from_slice(&datasets.to_le_bytes());
    file.extend_from_slice(&name_sets.to_le_bytes());
    file.extend_from_slice(&names_len.to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(rest).to_le_bytes());
    file.resize(HEADER_BYTES - 4, 0);
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    file.extend_from_slice(rest);
    file
}

#[test]
fn counts_that_no_file_can_have_are_refused_without_taking_memory() {
    for (count, datasets, name_sets, names_len) in [
        (u64::MAX, 0, 0, 0),
        (u64::MAX / 64, 1, 1, 0),
        (1 << 40, 1, 1, 10),
        (0, u32::MAX, 0, 0),
        (0, 0, u32::MAX, 0),
        (0, 0, 0, u64::MAX),
        (0, 0, 0, u64::MAX - 63),
        (u64::MAX - 16_383, u32::MAX, u32::MAX, u64::MAX),
        (1, 0, 0, 0),
        (0, 1, 0, 0),
    ] {
        for rest in [&[][..], &[0; 64], &[0; 128]] {
            let file = crafted(count, datasets, name_sets, names_len, rest);
            assert!(IndexSnapshot::decode(&file).is_err(), "{count} {datasets} {name_sets} {names_len}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sorted_records_come_back_as_they_were(
        keys in proptest::collection::btree_map((0u8..4, any::<u32>(), any::<u16>()), (any::<[u8; 32]>(), 1u64..1 << 40, 0usize..3), 0..200),
        generation in any::<u64>(),
    ) {
        let keys: BTreeMap<_, _> = keys;
        let names = ["a", "a/b.parquet", "z"];
        let entries: Vec<IndexEntry<'_>> = keys.into_iter().map(|((dataset, first, sequence), (id, blocks, set))| {
            let first = u64::from(first);
            let foreign_path = (set == 2).then_some("x/y");
            let block_range = first..first + blocks;
            let sequence = u64::from(sequence);
            IndexEntry { id, dataset_id: [dataset; 32], block_range, bytes: blocks, sequence, names: names[set], foreign_path }
        }).collect();
        let file = encode(generation, &entries);
        let snapshot = IndexSnapshot::decode(&file).expect("good");
        prop_assert_eq!(snapshot.generation(), generation);
        prop_assert_eq!(read(&snapshot), (entries, Vec::new()));
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(IndexSnapshot::decode(&bytes).is_err());
    }

    #[test]
    fn any_tables_with_fitting_sums_are_read_without_harm(
        count in 0u64..4, datasets in 0u32..3, name_sets in 0u32..3, names_len in 0u64..40,
        rest in proptest::collection::vec(prop_oneof![4 => Just(0u8), 1 => any::<u8>()], 0..5),
    ) {
        let rest: Vec<u8> = rest.into_iter().cycle().take(128).collect();
        if let Ok(snapshot) = IndexSnapshot::decode(&crafted(count, datasets, name_sets, names_len, &rest)) {
            prop_assert_eq!(snapshot.records().count().min(1), snapshot.count().min(1));
        }
    }
}
