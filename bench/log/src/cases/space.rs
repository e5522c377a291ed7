//! Bytes on disk for each byte of payload, and what a log takes besides.
//! Refuses to count only the files that look good: all of the directory counts.

use std::path::Path;

use rtrans::{Batch, Level};

use super::fresh;
use crate::Outcome;
use crate::args::Options;
use crate::machine::{remove_dir, space};
use crate::records::{RECORD_BYTES, Records};
use crate::report::{Bound, Sheet};
use crate::rivals::loghold::{FORMAT_2, Loghold, TYPE};
use crate::rivals::{Ability, Purpose, all};

const EACH: &str = "bytes for each further byte of payload";
const BESIDES: &str = "what it takes besides";

/// How many records go to disk together.
const GROUP: u64 = 16;

/// A log is measured with this many records and with some times as many: the difference is what a record takes. Ours
/// grows by files of 16 MiB: of 2 GB, the last one is less than 1 %.
const FEW: u64 = 1_000_000;
const TIMES: u64 = 3;
const OUR_TIMES: u64 = 17;

pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let records = Records::new(RECORD_BYTES);
    let few = options.scaled(FEW) / GROUP * GROUP;
    for loghold in [Loghold::format_2(), Loghold::format_1()] {
        let sizes = [few, OUR_TIMES * few].map(|count| -> Outcome<u64> {
            let dir = fresh(options)?;
            ours(&loghold, &dir, &records, count)?;
            Ok(space(&dir)?.1)
        });
        put(sheet, loghold.name, (few, OUR_TIMES), sizes);
    }
    for rival in all(options, Ability::Read) {
        let sizes = [few, TIMES * few].map(|count| -> Outcome<u64> {
            let dir = fresh(options)?;
            let mut peer = rival.open(&dir, Purpose::Buffered)?;
            peer.fill(&records, count)?;
            drop(peer);
            Ok(space(&dir)?.1)
        });
        put(sheet, rival.name(), (few, TIMES), sizes);
    }
    sheet.goal("G14", (EACH, FORMAT_2), Bound::AtMost(1.15));
    sheet.remark(
        "ours in batches of 16 records; the rivals as they fill fastest, in larger ones; fjall compresses",
    );
    remove_dir(&super::place(options))
}

fn ours(loghold: &Loghold, dir: &Path, records: &Records, count: u64) -> Outcome<()> {
    let log = loghold.log(dir)?;
    for group in 0..count / GROUP {
        let mut batch = Batch::new().level(Level::Os);
        for number in group * GROUP..(group + 1) * GROUP {
            batch = batch.push(TYPE, records.get(number));
        }
        log.append_batch(&batch)?;
    }
    Ok(log.close()?)
}

fn put(sheet: &mut Sheet, who: &str, (few, times): (u64, u64), sizes: [Outcome<u64>; 2]) {
    match sizes {
        [Ok(small), Ok(large)] => {
            let payload = (few * RECORD_BYTES as u64) as f64;
            let each = (large as f64 - small as f64) / ((times - 1) as f64 * payload);
            sheet.put(0, EACH, who, "x", each);
            sheet.put(0, BESIDES, who, "MiB", (small as f64 - each * payload) / f64::from(1 << 20));
        }
        [small, large] => {
            let reason = small.err().or(large.err()).map(|error| error.to_string()).unwrap_or_default();
            sheet.remark(format!("{who}: {reason}"));
        }
    }
}
