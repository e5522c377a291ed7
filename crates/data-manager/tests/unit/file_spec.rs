//! Tests of descriptors: URLs, what their fragments say, and what messages show of them.
//! Fails when a descriptor that breaks a rule is accepted, when a good one is misread, or when a message shows a secret.

use std::collections::HashMap;

use super::*;

const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const BLAKE3: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

fn parse(url_text: &str) -> std::result::Result<FileSpec, String> {
    FileSpec::parse("a.parquet", url_text)
}

fn chunk(files: &[(&str, &str)]) -> DataChunk {
    let files: HashMap<String, String> =
        files.iter().map(|(name, url)| ((*name).to_string(), (*url).to_string())).collect();
    DataChunk { id: [1; 32], dataset_id: [2; 32], block_range: 0..36, files }
}

#[test]
fn a_url_without_fragment_says_nothing_of_the_bytes() {
    let spec = parse("https://data.example/a%20b?token=x").expect("plain");
    assert_eq!(spec.url.as_str(), "https://data.example/a%20b?token=x");
    assert_eq!((spec.size, spec.sha256, spec.blake3), (None, None, None));
    assert_eq!(spec.name, "a.parquet");
}

#[test]
fn the_fragment_gives_size_and_digests_in_any_order_and_leaves_the_url() {
    let text = format!(
        "s3://bucket/key?x=1#size=18446744073709551615&blake3={BLAKE3}&sha256={}",
        SHA256.to_uppercase()
    );
    let spec = parse(&text).expect("all three keys");
    assert_eq!(spec.url.as_str(), "s3://bucket/key?x=1");
    assert_eq!(spec.size, Some(u64::MAX));
    assert_eq!(spec.blake3, Some(*blake3::hash(b"").as_bytes()));
    assert_eq!(spec.sha256, parse_hex_digest(SHA256));
}

#[test]
fn a_path_from_the_root_is_a_file_url() {
    let spec = parse("/data/set 1/what?.parquet#size=5").expect("a path");
    assert_eq!(spec.url.as_str(), "file:///data/set%201/what%3F.parquet");
    assert_eq!(spec.url.to_file_path().expect("a path"), Path::new("/data/set 1/what?.parquet"));
    assert_eq!(spec.size, Some(5));
    assert_eq!(parse("file:///data/a%23b").expect("a path").url.to_file_path(), Ok("/data/a#b".into()));
}

#[test]
fn a_place_that_cannot_be_fetched_from_is_refused_with_advice() {
    let places = [
        "",
        " ",
        "a.parquet",
        "./a.parquet",
        "../a.parquet",
        "data/a.parquet",
        "data.example/a",
        "//data.example/a",
        "/data/../etc/passwd",
        "?x=1",
        "#size=1",
        "mailto:a@data.example",
        "data:text/plain,x",
        "file:a",
        "file:/a",
        "https:a",
        "https:/a",
        "http://",
        "http://[::1",
        "http://a:99999/",
        "://a",
        "C:\\data\\a",
    ];
    for place in places {
        let message = parse(place).expect_err(place);
        assert!(message.contains("give an absolute URL"), "{place}: {message}");
    }
    assert!(parse("file://data/a").expect_err("a host").contains("three slashes"));
}

