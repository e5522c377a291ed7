//! Which paths are inside the root.
//! It refuses to touch the disk: a path is judged by its text, links are refused where the path is opened.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The path with its plain components only; empty means the root.
///
/// Absolute paths, `..` and zero bytes are `InvalidInput`: none of them can name something inside the root.
pub(crate) fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::with_capacity(path.as_os_str().len());
    for component in path.components() {
        match component {
            Component::Normal(name) if name.as_bytes().contains(&0) => {
                return Err(invalid("a name holds a zero byte"));
            }
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err(invalid("`..` would leave the root")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(invalid("the path is not relative to the root"));
            }
        }
    }
    Ok(clean)
}

/// The directory that holds the entry, and the entry's name. The root has neither and is `InvalidInput`.
pub(crate) fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(invalid("the root itself cannot be made, moved or removed")),
    }
}

pub(crate) fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_inside_keeps_its_plain_components_only() {
        for (given, clean) in
            [("a/b", "a/b"), ("./a//b/.", "a/b"), ("a/", "a"), ("", ""), (".", ""), ("...", "...")]
        {
            assert_eq!(inside(Path::new(given)).unwrap(), Path::new(clean), "{given:?}");
        }
    }

    #[test]
    fn a_path_that_may_leave_the_root_is_refused() {
        for given in ["..", "a/../b", "a/..", "/", "/a", "a\0b"] {
            assert_eq!(
                inside(Path::new(given)).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{given:?}"
            );
        }
    }
}
