//! `index.N` of format 2: where each record of the full file `data.N` begins, of which type it is, and when it came.
//! Refuses to be the truth: it is derived, and whatever it says is checked against the data before it is believed.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use host::{Disk, Map};
use memchr::{memchr_iter, memchr2_iter};

use super::table::{BatchEntry, Growing, HOLE};
use crate::bytes::{put, u16_at, u32_at, u64_at};
use crate::checksum::crc32;

const MAGIC: &[u8; 8] = b"LOGHIDX2";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 96;

/// Offsets are 32 bits each, where a group does not fit 16.
const IS_WIDE: u16 = 1;
/// There are no offsets of records: batches are compressed, and are found as wholes.
const IS_BATCHED: u16 = 2;
/// There is a column with the type of each record, as an index into the list of types.
const HAS_CODES: u16 = 4;
/// There are more types than the list may have: any may be there.
const HAS_MANY_TYPES: u16 = 8;

/// Records that share one base offset, and the bytes that they take: a base, the number of the first one's batch, and a
/// distance each.
const GROUP: u32 = 64;
const GROUP_HEAD_BYTES: u64 = 8;
const GROUP_BYTES: u64 = GROUP_HEAD_BYTES + 2 * 64;
const GROUP_HOLE: u16 = u16::MAX;

const BATCH_ENTRY_BYTES: u64 = 16;

/// Types in the list: each has a code of one byte.
const TYPES_MAX: usize = 255;

/// Bytes of the column of types that are looked through at a time.
const WINDOW_BYTES: usize = 4096;

/// What an index says of its data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexHead {
    flags: u16,
    pub(crate) number: u64,
    pub(crate) generation: u64,
    pub(crate) first: u64,
    pub(crate) count: u32,
    batches: u32,
    pub(crate) time_min: u64,
    pub(crate) time_max: u64,
    /// Where the data ends in the data file.
    pub(crate) end: u32,
    /// The number of the first batch behind this file.
    pub(crate) next_seq: u64,
    body_len: u32,
    body_crc: u32,
    types: Vec<u32>,
}

/// An index that lies on disk.
#[derive(Debug)]
pub(crate) struct IndexFile {
    head: IndexHead,
    map: Map,
    /// The records that are lost, in order.
    holes: Vec<Range<u32>>,
}

/// What the index of a data file must agree with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) number: u64,
    pub(crate) generation: u64,
    pub(crate) first: u64,
}

