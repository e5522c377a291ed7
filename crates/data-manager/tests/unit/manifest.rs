//! Tests of `_chunk.json`: written, read back, damaged.
//! Fails when a manifest does not come back as it was, shows a secret, or is believed although it is damaged.

use proptest::prelude::*;

use super::*;

fn file(name: &str, size: u64) -> ManifestFile {
    ManifestFile { name: name.to_string(), size, blake3: [0xb3; 32], sha256: None, url: None }
}

fn manifest() -> Manifest {
    let files = vec![
        ManifestFile {
            sha256: Some([0x5a; 32]),
            url: Some("https://data.example/0-35/blocks".into()),
            ..file("a", 5)
        },
        file("b", 0),
    ];
    Manifest { id: [1; 32], dataset_id: [7; 32], block_range: 0..36, files, published_unix: 1_700_000_000 }
}

/// A document with one text in the place of another, and a sum that fits.
fn edited(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(manifest().encode()).expect("text");
    assert!(text.contains(from), "{from}");
    let (covered, _) = text.split_once(",\n  \"check\"").expect("a sum");
    let covered = covered.replacen(from, to, 1);
    format!("{covered},\n  \"check\": \"{:08x}\"\n}}\n", crc32fast::hash(covered.as_bytes())).into_bytes()
}

#[test]
fn the_document_is_what_the_format_says() {
    let text = String::from_utf8(manifest().encode()).expect("text");
    let expected = format!(
        r#"{{
  "format": 1,
  "id": "0x{id}",
  "dataset_id": "0x{dataset_id}",
  "first_block": 0,
  "last_block": 35,
  "files": [
    {{
      "name": "a",
      "size": 5,
      "blake3": "{blake3}",
      "sha256": "{sha256}",
      "url": "https://data.example/0-35/blocks"
    }},
    {{
      "name": "b",
      "size": 0,
      "blake3": "{blake3}"
    }}
  ],
  "published_unix": 1700000000"#,
        id = "01".repeat(32),
        dataset_id = "07".repeat(32),
        blake3 = "b3".repeat(32),
        sha256 = "5a".repeat(32),
    );
    let sum = crc32fast::hash(expected.as_bytes());
    assert_eq!(text, format!("{expected},\n  \"check\": \"{sum:08x}\"\n}}\n"));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["check"], format!("{sum:08x}"));
}

#[test]
fn a_manifest_comes_back_as_it_was() {
    assert_eq!(Manifest::decode(&manifest().encode()), Ok(manifest()));
    let largest = Manifest {
        block_range: u64::MAX - 1..u64::MAX,
        files: vec![file("a", u64::MAX)],
        published_unix: u64::MAX,
        ..manifest()
    };
    assert_eq!(Manifest::decode(&largest.encode()), Ok(largest));
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    assert_eq!(
        Manifest::decode(&edited("\"format\": 1,", "\"format\": 1,\n  \"rows\": [5],")),
        Ok(manifest())
    );
}

