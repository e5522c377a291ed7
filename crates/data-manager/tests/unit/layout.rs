//! Tests of names on disk, ours and those of other programs, read and written.
//! Fails when a path does not come back as what it was written from, or when two spellings mean one chunk.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn chunk_key() -> impl Strategy<Value = ChunkKey> {
    let number = prop_oneof![any::<u64>(), 0u64..100, u64::MAX - 3..u64::MAX];
    (any::<[u8; 32]>(), any::<[u8; 32]>(), number.clone(), number).prop_filter_map(
        "the range is empty",
        |(dataset_id, id, start, end)| {
            (start < end).then_some(ChunkKey { dataset_id, range: start..end, id })
        },
    )
}

fn path_of(key: &ChunkKey) -> String {
    chunk_path(&key.dataset_id, &key.range, &key.id).to_str().expect("ascii").to_string()
}

fn hex(id: &[u8; 32]) -> String {
    hex_id(id)[2..].to_string()
}

fn encode_base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = String::new();
    for byte in bytes {
        write!(bits, "{byte:08b}").expect("a String");
    }
    while !bits.len().is_multiple_of(6) {
        bits.push('0');
    }
    let digit = |at: usize| usize::from_str_radix(&bits[at..at + 6], 2).expect("bits");
    (0..bits.len()).step_by(6).map(|at| char::from(DIGITS[digit(at)])).collect()
}

/// What the writer of the foreign path would write for what was read.
fn print_foreign(chunk: &ForeignChunk) -> String {
    let (first, last) = (chunk.range.start, chunk.range.end - 1);
    match &chunk.dataset {
        ForeignDataset::Id(id) => format!("dataset_id={}/block_range={first}_{last}", hex(id)),
        ForeignDataset::Name(name) => {
            let (top, rest) = chunk.label.split_once('/').expect("a label has two parts");
            let top: u64 = top.parse().expect("a number");
            let hash = rest.splitn(3, '-').last().expect("a hash");
            format!("{}/{top:010}/{first:010}-{last:010}-{hash}", encode_base64url(name.as_bytes()))
        }
    }
}

#[test]
fn a_chunk_lies_where_the_documented_example_says() {
    let path = chunk_path(&[7; 32], &(0..36), &[1; 32]);
    let expected =
        format!("dataset_id=0x{}/first_block=0/last_block=35/chunk=0x{}", "07".repeat(32), "01".repeat(32));
    assert_eq!(path, Path::new(&expected));
    let key = parse_chunk_path(&path).expect("it is ours");
    assert_eq!(key, ChunkKey { dataset_id: [7; 32], range: 0..36, id: [1; 32] });
}

#[test]
fn every_other_spelling_of_a_chunk_path_is_refused() {
    let good = path_of(&ChunkKey { dataset_id: [0xab; 32], range: 10..21, id: [0xcd; 32] });
    assert!(parse_chunk_path(Path::new(&good)).is_some());
    let replaced = [
        ("first_block=10", "first_block=010"),
        ("first_block=10", "first_block=+10"),
        ("first_block=10", "first_block=-10"),
        ("first_block=10", "first_block="),
        ("first_block=10", "first_block= 10"),
        ("first_block=10", "first_block=1\u{0661}"),
        ("first_block=10", "first_block=21"),
        ("first_block=10", "first_block=18446744073709551616"),
        ("first_block=10", "FIRST_BLOCK=10"),
        ("last_block=20", "last_block=18446744073709551615"),
        ("last_block=20", "last_block=18446744073709551636"),
        ("last_block=20", "last_block=9"),
        ("last_block=20", "last_block=0020"),
        ("0xab", "0xAB"),
        ("0xab", "0xaB"),
        ("0xab", "0Xab"),
        ("0xab", "ab"),
        ("0xab", "0x"),
        ("0xab", "0xag"),
        ("0xab", "0xabab"),
        ("0xcd", "0xCD"),
        ("chunk=", "chunk=chunk="),
        ("dataset_id=", "/dataset_id="),
        ("dataset_id=", "./dataset_id="),
        ("dataset_id=", "../dataset_id="),
        ("/first_block", "//first_block"),
        ("/first_block", "/./first_block"),
        ("/chunk=", "/chunk=0/chunk="),
    ];
    for (from, to) in replaced {
        let path = good.replacen(from, to, 1);
        assert_ne!(path, good, "the replacement {from} does something");
        assert_eq!(parse_chunk_path(Path::new(&path)), None, "{path}");
    }
    for path in [String::new(), format!("{good}/"), format!("{good}/blocks.parquet"), good[1..].to_string()] {
        assert_eq!(parse_chunk_path(Path::new(&path)), None, "{path}");
    }
}

#[test]
fn the_edges_of_block_numbers_are_kept() {
    for range in [0..1, 0..u64::MAX, u64::MAX - 1..u64::MAX] {
        let path = chunk_path(&[0; 32], &range, &[255; 32]);
        assert_eq!(parse_chunk_path(&path).map(|key| key.range), Some(range));
    }
}

#[test]
fn staged_and_set_aside_names_come_back() {
    let id = [0xa5; 32];
    let name_of = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_string);
    let staged = name_of(&staging_path(&id)).expect("a name");
    assert_eq!(staging_path(&id), Path::new(&format!(".staging/0x{}", "a5".repeat(32))));
    assert_eq!(parse_staging_name(&staged), Some(id));
    assert_eq!(parse_staging_name(&staged.to_uppercase()), None);
    for number in [0, 7, u64::MAX] {
        let trash = trash_path(&id, number);
        let quarantine = quarantine_path(&id, number);
        assert!(trash.starts_with(TRASH) && quarantine.starts_with(QUARANTINE));
        assert_eq!(parse_set_aside_name(&name_of(&trash).expect("a name")), Some((id, number)));
        assert_eq!(parse_set_aside_name(&name_of(&quarantine).expect("a name")), Some((id, number)));
    }
    for name in [staged.clone(), format!("{staged}-"), format!("{staged}-01"), format!("{staged}-1-2")] {
        assert_eq!(parse_set_aside_name(&name), None, "{name}");
    }
}

