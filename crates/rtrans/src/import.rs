//! Copying a log into another one: from any format into any, also from the original program's.
//! Refuses to pass damage over in silence, and to change what it reads.

use std::path::Path;

use crate::append_batch::Batch;
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::log::Log;
use crate::options::Level;
use crate::reader::Reader;
use crate::record::RecordBatch;

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
/// holds some of the first records: roll it back, and begin again.
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
    let mut imported = Imported::default();
    let (Some(first), Some(last)) = (from.first(), from.last()) else { return Ok(imported) };
    for batch in from.batches(first..=last) {
        match batch {
            Ok(batch) => append(&batch, to, &mut imported)?,
            Err(Error::Corrupt(corruption)) => imported.lose(corruption),
            Err(other) => return Err(other),
        }
    }
    to.sync()?;
    Ok(imported)
}

/// Appends the records of one buffer. They are synced at the end, all at once.
fn append(records: &RecordBatch, to: &Log, imported: &mut Imported) -> Result<(), Error> {
    let mut batch = Batch::new().level(Level::Os);
    let mut bytes = 0usize;
    for record in records.records() {
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
