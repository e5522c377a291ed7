//! Appending without a sync, one record at a time: what the copying and the checksum cost.
//! Refuses to count the time until it is on disk, for anybody.

use std::time::Duration;

use super::{fresh, with};
use crate::Outcome;
use crate::args::Options;
use crate::raw;
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_1, FORMAT_2, Loghold};
use crate::rivals::{Ability, Purpose, Rival, all, buffered, left_out};

const WHAT: &str = "append 128 B, buffered";
const BASE: &str = "raw write(2) each";

/// How long somebody slow is waited for.
const LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let count = options.scaled(1_000_000);
    let mut contestants: Vec<Box<dyn Rival>> =
        vec![Box::new(Loghold::format_2()), Box::new(Loghold::format_1())];
    contestants.extend(all(options, Ability::Buffered));
    for round in 0..options.shared.rounds {
        sheet.attempt(round, (WHAT, BASE, "1/s"), || {
            raw::write_each(&fresh(options)?.join("raw"), &records, count)
        });
        sheet.attempt(round, (WHAT, "raw 64 KiB writes", "1/s"), || {
            raw::write_gathered(&fresh(options)?.join("raw"), &records, count)
        });
        for rival in &contestants {
            sheet.attempt(round, (WHAT, rival.name(), "1/s"), || {
                with(options, rival.as_ref(), Purpose::Buffered, |peer, _| {
                    buffered(peer, &records, count, LIMIT)
                })
            });
        }
    }
    sheet.beside(WHAT, WHAT, BASE);
    sheet.goal("G1", (WHAT, FORMAT_2), Bound::AtLeast(8.0));
    sheet.goal("G2", (WHAT, FORMAT_1), Bound::AtLeast(5.0));
    for reason in left_out(options) {
        sheet.remark(reason);
    }
    Ok(())
}
