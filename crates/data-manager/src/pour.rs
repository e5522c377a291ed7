//! Pour: bytes of one run on their way from answers into a staged file, hashed by segment.
//! Refuses to ask for bytes: it takes what comes and says where it stands.

use std::ops::Range;

use bytes::Bytes;
use host::Blocks;

use crate::data_source::{FetchResponse, SourceError, SourceErrorKind, redacted};
use crate::digest::{SEGMENT_BYTES, SegmentHasher, segment_len};
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::job::Job;
use crate::plan::FilePlan;
use crate::staging::{Way, is_long};

/// Bytes gathered before they are written: large enough that a system call and a change of thread do not count.
const GATHER_BYTES: u64 = 512 << 10;

/// Less than this is written and hashed in less time than a change of thread takes.
const INLINE_BYTES_MAX: u64 = 256 << 10;

/// What an object of unknown length is first asked for.
const FIRST_ASK_BYTES: u64 = 32 << 20;

/// A run being written.
#[derive(Debug)]
pub(crate) struct Pour {
    file: usize,
    start: u64,
    /// Where the next byte to be written belongs.
    position: u64,
    /// `None`: to the end of an object whose length nobody said.
    end: Option<u64>,
    hasher: Option<SegmentHasher>,
    /// What is not written yet; no memory before the first byte comes.
    gathered: Option<Blocks>,
    /// Whether what was written may be continued by another answer.
    is_resumable: bool,
    is_asked: bool,
    /// Whether the object is asked for without a range.
    is_whole_asked: bool,
}

fn transient(message: String) -> DownloadError {
    SourceError::new(SourceErrorKind::Transient, message).into()
}

impl Pour {
    /// A run that was claimed; an empty one is of unknown length.
    pub(crate) fn new(file: usize, claim: Range<u64>) -> Pour {
        let end = (!claim.is_empty()).then_some(claim.end);
        Pour {
            file,
            start: claim.start,
            position: claim.start,
            end,
            hasher: None,
            gathered: None,
            is_resumable: true,
            is_asked: false,
            is_whole_asked: false,
        }
    }

    pub(crate) fn file(&self) -> usize {
        self.file
    }

    /// A request is about to be made, to `source`: from the first one on, others may fetch what it will not bring.
    pub(crate) fn settle(&mut self, job: &Job, source: &str) -> Result<(), DownloadError> {
        let rest = self.end.map_or(u64::MAX, |end| end - self.start);
        let bytes = job.shared.lanes.run_bytes(source, rest);
        if let Some(end) = job.plan(self.file, |plan| plan.settle(self.start, bytes))? {
            self.end = Some(end);
            job.more.notify_one();
        }
        Ok(())
    }

    /// Where the next byte to come belongs.
    pub(crate) fn reached(&self) -> u64 {
        self.position + self.gathered_bytes()
    }

    fn gathered_bytes(&self) -> u64 {
        self.gathered.as_ref().map_or(0, |gathered| bytes_of(gathered.bytes()))
    }

    /// Whether it has bytes of a segment that is not whole: they are lost if nothing continues it.
    pub(crate) fn has_unfinished(&self) -> bool {
        self.reached() > self.start && !self.reached().is_multiple_of(SEGMENT_BYTES)
    }

    /// Whether another answer may go on where this one stopped.
    pub(crate) fn can_resume(&self) -> bool {
        self.is_resumable
    }

    /// An object of unknown length has no such part as was asked for: it is empty, perhaps. Asks for all of it next,
    /// once.
    pub(crate) fn ask_whole(&mut self, job: &Job) -> bool {
        let is_unknown = job.plan(self.file, |plan| plan.total().is_none()).unwrap_or(false);
        is_unknown && self.reached() == 0 && !std::mem::replace(&mut self.is_whole_asked, true)
    }

    /// What to ask for next; `None` is the whole object, without a range.
    pub(crate) fn next_range(&mut self, job: &Job) -> Result<Option<Range<u64>>, DownloadError> {
        if job.plan(self.file, |plan| plan.is_whole_only())? {
            if self.start > 0 {
                return Err(self.whole_only(job, "another part of it was answered with the whole object"));
            }
            self.is_whole_asked = true;
        }
        if self.is_whole_asked && self.reached() == 0 {
            return Ok(None);
        }
        Ok(Some(self.rest().unwrap_or(0..FIRST_ASK_BYTES)))
    }

    /// What is still to come, if the end is known.
    pub(crate) fn rest(&self) -> Option<Range<u64>> {
        self.end.map(|end| self.reached()..end)
    }

    /// What the next request may bring at most, as far as is known.
    pub(crate) fn rest_bytes(&self) -> u64 {
        self.end.map_or(u64::MAX, |end| end.saturating_sub(self.reached()))
    }

    /// Whether every byte of the run has come.
    pub(crate) fn is_full(&self) -> bool {
        self.end.is_some_and(|end| self.reached() >= end)
    }

