//! SQD's network assignment: a `FlatBuffer` (version 1) of datasets, their chunks, and who is to hold them.
//! Refuses chunks that contradict themselves and addresses on this machine.

use std::collections::BTreeMap;
use std::io::Read as _;

use sha2::{Digest, Sha256};
use url::Url;

use super::chunk_id;
use super::flatbuffer::{Read, Table, Vector, root};
use super::peer_id::PeerId;
use super::sqd::parse_chunk_path;
use crate::dataset::Dataset;
use crate::descriptor::{Descriptor, FILES_MAX, check_file_name};

/// How long an assignment may be once unpacked; one of 500,000 chunks has 80 MB.
pub(crate) const ASSIGNMENT_BYTES_MAX: u64 = 1 << 30;

/// How many worker numbers are looked at in all. Chunks may share one list, so the file's length does not bound them.
const NUMBERS_MAX: usize = 1 << 29;

const TEXT_BYTES_MAX: usize = 1_024;

/// The places of the fields; see the format's schema.
mod slot {
    pub(super) const DATASETS: usize = 0;
    pub(super) const WORKERS: usize = 1;
    pub(super) const DATASET_ID: usize = 0;
    pub(super) const DATASET_CHUNKS: usize = 1;
    pub(super) const CHUNK_FIRST_BLOCK: usize = 0;
    pub(super) const CHUNK_ID: usize = 1;
    pub(super) const CHUNK_DATASET_ID: usize = 2;
    pub(super) const CHUNK_DATASET_BASE_URL: usize = 6;
    pub(super) const CHUNK_BASE_URL: usize = 7;
    pub(super) const CHUNK_FILES: usize = 8;
    pub(super) const CHUNK_WORKERS: usize = 9;
    pub(super) const FILE_NAME: usize = 0;
    pub(super) const FILE_URL: usize = 1;
    pub(super) const WORKER_ID: usize = 0;
}

/// Unpacks an assignment that is gzipped and leaves a plain one as it is.
pub(crate) fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice())
        .take(ASSIGNMENT_BYTES_MAX + 1)
        .read_to_end(&mut plain)
        .map_err(|error| format!("the gzip data is damaged: {error}"))?;
    if u64::try_from(plain.len()).is_ok_and(|len| len > ASSIGNMENT_BYTES_MAX) {
        return Err(format!("it unpacks to more than {} MiB", ASSIGNMENT_BYTES_MAX >> 20));
    }
    Ok(plain)
}

/// Checks the bytes, as they were published, against the digest in the name they were published under:
/// `<time>_<SHA-256 in hex>.fb.gz`. A name without a digest proves nothing: `None`.
pub(crate) fn check_name(name: &str, published: &[u8]) -> Option<Result<(), String>> {
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let stem = stem.strip_suffix(".fb").unwrap_or(stem);
    let (_, digest) = stem.rsplit_once('_')?;
    let expected = data_manager::data_chunk::parse_hex_id(digest)?;
    let found: [u8; 32] = Sha256::digest(published).into();
    Some(if found == expected {
        Ok(())
    } else {
        Err("its SHA-256 is not the one in its name: it is damaged or not whole".to_string())
    })
}

/// An assignment, read where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Assignment<'a> {
    datasets: Vector<'a>,
    workers: Option<Vector<'a>>,
}

/// Which of an assignment's chunks are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Those of one dataset only.
    pub(crate) dataset: Option<Dataset>,
    /// Those of the worker with this number only.
    pub(crate) worker: Option<u16>,
}

impl<'a> Assignment<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Read<Assignment<'a>> {
        let root = root(bytes)?;
        let datasets = root.tables(slot::DATASETS)?.ok_or("it has no datasets")?;
        Ok(Assignment { datasets, workers: root.tables(slot::WORKERS)? })
    }

    /// How many workers the assignment knows.
    pub(crate) fn workers_len(&self) -> usize {
        self.workers.map_or(0, |workers| workers.len())
    }

    /// The number of a worker, by which chunks name it.
    pub(crate) fn worker_number(&self, peer: &PeerId) -> Read<Option<u16>> {
        let Some(workers) = self.workers else { return Ok(None) };
        for number in 0..=u16::MAX {
            if usize::from(number) >= workers.len() {
                break;
            }
            if workers.table(number.into())?.bytes(slot::WORKER_ID)? == Some(peer.0) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// The names of the datasets, as many as `count`.
    pub(crate) fn dataset_names(&self, count: usize) -> Read<Vec<&'a str>> {
        (0..self.datasets.len().min(count))
            .map(|index| text(self.datasets.table(index)?, slot::DATASET_ID, "a dataset's id"))
            .collect()
    }

    /// The chunks, in the order of the file.
    pub(crate) fn chunks(&self, selection: Selection) -> Chunks<'a> {
        Chunks {
            datasets: self.datasets,
            next_dataset: 0,
            current: None,
            selection,
            numbers_left: NUMBERS_MAX,
        }
    }
}

/// The chunks of an assignment; ends after the first error.
#[derive(Debug)]
pub(crate) struct Chunks<'a> {
    datasets: Vector<'a>,
    next_dataset: usize,
    current: Option<DatasetChunks<'a>>,
    selection: Selection,
    numbers_left: usize,
}

