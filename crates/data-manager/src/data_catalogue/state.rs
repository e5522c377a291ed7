//! State: desired and actual of every chunk, and what follows from them. Pure: no IO, no clock, no lock.
//! Refuses to act: it answers calls with Effects and the loop's question with Actions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::cancel::Cancel;
use crate::data_catalogue::disks::Disks;
use crate::data_catalogue::effects::{Action, Effects, Intent};
use crate::data_catalogue::entry::{Actual, Content, End, Entry, Wanted};
use crate::data_catalogue::goal::Goal;
use crate::data_catalogue::leases::Leases;
use crate::data_catalogue::queue::Queue;
use crate::data_catalogue::roster::Roster;
use crate::data_chunk::{ChunkId, hex_id};
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::file_spec::CheckedChunk;
use crate::record::Record;
use crate::staging_progress::StagingProgress;

/// Removals that run at once: enough to keep a disk busy, few enough to leave it to the downloads.
const REMOVING_MAX: usize = 4;

/// Downloads that run at once although they wait for their sources, as a multiple of those that may move bytes.
const IDLE_SHARE_MAX: usize = 8;

/// Staged parts that nobody asked for are removed after this time.
const LEFTOVER_AGE: Duration = Duration::from_hours(1);

/// Desired and actual of every chunk.
///
/// A chunk is in `roster` (ready and wanted, the common case, kept small) or in `entries` (anything else), never in both.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) roster: Roster,
    pub(crate) entries: HashMap<ChunkId, Entry>,
    /// Exactly the entries for which `is_waiting` holds.
    pub(super) queue: Queue,
    pub(crate) disks: Disks,
    pub(crate) goal: Option<Goal>,
    pub(crate) leases: Leases,
    /// Staged parts found at start that nobody has asked for yet: where, and how many bytes.
    pub(super) leftovers: BTreeMap<ChunkId, (u16, u64)>,
    /// Hidden chunks that a pin or a lease may hold, or whose intent is not on disk yet.
    pub(super) retired: HashSet<ChunkId>,
    /// Hidden chunks that may be removed now, and left-overs in staging that nobody wants. Some may have changed since.
    pub(super) removals: VecDeque<ChunkId>,
    /// Removals that failed, with the time of the next try.
    pub(super) removals_later: BTreeSet<(Duration, ChunkId)>,
    /// Waiting chunks that found no room.
    pub(super) no_room: HashSet<ChunkId>,
    pub(super) intents: VecDeque<Intent>,
    /// Intents that could not be written, and when they are tried again.
    pub(super) intents_later: VecDeque<(Duration, Vec<Intent>)>,
    pub(super) staging: usize,
    pub(super) idle: usize,
    pub(super) removing: usize,
    pub(crate) chunks_in_flight_max: usize,
    last_task: u64,
    pub(super) last_sequence: u64,
    pub(crate) counters: Counters,
    /// Grows whenever something happened that somebody may wait for.
    pub(crate) changes: u64,
}

/// What has been counted since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) published: u64,
    pub(crate) removed: u64,
    pub(crate) failures: u64,
    pub(crate) damaged: u64,
    pub(crate) panics: u64,
}

/// Room that a download of unknown size is given before it knows better.
const FIRST_ROOM_BYTES: u64 = 1 << 20;

impl State {
    pub(crate) fn new(
        roster: Roster,
        disks: Disks,
        last_sequence: u64,
        chunks_in_flight_max: usize,
    ) -> State {
        State {
            roster,
            entries: HashMap::new(),
            queue: Queue::default(),
            disks,
            goal: None,
            leases: Leases::default(),
            leftovers: BTreeMap::new(),
            retired: HashSet::new(),
            removals: VecDeque::new(),
            removals_later: BTreeSet::new(),
            no_room: HashSet::new(),
            intents: VecDeque::new(),
            intents_later: VecDeque::new(),
            staging: 0,
            idle: 0,
            removing: 0,
            chunks_in_flight_max,
            last_task: 0,
            last_sequence,
            counters: Counters::default(),
            changes: 0,
        }
    }

    /// A chunk found at start that was to be removed when the last run ended.
    pub(crate) fn found_unwanted(&mut self, record: Record, now: Duration) {
        let id = record.id;
        let content = Content::of_record(&record);
        let actual = Actual::Retired { resident: Weak::new(), record, end: End::Removed, is_recorded: true };
        self.entries.insert(id, Entry::new(Some(content), actual, now));
        self.removals.push_back(id);
    }

    /// Staged parts found at start.
    pub(crate) fn found_staged(&mut self, id: ChunkId, dir: u16, bytes: u64) {
        self.leftovers.insert(id, (dir, bytes));
        self.disks.adjust_staged(dir, 0, bytes);
    }

