//! Which names the files of a chunk may have, so that they mean the same on every disk and never leave their directory.
//! Refuses to repair a name: what is not plain is refused.

/// How many files a chunk may have.
pub(crate) const FILES_MAX: usize = 64;
/// How many bytes a file's name may have.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// How much of a refused name is shown.
const SHOWN_CHARACTERS_MAX: usize = 64;
/// What we write into the same directories, alone or with an extension.
const OURS: [&str; 2] = [crate::layout::MANIFEST, crate::layout::PARTS];

/// Checks the names of all the files of one chunk; the message names the first bad one and the rule that it breaks.
pub(crate) fn check_file_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen: arrayvec::ArrayVec<&str, FILES_MAX> = arrayvec::ArrayVec::new();
    for name in names {
        check_file_name(name)?;
        if let Some(other) = seen.iter().find(|other| other.eq_ignore_ascii_case(name)) {
            let rule = "is the same file on a disk that does not tell upper from lower case";
            return Err(format!("file name {} {rule} as {}", shown(name), shown(other)));
        }
        if seen.try_push(name).is_err() {
            return Err(format!("a chunk has at most {FILES_MAX} files; {} is one more", shown(name)));
        }
    }
    if seen.is_empty() {
        return Err("a chunk has at least one file".to_string());
    }
    Ok(())
}

/// Checks one name by itself.
pub(crate) fn check_file_name(name: &str) -> Result<(), String> {
    match broken_rule(name) {
        None => Ok(()),
        Some(rule) => Err(format!("file name {} {rule}", shown(name))),
    }
}

/// A text from outside as it may stand in a message: escaped, quoted and cut.
pub(crate) fn shown(text: &str) -> String {
    let mut escaped = text.escape_debug();
    let cut: String = escaped.by_ref().take(SHOWN_CHARACTERS_MAX).collect();
    let more = if escaped.next().is_some() { "..." } else { "" };
    format!("\"{cut}{more}\"")
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return Some("has more than 128 bytes");
    }
    if !name.bytes().all(is_plain) {
        return Some("has a character that is not one of A-Z a-z 0-9 . _ -");
    }
    if name.starts_with('.') {
        return Some("begins with a dot");
    }
    if name.ends_with('.') {
        return Some("ends with a dot");
    }
    if OURS.iter().any(|ours| is_or_extends(name, ours)) {
        return Some("is kept for our own files (_chunk.json, _parts)");
    }
    let stem = name.split('.').next().unwrap_or(name);
    is_device(stem).then_some("is a device on Windows")
}

/// `name` is `ours`, or `ours`, a dot and more, in any case.
fn is_or_extends(name: &str, ours: &str) -> bool {
    let (Some(head), Some(tail)) = (name.get(..ours.len()), name.get(ours.len()..)) else {
        return false;
    };
    head.eq_ignore_ascii_case(ours) && (tail.is_empty() || tail.starts_with('.'))
}

fn is_device(stem: &str) -> bool {
    let is_port = |prefix: &str| {
        stem.len() == 4
            && stem.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
            && matches!(stem.as_bytes().get(3), Some(b'1'..=b'9'))
    };
    ["CON", "PRN", "AUX", "NUL"].iter().any(|device| stem.eq_ignore_ascii_case(device))
        || is_port("COM")
        || is_port("LPT")
}

#[cfg(test)]
#[path = "../tests/unit/file_name.rs"]
mod tests;
