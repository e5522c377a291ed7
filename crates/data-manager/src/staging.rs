//! Staging: the files of one chunk while they are fetched, outside of what anybody may see.
//! Refuses to publish: it makes the files, keeps account of their segments, and takes up where a crash left them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use host::{Blocks, Disk, File};

use crate::cancel::Cancel;
use crate::data_chunk::ChunkId;
use crate::data_source::Validator;
use crate::digest::{ChainingValue, SEGMENT_BYTES, SegmentHasher, segment_count, segment_len};
use crate::file_spec::{CheckedChunk, FileSpec};
use crate::layout;
use crate::part_map::{PartMap, PartRecord};
use crate::plan::FilePlan;
use crate::pool::Pool;

/// The longest part map that is read back; a longer one is started over.
const PARTS_BYTES_MAX: u64 = 256 << 20;

/// Files shorter than this take no room ahead, and their lines of the part map wait for one another.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// Bytes of small files whose lines may wait. A crash costs them, as it costs a segment that is not whole.
const WAITING_BYTES_MAX: u64 = SEGMENT_BYTES;

/// Bytes read at once when segments are hashed from the disk.
const READ_BYTES: usize = 256 << 10;

/// Which way bytes go into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through what memory caches: it takes no time before the sync, and whoever reads them soon finds them there.
    Cache,
    /// Past it, to the device: half of the processor's work, and what queries have in memory stays there.
    Device,
}

/// Whether a file of this length takes its room before its bytes come.
pub(crate) fn is_long(total: u64) -> bool {
    total >= SMALL_FILE_BYTES
}

/// One chunk's staging directory.
#[derive(Debug)]
pub(crate) struct Staging {
    disk: Disk,
    path: PathBuf,
    names: Vec<String>,
    /// Held for opening files and for appending a line to the part map.
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    files: Vec<Option<File>>,
    /// The part map; `None` until it has a line that does not wait. A chunk of small files mostly never has one.
    parts: Option<File>,
    parts_len: u64,
    /// Lines of small files that are not written yet, and the bytes of those files. The header waits as well.
    waiting: Vec<u8>,
    waiting_bytes: u64,
}

impl Open {
    /// Takes a line of the part map. Returns whether it is time to write those that wait: one that may wait says for how many
    /// bytes.
    fn append(&mut self, line: &[u8], may_wait: Option<u64>) -> bool {
        self.waiting.extend_from_slice(line);
        self.waiting_bytes = self.waiting_bytes.saturating_add(may_wait.unwrap_or(WAITING_BYTES_MAX));
        self.waiting_bytes >= WAITING_BYTES_MAX
    }

    fn write_waiting(&mut self, disk: &Disk, path: &Path) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let parts = match self.parts.take() {
            Some(parts) => parts,
            None => disk.create_file(&path.join(layout::PARTS))?,
        };
        self.parts.insert(parts).write_all_at(&self.waiting, self.parts_len)?;
        self.parts_len += u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        self.waiting.clear();
        self.waiting_bytes = 0;
        Ok(())
    }
}

impl Staging {
    /// Opens a chunk's staging directory, and says what of the chunk is in it already.
    ///
    /// What the part map says is believed only where the bytes on disk hash to it: after a power cut the map may know of
    /// bytes that never reached the disk. That takes its time, and ends when `cancel` is thrown: then the plans say too little,
    /// and are of no use.
    pub(crate) fn open(
        disk: &Disk,
        chunk: &CheckedChunk,
        (pool, cancel): (Pool, &Cancel),
    ) -> io::Result<(Staging, Vec<FilePlan>)> {
        let path = layout::staging_path(&chunk.id);
        match disk.create_dir(&path) {
            // Of a new one nothing is read: that takes less time than a change of thread.
            Ok(()) => Ok(Self::over((disk, path), chunk, None, cancel)),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Err(_) => pool.blocking(|| Self::reopen_dir(disk, path, chunk, cancel)),
        }
    }

    fn reopen_dir(
        disk: &Disk,
        path: PathBuf,
        chunk: &CheckedChunk,
        cancel: &Cancel,
    ) -> io::Result<(Staging, Vec<FilePlan>)> {
        let resumed = Self::open_parts(disk, &path, chunk)?;
        if resumed.is_none() {
            // Whatever another descriptor left here goes.
            disk.remove_tree(&path)?;
            disk.create_dir(&path)?;
        }
        Ok(Self::over((disk, path), chunk, resumed, cancel))
    }

