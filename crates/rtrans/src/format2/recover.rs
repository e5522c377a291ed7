//! Opening a log of format 2: which files count, where the log ends, and whether what ends it is a torn write or damage.
//! Refuses to cut anything that had been durable: that is reported, kept apart, and the log goes on behind it.
//!
//! The verdict. Let `r` be the first batch that is not whole, and `D` the highest batch that anything on disk says was
//! durable: the head of a later batch, the head of a later file, the file `tail`. If `r > D`, nothing in `r` or behind it
//! was ever acknowledged as durable: it is a torn write, and the log ends before it. If `r <= D`, it is damage.

use std::path::Path;
use std::sync::Arc;

use host::{Disk, Kind};

use super::segment::{Segment, data_path, read_head};
use super::segment_head::SegmentHead;
use super::shelf::Slot;
use super::walk::{Beyond, Walk};
use crate::control::Memory;
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::outgoing::BATCH_HEAD_BYTES;
use crate::parameters::{METADATA, Parameters};
use crate::recovery::{Recovery, Torn};
use crate::tail_page::Tail;

/// A log as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// In the order of their numbers; the last one is written. Empty for a log that has no batch yet.
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) log_id: u64,
    pub(crate) memory: Memory,
    /// The next batch's number, and the next record's id.
    pub(crate) seq: u64,
    pub(crate) next: u64,
    /// Where the next batch goes in the last file.
    pub(crate) position: u64,
    /// Heads of batches behind the end, which must not be taken for batches of this log later.
    pub(crate) stale: Vec<u64>,
    /// Data files without a head, or behind a torn write: nothing in them counts.
    pub(crate) spares: Vec<u64>,
    pub(crate) recovery: Recovery,
}

/// What is known while files are walked through.
struct Reading<'a> {
    disk: &'a Disk,
    parameters: &'a Parameters,
    tail: Option<Tail>,
    /// The highest batch that anything said was durable.
    durable_upto: u64,
    found: Found,
}

/// How the walk through a file ended.
#[derive(PartialEq, Eq)]
enum End {
    /// At its end: the next file may be looked at.
    Whole,
    /// At a torn write.
    Torn,
}

/// Reads a log. `tail` is what the file `tail` says, if it is this log's.
pub(crate) fn find(disk: &Disk, parameters: &Parameters, tail: Option<Tail>) -> Result<Found, Error> {
    let numbers = data_files(disk, parameters)?;
    let (heads, spares, mut damaged) = read_heads(disk, parameters, &numbers)?;
    let log_id = heads.last().map_or(0, |head| head.log_id);
    if let Some(head) = heads.iter().find(|head| head.metadata_crc != parameters.checksum()) {
        let path = data_path(head.number, parameters.index_file_num_per_dir);
        let what =
            format!("it is not what {} was written under: restore it from a copy of the log", path.display());
        return Err(Corruption::of(Path::new(METADATA), what).into());
    }
    let tail = tail.filter(|tail| tail.log_id == log_id);
    let durable_upto =
        heads.iter().map(|head| head.durable_seq).chain(tail.map(|tail| tail.durable_seq)).max();
    let mut recovery = Recovery::default();
    recovery.damaged.append(&mut damaged);
    let found = Found {
        slots: Vec::new(),
        log_id,
        memory: Memory::default(),
        seq: 1,
        next: 1,
        position: 0,
        stale: Vec::new(),
        spares,
        recovery,
    };
    let mut reading = Reading { disk, parameters, tail, durable_upto: durable_upto.unwrap_or(0), found };
    reading.read(&heads)?;
    Ok(reading.found)
}