/// Encodes the index of a full data file.
pub(crate) fn encode(expected: Expected, table: &Growing) -> Vec<u8> {
    let mut flags = 0;
    let mut body = Vec::new();
    if table.is_batched() {
        flags |= IS_BATCHED;
    } else if !encode_narrow(table, &mut body) {
        flags |= IS_WIDE;
        body.clear();
        body.extend(table.offsets.iter().flat_map(|offset| offset.to_le_bytes()));
    }
    for batch in &table.batches {
        body.extend_from_slice(&batch.offset.to_le_bytes());
        body.extend_from_slice(&batch.ordinal.to_le_bytes());
        body.extend_from_slice(&batch.appended_at.to_le_bytes());
    }
    let types = distinct(&table.types).unwrap_or_else(|| {
        flags |= HAS_MANY_TYPES;
        Vec::new()
    });
    body.extend(types.iter().flat_map(|type_no| type_no.to_le_bytes()));
    if types.len() > 1 {
        flags |= HAS_CODES;
        let code = |type_no: &u32| {
            types.binary_search(type_no).ok().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
        };
        body.extend(table.types.iter().map(code));
    }
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let times = || table.batches.iter().filter(|batch| batch.offset != HOLE).map(|batch| batch.appended_at);
    let mut bytes = vec![0; HEAD_BYTES];
    put(&mut bytes, 0, MAGIC);
    put(&mut bytes, 8, &VERSION.to_le_bytes());
    put(&mut bytes, 10, &flags.to_le_bytes());
    put(&mut bytes, 12, &count(types.len()).to_le_bytes());
    put(&mut bytes, 16, &expected.number.to_le_bytes());
    put(&mut bytes, 24, &expected.generation.to_le_bytes());
    put(&mut bytes, 32, &expected.first.to_le_bytes());
    put(&mut bytes, 40, &table.count().to_le_bytes());
    put(&mut bytes, 44, &count(table.batches.len()).to_le_bytes());
    put(&mut bytes, 48, &times().min().unwrap_or(0).to_le_bytes());
    put(&mut bytes, 56, &times().max().unwrap_or(0).to_le_bytes());
    put(&mut bytes, 64, &table.end.to_le_bytes());
    put(&mut bytes, 72, &table.next_seq.to_le_bytes());
    put(&mut bytes, 80, &count(body.len()).to_le_bytes());
    put(&mut bytes, 84, &crc32(&body).to_le_bytes());
    let crc = crc32(bytes.get(..HEAD_BYTES - 4).unwrap_or_default());
    put(&mut bytes, HEAD_BYTES - 4, &crc.to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// The distinct types in order; `None` when there are more than the list may have.
fn distinct(types: &[u32]) -> Option<Vec<u32>> {
    let mut distinct: Vec<u32> = Vec::new();
    for type_no in types {
        // Few types, and long runs of them.
        if let Err(place) = distinct.binary_search(type_no) {
            if distinct.len() == TYPES_MAX {
                return None;
            }
            distinct.insert(place, *type_no);
        }
    }
    Some(distinct)
}

/// Writes offsets as groups of a base and 16-bit distances; false when they do not fit.
fn encode_narrow(table: &Growing, body: &mut Vec<u8>) -> bool {
    let mut batch = 0usize;
    for (number, group) in table.offsets.chunks(GROUP as usize).enumerate() {
        let first = number.saturating_mul(GROUP as usize);
        while table.batches.get(batch.saturating_add(1)).is_some_and(|next| next.ordinal as usize <= first) {
            batch = batch.saturating_add(1);
        }
        let base = group.iter().copied().find(|offset| *offset != HOLE).unwrap_or(0);
        body.extend_from_slice(&base.to_le_bytes());
        body.extend_from_slice(&u32::try_from(batch).unwrap_or(u32::MAX).to_le_bytes());
        for index in 0..GROUP as usize {
            let distance = match group.get(index).copied() {
                None | Some(HOLE) => GROUP_HOLE,
                Some(offset) => match offset.checked_sub(base).map(u16::try_from) {
                    Some(Ok(distance)) if distance != GROUP_HOLE => distance,
                    _ => return false,
                },
            };
            body.extend_from_slice(&distance.to_le_bytes());
        }
    }
    true
}

impl IndexFile {
    /// Opens an index; `None` when it is missing, damaged or another file's: then it has to be made again.
    pub(crate) fn open(disk: &Disk, path: &Path, expected: Expected) -> Option<IndexFile> {
        let file = disk.open_file(path).ok()?;
        let len = file.len().ok()?;
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let types_len = u32_at(&bytes, 12)? as usize;
        if types_len > TYPES_MAX {
            return None;
        }
        let mut head = decode_head(&bytes)?;
        let is_ours = head.number == expected.number
            && head.generation == expected.generation
            && head.first == expected.first
            && len == HEAD_BYTES as u64 + u64::from(head.body_len)
            && u64::from(head.body_len) == head.body_bytes(types_len as u64);
        if !is_ours {
            return None;
        }
        let map = file.map(len).ok()?;
        let mut types = vec![0; types_len * 4];
        map.read_exact_at(&mut types, head.types_at()).ok()?;
        head.types = types.chunks_exact(4).filter_map(|bytes| u32_at(bytes, 0)).collect();
        let mut index = IndexFile { head, map, holes: Vec::new() };
        // It was not synced when it was written. Times and types are believed as they are here: a record that is not of
        // the type that its index says would be passed over by whoever looks for that type.
        index.holes = index.head.holes_in(&index.whole_body()?);
        Some(index)
    }

    pub(crate) fn head(&self) -> &IndexHead {
        &self.head
    }

    /// Whether the whole file is as it was written.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole_body().is_some()
    }

    fn whole_body(&self) -> Option<Vec<u8>> {
        let mut body = vec![0; self.head.body_len as usize];
        self.map.read_exact_at(&mut body, HEAD_BYTES as u64).ok()?;
        (crc32(&body) == self.head.body_crc).then_some(body)
    }

    /// The records that are lost, in order.
    pub(crate) fn holes(&self) -> &[Range<u32>] {
        &self.holes
    }

    /// Whether records are found by their batches only.
    pub(crate) fn is_batched(&self) -> bool {
        self.head.flags & IS_BATCHED != 0
    }

    /// Where the frame of a record begins in the data file; `HOLE` for one that is lost.
    #[inline]
    pub(crate) fn offset(&self, ordinal: u32) -> io::Result<u32> {
        if ordinal >= self.head.count {
            return Ok(HOLE);
        }
        if self.head.flags & IS_WIDE != 0 {
            return self.u32_at(HEAD_BYTES as u64 + u64::from(ordinal) * 4);
        }
        let group = HEAD_BYTES as u64 + u64::from(ordinal / GROUP) * GROUP_BYTES;
        let base = self.u32_at(group)?;
        let mut distance = [0; 2];
        self.map.read_exact_at(&mut distance, group + GROUP_HEAD_BYTES + u64::from(ordinal % GROUP) * 2)?;
        Ok(match u16::from_le_bytes(distance) {
            GROUP_HOLE => HOLE,
            distance => base.saturating_add(u32::from(distance)),
        })
    }

    /// The batch with this number in the file, counted from 0.
    pub(crate) fn batch(&self, number: u32) -> io::Result<Option<BatchEntry>> {
        if number >= self.head.batches {
            return Ok(None);
        }
        let mut bytes = [0; 16];
        self.map.read_exact_at(&mut bytes, self.head.batches_at() + u64::from(number) * BATCH_ENTRY_BYTES)?;
        let entry = (u32_at(&bytes, 0), u32_at(&bytes, 4), u64_at(&bytes, 8));
        let (Some(offset), Some(ordinal), Some(appended_at)) = entry else { return Ok(None) };
        Ok(Some(BatchEntry { offset, ordinal, appended_at }))
    }

    /// The number of the batch that holds a record.
    ///
    /// A group of offsets names the batch of its first record: the one looked for is that, or one of the next few.
    pub(crate) fn batch_of(&self, ordinal: u32) -> io::Result<Option<usize>> {
        let (mut low, mut high) = (0, self.head.batches);
        if high == 0 {
            return Ok(None);
        }
        if self.head.flags & (IS_WIDE | IS_BATCHED) == 0 {
            let group = HEAD_BYTES as u64 + u64::from(ordinal / GROUP) * GROUP_BYTES;
            low = self.u32_at(group + 4)?.min(high - 1);
            // Each record of the group may have a batch of its own.
            high = high.min(low.saturating_add(ordinal % GROUP).saturating_add(1));
        }
        // Batch `low` begins at the record or before it, as batch 0 does; batch `high` does not.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let first = self.u32_at(self.head.batches_at() + u64::from(middle) * BATCH_ENTRY_BYTES + 4)?;
            if first <= ordinal {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(Some(low as usize))
    }

    /// How many batches there are.
    pub(crate) fn batches(&self) -> u32 {
        self.head.batches
    }

    /// Finds records from `from` to the one before `end` that may be of one of these types, at most `count_max`; also
    /// returns the one with which the search goes on.
    pub(crate) fn find(
        &self,
        types: &[u32],
        (from, end): (u32, u32),
        count_max: usize,
    ) -> io::Result<(Vec<u32>, u32)> {
        let end = end.min(self.head.count);
        if self.head.flags & HAS_MANY_TYPES != 0 {
            return Ok(all(from, end, count_max));
        }
        let codes: Vec<u8> = types
            .iter()
            .filter_map(|type_no| self.head.types.binary_search(type_no).ok())
            .filter_map(|code| u8::try_from(code).ok())
            .collect();
        if codes.is_empty() {
            return Ok((Vec::new(), end));
        }
        if self.head.flags & HAS_CODES == 0 {
            return Ok(all(from, end, count_max));
        }
        let column = self.head.types_at() + self.head.types.len() as u64 * 4;
        let mut window = [0; WINDOW_BYTES];
        let mut found = Vec::with_capacity(count_max);
        let mut from = from;
        while from < end && found.len() < count_max {
            let len = WINDOW_BYTES.min((end - from) as usize);
            let window = window.get_mut(..len).unwrap_or_default();
            self.map.read_exact_at(window, column + u64::from(from))?;
            let left = count_max - found.len();
            let ordinal = |place: usize| from.saturating_add(u32::try_from(place).unwrap_or(u32::MAX));
            match codes.as_slice() {
                [one] => found.extend(memchr_iter(*one, window).take(left).map(ordinal)),
                [one, two] => found.extend(memchr2_iter(*one, *two, window).take(left).map(ordinal)),
                _ => {
                    let places = (0..).zip(window.iter()).filter(|(_, code)| codes.contains(code));
                    found.extend(places.take(left).map(|(place, _)| ordinal(place)));
                }
            }
            from = ordinal(len);
        }
        let next = if found.len() < count_max { end } else { found.last().map_or(end, |last| last + 1) };
        Ok((found, next))
    }

    fn u32_at(&self, offset: u64) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.map.read_exact_at(&mut bytes, offset)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// All records from one on, at most `count_max`, and the one behind them.
fn all(from: u32, end: u32, count_max: usize) -> (Vec<u32>, u32) {
    let next = end.min(from.saturating_add(u32::try_from(count_max).unwrap_or(u32::MAX))).max(from);
    ((from..next).collect(), next)
}

impl IndexHead {
    fn offsets_bytes(&self) -> u64 {
        if self.flags & IS_BATCHED != 0 {
            0
        } else if self.flags & IS_WIDE != 0 {
            u64::from(self.count) * 4
        } else {
            u64::from(self.count.div_ceil(GROUP)) * GROUP_BYTES
        }
    }

    fn batches_at(&self) -> u64 {
        HEAD_BYTES as u64 + self.offsets_bytes()
    }

    /// The records that are lost, by what the body says of its batches.
    fn holes_in(&self, body: &[u8]) -> Vec<Range<u32>> {
        let start = usize::try_from(self.offsets_bytes()).unwrap_or(usize::MAX);
        let entries = body.get(start..).unwrap_or_default();
        let len = usize::try_from(BATCH_ENTRY_BYTES).unwrap_or(usize::MAX);
        let entries = entries.chunks_exact(len).take(self.batches as usize);
        let ordinals = entries.clone().skip(1).map(|next| u32_at(next, 4)).chain([Some(self.count)]);
        let holes = entries.zip(ordinals).filter(|(entry, _)| u32_at(entry, 0) == Some(HOLE));
        holes.filter_map(|(entry, next)| Some(u32_at(entry, 4)?..next?)).collect()
    }

    fn types_at(&self) -> u64 {
        self.batches_at() + u64::from(self.batches) * BATCH_ENTRY_BYTES
    }

    fn body_bytes(&self, types: u64) -> u64 {
        let codes = if self.flags & HAS_CODES == 0 { 0 } else { u64::from(self.count) };
        self.types_at() - HEAD_BYTES as u64 + types * 4 + codes
    }
}

fn decode_head(bytes: &[u8; HEAD_BYTES]) -> Option<IndexHead> {
    let (checked, crc) = bytes.split_at_checked(HEAD_BYTES - 4)?;
    if !bytes.starts_with(MAGIC) || u32_at(crc, 0)? != crc32(checked) || u16_at(bytes, 8)? != VERSION {
        return None;
    }
    Some(IndexHead {
        flags: u16_at(bytes, 10)?,
        number: u64_at(bytes, 16)?,
        generation: u64_at(bytes, 24)?,
        first: u64_at(bytes, 32)?,
        count: u32_at(bytes, 40)?,
        batches: u32_at(bytes, 44)?,
        time_min: u64_at(bytes, 48)?,
        time_max: u64_at(bytes, 56)?,
        end: u32_at(bytes, 64)?,
        next_seq: u64_at(bytes, 72)?,
        body_len: u32_at(bytes, 80)?,
        body_crc: u32_at(bytes, 84)?,
        types: Vec::new(),
    })
}

/// Where the index of data file `number` lies.
pub(crate) fn index_path(number: u64, per_dir: u32) -> PathBuf {
    PathBuf::from(format!("{}/index.{}", number / u64::from(per_dir), number % u64::from(per_dir)))
}
