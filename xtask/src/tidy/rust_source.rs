//! Rust files as the checks see them: code without comments and without what strings say, and which of it is tests.
//! Refuses to parse: braces and words are enough for rules about shape.

use std::collections::BTreeSet;

use crate::files::Tree;

/// One Rust file.
#[derive(Debug)]
pub(super) struct RustSource {
    /// From the root.
    pub(super) path: String,
    /// As it stands in the file.
    pub(super) text: String,
    /// The same lines, with comments and the insides of strings and characters blanked.
    pub(super) lines: Vec<Line>,
}

/// One line of masked code.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) code: String,
    pub(super) is_test: bool,
}

impl RustSource {
    /// A line counts when something is left of it.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.code.trim().is_empty())
    }

    /// Whether the file lies in the sources of a crate, not in its tests or benches.
    pub(super) fn is_in_src(&self) -> bool {
        self.path.contains("/src/")
    }
}

/// All Rust files of a tree.
#[derive(Debug)]
pub(super) struct RustSources {
    pub(super) files: Vec<RustSource>,
}

impl RustSources {
    /// Masks every `.rs` file and marks what is compiled for tests only.
    pub(super) fn of(tree: &Tree) -> RustSources {
        let mut files = Vec::new();
        let mut test_modules = BTreeSet::new();
        let is_rust = |path: &str| std::path::Path::new(path).extension().is_some_and(|end| end == "rs");
        for (path, text) in tree.texts().filter(|(path, _)| is_rust(path)) {
            let code = mask(text);
            let regions = test_regions(&code);
            for name in &regions.modules {
                test_modules.extend(module_files(path, name));
            }
            let lines = code.lines().zip(&regions.is_test);
            let lines =
                lines.map(|(code, is_test)| Line { code: code.to_owned(), is_test: *is_test }).collect();
            files.push(RustSource { path: path.to_owned(), text: text.to_owned(), lines });
        }
        for file in &mut files {
            let is_test_file = ["/tests/", "/benches/"].iter().any(|part| file.path.contains(part));
            if is_test_file || test_modules.contains(&file.path) {
                file.lines.iter_mut().for_each(|line| line.is_test = true);
            }
        }
        RustSources { files }
    }
}

/// The files in which `mod name;` of the file at `path` may stand.
fn module_files(path: &str, name: &str) -> [String; 2] {
    let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let base = match stem {
        "mod" | "lib" | "main" => directory.to_owned(),
        _ => format!("{directory}/{stem}"),
    };
    [format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")]
}

/// The code with everything blanked that is not code. Lines stay lines.
pub(super) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let starts_word = !is_word(previous);
        let (kept, skipped) = if rest.starts_with("//") {
            (0, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (0, block_comment_bytes(rest))
        } else if let Some(length) = raw_string_bytes(rest).filter(|_| starts_word) {
            (0, length)
        } else if first == '"' {
            (0, quoted_bytes(rest, '"'))
        } else if let Some(length) = character_bytes(rest) {
            (0, length)
        } else {
            (first.len_utf8(), first.len_utf8())
        };
        let (piece, after) = rest.split_at_checked(skipped).unwrap_or((rest, ""));
        if kept > 0 {
            masked.push(first);
        } else {
            // A string stays visible as an empty one, so that a line that holds only a string still is code.
            let is_comment = rest.starts_with("//") || rest.starts_with("/*");
            masked.push_str(if is_comment { " " } else { "\"\"" });
            masked.extend(piece.chars().filter(|character| *character == '\n'));
        }
        previous = if kept > 0 { first } else { ' ' };
        rest = after;
    }
    masked
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The length of the comment that `text` starts with; comments nest.
fn block_comment_bytes(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut position = 0;
    while let Some(rest) = text.get(position..) {
        if rest.starts_with("/*") {
            depth = depth.saturating_add(1);
            position = position.saturating_add(2);
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            position = position.saturating_add(2);
            if depth == 0 {
                return position;
            }
        } else {
            let Some(character) = rest.chars().next() else { break };
            position = position.saturating_add(character.len_utf8());
        }
    }
    text.len()
}

/// The length of the raw string that `text` starts with, if it does.
fn raw_string_bytes(text: &str) -> Option<usize> {
    let after_prefix = ["r", "br", "cr"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let after_hashes = after_prefix.trim_start_matches('#');
    let body = after_hashes.strip_prefix('"')?;
    let hashes = after_prefix.len().saturating_sub(after_hashes.len());
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len().saturating_sub(body.len());
    Some(body.find(&end).map_or(text.len(), |at| start.saturating_add(at).saturating_add(end.len())))
}

/// The length of the quoted text that `text` starts with; a backslash takes the next character with it.
fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if character == '\\' {
            is_escaped = true;
        } else if character == quote {
            return at.saturating_add(character.len_utf8());
        }
    }
    text.len()
}

