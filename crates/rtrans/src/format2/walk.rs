//! The walk through a data file, batch by batch, each verified whole; and the search for the next one behind damage.
//! Refuses to judge: whether it ended at a torn write or at damage, and what follows from that, is `recover`'s business.

use host::Map;

use super::ahead::Ahead;
use super::batch::{self, BatchHead};
use super::segment_head::{SEGMENT_HEAD_BYTES, SegmentHead};
use crate::control::Control;
use crate::error::Error;
use crate::frame::FRAME_HEAD_BYTES;
use crate::outgoing::BATCH_HEAD_BYTES;

/// Bytes that are read at a time at most, few enough to stay in the cache that is next to a core. Larger batches are read
/// as wholes.
const WINDOW_BYTES: u64 = 64 << 10;

/// Bytes that are read first: who looks for what came last mostly finds one batch. They double with each reading.
const FIRST_BYTES: u64 = 4 << 10;

/// How much of a file is verified in the search behind one damaged place, in files of its length. Batches do not overlap,
/// so that one is enough; heads that were made to overlap must not take for ever.
const SEARCH_FILES_MAX: u64 = 2;

/// What a compressed batch may become: a record of the largest size, and its head.
const RAW_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// A batch that was found whole.
#[derive(Debug)]
pub(crate) struct Step {
    /// Where it begins.
    pub(crate) offset: u64,
    pub(crate) head: BatchHead,
    /// Where its records begin, counted from the first; of no meaning when they are compressed.
    pub(crate) offsets: Vec<u32>,
    pub(crate) types: Vec<u32>,
    pub(crate) controls: Vec<Control>,
}

/// What lies behind damage.
#[derive(Debug, Default)]
pub(crate) struct Beyond {
    /// The first whole batch.
    pub(crate) step: Option<Step>,
    /// Heads of this generation, of whole batches and of others.
    pub(crate) heads: Vec<u64>,
    /// The highest batch that any of them says was durable.
    pub(crate) durable_upto: u64,
}

/// The place in a walk.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    map: &'a Map,
    generation: u64,
    block: u64,
    /// Where the next batch begins.
    pub(crate) position: u64,
    /// Grows to the largest batch; filled up to `window_len`.
    window: Vec<u8>,
    window_at: u64,
    window_len: usize,
    /// How much is read next time, if no batch wants more.
    read_next: u64,
    /// What others have read already.
    ahead: Ahead,
}

impl<'a> Walk<'a> {
    /// From the first batch of a file on.
    pub(crate) fn new(map: &'a Map, head: &SegmentHead, data_blk_size: u32) -> Walk<'a> {
        let block = u64::from(data_blk_size);
        let position = first_batch_at(data_blk_size);
        let generation = head.generation;
        let (window, read_next, ahead) = (Vec::new(), FIRST_BYTES, Ahead::default());
        Walk { map, generation, block, position, window, window_at: 0, window_len: 0, read_next, ahead }
    }

    /// The walk, with what others read meanwhile.
    pub(crate) fn helped(self, ahead: Ahead) -> Walk<'a> {
        Walk { ahead, ..self }
    }

    /// The next batch, if it is whole and has this number and this first record.
    pub(crate) fn step(&mut self, seq: u64, first: u64) -> Result<Option<Step>, Error> {
        let step = match self.ahead.take(self.position) {
            Some(step) => Some(step),
            None => self.read(self.position)?,
        };
        let Some(step) = step.filter(|step| step.head.seq == seq && step.head.first == first) else {
            return Ok(None);
        };
        self.position = self.behind(&step);
        Ok(Some(step))
    }

    /// Goes on behind a batch that [`Walk::beyond`] found.
    pub(crate) fn resume(&mut self, step: &Step) {
        self.position = self.behind(step);
    }

    /// Looks for batches with this number or a higher one behind the place where the walk ended.
    pub(crate) fn beyond(&mut self, seq: u64) -> Result<Beyond, Error> {
        let mut beyond = Beyond::default();
        let mut left = self.map.len().saturating_mul(SEARCH_FILES_MAX);
        let mut position = self.position;
        while position.saturating_add(BATCH_HEAD_BYTES as u64) <= self.map.len() {
            let Some(head) = self.head(position)?.filter(|head| head.seq >= seq) else {
                position = self.skip(position)?;
                continue;
            };
            beyond.heads.push(position);
            beyond.durable_upto = beyond.durable_upto.max(head.durable_upto());
            if beyond.step.is_none() {
                beyond.step = self.read_within(position, &head, &mut left)?;
            }
            position = position.saturating_add(self.block);
        }
        Ok(beyond)
    }

