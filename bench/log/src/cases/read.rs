//! Reading random records by their number, one thread, all of it in the page cache.
//! Refuses to skip checksums where a contestant has them.

use std::time::Instant;

use super::{filled, fresh};
use crate::Outcome;
use crate::args::Options;
use crate::machine::{remove_dir, seconds_since};
use crate::raw::Indexed;
use crate::records::{RECORD_BYTES, Records, random_numbers};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_2, Loghold};
use crate::rivals::{Ability, Rival, all};

const WHAT: &str = "read a record by its id";
const BASE: &str = "raw two preads";

/// How many reads make a round.
const READS: u64 = 100_000;

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let count = options.scaled(1_000_000);
    let dir = fresh(options)?;
    let raw = Indexed::write(&dir, &records, count)?;
    let mut contestants: Vec<Box<dyn Rival>> =
        vec![Box::new(Loghold::format_2()), Box::new(Loghold::format_1())];
    contestants.extend(all(options, Ability::Read));
    let mut peers = filled(sheet, &contestants, &dir, (&records, count));
    let numbers = random_numbers(options.scaled(READS), count);
    for round in 0..options.shared.rounds {
        sheet.attempt(round, (WHAT, BASE, "ns"), || raw.read(&numbers));
        for (name, peer) in &mut peers {
            sheet.attempt(round, (WHAT, name, "ns"), || {
                let begin = Instant::now();
                let bytes = peer.read_random(&numbers)?;
                let nanoseconds = seconds_since(begin) * 1e9 / numbers.len() as f64;
                let expected = numbers.len() * RECORD_BYTES;
                if bytes != expected as u64 {
                    return Err(format!("read {bytes} bytes of {expected}").into());
                }
                Ok(nanoseconds)
            });
        }
    }
    drop(peers);
    sheet.beside(WHAT, WHAT, BASE);
    sheet.goal("G9", (WHAT, FORMAT_2), Bound::AtMost(0.25));
    sheet.remark("raw reads check nothing; okaywal opens the file for each read");
    remove_dir(&dir)
}
