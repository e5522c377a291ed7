//! A file has at most 500 lines of code, and 800 fail; at most half of it is inline tests.
//! Refuses to count comments, blank lines and tests as code.

use super::rust_source::RustSources;
use super::{Finding, Weight};

const LINES_BEFORE_WARNING: usize = 500;
const LINES_MAX: usize = 800;
/// Below this, tests may outgrow what they test: a pure function of ten lines deserves more.
const TEST_LINES_FREE: usize = 200;

pub(super) fn check(sources: &RustSources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &sources.files {
        let tests = file.code_lines().filter(|line| line.is_test).count();
        let code = file.code_lines().count().saturating_sub(tests);
        // A file that is all tests is one behaviour told at length; the same bound holds.
        let counted = code.max(if code == 0 { tests } else { 0 });
        if counted > LINES_BEFORE_WARNING {
            let weight = if counted > LINES_MAX { Weight::Failure } else { Weight::Warning };
            let message =
                format!("{counted} lines of code; split it where a reader would pause ({LINES_MAX} fail)");
            findings.push(Finding { weight, ..Finding::file(&file.path, message) });
        }
        if file.is_in_src() && code > 0 && tests > code && tests > TEST_LINES_FREE {
            let message = format!(
                "{tests} of {} lines are tests; move what is not about private functions to tests/",
                tests.saturating_add(code)
            );
            findings.push(Finding { weight: Weight::Warning, ..Finding::file(&file.path, message) });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Tree;

    fn weights(text: &str) -> Vec<Weight> {
        let sources = RustSources::of(&Tree::of(&[("crates/a/src/a.rs", text)]));
        check(&sources).iter().map(|finding| finding.weight).collect()
    }

    #[test]
    fn code_over_500_lines_warns_and_over_800_fails() {
        assert_eq!(weights(&"a();\n".repeat(500)), []);
        assert_eq!(weights(&"a();\n".repeat(501)), [Weight::Warning]);
        assert_eq!(weights(&"a();\n".repeat(801)), [Weight::Failure]);
    }

    #[test]
    fn comments_blank_lines_and_tests_are_not_code() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "a();\n".repeat(400));
        let text = format!("{}{}{}{tests}", "a();\n".repeat(450), "// why\n".repeat(900), "\n".repeat(900));
        assert_eq!(weights(&text), []);
    }

    #[test]
    fn a_file_that_is_mostly_tests_warns() {
        let tests = format!("a();\n#[cfg(test)]\nmod tests {{\n{}}}\n", "a();\n".repeat(300));
        assert_eq!(weights(&tests), [Weight::Warning]);
    }
}
