//! Cutting the end of a log of format 1: index slots from a record on, and the data behind.
//! Refuses any order but from the highest index file down: a crash in between leaves a whole prefix.

use std::path::PathBuf;

use host::File;

use super::data::Place;
use super::files::Files;
use super::look::numbers_in;
use super::position::{Key, Slot};
use super::stored::Form;
use crate::error::Error;

/// Bytes that are read to tell what was not empty behind a cut. What is behind them is cut all the same.
const LOOKED_AT_MAX: u64 = 1 << 20;

/// Where a log ends: the slot of the next record, and the first free block for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) slot: Slot,
    pub(crate) free: Place,
}

/// What was cut, of which something was not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Cuts everything from `end` on, in these directories (in order); durable when it returns.
///
/// Index files first, the highest first, each synced before the next: whenever the power goes, what is left are the
/// records up to some id. Files are emptied and not removed, so that a reader that holds one open sees the cut.
pub(crate) fn cut(files: &Files, form: &Form, dirs: &[u32], end: End) -> Result<Option<Removed>, Error> {
    let stride = form.layout.stride();
    let behind = || dirs.iter().rev().take_while(|dir| **dir >= end.slot.dir);
    let mut removed = None;
    for dir in behind() {
        for file in numbers_in(files, *dir, "index.")?.into_iter().rev() {
            let kept = match (*dir, file).cmp(&(end.slot.dir, end.slot.file)) {
                std::cmp::Ordering::Less => break,
                std::cmp::Ordering::Equal => end.slot.offset(stride),
                std::cmp::Ordering::Greater => 0,
            };
            removed = shorten(files, Key::Index { dir: *dir, file }, kept)?.or(removed);
        }
    }
    let offset = form.geometry.offset_of(end.free, 0).unwrap_or(u64::MAX);
    let mut removed_data = None;
    for dir in behind() {
        for file in numbers_in(files, *dir, "data.")?.into_iter().rev() {
            let kept = match (*dir, file).cmp(&(end.slot.dir, end.free.file)) {
                std::cmp::Ordering::Less => break,
                std::cmp::Ordering::Equal => offset,
                std::cmp::Ordering::Greater => 0,
            };
            removed_data = shorten(files, Key::Data { dir: *dir, file }, kept)?.or(removed_data);
        }
    }
    Ok(removed.or(removed_data))
}

/// Cuts a file that is longer, and syncs it. Returns what was not empty of it.
fn shorten(files: &Files, key: Key, kept: u64) -> Result<Option<Removed>, Error> {
    let path = key.path();
    let file = files.disk().edit_file(&path)?;
    let len = file.len()?;
    if len <= kept {
        return Ok(None);
    }
    let bytes = used_bytes(&file, kept, len)?;
    file.set_len(kept)?;
    file.sync()?;
    Ok((bytes > 0).then_some(Removed { path, offset: kept, bytes }))
}

/// How far behind `from` something is that is not zero.
fn used_bytes(file: &File, from: u64, len: u64) -> Result<u64, Error> {
    let looked_at = (len.saturating_sub(from)).min(LOOKED_AT_MAX);
    let mut bytes = vec![0; usize::try_from(looked_at).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    let used = bytes.iter().rposition(|byte| *byte != 0);
    Ok(used.map_or(0, |used| (used as u64).saturating_add(1)))
}
