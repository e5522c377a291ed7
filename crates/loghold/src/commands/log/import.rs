//! `loghold log import`: the records of another log, of any format, behind those of this one.
//! Refuses to change the other log, and to copy a record twice.

mod mark;

use std::path::Path;

use host::Disk;
use rtrans::{Error, Log, Options, Reader, TransId, resume_import};
use serde::Serialize;

use crate::args::log::ImportLogArguments;
use crate::commands::log::import::mark::Mark;
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
    /// Records that an earlier run has copied, which was cut off.
    found: u64,
    /// Ids in this log.
    first: Option<u64>,
    last: Option<u64>,
    /// Records that could not be read.
    lost: u64,
}

pub(crate) fn run(context: &Context, arguments: &ImportLogArguments) -> Outcome<Exit> {
    // The other log first: a wrong path must not leave an empty log behind.
    let from = Reader::open(&arguments.from).map_err(|error| match error {
        Error::NotALog { path } => Failure::new(Exit::NotFound, format!("{} holds no log", path.display()))
            .hint("name the directory of the log that is to be copied"),
        other => other.into(),
    })?;
    if is_same(&arguments.from, context.dir()?) {
        return Err(Failure::usage("a log is not imported into itself"));
    }
    let options = options_of(arguments.create, &arguments.parameters)?;
    let scheduling = context.schedule(arguments.scheduling);
    let log = context.writer(&Options { scheduling, ..options })?;
    let meter = Meter::new(context.notes, "imported");
    let (to, counted_in) = (log.clone(), log.clone());
    let progress = move || (counted_in.metrics().bytes, None);
    let disk = context.disk()?;
    let mark = mark_of(context, &log, &disk, &arguments.from)?;
    mark.leave(&disk)?;
    let ended_early = log.clone();
    // Appends are refused from then on, and the import ends by that.
    let signals = Stop::listen(move |_| drop(ended_early.close()))?;
    let after = TransId::new(mark.after);
    let imported = while_working(meter, progress, move || resume_import(&from, &to, after))?;
    let end = log.last();
    let closed = log.close();
    let imported = imported
        .map_err(|error| of_import(error, &mark))
        .and_then(|imported| closed.map(|()| imported).map_err(Failure::from));
    let imported = imported.map_err(|failure| unfinished(failure, signals.exit(), &mark, end))?;
    // Everything is synced: from here on there is nothing to go on with.
    Mark::take_away(&disk)?;
    let report = ImportReport {
        records: imported.records,
        found: imported.found,
        first: imported.ids.map(|(first, _)| first.get()),
        last: imported.ids.map(|(_, last)| last.get()),
        lost: imported.lost,
    };
    let or_none = |id: Option<u64>| id.map_or_else(|| "none".to_string(), |id| id.to_string());
    print_object(context.format, &report, || {
        vec![
            ("records", report.records.to_string()),
            ("there already", report.found.to_string()),
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

/// Behind which record this import begins: where an earlier one did that was cut off, if anything is left of that.
fn mark_of(context: &Context, log: &Log, disk: &Disk, from: &Path) -> Outcome<Mark> {
    let last = log.last().map_or(0, TransId::get);
    if let Some(mark) = Mark::read(disk)?.filter(|mark| mark.after < last) {
        let message =
            format!("going on with an import from {} that began behind record {}", mark.from, mark.after);
        context.notes.say(&message);
        return Ok(mark);
    }
    let from = from.canonicalize().unwrap_or_else(|_| from.to_owned());
    Ok(Mark { after: last, from: from.to_string_lossy().into_owned() })
}

/// Why an import failed.
fn of_import(error: Error, mark: &Mark) -> Failure {
    match error {
        Error::Unsupported { .. } => Failure::usage(format!(
            "an import from {} was cut off, and what is behind record {} is not, or not only, from the log that is named now",
            mark.from, mark.after
        ))
        .hint(format!(
            "name that log to go on with it, or take back what is behind record {0}: `loghold log truncate --after {0}`; where those records are to stay, remove the file {file} in the log's directory",
            mark.after,
            file = mark::FILE
        )),
        other => other.into(),
    }
}

/// Says what an import that did not come to its end has left, and how to go on.
fn unfinished(failure: Failure, signal: Option<Exit>, mark: &Mark, last: Option<TransId>) -> Failure {
    if failure.exit == Exit::Usage {
        return failure;
    }
    let failure = signal.map_or(failure, |exit| Failure::new(exit, "stopped"));
    match last.map_or(0, TransId::get).saturating_sub(mark.after) {
        0 => failure,
        count => failure.hint(format!(
            "{} of the other log were copied: the same command goes on behind them, and `loghold log truncate --after {}` takes them back",
            counted(usize::try_from(count).unwrap_or(usize::MAX), "record"),
            mark.after
        )),
    }
}

/// Whether two paths lead to one directory; one that is not there yet is no other's.
fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}
