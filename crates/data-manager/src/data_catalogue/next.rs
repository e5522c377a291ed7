//! Next: what the loop is to start, and when it is to ask again. Pure.
//! Refuses to start anything, and to look at a clock: the loop says what time it is.

use std::sync::Arc;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::data_catalogue::effects::{Action, Effects, Intent};
use crate::data_catalogue::entry::{Actual, Staged};
use crate::data_catalogue::goal::Goal;
use crate::data_catalogue::state::{State, sorted};
use crate::data_chunk::ChunkId;
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::event::Event;
use crate::staging_progress::StagingProgress;

/// Removals that run at once: enough to keep a disk busy, few enough to leave it to the downloads.
const REMOVING_MAX: usize = 4;

/// Downloads that run at once although they wait for their sources, as a multiple of those that may move bytes.
const IDLE_SHARE_MAX: usize = 8;

/// Staged parts that nobody asked for are removed after this time.
const LEFTOVER_AGE: Duration = Duration::from_hours(1);

/// Room that a download of unknown size is given before it knows better.
const FIRST_ROOM_BYTES: u64 = 1 << 20;

impl State {
    /// The next task to start, if any may start now.
    pub(crate) fn next_action(&mut self, now: Duration, effects: &mut Effects) -> Option<Action> {
        self.check_goal(now, effects);
        while self.intents_later.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, intents)) = self.intents_later.pop_front()
        {
            // What was called meanwhile may have been written down already: an older intent must not come behind it.
            let current = intents.into_iter().filter(|intent| self.is_current(intent));
            let current: Vec<Intent> = current.collect();
            self.intents.extend(current);
        }
        if !self.intents.is_empty() {
            return Some(Action::Note(self.intents.drain(..).collect()));
        }
        if let Some(work) = self.leases.next_work(now) {
            return Some(Action::Lease(work));
        }
        if self.removing < REMOVING_MAX
            && let Some(action) = self.next_removal(now)
        {
            return Some(action);
        }
        self.next_download(now, effects)
    }

    /// Whether an intent still says what is to become of its chunk.
    fn is_current(&self, intent: &Intent) -> bool {
        match intent {
            Intent::Keep(record) => {
                self.roster.get(&record.id).is_some_and(|resident| resident.sequence() == record.sequence)
            }
            Intent::Delete(record) => {
                let actual = self.entries.get(&record.id).map(|entry| &entry.actual);
                matches!(actual, Some(Actual::Retired { record: held, .. }) if held.sequence == record.sequence)
            }
        }
    }

    /// Intents that nobody has been asked to write down yet, those that found no room before included.
    pub(crate) fn take_intents(&mut self) -> Vec<Intent> {
        let later = std::mem::take(&mut self.intents_later);
        let later = later.into_iter().flat_map(|(_, intents)| intents);
        let later: Vec<Intent> = later.filter(|intent| self.is_current(intent)).collect();
        later.into_iter().chain(self.intents.drain(..)).collect()
    }

    fn next_removal(&mut self, now: Duration) -> Option<Action> {
        self.drop_old_leftovers(now);
        while let Some(&(at, id)) = self.removals_later.first()
            && at <= now
        {
            self.removals_later.pop_first();
            self.removals.push_back(id);
        }
        while let Some(id) = self.removals.pop_front() {
            let task = self.next_task();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let (action, record) = match &entry.actual {
                Actual::Retired { record, .. } if self.leases.is_held(&id, record.dir) => {
                    // Until the lease ends, which is when all of these are looked at again.
                    self.retired.insert(id);
                    continue;
                }
                // It may have been wanted, pinned and deleted anew since it was put in line.
                Actual::Retired { resident, record, end, is_recorded: true }
                    if resident.strong_count() == 0 =>
                {
                    let leases = &self.leases;
                    let may_go = |dir: &u16| *dir != record.dir && !leases.is_held(&id, *dir);
                    let elsewhere = self.disks.writable().filter(may_go).collect();
                    let action = Action::Remove { task, record: record.clone(), elsewhere, end: end.clone() };
                    (action, Some(record.clone()))
                }
                Actual::Nothing if entry.wanted.is_none() => {
                    (Action::Discard { task, id, dir: entry.staged.map_or(0, |staged| staged.dir) }, None)
                }
                _ => continue,
            };
            entry.actual = Actual::Removing { task, record };
            self.retired.remove(&id);
            self.removing += 1;
            return Some(action);
        }
        None
    }

    /// Looks for hidden chunks that nothing holds any more. To be called after a pin was dropped or a lease has ended.
    pub(crate) fn collect_unpinned(&mut self) {
        let (entries, leases) = (&self.entries, &self.leases);
        let is_free = |id: &ChunkId| match entries.get(id).map(|entry| &entry.actual) {
            Some(Actual::Retired { resident, is_recorded, record, .. }) => {
                *is_recorded && resident.strong_count() == 0 && !leases.is_held(id, record.dir)
            }
            _ => false,
        };
        let free = sorted(self.retired.iter().filter(|id| is_free(id)).copied());
        for id in free {
            self.retired.remove(&id);
            self.removals.push_back(id);
        }
    }

    /// Whether no further download may start before one that runs has ended or waits for its source.
    fn is_full(&self) -> bool {
        self.staging >= self.idle + self.chunks_in_flight_max
            || self.staging >= self.chunks_in_flight_max.saturating_mul(IDLE_SHARE_MAX)
    }

    fn next_download(&mut self, now: Duration, effects: &mut Effects) -> Option<Action> {
        if self.is_full() {
            return None;
        }
        while let Some(id) = self.next_in_queue(now) {
            let task = self.next_task();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let Some(wanted) = entry.wanted.clone() else { continue };
            let bytes = wanted.bytes().or(entry.needed_bytes).unwrap_or(FIRST_ROOM_BYTES);
            if let Some(Staged { dir, taken_bytes, .. }) = entry.staged
                && self.disks.is_poisoned(dir)
            {
                // Nothing is acknowledged there any more: it starts over elsewhere. The next start removes what stays.
                self.disks.adjust_staged(dir, taken_bytes, 0);
                entry.staged = None;
            }
            let staged_dir = entry.staged.map(|staged| staged.dir);
            let (done_bytes, taken_bytes) =
                entry.staged.map_or((0, 0), |staged| (staged.done_bytes, staged.taken_bytes));
            let more_bytes = bytes.saturating_sub(taken_bytes);
            if let Some(dir) = staged_dir
                && self.disks.is_better_elsewhere(dir, more_bytes, bytes)
            {
                // What is staged goes, and then it starts over where there is room.
                entry.actual = Actual::Removing { task, record: None };
                self.removing += 1;
                return Some(Action::Discard { task, id, dir });
            }
            let dir = match self.disks.choose(staged_dir, more_bytes, effects) {
                Ok(dir) => dir,
                Err(reason) => {
                    let error = DownloadError::new(DownloadErrorKind::NoRoom, reason);
                    self.failed(id, error, 0, now, effects);
                    continue;
                }
            };
            entry.staged = Some(Staged { dir, done_bytes, taken_bytes });
            entry.is_refreshed = false;
            let cancel = Cancel::default();
            let progress = Arc::new(StagingProgress::default());
            progress.set(done_bytes, wanted.bytes());
            entry.actual = Actual::Staging {
                task,
                cancel: cancel.clone(),
                progress: Arc::clone(&progress),
                is_idle: false,
            };
            self.staging += 1;
            self.disks.reserve(dir, task, more_bytes);
            effects.events.push(Event::Started(id));
            return Some(Action::Download { task, wanted, dir, attempts: entry.attempts, cancel, progress });
        }
        None
    }

    /// Where most of what was started waits for its source, what comes first in the queue may be what hangs: every second
    /// chunk is taken from its other end.
    fn next_in_queue(&mut self, now: Duration) -> Option<ChunkId> {
        let is_mostly_idle = self.idle > self.chunks_in_flight_max / 4 && self.last_task.is_multiple_of(2);
        if is_mostly_idle { self.queue.pop_last(now) } else { self.queue.pop(now) }
    }

    /// When `next_action` may have a new answer without any event.
    pub(crate) fn next_time(&self, now: Duration) -> Option<Duration> {
        let leftovers = (!self.leftovers.is_empty() && now < LEFTOVER_AGE).then_some(LEFTOVER_AGE);
        let drops = self.goal.as_ref().and_then(Goal::next_time);
        // What is due and cannot start waits for a report and not for a time, which would be over already.
        let downloads = if self.is_full() { None } else { self.queue.next_time() };
        let can_remove = self.removing < REMOVING_MAX;
        let removals = self.removals_later.first().filter(|_| can_remove).map(|&(at, _)| at);
        let intents = self.intents_later.front().map(|(at, _)| *at);
        let leases = self.leases.next_time();
        [downloads, leftovers, drops, removals, intents, leases].into_iter().flatten().min()
    }

    fn drop_old_leftovers(&mut self, now: Duration) {
        if now >= LEFTOVER_AGE {
            while let Some((id, staged)) = self.leftovers.pop_first() {
                self.discard_found(id, staged, now);
            }
        }
    }
}
