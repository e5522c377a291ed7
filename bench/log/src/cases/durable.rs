//! Appending with a sync: by 1, 8 and 64 threads that wait, and by one that keeps 1,024 appends in flight.
//! Refuses to call anything durable that its maker does not.

use std::time::{Duration, Instant};

use super::{fresh, with};
use crate::Outcome;
use crate::args::Options;
use crate::machine::{percentile, seconds_since};
use crate::raw;
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::group::Group;
use crate::rivals::loghold::{FORMAT_2, Loghold};
use crate::rivals::{Ability, Purpose, Rival, all, durable, left_out};

/// How many appends the last one keeps in flight.
const IN_FLIGHT: usize = 1_024;

const RAW_WHAT: &str = "pwrite + fdatasync";
const RAW_ZEROED: &str = "raw pre-zeroed";
const RAW_GROWING: &str = "raw growing";
const PIPELINED: &str = "durable, 1 producer, 1024 in flight";

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let span = options.span(600);
    let ours: [Box<dyn Rival>; 3] =
        [Box::new(Group), Box::new(Loghold::format_2()), Box::new(Loghold::format_1())];
    for round in 0..options.shared.rounds {
        for (who, is_zeroed) in [(RAW_ZEROED, true), (RAW_GROWING, false)] {
            raw_round(options, sheet, round, (who, is_zeroed))?;
        }
        for (threads, what) in
            [(1, "durable, 1 producer"), (8, "durable, 8 producers"), (64, "durable, 64 producers")]
        {
            for rival in ours.iter().chain(&all(options, Ability::Durable)) {
                sheet.attempt(round, (what, rival.name(), "1/s"), || {
                    with(options, rival.as_ref(), Purpose::Durable, |peer, _| {
                        Ok(durable(peer, &records, threads, span)?.per_second)
                    })
                });
            }
        }
        for rival in ours.iter().skip(1).chain(&all(options, Ability::Pipelined)) {
            sheet.attempt(round, (PIPELINED, rival.name(), "1/s"), || {
                with(options, rival.as_ref(), Purpose::Durable, |peer, _| {
                    let begin = Instant::now();
                    let count = peer.append_pipelined(&records, IN_FLIGHT, span)?;
                    Ok(count as f64 / seconds_since(begin))
                })
            });
        }
    }
    let bounds = [
        ("G3", "durable, 1 producer", 0.95),
        ("G4", "durable, 8 producers", 5.0),
        ("G5", "durable, 64 producers", 18.0),
        ("G6", PIPELINED, 200.0),
    ];
    for (goal, what, bound) in bounds {
        sheet.beside(what, RAW_WHAT, RAW_ZEROED);
        sheet.goal(goal, (what, FORMAT_2), Bound::AtLeast(bound));
    }
    sheet.beside(RAW_WHAT, RAW_WHAT, RAW_ZEROED);
    for reason in left_out(options) {
        sheet.remark(reason);
    }
    Ok(())
}

fn raw_round(
    options: &Options,
    sheet: &mut Sheet,
    round: usize,
    (who, is_zeroed): (&str, bool),
) -> Outcome<()> {
    let mut latencies = raw_latencies(options, options.span(600), is_zeroed)?;
    let seconds = latencies.iter().map(|&latency| f64::from(latency)).sum::<f64>() / 1e9;
    sheet.put(round, RAW_WHAT, who, "1/s", latencies.len() as f64 / seconds);
    sheet.put(round, "the same, p50", who, "us", percentile(&mut latencies, 0.5) / 1e3);
    Ok(())
}

/// Latencies of the raw loop in an empty directory.
pub(crate) fn raw_latencies(options: &Options, span: Duration, is_zeroed: bool) -> Outcome<Vec<u32>> {
    let path = fresh(options)?.join("raw");
    raw::write_and_sync(&path, &Records::new(RECORD_BYTES), span, is_zeroed)
}
