//! The writing side of a log of format 1: data first, then index entries, each at its place.
//! Refuses to append to files: a torn write would shift whatever follows it.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use host::{Disk, Kind};

use super::behind::SyncedBy;
use super::cut::{End, cut};
use super::data::{DataHead, Place};
use super::entry::Entry;
use super::gather::Gather;
use super::handles::Handles;
use super::look::{TRIMMED_PREFIX, dirs, is_there};
use super::position::{Key, Slot, dir_path};
use super::recover::free_behind;
use super::shelf::Shelf;
use super::stored::{Packing, beyond_numbers};
use crate::checksum::crc32;
use crate::codec::compress;
use crate::error::Error;
use crate::frame::Frame;
use crate::outgoing::Outgoing;
use crate::parameters::Codec;
use crate::tail_page::{self, Tail, TailPage};

/// The one writer of a log of format 1.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Disk,
    shelf: Arc<Shelf>,
    handles: Handles,
    cursor: Cursor,
    data: Gather,
    index: Gather,
    /// One entry, encoded; kept for its room.
    entry: Vec<u8>,
}

/// Where the next record goes.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    next: u64,
    /// The first free block of the directory.
    free: Place,
    /// The directory that is written to. `None`: the next record begins one.
    dir: Option<u32>,
}

impl Writer {
    pub(crate) fn new(disk: &Disk, shelf: Arc<Shelf>, next: u64, free: Place, dir: Option<u32>) -> Writer {
        let cursor = Cursor { next, free, dir };
        let (data, index, entry) = (Gather::default(), Gather::default(), Vec::new());
        let mut handles = Handles::new(disk);
        if let Some(dir) = dir {
            handles.doubt(dir);
        }
        Writer { disk: disk.clone(), shelf, handles, cursor, data, index, entry }
    }

    /// Has files that are full synced by a thread.
    pub(crate) fn with_thread(mut self) -> Writer {
        self.handles.synced_by = SyncedBy::Thread;
        self
    }

