//! What the benches ask of the machine: CPU time, memory, syncs.
//! Refuses anything that is not Linux.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use bench_kit::machine::{free_port, fresh_dir, remove_dir};

/// Ticks of CPU time in a second; Linux shows 100 to programs whatever it counts with.
const TICKS_PER_SECOND: f64 = 100.0;

fn stat_fields(path: &str) -> Vec<f64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // The name of the program stands in parentheses and may hold anything.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect()
}

fn seconds(fields: &[f64], at: usize) -> f64 {
    let sum: f64 = fields.iter().skip(at).take(2).sum();
    sum / TICKS_PER_SECOND
}

/// CPU seconds of this process.
pub(crate) fn own_cpu() -> f64 {
    seconds(&stat_fields("/proc/self/stat"), 11)
}

/// CPU seconds of the children that have ended and been waited for.
pub(crate) fn children_cpu() -> f64 {
    seconds(&stat_fields("/proc/self/stat"), 13)
}

/// Resident memory of this process in bytes.
pub(crate) fn resident_bytes() -> u64 {
    kilobytes("/proc/self/status", "VmRSS:") * 1024
}

/// Memory that can be taken without swapping, in bytes.
pub(crate) fn available_bytes() -> u64 {
    kilobytes("/proc/meminfo", "MemAvailable:") * 1024
}

/// How many files and directories can still be made on the file system of a directory.
pub(crate) fn free_inodes(dir: &Path) -> u64 {
    // A file system that does not count them says that there are none at all.
    rustix::fs::statvfs(dir).map_or(0, |stat| if stat.f_files == 0 { u64::MAX } else { stat.f_favail })
}

fn kilobytes(path: &str, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Waits until this process has been idle for a moment, so that background work does not count.
pub(crate) fn wait_until_idle() {
    let step = Duration::from_millis(500);
    let mut before = own_cpu();
    let mut calm = 0;
    while calm < 2 {
        std::thread::sleep(step);
        let now = own_cpu();
        calm = if now - before <= 0.02 { calm + 1 } else { 0 };
        before = now;
    }
}

/// Makes durable whatever lies on the file system of a directory.
pub(crate) fn sync_file_system(dir: &Path) -> io::Result<()> {
    let file = fs::File::open(dir)?;
    rustix::fs::syncfs(&file)?;
    Ok(())
}

/// Milliseconds since `begin`.
pub(crate) fn ms_since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}
