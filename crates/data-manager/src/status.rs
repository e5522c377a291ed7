//! Answers to "what is going on": per chunk, per source, in total.
//! Refuses to hold state of its own: these are copies, true at the moment of the call.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::assignment::Priority;
use crate::data_chunk::{BlockRange, ChunkId, DatasetId, HexId};

/// Where a chunk is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChunkState {
    /// Waiting for its turn.
    Queued,
    /// Waiting for its next try after a failure.
    Failed,
    /// Being downloaded.
    Staging,
    /// Published and visible.
    Ready,
    /// Hidden, waiting for the last pin to be dropped.
    Retired,
    /// Being removed.
    Removing,
}

/// What the last try of a download failed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The source says that the object is not there or may not be read.
    Missing,
    /// The address, scheme or redirect is not allowed.
    Refused,
    /// The source failed in passing, was silent, or is left alone for a while.
    Source,
    /// The bytes are not those that the descriptor names.
    Damaged,
    /// No data directory has room.
    NoRoom,
    /// The disk failed.
    Disk,
    /// Our code or a source of the user's own panicked.
    Panicked,
}

/// All that is known of one chunk.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ChunkStatus {
    /// The chunk.
    pub id: ChunkId,
    /// Its dataset.
    pub dataset_id: DatasetId,
    /// Its blocks, half-open.
    pub block_range: BlockRange,
    /// Where it is on its way.
    pub state: ChunkState,
    /// Whether it is wanted: asked for, and not deleted since.
    pub is_wanted: bool,
    /// Its place among the downloads.
    pub priority: Priority,
    /// How often a download of it has failed in a row.
    pub attempts: u32,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// What kind of failure that was.
    pub last_failure: Option<FailureKind>,
    /// How long until the next try.
    pub next_try_in: Option<Duration>,
    /// Where its first file comes from, without query and user information.
    pub source: Option<String>,
    /// Bytes staged or, when ready, held.
    pub bytes_done: u64,
    /// Bytes in all, when known.
    pub bytes_total: Option<u64>,
    /// How many pins are on it now.
    pub pins: usize,
    /// How long it has been pinned without a break.
    pub pinned_for: Option<Duration>,
    /// The names of the leases that hold it.
    pub leases: Vec<String>,
    /// Where its files are, when it is ready.
    pub path: Option<PathBuf>,
}

impl fmt::Debug for ChunkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStatus")
            .field("id", &HexId(&self.id))
            .field("dataset_id", &HexId(&self.dataset_id))
            .field("block_range", &self.block_range)
            .field("state", &self.state)
            .field("is_wanted", &self.is_wanted)
            .field("priority", &self.priority)
            .field("attempts", &self.attempts)
            .field("last_error", &self.last_error)
            .field("last_failure", &self.last_failure)
            .field("next_try_in", &self.next_try_in)
            .field("source", &self.source)
            .field("bytes_done", &self.bytes_done)
            .field("bytes_total", &self.bytes_total)
            .field("pins", &self.pins)
            .field("pinned_for", &self.pinned_for)
            .field("leases", &self.leases)
            .field("path", &self.path)
            .finish()
    }
}

/// A download that is under way.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkProgress {
    /// The chunk.
    pub id: ChunkId,
    /// Its dataset.
    pub dataset_id: DatasetId,
    /// Its blocks, half-open.
    pub block_range: BlockRange,
    /// Bytes staged so far, those of earlier runs included.
    pub bytes_done: u64,
    /// Bytes in all, once every file's length is known.
    pub bytes_total: Option<u64>,
}

impl fmt::Debug for ChunkProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkProgress")
            .field("id", &HexId(&self.id))
            .field("dataset_id", &HexId(&self.dataset_id))
            .field("block_range", &self.block_range)
            .field("bytes_done", &self.bytes_done)
            .field("bytes_total", &self.bytes_total)
            .finish()
    }
}

/// Plain counters and gauges of the whole hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Chunks that are visible.
    pub ready: u64,
    /// Bytes of visible chunks.
    pub ready_bytes: u64,
    /// Chunks that wait for their turn.
    pub queued: u64,
    /// Chunks that wait for their next try.
    pub failed: u64,
    /// Chunks being downloaded.
    pub staging: u64,
    /// Hidden chunks that wait for their last pin.
    pub retired: u64,
    /// Chunks being removed.
    pub removing: u64,
    /// Body bytes received since the start.
    pub fetched_bytes: u64,
    /// Chunks published since the start.
    pub published: u64,
    /// Chunks removed since the start.
    pub removed: u64,
    /// Tries that failed since the start.
    pub failures: u64,
    /// Chunks found damaged since the start.
    pub damaged: u64,
    /// Tasks that panicked since the start.
    pub panics: u64,
    /// Requests open now.
    pub connections: u64,
}

/// How a data directory does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirStatus {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of its visible chunks.
    pub ready_bytes: u64,
    /// Bytes of parts of chunks that are being fetched, or were.
    pub staged_bytes: u64,
    /// What the file system last said is free.
    pub free_bytes: u64,
    /// Why downloads into it wait, if they do.
    pub paused: Option<String>,
    /// Whether only a new start helps, as a sync failed.
    pub until_restart: bool,
}

/// How a source does.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceStatus {
    /// Scheme, host and port.
    pub source: String,
    /// Requests that succeeded.
    pub successes: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// How long it is left alone, if it is.
    pub closed_for: Option<Duration>,
    /// Requests open now.
    pub connections: u32,
}

/// A chunk that is pinned.
#[derive(Clone, PartialEq, Eq)]
pub struct PinStatus {
    /// The chunk.
    pub id: ChunkId,
    /// How many pins are on it.
    pub pins: usize,
    /// How long it has been pinned without a break, to a second.
    pub pinned_for: Duration,
    /// Whether its files wait for this pin to be dropped.
    pub blocks_removal: bool,
}

impl fmt::Debug for PinStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinStatus")
            .field("id", &HexId(&self.id))
            .field("pins", &self.pins)
            .field("pinned_for", &self.pinned_for)
            .field("blocks_removal", &self.blocks_removal)
            .finish()
    }
}
