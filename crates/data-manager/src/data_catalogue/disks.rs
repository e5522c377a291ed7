//! Disks: how much room each data directory has, and where the next chunk goes. Pure.
//! Refuses to look at a disk: it is told what is free.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::data_catalogue::effects::Effects;
use crate::event::Event;
use crate::status::DataDirStatus;

/// The room of all data directories.
#[derive(Debug)]
pub(crate) struct Disks {
    rooms: Vec<Room>,
    /// Bytes that running downloads have still to write: where, and how many.
    reserved: HashMap<u64, Reservation>,
    free_bytes_min: u64,
}

/// What one download has been promised.
#[derive(Debug, Clone, Copy)]
struct Reservation {
    dir: u16,
    bytes: u64,
    /// Whether its files have taken their room, so that the file system counts it.
    is_allocated: bool,
}

/// The room of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) path: PathBuf,
    pub(crate) bytes_max: Option<u64>,
    /// Bytes of published chunks.
    pub(crate) ready_bytes: u64,
    /// Bytes of staged parts.
    pub(crate) staged_bytes: u64,
    /// What the file system last said is free.
    pub(crate) free_bytes: u64,
    /// Promised to running downloads, and not taken from the disk yet.
    reserved_bytes: u64,
    /// Promised to running downloads, taken or not: the directory's share counts it until they end.
    promised_bytes: u64,
    /// Set when a sync failed: nothing can be acknowledged there until the next start.
    poison: Option<String>,
    /// Why downloads into it wait.
    paused: Option<String>,
}

impl Room {
    pub(crate) fn new(path: PathBuf, bytes_max: Option<u64>, free_bytes: u64) -> Room {
        Room {
            path,
            bytes_max,
            ready_bytes: 0,
            staged_bytes: 0,
            free_bytes,
            reserved_bytes: 0,
            promised_bytes: 0,
            poison: None,
            paused: None,
        }
    }

    /// Bytes that a new download may take.
    fn available(&self, free_bytes_min: u64) -> u64 {
        let on_disk = self.free_bytes.saturating_sub(self.reserved_bytes).saturating_sub(free_bytes_min);
        let in_quota = self.bytes_max.map_or(u64::MAX, |max| {
            max.saturating_sub(self.ready_bytes)
                .saturating_sub(self.staged_bytes)
                .saturating_sub(self.promised_bytes)
        });
        u64::min(on_disk, in_quota)
    }
}

impl Disks {
    pub(crate) fn new(rooms: Vec<Room>, free_bytes_min: u64) -> Disks {
        Disks { rooms, reserved: HashMap::new(), free_bytes_min }
    }

    pub(crate) fn set_free_bytes_min(&mut self, bytes: u64) {
        self.free_bytes_min = bytes;
    }

    /// What the file system says is free now; reservations are on top of it.
    pub(crate) fn set_free(&mut self, dir: u16, free_bytes: u64) {
        if let Some(room) = self.rooms.get_mut(usize::from(dir)) {
            room.free_bytes = free_bytes;
        }
    }

    /// A sync in this directory failed.
    pub(crate) fn poison(&mut self, dir: u16, reason: &str, effects: &mut Effects) {
        if let Some(room) = self.rooms.get_mut(usize::from(dir))
            && room.poison.is_none()
        {
            room.poison = Some(reason.to_string());
            let (data_dir, reason) = (room.path.clone(), reason.to_string());
            effects.events.push(Event::Paused { data_dir, reason, until_restart: true });
        }
    }

    /// Whether a directory takes no more writes until the next start.
    pub(crate) fn is_poisoned(&self, dir: u16) -> bool {
        self.rooms.get(usize::from(dir)).is_some_and(|room| room.poison.is_some())
    }

    /// The directories that take writes.
    pub(crate) fn writable(&self) -> impl Iterator<Item = u16> {
        let dirs = self.rooms.iter().zip(0..=u16::MAX);
        dirs.filter(|(room, _)| room.poison.is_none()).map(|(_, dir)| dir)
    }

    /// How each directory does.
    pub(crate) fn statuses(&self) -> Vec<DataDirStatus> {
        let status = |room: &Room| DataDirStatus {
            path: room.path.clone(),
            ready_bytes: room.ready_bytes,
            staged_bytes: room.staged_bytes,
            free_bytes: room.free_bytes,
            paused: room.poison.clone().or_else(|| room.paused.clone()),
            until_restart: room.poison.is_some(),
        };
        self.rooms.iter().map(status).collect()
    }

    /// The directory for a download of `bytes` more, or why there is none.
    ///
    /// Staged parts are continued where they are; other chunks go where there is the most room.
    pub(crate) fn choose(
        &mut self,
        staged_dir: Option<u16>,
        bytes: u64,
        effects: &mut Effects,
    ) -> Result<u16, String> {
        let floor = self.free_bytes_min;
        let is_usable = |room: &Room| room.poison.is_none() && room.available(floor) >= bytes;
        let staged = staged_dir.filter(|dir| self.rooms.get(usize::from(*dir)).is_some_and(is_usable));
        let widest = || {
            let usable = self.rooms.iter().enumerate().filter(|(_, room)| is_usable(room));
            usable.max_by_key(|(_, room)| room.available(floor)).and_then(|(dir, _)| u16::try_from(dir).ok())
        };
        let chosen = staged.or_else(|| if staged_dir.is_some() { None } else { widest() });
        if let Some(dir) = chosen {
            if let Some(room) = self.rooms.get_mut(usize::from(dir))
                && room.paused.take().is_some()
            {
                effects.events.push(Event::Resumed(room.path.clone()));
            }
            return Ok(dir);
        }
        Err(self.refuse(staged_dir, bytes, effects))
    }

