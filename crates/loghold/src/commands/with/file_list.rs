//! The list of files that a command is given: a JSON file beside, and a variable where it fits.
//! Refuses to cut a list: one that is too long for a variable is not in it at all.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::exit::{Exit, Failure, Outcome};
use crate::selection::{FileReport, made_up_name};

/// Linux takes 128 KiB for one variable with its name, and all of them share the room with the arguments.
const VARIABLE_BYTES_MAX: usize = 96 << 10;

/// The list; its file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct FileList {
    path: PathBuf,
    /// One path a line; `None` when that is too long, or a path has a line feed in it.
    lines: Option<OsString>,
}

impl FileList {
    /// Writes the list where only this user reads it.
    pub(crate) fn write(files: &[FileReport]) -> Outcome<FileList> {
        let path = std::env::temp_dir().join(format!("{}.json", made_up_name("loghold-files")));
        let failed = |error: &io::Error| {
            let Failure { exit, message, .. } =
                Failure::io(format_args!("writing the list of files, {}", path.display()), error);
            // What is not found is no chunk.
            let exit = if exit == Exit::NotFound { Exit::Error } else { exit };
            Failure::new(exit, message).hint("TMPDIR names the directory for it")
        };
        let mut file = create(&path).map_err(|error| failed(&error))?;
        let list = FileList { path: path.clone(), lines: lines_of(files) };
        serde_json::to_writer_pretty(&mut file, files)
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .map_err(|error| failed(&error))?;
        Ok(list)
    }

    pub(crate) fn is_too_long(&self) -> bool {
        self.lines.is_none()
    }

    /// `None` unsets one that may come from an outer run.
    pub(crate) fn variables(&self) -> Vec<(&'static str, Option<OsString>)> {
        vec![
            ("LOGHOLD_FILES", self.lines.clone()),
            ("LOGHOLD_FILES_JSON", Some(self.path.clone().into_os_string())),
        ]
    }
}

impl Drop for FileList {
    #[expect(clippy::disallowed_methods, reason = "our own file in the directory for such files")]
    fn drop(&mut self) {
        // One that somebody else removed is gone as it should be.
        drop(std::fs::remove_file(&self.path));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the list is no part of the hold's disk, and goes with the run"
)]
fn create(path: &std::path::Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
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
