//! One chunk: records of a log made into files, and the files into a manifest.
//! Refuses to publish: it reads a log and makes bytes.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use bytes::Bytes;
use rtrans::{Reader, Record, TransId, TypeNo};
use sha2::{Digest, Sha256};

use crate::chunk_id::ChunkId;
use crate::cut::Pending;
use crate::error::{Error, Halt};
use crate::hex::hex;
use crate::manifest::{FileEntry, FileKind, Manifest, chunk_path};
use crate::parquet_file;
use crate::plan::Plan;
use crate::tables::{Filled, Row, Tables};
use crate::walk::{Walk, document};

/// Chunks in one directory of SQD's layout.
const CHUNKS_PER_TOP: usize = 1000;

/// A chunk whose files are made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) manifest: Manifest,
    /// In the order in which they are written.
    pub(crate) files: Files,
}

/// What a chunk is made behind.
#[derive(Clone, Debug)]
pub(crate) struct Behind<'a> {
    pub(crate) head: Option<&'a Manifest>,
    /// The last manifest of the chain, which may be that of a compaction.
    pub(crate) last: Option<&'a Manifest>,
    /// How many chunks were sealed, and the first block of each.
    pub(crate) chunks: &'a [Manifest],
}

impl Behind<'_> {
    /// The record that comes next.
    pub(crate) fn next(&self) -> TransId {
        TransId::after(self.head.and_then(|head| TransId::new(head.last_transid)))
    }

    /// A walk that goes on there.
    pub(crate) fn walk(&self, plan: &Plan) -> Walk {
        let least = self.head.map_or(plan.first_block, |head| head.last_block.saturating_add(1));
        Walk::new(least, self.head.and_then(|head| head.last_hash.clone()))
    }

    fn top_block(&self, first_block: u64) -> u64 {
        let sealed: Vec<&Manifest> = self.chunks.iter().filter(|chunk| chunk.replaces.is_empty()).collect();
        let index = sealed.len().saturating_sub(sealed.len() % CHUNKS_PER_TOP);
        sealed.get(index).map_or(first_block, |chunk| chunk.first_block)
    }
}

/// The BLAKE3 by which a record is known again.
pub(crate) fn record_digest(record: &Record) -> String {
    digest(record.id, record.type_no, &record.bytes)
}

/// The same of a record that lies in a batch.
pub(crate) fn digest(id: TransId, type_no: TypeNo, bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&id.get().to_le_bytes());
    hasher.update(&type_no.0.to_le_bytes());
    hasher.update(bytes);
    hex(hasher.finalize().as_bytes())
}

/// Makes the chunk of the records up to `last`, which are about as many and as large as was seen.
///
/// # Errors
/// [`Error::Halted`] when they do not fit what was sealed; [`Error::Log`] when a record cannot be read.
pub(crate) fn make(
    plan: &Plan,
    log: &Reader,
    behind: &Behind<'_>,
    (last, seen): (TransId, Pending),
) -> Result<Made, Error> {
    let first = behind.next();
    let mut walk = behind.walk(plan);
    let mut tables = Tables::with_room(plan, seen);
    let mut blocks: Option<(u64, u64)> = None;
    let (mut gaps, mut last_record, mut next) = (Vec::new(), None, first);
    for batch in log.batches(first..=last) {
        for record in batch.map_err(|error| trimmed(first, error))?.records() {
            let document = document(plan, record.type_no.0, record.bytes);
            let placed = walk.step(plan, record.id, record.type_no.0, &document)?;
            let (first_block, before) = blocks.unwrap_or((placed.block, placed.block));
            if placed.block.saturating_sub(before) > 1 {
                gaps.push([before.saturating_add(1), placed.block.saturating_sub(1)]);
            }
            blocks = Some((first_block, placed.block));
            tables.push(Row {
                placed: &placed,
                transid: record.id.get(),
                type_no: record.type_no.0,
                appended_at: record.appended_at,
                bytes: record.bytes,
                document: &document,
            });
            next = record.id.next();
            if record.id == last {
                last_record = Some(digest(record.id, record.type_no, record.bytes));
            }
        }
    }
    let differs = || Halt::LogDiffers { sealed: last, last: log.last() };
    let (Some(blocks), Some(last_record)) = (blocks, last_record) else { return Err(differs().into()) };
    if next != last.next() {
        return Err(differs().into());
    }
    let (files, entries) = encode(tables.finish()?)?;
    let mut manifest = Manifest {
        chunk: String::new(),
        dataset: plan.dataset.clone(),
        files: entries,
        first_block: blocks.0,
        first_transid: first.get(),
        gaps,
        last_block: blocks.1,
        last_hash: walk.last_hash,
        last_record,
        last_transid: last.get(),
        path: String::new(),
        previous: behind.last.map(Manifest::digest),
        replaces: Vec::new(),
        sequence: behind.last.map_or(1, |last| last.sequence.saturating_add(1)),
        version: 1,
    };
    name(plan, &mut manifest, behind.top_block(blocks.0))?;
    Ok(Made { manifest, files })
}

/// Gives a chunk its id and its directory.
pub(crate) fn name(plan: &Plan, manifest: &mut Manifest, top_block: u64) -> Result<ChunkId, Error> {
    let id = manifest.computed_id().ok_or_else(|| Error::damaged("manifest", "a digest is none"))?;
    manifest.chunk = id.to_hex();
    let blocks = (manifest.first_block, manifest.last_block);
    manifest.path = chunk_path(plan, id, blocks, top_block, manifest.last_hash.as_deref());
    Ok(id)
}

/// The names and bytes of files, in the order in which they are written.
pub(crate) type Files = Vec<(String, Bytes)>;

/// The files of filled tables.
fn encode(tables: Vec<Filled>) -> Result<(Files, BTreeMap<String, FileEntry>), Error> {
    encode_all(tables.into_iter().map(|table| (table.file, table.kind, vec![table.batch])).collect())
}

/// The files of tables, `blocks.parquet` last: in SQD's layout it says that the chunk is complete.
pub(crate) fn encode_all(
    tables: Vec<(String, FileKind, Vec<RecordBatch>)>,
) -> Result<(Files, BTreeMap<String, FileEntry>), Error> {
    let (mut files, mut entries) = (Vec::new(), BTreeMap::new());
    for (name, kind, batches) in tables {
        let bytes = parquet_file::encode(&name, &batches)?;
        let entry = FileEntry {
            blake3: hex(blake3::hash(&bytes).as_bytes()),
            bytes: bytes.len() as u64,
            kind,
            rows: batches.iter().fold(0, |sum, batch| sum.saturating_add(batch.num_rows() as u64)),
            sha256: hex(&Sha256::digest(&bytes)),
        };
        entries.insert(name.clone(), entry);
        files.push((name, bytes));
    }
    files.sort_by_key(|(name, _)| (name == "blocks.parquet", name.clone()));
    Ok((files, entries))
}

/// A record that should be sealed next and is gone.
pub(crate) fn trimmed(next: TransId, error: rtrans::Error) -> Error {
    match error {
        rtrans::Error::Trimmed { first } => Halt::TrimmedUnsealed { next, first }.into(),
        other => other.into(),
    }
}
