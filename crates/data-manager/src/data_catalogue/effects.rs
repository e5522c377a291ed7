//! Effects: what a change of the state asks the world to do once the lock is free. Pure.
//! Refuses to do any of it.

use std::sync::Arc;

use crate::cancel::Cancel;
use crate::chunk_ref::Resident;
use crate::data_catalogue::entry::{End, Wanted};
use crate::data_catalogue::leases::LeaseWork;
use crate::data_chunk::ChunkId;
use crate::event::Event;
use crate::record::Record;
use crate::staging_progress::StagingProgress;

/// Collected while the state changes, carried out after the lock is dropped.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) events: Vec<Event>,
    /// Downloads to stop.
    pub(crate) cancels: Vec<Cancel>,
    /// The catalogue's own hold on chunks that were hidden: dropped last, for this may be the last pin.
    pub(crate) released: Vec<Arc<Resident>>,
    /// Whether the loop has something new to do.
    pub(crate) wakes: bool,
    /// Whether threads that wait are to look again although there is no event.
    pub(crate) is_news: bool,
}

/// A task for the loop to start.
#[derive(Debug)]
pub(crate) enum Action {
    /// Fetch and publish a chunk.
    Download {
        task: u64,
        wanted: Wanted,
        dir: u16,
        attempts: u32,
        cancel: Cancel,
        progress: Arc<StagingProgress>,
    },
    /// Move a hidden, unpinned chunk's directory away and remove it or keep it for inspection. What is removed goes from the
    /// data directories `elsewhere` too, where somebody may have put a copy.
    Remove { task: u64, record: Record, elsewhere: Vec<u16>, end: End },
    /// Remove the staged parts of a chunk that nobody wants.
    Discard { task: u64, id: ChunkId, dir: u16 },
    /// Make intents durable, in this order.
    Note(Vec<Intent>),
    /// Write or remove the file of a lease.
    Lease(LeaseWork),
}

/// What must survive a crash.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    /// The chunk is to be removed.
    Delete(Record),
    /// The chunk that was to be removed is wanted again.
    Keep(Record),
}