impl Reading<'_> {
    /// Walks through the last files, as many as may hold an end, and takes the others as they are.
    fn read(&mut self, heads: &[SegmentHead]) -> Result<(), Error> {
        // The last file with a batch: one without is a file whose first write never ended.
        let mut last = heads.len();
        while let Some(head) = last.checked_sub(1).and_then(|index| heads.get(index)) {
            if self.has_batch(head)? {
                break;
            }
            self.found.spares.push(head.number);
            last = last.saturating_sub(1);
        }
        let heads = heads.get(..last).unwrap_or_default();
        // All that is before a file was durable when anything says so; if not, the end may be further back.
        let durable_upto = self.durable_upto;
        let is_settled = |head: &SegmentHead| durable_upto.saturating_add(1) >= head.first_seq;
        let mut start = last.saturating_sub(1);
        while start > 0 && heads.get(start).is_some_and(|head| !is_settled(head)) {
            start = start.saturating_sub(1);
        }
        for head in heads.get(..start).unwrap_or_default() {
            self.found.slots.push(Slot::closed(*head));
        }
        let walked = heads.get(start..).unwrap_or_default();
        if let Some(first) = walked.first() {
            (self.found.seq, self.found.next) = (first.first_seq, first.first);
        }
        for (index, head) in walked.iter().enumerate() {
            let later = walked.get(index.saturating_add(1)..).unwrap_or_default();
            // A file begins where the one before it ended, but for records that were rolled back or are lost.
            if self.walk(head, later)? == End::Torn {
                self.found.spares.extend(later.iter().map(|head| head.number));
                break;
            }
        }
        Ok(())
    }

    fn has_batch(&self, head: &SegmentHead) -> Result<bool, Error> {
        let segment = Segment::growing(self.disk, *head, self.parameters)?;
        let mut walk = segment.walk();
        if walk.step(head.first_seq, head.first)?.is_some() {
            return Ok(true);
        }
        // Its first batch was durable once, or batches behind it are: then it is damaged, and not unfinished.
        Ok(head.first_seq <= self.durable_upto || walk.beyond(head.first_seq)?.step.is_some())
    }

    /// Reads one file to its end; `later` are the files behind it.
    fn walk(&mut self, head: &SegmentHead, later: &[SegmentHead]) -> Result<End, Error> {
        let segment = Segment::growing(self.disk, *head, self.parameters)?;
        let mut walk = segment.walk();
        let is_last = later.is_empty();
        let (mut seq, mut next) = (head.first_seq, head.first);
        let end = loop {
            if let Some(step) = walk.step(seq, next)? {
                (seq, next) = (step.head.seq.saturating_add(1), step.head.next());
                self.durable_upto = self.durable_upto.max(step.head.durable_upto());
                step.controls.iter().for_each(|control| self.found.memory.apply(control));
                segment.add(step, walk.position);
                continue;
            }
            // A later file tells how many batches this one has: behind them is what a reused file held before.
            if later.first().is_some_and(|later| seq >= later.first_seq) {
                break End::Whole;
            }
            if is_last && self.is_clean_end(head, walk.position) {
                break End::Whole;
            }
            let beyond = self.look_beyond(&mut walk, seq, later)?;
            if seq > self.durable_upto {
                self.note_torn(&segment, walk.position, &beyond, !is_last);
                break if is_last && beyond.heads.is_empty() { End::Whole } else { End::Torn };
            }
            match beyond.step {
                Some(step) if step.head.first >= next => {
                    self.note_damage(&segment, walk.position, next, step.head.first);
                    let lost = step.head.first.saturating_sub(next);
                    segment.grow(|growing| growing.push_hole(u32::try_from(lost).unwrap_or(u32::MAX)));
                    walk.resume(&step);
                    (seq, next) = (step.head.seq.saturating_add(1), step.head.next());
                    step.controls.iter().for_each(|control| self.found.memory.apply(control));
                    segment.add(step, walk.position);
                }
                _ => {
                    // Damage up to the end of the file.
                    let upto = self.end_of_damage(later, next);
                    self.note_damage(&segment, walk.position, next, upto.0);
                    let lost = upto.0.saturating_sub(next);
                    segment.grow(|growing| growing.push_hole(u32::try_from(lost).unwrap_or(u32::MAX)));
                    (next, seq) = upto;
                    if let Some(tail) = self.tail.filter(|tail| is_last && tail.number == head.number) {
                        walk.position = walk.position.max(tail.position.min(segment.map.len()));
                    }
                    break End::Whole;
                }
            }
        };
        (self.found.seq, self.found.next, self.found.position) = (seq, next, walk.position);
        let end_at = u32::try_from(walk.position).unwrap_or(u32::MAX);
        segment.grow(|growing| (growing.end, growing.next_seq) = (end_at, seq));
        self.found.slots.push(Slot::opened(Arc::new(segment)));
        Ok(end)
    }

    /// Looks for batches behind a place, in the file and in those behind it, to know what had been durable.
    fn look_beyond(&mut self, walk: &mut Walk<'_>, seq: u64, later: &[SegmentHead]) -> Result<Beyond, Error> {
        let beyond = walk.beyond(seq)?;
        self.durable_upto = self.durable_upto.max(beyond.durable_upto);
        for head in later {
            let segment = Segment::growing(self.disk, *head, self.parameters)?;
            let mut walk = segment.walk();
            let (mut seq, mut next) = (head.first_seq, head.first);
            while let Some(step) = walk.step(seq, next)? {
                (seq, next) = (step.head.seq.saturating_add(1), step.head.next());
                self.durable_upto = self.durable_upto.max(step.head.durable_upto());
            }
        }
        Ok(beyond)
    }

    /// Whether the writer closed the log here: then there is nothing behind it to look for.
    fn is_clean_end(&self, head: &SegmentHead, position: u64) -> bool {
        let is_here = |tail: &Tail| tail.is_clean && tail.number == head.number && tail.position == position;
        self.tail.as_ref().is_some_and(is_here)
    }

    /// The id and the number of the batch with which the log goes on behind damage that nothing whole follows.
    fn end_of_damage(&self, later: &[SegmentHead], next: u64) -> (u64, u64) {
        match (later.first(), self.tail) {
            (Some(later), _) => (later.first.max(next), later.first_seq),
            (None, Some(tail)) => (tail.durable_next.max(next), self.durable_upto.saturating_add(1)),
            (None, None) => (next, self.durable_upto.saturating_add(1)),
        }
    }

    fn note_torn(&mut self, segment: &Segment, position: u64, beyond: &Beyond, has_later: bool) {
        let last = beyond.heads.iter().max().copied();
        if last.is_none() && !has_later {
            return;
        }
        self.found.stale.clone_from(&beyond.heads);
        let end = last.map_or(position, |last| last.saturating_add(BATCH_HEAD_BYTES as u64));
        let bytes = end.saturating_sub(position);
        self.found.recovery.torn = Some(Torn { path: segment.path.clone(), offset: position, bytes });
    }

    fn note_damage(&mut self, segment: &Segment, position: u64, first: u64, upto: u64) {
        let what = "batches that had been durable do not match their checksums";
        let corruption = Corruption::at(&segment.path, position, what);
        let ids = TransId::new(first)
            .zip(TransId::new(upto.saturating_sub(1)))
            .filter(|(first, last)| first <= last);
        let corruption = match ids {
            Some((first, last)) => corruption.losing(first, last),
            None => corruption,
        };
        self.found.recovery.damaged.push(corruption);
    }
}

