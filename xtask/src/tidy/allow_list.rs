//! Locks, threads, clocks and the file system may be named in the files of a list, and nowhere else.
//! Refuses an entry that is no longer needed, so the list only shrinks.

use super::Finding;
use super::rust_source::{RustSources, words};

/// What a file needs a permission for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Locks, atomics, cells that are set once.
    Locks,
    /// Threads, tasks and processes.
    Spawns,
    /// Time read or waited for.
    Clocks,
    /// `std::fs` and `tokio::fs`.
    Files,
    /// Code that the compiler cannot vouch for.
    Unsafe,
}

/// A permission for one file, or for all files below a folder.
#[derive(Debug)]
pub(super) struct Allowed {
    /// From the root. A folder ends in a slash.
    pub(super) file: &'static str,
    pub(super) kinds: &'static [Kind],
    pub(super) reason: &'static str,
}

impl Allowed {
    fn covers(&self, path: &str) -> bool {
        path == self.file || (self.file.ends_with('/') && path.starts_with(self.file))
    }
}

/// Compares what the sources do with the list, in both directions. Tests are free.
pub(super) fn check(sources: &RustSources, allowed: &[Allowed]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_allowed =
        |path: &str, kind| allowed.iter().any(|entry| entry.covers(path) && entry.kinds.contains(&kind));
    let mut needed: Vec<(&str, Kind)> = Vec::new();
    for file in sources.files.iter().filter(|file| file.is_in_src()) {
        for (index, line) in file.lines.iter().enumerate().filter(|(_, line)| !line.is_test) {
            for kind in kinds_of(&line.code) {
                let is_first = !needed.contains(&(file.path.as_str(), kind));
                if is_first {
                    needed.push((file.path.as_str(), kind));
                }
                if is_first && !is_allowed(&file.path, kind) {
                    let message = format!(
                        "{kind:?}: this file is not on the list in xtask/src/tidy/allowed.rs: `{}`",
                        line.code.trim()
                    );
                    findings.push(Finding::at(&file.path, index, message));
                }
            }
        }
    }
    for entry in allowed {
        if entry.reason.is_empty() || entry.kinds.is_empty() {
            findings.push(Finding::file(entry.file, "its permission needs kinds and a reason"));
        }
        let is_needed = |kind: Kind| needed.iter().any(|&(path, needs)| needs == kind && entry.covers(path));
        for kind in entry.kinds.iter().filter(|kind| !is_needed(**kind)) {
            findings.push(Finding::file(
                entry.file,
                format!("its permission for {kind:?} is no longer needed: take it off the list"),
            ));
        }
    }
    findings
}

/// What a line of code needs permissions for.
fn kinds_of(code: &str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut needs = |kind, is_needed: bool| {
        if is_needed {
            kinds.push(kind);
        }
    };
    let any_word = |is_meant: fn(&str, &str) -> bool| words(code).any(|(word, after)| is_meant(word, after));
    needs(Kind::Locks, any_word(|word, _| is_lock(word)));
    needs(Kind::Unsafe, any_word(|word, _| word == "unsafe"));
    needs(Kind::Spawns, any_word(is_spawn));
    needs(Kind::Clocks, any_word(is_clock));
    needs(Kind::Files, any_word(|word, after| matches!(word, "std" | "tokio") && follows(after, "::fs")));
    kinds
}

fn is_lock(word: &str) -> bool {
    let names = ["Mutex", "RwLock", "Condvar", "OnceLock", "LazyLock", "ArcSwap"];
    let is_atomic = word.strip_prefix("Atomic").is_some_and(|rest| rest.starts_with(char::is_uppercase));
    is_atomic || names.iter().any(|name| word.starts_with(name))
}

fn is_spawn(word: &str, after: &str) -> bool {
    let is_call = matches!(word, "spawn" | "spawn_blocking" | "spawn_local") && follows(after, "(");
    is_call || (word == "thread" && (follows(after, "::Builder") || follows(after, "::scope")))
}

