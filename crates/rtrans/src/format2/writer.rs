//! The writing side of format 2: batches go to the end of the last data file, and a sync makes them durable.
//! Refuses to decide when: whoever leads a group commit owns it, and calls it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use host::{Clock, Disk, File};

use super::batch::{self, BatchHead, Stamp};
use super::depot::{Chore, Depot, write_pieces};
use super::index_file::index_path;
use super::recover::{self, Found};
use super::segment::Segment;
use super::segment_head::SegmentHead;
use super::shelf::{Shelf, Slot};
use super::walk::first_batch_at;
use crate::control::{self, Control, Memory};
use crate::error::Error;
use crate::options::Threads;
use crate::outgoing::{BATCH_HEAD_BYTES, Outgoing};
use crate::parameters::{Codec, Parameters};
use crate::record::micros_of;
use crate::recovery::Recovery;
use crate::rewrite;
use crate::tail_page::Tail;

/// Room at the end of each file that only positions, marks and trims may use: they go on when the disk is full.
const RESERVE_BYTES_MAX: u64 = 64 << 10;

/// The part of it that only trims may use: they are what makes room, however many positions came before. A tiny file has
/// room for one of them.
const TRIMS_OF_RESERVE: u64 = 4;
const TRIM_BYTES: u64 = 128;

/// Syncs of one file that make it worth zeroing the next one: few large commits gain nothing by it.
const SYNCS_TO_ZERO: u32 = 16;

/// The writing side of a log.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Disk,
    clock: Clock,
    parameters: Parameters,
    log_id: u64,
    /// Asked for once: it is told with every commit.
    pid: u32,
    shelf: Arc<Shelf>,
    depot: Arc<Depot>,
    /// The file that is written; `None` before the first record.
    active: Option<Active>,
    /// Earlier files with bytes that are not synced yet.
    unsynced: Vec<File>,
    seq: u64,
    next: u64,
    durable_seq: u64,
    durable_next: u64,
    /// The end of the log when all was durable.
    durable_position: u64,
    time: u64,
    syncs: u32,
    memory: Memory,
    chores: Vec<Chore>,
}

#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    file: File,
    position: u64,
    is_dirty: bool,
}

/// A log that was opened to be written.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) writer: Writer,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) depot: Arc<Depot>,
    pub(crate) recovery: Recovery,
}

/// Opens a log to write it: mends its end durably before anything is appended.
pub(crate) fn open(
    disk: &Disk,
    clock: &Clock,
    parameters: &Parameters,
    tail: Option<Tail>,
    threads: Threads,
) -> Result<Opened, Error> {
    let mut found = recover::find(disk, parameters, tail, threads)?;
    let depot = Arc::new(Depot::new(disk, parameters));
    depot.put_aside(&found.strays)?;
    depot.discard(&found.discarded)?;
    let last = found.slots.last().map(|last| last.head.number);
    if let Some(last) = last {
        depot.forget_index(last)?;
    }
    depot.settle_names_behind(last)?;
    let now = micros_of(clock.wall());
    if found.log_id == 0 {
        found.log_id = unlike(now, u64::from(std::process::id()));
    }
    let recovery = std::mem::take(&mut found.recovery);
    let active = reopen(disk, &found)?;
    // By the mark alone: records in front of the first file that were not trimmed are lost, and have to be told as such.
    let first = found.memory.first.max(1);
    let shelf = Arc::new(Shelf::new(disk, parameters, found.slots.clone(), first, found.next));
    let time = active.as_ref().and_then(|active| active.segment.times()).map_or(0, |(_, last)| last);
    let durable_position = active.as_ref().map_or(0, |active| active.position);
    let mut writer = Writer {
        disk: disk.clone(),
        clock: clock.clone(),
        parameters: *parameters,
        log_id: found.log_id,
        pid: std::process::id(),
        shelf: Arc::clone(&shelf),
        depot: Arc::clone(&depot),
        active,
        unsynced: Vec::new(),
        seq: found.seq,
        next: found.next,
        durable_seq: found.seq.saturating_sub(1),
        durable_next: found.next,
        durable_position,
        time,
        syncs: 0,
        memory: found.memory,
        chores: Vec::new(),
    };
    writer.remember_first(first);
    writer.note_missing_indexes(&found.slots);
    Ok(Opened { writer, shelf, depot, recovery })
}

