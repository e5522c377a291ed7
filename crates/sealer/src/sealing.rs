//! One chunk: records of a log made into files, and the files into a manifest.
//! Refuses to publish: it reads a log and makes bytes.

use rtrans::{Reader, Record, TransId, TypeNo};

use crate::chunk_id::ChunkId;
use crate::encoding::{Files, encode_beside};
use crate::error::{Error, Halt};
use crate::hex::hex;
use crate::manifest::{Manifest, chunk_path};
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

/// What the records of a chunk say of it together.
struct Walked {
    blocks: (u64, u64),
    gaps: Vec<[u64; 2]>,
    last_hash: Option<String>,
    last_record: String,
}

/// Makes the chunk of the records up to `last`.
///
/// # Errors
/// [`Error::Halted`] when they do not fit what was sealed; [`Error::Log`] when a record cannot be read.
pub(crate) fn make(plan: &Plan, log: &Reader, behind: &Behind<'_>, last: TransId) -> Result<Made, Error> {
    let (walked, encoded) = encode_beside(|hand_over| fill(plan, log, behind, last, hand_over))?;
    let mut manifest = Manifest {
        chunk: String::new(),
        dataset: plan.dataset.clone(),
        files: encoded.entries,
        first_block: walked.blocks.0,
        first_transid: behind.next().get(),
        gaps: walked.gaps,
        last_block: walked.blocks.1,
        last_hash: walked.last_hash,
        last_record: walked.last_record,
        last_transid: last.get(),
        path: String::new(),
        previous: behind.last.map(Manifest::digest),
        replaces: Vec::new(),
        sequence: behind.last.map_or(1, |last| last.sequence.saturating_add(1)),
        version: 1,
    };
    name(plan, &mut manifest, behind.top_block(walked.blocks.0))?;
    Ok(Made { manifest, files: encoded.files })
}

/// Fills the tables with the records up to `last`, and hands over their rows as they become many.
fn fill(
    plan: &Plan,
    log: &Reader,
    behind: &Behind<'_>,
    last: TransId,
    hand_over: &mut dyn FnMut(Filled),
) -> Result<Walked, Error> {
    let first = behind.next();
    let mut walk = behind.walk(plan);
    let mut tables = Tables::new(plan);
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
            tables.take_many(hand_over)?;
            next = record.id.next();
            if record.id == last {
                last_record = Some(digest(record.id, record.type_no, record.bytes));
            }
        }
    }
    tables.finish()?.into_iter().for_each(hand_over);
    match (blocks, last_record) {
        (Some(blocks), Some(last_record)) if next == last.next() => {
            Ok(Walked { blocks, gaps, last_hash: walk.last_hash, last_record })
        }
        _ => Err(Halt::LogDiffers { sealed: last, last: log.last() }.into()),
    }
}

/// Gives a chunk its id and its directory.
pub(crate) fn name(plan: &Plan, manifest: &mut Manifest, top_block: u64) -> Result<ChunkId, Error> {
    let id = manifest.computed_id().ok_or_else(|| Error::damaged("manifest", "a digest is none"))?;
    manifest.chunk = id.to_hex();
    let blocks = (manifest.first_block, manifest.last_block);
    manifest.path = chunk_path(plan, id, blocks, top_block, manifest.last_hash.as_deref());
    Ok(id)
}

/// A record that should be sealed next and is gone.
pub(crate) fn trimmed(next: TransId, error: rtrans::Error) -> Error {
    match error {
        rtrans::Error::Trimmed { first } => Halt::TrimmedUnsealed { next, first }.into(),
        other => other.into(),
    }
}
