//! Directory listings of web servers, as nginx, Apache and others write them in HTML, and nginx in JSON.
//! Refuses to fetch, and to leave the directory it was given: names that point elsewhere are not followed.

use std::collections::HashSet;

use serde::Deserialize;
use url::Url;

use super::SourceResult;
use crate::data_source::{Listed, SourceError, SourceErrorKind};

/// Files and directories of one listing; more are an error, so that a hostile server cannot fill the memory.
const ENTRIES_MAX: usize = 1_000_000;
/// Directories below the listed one.
const DEPTH_MAX: usize = 8;

/// A directory and what is known below it.
#[derive(Debug)]
pub(super) struct Tree {
    root: Url,
    files: Vec<Listed>,
    unread: Vec<Url>,
    /// The paths of all files and directories, so that a page that names one twice, or itself, adds nothing.
    seen: HashSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// As written in the URL, percent-encoded; directories end in `/`.
    href: String,
    size: Option<u64>,
}

impl Tree {
    pub(super) fn new(root: Url) -> SourceResult<Tree> {
        if !root.path().ends_with('/') || root.query().is_some() {
            return Err(SourceError::new(
                SourceErrorKind::Refused,
                "only a URL that ends in / and has no query can be listed",
            ));
        }
        Ok(Tree { unread: vec![root.clone()], root, files: Vec::new(), seen: HashSet::new() })
    }

    /// The directories whose pages are to be added next.
    pub(super) fn take_unread(&mut self) -> Vec<Url> {
        std::mem::take(&mut self.unread)
    }

    /// Adds what the page of a directory names.
    pub(super) fn add_page(&mut self, directory: &Url, page: &[u8]) -> SourceResult<()> {
        for entry in read_page(page)? {
            let Some(url) = child(directory, &entry.href) else { continue };
            let Some(path) = url.path().strip_prefix(self.root.path()).and_then(decoded) else { continue };
            if !self.seen.insert(path.clone()) {
                continue;
            }
            if self.seen.len() > ENTRIES_MAX {
                return Err(beyond(&format!("more than {ENTRIES_MAX} entries")));
            }
            match path.strip_suffix('/') {
                None => self.files.push(Listed { url, path, size: entry.size }),
                Some(inner) if inner.split('/').count() > DEPTH_MAX => {
                    return Err(beyond(&format!("directories more than {DEPTH_MAX} deep ({path:?})")));
                }
                Some(_) => self.unread.push(url),
            }
        }
        Ok(())
    }

    pub(super) fn into_files(self) -> Vec<Listed> {
        self.files
    }
}

fn beyond(what: &str) -> SourceError {
    SourceError::new(SourceErrorKind::Permanent, format!("the listing has {what}"))
}

/// The URL of a direct child; `None` for parents, sort links, other hosts and whatever else a page links to.
fn child(directory: &Url, href: &str) -> Option<Url> {
    let url = directory.join(href).ok()?;
    if url.origin() != directory.origin() || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let name = url.path().strip_prefix(directory.path())?;
    let inner = name.strip_suffix('/').unwrap_or(name);
    if inner.is_empty() || inner.contains('/') {
        return None;
    }
    // The link may have left out the user name and password that reach this directory.
    let mut child = directory.clone();
    child.set_path(url.path());
    Some(child)
}

/// Percent-decodes a path; `None` if a part of it is then not a plain name.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if byte == b'/' || byte == b'\\' || byte == 0 {
            return None;
        }
        bytes.push(byte);
        rest = after;
    }
    let text = String::from_utf8(bytes).ok()?;
    let is_plain = text.split('/').all(|part| part != "." && part != "..");
    is_plain.then_some(text)
}

fn read_page(page: &[u8]) -> SourceResult<Vec<Entry>> {
    if page.trim_ascii_start().starts_with(b"[") { read_json(page) } else { Ok(read_html(page)) }
}

/// nginx with `autoindex_format json`.
fn read_json(page: &[u8]) -> SourceResult<Vec<Entry>> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        #[serde(rename = "type")]
        kind: String,
        size: Option<u64>,
    }
    let rows: Vec<Row> = serde_json::from_slice(page).map_err(|error| {
        SourceError::new(SourceErrorKind::Permanent, format!("reading the listing: {error}"))
    })?;
    let entries = rows.into_iter().filter(|row| !row.name.contains('/')).filter_map(|row| {
        // `./` keeps a name with a colon from being read as a scheme.
        let href = format!("./{}", encoded(&row.name));
        match row.kind.as_str() {
            "file" => Some(Entry { href, size: row.size }),
            "directory" => Some(Entry { href: href + "/", size: None }),
            _ => None,
        }
    });
    Ok(entries.collect())
}

