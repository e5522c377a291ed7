//! The depot: data files that are prepared before they are needed, and those that are no longer.
//! Refuses to be in the way: a writer that finds nothing prepared makes a file itself.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use host::{Disk, File, Kind};

use super::index_file::{self, IndexFile, index_path};
use super::recover::plain_number;
use super::segment::{Segment, data_path};
use super::shelf::{Shelf, Slot};
use crate::error::Error;
use crate::parameters::Parameters;

/// Bytes that are written at a time: larger writes are slower on some machines.
const WRITE_BYTES: usize = 64 << 10;

/// The length of a file that is made because nothing was prepared: it is zeroed at once, so it is short.
const SHORT_BYTES: u64 = 1 << 20;

/// Files that are kept to be used again after a trim; more are removed.
const RETIRED_MAX: usize = 2;

/// A data file that is ready to be written: it has its length and its place, and its name is durable.
#[derive(Clone, Debug)]
pub(crate) struct Spare {
    pub(crate) number: u64,
    pub(crate) file: File,
}

/// What has to be done some time.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Write the index of a full data file.
    Index(Arc<Segment>),
    /// Read a full data file, whose records end before `end`, and write the index that it has lost.
    Reindex { shelf: Arc<Shelf>, slot: Arc<Slot>, end: u64 },
    /// Prepare the data file with this number; zeroed, so that a sync of it writes no metadata.
    Prepare { number: u64, is_zeroed: bool },
    /// Remove these data files and their indexes, or keep some to be used again.
    Retire(Vec<u64>),
}

/// Files and chores, shared by the writer and the thread that does the chores.
#[derive(Debug)]
pub(crate) struct Depot {
    disk: Disk,
    parameters: Parameters,
    stock: Mutex<Stock>,
    /// A file is no longer being prepared.
    prepared: Condvar,
}

/// Held to take or put; no file is touched under it.
#[derive(Debug, Default)]
struct Stock {
    spare: Option<Spare>,
    /// The file that is being prepared. Nobody else touches its name until it is done.
    preparing: Option<u64>,
    /// The writer waits for it: what is not zeroed yet stays so.
    is_urgent: bool,
    /// Files below were handed out.
    taken: u64,
    /// A directory was made whose name is not durable yet.
    has_unsynced_dir: bool,
    /// Numbers of files that are done with.
    retired: Vec<u64>,
    /// A directory that could not be synced, also by a chore that nobody waited for: names in it may never be durable,
    /// and a second sync that works proves nothing. No file is handed out any more.
    failure: Option<Arc<io::Error>>,
}

impl Depot {
    pub(crate) fn new(disk: &Disk, parameters: &Parameters) -> Depot {
        Depot {
            disk: disk.clone(),
            parameters: *parameters,
            stock: Mutex::new(Stock::default()),
            prepared: Condvar::new(),
        }
    }

    /// The prepared file with this number, or one that is made now: a short one that is zeroed, or a long one.
    pub(crate) fn take(&self, number: u64, len: u64, is_zeroed: bool) -> Result<Spare, Error> {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        while stock.preparing == Some(number) {
            stock.is_urgent = true;
            stock = self.prepared.wait(stock).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failure) = &stock.failure {
            return Err(Error::Io(Arc::clone(failure)));
        }
        let spare = stock.spare.take_if(|spare| spare.number == number);
        // From now on it is the writer's: a late wish to prepare it must not take its name away.
        stock.taken = stock.taken.max(number.saturating_add(1));
        drop(stock);
        match spare {
            Some(spare) if len <= self.parameters.max_size_data_file => Ok(spare),
            _ => match self.make_now(number, len, is_zeroed) {
                Err(Error::DiskFull(error)) => self.take_retired(number, len, Error::DiskFull(error)),
                made => made,
            },
        }
    }

    fn make_now(&self, number: u64, len: u64, is_zeroed: bool) -> Result<Spare, Error> {
        if is_zeroed {
            return self.make_short(number, len);
        }
        self.make(number, len.max(self.parameters.max_size_data_file))
    }

    /// A file that a trim has freed and that waits to be used again: on a full disk it is the room that the trim has made.
    fn take_retired(&self, number: u64, len: u64, full: Error) -> Result<Spare, Error> {
        if len > self.parameters.max_size_data_file {
            return Err(full);
        }
        let Some(old) = self.stock(|stock| stock.retired.pop()) else { return Err(full) };
        self.reuse(old, number)
    }

    /// Whether the next file is there already.
    pub(crate) fn is_prepared(&self, number: u64) -> bool {
        self.stock(|stock| stock.spare.as_ref().is_some_and(|spare| spare.number == number))
    }

