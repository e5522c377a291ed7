//! Many small chunks into one: the same rows in fewer files, under a manifest that names what it replaces.
//! Refuses to remove anything: who reads the old chunks goes on reading them.

use crate::chain::ManifestChain;
use crate::encoding::{Encoded, Encoding};
use crate::error::Error;
use crate::manifest::{FileKind, Manifest};
use crate::parquet_file;
use crate::plan::Plan;
use crate::sealer::publish_manifest;
use crate::sealing::name;
use crate::store::Store;
use crate::tables::Filled;
use crate::verify::{read_back, read_file};

/// How often another one may be first before this one gives up.
const RACES_MAX: usize = 64;

/// What is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// A new chunk has at most so many bytes of files.
    pub bytes_max: u64,
    /// And is made of at least so many chunks, 2 or more.
    pub chunks_min: usize,
}

/// Puts small chunks that follow each other together. Returns the manifests of the new ones.
///
/// A sealer may go on meanwhile. A chunk is replaced from the moment on at which the new manifest is written.
///
/// # Errors
/// [`Error::Damaged`] when a chunk is not what its manifest says; [`Error::Store`].
pub fn compact(plan: &Plan, store: &Store, compaction: Compaction) -> Result<Vec<Manifest>, Error> {
    let mut chain = ManifestChain::of(store);
    chain.refresh()?;
    let runs = runs(&chain.live(), compaction);
    let mut written = Vec::new();
    for run in runs {
        if let Some(manifest) = replace(plan, &mut chain, &run)? {
            written.push(manifest);
        }
    }
    Ok(written)
}

/// Chunks that follow each other, hold the same tables, and fit into one.
fn runs(live: &[&Manifest], compaction: Compaction) -> Vec<Vec<Manifest>> {
    let mut runs: Vec<Vec<Manifest>> = Vec::new();
    let mut bytes = 0_u64;
    for chunk in live {
        let size = size(chunk);
        let before = runs.last().and_then(|run| run.last());
        let fits = before.is_some_and(|before| {
            before.last_transid.saturating_add(1) == chunk.first_transid
                && tables(before) == tables(chunk)
                && bytes.saturating_add(size) <= compaction.bytes_max
        });
        if let Some(run) = runs.last_mut().filter(|_| fits) {
            run.push((*chunk).clone());
            bytes = bytes.saturating_add(size);
        } else {
            runs.push(vec![(*chunk).clone()]);
            bytes = size;
        }
    }
    runs.retain(|run| run.len() >= compaction.chunks_min.max(2));
    runs
}

fn size(chunk: &Manifest) -> u64 {
    chunk.files.values().fold(0, |sum, file| sum.saturating_add(file.bytes))
}

/// The tables of the plan by which a chunk was sealed.
fn tables(chunk: &Manifest) -> Vec<(&String, FileKind)> {
    let files = chunk.files.iter().filter(|(_, file)| file.kind != FileKind::Rejected);
    files.map(|(name, file)| (name, file.kind)).collect()
}

/// Makes one chunk of a run, and publishes it. `None` when the tables differ, or another compaction was first.
fn replace(plan: &Plan, chain: &mut ManifestChain, run: &[Manifest]) -> Result<Option<Manifest>, Error> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(None) };
    let store = chain.store().clone();
    let Some(encoded) = encode_run(&store, run)? else { return Ok(None) };
    let mut manifest = Manifest {
        files: encoded.entries,
        first_block: first.first_block,
        first_transid: first.first_transid,
        gaps: gaps(run),
        replaces: run.iter().map(|chunk| chunk.chunk.clone()).collect(),
        ..last.clone()
    };
    // In SQD's layout the new chunk lies in the directory of the first one.
    let top = first.path.split('/').next().and_then(|top| top.parse().ok()).unwrap_or(first.first_block);
    name(plan, &mut manifest, top)?;
    for (name, bytes) in encoded.files {
        store.place().put(&manifest.object_name(&name), bytes)?;
    }
    read_back(&store, &manifest)?;
    for _ in 0..RACES_MAX {
        manifest.sequence = chain.next_sequence();
        manifest.previous = chain.last().map(Manifest::digest);
        if publish_manifest(chain, &manifest)? {
            return Ok(Some(manifest));
        }
        let live = chain.live();
        if !manifest.replaces.iter().all(|id| live.iter().any(|chunk| chunk.chunk == *id)) {
            return Ok(None);
        }
    }
    Ok(None)
}

/// The rows of all chunks by file; `None` when a file has other columns in one of them.
fn encode_run(store: &Store, run: &[Manifest]) -> Result<Option<Encoded>, Error> {
    let mut encoding = Encoding::default();
    for chunk in run {
        for (name, entry) in &chunk.files {
            for batch in parquet_file::read(name, read_file(store, chunk, name)?)? {
                let rows = Filled { file: name.clone(), kind: entry.kind, batch: batch? };
                if !encoding.add(&rows)? {
                    return Ok(None);
                }
            }
        }
    }
    encoding.finish().map(Some)
}

/// The holes in the chunks, and those between them.
fn gaps(run: &[Manifest]) -> Vec<[u64; 2]> {
    let mut gaps: Vec<[u64; 2]> = Vec::new();
    let mut before: Option<u64> = None;
    for chunk in run {
        if let Some(last) = before
            && chunk.first_block.saturating_sub(last) > 1
        {
            gaps.push([last.saturating_add(1), chunk.first_block.saturating_sub(1)]);
        }
        gaps.extend(&chunk.gaps);
        before = Some(chunk.last_block);
    }
    gaps
}