    /// Whether a directory lacks room for the `rest` of what is staged there, and another has it for the `whole`.
    pub(crate) fn is_better_elsewhere(&self, staged_dir: u16, rest: u64, whole: u64) -> bool {
        let floor = self.free_bytes_min;
        let has_room = |room: &Room, bytes| room.poison.is_none() && room.available(floor) >= bytes;
        let rooms = || self.rooms.iter().enumerate();
        let is_here = |dir: usize| dir == usize::from(staged_dir);
        rooms().any(|(dir, room)| is_here(dir) && !has_room(room, rest))
            && rooms().any(|(dir, room)| !is_here(dir) && has_room(room, whole))
    }

    fn refuse(&mut self, staged_dir: Option<u16>, bytes: u64, effects: &mut Effects) -> String {
        let floor = self.free_bytes_min;
        let mut reasons = Vec::new();
        for (dir, room) in self.rooms.iter_mut().enumerate() {
            if staged_dir.is_some_and(|staged| usize::from(staged) != dir) {
                continue;
            }
            let reason = match &room.poison {
                Some(reason) => {
                    format!("{} takes no more writes until restarted: {reason}", room.path.display())
                }
                None => format!(
                    "{} has {} free, of which {} are promised to running downloads and {} are kept free{}",
                    room.path.display(),
                    shown(room.free_bytes),
                    shown(room.reserved_bytes),
                    shown(floor),
                    room.bytes_max
                        .map_or(String::new(), |max| format!(", and may hold {} of chunks", shown(max))),
                ),
            };
            if room.paused.replace(reason.clone()).is_none() {
                let (data_dir, reason) = (room.path.clone(), reason.clone());
                effects.events.push(Event::Paused { data_dir, reason, until_restart: false });
            }
            reasons.push(reason);
        }
        format!("no room for {}: {}", shown(bytes), reasons.join("; "))
    }

    /// Sets room aside for a download until it is released.
    pub(crate) fn reserve(&mut self, dir: u16, task: u64, bytes: u64) {
        if let Some(room) = self.rooms.get_mut(usize::from(dir)) {
            room.reserved_bytes = room.reserved_bytes.saturating_add(bytes);
            room.promised_bytes = room.promised_bytes.saturating_add(bytes);
            self.reserved.insert(task, Reservation { dir, bytes, is_allocated: false });
        }
    }

    /// A download turns out to need `bytes` in all: sets more room aside, or says why there is none.
    pub(crate) fn grow(&mut self, task: u64, bytes: u64, effects: &mut Effects) -> Result<(), String> {
        let Some(reservation) = self.reserved.get(&task).copied() else { return Ok(()) };
        let more = bytes.saturating_sub(reservation.bytes);
        if more == 0 {
            return Ok(());
        }
        let dir = usize::from(reservation.dir);
        if self.rooms.get(dir).is_none_or(|room| room.available(self.free_bytes_min) < more) {
            return Err(self.refuse(Some(reservation.dir), more, effects));
        }
        self.release(task);
        self.reserve(reservation.dir, task, bytes);
        Ok(())
    }

    /// A download's files have taken their room: the file system shows it from now on.
    pub(crate) fn allocated(&mut self, task: u64) {
        if let Some(reservation) = self.reserved.get_mut(&task)
            && !std::mem::replace(&mut reservation.is_allocated, true)
            && let Some(room) = self.rooms.get_mut(usize::from(reservation.dir))
        {
            room.reserved_bytes = room.reserved_bytes.saturating_sub(reservation.bytes);
        }
    }

    pub(crate) fn release(&mut self, task: u64) {
        if let Some(reservation) = self.reserved.remove(&task)
            && let Some(room) = self.rooms.get_mut(usize::from(reservation.dir))
        {
            room.promised_bytes = room.promised_bytes.saturating_sub(reservation.bytes);
            if !reservation.is_allocated {
                room.reserved_bytes = room.reserved_bytes.saturating_sub(reservation.bytes);
            }
        }
    }

    /// Published bytes came and went.
    pub(crate) fn adjust(&mut self, dir: u16, more: u64, less: u64) {
        if let Some(room) = self.rooms.get_mut(usize::from(dir)) {
            room.ready_bytes = room.ready_bytes.saturating_add(more).saturating_sub(less);
        }
    }

    /// Staged bytes were `before` and are `after`.
    pub(crate) fn adjust_staged(&mut self, dir: u16, before: u64, after: u64) {
        if let Some(room) = self.rooms.get_mut(usize::from(dir)) {
            room.staged_bytes = room.staged_bytes.saturating_add(after).saturating_sub(before);
        }
    }
}

/// Bytes as people read them, such as `1.5 GiB`.
fn shown(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        let whole = bytes >> shift;
        if whole > 0 {
            let tenths = ((bytes >> (shift - 10)) & 1_023) * 10 / 1_024;
            return format!("{whole}.{tenths} {unit}");
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_unit_that_people_read() {
        let texts = [0, 1_023, 1_024, 62_771_200, 3 << 29, u64::MAX].map(shown);
        assert_eq!(
            texts,
            ["0 bytes", "1023 bytes", "1.0 KiB", "59.8 MiB", "1.5 GiB", "16777215.9 TiB"].map(String::from)
        );
    }
}
