//! Opening a log of 64 files and one of 2: the time must not grow with the log.
//! Refuses to open an empty one.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rtrans::{Level, Log, Options as LogOptions};

use super::fresh;
use crate::Outcome;
use crate::args::Options;
use crate::machine::{remove_dir, seconds_since};
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_2, Loghold, TYPE, fill};

const CLOSED: [(&str, usize); 2] = [("open, closed, 2 files", 2), ("open, closed, 64 files", 64)];
const KILLED: [(&str, usize); 2] = [("open, not closed, 2 files", 2), ("open, not closed, 64 files", 64)];

/// How many records are appended between two looks at the last file: what it holds at most too many.
const STEP: u64 = 1_024;

/// Records that the last file holds: a quarter of it. They are what a start reads.
const LAST: u64 = 32_768;

/// How often a closed log is opened in a round, of which the median counts: one takes no longer than a sync may hang.
const OPENS: usize = 9;

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let dir = fresh(options)?;
    for round in 0..options.shared.rounds {
        for (what, files) in CLOSED {
            let place = filled(&dir, files, &records)?;
            sheet.attempt(round, (what, FORMAT_2, "ms"), || {
                let mut times = (0..OPENS).map(|_| timed_open(&place)).collect::<Outcome<Vec<f64>>>()?;
                times.sort_by(f64::total_cmp);
                times.get(OPENS / 2).copied().ok_or_else(|| "nothing was opened".into())
            });
        }
        for (what, files) in KILLED {
            let place = filled(&dir, files, &records)?;
            // Reads beside a running writer see what a crash would leave; its copy is a log that was not closed.
            sheet.attempt(round, (what, FORMAT_2, "ms"), || {
                let log = Log::open(&place, LogOptions::default())?;
                log.append_at(Level::Os, TYPE, records.get(0))?;
                let copy = dir.join("copy");
                remove_dir(&copy)?;
                copy_tree(&place, &copy)?;
                drop(log);
                timed_open(&copy)
            });
        }
    }
    let [(few, _), (many, _)] = CLOSED;
    sheet.beside(many, few, FORMAT_2);
    sheet.goal("G13", (many, FORMAT_2), Bound::AtMost(1.5));
    let [(few, _), (many, _)] = KILLED;
    sheet.beside(many, few, FORMAT_2);
    sheet.goal("G13", (many, FORMAT_2), Bound::AtMost(1.5));
    remove_dir(&dir)
}

/// A closed log with this many data files, the last of them a quarter full, however many there are. It is made once.
fn filled(dir: &Path, files: usize, records: &Records) -> Outcome<PathBuf> {
    let place = dir.join(files.to_string());
    if place.exists() {
        return Ok(place);
    }
    let log = Loghold::format_2().log(&place)?;
    let last = place.join(format!("0/data.{}", files - 1));
    while !is_begun(&last)? {
        fill(&log, records, STEP)?;
        log.sync()?;
    }
    fill(&log, records, LAST)?;
    log.sync()?;
    log.close()?;
    Ok(place)
}

/// Whether a data file has a head: one that is only prepared is zeros, or empty for a moment.
fn is_begun(path: &Path) -> Outcome<bool> {
    match File::open(path) {
        Ok(mut file) => {
            let mut first = [0];
            Ok(file.read(&mut first)? == 1 && first != [0])
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn timed_open(place: &Path) -> Outcome<f64> {
    let begin = Instant::now();
    let log = Log::open(place, LogOptions::default())?;
    let milliseconds = seconds_since(begin) * 1e3;
    if log.reader().last().is_none() {
        return Err("the log is empty".into());
    }
    log.close()?;
    Ok(milliseconds)
}

fn copy_tree(from: &Path, to: &Path) -> Outcome<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
