//! All that a power cut may leave of what was not synced, counted, so that a test can try each.
//! It refuses to draw lots, and to let a sector hold what it never held: those are `crash`'s business.
//!
//! What is not durable falls into pieces, each of which gets to the disk by itself, as it was at some moment: a change of a
//! name, a sector of a file, the length of a file. An outcome is a moment for each piece.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Change, Content};
use super::crash::{SECTOR_BYTES, choose};
use super::names::FileId;
use super::state::{FileState, State};

/// What of a file is not durable: of each piece all that it has been since, in order.
#[derive(Default)]
struct Unsynced {
    sectors: BTreeMap<u64, Vec<Vec<u8>>>,
    lens: Vec<u64>,
}

impl Unsynced {
    fn of(file: &FileState) -> Unsynced {
        let mut unsynced = Unsynced::default();
        let mut now = file.durable.clone();
        for change in &file.pending {
            let before = now.len();
            now.apply(change);
            let (from, to) = match change {
                Change::Write { offset, bytes } => (*offset, offset.saturating_add(bytes.len() as u64)),
                Change::SetLen(len) => (*len.min(&before), before.max(*len)),
            };
            for sector in from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES) {
                unsynced.note_sector(&file.durable, &now, sector);
            }
            if unsynced.lens.last().copied().unwrap_or(file.durable.len()) != now.len() {
                unsynced.lens.push(now.len());
            }
        }
        unsynced
    }

    fn note_sector(&mut self, durable: &Content, now: &Content, number: u64) {
        let found = sector(now, number);
        let known = self.sectors.get(&number).and_then(|versions| versions.last());
        let is_new = match known {
            Some(known) => *known != found,
            None => sector(durable, number) != found,
        };
        if is_new {
            self.sectors.entry(number).or_default().push(found);
        }
    }

    /// How many moments each piece has, the one at which it was durable among them.
    fn moments(&self) -> impl Iterator<Item = u64> {
        let sectors = self.sectors.values().map(|versions| versions.len() as u64 + 1);
        sectors.chain([self.lens.len() as u64 + 1])
    }

    /// The file with each piece as it was at the moment that the number says.
    fn content(&self, durable: &Content, number: &mut Digits) -> Content {
        let mut content = durable.clone();
        for (sector, versions) in &self.sectors {
            let version = number.next(versions.len() as u64 + 1).checked_sub(1);
            if let Some(bytes) = version.and_then(|version| versions.get(usize::try_from(version).ok()?)) {
                content.write(bytes, sector.saturating_mul(SECTOR_BYTES));
            }
        }
        let version = number.next(self.lens.len() as u64 + 1).checked_sub(1);
        let len = version.and_then(|version| self.lens.get(usize::try_from(version).ok()?).copied());
        content.set_len(len.unwrap_or(durable.len()));
        content
    }
}

/// A number that is taken apart, digit by digit, each to a base of its own.
struct Digits(u64);

impl Digits {
    fn next(&mut self, base: u64) -> u64 {
        let digit = self.0.checked_rem(base).unwrap_or(0);
        self.0 = self.0.checked_div(base).unwrap_or(0);
        digit
    }
}

/// The bytes of a sector; zeros behind the end.
fn sector(content: &Content, number: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(SECTOR_BYTES).unwrap_or(0)];
    content.read(&mut bytes, number.saturating_mul(SECTOR_BYTES));
    bytes
}

impl State {
    /// How many outcomes a power cut may have now, some of which may make no sense; at most `u64::MAX`.
    pub(super) fn outcomes(&self) -> u64 {
        let names = self.pending.iter().map(|_| 2);
        let files = self.files.values().flat_map(|file| Unsynced::of(file).moments().collect::<Vec<_>>());
        names.chain(files).fold(1, u64::saturating_mul)
    }

    /// Cuts the power with the outcome of this number. Returns whether it makes sense: a change of a name needs those that it
    /// rests on, and of a file that no name leads to nothing is left.
    pub(super) fn crash_as(&mut self, number: u64) -> bool {
        self.note(format!("crash: outcome {number}"));
        let mut digits = Digits(number);
        let pending = std::mem::take(&mut self.pending);
        let wanted: Vec<bool> = pending.iter().map(|_| digits.next(2) == 1).collect();
        let survives = choose(&pending, |index| {
            usize::try_from(index).is_ok_and(|index| wanted.get(index).copied().unwrap_or(false))
        });
        let mut makes_sense = survives == wanted;
        for (pending, survives) in pending.iter().zip(survives) {
            if survives {
                self.durable.apply(&pending.change);
            }
        }
        let named: BTreeSet<FileId> = self.durable.prune().into_iter().collect();
        self.live = self.durable.clone();
        for (id, file) in std::mem::take(&mut self.files) {
            let unsynced = Unsynced::of(&file);
            let before = digits.0;
            let content = unsynced.content(&file.durable, &mut digits);
            if named.contains(&id) {
                self.files.insert(id, FileState::after_crash(content));
            } else {
                let all: u64 = unsynced.moments().fold(1, u64::saturating_mul);
                makes_sense &= before.checked_rem(all).is_none_or(|chosen| chosen == 0);
            }
        }
        self.end_program();
        makes_sense
    }
}
