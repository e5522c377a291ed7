//! `Record`: what a log gives back; and `RecordBatch`, many of them in one buffer.
//! Refuses to hold bytes that were not verified.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::frame::{FRAME_HEAD_BYTES, FrameHead, Unframed};
use crate::ids::{TransId, TypeNo};

/// A record, verified against its checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: TransId,
    /// Its type.
    pub type_no: TypeNo,
    /// When it was appended, by the writer's clock, to the microsecond. Format 1 does not know.
    pub appended_at: Option<SystemTime>,
    /// What was appended.
    pub bytes: Vec<u8>,
}

impl Record {
    /// The record, lent.
    pub(crate) fn as_ref(&self) -> RecordRef<'_> {
        RecordRef { id: self.id, type_no: self.type_no, appended_at: self.appended_at, bytes: &self.bytes }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record {{ id: {}, type_no: {}, {} bytes }}", self.id, self.type_no, self.bytes.len())
    }
}

/// Some records that follow each other, verified, in one buffer: reading them costs no allocation each.
///
/// ```
/// # use rtrans::{Log, Options, TypeNo, TransId};
/// # let sim = host::sim::SimDisk::new(1);
/// # let log = Log::open_on(&sim.disk(), &host::Clock::system(), Options::default())?;
/// log.append(TypeNo(7), b"first")?;
/// log.append(TypeNo(7), b"second")?;
///
/// let mut bytes = 0;
/// for batch in log.batches(..) {
///     for record in batch?.records() {
///         bytes += record.bytes.len();
///     }
/// }
/// assert_eq!(bytes, 11);
/// # Ok::<(), rtrans::Error>(())
/// ```
#[derive(Clone)]
pub struct RecordBatch {
    first: TransId,
    count: u32,
    times: Times,
    /// Frames that follow each other from `start` on.
    frames: Arc<Vec<u8>>,
    start: usize,
}

/// A record that lies in a [`RecordBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its id.
    pub id: TransId,
    /// Its type.
    pub type_no: TypeNo,
    /// When it was appended, by the writer's clock, to the microsecond. Format 1 does not know.
    pub appended_at: Option<SystemTime>,
    /// What was appended.
    pub bytes: &'a [u8],
}

impl RecordRef<'_> {
    /// The record on its own.
    pub fn to_record(&self) -> Record {
        Record {
            id: self.id,
            type_no: self.type_no,
            appended_at: self.appended_at,
            bytes: self.bytes.to_vec(),
        }
    }
}

impl RecordBatch {
    /// Records whose frames lie whole and verified in `frames` from `start` on.
    pub(crate) fn new(
        first: TransId,
        count: u32,
        times: Times,
        frames: Arc<Vec<u8>>,
        start: usize,
    ) -> RecordBatch {
        RecordBatch { first, count, times, frames, start }
    }

    /// One record alone.
    pub(crate) fn of(record: &Record) -> RecordBatch {
        let mut frames = Vec::new();
        Unframed::new(record.type_no.0, &record.bytes).push_to(&mut frames, record.id.get());
        let times = record.appended_at.map_or_else(Times::default, |time| Times::one(micros_of(time)));
        RecordBatch::new(record.id, 1, times, Arc::new(frames), 0)
    }

    /// The buffer that the records lie in.
    pub(crate) fn buffer(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.frames)
    }

    /// The id of the first record.
    pub fn first(&self) -> TransId {
        self.first
    }

    /// How many records there are, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// The records, in order.
    pub fn records(&self) -> Records<'_> {
        Records {
            id: self.first.get(),
            left: self.count,
            index: 0,
            appended_at: None,
            times: &self.times.0,
            rest: self.frames.get(self.start..).unwrap_or_default(),
        }
    }
}

impl IntoIterator for RecordBatch {
    type Item = Record;
    type IntoIter = IntoRecords;

    fn into_iter(self) -> IntoRecords {
        IntoRecords { index: 0, at: self.start, batch: self }
    }
}

/// The records of a [`RecordBatch`], each with bytes of its own.
#[derive(Clone, Debug)]
pub struct IntoRecords {
    batch: RecordBatch,
    index: u32,
    at: usize,
}

impl Iterator for IntoRecords {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.index >= self.batch.count {
            return None;
        }
        let rest = self.batch.frames.get(self.at..)?;
        let head = FrameHead::read(rest)?;
        let bytes = rest.get(FRAME_HEAD_BYTES..)?.get(..head.len as usize)?.to_vec();
        let id = TransId::new(self.batch.first.get().wrapping_add(u64::from(self.index)))?;
        let appended_at = self.batch.times.at(self.index).map(time_of);
        self.at = self.at.wrapping_add(FRAME_HEAD_BYTES).wrapping_add(bytes.len());
        self.index = self.index.wrapping_add(1);
        Some(Record { id, type_no: TypeNo(head.type_no), appended_at, bytes })
    }
}

impl fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordBatch {{ first: {}, count: {} }}", self.first, self.count)
    }
}

/// The records of a [`RecordBatch`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    id: u64,
    left: u32,
    index: u32,
    appended_at: Option<SystemTime>,
    /// Of the records from the next change of times on.
    times: &'a [(u32, u64)],
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        if self.left == 0 {
            return None;
        }
        let head = FrameHead::read(self.rest)?;
        let (bytes, rest) = self.rest.get(FRAME_HEAD_BYTES..)?.split_at_checked(head.len as usize)?;
        let id = TransId::new(self.id)?;
        while let Some(((from, time), later)) = self.times.split_first()
            && *from <= self.index
        {
            (self.appended_at, self.times) = (Some(time_of(*time)), later);
        }
        self.index = self.index.wrapping_add(1);
        self.rest = rest;
        self.id = self.id.wrapping_add(1);
        self.left = self.left.wrapping_sub(1);
        Some(RecordRef { id, type_no: TypeNo(head.type_no), appended_at: self.appended_at, bytes })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

/// When the records of a batch were appended: from which of them on, and the microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<(u32, u64)>);

impl Times {
    /// All at one time.
    pub(crate) fn one(micros: u64) -> Times {
        Times(vec![(0, micros)])
    }

    /// The time of a record, counted from 0.
    fn at(&self, index: u32) -> Option<u64> {
        let behind = self.0.partition_point(|(from, _)| *from <= index);
        behind.checked_sub(1).and_then(|last| self.0.get(last)).map(|(_, micros)| *micros)
    }

    /// The records from this one on, counted from 0, came at another time.
    pub(crate) fn push(&mut self, from: u32, micros: u64) {
        if self.0.last().is_none_or(|(_, last)| *last != micros) {
            self.0.push((from, micros));
        }
    }
}

/// A time on disk as a time of day.
pub(crate) fn time_of(micros: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}

/// A time of day as it is written to disk: microseconds since 1970, 0 before.
pub(crate) fn micros_of(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
