//! Copying a log into another one: from any format into any, also from the original program's.
//! Refuses to pass damage over in silence, and to change what it reads.

use std::path::Path;

use crate::append_batch::Batch;
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::log::Log;
use crate::options::Level;
use crate::reader::Reader;
use crate::record::{Record, RecordBatch};

/// Bytes of records that are appended at once; a larger record is appended alone.
const BATCH_BYTES: usize = 256 << 10;

/// Damaged places that are listed; behind so many they are only counted.
const DAMAGED_MAX: usize = 1000;

/// What an import has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// How many records were appended.
    pub records: u64,
    /// How many were there already, from an earlier import that did not come to its end.
    pub found: u64,
    /// The first of them in the new log, and the last; they follow each other.
    pub ids: Option<(TransId, TransId)>,
    /// How many records of the old log could not be read, and are not in the new one.
    pub lost: u64,
    /// Where and why, up to a thousand places.
    pub damaged: Vec<Corruption>,
}

/// Appends all records of the log in a directory to another log, in their order and with their types; durable when it
/// returns.
///
/// The old log may be of any format, also of the original program in Ruby. Ids are those that the new log gives: the same as
/// before if it was empty, and the old one began with 1 and is not damaged. Times are those of the import, and positions
/// of consumers stay where they are. What the old log had when the import began is copied. After an error, the new log
/// holds some of the first records: [`resume_import`] goes on behind them.
///
/// # Errors
/// [`Error::NotALog`] when nothing is there; [`Error::TooLarge`] for a record that is larger than the new log takes; whatever
/// reading the old log and appending to the new one say, but for [`Error::Corrupt`], which is counted.
///
/// ```
/// use rtrans::{Log, Options, Parameters, TypeNo, import};
///
/// # let place = tempfile::tempdir()?;
/// # let (old_dir, new_dir) = (place.path().join("old"), place.path().join("new"));
/// let parameters = Some(Parameters::format_1());
/// let old = Log::open(&old_dir, Options { parameters, ..Options::default() })?;
/// old.append(TypeNo(7), b"hello")?;
/// old.close()?;
///
/// let new = Log::open(&new_dir, Options::default())?;
/// let imported = import(&old_dir, &new)?;
/// assert_eq!((imported.records, imported.lost), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn import(from_dir: impl AsRef<Path>, to: &Log) -> Result<Imported, Error> {
    import_from(&Reader::open(from_dir)?, to)
}

/// Appends all records that a reader sees to a log, see [`import`].
pub fn import_from(from: &Reader, to: &Log) -> Result<Imported, Error> {
    resume_import(from, to, to.last())
}

/// Goes on with an import that did not come to its end: `after` is the last record that the new log had when it began.
///
/// Who may be killed notes that record where a later run finds it, as `loghold log import` does. What is behind it is compared
/// with the first records of the old log, byte by byte, and the others are appended.
///
/// # Errors
/// [`Error::Unsupported`] when the new log has other records there than the old one, and none was appended; those of [`import`].
pub fn resume_import(from: &Reader, to: &Log, after: Option<TransId>) -> Result<Imported, Error> {
    let mut imported = Imported::default();
    let (Some(first), Some(last)) = (from.first(), from.last()) else { return Ok(imported) };
    let mut there = to.scan(after.map_or(TransId::FIRST, TransId::next)..).fuse();
    for batch in from.batches(first..=last) {
        match batch {
            Ok(batch) => append(&batch, &mut there, to, &mut imported)?,
            Err(Error::Corrupt(corruption)) => imported.lose(corruption),
            Err(other) => return Err(other),
        }
    }
    if there.next().is_some() {
        return Err(others_there());
    }
    to.sync()?;
    Ok(imported)
}

fn others_there() -> Error {
    Error::Unsupported {
        what: "going on with an import behind which the log has records that are not the other log's",
        instead: "roll the log back to where the import began, and begin again",
    }
}

/// Appends the records of one buffer that are not `there` yet. They are synced at the end, all at once.
fn append(
    records: &RecordBatch,
    there: &mut impl Iterator<Item = Result<Record, Error>>,
    to: &Log,
    imported: &mut Imported,
) -> Result<(), Error> {
    let mut batch = Batch::new().level(Level::Os);
    let mut bytes = 0usize;
    for record in records.records() {
        if let Some(found) = there.next().transpose()? {
            if (found.type_no, found.bytes.as_slice()) != (record.type_no, record.bytes) {
                return Err(others_there());
            }
            imported.found = imported.found.saturating_add(1);
            continue;
        }
        if bytes > 0 && bytes.saturating_add(record.bytes.len()) > BATCH_BYTES {
            imported.append(&batch, to)?;
            batch = Batch::new().level(Level::Os);
            bytes = 0;
        }
        batch = batch.push(record.type_no, record.bytes);
        bytes = bytes.saturating_add(record.bytes.len()).saturating_add(1);
    }
    imported.append(&batch, to)
}

impl Imported {
    fn append(&mut self, batch: &Batch<'_>, to: &Log) -> Result<(), Error> {
        let appended = to.append_batch(batch)?;
        let Some(first) = appended.first.filter(|_| appended.count > 0) else { return Ok(()) };
        let last =
            TransId::new(first.get().saturating_add(appended.count.saturating_sub(1))).unwrap_or(first);
        self.records = self.records.saturating_add(appended.count);
        self.ids = Some((self.ids.map_or(first, |(earliest, _)| earliest), last));
        Ok(())
    }

    fn lose(&mut self, corruption: Corruption) {
        let count = corruption
            .ids
            .map_or(0, |(first, last)| last.get().saturating_sub(first.get()).saturating_add(1));
        self.lost = self.lost.saturating_add(count);
        if self.damaged.len() < DAMAGED_MAX {
            self.damaged.push(corruption);
        }
    }
}
