//! Every relative link of a page leads somewhere, to a heading too, and every page of `docs/` is linked from another.
//! Refuses to look beyond the tree: addresses of the web are not fetched.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::markdown::{anchors, links};
use crate::files::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let pages: Vec<(&str, &str)> = tree.texts().filter(|(path, _)| is_page(path)).collect();
    let anchors: BTreeMap<&str, Vec<String>> =
        pages.iter().map(|(path, text)| (*path, anchors(text))).collect();
    let mut linked = BTreeSet::new();
    let mut findings = Vec::new();
    for (path, text) in &pages {
        for link in links(text) {
            match resolve(path, &link.target) {
                Target::Elsewhere => {}
                Target::Outside => findings.push(Finding::at(
                    path,
                    link.line_index,
                    format!("`{}` leads out of the tree", link.target),
                )),
                Target::Inside { file, anchor } => {
                    let problem = problem(tree, &anchors, &file, anchor);
                    findings.extend(problem.map(|problem| {
                        Finding::at(path, link.line_index, format!("`{}`: {problem}", link.target))
                    }));
                    if file != *path {
                        linked.insert(file);
                    }
                }
            }
        }
    }
    for path in tree.files.keys().filter(|path| path.starts_with("docs/") && !linked.contains(*path)) {
        findings.push(Finding::file(path, "no page links to it, so nobody will find it"));
    }
    findings
}

fn is_page(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|end| end == "md")
}

/// Where a link leads.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    /// To the web, to a mail address.
    Elsewhere,
    /// Above the root of the tree.
    Outside,
    /// To a file or directory, perhaps to a heading in it.
    Inside { file: String, anchor: Option<&'a str> },
}

fn resolve<'a>(page: &str, target: &'a str) -> Target<'a> {
    let is_elsewhere = ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    if is_elsewhere || target.is_empty() {
        return Target::Elsewhere;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    if path.is_empty() {
        return Target::Inside { file: page.to_owned(), anchor };
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." if parts.pop().is_none() => return Target::Outside,
            "" | "." | ".." => {}
            part => parts.push(part),
        }
    }
    Target::Inside { file: parts.join("/"), anchor }
}

/// What is wrong with a link to this place, if anything.
fn problem(
    tree: &Tree,
    anchors: &BTreeMap<&str, Vec<String>>,
    file: &str,
    anchor: Option<&str>,
) -> Option<&'static str> {
    let directory = format!("{file}/");
    if file.is_empty() || tree.files.keys().any(|path| path.starts_with(&directory)) {
        return None;
    }
    if !tree.files.contains_key(file) {
        return Some("there is no such file");
    }
    // An anchor of a file that is not a page is a line number of the forge's viewer.
    let known = anchors.get(file)?;
    let anchor = anchor?;
    (!known.iter().any(|known| known == anchor)).then_some("that page has no such heading")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_resolve_pass() {
        let readme = "[a](docs/a.md#one) [crates](crates) [me](#top) [web](https://example.com/x) [src](crates/x.rs#L3)\n# Top\n";
        let files =
            [("README.md", readme), ("docs/a.md", "# One\n[up](../README.md)\n"), ("crates/x.rs", "")];
        assert_eq!(findings(&files), Vec::<String>::new());
    }

    #[test]
    fn dead_files_dead_headings_and_ways_out_are_found() {
        let found = findings(&[("README.md", "[a](b.md)\n[b](#none)\n[c](../c.md)\n# Top\n")]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("README.md:1: `b.md`: there is no such file"), "{found:?}");
        assert!(found[1].starts_with("README.md:2: `#none`: that page has no such heading"), "{found:?}");
        assert!(found[2].starts_with("README.md:3: `../c.md` leads out"), "{found:?}");
    }

    #[test]
    fn a_page_of_docs_that_only_links_to_itself_is_an_orphan() {
        let found = findings(&[("docs/a.md", "# A\n[a](#a) [b](a.md)\n")]);
        assert_eq!(found, ["docs/a.md: no page links to it, so nobody will find it"]);
    }
}
