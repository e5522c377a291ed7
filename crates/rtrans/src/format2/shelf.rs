//! The data files of a log of format 2 in line, for everybody who reads.
//! Refuses to make a reader wait for the writer: files are looked up in an immutable line, ends are atomic numbers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use host::Disk;

use super::segment::Segment;
use super::segment_head::SegmentHead;
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::parameters::Parameters;
use crate::record::{Record, RecordBatch};
use crate::selected::Selected;

/// Rollbacks that are remembered for followers; one that lags behind more of them starts at the last.
const ROLLBACKS_MAX: usize = 1024;

/// The reading side of a log.
#[derive(Debug)]
pub(crate) struct Shelf {
    disk: Disk,
    pub(crate) parameters: Parameters,
    line: ArcSwap<Vec<Arc<Slot>>>,
    /// Records below are trimmed.
    first: AtomicU64,
    /// The id behind the last record that may be read. Published after the record's bytes and its place in the table.
    next: AtomicU64,
    /// Indexes that were missing or doubtful when their files were read.
    doubtful: Mutex<Vec<u64>>,
    rollbacks: Mutex<Rollbacks>,
    /// How many rollbacks there were: a follower looks at the list only when this has changed.
    rolled: AtomicU64,
}

/// The last rollbacks: behind which record the log was cut.
#[derive(Debug, Default)]
struct Rollbacks {
    /// How many are no longer in the list.
    forgotten: u64,
    after: Vec<u64>,
}

/// One data file in the line, opened when it is first read.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) head: SegmentHead,
    segment: OnceLock<Arc<Segment>>,
}

impl Slot {
    pub(crate) fn closed(head: SegmentHead) -> Arc<Slot> {
        Arc::new(Slot { head, segment: OnceLock::new() })
    }

    pub(crate) fn opened(segment: Arc<Segment>) -> Arc<Slot> {
        let head = segment.head;
        Arc::new(Slot { head, segment: OnceLock::from(segment) })
    }

    pub(crate) fn get(&self) -> Option<&Arc<Segment>> {
        self.segment.get()
    }
}

impl Shelf {
    pub(crate) fn new(
        disk: &Disk,
        parameters: &Parameters,
        slots: Vec<Arc<Slot>>,
        first: u64,
        next: u64,
    ) -> Shelf {
        Shelf {
            disk: disk.clone(),
            parameters: *parameters,
            line: ArcSwap::from_pointee(in_line(slots)),
            first: AtomicU64::new(first),
            next: AtomicU64::new(next),
            doubtful: Mutex::new(Vec::new()),
            rollbacks: Mutex::new(Rollbacks::default()),
            rolled: AtomicU64::new(0),
        }
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The first record, and the id behind the last one; both the same when there is none.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let next = self.next.load(Ordering::Acquire);
        (self.first.load(Ordering::Acquire).min(next), next)
    }

    pub(crate) fn line(&self) -> Arc<Vec<Arc<Slot>>> {
        self.line.load_full()
    }

    /// Lets readers see the records before `next`, whose places are in their files' tables already.
    pub(crate) fn publish(&self, next: u64) {
        self.next.store(next, Ordering::Release);
    }

    /// Records below `first` are no longer there.
    pub(crate) fn trim(&self, first: u64) {
        self.first.fetch_max(first, Ordering::AcqRel);
    }

