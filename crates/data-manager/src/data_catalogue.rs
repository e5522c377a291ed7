//! Data Catalogue: the in-memory registry of chunks. One lock around a pure State, one cell that readers look into.
//! Refuses IO, and to hold its lock while anybody is told anything.

mod agreement;
mod by_id;
mod disks;
mod effects;
mod entry;
mod goal;
mod leases;
mod next;
mod queue;
mod report_leases;
mod report_status;
mod reports;
mod roster;
mod state;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use host::Clock;
use tokio::sync::Notify;

use crate::assignment::Assignment;
use crate::cancel::Cancel;
use crate::chunk_ref::{ChunkRef, CoarseClock, Places, Resident, Wake};
use crate::data_chunk::{BlockRange, ChunkId, DatasetId};
use crate::download_error::DownloadError;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Events, Watch};
use crate::lease::{Lease, LeaseStatus, milliseconds_of};
use crate::record::Record;
use crate::snapshot::{Published, RangeView, Snapshot};
use crate::status::{ChunkProgress, ChunkStatus, DataDirStatus, PinStatus, Totals};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

pub(crate) use self::disks::{Disks, Room};
pub(crate) use self::effects::{Action, Effects, Intent};
use self::entry::{Actual, Entry};
pub(crate) use self::entry::{End, Staged, Wanted};
use self::goal::Goal;
pub(crate) use self::leases::{LeaseChange, LeaseWork, Loaded, Moment};
pub(crate) use self::queue::{Turn, UNKNOWN_BYTES};
use self::roster::Roster;
use self::state::State;

/// How long a disk may take to write down a lease.
const LEASE_TIME_MAX: Duration = Duration::from_mins(1);

/// Wakes the loop. Dropped pins call it, on any thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Notify,
    /// A pin was dropped whose chunk was hidden: look for chunks that may go.
    is_unpinned: AtomicBool,
}

impl Wake for Bell {
    fn wake(&self) {
        self.is_unpinned.store(true, Ordering::Release);
        self.rung.notify_one();
    }
}

impl Bell {
    /// Something is to be done.
    pub(crate) fn ring(&self) {
        self.rung.notify_one();
    }

    /// Returns when something is to be done.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }
}

/// The registry of all chunks.
#[derive(Debug)]
pub(crate) struct DataCatalogue {
    /// What calls and tasks change. Held for memory work only.
    state: Mutex<State>,
    /// Tells threads that wait for a chunk that some chunk changed.
    changed: Condvar,
    /// Tells tasks the same.
    told: Notify,
    /// What readers see: they take no lock.
    published: Published,
    events: Events,
    bell: Arc<Bell>,
    clock: Clock,
    started: Duration,
}

/// What the start found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Ready chunks. It is quick if most of them are in order of dataset, first block and sequence.
    pub(crate) ready: Vec<Arc<Resident>>,
    /// Chunks that were to be removed.
    pub(crate) unwanted: Vec<Record>,
    /// Staged parts: of which chunk, where, and how many bytes.
    pub(crate) staged: Vec<(ChunkId, Staged)>,
    /// Leases, as they are in each data directory.
    pub(crate) leases: Vec<Loaded>,
}

impl DataCatalogue {
    /// `places` are those of the residents found, and wake `bell`.
    pub(crate) fn new(
        (bell, places): (Arc<Bell>, Places),
        rooms: Vec<Room>,
        found: Found,
        (free_bytes_min, chunks_in_flight_max): (u64, usize),
        clock: Clock,
    ) -> DataCatalogue {
        let mut roster = Roster::new(places);
        let mut disks = Disks::new(rooms, free_bytes_min);
        let unwanted = found.unwanted.iter().map(|record| record.sequence);
        let mut last_sequence = unwanted.max().unwrap_or_default();
        for resident in &found.ready {
            last_sequence = last_sequence.max(resident.sequence());
            disks.adjust(resident.place().dir(), resident.bytes(), 0);
        }
        roster.load(found.ready);
        let snapshot = roster.changed().unwrap_or_default();
        let started = clock.monotonic();
        let mut state = State::new(roster, disks, last_sequence, chunks_in_flight_max);
        // Before anything may be removed.
        state.leases.load(found.leases, milliseconds_of(clock.wall()));
        for record in found.unwanted {
            state.found_unwanted(record, Duration::ZERO);
        }
        for (id, staged) in found.staged {
            state.found_staged(id, staged);
        }
        DataCatalogue {
            state: Mutex::new(state),
            changed: Condvar::new(),
            told: Notify::new(),
            published: Published::new(snapshot, CoarseClock::new(clock.clone())),
            events: Events::new(),
            bell,
            clock,
            started,
        }
    }

