//! What this program does as a child of itself: it follows, it burns, it dies.
//! Refuses to outlive its parent's patience: the parent kills it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rtrans::{Log, Options, Reader, TransId};
use rustix::process::{Signal, getpid, kill_process};

use crate::Outcome;
use crate::cases;
use crate::machine::{nanoseconds, percentile};
use crate::records::{RECORD_BYTES, Records};
use crate::rivals::loghold::fill;

/// Runs a role.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Outcome<()> {
    match (name, arguments) {
        ("burn", []) => burn(),
        ("follow-file", [path, count]) => follow_file(Path::new(path), count.parse()?),
        ("follow-log", [dir, count]) => follow_log(Path::new(dir), count.parse()?),
        ("fill-and-die", [dir, count, bytes]) => fill_and_die(Path::new(dir), count.parse()?, bytes.parse()?),
        _ => Err(format!("there is no role {name}").into()),
    }
}

/// Keeps a core busy for as long as it may.
fn burn() -> Outcome<()> {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        if number == 0 {
            return Ok(());
        }
    }
}

/// Looks at a file each millisecond.
fn follow_file(path: &Path, count: usize) -> Outcome<()> {
    let file = File::open(path)?;
    println!("ready");
    let mut latencies = Vec::with_capacity(count);
    let mut record = [0; RECORD_BYTES];
    let mut offset = 0;
    while latencies.len() < count {
        if file.read_at(&mut record, offset)? == RECORD_BYTES {
            note(&mut latencies, &record);
            offset += RECORD_BYTES as u64;
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    tell(&mut latencies);
    Ok(())
}

/// Follows a log that another process writes.
fn follow_log(dir: &Path, count: usize) -> Outcome<()> {
    let reader = Reader::open(dir)?;
    let mut latencies = Vec::with_capacity(count);
    let mut follow = reader.follow(TransId::FIRST);
    println!("ready");
    while latencies.len() < count {
        let Some(record) = follow.next() else { return Err("the log ended".into()) };
        note(&mut latencies, &record?.bytes);
    }
    tell(&mut latencies);
    Ok(())
}

fn note(latencies: &mut Vec<u32>, record: &[u8]) {
    let appended = record.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
    latencies.push(u32::try_from(nanoseconds().saturating_sub(appended)).unwrap_or(u32::MAX));
}

fn tell(latencies: &mut [u32]) {
    println!("{} {}", percentile(latencies, 0.5), percentile(latencies, 0.99));
}

/// Fills a log, and ends as a crash would.
fn fill_and_die(dir: &Path, count: u64, bytes: u64) -> Outcome<()> {
    let options = Options { parameters: Some(cases::one_file(bytes)), ..Options::default() };
    let log = Log::open(dir, options)?;
    fill(&log, &Records::new(RECORD_BYTES), count)?;
    // Else the next start syncs what is left, and the time of that is the disk's.
    log.sync()?;
    kill_process(getpid(), Signal::KILL)?;
    Ok(())
}