    /// Nothing of this run can be used, and no other run of the file may begin in its midst.
    fn whole_only(&mut self, job: &Job, why: &str) -> DownloadError {
        self.is_resumable = false;
        let message = format!("{}: {why}: it is fetched by one request instead", self.source(job));
        match job.plan(self.file, FilePlan::fetch_whole) {
            // It was asked for as a whole already: asking so again at once cannot help.
            Ok(()) if self.is_whole_asked => transient(message),
            Ok(()) => DownloadError::new(DownloadErrorKind::WholeOnly, message),
            Err(error) => error,
        }
    }

    /// The source's name for messages.
    pub(crate) fn source(&self, job: &Job) -> String {
        job.file(self.file).map(|spec| redacted(&spec.url)).unwrap_or_default()
    }

    /// Checks that an answer is of the wanted object and place, and learns from it.
    pub(crate) fn accept(&mut self, job: &Job, response: &FetchResponse) -> Result<(), DownloadError> {
        let spec = job.file(self.file)?;
        let total = response.total.or_else(|| self.whole_length(response));
        if let Some(total) = total
            && total > job.file_bytes_max
        {
            let message = format!(
                "{}: {total} bytes, and no file may have more than {}: raise Limits::file_bytes_max to accept it",
                self.source(job),
                job.file_bytes_max
            );
            return Err(SourceError::new(SourceErrorKind::Permanent, message).into());
        }
        // Where a digest proves the whole, versions do not matter: mirrors may name them differently.
        let validator = response.validator.as_ref().filter(|_| !spec.has_digest());
        let learnt = job.plan(self.file, |plan| plan.learn(total, validator))?;
        let is_news = learnt.map_err(|mismatch| {
            let kind = match spec.size {
                Some(size) if total.is_some_and(|total| total != size) => DownloadErrorKind::Damaged,
                _ => DownloadErrorKind::Source(SourceErrorKind::Changed),
            };
            DownloadError::new(kind, format!("{}: {}", self.source(job), mismatch.0))
        })?;
        let is_whole = response.offset == 0 && response.length.is_none_or(|length| total == Some(length));
        let is_joinable = total.is_some() && (validator.is_some() || spec.has_digest());
        if !is_joinable && !is_whole {
            // Two answers could be of two versions, and nothing would tell.
            return Err(self.whole_only(job, "it has no version by which parts could be joined"));
        }
        let asked_end = self.end.unwrap_or(FIRST_ASK_BYTES);
        let ignores_ranges = is_whole && !self.is_whole_asked && total.is_some_and(|total| total > asked_end);
        if !is_joinable || ignores_ranges || job.plan(self.file, |plan| plan.is_whole_only())? {
            job.plan(self.file, FilePlan::fetch_whole)?;
            self.is_resumable = false;
        }
        self.place(job, response.offset, total)?;
        if is_news && let Some(total) = total {
            job.make_room()?;
            job.staging.learnt(self.file, total, validator).map_err(|error| disk_error(&error))?;
            job.show_progress();
            if job.staging.is_allocated() {
                // The disk's free space shows it from now on.
                job.shared.catalogue.allocated(job.task);
            }
        }
        Ok(())
    }

    /// A whole object's length is that of its body. What was asked for with a range may be a part.
    fn whole_length(&self, response: &FetchResponse) -> Option<u64> {
        (self.is_whole_asked && response.offset == 0 && self.reached() == 0)
            .then_some(response.length)
            .flatten()
    }

    /// Settles where the answer's bytes go.
    fn place(&mut self, job: &Job, offset: u64, total: Option<u64>) -> Result<(), DownloadError> {
        if offset != self.reached() {
            let why = format!("bytes from {} were asked for and come from {offset}", self.reached());
            return Err(self.whole_only(job, &why));
        }
        if !self.is_asked && self.end.is_none() {
            self.end = match total {
                Some(total) if self.is_resumable => Some(self.first_run_end(total)),
                total => total,
            };
        } else if !self.is_resumable {
            self.end = total;
        }
        self.is_asked = true;
        if let Some(end) = self.end {
            job.plan(self.file, |plan| plan.set_claim_end(self.start, end))?;
            job.more.notify_one();
        }
        Ok(())
    }

    /// How much of an object of newly known length the first request goes on to bring.
    fn first_run_end(&self, total: u64) -> u64 {
        total.min(self.start + FIRST_ASK_BYTES)
    }