    /// Has a file that is being prepared finished as it is.
    pub(crate) fn hurry(&self) {
        self.stock(|stock| stock.is_urgent = true);
    }

    /// Does a chore. What fails is tried again when it is asked for again, and endangers nothing.
    pub(crate) fn do_chore(&self, chore: Chore) -> Result<(), Error> {
        match chore {
            Chore::Index(segment) => self.write_index(&segment),
            Chore::Reindex { shelf, slot, end } => self.write_index(shelf.open(&slot, end)?),
            Chore::Prepare { number, is_zeroed } => self.prepare(number, is_zeroed),
            Chore::Retire(numbers) => self.retire(&numbers),
        }
    }

    /// Removes the index of the file that is written: there is one when the file was full before a crash took its end. It
    /// would fit by its number and generation once the file is full again, and lead to other records.
    pub(crate) fn forget_index(&self, number: u64) -> Result<(), Error> {
        remove(&self.disk, &index_path(number, self.parameters.index_file_num_per_dir))
    }

    /// Gives files another name, under which they are no part of the log, and can still be looked at.
    pub(crate) fn put_aside(&self, numbers: &[u64]) -> Result<(), Error> {
        for number in numbers {
            let path = self.data_path(*number);
            self.disk.replace(&path, &PathBuf::from(format!("{}.damaged", path.display())))?;
        }
        Ok(())
    }

    /// Removes files that were found behind the end: a later start must not take them for a part of the log.
    pub(crate) fn discard(&self, numbers: &[u64]) -> Result<(), Error> {
        for number in numbers {
            remove(&self.disk, &self.data_path(*number))?;
            remove(&self.disk, &index_path(*number, self.parameters.index_file_num_per_dir))?;
        }
        Ok(())
    }

