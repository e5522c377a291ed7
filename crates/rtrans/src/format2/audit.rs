//! Reading a whole log of format 2: every batch of every file, and every index compared with its data.
//! Refuses to judge the end of the log by other rules than opening it does: it asks `recover`.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use host::{Disk, Kind};

use super::index_file::{self, IndexFile};
use super::recover::{self, Found, data_files, plain_number};
use super::segment::{Segment, data_path, read_head};
use super::segment_head::SegmentHead;
use crate::backup::Snapshot;
use crate::check::{Audit, FindingKind, Severity};
use crate::control::Memory;
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::options::Threads;
use crate::parameters::Parameters;
use crate::tail_page::{self, Tail};

/// Reads a whole log.
pub(crate) fn audit(disk: &Disk, parameters: &Parameters, audit: &mut Audit<'_>) -> Result<(), Error> {
    let found = recover::find(disk, parameters, tail_page::read(disk), Threads::None)?;
    let lowest = found.slots.first().map_or(found.next, |slot| slot.head.first);
    let first = found.memory.first.max(lowest).max(1);
    audit.next = found.next;
    audit.positions.clone_from(&found.memory.positions);
    audit.findings.ids = TransId::new(first)
        .zip(TransId::new(found.next.saturating_sub(1)))
        .filter(|(first, last)| first <= last);
    for path in numbered_files(disk, parameters)? {
        audit.progress.bytes_all = audit.progress.bytes_all.saturating_add(len_of(disk, &path)?.unwrap_or(0));
    }
    note_known_gaps(&found.memory, first, audit);
    Files { disk, parameters, found: &found, first, audit }.read()
}

/// The files of one log while they are read.
struct Files<'a, 'b> {
    disk: &'a Disk,
    parameters: &'a Parameters,
    found: &'a Found,
    /// Records below are trimmed, and may be damaged without any loss.
    first: u64,
    audit: &'a mut Audit<'b>,
}

impl Files<'_, '_> {
    fn read(&mut self) -> Result<(), Error> {
        let slots = &self.found.slots;
        for (index, slot) in slots.iter().enumerate() {
            let behind = slots.get(index.saturating_add(1)..).unwrap_or_default();
            let later = behind.first().map(|slot| slot.head);
            // Records from there on were rolled back.
            let end = behind.iter().map(|slot| slot.head.first).min().unwrap_or(self.found.next);
            let live = self.first..end;
            match (slot.get(), later) {
                (Some(segment), later) => {
                    // It was read to find the end.
                    let is_whole = !self.found.gaps.iter().any(|gap| gap.at.path == segment.path);
                    if later.is_some_and(|later| later.first > self.first) && is_whole {
                        self.compare_index(segment)?;
                    }
                    let gaps = self.found.gaps.iter().filter(|gap| gap.at.path == segment.path);
                    let lost: u64 = gaps.map(|gap| overlap(&(gap.first..gap.upto), &live)).sum();
                    let records = overlap(&(segment.head.first..segment.next()), &live).saturating_sub(lost);
                    self.audit.count_file(records, segment.map.len())?;
                }
                (None, Some(later)) => self.read_file(&slot.head, &later, &live)?,
                (None, None) => {}
            }
        }
        for gap in &self.found.gaps {
            // A missing file is told with its records where the file before it was walked through.
            let is_told = self.audit.findings.list.iter().any(|finding| finding.at.path == gap.at.path);
            if !is_told && !self.found.memory.has_given_up(gap.first, gap.upto) {
                self.audit.note_gap(gap.at.clone(), gap.first, gap.upto);
            }
        }
        if let Some(torn) = &self.found.recovery.torn {
            let what =
                format!("an unfinished write of {} bytes: it is cut when the log is opened", torn.bytes);
            let at = Corruption::at(&torn.path, torn.offset, what);
            self.audit.note(Severity::Note, FindingKind::TornTail, at);
        }
        Ok(())
    }