    // ---- calls ----

    /// Desired becomes present, by a call that is newer than the assignment.
    pub(crate) fn want(&mut self, wanted: Wanted, now: Duration, effects: &mut Effects) -> Result<()> {
        let id = wanted.chunk.id;
        self.make_present(wanted, now, effects)?;
        if let Some(goal) = &mut self.goal {
            goal.keep(&id);
        }
        Ok(())
    }

    fn make_present(&mut self, wanted: Wanted, now: Duration, effects: &mut Effects) -> Result<()> {
        let id = wanted.chunk.id;
        let content = Content::of(&wanted.chunk);
        if let Some(resident) = self.roster.get(&id) {
            same_content(&id, &Roster::content(resident), &content)?;
            return same_bytes(&id, resident.bytes(), &wanted);
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            let mut entry = Entry::new(Some(content), Actual::Nothing, now);
            entry.wanted = Some(wanted);
            entry.staged = self.leftovers.remove(&id);
            self.queue.push(entry.turn(id), Duration::ZERO, now);
            self.entries.insert(id, entry);
            effects.events.push(Event::Queued(id));
            effects.wakes = true;
            return Ok(());
        };
        match &entry.content {
            Some(known) => same_content(&id, known, &content)?,
            None => entry.content = Some(content),
        }
        if let Some(old) = &entry.wanted {
            same_files(&id, &old.chunk, &wanted.chunk)?;
        }
        if let Actual::Retired { record, end: End::Removed, .. } = &entry.actual {
            same_bytes(&id, record.bytes, &wanted)?;
        }
        let is_refreshed = entry.wanted.as_ref().is_some_and(|old| old.chunk.files != wanted.chunk.files);
        if entry.is_waiting() {
            self.queue.remove(entry.turn(id), entry.not_before);
            if is_refreshed || entry.not_before == Duration::MAX {
                // Other URLs may cure what failed, so the wait is over; the same ones would only fail again sooner, but for those
                // that are not tried again until somebody asks.
                entry.attempts = 0;
                entry.not_before = Duration::ZERO;
            }
            entry.wanted = Some(wanted);
            self.queue.push(entry.turn(id), entry.not_before, now);
        } else {
            if let Actual::Staging { cancel, .. } = &entry.actual
                && is_refreshed
            {
                entry.is_refreshed = true;
                if entry.wanted.as_ref().is_some_and(|old| says_more(&wanted.chunk, &old.chunk)) {
                    // What runs would not check it. The next try goes on with what it has staged.
                    effects.cancels.push(cancel.clone());
                }
            }
            entry.wanted = Some(wanted);
            if matches!(entry.actual, Actual::Nothing) {
                self.queue.push(entry.turn(id), entry.not_before, now);
                effects.events.push(Event::Queued(id));
            }
            self.revive(id, effects);
        }
        effects.wakes = true;
        Ok(())
    }

    /// A hidden chunk that is wanted again and sound is visible at once: nothing is fetched.
    ///
    /// It is reported ready when that is durable: until then a crash could still carry the deletion out.
    fn revive(&mut self, id: ChunkId, effects: &mut Effects) {
        let Some(entry) = self.entries.get(&id) else { return };
        let Actual::Retired { resident, record, end: End::Removed, .. } = &entry.actual else { return };
        let record = record.clone();
        let Some(resident) = resident.upgrade().or_else(|| self.roster.resident(&record)) else { return };
        self.entries.remove(&id);
        self.retired.remove(&id);
        self.disks.adjust(record.dir, record.bytes, 0);
        self.roster.insert(resident);
        self.intents.push_back(Intent::Keep(record));
        effects.is_news = true;
        self.reached(id, effects);
    }

    /// Desired becomes absent. Returns whether anything was known of the chunk.
    pub(crate) fn unwant(&mut self, id: ChunkId, now: Duration, effects: &mut Effects) -> bool {
        if let Some(goal) = &mut self.goal {
            goal.forget(&id);
        }
        if self.roster.get(&id).is_some() {
            self.retire(id, End::Removed, now, effects);
            return true;
        }
        if let Some((dir, bytes)) = self.leftovers.remove(&id) {
            self.disks.adjust_staged(dir, bytes, 0);
            self.discard_found(id, dir, now);
            effects.wakes = true;
            return true;
        }
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let was_waiting = entry.is_waiting();
        let turn = entry.turn(id);
        entry.wanted = None;
        if was_waiting {
            self.queue.remove(turn, entry.not_before);
            if entry.staged.is_some() {
                self.removals.push_back(id);
            } else {
                self.entries.remove(&id);
                effects.events.push(Event::Removed(id));
            }
        } else if let Actual::Staging { cancel, .. } = &entry.actual {
            effects.cancels.push(cancel.clone());
        }
        effects.wakes = true;
        true
    }

