//! Tests of `_parts`: what is recorded of a download, and what of it is believed.
//! Fails when a download could resume from bytes that are of another version, another file, or not there.

use proptest::prelude::*;

use super::*;
use crate::data_chunk::DataChunk;
use crate::digest::SEGMENT_BYTES;
use crate::file_spec::checked_chunk;

const VALUE: ChainingValue = [0xaa; 32];
const OTHER: ChainingValue = [0xbb; 32];

fn chunk(files: &[(&str, &str)]) -> CheckedChunk {
    let files = files.iter().map(|(name, url)| ((*name).to_string(), (*url).to_string())).collect();
    checked_chunk(DataChunk { id: [1; 32], dataset_id: [2; 32], block_range: 10..20, files }).expect("good")
}

fn two_files() -> CheckedChunk {
    chunk(&[("a", "https://data.example/a"), ("b", "https://data.example/b#size=5")])
}

fn object(file: usize, total: u64, validator: Option<&str>) -> PartRecord<'_> {
    PartRecord::Object { file, total, validator }
}

fn segment(file: usize, segment: u64, len: u64, value: ChainingValue) -> PartRecord<'static> {
    PartRecord::Segment { file, segment, len, value }
}

fn text(chunk: &CheckedChunk, records: &[PartRecord<'_>]) -> Vec<u8> {
    let mut text = PartMap::header(chunk);
    for record in records {
        text.extend_from_slice(&PartMap::record(record));
    }
    text
}

/// A file of two whole segments and a short one, the first and the last of which are there.
fn some_records() -> [PartRecord<'static>; 5] {
    [
        object(0, 2 * SEGMENT_BYTES + 7, Some("\"v1\\\n\"")),
        segment(0, 2, 7, VALUE),
        object(1, 5, None),
        segment(0, 0, SEGMENT_BYTES, OTHER),
        segment(1, 0, 5, VALUE),
    ]
}

#[test]
fn what_was_recorded_is_read_back() {
    let text = text(&two_files(), &some_records());
    let map = PartMap::decode(&text);
    assert!(map.is_of(&two_files()));
    assert_eq!(map.valid_len(), text.len());
    assert_eq!((map.total(0), map.validator(0)), (Some(2 * SEGMENT_BYTES + 7), Some("\"v1\\\n\"")));
    assert_eq!((map.total(1), map.validator(1)), (Some(5), None));
    assert_eq!(map.segments(0).collect::<Vec<_>>(), [(0, SEGMENT_BYTES, &OTHER), (2, 7, &VALUE)]);
    assert_eq!(map.segments(1).collect::<Vec<_>>(), [(0, 5, &VALUE)]);
    assert_eq!((map.total(2), map.validator(2), map.segments(2).count()), (None, None, 0));
}

#[test]
fn the_text_is_what_the_format_says() {
    let text = String::from_utf8(text(&two_files(), &some_records()[..2])).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let key = |url: &str| hex_digest(blake3::hash(url.as_bytes()).as_bytes());
    let expected = [
        format!(
            "{{\"format\":2,\"id\":\"0x{}\",\"dataset_id\":\"0x{}\",\"first_block\":10,\"last_block\":19,\"files\":[\
             {{\"name\":\"a\",\"url_key\":\"{}\"}},{{\"name\":\"b\",\"url_key\":\"{}\",\"size\":5}}]}}",
            "01".repeat(32),
            "02".repeat(32),
            key("https://data.example/a"),
            key("https://data.example/b"),
        ),
        "{\"file\":0,\"total\":2097159,\"validator\":\"\\\"v1\\\\\\n\\\"\"}".to_string(),
        format!("{{\"file\":0,\"segment\":2,\"len\":7,\"cv\":\"{}\"}}", "aa".repeat(32)),
    ];
    assert_eq!(lines.len(), expected.len());
    for (line, json) in lines.iter().zip(expected) {
        assert_eq!(*line, format!("{json} {:08x}", crc32fast::hash(json.as_bytes())));
    }
}

#[test]
fn another_version_of_an_object_cancels_its_segments_and_no_others() {
    for changed in
        [object(0, 2 * SEGMENT_BYTES + 7, Some("v2")), object(0, 9, Some("\"v1\\\n\"")), object(0, 9, None)]
    {
        let mut records = some_records().to_vec();
        records.push(changed);
        let map = PartMap::decode(&text(&two_files(), &records));
        assert_eq!(map.segments(0).count(), 0, "{changed:?}");
        assert_eq!(map.segments(1).count(), 1, "{changed:?}");
    }
    let mut records = some_records().to_vec();
    records.push(some_records()[0]);
    assert_eq!(
        PartMap::decode(&text(&two_files(), &records)).segments(0).count(),
        2,
        "the same version again"
    );
}

#[test]
fn records_that_cannot_be_true_are_ignored() {
    let impossible = [
        object(2, 5, None),
        object(usize::MAX, 5, None),
        object(1, 6, None),
        segment(0, 3, 7, VALUE),
        segment(0, u64::MAX, 7, VALUE),
        segment(0, 2, 8, VALUE),
        segment(0, 1, 0, VALUE),
        segment(2, 0, 5, VALUE),
        segment(usize::MAX, 0, 5, VALUE),
    ];
    let before = text(&two_files(), &some_records());
    for record in impossible {
        let line = PartMap::record(&record);
        let mut map = PartMap::decode(&[&before[..], &line].concat());
        map.valid_len -= line.len();
        assert_eq!(map, PartMap::decode(&before), "{record:?}");
    }
    let early = text(&two_files(), &[segment(0, 0, 5, VALUE), object(0, 5, None)]);
    assert_eq!(PartMap::decode(&early).segments(0).count(), 0, "a segment before its object's length");
}

#[test]
fn a_huge_length_takes_no_memory() {
    let chunk = chunk(&[("a", "/a")]);
    let map =
        PartMap::decode(&text(&chunk, &[object(0, u64::MAX, None), segment(0, 5, SEGMENT_BYTES, VALUE)]));
    assert_eq!(map.segments(0).collect::<Vec<_>>(), [(5, SEGMENT_BYTES, &VALUE)]);
}

#[test]
fn whole_lines_of_a_later_version_are_passed_over() {
    let mut text = text(&two_files(), &some_records()[..2]);
    for later in ["{\"file\":0,\"hole\":[1,2]}", "[]", "{\"file\":-1,\"total\":5}", "null", "\u{e9}", ""] {
        text.extend_from_slice(format!("{later} {:08x}\n", crc32fast::hash(later.as_bytes())).as_bytes());
    }
    text.extend_from_slice(&PartMap::record(&some_records()[3]));
    let map = PartMap::decode(&text);
    assert_eq!((map.segments(0).count(), map.valid_len()), (2, text.len()));
}

#[test]
fn a_text_cut_anywhere_gives_the_whole_lines_before_the_cut() {
    let text = text(&two_files(), &some_records());
    let ends: Vec<usize> = (1..=text.len()).filter(|end| text[end - 1] == b'\n').collect();
    for len in 0..text.len() {
        let map = PartMap::decode(&text[..len]);
        let whole = ends.iter().rev().find(|end| **end <= len).copied().unwrap_or(0);
        assert_eq!(map.valid_len(), whole, "cut at {len}");
        assert_eq!(map.is_of(&two_files()), whole > 0);
    }
}

#[test]
fn any_flipped_bit_ends_the_reading_at_its_line() {
    let text = text(&two_files(), &some_records());
    let mut line_start = 0;
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut damaged = text.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(PartMap::decode(&damaged).valid_len(), line_start, "byte {at}, bit {bit}");
        }
        if text[at] == b'\n' {
            line_start = at + 1;
        }
    }
}

