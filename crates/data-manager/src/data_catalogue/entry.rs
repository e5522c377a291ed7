//! What the catalogue knows of a chunk that is not simply ready: what is wanted of it, and what is there. Pure.
//! Refuses to decide: that is State's part.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::assignment::Priority;
use crate::cancel::Cancel;
use crate::chunk_ref::Resident;
use crate::data_catalogue::agreement::says_more;
use crate::data_catalogue::queue::{Turn, UNKNOWN_BYTES};
use crate::data_chunk::{BlockRange, ChunkId, DatasetId};
use crate::download_error::DownloadError;
use crate::file_spec::CheckedChunk;
use crate::record::Record;
use crate::staging_progress::StagingProgress;

/// A chunk that somebody wants here.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) chunk: Arc<CheckedChunk>,
    pub(crate) priority: Priority,
}

impl Wanted {
    /// Bytes in all, if the descriptor says it of every file.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.chunk.files.iter().map(|file| file.size).sum()
    }

    /// With the lengths and digests that an earlier descriptor of the chunk names and this one does not.
    pub(crate) fn held_to(mut self, before: &CheckedChunk) -> Wanted {
        if says_more(before, &self.chunk) {
            let files = &mut Arc::make_mut(&mut self.chunk).files;
            for (file, before) in files.iter_mut().zip(&before.files) {
                file.size = file.size.or(before.size);
                file.sha256 = file.sha256.or(before.sha256);
                file.blake3 = file.blake3.or(before.blake3);
            }
        }
        self
    }
}

/// A chunk on its way in or out.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `None` for left-overs of a chunk whose descriptor nobody has given.
    pub(crate) content: Option<Content>,
    /// Desired: `Some` is present, `None` is absent.
    pub(crate) wanted: Option<Wanted>,
    pub(crate) actual: Actual,
    /// Failed tries in a row.
    pub(crate) attempts: u32,
    pub(crate) error: Option<DownloadError>,
    /// It was asked for with other URLs while a download runs: that one's failure says nothing of them.
    pub(crate) is_refreshed: bool,
    /// When it was asked for; decides its turn.
    pub(crate) arrived: Duration,
    /// No try before this.
    pub(crate) not_before: Duration,
    /// Its staged parts, if there are any.
    pub(crate) staged: Option<Staged>,
    /// Bytes in all that a try has found no room for, where the descriptor does not say how many there are.
    pub(crate) needed_bytes: Option<u64>,
}

/// Parts of a chunk that lie in staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The data directory that holds them.
    pub(crate) dir: u16,
    /// Bytes that need not be fetched again.
    pub(crate) done_bytes: u64,
    /// The room that its files take on the disk: they may have all of theirs from the start.
    pub(crate) taken_bytes: u64,
}

/// What an id must keep meaning as long as anything of the chunk is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) dataset_id: DatasetId,
    pub(crate) block_range: BlockRange,
    /// File names, sorted and joined by `/`.
    pub(crate) names: Arc<str>,
}

/// Actual: what is there of a chunk that is not ready.
#[derive(Debug)]
pub(crate) enum Actual {
    /// Nothing, or left-overs in staging. Wanted ones wait in the queue.
    Nothing,
    /// A download runs.
    Staging { task: u64, cancel: Cancel, progress: Arc<StagingProgress>, is_idle: bool },
    /// Published once, hidden now. Its files go when the last pin is dropped and the intent is on disk.
    Retired { resident: Weak<Resident>, record: Record, end: End, is_recorded: bool },
    /// Its files are being moved away and removed.
    ///
    /// The record is that of a published chunk; left-overs in staging have none.
    Removing { task: u64, record: Option<Record> },
}

/// What becomes of a hidden chunk's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Removed: nobody wants it any more.
    Removed,
    /// Put aside for inspection: it is damaged in this way.
    Quarantined(String),
}

impl Entry {
    pub(crate) fn new(content: Option<Content>, actual: Actual, now: Duration) -> Entry {
        Entry {
            content,
            wanted: None,
            actual,
            attempts: 0,
            error: None,
            is_refreshed: false,
            arrived: now,
            not_before: Duration::ZERO,
            staged: None,
            needed_bytes: None,
        }
    }

    /// Its place in the queue, as long as nothing of it changes.
    pub(crate) fn turn(&self, id: ChunkId) -> Turn {
        let wanted = self.wanted.as_ref();
        let bytes = wanted.and_then(Wanted::bytes).unwrap_or(UNKNOWN_BYTES);
        let staged = self.staged.map_or(0, |staged| staged.done_bytes);
        let priority = wanted.map(|wanted| wanted.priority).unwrap_or_default();
        Turn::new(priority, self.arrived, bytes.saturating_sub(staged), id)
    }

    /// Whether it waits in the queue: wanted, and nothing runs for it.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wanted.is_some() && matches!(self.actual, Actual::Nothing)
    }
}

impl Content {
    pub(crate) fn of_record(record: &Record) -> Content {
        Content {
            dataset_id: record.dataset_id,
            block_range: record.block_range.clone(),
            names: Arc::clone(&record.names),
        }
    }

    pub(crate) fn of(chunk: &CheckedChunk) -> Content {
        let names: Vec<&str> = chunk.files.iter().map(|file| file.name.as_str()).collect();
        Content {
            dataset_id: chunk.dataset_id,
            block_range: chunk.block_range.clone(),
            names: names.join("/").into(),
        }
    }
}
