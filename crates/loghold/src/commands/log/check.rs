//! `loghold log check`: reads all of a log, and says everything that is not as it was written.
//! Refuses to change anything.

use host::Clock;
use rtrans::{CheckProgress, Finding, FindingKind, Findings, Severity, TransId, check_watched};
use serde::Serialize;

use crate::args::log::CheckArguments;
use crate::commands::log::Context;
use crate::commands::log::meter::{Meter, Pace};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_rows;
use crate::quantity::{counted, show_bytes};

/// A finding as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct FindingReport {
    severity: &'static str,
    kind: &'static str,
    /// Below the log's directory, and so a name of ours: text, whatever the directory is called.
    path: String,
    offset: Option<u64>,
    /// The first record that it is about, and the last.
    first: Option<u64>,
    last: Option<u64>,
    what: String,
}

const HEADINGS: [&str; 6] = ["SEVERITY", "KIND", "RECORDS", "FILE", "BYTE", "WHAT"];

impl FindingReport {
    pub(crate) fn new(finding: &Finding) -> FindingReport {
        FindingReport {
            severity: finding.severity.name(),
            kind: finding.kind.name(),
            path: finding.at.path.display().to_string(),
            offset: finding.at.offset,
            first: finding.at.ids.map(|(first, _)| first.get()),
            last: finding.at.ids.map(|(_, last)| last.get()),
            what: finding.at.what.clone(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let records = match (self.first, self.last) {
            (Some(first), Some(last)) if first == last => first.to_string(),
            (Some(first), Some(last)) => format!("{first}..={last}"),
            _ => "-".to_string(),
        };
        let offset = self.offset.map_or_else(|| "-".to_string(), |offset| offset.to_string());
        let path = if self.path.is_empty() { "-".to_string() } else { self.path.clone() };
        vec![self.severity.to_string(), self.kind.to_string(), records, path, offset, self.what.clone()]
    }
}

pub(crate) fn run(context: &Context, arguments: &CheckArguments) -> Outcome<Exit> {
    let disk = context.disk()?;
    let mut meter = Meter::new(context.notes, "checked");
    let pace = Pace::new(Clock::system(), arguments.rate);
    let findings = check_watched(&disk, &mut |progress: CheckProgress| {
        meter.show(progress.bytes_done, Some(progress.bytes_all), String::new);
        pace.keep(progress.bytes_done);
        Ok(())
    });
    meter.finish();
    let findings = findings?;
    say(context, &findings);
    print(context, &findings)?;
    match findings.worst() {
        Some(Severity::Damage) => Err(damaged(&findings)),
        _ => Ok(Exit::Done),
    }
}

/// Prints findings as rows.
pub(crate) fn print(context: &Context, findings: &Findings) -> Outcome<()> {
    let reports: Vec<FindingReport> = findings.list.iter().map(FindingReport::new).collect();
    print_rows(context.format, &HEADINGS, &reports, FindingReport::cells)
}

/// Says what was read.
pub(crate) fn say(context: &Context, findings: &Findings) {
    if findings.files == 0 && !findings.list.is_empty() {
        return;
    }
    let count = usize::try_from(findings.records).unwrap_or(usize::MAX);
    let ids = findings.ids.map_or_else(String::new, |(first, last)| format!(", ids {first} to {last}"));
    let (records, bytes) = (counted(count, "record"), show_bytes(findings.bytes));
    let files = counted(usize::try_from(findings.files).unwrap_or(usize::MAX), "file");
    let are = if count == 1 { "is as it was" } else { "are as they were" };
    context.notes.say(&format!("{records} in {files} ({bytes}) {are} written{ids}"));
}

fn damaged(findings: &Findings) -> Failure {
    let places = findings.list.iter().filter(|finding| finding.severity == Severity::Damage);
    let ids = |finding: &Finding| {
        finding.at.ids.map_or(0, |(first, last): (TransId, TransId)| {
            last.get().saturating_sub(first.get()).saturating_add(1)
        })
    };
    let lost: u64 = places.clone().map(ids).sum();
    if findings.list.iter().any(|finding| finding.kind == FindingKind::Metadata) {
        return Failure::new(
            Exit::Corrupt,
            "the log's parameters are damaged, and without them nothing can be read",
        )
        .hint("`loghold log repair` can often find out what they were");
    }
    let records = counted(usize::try_from(lost).unwrap_or(usize::MAX), "record");
    Failure::new(
        Exit::Corrupt,
        format!("{}, {records} cannot be read", counted(places.count(), "damaged place")),
    )
    .hint("restore the log from a backup, or see what `loghold log repair` would do")
}