#[test]
fn any_flipped_bit_is_found() {
    let good = manifest().encode();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut damaged = good.clone();
            damaged[at] ^= 1 << bit;
            assert!(Manifest::decode(&damaged).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_document_cut_anywhere_or_longer_is_refused() {
    let good = manifest().encode();
    for len in 0..good.len() {
        assert!(Manifest::decode(&good[..len]).is_err(), "cut at {len}");
    }
    for more in [&b"\n"[..], b" ", b"\0", &good] {
        assert!(Manifest::decode(&[&good, more].concat()).is_err());
    }
}

#[test]
fn content_that_breaks_a_rule_is_refused_by_name_although_its_sum_fits() {
    let (id, digest) = ("01".repeat(32), "b3".repeat(32));
    let cases = [
        ("\"format\": 1", "\"format\": 2", "format 2"),
        (id.as_str(), "01", "id"),
        ("\"dataset_id\": \"0x07", "\"dataset_id\": \"0xg7", "dataset_id"),
        ("\"last_block\": 35", "\"last_block\": 18446744073709551615", "not a range"),
        ("\"first_block\": 0", "\"first_block\": 36", "not a range"),
        ("\"first_block\": 0", "\"first_block\": -1", "document"),
        ("\"first_block\": 0", "\"first_block\": 0.5", "document"),
        ("\"name\": \"a\"", "\"name\": \"../a\"", "../a"),
        ("\"name\": \"a\"", "\"name\": \"_chunk.json\"", "_chunk.json"),
        ("\"name\": \"a\"", "\"name\": \"B\"", "upper from lower"),
        ("\"name\": \"a\"", "\"name\": \"c\"", "sorted"),
        (digest.as_str(), "b3", "blake3"),
        ("\"sha256\": \"5a", "\"sha256\": \"", "sha256"),
        ("\"size\": 5", "\"size\": 18446744073709551616", "document"),
        ("\"size\": 5,", "\"size\": 5,\"size\": 5,", "duplicate"),
        ("\"size\": 5,", "", "size"),
        ("\"published_unix\"", "\"published\"", "published_unix"),
    ];
    for (from, to, expected) in cases {
        let message = Manifest::decode(&edited(from, to)).expect_err(to);
        assert!(message.contains(expected), "{to}: {message}");
    }
}

#[test]
fn a_chunk_without_files_or_with_sizes_beyond_counting_is_refused() {
    let none = Manifest { files: Vec::new(), ..manifest() };
    assert!(Manifest::decode(&none.encode()).is_err());
    let vast = Manifest { files: vec![file("a", u64::MAX), file("b", 1)], ..manifest() };
    assert!(Manifest::decode(&vast.encode()).expect_err("vast").contains("2^64"));
    let many = (10..75).map(|number| file(&format!("f{number}"), 1)).collect();
    let many = Manifest { files: many, ..manifest() };
    assert!(Manifest::decode(&many.encode()).expect_err("65 files").contains("64"));
}

#[test]
fn a_document_that_is_too_long_is_refused_unread() {
    let message = Manifest::decode(&vec![b' '; BYTES_MAX + 1]).expect_err("too long");
    assert!(message.contains("at most"), "{message}");
}

#[test]
fn the_largest_manifest_that_is_written_can_be_read() {
    let name = |number: usize| format!("{number:02}{}", "n".repeat(126));
    let of = |number: usize| ManifestFile {
        sha256: Some([0; 32]),
        // The longest that is kept, of a character that takes two in JSON.
        url: ManifestFile::kept_url(
            &Url::parse(&format!("x:{}", "\\".repeat(URL_BYTES_MAX - 2))).expect("a URL"),
        ),
        ..file(&name(number), u64::MAX / 64)
    };
    let largest = Manifest { files: (0..64).map(of).collect(), ..manifest() };
    assert!(largest.files[0].url.is_some());
    assert_eq!(Manifest::decode(&largest.encode()), Ok(largest));
}

#[test]
fn a_kept_url_has_no_secret_and_a_bounded_length() {
    let kept = |text: &str| ManifestFile::kept_url(&Url::parse(text).expect("a URL"));
    let url = kept("https://user:secret@data.example/a?sig=secret#size=1");
    assert_eq!(url.as_deref(), Some("https://data.example/a"));
    assert_eq!(kept(&format!("https://data.example/{}", "a".repeat(URL_BYTES_MAX))), None);
    assert!(kept(&format!("https://data.example/a?{}", "a".repeat(URL_BYTES_MAX))).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_manifest_comes_back_as_it_was(
        id in any::<[u8; 32]>(),
        (start, blocks) in (any::<u64>(), 1u64..1 << 40),
        sizes in proptest::collection::vec((0u64..1 << 50, any::<[u8; 32]>(), any::<Option<[u8; 32]>>(), any::<Option<String>>()), 1..=64),
        published_unix in any::<u64>(),
    ) {
        let files = sizes.into_iter().enumerate().map(|(number, (size, blake3, sha256, url))| {
            ManifestFile { name: format!("f{number:02}"), size, blake3, sha256, url }
        });
        let start = start.min(u64::MAX - blocks);
        let block_range = start..start + blocks;
        let manifest = Manifest { id, dataset_id: id, block_range, files: files.collect(), published_unix };
        prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn any_text_with_a_fitting_sum_is_read_without_harm(text in "\\PC{0,200}") {
        let whole = format!("{text},\n  \"check\": \"{:08x}\"\n}}\n", crc32fast::hash(text.as_bytes()));
        prop_assert!(Manifest::decode(whole.as_bytes()).is_err());
    }
}
