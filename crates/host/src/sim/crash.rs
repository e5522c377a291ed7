//! What a power cut leaves of what was not synced.
//! It refuses to invent: every outcome is one that a real disk and file system could have left.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::content::{Change, Content};
use super::names::FileId;
use super::random::Random;
use super::state::{FileState, Pending, State};

/// The piece that a disk writes wholly or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;

impl State {
    /// Cuts the power: the durable image, and what the seed picks from the pending effects, becomes the live one.
    pub(super) fn crash(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let survives = if self.random.is_lucky(2) {
            self.note("crash: a prefix of the names survives".to_owned());
            prefix(&pending, &mut self.random)
        } else {
            self.note("crash: any of the names survive".to_owned());
            any(&pending, &mut self.random)
        };
        for (pending, survives) in pending.iter().zip(survives) {
            if survives {
                self.durable.apply(&pending.change);
            }
        }
        let named: BTreeSet<FileId> = self.durable.prune().into_iter().collect();
        self.live = self.durable.clone();
        self.files.retain(|id, _| named.contains(id));
        for file in self.files.values_mut() {
            let content = survivor(file, &mut self.random);
            *file = FileState::after_crash(content);
        }
        self.end_program();
    }

    /// Ends the program alone: what it wrote stays on its way to the disk.
    pub(super) fn kill(&mut self) {
        self.note("kill".to_owned());
        for file in self.files.values_mut() {
            file.handles = 0;
        }
        self.files.retain(|_, file| !file.is_gone);
        self.end_program();
    }

    pub(super) fn end_program(&mut self) {
        self.locks.clear();
        self.faults.clear();
        self.generation = self.generation.saturating_add(1);
    }
}

/// A journal: what was done first survives, up to some point.
fn prefix(pending: &[Pending], random: &mut Random) -> Vec<bool> {
    let count = pending.len() as u64;
    // Both ends are as likely as everything between them: they are what happens most.
    let kept = match random.below(4) {
        0 => 0,
        1 => count,
        _ => random.below(count.saturating_add(1)),
    };
    choose(pending, |index| index < kept)
}

/// No order: anything survives whose needs survive.
fn any(pending: &[Pending], random: &mut Random) -> Vec<bool> {
    let of_four = random.below(5);
    choose(pending, |_| random.is_lucky(of_four))
}

pub(super) fn choose(pending: &[Pending], mut is_chosen: impl FnMut(u64) -> bool) -> Vec<bool> {
    let mut dropped: Vec<&Pending> = Vec::new();
    let mut survives = Vec::with_capacity(pending.len());
    for (index, effect) in (0..).zip(pending) {
        let is_orphan = dropped.iter().any(|dropped| effect.change.needs(&dropped.change));
        let is_kept = is_chosen(index) && !effect.is_lost && !is_orphan;
        if !is_kept {
            dropped.push(effect);
        }
        survives.push(is_kept);
    }
    survives
}

/// The bytes of one file after the crash.
fn survivor(file: &FileState, random: &mut Random) -> Content {
    let mut content = file.durable.clone();
    match random.below(4) {
        0 => {}
        1 => file.pending.iter().for_each(|change| content.apply(change)),
        2 => {
            let mut kept: Vec<&Change> = file.pending.iter().filter(|_| random.is_lucky(2)).collect();
            let last = kept.pop();
            for change in kept {
                content.apply(change);
            }
            if let Some(change) = last {
                tear(change, &mut content, random);
            }
        }
        // The new length reached the disk, the bytes did not.
        _ if !file.pending.is_empty() => content.set_len(file.live.len()),
        _ => {}
    }
    content
}

/// Writes some sectors of a write: the disk was free to take them in any order.
fn tear(change: &Change, content: &mut Content, random: &mut Random) {
    let Change::Write { offset, bytes } = change else { return content.apply(change) };
    let (mut rest, mut at): (&[u8], u64) = (Arc::as_ref(bytes), *offset);
    while !rest.is_empty() {
        let room = usize::try_from(SECTOR_BYTES - at % SECTOR_BYTES).unwrap_or(rest.len());
        let (sector, later) = rest.split_at(room.min(rest.len()));
        if random.is_lucky(2) {
            content.write(sector, at);
        }
        rest = later;
        at = at.saturating_add(sector.len() as u64);
    }
}
