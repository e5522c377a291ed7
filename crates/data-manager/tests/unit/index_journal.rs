//! Tests of the catalogue's journal: written, read back, torn.
//! Fails when a journal loses or invents a record, or when damage or an earlier journal's bytes are taken for records.

use proptest::prelude::*;

use super::*;

const GENERATION: u64 = 3;

fn publishing(id: u8) -> JournalEntry<'static> {
    JournalEntry::Publishing(IndexEntry {
        id: [id; 32],
        dataset_id: [7; 32],
        block_range: 0..36,
        bytes: 1_048_576,
        sequence: 5,
        names: "blocks.parquet",
        foreign_path: None,
    })
}

fn some_entries() -> Vec<JournalEntry<'static>> {
    let JournalEntry::Publishing(first) = publishing(1) else { panic!("it is") };
    let foreign = IndexEntry {
        block_range: 0..u64::MAX,
        bytes: u64::MAX,
        sequence: u64::MAX,
        names: "a/b",
        foreign_path: Some("x/y"),
        ..first
    };
    vec![
        publishing(1),
        JournalEntry::Deleting([2; 32]),
        JournalEntry::Publishing(foreign),
        JournalEntry::Gone([2; 32]),
    ]
}

fn encode(generation: u64, entries: &[JournalEntry<'_>]) -> Vec<u8> {
    let mut file = journal_header(generation);
    for entry in entries {
        file.extend_from_slice(&journal_record(generation, entry));
    }
    file
}

/// Where the header and each record end.
fn ends(entries: &[JournalEntry<'_>]) -> Vec<usize> {
    (0..=entries.len()).map(|count| encode(GENERATION, &entries[..count]).len()).collect()
}

#[test]
fn records_come_back_in_order() {
    let file = encode(GENERATION, &some_entries());
    assert_eq!(decode_journal(&file, GENERATION), (some_entries(), file.len()));
    assert_eq!(journal_generation(&file), Some(GENERATION));
}

#[test]
fn a_journal_of_another_generation_has_nothing_to_say() {
    let file = encode(GENERATION, &some_entries());
    for other in [0, GENERATION - 1, GENERATION + 1, u64::MAX] {
        assert_eq!(decode_journal(&file, other), (Vec::new(), 0));
    }
}

#[test]
fn records_of_an_earlier_generation_behind_a_new_header_are_not_read() {
    let mut file = encode(GENERATION, &[publishing(1)]);
    let valid_len = file.len();
    file.extend_from_slice(&journal_record(GENERATION - 1, &publishing(2)));
    file.extend_from_slice(&journal_record(GENERATION, &publishing(3)));
    assert_eq!(decode_journal(&file, GENERATION), (vec![publishing(1)], valid_len));
}

#[test]
fn a_journal_cut_anywhere_gives_the_whole_records_before_the_cut() {
    let file = encode(GENERATION, &some_entries());
    let ends = ends(&some_entries());
    for len in 0..=file.len() {
        let whole = ends.iter().filter(|end| **end <= len).count();
        let (entries, valid_len) = decode_journal(&file[..len], GENERATION);
        assert_eq!(entries, some_entries()[..whole.saturating_sub(1)], "cut at {len}");
        assert_eq!(valid_len, if whole == 0 { 0 } else { ends[whole - 1] }, "cut at {len}");
    }
}

#[test]
fn any_flipped_bit_ends_the_reading_at_its_record() {
    let file = encode(GENERATION, &some_entries());
    let ends = ends(&some_entries());
    for at in 0..file.len() {
        let before = ends.iter().filter(|end| **end <= at).count();
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let (entries, valid_len) = decode_journal(&damaged, GENERATION);
            assert_eq!(entries, some_entries()[..before.saturating_sub(1)], "byte {at}, bit {bit}");
            assert_eq!(valid_len, if before == 0 { 0 } else { ends[before - 1] });
        }
    }
}

/// A record of this kind and payload, whose sum fits.
fn crafted(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut record = narrow(payload.len() + 1).to_le_bytes().to_vec();
    record.push(kind);
    record.extend_from_slice(payload);
    let sum = journal_sum(GENERATION, &record);
    [&record[..], &sum].concat()
}

#[test]
fn a_record_that_breaks_a_rule_ends_the_reading_although_its_sum_fits() {
    let good = journal_record(GENERATION, &publishing(1));
    let payload = &good[5..good.len() - 4];
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = payload.to_vec();
        changed.splice(at..(at + bytes.len()).min(payload.len()), bytes.iter().copied());
        changed
    };
    let bad = [
        (0, payload.to_vec()),
        (4, payload.to_vec()),
        (PUBLISHING, payload[..95].to_vec()),
        (PUBLISHING, payload[..96].to_vec()),
        (PUBLISHING, with(72, &0u64.to_le_bytes())),
        (PUBLISHING, with(64, &u64::MAX.to_le_bytes())),
        (PUBLISHING, with(96, b"../")),
        (PUBLISHING, with(96, b"\xff")),
        (PUBLISHING, [payload, b"\0/etc"].concat()),
        (PUBLISHING, [payload, &vec![b'x'; 1 << 20]].concat()),
        (DELETING, vec![0; 31]),
        (DELETING, vec![0; 33]),
        (GONE, Vec::new()),
    ];
    for (kind, payload) in bad {
        let mut file = encode(GENERATION, &[JournalEntry::Gone([9; 32])]);
        let valid_len = file.len();
        file.extend_from_slice(&crafted(kind, &payload));
        file.extend_from_slice(&crafted(GONE, &[1; 32]));
        let (entries, found_len) = decode_journal(&file, GENERATION);
        assert_eq!((entries.len(), found_len), (1, valid_len), "kind {kind}, {} bytes", payload.len());
    }
    let empty =
        [&journal_header(GENERATION)[..], &0u32.to_le_bytes(), &journal_sum(GENERATION, &[0; 4])].concat();
    assert_eq!(decode_journal(&empty, GENERATION), (Vec::new(), HEADER_BYTES));
}

fn any_entry() -> impl Strategy<Value = JournalEntry<'static>> {
    let publishing =
        (any::<[u8; 32]>(), any::<[u8; 32]>(), 0u64..1 << 60, 1u64..1 << 60, any::<u64>(), any::<bool>())
            .prop_map(|(id, dataset_id, first, blocks, bytes, is_foreign)| {
                JournalEntry::Publishing(IndexEntry {
                    id,
                    dataset_id,
                    block_range: first..first + blocks,
                    bytes,
                    sequence: bytes,
                    names: if is_foreign { "a" } else { "a/b.parquet/c" },
                    foreign_path: is_foreign.then_some("top/0-1-x"),
                })
            });
    prop_oneof![
        publishing,
        any::<[u8; 32]>().prop_map(JournalEntry::Deleting),
        any::<[u8; 32]>().prop_map(JournalEntry::Gone),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_records_come_back_and_what_follows_them_is_cut(
        entries in proptest::collection::vec(any_entry(), 0..20),
        generation in any::<u64>(),
        rest in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut file = encode(generation, &entries);
        let valid_len = file.len();
        file.extend_from_slice(&rest);
        prop_assert_eq!(decode_journal(&file, generation), (entries, valid_len));
    }
}