/// The numbers of the data files that are there, in order. Other names are left alone.
pub(crate) fn data_files(disk: &Disk, parameters: &Parameters) -> Result<Vec<u64>, Error> {
    let per_dir = u64::from(parameters.index_file_num_per_dir);
    let mut numbers = Vec::new();
    for dir in disk.list(Path::new(""))?.into_iter().filter(|entry| entry.kind == Kind::Dir) {
        let Some(dir_no) = dir.name.to_str().and_then(plain_number) else { continue };
        for file in disk.list(Path::new(&dir.name))?.into_iter().filter(|entry| entry.kind == Kind::File) {
            let file_no = file.name.to_str().and_then(|name| plain_number(name.strip_prefix("data.")?));
            let number = file_no
                .filter(|file_no| *file_no < per_dir)
                .and_then(|file_no| dir_no.checked_mul(per_dir)?.checked_add(file_no));
            numbers.extend(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A decimal number as we write it: no sign, no leading zeros.
pub(crate) fn plain_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

type Heads = (Vec<SegmentHead>, Vec<u64>, Vec<Corruption>);

/// Reads the heads of all data files: those that count, those that wait to be used, and damaged ones between.
fn read_heads(disk: &Disk, parameters: &Parameters, numbers: &[u64]) -> Result<Heads, Error> {
    let mut heads: Vec<SegmentHead> = Vec::new();
    let mut headless = Vec::new();
    for number in numbers {
        let path = data_path(*number, parameters.index_file_num_per_dir);
        let head = read_head(disk, &path)?.filter(|head| head.number == *number);
        match head {
            Some(head) if heads.first().is_none_or(|first| first.log_id == head.log_id) => heads.push(head),
            _ => headless.push(*number),
        }
    }
    let last = heads.last().map(|head| head.number);
    let is_between = |number: &u64| last.is_some_and(|last| *number < last);
    let (between, spares): (Vec<u64>, Vec<u64>) = headless.into_iter().partition(is_between);
    let mut damaged: Vec<Corruption> = Vec::new();
    for number in between {
        let path = data_path(number, parameters.index_file_num_per_dir);
        damaged
            .push(Corruption::of(&path, "its head does not match its checksum; its records cannot be read"));
    }
    for (before, after) in heads.iter().zip(heads.iter().skip(1)) {
        let missing = before.number.saturating_add(1);
        if missing != after.number && !numbers.contains(&missing) {
            let path = data_path(missing, parameters.index_file_num_per_dir);
            damaged.push(Corruption::of(&path, "the file is missing; its records cannot be read"));
        }
    }
    Ok((heads, spares, damaged))
}
