//! One data file of format 2, mapped, with the table that leads to its records.
//! Refuses to return a byte that was not verified, and to hide a record that cannot be: it is reported as damaged.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use host::{Disk, Map};

use super::batch::{self, BatchHead};
use super::index_file::{Expected, IndexFile, index_path};
use super::segment_head::{SEGMENT_HEAD_BYTES, SegmentHead};
use super::table::{BatchEntry, Growing, HOLE, Piece, Table};
use super::walk::{Step, Walk, first_batch_at};
use crate::error::{Corruption, Error};
use crate::frame::{FRAME_HEAD_BYTES, FrameHead, read_frame};
use crate::ids::{TransId, TypeNo};
use crate::outgoing::BATCH_HEAD_BYTES;
use crate::parameters::Parameters;
use crate::record::{Record, RecordBatch, Times, time_of};

/// Lost records that a table has places for, besides those that a file of its size may hold.
const HOLE_RECORDS_MAX: u64 = 1 << 21;

/// Bytes that are read with the head of a record, before it is known how long it is.
const NEAR_BYTES: usize = 256;

/// A data file that is read.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) head: SegmentHead,
    pub(crate) map: Map,
    data_blk_size: u32,
    index_path: PathBuf,
    /// Taken for a look-up or an addition; nothing is read or written under it.
    table: RwLock<Table>,
    /// The compressed batch that was read last. Taken to look or to put.
    unpacked: Mutex<Option<Arc<Unpacked>>>,
}

/// A batch that was compressed.
#[derive(Debug)]
struct Unpacked {
    offset: u32,
    head: BatchHead,
    frames: Arc<Vec<u8>>,
    offsets: Vec<u32>,
}

/// Where the data file `number` lies.
pub(crate) fn data_path(number: u64, per_dir: u32) -> PathBuf {
    PathBuf::from(format!("{}/data.{}", number / u64::from(per_dir), number % u64::from(per_dir)))
}

impl Segment {
    /// Opens a data file with a table that is still empty: a scan or appends fill it.
    pub(crate) fn growing(disk: &Disk, head: SegmentHead, parameters: &Parameters) -> Result<Segment, Error> {
        let path = data_path(head.number, parameters.index_file_num_per_dir);
        let file = disk.open_file(&path)?;
        let map = file.map(file.len()?)?;
        let first_at = u32::try_from(first_batch_at(parameters.data_blk_size)).unwrap_or(u32::MAX);
        let table = Table::Growing(Growing::new(head.codec != 0, first_at, head.first_seq));
        Ok(Segment {
            index_path: index_path(head.number, parameters.index_file_num_per_dir),
            path,
            head,
            map,
            data_blk_size: parameters.data_blk_size,
            table: RwLock::new(table),
            unpacked: Mutex::new(None),
        })
    }

    /// Opens a full data file by its index. Returns whether the index was missing or doubtful, and had to be made in
    /// memory by reading the file.
    pub(crate) fn sealed(
        disk: &Disk,
        head: SegmentHead,
        parameters: &Parameters,
        next: u64,
    ) -> Result<(Segment, bool), Error> {
        let segment = Segment::growing(disk, head, parameters)?;
        let index = IndexFile::open(disk, &segment.index_path, segment.expected());
        // A tail that was rolled back may be longer than what is left of it; less than that is an index of other data.
        let index = index.filter(|index| head.first.saturating_add(u64::from(index.head().count)) >= next);
        let Some(index) = index else {
            segment.scan(next)?;
            return Ok((segment, true));
        };
        segment.seal(index);
        Ok((segment, false))
    }

