//! `loghold log backup`: a copy of a log as it is now, beside its writer, read back before it counts.
//! Refuses a directory that is not empty.

use std::path::Path;

use serde::Serialize;

use crate::args::log::BackupArguments;
use crate::commands::log::meter::{Meter, while_working};
use crate::commands::log::{Context, check};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_object;
use crate::path_report::PathReport;
use crate::quantity::show_bytes;

/// What was copied.
#[derive(Debug, Serialize)]
struct BackupReport {
    #[serde(flatten)]
    path: PathReport,
    first: Option<u64>,
    last: Option<u64>,
    records: u64,
    files: u64,
    bytes: u64,
}

pub(crate) fn run(context: &Context, arguments: &BackupArguments) -> Outcome<Exit> {
    let reader = context.reader()?;
    let meter = Meter::new(context.notes, "copying");
    let to = arguments.to.clone();
    let copied = while_working(meter, || (0, None), move || reader.backup(to))?;
    let copied = copied.map_err(|error| of_backup(error, &arguments.to))?;
    let ids = copied.findings.ids;
    let report = BackupReport {
        path: PathReport::new(&arguments.to),
        first: ids.map(|(first, _)| first.get()),
        last: ids.map(|(_, last)| last.get()),
        records: copied.findings.records,
        files: copied.files,
        bytes: copied.bytes,
    };
    let or_none = |id: Option<u64>| id.map_or_else(|| "none".to_string(), |id| id.to_string());
    print_object(context.format, &report, || {
        vec![
            ("path", report.path.shown().to_string()),
            ("first", or_none(report.first)),
            ("last", or_none(report.last)),
            ("records", report.records.to_string()),
            ("files", report.files.to_string()),
            ("bytes", format!("{} ({})", report.bytes, show_bytes(report.bytes))),
        ]
    })?;
    if copied.findings.is_sound() {
        return Ok(Exit::Done);
    }
    check::say(context, &copied.findings);
    Err(Failure::new(Exit::Corrupt, "the log is damaged, and so is its copy")
        .hint("run `loghold log check` on both; older backups may be whole"))
}

/// Why there is no copy. What is there of one holds no log yet: its parameters are written last.
fn of_backup(error: rtrans::Error, to: &Path) -> Failure {
    let full = match error {
        rtrans::Error::Exists { path } => {
            return Failure::usage(format!("{} is not empty", path.display()))
                .hint("a backup goes into a directory of its own: name another, or remove what one that was cut off has left");
        }
        rtrans::Error::DiskFull(cause) => Failure::new(Exit::DiskFull, cause.to_string()),
        other => return other.into(),
    };
    full.hint(format!(
        "the copy in {} is no log yet: remove it, free some room and begin again",
        to.display()
    ))
}
