//! `loghold log import`: the records of another log, of any format, behind those of this one.
//! Refuses to change the other log.

use std::path::Path;

use rtrans::{Options, Reader, import_from};
use serde::Serialize;

use crate::args::log::ImportLogArguments;
use crate::commands::log::meter::{Meter, while_working};
use crate::commands::log::{Context, options_of};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_object;
use crate::quantity::counted;

/// What was copied.
#[derive(Debug, Serialize)]
struct ImportReport {
    records: u64,
    /// Ids in this log.
    first: Option<u64>,
    last: Option<u64>,
    /// Records that could not be read.
    lost: u64,
}

pub(crate) fn run(context: &Context, arguments: &ImportLogArguments) -> Outcome<Exit> {
    // The other log first: a wrong path must not leave an empty log behind.
    let from = Reader::open(&arguments.from)?;
    if is_same(&arguments.from, context.dir()?) {
        return Err(Failure::usage("a log is not imported into itself"));
    }
    let options = options_of(arguments.create, &arguments.parameters)?;
    let scheduling = context.schedule(arguments.scheduling);
    let log = context.writer(&Options { scheduling, ..options })?;
    let meter = Meter::new(context.notes, "imported");
    let (to, counted_in) = (log.clone(), log.clone());
    let progress = move || (counted_in.metrics().bytes, None);
    let imported = while_working(meter, progress, move || import_from(&from, &to))??;
    log.close()?;
    let report = ImportReport {
        records: imported.records,
        first: imported.ids.map(|(first, _)| first.get()),
        last: imported.ids.map(|(_, last)| last.get()),
        lost: imported.lost,
    };
    let or_none = |id: Option<u64>| id.map_or_else(|| "none".to_string(), |id| id.to_string());
    print_object(context.format, &report, || {
        vec![
            ("records", report.records.to_string()),
            ("first", or_none(report.first)),
            ("last", or_none(report.last)),
            ("lost", report.lost.to_string()),
        ]
    })?;
    if imported.lost == 0 && imported.damaged.is_empty() {
        return Ok(Exit::Done);
    }
    for damage in imported.damaged.iter().take(10) {
        context.notes.say(&format!("damaged: {damage}"));
    }
    let lost = counted(usize::try_from(imported.lost).unwrap_or(usize::MAX), "record");
    Err(Failure::new(
        Exit::Corrupt,
        format!("{lost} of the other log could not be read, and are not in this one"),
    ))
}

/// Whether two paths lead to one directory; one that is not there yet is no other's.
fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}