    /// Reads a file that ends where `later` begins.
    fn read_file(&mut self, head: &SegmentHead, later: &SegmentHead, live: &Range<u64>) -> Result<(), Error> {
        let path = data_path(head.number, self.parameters.index_file_num_per_dir);
        match self.disk.open_file(&path) {
            // What memory caches of it is not what is asked for.
            Ok(file) => file.evict()?,
            // Trimmed by a writer since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let segment = Segment::growing(self.disk, *head, self.parameters)?;
        let mut walk = segment.walk();
        let (mut seq, mut next, mut records, mut is_whole) = (head.first_seq, head.first, 0u64, true);
        while seq < later.first_seq {
            let at = walk.position;
            let step = if let Some(step) = walk.step(seq, next)? {
                step
            } else {
                is_whole = false;
                let beyond = walk.beyond(seq)?.step;
                let beyond = beyond.filter(|step| step.head.first >= next && step.head.seq < later.first_seq);
                let upto = beyond.as_ref().map_or(later.first.max(next), |step| step.head.first);
                self.note_gap(&segment, at, (next, upto), beyond.is_none().then_some(later));
                let Some(step) = beyond else { break };
                segment.grow(|growing| {
                    growing.push_hole(u32::try_from(upto.saturating_sub(next)).unwrap_or(u32::MAX));
                });
                walk.resume(&step);
                step
            };
            (seq, next) = (step.head.seq.saturating_add(1), step.head.next());
            records = records.saturating_add(overlap(&(step.head.first..next), live));
            segment.add(step, walk.position);
        }
        // The index of a file that is trimmed as a whole goes before the file.
        if is_whole && later.first > self.first {
            self.compare_index(&segment)?;
        }
        self.audit.count_file(records, segment.map.len())
    }

    /// Notes records that are gone; where the file ends with them, because files behind it are missing.
    fn note_gap(
        &mut self,
        segment: &Segment,
        at: u64,
        (first, upto): (u64, u64),
        later: Option<&SegmentHead>,
    ) {
        let missing = segment.head.number.saturating_add(1);
        let path = match later {
            Some(later) if later.number > missing => {
                data_path(missing, self.parameters.index_file_num_per_dir)
            }
            _ => segment.path.clone(),
        };
        if upto <= self.first || self.found.memory.has_given_up(first, upto) {
            return;
        }
        let at = if path == segment.path {
            Corruption::at(&path, at, "batches that had been durable do not match their checksums")
        } else {
            Corruption::of(&path, "the file is missing, or its head is damaged; its records cannot be read")
        };
        self.audit.note_gap(at, first, upto);
    }

    /// Compares the index of a full file with what the file says.
    fn compare_index(&mut self, segment: &Segment) -> Result<(), Error> {
        let Some(table) = segment.unsealed_table() else { return Ok(()) };
        let path = segment.index_path();
        let what = match read_whole(self.disk, path)? {
            None => "the index is missing",
            Some(bytes) if bytes == index_file::encode(segment.expected(), &table) => return Ok(()),
            Some(_) => match IndexFile::open(self.disk, path, segment.expected()) {
                Some(index) if index.is_whole() => "the index does not agree with its data",
                _ => "the index does not match its checksums",
            },
        };
        self.audit.note(Severity::Mendable, FindingKind::Index, Corruption::of(path, what));
        Ok(())
    }
}

/// How many ids are in both.
fn overlap(one: &Range<u64>, other: &Range<u64>) -> u64 {
    one.end.min(other.end).saturating_sub(one.start.max(other.start))
}

fn note_known_gaps(memory: &Memory, first: u64, audit: &mut Audit<'_>) {
    for (from, last) in memory.lost.iter().filter(|(_, last)| *last >= first) {
        let Some((from, last)) =
            TransId::new(*from).zip(TransId::new(*last)).filter(|(from, last)| from <= last)
        else {
            continue;
        };
        let at = Corruption::of(Path::new(""), "a repair has given them up").losing(from, last);
        audit.note(Severity::Note, FindingKind::KnownGap, at);
    }
}

/// Makes the index of a full file again from its data, durably.
pub(crate) fn rebuild_index(disk: &Disk, parameters: &Parameters, path: &Path) -> Result<(), Error> {
    let found = recover::find(disk, parameters, tail_page::read(disk), Threads::None)?;
    let heads: Vec<SegmentHead> = found.slots.iter().map(|slot| slot.head).collect();
    let per_dir = parameters.index_file_num_per_dir;
    let is_it = |pair: &&[SegmentHead]| {
        pair.first().is_some_and(|head| index_file::index_path(head.number, per_dir) == path)
    };
    let Some([head, later]) = heads.windows(2).find(is_it) else { return Ok(()) };
    let segment = Segment::growing(disk, *head, parameters)?;
    segment.scan(later.first)?;
    let Some(table) = segment.unsealed_table() else { return Ok(()) };
    match disk.remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(disk.publish_file(path, &index_file::encode(segment.expected(), &table))?)
}

/// What the log consists of now. Its last file counts up to its last whole batch.
pub(crate) fn snapshot(disk: &Disk, parameters: &Parameters) -> Result<Snapshot, Error> {
    let found = recover::find(disk, parameters, tail_page::read(disk), Threads::None)?;
    let per_dir = parameters.index_file_num_per_dir;
    let mut files: Vec<(PathBuf, Option<u64>)> =
        found.slots.iter().map(|slot| (data_path(slot.head.number, per_dir), None)).collect();
    if let Some((_, len)) = files.last_mut() {
        *len = Some(found.position);
    }
    let full = found.slots.split_last().map_or(&[][..], |(_, full)| full);
    for slot in full {
        let path = index_file::index_path(slot.head.number, per_dir);
        if len_of(disk, &path)?.is_some() {
            files.push((path, None));
        }
    }
    let tail = Tail {
        log_id: found.log_id,
        next: found.next,
        durable_next: found.next,
        durable_seq: found.seq.saturating_sub(1),
        number: found.slots.last().map_or(0, |slot| slot.head.number),
        position: found.position,
        first: found.memory.first,
        pid: 0,
        is_clean: true,
    };
    Ok(Snapshot { files, tail })
}

/// The checksum of the parameters that the data files were written under; `None` where no file has a head.
pub(crate) fn metadata_crc(disk: &Disk) -> Result<Option<u32>, Error> {
    for path in data_paths(disk)? {
        if let Some(head) = read_head(disk, &path)? {
            return Ok(Some(head.metadata_crc));
        }
    }
    Ok(None)
}

/// Whether there is any data file, whatever the parameters are.
pub(crate) fn has_files(disk: &Disk) -> Result<bool, Error> {
    Ok(!data_paths(disk)?.is_empty())
}

fn data_paths(disk: &Disk) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for dir in disk.list(Path::new(""))?.into_iter().filter(|entry| entry.kind == Kind::Dir) {
        if dir.name.to_str().and_then(plain_number).is_none() {
            continue;
        }
        let files = disk.list(Path::new(&dir.name))?.into_iter().filter(|entry| entry.kind == Kind::File);
        let is_data =
            |name: &str| name.strip_prefix("data.").is_some_and(|number| plain_number(number).is_some());
        let data = files.filter(|file| file.name.to_str().is_some_and(is_data));
        paths.extend(data.map(|file| Path::new(&dir.name).join(file.name)));
    }
    Ok(paths)
}

fn numbered_files(disk: &Disk, parameters: &Parameters) -> Result<Vec<PathBuf>, Error> {
    let numbers = data_files(disk, parameters)?;
    Ok(numbers.into_iter().map(|number| data_path(number, parameters.index_file_num_per_dir)).collect())
}

fn len_of(disk: &Disk, path: &Path) -> Result<Option<u64>, Error> {
    match disk.stat(path) {
        Ok(stat) => Ok(Some(stat.len)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A file's bytes; `None` when it is missing. Indexes have a bound by the size of their data file.
fn read_whole(disk: &Disk, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let file = match disk.open_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}
