//! The file source: ranges, versions, and what it does not read.
//! Fails when bytes of two versions are mixed, or something other than a regular file is read.
#![expect(clippy::disallowed_methods, reason = "the tests make the files that the source reads")]

use std::fs;
use std::path::Path;

use data_manager::data_source::{
    DataSource, FetchRequest, FetchResponse, SourceError, SourceErrorKind, Validator,
};
use data_manager::sources::FileSource;
use futures_util::{StreamExt, TryStreamExt};
use url::Url;

fn whole(path: &Path) -> FetchRequest {
    FetchRequest { url: Url::from_file_path(path).expect("an absolute path"), range: None, validator: None }
}

async fn bytes(response: FetchResponse) -> Result<Vec<u8>, SourceError> {
    let pieces: Vec<_> = response.body.try_collect().await?;
    Ok(pieces.concat())
}

fn letters(count: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(count).collect()
}

#[tokio::test]
async fn a_file_of_several_pieces_comes_whole_and_in_parts() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("blocks.parquet");
    let content = letters((5 << 20) / 2);
    fs::write(&path, &content).expect("a file");
    let response = FileSource.fetch(whole(&path)).await.expect("an answer");
    let len = content.len() as u64;
    assert_eq!((response.offset, response.total, response.length), (0, Some(len), Some(len)));
    let validator = response.validator.clone();
    assert!(bytes(response).await.expect("a body") == content);
    for (range, expected) in [(1..(2 << 20), 1..(2 << 20)), ((len - 3)..u64::MAX, (len - 3)..len)] {
        let request = FetchRequest { range: Some(range), validator: validator.clone(), ..whole(&path) };
        let response = FileSource.fetch(request).await.expect("an answer");
        assert_eq!((response.offset, response.length), (expected.start, Some(expected.end - expected.start)));
        let expected = usize::try_from(expected.start).unwrap()..usize::try_from(expected.end).unwrap();
        assert!(bytes(response).await.expect("a body") == content[expected]);
    }
}

#[tokio::test]
async fn an_empty_file_has_an_empty_body() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let response = FileSource.fetch(whole(file.path())).await.expect("an answer");
    assert_eq!(response.total, Some(0));
    assert_eq!(bytes(response).await.expect("a body"), b"");
}

#[tokio::test]
async fn another_version_or_a_range_beyond_the_end_is_a_change() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "0123").expect("a file");
    let other = FetchRequest { validator: Some(Validator("\"other\"".to_owned())), ..whole(file.path()) };
    let beyond = FetchRequest { range: Some(4..8), ..whole(file.path()) };
    let empty = FetchRequest { range: Some(2..2), ..whole(file.path()) };
    for request in [other, beyond, empty] {
        let error = FileSource.fetch(request).await.expect_err("it is not that");
        assert_eq!(error.kind, SourceErrorKind::Changed, "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_written_to_while_it_is_read_gives_an_error() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for changed in [letters(4 << 20), letters(1 << 20)] {
        fs::write(file.path(), letters(3 << 20)).expect("a file");
        let mut response = FileSource.fetch(whole(file.path())).await.expect("an answer");
        response.body.next().await.expect("a piece").expect("it is read");
        fs::write(file.path(), changed).expect("a file");
        assert_eq!(bytes(response).await.expect_err("a mixture").kind, SourceErrorKind::Changed);
    }
}

#[tokio::test]
async fn only_regular_files_of_this_machine_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let url =
        |text: &str| FetchRequest { url: Url::parse(text).expect("a URL"), range: None, validator: None };
    for (request, kind) in [
        (whole(dir.path()), SourceErrorKind::Permanent),
        (whole(&dir.path().join("missing")), SourceErrorKind::Permanent),
        (url("file:///dev/null"), SourceErrorKind::Permanent),
        (url("file://elsewhere.example/etc/hosts"), SourceErrorKind::Refused),
        (url("file:///etc/hosts%00"), SourceErrorKind::Refused),
        (url("file:///srv/..%2Fetc/hosts"), SourceErrorKind::Refused),
    ] {
        let shown = request.url.to_string();
        let error = FileSource.fetch(request).await.expect_err(&shown);
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[tokio::test]
async fn a_listing_names_the_files_below_and_follows_no_symlink() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("y/z")).expect("directories");
    fs::write(dir.path().join("a b"), "1").expect("a file");
    fs::write(dir.path().join("y/z/c"), "123").expect("a file");
    #[cfg(unix)]
    std::os::unix::fs::symlink("/", dir.path().join("y/out")).expect("a symlink");
    let url = Url::from_directory_path(dir.path()).expect("an absolute path");
    let mut found = FileSource.list(url.clone()).await.expect("a listing");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    let found: Vec<_> = found.into_iter().map(|file| (file.path, file.url, file.size)).collect();
    assert_eq!(
        found,
        [
            ("a b".to_owned(), url.join("a%20b").expect("a URL"), Some(1)),
            ("y/z/c".to_owned(), url.join("y/z/c").expect("a URL"), Some(3)),
        ]
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn names_that_are_no_text_are_listed_with_what_is_none_replaced() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().expect("a directory");
    let below = dir.path().join(OsStr::from_bytes(b"d\xff"));
    fs::create_dir(&below).expect("a directory");
    fs::write(below.join(OsStr::from_bytes(b"a\xfe")), "12").expect("a file");
    fs::write(dir.path().join("b"), "1").expect("a file");
    let url = Url::from_directory_path(dir.path()).expect("an absolute path");
    let mut found = FileSource.list(url.clone()).await.expect("a listing");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert_eq!(found.iter().map(|file| &*file.path).collect::<Vec<_>>(), ["b", "d\u{fffd}/a\u{fffd}"]);
    assert_eq!(found[1].url, url.join("d%FF/a%FE").expect("a URL"), "byte for byte");
    let request = FetchRequest { url: found[1].url.clone(), range: None, validator: None };
    let response = FileSource.fetch(request).await.expect("an answer");
    assert_eq!(bytes(response).await.expect("a body"), b"12");
}
