//! Tests wait for events. A sleep in a test is too short on a busy machine and too long on an idle one.
//! Refuses sleeps in tests, but for those on a paused clock and the files of a list.

use super::Finding;
use super::rust_source::{RustSource, RustSources, words};

/// A file of tests that may sleep, and why.
#[derive(Debug)]
pub(super) struct SleepingTest {
    pub(super) file: &'static str,
    pub(super) reason: &'static str,
}

pub(super) fn check(sources: &RustSources, allowed: &[SleepingTest]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &sources.files {
        let is_virtual = is_on_paused_clock(file);
        let sleeps = |code: &str| {
            words(code).any(|(word, after)| {
                matches!(word, "sleep" | "sleep_ms" | "sleep_until") && after.starts_with('(')
            })
        };
        let lines = file.lines.iter().enumerate().filter(|(_, line)| line.is_test && sleeps(&line.code));
        let lines = lines.filter(|(_, line)| !is_virtual || holds_up_a_thread(&line.code));
        let found: Vec<Finding> = lines
            .map(|(index, _)| Finding::at(&file.path, index, "a test waits for an event, it does not sleep"))
            .collect();
        match allowed.iter().find(|entry| entry.file == file.path) {
            None => findings.extend(found),
            Some(entry) if found.is_empty() || entry.reason.is_empty() => {
                findings.push(Finding::file(
                    &file.path,
                    "its permission to sleep is not needed, or has no reason",
                ));
            }
            Some(_) => {}
        }
    }
    for entry in allowed.iter().filter(|entry| !sources.files.iter().any(|file| file.path == entry.file)) {
        findings.push(Finding::file(entry.file, "may sleep, but is not there"));
    }
    findings
}

/// Whether every test of the file runs on tokio's paused clock. There a sleep takes no time and ends exactly when all
/// else waits: it is neither too short nor too long.
fn is_on_paused_clock(file: &RustSource) -> bool {
    let is_test = |code: &str| ["#[test]", "::test]", "::test("].iter().any(|part| code.contains(part));
    let mut tests = file.lines.iter().map(|line| line.code.as_str()).filter(|code| is_test(code)).peekable();
    tests.peek().is_some() && tests.all(|code| code.contains("start_paused = true"))
}

/// A thread knows no virtual time.
fn holds_up_a_thread(code: &str) -> bool {
    words(code).any(|(word, after)| word == "sleep_ms" || (word == "thread" && after.starts_with("::sleep")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Tree;

    const PATH: &str = "crates/a/tests/a.rs";
    const LISTED: &[SleepingTest] = &[SleepingTest { file: PATH, reason: "measures real time" }];

    fn count(text: &str, allowed: &[SleepingTest]) -> usize {
        check(&RustSources::of(&Tree::of(&[(PATH, text)])), allowed).len()
    }

    #[test]
    fn a_sleep_is_found_however_it_is_called() {
        for text in
            ["thread::sleep(x);\n", "tokio::time::sleep(x).await;\n", "sleep(x)\n", "sleep_until(x)\n"]
        {
            assert_eq!(count(text, &[]), 1, "{text}");
        }
        assert_eq!(count("// sleep(x)\nlet sleep = 1; asleep(x);\n", &[]), 0);
    }

    #[test]
    fn sleeps_are_free_where_every_test_is_on_a_paused_clock() {
        let paused = "#[tokio::test(start_paused = true)]\nasync fn a() { tokio::time::sleep(x).await; }\n";
        assert_eq!(count(paused, &[]), 0);
        assert_eq!(count(&format!("{paused}#[tokio::test]\nasync fn b() {{}}\n"), &[]), 1);
        assert_eq!(count(&format!("{paused}#[test]\nfn b() {{}}\n"), &[]), 1);
        assert_eq!(count(&format!("{paused}fn b() {{ std::thread::sleep(x); }}\n"), &[]), 1);
        assert_eq!(count("// start_paused = true\nsleep(x);\n", &[]), 1);
    }

    #[test]
    fn the_list_permits_and_shrinks() {
        assert_eq!(count("sleep(x);\n", LISTED), 0);
        assert_eq!(count("wait(x);\n", LISTED), 1);
        assert_eq!(check(&RustSources::of(&Tree::default()), LISTED).len(), 1);
    }
}
