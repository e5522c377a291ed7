//! `loghold log backup`: a copy of a log as it is now, beside its writer, read back before it counts.
//! Refuses a directory that is not empty.

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
    let copied = copied.map_err(|error| match error {
        rtrans::Error::Exists { path } => Failure::usage(format!("{} is not empty", path.display()))
            .hint("a backup goes into a directory of its own"),
        other => other.into(),
    })?;
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