#[test]
fn unknown_repeated_and_bad_keys_are_refused_by_name() {
    let cases = [
        (format!("md5={}", "0".repeat(32)), "md5"),
        (format!("SHA256={SHA256}"), "SHA256"),
        (format!("sha256={SHA256}&sha256={SHA256}"), "sha256 stands twice"),
        (format!("blake3={BLAKE3}&size=1&blake3={BLAKE3}"), "blake3 stands twice"),
        ("size=1&size=1".to_string(), "size stands twice"),
        ("sha256=".to_string(), "value of sha256"),
        (format!("sha256={}", &SHA256[1..]), "value of sha256"),
        (format!("sha256=0x{SHA256}"), "value of sha256"),
        (format!("sha256=0x{}", &SHA256[2..]), "value of sha256"),
        (format!("blake3={}g", &BLAKE3[1..]), "value of blake3"),
        ("size=".to_string(), "value of size"),
        ("size=+1".to_string(), "value of size"),
        ("size=-1".to_string(), "value of size"),
        ("size=1e3".to_string(), "value of size"),
        ("size=1 ".to_string() + "x", "value of size"),
        ("size=18446744073709551616".to_string(), "value of size"),
        ("size".to_string(), "after `#` stand"),
        (String::new(), "after `#` stand"),
        ("size=1&".to_string(), "after `#` stand"),
        ("size=1#blake3=x".to_string(), "value of size"),
    ];
    for (fragment, expected) in cases {
        let message = parse(&format!("https://data.example/a#{fragment}")).expect_err(&fragment);
        assert!(message.contains(expected) && message.contains("a.parquet"), "{fragment}: {message}");
    }
}

#[test]
fn no_message_shows_a_query_or_user_information() {
    for text in [
        "https://user:SECRET@data.example/a?sig=SECRET#md5=1",
        "https://user:SECRET@data.example/a?sig=SECRET#SECRET",
        "https://user:SECRET@data.example/a?sig=SECRET#size=SECRET",
        "https://user:SECRET@data.example:99999/a?sig=SECRET",
        "https://user:SECRET@[::1/a?sig=SECRET",
        "data.example/a?sig=SECRET",
        "//user:SECRET@data.example/a?sig=SECRET",
        "/data/../a?sig=SECRET",
        "mailto:SECRET",
        "file://SECRET/a",
    ] {
        let message = parse(text).expect_err(text);
        assert!(!message.contains("SECRET"), "{text}: {message}");
    }
}

#[test]
fn a_url_that_is_too_long_is_refused_before_and_after_encoding() {
    let fits = format!("https://data.example/{}", "a".repeat(10_000));
    assert!(parse(&fits).is_ok());
    assert!(parse(&format!("https://data.example/{}", "a".repeat(URL_BYTES_MAX))).is_err());
    assert!(parse(&format!("https://data.example/{}", " a".repeat(5_000))).is_err());
}

#[test]
fn a_bad_name_is_refused_before_its_url_is_looked_at() {
    assert!(FileSpec::parse("../x", "").expect_err("hostile").contains("file name"));
}

#[test]
fn a_good_descriptor_comes_back_sorted_by_name() {
    let files = [("c", "/c"), ("a", "/a#size=1"), ("b", "https://data.example/b")];
    let checked = checked_chunk(chunk(&files)).expect("good");
    let names: Vec<&str> = checked.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!((checked.id, checked.dataset_id, checked.block_range), ([1; 32], [2; 32], 0..36));
}

#[test]
fn a_descriptor_that_breaks_a_rule_is_invalid_and_says_which_chunk() {
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may give one")]
    let ranges = [0..0, 5..5, 6..5, u64::MAX..u64::MAX];
    let mut bad: Vec<DataChunk> =
        ranges.into_iter().map(|block_range| DataChunk { block_range, ..chunk(&[("a", "/a")]) }).collect();
    bad.push(chunk(&[]));
    bad.push(chunk(&[("a", "/a"), ("A", "/b")]));
    bad.push(chunk(&[("../a", "/a")]));
    bad.push(chunk(&[("file.parquet", "")]));
    bad.push(chunk(&[("a", "/a#size=18446744073709551615"), ("b", "/b#size=1")]));
    for chunk in bad {
        let error = checked_chunk(chunk.clone()).expect_err(&format!("{chunk:?}"));
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().starts_with("chunk 0x0101"), "{error}");
    }
}

#[test]
fn the_ends_of_the_number_line_are_good_ranges() {
    for block_range in [0..1, 0..u64::MAX, u64::MAX - 1..u64::MAX] {
        assert!(checked_chunk(DataChunk { block_range, ..chunk(&[("a", "/a")]) }).is_ok());
    }
}
