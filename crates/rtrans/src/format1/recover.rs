//! Opening a log of format 1 to write: finds its end, judges it, and mends it before anything is appended.
//! Refuses logs of the original program, and refuses to trust the end before it was read from the device and synced.
//!
//! What it costs: the listing of the log's directory and of the last ones in it, and the records of the last two directories
//! that are not known to have been durable, besides [`RECHECKED`] before them. A directory is begun only when everything
//! before the one before it is durable, so nothing there can be torn.

use std::path::Path;
use std::sync::Arc;

use host::Disk;

use super::Opened;
use super::cut::{End, Removed, cut};
use super::data::Place;
use super::doubtful::{Unreadable, at_least, first_doubtful, scan};
use super::entry::{Layout, RUBY_ENTRY_BYTES};
use super::files::{Files, Source};
use super::look::{Dirs, dirs, last_written, numbers_in};
use super::position::{Key, dir_path};
use super::recognise::recognise;
use super::shelf::{Authority, Shelf};
use super::stored::{Form, beyond_numbers};
use super::verdict::{Attested, Verdict, judge};
use super::writer::Writer;
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::parameters::Parameters;
use crate::recovery::{Recovery, Torn};
use crate::rewrite::rewrite;

/// Records that had been durable and are read again on every opening: enough to find a disk that lost its last writes
/// although it had promised them.
const RECHECKED: u64 = 1024;

/// Opens a log to write. The caller holds the lock.
///
/// The repair is durable before this returns, and so is every record that is left.
pub(crate) fn open(disk: &Disk, parameters: &Parameters, attested: Attested) -> Result<Opened, Error> {
    let shelf = Shelf::of_device(disk, parameters)?;
    let files = shelf.files();
    let mut found = dirs(files)?;
    for trimmed in found.trimmed.drain(..) {
        disk.remove_tree(&trimmed)?;
    }
    let form = *shelf.form();
    let first = match found.numbers.first() {
        Some(dir) => form.geometry.first_of(*dir).ok_or_else(|| beyond_numbers(u64::MAX))?,
        None => 1,
    };
    let last = last_written(files, &form.geometry, form.layout, &found)?.unwrap_or(first.saturating_sub(1));
    shelf.publish_first(first);
    shelf.publish_next(last.saturating_add(1));
    let attested = at_least(&form, attested, first, last);
    let unreadable = scan(&shelf, (first, last), attested, RECHECKED)?;
    let bad: Vec<(u64, u64)> = unreadable.iter().map(|bad| (bad.first, bad.last)).collect();
    let Verdict { next, damaged } = judge(last, &bad, attested);
    let slot = form.geometry.slot_of(next).ok_or_else(|| beyond_numbers(next))?;
    let end = End { slot, free: free_behind(files, &form, next)? };
    let torn = cut(files, &form, &found.numbers, end)?;
    settle(files, &form, &found.numbers, next, attested)?;

    let mut recovery = Recovery { torn: torn.map(as_torn), ..Recovery::default() };
    // A directory that is missing among the last two was looked for, record by record.
    let doubtful = first_doubtful(&form, first, last);
    let missing =
        missing_dirs(&form, &found).filter(|gone| gone.ids.is_some_and(|(first, _)| first.get() < doubtful));
    recovery.damaged = missing.chain(report(&form, &unreadable, &damaged)).collect();
    let shelf = Arc::new(Shelf::of(Files::new(disk, Source::Any), form, Authority::Writer));
    shelf.publish_first(first);
    shelf.publish_next(next);
    let dir = found.numbers.contains(&slot.dir).then_some(slot.dir).filter(|_| !slot.is_first_of_dir());
    let writer = Writer::new(disk, Arc::clone(&shelf), next, end.free, dir);
    Ok(Opened { writer, shelf, recovery })
}

impl Shelf {
    /// A shelf that reads past what memory caches, of a log that may be appended to.
    fn of_device(disk: &Disk, parameters: &Parameters) -> Result<Shelf, Error> {
        let files = Files::new(disk, Source::Device);
        let form = recognise(&files, parameters, &dirs(&files)?)?;
        match form.layout {
            Layout::Plain { stride } if stride != RUBY_ENTRY_BYTES => {
                Ok(Shelf::of(files, form, Authority::Writer))
            }
            _ => Err(Error::Unsupported {
                what: "a log with index entries of 40 bytes, as the original program writes it, cannot be appended to",
                instead: "it can be read as it is, and `loghold log import` copies it into a new log",
            }),
        }
    }
}

