//! `loghold log doctor`: what a durable append costs in a directory, and whether its disk can be trusted.
//! Refuses to call a disk good: it says what was measured, and what looks wrong.

use std::time::Duration;

use rtrans::Error;
use rtrans::doctor::{Sample, measure};
use serde::Serialize;

use crate::args::log::DoctorArguments;
use crate::commands::log::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_object;
use crate::path_report::PathReport;

/// What was measured, in microseconds.
#[derive(Debug, Serialize)]
struct DoctorReport {
    #[serde(flatten)]
    path: PathReport,
    file_system: String,
    overwrite_p50_us: u128,
    overwrite_p99_us: u128,
    extend_p50_us: u128,
    extend_p99_us: u128,
    large_p50_us: u128,
    warnings: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: &DoctorArguments) -> Outcome<Exit> {
    let dir = match &arguments.dir {
        Some(dir) => dir,
        None => context.dir()?,
    };
    let measured = measure(dir).map_err(|error| match error {
        Error::NotALog { path } => {
            Failure::new(Exit::NotFound, format!("{} is no directory", path.display()))
                .hint("name the directory where a log is, or is to be")
        }
        other => other.into(),
    })?;
    let report = DoctorReport {
        path: PathReport::new(&measured.path),
        file_system: measured.file_system.clone(),
        overwrite_p50_us: measured.overwrite.p50.as_micros(),
        overwrite_p99_us: measured.overwrite.p99.as_micros(),
        extend_p50_us: measured.extend.p50.as_micros(),
        extend_p99_us: measured.extend.p99.as_micros(),
        large_p50_us: measured.large.p50.as_micros(),
        warnings: measured.warnings.clone(),
    };
    let times = |sample: Sample| format!("{} (99th percentile {})", show(sample.p50), show(sample.p99));
    print_object(context.format, &report, || {
        vec![
            ("path", report.path.shown().to_string()),
            ("file system", report.file_system.clone()),
            ("4 KiB over old bytes, synced", times(measured.overwrite)),
            ("4 KiB at the end, synced", times(measured.extend)),
            ("4 MiB, synced", times(measured.large)),
        ]
    })?;
    for warning in &report.warnings {
        context.notes.say(warning);
    }
    Ok(Exit::Done)
}

fn show(time: Duration) -> String {
    let micros = time.as_micros();
    if micros < 1000 {
        format!("{micros} us")
    } else {
        format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
    }
}
