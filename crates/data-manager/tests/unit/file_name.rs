//! Tests of which names a chunk's files may have, alone and together.
//! Fails when a name that could leave its directory, hide, or mean two things is accepted, or a plain one is not.

use super::*;

const HOSTILE: &[&str] = &[
    "",
    ".",
    "..",
    "...",
    "../x",
    "..\\x",
    "/",
    "/x",
    "//x",
    "x/",
    "x/y",
    "x\\y",
    "\\\\host\\share",
    "C:",
    "C:x",
    "C:\\x",
    "x:stream",
    "~",
    "~root",
    "%2e%2e",
    "a%2fb",
    "a b",
    " a",
    "a ",
    "a\t",
    "a\n",
    "a\r",
    "a\0",
    "\0",
    "a\u{7f}",
    "\u{1b}[31m",
    "\u{202e}tar",
    "\u{feff}a",
    "\u{200b}",
    "é.parquet",
    "e\u{301}",
    "\u{ff0e}\u{ff0e}",
    "\u{2024}\u{2024}",
    "a\u{2215}b",
    "файл",
    "数据.parquet",
    "😀",
    ".hidden",
    ".bashrc",
    ".staging",
    "x.",
    "x..",
    "a*",
    "a?",
    "a|b",
    "a;b",
    "a&b",
    "a$b",
    "$(x)",
    "`x`",
    "a\"b",
    "a'b",
    "a<b",
    "a>b",
    "a=b",
    "a+b",
    "a,b",
    "a@b",
    "a#b",
    "a{b}",
    "a[b]",
    "a!b",
    "a^b",
    "CON",
    "con",
    "Con.parquet",
    "PRN",
    "prn.txt",
    "AUX",
    "aux.tar.gz",
    "NUL",
    "nul.parquet",
    "COM1",
    "com9.txt",
    "LPT1",
    "lpt9.parquet",
    "_chunk.json",
    "_CHUNK.JSON",
    "_chunk.json.tmp",
    "_parts",
    "_Parts",
    "_parts.1",
];

const PLAIN: &[&str] = &[
    "a",
    "0",
    "_",
    "-",
    "-rf",
    "a..b",
    "blocks.parquet",
    "Blocks-0_35.v2.parquet",
    "_metadata",
    "_chunk.jsonl",
    "_partsof",
    "chunk.json",
    "CONSOLE",
    "COM",
    "COM0",
    "COM10",
    "xCOM1",
    "LPT",
    "aCON",
    "con-1",
];

#[test]
fn no_hostile_name_is_accepted() {
    assert!(HOSTILE.len() >= 60);
    for name in HOSTILE {
        let message = check_file_names([*name].into_iter()).expect_err(name);
        assert!(message.starts_with("file name \""), "{message}");
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
}

#[test]
fn plain_names_are_accepted_alone_and_together() {
    for name in PLAIN {
        assert_eq!(check_file_names([*name].into_iter()), Ok(()), "{name}");
    }
    assert_eq!(check_file_names(PLAIN.iter().copied()), Ok(()));
}

#[test]
fn a_name_may_have_128_bytes_and_no_more() {
    assert_eq!(check_file_name(&"a".repeat(128)), Ok(()));
    let message = check_file_name(&"a".repeat(129)).expect_err("too long");
    assert!(message.contains("128"), "{message}");
}

#[test]
fn the_message_shows_at_most_64_characters_of_a_name_and_escapes_them() {
    let message = check_file_name(&"\u{1b}".repeat(10_000)).expect_err("too long");
    assert!(message.len() < 160, "{message}");
    assert!(message.contains("\\u{1b}"), "{message}");
    assert_eq!(shown(&"a".repeat(64)), format!("\"{}\"", "a".repeat(64)));
    assert_eq!(shown(&"a".repeat(65)), format!("\"{}...\"", "a".repeat(64)));
}

#[test]
fn names_that_differ_only_in_case_are_refused_together() {
    let message =
        check_file_names(["a.parquet", "b", "A.Parquet"].into_iter()).expect_err("one file on some disks");
    assert!(message.contains("\"A.Parquet\"") && message.contains("\"a.parquet\""), "{message}");
    assert!(check_file_names(["a", "a"].into_iter()).is_err());
}

#[test]
fn a_chunk_has_1_to_64_files() {
    let names: Vec<String> = (0..65).map(|number| format!("f{number}")).collect();
    let of = |count: usize| check_file_names(names.iter().take(count).map(String::as_str));
    assert!(of(0).is_err());
    assert_eq!(of(1), Ok(()));
    assert_eq!(of(64), Ok(()));
    assert!(of(65).expect_err("one too many").contains("64"));
}

#[test]
fn checking_ends_at_the_first_name_too_many() {
    let endless = (0u64..).map(|number| -> &'static str { format!("f{number}").leak() });
    assert!(check_file_names(endless).is_err());
}
