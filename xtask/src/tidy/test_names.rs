//! A test is named as a sentence about a behaviour: `a_torn_tail_heals_itself`, not `test_recovery`.
//! Refuses to judge the sentence.

use super::Finding;
use super::rust_source::{RustSources, words};

pub(super) fn check(sources: &RustSources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &sources.files {
        let mut is_attributed = false;
        for (index, line) in file.lines.iter().enumerate() {
            let code = line.code.trim();
            let attribute = code.strip_prefix("#[").and_then(|rest| rest.split([']', '(']).next());
            is_attributed |= attribute.is_some_and(|path| path == "test" || path.ends_with("::test"));
            let Some((_, after)) = words(code).find(|(word, _)| *word == "fn") else { continue };
            let name = words(after).next().map_or("", |(name, _)| name);
            if is_attributed && (name.starts_with("test_") || name == "test") {
                findings.push(Finding::at(
                    &file.path,
                    index,
                    format!("`{name}` must be a sentence: what holds, and when"),
                ));
            }
            is_attributed = false;
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Tree;

    fn count(text: &str) -> usize {
        check(&RustSources::of(&Tree::of(&[("crates/a/tests/a.rs", text)]))).len()
    }

    #[test]
    fn names_that_begin_with_test_are_refused() {
        assert_eq!(count("#[test]\nfn test_open() {}\n"), 1);
        assert_eq!(count("#[tokio::test(start_paused = true)]\nasync fn test_open() {}\n"), 1);
        assert_eq!(count("#[test]\n#[ignore]\nfn test() {}\n"), 1);
    }

    #[test]
    fn sentences_and_helpers_pass() {
        assert_eq!(count("#[test]\nfn a_closed_log_opens_again() {}\nfn test_server() {}\n"), 0);
    }
}
