//! The list of files that a command is given: a JSON file in the data directory, and a variable where it fits.
//! Refuses to cut a list: one that is too long for a variable is not in it at all.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use data_manager::data_manager::DataManagerImpl;
use host::Disk;

use crate::exit::{Exit, Failure, Outcome};
use crate::selection::FileReport;

/// Linux takes 128 KiB for one variable with its name, and all of them share the room with the arguments.
const VARIABLE_BYTES_MAX: usize = 96 << 10;

/// Where the lists lie in a data directory: one for each lease, with its name.
const LISTS: &str = ".lists";

/// The list; its file is removed when it is dropped. What a kill leaves is removed by the next command, once its lease is over.
#[derive(Debug)]
pub(crate) struct FileList {
    disk: Disk,
    /// Below the data directory.
    path: PathBuf,
    /// One path a line; `None` when that is too long, or a path has a line feed in it.
    lines: Option<OsString>,
}

impl FileList {
    /// Writes the list of a lease into a data directory. The caller has the hold open, so that nobody sweeps meanwhile.
    pub(crate) fn write(data_dir: &Path, lease: &str, files: &[FileReport]) -> Outcome<FileList> {
        let path = Path::new(LISTS).join(format!("{lease}.json"));
        let failed = |error: &io::Error| {
            let shown = data_dir.join(&path);
            let failure = Failure::io(format_args!("writing the list of files, {}", shown.display()), error);
            // What is not found is no chunk.
            let exit = if failure.exit == Exit::NotFound { Exit::Error } else { failure.exit };
            Failure { exit, ..failure }
        };
        let mut bytes = serde_json::to_vec_pretty(files).map_err(|error| failed(&error.into()))?;
        bytes.push(b'\n');
        let disk = Disk::open(data_dir).map_err(|error| failed(&error))?;
        match disk.create_dir(Path::new(LISTS)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&error)),
            _ => {}
        }
        let file = disk.create_file(&path).map_err(|error| failed(&error))?;
        let list = FileList { disk, path: path.clone(), lines: lines_of(files) };
        file.write_all_at(&bytes, 0).map_err(|error| failed(&error))?;
        Ok(list)
    }

    /// Whether the variable is not there: for its length, or for a path that takes two lines.
    pub(crate) fn is_in_file_alone(&self) -> bool {
        self.lines.is_none()
    }

    /// `None` unsets one that may come from an outer run.
    pub(crate) fn variables(&self) -> Vec<(&'static str, Option<OsString>)> {
        let path = self.disk.root().join(&self.path);
        vec![("LOGHOLD_FILES", self.lines.clone()), ("LOGHOLD_FILES_JSON", Some(path.into_os_string()))]
    }
}

impl Drop for FileList {
    fn drop(&mut self) {
        // One that somebody else removed is gone as it should be.
        drop(self.disk.remove_file(&self.path));
    }
}

/// Removes the lists of leases that are over: those of runs that were killed. The hold is open, so that no list is being written
/// whose lease is not known.
///
/// A list that cannot be removed stays for the next command: nobody is kept from anything by it.
pub(crate) fn sweep(hold: &DataManagerImpl, data_dirs: &[PathBuf]) {
    let lists = Path::new(LISTS);
    for disk in data_dirs.iter().filter_map(|dir| Disk::open(dir).ok()) {
        let Ok(entries) = disk.list(lists) else { continue };
        let leases = hold.leases();
        for entry in entries {
            let is_held = leases.iter().any(|status| *format!("{}.json", status.lease.name) == *entry.name);
            if !is_held {
                drop(disk.remove_file(&lists.join(&entry.name)));
            }
        }
    }
}

fn lines_of(files: &[FileReport]) -> Option<OsString> {
    let mut lines = OsString::new();
    for file in files {
        let path: &OsStr = file.exact_path.as_os_str();
        if path.as_encoded_bytes().contains(&b'\n') || lines.len() + path.len() >= VARIABLE_BYTES_MAX {
            return None;
        }
        if !lines.is_empty() {
            lines.push("\n");
        }
        lines.push(path);
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::chunk::report::BlocksReport;
    use crate::path_report::PathReport;

    fn file(path: &str) -> FileReport {
        FileReport {
            path: PathReport::new(path.as_ref()),
            name: "blocks.parquet".to_string(),
            chunk: String::new(),
            block_range: BlocksReport { start: 0, end: 1 },
            lease: None,
            exact_path: path.into(),
        }
    }

    #[test]
    fn a_list_is_one_path_a_line_or_not_there() {
        assert_eq!(lines_of(&[file("/a b"), file("/c")]), Some("/a b\n/c".into()));
        assert_eq!(lines_of(&[file("/a\nb")]), None);
        let long: Vec<FileReport> = (0..VARIABLE_BYTES_MAX / 4).map(|_| file("/abc")).collect();
        assert_eq!(lines_of(&long), None);
    }
}