    fn over(
        (disk, path): (&Disk, PathBuf),
        chunk: &CheckedChunk,
        resumed: Option<(PartMap, File)>,
        cancel: &Cancel,
    ) -> (Staging, Vec<FilePlan>) {
        let names: Vec<String> = chunk.files.iter().map(|file| file.name.clone()).collect();
        let (map, parts) = resumed.unzip();
        let map = map.unwrap_or_default();
        let parts_len = u64::try_from(map.valid_len()).unwrap_or(u64::MAX);
        let waiting = if parts.is_some() { Vec::new() } else { PartMap::header(chunk) };
        let files = vec![None; names.len()];
        let open = Open { files, parts, parts_len, waiting, waiting_bytes: 0 };
        let staging = Staging { disk: disk.clone(), path, names, open: Mutex::new(open) };
        let plans = chunk.files.iter().enumerate();
        let plans = plans.map(|(file, spec)| staging.resume(file, spec, &map, cancel)).collect();
        (staging, plans)
    }

    fn open_parts(disk: &Disk, path: &Path, chunk: &CheckedChunk) -> io::Result<Option<(PartMap, File)>> {
        let parts = match disk.edit_file(&path.join(layout::PARTS)) {
            Ok(parts) => parts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(map) = read_parts(&parts)?.filter(|map| map.is_of(chunk)) else { return Ok(None) };
        parts.set_len(u64::try_from(map.valid_len()).unwrap_or_default())?;
        Ok(Some((map, parts)))
    }

    /// Without a validator or a digest nothing would tell whether further parts are of the same version: then a file is
    /// believed only if it is complete.
    fn resume(&self, file: usize, spec: &FileSpec, map: &PartMap, cancel: &Cancel) -> FilePlan {
        let mut plan = FilePlan::new(spec.size);
        let is_size = |total: &u64| spec.size.is_none_or(|size| size == *total);
        let Some(total) = map.total(file).filter(is_size) else {
            return plan;
        };
        let Ok(staged) = self.reopen(file) else { return plan };
        if staged.len().is_ok_and(|len| len < total) {
            return plan;
        }
        let mut done = BTreeMap::new();
        for (index, _, value) in map.segments(file) {
            if cancel.is_cancelled() {
                return plan;
            }
            if let Ok(Some(found)) = self.hash_segment(file, index, total)
                && found == *value
            {
                done.insert(index, found);
            }
        }
        let validator = map.validator(file).map(|text| Validator(text.to_string()));
        let is_complete = u64::try_from(done.len()) == Ok(segment_count(total));
        if is_complete || validator.is_some() || spec.has_digest() {
            plan.resume(total, validator, done);
        }
        plan
    }

    fn opened(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, file: usize) -> io::Result<&str> {
        self.names.get(file).map(String::as_str).ok_or_else(no_such_file)
    }

    fn reopen(&self, file: usize) -> io::Result<File> {
        let staged = self.disk.edit_file(&self.path.join(self.name(file)?))?;
        // After a failed sync memory may show bytes that the disk does not have.
        staged.evict()?;
        if let Some(slot) = self.opened().files.get_mut(file) {
            *slot = Some(staged.clone());
        }
        Ok(staged)
    }

    fn file(&self, file: usize) -> io::Result<File> {
        if let Some(Some(open)) = self.opened().files.get(file) {
            return Ok(open.clone());
        }
        let path = self.path.join(self.name(file)?);
        let staged = match self.disk.create_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.edit_file(&path)?,
            created => created?,
        };
        let mut open = self.opened();
        let slot = open.files.get_mut(file).ok_or_else(no_such_file)?;
        Ok(slot.get_or_insert(staged).clone())
    }

    /// An object's length and version are known: its room is taken, and older segments of it are worth nothing.
    ///
    /// A small file takes its room as it is written: asking for it ahead would cost more than that.
    pub(crate) fn learnt(&self, file: usize, total: u64, validator: Option<&Validator>) -> io::Result<()> {
        let staged = self.file(file)?;
        let len = staged.len()?;
        if len > total || (len < total && is_long(total)) {
            staged.set_len(total)?;
            if total > 0 {
                staged.preallocate(total)?;
            }
        }
        let validator = validator.map(|validator| validator.0.as_str());
        let line = PartMap::record(&PartRecord::Object { file, total, validator });
        self.append(&line, (!is_long(total)).then_some(0))
    }

    /// Writes bytes of a file to their place.
    pub(crate) fn write(&self, file: usize, gathered: &Blocks, way: Way) -> io::Result<()> {
        let staged = self.file(file)?;
        match way {
            Way::Cache => staged.write_all_at(gathered.bytes(), gathered.offset()),
            Way::Device => staged.write_blocks(gathered),
        }
    }

