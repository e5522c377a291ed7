//! Each Rust file opens with two `//!` lines: what it is, and what it refuses to do.
//! Refuses to judge what they say.

use super::Finding;
use super::rust_source::RustSources;

pub(super) fn check(sources: &RustSources) -> Vec<Finding> {
    let opens_well = |text: &str| {
        let mut lines = text.lines();
        [lines.next(), lines.next()].iter().all(|line| line.is_some_and(|line| line.starts_with("//! ")))
    };
    let wrong = sources.files.iter().filter(|file| !opens_well(&file.text));
    wrong
        .map(|file| Finding::file(&file.path, "must open with two `//! ` lines: what it is, what it refuses"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Tree;

    fn count(text: &str) -> usize {
        check(&RustSources::of(&Tree::of(&[("a.rs", text)]))).len()
    }

    #[test]
    fn two_lines_are_asked_for() {
        assert_eq!(count("//! What it is.\n//! Refuses to be more.\n"), 0);
        assert_eq!(count("//! Only one.\nfn a() {}\n"), 1);
        assert_eq!(count("fn a() {}\n"), 1);
        assert_eq!(count(""), 1);
    }
}
