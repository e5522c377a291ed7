//! Opening a log of format 2: which files count, where the log ends, and whether what ends it is a torn write or damage.
//! Refuses to cut anything that had been durable: that is reported, kept apart, and the log goes on behind it.
//!
//! The verdict. Let `r` be the first batch that is not whole, and `D` the highest batch that anything on disk says was
//! durable: the head of a later batch, the head of a later file, the file `tail`. If `r > D`, nothing in `r` or behind it
//! was ever acknowledged as durable: it is a torn write, and the log ends before it. If `r <= D`, it is damage.

use std::path::Path;
use std::sync::Arc;

use host::{Disk, Kind};

use super::ahead::{cores, parts_of, walk_in_parts, written_upto};
use super::segment::{Head, Segment, data_path, look_at_head};
use super::segment_head::SegmentHead;
use super::shelf::{Slot, in_line};
use super::walk::{Beyond, Walk};
use crate::control::Memory;
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::options::Threads;
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
    /// Data files behind the end that were begun: nothing in them counts, and a later start must not think otherwise.
    pub(crate) discarded: Vec<u64>,
    /// Data files behind the end whose heads are damaged: they are put aside, for they may hold what is missing.
    pub(crate) strays: Vec<u64>,
    /// The data file of which the file `tail` says up to where it was durable, and that place.
    pub(crate) durable: Option<(u64, u64)>,
    /// All damage that was found, also what a repair has given up before, which the recovery does not tell again.
    pub(crate) gaps: Vec<Gap>,
    pub(crate) recovery: Recovery,
}

/// Damage to what had been durable.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    /// The first record that is gone; `upto` where that is not known, or none is.
    pub(crate) first: u64,
    /// The first record behind that is there.
    pub(crate) upto: u64,
    pub(crate) at: Corruption,
}

impl Gap {
    fn new(at: Corruption, first: u64, upto: u64) -> Gap {
        let ids = TransId::new(first).zip(TransId::new(upto.saturating_sub(1)));
        let at = match ids.filter(|(first, last)| first <= last) {
            Some((first, last)) => at.losing(first, last),
            None => at,
        };
        Gap { first, upto, at }
    }
}

