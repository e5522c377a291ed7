//! What tasks report to State, and what follows. Pure.
//! Refuses to start anything: State answers that when the loop asks.

use std::sync::Weak;
use std::time::Duration;

use crate::data_catalogue::effects::{Effects, Intent};
use crate::data_catalogue::entry::{Actual, Content, End, Entry, Staged};
use crate::data_catalogue::state::State;
use crate::data_chunk::ChunkId;
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::event::Event;
use crate::record::Record;

/// After a failed removal the next try is made this much later.
const REMOVAL_RETRY: Duration = Duration::from_secs(30);

/// After intents could not be written the next try is made this much later.
const INTENT_RETRY: Duration = Duration::from_secs(2);

impl State {
    /// The next number in the order of publication.
    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.last_sequence += 1;
        self.last_sequence
    }

    /// A download was published: renamed into place and durable.
    pub(crate) fn published(&mut self, task: u64, record: &Record, now: Duration, effects: &mut Effects) {
        let id = record.id;
        self.leave_staging(id, task);
        let Some(entry) = self.entries.remove(&id) else { return };
        self.disks.adjust(record.dir, record.bytes, 0);
        self.counters.published += 1;
        if let Some(staged) = entry.staged {
            self.disks.adjust_staged(staged.dir, staged.taken_bytes, 0);
        }
        let Some(resident) = self.roster.resident(record) else { return };
        self.roster.insert(resident);
        effects.wakes = true;
        if entry.wanted.is_some() {
            effects.events.push(Event::Ready(id));
            self.reached(id, effects);
        } else {
            // Deleted after the commit point: it was never visible, for the snapshot is published after this.
            self.retire(id, End::Removed, now, effects);
        }
    }

    /// A download has taken all the room it needs on its disk.
    pub(crate) fn allocated(&mut self, task: u64) {
        self.disks.allocated(task);
    }

    /// A download has learnt that its files have `bytes` in all.
    pub(crate) fn grow(
        &mut self,
        id: ChunkId,
        task: u64,
        bytes: u64,
        effects: &mut Effects,
    ) -> Result<(), String> {
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        let taken = entry.staged.map_or(0, |staged| staged.taken_bytes);
        let grown = self.disks.grow(task, bytes.saturating_sub(taken), effects);
        entry.needed_bytes = grown.is_err().then_some(bytes);
        grown
    }

    /// A download ended without a chunk. `staged_bytes` is what it left in staging; `None` if nothing, not even a directory.
    pub(crate) fn not_published(
        &mut self,
        (id, task): (ChunkId, u64),
        staged_bytes: Option<u64>,
        (error, random): (DownloadError, u64),
        now: Duration,
        effects: &mut Effects,
    ) {
        self.leave_staging(id, task);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if !matches!(entry.actual, Actual::Staging { task: running, .. } if running == task) {
            return;
        }
        entry.actual = Actual::Nothing;
        if let Some(before) = entry.staged {
            entry.staged = staged_bytes.map(|done_bytes| {
                // Files that went on keep the room that they had. Where less is done than before they began anew.
                let kept = if done_bytes >= before.done_bytes { before.taken_bytes } else { 0 };
                Staged { done_bytes, taken_bytes: done_bytes.max(kept), ..before }
            });
            let after = entry.staged.map_or(0, |staged| staged.taken_bytes);
            self.disks.adjust_staged(before.dir, before.taken_bytes, after);
        }
        self.failed(id, error, random, now, effects);
    }

    pub(super) fn failed(
        &mut self,
        id: ChunkId,
        error: DownloadError,
        random: u64,
        now: Duration,
        effects: &mut Effects,
    ) {
        effects.wakes = true;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.wanted.is_none() {
            self.removals.push_back(id);
            return;
        }
        if error.kind == DownloadErrorKind::NoRoom {
            self.no_room.insert(id);
        }
        let is_failure = !matches!(error.kind, DownloadErrorKind::Cancelled | DownloadErrorKind::Closed);
        if is_failure {
            entry.attempts = entry.attempts.saturating_add(1);
            self.counters.failures += 1;
            self.counters.panics += u64::from(error.kind == DownloadErrorKind::Panicked);
        }
        let delay = if std::mem::take(&mut entry.is_refreshed) {
            entry.attempts = 0;
            Some(Duration::ZERO)
        } else {
            error.backoff(entry.attempts, random)
        };
        entry.not_before = delay.map_or(Duration::MAX, |delay| now.saturating_add(delay));
        self.queue.push(entry.turn(id), entry.not_before, now);
        if is_failure {
            effects.events.push(Event::Failed { id, reason: error.message.clone(), next_try: delay });
        }
        // That a source is left alone says nothing of why: what failed before does.
        let is_told = error.kind == DownloadErrorKind::Closed && entry.error.is_some();
        if error.kind != DownloadErrorKind::Cancelled && !is_told {
            entry.error = Some(error);
        }
    }

    fn leave_staging(&mut self, id: ChunkId, task: u64) {
        self.disks.release(task);
        if let Some(Entry { actual: Actual::Staging { task: running, is_idle, .. }, .. }) =
            self.entries.get(&id)
            && *running == task
        {
            self.idle -= usize::from(*is_idle);
            self.staging -= 1;
        }
    }

    /// A download waits for its source and moves no bytes (or does again): its place is free for another meanwhile.
    pub(crate) fn set_idle(&mut self, id: ChunkId, task: u64, idle: bool, effects: &mut Effects) {
        if let Some(Entry { actual: Actual::Staging { task: running, is_idle, .. }, .. }) =
            self.entries.get_mut(&id)
            && *running == task
            && *is_idle != idle
        {
            *is_idle = idle;
            if idle {
                self.idle += 1;
            } else {
                self.idle -= 1;
            }
            effects.wakes = true;
        }
    }

    /// Intents are durable.
    pub(crate) fn noted(&mut self, intents: &[Intent], effects: &mut Effects) {
        for intent in intents {
            let record = match intent {
                Intent::Delete(record) => record,
                Intent::Keep(record) => {
                    let resident = self.roster.get(&record.id);
                    if resident.is_some_and(|resident| resident.sequence() == record.sequence) {
                        effects.events.push(Event::Ready(record.id));
                    }
                    continue;
                }
            };
            if let Some(Entry { actual: Actual::Retired { is_recorded, record: held, .. }, .. }) =
                self.entries.get_mut(&record.id)
                && held.sequence == record.sequence
            {
                *is_recorded = true;
                effects.wakes = true;
            }
        }
        self.collect_unpinned();
    }

    /// Intents could not be written: there was no room for them.
    pub(crate) fn not_noted(&mut self, intents: Vec<Intent>, now: Duration) {
        self.intents_later.push_back((now.saturating_add(INTENT_RETRY), intents));
    }

    /// A removal ended. One that failed is tried again later; its chunk stays hidden.
    pub(crate) fn removed(&mut self, id: ChunkId, task: u64, now: Duration, effects: &mut Effects) {
        self.removing -= 1;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let is_this = matches!(entry.actual, Actual::Removing { task: running, .. } if running == task);
        if !is_this {
            return;
        }
        self.counters.removed += 1;
        entry.actual = Actual::Nothing;
        if let Some(staged) = entry.staged.take() {
            self.disks.adjust_staged(staged.dir, staged.taken_bytes, 0);
        }
        effects.events.push(Event::Removed(id));
        effects.wakes = true;
        if entry.wanted.is_some() {
            entry.not_before = Duration::ZERO;
            self.queue.push(entry.turn(id), Duration::ZERO, now);
            effects.events.push(Event::Queued(id));
        } else {
            self.entries.remove(&id);
        }
        self.retry_what_had_no_room(now);
    }

    /// A removal failed: the files may still be where they were.
    pub(crate) fn not_removed(&mut self, task: u64, record: Record, end: End, now: Duration) {
        self.removing -= 1;
        let id = record.id;
        if let Some(entry) = self.entries.get_mut(&id)
            && matches!(entry.actual, Actual::Removing { task: running, .. } if running == task)
        {
            entry.actual = Actual::Retired { resident: Weak::new(), record, end, is_recorded: true };
            self.removals_later.insert((now.saturating_add(REMOVAL_RETRY), id));
        }
    }

    /// Somebody is to look at a directory whose id nothing is known of: until [`State::judged`] nothing starts for the id.
    pub(crate) fn begin_judging(&mut self, id: ChunkId, now: Duration) -> Option<u64> {
        if self.roster.get(&id).is_some() || self.entries.contains_key(&id) {
            return None;
        }
        let task = self.next_task();
        let mut entry = Entry::new(None, Actual::Removing { task, record: None }, now);
        entry.staged = self.leftovers.remove(&id);
        self.entries.insert(id, entry);
        Some(task)
    }

    /// The directory was looked at. One that is whole becomes ready, unless something else was asked for under its id.
    pub(crate) fn judged(
        &mut self,
        (id, task): (ChunkId, u64),
        found: Option<Record>,
        now: Duration,
        effects: &mut Effects,
    ) {
        let is_this =
            |entry: &Entry| matches!(entry.actual, Actual::Removing { task: running, .. } if running == task);
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| is_this(entry)) else { return };
        effects.wakes = true;
        entry.actual = Actual::Nothing;
        let content = entry.content.as_ref();
        let is_asked_for = |record: &Record| content.is_none_or(|asked| *asked == Content::of_record(record));
        if let Some(record) = found.filter(is_asked_for) {
            if let Some(staged) = self.entries.remove(&id).and_then(|entry| entry.staged) {
                self.leftovers.insert(id, staged);
            }
            self.found_ready(record, effects);
        } else if entry.wanted.is_some() {
            self.queue.push(entry.turn(id), entry.not_before, now);
        } else if entry.staged.is_some() {
            self.removals.push_back(id);
        } else {
            self.entries.remove(&id);
        }
    }

    /// A complete chunk that was on disk but not in the catalogue.
    fn found_ready(&mut self, mut record: Record, effects: &mut Effects) {
        let id = record.id;
        record.sequence = self.next_sequence();
        self.disks.adjust(record.dir, record.bytes, 0);
        let Some(resident) = self.roster.resident(&record) else { return };
        self.roster.insert(resident);
        self.intents.push_back(Intent::Keep(record));
        effects.is_news = true;
        effects.wakes = true;
        self.reached(id, effects);
    }

    /// There may be room now.
    pub(crate) fn retry_what_had_no_room(&mut self, now: Duration) {
        for id in std::mem::take(&mut self.no_room) {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.is_waiting() && entry.not_before > now {
                self.queue.remove(entry.turn(id), entry.not_before);
                entry.not_before = Duration::ZERO;
                self.queue.push(entry.turn(id), Duration::ZERO, now);
            }
        }
    }
}
