//! The catalogue's snapshot: all published chunks in one compact file that is trusted at start.
//! Refuses to read or write files, and to let damage in one page cost another.

use std::collections::HashMap;
use std::ops::Range;

use crate::data_chunk::{BlockRange, ChunkId, DatasetId};
use crate::file_name::check_file_names;

const SNAPSHOT_MAGIC: [u8; 8] = *b"LHCAT\0\0\x01";
const HEADER_BYTES: usize = 64;
const DATASET_BYTES: usize = 40;
const RECORD_BYTES: usize = 64;
/// A page is 1 MiB: damage costs this many records, not all of them.
const PAGE_RECORDS: usize = 16_384;
/// 64 names of 128 bytes and a path of 4,096 fit.
pub(crate) const TEXT_BYTES_MAX: usize = 16 << 10;
const PATH_BYTES_MAX: usize = 4096;
/// The largest number that six bytes hold.
const SIX_BYTES_MAX: u64 = (1 << 48) - 1;

/// A published chunk, as the snapshot and the journal describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexEntry<'a> {
    pub(crate) id: ChunkId,
    pub(crate) dataset_id: DatasetId,
    /// Not empty.
    pub(crate) block_range: BlockRange,
    /// Bytes of all its files. The snapshot keeps at most 2^48 - 1.
    pub(crate) bytes: u64,
    /// The order of publication. The snapshot keeps at most 2^48 - 1.
    pub(crate) sequence: u64,
    /// File names, sorted and joined by `/`.
    pub(crate) names: &'a str,
    /// Its directory below the data directory, where that does not follow from the fields above; at most 4,096 bytes.
    pub(crate) foreign_path: Option<&'a str>,
}

/// A record of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotRecord<'a> {
    pub(crate) entry: IndexEntry<'a>,
    /// The place of its names in [`IndexSnapshot::name_sets`], so that equal ones need be kept only once.
    pub(crate) name_set: u32,
}

/// Which files a chunk has and where they lie, for all chunks that say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameSet<'a> {
    pub(crate) names: &'a str,
    pub(crate) foreign_path: Option<&'a str>,
}

/// Writes a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    generation: u64,
    datasets: Vec<(DatasetId, u64)>,
    name_sets: HashMap<String, u32>,
    /// The name sets in order of their numbers, each behind its length.
    names: Vec<u8>,
    /// The text and number that the chunk before had, which most chunks share.
    last_name_set: Option<(String, u32)>,
    body: Vec<u8>,
}

impl SnapshotBuilder {
    /// A snapshot without records. Each one that is written has a higher generation than the one before.
    pub(crate) fn new(generation: u64) -> SnapshotBuilder {
        SnapshotBuilder {
            generation,
            datasets: Vec::new(),
            name_sets: HashMap::new(),
            names: Vec::new(),
            last_name_set: None,
            body: Vec::new(),
        }
    }

    /// Adds a chunk. They come sorted by dataset id, first block and sequence; one that does not is not believed when
    /// the snapshot is read.
    pub(crate) fn push(&mut self, entry: &IndexEntry<'_>) {
        let name_set = self.name_set(entry);
        match self.datasets.last_mut() {
            Some((dataset_id, count)) if *dataset_id == entry.dataset_id => *count += 1,
            _ => self.datasets.push((entry.dataset_id, 1)),
        }
        let blocks = entry.block_range.end.saturating_sub(entry.block_range.start);
        self.body.extend_from_slice(&entry.id);
        self.body.extend_from_slice(&entry.block_range.start.to_le_bytes());
        self.body.extend_from_slice(&blocks.to_le_bytes());
        for number in [entry.bytes, entry.sequence] {
            let [six @ .., _, _] = number.min(SIX_BYTES_MAX).to_le_bytes();
            self.body.extend_from_slice(&six);
        }
        self.body.extend_from_slice(&name_set.to_le_bytes());
    }

