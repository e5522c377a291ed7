//! What State can tell of itself. Pure.
//! Refuses to change anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::chunk_ref::{CoarseClock, Resident};
use crate::data_catalogue::entry::{Actual, Entry, Wanted};
use crate::data_catalogue::state::State;
use crate::data_chunk::{BlockRange, ChunkId, DatasetId};
use crate::data_source::redacted;
use crate::record::Record;
use crate::status::{ChunkProgress, ChunkState, ChunkStatus, DataDirStatus, PinStatus, Totals};

impl State {
    /// All chunks for which `which` holds, those on their way first.
    pub(crate) fn statuses(
        &self,
        now: Duration,
        clock: &CoarseClock,
        which: impl Fn(&ChunkId, &DatasetId, &BlockRange) -> bool,
    ) -> Vec<ChunkStatus> {
        let on_their_way = self.entries.iter().filter_map(|(id, entry)| {
            let content = entry.content.as_ref()?;
            which(id, &content.dataset_id, &content.block_range)
                .then(|| entry_status(id, entry, now, clock))
                .flatten()
        });
        let is_asked =
            |resident: &&Arc<Resident>| which(resident.id(), resident.dataset_id(), &resident.block_range());
        let ready = self.roster.residents().filter(is_asked).map(|resident| resident_status(resident, clock));
        on_their_way.chain(ready).map(|status| self.with_leases(status)).collect()
    }

    fn with_leases(&self, status: ChunkStatus) -> ChunkStatus {
        ChunkStatus { leases: self.leases.holding(&status.id), ..status }
    }

    pub(crate) fn status(&self, now: Duration, clock: &CoarseClock, id: &ChunkId) -> Option<ChunkStatus> {
        let status = match self.roster.get(id) {
            Some(resident) => Some(resident_status(resident, clock)),
            None => self.entries.get(id).and_then(|entry| entry_status(id, entry, now, clock)),
        };
        status.map(|status| self.with_leases(status))
    }

    /// The downloads under way.
    pub(crate) fn progress(&self) -> Vec<ChunkProgress> {
        let staging = self.entries.iter().filter_map(|(id, entry)| {
            let Actual::Staging { progress, .. } = &entry.actual else { return None };
            let content = entry.content.as_ref()?;
            Some(ChunkProgress {
                id: *id,
                dataset_id: content.dataset_id,
                block_range: content.block_range.clone(),
                bytes_done: progress.done_bytes(),
                bytes_total: progress.total_bytes(),
            })
        });
        staging.collect()
    }

    /// The switches of all downloads under way, the oldest first.
    pub(crate) fn running(&self) -> Vec<Cancel> {
        let staging = self.entries.values().filter_map(|entry| match &entry.actual {
            Actual::Staging { task, cancel, .. } => Some((*task, cancel.clone())),
            _ => None,
        });
        staging.collect::<BTreeMap<u64, Cancel>>().into_values().collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        let failed =
            self.entries.values().filter(|entry| entry.is_waiting() && entry.error.is_some()).count();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Totals {
            ready: count(self.roster.len()),
            ready_bytes: self.roster.bytes(),
            queued: count(self.queue.len().saturating_sub(failed)),
            failed: count(failed),
            staging: count(self.staging),
            retired: count(self.retired.len()),
            removing: count(self.removing + self.removals.len()),
            published: self.counters.published,
            removed: self.counters.removed,
            failures: self.counters.failures,
            damaged: self.counters.damaged,
            panics: self.counters.panics,
            ..Totals::default()
        }
    }

    /// How each data directory does.
    pub(crate) fn data_dirs(&self) -> Vec<DataDirStatus> {
        self.disks.statuses()
    }