    /// The id of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.cursor.next
    }

    /// Writes records to the system, and makes them readable. They are durable after [`Writer::sync`].
    ///
    /// After a crash before that, any number of the first ones is left: in this format a batch is not atomic.
    ///
    /// # Errors
    /// When it fails, none of the records is in the log, and [`Error::DiskFull`] and [`Error::NoHandles`] leave the writer
    /// as it was before.
    /// After any other error the log must be opened anew.
    pub(crate) fn write(&mut self, outgoing: &Outgoing) -> Result<(), Error> {
        let before = self.cursor;
        if outgoing.first != before.next {
            let what = format!("records from {} on do not follow {}", outgoing.first, before.next);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what).into());
        }
        match self.write_all(outgoing) {
            Ok(()) => {
                self.shelf.publish_next(self.cursor.next);
                Ok(())
            }
            Err(error) => {
                self.undo(before)?;
                Err(error)
            }
        }
    }

    /// Makes everything durable that was written: data, then index entries, then names.
    ///
    /// # Errors
    /// After an error nothing is known of what is durable; the log must be opened anew.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.handles.sync()
    }

    /// Removes all records behind `last`, durably. Trimmed ones do not come back.
    ///
    /// The commit points are the cuts of the index files, the highest first: after a crash the log ends at `last` or
    /// behind it, and never has a hole.
    pub(crate) fn truncate_after(&mut self, last: u64) -> Result<(), Error> {
        let next = last.saturating_add(1).max(self.shelf.bounds().0);
        if next >= self.cursor.next {
            return Ok(());
        }
        // Readers stop before anything goes.
        self.shelf.publish_next(next);
        let form = *self.shelf.form();
        let slot = self.slot_of(next)?;
        let free = free_behind(self.shelf.files(), &form, next)?;
        self.lower_tail(next)?;
        self.handles.doubt(slot.dir);
        self.cut_to(Cursor { next, free, dir: Some(slot.dir).filter(|_| !slot.is_first_of_dir()) })
    }

    /// Removes directories all of whose records are below `first`. Returns the first record that is left.
    ///
    /// The commit point for each directory is its renaming, the lowest first: a crash leaves no hole.
    ///
    /// # Errors
    /// Only [`Error::DiskFull`] leaves all as it was.
    pub(crate) fn trim_before(&mut self, first: u64) -> Result<u64, Error> {
        let form = *self.shelf.form();
        let kept = self.slot_of(first.min(self.cursor.next).max(1))?.dir;
        let (known, _) = self.shelf.bounds();
        let new_first = form.geometry.first_of(kept).ok_or_else(|| beyond_numbers(first))?;
        if new_first <= known {
            return Ok(known);
        }
        if !is_there(&self.disk, &dir_path(kept))? {
            // Without any directory the log would begin again at 1.
            self.enter(kept)?;
        }
        self.shelf.publish_first(new_first);
        self.remove_before(kept).map_err(Error::unclean)?;
        Ok(new_first)
    }

    fn remove_before(&mut self, kept: u32) -> Result<(), Error> {
        self.handles.close_before(kept)?;
        self.shelf.files().forget_before(kept);
        let found = dirs(self.shelf.files())?;
        for dir in found.numbers.iter().filter(|dir| **dir < kept) {
            let trimmed = Path::new(&format!("{TRIMMED_PREFIX}{dir}")).to_owned();
            if found.trimmed.contains(&trimmed) {
                self.disk.remove_tree(&trimmed)?;
            }
            self.disk.rename(&dir_path(*dir), &trimmed)?;
            self.disk.sync_dir(Path::new(""))?;
            self.disk.remove_tree(&trimmed)?;
        }
        Ok(())
    }

    fn slot_of(&self, id: u64) -> Result<Slot, Error> {
        self.shelf.form().geometry.slot_of(id).ok_or_else(|| beyond_numbers(id))
    }

    fn write_all(&mut self, outgoing: &Outgoing) -> Result<(), Error> {
        for frame in outgoing.frames() {
            let slot = self.slot_of(frame.id)?;
            if self.cursor.dir != Some(slot.dir) {
                self.flush()?;
                self.enter(slot.dir)?;
            }
            self.put(&frame, slot)?;
        }
        self.flush()?;
        if self.cursor.next == outgoing.next() {
            return Ok(());
        }
        // A frame is verified when it is taken out: memory is as mortal as disks.
        let what = format!("record {} was damaged in memory before it was written", self.cursor.next);
        Err(io::Error::new(io::ErrorKind::InvalidData, what).into())
    }

    /// Gathers one record and its entry, and writes what is enough for one call.
    fn put(&mut self, frame: &Frame<'_>, slot: Slot) -> Result<(), Error> {
        let form = *self.shelf.form();
        let stored = match form.packing {
            Packing::Raw => Cow::Borrowed(frame.payload),
            _ => Cow::Owned(compress(Codec::Zlib, frame.payload).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("record {} cannot be compressed", frame.id),
                )
            })?),
        };
        let too_large = |_| Error::TooLarge { bytes: stored.len() as u64, bytes_max: u64::from(u32::MAX) };
        let len = u32::try_from(stored.len()).map_err(too_large)?;
        let beyond = || beyond_numbers(frame.id);
        let place = form.geometry.place(self.cursor.free, len).ok_or_else(beyond)?;
        let offset = form.geometry.offset_of(place, len).ok_or_else(beyond)?;
        let checksum = crc32(&stored);
        let key = Key::Data { dir: slot.dir, file: place.file };
        let head = DataHead { transid: frame.id, checksum }.encode();
        self.data.push(&mut self.handles, key, offset, &[&head, &stored])?;

        let entry = Entry {
            transid: frame.id,
            type_no: frame.type_no,
            dir_no: slot.dir,
            file_no: place.file,
            blk_no: place.blk,
            len,
            checksum,
        };
        let stride = form.layout.stride();
        self.entry.clear();
        entry.encode(stride, &mut self.entry);
        if self.index.is_full_for(slot.key(), self.entry.len()) {
            // An entry reaches the system after its record, so that no reader finds it without.
            self.data.flush(&mut self.handles)?;
        }
        self.index.push(&mut self.handles, slot.key(), slot.offset(stride), &[&self.entry])?;
        self.cursor.free = form.geometry.behind(place, len).ok_or_else(beyond)?;
        self.cursor.next = frame.id.saturating_add(1);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.data.flush(&mut self.handles)?;
        self.index.flush(&mut self.handles)
    }

    /// Takes back what the file `tail` says was durable, before any of it goes: an opening after a crash would take it for
    /// lost otherwise.
    fn lower_tail(&self, next: u64) -> Result<(), Error> {
        let tail = tail_page::read_surely(&self.disk)?;
        let Some(tail) = tail.filter(|tail| tail.durable_next > next) else { return Ok(()) };
        let durable_seq = next.saturating_sub(1);
        let lowered = Tail { durable_next: next, durable_seq, is_clean: false, ..tail };
        Ok(TailPage::open(&self.disk)?.tell_durably(&lowered)?)
    }

    /// Begins a directory. All that lies before the one that is left is durable then, and that one before another is
    /// begun: so only the last two are ever torn, and an opening need not look before them.
    fn enter(&mut self, dir: u32) -> Result<(), Error> {
        self.handles.leave()?;
        let path = dir_path(dir);
        match self.disk.create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            Err(error) if self.disk.stat(&path)?.kind != Kind::Dir => return Err(error.into()),
            // A name that a failed sync has left in memory is written by no later one.
            _ => self.disk.sync_dir(Path::new("")).map_err(|error| Error::from(error).unclean())?,
        }
        self.handles.doubt(dir);
        self.cursor.free = Place::default();
        self.cursor.dir = Some(dir);
        Ok(())
    }

    /// Takes back what a failed write has left, so that its records cannot appear after a crash.
    fn undo(&mut self, before: Cursor) -> Result<(), Error> {
        self.data.clear();
        self.index.clear();
        // What cannot be taken back may be there after the next start: the writer does not go on.
        self.cut_to(before).map_err(Error::unclean)
    }

    /// Cuts the log so that it ends at the cursor, and goes on there.
    fn cut_to(&mut self, cursor: Cursor) -> Result<(), Error> {
        let form = *self.shelf.form();
        let found = dirs(self.shelf.files())?;
        let end = End { slot: self.slot_of(cursor.next)?, free: cursor.free };
        cut(self.shelf.files(), &form, &found.numbers, end)?;
        self.cursor = cursor;
        Ok(())
    }
}
