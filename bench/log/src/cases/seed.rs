//! Beside the original Ruby program: its rates are constants here, and were measured on another machine.
//! Refuses to run it: a ratio with a constant is a hint, and says so.

use std::time::Duration;

use super::with;
use crate::Outcome;
use crate::args::Options;
use crate::records::Records;
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_1, FORMAT_2, Loghold};
use crate::rivals::{Purpose, Rival, buffered, durable};

/// Bytes of a record: those of the rates were 24 to 30.
const BYTES: usize = 28;

/// Records in a second of the original program, Ruby 3.1, data files of 20 MB, blocks of 64 B, on a machine of the same
/// kind but not the same one: without a sync; and with its two syncs for each record made real (1,780 to 1,850).
const UNSYNCED: f64 = 46_500.0;
const SYNCED: f64 = 1_815.0;

const RUBY: &str = "the Ruby program (constant)";
const WRITE: &str = "28 B, not synced";

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(BYTES);
    let count = options.scaled(2_000_000);
    let span = options.span(600);
    let durables = [(1, "28 B, synced, 1 producer"), (64, "28 B, synced, 64 producers")];
    for round in 0..options.shared.rounds {
        sheet.put(round, WRITE, RUBY, "1/s", UNSYNCED);
        for ours in [Loghold::format_1(), Loghold::format_2()] {
            sheet.attempt(round, (WRITE, ours.name(), "1/s"), || {
                with(options, &ours, Purpose::Buffered, |peer, _| {
                    buffered(peer, &records, count, Duration::from_secs(5))
                })
            });
        }
        for (threads, what) in durables {
            sheet.put(round, what, RUBY, "1/s", SYNCED);
            for ours in [Loghold::format_1(), Loghold::format_2()] {
                sheet.attempt(round, (what, ours.name(), "1/s"), || {
                    with(options, &ours, Purpose::Durable, |peer, _| {
                        Ok(durable(peer, &records, threads, span)?.per_second)
                    })
                });
            }
        }
    }
    let [(_, one), (_, many)] = durables;
    for what in [WRITE, one, many] {
        sheet.beside(what, what, RUBY);
    }
    sheet.goal("G18", (WRITE, FORMAT_1), Bound::AtLeast(100.0));
    sheet.goal("G18", (one, FORMAT_1), Bound::AtLeast(2.5));
    sheet.goal("G18", (one, FORMAT_2), Bound::AtLeast(4.0));
    sheet.goal("G18", (many, FORMAT_2), Bound::AtLeast(50.0));
    sheet.remark(
        "the program's rates were measured on another machine: these ratios are hints, not measurements",
    );
    Ok(())
}