    /// Puts a new file at the end of the line. It takes the place of what earlier files hold from its first record on.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        let mut slots = self.line().to_vec();
        slots.push(Slot::opened(segment));
        self.line.store(Arc::new(in_line(slots)));
    }

    /// Puts other files in the place of all.
    pub(crate) fn replace(&self, slots: Vec<Arc<Slot>>) {
        self.line.store(Arc::new(in_line(slots)));
    }

    /// Takes files out of the line whose records are all trimmed; returns their heads.
    pub(crate) fn drop_before(&self, first: u64) -> Vec<SegmentHead> {
        let line = self.line();
        // A file is done with when the next one begins at or below the first record that stays.
        let done = line
            .windows(2)
            .take_while(|pair| pair.get(1).is_some_and(|next| next.head.first <= first))
            .count();
        if done == 0 {
            return Vec::new();
        }
        let (gone, kept) = line.split_at(done);
        self.line.store(Arc::new(kept.to_vec()));
        gone.iter().map(|slot| slot.head).collect()
    }

    /// Notes that the log was cut behind a record.
    pub(crate) fn roll_back(&self, after: u64) {
        let mut rollbacks = self.rollbacks.lock().unwrap_or_else(PoisonError::into_inner);
        if rollbacks.after.len() >= ROLLBACKS_MAX {
            rollbacks.after.remove(0);
            rollbacks.forgotten = rollbacks.forgotten.saturating_add(1);
        }
        rollbacks.after.push(after);
        drop(rollbacks);
        self.rolled.fetch_add(1, Ordering::AcqRel);
    }

    /// How many rollbacks there were.
    pub(crate) fn rolled(&self) -> u64 {
        self.rolled.load(Ordering::Acquire)
    }

    /// The lowest record behind which the log was cut since there were `seen` rollbacks.
    pub(crate) fn rolled_after(&self, seen: u64) -> Option<u64> {
        let rollbacks = self.rollbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = usize::try_from(seen.saturating_sub(rollbacks.forgotten)).unwrap_or(usize::MAX);
        rollbacks.after.iter().skip(skip).copied().min()
    }

    /// The numbers of the files whose index was missing or doubtful, taken off the list.
    pub(crate) fn take_doubtful(&self) -> Vec<u64> {
        std::mem::take(&mut self.doubtful.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads a record within the bounds.
    pub(crate) fn read(&self, id: u64) -> Result<Record, Error> {
        let line = self.line.load();
        let (segment, end) = self.segment_of(&line, id)?;
        segment.read(id).map_err(|error| self.whole_gap(error, segment, id, end))
    }

    /// Reads records from `from` on: at least one, none from `end` on, about `bytes_max` bytes.
    pub(crate) fn run(
        &self,
        from: u64,
        end: u64,
        bytes_max: usize,
        buffer: Vec<u8>,
    ) -> Result<RecordBatch, Error> {
        let line = self.line.load();
        let (segment, segment_end) = self.segment_of(&line, from)?;
        let run = segment.run(from, end.min(segment_end), bytes_max, buffer);
        run.map_err(|error| self.whole_gap(error, segment, from, segment_end))
    }

    /// Adds records from `from` on that are of one of these types, about `bytes_max` bytes of them at most: at least one,
    /// unless none is left before `end`. Returns the id with which the search goes on.
    pub(crate) fn select(
        &self,
        types: &[u32],
        (from, end): (u64, u64),
        bytes_max: usize,
        selected: &mut Selected,
    ) -> Result<u64, Error> {
        let line = self.line.load();
        let mut from = from;
        while from < end && selected.is_empty() {
            let (segment, segment_end) = self.segment_of(&line, from)?;
            let next = segment.select(types, (from, segment_end.min(end)), bytes_max, selected);
            from = next.map_err(|error| self.whole_gap(error, segment, from, segment_end))?;
        }
        Ok(from)
    }

    /// The first record that was appended at this time or later.
    pub(crate) fn seek_time(&self, micros: u64) -> Result<Option<u64>, Error> {
        let line = self.line.load();
        let (first, next) = self.bounds();
        if first >= next {
            return Ok(None);
        }
        for slot in line.iter() {
            let (segment, end) =
                self.segment_of(&line, slot.head.first.max(first).min(next.saturating_sub(1)))?;
            if segment.head.number != slot.head.number
                || segment.times().is_none_or(|(_, last)| last < micros)
            {
                continue;
            }
            if let Some(id) = segment.seek_time(micros)?
                && id.max(first) < end.min(next)
            {
                return Ok(Some(id.max(first)));
            }
        }
        Ok(None)
    }

    /// The file that holds a record, and the id behind the last record that it holds.
    fn segment_of<'a>(&self, line: &'a [Arc<Slot>], id: u64) -> Result<(&'a Arc<Segment>, u64), Error> {
        let behind = line.partition_point(|slot| slot.head.first <= id);
        let slot = behind.checked_sub(1).and_then(|index| line.get(index));
        let Some(slot) = slot else { return Err(missing(id, line, self.bounds().1)) };
        let end = line.get(behind).map_or(u64::MAX, |next| next.head.first);
        Ok((self.open(slot, end)?, end))
    }

    /// The file of a slot, opened when it is not yet. Two that come at once may both open it; one is kept.
    pub(crate) fn open<'a>(&self, slot: &'a Arc<Slot>, end: u64) -> Result<&'a Arc<Segment>, Error> {
        if let Some(segment) = slot.segment.get() {
            return Ok(segment);
        }
        let (segment, is_doubtful) = Segment::sealed(&self.disk, slot.head, &self.parameters, end)?;
        if is_doubtful {
            self.doubtful.lock().unwrap_or_else(PoisonError::into_inner).push(slot.head.number);
        }
        Ok(slot.segment.get_or_init(|| Arc::new(segment)))
    }

    /// The error for a record that lies behind all that its file has: it names all records up to the next file.
    #[cold]
    fn whole_gap(&self, error: Error, segment: &Segment, id: u64, end: u64) -> Error {
        let (first, upto) = (segment.next(), end.min(self.bounds().1));
        match error {
            Error::Corrupt(_) if id >= first && id < upto => segment.damaged(
                first,
                upto.saturating_sub(1),
                None,
                "the records behind its last one are missing",
            ),
            other => other,
        }
    }
}

/// The error for a record in front of the line, which is not trimmed: its file is gone, or all files in front of `next` are.
fn missing(id: u64, line: &[Arc<Slot>], next: u64) -> Error {
    let last = line.first().map_or(next, |slot| slot.head.first).saturating_sub(1);
    let corruption = Corruption {
        path: PathBuf::new(),
        offset: None,
        ids: None,
        what: "a data file is missing".to_owned(),
    };
    match (TransId::new(id), TransId::new(last)) {
        (Some(first), Some(last)) => Error::Corrupt(corruption.losing(first, last.max(first))),
        _ => Error::Corrupt(corruption),
    }
}

/// Leaves out files all of whose records were taken over by a later one, after a rollback.
pub(crate) fn in_line(slots: Vec<Arc<Slot>>) -> Vec<Arc<Slot>> {
    let mut line: Vec<Arc<Slot>> = Vec::with_capacity(slots.len());
    for slot in slots {
        while line.last().is_some_and(|last| last.head.first >= slot.head.first) {
            line.pop();
        }
        line.push(slot);
    }
    line
}
