//! The state of a simulated disk: the live image, the durable one, and what lies between them.
//! It refuses to decide what survives a crash (`crash`) and which call fails (`fault`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::content::{Change, Content, PAGE_BYTES};
use super::fault::Faults;
use super::names::{DirId, FileId, NameChange, Names, Node};
use super::random::Random;
use crate::disk::{Entry, Kind, Space, Stat};
use crate::media::{Onto, Open};
use crate::path::invalid;

/// The room on a disk whose capacity was not set.
const CAPACITY_BYTES: u64 = 1 << 40;

/// Lines of trace that are kept: the end of a run is what explains it.
const TRACE_LINES_MAX: usize = 4096;

#[derive(Clone)]
pub(super) struct State {
    /// Counts crashes; handles carry the number they were made under.
    pub(super) generation: u64,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) capacity: Option<u64>,
    /// The call from which on there is no room, whatever the capacity is.
    pub(super) full_from: Option<u64>,
    /// Whether syncs wait before they begin, and how many do.
    pub(super) are_syncs_held: bool,
    pub(super) syncs_held: u64,
    pub(super) trace: VecDeque<String>,
    pub(super) live: Names,
    pub(super) durable: Names,
    /// Changes of names between the durable image and the live one, in the order they were made.
    pub(super) pending: Vec<Pending>,
    pub(super) files: BTreeMap<FileId, FileState>,
    /// Lock files with their owners.
    pub(super) locks: BTreeMap<FileId, u32>,
    next_id: u64,
}

#[derive(Clone)]
pub(super) struct Pending {
    pub(super) change: NameChange,
    /// A sync failed to write it and marked it clean: it will never be durable, nor will what needs it.
    pub(super) is_lost: bool,
}

#[derive(Clone, Default)]
pub(super) struct FileState {
    pub(super) live: Content,
    pub(super) durable: Content,
    pub(super) pending: Vec<Change>,
    /// Pages that a failed sync has left in memory. As on ext4 with reserved room, what is written to them in the usual way
    /// never gets to the disk again.
    deaf: BTreeSet<u64>,
    /// Bytes of the disk that it takes: up to the end of the last write or reservation.
    pub(super) allocated: u64,
    pub(super) handles: u64,
    /// A name leads to it in the live image.
    is_named: bool,
    /// Its removal is durable: only open handles keep it.
    pub(super) is_gone: bool,
}

/// The largest folio of Linux where pages have 4 KiB: 2 MiB.
const FOLIO_PAGES: u64 = 512;

/// Bytes page by page, with the number of the page and where they begin.
fn pieces(bytes: &[u8], offset: u64) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let (mut rest, mut at) = (bytes, offset);
    std::iter::from_fn(move || {
        let room = usize::try_from(PAGE_BYTES - at % PAGE_BYTES).unwrap_or(rest.len());
        let (piece, later) = rest.split_at(room.min(rest.len()));
        let found = (at / PAGE_BYTES, at, piece);
        rest = later;
        at = at.saturating_add(piece.len() as u64);
        (!piece.is_empty()).then_some(found)
    })
}

