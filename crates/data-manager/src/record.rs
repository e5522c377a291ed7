//! Record: what is remembered of a published chunk, in memory and in the catalogue's files.
//! Refuses to be the descriptor: where the files came from is in the chunk's own manifest.

use std::sync::Arc;

use crate::data_chunk::{BlockRange, ChunkId, DatasetId};

/// A published chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: ChunkId,
    pub(crate) dataset_id: DatasetId,
    pub(crate) block_range: BlockRange,
    /// Bytes of all its files.
    pub(crate) bytes: u64,
    /// File names, sorted and joined by `/`.
    pub(crate) names: Arc<str>,
    /// Which data directory holds it.
    pub(crate) dir: u16,
    /// The order of publication; the later one wins where ranges begin at the same block.
    pub(crate) sequence: u64,
    /// Its directory below the data directory where that does not follow from the fields above: a chunk found in another
    /// program's layout.
    pub(crate) foreign_path: Option<Arc<std::path::Path>>,
}
