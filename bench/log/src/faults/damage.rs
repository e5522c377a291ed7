//! What is done to files: copies, the places where records lie, a flipped bit, a cut.
//! Refuses to know any engine's format: a record is found by its bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::content::{BYTES, MARK, number_of};
use crate::Outcome;
use crate::machine::remove_dir;

/// No engine writes 1,000 records beyond this many bytes of a file.
const SEARCH_BYTES_MAX: usize = 64 << 20;

/// Where the records lie: in which file, and at which offsets by their numbers.
#[derive(Debug)]
pub(super) struct Places {
    /// The file, relative to the directory.
    pub(super) file: PathBuf,
    pub(super) offsets: BTreeMap<u64, u64>,
}

impl Places {
    /// Finds the file that holds most records.
    pub(super) fn find(dir: &Path) -> Outcome<Places> {
        let mut best: Option<Places> = None;
        for path in files(dir)? {
            let offsets = search(&path)?;
            if best.as_ref().is_none_or(|best| best.offsets.len() < offsets.len()) {
                best = Some(Places { file: path.strip_prefix(dir)?.to_owned(), offsets });
            }
        }
        best.filter(|best| best.offsets.len() > 1).ok_or_else(|| "no file holds the records".into())
    }

    /// The first byte of the first record, and the end of the last.
    pub(super) fn extent(&self) -> (u64, u64) {
        let begin = self.offsets.values().min().copied().unwrap_or_default();
        let end = self.offsets.values().max().copied().unwrap_or_default();
        (begin, end + BYTES as u64)
    }
}

fn files(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.append(&mut files(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Where each record lies for the last time.
fn search(path: &Path) -> Outcome<BTreeMap<u64, u64>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len())?.min(SEARCH_BYTES_MAX);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    let mut offsets = BTreeMap::new();
    for (offset, window) in bytes.windows(BYTES).enumerate() {
        if window.first() == MARK.first() && window.starts_with(&MARK) {
            offsets.insert(number_of(window), offset as u64);
        }
    }
    Ok(offsets)
}

/// Makes a copy of a directory, holes included.
pub(super) fn copy(from: &Path, to: &Path) -> Outcome<()> {
    remove_dir(to)?;
    let done = Command::new("cp").args(["-a", "--sparse=auto"]).arg(from).arg(to).status()?;
    if done.success() { Ok(()) } else { Err("cp failed".into()) }
}

/// Flips one bit.
pub(super) fn flip(path: &Path, offset: u64, bit: u32) -> Outcome<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&byte.map(|byte| byte ^ (1 << (bit % 8))), offset)?;
    Ok(())
}

/// Cuts a file.
pub(super) fn cut(path: &Path, length: u64) -> Outcome<()> {
    Ok(File::options().write(true).open(path)?.set_len(length)?)
}
