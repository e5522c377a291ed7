//! `Outgoing`: records and controls on their way to disk, which become one batch: all of it survives, or nothing.
//! Refuses to know a file: the formats write it each in their way.

use crate::control::Control;
use crate::frame::{FRAME_HEAD_BYTES, Frame, FrameHead, Unframed, digest, read_frame};

/// Room in front of the frames, for the head of a batch of format 2: the whole batch is one piece of memory.
pub(crate) const BATCH_HEAD_BYTES: usize = 48;

/// Records and controls that are written together.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The id of the first record; that of the next one when there is none.
    pub(crate) first: u64,
    /// Where each frame begins, counted from the first.
    pub(crate) offsets: Vec<u32>,
    /// The sum of the frames' checks.
    pub(crate) digest: u32,
    /// Room for a head, then frames.
    pub(crate) buffer: Vec<u8>,
    pub(crate) controls: Vec<Control>,
    /// Microseconds since 1970.
    pub(crate) appended_at: u64,
    /// Bytes of all frames.
    pushed: usize,
}

impl Outgoing {
    /// An empty one, in a buffer that may be an old one.
    pub(crate) fn new(first: u64, mut buffer: Vec<u8>, mut offsets: Vec<u32>) -> Outgoing {
        buffer.clear();
        offsets.clear();
        buffer.resize(BATCH_HEAD_BYTES, 0);
        Outgoing { first, offsets, digest: 0, buffer, controls: Vec::new(), appended_at: 0, pushed: 0 }
    }

    /// Adds a record under the next id. The caller has bounded its length.
    #[inline]
    pub(crate) fn push(&mut self, record: &Unframed<'_>) {
        let id = self.next();
        let offset = self.buffer.len().wrapping_sub(BATCH_HEAD_BYTES);
        let check = record.push_to(&mut self.buffer, id);
        self.pushed = self.pushed.saturating_add(Outgoing::bytes_of(record.payload.len()));
        self.digest = digest(self.digest, check);
        // A batch is bounded far below 4 GiB.
        self.offsets.push(u32::try_from(offset).unwrap_or(u32::MAX));
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// The id behind the last record.
    pub(crate) fn next(&self) -> u64 {
        self.first.wrapping_add(self.count())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.controls.is_empty()
    }

    /// Bytes of the frames.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len().wrapping_sub(BATCH_HEAD_BYTES)
    }

    /// Bytes of the frames as they were pushed, also when a codec or controls have changed the buffer since.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.pushed
    }

    /// The bytes that one more record of this size adds.
    pub(crate) fn bytes_of(payload: usize) -> usize {
        payload.saturating_add(FRAME_HEAD_BYTES)
    }

    /// The types of the records, in order.
    pub(crate) fn types(&self) -> impl Iterator<Item = u32> {
        let frames = self.buffer.get(BATCH_HEAD_BYTES..).unwrap_or_default();
        self.offsets.iter().map(|offset| {
            let head = frames.get(*offset as usize..).and_then(FrameHead::read);
            head.map_or(0, |head| head.type_no)
        })
    }

    /// The records, in order.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut rest = self.buffer.get(BATCH_HEAD_BYTES..).unwrap_or_default();
        (self.first..self.next()).map_while(move |id| {
            let (frame, behind) = read_frame(rest, id)?;
            rest = behind;
            Some(frame)
        })
    }
}
