//! A function has at most 120 lines of code, tests and macro bodies included. Clippy holds the rest to 70.
//! Refuses to count comments and blank lines.

use super::Finding;
use super::rust_source::{RustSource, RustSources, item_bytes, words};

const LINES_MAX: usize = 120;

pub(super) fn check(sources: &RustSources) -> Vec<Finding> {
    sources.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &RustSource) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.lines.iter().enumerate() {
        let Some(name) = function_name(&line.code) else { continue };
        let code: Vec<&str> = file.lines.iter().skip(index).map(|line| line.code.as_str()).collect();
        let code = code.join("\n");
        let item = code.get(..item_bytes(&code)).unwrap_or_default();
        let count = item.lines().filter(|line| !line.trim().is_empty()).count();
        if count > LINES_MAX {
            findings.push(Finding::at(
                &file.path,
                index,
                format!("{name} has {count} lines, {LINES_MAX} are allowed"),
            ));
        }
    }
    findings
}

/// The name of the function that a line begins, if it does.
fn function_name(code: &str) -> Option<&str> {
    let (_, after) = words(code).find(|(word, after)| *word == "fn" && after.starts_with(' '))?;
    words(after).next().map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Tree;

    fn findings(text: &str) -> Vec<Finding> {
        check(&RustSources::of(&Tree::of(&[("crates/a/tests/a.rs", text)])))
    }

    #[test]
    fn a_long_test_is_found_with_its_name_and_line() {
        let text = format!("fn short() {{}}\nfn long(x: [u8; 4]) {{\n{}}}\n", "    a();\n".repeat(119));
        let found = findings(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, Some(2));
        assert!(found[0].message.starts_with("long has 121 lines"), "{found:?}");
    }

    #[test]
    fn a_function_of_120_lines_passes_whatever_follows_it() {
        let text = format!(
            "fn f() {{\n{}}}\nfn g() {{\n{}}}\n",
            "    a();\n".repeat(118),
            "    // why\n".repeat(500)
        );
        assert_eq!(findings(&text), []);
    }
}