#[test]
fn the_paths_of_the_seed_program_are_read_with_their_last_block_inside() {
    let dataset = "01".repeat(32);
    let chunk =
        parse_seed_path(Path::new(&format!("dataset_id={dataset}/block_range=36_94"))).expect("its own");
    assert_eq!(chunk.dataset, ForeignDataset::Id([1; 32]));
    assert_eq!((chunk.range, chunk.label.as_str()), (36..95, "block_range=36_94"));
    for rest in ["36_35", "036_94", "+36_94", "36_94_1", "36-94", "36_94/x", "0_18446744073709551615", ""] {
        let path = format!("dataset_id={dataset}/block_range={rest}");
        assert_eq!(parse_seed_path(Path::new(&path)), None, "{path}");
    }
    for dataset in [format!("0x{dataset}"), "AB".repeat(32), "01".repeat(31), "0x".repeat(32)] {
        let path = format!("dataset_id={dataset}/block_range=36_94");
        assert_eq!(parse_seed_path(Path::new(&path)), None, "{path}");
    }
}

#[test]
fn sqd_paths_are_read_with_their_dataset_name() {
    let dataset = encode_base64url(b"s3://moonbeam-evm-1");
    assert_eq!(dataset, "czM6Ly9tb29uYmVhbS1ldm0tMQ");
    for (name, range) in [
        ("0002720101/0004031655-0004045270-8304ceb8", 4_031_655..4_045_271),
        ("0000000000/0000000000-0000000000-x", 0..1),
        ("0017881390/12345678901-12345678902-32ee9457", 12_345_678_901..12_345_678_903),
    ] {
        let chunk = parse_sqd_path(Path::new(&format!("{dataset}/{name}"))).expect("a chunk");
        assert_eq!(chunk.dataset, ForeignDataset::Name("s3://moonbeam-evm-1".to_string()));
        assert_eq!((chunk.range, chunk.label.as_str()), (range, name));
    }
    for name in [
        "0002720101/0004031655-0004045270",
        "0002720101/0004031655-0004045270-",
        "0002720101/0004045271-0004045270-8304ceb8",
        "0004031656/0004031655-0004045270-8304ceb8",
        "2720101/0004031655-0004045270-8304ceb8",
        "0002720101/00004031655-0004045270-8304ceb8",
        "0002720101/0004031655-+004045270-8304ceb8",
        "0002720101/0004031655-18446744073709551615-8304ceb8",
        "0002720101/0004031655-0004045270-8304ceb8/blocks.parquet",
        "0002720101/0004031655-0004045270-83 4ceb8",
        "0002720101",
    ] {
        assert_eq!(parse_sqd_path(Path::new(&format!("{dataset}/{name}"))), None, "{name}");
    }
    for dataset in ["", "czM6Ly9tb29uYmVhbS1ldm0tMR", "czM6Ly9tb29uYmVhbS1ldm0tMQ==", "a", "AA", "_w", "c z"]
    {
        let path = format!("{dataset}/0002720101/0004031655-0004045270-8304ceb8");
        assert_eq!(parse_sqd_path(Path::new(&path)), None, "{path}");
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(b"dataset_id=\xff/first_block=0"));
    assert_eq!(parse_chunk_path(path), None);
    assert_eq!(parse_seed_path(path), None);
    assert_eq!(parse_sqd_path(path), None);
}

/// Paths of all three layouts, each with a few characters changed, so that some stay good.
fn near_miss() -> impl Strategy<Value = String> {
    let foreign = (any::<[u8; 32]>(), 0u64..1 << 40, 0u64..100_000, "[ -~]{1,20}", "[0-9a-z-]{1,9}")
        .prop_map(|(id, first, blocks, name, hash)| {
            let last = first + blocks;
            let sqd = encode_base64url(name.as_bytes());
            (
                format!("dataset_id={}/block_range={first}_{last}", hex(&id)),
                format!("{sqd}/{first:010}/{first:010}-{last:010}-{hash}"),
            )
        });
    let good = prop_oneof![
        chunk_key().prop_map(|key| path_of(&key)),
        foreign.clone().prop_map(|(seed, _)| seed),
        foreign.prop_map(|(_, sqd)| sqd),
    ];
    let change = (any::<prop::sample::Index>(), "[0-9a-fA-F+x/._=-]{0,2}", 0usize..3);
    (good, prop::collection::vec(change, 0..3)).prop_map(|(mut path, changes)| {
        for (at, text, removed) in changes {
            let at = at.index(path.len());
            let end = (at + removed).min(path.len());
            path.replace_range(at..end, &text);
            if path.is_empty() {
                path.push('/');
            }
        }
        path
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_chunk_path_comes_back_as_what_it_was_written_from(key in chunk_key()) {
        prop_assert_eq!(parse_chunk_path(Path::new(&path_of(&key))), Some(key));
    }

    #[test]
    fn whatever_is_read_is_written_back_the_same(path in prop_oneof![near_miss(), "\\PC{0,80}"]) {
        if let Some(key) = parse_chunk_path(Path::new(&path)) {
            prop_assert_eq!(path_of(&key), path.clone());
        }
        for chunk in [parse_seed_path(Path::new(&path)), parse_sqd_path(Path::new(&path))].into_iter().flatten() {
            prop_assert_eq!(print_foreign(&chunk), path.clone());
        }
    }
}
