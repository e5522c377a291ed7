//! The names of a simulated disk: one image of the directory tree, and the changes that lead from one to the next.
//! It refuses to know a file's bytes: a file is a number here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::path::split;

/// What Linux file systems allow.
const NAME_BYTES_MAX: usize = 255;

/// Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DirId(pub(super) u64);

pub(super) const ROOT_DIR: DirId = DirId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(FileId),
    Dir(DirId),
}

/// A place for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) dir: DirId,
    pub(super) name: OsString,
}

/// A change of names; each is atomic.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Add { slot: Slot, node: Node },
    Remove { slot: Slot, node: Node },
    Move { from: Slot, to: Slot, node: Node, replaced: Option<FileId>, above: Vec<DirId> },
}

impl NameChange {
    /// Whether the change shows in this directory.
    pub(super) fn is_in(&self, dir: DirId) -> bool {
        match self {
            NameChange::Add { slot, .. } | NameChange::Remove { slot, .. } => slot.dir == dir,
            NameChange::Move { from, to, .. } => from.dir == dir || to.dir == dir,
        }
    }

    /// Whether this change makes no sense unless an earlier one was made.
    pub(super) fn needs(&self, earlier: &NameChange) -> bool {
        let is_shared = |slot: &Slot| earlier.is_at(slot);
        match self {
            // A directory can only be removed when it is empty.
            NameChange::Remove { slot, node: Node::Dir(dir) } => is_shared(slot) || earlier.is_in(*dir),
            NameChange::Add { slot, .. } | NameChange::Remove { slot, .. } => is_shared(slot),
            // A directory must not end below itself: whatever moved the places above its target comes first.
            NameChange::Move { from, to, above, .. } => {
                let is_above_moved = match earlier {
                    NameChange::Move { node: Node::Dir(moved), .. } => above.contains(moved),
                    _ => false,
                };
                is_shared(from) || is_shared(to) || is_above_moved
            }
        }
    }

    fn is_at(&self, place: &Slot) -> bool {
        match self {
            NameChange::Add { slot, .. } | NameChange::Remove { slot, .. } => slot == place,
            NameChange::Move { from, to, .. } => from == place || to == place,
        }
    }
}

/// One image of the tree. Directories that no name leads to may be in it: nobody can see them.
#[derive(Clone, Debug)]
pub(super) struct Names {
    dirs: BTreeMap<DirId, BTreeMap<OsString, Node>>,
}

impl Names {
    pub(super) fn new() -> Names {
        Names { dirs: BTreeMap::from([(ROOT_DIR, BTreeMap::new())]) }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Dir(ROOT_DIR);
        for component in path.components() {
            let Node::Dir(dir) = node else { return Err(Errno::NOTDIR.into()) };
            let slot = slot(dir, component.as_os_str().to_owned())?;
            node = self.get(&slot).ok_or(Errno::NOENT)?;
        }
        Ok(node)
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<DirId> {
        match self.find(path)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    /// The place that a path names, whether something is there or not.
    pub(super) fn slot(&self, path: &Path) -> io::Result<Slot> {
        let (parent, name) = split(path)?;
        slot(self.find_dir(parent)?, name.to_owned())
    }

    pub(super) fn get(&self, slot: &Slot) -> Option<Node> {
        self.dirs.get(&slot.dir)?.get(&slot.name).copied()
    }

    pub(super) fn list(&self, dir: DirId) -> impl Iterator<Item = (&OsString, Node)> {
        self.dirs.get(&dir).into_iter().flatten().map(|(name, node)| (name, *node))
    }

    /// The directories on the way down to what a path names, itself included when it is one.
    pub(super) fn dirs_above(&self, path: &Path) -> io::Result<Vec<DirId>> {
        path.ancestors().map(|above| self.find_dir(above)).collect()
    }

    pub(super) fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Add { slot, node } => self.put(slot, *node),
            NameChange::Remove { slot, node } => {
                self.take(slot);
                if let Node::Dir(dir) = node {
                    self.dirs.remove(dir);
                }
            }
            NameChange::Move { from, to, node, .. } => {
                self.take(from);
                self.put(to, *node);
            }
        }
    }

    /// Forgets what no name leads to, and returns the files that are left.
    pub(super) fn prune(&mut self) -> Vec<FileId> {
        let mut files = Vec::new();
        let mut seen = BTreeMap::new();
        let mut next = vec![ROOT_DIR];
        while let Some(dir) = next.pop() {
            let entries = self.dirs.remove(&dir).unwrap_or_default();
            for node in entries.values() {
                match node {
                    Node::File(file) => files.push(*file),
                    Node::Dir(below) => next.push(*below),
                }
            }
            seen.insert(dir, entries);
        }
        self.dirs = seen;
        files
    }

    /// A directory's own names may be durable before its name is: the image keeps them apart.
    fn put(&mut self, slot: &Slot, node: Node) {
        self.dirs.entry(slot.dir).or_default().insert(slot.name.clone(), node);
        if let Node::Dir(dir) = node {
            self.dirs.entry(dir).or_default();
        }
    }

    fn take(&mut self, slot: &Slot) {
        if let Some(entries) = self.dirs.get_mut(&slot.dir) {
            entries.remove(&slot.name);
        }
    }
}

fn slot(dir: DirId, name: OsString) -> io::Result<Slot> {
    if name.len() > NAME_BYTES_MAX { Err(Errno::NAMETOOLONG.into()) } else { Ok(Slot { dir, name }) }
}
