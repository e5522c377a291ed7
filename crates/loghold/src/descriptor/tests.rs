//! Descriptors: what is read, what is refused, and with which words.
//! Refuses to touch files: everything here is text in and values out.

use proptest::prelude::*;

use super::*;

const ID: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";

fn one() -> String {
    format!(
        r#"{{"id": "{ID}", "dataset_id": "ethereum", "block_range": {{"start": 0, "end": 36}},
            "files": {{"blocks.parquet": "https://data.example/blocks.parquet#size=7"}}}}"#
    )
}

fn error_of(text: &str) -> String {
    parse_descriptors(text.as_bytes()).expect_err(text)
}

#[test]
fn one_object_an_array_and_json_lines_mean_the_same() {
    let other = one().replace("0x01", "0x02");
    let expected = parse_descriptors(format!("[{},{other}]", one()).as_bytes()).unwrap();
    assert_eq!(expected.len(), 2);
    assert_eq!(parse_descriptors(one().as_bytes()).unwrap(), expected[..1]);
    let flat = |text: &str| text.replace('\n', " ");
    let lines = format!("{}\n{}\n\n", flat(&one()), flat(&other));
    assert_eq!(parse_descriptors(lines.as_bytes()).unwrap(), expected);
    let with_mark = format!("\u{feff}{}\n[{other}]", one());
    assert_eq!(parse_descriptors(with_mark.as_bytes()).unwrap(), expected);
    assert_eq!(parse_descriptors(b" \n ").unwrap(), []);
    assert_eq!(parse_descriptors(b"[]").unwrap(), []);
}

#[test]
fn a_descriptor_becomes_the_chunk_it_describes() {
    let chunk = parse_descriptors(one().as_bytes()).unwrap()[0].chunk();
    assert_eq!(chunk.id, [1; 32]);
    assert_eq!(chunk.dataset_id, Dataset::parse("ethereum").unwrap().id);
    assert_eq!(chunk.block_range, 0..36);
    assert_eq!(chunk.files["blocks.parquet"], "https://data.example/blocks.parquet#size=7");
}

#[test]
fn an_error_names_the_line_and_the_field() {
    let text = format!("{}\n{}", one().replace('\n', " "), one().replace('\n', " ").replace("36", "\"x\""));
    let error = error_of(&text);
    assert!(error.starts_with("line 2, column "), "{error}");
    assert!(error.contains("block_range: end: invalid type: string \"x\""), "{error}");
    assert!(!error.contains(" at line "), "{error}");
}