#[derive(Debug)]
struct DatasetChunks<'a> {
    dataset: Dataset,
    chunks: Vector<'a>,
    next: usize,
    /// Blocks below this one are spoken for: chunks come in order and do not overlap, so none can come twice.
    free_from: u64,
}

impl Iterator for Chunks<'_> {
    type Item = Read<Descriptor>;

    fn next(&mut self) -> Option<Read<Descriptor>> {
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            self.next_dataset = usize::MAX;
            self.current = None;
        }
        next
    }
}

impl Chunks<'_> {
    fn advance(&mut self) -> Read<Option<Descriptor>> {
        loop {
            let Some(current) = &mut self.current else {
                if self.next_dataset >= self.datasets.len() {
                    return Ok(None);
                }
                self.current = open_dataset(self.datasets.table(self.next_dataset)?, &self.selection)?;
                self.next_dataset += 1;
                continue;
            };
            if current.next >= current.chunks.len() {
                self.current = None;
                continue;
            }
            let chunk = current.chunks.table(current.next)?;
            current.next += 1;
            if is_selected(chunk, self.selection.worker, &mut self.numbers_left)? {
                return describe(chunk, current).map(Some);
            }
        }
    }
}

fn open_dataset<'a>(table: Table<'a>, selection: &Selection) -> Read<Option<DatasetChunks<'a>>> {
    let dataset = Dataset::parse(text(table, slot::DATASET_ID, "a dataset's id")?)?;
    if selection.dataset.as_ref().is_some_and(|wanted| wanted.id != dataset.id) {
        return Ok(None);
    }
    let chunks = table.tables(slot::DATASET_CHUNKS)?;
    Ok(chunks.map(|chunks| DatasetChunks { dataset, chunks, next: 0, free_from: 0 }))
}

fn is_selected(chunk: Table<'_>, worker: Option<u16>, numbers_left: &mut usize) -> Read<bool> {
    let Some(worker) = worker else { return Ok(true) };
    let Some(numbers) = chunk.numbers(slot::CHUNK_WORKERS)? else { return Ok(false) };
    *numbers_left = numbers_left.checked_sub(numbers.len()).ok_or("its lists of workers are too long")?;
    Ok(numbers.iter_numbers().any(|number| number == worker))
}

fn describe(chunk: Table<'_>, current: &mut DatasetChunks<'_>) -> Read<Descriptor> {
    let path = text(chunk, slot::CHUNK_ID, "a chunk's id")?;
    let shown = path.escape_debug();
    let range = parse_chunk_path(path)
        .ok_or_else(|| format!("chunk {shown}: its id is not <top>/<first block>-<last block>-<hash>"))?;
    if chunk.u64(slot::CHUNK_FIRST_BLOCK)?.unwrap_or(0) != range.start {
        return Err(format!("chunk {shown}: its first block is not the one in its id"));
    }
    if text(chunk, slot::CHUNK_DATASET_ID, "a chunk's dataset")? != current.dataset.text() {
        return Err(format!("chunk {shown}: it names another dataset than the one it is listed in"));
    }
    if range.start < current.free_from {
        return Err(format!("chunk {shown}: it is out of order or overlaps the one before it"));
    }
    current.free_from = range.end;
    let files = files(chunk).map_err(|problem| format!("chunk {shown}: {problem}"))?;
    let id = chunk_id(current.dataset.text(), path);
    Ok(Descriptor { id, dataset: current.dataset.clone(), block_range: range, files, priority: 0 })
}

fn files(chunk: Table<'_>) -> Read<BTreeMap<String, String>> {
    let base = text(chunk, slot::CHUNK_DATASET_BASE_URL, "its dataset's base URL")?;
    let base = joined(&with_slash(base), &with_slash(text(chunk, slot::CHUNK_BASE_URL, "its base URL")?))?;
    let list = chunk.tables(slot::CHUNK_FILES)?.filter(|list| list.len() > 0).ok_or("it has no files")?;
    if list.len() > FILES_MAX {
        return Err(format!("it has {} files, more than {FILES_MAX}", list.len()));
    }
    let mut files = BTreeMap::new();
    for index in 0..list.len() {
        let file = list.table(index)?;
        let name = text(file, slot::FILE_NAME, "a file's name")?;
        check_file_name(name).map_err(|rule| format!("{name:?}: {rule}"))?;
        let url = joined(base.as_str(), text(file, slot::FILE_URL, "a file's URL")?)?;
        // An assignment comes from elsewhere: it must not make this machine read its own files.
        if !matches!(url.scheme(), "http" | "https" | "s3" | "gs" | "az") {
            return Err(format!(
                "{name}: addresses of the kind {}: are not taken from an assignment",
                url.scheme()
            ));
        }
        if files.insert(name.to_string(), url.into()).is_some() {
            return Err(format!("{name} is listed twice"));
        }
    }
    Ok(files)
}

fn with_slash(text: &str) -> String {
    if text.ends_with('/') { text.to_string() } else { format!("{text}/") }
}

fn joined(base: &str, relative: &str) -> Read<Url> {
    Url::parse(base)
        .and_then(|base| base.join(relative))
        .map_err(|problem| format!("its base URL and file URLs do not make a URL ({problem})"))
}

fn text<'a>(table: Table<'a>, slot: usize, what: &str) -> Read<&'a str> {
    table.text(slot, TEXT_BYTES_MAX)?.ok_or_else(|| format!("{what} is missing"))
}

#[cfg(test)]
mod tests;