/// The first free block behind the record before `next`: behind its bytes where they are good, else in a new file, so
/// that nothing is overwritten that may still be mended by hand.
pub(crate) fn free_behind(files: &Files, form: &Form, next: u64) -> Result<Place, Error> {
    let slot = form.geometry.slot_of(next).ok_or_else(|| beyond_numbers(next))?;
    if slot.is_first_of_dir() {
        return Ok(Place::default());
    }
    let last = form.find(files, next.saturating_sub(1));
    match last.and_then(|located| Form::fetch(files, &located).map(|_| located)) {
        Ok(located) => {
            let free = form.geometry.behind(located.place(), located.entry.len);
            free.ok_or_else(|| beyond_numbers(next))
        }
        Err(Error::Corrupt(_)) => {
            let highest = numbers_in(files, slot.dir, "data.")?.into_iter().next_back();
            let file = highest.map_or(Some(0), |file| file.checked_add(1));
            Ok(Place { file: file.ok_or_else(|| beyond_numbers(next))?, blk: 0 })
        }
        Err(other) => Err(other),
    }
}

/// Makes durable what is left of the records that are not known to have been, and the cut behind them: after the end of a
/// process alone they may lie in memory only, and behind a failed sync as if they were written. They are written again, past the
/// memory, with the blocks that the next record goes to in any case: what was cut may not have been written there.
fn settle(files: &Files, form: &Form, dirs: &[u32], next: u64, attested: Attested) -> Result<(), Error> {
    let last = next.saturating_sub(1);
    let known = match attested {
        Attested::Upto(attested) => attested,
        Attested::Unknown => 0,
    };
    let first = known.saturating_add(1).min(last);
    let first = first_doubtful(form, first, last).max(first);
    let Some(from) = form.geometry.slot_of(first.max(1)) else { return Ok(()) };
    // One that cannot be read is damage; then all data of its directory is as doubtful.
    let (data, data_offset) =
        form.find(files, first).map_or((0, 0), |located| (located.place().file, located.offset));
    for dir in dirs.iter().filter(|dir| **dir >= from.dir).copied() {
        let mut doubtful = Vec::new();
        for file in
            numbers_in(files, dir, "data.")?.into_iter().filter(|file| (dir, *file) >= (from.dir, data))
        {
            let is_first = (dir, file) == (from.dir, data);
            doubtful.push((Key::Data { dir, file }, if is_first { data_offset } else { 0 }));
        }
        for file in
            numbers_in(files, dir, "index.")?.into_iter().filter(|file| (dir, *file) >= (from.dir, from.file))
        {
            let is_first = (dir, file) == (from.dir, from.file);
            let offset = if is_first { from.offset(form.layout.stride()) } else { 0 };
            doubtful.push((Key::Index { dir, file }, offset));
        }
        for (key, offset) in doubtful {
            rewrite(&files.disk().edit_file(&key.path())?, offset)?;
        }
        files.disk().sync_dir(&dir_path(dir))?;
    }
    files.disk().sync_dir(Path::new(""))?;
    Ok(())
}

fn as_torn(removed: Removed) -> Torn {
    Torn { path: removed.path, offset: removed.offset, bytes: removed.bytes }
}

/// The damage, each with why its first record cannot be read.
fn report<'a>(
    form: &'a Form,
    unreadable: &'a [Unreadable],
    damaged: &'a [(u64, u64)],
) -> impl Iterator<Item = Corruption> + 'a {
    damaged.iter().filter_map(|(first, last)| {
        let why = unreadable.iter().find(|bad| bad.first == *first).map(|bad| bad.why.clone());
        let slot = form.geometry.slot_of(*first)?;
        let ended = || {
            let what = "the log ends here, although more had been durable";
            Corruption::at(&slot.key().path(), slot.offset(form.layout.stride()), what)
        };
        Some(why.unwrap_or_else(ended).losing(TransId::new(*first)?, TransId::new(*last)?))
    })
}

/// Directories that are missing between the first and the last.
pub(super) fn missing_dirs<'a>(form: &'a Form, found: &'a Dirs) -> impl Iterator<Item = Corruption> + 'a {
    let behind = found.numbers.iter().skip(1);
    let gaps =
        found.numbers.iter().zip(behind).filter(|(before, behind)| before.checked_add(1) != Some(**behind));
    gaps.filter_map(|(before, behind)| {
        let missing = before.checked_add(1)?;
        let first = TransId::new(form.geometry.first_of(missing)?)?;
        let last = TransId::new(form.geometry.first_of(*behind)?.saturating_sub(1))?;
        let what = format!("directories are missing, up to {}", behind.saturating_sub(1));
        Some(Corruption::of(&dir_path(missing), what).losing(first, last))
    })
}
