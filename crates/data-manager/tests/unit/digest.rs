//! Tests of digests of files whose segments come in any order.
//! Fails when a digest put together from segments differs from the digest of the whole, or when a segment that is short,
//! long or not there is given a value.

use proptest::prelude::*;

use super::*;

const SMALL_SEGMENT: u64 = 2048;

fn bytes_of_len(len: u64) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 31 + at / 251) % 251).expect("below 251")).collect()
}

/// The digest by segments of `segment_bytes`, hashed from the last to the first, in pieces of `piece_bytes`.
fn by_segments(bytes: &[u8], segment_bytes: u64, piece_bytes: usize) -> [u8; 32] {
    let file_len = u64::try_from(bytes.len()).expect("fits");
    let mut values: Vec<ChainingValue> = bytes
        .chunks(usize::try_from(segment_bytes).expect("fits"))
        .enumerate()
        .rev()
        .map(|(index, segment)| {
            let index = u64::try_from(index).expect("fits");
            let mut hasher = SegmentHasher::with_segment_bytes(index, file_len, segment_bytes);
            segment.chunks(piece_bytes).for_each(|piece| hasher.update(piece));
            hasher.finish().expect("the segment is whole")
        })
        .collect();
    values.reverse();
    root(&values)
}

#[test]
fn segments_of_two_kib_give_the_digest_of_the_whole_at_every_edge() {
    for len in
        [0, 1, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 6144, 6149, 8192, 8193, 65_536, 70_001]
    {
        let bytes = bytes_of_len(len);
        assert_eq!(by_segments(&bytes, SMALL_SEGMENT, 700), *blake3::hash(&bytes).as_bytes(), "length {len}");
    }
}

#[test]
fn segments_of_full_size_give_the_digest_of_the_whole() {
    for len in [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES + 5] {
        let bytes = bytes_of_len(len);
        let mut values = Vec::new();
        for index in 0..segment_count(len) {
            let start = usize::try_from(index * SEGMENT_BYTES).expect("fits");
            let end = start + usize::try_from(segment_len(index, len)).expect("fits");
            let mut hasher = SegmentHasher::new(index, len);
            hasher.update(&bytes[start..end]);
            values.push(hasher.finish().expect("the segment is whole"));
        }
        assert_eq!(file_hash(len, &values), Some(*blake3::hash(&bytes).as_bytes()), "length {len}");
    }
}

#[test]
fn a_segment_with_a_byte_too_few_or_too_many_has_no_value() {
    for (file_len, index, wanted) in [(5000, 0, 2048), (5000, 2, 904), (100, 0, 100)] {
        for given in [wanted - 1, wanted + 1, 4 * SMALL_SEGMENT] {
            let mut hasher = SegmentHasher::with_segment_bytes(index, file_len, SMALL_SEGMENT);
            hasher.update(&bytes_of_len(given));
            assert_eq!(hasher.finish(), None, "{given} bytes for {wanted}");
        }
    }
}

#[test]
fn a_segment_past_the_end_has_no_length_and_no_value() {
    for index in [3, 4, u64::MAX / SMALL_SEGMENT, u64::MAX] {
        let mut hasher = SegmentHasher::with_segment_bytes(index, 5000, SMALL_SEGMENT);
        assert_eq!(hasher.finish(), None);
        hasher.update(&[1]);
        assert_eq!(hasher.finish(), None);
        assert_eq!(segment_len(index, 5000), 0);
    }
}

#[test]
fn a_file_of_another_number_of_segments_has_no_digest() {
    let value = [1; 32];
    assert_eq!(file_hash(SEGMENT_BYTES, &[]), None);
    assert_eq!(file_hash(SEGMENT_BYTES, &[value, value]), None);
    assert_eq!(file_hash(SEGMENT_BYTES + 1, &[value]), None);
    assert_eq!(file_hash(0, &[value]), None);
    assert_eq!(file_hash(0, &[]), Some(*blake3::hash(b"").as_bytes()));
}

#[test]
fn the_longest_file_is_counted_without_overflow() {
    assert_eq!(segment_count(u64::MAX), 1 << 44);
    assert_eq!(segment_len((1 << 44) - 1, u64::MAX), SEGMENT_BYTES - 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_pieces_give_the_digest_of_the_whole(
        bytes in proptest::collection::vec(any::<u8>(), 0..20_000),
        piece_bytes in 1usize..3000,
        segment_power in 10u32..14,
    ) {
        let whole = *blake3::hash(&bytes).as_bytes();
        prop_assert_eq!(by_segments(&bytes, 1 << segment_power, piece_bytes), whole);
    }
}
