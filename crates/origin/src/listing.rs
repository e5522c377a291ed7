//! Lists a directory as HTML in the manner of nginx's autoindex. Pure.
//! It lists one level; clients descend by themselves.

use std::collections::BTreeMap;

/// The page for `directory` (empty, or with a `/` at its end), from all files and their sizes.
/// None when nothing is below it.
pub(crate) fn page(directory: &str, files: impl Iterator<Item = (String, u64)>) -> Option<String> {
    let mut entries: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for (path, len) in files {
        match path.strip_prefix(directory).map(|rest| rest.split_once('/').ok_or(rest)) {
            Some(Ok((name, _))) => entries.insert(format!("{name}/"), None),
            Some(Err(name)) => entries.insert(name.to_owned(), Some(len)),
            None => continue,
        };
    }
    if entries.is_empty() {
        return None;
    }
    let title = escaped(directory);
    let mut page = format!(
        "<html>\r\n<head><title>Index of /{title}</title></head>\r\n<body>\r\n<h1>Index of /{title}</h1><hr><pre><a href=\"../\">../</a>\r\n"
    );
    for (name, len) in entries {
        let size = len.map_or_else(|| "-".to_owned(), |len| len.to_string());
        let pad = 51_usize.saturating_sub(name.chars().count());
        let (href, name) = (encoded(&name), escaped(&name));
        let line = format!("<a href=\"{href}\">{name}</a>{:pad$}01-Jan-2026 00:00 {size:>19}\r\n", "");
        page.push_str(&line);
    }
    page.push_str("</pre><hr></body>\r\n</html>\r\n");
    Some(page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/=".contains(&byte);
    let letter = |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(letter).collect()
}
