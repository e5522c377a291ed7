//! What happened in the hold, as a bounded stream that anybody may watch.
//! Refuses to wait for a slow watcher: one that falls behind is told how many events it missed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::data_chunk::{ChunkId, HexId};

/// How many events a watcher may be behind before it misses the oldest.
const EVENTS_BEHIND_MAX: usize = 4_096;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A download was asked for and waits for its turn.
    Queued(ChunkId),
    /// A download has begun, or goes on where it was left.
    Started(ChunkId),
    /// The chunk is published: durable, and visible to `find`.
    Ready(ChunkId),
    /// A try failed; the next one is made after `next_try`, if any.
    Failed {
        /// The chunk.
        id: ChunkId,
        /// What happened.
        reason: String,
        /// When it is tried again. `None`: only when asked to download anew.
        next_try: Option<Duration>,
    },
    /// The chunk is no longer visible to `find`; its files stay for those who have it pinned.
    Hidden(ChunkId),
    /// The chunk's files are gone.
    Removed(ChunkId),
    /// A chunk was found damaged and put aside.
    Quarantined {
        /// The chunk.
        id: ChunkId,
        /// What is wrong with it.
        reason: String,
    },
    /// A lease has ended: it was released or broken, or its time was over. What it alone held back goes now.
    LeaseEnded(String),
    /// Every chunk of this assignment is ready and all others are gone or draining.
    Applied(String),
    /// Downloads into a data directory wait.
    Paused {
        /// The data directory.
        data_dir: PathBuf,
        /// Why.
        reason: String,
        /// Whether only a new start helps, as a sync failed; otherwise they go on when there is room.
        until_restart: bool,
    },
    /// Downloads into a data directory go on.
    Resumed(PathBuf),
    /// This watcher was too slow and missed this many events. Ask for the current state.
    Lagged(u64),
}

/// As derived, but with ids as they are written everywhere else.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, name: &str, id: &ChunkId| {
            f.debug_tuple(name).field(&HexId(id)).finish()
        };
        match self {
            Event::Queued(id) => named(f, "Queued", id),
            Event::Started(id) => named(f, "Started", id),
            Event::Ready(id) => named(f, "Ready", id),
            Event::Failed { id, reason, next_try } => f
                .debug_struct("Failed")
                .field("id", &HexId(id))
                .field("reason", reason)
                .field("next_try", next_try)
                .finish(),
            Event::Hidden(id) => named(f, "Hidden", id),
            Event::Removed(id) => named(f, "Removed", id),
            Event::Quarantined { id, reason } => {
                f.debug_struct("Quarantined").field("id", &HexId(id)).field("reason", reason).finish()
            }
            Event::LeaseEnded(name) => f.debug_tuple("LeaseEnded").field(name).finish(),
            Event::Applied(assignment) => f.debug_tuple("Applied").field(assignment).finish(),
            Event::Paused { data_dir, reason, until_restart } => f
                .debug_struct("Paused")
                .field("data_dir", data_dir)
                .field("reason", reason)
                .field("until_restart", until_restart)
                .finish(),
            Event::Resumed(data_dir) => f.debug_tuple("Resumed").field(data_dir).finish(),
            Event::Lagged(missed) => f.debug_tuple("Lagged").field(missed).finish(),
        }
    }
}

/// Sends events to all watchers.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Event>,
}

impl Events {
    pub(crate) fn new() -> Events {
        Events { sender: broadcast::Sender::new(EVENTS_BEHIND_MAX) }
    }

    pub(crate) fn send_all(&self, events: Vec<Event>) {
        for event in events {
            // An error means that nobody watches.
            drop(self.sender.send(event));
        }
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch { receiver: self.sender.subscribe() }
    }
}

/// A watcher of the hold. It sees what happens from the moment it was made.
#[derive(Debug)]
pub struct Watch {
    receiver: broadcast::Receiver<Event>,
}

impl Watch {
    /// The next event; `None` when the hold is closed.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Lagged(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// Waits for the next event, blocking the thread; `None` when the hold is closed.
    ///
    /// # Panics
    /// Inside an async task: use [`Watch::next`] there.
    pub fn wait(&mut self) -> Option<Event> {
        match self.receiver.blocking_recv() {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Lagged(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// An event that has happened already, or `None` without waiting.
    pub fn next_now(&mut self) -> Option<Event> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Lagged(missed)) => Some(Event::Lagged(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}
