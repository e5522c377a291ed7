//! Soundness: whether chunks that are about to be handed out are on disk with their lengths. A command ends before the look
//! that every start takes in the background has come to them.
//! Refuses to read their bytes; `chunk verify` does.

use data_manager::ChunkRef;
use data_manager::data_chunk::{BlockRange, ChunkId};
use data_manager::data_manager::DataManagerImpl;
use data_manager::verify::{Depth, Verification, Verify};

use crate::dataset::Dataset;
use crate::exit::{Exit, Failure, Outcome};

/// The chunk that holds a block.
pub(crate) fn sound_chunk(
    hold: &DataManagerImpl,
    dataset: &Dataset,
    block: u64,
) -> Outcome<Option<ChunkRef>> {
    // Each turn hides a damaged chunk, or is the last.
    while let Some(chunk) = hold.find_chunk(dataset.id, block) {
        look(hold, vec![chunk.id()])?;
        if let Some(sound) = hold.get_chunk(chunk.id()) {
            return Ok(Some(sound));
        }
    }
    Ok(None)
}

/// Looks at these chunks, as far as they are here. Damaged ones are hidden from then on, and the hold says so.
pub(crate) fn look(hold: &DataManagerImpl, chunks: Vec<ChunkId>) -> Outcome<()> {
    match begin(hold, chunks)? {
        Some(looking) => looking.wait().map(drop).ok_or_else(closed),
        None => Ok(()),
    }
}

/// The same inside an async task.
pub(crate) async fn look_in_task(hold: &DataManagerImpl, chunks: Vec<ChunkId>) -> Outcome<()> {
    match begin(hold, chunks)? {
        Some(mut looking) => looking.finished().await.map(drop).ok_or_else(closed),
        None => Ok(()),
    }
}

/// The chunks of a range, all of them where there is none.
pub(crate) fn chunks_of(
    hold: &DataManagerImpl,
    dataset: &Dataset,
    blocks: Option<&BlockRange>,
) -> Vec<ChunkId> {
    let view = hold.find_range(dataset.id, blocks.cloned().unwrap_or(0..u64::MAX));
    view.chunks.iter().map(ChunkRef::id).collect()
}

fn begin(hold: &DataManagerImpl, chunks: Vec<ChunkId>) -> Outcome<Option<Verification>> {
    if chunks.is_empty() {
        // To the hold it would mean all.
        return Ok(None);
    }
    Ok(Some(hold.verify(Verify { chunks, depth: Depth::Lengths, ..Verify::default() })?))
}

fn closed() -> Failure {
    Failure::new(Exit::Error, "the hold was closed before its chunks were looked at")
}
