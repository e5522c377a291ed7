//! A durable append while every core is busy with something else.
//! Refuses to ask for privileges: no real-time class, no negative nice.

use std::time::Duration;

use super::durable::raw_latencies;
use super::with;
use crate::Outcome;
use crate::args::Options;
use crate::machine::{Burners, percentile};
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_2, Loghold};
use crate::rivals::{Ability, Purpose, Rival, all, durable};

const IDLE: &str = "durable p50, 1 producer, idle";
const BUSY: &str = "durable p50, 1 producer, cores busy";
const RATIO: &str = "busy over idle";
const RAW_WHO: &str = "raw pre-zeroed";

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    if options.is_real_time {
        return Err("it is about the normal scheduling class: run it without --real-time".into());
    }
    let records = Records::new(RECORD_BYTES);
    let mut contestants: Vec<Box<dyn Rival>> = vec![Box::new(Loghold::format_2())];
    contestants.extend(all(options, Ability::Durable));
    let span = options.span(500);
    for round in 0..options.shared.rounds {
        let mut medians: Vec<Vec<f64>> = Vec::new();
        for what in [IDLE, BUSY] {
            let burners = if what == BUSY { Some(Burners::start()?) } else { None };
            let raw = raw_p50(options, span)?;
            sheet.put(round, what, RAW_WHO, "us", raw);
            let mut row = vec![raw];
            for rival in &contestants {
                let result = with(options, rival.as_ref(), Purpose::Durable, |peer, _| {
                    let mut measured = durable(peer, &records, 1, span)?;
                    Ok(percentile(&mut measured.latencies, 0.5) / 1e3)
                });
                row.push(*result.as_ref().unwrap_or(&f64::NAN));
                sheet.attempt(round, (what, rival.name(), "us"), || result);
            }
            medians.push(row);
            drop(burners);
        }
        let names = std::iter::once(RAW_WHO).chain(contestants.iter().map(|rival| rival.name()));
        if let [idle, busy] = medians.as_slice() {
            for (name, (idle, busy)) in names.zip(idle.iter().zip(busy)) {
                sheet.put(round, RATIO, name, "x", busy / idle);
            }
        }
    }
    sheet.goal("G8", (RATIO, FORMAT_2), Bound::AtMost(3.0));
    sheet.remark("each beside its own idle figure; other programs of this machine are not under control");
    Ok(())
}

fn raw_p50(options: &Options, span: Duration) -> Outcome<f64> {
    Ok(percentile(&mut raw_latencies(options, span, true)?, 0.5) / 1e3)
}
