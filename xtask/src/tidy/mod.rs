//! The rules of STYLE.md that a program can check, one module each.
//! Refuses to change a file: it says where, what and why.

use std::fmt;
use std::path::Path;

use crate::files::Tree;
use crate::tools;

mod allow_list;
mod allowed;
mod banned_words;
mod crate_edges;
mod file_header;
mod file_length;
mod function_length;
mod links;
mod lint_attributes;
mod markdown;
mod rust_source;
mod sleeps;
mod test_names;

use rust_source::RustSources;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// It stands in the output.
    Warning,
    /// It fails the run.
    Failure,
}

/// A rule that does not hold at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    weight: Weight,
    path: String,
    /// From 1; `None` when the file as a whole is meant.
    line: Option<usize>,
    message: String,
}

impl Finding {
    /// A failure about a whole file.
    fn file(path: &str, message: impl Into<String>) -> Finding {
        Finding { weight: Weight::Failure, path: path.to_owned(), line: None, message: message.into() }
    }

    /// A failure at a line, counted from 0.
    fn at(path: &str, line_index: usize, message: impl Into<String>) -> Finding {
        Finding { line: Some(line_index.saturating_add(1)), ..Finding::file(path, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Warning => "warning: ",
            Weight::Failure => "",
        };
        match self.line {
            Some(line) => write!(formatter, "{weight}{}:{line}: {}", self.path, self.message),
            None => write!(formatter, "{weight}{}: {}", self.path, self.message),
        }
    }
}

/// Runs every check on the tree at `root`.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let tree = Tree::load(root)?;
    let mut findings = check_tree(&tree);
    // A broken manifest must not hide what the files alone can say.
    match tools::metadata(root) {
        Ok(metadata) => findings.extend(crate_edges::check(&metadata)),
        Err(reason) => findings.push(Finding::file("Cargo.toml", reason)),
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.iter().filter(|finding| finding.weight == Weight::Failure).count() {
        0 => Ok(()),
        count => Err(format!("tidy: {count} to mend")),
    }
}

/// The checks that need nothing but the files.
fn check_tree(tree: &Tree) -> Vec<Finding> {
    let sources = RustSources::of(tree);
    let mut findings = Vec::new();
    findings.extend(file_header::check(&sources));
    findings.extend(file_length::check(&sources));
    findings.extend(function_length::check(&sources));
    findings.extend(lint_attributes::check(&sources));
    findings.extend(allow_list::check(&sources, allowed::ALLOWED));
    findings.extend(sleeps::check(&sources, allowed::SLEEPING_TESTS));
    findings.extend(test_names::check(&sources));
    findings.extend(banned_words::check(tree));
    findings.extend(links::check(tree));
    if !tree.files.contains_key("Cargo.lock") {
        findings.push(Finding::file(
            "Cargo.lock",
            "is missing: the versions that were tested are part of the project",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_without_a_lock_file_fails() {
        let findings = check_tree(&Tree::of(&[("README.md", "# A\n")]));
        assert!(findings.iter().any(|finding| finding.path == "Cargo.lock"), "{findings:?}");
    }

    #[test]
    fn a_finding_reads_as_path_line_message() {
        assert_eq!(Finding::at("a.rs", 4, "is wrong").to_string(), "a.rs:5: is wrong");
        assert_eq!(Finding::file("a.rs", "is wrong").to_string(), "a.rs: is wrong");
    }
}
