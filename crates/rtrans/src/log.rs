//! `Log`: the handle of the one writer.
//! Refuses to decide anything itself: appends go to the group commit, reads to the reader.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use host::{Clock, DirLock, Disk, LockError};

use crate::append_batch::{Ack, Appended, Batch};
use crate::beside::{expect_dir, read_parameters};
use crate::chores::{self, Chores};
use crate::commit::{Commit, CommitterSeat, Entry};
use crate::consumer::{self, Consumer, ConsumerStatus};
use crate::consumer_name::ConsumerName;
use crate::control::{Control, Memory, Position};
use crate::error::Error;
use crate::follow::Follow;
use crate::frame::Unframed;
use crate::ids::{TransId, TypeNo};
use crate::metrics::Metrics;
use crate::options::{Create, Level, Options, Threads};
use crate::parameters::{METADATA, Parameters};
use crate::position_file;
use crate::reader::Reader;
use crate::record::Record;
use crate::recovery::{Clamped, Recovery};
use crate::scan::{Batches, Scan, ScanRev};
use crate::store::{One, Shelf, Store};
use crate::sync::thread;
use crate::tail_page::{self, TailPage};
use crate::ticket::Ticket;
use crate::{format1, format2};

/// The file that the writer locks.
pub(crate) const LOCK: &str = "LOCK";

/// A log that is written. Cloning is cheap, and all clones are the same log; it is closed when the last one is dropped.
///
/// ```
/// use rtrans::{Log, Options, TransId, TypeNo};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let log = Log::open(dir, Options::default())?;
/// let id = log.append(TypeNo(7), b"bytes")?; // durable when it returns
/// assert_eq!(id, TransId::FIRST);
///
/// for record in log.scan(..) {
///     println!("{}", record?.id);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Disk,
    reader: Reader,
    commit: Arc<Commit>,
    recovery: Recovery,
    options: Options,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    _lock: DirLock,
}

impl Log {
    /// Opens the log in a directory to write it: creates it, or recovers it.
    ///
    /// # Errors
    /// [`Error::Locked`] while another writer has it, [`Error::BadParameters`] when it was created with others,
    /// [`Error::Corrupt`] when its parameters are damaged. Damage to records is no error: see [`Log::recovery`].
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Log, Error> {
        let dir = dir.as_ref();
        if options.create == Create::Never {
            expect_dir(dir)?;
        }
        Log::open_on(&Disk::open(dir)?, &Clock::system(), options)
    }

    /// Opens the log at the root of a disk, which may be a simulated one, with times from a clock.
    pub fn open_on(disk: &Disk, clock: &Clock, options: Options) -> Result<Log, Error> {
        options.validate()?;
        let lock = disk.lock(Path::new(LOCK)).map_err(|error| match error {
            LockError::Held { pid } => Error::Locked { pid, path: disk.root().to_owned() },
            LockError::Io(error) => error.into(),
        })?;
        remove_unpublished(disk)?;
        let parameters = open_parameters(disk, &options)?;
        let (mut store, shelf, mut recovery, chores) = open_store(disk, clock, &parameters, options.threads)?;
        learn_positions(disk, &mut store)?;
        for (name, from, to) in store.clamp_positions() {
            recovery.clamped.push(Clamped { name, from, to });
        }
        let tail = TailPage::open(disk)?;
        // What the last writer said of its end is no longer true. Durably: a start after a power cut must know as well
        // what had been durable in a log that was new.
        tail.tell_again(&store.tail())?;
        disk.sync_dir(Path::new(""))?;
        let (chores, queue) = match (chores, options.threads) {
            (None, _) => (Chores::Nowhere, None),
            (Some(depot), Threads::None) => (Chores::Inline(depot), None),
            (Some(depot), Threads::Own) => {
                let (chores, receiver) = Chores::for_thread(&depot);
                (chores, Some((depot, receiver)))
            }
        };
        chores.put(store.take_chores());
        let commit = Arc::new(Commit::new(store, &options, clock, tail, chores));
        let mut threads = Vec::new();
        if let Some((depot, receiver)) = queue {
            let scheduling = options.scheduling;
            let work = move || chores::serve(&depot, &receiver, scheduling);
            threads.push(spawn("rtrans-chores", work)?);
        }
        if options.threads == Threads::Own {
            threads.push(spawn_committer(&commit)?);
        }
        let reader = Reader::of_writer(shelf, parameters, Arc::clone(&commit));
        let disk = disk.clone();
        let inner =
            Inner { disk, reader, commit, recovery, options, threads: Mutex::new(threads), _lock: lock };
        Ok(Log { inner: Arc::new(inner) })
    }