/// The length of the character that `text` starts with; `None` for a lifetime or no quote at all.
fn character_bytes(text: &str) -> Option<usize> {
    let mut inside = text.strip_prefix('\'')?.chars();
    match (inside.next()?, inside.next()?) {
        ('\\', _) => Some(quoted_bytes(text, '\'')),
        (character, '\'') => Some(character.len_utf8().saturating_add(2)),
        _ => None,
    }
}

/// Which lines of masked code are compiled for tests only, and the names of such modules in files of their own.
struct TestRegions {
    is_test: Vec<bool>,
    modules: Vec<String>,
}

fn test_regions(code: &str) -> TestRegions {
    let mut regions = TestRegions { is_test: vec![false; code.lines().count()], modules: Vec::new() };
    for marker in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(marker) {
            let rest = code.get(start..).unwrap_or_default();
            let length = item_bytes(rest);
            let item = rest.get(..length).unwrap_or(rest);
            if let Some(name) = module_in_a_file(item) {
                regions.modules.push(name);
            }
            let first = code.get(..start).unwrap_or_default().matches('\n').count();
            let count = item.matches('\n').count().saturating_add(1);
            regions.is_test.iter_mut().skip(first).take(count).for_each(|is_test| *is_test = true);
        }
    }
    regions
}

/// The length of the item that `code` starts with, attributes included: up to its closing brace or its semicolon.
pub(super) fn item_bytes(code: &str) -> usize {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '(' | '[' => brackets = brackets.saturating_add(1),
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces = braces.saturating_add(1),
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        let is_closed = character == '}' && braces == 0;
        if is_closed || (character == ';' && braces == 0 && brackets == 0) {
            return at.saturating_add(1);
        }
    }
    code.len()
}

fn module_in_a_file(item: &str) -> Option<String> {
    let declaration = item.strip_suffix(';')?.lines().next_back()?.trim();
    let name = declaration.rsplit_once("mod ")?.1;
    Some(name.trim().to_owned())
}

/// The words of a line of code with the text that follows each.
pub(super) fn words(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = code;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|character| !is_word(character));
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        rest = after;
        (!word.is_empty()).then_some((word, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text = "let a = \"// not { a comment\"; // but } this\nlet b = r#\"x \" } y\n\"#; /* { /* nested */ }\n */ c();";
        let masked = mask(text);
        assert!(!masked.contains(['{', '}']), "{masked}");
        assert_eq!(masked.lines().count(), text.lines().count());
        assert!(masked.contains("let b") && masked.contains("c();"), "{masked}");
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        let masked = mask("fn f<'a>(x: &'a str) { g('{', '\\'', '\"', b'}'); }");
        assert_eq!(masked.matches('{').count(), 1, "{masked}");
        assert!(masked.contains("'a str"), "{masked}");
        assert!(masked.ends_with("; }"), "{masked}");
    }

    #[test]
    fn a_word_that_ends_in_r_does_not_start_a_raw_string() {
        assert_eq!(mask("for\"x\""), "for\"\"");
        assert_eq!(mask("br\"x\\\" y"), "\"\" y");
    }

    #[test]
    fn what_is_left_open_runs_to_the_end() {
        for text in ["\"abc", "/* abc", "r#\"abc\"", "'\\", "'", "b'", "r#"] {
            let masked = mask(text);
            assert!(!masked.contains("abc"), "{text}: {masked}");
        }
    }

    fn test_lines(text: &str) -> Vec<bool> {
        let sources = RustSources::of(&Tree::of(&[("crates/a/src/lib.rs", text)]));
        sources.files[0].lines.iter().map(|line| line.is_test).collect()
    }

    #[test]
    fn a_test_module_is_marked_from_its_attribute_to_its_brace() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { c(\"}\") }\n}\nfn d() {}\n";
        assert_eq!(test_lines(text), [false, true, true, true, true, false]);
    }

    #[test]
    fn a_single_function_for_tests_ends_where_it_ends() {
        let text = "#[cfg(test)]\nfn a(x: [u8; 4]) {\n}\nfn b() {}\n";
        assert_eq!(test_lines(text), [true, true, true, false]);
    }

    #[test]
    fn a_semicolon_within_brackets_ends_nothing() {
        assert_eq!(
            test_lines("#[cfg(test)]\nconst A: [u8; 2] = [\n    1, 2];\nfn b() {}\n"),
            [true, true, true, false]
        );
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_followed() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod model;\nmod real;\n"),
            ("crates/a/src/model.rs", "fn a() {}\n"),
            ("crates/a/src/real.rs", "fn a() {}\n"),
        ]);
        let sources = RustSources::of(&tree);
        let is_test =
            |path: &str| sources.files.iter().any(|file| file.path == path && file.lines[0].is_test);
        assert!(is_test("crates/a/src/model.rs"));
        assert!(!is_test("crates/a/src/real.rs"));
    }

    #[test]
    fn words_come_with_what_follows_them() {
        let found: Vec<_> = words("a::spawn(b_c)").collect();
        assert_eq!(found, [("a", "::spawn(b_c)"), ("spawn", "(b_c)"), ("b_c", ")")]);
    }
}
