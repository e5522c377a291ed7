//! `Consumer`: a named backend that reads a log and remembers how far it got, as the original's `transid/` directory does.
//! Refuses to be ahead of the log, and to be in two places at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::{DirLock, Disk, LockError};

use crate::commit::{Entry, Place};
use crate::consumer_name::ConsumerName;
use crate::control::{Control, Position};
use crate::error::Error;
use crate::follow::Follow;
use crate::ids::TransId;
use crate::options::Level;
use crate::position_file::{self, Written};
use crate::reader::Reader;
use crate::record::Record;
use crate::store::Shelf;
use crate::ticket::Ticket;

/// The directory with the locks of consumers.
const LOCKS: &str = "transid.lock";

/// How far a consumer has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// The last record that it is done with; `None` before the first.
    pub position: Option<TransId>,
    /// How many records lie between it and the end of the log.
    pub lag: u64,
}

impl ConsumerStatus {
    pub(crate) fn new(name: &ConsumerName, position: Position, last: Option<TransId>) -> ConsumerStatus {
        let last = last.map_or(0, TransId::get);
        ConsumerStatus {
            name: name.as_str().to_owned(),
            position: TransId::new(position.transid),
            lag: last.saturating_sub(position.transid),
        }
    }
}

/// A named consumer. It sees each record at least once: after a crash it goes on behind the last position that it
/// committed.
///
/// From [`Log::consumer`](crate::Log::consumer) its commits ride in the group commits of the log. From
/// [`Reader::consumer`], beside a writer in another process, they are synced by themselves.
///
/// ```
/// use rtrans::{Log, Options, TypeNo};
///
/// # let sim = host::sim::SimDisk::new(1);
/// # let log = Log::open_on(&sim.disk(), &host::Clock::system(), Options::default())?;
/// log.append(TypeNo(1), b"one")?;
/// let mut sealer = log.consumer("sealer")?;
/// for record in sealer.next_batch(100)? {
///     sealer.commit(record.id)?;
/// }
/// assert_eq!(log.consumers()?[0].lag, 0);
/// # Ok::<(), rtrans::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    name: ConsumerName,
    reader: Reader,
    disk: Disk,
    follow: Follow,
    position: Position,
    /// What became of a position in a file: it may be in memory as if it were written, and no later sync would say so.
    failure: Option<Error>,
    /// The last commit that nobody may have waited for.
    under_way: Option<Place>,
    /// Ends with the consumer: another one of this name may come then.
    _lock: DirLock,
}

impl Reader {
    /// Becomes the consumer of this name, in this process.
    ///
    /// # Errors
    /// [`Error::Locked`] while another one has the name, here or in another process. [`Error::BadName`].
    /// [`Error::Trimmed`] when records that it has not seen are gone: [`Consumer::reset`] says where to go on.
    pub fn consumer(&self, name: &str) -> Result<Consumer, Error> {
        match self.beside() {
            Some(beside) => Consumer::open(self, beside.disk(), name),
            None => Err(Error::Closed),
        }
    }
}