    /// Makes durable what becomes of files behind the last one, also what a start has done that was killed on its way: a
    /// file that it removed would come back with a power cut, behind records that were appended since, and take their place.
    pub(crate) fn settle_names_behind(&self, last: Option<u64>) -> Result<(), Error> {
        let last_dir = last.unwrap_or_default() / u64::from(self.parameters.index_file_num_per_dir);
        for entry in self.disk.list(Path::new(""))?.into_iter().filter(|entry| entry.kind == Kind::Dir) {
            let dir_no = entry.name.to_str().and_then(plain_number);
            if dir_no.is_some_and(|dir_no| dir_no >= last_dir) {
                self.sync_dir(Path::new(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Writes the index of a full file, and lets it take the place of the table in memory.
    fn write_index(&self, segment: &Segment) -> Result<(), Error> {
        let Some(table) = segment.unsealed_table() else { return Ok(()) };
        let bytes = index_file::encode(segment.expected(), &table);
        let path = segment.index_path();
        remove(&self.disk, path)?;
        // Not synced: it is derived, carries checksums, and is made again when a crash takes it.
        let file = self.disk.create_file(path)?;
        if let Err(error) = write_pieces(&file, &bytes, 0) {
            // Half an index would look like a damaged one; one that is missing is made at the next start.
            drop(self.disk.remove_file(path));
            return Err(error);
        }
        if let Some(index) = IndexFile::open(&self.disk, path, segment.expected()) {
            segment.seal(index);
        }
        Ok(())
    }

    fn prepare(&self, number: u64, is_zeroed: bool) -> Result<(), Error> {
        let retired = self.stock(|stock| {
            let is_there = stock.spare.as_ref().is_some_and(|spare| spare.number == number);
            if is_there || stock.preparing.is_some() || number < stock.taken {
                return None;
            }
            stock.preparing = Some(number);
            stock.is_urgent = false;
            Some(stock.retired.pop())
        });
        let Some(retired) = retired else { return Ok(()) };
        let made = self.prepare_with(number, retired, is_zeroed);
        self.stock(|stock| {
            stock.preparing = None;
            stock.spare = made.as_ref().ok().cloned();
        });
        self.prepared.notify_all();
        made.map(|_| ())
    }

    fn prepare_with(&self, number: u64, retired: Option<u64>, is_zeroed: bool) -> Result<Spare, Error> {
        if let Some(spare) = retired.and_then(|old| self.reuse(old, number).ok()) {
            return Ok(spare);
        }
        let spare = self.make(number, self.parameters.max_size_data_file)?;
        if is_zeroed {
            self.zero(&spare, self.parameters.max_size_data_file)?;
        }
        Ok(spare)
    }

    /// Writes zeros up to a length, so that syncs of what is written later change no metadata; as far as there is time.
    fn zero(&self, spare: &Spare, upto: u64) -> Result<(), Error> {
        let zeros = vec![0; WRITE_BYTES];
        let mut offset = 0;
        while offset < upto && !self.stock(|stock| stock.is_urgent && stock.preparing == Some(spare.number)) {
            let len = upto.saturating_sub(offset).min(WRITE_BYTES as u64);
            let len = usize::try_from(len).unwrap_or(WRITE_BYTES);
            spare.file.write_all_at(zeros.get(..len).unwrap_or_default(), offset)?;
            offset = offset.saturating_add(len as u64);
        }
        Ok(spare.file.sync()?)
    }

    /// Moves a file that is done with to its new place. Its head names its old number, so that it is no file of the
    /// log until it is written, and its old batches do not match the new generation.
    fn reuse(&self, old: u64, number: u64) -> Result<Spare, Error> {
        let (from, to) = (self.data_path(old), self.data_path(number));
        self.make_dir(&to)?;
        remove(&self.disk, &to)?;
        self.disk.rename(&from, &to)?;
        for dir in [to.parent(), from.parent()].into_iter().flatten() {
            self.sync_dir(dir)?;
        }
        let file = self.disk.edit_file(&to)?;
        file.preallocate(self.parameters.max_size_data_file)?;
        Ok(Spare { number, file })
    }

    /// Makes a data file for a writer that waits for it: short, so that it can be zeroed, unless it has to be long.
    fn make_short(&self, number: u64, len: u64) -> Result<Spare, Error> {
        let short = self.parameters.max_size_data_file.min(SHORT_BYTES);
        let spare = self.make(number, len.max(short))?;
        if len <= short {
            self.zero(&spare, short)?;
        }
        Ok(spare)
    }

    /// Makes a data file durably, so that the disk is full now or not while it is written.
    fn make(&self, number: u64, len: u64) -> Result<Spare, Error> {
        let path = self.data_path(number);
        // One that is longer than others has whole blocks, too: no other ones can be written past memory, see `rewrite_at`.
        let is_longer = len > self.parameters.max_size_data_file;
        let len = if is_longer { len.next_multiple_of(File::BLOCK_BYTES as u64) } else { len };
        self.make_dir(&path)?;
        remove(&self.disk, &path)?;
        let file = self.disk.create_file(&path)?;
        if let Err(error) = file.preallocate(len).and_then(|()| file.sync()) {
            // The next try makes another file, so that a sync that failed is no matter.
            drop(self.disk.remove_file(&path));
            return Err(error.into());
        }
        self.sync_dir(path.parent().unwrap_or(Path::new("")))?;
        Ok(Spare { number, file })
    }

    fn make_dir(&self, path: &Path) -> Result<(), Error> {
        let dir = path.parent().unwrap_or(Path::new(""));
        match self.disk.create_dir(dir) {
            Ok(()) => self.stock(|stock| stock.has_unsynced_dir = true),
            // Its sync worked, or was not tried, or nothing is handed out any more.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        if self.stock(|stock| stock.has_unsynced_dir) {
            self.sync_dir(Path::new(""))?;
            self.stock(|stock| stock.has_unsynced_dir = false);
        }
        Ok(())
    }

    /// Makes the names in a directory durable. A failure is final, whoever meets it, unless the sync was not even tried.
    fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        self.disk.sync_dir(dir).map_err(|error| {
            if host::lacks_handles(&error) {
                return error.into();
            }
            let error = Arc::new(error);
            self.stock(|stock| stock.failure = Some(Arc::clone(&error)));
            Error::Io(error)
        })
    }

    fn retire(&self, numbers: &[u64]) -> Result<(), Error> {
        for number in numbers {
            remove(&self.disk, &index_path(*number, self.parameters.index_file_num_per_dir))?;
            let path = self.data_path(*number);
            let len = match self.disk.stat(&path) {
                Ok(stat) => stat.len,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            let is_kept = self.stock(|stock| {
                let is_kept = len == self.parameters.max_size_data_file && stock.retired.len() < RETIRED_MAX;
                if is_kept {
                    stock.retired.push(*number);
                }
                is_kept
            });
            if !is_kept {
                remove(&self.disk, &path)?;
            }
        }
        Ok(())
    }

    fn data_path(&self, number: u64) -> PathBuf {
        data_path(number, self.parameters.index_file_num_per_dir)
    }

    fn stock<T>(&self, change: impl FnOnce(&mut Stock) -> T) -> T {
        change(&mut self.stock.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Removes a file that may be missing.
fn remove(disk: &Disk, path: &Path) -> Result<(), Error> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes bytes in pieces of a size that every machine is fast with.
pub(crate) fn write_pieces(file: &File, bytes: &[u8], offset: u64) -> Result<(), Error> {
    let mut at = offset;
    for piece in bytes.chunks(WRITE_BYTES) {
        file.write_all_at(piece, at)?;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(())
}
