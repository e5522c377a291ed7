//! The slowest of the durable appends of 8 producers, while the log goes over to its next file.
//! Refuses a round in which it did not.

use super::durable::raw_latencies;
use super::with;
use crate::Outcome;
use crate::args::Options;
use crate::machine::{count_files, percentile};
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_2, Loghold};
use crate::rivals::{Ability, Durable, Purpose, Rival, all, durable};

const PRODUCERS: usize = 8;

/// What is appended first, so that the first file is nearly full: 14.7 of its 16 MiB.
const BEFORE: u64 = 110_000;

const P99: &str = "p99, 8 producers, files change";

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let span = options.span(2_000);
    let ours: Box<dyn Rival> = Box::new(Loghold::format_2());
    for round in 0..options.shared.rounds {
        let mut latencies = raw_latencies(options, options.span(600), true)?;
        sheet.put(round, "p50", "raw pre-zeroed", "us", percentile(&mut latencies, 0.5) / 1e3);
        let mut put = |who: &str, result: Outcome<Durable>| match result {
            Ok(mut durable) => {
                for (what, share) in [("p50, 8 producers", 0.5), (P99, 0.99), ("p99.9, 8 producers", 0.999)] {
                    sheet.put(round, what, who, "us", percentile(&mut durable.latencies, share) / 1e3);
                }
                sheet.put(round, "the slowest", who, "us", percentile(&mut durable.latencies, 1.0) / 1e3);
            }
            Err(error) => sheet.remark(format!("{who}: {error}")),
        };
        let result = with(options, ours.as_ref(), Purpose::Durable, |peer, dir| {
            peer.fill(&records, BEFORE)?;
            let measured = durable(peer, &records, PRODUCERS, span)?;
            // A full file gets an index; the next data file was prepared at any time before.
            if count_files(dir, "index.")? == 0 {
                return Err("the log did not go over to its next file".into());
            }
            Ok(measured)
        });
        put(FORMAT_2, result);
        for rival in &all(options, Ability::Durable) {
            let result = with(options, rival.as_ref(), Purpose::Durable, |peer, _| {
                durable(peer, &records, PRODUCERS, span)
            });
            put(rival.name(), result);
        }
    }
    for what in ["p50, 8 producers", P99, "p99.9, 8 producers", "the slowest"] {
        sheet.beside(what, "p50", "raw pre-zeroed");
    }
    sheet.goal("G7", (P99, FORMAT_2), Bound::AtMost(3.0));
    sheet.remark("of the rivals nobody is made to change files: whoever does, does by itself");
    Ok(())
}