    /// Hides a ready chunk; its files go the way of `end` when the last pin is dropped.
    pub(super) fn retire(&mut self, id: ChunkId, end: End, now: Duration, effects: &mut Effects) {
        let Some(resident) = self.roster.remove(&id) else { return };
        let record = resident.record();
        self.disks.adjust(record.dir, 0, record.bytes);
        let content = Roster::content(&resident);
        // For a damaged one too: the next start must not show what may have been put aside by then.
        self.intents.push_back(Intent::Delete(record.clone()));
        let actual = Actual::Retired { resident: Arc::downgrade(&resident), record, is_recorded: false, end };
        self.entries.insert(id, Entry::new(Some(content), actual, now));
        self.retired.insert(id);
        effects.events.push(Event::Hidden(id));
        effects.released.push(resident);
        effects.wakes = true;
    }

    /// A ready chunk was found damaged: it is hidden, put aside when unpinned, and fetched anew if `again` says how.
    pub(crate) fn damaged(
        &mut self,
        id: ChunkId,
        reason: String,
        again: Option<Wanted>,
        now: Duration,
        effects: &mut Effects,
    ) -> bool {
        if self.roster.get(&id).is_none() {
            return false;
        }
        self.counters.damaged += 1;
        effects.events.push(Event::Quarantined { id, reason: reason.clone() });
        self.retire(id, End::Quarantined(reason), now, effects);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.wanted = again;
        }
        if let Some(goal) = &mut self.goal {
            goal.lost(&id);
        }
        true
    }

    /// The whole wanted set: what is in it becomes desired, everything else is dropped as `goal` says.
    pub(crate) fn apply(
        &mut self,
        goal: Goal,
        mut wanted: Vec<Wanted>,
        now: Duration,
        effects: &mut Effects,
    ) -> Result<()> {
        wanted.sort_unstable_by_key(|each| each.chunk.id);
        // All or nothing: conflicts are found before anything changes.
        for each in &wanted {
            let id = each.chunk.id;
            let content = Content::of(&each.chunk);
            if let Some(resident) = self.roster.get(&id) {
                same_content(&id, &Roster::content(resident), &content)?;
            } else if let Some(known) = self.entries.get(&id).and_then(|entry| entry.content.as_ref()) {
                same_content(&id, known, &content)?;
            }
        }
        self.goal = None;
        let strangers =
            self.roster.ids().chain(self.leftovers.keys().copied()).filter(|id| !goal.contains(id));
        let strangers = sorted(strangers);
        let unwanted = self.entries.iter().filter(|(id, entry)| entry.wanted.is_some() && !goal.contains(id));
        let unwanted = sorted(unwanted.map(|(id, _)| *id));
        for each in wanted {
            self.make_present(each, now, effects)?;
        }
        for id in unwanted {
            self.unwant(id, now, effects);
        }
        let mut goal = goal;
        goal.missing_are(|id| self.roster.get(id).is_none());
        if goal.drops_at_once() {
            for id in strangers {
                self.unwant(id, now, effects);
            }
        } else {
            goal.drop_later(strangers);
        }
        self.goal = Some(goal);
        self.check_goal(now, effects);
        effects.wakes = true;
        Ok(())
    }

    pub(super) fn reached(&mut self, id: ChunkId, effects: &mut Effects) {
        if let Some(goal) = &mut self.goal {
            goal.reached(&id);
            effects.wakes = true;
        }
    }

    /// Reports the assignment as applied when it is, and drops what it no longer names when the time has come.
    fn check_goal(&mut self, now: Duration, effects: &mut Effects) {
        let Some(goal) = &mut self.goal else { return };
        if let Some(id) = goal.newly_applied(now) {
            effects.events.push(Event::Applied(id));
        }
        let due = goal.due_drops(now);
        for id in due {
            self.unwant(id, now, effects);
        }
    }

    // ---- the loop's question ----

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
                    (Action::Discard { task, id, dir: entry.staged.map_or(0, |(dir, _)| dir) }, None)
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
            if let Some((dir, staged_bytes)) = entry.staged
                && self.disks.is_poisoned(dir)
            {
                // Nothing is acknowledged there any more: it starts over elsewhere. The next start removes what stays.
                self.disks.adjust_staged(dir, staged_bytes, 0);
                entry.staged = None;
            }
            let (staged_dir, staged_bytes) =
                entry.staged.map_or((None, 0), |(dir, bytes)| (Some(dir), bytes));
            if let Some(dir) = staged_dir
                && self.disks.is_better_elsewhere(dir, bytes.saturating_sub(staged_bytes), bytes)
            {
                // What is staged goes, and then it starts over where there is room.
                entry.actual = Actual::Removing { task, record: None };
                self.removing += 1;
                return Some(Action::Discard { task, id, dir });
            }
            let dir = match self.disks.choose(staged_dir, bytes.saturating_sub(staged_bytes), effects) {
                Ok(dir) => dir,
                Err(reason) => {
                    let error = DownloadError::new(DownloadErrorKind::NoRoom, reason);
                    self.failed(id, error, 0, now, effects);
                    continue;
                }
            };
            entry.staged = Some((dir, staged_bytes));
            entry.is_refreshed = false;
            let cancel = Cancel::default();
            let progress = Arc::new(StagingProgress::default());
            progress.set(staged_bytes, wanted.bytes());
            entry.actual = Actual::Staging {
                task,
                cancel: cancel.clone(),
                progress: Arc::clone(&progress),
                is_idle: false,
            };
            self.staging += 1;
            self.disks.reserve(dir, task, bytes.saturating_sub(staged_bytes));
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
            while let Some((id, (dir, bytes))) = self.leftovers.pop_first() {
                self.disks.adjust_staged(dir, bytes, 0);
                self.discard_found(id, dir, now);
            }
        }
    }

    fn discard_found(&mut self, id: ChunkId, dir: u16, now: Duration) {
        let mut entry = Entry::new(None, Actual::Nothing, now);
        entry.staged = Some((dir, 0));
        self.entries.insert(id, entry);
        self.removals.push_back(id);
    }

    pub(super) fn next_task(&mut self) -> u64 {
        self.last_task += 1;
        self.last_task
    }
}

