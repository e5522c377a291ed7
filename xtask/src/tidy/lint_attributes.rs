//! Lint levels are set once, for the workspace. An attribute on a crate root could quietly lower a denied lint.
//! Refuses every inner lint attribute, but for `#![expect(..., reason = ...)]` where a file of tests is the root.

use super::Finding;
use super::rust_source::RustSources;

pub(super) fn check(sources: &RustSources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &sources.files {
        for (index, line) in file.lines.iter().enumerate() {
            let Some((_, after)) = line.code.split_once("#![") else { continue };
            let name = after.split(['(', ']']).next().unwrap_or_default().trim();
            let is_expected_in_tests = name == "expect" && !file.is_in_src();
            if matches!(name, "allow" | "warn" | "deny" | "forbid")
                || (name == "expect" && !is_expected_in_tests)
            {
                let message = format!(
                    "`#![{name}` sets lints for all below it; use #[expect(lint, reason = \"...\")] on the item"
                );
                findings.push(Finding::at(&file.path, index, message));
            }
        }
        for (index, line) in file.lines.iter().enumerate().filter(|(_, line)| line.code.contains("#[allow("))
        {
            if !line.code.contains("#![") {
                findings.push(Finding::at(
                    &file.path,
                    index,
                    "use #[expect], which fails once it is no longer needed",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Tree;

    fn count(path: &str, text: &str) -> usize {
        check(&RustSources::of(&Tree::of(&[(path, text)]))).len()
    }

    #[test]
    fn inner_lint_attributes_are_refused_in_sources() {
        for name in ["allow", "warn", "deny", "forbid", "expect"] {
            assert_eq!(count("crates/a/src/lib.rs", &format!("#![{name}(clippy::all)]\n")), 1, "{name}");
        }
        assert_eq!(count("crates/a/src/lib.rs", "#[allow(dead_code)]\n"), 1);
        assert_eq!(count("crates/a/src/lib.rs", "#[expect(dead_code)]\n#![no_std]\n// #![allow(x)]\n"), 0);
    }

    #[test]
    fn a_root_of_tests_may_expect_but_not_allow() {
        assert_eq!(count("crates/a/tests/a.rs", "#![expect(clippy::disallowed_methods)]\n"), 0);
        assert_eq!(count("crates/a/tests/a.rs", "#![allow(clippy::disallowed_methods)]\n"), 1);
    }
}
