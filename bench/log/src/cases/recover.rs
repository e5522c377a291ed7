//! Opening what a killed process has left: how many records are validated in a second.
//! Refuses a log that was closed: for that there is nothing to recover.

use std::time::Instant;

use rtrans::{Log, Options as LogOptions, Parameters};

use super::fresh;
use crate::Outcome;
use crate::args::Options;
use crate::machine::{Running, remove_dir, seconds_since};
use crate::raw::Laid;
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::FORMAT_2;
use crate::rivals::{Ability, Purpose, all};

const WHAT: &str = "records validated while opening";
const CHECK: &str = "records validated by a check";
const BASE: &str = "raw validating, memory";

/// Bytes for each record in one file that takes all of them, so that all are validated, and little room behind them.
const FILE_BYTES_EACH: u64 = 142;

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let count = options.scaled(1_000_000);
    let laid = Laid::new(&records, count);
    for round in 0..options.shared.rounds {
        sheet.attempt(round, (WHAT, BASE, "1/s"), || laid.validate());
        sheet.attempt(round, (WHAT, "raw validating, file", "1/s"), || {
            let raw = fresh(options)?.join("raw");
            laid.write(&raw)?;
            Laid::validate_file(&raw)
        });
        ours(options, sheet, round, count);
        for rival in all(options, Ability::Reopen) {
            sheet.attempt(round, (WHAT, rival.name(), "1/s"), || {
                let dir = fresh(options)?;
                let mut peer = rival.open(&dir, Purpose::Buffered)?;
                peer.fill(&records, count)?;
                drop(peer);
                let begin = Instant::now();
                let peer = rival.open(&dir, Purpose::Buffered)?;
                let seconds = seconds_since(begin);
                match peer.found()? {
                    found if found == count => Ok(found as f64 / seconds),
                    found => Err(format!("found {found} of {count}").into()),
                }
            });
        }
    }
    sheet.beside(WHAT, WHAT, BASE);
    sheet.beside(CHECK, WHAT, BASE);
    sheet.goal("G12", (WHAT, FORMAT_2), Bound::AtLeast(0.8));
    sheet.remark("the rivals were closed, not killed; raft-engine reads the heads of its batches; commitlog and redb validate nothing");
    remove_dir(&super::place(options))
}

fn ours(options: &Options, sheet: &mut Sheet, round: usize, count: u64) {
    let mut opened = 0.0;
    sheet.attempt(round, (WHAT, FORMAT_2, "1/s"), || {
        let dir = fresh(options)?;
        let path = dir.to_string_lossy();
        let bytes = (count * FILE_BYTES_EACH + (1 << 20)).next_multiple_of(4096).to_string();
        let child = Running::role("fill-and-die", &[&path, &count.to_string(), &bytes])?;
        child.end()?;
        let begin = Instant::now();
        let log = Log::open(&dir, LogOptions::default())?;
        opened = seconds_since(begin);
        let found = log.reader().last().map_or(0, rtrans::TransId::get);
        if found < count {
            return Err(format!("found {found} of {count}").into());
        }
        Ok(found as f64 / opened)
    });
    sheet.put(round, "time to open", FORMAT_2, "ms", opened * 1e3);
    sheet.attempt(round, (CHECK, FORMAT_2, "1/s"), || {
        let begin = Instant::now();
        let findings = rtrans::check(super::place(options))?;
        let seconds = seconds_since(begin);
        if findings.records < count {
            return Err(format!("checked {} of {count}", findings.records).into());
        }
        Ok(count as f64 / seconds)
    });
}

/// Parameters with one large file.
pub(crate) fn one_file(bytes: u64) -> Parameters {
    Parameters { max_size_data_file: bytes, ..Parameters::format_2() }
}
