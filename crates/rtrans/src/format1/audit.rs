//! Reading a whole log of format 1, to say what is not as it was written.
//! Refuses to judge the end of the log by other rules than opening it does.

use std::path::PathBuf;

use host::{Disk, Kind};

use super::doubtful::{Unreadable, at_least, attested_by_tail, note};
use super::files::{Files, Source};
use super::look::{dirs, numbers_in};
use super::position::dir_path;
use super::recover::missing_dirs;
use super::shelf::Shelf;
use super::verdict::judge;
use crate::backup::Snapshot;
use crate::check::{Audit, FindingKind, Severity};
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::parameters::Parameters;
use crate::tail_page::Tail;

/// How many bytes of records are read at once, and how often progress is told.
const PIECE_BYTES: usize = 1 << 20;

/// Reads a whole log.
pub(crate) fn audit(disk: &Disk, parameters: &Parameters, audit: &mut Audit<'_>) -> Result<(), Error> {
    let shelf = Shelf::as_found(disk, parameters)?;
    let (first, next) = shelf.bounds();
    let last = next.saturating_sub(1);
    let files = Files::new(disk, Source::Any);
    let found = dirs(&files)?;
    for dir in &found.numbers {
        for entry in disk.list(&dir_path(*dir))?.iter().filter(|entry| entry.kind == Kind::File) {
            let is_data = entry.name.to_str().is_some_and(|name| name.starts_with("data."));
            if is_data {
                let len = disk.stat(&dir_path(*dir).join(&entry.name))?.len;
                audit.progress.bytes_all = audit.progress.bytes_all.saturating_add(len);
                audit.findings.files = audit.findings.files.saturating_add(1);
            }
        }
    }
    let missing: Vec<Corruption> = missing_dirs(shelf.form(), &found).collect();
    let bad = read_all(&shelf, (first, next), &missing, audit)?;

    let attested = at_least(shelf.form(), attested_by_tail(disk), first, last);
    let spans: Vec<(u64, u64)> = bad.iter().map(|bad| (bad.first, bad.last)).collect();
    let verdict = judge(last, &spans, attested);
    audit.next = verdict.next;
    audit.findings.ids = TransId::new(first)
        .zip(TransId::new(verdict.next.saturating_sub(1)))
        .filter(|(first, last)| first <= last);
    for (from, upto) in &verdict.damaged {
        let why = bad.iter().find(|bad| bad.first == *from).map(|bad| bad.why.clone());
        let ended = || Corruption::of(&dir_path(0), "the log ends before records that had been durable");
        audit.note_gap(why.unwrap_or_else(ended), *from, upto.saturating_add(1));
    }
    if let Some(torn) = bad.iter().find(|bad| bad.last >= verdict.next) {
        let what = format!("an unfinished write: it is cut when the log is opened ({})", torn.why.what);
        let at = Corruption { what, ids: None, ..torn.why.clone() };
        audit.note(Severity::Note, FindingKind::TornTail, at);
    }
    Ok(())
}

/// Reads every record; returns those that cannot be read, neighbours together.
fn read_all(
    shelf: &Shelf,
    (first, next): (u64, u64),
    missing: &[Corruption],
    audit: &mut Audit<'_>,
) -> Result<Vec<Unreadable>, Error> {
    let mut bad: Vec<Unreadable> = Vec::new();
    let mut id = first;
    while id < next {
        // Whole directories that are gone are passed over at once.
        let gone = missing.iter().find(|gone| gone.ids.is_some_and(|(from, _)| from.get() == id));
        if let Some((_, last)) = gone.and_then(|gone| gone.ids) {
            bad.extend(gone.map(|gone| Unreadable { first: id, last: last.get(), why: gone.clone() }));
            id = last.get().saturating_add(1);
            continue;
        }
        match shelf.read_run(id, next, PIECE_BYTES) {
            Ok(batch) => {
                let bytes: usize = batch.records().map(|record| record.bytes.len()).sum();
                id = id.saturating_add(batch.len() as u64);
                audit.count_records(batch.len() as u64, bytes as u64)?;
            }
            Err(Error::Corrupt(why)) => {
                note(&mut bad, id, why);
                id = id.saturating_add(1);
            }
            // Trimmed or rolled back by a writer since.
            Err(Error::Trimmed { first }) if first.get() > id => id = first.get(),
            Err(Error::RolledBack { .. }) => break,
            Err(other) => return Err(other),
        }
    }
    Ok(bad)
}

/// What the log consists of now: entries first, so that the bytes that they lead to are there when those are copied.
pub(crate) fn snapshot(disk: &Disk, parameters: &Parameters) -> Result<Snapshot, Error> {
    let shelf = Shelf::open(disk, parameters)?;
    let (first, next) = shelf.bounds();
    let files = Files::new(disk, Source::Any);
    let mut paths: Vec<(PathBuf, Option<u64>)> = Vec::new();
    for prefix in ["index.", "data."] {
        for dir in &dirs(&files)?.numbers {
            let names = numbers_in(&files, *dir, prefix)?;
            paths
                .extend(names.into_iter().map(|file| (dir_path(*dir).join(format!("{prefix}{file}")), None)));
        }
    }
    let tail = Tail {
        log_id: 1,
        next,
        durable_next: next,
        durable_seq: next.saturating_sub(1),
        first,
        is_clean: true,
        ..Tail::default()
    };
    Ok(Snapshot { files: paths, tail })
}
