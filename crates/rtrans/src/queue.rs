//! The queue of the group commit: what callers share, and what the next round is made of.
//! Refuses to write, to wait and to wake: it is changed under one lock, in memory only.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::committer::CommitterSeat;
use crate::control::Control;
use crate::error::Error;
use crate::frame::Unframed;
use crate::gather::Gather;
use crate::helm::Helm;
use crate::ids::TransId;
use crate::options::{Level, Options};
use crate::outgoing::Outgoing;
use crate::round::{Round, Seat};
use crate::store::Store;

/// What callers share. The lock is held for memory work only.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Records of the open round: full buffers, then the one that is filled.
    pub(crate) full: VecDeque<Outgoing>,
    pub(crate) open: Outgoing,
    pub(crate) round: Arc<Round>,
    /// The highest level that anybody in the open round asked for.
    pub(crate) level: Level,
    /// Threads that wait for the open round.
    pub(crate) seats: Vec<Arc<Seat>>,
    /// Somebody asked for the open round without waiting for it in a thread.
    pub(crate) is_wanted: bool,
    /// The store, while nobody leads.
    pub(crate) store: Option<Store>,
    pub(crate) turn: Turn,
    pub(crate) gather: Gather,
    pub(crate) helm: Helm,
    /// Callers that wait until nobody leads.
    pub(crate) visitors: usize,
    /// Bytes in buffers, those included that are being written.
    pub(crate) bytes: usize,
    pub(crate) spare: Vec<(Vec<u8>, Vec<u32>)>,
    pub(crate) epoch: u64,
    /// The open round has records that nobody waits for.
    pub(crate) is_trusted: bool,
    /// Records that nobody waited for were lost to a full disk: whoever appends or syncs next is told.
    pub(crate) untold: Option<Error>,
    /// Why nothing is taken any more.
    pub(crate) failure: Option<Error>,
    /// The thread that leads when no caller waits; `None` without threads of our own.
    pub(crate) committer: Option<Arc<CommitterSeat>>,
}

/// Who has the store, or is about to take it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nobody, when the store is there; a leader, when it is not.
    #[default]
    Free,
    /// A leader waits for company.
    Gathering,
    /// A visitor is at work, and may change which id is the next: nobody gets one until it is done.
    Visited,
}

/// A place in a round.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) round: Arc<Round>,
    /// The first record, and the id behind the last one.
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// As of `Outcome::of`.
    pub(crate) needed: u64,
}

/// The record that the log is to end with; `None` inside: with none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExpectLast(pub(crate) Option<TransId>);

/// What is put into a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) records: &'a [Unframed<'a>],
    pub(crate) controls: &'a [Control],
    pub(crate) level: Level,
    pub(crate) expect_last: Option<ExpectLast>,
    pub(crate) epoch: Option<u64>,
}

impl Entry<'_> {
    /// The id below which records are in the log when the entry is, if its round fails in part; `next` is the id behind it.
    ///
    /// Records tell by themselves. Controls alone lie in front of record `next`: they are known to be written only when
    /// that one is.
    pub(crate) fn needed(&self, next: u64) -> u64 {
        let has_controls_only = self.records.is_empty() && !self.controls.is_empty();
        next.saturating_add(u64::from(has_controls_only))
    }

    /// Whether it goes on from what was appended before: with more records, or with the promise that all is durable.
    /// Positions, marks and reads go on when the disk is full.
    pub(crate) fn asks_for_all(&self) -> bool {
        !self.records.is_empty() || (self.controls.is_empty() && self.level == Level::Disk)
    }
}

impl Queue {
    /// An empty queue, whose records go behind those of the store. It has no thread of its own yet.
    pub(crate) fn new(store: Store) -> Queue {
        Queue {
            full: VecDeque::new(),
            open: Outgoing::new(store.next(), Vec::new(), Vec::new()),
            round: Arc::default(),
            level: Level::Memory,
            seats: Vec::new(),
            is_wanted: false,
            epoch: store.memory().epoch,
            store: Some(store),
            turn: Turn::Free,
            gather: Gather::default(),
            helm: Helm::default(),
            visitors: 0,
            bytes: 0,
            spare: Vec::new(),
            is_trusted: false,
            untold: None,
            failure: None,
            committer: None,
        }
    }

    /// Adds an entry that was admitted.
    pub(crate) fn push(&mut self, entry: &Entry<'_>, options: &Options) -> (u64, u64) {
        let len: usize = entry.records.iter().map(|record| Outgoing::bytes_of(record.payload.len())).sum();
        let is_over = self.open.len().saturating_add(len) > options.batch_bytes_max as usize;
        if is_over && !self.open.is_empty() {
            let (buffer, offsets) = self.spare.pop().unwrap_or_default();
            let open = Outgoing::new(self.open.next(), buffer, offsets);
            self.full.push_back(std::mem::replace(&mut self.open, open));
        }
        let first = self.open.next();
        for record in entry.records {
            self.open.push(record);
        }
        self.open.controls.extend_from_slice(entry.controls);
        self.bytes = self.bytes.saturating_add(len);
        self.level = self.level.max(entry.level);
        (first, self.open.next())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.full.is_empty()
    }

    /// Takes the open round out, and opens the next one.
    pub(crate) fn take(&mut self) -> (VecDeque<Outgoing>, Arc<Round>, Level, Vec<Arc<Seat>>) {
        let mut batches = std::mem::take(&mut self.full);
        if !self.open.is_empty() {
            let (buffer, offsets) = self.spare.pop().unwrap_or_default();
            let open = Outgoing::new(self.open.next(), buffer, offsets);
            batches.push_back(std::mem::replace(&mut self.open, open));
        }
        self.is_wanted = false;
        let level = std::mem::replace(&mut self.level, Level::Memory);
        (batches, std::mem::take(&mut self.round), level, std::mem::take(&mut self.seats))
    }

    /// Whether nobody has the store, or is about to take it.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.store.is_some() && self.turn == Turn::Free
    }

    /// Whether nobody leads, and nobody waits for that who goes first.
    pub(crate) fn is_free(&self) -> bool {
        self.is_at_rest() && self.visitors == 0
    }

    /// The log's own thread, when it is to lead the open round in place of a caller. What is not synced does not sleep.
    pub(crate) fn relief(&self) -> Option<Arc<CommitterSeat>> {
        let is_relieved = self.level == Level::Disk && self.helm.is_handed_over();
        self.committer.as_ref().filter(|_| is_relieved).map(Arc::clone)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && self.seats.is_empty() && !self.is_wanted
    }

    /// Lets ids go on from where the store is, when nothing is under way.
    pub(crate) fn renumber(&mut self) {
        let Some(next) = self.store.as_ref().map(Store::next) else { return };
        if self.is_empty() {
            self.open.first = next;
        }
    }
}