    /// Takes bytes of the body; more than the run wants are cut off.
    pub(crate) fn add(&mut self, job: &Job, bytes: Bytes) -> Result<(), DownloadError> {
        let mut bytes = bytes;
        if let Some(rest) = self.rest() {
            let wanted = usize::try_from(rest.end - rest.start).unwrap_or(usize::MAX);
            bytes.truncate(wanted);
        }
        let gathered_bytes_max = self.rest_bytes().min(GATHER_BYTES);
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            let begin =
                || Blocks::new(usize::try_from(gathered_bytes_max).unwrap_or_default(), self.position);
            let gathered = self.gathered.get_or_insert_with(begin);
            let taken = gathered.take(rest);
            let is_full = gathered.is_full();
            rest = rest.get(taken..).unwrap_or_default();
            if is_full {
                self.flush(job)?;
            }
        }
        if self.end.is_none() && self.reached() > job.file_bytes_max {
            return Err(SourceError::new(
                SourceErrorKind::Permanent,
                format!(
                    "{}: its body has no end within {} bytes: raise Limits::file_bytes_max to accept it",
                    self.source(job),
                    job.file_bytes_max
                ),
            )
            .into());
        }
        Ok(())
    }

    /// Writes and hashes what was gathered.
    pub(crate) fn flush(&mut self, job: &Job) -> Result<(), DownloadError> {
        let Some(mut gathered) = self.gathered.take().filter(|gathered| !gathered.is_empty()) else {
            return Ok(());
        };
        let way = self.way(job)?;
        let is_quick = way == Way::Cache && bytes_of(gathered.bytes()) < INLINE_BYTES_MAX;
        let mut write = || self.write(job, &gathered, way);
        if is_quick { write() } else { job.shared.pool.blocking(write) }?;
        gathered.restart(self.position);
        self.gathered = Some(gathered);
        Ok(())
    }

    /// What is long goes past the cache: the room for it has been taken, and nobody reads it soon, but for one kind of digest.
    fn way(&self, job: &Job) -> Result<Way, DownloadError> {
        let is_long = job.plan(self.file, |plan| plan.total())?.is_some_and(is_long);
        let is_read_again = job.file(self.file)?.sha256.is_some();
        Ok(if is_long && !is_read_again { Way::Device } else { Way::Cache })
    }

    fn write(&mut self, job: &Job, gathered: &Blocks, way: Way) -> Result<(), DownloadError> {
        job.staging.write(self.file, gathered, way).map_err(|error| disk_error(&error))?;
        let total = job.plan(self.file, |plan| plan.total())?;
        let Some(total) = total else {
            // Without a length a segment cannot be told from a whole file: it is hashed from the disk at the end.
            self.position += bytes_of(gathered.bytes());
            job.progress.add(bytes_of(gathered.bytes()));
            return Ok(());
        };
        let mut rest = gathered.bytes();
        while !rest.is_empty() {
            let index = self.position / SEGMENT_BYTES;
            let hasher = self.hasher.get_or_insert_with(|| SegmentHasher::new(index, total));
            let end = index * SEGMENT_BYTES + segment_len(index, total);
            let room = usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(room.min(rest.len()));
            if now.is_empty() {
                return Err(transient(format!("{}: bytes after the end", self.source(job))));
            }
            hasher.update(now);
            self.position += bytes_of(now);
            job.progress.add(bytes_of(now));
            rest = later;
            if self.position == end {
                let value = self.hasher.take().and_then(|hasher| hasher.finish());
                let value = value.ok_or_else(|| transient(format!("{}: bad segment", self.source(job))))?;
                let segment_bytes = segment_len(index, total);
                job.staging
                    .segment_done(self.file, index, segment_bytes, &value)
                    .map_err(|error| disk_error(&error))?;
                job.plan(self.file, |plan| plan.segment_done(index, value))?;
            }
        }
        Ok(())
    }

    /// The body has ended.
    pub(crate) fn end(&mut self, job: &Job) -> Result<(), DownloadError> {
        self.flush(job)?;
        match self.end {
            Some(end) if self.position >= end => Ok(()),
            Some(end) => Err(transient(format!(
                "{}: the body ended {} bytes too early",
                self.source(job),
                end - self.position
            ))),
            None => self.end_of_unknown(job),
        }
    }

    /// A body of unknown length has ended, and where it did is the object's length.
    fn end_of_unknown(&mut self, job: &Job) -> Result<(), DownloadError> {
        let total = self.position;
        let learnt = job.plan(self.file, |plan| plan.learn(Some(total), None))?;
        learnt.map_err(|mismatch| transient(format!("{}: {}", self.source(job), mismatch.0)))?;
        job.shared.pool.blocking(|| {
            job.staging.learnt(self.file, total, None).map_err(|error| disk_error(&error))?;
            let values = job.staging.hash_all(self.file, total, &job.stopped);
            let values = values.map_err(|error| disk_error(&error))?.ok_or_else(DownloadError::cancelled)?;
            for (index, value) in (0..).zip(values) {
                let segment_bytes = segment_len(index, total);
                job.staging
                    .segment_done(self.file, index, segment_bytes, &value)
                    .map_err(|error| disk_error(&error))?;
                job.plan(self.file, |plan| plan.segment_done(index, value))?;
            }
            Ok(())
        })
    }
}

fn bytes_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn disk_error(error: &std::io::Error) -> DownloadError {
    DownloadError::disk("staging", error)
}