    /// Time since the hold was opened.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started)
    }

    pub(crate) fn watch(&self) -> Watch {
        self.events.watch()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // State changes whole or not at all between its own checks; a panic in it is our bug, and readers go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, shows readers what changed, and then, with the lock free, tells everybody.
    fn change<R>(&self, work: impl FnOnce(&mut State, Duration, &mut Effects) -> R) -> R {
        let now = self.now();
        let mut effects = Effects::default();
        let mut state = self.lock();
        let result = work(&mut state, now, &mut effects);
        if let Some(snapshot) = state.roster.changed() {
            self.published.publish(snapshot);
        }
        let is_news = effects.is_news || !effects.events.is_empty();
        state.changes += u64::from(is_news);
        drop(state);
        // Where this was the last pin, its drop rings the bell.
        drop(effects.released);
        for cancel in effects.cancels {
            cancel.cancel();
        }
        if is_news {
            self.changed.notify_all();
            self.told.notify_waiters();
        }
        self.events.send_all(effects.events);
        if effects.wakes {
            self.bell.ring();
        }
        result
    }

    // ---- readers: no lock ----

    pub(crate) fn find(&self, dataset_id: &DatasetId, block: u64) -> Option<ChunkRef> {
        self.published.find(dataset_id, block)
    }

    pub(crate) fn find_range(&self, dataset_id: &DatasetId, range: BlockRange) -> RangeView {
        self.published.find_range(dataset_id, range)
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.published.load()
    }

    // ---- calls ----

    pub(crate) fn get(&self, id: &ChunkId) -> Option<ChunkRef> {
        self.lock().roster.get(id).map(|resident| ChunkRef::pin(resident, self.published.clock()))
    }

    pub(crate) fn want(&self, wanted: Wanted) -> Result<()> {
        self.change(|state, now, effects| state.want(wanted, now, effects))
    }

    pub(crate) fn unwant(&self, id: ChunkId) -> bool {
        self.change(|state, now, effects| state.unwant(id, now, effects))
    }

    pub(crate) fn apply(&self, assignment: &Assignment, wanted: Vec<Wanted>) -> Result<()> {
        let members: HashSet<ChunkId> = wanted.iter().map(|wanted| wanted.chunk.id).collect();
        let goal = Goal::new(assignment.id.clone(), members, assignment.drop);
        self.change(|state, now, effects| state.apply(goal, wanted, now, effects))
    }

    pub(crate) fn applied(&self) -> Option<String> {
        self.lock().goal.as_ref().and_then(Goal::applied).map(str::to_string)
    }

    pub(crate) fn set_limits(&self, free_bytes_min: u64, chunks_in_flight_max: usize) {
        self.change(|state, now, effects| {
            state.disks.set_free_bytes_min(free_bytes_min);
            state.chunks_in_flight_max = chunks_in_flight_max;
            state.retry_what_had_no_room(now);
            effects.wakes = true;
        });
    }

    /// Waits until `look` finds what it looks for, looking again whenever something has happened.
    ///
    /// Returns `None` when `time` has passed without it.
    pub(crate) fn wait_for<R>(
        &self,
        time: Duration,
        mut look: impl FnMut(&DataCatalogue) -> Option<R>,
    ) -> Option<R> {
        let deadline = self.now().saturating_add(time);
        loop {
            let seen = self.lock().changes;
            if let Some(found) = look(self) {
                return Some(found);
            }
            let left = deadline.saturating_sub(self.now());
            if left.is_zero() {
                return None;
            }
            // What happened since `seen` was read ends the wait at once.
            let state = self.lock();
            let waited = self.changed.wait_timeout_while(state, left, |state| state.changes == seen);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    // ---- leases ----

    /// Now by both clocks.
    fn moment(&self) -> Moment {
        Moment { now: self.now(), wall_ms: milliseconds_of(self.clock.wall()) }
    }

    pub(crate) fn take_lease(
        &self,
        names: (&str, &str),
        chunks: &[ChunkRef],
        lifetime: Duration,
    ) -> Result<LeaseChange> {
        let at = self.moment();
        self.change(|state, _, effects| state.take_lease(names, chunks, lifetime, at, effects))
    }

    pub(crate) fn renew_lease(&self, lease: &Lease, lifetime: Duration) -> Result<LeaseChange> {
        let at = self.moment();
        self.change(|state, _, effects| {
            effects.wakes = true;
            state.leases.renew(lease, lifetime, at)
        })
    }

    pub(crate) fn release_lease(&self, lease: &Lease) -> Result<LeaseChange> {
        self.change(|state, _, effects| {
            effects.wakes = true;
            state.leases.release(lease)
        })
    }

    pub(crate) fn break_lease(&self, name: &str) -> Result<LeaseChange> {
        self.change(|state, _, effects| {
            effects.wakes = true;
            state.leases.break_by_name(name)
        })
    }

    /// Waits until a lease is written or removed everywhere, blocking the thread.
    pub(crate) fn wait_lease(&self, change: LeaseChange) -> Result<Lease> {
        let outcome = self.wait_for(LEASE_TIME_MAX, |_| change.outcome.get().cloned());
        told_lease(change.lease, outcome)
    }

    /// The same for a task.
    pub(crate) async fn lease_noted_in_task(&self, change: LeaseChange) -> Result<Lease> {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            told.as_mut().enable();
            if let Some(outcome) = change.outcome.get() {
                return told_lease(change.lease, Some(outcome.clone()));
            }
            told.await;
        }
    }

    pub(crate) fn leases(&self) -> Vec<LeaseStatus> {
        let at = self.moment();
        self.lock().lease_statuses(at)
    }

    pub(crate) fn lease_noted(&self, work: &LeaseWork, result: std::result::Result<(), (ErrorKind, String)>) {
        self.change(|state, now, effects| state.lease_noted(work, result, now, effects));
    }

    /// Nobody writes leases any more.
    pub(crate) fn close_leases(&self) {
        self.change(|state, _, effects| {
            state.leases.close();
            effects.is_news = true;
        });
    }

    // ---- what is going on ----

    pub(crate) fn statuses(
        &self,
        which: impl Fn(&ChunkId, &DatasetId, &BlockRange) -> bool,
    ) -> Vec<ChunkStatus> {
        let now = self.now();
        self.lock().statuses(now, self.published.clock(), which)
    }

    pub(crate) fn status(&self, id: &ChunkId) -> Option<ChunkStatus> {
        let now = self.now();
        self.lock().status(now, self.published.clock(), id)
    }

    pub(crate) fn progress(&self) -> Vec<ChunkProgress> {
        self.lock().progress()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.lock().totals()
    }

    pub(crate) fn data_dirs(&self) -> Vec<DataDirStatus> {
        self.lock().data_dirs()
    }

    pub(crate) fn pins(&self) -> Vec<PinStatus> {
        self.lock().pins(self.published.clock())
    }

    /// Chunks whose end is not on disk yet or that wait for a pin, to be written down anew with a snapshot.
    pub(crate) fn hidden(&self, dir: u16) -> Vec<Record> {
        self.lock().hidden(dir)
    }

    /// Whether anything is known of a chunk.
    pub(crate) fn is_known(&self, id: &ChunkId) -> bool {
        let state = self.lock();
        state.roster.get(id).is_some() || state.entries.contains_key(id)
    }

    /// Whether a chunk would have to be fetched to be here: it is not, nor hidden only.
    pub(crate) fn needs_source(&self, id: &ChunkId) -> bool {
        let state = self.lock();
        let is_hidden = |entry: &Entry| matches!(entry.actual, Actual::Retired { end: End::Removed, .. });
        state.roster.get(id).is_none() && !state.entries.get(id).is_some_and(is_hidden)
    }

    // ---- the loop ----

    pub(crate) fn next_action(&self) -> Option<Action> {
        let is_unpinned = self.bell.is_unpinned.swap(false, Ordering::AcqRel);
        self.change(|state, now, effects| {
            if is_unpinned {
                state.collect_unpinned();
            }
            state.next_action(now, effects)
        })
    }

    /// What has still to be written down when the loop has ended.
    pub(crate) fn take_intents(&self) -> Vec<Intent> {
        self.change(|state, _, _| state.take_intents())
    }

    /// Stops all downloads; the chunks stay wanted.
    pub(crate) fn cancel_all(&self) {
        let cancels = self.lock().running();
        cancels.iter().for_each(Cancel::cancel);
    }

    /// How long until `next_action` may have a new answer by itself.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        let now = self.now();
        self.lock().next_time(now).map(|at| at.saturating_sub(now))
    }

    pub(crate) fn set_free(&self, dir: u16, free_bytes: u64) {
        self.change(|state, _, _| state.disks.set_free(dir, free_bytes));
    }

    pub(crate) fn poison(&self, dir: u16, reason: &str) {
        self.change(|state, _, effects| state.disks.poison(dir, reason, effects));
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.change(|state, _, _| state.next_sequence())
    }

    // ---- reports of tasks ----

    pub(crate) fn set_idle(&self, id: ChunkId, task: u64, is_idle: bool) {
        self.change(|state, _, effects| state.set_idle(id, task, is_idle, effects));
    }

    /// A download needs `bytes` in all; the error says why there is no room for them.
    pub(crate) fn grow(&self, id: ChunkId, task: u64, bytes: u64) -> std::result::Result<(), String> {
        self.change(|state, _, effects| state.grow(id, task, bytes, effects))
    }

    pub(crate) fn allocated(&self, task: u64) {
        self.change(|state, _, _| state.allocated(task));
    }

    pub(crate) fn published(&self, task: u64, record: &Record) {
        self.change(|state, now, effects| state.published(task, record, now, effects));
    }

    pub(crate) fn not_published(
        &self,
        (id, task): (ChunkId, u64),
        staged_bytes: Option<u64>,
        (error, random): (DownloadError, u64),
    ) {
        self.change(|state, now, effects| {
            state.not_published((id, task), staged_bytes, (error, random), now, effects);
        });
    }

    pub(crate) fn noted(&self, intents: &[Intent]) {
        self.change(|state, _, effects| state.noted(intents, effects));
    }

    pub(crate) fn not_noted(&self, intents: Vec<Intent>) {
        self.change(|state, now, _| state.not_noted(intents, now));
    }

    /// A task other than a download panicked. Downloads say it in their error.
    pub(crate) fn panicked(&self) {
        self.change(|state, _, _| state.counters.panics += 1);
    }

    pub(crate) fn removed(&self, id: ChunkId, task: u64) {
        self.change(|state, now, effects| state.removed(id, task, now, effects));
    }

    pub(crate) fn not_removed(&self, task: u64, record: Record, end: End) {
        self.change(|state, now, _| state.not_removed(task, record, end, now));
    }

    pub(crate) fn damaged(&self, id: ChunkId, reason: String, again: Option<Wanted>) -> bool {
        self.change(|state, now, effects| state.damaged(id, reason, again, now, effects))
    }

    /// Takes the id of a directory that the catalogue does not know, to look at it while nobody publishes or removes it.
    /// `None` if the id is known.
    pub(crate) fn begin_judging(&self, id: ChunkId) -> Option<u64> {
        self.change(|state, now, _| state.begin_judging(id, now))
    }

    /// Gives the id back; `found` is the record of a directory that is whole.
    pub(crate) fn judged(&self, id: ChunkId, task: u64, found: Option<Record>) {
        self.change(|state, now, effects| state.judged((id, task), found, now, effects));
    }
}

/// How a change of a lease ended. `None`: nothing was heard of it in time.
fn told_lease(lease: Lease, outcome: Option<std::result::Result<(), (ErrorKind, String)>>) -> Result<Lease> {
    let failed = |kind, reason: &str| Err(Error::new(kind, format!("the lease {}: {reason}", lease.name)));
    match outcome {
        Some(Ok(())) => Ok(lease),
        Some(Err((kind, reason))) => failed(kind, &reason),
        None => failed(ErrorKind::TimedOut, "the disk did not answer in time"),
    }
}

#[cfg(all(test, feature = "interleavings"))]
#[path = "../tests/unit/interleavings.rs"]
mod interleavings;

#[cfg(test)]
#[path = "../tests/unit/data_catalogue.rs"]
mod tests;