/// Opens the last file to go on writing it.
///
/// What survived a mere end of the process may lie in the page cache only: it is synced before it is called durable.
/// Heads of batches behind the end are overwritten: batches to come must not make them look like their successors.
fn reopen(disk: &Disk, found: &Found) -> Result<Option<Active>, Error> {
    let Some(segment) = found.slots.last().and_then(|slot| slot.get()) else { return Ok(None) };
    let file = disk.edit_file(&segment.path)?;
    rewrite(&file, segment, durable_in(found, segment), found.position)?;
    for position in &found.stale {
        file.write_all_at(&[0; BATCH_HEAD_BYTES], *position)?;
    }
    for slot in &found.slots {
        if let Some(earlier) = slot.get().filter(|earlier| earlier.head.number != segment.head.number) {
            let file = disk.edit_file(&earlier.path)?;
            rewrite(&file, earlier, durable_in(found, earlier), earlier.end().into())?;
            file.sync()?;
        }
    }
    file.sync()?;
    Ok(Some(Active { segment: Arc::clone(segment), file, position: found.position, is_dirty: false }))
}

/// Up to where a file is known to be on disk.
fn durable_in(found: &Found, segment: &Segment) -> u64 {
    found.durable.map_or(0, |(number, position)| if number == segment.head.number { position } else { 0 })
}

/// Writes bytes again that are there, with the whole blocks that they lie in, and in any case the block where the next go.
///
/// A sync that failed has left them in memory as if they had been written, and the next sync would pass over them. It may
/// have been that of an earlier start, which writes behind what is known to be durable.
fn rewrite(file: &File, segment: &Segment, from: u64, to: u64) -> Result<(), Error> {
    let block = File::BLOCK_BYTES as u64;
    let from = from.min(to) / block * block;
    let to = to.saturating_add(1).next_multiple_of(block).min(segment.map.len());
    for window in rewrite::windows(from..to) {
        let mut bytes = vec![0; rewrite::bytes_in(&window)];
        segment.map.read_exact_at(&mut bytes, window.start)?;
        rewrite::write_again(file, &bytes, window.start)?;
    }
    Ok(())
}

impl Writer {
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What has to be done some time; the caller takes it to whoever does it.
    pub(crate) fn take_chores(&mut self) -> Vec<Chore> {
        for number in self.shelf.take_doubtful() {
            let line = self.shelf.line();
            let slot = line.iter().find(|slot| slot.head.number == number);
            self.chores
                .extend(slot.and_then(|slot| slot.get()).map(|segment| Chore::Index(Arc::clone(segment))));
        }
        std::mem::take(&mut self.chores)
    }

    /// How far the log has got.
    pub(crate) fn tail(&self) -> Tail {
        Tail {
            log_id: self.log_id,
            next: self.next,
            durable_next: self.durable_next,
            durable_seq: self.durable_seq,
            number: self.active.as_ref().map_or(0, |active| active.segment.head.number),
            position: self.durable_position,
            first: self.memory.first,
            pid: self.pid,
            is_clean: false,
        }
    }

    /// Writes a batch to the system and lets readers see it. It is durable after [`Writer::sync`].
    ///
    /// After an error the log is as before: what was written of the batch is overwritten by the next one.
    pub(crate) fn write(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        let len = outgoing.buffer.len().saturating_add(control::len_of(&outgoing.controls));
        if !self.has_room(len as u64, outgoing) {
            self.rotate(self.next, len as u64)?;
        }
        self.write_here(outgoing)
    }