    /// The whole file.
    pub(crate) fn finish(self) -> Vec<u8> {
        let count = self.body.len() / RECORD_BYTES;
        let sums = self.body.chunks(PAGE_RECORDS * RECORD_BYTES).map(crc32fast::hash);
        let mut tables = Vec::with_capacity(self.datasets.len() * DATASET_BYTES + self.names.len());
        for (dataset_id, records) in &self.datasets {
            tables.extend_from_slice(dataset_id);
            tables.extend_from_slice(&records.to_le_bytes());
        }
        tables.extend_from_slice(&self.names);
        sums.for_each(|sum| tables.extend_from_slice(&sum.to_le_bytes()));
        tables.resize(tables.len().next_multiple_of(RECORD_BYTES), 0);

        let mut file = Vec::with_capacity(HEADER_BYTES + tables.len() + self.body.len());
        file.extend_from_slice(&SNAPSHOT_MAGIC);
        file.extend_from_slice(&self.generation.to_le_bytes());
        file.extend_from_slice(&wide(count).to_le_bytes());
        file.extend_from_slice(&narrow(self.datasets.len()).to_le_bytes());
        file.extend_from_slice(&narrow(self.name_sets.len()).to_le_bytes());
        file.extend_from_slice(&wide(self.names.len()).to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&tables).to_le_bytes());
        file.resize(HEADER_BYTES - 4, 0);
        file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
        file.extend_from_slice(&tables);
        file.extend_from_slice(&self.body);
        file
    }

    fn name_set(&mut self, entry: &IndexEntry<'_>) -> u32 {
        if let (Some((text, number)), None) = (&self.last_name_set, entry.foreign_path)
            && text == entry.names
        {
            return *number;
        }
        let text = joined_text(entry);
        let next = narrow(self.name_sets.len());
        let number = *self.name_sets.entry(text.clone()).or_insert_with(|| {
            self.names.extend_from_slice(&narrow(text.len()).to_le_bytes());
            self.names.extend_from_slice(text.as_bytes());
            next
        });
        self.last_name_set = Some((text, number));
        number
    }
}

/// A snapshot whose header and tables are good. Its records are checked as they are read.
#[derive(Debug)]
pub(crate) struct IndexSnapshot<'a> {
    generation: u64,
    count: usize,
    /// How many records each dataset has, in order; none is 0, and they sum up to `count`.
    datasets: Vec<(DatasetId, usize)>,
    name_sets: Vec<NameSet<'a>>,
    page_sums: &'a [[u8; 4]],
    body: &'a [u8],
}

impl<'a> IndexSnapshot<'a> {
    /// Reads the header and the tables; the message says what is wrong with them. Damage behind them is told by
    /// [`IndexSnapshot::records`].
    pub(crate) fn decode(file: &'a [u8]) -> Result<IndexSnapshot<'a>, String> {
        let (header, rest) = file.split_first_chunk::<HEADER_BYTES>().ok_or("it is cut off in its header")?;
        let (summed, sum) = header.split_last_chunk::<4>().ok_or("it has no header")?;
        let mut fields = Fields(summed);
        if fields.take() != Some(SNAPSHOT_MAGIC) {
            return Err("it does not begin as a catalogue snapshot of format 1".to_string());
        }
        if crc32fast::hash(summed).to_le_bytes() != *sum {
            return Err("its header is damaged".to_string());
        }
        let header = Header::read(&mut fields).ok_or("its header is for a larger machine")?;
        let too_short = "it is cut off in its tables";
        let tables_len = header.tables_len().ok_or(too_short)?;
        let (tables, body) = rest.split_at_checked(tables_len).ok_or(too_short)?;
        if crc32fast::hash(tables) != header.tables_sum {
            return Err("its tables are damaged".to_string());
        }
        if body.len().div_ceil(RECORD_BYTES) > header.count {
            return Err("it goes on behind its last record".to_string());
        }
        header.read_tables(tables, body).ok_or_else(|| "its tables do not fit its header".to_string())
    }

    /// What tells this snapshot from earlier ones.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// How many records there should be.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// All the name sets that records refer to.
    pub(crate) fn name_sets(&self) -> &[NameSet<'a>] {
        &self.name_sets
    }

    /// The records, sorted by dataset id, first block and sequence; in the place of damaged ones the range of their
    /// numbers, which means that some directories are not listed and have to be looked for.
    pub(crate) fn records(&self) -> Records<'_, 'a> {
        Records {
            snapshot: self,
            next: 0,
            page: [].iter(),
            dataset: 0,
            dataset_left: self.datasets.first().map_or(0, |(_, records)| *records),
            last_key: None,
        }
    }

    /// A page's records; `None` when the page is damaged or cut off.
    fn page(&self, first: usize) -> Option<&'a [[u8; RECORD_BYTES]]> {
        let sum = self.page_sums.get(first / PAGE_RECORDS)?;
        let end = self.count.min(first + PAGE_RECORDS);
        let page = self.body.get(first * RECORD_BYTES..end * RECORD_BYTES)?;
        (crc32fast::hash(page).to_le_bytes() == *sum).then_some(page.as_chunks().0)
    }
}