impl FileState {
    pub(super) fn after_crash(content: Content) -> FileState {
        FileState {
            live: content.clone(),
            allocated: content.len(),
            durable: content,
            is_named: true,
            ..FileState::default()
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.live.set_len(len);
        self.pending.push(Change::SetLen(len));
        drop(self.deaf.split_off(&len.div_ceil(PAGE_BYTES)));
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        self.live.write(bytes, offset);
        if self.deaf.is_empty() {
            return self.pending.push(Change::Write { offset, bytes: bytes.into() });
        }
        for (page, at, piece) in pieces(bytes, offset) {
            if !self.deaf.contains(&page) {
                self.pending.push(Change::Write { offset: at, bytes: piece.into() });
            }
        }
    }

    /// Writes past the memory, and so to the disk again what a failed sync has left there. As on Linux that takes whole folios out of
    /// memory: what a failed sync has left beside the bytes is gone.
    pub(super) fn rewrite(&mut self, bytes: &[u8], offset: u64) {
        let mut folios = BTreeSet::new();
        for (page, _, piece) in pieces(bytes, offset) {
            if piece.len() as u64 == PAGE_BYTES {
                self.deaf.remove(&page);
                folios.insert(page / FOLIO_PAGES);
            }
        }
        for page in self.deaf.iter().filter(|page| folios.contains(&(*page / FOLIO_PAGES))) {
            self.live.take_page(*page, &self.durable);
        }
        self.write(bytes, offset);
    }

    /// A sync that fails: what it should have written is in memory, marked as written.
    pub(super) fn lose(&mut self) {
        for change in self.pending.drain(..) {
            if let Change::Write { offset, bytes } = change {
                self.deaf.extend(pieces(&bytes, offset).map(|(page, ..)| page));
            }
        }
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            self.durable.apply(&change);
        }
    }
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            generation: 0,
            random: Random::new(seed),
            faults: Faults::default(),
            capacity: None,
            full_from: None,
            are_syncs_held: false,
            syncs_held: 0,
            trace: VecDeque::new(),
            live: Names::new(),
            durable: Names::new(),
            pending: Vec::new(),
            files: BTreeMap::new(),
            locks: BTreeMap::new(),
            next_id: 1,
        }
    }

    pub(super) fn note(&mut self, line: String) {
        if self.trace.len() >= TRACE_LINES_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let slot = self.live.slot(path)?;
        if self.live.get(&slot).is_some() {
            return Err(Errno::EXIST.into());
        }
        let node = Node::Dir(DirId(self.new_id()));
        self.record(NameChange::Add { slot, node });
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let dir = self.live.find_dir(path)?;
        Ok(self
            .live
            .list(dir)
            .map(|(name, node)| Entry { name: name.clone(), kind: kind_of(node) })
            .collect())
    }

    pub(super) fn stat(&self, path: &Path) -> io::Result<Stat> {
        let node = self.live.find(path)?;
        let len = match node {
            Node::File(file) => self.files.get(&file).map_or(0, |file| file.live.len()),
            Node::Dir(_) => 0,
        };
        Ok(Stat { kind: kind_of(node), len })
    }

    /// Finds or makes a file; the caller keeps count of its handles.
    pub(super) fn open(&mut self, path: &Path, how: Open) -> io::Result<FileId> {
        if how != Open::Create {
            return match self.live.find(path)? {
                Node::File(file) => Ok(file),
                Node::Dir(_) => Err(Errno::ISDIR.into()),
            };
        }
        let slot = self.live.slot(path)?;
        if self.live.get(&slot).is_some() {
            return Err(Errno::EXIST.into());
        }
        let file = FileId(self.new_id());
        self.files.insert(file, FileState::default());
        self.record(NameChange::Add { slot, node: Node::File(file) });
        Ok(file)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, onto: Onto) -> io::Result<()> {
        let (from_slot, to_slot) = (self.live.slot(from)?, self.live.slot(to)?);
        let node = self.live.get(&from_slot).ok_or(Errno::NOENT)?;
        let target = self.live.get(&to_slot);
        let mut above = Vec::new();
        let mut replaced = None;
        match (onto, node, target) {
            (Onto::Nothing, _, Some(_)) => return Err(Errno::EXIST.into()),
            (Onto::Nothing, Node::Dir(dir), None) => {
                above = self.live.dirs_above(to.parent().unwrap_or(Path::new("")))?;
                if above.contains(&dir) {
                    return Err(Errno::INVAL.into());
                }
            }
            (Onto::File, Node::Dir(_), _) => return Err(Errno::ISDIR.into()),
            (Onto::File, _, Some(Node::Dir(dir))) => {
                // Linux tells a directory above the file apart: it is in use.
                let is_above = self.live.dirs_above(from.parent().unwrap_or(Path::new("")))?.contains(&dir);
                return Err(if is_above { Errno::NOTEMPTY } else { Errno::ISDIR }.into());
            }
            (Onto::File, Node::File(file), Some(Node::File(other))) if file == other => return Ok(()),
            (Onto::File, Node::File(_), Some(Node::File(other))) => replaced = Some(other),
            (_, Node::File(_), None) => {}
        }
        self.record(NameChange::Move { from: from_slot, to: to_slot, node, replaced, above });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let slot = self.live.slot(path)?;
        match self.live.get(&slot).ok_or(Errno::NOENT)? {
            Node::Dir(_) => Err(Errno::ISDIR.into()),
            node @ Node::File(_) => {
                self.record(NameChange::Remove { slot, node });
                Ok(())
            }
        }
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let slot = self.live.slot(path)?;
        match self.live.get(&slot).ok_or(Errno::NOENT)? {
            Node::File(_) => Err(Errno::NOTDIR.into()),
            Node::Dir(dir) if self.live.list(dir).next().is_some() => Err(Errno::NOTEMPTY.into()),
            node @ Node::Dir(_) => {
                self.record(NameChange::Remove { slot, node });
                Ok(())
            }
        }
    }

    /// Makes the changes that show in a directory durable, with the earlier ones that they need.
    pub(super) fn sync_dir(&mut self, dir: DirId) {
        let wanted = self.needed_for(dir);
        self.settle(&wanted);
    }

    /// What a failed sync of a directory does.
    pub(super) fn lose_dir(&mut self, dir: DirId) {
        let wanted = self.needed_for(dir);
        for (pending, is_wanted) in self.pending.iter_mut().zip(wanted) {
            pending.is_lost |= is_wanted;
        }
    }

    pub(super) fn sync_all(&mut self) {
        for file in self.files.values_mut() {
            file.sync();
        }
        self.settle(&vec![true; self.pending.len()]);
    }

    pub(super) fn lose_all(&mut self) {
        for file in self.files.values_mut() {
            file.lose();
        }
        for pending in &mut self.pending {
            pending.is_lost = true;
        }
    }

    pub(super) fn space(&self) -> Space {
        let is_full = self.full_from.is_some_and(|call| call <= self.faults.calls());
        let total = if is_full { 0 } else { self.capacity.unwrap_or(CAPACITY_BYTES) };
        let held = |file: &&FileState| file.is_named || file.handles > 0;
        let used: u64 = self.files.values().filter(held).map(|file| file.allocated).sum();
        Space { free: total.saturating_sub(used), total }
    }

    pub(super) fn file(&mut self, id: FileId) -> io::Result<&mut FileState> {
        self.files.get_mut(&id).ok_or_else(|| Errno::BADF.into())
    }

    /// Takes room for a file up to `end`.
    pub(super) fn allocate(&mut self, id: FileId, end: u64) -> io::Result<()> {
        let more = end.saturating_sub(self.file(id)?.allocated);
        let is_bounded = self.capacity.is_some() || self.full_from.is_some();
        if more > 0 && is_bounded && more > self.space().free {
            return Err(Errno::NOSPC.into());
        }
        let file = self.file(id)?;
        file.allocated = file.allocated.max(end);
        Ok(())
    }

    pub(super) fn close(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.handles = file.handles.saturating_sub(1);
        }
        self.forget(id);
    }

    pub(super) fn rot(&mut self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let id = self.open(path, Open::Read)?;
        let file = self.file(id)?;
        if offset >= file.live.len() {
            return Err(invalid("the file ends before this byte"));
        }
        file.live.flip(offset, bit);
        file.durable.flip(offset, bit);
        Ok(())
    }

    fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        id
    }

    fn record(&mut self, change: NameChange) {
        self.live.apply(&change);
        let (named, unnamed) = match &change {
            NameChange::Add { node: Node::File(file), .. } => (Some(*file), None),
            NameChange::Remove { node: Node::File(file), .. } => (None, Some(*file)),
            NameChange::Move { replaced, .. } => (None, *replaced),
            _ => (None, None),
        };
        if let Some(file) = named.and_then(|file| self.files.get_mut(&file)) {
            file.is_named = true;
        }
        if let Some(file) = unnamed.and_then(|file| self.files.get_mut(&file)) {
            file.is_named = false;
        }
        self.pending.push(Pending { change, is_lost: false });
    }

    /// Marks the pending changes that show in a directory, and all that those need.
    fn needed_for(&self, dir: DirId) -> Vec<bool> {
        let mut needed: Vec<&NameChange> = Vec::new();
        let mut marks: Vec<bool> = self
            .pending
            .iter()
            .rev()
            .map(|Pending { change, .. }| {
                let is_needed = change.is_in(dir) || needed.iter().any(|later| later.needs(change));
                if is_needed {
                    needed.push(change);
                }
                is_needed
            })
            .collect();
        marks.reverse();
        marks
    }

    /// Makes the marked changes durable. What needs a lost one is lost with it.
    fn settle(&mut self, wanted: &[bool]) {
        let mut later: Vec<Pending> = Vec::new();
        for (mut pending, is_wanted) in
            std::mem::take(&mut self.pending).into_iter().zip(wanted.iter().copied())
        {
            if is_wanted {
                pending.is_lost |=
                    later.iter().any(|lost| lost.is_lost && pending.change.needs(&lost.change));
            }
            if is_wanted && !pending.is_lost {
                self.make_durable(&pending.change);
            } else {
                later.push(pending);
            }
        }
        self.pending = later;
    }

    fn make_durable(&mut self, change: &NameChange) {
        self.durable.apply(change);
        let gone = match change {
            NameChange::Remove { node: Node::File(file), .. } => Some(*file),
            NameChange::Move { replaced, .. } => *replaced,
            _ => None,
        };
        if let Some(id) = gone {
            if let Some(file) = self.files.get_mut(&id) {
                file.is_gone = true;
            }
            self.forget(id);
        }
    }

    fn forget(&mut self, id: FileId) {
        if self.files.get(&id).is_some_and(|file| file.is_gone && file.handles == 0) {
            self.files.remove(&id);
        }
    }
}

fn kind_of(node: Node) -> Kind {
    match node {
        Node::File(_) => Kind::File,
        Node::Dir(_) => Kind::Dir,
    }
}