/// Encodes what would end or change a path; the URL parser encodes the rest.
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '%' => text.push_str("%25"),
            '?' => text.push_str("%3F"),
            '#' => text.push_str("%23"),
            '\\' => text.push_str("%5C"),
            _ => text.push(letter),
        }
    }
    text
}

/// The links of an HTML page, each with the size that nginx and others write at the end of its line.
fn read_html(page: &[u8]) -> Vec<Entry> {
    let text = String::from_utf8_lossy(page);
    let mut entries = Vec::new();
    for link in text.split("<a ").skip(1).chain(text.split("<A ").skip(1)).take(ENTRIES_MAX + 1) {
        let Some(href) = attribute(link, "href=") else { continue };
        let after = link.split_once("</a>").map_or("", |(_, after)| after);
        let line = after.lines().next().unwrap_or_default();
        let size = line.split_ascii_whitespace().next_back().and_then(|word| word.parse().ok());
        entries.push(Entry { href: unescaped(href), size });
    }
    entries
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let tag = tag.split_once('>').map_or(tag, |(inside, _)| inside);
    let (_, value) = tag.split_once(name).or_else(|| tag.split_once(name.to_ascii_uppercase().as_str()))?;
    let quote = value.chars().next().filter(|&first| first == '"' || first == '\'')?;
    value.strip_prefix(quote)?.split_once(quote).map(|(inside, _)| inside)
}

fn unescaped(href: &str) -> String {
    href.replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NGINX: &str = "<html>\r\n<head><title>Index of /x/</title></head>\r\n<body>\r\n<h1>Index of /x/</h1><hr><pre>\
        <a href=\"../\">../</a>\r\n<a href=\"0-99/\">0-99/</a>   20-Nov-2026 10:00       -\r\n\
        <a href=\"a%20b.parquet\">a b.parquet</a>    20-Nov-2026 10:00    1048576\r\n\
        <a href=\"long_name\">long..&gt;</a> 20-Nov-2026 10:00  12M\r\n</pre><hr></body>\r\n</html>\r\n";

    fn listed(page: &str) -> (Vec<(String, Option<u64>)>, Vec<String>) {
        let root = Url::parse("https://user:word@data.example/x/").expect("a URL");
        let mut tree = Tree::new(root.clone()).expect("a directory");
        tree.take_unread();
        tree.add_page(&root, page.as_bytes()).expect("a page");
        let unread = tree.take_unread().into_iter().map(String::from).collect();
        (tree.into_files().into_iter().map(|file| (file.path, file.size)).collect(), unread)
    }

    #[test]
    fn an_nginx_page_is_read_with_its_exact_sizes() {
        let (files, unread) = listed(NGINX);
        assert_eq!(files, [("a b.parquet".to_owned(), Some(1_048_576)), ("long_name".to_owned(), None)]);
        assert_eq!(unread, ["https://user:word@data.example/x/0-99/"]);
    }

    #[test]
    fn nginx_json_is_read() {
        let (files, unread) = listed(
            r#"[{"name":"0-99","type":"directory","mtime":"x"},{"name":"a%b?.parquet","type":"file","size":7},{"name":"../up","type":"file"}]"#,
        );
        assert_eq!(files, [("a%b?.parquet".to_owned(), Some(7))]);
        assert_eq!(unread, ["https://user:word@data.example/x/0-99/"]);
    }

    #[test]
    fn links_that_leave_the_directory_are_not_followed() {
        let links = [
            "..",
            "/",
            "/x",
            "/x/",
            "./",
            "?C=N;O=D",
            "https://evil.example/x/a",
            "//evil.example/x/a",
            "a/b",
            "../y/a",
            "a%2Fb",
            "%2e%2e/",
            "%2e%2e%2f",
            "a%00",
            "a%5Cb",
            "a#b",
            "http://data.example/x/a",
            "javascript:alert(1)",
            "a%zz",
        ];
        for link in links {
            let (files, unread) = listed(&format!("<a href=\"{link}\">x</a>"));
            assert!(files.is_empty() && unread.is_empty(), "{link}: {files:?} {unread:?}");
        }
    }

    #[test]
    fn a_page_that_names_itself_twice_or_too_deep_ends() {
        let (files, unread) = listed("<a href='a'>a</a><a href=\"a\">a</a><a href='./b/'>b</a>");
        assert_eq!((files.len(), unread.len()), (1, 1));
        let root = Url::parse("https://data.example/").expect("a URL");
        let mut tree = Tree::new(root).expect("a directory");
        let result = (0..20).try_for_each(|_| {
            let next = tree.take_unread().pop().expect("one directory");
            tree.add_page(&next, b"<a href=\"d/\">d</a>")
        });
        assert_eq!(result.expect_err("too deep").kind, SourceErrorKind::Permanent);
    }
}