/// See [`IndexSnapshot::records`].
#[derive(Debug)]
pub(crate) struct Records<'s, 'a> {
    snapshot: &'s IndexSnapshot<'a>,
    /// The number of the next record.
    next: usize,
    /// What is left of the page that holds it.
    page: std::slice::Iter<'a, [u8; RECORD_BYTES]>,
    dataset: usize,
    /// How many records of that dataset begin at `next`.
    dataset_left: usize,
    /// First block and sequence of the record before, if it is of the same dataset and was good.
    last_key: Option<(u64, u64)>,
}

impl<'a> Iterator for Records<'_, 'a> {
    type Item = Result<SnapshotRecord<'a>, Range<usize>>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        if self.page.as_slice().is_empty() {
            if number >= self.snapshot.count {
                return None;
            }
            let Some(page) = self.snapshot.page(number) else {
                let end = self.snapshot.count.min(number + PAGE_RECORDS);
                self.last_key = None;
                self.advance(end - number);
                return Some(Err(number..end));
            };
            self.page = page.iter();
        }
        let record = self.page.next().and_then(|bytes| self.read(bytes));
        self.last_key =
            record.as_ref().map(|SnapshotRecord { entry, .. }| (entry.block_range.start, entry.sequence));
        self.advance(1);
        Some(record.ok_or(number..number + 1))
    }
}

impl<'a> Records<'_, 'a> {
    #[inline]
    fn read(&self, bytes: &[u8; RECORD_BYTES]) -> Option<SnapshotRecord<'a>> {
        let mut fields = Fields(bytes);
        let id = fields.take()?;
        let (first, blocks) = (fields.u64()?, fields.u64()?);
        let (total, sequence) = (fields.six_bytes()?, fields.six_bytes()?);
        let name_set = fields.u32()?;
        let NameSet { names, foreign_path } =
            *self.snapshot.name_sets.get(usize::try_from(name_set).ok()?)?;
        let (dataset_id, _) = *self.snapshot.datasets.get(self.dataset)?;
        if self.last_key.is_some_and(|last| last >= (first, sequence)) {
            return None;
        }
        let block_range = block_range(first, blocks)?;
        let entry = IndexEntry { id, dataset_id, block_range, bytes: total, sequence, names, foreign_path };
        Some(SnapshotRecord { entry, name_set })
    }

    fn advance(&mut self, records: usize) {
        self.next += records;
        let mut left = records;
        while left >= self.dataset_left && self.dataset_left > 0 {
            left -= self.dataset_left;
            self.dataset += 1;
            self.dataset_left = self.snapshot.datasets.get(self.dataset).map_or(0, |(_, records)| *records);
            self.last_key = None;
        }
        self.dataset_left = self.dataset_left.saturating_sub(left);
    }
}

struct Header {
    generation: u64,
    count: usize,
    datasets: usize,
    name_sets: usize,
    names_len: usize,
    tables_sum: u32,
}

impl Header {
    /// Reads what follows the magic. `None` when a number does not fit this machine.
    fn read(fields: &mut Fields<'_>) -> Option<Header> {
        Some(Header {
            generation: fields.u64()?,
            count: usize::try_from(fields.u64()?).ok()?,
            datasets: usize::try_from(fields.u32()?).ok()?,
            name_sets: usize::try_from(fields.u32()?).ok()?,
            names_len: usize::try_from(fields.u64()?).ok()?,
            tables_sum: fields.u32()?,
        })
    }