    /// Every chunk that is pinned now.
    pub(crate) fn pins(&self, clock: &CoarseClock) -> Vec<PinStatus> {
        let pin = |id: &ChunkId, pins: usize, pinned_for_s: u32, blocks_removal: bool| PinStatus {
            id: *id,
            pins,
            pinned_for: Duration::from_secs(pinned_for_s.into()),
            blocks_removal,
        };
        let visible = self.roster.residents().filter_map(|resident| {
            let pins = Resident::pins_visible(resident);
            (pins > 0).then(|| pin(resident.id(), pins, resident.pinned_for_s(clock), false))
        });
        let hidden = self.retired.iter().filter_map(|id| {
            let Actual::Retired { resident, .. } = &self.entries.get(id)?.actual else { return None };
            let pins = Resident::pins_hidden(resident);
            let held = resident.upgrade()?;
            Some(pin(id, pins, held.pinned_for_s(clock), true))
        });
        hidden.chain(visible).collect()
    }

    /// The chunks of a data directory that are hidden and still there.
    pub(crate) fn hidden(&self, dir: u16) -> Vec<Record> {
        let hidden = self.entries.values().filter_map(|entry| match &entry.actual {
            Actual::Retired { record, .. } | Actual::Removing { record: Some(record), .. } => {
                Some(record.clone())
            }
            _ => None,
        });
        let mut hidden: Vec<Record> = hidden.filter(|record| record.dir == dir).collect();
        hidden.sort_unstable_by_key(|record| record.sequence);
        hidden
    }
}

fn entry_status(id: &ChunkId, entry: &Entry, now: Duration, clock: &CoarseClock) -> Option<ChunkStatus> {
    let content = entry.content.as_ref()?;
    let wanted = entry.wanted.as_ref();
    let (staged_bytes, total_bytes) = match &entry.actual {
        Actual::Staging { progress, .. } => (progress.done_bytes(), progress.total_bytes()),
        Actual::Retired { record, .. } => (record.bytes, Some(record.bytes)),
        _ => (entry.staged.map_or(0, |staged| staged.done_bytes), wanted.and_then(Wanted::bytes)),
    };
    let (pins, state) = match &entry.actual {
        Actual::Nothing if entry.error.is_some() => (0, ChunkState::Failed),
        Actual::Nothing => (0, ChunkState::Queued),
        Actual::Staging { .. } => (0, ChunkState::Staging),
        Actual::Retired { resident, .. } => (Resident::pins_hidden(resident), ChunkState::Retired),
        Actual::Removing { .. } => (0, ChunkState::Removing),
    };
    let pinned_for = match &entry.actual {
        Actual::Retired { resident, .. } => resident.upgrade().map(|held| held.pinned_for_s(clock)),
        _ => None,
    };
    let waits = entry.is_waiting() && entry.not_before != Duration::MAX;
    Some(ChunkStatus {
        id: *id,
        dataset_id: content.dataset_id,
        block_range: content.block_range.clone(),
        state,
        is_wanted: wanted.is_some(),
        priority: wanted.map(|wanted| wanted.priority).unwrap_or_default(),
        attempts: entry.attempts,
        last_error: entry.error.as_ref().map(ToString::to_string),
        last_failure: entry.error.as_ref().map(|error| error.kind.failure()),
        next_try_in: waits.then(|| entry.not_before.saturating_sub(now)),
        source: wanted.and_then(|wanted| wanted.chunk.files.first()).map(|file| redacted(&file.url)),
        bytes_done: staged_bytes,
        bytes_total: total_bytes,
        pins,
        pinned_for: pinned_for.map(|time_s| Duration::from_secs(time_s.into())),
        path: None,
        leases: Vec::new(),
    })
}

fn resident_status(resident: &Arc<Resident>, clock: &CoarseClock) -> ChunkStatus {
    let pins = Resident::pins_visible(resident);
    let pinned_for = (pins > 0).then(|| Duration::from_secs(resident.pinned_for_s(clock).into()));
    ChunkStatus {
        id: *resident.id(),
        dataset_id: *resident.dataset_id(),
        block_range: resident.block_range(),
        state: ChunkState::Ready,
        is_wanted: true,
        priority: crate::assignment::Priority::default(),
        attempts: 0,
        last_error: None,
        last_failure: None,
        next_try_in: None,
        source: None,
        bytes_done: resident.bytes(),
        bytes_total: Some(resident.bytes()),
        pins,
        pinned_for,
        path: Some(resident.path()),
        leases: Vec::new(),
    }
}
