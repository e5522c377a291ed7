//! A durable append while every core is busy with something else, and while it is crowded.
//! Refuses to ask for privileges, but where the name of a contestant says so.

use std::cell::Cell;
use std::path::Path;

use rtrans::{Level, Log, Parameters, Scheduling};

use super::durable::raw_latencies;
use super::with;
use crate::Outcome;
use crate::args::Options;
use crate::machine::{Burners, percentile};
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_2, TYPE};
use crate::rivals::{Ability, Peer, Purpose, Rival, all, durable};

/// How many programs want each core, and what the figures are called then. Medians hide the appends that wait for a core.
const LOADS: [(usize, &str, &str, &str); 3] = [
    (0, "durable p50, 1 producer, idle", "mean of the same, idle", ""),
    (1, "durable p50, 1 producer, cores busy", "mean of the same, cores busy", "busy over idle"),
    (8, "durable p50, 1 producer, cores crowded", "mean of the same, cores crowded", "crowded over idle"),
];
const RAW_WHO: &str = "raw pre-zeroed";

/// Ourselves, and what our threads and the caller's ask the scheduler for.
#[derive(Debug)]
struct Scheduled {
    name: &'static str,
    log: Scheduling,
    caller: Scheduling,
}

struct Open {
    log: Log,
    caller: Scheduling,
}

thread_local! {
    static HAS_ASKED: Cell<bool> = const { Cell::new(false) };
}

impl Rival for Scheduled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Durable]
    }

    fn open(&self, dir: &Path, _purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let options = rtrans::Options {
            parameters: Some(Parameters::format_2()),
            scheduling: self.log,
            ..rtrans::Options::default()
        };
        Ok(Box::new(Open { log: Log::open(dir, options)?, caller: self.caller }))
    }
}

impl Peer for Open {
    fn append_durable(&self, _thread: usize, bytes: &[u8]) -> Outcome<()> {
        if !HAS_ASKED.replace(true) {
            self.caller.apply_here();
        }
        self.log.append_at(Level::Disk, TYPE, bytes)?;
        Ok(())
    }
}

fn contestants(options: &Options) -> Vec<Box<dyn Rival>> {
    let ours = [
        (FORMAT_2, Scheduling::ShortSlice, Scheduling::Inherited),
        ("loghold, nothing asked for", Scheduling::Inherited, Scheduling::Inherited),
        ("loghold, caller asks as well", Scheduling::ShortSlice, Scheduling::ShortSlice),
        ("loghold, its thread real-time", Scheduling::RealTime, Scheduling::Inherited),
    ];
    let mut contestants: Vec<Box<dyn Rival>> = Vec::new();
    for (name, log, caller) in ours {
        contestants.push(Box::new(Scheduled { name, log, caller }));
    }
    contestants.extend(all(options, Ability::Durable));
    contestants
}

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    if options.is_real_time {
        return Err("it is about the normal scheduling class: run it without --real-time".into());
    }
    let contestants = contestants(options);
    for round in 0..options.shared.rounds {
        let mut idle: Vec<f64> = Vec::new();
        for (burners, p50_what, mean_what, ratio) in LOADS {
            let burners = Burners::start(burners)?;
            let row = measure(options, sheet, (round, p50_what, mean_what), &contestants)?;
            drop(burners);
            if idle.is_empty() {
                idle = row;
                continue;
            }
            let names = std::iter::once(RAW_WHO).chain(contestants.iter().map(|rival| rival.name()));
            for (name, (idle, busy)) in names.zip(idle.iter().zip(row)) {
                sheet.put(round, ratio, name, "x", busy / idle);
            }
        }
    }
    for (_, _, _, ratio) in LOADS.iter().skip(1) {
        sheet.goal("G8", (ratio, FORMAT_2), Bound::AtMost(3.0));
    }
    sheet.remark("each beside its own idle figure; other programs of this machine are not under control");
    Ok(())
}

/// The medians of everybody.
fn measure(
    options: &Options,
    sheet: &mut Sheet,
    (round, p50_what, mean_what): (usize, &'static str, &'static str),
    contestants: &[Box<dyn Rival>],
) -> Outcome<Vec<f64>> {
    let records = Records::new(RECORD_BYTES);
    let span = options.span(500);
    let raw = percentile(&mut raw_latencies(options, span, true)?, 0.5) / 1e3;
    sheet.put(round, p50_what, RAW_WHO, "us", raw);
    let mut row = vec![raw];
    for rival in contestants {
        let result = with(options, rival.as_ref(), Purpose::Durable, |peer, _| {
            let mut measured = durable(peer, &records, 1, span)?;
            Ok((percentile(&mut measured.latencies, 0.5) / 1e3, 1e6 / measured.per_second))
        });
        row.push(result.as_ref().map_or(f64::NAN, |(p50, _)| *p50));
        if let Ok((_, mean)) = &result {
            sheet.put(round, mean_what, rival.name(), "us", *mean);
        }
        sheet.attempt(round, (p50_what, rival.name(), "us"), || result.map(|(p50, _)| p50));
    }
    Ok(row)
}