    /// `None` when no file can be that long.
    fn tables_len(&self) -> Option<usize> {
        // The body's length is computed too, so that arithmetic on record numbers cannot overflow later.
        self.count.checked_add(PAGE_RECORDS)?.checked_mul(RECORD_BYTES)?;
        let sums_len = self.count.div_ceil(PAGE_RECORDS).checked_mul(4)?;
        let datasets_len = self.datasets.checked_mul(DATASET_BYTES)?;
        datasets_len
            .checked_add(self.names_len)?
            .checked_add(sums_len)?
            .checked_next_multiple_of(RECORD_BYTES)
    }

    fn read_tables<'a>(&self, tables: &'a [u8], body: &'a [u8]) -> Option<IndexSnapshot<'a>> {
        let (datasets, rest) = tables.split_at_checked(self.datasets * DATASET_BYTES)?;
        let (names, sums) = rest.split_at_checked(self.names_len)?;
        let (sums, _) = sums.split_at_checked(self.count.div_ceil(PAGE_RECORDS) * 4)?;
        let datasets = read_datasets(datasets)?;
        let records = datasets.iter().try_fold(0usize, |sum, (_, records)| sum.checked_add(*records))?;
        let name_sets = read_name_sets(names)?;
        let is_fitting = records == self.count && name_sets.len() == self.name_sets;
        let (generation, count, page_sums) = (self.generation, self.count, sums.as_chunks().0);
        is_fitting.then_some(IndexSnapshot { generation, count, datasets, name_sets, page_sums, body })
    }
}

fn read_datasets(table: &[u8]) -> Option<Vec<(DatasetId, usize)>> {
    let mut datasets = Vec::with_capacity(table.len() / DATASET_BYTES);
    for entry in table.as_chunks::<DATASET_BYTES>().0 {
        let mut fields = Fields(entry);
        let (dataset_id, records) = (fields.take()?, usize::try_from(fields.u64()?).ok()?);
        let is_in_order = datasets.last().is_none_or(|(last, _)| *last < dataset_id);
        if records == 0 || !is_in_order {
            return None;
        }
        datasets.push((dataset_id, records));
    }
    Some(datasets)
}

fn read_name_sets(table: &[u8]) -> Option<Vec<NameSet<'_>>> {
    let mut name_sets = Vec::new();
    let mut rest = Fields(table);
    while !rest.0.is_empty() {
        let len = usize::try_from(rest.u32()?).ok()?;
        let (text, after) = rest.0.split_at_checked(len)?;
        name_sets.push(read_text(text)?);
        rest = Fields(after);
    }
    Some(name_sets)
}

/// The names; behind them, if the chunk lies in another program's layout, a zero byte and its path.
pub(crate) fn joined_text(entry: &IndexEntry<'_>) -> String {
    match entry.foreign_path {
        None => entry.names.to_string(),
        Some(path) => format!("{}\0{path}", entry.names),
    }
}

/// Both become parts of paths, so they are held to the same rules as those of a descriptor.
pub(crate) fn read_text(text: &[u8]) -> Option<NameSet<'_>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let (names, foreign_path) = match text.split_once('\0') {
        None => (text, None),
        Some((names, path)) => (names, Some(path)),
    };
    check_file_names(names.split('/')).ok()?;
    let is_sorted = names.split('/').is_sorted();
    (is_sorted && foreign_path.is_none_or(is_below)).then_some(NameSet { names, foreign_path })
}

fn is_below(path: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.len() <= PATH_BYTES_MAX && !path.contains('\0') && path.split('/').all(is_name)
}

pub(crate) fn block_range(first: u64, blocks: u64) -> Option<BlockRange> {
    let end = first.checked_add(blocks)?;
    (first < end).then_some(first..end)
}

/// A length in memory always fits.
fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A count or length that does not fit is written as one that no reader accepts.
pub(crate) fn narrow(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Fixed-width little-endian numbers, one after the other.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    #[inline]
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    #[inline]
    fn six_bytes(&mut self) -> Option<u64> {
        let (low, high) = (self.u32()?, self.take().map(u16::from_le_bytes)?);
        Some(u64::from(high) << 32 | u64::from(low))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
#[path = "../tests/unit/index_file.rs"]
mod tests;