    /// What opening the log found and mended.
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// Appends a record at the level of the options: by default it is durable when this returns.
    ///
    /// Callers at the same time share a sync. The commit point is the return of that sync.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::DiskFull`] and [`Error::NoHandles`], after which the log is as before;
    /// [`Error::Poisoned`] when a write or a sync failed, now or before: then the record may be there after the next start,
    /// or not.
    pub fn append(&self, type_no: TypeNo, bytes: &[u8]) -> Result<TransId, Error> {
        self.append_at(self.inner.options.level, type_no, bytes).map(|ack| ack.id)
    }

    /// Appends a record at a level, and tells which one it reached.
    ///
    /// # Errors
    /// As of [`Log::append`].
    pub fn append_at(&self, level: Level, type_no: TypeNo, bytes: &[u8]) -> Result<Ack, Error> {
        let records = [Unframed::new(type_no.0, bytes)];
        if level == Level::Memory {
            let (first, _) = self.inner.commit.put_in_memory(self.entry(&records, level)?)?;
            return Ok(Ack { id: TransId::new(first).ok_or(Error::Closed)?, reached: Level::Memory });
        }
        let (place, reached) = self.inner.commit.put_and_wait(self.entry(&records, level)?)?;
        let id = TransId::new(place.first).ok_or(Error::Closed)?;
        Ok(Ack { id, reached })
    }

    /// Appends a record at the level of the options without waiting for it.
    ///
    /// # Errors
    /// As of [`Log::append`], here or from the ticket.
    pub fn append_async(&self, type_no: TypeNo, bytes: &[u8]) -> Result<Ticket, Error> {
        let (records, level) = ([Unframed::new(type_no.0, bytes)], self.inner.options.level);
        let place = self.inner.commit.put(self.entry(&records, level)?)?;
        Ok(Ticket::new(place, level, &self.inner.commit))
    }

    /// Appends records in one step: all of them, or none, also after a crash.
    ///
    /// In format 1, which has no batches, a crash may leave the first of them.
    ///
    /// # Errors
    /// As of [`Log::append`], and those of the batch's conditions: [`Error::Conflict`], [`Error::Fenced`].
    pub fn append_batch(&self, batch: &Batch<'_>) -> Result<Appended, Error> {
        let (controls, level) = self.prepare(batch)?;
        if level == Level::Memory {
            let (first, next) = self.inner.commit.put_in_memory(self.entry_of(batch, &controls, level)?)?;
            let count = next.saturating_sub(first);
            return Ok(Appended { first: TransId::new(first).filter(|_| count > 0), count, reached: level });
        }
        let (place, reached) = self.inner.commit.put_and_wait(self.entry_of(batch, &controls, level)?)?;
        let count = place.next.saturating_sub(place.first);
        Ok(Appended { first: TransId::new(place.first).filter(|_| count > 0), count, reached })
    }

    /// Appends records in one step without waiting for it.
    ///
    /// # Errors
    /// As of [`Log::append_batch`], here or from the ticket.
    pub fn append_batch_async(&self, batch: &Batch<'_>) -> Result<Ticket, Error> {
        let (controls, level) = self.prepare(batch)?;
        let place = self.inner.commit.put(self.entry_of(batch, &controls, level)?)?;
        Ok(Ticket::new(place, level, &self.inner.commit))
    }

    /// Appends a record if the log ends with this one.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it does not, and as of [`Log::append`].
    pub fn append_if(&self, last: Option<TransId>, type_no: TypeNo, bytes: &[u8]) -> Result<TransId, Error> {
        let appended = self.append_batch(&Batch::new().push(type_no, bytes).expect_last(last))?;
        appended.first.ok_or(Error::Closed)
    }

    /// Makes everything durable that was appended until now, at whatever level; returns the last record.
    ///
    /// # Errors
    /// As of [`Log::append`].
    pub fn sync(&self) -> Result<Option<TransId>, Error> {
        let last = self.inner.commit.last();
        self.inner.commit.flush(Level::Disk)?;
        Ok(last)
    }

    /// The reading side, which can be cloned and outlives the log.
    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// As [`Reader::parameters`].
    pub fn parameters(&self) -> Parameters {
        self.inner.reader.parameters()
    }

    /// As [`Reader::first`].
    pub fn first(&self) -> Option<TransId> {
        self.inner.reader.first()
    }

    /// As [`Reader::last`].
    pub fn last(&self) -> Option<TransId> {
        self.inner.reader.last()
    }

    /// As [`Reader::read`].
    pub fn read(&self, id: TransId) -> Result<Option<Record>, Error> {
        self.inner.reader.read(id)
    }

