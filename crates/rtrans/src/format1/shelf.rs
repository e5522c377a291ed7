//! The reading side of a log of format 1: a record by its id with two reads, and runs of records with one each.
//! Refuses to make a reader wait for the writer: where the log begins and ends are two atomic numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host::Disk;

use super::data::DATA_HEAD_BYTES;
use super::doubtful::{attested_by_tail, first_torn};
use super::entry::is_blank;
use super::files::{Files, Source};
use super::look::{Dirs, dirs, last_written};
use super::position::Slot;
use super::recognise::recognise;
use super::stored::{Form, Located, Packing, UNASKED_BYTES_MAX, beyond_numbers};
use crate::error::Error;
use crate::frame::{FRAME_HEAD_BYTES, Unframed};
use crate::ids::{TransId, TypeNo};
use crate::parameters::Parameters;
use crate::record::{Record, RecordBatch, Times};
use crate::tail_page;

/// Entries that a run reads at once. One of them is 36 bytes mostly.
const RUN_ENTRIES_MAX: u64 = 1024;

/// Bytes between two records that are read along with them rather than skipped.
const GAP_BYTES_MAX: u64 = 4096;

/// Who says where the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// The writer in this process.
    Writer,
    /// The files: the writer, if there is one, is another process.
    Files,
}

/// A log of format 1 to read. Shared by all readers, and by the writer, which tells it how far it has got.
#[derive(Debug)]
pub(crate) struct Shelf {
    files: Files,
    form: Form,
    authority: Authority,
    /// Records below are trimmed.
    first: AtomicU64,
    /// The id behind the last record. Published after the record's bytes and its entry.
    next: AtomicU64,
    /// Of a log that is only read: a torn end that was found when it was opened.
    torn: Option<TornEnd>,
}

/// Records at the end that the next writer will cut, for they are not whole, or lie behind one that is not.
#[derive(Clone, Copy, Debug)]
struct TornEnd {
    /// The first that is not whole.
    first: u64,
    /// The id behind the last slot that was ever written.
    next: u64,
}

impl Shelf {
    /// Opens a log to read it, also one of the original program, and beside a writer in another process.
    ///
    /// # Errors
    /// [`Error::BadParameters`] when positions cannot be computed from the parameters.
    pub(crate) fn open(disk: &Disk, parameters: &Parameters) -> Result<Arc<Shelf>, Error> {
        // Before the end is looked for: what is durable by then was written before.
        let attested = attested_by_tail(disk);
        let mut shelf = Shelf::as_found(disk, parameters)?;
        if let Some(first) = first_torn(&shelf, attested) {
            shelf.torn = Some(TornEnd { first, next: shelf.bounds().1 });
            shelf.publish_next(first);
        }
        Ok(Arc::new(shelf))
    }

    /// The same, up to the last slot that was ever written, whether its record is whole or not.
    pub(crate) fn as_found(disk: &Disk, parameters: &Parameters) -> Result<Shelf, Error> {
        let files = Files::new(disk, Source::Any);
        let found = dirs(&files)?;
        let form = recognise(&files, parameters, &found)?;
        let shelf = Shelf::of(files, form, Authority::Files);
        let (_, first, next) = shelf.look_at_end()?;
        shelf.publish_first(first);
        shelf.publish_next(next);
        Ok(shelf)
    }

    /// A shelf without any record yet.
    pub(crate) fn of(files: Files, form: Form, authority: Authority) -> Shelf {
        Shelf { files, form, authority, first: AtomicU64::new(1), next: AtomicU64::new(1), torn: None }
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn form(&self) -> &Form {
        &self.form
    }

    /// The first record, and the one behind the last.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        // The first is never behind the next: it is read first, and both only grow, rollbacks apart.
        let first = self.first.load(Ordering::Acquire);
        (first, self.next.load(Ordering::Acquire).max(first))
    }

    pub(crate) fn publish_first(&self, first: u64) {
        self.first.store(first, Ordering::Release);
    }

    pub(crate) fn publish_next(&self, next: u64) {
        self.next.store(next, Ordering::Release);
    }

    /// Reads a record and verifies it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names what is wrong and where. [`Error::Trimmed`] and [`Error::RolledBack`] when the record went
    /// while it was read.
    pub(crate) fn read(&self, id: u64) -> Result<Record, Error> {
        self.read_here(id).map_err(|error| self.explain(id, error))
    }

