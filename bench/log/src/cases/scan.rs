//! Reading everything in order, and only the records of one type of 100.
//! Refuses to take a count on trust: who returns fewer records than there are has failed.

use std::time::Instant;

use rtrans::{Level, Log, TypeNo};

use super::{filled, fresh};
use crate::Outcome;
use crate::args::Options;
use crate::machine::{remove_dir, seconds_since};
use crate::raw::Laid;
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_2, Loghold, scan_batches};
use crate::rivals::{Ability, Rival, all};

const FULL: &str = "scan";
const BASE: &str = "raw memcpy + CRC";
const TYPES: u64 = 100;

/// How many records of one type follow one another where they come in runs.
const RUN: u64 = 4_096;

const TYPED_RUNS: &str = "1 type of 100, runs of 4,096";
const TYPED_MIXED: &str = "1 type of 100, one by one";
const TYPED_NONE: &str = "a type that is not there";

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let count = options.scaled(1_000_000);
    let dir = fresh(options)?;
    full(options, sheet, (&records, count))?;
    typed(options, sheet, (&records, count))?;
    remove_dir(&dir)
}

fn full(options: &Options, sheet: &mut Sheet, (records, count): (&Records, u64)) -> Outcome<()> {
    let dir = super::place(options);
    let laid = Laid::new(records, count);
    let raw = dir.join("raw");
    laid.write(&raw)?;
    let mut contestants: Vec<Box<dyn Rival>> =
        vec![Box::new(Loghold::format_2()), Box::new(Loghold::format_1())];
    contestants.extend(all(options, Ability::Scan));
    let mut peers = filled(sheet, &contestants, &dir, (records, count));
    for round in 0..options.shared.rounds {
        sheet.put(round, FULL, "raw memcpy", "1/s", laid.copy());
        sheet.put(round, FULL, BASE, "1/s", laid.copy_and_check());
        sheet.attempt(round, (FULL, "raw validating, memory", "1/s"), || laid.validate());
        sheet.attempt(round, (FULL, "raw validating, file", "1/s"), || Laid::validate_file(&raw));
        for (name, peer) in &mut peers {
            sheet.attempt(round, (FULL, name, "1/s"), || {
                let begin = Instant::now();
                let found = peer.scan()?;
                let rate = found as f64 / seconds_since(begin);
                if found == count { Ok(rate) } else { Err(format!("returned {found} of {count}").into()) }
            });
        }
    }
    sheet.beside(FULL, FULL, BASE);
    sheet.remark("walrus is left out: it reads each record once");
    sheet.goal("G10", (FULL, FORMAT_2), Bound::AtLeast(0.9));
    Ok(())
}

/// Opens a log in which every record has one of 100 types, in runs of this length.
fn typed_log(options: &Options, name: &str, run: u64, (records, count): (&Records, u64)) -> Outcome<Log> {
    let log = Loghold::format_2().log(&super::place(options).join(name))?;
    for number in 0..count {
        let type_no = TypeNo(u32::try_from(number / run % TYPES)?);
        log.append_at(Level::Memory, type_no, records.get(number))?;
    }
    // The last file is what a running log has: not sealed.
    log.append_at(Level::Os, TypeNo(0), b"the last one")?;
    Ok(log)
}

fn typed(options: &Options, sheet: &mut Sheet, (records, count): (&Records, u64)) -> Outcome<()> {
    let runs = typed_log(options, "runs", RUN, (records, count))?;
    let mixed = typed_log(options, "mixed", 1, (records, count))?;
    for round in 0..options.shared.rounds {
        for (what, log, type_no) in
            [(TYPED_RUNS, &runs, 7), (TYPED_MIXED, &mixed, 7), (TYPED_NONE, &mixed, 4_711)]
        {
            sheet.attempt(round, (&format!("all before: {what}"), FORMAT_2, "ms"), || {
                let begin = Instant::now();
                scan_batches(log)?;
                Ok(seconds_since(begin) * 1e3)
            });
            sheet.attempt(round, (what, FORMAT_2, "ms"), || {
                let begin = Instant::now();
                let mut found = 0;
                for record in log.reader().scan(..).types([TypeNo(type_no)]) {
                    std::hint::black_box(record?);
                    found += 1;
                }
                let milliseconds = seconds_since(begin) * 1e3;
                let expected = if type_no < 100 { count / TYPES * 9 / 10 } else { 0 };
                if found < expected || (expected == 0 && found > 0) {
                    return Err(format!("returned {found} records").into());
                }
                Ok(milliseconds)
            });
        }
    }
    for what in [TYPED_RUNS, TYPED_MIXED, TYPED_NONE] {
        sheet.beside(what, &format!("all before: {what}"), FORMAT_2);
    }
    sheet.goal("G11", (TYPED_RUNS, FORMAT_2), Bound::AtMost(0.05));
    sheet.goal("G11", (TYPED_MIXED, FORMAT_2), Bound::AtMost(0.05));
    Ok(())
}
