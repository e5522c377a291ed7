//! State: desired and actual of every chunk, and what follows from them. Pure: no IO, no clock, no lock.
//! Refuses to act: it answers calls with Effects and the loop's question with Actions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::data_catalogue::agreement::{same_bytes, same_content, same_files, says_more};
use crate::data_catalogue::disks::Disks;
use crate::data_catalogue::effects::{Effects, Intent};
use crate::data_catalogue::entry::{Actual, Content, End, Entry, Staged, Wanted};
use crate::data_catalogue::goal::Goal;
use crate::data_catalogue::leases::Leases;
use crate::data_catalogue::queue::Queue;
use crate::data_catalogue::roster::Roster;
use crate::data_chunk::ChunkId;
use crate::error::Result;
use crate::event::Event;
use crate::record::Record;

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
    /// Staged parts found at start that nobody has asked for yet.
    pub(super) leftovers: BTreeMap<ChunkId, Staged>,
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
    pub(super) last_task: u64,
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
    pub(crate) fn found_staged(&mut self, id: ChunkId, staged: Staged) {
        self.leftovers.insert(id, staged);
        self.disks.adjust_staged(staged.dir, 0, staged.taken_bytes);
    }

    /// Desired becomes present, by a call that is newer than the assignment.
    pub(crate) fn want(&mut self, wanted: Wanted, now: Duration, effects: &mut Effects) -> Result<()> {
        self.check(&wanted)?;
        let id = wanted.chunk.id;
        self.make_present(wanted, now, effects);
        if let Some(goal) = &mut self.goal {
            goal.keep(&id);
        }
        Ok(())
    }

    /// Refuses what does not agree with what is known of the chunk.
    fn check(&self, asked: &Wanted) -> Result<()> {
        let id = asked.chunk.id;
        let content = Content::of(&asked.chunk);
        if let Some(resident) = self.roster.get(&id) {
            same_content(&id, &Roster::content(resident), &content)?;
            return same_bytes(&id, resident.bytes(), asked);
        }
        let Some(entry) = self.entries.get(&id) else { return Ok(()) };
        if let Some(known) = &entry.content {
            same_content(&id, known, &content)?;
        }
        if let Some(before) = &entry.wanted {
            same_files(&id, &before.chunk, &asked.chunk)?;
        }
        match &entry.actual {
            Actual::Retired { record, end: End::Removed, .. } => same_bytes(&id, record.bytes, asked),
            _ => Ok(()),
        }
    }

    /// What is asked for has been checked.
    fn make_present(&mut self, wanted: Wanted, now: Duration, effects: &mut Effects) {
        let id = wanted.chunk.id;
        if self.roster.get(&id).is_some() {
            return;
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            let mut entry = Entry::new(Some(Content::of(&wanted.chunk)), Actual::Nothing, now);
            entry.wanted = Some(wanted);
            entry.staged = self.leftovers.remove(&id);
            self.queue.push(entry.turn(id), Duration::ZERO, now);
            self.entries.insert(id, entry);
            effects.events.push(Event::Queued(id));
            effects.wakes = true;
            return;
        };
        entry.content.get_or_insert_with(|| Content::of(&wanted.chunk));
        let before = entry.wanted.as_ref().map(|before| Arc::clone(&before.chunk));
        // Lengths and digests that were named once are held to, whoever asks again without them.
        let wanted = match &before {
            Some(before) => wanted.held_to(before),
            None => wanted,
        };
        let is_refreshed = before.as_ref().is_some_and(|before| before.files != wanted.chunk.files);
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
                if before.is_some_and(|before| says_more(&wanted.chunk, &before)) {
                    // What runs would not check it.
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
        if let Some(staged) = self.leftovers.remove(&id) {
            self.discard_found(id, staged, now);
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
            self.check(each)?;
        }
        self.goal = None;
        let strangers =
            self.roster.ids().chain(self.leftovers.keys().copied()).filter(|id| !goal.contains(id));
        let strangers = sorted(strangers);
        let unwanted = self.entries.iter().filter(|(id, entry)| entry.wanted.is_some() && !goal.contains(id));
        let unwanted = sorted(unwanted.map(|(id, _)| *id));
        for each in wanted {
            self.make_present(each, now, effects);
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
    pub(super) fn check_goal(&mut self, now: Duration, effects: &mut Effects) {
        let Some(goal) = &mut self.goal else { return };
        if let Some(id) = goal.newly_applied(now) {
            effects.events.push(Event::Applied(id));
        }
        let due = goal.due_drops(now);
        for id in due {
            self.unwant(id, now, effects);
        }
    }

    pub(super) fn discard_found(&mut self, id: ChunkId, staged: Staged, now: Duration) {
        self.disks.adjust_staged(staged.dir, staged.taken_bytes, 0);
        let mut entry = Entry::new(None, Actual::Nothing, now);
        entry.staged = Some(Staged { done_bytes: 0, taken_bytes: 0, ..staged });
        self.entries.insert(id, entry);
        self.removals.push_back(id);
    }

    pub(super) fn next_task(&mut self) -> u64 {
        self.last_task += 1;
        self.last_task
    }
}

/// In an order that does not depend on where a hash table put them.
pub(super) fn sorted(ids: impl Iterator<Item = ChunkId>) -> Vec<ChunkId> {
    let mut ids: Vec<ChunkId> = ids.collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
#[path = "../../tests/unit/state.rs"]
mod tests;