#[test]
fn lines_without_end_and_lines_without_number_are_not_read() {
    let mut endless = PartMap::header(&two_files());
    let good = endless.len();
    let long = format!("{{\"file\":0,\"total\":5,\"x\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
    endless.extend_from_slice(format!("{long} {:08x}\n", crc32fast::hash(long.as_bytes())).as_bytes());
    assert_eq!(PartMap::decode(&endless).valid_len(), good);

    let mut many = PartMap::header(&two_files());
    let empty_line = format!(" {:08x}\n", crc32fast::hash(b""));
    many.extend_from_slice(empty_line.repeat(LINES_MAX + 5).as_bytes());
    let read = PartMap::decode(&many).valid_len();
    assert_eq!(read, good + (LINES_MAX - 1) * empty_line.len());
}

#[test]
fn a_header_that_is_missing_or_of_another_format_means_that_nothing_is_known() {
    let header = String::from_utf8(PartMap::header(&two_files())).expect("text");
    let (json, _) = header.rsplit_once(' ').expect("a sum");
    for json in
        [json.replace("\"format\":2", "\"format\":1"), json.replace("[{", "[],\"x\":[{"), "{}".to_string()]
    {
        let text = format!("{json} {:08x}\n", crc32fast::hash(json.as_bytes()));
        assert_eq!(PartMap::decode(text.as_bytes()), PartMap::default(), "{json}");
    }
    assert_eq!(PartMap::decode(&PartMap::record(&some_records()[0])), PartMap::default());
    assert!(!PartMap::default().is_of(&two_files()));
}

#[test]
fn a_validator_that_is_too_long_is_not_kept() {
    let long = "v".repeat(VALIDATOR_BYTES_MAX + 1);
    let map = PartMap::decode(&text(&two_files(), &[object(0, 5, Some(&long))]));
    assert_eq!((map.total(0), map.validator(0)), (Some(5), None));
}

#[test]
fn a_url_signed_anew_resumes_and_another_place_does_not_unless_the_digest_is_known() {
    let digest = format!("#blake3={}", "ab".repeat(32));
    let of = |url: &str| PartMap::decode(&PartMap::header(&chunk(&[("a", url)])));
    let plain = of("https://data.example/a?sig=1");
    assert!(plain.is_of(&chunk(&[("a", "https://data.example/a?sig=2")])));
    assert!(plain.is_of(&chunk(&[("a", "https://user:new@data.example/a")])));
    assert!(!plain.is_of(&chunk(&[("a", "https://other.example/a?sig=1")])));
    assert!(!plain.is_of(&chunk(&[("a", &format!("https://data.example/a{digest}"))])));

    let known = of(&format!("https://data.example/a{digest}"));
    assert!(known.is_of(&chunk(&[("a", &format!("https://other.example/b{digest}"))])));
    assert!(!known.is_of(&chunk(&[("a", &format!("https://data.example/a#blake3={}", "cd".repeat(32)))])));
}

#[test]
fn a_map_of_another_chunk_is_not_resumed() {
    let map = PartMap::decode(&PartMap::header(&two_files()));
    let others = [
        CheckedChunk { id: [9; 32], ..two_files() },
        CheckedChunk { dataset_id: [9; 32], ..two_files() },
        CheckedChunk { block_range: 10..21, ..two_files() },
        chunk(&[("a", "https://data.example/a"), ("c", "https://data.example/b#size=5")]),
        chunk(&[("a", "https://data.example/a"), ("b", "https://data.example/b#size=6")]),
        chunk(&[("a", "https://data.example/a")]),
    ];
    assert!(map.is_of(&two_files()));
    for other in others {
        assert!(!map.is_of(&other), "{other:?}");
    }
}

fn any_record() -> impl Strategy<Value = PartRecord<'static>> {
    let totals = prop_oneof![Just(0), Just(5), Just(SEGMENT_BYTES), Just(3 * SEGMENT_BYTES + 1)];
    let lens = prop_oneof![Just(1), Just(5), Just(SEGMENT_BYTES)];
    let validators = prop_oneof![Just(None), Just(Some("x")), Just(Some("y"))];
    prop_oneof![
        (0usize..3, totals, validators).prop_map(|(file, total, validator)| object(file, total, validator)),
        (0usize..3, 0u64..5, lens, any::<[u8; 32]>())
            .prop_map(|(file, at, len, value)| segment(file, at, len, value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_segments_of_the_last_version_are_there_and_no_others(
        records in proptest::collection::vec(any_record(), 0..60),
    ) {
        let map = PartMap::decode(&text(&two_files(), &records));
        for file in 0..3 {
            // `b` must have 5 bytes, and there is no third file.
            let is_object = |record: &&PartRecord<'_>| match **record {
                PartRecord::Object { file: of, total, .. } => of == file && (file == 0 || (file == 1 && total == 5)),
                PartRecord::Segment { .. } => false,
            };
            let objects: Vec<(usize, &PartRecord<'_>)> =
                records.iter().enumerate().filter(|(_, record)| is_object(record)).collect();
            let Some((_, PartRecord::Object { total, validator, .. })) = objects.last() else {
                prop_assert_eq!((map.total(file), map.segments(file).count()), (None, 0));
                continue;
            };
            let version_start = objects.iter().rev().take_while(|(_, record)| *record == objects[objects.len() - 1].1);
            let (start, _) = version_start.last().expect("the last one is of its own version");
            let mut expected = BTreeMap::new();
            for record in &records[*start..] {
                if let PartRecord::Segment { file: of, segment, len, value } = record
                    && *of == file && *segment * SEGMENT_BYTES < *total
                    && *len == SEGMENT_BYTES.min(*total - *segment * SEGMENT_BYTES)
                {
                    expected.insert(*segment, (*len, value));
                }
            }
            prop_assert_eq!((map.total(file), map.validator(file)), (Some(*total), *validator));
            let found: BTreeMap<_, _> = map.segments(file).map(|(at, len, value)| (at, (len, value))).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(PartMap::decode(&bytes), PartMap::default());
        let mut text = PartMap::header(&two_files());
        let good = text.len();
        text.extend_from_slice(&bytes);
        prop_assert_eq!(PartMap::decode(&text).valid_len(), good);
    }
}