#[test]
fn a_misspelt_key_is_answered_with_the_right_one() {
    for (wrong, right, advice) in [
        ("idd", "id", "\"id\""),
        ("dataset", "dataset_id", "\"dataset_id\""),
        ("blockRange", "block_range", "\"block_range\""),
        ("range", "block_range", "\"block_range\""),
        ("file", "files", "\"files\""),
        ("from", "start", "\"start\""),
        ("ends", "end", "\"end\""),
    ] {
        let text = one().replace(&format!("\"{right}\""), &format!("\"{wrong}\""));
        let error = error_of(&text);
        assert!(error.contains(&format!("did you mean {advice}?")), "{wrong}: {error}");
    }
    assert!(error_of(r#"{"colour": 1}"#).contains("known are id, dataset_id"));
}

#[test]
fn wrong_values_are_refused_with_the_reason() {
    for (from, to, reason) in [
        (ID, "0x01", "id: \"0x01\" is not an id"),
        ("\"ethereum\"", "\"0xabc\"", "dataset_id: 0xabc is not a dataset id"),
        ("\"ethereum\"", "7", "dataset_id: invalid type: integer `7`, expected a string"),
        ("36", "0", "block_range: 0..0 holds no block"),
        ("36", "-1", "block_range: end: invalid value"),
        ("36", "18446744073709551616", "block_range: end:"),
        ("\"end\": 36", "\"end\": 36, \"end\": 37", "block_range: end is given twice"),
        (
            "blocks.parquet\": ",
            "../blocks.parquet\": ",
            "files: \"../blocks.parquet\": a file name is 1 to 128",
        ),
        ("https://data.example/", "", "files: \"blocks.parquet\": not a URL"),
        ("\"files\"", "\"priority\": 1.5, \"files\"", "priority: invalid type: floating point"),
        ("\"files\"", "\"id\": \"\", \"files\"", "id: \"\" is not an id"),
        (", \"dataset_id\": \"ethereum\"", "", "dataset_id is missing"),
    ] {
        let text = one().replacen(from, to, 1);
        assert_ne!(text, one(), "the case {from:?} changes nothing");
        let error = error_of(&text);
        assert!(error.contains(reason), "{to:?} gave {error:?}");
    }
    assert!(error_of("[1]").contains("expected a descriptor"));
    assert!(error_of("{\"id\"").contains("EOF"));
    assert!(error_of("nonsense").starts_with("line 1, column "));
}

#[test]
fn a_url_that_is_not_one_is_not_shown() {
    let error = error_of(&one().replace("https://data.example", "user?secret"));
    assert!(error.contains("not a URL") && !error.contains("secret"), "{error}");
}

#[test]
fn the_same_id_twice_must_mean_the_same() {
    let twice = format!("{}\n{}", one(), one());
    assert_eq!(parse_descriptors(twice.as_bytes()).unwrap().len(), 1);
    let changed = format!("{}\n{}", one(), one().replace("36", "37"));
    assert!(error_of(&changed).contains("descriptor 2: id 0x0101"));
}

#[test]
fn bounds_hold() {
    assert!(parse_descriptors(&vec![b' '; INPUT_BYTES_MAX + 1]).unwrap_err().contains("64 MiB"));
    let many: Vec<String> = (0..=FILES_MAX).map(|n| format!("\"f{n}\": \"https://a.example/\",")).collect();
    let error = error_of(&one().replace("\"files\": {", &format!("\"files\": {{{}", many.concat())));
    assert!(error.contains("at most 64 files"), "{error}");
    let deep = "[".repeat(100_000);
    assert!(parse_descriptors(deep.as_bytes()).is_err());
}

#[test]
fn the_size_of_a_chunk_is_known_when_every_file_says_it() {
    let mut descriptor = parse_descriptors(one().as_bytes()).unwrap().remove(0);
    assert_eq!(descriptor.bytes(), Some(7));
    descriptor.files.insert("logs.parquet".into(), "https://data.example/l#sha256=00&size=5".into());
    assert_eq!(descriptor.bytes(), Some(12));
    descriptor.files.insert("more.parquet".into(), "https://data.example/m".into());
    assert_eq!(descriptor.bytes(), None);
}

prop_compose! {
    fn any_descriptor()(
        id in any::<[u8; 32]>(),
        dataset in "[a-z0-9:/ é\"\\\\-]{1,20}",
        start in 0..u64::MAX,
        blocks in 1..=u64::MAX,
        names in prop::collection::btree_set("[a-z_]{1,8}[.]parquet", 1..5),
        priority in any::<i32>(),
    ) -> Descriptor {
        let files = names.into_iter().map(|name| (name.clone(), format!("https://data.example/{name}#size=1"))).collect();
        let dataset = Dataset::parse(&dataset).expect("the alphabet has no control characters");
        Descriptor { id, dataset, block_range: start..start.saturating_add(blocks), files, priority }
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_the_same(descriptor in any_descriptor()) {
        let text = serde_json::to_string(&descriptor).unwrap();
        prop_assert_eq!(parse_descriptors(text.as_bytes()).unwrap(), [descriptor]);
    }

    #[test]
    fn damaged_text_is_an_answer_and_never_a_panic(at in 0usize..200, byte in any::<u8>(), cut in 0usize..300) {
        let mut text = one().into_bytes();
        if let Some(old) = text.get_mut(at) {
            *old = byte;
        }
        text.truncate(cut.max(1));
        let _either_way = parse_descriptors(&text).is_ok();
    }
}
