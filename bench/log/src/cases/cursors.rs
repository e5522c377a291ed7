//! 64 consumers that durably note how far they are, while 8 producers append durably.
//! Refuses to note positions that were not reached.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rtrans::{Level, Log};

use super::fresh;
use crate::Outcome;
use crate::args::Options;
use crate::machine::remove_dir;
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{Loghold, TYPE};
use crate::rivals::{Durable, Peer, durable};

const CONSUMERS: usize = 64;
const PRODUCERS: usize = 8;

/// How often each consumer notes its position: 64 x 20 positions in a second.
const PAUSE: Duration = Duration::from_millis(50);

const WHAT: &str = "durable appends, 8 producers";
const WITHOUT: &str = "loghold, no consumer";
const WITH: &str = "loghold, 64 consumers";
const FLAT_OUT: &str = "loghold, 64 without a pause";

struct Open<'a>(&'a Log);

impl Peer for Open<'_> {
    fn append_durable(&self, _thread: usize, bytes: &[u8]) -> Outcome<()> {
        self.0.append_at(Level::Disk, TYPE, bytes)?;
        Ok(())
    }
}

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let span = options.span(1_000);
    for round in 0..options.shared.rounds {
        let log = Loghold::format_2().log(&fresh(options)?)?;
        sheet.put(round, WHAT, WITHOUT, "1/s", durable(&Open(&log), &records, PRODUCERS, span)?.per_second);
        for (who, pause) in [(WITH, PAUSE), (FLAT_OUT, Duration::ZERO)] {
            let log = Loghold::format_2().log(&fresh(options)?)?;
            let (appends, commits) = with_consumers(&log, &records, span, pause)?;
            sheet.put(round, WHAT, who, "1/s", appends.per_second);
            sheet.put(round, "positions noted", who, "1/s", commits);
        }
    }
    sheet.beside(WHAT, WHAT, WITHOUT);
    sheet.goal("G17", (WHAT, WITH), Bound::AtLeast(0.95));
    sheet.remark("each consumer notes the last id 20 times a second; one thread goes around all of them");
    remove_dir(&super::place(options))
}

fn with_consumers(log: &Log, records: &Records, span: Duration, pause: Duration) -> Outcome<(Durable, f64)> {
    let names: Vec<String> = (0..CONSUMERS).map(|number| format!("consumer-{number}")).collect();
    let mut consumers = names.iter().map(|name| log.consumer(name)).collect::<Result<Vec<_>, _>>()?;
    let (is_over, noted) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut consume = || -> Outcome<()> {
        while !is_over.load(Ordering::Relaxed) {
            let Some(last) = log.reader().last() else { continue };
            let tickets = consumers.iter_mut().map(|consumer| consumer.commit_async(last));
            let tickets = tickets.collect::<Result<Vec<_>, _>>()?;
            for ticket in tickets {
                ticket.wait()?;
                noted.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(pause);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let consuming = scope.spawn(&mut consume);
        let appends = durable(&Open(log), records, PRODUCERS, span);
        is_over.store(true, Ordering::Relaxed);
        consuming.join().map_err(|_| "the consumers panicked")??;
        Ok((appends?, noted.load(Ordering::Relaxed) as f64 / span.as_secs_f64()))
    })
}