    /// As [`Reader::scan`].
    pub fn scan(&self, range: impl RangeBounds<TransId>) -> Scan {
        self.inner.reader.scan(range)
    }

    /// As [`Reader::batches`].
    pub fn batches(&self, range: impl RangeBounds<TransId>) -> Batches {
        self.inner.reader.batches(range)
    }

    /// As [`Reader::scan_rev`].
    pub fn scan_rev(&self, range: impl RangeBounds<TransId>) -> ScanRev {
        self.inner.reader.scan_rev(range)
    }

    /// As [`Reader::tail`].
    pub fn tail(&self, count: u64) -> Scan {
        self.inner.reader.tail(count)
    }

    /// As [`Reader::seek_time`].
    pub fn seek_time(&self, time: SystemTime) -> Result<Option<TransId>, Error> {
        self.inner.reader.seek_time(time)
    }

    /// As [`Reader::follow`].
    pub fn follow(&self, from: TransId) -> Follow {
        self.inner.reader.follow(from)
    }

    /// As [`Reader::consumers`].
    pub fn consumers(&self) -> Result<Vec<ConsumerStatus>, Error> {
        self.inner.reader.consumers()
    }

    /// Becomes the consumer of this name. Its commits ride in the group commits.
    ///
    /// # Errors
    /// [`Error::Locked`] while another one has the name, here or in another process; [`Error::BadName`].
    pub fn consumer(&self, name: &str) -> Result<Consumer, Error> {
        Consumer::open(&self.inner.reader, &self.inner.disk, name)
    }

    /// The position in another log that was noted under a name by [`Batch::position`].
    ///
    /// # Errors
    /// [`Error::BadName`].
    pub fn position(&self, name: &str) -> Result<Option<TransId>, Error> {
        let name = ConsumerName::new(name)?;
        let position = self.inner.commit.inspect(|store| store.memory().elsewhere.get(&name).copied())?;
        Ok(position.and_then(|position| TransId::new(position.transid)))
    }

    /// What the log has done since it was opened.
    pub fn metrics(&self) -> Metrics {
        self.inner.commit.counters.read()
    }

    /// Why nothing can be appended any more; `None` while it can.
    pub fn failure(&self) -> Option<Error> {
        self.inner.commit.failure()
    }

    /// Writes and syncs what is left, and lets the next writer come. Clones of the handle append no more.
    ///
    /// Dropping the last clone does the same, but tells no error.
    ///
    /// # Errors
    /// As of [`Log::append`], when what is left could not be written.
    pub fn close(self) -> Result<(), Error> {
        self.inner.close()
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.inner.disk
    }

    pub(crate) fn group_commit(&self) -> &Arc<Commit> {
        &self.inner.commit
    }

    fn entry<'a>(&self, records: &'a [Unframed<'a>], level: Level) -> Result<Entry<'a>, Error> {
        self.entry_of_all(records, &[], level)
    }

    fn entry_of<'a>(
        &self,
        batch: &'a Batch<'a>,
        controls: &'a [Control],
        level: Level,
    ) -> Result<Entry<'a>, Error> {
        let entry = self.entry_of_all(&batch.records, controls, level)?;
        Ok(Entry { expect_last: batch.expect_last, epoch: batch.epoch, ..entry })
    }

    fn entry_of_all<'a>(
        &self,
        records: &'a [Unframed<'a>],
        controls: &'a [Control],
        level: Level,
    ) -> Result<Entry<'a>, Error> {
        let bytes_max = u64::from(self.inner.options.record_bytes_max);
        let mut sum = 0u64;
        for record in records {
            let bytes = record.payload.len() as u64;
            if bytes > bytes_max {
                return Err(Error::TooLarge { bytes, bytes_max });
            }
            sum = sum.saturating_add(bytes).saturating_add(crate::frame::FRAME_HEAD_BYTES as u64);
        }
        // A batch as a whole may be as large as one record, or as what is gathered into one.
        let bytes_max = bytes_max.max(u64::from(self.inner.options.batch_bytes_max)).saturating_add(1 << 20);
        if sum > bytes_max {
            return Err(Error::TooLarge { bytes: sum, bytes_max });
        }
        Ok(Entry { records, controls, level, expect_last: None, epoch: None })
    }

    fn prepare(&self, batch: &Batch<'_>) -> Result<(Vec<Control>, Level), Error> {
        let mut controls = Vec::new();
        if !batch.positions.is_empty() {
            self.expect_controls()?;
            let memory = self.inner.commit.inspect(|store| store.memory().elsewhere.clone())?;
            for (name, id) in &batch.positions {
                let name = ConsumerName::new(name)?;
                let generation =
                    memory.get(&name).map_or(0, |position| position.generation).saturating_add(1);
                controls
                    .push(Control::Elsewhere { name, position: Position { transid: id.get(), generation } });
            }
        }
        Ok((controls, batch.level.unwrap_or(self.inner.options.level)))
    }
}