    /// Reads records that follow each other: as many as lie together from `from` on, at least one.
    ///
    /// About `bytes_max` bytes at most, unless the first record alone has more. A run ends before a damaged record.
    pub(crate) fn read_run(&self, from: u64, end: u64, bytes_max: usize) -> Result<RecordBatch, Error> {
        match self.run_here(from, end, bytes_max)? {
            Some(batch) => Ok(batch),
            // The first record is damaged, or the files changed meanwhile: it alone tells which.
            None => Ok(RecordBatch::of(&self.read(from)?)),
        }
    }

    /// Looks for what was appended, trimmed or rolled back by a writer in another process.
    pub(crate) fn refresh(&self) -> Result<(), Error> {
        if self.authority == Authority::Writer {
            return Ok(());
        }
        let (found, first, next) = self.look_at_end()?;
        let next = self.still_torn(next).unwrap_or(next);
        let known = self.next.load(Ordering::Acquire);
        self.first.fetch_max(first, Ordering::AcqRel);
        if let Some(dir) = found.numbers.first() {
            self.files.forget_before(*dir);
        }
        if next >= known {
            self.next.fetch_max(next, Ordering::AcqRel);
        } else if self.is_gone(known.saturating_sub(1))? {
            // Another thread may have looked later than this one: only a slot that is empty now proves a rollback.
            self.next.store(next, Ordering::Release);
        }
        Ok(())
    }

    /// Where the log ends while nobody has come to cut its torn end: a writer that goes on behind has found it whole, so that
    /// what cannot be read there is damage.
    fn still_torn(&self, next: u64) -> Option<u64> {
        let torn = self.torn.filter(|torn| torn.next == next)?;
        self.read_here(torn.first).is_err().then_some(torn.first)
    }

    /// Where the log begins and ends.
    ///
    /// A log that was closed, and that nobody has opened meanwhile, ends where its writer said: what is not found of it is
    /// lost, and has to be told as such.
    fn look_at_end(&self) -> Result<(Dirs, u64, u64), Error> {
        let before = tail_page::read(self.files.disk()).filter(|tail| tail.is_clean);
        let found = dirs(&self.files)?;
        let (first, next) = self.look(&found)?;
        let told = before.filter(|before| tail_page::read(self.files.disk()) == Some(*before));
        Ok((found, first, next.max(told.map_or(0, |told| told.durable_next))))
    }

    /// Where the log begins and ends by its directories and slots.
    fn look(&self, found: &Dirs) -> Result<(u64, u64), Error> {
        let Form { geometry, layout, .. } = &self.form;
        let Some(lowest) = found.numbers.first() else { return Ok((1, 1)) };
        let first = geometry.first_of(*lowest).ok_or_else(|| beyond_numbers(u64::MAX))?;
        let last = last_written(&self.files, geometry, *layout, found)?;
        let next =
            last.map_or(Some(first), |last| last.checked_add(1)).ok_or_else(|| beyond_numbers(u64::MAX))?;
        Ok((first, next.max(first)))
    }

