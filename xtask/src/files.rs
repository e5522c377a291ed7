//! The files of the project as git sees them: tracked, and new ones that are not ignored.
//! Refuses to judge them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longer files are data, not text that a rule is about.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
}

/// Every file of the project by its path from the root, with `/` between the parts.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The text of a file; `None` for one that is too long or not UTF-8.
    pub(crate) files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads the tree below `root`, which must be a git working copy.
    pub(crate) fn load(root: &Path) -> Result<Tree, String> {
        let listing = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .map_err(|error| format!("git cannot be run: {error}"))?;
        if !listing.status.success() {
            return Err(format!("git ls-files failed: {}", String::from_utf8_lossy(&listing.stderr).trim()));
        }
        let mut tree = Tree::default();
        for path in String::from_utf8_lossy(&listing.stdout).split('\0').filter(|path| !path.is_empty()) {
            // A file that git still lists but that is gone from the disk is about to be removed.
            let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
            let text = Some(bytes).filter(|bytes| bytes.len() <= TEXT_BYTES_MAX);
            tree.files.insert(path.to_owned(), text.and_then(|bytes| String::from_utf8(bytes).ok()));
        }
        Ok(tree)
    }

    /// The text files, in order of path.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), Some((*text).to_owned()));
        Tree { files: files.iter().map(owned).collect() }
    }
}

/// The text of one file, or `None` when it cannot be read.
pub(crate) fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The names in a directory, sorted; none when it is missing.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Removes a directory with all that is in it; a missing one is as good.
pub(crate) fn remove(directory: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a small text file.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