    /// The first whole batch with this number or a higher one behind the place where the walk ended.
    pub(crate) fn next_whole(&mut self, seq: u64) -> Result<Option<Step>, Error> {
        let mut left = self.map.len().saturating_mul(SEARCH_FILES_MAX);
        let mut position = self.position;
        while position.saturating_add(BATCH_HEAD_BYTES as u64) <= self.map.len() {
            let Some(head) = self.head(position)?.filter(|head| head.seq >= seq) else {
                position = self.skip(position)?;
                continue;
            };
            if let Some(step) = self.read_within(position, &head, &mut left)? {
                return Ok(Some(step));
            }
            position = position.saturating_add(self.block);
        }
        Ok(None)
    }

    /// Reads a batch as long as there are bytes left that may be verified.
    fn read_within(
        &mut self,
        position: u64,
        head: &BatchHead,
        left: &mut u64,
    ) -> Result<Option<Step>, Error> {
        let Some(less) = left.checked_sub(u64::from(head.body_len)) else { return Ok(None) };
        *left = less;
        self.read(position)
    }

    /// The next position at which a head may begin: every head begins with the same two bytes.
    fn skip(&mut self, position: u64) -> Result<u64, Error> {
        let block = self.block;
        let left = self.map.len().saturating_sub(position);
        let window = self.bytes(position, left.min(WINDOW_BYTES))?;
        let step = usize::try_from(block).unwrap_or(usize::MAX);
        let blocks = window.len() / step.max(1);
        let found = (1..blocks).find(|index| {
            let at = index.saturating_mul(step);
            window.get(at..at.saturating_add(2)) == Some(&batch::MAGIC)
        });
        Ok(position.saturating_add(block.saturating_mul(found.unwrap_or(blocks).max(1) as u64)))
    }

    fn head(&mut self, position: u64) -> Result<Option<BatchHead>, Error> {
        let generation = self.generation;
        if position.saturating_add(BATCH_HEAD_BYTES as u64) > self.map.len() {
            return Ok(None);
        }
        let bytes = self.bytes(position, BATCH_HEAD_BYTES as u64)?;
        Ok(BatchHead::decode(bytes, generation))
    }

    /// Reads and verifies the batch at a position, whatever its number.
    fn read(&mut self, position: u64) -> Result<Option<Step>, Error> {
        let Some(head) = self.head(position)? else { return Ok(None) };
        let generation = self.generation;
        let len = (BATCH_HEAD_BYTES as u64).saturating_add(u64::from(head.body_len));
        if position.saturating_add(len) > self.map.len() {
            return Ok(None);
        }
        let bytes = self.bytes(position, len)?;
        let body = bytes.get(BATCH_HEAD_BYTES..).unwrap_or_default();
        let Some(body) = batch::open(&head, body, generation, RAW_BYTES_MAX) else { return Ok(None) };
        let capacity = (head.count as usize).min(body.frames.len() / FRAME_HEAD_BYTES);
        let (mut offsets, mut types) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        if batch::verify(&head, &body.frames, &mut offsets, &mut types).is_none() {
            return Ok(None);
        }
        Ok(Some(Step { offset: position, head, offsets, types, controls: body.controls }))
    }

    fn behind(&self, step: &Step) -> u64 {
        let end = step.offset.saturating_add(BATCH_HEAD_BYTES as u64 + u64::from(step.head.body_len));
        self.aligned(end)
    }

    /// The first place from there on at which a batch may begin.
    pub(crate) fn aligned(&self, position: u64) -> u64 {
        position.checked_next_multiple_of(self.block).unwrap_or(u64::MAX)
    }

    /// Bytes of the file, read with what follows them.
    fn bytes(&mut self, position: u64, len: u64) -> Result<&[u8], Error> {
        let window_end = self.window_at.saturating_add(self.window_len as u64);
        if position < self.window_at || position.saturating_add(len) > window_end {
            let wanted = len.max(self.read_next).min(self.map.len().saturating_sub(position));
            self.read_next = self.read_next.saturating_mul(2).min(WINDOW_BYTES);
            let wanted = usize::try_from(wanted).unwrap_or(0);
            if self.window.len() < wanted {
                self.window.resize(wanted, 0);
            }
            // Nothing of it counts if the reading fails half-way.
            self.window_len = 0;
            self.map.read_exact_at(self.window.get_mut(..wanted).unwrap_or_default(), position)?;
            (self.window_at, self.window_len) = (position, wanted);
        }
        let start = usize::try_from(position.saturating_sub(self.window_at)).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(self.window.get(..self.window_len).and_then(|filled| filled.get(start..end)).unwrap_or_default())
    }
}

/// Where the first batch of a file begins.
pub(crate) fn first_batch_at(data_blk_size: u32) -> u64 {
    (SEGMENT_HEAD_BYTES as u64).next_multiple_of(u64::from(data_blk_size.max(1)))
}
