//! What the benches of the log ask of the machine: space, times, and cores that are busy.
//! Refuses anything that is not Linux.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

pub(crate) use bench_kit::child::Running;
pub(crate) use bench_kit::machine::{cores, find_program, fresh_dir, remove_dir, seconds_since};

use crate::Outcome;

/// What the files of a directory take: their lengths, and their blocks, both in bytes.
pub(crate) fn space(dir: &Path) -> Outcome<(u64, u64)> {
    let (mut lengths, mut blocks) = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let (more_lengths, more_blocks) = space(&entry.path())?;
            lengths += more_lengths;
            blocks += more_blocks;
        } else {
            lengths += metadata.len();
            blocks += metadata.blocks() * 512;
        }
    }
    Ok((lengths, blocks))
}

/// Removes the files of more than a mebibyte from a directory, at any depth.
pub(crate) fn remove_large(dir: &Path) -> Outcome<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            remove_large(&entry.path())?;
        } else if metadata.len() > 1 << 20 {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// How many files of a directory have names that begin so, at any depth.
pub(crate) fn count_files(dir: &Path, prefix: &str) -> Outcome<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count += count_files(&entry.path(), prefix)?;
        } else if entry.file_name().to_string_lossy().starts_with(prefix) {
            count += 1;
        }
    }
    Ok(count)
}

/// Nanoseconds since 1970, by the clock that all processes share.
pub(crate) fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The value below which `share` of the values lie. They are sorted on the way.
pub(crate) fn percentile(values: &mut [u32], share: f64) -> f64 {
    values.sort_unstable();
    let place = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(place).map_or(f64::NAN, |&value| f64::from(value))
}

/// Keeps every core busy with some programs each until it is dropped.
#[derive(Debug)]
pub(crate) struct Burners {
    _children: Vec<Running>,
}

impl Burners {
    pub(crate) fn start(for_each_core: usize) -> Outcome<Burners> {
        let children =
            (0..cores() * for_each_core).map(|_| Running::role("burn", &[])).collect::<Outcome<Vec<_>>>()?;
        // The scheduler takes a moment to see that they are no short-lived programs.
        std::thread::sleep(Duration::from_millis(200));
        Ok(Burners { _children: children })
    }
}
