//! The open files of a log of format 1, so that a read costs no opening.
//! Refuses to hold many: the one that was opened first goes when there are too many.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use host::{Disk, File};

use super::position::Key;

/// Open files per log: some readers at some places each, far below what a process may have open.
const OPEN_MAX: usize = 64;

/// Whether bytes may come from memory, or only from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// From wherever they are: the system keeps the two alike.
    Any,
    /// What memory caches of a file is dropped when it is opened: after a failed sync the two are not alike.
    Device,
}

/// Files that are open to read. Many threads use it at once; none waits for another.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Disk,
    source: Source,
    open: ArcSwap<Vec<(Key, File)>>,
}

impl Files {
    pub(crate) fn new(disk: &Disk, source: Source) -> Files {
        Files { disk: disk.clone(), source, open: ArcSwap::default() }
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The file, opened now or earlier. A file that was cut meanwhile is the same file.
    pub(crate) fn get(&self, key: Key) -> io::Result<File> {
        let is_it = |(other, _): &&(Key, File)| *other == key;
        if let Some((_, file)) = self.open.load().iter().rev().find(is_it) {
            return Ok(file.clone());
        }
        let file = self.disk.open_file(&key.path())?;
        if self.source == Source::Device {
            file.evict()?;
        }
        self.open.rcu(|open| {
            let spare = open.len().saturating_add(1).saturating_sub(OPEN_MAX);
            let mut files: Vec<(Key, File)> = open.iter().skip(spare).cloned().collect();
            files.push((key, file.clone()));
            files
        });
        Ok(file)
    }

    /// Closes what lies in directories before this one: they are being removed.
    pub(crate) fn forget_before(&self, dir: u32) {
        self.open.rcu(|open| {
            let kept = open.iter().filter(|(key, _)| key.dir() >= dir);
            Arc::new(kept.cloned().collect::<Vec<(Key, File)>>())
        });
    }

    /// The names in a directory that are text; others are nobody's.
    pub(crate) fn names(&self, path: &Path) -> io::Result<Vec<(String, host::Kind)>> {
        let entries = self.disk.list(path)?.into_iter();
        Ok(entries.filter_map(|entry| Some((entry.name.into_string().ok()?, entry.kind))).collect())
    }
}
