//! `loghold log import`: the records of another log, of any format, behind those of this one.
//! Refuses to change the other log.

use std::path::Path;

use rtrans::{Options, Reader, TransId, import_from};
use serde::Serialize;

use crate::args::log::ImportLogArguments;
use crate::commands::log::meter::{Meter, while_working};
use crate::commands::log::{Context, options_of};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_object;
use crate::quantity::counted;
use crate::stop::Stop;

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
    let before = log.last();
    let ended_early = log.clone();
    // Appends are refused from then on, and the import ends by that.
    let signals = Stop::listen(move |_| drop(ended_early.close()))?;
    let imported = while_working(meter, progress, move || import_from(&from, &to))?;
    let end = log.last();
    let closed = log.close();
    let imported =
        imported.map_err(Failure::from).and_then(|imported| closed.map(|()| imported).map_err(Failure::from));
    let imported = imported.map_err(|failure| unfinished(failure, signals.exit(), before, end))?;
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

/// Says what an import that did not come to its end has left: the same command again would copy it once more.
fn unfinished(
    failure: Failure,
    signal: Option<Exit>,
    before: Option<TransId>,
    last: Option<TransId>,
) -> Failure {
    let failure = signal.map_or(failure, |exit| Failure::new(exit, "stopped"));
    let (before, last) = (before.map_or(0, TransId::get), last.map_or(0, TransId::get));
    match last.saturating_sub(before) {
        0 => failure,
        count => failure.hint(format!(
            "{} of the other log were copied; before another try, `loghold log truncate --after {before}` takes them back",
            counted(usize::try_from(count).unwrap_or(usize::MAX), "record")
        )),
    }
}

/// Whether two paths lead to one directory; one that is not there yet is no other's.
fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}
