//! Input that the user names: files and stdin, read whole up to a bound.
//! Refuses what is longer, before it fills the memory.

use std::io::{self, Read};
use std::path::Path;

use crate::exit::{Failure, Outcome};

/// Reads a file, or stdin where the path is `-`.
pub(crate) fn read_input(path: &Path, bytes_max: usize) -> Outcome<Vec<u8>> {
    let shown = shown(path);
    let bytes = if path.as_os_str() == "-" {
        read_bounded(io::stdin().lock(), bytes_max)
    } else {
        open(path).and_then(|file| read_bounded(file, bytes_max))
    };
    let bytes = bytes.map_err(|error| Failure::io(format!("reading {shown}"), &error))?;
    if bytes.len() > bytes_max {
        return Err(Failure::usage(format!("{shown} is longer than {} MiB", bytes_max >> 20)));
    }
    Ok(bytes)
}

/// How a path is called in messages.
pub(crate) fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "stdin".to_string() } else { path.display().to_string() }
}

#[expect(clippy::disallowed_methods, reason = "the user's own file is no part of the hold's disk")]
fn open(path: &Path) -> io::Result<std::fs::File> {
    std::fs::File::open(path)
}

/// One byte more than allowed is read, so that the caller sees what is too long.
fn read_bounded(reader: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
