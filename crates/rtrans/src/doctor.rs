//! The doctor: measures what a sync costs in a directory, and whether it does anything at all.
//! Refuses to promise: a disk that answers slowly may still lie, one that answers at once surely does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::{Clock, Disk, File};

use crate::beside::expect_dir;
use crate::error::Error;

/// The file that is written and removed again.
const TRIAL: &str = ".doctor-trial";

/// Writes of each kind: the highest of a hundred is the 99th percentile, and it takes a second on a slow disk.
const TRIALS: u64 = 100;

/// What is written and synced each time: a group commit of one small record.
const SMALL_BYTES: usize = 4096;

/// Written to see whether syncs of more take longer.
const LARGE_BYTES: usize = 4 << 20;

/// No device makes a write durable in less.
const FLUSH_MIN: Duration = Duration::from_micros(20);

/// File systems that keep nothing over a power cut, as the kernel names them.
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];

/// What was measured in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The directory.
    pub path: PathBuf,
    /// What the kernel calls its file system, such as `ext4`; `other` for one that is not known.
    pub file_system: String,
    /// A write into a place that was written before, and its sync: what an append costs.
    pub overwrite: Sample,
    /// A write at the end of a file that grows with it, and its sync: what an append would cost in a growing file.
    pub extend: Sample,
    /// A write of 4 MiB, and its sync.
    pub large: Sample,
    /// What is wrong with the directory as a place for a log.
    pub warnings: Vec<String>,
}

/// How long something took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Half of the times were shorter.
    pub p50: Duration,
    /// All but one of a hundred were shorter.
    pub p99: Duration,
    /// The shortest: what it takes when nobody else is in the way.
    pub min: Duration,
}

/// Measures a directory, which has to be there; a file is written into it and removed. It takes about a second.
///
/// # Errors
/// [`Error::Io`], [`Error::DiskFull`].
pub fn measure(dir: impl AsRef<Path>) -> Result<Report, Error> {
    let dir = dir.as_ref();
    expect_dir(dir)?;
    let disk = Disk::open(dir)?;
    let trial = Path::new(TRIAL);
    // Left behind by a doctor that was killed.
    remove(&disk, trial)?;
    let file = disk.create_file(trial)?;
    let measured = measure_file(&file, &Clock::system());
    drop(file);
    remove(&disk, trial)?;
    let (overwrite, extend, large) = measured?;
    let file_system = disk.file_system()?.to_owned();
    let warnings = warnings(&file_system, overwrite, large);
    Ok(Report { path: disk.root().to_owned(), file_system, overwrite, extend, large, warnings })
}

fn remove(disk: &Disk, path: &Path) -> Result<(), Error> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn measure_file(file: &File, clock: &Clock) -> Result<(Sample, Sample, Sample), Error> {
    // No run of equal bytes: some devices pass over those.
    let numbers = (0..LARGE_BYTES as u64 / 8).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
    let small = bytes.get(..SMALL_BYTES).unwrap_or_default();
    let time = |bytes: &[u8], offset: u64| -> Result<Duration, Error> {
        let began = clock.monotonic();
        file.write_all_at(bytes, offset)?;
        file.sync()?;
        Ok(clock.monotonic().saturating_sub(began))
    };
    let extend = sample((0..TRIALS).map(|number| time(small, number.saturating_mul(SMALL_BYTES as u64))))?;
    let overwrite = sample((0..TRIALS).map(|number| time(small, number.saturating_mul(SMALL_BYTES as u64))))?;
    time(&bytes, 0)?;
    let large = sample((0..TRIALS / 10).map(|_| time(&bytes, 0)))?;
    Ok((overwrite, extend, large))
}

fn sample(times: impl Iterator<Item = Result<Duration, Error>>) -> Result<Sample, Error> {
    let mut times = times.collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    let at = |part: usize| times.get(times.len().saturating_sub(1).saturating_mul(part) / 100);
    let [min, p50, p99] = [0, 50, 99].map(|part| at(part).copied().unwrap_or_default());
    Ok(Sample { p50, p99, min })
}

fn warnings(file_system: &str, overwrite: Sample, large: Sample) -> Vec<String> {
    let mut warnings = Vec::new();
    if VOLATILE.contains(&file_system) {
        warnings
            .push(format!("{file_system} lies in memory: nothing here survives a restart of the machine"));
        return warnings;
    }
    if overwrite.p50 < FLUSH_MIN {
        warnings.push(format!(
            "a sync takes {:?}, which is too short to be true: the volume ignores flushes, and a power cut takes what was \
             called durable{}",
            overwrite.p50,
            if file_system == "overlay" { " (an overlay may be mounted `volatile`)" } else { "" }
        ));
    } else if large.min < overwrite.min.saturating_add(FLUSH_MIN) {
        warnings.push(format!(
            "writing and syncing 4 MiB takes {:?} at best, hardly longer than 4 KiB ({:?}): something may call durable what only its \
             memory has",
            large.min, overwrite.min
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_of(micros: u64) -> Sample {
        let time = Duration::from_micros(micros);
        Sample { p50: time, p99: time, min: time }
    }

    #[test]
    fn a_volume_that_ignores_flushes_is_warned_of() {
        assert!(warnings("ext4", sample_of(900), sample_of(4000)).is_empty());
        assert!(warnings("ext4", sample_of(5), sample_of(400))[0].contains("ignores flushes"));
        assert!(warnings("overlay", sample_of(5), sample_of(400))[0].contains("volatile"));
        assert!(warnings("ext4", sample_of(900), sample_of(905))[0].contains("hardly longer"));
        assert!(warnings("tmpfs", sample_of(2), sample_of(400))[0].contains("tmpfs lies in memory"));
    }

    #[test]
    fn percentiles_are_taken_from_the_sorted_times() {
        let times = (1..=100).rev().map(|micros| Ok(Duration::from_micros(micros)));
        let [min, p50, p99] = [1, 50, 99].map(Duration::from_micros);
        assert_eq!(sample(times).unwrap(), Sample { p50, p99, min });
    }
}
