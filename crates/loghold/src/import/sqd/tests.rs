//! SQD listings: real chunk ids, incomplete chunks, foreign objects, gaps and overlaps.
//! Refuses to list anything: the objects are made here.

use proptest::prelude::*;

use super::*;

/// Consecutive chunks of a real dataset, from an operator's public log.
const REAL: [&str; 3] = [
    "0002720101/0004031655-0004045270-8304ceb8",
    "0002720101/0004045271-0004057097-afd61176",
    "0002720101/0004057098-0004069167-8ba9fc70",
];

fn object(path: &str, size: Option<u64>) -> Object {
    let mut url = Url::parse("https://bucket.example/").unwrap();
    url.set_path(path);
    Object { path: path.to_string(), url, size }
}

fn listing(paths: &[String]) -> Listing {
    let dataset = Dataset::parse("s3://moonbeam").unwrap();
    read_listing(&dataset, paths.iter().map(|path| object(path, Some(9)))).unwrap()
}

fn files_of(chunk: &str, tables: &[&str]) -> Vec<String> {
    tables.iter().map(|table| format!("{chunk}/{table}.parquet")).collect()
}

#[test]
fn real_chunks_become_descriptors_in_order() {
    let paths: Vec<String> =
        REAL.iter().rev().flat_map(|chunk| files_of(chunk, &["logs", "blocks"])).collect();
    let listing = listing(&paths);
    let ranges: Vec<_> = listing.chunks.iter().map(|chunk| chunk.block_range.clone()).collect();
    assert_eq!(ranges, [4_031_655..4_045_271, 4_045_271..4_057_098, 4_057_098..4_069_168]);
    let first = &listing.chunks[0];
    assert_eq!(first.id, chunk_id("s3://moonbeam", REAL[0]));
    assert_eq!(
        first.files["blocks.parquet"],
        format!("https://bucket.example/{}/blocks.parquet#size=9", REAL[0])
    );
    assert_eq!(first.bytes(), Some(18));
    assert!(listing.gaps.is_empty() && listing.incomplete.is_empty() && listing.overlaps == 0);
}

#[test]
fn a_chunk_without_its_blocks_file_is_not_complete() {
    let mut paths = files_of(REAL[0], &["blocks", "logs"]);
    paths.extend(files_of(REAL[1], &["logs", "transactions"]));
    let listing = listing(&paths);
    assert_eq!(listing.chunks.len(), 1);
    assert_eq!(listing.incomplete, [REAL[1]]);
}

#[test]
fn gaps_and_overlaps_are_told() {
    let mut paths = files_of(REAL[0], &["blocks"]);
    paths.extend(files_of(REAL[2], &["blocks"]));
    assert_eq!(listing(&paths).gaps, vec![Range { start: 4_045_271, end: 4_057_098 }]);
    paths.extend(files_of("0002720101/0004040000-0004057097-00000000", &["blocks"]));
    let both = listing(&paths);
    assert!(both.gaps.is_empty());
    assert_eq!(both.overlaps, 1);
}

#[test]
fn objects_that_are_no_chunk_files_are_counted() {
    let mut paths = files_of(REAL[0], &["blocks"]);
    paths.extend(["metadata.yml".to_string(), format!("{}/blocks.parquet.tmp", REAL[0])]);
    let listing = listing(&paths);
    assert_eq!((listing.chunks.len(), listing.foreign), (1, 2));
    assert_eq!(listing.foreign_example.as_deref(), Some("metadata.yml"));
    assert_eq!(listing.chunks[0].files.len(), 1);
}

#[test]
fn only_the_exact_form_of_a_path_is_taken() {
    assert_eq!(parse_chunk_path("0200000000/0200000000-0200000899-AHDbZ"), Some(200_000_000..200_000_900));
    assert_eq!(
        parse_chunk_path("0000000000/12345678901-12345678902-abcde"),
        Some(12_345_678_901..12_345_678_903)
    );
    for path in [
        "",
        "/",
        "0002720101",
        "0002720101/",
        "2720101/0004031655-0004045270-8304ceb8",
        "0002720101/4031655-4045270-8304ceb8",
        "0002720101/0004045270-0004031655-8304ceb8",
        "0002720101/0004031655-0004045270",
        "0002720101/0004031655-0004045270-8304",
        "0002720101/0004031655-0004045270-8304ceb8f",
        "0002720101/0004031655-0004045270-8304ceb8-v2",
        "0002720101/0004031655-0004045270-8304ce/8",
        "0002720101/00004031655-00004045270-8304ceb8",
        "0002720101/0000000000-18446744073709551615-8304ceb8",
        "0002720101/0000000000-99999999999999999999-8304ceb8",
        "x/0002720101/0004031655-0004045270-8304ceb8",
        "0002720101/+004031655-0004045270-8304ceb8",
    ] {
        assert_eq!(parse_chunk_path(path), None, "{path}");
    }
}

proptest! {
    #[test]
    fn every_range_is_read_back_from_its_path(first in any::<u64>(), blocks in 0..1_000_000u64) {
        let last = first.saturating_add(blocks).min(u64::MAX - 1);
        prop_assume!(first <= last);
        let path = format!("{first:010}/{first:010}-{last:010}-abcdef12");
        prop_assert_eq!(parse_chunk_path(&path), Some(first..last + 1));
    }

    #[test]
    fn any_text_is_an_answer_and_never_a_panic(path in "\\PC{0,60}", near in "[0-9/a-f.-]{0,60}") {
        let _none_of_ours = listing(&[path, near]);
    }
}