    /// Fills the table by reading the file; what cannot be read up to record `next` is a hole.
    pub(crate) fn scan(&self, next: u64) -> Result<(), Error> {
        let mut walk = self.walk();
        let mut growing = Growing::new(self.head.codec != 0, self.end(), self.head.first_seq);
        let id_of = |growing: &Growing| self.head.first.saturating_add(u64::from(growing.count()));
        loop {
            let step = match walk.step(growing.next_seq, id_of(&growing))? {
                Some(step) => step,
                None => match walk.next_whole(growing.next_seq)? {
                    Some(step) if step.head.first >= id_of(&growing) => {
                        let hole = room_for_hole(&growing, id_of(&growing), step.head.first, self.map.len());
                        let Some(hole) = hole else { break };
                        growing.push_hole(hole);
                        walk.resume(&step);
                        step
                    }
                    _ => break,
                },
            };
            push(&mut growing, step);
            growing.end = narrow(walk.position);
        }
        if let Some(hole) = room_for_hole(&growing, id_of(&growing), next, self.map.len()) {
            growing.push_hole(hole);
        }
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Table::Growing(growing);
        Ok(())
    }

    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk::new(&self.map, &self.head, self.data_blk_size)
    }

    /// A walk that goes on where another one ended.
    pub(crate) fn walk_from(&self, position: u64) -> Walk<'_> {
        let mut walk = self.walk();
        walk.position = position;
        walk
    }

    pub(crate) fn expected(&self) -> Expected {
        Expected { number: self.head.number, generation: self.head.generation, first: self.head.first }
    }

    /// Whether the table may take a hole from record `first` to the one before `upto`.
    pub(crate) fn has_room_for(&self, first: u64, upto: u64) -> bool {
        match &*self.table() {
            Table::Growing(growing) => room_for_hole(growing, first, upto, self.map.len()).is_some(),
            Table::Sealed(_) => false,
        }
    }

    /// Notes that the records from `first` to the one before `upto` are lost. A hole that is too long for the table is
    /// left out of it: the line of files knows where the next one begins, and tells the same.
    pub(crate) fn push_hole(&self, first: u64, upto: u64) {
        self.grow(|growing| {
            if let Some(count) = room_for_hole(growing, first, upto, self.map.len()) {
                growing.push_hole(count);
            }
        });
    }

    /// Adds to the table; nothing happens to one that is sealed.
    pub(crate) fn grow(&self, add: impl FnOnce(&mut Growing)) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Table::Growing(growing) = &mut *table {
            add(growing);
        }
    }

    /// Adds a batch that a walk found, which ended at `position`.
    pub(crate) fn add(&self, step: Step, position: u64) {
        self.grow(|growing| {
            push(growing, step);
            growing.end = narrow(position);
        });
    }

    /// Lets the index on disk take the place of the table in memory.
    pub(crate) fn seal(&self, index: IndexFile) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Table::Sealed(Arc::new(index));
    }

    /// The table as it is written to disk; `None` when it is there already.
    pub(crate) fn unsealed_table(&self) -> Option<Growing> {
        match &*self.table() {
            Table::Growing(growing) => Some(growing.clone()),
            Table::Sealed(_) => None,
        }
    }

    pub(crate) fn index(&self) -> Option<Arc<IndexFile>> {
        match &*self.table() {
            Table::Growing(_) => None,
            Table::Sealed(index) => Some(Arc::clone(index)),
        }
    }

    pub(crate) fn index_path(&self) -> &Path {
        &self.index_path
    }

    /// Where the data ends.
    pub(crate) fn end(&self) -> u32 {
        self.table().end()
    }

    /// The id behind the last record of the file.
    pub(crate) fn next(&self) -> u64 {
        let count = self.table().count();
        self.id(count)
    }

    /// The times of the first and the last batch with records; `None` without records.
    pub(crate) fn times(&self) -> Option<(u64, u64)> {
        match &*self.table() {
            Table::Growing(growing) => {
                let times = || {
                    growing.batches.iter().filter(|batch| batch.offset != HOLE).map(|batch| batch.appended_at)
                };
                times().min().zip(times().max())
            }
            Table::Sealed(index) => {
                let head = index.head();
                (head.count > 0).then_some((head.time_min, head.time_max))
            }
        }
    }

    /// Reads one record.
    pub(crate) fn read(&self, id: u64) -> Result<Record, Error> {
        let ordinal = self.ordinal(id);
        let (offset, batch) = {
            let table = self.table();
            (table.offset(ordinal)?, table.batch_of(ordinal)?)
        };
        let Some((_, batch)) = batch else { return Err(self.damaged(id, id, None, "it has no such record")) };
        let Some(offset) = offset else { return self.read_packed(id, batch) };
        if offset == HOLE {
            return Err(self.lost(id));
        }
        // Head and payload in one piece: the memory is waited for once.
        let mut near = [0; NEAR_BYTES];
        let len = self.map.len().saturating_sub(offset.into()).min(NEAR_BYTES as u64);
        let near = near.get_mut(..usize::try_from(len).unwrap_or(0)).unwrap_or_default();
        if !self.is_copied(near, offset.into())? {
            return self.read_again(id, offset);
        }
        if let Some((frame, _)) = read_frame(near, id) {
            return self.record(id, frame.type_no, batch.appended_at, frame.payload.to_vec());
        }
        let start = u64::from(offset) + FRAME_HEAD_BYTES as u64;
        let head = FrameHead::read(near).filter(|head| start + u64::from(head.len) <= self.map.len());
        let Some(head) = head else { return self.read_again(id, offset) };
        let mut bytes = vec![0; head.len as usize];
        self.map.read_exact_at(&mut bytes, start)?;
        if !head.covers(id, &bytes) {
            return self.read_again(id, offset);
        }
        self.record(id, head.type_no, batch.appended_at, bytes)
    }

    pub(super) fn record(
        &self,
        id: u64,
        type_no: u32,
        appended_at: u64,
        bytes: Vec<u8>,
    ) -> Result<Record, Error> {
        let Some(id) = TransId::new(id) else {
            return Err(self.damaged(1, 1, None, "a record has the id 0"));
        };
        Ok(Record { id, type_no: TypeNo(type_no), appended_at: Some(time_of(appended_at)), bytes })
    }

    /// What is left to try when a record was not where its index says: the index may be the one that is damaged.
    #[cold]
    fn read_again(&self, id: u64, offset: u32) -> Result<Record, Error> {
        let Some(index) = self.index() else {
            return Err(self.damaged(id, id, Some(offset), "the record does not match its checksum"));
        };
        if index.is_whole() {
            return Err(self.damaged(id, id, Some(offset), "the record does not match its checksum"));
        }
        self.scan(self.next())?;
        self.read(id)
    }

    fn read_packed(&self, id: u64, batch: BatchEntry) -> Result<Record, Error> {
        let unpacked = self.unpack(id, batch)?;
        let index = usize::try_from(id.saturating_sub(unpacked.head.first)).unwrap_or(usize::MAX);
        let frame = unpacked.offsets.get(index).and_then(|offset| {
            let frame = unpacked.frames.get(*offset as usize..)?;
            read_frame(frame, id)
        });
        let Some((frame, _)) = frame else {
            return Err(self.damaged(id, id, Some(batch.offset), "the batch has no such record"));
        };
        self.record(id, frame.type_no, batch.appended_at, frame.payload.to_vec())
    }

    fn unpack(&self, id: u64, batch: BatchEntry) -> Result<Arc<Unpacked>, Error> {
        if batch.offset == HOLE {
            return Err(self.lost(id));
        }
        let last = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(unpacked) = last.filter(|unpacked| unpacked.offset == batch.offset) {
            return Ok(unpacked);
        }
        let mut head = [0; BATCH_HEAD_BYTES];
        if !self.is_copied(&mut head, u64::from(batch.offset))? {
            return Err(self.damaged(id, id, Some(batch.offset), "the file ends before the batch"));
        }
        let body_at = u64::from(batch.offset) + BATCH_HEAD_BYTES as u64;
        let unpacked = BatchHead::decode(&head, self.head.generation)
            .filter(|head| body_at + u64::from(head.body_len) <= self.map.len())
            .map(|head| {
                let mut body = vec![0; head.body_len as usize];
                self.map.read_exact_at(&mut body, body_at)?;
                let Some(body) = batch::open(&head, &body, self.head.generation, 1 << 31) else {
                    return Ok(None);
                };
                let frames = body.frames.into_owned();
                let (mut offsets, mut types) = (Vec::new(), Vec::new());
                let is_whole = batch::verify(&head, &frames, &mut offsets, &mut types).is_some();
                let frames = Arc::new(frames);
                Ok::<_, Error>(
                    is_whole.then(|| Arc::new(Unpacked { offset: batch.offset, head, frames, offsets })),
                )
            });
        let Some(unpacked) = unpacked.transpose()?.flatten() else {
            return Err(self.damaged(id, id, Some(batch.offset), "the batch does not match its checksums"));
        };
        *self.unpacked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&unpacked));
        Ok(unpacked)
    }

    /// Reads records from `from` on: at least one, none from `end` on, about `bytes_max` bytes of them.
    pub(crate) fn run(
        &self,
        from: u64,
        end: u64,
        bytes_max: usize,
        buffer: Vec<u8>,
    ) -> Result<RecordBatch, Error> {
        let ordinal = self.ordinal(from);
        let (offset, pieces) = {
            let table = self.table();
            let Some(offset) = table.offset(ordinal)? else {
                let Some((_, batch)) = table.batch_of(ordinal)? else {
                    return Err(self.damaged(from, from, None, "it has no such record"));
                };
                drop(table);
                return self.run_packed(from, end, batch);
            };
            if offset == HOLE {
                drop(table);
                return Err(self.lost(from));
            }
            let limit = offset.saturating_add(u32::try_from(bytes_max).unwrap_or(u32::MAX));
            (offset, table.pieces(ordinal, self.ordinal(end), limit)?)
        };
        let batch = self.collect(from, &pieces, bytes_max, buffer)?;
        if let Some(batch) = batch {
            return Ok(batch);
        }
        // The first record alone is larger than what is read at a time, or not whole.
        let mut head = [0; FRAME_HEAD_BYTES];
        if !self.is_copied(&mut head, u64::from(offset))? {
            return Ok(RecordBatch::of(&self.read_again(from, offset)?));
        }
        let len = FrameHead::read(&head).map_or(0, |head| head.len as usize);
        let len = len.saturating_add(FRAME_HEAD_BYTES);
        let batch = if len > bytes_max {
            self.collect(from, pieces.get(..1).unwrap_or_default(), len, Vec::new())?
        } else {
            None
        };
        let Some(batch) = batch else { return Ok(RecordBatch::of(&self.read_again(from, offset)?)) };
        Ok(batch)
    }

    /// Reads the records of several batches, and puts them side by side.
    fn collect(
        &self,
        from: u64,
        pieces: &[Piece],
        bytes_max: usize,
        mut bytes: Vec<u8>,
    ) -> Result<Option<RecordBatch>, Error> {
        let (mut id, mut filled) = (from, 0usize);
        let mut times = Times::default();
        for piece in pieces {
            let room = bytes_max.saturating_sub(filled);
            let end = u64::from(piece.end).min(self.map.len());
            let len =
                usize::try_from(end.saturating_sub(piece.offset.into())).unwrap_or(usize::MAX).min(room);
            let behind = filled.saturating_add(len);
            if bytes.len() < behind {
                bytes.resize(behind, 0);
            }
            let place = bytes.get_mut(filled..behind).unwrap_or_default();
            if !self.is_copied(place, piece.offset.into())? {
                break;
            }
            times.push(narrow(id.saturating_sub(from)), piece.appended_at);
            let (len, next) = verify_frames(place, id, piece.count);
            filled = filled.saturating_add(len);
            let is_whole = next == id.saturating_add(u64::from(piece.count));
            id = next;
            if !is_whole {
                break;
            }
        }
        let count = narrow(id.saturating_sub(from));
        let first = TransId::new(from).filter(|_| count > 0);
        Ok(first.map(|first| RecordBatch::new(first, count, times, Arc::new(bytes), 0)))
    }

    fn run_packed(&self, from: u64, end: u64, batch: BatchEntry) -> Result<RecordBatch, Error> {
        let unpacked = self.unpack(from, batch)?;
        let index = usize::try_from(from.saturating_sub(unpacked.head.first)).unwrap_or(usize::MAX);
        let start = unpacked.offsets.get(index).copied();
        let count = unpacked.head.next().min(end).saturating_sub(from);
        let (Some(start), Some(first)) = (start, TransId::new(from).filter(|_| count > 0)) else {
            return Err(self.damaged(from, from, Some(batch.offset), "the batch has no such record"));
        };
        let times = Times::one(batch.appended_at);
        Ok(RecordBatch::new(first, narrow(count), times, Arc::clone(&unpacked.frames), start as usize))
    }

    /// The first record of the file that was appended at this time or later.
    pub(crate) fn seek_time(&self, micros: u64) -> Result<Option<u64>, Error> {
        let table = self.table();
        let count = match &*table {
            Table::Growing(growing) => growing.batches.len(),
            Table::Sealed(index) => index.batches() as usize,
        };
        // Clocks may go back: the first batch that is late enough, not the first of those behind which all are.
        for number in 0..count {
            if let Some(batch) = table.batch(number)?
                && batch.offset != HOLE
                && batch.appended_at >= micros
            {
                return Ok(Some(self.head.first.saturating_add(u64::from(batch.ordinal))));
            }
        }
        Ok(None)
    }

    /// Copies bytes of the file; `false` when it ends before, as one that was cut does whose index leads on.
    fn is_copied(&self, into: &mut [u8], at: u64) -> Result<bool, Error> {
        match self.map.read_exact_at(into, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn id(&self, ordinal: u32) -> u64 {
        self.head.first.saturating_add(u64::from(ordinal))
    }

    pub(super) fn ordinal(&self, id: u64) -> u32 {
        narrow(id.saturating_sub(self.head.first))
    }

    pub(super) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error for a record that lies in a hole: it names the whole hole.
    fn lost(&self, id: u64) -> Error {
        let ordinal = self.ordinal(id);
        let table = self.table();
        let hole = table.batch_of(ordinal).ok().flatten();
        let first = hole.map_or(id, |(_, hole)| self.head.first.saturating_add(u64::from(hole.ordinal)));
        let next = hole.and_then(|(number, _)| table.batch(number.saturating_add(1)).ok().flatten());
        drop(table);
        let last =
            next.map_or_else(|| self.next(), |next| self.head.first.saturating_add(u64::from(next.ordinal)));
        self.damaged(
            first,
            last.saturating_sub(1).max(first),
            None,
            "batches are missing or do not match their checksums",
        )
    }

    pub(crate) fn damaged(&self, first: u64, last: u64, offset: Option<u32>, what: &str) -> Error {
        let corruption = match offset {
            Some(offset) => Corruption::at(&self.path, u64::from(offset), what),
            None => Corruption::of(&self.path, what),
        };
        match (TransId::new(first), TransId::new(last)) {
            (Some(first), Some(last)) => Error::Corrupt(corruption.losing(first, last)),
            _ => Error::Corrupt(corruption),
        }
    }
}

fn push(growing: &mut Growing, step: Step) {
    growing.push(&step.head, narrow(step.offset), &step.offsets, step.types);
}

/// Verifies frames that follow each other, as many as are whole; returns how many bytes they take, and the id behind them.
fn verify_frames(bytes: &[u8], first: u64, count: u32) -> (usize, u64) {
    let (mut rest, mut id) = (bytes, first);
    let end = first.saturating_add(u64::from(count));
    while id < end
        && let Some((_, behind)) = read_frame(rest, id)
    {
        rest = behind;
        id = id.saturating_add(1);
    }
    (bytes.len().saturating_sub(rest.len()), id)
}

/// How many records are lost from `first` to the one before `upto`; `None` for more than a table may have in all. Ids on
/// disk may be wrong, and must not take memory.
fn room_for_hole(growing: &Growing, first: u64, upto: u64, file_bytes: u64) -> Option<u32> {
    let lost = upto.saturating_sub(first);
    let room = HOLE_RECORDS_MAX.saturating_add(file_bytes / 8);
    (lost.saturating_add(u64::from(growing.count())) <= room).then(|| narrow(lost))
}

/// Counts and offsets within a file are below 2^32 by the bounds on files and records.
pub(super) fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What the first bytes of a data file are.
#[derive(Debug)]
pub(crate) enum Head {
    Whole(SegmentHead),
    /// Zeros, or nothing: no write of a head ever ended.
    Blank,
    /// Something else: a head is written as one piece, so that no crash leaves this.
    Damaged,
}

/// Reads the head of a data file; `None` when there is none that is whole.
pub(crate) fn read_head(disk: &Disk, path: &Path) -> Result<Option<SegmentHead>, Error> {
    Ok(match look_at_head(disk, path)? {
        Head::Whole(head) => Some(head),
        Head::Blank | Head::Damaged => None,
    })
}

/// Reads the head of a data file, and tells what is there when it is none.
pub(crate) fn look_at_head(disk: &Disk, path: &Path) -> Result<Head, Error> {
    let file = disk.open_file(path)?;
    let mut bytes = [0; SEGMENT_HEAD_BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Head::Blank),
        Err(error) => return Err(error.into()),
    }
    Ok(match SegmentHead::decode(&bytes) {
        Some(head) => Head::Whole(head),
        None if bytes.iter().all(|byte| *byte == 0) => Head::Blank,
        None => Head::Damaged,
    })
}