    /// A segment is written whole. The line is not synced: what it says is checked against the bytes when it is read.
    pub(crate) fn segment_done(
        &self,
        file: usize,
        segment: u64,
        len: u64,
        value: &ChainingValue,
    ) -> io::Result<()> {
        let line = PartMap::record(&PartRecord::Segment { file, segment, len, value: *value });
        self.append(&line, (!is_long(len)).then_some(len))
    }

    fn append(&self, line: &[u8], may_wait: Option<u64>) -> io::Result<()> {
        let mut open = self.opened();
        if open.append(line, may_wait) { open.write_waiting(&self.disk, &self.path) } else { Ok(()) }
    }

    /// Writes the lines that wait: what is staged is left for a later try.
    pub(crate) fn keep(&self) -> io::Result<()> {
        self.opened().write_waiting(&self.disk, &self.path)
    }

    /// The files stand for themselves from here on, and need no part map.
    pub(crate) fn drop_parts(&self) {
        if self.opened().parts.is_some() {
            // One that stays is a stranger in the chunk's directory, and no more.
            drop(self.disk.remove_file(&self.path.join(layout::PARTS)));
        }
    }

    /// What stands for a segment as it is on disk; `None` when the file is shorter than that.
    pub(crate) fn hash_segment(
        &self,
        file: usize,
        segment: u64,
        total: u64,
    ) -> io::Result<Option<ChainingValue>> {
        let mut hasher = SegmentHasher::new(segment, total);
        let begin = segment * SEGMENT_BYTES;
        let end = begin + segment_len(segment, total);
        self.read(file, begin..end, |bytes| hasher.update(bytes))?;
        Ok(hasher.finish())
    }

    /// What stands for each segment of a file as it is on disk; `None` when `stop` is thrown before all of it was read.
    pub(crate) fn hash_all(
        &self,
        file: usize,
        total: u64,
        stop: &Cancel,
    ) -> io::Result<Option<Vec<ChainingValue>>> {
        let mut values = Vec::new();
        for index in 0..segment_count(total) {
            if stop.is_cancelled() {
                return Ok(None);
            }
            let value = self.hash_segment(file, index, total)?;
            values.push(value.ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        Ok(Some(values))
    }

    /// Gives the bytes of a part of a file, in order and in pieces.
    pub(crate) fn read(
        &self,
        file: usize,
        range: std::ops::Range<u64>,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let staged = self.file(file)?;
        let mut buffer = vec![0; READ_BYTES];
        let mut position = range.start;
        while position < range.end {
            let wanted = usize::try_from(range.end - position).unwrap_or(usize::MAX).min(READ_BYTES);
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            staged.read_exact_at(piece, position)?;
            take(piece);
            position += u64::try_from(wanted).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// The staged files, to be synced before they are published.
    pub(crate) fn files(&self) -> io::Result<Vec<File>> {
        (0..self.names.len()).map(|file| self.file(file)).collect()
    }

    /// Makes an empty file for an object of no bytes, which no request ever writes.
    pub(crate) fn make_empty(&self, file: usize) -> io::Result<()> {
        self.file(file)?.set_len(0)
    }

    /// Whether every file has taken its room.
    pub(crate) fn is_allocated(&self) -> bool {
        self.opened().files.iter().all(Option::is_some)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads a part map; one that is longer than any of ours is none.
fn read_parts(parts: &File) -> io::Result<Option<PartMap>> {
    let len = parts.len()?;
    if len > PARTS_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    parts.read_exact_at(&mut bytes, 0)?;
    Ok(Some(PartMap::decode(&bytes)))
}

/// How much of what lies in a staging directory need not be fetched again, as its part map says. The lengths of the files
/// say nothing: they have all of theirs from the start. Whether the map is right is seen when the download goes on.
pub(crate) fn done_bytes(disk: &Disk, path: &Path) -> io::Result<u64> {
    let map = read_parts(&disk.open_file(&path.join(layout::PARTS))?)?.unwrap_or_default();
    Ok(map.done_bytes(|name| disk.stat(&path.join(name)).map_or(0, |stat| stat.len)))
}

/// Removes what is staged of a chunk, if anything is.
pub(crate) fn discard(disk: &Disk, id: &ChunkId) -> io::Result<()> {
    match disk.remove_tree(&layout::staging_path(id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn no_such_file() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the chunk has no such file")
}

impl fmt::Display for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.disk.root().join(&self.path).display())
    }
}

#[cfg(test)]
#[path = "../tests/unit/staging.rs"]
mod tests;