impl Inner {
    fn close(&self) -> Result<(), Error> {
        let flushed = match self.commit.failure() {
            Some(Error::Closed) => return Ok(()),
            Some(failure) => Err(failure),
            None => {
                let flushed = self.commit.flush(Level::Disk);
                let sealed = self.commit.seal();
                flushed.and(sealed)
            }
        };
        if flushed.is_ok() {
            drop(self.commit.inspect(|store| {
                self.commit.tell_clean_end(store);
            }));
        }
        self.commit.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has done no harm that is not found at the next start.
            drop(thread.join());
        }
        flushed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.close());
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, Error> {
    Ok(thread::Builder::new().name(name.to_owned()).spawn(work)?)
}

fn spawn_committer(commit: &Arc<Commit>) -> Result<thread::JoinHandle<()>, Error> {
    let seat = Arc::new(CommitterSeat::default());
    let (commit_there, seat_there) = (Arc::clone(commit), Arc::clone(&seat));
    let handle = spawn("rtrans-commit", move || commit_there.serve(&seat_there))?;
    commit.employ(handle.thread().clone(), seat);
    Ok(handle)
}

type OpenedStore = (Store, Shelf, Recovery, Option<Arc<format2::depot::Depot>>);

fn open_store(
    disk: &Disk,
    clock: &Clock,
    parameters: &Parameters,
    threads: Threads,
) -> Result<OpenedStore, Error> {
    let tail = tail_page::read(disk);
    if parameters.format_version == 1 {
        let attested = tail.map(|tail| tail.durable_seq);
        let opened = format1::open(disk, parameters, attested)?;
        let durable_next = opened.writer.next();
        let writer = match threads {
            Threads::None => opened.writer,
            Threads::Own => opened.writer.with_thread(),
        };
        let memory = Memory { first: opened.shelf.bounds().0, ..Memory::default() };
        let one = One { disk: disk.clone(), writer, memory, durable_next, positions: BTreeMap::new() };
        return Ok((Store::One(Box::new(one)), Shelf::One(opened.shelf), opened.recovery, None));
    }
    let opened = format2::writer::open(disk, clock, parameters, tail, threads)?;
    Ok((Store::Two(Box::new(opened.writer)), Shelf::Two(opened.shelf), opened.recovery, Some(opened.depot)))
}

/// The parameters of the log that is there, or of the one that is created now.
fn open_parameters(disk: &Disk, options: &Options) -> Result<Parameters, Error> {
    match read_parameters(disk) {
        Ok(_) if options.create == Create::New => Err(Error::Exists { path: disk.root().to_owned() }),
        Ok(parameters) => {
            if let Some(wanted) = &options.parameters {
                parameters.expect(wanted)?;
            }
            parameters.validate()?;
            Ok(parameters)
        }
        Err(Error::NotALog { path }) if options.create == Create::Never => Err(Error::NotALog { path }),
        Err(Error::NotALog { .. }) => {
            let parameters = options.parameters.unwrap_or_else(Parameters::format_2);
            parameters.validate()?;
            position_file::make_dir(disk)?;
            // The commit point of a new log.
            disk.publish_file(Path::new(METADATA), &parameters.encode())?;
            Ok(parameters)
        }
        Err(error) => Err(error),
    }
}

/// Positions that consumers have noted in their files, durably: who wrote one may have met a sync that failed. Who holds a
/// name now has seen to that when he opened it, and is not kept from it for longer than one is written.
fn learn_positions(disk: &Disk, store: &mut Store) -> Result<(), Error> {
    position_file::settle(disk)?;
    for name in position_file::list(disk)? {
        let position =
            match consumer::lock(disk, &name).and_then(|_held| position_file::read_durably(disk, &name)) {
                // There may be no room for the lock.
                Err(Error::Locked { .. } | Error::DiskFull(_)) => position_file::read_synced(disk, &name)?,
                read => read?,
            };
        if let Some(position) = position {
            store.learn(&Control::Position { name, position });
        }
    }
    Ok(())
}

fn remove_unpublished(disk: &Disk) -> Result<(), Error> {
    for entry in disk.list(Path::new(""))? {
        if host::is_unpublished(&entry.name) {
            match disk.remove_file(Path::new(&entry.name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "interleavings"))]
#[path = "../tests/unit/interleavings.rs"]
mod interleavings;