    /// Makes all that was written durable. The commit point of a batch is the return of the last sync in here.
    ///
    /// After an error nothing that was written since the last sync may be called durable, ever.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        for file in &self.unsynced {
            file.sync()?;
        }
        self.unsynced.clear();
        if let Some(active) = self.active.as_mut().filter(|active| active.is_dirty) {
            active.file.sync()?;
            active.is_dirty = false;
            self.syncs = self.syncs.saturating_add(1);
            self.durable_position = active.position;
        }
        self.durable_seq = self.seq.saturating_sub(1);
        self.durable_next = self.next;
        Ok(())
    }

    /// Cuts the log behind record `after`, durably.
    ///
    /// The commit point is the sync of a new data file whose head says that it begins behind that record: what earlier
    /// files hold from there on counts no more. Positions beyond are set back.
    pub(crate) fn roll_back(&mut self, after: u64) -> Result<(), Error> {
        let mut memory = self.memory.clone();
        for position in memory.positions.values_mut().filter(|position| position.transid > after) {
            position.transid = after;
            position.generation = position.generation.saturating_add(1);
        }
        let before = std::mem::replace(&mut self.memory, memory);
        let next = after.saturating_add(1);
        if let Err(error) = self.rotate(next, 0) {
            self.memory = before;
            return Err(error);
        }
        self.sync().map_err(Error::unclean)?;
        self.shelf.roll_back(after);
        Ok(())
    }

    /// Lets files go all of whose records are trimmed. The mark itself was written and synced as a control before.
    pub(crate) fn drop_before(&mut self, first: u64) {
        self.shelf.trim(first);
        let gone: Vec<u64> = self.shelf.drop_before(first).iter().map(|head| head.number).collect();
        let Some(highest) = gone.iter().copied().max() else { return };
        let line = self.shelf.line();
        let kept = line.first().map_or(highest.saturating_add(1), |slot| slot.head.number);
        let per_dir = self.parameters.index_file_num_per_dir;
        // Files that a rollback has made void lie between those of the line, and go with them.
        let mut numbers = Vec::new();
        let mut number = kept;
        while let Some(before) = number.checked_sub(1) {
            if self.disk.stat(&super::segment::data_path(before, per_dir)).is_err() {
                break;
            }
            numbers.push(before);
            number = before;
        }
        // A crash may have left files in front of one that is gone already.
        numbers.extend(gone.into_iter().rev().filter(|number| *number < kept));
        let mut is_new = BTreeSet::new();
        numbers.retain(|number| is_new.insert(*number));
        if !numbers.is_empty() {
            self.chores.push(Chore::Retire(numbers));
        }
    }

    fn remember_first(&mut self, first: u64) {
        self.memory.first = self.memory.first.max(first);
        self.drop_before(self.memory.first);
    }

    /// Full files whose index never got to disk have it written; whether it is right is seen when it is used.
    fn note_missing_indexes(&mut self, slots: &[Arc<Slot>]) {
        let per_dir = self.parameters.index_file_num_per_dir;
        let mut listed = (None, BTreeSet::new());
        for (slot, behind) in slots.iter().zip(slots.iter().skip(1)) {
            if let Some(segment) = slot.get() {
                self.chores.push(Chore::Index(Arc::clone(segment)));
                continue;
            }
            let path = index_path(slot.head.number, per_dir);
            let dir = path.parent().map(Path::to_owned);
            if listed.0 != dir {
                let entries = dir.as_deref().and_then(|dir| self.disk.list(dir).ok()).unwrap_or_default();
                listed = (dir, entries.into_iter().map(|entry| entry.name).collect());
            }
            if path.file_name().is_some_and(|name| !listed.1.contains(name)) {
                // The file is read by who does the chore: a start takes no longer for it.
                self.chores.push(Chore::Reindex {
                    shelf: Arc::clone(&self.shelf),
                    slot: Arc::clone(slot),
                    end: behind.head.first,
                });
            }
        }
    }

    fn has_room(&self, len: u64, outgoing: &Outgoing) -> bool {
        let Some(active) = &self.active else { return false };
        let count = outgoing.count();
        let is_trim = || outgoing.controls.iter().any(|control| matches!(control, Control::First(_)));
        let kept = match count {
            0 if is_trim() => 0,
            0 => self.reserve_of_trims(),
            _ => self.reserve(),
        };
        let end = active.position.saturating_add(len).saturating_add(kept);
        let records = self.next.saturating_sub(active.segment.head.first).saturating_add(count);
        end <= active.segment.map.len() && records <= u64::from(self.parameters.index_num_per_file)
    }

    fn reserve(&self) -> u64 {
        RESERVE_BYTES_MAX.min(self.parameters.max_size_data_file / 16)
    }

    fn reserve_of_trims(&self) -> u64 {
        (self.reserve() / TRIMS_OF_RESERVE).max(TRIM_BYTES)
    }

    fn write_here(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        let Some(active) = &mut self.active else { return Err(Error::Closed) };
        self.time = self.time.max(micros_of(self.clock.wall()));
        outgoing.appended_at = self.time;
        let types: Vec<u32> = outgoing.types().collect();
        let stamp = Stamp {
            generation: active.segment.head.generation,
            seq: self.seq,
            durable_upto: self.durable_seq,
            codec: Codec::from_number(active.segment.head.codec).unwrap_or_default(),
        };
        let bytes = batch::encode(outgoing, stamp).bytes;
        // Before the first byte: a write that fails half way leaves bytes that a later sync has to cover.
        active.is_dirty = true;
        let written = write_pieces(&active.file, &bytes, active.position);
        let head = BatchHead::decode(&bytes, stamp.generation);
        outgoing.buffer = bytes;
        written?;
        let Some(head) = head else { return Err(Error::Closed) };
        let offset = active.position;
        let end = offset.saturating_add(outgoing.buffer.len() as u64);
        active.position =
            end.checked_next_multiple_of(u64::from(self.parameters.data_blk_size)).unwrap_or(end);
        let position = active.position;
        active.segment.grow(|growing| {
            growing.push(&head, u32::try_from(offset).unwrap_or(u32::MAX), &outgoing.offsets, types);
            growing.end = u32::try_from(position).unwrap_or(u32::MAX);
        });
        self.seq = self.seq.saturating_add(1);
        self.next = head.next();
        for control in &outgoing.controls {
            self.memory.apply(control);
        }
        self.shelf.publish(self.next);
        self.prepare_in_time();
        Ok(())
    }

    /// Has the next file prepared once this one is half full.
    fn prepare_in_time(&mut self) {
        let Some(active) = &self.active else { return };
        let number = active.segment.head.number.saturating_add(1);
        let is_half_full = active.position >= active.segment.map.len() / 2;
        let is_asked = self.chores.iter().any(|chore| matches!(chore, Chore::Prepare { .. }));
        if is_half_full && !is_asked && !self.depot.is_prepared(number) {
            self.chores.push(Chore::Prepare { number, is_zeroed: self.syncs >= SYNCS_TO_ZERO });
        }
    }

    /// Goes on in a new data file, which begins with record `first` and with all that the log remembers.
    fn rotate(&mut self, first: u64, len: u64) -> Result<(), Error> {
        let number = self.active.as_ref().map_or(0, |active| active.segment.head.number.saturating_add(1));
        let start = first_batch_at(self.parameters.data_blk_size);
        let mut memory = Outgoing::new(first, Vec::new(), Vec::new());
        memory.controls = self.memory.controls();
        memory.appended_at = self.time;
        let snapshot = control::len_of(&memory.controls).saturating_add(memory.buffer.len());
        let block = u64::from(self.parameters.data_blk_size);
        let needed = [start, snapshot as u64, len, self.reserve(), block, block]
            .into_iter()
            .fold(0, u64::saturating_add);
        let is_synced_often = self.active.is_none() || self.syncs >= SYNCS_TO_ZERO;
        let spare = self.depot.take(number, needed, is_synced_often)?;
        let now = micros_of(self.clock.wall());
        let head = SegmentHead {
            codec: self.parameters.need_compress,
            metadata_crc: self.parameters.checksum(),
            log_id: self.log_id,
            number,
            generation: unlike(now, number),
            first,
            first_seq: self.seq,
            durable_seq: self.durable_seq,
            created_at: now,
            key_id: 0,
        };
        let stamp = Stamp {
            generation: head.generation,
            seq: self.seq,
            durable_upto: self.durable_seq,
            codec: Codec::None,
        };
        let snapshot = batch::encode(&mut memory, stamp).bytes;
        let mut bytes = vec![0; usize::try_from(start).unwrap_or(0)];
        crate::bytes::put(&mut bytes, 0, &head.encode());
        bytes.extend_from_slice(&snapshot);
        let Some(batch) = BatchHead::decode(&snapshot, head.generation) else { return Err(Error::Closed) };
        // Before the first byte: what fails here leaves the log as it was.
        let segment = Arc::new(Segment::growing(&self.disk, head, &self.parameters)?);
        write_pieces(&spare.file, &bytes, 0).map_err(Error::unclean)?;
        let end = (bytes.len() as u64).checked_next_multiple_of(block).unwrap_or(u64::MAX);
        segment.grow(|growing| {
            growing.push(&batch, u32::try_from(start).unwrap_or(u32::MAX), &[], []);
            growing.end = u32::try_from(end).unwrap_or(u32::MAX);
        });
        // From here on nothing fails: the new file takes over.
        let active =
            Active { segment: Arc::clone(&segment), file: spare.file, position: end, is_dirty: true };
        if let Some(full) = self.active.replace(active) {
            if full.is_dirty {
                self.unsynced.push(full.file);
            }
            self.chores.push(Chore::Index(full.segment));
        }
        self.seq = self.seq.saturating_add(1);
        self.next = first;
        self.syncs = 0;
        // Of the new file nothing is durable yet, and `tail` speaks of that file now.
        self.durable_position = 0;
        if first < self.shelf.bounds().1 {
            self.shelf.publish(first);
        }
        self.shelf.push(segment);
        Ok(())
    }

    /// Clamps positions that lie beyond the last record: none may be ahead of the log.
    pub(crate) fn clamp_positions(&mut self) -> Vec<(String, u64, u64)> {
        let last = self.next.saturating_sub(1);
        let mut clamped = Vec::new();
        for (name, position) in &mut self.memory.positions {
            if position.transid > last {
                clamped.push((name.as_str().to_owned(), position.transid, last));
                position.transid = last;
                position.generation = position.generation.saturating_add(1);
            }
        }
        clamped
    }

    /// Positions that consumers of other processes have noted in their files.
    pub(crate) fn learn(&mut self, control: &Control) {
        self.memory.apply(control);
    }
}

/// A number that is hardly ever used twice: from the time and something that differs at the same time.
fn unlike(micros: u64, other: u64) -> u64 {
    let mixed = micros.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ other.wrapping_add(1).wrapping_mul(0xD1B5_4A32_D192_ED03);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1
}