impl Consumer {
    pub(crate) fn open(reader: &Reader, disk: &Disk, name: &str) -> Result<Consumer, Error> {
        let name = ConsumerName::new(name)?;
        let lock = lock(disk, &name)?;
        if reader.commit().is_none() {
            position_file::settle(disk)?;
        }
        reader.refresh()?;
        let position = known(reader, disk, &name)?;
        let follow = reader.follow(TransId::after(TransId::new(position.transid)));
        Ok(Consumer {
            name,
            reader: reader.clone(),
            disk: disk.clone(),
            follow,
            position,
            failure: None,
            under_way: None,
            _lock: lock,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The last record that it is done with, as it was committed; `None` before the first.
    pub fn position(&self) -> Option<TransId> {
        TransId::new(self.position.transid)
    }

    /// The next records, at most so many; none when it has seen all.
    ///
    /// It goes on behind the last record that it gave, committed or not; a new consumer begins behind the position.
    ///
    /// # Errors
    /// As of [`Follow::next_within`]: each is told once, then it goes on behind.
    pub fn next_batch(&mut self, max: usize) -> Result<Vec<Record>, Error> {
        self.wait_batch(max, Duration::ZERO)
    }

    /// As [`Consumer::next_batch`], but waits for the first of them at most for this time.
    pub fn wait_batch(&mut self, max: usize, timeout: Duration) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        if max == 0 {
            return Ok(records);
        }
        records.extend(self.follow.next_within(timeout)?);
        while !records.is_empty() && records.len() < max {
            match self.follow.look() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => {
                    // Told with the next call: these records come first, and nothing is passed over.
                    self.follow.put_back(error);
                    break;
                }
            }
        }
        Ok(records)
    }

    /// Notes durably that it is done with all records up to this one.
    ///
    /// # Errors
    /// [`Error::BeyondEnd`] when there is no such record yet. [`Error::Poisoned`] when a write or a sync failed, now or
    /// before: then the position may be the one before. In a consumer of a [`Log`](crate::Log) that is the log's; beside a
    /// writer in another process it is the consumer's own: it reads on, and the next one of its name makes durable
    /// what it finds.
    pub fn commit(&mut self, id: TransId) -> Result<(), Error> {
        self.set(Some(id))
    }

    /// Sets the position, forward or back, durably; the next batch begins behind it. `None`: before the first record.
    pub fn reset(&mut self, id: Option<TransId>) -> Result<(), Error> {
        self.set(id)?;
        self.follow = self.reader.follow(TransId::after(id));
        Ok(())
    }

    /// As [`Consumer::commit`], without waiting: the commit rides in the next group commit. To drop the consumer waits for it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] beside a writer in another process, where there is none to ride in.
    pub fn commit_async(&mut self, id: TransId) -> Result<Ticket, Error> {
        let position = self.next_position(Some(id))?;
        let Some(commit) = self.reader.commit() else {
            return Err(Error::Unsupported {
                what: "a log that another process writes has no group commit to ride in",
                instead: "use `commit`",
            });
        };
        let controls = [Control::Position { name: self.name.clone(), position }];
        let place = commit.put(entry(&controls))?;
        self.position = position;
        self.under_way = Some(place.clone());
        Ok(Ticket::new(place, Level::Disk, commit))
    }

    /// Writes the position into the consumer's file, whoever writes the log.
    pub(crate) fn write_file(&mut self, id: Option<TransId>) -> Result<(), Error> {
        let position = self.next_position(id)?;
        self.put(position)?;
        self.position = position;
        Ok(())
    }

    /// The commit point of a position in a file of its own.
    fn put(&mut self, position: Position) -> Result<(), Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let written = position_file::write(&self.disk, &self.name, position).and_then(Written::sync);
        let written = written.map_err(Error::poison);
        self.failure = written.as_ref().err().filter(|error| !error.is_harmless()).cloned();
        written
    }

    fn set(&mut self, id: Option<TransId>) -> Result<(), Error> {
        let position = self.next_position(id)?;
        match self.reader.commit() {
            Some(commit) => {
                let controls = [Control::Position { name: self.name.clone(), position }];
                commit.put_and_wait(entry(&controls))?;
            }
            None => self.put(position)?,
        }
        self.position = position;
        Ok(())
    }

    fn next_position(&self, id: Option<TransId>) -> Result<Position, Error> {
        let transid = id.map_or(0, TransId::get);
        if let Some(id) = id.filter(|id| Some(*id) > self.reader.last_seen()) {
            // It may lie in memory still: then it has an id, and nobody has read it.
            self.reader.refresh()?;
            // It may have been trimmed meanwhile, and be the last record of all.
            let last = TransId::new(self.reader.shelf().bounds().1.saturating_sub(1));
            if Some(id) > last {
                return Err(Error::BeyondEnd { id, last });
            }
        }
        Ok(Position { transid, generation: self.position.generation.saturating_add(1) })
    }
}

impl Drop for Consumer {
    /// The next one of this name may be in another process, where it goes on from what is written.
    fn drop(&mut self) {
        if let (Some(place), Some(commit)) = (&self.under_way, self.reader.commit()) {
            // Who wants to know the outcome has the ticket.
            drop(commit.wait_for(place));
        }
    }
}

fn entry(controls: &[Control]) -> Entry<'_> {
    Entry { records: &[], controls, level: Level::Disk, expect_last: None, epoch: None }
}

/// The position of a consumer: in the log, or in its file when that is later.
fn known(reader: &Reader, disk: &Disk, name: &ConsumerName) -> Result<Position, Error> {
    let in_file = match reader.shelf() {
        // The writer sets back positions when it rolls back, whoever has the name.
        Shelf::One(_) => position_file::read_synced(disk, name)?,
        Shelf::Two(_) => position_file::read_durably(disk, name)?,
    };
    let in_log = match (reader.commit(), reader.beside()) {
        (Some(commit), _) => commit.inspect(|store| store.memory().positions.get(name).copied())?,
        (None, Some(beside)) => beside.positions()?.get(name).copied(),
        (None, None) => None,
    };
    let later = [in_file, in_log].into_iter().flatten().max_by_key(|position| position.generation);
    Ok(later.unwrap_or_default())
}

pub(crate) fn lock(disk: &Disk, name: &ConsumerName) -> Result<DirLock, Error> {
    match disk.create_dir(Path::new(LOCKS)) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let path: PathBuf = Path::new(LOCKS).join(name.as_str());
    disk.lock(&path).map_err(|error| match error {
        LockError::Held { pid } => {
            Error::Locked { pid, path: disk.root().join(position_file::TRANSID).join(name.as_str()) }
        }
        LockError::Io(error) => error.into(),
    })
}