    /// Whether a record's slot is blank now, or its file gone.
    fn is_gone(&self, id: u64) -> Result<bool, Error> {
        let stride = self.form.layout.stride();
        let Some(slot) = self.form.geometry.slot_of(id) else { return Ok(true) };
        let mut bytes = vec![0; stride as usize];
        let read =
            self.files.get(slot.key()).and_then(|file| file.read_exact_at(&mut bytes, slot.offset(stride)));
        match read {
            Ok(()) => Ok(is_blank(&bytes)),
            Err(error) if is_end(&error) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn read_here(&self, id: u64) -> Result<Record, Error> {
        let located = self.form.find(&self.files, id)?;
        let stored = Form::fetch(&self.files, &located)?;
        let bytes = match self.form.packing {
            Packing::Raw => stored,
            _ => self.form.unpack(&located, &stored)?,
        };
        let id = TransId::new(id).ok_or_else(|| beyond_numbers(id))?;
        Ok(Record { id, type_no: TypeNo(located.entry.type_no), appended_at: None, bytes })
    }

    /// Tells what has been trimmed or rolled back meanwhile from what is damaged.
    fn explain(&self, id: u64, error: Error) -> Error {
        // Where looking fails too, what happened first is what the caller hears.
        if !matches!(error, Error::Corrupt(_)) || self.refresh().is_err() {
            return error;
        }
        match self.bounds() {
            (first, _) if id < first => TransId::new(first).map_or(error, |first| Error::Trimmed { first }),
            (_, next) if id >= next => Error::RolledBack { after: TransId::new(next.saturating_sub(1)) },
            _ => error,
        }
    }

    fn run_here(&self, from: u64, end: u64, bytes_max: usize) -> Result<Option<RecordBatch>, Error> {
        let run = self.locate_run(from, end, bytes_max)?;
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(None) };
        if run.len() == 1 && first.entry.len > UNASKED_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(last.end().saturating_sub(first.offset)).unwrap_or(0)];
        let read = self.files.get(first.key()).and_then(|file| file.read_exact_at(&mut bytes, first.offset));
        match read {
            Err(error) if is_end(&error) => return Ok(None),
            read => read?,
        }
        let mut frames = Vec::with_capacity(bytes.len());
        let mut count = 0u32;
        for located in &run {
            if count > 0 && frames.len() >= bytes_max {
                break;
            }
            let start = usize::try_from(located.offset.saturating_sub(first.offset)).unwrap_or(usize::MAX);
            let end = start.saturating_add(DATA_HEAD_BYTES).saturating_add(located.entry.len as usize);
            if self.push(located, bytes.get(start..end).unwrap_or_default(), &mut frames).is_err() {
                break;
            }
            count = count.saturating_add(1);
        }
        let id = TransId::new(from).ok_or_else(|| beyond_numbers(from))?;
        Ok((count > 0).then(|| RecordBatch::new(id, count, Times::default(), Arc::new(frames), 0)))
    }

    fn push(&self, located: &Located, bytes: &[u8], frames: &mut Vec<u8>) -> Result<(), Error> {
        let stored = Form::verify(located, bytes)?;
        let type_no = located.entry.type_no;
        if self.form.packing == Packing::Raw {
            Unframed::new(type_no, stored).push_to(frames, located.id);
            return Ok(());
        }
        let payload = self.form.unpack(located, stored)?;
        Unframed::new(type_no, &payload).push_to(frames, located.id);
        Ok(())
    }

    /// The records from `from` on that lie behind each other in one data file, as their entries say.
    fn locate_run(&self, from: u64, end: u64, bytes_max: usize) -> Result<Vec<Located>, Error> {
        let stride = self.form.layout.stride();
        let slot = self.form.geometry.slot_of(from).ok_or_else(|| beyond_numbers(from))?;
        let left = self.form.geometry.per_file.saturating_sub(u64::from(slot.number));
        // Small records: no more entries than records fit.
        let fitting = (bytes_max / FRAME_HEAD_BYTES).max(1) as u64;
        let count = end.saturating_sub(from).min(left).min(RUN_ENTRIES_MAX).min(fitting).max(1);
        let mut entries = vec![0; usize::try_from(count.saturating_mul(u64::from(stride))).unwrap_or(0)];
        let read =
            self.files.get(slot.key()).and_then(|file| read_up_to(&file, &mut entries, slot.offset(stride)));
        let read = match read {
            Err(error) if is_end(&error) => 0,
            read => read?,
        };
        entries.truncate(read);
        let mut run: Vec<Located> = Vec::new();
        for (steps, bytes) in (0u32..).zip(entries.chunks_exact(stride.max(1) as usize)) {
            let place = from.checked_add(u64::from(steps)).zip(slot.number.checked_add(steps));
            let Some((id, number)) = place else { break };
            let Ok(located) = self.form.locate(id, Slot { number, ..slot }, bytes) else { break };
            if run
                .first()
                .zip(run.last())
                .is_some_and(|(first, last)| !follows(first, last, &located, bytes_max))
            {
                break;
            }
            run.push(located);
        }
        Ok(run)
    }
}

/// Whether a record lies shortly behind another one, and the run with it is not too long.
fn follows(first: &Located, last: &Located, located: &Located, bytes_max: usize) -> bool {
    let is_behind = located.key() == last.key() && located.offset >= last.end();
    let is_near = located.offset.saturating_sub(last.end()) <= GAP_BYTES_MAX;
    is_behind && is_near && located.end().saturating_sub(first.offset) <= bytes_max as u64
}

/// Fills as much of the buffer as the file has.
fn read_up_to(file: &host::File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut done = 0usize;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64))? {
            0 => break,
            read => done = done.saturating_add(read),
        }
    }
    Ok(done)
}

/// What a file that is missing or too short answers.
fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof)
}