/// What is known while files are walked through.
struct Reading<'a> {
    disk: &'a Disk,
    parameters: &'a Parameters,
    tail: Option<Tail>,
    threads: Threads,
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
pub(crate) fn find(
    disk: &Disk,
    parameters: &Parameters,
    tail: Option<Tail>,
    threads: Threads,
) -> Result<Found, Error> {
    let files = read_heads(disk, parameters)?;
    let heads: Vec<SegmentHead> = files.iter().filter_map(|(_, kind)| kind.head()).collect();
    let is_damaged = files.iter().any(|(_, kind)| matches!(kind, FileKind::Damaged));
    // Where no file has a head any more, the log is the one that its writer spoke of last, if it had anything on disk.
    let spoken_of = tail.filter(|tail| is_damaged || tail.durable_seq > 0).map_or(0, |tail| tail.log_id);
    let log_id = heads.last().map_or(spoken_of, |head| head.log_id);
    let tail = tail.filter(|tail| tail.log_id == log_id);
    let durable_upto =
        heads.iter().map(|head| head.durable_seq).chain(tail.map(|tail| tail.durable_seq)).max();
    let found = Found {
        slots: Vec::new(),
        log_id,
        memory: Memory::default(),
        seq: 1,
        next: 1,
        position: 0,
        stale: Vec::new(),
        discarded: Vec::new(),
        strays: Vec::new(),
        durable: tail.map(|tail| (tail.number, tail.position)),
        gaps: Vec::new(),
        recovery: Recovery::default(),
    };
    let durable_upto = durable_upto.unwrap_or(0);
    let mut reading = Reading { disk, parameters, tail, threads, durable_upto, found };
    reading.read(&heads)?;
    reading.leave_island(&files);
    reading.go_on_behind_all(&files);
    reading.note_gaps(&files)?;
    reading.sort_out(&files);
    reading.forget_trimmed();
    let mut found = reading.found;
    let unknown = found.gaps.iter().filter(|gap| !found.memory.has_given_up(gap.first, gap.upto));
    found.recovery.damaged = unknown.map(|gap| gap.at.clone()).collect();
    Ok(found)
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
        // A file begins with all that the log remembers. Where that is damaged, the file before knows it.
        while start > 0 && heads.get(start).is_some_and(|head| !self.is_begun(head)) {
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
                break;
            }
        }
        Ok(())
    }

    /// Leaves everything out when it hangs in the air: the file before the first one never got to disk, though it was not
    /// trimmed, and nothing says that what was in it had been durable. Then nothing behind it was acknowledged either.
    fn leave_island(&mut self, files: &[(u64, FileKind)]) {
        let Some(head) = self.found.slots.first().map(|slot| slot.head) else { return };
        let Some(before) = head.number.checked_sub(1) else { return };
        let before = files.iter().find(|(number, _)| *number == before).map(|(_, kind)| kind);
        let is_settled = self.durable_upto.saturating_add(1) >= head.first_seq;
        let is_trimmed = head.first <= self.found.memory.first.max(1);
        if is_settled || is_trimmed || !matches!(before, None | Some(FileKind::Blank)) {
            return;
        }
        let path = data_path(head.number, self.parameters.index_file_num_per_dir);
        let bytes = self.found.position;
        self.found.slots.clear();
        self.found.gaps.clear();
        self.found.stale.clear();
        self.found.memory = Memory::default();
        (self.found.seq, self.found.next, self.found.position) = (1, 1, 0);
        self.found.recovery.torn = Some(Torn { path, offset: 0, bytes });
    }

    fn has_batch(&self, head: &SegmentHead) -> Result<bool, Error> {
        let segment = Segment::growing(self.disk, *head, self.parameters)?;
        let mut walk = segment.walk();
        if walk.step(head.first_seq, head.first)?.is_some() {
            return Ok(true);
        }
        // Its first batch was durable once: then it is damaged, and not unfinished. What follows an unfinished one does
        // not count: it was on its way to disk at the same time, and what the log remembers is not in it.
        Ok(head.first_seq <= self.durable_upto.max(walk.beyond(head.first_seq)?.durable_upto))
    }

    /// Whether the first batch of a file is whole.
    fn is_begun(&self, head: &SegmentHead) -> bool {
        let segment = Segment::growing(self.disk, *head, self.parameters);
        segment.is_ok_and(|segment| {
            segment.walk().step(head.first_seq, head.first).is_ok_and(|step| step.is_some())
        })
    }

    /// Reads one file to its end; `later` are the files behind it.
    fn walk(&mut self, head: &SegmentHead, later: &[SegmentHead]) -> Result<End, Error> {
        let segment = Segment::growing(self.disk, *head, self.parameters)?;
        let upto = written_upto(self.tail, (segment.head.number, segment.map.len()), later.is_empty());
        let parts = match self.threads {
            Threads::Own => parts_of(upto, cores),
            Threads::None => 1,
        };
        let end = walk_in_parts(&segment, upto, parts, |walk| self.walk_through(&segment, walk, later))?;
        self.found.slots.push(Slot::opened(Arc::new(segment)));
        Ok(end)
    }

    fn walk_through(
        &mut self,
        segment: &Segment,
        mut walk: Walk<'_>,
        later: &[SegmentHead],
    ) -> Result<End, Error> {
        let head = &segment.head;
        let is_last = later.is_empty();
        let (mut seq, mut next) = (head.first_seq, head.first);
        let mut is_looked = false;
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
            if is_last && self.is_clean_end(head, walk.position, seq) {
                break End::Whole;
            }
            // What had been durable is known from the first look on: the next damaged place needs the next batch only.
            let beyond = if is_looked && seq <= self.durable_upto {
                Beyond { step: walk.next_whole(seq)?, ..Beyond::default() }
            } else {
                is_looked = true;
                self.look_beyond(&mut walk, seq, later)?
            };
            if seq > self.durable_upto {
                self.note_torn(segment, walk.position, &beyond, !is_last);
                break if is_last && beyond.heads.is_empty() { End::Whole } else { End::Torn };
            }
            match beyond.step {
                Some(step) if step.head.first >= next && segment.has_room_for(next, step.head.first) => {
                    self.note_damage(segment, walk.position, next, step.head.first);
                    segment.push_hole(next, step.head.first);
                    walk.resume(&step);
                    (seq, next) = (step.head.seq.saturating_add(1), step.head.next());
                    step.controls.iter().for_each(|control| self.found.memory.apply(control));
                    segment.add(step, walk.position);
                }
                _ => {
                    // Damage up to the end of the file.
                    let upto = self.end_of_damage(later, next);
                    self.note_damage(segment, walk.position, next, upto.0);
                    segment.push_hole(next, upto.0);
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
    ///
    /// One that found the end missing has closed it in the same place, but behind the batches that are lost.
    fn is_clean_end(&self, head: &SegmentHead, position: u64, seq: u64) -> bool {
        let is_here = |tail: &Tail| tail.is_clean && tail.number == head.number && tail.position == position;
        self.tail.as_ref().is_some_and(|tail| is_here(tail) && tail.durable_seq < seq)
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
        self.note_lost(Corruption::at(&segment.path, position, what), first, upto);
    }

    /// Notes damage that takes the records from `first` to the one before `upto`, if there are any.
    fn note_lost(&mut self, corruption: Corruption, first: u64, upto: u64) {
        self.found.gaps.push(Gap::new(corruption, first, upto));
    }

    /// Where no file counts any more, but some did: ids that were given are not given again.
    fn go_on_behind_all(&mut self, files: &[(u64, FileKind)]) {
        let (Some(tail), true) = (self.tail, self.found.slots.is_empty()) else { return };
        let damaged = files.iter().find(|(_, kind)| matches!(kind, FileKind::Damaged));
        let is_gone = tail.durable_seq > 0 && files.iter().all(|(_, kind)| kind.head().is_none());
        let number = match damaged {
            Some((number, _)) => *number,
            None if is_gone => tail.number,
            None => return,
        };
        self.note_lost(self.missing(number, files), tail.first.max(1), tail.durable_next.max(1));
        self.found.memory.first = tail.first;
        (self.found.next, self.found.seq) = (tail.durable_next.max(1), tail.durable_seq.saturating_add(1));
    }

    /// Notes records that no file holds, and that were not trimmed: a file between two others is missing or damaged.
    fn note_gaps(&mut self, files: &[(u64, FileKind)]) -> Result<(), Error> {
        let trimmed = self.found.memory.first.max(1);
        // Files that a rollback has made void are no part of the line: what they held is missed by nobody.
        let slots = in_line(self.found.slots.clone());
        if let Some(head) = slots.first().map(|slot| slot.head).filter(|head| head.first > trimmed) {
            let number = head.number.saturating_sub(1);
            self.note_lost(self.missing(number, files), trimmed, head.first);
        }
        for (before, after) in slots.iter().zip(slots.iter().skip(1)) {
            let number = before.head.number.saturating_add(1);
            // A file that was walked through has its gap noted, and files that are trimmed may go in any order.
            if number == after.head.number || before.get().is_some() || after.head.first <= trimmed {
                continue;
            }
            let segment = Segment::growing(self.disk, before.head, self.parameters)?;
            segment.scan(before.head.first)?;
            if segment.next() < after.head.first {
                self.note_lost(self.missing(number, files), segment.next().max(trimmed), after.head.first);
            }
        }
        Ok(())
    }

    /// Files whose records are trimmed go in any order, and some stay to be used again: what is not in them is no damage.
    fn forget_trimmed(&mut self) {
        let first = self.found.memory.first;
        self.found.gaps.retain(|gap| gap.at.ids.is_none_or(|(_, last)| last.get() >= first));
    }

    fn missing(&self, number: u64, files: &[(u64, FileKind)]) -> Corruption {
        let path = data_path(number, self.parameters.index_file_num_per_dir);
        let is_there = files.iter().any(|(found, _)| *found == number);
        Corruption::of(
            &path,
            if is_there { "its head does not match its checksum" } else { "the file is missing" },
        )
    }

    /// Says what becomes of the files behind the last one that counts.
    fn sort_out(&mut self, files: &[(u64, FileKind)]) {
        let last = self.found.slots.last().map(|slot| slot.head.number);
        for (number, kind) in files.iter().filter(|(number, _)| last.is_none_or(|last| *number > last)) {
            match kind {
                FileKind::Damaged => {
                    let path = data_path(*number, self.parameters.index_file_num_per_dir);
                    let what =
                        "its head does not match its checksum; it is put aside, with all that it holds";
                    let next = self.found.next;
                    self.found.gaps.push(Gap::new(Corruption::of(&path, what), next, next));
                    self.found.strays.push(*number);
                }
                FileKind::Headed(_) => self.found.discarded.push(*number),
                // It stays until its number is prepared anew: to remove what may be a gigabyte takes a while.
                FileKind::Blank => {}
            }
        }
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

/// What the head of a data file says.
enum FileKind {
    /// That the file counts.
    Headed(SegmentHead),
    /// That it waits to be used: it is empty, or still names the place where it was used before.
    Blank,
    /// Nothing that can be believed, though there is something.
    Damaged,
}

impl FileKind {
    fn head(&self) -> Option<SegmentHead> {
        match self {
            FileKind::Headed(head) => Some(*head),
            FileKind::Blank | FileKind::Damaged => None,
        }
    }
}

/// Reads the heads of all data files, in the order of their numbers.
fn read_heads(disk: &Disk, parameters: &Parameters) -> Result<Vec<(u64, FileKind)>, Error> {
    let mut files = Vec::new();
    let mut log_id = None;
    for number in data_files(disk, parameters)? {
        let path = data_path(number, parameters.index_file_num_per_dir);
        let kind = match look_at_head(disk, &path)? {
            Head::Blank => FileKind::Blank,
            Head::Damaged => FileKind::Damaged,
            // Before the number is looked at: other parameters give other numbers to the files, and none would count.
            Head::Whole(head) if head.metadata_crc != parameters.checksum() => {
                let what =
                    "it is not what the data files were written under: restore it from a copy of the log";
                return Err(Corruption::of(Path::new(METADATA), what).into());
            }
            Head::Whole(head) if head.number != number => FileKind::Blank,
            Head::Whole(head) if *log_id.get_or_insert(head.log_id) != head.log_id => FileKind::Damaged,
            Head::Whole(head) => FileKind::Headed(head),
        };
        files.push((number, kind));
    }
    Ok(files)
}
