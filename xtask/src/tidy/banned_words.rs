//! Words that must not land: unfinished code, the paths and hosts of one machine, and talk about how the work was done.
//! Refuses to grow into a style checker: each entry is exact.

use super::Finding;
use crate::files::Tree;

/// This file names the words in order to ban them.
const EXEMPT: &str = "xtask/src/tidy/banned_words.rs";

/// How an entry is looked for.
#[derive(Debug, Clone, Copy)]
enum As {
    /// Anywhere, as it is written here.
    Text,
    /// As whole words, in any case.
    Phrase,
}

const BANNED: &[(As, &str, &str)] = &[
    (As::Text, concat!("todo", "!("), "is unfinished"),
    (As::Text, concat!("unimplemented", "!("), "is unfinished"),
    (As::Text, "dbg!(", "is left over"),
    (As::Text, "TODO", "is unfinished: do it, or say in ARCHITECTURE.md that it is absent"),
    (As::Text, "FIXME", "is unfinished: do it, or say in ARCHITECTURE.md that it is absent"),
    (As::Text, "XXX", "is unfinished: do it, or say in ARCHITECTURE.md that it is absent"),
    (As::Text, "<<<<<<< ", "is a merge that was left in the middle"),
    (As::Text, ">>>>>>> ", "is a merge that was left in the middle"),
    (As::Text, concat!("/wo", "rk/"), "is a path of one machine"),
    (As::Text, "/root/", "is a path of one machine"),
    (As::Text, "../shared", "is a path of one machine"),
    (As::Text, "index.crates.io", "is a registry host"),
    (As::Text, "static.crates.io", "is a registry host"),
    (As::Text, "pypi.org", "is a registry host"),
    (As::Text, "pythonhosted.org", "is a registry host"),
    (As::Text, "registry.npmjs.org", "is a registry host"),
    (As::Text, "deb.debian.org", "is a registry host"),
    (As::Text, "proxy.golang.org", "is a registry host"),
    (As::Phrase, "this session", "is about how the work was done"),
    (As::Phrase, "earlier session", "is about how the work was done"),
    (As::Phrase, "previous session", "is about how the work was done"),
    (As::Phrase, "sessions", "is about how the work was done"),
    (As::Phrase, "agents", "is about how the work was done"),
    (As::Phrase, "an agent", "is about how the work was done"),
    (As::Phrase, "issue #", "is about how the work was done"),
    (As::Phrase, "this issue", "is about how the work was done"),
    (As::Phrase, "the issue says", "is about how the work was done"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A lock file is cargo's own text.
    let written = tree.texts().filter(|(path, _)| *path != EXEMPT && !path.ends_with("Cargo.lock"));
    for (path, text) in written {
        for (index, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for (manner, word, reason) in BANNED {
                let is_found = match manner {
                    As::Text => holds_text(line, word),
                    As::Phrase => holds_phrase(&lower, word),
                };
                if is_found {
                    findings.push(Finding::at(path, index, format!("`{word}` {reason}")));
                }
            }
        }
    }
    findings
}

/// Upper-case marks count as whole words only: `XXXL` is a size. A path counts unless it goes on from a longer one.
fn holds_text(line: &str, text: &str) -> bool {
    if text.chars().all(char::is_uppercase) {
        return holds_phrase(line, text);
    }
    let is_path = text.starts_with('/');
    line.match_indices(text).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default().chars().next_back();
        !is_path
            || !before
                .is_some_and(|before| before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '}'))
    })
}

fn holds_phrase(line: &str, phrase: &str) -> bool {
    let is_word =
        |character: Option<char>| character.is_some_and(|it| it.is_alphanumeric() || matches!(it, '_' | '-'));
    line.match_indices(phrase).any(|(at, found)| {
        let before = line.get(..at).unwrap_or_default().chars().next_back();
        let after = line.get(at.saturating_add(found.len())..).unwrap_or_default().chars().next();
        let ends_in_word = is_word(found.chars().next_back());
        !(is_word(before) || (ends_in_word && is_word(after)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Tree::of(&[("docs/a.md", text)])).len()
    }

    #[test]
    fn each_word_is_found_where_it_stands() {
        for (_, word, _) in BANNED {
            let found = check(&Tree::of(&[("docs/a.md", &format!("fine\nsee {word} 7\n"))]));
            assert!(found.iter().any(|finding| finding.line == Some(2)), "{word}: {found:?}");
        }
    }

    #[test]
    fn words_that_only_look_alike_pass() {
        for text in [
            "User-Agent: x",
            "AWS_SESSION_TOKEN",
            "a TLS session",
            "XXXL",
            "target/work/a",
            "crates.io",
            "reissue #",
        ] {
            assert_eq!(count(text), 0, "{text}");
        }
    }

    #[test]
    fn phrases_are_found_in_any_case() {
        assert_eq!(count("See Issue #12."), 1);
    }

    #[test]
    fn lock_files_are_not_read() {
        let tree = Tree::of(&[("Cargo.lock", "index.crates.io"), ("bench/Cargo.lock", "index.crates.io")]);
        assert_eq!(check(&tree), []);
    }
}
