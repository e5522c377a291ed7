//! Manifests: the real ones when they are at hand, small ones always, and hostile text.
//! Refuses to pass silently without the real ones: it says that they are not there.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn base() -> Url {
    Url::parse("https://data.example/contracts/").unwrap()
}

fn read(text: &str) -> Result<Manifest, String> {
    read_manifest(text.as_bytes(), None, &base())
}

fn manifest_of(names: &[&str]) -> String {
    let entries: Vec<_> =
        names.iter().map(|name| format!(r#"{{"name": "{name}", "n_bytes": 7, "hash": "ab"}}"#)).collect();
    format!(r#"{{"name": "contracts", "version": "v1", "files": [{}]}}"#, entries.join(","))
}

/// The real manifests lie beside the project, or where the variable says.
#[expect(clippy::disallowed_methods, reason = "a test reads its data")]
fn real(name: &str) -> Option<Vec<u8>> {
    let data = std::env::var_os("LOGHOLD_TEST_DATA").map_or_else(
        || [env!("CARGO_MANIFEST_DIR"), "..", "..", "..", "shared", "data"].iter().collect(),
        PathBuf::from,
    );
    let path = data.join("manifests/paradigm-data-portal").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("SKIPPED: no real manifest at {}: {error}; set LOGHOLD_TEST_DATA", path.display());
            None
        }
    }
}

#[test]
fn the_real_manifests_cut_by_blocks_are_read_whole() {
    for (file, files, bytes) in [
        ("ethereum_contracts.dataset_manifest.json", 17, 7_051_921_809),
        ("ethereum_native_transfers.dataset_manifest.json", 84, 65_501_766_122),
    ] {
        let Some(text) = real(file) else { continue };
        let manifest = read_manifest(&text, None, &base()).unwrap();
        assert_eq!(manifest.chunks.len(), files);
        assert_eq!(manifest.unchecked_digests, files);
        assert_eq!(manifest.chunks.iter().map(|chunk| chunk.bytes().unwrap()).sum::<u64>(), bytes);
        assert_eq!(manifest.chunks[0].block_range.start, 0);
        assert_eq!(manifest.chunks[files - 1].block_range.end, 16_800_000);
        assert!(manifest.chunks.windows(2).all(|pair| pair[0].block_range.end == pair[1].block_range.start));
        assert!(manifest.chunks[0].dataset.text().starts_with("ethereum_"));
    }
}

#[test]
fn the_real_manifest_cut_by_key_is_refused_with_the_reason() {
    let Some(text) = real("ethereum_slots.dataset_manifest.json") else { return };
    let problem = read_manifest(&text, None, &base()).unwrap_err();
    assert!(problem.contains("cut by key (0x00 to 0x0f) and not by block range"), "{problem}");
}

#[test]
fn the_real_global_manifest_is_refused_and_names_the_others() {
    let Some(text) = real("global_manifest.json") else { return };
    let problem = read_manifest(&text, None, &base()).unwrap_err();
    assert!(problem.contains("global manifest") && problem.contains("\"ethereum_contracts\""), "{problem}");
}

#[test]
fn each_file_becomes_a_chunk() {
    let name = "contracts__v1_0_0__00000000_to_00999999.parquet";
    let manifest = read(&manifest_of(&["contracts__v1_0_0__01000000_to_01999999.parquet", name])).unwrap();
    let first = &manifest.chunks[0];
    assert_eq!(first.block_range, 0..1_000_000);
    assert_eq!(first.id, chunk_id("contracts", name));
    assert_eq!(first.files[name], format!("https://data.example/contracts/{name}#size=7"));
    let other = Dataset::parse("other").unwrap();
    let text = manifest_of(&[name]);
    let renamed = read_manifest(text.as_bytes(), Some(&other), &base()).unwrap();
    assert_eq!(renamed.chunks[0].dataset, other);
}

#[test]
fn what_is_no_manifest_of_block_ranges_is_refused() {
    for (text, reason) in [
        ("[]".to_string(), "it is not a manifest"),
        ("{}".to_string(), "it lists no files"),
        (r#"{"files": []}"#.to_string(), "it has no name"),
        (r#"{"datasets": {"a": 1, "b": []}}"#.to_string(), "one of \"a\", \"b\""),
        (manifest_of(&["c__v1__0x00_to_0x0f.parquet"]), "cut by key"),
        (manifest_of(&["c__v1__5_to_4.parquet"]), "not a range of blocks"),
        (manifest_of(&["c__v1__0_to_18446744073709551615.parquet"]), "not a range of blocks"),
        (manifest_of(&["c__v1__+1_to_4.parquet"]), "a file name is"),
        (manifest_of(&["c__v1__0_to_4.csv"]), "does not end in"),
        (manifest_of(&["../c__v1__0_to_4.parquet"]), "a file name is"),
        (manifest_of(&["c__v1__0_to_4.parquet", "c__v1__0_to_4.parquet"]), "listed twice"),
        (manifest_of(&["c__v1__0_to_4.parquet", "c__v2__4_to_9.parquet"]), "overlaps"),
    ] {
        let problem = read(&text).unwrap_err();
        assert!(problem.contains(reason), "{text} gave {problem}");
    }
}

proptest! {
    #[test]
    fn any_text_is_an_answer_and_never_a_panic(text in "\\PC{0,80}", name in "[a-z0-9_x.-]{0,40}") {
        let _either_way = read(&text).is_ok();
        let _neither = read(&manifest_of(&[&name])).is_ok();
    }
}