/// In an order that does not depend on where a hash table put them.
fn sorted(ids: impl Iterator<Item = ChunkId>) -> Vec<ChunkId> {
    let mut ids: Vec<ChunkId> = ids.collect();
    ids.sort_unstable();
    ids
}

/// An id names immutable content: everything but the URLs must be the same.
fn same_content(id: &ChunkId, here: &Content, asked: &Content) -> Result<()> {
    if here == asked {
        return Ok(());
    }
    let message = format!(
        "chunk {} is known here as blocks {}..{} of dataset {} with files {}, and was asked for as blocks {}..{} of dataset {} \
         with files {}: an id names immutable content, so give the new content an id of its own",
        hex_id(id),
        here.block_range.start,
        here.block_range.end,
        hex_id(&here.dataset_id),
        here.names,
        asked.block_range.start,
        asked.block_range.end,
        hex_id(&asked.dataset_id),
        asked.names,
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

/// A descriptor that names all lengths must name those of what is here.
fn same_bytes(id: &ChunkId, here: u64, asked: &Wanted) -> Result<()> {
    match asked.bytes() {
        Some(bytes) if bytes != here => {
            let message = format!(
                "chunk {} is here with {here} bytes, and was asked for with {bytes}: an id names immutable content, so give \
                 the new content an id of its own",
                hex_id(id)
            );
            Err(Error::new(ErrorKind::Conflict, message))
        }
        _ => Ok(()),
    }
}

/// Whether a descriptor names a length or a digest that another one of the chunk does not.
fn says_more(asked: &CheckedChunk, before: &CheckedChunk) -> bool {
    asked.files.iter().zip(&before.files).any(|(asked, before)| {
        (asked.size.is_some() && before.size.is_none())
            || (asked.sha256.is_some() && before.sha256.is_none())
            || (asked.blake3.is_some() && before.blake3.is_none())
    })
}

/// Two descriptors of a chunk may name different URLs, and one may say more than the other, but no two lengths or digests
/// of a file.
fn same_files(id: &ChunkId, here: &CheckedChunk, asked: &CheckedChunk) -> Result<()> {
    fn differ<T: PartialEq>(here: Option<T>, asked: Option<T>) -> bool {
        here.zip(asked).is_some_and(|(here, asked)| here != asked)
    }
    let other = here.files.iter().zip(&asked.files).find(|(here, asked)| {
        differ(here.size, asked.size)
            || differ(here.sha256, asked.sha256)
            || differ(here.blake3, asked.blake3)
    });
    let Some((file, _)) = other else { return Ok(()) };
    let message = format!(
        "chunk {} was asked for before with another length or digest of {}: an id names immutable content; if what was asked \
         for before was wrong, delete the chunk first",
        hex_id(id),
        file.name
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

#[cfg(test)]
#[path = "../../tests/unit/state.rs"]
mod tests;
