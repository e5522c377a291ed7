//! How long it takes until another process has a record that was appended.
//! Refuses to follow within one process: that is another, easier thing.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use rtrans::Level;

use super::fresh;
use crate::Outcome;
use crate::args::Options;
use crate::machine::{Running, nanoseconds, remove_dir};
use crate::records::{RECORD_BYTES, random_numbers};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_2, Loghold, TYPE};

const P50: &str = "append to another process, p50";
const P99: &str = "append to another process, p99";
const BASE: &str = "raw file, polled each 1 ms";

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let count = options.scaled(1_024).min(1_024);
    let pauses: Vec<Duration> = random_numbers(count, 2_000)
        .into_iter()
        .map(|microseconds| Duration::from_micros(1_000 + microseconds))
        .collect();
    for round in 0..options.shared.rounds {
        let dir = fresh(options)?;
        let path = dir.join("file");
        let mut file = File::create(&path)?;
        let follower = Running::role("follow-file", &[&path.to_string_lossy(), &count.to_string()])?;
        put(sheet, round, BASE, timed(follower, &pauses, |bytes| Ok(file.write_all(bytes)?)));

        let dir = fresh(options)?;
        let log = Loghold::format_2().log(&dir)?;
        let follower = Running::role("follow-log", &[&dir.to_string_lossy(), &count.to_string()])?;
        let result = timed(follower, &pauses, |bytes| {
            log.append_at(Level::Os, TYPE, bytes)?;
            Ok(())
        });
        put(sheet, round, FORMAT_2, result);
    }
    sheet.beside(P50, P50, BASE);
    sheet.beside(P99, P99, BASE);
    sheet.goal("G16", (P50, FORMAT_2), Bound::AtMost(0.15));
    sheet.remark("handed to the system, not synced; the time is taken before the append, and when the other process has the bytes");
    remove_dir(&super::place(options))
}

fn put(sheet: &mut Sheet, round: usize, who: &str, result: Outcome<(f64, f64)>) {
    match result {
        Ok((p50, p99)) => {
            sheet.put(round, P50, who, "us", p50);
            sheet.put(round, P99, who, "us", p99);
        }
        Err(error) => sheet.remark(format!("{who}: {error}")),
    }
}

/// Appends with pauses, and asks the follower what it saw: the middle, and the 99th of 100, in microseconds.
fn timed(
    mut follower: Running,
    pauses: &[Duration],
    mut append: impl FnMut(&[u8]) -> Outcome<()>,
) -> Outcome<(f64, f64)> {
    if follower.line()? != "ready" {
        return Err("the follower did not start".into());
    }
    let mut record = [7; RECORD_BYTES];
    for pause in pauses {
        std::thread::sleep(*pause);
        if let Some(head) = record.first_chunk_mut::<8>() {
            *head = nanoseconds().to_le_bytes();
        }
        append(&record)?;
    }
    let said = follower.end()?;
    let (p50, p99) = said.split_once(' ').ok_or("the follower said nothing")?;
    Ok((p50.parse::<f64>()? / 1e3, p99.parse::<f64>()? / 1e3))
}
