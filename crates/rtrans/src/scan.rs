//! Reading records one after the other: in order, by type, backwards, or in batches.
//! Refuses to stop at damage: it is told as an error, and what lies behind it is read.

use std::sync::Arc;

use crate::error::{Corruption, Error};
use crate::ids::{TransId, TypeNo};
use crate::reader::Reader;
use crate::record::{IntoRecords, Record, RecordBatch};
use crate::selected::Selected;
use crate::store::Shelf;

/// About how many bytes are read at a time.
const RUN_BYTES: usize = 256 << 10;

/// Records in batches, from [`Reader::batches`].
#[derive(Debug)]
pub struct Batches {
    shelf: Shelf,
    next: u64,
    end: u64,
    error: Option<Error>,
    /// The buffer of the last batch, which is used again when the batch was dropped meanwhile.
    buffer: Arc<Vec<u8>>,
}

impl Batches {
    pub(crate) fn new(shelf: Shelf, from: u64, end: u64, error: Option<Error>) -> Batches {
        Batches { shelf, next: from, end, error, buffer: Arc::default() }
    }

    /// The id with which the next batch begins.
    pub fn position(&self) -> Option<TransId> {
        TransId::new(self.next)
    }

    fn read(&mut self) -> Result<RecordBatch, Error> {
        if let Some(first) = TransId::new(self.shelf.bounds().0).filter(|first| self.next < first.get()) {
            self.next = first.get();
            return Err(Error::Trimmed { first });
        }
        let buffer = Arc::try_unwrap(std::mem::take(&mut self.buffer)).unwrap_or_default();
        let batch = self.shelf.run(self.next, self.end, RUN_BYTES, buffer);
        match &batch {
            Ok(batch) => {
                self.next = batch.first().get().saturating_add(batch.len() as u64);
                self.buffer = batch.buffer();
            }
            Err(error) => self.next = behind(error, self.next),
        }
        batch
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        (self.next < self.end).then(|| self.read())
    }
}

/// The record behind those that an error tells of.
fn behind(error: &Error, id: u64) -> u64 {
    match error {
        Error::Corrupt(Corruption { ids: Some((_, last)), .. }) if last.get() >= id => {
            last.get().saturating_add(1)
        }
        Error::Corrupt(_) => id.saturating_add(1),
        // Nothing is known of what follows.
        _ => u64::MAX,
    }
}

/// Records in order, from [`Reader::scan`].
#[derive(Debug)]
pub struct Scan {
    batches: Batches,
    records: Option<IntoRecords>,
    types: Vec<u32>,
    /// Records of those types that were read already.
    found: Selected,
}

impl Scan {
    pub(crate) fn new(batches: Batches) -> Scan {
        Scan { batches, records: None, types: Vec::new(), found: Selected::default() }
    }

    /// Only records of these types. Files without any are passed over unread, and so are other records where the
    /// index of a file tells them. Lost records are told, for nothing says of what type they were.
    ///
    /// ```
    /// use rtrans::{Log, Options, TypeNo};
    ///
    /// # let sim = host::sim::SimDisk::new(1);
    /// # let log = Log::open_on(&sim.disk(), &host::Clock::system(), Options::default())?;
    /// log.append(TypeNo(1), b"block")?;
    /// log.append(TypeNo(2), b"transaction")?;
    /// let blocks: Vec<_> = log.scan(..).types([TypeNo(1)]).collect::<Result<_, _>>()?;
    /// assert_eq!(blocks.len(), 1);
    /// # Ok::<(), rtrans::Error>(())
    /// ```
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = TypeNo>) -> Scan {
        self.types = types.into_iter().map(|type_no| type_no.0).collect();
        // An empty list is every type: a filter that lets nothing through is nobody's wish.
        self
    }

    fn next_of_types(&mut self) -> Option<Result<Record, Error>> {
        if let Some(error) = self.batches.error.take() {
            return Some(Err(error));
        }
        loop {
            if let Some(record) = self.found.next() {
                return Some(Ok(record));
            }
            let batches = &mut self.batches;
            if batches.next >= batches.end {
                return None;
            }
            if let Some(first) =
                TransId::new(batches.shelf.bounds().0).filter(|first| batches.next < first.get())
            {
                batches.next = first.get();
                return Some(Err(Error::Trimmed { first }));
            }
            self.found.clear();
            let range = (batches.next, batches.end);
            match batches.shelf.select(&self.types, range, RUN_BYTES, &mut self.found) {
                Ok(next) => batches.next = next,
                Err(error) => {
                    batches.next = behind(&error, batches.next);
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Iterator for Scan {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Result<Record, Error>> {
        if !self.types.is_empty() {
            return self.next_of_types();
        }
        loop {
            if let Some(record) = self.records.as_mut().and_then(Iterator::next) {
                return Some(Ok(record));
            }
            match self.batches.next()? {
                Ok(batch) => self.records = Some(batch.into_iter()),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Records from the last to the first, from [`Reader::scan_rev`].
#[derive(Debug)]
pub struct ScanRev {
    reader: Reader,
    from: u64,
    /// The id behind the next one.
    end: u64,
    error: Option<Error>,
}

impl ScanRev {
    pub(crate) fn new(reader: Reader, from: u64, end: u64, error: Option<Error>) -> ScanRev {
        ScanRev { reader, from, end, error }
    }
}

impl Iterator for ScanRev {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Result<Record, Error>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        let id = TransId::new(self.end.saturating_sub(1)).filter(|id| id.get() >= self.from)?;
        self.end = id.get();
        match self.reader.read(id) {
            Ok(record) => record.map(Ok),
            Err(Error::Trimmed { first }) => {
                self.end = 0;
                Some(Err(Error::Trimmed { first }))
            }
            Err(error) => {
                if let Error::Corrupt(Corruption { ids: Some((first, _)), .. }) = &error {
                    self.end = self.end.min(first.get());
                }
                Some(Err(error))
            }
        }
    }
}