fn is_clock(word: &str, after: &str) -> bool {
    match word {
        "Instant" | "SystemTime" => follows(after, "::now"),
        "sleep" | "sleep_until" | "clock_gettime" => follows(after, "("),
        "tokio" => follows(after, "::time"),
        _ => false,
    }
}

/// Whether `text` comes next and is not the beginning of a longer word.
fn follows(after: &str, text: &str) -> bool {
    let rest = after.strip_prefix(text);
    rest.is_some_and(|rest| {
        text == "(" || !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Tree;

    fn findings(text: &str, allowed: &[Allowed]) -> Vec<String> {
        let sources = RustSources::of(&Tree::of(&[("crates/a/src/a.rs", text)]));
        check(&sources, allowed).iter().map(ToString::to_string).collect()
    }

    const LOCKS: &[Allowed] =
        &[Allowed { file: "crates/a/src/a.rs", kinds: &[Kind::Locks], reason: "the one lock" }];

    #[test]
    fn each_kind_is_seen() {
        let lines = [
            ("use std::sync::{Arc, Mutex};", Kind::Locks),
            ("static N: AtomicU64 = AtomicU64::new(0);", Kind::Locks),
            ("let x: ArcSwapOption<T>;", Kind::Locks),
            ("runtime.spawn(task)", Kind::Spawns),
            ("std::thread::Builder::new()", Kind::Spawns),
            ("Instant::now()", Kind::Clocks),
            ("tokio::time::timeout(a, b)", Kind::Clocks),
            ("clock.sleep(a)", Kind::Clocks),
            ("clock_gettime(ClockId::Monotonic)", Kind::Clocks),
            ("use std::fs::File;", Kind::Files),
        ];
        for (line, kind) in lines {
            assert_eq!(kinds_of(line), [kind], "{line}");
        }
    }

    #[test]
    fn words_that_only_look_alike_are_free() {
        for line in [
            "let atomic = Atomically;",
            "respawn(x)",
            "struct Sleep;",
            "std::fsx::a()",
            "spawner()",
            "Instant::nowhere()",
        ] {
            assert_eq!(kinds_of(line), [], "{line}");
        }
    }

    #[test]
    fn a_file_off_the_list_fails_at_the_first_line_that_needs_it() {
        let found = findings("fn a() {}\nuse std::sync::Mutex;\nlet a: Mutex<u8>;\n", &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/a.rs:2: Locks: this file"), "{found:?}");
        assert_eq!(findings("use std::sync::Mutex;\n", LOCKS), Vec::<String>::new());
    }

    #[test]
    fn an_entry_that_is_no_longer_needed_fails() {
        let found = findings("fn a() {}\n", LOCKS);
        assert_eq!(
            found,
            ["crates/a/src/a.rs: its permission for Locks is no longer needed: take it off the list"]
        );
    }

    #[test]
    fn an_entry_for_a_folder_covers_what_lies_below_it_and_nothing_else() {
        let below = [Allowed { file: "crates/a/", kinds: &[Kind::Locks], reason: "a tool" }];
        assert_eq!(findings("use std::sync::Mutex;\n", &below), Vec::<String>::new());
        assert_eq!(findings("use std::fs::File;\n", &below).len(), 2, "one kind too few, one too many");
        let beside = [Allowed { file: "crates/", kinds: &[Kind::Files], reason: "a tool" }];
        assert_eq!(findings("use std::sync::Mutex;\n", &beside).len(), 2);
        let no_folder = [Allowed { file: "crates/a", kinds: &[Kind::Locks], reason: "a tool" }];
        assert_eq!(findings("use std::sync::Mutex;\n", &no_folder).len(), 2);
    }

    #[test]
    fn tests_are_free() {
        assert_eq!(
            findings("#[cfg(test)]\nmod tests {\n    use std::sync::Mutex;\n}\n", &[]),
            Vec::<String>::new()
        );
    }
}
